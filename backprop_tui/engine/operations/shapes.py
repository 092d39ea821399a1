"""Operations that move cells around without changing them: their gradients move back."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution


def shape_of(a: Value) -> tuple[int, ...]:
    """The shape; a float has none."""
    return () if type(a) is float else cast(Array, a).shape


def exchanged(a: Value, dim0: int, dim1: int) -> Value:
    """a with two dimensions exchanged; a float has none to exchange."""
    if type(a) is float:
        return a
    array = cast(Array, a)
    if array.ndim == 2 and dim0 != dim1:
        return array.T if dim0 % 2 != dim1 % 2 else array
    return np.swapaxes(array, dim0, dim1)


class Transpose(Operation):
    """Two dimensions of a exchanged."""

    name = "transpose"
    symbol = "ᵀ"
    operands = ("a",)
    text = "transpose(a, dim0, dim1)"
    why = "Rows become columns and columns become rows."
    elementwise = False

    @staticmethod
    def forward(a: Array, *, dim0: int, dim1: int) -> Value:
        return exchanged(a, dim0, dim1)

    @contribution(
        "transpose(g, dim0, dim1)",
        why="Each cell only changed places, so its gradient goes back to the old place: "
        "transposing twice is doing nothing.",
    )
    def to_a(g: Array, out: Array, a: Array, *, dim0: int, dim1: int) -> Value:
        return exchanged(g, dim0, dim1)


class Reshape(Operation):
    """The same cells in the same order, in another shape."""

    name = "reshape"
    symbol = "reshape"
    operands = ("a",)
    text = "reshape(a, shape)"
    why = "The same cells in the same order, written in another shape."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, shape: tuple[int, ...]) -> Value:
        return np.reshape(a, shape)

    @contribution(
        "reshape(g, shape_of(a))",
        why="No cell was changed, so the gradient is put back into the operand's shape.",
    )
    def to_a(g: Value, out: Value, a: Value, *, shape: tuple[int, ...]) -> Value:
        return np.reshape(g, shape_of(a))


class Squeeze(Operation):
    """Dimensions of length 1 removed: one of them, or all."""

    name = "squeeze"
    symbol = "squeeze"
    operands = ("a",)
    text = "reshape(a, shape_of(out))"
    why = "Dimensions of length 1 are dropped; the cells stay as they are."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int | tuple[int, ...] | None = None) -> Value:
        if type(a) is float or dim is None:
            return np.squeeze(a)
        dims = (dim,) if isinstance(dim, int) else dim
        return np.squeeze(a, tuple(d for d in dims if shape_of(a)[d] == 1))

    @contribution(
        "reshape(g, shape_of(a))",
        why="No cell was changed, so the gradient is put back into the operand's shape.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: int | tuple[int, ...] | None = None) -> Value:
        return np.reshape(g, shape_of(a))


class Unsqueeze(Operation):
    """A dimension of length 1 inserted at dim."""

    name = "unsqueeze"
    symbol = "unsqueeze"
    operands = ("a",)
    text = "reshape(a, shape_of(out))"
    why = "A dimension of length 1 is added; the cells stay as they are."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int) -> Value:
        return np.expand_dims(a, dim)

    @contribution(
        "reshape(g, shape_of(a))",
        why="No cell was changed, so the gradient is put back into the operand's shape.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: int) -> Value:
        return np.reshape(g, shape_of(a))


def pick(a: NDArray[Any], index: Any) -> NDArray[Any]:
    """a[index] as torch understands it.

    Numpy differs in one point: it treats a number beside a list as another list. Torch takes the
    numbers first, and then the lists from what is left.
    """
    if isinstance(index, tuple) and any(map(_is_list, index)) and any(map(_is_number, index)):
        numbers = tuple(slice(None) if _is_list(part) else part for part in index)
        lists = tuple(
            part if _is_list(part) or part is Ellipsis else slice(None)
            for part in index
            if not _is_number(part)
        )
        a, index = a[numbers], lists
    return cast(NDArray[Any], a[index])


def scatter(g: Value, index: Any, shape: tuple[int, ...]) -> Array:
    """The gradient `g` of a[index], put back to where the cells came from; 0 elsewhere.

    A cell that was picked several times receives the sum.
    """
    back = np.zeros(shape)
    parts = index if isinstance(index, tuple) else (index,)
    if type(index) is not int and any(map(_is_list, parts)):
        cells = pick(np.arange(back.size).reshape(shape), index)
        # Unlike back[index] += g this counts cells that were picked twice.
        np.add.at(back.reshape(-1), cells, cast(Any, g))
    else:
        back[index] = g
    return back


def _is_list(part: Any) -> bool:
    return isinstance(part, list | np.ndarray)


def _is_number(part: Any) -> bool:
    return isinstance(part, int | np.integer) and not isinstance(part, bool)


class Index(Operation):
    """a[index]: a cell, a row, a slice, or rows by a list of numbers."""

    name = "getitem"
    symbol = "[ ]"
    operands = ("a",)
    text = "a[index]"
    why = "Some of the cells are picked out; the others are not used here."
    elementwise = False

    @staticmethod
    def forward(a: Array, *, index: Any) -> Value:
        return pick(np.asarray(a), index)

    @contribution(
        "scatter(g, index)",
        why="The picked cells receive the upstream gradient, the others 0. "
        "A cell picked several times receives the sum.",
    )
    def to_a(g: Value, out: Value, a: Array, *, index: Any) -> Value:
        return scatter(g, index, shape_of(a))


class Cat(Operation):
    """Tensors joined along an existing dimension."""

    name = "cat"
    symbol = "cat"
    operands = ("a", "…")
    text = "cat(operands, dim)"
    why = "The operands are put one after the other."
    elementwise = False
    variadic = True

    @staticmethod
    def forward(*operands: Array, dim: int) -> Value:
        return np.concatenate(operands, axis=dim)

    @contribution(
        "narrow(g, slot)",
        why="Each operand fills a part of the result, and receives that part of the gradient.",
    )
    def to_operand(g: Array, out: Array, *operands: Array, dim: int, slot: int) -> Value:
        start = sum(operand.shape[dim] for operand in operands[:slot])
        part = [slice(None)] * g.ndim
        part[dim] = slice(start, start + operands[slot].shape[dim])
        return g[tuple(part)]


class Stack(Operation):
    """Tensors of one shape joined along a new dimension."""

    name = "stack"
    symbol = "stack"
    operands = ("a", "…")
    text = "stack(operands, dim)"
    why = "The operands become the rows of a new dimension."
    elementwise = False
    variadic = True

    @staticmethod
    def forward(*operands: Value, dim: int) -> Value:
        return np.stack(operands, axis=dim)

    @contribution(
        "select(g, slot)",
        why="Each operand is one row of the new dimension, and receives that row of the gradient.",
    )
    def to_operand(g: Array, out: Array, *operands: Value, dim: int, slot: int) -> Value:
        return cast(Value, np.take(g, slot, axis=dim))
