"""loss = (x² − y_actual)²: the chain rule with two links."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, x: Any, y_actual: Any) -> Any:
    y_pred = x**2
    diff = y_pred - y_actual
    loss = diff**2
    return loss


LESSON = Lesson(
    id="squared-loss",
    title="A squared loss",
    chapter="Scalars",
    order=30,
    idea=(
        "Squaring the difference makes a loss that is smallest where the prediction is right. "
        "Its gradient is twice the difference, so a prediction that is far off is pulled hard and "
        "one that is right is left in peace. On the way back to x the slopes multiply: "
        "2·(x² − y_actual) for the outer square, 1 for the subtraction, 2x for the inner square."
    ),
    program=program,
    leaves=(
        Leaf("x", 1.0, "the input"),
        Leaf("y_actual", 10.0, "the value that should have come out"),
    ),
    forward=(
        Equation("y_pred", "x**2"),
        Equation("diff", "y_pred - y_actual"),
        Equation("loss", "diff**2"),
    ),
    derivation=(
        Equation("dloss", "1"),
        Equation("ddiff", "2*diff * dloss"),
        Equation("dy_pred", "ddiff"),
        Equation("dy_actual", "-ddiff"),
        Equation("dx", "2*x * dy_pred", "altogether 2·(x² − y_actual)·2x"),
    ),
    notes={
        "diff": "Twice the difference comes back: the sign says in which direction it is wrong, "
        "the size how far.",
        "x": "A negative gradient says that the loss falls when x grows, "
        "a positive one that it falls when x shrinks.",
        "loss": "A square cannot go below 0, so this loss has a bottom.",
    },
    references=("The notebook, In [3]: −36 by torch and by hand",),
)
