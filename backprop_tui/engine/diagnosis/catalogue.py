"""The mistakes that are known: what each is called, and what it is in one sentence.

The ids are stable: progress is kept under them, and exercises are made from them. What a mistake
does to a gradient stands in `edge_mistakes` (one contribution comes out wrong) and in `slips`
(contributions are put together wrongly, and where a mistake can be made at all).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """One way in which a gradient goes wrong."""

    id: str
    name: str
    """What it is called: `forgot the upstream gradient`."""

    sentence: str
    """What is wrong, and what would be right."""


_ALL = (
    Mistake(
        "never-accumulated",
        "never accumulated",
        "Nothing has been put there: the gradient stayed 0, although contributions arrive.",
    ),
    Mistake(
        "forgot-upstream",
        "forgot the upstream gradient",
        "This is the local derivative alone: by the chain rule it is multiplied by the gradient "
        "that comes from above.",
    ),
    Mistake(
        "forgot-local",
        "forgot the local derivative",
        "The upstream gradient was passed on as it is: it is multiplied by the slope of this "
        "operation first.",
    ),
    Mistake("sign-flipped", "sign flipped", "The size is right, and the sign is turned."),
    Mistake(
        "overwrote",
        "overwrote instead of accumulated",
        "Only one of the contributions is left: they are added up, as each use adds its part.",
    ),
    Mistake(
        "contribution-missing",
        "one contribution is missing",
        "The value is used in several places, and what comes back from one of them was left out.",
    ),
    Mistake(
        "swapped-operands",
        "operands swapped in a product",
        "In a product the slope for one factor is the other factor, in its own place.",
    ),
    Mistake(
        "transposed",
        "transposed",
        "Rows and columns are exchanged: a gradient has the shape and the order of its value, and "
        "back through a matrix goes its transpose.",
    ),
    Mistake(
        "one-row-only",
        "one row of the batch only",
        "The value serves every row (or cell), so what comes back from all of them is added up; "
        "this is what one of them sends.",
    ),
    Mistake(
        "broadcast-not-summed",
        "broadcast not summed",
        "The value was repeated by broadcasting, or shared by the batch: its gradient is summed "
        "back to its own shape.",
    ),
    Mistake(
        "sum-for-mean",
        "sum taken for a mean",
        "The division by the number of averaged cells is missing.",
    ),
    Mistake(
        "mean-for-sum",
        "mean taken for a sum",
        "Divided by the number of cells, where they are only added up.",
    ),
    Mistake(
        "power-missing",
        "the factor of the power is missing",
        "The slope of a square is twice the number: the exponent comes down as a factor.",
    ),
    Mistake(
        "power-twice",
        "the factor of the power counted twice",
        "The exponent comes down as a factor once, not twice.",
    ),
    Mistake(
        "counted-twice",
        "a contribution counted twice",
        "What comes back was added once more than it should be.",
    ),
    Mistake(
        "input-for-output",
        "the input taken for the output of a function",
        "The slope is written with the function's output, as in 1 − h² with h = tanh(z), and its "
        "input was put there.",
    ),
    Mistake(
        "output-for-input",
        "the output taken for the input of a function",
        "The slope is written with the function's input, and its output was put there.",
    ),
    Mistake(
        "wrong-branch",
        "the wrong branch",
        "The gradient goes to the branch that was taken, and here it went to the other one.",
    ),
    Mistake(
        "n-against-n-1",
        "n against n − 1",
        "Two variances are in use, divided by n and by n − 1, and the other one was meant.",
    ),
    Mistake(
        "detached",
        "took something for a constant",
        "A path is cut: the value depends on what the gradient is asked for, so it passes gradient "
        "on.",
    ),
    Mistake(
        "off-by-one",
        "off by one in time",
        "The value or the gradient of a neighbouring time step was used.",
    ),
    Mistake(
        "sent-early",
        "passed on before all had arrived",
        "A gradient is passed on once all of it has arrived. Passed on at each arrival, what came "
        "first goes down the same way again and again.",
    ),
    Mistake(
        "after-update",
        "evaluated after the update",
        "The weight had been updated already: all gradients are of the values of the forward pass, "
        "and only then everything is updated.",
    ),
)

MISTAKES: dict[str, Mistake] = {mistake.id: mistake for mistake in _ALL}
"""All mistakes by id, the likeliest first: in this order they are named."""

RANK: dict[str, int] = {mistake.id: rank for rank, mistake in enumerate(_ALL)}
"""The position of a mistake in that order."""
