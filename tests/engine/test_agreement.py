"""Two forms of one program beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.explain_group import agreement_text

LEAVES = {"a": 0.7, "b": -1.3}


def program(xp: Any, *, a: Any, b: Any) -> Any:
    z = a * b
    f = xp.sigmoid(z)
    y = f * a
    return y


def wrong(xp: Any, z: Any) -> Any:
    power = xp.exp(z)
    below = 1 + power
    return 1 / below


def run(opened: Any = None) -> Trace:
    return backward(record(program, LEAVES, opened=opened))


def test_all_leaves_and_shared_nodes_are_compared() -> None:
    found = agreement(run(), run({"f": None}))
    assert [node.id for node in found.shared] == ["a", "b", "z", "f", "y"]
    assert found.agree
    assert found.worst < 1e-15
    assert (found.one_count, found.other_count) == (3, 6)
    assert agreement_text("f", False, found).startswith(
        "f is closed: 3 operations, 6 when open. "
        "Both forms agree on the values and gradients of 5 nodes"
    )


def test_a_wrong_form_is_named_with_everything_that_it_spoils() -> None:
    found = agreement(run({"f": wrong}), run())
    assert not found.agree
    assert [node.id for node in found.shared if not node.agrees] == ["a", "b", "z", "f", "y"]
    assert "The two forms differ in a, b, z, f, y." in agreement_text("f", True, found)


def test_a_gradient_alone_that_is_off_is_noticed() -> None:
    one, other = run(), run()
    gradients = list(other.gradients)
    at = other.graph.index_of["f"]
    gradients[at] *= 1.001  # type: ignore[operator]
    other.gradients = gradients
    found = agreement(one, other)
    assert [node.id for node in found.shared if not node.agrees] == ["f"]
    assert found.worst == pytest.approx(0.0007)


def test_steps_of_two_open_nodes_are_told_apart() -> None:
    def twice(xp: Any, *, a: Any, b: Any) -> Any:
        f = xp.tanh(a)
        g = xp.tanh(f * b)
        return g

    both, one = (
        backward(record(twice, LEAVES, opened=opened))
        for opened in ({"f": None, "g": None}, {"g": None})
    )
    # With f closed too the steps of g have other ids: "tanh/power" for "tanh/power#2".
    assert both.graph.groups[-1].id == one.graph.groups[-1].id == "g"
    found = agreement(both, one)
    assert found.agree
    assert [(node.id, one.graph[node.other].id) for node in found.shared if "/" in node.id] == [
        ("tanh/doubled#2", "tanh/doubled"),
        ("tanh/power#2", "tanh/power"),
        ("tanh/numerator#2", "tanh/numerator"),
        ("tanh/denominator#2", "tanh/denominator"),
    ]
