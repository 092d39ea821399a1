"""The base of our line-drawn widgets: roles as styles, and lines that are made when seen."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.segment import Segment as RichSegment
from rich.style import Style
from textual.app import App
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region, Size
from textual.reactive import Reactive, reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from backprop_tui.engine.formula import Segment
from backprop_tui.tui.glyphs import plain


class Look(NamedTuple):
    """How a role looks: colours are those of the theme."""

    color: str = "foreground"
    share: float = 1.0
    """How much of the colour; the rest is the background."""

    emphasis: Style = Style.null()
    background: str | None = None
    """The colour of which a quarter is mixed into the background."""


BOLD = Style(bold=True)

LOOKS = {
    "value": Look("text-primary"),
    "gradient": Look("text-warning"),
    "number": Look(),
    "operator": Look(share=0.75),
    "function": Look(),
    "plain": Look(),
    "muted": Look(share=0.55),
    "title": Look(emphasis=BOLD),
    "active": Look("text-warning", emphasis=BOLD),
    "active-forward": Look("text-primary", emphasis=BOLD),
    "notice": Look("text-success"),
    "agree": Look("text-success"),
    "differ": Look("text-error", emphasis=BOLD),
    "lit": Look(background="warning"),
    "keyword": Look("text-secondary", emphasis=BOLD),
    "comment": Look(share=0.5, emphasis=Style(italic=True)),
    "string": Look("text-success"),
}
"""What a piece of text is, and how that looks.

Not component classes of the stylesheet: Textual keeps a node for each of them in every widget, and
styles all of these anew at each change of a class, of the focus or of the size. That was a third
of the time to the first frame.
"""


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


def changed_span(old: Strip, new: Strip) -> tuple[int, int]:
    """From which to which column two equally long strips differ; (0, 0) if they don't."""
    if old is new:
        return 0, 0
    before, after = list(old), list(new)
    common = start = 0
    for a, b in zip(before, after, strict=False):
        if a != b:
            break
        common += 1
        start += a.cell_length
    if common == len(before) == len(after):
        return 0, 0
    end = old.cell_length
    for a, b in zip(reversed(before[common:]), reversed(after[common:]), strict=False):
        if a != b:
            break
        end -= a.cell_length
    return start, end


def is_ascii(app: App[object]) -> bool:
    """Whether the app draws only ASCII characters."""
    return bool(getattr(app, "ascii", False))


class Painted(ScrollView, can_focus=True, inherit_bindings=False):
    """A scrolling view that paints its lines itself, only those that are seen.

    Subclasses implement `paint_line` and set `virtual_size`. Lines are cached until `repaint`.
    """

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
    """

    ascii: reactive[bool] = reactive(False, init=False)

    virtual_size = Reactive(Size(0, 0), repaint=False)
    """Not as in `Widget`: how much there is to scroll does not lay out the screen anew, since no
    view is as large as its content."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: dict[int, Strip] = {}
        """Painted lines of the content."""
        self._on_screen: dict[int, Strip] = {}
        """What the screen shows, line by line of the view."""
        self._ready: dict[int, Strip] = {}
        """Lines of the widget, frame and padding included, that need not be made again."""
        self._filters: tuple[LineFilter, ...] = ()
        """The filters through which those have gone."""
        self._stale = False
        """Whether the screen may show something else than it should."""
        self._styles: dict[str, Style] = {}
        self._base: Style | None = None
        self._refs: dict[int, list[tuple[int, int, str]]] = {}

    def paint_line(self, y: int) -> Pieces:
        """The pieces of one line of the content, from the left edge."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.ascii = is_ascii(self.app)

    def watch_ascii(self) -> None:
        self.repaint()

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        if self.show_horizontal_scrollbar:
            self.horizontal_scrollbar.position = new_value
        self._show_changes()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        self._show_changes()

    def notify_style_update(self) -> None:
        self._lines.clear()
        self._on_screen.clear()
        self._styles.clear()
        self._base = None
        super().notify_style_update()

    @property
    def base(self) -> Style:
        """The style of what has none of its own; `rich_style`, which is slow, worked out once."""
        if self._base is None:
            self._base = self.rich_style
        return self._base

    def style(self, role: str) -> Style:
        """The style of a role, or of several such as `value lit`, on the widget's background."""
        found = self._styles.get(role)
        if found is None:
            first, *others = role.split()
            found = self.base + self._style_of(LOOKS[first])
            for other in others:
                found = found + self.partial(other)
            self._styles[role] = found
        return found

    def _style_of(self, look: Look) -> Style:
        _, background = self.background_colors
        if look.background is not None:
            background += self._colour(look.background).multiply_alpha(0.25)
        colour = background + self._colour(look.color).multiply_alpha(look.share)
        return look.emphasis + Style.from_color(colour.rich_color, background.rich_color)

    def _colour(self, name: str) -> Color:
        return Color.parse(self.app.theme_variables[name])

    def repaint(self) -> None:
        """Paint all lines anew, and send to the screen what is different then."""
        self._lines.clear()
        self._refs.clear()
        self._show_changes()

    def repaint_lines(self, first: int, last: int) -> None:
        """Paint some lines of the content anew, both included."""
        for y in range(first, last + 1):
            self._lines.pop(y, None)
        self._show_changes()

    def _show_changes(self) -> None:
        self._stale = True
        self.check_idle()

    def on_idle(self) -> None:
        """Once nothing else is to be done: refresh the cells that are different now."""
        if not self._stale:
            return
        self._stale = False
        if not self._on_screen or not self.display:
            self.refresh()
            return
        width, height = self.size
        x, top = self.scroll_offset
        changes = []
        for y in range(height):
            shown = self._on_screen.get(y)
            line = self._cropped(top + y, x, width)
            start, end = (0, width) if shown is None else changed_span(shown, line)
            if start < end:
                changes.append(Region(start, y, end - start, 1))
        if changes:
            self.refresh(*changes)

    def _set_dirty(self, *regions: Region) -> None:
        super()._set_dirty(*regions)
        if not regions:
            self._ready.clear()
        top = self.content_offset.y if regions else 0
        for region in regions:
            for y in range(region.y + top, region.bottom + top):
                self._ready.pop(y, None)

    def render_lines(self, crop: Region) -> list[Strip]:
        """As in `Widget`, which goes through all lines and its styles again for each change."""
        width = self.outer_size.width
        if crop.x or crop.width != width:
            return super().render_lines(crop)
        ready, filters = self._ready, tuple(self.get_line_filters())
        if filters != self._filters:
            self._filters = filters
            ready.clear()
        missing = [y for y in crop.line_range if y not in ready]
        if missing:
            left, top = self.content_offset
            inside, height = self.size
            plain_sides = left == self.styles.padding.left and self.opacity == 1.0
            background = self.background_colors[1]
            before = RichSegment(" " * left, self.base)
            after = RichSegment(" " * (width - left - inside), self.base)
            for y in missing:
                if plain_sides and top <= y < top + height:
                    strip = Strip([before, *self.render_line(y - top), after], width)
                    for line_filter in filters:
                        strip = strip.apply_filter(line_filter, background)
                    ready[y] = strip
                else:
                    ready[y] = super().render_lines(Region(0, y, width, 1))[0]
        return [ready[y] for y in crop.line_range]

    def render_line(self, y: int) -> Strip:
        x, top = self.scroll_offset
        strip = self._on_screen[y] = self._cropped(top + y, x, self.size.width)
        return strip

    def _cropped(self, line: int, x: int, width: int) -> Strip:
        """What is seen of a line of the content."""
        strip = self._lines.get(line)
        if strip is None:
            strip = self._lines[line] = self._strip(line)
        return strip.crop_extend(x, x + width, self.base)

    def _strip(self, line: int, pieces: Pieces | None = None) -> Strip:
        base = self.base
        if line >= self.virtual_size.height:
            return Strip([RichSegment("", base)], 0)
        if pieces is None:
            pieces = self.paint_line(line)
        ascii_only = self.ascii
        segments: list[RichSegment] = []
        refs: list[tuple[int, int, str]] = []
        column = 0
        for text, role, ref in pieces:
            if not text:
                continue
            shown = plain(text, True) if ascii_only else text
            segments.append(RichSegment(shown, self._styles.get(role) or self.style(role)))
            width = len(text)
            if ref is not None:
                refs.append((column, column + width, ref))
            column += width
        self._refs[line] = refs
        return Strip(segments or [RichSegment("", base)])

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
