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


# ── transformer-block ─────────────────────────────────────────────────────────────────────────


class Block(torch.nn.Module):
    """The same block of torch's own layers, pre-norm, with two heads."""

    def __init__(self, leaves: Mapping[str, Any]) -> None:
        super().__init__()
        width = np.shape(leaves["W1"])[1]
        self.ln1, self.ln2 = torch.nn.LayerNorm(4), torch.nn.LayerNorm(4)
        self.attention = torch.nn.MultiheadAttention(4, 2, bias=False, batch_first=True)
        self.first, self.second = torch.nn.Linear(4, width), torch.nn.Linear(width, 4)
        rows = [torch.tensor(np.array(leaves[name])).T for name in ("W_q", "W_k", "W_v")]
        with torch.no_grad():
            self.attention.in_proj_weight.copy_(torch.cat(rows))
            for name, parameter in self.parameters_by_leaf().items():
                value = torch.tensor(np.array(leaves[name]))
                parameter.copy_(value.T if name[0] == "W" else value)

    def parameters_by_leaf(self) -> dict[str, torch.nn.Parameter]:
        """Those that stand for one leaf; matrices are kept transposed by torch."""
        return {
            "gain1": self.ln1.weight, "shift1": self.ln1.bias,
            "gain2": self.ln2.weight, "shift2": self.ln2.bias,
            "W_o": self.attention.out_proj.weight,
            "W1": self.first.weight, "b1": self.first.bias,
            "W2": self.second.weight, "b2": self.second.bias,
        }  # fmt: skip

    def gradients(self) -> dict[str, Any]:
        """By the names of the lesson's leaves."""
        found = {}
        for name, parameter in self.parameters_by_leaf().items():
            assert parameter.grad is not None
            found[name] = (parameter.grad.T if name[0] == "W" else parameter.grad).numpy()
        assert self.attention.in_proj_weight.grad is not None
        parts = self.attention.in_proj_weight.grad.chunk(3)
        return found | {
            name: part.T.numpy() for name, part in zip(("W_q", "W_k", "W_v"), parts, strict=True)
        }

    def forward(self, x: torch.Tensor, causal: bool) -> dict[str, torch.Tensor]:
        mask = torch.triu(torch.ones(len(x), len(x)), 1).bool() if causal else None
        n1 = self.ln1(x)
        attended = self.attention(n1[None], n1[None], n1[None], attn_mask=mask)[0][0]
        mid = x + attended
        n2 = self.ln2(mid)
        fed = self.second(torch.nn.functional.gelu(self.first(n2)))
        return {"n1": n1, "attended": attended, "mid": mid, "n2": n2, "fed": fed, "out": mid + fed}


@pytest.mark.parametrize("T", [1, 3, 5])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("seed", [None, 2])
def test_the_block_is_torchs_own(T: int, causal: int, seed: int | None) -> None:
    """Values and gradients of its stages, and the gradients of all leaves."""
    sizes = {"T": T, "causal": causal}
    leaves = default_leaves(find_lesson("transformer-block"), sizes)
    if seed is not None:
        leaves = random_leaves("transformer-block", sizes, seed)
    trace = run("transformer-block", sizes, **leaves)
    block = Block(leaves)
    x = torch.tensor(np.array(leaves["x"]), requires_grad=True)
    stages = block(x, bool(causal))
    for stage in stages.values():
        stage.retain_grad()
    (stages["out"] * torch.tensor(np.array(leaves["G"]))).sum().backward()
    for name, stage in stages.items():
        assert stage.grad is not None
        assert_close(value(trace, name), stage.detach().numpy(), rel=1e-12, what=name)
        assert_close(gradient(trace, name), stage.grad.numpy(), rel=1e-11, what=f"d{name}")
    found = leaf_gradients(trace)
    assert x.grad is not None
    expected = {"x": x.grad.numpy(), "G": stages["out"].detach().numpy(), **block.gradients()}
    assert set(expected) == set(found)
    for name, theirs in expected.items():
        if T > 1 or name not in ("W_q", "W_k"):  # with one position their gradient is 0
            assert_close(found[name], theirs, rel=1e-10, what=name)
        else:
            assert np.abs(found[name]).max() < 1e-14 and np.abs(theirs).max() < 1e-14


def test_a_block_that_does_nothing_hands_the_gradient_on() -> None:
    """As its first question says: with W_o and W2 at 0, x receives G."""
    nothing = {"W_o": np.zeros((4, 4)), "W2": np.zeros((8, 4))}
    trace = run("transformer-block", **nothing)
    found, leaves = leaf_gradients(trace), {n: value(trace, n) for n in ("x", "G", "b2")}
    np.testing.assert_array_equal(found["x"], leaves["G"])
    np.testing.assert_array_equal(value(trace, "out"), leaves["x"] + leaves["b2"])
    matrices = {name for name in found if name[0] == "W" and np.any(found[name])}
    assert matrices == {"W_o", "W2"}


def test_where_contributions_are_added() -> None:
    trace = run("transformer-block")
    index = trace.graph.index_of
    for name, count in {"mid": 2, "x": 2, "n1": 3}.items():
        assert len(trace.arrivals[index[name]]) == count
    by_norm = leaf_gradients(trace)["x"] - gradient(trace, "mid")
    np.testing.assert_allclose(by_norm.sum(1), 0.0, atol=1e-12)
    assert np.abs(by_norm).max() > 0.1


def test_causal_keeps_the_future_out_of_the_gradient_too() -> None:
    G = np.zeros((3, 4))
    G[0] = [1.0, -0.5, 2.0, 0.25]
    causal = leaf_gradients(run("transformer-block", {"causal": 1}, G=G))["x"]
    assert np.all(causal[0] != 0) and not causal[1:].any()
    seeing = leaf_gradients(run("transformer-block", {"causal": 0}, G=G))["x"]
    assert np.all(seeing != 0)
    K, V = (gradient(run("transformer-block", {"causal": 1}, G=G), name) for name in "KV")
    assert not K[1:].any() and V[0].any() and not V[1:].any()


def test_the_heads_are_folded_at_first() -> None:
    lesson = find_lesson("transformer-block")
    assert lesson.folded == ("attend", "feed_forward")
    trace = run("transformer-block")
    groups = {name.split("/")[0] for name in trace.graph.index_of if "/" in name}
    assert groups == {"attend", "feed_forward"}
