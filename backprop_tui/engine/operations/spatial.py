"""Windows that slide over a signal or an image: convolutions and pooling.

An input is (N, C, L) or (C, L) in one dimension, (N, C, H, W) or (C, H, W) in two: examples,
channels, positions. What torch calls a convolution is a cross-correlation: the kernel is not
flipped. The parameters are tuples, one number for each spatial dimension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution

Sizes = tuple[int, ...]
"""A number for each spatial dimension."""


def padded(a: Array, padding: Sizes, fill: float = 0.0) -> Array:
    """a with `padding` more cells on both sides of each spatial dimension."""
    if not any(padding):
        return a
    widths = [(0, 0)] * (a.ndim - len(padding)) + [(p, p) for p in padding]
    return np.pad(a, widths, constant_values=fill)


def strided(start: Sizes, counts: Sizes, stride: Sizes) -> Any:
    """The index of so many cells from `start` on, `stride` apart, in each spatial dimension."""
    return (
        ...,
        *(
            slice(first, first + step * (count - 1) + 1, step)
            for first, count, step in zip(start, counts, stride, strict=True)
        ),
    )


def taps(kernel: Sizes, dilation: Sizes) -> Iterator[tuple[Sizes, Sizes]]:
    """Each cell of a kernel, and how far from the window's corner it looks."""
    for cell in np.ndindex(kernel):
        yield cell, tuple(k * d for k, d in zip(cell, dilation, strict=True))


def _all(cell: Sizes) -> Any:
    """The index of one cell of all kernels."""
    return (..., *cell)


def positions(
    length: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Sizes:
    """How many windows fit into each spatial dimension."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(length, kernel, stride, padding, dilation, strict=True)
    )


def convolved(input: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """Each window times the kernel, added up: one kernel for each channel of the result."""
    kernel, space = weight.shape[2:], len(stride)
    counts = positions(input.shape[-space:], kernel, stride, padding, dilation)
    wide = padded(input, padding)
    lead = input.shape[: -space - 1]
    flat = np.zeros((*lead, weight.shape[0], int(np.prod(counts))))
    for cell, offset in taps(kernel, dilation):
        seen = wide[strided(offset, counts, stride)]
        flat += np.matmul(weight[_all(cell)], seen.reshape(*lead, weight.shape[1], -1))
    return flat.reshape(*lead, weight.shape[0], *counts)


def to_kernel_input(
    g: Array, input: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """What a convolution sends to its input: each window's gradient spread by the kernel."""
    kernel, space = weight.shape[2:], len(stride)
    counts, lead = g.shape[-space:], input.shape[: -space - 1]
    back = np.zeros_like(padded(input, padding))
    flat = g.reshape(*lead, weight.shape[0], -1)
    for cell, offset in taps(kernel, dilation):
        spread = np.matmul(weight[_all(cell)].T, flat)
        back[strided(offset, counts, stride)] += spread.reshape(*lead, weight.shape[1], *counts)
    return cast(Array, back[strided(padding, input.shape[-space:], (1,) * space)])


def to_kernel(
    g: Array, input: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """What a convolution sends to its kernel: the input correlated with the gradient."""
    kernel, space = weight.shape[2:], len(stride)
    counts, wide = g.shape[-space:], padded(input, padding)
    lead = input.shape[: -space - 1]
    flat = g.reshape(*lead, weight.shape[0], -1)
    found = np.zeros_like(weight)
    for cell, offset in taps(kernel, dilation):
        seen = wide[strided(offset, counts, stride)].reshape(*lead, weight.shape[1], -1)
        products = np.matmul(flat, np.swapaxes(seen, -1, -2))
        found[_all(cell)] = products.sum(axis=0) if lead else products
    return found


def column(bias: Array, space: int) -> Array:
    """A bias in the shape in which it is added: one number for each channel."""
    return bias.reshape(-1, *[1] * space)


def to_channels(g: Array, space: int) -> Array:
    """The gradient of each channel, added up over examples and positions."""
    axes = [axis for axis in range(g.ndim) if axis != g.ndim - space - 1]
    return cast(Array, np.sum(g, axis=tuple(axes)))


_WHY = (
    "The kernel slides over the input; at each position the cells under it are multiplied "
    "with it and added up."
)
_WHY_WITH_BIAS = (
    "The kernel slides over the input; at each position the cells under it are multiplied "
    "with it and added up, and the bias of its channel is added."
)
_WHY_INPUT = (
    "An input cell collects from every window that saw it, and from every channel of the result: "
    "the upstream gradient there times the weight through which it was seen."
)
_WHY_WEIGHT = (
    "A weight is used at every position of every example, so its gradient adds up over all of "
    "them: the input cell that it met there (0 in the padding) times the upstream gradient there."
)
_WHY_BIAS = (
    "The bias is added at every position of its channel, in every example, so it collects the "
    "upstream gradients of all of them."
)


class Conv1d(Operation):
    """Kernels (O, C, K) slid along a signal (N, C, L), with a bias (O)."""

    name = "conv1d"
    symbol = "conv"
    operands = ("input", "weight", "bias")
    text = "conv1d(input, weight) + bias"
    why = _WHY_WITH_BIAS
    elementwise = False

    @staticmethod
    def forward(
        input: Array, weight: Array, bias: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Value:
        return convolved(input, weight, stride, padding, dilation) + column(bias, 1)

    @contribution("conv_transpose1d(g, weight)", why=_WHY_INPUT)
    def to_input(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel_input(g, input, weight, stride, padding, dilation)

    @contribution("correlate(input, g)", why=_WHY_WEIGHT)
    def to_weight(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel(g, input, weight, stride, padding, dilation)

    @contribution("positions(g)", why=_WHY_BIAS)
    def to_bias(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_channels(g, 1)


class Conv1dWithoutBias(Operation):
    """Kernels (O, C, K) slid along a signal (N, C, L)."""

    name = "conv1d"
    symbol = "conv"
    operands = ("input", "weight")
    text = "conv1d(input, weight)"
    why = _WHY
    elementwise = False

    @staticmethod
    def forward(
        input: Array, weight: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Value:
        return convolved(input, weight, stride, padding, dilation)

    @contribution("conv_transpose1d(g, weight)", why=_WHY_INPUT)
    def to_input(
        g: Array, out: Array, input: Array, weight: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel_input(g, input, weight, stride, padding, dilation)

    @contribution("correlate(input, g)", why=_WHY_WEIGHT)
    def to_weight(
        g: Array, out: Array, input: Array, weight: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel(g, input, weight, stride, padding, dilation)


class Conv2d(Operation):
    """Kernels (O, C, K, K) slid over an image (N, C, H, W), with a bias (O)."""

    name = "conv2d"
    symbol = "conv"
    operands = ("input", "weight", "bias")
    text = "conv2d(input, weight) + bias"
    why = _WHY_WITH_BIAS
    elementwise = False

    @staticmethod
    def forward(
        input: Array, weight: Array, bias: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Value:
        return convolved(input, weight, stride, padding, dilation) + column(bias, 2)

    @contribution("conv_transpose2d(g, weight)", why=_WHY_INPUT)
    def to_input(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel_input(g, input, weight, stride, padding, dilation)

    @contribution("correlate(input, g)", why=_WHY_WEIGHT)
    def to_weight(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel(g, input, weight, stride, padding, dilation)

    @contribution("positions(g)", why=_WHY_BIAS)
    def to_bias(
        g: Array, out: Array, input: Array, weight: Array, bias: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_channels(g, 2)


class Conv2dWithoutBias(Operation):
    """Kernels (O, C, K, K) slid over an image (N, C, H, W)."""

    name = "conv2d"
    symbol = "conv"
    operands = ("input", "weight")
    text = "conv2d(input, weight)"
    why = _WHY
    elementwise = False

    @staticmethod
    def forward(
        input: Array, weight: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Value:
        return convolved(input, weight, stride, padding, dilation)

    @contribution("conv_transpose2d(g, weight)", why=_WHY_INPUT)
    def to_input(
        g: Array, out: Array, input: Array, weight: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel_input(g, input, weight, stride, padding, dilation)

    @contribution("correlate(input, g)", why=_WHY_WEIGHT)
    def to_weight(
        g: Array, out: Array, input: Array, weight: Array,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> Value:  # fmt: skip
        return to_kernel(g, input, weight, stride, padding, dilation)


class Meeting(NamedTuple):
    """A cell of the input, the cell of a kernel that it meets, and where the product goes."""

    input: Sizes
    weight: Sizes
    out: Sizes


class Meetings:
    """Which cells meet in a convolution. In the padding there are no cells: nothing meets there."""

    def __init__(
        self, input: Sizes, weight: Sizes, out: Sizes,
        *, stride: Sizes, padding: Sizes, dilation: Sizes,
    ) -> None:  # fmt: skip
        """The shapes of input, kernels and result, and the convolution's parameters."""
        self._space = len(stride)
        self._input, self._weight, self._out = input, weight, out
        self._steps = tuple(zip(stride, padding, dilation, strict=True))

    def of_result(self, cell: Sizes) -> Iterator[Meeting]:
        """What is added up in a cell of the result."""
        (*example, o), place = self._parted(cell)
        for c, *tap in np.ndindex(self._weight[1:]):
            at = self._seen(place, tap)
            if self._inside(at, self._input):
                yield Meeting((*example, c, *at), (o, c, *tap), cell)

    def of_weight(self, cell: Sizes) -> Iterator[Meeting]:
        """Where a cell of a kernel is used."""
        o, c, *tap = cell
        for example in np.ndindex(self._out[: -self._space - 1]):
            for place in np.ndindex(self._out[-self._space :]):
                at = self._seen(place, tap)
                if self._inside(at, self._input):
                    yield Meeting((*example, c, *at), cell, (*example, o, *place))

    def of_input(self, cell: Sizes) -> Iterator[Meeting]:
        """Where a cell of the input is used."""
        (*example, c), at = self._parted(cell)
        for o, *tap in np.ndindex((self._weight[0], *self._weight[2:])):
            steps = [i + p - k * d for i, k, (_, p, d) in zip(at, tap, self._steps, strict=True)]
            if any(far % s for far, (s, _, _) in zip(steps, self._steps, strict=True)):
                continue  # the kernel strides over this cell
            place = tuple(far // s for far, (s, _, _) in zip(steps, self._steps, strict=True))
            if self._inside(place, self._out):
                yield Meeting(cell, (o, c, *tap), (*example, o, *place))

    def _seen(self, place: Sizes, tap: Sequence[int]) -> Sizes:
        """Where a cell of the kernel looks when its window stands at a position."""
        steps = zip(place, tap, self._steps, strict=True)
        return tuple(i * s + k * d - p for i, k, (s, p, d) in steps)

    def _parted(self, cell: Sizes) -> tuple[Sizes, Sizes]:
        """Example and channel, and the position."""
        return cell[: -self._space], cell[-self._space :]

    def _inside(self, at: Sizes, shape: Sizes) -> bool:
        return all(0 <= i < n for i, n in zip(at, shape[-self._space :], strict=True))


# ── pooling ───────────────────────────────────────────────────────────────────────────────────


def winners(a: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """For each window the number of the cell that it takes, counted through all cells of a.

    It is the first of the largest; of several nan the last, as in torch.
    """
    space = len(kernel)
    ones = (1,) * space
    counts = positions(a.shape[-space:], kernel, stride, padding, ones)
    numbers = padded(np.arange(a.size, dtype=np.float64).reshape(a.shape), padding)
    wide = padded(a, padding, -np.inf)
    inside = padded(np.ones(a.shape), padding)
    best: Array | None = None
    taken: Array | None = None
    for _, offset in taps(kernel, ones):
        where = strided(offset, counts, stride)
        here, number, real = wide[where], numbers[where], inside[where] > 0.0
        if best is None or taken is None:
            best, taken = here.copy(), np.where(real, number, -1.0)
            continue
        # A cell of the padding never wins, not even over −∞.
        better = real & ((here > best) | np.isnan(here) | (taken < 0.0))
        best, taken = np.where(better, here, best), np.where(better, number, taken)
    assert taken is not None
    return taken


def largest(a: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """The largest cell of each window."""
    return a.reshape(-1)[winners(a, kernel, stride, padding).astype(np.intp)]


def to_winners(g: Array, a: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """Each window's gradient at the cell that it took; windows may have taken the same."""
    back = np.zeros(a.size)
    np.add.at(back, winners(a, kernel, stride, padding).astype(np.intp), g)
    return back.reshape(a.shape)


_WHY_MAX = "Of each window only the largest cell goes on; the others are dropped."
_WHY_WINNER = (
    "Only the largest cell of a window has moved the result, so it receives the whole upstream "
    "gradient of that window and the others none. At a tie, where there is no slope, torch takes "
    "the first."
)


class MaxPool1d(Operation):
    """The largest cell of each window of a signal."""

    name = "max_pool1d"
    symbol = "max pool"
    operands = ("a",)
    text = "max_pool1d(a, kernel, stride)"
    why = _WHY_MAX
    elementwise = False

    @staticmethod
    def forward(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return largest(a, kernel, stride, padding)

    @contribution("winners(g)", why=_WHY_WINNER)
    def to_a(
        g: Array, out: Array, a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes
    ) -> Value:
        return to_winners(g, a, kernel, stride, padding)

    @staticmethod
    def branches(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return winners(a, kernel, stride, padding)


class MaxPool2d(Operation):
    """The largest cell of each window of an image."""

    name = "max_pool2d"
    symbol = "max pool"
    operands = ("a",)
    text = "max_pool2d(a, kernel, stride)"
    why = _WHY_MAX
    elementwise = False

    @staticmethod
    def forward(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return largest(a, kernel, stride, padding)

    @contribution("winners(g)", why=_WHY_WINNER)
    def to_a(
        g: Array, out: Array, a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes
    ) -> Value:
        return to_winners(g, a, kernel, stride, padding)

    @staticmethod
    def branches(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return winners(a, kernel, stride, padding)


def averaged(a: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """The mean of each window; cells of the padding count as 0, as in torch."""
    space = len(kernel)
    ones = (1,) * space
    counts = positions(a.shape[-space:], kernel, stride, padding, ones)
    wide = padded(a, padding)
    total = np.zeros((*a.shape[:-space], *counts))
    for _, offset in taps(kernel, ones):
        total += wide[strided(offset, counts, stride)]
    return total / float(math.prod(kernel))


def to_averaged(g: Array, a: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """Each window's gradient, shared out equally among its cells."""
    space = len(kernel)
    ones = (1,) * space
    back = np.zeros_like(padded(a, padding))
    for _, offset in taps(kernel, ones):
        back[strided(offset, g.shape[-space:], stride)] += g
    return cast(Array, back[strided(padding, a.shape[-space:], ones)] / float(math.prod(kernel)))


_WHY_MEAN = (
    "Of each window the mean goes on: its cells added up and divided by their number. Cells of "
    "the padding count as 0."
)
_WHY_SHARE = (
    "A cell moves the mean of each window that covers it by its own move divided by the number "
    "of cells in a window, so it receives that share of each of those windows' upstream gradients."
)


class AvgPool1d(Operation):
    """The mean of each window of a signal."""

    name = "avg_pool1d"
    symbol = "mean pool"
    operands = ("a",)
    text = "avg_pool1d(a, kernel, stride)"
    why = _WHY_MEAN
    elementwise = False

    @staticmethod
    def forward(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return averaged(a, kernel, stride, padding)

    @contribution("windows(g) / size", why=_WHY_SHARE)
    def to_a(
        g: Array, out: Array, a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes
    ) -> Value:
        return to_averaged(g, a, kernel, stride, padding)

    @staticmethod
    def figures(out: Array, a: Array, *, kernel: Sizes, **_: Sizes) -> dict[str, Any]:
        return {"size": math.prod(kernel)}


class AvgPool2d(Operation):
    """The mean of each window of an image."""

    name = "avg_pool2d"
    symbol = "mean pool"
    operands = ("a",)
    text = "avg_pool2d(a, kernel, stride)"
    why = _WHY_MEAN
    elementwise = False

    @staticmethod
    def forward(a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes) -> Value:
        return averaged(a, kernel, stride, padding)

    @contribution("windows(g) / size", why=_WHY_SHARE)
    def to_a(
        g: Array, out: Array, a: Array, *, kernel: Sizes, stride: Sizes, padding: Sizes
    ) -> Value:
        return to_averaged(g, a, kernel, stride, padding)

    @staticmethod
    def figures(out: Array, a: Array, *, kernel: Sizes, **_: Sizes) -> dict[str, Any]:
        return {"size": math.prod(kernel)}
