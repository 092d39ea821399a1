"""What stands on the screen, as text, for tests."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.app import App

from backprop_tui.lessons import catalogue
from backprop_tui.tui.painted import Painted

SHOWN_ALWAYS = {
    "square", "linear", "matrix-linear", "recursion", "tanh-recursion", "rnn", "diamond",
    "sigmoid-neuron", "mlp", "attention",
}  # fmt: skip
"""Lessons of every kind: scalars, matrices, time steps, opened and folded nodes."""


def stepped_lessons(*also: str) -> list[Any]:
    """All lessons as parameters of a test that steps through them, which takes seconds for each:
    most of them only in the soak tests."""
    return [
        pytest.param(
            lesson.id,
            marks=[] if lesson.id in SHOWN_ALWAYS or lesson.id in also else pytest.mark.soak,
        )
        for lesson in catalogue()
    ]


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
