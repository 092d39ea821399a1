"""y = Σ x²: the first vector."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any) -> Any:
    sq = x**2
    y = xp.sum(sq)
    return y


LESSON = Lesson(
    id="sum-of-squares",
    title="A sum of squares",
    chapter="Vectors and matrices",
    order=410,
    after=("squared-loss",),
    minutes=4,
    idea=(
        "A vector is several numbers, and the gradient of one output with respect to it is a "
        "vector of the same shape: one slope for each cell. The sum gives every cell a copy of "
        "its own gradient; the square then works on each cell by itself, so the gradient is 2x, "
        "cell by cell, as if each cell were a little lesson on y = x² of its own."
    ),
    program=program,
    leaves=(Leaf("x", [1.0, 5.0, 6.0], "the input, a vector of any length", free_shape=True),),
    forward=(
        Equation("sq", "x**2"),
        Equation("y", "sum(sq)"),
    ),
    derivation=(
        Equation("dy", "1"),
        Equation("dsq", "expand(dy, sq)", "each cell receives a copy"),
        Equation("dx", "2*x * dsq", "cell by cell"),
    ),
    notes={
        "sq": "The sum moves by as much as any of its cells, so each cell's gradient is the same.",
        "x": "No cell depends on another, so each gradient is twice its own cell.",
        "y": (
            "One number from many, and its gradient is 1: the sum hands a copy of it to every cell."
        ),
    },
    mistake=(
        "Adding up the gradient because the output is a sum: one number, 2·Σx = 24, in the place "
        "of a vector. The shape gives it away: the gradient of a vector has as many cells as the "
        "vector."
    ),
    questions=(
        Question(
            "What shape does the gradient of x have, and what shape that of y?",
            (
                "Each has the shape of its own value: x is a vector of three cells here, so its "
                "gradient is one; y is a number, so its gradient is a number."
            ),
        ),
        Question(
            "Why does every cell of sq receive the same gradient?",
            (
                "y grows by as much as any one cell of sq does, so each has the slope 1 times "
                "what y received."
            ),
        ),
        Question(
            "The third cell of x, 6, grows by 0.1. By about how much does y change?",
            "By 1.2: its gradient 12 times 0.1. Exactly it is 1.21.",
        ),
        Question(
            "Why does the gradient of one cell of x not depend on the other cells?",
            (
                "Each cell is squared by itself and then only added to the others: no term of y "
                "contains two of them."
            ),
        ),
    ),
    plot=Plot("along", "x"),
    references=("The notebook, In [5]: y = 62, gradient [2, 10, 12]",),
)
