"""A learner's value for a gradient: is it right, and if not, which mistake explains it?

The right value and the wrong ones are all worked out; the given one is held against each. Several
mistakes may lead to the same number, and then all of them are named. If none does, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, cast

import numpy as np

from backprop_tui.engine.diagnosis.catalogue import MISTAKES, RANK, Mistake
from backprop_tui.engine.diagnosis.judging import (
    finite,
    same,
    same_cells,
    same_in_single_precision,
    slack_of,
)
from backprop_tui.engine.diagnosis.slips import Slip, slips_towards
from backprop_tui.engine.diagnosis.sweep import Sweep
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.trace import Trace
from backprop_tui.engine.verdict import ROUNDING_SAFETY

Cell = tuple[int, ...]


class Outcome(Enum):
    """What is said of a value."""

    EXACT = "right"
    ROUNDED = "right to rounding"
    """As far as it is written down, or as float32 has it."""
    COARSE = "right as far as it is written"
    """It has too few digits to tell right from wrong."""
    SHAPE = "the right numbers in another shape"
    EXPLAINED = "wrong, and a mistake explains it"
    UNEXPLAINED = "wrong, and no mistake that is known explains it"

    @property
    def right(self) -> bool:
        """Whether the value counts as right."""
        return self in (Outcome.EXACT, Outcome.ROUNDED)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One mistake that leads to the given value, with the places where it does."""

    mistake: Mistake
    slips: tuple[Slip, ...]
    """The places, the nearest first: made at any one of them, it gives the same number."""

    key: str
    """The key of the step to look at, at the nearest place."""

    place: str
    """The nearest place in words: `in what p sends to w`."""

    @property
    def sentence(self) -> str:
        """Name, place and what is wrong, for a learner."""
        detail = f" ({self.slips[0].detail})" if self.slips[0].detail else ""
        name = self.mistake.name
        return f"{name[0].upper()}{name[1:]}, {self.place}{detail}. {self.mistake.sentence}"


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """What is said of one value."""

    node: int
    outcome: Outcome
    expected: Value
    """The right value, given the learner's earlier ones; of the cell, if one was asked for."""

    explanations: tuple[Explanation, ...] = ()
    """The mistakes that lead to exactly this value, the likeliest first. All are named."""

    look_at: str = ""
    """The key of the step to look at: of the first explanation, else where the node collects."""

    first_wrong_cell: Cell | None = None
    """For arrays of the right shape."""

    complete: bool = True
    """Whether all known mistakes were tried; in very long graphs the far ones are not."""

    @property
    def right(self) -> bool:
        """Whether the value counts as right."""
        return self.outcome.right

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The ids of all mistakes that explain it, the likeliest first."""
        return tuple(explanation.mistake.id for explanation in self.explanations)


BUDGET = 300_000
"""How many contributions are worked out at most for the wrong values of one node."""


class Diagnoser:
    """Diagnoses values of one pass; what it has worked out it keeps."""

    def __init__(
        self,
        trace: Trace,
        given: Mapping[int, Value] | None = None,
        *,
        learning_rate: float | None = None,
        rounding: list[Any] | None = None,
    ) -> None:
        """`given`: the learner's own gradients of other nodes, on which to build. `learning_rate`:
        with it updates that came too early are recognised."""
        self.trace = trace
        self.sweep = Sweep(trace, given)
        self.learning_rate = learning_rate
        self._candidates: dict[int, tuple[list[tuple[Slip, Value]], bool]] = {}
        self._stacked: dict[Any, tuple[list[int], Any]] = {}
        self._known_rounding = rounding

    @cached_property
    def rounding(self) -> list[Any]:
        """For each node the rounding in its gradient, as an estimate."""
        if self._known_rounding is not None:
            return self._known_rounding
        return gradient_rounding(self.trace, value_rounding(self.trace.graph))

    def expected(self, node: int) -> Value:
        """The right gradient of a node, given the learner's; 0 where none arrives."""
        found = self.sweep.expected[node]
        if found is None:
            value = self.trace.graph.records[node].value
            found = 0.0 if type(value) is float else np.zeros_like(value)
        return found

    def candidates(self, node: int) -> tuple[list[tuple[Slip, Value]], bool]:
        """The values that mistakes lead to at a node, nearest places first; and whether that is
        all of them."""
        known = self._candidates.get(node)
        if known is None:
            known = self._candidates[node] = self._worked_out(node)
        return known

    def _worked_out(self, node: int) -> tuple[list[tuple[Slip, Value]], bool]:
        sweep = self.sweep
        if sweep.expected[node] is None:
            return [], True
        nodes = [node, *sorted(i for i in sweep.above(node) if i not in sweep.given)]
        slips = slips_towards(sweep, nodes, self.learning_rate)
        # What is made at each time step alike must not be left out for want of time.
        slips.sort(key=lambda slip: (slip.node != node, not slip.everywhere, slip.node))
        found, complete = [], True
        end = sweep.work + BUDGET
        for slip in slips:
            if sweep.work > end:
                complete = False
                break
            value = slip.value(sweep, node)
            if value is not None and not (np.ndim(value) and np.size(value) == 0):
                found.append((slip, value))
        near = self._near(node)
        found.sort(key=lambda pair: self._rank(pair[0], node, near))
        return found, complete

    def _near(self, node: int) -> set[int]:
        """The parts without a name of their own that lie between a node and its named uses."""
        names, found, waiting = self.trace.graph.names, {node}, [node]
        while waiting:
            for edge in self.sweep.arrivals(waiting.pop()):
                if not names[edge.source].named and edge.source not in found:
                    found.add(edge.source)
                    waiting.append(edge.source)
        return found

    def _rank(self, slip: Slip, node: int, near: set[int]) -> tuple[int, ...]:
        distance = 0 if slip.node == node else 1 if slip.node in near else 2
        return (distance, RANK[slip.mistake], slip.everywhere, slip.node)

    def outcome_if_right(
        self, node: int, value: Any, *, cell: Cell | None = None
    ) -> Outcome | None:
        """How a value is right; None if it is not."""
        right = np.asarray(self.expected(node), dtype=np.float64)
        right = right if cell is None else right[cell]
        value = np.asarray(value, dtype=np.float64)
        if value.shape != np.shape(right):
            return None
        if same(right, value) or same(right, value, self._noise(node, cell)):
            return Outcome.EXACT
        slack = slack_of(value)
        step = slack.step if slack.enough else 0.0
        if same_in_single_precision(right, value) or same(right, value, step=step):
            return Outcome.ROUNDED
        return None

    def _noise(self, node: int, cell: Cell | None) -> Any:
        whole = np.asarray(self.rounding[node])
        return whole if cell is None else whole[cell]

    def diagnose(self, node: int, value: Any, *, cell: Cell | None = None) -> Diagnosis:
        """What is to be said of a value for the gradient of a node, or of one of its cells."""
        whole = np.asarray(self.expected(node), dtype=np.float64)
        right = whole if cell is None else whole[cell]
        value = np.asarray(value, dtype=np.float64)
        expected = cast(Value, float(right) if np.ndim(right) == 0 else right)
        outcome = self.outcome_if_right(node, value, cell=cell)
        if outcome is not None:
            return Diagnosis(node, outcome, expected)
        if value.shape != np.shape(right):
            return self._of_another_shape(node, value, expected, cell)
        noise, slack = self._noise(node, cell), slack_of(value)
        step = slack.step if slack.enough else 0.0
        found, complete = self._explanations(node, value, cell, noise, step)
        outcome = Outcome.EXPLAINED
        if not found:
            coarse = not slack.enough and same(right, value, noise, slack.step) and np.any(value)
            outcome = Outcome.COARSE if coarse else Outcome.UNEXPLAINED
        wrong = np.argwhere(~np.atleast_1d(same_cells(right, value, noise, step)))
        first = tuple(int(i) for i in wrong[0]) if np.ndim(right) and len(wrong) else None
        look_at = found[0].key if found else self._own_step(node)
        return Diagnosis(node, outcome, expected, found, look_at, first, complete)

    def _of_another_shape(
        self, node: int, value: Any, expected: Value, cell: Cell | None
    ) -> Diagnosis:
        found, complete = self._explanations(node, value, cell, 0.0, 0.0)
        outcome = Outcome.EXPLAINED if found else Outcome.UNEXPLAINED
        if value.size == np.size(expected) and same(np.ravel(expected), np.ravel(value)):
            outcome = Outcome.SHAPE
        look_at = found[0].key if found else self._own_step(node)
        return Diagnosis(node, outcome, expected, found, look_at, None, complete)

    def _explanations(
        self, node: int, value: Any, cell: Cell | None, noise: Any, step: float
    ) -> tuple[tuple[Explanation, ...], bool]:
        candidates, complete = self.candidates(node)
        shape = value.shape if cell is None else np.shape(self.expected(node))
        by_mistake: dict[str, list[Slip]] = {}
        for number in self._similar(node, shape, value, cell, noise, step):
            slip, wrong = candidates[number]
            wrong = wrong if cell is None else np.asarray(wrong)[cell]
            if same(wrong, value, noise, step) or same_in_single_precision(wrong, value):
                by_mistake.setdefault(slip.mistake, []).append(slip)
        found = tuple(
            Explanation(MISTAKES[mistake], tuple(slips), slips[0].key(self.sweep), self._at(slips))
            for mistake, slips in by_mistake.items()
        )
        return found, complete

    def _similar(
        self,
        node: int,
        shape: tuple[int, ...],
        value: Any,
        cell: Cell | None,
        noise: Any,
        step: float,
    ) -> list[int]:
        """The numbers of the candidates that are not far off: most are, and that is quickly seen
        for all of them at once."""
        stacked = self._stacked.get((node, shape))
        if stacked is None:
            every = enumerate(self.candidates(node)[0])
            chosen = [(i, w) for i, (_, w) in every if np.shape(w) == shape and finite(w)]
            rows = [np.asarray(wrong) for _, wrong in chosen] or [np.zeros(shape)]
            stacked = [i for i, _ in chosen], np.stack(rows)
            self._stacked[node, shape] = stacked
        numbers, wrong = stacked
        cells = wrong if cell is None else np.stack([one[cell] for one in wrong])
        with np.errstate(all="ignore"):
            off = np.abs(cells - value).reshape(len(wrong), -1).max(axis=1, initial=0.0)
            size = np.abs(cells).reshape(len(wrong), -1).max(axis=1, initial=0.0)
            allowed = 1e-5 * size + 2.0 * ROUNDING_SAFETY * np.nanmax(noise, initial=0.0) + step
        return [number for number, near in zip(numbers, off <= allowed, strict=False) if near]

    def _at(self, slips: list[Slip]) -> str:
        """The first place in words."""
        slip, names = slips[0], self.trace.graph.names
        if slip.fixed is not None:
            return "all the way"
        if slip.edge is None:
            where = f"at {names[slip.node].id}"
        else:
            where = f"in what {names[slip.edge.source].id} sends to {names[slip.edge.target].id}"
        return f"{where}, and everywhere alike" if slip.everywhere else where

    def _own_step(self, node: int) -> str:
        if not self.sweep.arrivals(node):
            return f"seed:{self.trace.graph.names[node].id}"
        return Slip("", node, None).key(self.sweep)


def diagnose(
    trace: Trace,
    node: int,
    value: Any,
    *,
    cell: Cell | None = None,
    given: Mapping[int, Value] | None = None,
    learning_rate: float | None = None,
) -> Diagnosis:
    """Is `value` the gradient of `node`, and if not, which mistake explains it?

    `cell` asks about one cell of an array. `given` are the learner's own gradients of nodes nearer
    to the output: the value is judged as built on them. `learning_rate` is that of an update of
    the leaves which may have come too early.
    """
    return Diagnoser(trace, given, learning_rate=learning_rate).diagnose(node, value, cell=cell)
