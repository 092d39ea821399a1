"""Of each window only the largest cell goes on, and only that one receives gradient."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, x: Any, G: Any) -> Any:
    y = xp.max_pool2d(x, 2)
    counted = G * y
    L = xp.sum(counted)
    return L


def windows_as_rows(xp: Any, input: Any, kernel_size: Any) -> Any:
    """Each window of 2 × 2 as a row of four, and the largest of each row."""
    channels, height, width = input.shape
    parted = input.reshape(channels, height // 2, 2, width // 2, 2)
    beside = xp.permute(parted, (0, 1, 3, 2, 4))
    windows = beside.reshape(-1, 4)
    largest, _ = xp.max(windows, 1)
    return largest.reshape(channels, height // 2, width // 2)


LESSON = Lesson(
    id="maxpool",
    title="Max pooling",
    chapter="Space",
    order=930,
    idea=(
        "Max pooling makes an image smaller: it is cut into windows, here of 2 × 2 cells, and of "
        "each only the largest cell goes on. Nothing is learnt in it, and there is nothing to "
        "multiply. If the largest cell grows by a little, so does the result; if another one "
        "moves by a little, nothing happens. So the winner of each window receives the whole "
        "upstream gradient, and the three others receive 0."
    ),
    after=("gates", "conv2d"),
    minutes=5,
    program=program,
    leaves=(
        Leaf(
            "x",
            [
                [
                    [1.0, 1.0, 2.0, 4.0],
                    [5.0, 6.0, 7.0, 8.0],
                    [3.0, 2.0, 1.0, 0.0],
                    [1.0, 2.0, 3.0, 4.0],
                ]
            ],
            "the image: one channel of 4 × 4 cells",
        ),
        Leaf("G", [[[1.5, -2.0], [0.5, 3.0]]], "how much each cell of y counts in L"),
    ),
    forward=(
        Equation("y", "max_pool2d(x, 2)", "of each window of 2 × 2 the largest"),
        Equation("counted", "G * y"),
        Equation("L", "sum(counted)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dy", "G"),
        Equation(
            "dx",
            "won(x, 2) * spread(dy, 2)",
            "spread: each cell of ∂L/∂y copied to its window; won: 1 at the largest cell of each "
            "window, at a tie at the first of them, and 0 elsewhere",
        ),
        Equation("dG", "y"),
    ),
    opens={"y": windows_as_rows},
    notes={
        "x": "Of its sixteen cells four have won and receive something; the other twelve receive "
        "0, however large they are.",
        "G": "Its gradient is y: each weight is multiplied by the winner of its window.",
        "y": "What it receives goes on unchanged, each cell to its winner. For the backward pass "
        "one has to remember where the winner stood; the value alone would not do.",
        "counted": "The four winners, weighted by G.",
        "L": "Their sum, from which the backward pass starts with 1.",
    },
    mistake=(
        "Comparing each cell with the largest of its window, and giving gradient to all that "
        "equal it. Without ties this is right; where two cells of a window are both the largest, "
        "they would both receive it and the gradient would count twice. Torch's max pooling gives "
        "all of it to the first one, row by row. After a relu ties are common: a window of zeros."
    ),
    questions=(
        Question(
            "The window at the top right holds 2, 4, 7 and 8, and −2 arrives. Who receives what?",
            "The 8 receives −2, the others 0. That −2 is negative does not matter: who wins is "
            "decided by the values of the forward pass only.",
        ),
        Question(
            "Set the 5 in the second row to 6. What changes in the gradient?",
            "The window has a tie then. The 6 that comes first in the row now receives 1.5 and the "
            "other one 0. There is no slope at such a point, and torch takes the first.",
        ),
        Question(
            "Can a cell receive more than one contribution?",
            "Not with windows that lie side by side. If they overlap, as with a stride of 1, a "
            "cell can win several of them and receives the sum.",
        ),
        Question(
            "In average pooling the mean of a window goes on. What would each cell receive?",
            "A quarter of the upstream gradient of its window, whatever its value.",
        ),
    ),
    references=(
        "CS231n notes, 'Convolutional Neural Networks', the figure of the pooling layer: these "
        "4 × 4 cells with windows of 2 × 2 and stride 2 give 6, 8, 3, 4. The weights G are ours",
        "PyTorch's documentation of nn.MaxPool2d: the stride is the window's size unless one says "
        "otherwise",
    ),
)
