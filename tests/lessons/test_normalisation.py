"""The chapter on normalisation: Kratzert's numbers, torch's layers, and what the lessons say."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import leaf_gradients

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.equations_text import equation_lines
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves
from backprop_tui.lessons.dropout import MASK, P


def run(lesson_id: str, *, closed: bool = False, sizes: Any = None, **changed: Any) -> Trace:
    """A lesson as it is at first, or closed, or with some leaves and sizes changed."""
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    opened = lesson.opening(() if closed else None)
    return backward(record(lesson.program, leaves, sizes, opened=opened))


def index(trace: Trace, name: str) -> int:
    (found,) = [k for k, n in enumerate(trace.graph.names) if n.named and n.base == name]
    return found


def value(trace: Trace, name: str) -> Any:
    """The value of the node with a base name."""
    return trace.graph[index(trace, name)].value


def gradient(trace: Trace, name: str) -> Any:
    """The gradient of the node with a base name."""
    return trace.gradients[index(trace, name)]


FORMS = pytest.mark.parametrize("closed", [False, True], ids=["in steps", "fused"])


# ── batchnorm ─────────────────────────────────────────────────────────────────────────────────

# Computed from Kratzert's formulas, apart from this project, for the defaults of the lesson.
KRATZERT = {
    "beta": [0.75, 1.5],
    "gamma": [-0.9185569312510604, 1.8371138625021208],
    "ivar": [-2.25, -1.5],
    "sqrtvar": [0.8437468359493653, 0.5624978906329101],
    "var": [0.25834316812748026, 0.17222877875165352],
    "mu": [-0.6889176984382952, 0.45927846562553015],
    "x": [
        [0.3444601409349882, -0.22963837166887133],
        [-0.6889176984382953, -0.22964009395665883],
        [0.344457557503307, 0.4592784656255302],
    ],
}


@pytest.mark.parametrize(("name", "expected"), KRATZERT.items())
def test_batchnorm_has_the_numbers_of_kratzerts_formulas(name: str, expected: Any) -> None:
    np.testing.assert_allclose(gradient(run("batchnorm"), name), expected, rtol=1e-14)


def kratzert(leaves: Any) -> dict[str, Any]:
    """His nine steps forward and nine back, written out."""
    x, gamma, beta, dout = (leaves[k] for k in ("x", "gamma", "beta", "dout"))
    n = len(x)
    mu = x.sum(0) / n
    xmu = x - mu
    var = (xmu**2).sum(0) / n
    sqrtvar = np.sqrt(var + 1e-5)
    ivar = 1 / sqrtvar
    xhat = xmu * ivar
    dxhat = dout * gamma
    divar = (dxhat * xmu).sum(0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -divar / sqrtvar**2
    dvar = 0.5 * dsqrtvar / np.sqrt(var + 1e-5)
    dsq = np.ones_like(x) * dvar / n
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -dx1.sum(0)
    dx2 = np.ones_like(x) * dmu / n
    return {
        "out": gamma * xhat + beta, "beta": dout.sum(0), "gamma": (dout * xhat).sum(0),
        "xhat": dxhat, "ivar": divar, "sqrtvar": dsqrtvar, "var": dvar, "sq": dsq,
        "xmu": dx1, "mu": dmu, "x": dx1 + dx2, "dxmu": (dxmu1, dxmu2), "dx": (dx1, dx2),
    }  # fmt: skip


@pytest.mark.parametrize("n", [2, 3, 8])
def test_batchnorm_is_his_at_other_sizes_and_every_contribution_too(n: int) -> None:
    trace = run("batchnorm", sizes={"N": n})
    his = kratzert({name: trace.graph[k].value for name, k in trace.graph.leaves.items()})
    np.testing.assert_allclose(value(trace, "out"), his.pop("out"), rtol=1e-12)
    parts = {"xmu": his.pop("dxmu"), "x": his.pop("dx")}
    for name, expected in his.items():
        found = gradient(trace, name)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14, err_msg=name)
    for name, expected in parts.items():
        edges = trace.arrivals[index(trace, name)]
        found = [trace.contribution(Edge(e.source, e.target, e.slot)) for e in edges]
        assert len(found) == 2
        for want in expected:
            assert any(np.allclose(have, want, rtol=1e-12) for have in found)


@FORMS
def test_batchnorm_is_torchs_layer(closed: bool) -> None:
    trace = run("batchnorm", closed=closed)
    leaves = {k: torch.tensor(trace.graph[i].value) for k, i in trace.graph.leaves.items()}
    layer = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(leaves["gamma"])
        layer.bias.copy_(leaves["beta"])
    x = leaves["x"].clone().requires_grad_()
    out = layer(x)
    (out * leaves["dout"]).sum().backward()
    np.testing.assert_allclose(value(trace, "out"), out.detach(), rtol=1e-14)
    np.testing.assert_allclose(gradient(trace, "x"), x.grad, rtol=1e-9)
    np.testing.assert_allclose(gradient(trace, "gamma"), layer.weight.grad, rtol=1e-13)
    np.testing.assert_allclose(gradient(trace, "beta"), layer.bias.grad, rtol=1e-14)


def test_torch_normalises_with_n_and_keeps_n_minus_1() -> None:
    """What the note of var says: running_var is a tenth of the variance with N − 1, and 0.9."""
    trace = run("batchnorm")
    x = torch.tensor(value(trace, "x"))
    layer = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    out = layer(x)
    by_n = value(trace, "var")
    np.testing.assert_allclose(out.detach(), value(trace, "xhat"), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * by_n * 3 / 2, rtol=1e-13)


def test_batchnorm_forms_agree() -> None:
    found = agreement(run("batchnorm"), run("batchnorm", closed=True))
    assert found.agree and found.worst < 1e-15
    assert found.one_count - found.other_count == 9  # his nine, and the sum with eps, for one


def test_batchnorm_closed_shows_only_what_is_there() -> None:
    lines = equation_lines(find_lesson("batchnorm"), run("batchnorm", closed=True))
    assert [line.text for line in lines.derivation] == ["∂L/∂beta = Σ rows(dout)"]
    assert [line.text for line in lines.forward] == ["L = Σ(dout ⊙ out)"]


def test_batchnorm_what_its_words_say() -> None:
    trace = run("batchnorm")
    np.testing.assert_array_equal(gradient(trace, "out"), value(trace, "dout"))
    np.testing.assert_allclose(np.sum(gradient(trace, "x"), axis=0), 0.0, atol=1e-15)
    times_10 = run("batchnorm", x=10 * value(trace, "x"))
    np.testing.assert_allclose(value(times_10, "xhat"), value(trace, "xhat"), rtol=1e-5)
    two = run("batchnorm", sizes={"N": 2})
    np.testing.assert_allclose(np.abs(value(two, "xhat")), 1.0, atol=1e-5)
    assert np.max(np.abs(gradient(two, "x"))) < 1e-4
    constant = gradient(trace, "out") * value(trace, "gamma") * value(trace, "ivar")
    assert np.all(np.abs(np.sum(constant, axis=0)) > 0.1)  # the mistake shows there


# ── layernorm ─────────────────────────────────────────────────────────────────────────────────


@FORMS
@pytest.mark.parametrize("c", [2, 4, 7])
def test_layernorm_is_torchs_layer(closed: bool, c: int) -> None:
    trace = run("layernorm", closed=closed, sizes={"C": c})
    leaves = {k: torch.tensor(trace.graph[i].value) for k, i in trace.graph.leaves.items()}
    layer = torch.nn.LayerNorm(c, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(leaves["w"])
        layer.bias.copy_(leaves["b"])
    x = leaves["x"].clone().requires_grad_()
    out = layer(x)
    (out * leaves["dout"]).sum().backward()
    np.testing.assert_allclose(value(trace, "out"), out.detach(), rtol=1e-13)
    np.testing.assert_allclose(gradient(trace, "x"), x.grad, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(gradient(trace, "w"), layer.weight.grad, rtol=1e-12)
    np.testing.assert_allclose(gradient(trace, "b"), layer.bias.grad, rtol=1e-14)


@FORMS
def test_layernorm_backward_is_that_of_llm_c(closed: bool) -> None:
    trace = run("layernorm", closed=closed)
    x, w, b, dout = (torch.tensor(value(trace, name)) for name in ("x", "w", "b", "dout"))
    mean = x.mean(-1, keepdim=True)
    rstd = (((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5) ** -0.5
    norm = (x - mean) * rstd
    dnorm = dout * w
    along = (dnorm * norm).mean(-1, keepdim=True)
    dx = (dnorm - dnorm.mean(-1, keepdim=True) - norm * along) * rstd
    np.testing.assert_allclose(value(trace, "out"), norm * w + b, rtol=1e-14)
    np.testing.assert_allclose(gradient(trace, "x"), dx, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(gradient(trace, "w"), (dout * norm).sum(0), rtol=1e-13)
    np.testing.assert_allclose(gradient(trace, "b"), dout.sum(0), rtol=1e-14)


def test_layernorm_forms_agree() -> None:
    found = agreement(run("layernorm"), run("layernorm", closed=True))
    assert found.agree and found.worst < 1e-15


def test_layernorm_what_its_words_say() -> None:
    trace = run("layernorm")
    x, dx = value(trace, "x"), gradient(trace, "x")
    np.testing.assert_allclose(np.sum(dx, axis=1), 0.0, atol=1e-15)
    np.testing.assert_allclose(np.sum(dx * value(trace, "norm"), axis=1), 0.0, atol=1e-5)
    assert np.max(np.abs(dx[1])) < np.max(np.abs(dx[0])) / 5  # large numbers, small gradient
    times_10 = run("layernorm", x=x * [[1.0], [10.0]])
    np.testing.assert_allclose(value(times_10, "out"), value(trace, "out"), rtol=1e-5)
    np.testing.assert_allclose(gradient(times_10, "x")[1], dx[1] / 10, rtol=1e-4)
    np.testing.assert_array_equal(gradient(times_10, "x")[0], dx[0])  # the other row is untouched


# ── dropout ───────────────────────────────────────────────────────────────────────────────────


def test_dropout_has_the_mask_of_its_seed() -> None:
    drawn = np.random.default_rng(5).random((2, 4)) >= P
    np.testing.assert_array_equal(MASK, drawn.astype(np.float64))
    assert "seed 5" in find_lesson("dropout").leaf_named("mask").meaning


def every_mask() -> list[tuple[Any, float]]:
    """All 256 masks, each with its probability."""
    masks = [np.reshape(cells, (2, 4)) for cells in product([0.0, 1.0], repeat=8)]
    return [(mask, float(np.prod(np.where(mask == 1.0, 1 - P, P)))) for mask in masks]


def test_dropout_is_right_on_average_over_all_masks_but_the_loss_is_larger() -> None:
    without = run("dropout", mask=np.full((2, 4), 1 - P))  # as at evaluation
    h = value(without, "h")
    dropped, y_hat, loss, total = np.zeros((2, 4)), np.zeros((2, 1)), 0.0, 0.0
    for mask, probability in every_mask():
        trace = run("dropout", mask=mask)
        dropped = dropped + probability * value(trace, "dropped")
        y_hat = y_hat + probability * value(trace, "y_hat")
        loss += probability * value(trace, "L")
        total += probability
    assert total == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(dropped, h, rtol=1e-12)
    np.testing.assert_allclose(y_hat, value(without, "y_hat"), rtol=1e-11)
    # E L = L(without) + Σ variance, and the variance of a cell h·mask/(1−p) is h²·p/(1−p).
    scatter = np.sum(h**2 * P / (1 - P) * value(without, "W2").T ** 2)
    assert loss == pytest.approx(value(without, "L") + scatter, rel=1e-11)
    assert scatter > 1.0


def test_dropout_is_right_on_average_over_many_seeds() -> None:
    h = value(run("dropout"), "h")
    masks = [np.random.default_rng(seed).random((2, 4)) >= P for seed in range(4000)]
    mean = np.mean([h * mask / (1 - P) for mask in masks], axis=0)
    deviation = np.abs(h) * np.sqrt(P / (1 - P) / len(masks))
    assert np.all(np.abs(mean - h) < 5 * deviation)


def test_dropout_at_evaluation_is_nothing_at_all() -> None:
    trace = run("dropout", mask=np.full((2, 4), 1 - P))
    np.testing.assert_allclose(value(trace, "dropped"), value(trace, "h"), rtol=1e-15)
    layer, h = torch.nn.Dropout(P), torch.tensor(value(trace, "h"))
    assert torch.equal(layer.eval()(h), h)


def test_dropout_scales_as_torchs_does() -> None:
    trace = run("dropout")
    h = torch.tensor(value(trace, "h"), requires_grad=True)
    torch.manual_seed(5)
    out = torch.nn.functional.dropout(h, P, training=True)
    mask = (out.detach() != 0).to(torch.float64)
    assert 0 < mask.sum() < 8
    again = run("dropout", mask=mask.numpy())
    np.testing.assert_allclose(value(again, "dropped"), out.detach(), rtol=1e-15)
    out.backward(torch.tensor(gradient(again, "dropped")))
    np.testing.assert_allclose(gradient(again, "h"), h.grad, rtol=1e-15)


def test_dropout_what_was_dropped_receives_nothing() -> None:
    trace = run("dropout")
    found = leaf_gradients(trace)
    assert np.all((gradient(trace, "h") == 0.0) == (np.array(MASK) == 0.0))
    np.testing.assert_array_equal(found["W1"][:, 3], 0.0)
    np.testing.assert_array_equal(found["W2"][3], 0.0)
    assert np.all(found["W1"][:, :3] != 0.0) and np.all(found["W2"][:3] != 0.0)
    assert np.all(gradient(trace, "kept") != 0.0)  # it stops at the mask, not before
