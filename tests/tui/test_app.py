"""The app: themes, the palette, what is remembered, and the process beside."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from backprop_tui.lessons import catalogue, find_lesson, number_of
from backprop_tui.state import StateStore
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.gradients_view import GradientsView
from backprop_tui.tui.leaves_view import LeavesView
from backprop_tui.tui.lesson_screen import LessonScreen
from tests.tui.screen import painted, shown

WIDE = (160, 45)


async def until(pilot: Pilot[Any], condition: Any, tries: int = 2000) -> None:
    """Let the app run until something is true."""
    for _ in range(tries):
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not happen")


async def test_light_and_dark_and_back_is_remembered(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.json")
    app = BackpropApp(find_lesson("square"), store, reference=False)
    async with app.run_test(size=WIDE) as pilot:
        assert app.current_theme.dark
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert not app.current_theme.dark
    again = BackpropApp(None, store, reference=False)
    assert again.theme == "backprop-light"
    assert again.state.last_lesson == "square"


async def test_a_damaged_state_is_told_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{not json")
    app = BackpropApp(find_lesson("square"), StateStore(path), reference=False)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, lambda: "set aside" in " ".join(shown(app).split()))
        await pilot.press("end")
        assert "square" in app.state.done


async def test_the_palette_has_every_lesson_and_every_action() -> None:
    app = BackpropApp(find_lesson("plumbing"), reference=False)  # there every key does something
    async with app.run_test(size=WIDE) as pilot:
        commands = [command.title for command in app.get_system_commands(app.screen)]
        for lesson in catalogue():
            assert f"Lesson {number_of(lesson)}: {lesson.title}" in commands
        for binding in LessonScreen.BINDINGS:
            assert binding.description in commands
        await pilot.press("ctrl+p", *f"lesson {number_of(find_lesson('rnn'))}")
        await until(pilot, lambda: "A recurrent network" in shown(app))
        await pilot.press("down", "enter")
        await until(
            pilot,
            lambda: isinstance(app.screen, LessonScreen) and app.screen.session.lesson.id == "rnn",
        )


async def test_an_action_from_the_palette_acts() -> None:
    app = BackpropApp(find_lesson("linear"), reference=False)
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        assert isinstance(screen, LessonScreen)
        await pilot.press("ctrl+p", *"last step")
        await until(pilot, lambda: "To the last step" in shown(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: screen.session.at_end)


async def test_no_color_paints_every_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = BackpropApp(find_lesson("rnn"), reference=False)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("b", "right", "i", "escape", "e", "escape", "?", "escape", "escape")
        await pilot.pause()
        assert "A recurrent network" in shown(app)


async def test_torch_comes_beside_survives_its_death_and_follows_edits() -> None:
    """The real process: its verdict appears, also after it was killed, and after an edit."""
    app = BackpropApp(find_lesson("tanh-recursion"))
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        assert isinstance(screen, LessonScreen)
        await pilot.press("end")
        await until(pilot, lambda: "torch ✓ agrees" in shown(app))
        table = "\n".join(painted(screen.query_one(GradientsView)))
        assert table.count("8.1888") == 3  # by hand, by torch, numerically
        assert "✓ agrees" in table

        client = app._client
        assert client is not None and client.pid is not None
        before = client.pid
        os.kill(before, signal.SIGKILL)
        await until(pilot, lambda: client.pid not in (None, before))
        await pilot.press("left", "right")  # usable meanwhile
        await until(pilot, lambda: "torch ✓ agrees" in shown(app))

        # y = w_y · tanh(w_h · tanh(w_h · h0)) with h0 = 0: nothing moves w_h
        screen.query_one(LeavesView).select("h0")
        await pilot.press("e", "0", "enter")
        await until(pilot, lambda: "torch ✓ agrees" in shown(app))
        assert screen.session.inputs.leaves["h0"] == 0.0
        assert screen.session.node_state(screen.session.trace.graph.leaves["w_h"]).gradient == 0.0


async def test_without_torch_the_app_says_so_in_one_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libfoo.so is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    app = BackpropApp(find_lesson("square"))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("end")
        await until(pilot, lambda: "torch is missing" in shown(app))
        table = painted(app.screen.query_one(GradientsView))[1]
        assert "0.86223" in table and "missing" in table
        await pilot.press("e", "3", "enter")  # dx = 2·3, by hand and numerically
        await until(pilot, lambda: "✓ agrees" in painted(app.screen.query_one(GradientsView))[1])
