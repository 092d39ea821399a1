"""Operations that choose: the largest or smallest cell, one operand or the other, rows of a table.

What was chosen receives the gradient; the rest receives none.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution
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
    """The upstream gradient to the extreme cells, in equal parts.

    The extreme may be nan, which equals nothing: then torch's max() (our `dim` None) gives it to
    all that are nan, and its amax, with dimensions, divides by the number of none.
    """
    chosen = is_extreme(out, a, dim, keepdim)
    if dim is None and np.isnan(out):
        chosen = np.isnan(a)
    ties = np.sum(chosen, axis=along(a, dim), keepdims=True)
    return cast(Value, np.reshape(chosen * expand(g, a, dim, keepdim) / ties, np.shape(a)))


_WHY_SHARED = (
    "The gradient goes to the cell that was chosen, as only that one moves the result. At a tie, "
    "where there is no slope, torch gives an equal part to each: it divides by the number of "
    "ties, which is 1 where only one cell was chosen."
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


# ── one operand or the other ──────────────────────────────────────────────────────────────────

_WHY_SMALLER = (
    "The whole gradient goes to the smaller operand. At a tie, where there is no slope, torch "
    "gives half to each."
)


def to_smaller(g: Value, mine: Value, other: Value) -> Value:
    """The gradient where `mine` is smaller, half of it at a tie."""
    passed = np.where(np.less(other, mine), 0.0, g)
    return cast(Value, np.where(np.equal(mine, other), np.multiply(g, 0.5), passed))


class Minimum(Operation):
    """The smaller of a and b, cell by cell."""

    name = "minimum"
    symbol = "min"
    operands = ("a", "b")
    text = "minimum(a, b)"
    why = "The smaller of the two wins; the other has no say."

    @staticmethod
    def forward(a: Value, b: Value) -> Value:
        return cast(Value, np.minimum(a, b))

    @contribution("g * (a < b) + g * (a == b) / 2", why=_WHY_SMALLER)
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        return to_smaller(g, a, b)

    @contribution("g * (b < a) + g * (a == b) / 2", why=_WHY_SMALLER)
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        return to_smaller(g, b, a)

    @staticmethod
    def branches(a: Value, b: Value) -> Value:
        return cast(Value, np.sign(np.subtract(a, b)))


Mask = NDArray[np.bool_]


class Where(Operation):
    """a where a condition holds, b elsewhere."""

    name = "where"
    symbol = "where"
    operands = ("a", "b")
    text = "where(condition, a, b)"
    why = (
        "Each cell is taken from the first operand where the condition holds, else from the other."
    )

    @staticmethod
    def forward(a: Value, b: Value, *, condition: Mask) -> Value:
        return cast(Value, np.where(condition, a, b))

    @contribution(
        "where(condition, g, 0)",
        why="Only where the condition holds has this operand been taken; elsewhere it has no say.",
    )
    def to_a(g: Value, out: Value, a: Value, b: Value, *, condition: Mask) -> Value:
        return cast(Value, np.where(condition, g, 0.0))

    @contribution(
        "where(condition, 0, g)",
        why="Only where the condition does not hold has this operand been taken.",
    )
    def to_b(g: Value, out: Value, a: Value, b: Value, *, condition: Mask) -> Value:
        return cast(Value, np.where(condition, 0.0, g))

    @staticmethod
    def branches(a: Value, b: Value, *, condition: Mask) -> Value:
        return cast(Value, condition)


class MaskedFill(Operation):
    """a number where a mask is set, a elsewhere."""

    name = "masked_fill"
    symbol = "mask"
    operands = ("a",)
    text = "where(mask, fill, a)"
    why = "Where the mask is set the cell is replaced by a fixed number; the others stay."

    @staticmethod
    def forward(a: Value, *, mask: Mask, fill: float) -> Value:
        return cast(Value, np.where(mask, fill, a))

    @contribution(
        "where(mask, 0, g)",
        why="A cell that was replaced has no say in the result, so it receives no gradient.",
    )
    def to_a(g: Value, out: Value, a: Value, *, mask: Mask, fill: float) -> Value:
        return cast(Value, np.where(mask, 0.0, g))

    @staticmethod
    def branches(a: Value, *, mask: Mask, fill: float) -> Value:
        return cast(Value, mask)


# ── cells and rows by number ──────────────────────────────────────────────────────────────────

Indices = NDArray[np.intp]


def places(index: Indices, dim: int) -> tuple[Indices, ...]:
    """Where each gathered cell stands: its own place, but for the one number that was given."""
    found: list[Any] = list(np.indices(index.shape))
    found[dim] = index
    return tuple(found)


class Gather(Operation):
    """One cell for each number in `index`, which says where it stands along a dimension."""

    name = "gather"
    symbol = "gather"
    operands = ("a",)
    text = "gather(a, index)"
    why = "Along one dimension the cells with the given numbers are picked out."
    elementwise = False

    @staticmethod
    def forward(a: Array, *, dim: int, index: Indices) -> Value:
        if not np.ndim(a):
            return cast(Value, np.full(index.shape, a))
        return cast(Value, a[places(index, dim)])

    @contribution(
        "scatter(g, index)",
        why="The picked cells receive the upstream gradient, the others 0. "
        "A cell picked several times receives the sum.",
    )
    def to_a(g: Value, out: Value, a: Array, *, dim: int, index: Indices) -> Value:
        if not np.ndim(a):
            return float(np.sum(g))
        back = np.zeros(a.shape)
        np.add.at(back, places(index, dim), cast(Any, g))  # counts cells that were picked twice
        return back


class Embedding(Operation):
    """Rows of a table: the row of each number in `index`."""

    name = "embedding"
    symbol = "rows"
    operands = ("weight",)
    text = "embedding(index, weight)"
    why = "Each number is replaced by its row of the table; the other rows are not used here."
    elementwise = False

    @staticmethod
    def forward(weight: Array, *, index: Indices) -> Value:
        return cast(Value, weight[index])

    @contribution(
        "scatter(g, index)",
        why="Each row that was looked up receives the gradient of its copy, the others 0. "
        "A row used several times receives the sum.",
    )
    def to_weight(g: Array, out: Array, weight: Array, *, index: Indices) -> Value:
        back = np.zeros(weight.shape)
        np.add.at(back, index, g)  # unlike back[index] += g this counts rows that were used twice
        return back
