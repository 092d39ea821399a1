"""The layers of `xp.nn.functional`: linear, convolutions, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_tui.engine.operations import Operation
from backprop_tui.engine.operations.contractions import Linear, LinearWithoutBias
from backprop_tui.engine.operations.spatial import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv1dWithoutBias,
    Conv2d,
    Conv2dWithoutBias,
    MaxPool1d,
    MaxPool2d,
    Sizes,
    positions,
)
from backprop_tui.engine.tape import UnsupportedProgram, Var, tape_of, unary

_max_pool1d, _max_pool2d = unary(MaxPool1d, 2), unary(MaxPool2d, 2)
_avg_pool1d, _avg_pool2d = unary(AvgPool1d, 2), unary(AvgPool2d, 2)


def _shape(value: Any) -> tuple[int, ...]:
    return np.shape(value.value if isinstance(value, Var) else value)


def linear(input: Any, weight: Any, bias: Any = None) -> Var:
    """A layer: input @ weightᵀ + bias, with weights of shape (outputs, inputs)."""
    shape, weights = _shape(input), _shape(weight)
    if not shape or len(weights) != 2 or shape[-1] != weights[1]:
        raise UnsupportedProgram(
            f"linear needs an input (…, n) and a weight (m, n); here they are {shape} and {weights}"
        )
    if bias is None:
        return tape_of((input, weight)).record(LinearWithoutBias, (input, weight))
    if _shape(bias) != weights[:1]:
        raise UnsupportedProgram(f"linear needs a bias ({weights[0]}); here it is {_shape(bias)}")
    operands = (input, weight, bias)
    return tape_of(operands).record(Linear, operands)


def _spatial(number: Any, space: int, what: str) -> Sizes:
    """One number for each spatial dimension."""
    sizes = (number,) * space if isinstance(number, int) else number
    if isinstance(sizes, str) or len(sizes) not in (1, space):
        raise UnsupportedProgram(f"{what} must be a number, or one for each dimension")
    return tuple(int(size) for size in sizes) * (space if len(sizes) == 1 else 1)


def _window_fits(name: str, length: Sizes, *window: Sizes) -> None:
    if any(stride < 1 for stride in window[1]):
        raise UnsupportedProgram(f"{name}: the stride must be at least 1")
    if any(count < 1 for count in positions(length, *window)):
        raise UnsupportedProgram(f"{name}: the window is larger than the padded input")


def _convolution(
    space: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> tuple[tuple[Any, ...], dict[str, Sizes]]:  # fmt: skip
    """The operands and parameters of a convolution, checked."""
    name = f"conv{space}d"
    shape, kernels = _shape(input), _shape(weight)
    if groups != 1:
        raise UnsupportedProgram(f"{name} with groups cannot be recorded")
    if len(kernels) != space + 2 or len(shape) not in (space + 1, space + 2):
        raise UnsupportedProgram(
            f"{name} needs an input with {space + 1} or {space + 2} dimensions and a weight with "
            f"{space + 2}; here they have {len(shape)} and {len(kernels)}"
        )
    if shape[-space - 1] != kernels[1]:
        raise UnsupportedProgram(
            f"{name}: the input has {shape[-space - 1]} channels, the weight {kernels[1]}"
        )
    if bias is not None and _shape(bias) != kernels[:1]:
        raise UnsupportedProgram(f"{name} needs a bias ({kernels[0]}); here it is {_shape(bias)}")
    if padding == "valid":
        padding = 0
    params = {
        "stride": _spatial(stride, space, "stride"),
        "padding": _spatial(padding, space, "padding"),
        "dilation": _spatial(dilation, space, "dilation"),
    }
    _window_fits(name, shape[-space:], kernels[2:], *params.values())
    return (input, weight) if bias is None else (input, weight, bias), params


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Var:  # fmt: skip
    """Kernels (O, C, K) slid along a signal (N, C, L) or (C, L)."""
    operands, params = _convolution(1, input, weight, bias, stride, padding, dilation, groups)
    op: type[Operation] = Conv1dWithoutBias if bias is None else Conv1d
    return tape_of(operands).record(op, operands, params)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Var:  # fmt: skip
    """Kernels (O, C, K, K) slid over an image (N, C, H, W) or (C, H, W)."""
    operands, params = _convolution(2, input, weight, bias, stride, padding, dilation, groups)
    op: type[Operation] = Conv2dWithoutBias if bias is None else Conv2d
    return tape_of(operands).record(op, operands, params)


def _pooling(
    name: str, space: int, input: Any, kernel_size: Any, stride: Any, padding: Any
) -> dict[str, Sizes]:
    """The parameters of pooling, checked. Without a stride the windows lie side by side."""
    if not isinstance(input, Var) or input.ndim not in (space + 1, space + 2):
        raise UnsupportedProgram(
            f"{name} needs an input with {space + 1} or {space + 2} dimensions"
        )
    kernel = _spatial(kernel_size, space, "kernel_size")
    params = {
        "kernel": kernel,
        "stride": kernel if stride in (None, ()) else _spatial(stride, space, "stride"),
        "padding": _spatial(padding, space, "padding"),
    }
    if any(2 * p > k for p, k in zip(params["padding"], kernel, strict=True)):
        raise UnsupportedProgram(f"{name}: the padding may be half of the window at most")
    _window_fits(name, input.shape[-space:], *params.values(), (1,) * space)
    return params


def max_pool1d(input: Var, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Var:
    """The largest cell of each window of a signal (N, C, L) or (C, L)."""
    return _max_pool1d(input, _pooling("max_pool1d", 1, input, kernel_size, stride, padding))


def max_pool2d(input: Var, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Var:
    """The largest cell of each window of an image (N, C, H, W) or (C, H, W)."""
    return _max_pool2d(input, _pooling("max_pool2d", 2, input, kernel_size, stride, padding))


def avg_pool1d(input: Var, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Var:
    """The mean of each window of a signal (N, C, L) or (C, L)."""
    return _avg_pool1d(input, _pooling("avg_pool1d", 1, input, kernel_size, stride, padding))


def avg_pool2d(input: Var, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Var:
    """The mean of each window of an image (N, C, H, W) or (C, H, W)."""
    return _avg_pool2d(input, _pooling("avg_pool2d", 2, input, kernel_size, stride, padding))
