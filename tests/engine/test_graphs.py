"""Published worked examples, each written once and run on our tape and by torch.

The numbers were printed by their authors, or follow from their definitions; none was computed by
the engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_checks import agrees_with_torch, assert_close, by_hand, by_torch, leaf_gradients

from backprop_tui.engine.graph import Graph, Node, NodeKind
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace


def published(
    program: Any, leaves: dict[str, Any], output: float | None, gradients: dict[str, Any],
    *, rel: float = 1e-12,
) -> Trace:  # fmt: skip
    """Assert the published numbers, and that torch gives what we give."""
    trace = agrees_with_torch(program, leaves, rel=1e-12)
    if output is not None:
        assert trace.graph[trace.graph.output].value == pytest.approx(output, rel=rel, abs=rel)
    found = leaf_gradients(trace)
    for name, expected in gradients.items():
        np.testing.assert_allclose(found[name], expected, rtol=rel, atol=rel, err_msg=name)
    return trace


def node(graph: Graph, name: str) -> Node:
    return graph[graph.index_of[name]]


def gradient(trace: Trace, name: str) -> Any:
    return trace.gradients[trace.graph.index_of[name]]


# ── CS231n, 'Backpropagation, Intuitions' ─────────────────────────────────────────────────────


def test_cs231n_sum_times_z() -> None:
    def program(xp: Any, *, x: Any, y: Any, z: Any) -> Any:
        q = x + y
        f = q * z
        return f

    trace = published(program, {"x": -2.0, "y": 5.0, "z": -4.0}, -12, {"x": -4, "y": -4, "z": 3})
    assert node(trace.graph, "q").value == 3.0


def test_cs231n_product() -> None:
    published(lambda xp, *, x, y: x * y, {"x": 4.0, "y": -3.0}, -12, {"x": -3, "y": 4})


def sigmoid_neuron(xp: Any, *, w: Any, x: Any) -> Any:
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    f = 1.0 / (1.0 + xp.exp(-dot))
    return f


@pytest.mark.parametrize("spelling", ["exp", "sigmoid"])
def test_cs231n_sigmoid_neuron(spelling: str) -> None:
    def with_sigmoid(xp: Any, *, w: Any, x: Any) -> Any:
        return xp.sigmoid(w[0] * x[0] + w[1] * x[1] + w[2])

    program = sigmoid_neuron if spelling == "exp" else with_sigmoid
    leaves = {"w": [2.0, -3.0, -3.0], "x": [-1.0, -2.0]}
    trace = published(program, leaves, 0.7310585786300049, {})
    found = leaf_gradients(trace)
    # The notes print two decimals: dot 1.00, f 0.73, dw (−0.20, −0.39, 0.20), dx (0.39, −0.59).
    np.testing.assert_allclose(found["w"], [-0.20, -0.39, 0.20], atol=0.005)
    np.testing.assert_allclose(found["x"], [0.39, -0.59], atol=0.005)
    slope = 0.19661193324148185
    np.testing.assert_allclose(found["w"], [-slope, -2 * slope, slope], rtol=1e-12)
    np.testing.assert_allclose(found["x"], [2 * slope, -3 * slope], rtol=1e-12)
    if spelling == "exp":
        assert node(trace.graph, "dot").value == 1.0
        assert gradient(trace, "dot") == pytest.approx(slope, rel=1e-12)


def test_cs231n_staged_computation() -> None:
    def program(xp: Any, *, x: Any, y: Any) -> Any:
        sigy = xp.sigmoid(y)
        num = x + sigy
        sigx = xp.sigmoid(x)
        xpy = x + y
        xpysqr = xpy**2
        den = sigx + xpysqr
        invden = 1.0 / den
        f = num * invden
        return f

    published(
        program,
        {"x": 3.0, "y": -4.0},
        1.5456448841066441,
        {"x": 2.0595697955721652, "y": 1.5922327514838093},
    )


def test_cs231n_patterns_in_backward_flow() -> None:
    def program(xp: Any, *, x: Any, y: Any, z: Any, w: Any) -> Any:
        return 2 * (x * y + xp.maximum(z, w))

    leaves = {"x": 3.0, "y": -4.0, "z": 2.0, "w": -1.0}
    published(program, leaves, -20, {"x": -8, "y": 6, "z": 2, "w": 0})


# ── micrograd (nn-zero-to-hero, lecture 1) ────────────────────────────────────────────────────


def expression(xp: Any, *, a: Any, b: Any, c: Any, f: Any) -> Any:
    e = a * b
    d = e + c
    L = d * f
    return L


def test_micrograd_expression() -> None:
    leaves = {"a": 2.0, "b": -3.0, "c": 10.0, "f": -2.0}
    trace = published(expression, leaves, -8, {"a": 6, "b": -4, "c": -2, "f": 4})
    assert (gradient(trace, "e"), gradient(trace, "d")) == (-2.0, -2.0)
    nudged = {k: v + 0.01 * leaf_gradients(trace)[k] for k, v in leaves.items()}
    after = by_hand(expression, nudged)
    assert after.graph[after.graph.output].value == pytest.approx(-7.286496, abs=5e-7)


def neuron(xp: Any, *, x1: Any, x2: Any, w1: Any, w2: Any, b: Any) -> Any:
    x1w1 = x1 * w1
    x2w2 = x2 * w2
    n = x1w1 + x2w2 + b
    o = xp.tanh(n)
    return o


NEURON = {"x1": 2.0, "x2": 0.0, "w1": -3.0, "w2": 1.0, "b": 6.8813735870195432}


def test_micrograd_neuron() -> None:
    expected = {"x1": -1.5, "w1": 1.0, "x2": 0.5, "w2": 0.0}
    trace = published(neuron, NEURON, 0.7071067811865476, expected)
    assert gradient(trace, "n") == pytest.approx(0.5, rel=1e-12)


def test_micrograd_neuron_with_tanh_spelled_out() -> None:
    def program(xp: Any, *, x1: Any, x2: Any, w1: Any, w2: Any, b: Any) -> Any:
        n = x1 * w1 + x2 * w2 + b
        e = xp.exp(2 * n)
        o = (e - 1) / (e + 1)
        return o

    expected = {"x1": -1.5, "w1": 1.0, "x2": 0.5, "w2": 0.0}
    published(program, NEURON, 0.7071067811865476, expected)


def test_micrograd_a_plus_a() -> None:
    published(lambda xp, *, a: a + a, {"a": 3.0}, 6.0, {"a": 2})


def test_micrograd_product_times_sum() -> None:
    def program(xp: Any, *, a: Any, b: Any) -> Any:
        d = a * b
        e = a + b
        f = d * e
        return f

    published(program, {"a": -2.0, "b": 3.0}, -6, {"a": -3, "b": -8})


def test_the_diamond_where_order_matters() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        b = a + a
        c = b + b
        return c

    published(program, {"a": 1.0}, 4.0, {"a": 4})


def test_micrograd_itself_agrees() -> None:
    engine = pytest.importorskip("micrograd.engine")

    def program(xp: Any, *, a: Any, b: Any) -> Any:
        c = a + b
        d = a * b + b**3
        c = c + c + 1
        c = c + 1 + c + (-a)
        d = d + d * 2 + (b + a).relu()
        d = d + 3 * d + (b - a).relu()
        e = c - d
        f = e**2
        g = f / 2.0
        g = g + 10.0 / f
        return g

    trace = agrees_with_torch(program, {"a": -4.0, "b": 2.0}, rel=1e-12)
    a, b = engine.Value(-4.0), engine.Value(2.0)
    out = program(None, a=a, b=b)
    out.backward()
    # micrograd's own README: g 24.7041, dg/da 138.8338, dg/db 645.5773
    assert (round(out.data, 4), round(a.grad, 4), round(b.grad, 4)) == (24.7041, 138.8338, 645.5773)
    found = leaf_gradients(trace)
    assert trace.graph[trace.graph.output].value == pytest.approx(out.data, rel=1e-12)
    assert (found["a"], found["b"]) == pytest.approx((a.grad, b.grad), rel=1e-12)


# ── Matt Mazur, 'A Step by Step Backpropagation Example' ──────────────────────────────────────


def mazur(xp: Any, *, i: Any, W1: Any, b1: Any, W2: Any, b2: Any, target: Any) -> Any:
    net_h = W1 @ i + b1
    out_h = xp.sigmoid(net_h)
    net_o = W2 @ out_h + b2
    out_o = xp.sigmoid(net_o)
    E = 0.5 * xp.sum((target - out_o) ** 2)
    return E


MAZUR = {
    "i": [0.05, 0.10],
    "W1": [[0.15, 0.20], [0.25, 0.30]],
    "b1": 0.35,
    "W2": [[0.40, 0.45], [0.50, 0.55]],
    "b2": 0.60,
    "target": [0.01, 0.99],
}


def test_mazur() -> None:
    trace = published(mazur, MAZUR, 0.298371109, {}, rel=5e-9)
    graph = trace.graph
    for name, expected, digits in [
        ("net_h", [0.3775, 0.3925], 4),
        ("out_h", [0.593269992, 0.596884378], 9),
        ("out_o", [0.75136507, 0.772928465], 8),
    ]:
        np.testing.assert_allclose(
            node(graph, name).value, expected, atol=0.6 * 10**-digits, err_msg=name
        )
    found = leaf_gradients(trace)
    assert found["W2"][0][0] == pytest.approx(0.082167041, abs=6e-10)
    assert found["W1"][0][0] == pytest.approx(0.000438568, abs=6e-10)
    new_w2 = np.ravel(np.asarray(MAZUR["W2"]) - 0.5 * found["W2"])
    new_w1 = np.ravel(np.asarray(MAZUR["W1"]) - 0.5 * found["W1"])
    np.testing.assert_allclose(
        new_w2, [0.35891648, 0.408666186, 0.511301270, 0.561370121], atol=6e-9
    )
    np.testing.assert_allclose(new_w1, [0.149780716, 0.19956143, 0.24975114, 0.29950229], atol=6e-9)
    after = by_hand(mazur, {**MAZUR, "W1": new_w1.reshape(2, 2), "W2": new_w2.reshape(2, 2)})
    # Not the post's 0.291027924, which updates W2 before using it for the hidden gradients.
    assert after.graph[after.graph.output].value == pytest.approx(0.29102777369, abs=5e-11)


# ── batch normalisation in nine steps (kratzert.github.io) ────────────────────────────────────


def batch_norm(xp: Any, *, x: Any, gamma: Any, beta: Any, dout: Any) -> Any:
    mu = xp.mean(x, dim=0)
    xmu = x - mu
    sq = xmu**2
    var = xp.mean(sq, dim=0)
    sqrtvar = xp.sqrt(var + 1e-5)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    out = gammax + beta
    return xp.sum(out * dout)


def test_batch_norm_in_nine_steps() -> None:
    leaves = {
        "x": [[1.0, 2.0], [3.0, 6.0], [5.0, 4.0]],
        "gamma": [1.5, -0.5],
        "beta": [0.1, 0.2],
        "dout": [[1.0, 0.5], [-0.5, 2.0], [0.25, -1.0]],
    }
    trace = published(
        batch_norm,
        leaves,
        None,
        {
            "beta": [0.75, 1.5],
            "gamma": [-0.9185569312510604, 1.8371138625021208],
            "x": [
                [0.3444601409349882, -0.22963837166887133],
                [-0.6889176984382953, -0.22964009395665883],
                [0.344457557503307, 0.4592784656255302],
            ],
        },
    )
    for name, expected in [
        ("out", leaves["dout"]),
        ("ivar", [-2.25, -1.5]),
        ("sqrtvar", [0.8437468359493653, 0.5624978906329101]),
        ("var", [0.25834316812748026, 0.17222877875165352]),
        ("mu", [-0.6889176984382952, 0.45927846562553015]),
    ]:
        np.testing.assert_allclose(gradient(trace, name), expected, rtol=1e-12, err_msg=name)


# ── The Matrix Calculus You Need For Deep Learning (arXiv 1802.01528) ─────────────────────────


@pytest.mark.parametrize(("b", "active"), [(0.5, 1.0), (-20.0, 0.0)])
def test_matrix_calculus_neuron(b: float, active: float) -> None:
    def program(xp: Any, *, w: Any, x: Any, b: Any) -> Any:
        z = xp.dot(w, x) + b
        return xp.relu(z)

    w, x = np.array([1.0, -2.0, 3.0]), np.array([2.0, 0.5, 1.5])
    published(
        program, {"w": w, "x": x, "b": b}, None, {"w": active * x, "x": active * w, "b": active}
    )


def test_matrix_calculus_mean_squared_loss() -> None:
    def program(xp: Any, *, X: Any, y: Any, w: Any, b: Any) -> Any:
        C = xp.mean((y - xp.relu(X @ w + b)) ** 2)
        return C

    X = np.array([[1.0, 2.0], [-3.0, 0.5], [0.5, -1.5], [2.0, 1.0]])
    y, w, b = np.array([1.0, 2.0, -1.0, 0.5]), np.array([0.7, 0.4]), 0.2
    z = X @ w + b
    active = z > 0
    assert active.any() and not active.all()
    e = np.where(active, z - y, 0.0)
    published(
        program,
        {"X": X, "y": y, "w": w, "b": b},
        None,
        {"w": 2 / len(y) * (e @ X), "b": 2 / len(y) * np.sum(e)},
    )


def test_matrix_calculus_chain_rules() -> None:
    x = 0.9

    def nested(xp: Any, *, x: Any) -> Any:
        return xp.log(xp.sin(x**3) ** 2)

    slope = 6 * x**2 * math.cos(x**3) / math.sin(x**3)
    published(nested, {"x": x}, math.log(math.sin(x**3) ** 2), {"x": slope})
    published(lambda xp, *, x: x + x**2, {"x": x}, x + x**2, {"x": 1 + 2 * x})
    published(
        lambda xp, *, x: xp.sin(x + x**2),
        {"x": x},
        math.sin(x + x**2),
        {"x": math.cos(x + x**2) * (1 + 2 * x)},
    )


# ── the record itself ─────────────────────────────────────────────────────────────────────────


def test_a_graphs_invariants() -> None:
    trace = by_hand(neuron, NEURON)
    graph = trace.graph
    assert len(graph) == len(list(graph))
    for n in graph:
        assert all(operand < n.index for operand in n.operands)
        assert (n.op is None) == (n.kind is not NodeKind.OPERATION)
        assert graph.index_of[n.id] == n.index
    for index, edges in enumerate(graph.uses):
        for edge in edges:
            assert edge.target == index
            assert graph[edge.source].operands[edge.slot] == index
    assert sum(map(len, graph.uses)) == sum(len(n.operands) for n in graph)


def test_the_output_must_be_on_the_tape() -> None:
    from backprop_tui.engine.tape import Tape

    one, other = Tape(None), Tape(None)
    one.leaf("a", 1.0)
    with pytest.raises(ValueError, match="tape"):
        Graph(one, other.leaf("a", 1.0))


def test_without_places_values_are_the_same() -> None:
    leaves = {k: float(v) for k, v in NEURON.items()}
    one, other = record(neuron, leaves), record(neuron, leaves, places=False)
    assert [n.value for n in one] == [n.value for n in other]
    assert all(n.place is None for n in other)
    ids = [n.id for n in other]
    assert len(set(ids)) == len(ids)


def test_torch_gives_zero_where_we_have_none() -> None:
    _, gradients = by_torch(lambda xp, *, a, b: a * 2, {"a": 1.0, "b": 2.0})
    assert_close(0.0, gradients["b"], rel=0, what="b")
