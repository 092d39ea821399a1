"""A view of wrapped lines: explanations, equations, ideas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from backprop_tui.tui.painted import Painted, Pieces
from backprop_tui.tui.wrapping import wrap


class Paragraph(NamedTuple):
    """A line that may be wrapped."""

    pieces: Pieces
    indent: int = 0
    """By how much the lines after the first are indented."""


class LinesView(Painted):
    """Shows paragraphs, wrapped to its width."""

    # The scroll bar's column is always kept, so that no text is wrapped anew, and the screen not
    # laid out anew, when it comes and goes. There is nothing to see of it while all lines fit.
    DEFAULT_CSS = """
    LinesView { overflow-y: scroll; }
    """

    class NodeClicked(Message):
        """A symbol that stands for a node was clicked."""

        def __init__(self, node_id: str) -> None:
            super().__init__()
            self.node_id = node_id

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._paragraphs: Sequence[Paragraph] = ()
        self._wrapped: list[Pieces] = []

    def set_paragraphs(self, paragraphs: Sequence[Paragraph], *, stay: bool = False) -> None:
        """Show other paragraphs, from the top; with `stay`, from where one is."""
        self._paragraphs = paragraphs
        if self.scroll_offset.y and not stay:
            self.scroll_to(y=0, animate=False)
        self._wrap()

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return "\n".join("".join(piece.text for piece in line) for line in self._wrapped)

    def lines_of(self, ref: str) -> list[int]:
        """The lines on which a reference stands, from the top."""
        lines = enumerate(self._wrapped)
        return [y for y, line in lines if any(piece.ref == ref for piece in line)]

    def _wrap(self) -> None:
        width = max(10, self.scrollable_content_region.width)
        self._wrapped = [line for p in self._paragraphs for line in wrap(p.pieces, width, p.indent)]
        self.set_height(max(len(self._wrapped), self.size.height))
        self.repaint()

    def on_resize(self, event: events.Resize) -> None:
        self._wrap()

    def paint_line(self, y: int) -> Pieces:
        return self._wrapped[y] if y < len(self._wrapped) else ()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        ref = self.ref_at(offset.x, offset.y) if offset is not None else None
        if ref is not None:
            event.stop()
            self.post_message(self.NodeClicked(ref))
