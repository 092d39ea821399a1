"""The tabs of a narrow screen: which of the panels is shown."""

from __future__ import annotations

from textual import events
from textual.message import Message

from backprop_tui.tui.painted import Painted, Piece, Pieces


class TabBar(Painted, can_focus=False):
    """One line of numbered names; a click chooses one."""

    DEFAULT_CSS = """
    TabBar { height: 1; border: none; padding: 0; background: $panel; }
    """

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, names: tuple[str, ...], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._names = names
        self.chosen = 0

    def on_mount(self) -> None:
        super().on_mount()
        self.set_height(1)

    def choose(self, number: int) -> None:
        """Mark another tab."""
        self.chosen = number
        self.repaint()

    def paint_line(self, y: int) -> Pieces:
        pieces: list[Piece] = []
        for number, name in enumerate(self._names):
            role = "title cursor" if number == self.chosen else "muted"
            pieces.append(Piece(f" {number + 1} {name} ", role))
            pieces.append(Piece(" "))
        return tuple(pieces)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        offset = event.get_content_offset(self)
        column = offset.x if offset is not None else -1
        start = 0
        for number, name in enumerate(self._names):
            width = len(name) + 4
            if start <= column < start + width:
                self.post_message(self.Picked(number))
            start += width + 1
