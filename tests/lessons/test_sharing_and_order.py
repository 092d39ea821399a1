"""The chapter 'Sharing and order': micrograd's numbers, and what goes wrong in another order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from backprop_tui.engine.graph import Graph
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import default_leaves


def run(lesson_id: str, names: tuple[str, ...] | None = None, **changed: float) -> Trace:
    """The lesson with those nodes open that it opens at first, or with those in `names`."""
    lesson = find_lesson(lesson_id)
    leaves = {**default_leaves(lesson, {}), **changed}
    return backward(record(lesson.program, leaves, {}, opened=lesson.opening(names)))


def indices(trace: Trace) -> dict[str, int]:
    """Where each leaf and each named node is, those inside of an open node too."""
    return {node.name.base: i for i, node in enumerate(trace.graph) if node.name.named}


def value(trace: Trace, name: str) -> Any:
    return trace.graph[indices(trace)[name]].value


def gradient(trace: Trace, name: str) -> Any:
    return trace.gradients[indices(trace)[name]]


# ── the diamond, and recursions that do not wait ──────────────────────────────────────────────

Walk = Callable[[dict[str, tuple[str, ...]], dict[str, float], str], None]
"""From (who uses what, gradients so far, node) on: add what the node sends. Sums only: slope 1."""


def sends_all_then_calls_each(
    operands: dict[str, tuple[str, ...]], found: dict[str, float], node: str
) -> None:
    """The naive recursion: contributions to all operands, then the same for each operand."""
    for operand in operands[node]:
        found[operand] += found[node]
    for operand in operands[node]:
        sends_all_then_calls_each(operands, found, operand)


def calls_after_each(
    operands: dict[str, tuple[str, ...]], found: dict[str, float], node: str
) -> None:
    """Naive in another way: an operand is called as soon as it has received anything."""
    for operand in operands[node]:
        found[operand] += found[node]
        calls_after_each(operands, found, operand)


def operands_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Each node of the diamond with what it uses, once a use."""
    return {node.name.base: tuple(graph[i].name.base for i in node.operands) for node in graph}


def walked(walk: Walk, graph: Graph) -> dict[str, float]:
    operands = operands_of(graph)
    assert operands == {"a": (), "b": ("a", "a"), "c": ("b", "b")}
    found = dict.fromkeys(operands, 0.0) | {"c": 1.0}
    walk(operands, found, "c")
    return found


def test_the_diamond() -> None:
    trace = run("diamond")
    assert {name: value(trace, name) for name in "abc"} == {"a": 1.0, "b": 2.0, "c": 4.0}
    assert {name: gradient(trace, name) for name in "abc"} == {"a": 4.0, "b": 2.0, "c": 1.0}


def test_naive_recursion_doubles() -> None:
    graph = run("diamond").graph
    assert walked(sends_all_then_calls_each, graph) == {"a": 8.0, "b": 2.0, "c": 1.0}


def test_calling_an_operand_at_once_is_wrong_too() -> None:
    """The lesson says so: b sends 1 first, and then 2, each of them twice."""
    graph = run("diamond").graph
    assert walked(calls_after_each, graph) == {"a": 6.0, "b": 2.0, "c": 1.0}


def test_each_node_sends_only_when_all_has_arrived() -> None:
    """The steps themselves: b sends after both of c's contributions, and a comes last."""
    trace = run("diamond")
    keys = [step.key for step in trace.steps]
    to_b = [i for i, key in enumerate(keys) if key.startswith("send:c>b")]
    to_a = [i for i, key in enumerate(keys) if key.startswith("send:b>a")]
    assert len(to_b) == len(to_a) == 2
    assert max(to_b) < min(to_a)


def test_a_variable_used_twice() -> None:
    trace = run("two-uses")
    assert {name: value(trace, name) for name in "abdef"} == {
        "a": -2.0, "b": 3.0, "d": -6.0, "e": 1.0, "f": -6.0,
    }  # fmt: skip
    assert {name: gradient(trace, name) for name in "abdef"} == {
        "a": -3.0, "b": -8.0, "d": 1.0, "e": -6.0, "f": 1.0,
    }  # fmt: skip


# ── micrograd ─────────────────────────────────────────────────────────────────────────────────


def test_micrograds_expression() -> None:
    trace = run("micrograd")
    names = ("a", "b", "c", "f", "e", "d", "L")
    assert {name: value(trace, name) for name in names} == {
        "a": 2.0, "b": -3.0, "c": 10.0, "f": -2.0, "e": -6.0, "d": 4.0, "L": -8.0,
    }  # fmt: skip
    assert {name: gradient(trace, name) for name in names} == {
        "a": 6.0, "b": -4.0, "c": -2.0, "f": 4.0, "e": -2.0, "d": -2.0, "L": 1.0,
    }  # fmt: skip


def test_a_step_along_the_gradient() -> None:
    trace = run("micrograd")
    moved = {name: value(trace, name) + 0.01 * gradient(trace, name) for name in "abcf"}
    assert value(run("micrograd", **moved), "L") == pytest.approx(-7.286496, rel=1e-12)
    # And what the lesson's first answer says about it.
    growth = 0.01 * sum(gradient(trace, name) ** 2 for name in "abcf")
    assert growth == pytest.approx(0.72, rel=1e-12)
    assert -7.286496 + 8 == pytest.approx(0.7135, abs=5e-5)


NEURON = {  # name: (value, gradient), as the lecture's picture has them
    "x1": (2.0, -1.5), "w1": (-3.0, 1.0), "x2": (0.0, 0.5), "w2": (1.0, 0.0),
    "b": (6.8813735870195432, 0.5), "x1w1": (-6.0, 0.5), "x2w2": (0.0, 0.5),
    "x1w1x2w2": (-6.0, 0.5), "n": (0.8813735870195432, 0.5), "o": (0.7071067811865476, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", NEURON)
def test_micrograds_neuron(name: str) -> None:
    trace = run("micrograd-neuron")
    expected_value, expected_gradient = NEURON[name]
    assert value(trace, name) == pytest.approx(expected_value, rel=1e-14)
    assert gradient(trace, name) == pytest.approx(expected_gradient, rel=1e-14)


def test_the_neurons_tanh_taken_apart() -> None:
    """(e²ⁿ − 1)/(e²ⁿ + 1): with o = 1/√2, e²ⁿ is (1 + o)/(1 − o) = 3 + 2√2."""
    trace = run("micrograd-neuron")
    root = math.sqrt(2)
    power = 3 + 2 * root
    expected = {  # name: (value, gradient), by the quotient rule
        "double": (math.log(power), 0.25),
        "e": (power, 2 / (power + 1) ** 2),
        "top": (2 + 2 * root, 1 / (power + 1)),
        "bottom": (4 + 2 * root, -(power - 1) / (power + 1) ** 2),
    }
    for name, (expected_value, expected_gradient) in expected.items():
        assert value(trace, name) == pytest.approx(expected_value, rel=1e-13)
        assert gradient(trace, name) == pytest.approx(expected_gradient, rel=1e-13)


def test_tanh_as_one_step_gives_the_same() -> None:
    opened, closed = run("micrograd-neuron"), run("micrograd-neuron", names=())
    assert "e" in indices(opened) and "e" not in indices(closed)
    for name in NEURON:
        assert value(closed, name) == pytest.approx(value(opened, name), rel=1e-14)
        assert gradient(closed, name) == pytest.approx(gradient(opened, name), rel=1e-14)


def test_the_bias_was_chosen_for_a_slope_of_a_half() -> None:
    """tanh n = 1/√2, so n is artanh(1/√2) and 1 − o² is ½."""
    n = value(run("micrograd-neuron"), "n")
    assert n == pytest.approx(math.atanh(math.sqrt(0.5)), rel=1e-14)
    assert 1 - n**2 == pytest.approx(0.2232, abs=5e-5)  # the common mistake, as the lesson says
