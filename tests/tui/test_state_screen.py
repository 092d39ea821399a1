"""The script's screen with real keys: forth and back, torch beside, what differs, small windows."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.script import FIELDS, Script, ScriptRun
from backprop_tui.reference.torch_script import run_script
from backprop_tui.script_text import field_text
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.lines_view import LinesView
from backprop_tui.tui.script_view import ScriptView
from backprop_tui.tui.state_screen import StateScreen
from backprop_tui.tui.state_table import StateTable, TableLayout
from tests.tui.screen import painted, shown

WIDE, USUAL, SMALL = (160, 45), (120, 40), (80, 24)
SIZES = [WIDE, USUAL, SMALL]

PLUMBING = find_lesson("plumbing")
assert PLUMBING.script is not None
SCRIPT: Script = PLUMBING.script
RUN = run_script(SCRIPT)
LAST = len(SCRIPT.statements) - 1


async def opened(pilot: Pilot[None], run: ScriptRun | None = RUN) -> StateScreen:
    """The script's screen, opened with its key, with what torch said."""
    app = pilot.app
    assert isinstance(app.screen, LessonScreen)
    if run is not None:
        app.screen.script_arrived(run)
    await pilot.press("s")
    screen = app.screen
    assert isinstance(screen, StateScreen)
    return screen


def app_on(lesson: object = PLUMBING) -> BackpropApp:
    return BackpropApp(lesson, reference=False)  # type: ignore[arg-type]


def panels(screen: StateScreen) -> tuple[object, ...]:
    return (
        painted(screen.query_one(ScriptView)),
        screen.query_one(StateTable).text,
        screen.query_one("#note", LinesView).text,
        screen.query_one(Heading).text,
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_forth_and_back_shows_the_same_states(size: tuple[int, int]) -> None:
    async with app_on().run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert screen.position == -1
        seen = [panels(screen)]
        for place in range(LAST + 1):
            await pilot.press("right" if place % 2 else "n")
            assert screen.position == place
            seen.append(panels(screen))
        await pilot.press("right")
        assert screen.position == LAST
        for place in range(LAST, -1, -1):
            assert panels(screen) == seen[place + 1]
            await pilot.press("left" if place % 2 else "p")
        assert panels(screen) == seen[0]
        await pilot.press("left")
        assert screen.position == -1
        assert len({seen_there[2] for seen_there in seen}) == LAST + 2


async def test_every_way_to_move() -> None:
    app = app_on()
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        assert "plumbing" not in app.state.done
        for key, position in [("end", LAST), ("home", -1), ("down", 0), ("down", 1), ("up", 0)]:
            await pilot.press(key)
            assert screen.position == position, key
        assert "plumbing" in app.state.done  # it was seen to its end
        await pilot.click("#script", offset=(12, 5))  # the frame is the first line
        assert screen.position == 4
        await pilot.click("#script", offset=(12, 30))  # below the last one
        assert screen.position == 4


async def test_the_present_statement_is_lit_and_those_ahead_step_back() -> None:
    async with app_on().run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await pilot.press(*["right"] * 6)
        lines = painted(screen.query_one(ScriptView))
        assert [line[4] for line in lines] == [" "] * 5 + ["▸"] + [" "] * 14
        assert lines[5] == "  6 ▸L.backward() !"
        assert lines[16] == " 17  w -= 0.125 * w.grad"  # it has not been refused yet
        view = screen.query_one(ScriptView)
        assert all("lit" in piece.role for piece in view.paint_line(5)[2:-1])
        assert {piece.role for piece in view.paint_line(6)} == {"muted", "active"}


async def test_the_table_by_hand_and_torch_with_what_has_changed() -> None:
    async with app_on().run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await pilot.press(*["right"] * 3)
        table = screen.query_one(StateTable)
        assert table.text.splitlines()[1].startswith(" w by hand   3 ")
        assert table.text.splitlines()[5].startswith("+z by hand   6      False ")
        await pilot.press("right", "right")
        lines = [" ".join(line.split()) for line in table.text.splitlines()]
        assert lines[:3] == [
            "value is_leaf requires_grad retains_grad grad grad_fn made",
            "w by hand 3 True True False ▸24 None 1",
            "torch 3 True True False ▸24 None 1 ✓ agrees",
        ]
        assert len(lines) == 1 + 2 * 4
        lit = [piece.text for piece in table.paint_line(1) if "lit" in piece.role]
        assert lit == ["24"]
        assert "w.grad = 2 · z · x = 2 · 6 · 2 = 24" in shown(pilot.app)


async def test_a_refused_statement_shows_torchs_message_and_the_script_goes_on() -> None:
    async with app_on().run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await pilot.press(*["right"] * 6)
        text = " ".join(screen.query_one("#note", LinesView).text.split())
        said = "torch raises RuntimeError: Trying to backward through the graph a second time"
        assert f"✓ As predicted, {said}" in text
        assert "▸" not in screen.query_one(StateTable).text  # nothing has changed
        await pilot.press("right")
        assert "▸7" in screen.query_one(StateTable).text


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_nothing_is_cut_off(size: tuple[int, int]) -> None:
    """The whole table, the statement and the sentence are on the screen at once."""
    async with app_on().run_test(size=size) as pilot:
        screen = await opened(pilot)
        for place in range(LAST + 1):
            await pilot.press("right")
            whole = shown(pilot.app)
            for line in screen.query_one(StateTable).text.splitlines():
                assert line.rstrip() in whole
            assert SCRIPT.statements[place].code in whole
            note = " ".join(SCRIPT.statements[place].note.split()[:6])
            assert note in " ".join(whole.split())
        table = screen.query_one(StateTable)
        assert not table.show_vertical_scrollbar
        assert not table.show_horizontal_scrollbar


async def test_a_low_window_gives_torch_a_line_only_where_it_differs() -> None:
    moments = list(RUN.moments)
    states = moments[4].states
    wrong = {**states, "w": replace(states["w"], grad=12.0)}
    moments[4] = replace(moments[4], states=wrong)
    async with app_on().run_test(size=SMALL) as pilot:
        screen = await opened(pilot, ScriptRun(tuple(moments)))
        await pilot.press(*["right"] * 4)
        assert [line[1:6] for line in screen.query_one(StateTable).text.splitlines()[1:]] == [
            "w   ✓", "x   ✓", "z   ✓", "L   ✓",
        ]  # fmt: skip
        await pilot.press("right")
        lines = screen.query_one(StateTable).text.splitlines()
        assert [line[1:6] for line in lines[1:4]] == ["w   ✗", "torch", "x   ✓"]
        assert "✗12" in lines[2]


async def test_what_differs_is_marked_named_and_counted() -> None:
    moments = list(RUN.moments)
    states = moments[4].states
    wrong = {**states, "w": replace(states["w"], grad=12.0)}
    moments[4] = replace(moments[4], states=wrong)
    async with app_on().run_test(size=WIDE) as pilot:
        screen = await opened(pilot, ScriptRun(tuple(moments)))
        assert "torch ✗ differs at 5, w.grad" in screen.query_one(Heading).text
        await pilot.press(*["right"] * 5)
        lines = [" ".join(line.split()) for line in painted(screen.query_one(StateTable))]
        assert lines[1] == "w by hand 3 True True False ▸24 None 1"
        assert lines[2] == "torch 3 True True False ✗12 None 1 ✗ differs"
        row = screen.query_one(StateTable).paint_line(2)
        assert [p.text for p in row if "differ" in p.role] == [" ✗", "12", " ✗", " differs"]
        note = screen.query_one("#note", LinesView).text
        assert "✗ after statement 5, w.grad is 24.0 by hand and 12.0 by torch" in note


async def test_without_torch_what_is_by_hand_is_shown() -> None:
    async with app_on().run_test(size=WIDE) as pilot:
        screen = await opened(pilot, None)
        assert "torch off" in screen.query_one(Heading).text
        await pilot.press(*["right"] * 6)
        assert screen.query_one(StateTable).text.splitlines()[2].split() == ["torch", "off"]
        assert "✓" not in shown(pilot.app)
        assert "By hand: RuntimeError" in screen.query_one("#note", LinesView).text


async def test_torch_answers_while_the_screen_is_open() -> None:
    """By the real process: the states are torch's, whichever screen is in front."""
    app = BackpropApp(PLUMBING)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("s")
        screen = app.screen
        assert isinstance(screen, StateScreen)
        await pilot.press("end")

        async def answered() -> None:
            while "✓" not in screen.query_one(Heading).text:
                await pilot.pause(0.05)

        await asyncio.wait_for(answered(), 60)
        assert "torch ✓ agrees: 20 statements, 623 cells" in screen.query_one(Heading).text
        assert screen.query_one(StateTable).text.count("✓ agrees") == 7


async def test_help_and_the_way_back() -> None:
    app = app_on()
    async with app.run_test(size=USUAL) as pilot:
        await opened(pilot)
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        text = shown(app)
        assert "is_leaf" in text and "To the next statement" in text
        await pilot.press("escape")
        assert isinstance(app.screen, StateScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, LessonScreen)
        await pilot.press("s", "s")
        assert isinstance(app.screen, LessonScreen)


async def test_a_lesson_without_a_script_has_no_such_key() -> None:
    app = BackpropApp(find_lesson("square"), reference=False)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("s")
        assert isinstance(app.screen, LessonScreen)
        assert "State" not in shown(app).splitlines()[-1]


async def test_the_way_home_is_in_the_footer_of_a_small_window() -> None:
    app = app_on()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        footer = shown(app).splitlines()[-1]
        assert "s State" in footer and "esc Home" in footer


async def test_resizing_keeps_the_statement_and_a_tiny_window_says_what_it_needs() -> None:
    app = app_on()
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await pilot.press("end")
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert screen.position == LAST
        assert " 20 ▸w = w - 0.125 * w.grad" in shown(app)
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert "80×24 needed, this is 60×20" in shown(app)
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert screen.query_one(StateTable).text.count("✓ agrees") == 7


async def test_ascii_alone() -> None:
    app = BackpropApp(PLUMBING, reference=False, ascii=True)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*["right"] * 5)
        assert shown(app).replace("\n", "").isascii()


# ── layout ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("compact", [False, True])
def test_columns_stay_where_they_are(compact: bool) -> None:
    layout = TableLayout(SCRIPT)
    moments = SCRIPT.moments()
    widths = set()
    for before, moment, actual in zip(moments, moments[1:], RUN.moments[1:], strict=False):
        rows = layout.rows(moment, before, actual, "", compact=compact)
        texts = ["".join(piece.text for piece in row) for row in rows]
        for name, text in zip(moment.states, texts[1 :: 1 if compact else 2], strict=True):
            for what in FIELDS:
                shown_there = text[texts[0].index(f" {what}") + 1 :].split(" ")[0]
                assert shown_there == field_text(getattr(moment.states[name], what))
        widths |= {len(text) for text in texts[1:] if not text.endswith("agrees")}
        assert all(len(text) <= layout.width(compact) for text in texts)
    assert len(widths) == 1


def test_a_tensor_that_only_torch_has_and_one_that_only_we_have() -> None:
    layout = TableLayout(SCRIPT)
    moment = SCRIPT.moments()[0]
    actual = dataclasses.replace(RUN.moments[1], states={"x": RUN.moments[1].states["x"]})
    rows = layout.rows(moment, moment, actual, "", compact=False)
    texts = [" ".join("".join(piece.text for piece in row).split()) for row in rows]
    assert texts[1:] == [
        "w by hand 3 True True False None None 1",
        "torch not there ✗ differs",
        "x by hand not there",
        "torch 2 True False False None None 2 ✗ differs",
    ]
