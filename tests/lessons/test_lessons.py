"""Every lesson: torch agrees, its equations are true, its published numbers come out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from engine_checks import assert_close, by_torch, leaf_gradients

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import UnknownLesson, catalogue, find_lesson, ids
from backprop_tui.lessons.base import (
    Equation,
    Leaf,
    Lesson,
    as_value,
    default_leaves,
    fit_leaves,
)
from backprop_tui.lessons.equations import check_equations, equation_holds

LESSONS = catalogue()


def sizes_to_try(lesson: Lesson) -> list[dict[str, int]]:
    """The defaults, and every size at 1 or its minimum, at other values, and at its maximum."""
    tried = [lesson.default_sizes()]
    for size in lesson.sizes:
        for number in {max(1, size.minimum), 5, 7, size.minimum, size.maximum}:
            tried.append({**lesson.default_sizes(), size.name: number})
    if len(lesson.sizes) == 2:
        tried += [dict(zip((s.name for s in lesson.sizes), pair, strict=True))
                  for pair in [(1, 1), (7, 5), (3, 1)]]  # fmt: skip
    return tried


CASES = [
    pytest.param(lesson, sizes, id=f"{lesson.id}-{'-'.join(map(str, sizes.values()))}")
    for lesson in LESSONS
    for sizes in sizes_to_try(lesson)
]


def run(lesson: Lesson, sizes: dict[str, int] | None = None, **changed: Any) -> Trace:
    sizes = sizes or lesson.default_sizes()
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    return backward(record(lesson.program, leaves, sizes, opened=lesson.opening()))


NOTEBOOK = [
    "square", "loss", "squared-loss", "linear", "sum-of-squares", "matrix-linear",
    "recursion", "tanh-recursion", "rnn",
]  # fmt: skip


def test_the_notebooks_lessons_come_in_its_order() -> None:
    assert [lesson_id for lesson_id in ids() if lesson_id in NOTEBOOK] == NOTEBOOK


def test_the_lessons_of_a_chapter_stand_together() -> None:
    chapters = [lesson.chapter for lesson in LESSONS]
    assert len(set(chapters)) == sum(
        one != other for one, other in zip(["", *chapters], chapters, strict=False)
    )
    assert len({lesson.order for lesson in LESSONS}) == len(LESSONS)


def test_prerequisites_exist_and_lead_back_to_a_beginning() -> None:
    known: set[str] = set()
    waiting = {lesson.id: set(lesson.after) for lesson in LESSONS}
    while ready := {lesson_id for lesson_id, after in waiting.items() if after <= known}:
        known |= ready
        for lesson_id in ready:
            del waiting[lesson_id]
    assert not waiting  # else something is unknown, or waits for itself


@pytest.mark.parametrize(("lesson", "sizes"), CASES)
def test_gradients_are_torchs(lesson: Lesson, sizes: dict[str, int]) -> None:
    trace = run(lesson, sizes)
    leaves = default_leaves(lesson, sizes)
    out, gradients = by_torch(lesson.program, leaves, **sizes)
    assert_close(trace.graph[trace.graph.output].value, out, rel=1e-12, what="output")
    for name, gradient in leaf_gradients(trace).items():
        assert_close(gradient, gradients[name], rel=1e-11, what=name)


@pytest.mark.parametrize(("lesson", "sizes"), CASES)
def test_equations_are_true(lesson: Lesson, sizes: dict[str, int]) -> None:
    checked = check_equations(lesson, run(lesson, sizes), sizes)
    for equation, t, left, right in checked:
        assert equation_holds(left, right), f"{equation.left} = {equation.right} (t={t})"
    once = {equation for equation, _, _, _ in checked}
    unchecked = set(lesson.forward + lesson.derivation) - once
    # Only what speaks of steps between the first and the last can be empty, and only at T = 1.
    assert all(e.steps is not None for e in unchecked)
    assert not unchecked or sizes["T"] == 1


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_equations_are_true_at_random_leaves(lesson: Lesson) -> None:
    rng = np.random.default_rng(7)
    leaves = default_leaves(lesson, lesson.default_sizes())
    changed = {k: rng.uniform(-1.3, 1.3, np.shape(v)) for k, v in leaves.items()}
    trace = run(lesson, **changed)
    for equation, t, left, right in check_equations(lesson, trace, lesson.default_sizes()):
        assert equation_holds(left, right), f"{equation.left} = {equation.right} (t={t})"


@pytest.mark.parametrize(
    "wrong",
    [
        Equation("dz[t]", "(1 - z[t]**2) * dh[t]", steps=(1, "T")),  # the notebook's comment
        Equation("dw_h", "sum(h[t] * dz[t] for t in steps(1, T))"),
        Equation("dw_h", "sum(h[t-1] * dz[t] for t in steps(1, T-1))"),
        Equation("dh0", "dz[1]"),
        Equation("y", "w_h * h[T]"),
    ],
    ids=lambda e: e.right,
)
def test_a_wrong_equation_is_noticed(wrong: Equation) -> None:
    lesson = dataclasses.replace(find_lesson("tanh-recursion"), derivation=(wrong,), forward=())
    checked = check_equations(lesson, run(lesson), lesson.default_sizes())
    assert not all(equation_holds(left, right) for _, _, left, right in checked)


def test_an_equation_with_an_unknown_name_says_which() -> None:
    lesson = dataclasses.replace(
        find_lesson("square"), derivation=(Equation("dx", "2*q"),), forward=()
    )
    with pytest.raises(LookupError, match="q"):
        check_equations(lesson, run(lesson), {})


def test_right_but_of_another_shape_does_not_hold() -> None:
    assert not equation_holds(np.ones((2, 2)), np.ones(2))
    assert not equation_holds(1.0, 1.0 + 1e-8)
    assert equation_holds(np.nan, np.nan)


# ── the notebook's numbers ────────────────────────────────────────────────────────────────────

PUBLISHED = [
    # lesson, changed leaves, output, gradients, relative tolerance
    ("square", {}, None, {"x": 0.8622314929962158}, 1e-6),
    ("loss", {}, None, {"x": -1.545842170715332}, 1e-6),
    ("squared-loss", {}, 81.0, {"x": -36.0, "y_actual": 18.0}, 0),
    ("linear", {}, 16.5, {"w": 2.5, "x": 5.0, "b": 1.0}, 0),
    ("sum-of-squares", {}, 62.0, {"x": [2.0, 10.0, 12.0]}, 0),
    ("recursion", {}, 2.0, {"w_h": 2.0, "h0": 4.0}, 0),
    (
        "tanh-recursion", {}, None,
        {"w_h": 8.18880672682621, "w_y": 0.9092516899108887}, 1e-6,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lesson_id", "changed", "output", "gradients", "rel"), PUBLISHED)
def test_the_notebooks_numbers(
    lesson_id: str, changed: Any, output: Any, gradients: Any, rel: float
) -> None:
    trace = run(find_lesson(lesson_id), **changed)
    if output is not None:
        assert trace.graph[trace.graph.output].value == output
    for name, expected in gradients.items():
        np.testing.assert_allclose(leaf_gradients(trace)[name], expected, rtol=rel, err_msg=name)


def test_the_notebooks_matrices() -> None:
    """Printed with four decimals, so the last one may be off by a half of several cells."""
    trace = run(find_lesson("matrix-linear"))
    found = leaf_gradients(trace)
    assert trace.graph[trace.graph.output].value == pytest.approx(11.9209, abs=1e-3)
    np.testing.assert_allclose(found["W"], [[2.0206] * 3, [-1.2311] * 3], atol=3e-4)
    np.testing.assert_allclose(found["X"], [[1.2807, 1.8967]] * 5, atol=2e-4)
    np.testing.assert_array_equal(found["B"], [[5.0, 5.0, 5.0]])


def test_what_must_hold_for_the_recurrent_network() -> None:
    lesson = find_lesson("rnn")
    trace = run(lesson)
    graph, found = trace.graph, leaf_gradients(trace)
    diffs = np.ravel([graph[graph.index_of[f"diff[t={t}]"]].value for t in (1, 2)])
    assert graph[graph.output].value == pytest.approx(np.sum(diffs**2), rel=1e-12)
    np.testing.assert_allclose(found["b_y"], -2 * np.sum(diffs), rtol=1e-12)
    np.testing.assert_allclose(found["b_h"], found["b_x"], rtol=1e-12)
    assert np.any(found["b_x"] != 0.0)


def test_the_notebooks_loss_from_its_differences() -> None:
    """With its diffs 5.6724 and 10.7317: J = 147.3459 and dB_y = −32.8083."""
    zero = {"W_x": np.zeros((3, 1)), "W_h": np.zeros((3, 3)), "W_y": np.zeros((1, 3))}
    zero |= {"b_x": np.zeros(3), "b_h": np.zeros(3), "b_y": np.zeros(1)}
    trace = run(find_lesson("rnn"), **zero, y=[[5.6724], [10.7317], [0.0]])
    assert trace.graph[trace.graph.output].value == pytest.approx(147.3459, abs=1e-3)
    assert leaf_gradients(trace)["b_y"][0] == pytest.approx(-32.8083, abs=2e-4)


# ── leaves and sizes ──────────────────────────────────────────────────────────────────────────

SIZED = [lesson for lesson in LESSONS if lesson.sizes]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_defaults_are_the_published_ones(lesson: Lesson) -> None:
    leaves = default_leaves(lesson, lesson.default_sizes())
    for leaf in lesson.leaves:
        np.testing.assert_array_equal(leaves[leaf.name], leaf.default)
        value = leaves[leaf.name]
        assert type(value) is float or not value.flags.writeable


@pytest.mark.parametrize("lesson", SIZED, ids=lambda lesson: lesson.id)
def test_what_exists_stays_and_what_is_new_does_not_depend_on_the_path(lesson: Lesson) -> None:
    start = default_leaves(lesson, lesson.default_sizes())
    paths = []
    largest = {size.name: size.maximum for size in lesson.sizes}
    middle = {size.name: min(5, size.maximum) for size in lesson.sizes}
    smallest = {size.name: size.minimum for size in lesson.sizes}
    for way in ([largest], [middle, largest], [smallest, middle, smallest, largest],
                [largest, middle, largest]):  # fmt: skip
        leaves = dict(start)
        for sizes in way:
            before = leaves
            leaves = fit_leaves(lesson, leaves, sizes)
            for name, value in leaves.items():
                both = tuple(
                    slice(min(a, b))
                    for a, b in zip(np.shape(value), np.shape(before[name]), strict=True)
                )
                np.testing.assert_array_equal(
                    np.asarray(value)[both], np.asarray(before[name])[both]
                )
        paths.append(leaves)
    # Cells that every path had to invent are the same on all of them. (The path through the
    # smallest size has also lost published cells, and these are invented anew.)
    for name in start:
        for other in (paths[1], paths[3]):
            np.testing.assert_array_equal(paths[0][name], other[name])
        shown = np.shape(start[name])
        new = np.ones(np.shape(paths[0][name]), dtype=bool)
        new[tuple(slice(n) for n in shown)] = False
        np.testing.assert_array_equal(
            np.asarray(paths[0][name])[new], np.asarray(paths[2][name])[new]
        )


@pytest.mark.parametrize("lesson", SIZED, ids=lambda lesson: lesson.id)
def test_new_cells_are_reproducible_and_never_0(lesson: Lesson) -> None:
    largest = {size.name: size.maximum for size in lesson.sizes}
    one, other = default_leaves(lesson, largest), default_leaves(lesson, largest)
    for leaf in lesson.leaves:
        np.testing.assert_array_equal(one[leaf.name], other[leaf.name])
        value = np.asarray(one[leaf.name])
        new = np.ones(value.shape, dtype=bool)
        new[tuple(slice(n) for n in np.shape(leaf.default))] = False
        assert np.all(value[new] != 0.0)


def test_fitting_copies_nothing_that_fits_and_changes_nothing_given() -> None:
    lesson = find_lesson("rnn")
    given = default_leaves(lesson, lesson.default_sizes())
    kept = {k: np.copy(v) for k, v in given.items()}
    fit_leaves(lesson, given, {"T": 9, "hidden": 6})
    for name, value in given.items():
        np.testing.assert_array_equal(value, kept[name])


# ── words ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_notes_name_what_is_in_the_graph(lesson: Lesson) -> None:
    graph = run(lesson).graph
    known = {n.name.base for n in graph if n.name.named}
    assert set(lesson.notes) == known  # each has a sentence that says what to notice
    assert all(note.rstrip().endswith(".") for note in lesson.notes.values())


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_a_lesson_is_complete(lesson: Lesson) -> None:
    assert lesson.title and lesson.chapter and lesson.idea and lesson.references
    assert lesson.mistake.endswith(".") and lesson.minutes > 0
    assert len(lesson.questions) >= 3
    for question in lesson.questions:
        assert question.asks.endswith("?") and question.answer.endswith(".")
    assert lesson.forward and lesson.derivation
    assert len({leaf.name for leaf in lesson.leaves}) == len(lesson.leaves)
    code = lesson.program.__code__
    parameters = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    assert parameters == (*[f.name for f in lesson.leaves], *[s.name for s in lesson.sizes])
    for size in lesson.sizes:
        assert size.minimum <= size.default <= size.maximum
    # Every leaf's gradient is derived by hand, or follows from one that is.
    derived = {e.left.split("[")[0] for e in lesson.derivation}
    assert len(derived) >= 2


def test_an_unknown_lesson_names_the_alternatives() -> None:
    with pytest.raises(UnknownLesson, match="did you mean linear or "):
        find_lesson("linaer")
    with pytest.raises(UnknownLesson, match="known: square, loss"):
        find_lesson("zzz")


def test_leaf_named() -> None:
    lesson = find_lesson("linear")
    assert isinstance(lesson.leaf_named("w"), Leaf)
    with pytest.raises(KeyError):
        lesson.leaf_named("nothing")
