"""f = (x + y)·z: the smallest circuit, in which a gradient passes through two gates."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x: Any, y: Any, z: Any) -> Any:
    q = x + y
    f = q * z
    return f


LESSON = Lesson(
    id="circuit",
    title="A circuit of two gates",
    chapter="Circuits",
    order=110,
    idea=(
        "A computation is a circuit of small gates. Each gate knows only its own inputs and its "
        "own output, and that is enough: in the forward pass it computes its output, in the "
        "backward pass it is told how much the final result would change with that output, and "
        "multiplies this by its own slopes. That multiplication is the chain rule. Here z, the "
        "number that q is multiplied by, decides what q receives, and the sum hands it on to x "
        "and to y."
    ),
    program=program,
    leaves=(
        Leaf("x", -2.0, "the first input of the sum"),
        Leaf("y", 5.0, "the second input of the sum"),
        Leaf("z", -4.0, "what the sum is multiplied by"),
    ),
    forward=(
        Equation("q", "x + y"),
        Equation("f", "q * z"),
    ),
    derivation=(
        Equation("df", "1"),
        Equation("dq", "z * df", "the other factor"),
        Equation("dz", "q * df", "the other factor"),
        Equation("dx", "1 * dq", "the chain rule: the sum's own slope, times what q received"),
        Equation("dy", "1 * dq"),
    ),
    after=("linear",),
    minutes=4,
    notes={
        "x": "Where z is negative, so is this gradient: making x larger makes the sum larger, "
        "and a larger sum times a negative number makes f smaller.",
        "y": "The sum treats x and y alike, so y receives exactly what x receives.",
        "z": "The gradient of z is the sum q: z has never met x and y, only their sum.",
        "q": "It is the hinge of this circuit: what q receives, z · 1, goes on to x and to y.",
        "f": "A product: each of its two inputs will receive the value of the other one.",
    },
    mistake=(
        "Taking a gate's own slope for the gradient. The slope of q = x + y in x is 1, but the "
        "gradient of f in x is that slope times ∂f/∂q. It shows at once: x and y get 1 where "
        "they should get z, at the published numbers 1 in place of −4, with the wrong sign too."
    ),
    questions=(
        Question(
            "Why do x and y have the same gradient although their values differ?",
            "They meet in a sum, whose slope is 1 in both. So both receive what q receives, "
            "whatever their own values are.",
        ),
        Question(
            "f is to grow a little from the published numbers. Should x be raised or lowered?",
            "Lowered. The gradient of x is −4, so raising x by a small step h changes f by −4·h, "
            "and lowering it makes f grow.",
        ),
        Question(
            "What does the sum gate have to know about the product gate behind it?",
            "Only one number, the gradient of the sum's output. All that lies behind a gate "
            "reaches it through that number, so each gate can be written without the others.",
        ),
        Question(
            "Which of the three gradients change if only z is changed?",
            "Those of x and y, because both are z. The gradient of z itself is q = x + y, in "
            "which z does not occur.",
        ),
    ),
    plot=Plot("along", "z"),
    references=(
        "CS231n, 'Backpropagation, Intuitions': f = (x + y)z at −2, 5, −4 gives q = 3, f = −12 "
        "and the gradients −4, −4, 3",
    ),
)
