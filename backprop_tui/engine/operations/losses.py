"""Losses: how far predictions are from what is wanted, as one number.

Each comes as the mean over the examples (or cells) and as their sum: torch's `reduction`.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations.base import Array, Operation, Value, contribution
from backprop_tui.engine.operations.normalising import log_of_sum, softened

Classes = NDArray[np.intp]
"""The number of the right class of each example, (N); or of the only one, ()."""


def surprises(input: Array, target: Classes) -> Any:
    """−log(softmax) of each example's right class. `input` is (N, C), or (C) for one example."""
    log_share = input - log_of_sum(input, -1)
    return -np.take_along_axis(log_share, target[..., None], -1)[..., 0]


def errors(input: Array, target: Classes) -> Any:
    """softmax(input), minus 1 at the right classes."""
    found = softened(input, -1)
    found[(*np.indices(target.shape), target)] -= 1.0
    return found


class CrossEntropy(Operation):
    """−log(softmax) of the right class, the mean over the examples."""

    name = "cross_entropy"
    symbol = "loss"
    operands = ("input",)
    text = "-mean(pick(log_softmax(input), target))"
    why = (
        "The loss is −log of the share that softmax gives to the right class: 0 if it is sure and "
        "right, large if it is sure and wrong; the mean over the examples."
    )
    elementwise = False

    @staticmethod
    def forward(input: Array, *, target: Classes) -> Value:
        return float(np.mean(surprises(input, target)))

    @contribution(
        "g * (softmax(input) - onehot(target)) / count",
        why="The slope for each class is its share minus what it should be, 1 for the right class "
        "and 0 for the others; each of the examples counts for its part of the mean.",
    )
    def to_input(g: float, out: float, input: Array, *, target: Classes) -> Value:
        return cast(Value, g * errors(input, target) / max(1, target.size))

    @staticmethod
    def figures(out: float, input: Array, *, target: Classes) -> dict[str, Any]:
        return {"count": max(1, target.size)}


class CrossEntropySum(Operation):
    """−log(softmax) of the right class, summed over the examples."""

    name = "cross_entropy"
    symbol = "loss"
    operands = ("input",)
    text = "-sum(pick(log_softmax(input), target))"
    why = (
        "The loss is −log of the share that softmax gives to the right class: 0 if it is sure and "
        "right, large if it is sure and wrong; the sum over the examples."
    )
    elementwise = False

    @staticmethod
    def forward(input: Array, *, target: Classes) -> Value:
        return float(np.sum(surprises(input, target)))

    @contribution(
        "g * (softmax(input) - onehot(target))",
        why="The slope for each class is its share minus what it should be: "
        "1 for the right class and 0 for the others.",
    )
    def to_input(g: float, out: float, input: Array, *, target: Classes) -> Value:
        return cast(Value, g * errors(input, target))


class MseLoss(Operation):
    """The mean of the squared differences."""

    name = "mse_loss"
    symbol = "loss"
    operands = ("input", "target")
    text = "mean((input - target)**2)"
    why = (
        "The squared differences, averaged: one large error weighs more than several small ones "
        "that add up to it."
    )
    elementwise = False

    @staticmethod
    def forward(input: Value, target: Value) -> Value:
        return float(np.mean(np.square(np.subtract(input, target))))

    @contribution(
        "2 * g * (input - target) / count",
        why="The slope of a square is twice the difference, and each cell counts for its part of "
        "the mean.",
    )
    def to_input(g: float, out: float, input: Value, target: Value) -> Value:
        difference = np.subtract(input, target)
        return cast(Value, 2.0 * g * difference / np.float64(difference.size))

    @contribution(
        "-2 * g * (input - target) / count",
        why="A larger target makes the difference smaller: the same slope, with its sign turned.",
    )
    def to_target(g: float, out: float, input: Value, target: Value) -> Value:
        difference = np.subtract(input, target)
        return cast(Value, -2.0 * g * difference / np.float64(difference.size))

    @staticmethod
    def figures(out: float, input: Value, target: Value) -> dict[str, Any]:
        return {"count": np.subtract(input, target).size}


class MseLossSum(Operation):
    """The sum of the squared differences."""

    name = "mse_loss"
    symbol = "loss"
    operands = ("input", "target")
    text = "sum((input - target)**2)"
    why = (
        "The squared differences, added up: one large error weighs more than several small ones "
        "that add up to it."
    )
    elementwise = False

    @staticmethod
    def forward(input: Value, target: Value) -> Value:
        return float(np.sum(np.square(np.subtract(input, target))))

    @contribution("2 * g * (input - target)", why="The slope of a square is twice the difference.")
    def to_input(g: float, out: float, input: Value, target: Value) -> Value:
        return cast(Value, 2.0 * g * np.subtract(input, target))

    @contribution(
        "-2 * g * (input - target)",
        why="A larger target makes the difference smaller: the same slope, with its sign turned.",
    )
    def to_target(g: float, out: float, input: Value, target: Value) -> Value:
        return cast(Value, -2.0 * g * np.subtract(input, target))
