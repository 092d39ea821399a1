"""Every node of every lesson that opens: both forms agree, and torch agrees with each."""

from __future__ import annotations

import dataclasses

import pytest

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.compare import compare
from backprop_tui.engine.formula import FUNCTIONS
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Equation
from backprop_tui.lessons.equations import _names, check_equations, equation_holds
from backprop_tui.reference.torch_run import run_torch
from backprop_tui.session import Session

FORMS = [(lesson.id, name) for lesson in catalogue() for name in Session(lesson).openable_names()]


def test_what_a_lesson_opens_is_a_node_that_opens() -> None:
    named = {(lesson.id, name) for lesson in catalogue() for name in lesson.opens}
    assert named
    assert named <= set(FORMS)
    assert all(
        set(lesson.opened) <= {n for i, n in FORMS if i == lesson.id} for lesson in catalogue()
    )


@pytest.mark.parametrize(("lesson_id", "name"), FORMS)
def test_both_forms_agree_with_each_other_and_with_torch(lesson_id: str, name: str) -> None:
    session = Session(find_lesson(lesson_id))
    was_open = name in session.inputs.opened
    before = session.trace
    assert session.toggle_open(name) is not was_open
    found = agreement(before, session.trace)
    assert found.agree, [node.id for node in found.shared if not node.agrees]
    assert found.one_count != found.other_count
    leaves = set(before.graph.leaves)
    assert leaves <= {node.id for node in found.shared}
    inputs = session.inputs
    torch = run_torch(
        session.lesson.program,
        inputs.leaves,
        inputs.sizes,
        edges=True,
        opened=session.lesson.opening(inputs.opened),
    )
    summary = compare(session.trace, torch, None, torch_expected=False).summary()
    assert not summary.differing and not summary.absent
    assert summary.edges == len(session.trace.order)


@pytest.mark.parametrize("lesson_id", sorted({i for i, _ in FORMS if find_lesson(i).opened}))
def test_equations_of_what_both_forms_have_are_true_in_the_closed_one(lesson_id: str) -> None:
    lesson = find_lesson(lesson_id)
    session = Session(lesson)
    for name in lesson.opened:
        session.toggle_open(name)
    known = {name.base for name in session.trace.graph.names if name.named}
    others = {*FUNCTIONS, *lesson.default_sizes(), "t", "expand"}

    def is_there(equation: Equation) -> bool:
        indexed, plain = _names(equation)
        names = (indexed | plain) - others
        return all(n in known or (n.startswith("d") and n[1:] in known) for n in names)

    kept = dataclasses.replace(
        lesson,
        forward=tuple(filter(is_there, lesson.forward)),
        derivation=tuple(filter(is_there, lesson.derivation)),
    )
    checked = check_equations(kept, session.trace, session.inputs.sizes)
    assert checked
    for equation, _, left, right in checked:
        assert equation_holds(left, right), f"{equation.left} = {equation.right}"
