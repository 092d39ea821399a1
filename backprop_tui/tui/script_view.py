"""The statements of a script, with the present one lit."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from backprop_tui.lessons.script import Script
from backprop_tui.tui.painted import Painted, Piece, Pieces
from backprop_tui.tui.source_view import roles_of


class ScriptView(Painted):
    """One line a statement; what has not run yet steps back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "screen.previous", "Previous", show=False, id="script.up"),
        Binding("down", "screen.next", "Next", show=False, id="script.down"),
    ]

    class Picked(Message):
        """A statement was clicked."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    def __init__(self, script: Script, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Script"
        self._script = script
        self._codes = [statement.code for statement in script.statements]
        self._roles = [roles_of([code])[0] for code in self._codes]
        self._position = -1

    @property
    def needed_width(self) -> int:
        """How many columns it takes to show every statement whole, padding included."""
        return max(len(code) for code in self._codes) + 9

    def on_mount(self) -> None:
        super().on_mount()
        self.set_height(len(self._codes), self.needed_width - 3)

    def show_position(self, position: int) -> None:
        """Light a statement by its index; −1 for before the first."""
        self._position = position
        self.repaint()
        self.keep_in_view()

    def keep_in_view(self) -> None:
        """Scroll so far that the present statement is seen, with those around it."""
        height = self.size.height
        if height:
            top = min(max(0, self._position - height // 2), max(0, len(self._codes) - height))
            self.scroll_to(y=top, animate=False, force=True)

    def on_resize(self, event: events.Resize) -> None:
        self.keep_in_view()

    def paint_line(self, y: int) -> Pieces:
        if y >= len(self._codes):
            return ()
        here, ahead = y == self._position, y > self._position
        pieces = [
            Piece(f"{y + 1:>3} ", "muted"),
            Piece("▸" if here else " ", "active"),
        ]
        for character, role in zip(self._codes[y], self._roles[y], strict=True):
            shown = "muted" if ahead else f"{role} lit" if here else role
            if pieces[-1].role == shown:
                pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + character)
            else:
                pieces.append(Piece(character, shown))
        if self._script.statements[y].raises is not None and not ahead:
            pieces.append(Piece(" !", "differ"))
        return tuple(pieces)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None:
            line = offset.y + self.scroll_offset.y
            if line < len(self._codes):
                event.stop()
                self.post_message(self.Picked(line))
