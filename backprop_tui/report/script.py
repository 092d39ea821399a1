"""A lesson's script for the commands: run by torch, compared, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from backprop_tui.engine.formula import as_text
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.script import (
    FIELDS,
    Actual,
    Moment,
    Script,
    ScriptComparison,
    ScriptRun,
    TensorState,
    cell_agrees,
    compare_script,
    outcome_agrees,
)
from backprop_tui.report.layout import Look, table
from backprop_tui.script_text import field_text, outcome_text, sum_segments
from backprop_tui.values import to_json


def script_under_torch(script: Script) -> ScriptRun:
    """What torch says after each statement. Torch must be there."""
    from backprop_tui.reference.torch_script import run_script

    return run_script(script)


def check_script(lesson: Lesson) -> ScriptComparison | None:
    """A lesson's script held against torch, which must be there; None if it has none."""
    if lesson.script is None:
        return None
    return compare_script(lesson.script, script_under_torch(lesson.script))


def script_text(script: Script, run: ScriptRun | None, look: Look) -> Iterator[str]:
    """Each statement, and the state of the tensors that it makes or changes."""
    yield from ("", look.heading("Torch's state, statement by statement"))
    yield from look.wrapped(
        "After each statement stand the tensors that it makes or changes, by hand"
        + (" (torch says the same unless it has a line of its own)." if run else "."),
        "  ",
    )
    before = Moment({})
    for place, (statement, moment) in enumerate(
        zip(script.statements, script.moments(), strict=True)
    ):
        actual = None if run is None else run.moments[place]
        yield ""
        yield look.text(f"  {place + 1:>2}  {statement.code}")
        for told in statement.sums:
            yield look.text(f"        {as_text(sum_segments(told, before.states))}")
        outcome = outcome_text(statement.raises, actual)
        if outcome:
            yield from look.wrapped(outcome, " " * 6)
        yield from _states(moment, before, actual, look)
        yield from (look.aside(line) for line in look.wrapped(statement.note, " " * 6))
        before = moment


def _states(moment: Moment, before: Moment, actual: Actual | None, look: Look) -> Iterator[str]:
    """A table of what is different now, and of what torch says otherwise."""
    rows: list[list[str]] = []
    theirs_of = {} if actual is None else actual.states
    for name in dict.fromkeys([*moment.states, *theirs_of]):
        ours, theirs = moment.states.get(name), theirs_of.get(name)
        wrong = actual is not None and ours != theirs
        if ours != before.states.get(name) or wrong:
            rows.append([name, *_fields(ours)])
        if wrong:
            rows.append(["✗ torch", *_fields(theirs)])
    if rows:
        captions = ["", *FIELDS]
        lines = table([[[look.text(cell)] for cell in row] for row in [captions, *rows]], 2, 6)
        yield look.aside(lines[0])
        yield from lines[1:]


def _fields(state: TensorState | None) -> list[str]:
    if state is None:
        return ["not there", *[""] * (len(FIELDS) - 1)]
    return [field_text(getattr(state, what)) for what in FIELDS]


def script_json(script: Script, run: ScriptRun | None) -> list[dict[str, Any]]:
    """The statements in order, as docs/json.md describes them."""
    found = []
    for place, (statement, moment) in enumerate(
        zip(script.statements, script.moments(), strict=True)
    ):
        actual = None if run is None else run.moments[place]
        found.append(
            {
                "code": statement.code,
                "raises": None if moment.raises is None else moment.raises.kind,
                "torch_raises": None if actual is None else actual.raised,
                "states": {name: _state_json(s) for name, s in moment.states.items()},
                "torch_states": None
                if actual is None
                else {name: _state_json(s) for name, s in actual.states.items()},
                "agree": None if actual is None else _agree(moment, actual),
            }
        )
    return found


def _state_json(state: TensorState) -> dict[str, Any]:
    found = asdict(state)
    return found | {what: to_json(n) for what, n in found.items() if isinstance(n, float)}


def _agree(moment: Moment, actual: Actual) -> bool:
    if moment.states.keys() != actual.states.keys():
        return False
    return outcome_agrees(moment.raises, actual.raised) and all(
        cell_agrees(what, state, actual.states[name])
        for name, state in moment.states.items()
        for what in FIELDS
    )


def checked_json(comparison: ScriptComparison) -> dict[str, Any]:
    """What `check` says of a script."""
    return {
        "statements": comparison.statements,
        "cells": comparison.cells,
        "agree": comparison.agree,
        "where": None if comparison.agree else str(comparison.mismatches[0]),
    }
