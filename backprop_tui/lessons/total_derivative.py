"""y = sin(x + x²): x reaches y along two ways, and the total derivative adds them up."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any) -> Any:
    u1 = x**2
    u2 = x + u1
    y = xp.sin(u2)
    return y


LESSON = Lesson(
    id="total-derivative",
    title="The total derivative",
    chapter="Matrix calculus",
    order=520,
    idea=(
        "u2 depends on x twice: directly, and by way of u1. A partial derivative looks at one of "
        "these ways and holds everything else fixed. The total derivative asks what really happens "
        "when x moves, and then both ways act at once: so one multiplies along each way "
        "and adds up over all ways. In the backward pass this is the += at x."
    ),
    program=program,
    leaves=(Leaf("x", 0.6, "the only variable, used twice"),),
    forward=(
        Equation("u1", "x**2"),
        Equation("u2", "x + u1"),
        Equation("y", "sin(u2)"),
        Equation("y", "sin(x + x**2)", "all in one"),
    ),
    derivation=(
        Equation("dy", "1"),
        Equation("du2", "cos(u2) * dy", "the slope of the sine"),
        Equation("du1", "du2", "u2 is a sum"),
        Equation("dx", "du2 + 2 * x * du1", "the direct way, and the way through u1"),
        Equation("dx", "cos(x + x**2) * (1 + 2 * x)", "with the names put back in"),
    ),
    after=("chain-rule", "two-uses"),
    minutes=4,
    notes={
        "x": "Two uses, two contributions: one arrives directly from u2, the other through u1, "
        "multiplied by 2·x. Their sum is the total derivative.",
        "u1": "It depends on x too. To hold it fixed while x moves would be to forget this way.",
        "u2": "The sum hands its gradient to x and to u1 alike, as if they had nothing to do with "
        "each other.",
        "y": "The sine, the paper's u3. Both ways from x have become one before it is taken.",
    },
    mistake=(
        "Following one way only, as the chain rule for a single variable does: through u1 it gives "
        "cos(x + x²)·2x, and the 1 for the direct way is missing. It shows as a gradient that is "
        "too small in size for positive x, and is exactly 0 at x = 0, where it should be 1."
    ),
    questions=(
        Question(
            "Which two ways lead from x to u2, and what slope does each have?",
            "The direct one with slope 1, and the one through u1 = x², with slope 2x.",
        ),
        Question(
            "How does the partial derivative of u2 = x + u1 in x differ from the total one?",
            "The partial one holds u1 fixed and is 1. The total one lets u1 move along with x, and "
            "is 1 + 2x.",
        ),
        Question(
            "Does the sine have to know that x is used twice?",
            "No. It sends cos(u2) to u2 once; only at x do two contributions meet and are added.",
        ),
        Question(
            "What would a third use of x add?",
            "A third term: the product of the slopes along that way. The others stay as they are.",
        ),
    ),
    plot=Plot("along", "x"),
    references=(
        "T. Parr and J. Howard, The Matrix Calculus You Need For Deep Learning "
        "(arXiv 1802.01528), the total-derivative chain rule: y = sin(x + x²) with u1, u2, u3; "
        "the value of x is ours",
    ),
)
