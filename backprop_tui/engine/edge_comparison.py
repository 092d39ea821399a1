"""What each edge sends, by hand beside torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.torch_record import TorchEdges, TorchRun, match
from backprop_tui.engine.trace import Trace
from backprop_tui.engine.verdict import Difference, Verdict, furthest_apart, within_rounding


@dataclass(frozen=True, slots=True, eq=False)
class EdgeComparison:
    """What one edge sends, by hand and by torch."""

    edge: Edge
    hand: Value
    torch: Value
    diff: Difference
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    edge: Edge
    hand: Value
    torch: NDArray[np.float64]
    """The cells, flat."""
    shape: tuple[int, ...]
    """As torch has it."""


def compare_edges(
    trace: Trace, torch: TorchRun, entries: NDArray[np.intp] | None = None
) -> dict[tuple[int, int], EdgeComparison]:
    """What each edge sends beside torch, by (source, slot), where torch tells.

    `entries`: for each node torch's entry, as `torch_record.match` finds them.

    Torch's edges are known by what they connect. So between the same two nodes there must be as
    many on both sides; they are paired in the operands' order.
    """
    if torch.edges is None:
        return {}
    if entries is None:
        entries = match(trace.graph, torch.structure)
    found: dict[tuple[int, int], EdgeComparison] = {}
    comparable: list[_Pair] = []
    for pair in _pairs(trace, torch, torch.edges, entries.tolist()):
        if pair.shape == shape_of(pair.hand) and pair.torch.size:
            comparable.append(pair)
            continue
        same = pair.shape == shape_of(pair.hand)  # and empty
        diff = Difference(0.0, 0.0) if same else Difference(_INF, _INF)
        verdict = Verdict.AGREE if same else Verdict.DIFFER
        other = pair.torch.reshape(pair.shape)
        found[pair.edge.source, pair.edge.slot] = EdgeComparison(
            pair.edge, pair.hand, other, diff, verdict
        )
    if not comparable:
        return found
    sizes = np.array([pair.torch.size for pair in comparable])
    absolute, relative, within = furthest_apart(
        np.concatenate([np.ravel(pair.hand) for pair in comparable]),
        np.concatenate([pair.torch for pair in comparable]),
        np.cumsum(sizes) - sizes,
        sizes,
    )
    rounding = None
    for pair, a, r, agrees in zip(
        comparable, absolute.tolist(), relative.tolist(), within.tolist(), strict=True
    ):
        torchs = pair.torch.reshape(pair.shape) if pair.shape else float(pair.torch[0])
        if not agrees:
            if rounding is None:
                rounding = gradient_rounding(trace, value_rounding(trace.graph))
            agrees = within_rounding(pair.hand, torchs, rounding[pair.edge.target])
        found[pair.edge.source, pair.edge.slot] = EdgeComparison(
            pair.edge,
            pair.hand,
            torchs,
            Difference(a, r),
            Verdict.AGREE if agrees else Verdict.DIFFER,
        )
    return found


def _pairs(trace: Trace, torch: TorchRun, edges: TorchEdges, entries: list[int]) -> list[_Pair]:
    """Our edges with torch's, where both have as many between the same two nodes."""
    sources, targets = edges.sources.tolist(), edges.targets.tolist()
    shapes = torch.structure.shapes
    theirs: defaultdict[tuple[int, int], list[NDArray[np.float64]]] = defaultdict(list)
    start = 0
    for source, target in zip(sources, targets, strict=True):
        end = start + prod(shapes[target])
        theirs[source, target].append(edges.values[start:end])
        start = end
    ours: defaultdict[tuple[int, int], list[Edge]] = defaultdict(list)
    for source, record in enumerate(trace.graph.raw):
        for slot, target in enumerate(record[1]):
            edge = Edge(source, target, slot)
            if trace.contribution(edge) is not None:
                ours[entries[source], entries[target]].append(edge)
    return [
        _Pair(edge, cast(Value, trace.contribution(edge)), cells, shapes[pair[1]])
        for pair, sent in theirs.items()
        if len(ours.get(pair, ())) == len(sent)
        for edge, cells in zip(ours[pair], sent, strict=True)
    ]


_INF = float("inf")
