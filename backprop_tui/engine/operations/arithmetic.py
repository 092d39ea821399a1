"""Arithmetic on cells: + − · / and powers. Operands broadcast as in numpy and torch."""

import math
import operator

import numpy as np

from backprop_tui.engine.operations.base import Operation, Value, contribution


class Add(Operation):
    """a + b."""

    name = "add"
    symbol = "+"
    operands = ("a", "b")
    text = "a + b"
    why = "A sum: if either operand grows by a little, the result grows by just as much."

    forward = staticmethod(operator.add)  # a + b, without a call of Python

    @contribution("g", why="A sum passes the upstream gradient on unchanged: its slope is 1.")
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g

    @contribution("g", why="A sum passes the upstream gradient on unchanged: its slope is 1.")
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g


class Sub(Operation):
    """a − b."""

    name = "sub"
    symbol = "−"
    operands = ("a", "b")
    text = "a - b"
    why = "A difference: it grows with the first operand and shrinks with the second."

    forward = staticmethod(operator.sub)  # a - b, without a call of Python

    @contribution("g", why="The result grows as fast as the first operand: the slope is 1.")
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g

    @contribution("-g", why="The result shrinks as the second operand grows: the slope is −1.")
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        return -g


class Mul(Operation):
    """a · b, cell by cell."""

    name = "mul"
    symbol = "·"
    operands = ("a", "b")
    text = "a * b"
    why = "A product: each operand decides how strongly the other one counts."

    forward = staticmethod(operator.mul)  # a * b, without a call of Python

    @contribution("g * b", why="In a product the slope for one factor is the other factor.")
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g * b

    @contribution("g * a", why="In a product the slope for one factor is the other factor.")
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g * a


class Div(Operation):
    """a / b, cell by cell."""

    name = "div"
    symbol = "÷"
    operands = ("a", "b")
    text = "a / b"
    why = "A quotient: it grows with the numerator; the denominator scales it down."

    forward = staticmethod(operator.truediv)  # a / b, without a call of Python

    @contribution(
        "g / b",
        why="For the numerator, dividing is multiplying by a fixed factor: 1 over the denominator.",
    )
    def to_a(g: Value, out: Value, a: Value, b: Value) -> Value:
        return g / b

    @contribution(
        "-g * (out / b)",
        why="The slope of a/b in b is −a/b², which is −(a/b)/b: a larger divisor, a smaller part.",
    )
    def to_b(g: Value, out: Value, a: Value, b: Value) -> Value:
        return -g * (out / b)


class Neg(Operation):
    """−a."""

    name = "neg"
    symbol = "−"
    operands = ("a",)
    text = "-a"
    why = "The sign is turned."

    @staticmethod
    def forward(a: Value) -> Value:
        return -a

    @contribution("-g", why="The result falls as fast as the operand rises: the slope is −1.")
    def to_a(g: Value, out: Value, a: Value) -> Value:
        return -g


class Pow(Operation):
    """base to the power exponent, cell by cell."""

    name = "pow"
    symbol = "^"
    operands = ("base", "exponent")
    text = "base ** exponent"
    why = (
        "A power: exponent 3, for example, is a product of three factors of the base, −1 is one "
        "divided by it, and ½ its square root."
    )

    @staticmethod
    def forward(base: Value, exponent: Value) -> Value:
        if type(base) is float and type(exponent) is float:
            return math.pow(base, exponent)  # unlike ** never complex
        return base**exponent

    @contribution(
        "g * (exponent * base ** (exponent - 1))",
        why="The power rule: bring the exponent down in front and lower it by one.",
    )
    def to_base(g: Value, out: Value, base: Value, exponent: Value) -> Value:
        if type(base) is float and type(exponent) is float:
            # With exponent 0 it is constant, also at base 0, where 0 · 0⁻¹ would be nan.
            return g * (exponent * math.pow(base, exponent - 1.0)) if exponent else 0.0
        slope = g * (exponent * base ** (exponent - 1.0))
        if type(exponent) is float and exponent:
            return slope
        return np.where(exponent == 0.0, 0.0, slope)

    @contribution(
        "g * (out * log(base))",
        why="A power grows exponentially in its exponent, at the rate log(base).",
    )
    def to_exponent(g: Value, out: Value, base: Value, exponent: Value) -> Value:
        # Beside base 0 a power with exponent ≥ 0 is flat at 0: the slope is 0, not 0 · log 0.
        flat = np.logical_and(np.equal(base, 0.0), np.greater_equal(exponent, 0.0))
        return g * np.where(flat, 0.0, out * np.log(base))
