"""Two hidden layers and a margin: a small classifier, with the whole batch as matrices."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def sum_of_squares(xp: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
    layer1 = xp.sum(W1**2) + xp.sum(b1**2)
    layer2 = xp.sum(W2**2) + xp.sum(b2**2)
    layer3 = xp.sum(W3**2) + xp.sum(b3**2)
    return layer1 + layer2 + layer3


def program(
    xp: Any,
    X: Any,
    y: Any,
    W1: Any,
    b1: Any,
    W2: Any,
    b2: Any,
    W3: Any,
    b3: Any,
    alpha: Any,
    *,
    batch_size: int,
    hidden: int,
) -> Any:
    Xb = X[:batch_size]
    yb = y[:batch_size]

    act1 = Xb @ W1 + b1
    h1 = xp.relu(act1)
    act2 = h1 @ W2 + b2
    h2 = xp.relu(act2)
    scores = h2 @ W3 + b3

    gap = 1 - yb * scores
    losses = xp.relu(gap)
    data_loss = xp.mean(losses)

    squares = sum_of_squares(xp, W1, b1, W2, b2, W3, b3)
    reg_loss = alpha * squares
    total_loss = data_loss + reg_loss
    return total_loss


# The two moons without noise: with θ = (k + ½)·π/8, one is (cos θ, sin θ) with the label −1, the
# other (1 − cos θ, ½ − sin θ) with the label 1, rounded to two decimals. They take turns, and k
# runs 0, 4, 2, 6, 1, 5, 3, 7, so that the first rows, however many, lie spread along both.
MOONS = [
    [0.98, 0.20], [0.02, 0.30], [-0.20, 0.98], [1.20, -0.48],
    [0.56, 0.83], [0.44, -0.33], [-0.83, 0.56], [1.83, -0.06],
    [0.83, 0.56], [0.17, -0.06], [-0.56, 0.83], [1.56, -0.33],
    [0.20, 0.98], [0.80, -0.48], [-0.98, 0.20], [1.98, 0.30],
]  # fmt: skip
LABELS = [[-1.0], [1.0]] * 8

# The weights and biases were drawn once, the weights between −1 and 1 as in the demo, and rounded
# to two decimals. The demo's biases start at 0; here they do not, so that nothing hides.
LESSON = Lesson(
    id="mlp",
    title="A small classifier",
    chapter="Networks",
    order=620,
    after=("two-layer", "matrix-linear"),
    minutes=20,
    idea=(
        "The demo of micrograd, a layer at a time in place of a number at a time: points on two "
        "half-moons go through two hidden layers with relu to one score each, and the score's "
        "sign should be the label, −1 or 1. The loss of a point is how far its score falls short "
        "of being right by a margin of 1, and 0 once it is. So two kinds of switches stand in the "
        "way of the gradient: a point that is right by the margin sends nothing back, and a unit "
        "that relu has set to 0 passes nothing on. What is left flows through transposed weights, "
        "as in any stack of linear layers. Each parameter has a second task, to be small, and "
        "receives a second contribution for it."
    ),
    program=program,
    leaves=(
        Leaf("X", MOONS, "points on two half-moons, a row a point"),
        Leaf("y", LABELS, "their labels: −1 for one moon, 1 for the other"),
        Leaf(
            "W1",
            [[0.30, -0.91, -0.96, 0.68], [0.17, -0.55, 0.50, -0.47]],
            "weights of the first layer, a column a unit",
            (2, "hidden"),
        ),
        Leaf("b1", [[-0.05, -0.03, 0.27, 0.23]], "biases of the first layer", (1, "hidden")),
        Leaf(
            "W2",
            [
                [-0.44, -0.44, -0.16, -0.99],
                [-0.38, 0.90, 0.68, 0.07],
                [-0.03, 0.89, 0.19, 0.89],
                [1.00, -0.93, -0.76, 0.52],
            ],
            "weights of the second layer, a column a unit",
            ("hidden", "hidden"),
        ),
        Leaf("b2", [[-0.22, -0.10, -0.12, 0.03]], "biases of the second layer", (1, "hidden")),
        Leaf("W3", [[-0.90], [-0.10], [0.11], [-0.76]], "weights of the score", ("hidden", 1)),
        Leaf("b3", [[-0.10]], "the bias of the score"),
        Leaf("alpha", 1e-4, "how strongly large parameters are penalised"),
    ),
    sizes=(
        Size("batch_size", 8, 1, 16, "points in the batch (the demo takes 100)"),
        Size("hidden", 4, 1, 16, "units in each hidden layer (the demo has 16)"),
    ),
    forward=(
        Equation("act1", "Xb @ W1 + b1"),
        Equation("h1", "maximum(act1, 0)", "relu"),
        Equation("act2", "h1 @ W2 + b2"),
        Equation("h2", "maximum(act2, 0)"),
        Equation("scores", "h2 @ W3 + b3", "no relu here: a score may be negative"),
        Equation("gap", "1 - yb * scores", "how far a score is from being right by 1"),
        Equation("losses", "maximum(gap, 0)", "the max-margin or hinge loss"),
        Equation("data_loss", "sum(losses) / batch_size"),
        Equation("reg_loss", "alpha * squares", "the squares of all parameters, added up"),
        Equation("total_loss", "data_loss + reg_loss"),
    ),
    derivation=(
        Equation("dlosses", "expand(1 / batch_size, losses)", "each counts for its share"),
        Equation("dgap", "(gap > 0) / batch_size", "a point that is right by the margin is silent"),
        Equation("dscores", "-yb * dgap", "towards the label, and all equally hard"),
        Equation("dh2", "dscores @ W3.T"),
        Equation("dact2", "dh2 * (act2 > 0)", "through relu: all or nothing"),
        Equation("dh1", "dact2 @ W2.T"),
        Equation("dact1", "dh1 * (act1 > 0)"),
        Equation("dXb", "dact1 @ W1.T"),
        Equation("dW3", "h2.T @ dscores + 2*alpha*W3", "from the data, and from its own square"),
        Equation("db3", "rows(dscores) + 2*alpha*b3"),
        Equation("dW2", "h1.T @ dact2 + 2*alpha*W2"),
        Equation("db2", "rows(dact2) + 2*alpha*b2"),
        Equation("dW1", "Xb.T @ dact1 + 2*alpha*W1"),
        Equation("db1", "rows(dact1) + 2*alpha*b1"),
        Equation("dyb", "-scores * dgap"),
        Equation("dalpha", "squares"),
    ),
    notes={
        "X": "A row that is not in the batch receives 0: nothing of it was used.",
        "y": "Labels are data and stay as they are; like X, they receive 0 outside of the batch.",
        "W1": "All that arrives here from the data has passed the relus of both layers, and the "
        "one of the loss. A column belongs to one unit; where its relu let nothing through for "
        "any point, only the small term of its own square is left.",
        "b1": "One row for all points, so what comes back from each of them is added up.",
        "W2": "From the data it receives h1ᵀ @ dact2: a row of 0 in h1ᵀ, a unit that was silent "
        "for all points, makes a row of 0.",
        "b2": "One row for all points, so it collects the gradient of each of them.",
        "W3": "It receives h2ᵀ @ dscores from the data, and 2·alpha·W3 from its own square.",
        "b3": "It is added to every score, so from the data it collects all of dscores.",
        "alpha": "Its gradient is the sum of squares. It is chosen, not learnt: an update would "
        "only push it further and further down.",
        "Xb": "The first rows of X: the points of this batch. A small batch is a cheap look at "
        "the loss of all points.",
        "yb": "The labels of the batch. Their signs say which scores should rise and which fall.",
        "act1": "The weighted sums of the first layer, a row a point and a column a unit. "
        "The negative ones go no further.",
        "h1": "Where relu gave 0, what arrives here is not passed on; everywhere else it passes "
        "unchanged.",
        "act2": "The weighted sums of the second layer, made of what the first let through.",
        "h2": "What arrives is dscores @ W3ᵀ: each point's pull, shared out by the weights of the "
        "score.",
        "scores": "One number a point; its sign is the answer. Its gradient is −label divided by "
        "the number of points, or 0.",
        "gap": "How far a score falls short of being right by 1. Positive: the point still counts. "
        "Negative: it is right by more than the margin, and its gradient is 0.",
        "losses": "relu of the gap. All points that still count pull equally hard, however wrong "
        "they are.",
        "data_loss": "The mean over the points: each receives its share, 1 divided by their "
        "number.",
        "layer1": "The squares of the first layer's weights and biases, added up. It is one term "
        "of a sum, so it receives what the sum receives.",
        "layer2": "The same of the second layer. Each square sends back what it received times 2 "
        "times its base.",
        "layer3": "The same of the last layer, which makes the score.",
        "squares": "Its gradient is alpha, and so every parameter receives 2·alpha times itself: "
        "an update makes large ones shrink.",
        "reg_loss": "The price of large parameters. It depends on them and on alpha, and on no "
        "point.",
        "total_loss": "Two losses in one sum, so both start with 1 and every parameter hears from "
        "both.",
    },
    mistake=(
        "Letting relu look at the gradient in the place of its input: whether something passes "
        "depends on act > 0, never on the sign of what arrives. It shows as negative gradients "
        "that are missing. The next in line is to forget the mean: all that comes from the data "
        "is then as many times too large as there are points, and with a batch of one it does not "
        "show."
    ),
    questions=(
        Question(
            "A point is right by more than the margin. What does it send back?",
            (
                "Nothing: its gap is negative, relu has slope 0 there, and so its row is 0 in the "
                "gradients of scores, act2 and act1."
            ),
        ),
        Question(
            "Two points are wrong, one by a little and one by a lot. Which pulls harder?",
            (
                "Neither: with this loss each pulls with 1 divided by the number of points. A "
                "squared loss would pull harder at the one that is further off."
            ),
        ),
        Question(
            "Why does every weight receive two contributions?",
            (
                "It was used twice: for the scores, and for the sum of squares that keeps "
                "parameters small. The second one is 2·alpha times the weight itself."
            ),
        ),
        Question(
            "A hidden unit is 0 for every point of the batch. What do its weights receive?",
            (
                "From the data nothing. Those that lead to it get 0 because relu passes nothing, "
                "those that lead away from it because they were multiplied by 0; only 2·alpha·w "
                "is left."
            ),
        ),
        Question(
            "How many parameters has the demo's network: 2 inputs, two layers of 16, one score?",
            "2·16 + 16 in the first layer, 16·16 + 16 in the second and 16 + 1 in the last: 337.",
        ),
        Question(
            "Where are the contributions of the single points added up in dW2 = h1ᵀ @ dact2?",
            (
                "Inside the matrix product: each of its cells is a sum over the rows of h1 and "
                "dact2, and a row is a point."
            ),
        ),
    ),
    folded=("sum_of_squares",),
    plot=Plot("histogram", "h1"),
    references=(
        "micrograd, demo.ipynb (Andrej Karpathy): two moons, an MLP with two hidden layers of 16 "
        "and 337 parameters, the max-margin loss, and L2 regularisation with alpha = 1e-4",
    ),
)
