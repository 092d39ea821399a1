"""A kernel that slides over an image of two channels, forwards and back."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, X: Any, K: Any, G: Any) -> Any:
    Y = xp.conv2d(X, K)
    counted = G * Y
    L = xp.sum(counted)
    return L


def one_matrix_product(xp: Any, input: Any, weight: Any) -> Any:
    """The same as one matrix product: a column holds all that one window sees."""
    height = input.shape[1] - weight.shape[2] + 1
    width = input.shape[2] - weight.shape[3] + 1
    shifted = []
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = input[:, i : i + height, j : j + width]
            shifted.append(seen)
    windows = xp.stack(shifted, 1)
    columns = windows.reshape(-1, height * width)
    kernels = weight.reshape(weight.shape[0], -1)
    flat = kernels @ columns
    return flat.reshape(-1, height, width)


LESSON = Lesson(
    id="conv2d",
    title="A convolution over an image",
    chapter="Space",
    order=920,
    idea=(
        "On an image the kernel slides in two directions, and it looks at all channels of the "
        "image at once: at each place it multiplies every cell under it, in both channels, with "
        "the weight that lies on it, and adds up all the products. The gradient of the kernel is "
        "the image correlated with the upstream gradient: what was a sliding kernel forwards is "
        "now the gradient sliding over the image, and each weight adds up over all places where it "
        "was used. The gradient of the image is a convolution too, of the upstream gradient with a "
        "border of zeros, by the kernel turned by half a turn."
    ),
    after=("conv1d",),
    minutes=8,
    program=program,
    leaves=(
        Leaf(
            "X",
            [
                [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]],
                [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
            ],
            "the image: two channels of 3 × 3 cells",
        ),
        Leaf(
            "K",
            [[[[0.0, 1.0], [2.0, 3.0]], [[1.0, 2.0], [3.0, 4.0]]]],
            "the kernel: for one output channel and two input channels, 2 × 2 weights each",
        ),
        Leaf("G", [[[1.0, -0.5], [2.0, 3.0]]], "how much each cell of Y counts in L"),
    ),
    forward=(
        Equation("Y", "conv2d(X, K)", "two channels go in, one comes out"),
        Equation("counted", "G * Y"),
        Equation("L", "sum(counted)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dY", "G", "G is the upstream gradient of the convolution"),
        Equation(
            "dK",
            "correlate(X, dY)",
            "∂L/∂Y slides over each channel of X like a kernel; each of 2 × 2 places is a weight",
        ),
        Equation(
            "dX",
            "conv2d(pad(dY, 1), flip(exchange(K, 0, 1)))",
            "a border of zeros around ∂L/∂Y, the kernel turned round, inputs and outputs "
            "exchanged: one channel goes in, two come out; torch calls it conv_transpose2d",
        ),
        Equation("dG", "Y"),
    ),
    opens={"Y": one_matrix_product},
    notes={
        "X": "The cell in the middle of a channel lies under all four windows and collects four "
        "terms, one at the edge collects two, a corner a single one. At first the first corner of "
        "the first channel receives 0, as the weight that met it is 0.",
        "K": "Each of its eight weights was used at four places, so its gradient is a sum of four "
        "products.",
        "G": "It stands for all that comes after. With a single 1 in it the gradient of K is "
        "the part of X that this place has seen.",
        "Y": "A row and a column less than X: a window of 2 × 2 has two places in each "
        "direction. Both channels of X are added into its one channel.",
        "counted": "The cells of Y, weighted by G.",
        "L": "Their sum, from which the backward pass starts with 1.",
    },
    mistake=(
        "Turning the kernel round in only one direction on the way back, or exchanging rows and "
        "columns in place of turning: a transposed kernel is not a turned one. The shapes all fit, "
        "so only a comparison of numbers finds it, and with a kernel that looks the same from all "
        "sides not even that. "
        "The next in line is to forget that torch keeps the output channel first: K[o, c], and not "
        "K[c, o]."
    ),
    questions=(
        Question(
            "How many terms are added up for a cell of Y, and how many for a weight of K?",
            "Eight for a cell of Y: four weights in each of two channels. Four for a weight: it "
            "was used at each of the four places.",
        ),
        Question(
            "Both channels of X feed the one channel of Y. How does its gradient find back?",
            "The whole of ∂L/∂Y goes to both: to each through its own 2 × 2 weights. In a sum each "
            "term receives the full upstream gradient.",
        ),
        Question(
            "With a second output channel, what would change in ∂L/∂X?",
            "Each cell would add up over both output channels, each through its own kernel. That "
            "is the sum over the input channels of the convolution on the way back.",
        ),
        Question(
            "Why has pad(∂L/∂Y, 1) just one row of zeros on each side?",
            "A cell in the first row of X would also be covered by a window that starts one row "
            "above. There is no such window, and the zeros stand in its place. With a kernel of "
            "3 × 3 there would be two such rows.",
        ),
        Question(
            "Open Y with o. Where are the sums over places and over channels in the matrix form?",
            "Each column of the matrix holds the eight cells of one window, so kernels @ "
            "columns sums over channels and cells. The gradient of the kernel is what flat "
            "receives @ columnsᵀ, and this product sums over places.",
        ),
    ),
    references=(
        "Dive into Deep Learning, section 7.4 (several input channels): this X and this K give "
        "56, 72, 104, 120. The weights G of the four cells are ours",
        "V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning "
        "(arXiv 1603.07285): the way back of a convolution as a convolution",
    ),
)
