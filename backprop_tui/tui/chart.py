"""Drawing a chart with characters: lines of dots, bars, marks and axes with round numbers.

Pure: from a `Figure` to lines of pieces. A cell has 2×4 dots where braille may be drawn, and one
in ASCII. Two lines differ in how they are drawn (solid, dashed) and not in colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np

from backprop_tui.engine.operations import Array
from backprop_tui.plots import nice_step
from backprop_tui.tui.painted import Piece, Pieces
from backprop_tui.values import format_number

Dots = Literal["solid", "dashed", "points"]

BRAILLE = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of the dot in a column and row of a braille character."""

DASH = 8
"""How many dots a dash and the gap after it take."""

ASCII_DOTS = {"solid": "*", "dashed": ".", "points": "o"}
FARTHEST = 1e300
"""No axis goes farther: there is room to calculate with its ends."""

EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a number stands, from 0 at `low` to 1 at `high`; beyond these outside of it."""
        if self.logarithmic:
            if value <= 0:
                return math.nan
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(value) - low) / (high - low)
        # Halves, so that the difference of two huge numbers is no infinity.
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A line through points; nan is a gap."""

    xs: Array
    ys: Array
    role: str
    dots: Dots = "solid"


class Mark(NamedTuple):
    """A sign at a point."""

    x: float
    y: float
    sign: str
    role: str


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """All that is drawn in one chart."""

    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    marks: tuple[Mark, ...] = ()
    bars: Array | None = None
    """Heights of bars that share the width of the chart equally."""

    chosen_bar: int | None = None
    title: str = ""
    """Stands above the y axis."""


class Area(NamedTuple):
    """Where inside the drawing the data are."""

    left: int
    top: int
    width: int
    height: int


class Drawing(NamedTuple):
    """A chart as lines."""

    lines: tuple[Pieces, ...]
    area: Area


# ── axes ──────────────────────────────────────────────────────────────────────────────────────


def linear_axis(low: float, high: float, most: int, *, room: bool = False) -> Axis:
    """An axis with up to about `most` round ticks; `room`: with a little room at its ends, but
    not below 0."""
    low, high = max(-FARTHEST, min(low, FARTHEST)), max(-FARTHEST, min(high, FARTHEST))
    if not low < high:
        apart = abs(low) * 0.5 or 1.0
        low, high = low - apart, high + apart
    step = nice_step(max((high / 2 - low / 2) / max(1, most) * 2, 1e-300))
    if room:
        little = (high / 2 - low / 2) * 0.08
        low, high = (low if low == 0 else low - little), (high if high == 0 else high + little)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    numbers = [step * k for k in range(first, last + 1)]
    return Axis(low, high, tuple(zip(numbers, _labels(numbers, step), strict=True)))


def log_axis(low: float, high: float, most: int) -> Axis:
    """An axis from one power of ten to another."""
    low, high = (max(1 / FARTHEST, min(end, FARTHEST)) for end in (low, high))
    first = math.floor(math.log10(low))
    last = max(math.ceil(math.log10(high)), first + 1)
    every = math.ceil((last - first) / max(1, most))
    ticks = tuple((float(f"1e{p}"), _power(p)) for p in range(first, last + 1) if p % every == 0)
    return Axis(float(f"1e{first}"), float(f"1e{last}"), ticks, logarithmic=True)


def _power(power: int) -> str:
    return format_number(float(f"1e{power}")) if -3 <= power <= 4 else f"1e{power}"


def _labels(numbers: Sequence[float], step: float) -> list[str]:
    """All with the same number of decimals."""
    largest = max((abs(n) for n in numbers), default=0.0)
    if largest >= 1e6 or step < 1e-5:
        digits = 1 + max(0, math.floor(math.log10(largest / step))) if largest else 1
        return [format_number(n, min(17, digits + 1)).replace("-", "−") for n in numbers]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{n + 0.0:.{decimals}f}".replace("-", "−") for n in numbers]


def spread(*arrays: Array, include: Sequence[float] = ()) -> tuple[float, float]:
    """From where to where an axis should go to show these numbers.

    All of them, unless a few lie so far out that the rest would be flat: then without those.
    """
    cells = np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)
    cells = cells[np.isfinite(cells)]
    always = [n for n in include if math.isfinite(n)]
    if not cells.size:
        return (min(always), max(always)) if always else (0.0, 1.0)
    low, high = float(cells.min()), float(cells.max())
    inner_low, inner_high = (float(q) for q in np.quantile(cells / 4, (0.08, 0.92)) * 4)
    room = (inner_high / 4 - inner_low / 4) * 3  # three quarters of the width: see the halves above
    if room > 0 and high / 4 - low / 4 > room + (inner_high / 4 - inner_low / 4):
        low, high = max(low, inner_low - room), min(high, inner_high + room)
    return min([low, *always]), max([high, *always])


# ── drawing ───────────────────────────────────────────────────────────────────────────────────


class Canvas:
    """A board of characters, each with a role, and dots inside of them."""

    def __init__(self, width: int, height: int, *, ascii: bool = False) -> None:
        self.width, self.height, self.ascii = width, height, ascii
        self.across, self.down = (1, 1) if ascii else (2, 4)
        """How many dots a cell has."""
        self._bits: dict[tuple[int, int], int] = {}
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}

    def write(self, column: int, row: int, text: str, role: str) -> None:
        """Write over what is there."""
        for place, character in enumerate(text, column):
            if 0 <= place < self.width and 0 <= row < self.height:
                self._cells[place, row] = (character, role)
                self._bits.pop((place, row), None)

    def dot(self, x: int, y: int, role: str, dots: Dots) -> None:
        """Set a dot, counted from the top left."""
        column, row = x // self.across, y // self.down
        if not (0 <= column < self.width and 0 <= row < self.height):
            return
        if self.ascii:
            self._cells[column, row] = (ASCII_DOTS[dots], role)
            return
        bits = self._bits.get((column, row), 0) | BRAILLE[x % 2][y % 4]
        self._bits[column, row] = bits
        self._cells[column, row] = (chr(0x2800 + bits), role)

    def line(self, points: Sequence[tuple[float, float]], area: Area, series: Series) -> None:
        """Draw from point to point, which are in dots inside an area."""
        left, top = area.left * self.across, area.top * self.down
        width, height = area.width * self.across, area.height * self.down
        walked = 0
        before: tuple[float, float] | None = None
        for point in points:
            if not (math.isfinite(point[0]) and math.isfinite(point[1])):
                before = None
                continue
            part = clipped(before or point, point, height)
            first = 0 if before is None else 1  # where the stretch before ended there is a dot
            before = point
            if part is None:
                continue
            (x0, y0), (x1, y1) = part
            steps = math.ceil(max(abs(x1 - x0), abs(y1 - y0)))
            for k in range(first, steps + 1):
                share = k / max(1, steps)
                # Not `round`, which goes to even numbers: every other dot would be left out.
                x = math.floor(x0 + (x1 - x0) * share + 0.5)
                y = math.floor(y0 + (y1 - y0) * share + 0.5)
                walked += 1
                if series.dots == "dashed" and not self.ascii and walked % DASH >= DASH // 2:
                    continue
                if 0 <= x < width and 0 <= y < height:
                    self.dot(left + x, top + y, series.role, series.dots)

    def lines(self) -> tuple[Pieces, ...]:
        """The board as lines."""
        return tuple(self._line(row) for row in range(self.height))

    def _line(self, row: int) -> Pieces:
        blank = (" ", "plain")
        cells = [self._cells.get((column, row), blank) for column in range(self.width)]
        return tuple(
            Piece("".join(text for text, _ in run), role)
            for role, run in groupby(cells, itemgetter(1))
        )


def clipped(
    a: tuple[float, float], b: tuple[float, float], height: int
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The part of a stretch between the heights −½ and `height` − ½, or None."""
    low, high = -0.5, height - 0.5
    (ax, ay), (bx, by) = a, b
    if max(ay, by) < low or min(ay, by) > high:
        return None

    def cut(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
        edge = min(max(y, low), high)
        if edge == y:
            return x, y
        return x + (to_x - x) * ((edge - y) / (to_y - y)), edge

    return cut(ax, ay, bx, by), cut(bx, by, ax, ay)


def draw(figure: Figure, width: int, height: int, *, ascii: bool = False) -> Drawing:
    """Draw a chart of so many columns and lines."""
    canvas = Canvas(width, height, ascii=ascii)
    labels = max((len(text) for _, text in figure.y.ticks), default=0)
    area = Area(labels + 2, 1, max(1, width - labels - 3), max(1, height - 3))
    if figure.bars is not None:  # bars of equal width, and nothing beside them
        each = max(1, area.width // max(1, figure.bars.size))
        area = area._replace(width=min(area.width, each * figure.bars.size))
    _draw_axes(canvas, figure, area)
    if figure.bars is not None:
        _draw_bars(canvas, figure, area)
    across, down = area.width * canvas.across, area.height * canvas.down
    for series in figure.series:
        points = [
            (figure.x.share(x) * (across - 1), (1 - figure.y.share(y)) * (down - 1))
            for x, y in zip(series.xs.tolist(), series.ys.tolist(), strict=True)
        ]
        canvas.line(points, area, series)
    for mark in figure.marks:
        x, y = figure.x.share(mark.x), figure.y.share(mark.y)
        if 0 <= x <= 1 and 0 <= y <= 1:
            column = area.left + round(x * (across - 1)) // canvas.across
            row = area.top + round((1 - y) * (down - 1)) // canvas.down
            canvas.write(column, row, mark.sign, mark.role)
    return Drawing(canvas.lines(), area)


def _draw_axes(canvas: Canvas, figure: Figure, area: Area) -> None:
    ascii = canvas.ascii
    side, tick_left, corner, below, tick_below, faint = "||+-+-" if ascii else "│┤└─┬┄"
    bottom = area.top + area.height
    canvas.write(0, 0, figure.title, "muted")
    for row in range(area.top, bottom):
        canvas.write(area.left - 1, row, side, "muted")
    canvas.write(area.left - 1, bottom, corner + below * area.width, "muted")
    if 0 < figure.y.share(0.0) < 1:
        row = area.top + round((1 - figure.y.share(0.0)) * (area.height * canvas.down - 1)) // (
            canvas.down
        )
        canvas.write(area.left, row, faint * area.width, "muted")
    for number, text in figure.y.ticks:
        share = figure.y.share(number)
        row = area.top + round((1 - share) * (area.height * canvas.down - 1)) // canvas.down
        shown = text.replace("−", "-") if ascii else text
        canvas.write(area.left - 2 - len(shown), row, f"{shown} {tick_left}", "muted")
    free = 0
    for number, text in figure.x.ticks:
        share = figure.x.share(number)
        column = area.left + round(share * (area.width * canvas.across - 1)) // canvas.across
        shown = text.replace("−", "-") if ascii else text
        # Centred below its tick, inside the drawing, and not over the one before.
        start = min(max(0, column - len(shown) // 2), canvas.width - len(shown))
        canvas.write(column, bottom, tick_below, "muted")
        if start >= free:
            canvas.write(start, bottom + 1, shown, "muted")
            free = start + len(shown) + 1


def _draw_bars(canvas: Canvas, figure: Figure, area: Area) -> None:
    bars = figure.bars
    assert bars is not None
    each = area.width // max(1, bars.size)
    wide = each - 1 if each > 2 else each  # a gap between them where there is room
    for number, height in enumerate(bars.tolist()):
        full = figure.y.share(height) * area.height
        eighths = max(1, round(full * 8)) if height > 0 else 0
        role = "active" if number == figure.chosen_bar else "value"
        for row in range(area.height):
            there = min(8, max(0, eighths - 8 * row))
            if not there:
                break
            character = ("#" if there >= 4 else "_") if canvas.ascii else EIGHTHS[there]
            column = area.left + number * each
            canvas.write(column, area.top + area.height - 1 - row, character * wide, role)
