"""Verdicts: what agrees, what differs, and what cannot be compared."""

from typing import Any

import numpy as np
import pytest

from backprop_tui.engine.compare import Comparison, Verdict, compare
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.numeric import differences
from backprop_tui.engine.operations.base import Contribution
from backprop_tui.engine.operations.functions import Tanh
from backprop_tui.engine.run import record
from backprop_tui.engine.torch_record import Structure, TorchEdges, TorchRun, place_keys
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import default_leaves


def traced(program: Any, **leaves: Any) -> Trace:
    return backward(record(program, leaves))


def echo(trace: Trace, *, gradients: dict[int, Any] | None = None) -> TorchRun:
    """A run that found what the trace found, except at the nodes given."""
    graph = trace.graph
    nodes = [*graph.leaves.values()]
    calls = [i for i, record in enumerate(graph.records) if record.op is not None]
    entries = [*nodes, *calls]
    structure = Structure(
        tuple(graph.leaves),
        place_keys([graph.records[i].place for i in calls]),
        tuple(np.shape(graph.records[i].value) for i in entries),
    )
    found = [(gradients or {}).get(i, trace.gradients[i]) for i in entries]
    order = [entry for members in structure.groups.values() for entry in members]
    zeros = [np.zeros(shape) for shape in structure.shapes]
    return TorchRun(
        structure,
        np.concatenate([np.ravel(graph.records[entries[e]].value) for e in order]),
        np.concatenate([np.ravel(zeros[e] if found[e] is None else found[e]) for e in order]),
        np.array([g is not None for g in found]),
    )


def product(xp: Any, a: Any, b: Any) -> Any:
    p = a * b
    return xp.tanh(p)


def of(trace: Trace, name: str) -> int:
    return trace.graph.index_of[name]


def test_the_same_agrees() -> None:
    trace = traced(product, a=0.5, b=2.0)
    found = compare(trace, echo(trace))
    assert [found.verdict(i) for i in range(len(trace.graph))] == [Verdict.AGREE] * 4
    assert found.summary().all_agree is False  # finite differences are still expected
    assert compare(trace, echo(trace), numeric_expected=False).summary().all_agree


def test_another_gradient_differs_by_so_much() -> None:
    trace = traced(product, a=0.5, b=2.0)
    p = of(trace, "p")
    wrong = trace.gradients[p] * 1.25  # type: ignore[operator]
    found = compare(trace, echo(trace, gradients={p: wrong}), numeric_expected=False)
    assert found.verdict(p) is Verdict.DIFFER
    diff = found.gradient_diff(p)
    assert diff is not None
    assert diff.relative == pytest.approx(0.2)
    assert diff.absolute == pytest.approx(0.25 * float(trace.gradients[p]))  # type: ignore[arg-type]
    summary = found.summary()
    assert summary.differing == ("p",)
    assert summary.worst_relative == pytest.approx(0.2)
    assert not summary.all_agree


@pytest.mark.parametrize(
    ("hand", "torch", "agrees"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 1e300, False),
        (np.nan, 0.0, False),
        (0.0, -0.0, True),
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0 + 1e-7, False),
        (1e-30, 2e-30, False),
    ],
)
def test_single_numbers(hand: float, torch: float, agrees: bool) -> None:
    trace = traced(lambda xp, x: x * hand, x=1.0)
    found = compare(trace, echo(trace, gradients={0: torch}))
    assert (found.leaves["x"].torch_verdict is Verdict.AGREE) is agrees
    diff = found.gradient_diff(0)
    assert diff is not None
    assert (diff.relative < 1e-9) is agrees


def test_a_small_cell_beside_a_large_one_may_be_rounding() -> None:
    trace = traced(lambda xp, x: x * np.array([1.0, 1e-17]), x=np.ones(2))
    found = compare(trace, echo(trace, gradients={0: np.array([1.0, 3e-17])}))
    assert found.leaves["x"].torch_verdict is Verdict.AGREE


def test_what_a_cancelling_sum_left_may_be_rounding() -> None:
    def program(xp: Any, x: Any) -> Any:
        return ((x + 0.2) - 0.3) * 3.0

    trace = traced(program, x=0.1)
    run = echo(trace)
    run.values[2:] = 0.0  # 0.1 + 0.2 - 0.3, summed in a luckier order
    run.values[1] = 0.3
    found = compare(trace, run)
    assert [found.verdict(i) for i in (2, 4)] != [Verdict.DIFFER] * 2


@pytest.mark.parametrize("torch", [None, 0.0])
def test_no_path_agrees_with_nothing_and_with_zero(torch: float | None) -> None:
    trace = traced(lambda xp, x, unused: x * x, x=2.0, unused=3.0)
    index = trace.graph.leaves["unused"]
    assert trace.gradients[index] is None
    found = compare(trace, echo(trace, gradients={index: torch}))
    assert found.leaves["unused"].torch_verdict is Verdict.AGREE


def test_zeros_agree_with_nothing() -> None:
    trace = traced(lambda xp, x: x * 0.0, x=2.0)
    found = compare(trace, echo(trace, gradients={0: None}))
    assert found.leaves["x"].torch_verdict is Verdict.AGREE
    assert found.torch_gradient(0) is None


def test_a_gradient_where_torch_has_none_differs() -> None:
    trace = traced(lambda xp, x: x * 5.0, x=2.0)
    found = compare(trace, echo(trace, gradients={0: None}))
    assert found.leaves["x"].torch_verdict is Verdict.DIFFER


def test_another_shape_differs() -> None:
    trace = traced(lambda xp, x: xp.sum(x), x=np.ones((2, 3)))
    run = echo(trace)
    turned = Structure(run.structure.leaves, run.structure.keys, ((3, 2), ()))
    found = compare(trace, TorchRun(turned, run.values, run.gradients, run.given))
    assert found.verdict(0) is Verdict.DIFFER
    assert found.verdict(1) is Verdict.AGREE


def test_a_call_elsewhere_is_absent_and_nothing_agrees() -> None:
    trace = traced(product, a=0.5, b=2.0)
    run = echo(trace)
    keys = (None, *run.structure.keys[1:])
    other = Structure(run.structure.leaves, keys, run.structure.shapes)
    found = compare(
        trace, TorchRun(other, run.values, run.gradients, run.given), numeric_expected=False
    )
    p = of(trace, "p")
    assert found.verdict(p) is Verdict.ABSENT
    assert found.value_diff(p) is None
    assert found.torch_value(p) is None
    assert found.summary().absent == 1
    assert not found.summary().all_agree


def test_calls_are_matched_by_place_and_turn_not_by_number() -> None:
    def program(xp: Any, x: Any, *, steps: int) -> Any:
        for t in range(steps):
            x = x * (t + 2)
        return x

    trace = backward(record(program, {"x": 1.5}, {"steps": 3}))
    run = echo(trace)
    keys = run.structure.keys
    extra = Structure(("x",), (None, *keys), ((),) * (len(keys) + 2))
    moved = TorchRun(
        extra,
        np.insert(run.values, 1, 99.0),
        np.insert(run.gradients, 1, 99.0),
        np.insert(run.given, 1, True),
    )
    found = compare(trace, moved, numeric_expected=False)
    assert found.summary().all_agree


def test_pending_and_absent_references() -> None:
    trace = traced(product, a=0.5, b=2.0)
    found = compare(trace)
    assert found.verdict(0) is Verdict.PENDING
    assert found.leaves["a"].verdict is Verdict.PENDING
    found = compare(trace, torch_expected=False, numeric_expected=False)
    assert found.verdict(0) is Verdict.ABSENT
    assert found.leaves["a"].verdict is Verdict.ABSENT
    assert not found.summary().all_agree


def test_constants_have_no_verdict() -> None:
    trace = traced(lambda xp, x: x * 5.0, x=2.0)
    assert compare(trace, echo(trace)).verdict(1) is Verdict.ABSENT


def numeric(program: Any, **leaves: Any) -> Comparison:
    return compare(
        traced(program, **leaves), None, differences(program, leaves), torch_expected=False
    )


def test_finite_differences_agree_within_their_error() -> None:
    leaf = numeric(product, a=0.5, b=2.0).leaves["a"]
    assert leaf.numeric_verdict is Verdict.AGREE
    assert leaf.verdict is Verdict.AGREE
    assert leaf.numeric_diff is not None
    assert leaf.numeric_diff.relative < 1e-8


@pytest.mark.parametrize(
    ("program", "x", "verdict"),
    [
        (lambda xp, x: xp.relu(x), 0.0, Verdict.KINK),
        (lambda xp, x: x * x, 1e200, Verdict.NOT_FINITE),
        (lambda xp, x: (1e16 + x) - 1e16, 1.0, Verdict.AGREE),
    ],
)
def test_finite_differences_say_where_they_have_nothing_to_say(
    program: Any, x: float, verdict: Verdict
) -> None:
    assert numeric(program, x=x).leaves["x"].numeric_verdict is verdict


def test_uncertain_differences_alone_check_nothing() -> None:
    def program(xp: Any, x: Any) -> Any:
        return (1e16 + x * 1e4) - 1e16

    trace = traced(program, x=1.0)
    trace.gradients = [1e9, *trace.gradients[1:]]
    found = compare(trace, None, differences(program, {"x": 1.0}), torch_expected=False)
    assert found.leaves["x"].verdict in (Verdict.UNCERTAIN, Verdict.DIFFER)
    assert not found.summary().all_agree


def test_an_interrupted_run_is_pending() -> None:
    run = differences(product, {"a": 0.5, "b": 2.0}, should_stop=lambda: True)
    found = compare(traced(product, a=0.5, b=2.0), None, run, torch_expected=False)
    assert found.leaves["a"].numeric_verdict is Verdict.PENDING


def test_a_kink_does_not_hide_another_cells_mistake() -> None:
    def program(xp: Any, x: Any) -> Any:
        return xp.relu(x)

    x = np.array([0.0, 1.0])
    trace = traced(program, x=x)
    trace.gradients = [np.array([0.0, 1.5]), *trace.gradients[1:]]
    found = compare(trace, None, differences(program, {"x": x}))
    assert found.leaves["x"].verdict is Verdict.DIFFER


def test_a_planted_wrong_rule_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = find_lesson("tanh-recursion")
    sizes = lesson.default_sizes()
    leaves = default_leaves(lesson, sizes)
    right = backward(record(lesson.program, leaves, sizes))
    rule = Tanh.contributions[0]
    wrong = Contribution(lambda g, out, a: g * (1.0 - out), rule.text, rule.why)
    monkeypatch.setattr(Tanh, "contributions", (wrong,))
    trace = backward(record(lesson.program, leaves, sizes))
    found = compare(trace, echo(right), differences(lesson.program, leaves, sizes))
    assert found.leaves["w_h"].torch_verdict is Verdict.DIFFER
    assert found.leaves["w_h"].numeric_verdict is Verdict.DIFFER
    assert found.leaves["w_y"].verdict is Verdict.AGREE
    summary = found.summary()
    assert "w_h" in summary.differing
    assert "h[t=2]" not in summary.differing


def test_edges_are_compared_in_the_operands_order() -> None:
    trace = traced(lambda xp, x: x**x, x=2.0)
    run = echo(trace)
    sent = [trace.contribution(Edge(1, 0, slot)) for slot in (0, 1)]
    edges = TorchEdges(np.array([1, 1]), np.array([0, 0]), np.array(sent))
    found = compare(trace, TorchRun(run.structure, run.values, run.gradients, run.given, edges))
    for slot in (0, 1):
        edge = found.edge(Edge(1, 0, slot))
        assert edge is not None
        assert edge.verdict is Verdict.AGREE
        assert edge.torch == sent[slot]
    swapped = TorchEdges(edges.sources, edges.targets, edges.values[::-1].copy())
    found = compare(trace, TorchRun(run.structure, run.values, run.gradients, run.given, swapped))
    edge = found.edge(Edge(1, 0, 0))
    assert edge is not None
    assert edge.verdict is Verdict.DIFFER
    assert found.summary().edges == 2


def test_edges_that_cannot_be_told_apart_are_not_compared() -> None:
    trace = traced(lambda xp, x: x * x, x=2.0)
    run = echo(trace)
    edges = TorchEdges(np.array([1]), np.array([0]), np.array([4.0]))
    found = compare(trace, TorchRun(run.structure, run.values, run.gradients, run.given, edges))
    assert found.edge(Edge(1, 0, 0)) is None


def test_signs_and_words_are_all_different() -> None:
    assert len({verdict.word for verdict in Verdict}) == len(Verdict)
    assert len({verdict.sign for verdict in Verdict}) == len(Verdict)


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_every_lesson_agrees_with_finite_differences(lesson: Any) -> None:
    sizes = lesson.default_sizes()
    leaves = default_leaves(lesson, sizes)
    trace = backward(record(lesson.program, leaves, sizes))
    found = compare(trace, None, differences(lesson.program, leaves, sizes), torch_expected=False)
    assert {leaf.verdict for leaf in found.leaves.values()} == {Verdict.AGREE}
    assert found.summary().all_agree
