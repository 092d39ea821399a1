"""Z = X·W + B, summed up: a layer with a batch."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


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
    after=("linear", "sum-of-squares"),
    minutes=8,
    idea=(
        "Five samples of two features go through a layer with three outputs: Z = X @ W + B. The "
        "rules are those of w·x + b, only with transposes that make the shapes fit: dW = Xᵀ @ dQ "
        "and dX = dQ @ Wᵀ (dW is short for the gradient of W). And one new thing: the bias is one "
        "row that is added to all five rows, so it acts five times, and what comes back from the "
        "five rows is added up."
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
        "Q": "Adding B leaves the slope 1, so it receives what Z received; both dW and dX are "
        "products with this.",
        "O": (
            "One number to start from, with the gradient 1. A real loss would ask something "
            "different of each cell of Z; the sum asks the same of all."
        ),
    },
    mistake=(
        "Leaving out the sum over the rows for B, or transposing the wrong factor. The first "
        "always shows in the shape, 5×3 in place of 1×3; only with a single sample there is "
        "nothing to add up. The second shows as long as samples, features and outputs differ in "
        "number, here 5, 2 and 3; where some are equally many a wrong product may fit by accident, "
        "and only the numbers are wrong."
    ),
    questions=(
        Question(
            "Why is dB a sum over the rows?",
            (
                "The one row B was added to each of the five rows of Q. It acted five times, so "
                "it collects five gradients, as anything does that is used more than once."
            ),
        ),
        Question(
            "How do the shapes alone tell where the transpose stands in dW = Xᵀ @ dQ?",
            (
                "dW must be 2×3, like W. From X, 5×2, and dQ, 5×3, only Xᵀ @ dQ makes that: (2×5) "
                "@ (5×3)."
            ),
        ),
        Question(
            "Why are the five rows of dX equal here, though the samples differ?",
            (
                "Every cell of dQ is 1 and every sample meets the same W, so each row of dQ @ Wᵀ "
                "holds the row sums of W. The samples themselves do not occur in it, because Q is "
                "linear in X."
            ),
        ),
        Question(
            "Each sample is put into the batch twice. What happens to dW, dB and dX?",
            (
                "dW and dB double, as they add up over the samples. dX gets twice as many rows, "
                "each as before."
            ),
        ),
    ),
    references=("The notebook, In [6]: O = 11.9209 with the numbers printed there",),
)
