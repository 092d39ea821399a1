"""Where mistakes can be made: every mistake of the catalogue at every place of a pass.

A *slip* is one mistake made at one place, or at the same place of every time step alike, as when a
wrong formula stands in a loop. What it does to the gradients follows by sweeping again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backprop_tui.engine.diagnosis.edge_mistakes import edge_mistakes, scaled
from backprop_tui.engine.diagnosis.sweep import Change, CollectRule, EdgeRule, Place, Sweep
from backprop_tui.engine.diagnosis.times import late_mistakes, off_by_one, sent_early
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations import Value


@dataclass(frozen=True, slots=True, eq=False)
class Slip:
    """One mistake at one place."""

    mistake: str
    """Its id in the catalogue."""

    node: int
    """The node whose gradient is the first to come out wrong."""

    edge: Edge | None
    """The contribution that is wrong; None if it is their sum."""

    change: Change = field(default_factory=Change)
    detail: str = ""
    """More precisely what: `the first row`, `the last one stayed`."""

    everywhere: bool = False
    """Made at the same place of the program each time it ran, as in every time step."""

    reshapes: bool = False
    """The result has another shape than the value, so that it cannot be passed on."""

    fixed: Mapping[int, Value] | None = None
    """What comes out, by node, if it is no change of a sweep."""

    def value(self, sweep: Sweep, target: int) -> Value | None:
        """The gradient that this mistake leads to at `target`; None if it does not get there."""
        if self.fixed is not None:
            return self.fixed.get(target)
        if self.reshapes and target != self.node:
            return None
        try:
            with np.errstate(all="ignore"):
                return sweep.changed(target, self.change)
        except (ArithmeticError, ValueError, IndexError, TypeError):
            return None  # shapes that do not fit: nobody gets a number this way

    def key(self, sweep: Sweep) -> str:
        """The key of the step to look at."""
        names = sweep.graph.names
        edge = self.edge
        if edge is None:
            arrivals = sweep.arrivals(self.node)
            if len(arrivals) != 1:
                return f"collect:{names[self.node].id}"
            edge = arrivals[0]
        return f"send:{names[edge.source].id}>{names[edge.target].id}:{edge.slot}"


def slips_at(sweep: Sweep, node: int) -> Iterator[Slip]:
    """The mistakes that can be made when a node collects, and in what is sent to it."""
    arrivals = sweep.arrivals(node)
    if not arrivals:
        return
    for edge in arrivals:
        yield from _slips_along(sweep, edge)
    yield from _of_collecting(sweep, node, arrivals)
    if len(arrivals) > 1:
        yield from _of_all_arrivals(sweep, node, arrivals)


def _slips_along(sweep: Sweep, edge: Edge) -> Iterator[Slip]:
    place = (edge.source, edge.slot)

    def slip(mistake: str, rule: EdgeRule, detail: str = "", *, reshapes: bool = False) -> Slip:
        change = Change(edges={place: rule})
        return Slip(mistake, edge.target, edge, change, detail, reshapes=reshapes)

    for found in edge_mistakes(sweep, edge):
        yield slip(found.mistake, found.rule, found.detail, reshapes=found.reshapes)
    if len(sweep.arrivals(edge.target)) > 1:
        yield slip("contribution-missing", scaled(0.0))
        yield slip("counted-twice", scaled(2.0))
    for rule, detail in off_by_one(sweep, edge):
        yield slip("off-by-one", rule, detail)


def _of_collecting(sweep: Sweep, node: int, arrivals: Sequence[Edge]) -> Iterator[Slip]:
    def slip(mistake: str, rule: CollectRule, detail: str = "") -> Slip:
        return Slip(mistake, node, None, Change(collects={node: rule}), detail)

    op = sweep.graph.records[node].op
    if op is None:
        yield slip("never-accumulated", _nothing)
    else:
        yield slip("detached", _nothing, "no gradient passes it")
    if len(arrivals) > 1:
        yield slip("overwrote", _last, "the last to arrive is left")
        yield slip("overwrote", _first, "the first to arrive is left")
    yield slip("counted-twice", _doubled, "all of it, as by a second pass on top of the first")


def _nothing(parts: Sequence[Value]) -> Value:
    return sum(parts) * 0.0


def _last(parts: Sequence[Value]) -> Value:
    return parts[-1]


def _first(parts: Sequence[Value]) -> Value:
    return parts[0]


def _doubled(parts: Sequence[Value]) -> Value:
    return sum(parts) * 2.0


_ALIKE = ("forgot-upstream", "forgot-local", "sign-flipped", "transposed", "mean-for-sum")
"""Mistakes that one makes with all that arrives at a node, or with nothing of it."""


def _of_all_arrivals(sweep: Sweep, node: int, arrivals: Sequence[Edge]) -> Iterator[Slip]:
    """The same mistake in all that arrives, and in all that comes from the same operation."""
    edges: dict[tuple[str, str, Any], dict[Place, EdgeRule]] = {}
    for edge in arrivals:
        op = sweep.graph.records[edge.source].op
        for found in edge_mistakes(sweep, edge):
            if found.mistake in _ALIKE and not found.reshapes:
                for alike in (None, (op, edge.slot)):
                    rules = edges.setdefault((found.mistake, found.detail, alike), {})
                    rules[edge.source, edge.slot] = found.rule
    for (mistake, detail, alike), rules in edges.items():
        every = edges[mistake, detail, None]
        if len(rules) > 1 and (alike is None or len(rules) < len(every)):
            yield Slip(mistake, node, None, Change(edges=rules), detail)


# ── the same mistake at the same place of the program, each time it runs ──────────────────────


def everywhere(sweep: Sweep, slips: Iterable[Slip]) -> Iterator[Slip]:
    """Those slips together that are the same mistake at the same place of the program."""
    groups: dict[Any, list[Slip]] = {}
    for slip in slips:
        if slip.fixed is not None or slip.reshapes or len(slip.change.edges) > 1:
            continue
        where = _site(sweep, slip)
        if where is not None:
            groups.setdefault((slip.mistake, slip.detail, where), []).append(slip)
    for group in groups.values():
        if len(group) > 1:
            edges: dict[Place, EdgeRule] = {}
            collects: dict[int, CollectRule] = {}
            for slip in group:
                edges.update(slip.change.edges)
                collects.update(slip.change.collects)
            # The backward pass meets the last of them first.
            first = max(group, key=lambda slip: slip.edge.source if slip.edge else slip.node)
            change = Change(edges, collects)
            yield Slip(first.mistake, first.node, first.edge, change, first.detail, everywhere=True)


def _site(sweep: Sweep, slip: Slip) -> Any:
    """The place in the program; None for what has none."""
    index = slip.node if slip.edge is None else slip.edge.source
    place = sweep.graph.records[index].place
    if place is None:
        return None
    return (
        id(place.site),
        sweep.graph.records[index].op,
        None if slip.edge is None else (slip.edge.slot),
    )


def all_slips(sweep: Sweep, learning_rate: float | None = None) -> list[Slip]:
    """Every mistake at every place of a pass. `learning_rate`: with it also those of an update
    that came too early."""
    return slips_towards(sweep, range(len(sweep.graph)), learning_rate)


def slips_towards(
    sweep: Sweep, nodes: Iterable[int], learning_rate: float | None = None
) -> list[Slip]:
    """The slips at some nodes, alone and everywhere."""
    found = [slip for node in nodes for slip in slips_at(sweep, node)]
    found += everywhere(sweep, found)
    if learning_rate is not None:
        for leaf, edges in late_mistakes(sweep, learning_rate):
            place = min(edges)
            target = sweep.graph.records[place[0]].operands[place[1]]
            edge = Edge(place[0], target, place[1])
            found.append(Slip("after-update", target, edge, Change(edges=edges), leaf))
    early = sent_early(sweep)
    # It begins to matter where the first of several contributions is passed on.
    first = max((node for node in early if len(sweep.arrivals(node)) > 1), default=None)
    if first is not None:
        found.append(Slip("sent-early", first, None, fixed=early))
    return found
