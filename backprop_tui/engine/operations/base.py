"""What an operation is: forward, one contribution per operand, and the words for both.

An operation stands in one block of code. Its functions are pure: the forward function maps the
operands' values to the result, and a *contribution* maps (upstream gradient, result, operands) to
what the edge sends to one operand — for tensors the vector-Jacobian product. A contribution has
the shape of the result's broadcast; summing it back to the operand's own shape is the business of
`backprop_tui.engine.broadcasting`, once for all operations.

The text beside each function is a formula in Python's syntax (see `backprop_tui.engine.formula`).
The tests evaluate it and compare it with the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""A float64 array of at least one dimension."""

Value = float | Array
"""A value on the tape: a Python float for scalars (arithmetic on it is several times faster than
on a 0-d array), a float64 array otherwise."""

ContributionFunction = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an operation sends to one operand."""

    function: ContributionFunction
    """(upstream, result, *operands, **parameters) → contribution."""

    text: str
    """The same as a formula: `g` is the upstream gradient, `out` the result, operands and
    parameters have the names that they have in the function."""

    why: str
    """One sentence: why it is so."""


def contribution(text: str, *, why: str) -> Callable[[ContributionFunction], Contribution]:
    """Declare the function below as what the operation sends to its next operand."""

    def declare(function: ContributionFunction) -> Contribution:
        return Contribution(function, text, why)

    return declare


class Operation:
    """Base of all operations. A subclass is the operation; it is never instantiated.

    Subclasses define `forward` as a static method and one `contribution` per operand, in the
    operands' order. A *variadic* operation (cat, stack) takes any number of operands; its only
    contribution serves them all and is told the operand's `slot`.
    """

    name: ClassVar[str]
    """The name in torch."""

    symbol: ClassVar[str]
    """How a node of a graph is labelled, in a few cells."""

    text: ClassVar[str]
    """The result as a formula of the operands."""

    why: ClassVar[str]
    """One sentence: what the forward pass does here."""

    operands: ClassVar[tuple[str, ...]]
    """The operands' names in the formulas."""

    elementwise: ClassVar[bool] = True
    """Each cell of the result depends on the same cell of each (broadcast) operand only, so the
    local derivative is an array and the contribution is upstream times local derivative."""

    variadic: ClassVar[bool] = False

    sends: ClassVar[bool] = True
    """Whether gradients pass at all. An operation that sends nothing has no contributions."""

    contributions: ClassVar[tuple[Contribution, ...]]

    forward: ClassVar[Callable[..., Any]]

    branches: ClassVar[Callable[..., Any] | None] = None
    """For operations with kinks: which branch each cell takes (an array of -1, 0, 1, or of the
    numbers of the cells that are taken), so that central differences can tell when they straddle
    a kink. It is given the operands and the parameters."""

    figures: ClassVar[Callable[..., Any] | None] = None
    """The numbers of its formulas that are neither operands nor parameters, by name: a function of
    (result, *operands, **parameters)."""

    def __init_subclass__(cls) -> None:
        cls.contributions = tuple(v for v in vars(cls).values() if isinstance(v, Contribution))
        REGISTRY.append(cls)

    @classmethod
    def contribution_to(cls, slot: int) -> Contribution:
        """The contribution to the operand in this slot."""
        return cls.contributions[0 if cls.variadic else slot]


REGISTRY: list[type[Operation]] = []
"""Every operation, in the order of definition."""
