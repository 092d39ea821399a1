"""Help on what has the focus, and the keys that work there."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static


class WindowSized:
    """For screens: lay out for the size that the window has now.

    Textual hands sizes from screen to screen as messages. Where the window changes twice in a
    moment, as when one drags its edge, the two sizes chase each other round for ever.
    """

    def _screen_resized(self, size: Size) -> None:
        super()._screen_resized(self.app.size)  # type: ignore[misc,attr-defined]


class HelpScreen(WindowSized, ModalScreen[None]):
    """Shows a text about an element of the screen, and all keys with what they do."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 94%;
        background: $surface; border: round $accent; padding: 0 1;
        border-title-style: bold;
    }
    HelpScreen Markdown { margin: 0; padding: 0 1; background: $surface; }
    HelpScreen .keys { padding: 0 1 1 3; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, text: str, keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self._text = text
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "Help"
            scroll.border_subtitle = "esc closes"
            yield Markdown(self._text)
            width = max((len(key) for key, _ in self._keys), default=0)
            lines = "\n".join(f"{key:>{width}}  {what}" for key, what in self._keys)
            yield Static(lines, classes="keys", markup=False)

    async def action_dismiss(self, result: None = None) -> None:
        if self.is_current:  # and not closing already
            self.dismiss(None)
