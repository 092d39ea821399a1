"""Functions of a cell: exponentials, roots, waves, and the non-linearities of networks.

A scalar is a Python float and goes through `math`, which is several times faster than numpy for
a single number. Where `math` raises (log of a negative number, overflow), the tape falls back on
numpy, which answers nan or inf.
"""

import math

import numpy as np

from backprop_tui.engine.operations.base import Operation, Value, contribution


class Exp(Operation):
    """e to the power a."""

    name = "exp"
    symbol = "exp"
    operands = ("a",)
    text = "exp(a)"
    why = "The exponential: each step of 1 multiplies the result by e ≈ 2.718."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.exp(a) if type(a) is float else np.exp(a)

    @contribution("g * out", why="The exponential is its own slope.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g * out


class Log(Operation):
    """The natural logarithm of a."""

    name = "log"
    symbol = "log"
    operands = ("a",)
    text = "log(a)"
    why = "The natural logarithm: the power to which e must be raised to give the operand."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.log(a) if type(a) is float else np.log(a)

    @contribution("g / a", why="The slope of log is 1/a: steep near 0, flat for large operands.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g / a


class Sqrt(Operation):
    """The square root of a."""

    name = "sqrt"
    symbol = "√"
    operands = ("a",)
    text = "sqrt(a)"
    why = "The square root."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.sqrt(a) if type(a) is float else np.sqrt(a)

    @contribution("g / (2 * out)", why="The slope of a root is 1 over twice the root.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g / (2.0 * out)


class Sin(Operation):
    """The sine of a (radians)."""

    name = "sin"
    symbol = "sin"
    operands = ("a",)
    text = "sin(a)"
    why = "The sine, with the angle in radians."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.sin(a) if type(a) is float else np.sin(a)

    @contribution("g * cos(a)", why="The slope of the sine is the cosine.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g * (math.cos(a) if type(a) is float else np.cos(a))


class Cos(Operation):
    """The cosine of a (radians)."""

    name = "cos"
    symbol = "cos"
    operands = ("a",)
    text = "cos(a)"
    why = "The cosine, with the angle in radians."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.cos(a) if type(a) is float else np.cos(a)

    @contribution("-g * sin(a)", why="The slope of the cosine is the negative sine.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return -g * (math.sin(a) if type(a) is float else np.sin(a))


class Tanh(Operation):
    """The hyperbolic tangent of a."""

    name = "tanh"
    symbol = "tanh"
    operands = ("a",)
    text = "tanh(a)"
    why = "tanh squashes every number into the range from −1 to 1."

    @staticmethod
    def forward(a: Value) -> Value:
        return math.tanh(a) if type(a) is float else np.tanh(a)

    @contribution(
        "g * (1 - out**2)",
        why="The slope of tanh is 1 minus the square of its own output: "
        "near ±1 tanh is flat and little gradient passes.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g * (1.0 - out * out)


class Sigmoid(Operation):
    """The logistic function 1/(1 + e^−a)."""

    name = "sigmoid"
    symbol = "σ"
    operands = ("a",)
    text = "sigmoid(a)"
    why = "The sigmoid 1/(1 + e⁻ᵃ) squashes every number into the range from 0 to 1."

    @staticmethod
    def forward(a: Value) -> Value:
        # Two branches, so that exp never overflows.
        if type(a) is float:
            if a >= 0.0:
                return 1.0 / (1.0 + math.exp(-a))
            e = math.exp(a)
            return e / (1.0 + e)
        power = np.exp(-np.abs(a))
        return np.where(a >= 0.0, 1.0, power) / (1.0 + power)

    @contribution(
        "g * out * (1 - out)",
        why="The slope of the sigmoid is output times (1 − output): at most ¼, at output ½.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return g * out * (1.0 - out)


class Relu(Operation):
    """The larger of 0 and a."""

    name = "relu"
    symbol = "relu"
    operands = ("a",)
    text = "maximum(0, a)"
    why = "relu lets positive numbers through and replaces negative ones by 0."

    @staticmethod
    def forward(a: Value) -> Value:
        if type(a) is float:
            return 0.0 if a < 0.0 else a
        return np.where(a < 0.0, 0.0, a)  # nan stays nan

    @contribution(
        "g * (a > 0)",
        why="Where the operand is positive the gradient passes; elsewhere none does. "
        "At exactly 0, where there is no slope, torch's choice is 0.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        if type(a) is float:
            return 0.0 if a <= 0.0 else g
        return np.where(a <= 0.0, 0.0, g)

    @staticmethod
    def branches(a: Value) -> Value:
        return np.sign(a)


class Maximum(Operation):
    """The larger of a and b, cell by cell."""

    name = "maximum"
    symbol = "max"
    operands = ("a", "b")
    text = "maximum(a, b)"
    why = "The larger of the two wins; the other has no say."

    @staticmethod
    def forward(a: Value, b: Value) -> Value:
        if type(a) is float and type(b) is float:
            return a if a >= b or a != a else b  # a != a: nan stays nan
        return np.maximum(a, b)

    @contribution(
        "g * (a > b) + g * (a == b) / 2",
        why="The whole gradient goes to the larger operand. At a tie, where there is no slope, "
        "torch gives half to each.",
    )
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        if type(a) is float and type(b) is float:
            share = 0.5 if a == b else 1.0
            return 0.0 if a < b else g * share
        return np.where(np.equal(a, b), g * 0.5, np.where(np.less(a, b), 0.0, g))

    @contribution(
        "g * (b > a) + g * (a == b) / 2",
        why="The whole gradient goes to the larger operand. At a tie, where there is no slope, "
        "torch gives half to each.",
    )
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        if type(a) is float and type(b) is float:
            share = 0.5 if a == b else 1.0
            return 0.0 if b < a else g * share
        return np.where(np.equal(a, b), g * 0.5, np.where(np.less(b, a), 0.0, g))

    @staticmethod
    def branches(a: Value, b: Value) -> Value:
        return np.sign(np.subtract(a, b))


class Abs(Operation):
    """The absolute value of a."""

    name = "abs"
    symbol = "|·|"
    operands = ("a",)
    text = "abs(a)"
    why = "The size without the sign."

    @staticmethod
    def forward(a: Value) -> Value:
        return abs(a) if type(a) is float else np.abs(a)

    @contribution(
        "g * sign(a)",
        why="The slope is the sign of the operand: 1 or −1. "
        "At exactly 0, where there is no slope, torch's choice is 0.",
    )
    def to_a(g: Value, out: Value, a: Value) -> Value:
        if type(a) is float:
            return g * (1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0)
        return g * np.where(np.isnan(a), 0.0, np.sign(a))  # torch's sign of nan is 0

    @staticmethod
    def branches(a: Value) -> Value:
        return np.sign(a)
