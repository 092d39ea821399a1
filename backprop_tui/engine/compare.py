"""Two gradients beside each other: by hand, by torch, by finite differences — and a verdict.

Everything here is numpy on finished records. What torch found arrives as a `TorchRun`: flat
arrays, with for each call the place in the program where it stood. Nodes and calls are matched by
that place alone, so that a mistake of our recorder (a swapped operand, a lost use) is not copied
into the reference and agreed with.

All nodes are compared in one pass over flat arrays. Comparing node by node would cost three times
as much as all the rest of an edit.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.broadcasting import Shape, shape_of
from backprop_tui.engine.edge_comparison import EdgeComparison, compare_edges
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.numeric import Kind, LeafDifference, NumericRun
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.torch_record import TorchRun, match
from backprop_tui.engine.trace import Trace
from backprop_tui.engine.verdict import (
    RELATIVE_TOLERANCE,
    Difference,
    Verdict,
    furthest_apart,
    within_rounding,
)

__all__ = [
    "Comparison",
    "Difference",
    "EdgeComparison",
    "LeafComparison",
    "Summary",
    "Verdict",
    "compare",
    "compare_edges",
    "compare_numeric",
]


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


class Comparison:
    """All nodes and leaves of one trace beside torch and finite differences. Made by `compare`."""

    def __init__(
        self,
        trace: Trace,
        torch: TorchRun | None,
        numeric: NumericRun | None,
        missing: tuple[Verdict, Verdict],
    ) -> None:
        """`missing`: what is said of torch and of finite differences where they are None."""
        self.trace = trace
        self.torch = torch
        self.numeric = numeric
        self._missing = missing
        count = len(trace.graph)
        if torch is None:
            self.entries: NDArray[np.intp] = np.full(count, -1, dtype=np.intp)
            """For each node the entry of torch's run, -1 where there is none."""
            self._value_diff = self._gradient_diff = np.zeros((2, count))  # absolute, relative
            self._agree = np.ones(count, dtype=np.bool_)
        else:
            self.entries = match(trace.graph, torch.structure)
            found = _compare_nodes(trace, torch, self.entries)
            self._value_diff, self._gradient_diff, self._agree = found

    @cached_property
    def leaves(self) -> dict[str, LeafComparison]:
        """The leaves three ways, by name."""
        return {name: self._leaf(name, index) for name, index in self.trace.graph.leaves.items()}

    @cached_property
    def _edges(self) -> dict[tuple[int, int], EdgeComparison]:
        return {} if self.torch is None else compare_edges(self.trace, self.torch, self.entries)

    def verdict(self, index: int) -> Verdict:
        """A node's verdict: its value and its gradient beside torch's."""
        if self.torch is None:
            return self._missing[0]
        if self.entries[index] < 0:
            return Verdict.ABSENT
        return Verdict.AGREE if self._agree[index] else Verdict.DIFFER

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
            for index in np.flatnonzero(compared & ~self._agree).tolist()
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
            raw = self.trace.graph.raw
            absent = sum(raw[i][0] is not None for i in np.flatnonzero(~compared).tolist())
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
            and all(leaf.verdict in _CHECKED for leaf in self.leaves.values()),
        )

    def _leaf(self, name: str, index: int) -> LeafComparison:
        difference = None if self.numeric is None else self.numeric.leaves.get(name)
        numeric_diff, numeric_verdict = None, self._missing[1]
        if difference is not None:
            numeric_diff, numeric_verdict = compare_numeric(self.trace, index, difference)
        return LeafComparison(
            name=name,
            hand=self.trace.gradients[index],
            torch=self.torch_gradient(index),
            numeric=difference,
            torch_diff=self.gradient_diff(index),
            numeric_diff=numeric_diff,
            torch_verdict=self.verdict(index),
            numeric_verdict=numeric_verdict,
        )

    def _difference(self, differences: NDArray[np.float64], index: int) -> Difference | None:
        if self.entries[index] < 0:
            return None
        return Difference(float(differences[0, index]), float(differences[1, index]))


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
    missing = (
        Verdict.PENDING if torch_expected else Verdict.ABSENT,
        Verdict.PENDING if numeric_expected else Verdict.ABSENT,
    )
    # What is made here is kept or gone at once: collecting would only walk over the trace.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return Comparison(trace, torch, numeric, missing)
    finally:
        if collecting:
            gc.enable()


def _compare_nodes(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Largest differences of values and gradients for each node, and whether it agrees."""
    structure = torch.structure
    count = len(trace.graph)
    value_diff, gradient_diff = np.zeros((2, count)), np.zeros((2, count))
    agree = np.ones(count, dtype=np.bool_)
    # Nodes of one shape are joined without looking at each.
    groups: dict[Shape, tuple[list[int], list[Any], list[Any]]] = {}
    shapes = structure.shapes
    for index, (record, g, entry) in enumerate(
        zip(trace.graph.raw, trace.gradients, entries.tolist(), strict=True)
    ):
        if entry < 0:
            continue
        value = record[2]
        shape = () if type(value) is float else value.shape  # type: ignore[union-attr]
        if shapes[entry] != shape:  # then there is no difference to measure
            value_diff[:, index] = gradient_diff[:, index] = _INF
            agree[index] = False
            continue
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = ([], [], [])
        group[0].append(index)
        group[1].append(value)
        group[2].append(g if g is not None else np.zeros(shape) if shape else 0.0)
    together = [(shape, prod(shape), *group) for shape, group in groups.items() if prod(shape)]
    if not together:
        return value_diff, gradient_diff, agree
    parts = []
    for which in (1, 2):
        for shape, _, *lists in together:
            joined = np.concatenate(lists[which]) if shape else np.array(lists[which])
            parts.append(joined.ravel())
    nodes = np.array([index for part in together for index in part[2]])
    sizes = np.repeat([part[1] for part in together], [len(part[2]) for part in together])
    ends = np.cumsum(sizes)
    cells = np.arange(ends[-1]) + np.repeat(structure.starts[entries[nodes]] - ends + sizes, sizes)
    # Values and gradients in one go: first the values of all, then the gradients of all.
    sizes = np.concatenate((sizes, sizes))
    furthest, worst, within = furthest_apart(
        np.concatenate(parts),
        np.concatenate((torch.values[cells], torch.gradients[cells])),
        np.cumsum(sizes) - sizes,
        sizes,
    )
    half = len(nodes)
    value_diff[:, nodes] = furthest[:half], worst[:half]
    gradient_diff[:, nodes] = furthest[half:], worst[half:]
    agree[nodes] = within[:half] & within[half:]
    if not agree.all():
        _forgive_rounding(trace, torch, entries, agree)
    return value_diff, gradient_diff, agree


def _forgive_rounding(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp], agree: NDArray[np.bool_]
) -> None:
    """Let nodes agree whose difference is no more than the rounding that reached them."""
    value_errors = value_rounding(trace.graph)
    gradient_errors = gradient_rounding(trace, value_errors)
    for index in np.flatnonzero(~agree).tolist():
        value, g = trace.graph.raw[index][2], trace.gradients[index]
        entry = int(entries[index])
        if torch.structure.shapes[entry] == shape_of(value):
            other = torch.gradient(entry)
            agree[index] = within_rounding(
                value, torch.value(entry), value_errors[index]
            ) and within_rounding(
                0.0 if g is None else g,
                0.0 if other is None else other,
                gradient_errors[index],
            )


def compare_numeric(
    trace: Trace, index: int, numeric: LeafDifference
) -> tuple[Difference | None, Verdict]:
    """A leaf's gradient by hand beside its finite difference, whose own error is the tolerance."""
    hand = trace.gradients[index]
    ours = np.zeros(numeric.value.shape) if hand is None else np.asarray(hand)
    if Kind.UNKNOWN in numeric.kind:
        return None, Verdict.PENDING
    if ours.shape != numeric.value.shape:
        return Difference(_INF, _INF), Verdict.DIFFER
    usable = (numeric.kind == Kind.OK) | (numeric.kind == Kind.UNCERTAIN)
    a, b = ours[usable], numeric.value[usable]
    difference = None
    off = np.zeros(a.shape, dtype=np.bool_)
    if a.size:
        with np.errstate(all="ignore"):
            off = ~(np.abs(a - b) <= numeric.error[usable] + RELATIVE_TOLERANCE * np.abs(b))
        furthest, worst, _ = furthest_apart(a, b, np.zeros(1, np.intp), np.array([a.size]))
        difference = Difference(float(furthest[0]), float(worst[0]))
    doubtful = numeric.kind[usable] == Kind.UNCERTAIN
    if (off & ~doubtful).any():
        return difference, Verdict.DIFFER
    if Kind.KINK in numeric.kind:
        return difference, Verdict.KINK
    if Kind.NOT_FINITE in numeric.kind:
        return difference, Verdict.NOT_FINITE
    return difference, Verdict.UNCERTAIN if off.any() else Verdict.AGREE


_INF = float("inf")
_CHECKED = {Verdict.AGREE, Verdict.KINK, Verdict.NOT_FINITE}
