"""Which part of the drawing each box belongs to, and its rank (its layer, from the top) there.

A drawing has a head (what is computed before the first time step), the blocks side by side with
a gutter to the right of each, and a tail (what is computed after the last). A graph without time
steps is all tail. A region is an int that grows to the right: the head is `HEAD`, block number i
is 2i, the gutter to its right 2i + 1, and the tail comes after the last gutter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .model import Box, Link

HEAD = -2


def is_gutter(region: int) -> bool:
    """Whether boxes never stand there, only wires."""
    return region % 2 == 1


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes and links by number instead of by name."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    sources: list[int]
    """Link → number of its source box."""
    targets: list[int]
    """Link → number of its target box."""
    inputs: list[list[int]]
    """Box → links that enter it, by slot."""
    outputs: list[list[int]]
    """Box → links that leave it."""
    topological: list[int]
    """Boxes, every operand before its consumers."""


def build_graph(boxes: Sequence[Box], links: Sequence[Link]) -> Graph:
    """Number the boxes; refuse what cannot be drawn."""
    numbers = {box.id: i for i, box in enumerate(boxes)}
    if len(numbers) < len(boxes):
        raise ValueError("two boxes have the same id")
    if len({link.key for link in links}) < len(links):
        raise ValueError("two links have the same key")
    for box in boxes:
        if box.width < 1 or box.height < 1:
            raise ValueError(f"box {box.id!r} is empty: {box.width}×{box.height} cells")
    for link in links:
        for end in (link.source, link.target):
            if end not in numbers:
                raise ValueError(f"link {link.key!r} refers to a box that is not there: {end!r}")
    sources = [numbers[link.source] for link in links]
    targets = [numbers[link.target] for link in links]
    inputs: list[list[int]] = [[] for _ in boxes]
    outputs: list[list[int]] = [[] for _ in boxes]
    for i in range(len(links)):
        inputs[targets[i]].append(i)
        outputs[sources[i]].append(i)
    for entering in inputs:
        entering.sort(key=lambda i: links[i].slot)
    order = _topological(inputs, outputs, targets)
    return Graph(boxes, links, sources, targets, inputs, outputs, order)


def _topological(
    inputs: list[list[int]], outputs: list[list[int]], targets: list[int]
) -> list[int]:
    waiting = [len(entering) for entering in inputs]
    ready = deque(box for box, count in enumerate(waiting) if count == 0)
    order: list[int] = []
    while ready:
        box = ready.popleft()
        order.append(box)
        for link in outputs[box]:
            target = targets[link]
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    if len(order) < len(inputs):
        raise ValueError("the links form a cycle")
    return order


@dataclass(frozen=True, slots=True)
class Ranking:
    """The region and the rank of every box."""

    region: list[int]
    rank: list[int]
    """Counted from the top of the drawing: first the head's ranks, then the blocks', the tail's."""
    tail: int
    """Number of the region after the last gutter."""
    first_block_rank: int
    first_tail_rank: int
    ranks: int
    """How many ranks there are."""
    block_indices: list[int]
    """Block number → the index that the caller gave it."""


def rank_boxes(graph: Graph) -> Ranking:
    """Assign every box a region, and a rank that is greater than its operands' in that region."""
    block_indices = sorted({box.block for box in graph.boxes if box.block is not None})
    tail = 2 * len(block_indices)
    region = _regions(graph, block_indices, tail)
    rank = _pull_down(graph, region, _longest_path_ranks(graph, region, tail))
    depth = {HEAD: 0, tail: 0}
    blocks_depth = 0
    for box_region, box_rank in zip(region, rank, strict=True):
        if box_region in depth:
            depth[box_region] = max(depth[box_region], box_rank + 1)
        else:
            blocks_depth = max(blocks_depth, box_rank + 1)
    first_block_rank = depth[HEAD]
    first_tail_rank = first_block_rank + blocks_depth
    for box, box_region in enumerate(region):
        if box_region == tail:
            rank[box] += first_tail_rank
        elif box_region != HEAD:
            rank[box] += first_block_rank
    return Ranking(
        region,
        rank,
        tail,
        first_block_rank,
        first_tail_rank,
        first_tail_rank + depth[tail],
        block_indices,
    )


def _regions(graph: Graph, block_indices: list[int], tail: int) -> list[int]:
    """A box without a block joins the tail unless a block needs it; a leaf joins its consumer.

    What the blocks need joins the head, or, if it needs a block itself, the last such block.
    """
    number = {index: 2 * i for i, index in enumerate(block_indices)}
    given = [None if box.block is None else number[box.block] for box in graph.boxes]
    needed = [block is not None for block in given]
    for box in reversed(graph.topological):
        needed[box] |= any(needed[graph.targets[link]] for link in graph.outputs[box])
    region = [tail] * len(given)
    last_block = [HEAD] * len(given)
    for box in graph.topological:
        operands = [last_block[graph.sources[link]] for link in graph.inputs[box]]
        own = given[box]
        last_block[box] = max([*operands, HEAD if own is None else own])
        if own is not None:
            region[box] = own
        elif needed[box]:
            region[box] = last_block[box]
    for box in graph.topological:
        consumers = [region[graph.targets[link]] for link in graph.outputs[box]]
        if graph.boxes[box].leaf and given[box] is None and consumers and not graph.inputs[box]:
            region[box] = min(consumers)
    return region


def _longest_path_ranks(graph: Graph, region: list[int], tail: int) -> list[int]:
    """Ranks counted from the top of each region.

    In a block an operand from outside counts like a leaf inside, so that the first block, which
    starts from leaves, looks like those that go on from the block before.
    """
    rank = [0] * len(region)
    for box in graph.topological:
        for link in graph.inputs[box]:
            source = graph.sources[link]
            if region[source] == region[box]:
                rank[box] = max(rank[box], rank[source] + 1)
            elif region[box] != tail:
                rank[box] = max(rank[box], 1)
    inside = [rank[box] for box, own in enumerate(region) if own not in (HEAD, tail)]
    if inside and min(inside) == 1:
        rank = [r if own in (HEAD, tail) else r - 1 for own, r in zip(region, rank, strict=True)]
    return rank


def _pull_down(graph: Graph, region: list[int], rank: list[int]) -> list[int]:
    """Move down, next to their consumers, the boxes that hang on nothing but leaves."""
    loose = _loose(graph, region)
    rank = list(rank)
    for box in reversed(graph.topological):
        if loose[box]:
            consumers = [graph.targets[link] for link in graph.outputs[box]]
            below = [rank[other] for other in consumers if region[other] == region[box]]
            if below:
                rank[box] = min(below) - 1
    return rank


def _loose(graph: Graph, region: list[int]) -> list[bool]:
    """Whether a box can move down without making the wire of any but leaves longer."""
    loose = [False] * len(region)
    for box in graph.topological:
        operands = {graph.sources[link] for link in graph.inputs[box]}
        loose[box] = all(
            region[other] != region[box]
            or not graph.inputs[other]
            or (loose[other] and _sole_consumer(graph, other))
            for other in operands
        )
    return loose


def _sole_consumer(graph: Graph, box: int) -> bool:
    return len({graph.targets[link] for link in graph.outputs[box]}) == 1
