"""Two forms of one program beside each other: a node fused, and the same in primitive steps.

Both compute the same function, so everything that both have must be the same in both: the values
and the gradients of the leaves, of the output, and of every node on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.graph import Graph, NodeKind
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.trace import Trace
from backprop_tui.engine.verdict import Difference, furthest_apart, within_rounding


@dataclass(frozen=True, slots=True)
class Shared:
    """A node that both forms have."""

    id: str
    one: int
    """Its index in the one graph."""

    other: int
    """Its index in the other."""

    value: Difference
    gradient: Difference
    agrees: bool
    """Whether both differ by no more than rounding."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two forms have in common, and how far apart it is."""

    shared: tuple[Shared, ...]
    """Leaves first, then the named nodes, in the order of the one program."""

    one_count: int
    """How many operations the one form has."""

    other_count: int

    @property
    def agree(self) -> bool:
        """Whether there is something to compare, and nothing differs."""
        return bool(self.shared) and all(node.agrees for node in self.shared)

    @property
    def worst(self) -> float:
        """The largest difference of any value or gradient."""
        return max((max(n.value.absolute, n.gradient.absolute) for n in self.shared), default=0.0)


def agreement(one: Trace, other: Trace) -> Agreement:
    """Compare all leaves and named nodes that are the same in both."""
    shared = []
    rounding: _Rounding | None = None
    counterparts = {key: index for index, key in _keys(other.graph)}
    for here, key in _keys(one.graph):
        there = counterparts.get(key)
        if there is None:
            continue
        node = one.graph[here]
        values = (node.value, other.graph.records[there].value)
        gradients = (
            _or_zero(one.gradients[here], values[0]),
            _or_zero(other.gradients[there], values[1]),
        )
        value, gradient = _apart(*values), _apart(*gradients)
        agrees = value[1] and gradient[1]
        if not agrees and np.isfinite(value[0].absolute + gradient[0].absolute):
            rounding = rounding or _Rounding(one, other)
            agrees = within_rounding(*values, rounding.of_value(here, there)) and within_rounding(
                *gradients, rounding.of_gradient(here, there)
            )
        shared.append(Shared(node.id, here, there, value[0], gradient[0], agrees))
    shared.sort(key=lambda node: one.graph[node.one].kind is not NodeKind.LEAF)
    return Agreement(tuple(shared), _operations(one), _operations(other))


def _keys(graph: Graph) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """What a named node is known by in both forms.

    Not its id: where several nodes are open, their steps have the same names, and a number that
    tells them apart changes as one of them is closed. The call that they belong to does not.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    for node in graph:
        if node.kind is NodeKind.CONSTANT or not node.name.named:
            continue
        depth = node.id.partition("[")[0].count("/")  # fewer than its calls, if it is a result
        around = tuple(group.id for group in graph.groups_around(node.index)[:depth])
        key = (around, node.name.base, node.name.loops)
        yield node.index, (*key, seen[key])
        seen[key] += 1


class _Rounding:
    """How much rounding either of two runs may carry, node by node."""

    def __init__(self, one: Trace, other: Trace) -> None:
        self._values = [value_rounding(trace.graph) for trace in (one, other)]
        self._gradients = [
            gradient_rounding(trace, values)
            for trace, values in zip((one, other), self._values, strict=True)
        ]

    def of_value(self, one: int, other: int) -> Any:
        return self._values[0][one] + self._values[1][other]

    def of_gradient(self, one: int, other: int) -> Any:
        return self._gradients[0][one] + self._gradients[1][other]


def _operations(trace: Trace) -> int:
    return sum(record.op is not None for record in trace.graph.records)


def _or_zero(gradient: Value | None, value: Value) -> Value:
    if gradient is not None:
        return gradient
    return 0.0 if isinstance(value, float) else np.zeros(shape_of(value))


def _apart(a: Value, b: Value) -> tuple[Difference, bool]:
    if shape_of(a) != shape_of(b):
        return Difference(float("inf"), float("inf")), False
    one, other = np.ravel(np.asarray(a)), np.ravel(np.asarray(b))
    if not one.size:
        return Difference(0.0, 0.0), True
    start, size = np.zeros(1, np.intp), np.array([one.size])
    furthest, worst, within = furthest_apart(one, other, start, size)
    return Difference(float(furthest[0]), float(worst[0])), bool(within[0])
