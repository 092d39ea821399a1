"""y = x²: one operation, one gradient."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any) -> Any:
    y = x**2
    return y


LESSON = Lesson(
    id="square",
    title="A square",
    chapter="Scalars",
    order=10,
    minutes=3,
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
    mistake=(
        "Writing the value x² where the slope 2x belongs. At x = 2 and at x = 0 the two happen to "
        "be equal, so a check there passes; at any other x the finite difference says no."
    ),
    questions=(
        Question(
            "Where is the gradient of x² zero, and what does that say about y?",
            (
                "At x = 0, the bottom of the bowl: there a small move of x, to either side, "
                "hardly changes y."
            ),
        ),
        Question(
            "x is −3 and grows by 0.01. By about how much does y change?",
            (
                "By −0.06: the gradient 2·(−3) = −6 times 0.01. Exactly it is −0.0599; what is "
                "missing is 0.01², the bend of the curve that a slope does not see."
            ),
        ),
        Question(
            "Why is the gradient of y itself 1?",
            (
                "If y moves by a little, y moves exactly as far. Every backward pass starts with "
                "this 1."
            ),
        ),
        Question(
            "The gradient of x is positive. Which way must x move to make y smaller?",
            (
                "Down, against the gradient. That is all that gradient descent does, with many "
                "numbers at once."
            ),
        ),
    ),
    plot=Plot("along", "x"),
    references=("The notebook, In [1]: y = x², by torch beside by hand",),
)
