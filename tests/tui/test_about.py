"""The dialog about a lesson, with real keys and clicks."""

from __future__ import annotations

import pytest

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.state import State, StateStore
from backprop_tui.tui.about import AboutScreen, AboutView
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.lesson_screen import LessonScreen
from tests.tui.screen import shown

SIZES = [(80, 24), (160, 45)]
LESSON = find_lesson("tanh-recursion")


def app_on(lesson: Lesson = LESSON, store: StateStore | None = None) -> BackpropApp:
    return BackpropApp(lesson, store, reference=False)


def view(app: BackpropApp) -> AboutView:
    assert isinstance(app.screen, AboutScreen)
    return app.screen.query_one(AboutView)


def words(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


def answered(app: BackpropApp) -> list[bool]:
    """Which answers stand there."""
    text = words(view(app).text)
    return [words(question.answer) in text for question in LESSON.questions]


@pytest.mark.parametrize("size", SIZES)
async def test_it_says_everything_but_the_answers(size: tuple[int, int]) -> None:
    app = app_on()
    async with app.run_test(size=size) as pilot:
        await pilot.press("a")
        await pilot.pause()
        text = words(view(app).text)
        parts = [
            words(LESSON.idea),
            "After: ",
            "The common mistake " + words(LESSON.mistake),
            *(words(question.asks) for question in LESSON.questions),
            *(words(reference) for reference in LESSON.references),
        ]
        places = [text.index(part) for part in parts]
        assert places == sorted(places)
        assert not any(answered(app))
        assert LESSON.title in shown(app)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["enter", "space"])
async def test_a_key_shows_one_answer_after_the_other_in_sight(
    size: tuple[int, int], key: str
) -> None:
    app = app_on()
    async with app.run_test(size=size) as pilot:
        await pilot.press("a")
        for count in range(len(LESSON.questions)):
            marked = [line for line in view(app).text.splitlines() if line.startswith("▸")]
            assert [line.split()[1] for line in marked] == [str(count + 1)]
            await pilot.press(key)
            await pilot.pause()
            places = range(len(LESSON.questions))
            assert answered(app) == [place <= count for place in places]
            start = words(LESSON.questions[count].answer)[:20]
            assert start in words(shown(app))
        before = view(app).text
        assert not any(line.startswith("▸") for line in before.splitlines())
        await pilot.press(key)  # there is none left
        assert view(app).text == before
        await pilot.press("h")
        assert not any(answered(app))


async def test_a_digit_and_a_click_show_and_hide_one_answer() -> None:
    app = app_on()
    async with app.run_test(size=SIZES[1]) as pilot:
        await pilot.press("a", "2")
        assert answered(app) == [place == 1 for place in range(len(LESSON.questions))]
        await pilot.press("2", "9")
        assert not any(answered(app))
        line = view(app).lines_of("question:2")[0] - view(app).scroll_offset.y
        await pilot.click(view(app), offset=(14, line + 1))
        await pilot.pause()
        assert answered(app) == [place == 2 for place in range(len(LESSON.questions))]
        await pilot.click(view(app), offset=(14, line + 1))
        await pilot.pause()
        assert not any(answered(app))


@pytest.mark.parametrize("key", ["escape", "a", "q"])
async def test_it_closes_and_the_lesson_is_as_it_was(key: str) -> None:
    app = app_on()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("b", "right")
        screen = app.screen
        assert isinstance(screen, LessonScreen)
        position = screen.session.position
        await pilot.press("a", "enter", "down", "pagedown", key)
        await pilot.pause()
        assert app.screen is screen
        assert screen.session.position == position


async def test_it_scrolls_by_line_and_by_page() -> None:
    app = app_on()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("a", *"12345")
        await pilot.pause()
        for _ in range(9):
            await pilot.press("pageup")
        await pilot.press("down", "j")
        assert view(app).scroll_offset.y == 2
        await pilot.press("up", "k")
        assert view(app).scroll_offset.y == 0
        for _ in range(9):
            await pilot.press("pagedown")
        await pilot.pause()
        assert LESSON.references[-1][:12] in shown(app) or LESSON.references[-1][-12:] in shown(app)


async def test_what_was_done_before_is_ticked(tmp_path: object) -> None:
    from pathlib import Path

    store = StateStore(Path(str(tmp_path)) / "state.json")
    first = find_lesson(LESSON.after[0])
    store.save(State(done=frozenset({first.id})))
    app = app_on(store=store)
    async with app.run_test(size=SIZES[1]) as pilot:
        await pilot.press("a")
        await pilot.pause()
        assert f"After: ✓ {first.title}" in words(view(app).text)


@pytest.mark.parametrize("look", ["no color", "ascii", "backprop-light"])
async def test_it_is_painted_in_every_look(monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    if look == "no color":
        monkeypatch.setenv("NO_COLOR", "1")
    app = BackpropApp(LESSON, ascii=look == "ascii", reference=False)
    if look == "backprop-light":
        app.theme = look
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("a", "enter")
        await pilot.pause()
        assert "About" in shown(app)
        assert shown(app).isascii() or look != "ascii"


async def test_the_window_may_change_its_size_meanwhile() -> None:
    app = app_on()
    async with app.run_test(size=SIZES[1]) as pilot:
        await pilot.press("a", "enter")
        for size in ((80, 24), (40, 10), (160, 45)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert answered(app)[0]
