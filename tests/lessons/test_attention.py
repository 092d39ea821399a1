"""The chapter on attention: torch's own attention, published numbers, what the lessons promise."""

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


def random_leaves(lesson_id: str, sizes: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Leaves of the right shapes with other numbers than the lesson's."""
    rng = np.random.default_rng(seed)
    shapes = default_leaves(find_lesson(lesson_id), sizes)
    return {name: rng.uniform(-1.4, 1.4, np.shape(leaf)) for name, leaf in shapes.items()}


def with_gradient(leaves: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The leaves for torch."""
    return {k: torch.tensor(np.array(v), requires_grad=True) for k, v in leaves.items()}


# ── attention ─────────────────────────────────────────────────────────────────────────────────

SIZES = [{"T": T, "d": d, "causal": c} for T, d in [(3, 3), (1, 2), (5, 2)] for c in (0, 1)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("seed", [None, 1])
def test_the_head_is_torchs_own(sizes: dict[str, int], seed: int | None) -> None:
    leaves = default_leaves(find_lesson("attention"), sizes)
    if seed is not None:
        leaves = random_leaves("attention", sizes, seed)
    trace = run("attention", sizes, **leaves)
    t = with_gradient(leaves)
    out = torch.nn.functional.scaled_dot_product_attention(
        t["Q"][None], t["K"][None], t["V"][None], is_causal=bool(sizes["causal"])
    )[0]
    (out * t["G"]).sum().backward()
    assert_close(value(trace, "out"), out.detach().numpy(), rel=1e-12, what="out")
    for name, found in leaf_gradients(trace).items():
        grad = t[name].grad
        assert grad is not None
        assert_close(found, grad.numpy(), rel=1e-11, what=name)


def test_the_numbers_of_illustrated_self_attention() -> None:
    """R. Karim's example. His scores are not divided by √d, so Q is made √d as large here.

    Printed with five digits, the weights, and the outputs with four decimals.
    """
    lesson = find_lesson("attention")
    assert value(run("attention"), "scores").tolist() == [[2, 4, 4], [4, 16, 12], [4, 12, 10]]
    Q = np.sqrt(3) * np.array(default_leaves(lesson, lesson.default_sizes())["Q"])
    trace = run("attention", Q=Q)
    np.testing.assert_allclose(
        value(trace, "weights"),
        [
            [6.3379e-02, 4.6831e-01, 4.6831e-01],
            [6.0337e-06, 9.8201e-01, 1.7986e-02],
            [2.9539e-04, 8.8054e-01, 1.1917e-01],
        ],
        rtol=3e-5,
    )
    np.testing.assert_allclose(
        value(trace, "out"),
        [[1.9366, 6.6831, 1.5951], [2.0000, 7.9640, 0.0540], [1.9997, 7.7599, 0.3584]],
        atol=5.1e-5,
    )


@pytest.mark.parametrize("causal", [0, 1])
def test_what_a_softmax_sends_on_adds_up_to_nothing_in_each_row(causal: int) -> None:
    trace = run("attention", {"causal": causal})
    np.testing.assert_allclose(gradient(trace, "masked").sum(1), 0.0, atol=1e-14)
    np.testing.assert_allclose(gradient(trace, "scores").sum(1), 0.0, atol=1e-14)
    weights, dweights = value(trace, "weights"), gradient(trace, "weights")
    cell_by_cell = weights * (1 - weights) * dweights  # the mistake that the lesson tells of
    assert np.abs(cell_by_cell.sum(1)[1:]).min() > 0.01


def test_the_first_of_a_causal_text_sees_itself_only() -> None:
    trace = run("attention", {"causal": 1})
    leaves = default_leaves(find_lesson("attention"), {"T": 3, "d": 3})
    np.testing.assert_array_equal(value(trace, "out")[0], leaves["V"][0])
    assert not gradient(trace, "scores")[0].any()
    assert not np.triu(gradient(trace, "scores"), 1).any()
    assert np.tril(gradient(trace, "scores"))[1:].any()


def test_the_rows_of_out_are_mixtures_of_the_values() -> None:
    trace = run("attention")
    out, V = value(trace, "out"), value(trace, "V")
    assert np.all(out >= V.min(0)) and np.all(out <= V.max(0))


def test_large_scores_let_hardly_any_gradient_through_but_at_ties() -> None:
    """As the lesson answers: ten times the query, and the first row has a tie."""
    before = leaf_gradients(run("attention"))["Q"]
    Q = default_leaves(find_lesson("attention"), {"T": 3, "d": 3})["Q"]
    after = leaf_gradients(run("attention", Q=10 * np.array(Q)))["Q"]
    assert np.abs(after[1:]).max() < 1e-3 * np.abs(before[1:]).max()
    assert np.abs(after[0]).max() > 0.5 * np.abs(before[0]).max()


def test_without_the_root_the_weights_are_nearer_to_0_and_1() -> None:
    trace = run("attention")
    scores = torch.tensor(value(trace, "scores"))
    unscaled = torch.softmax(scores, 1).numpy()
    for row, other in zip(value(trace, "weights"), unscaled, strict=True):
        assert -np.sum(other * np.log(other)) < -np.sum(row * np.log(row))  # less evenly spread
