"""z = w·x + b: the smallest layer."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, w: Any, x: Any, b: Any) -> Any:
    p = w * x
    z = p + b
    return z


LESSON = Lesson(
    id="linear",
    title="A linear function",
    chapter="Scalars",
    order=40,
    after=("square",),
    minutes=4,
    idea=(
        "w·x + b is the smallest layer there is, and it shows the two rules that every linear "
        "layer uses. A sum passes the gradient on to both sides as it is. A product hands each "
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
        "z": "This is the output, so it starts with 1, and its sum hands that 1 to p and to b.",
    },
    mistake=(
        "Giving a factor its own value: to w the slope w, where it should be x. With w = x it "
        "does not show, nor in a check that sets everything to 1; test numbers should be "
        "different from each other and from 0 and 1."
    ),
    questions=(
        Question(
            "Why is the gradient of b 1, whatever the numbers are?",
            "b is only added: if it grows by a little, z grows by exactly as much.",
        ),
        Question(
            "x is 0 and w is 5. Which of the three gradients is 0, and what does that mean?",
            (
                "Only that of w: a weight on an input of 0 has no effect. x still receives w = 5, "
                "and b still receives 1."
            ),
        ),
        Question(
            "Which numbers of the forward pass does the backward pass need?",
            (
                "The two factors w and x, each for the other's gradient. A sum needs none of its "
                "terms."
            ),
        ),
        Question(
            "Why do p and b receive the same?",
            (
                "They are the two terms of one sum, and a sum hands both the gradient that it "
                "received."
            ),
        ),
    ),
    plot=Plot("along", "w"),
    references=("The notebook, In [4]: dw 2.5 and db 1, by torch and by hand",),
)
