"""A kernel that slides along a signal: as one call, or as shifted products."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, x: Any, w: Any, b: Any, G: Any) -> Any:
    y = xp.conv1d(x, w, b)
    counted = G * y
    L = xp.sum(counted)
    return L


def shifted_products(xp: Any, input: Any, weight: Any, bias: Any) -> Any:
    """The same for one channel and a kernel of three: each weight times the shifted signal."""
    places = input.shape[1] - 2
    w0 = weight[0, 0, 0]
    w1 = weight[0, 0, 1]
    w2 = weight[0, 0, 2]
    x0 = input[:, 0:places]
    x1 = input[:, 1 : places + 1]
    x2 = input[:, 2 : places + 2]
    p0 = w0 * x0
    p1 = w1 * x1
    p2 = w2 * x2
    return p0 + p1 + p2 + bias


LESSON = Lesson(
    id="conv1d",
    title="A convolution along a signal",
    chapter="Space",
    order=910,
    idea=(
        "A convolution is a linear layer that uses the same few weights everywhere. A kernel of "
        "three weights slides along the signal; at each place it multiplies the three cells under "
        "it and adds up the products. Nothing new is needed for its gradient, only patience with "
        "sharing. A weight was used at every place, so its gradient is a sum over all places: the "
        "signal, shifted to where that weight looked, times the upstream gradient. A cell was "
        "seen by every window that covers it, so it collects from up to three places, each time "
        "through another weight. Both sums have the form of a convolution again."
    ),
    after=("linear", "diamond"),
    minutes=9,
    program=program,
    leaves=(
        Leaf("x", [[1.5, -2.0, 3.0, 0.5, -1.0, 2.5]], "the signal: one channel, six places"),
        Leaf(
            "w",
            [[[0.5, -1.0, 2.0]]],
            "the kernel: for one output channel and one input channel, three weights",
        ),
        Leaf("b", [0.25], "the bias, one for each output channel"),
        Leaf("G", [[1.0, -0.5, 2.0, 3.0]], "how much each place of y counts in L"),
    ),
    forward=(
        Equation("p0", "w0 * x0", "the first weight meets the cells 0 to 3"),
        Equation("p1", "w1 * x1", "the second the cells 1 to 4"),
        Equation("p2", "w2 * x2", "the third the cells 2 to 5"),
        Equation("y", "p0 + p1 + p2 + b", "all places at once"),
        Equation("y", "conv1d(x, w) + b", "the three shifted products together"),
        Equation("L", "sum(G * y)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dy", "G", "G is the upstream gradient of the convolution"),
        Equation("dw0", "sum(x0 * dy)", "a weight collects over all places"),
        Equation("dw1", "sum(x1 * dy)"),
        Equation("dw2", "sum(x2 * dy)"),
        Equation(
            "dw", "correlate(x, dy)", "the same: what y receives slides along x like a kernel"
        ),
        Equation("dx0", "w0 * dy", "what the first weight sends back to the cells that it met"),
        Equation("dx1", "w1 * dy"),
        Equation("dx2", "w2 * dy"),
        Equation(
            "dx",
            "conv1d(pad(dy, 2), flip(w))",
            "the three, each shifted back to its place and added: with two zeros at either end of "
            "∂L/∂y, this is a convolution with the kernel turned round; torch calls it "
            "conv_transpose1d",
        ),
        Equation("db", "sum(dy)", "the bias was added at every place"),
        Equation("dG", "y"),
    ),
    opens={"y": shifted_products},
    opened=("y",),
    notes={
        "x": "The cells at the ends are seen by one window only, those in the middle by three: "
        "count the terms that each receives.",
        "w": "Three weights for the whole signal, however long it is. Each place adds a term to "
        "their gradient.",
        "b": "It is added at every place of its channel, so it collects what all places receive.",
        "G": "It stands for all that comes after the convolution. Set it to 0 but for one 1, and "
        "you see what a single place of y sends back.",
        "w0": "The first weight of the kernel: at each place it meets the leftmost cell.",
        "w1": "The second weight meets the cell in the middle of each window.",
        "w2": "The third weight meets the rightmost cell of each window, so it never sees the "
        "first two cells of the signal.",
        "x0": "The cells that the first weight meets, one for each place: all but the last two.",
        "x1": "The same signal, one cell further on. A cell in the middle stands in x0, x1 and x2.",
        "x2": "Two cells further on: all but the first two.",
        "p0": "One weight times many cells. The weight's gradient adds up over them.",
        "p1": "The sum hands all three products the same gradient: what y received.",
        "p2": "It receives the same as p0 and p1. What differs is the shift on the way to x.",
        "y": "Two places fewer than the signal: where the kernel would hang over the end, torch "
        "computes nothing unless it is told to pad.",
        "counted": "Each place of y, weighted by G. Its cells receive 1 each.",
        "L": "The weighted sum of all places.",
    },
    mistake=(
        "Forgetting to turn the kernel round on the way back, or turning it round on the way "
        "forward. What torch calls a convolution does not turn it (mathematicians would say "
        "correlation), so the way back to x must: the first weight saw the leftmost cell of each "
        "window, so it sends its part to that one. With a symmetric kernel, such as 1, 2, 1, the "
        "mistake does not show."
    ),
    questions=(
        Question(
            "How many terms does each cell of the signal receive, and why?",
            "1, 2, 3, 3, 2, 1: as many as there are windows that cover it.",
        ),
        Question(
            "The signal becomes a thousand cells long. How many weights has the layer, and what "
            "becomes of their gradients?",
            "Still three and a bias. Each gradient is then a sum of 998 terms, one for each place.",
        ),
        Question(
            "Set G to (0, 0, 1, 0). What is the gradient of x, and what that of w?",
            "x receives the kernel, placed over the cells 2, 3 and 4, and 0 elsewhere; w receives "
            "exactly these three cells of x. A single place is a dot product, and in a dot "
            "product each side receives the other.",
        ),
        Question(
            "Why does the kernel come back turned round in ∂L/∂x?",
            "Place i reads cell i + k through weight k. Seen from cell j, weight k leads to place "
            "j − k: what was a step forward is a step back.",
        ),
        Question(
            "Could a linear layer with a matrix compute the same?",
            "Yes: with a matrix of 4 rows that holds the kernel once in each row, one cell further "
            "on each time, and 0 elsewhere. The gradient of that matrix would have to be added up "
            "along its diagonals, as the cells there are one and the same weight.",
        ),
    ),
    references=(
        "PyTorch's documentation of nn.Conv1d: shapes (channels, length) and (out, in, kernel), "
        "and that it computes a cross-correlation",
        "The numbers are ours, chosen to be asymmetric and not 0. The tests also run the example "
        "of Dive into Deep Learning, section 16.3: 0 … 6 with the kernel (1, 2) gives 2, 5, 8, "
        "11, 14, 17, and its three channels give 2, 8, 14, 20, 26, 32",
    ),
)
