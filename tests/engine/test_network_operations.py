"""Softmax, losses, norms, statistics and choices where they are delicate: ties, edges, nothing to
divide by, far-away numbers; what is detached; and all of it through torch's own run."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import agrees_with_torch, by_hand, by_torch, leaf_gradients, value, weighted
from network_cases import NETWORK_MAKERS, Maker

from backprop_tui.cells import cell_terms, value_terms
from backprop_tui.engine import rounding
from backprop_tui.engine.compare import compare
from backprop_tui.engine.numeric import Kind, differences
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import UnsupportedProgram
from backprop_tui.engine.trace import StepKind, backward
from backprop_tui.engine.verdict import Verdict
from backprop_tui.explain import explain
from backprop_tui.reference.torch_run import run_torch

NAN, INF = float("nan"), float("inf")
TIES = [[1.0, 3.0, 3.0], [3.0, 2.0, 0.0]]
TWINS = [[2.0, 2.0], [2.0, 1.0], [2.0, 2.0]]

EDGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "max of all, tie": (lambda xp, *, a: a.max(), {"a": TIES}),
    "min of all, tie": (lambda xp, *, a: -xp.min(a), {"a": TWINS}),
    "amax, tie": (lambda xp, *, a: xp.amax(a, 1), {"a": TIES}),
    "amax of all, tie": (lambda xp, *, a: xp.amax(a), {"a": TIES}),
    "amin, tie, two dims": (lambda xp, *, a: a.amin((0, 1), keepdim=True), {"a": TWINS}),
    "max, tie": (lambda xp, *, a: xp.max(a, 1)[0], {"a": TIES}),
    "max over rows, tie": (lambda xp, *, a: a.max(0).values, {"a": TWINS}),
    "max, keepdim, tie": (lambda xp, *, a: a.max(dim=-1, keepdim=True).values, {"a": TIES}),
    "min, tie": (lambda xp, *, a: a.min(1).values, {"a": [[1.0, 1.0, 3.0], [2.0, 0.0, 0.0]]}),
    "max of two, tie": (lambda xp, *, a, b: xp.max(a, b), {"a": [1.0, 2.0], "b": [1.0, 1.0]}),
    "max of a scalar": (lambda xp, *, a: a.max() + xp.max(a, 0).values, {"a": 2.0}),
    "amax with nan": (lambda xp, *, a: xp.amax(a, 0), {"a": [1.0, NAN, NAN]}),
    "amax of all with nan": (lambda xp, *, a: xp.amax(a), {"a": [1.0, NAN, NAN]}),
    "amin of a scalar": (lambda xp, *, a: xp.amin(a, ()) + a.amax(0), {"a": 2.0}),
    "max of all with nan": (lambda xp, *, a: xp.max(a), {"a": [[1.0, NAN], [NAN, 2.0]]}),
    "min of all with nan": (lambda xp, *, a: a.min(), {"a": [1.0, NAN, NAN]}),
    "max of nothing but nan": (lambda xp, *, a: a.max(), {"a": NAN}),
    "max with nan": (lambda xp, *, a: xp.max(a, 0).values, {"a": [1.0, NAN, NAN]}),
    "minimum, tie": (lambda xp, *, a, b: xp.minimum(a, b), {"a": [1.0, 2.0], "b": [1.0, 3.0]}),
    "clamp at its limits": (lambda xp, *, a: xp.clamp(a, 0, 1), {"a": [0.0, 1.0, 2.0, -1.0, NAN]}),
    "clamp, limits crossed": (lambda xp, *, a: a.clamp(2, 1), {"a": [0.0, 1.0, 1.5, 2.0, 3.0]}),
    "clamp from below": (lambda xp, *, a: a.clamp(min=0), {"a": [0.0, 1.0, -1.0]}),
    "clamp from above": (lambda xp, *, a: a.clamp(max=0), {"a": [0.0, 1.0, -1.0]}),
    "leaky_relu at 0": (lambda xp, *, a: xp.nn.functional.leaky_relu(a), {"a": [0.0, -2.0, 3.0]}),
    "relu in the namespace": (lambda xp, *, a: xp.nn.functional.relu(a) * 2, {"a": [0.0, 3.0]}),
    "softplus about its limit": (
        lambda xp, *, a: xp.nn.functional.softplus(a),
        {"a": [19.999, 20.0, 20.001, -30.0, -800.0, 800.0]},
    ),
    "gelu far out": (lambda xp, *, a: xp.nn.functional.gelu(a), {"a": [0.0, -40.0, 40.0, -1.0]}),
    "silu far out": (lambda xp, *, a: xp.nn.functional.silu(a), {"a": [0.0, -800.0, 800.0]}),
    "softmax of large": (lambda xp, *, a: xp.softmax(a, 0) * a, {"a": [1000.0, 999.0, -1000.0]}),
    "softmax, masked": (
        lambda xp, *, a: xp.softmax(a.masked_fill(a > 2, -INF), 0) * xp.cumsum(a, 0),
        {"a": [1.0, 3.0, 2.0]},
    ),
    "log_softmax of large": (lambda xp, *, a: xp.log_softmax(a, 0)[:2], {"a": [1e3, 999.0, -1e3]}),
    "softmax of a scalar": (lambda xp, *, a: xp.softmax(a, 0) + xp.log_softmax(a, -1), {"a": 3.0}),
    "logsumexp of large": (lambda xp, *, a: xp.logsumexp(a, 0), {"a": [1e3, 999.0, -1e3]}),
    "logsumexp of nothing": (lambda xp, *, a: xp.logsumexp(a, 0), {"a": [-INF, -INF]}),
    "logsumexp with infinity": (lambda xp, *, a: xp.logsumexp(a, 0), {"a": [INF, 1.0]}),
    "cross_entropy of large": (
        lambda xp, *, a: xp.nn.functional.cross_entropy(a, xp.tensor([1, 0])),
        {"a": [[1e3, 0.0, -1e3], [1e3, 2.0, 0.0]]},
    ),
    "var of one": (lambda xp, *, a: a.var(), {"a": [2.0]}),
    "var of single columns": (lambda xp, *, a: xp.var(a, 1), {"a": [[2.0], [3.0]]}),
    "var, correction too large": (lambda xp, *, a: xp.var(a, 0, correction=5), {"a": [2.0, 1.0]}),
    "var of a scalar": (lambda xp, *, a: a.var(correction=0) + a, {"a": 2.0}),
    "std of equals": (lambda xp, *, a: a.std(), {"a": [2.0, 2.0]}),
    "std of one": (lambda xp, *, a: a.std(), {"a": [2.0]}),
    "std of a scalar": (lambda xp, *, a: a.std(), {"a": 2.0}),
    "std, correction too large": (lambda xp, *, a: xp.std(a, 0, correction=5), {"a": [2.0, 1.0]}),
    "norm of nothing": (lambda xp, *, a: xp.linalg.norm(a) + a.norm(), {"a": [0.0, 0.0]}),
    "norm of a scalar": (lambda xp, *, a: xp.linalg.norm(a), {"a": -2.0}),
    "norm of a matrix": (lambda xp, *, a: xp.linalg.norm(a) * xp.norm(a), {"a": TIES}),
    "layer_norm of equals": (
        lambda xp, *, a: xp.nn.functional.layer_norm(a, (3,)),
        {"a": [[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]},
    ),
    "layer_norm, weight alone": (
        lambda xp, *, a, w: xp.nn.functional.layer_norm(a, (2,), w),
        {"a": TWINS, "w": [2.0, 3.0]},
    ),
    "layer_norm, bias alone": (
        lambda xp, *, a, w: xp.nn.functional.layer_norm(a, (2,), None, w),
        {"a": TWINS, "w": [2.0, 3.0]},
    ),
    "batch_norm, bias alone": (
        lambda xp, *, a, w: xp.nn.functional.batch_norm(a, None, None, None, w, True),
        {"a": TIES, "w": [2.0, 3.0, 4.0]},
    ),
    "mse_loss, broadcast": (
        lambda xp, *, a, b: xp.nn.functional.mse_loss(a, b),
        {"a": TIES, "b": [1.0, 2.0, 4.0]},
    ),
    "row looked up twice": (
        lambda xp, *, a: xp.nn.functional.embedding(xp.tensor([[1, 0], [1, 1]]), a) ** 2,
        {"a": TIES},
    ),
    "cell gathered twice": (
        lambda xp, *, a: xp.gather(a, 1, xp.tensor([[2, 2, 0, 2]])) ** 2,
        {"a": TIES},
    ),
    "where hides infinity": (lambda xp, *, a: xp.where(a > 0, xp.log(a), a), {"a": [2.0, -1.0]}),
    "square root of 0 by hand": (lambda xp, *, a: xp.rsqrt(a) + a.reciprocal(), {"a": [4.0, 0.0]}),
    "one of two detached": (lambda xp, *, a: a.detach() * a, {"a": [2.0, 3.0]}),
    "detached beforehand": (
        lambda xp, *, a: xp.sum(a.detach() * 2 + 1) * a + a.detach().exp(),
        {"a": [2.0, 3.0]},
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_edge_agrees_with_torch(name: str) -> None:
    program, leaves = EDGES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of broadcasting and of dividing by 0
        agrees_with_torch(program, leaves, rel=1e-12)
        agrees_with_torch(*weighted(program, leaves, np.random.default_rng(1)), rel=1e-12)


@pytest.mark.parametrize("name", EDGES)
def test_edge_can_be_explained_and_its_rounding_told(name: str) -> None:
    trace = by_hand(*EDGES[name])
    for step in trace.steps:
        assert explain(trace, step).lines
    errors = rounding.value_rounding(trace.graph)
    assert len(errors) == len(rounding.gradient_rounding(trace, errors)) == len(trace.graph)
    for node in trace.graph:
        for cell in np.ndindex(np.shape(node.value)):
            cell_terms(trace, node.index, cell)
            value_terms(trace, node.index, cell)


# ── through torch's own run ───────────────────────────────────────────────────────────────────

CASES = [
    pytest.param(make, id=f"{op.__name__}-{name}")
    for op, makers in NETWORK_MAKERS.items()
    for name, make in makers.items()
]


@pytest.mark.parametrize("make", CASES)
def test_nodes_and_edges_are_matched_with_torchs(make: Maker) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        program, leaves = weighted(*make(rng), rng)
        values = {name: value(v) for name, v in leaves.items()}
        trace = backward(record(program, values))
        numeric = differences(program, values)
        found = compare(trace, run_torch(program, values, edges=True), numeric)
        for node in trace.graph:
            if node.op is not None:
                assert found.verdict(node.index) is Verdict.AGREE, node.id
        for name, leaf in numeric.leaves.items():
            assert (leaf.kind == Kind.OK).all(), name
            ours = leaf_gradients(trace)[name]
            np.testing.assert_allclose(leaf.value, ours, rtol=1e-5, atol=1e-7, err_msg=name)


# ── kinks ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("program", "leaves"),
    [
        (lambda xp, *, a: a.max(), {"a": [1.0, 1.0]}),
        (lambda xp, *, a: a.min(0).values, {"a": [1.0, 1.0]}),
        (lambda xp, *, a: xp.amin(a, 0), {"a": [1.0, 1.0]}),
        (lambda xp, *, a: xp.minimum(a, 1.0), {"a": 1.0}),
        (lambda xp, *, a: a.clamp(0, 1), {"a": 1.0}),
        (lambda xp, *, a: a.clamp(min=1), {"a": 1.0}),
        (lambda xp, *, a: a.clamp(max=1), {"a": 1.0}),
        (lambda xp, *, a: xp.nn.functional.leaky_relu(a), {"a": 0.0}),
        (lambda xp, *, a: xp.linalg.norm(a), {"a": [0.0, 0.0]}),
        (lambda xp, *, a: a.std(), {"a": [1.0, 1.0]}),
        (lambda xp, *, a: xp.where(a > 1, a, 2 - a), {"a": 1.0}),
        (lambda xp, *, a: a.masked_fill(a > 1, 1), {"a": 1.0}),
    ],
)
def test_a_kink_is_told(program: Any, leaves: dict[str, Any]) -> None:
    found = differences(program, {name: value(v) for name, v in leaves.items()})
    assert (found.leaves["a"].kind == Kind.KINK).all()


# ── what is detached ──────────────────────────────────────────────────────────────────────────


def cut(xp: Any, *, x: Any, w: Any) -> Any:
    h = w * x
    d = h.detach()
    e = d * x
    y = e * h
    return y


def test_a_detached_value_receives_nothing() -> None:
    trace = by_hand(cut, {"x": 2.0, "w": 3.0})
    at = trace.graph.index_of
    assert trace.gradients[at["d"]] is None and trace.gradients[at["e"]] == 6.0
    assert trace.graph[at["d"]].value == trace.graph[at["h"]].value == 6.0
    assert not trace.graph.needs_gradient[at["d"]] and trace.graph.needs_gradient[at["e"]]
    sent = [step.edge for step in trace.steps if step.kind is StepKind.SEND]
    assert all(edge.source != at["d"] and edge.target != at["d"] for edge in sent)
    # y = d·x·w·x with d fixed at 6: dy/dx = 2·d·w·x, dy/dw = d·x².
    assert leaf_gradients(trace) == {"x": 72.0, "w": 24.0}
    assert "nothing comes here" in cell_terms(trace, at["d"], ()).note


def test_a_detached_value_stays_while_a_leaf_is_moved() -> None:
    """Torch takes it for fixed; so must the finite differences, or they would disagree."""
    found = differences(cut, {"x": 2.0, "w": 3.0})
    assert found.leaves["x"].value == pytest.approx(72.0, rel=1e-7)
    assert found.leaves["w"].value == pytest.approx(24.0, rel=1e-7)


def test_torch_gives_a_detached_value_no_gradient_either() -> None:
    leaves = {"x": 2.0, "w": 3.0}
    trace = backward(record(cut, leaves))
    found = compare(trace, run_torch(cut, leaves, edges=True), None)
    assert {found.verdict(n.index) for n in trace.graph} == {Verdict.AGREE}
    assert found.torch_gradient(trace.graph.index_of["d"]) is None


def test_what_is_computed_from_detached_values_alone_needs_no_gradient() -> None:
    def program(xp: Any, *, x: Any) -> Any:
        d = x.detach()
        e = xp.exp(d) * 2.0
        y = e * x + d
        return y

    trace = by_hand(program, {"x": 0.5})
    needs = dict(zip([n.id for n in trace.graph], trace.graph.needs_gradient, strict=True))
    assert (needs["d"], needs["e"], needs["x"], needs["y"]) == (False, False, True, True)
    assert leaf_gradients(trace)["x"] == pytest.approx(2.0 * np.exp(0.5), rel=1e-15)


def test_a_program_that_detaches_its_output_is_refused_in_words() -> None:
    with pytest.raises(UnsupportedProgram, match="detached"):
        by_hand(lambda xp, *, x: (x * 2).detach() + 1, {"x": 2.0})


# ── spelling ──────────────────────────────────────────────────────────────────────────────────


def test_indices_beside_the_largest_are_torchs() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        first, second, third = xp.max(a, 1), a.min(0, keepdim=True), a.max(dim=-1)
        seen.append([found.indices.tolist() for found in (first, second, third)])
        return first.values.sum() + second[0].sum() + third.values.sum()

    seen: list[Any] = []
    agrees_with_torch(program, {"a": TIES})
    assert seen[0] == seen[1]


def test_lists_and_numbers_serve_as_classes() -> None:
    a = [[0.5, 1.0, -1.0], [0.2, 0.3, 2.0]]
    expected = by_torch(
        lambda xp, *, a: xp.nn.functional.cross_entropy(a, xp.tensor([2, 0])), {"a": a}
    )
    for target in ([2, 0], np.array([2, 0]), (2, 0)):
        trace = by_hand(
            lambda xp, *, a, t=target: xp.nn.functional.cross_entropy(a, t),
            {"a": a},
        )
        np.testing.assert_allclose(leaf_gradients(trace)["a"], expected[1]["a"], rtol=1e-13)
    one = by_hand(lambda xp, *, a: xp.nn.functional.cross_entropy(a, 2), {"a": a[0]})
    told = by_torch(
        lambda xp, *, a: torch.nn.functional.cross_entropy(a, torch.tensor(2)), {"a": a[0]}
    )
    np.testing.assert_allclose(leaf_gradients(one)["a"], told[1]["a"], rtol=1e-13)


MATRIX = {"x": [[1.0, 2.0], [3.0, 5.0]]}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda F, xp, x: F.cross_entropy(x, [0, 2]), "0 to 1"),
        (lambda F, xp, x: F.cross_entropy(x, [0, -1]), "0 to 1"),
        (lambda F, xp, x: F.cross_entropy(x, [0]), "shapes"),
        (lambda F, xp, x: F.cross_entropy(x, [0.5, 1.0]), "whole numbers"),
        (lambda F, xp, x: F.cross_entropy(x, x), "whole numbers"),
        (lambda F, xp, x: F.cross_entropy(x, [0, 1], reduction="none"), "mean or sum"),
        (lambda F, xp, x: F.mse_loss(x, x, reduction="none"), "mean or sum"),
        (lambda F, xp, x: F.layer_norm(x, (3,)), "last sizes"),
        (lambda F, xp, x: F.layer_norm(x, (2,), x), "weight"),
        (lambda F, xp, x: F.batch_norm(x, None, None), "training=True"),
        (lambda F, xp, x: F.batch_norm(x, x[0], x[0], training=True), "own statistics"),
        (lambda F, xp, x: F.batch_norm(x[:1], None, None, training=True), "at least 2"),
        (lambda F, xp, x: F.gelu(x, approximate="tanh"), "exact"),
        (lambda F, xp, x: F.embedding([2], x), "0 to 1"),
        (lambda F, xp, x: F.embedding([0], x[0]), "matrix"),
        (lambda F, xp, x: xp.gather(x, 0, [0]), "dimensions"),
        (lambda F, xp, x: xp.gather(x, 1, [[0], [-1]]), "0 to 1"),
        (lambda F, xp, x: xp.gather(x, 1, [[0], [1], [0]]), "fit"),
        (lambda F, xp, x: xp.clamp(x), "at least one"),
        (lambda F, xp, x: xp.clamp(x, x), "plain numbers"),
        (lambda F, xp, x: xp.where(x, x, 0.0), "true or false"),
        (lambda F, xp, x: x.masked_fill(x > 1, x[0, 0]), "plain number"),
        (lambda F, xp, x: x.norm(1), "2-norm"),
        (lambda F, xp, x: xp.linalg.norm(x, 2), "Frobenius"),
    ],
)
def test_what_is_not_there_is_refused_in_words(program: Any, words: str) -> None:
    with pytest.raises(UnsupportedProgram, match=words):
        by_hand(lambda xp, *, x: program(xp.nn.functional, xp, x), MATRIX)


# ── how it reads ──────────────────────────────────────────────────────────────────────────────

READS: dict[str, tuple[Any, str, str]] = {
    "softmax": (
        lambda xp, x: xp.softmax(x, 0),
        "y = exp(x) / Σ(exp(x))",
        "∂y/∂x = y ⊙ (∂y/∂y − Σ(∂y/∂y ⊙ y))",
    ),
    "log_softmax": (
        lambda xp, x: xp.log_softmax(x, 0),
        "y = x − log(Σ(exp(x)))",
        "∂y/∂x = ∂y/∂y − exp(y) · Σ(∂y/∂y)",
    ),
    "logsumexp": (
        lambda xp, x: xp.logsumexp(x, 0),
        "y = log(Σ(exp(x)))",
        "∂y/∂x = expand(∂y/∂y) ⊙ exp(x − expand(y))",
    ),
    "cross_entropy": (
        lambda xp, x: xp.nn.functional.cross_entropy(x, 1),
        "y = −mean(pick(log_softmax(x), 1))",
        "∂y/∂x = ∂y/∂y · (softmax(x) − onehot(1)) / 1",
    ),
    "mse_loss": (
        lambda xp, x: xp.nn.functional.mse_loss(x, 0.5),
        "y = mean((x − 0.5)²)",
        "∂y/∂x = 2 · ∂y/∂y · (x − 0.5) / 3",
    ),
    "var": (
        lambda xp, x: x.var(),
        "y = Σ((x − mean(x))²) / (3 − 1)",
        "∂y/∂x = 2 · expand(∂y/∂y) ⊙ (x − mean(x)) / (3 − 1)",
    ),
    "norm": (
        lambda xp, x: x.norm(),
        "y = √Σ(x²)",
        "∂y/∂x = expand(∂y/∂y / y) ⊙ x",
    ),
    "max": (
        lambda xp, x: x.max(),
        "y = max(x)",
        "∂y/∂x = expand(∂y/∂y / 1) ⊙ [x = expand(y)]",
    ),
    "clamp": (
        lambda xp, x: x.clamp(-1, 1),
        "y = min(max(x, −1), 1)",
        "∂y/∂x = ∂y/∂y ⊙ [x ≥ −1] ⊙ [x ≤ 1]",
    ),
    "masked_fill": (
        lambda xp, x: x.masked_fill(x > 1, -INF),
        "y = where([0 1 0], −∞, x)",
        "∂y/∂x = where([0 1 0], 0, ∂y/∂y)",
    ),
    "embedding": (
        lambda xp, x: xp.nn.functional.embedding([0, 2, 0], x.reshape(3, 1)),
        "y = embedding([0 2 0], reshape(x))",
        "∂y/∂reshape(x) = scatter(∂y/∂y)",
    ),
    "gelu": (
        lambda xp, x: xp.nn.functional.gelu(x),
        "y = x ⊙ (1 + erf(x / √2)) / 2",
        "∂y/∂x = ∂y/∂y ⊙ ((1 + erf(x / √2)) / 2 + x ⊙ exp(−x² / 2) / √(2 · π))",
    ),
    "layer_norm": (
        lambda xp, x: xp.nn.functional.layer_norm(x, (3,)),
        "y = (x − mean(x)) / √(var(x) + 1e−5)",
        "∂y/∂x = (∂y/∂y − mean(∂y/∂y) − y · mean(∂y/∂y ⊙ y)) / √(var(x) + 1e−5)",
    ),
}


@pytest.mark.parametrize("name", READS)
def test_formulas_read_as_mathematics(name: str) -> None:
    function, forward, back = READS[name]
    trace = by_hand(lambda xp, *, x: function(xp, x), {"x": [0.5, 2.0, -1.5]})
    lines = [explain(trace, step).formula.replace("output", "y") for step in trace.steps]
    assert forward in lines and back in lines, lines
