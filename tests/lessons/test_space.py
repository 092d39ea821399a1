"""The chapter on space: torch's own gradients, published numbers, and what its lessons promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import assert_close, leaf_gradients

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves
from backprop_tui.lessons.equations import check_equations, equation_holds
from backprop_tui.session import Session


def run(lesson_id: str, sizes: Mapping[str, int] | None = None, **changed: Any) -> Trace:
    """A lesson with nothing opened, with its defaults or with some leaves and sizes changed."""
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


def tensors(lesson_id: str) -> dict[str, torch.Tensor]:
    """A lesson's leaves for torch."""
    leaves = default_leaves(find_lesson(lesson_id), find_lesson(lesson_id).default_sizes())
    return {name: torch.tensor(np.array(v)) for name, v in leaves.items()}


# ── conv1d ────────────────────────────────────────────────────────────────────────────────────

ALONG = list(range(7))


@pytest.mark.parametrize(
    ("x", "w", "y"),
    [
        ([ALONG], [[[1, 2]]], [2, 5, 8, 11, 14, 17]),
        (
            [ALONG, [i + 1 for i in ALONG], [i + 2 for i in ALONG]],
            [[[1, 2], [3, 4], [-1, -3]]],
            [2, 8, 14, 20, 26, 32],
        ),
    ],
)
def test_the_signals_of_dive_into_deep_learning(x: Any, w: Any, y: Any) -> None:
    """Section 16.3: one channel, and three."""
    trace = run("conv1d", x=x, w=w, b=[0.0], G=[[1.0, -0.5, 2.0, 3.0, 0.25, -1.5]])
    np.testing.assert_array_equal(value(trace, "y"), [y])
    signal = np.array(x, dtype=float)
    windows = [[[row[i : i + 6] for i in range(2)] for row in signal]]  # what each weight met
    dw = np.array(windows) @ gradient(trace, "y")[0]
    np.testing.assert_allclose(leaf_gradients(trace)["w"], dw, rtol=1e-12)


def test_conv1d_beside_torchs_own_gradients() -> None:
    t = tensors("conv1d")
    found = leaf_gradients(run("conv1d"))
    kernel = torch.nn.grad.conv1d_weight(t["x"][None], (1, 1, 3), t["G"][None])
    signal = torch.nn.grad.conv1d_input((1, 1, 6), t["w"], t["G"][None])
    assert_close(found["w"], kernel.numpy(), rel=1e-12, what="w")
    assert_close(found["x"], signal[0].numpy(), rel=1e-12, what="x")
    assert_close(found["b"], t["G"].sum(1).numpy(), rel=1e-12, what="b")


def test_what_conv1d_answers() -> None:
    trace = Session(find_lesson("conv1d")).trace  # open, as it is at first
    arrived = trace.arrivals[trace.graph.index_of["x"]]
    seen = [trace.contribution(edge) != 0 for edge in arrived]
    assert len(seen) == 3
    assert np.sum(seen, axis=0).tolist() == [[1, 2, 3, 3, 2, 1]]
    one = leaf_gradients(run("conv1d", G=[[0.0, 0.0, 1.0, 0.0]]))
    assert one["x"].tolist() == [[0, 0, 0.5, -1.0, 2.0, 0]]
    assert one["w"].tolist() == [[[3.0, 0.5, -1.0]]]


# ── conv2d ────────────────────────────────────────────────────────────────────────────────────


def test_the_image_of_dive_into_deep_learning() -> None:
    """Section 7.4, two input channels; then K, K + 1 and K + 2 as three output channels."""
    trace = run("conv2d")
    assert value(trace, "Y").tolist() == [[[56.0, 72.0], [104.0, 120.0]]]
    K = default_leaves(find_lesson("conv2d"), {})["K"]
    more = run("conv2d", K=np.concatenate([K, K + 1, K + 2]))
    assert value(more, "Y").tolist() == [
        [[56, 72], [104, 120]],
        [[76, 100], [148, 172]],
        [[96, 128], [192, 224]],
    ]


def test_the_image_of_one_channel() -> None:
    """Section 7.2 of the same book: 0 … 8 with the kernel 0 … 3."""
    trace = run("conv2d", X=[[[0, 1, 2], [3, 4, 5], [6, 7, 8]]], K=[[[[0, 1], [2, 3]]]])
    assert value(trace, "Y").tolist() == [[[19.0, 25.0], [37.0, 43.0]]]


def test_conv2d_beside_torchs_own_gradients() -> None:
    t = tensors("conv2d")
    found = leaf_gradients(run("conv2d"))
    kernel = torch.nn.grad.conv2d_weight(t["X"][None], (1, 2, 2, 2), t["G"][None])
    image = torch.nn.grad.conv2d_input((1, 2, 3, 3), t["K"], t["G"][None])
    assert_close(found["K"], kernel.numpy(), rel=1e-12, what="K")
    assert_close(found["X"], image[0].numpy(), rel=1e-12, what="X")


def test_conv2d_equations_hold_with_several_output_channels() -> None:
    lesson = find_lesson("conv2d")
    rng = np.random.default_rng(3)
    shapes = {"X": (3, 4, 5), "K": (2, 3, 2, 2), "G": (2, 3, 4)}
    trace = run("conv2d", **{name: rng.uniform(-1, 1, shape) for name, shape in shapes.items()})
    for equation, _, left, right in check_equations(lesson, trace, {}):
        assert equation_holds(left, right), f"{equation.left} = {equation.right}"


def test_what_conv2d_says_of_corners_and_of_a_turned_kernel() -> None:
    found = leaf_gradients(run("conv2d"))
    assert found["X"][0, 0, 0] == 0.0  # its weight is 0
    one = leaf_gradients(run("conv2d", G=[[[0.0, 0.0], [0.0, 1.0]]]))
    X = default_leaves(find_lesson("conv2d"), {})["X"]
    np.testing.assert_array_equal(one["K"][0], X[:, 1:, 1:])
    all_four = leaf_gradients(run("conv2d", G=np.ones((1, 2, 2)), K=np.ones((1, 2, 2, 2))))
    assert all_four["X"][0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]  # how often it is seen


# ── maxpool ───────────────────────────────────────────────────────────────────────────────────


def test_the_pooling_of_cs231n() -> None:
    trace = run("maxpool")
    assert value(trace, "y").tolist() == [[[6.0, 8.0], [3.0, 4.0]]]
    assert leaf_gradients(trace)["x"].tolist() == [
        [[0, 0, 0, 0], [0, 1.5, 0, -2], [0.5, 0, 0, 0], [0, 0, 0, 3]]
    ]


@pytest.mark.parametrize("opened", [False, True])
def test_at_a_tie_the_first_one_receives_all(opened: bool) -> None:
    """As the lesson's second question says, in both forms, and as in torch."""
    lesson = find_lesson("maxpool")
    session = Session(lesson)
    if opened:
        session.toggle_open("y")
    x = np.array(default_leaves(lesson, {})["x"])
    x[0, 1, 0] = 6.0
    x[0, 2:, 2:] = 0.0  # a whole window at a tie
    leaves = {**default_leaves(lesson, {}), "x": as_value(x)}
    opening = lesson.opening(["y"] if opened else [])
    trace = backward(record(lesson.program, leaves, {}, opened=opening))
    tensor = torch.tensor(x, requires_grad=True)
    (torch.max_pool2d(tensor, 2) * torch.tensor(np.array(leaves["G"]))).sum().backward()
    assert tensor.grad is not None
    found = leaf_gradients(trace)["x"]
    np.testing.assert_array_equal(found, tensor.grad.numpy())
    assert found.tolist() == [[[0, 0, 0, 0], [1.5, 0, 0, -2], [0.5, 0, 3, 0], [0, 0, 0, 0]]]
    for equation, _, left, right in check_equations(lesson, trace, {}):
        assert equation_holds(left, right), f"{equation.left} = {equation.right}"


# ── embedding ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_table_is_torchs_own(d: int) -> None:
    lesson, sizes = find_lesson("embedding"), {"d": d}
    leaves = default_leaves(lesson, sizes)
    layer = torch.nn.Embedding.from_pretrained(torch.tensor(np.array(leaves["E"])), freeze=False)
    out = layer(torch.tensor([2, 0, 2]))
    out.backward(torch.tensor(np.array(leaves["G"])))
    trace = run("embedding", sizes)
    np.testing.assert_array_equal(value(trace, "picked"), out.detach().numpy())
    assert layer.weight.grad is not None
    assert_close(leaf_gradients(trace)["E"], layer.weight.grad.numpy(), rel=1e-15, what="E")


def test_rows_collect_as_often_as_they_are_used() -> None:
    found = leaf_gradients(run("embedding"))["E"]
    assert found.tolist() == [[0.5, 3.0], [0.0, 0.0], [-0.5, -1.75], [0.0, 0.0]]


def test_opened_the_table_receives_three_contributions() -> None:
    session = Session(find_lesson("embedding"))
    before = leaf_gradients(session.trace)["E"]
    session.toggle_open("picked")
    trace = session.trace
    assert len(trace.arrivals[trace.graph.index_of["E"]]) == 3
    np.testing.assert_array_equal(leaf_gradients(trace)["E"], before)
