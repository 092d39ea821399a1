"""y = ln(sin(x³)²): the chain rule for one variable, a slope for each step."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any) -> Any:
    u1 = x**3
    u2 = xp.sin(u1)
    u3 = u2**2
    y = xp.log(u3)
    return y


LESSON = Lesson(
    id="chain-rule",
    title="The chain rule, one variable",
    chapter="Matrix calculus",
    order=510,
    idea=(
        "A nested expression is a chain: x is cubed, of that the sine is taken, that is squared, "
        "and of that the logarithm is taken. Give each intermediate result a name, and each step "
        "has a slope that you know by heart. The slope of the whole is the product of the slopes "
        "of the steps. The backward pass does nothing else: it starts with 1 and multiplies by one "
        "slope a step, from the outermost function to the innermost."
    ),
    program=program,
    leaves=(Leaf("x", 0.8, "the only variable"),),
    forward=(
        Equation("u1", "x**3"),
        Equation("u2", "sin(u1)"),
        Equation("u3", "u2**2"),
        Equation("y", "log(u3)", "log is the natural logarithm, the paper's ln"),
        Equation("y", "log(sin(x**3)**2)", "all in one"),
    ),
    derivation=(
        Equation("dy", "1"),
        Equation("du3", "1 / u3 * dy", "the slope of the logarithm"),
        Equation("du2", "2 * u2 * du3", "the slope of the square"),
        Equation("du1", "cos(u1) * du2", "the slope of the sine"),
        Equation("dx", "3 * x**2 * du1", "the slope of the cube"),
        Equation("dx", "3 * x**2 * cos(u1) * 2 * u2 / u3", "the four slopes multiplied"),
        Equation("dx", "6 * x**2 * cos(x**3) / sin(x**3)", "and with the names put back in"),
    ),
    after=("squared-loss",),
    minutes=5,
    notes={
        "x": "Here all four slopes have been multiplied. There is one way from x to y, "
        "so there is one product.",
        "u1": "x cubed. What it receives goes on to x, times 3·x².",
        "u2": "The sine of u1. What it receives goes on to u1, times cos(u1), "
        "the slope at the value that went in.",
        "u3": "The square of u2. Its gradient is 1/u3: near 0 the logarithm is steep.",
        "y": "The outermost function, the paper's u4. The backward pass begins with its slope.",
    },
    mistake=(
        "Taking an outer slope at x in place of the value that went in: cos(x) where cos(u1) "
        "belongs, or 1/x for 1/u3. It shows as one wrong factor: the gradients from y back to that "
        "step's result are right, and all those before it are wrong by the same factor."
    ),
    questions=(
        Question(
            "Why is it enough to know the slope of each single step?",
            "A small change of x is multiplied by each step's slope in turn, so the change of y is "
            "the product of them all times the change of x.",
        ),
        Question(
            "May one multiply the slopes from the inside outwards as well?",
            "Yes, a product of numbers does not depend on the order. That is forward mode; with a "
            "single variable and a single result it costs the same as the backward pass.",
        ),
        Question(
            "Where are values of the forward pass needed in the backward pass?",
            "In every slope: 1/u3, 2·u2, cos(u1) and 3·x² are taken at the values that went in. "
            "So these have to be kept.",
        ),
        Question(
            "What happens to the gradient of x if one of the steps has slope 0?",
            "It is 0, however steep all the other steps are: one factor of the product is 0.",
        ),
    ),
    plot=Plot("along", "x"),
    references=(
        "T. Parr and J. Howard, The Matrix Calculus You Need For Deep Learning "
        "(arXiv 1802.01528), the single-variable chain rule: y = ln(sin(x³)²) with u1 … u4, and "
        "dy/dx = 6x² cos(x³)/sin(x³); the value of x is ours",
    ),
)
