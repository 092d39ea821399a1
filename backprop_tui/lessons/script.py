"""A lesson's script: plain torch code, and the state of its tensors predicted by hand.

Some of what torch does has no formula: who is a leaf, whose gradient is kept, what is added up and
what is thrown away. A script shows that on a few statements that torch itself runs, one after the
other. What each of them does to each tensor is written in the lesson by hand, and held against
what torch says of itself (`reference.torch_script`). Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorState:
    """What torch knows of one tensor that holds a single number, at one moment."""

    value: float
    is_leaf: bool
    requires_grad: bool
    retains_grad: bool
    """Whether it keeps its gradient although it is no leaf."""

    grad: float | None
    """None: it has no gradient, which is something else than a gradient of 0."""

    grad_fn: str | None
    """The kind of the autograd node that made it, as torch names it: `MulBackward0`."""

    made: int
    """The number of the statement that made this tensor, from 1. It changes where the name is
    given to another tensor, and stays where the tensor is changed in place."""


FIELDS = tuple(f.name for f in fields(TensorState))
"""What is compared of each tensor: each field by itself."""


@dataclass(frozen=True, slots=True)
class Raises:
    """A statement that torch refuses; the script goes on after it."""

    kind: str
    """The name of the exception: `RuntimeError`."""

    saying: str
    """Words that stand in torch's message and say which error it is."""

    def matches(self, raised: str | None) -> bool:
        """Whether this is what was raised, given as `kind: message`."""
        return raised is not None and raised.startswith(f"{self.kind}: ") and self.saying in raised


@dataclass(frozen=True, slots=True)
class Sum:
    """How a predicted number comes about: `w.grad = 2·z·x`."""

    of: str
    """`z` for a tensor's value, `w.grad` for its gradient."""

    right: str
    """A formula (see `engine.formula`) of what was there before the statement: `z` is a tensor's
    value, `w_grad` its gradient."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, and what it does."""

    code: str
    note: str
    """What to notice, in a sentence or a few."""

    changes: Mapping[str, TensorState] = field(default_factory=dict)
    """The state after it of each tensor that it makes or changes. All others stay as they are,
    and that is predicted too."""

    sums: tuple[Sum, ...] = ()
    raises: Raises | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What is predicted for the moment after a statement."""

    states: Mapping[str, TensorState]
    """By name, in the order in which the names appeared."""

    raises: Raises | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """Statements of plain torch code, with `torch` as the only name that is there before them.

    Its tensors hold single numbers that float32, torch's usual type, represents exactly, so that
    predicted and actual numbers are equal and not only close.
    """

    intro: str
    """What is shown before the first statement."""

    statements: tuple[Statement, ...]

    def moments(self) -> tuple[Moment, ...]:
        """What is predicted after each statement."""
        states: dict[str, TensorState] = {}
        found = []
        for statement in self.statements:
            states = {**states, **statement.changes}
            found.append(Moment(states, statement.raises))
        return tuple(found)

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors, in the order in which they appear."""
        return tuple(self.moments()[-1].states)


@dataclass(frozen=True, slots=True)
class Actual:
    """What torch said after a statement."""

    states: Mapping[str, TensorState]
    raised: str | None = None
    """`kind: message` in one line, if torch refused the statement."""


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """What torch said after each statement of a script."""

    moments: tuple[Actual, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where the prediction is not what torch says."""

    statement: int
    """Its number, from 1."""

    what: str
    """`w.grad`, `w` where the tensor itself is missing or too many, `error` for the outcome."""

    predicted: Any
    actual: Any

    def __str__(self) -> str:
        return (
            f"after statement {self.statement}, {self.what} is {self.predicted} by hand "
            f"and {self.actual} by torch"
        )


@dataclass(frozen=True, slots=True)
class ScriptComparison:
    """A script's predictions beside what torch said."""

    statements: int
    cells: int
    """How many fields of tensors were compared, over all statements."""

    mismatches: tuple[Mismatch, ...]

    @property
    def agree(self) -> bool:
        """Whether all is as predicted."""
        return not self.mismatches


def compare_script(script: Script, run: ScriptRun) -> ScriptComparison:
    """Hold every prediction against torch: each outcome, and each field of each tensor."""
    predicted = script.moments()
    cells = 0
    mismatches: list[Mismatch] = []
    if len(run.moments) != len(predicted):
        raise ValueError(f"{len(predicted)} statements, but {len(run.moments)} moments of torch")
    for number, (moment, actual) in enumerate(zip(predicted, run.moments, strict=True), 1):
        cells += len(FIELDS) * len(moment.states.keys() & actual.states.keys())
        mismatches.extend(_mismatches(number, moment, actual))
    return ScriptComparison(len(predicted), cells, tuple(mismatches))


def _mismatches(number: int, moment: Moment, actual: Actual) -> Iterator[Mismatch]:
    if not outcome_agrees(moment.raises, actual.raised):
        expected = None if moment.raises is None else moment.raises.kind
        yield Mismatch(number, "error", expected, actual.raised)
    for name in dict.fromkeys([*moment.states, *actual.states]):
        ours, theirs = moment.states.get(name), actual.states.get(name)
        if ours is None or theirs is None:
            there = [None if state is None else "there" for state in (ours, theirs)]
            yield Mismatch(number, name, *there)
            continue
        for what in FIELDS:
            if not cell_agrees(what, ours, theirs):
                yield Mismatch(number, f"{name}.{what}", getattr(ours, what), getattr(theirs, what))


def outcome_agrees(raises: Raises | None, raised: str | None) -> bool:
    """Whether a statement ran or failed as predicted."""
    return raised is None if raises is None else raises.matches(raised)


def cell_agrees(what: str, ours: TensorState, theirs: TensorState) -> bool:
    """Whether one field is as predicted: numbers too must be equal."""
    return bool(getattr(ours, what) == getattr(theirs, what))
