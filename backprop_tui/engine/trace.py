"""The backward pass: one reverse sweep over the graph, kept as steps that can be revisited.

The sweep stores numbers only: a gradient per node and a contribution per edge. Steps are views
on them, made when looked at, so that a pass over 100,000 nodes costs no more than it must.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, cast

import numpy as np

from backprop_tui.engine.broadcasting import shape_of, sum_to_shape, summed_axes
from backprop_tui.engine.graph import Edge, Graph
from backprop_tui.engine.operations import Operation, Value


class StepKind(Enum):
    """What happens in a step."""

    COMPUTE = "compute"
    """Forward: a node's value is computed from its operands."""

    SEED = "seed"
    """The backward pass starts: the gradient of the output with respect to itself is 1."""

    SEND = "send"
    """A node sends a contribution along one edge to one operand."""

    COLLECT = "collect"
    """All contributions to a node have arrived and are added up."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of the forward or backward pass."""

    index: int
    """The position among all steps, from 0."""

    kind: StepKind
    node: int
    """The node that computes, is seeded, sends, or collects."""

    key: str
    """Stable: the same step has the same key after an edit."""

    edge: Edge | None = None
    """For `send`: the edge."""

    upstream: Value | None = None
    """For `send`: the gradient of the sending node."""

    local: Value | None = None
    """For `send` of an elementwise operation: the local derivative."""

    raw: Value | None = None
    """For `send`: the contribution before it is summed over broadcast axes."""

    summed_axes: tuple[int, ...] = ()
    """For `send`: the axes summed because the operand was broadcast along them."""

    contribution: Value | None = None
    """For `send`: what arrives, in the operand's shape."""

    contributions: tuple[tuple[Edge, Value], ...] = ()
    """For `collect`: all that arrived, in order of arrival."""

    total: Value | None = None
    """The node's value for `compute`, its gradient for `seed` and `collect`, and for `send` the
    operand's gradient as far as it has arrived."""


class Trace:
    """A graph with its backward pass.

    Attributes are read-only by convention; the arrays may be shared between nodes.
    """

    def __init__(
        self,
        graph: Graph,
        gradients: list[Value | None],
        sent: list[Value],
        starts: list[int | None],
    ) -> None:
        self.graph = graph
        self.gradients: Sequence[Value | None] = gradients
        """∂output/∂node, or None where the output does not depend on the node through a path
        that carries gradients."""
        self._sent = sent  # all contributions in the order in which they were sent
        self._starts = starts  # for each node that sends the position of its first contribution

    def contribution(self, edge: Edge) -> Value | None:
        """What was sent along an edge; None if nothing was."""
        start = self._starts[edge.source]
        needs = self.graph.needs_gradient
        if start is None or not needs[edge.target]:
            return None
        earlier = self.graph.raw[edge.source][1][: edge.slot]
        return self._sent[start + sum([needs[operand] for operand in earlier])]

    @cached_property
    def order(self) -> tuple[tuple[int, int], ...]:
        """(node, slot) of all sends, in order."""
        needs, raw = self.graph.needs_gradient, self.graph.raw
        return tuple(
            (node, slot)
            for node in range(self.graph.output, -1, -1)
            if self._starts[node] is not None
            for slot, operand in enumerate(raw[node][1])
            if needs[operand]
        )

    @cached_property
    def arrivals(self) -> dict[int, tuple[Edge, ...]]:
        """For each node that receives contributions, their edges in order of arrival."""
        records = self.graph.records
        found: dict[int, list[Edge]] = {}
        for source, slot in self.order:
            target = records[source].operands[slot]
            found.setdefault(target, []).append(Edge(source, target, slot))
        return {target: tuple(edges) for target, edges in found.items()}

    @cached_property
    def steps(self) -> Steps:
        """All steps, forward first."""
        return Steps(self)

    def raw_contribution(self, edge: Edge, upstream: Value | None = None) -> Value:
        """The contribution before broadcasting is undone, for any upstream gradient."""
        record = self.graph.records[edge.source]
        op = cast(type[Operation], record.op)
        values = [self.graph.records[i].value for i in record.operands]
        g = self.gradients[edge.source] if upstream is None else upstream
        with np.errstate(all="ignore"):
            return apply_rule(op, edge.slot, g, record.value, values, record.params)


def apply_rule(
    op: type[Operation],
    slot: int,
    g: Any,
    out: Value,
    values: Sequence[Value],
    params: dict[str, Any] | None,
) -> Value:
    """Evaluate a contribution; where Python's arithmetic refuses, as numpy does: inf or nan."""
    rule = op.contribution_to(slot).function
    options = params or {}
    if op.variadic:
        options = {**options, "slot": slot}
    try:
        return rule(g, out, *values, **options)
    except (ArithmeticError, ValueError):
        with np.errstate(all="ignore"):
            wide = [np.float64(v) if type(v) is float else v for v in (g, out, *values)]
            return rule(*wide, **options)


def _fitted(sent: Any, operand: Any) -> Value:
    """A contribution in its operand's shape."""
    if type(operand) is float:
        return sent if type(sent) is float else float(np.sum(sent))
    if type(sent) is np.ndarray and sent.shape == operand.shape:
        return sent
    return sum_to_shape(sent, operand.shape)


def backward(graph: Graph) -> Trace:
    """Run the backward pass from the graph's output, whose gradient is 1 in every cell.

    Nodes send in reverse order of computation. As every use of a node comes after it, all
    contributions have arrived when its turn comes.
    """
    # As while recording, nothing here is garbage.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with np.errstate(all="ignore"):
            return _swept(graph)
    finally:
        if collecting:
            gc.enable()


_ARRAY = np.ndarray


def _swept(graph: Graph) -> Trace:
    raw, needs = graph.raw, graph.needs_gradient
    gradients: list[Value | None] = [None] * len(raw)
    starts: list[int | None] = [None] * len(raw)
    sent: list[Value] = []
    a: Any
    b: Any
    part: Any
    functions: dict[type[Operation], list[Any]] = {}  # each operation's rules
    out = raw[graph.output][2]
    gradients[graph.output] = 1.0 if type(out) is float else np.ones_like(out)
    for index in range(graph.output, -1, -1):
        g = gradients[index]
        op, operands, out, params, _ = raw[index]
        if g is None or op is None:
            continue
        starts[index] = len(sent)
        rules = functions.get(op)
        if rules is None:
            rules = functions[op] = [c.function for c in op.contributions]
        if params is None and len(operands) == 2:
            # This case and the next are the loop below, written out: they take half the time.
            i, j = operands
            a, b = raw[i][2], raw[j][2]
            if needs[i]:
                try:
                    part = rules[0](g, out, a, b)
                except (ArithmeticError, ValueError):
                    part = apply_rule(op, 0, g, out, (a, b), None)
                if type(part) is not type(a) or (type(a) is _ARRAY and part.shape != a.shape):
                    part = _fitted(part, a)
                sent.append(part)
                arrived = gradients[i]
                gradients[i] = part if arrived is None else arrived + part
            if needs[j]:
                try:
                    part = rules[1](g, out, a, b)
                except (ArithmeticError, ValueError):
                    part = apply_rule(op, 1, g, out, (a, b), None)
                if type(part) is not type(b) or (type(b) is _ARRAY and part.shape != b.shape):
                    part = _fitted(part, b)
                sent.append(part)
                arrived = gradients[j]
                gradients[j] = part if arrived is None else arrived + part
            continue
        if len(operands) == 1 and not op.variadic:
            (i,) = operands
            a = raw[i][2]
            try:
                part = rules[0](g, out, a) if params is None else rules[0](g, out, a, **params)
            except (ArithmeticError, ValueError):
                part = apply_rule(op, 0, g, out, (a,), params)
            if type(part) is not type(a) or (type(a) is _ARRAY and part.shape != a.shape):
                part = _fitted(part, a)
            sent.append(part)
            arrived = gradients[i]
            gradients[i] = part if arrived is None else arrived + part
            continue
        values = [raw[operand][2] for operand in operands]
        for slot, target in enumerate(operands):
            if not needs[target]:
                continue
            part = _fitted(apply_rule(op, slot, g, out, values, params), values[slot])
            sent.append(part)
            arrived = gradients[target]
            # A new value each time: what was sent before must not change under anyone's eyes.
            gradients[target] = part if arrived is None else arrived + part
    return Trace(graph, gradients, sent, starts)


class Steps(Sequence[Step]):
    """All steps of a pass as a sequence; a step is made when it is asked for.

    Each step is stored as (kind, node, slot). Steps come in *turns*: one turn a node, in which it
    collects what arrived and then sends to each operand. A leaf's turn, its collecting, comes
    right after the turn that completed it.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        graph = trace.graph
        plan: list[tuple[StepKind, int, int]] = []
        turns: list[int] = []  # the position of the last step of each turn
        for index, record in enumerate(graph.records):
            if record.op is not None:
                plan.append((StepKind.COMPUTE, index, 0))
                turns.append(len(plan) - 1)
        self.backward_start = len(plan)
        """The position of the seed step."""
        self._plan_backward(plan, turns)
        self._plan = plan
        self.turn_ends: tuple[int, ...] = tuple(turns)
        """The positions at which a node's turn is over, in order."""
        self.position: dict[tuple[StepKind, int, int], int] = {
            what: position for position, what in enumerate(plan)
        }
        """Where a (kind, node, slot) stands; the slot is 0 but for `send`."""

    def _plan_backward(self, plan: list[tuple[StepKind, int, int]], turns: list[int]) -> None:
        graph = self._trace.graph
        arrivals = self._trace.arrivals
        missing = {target: len(edges) for target, edges in arrivals.items()}
        plan.append((StepKind.SEED, graph.output, 0))
        turns.append(len(plan) - 1)
        order = self._trace.order
        start = 0
        while start < len(order):
            source = order[start][0]
            if len(arrivals.get(source, ())) > 1:
                plan.append((StepKind.COLLECT, source, 0))
            finished: list[int] = []
            end = start
            while end < len(order) and order[end][0] == source:
                slot = order[end][1]
                plan.append((StepKind.SEND, source, slot))
                target = graph.records[source].operands[slot]
                missing[target] -= 1
                if not missing[target] and graph.records[target].op is None:
                    finished.append(target)
                end += 1
            turns.append(len(plan) - 1)
            for leaf in finished:
                if len(arrivals[leaf]) > 1:
                    plan.append((StepKind.COLLECT, leaf, 0))
                    turns.append(len(plan) - 1)
            start = end

    def __len__(self) -> int:
        return len(self._plan)

    def what(self, position: int) -> tuple[StepKind, int, int]:
        """(kind, node, slot) of the step at a position, without making the step."""
        return self._plan[position]

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        with np.errstate(all="ignore"):
            return self._step(position)

    def _step(self, position: int) -> Step:
        if position < 0:
            position += len(self)
        kind, node, slot = self._plan[position]
        if kind is StepKind.SEND:
            return self._send(position, node, slot)
        key = self.key(position)
        if kind is StepKind.COMPUTE:
            return Step(position, kind, node, key, total=self._trace.graph.records[node].value)
        if kind is StepKind.SEED:
            out = self._trace.graph.records[node].value
            one = 1.0 if type(out) is float else np.ones_like(out)
            return Step(position, kind, node, key, total=one)
        parts = tuple(
            (edge, cast(Value, self._trace.contribution(edge)))
            for edge in self._trace.arrivals[node]
        )
        total = self._trace.gradients[node]
        return Step(position, kind, node, key, contributions=parts, total=total)

    def _send(self, position: int, node: int, slot: int) -> Step:
        trace, graph = self._trace, self._trace.graph
        record = graph.records[node]
        edge = Edge(node, record.operands[slot], slot)
        raw = trace.raw_contribution(edge)
        target_shape = shape_of(graph.records[edge.target].value)
        local = None
        if cast(type[Operation], record.op).elementwise:
            one = 1.0 if type(record.value) is float else np.ones_like(record.value)
            local = trace.raw_contribution(edge, one)
        arrived = [e for e in trace.arrivals[edge.target] if self._sent_at(e) <= position]
        total = cast(Value, trace.contribution(arrived[0]))
        for earlier in arrived[1:]:
            total = total + cast(Value, trace.contribution(earlier))
        return Step(
            position,
            StepKind.SEND,
            node,
            self.key(position),
            edge=edge,
            upstream=trace.gradients[node],
            local=local,
            raw=raw,
            summed_axes=summed_axes(shape_of(raw), target_shape),
            contribution=trace.contribution(edge),
            total=total,
        )

    def _sent_at(self, edge: Edge) -> int:
        return self.position[StepKind.SEND, edge.source, edge.slot]

    def key(self, position: int) -> str:
        """The key of the step at a position, without making the step."""
        kind, node, slot = self._plan[position]
        names = self._trace.graph.names
        if kind is StepKind.SEND:
            target = self._trace.graph.records[node].operands[slot]
            return f"send:{names[node].id}>{names[target].id}:{slot}"
        return f"{kind.value}:{names[node].id}"

    @cached_property
    def by_key(self) -> dict[str, int]:
        """The position of the step with a key."""
        return {self.key(position): position for position in range(len(self._plan))}
