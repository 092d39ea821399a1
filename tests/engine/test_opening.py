"""Opened nodes: the same values and gradients in primitive steps, by hand and under torch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
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


ANY = np.array([0.3, -0.2, 0.7])


def over_lines(xp: Any, *, z: Any) -> Any:
    f = xp.nn.functional.softmax(
        z,  # the scores, a # for each
        dim=-1,
    )
    return xp.sum(f * f * z)


def through_an_alias(xp: Any, *, z: Any) -> Any:
    functional = xp.nn.functional
    f = functional.softmax(z, dim=-1)
    return xp.sum(f * f * z)


def annotated(xp: Any, *, z: Any) -> Any:
    f: Any = xp.sigmoid(z)
    return xp.sum(f * f)


def walrus(xp: Any, *, z: Any) -> Any:
    if (f := xp.sigmoid(z)) is not None:
        g = f * f
    return xp.sum(g)


def one_of_two(xp: Any, *, z: Any) -> Any:
    f, g = xp.sigmoid(z), xp.tanh(z)
    return xp.sum(f * g)


def chained(xp: Any, *, z: Any) -> Any:
    f = g = xp.sigmoid(z)
    return xp.sum(f * g)


def attribute(xp: Any, *, z: Any) -> Any:
    class Box:
        f: Any

    Box.f = xp.sigmoid(z)
    return xp.sum(Box.f * z)


def either(xp: Any, *, z: Any) -> Any:
    f = xp.tanh(z) if z.ndim == 0 else xp.sigmoid(z)
    return xp.sum(f * z)


def three_in_turn(xp: Any, *, z: Any) -> Any:
    f = xp.sigmoid(z)
    f = xp.tanh(f)
    f = xp.softmax(f, -1)
    return xp.sum(f * z)


def squashed(xp: Any, v: Any) -> Any:
    f = xp.sigmoid(v)
    return f


def in_a_helper_in_a_loop(xp: Any, *, z: Any) -> Any:
    for _ in range(2):
        z = squashed(xp, z)
    h = [squashed(xp, z * k) for k in range(2)]
    return xp.sum(h[0] * h[1])


def recursive(xp: Any, *, z: Any) -> Any:
    def again(v: Any, n: int) -> Any:
        f = xp.sigmoid(v)
        return again(f, n - 1) if n else f

    y = again(z, 3)
    return xp.sum(y)


def generated(xp: Any, *, z: Any) -> Any:
    def each(v: Any) -> Any:
        for k in range(3):
            f = xp.sigmoid(v * k)
            yield f

    return xp.sum(sum(each(z)))


@pytest.mark.parametrize(
    "program",
    [
        over_lines, through_an_alias, annotated, walrus, one_of_two, chained, attribute, either,
        three_in_turn, in_a_helper_in_a_loop, recursive, generated,
    ],
    ids=lambda program: program.__name__,
)  # fmt: skip
def test_however_a_result_is_assigned_what_is_said_to_open_opens(program: Any) -> None:
    closed = backward(record(program, {"z": ANY}))
    sites = {node.place.site.name: function_called(node) for node in closed.graph if node.place}
    assert sites["f"] in FORMS
    opened = backward(record(program, {"z": ANY}, opened={"f": None}))
    assert len(opened.graph) > len(closed.graph)
    assert any(group.name == "f" for group in opened.graph.groups)
    named = [node.id for node in closed.graph if node.op is not None and node.name.named]
    assert set(named) <= set(opened.graph.index_of)
    assert_close(leaf_gradients(opened)["z"], leaf_gradients(closed)["z"], rel=1e-12, what="z")
    torch = run_torch(program, {"z": ANY}, edges=True, opened={"f": None})
    comparison = compare(opened, torch, None, torch_expected=False)
    operations = [node.index for node in opened.graph if node.op is not None]
    assert {comparison.verdict(index) for index in operations} == {Verdict.AGREE}


@pytest.mark.parametrize("first", ["y = a * 2", "unrelated = 3"])
def test_a_file_that_is_loaded_again_after_an_edit_opens_its_new_names(
    tmp_path: Path, first: str
) -> None:
    path = tmp_path / "edited.py"

    def load(text: str) -> Any:
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("edited", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
        return module.program

    old = load("def program(xp, *, a):\n    f = xp.tanh(a)\n    return f\n")
    assert len(record(old, {"a": 0.5}, opened={"f": None})) > 2
    new = load(f"def program(xp, *, a):\n    {first}\n    g = xp.sigmoid(a)\n    return g\n")
    assert len(record(new, {"a": 0.5}, opened={"g": None})) > 3
    assert "f" not in record(new, {"a": 0.5}, opened={"f": None}).index_of


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
        lambda f, x: f.var(x, False), lambda f, x: f.var(x, 0, unbiased=False),
        lambda f, x: f.var(x, 1, True, True), lambda f, x: f.var(x, dim=None, keepdim=True),
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


def test_calls_from_one_place_are_groups_of_their_own() -> None:
    def program(xp: Any, *, a: Any, b: Any) -> Any:
        for factor in (a, b):  # no number, so the loop's value does not tell the calls apart
            a = outer(a * factor)
        parts = [inner(a * k) for k in range(2)]
        both = parts[0] * parts[1]
        return both

    graph = record(program, {"a": 0.5, "b": 0.25})
    assert [(g.id, g.function, g.name, g.parent) for g in graph.groups] == [
        ("a", "outer", "a", None),
        ("a/q", "inner", "q", 0),
        ("a#2", "outer", "a", None),
        ("a#2/q", "inner", "q", 2),
        ("inner[k=0]", "inner", None, None),
        ("inner[k=1]", "inner", None, None),
    ]
    assert "inner/p[k=1]" in graph.index_of


def test_what_a_generator_computes_at_once_is_a_group() -> None:
    def doubled(v: Any) -> Any:
        while True:
            w = v * 2
            v = yield w

    def program(xp: Any, *, a: Any) -> Any:
        each = doubled(a)
        u = next(each)
        n = 0
        while n < 2:
            q = u + 1
            u = each.send(q)
            n += 1
        return u

    graph = record(program, {"a": 0.5})
    assert [group.id for group in graph.groups] == ["u", "u#2", "u#3"]
