"""Softmax with cross-entropy, and backprop ninja: published numbers, torch's retained gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import leaf_gradients

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.formula import Symbol, as_text, evaluate, render
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.equations_text import equation_lines
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves


def run(lesson_id: str, *, closed: bool = False, sizes: Any = None, **changed: Any) -> Trace:
    """A lesson as it is at first, or closed, or with some leaves changed."""
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    opened = lesson.opening(() if closed else None)
    return backward(record(lesson.program, leaves, sizes, opened=opened))


def value(trace: Trace, name: str) -> Any:
    """The value of the node with a base name."""
    return trace.graph[index(trace, name)].value


def gradient(trace: Trace, name: str) -> Any:
    """The gradient of the node with a base name."""
    return trace.gradients[index(trace, name)]


def index(trace: Trace, name: str) -> int:
    (found,) = [k for k, n in enumerate(trace.graph.names) if n.named and n.base == name]
    return found


# ── formulas that these lessons' equations use ────────────────────────────────────────────────


def test_onehot_and_sums_over_rows_in_formulas() -> None:
    found = evaluate("onehot(array(2, 0), 3)", {})
    np.testing.assert_array_equal(found, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    found = evaluate("add_rows(a)", {"a": np.array([[1.0, 2.0], [3.0, 5.0]])})
    np.testing.assert_array_equal(found, [4.0, 7.0])

    def symbols(name: str, _: str | None) -> Symbol:
        return Symbol(name, scalar=False)

    text = as_text(render("add_rows(a) * onehot(array(2, 0), 3)", symbols))
    assert text == "Σ rows(a) ⊙ onehot([2, 0], 3)"


# ── softmax ───────────────────────────────────────────────────────────────────────────────────

Y = [2, 0, 1, 1]
SCORES = [[-2.85, 0.86, 0.28], [1.0, -2.0, 0.0], [0.5, -1.0, 0.0]]


def test_softmax_has_the_published_probabilities_and_loss() -> None:
    """CS231n, rounded there to two decimals: [0.7, 0.04, 0.26], [0.55, 0.12, 0.33], 1.04."""
    trace = run("softmax")
    np.testing.assert_array_equal(value(trace, "logits")[:3], SCORES)
    probs = value(trace, "probs")
    np.testing.assert_allclose(probs[1], [0.7, 0.04, 0.26], atol=6e-3)
    np.testing.assert_allclose(probs[2], [0.55, 0.12, 0.33], atol=6e-3)
    assert -value(trace, "picked")[0] == pytest.approx(1.04, abs=5e-3)


@pytest.mark.parametrize("closed", [False, True], ids=["in steps", "fused"])
def test_softmax_is_torchs_cross_entropy(closed: bool) -> None:
    trace = run("softmax", closed=closed)
    logits = torch.tensor(value(trace, "logits"), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(Y))
    loss.backward()
    assert value(trace, "loss") == pytest.approx(loss.item(), rel=1e-14)
    np.testing.assert_allclose(leaf_gradients(trace)["logits"], logits.grad, atol=1e-16)


def test_softmax_gradient_is_the_fused_formula_in_both_forms() -> None:
    for closed in (False, True):
        trace = run("softmax", closed=closed)
        expected = torch.softmax(torch.tensor(value(trace, "logits")), 1).numpy()
        expected[range(4), Y] -= 1.0
        np.testing.assert_allclose(gradient(trace, "logits"), expected / 4, atol=1e-16)
        if not closed:
            np.testing.assert_allclose(gradient(trace, "norm_logits"), expected / 4, atol=1e-16)


def test_softmax_forms_agree_and_the_closed_one_is_a_single_step() -> None:
    found = agreement(run("softmax"), run("softmax", closed=True))
    assert found.agree and found.worst < 1e-15
    assert (found.one_count, found.other_count) == (10, 1)


def test_softmax_closed_shows_only_what_is_there() -> None:
    trace = run("softmax", closed=True)
    lines = equation_lines(find_lesson("softmax"), trace)
    assert [line.text for line in lines.forward] == [
        "loss = −Σ(onehot([2, 0, 1, 1], 3) ⊙ log_softmax(logits)) / 4"
    ]
    assert [line.text for line in lines.derivation] == [
        "∂loss/∂logits = (softmax(logits) − onehot([2, 0, 1, 1], 3)) / 4"
    ]


def test_softmax_rows_add_up_to_0_and_the_maxima_receive_nothing() -> None:
    trace = run("softmax")
    np.testing.assert_allclose(np.sum(gradient(trace, "logits"), axis=1), 0.0, atol=1e-16)
    np.testing.assert_allclose(gradient(trace, "logit_maxes"), 0.0, atol=1e-16)
    assert np.all(np.abs(gradient(trace, "norm_logits")) > 1e-3)  # unlike these


def test_softmax_does_not_see_a_common_shift() -> None:
    trace = run("softmax")
    probs = value(trace, "probs")
    np.testing.assert_allclose(value(trace, "logits")[3], np.add(SCORES[0], 10.0), rtol=1e-15)
    np.testing.assert_allclose(probs[3], probs[0], rtol=1e-14)


def test_softmax_what_its_words_say_about_numbers() -> None:
    """log 3 without any idea; 0.5514 for a perfect answer given as probabilities; overflow."""
    assert value(run("softmax", logits=np.zeros((4, 3))), "loss") == pytest.approx(np.log(3))
    assert "log 3 = 1.0986" in find_lesson("softmax").notes["loss"]
    assert round(float(np.log(3)), 4) == 1.0986
    perfect = value(run("softmax", logits=np.eye(3)[Y]), "loss")
    assert perfect == pytest.approx(np.log((np.e + 2) / np.e), rel=1e-14)
    assert round(perfect, 4) == 0.5514 and "0.5514" in find_lesson("softmax").mistake
    large = run("softmax", logits=[[123.0, 456.0, 789.0]] * 4)
    assert np.isfinite(value(large, "loss"))
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.exp([123.0, 456.0, 789.0])
        assert np.isnan((power / np.sum(power))[2])


@pytest.mark.parametrize("p", [0.9, 0.1])
def test_softmax_pulls_harder_where_it_is_more_wrong(p: float) -> None:
    row = [np.log((1 - p) / 2)] * 3
    logits = [[*row] for _ in Y]
    for sample, right in enumerate(Y):
        logits[sample][right] = np.log(p)
    found = gradient(run("softmax", logits=logits), "logits")
    np.testing.assert_allclose(found[range(4), Y], (p - 1) / 4, rtol=1e-12)
