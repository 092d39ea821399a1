"""Z = X·W + B, summed up: a layer with a batch."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson


def program(xp: Any, X: Any, W: Any, B: Any) -> Any:
    Q = X @ W
    Z = Q + B
    O = xp.sum(Z)
    return O


LESSON = Lesson(
    id="matrix-linear",
    title="A linear layer",
    chapter="Vectors and matrices",
    order=420,
    idea=(
        "Five samples of two features go through a layer with three outputs: Z = X @ W + B. "
        "The rules are those of w·x + b, only with transposes that make the shapes fit: "
        "dW = Xᵀ @ dQ and dX = dQ @ Wᵀ. And one new thing: the bias is one row that is added to "
        "all five rows, so it acts five times, and what comes back from the five rows is added up."
    ),
    program=program,
    leaves=(
        Leaf(
            "X",
            [
                [1.1939, 0.1343],
                [-0.1130, 0.0077],
                [-0.2277, -1.1534],
                [1.6545, -0.7241],
                [-0.4871, 0.5044],
            ],
            "the inputs, a row a sample",
        ),
        Leaf(
            "W",
            [[-0.3280, 1.1977, 0.4110], [1.8343, -0.7891, 0.8515]],
            "the weights, a row an input feature, a column an output",
        ),
        Leaf("B", [[1.1714, 0.1635, 0.9987]], "the bias, one row for all samples"),
    ),
    forward=(
        Equation("Q", "X @ W"),
        Equation("Z", "Q + B", "B is repeated for each row of Q: it is broadcast"),
        Equation("O", "sum(Z)"),
    ),
    derivation=(
        Equation("dO", "1"),
        Equation("dZ", "expand(dO, Z)", "a sum hands every cell a copy"),
        Equation("dQ", "dZ"),
        Equation("dB", "rows(dZ)", "B was used in every row, so the rows add up"),
        Equation(
            "dW",
            "X.T @ dQ",
            "row i, column j: input i times what output j asks for, over all samples",
        ),
        Equation("dX", "dQ @ W.T"),
    ),
    notes={
        "B": "One bias row served all the samples, so it collects the gradient of each of them: "
        "that is the sum over the rows.",
        "W": "Every sample used the same weights, so Xᵀ @ dQ adds up what each sample asks for. "
        "As every cell of dQ is 1 here, every cell in row i of dW holds the sum of "
        "column i of X.",
        "X": "Each row of dX comes from its own sample only. As every cell of dQ is 1 here, "
        "it holds the row sums of W.",
        "Z": "Every cell counts once in the sum, so every cell's gradient is 1.",
    },
    references=("The notebook, In [6]: O = 11.9209 with the numbers printed there",),
)
