"""Operations that set cells in relation to their neighbours: softmax, layer and batch norm.

Their cells compete or share a mean, so each cell of the result depends on all cells of its
group, and the contributions subtract what the group has in common.
"""

from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution
from backprop_tui.engine.operations.reductions import Dim, expand

Axes = int | tuple[int, ...] | None


def along(a: Any, dim: Dim) -> Axes:
    """The dimensions for numpy; a scalar has none, whatever is asked for."""
    return dim if np.ndim(a) else None


def total(a: Any, dim: Dim) -> Any:
    """The sum along dimensions, which are kept with length 1."""
    return np.sum(a, axis=along(a, dim), keepdims=True)


def average(a: Any, dim: Dim) -> Any:
    """The mean along dimensions, which are kept with length 1."""
    return np.mean(a, axis=along(a, dim), keepdims=True)


def largest(a: Any, dim: Dim) -> Any:
    """The largest finite cell along dimensions, which are kept with length 1; else 0."""
    top = np.max(a, axis=along(a, dim), keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(top), top, 0.0)


def log_of_sum(a: Any, dim: Dim) -> Any:
    """log(Σ exp(a)), the dimensions kept. The largest cell is taken out first, so that exp
    cannot overflow."""
    top = largest(a, dim)
    return np.log(total(np.exp(a - top), dim)) + top


def softened(a: Any, dim: Dim) -> Any:
    """The softmax. The largest cell is taken out first, so that exp cannot overflow."""
    power = np.exp(a - largest(a, dim))
    return power / total(power, dim)


def flat(a: Any, like: Value) -> Value:
    """A result in the shape of `like`: numpy's kept dimensions turn a scalar into an array."""
    return cast(Value, np.reshape(a, np.shape(like)))


class Softmax(Operation):
    """exp(a), divided by its sum along a dimension."""

    name = "softmax"
    symbol = "softmax"
    operands = ("a",)
    text = "exp(a) / total(exp(a))"
    why = "The exponentials, divided by their sum: shares between 0 and 1 that add up to 1."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int) -> Value:
        return flat(softened(a, dim), a)

    @contribution(
        "out * (g - total(g * out))",
        why="The shares of a line of cells add up to 1, so one grows only at the others' cost: "
        "each upstream gradient counts as far as it differs from the mean of its line, weighted "
        "by the shares.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: int) -> Value:
        return flat(out * (g - total(g * out, dim)), a)


class LogSoftmax(Operation):
    """The logarithm of the softmax along a dimension."""

    name = "log_softmax"
    symbol = "log_softmax"
    operands = ("a",)
    text = "a - log(total(exp(a)))"
    why = "The logarithm of the softmax: each cell minus the log of the sum of all exponentials."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int) -> Value:
        return flat(a - log_of_sum(a, dim), a)

    @contribution(
        "g - exp(out) * total(g)",
        why="Each cell moves its own result one to one; and it moves the log of the sum, which all "
        "results of its line subtract, by as much as its softmax: the exponential of its result.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: int) -> Value:
        return flat(g - np.exp(out) * total(g, dim), a)


class LogSumExp(Operation):
    """The logarithm of the sum of exp(a) along dimensions."""

    name = "logsumexp"
    symbol = "logsumexp"
    operands = ("a",)
    text = "log(sum(exp(a)))"
    why = "The logarithm of the sum of the exponentials: a smooth maximum."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: Dim, keepdim: bool = False) -> Value:
        found = log_of_sum(a, dim)
        return cast(Value, found if keepdim else np.squeeze(found, along(a, dim)))

    @contribution(
        "expand(g) * exp(a - expand(out))",
        why="The slope of a smooth maximum is the softmax: the larger a cell, the larger its share "
        "of the upstream gradient.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: Dim, keepdim: bool = False) -> Value:
        return cast(Value, expand(g, a, dim, keepdim) * np.exp(a - expand(out, a, dim, keepdim)))


# ── layer norm and batch norm ─────────────────────────────────────────────────────────────────

# Both subtract the mean of a group of cells and divide by its standard deviation. In a layer
# norm a group is one example's features, in a batch norm one feature's examples. With weight
# and bias, which rescale every feature, they are operations of three operands.


def deviation(a: Array, dims: tuple[int, ...], eps: float) -> Any:
    """√(variance + eps) of each group. This variance divides by the number of cells, n."""
    return np.sqrt(average((a - average(a, dims)) ** 2, dims) + eps)


def normalised(a: Array, dims: tuple[int, ...], eps: float) -> Any:
    """Every group moved to mean 0 and scaled to variance 1 (a little less: eps)."""
    return (a - average(a, dims)) / deviation(a, dims, eps)


def through_normalising(g: Any, a: Array, dims: tuple[int, ...], eps: float) -> Any:
    """The upstream gradient of `normalised(a)` taken back to `a`."""
    hat = normalised(a, dims, eps)
    rest = g - average(g, dims) - hat * average(g * hat, dims)
    return rest / deviation(a, dims, eps)


_WHY_NORMALISED = (
    "A common shift and a common scaling of the group leave the result as it is (but for eps), so "
    "the parts of the upstream gradient that ask for those are taken out; the rest is divided by "
    "the deviation. Means and variances are those of the group."
)
_WHY_SCALED = (
    "The upstream gradient comes back through the weight first. A common shift and a common "
    "scaling of the group leave the normalised cells as they are (but for eps), so the parts that "
    "ask for those are taken out; the rest is divided by the deviation. Means and variances are "
    "those of the group."
)
_WHY_WEIGHT = "Each weight multiplies normalised cells, so those are its slopes."
_WHY_BIAS = "The bias is added at the end: it receives the upstream gradient unchanged."
_NORMALISED = "(a - mean(a)) / sqrt(var(a) + eps)"
_TO_A = "(g - mean(g) - out * mean(g * out)) / sqrt(var(a) + eps)"
_TO_SCALED_A = (
    "(g * weight - mean(g * weight) - normalised(a) * mean(g * weight * normalised(a)))"
    " / sqrt(var(a) + eps)"
)


class LayerNorm(Operation):
    """Each example's last dimensions moved to mean 0 and scaled to variance 1."""

    name = "layer_norm"
    symbol = "norm"
    operands = ("a",)
    text = _NORMALISED
    why = (
        "The features of each example by itself are moved to mean 0 and scaled to variance 1 "
        "(a little less: eps)."
    )
    elementwise = False

    @staticmethod
    def forward(a: Array, *, dims: tuple[int, ...], eps: float) -> Value:
        return cast(Value, normalised(a, dims, eps))

    @contribution(_TO_A, why=_WHY_NORMALISED)
    def to_a(g: Array, out: Array, a: Array, *, dims: tuple[int, ...], eps: float) -> Value:
        return cast(Value, through_normalising(g, a, dims, eps))


class ScaledLayerNorm(Operation):
    """A layer norm with weight and bias for each feature."""

    name = "layer_norm"
    symbol = "norm"
    operands = ("a", "weight", "bias")
    text = f"{_NORMALISED} * weight + bias"
    why = (
        "The features of each example by itself are moved to mean 0 and scaled to variance 1 "
        "(a little less: eps); then every feature gets a scale and a shift of its own."
    )
    elementwise = False

    @staticmethod
    def forward(
        a: Array, weight: Value, bias: Value, *, dims: tuple[int, ...], eps: float
    ) -> Value:
        return cast(Value, normalised(a, dims, eps) * weight + bias)

    @contribution(_TO_SCALED_A, why=_WHY_SCALED)
    def to_a(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return cast(Value, through_normalising(g * weight, a, **how))

    @contribution("g * normalised(a)", why=_WHY_WEIGHT)
    def to_weight(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return cast(Value, g * normalised(a, **how))

    @contribution("g", why=_WHY_BIAS)
    def to_bias(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return g


class BatchNorm(Operation):
    """Each feature, over all examples (dimension 0), moved to mean 0 and scaled to variance 1."""

    name = "batch_norm"
    symbol = "norm"
    operands = ("a",)
    text = _NORMALISED
    why = (
        "Each feature is moved to mean 0 and scaled to variance 1 (a little less: eps) over all "
        "examples of the batch."
    )
    elementwise = False

    forward = LayerNorm.forward

    @contribution(_TO_A, why=_WHY_NORMALISED)
    def to_a(g: Array, out: Array, a: Array, *, dims: tuple[int, ...], eps: float) -> Value:
        return cast(Value, through_normalising(g, a, dims, eps))


class ScaledBatchNorm(Operation):
    """A batch norm with weight and bias for each feature."""

    name = "batch_norm"
    symbol = "norm"
    operands = ("a", "weight", "bias")
    text = f"{_NORMALISED} * weight + bias"
    why = (
        "Each feature is moved to mean 0 and scaled to variance 1 (a little less: eps) over all "
        "examples of the batch; then it gets a scale and a shift of its own."
    )
    elementwise = False

    forward = ScaledLayerNorm.forward

    @contribution(_TO_SCALED_A, why=_WHY_SCALED)
    def to_a(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return cast(Value, through_normalising(g * weight, a, **how))

    @contribution("g * normalised(a)", why=_WHY_WEIGHT)
    def to_weight(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return cast(Value, g * normalised(a, **how))

    @contribution("g", why=_WHY_BIAS)
    def to_bias(g: Array, out: Array, a: Array, weight: Value, bias: Value, **how: Any) -> Value:
        return g
