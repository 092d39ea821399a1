"""`diagnosis`: how well mistakes are recognised. Each is planted wherever it can be made.

In every lesson each mistake of the catalogue is made at each place, the wrong gradient is worked
out, shaken by a little rounding, and diagnosed. Right values are diagnosed too: none may be
blamed. What cannot be told from the right value with the lesson's numbers is no case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backprop_tui.engine.diagnosis import (
    MISTAKES,
    Change,
    Diagnoser,
    Slip,
    all_slips,
    diagnose_pass,
)
from backprop_tui.engine.diagnosis.whole_pass import backward_order
from backprop_tui.engine.trace import Trace
from backprop_tui.lessons.base import Lesson
from backprop_tui.report.as_json import JSON_VERSION
from backprop_tui.report.layout import Look
from backprop_tui.session import Session

LEARNING_RATE = 0.1
"""Of the update that comes too early."""

KINDS = {
    "here": "made where the value is asked for",
    "above": "made further up, and only the value at the end is known",
    "pass": "made once in a whole pass: where does it begin, is the rest right given that?",
    "two": "two mistakes in one pass",
}


@dataclass(slots=True)
class Count:
    """How many cases, and how they were told."""

    cases: int = 0
    named: int = 0
    """The planted mistake is among those that are named as equally good."""

    first: int = 0
    """It is the first of them."""

    names: int = 0
    """How many different mistakes were named in all."""

    def add(self, other: Count) -> None:
        """Add what another one counted."""
        self.cases += other.cases
        self.named += other.named
        self.first += other.first
        self.names += other.names

    @property
    def share(self) -> float:
        """The share of cases in which the mistake was named; 1 without cases."""
        return self.named / self.cases if self.cases else 1.0


@dataclass(slots=True)
class Figures:
    """What was measured in one lesson, or in all."""

    lesson: str
    planted: dict[str, Count] = field(default_factory=lambda: {kind: Count() for kind in KINDS})
    by_mistake: dict[str, Count] = field(default_factory=dict)
    right: int = 0
    """Right values that were diagnosed."""

    blamed: int = 0
    """How many of them were not taken for right."""

    missed: list[str] = field(default_factory=list)
    """The cases in which the planted mistake was not named, in words."""

    def add(self, other: Figures) -> None:
        """Add what was measured in another lesson."""
        for kind, count in other.planted.items():
            self.planted[kind].add(count)
        for mistake, count in other.by_mistake.items():
            self.by_mistake.setdefault(mistake, Count()).add(count)
        self.right += other.right
        self.blamed += other.blamed
        self.missed += [f"{other.lesson}: {case}" for case in other.missed]


GOAL = 0.95
"""The least share of cases in which the planted mistake must be named, of each kind."""


def good_enough(figures: Figures) -> bool:
    """Whether the goal is reached, and nothing right was blamed."""
    reached = all(count.share >= GOAL for count in figures.planted.values())
    return reached and not figures.blamed


ABOVE = 20
"""How many mistakes further up are tried for each node: there are too many to try all."""

PASSES = 60
"""How many whole passes with one mistake are tried for each lesson, and as many with two."""


def measure(lesson: Lesson, sample: int | None = None, limit: int | None = None) -> Figures:
    """Plant every mistake in a lesson, as it is opened at first and with its nodes in their other
    form. `sample`: only about so many cases for each node, and passes for each lesson;
    `limit`: only about so many nodes."""
    figures = Figures(lesson.id)
    _measure(Session(lesson).trace, figures, sample, limit)
    for name in sorted(lesson.opens):
        session = Session(lesson)
        session.toggle_open(name)
        _measure(session.trace, figures, sample, limit)
    return figures


def _measure(trace: Trace, figures: Figures, sample: int | None, limit: int | None) -> None:
    diagnoser = Diagnoser(trace, learning_rate=LEARNING_RATE)
    names = trace.graph.names
    nodes = [i for i, gradient in enumerate(trace.gradients) if gradient is not None]
    rng = np.random.default_rng(5)
    for node in _some(nodes, limit):
        _measure_right(diagnoser, node, figures, rng)
        _measure_values(diagnoser, node, figures, rng, sample)
    named = [node for node in backward_order(trace, nodes) if names[node].named]
    slips = [
        slip
        for slip in all_slips(diagnoser.sweep, LEARNING_RATE)
        if not slip.reshapes and slip.fixed is None
    ]
    _measure_passes(diagnoser, named, slips, figures, sample or PASSES)
    _measure_pairs(diagnoser, named, slips, figures, sample or PASSES)


def _measure_right(
    diagnoser: Diagnoser, node: int, figures: Figures, rng: np.random.Generator
) -> None:
    value = np.asarray(diagnoser.expected(node))
    largest = float(np.max(np.abs(value), initial=0.0))
    digits = 3 - int(np.floor(np.log10(largest))) if largest > 0.0 and largest < np.inf else 3
    for shown in (value, _shaken(value, rng), np.round(value, digits), value.astype(np.float32)):
        figures.right += 1
        if not diagnoser.diagnose(node, shown).right:
            figures.blamed += 1
            figures.missed.append(f"the right value of {diagnoser.trace.graph.names[node].id}")


def _shaken(value: Any, rng: np.random.Generator) -> Any:
    """A value computed in another order: each cell off by a few units of its last digits."""
    return value * (1.0 + 1e-14 * rng.uniform(-1.0, 1.0, np.shape(value)))


def _measure_values(
    diagnoser: Diagnoser,
    node: int,
    figures: Figures,
    rng: np.random.Generator,
    sample: int | None,
) -> None:
    candidates, _ = diagnoser.candidates(node)
    for kind in ("here", "above"):
        planted = [pair for pair in candidates if (pair[0].node == node) == (kind == "here")]
        few = sample if kind == "here" or sample else ABOVE
        for slip, wrong in _some(planted, few):
            if not np.all(np.isfinite(wrong)):
                continue
            wrong = _shaken(np.asarray(wrong), rng)
            if diagnoser.outcome_if_right(node, wrong) is not None:
                continue
            told = diagnoser.diagnose(node, wrong).mistakes
            _count(diagnoser, figures, kind, slip, told, node)


def _count(
    diagnoser: Diagnoser,
    figures: Figures,
    kind: str,
    slip: Slip,
    told: Sequence[str],
    node: int,
) -> None:
    named = slip.mistake in told
    first = bool(told) and told[0] == slip.mistake
    counted = Count(1, int(named), int(first), len(told))
    figures.planted[kind].add(counted)
    figures.by_mistake.setdefault(slip.mistake, Count()).add(counted)
    if not named:
        ids = diagnoser.trace.graph.names
        figures.missed.append(
            f"{slip.mistake} at {ids[slip.node].id}, seen at {ids[node].id} ({kind}): "
            f"{', '.join(told) or 'not explained'}"
        )


def _some(found: Sequence[Any], sample: int | None) -> Iterator[Any]:
    """About `sample` of the cases, evenly spread; all of them without it."""
    step = 1 if sample is None else max(1, -(-len(found) // sample))
    yield from found[::step]


def _learners_pass(diagnoser: Diagnoser, named: Sequence[int], change: Change) -> dict[int, Any]:
    """The values of all named nodes if something is done differently; {} if that cannot be."""
    try:
        changed = diagnoser.sweep.all_changed(change)
    except (ArithmeticError, ValueError, IndexError, TypeError):
        return {}
    values = {node: changed.get(node, diagnoser.expected(node)) for node in named}
    return values if all(np.all(np.isfinite(value)) for value in values.values()) else {}


def _begins(diagnoser: Diagnoser, values: dict[int, Any]) -> int | None:
    """The first node in backward order whose value is not right."""
    return next((n for n, v in values.items() if diagnoser.outcome_if_right(n, v) is None), None)


def _told(diagnoser: Diagnoser, values: dict[int, Any]) -> dict[int, tuple[str, ...]]:
    """What is said of a whole pass: for each node that is wrong in itself the mistakes named."""
    names = diagnoser.trace.graph.names
    by_name = {names[node].id: value for node, value in values.items()}
    found = diagnose_pass(diagnoser.trace, by_name, learning_rate=LEARNING_RATE)
    return {told.node: told.diagnosis.mistakes for told in found.mistakes}


def _measure_passes(
    diagnoser: Diagnoser,
    named: Sequence[int],
    slips: Sequence[Slip],
    figures: Figures,
    sample: int,
) -> None:
    for slip in _some(slips, sample):
        values = _learners_pass(diagnoser, named, slip.change)
        begins = _begins(diagnoser, values)
        if begins is None:
            continue
        told = _told(diagnoser, values)
        # The first must be the planted one; the others are right given it, or the same again.
        others = [m for node, m in told.items() if slip.mistake not in m and node != begins]
        heard = told.get(begins, ()) if not others else ()
        _count(diagnoser, figures, "pass", slip, heard, begins)


def _measure_pairs(
    diagnoser: Diagnoser,
    named: Sequence[int],
    slips: Sequence[Slip],
    figures: Figures,
    sample: int,
) -> None:
    alone = [slip for slip in slips if not slip.everywhere and slip.mistake != "after-update"]
    few = list(_some(alone, sample))
    # Each with one from elsewhere in the list, that is in the graph.
    for slip, other in zip(few, few[len(few) // 3 :] + few[: len(few) // 3], strict=True):
        starts = [
            _begins(diagnoser, _learners_pass(diagnoser, named, one.change))
            for one in (slip, other)
        ]
        if None in starts or starts[0] == starts[1]:
            continue
        edges = {**slip.change.edges, **other.change.edges}
        both = Change(edges, {**slip.change.collects, **other.change.collects})
        values = _learners_pass(diagnoser, named, both)
        if not _shows_both(diagnoser, values, starts):
            continue
        told = _told(diagnoser, values)
        for one, start in zip((slip, other), starts, strict=True):
            _count(diagnoser, figures, "two", one, told.get(start or 0, ()), start or 0)


def _shows_both(diagnoser: Diagnoser, values: dict[int, Any], starts: Sequence[int | None]) -> bool:
    """Whether each of two mistakes shows at its place, given the learner's values before it.

    Two may also cancel out, and then the value is right.
    """
    for start in starts:
        if start is None or start not in values:
            return False
        if diagnoser.outcome_if_right(start, values[start]) is not None:
            return False
        order = list(values)
        given = {node: _plain(values[node]) for node in order[: order.index(start)]}
        judge = Diagnoser(diagnoser.trace, given, rounding=diagnoser.rounding)
        if judge.outcome_if_right(start, values[start]) is not None:
            return False
    return True


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


# ── as text and as JSON ───────────────────────────────────────────────────────────────────────


def in_all(measured: Iterable[Figures]) -> Figures:
    """The sum over lessons."""
    total = Figures("all")
    for figures in measured:
        total.add(figures)
    return total


def diagnosis_line(figures: Figures, look: Look, width: int) -> str:
    """A lesson in one line: for each kind named of cases, and right values blamed."""
    sign = "✓" if good_enough(figures) else "✗"
    kinds = "  ".join(
        f"{kind} {count.named:>5,}/{count.cases:<5,}" for kind, count in figures.planted.items()
    )
    return look.text(f"{sign} {figures.lesson:<{width}} {kinds}  blamed {figures.blamed}")


def diagnosis_summary(total: Figures, look: Look) -> Iterator[str]:
    """What it all comes to, with the cases that were missed."""
    yield ""
    for kind, count in total.planted.items():
        if count.cases:
            first, names = count.first / count.cases, count.names / count.cases
            yield from look.wrapped(
                f"{kind}: {count.share:.1%} of {count.cases:,} named, {first:.1%} as the first of "
                f"{names:.1f} equally good ones ({KINDS[kind]})."
            )
    yield from look.wrapped(f"right values: {total.blamed} of {total.right:,} blamed.")
    for case in total.missed[:20]:
        yield from look.wrapped(f"missed: {case}", "  ")
    if len(total.missed) > 20:
        yield look.text(f"  … and {len(total.missed) - 20:,} more")


def diagnosis_json(measured: Sequence[Figures]) -> dict[str, Any]:
    """The figures, as docs/json.md describes them."""
    total = in_all(measured)
    return {
        "version": JSON_VERSION,
        "good_enough": good_enough(total),
        **_figures_json(total),
        "mistakes": {
            mistake: _count_json(total.by_mistake.get(mistake, Count())) for mistake in MISTAKES
        },
        "lessons": [{"lesson": one.lesson, **_figures_json(one)} for one in measured],
    }


def _figures_json(figures: Figures) -> dict[str, Any]:
    return {
        "planted": {kind: _count_json(count) for kind, count in figures.planted.items()},
        "right": figures.right,
        "blamed": figures.blamed,
    }


def _count_json(count: Count) -> dict[str, int]:
    return {
        "cases": count.cases,
        "named": count.named,
        "first": count.first,
        "names": count.names,
    }
