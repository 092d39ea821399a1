"""What goes into a layout and what comes out. All lengths are terminal cells."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

Cell = tuple[int, int]
"""Column and row, counted from the top left corner of the drawing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node of the graph, as a rectangle to be placed."""

    id: str
    """Unique name."""
    width: int
    """Cells across, at least 1, the border included if the caller draws one."""
    height: int
    """Cells down, at least 1."""
    block: int | None
    """The time step that it belongs to (drawn left to right), or None."""
    leaf: bool = False
    """Leaves are pulled down to just above their first consumer."""


@dataclass(frozen=True, slots=True)
class Link:
    """One use of a box by another. Two links may join the same two boxes (x·x)."""

    key: str
    """Unique name."""
    source: str
    """Id of the operand's box."""
    target: str
    """Id of the consumer's box."""
    slot: int
    """Which operand of the consumer it is; ports run left to right by slot."""


class Place(NamedTuple):
    """Where a box stands."""

    x: int
    y: int
    width: int
    """The box's own width, or more if its operands' arrow heads need the room."""
    height: int


@dataclass(frozen=True, slots=True)
class Block:
    """The rectangle of one time step, its first row left free for a title."""

    index: int
    """The number that its boxes gave as `block`."""
    x: int
    y: int
    width: int
    height: int


class Across(NamedTuple):
    """A horizontal run of wire in row `y`, from column `left` to `right`, both included."""

    y: int
    left: int
    right: int
    key: str


class Down(NamedTuple):
    """A vertical run of wire in column `x`, from row `top` to `bottom`, both included."""

    x: int
    top: int
    bottom: int
    key: str


class Knot(NamedTuple):
    """One cell where a wire turns, branches or ends; `glyph` indexes `draw.GLYPHS`."""

    x: int
    y: int
    glyph: int
    key: str


class Routes(Mapping[str, tuple[Cell, ...]]):
    """Link key → the cells of its wire in order, from below its source to above its target.

    Kept as corners and spelled out cell by cell only when asked for.
    """

    __slots__ = ("_corners",)

    def __init__(self, corners: Mapping[str, Sequence[Cell]]) -> None:
        self._corners = corners

    def __getitem__(self, key: str) -> tuple[Cell, ...]:
        corners = self._corners[key]
        cells = [corners[0]]
        for start, end in pairwise(corners):
            cells += _straight(start, end)
        return tuple(cells)

    def __iter__(self) -> Iterator[str]:
        return iter(self._corners)

    def __len__(self) -> int:
        return len(self._corners)

    def corners(self, key: str) -> tuple[Cell, ...]:
        """Only the cells where the wire starts, turns and ends (some may lie on a straight)."""
        return tuple(self._corners[key])


def _straight(start: Cell, end: Cell) -> list[Cell]:
    """The cells after `start` up to `end`, which shares its row or its column."""
    (x0, y0), (x1, y1) = start, end
    if y0 == y1:
        step = 1 if x1 > x0 else -1
        return [(x, y0) for x in range(x0 + step, x1 + step, step)] if x1 != x0 else []
    step = 1 if y1 > y0 else -1
    return [(x0, y) for y in range(y0 + step, y1 + step, step)]


class Owners(Mapping[Cell, str]):
    """Cell → key of a link whose wire is seen there.

    Where links of one net share a cell it names the first of them in the order of the input
    that leaves by the nearest branch; at a crossing it names the vertical wire, which is the
    one drawn on top.
    """

    __slots__ = ("_columns", "_knots", "_rows")

    def __init__(
        self, across: Sequence[Across], down: Sequence[Down], knots: Sequence[Knot]
    ) -> None:
        self._knots = {(x, y): key for x, y, _, key in knots}
        self._columns: dict[int, list[tuple[int, int, str]]] = {}
        self._rows: dict[int, list[tuple[int, int, str]]] = {}
        for x, top, bottom, key in down:
            self._columns.setdefault(x, []).append((top, bottom, key))
        for y, left, right, key in across:
            self._rows.setdefault(y, []).append((left, right, key))
        for runs in (*self._columns.values(), *self._rows.values()):
            runs.sort()

    def __getitem__(self, cell: Cell) -> str:
        key = self._knots.get(cell)
        if key is None:
            x, y = cell
            key = _run_at(self._columns.get(x), y) or _run_at(self._rows.get(y), x)
        if key is None:
            raise KeyError(cell)
        return key

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells())

    def __len__(self) -> int:
        return len(self._cells())

    def _cells(self) -> dict[Cell, None]:
        """Every cell with a wire, each once, in an order that never changes."""
        cells = dict.fromkeys(self._knots)
        for x, runs in self._columns.items():
            cells.update(((x, y), None) for a, b, _ in runs for y in range(a, b + 1))
        for y, runs in self._rows.items():
            cells.update(((x, y), None) for a, b, _ in runs for x in range(a, b + 1))
        return cells


def _run_at(runs: list[tuple[int, int, str]] | None, position: int) -> str | None:
    """The key of the run that covers a position, among runs sorted and apart."""
    if not runs:
        return None
    i = bisect_right(runs, position, key=lambda run: run[0]) - 1
    if i >= 0 and position <= runs[i][1]:
        return runs[i][2]
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A graph laid out: where the boxes stand, and the wires as text."""

    width: int
    height: int
    places: dict[str, Place]
    """Box id → where it stands, for every box."""
    rows: tuple[str, ...]
    """The wires alone, row by row, each exactly `width` characters; spaces under boxes."""
    owners: Owners
    """Cell → key of a link drawn there; `owners.get((x, y))` is None off the wires."""
    routes: Routes
    """Link key → its cells in order, from the source's bottom to the target's top."""
    blocks: tuple[Block, ...]
    """The time steps, left to right."""
