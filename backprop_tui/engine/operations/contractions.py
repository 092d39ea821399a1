"""Products along named axes: batches of matrices, the layer `linear`, outer products, einsum.

Each cell of a result is a sum of products of one cell of each operand; `axes_of` says which. The
products of plain vectors and matrices stand in `products`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution
from backprop_tui.engine.operations.products import (
    Dot,
    MatrixMatrix,
    MatrixVector,
    VectorMatrix,
    dot,
)

matmul = cast(Callable[[Array, Array], Array], np.matmul)
"""a @ b for batches: `dot` would pair all of them with all."""


class BatchedMatmul(Operation):
    """Matrices times matrices, (…, m, n) · (…, n, p) → (…, m, p); batch axes broadcast."""

    name = "matmul"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "For each place in the batch, a matrix is multiplied with a matrix."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return matmul(a, b)

    @contribution(
        "g @ b.mT",
        why="As for single matrices, the upstream gradient comes back through the second one "
        "transposed: for each place in the batch on its own.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return matmul(g, np.swapaxes(b, -1, -2))

    @contribution(
        "a.mT @ g",
        why="As for single matrices, it is the first one transposed, times the upstream gradient: "
        "for each place in the batch on its own.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return matmul(np.swapaxes(a, -1, -2), g)


class BatchedMatrixVector(Operation):
    """Matrices times one vector, (…, m, n) · (n) → (…, m)."""

    name = "matmul"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "Each row of each matrix is multiplied with the vector and summed."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return matmul(a, b)

    @contribution(
        "outer(g, b)",
        why="Cell (i, j) of a matrix carries input j to its output i, so it receives "
        "the upstream gradient of output i times input j.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return g[..., None] * b

    @contribution(
        "matrix(a).T @ flat(g)",
        why="Input j reaches every output through column j of every matrix, so it collects "
        "the upstream gradients weighted by those columns.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(a.reshape(-1, a.shape[-1]).T, g.reshape(-1))


class VectorBatchedMatrix(Operation):
    """One vector times matrices, (n) · (…, n, p) → (…, p)."""

    name = "matmul"
    symbol = "@"
    operands = ("a", "b")
    text = "a @ b"
    why = "The vector is multiplied with each column of each matrix and summed."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return matmul(a, b)

    @contribution(
        "matrix(b.mT).T @ flat(g)",
        why="Input i reaches every output through row i of every matrix, so it collects "
        "the upstream gradients weighted by those rows.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        columns = np.swapaxes(b, -1, -2)
        return dot(columns.reshape(-1, columns.shape[-1]).T, g.reshape(-1))

    @contribution(
        "outer(a, g)",
        why="Cell (i, j) of a matrix carries input i to its output j, so it receives "
        "input i times the upstream gradient of output j.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return a[:, None] * g[..., None, :]


class Outer(Operation):
    """Every cell of a vector times every cell of another, (m), (n) → (m, n)."""

    name = "outer"
    symbol = "⊗"
    operands = ("a", "b")
    text = "outer(a, b)"
    why = "Each cell of the first vector is multiplied with each cell of the second."
    elementwise = False

    @staticmethod
    def forward(a: Array, b: Array) -> Value:
        return a[:, None] * b

    @contribution(
        "g @ b",
        why="Cell i meets every cell of the second vector in row i, so it collects "
        "that row of upstream gradients weighted by the second vector.",
    )
    def to_a(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(g, b)

    @contribution(
        "g.T @ a",
        why="Cell j meets every cell of the first vector in column j, so it collects "
        "that column of upstream gradients weighted by the first vector.",
    )
    def to_b(g: Array, out: Array, a: Array, b: Array) -> Value:
        return dot(g.T, a)


def _affine(input: Array, weight: Array) -> Array:
    return dot(input, weight.T) if input.ndim <= 2 else matmul(input, weight.T)


def _to_layer_input(g: Array, weight: Array) -> Array:
    return dot(g, weight) if g.ndim <= 2 else matmul(g, weight)


def _to_layer_weight(g: Array, input: Array) -> Array:
    """Upstream gradient transposed times input, one matrix for each place in the batch."""
    if g.ndim == 1:
        return g[:, None] * input
    return matmul(np.swapaxes(g, -1, -2), input)


_WHY_INPUT = (
    "Input j reaches every output through column j of the weight matrix, "
    "so the upstream gradient comes back through that matrix itself."
)
_WHY_WEIGHT = (
    "Weight (i, j) carries input j to output i, so it receives the upstream gradient of "
    "output i times input j, added up over all rows that use it."
)


class Linear(Operation):
    """A layer: input @ weightᵀ + bias, (…, n), (m, n), (m) → (…, m)."""

    name = "linear"
    symbol = "linear"
    operands = ("input", "weight", "bias")
    text = "input @ weight.T + bias"
    why = "Each output is a weighted sum of all inputs plus its bias: one row of weights each."
    elementwise = False

    @staticmethod
    def forward(input: Array, weight: Array, bias: Array) -> Value:
        return _affine(input, weight) + bias

    @contribution("g @ weight", why=_WHY_INPUT)
    def to_input(g: Array, out: Array, input: Array, weight: Array, bias: Array) -> Value:
        return _to_layer_input(g, weight)

    @contribution("g.mT @ input", why=_WHY_WEIGHT)
    def to_weight(g: Array, out: Array, input: Array, weight: Array, bias: Array) -> Value:
        return _to_layer_weight(g, input)

    @contribution(
        "g",
        why="The bias is added to the output, so the upstream gradient passes unchanged, "
        "added up over all rows that it was added to.",
    )
    def to_bias(g: Array, out: Array, input: Array, weight: Array, bias: Array) -> Value:
        return g


class LinearWithoutBias(Operation):
    """A layer without a bias: input @ weightᵀ, (…, n), (m, n) → (…, m)."""

    name = "linear"
    symbol = "linear"
    operands = ("input", "weight")
    text = "input @ weight.T"
    why = "Each output is a weighted sum of all inputs: one row of weights each."
    elementwise = False

    @staticmethod
    def forward(input: Array, weight: Array) -> Value:
        return _affine(input, weight)

    @contribution("g @ weight", why=_WHY_INPUT)
    def to_input(g: Array, out: Array, input: Array, weight: Array) -> Value:
        return _to_layer_input(g, weight)

    @contribution("g.mT @ input", why=_WHY_WEIGHT)
    def to_weight(g: Array, out: Array, input: Array, weight: Array) -> Value:
        return _to_layer_weight(g, input)


class Einsum(Operation):
    """Two operands multiplied along axes with equal letters, the others summed: ik,kj->ij.

    `to_a` and `to_b` are the equations of the way back; see `turned_equations`.
    """

    name = "einsum"
    symbol = "einsum"
    operands = ("a", "b")
    text = "einsum(equation, a, b)"
    why = (
        "Cells of equal letters are multiplied; a letter that is missing in the result "
        "is summed over."
    )
    elementwise = False

    @staticmethod
    def forward(a: Value, b: Value, *, equation: str, to_a: str, to_b: str) -> Value:
        return _einsum(equation, a, b)

    @contribution(
        "einsum(to_a, g, b)",
        why="Each cell is multiplied by the cells of the other operand on its way to the result: "
        "the same equation, with result and operand exchanged.",
    )
    def to_a(
        g: Value, out: Value, a: Value, b: Value, *, equation: str, to_a: str, to_b: str
    ) -> Value:
        return _einsum(to_a, g, b)

    @contribution(
        "einsum(to_b, a, g)",
        why="Each cell is multiplied by the cells of the other operand on its way to the result: "
        "the same equation, with result and operand exchanged.",
    )
    def to_b(
        g: Value, out: Value, a: Value, b: Value, *, equation: str, to_a: str, to_b: str
    ) -> Value:
        return _einsum(to_b, a, g)


def _einsum(equation: str, a: Value, b: Value) -> Value:
    return cast(Value, np.einsum(equation, a, b))


def turned_equations(equation: str) -> dict[str, str]:
    """The parameters of `Einsum`: the equation in full, and those of the way back.

    Raises ValueError, in words, for what has no such equation: a letter twice in one operand, or
    one that is summed within a single operand.
    """
    equation = equation.replace(" ", "")
    left, arrow, out = equation.partition("->")
    parts = left.split(",")
    if len(parts) != 2 or not all(part.isalpha() or not part for part in (*parts, out)):
        raise ValueError("einsum is for two operands and plain letters, as in 'ik,kj->ij'")
    a, b = parts
    if not arrow:  # torch: then the letters that occur once, in alphabetical order
        out = "".join(sorted(x for x in set(a + b) if (a + b).count(x) == 1))
    for letters in (a, b, out):
        if len(set(letters)) < len(letters):
            raise ValueError(f"einsum: a letter stands twice in '{letters}'")
    for one, other in ((a, b), (b, a)):
        alone = set(one) - set(other) - set(out)
        if alone:
            raise ValueError(f"einsum: sum over '{min(alone)}' with sum() before")
    return {"equation": f"{a},{b}->{out}", "to_a": f"{out},{b}->{a}", "to_b": f"{a},{out}->{b}"}


# ── which cells meet ──────────────────────────────────────────────────────────────────────────


class Axes(NamedTuple):
    """The axes of two operands and of the result as letters; axes of one letter run together.

    An axis of an operand that was repeated (broadcast) has no letter: "".
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    out: tuple[str, ...]
    lengths: Mapping[str, int]


_RANKS: dict[type[Operation], tuple[str, str, str]] = {
    Dot: ("k", "k", ""),
    MatrixVector: ("ik", "k", "i"),
    VectorMatrix: ("k", "kj", "j"),
    MatrixMatrix: ("ik", "kj", "ij"),
    BatchedMatmul: ("ik", "kj", "ij"),
    BatchedMatrixVector: ("ik", "k", "i"),
    VectorBatchedMatrix: ("k", "kj", "j"),
    Outer: ("i", "j", "ij"),
    Linear: ("k", "jk", "j"),
    LinearWithoutBias: ("k", "jk", "j"),
}
"""The last axes of a, b and the result; further axes before them belong to the batch."""

CONTRACTIONS: frozenset[type[Operation]] = frozenset((*_RANKS, Einsum))
"""The operations of which each cell is a sum of products of one cell of each operand."""


def axes_of(
    op: type[Operation], params: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]
) -> Axes:
    """Which axes run together, for operands of these shapes (a third, a bias, is left aside)."""
    if op is Einsum:
        left, out = params["equation"].split("->")
        letters = (*left.split(","), out)
    else:
        letters = _RANKS[op]
    ends = [tuple(part) for part in letters]
    batch = [shape[: len(shape) - len(end)] for shape, end in zip(shapes, ends, strict=False)]
    full = np.broadcast_shapes(*batch[:2])
    names = tuple(f"batch{axis}" for axis in range(len(full)))
    lengths = dict(zip(names, full, strict=True))
    found: list[tuple[str, ...]] = []
    for shape, part, end in zip(shapes, batch, ends, strict=False):
        lengths.update(zip(end, shape[len(part) :], strict=True))
        own = names[len(names) - len(part) :]
        kept = tuple(
            name if length == lengths[name] else "" for name, length in zip(own, part, strict=True)
        )
        found.append((*kept, *end))
    return Axes(found[0], found[1], (*names, *ends[2]), lengths)
