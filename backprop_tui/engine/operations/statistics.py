"""How far cells spread: variance, standard deviation, and the length of a vector."""

from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations.base import Operation, Value, contribution
from backprop_tui.engine.operations.normalising import along, average
from backprop_tui.engine.operations.reductions import Dim, averaged, expand


def squares(a: Value, dim: Dim, keepdim: bool) -> Any:
    """The sum of the squared distances from the mean."""
    return np.sum((a - average(a, dim)) ** 2, axis=along(a, dim), keepdims=keepdim)


def divisor(a: Value, dim: Dim, correction: float) -> np.float64:
    """What a variance divides by: n − 1 for correction 1, n for correction 0."""
    return np.float64(averaged(a, dim) - correction)


class Var(Operation):
    """The variance over all or some dimensions."""

    name = "var"
    symbol = "var"
    operands = ("a",)
    text = "sum((a - average(a))**2) / (count - correction)"
    why = (
        "The squared distances from the mean, added up and divided by their number less the "
        "correction: torch divides by n − 1 unless told otherwise."
    )
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim, correction: float, keepdim: bool) -> Value:
        return cast(Value, squares(a, dim, keepdim) / np.maximum(divisor(a, dim, correction), 0.0))

    @contribution(
        "2 * expand(g) * (a - average(a)) / (count - correction)",
        why="The slope of a square is twice the distance. That each cell moves the mean as well "
        "changes nothing, as the distances add up to 0.",
    )
    def to_a(
        g: Value, out: Value, a: Value, *, dim: Dim, correction: float, keepdim: bool
    ) -> Value:
        distance = a - average(a, dim)
        slope = 2.0 / divisor(a, dim, correction) * expand(g, a, dim, keepdim) * distance
        return cast(Value, np.reshape(slope, np.shape(a)))

    @staticmethod
    def figures(
        out: Value, a: Value, *, dim: Dim, correction: float, keepdim: bool
    ) -> dict[str, Any]:
        return {"count": averaged(a, dim)}


class Std(Operation):
    """The standard deviation, the root of the variance, over all or some dimensions."""

    name = "std"
    symbol = "std"
    operands = ("a",)
    text = "sqrt(sum((a - average(a))**2) / (count - correction))"
    why = "The root of the variance: how far the cells typically are from their mean."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim, correction: float, keepdim: bool) -> Value:
        return cast(
            Value, np.sqrt(squares(a, dim, keepdim) / np.maximum(divisor(a, dim, correction), 0.0))
        )

    @contribution(
        "expand(g / out) * (a - average(a)) / (count - correction)",
        why="The slope of a root is 1 over twice the root, that of a square twice the distance. "
        "Where all cells are equal there is no slope, and torch's choice is 0.",
    )
    def to_a(
        g: Value, out: Value, a: Value, *, dim: Dim, correction: float, keepdim: bool
    ) -> Value:
        share = np.where(np.equal(out, 0.0), 0.0, np.divide(g, out))
        distance = a - average(a, dim)
        slope = expand(cast(Value, share), a, dim, keepdim) * distance
        return cast(Value, np.reshape(slope / divisor(a, dim, correction), np.shape(a)))

    figures = Var.figures

    @staticmethod
    def branches(a: Value, *, dim: Dim, correction: float, keepdim: bool) -> Value:
        return cast(Value, np.sign(squares(a, dim, keepdim)))


class Norm(Operation):
    """The length √Σa² of vectors along all or some dimensions."""

    name = "norm"
    symbol = "‖·‖"
    operands = ("a",)
    text = "sqrt(sum(a**2))"
    why = "The length of the vector: the root of the sum of its squared cells."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim, keepdim: bool) -> Value:
        return cast(Value, np.sqrt(np.sum(np.square(a), axis=along(a, dim), keepdims=keepdim)))

    @contribution(
        "expand(g / out) * a",
        why="A vector grows longer in its own direction: the slope is the vector scaled to length "
        "1. At length 0, where there is no slope, torch's choice is 0.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim, keepdim: bool) -> Value:
        share = np.where(np.equal(out, 0.0), 0.0, np.divide(g, out))
        return expand(cast(Value, share), a, dim, keepdim) * a

    @staticmethod
    def branches(a: Value, *, dim: Dim, keepdim: bool) -> Value:
        return cast(Value, np.sign(np.sum(np.square(a), axis=along(a, dim), keepdims=keepdim)))
