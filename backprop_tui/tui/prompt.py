"""A small question with one line to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backprop_tui.tui.help import WindowSized


class Prompt(WindowSized, ModalScreen[str | None]):
    """Asks for one line; a wrong answer is refused in place, in words."""

    DEFAULT_CSS = """
    Prompt { align: center middle; }
    Prompt > Vertical {
        width: 64; max-width: 96%; height: auto; background: $surface;
        border: round $accent; padding: 0 1;
    }
    Prompt Input { border: tall $panel; }
    Prompt .problem { color: $text-error; height: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="prompt.cancel")
    ]

    def __init__(self, question: str, answer: str, check: Callable[[str], str | None]) -> None:
        """`check` says in words what is wrong with an answer, or None if it is fine."""
        super().__init__()
        self._question = question
        self._answer = answer
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self._question, markup=False)
            yield Input(self._answer, max_length=100)
            yield Static("", classes="problem", markup=False)

    def on_mount(self) -> None:
        field = self.query_one(Input)
        field.cursor_blink = False
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not self.is_current:  # it is closing already
            return
        problem = self._check(event.value)
        if problem is None:
            self.dismiss(event.value)
        else:
            self.query_one(".problem", Static).update(problem)

    def action_cancel(self) -> None:
        if self.is_current:  # and not closing already
            self.dismiss(None)
