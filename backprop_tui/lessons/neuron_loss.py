"""C = 1/N·Σ (y − max(0, X·w + b))²: the loss of a neuron over N samples."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, w: Any, b: Any, X: Any, y: Any, *, N: int, n: int) -> Any:
    wx = X @ w
    z = wx + b
    u = xp.relu(z)
    v = y - u
    sq = v**2
    C = xp.mean(sq)
    return C


LESSON = Lesson(
    id="neuron-loss",
    title="The loss of a neuron: errors weigh inputs",
    chapter="Matrix calculus",
    order=550,
    idea=(
        "A neuron is shown N samples, a row of X each, and what it says is compared with the "
        "targets y. The error of a sample is e = u − y: what the neuron said minus what it should "
        "have said. The gradient of the weights comes out as an average of the inputs, each "
        "weighted by twice its error: a sample that is far off pulls hard, one that is right does "
        "not pull at all, and the sign says which way. Samples for which the neuron is "
        "silent count as 0 in that average."
    ),
    program=program,
    leaves=(
        Leaf("w", [0.6, -0.4], "the weights", ("n",)),
        Leaf("b", 0.5, "the bias"),
        Leaf(
            "X",
            [[2.0, 1.0], [-1.5, 3.0], [1.0, -2.0], [0.5, 0.25]],
            "the samples, a row each",
            ("N", "n"),
        ),
        Leaf("y", [2.0, 1.0, 0.9, 0.4], "the targets, one a sample", ("N",)),
    ),
    sizes=(
        Size("N", 4, 1, 20, "samples"),
        Size("n", 2, 1, 6, "inputs of a sample"),
    ),
    forward=(
        Equation("wx", "X @ w", "a dot product for each sample"),
        Equation("z", "wx + b", "the same bias for all"),
        Equation("u", "maximum(0, z)"),
        Equation("v", "y - u", "the error with its sign turned: v = −e"),
        Equation("sq", "v**2"),
        Equation("C", "sum(sq) / N"),
    ),
    derivation=(
        Equation("dC", "1"),
        Equation("dv", "2 / N * v", "square and mean"),
        Equation("du", "-dv", "u is subtracted: this is 2/N times the error e"),
        Equation("dz", "(z > 0) * du", "silent samples drop out"),
        Equation("dw", "X.T @ dz", "each row of X, weighted by its cell of dz, and added up"),
        Equation("dw", "2 / N * (X.T @ ((z > 0) * (u - y)))", "the same: the errors e = u − y"),
        Equation("db", "sum(dz)", "as if the input were always 1"),
        Equation("db", "2 / N * sum((z > 0) * (u - y))"),
        Equation("dX", "outer(dz, w)"),
        Equation("dy", "dv"),
    ),
    after=("neuron", "matrix-linear"),
    minutes=9,
    notes={
        "w": "An average over the samples, each weighted by twice its error, or by 0 where the "
        "neuron is silent. One step against it moves w away from inputs that made u too large, "
        "and towards those that left it too small.",
        "b": "It is added to every sample, so it collects the gradient of each of them.",
        "X": "Row i is dz of sample i times w, so every row is a multiple of w.",
        "y": "The opposite of the gradient of u: target and prediction meet in a difference.",
        "wx": "The bias is added to it, so it receives what z received, sample by sample.",
        "z": "Where z is not above 0 the neuron is silent: that sample's cell of the gradient is 0 "
        "and it teaches nothing, however large its error is.",
        "u": "What the neuron says. Its gradient is 2/N times the error u − y: positive where it "
        "said too much.",
        "v": "Target minus prediction, the error with its sign turned. Its gradient is 2/N times "
        "itself: the larger an error, the harder it pulls.",
        "sq": "Each square counts 1/N in the mean, so each cell receives 1/N.",
        "C": "The mean squared error. It is 0 only if every sample is right.",
    },
    mistake=(
        "Losing the sign of y − u. The error that weighs the inputs is u − y; with y − u every "
        "gradient of w and b has the opposite sign, and each step makes the loss larger. "
        "The other one is to forget 1/N: then the gradient grows with the number of samples, and a "
        "learning rate that suits ten of them is too large for a thousand."
    ),
    questions=(
        Question(
            "Why do the errors weigh the inputs?",
            "The slope of the square is twice the error, and the slope of w·x in w is the input "
            "x. The chain rule multiplies them, and the mean adds up over the samples.",
        ),
        Question(
            "A sample has e = 0. What does it contribute to the gradient of w?",
            "Nothing: its input is weighted by 0. The neuron is already right about it.",
        ),
        Question(
            "With the given numbers the second sample is wrong by 1 and contributes nothing. Why?",
            "Its z is −1.6, so the neuron is silent there. A small change of the weights does not "
            "change what it says, and the slope of the loss is 0 for that sample.",
        ),
        Question(
            "All samples are put in twice. What happens to the loss and to its gradient in w?",
            "Both stay the same: twice as many terms are divided by twice the number. That is what "
            "the 1/N is for.",
        ),
        Question(
            "How does the gradient of b follow from that of w?",
            "Think of the bias as the weight of an input that is always 1. The errors then weigh "
            "ones in place of inputs, and what is left is 2/N times the sum of the active "
            "samples' errors.",
        ),
    ),
    plot=Plot("along", "b"),
    references=(
        "T. Parr and J. Howard, The Matrix Calculus You Need For Deep Learning "
        "(arXiv 1802.01528), the gradient of the neural network loss function: u, v, C, the errors "
        "e = w·x + b − y (which is u − y where the neuron is active), and (2/N) Σ e·x over the "
        "active samples; the numbers are ours",
    ),
)
