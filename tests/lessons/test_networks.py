"""The chapter on networks: published numbers, and what its lessons promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
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
    assert "0.29102777369" in find_lesson("two-layer").mistake


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
