"""The chapter “Recurrence”, from rnn-batch on: torch's own cells, and published numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import assert_close, leaf_gradients

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import as_value, default_leaves


def run(lesson_id: str, sizes: dict[str, int] | None = None, **changed: Any) -> Trace:
    lesson = find_lesson(lesson_id)
    sizes = {**lesson.default_sizes(), **(sizes or {})}
    leaves = {**default_leaves(lesson, sizes), **{k: as_value(v) for k, v in changed.items()}}
    return backward(record(lesson.program, leaves, sizes))


def value_of(trace: Trace, node_id: str) -> Any:
    return trace.graph[trace.graph.index_of[node_id]].value


def gradient_of(trace: Trace, node_id: str) -> Any:
    return trace.gradients[trace.graph.index_of[node_id]]


# ── lstm and gru ──────────────────────────────────────────────────────────────────────────────

CELLS = [("lstm", torch.nn.LSTMCell), ("gru", torch.nn.GRUCell)]


@pytest.mark.parametrize(("lesson_id", "cell_class"), CELLS)
@pytest.mark.parametrize(("T", "hidden"), [(1, 1), (2, 1), (1, 3), (3, 2), (12, 4)])
def test_the_cell_is_torchs_own(lesson_id: str, cell_class: Any, T: int, hidden: int) -> None:
    """Every value and gradient is that of torch's cell with the lesson's weights in it.

    Where the lesson starts with zeros the numbers are changed, as zeros could hide a mistake.
    """
    rng = np.random.default_rng(11)
    lesson, sizes = find_lesson(lesson_id), {"T": T, "hidden": hidden}
    leaves = {
        name: as_value(rng.uniform(-1.2, 1.2, np.shape(value)))
        for name, value in default_leaves(lesson, sizes).items()
    }
    trace = run(lesson_id, sizes, **leaves)

    tensors = {name: torch.tensor(np.array(value)) for name, value in leaves.items()}
    cell = cell_class(2, hidden, dtype=torch.float64)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            parameter = getattr(cell, name)
            parameter.copy_(tensors[name].reshape(parameter.shape))
    for name in {"x", "y", "h0", "c0"} & set(tensors):
        tensors[name].requires_grad_()
    h, c = tensors["h0"][None], tensors["c0"][None] if "c0" in tensors else None  # a batch of 1
    loss = torch.tensor(0.0, dtype=torch.float64)
    along: dict[str, Any] = {}
    for t in range(1, T + 1):
        x_t = tensors["x"][t - 1 : t]
        if lesson_id == "lstm":
            h, c = cell(x_t, (h, c))
            along[f"c[t={t}]"] = c
        else:
            h = cell(x_t, h)
        along[f"h[t={t}]"] = h
        loss = loss + 0.5 * ((h - tensors["y"][t - 1 : t]) ** 2).sum()
    for tensor in along.values():
        tensor.retain_grad()
    loss.backward()

    assert_close(trace.graph[trace.graph.output].value, loss.item(), rel=1e-12, what="loss")
    for node_id, tensor in along.items():
        ours, theirs = value_of(trace, node_id), tensor.detach().numpy()[0]
        assert_close(ours, theirs, rel=1e-12, what=node_id)
        ours, theirs = gradient_of(trace, node_id), tensor.grad.numpy()[0]
        assert_close(ours, theirs, rel=1e-11, what=f"the gradient of {node_id}")
    for name, gradient in leaf_gradients(trace).items():
        theirs = getattr(cell, name).grad if hasattr(cell, name) else tensors[name].grad
        expected = theirs.numpy().reshape(np.shape(leaves[name]))
        assert_close(gradient, expected, rel=1e-11, what=name)


def test_the_lstm_of_aidan_gomez() -> None:
    """Printed with five digits, which were cut or rounded."""
    trace = run("lstm")
    printed = {
        "g[t=1]": 0.81775, "i[t=1]": 0.96083, "f[t=1]": 0.85195, "o[t=1]": 0.81757,
        "c[t=1]": 0.78572, "h[t=1]": 0.53631,
        "g[t=2]": 0.84980, "i[t=2]": 0.98118, "f[t=2]": 0.87030, "o[t=2]": 0.84993,
        "c[t=2]": 1.5176, "h[t=2]": 0.77197,
    }  # fmt: skip
    for node_id, expected in printed.items():
        assert value_of(trace, node_id)[0] == pytest.approx(expected, abs=5e-5), node_id


def test_the_lstm_of_aidan_gomez_after_one_update() -> None:
    """His new weights, with the learning rate 0.1."""
    found = leaf_gradients(run("lstm"))
    leaves = default_leaves(find_lesson("lstm"), {"T": 2, "hidden": 1})
    new = {name: leaves[name] - 0.1 * found[name] for name in found}
    np.testing.assert_allclose(
        np.reshape(new["weight_ih"], (4, 2)),
        [[0.95022, 0.80067], [0.70031, 0.45189], [0.45267, 0.25922], [0.60259, 0.41626]],
        atol=1.1e-5,
    )
    np.testing.assert_allclose(
        np.ravel(new["weight_hh"]), [0.80006, 0.10034, 0.15104, 0.25297], atol=1.1e-5
    )
    np.testing.assert_allclose(
        np.ravel(new["bias_ih"]), [0.65028, 0.15063, 0.20364, 0.10536], atol=1.1e-5
    )


def test_on_the_direct_path_only_the_forget_gate_multiplies() -> None:
    """Besides the share of its own h, a cell receives f ⊙ dc of the next one, and no more."""
    trace = run("lstm", {"T": 4, "hidden": 2})
    for t in (1, 2, 3):
        o, tanh_c = value_of(trace, f"o[t={t}]"), value_of(trace, f"tanh_c[t={t}]")
        own = o * (1 - tanh_c**2) * gradient_of(trace, f"h[t={t}]")
        rest = gradient_of(trace, f"c[t={t}]") - own
        later = value_of(trace, f"f[t={t + 1}]") * gradient_of(trace, f"c[t={t + 1}]")
        np.testing.assert_allclose(rest, later, rtol=1e-9)


def test_the_two_biases_of_a_gate_are_equal_but_not_around_the_reset_gate() -> None:
    found = leaf_gradients(run("lstm", {"T": 3, "hidden": 2}))
    np.testing.assert_allclose(found["bias_ih"], found["bias_hh"], rtol=1e-12)
    found = leaf_gradients(run("gru"))
    np.testing.assert_allclose(found["bias_ih"][:2], found["bias_hh"][:2], rtol=1e-12)
    assert np.all(np.abs(found["bias_ih"][2] - found["bias_hh"][2]) > 1e-3)


# ── vanishing ─────────────────────────────────────────────────────────────────────────────────

W = find_lesson("vanishing").leaf_named("W").default


def sizes_of_gradients(trace: Trace) -> Any:
    """|∂y/∂h| at h0 and at each time step."""
    graph, steps = trace.graph, []
    steps.append(trace.gradients[graph.leaves["h0"]])
    t = 1
    while f"h[t={t}]" in graph.index_of:
        steps.append(gradient_of(trace, f"h[t={t}]"))
        t += 1
    return np.linalg.norm(steps, axis=1)


def test_the_numbers_that_the_lesson_names_about_its_matrix() -> None:
    """Norm 1.544, largest eigenvalue 0.974; at scale 0.5 the bounds 0.77 and 0.49."""
    assert np.linalg.norm(W, 2) == pytest.approx(1.544, abs=5e-4)
    assert np.max(np.abs(np.linalg.eigvals(W))) == pytest.approx(0.974, abs=5e-4)
    assert 0.5 * np.linalg.norm(W, 2) == pytest.approx(0.77, abs=5e-3)
    assert 1 / np.linalg.norm(W, 2) == pytest.approx(0.65, abs=5e-3)
    assert 1 / np.max(np.abs(np.linalg.eigvals(W))) == pytest.approx(1.03, abs=5e-3)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 3.0, -2.0])
def test_the_gradient_is_w_y_times_the_product_of_all_jacobians(scale: float) -> None:
    """Made anew from the states, by torch's Jacobian of one step."""
    trace = run("vanishing", scale=scale)
    w_h = scale * torch.tensor(W, dtype=torch.float64)
    h = torch.tensor(find_lesson("vanishing").leaf_named("h0").default, dtype=torch.float64)
    product = torch.eye(3, dtype=torch.float64)
    for _ in range(30):
        jacobian = torch.autograd.functional.jacobian(lambda h: torch.tanh(w_h @ h), h)
        product = jacobian @ product
        h = torch.tanh(w_h @ h)
    w_y = torch.tensor(find_lesson("vanishing").leaf_named("w_y").default, dtype=torch.float64)
    np.testing.assert_allclose(
        leaf_gradients(trace)["h0"], (w_y @ product).numpy(), rtol=1e-9, atol=0.0
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 3.0])
def test_no_step_back_exceeds_the_bound(scale: float) -> None:
    trace = run("vanishing", {"T": 50}, scale=scale)
    found = sizes_of_gradients(trace)
    norm = scale * np.linalg.norm(W, 2)
    for t in range(1, 51):
        slope = np.max(1 - value_of(trace, f"h[t={t}]") ** 2)
        assert found[t - 1] <= norm * slope * found[t] * (1 + 1e-12)


def test_it_vanishes_keeps_its_size_explodes_and_vanishes_again() -> None:
    def of_h0(scale: float, T: int = 30, **changed: Any) -> float:
        return float(sizes_of_gradients(run("vanishing", {"T": T}, scale=scale, **changed))[0])

    assert of_h0(0.5, 20) == pytest.approx(1.4e-7, rel=0.05)
    assert of_h0(0.5, 40) == pytest.approx(8e-14, rel=0.05)
    assert of_h0(0.5) < 1e-9
    assert 0.01 < of_h0(1.0) < 1.0
    assert of_h0(1.5) > 1e4
    assert of_h0(3.0) < 1e-6
    assert of_h0(1.5, h0=[0.4, -0.3, 0.2]) < 1.0  # nothing explodes any more


def test_at_scale_3_the_states_are_flat_after_a_dozen_steps() -> None:
    trace = run("vanishing", scale=3.0)
    assert np.max(1 - value_of(trace, "h[t=5]") ** 2) > 0.99
    for t in range(16, 31):
        assert np.max(1 - value_of(trace, f"h[t={t}]") ** 2) < 0.2
    found = sizes_of_gradients(trace)
    assert np.argmin(found) == 13 and found[0] > 1e4 * found[13]


# ── rnn-batch ─────────────────────────────────────────────────────────────────────────────────

CHARACTERS = "helo"
TEXTS = [("hell", "ello"), ("olle", "lleh")]


def as_text(rows: Any) -> str:
    """The characters of rows with a single 1."""
    assert all(sorted(row) == [0.0, 0.0, 0.0, 1.0] for row in rows)
    return "".join(CHARACTERS[int(np.argmax(row))] for row in rows)


def test_the_texts_are_those_of_the_words() -> None:
    lesson = find_lesson("rnn-batch")
    inputs, targets = lesson.leaf_named("inputs").default, lesson.leaf_named("targets").default
    read = [(as_text(i), as_text(t)) for i, t in zip(inputs, targets, strict=True)]
    assert read == TEXTS
    assert all(i[1:] == t[:-1] for i, t in read)  # the next character


@pytest.mark.parametrize("hidden", [1, 3, 8])
def test_the_backward_pass_of_min_char_rnn_for_each_text_averaged(hidden: int) -> None:
    """Karpathy's formulas for one text in columns: dy = p − onehot, dhraw = (1 − h²) · dh, dhnext.

    The batch is two such texts, and its gradients are the mean of theirs.
    """
    leaves = default_leaves(find_lesson("rnn-batch"), {"hidden": hidden})
    wxh, whh, why, bh, by, before = (
        np.array(leaves[name]) for name in ("Wxh", "Whh", "Why", "bh", "by", "hs0")
    )
    names = ("Wxh", "Whh", "Why", "bh", "by")
    expected = {name: np.zeros(np.shape(leaves[name])) for name in names}
    expected["hs0"] = np.zeros((2, hidden))
    loss = 0.0
    for row, (read, wanted) in enumerate(TEXTS):
        state, kept = before[row][:, None], []
        for now, following in zip(read, wanted, strict=True):
            column = np.eye(4)[:, [CHARACTERS.index(now)]]
            previous, state = state, np.tanh(wxh @ column + whh @ state + bh.T)
            scores = why @ state + by.T
            share = np.exp(scores) / np.sum(np.exp(scores))
            right = CHARACTERS.index(following)
            loss -= np.log(share[right, 0]) / 2
            kept.append((column, previous, state, share, right))
        from_later = np.zeros((hidden, 1))
        for column, previous, state, share, right in reversed(kept):
            of_scores = share.copy()
            of_scores[right] -= 1
            expected["Why"] += of_scores @ state.T / 2
            expected["by"] += of_scores.T / 2
            of_state = why.T @ of_scores + from_later
            raw = (1 - state**2) * of_state
            expected["bh"] += raw.T / 2
            expected["Wxh"] += raw @ column.T / 2
            expected["Whh"] += raw @ previous.T / 2
            from_later = whh.T @ raw
        expected["hs0"][row] = from_later[:, 0] / 2
    trace = run("rnn-batch", {"hidden": hidden})
    assert trace.graph[trace.graph.output].value == pytest.approx(loss, rel=1e-12)
    found = leaf_gradients(trace)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rel=1e-12, what=name)


def test_the_batch_is_torchs_own_rnn_with_cross_entropy() -> None:
    leaves = default_leaves(find_lesson("rnn-batch"), {"hidden": 3})
    tensors = {name: torch.tensor(np.array(value)) for name, value in leaves.items()}
    network = torch.nn.RNN(4, 3, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(3, 4, dtype=torch.float64)
    copied = {
        "Wxh": network.weight_ih_l0, "Whh": network.weight_hh_l0, "bh": network.bias_ih_l0,
        "Why": head.weight, "by": head.bias,
    }  # fmt: skip
    with torch.no_grad():
        for name, parameter in copied.items():
            parameter.copy_(tensors[name].reshape(parameter.shape))
        network.bias_hh_l0.zero_()
    states, _ = network(tensors["inputs"], tensors["hs0"][None])
    classes = tensors["targets"].argmax(-1)
    loss = torch.nn.functional.cross_entropy(
        head(states).reshape(8, 4), classes.reshape(8), reduction="sum"
    )
    loss = loss / 2
    loss.backward()
    trace = run("rnn-batch")
    assert trace.graph[trace.graph.output].value == pytest.approx(loss.item(), rel=1e-12)
    found = leaf_gradients(trace)
    for name, parameter in copied.items():
        expected = parameter.grad.numpy().reshape(np.shape(leaves[name]))
        assert_close(found[name], expected, rel=1e-11, what=name)


def test_the_gradient_of_the_scores_is_the_probabilities_minus_the_target() -> None:
    trace = run("rnn-batch")
    for t in range(1, 5):
        onehot = [np.eye(4)[CHARACTERS.index(wanted[t - 1])] for _, wanted in TEXTS]
        expected = (value_of(trace, f"ps[t={t}]") - onehot) / 2
        np.testing.assert_allclose(gradient_of(trace, f"ys[t={t}]"), expected, rtol=1e-12)
        np.testing.assert_allclose(np.sum(expected, axis=1), 0.0, atol=1e-15)


# ── truncated-bptt ────────────────────────────────────────────────────────────────────────────


def by_pieces(k: int) -> tuple[float, float]:
    """The loss and the gradient of w as one would train: piece by piece, the state as a number.

    Each piece is a graph of its own with its own backward; the gradients of w accumulate.
    """
    lesson = find_lesson("truncated-bptt")
    x, y, h0, number = (lesson.leaf_named(name).default for name in ("x", "y", "h0", "w"))
    w = torch.tensor(number, dtype=torch.float64, requires_grad=True)
    state, total = h0, 0.0
    for start in range(0, 6, k):
        h = torch.tensor(state, dtype=torch.float64)
        loss = torch.tensor(0.0, dtype=torch.float64)
        for t in range(start, min(start + k, 6)):
            h = torch.tanh(w * h + x[t])
            loss = loss + (h - y[t]) ** 2
        loss.backward()
        state, total = h.item(), total + loss.item()
    assert w.grad is not None
    return total, w.grad.item()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 9])
def test_cut_is_training_in_pieces_and_full_is_one_piece(k: int) -> None:
    trace = run("truncated-bptt", {"k": k})
    whole, exact = by_pieces(6)
    loss, truncated = by_pieces(k)
    assert loss == pytest.approx(whole, rel=1e-12)
    assert value_of(trace, "L_full[t=6]") == pytest.approx(whole, rel=1e-12)
    assert value_of(trace, "L_cut[t=6]") == pytest.approx(whole, rel=1e-12)
    assert gradient_of(trace, "w_full") == pytest.approx(exact, rel=1e-11)
    assert gradient_of(trace, "w_cut") == pytest.approx(truncated, rel=1e-11)
    assert (k >= 6) == (gradient_of(trace, "w_cut") == gradient_of(trace, "w_full"))


def test_the_numbers_that_the_lesson_names() -> None:
    """2.41 uncut; 2.12 with k = 3, 2.07 with 4, 1.45 with 5."""
    found = [by_pieces(k)[1] for k in (6, 3, 4, 5)]
    assert [round(number, 2) for number in found] == [2.41, 2.12, 2.07, 1.45]


def test_h0_hears_only_from_the_first_piece() -> None:
    changed = [0.5, 0.2, -0.1, 0.6, 0.3, -0.9]  # the last target
    one, other = run("truncated-bptt"), run("truncated-bptt", y=changed)
    assert gradient_of(one, "h_cut[t=1]") == gradient_of(other, "h_cut[t=1]")
    assert gradient_of(one, "h[t=1]") != gradient_of(other, "h[t=1]")
