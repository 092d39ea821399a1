"""y = Σ x²: the first vector."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, x: Any) -> Any:
    sq = x**2
    y = xp.sum(sq)
    return y


LESSON = Lesson(
    id="sum-of-squares",
    title="A sum of squares",
    chapter="Vectors and matrices",
    order=410,
    idea=(
        "A vector is several numbers, and the gradient of one output with respect to it is a "
        "vector of the same shape: one slope a cell. The sum gives every cell a copy of its own "
        "gradient; the square then works on each cell by itself, so the gradient is 2x, cell by "
        "cell, as if each cell were a little lesson on y = x² of its own."
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
    },
    references=("The notebook, In [5]: y = 62, gradient [2, 10, 12]",),
)
