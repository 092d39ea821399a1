"""The backward pass and its steps: order, keys, ledgers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from engine_checks import agrees_with_torch, assert_close, by_hand, leaf_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_program

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Step, StepKind, Trace, backward

SEEDS = st.integers(0, 2**32 - 1)


def keys(trace: Trace) -> list[str]:
    return [step.key for step in trace.steps]


# ── gradients ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("program", "leaves", "expected"),
    [
        (lambda xp, *, x: x * x, {"x": 3.0}, {"x": 6.0}),
        (lambda xp, *, x: x + x, {"x": 3.0}, {"x": 2.0}),
        (lambda xp, *, x: x - x, {"x": 3.0}, {"x": 0.0}),
        (lambda xp, *, x: x / x, {"x": 3.0}, {"x": 0.0}),
        (lambda xp, *, x: x * x * x, {"x": 2.0}, {"x": 12.0}),
        (lambda xp, *, x: xp.maximum(x, x), {"x": 3.0}, {"x": 1.0}),
    ],
)
def test_the_same_operand_twice(program: Any, leaves: Any, expected: Any) -> None:
    assert leaf_gradients(by_hand(program, leaves)) == expected


def diamond(xp: Any, *, a: Any) -> Any:
    b = a + a
    c = b + b
    return c


def test_diamond() -> None:
    """By definition da is 4; passing on before all has arrived gives 8."""
    assert leaf_gradients(by_hand(diamond, {"a": 1.0})) == {"a": 4.0}


def test_shared_weight() -> None:
    def program(xp: Any, *, w: Any, x: Any) -> Any:
        h = x
        for _ in range(5):
            h = xp.tanh(w * h)
        return h

    trace = agrees_with_torch(program, {"w": 0.8, "x": 0.5}, rel=1e-14)
    assert len(trace.arrivals[trace.graph.leaves["w"]]) == 5


def test_fan_out_of_a_thousand() -> None:
    def program(xp: Any, *, w: Any) -> Any:
        total = w * 0.0
        for k in range(1, 1000):
            total = total + w * float(k)
        return total

    trace = by_hand(program, {"w": 2.0})
    assert leaf_gradients(trace)["w"] == sum(range(1000))
    collect = next(s for s in trace.steps if s.key == "collect:w")
    assert len(collect.contributions) == 1000 and collect.total == 499500.0


def test_an_upstream_gradient_is_never_changed() -> None:
    """A sum hands the same array to both sides; adding to one must not change the other."""

    def program(xp: Any, *, a: Any, b: Any) -> Any:
        c = a + b
        d = a * 3
        return xp.sum(c * 2) + xp.sum(d) + xp.sum(c)

    leaves = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    trace = agrees_with_torch(program, leaves, rel=0)
    before = [np.copy(s.contribution) for s in trace.steps if s.kind is StepKind.SEND]
    for step in trace.steps:
        assert step.key
    after = [s.contribution for s in trace.steps if s.kind is StepKind.SEND]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    # Contributions add up to the gradient although each was sent before the later ones came.
    for node, edges in trace.arrivals.items():
        total: Any = 0.0
        for edge in edges:
            total = total + trace.contribution(edge)
        assert_close(trace.gradients[node], total, rel=0, what=str(node))


def chain(xp: Any, *, x: Any, n: int) -> Any:
    for _ in range(n):
        x = x * 1.00001
    return x


def test_a_chain_of_100_000_does_not_recurse() -> None:
    n = 100_000
    limit = sys.getrecursionlimit()
    trace = backward(record(chain, {"x": 1.0}, {"n": n}))
    gradient = trace.gradients[0]
    assert gradient == pytest.approx(1.00001**n, rel=1e-9)
    assert len(trace.steps) == n + 1 + n
    assert trace.steps[0].key == "compute:x[_=0]"
    assert trace.steps[-1].edge is not None and trace.steps[-1].edge.target == 0
    assert len({name.id for name in trace.graph.names}) == n + 2
    assert trace.steps.by_key[trace.steps[-1].key] == len(trace.steps) - 1
    assert sys.getrecursionlimit() == limit


@settings(max_examples=60)
@given(seed=SEEDS)
def test_random_graphs_of_200_operations_agree_with_torch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, leaves = random_program(rng, int(rng.integers(1, 201)))
    agrees_with_torch(program, leaves, rel=1e-9)


def test_random_programs_have_their_size() -> None:
    rng = np.random.default_rng(0)
    graph = record(*random_program(rng, 200))
    assert sum(node.op is not None for node in graph) >= 200


# ── steps ─────────────────────────────────────────────────────────────────────────────────────


def small(xp: Any, *, a: Any, b: Any, c: Any) -> Any:
    e = a * b
    d = e + c
    f = d * e
    return f


SMALL = {"a": 2.0, "b": -3.0, "c": 10.0}


def test_the_steps_of_a_small_graph() -> None:
    trace = by_hand(small, SMALL)
    assert keys(trace) == [
        "compute:e", "compute:d", "compute:f",
        "seed:f",
        "send:f>d:0", "send:f>e:1",
        "send:d>e:0", "send:d>c:1",
        "collect:e", "send:e>a:0", "send:e>b:1",
    ]  # fmt: skip
    steps = trace.steps
    assert steps.backward_start == 3
    assert steps.turn_ends == (0, 1, 2, 3, 5, 7, 10)
    # f = d·e at d = 4, e = −6
    assert [s.total for s in steps[:4]] == [-6.0, 4.0, -24.0, 1.0]
    assert [s.contribution for s in steps if s.kind is StepKind.SEND] == [
        -6.0, 4.0, -6.0, -6.0, 6.0, -4.0
    ]  # fmt: skip
    assert [(s.upstream, s.local) for s in steps if s.kind is StepKind.SEND] == [
        (1.0, -6.0), (1.0, 4.0), (-6.0, 1.0), (-6.0, 1.0), (-2.0, -3.0), (-2.0, 2.0)
    ]  # fmt: skip
    collect = steps[8]
    assert [value for _, value in collect.contributions] == [4.0, -6.0]
    assert collect.total == -2.0


def test_the_ledger_of_a_send_is_what_has_arrived_so_far() -> None:
    steps = by_hand(small, SMALL).steps
    assert [steps[i].total for i in (5, 6)] == [4.0, -2.0]


def test_a_leafs_collect_comes_right_after_its_last_contribution() -> None:
    def program(xp: Any, *, w: Any, x: Any) -> Any:
        a = w * x
        b = w * a
        c = b * 2
        return c

    trace = by_hand(program, {"w": 3.0, "x": 5.0})
    assert keys(trace)[3:] == [
        "seed:c", "send:c>b:0", "send:b>w:0", "send:b>a:1", "send:a>w:0", "send:a>x:1", "collect:w"
    ]  # fmt: skip


def test_an_operand_used_twice_at_once_collects_two() -> None:
    trace = by_hand(lambda xp, *, x: x * x, {"x": 3.0})
    assert keys(trace)[1:] == [
        "seed:output", "send:output>x:0", "send:output>x:1", "collect:x"
    ]  # fmt: skip
    assert [v for _, v in trace.steps[-1].contributions] == [3.0, 3.0]


def test_steps_as_a_sequence() -> None:
    steps = by_hand(small, SMALL).steps
    assert len(steps) == len(list(steps)) == 11
    assert steps[-1].key == steps[10].key
    assert [s.index for s in steps[2:5]] == [2, 3, 4]
    assert steps.what(4)[0] is StepKind.SEND
    with pytest.raises(IndexError):
        steps[11]
    with pytest.raises(IndexError):
        steps[-12]
    for step in steps:
        slot = step.edge.slot if step.edge is not None else 0
        assert steps.position[step.kind, step.node, slot] == step.index


def test_a_matrix_product_has_no_local_array() -> None:
    trace = by_hand(lambda xp, *, a, b: xp.sum(a @ b), {"a": np.ones((2, 3)), "b": np.ones((3, 2))})
    sends = [s for s in trace.steps if s.kind is StepKind.SEND]
    assert all(s.local is None for s in sends)


def test_what_does_not_lead_to_the_output_sends_nothing() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        unused = a * 5  # noqa: F841
        y = a * 2
        return y

    trace = by_hand(program, {"a": 1.0})
    assert keys(trace) == ["compute:unused", "compute:y", "seed:y", "send:y>a:0"]
    assert trace.gradients[trace.graph.index_of["unused"]] is None


@settings(max_examples=40)
@given(seed=SEEDS)
def test_order_of_steps(seed: int) -> None:
    """What holds for every graph: see the comments."""
    rng = np.random.default_rng(seed)
    program, leaves = random_program(rng, int(rng.integers(1, 40)))
    trace = backward(record(program, leaves))
    graph, steps = trace.graph, trace.steps
    all_steps: list[Step] = list(steps)

    # Keys are unique, and lead back to their steps.
    assert len({s.key for s in all_steps}) == len(all_steps)
    assert all(steps.by_key[s.key] == s.index for s in all_steps)

    # Forward: every node once, its operands before it.
    computed: set[int] = {n.index for n in graph if n.op is None}
    for step in all_steps[: steps.backward_start]:
        assert step.kind is StepKind.COMPUTE
        assert set(graph[step.node].operands) <= computed
        computed.add(step.node)
    assert computed == set(range(len(graph)))

    expected: dict[int, int] = {}
    for edges in graph.uses:
        for edge in edges:
            if graph.needs_gradient[edge.target] and trace.gradients[edge.source] is not None:
                expected[edge.target] = expected.get(edge.target, 0) + 1

    # Backward: a node sends only once all contributions have arrived, and each edge sends once.
    assert all_steps[steps.backward_start].kind is StepKind.SEED
    arrived: dict[int, int] = {}
    sums: dict[int, Any] = {}
    collected: set[int] = set()
    sent = set()
    turn = set(steps.turn_ends)
    for step in all_steps[steps.backward_start + 1 :]:
        if step.kind is StepKind.SEND:
            assert step.edge is not None
            source, target = step.edge.source, step.edge.target
            assert arrived.get(source, 0) == expected.get(source, 0)
            assert expected.get(source, 0) <= 1 or source in collected
            assert step.edge not in sent
            sent.add(step.edge)
            arrived[target] = arrived.get(target, 0) + 1
            sums[target] = step.contribution + sums[target] if target in sums else step.contribution
            assert_close(step.total, sums[target], rel=1e-12, what=step.key)
            assert np.shape(step.contribution) == np.shape(graph[target].value)
            assert step.upstream is trace.gradients[source]
        else:
            assert step.kind is StepKind.COLLECT
            assert arrived[step.node] == expected[step.node] == len(step.contributions) > 1
            assert_close(step.total, sums[step.node], rel=1e-12, what=step.key)
            collected.add(step.node)
            if graph[step.node].op is None:
                # A leaf's turn: at once after the turn in which the last contribution came.
                last = max(
                    steps.position[StepKind.SEND, e.source, e.slot]
                    for e in trace.arrivals[step.node]
                )
                between = all_steps[last + 1 : step.index]
                assert step.index in turn
                assert all(
                    s.node == all_steps[last].node
                    or (s.kind is StepKind.COLLECT and graph[s.node].op is None)
                    for s in between
                )
    assert arrived == expected
    assert collected == {node for node, count in expected.items() if count > 1}
    for node, gradient in enumerate(trace.gradients):
        if node != graph.output:
            assert (gradient is None) == (node not in expected)
            if gradient is not None:
                assert_close(gradient, sums[node], rel=1e-12, what=str(node))


@settings(max_examples=25)
@given(seed=SEEDS)
def test_keys_and_ids_survive_an_edit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, leaves = random_program(rng, 30)
    one = backward(record(program, leaves))
    other = backward(record(program, {k: v * 1.01 for k, v in leaves.items()}))
    assert keys(one) == keys(other)
    assert [n.id for n in one.graph] == [n.id for n in other.graph]


def test_the_contribution_beside_a_constant_on_the_left() -> None:
    trace = by_hand(lambda xp, *, x, y: (5 - x) * y, {"x": 3.0, "y": 7.0})
    sent = {s.key: s.contribution for s in trace.steps if s.kind is StepKind.SEND}
    assert sent == {"send:output>output/sub:0": 7.0, "send:output>y:1": 2.0,
                    "send:output/sub>x:1": -7.0}  # fmt: skip


def test_the_contribution_of_an_edge_that_sent_nothing_is_none() -> None:
    trace = by_hand(lambda xp, *, x: x * 2, {"x": 3.0})
    edges = [e for edges in trace.graph.uses for e in edges]
    assert [trace.contribution(e) for e in edges] == [2.0, None]
