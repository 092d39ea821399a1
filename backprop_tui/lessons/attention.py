"""softmax(QKᵀ/√d)V: one head of attention, and all of its backward pass."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, Q: Any, K: Any, V: Any, G: Any, *, T: int, d: int, causal: int) -> Any:
    scores = Q @ K.T
    scaled = scores / d**0.5
    visible = xp.tril(xp.ones(T, T)) if causal else xp.ones(T, T)
    masked = xp.masked_fill(scaled, visible == 0, float("-inf"))
    weights = xp.softmax(masked, -1)
    out = weights @ V
    counted = G * out
    L = xp.sum(counted)
    return L


LESSON = Lesson(
    id="attention",
    title="One head of attention",
    chapter="Attention",
    order=1010,
    idea=(
        "In attention each position of a text collects from all of them what it needs. It puts a "
        "question, its row of Q; every position has a key, its row of K; and the dot product of a "
        "question and a key is a score. Softmax makes weights of each row of scores, positive and "
        "with the sum 1, and the output is a mixture of the rows of V with these weights. So there "
        "are two matrix products, with a softmax between them. The products go back by transposes, "
        "and the softmax is where it becomes interesting: the weights of a row compete, and what a "
        "score receives depends on how much the gradient of its weight differs from the weighted "
        "mean of the row. The scores are divided by √d because a sum of d products grows with d; "
        "with large scores a softmax is nearly 0 or 1 everywhere, and passes on hardly any "
        "gradient. In a network Q, K and V are made from the positions by three matrices of "
        "weights; here they are leaves."
    ),
    after=("softmax", "matrix-linear"),
    minutes=12,
    program=program,
    leaves=(
        Leaf(
            "Q",
            [[1.0, 0.0, 2.0], [2.0, 2.0, 2.0], [2.0, 1.0, 3.0]],
            "the queries, a row for each position",
            ("T", "d"),
        ),
        Leaf(
            "K",
            [[0.0, 1.0, 1.0], [4.0, 4.0, 0.0], [2.0, 3.0, 1.0]],
            "the keys, a row for each position",
            ("T", "d"),
        ),
        Leaf(
            "V",
            [[1.0, 2.0, 3.0], [2.0, 8.0, 0.0], [2.0, 6.0, 3.0]],
            "the values, a row for each position",
            ("T", "d"),
        ),
        Leaf(
            "G",
            [[1.0, -0.5, 2.0], [0.25, 3.0, -1.0], [-2.0, 1.5, 0.5]],
            "how much each cell of out counts in L",
            ("T", "d"),
        ),
    ),
    sizes=(
        Size("T", 3, 1, 6, "positions"),
        Size("d", 3, 1, 6, "numbers in a query, a key and a value"),
        Size("causal", 0, 0, 1, "whether a position is kept from seeing later ones (1) or not (0)"),
    ),
    forward=(
        Equation("scores", "Q @ K.T", "row i, column j: what question i finds in key j"),
        Equation("scaled", "scores / sqrt(d)"),
        Equation("masked", "hide(scaled, causal)", "with causal = 1, −∞ right of the diagonal"),
        Equation("weights", "softmax(masked)", "row by row; e to the power −∞ is 0"),
        Equation("out", "weights @ V", "each row is a mixture of the rows of V"),
        Equation("L", "sum(G * out)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dout", "G"),
        Equation("dV", "weights.T @ dout", "to each value as much as each position took of it"),
        Equation("dweights", "dout @ V.T", "what L would gain from more of each value"),
        Equation(
            "dmasked",
            "weights * (dweights - columns(dweights * weights))",
            "softmax, row by row: Σ columns is the weighted mean of the row",
        ),
        Equation("dscaled", "dmasked", "where a cell was hidden its weight is 0, so this is 0 too"),
        Equation("dscores", "dscaled / sqrt(d)"),
        Equation(
            "dQ",
            "dscores @ K",
            "to each query a sum of keys, weighted by the gradients of its scores",
        ),
        Equation("dK", "dscores.T @ Q", "to each key a sum of queries"),
        Equation("dG", "out"),
    ),
    notes={
        "Q": "A query reaches the loss only through its own row of scores.",
        "K": "A key is compared with every query, so its gradient is a sum over all rows of "
        "scores: over a column of them.",
        "V": "The values are mixed, not compared: their gradient passes no softmax.",
        "G": "It stands for all that comes after the head.",
        "scores": "A cell belongs to a pair: row i asks, column j answers. What it "
        "receives goes to both: times key j to query i, and times query i to key j.",
        "scaled": "The scores are divided by √d, so what comes back to them is divided by √d too. "
        "Without that, and with d above 1, the weights of a row would differ more.",
        "masked": "Set causal to 1 and a position no longer sees those after it: their scores "
        "are replaced by −∞ and receive 0.",
        "weights": "Each row adds up to 1. The gradient that arrives here may have any sum; what "
        "the softmax sends on adds up to 0 in each row, as raising all scores of a row alike "
        "changes nothing.",
        "out": "One row for each query. Each of its numbers lies between the smallest and the "
        "largest of that column of V.",
        "counted": "The cells of out, weighted by G.",
        "L": "Their sum, from which the backward pass starts with 1.",
    },
    mistake=(
        "Taking softmax cell by cell, as if it were a sigmoid: weights · (1 − weights) · dweights "
        "is only the diagonal of its Jacobian. It shows in the rows of dscores, which must add up "
        "to 0 and then do not. The next in line is to hide cells after the softmax, with zeros: "
        "the rows then add up to less than 1, and the hidden positions still have a say through "
        "the sum that the softmax divides by."
    ),
    questions=(
        Question(
            "Why does each row of the gradient of masked add up to 0?",
            "If all scores of a row rise by the same, the weights stay as they are, and so does "
            "the loss. So there is no slope in that direction, and the slope is this sum.",
        ),
        Question(
            "Set causal to 1. What is the first row of out, and what do its scores receive?",
            "The first position sees only itself: its weight is 1, its output the first row of V. "
            "Its scores receive 0, since the weight stays 1 whatever they are.",
        ),
        Question(
            "Why divide by √d, and not by d?",
            "A sum of d products of independent numbers with mean 0 and variance 1 has the "
            "variance d, so its typical size is √d. Divided by √d, scores have the same size for "
            "every d.",
        ),
        Question(
            "All scores become ten times as large. What happens to the gradient of Q?",
            "Each softmax puts nearly all weight on one position. There the weighted mean is "
            "nearly that position's own gradient, and everywhere else the weight is near 0: almost "
            "nothing passes. Only where two scores are at a tie, as in the first row here, does "
            "it still flow.",
        ),
        Question(
            "Two values receive very different gradients, although both see the same dout. Why?",
            "A value receives dout of each position times the weight that the position gave it. "
            "A value that nobody attended to receives almost nothing.",
        ),
    ),
    plot=Plot("histogram", "weights"),
    references=(
        "A. Vaswani et al., Attention Is All You Need (arXiv 1706.03762), section 3.2.1, where a "
        "footnote gives the reason for √d",
        "R. Karim, Illustrated: Self-Attention (2019): these queries, keys and values, and the "
        "scores 2, 4, 4; 4, 16, 12; 4, 12, 10. There they are not divided by √d; the weights G "
        "are ours",
    ),
)
