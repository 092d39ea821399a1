"""What the functions in the formulas of products, copies and windows stand for, by operation.

As in `backprop_tui.engine.vocabularies` they are written for truth and not for speed, cell by
cell, and apart from the operations themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

Given = Mapping[str, Any]
Names = dict[str, Any]
Cell = tuple[int, ...]


def _matmul(values: Sequence[Any], given: Given) -> Names:
    return {"outer": lambda u, v: np.asarray(u)[..., :, None] * np.asarray(v)[..., None, :]}


def _linear(values: Sequence[Any], given: Given) -> Names:
    """A single row stands for a matrix of one row where it is transposed."""
    if given["slot"] != 1 or np.ndim(values[0]) != 1:
        return {}
    return {"g": np.reshape(given["g"], (1, -1)), "input": np.reshape(values[0], (1, -1))}


def _einsum(values: Sequence[Any], given: Given) -> Names:
    def einsum(equation: str, one: Any, other: Any) -> Any:
        left, out = equation.split("->")
        names = left.split(",")
        lengths = {
            letter: length
            for letters, value in zip(names, (one, other), strict=True)
            for letter, length in zip(letters, np.shape(value), strict=True)
        }
        found = np.zeros([lengths[letter] for letter in out])
        for numbers in product(*map(range, lengths.values())):
            at = dict(zip(lengths, numbers, strict=True))
            a, b = (
                np.asarray(value)[tuple(at[x] for x in letters)]
                for letters, value in zip(names, (one, other), strict=True)
            )
            found[tuple(at[x] for x in out)] += a * b
        return found

    return {"einsum": einsum}


def _permute(values: Sequence[Any], given: Given) -> Names:
    return {"back": [given["dims"].index(axis) for axis in range(len(given["dims"]))]}


def _expand(values: Sequence[Any], given: Given) -> Names:
    return {"expand": lambda a, shape: np.asarray(a) + np.zeros(shape)}


def _repeat(values: Sequence[Any], given: Given) -> Names:
    def repeat(a: Any, sizes: Any) -> Any:
        a = np.reshape(a, (*[1] * (len(sizes) - np.ndim(a)), *np.shape(a)))
        for axis, times in enumerate(sizes):
            a = np.concatenate([a] * times, axis=axis)
        return a

    def copies(g: Any, sizes: Any) -> Any:
        for axis, times in enumerate(sizes):
            g = sum(np.split(g, times, axis=axis))
        return np.reshape(g, np.shape(values[0]))

    return {"repeat": repeat, "copies": copies}


# ── windows ───────────────────────────────────────────────────────────────────────────────────


def _windows(
    length: Cell, kernel: Cell, given: Given
) -> Iterator[tuple[Cell, list[tuple[Cell, Cell]]]]:
    """Each position with the cells that its window sees: (cell of the kernel, of the input)."""
    stride, padding = given["stride"], given["padding"]
    apart = given.get("dilation", (1,) * len(kernel))
    ends = [
        [at for at in range(-p, n + p, s) if at + d * (k - 1) < n + p]
        for n, k, s, p, d in zip(length, kernel, stride, padding, apart, strict=True)
    ]
    for place in product(*(range(len(end)) for end in ends)):
        corner = [end[i] for end, i in zip(ends, place, strict=True)]
        seen = [
            (cell, tuple(c + k * d for c, k, d in zip(corner, cell, apart, strict=True)))
            for cell in product(*map(range, kernel))
        ]
        inside = [
            (cell, at)
            for cell, at in seen
            if all(0 <= i < n for i, n in zip(at, length, strict=True))
        ]
        yield place, inside


def _convolution(values: Sequence[Any], given: Given) -> Names:
    input, weight = values[:2]
    space = np.ndim(weight) - 2
    length, kernel = np.shape(input)[-space:], np.shape(weight)[2:]
    windows = list(_windows(length, kernel, given))
    counts = [max(i) + 1 for i in zip(*(place for place, _ in windows), strict=True)]
    examples = list(np.ndindex(np.shape(input)[: -space - 1]))
    channels = list(np.ndindex(np.shape(weight)[:2]))

    def convolved(input: Any, weight: Any) -> Any:
        out = np.zeros((*np.shape(input)[: -space - 1], np.shape(weight)[0], *counts))
        for example, (o, c), (place, seen) in product(examples, channels, windows):
            for cell, at in seen:
                out[(*example, o, *place)] += weight[(o, c, *cell)] * input[(*example, c, *at)]
        return out

    def transposed(g: Any, weight: Any) -> Any:
        back = np.zeros(np.shape(input))
        for example, (o, c), (place, seen) in product(examples, channels, windows):
            for cell, at in seen:
                back[(*example, c, *at)] += weight[(o, c, *cell)] * g[(*example, o, *place)]
        return back

    def correlate(input: Any, g: Any) -> Any:
        back = np.zeros(np.shape(weight))
        for example, (o, c), (place, seen) in product(examples, channels, windows):
            for cell, at in seen:
                back[(o, c, *cell)] += input[(*example, c, *at)] * g[(*example, o, *place)]
        return back

    names: Names = {
        f"conv{space}d": convolved,
        f"conv_transpose{space}d": transposed,
        "correlate": correlate,
        "positions": lambda g: sum(
            np.asarray(g)[(*example, slice(None), *place)]
            for example in examples
            for place, _ in windows
        ),
    }
    if len(values) == 3:  # one number for each channel, at every position
        names["bias"] = np.reshape(values[2], (-1, *[1] * space))
    return names


def _pooling(values: Sequence[Any], given: Given) -> Names:
    a = np.asarray(values[0])
    space = len(given["kernel"])
    windows = list(_windows(a.shape[-space:], given["kernel"], given))
    counts = [max(i) + 1 for i in zip(*(place for place, _ in windows), strict=True)]
    lead = a.shape[:-space]

    def largest(a: Any, kernel: Any, stride: Any) -> Any:
        out = np.zeros((*lead, *counts))
        for example, (place, seen) in product(np.ndindex(lead), windows):
            out[(*example, *place)] = max(a[(*example, *at)] for _, at in seen)
        return out

    def winners(g: Any) -> Any:
        back = np.zeros(a.shape)
        for example, (place, seen) in product(np.ndindex(lead), windows):
            cells = [(*example, *at) for _, at in seen]
            top = max(float(a[cell]) for cell in cells)
            first = next(cell for cell in cells if a[cell] == top)
            back[first] += g[(*example, *place)]
        return back

    def mean(a: Any, kernel: Any, stride: Any) -> Any:
        out = np.zeros((*lead, *counts))
        for example, (place, seen) in product(np.ndindex(lead), windows):
            out[(*example, *place)] = np.sum([a[(*example, *at)] for _, at in seen]) / size
        return out

    def covering(g: Any) -> Any:
        back = np.zeros(a.shape)
        for example, (place, seen) in product(np.ndindex(lead), windows):
            for _, at in seen:
                back[(*example, *at)] += g[(*example, *place)]
        return back

    size = np.size(np.ones(given["kernel"]))
    return {
        f"max_pool{space}d": largest, f"avg_pool{space}d": mean,
        "winners": winners, "windows": covering, "size": size,
    }  # fmt: skip


PRODUCT_VOCABULARIES: dict[str, Callable[[Sequence[Any], Given], Names]] = {
    "matmul": _matmul,
    "linear": _linear,
    "einsum": _einsum,
    "permute": _permute,
    "expand": _expand,
    "repeat": _repeat,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "max_pool1d": _pooling,
    "max_pool2d": _pooling,
    "avg_pool1d": _pooling,
    "avg_pool2d": _pooling,
}
