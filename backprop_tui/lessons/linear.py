"""z = w·x + b: the smallest layer."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, w: Any, x: Any, b: Any) -> Any:
    p = w * x
    z = p + b
    return z


LESSON = Lesson(
    id="linear",
    title="A linear function",
    chapter="Scalars",
    order=40,
    idea=(
        "w·x + b is the smallest layer there is, and it shows the two rules that every layer "
        "uses. A sum passes the gradient on to both sides as it is. A product hands each "
        "factor the gradient times the other factor: the gradient of the weight is the input, "
        "and the gradient of the input is the weight."
    ),
    program=program,
    leaves=(
        Leaf("w", 5.0, "the weight"),
        Leaf("x", 2.5, "the input"),
        Leaf("b", 4.0, "the bias"),
    ),
    forward=(
        Equation("p", "w * x"),
        Equation("z", "p + b"),
    ),
    derivation=(
        Equation("dz", "1"),
        Equation("dp", "dz"),
        Equation("db", "dz", "a bias is added, so its gradient is what came from above"),
        Equation("dw", "x * dp", "the larger the input, the more the weight matters"),
        Equation("dx", "w * dp"),
    ),
    notes={
        "w": "Its gradient is the input x. With x = 0 the weight has no effect and no gradient.",
        "x": "Its gradient is the weight w: this is what is passed on to an earlier layer.",
        "b": "Its gradient is 1 whatever the numbers are: a bias shifts the result one to one.",
        "p": "The sum has passed its gradient on unchanged.",
    },
    references=("The notebook, In [4]: dw 2.5 and db 1, by torch and by hand",),
)
