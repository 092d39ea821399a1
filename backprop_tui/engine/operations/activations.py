"""More functions of a cell: smooth and leaky relatives of relu, limits, and small conveniences.

As in `functions`, a scalar is a Python float and goes through `math`.
"""

import math
from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution

ROOT_2 = math.sqrt(2.0)
ROOT_2_PI = math.sqrt(2.0 * math.pi)

_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(a: Value) -> Any:
    """The error function; numpy has none."""
    return math.erf(a) if type(a) is float else _erf(a)


def sigmoid(a: Any) -> Any:
    """1/(1 + e⁻ᵃ), in two branches so that exp never overflows."""
    power = np.exp(-np.abs(a))
    return np.where(np.greater_equal(a, 0.0), 1.0, power) / (1.0 + power)


class Gelu(Operation):
    """a times the probability that a standard normal number is below a."""

    name = "gelu"
    symbol = "gelu"
    operands = ("a",)
    text = "a * (1 + erf(a / sqrt(2))) / 2"
    why = (
        "gelu weighs each number with the share of the standard normal distribution that lies "
        "below it: large ones pass, very negative ones vanish, and in between it is smooth."
    )

    @staticmethod
    def forward(a: Value) -> Value:
        return cast(Value, a * (1.0 + erf(a / ROOT_2)) / 2.0)

    @contribution(
        "g * ((1 + erf(a / sqrt(2))) / 2 + a * exp(-a**2 / 2) / sqrt(2 * pi))",
        why="The product rule: the share itself, plus the number times the share's slope, which is "
        "the bell curve.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        share = (1.0 + erf(a / ROOT_2)) / 2.0
        return cast(Value, g * (share + a * np.exp(-0.5 * np.square(a)) / ROOT_2_PI))


class Silu(Operation):
    """a · sigmoid(a)."""

    name = "silu"
    symbol = "silu"
    operands = ("a",)
    text = "a * sigmoid(a)"
    why = "silu weighs each number with its own sigmoid: a smooth relu that dips a little below 0."

    @staticmethod
    def forward(a: Value) -> Value:
        return cast(Value, a * sigmoid(a))

    @contribution(
        "g * sigmoid(a) * (1 + a * (1 - sigmoid(a)))",
        why="The product rule: the sigmoid itself, plus the number times the sigmoid's slope.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        gate = sigmoid(a)
        return cast(Value, g * gate * (1.0 + a * (1.0 - gate)))


class Softplus(Operation):
    """log(1 + exp(a)). Above 20, where the difference is below 3e-9, torch takes a."""

    name = "softplus"
    symbol = "softplus"
    operands = ("a",)
    text = "log(1 + exp(a))"
    why = (
        "A smooth relu: near 0 for very negative numbers, near the number for large ones. Above 20 "
        "torch takes the number itself."
    )

    @staticmethod
    def forward(a: Value) -> Value:
        return cast(Value, np.where(np.greater(a, 20.0), a, np.log1p(np.exp(a))))

    @contribution(
        "g * sigmoid(a)",
        why="The slope of softplus is the sigmoid; above 20, where it is nearly 1, torch takes 1.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return cast(Value, np.where(np.greater(a, 20.0), g, g * sigmoid(a)))


class LeakyRelu(Operation):
    """a where it is positive, a small part of it elsewhere."""

    name = "leaky_relu"
    symbol = "leaky"
    operands = ("a",)
    text = "maximum(0, a) + slope * minimum(0, a)"
    why = "Positive numbers pass; of negative ones a small part is kept."

    @staticmethod
    def forward(a: Value, *, slope: float) -> Value:
        return cast(Value, np.where(np.less_equal(a, 0.0), a * slope, a))

    @contribution(
        "g * ((a > 0) + slope * (a <= 0))",
        why="Where the operand is positive the gradient passes; elsewhere a small part of it does, "
        "so that no unit is cut off for good. At exactly 0 torch takes the small slope.",
    )
    def to_a(g: Value, out: Value, a: Value, *, slope: float) -> Value:
        return cast(Value, np.where(np.greater(a, 0.0), g, g * slope))

    @staticmethod
    def branches(a: Value, *, slope: float) -> Value:
        return cast(Value, np.sign(a))


class Square(Operation):
    """a²."""

    name = "square"
    symbol = "²"
    operands = ("a",)
    text = "a**2"
    why = "The number times itself."

    @staticmethod
    def forward(a: Value) -> Value:
        return a * a

    @contribution("g * 2 * a", why="The power rule: the slope of a square is twice the number.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g * (2.0 * a)


class Reciprocal(Operation):
    """1 / a."""

    name = "reciprocal"
    symbol = "1/x"
    operands = ("a",)
    text = "1 / a"
    why = "One divided by the number."

    @staticmethod
    def forward(a: Value) -> Value:
        return 1.0 / a

    @contribution("-g * out**2", why="The slope of 1/a is −1/a²: the square of the result.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return -g * (out * out)


class Rsqrt(Operation):
    """1 / √a."""

    name = "rsqrt"
    symbol = "1/√"
    operands = ("a",)
    text = "1 / sqrt(a)"
    why = "One divided by the square root."

    @staticmethod
    def forward(a: Value) -> Value:
        return cast(Value, 1.0 / np.sqrt(a))

    @contribution(
        "-g * out**3 / 2",
        why="The power rule with exponent −½: minus half of the number to the power −1½.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return -0.5 * g * (out * out * out)


class Log1p(Operation):
    """log(1 + a), exact for small a too."""

    name = "log1p"
    symbol = "log1p"
    operands = ("a",)
    text = "log(1 + a)"
    why = "The logarithm of 1 plus the number, computed so that small numbers keep their digits."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.log1p(a) if type(a) is float else cast(Value, np.log1p(a))

    @contribution("g / (1 + a)", why="The slope of log is 1 over what the logarithm is taken of.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g / (1.0 + a)


# ── limits ────────────────────────────────────────────────────────────────────────────────────

_WHY_LIMITED = (
    "Within the limits the gradient passes; beyond them the result stays where it is, so none "
    "does. Exactly at a limit torch lets it pass."
)


class Clamp(Operation):
    """a, but at least min and at most max."""

    name = "clamp"
    symbol = "clamp"
    operands = ("a",)
    text = "minimum(maximum(a, low), high)"
    why = "Numbers beyond a limit are replaced by that limit."

    @staticmethod
    def forward(a: Value, *, low: float, high: float) -> Value:
        return cast(Value, np.minimum(np.maximum(a, low), high))

    @contribution("g * (a >= low) * (a <= high)", why=_WHY_LIMITED)
    def to_a(g: Value, out: Value, a: Value, *, low: float, high: float) -> Value:
        inside = np.logical_and(np.greater_equal(a, low), np.less_equal(a, high))
        return cast(Value, np.where(inside, g, 0.0))

    @staticmethod
    def branches(a: Value, *, low: float, high: float) -> Value:
        return cast(Value, np.sign(np.subtract(a, low)) + np.sign(np.subtract(a, high)))


class ClampMin(Operation):
    """a, but at least min."""

    name = "clamp"
    symbol = "clamp"
    operands = ("a",)
    text = "maximum(a, low)"
    why = "Numbers below the limit are replaced by it."

    @staticmethod
    def forward(a: Value, *, low: float) -> Value:
        return cast(Value, np.maximum(a, low))

    @contribution("g * (a >= low)", why=_WHY_LIMITED)
    def to_a(g: Value, out: Value, a: Value, *, low: float) -> Value:
        return cast(Value, np.where(np.greater_equal(a, low), g, 0.0))

    @staticmethod
    def branches(a: Value, *, low: float) -> Value:
        return cast(Value, np.sign(np.subtract(a, low)))


class ClampMax(Operation):
    """a, but at most max."""

    name = "clamp"
    symbol = "clamp"
    operands = ("a",)
    text = "minimum(a, high)"
    why = "Numbers above the limit are replaced by it."

    @staticmethod
    def forward(a: Value, *, high: float) -> Value:
        return cast(Value, np.minimum(a, high))

    @contribution("g * (a <= high)", why=_WHY_LIMITED)
    def to_a(g: Value, out: Value, a: Value, *, high: float) -> Value:
        return cast(Value, np.where(np.less_equal(a, high), g, 0.0))

    @staticmethod
    def branches(a: Value, *, high: float) -> Value:
        return cast(Value, np.sign(np.subtract(a, high)))


# ── running sums ──────────────────────────────────────────────────────────────────────────────


def running(a: Any, dim: int) -> Any:
    """The sums of all cells up to each, along a dimension; a scalar is its own."""
    return np.cumsum(a, axis=dim) if np.ndim(a) else a


class CumSum(Operation):
    """The sum of all cells up to each cell, along a dimension."""

    name = "cumsum"
    symbol = "Σ…"
    operands = ("a",)
    text = "cumsum(a)"
    why = "Each cell of the result is the sum of all cells so far."
    elementwise = False

    @staticmethod
    def forward(a: Value, *, dim: int) -> Value:
        return cast(Value, running(a, dim))

    @contribution(
        "reverse(cumsum(reverse(g)))",
        why="A cell goes into the sum at its own place and all later ones, so it receives the "
        "upstream gradients from its place on: a running sum from the end.",
    )
    def to_a(g: Value, out: Value, a: Value, *, dim: int) -> Value:
        if not np.ndim(g):
            return g
        return cast(Value, np.flip(running(np.flip(cast(Array, g), dim), dim), dim))


# ── no gradient ───────────────────────────────────────────────────────────────────────────────


class Detach(Operation):
    """a, cut off from the backward pass."""

    name = "detach"
    symbol = "detach"
    operands = ("a",)
    text = "detach(a)"
    why = (
        "The value passes, but no gradient will come back: for the backward pass the result is a "
        "number that depends on nothing."
    )
    sends = False

    @staticmethod
    def forward(a: Value) -> Value:
        return a
