"""A matrix of any size to look at, as numbers or as a heat map, with a cell to choose.

And `Grid`, its text, for other views.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from backprop_tui.tui.glyphs import plain
from backprop_tui.values import Value, format_exact, format_matrix, format_number

ALIGNED_CELLS = 10_000
"""A matrix with more cells is not aligned at its points: its cells are formatted when seen."""

WIDEST = 11
"""The widest text that `format_number` gives."""

SHADES, SHADES_ASCII = "░▒▓█", ".:*#"
"""For a cell of a heat map: up to a quarter of the largest, up to a half, …"""

HEAT_CELL = 3
"""How many columns a cell of a heat map takes."""


class Grid:
    """A value's cells as text in rows and columns. Slices of n-d arrays follow one another.

    A scalar is one cell and a vector one row, as in `format_matrix`.
    """

    def __init__(self, value: Value, before: Grid | None = None) -> None:
        """`before` is the grid of an earlier value: what has not changed is not formatted anew."""
        self.value = value
        array = np.asarray(value, dtype=np.float64)
        self.shape: tuple[int, ...] = array.shape
        across = np.atleast_2d(array)
        self.columns = across.shape[-1]
        self.rows = math.prod(across.shape[:-1])
        self._cells = across.reshape(self.rows, self.columns)
        self.slice_rows = across.shape[-2]
        """How many rows a slice has; all of them, if there are no more than two axes."""
        self._texts: list[list[str]] | None = None
        self.widths = [WIDEST] * self.columns
        if array.size <= ALIGNED_CELLS:
            self._texts = self._format(before)
            self.widths = [len(column[0]) if column else 0 for column in self._texts]

    def _format(self, before: Grid | None) -> list[list[str]]:
        """The texts, a list for each column."""
        if before is None or before._texts is None or before.shape != self.shape:
            return [list(column) for column in zip(*format_matrix(self._cells), strict=True)]
        texts = list(before._texts)
        same = (self._cells == before._cells) & (np.signbit(self._cells) == before._signs)
        for column in np.flatnonzero(~same.all(axis=0)).tolist():
            texts[column] = [row[0] for row in format_matrix(self._cells[:, [column]])]
        return texts

    @property
    def _signs(self) -> Any:
        return np.signbit(self._cells)  # 0 and −0 are equal, but not written alike

    @property
    def sliced(self) -> bool:
        """Whether there are more than two axes, so that each slice has a line with its index."""
        return len(self.shape) > 2

    @property
    def height(self) -> int:
        """How many lines it takes, those that name slices included."""
        slices = self.rows // self.slice_rows if self.sliced and self.slice_rows else 0
        return self.rows + slices

    def text(self, row: int, column: int) -> str:
        """A cell, as wide as its column."""
        if self._texts is not None:
            return self._texts[column][row]
        return format_number(float(self._cells[row, column])).rjust(WIDEST)

    def number(self, row: int, column: int) -> float:
        """A cell's number."""
        return float(self._cells[row, column])

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest of the finite cells; nan if there are none."""
        finite = self._cells[np.isfinite(self._cells)]
        if not finite.size:
            return math.nan, math.nan
        return float(finite.min()), float(finite.max())

    @property
    def scale(self) -> float:
        """The largest distance from 0: the darkest shade."""
        low, high = self.ends
        return max(abs(low), abs(high))

    def index(self, row: int, column: int) -> tuple[int, ...]:
        """The index of a cell in the value; () for a scalar."""
        if not self.shape:
            return ()
        outer = np.unravel_index(row, self.shape[:-1]) if len(self.shape) > 1 else ()
        return (*(int(i) for i in outer), column)

    def place(self, index: tuple[int, ...]) -> tuple[int, int]:
        """The row and column of the cell with an index."""
        if not index:
            return 0, 0
        row = 0
        for i, length in zip(index[:-1], self.shape[:-1], strict=True):
            row = row * length + i
        return row, index[-1]

    def has(self, index: tuple[int, ...]) -> bool:
        """Whether there is a cell with this index."""
        return len(index) == len(self.shape) and all(
            0 <= i < length for i, length in zip(index, self.shape, strict=True)
        )

    def line_of(self, row: int) -> int:
        """The line of a row."""
        return row + row // self.slice_rows + 1 if self.sliced else row

    def row_at(self, line: int) -> int | None:
        """The row on a line; None where a slice's index stands."""
        if not self.sliced:
            return line
        slice_number, within = divmod(line, self.slice_rows + 1)
        return slice_number * self.slice_rows + within - 1 if within else None

    def slice_text(self, line: int) -> str:
        """The index of the slice that begins on a line: `[1, :, :]`."""
        outer = np.unravel_index(line // (self.slice_rows + 1), self.shape[:-2])
        return f"[{', '.join(str(int(i)) for i in outer)}, :, :]"


def heat_text(number: float, scale: float, *, ascii: bool = False) -> str:
    """A cell of a heat map: ever denser shades away from 0, with a − in it below 0.

    `▒▒▒` is up to half of the scale, `▒−▒` the same below 0; ` 0 ` is exactly 0.
    """
    if math.isnan(number):
        return " ? "
    if math.isinf(number):
        if ascii:
            return "inf" if number > 0 else "-in"
        return " ∞ " if number > 0 else "−∞ "
    if number == 0:
        return " 0 "
    shades = SHADES_ASCII if ascii else SHADES
    # A tiny number beside a huge one still has the first shade: it is not 0.
    share = abs(number) / scale if scale else 0.0
    shade = shades[min(3, max(0, math.ceil(share * 4) - 1))]
    middle = shade if number > 0 else ("-" if ascii else "−")
    return shade + middle + shade


def seen_size(view: ScrollView, content: Size) -> Size:
    """How much of a view is not covered by scrollbars, when it shows content of this size.

    `view.size` counts the scrollbars in, and they come and go without a resize event.
    """
    width, height = view.size
    beside, below = view.styles.scrollbar_size_vertical, view.styles.scrollbar_size_horizontal
    if content.height > height:
        width -= beside
    if content.width > width:
        height -= below
        if content.height > height and width == view.size.width:
            width -= beside
    return Size(max(0, width), max(0, height))


class MatrixView(ScrollView, can_focus=True):
    """Shows a value cell by cell, with indices at its edges. One cell is chosen."""

    ALLOW_SELECT = False

    HELP = """
    # A value, cell by cell

    Rows are numbered at the left, columns above, from 0 as in the code. The line at the bottom
    has the chosen cell's number in full.

    **Arrow keys** or a **click** choose a cell; **Home** and **End** go to the row's ends,
    **Ctrl+Home** and **Ctrl+End** to the first and the last cell, **PgUp** and **PgDn** a
    screenful. For a gradient, the terms that make the chosen cell are shown beside.

    As a **heat map** (`m`) each cell is a shade: the denser, the farther from 0, in quarters of the
    largest distance; a − in it says that it is below 0.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, f"move('{where}')", text, show=False, id=f"matrix.{where}", tooltip=tip)
        for keys, where, text, tip in (
            ("up,k", "up", "Up", "To the cell above"),
            ("down,j", "down", "Down", "To the cell below"),
            ("left,h", "left", "Left", "To the cell on the left"),
            ("right,l", "right", "Right", "To the cell on the right"),
            ("home", "row_start", "Row start", "To the first cell of the row"),
            ("end", "row_end", "Row end", "To the last cell of the row"),
            ("pageup", "page_up", "Page up", "A screenful up"),
            ("pagedown", "page_down", "Page down", "A screenful down"),
            ("ctrl+home", "first", "First cell", "To the first cell"),
            ("ctrl+end", "last", "Last cell", "To the last cell"),
        )
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "matrix--cell",
        "matrix--heading",
        "matrix--heading-chosen",
        "matrix--cursor",
        "matrix--cursor-blurred",
        "matrix--status",
        "matrix--number",
        "matrix--above",
        "matrix--below",
    }

    DEFAULT_CSS = """
    MatrixView {
        background: $background;
        color: $foreground;
        border-top: solid $panel;
        border-title-color: $foreground 70%;
        scrollbar-size: 1 1;
        scrollbar-background: $background;
        scrollbar-color: $panel;
        scrollbar-corner-color: $background;
    }
    MatrixView:focus { border-top: heavy $accent; border-title-style: bold; }
    MatrixView > .matrix--cell { color: $foreground; }
    MatrixView > .matrix--heading { color: $foreground 50%; }
    MatrixView > .matrix--heading-chosen { color: $accent; text-style: bold; }
    MatrixView > .matrix--cursor { color: $accent; text-style: bold reverse; }
    MatrixView > .matrix--cursor-blurred { color: $foreground; text-style: bold underline; }
    MatrixView > .matrix--status { color: $foreground 60%; }
    MatrixView > .matrix--number { color: $foreground; text-style: bold; }
    MatrixView > .matrix--above { color: $text-primary; }
    MatrixView > .matrix--below { color: $text-error; }
    """

    ascii: reactive[bool] = reactive(False, init=False)
    """Whether only ASCII characters are drawn."""

    heat: reactive[bool] = reactive(False, init=False)
    """Whether the cells are shades instead of numbers."""

    class CellSelected(Message):
        """Another cell was chosen."""

        def __init__(self, view: MatrixView, index: tuple[int, ...]) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> MatrixView:
            """The view, for `@on` with a selector."""
            return self.view

    def __init__(
        self, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._grid: Grid | None = None
        self._offsets: list[int] = []  # where each column begins, and where the last one ends
        self._row = self._column = 0
        self._strips: dict[int, Strip] = {}

    # ── content ───────────────────────────────────────────────────────────────────────────

    def set_matrix(self, value: Value | None) -> None:
        """Show a value, or nothing. The chosen cell stays, if there still is one there."""
        before = self._grid
        grid = self._grid = None if value is None else Grid(value, before)
        self._strips.clear()
        if grid is None or not grid.rows or not grid.columns:
            self._offsets = []
            self.virtual_size = Size(0, 0)
            self.refresh()
            return
        if before is None or not before.has(self.cell) or before.shape != grid.shape:
            self._row = self._column = 0
        self._arrange(grid)

    def _arrange(self, grid: Grid) -> None:
        """Say where each column begins, and how much there is to scroll."""
        # A column is not narrower than its index above it.
        if self.heat:
            width = max(HEAT_CELL, len(str(grid.columns - 1)) + 1)
            widths = [width] * grid.columns
        else:
            widths = [max(w, len(str(j))) + 2 for j, w in enumerate(grid.widths)]
        self._offsets = list(accumulate(widths, initial=self._margin))
        height = grid.height + self._headings + self._footer
        self.virtual_size = Size(max(self._offsets[-1], 0), height)
        self.refresh()

    def watch_heat(self) -> None:
        self._strips.clear()
        if self._grid is not None and self._offsets:
            self._arrange(self._grid)
            self._keep_in_view()

    @property
    def value(self) -> Value | None:
        """What is shown."""
        return None if self._grid is None else self._grid.value

    @property
    def cell(self) -> tuple[int, ...]:
        """The index of the chosen cell; () for a scalar, or if nothing is shown."""
        if self._grid is None or not self._offsets:
            return ()
        return self._grid.index(self._row, self._column)

    def select(self, index: tuple[int, ...]) -> None:
        """Choose a cell without a message. An index that there isn't is ignored."""
        if self._grid is not None and self._offsets and self._grid.has(index):
            self._move_to(*self._grid.place(index), tell=False)

    @property
    def _seen(self) -> Size:
        """How much is not covered by scrollbars."""
        return seen_size(self, self.virtual_size)

    @property
    def _headings(self) -> int:
        """How many lines the column indices take."""
        return 1 if self._grid is not None and self._grid.shape else 0

    @property
    def _footer(self) -> int:
        """How many lines below are no cells: the chosen cell's number, and the legend."""
        return 2 if self.heat else 1

    @property
    def _margin(self) -> int:
        """How many columns the row indices take, on the left."""
        grid = self._grid
        if grid is None or len(grid.shape) < 2:
            return 1
        return len(str(max(0, grid.slice_rows - 1))) + 2

    # ── painting ──────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        self.ascii = bool(getattr(self.app, "ascii", False))

    def watch_ascii(self) -> None:
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        self._strips.clear()

    def on_blur(self) -> None:
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        width, height = self._seen
        scroll_x, scroll_y = self.scroll_offset
        base = self.rich_style
        if self._grid is None or not self._offsets:
            text = "empty" if self._grid is not None else "not known yet"
            words = f" {text}" if y == 0 else ""
            style = self.get_component_rich_style("matrix--status")
            return Strip([Segment(words, style)]).extend_cell_length(width, base).crop(0, width)
        if y == height - 1 and height > 2:
            return self._status(width)
        if self.heat and y == height - 2 and height > 3:
            return self._legend(width)
        # The column indices stay where they are.
        heading = y < self._headings and height > 2
        line = -1 if heading else y + scroll_y - self._headings
        margin = self._margin
        whole = self._strip(line)
        left = whole.crop(0, margin)  # and so do the row indices
        right = whole.crop(margin + scroll_x, scroll_x + width)
        return Strip.join([left, right]).crop_extend(0, width, base)

    def _strip(self, line: int) -> Strip:
        strip = self._strips.get(line)
        if strip is None:
            if len(self._strips) > 2000:
                self._strips.clear()
            strip = self._strips[line] = self._paint(line)
        return strip

    def _paint(self, line: int) -> Strip:
        grid = self._grid
        assert grid is not None
        base, style = self.rich_style, self.get_component_rich_style
        if line >= grid.height:
            return Strip([Segment("", base)])
        if line < 0:
            return self._paint_indices(grid)
        row = grid.row_at(line)
        if row is None:
            text = f" {grid.slice_text(line)}"
            return Strip([Segment(self._plain(text), style("matrix--heading"))])
        chosen = row == self._row
        heading = style("matrix--heading-chosen" if chosen else "matrix--heading")
        number = str(row % grid.slice_rows) if len(grid.shape) > 1 else ""
        segments = [Segment(f"{number:>{self._margin - 1}} ", heading)]
        cell, cursor = style("matrix--cell"), self._cursor_style()
        # Only what can be seen, with some to the left and right: a row may have very many cells.
        first, last = self._seen_columns()
        if first:
            segments.append(Segment(" " * (self._offsets[first] - self._offsets[0]), base))
        for column in range(first, last):
            width = self._offsets[column + 1] - self._offsets[column]
            at_cursor = chosen and column == self._column
            if self.heat:
                segments.append(self._heat_cell(grid.number(row, column), width, at_cursor))
                continue
            text = f"{grid.text(row, column):>{width - 1}} "
            segments.append(Segment(self._plain(text), cursor if at_cursor else cell))
        return Strip(segments)

    def _heat_cell(self, number: float, width: int, at_cursor: bool) -> Segment:
        assert self._grid is not None
        text = heat_text(number, self._grid.scale, ascii=self.ascii)
        text = text[0] * ((width - HEAT_CELL) // 2) + text
        text += text[-1] * (width - len(text))
        name = "below" if number < 0 else "above" if number > 0 else "heading"
        style = self.get_component_rich_style(f"matrix--{name}")
        if at_cursor:  # brackets, as a shade turned round is another shade
            text = f"[{text[1:-1]}]"
            style += Style(bold=True) if self.has_focus else Style(underline=True)
        return Segment(text, style)

    def _legend(self, width: int) -> Strip:
        """What the shades mean, and the ends of what there is."""
        assert self._grid is not None
        ends = (*self._grid.ends, self._grid.scale)
        low, high, scale = (format_number(end).replace("-", "−") for end in ends)
        style = self.get_component_rich_style
        status = style("matrix--status")
        shades = SHADES_ASCII if self.ascii else SHADES
        darkest, darker = shades[-1], shades[-2]
        segments = [
            Segment(self._plain(f" {low} to {high}   "), status),
            Segment(darkest, style("matrix--above")),
            Segment(self._plain(f" ±{scale}   "), status),
            Segment(f"{darker}{self._plain('−')}{darker}", style("matrix--below")),
            Segment(" < 0", status),
        ]
        return Strip(segments).crop_extend(0, width, self.rich_style)

    def _paint_indices(self, grid: Grid) -> Strip:
        plain_style = self.get_component_rich_style("matrix--heading")
        chosen = self.get_component_rich_style("matrix--heading-chosen")
        segments = [Segment(" " * self._margin, plain_style)]
        first, last = self._seen_columns()
        if first:
            segments.append(Segment(" " * (self._offsets[first] - self._offsets[0]), plain_style))
        for column in range(first, last):
            width = self._offsets[column + 1] - self._offsets[column]
            here = chosen if column == self._column else plain_style
            text = f"{column:^{width}}" if self.heat else f"{column:>{width - 1}} "
            segments.append(Segment(text, here))
        return Strip(segments)

    def _seen_columns(self) -> tuple[int, int]:
        """The first column that may be seen, and the one after the last."""
        if len(self._offsets) <= 200:
            return 0, len(self._offsets) - 1
        start = self._margin + self.scroll_offset.x
        first = max(0, bisect_right(self._offsets, start) - 1)
        last = bisect_right(self._offsets, start + self._seen.width)
        return first, min(last, len(self._offsets) - 1)

    def _cursor_style(self) -> Style:
        name = "matrix--cursor" if self.has_focus else "matrix--cursor-blurred"
        return self.get_component_rich_style(name)

    def _status(self, width: int) -> Strip:
        assert self._grid is not None
        style, number = (
            self.get_component_rich_style(f"matrix--{name}") for name in ("status", "number")
        )
        index = f"[{', '.join(map(str, self.cell))}]" if self.cell else ""
        exact = format_exact(self._grid.number(self._row, self._column))
        segments = [Segment(f" {index} = " if index else " = ", style), Segment(exact, number)]
        return Strip(segments).crop_extend(0, width, self.rich_style)

    def _plain(self, text: str) -> str:
        return plain(text, self.ascii)

    # ── moving ────────────────────────────────────────────────────────────────────────────

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        if len(self._offsets) > 200:  # the lines hold only what could be seen
            self._strips.clear()
        super().watch_scroll_x(old_value, new_value)

    def action_move(self, where: str) -> None:
        """Choose another cell."""
        grid = self._grid
        if grid is None or not self._offsets:
            return
        last_row, last_column = grid.rows - 1, grid.columns - 1
        page = max(1, self._seen.height - self._headings - self._footer - 1)
        row, column = {
            "up": (self._row - 1, self._column),
            "down": (self._row + 1, self._column),
            "left": (self._row, self._column - 1),
            "right": (self._row, self._column + 1),
            "row_start": (self._row, 0),
            "row_end": (self._row, last_column),
            "page_up": (self._row - page, self._column),
            "page_down": (self._row + page, self._column),
            "first": (0, 0),
            "last": (last_row, last_column),
        }[where]
        self._move_to(max(0, min(row, last_row)), max(0, min(column, last_column)))

    def _move_to(self, row: int, column: int, *, tell: bool = True) -> None:
        grid = self._grid
        assert grid is not None
        if (row, column) == (self._row, self._column):
            return
        before, self._row, self._column = self._row, row, column
        lines = [grid.line_of(before), grid.line_of(row), -1]
        regions = []
        for line in lines:
            self._strips.pop(line, None)
            y = 0 if line < 0 else line + self._headings - self.scroll_offset.y
            regions.append(Region(0, y, self._seen.width, 1))
        regions.append(Region(0, self._seen.height - 1, self._seen.width, 1))
        seen = self._seen.region
        self.refresh(*(r for r in (region.intersection(seen) for region in regions) if r))
        self._keep_in_view()
        if tell:
            self.post_message(self.CellSelected(self, self.cell))

    def _keep_in_view(self) -> None:
        grid = self._grid
        assert grid is not None
        line = grid.line_of(self._row)
        if grid.sliced and self._row % grid.slice_rows == 0:
            line -= 1  # the slice's index, too
        lines = 1 + grid.line_of(self._row) - line
        room = max(1, self._seen.height - self._headings - self._footer)
        scroll_x, scroll_y = self.scroll_offset
        y = min(line, max(scroll_y, line + lines - room))
        left = self._offsets[self._column] - self._margin
        right = self._offsets[self._column + 1]
        x = min(left, max(scroll_x, right - self._seen.width))
        if (x, y) != (scroll_x, scroll_y):
            self.scroll_to(x, y, animate=False, force=True)

    def on_resize(self) -> None:
        self._strips.clear()
        if self._offsets:
            self._keep_in_view()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        grid = self._grid
        if offset is None or grid is None or not self._offsets:
            return
        height = self._seen.height
        line = offset.y + self.scroll_offset.y - self._headings
        below = self._footer if height > 3 else 1
        if height > 2 and (offset.y < self._headings or offset.y >= height - below):
            return
        row = grid.row_at(line) if 0 <= line < grid.height else None
        x = offset.x + (self.scroll_offset.x if offset.x >= self._margin else 0)
        column = bisect_right(self._offsets, x) - 1
        if row is not None and 0 <= column < grid.columns:
            event.stop()
            self._move_to(row, column)
