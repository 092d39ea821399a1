"""What stands on the screen, as text, for tests."""

from __future__ import annotations

import re
from typing import Any

from textual.app import App

from backprop_tui.tui.painted import Painted


def shown(app: App[Any]) -> str:
    """The whole screen as lines of text, as the terminal would show it."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def painted(widget: Painted) -> list[str]:
    """All lines of a painted widget, also those that are scrolled away."""
    lines = range(widget.virtual_size.height)
    return ["".join(piece.text for piece in widget.paint_line(y)) for y in lines]


def number(text: str) -> float:
    """A number as the program writes it."""
    found = re.search(r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan)", text.replace("−", "-"))
    assert found is not None, f"no number in {text!r}"
    return float(found.group())
