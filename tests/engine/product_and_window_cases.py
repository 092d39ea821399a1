"""Random programs for products of any rank, copies, pieces, and windows. See `operation_cases`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop_tui.engine.operations import Operation
from backprop_tui.engine.operations.arrangement import Exchange, Expand, Permute, Repeat
from backprop_tui.engine.operations.contractions import (
    BatchedMatmul,
    BatchedMatrixVector,
    Einsum,
    Linear,
    LinearWithoutBias,
    Outer,
    VectorBatchedMatrix,
)
from backprop_tui.engine.operations.shapes import Index, Reshape, Transpose
from backprop_tui.engine.operations.spatial import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv1dWithoutBias,
    Conv2d,
    Conv2dWithoutBias,
    MaxPool1d,
    MaxPool2d,
)

Rng = np.random.Generator
Case = tuple[Callable[..., Any], dict[str, Any]]
Maker = Callable[[Rng], Case]


def signed(rng: Rng, *lengths: int) -> Any:
    """Numbers between 0.3 and 2, of either sign."""
    return rng.uniform(0.3, 2.0, lengths) * rng.choice([-1.0, 1.0], lengths)


def whole(rng: Rng, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return int(rng.integers(low, high + 1))


def lengths(rng: Rng, low: int, high: int) -> tuple[int, ...]:
    """A shape with `low` to `high` dimensions."""
    return tuple(whole(rng, 1, 3) for _ in range(whole(rng, low, high)))


def part_of(rng: Rng, batch: tuple[int, ...], *, all_of_it: bool) -> tuple[int, ...]:
    """Batch dimensions that broadcast to these."""
    if all_of_it:
        return batch
    kept = batch[whole(rng, 0, len(batch)) :]
    return tuple(1 if rng.random() < 0.4 else n for n in kept)


# ── products ──────────────────────────────────────────────────────────────────────────────────


def batched(rng: Rng) -> Case:
    batch = lengths(rng, 1, 2)
    m, n, p = (whole(rng, 1, 3) for _ in range(3))
    first = bool(rng.integers(0, 2))
    a = signed(rng, *part_of(rng, batch, all_of_it=first), m, n)
    b = signed(rng, *part_of(rng, batch, all_of_it=not first), n, p)
    if rng.integers(0, 2):
        return lambda xp, *, a, b: a @ b, {"a": a, "b": b}
    return lambda xp, *, a, b: xp.matmul(a, b), {"a": a, "b": b}


def batches_of_matrices(rng: Rng) -> Case:
    count, m, n, p = (whole(rng, 1, 3) for _ in range(4))
    leaves = {"a": signed(rng, count, m, n), "b": signed(rng, count, n, p)}
    if rng.integers(0, 2):
        return lambda xp, *, a, b: a.bmm(b), leaves
    return lambda xp, *, a, b: xp.bmm(a, b), leaves


def with_itself(rng: Rng) -> Case:
    return lambda xp, *, a: a @ a.mT, {"a": signed(rng, *lengths(rng, 1, 2), 2, 3)}


def batched_with_vector(rng: Rng) -> Case:
    m, n = whole(rng, 1, 3), whole(rng, 1, 3)
    leaves = {"a": signed(rng, *lengths(rng, 1, 2), m, n), "b": signed(rng, n)}
    return lambda xp, *, a, b: a @ b, leaves


def vector_with_batched(rng: Rng) -> Case:
    n, p = whole(rng, 1, 3), whole(rng, 1, 3)
    leaves = {"a": signed(rng, n), "b": signed(rng, *lengths(rng, 1, 2), n, p)}
    return lambda xp, *, a, b: a @ b, leaves


def outer(rng: Rng) -> Case:
    leaves = {"a": signed(rng, whole(rng, 1, 4)), "b": signed(rng, whole(rng, 1, 4))}
    if rng.integers(0, 2):
        return lambda xp, *, a, b: a.outer(b), leaves
    return lambda xp, *, a, b: xp.outer(a, b), leaves


def linear(bias: bool) -> Maker:
    def make(rng: Rng) -> Case:
        m, n = whole(rng, 1, 3), whole(rng, 1, 3)
        leaves = {"x": signed(rng, *lengths(rng, 0, 3), n), "W": signed(rng, m, n)}
        if bias:
            leaves["b"] = signed(rng, m)
            return lambda xp, *, x, W, b: xp.nn.functional.linear(x, W, b), leaves
        return lambda xp, *, x, W: xp.nn.functional.linear(x, W), leaves

    return make


EQUATIONS = [
    "ik,kj->ij", "bik,bkj->bij", "i,j->ij", "k,k->", "bij,bij->b", "bhqd,bhkd->bhqk",
    "ij,jk->ki", "ij,ij", "zi, iy", ",ij->ji",
]  # fmt: skip


def einsum(rng: Rng) -> Case:
    equation = EQUATIONS[whole(rng, 0, len(EQUATIONS) - 1)]
    left = equation.replace(" ", "").split("->")[0].split(",")
    length = {letter: whole(rng, 1, 3) for letter in "".join(left)}
    a, b = (signed(rng, *(length[x] for x in letters)) for letters in left)
    return lambda xp, *, a, b: xp.einsum(equation, a, b), {"a": a, "b": b}


# ── order, copies and pieces ──────────────────────────────────────────────────────────────────


def permuted(rng: Rng) -> Case:
    full = lengths(rng, 2, 4)
    order = [int(d) - (len(full) if rng.random() < 0.3 else 0) for d in rng.permutation(len(full))]
    if rng.integers(0, 2):
        return lambda xp, *, a: a.permute(*order), {"a": signed(rng, *full)}
    return lambda xp, *, a: xp.permute(a, order), {"a": signed(rng, *full)}


def expanded(rng: Rng) -> Case:
    full = lengths(rng, 1, 3)
    own = tuple(1 if rng.random() < 0.5 else n for n in full[whole(rng, 0, len(full)) :])
    new = len(full) - len(own)
    sizes = [
        -1 if axis >= new and own[axis - new] == n and rng.random() < 0.4 else n
        for axis, n in enumerate(full)
    ]
    if rng.integers(0, 2):
        return lambda xp, *, a: a.expand(*sizes), {"a": signed(rng, *own)}
    return lambda xp, *, a: xp.broadcast_to(a, tuple(sizes)), {"a": signed(rng, *own)}


def repeated(rng: Rng) -> Case:
    own = lengths(rng, 0, 2)
    sizes = tuple(whole(rng, 1, 3) for _ in range(whole(rng, max(1, len(own)), 3)))
    kind = whole(rng, 0, 2)
    if kind == 0:
        return lambda xp, *, a: a.repeat(*sizes), {"a": signed(rng, *own)}
    if kind == 1:
        return lambda xp, *, a: a.tile(*sizes), {"a": signed(rng, *own)}
    return lambda xp, *, a: xp.tile(a, sizes[-1:]), {"a": signed(rng, *own)}


def turned(rng: Rng) -> Case:
    full = lengths(rng, 1, 3)
    dims = [int(d) for d in rng.permutation(len(full))[: whole(rng, 1, len(full))]]
    return lambda xp, *, a: xp.flip(a, dims), {"a": signed(rng, *full)}


def one_of_several(rng: Rng) -> Case:
    """A piece of split, chunk or unbind; or all of them, joined with different weights."""
    full = lengths(rng, 1, 3)
    dim = whole(rng, -len(full), len(full) - 1)
    kind = whole(rng, 0, 4)
    size, times = whole(rng, 1, 3), whole(rng, 1, 4)
    sections = [whole(rng, 1, 2) for _ in range(whole(rng, 1, 3))]
    if kind == 2:
        full = tuple(sum(sections) if axis == dim % len(full) else n for axis, n in enumerate(full))

    def program(xp: Any, *, a: Any) -> Any:
        if kind == 0:
            pieces = xp.split(a, size, dim=dim)
        elif kind == 1:
            pieces = a.chunk(times, dim)
        elif kind == 2:
            pieces = a.split(sections, dim=dim)
        elif kind == 3:
            pieces = xp.unbind(a, dim)
        else:
            pieces = xp.chunk(a, times, dim)
        total = 0.0
        for number, piece in enumerate(pieces, 1):
            total = total + number * (piece * piece).sum()
        return total

    return program, {"a": signed(rng, *full)}


def merged(rng: Rng) -> Case:
    full = lengths(rng, 0, 4)
    if not full:
        return lambda xp, *, a: xp.flatten(a), {"a": signed(rng)}
    first = whole(rng, 0, len(full) - 1)
    last = whole(rng, first, len(full) - 1) - len(full)
    if rng.integers(0, 2):
        return lambda xp, *, a: a.flatten(first, last), {"a": signed(rng, *full)}
    return lambda xp, *, a: xp.flatten(a, first), {"a": signed(rng, *full)}


def parted(rng: Rng) -> Case:
    full = lengths(rng, 0, 2)
    dim = whole(rng, 0, len(full))
    a, b = whole(rng, 1, 3), whole(rng, 1, 3)
    shape = (*full[:dim], a * b, *full[dim:])
    sizes = [(a, b), (a, -1), (-1, b)][whole(rng, 0, 2)]
    return lambda xp, *, a: xp.unflatten(a, dim - len(shape), sizes), {"a": signed(rng, *shape)}


def batches_transposed(rng: Rng) -> Case:
    return lambda xp, *, a: a.mT, {"a": signed(rng, *lengths(rng, 3, 4))}


def exchanged(rng: Rng) -> Case:
    full = lengths(rng, 3, 4)
    dims = [whole(rng, -len(full), len(full) - 1) for _ in range(2)]
    if rng.integers(0, 2):
        return lambda xp, *, a: a.transpose(*dims), {"a": signed(rng, *full)}
    return lambda xp, *, a: xp.transpose(a, *dims), {"a": signed(rng, *full)}


# ── windows ───────────────────────────────────────────────────────────────────────────────────


def convolution(space: int, bias: bool) -> Maker:
    def make(rng: Rng) -> Case:
        n, c, o = whole(rng, 1, 2), whole(rng, 1, 2), whole(rng, 1, 2)
        kernel = tuple(whole(rng, 1, 3) for _ in range(space))
        stride = tuple(whole(rng, 1, 2) for _ in range(space))
        padding = tuple(whole(rng, 0, 2) for _ in range(space))
        dilation = tuple(whole(rng, 1, 2) for _ in range(space))
        length = tuple(
            max(1, d * (k - 1) + 1 - 2 * p) + whole(rng, 0, 2)
            for k, p, d in zip(kernel, padding, dilation, strict=True)
        )
        alone = bool(rng.integers(0, 2))  # a single example has no dimension of examples
        leaves = {
            "x": signed(rng, *([] if alone else [n]), c, *length),
            "w": signed(rng, o, c, *kernel),
        }
        options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        if rng.integers(0, 2) and space == 1:
            options = {key: value[0] for key, value in options.items()}
        name = f"conv{space}d"
        in_nn = bool(rng.integers(0, 2))

        def conv(xp: Any) -> Any:
            return getattr(xp.nn.functional if in_nn else xp, name)

        if bias:
            leaves["b"] = signed(rng, o)
            return lambda xp, *, x, w, b: conv(xp)(x, w, b, **options), leaves
        return lambda xp, *, x, w: conv(xp)(x, w, **options), leaves

    return make


def pooling(space: int, kind: str = "max") -> Maker:
    def make(rng: Rng) -> Case:
        kernel = tuple(whole(rng, 1, 3) for _ in range(space))
        stride: Any = tuple(whole(rng, 1, 3) for _ in range(space))
        padding = tuple(whole(rng, 0, k // 2) for k in kernel)
        length = tuple(
            max(1, k - 2 * p) + whole(rng, 0, 3) for k, p in zip(kernel, padding, strict=True)
        )
        alone = bool(rng.integers(0, 2))
        full = (*([] if alone else [whole(rng, 1, 2)]), whole(rng, 1, 2), *length)
        # Numbers that never tie: all different, a step apart.
        a = (rng.permutation(int(np.prod(full))) * 0.37 - 1.03).reshape(full)
        given: Any = kernel[0] if len(set(kernel)) == 1 and rng.integers(0, 2) else kernel
        options: dict[str, Any] = {} if rng.integers(0, 2) else {"stride": stride}
        options["padding"] = padding
        name = f"{kind}_pool{space}d"
        if rng.integers(0, 2) and name != "avg_pool2d":  # which torch has in nn.functional only
            return lambda xp, *, a: getattr(xp, name)(a, given, **options), {"a": a}
        return lambda xp, *, a: getattr(xp.nn.functional, name)(a, given, **options), {"a": a}

    return make


MORE_MAKERS: dict[type[Operation], dict[str, Maker]] = {
    BatchedMatmul: {"a@b": batched, "bmm": batches_of_matrices, "x@x.mT": with_itself},
    BatchedMatrixVector: {"a@b": batched_with_vector},
    VectorBatchedMatrix: {"a@b": vector_with_batched},
    Outer: {"outer": outer},
    Linear: {"linear": linear(True)},
    LinearWithoutBias: {"linear": linear(False)},
    Einsum: {"einsum": einsum},
    Permute: {"permute": permuted},
    Expand: {"expand": expanded},
    Repeat: {"repeat": repeated},
    Conv1d: {"conv1d": convolution(1, True)},
    Conv1dWithoutBias: {"conv1d": convolution(1, False)},
    Conv2d: {"conv2d": convolution(2, True)},
    Conv2dWithoutBias: {"conv2d": convolution(2, False)},
    MaxPool1d: {"max_pool1d": pooling(1)},
    MaxPool2d: {"max_pool2d": pooling(2)},
    AvgPool1d: {"avg_pool1d": pooling(1, "avg")},
    AvgPool2d: {"avg_pool2d": pooling(2, "avg")},
    Index: {"flip": turned, "split, chunk, unbind": one_of_several},
    Reshape: {"flatten": merged, "unflatten": parted},
    Transpose: {
        ".mT": lambda rng: (lambda xp, *, a: a.mT, {"a": signed(rng, 2, whole(rng, 1, 3))})
    },
    Exchange: {"transpose": exchanged, ".mT": batches_transposed},
}
"""To be added to those of `operation_cases`."""
