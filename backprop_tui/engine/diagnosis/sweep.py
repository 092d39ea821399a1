"""The backward pass again, with something changed: a gradient given, or a mistake made on the way.

Nothing is changed in place. What is not touched by the change is taken from the pass as it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from backprop_tui.engine.broadcasting import shape_of, sum_to_shape, summed_axes
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations import Operation, Value
from backprop_tui.engine.trace import Trace, apply_rule

Place = tuple[int, int]
"""An edge in short: (source, slot)."""

EdgeRule = Callable[["Sweep", Edge, Value], Value]
"""What a mistaken hand sends along an edge, given the upstream gradient. In the operand's shape,
except where the very mistake is that it is not."""

CollectRule = Callable[[Sequence[Value]], Value]
"""What a mistaken hand makes of all that arrived, in order of arrival."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What is done differently in a sweep."""

    edges: Mapping[Place, EdgeRule] = field(default_factory=dict)
    collects: Mapping[int, CollectRule] = field(default_factory=dict)


def fitted(sent: Any, operand: Value) -> Value:
    """A contribution in its operand's shape. Raises ValueError if it cannot be brought there."""
    shape, target = np.shape(sent), shape_of(operand)
    if shape != target:
        if np.broadcast_shapes(shape, target) != shape:
            raise ValueError(f"{shape} does not come from {target}")
        sent = sum_to_shape(np.asarray(sent), target) if shape else sent
    return float(sent) if target == () else cast(Value, np.asarray(sent))


class Sweep:
    """A backward pass in which some gradients are given: the learner's, right or wrong.

    At a node with a given gradient `expected` is what should have come out from what arrived, and
    `passed` is what goes on from there, the given one.
    """

    def __init__(self, trace: Trace, given: Mapping[int, Value] | None = None) -> None:
        self.trace = trace
        self.graph = trace.graph
        self.given: dict[int, Value] = dict(given or {})
        self.expected: list[Value | None] = list(trace.gradients)
        self.passed: list[Value | None] = list(trace.gradients)
        self.work = 0
        """How many contributions have been worked out so far."""
        self._sent: dict[Place, Value] = {}
        if self.given:
            self._inject()

    def _inject(self) -> None:
        """Only what comes after a given gradient changes."""
        changed: set[int] = set()
        for index in range(self.graph.output, -1, -1):
            if self.trace.gradients[index] is None:
                continue
            arrivals = self.trace.arrivals.get(index, ())
            if any(edge.source in changed for edge in arrivals):
                self.expected[index] = self.passed[index] = _added([self.sent(e) for e in arrivals])
            if index in self.given:
                self.passed[index] = self.given[index]
            if self.passed[index] is not self.trace.gradients[index]:
                changed.add(index)
                for slot in range(len(self.graph.records[index].operands)):
                    place = (index, slot)
                    target = self.graph.records[index].operands[slot]
                    if self.graph.needs_gradient[target] and self.graph.records[index].op:
                        self._sent[place] = self.part(Edge(index, target, slot))

    def sent(self, edge: Edge) -> Value:
        """What is sent along an edge."""
        found = self._sent.get((edge.source, edge.slot))
        return found if found is not None else cast(Value, self.trace.contribution(edge))

    def arrivals(self, node: int) -> tuple[Edge, ...]:
        """The edges along which a node receives, in order of arrival."""
        return self.trace.arrivals.get(node, ())

    def raw(
        self,
        edge: Edge,
        g: Value | None = None,
        *,
        out: Value | None = None,
        values: Sequence[Value] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Value:
        """An edge's rule with other inputs than those of the pass, before it is summed back."""
        record = self.graph.records[edge.source]
        options = record.params if params is None else dict(params)
        return apply_rule(
            cast(type[Operation], record.op),
            edge.slot,
            self.passed[edge.source] if g is None else g,
            record.value if out is None else out,
            self.values(edge.source) if values is None else values,
            options,
        )

    def part(self, edge: Edge, g: Value | None = None, **other: Any) -> Value:
        """The same in the operand's shape."""
        self.work += 1
        return fitted(self.raw(edge, g, **other), self.graph.records[edge.target].value)

    def values(self, source: int) -> list[Value]:
        """The values of a node's operands."""
        return [self.graph.records[i].value for i in self.graph.records[source].operands]

    def summed(self, edge: Edge) -> tuple[int, ...]:
        """The axes over which what is sent along an edge is summed because of broadcasting."""
        target = shape_of(self.graph.records[edge.target].value)
        return summed_axes(shape_of(self.raw(edge)), target)

    @cached_property
    def _above(self) -> dict[int, frozenset[int]]:
        return {}

    def above(self, node: int) -> frozenset[int]:
        """The nodes from which gradient comes to a node: up to the output, or to given ones."""
        known = self._above.get(node)
        if known is None:
            found: set[int] = set()
            waiting = [node]
            while waiting:
                for edge in self.arrivals(waiting.pop()):
                    if edge.source not in found:
                        found.add(edge.source)
                        if edge.source not in self.given:
                            waiting.append(edge.source)
            known = self._above[node] = frozenset(found)
        return known

    def changed(self, node: int, change: Change) -> Value:
        """What `node` receives if something is done differently on the way to it.

        Raises ValueError where that does not go on: shapes that do not fit.
        """
        found = self.all_changed(change, self.above(node) | {node})
        return found.get(node, cast(Value, self.expected[node]))

    def all_changed(self, change: Change, within: frozenset[int] | None = None) -> dict[int, Value]:
        """The gradients that come out differently, by node; only of nodes in `within`."""
        records = self.graph.records
        touched = {records[source].operands[slot] for source, slot in change.edges}
        touched.update(change.collects)
        waiting = [-index for index in touched if within is None or index in within]
        heapq.heapify(waiting)
        queued = set(waiting)
        found: dict[int, Value] = {}
        with np.errstate(all="ignore"):
            while waiting:
                index = -heapq.heappop(waiting)
                parts = [self._changed_part(edge, change, found) for edge in self.arrivals(index)]
                collect = change.collects.get(index)
                found[index] = collect(parts) if collect is not None else _added(parts)
                if index in self.given or records[index].op is None:
                    continue
                for operand in records[index].operands:
                    inside = within is None or operand in within
                    if inside and self.graph.needs_gradient[operand] and -operand not in queued:
                        queued.add(-operand)
                        heapq.heappush(waiting, -operand)
        return found

    def _changed_part(self, edge: Edge, change: Change, found: Mapping[int, Value]) -> Value:
        rule = change.edges.get((edge.source, edge.slot))
        changed = edge.source in found and edge.source not in self.given
        if rule is None:
            return self.part(edge, found[edge.source]) if changed else self.sent(edge)
        g = found[edge.source] if changed else cast(Value, self.passed[edge.source])
        return rule(self, edge, g)


def _added(parts: Sequence[Value]) -> Value:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
