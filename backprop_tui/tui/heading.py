"""The line at the top: which lesson, where in it, and how torch is doing."""

from __future__ import annotations

from rich.segment import Segment as RichSegment
from textual.strip import Strip

from backprop_tui.tui.glyphs import plain
from backprop_tui.tui.painted import Painted, Pieces


class Heading(Painted, can_focus=False):
    """One line with something on the left and something on the right."""

    DEFAULT_CSS = """
    Heading { height: 1; border: none; padding: 0; background: $panel; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: Pieces = ()
        self._right: Pieces = ()

    def show(self, left: Pieces, right: Pieces) -> None:
        """Show other texts; where there is no room for both, the right one stays whole."""
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return "".join(p.text for p in (*self._left, *self._right))

    def render_line(self, y: int) -> Strip:
        base = self.base

        def strip(pieces: Pieces) -> Strip:
            return Strip(
                [
                    RichSegment(plain(p.text, True) if self.ascii else p.text, self.style(p.role))
                    for p in pieces
                ]
            )

        width = self.size.width
        right = strip(self._right)
        room = max(0, width - right.cell_length - 1)
        left = strip(_fitting(self._left, room)).adjust_cell_length(room, base)
        return Strip.join([left, Strip([RichSegment(" ", base)]), right]).adjust_cell_length(
            width, base
        )


def _fitting(pieces: Pieces, room: int) -> Pieces:
    """What there is room for: sizes are left out from the last on, then the rest is cut."""
    kept = list(pieces)
    while sum(len(p.text) for p in kept) > room:
        muted = [place for place, piece in enumerate(kept) if piece.role == "muted"]
        if not muted:
            break
        del kept[muted[-1]]
    over = sum(len(p.text) for p in kept) - room
    if over > 0 and kept:
        last = kept[-1]
        kept[-1] = last._replace(text=f"{last.text[: max(0, len(last.text) - over - 1)]}…")
    return tuple(kept)
