"""f = (x + σ(y)) / (σ(x) + (x + y)²): a long expression, cut into stages that are each easy."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, x: Any, y: Any) -> Any:
    sigy = xp.sigmoid(y)
    num = x + sigy
    sigx = xp.sigmoid(x)
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1 / den
    f = num * invden
    return f


LESSON = Lesson(
    id="staged",
    title="A long expression in stages",
    chapter="Circuits",
    order=140,
    idea=(
        "Nobody has to differentiate this expression as a whole. Cut it into stages, give "
        "each stage a name, and compute them one after the other: eight lines, each with a "
        "slope that you know. The backward pass then has a line for each of them, in the opposite "
        "order. x is used three times and y twice, so their gradients are sums, "
        "with a term for each use."
    ),
    program=program,
    leaves=(
        Leaf("x", 3.0, "the first input, used three times"),
        Leaf("y", -4.0, "the second input, used twice"),
    ),
    forward=(
        Equation("sigy", "sigmoid(y)"),
        Equation("num", "x + sigy", "the numerator"),
        Equation("sigx", "sigmoid(x)"),
        Equation("xpy", "x + y"),
        Equation("xpysqr", "xpy**2"),
        Equation("den", "sigx + xpysqr", "the denominator"),
        Equation("invden", "1 / den"),
        Equation("f", "num * invden"),
    ),
    derivation=(
        Equation("df", "1"),
        Equation("dnum", "invden * df"),
        Equation("dinvden", "num * df"),
        Equation("dden", "-1 / den**2 * dinvden"),
        Equation("dsigx", "dden"),
        Equation("dxpysqr", "dden"),
        Equation("dxpy", "2 * xpy * dxpysqr"),
        Equation("dsigy", "dnum"),
        Equation(
            "dx",
            "dnum + sigx * (1 - sigx) * dsigx + dxpy",
            "three uses, three terms: from num, from sigx and from xpy",
        ),
        Equation(
            "dy",
            "sigy * (1 - sigy) * dsigy + dxpy",
            "two uses, two terms: from sigy and from xpy",
        ),
    ),
    after=("gates", "sigmoid-neuron"),
    minutes=9,
    notes={
        "x": "It is used in num, in sigx and in xpy, and its gradient is the sum of what the three "
        "send. That is the += of a backward pass written by hand.",
        "y": "It is used in sigy and in xpy: two contributions, added up.",
        "sigy": "The sigmoid of y. It passes on its own gradient times sigy·(1 − sigy), "
        "which is at most ¼.",
        "num": "The numerator. A product swaps, so its gradient is invden.",
        "sigx": "The sigmoid of x, one of the two parts of the denominator. "
        "It receives the same as xpysqr: a sum distributes.",
        "xpy": "The sum x + y. What it receives goes on to x and to y in full, "
        "and both add it to what they get elsewhere.",
        "xpysqr": "It receives the same as sigx, and sends it on to xpy times 2·xpy.",
        "den": "The denominator. Its gradient is −num/den²: where num is positive, "
        "a larger denominator makes f smaller.",
        "invden": "Its gradient is num, the other factor of the last product. "
        "Going back through 1/den means multiplying by −1/den².",
        "f": "One number, reached from x along three ways and from y along two.",
    },
    mistake=(
        "Writing = where += belongs. If each of the three lines for dx overwrites the one "
        "before, only the last term survives. It shows at those variables only "
        "that are used more than once: the gradients of all stages are right, those of x and y "
        "are not."
    ),
    questions=(
        Question(
            "Why does the gradient of x have three terms?",
            "Because x is used three times, in num, in sigx and in xpy. A change of x reaches f "
            "along each of these ways, and the effects add up.",
        ),
        Question(
            "Which values of the forward pass does the backward pass need?",
            "Those that stand in the local slopes: num, invden, den, xpy, sigx and sigy. This "
            "is why a forward pass keeps its intermediate values in memory.",
        ),
        Question(
            "Why is a variable for each stage better than one long formula for the derivative?",
            "Each stage has a slope of one line that can be checked by itself, and what several "
            "terms share is computed once. The whole derivative written out would be long, "
            "would repeat itself and would hide a mistake.",
        ),
        Question(
            "In which order are the stages gone through backwards, and may it be another one?",
            "In the opposite order, from f to sigy. Another one is allowed only if every stage "
            "still comes after all that use it: den before sigx, for example.",
        ),
    ),
    references=(
        "CS231n, 'Backpropagation, Intuitions', staged computation: the names, and x = 3, y = −4; "
        "f = 1.545645 and the gradients 2.059570 and 1.592233 follow from them",
    ),
)
