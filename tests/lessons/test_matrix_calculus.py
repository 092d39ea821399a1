"""The chapter 'Matrix calculus': the derivatives that Parr and Howard's paper states.

The paper has formulas and no numbers, so its formulas are evaluated here, in plain Python and in
loops over samples, at several places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves


def run(lesson_id: str, sizes: dict[str, int] | None = None, **changed: Any) -> Trace:
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    return backward(record(lesson.program, leaves, sizes, opened=lesson.opening()))


def value(trace: Trace, name: str) -> Any:
    return trace.graph[trace.graph.index_of[name]].value


def gradient(trace: Trace, name: str) -> Any:
    return trace.gradients[trace.graph.index_of[name]]


# ── the three chain rules ─────────────────────────────────────────────────────────────────────

PLACES = [0.8, -0.6, 1.1]


@pytest.mark.parametrize("x", PLACES)
def test_the_single_variable_chain_rule(x: float) -> None:
    """dy/dx = 6x² cos(x³)/sin(x³), and the slopes of the steps along the way."""
    trace = run("chain-rule", x=x)
    sine = math.sin(x**3)
    expected = {
        "u3": 1 / sine**2,
        "u2": 2 / sine,
        "u1": 2 * math.cos(x**3) / sine,
        "x": 6 * x**2 * math.cos(x**3) / sine,
    }
    assert value(trace, "y") == pytest.approx(math.log(sine**2), rel=1e-13)
    assert {name: gradient(trace, name) for name in expected} == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("x", PLACES)
def test_the_total_derivative(x: float) -> None:
    """dy/dx = cos(x + x²)(1 + 2x)."""
    trace = run("total-derivative", x=x)
    slope = math.cos(x + x**2)
    assert value(trace, "y") == pytest.approx(math.sin(x + x**2), rel=1e-13)
    assert gradient(trace, "u2") == pytest.approx(slope, rel=1e-13)
    assert gradient(trace, "u1") == pytest.approx(slope, rel=1e-13)
    assert gradient(trace, "x") == pytest.approx(slope * (1 + 2 * x), rel=1e-13)


def test_what_is_lost_with_one_way_only() -> None:
    """The lesson's mistake: at x = 0 the way through u1 brings nothing, and 1 is right."""
    assert gradient(run("total-derivative", x=0.0), "x") == 1.0


@pytest.mark.parametrize("x", PLACES)
@pytest.mark.parametrize(
    ("v1", "v2", "row"),
    [(1.0, 0.0, lambda x: 2 / x), (0.0, 1.0, lambda x: 3 * math.cos(3 * x))],
)
def test_the_vector_chain_rule_row_by_row(x: float, v1: float, v2: float, row: Any) -> None:
    """The Jacobian [2/x, 3cos(3x)]: v = (1, 0) picks its first row, (0, 1) its second."""
    trace = run("vector-chain-rule", x=x, v1=v1, v2=v2)
    assert gradient(trace, "x") == pytest.approx(row(x), rel=1e-13)
    assert value(trace, "f1") == pytest.approx(math.log(x**2), rel=1e-13)
    assert value(trace, "f2") == pytest.approx(math.sin(3 * x), rel=1e-13)


def test_the_jacobians_are_torchs() -> None:
    """Those that the lesson's equations show, beside torch's own, and their product."""
    x = torch.tensor(0.7, dtype=torch.float64)

    def g(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x**2, 3 * x])

    def f(g: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.log(g[0]), torch.sin(g[1])])

    of_f = torch.autograd.functional.jacobian(f, g(x)).numpy()
    of_g = torch.autograd.functional.jacobian(g, x).numpy()
    np.testing.assert_allclose(of_f, [[1 / 0.7**2, 0], [0, math.cos(2.1)]], rtol=1e-13)
    np.testing.assert_allclose(of_g, [1.4, 3], rtol=1e-13)
    np.testing.assert_allclose(of_f @ of_g, [2 / 0.7, 3 * math.cos(2.1)], rtol=1e-13)
    trace = run("vector-chain-rule")
    v = np.array([1.5, -0.5])
    of_vector = [gradient(trace, name) for name in ("g1", "g2")]
    np.testing.assert_allclose(of_vector, v @ of_f, rtol=1e-13)
    assert gradient(trace, "x") == pytest.approx(v @ of_f @ of_g, rel=1e-13)


def test_torch_refuses_to_go_back_from_a_vector() -> None:
    """The lesson says so."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (x**2).backward()


# ── the neuron ────────────────────────────────────────────────────────────────────────────────


def test_an_active_neurons_gradient_is_its_input() -> None:
    trace = run("neuron")
    assert value(trace, "z") == pytest.approx(0.5 * 2 - 1.2 * 0.7 + 0.8 * 1.5 + 0.3, rel=1e-13)
    np.testing.assert_array_equal(gradient(trace, "w"), [2.0, 0.7, 1.5])
    np.testing.assert_array_equal(gradient(trace, "x"), [0.5, -1.2, 0.8])
    assert gradient(trace, "b") == 1.0
    np.testing.assert_array_equal(gradient(trace, "u"), [1.0, 1.0, 1.0])


def test_a_silent_neurons_gradient_is_0() -> None:
    trace = run("neuron", b=-2.0)
    assert value(trace, "z") < 0.0
    assert value(trace, "activation") == 0.0
    np.testing.assert_array_equal(gradient(trace, "w"), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(trace, "x"), [0.0, 0.0, 0.0])
    assert gradient(trace, "b") == 0.0


def test_at_exactly_0_the_gradient_is_0() -> None:
    trace = run("neuron", w=[1.0, -1.0, 0.0], x=[2.0, 2.0, 5.0], b=0.0)
    assert value(trace, "z") == 0.0
    np.testing.assert_array_equal(gradient(trace, "w"), [0.0, 0.0, 0.0])


# ── its loss ──────────────────────────────────────────────────────────────────────────────────


def by_the_paper(w: Any, b: float, X: Any, y: Any) -> tuple[float, Any, float]:
    """C, ∂C/∂w = (2/N) Σ e·x and ∂C/∂b = (2/N) Σ e, over the active samples, one by one."""
    cost, dw, db, count = 0.0, np.zeros(len(w)), 0.0, len(X)
    for x, target in zip(np.asarray(X), np.asarray(y), strict=True):
        z = math.fsum(a * c for a, c in zip(w, x, strict=True)) + b
        cost += (target - max(0.0, z)) ** 2 / count
        if z > 0.0:
            e = z - target
            dw += 2 / count * e * x
            db += 2 / count * e
    return cost, dw, db


@pytest.mark.parametrize(("N", "n"), [(4, 2), (1, 2), (9, 5), (20, 6), (3, 1)])
def test_the_loss_and_the_errors_that_weigh_the_inputs(N: int, n: int) -> None:
    trace = run("neuron-loss", {"N": N, "n": n})
    w, b, X, y = (value(trace, name) for name in ("w", "b", "X", "y"))
    assert np.shape(X) == (N, n)
    cost, dw, db = by_the_paper(w, b, X, y)
    assert value(trace, "C") == pytest.approx(cost, rel=1e-13)
    np.testing.assert_allclose(gradient(trace, "w"), dw, rtol=1e-12, atol=1e-15)
    assert gradient(trace, "b") == pytest.approx(db, rel=1e-12)


def test_the_given_samples() -> None:
    """By hand: errors −0.7, (−1, silent), 1, 0.3; half of their sum, weighted by the inputs."""
    trace = run("neuron-loss")
    np.testing.assert_allclose(value(trace, "z"), [1.3, -1.6, 1.9, 0.7], rtol=1e-13)
    np.testing.assert_allclose(value(trace, "v"), [0.7, 1.0, -1.0, -0.3], rtol=1e-13)
    np.testing.assert_allclose(gradient(trace, "w"), [-0.125, -1.3125], rtol=1e-12)
    assert gradient(trace, "b") == pytest.approx(0.3, rel=1e-12)
    np.testing.assert_allclose(gradient(trace, "z"), [-0.35, 0.0, 0.5, 0.15], rtol=1e-12)
    np.testing.assert_array_equal(gradient(trace, "X")[1], [0.0, 0.0])


def test_samples_put_in_twice_change_nothing() -> None:
    """As the lesson's answer says: that is what 1/N is for."""
    once = run("neuron-loss")
    X, y = value(once, "X"), value(once, "y")
    twice = run("neuron-loss", {"N": 8}, X=np.concatenate([X, X]), y=np.concatenate([y, y]))
    assert value(twice, "C") == pytest.approx(value(once, "C"), rel=1e-13)
    np.testing.assert_allclose(gradient(twice, "w"), gradient(once, "w"), rtol=1e-12)
    assert gradient(twice, "b") == pytest.approx(gradient(once, "b"), rel=1e-12)


def test_a_step_against_the_gradient_lowers_the_loss_and_one_along_it_does_not() -> None:
    start = run("neuron-loss")

    def moved(step: float) -> float:
        w = value(start, "w") + step * gradient(start, "w")
        b = value(start, "b") + step * gradient(start, "b")
        cost: float = value(run("neuron-loss", w=w, b=b), "C")
        return cost

    assert moved(-0.01) < value(start, "C") < moved(0.01)
