"""The home screen with real keys and clicks."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from backprop_tui.lessons import catalogue
from backprop_tui.state import State, StateStore
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.help import HelpScreen
from backprop_tui.tui.home import HomeScreen, LessonList
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.lines_view import LinesView
from tests.tui.screen import painted, shown

SIZES = [(80, 24), (160, 45)]
LESSONS = catalogue()


def home(store: StateStore | None = None) -> BackpropApp:
    return BackpropApp(None, store, reference=False)


@pytest.mark.parametrize("size", SIZES)
async def test_all_lessons_are_listed_by_chapter(size: tuple[int, int]) -> None:
    app = home()
    async with app.run_test(size=size):
        lines = "\n".join(painted(app.screen.query_one(LessonList)))
        places = [lines.index(lesson.title) for lesson in LESSONS]
        assert places == sorted(places)
        for chapter in ("SCALARS", "VECTORS AND MATRICES", "RECURRENCE"):
            assert chapter in lines


async def test_the_arrows_choose_and_enter_opens() -> None:
    app = home()
    async with app.run_test(size=SIZES[1]) as pilot:
        for lesson in LESSONS:
            assert app.screen.query_one(LessonList).lesson is lesson
            assert lesson.idea[:30] in app.screen.query_one("#about", LinesView).text
            await pilot.press("down")
        assert app.screen.query_one(LessonList).lesson is LESSONS[-1]
        await pilot.press("home", "down", "enter")
        assert isinstance(app.screen, LessonScreen)
        assert app.screen.session.lesson is LESSONS[1]
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)
        assert app.screen.query_one(LessonList).lesson is LESSONS[1]


@pytest.mark.parametrize(
    ("key", "row"), [("up", 0), ("k", 0), ("down", 1), ("j", 1), ("end", 8), ("home", 0)]
)
async def test_a_key_moves_the_cursor(key: str, row: int) -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press(key)
        assert app.screen.query_one(LessonList).lesson is LESSONS[row]


async def test_search_finds_by_any_words_and_escape_ends_it() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("slash", *"tanh rec")
        await pilot.pause()
        assert [one.id for one in app.screen.query_one(LessonList).lessons] == ["tanh-recursion"]
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)
        await pilot.press("escape", "slash", *"zzz")
        await pilot.pause()
        assert "No lesson has these words." in shown(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen.query_one(LessonList).lessons) == len(LESSONS)
        assert not app.screen.query_one("#search", Input).display


async def test_a_click_chooses_and_a_second_one_opens() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.click(LessonList, offset=(10, 3))
        assert app.screen.query_one(LessonList).lesson is LESSONS[1]
        await pilot.click(LessonList, offset=(10, 3))
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)


async def test_help_and_quit() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "q")
        assert app.return_code == 0


async def test_what_was_done_is_marked_and_the_last_lesson_is_under_the_cursor(
    tmp_path: object,
) -> None:
    from pathlib import Path

    store = StateStore(Path(str(tmp_path)) / "state.json")
    store.save(State(last_lesson="linear", done=frozenset({"square", "loss"})))
    app = home(store)
    async with app.run_test(size=SIZES[0]):
        listed = app.screen.query_one(LessonList)
        assert listed.lesson is not None and listed.lesson.id == "linear"
        marked = [line for line in painted(listed) if "✓" in line]
        assert len(marked) == 2
        assert "2 of 9" in shown(app)
