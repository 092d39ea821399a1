"""Where wires meet boxes and channels: ports, tracks, and the rows that all this takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .channels import Wire, route_channel
from .hierarchy import Hierarchy
from .placement import port_offsets, separate


@dataclass(frozen=True, slots=True)
class Ports:
    """The columns of the wires' ends."""

    leaving: list[int]
    """Item → where its wire leaves it."""
    entering: list[int]
    """Link → where it enters the top of its target."""


def place_ports(hierarchy: Hierarchy, x: Mapping[int, int], widths: Sequence[int]) -> Ports:
    """Set every port: leaving in the middle of a box, entering in the order of the slots."""
    leaving = [x[item] + widths[item] // 2 for item in range(len(widths))]
    tops: list[set[int]] = [set() for _ in range(hierarchy.ranking.ranks + 1)]
    for rank, column in zip(hierarchy.rank, leaving, strict=True):
        tops[rank + 1].add(column)
    entering = [0] * len(hierarchy.feeder)
    for box, links in enumerate(hierarchy.graph.inputs):
        if links:
            wires = [leaving[hierarchy.feeder[link]] for link in links]
            columns = _spread(x[box], widths[box], wires)
            _step_aside(columns, wires, tops[hierarchy.rank[box]], x[box], widths[box])
            for link, column in zip(links, columns, strict=True):
                entering[link] = column
    return Ports(leaving, entering)


def _spread(left: int, width: int, wires: Sequence[int]) -> list[int]:
    """Ports spread evenly over a box, but straight below a wire that comes from right above."""
    count = len(wires)
    margin = 1 if width >= 2 * count + 1 else 0
    first, last = left + margin, left + width - 1 - margin
    desired = [
        column if first <= column <= last else left + offset
        for column, offset in zip(wires, port_offsets(width, count), strict=True)
    ]
    columns = separate(desired, [1.0] * count, [2] * (count - 1))
    return [
        min(max(column, first + 2 * i), last - 2 * (count - 1 - i))
        for i, column in enumerate(columns)
    ]


def _step_aside(
    columns: list[int], wires: Sequence[int], tops: set[int], left: int, width: int
) -> None:
    """Move a port one or two cells away from under, or right beside, the wire of another net.

    Corners of two wires side by side are hard to tell apart.
    """

    def crowded(column: int, own: int) -> bool:
        return any(near in tops and near != own for near in (column - 1, column, column + 1))

    for i, (column, own) in enumerate(zip(columns, wires, strict=True)):
        if column == own or not crowded(column, own):
            continue
        first = columns[i - 1] + 2 if i else left + 1
        last = columns[i + 1] - 2 if i + 1 < len(columns) else left + width - 2
        for other in (column - 1, column + 1, column - 2, column + 2):
            if first <= other <= last and not crowded(other, own):
                columns[i] = other
                break


def route_wires(hierarchy: Hierarchy, ports: Ports) -> tuple[dict[int, Wire], list[int]]:
    """Item → its wire, for every item on which something hangs; channel + 1 → its tracks."""
    tops: dict[int, list[int]] = {}
    bottoms: dict[int, list[int]] = {}
    for item in {*hierarchy.feeder, *hierarchy.parent} - {-1}:
        at_top = hierarchy.rank[item] == hierarchy.channel[item]
        tops[item], bottoms[item] = [], []
        (tops if at_top else bottoms)[item].append(ports.leaving[item])
    for item in range(hierarchy.boxes, len(hierarchy.rank)):
        parent = hierarchy.parent[item]
        at_top = hierarchy.rank[item] == hierarchy.channel[parent]
        (tops if at_top else bottoms)[parent].append(ports.leaving[item])
    for link, feeder in enumerate(hierarchy.feeder):
        bottoms[feeder].append(ports.entering[link])
    wires = {item: Wire(sorted(tops[item]), sorted(bottoms[item])) for item in sorted(tops)}
    channels: list[list[Wire]] = [[] for _ in range(hierarchy.ranking.ranks + 1)]
    for item, wire in wires.items():
        channels[hierarchy.channel[item] + 1].append(wire)
    return wires, [route_channel(channel) for channel in channels]


@dataclass(frozen=True, slots=True)
class Grid:
    """The rows of the drawing."""

    rank_top: list[int]
    """Rank → its first row; boxes stand at the top of their rank."""
    rank_end: list[int]
    """Rank → the row after its last."""
    track_top: list[int]
    """Channel + 1 → the row of its first track."""
    title_row: int
    """The row kept free above the blocks."""
    height: int


def stack_rows(hierarchy: Hierarchy, tracks: Sequence[int]) -> Grid:
    """Stack ranks and channels; below a channel's tracks is one row for the arrow heads."""
    ranking = hierarchy.ranking
    heights = [0] * ranking.ranks
    for box, rank in zip(hierarchy.graph.boxes, hierarchy.rank, strict=False):
        heights[rank] = max(heights[rank], box.height)
    grid = Grid([], [], [], 0, 0)
    row = title_row = 0
    for rank, height in enumerate(heights):
        if rank == ranking.first_block_rank and ranking.block_indices:
            title_row = row
            row += 1
        grid.track_top.append(row)
        row += tracks[rank] + (1 if rank > 0 or tracks[rank] else 0)
        grid.rank_top.append(row)
        row += height
        grid.rank_end.append(row)
    grid.track_top.append(row)
    return Grid(grid.rank_top, grid.rank_end, grid.track_top, title_row, row + sum(tracks[-1:]))
