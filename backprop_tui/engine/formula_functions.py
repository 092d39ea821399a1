"""More functions for lessons' formulas: windows, attention, and layer norm.

Formulas use them by the names in `MORE_FUNCTIONS`. About windows: an input is (C, positions…),
kernels are (O, C, sizes…), without a batch. About attention and layer norm: one row for each
position. (The operations' own formulas have functions of their own, with strides and padding.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# ── windows ───────────────────────────────────────────────────────────────────────────────────


def _windows(a: Any, sizes: tuple[int, ...]) -> Any:
    """Of (C, positions…) each window: (C, places…, cells of the window…)."""
    return sliding_window_view(a, sizes, axis=tuple(range(1, len(sizes) + 1)))


def convolve(a: Any, kernels: Any) -> Any:
    """(C, positions…) with kernels (O, C, sizes…), not turned round: (O, places…)."""
    space = np.ndim(kernels) - 2
    seen = _windows(a, np.shape(kernels)[2:])
    inside = (0, *range(1 + space, 1 + 2 * space))  # the channels, and the cells of a window
    return np.tensordot(kernels, seen, axes=(tuple(range(1, 2 + space)), inside))


def correlate(a: Any, g: Any) -> Any:
    """Each channel of g, (O, places…), slid over each of a, (C, positions…): (O, C, shifts…)."""
    space = np.ndim(g) - 1
    seen = _windows(a, np.shape(g)[1:])
    inside = tuple(range(1 + space, 1 + 2 * space))
    return np.tensordot(g, seen, axes=(tuple(range(1, 1 + space)), inside))


def pad(a: Any, more: int) -> Any:
    """(C, positions…) with so many zeros before and behind, in each direction."""
    return np.pad(a, [(0, 0), *[(int(more), int(more))] * (np.ndim(a) - 1)])


def flip(kernels: Any) -> Any:
    """Kernels (O, C, sizes…), turned round in each direction."""
    return np.flip(kernels, axis=tuple(range(2, np.ndim(kernels))))


def tiles(a: Any, size: int) -> Any:
    """(C, H, W) in windows side by side: (C, H/size, W/size, cells of the window)."""
    channels, height, width = np.shape(a)
    parted = np.reshape(a, (channels, height // size, size, width // size, size))
    return np.reshape(
        np.swapaxes(parted, 2, 3), (channels, height // size, width // size, size * size)
    )


def spread(g: Any, size: int) -> Any:
    """(C, h, w) with each cell copied to a window of size × size cells."""
    return np.repeat(np.repeat(g, size, axis=1), size, axis=2)


def max_pool(a: Any, size: int) -> Any:
    """The largest cell of each window; the windows lie side by side."""
    return np.max(tiles(a, size), axis=-1)


def won(a: Any, size: int) -> Any:
    """1 at the largest cell of each window, at a tie at the first, and 0 at the others."""
    first = np.argmax(tiles(a, size), axis=-1)
    rows, columns = np.indices(np.shape(a)[1:])
    number = rows % size * size + columns % size  # of each cell in its window, row by row
    return np.where(spread(first, size) == number, 1.0, 0.0)


# ── rows that look at rows ────────────────────────────────────────────────────────────────────


def hide(scores: Any, causal: int) -> Any:
    """Square scores, with causal = 1 −∞ where a row would look at a later one."""
    seen = np.tril(np.ones(np.shape(scores), dtype=bool))
    return np.where(seen, scores, -np.inf) if causal else scores


def beside(*parts: Any) -> Any:
    """Matrices side by side: more columns."""
    return np.concatenate(parts, axis=-1)


def gelu(a: Any) -> Any:
    """a · Φ(a), with the normal distribution's Φ."""
    return a * np.vectorize(_normal, otypes=[np.float64])(a)


def gelu_slope(a: Any) -> Any:
    """The derivative of gelu: Φ(a) + a · φ(a)."""
    density = np.exp(-np.square(a) / 2) / math.sqrt(2 * math.pi)
    return np.vectorize(_normal, otypes=[np.float64])(a) + a * density


def _normal(a: float) -> float:
    """Φ: how probable a number below a is."""
    return (1 + math.erf(a / math.sqrt(2))) / 2


_EPS = 1e-5  # torch's default


def normalised(a: Any) -> Any:
    """Each row at mean 0 and variance 1 (divided by n, and with torch's eps)."""
    return (a - np.mean(a, axis=-1, keepdims=True)) / _deviation(a)


def norm_back(g: Any, a: Any) -> Any:
    """What a receives where normalised(a) has received g."""
    hat = normalised(a)
    common = np.mean(g, axis=-1, keepdims=True)
    along = np.mean(g * hat, axis=-1, keepdims=True)
    return (g - common - hat * along) / _deviation(a)


def _deviation(a: Any) -> Any:
    return np.sqrt(np.var(a, axis=-1, keepdims=True) + _EPS)


MORE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "conv1d": convolve,
    "conv2d": convolve,
    "correlate": correlate,
    "pad": pad,
    "flip": flip,
    "max_pool2d": max_pool,
    "won": won,
    "spread": spread,
    "hide": hide,
    "beside": beside,
    "gelu": gelu,
    "gelu_slope": gelu_slope,
    "normalised": normalised,
    "norm_back": norm_back,
}
