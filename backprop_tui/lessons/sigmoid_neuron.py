"""f = σ(w0·x0 + w1·x1 + w2): a neuron, its sigmoid as one gate or as four primitive ones."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, w0: Any, x0: Any, w1: Any, x1: Any, w2: Any) -> Any:
    p0 = w0 * x0
    p1 = w1 * x1
    s = p0 + p1
    dot = s + w2
    f = xp.sigmoid(dot)
    return f


def sigmoid_in_steps(xp: Any, dot: Any) -> Any:
    """The sigmoid in primitive gates: times −1, exp, plus 1, one over."""
    minus = -dot
    power = xp.exp(minus)
    den = power + 1
    return 1 / den


LESSON = Lesson(
    id="sigmoid-neuron",
    title="A neuron with a sigmoid",
    chapter="Circuits",
    order=130,
    idea=(
        "A neuron multiplies its inputs by weights, adds them up with a bias, and squashes the sum "
        "into the range from 0 to 1. The sigmoid of a, 1/(1 + e⁻ᵃ), can be taken as four small "
        "gates (change the sign, exponentiate, add 1, take the reciprocal) or as a single one. "
        "Multiply the four slopes, and they come to f·(1 − f), so "
        "that the single gate needs nothing but its own output. Where to draw the boundary of "
        "a gate is a choice of convenience, and the gradient does not depend on it."
    ),
    program=program,
    leaves=(
        Leaf("w0", 2.0, "the weight of the first input"),
        Leaf("x0", -1.0, "the first input"),
        Leaf("w1", -3.0, "the weight of the second input"),
        Leaf("x1", -2.0, "the second input"),
        Leaf("w2", -3.0, "the bias"),
    ),
    forward=(
        Equation("dot", "w0 * x0 + w1 * x1 + w2"),
        Equation("minus", "-dot"),
        Equation("power", "exp(minus)"),
        Equation("den", "power + 1"),
        Equation("f", "1 / den"),
        Equation("f", "sigmoid(dot)", "the four gates together"),
    ),
    derivation=(
        Equation("df", "1"),
        Equation("dden", "-1 / den**2 * df", "one over: the slope of 1/x is −1/x²"),
        Equation("dpower", "dden", "plus 1: the slope is 1"),
        Equation("dminus", "power * dpower", "exp is its own slope"),
        Equation("ddot", "-1 * dminus", "times −1"),
        Equation(
            "ddot",
            "f * (1 - f) * df",
            "the same: the four slopes make power/den², and power/den is 1 − f",
        ),
        Equation("dw0", "x0 * ddot"),
        Equation("dx0", "w0 * ddot"),
        Equation("dw1", "x1 * ddot"),
        Equation("dx1", "w1 * ddot"),
        Equation("dw2", "ddot", "the bias is added"),
    ),
    after=("gates",),
    minutes=8,
    opens={"f": sigmoid_in_steps},
    opened=("f",),
    notes={
        "w0": "The gradient of the sum times the input x0: where the input is negative, "
        "a larger weight makes the neuron fire less.",
        "x0": "The gradient of the sum times the weight w0.",
        "w1": "The gradient of the sum times the input x1.",
        "x1": "The gradient of the sum times the weight w1.",
        "w2": "A bias is added, so it receives what dot received, unchanged.",
        "p0": "The sum distributes: both products receive what s received.",
        "p1": "The sum distributes: both products receive what s received.",
        "s": "The two weighted inputs together. It receives the same as the bias.",
        "dot": "All that the weights and inputs receive comes through here. Its gradient is "
        "f·(1 − f), which is at most ¼ and close to 0 where f is near 0 or 1.",
        "minus": "The sum with its sign turned. On its way to the sum the gradient turns its sign "
        "as well.",
        "power": "e to the power −dot. The exponential is its own slope, so what is sent on is "
        "multiplied by this very value.",
        "den": "Adding 1 changes the value and leaves the gradient as it is: it goes on to the "
        "exponential unchanged.",
        "f": "Always between 0 and 1. Its value is all that the sigmoid's own slope depends on.",
    },
    mistake=(
        "Putting the input of the sigmoid where its output belongs: dot·(1 − dot) in place of "
        "f·(1 − f). At the published numbers dot is 1, so every gradient from dot back to the "
        "inputs would be 0; at other numbers they are all wrong by one and the same factor. A "
        "wrong factor shared by all that leads to a gate points at that gate."
    ),
    questions=(
        Question(
            "Why is the fused gate preferred, although the four small ones give the same gradient?",
            "It has one rule, f·(1 − f), and needs only its output. It is shorter and faster, and "
            "it avoids intermediate values that overflow, like the exponential of a large number.",
        ),
        Question(
            "For which output does the sigmoid pass on most gradient, and how much is it?",
            "For f = ½, where the sum is 0: f·(1 − f) is ¼ there. So at least three quarters of "
            "the gradient is lost on the way through a sigmoid.",
        ),
        Question(
            "The neuron saturates: f is 0.999. What happens to the gradients of the weights?",
            "They are multiplied by 0.999·0.001, about a thousandth, so the weights hardly move. "
            "This is how gradients vanish in deep networks of sigmoids.",
        ),
        Question(
            "An input is 0. What is the gradient of its weight?",
            "0, since it is the input times the gradient of the sum. A weight whose input is "
            "silent learns nothing from this example.",
        ),
    ),
    plot=Plot("along", "w2"),
    references=(
        "CS231n, 'Backpropagation, Intuitions', the sigmoid example: w = (2, −3, −3) and "
        "x = (−1, −2) give dot = 1, f = 0.73, dw = (−0.20, −0.39, 0.20) and dx = (0.39, −0.59)",
    ),
)
