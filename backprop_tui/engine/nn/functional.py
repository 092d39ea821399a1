"""`xp.nn.functional`: torch.nn.functional's names and conventions, on the tape.

Each function must mean what torch's function of that name means. What torch has under
`torch.…` too is defined once and imported by `backprop_tui.engine.xp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_tui.engine.nn import layers
from backprop_tui.engine.operations import (
    activations,
    functions,
    losses,
    normalising,
    selection,
)
from backprop_tui.engine.tape import UnsupportedProgram, Var, binary, tape_of, unary
from backprop_tui.engine.tensor_functions import rows_of, whole_numbers

linear, conv1d, conv2d = layers.linear, layers.conv1d, layers.conv2d
max_pool1d, max_pool2d = layers.max_pool1d, layers.max_pool2d
avg_pool1d, avg_pool2d = layers.avg_pool1d, layers.avg_pool2d
relu, tanh, sigmoid = unary(functions.Relu), unary(functions.Tanh), unary(functions.Sigmoid)

silu, _gelu = unary(activations.Silu), unary(activations.Gelu, 2)
_softplus, _leaky_relu = unary(activations.Softplus, 2), unary(activations.LeakyRelu, 2)


def gelu(input: Var, approximate: str = "none") -> Var:
    """The exact gelu, with the error function."""
    if approximate != "none":
        raise UnsupportedProgram("only the exact gelu is there, without an approximation")
    return _gelu(input)


def softplus(input: Var) -> Var:
    """log(1 + exp(input))."""
    return _softplus(input)


def leaky_relu(input: Var, negative_slope: float = 0.01) -> Var:
    """input where it is positive, elsewhere `negative_slope` times as much."""
    return _leaky_relu(input, {"slope": float(negative_slope)})


# ── softmax and losses ────────────────────────────────────────────────────────────────────────

_softmax, _log_softmax = unary(normalising.Softmax, 2), unary(normalising.LogSoftmax, 2)
_logsumexp = unary(normalising.LogSumExp, 2)


def softmax(input: Var, dim: int) -> Var:
    """exp(input), divided by its sum along `dim`."""
    return _softmax(input, {"dim": dim})


def log_softmax(input: Var, dim: int) -> Var:
    """The logarithm of the softmax along `dim`."""
    return _log_softmax(input, {"dim": dim})


def logsumexp(input: Var, dim: Any, keepdim: bool = False) -> Var:
    """log(Σ exp(input)) along `dim`; in torch it stands beside softmax, under `torch.…`."""
    dim = tuple(dim) if isinstance(dim, list) else dim
    return _logsumexp(input, {"dim": dim, "keepdim": keepdim})


_cross_entropy = {
    "mean": unary(losses.CrossEntropy, 2),
    "sum": unary(losses.CrossEntropySum, 2),
}
_mse_loss = {"mean": binary(losses.MseLoss, 2), "sum": binary(losses.MseLossSum, 2)}


def _reduction(kinds: dict[str, Any], reduction: str) -> Any:
    if reduction not in kinds:
        raise UnsupportedProgram(f"the reduction of a loss must be mean or sum, not {reduction}")
    return kinds[reduction]


def cross_entropy(input: Var, target: Any, *, reduction: str = "mean") -> Var:
    """−log(softmax) of the right classes. `input` is (N, C) or (C), `target` (N) or ()."""
    classes = whole_numbers(target, "the targets of cross_entropy")
    record, shape = _reduction(_cross_entropy, reduction), np.shape(getattr(input, "value", 0.0))
    if len(shape) not in (1, 2) or classes.shape != shape[:-1]:
        raise UnsupportedProgram(
            "cross_entropy needs input (N, C) and N class numbers, or input (C) and one; "
            f"here they have the shapes {shape} and {classes.shape}"
        )
    if classes.size and not (classes.min() >= 0 and classes.max() < shape[-1]):
        raise UnsupportedProgram(f"the classes of cross_entropy are 0 to {shape[-1] - 1}")
    found: Var = record(input, {"target": classes})
    return found


def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Var:
    """The mean (or sum) of the squared differences."""
    found: Var = _reduction(_mse_loss, reduction)(input, target)
    return found


# ── tables ────────────────────────────────────────────────────────────────────────────────────

_embedding = unary(selection.Embedding, 2)


def embedding(input: Any, weight: Var) -> Var:
    """The rows of `weight` with the numbers in `input`, which has any shape."""
    return _embedding(weight, rows_of(weight, input))


# ── layer norm and batch norm ─────────────────────────────────────────────────────────────────

_layer_norm, _batch_norm = unary(normalising.LayerNorm, 2), unary(normalising.BatchNorm, 2)


def layer_norm(
    input: Var,
    normalized_shape: tuple[int, ...] | list[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Var:
    """The last dimensions, which must have `normalized_shape`, at mean 0 and variance 1."""
    shape = tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise UnsupportedProgram(
            f"layer_norm needs an input whose last sizes are {shape}; it has {input.shape}"
        )
    for name, extra in (("weight", weight), ("bias", bias)):
        if extra is not None and np.shape(getattr(extra, "value", extra)) != shape:
            raise UnsupportedProgram(f"the {name} of layer_norm must have the shape {shape}")
    how = {"dims": tuple(range(-len(shape), 0)), "eps": eps}
    if weight is None and bias is None:
        return _layer_norm(input, how)
    operands = (input, 1.0 if weight is None else weight, 0.0 if bias is None else bias)
    return tape_of(operands).record(normalising.ScaledLayerNorm, operands, how)


def batch_norm(
    input: Var,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Var:
    """Each feature of `input` (N, C) at mean 0 and variance 1 over the N examples.

    Only as it is in training without running statistics (None, None), which would have to be
    changed in place.
    """
    if not training or running_mean is not None or running_var is not None:
        raise UnsupportedProgram(
            "batch_norm works with the batch's own statistics only: "
            "batch_norm(x, None, None, weight, bias, training=True)"
        )
    shape = input.shape
    if len(shape) != 2 or shape[0] < 2:
        raise UnsupportedProgram(
            f"batch_norm needs an input (N, C) with at least 2 examples; it has {shape}"
        )
    for name, extra in (("weight", weight), ("bias", bias)):
        if extra is not None and np.shape(getattr(extra, "value", extra)) != shape[1:]:
            raise UnsupportedProgram(f"the {name} of batch_norm must have the shape {shape[1:]}")
    how = {"dims": (0,), "eps": eps}
    if weight is None and bias is None:
        return _batch_norm(input, how)
    operands = (input, 1.0 if weight is None else weight, 0.0 if bias is None else bias)
    return tape_of(operands).record(normalising.ScaledBatchNorm, operands, how)
