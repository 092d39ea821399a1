"""Softmax with cross-entropy, and backprop ninja: published numbers, torch's retained gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import leaf_gradients

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.formula import Symbol, as_text, evaluate, render
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.equations_text import equation_lines
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves


def run(lesson_id: str, *, closed: bool = False, sizes: Any = None, **changed: Any) -> Trace:
    """A lesson as it is at first, or closed, or with some leaves changed."""
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    opened = lesson.opening(() if closed else None)
    return backward(record(lesson.program, leaves, sizes, opened=opened))


def value(trace: Trace, name: str) -> Any:
    """The value of the node with a base name."""
    return trace.graph[index(trace, name)].value


def gradient(trace: Trace, name: str) -> Any:
    """The gradient of the node with a base name."""
    return trace.gradients[index(trace, name)]


def index(trace: Trace, name: str) -> int:
    (found,) = [k for k, n in enumerate(trace.graph.names) if n.named and n.base == name]
    return found


# ── formulas that these lessons' equations use ────────────────────────────────────────────────


def test_onehot_and_sums_over_rows_in_formulas() -> None:
    found = evaluate("onehot(array(2, 0), 3)", {})
    np.testing.assert_array_equal(found, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    found = evaluate("add_rows(a)", {"a": np.array([[1.0, 2.0], [3.0, 5.0]])})
    np.testing.assert_array_equal(found, [4.0, 7.0])

    def symbols(name: str, _: str | None) -> Symbol:
        return Symbol(name, scalar=False)

    text = as_text(render("add_rows(a) * onehot(array(2, 0), 3)", symbols))
    assert text == "Σ rows(a) ⊙ onehot([2, 0], 3)"


# ── softmax ───────────────────────────────────────────────────────────────────────────────────

Y = [2, 0, 1, 1]
SCORES = [[-2.85, 0.86, 0.28], [1.0, -2.0, 0.0], [0.5, -1.0, 0.0]]


def test_softmax_has_the_published_probabilities_and_loss() -> None:
    """CS231n, rounded there to two decimals: [0.7, 0.04, 0.26], [0.55, 0.12, 0.33], 1.04."""
    trace = run("softmax")
    np.testing.assert_array_equal(value(trace, "logits")[:3], SCORES)
    probs = value(trace, "probs")
    np.testing.assert_allclose(probs[1], [0.7, 0.04, 0.26], atol=6e-3)
    np.testing.assert_allclose(probs[2], [0.55, 0.12, 0.33], atol=6e-3)
    assert -value(trace, "picked")[0] == pytest.approx(1.04, abs=5e-3)


@pytest.mark.parametrize("closed", [False, True], ids=["in steps", "fused"])
def test_softmax_is_torchs_cross_entropy(closed: bool) -> None:
    trace = run("softmax", closed=closed)
    logits = torch.tensor(value(trace, "logits"), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(Y))
    loss.backward()
    assert value(trace, "loss") == pytest.approx(loss.item(), rel=1e-14)
    np.testing.assert_allclose(leaf_gradients(trace)["logits"], logits.grad, atol=1e-15)


def test_softmax_gradient_is_the_fused_formula_in_both_forms() -> None:
    for closed in (False, True):
        trace = run("softmax", closed=closed)
        expected = torch.softmax(torch.tensor(value(trace, "logits")), 1).numpy()
        expected[range(4), Y] -= 1.0
        np.testing.assert_allclose(gradient(trace, "logits"), expected / 4, atol=1e-15)
        if not closed:
            np.testing.assert_allclose(gradient(trace, "norm_logits"), expected / 4, atol=1e-15)


def test_softmax_forms_agree_and_the_closed_one_is_a_single_step() -> None:
    found = agreement(run("softmax"), run("softmax", closed=True))
    assert found.agree and found.worst < 1e-15
    assert (found.one_count, found.other_count) == (10, 1)


def test_softmax_closed_shows_only_what_is_there() -> None:
    trace = run("softmax", closed=True)
    lines = equation_lines(find_lesson("softmax"), trace)
    assert [line.text for line in lines.forward] == [
        "loss = −Σ(onehot([2, 0, 1, 1], 3) ⊙ log_softmax(logits)) / 4"
    ]
    assert [line.text for line in lines.derivation] == [
        "∂loss/∂logits = (softmax(logits) − onehot([2, 0, 1, 1], 3)) / 4"
    ]


def test_softmax_rows_add_up_to_0_and_the_maxima_receive_nothing() -> None:
    trace = run("softmax")
    np.testing.assert_allclose(np.sum(gradient(trace, "logits"), axis=1), 0.0, atol=1e-15)
    np.testing.assert_allclose(gradient(trace, "logit_maxes"), 0.0, atol=1e-15)
    assert np.all(np.abs(gradient(trace, "norm_logits")) > 1e-3)  # unlike these


def test_softmax_does_not_see_a_common_shift() -> None:
    trace = run("softmax")
    probs = value(trace, "probs")
    np.testing.assert_allclose(value(trace, "logits")[3], np.add(SCORES[0], 10.0), rtol=1e-15)
    np.testing.assert_allclose(probs[3], probs[0], rtol=1e-14)


def test_softmax_what_its_words_say_about_numbers() -> None:
    """log 3 without any idea; 0.5514 for a perfect answer given as probabilities; overflow."""
    assert value(run("softmax", logits=np.zeros((4, 3))), "loss") == pytest.approx(np.log(3))
    assert "log 3 = 1.0986" in find_lesson("softmax").notes["loss"]
    assert round(float(np.log(3)), 4) == 1.0986
    perfect = value(run("softmax", logits=np.eye(3)[Y]), "loss")
    assert perfect == pytest.approx(np.log((np.e + 2) / np.e), rel=1e-14)
    assert round(perfect, 4) == 0.5514 and "0.5514" in find_lesson("softmax").mistake
    large = run("softmax", logits=[[123.0, 456.0, 789.0]] * 4)
    assert np.isfinite(value(large, "loss"))
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.exp([123.0, 456.0, 789.0])
        assert np.isnan((power / np.sum(power))[2])


@pytest.mark.parametrize("p", [0.9, 0.1])
def test_softmax_pulls_harder_where_it_is_more_wrong(p: float) -> None:
    row = [np.log((1 - p) / 2)] * 3
    logits = [[*row] for _ in Y]
    for sample, right in enumerate(Y):
        logits[sample][right] = np.log(p)
    found = gradient(run("softmax", logits=logits), "logits")
    np.testing.assert_allclose(found[range(4), Y], (p - 1) / 4, rtol=1e-12)


# ── ninja ─────────────────────────────────────────────────────────────────────────────────────

NAMES = (
    "logprobs", "probs", "counts_sum_inv", "counts_sum", "counts", "norm_logits", "logit_maxes",
    "logits", "h", "W2", "b2", "hpreact", "bngain", "bnbias", "bnraw", "bnvar_inv", "bnvar",
    "bndiff2", "bndiff", "bnmeani", "hprebn", "embcat", "W1", "b1", "emb", "C",
)  # fmt: skip
"""The 26 names of part 4 in its order."""

XB = [[0, 0, 0], [0, 0, 2], [0, 2, 3], [2, 3, 3]]
YB = [2, 3, 3, 1]


def by_torch(leaves: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The lecture's forward pass in torch, every tensor with its gradient retained."""
    made = {name: torch.tensor(v, requires_grad=True) for name, v in leaves.items()}
    n, xb, yb = len(XB), torch.tensor(XB), torch.tensor(YB)
    t = dict(made)
    t["emb"] = t["C"][xb]
    t["embcat"] = t["emb"].reshape(n, -1)
    t["hprebn"] = t["embcat"] @ t["W1"] + t["b1"]
    t["bnmeani"] = 1 / n * t["hprebn"].sum(0, keepdim=True)
    t["bndiff"] = t["hprebn"] - t["bnmeani"]
    t["bndiff2"] = t["bndiff"] ** 2
    t["bnvar"] = 1 / (n - 1) * t["bndiff2"].sum(0, keepdim=True)
    t["bnvar_inv"] = (t["bnvar"] + 1e-5) ** -0.5
    t["bnraw"] = t["bndiff"] * t["bnvar_inv"]
    t["hpreact"] = t["bngain"] * t["bnraw"] + t["bnbias"]
    t["h"] = torch.tanh(t["hpreact"])
    t["logits"] = t["h"] @ t["W2"] + t["b2"]
    t["logit_maxes"] = t["logits"].max(1, keepdim=True).values
    t["norm_logits"] = t["logits"] - t["logit_maxes"]
    t["counts"] = t["norm_logits"].exp()
    t["counts_sum"] = t["counts"].sum(1, keepdim=True)
    t["counts_sum_inv"] = t["counts_sum"] ** -1
    t["probs"] = t["counts"] * t["counts_sum_inv"]
    t["logprobs"] = t["probs"].log()
    t["loss"] = -t["logprobs"][range(n), yb].mean()
    for tensor in t.values():
        tensor.retain_grad()
    t["loss"].backward()
    return t


@pytest.mark.parametrize("n_hidden", [1, 3, 6])
def test_ninja_all_26_are_torchs_retained_gradients(n_hidden: int) -> None:
    trace = run("ninja", sizes={"n_hidden": n_hidden})
    graph = trace.graph
    tensors = by_torch({name: graph[k].value for name, k in graph.leaves.items()})
    assert value(trace, "loss") == pytest.approx(tensors["loss"].item(), rel=1e-14)
    assert len(set(NAMES)) == 26
    for name in NAMES:
        ours, theirs = gradient(trace, name), tensors[name].grad
        assert np.shape(ours) == tuple(theirs.shape), name
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-15, err_msg=name)
        here = tensors[name].detach()
        np.testing.assert_allclose(value(trace, name), here, rtol=1e-12, err_msg=name)


def test_ninja_has_the_26_names_and_no_others_and_counts_them_in_order() -> None:
    lesson, trace = find_lesson("ninja"), run("ninja")
    named = {name.base for name in trace.graph.names if name.named}
    assert named == {*NAMES, "loss"}
    for number, name in enumerate(NAMES, start=1):
        assert lesson.notes[name].startswith(f"Name {number}. "), name
    derived = list(dict.fromkeys(e.left.removeprefix("d") for e in lesson.derivation))
    # Both sides of an equation for these two would be rounding and nothing else.
    assert derived == [name for name in NAMES if name not in ("logit_maxes", "b1")]


def test_ninja_fused_dlogits() -> None:
    trace = run("ninja")
    expected = torch.softmax(torch.tensor(value(trace, "logits")), 1).numpy()
    expected[range(4), YB] -= 1.0
    np.testing.assert_allclose(gradient(trace, "logits"), expected / 4, atol=1e-15)


def test_ninja_fused_dhprebn_with_n_minus_1() -> None:
    trace = run("ninja")
    d, bnraw, n = gradient(trace, "hpreact"), value(trace, "bnraw"), 4
    factor = value(trace, "bngain") * value(trace, "bnvar_inv") / n
    along = bnraw * np.sum(d * bnraw, axis=0)
    expected = factor * (n * d - np.sum(d, axis=0) - n / (n - 1) * along)
    np.testing.assert_allclose(gradient(trace, "hprebn"), expected, rtol=1e-11)
    with_n = factor * (n * d - np.sum(d, axis=0) - along)
    assert np.max(np.abs(with_n - expected)) > 1e-3  # the factor matters


def test_ninja_variance_divides_by_n_minus_1() -> None:
    trace = run("ninja")
    expected = torch.tensor(value(trace, "hprebn")).var(0, keepdim=True, unbiased=True)
    np.testing.assert_allclose(value(trace, "bnvar"), expected, rtol=1e-14)


def test_ninja_the_short_way_is_torchs_cross_entropy() -> None:
    trace = run("ninja")
    logits = torch.tensor(value(trace, "logits"))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(YB))
    assert value(trace, "loss") == pytest.approx(loss.item(), rel=1e-14)


def test_ninja_what_is_zero_is_zero() -> None:
    trace = run("ninja")
    for name in ("b1", "logit_maxes"):
        assert np.max(np.abs(gradient(trace, name))) < 1e-15, name
    np.testing.assert_allclose(np.sum(gradient(trace, "hprebn"), axis=0), 0.0, atol=1e-15)
    assert np.max(np.abs(gradient(trace, "hprebn"))) > 1e-2
    moved = run("ninja", b1=np.add(value(trace, "b1"), [0.5, -0.25, 1.0]))
    assert value(moved, "loss") == pytest.approx(value(trace, "loss"), rel=1e-13)


def test_ninja_rows_of_the_table_collect_every_use() -> None:
    """The loop of the lecture: dC[ix] += demb[k, j]."""
    trace = run("ninja")
    expected = np.zeros((5, 2))
    for k, context in enumerate(XB):
        for j, ix in enumerate(context):
            expected[ix] += gradient(trace, "emb")[k, j]
    found = gradient(trace, "C")
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert np.sum(np.array(XB) == 0) == 6  # the dot is read six times
    assert np.all(found[[1, 4]] == 0.0) and np.all(found[[0, 2, 3]] != 0.0)
    assert round(float(np.log(5)), 4) == 1.6094
