"""`check`: lessons held against torch and finite differences, with several sizes and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.compare import Verdict, compare
from backprop_tui.engine.numeric import differences
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.script import ScriptComparison
from backprop_tui.report.as_json import JSON_VERSION
from backprop_tui.report.findings import TorchRefused, blame, count, run_under_torch
from backprop_tui.report.layout import Look
from backprop_tui.report.script import check_script, checked_json
from backprop_tui.session import Session
from backprop_tui.values import format_number, to_json


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """One run of a lesson, compared."""

    sizes: Mapping[str, int]
    seed: int | None
    """None for the lesson's own numbers."""

    agree: bool
    nodes: int
    edges: int
    leaves: int
    max_abs_diff: float
    max_rel_diff: float
    where: str | None
    """If it does not agree, where."""

    other_form: tuple[str, ...] = ()
    """The names of nodes that were open in this run although the lesson has them closed, or the
    other way round."""


@dataclass(frozen=True, slots=True)
class CheckedLesson:
    """All runs of a lesson."""

    lesson: str
    runs: tuple[CheckedRun, ...]
    script: ScriptComparison | None = None
    """Its script's predictions beside torch, if it has a script."""

    @property
    def agree(self) -> bool:
        """Whether all runs agree, and what torch says to the script."""
        script_agrees = self.script is None or self.script.agree
        return script_agrees and all(run.agree for run in self.runs)

    def total(self, what: str) -> int:
        """The sum of a count over the runs."""
        return sum(getattr(run, what) for run in self.runs)

    def worst(self, what: str) -> float:
        """The largest difference of all runs."""
        return max(float(getattr(run, what)) for run in self.runs)


def check_lesson(lesson: Lesson) -> CheckedLesson:
    """Compare a lesson: with its own numbers, then with drawn ones at other sizes.

    Raises NoTorch if torch cannot be had at all.
    """
    runs = [_checked(lesson, *case) for case in _cases(lesson)]
    runs += [_checked_form(lesson, name) for name in sorted(lesson.opens)]
    return CheckedLesson(lesson.id, tuple(runs), check_script(lesson))


def _cases(lesson: Lesson) -> list[tuple[dict[str, int], int | None]]:
    """Sizes and seeds: as published, other numbers, the smallest, somewhat larger."""
    usual = lesson.default_sizes()
    smallest = {size.name: size.minimum for size in lesson.sizes}
    larger = {size.name: min(size.maximum, size.default + 3) for size in lesson.sizes}
    return [(usual, None), (usual, 1), (smallest, 2), (larger, 3)]


def _checked(lesson: Lesson, sizes: dict[str, int], seed: int | None) -> CheckedRun:
    session = Session(lesson, sizes=sizes)
    if seed is not None:
        session.randomise(seed)
    try:
        torch_run, where = run_under_torch(session), None
    except TorchRefused as problem:
        torch_run, where = None, str(problem)
    numeric = differences(lesson.program, session.inputs.leaves, sizes)
    comparison = compare(session.trace, torch_run, numeric, torch_expected=False)
    summary = comparison.summary()
    if summary.differing:
        where = blame(comparison)
    elif where is None and not summary.all_agree:
        where = f"torch has no call for {count(summary.absent, 'node')}"
    return CheckedRun(
        sizes,
        seed,
        where is None,
        summary.nodes,
        summary.edges,
        summary.leaves,
        summary.worst_absolute,
        summary.worst_relative,
        where,
    )


def _checked_form(lesson: Lesson, name: str) -> CheckedRun:
    """The lesson's own numbers with one node in its other form: fused for steps, steps for fused.

    Torch runs that form too, and it is held against the usual one. Finite differences run the
    program as it is written, whatever is open, so they have nothing to add.
    """
    session = Session(lesson)
    usual = session.trace
    session.toggle_open(name)
    try:
        torch_run, where = run_under_torch(session), None
    except TorchRefused as problem:
        torch_run, where = None, str(problem)
    comparison = compare(
        session.trace, torch_run, None, torch_expected=False, numeric_expected=False
    )
    summary = comparison.summary()
    forms = agreement(session.trace, usual)
    if summary.differing:
        where = blame(comparison)
    elif summary.absent:
        where = f"torch has no call for {count(summary.absent, 'node')}"
    elif not forms.agree:
        apart = ", ".join(node.id for node in forms.shared if not node.agrees)
        where = f"the two forms of {name} differ in {apart or 'everything'}"
    return CheckedRun(
        session.inputs.sizes,
        None,
        where is None,
        summary.nodes,
        summary.edges,
        0,
        max(summary.worst_absolute, forms.worst),
        summary.worst_relative,
        where,
        (name,),
    )


def check_lines(checked: CheckedLesson, look: Look, width: int) -> Iterator[str]:
    """A lesson's line, and where it went wrong if it did."""
    counts = " ".join(
        f"{checked.total(what):>{digits},} {what}"
        for what, digits in (("nodes", 6), ("edges", 6), ("leaves", 4))
    )
    furthest = format_number(checked.worst("max_abs_diff"), 2)
    verdict = Verdict.AGREE if checked.agree else Verdict.DIFFER
    words = f"{verdict.sign} {checked.lesson:<{width}} {verdict.word} {counts}"
    yield look.text(f"{words}  off by {furthest}")
    for run in checked.runs:
        if run.where is not None:
            yield from look.wrapped(f"{_case_text(run)}: {run.where}", "    ")
    for wrong in () if checked.script is None else checked.script.mismatches:
        yield from look.wrapped(f"its script: {wrong}", "    ")


def _case_text(run: CheckedRun) -> str:
    numbers = "the lesson's own numbers" if run.seed is None else f"seed {run.seed}"
    if run.other_form:
        numbers += f", the other form of {', '.join(run.other_form)}"
    return ", ".join([numbers, *(f"{name}={size}" for name, size in run.sizes.items())])


def check_summary(checked: Sequence[CheckedLesson], look: Look) -> Iterator[str]:
    """What it all comes to."""
    wrong = [lesson.lesson for lesson in checked if not lesson.agree]
    counts = {what: count(number, what) for what, number in _compared(checked).items()}
    yield ""
    if wrong:
        number = f"{len(wrong)} of {counts['lesson']}"
        yield from look.wrapped(f"✗ {number} not agreeing: {', '.join(wrong)}")
        yield from look.wrapped(
            f"Compared: {counts['node']} and {counts['edge']} with torch, {counts['leaf']} with "
            f"finite differences, in {counts['run']}."
        )
        return
    yield from look.wrapped(
        f"✓ {counts['lesson']}: by hand and torch agree on {counts['node']} and "
        f"{counts['edge']}, by hand and finite differences on {counts['leaf']}, in "
        f"{counts['run']} (each lesson with its own numbers, with others, and at its smallest and "
        "larger sizes)."
    )
    forms = sum(len(run.other_form) for lesson in checked for run in lesson.runs)
    if forms:
        yield from look.wrapped(
            f"✓ {count(forms, 'node')} in two forms, fused and in primitive steps: both agree with "
            "each other and with torch."
        )
    scripts = [c.script for c in checked if c.script is not None]
    if scripts:
        statements = count(sum(s.statements for s in scripts), "statement")
        cells = count(sum(s.cells for s in scripts), "cell")
        yield from look.wrapped(
            f"✓ {count(len(scripts), 'script')}: torch's state is as predicted after "
            f"{statements}, in {cells}."
        )


def _compared(checked: Sequence[CheckedLesson]) -> dict[str, int]:
    """How much was compared in all: of each kind of thing, how many."""
    return {
        "lesson": len(checked),
        "run": sum(len(lesson.runs) for lesson in checked),
        "node": sum(lesson.total("nodes") for lesson in checked),
        "edge": sum(lesson.total("edges") for lesson in checked),
        "leaf": sum(lesson.total("leaves") for lesson in checked),
    }


def check_json(checked: Sequence[CheckedLesson]) -> dict[str, Any]:
    """The outcome of `check`, as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "agree": all(lesson.agree for lesson in checked),
        "compared": {
            ("leaves" if what == "leaf" else f"{what}s"): number
            for what, number in _compared(checked).items()
        },
        "lessons": [
            {
                "lesson": lesson.lesson,
                "agree": lesson.agree,
                "nodes": lesson.total("nodes"),
                "edges": lesson.total("edges"),
                "leaves": lesson.total("leaves"),
                "max_abs_diff": to_json(lesson.worst("max_abs_diff")),
                "max_rel_diff": to_json(lesson.worst("max_rel_diff")),
                "runs": [_run_json(run) for run in lesson.runs],
                **({} if lesson.script is None else {"script": checked_json(lesson.script)}),
            }
            for lesson in checked
        ],
    }


def _run_json(run: CheckedRun) -> dict[str, Any]:
    return {
        "sizes": dict(run.sizes),
        "seed": run.seed,
        "agree": run.agree,
        "nodes": run.nodes,
        "edges": run.edges,
        "leaves": run.leaves,
        "max_abs_diff": to_json(run.max_abs_diff),
        "max_rel_diff": to_json(run.max_rel_diff),
        "where": run.where,
        "other_form": list(run.other_form),
    }
