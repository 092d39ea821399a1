"""The proper hierarchy: long links cut into hops from rank to rank by dummy nodes.

Items are numbered, the boxes first and then the dummies. All links of one source form a net, a
tree whose root is the source: one chain of dummies goes down in the source's own region, and
another in the gutter beside its block, up or down, for the blocks that lie beyond it. So two
wires of a net never cross. A target hangs on the item of the tree that is just above it.

A channel is the space below a rank; channel -1 is above the first. Each item with something
hanging on it has one wire, in one channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .regions import HEAD, Graph, Ranking, is_gutter


@dataclass(slots=True)
class Hierarchy:
    """Items, and what hangs on what."""

    graph: Graph
    ranking: Ranking
    region: list[int]
    """Item → region."""
    rank: list[int]
    """Item → rank."""
    channel: list[int]
    """Item → the channel of the wire that leaves it."""
    parent: list[int]
    """Item → the item that it hangs on; -1 for a box."""
    net: list[int]
    """Item → the box at the root of its net."""
    feeder: list[int]
    """Link → the item that its target hangs on."""
    dummies: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Source, rank and region → the dummy of that net there."""

    @property
    def boxes(self) -> int:
        """How many items are boxes; the others are dummies."""
        return len(self.graph.boxes)

    def add_dummy(self, parent: int, rank: int, region: int, *, upward: bool) -> int:
        """A new dummy that hangs on `parent` and sends its wire up or down."""
        item = len(self.rank)
        self.rank.append(rank)
        self.region.append(region)
        self.channel.append(rank - 1 if upward else rank)
        self.parent.append(parent)
        self.net.append(self.net[parent])
        self.dummies[self.net[parent], rank, region] = item
        return item


def build_hierarchy(graph: Graph, ranking: Ranking) -> Hierarchy:
    """Cut every link into hops."""
    count = len(graph.boxes)
    hierarchy = Hierarchy(
        graph=graph,
        ranking=ranking,
        region=list(ranking.region),
        rank=list(ranking.rank),
        channel=list(ranking.rank),
        parent=[-1] * count,
        net=list(range(count)),
        feeder=[-1] * len(graph.links),
    )
    for link in range(len(graph.links)):
        hierarchy.feeder[link] = _feeder(hierarchy, graph.sources[link], graph.targets[link])
    return hierarchy


def _feeder(hierarchy: Hierarchy, source: int, target: int) -> int:
    """The item just above the target on which it hangs, with all dummies up to there."""
    ranking, region, rank = hierarchy.ranking, hierarchy.region, hierarchy.rank
    here, there = region[source], region[target]
    above = rank[target] - 1
    if here in (there, HEAD) or there == ranking.tail:
        return _chain_down(hierarchy, source, above, _way_down(ranking, here, there))
    gutter = here + 1 if there > here else here - 1
    if above < rank[source]:
        return _chain_up(hierarchy, source, rank[target], gutter)
    return _chain_down(hierarchy, source, above, lambda _: gutter)


def _way_down(ranking: Ranking, here: int, there: int) -> Callable[[int], int]:
    """Rank → the region in which a link from `here` to `there` passes it.

    Only a link from the head to the tail passes the blocks, in the last gutter.
    """

    def region_at(rank: int) -> int:
        if rank < ranking.first_block_rank:
            return HEAD
        if rank >= ranking.first_tail_rank:
            return ranking.tail
        if here != HEAD:
            return here
        return ranking.tail - 1 if there == ranking.tail else there

    return region_at


def _chain_down(
    hierarchy: Hierarchy, source: int, last: int, region_at: Callable[[int], int]
) -> int:
    """The net's item at rank `last`, below the source or the source itself."""
    start = source
    missing: list[int] = []
    for rank in range(last, hierarchy.rank[source], -1):
        found = hierarchy.dummies.get((source, rank, region_at(rank)))
        if found is not None:
            start = found
            break
        missing.append(rank)
    for rank in reversed(missing):
        start = hierarchy.add_dummy(start, rank, region_at(rank), upward=False)
    return start


def _chain_up(hierarchy: Hierarchy, source: int, last: int, gutter: int) -> int:
    """The net's dummy at rank `last` in a gutter, at the source's rank or above."""
    start = source
    for rank in range(hierarchy.rank[source], last - 1, -1):
        found = hierarchy.dummies.get((source, rank, gutter))
        if found is None:
            found = hierarchy.add_dummy(start, rank, gutter, upward=True)
        start = found
    return start


class Hop(NamedTuple):
    """A line between items of neighbouring ranks, the elements of crossing counts."""

    item: int
    """The item at the other end."""
    port: int
    """At which of the target box's ports it enters; 0 if it enters a dummy."""
    ports: int
    """How many ports that box has; 1 for a dummy."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The hops of every item. What lies beyond a gutter is the pseudo-item `left` or `right`."""

    above: list[list[Hop]]
    below: list[list[Hop]]
    left: int
    right: int


def find_neighbours(hierarchy: Hierarchy) -> Neighbours:
    """The hops from rank to rank, in the order of the operand slots."""
    count = len(hierarchy.rank)
    found = Neighbours([[] for _ in range(count)], [[] for _ in range(count)], count, count + 1)
    for item in range(hierarchy.boxes, count):
        _add_hop(hierarchy, found, hierarchy.parent[item], item, 0, 1)
    graph = hierarchy.graph
    for box in range(hierarchy.boxes):
        entering = graph.inputs[box]
        for port, link in enumerate(entering):
            _add_hop(hierarchy, found, hierarchy.feeder[link], box, port, len(entering))
    return found


def _add_hop(
    hierarchy: Hierarchy, found: Neighbours, upper: int, lower: int, port: int, ports: int
) -> None:
    here, there = hierarchy.region[upper], hierarchy.region[lower]
    outside = (HEAD, hierarchy.ranking.tail)
    if here == there or here in outside or there in outside:
        found.above[lower].append(Hop(upper, port, ports))
        found.below[upper].append(Hop(lower, port, ports))
        return
    if not is_gutter(here):
        found.below[upper].append(Hop(found.right if there > here else found.left, 0, 1))
    if not is_gutter(there):
        found.above[lower].append(Hop(found.left if here < there else found.right, port, ports))
