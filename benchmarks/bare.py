"""What the app is measured against: a bare Textual app. `numpy` as an argument imports that too."""

import sys
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Header, Static

if "numpy" in sys.argv:
    import numpy  # noqa: F401


class Bare(App[None]):
    """Header, footer, one line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "count(1)", "Next"),
        Binding("left", "count(-1)", "Prev"),
    ]

    number = 0

    def compose(self) -> ComposeResult:
        yield Header()
        yield Static("bare: number 0", id="line")
        yield Footer()

    def action_count(self, by: int) -> None:
        self.number += by
        self.query_one("#line", Static).update(f"bare: number {self.number}")


if __name__ == "__main__":
    Bare().run()
