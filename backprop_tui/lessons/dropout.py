"""Dropout: a mask on the way there, the same mask on the way back."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question

P = 0.4
"""The probability with which a unit is dropped, as torch counts it."""

MASK = [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
"""1 where a unit is kept: `numpy.random.default_rng(5).random((2, 4)) >= P`."""


def program(xp: Any, X: Any, W1: Any, mask: Any, W2: Any, y: Any) -> Any:
    h = X @ W1
    kept = h * mask
    dropped = kept / (1 - P)
    y_hat = dropped @ W2
    diff = y_hat - y
    L = xp.sum(diff**2)
    return L


LESSON = Lesson(
    id="dropout",
    title="Dropout",
    chapter="Normalisation",
    order=830,
    after=("matrix-linear",),
    minutes=8,
    idea=(
        "In training, dropout sets each hidden unit to 0 with a probability p, anew for every "
        "sample and every step, so that no unit can rely on another one being there. Here p is "
        "0.4. What is kept is divided by 1 − p: of ten units six are left on average, so each "
        "counts for 10/6 and the sum stays the same on average. Then at evaluation "
        "nothing has to be done at all: no mask and no factor. The backward pass uses the very "
        "mask of the forward pass: what was dropped has had no say, and receives nothing; the "
        "rest receives the same factor. The mask is drawn once, with the seed 5, and is a leaf, so "
        "that you can drop other units and look."
    ),
    program=program,
    leaves=(
        Leaf("X", [[0.5, -1.2, 0.8], [1.4, 0.3, -0.6]], "the inputs, a row a sample"),
        Leaf(
            "W1",
            [[0.6, -0.3, 0.9, 0.2], [-0.8, 0.5, 0.4, 0.7], [0.3, 1.1, -0.2, -0.5]],
            "weights of the hidden layer, a column a unit",
        ),
        Leaf("mask", MASK, "1 for a unit that is kept, 0 for one that is dropped; seed 5"),
        Leaf("W2", [[0.7], [-0.4], [1.2], [0.9]], "weights of the prediction"),
        Leaf("y", [[0.8], [-0.5]], "the targets"),
    ),
    forward=(
        Equation("h", "X @ W1"),
        Equation("kept", "h * mask"),
        Equation("dropped", "kept / (1 - 0.4)", "inverted dropout: scaled now, not at evaluation"),
        Equation("y_hat", "dropped @ W2"),
        Equation("diff", "y_hat - y"),
        Equation("L", "sum(diff**2)"),
    ),
    derivation=(
        Equation("dy_hat", "2 * diff"),
        Equation("dW2", "dropped.T @ dy_hat", "a dropped unit gives its weight nothing"),
        Equation("ddropped", "dy_hat @ W2.T", "as if nothing had been dropped"),
        Equation("dkept", "ddropped / (1 - 0.4)", "the same factor"),
        Equation("dh", "dkept * mask", "the same mask"),
        Equation("dW1", "X.T @ dh"),
        Equation("dX", "dh @ W1.T"),
        Equation("dmask", "dkept * h", "not used: a mask is drawn, not learnt"),
        Equation("dy", "-2 * diff"),
    ),
    notes={
        "X": "It receives only from the units that were kept.",
        "W1": "A column belongs to a unit. With the mask of seed 5 the last unit is dropped for "
        "both samples, so its column receives 0 and stays as it is in this step.",
        "mask": "In training it is drawn anew at every step; at evaluation there is none. Its "
        "gradient says what a little more of a unit would do; nobody uses it. Put 0.6 into all "
        "cells, and dropped becomes h: that is evaluation.",
        "W2": "A row belongs to a unit. The row of a unit that is dropped for all samples "
        "receives 0.",
        "y": "It is subtracted, so it receives what y_hat receives, with the other sign.",
        "h": "Where the mask is 0 its gradient is 0; elsewhere it is what arrives at dropped, "
        "divided by 1 − p.",
        "kept": "A product with the mask: the mask decides what passes, forward and back alike. "
        "Cells that were dropped still receive a gradient here, and it stops at the mask.",
        "dropped": "What is left is larger than before, divided by 1 − p = 0.6. On average "
        "over all masks each cell is what it was in h.",
        "y_hat": "Made of fewer units, each counting for more. On average over all masks it is the "
        "prediction without dropout, as it depends on dropped linearly.",
        "diff": "Its gradient is twice itself, as always with a square.",
        "L": "With another mask it would be another number. Its average over all masks is larger "
        "than the loss without dropout (18.76 and 14.64 at first): a square also counts how far "
        "the predictions scatter.",
    },
    mistake=(
        "Drawing a new mask in the backward pass, or leaving the mask out of it: then dropped "
        "units receive gradient, and finite differences with a fixed mask do not confirm it. "
        "Forgetting to switch to evaluation (model.eval()) is the next in line: predictions "
        "differ from call to call. And p has two meanings: in torch it is the probability of "
        "dropping, in CS231n's code and in the paper of 2014 that of keeping."
    ),
    questions=(
        Question(
            "Why is what is kept divided by 1 − p?",
            "A cell is kept with probability 1 − p, so without the division it would be (1 − p)·h "
            "on average. With it the average is h, and the layers behind see numbers of the same "
            "size in training and at evaluation.",
        ),
        Question(
            "Which weights receive no gradient in this step, and why?",
            "The last column of W1 and the last row of W2: their unit is dropped for both samples. "
            "A unit that is dropped for one sample only still receives from the other.",
        ),
        Question(
            "What does dropout do at evaluation?",
            "Nothing: dropped = h. The scaling was done in training already, which is why this "
            "kind is called inverted dropout.",
        ),
        Question(
            "p is 0, or close to 1. What happens?",
            "With p = 0 all is kept and the factor is 1. Close to 1 hardly anything is kept, and "
            "that counts for very much: the average is right, but single steps scatter widely.",
        ),
        Question(
            "Is the average loss over all masks the loss without dropout?",
            "No. The average prediction is the one without dropout, but a square also counts how "
            "far the predictions scatter around it. That extra term is what regularises.",
        ),
    ),
    plot=Plot("histogram", "dropped"),
    references=(
        "Nitish Srivastava et al., 'Dropout' (JMLR 15, 2014): the method; p is the probability of "
        "keeping there",
        "CS231n, 'Setting up the data and the loss': inverted dropout, the mask divided by the "
        "probability of keeping",
        "torch.nn.Dropout: p is the probability of dropping, and 1/(1 − p) the factor. The numbers "
        "are ours",
    ),
)
