"""A network that guesses the next character, on two texts at once: batch × time × features."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(
    xp: Any,
    inputs: Any,
    targets: Any,
    hs0: Any,
    Wxh: Any,
    Whh: Any,
    Why: Any,
    bh: Any,
    by: Any,
    *,
    hidden: int,
) -> Any:
    hs, total = hs0, 0.0
    for t in range(1, 5):
        xs = inputs[:, t - 1]
        hraw = xs @ Wxh.T + hs @ Whh.T + bh
        hs = xp.tanh(hraw)
        ys = hs @ Why.T + by
        ps = xp.softmax(ys, -1)
        target = targets[:, t - 1]
        logprobs = xp.log(ps)
        surprise = -xp.sum(target * logprobs)
        total = total + surprise
    loss = total / 2  # the mean over the batch of two
    return loss


H, E, L, O = ([float(k == n) for k in range(4)] for n in range(4))
"""The vocabulary: each of the four characters as a row with a single 1."""


LESSON = Lesson(
    id="rnn-batch",
    title="Guessing the next character",
    chapter="Recurrence",
    order=740,
    idea=(
        "Two texts, hello and olleh, are read at the same time, a character a step. The inputs are "
        "an array of batch × time × features: 2 texts, 4 steps, and 4 features, a 1 at the "
        "character's place among h, e, l, o. At every step the network gives a probability to each "
        "character for being the next one; the loss is −log of the one that came. Two things are "
        "worth watching. The gradient of the scores ys is simply the probabilities minus the "
        "target, over the number of texts. And the weights are used by both texts at every step, "
        "so their gradients are sums over the batch and over time."
    ),
    after=("rnn", "softmax"),
    minutes=12,
    program=program,
    leaves=(
        Leaf("inputs", [[H, E, L, L], [O, L, L, E]], "the texts: hell and olle"),
        Leaf("targets", [[E, L, L, O], [L, L, E, H]], "the next characters: ello and lleh"),
        Leaf(
            "hs0",
            [[0.1, -0.2, 0.3], [-0.15, 0.25, 0.05]],
            "the states before (hprev), a row a text",
            (2, "hidden"),
        ),
        Leaf(
            "Wxh",
            [[0.5, -0.3, 0.8, -0.6], [-0.4, 0.7, 0.2, 0.3], [0.6, 0.1, -0.5, 0.9]],
            "weights from input to state",
            ("hidden", 4),
        ),
        Leaf(
            "Whh",
            [[0.4, -0.3, 0.2], [0.1, 0.5, -0.6], [-0.2, 0.7, 0.3]],
            "weights from state to state",
            ("hidden", "hidden"),
        ),
        Leaf(
            "Why",
            [[-0.7, 0.3, 0.1], [0.9, -0.2, 0.4], [0.2, 0.8, -0.5], [-0.1, 0.6, 0.7]],
            "weights from state to scores",
            (4, "hidden"),
        ),
        Leaf("bh", [[0.05, -0.1, 0.15]], "bias of the state", (1, "hidden")),
        Leaf("by", [[0.1, -0.05, 0.2, -0.15]], "bias of the scores"),
    ),
    sizes=(Size("hidden", 3, 1, 8, "numbers in the state"),),
    forward=(
        Equation("hs[t]", "tanh(xs[t] @ Wxh.T + hs[t-1] @ Whh.T + bh)", steps=(1, 4)),
        Equation("ys[t]", "hs[t] @ Why.T + by", "the scores", steps=(1, 4)),
        Equation(
            "ps[t]",
            "exp(ys[t]) / columns(exp(ys[t]))",
            "softmax: each row adds up to 1",
            steps=(1, 4),
        ),
        Equation(
            "loss",
            "sum(-sum(target[t] * log(ps[t])) for t in steps(1, 4)) / 2",
            "summed over time, the mean over the batch of 2",
        ),
    ),
    derivation=(
        Equation(
            "dys[t]",
            "(ps[t] * columns(target[t]) - target[t]) / 2",
            "a row of targets adds up to 1, so this is (ps − target) / 2",
            steps=(1, 4),
        ),
        Equation("dWhy", "sum(dys[t].T @ hs[t] for t in steps(1, 4))"),
        Equation(
            "dby",
            "sum(rows(dys[t]) for t in steps(1, 4))",
            "the rows are the texts: added up, as the bias served both",
        ),
        Equation("dhs[4]", "dys[4] @ Why", "the last state: only its own scores"),
        Equation(
            "dhs[t]",
            "dys[t] @ Why + dhraw[t+1] @ Whh",
            "from its scores, and from the next step",
            steps=(1, 3),
        ),
        Equation("dhraw[t]", "(1 - hs[t]**2) * dhs[t]", "through tanh", steps=(1, 4)),
        Equation(
            "dWxh",
            "sum(dhraw[t].T @ xs[t] for t in steps(1, 4))",
            "this product adds over the batch, Σₜ over time",
        ),
        Equation("dWhh", "sum(dhraw[t].T @ hs[t-1] for t in steps(1, 4))"),
        Equation("dbh", "sum(rows(dhraw[t]) for t in steps(1, 4))"),
        Equation("dhs0", "dhraw[1] @ Whh", "a new text starts here, or this one is cut here"),
    ),
    notes={
        "inputs": "A row for each character, with a single 1. Its gradient says what a little of "
        "each character, mixed in here, would do to the loss.",
        "targets": "The same texts, one character further. Each gradient is −log p / 2: what this "
        "place would add to the loss if that character had come.",
        "hs0": "Min-char-rnn begins with zeros, and later hands over the last state of the piece "
        "of text before, as plain numbers without their history.",
        "Wxh": "A row of inputs with a single 1 picks out one column. So a character's column "
        "changes only where that character was read.",
        "Whh": "It receives a term from every step and every text: dhraw of the step times the "
        "state before it.",
        "Why": "A row for each character. An update moves the row of the character that came "
        "towards the state, and the other rows away from it, each by its probability.",
        "bh": "One bias for both texts: its gradient is the sum of the rows, over all steps.",
        "by": "If a character is given more probability, all in all, than it came, the gradient is "
        "positive and an update lowers its bias.",
        "xs": "The characters of this step, a row a text; the gradient goes back into these rows.",
        "hraw": "The texts do not meet here: row 0 depends only on text 0, row 1 only on text 1.",
        "hs": "Two contributions, from its own scores and from the next step; the last state has "
        "only the first. In min-char-rnn they are Why.T @ dy and dhnext.",
        "ys": "Its gradient is the probabilities minus the target, divided by the 2 texts: "
        "negative for the character that came, positive for all others, and each row adds up to 0.",
        "ps": "Only the probability of the character that came has a gradient: −1/p, divided by "
        "the 2 texts; the softmax then spreads it over all scores.",
        "target": "The 1 marks the character that came and picks its logarithm.",
        "logprobs": "Far below 0 where a character was thought unlikely. Its gradient is −target, "
        "divided by 2.",
        "surprise": "The loss of this step, both texts together. One that knows nothing gives each "
        "of four characters a quarter: log 4 = 1.386 for each text.",
        "total": "The surprises so far; a sum hands each of them the same gradient.",
        "loss": "Divided by the number of texts, so that a larger batch does not mean larger "
        "steps. Over time it is a sum, as in min-char-rnn.",
    },
    mistake=(
        "To forget the mean over the batch in the gradient: everything is then twice as large, and "
        "with a batch of 32 it would be 32 times as large. The direction is right, so training "
        "seems to work with another learning rate, and only a comparison shows it. The other "
        "classic is to lose dhnext, the part that comes from the next step: dWhy and dby stay "
        "right, dWhh, dWxh and dbh do not."
    ),
    questions=(
        Question(
            "Why is the gradient of the scores so simple, although softmax and log lie between?",
            "The log makes 1/p of the probability that came, and the slopes of softmax contain p "
            "as a factor, so it cancels. What is left is p − 1 for the character that came and p "
            "for each other one.",
        ),
        Question(
            "Where are the two texts added together, and where do they stay apart?",
            "States and scores have a row for each text, and rows never mix. They meet in the "
            "loss, and on the way back in each weight: the product dhraw.T @ xs adds over the "
            "rows, and a bias receives the sum of the rows.",
        ),
        Question(
            "What would the gradient of a column of Wxh be if its character were never read?",
            "It would be 0. The column is multiplied by that character's feature, which would be 0 "
            "at every step and in every text.",
        ),
        Question(
            "Of what size are inputs, hs and the gradient of Wxh for 32 texts of 100 characters "
            "from 65, with a state of 128?",
            "The inputs are 32 × 100 × 65, each state 32 × 128, and the gradient of Wxh is "
            "128 × 65 like Wxh itself: batch and time have been summed away.",
        ),
    ),
    plot=Plot("norms", "hs"),
    references=(
        "Andrej Karpathy, min-char-rnn.py (2015): the names, the forward pass, and the backward "
        "pass with dy = p − onehot, dhraw = (1 − hs²) · dh and dhnext; there a text is a column "
        "and stands alone, here each text is a row of the batch",
        "Andrej Karpathy, 'The Unreasonable Effectiveness of Recurrent Neural Networks' (2015): "
        "hello, with the vocabulary h, e, l, o and three hidden units; the weights here are our "
        "own",
    ),
)
