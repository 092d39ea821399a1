"""The numbers behind the plots: against closed forms, torch, and what histograms must add up to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.plots import (
    KINDS,
    Norms,
    Subject,
    Sweep,
    activation,
    curve_operand,
    histogram,
    middle_outwards,
    nice_step,
    norm,
    norms,
    subjects,
    usual_reach,
    varying_loops,
)
from backprop_tui.session import Session


def trace_of(program: Callable[..., Any], **leaves: Any) -> Trace:
    values = {n: float(v) if np.ndim(v) == 0 else np.array(v, float) for n, v in leaves.items()}
    return backward(record(program, values))


def subject(trace: Trace, kind: Any, name: str) -> Subject:
    return next(s for s in subjects(trace, kind) if s.name == name)


def sweep_of(session: Session, leaf: str, cell: tuple[int, ...] = (), **options: Any) -> Sweep:
    inputs = session.inputs
    return Sweep(
        session.lesson.program, inputs.leaves, inputs.sizes, session.trace, leaf, cell, **options
    )


def finished(sweep: Sweep) -> Sweep:
    while sweep.step():
        pass
    return sweep


# ── the size of the gradient at each time step ────────────────────────────────────────────────


@pytest.mark.parametrize("w_h", [0.5, 2.0])
def test_norms_of_the_tanh_recursion_are_the_product_of_the_steps(w_h: float) -> None:
    T = 9
    session = Session(find_lesson("tanh-recursion"), {"w_h": w_h}, {"T": T})
    trace = session.trace
    h = subject(trace, "norms", "h")
    found = norms(trace, h, h.nodes[0])
    assert found.steps == tuple(str(t) for t in range(T + 1))
    assert found.nodes[0] == trace.graph.leaves["h0"]
    # By hand: h_t = tanh(w·h_{t−1}); |∂y/∂h_t| = |w_y| · Π_{k>t} |w·(1 − h_k²)|.
    states = [0.5]
    for _ in range(T):
        states.append(math.tanh(w_h * states[-1]))
    expected = [
        40.0 * math.prod(w_h * (1 - states[k] ** 2) for k in range(t + 1, T + 1))
        for t in range(T + 1)
    ]
    np.testing.assert_allclose(found.norms, expected, rtol=1e-12)
    assert expected == sorted(expected)  # so that a mean factor says something
    assert found.factor_back == pytest.approx((expected[0] / expected[-1]) ** (1 / T))
    assert found.logarithmic is (max(expected) / min(expected) >= 100)


def test_norms_of_matrices_are_torchs() -> None:
    session = Session(find_lesson("rnn"))
    trace = session.trace
    z = subject(trace, "norms", "z")
    found = norms(trace, z, z.nodes[0])
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in session.inputs.leaves.items()
    }
    kept: list[torch.Tensor] = []

    class Recording:
        """Torch, keeping what goes into tanh."""

        def __getattr__(self, name: str) -> Any:
            if name != "tanh":
                return getattr(torch, name)

            def tanh(z: torch.Tensor) -> torch.Tensor:
                z.retain_grad()
                kept.append(z)
                return torch.tanh(z)

            return tanh

    session.lesson.program(Recording(), **leaves, **session.inputs.sizes).sum().backward()
    expected = [float(torch.linalg.norm(z.grad)) for z in kept if z.grad is not None]
    assert len(expected) == len(found.norms) > 1
    np.testing.assert_allclose(found.norms, expected, rtol=1e-12)


def test_with_two_loops_the_other_one_stands_still() -> None:
    def program(xp: Any, x: Any) -> Any:
        h = x
        for layer in range(2):
            for t in range(3):
                h = 2 * h
        return h

    trace = trace_of(program, x=1.0)
    h = subject(trace, "norms", "h")
    assert varying_loops(trace.graph, h) == ("layer", "t")
    by_t = norms(trace, h, h.nodes[0])
    assert (by_t.loop, by_t.fixed, by_t.steps) == ("t", (("layer", 0),), ("0", "1", "2"))
    assert by_t.norms.tolist() == [32, 16, 8]
    by_layer = norms(trace, h, h.nodes[-1], "layer")
    assert (by_layer.fixed, by_layer.norms.tolist()) == ((("t", 2),), [8, 1])


def test_a_loop_that_begins_at_0_has_no_step_before_it() -> None:
    def program(xp: Any, h0: Any) -> Any:
        h = h0
        for t in range(3):
            h = 3 * h
        return h

    trace = trace_of(program, h0=1.0)
    h = subject(trace, "norms", "h")
    assert norms(trace, h, h.nodes[0]).norms.tolist() == [9, 3, 1]


def test_a_step_that_no_gradient_reaches_stays_in_the_series() -> None:
    def program(xp: Any, x: Any) -> Any:
        h = x
        for t in range(3):
            h = x * h
            if t == 1:
                h = h.detach()
        return h * x

    trace = trace_of(program, x=3.0)
    h = next(s for s in subjects(trace, "norms") if len(s.nodes) == 3)
    found = norms(trace, h, h.nodes[0])
    assert found.steps == ("0", "1", "2")
    assert np.isnan(found.norms[:2]).all() and found.norms[2] == 3
    assert found.factor_back is None and not found.logarithmic


@pytest.mark.parametrize(
    ("sizes", "factor"),
    [
        ([4, 2, 1], 2.0),
        ([1, 1, 8], 8**-0.5),
        ([3, 3], 1.0),
        ([1, 2, 1], None),
        ([0, 1], None),
        ([1, math.inf], None),
        ([5], None),
    ],
)
def test_a_mean_factor_only_where_it_says_something(sizes: Any, factor: float | None) -> None:
    steps = tuple(map(str, range(len(sizes))))
    found = Norms("t", (), steps, (), np.array(sizes, float)).factor_back
    assert found == (None if factor is None else pytest.approx(factor))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-3.0, 3.0),
        (np.array([3.0, -4.0]), 5.0),
        (np.array([[3e200, 4e200]]), 5e200),
        (np.array([3e-200, 4e-200]), 5e-200),
        (np.zeros(3), 0.0),
        (np.array([1.0, -math.inf]), math.inf),
    ],
)
def test_norm(value: Any, expected: float) -> None:
    assert norm(value) == pytest.approx(expected, rel=1e-15)


def test_the_norm_of_what_is_not_a_number_or_not_there_is_nan() -> None:
    assert math.isnan(norm(np.array([1.0, math.nan])))
    assert math.isnan(norm(None))


# ── the distribution ──────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=60))
def test_every_finite_cell_is_counted_once(cells: list[float]) -> None:
    def program(xp: Any, x: Any) -> Any:
        return (x * 1).sum()

    trace = trace_of(program, x=cells)
    found = histogram(trace, (trace.graph.leaves["x"],))
    finite = sum(map(math.isfinite, cells))
    assert found.counts.sum() + found.not_finite == found.size == len(cells)
    assert found.counts.sum() == finite
    assert np.all(np.diff(found.edges) > 0)
    assert 1 <= found.counts.size <= 60


def test_ranges_have_round_edges() -> None:
    def program(xp: Any, x: Any) -> Any:
        return x.sum()

    x = [0.13, 0.2, 0.31, 0.35, 0.49, 0.51, 0.77, 0.93]
    found = histogram(trace_of(program, x=x), (0,))
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-15)
    assert found.counts.tolist() == [1, 3, 2, 1, 1]
    assert (found.smallest, found.largest) == (0.13, 0.93)
    assert found.mean == pytest.approx(sum(x) / 8)


@pytest.mark.parametrize(
    ("name", "inputs", "flat"),
    [
        # tanh(1.8) = 0.9468, slope 0.1036; tanh(1.9) = 0.9562, slope 0.0856
        ("tanh", [0.0, 1.8, 1.9, -1.9, 5.0], 3),
        # sigmoid(3.6) = 0.9734, slope 0.0259; sigmoid(3.7) = 0.9759, slope 0.0235
        ("sigmoid", [0.0, 3.6, 3.7, -3.7], 2),
        ("relu", [-1.0, 0.0, 0.5, 2.0], 2),
    ],
)
def test_flat_cells_of_an_activation_are_counted(name: str, inputs: Any, flat: int) -> None:
    def program(xp: Any, x: Any) -> Any:
        a = getattr(xp, name)(x)
        return a.sum()

    trace = trace_of(program, x=inputs)
    node = trace.graph.index_of["a"]
    assert histogram(trace, (node,)).flat == flat
    assert histogram(trace, (node,), gradient=True).flat is None
    assert histogram(trace, (trace.graph.leaves["x"],)).flat is None


@pytest.mark.parametrize(
    ("least", "step"), [(1.0, 1), (1.1, 2), (2.0, 2), (2.1, 5), (5.1, 10), (0.03, 0.05), (900, 1e3)]
)
def test_nice_step(least: float, step: float) -> None:
    assert nice_step(least) == step


# ── a function of one number ──────────────────────────────────────────────────────────────────


def test_the_curve_of_a_square_is_a_parabola() -> None:
    trace = Session(find_lesson("square")).trace
    found = activation(trace, trace.graph.index_of["y"])
    np.testing.assert_allclose(found.values, found.xs**2, rtol=1e-15)
    np.testing.assert_allclose(found.slopes, 2 * found.slope_xs, rtol=1e-15)
    assert found.points.tolist() == [0.4311157464981079]
    assert found.local[0] == pytest.approx(0.8622314929962158)


def test_tanh_and_its_slope_with_every_cell_on_it() -> None:
    def program(xp: Any, x: Any) -> Any:
        a = xp.tanh(x)
        return a.sum()

    x = [[-1.0, 0.5], [2.0, 6.0]]
    trace = trace_of(program, x=x)
    found = activation(trace, trace.graph.index_of["a"])
    np.testing.assert_allclose(found.values, np.tanh(found.xs), rtol=1e-14)
    np.testing.assert_allclose(found.slopes, 1 / np.cosh(found.slope_xs) ** 2, atol=1e-14)
    assert found.points.tolist() == [-1.0, 0.5, 2.0, 6.0]
    np.testing.assert_allclose(found.results, np.tanh(found.points))
    np.testing.assert_allclose(found.local, 1 / np.cosh(found.points) ** 2, rtol=1e-9)
    assert found.xs[0] < -6 and found.xs[-1] > 6  # all points are in the picture


def test_the_slope_of_relu_has_a_gap_where_it_jumps() -> None:
    def program(xp: Any, x: Any) -> Any:
        a = xp.relu(x)
        return a

    trace = trace_of(program, x=1.5)
    found = activation(trace, trace.graph.index_of["a"])
    assert np.count_nonzero(np.isnan(found.slopes)) >= 1
    left, right = found.slope_xs < 0, found.slope_xs > 0
    assert set(found.slopes[left].tolist()) == {0.0}
    assert set(found.slopes[right & ~np.isnan(found.slopes)].tolist()) == {1.0}
    assert not np.any(np.isnan(found.values))


def test_log_begins_where_it_begins() -> None:
    def program(xp: Any, x: Any) -> Any:
        a = xp.log(x)
        return a

    trace = trace_of(program, x=2.0)
    found = activation(trace, trace.graph.index_of["a"])
    assert found.xs[0] >= 0 and found.xs[-1] == 4.0
    assert np.all(np.isfinite(found.values))


@pytest.mark.parametrize(
    ("program", "is_curve"),
    [
        (lambda xp, a, b: xp.tanh(a) + b, True),
        (lambda xp, a, b: a**3 + b, True),
        (lambda xp, a, b: 2.0 / a + b, True),
        (lambda xp, a, b: xp.maximum(a, 0.0) + b, True),
        (lambda xp, a, b: a / 2 + b, False),
        (lambda xp, a, b: 3 * a + b, False),
        (lambda xp, a, b: a**b + b, False),
        (lambda xp, a, b: -a + b, False),
        (lambda xp, a, b: a.detach() * b, False),
        (lambda xp, a, b: xp.where(a > 0, a, 0.0) + b, False),
    ],
)
def test_only_a_bent_function_of_one_operand_has_a_curve(program: Any, is_curve: bool) -> None:
    trace = trace_of(program, a=2.0, b=1.5)
    first = next(i for i, r in enumerate(trace.graph.records) if r.op is not None)
    assert (curve_operand(trace.graph, first) is not None) is is_curve


# ── along a leaf ──────────────────────────────────────────────────────────────────────────────


def test_the_output_along_a_square_is_a_parabola_and_touches_its_tangent() -> None:
    session = Session(find_lesson("square"), {"x": 3.0})
    sweep = finished(sweep_of(session, "x"))
    np.testing.assert_allclose(sweep.ys, sweep.xs**2, rtol=1e-14)
    assert (sweep.xs[0], sweep.xs[-1], sweep.present) == (0.0, 6.0, 3.0)
    assert sweep.slope == 6.0
    # Below a bowl: the tangent is 9 + 6·(x − 3), and the curve is (x − 3)² above it.
    np.testing.assert_allclose(sweep.ys - sweep.tangent(sweep.xs), (sweep.xs - 3) ** 2, atol=1e-12)


@pytest.mark.parametrize(
    ("lesson", "leaf", "cell"),
    [("rnn", "W_h", (0, 1)), ("tanh-recursion", "w_h", ()), ("matrix-linear", "W", (1, 2))],
)
def test_the_tangents_slope_is_torchs_gradient(lesson: str, leaf: str, cell: Any) -> None:
    session = Session(find_lesson(lesson))
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in session.inputs.leaves.items()
    }
    output = session.lesson.program(torch, **leaves, **session.inputs.sizes).sum()
    output.backward()
    sweep = finished(sweep_of(session, leaf, cell, reach=1e-4, samples=2))
    gradient = leaves[leaf].grad
    assert gradient is not None
    assert sweep.slope == pytest.approx(float(gradient[cell]), rel=1e-9)
    assert sweep.output == pytest.approx(float(output.detach()), rel=1e-9)
    # And the curve runs along the tangent: torch's own output at the last of the values.
    moved = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    moved[leaf][cell] = sweep.xs[-1]
    there = session.lesson.program(torch, **moved, **session.inputs.sizes).sum()
    assert sweep.ys[-1] == pytest.approx(float(there), rel=1e-9)
    assert sweep.ys[-1] == pytest.approx(float(sweep.tangent(sweep.xs)[-1]), abs=1e-5)


def test_a_sweep_goes_from_the_middle_outwards_and_leaves_everything_as_it_is() -> None:
    session = Session(find_lesson("rnn"))
    before = {name: np.array(value) for name, value in session.inputs.leaves.items()}
    sweep = sweep_of(session, "W_x", (1, 0), samples=3)
    assert np.flatnonzero(np.isfinite(sweep.ys)).tolist() == [3]
    assert sweep.step() and sweep.step()
    assert np.flatnonzero(np.isfinite(sweep.ys)).tolist() == [2, 3, 4]
    assert (sweep.done, sweep.total) == (3, 7)
    finished(sweep)
    assert sweep.done == sweep.total and not sweep.step()
    for name, value in session.inputs.leaves.items():
        np.testing.assert_array_equal(value, before[name])
    assert sorted([3, *middle_outwards(3)]) == list(range(7))


def test_where_the_output_is_not_finite_the_sweep_goes_on() -> None:
    def program(xp: Any, x: Any) -> Any:
        return xp.log(x)

    trace = trace_of(program, x=0.5)
    sweep = finished(Sweep(program, {"x": 0.5}, {}, trace, "x"))
    known = np.isfinite(sweep.ys)
    assert not known.all()
    np.testing.assert_allclose(sweep.ys[known], np.log(sweep.xs[known]), atol=1e-12)
    assert np.all(sweep.xs[known] > 0)


def test_what_is_detached_is_kept_so_that_the_tangent_touches() -> None:
    def program(xp: Any, x: Any) -> Any:
        d = x.detach()
        return d * x

    trace = trace_of(program, x=3.0)
    sweep = finished(Sweep(program, {"x": 3.0}, {}, trace, "x"))
    assert sweep.slope == 3.0  # and not 6
    np.testing.assert_allclose(sweep.ys, 3.0 * sweep.xs)


def test_a_leaf_on_which_nothing_depends_has_no_tangent() -> None:
    def program(xp: Any, x: Any, unused: Any) -> Any:
        return x * 2

    trace = trace_of(program, x=0.5, unused=1.0)
    sweep = finished(Sweep(program, {"x": 0.5, "unused": 1.0}, {}, trace, "unused"))
    assert sweep.slope is None
    assert set(sweep.ys.tolist()) == {1.0}
    assert np.all(np.isnan(sweep.tangent(sweep.xs)))


@pytest.mark.parametrize(
    ("present", "reach"), [(0.0, 1.0), (-0.5, 1.0), (40.0, 40.0), (-3.0, 3.0), (math.inf, 1.0)]
)
def test_how_far_one_looks(present: float, reach: float) -> None:
    assert usual_reach(present) == reach


# ── what there is in the lessons ──────────────────────────────────────────────────────────────


def closed(lesson: Any) -> Any:
    """The lesson's leaves and sizes; run with these, nothing is opened into primitive steps."""
    inputs = Session(lesson).inputs
    return inputs.leaves, inputs.sizes


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_a_lessons_own_plot_is_about_something_that_is_there(lesson: Any) -> None:
    trace = backward(record(lesson.program, *closed(lesson)))
    assert subjects(trace, "along")  # every lesson has at least this
    for kind in KINDS:
        for about in subjects(trace, kind):
            assert about.nodes == tuple(sorted(about.nodes))
    if lesson.plot is not None:
        bases = [about.base for about in subjects(trace, lesson.plot.kind)]
        assert lesson.plot.of in bases
