"""How leaves and sizes stand on the screen: blocks in columns. Pure: no widget, no styles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len

from backprop_tui.lessons.base import Lesson
from backprop_tui.tui.matrix_view import Grid
from backprop_tui.values import (
    Value,
    format_matrix,
    format_shape,
)

# ── nudging ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Spot:
    """An editable cell: of a leaf, or a size."""

    name: str
    index: tuple[int, ...] = ()
    is_size: bool = False

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(map(str, self.index))}]" if self.index else self.name


class Piece(NamedTuple):
    """Some text on a line."""

    x: int
    text: str
    role: str
    """The component class, without `leaves--`."""


class Box(NamedTuple):
    """Where a cell is; one line high, the blanks beside its number included."""

    x: int
    y: int
    width: int


class Scalar(NamedTuple):
    """A line of a `ScalarBlock`."""

    spot: Spot
    number: float
    meaning: str
    edited: bool


MIN_CELL = 4
"""Cells of matrices are at least so wide, so that columns seldom move when a number changes."""

LONG_ROW = 200
"""Of a row with more cells, only those that are seen are drawn."""

MEANINGS = (24, 10)
"""So much of each meaning should be seen; the second if else not everything would be."""

EDITED = "edited · "
"""What stands before the meaning of a leaf that differs from the lesson's own."""


def _described(x: int, meaning: str, edited: bool, room: int) -> list[Piece]:
    """As much of a meaning as there is room for, after the word `edited` where that is so."""
    pieces: list[Piece] = []
    if edited and len(EDITED) + 4 <= room:
        pieces.append(Piece(x, EDITED, "edited"))
        x, room = x + len(EDITED), room - len(EDITED)
    if room > 4:
        pieces.append(Piece(x, cut(meaning, room), "meaning"))
    return pieces


def cut(text: str, room: int) -> str:
    """The text, or as much of it as there is room for."""
    if cell_len(text) <= room:
        return text
    while cell_len(text) > max(0, room - 1):
        text = text[:-1]
    return text.rstrip(" ,;·") + "…"


def narrow(text: str) -> str:
    """The text with one cell for each character, as a caret and a frame need it."""
    return "".join(char if cell_len(char) == 1 else "?" for char in text)


class ScalarBlock:
    """Sizes and scalar leaves, one a line: name, number, meaning."""

    def __init__(self, scalars: Sequence[Scalar]) -> None:
        self.scalars = tuple(scalars)
        texts = [row[0] for row in format_matrix(np.array([[s.number] for s in scalars]))]
        self._texts = [text.rjust(MIN_CELL) for text in texts]
        self._names = max(cell_len(s.spot.name) for s in scalars) + 1  # and a star
        self._cell = max(map(len, self._texts)) + 2
        self._fixed = self._names + self._cell + 1
        self._longest = max(cell_len(s.meaning) for s in scalars) + len(EDITED)
        self.height = len(scalars)
        self.long_rows = False
        self.wide = self.need(self._longest)

    def need(self, meaning: int) -> int:
        """The width with so much of each meaning."""
        return self._fixed + min(self._longest, meaning)

    def spots(self) -> Iterator[Spot]:
        """All cells, in reading order."""
        return (scalar.spot for scalar in self.scalars)

    def row_of(self, spot: Spot) -> int | None:
        """The line of a cell; None if it is not here."""
        return next((i for i, scalar in enumerate(self.scalars) if scalar.spot == spot), None)

    def box(self, spot: Spot) -> Box:
        """Where a cell is in the block."""
        return Box(self._names, self.row_of(spot) or 0, self._cell)

    def spot_at(self, x: int, y: int) -> Spot | None:
        """The cell at a place, or the one that the text there belongs to."""
        return self.scalars[y].spot if 0 <= y < self.height else None

    def number(self, spot: Spot) -> float:
        """A cell's number."""
        return self.scalars[self.row_of(spot) or 0].number

    def is_edited(self, spot: Spot) -> bool:
        """Whether a number differs from the lesson's own."""
        return self.scalars[self.row_of(spot) or 0].edited

    def step(self, spot: Spot, rows: int, columns: int) -> Spot | None:
        """The cell next to a cell; None at the block's edge."""
        row = (self.row_of(spot) or 0) + rows
        return self.scalars[row].spot if not columns and 0 <= row < self.height else None

    def line(
        self, y: int, width: int, chosen: Spot | None, seen: range | None = None
    ) -> list[Piece]:
        """The text of a line; the chosen cell has a role of its own."""
        spot, _, meaning, edited = self.scalars[y]
        here = spot == chosen
        return [
            Piece(0, spot.name, "name-chosen" if here else "name"),
            *([Piece(cell_len(spot.name), "*", "edited")] if edited else []),
            Piece(self._names, f" {self._texts[y]} ", "cursor" if here else "cell"),
            *_described(self._fixed, meaning, edited, width - self._fixed),
        ]


class MatrixBlock:
    """A leaf with axes: a line with its name, shape and meaning, and its rows in brackets."""

    def __init__(
        self, name: str, value: Value, meaning: str, edited: bool, before: Grid | None
    ) -> None:
        self.name, self.meaning, self.edited = name, meaning, edited
        self.grid = grid = Grid(value, before)
        self._widths = [max(width, MIN_CELL) + 2 for width in grid.widths]
        self._offsets = [1]
        for width in self._widths:
            self._offsets.append(self._offsets[-1] + width)
        shape = grid.shape
        # A vector's length alone would look like a number; torch writes it so, too.
        self._shape = format_shape(shape) if len(shape) > 1 else f"[{format_shape(shape)}]"
        self._heading = cell_len(name) + 1 + 1 + len(self._shape) + 2  # the star has its own place
        self.height = 1 + grid.height
        self.long_rows = grid.columns > LONG_ROW
        self._described = cell_len(meaning) + len(EDITED)  # nothing moves when it is edited
        self.wide = self.need(self._described)

    def need(self, meaning: int) -> int:
        """The width with so much of its meaning."""
        return max(self._offsets[-1] + 1, self._heading + min(self._described, meaning))

    def box(self, spot: Spot) -> Box:
        """Where a cell is in the block."""
        row, column = self.grid.place(spot.index)
        return Box(self._offsets[column], 1 + self.grid.line_of(row), self._widths[column])

    def spot_at(self, x: int, y: int) -> Spot | None:
        """The cell at a place; beside a row its nearest, on the heading the first of all."""
        if not 0 <= y < self.height:
            return None
        row = self.grid.row_at(y - 1) if y else 0
        if row is None:
            return None
        if not y:
            return Spot(self.name, self.grid.index(0, 0)) if x < self.wide else None
        if not 0 <= x <= self._offsets[-1]:
            return None
        return self.nearest(row, x)

    def nearest(self, row: int, x: int) -> Spot:
        """The cell of a row that is closest to a column of the screen."""
        row = max(0, min(row, self.grid.rows - 1))
        column = bisect_right(self._offsets, x) - 1
        return Spot(self.name, self.grid.index(row, max(0, min(column, self.grid.columns - 1))))

    def number(self, spot: Spot) -> float:
        """A cell's number."""
        return self.grid.number(*self.grid.place(spot.index))

    def step(self, spot: Spot, rows: int, columns: int) -> Spot | None:
        """The cell next to a cell; None at the block's edge."""
        row, column = self.grid.place(spot.index)
        row, column = row + rows, column + columns
        if 0 <= row < self.grid.rows and 0 <= column < self.grid.columns:
            return Spot(self.name, self.grid.index(row, column))
        return None

    def line(
        self, y: int, width: int, chosen: Spot | None, seen: range | None = None
    ) -> list[Piece]:
        """The text of a line; the chosen cell has a role of its own.

        Of a row with very many cells, only those in the columns of the screen that are `seen`.
        """
        here = chosen is not None and chosen.name == self.name and not chosen.is_size
        if y == 0:
            x = cell_len(self.name)
            return [
                Piece(0, self.name, "name-chosen" if here else "name"),
                *([Piece(x, "*", "edited")] if self.edited else []),
                Piece(x + 2, self._shape, "shape"),
                *_described(self._heading, self.meaning, self.edited, width - self._heading),
            ]
        grid = self.grid
        row = grid.row_at(y - 1)
        if row is None:
            return [Piece(2, grid.slice_text(y - 1), "shape")]
        left, right = _brackets(row % grid.slice_rows, grid.slice_rows)
        at = grid.place(chosen.index) if here and chosen is not None else None
        pieces = [Piece(0, left, "bracket")]
        first, last = 0, grid.columns
        if seen is not None and self.long_rows:
            first = max(0, bisect_right(self._offsets, seen.start) - 1)
            last = min(last, bisect_right(self._offsets, seen.stop))
        for column in range(first, last):
            width = self._widths[column]
            text = f"{grid.text(row, column):>{width - 1}} "
            role = "cursor" if at == (row, column) else "cell"
            pieces.append(Piece(self._offsets[column], text, role))
        pieces.append(Piece(self._offsets[-1], right, "bracket"))
        return pieces


Block = ScalarBlock | MatrixBlock


def _brackets(row: int, rows: int) -> tuple[str, str]:
    if rows == 1:
        return "[", "]"
    if row == 0:
        return "⎡", "⎤"
    return ("⎣", "⎦") if row == rows - 1 else ("⎢", "⎥")


def make_blocks(
    leaves: Mapping[str, Value],
    sizes: Mapping[str, int],
    lesson: Lesson,
    changed: frozenset[str],
    before: Sequence[Block] = (),
) -> list[Block]:
    """The sizes and leaves as blocks, in the lesson's order; blocks as before are taken over."""
    kept = {block.name: block for block in before if isinstance(block, MatrixBlock)}
    blocks: list[Block] = []
    scalars: list[Scalar] = []

    def end_of_scalars() -> None:
        if scalars:
            block = ScalarBlock(scalars)
            same = (b for b in before if isinstance(b, ScalarBlock) and b.scalars == block.scalars)
            blocks.append(next(same, block))
            scalars.clear()

    for size in lesson.sizes:
        meaning = f"{size.meaning}, {size.minimum} to {size.maximum}"
        number = sizes[size.name]
        spot = Spot(size.name, is_size=True)
        scalars.append(Scalar(spot, number, meaning, number != size.default))
    for leaf in lesson.leaves:
        value, edited = leaves[leaf.name], leaf.name in changed
        if isinstance(value, float):
            scalars.append(Scalar(Spot(leaf.name), value, leaf.meaning, edited))
            continue
        end_of_scalars()
        old = kept.get(leaf.name)
        if old is not None and old.grid.value is value and old.edited == edited:
            blocks.append(old)
        else:
            grid = old.grid if old is not None else None
            blocks.append(MatrixBlock(leaf.name, value, leaf.meaning, edited, grid))
    end_of_scalars()
    return blocks


# ── where it is shown ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A block at its place."""

    block: Block
    x: int
    y: int
    width: int
    column: int
    """Which column of blocks it is in, from 0."""


MARGIN, GUTTER = 1, 3
"""Blank columns at the left, and between two columns of blocks."""


def arrange(blocks: Sequence[Block], width: int, height: int) -> list[Placed]:
    """Put the blocks into columns, to be read downwards and then to the right.

    Everything is shown at once if it can be, with few columns and long meanings rather than many
    and short ones. Otherwise it is as low as it can be.
    """
    best: list[list[Block]] = [list(blocks)]
    meaning = MEANINGS[0]
    for meaning in MEANINGS:
        for count in range(1, len(blocks) + 1):
            columns = _balanced(blocks, count)
            if len(columns) == count and _wide(columns, meaning) <= width:
                best = columns
                if _height(columns, 1) <= height:
                    return _place(columns, width, meaning, 1)
    return _place(best, width, meaning, 0)


def _balanced(blocks: Sequence[Block], count: int) -> list[list[Block]]:
    """The blocks in at most `count` columns, in order, the tallest as low as it can be."""
    low = max((block.height for block in blocks), default=0)
    high = _height([blocks], 1)
    while low < high:
        middle = (low + high) // 2
        if len(_filled(blocks, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    return _filled(blocks, low)


def _filled(blocks: Sequence[Block], height: int) -> list[list[Block]]:
    columns: list[list[Block]] = [[]]
    for block in blocks:
        if columns[-1] and _height([[*columns[-1], block]], 1) > height:
            columns.append([])
        columns[-1].append(block)
    return columns


def _height(columns: Sequence[Sequence[Block]], gap: int) -> int:
    """How many lines the tallest column takes, with so many blank ones between blocks."""
    return max((sum(block.height + gap for block in c) - gap for c in columns if c), default=0)


def _wide(columns: Sequence[Sequence[Block]], meaning: int) -> int:
    return MARGIN + sum(max(b.need(meaning) for b in c) + GUTTER for c in columns) - GUTTER


def _place(columns: Sequence[Sequence[Block]], width: int, meaning: int, gap: int) -> list[Placed]:
    needed = [max((b.need(meaning) for b in column), default=0) for column in columns]
    wanted = [max((b.wide for b in column), default=0) for column in columns]
    spare = max(0, width - MARGIN - sum(needed) - GUTTER * (len(columns) - 1))
    placed: list[Placed] = []
    x = MARGIN
    for number, column in enumerate(columns):
        more = min(spare // (len(columns) - number), wanted[number] - needed[number])
        spare -= more  # longer meanings
        y = 0
        for block in column:
            placed.append(Placed(block, x, y, needed[number] + more, number))
            y += block.height + gap
        x += needed[number] + more + GUTTER
    return placed


# ── what is being typed ───────────────────────────────────────────────────────────────────────
