"""loss = y_actual − x²: the chain rule with one link."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any, y_actual: Any) -> Any:
    y_pred = x**2
    loss = y_actual - y_pred
    return loss


LESSON = Lesson(
    id="loss",
    title="A first loss",
    chapter="Scalars",
    order=20,
    after=("square",),
    minutes=4,
    idea=(
        "Two operations in a row: x is squared into a prediction, and the loss is how far that "
        "falls short of the actual value. The chain rule multiplies the slopes on the way back: "
        "−1 for the subtraction, 2x for the square. Mind the order of a difference: y_actual − "
        "y_pred has slope −1 for the prediction, y_pred − y_actual would have +1. The notebook "
        "defines one and, with its arguments swapped in the call, computes the other; here stands "
        "what it computes."
    ),
    program=program,
    leaves=(
        Leaf("x", 0.772921085357666, "the input; the notebook drew this one at random"),
        Leaf("y_actual", 10.0, "the value that should have come out"),
    ),
    forward=(
        Equation("y_pred", "x**2"),
        Equation("loss", "y_actual - y_pred"),
    ),
    derivation=(
        Equation("dloss", "1"),
        Equation("dy_pred", "-dloss", "a larger prediction makes this loss smaller"),
        Equation("dy_actual", "dloss"),
        Equation("dx", "2*x * dy_pred", "altogether −2x"),
    ),
    notes={
        "y_pred": "It is subtracted, so the sign of the gradient turns here.",
        "x": "Two slopes multiplied: −1 from the subtraction, 2x from the square.",
        "y_actual": "Data has a gradient too: it says how the loss would react to another target.",
        "loss": "A difference is no good loss: it can be made smaller without end. "
        "The next lesson squares it.",
    },
    mistake=(
        "Losing the sign: what is subtracted receives −1 times what came from above. It shows as "
        "a gradient of the right size with the wrong sign, and a weight that follows it moves the "
        "wrong way."
    ),
    questions=(
        Question(
            "Why is the gradient of y_pred −1, while that of y_actual is 1?",
            (
                "loss = y_actual − y_pred: the loss grows by as much as y_actual does, and falls "
                "by as much as y_pred grows."
            ),
        ),
        Question(
            "Which two slopes make the gradient of x, and what is done with them?",
            (
                "−1 from the subtraction and 2x from the square. They stand one behind the other, "
                "so they are multiplied: −2x."
            ),
        ),
        Question(
            "Does the gradient of x depend on the target y_actual?",
            (
                "No. This loss falls evenly with the prediction, however wrong that is, so its "
                "slope knows nothing of the target."
            ),
        ),
        Question(
            "What changes in the gradients if the loss is y_pred − y_actual instead?",
            ("Every sign but that of the loss itself: y_pred gets 1, y_actual −1 and x gets 2x."),
        ),
    ),
    plot=Plot("along", "x"),
    references=("The notebook, In [2]: −1.5458 by torch, −1.545842170715332 by hand",),
)
