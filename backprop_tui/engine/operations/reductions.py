"""Reductions: many cells become fewer."""

import math
from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution

Dim = int | tuple[int, ...] | None
"""Which dimensions are reduced; None means all."""


def reduced_dims(ndim: int, dim: Dim) -> tuple[int, ...]:
    """The reduced dimensions, counted from the front, in order."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else dim
    return tuple(sorted(d % ndim for d in dims)) if ndim else ()


def expand(g: Value, a: Value, dim: Dim, keepdim: bool) -> Value:
    """Copy `g`, the gradient of a reduction, to every cell of `a` that was reduced into it."""
    if type(a) is float:
        return g
    shape = cast(Array, a).shape
    if type(g) is float:
        return np.full(shape, g)
    if not keepdim:
        g = np.expand_dims(g, reduced_dims(len(shape), dim))
    return np.broadcast_to(g, shape)


def added(a: Value, dim: Dim, keepdim: bool) -> Value:
    """The sum over some dimensions; what `np.sum` does behind its checks."""
    return cast(Value, np.add.reduce(cast(Any, a), axis=dim, keepdims=cast(Any, keepdim)))


class Sum(Operation):
    """The sum of the cells of a, over all or some dimensions."""

    name = "sum"
    symbol = "Σ"
    operands = ("a",)
    text = "sum(a)"
    why = "Cells are added up."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        if type(a) is float:
            return a
        return added(a, dim, keepdim)

    @contribution(
        "expand(g)",
        why="Each summed cell moves the sum by just as much as it moves itself, "
        "so each of them receives a copy of the upstream gradient.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return expand(g, a, dim, keepdim)


class Mean(Operation):
    """The mean of the cells of a, over all or some dimensions."""

    name = "mean"
    symbol = "mean"
    operands = ("a",)
    text = "mean(a)"
    why = "Cells are added up, and the sum is divided by their number."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        if type(a) is float:
            return a
        return added(a, dim, keepdim) / np.float64(averaged(a, dim))

    @contribution(
        "expand(g) / count",
        why="Each averaged cell moves the mean by its own move divided by their number, "
        "so each receives the upstream gradient divided by that number.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return expand(g, a, dim, keepdim) / np.float64(averaged(a, dim))


def averaged(a: Value, dim: Dim) -> int:
    """How many cells go into each cell of a mean over `dim`."""
    shape = () if type(a) is float else cast(Array, a).shape
    return math.prod(shape[d] for d in reduced_dims(len(shape), dim))
