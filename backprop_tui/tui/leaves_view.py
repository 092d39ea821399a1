"""All inputs, weights and sizes of a lesson, cell by cell, to look at and to edit.

One widget draws everything. *Blocks* (a list of scalars, or one matrix) know their own text and
cells; `arrange` puts them into columns; the view paints the lines that are seen, and on top of
them what is being typed and why it was refused.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from backprop_tui.lessons.base import AtLeast, Lesson, default_leaves
from backprop_tui.lessons.base import Size as LessonSize
from backprop_tui.session import EditRefused, check_leaf
from backprop_tui.tui.glyphs import plain

# ── nudging ───────────────────────────────────────────────────────────────────────────────────
from backprop_tui.tui.leaves_editing import (
    SHORT,
    STARTERS,
    Draft,
    nudged,
    one_number,
    read_size,
)
from backprop_tui.tui.leaves_layout import (
    MEANINGS,
    Block,
    Box,
    MatrixBlock,
    Placed,
    ScalarBlock,
    Spot,
    arrange,
    cut,
    make_blocks,
    narrow,
)
from backprop_tui.tui.matrix_view import seen_size
from backprop_tui.values import (
    BadValue,
    Value,
    format_exact,
    parse_number,
    parse_value,
)


class LeavesView(ScrollView, can_focus=True):
    """Shows all leaves and sizes of a lesson and lets one edit them.

    It holds no values of its own: an edit is posted as a message, and whoever owns the values
    answers with `set_content`, or with `refuse` and the reason.
    """

    ALLOW_SELECT = False

    HELP = """
    # Leaves

    The inputs and weights of this lesson, and above them its sizes. Everything can be changed;
    values, gradients and torch follow at once. A star marks what differs from the lesson's own
    numbers.

    **Move** with the arrow keys, also from one leaf into the next. The line at the bottom
    has the chosen number in full.

    **Edit**: just type a number, or press **Enter** to change the one that is there. **Enter**
    keeps it, **Tab** keeps it and goes to the next cell, **Esc** leaves it as it was.
    `1/3` and `1e-3` are numbers, too. A click on the chosen cell edits it as well.

    **Nudge** with `]` and `[` (or **Shift+↑** and **Shift+↓**): by 0.1, for large numbers by more;
    `}` and `{` ten times as far, **Ctrl+↑** and **Ctrl+↓** a tenth of it.
    **Ctrl** and the mouse wheel over a number do the same.

    **Paste** one number into a cell, or a whole vector or matrix into a leaf: JSON, what NumPy
    or PyTorch print, or cells from a spreadsheet.

    `r` puts the chosen leaf, or size, back to the lesson's own.
    """

    NUDGE: ClassVar[Binding.Group] = Binding.Group("Nudge", compact=True)

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,f2", "edit", "Edit", id="leaves.edit", key_display="enter",
                tooltip="Change the number in the chosen cell; or just type another one"),
        Binding("enter", "commit", "Keep", id="leaves.commit", key_display="enter",
                tooltip="Take the number that was typed"),
        Binding("tab", "commit_and_next", "Keep, next cell", id="leaves.commit_next",
                key_display="tab", tooltip="Take the number and go to the next cell"),
        Binding("shift+tab", "commit_and_previous", "Keep, cell before", show=False,
                id="leaves.commit_previous", tooltip="Take the number and go to the cell before"),
        Binding("escape", "cancel", "Leave as it was", id="leaves.cancel", key_display="esc",
                tooltip="Forget what was typed"),
        Binding("left_square_bracket,shift+down", "nudge('-1')", "Less", id="leaves.less",
                key_display="[", group=NUDGE, tooltip="A little less"),
        Binding("right_square_bracket,shift+up", "nudge('1')", "More", id="leaves.more",
                key_display="]", group=NUDGE, tooltip="A little more"),
        Binding("left_curly_bracket", "nudge('-10')", "Much less", show=False,
                id="leaves.much_less", key_display="{", tooltip="Less, ten times as far"),
        Binding("right_curly_bracket", "nudge('10')", "Much more", show=False,
                id="leaves.much_more", key_display="}", tooltip="More, ten times as far"),
        Binding("ctrl+down,alt+down", "nudge('-0.1')", "Slightly less", show=False,
                id="leaves.slightly_less", tooltip="Less, a tenth as far"),
        Binding("ctrl+up,alt+up", "nudge('0.1')", "Slightly more", show=False,
                id="leaves.slightly_more", tooltip="More, a tenth as far"),
        Binding("r", "reset", "Reset leaf", id="leaves.reset",
                tooltip="Put the chosen leaf, or size, back to the lesson's own"),
        *(
            Binding(keys, f"move('{where}')", text, show=False, id=f"leaves.{where}", tooltip=tip)
            for keys, where, text, tip in (
                ("up", "up", "Up", "To the cell above"),
                ("down", "down", "Down", "To the cell below"),
                ("left", "left", "Left", "To the cell on the left"),
                ("right", "right", "Right", "To the cell on the right"),
                ("home", "row_start", "Row start", "To the first cell of the row"),
                ("end", "row_end", "Row end", "To the last cell of the row"),
                ("pageup", "leaf_before", "Leaf before", "To the leaf before"),
                ("pagedown", "leaf_after", "Next leaf", "To the next leaf"),
                ("ctrl+home", "first", "First cell", "To the first cell of all"),
                ("ctrl+end", "last", "Last cell", "To the last cell of all"),
            )
        ),
    ]  # fmt: skip

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "leaves--name",
        "leaves--name-chosen",
        "leaves--shape",
        "leaves--meaning",
        "leaves--edited",
        "leaves--bracket",
        "leaves--cell",
        "leaves--cursor",
        "leaves--cursor-blurred",
        "leaves--draft",
        "leaves--caret",
        "leaves--draft-refused",
        "leaves--refusal",
        "leaves--status",
        "leaves--status-name",
        "leaves--status-number",
        "leaves--status-refusal",
    }

    DEFAULT_CSS = """
    LeavesView {
        background: $background;
        color: $foreground;
        border-top: solid $panel;
        border-title-color: $foreground 70%;
        scrollbar-size: 1 1;
        scrollbar-background: $background;
        scrollbar-color: $panel;
        scrollbar-corner-color: $background;
    }
    LeavesView:focus { border-top: heavy $accent; border-title-style: bold; }
    LeavesView > .leaves--name { color: $text-primary; text-style: bold; }
    LeavesView > .leaves--name-chosen { color: $accent; text-style: bold underline; }
    LeavesView > .leaves--shape { color: $foreground 60%; }
    LeavesView > .leaves--meaning { color: $foreground 60%; }
    LeavesView > .leaves--edited { color: $text-warning; text-style: bold; }
    LeavesView > .leaves--bracket { color: $foreground 45%; }
    LeavesView > .leaves--cell { color: $foreground; }
    LeavesView > .leaves--cursor { color: $accent; text-style: bold reverse; }
    LeavesView > .leaves--cursor-blurred { color: $foreground; text-style: bold underline; }
    LeavesView > .leaves--draft { background: $panel; color: $foreground; text-style: bold; }
    LeavesView > .leaves--caret { color: $accent; text-style: bold reverse; }
    LeavesView > .leaves--draft-refused {
        background: $error-muted; color: $text-error; text-style: bold;
    }
    LeavesView > .leaves--refusal { background: $error-muted; color: $text-error; }
    LeavesView > .leaves--status { color: $foreground 60%; }
    LeavesView > .leaves--status-name { color: $foreground 80%; }
    LeavesView > .leaves--status-number { color: $foreground; text-style: bold; }
    LeavesView > .leaves--status-refusal { color: $text-error; text-style: bold; }
    """

    ascii: reactive[bool] = reactive(False, init=False)
    """Whether only ASCII characters are drawn."""

    class Edited(Message):
        """Base of this view's messages."""

        def __init__(self, view: LeavesView, name: str) -> None:
            super().__init__()
            self.view = view
            self.name = name

        @property
        def control(self) -> LeavesView:
            """The view, for `@on` with a selector."""
            return self.view

    class CellEdited(Edited):
        """A cell of a leaf shall have another number; the index of a scalar is ()."""

        def __init__(
            self, view: LeavesView, name: str, index: tuple[int, ...], number: float
        ) -> None:
            super().__init__(view, name)
            self.index = index
            self.number = number

    class LeafPasted(Edited):
        """A leaf shall have another value."""

        def __init__(self, view: LeavesView, name: str, value: Value) -> None:
            super().__init__(view, name)
            self.value = value

    class SizeEdited(Edited):
        """A size shall have another number."""

        def __init__(self, view: LeavesView, name: str, number: int) -> None:
            super().__init__(view, name)
            self.number = number

    class ResetRequested(Edited):
        """A leaf shall be put back to the lesson's own value."""

    def __init__(
        self, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._lesson: Lesson | None = None
        self._leaves: Mapping[str, Value] = {}
        self._sizes: Mapping[str, int] = {}
        self._defaults: tuple[tuple[Lesson, dict[str, int]], dict[str, Value]] | None = None
        self._blocks: list[Block] = []
        self._placed: list[Placed] = []
        self._spot: Spot | None = None
        self._draft: Draft | None = None
        self._refusal = ""
        """Why something that was not typed was refused, until the next key."""
        self._submitted: Draft | None = None
        """What was typed and posted, until it is answered."""
        self._posted: list[float] = []
        """Numbers of the chosen cell that were posted by nudging and not yet answered."""
        self._strips: dict[int, Strip] = {}

    # ── content ───────────────────────────────────────────────────────────────────────────

    def set_content(
        self,
        leaves: Mapping[str, Value],
        sizes: Mapping[str, int],
        lesson: Lesson,
        changed: Iterable[str] | None = None,
    ) -> None:
        """Show these leaves and sizes; what is being typed stays.

        `changed` are the leaves that differ from the lesson's own; found out if it is None.
        """
        another = lesson is not self._lesson
        if another:
            self._draft = None
            self._spot = None
        self._lesson, self._leaves, self._sizes = lesson, leaves, sizes
        self._refusal, self._submitted = "", None
        names = self._changed() if changed is None else frozenset(changed)
        before = [] if another else self._blocks
        self._blocks = make_blocks(leaves, sizes, lesson, names, before)
        self._choose_again()
        self._answer_nudges()
        self._show_blocks(before)

    def lines_needed(self, width: int, most: int) -> int:
        """How many lines are enough to show everything at once, up to `most`."""
        placed = arrange(self._blocks, width, most - 1)
        bottom = max((p.y + p.block.height for p in placed), default=0)
        return min(most, bottom + 1)  # and the line at the bottom

    def refuse(self, message: str) -> None:
        """Say, next to the cell, why the last edit was not taken."""
        submitted, self._submitted = self._submitted, None
        self._posted.clear()
        if submitted is not None and self._find(submitted.spot) is not None:
            self._choose(submitted.spot)
            submitted.refusal = message
            self._draft = submitted
        elif self._draft is not None:
            self._draft.refusal = message
        else:
            self._refusal = message
        self._overlay_changed()
        self._bindings_changed()

    @property
    def spot(self) -> Spot | None:
        """The chosen cell."""
        return self._spot

    @property
    def chosen_leaf(self) -> str | None:
        """The leaf that the chosen cell belongs to; None for a size."""
        return None if self._spot is None or self._spot.is_size else self._spot.name

    @property
    def chosen_index(self) -> tuple[int, ...]:
        """The index of the chosen cell; () for a number."""
        return () if self._spot is None else self._spot.index

    @property
    def editing(self) -> bool:
        """Whether a number is being typed."""
        return self._draft is not None

    @property
    def refusal(self) -> str:
        """Why something was refused, as it is shown now."""
        return self._draft.refusal if self._draft is not None else self._refusal

    def select(self, name: str, index: tuple[int, ...] = ()) -> None:
        """Choose a cell of a leaf, or a size. What there isn't is ignored."""
        for spot in (Spot(name, index), Spot(name, (), True)):
            if self._find(spot) is not None:
                self._choose(spot)
                return

    def _changed(self) -> frozenset[str]:
        """The leaves that differ from the lesson's own."""
        assert self._lesson is not None
        key = (self._lesson, dict(self._sizes))
        if self._defaults is None or self._defaults[0] != key:
            self._defaults = (key, default_leaves(self._lesson, self._sizes))
        defaults = self._defaults[1]
        return frozenset(
            name
            for name, value in self._leaves.items()
            if not np.array_equal(value, defaults[name], equal_nan=True)
        )

    def _choose_again(self) -> None:
        """After a change of the content: the same cell, or one close to it."""
        spot = self._spot
        if spot is not None and self._find(spot) is None:
            value = self._leaves.get(spot.name)
            shape = np.shape(value) if value is not None else ()
            index = tuple(min(i, n - 1) for i, n in zip(spot.index, shape, strict=False))
            near = Spot(spot.name, (*index, *(0 for _ in shape[len(index) :])))
            self._draft = None
            self._posted.clear()
            self._spot = near if self._find(near) is not None else None
            self._bindings_changed()
        if self._spot is None and self._blocks:
            # A leaf is what one comes for; a size changes the whole program.
            spots = [spot for block in self._blocks for spot in self._first_spots(block)]
            self._spot = next((s for s in spots if not s.is_size), spots[0] if spots else None)

    @staticmethod
    def _first_spots(block: Block) -> Iterator[Spot]:
        """Enough cells of a block to know whether there is a leaf's."""
        if isinstance(block, ScalarBlock):
            yield from block.spots()
        elif block.grid.rows and block.grid.columns:
            yield Spot(block.name, block.grid.index(0, 0))

    def _answer_nudges(self) -> None:
        if self._posted and self._spot is not None:
            number = self._number(self._spot)
            if number in self._posted:
                del self._posted[: self._posted.index(number) + 1]
            else:
                self._posted.clear()

    def _find(self, spot: Spot) -> Block | None:
        """The block that a cell is in."""
        for block in self._blocks:
            if isinstance(block, ScalarBlock):
                if block.row_of(spot) is not None:
                    return block
            elif block.name == spot.name and not spot.is_size:
                return block if block.grid.has(spot.index) else None
        return None

    def _number(self, spot: Spot) -> float:
        block = self._find(spot)
        assert block is not None
        return block.number(spot)

    # ── layout ────────────────────────────────────────────────────────────────────────────

    @property
    def _seen(self) -> Size:
        """How much is not covered by scrollbars."""
        return seen_size(self, self.virtual_size)

    @property
    def _has_status(self) -> bool:
        """Whether there is room for the line at the bottom."""
        return self._seen.height > 2

    @property
    def _room(self) -> int:
        """How many lines of the content are seen at once."""
        return max(1, self._seen.height - (1 if self._has_status else 0))

    def _show_blocks(self, before: Sequence[Block]) -> None:
        """Paint what has changed; lay out anew only if a block has another size."""
        same_sizes = len(before) == len(self._blocks) and all(
            (a.height, a.wide, *map(a.need, MEANINGS)) == (b.height, b.wide, *map(b.need, MEANINGS))
            for a, b in zip(before, self._blocks, strict=True)
        )
        if not same_sizes or not self._placed:
            self._lay_out()
            return
        placed: list[Placed] = []
        for old, block in zip(self._placed, self._blocks, strict=True):
            if old.block is not block:
                self._drop_changed_lines(old, block)
            placed.append(Placed(block, old.x, old.y, old.width, old.column))
        self._placed = placed
        self._overlay_changed()

    def _drop_changed_lines(self, old: Placed, block: Block) -> None:
        """Repaint the lines in which two blocks of one size differ, if they have been seen."""
        seen = self._columns_seen(old.x)
        for y in [y - old.y for y in self._strips if 0 <= y - old.y < block.height]:
            texts = [b.line(y, old.width, None, seen) for b in (old.block, block)]
            if texts[0] != texts[1]:
                self._refresh_line(old.y + y)

    def _columns_seen(self, x: int) -> range:
        """The columns of the screen that are seen, counted from a block's left edge."""
        left = self.scroll_offset.x - x
        return range(left, left + self._seen.width)

    def _lay_out(self) -> None:
        self._strips.clear()
        self._arrange(self.size)
        if self.size and self._seen.width < self.size.width:  # there is a scrollbar beside
            self._arrange(self._seen)
        self.refresh()
        self._keep_in_view()

    def _arrange(self, size: Size) -> None:
        status = 1 if size.height > 2 else 0
        self._placed = arrange(self._blocks, size.width, size.height - status) if size else []
        right = max((p.x + p.block.need(0) for p in self._placed), default=0)
        bottom = max((p.y + p.block.height for p in self._placed), default=0)
        self.virtual_size = Size(right, bottom + status)

    def on_resize(self) -> None:
        self._lay_out()

    def _box(self, spot: Spot) -> Box | None:
        """Where a cell is in the content."""
        block = self._find(spot)
        for placed in self._placed:
            if placed.block is block:
                x, y, width = placed.block.box(spot)
                return Box(placed.x + x, placed.y + y, width)
        return None

    def _keep_in_view(self) -> None:
        """Scroll so that the chosen cell is seen, and what stands over and under it."""
        spot = self._spot
        box = self._box(spot) if spot is not None else None
        if box is None or not self._seen.width:
            return
        top, bottom = box.y, box.y + 1
        for y in self._callout_lines():
            top, bottom = min(top, y), max(bottom, y + 1)
        block = self._find(spot) if spot is not None else None
        row = box.y - next((p.y for p in self._placed if p.block is block), 0)
        if row == 1 and self._room > bottom - top:
            top = min(top, box.y - 1)  # the heading, too
        scroll_x, scroll_y = self.scroll_offset
        y = min(top, max(scroll_y, bottom - self._room))
        right = box.x + max(box.width, self._field_width() if self._draft else 0)
        x = min(box.x - 1, max(scroll_x, right + 1 - self._seen.width))
        x = 0 if right < self._seen.width else max(0, x)
        if (x, y) != (scroll_x, scroll_y):
            self.scroll_to(x, y, animate=False, force=True)

    # ── painting ──────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        if not self.border_title:
            self.border_title = "Leaves"
        self.ascii = bool(getattr(self.app, "ascii", False))

    def watch_ascii(self) -> None:
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        self._strips.clear()

    def _style(self, role: str) -> Style:
        if role == "cursor" and not self.has_focus:
            role = "cursor-blurred"
        return self.get_component_rich_style(f"leaves--{role}")

    def _segment(self, text: str, role: str) -> Segment:
        return Segment(plain(text, self.ascii), self._style(role))

    def render_line(self, y: int) -> Strip:
        width, height = self._seen
        if self._has_status and y == height - 1:
            return self._paint_status(width)
        scroll_x, scroll_y = self.scroll_offset
        line = y + scroll_y
        strip = self._strips.get(line)
        if strip is None:
            strip = self._strips[line] = self._paint(line)
        return strip.crop_extend(scroll_x, scroll_x + width, self.rich_style)

    def _paint(self, y: int) -> Strip:
        base = self.rich_style
        segments: list[Segment] = []
        column = 0
        for placed in self._placed:
            if not 0 <= y - placed.y < placed.block.height:
                continue
            seen = self._columns_seen(placed.x)
            for x, text, role in placed.block.line(y - placed.y, placed.width, self._spot, seen):
                if not text:
                    continue
                if placed.x + x > column:
                    segments.append(Segment(" " * (placed.x + x - column), base))
                segments.append(self._segment(text, role))
                column = placed.x + x + cell_len(text)
        strip = Strip(segments or [Segment("", base)], column)
        for x, overlay in self._overlays(y):
            strip = strip.extend_cell_length(x, base)
            rest = strip.crop(x + overlay.cell_length)
            strip = Strip.join([strip.crop(0, x), overlay, rest])
        return strip

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        if any(block.long_rows for block in self._blocks):
            self._strips.clear()  # they hold only what could be seen
        super().watch_scroll_x(old_value, new_value)

    def _overlays(self, y: int) -> Iterator[tuple[int, Strip]]:
        """What is drawn over a line of the content, and where."""
        spot = self._spot
        box = self._box(spot) if spot is not None else None
        if box is None:
            return
        if self._draft is not None and y == box.y:
            field = self._paint_field(self._draft, self._field_width())
            yield self._fit_in(box.x, field.cell_length), field
        callout = self._callout_lines()
        if y in callout:
            text = callout[y]
            x = self._fit_in(box.x, len(text))
            yield x, Strip([self._segment(text, "refusal")], len(text))

    def _fit_in(self, x: int, width: int) -> int:
        """Where something of a width must begin so that it does not go past the right edge."""
        edge = max(self._seen.width, self.virtual_size.width)
        return max(0, min(x, edge - width))

    def _field_width(self) -> int:
        """How wide the field is in which one types."""
        draft = self._draft
        box = self._box(draft.spot) if draft is not None else None
        if draft is None or box is None:
            return 0
        return max(box.width, min(len(draft.text) + 3, max(8, self._seen.width - 2), 40))

    def _paint_field(self, draft: Draft, width: int) -> Strip:
        """What is being typed, with the caret; only a part of it if it is long."""
        role = "draft-refused" if draft.refusal else "draft"
        room = width - 2
        start = max(0, min(draft.caret - room + 1, len(draft.text) + 1 - room))
        shown = f"{narrow(draft.text)} "[start : start + room]
        caret = draft.caret - start
        before = " " + shown[:caret]
        after = shown[caret + 1 :]
        if start == 0 and len(draft.text) + 1 <= room and not draft.text[:1].isspace():
            # Flushed right like the numbers around it, the caret after its end.
            before = " " * (room - len(shown) + 1) + before.removeprefix(" ")
        segments = [
            self._segment(before, role),
            self._segment(shown[caret], "caret"),
            self._segment(after, role),
        ]
        return Strip(segments).crop_extend(0, width, self._style(role))

    def _callout_lines(self) -> dict[int, str]:
        """The lines next to the cell on which it is said why a number was refused."""
        message, spot = self.refusal, self._spot
        box = self._box(spot) if spot is not None and message else None
        if box is None:
            return {}
        width = max(10, min(self._seen.width - 2, 58))
        lines = textwrap.wrap(narrow(message), width - 4)[:4]
        longest = max(map(len, lines))
        shown = [
            f" {'!' if number == 0 else ' '} {line:<{longest}} "
            for number, line in enumerate(lines)
        ]
        bottom = max(self.virtual_size.height - (1 if self._has_status else 0), self._room)
        first = box.y + 1
        if first + len(shown) > bottom and box.y >= len(shown):
            first = box.y - len(shown)
        return {first + number: line for number, line in enumerate(shown)}

    def _paint_status(self, width: int) -> Strip:
        spot = self._spot
        block = self._find(spot) if spot is not None else None
        if spot is None or block is None:
            return Strip([Segment("", self.rich_style)]).crop_extend(0, width, self.rich_style)
        pieces = [(" ", "status"), (str(spot), "status-name")]
        number = format_exact(block.number(spot))
        edited = block.edited if isinstance(block, MatrixBlock) else block.is_edited(spot)
        dot = " - " if self.ascii else " · "  # in ASCII a dot is a product's star
        if self.refusal:
            pieces += [(" is still ", "status"), (number, "status-number")]
        elif self._draft is not None:
            pieces += [(" was ", "status"), (number, "status-number")]
        else:
            pieces += [(" = ", "status"), (number, "status-number"), (dot, "status")]
            pieces += [(f"edited{dot}", "edited")] if edited else []
            pieces.append((self._meaning(spot), "status"))
        segments: list[Segment] = []
        for text, role in pieces:
            segments.append(self._segment(cut(text, width), role))
            width -= cell_len(text)
            if width <= 0:
                break
        return Strip(segments).crop_extend(0, self._seen.width, self.rich_style)

    def _meaning(self, spot: Spot) -> str:
        assert self._lesson is not None
        if spot.is_size:
            size = self._size_named(spot.name)
            return f"{size.meaning}, {size.minimum} to {size.maximum}"
        return self._lesson.leaf_named(spot.name).meaning

    def _size_named(self, name: str) -> LessonSize:
        assert self._lesson is not None
        return next(size for size in self._lesson.sizes if size.name == name)

    def _refresh_line(self, y: int) -> None:
        """Repaint one line of the content, if it is seen."""
        self._strips.pop(y, None)
        row = y - self.scroll_offset.y
        if 0 <= row < self._room:
            self.refresh(Region(0, row, self._seen.width, 1))

    def _overlay_changed(self) -> None:
        """Repaint the lines of what is drawn over the content, as it was and as it is."""
        lines = {y for y, strip in self._strips.items() if y in self._overlaid}
        box = self._box(self._spot) if self._spot is not None else None
        now = set(self._callout_lines())
        if box is not None:
            now.add(box.y)
        self._overlaid = frozenset(now)
        for y in lines | now:
            self._refresh_line(y)
        if self._has_status:
            self.refresh(Region(0, self._seen.height - 1, self._seen.width, 1))
        self._keep_in_view()

    _overlaid: frozenset[int] = frozenset()
    """The lines with the chosen cell and what is drawn over them."""

    def _bindings_changed(self) -> None:
        if self.is_attached:
            self.refresh_bindings()

    # ── moving ────────────────────────────────────────────────────────────────────────────

    def _choose(self, spot: Spot) -> None:
        """Make a cell the chosen one."""
        before = self._spot
        self._refusal = ""
        if spot != before:
            self._posted.clear()
            if before is not None:
                self._refresh_names(before)
            self._spot = spot
            self._refresh_names(spot)
        self._overlay_changed()

    def _refresh_names(self, spot: Spot) -> None:
        """Repaint the lines in which a cell and its leaf's name are."""
        box = self._box(spot)
        if box is not None:
            self._refresh_line(box.y)
            block = self._find(spot)
            if isinstance(block, MatrixBlock):
                self._refresh_line(next(p.y for p in self._placed if p.block is block))

    def action_move(self, where: str) -> None:
        """Choose another cell."""
        spot = self._spot
        block = self._find(spot) if spot is not None else None
        if spot is None or block is None:
            return
        number = next(i for i, p in enumerate(self._placed) if p.block is block)
        found: Spot | None = None
        if where in ("up", "down"):
            rows = -1 if where == "up" else 1
            found = block.step(spot, rows, 0) or self._over_the_edge(spot, number + rows, rows)
        elif where in ("left", "right"):
            columns = -1 if where == "left" else 1
            found = block.step(spot, 0, columns) or self._beside(spot, number, columns)
        elif where in ("row_start", "row_end"):
            found = self._row_end(block, spot, where == "row_end")
        elif where in ("leaf_before", "leaf_after"):
            found = self._leaf_beside(spot, -1 if where == "leaf_before" else 1)
        else:
            found = self._end(where == "last")
        self._choose(found or spot)

    def _over_the_edge(self, spot: Spot, number: int, rows: int) -> Spot | None:
        """From a block's last row into the next block, or from its first into the one before."""
        if not 0 <= number < len(self._placed):
            return None
        placed = self._placed[number]
        box = self._box(spot)
        assert box is not None
        return self._nearest(placed, box, 0 if rows > 0 else placed.block.height - 1)

    def _nearest(self, placed: Placed, box: Box, line: int) -> Spot | None:
        """The cell of a block closest to a box, on a line of the block or close to it."""
        block = placed.block
        if isinstance(block, ScalarBlock):
            return block.scalars[max(0, min(line, block.height - 1))].spot
        if not block.grid.rows or not block.grid.columns:
            return None
        line = max(0, min(line - 1, block.grid.height - 1))
        row = block.grid.row_at(line)
        if row is None:  # a slice's index: the row under it
            row = block.grid.row_at(line + 1)
        return block.nearest(row or 0, box.x + box.width // 2 - placed.x)

    def _beside(self, spot: Spot, number: int, columns: int) -> Spot | None:
        """From a block's edge into the column of blocks beside it, on the same height."""
        here = self._placed[number]
        box = self._box(spot)
        assert box is not None
        others = [p for p in self._placed if p.column == here.column + columns]
        if not others:
            return None

        def distance(placed: Placed) -> int:
            return max(placed.y - box.y, box.y - (placed.y + placed.block.height - 1), 0)

        nearest = min(others, key=distance)
        return self._nearest(nearest, box, box.y - nearest.y)

    @staticmethod
    def _row_end(block: Block, spot: Spot, last: bool) -> Spot:
        if isinstance(block, ScalarBlock):
            return spot
        row, _ = block.grid.place(spot.index)
        column = block.grid.columns - 1 if last else 0
        return Spot(block.name, block.grid.index(row, column))

    def _leaf_beside(self, spot: Spot, direction: int) -> Spot | None:
        """The first cell of the leaf (or size) after or before."""
        firsts = [first for block in self._blocks for first in self._first_spots(block)]
        names = [(first.name, first.is_size) for first in firsts]
        number = names.index((spot.name, spot.is_size)) + direction
        return firsts[number] if 0 <= number < len(firsts) else None

    def _end(self, last: bool) -> Spot:
        block = self._blocks[-1 if last else 0]
        if isinstance(block, ScalarBlock):
            return block.scalars[-1 if last else 0].spot
        grid = block.grid
        row, column = (grid.rows - 1, grid.columns - 1) if last else (0, 0)
        return Spot(block.name, grid.index(row, column))

    def _in_reading_order(self, spot: Spot, direction: int) -> Spot | None:
        """The next cell, or the one before; after the end of a leaf comes the next leaf."""
        block = self._find(spot)
        if block is None:
            return None
        if isinstance(block, MatrixBlock):
            row, column = block.grid.place(spot.index)
            place = row * block.grid.columns + column + direction
            if 0 <= place < block.grid.rows * block.grid.columns:
                return Spot(block.name, block.grid.index(*divmod(place, block.grid.columns)))
        else:
            beside = block.step(spot, direction, 0)
            if beside is not None:
                return beside
        number = self._blocks.index(block) + direction
        if not 0 <= number < len(self._blocks):
            return None
        block = self._blocks[number]
        if isinstance(block, ScalarBlock):
            return block.scalars[0 if direction > 0 else -1].spot
        rows, columns = (0, 0) if direction > 0 else (block.grid.rows - 1, block.grid.columns - 1)
        return Spot(block.name, block.grid.index(rows, columns))

    # ── editing ───────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Some keys mean something only while a number is typed, others only while none is."""
        if action in ("commit", "commit_and_next", "commit_and_previous", "cancel"):
            return self._draft is not None
        if action in ("edit", "nudge", "reset", "move"):
            return self._draft is None and self._spot is not None
        return True

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Which keys never reach the screen: what begins a number, and while typing all text."""
        if character is None or not character.isprintable():
            return False
        return self._draft is not None or character in STARTERS

    def action_edit(self) -> None:
        """Start to change the number in the chosen cell."""
        if self._spot is not None:
            text = format_exact(self._number(self._spot))
            self._start(Draft(self._spot, text, len(text)))

    def _start(self, draft: Draft) -> None:
        self._draft = draft
        self._refusal, self._submitted = "", None
        self._overlay_changed()
        self._bindings_changed()

    def action_cancel(self) -> None:
        """Forget what was typed."""
        self._draft = None
        self._overlay_changed()
        self._bindings_changed()

    def action_commit(self) -> None:
        """Take what was typed, or say why not."""
        self._commit()

    def action_commit_and_next(self) -> None:
        """Take what was typed and go to the next cell."""
        self._commit_and_go(1)

    def action_commit_and_previous(self) -> None:
        """Take what was typed and go to the cell before."""
        self._commit_and_go(-1)

    def _commit_and_go(self, direction: int) -> None:
        if self._commit() and self._spot is not None:
            self._choose(self._in_reading_order(self._spot, direction) or self._spot)

    def _commit(self) -> bool:
        draft = self._draft
        if draft is None:
            return True
        spot = draft.spot
        try:
            number = self._read(spot, draft.text)
        except BadValue as bad:
            draft.refusal = str(bad)
            self._overlay_changed()
            return False
        self._draft = None
        old = self._number(spot)
        if number != old or math.copysign(1, number) != math.copysign(1, old):
            self._submitted = draft
            self._post(spot, number)
        self._overlay_changed()
        self._bindings_changed()
        return True

    def _read(self, spot: Spot, text: str) -> float:
        """What was typed for a cell, as a number. Raises BadValue."""
        return read_size(text, self._size_named(spot.name)) if spot.is_size else parse_number(text)

    def _post(self, spot: Spot, number: float) -> None:
        if spot.is_size:
            self.post_message(self.SizeEdited(self, spot.name, int(number)))
        else:
            self.post_message(self.CellEdited(self, spot.name, spot.index, number))

    def action_nudge(self, times: str) -> None:
        """Make the chosen number larger or smaller, by so many steps."""
        if self._spot is not None and self._draft is None:
            self._nudge(self._spot, Decimal(times))

    def _nudge(self, spot: Spot, times: Decimal) -> None:
        # A key held down is faster than the answers: go on from what was posted last.
        number = self._posted[-1] if self._posted else self._number(spot)
        before, self._refusal, self._submitted = self._refusal, "", None
        if spot.is_size:
            size = self._size_named(spot.name)
            by = int(times) or (1 if times > 0 else -1)
            moved: float = max(size.minimum, min(int(number) + by, size.maximum))
            if moved == number:
                self._refusal = f"{size.name} goes from {size.minimum} to {size.maximum}"
        else:
            moved = nudged(number, times)
        if self._refusal != before:
            self._overlay_changed()
        if moved != number and not math.isnan(moved):
            self._posted.append(moved)
            self._post(spot, moved)

    def action_reset(self) -> None:
        """Have the chosen leaf, or size, put back to the lesson's own."""
        spot = self._spot
        if spot is None:
            return
        self._refusal = ""
        self._overlay_changed()
        if not spot.is_size:
            self.post_message(self.ResetRequested(self, spot.name))
        elif self._number(spot) != (default := self._size_named(spot.name).default):
            self._post(spot, default)

    async def on_key(self, event: events.Key) -> None:
        """Text begins an edit or goes into it."""
        draft = self._draft
        character = event.character if event.is_printable else None
        if draft is None:
            if character is not None and character in STARTERS and self._spot is not None:
                event.stop()
                self._start(Draft(self._spot, character, 1))
            elif self._refusal:
                self._refusal = ""
                self._overlay_changed()
            return
        if character is not None:
            event.stop()
            draft.insert(character)
        elif not self._edit_key(draft, event.key):
            return
        else:
            event.stop()
        self._overlay_changed()

    def _edit_key(self, draft: Draft, key: str) -> bool:
        """Keys within the text that is typed. Says whether it was one."""
        match key:
            case "left":
                draft.move(draft.caret - 1)
            case "right":
                draft.move(draft.caret + 1)
            case "home" | "ctrl+a":
                draft.move(0)
            case "end" | "ctrl+e":
                draft.move(len(draft.text))
            case "backspace" | "ctrl+h":
                draft.delete(-1)
            case "delete":
                draft.delete(1)
            case "ctrl+u":
                draft.text, draft.caret, draft.refusal = draft.text[draft.caret :], 0, ""
            case "up" | "down":
                if self._commit():
                    self.action_move(key)
            case "space":
                draft.insert(" ")
            case _:
                return False
        return True

    def on_blur(self) -> None:
        """Going elsewhere in the app keeps what was typed; going to another window does not."""
        self._strips.clear()
        if self._draft is not None and self.app.app_focus:
            self._commit()

    def on_paste(self, event: events.Paste) -> None:
        """One number goes into the cell, more are a new value for the whole leaf."""
        event.stop()
        if self._spot is None:
            return
        self._refusal = ""
        if self._draft is not None and self._paste_into(self._draft, event.text):
            self._overlay_changed()
            return
        spot = self._spot
        try:
            self._paste(spot, event.text)
        except (BadValue, EditRefused) as refusal:
            self._draft = self._submitted = None
            self.refuse(str(refusal))

    @staticmethod
    def _paste_into(draft: Draft, text: str) -> bool:
        """Put a short piece of text into what is typed. Says whether it was one."""
        word = text.strip()
        if len(word) > SHORT or len(word.split()) != 1 or any(mark in word for mark in "[],;"):
            return False
        draft.insert(word)
        return True

    def _paste(self, spot: Spot, text: str) -> None:
        lesson = self._lesson
        assert lesson is not None
        if spot.is_size:
            number: float | None = read_size(text, self._size_named(spot.name))
        else:
            number = one_number(text)
        if number is not None:
            self._draft = None
            self._bindings_changed()
            self._overlay_changed()
            if number != self._number(spot):
                self._post(spot, number)
            return
        leaf = lesson.leaf_named(spot.name)
        flexible = leaf.free_shape or any(isinstance(n, AtLeast) for n in leaf.shape or ())
        value = parse_value(text, np.shape(self._leaves[spot.name]), flexible)
        check_leaf(lesson, spot.name, value, self._sizes)
        self._draft = None
        self._bindings_changed()
        self._overlay_changed()
        self.post_message(self.LeafPasted(self, spot.name, value))

    # ── mouse ─────────────────────────────────────────────────────────────────────────────

    def _spot_under(self, event: events.MouseEvent) -> Spot | None:
        offset = event.get_content_offset(self)
        if offset is None or (self._has_status and offset.y == self._seen.height - 1):
            return None
        x, y = offset.x + self.scroll_offset.x, offset.y + self.scroll_offset.y
        for placed in self._placed:
            inside = 0 <= y - placed.y < placed.block.height
            if inside and 0 <= x - placed.x < max(placed.width, placed.block.need(0)):
                return placed.block.spot_at(x - placed.x, y - placed.y)
        return None

    def on_click(self, event: events.Click) -> None:
        """A click chooses a cell, a click on the chosen one edits it."""
        spot = self._spot_under(event)
        if self._draft is not None:
            if spot == self._draft.spot or not self._commit():
                return
            if spot is not None:
                self._choose(spot)
        elif spot is not None:
            if spot == self._spot and (event.chain > 1 or self._clicked == spot):
                self.action_edit()
            else:
                self._choose(spot)
        self._clicked = spot

    _clicked: Spot | None = None
    """The cell clicked last: only a second click on it edits, not one that gives the focus."""

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, Decimal(1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, Decimal(-1))

    def _wheel(self, event: events.MouseEvent, times: Decimal) -> None:
        """With ctrl the wheel nudges the number under the mouse."""
        spot = self._spot_under(event) if event.ctrl else None
        if spot is None or self._draft is not None:
            return
        event.stop()
        event.prevent_default()
        self._choose(spot)
        self._nudge(spot, times)
