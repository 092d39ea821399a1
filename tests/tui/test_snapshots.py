"""How the screens look, at three sizes, in the dark and in the light.

After a change that is meant, look at every difference, then run the tests of this file with
`--snapshot-update`.
"""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from backprop_tui.lessons import find_lesson
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.home import HomeScreen

SIZES = [(80, 24), (120, 40), (160, 50)]
SCREENS = {
    "home": (None, ["down", "down"]),
    "tanh-recursion": ("tanh-recursion", ["b", "right", "right", "right"]),
    "matrix-linear": ("matrix-linear", ["end"]),
    "softmax": ("softmax", ["b", "right", "right"]),  # with an open node
    "transformer-block": ("transformer-block", ["b", *["right"] * 5]),  # with folded groups
}


@pytest.mark.parametrize("theme", ["backprop-dark", "backprop-light"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screen(name: str, size: tuple[int, int], theme: str, snap_compare: Any) -> None:
    lesson, keys = SCREENS[name]
    app = BackpropApp(find_lesson(lesson) if lesson else None, reference=False)
    app.theme = theme

    async def pressed(pilot: Pilot[None]) -> None:
        """Press the keys; at home, wait until the lesson's equations are there."""
        await pilot.press(*keys)
        while isinstance(screen := pilot.app.screen, HomeScreen) and not screen.complete:
            await pilot.pause(0.01)

    assert snap_compare(app, terminal_size=size, run_before=pressed)
