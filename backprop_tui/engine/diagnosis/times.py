"""Mistakes of time: the wrong time step, values after the update, gradients sent too early."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from backprop_tui.engine.diagnosis.sweep import EdgeRule, Place, Sweep
from backprop_tui.engine.graph import Edge, Graph
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Trace

# ── the neighbouring time step ────────────────────────────────────────────────────────────────

_siblings: WeakKeyDictionary[Graph, dict[Any, int]] = WeakKeyDictionary()


def _where(graph: Graph, node: int, shift: int = 0) -> Any:
    """A node's place in the program, at the next (1) or previous (−1) turn of the innermost loop.

    None for what stands in no loop.
    """
    name, place = graph.names[node], graph.records[node].place
    if place is None or not name.loops:
        return None
    variable, turn = name.loops[-1]
    if not isinstance(turn, int):
        return None
    return id(place.site), graph.records[node].op, name.scope, (
        *name.loops[:-1],
        (variable, turn + shift),
    )  # fmt: skip


def sibling(graph: Graph, node: int, shift: int) -> int | None:
    """The node that the same piece of the program computed a time step later or earlier."""
    known = _siblings.get(graph)
    if known is None:
        known = {}
        for index in range(len(graph) - 1, -1, -1):
            known[_where(graph, index)] = index
        known.pop(None, None)
        _siblings[graph] = known
    return known.get(_where(graph, node, shift))


def off_by_one(sweep: Sweep, edge: Edge) -> Iterator[tuple[EdgeRule, str]]:
    """What is sent along an edge, with something of the time step after or before."""
    graph = sweep.graph
    for shift, when in ((1, "the step after"), (-1, "the step before")):
        beside = sibling(graph, edge.source, shift)
        if _neighbours(sweep, edge, shift) is not None:
            yield _with_neighbours(shift), f"the value of {when}"
        # The gradient of the step before is not there yet, except for what ends here.
        there = beside is not None and (shift > 0 or edge.target not in sweep.above(beside))
        if beside is not None and there and sweep.passed[beside] is not None:
            yield _with_gradient(beside), f"the gradient of {when}"


def _neighbours(sweep: Sweep, edge: Edge, shift: int) -> tuple[list[Value], Value] | None:
    """The values and the result that the edge's rule is given if the time step is mistaken."""
    graph = sweep.graph
    record = graph.records[edge.source]
    beside = sibling(graph, edge.source, shift)
    values, out, other = sweep.values(edge.source), record.value, False
    alone = len(record.operands) == 1
    for slot, operand in enumerate(record.operands):
        if slot == edge.slot and not alone:
            continue
        # In step 1 the operand may be a leaf (h0): in step 2 it is what took its place.
        neighbour = (
            graph.records[beside].operands[slot]
            if beside is not None
            else sibling(graph, operand, shift)
        )
        if neighbour is None or neighbour == operand:
            continue
        value = graph.records[neighbour].value
        if np.shape(value) == np.shape(values[slot]):
            values[slot], other = value, True
    if alone and beside is not None and np.shape(graph.records[beside].value) == np.shape(out):
        out, other = graph.records[beside].value, True
    return (values, out) if other else None


def _with_neighbours(shift: int) -> EdgeRule:
    def rule(sweep: Sweep, edge: Edge, g: Value) -> Value:
        found = _neighbours(sweep, edge, shift)
        if found is None:
            return sweep.part(edge, g)
        return sweep.part(edge, g, values=found[0], out=found[1])

    return rule


def _with_gradient(beside: int) -> EdgeRule:
    return lambda sweep, edge, g: sweep.part(edge, sweep.passed[beside])


# ── after the update ──────────────────────────────────────────────────────────────────────────


def late_mistakes(
    sweep: Sweep, learning_rate: float
) -> Iterator[tuple[str, Mapping[Place, EdgeRule]]]:
    """For each leaf, and for all together: what is sent if it has already been updated.

    With the right gradients, and with those that follow from the given ones.
    """
    yield from _late(sweep, sweep.passed, learning_rate)
    if sweep.given:
        yield from _late(sweep, sweep.trace.gradients, learning_rate)


def _late(
    sweep: Sweep, gradients: Sequence[Value | None], learning_rate: float
) -> Iterator[tuple[str, Mapping[Place, EdgeRule]]]:
    graph = sweep.graph
    updated: dict[int, Value] = {}
    at_once: dict[Place, dict[int, Value]] = {}
    for name, leaf in graph.leaves.items():
        gradient = gradients[leaf]
        if gradient is None:
            continue
        updated[leaf] = graph.records[leaf].value - learning_rate * gradient
        found = _places_with(sweep, {leaf: updated[leaf]})
        if found:
            rules = {place: _with_values(known) for place, known in found.items()}
            yield f"with {name} already updated", rules
        done = min((edge.source for edge in sweep.arrivals(leaf)), default=len(graph))
        for (source, slot), known in found.items():
            operand = graph.records[source].operands[slot]
            if done >= source and graph.records[operand].op is not None:
                at_once.setdefault((source, slot), {}).update(known)
    found = _places_with(sweep, updated)
    if len(updated) > 1 and found:
        rules = {place: _with_values(known) for place, known in found.items()}
        yield "with all leaves already updated", rules
    if at_once:
        rules = {place: _with_values(known) for place, known in at_once.items()}
        yield "with each weight updated before the gradient is passed on", rules


def _places_with(sweep: Sweep, values: Mapping[int, Value]) -> dict[Place, dict[int, Value]]:
    """The edges whose rules use these values, or what is only rearranged of them (W.T, W[0]),
    each with the values to use."""
    graph = sweep.graph
    known = dict(values)
    found: dict[Place, dict[int, Value]] = {}
    for index, record in enumerate(graph.records):
        if record.op is None or not any(operand in known for operand in record.operands):
            continue
        if len(record.operands) == 1 and record.op.name in _REARRANGING:
            op = cast(Any, record.op)
            known[index] = op.forward(known[record.operands[0]], **(record.params or {}))
            continue
        for slot, target in enumerate(record.operands):
            if graph.needs_gradient[target] and sweep.passed[index] is not None:
                found[index, slot] = known
    return found


_REARRANGING = ("t", "transpose", "reshape", "squeeze", "unsqueeze", "permute", "getitem", "expand")


def _with_values(known: Mapping[int, Value]) -> EdgeRule:
    def rule(sweep: Sweep, edge: Edge, g: Value) -> Value:
        operands = sweep.graph.records[edge.source].operands
        values = [known.get(i, sweep.graph.records[i].value) for i in operands]
        return sweep.part(edge, g, values=values)

    return rule


# ── sent too early ────────────────────────────────────────────────────────────────────────────

_VISITS = 3000
"""Passing on at every arrival visits every path, and their number may double with every node."""

_early: WeakKeyDictionary[Trace, dict[int, Value]] = WeakKeyDictionary()


def sent_early(sweep: Sweep) -> dict[int, Value]:
    """The gradients that come out if each node passes on whatever it has at every arrival.

    Empty where it would take too long, and where gradients are given.
    """
    trace = sweep.trace
    if sweep.given:
        return {}
    if trace not in _early:
        _early[trace] = _recursively(sweep)
    return _early[trace]


def _recursively(sweep: Sweep) -> dict[int, Value]:
    graph, output = sweep.graph, sweep.graph.output
    found: dict[int, Value] = {output: cast(Value, sweep.trace.gradients[output])}
    # A stack of its own instead of recursion: (node, the next slot).
    stack: list[list[int]] = [[output, 0]]
    visits = 0
    while stack:
        node, slot = stack[-1]
        operands: Sequence[int] = graph.records[node].operands
        if slot >= len(operands):
            stack.pop()
            continue
        stack[-1][1] += 1
        target = operands[slot]
        if not graph.needs_gradient[target]:
            continue
        visits += 1
        if visits > _VISITS:
            return {}
        with np.errstate(all="ignore"):
            part = sweep.part(Edge(node, target, slot), found[node])
        found[target] = part if target not in found else found[target] + part
        stack.append([target, 0])
    return found
