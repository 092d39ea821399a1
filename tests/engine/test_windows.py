"""Convolutions and pooling: ties, nan, edges, kinks, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_checks import agrees_with_differences, agrees_with_torch, by_hand, weighted

from backprop_tui.engine.numeric import Kind, differences
from backprop_tui.engine.operations.spatial import Meetings
from backprop_tui.engine.tape import UnsupportedProgram

SIGNAL = np.array([[1.0, 5.0, 2.0, 3.0, 3.0, -1.0, 0.5]])
IMAGE = np.arange(1.0, 31.0).reshape(1, 5, 6) * np.array([1.0, -1.0] * 3) / 7.0

CORNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "pooled": (lambda xp, *, x: xp.max_pool1d(x, 2), {"x": SIGNAL}),
    "pooled, overlapping": (lambda xp, *, x: xp.max_pool1d(x, 3, stride=1) ** 2, {"x": SIGNAL}),
    "pooled with padding": (lambda xp, *, x: xp.max_pool1d(x, 4, 3, 2), {"x": -SIGNAL**2}),
    "image pooled": (lambda xp, *, x: xp.max_pool2d(x, (2, 3), 1), {"x": IMAGE}),
    "image pooled with padding": (lambda xp, *, x: xp.max_pool2d(x, 3, 2, 1), {"x": -(IMAGE**2)}),
    "kernel as long as the signal": (
        lambda xp, *, x, w: xp.conv1d(x, w), {"x": SIGNAL, "w": SIGNAL[None] / 3.0},
    ),
    "a stride that leaves a rest": (
        lambda xp, *, x, w: xp.conv1d(x, w, stride=3), {"x": SIGNAL, "w": [[[0.5, -1.0]]]},
    ),
    "a stride that jumps over cells": (
        lambda xp, *, x, w: xp.conv1d(x, w, stride=4), {"x": SIGNAL, "w": [[[0.5, -1.0]]]},
    ),
    "padding beyond the kernel": (
        lambda xp, *, x, w: xp.conv1d(x, w, padding=3), {"x": SIGNAL, "w": [[[0.5, -1.0]]]},
    ),
    "valid": (
        lambda xp, *, x, w: xp.conv1d(x, w, padding="valid"), {"x": SIGNAL, "w": [[[0.5, -1.0]]]},
    ),
    "constant kernel": (
        lambda xp, *, x: xp.nn.functional.conv1d(x, xp.tensor([[[1.0, 0.0, -1.0]]])), {"x": SIGNAL},
    ),
    "constant image": (
        lambda xp, *, w, b: xp.conv2d(xp.ones(1, 3, 4), w, b),
        {"w": np.arange(1.0, 9.0).reshape(2, 1, 2, 2), "b": [0.5, -1.0]},
    ),
    "kernel with itself": (lambda xp, *, w: xp.conv1d(w, w, padding=1), {"w": SIGNAL[None]}),
    "different in height and width": (
        lambda xp, *, x, w: xp.conv2d(x, w, stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
        {"x": IMAGE, "w": np.arange(1.0, 7.0).reshape(1, 1, 2, 3)},
    ),
    "a network": (
        lambda xp, *, x, w: xp.max_pool2d(xp.relu(xp.conv2d(x, w, padding=1)), 2).flatten(),
        {"x": IMAGE, "w": np.array([[[[0.5, -1.0], [2.0, 0.3]]], [[[1.0, -0.2], [0.7, -0.4]]]])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name: str) -> None:
    program, leaves = CORNERS[name]
    agrees_with_torch(*weighted(program, leaves, np.random.default_rng(1)), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in CORNERS if "pooled" not in name])
def test_corner_by_differences(name: str) -> None:
    program, leaves = CORNERS[name]
    agrees_with_differences(*weighted(program, leaves, np.random.default_rng(1)), rel=1e-5)


@pytest.mark.parametrize(
    "row",
    [
        [2.0, 2.0, 2.0, 2.0],
        [1.0, np.nan, np.nan, 3.0],
        [np.nan, 5.0, 5.0, np.nan],
        [-np.inf, -np.inf, -np.inf, -np.inf],
        [np.inf, np.inf, -np.inf, 1.0],
        [-np.inf, np.nan, -np.inf, -np.inf],
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"padding": 1}], ids=str)
def test_of_equal_cells_the_one_that_torch_takes(row: list[float], options: Any) -> None:
    def program(xp: Any, *, x: Any) -> Any:
        pooled = xp.max_pool1d(x, 2, **options)
        return xp.sum(pooled * xp.arange(1.0, 1.0 + pooled.shape[-1]))

    trace = agrees_with_torch(program, {"x": [row]})
    assert trace.gradients[0] is not None

    def in_two(xp: Any, *, x: Any) -> Any:
        pooled = xp.max_pool2d(x[:, None].repeat(1, 2, 1), 2, **options)
        return xp.sum(pooled * xp.arange(1.0, 1.0 + pooled.shape[-1]))

    agrees_with_torch(in_two, {"x": [row]})


def test_a_tie_is_a_kink() -> None:
    def program(xp: Any, x: Any) -> Any:
        return xp.sum(xp.max_pool1d(x, 2) * xp.tensor([2.0, 3.0]))

    found = differences(program, {"x": np.array([[1.0, 1.0, 4.0, 2.0]])}).leaves["x"]
    assert found.kind.tolist() == [[Kind.KINK, Kind.KINK, Kind.OK, Kind.OK]]
    np.testing.assert_allclose(found.left[0, :2], [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found.right[0, :2], [2.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(found.value[0, 2:], [3.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [((1,), (0,), (1,)), ((2,), (1,), (1,)), ((1,), (2,), (2,)), ((3,), (1,), (2,))],
)
def test_cells_meet_the_same_from_all_three_sides(
    stride: tuple[int], padding: tuple[int], dilation: tuple[int]
) -> None:
    input, weight = (2, 2, 6), (3, 2, 3)
    count = (6 + 2 * padding[0] - dilation[0] * 2 - 1) // stride[0] + 1
    met = Meetings(input, weight, (2, 3, count), stride=stride, padding=padding, dilation=dilation)
    of_result = [m for cell in np.ndindex(2, 3, count) for m in met.of_result(cell)]
    of_weight = [m for cell in np.ndindex(weight) for m in met.of_weight(cell)]
    of_input = [m for cell in np.ndindex(input) for m in met.of_input(cell)]
    assert sorted(of_result) == sorted(of_weight) == sorted(of_input)
    assert len(set(of_result)) == len(of_result) > 0


@pytest.mark.parametrize(
    ("program", "leaf", "words"),
    [
        (lambda xp, *, x: xp.conv1d(x, x), SIGNAL, "here they have 2 and 2"),
        (lambda xp, *, x: xp.conv1d(x[0], x[None]), SIGNAL, "here they have 1 and 3"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 2, 2)), SIGNAL, "1 channels, the weight 2"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 1, 9)), SIGNAL, "larger than the padded"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 1, 2), stride=0), SIGNAL, "at least 1"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 1, 2), x[0]), SIGNAL, r"bias \(1\)"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 1, 2), groups=2), SIGNAL, "groups"),
        (lambda xp, *, x: xp.conv1d(x, xp.ones(1, 1, 2), padding="same"), SIGNAL, "padding must"),
        (lambda xp, *, x: xp.conv2d(x, xp.ones(1, 1, 2, 2), stride=(1, 1, 1)), IMAGE, "stride"),
        (lambda xp, *, x: xp.max_pool1d(x, 2), SIGNAL[0], "2 or 3 dimensions"),
        (lambda xp, *, x: xp.max_pool2d(x, 2), SIGNAL, "3 or 4 dimensions"),
        (lambda xp, *, x: xp.max_pool1d(x, 8), SIGNAL, "larger than the padded"),
        (lambda xp, *, x: xp.max_pool1d(x, 2, padding=2), SIGNAL, "half of the window"),
        (lambda xp, *, x: xp.max_pool1d(xp.ones(1, 3), 2) * x, SIGNAL, "dimensions"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(program: Any, leaf: Any, words: str) -> None:
    with pytest.raises(UnsupportedProgram, match=words):
        by_hand(program, {"x": leaf})
