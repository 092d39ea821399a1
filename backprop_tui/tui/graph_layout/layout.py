"""The whole way from a graph to its drawing."""

from __future__ import annotations

from collections.abc import Sequence

from .drawing import Plotter
from .hierarchy import Hierarchy, Neighbours, build_hierarchy, find_neighbours
from .model import Block, Box, Drawing, Link, Owners, Place, Routes
from .ordering import order_region
from .placement import place_region
from .regions import HEAD, build_graph, rank_boxes
from .wiring import Grid, place_ports, route_wires, stack_rows

GUTTER = 4
"""Least cells between two blocks."""


def lay_out(boxes: Sequence[Box], links: Sequence[Link]) -> Drawing:
    """Lay a directed acyclic graph out from top to bottom, its time steps side by side.

    Raises ValueError if the links form a cycle or refer to boxes that are not there.
    """
    graph = build_graph(boxes, links)
    hierarchy = build_hierarchy(graph, rank_boxes(graph))
    widths = _widths(hierarchy)
    x = _place_items(hierarchy, widths)
    ports = place_ports(hierarchy, x, widths)
    wires, tracks = route_wires(hierarchy, ports)
    grid = stack_rows(hierarchy, tracks)
    plotter = Plotter(hierarchy, ports, wires, grid)
    strokes = plotter.draw()
    places = {
        box.id: Place(x[i], grid.rank_top[hierarchy.rank[i]], widths[i], box.height)
        for i, box in enumerate(boxes)
    }
    right_edges = [place.x + place.width for place in places.values()]
    width = max([0, strokes.right_edge(), *right_edges])
    return Drawing(
        width=width,
        height=grid.height,
        places=places,
        rows=strokes.paint(width, grid.height),
        owners=Owners(strokes.across, strokes.down, strokes.knots),
        routes=Routes({link.key: plotter.corners(i) for i, link in enumerate(links)}),
        blocks=_blocks(hierarchy, grid, x, widths),
    )


def _widths(hierarchy: Hierarchy) -> list[int]:
    """Item → cells across: a dummy is one wire, a box has room for its arrow heads."""
    graph = hierarchy.graph
    wires = [1] * (len(hierarchy.rank) - hierarchy.boxes)
    return [
        max(box.width, 2 * len(entering) - 1)
        for box, entering in zip(graph.boxes, graph.inputs, strict=True)
    ] + wires


def _place_items(hierarchy: Hierarchy, widths: Sequence[int]) -> dict[int, int]:
    """Item → its left edge, the leftmost at 0: the blocks first, then the head and the tail."""
    neighbours = find_neighbours(hierarchy)
    layers = _layers_by_region(hierarchy)
    tail = hierarchy.ranking.tail
    x: dict[int, int] = {}
    edge = 0
    for block in range(0, tail, 2):
        ordered = order_region(layers[block], neighbours)
        places: dict[int, int] = {}
        place_region(ordered, hierarchy, neighbours, widths, places)
        edge = _append(places, widths, edge, x)
        edge = _place_gutter(hierarchy, layers.get(block + 1, []), edge, x)
    _place_outside(hierarchy, neighbours, widths, layers, HEAD, x)
    _place_outside(hierarchy, neighbours, widths, layers, tail, x)
    first = min(x.values(), default=0)
    return {item: place - first for item, place in x.items()}


def _layers_by_region(hierarchy: Hierarchy) -> dict[int, list[list[int]]]:
    """Region → its items, rank by rank of the whole drawing."""
    layers: dict[int, list[list[int]]] = {}
    for item, region in enumerate(hierarchy.region):
        if region not in layers:
            layers[region] = [[] for _ in range(hierarchy.ranking.ranks)]
        layers[region][hierarchy.rank[item]].append(item)
    return layers


def _append(places: dict[int, int], widths: Sequence[int], edge: int, x: dict[int, int]) -> int:
    """Copy a region's places into `x`, its left edge at `edge`; returns its right edge."""
    shift = edge - min(places.values())
    for item, place in places.items():
        x[item] = place + shift
    return max(x[item] + widths[item] for item in places)


def _place_gutter(
    hierarchy: Hierarchy, layers: list[list[int]], edge: int, x: dict[int, int]
) -> int:
    """Give every net in a gutter its lane, the higher to the left; returns the right edge."""
    spans: dict[int, list[int]] = {}
    for layer in layers:
        for item in layer:
            spans.setdefault(hierarchy.net[item], []).append(item)

    def height(net: int) -> tuple[int, int]:
        ranks = [hierarchy.rank[item] for item in spans[net]]
        return (min(ranks) + max(ranks), net)

    for lane, net in enumerate(sorted(spans, key=height)):
        for item in spans[net]:
            x[item] = edge + 1 + 2 * lane
    return edge + max(GUTTER, 2 * len(spans) + 1)


def _place_outside(
    hierarchy: Hierarchy,
    neighbours: Neighbours,
    widths: Sequence[int],
    layers: dict[int, list[list[int]]],
    region: int,
    x: dict[int, int],
) -> None:
    """Place the head or the tail, its wires led to the blocks as they stand already."""
    if region not in layers:
        return
    ranking = hierarchy.ranking
    at_blocks = ranking.first_block_rank if region == HEAD else ranking.first_tail_rank - 1
    fixed: frozenset[int] = frozenset()
    own = layers[region]
    if ranking.block_indices:
        standing = [item for item in x if hierarchy.rank[item] == at_blocks]
        own[at_blocks] = sorted(standing, key=x.__getitem__)
        fixed = frozenset([at_blocks])
    ordered = order_region(own, neighbours, fixed)
    place_region(ordered, hierarchy, neighbours, widths, x, fixed)


def _blocks(
    hierarchy: Hierarchy, grid: Grid, x: dict[int, int], widths: Sequence[int]
) -> tuple[Block, ...]:
    """The rectangles of the time steps, all equally high."""
    ranking = hierarchy.ranking
    blocks: list[Block] = []
    for number, index in enumerate(ranking.block_indices):
        inside = [box for box in range(hierarchy.boxes) if hierarchy.region[box] == 2 * number]
        left = min(x[box] for box in inside)
        right = max(x[box] + widths[box] for box in inside)
        bottom = grid.rank_end[ranking.first_tail_rank - 1]
        blocks.append(Block(index, left, grid.title_row, right - left, bottom - grid.title_row))
    return tuple(blocks)
