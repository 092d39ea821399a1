"""Cases for the operations of networks: softmax, losses, norms, statistics, and those that choose.

See `operation_cases`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from case_helpers import (
    Case,
    Maker,
    Rng,
    apart,
    broadcastable,
    positive,
    shape,
    signed,
    unary,
)

from backprop_tui.engine.operations import Operation
from backprop_tui.engine.operations.activations import (
    Clamp,
    ClampMax,
    ClampMin,
    CumSum,
    Detach,
    Gelu,
    LeakyRelu,
    Log1p,
    Reciprocal,
    Rsqrt,
    Silu,
    Softplus,
    Square,
)
from backprop_tui.engine.operations.losses import (
    CrossEntropy,
    CrossEntropySum,
    MseLoss,
    MseLossSum,
)
from backprop_tui.engine.operations.normalising import (
    BatchNorm,
    LayerNorm,
    LogSoftmax,
    LogSumExp,
    ScaledBatchNorm,
    ScaledLayerNorm,
    Softmax,
)
from backprop_tui.engine.operations.selection import (
    Amax,
    Amin,
    Embedding,
    Gather,
    MaskedFill,
    Max,
    Min,
    Minimum,
    Where,
)
from backprop_tui.engine.operations.statistics import Norm, Std, Var


def lengths(rng: Rng, count: int, low: int = 1, high: int = 4) -> tuple[int, ...]:
    """So many sizes."""
    return tuple(int(n) for n in rng.integers(low, high + 1, count))


def some_dim(rng: Rng, rank: int) -> int:
    """One dimension, counted from the front or the back; 0 or −1 for a scalar."""
    return int(rng.integers(-max(1, rank), max(1, rank)))


def some_dims(rng: Rng, rank: int) -> Any:
    """A dimension, several of them, or none."""
    if not rank:
        return None
    kind = int(rng.integers(0, 3))
    if kind == 0:
        return some_dim(rng, rank)
    chosen = rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False)
    return (
        tuple(int(d) - (rank if rng.random() < 0.5 else 0) for d in chosen) if kind == 1 else None
    )


def along(function: Callable[..., Any]) -> Maker:
    """`function(xp, a, dim)`."""

    def make(rng: Rng) -> Case:
        full = shape(rng)
        dim = some_dim(rng, len(full))
        return lambda xp, *, a: function(xp, a, dim), {"a": signed(rng, full)}

    return make


def distinct(rng: Rng, full: tuple[int, ...]) -> Any:
    """Numbers no two of which are close to each other."""
    size = int(np.prod(full))
    return (rng.permutation(size) * 0.5 - 0.25 * size + 0.1).reshape(full)


def reduced(function: Callable[..., Any], draw: Callable[..., Any] = signed, low: int = 0) -> Maker:
    """`function(xp, a, dim, keepdim)`, with any dimensions or none."""

    def make(rng: Rng) -> Case:
        full = shape(rng, low)
        dim, keepdim = some_dims(rng, len(full)), bool(rng.integers(0, 2))
        return lambda xp, *, a: function(xp, a, dim, keepdim), {"a": draw(rng, full)}

    return make


def chosen_along(name: str) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng)
        dim, keepdim = some_dim(rng, len(full)), bool(rng.integers(0, 2))

        def program(xp: Any, *, a: Any) -> Any:
            values, indices = getattr(xp, name)(a, dim, keepdim)
            assert tuple(values.shape) == tuple(indices.shape)
            return values

        return program, {"a": distinct(rng, full)}

    return make


def logsumexp(rng: Rng) -> Case:
    full = shape(rng, 1)
    rank = len(full)
    dim = some_dims(rng, rank)
    dim = tuple(range(rank)) if dim is None else dim
    keepdim = bool(rng.integers(0, 2))
    return lambda xp, *, a: xp.logsumexp(a, dim, keepdim=keepdim), {"a": signed(rng, full)}


def cross_entropy(reduction: str) -> Maker:
    def make(rng: Rng) -> Case:
        examples, classes = lengths(rng, 2)
        full = (examples, classes) if rng.random() < 0.75 else (classes,)
        target = rng.integers(0, classes, full[:-1]).tolist()

        def program(xp: Any, *, a: Any) -> Any:
            function = xp.nn.functional.cross_entropy
            if reduction == "mean":
                return function(a, xp.tensor(target))
            return function(a, xp.tensor(target), reduction=reduction)

        return program, {"a": signed(rng, full)}

    return make


def mse_loss(reduction: str) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng)
        leaves = {"a": signed(rng, full), "b": signed(rng, full)}
        return (
            lambda xp, *, a, b: xp.nn.functional.mse_loss(a, b, reduction=reduction),
            leaves,
        )

    return make


def layer_norm(scaled: bool) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng, 1)
        full = (*full[:-1], int(rng.integers(2, 5)))
        last = full[-int(rng.integers(1, len(full) + 1)) :]
        eps = float(rng.choice([1e-5, 0.1]))
        if not scaled:
            return (
                lambda xp, *, a: xp.nn.functional.layer_norm(a, last, eps=eps),
                {"a": distinct(rng, full)},
            )
        leaves = {"a": distinct(rng, full), "w": signed(rng, last), "b": signed(rng, last)}
        return (
            lambda xp, *, a, w, b: xp.nn.functional.layer_norm(a, last, w, b, eps),
            leaves,
        )

    return make


def batch_norm(scaled: bool) -> Maker:
    def make(rng: Rng) -> Case:
        examples, features = int(rng.integers(2, 5)), int(rng.integers(1, 4))
        eps = float(rng.choice([1e-5, 0.1]))
        leaves = {"a": distinct(rng, (examples, features))}
        if scaled:
            leaves |= {"w": signed(rng, (features,)), "b": signed(rng, (features,))}

        def program(xp: Any, *, a: Any, w: Any = None, b: Any = None) -> Any:
            return xp.nn.functional.batch_norm(a, None, None, w, b, training=True, eps=eps)

        return program, leaves

    return make


def spread(name: str) -> Maker:
    """var and std with all of torch's spellings."""

    def make(rng: Rng) -> Case:
        full = tuple(int(n) for n in rng.integers(2, 4, int(rng.integers(1, 4))))
        dim, keepdim = some_dims(rng, len(full)), bool(rng.integers(0, 2))
        spelling = int(rng.integers(0, 5))

        def program(xp: Any, *, a: Any) -> Any:
            function = getattr(xp, name)
            if spelling == 0:
                return function(a)
            if spelling == 1:
                return getattr(a, name)(False)
            if spelling == 2:
                return function(a, dim, keepdim=keepdim)
            if spelling == 3:
                return getattr(a, name)(dim=dim, unbiased=False, keepdim=keepdim)
            return function(a, dim=dim, correction=0, keepdim=keepdim)

        return program, {"a": distinct(rng, full)}

    return make


def minimum_of_two(rng: Rng) -> Case:
    full = shape(rng)
    a, _ = apart(rng, broadcastable(rng, full))
    _, b = apart(rng, broadcastable(rng, full))
    return lambda xp, *, a, b: xp.minimum(a, b), {"a": a, "b": b}


def off_the_halves(rng: Rng, full: tuple[int, ...]) -> Any:
    """Numbers that keep away from 1 and from -0.5, where the cases below have their limits."""
    return rng.integers(-6, 7, full) * 0.5 + 0.2


def masked(function: Callable[..., Any], draw_b: Callable[..., Any] = signed) -> Maker:
    """`function(xp, a, b, mask)`, all of which broadcast."""

    def make(rng: Rng) -> Case:
        full = shape(rng)
        mask = (rng.random(broadcastable(rng, full)) < 0.5).tolist()
        leaves = {
            "a": signed(rng, broadcastable(rng, full)),
            "b": draw_b(rng, broadcastable(rng, full)),
        }
        return (
            lambda xp, *, a, b: function(xp, a, b, xp.tensor(mask)),
            leaves,
        )

    return make


def gathered(rng: Rng) -> Case:
    full = shape(rng)
    dim = some_dim(rng, len(full))
    sizes = [int(rng.integers(1, n + 1)) for n in full]
    if sizes:
        sizes[dim] = int(rng.integers(1, 5))
    index = rng.integers(0, full[dim] if full else 1, sizes).tolist()
    as_method = bool(rng.integers(0, 2))

    def program(xp: Any, *, a: Any) -> Any:
        places = xp.tensor(index)
        return a.gather(dim, places) if as_method else xp.gather(a, dim, places)

    return program, {"a": signed(rng, full)}


def embedded(function: Callable[..., Any]) -> Maker:
    def make(rng: Rng) -> Case:
        rows, columns = lengths(rng, 2)
        index = rng.integers(0, rows, shape(rng, 0, 2)).tolist()
        table = signed(rng, (rows, columns))
        return lambda xp, *, a: function(xp, a, xp.tensor(index)), {"a": table}

    return make


def functional(name: str, *arguments: Any) -> Callable[..., Any]:
    """xp.nn.functional.<name> as a function of (xp, a)."""
    return lambda xp, a: getattr(xp.nn.functional, name)(a, *arguments)


NETWORK_MAKERS: dict[type[Operation], dict[str, Maker]] = {
    Softmax: {
        "softmax": along(lambda xp, a, dim: xp.softmax(a, dim)),
        ".softmax": along(lambda xp, a, dim: a.softmax(dim=dim)),
        "F.softmax": along(lambda xp, a, dim: xp.nn.functional.softmax(a, dim=dim)),
    },
    LogSoftmax: {
        "log_softmax": along(lambda xp, a, dim: xp.log_softmax(a, dim)),
        "F.log_softmax": along(lambda xp, a, dim: xp.nn.functional.log_softmax(a, dim)),
    },
    LogSumExp: {"logsumexp": logsumexp},
    CrossEntropy: {"cross_entropy": cross_entropy("mean")},
    CrossEntropySum: {"cross_entropy": cross_entropy("sum")},
    MseLoss: {"mse_loss": mse_loss("mean")},
    MseLossSum: {"mse_loss": mse_loss("sum")},
    LayerNorm: {"layer_norm": layer_norm(scaled=False)},
    ScaledLayerNorm: {"layer_norm": layer_norm(scaled=True)},
    BatchNorm: {"batch_norm": batch_norm(scaled=False)},
    ScaledBatchNorm: {"batch_norm": batch_norm(scaled=True)},
    Var: {"var": spread("var")},
    Std: {"std": spread("std")},
    Norm: {
        "linalg.norm": reduced(
            lambda xp, a, dim, keep: xp.linalg.norm(a, dim=_flat(dim), keepdim=keep)
        ),
        "vector_norm": reduced(
            lambda xp, a, dim, keep: xp.linalg.vector_norm(a, dim=dim, keepdim=keep)
        ),
        ".norm": reduced(lambda xp, a, dim, keep: a.norm(dim=_flat(dim), keepdim=keep)),
    },
    Amax: {
        "amax": reduced(
            lambda xp, a, dim, keep: xp.amax(a, () if dim is None else dim, keep), distinct
        ),
        "max": reduced(lambda xp, a, dim, keep: a.max(), distinct),
    },
    Amin: {
        "amin": reduced(
            lambda xp, a, dim, keep: a.amin(() if dim is None else dim, keepdim=keep), distinct
        ),
        "min": reduced(lambda xp, a, dim, keep: xp.min(a), distinct),
    },
    Max: {"max": chosen_along("max")},
    Min: {"min": chosen_along("min")},
    Gelu: {"gelu": unary(functional("gelu"))},
    Silu: {"silu": unary(functional("silu"))},
    Softplus: {"softplus": unary(functional("softplus"))},
    LeakyRelu: {
        "leaky_relu": unary(functional("leaky_relu")),
        "leaky_relu(0.3)": unary(functional("leaky_relu", 0.3)),
    },
    Square: {
        "square": unary(lambda xp, a: xp.square(a)),
        ".square": unary(lambda xp, a: a.square()),
    },
    Reciprocal: {"reciprocal": unary(lambda xp, a: xp.reciprocal(a))},
    Rsqrt: {"rsqrt": unary(lambda xp, a: xp.rsqrt(a), positive)},
    Log1p: {"log1p": unary(lambda xp, a: xp.log1p(a), positive)},
    Clamp: {
        "clamp": unary(lambda xp, a: xp.clamp(a, -0.5, 1), off_the_halves),
        ".clamp": unary(lambda xp, a: a.clamp(min=-0.5, max=1.0), off_the_halves),
    },
    ClampMin: {"clamp": unary(lambda xp, a: xp.clamp(a, min=-0.5), off_the_halves)},
    ClampMax: {"clamp": unary(lambda xp, a: a.clamp(max=1.0), off_the_halves)},
    CumSum: {
        "cumsum": along(lambda xp, a, dim: xp.cumsum(a, dim)),
        ".cumsum": along(lambda xp, a, dim: a.cumsum(dim=dim)),
    },
    Detach: {
        "detach": unary(lambda xp, a: a.detach() * a),
        "detach(sum)": unary(lambda xp, a: a * (a * 2 + a.detach()).detach() + a),
    },
    Minimum: {"minimum": minimum_of_two, "min(x,x)": unary(lambda xp, a: xp.minimum(a, a))},
    Where: {
        "where": masked(lambda xp, a, b, mask: xp.where(mask, a, b)),
        ".where": masked(lambda xp, a, b, mask: a.where(mask, b)),
        "where number": masked(lambda xp, a, b, mask: xp.where(mask, 2.5, a) * b),
        "x if x>0": unary(lambda xp, a: xp.where(a > 0, a, a * 2)),
    },
    MaskedFill: {
        "masked_fill": masked(lambda xp, a, b, mask: xp.masked_fill(a, mask, -1.5) * b),
        ".masked_fill": unary(lambda xp, a: a.masked_fill(a > 1, 2)),
    },
    Gather: {"gather": gathered},
    Embedding: {
        "F.embedding": embedded(lambda xp, a, index: xp.nn.functional.embedding(index, a)),
        "embedding": embedded(lambda xp, a, index: xp.embedding(a, index)),
    },
}
"""For each operation its cases by name."""


def _flat(dim: Any) -> Any:
    """linalg.norm and Tensor.norm take one or two dimensions."""
    return dim if dim is None or isinstance(dim, int) or len(dim) < 3 else dim[:2]
