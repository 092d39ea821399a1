"""loss = y_actual − x²: the chain rule with one link."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, x: Any, y_actual: Any) -> Any:
    y_pred = x**2
    loss = y_actual - y_pred
    return loss


LESSON = Lesson(
    id="loss",
    title="A first loss",
    chapter="Scalars",
    order=20,
    idea=(
        "Two operations in a row: x is squared into a prediction, and the loss is what is missing "
        "to the actual value. The chain rule multiplies the slopes on the way back: −1 for the "
        "subtraction, 2x for the square. Mind the order of a difference: y_actual − y_pred has "
        "slope −1 for the prediction, y_pred − y_actual would have +1. The notebook defines one "
        "and, with its arguments swapped in the call, computes the other; here stands what it "
        "computes."
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
    references=("The notebook, In [2]: −1.5458 by torch, −1.545842170715332 by hand",),
)
