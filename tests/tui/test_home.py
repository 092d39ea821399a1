"""The home screen with real keys and clicks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot
from textual.widgets import Input

from backprop_tui.lessons import catalogue, find_lesson, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import chapters, duration, minutes_of, prerequisites, suggested
from backprop_tui.state import State, StateStore
from backprop_tui.tui import home as home_module
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen
from backprop_tui.tui.home import HomeScreen
from backprop_tui.tui.lesson_list import LessonList
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.lines_view import LinesView
from tests.tui.screen import painted, shown

SIZES = [(80, 24), (160, 45)]
LESSONS = catalogue()
FIRSTS = [chapter.lessons[0] for chapter in chapters(LESSONS)]


def home(store: StateStore | None = None) -> BackpropApp:
    return BackpropApp(None, store, reference=False)


def knowing(tmp_path: Path, **known: Any) -> StateStore:
    """A store that remembers something."""
    store = StateStore(tmp_path / "state.json")
    store.save(State(**known))
    return store


def listed(app: BackpropApp) -> LessonList:
    return app.screen.query_one(LessonList)


def about(app: BackpropApp) -> LinesView:
    return app.screen.query_one("#about", LinesView)


def words(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


async def until(pilot: Pilot[Any], condition: Any, tries: int = 1000) -> None:
    for _ in range(tries):
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not happen")


def complete(app: BackpropApp) -> bool:
    return isinstance(app.screen, HomeScreen) and app.screen.complete


@pytest.fixture
def nothing_worked_out(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As if the program had just been started."""
    fresh: dict[str, Any] = {}
    monkeypatch.setattr(home_module, "_WORKED_OUT", fresh)
    return fresh


# ── the list ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_all_lessons_are_listed_by_chapter(size: tuple[int, int]) -> None:
    app = home()
    async with app.run_test(size=size):
        lines = painted(listed(app))
        places = []
        for chapter in chapters(LESSONS):
            start = next(y for y, line in enumerate(lines) if chapter.title.upper() in line)
            assert f"  0/{len(chapter.lessons)} " in lines[start]
            assert duration(chapter.minutes) in lines[start]
            for y, lesson in enumerate(chapter.lessons, start + 1):
                assert f" {number_of(lesson)} {lesson.title[:24]}" in lines[y]
                assert f" {lesson.minutes} " in lines[y]
                places.append(y)
        assert places == sorted(places)
        assert max(len(line) for line in lines) <= listed(app).scrollable_content_region.width


async def test_the_heading_says_how_much_is_done_and_how_much_is_to_go(tmp_path: Path) -> None:
    done = frozenset({"square", "loss", "gone"})
    app = home(knowing(tmp_path, done=done))
    async with app.run_test(size=SIZES[0]):
        left = minutes_of([lesson for lesson in LESSONS if lesson.id not in done])
        expected = f"2 of {len(LESSONS)} done · {duration(left)} to go"
        assert expected in app.screen.query_one(Heading).text
        assert expected in shown(app)


async def test_when_all_is_done_nothing_is_to_go_and_nothing_is_next(tmp_path: Path) -> None:
    app = home(knowing(tmp_path, done=frozenset(lesson.id for lesson in LESSONS)))
    async with app.run_test(size=SIZES[0], notifications=True) as pilot:
        assert f"{len(LESSONS)} of {len(LESSONS)} done · nothing to go" in shown(app)
        assert not any("→" in line for line in painted(listed(app)))
        heads = [line for line in painted(listed(app)) if line.startswith("SCALARS")]
        assert heads[0].rstrip().endswith("✓")
        await pilot.press("down", "n")
        await pilot.pause()
        assert listed(app).lesson is LESSONS[1]
        assert "All lessons are done" in shown(app)


async def test_what_was_done_is_marked_and_the_last_lesson_is_under_the_cursor(
    tmp_path: Path,
) -> None:
    app = home(knowing(tmp_path, last_lesson="rnn", done=frozenset({"square", "loss"})))
    async with app.run_test(size=SIZES[0]):
        assert listed(app).lesson is find_lesson("rnn")
        signs = {one.id: listed(app).sign_of(one).text.strip() for one in LESSONS}
        assert {name: sign for name, sign in signs.items() if sign} == {
            "square": "✓",
            "loss": "✓",
            suggested(LESSONS, {"square", "loss"}).id: "→",  # type: ignore[union-attr]
            "rnn": "…",
        }
        marked = [line for line in painted(listed(app)) if line.rstrip().endswith("✓")]
        assert [line.split()[:2] for line in marked] == [["1", "A"], ["2", "A"]]
        scalars = painted(listed(app))[0]
        assert scalars.startswith(f"SCALARS  2/{len(chapters(LESSONS)[0].lessons)} ")


# ── moving ────────────────────────────────────────────────────────────────────────────────────


async def test_the_arrows_choose_and_enter_opens() -> None:
    app = home()
    async with app.run_test(size=SIZES[1]) as pilot:
        for lesson in LESSONS:
            assert listed(app).lesson is lesson
            assert lesson.idea[:30] in words(about(app).text)
            await pilot.press("down")
        assert listed(app).lesson is LESSONS[-1]
        await pilot.press("home", "down", "enter")
        assert isinstance(app.screen, LessonScreen)
        assert app.screen.session.lesson is LESSONS[1]
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)
        assert listed(app).lesson is LESSONS[1]


@pytest.mark.parametrize(
    ("keys", "lesson"),
    [
        (["up"], LESSONS[0]),
        (["k"], LESSONS[0]),
        (["down"], LESSONS[1]),
        (["j"], LESSONS[1]),
        (["end"], LESSONS[-1]),
        (["end", "home"], LESSONS[0]),
        (["right"], FIRSTS[1]),
        (["]"], FIRSTS[1]),
        (["]", "]"], FIRSTS[2]),
        (["]", "down", "["], FIRSTS[1]),
        (["]", "down", "left"], FIRSTS[1]),
        (["]", "["], FIRSTS[0]),
        (["["], FIRSTS[0]),
        (["end", "]"], LESSONS[-1]),
        (["end", "home", "end", "["], FIRSTS[-1] if FIRSTS[-1] is not LESSONS[-1] else FIRSTS[-2]),
        (["pagedown", "pageup"], LESSONS[0]),
        (["pagedown"] * 9, LESSONS[-1]),
    ],
)
async def test_a_key_moves_the_cursor(keys: list[str], lesson: Lesson) -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press(*keys)
        assert listed(app).lesson is lesson


@pytest.mark.parametrize("key", ["down", "up", "]", "[", "pagedown", "pageup", "end", "home"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_cursor_and_its_chapter_stay_in_view(size: tuple[int, int], key: str) -> None:
    app = home()
    async with app.run_test(size=size) as pilot:
        if key in ("up", "[", "pageup"):
            await pilot.press("end")
        for _ in range(len(LESSONS) if key in ("up", "down") else len(FIRSTS)):
            await pilot.press(key)
            await pilot.pause()
            lesson = listed(app).lesson
            assert lesson is not None
            top, height = listed(app).scroll_offset.y, listed(app).size.height
            seen = painted(listed(app))[top : top + height]
            assert any(line.startswith("▸") for line in seen)
            if lesson in FIRSTS and key in ("up", "[", "home"):
                assert any(line.startswith(lesson.chapter.upper()) for line in seen)


async def test_the_cursor_is_in_view_at_the_start_and_after_a_change_of_size(
    tmp_path: Path,
) -> None:
    app = home(knowing(tmp_path, last_lesson=LESSONS[-1].id))
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.pause()
        assert f"▸ {len(LESSONS)} " in shown(app)
        await pilot.resize_terminal(160, 45)
        await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert f"▸ {len(LESSONS)} " in shown(app)


async def test_the_wheel_scrolls_the_list_and_the_panel() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(pilot, lambda: complete(app))
        for widget in (listed(app), about(app)):
            await pilot._post_mouse_events([MouseScrollDown] * 4, widget=widget, offset=(4, 4))
            await until(pilot, lambda w=widget: w.scroll_offset.y > 0)
            await pilot._post_mouse_events([MouseScrollUp] * 9, widget=widget, offset=(4, 4))
            await until(pilot, lambda w=widget: w.scroll_offset.y == 0)
        assert listed(app).lesson is LESSONS[0]  # looking about does not choose


# ── the suggested path ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_n_goes_to_the_suggested_next_lesson(tmp_path: Path, size: tuple[int, int]) -> None:
    done = frozenset(lesson.id for lesson in LESSONS[: len(LESSONS) - 2])
    app = home(knowing(tmp_path, done=done, last_lesson="square"))
    async with app.run_test(size=size) as pilot:
        assert listed(app).lesson is LESSONS[0]
        await pilot.press("n")
        await pilot.pause()
        expected = suggested(LESSONS, done)
        assert expected is not None and listed(app).lesson is expected
        assert any(
            line.startswith("▸") and line.rstrip().endswith("→") for line in painted(listed(app))
        )
        assert "→ suggested next" in about(app).text
        assert "→ suggested next" in shown(app)


async def test_nothing_is_locked() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("end", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)
        assert app.screen.session.lesson is LESSONS[-1]


async def test_what_comes_before_is_said_and_p_and_a_click_go_there(tmp_path: Path) -> None:
    lesson = next(one for one in LESSONS if len(prerequisites(one, LESSONS)) >= 2)
    first, *_, last = prerequisites(lesson, LESSONS)
    app = home(knowing(tmp_path, done=frozenset({first.id}), last_lesson=lesson.id))
    async with app.run_test(size=SIZES[1]) as pilot:
        await pilot.pause()
        text = words(about(app).text)
        assert f"After: ✓ {first.title}, " in text
        await pilot.press("p")
        await pilot.pause()
        assert listed(app).lesson not in (first, lesson)  # the first one that is not done
        listed(app).choose(lesson)
        await pilot.pause()
        line = about(app).lines_of(f"lesson:{first.id}")[0]
        column = "".join(p.text for p in about(app).paint_line(line)).index(first.title)
        await pilot.click(about(app), offset=(column + 2, line + 1))
        await pilot.pause()
        assert listed(app).lesson is first
    app = home(knowing(tmp_path, done=frozenset({first.id, last.id}), last_lesson=lesson.id))
    async with app.run_test(size=SIZES[1]) as pilot:
        if len(prerequisites(lesson, LESSONS)) == 2:
            await pilot.press("p")
            assert listed(app).lesson is last


async def test_a_lesson_with_nothing_before_it_says_so() -> None:
    app = home()
    async with app.run_test(size=SIZES[0], notifications=True) as pilot:
        assert "After: nothing, one can begin here" in words(about(app).text)
        await pilot.press("p")
        await pilot.pause()
        assert listed(app).lesson is LESSONS[0]
        assert "Nothing needs to come before" in shown(app)


# ── searching ─────────────────────────────────────────────────────────────────────────────────


async def test_search_finds_by_any_words_and_escape_ends_it() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("slash", *"tanh rec")
        await pilot.pause()
        assert listed(app).lesson is find_lesson("tanh-recursion")
        assert len(listed(app).lessons) < len(LESSONS)
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)
        assert app.screen.session.lesson.id == "tanh-recursion"
        await pilot.press("escape", "slash", *"zzz")
        await pilot.pause()
        assert listed(app).lesson is None
        assert "No lesson has these words." in shown(app)
        assert about(app).text.strip() == ""
        await pilot.press("escape")
        await pilot.pause()
        assert len(listed(app).lessons) == len(LESSONS)
        assert listed(app).lesson is find_lesson("tanh-recursion")  # where it was
        assert not app.screen.query_one("#search", Input).display


def a_search(text: str) -> str:
    """Some words of a text, as one would type them."""
    return " ".join(word for word in text.split() if word.isascii() and word.isalnum())[:40]


@pytest.mark.parametrize(
    "where", ["id", "title", "chapter", "idea", "mistake", "questions", "references"]
)
async def test_search_finds_what_is_said_about_a_lesson(where: str) -> None:
    lesson = find_lesson("rnn")
    said = getattr(lesson, where)
    text = said[-1].asks if where == "questions" else said[-1] if where == "references" else said
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("slash")
        app.screen.query_one("#search", Input).value = a_search(text.upper()) or text
        await pilot.pause()
        assert lesson in listed(app).lessons
        heads = [line.split("  ")[0] for line in painted(listed(app)) if line[:1].isalpha()]
        assert heads == [chapter.title.upper() for chapter in chapters(listed(app).lessons)]


async def test_the_arrows_move_while_one_searches() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("slash", *"recurrence")
        await pilot.pause()
        found = listed(app).lessons
        assert len(found) > 1
        start = found.index(listed(app).lesson)  # type: ignore[arg-type]
        await pilot.press("down")
        assert listed(app).lesson is found[start + 1]
        await pilot.press("up")
        assert listed(app).lesson is found[start]
        assert isinstance(app.focused, Input)


async def test_n_finds_the_next_lesson_although_a_search_hides_it() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.press("slash", *"tanh rec", "enter")
        await pilot.pause()
        assert LESSONS[0] not in listed(app).lessons
        await pilot.press("n")
        await pilot.pause()
        assert listed(app).lesson is LESSONS[0]
        assert len(listed(app).lessons) == len(LESSONS)
        assert app.focused is listed(app)


# ── the panel ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_the_panel_says_everything_but_the_answers(size: tuple[int, int]) -> None:
    lesson = find_lesson("tanh-recursion")
    app = BackpropApp(None, reference=False)
    async with app.run_test(size=size) as pilot:
        listed(app).choose(lesson)
        await until(pilot, lambda: complete(app))
        text = words(about(app).text)
        parts = [
            f"{lesson.chapter} · {number_of(lesson)} of {len(LESSONS)} · about ",
            f"{lesson.minutes} min",
            "After: ",
            words(lesson.idea),
            "Forward zₜ = w_h · hₜ₋₁",
            "(w_h)",
            words(lesson.mistake),
            *(words(question.asks) for question in lesson.questions),
            *(words(reference) for reference in lesson.references),
        ]
        places = [text.index(part) for part in parts]
        assert places == sorted(places)
        for question in lesson.questions:
            assert words(question.answer) not in text


async def test_a_shows_and_hides_the_answers_and_a_click_one_of_them() -> None:
    lesson = LESSONS[0]
    app = home()

    def answers() -> list[bool]:
        text = words(about(app).text)
        return [words(question.answer) in text for question in lesson.questions]

    async with app.run_test(size=SIZES[1]) as pilot:
        await until(pilot, lambda: complete(app))
        assert not any(answers())
        await pilot.press("a")
        assert all(answers())
        await pilot.press("a")
        assert not any(answers())
        line = about(app).lines_of("question:1")[0]
        await pilot.click(about(app), offset=(12, line + 1))
        await pilot.pause()
        assert answers() == [place == 1 for place in range(len(lesson.questions))]
        listed(app).focus()  # the click has given the panel the keys
        await pilot.press("down", "up")  # another lesson: what was shown is hidden again
        await pilot.pause()
        assert not any(answers())


async def test_the_panel_can_be_read_while_the_list_has_the_keys() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(pilot, lambda: complete(app))
        await pilot.press("shift+down", "J")
        await pilot.pause()
        assert about(app).scroll_offset.y == 6
        await pilot.press("a")
        assert about(app).scroll_offset.y == 6  # answers do not lose the place
        await pilot.press("shift+up", "K")
        await pilot.pause()
        assert about(app).scroll_offset.y == 0
        await pilot.press("J", "down")
        await pilot.pause()
        assert about(app).scroll_offset.y == 0  # another lesson begins at its top


@pytest.mark.usefixtures("nothing_worked_out")
async def test_a_lesson_is_run_only_where_the_cursor_rests(
    nothing_worked_out: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = home_module._equations_and_picture

    def counted(lesson: Lesson) -> Any:
        asked.append(lesson.id)
        return real(lesson)

    monkeypatch.setattr(home_module, "_equations_and_picture", counted)
    monkeypatch.setattr(home_module, "REST", 0.5)
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        start = perf_counter()
        for _ in range(5):
            await pilot.press("down")
        if perf_counter() - start < 0.4:  # else the machine itself rested
            assert asked == []
        assert "…" in about(app).text and LESSONS[5].idea[:20] in about(app).text
        await until(pilot, lambda: complete(app))
        assert asked[-1] == LESSONS[5].id
        assert asked.count(LESSONS[5].id) == 1
        assert "  …" not in about(app).text
        before = list(asked)
        await pilot.press("up", "down")
        await pilot.pause()
        assert complete(app)  # at once: it is known
        assert asked.count(LESSONS[5].id) == before.count(LESSONS[5].id)


@pytest.mark.usefixtures("nothing_worked_out")
async def test_what_arrives_late_does_not_replace_another_lesson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        screen = app.screen
        assert isinstance(screen, HomeScreen)
        await pilot.press("down")
        await screen._worked_out(LESSONS[3])
        assert words(LESSONS[1].idea) in words(about(app).text)
        await until(pilot, lambda: complete(app))
        assert words(LESSONS[1].idea) in words(about(app).text)


async def test_a_lesson_that_cannot_run_says_so_and_the_rest_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def program(xp: Any, x: Any) -> Any:
        return float(x.value)

    broken = replace(find_lesson("square"), program=program)
    told = home_module._equations_and_picture(broken)
    assert "the program must return a value" in "".join(piece.text for piece in told[0].pieces)


# ── clicks, help, looks ───────────────────────────────────────────────────────────────────────


async def test_a_click_chooses_and_a_second_one_opens() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        await pilot.click(LessonList, offset=(10, 3))
        assert listed(app).lesson is LESSONS[1]
        await pilot.click(LessonList, offset=(10, 3))
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)


async def test_a_click_on_a_chapter_goes_to_its_first_lesson() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]) as pilot:
        lines = painted(listed(app))
        place = next(
            y for y, line in enumerate(lines) if line.startswith(FIRSTS[1].chapter.upper())
        )
        await pilot.click(LessonList, offset=(10, place + 1))
        await pilot.pause()
        assert listed(app).lesson is FIRSTS[1]
        await pilot.click(LessonList, offset=(10, place))  # the empty line above: nothing
        await pilot.pause()
        assert listed(app).lesson is FIRSTS[1]
        assert isinstance(app.screen, HomeScreen)


async def test_help_and_quit() -> None:
    app = home()
    async with app.run_test(size=SIZES[1]) as pilot:
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        text = shown(app)
        for said in ("To the suggested next lesson", "Show or hide the answers", "next chapter"):
            assert said in text
        await pilot.press("escape", "q")
        assert app.return_code == 0


async def test_every_key_is_in_the_palette_too() -> None:
    app = home()
    async with app.run_test(size=SIZES[0]):
        commands = {command.title for command in app.get_system_commands(app.screen)}
        for binding in (*LessonList.BINDINGS, *HomeScreen.BINDINGS):
            if binding.key not in ("up", "down"):  # the search's arrows: the list has its own
                assert binding.description in commands


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", ["backprop-light", "no color", "ascii"])
async def test_the_signs_are_there_in_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str, size: tuple[int, int]
) -> None:
    if look == "no color":
        monkeypatch.setenv("NO_COLOR", "1")
    store = knowing(tmp_path, done=frozenset({"square"}))
    app = BackpropApp(None, store, ascii=look == "ascii", reference=False)
    if look == "backprop-light":
        app.theme = look
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: complete(app))
        text = shown(app)
        assert "SCALARS  1/" in text
        for sign in ("v", ">") if look == "ascii" else ("✓", "→"):
            assert any(line[: listed(app).size.width + 2].rstrip().endswith(sign)
                       for line in text.splitlines())  # fmt: skip
        assert text.isascii() or look != "ascii"
        await pilot.press("n", "a", "]", "slash", *"rec", "escape", "?")
        await pilot.pause()
        assert shown(app).isascii() or look != "ascii"
