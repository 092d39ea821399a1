"""Operations that choose: the largest or smallest cell, one operand or the other, rows of a table.

What was chosen receives the gradient; the rest receives none.
"""

from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations.base import Operation, Value, contribution
from backprop_tui.engine.operations.normalising import along
from backprop_tui.engine.operations.reductions import Dim, expand


def extreme(a: Value, dim: Dim, keepdim: bool, sign: float) -> Any:
    """The largest (sign 1) or smallest (sign −1) cell along dimensions; nan if there is one."""
    find = np.max if sign > 0 else np.min
    return find(a, axis=along(a, dim), keepdims=keepdim)


def is_extreme(out: Value, a: Value, dim: Dim, keepdim: bool) -> Any:
    """Whether each cell is the largest (smallest) of its group: several are at a tie."""
    return np.equal(a, expand(out, a, dim, keepdim))


def shared(g: Value, out: Value, a: Value, dim: Dim, keepdim: bool) -> Value:
    """The upstream gradient to the extreme cells, in equal parts."""
    chosen = is_extreme(out, a, dim, keepdim)
    ties = np.sum(chosen, axis=along(a, dim), keepdims=True)
    return cast(Value, np.reshape(chosen * expand(g, a, dim, keepdim) / ties, np.shape(a)))


_WHY_SHARED = (
    "The gradient goes to the cell that was chosen, as only that one moves the result. At a tie, "
    "where there is no slope, torch gives an equal part to each."
)


class Amax(Operation):
    """The largest cell over all or some dimensions."""

    name = "amax"
    symbol = "max"
    operands = ("a",)
    text = "amax(a)"
    why = "The largest cell is the result; the others have no say."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return cast(Value, extreme(a, dim, keepdim, 1.0))

    @contribution("expand(g / ties) * (a == expand(out))", why=_WHY_SHARED)
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return shared(g, out, a, dim, keepdim)

    @staticmethod
    def figures(out: Value, a: Value, *, dim: Dim = None, keepdim: bool = False) -> dict[str, Any]:
        chosen = is_extreme(out, a, dim, keepdim)
        return {"ties": np.sum(chosen, axis=along(a, dim), keepdims=keepdim)}

    @staticmethod
    def branches(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return cast(Value, is_extreme(extreme(a, dim, keepdim, 1.0), a, dim, keepdim))


class Amin(Operation):
    """The smallest cell over all or some dimensions."""

    name = "amin"
    symbol = "min"
    operands = ("a",)
    text = "amin(a)"
    why = "The smallest cell is the result; the others have no say."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return cast(Value, extreme(a, dim, keepdim, -1.0))

    @contribution("expand(g / ties) * (a == expand(out))", why=_WHY_SHARED)
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return shared(g, out, a, dim, keepdim)

    figures = Amax.figures

    @staticmethod
    def branches(a: Value, *, dim: Dim = None, keepdim: bool = False) -> Value:
        return cast(Value, is_extreme(extreme(a, dim, keepdim, -1.0), a, dim, keepdim))


def first_extreme(a: Value, dim: int, sign: float) -> Any:
    """The index of the first largest (sign 1) or smallest cell along a dimension, kept."""
    find = np.argmax if sign > 0 else np.argmin
    return np.expand_dims(find(np.atleast_1d(a), axis=dim), dim)


def to_first(g: Value, a: Value, dim: int, keepdim: bool, sign: float) -> Value:
    """The upstream gradient to the first of the extreme cells along a dimension."""
    if not np.ndim(a):
        return g
    back = np.zeros(np.shape(a))
    kept = g if keepdim else np.expand_dims(g, dim)
    np.put_along_axis(back, first_extreme(a, dim, sign), cast(Any, kept), dim)
    return back


def index_of_first(a: Value, dim: int, keepdim: bool, sign: float) -> Any:
    """What torch returns as `indices` beside the largest (smallest) cells."""
    found = first_extreme(a, dim, sign)
    return found if keepdim and np.ndim(a) else np.squeeze(found, dim)


_WHY_FIRST = (
    "The gradient goes to the cell that was chosen, as only that one moves the result. At a tie, "
    "where there is no slope, torch gives it all to the first."
)


class Max(Operation):
    """The largest cell along one dimension."""

    name = "max"
    symbol = "max"
    operands = ("a",)
    text = "amax(a)"
    why = "The largest cell along the dimension is the result; the others have no say."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return cast(Value, extreme(a, dim, keepdim, 1.0))

    @contribution("expand(g) * first(a == expand(out))", why=_WHY_FIRST)
    def to_a(g: Value, out: Value, a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return to_first(g, a, dim, keepdim, 1.0)

    @staticmethod
    def branches(a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return cast(Value, is_extreme(extreme(a, dim, keepdim, 1.0), a, dim, keepdim))


class Min(Operation):
    """The smallest cell along one dimension."""

    name = "min"
    symbol = "min"
    operands = ("a",)
    text = "amin(a)"
    why = "The smallest cell along the dimension is the result; the others have no say."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return cast(Value, extreme(a, dim, keepdim, -1.0))

    @contribution("expand(g) * first(a == expand(out))", why=_WHY_FIRST)
    def to_a(g: Value, out: Value, a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return to_first(g, a, dim, keepdim, -1.0)

    @staticmethod
    def branches(a: Value, *, dim: int, keepdim: bool = False) -> Value:
        return cast(Value, is_extreme(extreme(a, dim, keepdim, -1.0), a, dim, keepdim))
