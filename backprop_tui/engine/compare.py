"""Two gradients beside each other: by hand, by torch, by finite differences — and a verdict.

Everything here is numpy on finished records. What torch found arrives as a `TorchRun`: flat
arrays, with for each call the place in the program where it stood. Nodes and calls are matched by
that place alone, so that a mistake of our recorder (a swapped operand, a lost use) is not copied
into the reference and agreed with.

All nodes are compared in one pass over flat arrays. Comparing node by node would cost three times
as much as all the rest of an edit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.broadcasting import Shape, shape_of
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.numeric import Kind, LeafDifference, NumericRun
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.torch_record import TorchRun, match
from backprop_tui.engine.trace import Trace

RELATIVE_TOLERANCE = 1e-9
"""By hand against torch, both in float64. The two differ by the order in which sums are taken and
by the last digit of a tanh; that is 1e-16 an operation, and 1e-9 leaves room for long chains
while every wrong rule is off by far more."""

LOCAL_FLOOR = 64 * float(np.finfo(np.float64).eps)
"""A cell that came out of a cancelling sum (0.1 + 0.2 − 0.3) keeps the rounding of what was
summed: relative to itself that may be anything. So a difference is also forgiven up to this
fraction of the largest magnitude in the same node."""

ROUNDING_SAFETY = 16.0
"""Where a node still differs, the rounding that reached it through the whole graph is estimated
(`engine.rounding`), and a difference within this many times the estimate is none."""


class Verdict(Enum):
    """What a comparison comes to: in words, and with a sign that doesn't rely on colour."""

    AGREE = ("agrees", "✓")
    DIFFER = ("differs", "✗")
    KINK = ("kink: no slope here", "∧")
    """The finite difference straddles a kink, so there is no slope to compare with."""
    NOT_FINITE = ("not finite", "∞")
    """The finite difference met inf or nan, so there is nothing to compare with."""
    UNCERTAIN = ("uncertain", "≈")
    """The finite difference is too inexact here to tell."""
    PENDING = ("…", "…")
    """The reference has not answered yet."""
    ABSENT = ("no value: not used", "·")
    """The reference has no value for it: it was not used, or torch has no such call."""

    def __init__(self, word: str, sign: str) -> None:
        self.word = word
        self.sign = sign


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two values are apart at most: 0 if equal, inf if only one is finite."""

    absolute: float
    relative: float
    """The largest over the cells of |a − b| / max(|a|, |b|); 0 where both are 0."""


@dataclass(frozen=True, slots=True, eq=False)
class LeafComparison:
    """One leaf three ways."""

    name: str
    hand: Value | None
    """By hand; None where no path leads from the leaf to the output."""

    torch: Value | None
    """By torch; None where torch gives none, or has not answered."""

    numeric: LeafDifference | None
    """By finite differences; None before they are known."""

    torch_diff: Difference | None
    """By hand against torch."""

    numeric_diff: Difference | None
    """By hand against finite differences, over the cells that have one."""

    torch_verdict: Verdict
    numeric_verdict: Verdict

    @property
    def verdict(self) -> Verdict:
        """Both in one: a difference wins, then a kink and the like, then agreement."""
        both = (self.torch_verdict, self.numeric_verdict)
        for verdict in (
            Verdict.DIFFER,
            Verdict.KINK,
            Verdict.NOT_FINITE,
            Verdict.AGREE,
            Verdict.PENDING,
            Verdict.UNCERTAIN,
        ):
            if verdict in both:
                return verdict
        return Verdict.ABSENT


@dataclass(frozen=True, slots=True)
class Summary:
    """A comparison in a few numbers."""

    nodes: int
    """Nodes compared with torch, leaves among them."""

    edges: int
    """Edge contributions compared with torch."""

    leaves: int
    """Leaves compared with finite differences."""

    absent: int
    """Operations for which torch has no call at the same place."""

    differing: tuple[str, ...]
    """The ids of nodes and the leaves that differ; for an edge `from>to`."""

    worst_absolute: float
    worst_relative: float
    """The largest differences from torch, of values, gradients and contributions."""

    all_agree: bool
    """Nothing differs, nothing is absent, and all that was asked for has been compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All nodes and leaves of one trace beside torch and finite differences."""

    trace: Trace
    torch: TorchRun | None
    """None: not known yet, or there is no torch."""

    numeric: NumericRun | None
    entries: NDArray[np.intp]
    """For each node the entry of torch's run, -1 where there is none."""

    leaves: Mapping[str, LeafComparison]
    pending: bool
    """Whether torch is still expected to answer."""

    _value_diff: NDArray[np.float64]  # (2, nodes): absolute, relative
    _gradient_diff: NDArray[np.float64]
    _verdicts: tuple[Verdict, ...]
    _edges: Mapping[tuple[int, int], EdgeComparison]

    def verdict(self, index: int) -> Verdict:
        """A node's verdict: its value and its gradient beside torch's."""
        return self._verdicts[index]

    def value_diff(self, index: int) -> Difference | None:
        """How far the node's value is from torch's; None if torch has none."""
        return self._difference(self._value_diff, index)

    def gradient_diff(self, index: int) -> Difference | None:
        """How far the node's gradient is from torch's; None if torch has no such node."""
        return self._difference(self._gradient_diff, index)

    def torch_value(self, index: int) -> Value | None:
        """Torch's value of a node; None if it has none."""
        entry = int(self.entries[index])
        return None if self.torch is None or entry < 0 else self.torch.value(entry)

    def torch_gradient(self, index: int) -> Value | None:
        """Torch's gradient of a node; None if it has none."""
        entry = int(self.entries[index])
        return None if self.torch is None or entry < 0 else self.torch.gradient(entry)

    def edge(self, edge: Edge) -> EdgeComparison | None:
        """An edge's contribution beside torch's; None where torch doesn't tell."""
        return self._edges.get((edge.source, edge.slot))

    def summary(self) -> Summary:
        """How many were compared, and how far they are apart at most."""
        compared = self.entries >= 0
        nodes = int(compared.sum())
        differing = [
            self.trace.graph.names[index].id
            for index, verdict in enumerate(self._verdicts)
            if verdict is Verdict.DIFFER
        ]
        differing += [
            name
            for name, leaf in self.leaves.items()
            if leaf.numeric_verdict is Verdict.DIFFER and name not in differing
        ]
        names = self.trace.graph.names
        for edge in self._edges.values():
            if edge.verdict is Verdict.DIFFER:
                differing.append(f"{names[edge.edge.source].id}>{names[edge.edge.target].id}")
        worst = np.zeros(2)
        if nodes:
            both = np.concatenate(
                [self._value_diff[:, compared], self._gradient_diff[:, compared]], axis=1
            )
            worst = both.max(axis=1)
        for edge in self._edges.values():
            worst = np.maximum(worst, (edge.diff.absolute, edge.diff.relative))
        absent = 0
        if self.torch is not None:
            records = self.trace.graph.records
            absent = sum(records[i].op is not None for i in np.flatnonzero(~compared).tolist())
        verdicts = [
            verdict
            for leaf in self.leaves.values()
            for verdict in (leaf.torch_verdict, leaf.numeric_verdict)
        ]
        return Summary(
            nodes=nodes,
            edges=len(self._edges),
            leaves=sum(leaf.numeric is not None for leaf in self.leaves.values()),
            absent=absent,
            differing=tuple(differing),
            worst_absolute=float(worst[0]),
            worst_relative=float(worst[1]),
            all_agree=not differing
            and not absent
            and Verdict.PENDING not in verdicts
            and (self.torch is not None or self.numeric is not None),
        )

    def _difference(self, differences: NDArray[np.float64], index: int) -> Difference | None:
        if self.entries[index] < 0:
            return None
        return Difference(float(differences[0, index]), float(differences[1, index]))


@dataclass(frozen=True, slots=True, eq=False)
class EdgeComparison:
    """What one edge sends, by hand and by torch."""

    edge: Edge
    hand: Value
    torch: Value
    diff: Difference
    verdict: Verdict


def compare(
    trace: Trace,
    torch: TorchRun | None = None,
    numeric: NumericRun | None = None,
    *,
    torch_expected: bool = True,
    numeric_expected: bool = True,
) -> Comparison:
    """Put a trace beside what is known of torch's run and of finite differences.

    A reference that is None and expected is pending, one that is not expected is absent.
    No gradient by hand (no path) and zeros or no gradient by torch agree, and the reverse.
    """
    count = len(trace.graph)
    if torch is None:
        entries = np.full(count, -1, dtype=np.intp)
        empty = np.zeros((2, count))
        missing = Verdict.PENDING if torch_expected else Verdict.ABSENT
        verdicts = (missing,) * count
        value_diff = gradient_diff = empty
    else:
        entries = match(trace.graph, torch.structure)
        value_diff, gradient_diff, agree = _compare_nodes(trace, torch, entries)
        words = [Verdict.DIFFER, Verdict.AGREE, Verdict.ABSENT]
        verdicts = tuple([words[code] for code in np.where(entries < 0, 2, agree).tolist()])
    leaves = {}
    for name, index in trace.graph.leaves.items():
        entry = int(entries[index])
        known = torch is not None and entry >= 0
        difference = None if numeric is None else numeric.leaves.get(name)
        numeric_verdict = Verdict.PENDING if numeric_expected else Verdict.ABSENT
        numeric_diff = None
        if difference is not None:
            numeric_diff, numeric_verdict = compare_numeric(trace, index, difference)
        leaves[name] = LeafComparison(
            name=name,
            hand=trace.gradients[index],
            torch=torch.gradient(entry) if torch is not None and known else None,
            numeric=difference,
            torch_diff=Difference(*gradient_diff[:, index].tolist()) if known else None,
            numeric_diff=numeric_diff,
            torch_verdict=verdicts[index],
            numeric_verdict=numeric_verdict,
        )
    edges = {} if torch is None else compare_edges(trace, torch, entries)
    return Comparison(
        trace,
        torch,
        numeric,
        entries,
        leaves,
        torch is None and torch_expected,
        value_diff,
        gradient_diff,
        verdicts,
        edges,
    )


def _compare_nodes(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Largest differences of values and gradients for each node, and whether it agrees."""
    records, structure = trace.graph.records, torch.structure
    count = len(records)
    value_diff, gradient_diff = np.zeros((2, count)), np.zeros((2, count))
    agree = np.ones(count, dtype=np.bool_)
    # Nodes of one shape are joined without looking at each.
    groups: defaultdict[Shape, tuple[list[int], list[Any], list[Any]]]
    groups = defaultdict(lambda: ([], [], []))
    shapes = structure.shapes
    for index, (record, g, entry) in enumerate(
        zip(records, trace.gradients, entries.tolist(), strict=True)
    ):
        if entry < 0:
            continue
        value = record.value
        shape = () if type(value) is float else value.shape  # type: ignore[union-attr]
        if shapes[entry] != shape:  # then there is no difference to measure
            value_diff[:, index] = gradient_diff[:, index] = _INF
            agree[index] = False
            continue
        nodes_there, values_there, gradients_there = groups[shape]
        nodes_there.append(index)
        values_there.append(value)
        gradients_there.append(g if g is not None else np.zeros(shape) if shape else 0.0)
    groups = {shape: group for shape, group in groups.items() if prod(shape)}  # type: ignore[assignment]
    if not groups:
        return value_diff, gradient_diff, agree
    join = {shape: np.concatenate if shape else np.array for shape in groups}
    values = np.concatenate([join[shape](group[1]).ravel() for shape, group in groups.items()])
    slopes = np.concatenate([join[shape](group[2]).ravel() for shape, group in groups.items()])
    nodes = np.array([index for group in groups.values() for index in group[0]])
    sizes = np.repeat([prod(shape) for shape in groups], [len(g[0]) for g in groups.values()])
    ends = np.cumsum(sizes)
    starts = ends - sizes
    cells = np.arange(ends[-1]) + np.repeat(structure.starts[entries[nodes]] - starts, sizes)
    for ours, theirs, into in (
        (values, torch.values[cells], value_diff),
        (slopes, torch.gradients[cells], gradient_diff),
    ):
        absolute, relative, within = _apart(ours, theirs, starts, sizes)
        into[0, nodes], into[1, nodes] = absolute, relative
        agree[nodes] &= within
    if not agree.all():
        _forgive_rounding(trace, torch, entries, agree)
    return value_diff, gradient_diff, agree


def _apart(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    starts: NDArray[np.intp],
    sizes: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """For each segment the largest absolute and relative difference, and whether it agrees."""
    with np.errstate(all="ignore"):
        absolute = np.abs(a - b)
        magnitude = np.maximum(np.abs(a), np.abs(b))
        relative = absolute / magnitude
        if not np.isfinite(relative).all():  # 0/0, or inf and nan among the numbers
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            absolute = np.where(same, 0.0, np.where(np.isfinite(absolute), absolute, _INF))
            relative = np.where(same, 0.0, np.where(np.isfinite(absolute), relative, _INF))
            magnitude = np.where(np.isfinite(magnitude), magnitude, 0.0)
    largest = np.maximum.reduceat(magnitude, starts)
    worst = np.maximum.reduceat(relative, starts)
    furthest = np.maximum.reduceat(absolute, starts)
    within = worst <= RELATIVE_TOLERANCE
    if not within.all():  # small cells beside large ones
        allowed = RELATIVE_TOLERANCE * magnitude + np.repeat(LOCAL_FLOOR * largest, sizes)
        within = np.logical_and.reduceat(absolute <= allowed, starts)
    return furthest, worst, within


def _forgive_rounding(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp], agree: NDArray[np.bool_]
) -> None:
    """Let nodes agree whose difference is no more than the rounding that reached them."""
    value_errors = value_rounding(trace.graph)
    gradient_errors = gradient_rounding(trace, value_errors)
    for index in np.flatnonzero(~agree).tolist():
        value, g = trace.graph.records[index].value, trace.gradients[index]
        entry = int(entries[index])
        if torch.structure.shapes[entry] == shape_of(value):
            other = torch.gradient(entry)
            agree[index] = _within(value, torch.value(entry), value_errors[index]) and _within(
                0.0 if g is None else g,
                0.0 if other is None else other,
                gradient_errors[index],
            )


def _within(a: Value, b: Value, rounding: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    with np.errstate(all="ignore"):
        magnitude = np.maximum(np.abs(a), np.abs(b))
        allowed = RELATIVE_TOLERANCE * magnitude + ROUNDING_SAFETY * rounding
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        return bool(np.all(same | (np.abs(a - b) <= allowed)))


def compare_numeric(
    trace: Trace, index: int, numeric: LeafDifference
) -> tuple[Difference | None, Verdict]:
    """A leaf's gradient by hand beside its finite difference, whose own error is the tolerance."""
    hand = trace.gradients[index]
    ours = np.zeros(numeric.value.shape) if hand is None else np.asarray(hand)
    if Kind.UNKNOWN in numeric.kind:
        return None, Verdict.PENDING
    usable = (numeric.kind == Kind.OK) | (numeric.kind == Kind.UNCERTAIN)
    a, b = ours[usable], numeric.value[usable]
    difference = None
    off = np.zeros(a.shape, dtype=np.bool_)
    if a.size:
        with np.errstate(all="ignore"):
            off = ~(np.abs(a - b) <= numeric.error[usable] + RELATIVE_TOLERANCE * np.abs(b))
        furthest, worst, _ = _apart(a, b, np.zeros(1, np.intp), np.array([a.size]))
        difference = Difference(float(furthest[0]), float(worst[0]))
    doubtful = numeric.kind[usable] == Kind.UNCERTAIN
    if (off & ~doubtful).any():
        return difference, Verdict.DIFFER
    if Kind.KINK in numeric.kind:
        return difference, Verdict.KINK
    if Kind.NOT_FINITE in numeric.kind:
        return difference, Verdict.NOT_FINITE
    return difference, Verdict.UNCERTAIN if off.any() else Verdict.AGREE


def compare_edges(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp] | None = None
) -> dict[tuple[int, int], EdgeComparison]:
    """What each edge sends beside torch, by (source, slot), where torch tells.

    Torch's edges are known by what they connect. So between the same two nodes there must be as
    many on both sides; they are paired in the operands' order.
    """
    if torch.edges is None:
        return {}
    graph = trace.graph
    if entries is None:
        entries = match(graph, torch.structure)
    theirs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    edges = torch.edges
    for number, pair in enumerate(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True)):
        theirs[pair].append(number)
    shapes = torch.structure.shapes
    sizes = [prod(shapes[target]) for target in edges.targets.tolist()]
    ends = np.cumsum(sizes)
    ours: defaultdict[tuple[int, int], list[Edge]] = defaultdict(list)
    for source, record in enumerate(graph.records):
        for slot, target in enumerate(record.operands):
            edge = Edge(source, target, slot)
            if trace.contribution(edge) is not None:
                ours[int(entries[source]), int(entries[target])].append(edge)
    found: dict[tuple[int, int], EdgeComparison] = {}
    rounding: list[Any] | None = None
    for pair, numbers in theirs.items():
        if len(ours.get(pair, ())) != len(numbers):
            continue
        for edge, number in zip(ours[pair], numbers, strict=True):
            hand = cast(Value, trace.contribution(edge))
            shape = shapes[pair[1]]
            cells = edges.values[int(ends[number]) - sizes[number] : int(ends[number])]
            same_shape = shape == shape_of(hand)
            diff, agrees = Difference(0.0, 0.0), True
            if not same_shape:
                diff, agrees = Difference(_INF, _INF), False
            elif cells.size:
                one, size = np.zeros(1, np.intp), np.array([cells.size])
                furthest, worst, within = _apart(np.ravel(hand), cells, one, size)
                diff, agrees = Difference(float(furthest[0]), float(worst[0])), bool(within[0])
            other: Value = cells.reshape(shape) if shape else float(cells[0])
            if not agrees and same_shape:
                if rounding is None:
                    rounding = gradient_rounding(trace, value_rounding(graph))
                agrees = _within(hand, other, rounding[edge.target])
            verdict = Verdict.AGREE if agrees else Verdict.DIFFER
            found[edge.source, edge.slot] = EdgeComparison(edge, hand, other, diff, verdict)
    return found


_INF = float("inf")
