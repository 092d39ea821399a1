"""What the functions in the formulas of more operations stand for, by the operation's name.

They are written for truth and not for speed, and apart from the operations themselves: the tests
hold one against the other. See `backprop_tui.engine.vocabulary`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Given = Mapping[str, Any]
Names = dict[str, Any]


def _along(a: Any, dim: Any) -> Any:
    return dim if np.ndim(a) else None


def _reduction(values: Sequence[Any], given: Given) -> Names:
    """Sums over `dim`, copies back to every cell that was summed, and how many there are."""
    shape = np.shape(values[0])
    axes, keep = _along(values[0], given["dim"]), given["keepdim"]

    def expand(g: Any) -> Any:
        kept = np.sum(np.ones(shape), axis=axes, keepdims=True).shape
        return np.reshape(g, kept) * np.ones(shape)

    def average(a: Any) -> Any:
        return np.sum(a, axis=axes, keepdims=True) / np.sum(np.ones(shape), axis=axes).flat[0]

    return {
        "sum": lambda a: np.sum(a, axis=axes, keepdims=keep),
        "average": average if np.ndim(values[0]) else np.float64,
        "count": np.sum(np.ones(shape), axis=axes).flat[0],
        "expand": expand,
    }


def _extreme(values: Sequence[Any], given: Given) -> Names:
    (a,) = values
    axes, keep = _along(a, given["dim"]), given["keepdim"]
    expand = _reduction(values, given)["expand"]

    def ties(top: Any) -> Any:
        return np.sum(np.equal(a, expand(top)), axis=axes, keepdims=keep)

    def first(chosen: Any) -> Any:
        chosen = np.asarray(chosen)
        return chosen & (np.cumsum(chosen, axis=axes).reshape(chosen.shape) == 1)

    return {
        "amax": lambda a: np.max(a, axis=axes, keepdims=keep),
        "amin": lambda a: np.min(a, axis=axes, keepdims=keep),
        "ties": ties(given["out"]) if given["out"] is not None else None,
        "expand": expand,
        "first": first,
    }


def _softmax(values: Sequence[Any], given: Given) -> Names:
    axes = _along(values[0], given["dim"])
    if axes is None:
        return {"total": lambda a: a}
    return {"total": lambda a: np.sum(a, axis=axes, keepdims=True)}


def _cross_entropy(values: Sequence[Any], given: Given) -> Names:
    (input,), target = values, given["target"]
    rows = [(*at, int(target[at])) for at in np.ndindex(target.shape)]

    def onehot(_: Any) -> Any:
        found = np.zeros(np.shape(input))
        for row in rows:
            found[row] = 1.0
        return found

    return {
        "pick": lambda a, _: np.array([a[row] for row in rows]),
        "onehot": onehot,
        "count": len(rows),
    }


def _mse_loss(values: Sequence[Any], given: Given) -> Names:
    return {"count": np.size(values[0] + values[1] * 0.0)}


def _normalising(values: Sequence[Any], given: Given) -> Names:
    dims, eps = given["dims"], given["eps"]

    def mean(a: Any) -> Any:
        return np.mean(a, axis=dims, keepdims=True)

    def var(a: Any) -> Any:
        return np.var(a, axis=dims, keepdims=True)

    return {
        "mean": mean,
        "var": var,
        "normalised": lambda a: (a - mean(a)) / np.sqrt(var(a) + eps),
    }


def _cumsum(values: Sequence[Any], given: Given) -> Names:
    axis = _along(values[0], given["dim"])
    if axis is None:
        return {"cumsum": lambda a: a, "reverse": lambda a: a}

    def cumsum(a: Any) -> Any:
        rows = np.moveaxis(a, axis, 0)
        sums = [np.sum(rows[: n + 1], axis=0) for n in range(len(rows))]
        return np.moveaxis(np.array(sums), 0, axis)

    return {"cumsum": cumsum, "reverse": lambda a: np.flip(a, axis)}


def _gather(values: Sequence[Any], given: Given) -> Names:
    (a,), dim, index = values, given["dim"], given["index"]
    picked = []
    for at in np.ndindex(index.shape):
        place = list(at)
        if place:
            place[dim] = int(index[at])
        picked.append((at, tuple(place)))

    def gather(a: Any, index: Any) -> Any:
        return np.reshape([np.asarray(a)[place] for _, place in picked], np.shape(index))

    def scatter(g: Any, index: Any) -> Any:
        back = np.zeros(np.shape(a))
        for at, place in picked:
            back[place] += np.asarray(g)[at]
        return back

    return {"gather": gather, "scatter": scatter}


def _embedding(values: Sequence[Any], given: Given) -> Names:
    (weight,) = values

    def embedding(index: Any, weight: Any) -> Any:
        rows = [weight[int(row)] for row in np.ravel(index)]
        return np.reshape(rows, (*np.shape(index), np.shape(weight)[1]))

    def scatter(g: Any, index: Any) -> Any:
        back = np.zeros(np.shape(weight))
        for row, amount in zip(np.ravel(index), np.reshape(g, (-1, back.shape[1])), strict=True):
            back[int(row)] += amount
        return back

    return {"embedding": embedding, "scatter": scatter}


VOCABULARIES: dict[str, Callable[[Sequence[Any], Given], Names]] = {
    "softmax": _softmax,
    "log_softmax": _softmax,
    "logsumexp": _reduction,
    "cross_entropy": _cross_entropy,
    "mse_loss": _mse_loss,
    "layer_norm": _normalising,
    "batch_norm": _normalising,
    "var": _reduction,
    "std": _reduction,
    "norm": _reduction,
    "amax": _extreme,
    "amin": _extreme,
    "max": _extreme,
    "min": _extreme,
    "cumsum": _cumsum,
    "gather": _gather,
    "embedding": _embedding,
}
"""From the operands' values and what is given (the parameters, `out`, `g`) to the names."""
