"""o = tanh(x1·w1 + x2·w2 + b): micrograd's neuron, its tanh as one step or taken apart."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(xp: Any, x1: Any, w1: Any, x2: Any, w2: Any, b: Any) -> Any:
    x1w1 = x1 * w1
    x2w2 = x2 * w2
    x1w1x2w2 = x1w1 + x2w2
    n = x1w1x2w2 + b
    o = xp.tanh(n)
    return o


def tanh_in_steps(xp: Any, n: Any) -> Any:
    """tanh n = (e²ⁿ − 1)/(e²ⁿ + 1), as the lecture takes it apart."""
    double = 2 * n
    e = xp.exp(double)
    top = e - 1
    bottom = e + 1
    return top / bottom


LESSON = Lesson(
    id="micrograd-neuron",
    title="micrograd's neuron",
    chapter="Sharing and order",
    order=240,
    idea=(
        "A neuron with two inputs, and tanh to squash their weighted sum. tanh may be one step "
        "with the slope 1 − o², or be put together from exponentials, (e²ⁿ − 1)/(e²ⁿ + 1). Then "
        "e²ⁿ is used twice, in the numerator and in the denominator, and must add up two "
        "contributions before it passes anything on. Either way n receives the same gradient: how "
        "finely a function is cut into steps is a matter of taste, as long as each step knows its "
        "slope."
    ),
    program=program,
    leaves=(
        Leaf("x1", 2.0, "the first input"),
        Leaf("w1", -3.0, "the weight of the first input"),
        Leaf("x2", 0.0, "the second input"),
        Leaf("w2", 1.0, "the weight of the second input"),
        Leaf("b", 6.8813735870195432, "the bias, chosen so that the slope of tanh is ½"),
    ),
    forward=(
        Equation("x1w1", "x1 * w1"),
        Equation("x2w2", "x2 * w2"),
        Equation("x1w1x2w2", "x1w1 + x2w2"),
        Equation("n", "x1w1x2w2 + b"),
        Equation("double", "2 * n"),
        Equation("e", "exp(double)"),
        Equation("top", "e - 1"),
        Equation("bottom", "e + 1"),
        Equation("o", "top / bottom"),
        Equation("o", "tanh(n)", "all five together"),
    ),
    derivation=(
        Equation("do", "1"),
        Equation("dtop", "do / bottom"),
        Equation("dbottom", "-top / bottom**2 * do"),
        Equation("de", "dtop + dbottom", "used twice, so two terms"),
        Equation("ddouble", "e * de", "exp is its own slope"),
        Equation("dn", "2 * ddouble"),
        Equation("dn", "(1 - o**2) * do", "the same, as the slope of tanh"),
        Equation("db", "dn", "the sums distribute"),
        Equation("dx1w1", "dn"),
        Equation("dx2w2", "dn"),
        Equation("dw1", "x1 * dx1w1"),
        Equation("dx1", "w1 * dx1w1"),
        Equation("dw2", "x2 * dx2w2", "an input that is 0 gives its weight no gradient"),
        Equation("dx2", "w2 * dx2w2"),
    ),
    after=("micrograd", "sigmoid-neuron"),
    minutes=8,
    opens={"o": tanh_in_steps},
    opened=("o",),
    notes={
        "x1": "Its gradient is the weight w1 times what the product received.",
        "w1": "Its gradient is the input x1 times what the product received.",
        "x2": "Its gradient is the weight w2 times what the product received, "
        "and need not be 0 where x2 itself is.",
        "w2": "Its gradient is the input x2 times what the product received: "
        "as long as x2 is 0, moving w2 changes nothing.",
        "b": "The bias receives what n received. The lecture chose it so that the slope of tanh "
        "comes out as ½.",
        "x1w1": "The sum distributes: it receives what n received.",
        "x2w2": "The sum distributes: it receives what n received.",
        "x1w1x2w2": "The weighted inputs together; it receives the same as the bias.",
        "n": "The weighted inputs and the bias, before they are squashed. Its gradient is 1 − o².",
        "double": "Twice n: what it receives goes on to n times 2.",
        "e": "Used in the numerator and in the denominator: it waits for two contributions before "
        "it sends anything on.",
        "top": "The numerator: it receives one over the denominator.",
        "bottom": "The denominator: it receives −o over itself. Where o is positive, "
        "a larger denominator makes o smaller.",
        "o": "The output, between −1 and 1: the nearer to either end, the less comes back.",
    },
    mistake=(
        "Writing 1 − n² for the slope of tanh, with what goes in in place of what comes out. At "
        "the published numbers n is 0.8814 and the slope would be 0.2232 in place of 0.5; for "
        "|n| above 1 it even has the wrong sign, and so has every gradient that came through it."
    ),
    questions=(
        Question(
            "Why is the gradient of w2 0 at the published numbers, while that of x2 is not?",
            "Each gets the value of the other one, times the 0.5 that n received. x2 is 0, so w2 "
            "gets 0; w2 is 1, so x2 gets 0.5.",
        ),
        Question(
            "With tanh taken apart, which step waits for two contributions, and why?",
            "e²ⁿ, since both the numerator and the denominator use it. It has to add up what both "
            "send before it sends anything to 2n.",
        ),
        Question(
            "Why does taking tanh apart not change the gradient of n?",
            "It is the same function, and the chain rule gives its slope either way: the "
            "contributions through the small steps come to (1 − o²).",
        ),
        Question(
            "The output is to grow from the published numbers. What would you do with w1?",
            "Raise it: its gradient is 1, so o grows by about as much as w1 does.",
        ),
    ),
    plot=Plot("along", "b"),
    references=(
        "A. Karpathy, Neural Networks: Zero to Hero, lecture 1 (micrograd): x = (2, 0), "
        "w = (−3, 1), b = 6.8813735870195432 give o = 0.7071, and the gradients of x1, w1, x2, w2 "
        "are −1.5, 1, 0.5, 0",
    ),
)
