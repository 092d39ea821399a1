"""y = x²: one operation, one gradient."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, x: Any) -> Any:
    y = x**2
    return y


LESSON = Lesson(
    id="square",
    title="A square",
    chapter="Scalars",
    order=10,
    idea=(
        "A gradient answers one question: if I move the input by a little, how many times as far "
        "does the output move? For y = x² the answer is 2x, so it depends on where you stand. "
        "Change x and watch the gradient follow: it is always twice x, negative on the left of 0, "
        "and 0 at the bottom of the bowl."
    ),
    program=program,
    leaves=(Leaf("x", 0.4311157464981079, "the input; the notebook drew this one at random"),),
    forward=(Equation("y", "x**2"),),
    derivation=(
        Equation("dy", "1", "where every backward pass starts: y moves exactly as far as y"),
        Equation("dx", "2*x * dy", "the power rule times what came from above"),
    ),
    notes={
        "x": "The gradient is 2x: near 0 a nudge of x hardly moves y, far out it moves y a lot.",
        "y": "This is the output, so its own gradient is 1: the backward pass starts here.",
    },
    references=("The notebook, In [1]: y = x², by torch beside by hand",),
)
