"""The base of our line-drawn widgets: roles as styles, and lines that are made when seen."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.segment import Segment as RichSegment
from rich.style import Style
from textual.app import App
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from backprop_tui.engine.formula import Segment
from backprop_tui.tui.glyphs import plain

ROLES = frozenset(
    {
        "value",
        "gradient",
        "number",
        "operator",
        "function",
        "plain",
        "muted",
        "title",
        "active",
        "active-forward",
        "notice",
        "agree",
        "differ",
        "lit",
        "keyword",
        "comment",
        "string",
    }
)
"""What a piece of text is. The stylesheet of `Painted` says how each looks."""


REVERSED = Style(reverse=True)
EMPHASISED = Style(bold=True, underline=True)


class Piece(NamedTuple):
    """A piece of a line on the screen."""

    text: str
    role: str = "plain"
    ref: str | None = None
    """The id of the node that it stands for, if any; a click on it inspects that node."""


Pieces = tuple[Piece, ...]


def pieces_of(segments: tuple[Segment, ...]) -> Pieces:
    """A rendered formula as pieces."""
    return tuple(Piece(s.text, s.role, s.ref) for s in segments)


def is_ascii(app: App[object]) -> bool:
    """Whether the app draws only ASCII characters."""
    return bool(getattr(app, "ascii", False))


class Painted(ScrollView, can_focus=True, inherit_bindings=False):
    """A scrolling view that paints its lines itself, only those that are seen.

    Subclasses implement `paint_line` and set `virtual_size`. Lines are cached until `repaint`.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = set(ROLES)

    # Not those of ScrollView: the arrows to the sides, home and end move the cursor in time.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_lines(-1)", "Scroll up", show=False, id="view.up"),
        Binding("down", "scroll_lines(1)", "Scroll down", show=False, id="view.down"),
        Binding("pageup", "scroll_pages(-1)", "Page up", show=False, id="view.page_up"),
        Binding("pagedown", "scroll_pages(1)", "Page down", show=False, id="view.page_down"),
    ]

    DEFAULT_CSS = """
    Painted {
        background: $background;
        color: $foreground;
        border-top: solid $panel;
        padding: 0 1;
        border-title-color: $foreground 70%;
        border-title-style: none;
        scrollbar-size: 1 1;
        scrollbar-background: $background;
        scrollbar-color: $panel;
        scrollbar-corner-color: $background;
    }
    Painted:focus { border-top: heavy $accent; border-title-style: bold; }
    Painted > .value { color: $text-primary; }
    Painted > .gradient { color: $text-warning; }
    Painted > .number { color: $foreground; }
    Painted > .operator { color: $foreground 75%; }
    Painted > .function { color: $foreground; }
    Painted > .plain { color: $foreground; }
    Painted > .muted { color: $foreground 55%; }
    Painted > .title { color: $foreground; text-style: bold; }
    Painted > .active { color: $text-warning; text-style: bold; }
    Painted > .active-forward { color: $text-primary; text-style: bold; }
    Painted > .notice { color: $text-success; }
    Painted > .agree { color: $text-success; }
    Painted > .differ { color: $text-error; text-style: bold; }
    Painted > .lit { background: $warning 25%; }
    Painted > .keyword { color: $text-secondary; text-style: bold; }
    Painted > .comment { color: $foreground 50%; text-style: italic; }
    Painted > .string { color: $text-success; }
    """

    ascii: reactive[bool] = reactive(False, init=False)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: dict[int, Strip] = {}
        self._refs: dict[int, list[tuple[int, int, str]]] = {}

    def paint_line(self, y: int) -> Pieces:
        """The pieces of one line of the content, from the left edge."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.ascii = is_ascii(self.app)

    def watch_ascii(self) -> None:
        self.repaint()

    def notify_style_update(self) -> None:
        self._lines.clear()
        super().notify_style_update()

    def style(self, role: str) -> Style:
        """A role's style on the widget's own background."""
        return self.get_component_rich_style(role)

    def repaint(self) -> None:
        """Forget all painted lines and paint anew."""
        self._lines.clear()
        self._refs.clear()
        self.refresh()

    def repaint_lines(self, first: int, last: int) -> None:
        """Paint some lines of the content anew, both included."""
        for y in range(first, last + 1):
            self._lines.pop(y, None)
        top = first - self.scroll_offset.y
        visible = Region(0, top, self.size.width, last - first + 1)
        region = visible.intersection(Region(0, 0, self.size.width, self.size.height))
        if region:
            self.refresh(region)

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        width = self.size.width
        line = y + scroll_y
        strip = self._lines.get(line)
        if strip is None:
            strip = self._lines[line] = self._strip(line)
        return strip.crop_extend(scroll_x, scroll_x + width, self.rich_style)

    def _strip(self, line: int) -> Strip:
        base = self.rich_style
        if line >= self.virtual_size.height:
            return Strip([RichSegment("", base)], 0)
        pieces = self.paint_line(line)
        segments: list[RichSegment] = []
        refs: list[tuple[int, int, str]] = []
        column = 0
        for text, role, ref in pieces:
            if not text:
                continue
            shown = plain(text, True) if self.ascii else text
            segments.append(RichSegment(shown, base + self._role_style(role)))
            width = len(text)
            if ref is not None:
                refs.append((column, column + width, ref))
            column += width
        self._refs[line] = refs
        return Strip(segments or [RichSegment("", base)])

    def _role_style(self, role: str) -> Style:
        if " " in role:  # several roles, for example "value lit"
            first, *others = role.split()
            style = self.style(first)
            for other in others:
                style = style + self.partial(other)
            return style
        return self.style(role)

    def partial(self, role: str) -> Style:
        """What a role adds to another one: its background and emphasis, not its colour."""
        if role == "cursor":
            return REVERSED
        return Style(bgcolor=self.style(role).bgcolor) + EMPHASISED

    def ref_at(self, x: int, y: int) -> str | None:
        """The node that is named at a place of the widget's content, if any."""
        column, line = x + self.scroll_offset.x, y + self.scroll_offset.y
        for start, end, ref in self._refs.get(line, ()):
            if start <= column < end:
                return ref
        return None

    def action_scroll_lines(self, lines: int) -> None:
        """Scroll by some lines."""
        self.scroll_relative(y=lines, animate=False)

    def action_scroll_pages(self, pages: int) -> None:
        """Scroll by almost the whole height."""
        self.scroll_relative(y=pages * max(1, self.size.height - 1), animate=False)

    def set_height(self, lines: int, width: int | None = None) -> None:
        """Say how many lines there are, and how wide they are if they may be scrolled sideways."""
        self.virtual_size = Size(1 if width is None else width, lines)
