"""Products of vectors and matrices. One operation a rank, so that each rule stays one line."""

from collections.abc import Callable
from typing import cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution

dot = cast(Callable[[Array, Array], Array], np.ndarray.dot)
"""a @ b: for small arrays several times faster than the operator."""


class Dot(Operation):
    """The dot product of two vectors (n) · (n) → scalar."""

    name = "dot"
    symbol = "·"
    operands = ("a", "b")
    text = "a @ b"
    why = "Matching cells are multiplied and the products added up."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return float(dot(a, b))

    @contribution("g * b", why="Each cell is multiplied by its partner, so that is its slope.")
    def to_a(g: float, out: float, a: Array, b: Array) -> Value:
        return g * b

    @contribution("g * a", why="Each cell is multiplied by its partner, so that is its slope.")
    def to_b(g: float, out: float, a: Array, b: Array) -> Value:
        return g * a


class MatrixVector(Operation):
    """A matrix times a vector, (m, n) · (n) → (m)."""

    name = "mv"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "Each row of the matrix is multiplied with the vector and summed."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return dot(a, b)

    @contribution(
        "outer(g, b)",
        why="Cell (i, j) of the matrix carries input j to output i, so it receives "
        "the upstream gradient of output i times input j.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return g[:, None] * b

    @contribution(
        "a.T @ g",
        why="Input j reaches every output through column j, so it collects "
        "the upstream gradients weighted by that column: the transpose.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(a.T, g)


class VectorMatrix(Operation):
    """A vector times a matrix, (n) · (n, p) → (p)."""

    name = "matmul"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "The vector is multiplied with each column of the matrix and summed."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return dot(a, b)

    @contribution(
        "g @ b.T",
        why="Input i reaches every output through row i, so it collects "
        "the upstream gradients weighted by that row: the transpose.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(g, b.T)

    @contribution(
        "outer(a, g)",
        why="Cell (i, j) of the matrix carries input i to output j, so it receives "
        "input i times the upstream gradient of output j.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return a[:, None] * g


class MatrixMatrix(Operation):
    """A matrix times a matrix, (m, n) · (n, p) → (m, p)."""

    name = "mm"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "Each row of the first matrix is multiplied with each column of the second and summed."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return dot(a, b)

    @contribution(
        "g @ b.T",
        why="A row of the first matrix reaches every output of its row through the second matrix, "
        "so the upstream gradient comes back through that matrix transposed.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(g, b.T)

    @contribution(
        "a.T @ g",
        why="The second matrix is used by every row of the first, so its gradient sums over "
        "those rows: the first matrix transposed, times the upstream gradient.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(a.T, g)
