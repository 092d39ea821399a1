"""A learner's whole backward pass, told node by node in the order in which gradients are found.

A mistake spoils everything after it. So each value is judged twice: is it the right gradient, and
if not, is it at least what follows from the learner's own earlier values?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_tui.engine.diagnosis.diagnose import Diagnoser, Diagnosis, Outcome
from backprop_tui.engine.trace import Trace


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is said of one value of a pass."""

    name: str
    node: int
    diagnosis: Diagnosis
    """Judged as built on the learner's earlier values."""

    given: tuple[str, ...] = ()
    """For what is not right in itself: the learner's earlier values that it is built on and that
    are not exactly right, the nearest first."""

    @property
    def right(self) -> bool:
        """Right, or right given the learner's earlier values."""
        return self.diagnosis.right


@dataclass(frozen=True, slots=True, eq=False)
class PassDiagnosis:
    """What is said of a whole pass."""

    told: tuple[Told, ...]
    """In backward order."""

    unknown: tuple[str, ...] = ()
    """Names that are not in the graph, or that receive no gradient."""

    @property
    def first(self) -> Told | None:
        """The first that diverges; None if all is right."""
        return next((told for told in self.told if not told.right), None)

    @property
    def mistakes(self) -> tuple[Told, ...]:
        """Those that are wrong in themselves, in backward order."""
        return tuple(told for told in self.told if not told.right)


def backward_order(trace: Trace, nodes: list[int]) -> list[int]:
    """Nodes in the order in which their gradients are complete: the output's first."""
    graph = trace.graph

    def when(node: int) -> tuple[float, int]:
        arrivals = trace.arrivals.get(node)
        if graph.records[node].op is None and arrivals:
            return (0.5 - min(edge.source for edge in arrivals), node)
        return (-node, node)

    return sorted(nodes, key=when)


def diagnose_pass(
    trace: Trace,
    values: Mapping[str, Any],
    *,
    learning_rate: float | None = None,
) -> PassDiagnosis:
    """Judge the gradients that a learner gives by the names (ids) of nodes and leaves.

    What is not given is worked out from what is.
    """
    graph = trace.graph
    known = {name: graph.index_of[name] for name in values if name in graph.index_of}
    unknown = tuple(name for name in values if name not in known)
    unknown += tuple(n for n, i in known.items() if not graph.needs_gradient[i])
    names = {node: name for name, node in known.items() if graph.needs_gradient[node]}
    plain = Diagnoser(trace, learning_rate=learning_rate)
    earlier: dict[int, Any] = {}
    inexact: set[int] = set()
    told: list[Told] = []
    for node in backward_order(trace, list(names)):
        value = np.asarray(values[names[node]], dtype=np.float64)
        outcome = plain.outcome_if_right(node, value)
        given: tuple[str, ...] = ()
        if outcome is not None:
            diagnosis = Diagnosis(node, outcome, plain.expected(node))
        else:
            # Not what it should be: is it what follows from what came before?
            own = Diagnoser(trace, earlier, learning_rate=learning_rate, rounding=plain.rounding)
            diagnosis = own.diagnose(node, value)
            given = _built_on(own, node, inexact)
        told.append(Told(names[node], node, diagnosis, given))
        if outcome is Outcome.EXACT:
            earlier[node] = plain.expected(node)
        elif value.shape == np.shape(plain.expected(node)):  # else nothing can be built on it
            earlier[node] = float(value) if value.ndim == 0 else value
            inexact.add(node)
    return PassDiagnosis(tuple(told), unknown)


def _built_on(own: Diagnoser, node: int, inexact: set[int]) -> tuple[str, ...]:
    """The nearest of the learner's inexact values from which gradient comes to a node."""
    names = own.trace.graph.names
    return tuple(names[i].id for i in sorted(own.sweep.above(node) & inexact))
