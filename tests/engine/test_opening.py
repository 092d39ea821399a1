"""Opened nodes: the same values and gradients in primitive steps, by hand and under torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_checks import assert_close, by_torch, leaf_gradients

from backprop_tui.engine import xp as ours
from backprop_tui.engine.compare import Verdict, compare
from backprop_tui.engine.opening import function_called, opening
from backprop_tui.engine.primitives import FORMS
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.reference.torch_run import run_torch


def steps(xp: Any, z: Any) -> Any:
    minus = -z
    power = xp.exp(minus)
    below = 1 + power
    out = 1 / below
    return out


def program(xp: Any, *, a: Any, b: Any) -> Any:
    z = a * b
    f = xp.sigmoid(z)
    for t in range(2):
        h = xp.tanh(f)
        f = xp.sigmoid(h) if t else xp.sigmoid(h + z)
    y = f * a
    return y


LEAVES = {"a": 0.7, "b": -1.3}


def ids(graph: Any) -> list[str]:
    return [node.id for node in graph if node.op is not None]


def test_an_open_node_is_computed_in_its_steps_and_keeps_its_name() -> None:
    graph = record(program, LEAVES, opened={"h": None})
    assert ids(graph) == [
        "z", "f", "tanh/doubled[t=0]", "tanh/power[t=0]", "tanh/numerator[t=0]",
        "tanh/denominator[t=0]", "h[t=0]", "f/add[t=0]", "f[t=0]", "tanh/doubled[t=1]",
        "tanh/power[t=1]", "tanh/numerator[t=1]", "tanh/denominator[t=1]", "h[t=1]", "f[t=1]", "y",
    ]  # fmt: skip


def test_a_lessons_own_steps_come_first() -> None:
    graph = record(program, LEAVES, opened={"f": steps})
    names = ids(graph)
    assert names[:5] == ["z", "steps/minus", "steps/power", "steps/below", "f"]
    assert names.count("f[t=0]") == names.count("f[t=1]") == 1


@pytest.mark.parametrize("opened", [{"f": None}, {"h": None}, {"f": steps, "h": None}])
def test_open_and_closed_agree_and_torch_runs_the_steps_itself(opened: Any) -> None:
    closed, trace = (
        backward(record(program, LEAVES)),
        backward(record(program, LEAVES, opened=opened)),
    )
    assert len(trace.graph) > len(closed.graph)
    for name, gradient in leaf_gradients(closed).items():
        assert_close(leaf_gradients(trace)[name], gradient, rel=1e-13, what=name)
    torch = run_torch(program, LEAVES, edges=True, opened=opened)
    comparison = compare(trace, torch, None, torch_expected=False)
    operations = [node.index for node in trace.graph if node.op is not None]
    assert [comparison.verdict(index) for index in operations] == [Verdict.AGREE] * len(operations)
    assert comparison.summary().edges == len(trace.order)


def test_a_wrong_step_is_noticed() -> None:
    def wrong(xp: Any, z: Any) -> Any:
        power = xp.exp(z)
        below = 1 + power
        return 1 / below

    closed = backward(record(program, LEAVES))
    opened = backward(record(program, LEAVES, opened={"f": wrong}))
    assert leaf_gradients(opened)["a"] != pytest.approx(leaf_gradients(closed)["a"], rel=1e-3)


def test_without_open_nodes_the_program_gets_xp_itself() -> None:
    assert opening(ours, {}) is ours
    assert opening(ours, None) is ours


def test_a_name_that_nothing_bears_changes_nothing() -> None:
    assert ids(record(program, LEAVES, opened={"q": None})) == ids(record(program, LEAVES))


def test_operators_and_methods_cannot_be_opened() -> None:
    def methods(xp: Any, *, a: Any) -> Any:
        z = a.tanh()
        y = xp.nn.functional.softmax(z, -1)
        return xp.sum(y)

    graph = record(methods, {"a": np.array([0.3, -0.2])})
    called = {node.id: function_called(node) for node in graph}
    assert called["z"] is None
    assert called["y"] == "softmax"


# ── the usual forms ───────────────────────────────────────────────────────────────────────────

RNG = np.random.default_rng(11)
X, W, B = RNG.normal(size=(4, 3)), RNG.normal(size=(2, 3)), RNG.normal(size=2)
G, C = RNG.normal(size=3), RNG.normal(size=3)

CALLS: dict[str, list[Any]] = {
    "sigmoid": [lambda f, x: f.sigmoid(x)],
    "tanh": [lambda f, x: f.tanh(x)],
    "silu": [lambda f, x: f.nn.functional.silu(x)],
    "softplus": [lambda f, x: f.nn.functional.softplus(x)],
    "logsumexp": [lambda f, x: f.logsumexp(x, 1), lambda f, x: f.logsumexp(x, 0, keepdim=True)],
    "softmax": [lambda f, x: f.softmax(x, 1), lambda f, x: f.nn.functional.softmax(x, dim=0)],
    "log_softmax": [lambda f, x: f.log_softmax(x, -1)],
    "cross_entropy": [
        lambda f, x: f.nn.functional.cross_entropy(x, f.tensor([2, 0, 1, 1])),
        lambda f, x: f.nn.functional.cross_entropy(x, f.tensor([2, 0, 1, 1]), reduction="sum"),
        lambda f, x: f.nn.functional.cross_entropy(x[0], f.tensor(1)),
    ],
    "mse_loss": [lambda f, x: f.nn.functional.mse_loss(x, f.tensor(X[::-1].tolist()))],
    "linear": [],
    "layer_norm": [lambda f, x: f.nn.functional.layer_norm(x, (3,))],
    "batch_norm": [lambda f, x: f.nn.functional.batch_norm(x, None, None, training=True)],
    "var": [
        lambda f, x: f.var(x, 0), lambda f, x: f.var(x), lambda f, x: f.var(x, 1, correction=0),
    ],
}  # fmt: skip


def test_every_form_is_tested() -> None:
    assert set(CALLS) == set(FORMS)


class _Forms:
    """xp, in which one function is its primitive form."""

    def __init__(self, root: Any, part: Any, name: str) -> None:
        self.root, self.part, self.name = root, part, name

    def __getattr__(self, wanted: str) -> Any:
        if wanted in ("nn", "functional"):
            return _Forms(self.root, getattr(self.part, wanted), self.name)
        if wanted == self.name:
            return lambda *args, **options: FORMS[wanted](self.root, *args, **options)
        return getattr(self.part, wanted)


CASES = [
    pytest.param(name, call, id=f"{name}-{number}")
    for name, calls in CALLS.items()
    for number, call in enumerate(calls)
]


@pytest.mark.parametrize(("name", "call"), CASES)
def test_a_form_has_the_values_and_gradients_of_its_function(name: str, call: Any) -> None:
    weights = RNG.normal(size=(4, 3))

    def total(xp: Any, result: Any) -> Any:
        if result.ndim == 2 and result.shape == weights.shape:
            return xp.sum(result * xp.tensor(weights.tolist()))
        return xp.sum(result**2)

    def fused(xp: Any, *, x: Any) -> Any:
        return total(xp, call(xp, x))

    def primitive(xp: Any, *, x: Any) -> Any:
        return total(xp, call(_Forms(xp, xp, name), x))

    trace = backward(record(primitive, {"x": X}))
    value, gradients = by_torch(fused, {"x": X})
    assert_close(trace.graph[trace.graph.output].value, value, rel=1e-12, what=name)
    assert_close(leaf_gradients(trace)["x"], gradients["x"], rel=1e-10, what=name)


@pytest.mark.parametrize("name", ["linear", "layer_norm", "batch_norm"])
def test_weights_and_biases_of_forms(name: str) -> None:
    def fused(xp: Any, *, x: Any, w: Any, b: Any) -> Any:
        functional = xp.nn.functional
        if name == "linear":
            out = functional.linear(x, w, b)
        elif name == "layer_norm":
            out = functional.layer_norm(x, (3,), w, b)
        else:
            out = functional.batch_norm(x, None, None, w, b, training=True)
        return xp.sum(out**3)

    def primitive(xp: Any, *, x: Any, w: Any, b: Any) -> Any:
        if name == "linear":
            out = FORMS[name](xp, x, w, b)
        elif name == "layer_norm":
            out = FORMS[name](xp, x, (3,), w, b)
        else:
            out = FORMS[name](xp, x, None, None, w, b, training=True)
        return xp.sum(out**3)

    leaves = {"x": X, "w": W if name == "linear" else G, "b": B if name == "linear" else C}
    trace = backward(record(primitive, leaves))
    value, gradients = by_torch(fused, leaves)
    assert_close(trace.graph[trace.graph.output].value, value, rel=1e-12, what=name)
    for leaf, gradient in leaf_gradients(trace).items():
        assert_close(gradient, gradients[leaf], rel=1e-9, what=leaf)


# ── groups ────────────────────────────────────────────────────────────────────────────────────


def inner(x: Any) -> Any:
    p = x * 2
    return p + 1


def outer(x: Any) -> Any:
    q = inner(x)
    r = q * q
    return r


def nested(xp: Any, *, a: Any) -> Any:
    for t in range(2):
        a = outer(a)
    y = inner(a) * 3
    return y


def test_calls_of_helper_functions_are_groups() -> None:
    graph = record(nested, {"a": 0.5})
    assert [(g.id, g.function, g.name, g.parent) for g in graph.groups] == [
        ("a[t=0]", "outer", "a", None),
        ("a[t=0]/q", "inner", "q", 0),
        ("a[t=1]", "outer", "a", None),
        ("a[t=1]/q", "inner", "q", 2),
        ("inner", "inner", None, None),
    ]
    around = [[g.id for g in graph.groups_around(n.index)] for n in graph if n.op is not None]
    assert around == [
        ["a[t=0]", "a[t=0]/q"], ["a[t=0]", "a[t=0]/q"], ["a[t=0]"],
        ["a[t=1]", "a[t=1]/q"], ["a[t=1]", "a[t=1]/q"], ["a[t=1]"],
        ["inner"], ["inner"], [],
    ]  # fmt: skip
    assert graph.groups_around(0) == ()
