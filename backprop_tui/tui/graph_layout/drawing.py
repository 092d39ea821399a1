"""From routed wires to strokes, rows of text, and the corners of every link's way."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from .channels import Wire
from .hierarchy import Hierarchy
from .model import Across, Cell, Down, Knot
from .wiring import Grid, Ports

UP, RIGHT, DOWN, LEFT, ARROW = 1, 2, 4, 8, 16
GLYPHS = " ╵╶└╷│┌├╴┘─┴┐┤┬┼▼"
"""Indexed by the sum of the sides by which a wire leaves a cell, or by `ARROW`."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a wire leaves its channel."""

    column: int
    row: int
    """The last row of its own: beside a box, or where the next wire of its net goes on."""
    side: int
    """`UP` or `DOWN`."""
    key: str
    """Key of the first link that goes this way."""
    arrow: bool = False
    """Whether it enters a box."""


@dataclass(slots=True)
class Strokes:
    """Everything that is drawn."""

    across: list[Across] = field(default_factory=list)
    down: list[Down] = field(default_factory=list)
    knots: list[Knot] = field(default_factory=list)

    def run(self, x: int, top: int, bottom: int, key: str) -> None:
        """A vertical run, unless it is empty."""
        if top <= bottom:
            self.down.append(Down(x, top, bottom, key))

    def right_edge(self) -> int:
        """The column after the last that is drawn in; horizontal runs end in knots."""
        columns = [run.x for run in self.down] + [knot.x for knot in self.knots]
        return max(columns, default=-1) + 1

    def paint(self, width: int, height: int) -> tuple[str, ...]:
        """The rows of text; at a crossing the vertical wire is on top."""
        rows = [bytearray(width) for _ in range(height)]
        for y, left, right, _ in self.across:
            rows[y][left : right + 1] = bytes([LEFT + RIGHT]) * (right - left + 1)
        for x, top, bottom, _ in self.down:
            for y in range(top, bottom + 1):
                rows[y][x] = UP + DOWN
        for x, y, glyph, _ in self.knots:
            rows[y][x] = glyph
        return tuple(codecs.charmap_decode(row, "strict", GLYPHS)[0] for row in rows)


class Plotter:
    """Draws the wire of each item, and follows each link from wire to wire."""

    def __init__(
        self, hierarchy: Hierarchy, ports: Ports, wires: dict[int, Wire], grid: Grid
    ) -> None:
        self.hierarchy = hierarchy
        self.ports = ports
        self.wires = wires
        self.grid = grid
        self.strokes = Strokes()
        self.first_link = _first_links(hierarchy)
        self.branches: dict[int, list[End]] = {item: [] for item in wires}
        for item in range(hierarchy.boxes, len(hierarchy.rank)):
            self.branches[hierarchy.parent[item]].append(self._end_at_dummy(item))
        for link, feeder in enumerate(hierarchy.feeder):
            self.branches[feeder].append(self._end_at_box(link))

    def _key(self, item: int) -> str:
        return self.hierarchy.graph.links[self.first_link[item]].key

    def _root(self, item: int) -> End:
        """Where the wire of an item begins."""
        hierarchy, grid = self.hierarchy, self.grid
        column, rank = self.ports.leaving[item], hierarchy.rank[item]
        if hierarchy.channel[item] < rank:
            return End(column, grid.rank_top[rank] - 1, DOWN, self._key(item))
        if item < hierarchy.boxes:
            row = grid.rank_top[rank] + hierarchy.graph.boxes[item].height
        else:
            row = grid.rank_end[rank]
        return End(column, row, UP, self._key(item))

    def _end_at_dummy(self, item: int) -> End:
        """Where the wire to a dummy ends: beyond the rank that the dummy passes."""
        hierarchy, grid = self.hierarchy, self.grid
        column, rank = self.ports.leaving[item], hierarchy.rank[item]
        if hierarchy.channel[item] < rank:
            return End(column, grid.rank_top[rank], UP, self._key(item))
        return End(column, grid.rank_end[rank] - 1, DOWN, self._key(item))

    def _end_at_box(self, link: int) -> End:
        """Where the wire to a link's target ends: one row above it."""
        graph = self.hierarchy.graph
        row = self.grid.rank_top[self.hierarchy.rank[graph.targets[link]]] - 1
        return End(self.ports.entering[link], row, DOWN, graph.links[link].key, arrow=True)

    def draw(self) -> Strokes:
        """Draw all wires."""
        for item, wire in self.wires.items():
            root, branches = self._root(item), self.branches[item]
            if wire.straight:
                self._draw_straight(root, branches[0])
            else:
                self._draw_bent(wire, self.grid.track_top[self._slot(item)], root, branches)
        return self.strokes

    def _slot(self, item: int) -> int:
        return self.hierarchy.channel[item] + 1

    def _draw_straight(self, root: End, branch: End) -> None:
        if branch.side == UP:
            self.strokes.run(root.column, branch.row, root.row, branch.key)
        else:
            self.strokes.run(root.column, root.row, branch.row - branch.arrow, branch.key)
        self._draw_arrow(branch)

    def _draw_arrow(self, end: End) -> None:
        if end.arrow:
            self.strokes.knots.append(Knot(end.column, end.row, ARROW, end.key))

    def _draw_bent(self, wire: Wire, track_top: int, root: End, branches: list[End]) -> None:
        upper, lower = track_top + wire.upper_track, track_top + wire.lower_track
        for end in (root, *branches):
            if end.side == UP:
                self.strokes.run(end.column, end.row, upper - 1, end.key)
            else:
                self.strokes.run(end.column, lower + 1, end.row - end.arrow, end.key)
                self._draw_arrow(end)
        if wire.dogleg is None:
            self._draw_track(upper, root, branches)
            return
        near = [end for end in branches if end.side == root.side]
        far = [end for end in branches if end.side != root.side]
        key = far[0].key
        near_row, far_row = (upper, lower) if root.side == UP else (lower, upper)
        self._draw_track(near_row, root, [*near, End(wire.dogleg, 0, far[0].side, key)])
        self._draw_track(far_row, End(wire.dogleg, 0, root.side, key), far)
        self.strokes.run(wire.dogleg, upper + 1, lower - 1, key)

    def _draw_track(self, y: int, root: End, branches: Iterable[End]) -> None:
        """The horizontal part of a wire, with a knot in the column of every end."""
        sides: dict[int, int] = {root.column: root.side}
        keys = {root.column: root.key}
        for end in branches:
            sides[end.column] = sides.get(end.column, 0) | end.side
            keys.setdefault(end.column, end.key)
        columns = sorted(sides)
        for column in columns:
            glyph = sides[column]
            glyph |= LEFT if column > columns[0] else 0
            glyph |= RIGHT if column < columns[-1] else 0
            self.strokes.knots.append(Knot(column, y, glyph, keys[column]))
        for a, b in pairwise(columns):
            if b > a + 1:
                outer = b if b > root.column else a
                self.strokes.across.append(Across(y, a + 1, b - 1, keys[outer]))

    def corners(self, link: int) -> list[Cell]:
        """The corners of a link's way, from its source to its target."""
        hierarchy = self.hierarchy
        way: list[tuple[int, End]] = []
        item, end = hierarchy.feeder[link], self._end_at_box(link)
        while item >= 0:
            way.append((item, end))
            if item >= hierarchy.boxes:
                end = self._end_at_dummy(item)
            item = hierarchy.parent[item]
        cells: list[Cell] = []
        for item, end in reversed(way):
            cells += self._hop(item, end)
        return cells

    def _hop(self, item: int, end: End) -> list[Cell]:
        """The corners of the way along an item's wire to one of its ends."""
        root, wire = self._root(item), self.wires[item]
        start, stop = (root.column, root.row), (end.column, end.row)
        if root.column == end.column and root.side != end.side and wire.dogleg is None:
            return [start, stop]
        top = self.grid.track_top[self._slot(item)]
        tracks = {UP: top + wire.upper_track, DOWN: top + wire.lower_track}
        corners = [start, (root.column, tracks[root.side])]
        if wire.dogleg is not None and root.side != end.side:
            corners += [(wire.dogleg, tracks[root.side]), (wire.dogleg, tracks[end.side])]
        return [*corners, (end.column, tracks[end.side]), stop]


def _first_links(hierarchy: Hierarchy) -> dict[int, int]:
    """Item → the first link that passes it."""
    first: dict[int, int] = {}
    for link, feeder in enumerate(hierarchy.feeder):
        item = feeder
        while item >= 0 and item not in first:
            first[item] = link
            item = hierarchy.parent[item]
    return first
