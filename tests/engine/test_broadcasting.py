"""Broadcasting undone, held against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_checks import assert_close, by_hand
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from backprop_tui.engine.broadcasting import shape_of, sum_to_shape, summed_axes
from backprop_tui.engine.trace import StepKind


@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=4, max_side=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_sum_to_shape_is_torchs(shapes: object, seed: int) -> None:
    target = shapes.input_shapes[0]  # type: ignore[attr-defined]
    full = shapes.result_shape  # type: ignore[attr-defined]
    g = np.random.default_rng(seed).normal(size=full)
    leaf = torch.zeros(target, dtype=torch.float64, requires_grad=True)
    (leaf.expand(full) * torch.tensor(g)).sum().backward()
    assert leaf.grad is not None
    assert_close(sum_to_shape(g, target), leaf.grad.numpy(), rel=1e-13, what=f"{full}→{target}")


@pytest.mark.parametrize(
    ("shape", "target", "axes"),
    [
        ((), (), ()),
        ((2, 3), (), (0, 1)),
        ((2, 3), (3,), (0,)),
        ((2, 3), (1, 3), (0,)),
        ((2, 3), (2, 1), (1,)),
        ((2, 3), (1, 1), (0, 1)),
        ((4, 2, 3), (2, 1), (0, 2)),
        ((1, 3), (1, 3), ()),
        ((2, 1), (1,), (0,)),
        ((0, 3), (1, 3), (0,)),
    ],
)
def test_summed_axes(
    shape: tuple[int, ...], target: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    assert summed_axes(shape, target) == axes


def test_what_has_the_right_shape_is_left_alone() -> None:
    g = np.ones((2, 3))
    assert sum_to_shape(g, (2, 3)) is g


def test_a_scalar_comes_back_as_a_float() -> None:
    assert type(sum_to_shape(np.ones((2, 3)), ())) is float
    assert shape_of(3.0) == ()


def test_the_step_shows_raw_sum_and_axes() -> None:
    trace = by_hand(
        lambda xp, *, x, b: xp.sum((x + b) * x), {"x": np.ones((5, 3)), "b": [[1, 2, 3]]}
    )
    step = next(
        s for s in trace.steps
        if s.kind is StepKind.SEND and s.edge.target == trace.graph.leaves["b"]
    )  # fmt: skip
    assert step.raw is not None and step.contribution is not None
    assert np.shape(step.raw) == (5, 3) and step.summed_axes == (0,)
    assert_close(step.contribution, np.sum(step.raw, axis=0, keepdims=True), rel=0, what="sum")
    assert_close(step.contribution, [[5.0, 5.0, 5.0]], rel=0, what="Σx")
