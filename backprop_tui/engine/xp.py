"""The functions that a lesson calls as `xp.…`: torch's names and conventions, on the tape.

A lesson's function gets this module as `xp` to be recorded by hand, and torch itself to be run
by torch. So each function here must mean what torch's function of that name means.
"""

# mypy: disable-error-code="no-redef"

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_tui.engine import arranging, constructors, nn, tensor_functions
from backprop_tui.engine.operations import functions, reductions, shapes
from backprop_tui.engine.operations.arithmetic import Add, Div, Mul, Neg, Pow, Sub
from backprop_tui.engine.operations.reductions import Dim
from backprop_tui.engine.tape import (
    UnsupportedProgram,
    Var,
    binary,
    matrix_transposed,
    product,
    tape_of,
    unary,
)

Shape = tuple[int, ...] | list[int]


add, sub, mul, div = binary(Add), binary(Sub), binary(Mul), binary(Div)
pow, maximum = binary(Pow), binary(functions.Maximum)
neg, abs = unary(Neg), unary(functions.Abs)
exp, log, sqrt = unary(functions.Exp), unary(functions.Log), unary(functions.Sqrt)
sin, cos = unary(functions.Sin), unary(functions.Cos)
tanh, sigmoid = unary(functions.Tanh), unary(functions.Sigmoid)
relu = unary(functions.Relu)
_sum, _mean = unary(reductions.Sum, 2), unary(reductions.Mean, 2)
_transpose, _reshape = unary(shapes.Transpose, 2), unary(shapes.Reshape, 2)
_squeeze, _unsqueeze = unary(shapes.Squeeze, 2), unary(shapes.Unsqueeze, 2)


def _reduced(dim: Any, keepdim: bool) -> dict[str, Any] | None:
    """The parameters of a reduction; none where all is reduced."""
    if isinstance(dim, list | tuple):
        dim = tuple(dim) or None  # torch: no dimension named means all
    return None if dim is None and not keepdim else {"dim": dim, "keepdim": keepdim}


def sum(input: Var, dim: Dim = None, keepdim: bool = False) -> Var:
    return _sum(input, _reduced(dim, keepdim))


def mean(input: Var, dim: Dim = None, keepdim: bool = False) -> Var:
    return _mean(input, _reduced(dim, keepdim))


def matmul(input: Var, other: Var) -> Var:
    return product(input, other)(input, other)


def _of_ranks(name: str, a: Var, b: Var, ranks: tuple[int, int]) -> None:
    if (np.ndim(a.value), np.ndim(b.value)) != ranks:
        raise UnsupportedProgram(f"{name} needs operands with {ranks[0]} and {ranks[1]} dimensions")


def dot(input: Var, tensor: Var) -> Var:
    _of_ranks("dot", input, tensor, (1, 1))
    return product(input, tensor)(input, tensor)


def mv(input: Var, vec: Var) -> Var:
    _of_ranks("mv", input, vec, (2, 1))
    return product(input, vec)(input, vec)


def mm(input: Var, mat2: Var) -> Var:
    _of_ranks("mm", input, mat2, (2, 2))
    return product(input, mat2)(input, mat2)


def t(input: Var) -> Var:
    return _transpose(input, matrix_transposed(input))


def reshape(input: Var, shape: Shape) -> Var:
    return _reshape(input, {"shape": tuple(shape)})


def squeeze(input: Var, dim: int | tuple[int, ...] | None = None) -> Var:
    return _squeeze(input, {"dim": dim})


def unsqueeze(input: Var, dim: int) -> Var:
    return _unsqueeze(input, {"dim": dim})


def cat(tensors: Any, dim: int = 0) -> Var:
    tensors = tuple(tensors)
    return tape_of(tensors).record(shapes.Cat, tensors, {"dim": dim})


def concatenate(tensors: Any, dim: int = 0) -> Var:
    tensors = tuple(tensors)
    return tape_of(tensors).record(shapes.Cat, tensors, {"dim": dim})


def stack(tensors: Any, dim: int = 0) -> Var:
    tensors = tuple(tensors)
    return tape_of(tensors).record(shapes.Stack, tensors, {"dim": dim})


softmax, log_softmax = nn.functional.softmax, nn.functional.log_softmax
logsumexp = nn.functional.logsumexp
var, std, norm = tensor_functions.var, tensor_functions.std, tensor_functions.norm
amax, amin = tensor_functions.amax, tensor_functions.amin
max, min = tensor_functions.max, tensor_functions.min
linalg = tensor_functions.linalg
square, reciprocal = tensor_functions.square, tensor_functions.reciprocal
rsqrt, log1p = tensor_functions.rsqrt, tensor_functions.log1p
minimum, clamp, cumsum = tensor_functions.minimum, tensor_functions.clamp, tensor_functions.cumsum
where, masked_fill = tensor_functions.where, tensor_functions.masked_fill
gather, embedding = tensor_functions.gather, tensor_functions.embedding


# ── products, shapes, pieces, layers, and arrays made by the program ──────────────────────────

transpose, permute, flatten, unflatten, flip = (
    arranging.transpose, arranging.permute, arranging.flatten, arranging.unflatten, arranging.flip,
)  # fmt: skip
broadcast_to, tile = arranging.broadcast_to, arranging.tile
split, chunk, unbind = arranging.split, arranging.chunk, arranging.unbind
bmm, outer, einsum = arranging.bmm, arranging.outer, arranging.einsum
conv1d, conv2d = nn.functional.conv1d, nn.functional.conv2d
max_pool1d, max_pool2d = nn.functional.max_pool1d, nn.functional.max_pool2d
avg_pool1d = nn.functional.avg_pool1d
tensor, zeros, ones, full, eye = (
    constructors.tensor, constructors.zeros, constructors.ones, constructors.full, constructors.eye,
)  # fmt: skip
arange, linspace = constructors.arange, constructors.linspace
zeros_like, ones_like = constructors.zeros_like, constructors.ones_like
tril, triu = constructors.tril, constructors.triu
float64, double, int64, long = np.float64, np.float64, np.int64, np.int64


def _install_methods() -> None:
    """Let `x.tanh()` be the same as `xp.tanh(x)`, as in torch."""
    for name in (
        "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "abs", "sum", "mean",
        "matmul", "dot", "mv", "mm", "transpose", "t", "squeeze", "unsqueeze", "maximum", "pow",
        "add", "sub", "mul", "div", "neg", "softmax", "log_softmax", "logsumexp",
    ):  # fmt: skip
        setattr(Var, name, globals()[name])

    def reshape_method(self: Var, *shape: Any) -> Var:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        return _reshape(self, {"shape": tuple(sizes)})

    Var.reshape = Var.view = reshape_method  # type: ignore[attr-defined]
    tensor_functions.install_methods()


_install_methods()
