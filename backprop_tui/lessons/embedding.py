"""A table of rows: each number is replaced by its row, and rows used twice collect twice."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question, Size


def program(xp: Any, E: Any, G: Any, *, d: int) -> Any:
    ids = xp.tensor([2, 0, 2])  # which rows; whole numbers have no gradient
    picked = xp.nn.functional.embedding(ids, E)
    counted = G * picked
    L = xp.sum(counted)
    return L


def row_by_row(xp: Any, input: Any, weight: Any) -> Any:
    """The same with one look-up for each number: row 2 is used twice, and one can see it."""
    found = []
    for place in range(len(input)):
        row = weight[int(input[place])]
        found.append(row)
    return xp.stack(found, 0)


LESSON = Lesson(
    id="embedding",
    title="A table of rows",
    chapter="Space",
    order=940,
    idea=(
        "An embedding is a table with a row of numbers for each word. To read a text is to look "
        "up rows: here the words 2, 0 and 2. It can be written as a matrix product with rows that "
        "hold a single 1, and from there the gradient follows as for any linear layer, but nobody "
        "multiplies by so many zeros: forwards rows are copied, and backwards gradients are added "
        "to the rows from which the copies came. Row 2 was used twice and collects twice. "
        "Rows 1 and 3 were not used and receive 0."
    ),
    after=("diamond", "linear"),
    minutes=5,
    program=program,
    leaves=(
        Leaf(
            "E",
            [[0.3, -0.7], [1.1, 0.4], [-0.5, 0.9], [0.8, -1.3]],
            "the table: a row for each of the words 0 to 3",
            (4, "d"),
        ),
        Leaf(
            "G",
            [[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]],
            "how much each number that was read counts in L",
            (3, "d"),
        ),
    ),
    sizes=(Size("d", 2, 1, 6, "numbers in a row"),),
    forward=(
        Equation("picked", "onehot(array(2, 0, 2), 4) @ E", "looking up is such a product"),
        Equation("counted", "G * picked"),
        Equation("L", "sum(counted)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dpicked", "G"),
        Equation(
            "dE",
            "onehot(array(2, 0, 2), 4).T @ dpicked",
            "row 2 has two ones in this matrix, rows 1 and 3 have none",
        ),
        Equation("dG", "picked"),
    ),
    opens={"picked": row_by_row},
    notes={
        "E": "Row 2 receives the first and the third row of what arrives, added; row 0 the second; "
        "rows 1 and 3 receive 0, as nothing has read them.",
        "G": "It stands for all that comes after the table.",
        "picked": "Three rows, of which the first and the third are the same: two copies of "
        "row 2. They receive different gradients, since what comes after treats them differently. "
        "Opened with o, it shows the three look-ups one by one.",
        "counted": "The numbers that were read, weighted by G.",
        "L": "Their sum, from which the backward pass starts with 1.",
    },
    mistake=(
        "Writing the gradients into their rows instead of adding them: dE[ids] = dpicked, or "
        "dE[ids] += dpicked in NumPy, which counts a row only once. The last use then wins and "
        "the first is lost. It does not show while no word occurs twice; NumPy's add.at and "
        "torch's index_add_ add up as they should."
    ),
    questions=(
        Question(
            "Why do the numbers 2, 0, 2 have no gradient?",
            "They say which row, not how much. There is nothing between row 1 and row 2, so the "
            "loss has no slope in them.",
        ),
        Question(
            "A word does not occur in a batch. Does its row change in an update?",
            "Not by plain gradient descent: its gradient is 0. An optimiser with momentum or "
            "weight decay can move it all the same.",
        ),
        Question(
            "What is the gradient of row 2 at first, and where does it come from?",
            "(−0.5, −1.75): (1, −2) from its first use and (−1.5, 0.25) from its second.",
        ),
        Question(
            "How large would the matrix of ones and zeros be for 1,000 words of a vocabulary of "
            "50,000?",
            "1,000 × 50,000, of which only 1,000 cells are 1. That is why rows are looked up "
            "and not multiplied.",
        ),
    ),
    references=(
        "PyTorch's documentation of nn.functional.embedding",
        "The numbers are ours, chosen to be asymmetric and not 0",
    ),
)
