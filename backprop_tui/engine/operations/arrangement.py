"""More operations that move or copy cells without changing them: permute, expand, repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution
from backprop_tui.engine.operations.shapes import shape_of


class Exchange(Operation):
    """Two of three or more dimensions exchanged; both are counted from the front."""

    name = "transpose"
    symbol = "ᵀ"
    operands = ("a",)
    text = "exchange(a, dim0, dim1)"
    why = "Two dimensions change places; the cells stay as they are."
    elementwise = False

    @staticmethod
    def forward(a: Array, *, dim0: int, dim1: int) -> Value:
        return np.swapaxes(a, dim0, dim1)

    @contribution(
        "exchange(g, dim0, dim1)",
        why="Each cell only changed places, so its gradient goes back to the old place: "
        "exchanging twice is doing nothing.",
    )
    def to_a(g: Array, out: Array, a: Array, *, dim0: int, dim1: int) -> Value:
        return np.swapaxes(g, dim0, dim1)


class Permute(Operation):
    """The dimensions of a in another order; `dims` are counted from the front."""

    name = "permute"
    symbol = "permute"
    operands = ("a",)
    text = "permute(a, dims)"
    why = "The dimensions are put in another order; the cells stay as they are."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dims: tuple[int, ...]) -> Value:
        return np.transpose(a, dims)

    @contribution(
        "permute(g, back)",
        why="Each cell only changed places, so its gradient goes back to the old place: "
        "the dimensions are put back in their old order.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dims: tuple[int, ...]) -> Value:
        return np.transpose(g, np.argsort(dims))

    @staticmethod
    def figures(out: Value, a: Value, *, dims: tuple[int, ...]) -> dict[str, Any]:
        return {"back": tuple(np.argsort(dims).tolist())}


class Expand(Operation):
    """The cells of a repeated along new dimensions and those of length 1, as in broadcasting."""

    name = "expand"
    symbol = "expand"
    operands = ("a",)
    text = "expand(a, shape)"
    why = "Cells are used again and again along the new dimensions and those of length 1."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, shape: tuple[int, ...]) -> Value:
        return np.broadcast_to(a, shape)

    @contribution(
        "g",
        why="Every copy moves just as much as the cell itself, so the gradients of all copies "
        "are added up.",
    )
    def to_a(g: Value, out: Value, a: Value, *, shape: tuple[int, ...]) -> Value:
        return g


class Repeat(Operation):
    """The whole of a written down several times along each dimension."""

    name = "repeat"
    symbol = "repeat"
    operands = ("a",)
    text = "repeat(a, sizes)"
    why = "The whole tensor is written down again and again, side by side."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, sizes: tuple[int, ...]) -> Value:
        return np.tile(a, sizes)

    @contribution(
        "copies(g, sizes)",
        why="Every copy moves just as much as the cell itself, so the gradients of all copies "
        "are added up.",
    )
    def to_a(g: Value, out: Value, a: Value, *, sizes: tuple[int, ...]) -> Value:
        own = (*[1] * (len(sizes) - len(shape_of(a))), *shape_of(a))
        # Before each axis of the operand, one of its copies.
        apart = np.reshape(g, [length for pair in zip(sizes, own, strict=True) for length in pair])
        return np.reshape(np.sum(apart, axis=tuple(range(0, apart.ndim, 2))), shape_of(a))
