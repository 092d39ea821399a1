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

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.broadcasting import shape_of
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
