"""Finite differences: where they are easy, where they are hard, and where there are none."""

import math
from typing import Any

import numpy as np
import pytest

from backprop_tui.engine.numeric import Kind, LeafDifference, differences
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import default_leaves


def one(program: Any, **leaves: Any) -> LeafDifference:
    return differences(program, leaves).leaves[next(iter(leaves))]


HARD = {
    "a wave far from 0": (lambda xp, x: xp.sin(x), 1e5, math.cos(1e5)),
    "a wave very far from 0": (lambda xp, x: xp.sin(x), 1e7, math.cos(1e7)),
    "a wave that the step could fit": (
        lambda xp, x: xp.sin(x * 2000 * math.pi), 3.0, 2000 * math.pi
    ),
    "huge": (lambda xp, x: xp.exp(x), 700.0, math.exp(700.0)),
    "just below overflow": (lambda xp, x: xp.exp(x), 709.7, math.exp(709.7)),
    "log of little": (lambda xp, x: xp.log(x), 1e-8, 1e8),
    "one over little": (lambda xp, x: 1 / x, 1e-8, -1e16),
    "root of little": (lambda xp, x: xp.sqrt(x), 1e-8, 5000.0),
    "square of little": (lambda xp, x: x * x, 1e-8, 2e-8),
    "square of next to nothing": (lambda xp, x: x * x, 1e-300, 2e-300),
    "square of much": (lambda xp, x: x**2, 1e6, 2e6),
    "beside a kink": (lambda xp, x: xp.abs(x), 1e-8, 1.0),
    "saturated": (lambda xp, x: xp.tanh(x), 25.0, 0.0),
    "flat": (lambda xp, x: xp.cos(x), 0.0, 0.0),
    "a sum that cancels": (lambda xp, x: (1e10 + x * x) - 1e10, 1.0, 2.0),
    "there and back": (lambda xp, x: xp.log(xp.exp(x)), 700.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_the_error_estimate_covers_the_true_slope(name: str) -> None:
    program, x, slope = HARD[name]
    found = one(program, x=x)
    assert Kind(int(found.kind)) is Kind.OK
    assert abs(float(found.value) - slope) <= float(found.error)
    assert float(found.error) <= 1e-3 * abs(slope) or abs(slope) < 1e-6


def test_a_rule_that_is_off_by_a_little_is_outside_of_the_error() -> None:
    found = one(lambda xp, x: xp.tanh(x) * 3.0, x=0.7)
    slope = 3.0 * (1.0 - math.tanh(0.7) ** 2)
    assert abs(float(found.value) - slope * 1.00001) > float(found.error)


def test_what_rounding_hides_is_uncertain() -> None:
    found = one(lambda xp, x: (1e16 + x) - 1e16, x=1.0)
    assert Kind(int(found.kind)) is Kind.UNCERTAIN


@pytest.mark.parametrize(
    ("program", "left", "right"),
    [
        (lambda xp, x: xp.relu(x), 0.0, 1.0),
        (lambda xp, x: xp.abs(x) * 3, -3.0, 3.0),
        (lambda xp, x: xp.maximum(x, 2 * x), 1.0, 2.0),
        (lambda xp, x: x * 2 if x > 0 else x * 5 * 1, 5.0, 2.0),
    ],
    ids=["relu", "abs", "maximum", "if"],
)
def test_a_kink_has_two_slopes(program: Any, left: float, right: float) -> None:
    found = one(program, x=0.0)
    assert Kind(int(found.kind)) is Kind.KINK
    assert float(found.left) == pytest.approx(left)
    assert float(found.right) == pytest.approx(right)


@pytest.mark.parametrize(
    ("program", "x", "slope"),
    [
        (lambda xp, x: xp.maximum(x, x), 1.5, 1.0),
        (lambda xp, x: xp.abs(x) ** 2, 0.0, 0.0),
        (lambda xp, x: xp.relu(-x * x), 0.0, 0.0),
    ],
    ids=["a tie with itself", "squared", "never crossed"],
)
def test_branches_without_a_kink(program: Any, x: float, slope: float) -> None:
    found = one(program, x=x)
    assert Kind(int(found.kind)) is Kind.OK
    assert abs(float(found.value) - slope) <= float(found.error) + 1e-9


def test_a_kink_in_one_cell_leaves_the_others_alone() -> None:
    found = one(lambda xp, x: xp.relu(x), x=np.array([0.0, 1.0, -2.0]))
    assert [Kind(k) for k in found.kind.tolist()] == [Kind.KINK, Kind.OK, Kind.OK]
    np.testing.assert_allclose(found.value[1:], [1.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ("program", "x"),
    [
        (lambda xp, x: x * x, 1e200),
        (lambda xp, x: xp.sqrt(x), 0.0),
        (lambda xp, x: 1 / x, math.inf),
        (lambda xp, x: x * 1, math.nan),
        (lambda xp, x: xp.log(x), -1.0),
    ],
    ids=["overflow", "edge", "inf", "nan", "no value"],
)
def test_not_finite(program: Any, x: float) -> None:
    found = one(program, x=x)
    assert Kind(int(found.kind)) is Kind.NOT_FINITE
    assert math.isnan(float(found.value))


def test_an_output_that_is_no_scalar_counts_as_its_sum() -> None:
    found = one(lambda xp, x: x * np.array([1.0, 2.0, 4.0]), x=np.array([1.0, 1.0, 1.0]))
    np.testing.assert_allclose(found.value, [1.0, 2.0, 4.0])


def test_shapes_are_those_of_the_leaves() -> None:
    found = differences(lambda xp, a, b: xp.sum(a @ b), {"a": np.ones((2, 3)), "b": np.ones(3)})
    assert [d.value.shape for d in found.leaves.values()] == [(2, 3), (3,)]
    assert [d.kind.shape for d in found.leaves.values()] == [(2, 3), (3,)]


def test_four_evaluations_an_element() -> None:
    lesson = find_lesson("rnn")
    leaves = default_leaves(lesson, lesson.default_sizes())
    found = differences(lesson.program, leaves, lesson.default_sizes())
    cells = sum(np.size(value) for value in leaves.values())
    assert found.evaluations <= 5 * cells
    assert found.complete


def test_the_leaves_are_not_changed() -> None:
    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    differences(lambda xp, x: x * x, {"x": x})
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_it_stops_between_elements() -> None:
    asked = iter([False, False, True])
    found = differences(lambda xp, x: x * x, {"x": np.arange(5.0)}, should_stop=lambda: next(asked))
    assert not found.complete
    assert [Kind(k) for k in found.leaves["x"].kind.tolist()] == [Kind.OK] * 2 + [Kind.UNKNOWN] * 3


def test_a_program_that_refuses_its_leaves_says_so() -> None:
    def program(xp: Any, x: Any) -> Any:
        raise KeyError("no")

    with pytest.raises(KeyError):
        differences(program, {"x": 1.0})


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_every_element_of_every_lesson_has_a_slope(lesson: Any) -> None:
    sizes = lesson.default_sizes()
    found = differences(lesson.program, default_leaves(lesson, sizes), sizes)
    assert {Kind(k) for d in found.leaves.values() for k in np.ravel(d.kind).tolist()} == {Kind.OK}
