"""loss = (x² − y_actual)²: the chain rule with two links."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


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
    after=("loss",),
    minutes=5,
    idea=(
        "Squaring the difference makes a loss that is smallest where the prediction is right. Its "
        "slope in the prediction is twice the difference: one that is far off is pulled hard, and "
        "one that is right is left in peace. On the way back to x the slopes multiply: 2·(x² − "
        "y_actual) for the outer square, 1 for the subtraction, 2x for the inner square."
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
        "y_pred": "The target is subtracted from it: it has slope 1, and what diff received "
        "passes on unchanged.",
        "y_actual": "It is subtracted, so it receives what y_pred receives with the opposite sign.",
    },
    mistake=(
        "Stopping too early: 2·(x² − y_actual) is the gradient of diff, and x still needs the "
        "factor 2x of the inner square. With x = 1 and y_actual = 10 it shows as −18 in the place "
        "of −36; at x = 0.5, where 2x is 1, it does not show at all."
    ),
    questions=(
        Question(
            "Which factors make the −36 at x = 1 and y_actual = 10?",
            (
                "2·(1 − 10) = −18 from the outer square, 1 from the subtraction and 2·1 = 2 from "
                "the inner square: −18 · 1 · 2 = −36."
            ),
        ),
        Question(
            "The prediction is exactly right. What are the gradients then?",
            (
                "All 0, but for the 1 of the loss itself: diff is 0, so 2·diff is, and everything "
                "further back is a multiple of that."
            ),
        ),
        Question(
            "x is 0 and y_actual 10: the prediction is off by 10, yet the gradient of x is 0. Why?",
            (
                "The inner square is flat at 0: its slope 2x is 0, and a product with one factor "
                "0 is 0. A gradient of 0 does not mean that the loss is small."
            ),
        ),
        Question(
            "Why is the gradient of y_actual 18 where that of y_pred is −18?",
            (
                "Only their difference counts: raising the target by a little does the same to it "
                "as lowering the prediction by as much."
            ),
        ),
    ),
    plot=Plot("along", "x"),
    references=("The notebook, In [3]: −36 by torch and by hand",),
)
