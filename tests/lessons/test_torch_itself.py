"""Torch itself: the script's states, predicted by hand, are torch's, and a wrong one is caught."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.script import (
    FIELDS,
    Actual,
    Raises,
    Script,
    ScriptRun,
    Statement,
    TensorState,
    compare_script,
)
from backprop_tui.reference.torch_script import run_script
from backprop_tui.report import Look
from backprop_tui.report.check import check_lesson, check_lines
from backprop_tui.script_text import outcome_text, sum_segments, sum_value

SCRIPTED = [lesson for lesson in catalogue() if lesson.script is not None]


def script_of(lesson: Lesson) -> Script:
    assert lesson.script is not None
    return lesson.script


PLUMBING = script_of(find_lesson("plumbing"))
ATTRIBUTES = [name for name in FIELDS if name != "made"]


def plain(value: Any) -> Any:
    """A tensor's attribute as a number, a truth value, a name or None."""
    if isinstance(value, torch.Tensor):
        return value.item()
    return value if value is None or isinstance(value, bool) else value.name()


def by_torch(script: Script) -> list[tuple[dict[str, dict[str, Any]], str | None]]:
    """The script run here, without anything of ours: each tensor's attributes, and each error."""
    names: dict[str, Any] = {"torch": torch}
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of asking a non-leaf for its gradient
        for statement in script.statements:
            error = None
            try:
                exec(statement.code, names)
            except RuntimeError as refused:
                error = f"RuntimeError: {refused}"
            tensors = {k: v for k, v in names.items() if isinstance(v, torch.Tensor)}
            states = {
                name: {"value": tensor.item()}
                | {what: plain(getattr(tensor, what)) for what in ATTRIBUTES if what != "value"}
                for name, tensor in tensors.items()
            }
            found.append((states, error))
    return found


@pytest.mark.parametrize("lesson", SCRIPTED, ids=lambda lesson: lesson.id)
def test_every_state_is_torchs_own(lesson: Lesson) -> None:
    script = script_of(lesson)
    compared = 0
    for number, (moment, (states, error)) in enumerate(
        zip(script.moments(), by_torch(script), strict=True), 1
    ):
        predicted = {
            name: {what: getattr(state, what) for what in ATTRIBUTES}
            for name, state in moment.states.items()
        }
        assert predicted == states, f"after statement {number}"
        assert (moment.raises is None) == (error is None)
        if moment.raises is not None and error is not None:
            assert error.startswith(f"{moment.raises.kind}: ")
            assert moment.raises.saying in error
        compared += len(states)
    assert compared > 4 * len(script.statements)


def test_the_worked_numbers() -> None:
    """w = 3, x = 2: z = 6, L = 36, ∂L/∂z = 2·6, ∂L/∂w = 2·6·2; then M = w·d with d = 6."""
    grads = [moment.states["w"].grad for moment in PLUMBING.moments()]
    assert grads[3:6] == [None, 24, 24]
    assert grads[9:13] == [48, 72, 0, None]
    assert grads[15:] == [6, 6, 6, 6, None]
    assert [moment.states["w"].value for moment in PLUMBING.moments()][16:] == [3, 2.25, 2.25, 1.5]
    assert [PLUMBING.moments()[i].states["z"].grad for i in (7, 9, 10, 19)] == [None, 12, 24, 24]


@pytest.mark.parametrize("lesson", SCRIPTED, ids=lambda lesson: lesson.id)
def test_what_the_reference_reports_agrees(lesson: Lesson) -> None:
    script = script_of(lesson)
    comparison = compare_script(script, run_script(script))
    assert comparison.mismatches == ()
    assert comparison.statements == len(script.statements)
    assert comparison.cells == len(FIELDS) * sum(len(m.states) for m in script.moments())


def test_made_follows_the_object_and_not_the_name() -> None:
    """In place it stays the same tensor; an assignment makes another one."""
    made = [moment.states["w"].made for moment in run_script(PLUMBING).moments]
    assert made == [1] * 19 + [20]
    assert [m.states["z"].made for m in run_script(PLUMBING).moments[2:]] == [3] * 4 + [7] * 14


def test_the_lesson_shows_what_it_promises() -> None:
    codes = [statement.code for statement in PLUMBING.statements]
    for part in (
        "requires_grad=True", ".backward()", "retain_grad()", "retain_graph=True", "zero_()",
        "grad = None", "detach()", "no_grad()",
    ):  # fmt: skip
        assert any(part in code for code in codes), part
    assert sum(statement.raises is not None for statement in PLUMBING.statements) == 2


@pytest.mark.parametrize("lesson", SCRIPTED, ids=lambda lesson: lesson.id)
def test_sums_come_to_what_is_predicted(lesson: Lesson) -> None:
    script = script_of(lesson)
    before: dict[str, TensorState] = {}
    for number, (statement, moment) in enumerate(
        zip(script.statements, script.moments(), strict=True), 1
    ):
        explained = set()
        for told in statement.sums:
            name, _, gradient = told.of.partition(".")
            state = moment.states[name]
            assert sum_value(told, before) == (state.grad if gradient else state.value)
            explained.add(told.of)
        # Whatever has another number now, and was not written down in the code, is derived.
        for name, state in moment.states.items():
            old = before.get(name)
            if state.grad not in (old.grad if old else None, None, 0.0):
                assert f"{name}.grad" in explained, number
            if (old is None or old.value != state.value) and "torch.tensor(" not in statement.code:
                assert name in explained, number
        before = dict(moment.states)


@pytest.mark.parametrize("lesson", SCRIPTED, ids=lambda lesson: lesson.id)
def test_numbers_are_exact_in_float32(lesson: Lesson) -> None:
    for moment in script_of(lesson).moments():
        for state in moment.states.values():
            for number in (state.value, state.grad):
                assert number is None or float(np.float32(number)) == number


@pytest.mark.parametrize("lesson", SCRIPTED, ids=lambda lesson: lesson.id)
def test_every_statement_says_what_to_notice(lesson: Lesson) -> None:
    script = script_of(lesson)
    assert script.intro.endswith(".")
    for statement in script.statements:
        assert statement.note.endswith(".")
        assert len(statement.code) <= 44  # so that it stands beside the table


# ── what is wrong is caught ───────────────────────────────────────────────────────────────────


def changed(script: Script, place: int, **fields: Any) -> Script:
    statements = list(script.statements)
    statements[place] = replace(statements[place], **fields)
    return replace(script, statements=tuple(statements))


W = PLUMBING.moments()[4].states["w"]
WRONG: dict[str, tuple[str, Callable[[TensorState], TensorState]]] = {
    "value": ("w.value", lambda w: replace(w, value=3.0000002)),
    "is_leaf": ("w.is_leaf", lambda w: replace(w, is_leaf=False)),
    "requires_grad": ("w.requires_grad", lambda w: replace(w, requires_grad=False)),
    "retains_grad": ("w.retains_grad", lambda w: replace(w, retains_grad=True)),
    "grad": ("w.grad", lambda w: replace(w, grad=12.0)),
    "no grad": ("w.grad", lambda w: replace(w, grad=None)),
    "grad_fn": ("w.grad_fn", lambda w: replace(w, grad_fn="AddBackward0")),
    "made": ("w.made", lambda w: replace(w, made=2)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_prediction_is_caught_at_its_statement(wrong: str) -> None:
    what, spoil = WRONG[wrong]
    script = changed(PLUMBING, 4, changes={"w": spoil(W)})
    first = compare_script(script, run_script(script)).mismatches[0]
    assert (first.statement, first.what) == (5, what)


def test_a_zero_gradient_is_not_the_same_as_none() -> None:
    script = changed(PLUMBING, 12, changes={"w": replace(W, grad=0.0)})
    found = compare_script(script, run_script(script)).mismatches
    assert [str(m) for m in found[:1]] == [
        "after statement 13, w.grad is 0.0 by hand and None by torch"
    ]


def test_a_forgotten_change_a_tensor_too_many_and_one_too_few_are_caught() -> None:
    forgotten = changed(PLUMBING, 4, changes={})
    assert compare_script(forgotten, run_script(forgotten)).mismatches[0].what == "w.grad"
    invented = changed(PLUMBING, 4, changes={"w": W, "q": W})
    assert compare_script(invented, run_script(invented)).mismatches[0].what == "q"
    missing = changed(PLUMBING, 1, changes={})
    assert compare_script(missing, run_script(missing)).mismatches[0].what == "x"


@pytest.mark.parametrize(
    ("place", "raises"),
    [
        (5, None),
        (5, Raises("ValueError", "a second time")),
        (5, Raises("RuntimeError", "a leaf Variable")),
        (6, Raises("RuntimeError", "a second time")),
    ],
)
def test_a_wrong_outcome_is_caught(place: int, raises: Raises | None) -> None:
    script = changed(PLUMBING, place, raises=raises)
    found = compare_script(script, run_script(script)).mismatches
    assert [(m.statement, m.what) for m in found] == [(place + 1, "error")]


def test_a_run_of_another_script_is_refused() -> None:
    run = run_script(PLUMBING)
    with pytest.raises(ValueError, match="20 statements, but 19"):
        compare_script(PLUMBING, ScriptRun(run.moments[:-1]))


def test_check_does_not_agree_when_the_script_is_wrong() -> None:
    script = changed(PLUMBING, 4, changes={"w": replace(W, grad=12.0)})
    lesson = dataclasses.replace(find_lesson("plumbing"), script=script)
    checked = check_lesson(lesson)
    assert not checked.agree
    assert all(run.agree for run in checked.runs)
    lines = list(check_lines(checked, Look(), 8))
    assert lines[0].startswith("✗ plumbing differs")
    text = " ".join(" ".join(lines[1:]).split())
    assert "its script: after statement 5, w.grad is 12.0 by hand and 24.0 by torch" in text
    assert check_lesson(find_lesson("plumbing")).agree


# ── running ───────────────────────────────────────────────────────────────────────────────────


def test_the_script_goes_on_after_any_error_and_warns_of_nothing() -> None:
    codes = ["a = torch.tensor(2.0)", "a +", "b", "1 / 0", "b = a * a", "b.grad"]
    script = Script("", tuple(Statement(code, "") for code in codes))
    run = run_script(script)
    kinds = [m.raised and m.raised.split(":")[0] for m in run.moments]
    assert kinds == [None, "SyntaxError", "NameError", "ZeroDivisionError", None, None]
    assert list(run.moments[-1].states) == ["a", "b"]


def test_grad_mode_is_as_usual_before_and_after() -> None:
    with torch.no_grad():
        run = run_script(PLUMBING)
        assert not torch.is_grad_enabled()
    assert compare_script(PLUMBING, run).agree


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def told(place: int) -> list[str]:
    before = PLUMBING.moments()[place - 1].states
    return [
        "".join(segment.text for segment in sum_segments(s, before))
        for s in PLUMBING.statements[place].sums
    ]


def test_sums_in_symbols_and_numbers() -> None:
    assert told(4) == ["w.grad = 2 · z · x = 2 · 6 · 2 = 24"]
    assert told(9) == [
        "w.grad = w.grad before + 2 · z · x = 24 + 2 · 6 · 2 = 48",
        "z.grad = 2 · z = 2 · 6 = 12",
    ]
    assert told(13) == ["d = z = 6"]
    assert told(17) == ["w = w before − 0.125 · w.grad = 3 − 0.125 · 6 = 2.25"]


def test_outcomes_in_words() -> None:
    raises = Raises("RuntimeError", "no")
    assert outcome_text(None, None) == outcome_text(None, Actual({})) == ""
    assert outcome_text(raises, None) == "By hand: RuntimeError, “… no …”."
    said = "✓ As predicted, torch raises RuntimeError: no!"
    assert outcome_text(raises, Actual({}, "RuntimeError: no!")) == said
    assert outcome_text(raises, Actual({})).startswith("✗ Torch runs it")
    wrong = outcome_text(None, Actual({}, "RuntimeError: no!"))
    assert wrong == "✗ Not predicted: torch raises RuntimeError: no!"
