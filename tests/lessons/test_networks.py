"""The chapter on networks: published numbers, and what its lessons promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import leaf_gradients

from backprop_tui.engine.graph import Edge
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves


def run(lesson_id: str, sizes: Mapping[str, int] | None = None, **changed: Any) -> Trace:
    """A lesson with its defaults, or with some leaves and sizes changed."""
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    return backward(record(lesson.program, leaves, sizes))


def value(trace: Trace, name: str) -> Any:
    """The value of a named node."""
    return trace.graph[trace.graph.index_of[name]].value


def gradient(trace: Trace, name: str) -> Any:
    """The gradient of a named node."""
    return trace.gradients[trace.graph.index_of[name]]


# ── two-layer: the numbers that Matt Mazur printed ────────────────────────────────────────────

TWO_LAYER_VALUES = {
    "net_h1": 0.3775,
    "out_h1": 0.593269992,
    "out_h2": 0.596884378,
    "net_o1": 1.105905967,
    "out_o1": 0.75136507,
    "out_o2": 0.772928465,
    "E_o1": 0.274811083,
    "E_o2": 0.023560026,
    "E_total": 0.298371109,
}
TWO_LAYER_GRADIENTS = {
    "out_o1": 0.74136507,
    "net_o1": 0.138498562,
    "w5": 0.082167041,
    "out_h1": 0.036350306,
    "w1": 0.000438568,
}
UPDATED = {
    "w1": 0.149780716, "w2": 0.19956143, "w3": 0.24975114, "w4": 0.29950229,
    "w5": 0.35891648, "w6": 0.408666186, "w7": 0.511301270, "w8": 0.561370121,
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), TWO_LAYER_VALUES.items())
def test_two_layer_forward(name: str, expected: float) -> None:
    assert value(run("two-layer"), name) == pytest.approx(expected, abs=6e-10)


@pytest.mark.parametrize(("name", "expected"), TWO_LAYER_GRADIENTS.items())
def test_two_layer_gradients(name: str, expected: float) -> None:
    assert gradient(run("two-layer"), name) == pytest.approx(expected, abs=6e-10)


def test_two_layer_a_hidden_neuron_hears_from_both_outputs() -> None:
    """The two that he adds up: from o1 0.055399425, and from o2 −0.019049119."""
    trace = run("two-layer")
    arrived = trace.arrivals[trace.graph.index_of["out_h1"]]
    sent = sorted(trace.contribution(Edge(e.source, e.target, e.slot)) for e in arrived)
    np.testing.assert_allclose(sent, [-0.019049119, 0.055399425], atol=6e-10)


def updated(trace: Trace) -> dict[str, float]:
    """The eight weights after one update with the learning rate 0.5; the biases stay."""
    return {
        name: value(trace, name) - 0.5 * leaf_gradients(trace)[name]
        for name in (f"w{k}" for k in range(1, 9))
    }


def test_two_layer_one_update() -> None:
    new = updated(run("two-layer"))
    for name, expected in UPDATED.items():
        assert new[name] == pytest.approx(expected, abs=6e-9), name
    assert value(run("two-layer", **new), "E_total") == pytest.approx(0.29102777369, abs=6e-12)


def test_two_layer_typing_the_published_weights_gives_what_the_lesson_says() -> None:
    """He prints w2 to w5 with eight decimals only, and that is enough for these nine."""
    after = value(run("two-layer", **UPDATED), "E_total")
    assert after == pytest.approx(0.291027774, abs=6e-10)
    assert "0.291027774" in find_lesson("two-layer").idea
    assert "printed weights give 0.291027774." in find_lesson("two-layer").mistake


def test_two_layer_his_printed_error_comes_of_the_wrong_order() -> None:
    """Updating w5 to w8 first, and using the new ones for the hidden neurons: 0.291027924."""
    trace = run("two-layer")
    new = updated(trace)
    for h, (to_o1, to_o2), (from_i1, from_i2) in (
        ("h1", ("w5", "w7"), ("w1", "w2")),
        ("h2", ("w6", "w8"), ("w3", "w4")),
    ):
        out = value(trace, f"out_{h}")
        arrived = gradient(trace, "net_o1") * new[to_o1] + gradient(trace, "net_o2") * new[to_o2]
        delta = arrived * out * (1 - out)
        new[from_i1] = value(trace, from_i1) - 0.5 * delta * value(trace, "i1")
        new[from_i2] = value(trace, from_i2) - 0.5 * delta * value(trace, "i2")
    after = value(run("two-layer", **new), "E_total")
    assert after == pytest.approx(0.291027924, abs=6e-10)
    assert "0.291027924" in find_lesson("two-layer").mistake


@pytest.mark.parametrize(("name", "expected"), UPDATED.items())
def test_two_layer_notes_name_the_updated_weights(name: str, expected: float) -> None:
    assert f"{expected:.9f}".rstrip("0") in find_lesson("two-layer").notes[name]


def test_two_layer_answers() -> None:
    """What its answers claim: factors of dw5 and of dw1, and who hears of a right o1."""
    trace = run("two-layer")
    out = value(trace, "out_o1")
    assert out * (1 - out) == pytest.approx(0.186815602, abs=6e-10)
    assert gradient(trace, "w5") / gradient(trace, "w1") == pytest.approx(187.4, abs=0.1)
    hidden = value(trace, "out_h1")
    assert hidden * (1 - hidden) == pytest.approx(0.241, abs=5e-4)
    right = run("two-layer", target_o1=out)
    found = leaf_gradients(right)
    assert found["w5"] == found["w6"] == 0.0
    assert all(found[name] != 0.0 for name in ("w1", "w2", "w3", "w4", "w7", "w8"))


# ── mlp: the shape of micrograd's demo ────────────────────────────────────────────────────────

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def test_mlp_the_points_are_two_moons() -> None:
    """The formula that the lesson names, on which the labels take turns."""
    leaves: dict[str, Any] = default_leaves(find_lesson("mlp"), {"batch_size": 16, "hidden": 4})
    points, labels = [], []
    for k in (0, 4, 2, 6, 1, 5, 3, 7):
        angle = (k + 0.5) * np.pi / 8
        points += [
            [np.cos(angle), np.sin(angle)],
            [1 - np.cos(angle), 0.5 - np.sin(angle)],
        ]
        labels += [[-1.0], [1.0]]
    np.testing.assert_allclose(leaves["X"], points, atol=0.005)
    np.testing.assert_array_equal(leaves["y"], labels)


@pytest.mark.parametrize(("batch_size", "hidden"), [(8, 4), (16, 16), (3, 5), (1, 1)])
def test_mlp_is_what_torchs_own_layers_make(batch_size: int, hidden: int) -> None:
    """The same network of torch.nn.Linear, with the loss as the demo writes it."""
    sizes = {"batch_size": batch_size, "hidden": hidden}
    trace = run("mlp", sizes)
    leaves: dict[str, Any] = default_leaves(find_lesson("mlp"), sizes)
    layers: list[Any] = [
        torch.nn.Linear(n, m) for n, m in ((2, hidden), (hidden, hidden), (hidden, 1))
    ]
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    model.double()
    with torch.no_grad():
        for layer, number in zip(layers, "123", strict=True):
            layer.weight.copy_(torch.tensor(leaves[f"W{number}"].T.copy()))
            layer.bias.copy_(torch.tensor(leaves[f"b{number}"][0]))
    scores = model(torch.tensor(leaves["X"][:batch_size]))[:, 0]
    losses = [(1 + -float(y) * s).relu() for y, s in zip(leaves["y"][:, 0], scores, strict=False)]
    total = sum(losses) * (1.0 / len(losses))
    total = total + 1e-4 * sum((p * p).sum() for p in model.parameters())
    total.backward()
    assert value(trace, "total_loss") == pytest.approx(total.item(), rel=1e-12)
    found = leaf_gradients(trace)
    for layer, number in zip(layers, "123", strict=True):
        np.testing.assert_allclose(found[f"W{number}"], layer.weight.grad.T, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found[f"b{number}"][0], layer.bias.grad, rtol=0, atol=1e-13)


def test_mlp_has_as_many_parameters_as_the_demo() -> None:
    leaves: dict[str, Any] = default_leaves(find_lesson("mlp"), {"batch_size": 16, "hidden": 16})
    assert sum(np.size(leaves[name]) for name in PARAMETERS) == 337


def test_mlp_begins_with_points_on_both_sides_of_the_margin() -> None:
    """Else neither of the two switches could be seen."""
    trace = run("mlp")
    assert 1 <= np.sum(value(trace, "gap") < 0) < 8
    for name in ("act1", "act2"):
        positive = value(trace, name) > 0
        assert 0 < np.sum(positive) < positive.size
        assert np.all(np.any(positive, axis=0))  # no unit is silent for all points


def test_mlp_a_point_that_is_right_by_the_margin_is_silent() -> None:
    trace = run("mlp")
    right = value(trace, "gap")[:, 0] < 0
    for name in ("scores", "h2", "act2", "h1", "act1", "Xb"):
        assert np.all(gradient(trace, name)[right] == 0.0), name
        assert np.any(gradient(trace, name)[~right] != 0.0), name


def test_mlp_all_that_count_pull_equally_hard() -> None:
    trace = run("mlp")
    pull = gradient(trace, "scores") * -value(trace, "yb")
    assert set(np.unique(pull)) == {0.0, 1 / 8}


def test_mlp_a_silent_unit_hears_from_the_squares_alone() -> None:
    trace = run("mlp", b1=[[-0.05, -99.0, 0.27, 0.23]], alpha=0.25)
    found = leaf_gradients(trace)
    assert np.all(value(trace, "h1")[:, 1] == 0.0)
    np.testing.assert_allclose(found["W1"][:, 1], 0.5 * value(trace, "W1")[:, 1], rtol=1e-15)
    np.testing.assert_allclose(found["W2"][1], 0.5 * value(trace, "W2")[1], rtol=1e-15)
    assert found["b1"][0, 1] == 0.5 * -99.0
    assert not np.allclose(found["W2"][0], 0.5 * value(trace, "W2")[0])
