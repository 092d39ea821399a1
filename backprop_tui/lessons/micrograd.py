"""L = (a·b + c)·f: the expression on which micrograd's lecture shows backpropagation by hand."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, a: Any, b: Any, c: Any, f: Any) -> Any:
    e = a * b
    d = e + c
    L = d * f
    return L


LESSON = Lesson(
    id="micrograd",
    title="micrograd's expression",
    chapter="Sharing and order",
    order=230,
    idea=(
        "Everything at once, on a small expression: products swap, the sum distributes, and each "
        "gradient is the one before it times a slope. And it shows what gradients are for. Move "
        "every leaf a little in the direction of its gradient, and L grows; move it the other way, "
        "and L falls. That small step, against the gradient of a loss and repeated many times, is "
        "how a network learns."
    ),
    program=program,
    leaves=(
        Leaf("a", 2.0, "the first factor of e"),
        Leaf("b", -3.0, "the second factor of e"),
        Leaf("c", 10.0, "what is added to e"),
        Leaf("f", -2.0, "the factor of d"),
    ),
    forward=(
        Equation("e", "a * b"),
        Equation("d", "e + c"),
        Equation("L", "d * f"),
        Equation("L", "(a * b + c) * f", "the same in one line"),
    ),
    derivation=(
        Equation("dL", "1"),
        Equation("dd", "f * dL"),
        Equation("df", "d * dL"),
        Equation("de", "dd", "the sum distributes"),
        Equation("dc", "dd", "the sum distributes"),
        Equation("da", "b * de"),
        Equation("db", "a * de"),
        Equation("da", "b * f", "the product of the slopes on the way from a to L"),
    ),
    after=("gates",),
    minutes=5,
    notes={
        "a": "On its way back from L the gradient was multiplied by f, by 1 and by b.",
        "b": "On its way back from L the gradient was multiplied by f, by 1 and by a.",
        "c": "The sum passes its gradient on, so c receives exactly what d received.",
        "f": "Its gradient is d, the other factor: the further d is from 0, the more f matters.",
        "e": "It receives the same as c, because the two are added.",
        "d": "Its gradient is f, the other factor.",
        "L": "The number that is to change: a step along the gradients makes it grow.",
    },
    mistake=(
        "Stepping against the gradient to make something larger, or along it to make something "
        "smaller. It shows at once in the result: from L = −8 a step of 0.01 times the gradient "
        "must lead up, to about −7.29; if L falls, a sign is wrong. (To make a loss smaller, one "
        "subtracts.) What a gradient promises holds for small steps only."
    ),
    questions=(
        Question(
            "All leaves are moved by 0.01 times their gradient. By about how much does L grow?",
            "By 0.01 times the sum of the squared gradients: 0.01·(36 + 16 + 4 + 16) = 0.72. The "
            "true growth is 0.7135, a little less, since the slopes change on the way.",
        ),
        Question(
            "Why is the gradient of c the same as that of e?",
            "They are added to give d, and a sum passes its gradient on to both unchanged.",
        ),
        Question(
            "Which product of slopes along the way from b to L is the gradient of b?",
            "∂L/∂d · ∂d/∂e · ∂e/∂b = f · 1 · a = −2 · 1 · 2 = −4 at the lecture's numbers.",
        ),
        Question(
            "At the lecture's numbers: which leaf changes L most for the same tiny step, and "
            "which way?",
            "a, because its gradient 6 is the largest in size: raising it makes L grow by six "
            "times the step, lowering it makes L fall.",
        ),
    ),
    plot=Plot("along", "a"),
    references=(
        "A. Karpathy, Neural Networks: Zero to Hero, lecture 1 (micrograd): a = 2, b = −3, c = 10, "
        "f = −2 give L = −8 and the gradients 6, −4, −2, 4 (e and d: −2); after a step of 0.01 "
        "times the gradient L is −7.286496",
    ),
)
