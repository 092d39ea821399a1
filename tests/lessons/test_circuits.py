"""The chapter 'Circuits': the numbers that CS231n's notes print, at every gate."""

from __future__ import annotations

import math
from typing import Any

import pytest

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.equations_text import equation_lines
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


# ── circuit and gates: whole numbers, so exactly ──────────────────────────────────────────────


def test_the_circuit_of_two_gates() -> None:
    trace = run("circuit")
    assert {name: value(trace, name) for name in "xyzqf"} == {
        "x": -2.0, "y": 5.0, "z": -4.0, "q": 3.0, "f": -12.0,
    }  # fmt: skip
    assert {name: gradient(trace, name) for name in "xyzqf"} == {
        "x": -4.0, "y": -4.0, "z": 3.0, "q": -4.0, "f": 1.0,
    }  # fmt: skip


def test_add_distributes_max_routes_and_multiply_swaps() -> None:
    trace = run("gates")
    assert {name: value(trace, name) for name in "xyzwpmsf"} == {
        "x": 3.0, "y": -4.0, "z": 2.0, "w": -1.0, "p": -12.0, "m": 2.0, "s": -10.0, "f": -20.0,
    }  # fmt: skip
    assert {name: gradient(trace, name) for name in "xyzwpmsf"} == {
        "x": -8.0, "y": 6.0, "z": 2.0, "w": 0.0, "p": 2.0, "m": 2.0, "s": 2.0, "f": 1.0,
    }  # fmt: skip


def test_the_maximum_routes_to_whichever_is_larger_and_shares_a_tie() -> None:
    lower = run("gates", z=-3.0)
    assert (gradient(lower, "z"), gradient(lower, "w")) == (0.0, 2.0)
    assert (gradient(lower, "x"), gradient(lower, "y")) == (-8.0, 6.0)
    tie = run("gates", z=-1.0)
    assert (gradient(tie, "z"), gradient(tie, "w")) == (1.0, 1.0)


# ── the sigmoid neuron ────────────────────────────────────────────────────────────────────────

NEURON = {  # name: (value, gradient), as printed in the figure, with two decimals
    "w0": (2.0, -0.20), "x0": (-1.0, 0.39), "w1": (-3.0, -0.39), "x1": (-2.0, -0.59),
    "w2": (-3.0, 0.20), "p0": (-2.0, 0.20), "p1": (6.0, 0.20), "s": (4.0, 0.20),
    "dot": (1.0, 0.20), "minus": (-1.0, -0.20), "power": (0.37, -0.53), "den": (1.37, -0.53),
    "f": (0.73, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", NEURON)
def test_the_neurons_numbers(name: str) -> None:
    trace = run("sigmoid-neuron")
    expected_value, expected_gradient = NEURON[name]
    assert value(trace, name) == pytest.approx(expected_value, abs=0.005)
    assert gradient(trace, name) == pytest.approx(expected_gradient, abs=0.005)


def test_the_neurons_numbers_in_full() -> None:
    trace = run("sigmoid-neuron")
    assert value(trace, "f") == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-15)
    assert value(trace, "f") == pytest.approx(0.7310585786300049, rel=1e-15)
    assert gradient(trace, "dot") == pytest.approx(0.19661193324148185, rel=1e-14)
    # What the notes' own code gives for dw and dx.
    assert gradient(trace, "w1") == pytest.approx(-0.3932238664829637, rel=1e-14)
    assert gradient(trace, "x0") == pytest.approx(0.3932238664829637, rel=1e-14)
    assert gradient(trace, "x1") == pytest.approx(-0.5898357997244456, rel=1e-14)


def test_the_neuron_has_the_gates_of_the_notes_figure() -> None:
    graph = run("sigmoid-neuron").graph
    gates = [node.op.name for node in graph if node.op is not None]
    assert gates == ["mul", "mul", "add", "add", "neg", "exp", "add", "div"]


def test_the_sigmoid_as_one_gate_gives_the_same() -> None:
    opened, closed = run("sigmoid-neuron"), run("sigmoid-neuron", names=())
    assert "minus" in indices(opened) and "minus" not in indices(closed)
    for name in ("w0", "x0", "w1", "x1", "w2", "p0", "p1", "s", "dot", "f"):
        assert value(closed, name) == pytest.approx(value(opened, name), rel=1e-14)
        assert gradient(closed, name) == pytest.approx(gradient(opened, name), rel=1e-14)


def test_equations_about_the_gates_inside_are_shown_only_while_it_is_open() -> None:
    lesson = find_lesson("sigmoid-neuron")
    opened = equation_lines(lesson, run("sigmoid-neuron"))
    closed = equation_lines(lesson, run("sigmoid-neuron", names=()))
    assert len(opened.forward) == len(lesson.forward)
    assert len(opened.derivation) == len(lesson.derivation)
    assert [line.text for line in closed.forward] == [
        "dot = w₀ · x₀ + w₁ · x₁ + w₂", "f = σ(dot)",
    ]  # fmt: skip
    assert [line.text for line in closed.derivation][:2] == [
        "∂f/∂f = 1", "∂f/∂dot = f · (1 − f) · ∂f/∂f",
    ]  # fmt: skip


def test_a_large_sum_overflows_only_in_the_primitive_gates() -> None:
    """Why the fused gate is preferred, as the lesson's first answer says."""
    opened, closed = run("sigmoid-neuron", w2=-800.0), run("sigmoid-neuron", names=(), w2=-800.0)
    assert value(opened, "power") == math.inf
    assert math.isnan(gradient(opened, "dot"))
    assert gradient(closed, "dot") == 0.0


def test_the_common_mistake_gives_zeros_at_the_published_numbers() -> None:
    """The lesson says so: with the input in the place of the output, 1·(1 − 1) = 0."""
    dot = value(run("sigmoid-neuron"), "dot")
    assert dot * (1 - dot) == 0.0


# ── the staged expression ─────────────────────────────────────────────────────────────────────


def by_the_notes(x: float, y: float) -> dict[str, float]:
    """The backward pass that the notes derive, a line a stage; the right-hand sides are facts."""
    sigx, sigy = 1 / (1 + math.exp(-x)), 1 / (1 + math.exp(-y))
    num, den = x + sigy, sigx + (x + y) ** 2
    found = {"num": 1 / den, "invden": num}
    found["den"] = -num / den**2
    found["sigx"] = found["xpysqr"] = found["den"]
    found["xpy"] = 2 * (x + y) * found["xpysqr"]
    found["sigy"] = found["num"]
    found["x"] = found["xpy"] + sigx * (1 - sigx) * found["sigx"] + found["num"]
    found["y"] = found["xpy"] + sigy * (1 - sigy) * found["sigy"]
    return found


def test_the_staged_expression() -> None:
    trace = run("staged")
    assert (value(trace, "x"), value(trace, "y")) == (3.0, -4.0)
    assert value(trace, "f") == pytest.approx(1.5456448841066441, rel=1e-14)
    assert gradient(trace, "x") == pytest.approx(2.0595697955721652, rel=1e-14)
    assert gradient(trace, "y") == pytest.approx(1.5922327514838093, rel=1e-14)


@pytest.mark.parametrize(("x", "y"), [(3.0, -4.0), (-0.7, 1.9)])
def test_every_stage_of_the_staged_expression(x: float, y: float) -> None:
    trace = run("staged", x=x, y=y)
    expected = by_the_notes(x, y)
    found = {name: gradient(trace, name) for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_staged_expression_has_the_notes_names_in_their_order() -> None:
    graph = run("staged").graph
    named = [n.name.base for n in graph if n.name.named and n.name.base not in graph.leaves]
    assert named == ["sigy", "num", "sigx", "xpy", "xpysqr", "den", "invden", "f"]
