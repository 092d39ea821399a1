"""Diagnosis: mistakes made by hand, by torch and by wrong rules are named; right values never.

The wrong values here come from elsewhere than from the diagnosis: from published slips, from numpy,
from torch running a broken program, and from operations whose rule is another one meanwhile. That
every mistake is found in every lesson is measured by `report.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine_checks import by_hand, by_torch, planted

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.diagnosis import (
    MISTAKES,
    Diagnoser,
    Diagnosis,
    Outcome,
    diagnose,
    diagnose_pass,
)
from backprop_tui.engine.operations.arithmetic import Mul, Pow
from backprop_tui.engine.operations.functions import Maximum, Tanh
from backprop_tui.engine.operations.products import MatrixMatrix, VectorMatrix
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.report.diagnosis import Figures, good_enough, in_all, measure
from backprop_tui.session import Session

LESSONS = catalogue()


def trace_of(lesson_id: str) -> Trace:
    return Session(find_lesson(lesson_id)).trace


def value_of(trace: Trace, name: str) -> Any:
    return trace.graph.records[trace.graph.index_of[name]].value


def gradient_of(trace: Trace, name: str) -> Any:
    return trace.gradients[trace.graph.index_of[name]]


def told(trace: Trace, name: str, value: Any, **how: Any) -> Diagnosis:
    return diagnose(trace, trace.graph.index_of[name], value, **how)


def all_gradients(trace: Trace) -> dict[str, Any]:
    """The gradients of all named values, as a learner would hand them in."""
    return {
        name.id: trace.gradients[index]
        for index, name in enumerate(trace.graph.names)
        if name.named and trace.gradients[index] is not None
    }


# ── right values ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_torchs_values_are_right(lesson: Any) -> None:
    session = Session(lesson)
    inputs = session.inputs
    _, gradients = by_torch(lesson.program, inputs.leaves, **inputs.sizes)
    found = diagnose_pass(session.trace, gradients)
    assert {one.name: one.diagnosis.outcome for one in found.told} == dict.fromkeys(
        (one.name for one in found.told), Outcome.EXACT
    )
    assert found.first is None and len(found.told) + len(found.unknown) == len(inputs.leaves)


def test_right_exactly_to_rounding_and_only_as_far_as_it_is_written() -> None:
    trace = trace_of("tanh-recursion")
    assert told(trace, "w_h", gradient_of(trace, "w_h")).outcome is Outcome.EXACT
    # The notebook's number, computed with a tanh in float32.
    assert told(trace, "w_h", 8.18880672682621).outcome is Outcome.ROUNDED
    assert told(trace, "w_h", 8.189).outcome is Outcome.ROUNDED
    assert told(trace, "w_h", 8.19).outcome is Outcome.ROUNDED
    assert told(trace, "w_h", 8).outcome is Outcome.COARSE
    assert not told(trace, "w_h", 8.188).right  # the last digit is wrong
    assert not told(trace, "w_h", 8.17).right


def test_zero_up_to_rounding_is_right() -> None:
    """What a mean takes out again: neither sign nor size of what is left over means anything."""

    def program(xp: Any, x: Any, b: Any) -> Any:
        z = x + b
        return xp.sum(xp.tensor(K) * (z - xp.mean(z, 0)))

    trace = by_hand(program, {"x": X, "b": [0.1, 0.7, -0.2]})
    for noise in (0.0, 3e-17, -1e-16):
        assert told(trace, "b", np.full(3, noise)).outcome is Outcome.EXACT
    assert not told(trace, "b", np.full(3, 1e-12)).right


def test_nothing_is_changed() -> None:
    trace = trace_of("rnn")
    before = [np.copy(g) for g in trace.gradients if g is not None]
    diagnose_pass(trace, {n: np.asarray(v) * 1.5 for n, v in all_gradients(trace).items()})
    after = [g for g in trace.gradients if g is not None]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


# ── published mistakes ────────────────────────────────────────────────────────────────────────


def test_the_notebooks_h_raw() -> None:
    """Its comments have 1 − h_raw², with the input of tanh in the place of its output."""
    trace = trace_of("tanh-recursion")
    z1, z2, h1 = (value_of(trace, name) for name in ("z[t=1]", "z[t=2]", "h[t=1]"))
    dz2 = (1 - z2**2) * 40.0
    found = told(trace, "z[t=2]", dz2)
    assert found.mistakes == ("input-for-output",)
    assert found.look_at == "send:h[t=2]>z[t=2]:0"
    dz1 = (1 - z1**2) * 2.0 * dz2
    # In the weight alone, as only its gradient is handed in: made at both steps.
    assert told(trace, "w_h", dz2 * h1 + dz1 * 0.5).mistakes[0] == "input-for-output"


def test_the_notebooks_bias_that_is_never_accumulated() -> None:
    trace = trace_of("rnn")
    values = {**all_gradients(trace), "b_x": np.zeros(3)}
    found = diagnose_pass(trace, values)
    assert [one.name for one in found.mistakes] == ["b_x"]
    assert found.mistakes[0].diagnosis.mistakes[0] == "never-accumulated"


def test_mazurs_update_before_the_hidden_gradients() -> None:
    """His printed new w5–w8, learning rate 0.5, used for the gradients of the hidden layer."""
    trace = trace_of("two-layer")
    w5, _, w7, _ = 0.35891648, 0.408666186, 0.511301270, 0.561370121
    out = 0.593269992  # of h1
    d_out = w5 * gradient_of(trace, "net_o1") + w7 * gradient_of(trace, "net_o2")
    wrong = d_out * out * (1 - out) * 0.05
    found = told(trace, "w1", float(f"{wrong:.7g}"), learning_rate=0.5)
    assert found.mistakes[0] == "after-update"
    assert not told(trace, "w1", float(f"{wrong:.7g}")).explanations  # no rate was given


def test_naive_recursion_on_the_diamond() -> None:
    """Passing on at each arrival: b sends 1 on, then 1 + 1, and a gets twice 1 and twice 2."""
    found = told(trace_of("diamond"), "a", 6.0)
    assert "sent-early" in found.mistakes


# ── mistakes made by numpy or by torch ────────────────────────────────────────────────────────


def torchs(program: Callable[..., Any], **leaves: Any) -> dict[str, Any]:
    return by_torch(program, leaves)[1]


X = [[0.3, -1.2, 0.8], [1.7, 0.4, -0.6], [-0.9, 2.1, 1.3], [0.2, -0.5, 1.9]]
A = [[0.7, -1.1], [0.4, 1.6], [-0.3, 0.9]]
K = [[0.5, -0.8, 1.2], [1.4, 0.6, -0.7], [-1.3, 0.9, 0.2], [0.8, 1.1, -0.4]]


@pytest.mark.parametrize(
    ("right", "wrong", "mistake"),
    [
        (
            lambda xp, x: xp.sum((x - xp.mean(x, 0)) ** 3),
            lambda xp, x: xp.sum((x - xp.mean(x, 0).detach()) ** 3),
            "detached",
        ),
        (
            lambda xp, x: xp.sum(xp.tensor(K) * x / xp.sqrt(xp.mean(x**2, 0))),
            lambda xp, x: xp.sum(xp.tensor(K) * x / xp.sqrt(xp.mean(x**2, 0)).detach()),
            "detached",
        ),
        (
            lambda xp, x: xp.sum(xp.tensor(K) * xp.softmax(x, 1)),
            lambda xp, x: xp.sum(xp.tensor(K) * xp.exp(x) / xp.sum(xp.exp(x), 1, True).detach()),
            "detached",
        ),
        (lambda xp, x: xp.mean(x**3), lambda xp, x: xp.sum(x**3), "sum-for-mean"),
        (lambda xp, x: xp.sum(x**3), lambda xp, x: xp.mean(x**3), "mean-for-sum"),
        (lambda xp, x: xp.sum(x**2), lambda xp, x: xp.sum(x**2) / 2, "power-missing"),
        (lambda xp, x: xp.sum(x**2), lambda xp, x: xp.sum(x**2) * 2, "power-twice"),
        (lambda xp, x: xp.sum(xp.var(x, 0)), lambda xp, x: xp.sum(xp.var(x, 0, correction=0)),
         "n-against-n-1"),
        (lambda xp, x: xp.sum(x * 3.0), lambda xp, x: xp.sum(x), "forgot-local"),
        (lambda xp, x: 3.0 * xp.sum(x**3), lambda xp, x: xp.sum(x**3), "forgot-upstream"),
        (lambda xp, x: xp.sum(2.0 - x**3), lambda xp, x: xp.sum(2.0 + x**3), "sign-flipped"),
        (
            lambda xp, x: xp.sum(x**3) + xp.sum(xp.sin(x)) + xp.sum(xp.tanh(x)),
            lambda xp, x: xp.sum(x**3) + xp.sum(xp.tanh(x)),
            "contribution-missing",
        ),
        (
            lambda xp, x: xp.sum(x**3) + xp.sum(xp.sin(x)) + xp.sum(xp.tanh(x)),
            lambda xp, x: xp.sum(x**3) + xp.sum(xp.sin(x)) + 2 * xp.sum(xp.tanh(x)),
            "counted-twice",
        ),
        (
            lambda xp, x: xp.sum(x**3) + xp.sum(xp.sin(x)) + xp.sum(xp.tanh(x)),
            lambda xp, x: xp.sum(x**3),
            "overwrote",
        ),
    ],
)  # fmt: skip
def test_what_torch_says_of_a_broken_program(right: Any, wrong: Any, mistake: str) -> None:
    trace = by_hand(right, {"x": X})
    found = told(trace, "x", torchs(wrong, x=X)["x"])
    assert found.outcome is Outcome.EXPLAINED and mistake in found.mistakes
    assert len(found.explanations) <= 3  # whoever names everything says nothing


def layer(xp: Any, X: Any, W: Any, b: Any) -> Any:
    Z = X @ W + b
    A = xp.tanh(Z)
    return xp.sum(A)


def layer_trace() -> Trace:
    return by_hand(layer, {"X": X, "W": A, "b": [0.2, -0.4]})


def test_mistakes_with_a_batch() -> None:
    trace = layer_trace()
    dZ, x, w = gradient_of(trace, "Z"), np.array(X), np.array(A)
    assert told(trace, "b", dZ[0]).mistakes == ("one-row-only",)
    assert told(trace, "b", dZ[-1]).mistakes == ("one-row-only",)
    assert told(trace, "b", dZ.mean(0)).mistakes == ("mean-for-sum",)
    assert told(trace, "b", dZ).mistakes == ("broadcast-not-summed",)
    assert told(trace, "W", (x.T @ dZ).T).mistakes == ("transposed",)
    assert told(trace, "W", x.T @ dZ / 4).mistakes == ("mean-for-sum",)
    assert told(trace, "W", np.outer(x[0], dZ[0])).mistakes == ("one-row-only",)
    assert told(trace, "W", np.einsum("ni,nj->nij", x, dZ)).mistakes == ("broadcast-not-summed",)
    # Without the slope of tanh: forgotten there, or here what comes from above.
    found = told(trace, "X", np.ones_like(dZ) @ w.T)
    assert set(found.mistakes) == {"forgot-upstream", "forgot-local"}


def test_a_wrong_shape_with_the_right_numbers() -> None:
    trace = layer_trace()
    found = told(trace, "b", np.reshape(gradient_of(trace, "b"), (1, 2)))
    assert found.outcome is Outcome.SHAPE and not found.right


def test_off_by_one_in_time() -> None:
    trace = trace_of("tanh-recursion")
    dz1, dz2 = gradient_of(trace, "z[t=1]"), gradient_of(trace, "z[t=2]")
    h1, h2 = value_of(trace, "h[t=1]"), value_of(trace, "h[t=2]")
    found = told(trace, "w_h", dz1 * h1 + dz2 * h2)  # h[t] for h[t−1]
    assert found.mistakes == ("off-by-one",) and found.explanations[0].slips[0].everywhere


def test_one_cell() -> None:
    trace = layer_trace()
    dZ = gradient_of(trace, "Z")
    right = gradient_of(trace, "b")
    assert told(trace, "b", right[1], cell=(1,)).right
    assert "one-row-only" in told(trace, "b", dZ[0][1], cell=(1,)).mistakes
    assert told(trace, "b", right[0], cell=(1,)).outcome is Outcome.UNEXPLAINED


def test_where_nothing_explains_it_that_is_said() -> None:
    trace = layer_trace()
    value = np.array(gradient_of(trace, "W"))
    value[1, 0] += 0.123456
    found = told(trace, "W", value)
    assert found.outcome is Outcome.UNEXPLAINED and not found.explanations
    assert found.first_wrong_cell == (1, 0)
    assert found.look_at == "send:Z/mm>W:1" and found.look_at in trace.steps.by_key


def test_several_equally_good_mistakes_are_all_named() -> None:
    trace = by_hand(lambda xp, x: xp.sin(x) + x**3, {"x": 1.3})
    found = told(trace, "x", float(np.cos(1.3)))
    assert {"overwrote", "contribution-missing"} <= set(found.mistakes)


# ── a whole pass, with a wrong rule ───────────────────────────────────────────────────────────

RULES = [
    ("rnn", Tanh, 0, lambda g, out, a: g * (1.0 - a * a), "input-for-output"),
    ("rnn", Tanh, 0, lambda g, out, a: g, "forgot-local"),
    ("rnn", Tanh, 0, lambda g, out, a: 1.0 - out * out, "forgot-upstream"),
    ("rnn", VectorMatrix, 0, lambda g, out, a, b: -(g @ b.T), "sign-flipped"),
    ("rnn", VectorMatrix, 1, lambda g, out, a, b: np.outer(a, np.ones_like(g)), "forgot-upstream"),
    ("rnn", Pow, 0, lambda g, out, base, exponent: g * base, "power-missing"),
    ("mlp", MatrixMatrix, 1, lambda g, out, a, b: -(a.T @ g), "sign-flipped"),
    ("mlp", MatrixMatrix, 1, lambda g, out, a, b: a.T @ np.ones_like(g), "forgot-upstream"),
    ("gates", Maximum, 0, lambda g, out, a, b: 0.0 if a > b else g, "wrong-branch"),
    ("circuit", Mul, 0, lambda g, out, a, b: g * a, "swapped-operands"),
    ("linear", Mul, 0, lambda g, out, a, b: g * a, "swapped-operands"),
    ("lstm", Tanh, 0, lambda g, out, a: g * (1.0 - a * a), "input-for-output"),
]


@pytest.mark.parametrize(("lesson_id", "op", "slot", "rule", "mistake"), RULES)
def test_a_pass_with_a_wrong_rule(
    lesson_id: str, op: Any, slot: int, rule: Any, mistake: str
) -> None:
    right = trace_of(lesson_id)
    with planted(op, slot, rule):
        values = all_gradients(backward(right.graph))
    found = diagnose_pass(right, values)
    assert found.mistakes
    for one in found.mistakes:
        assert mistake in one.diagnosis.mistakes, (one.name, one.diagnosis.mistakes)
    # Each wrong value is the learner's own doing, or follows from it: nothing else is blamed.
    wrong_rule = {
        name.id
        for index, name in enumerate(right.graph.names)
        for edge in right.arrivals.get(index, ())
        if name.named and _comes_from(right, edge, op, slot)
    }
    assert {one.name for one in found.mistakes} <= wrong_rule


def _comes_from(trace: Trace, edge: Any, op: Any, slot: int) -> bool:
    """Whether an edge has the wrong rule, itself or by way of parts without a name."""
    if trace.graph.records[edge.source].op is op and edge.slot == slot:
        return True
    if trace.graph.names[edge.source].named:
        return False
    return any(_comes_from(trace, e, op, slot) for e in trace.arrivals.get(edge.source, ()))


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "sign-flipped": lambda rule: lambda g, *r, **k: -1.0 * rule(g, *r, **k),
    "forgot-upstream": lambda rule: lambda g, *r, **k: rule(g * 0.0 + 1.0, *r, **k),
}


def test_any_rule_with_its_sign_turned_or_without_upstream() -> None:
    """Each operation's rule to each operand is wrong for a whole pass, in each lesson; every value
    that then is wrong in itself is held against what was done. Several wrong contributions at one
    node, made at different places, may be beyond it."""
    cases, unnamed = 0, []
    for lesson in LESSONS:
        right = Session(lesson).trace
        for op, slot in sorted(_rules_of(right), key=lambda pair: (pair[0].__name__, pair[1])):
            for mistake, wrapper in WRAPPERS.items():
                with planted(op, slot, wrapper(op.contributions[slot].function)):
                    values = all_gradients(backward(right.graph))
                for one in diagnose_pass(right, values).mistakes:
                    cases += 1
                    if mistake not in one.diagnosis.mistakes:
                        unnamed.append((lesson.id, op.name, slot, mistake, one.name))
    assert cases > 1000 and len(unnamed) <= 0.05 * cases, (cases, unnamed)


def _rules_of(trace: Trace) -> set[tuple[Any, int]]:
    """The operations of a pass with the operands that they send to."""
    graph = trace.graph
    return {
        (record.op, slot)
        for index, record in enumerate(graph.records)
        if record.op is not None and not record.op.variadic and trace.gradients[index] is not None
        for slot, operand in enumerate(record.operands)
        if graph.needs_gradient[operand]
    }


def test_right_given_the_learners_own_earlier_value() -> None:
    trace = trace_of("tanh-recursion")
    z2, h1 = value_of(trace, "z[t=2]"), value_of(trace, "h[t=1]")
    dz2 = (1 - z2**2) * 40.0
    dh1 = 2.0 * dz2
    dz1 = dh1  # a second mistake: the local derivative is forgotten
    found = diagnose_pass(
        trace,
        {"w_h": dz2 * h1 + dz1 * 0.5, "z[t=1]": dz1, "h[t=1]": dh1, "z[t=2]": dz2, "q": 1.0},
    )
    assert [one.name for one in found.told] == ["z[t=2]", "h[t=1]", "z[t=1]", "w_h"]
    assert [one.right for one in found.told] == [False, True, False, True]
    first, h, z, w = found.told
    assert found.first is first and first.diagnosis.mistakes == ("input-for-output",)
    assert h.given == ("z[t=2]",) and w.given == ("z[t=1]", "z[t=2]")
    assert z.diagnosis.mistakes == ("forgot-local",)
    assert found.unknown == ("q",)


def test_rounded_by_hand_at_each_step() -> None:
    """Who goes on with rounded numbers is right all the same."""
    trace = trace_of("tanh-recursion")
    dz2 = round(gradient_of(trace, "z[t=2]"), 3)
    dh1 = round(2.0 * dz2, 2)
    found = diagnose_pass(trace, {"z[t=2]": dz2, "h[t=1]": dh1})
    assert found.first is None


def test_a_given_value_is_built_upon() -> None:
    trace = trace_of("linear")
    p = trace.graph.index_of["p"]
    found = told(trace, "w", 7.0 * 2.5, given={p: 7.0})
    assert found.outcome is Outcome.EXACT and found.expected == 17.5


# ── every mistake in every lesson ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_planted_mistakes_are_named(lesson: Any) -> None:
    """A sample in each lesson; `backprop-tui diagnosis` does them all."""
    figures = measure(lesson, sample=2, limit=5)
    assert figures.right > 0 and figures.blamed == 0
    cases = sum(count.cases for count in figures.planted.values())
    named = sum(count.named for count in figures.planted.values())
    assert cases > 0 and named >= 0.95 * cases, figures.missed


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_all_planted_mistakes() -> None:
    total = in_all(measure(lesson) for lesson in LESSONS)
    assert good_enough(total), total.missed
    assert set(total.by_mistake) == set(MISTAKES)


def test_figures_can_be_bad() -> None:
    figures = Figures("x")
    figures.planted["here"].cases, figures.planted["here"].named = 20, 18
    assert not good_enough(figures)
    figures.planted["here"].named = 20
    assert good_enough(figures)
    figures.blamed = 1
    assert not good_enough(figures)


def test_steps_to_look_at_exist() -> None:
    for lesson_id in ("rnn", "softmax", "gates"):
        trace = trace_of(lesson_id)
        diagnoser = Diagnoser(trace)
        for node in range(len(trace.graph)):
            for slip, value in diagnoser.candidates(node)[0]:
                assert slip.key(diagnoser.sweep) in trace.steps.by_key
                assert slip.reshapes or shape_of(value) == shape_of(diagnoser.expected(node))


def test_sentences() -> None:
    for mistake in MISTAKES.values():
        assert mistake.sentence.endswith(".") and mistake.name[0].islower()
    found = told(trace_of("linear"), "w", 5.0)
    assert found.explanations[0].sentence == (
        "Operands swapped in a product, in what p sends to w. In a product the slope for one "
        "factor is the other factor, in its own place."
    )
