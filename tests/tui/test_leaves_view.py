"""The leaves: moving, typing, nudging, pasting, by key and by mouse, and what is painted."""

from __future__ import annotations

import dataclasses
import math
import time
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Button, Footer

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import Equation, Leaf, Lesson, Size
from backprop_tui.session import EditRefused, Session
from backprop_tui.tui.glyphs import plain
from backprop_tui.tui.leaves_editing import nudge_step, nudged
from backprop_tui.tui.leaves_layout import Spot, arrange, make_blocks
from backprop_tui.tui.leaves_view import LeavesView


class Host(App[None]):
    """A session and its leaves; keys of its own that the view must or must not let through."""

    BINDINGS: ClassVar = [Binding("left,1,x", "note", "Note"), Binding("q", "note", "Note too")]

    def __init__(self, lesson: Lesson | str, width: int | None = None) -> None:
        super().__init__()
        self.session = Session(find_lesson(lesson) if isinstance(lesson, str) else lesson)
        self.width = width
        self.received: list[Message] = []
        self.notes = 0
        self.answering = True

    def compose(self) -> ComposeResult:
        view = LeavesView(id="leaves")
        if self.width is not None:
            view.styles.width = self.width
        yield view
        yield Button("elsewhere")
        yield Footer()

    def on_mount(self) -> None:
        self.show()
        self.view.focus()

    @property
    def view(self) -> LeavesView:
        return self.query_one(LeavesView)

    def show(self) -> None:
        inputs = self.session.inputs
        self.view.set_content(inputs.leaves, inputs.sizes, self.session.lesson)

    def action_note(self) -> None:
        self.notes += 1

    def _answer(self, message: LeavesView.Edited, edit: Any) -> None:
        self.received.append(message)
        if not self.answering:
            return
        try:
            edit()
        except EditRefused as refusal:
            self.view.refuse(str(refusal))
        else:
            self.show()

    def on_leaves_view_cell_edited(self, m: LeavesView.CellEdited) -> None:
        self._answer(m, lambda: self.session.set_cell(m.name, m.index, m.number))

    def on_leaves_view_leaf_pasted(self, m: LeavesView.LeafPasted) -> None:
        self._answer(m, lambda: self.session.set_leaf(m.name, m.value))

    def on_leaves_view_size_edited(self, m: LeavesView.SizeEdited) -> None:
        self._answer(m, lambda: self.session.set_size(m.name, m.number))

    def on_leaves_view_reset_requested(self, m: LeavesView.ResetRequested) -> None:
        self._answer(m, lambda: self.session.reset(m.name))


def shown(app: App[None]) -> list[str]:
    """The screen as it was painted, line by line."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def fresh(view: LeavesView) -> list[str]:
    """The view's lines, painted from nothing."""
    view._strips.clear()
    return [view.render_line(y).text for y in range(view.size.height)]


def status(app: Host) -> str:
    view = app.view
    return view.render_line(view._seen.height - 1).text.strip()


def place(view: LeavesView, name: str, index: tuple[int, ...] = ()) -> tuple[int, int]:
    """Where to click for a cell, in the widget (its border is one line)."""
    box = view._box(Spot(name, index)) or view._box(Spot(name, index, True))
    assert box is not None
    return box.x + 1 - view.scroll_offset.x, box.y + 1 - view.scroll_offset.y


async def paste(pilot: Pilot[None], text: str) -> None:
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


# ── nudging ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (0.0, "0.1"),
        (0.3, "0.1"),
        (-9.9, "0.1"),
        (10.0, "1"),
        (-55.0, "1"),
        (250.0, "10"),
        (0.01, "0.1"),
        (0.003, "0.001"),
        (-2e-7, "1e-7"),
        (1e300, "1e299"),
    ],
)
def test_a_step_fits_the_numbers_size(number: float, step: str) -> None:
    assert nudge_step(number) == Decimal(step)


@pytest.mark.parametrize(
    ("number", "times", "moved"),
    [
        (0.1, "1", 0.2),
        (0.2, "1", 0.3),
        (0.1343, "1", 0.2343),
        (0.3, "-1", 0.2),
        (2.0, "10", 3.0),
        (0.5, "0.1", 0.51),
        (0.0, "-1", -0.1),
        (0.1, "-1", 0.0),
        (0.001, "-1", 0.0),
        (math.inf, "1", math.inf),
        (1.7976931348623157e308, "10", 1.7976931348623157e308),
    ],
)
def test_nudging_leaves_no_noise(number: float, times: str, moved: float) -> None:
    assert nudged(number, Decimal(times)) == moved


def test_a_hundred_nudges_there_and_back() -> None:
    number = 0.0
    for _ in range(90):
        number = nudged(number, 1)
    assert number == 9.0
    for _ in range(180):
        number = nudged(number, -1)
    assert number == -9.0


# ── layout ────────────────────────────────────────────────────────────────────────────────────


def blocks(lesson_id: str, changed: frozenset[str] = frozenset()) -> Any:
    session = Session(find_lesson(lesson_id))
    return make_blocks(session.inputs.leaves, session.inputs.sizes, session.lesson, changed)


def drawn(lesson_id: str, width: int, height: int, changed: frozenset[str] = frozenset()) -> str:
    placed = arrange(blocks(lesson_id, changed), width, height)
    canvas = [[" "] * 200 for _ in range(max(p.y + p.block.height for p in placed))]
    for p in placed:
        for y in range(p.block.height):
            for x, text, _ in p.block.line(y, p.width, None):
                canvas[p.y + y][p.x + x : p.x + x + len(text)] = text
    return "\n".join("".join(line).rstrip() for line in canvas)


def test_scalars_are_a_list() -> None:
    assert drawn("tanh-recursion", 60, 10) == "\n".join(
        [
            " T     2    time steps, 1 to 50",
            " h0    0.5  the state at the beginning",
            " w_h   2    the recurrent weight, the same at every step",
            " w_y  40    the weight of the output",
        ]
    )


def test_matrices_are_in_brackets_and_side_by_side_where_it_is_wide() -> None:
    assert drawn("matrix-linear", 78, 6, frozenset("W")) == "\n".join(
        [
            " X  5×2  the inputs, a row a sample      W* 2×3  edited · the weights, a row…",
            " ⎡  1.1939   0.1343 ⎤                    ⎡ -0.328    1.1977  0.411  ⎤",
            " ⎢ -0.113    0.0077 ⎥                    ⎣  1.8343  -0.7891  0.8515 ⎦",
            " ⎢ -0.2277  -1.1534 ⎥",
            " ⎢  1.6545  -0.7241 ⎥                    B  1×3  the bias, one row for all sa…",
            " ⎣ -0.4871   0.5044 ⎦                    [ 1.1714  0.1635  0.9987 ]",
        ]
    )


@pytest.mark.parametrize("lesson", ["square", "linear", "matrix-linear", "rnn"])
@pytest.mark.parametrize("size", [(1, 1), (20, 5), (54, 11), (78, 20), (160, 40)])
def test_blocks_never_overlap(lesson: str, size: tuple[int, int]) -> None:
    placed = arrange(blocks(lesson), *size)
    taken: set[tuple[int, int]] = set()
    for p in placed:
        for y in range(p.block.height):
            for x, text, _ in p.block.line(y, p.width, None):
                cells = {(p.x + x + i, p.y + y) for i in range(len(text))}
                assert not cells & taken
                taken |= cells
    if size[0] >= 54:
        assert max(x for x, _ in taken) < size[0]


# ── moving ────────────────────────────────────────────────────────────────────────────────────


async def test_a_leaf_is_chosen_first_and_named_in_the_status() -> None:
    app = Host("rnn")
    async with app.run_test(size=(120, 30)) as pilot:
        assert app.view.spot == Spot("x", (0, 0))
        app.view.select("W_h", (1, 2))
        await pilot.pause()
        assert status(app) == "W_h[1, 2] = -0.41 · weights of the state"


async def test_arrows_walk_through_every_leaf() -> None:
    app = Host("rnn")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "ctrl+home")
        assert app.view.spot == Spot("T", (), True)
        seen: list[Spot] = []
        while not seen or app.view.spot != seen[-1]:
            assert app.view.spot is not None
            seen.append(app.view.spot)
            box = app.view._box(seen[-1])
            assert box is not None
            assert 0 <= box.y - app.view.scroll_offset.y < app.view._room  # kept in view
            await pilot.press("down")
        names = list(dict.fromkeys(spot.name for spot in seen))
        assert names == ["T", "hidden", *app.session.inputs.leaves]
        await press(pilot, *["up"] * len(seen))
        assert app.view.spot == Spot("T", (), True)


async def test_left_and_right_go_to_the_leaf_beside() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(100, 12)) as pilot:
        await press(pilot, "down", "right")
        assert app.view.spot == Spot("X", (1, 1))
        await press(pilot, "right")
        assert app.view.spot == Spot("W", (1, 0))
        await press(pilot, "left")
        assert app.view.spot == Spot("X", (1, 1))


@pytest.mark.parametrize(
    ("key", "spot"),
    [
        ("home", Spot("W_h", (1, 0))),
        ("end", Spot("W_h", (1, 2))),
        ("pageup", Spot("b_x", (0,))),
        ("pagedown", Spot("b_h", (0,))),
        ("ctrl+home", Spot("T", (), True)),
        ("ctrl+end", Spot("b_y", (0,))),
    ],
)
async def test_other_keys_that_move(key: str, spot: Spot) -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.select("W_h", (1, 1))
        await press(pilot, key)
        assert app.view.spot == spot


# ── typing ────────────────────────────────────────────────────────────────────────────────────


async def test_typing_replaces_and_enter_keeps() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "minus", "2", ".", "5")
        assert app.view.editing
        assert app.session.inputs.leaves["w"] == 5.0
        assert status(app) == "w was 5"
        await press(pilot, "enter")
        assert not app.view.editing
        assert app.session.inputs.leaves["w"] == -2.5
        assert app.view.spot == Spot("w")
        assert status(app) == "w = -2.5 · edited · the weight"
        assert app.notes == 0  # the app's own 1 and left have not been pressed


async def test_enter_edits_the_text_that_is_there() -> None:
    app = Host("square")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "enter")
        await press(pilot, *["backspace"] * 13, "enter")
        assert app.session.inputs.leaves["x"] == 0.431


async def test_keys_within_the_text() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "f2", "home", "1", "right", "2", "left", "left", "delete", "end", ".")
        await press(pilot, "7", "enter")
        assert app.session.inputs.leaves["w"] == 12.7
        assert app.notes == 0


async def test_escape_leaves_it_as_it_was() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "9", "escape", "enter", "enter")
        assert app.received == []
        assert app.session.inputs.leaves["w"] == 5.0


async def test_tab_keeps_and_goes_on_also_into_the_next_leaf() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        app.view.select("X", (4, 0))
        await press(pilot, "1", "tab", "2", "tab", "3", "tab")
        assert app.session.inputs.leaves["X"][4].tolist() == [1.0, 2.0]  # type: ignore[index]
        assert app.session.inputs.leaves["W"][0, 0] == 3.0  # type: ignore[index]
        assert app.view.spot == Spot("W", (0, 1))
        await press(pilot, "4", "shift+tab")
        assert app.view.spot == Spot("W", (0, 0))


async def test_tab_without_typing_leaves_the_view() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "tab")
        assert isinstance(app.focused, Button)


async def test_up_and_down_keep_what_is_typed() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "7", "down", "8", "up")
        assert app.session.inputs.leaves["w"] == 7.0
        assert app.session.inputs.leaves["x"] == 8.0
        assert app.view.spot == Spot("w")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("1x", "“1x” is not a number"),
        ("1e999", "1e999 is too large: the largest is about 1.8e308"),
        ("-", "“-” is not a number"),
        ("1,5", "“1,5” has a comma: write 1.5"),
        ("5٣", "“5٣” has a digit that is not one of 0 to 9"),
    ],
)
async def test_a_bad_number_is_refused_in_place(typed: str, words: str) -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, *typed, "enter")
        assert app.view.editing
        assert app.view.refusal == words
        assert app.session.inputs.leaves["w"] == 5.0
        lines = shown(app)
        row = next(i for i, line in enumerate(lines) if typed in line)
        assert f"! {words}" in lines[row + 1]
        assert status(app) == "w is still 5"
        await press(pilot, "backspace")
        assert app.view.refusal == ""
        assert words not in "\n".join(shown(app))
        await press(pilot, *["backspace"] * 9, "6", "enter")
        assert app.session.inputs.leaves["w"] == 6.0


async def test_an_empty_cell_is_refused() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "5", "backspace", "enter")
        assert app.view.refusal == "there is no number here: type one, such as 2.5"


async def test_what_the_screen_refuses_stays_visible() -> None:
    app = Host("linear")
    app.answering = False
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "7", "tab")
        assert app.view.spot == Spot("x")
        app.view.refuse("seven is not allowed")
        await pilot.pause()
        assert app.view.spot == Spot("w")
        assert app.view.editing
        assert "! seven is not allowed" in "\n".join(shown(app))


async def test_a_refusal_at_the_bottom_is_seen() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 9)) as pilot:
        await press(pilot, "down", "down", "1", "x", "enter")
        assert "“1x” is not a number" in "\n".join(shown(app))


async def test_committing_the_same_number_is_no_edit() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "5", ".", "0", "enter")
        assert app.received == []


async def test_leaving_the_view_keeps_the_number_but_losing_the_window_does_not() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "7")
        app.post_message(events.AppBlur())
        await pilot.pause()
        assert app.view.editing
        assert app.received == []
        app.post_message(events.AppFocus())
        await pilot.pause()
        await press(pilot, "1")
        await pilot.click(Button)
        await pilot.pause()
        assert not app.view.editing
        assert app.session.inputs.leaves["w"] == 71.0


async def test_an_answer_from_elsewhere_does_not_disturb_typing() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "7")
        app.session.set_cell("b", (), 1.0)
        app.show()
        await press(pilot, "5", "enter")
        assert app.session.inputs.leaves["w"] == 75.0


async def test_very_long_text_is_bounded_and_shown_in_part() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "1")
        await paste(pilot, "0" * 59)
        for _ in range(9):
            await paste(pilot, "0" * 59)
        assert app.view._draft is not None
        assert len(app.view._draft.text) == 400
        assert max(map(len, shown(app))) == 60
        await press(pilot, "enter")
        assert "is too large" in app.view.refusal


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_size_is_edited_like_a_cell() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+home", "4", "enter")
        assert app.session.inputs.sizes["T"] == 4
        assert np.shape(app.session.inputs.leaves["x"]) == (4, 1)
        await press(pilot, "down", "right_square_bracket")
        assert app.session.inputs.sizes["hidden"] == 4
        assert any("4×4" in line for line in shown(app))


@pytest.mark.parametrize("typed", ["0", "51", "2.5", "1e300"])
async def test_a_size_out_of_bounds_is_refused(typed: str) -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+home", *typed, "enter")
        assert app.view.refusal == "T (time steps) must be a whole number from 1 to 50"
        assert app.session.inputs.sizes["T"] == 2


async def test_nudging_a_size_stops_at_its_bounds() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+home", *["left_curly_bracket"] * 2)
        assert app.session.inputs.sizes["T"] == 1
        assert app.view.refusal == "T goes from 1 to 50"
        await press(pilot, "right_curly_bracket")
        assert app.session.inputs.sizes["T"] == 11
        assert app.view.refusal == ""


async def test_a_cell_that_a_smaller_size_takes_away() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.select("W_h", (2, 2))
        app.session.set_size("hidden", 2)
        app.show()
        await pilot.pause()
        assert app.view.spot == Spot("W_h", (1, 1))


# ── nudging on the screen ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("right_square_bracket", 5.1),
        ("left_square_bracket", 4.9),
        ("right_curly_bracket", 6.0),
        ("left_curly_bracket", 4.0),
        ("shift+up", 5.1),
        ("shift+down", 4.9),
        ("ctrl+up", 5.01),
        ("ctrl+down", 4.99),
    ],
)
async def test_keys_that_nudge(key: str, expected: float) -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, key)
        assert app.session.inputs.leaves["w"] == expected


async def test_no_nudge_is_lost_while_answers_are_late() -> None:
    app = Host("linear")
    app.answering = False
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, *["right_square_bracket"] * 7)
        numbers = [m.number for m in app.received if isinstance(m, LeavesView.CellEdited)]
        assert numbers == [5.1, 5.2, 5.3, 5.4, 5.5, 5.6, 5.7]


async def test_a_held_key_adds_up_exactly() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, *["right_square_bracket"] * 40)
        assert app.session.inputs.leaves["w"] == 9.0


async def test_undo_between_nudges_is_where_the_next_starts() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, *["right_square_bracket"] * 3)
        app.session.undo()
        app.show()
        await press(pilot, "right_square_bracket")
        assert app.session.inputs.leaves["w"] == 5.3


async def test_nan_cannot_be_nudged() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        app.session.set_cell("w", (), math.nan)
        app.show()
        await press(pilot, "right_square_bracket")
        assert app.received == []
        assert status(app).startswith("w = nan")


# ── pasting ───────────────────────────────────────────────────────────────────────────────────


async def test_one_number_goes_into_the_cell() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        app.view.select("W", (1, 2))
        await paste(pilot, " [7.5]\n")
        assert app.session.inputs.leaves["W"][1, 2] == 7.5  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    ["[[1,2,3],[4,5,6]]", "1\t2\t3\n4\t5\t6\n", "W = np.array([[1., 2., 3.],\n [4., 5., 6.]])"],
)
async def test_more_numbers_are_the_whole_leaf(text: str) -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        app.view.select("W", (1, 2))
        await paste(pilot, text)
        assert np.array_equal(app.session.inputs.leaves["W"], [[1, 2, 3], [4, 5, 6]])
        assert app.view.spot == Spot("W", (1, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3", "expected 2×3, got 3 numbers"),
        ("[[1,2],[3]]", "row 2 has 1 number, row 1 has 2"),
        ("what?", "“what?” is not a number"),
        ("", "there is no number here: type one, such as 2.5"),
        ("1 " * 5_000_000, "this is 10 MB; at most 1 MB can be pasted"),
    ],
    ids=["shape", "ragged", "words", "empty", "10 MB"],
)
async def test_a_bad_paste_is_refused_in_place(text: str, words: str) -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        app.view.select("W", (1, 2))
        await paste(pilot, text)
        assert app.view.refusal == words
        assert words in "\n".join(shown(app))
        assert app.received == []
        assert not app.view.editing
        await press(pilot, "up")
        assert app.view.refusal == ""
        assert words not in "\n".join(shown(app))


async def test_a_free_shape_takes_any_length() -> None:
    app = Host("sum-of-squares")
    async with app.run_test(size=(80, 12)) as pilot:
        await paste(pilot, "1 2 3 4 5")
        assert np.array_equal(app.session.inputs.leaves["x"], [1, 2, 3, 4, 5])
        assert any("[5]" in line for line in shown(app))
        await paste(pilot, "[[1, 2], [3, 4]]")
        assert app.view.refusal == "x must be 3 numbers, not 2×2"


async def test_a_longer_input_than_the_size_needs_is_taken_a_shorter_one_is_not() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.select("x", (0, 0))
        await paste(pilot, "[[1],[2],[3],[4],[5]]")
        assert np.shape(app.session.inputs.leaves["x"]) == (5, 1)
        await paste(pilot, "[[1]]")  # one number: for the cell
        assert np.shape(app.session.inputs.leaves["x"]) == (5, 1)


async def test_pasting_while_typing_goes_into_the_text() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        await press(pilot, "1")
        await paste(pilot, "2.5\n")
        await press(pilot, "enter")
        assert app.session.inputs.leaves["X"][0, 0] == 12.5  # type: ignore[index]


async def test_pasting_a_matrix_while_typing_replaces_the_leaf() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        app.view.select("B", (0, 0))
        await press(pilot, "1")
        await paste(pilot, "7 8 9")
        assert not app.view.editing
        assert np.array_equal(app.session.inputs.leaves["B"], [[7, 8, 9]])


async def test_pasting_on_a_size() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+home")
        await paste(pilot, "3")
        assert app.session.inputs.sizes["T"] == 3
        await paste(pilot, "1 2")
        assert app.view.refusal == "“1 2” is more than one number"


# ── mouse ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_click_chooses_and_a_second_edits() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        where = place(app.view, "W", (1, 1))
        await pilot.click(LeavesView, offset=where)
        assert app.view.spot == Spot("W", (1, 1))
        assert not app.view.editing
        await pilot.click(LeavesView, offset=where)
        assert app.view.editing


async def test_a_double_click_edits() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.double_click(LeavesView, offset=place(app.view, "B", (0, 2)))
        assert app.view.editing
        assert app.view.spot == Spot("B", (0, 2))


async def test_a_click_elsewhere_keeps_what_is_typed_if_it_is_a_number() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        await press(pilot, "8")
        await pilot.click(LeavesView, offset=place(app.view, "W", (0, 0)))
        await pilot.pause()
        assert app.session.inputs.leaves["X"][0, 0] == 8.0  # type: ignore[index]
        assert app.view.spot == Spot("W", (0, 0))
        await press(pilot, "8", "x")
        await pilot.click(LeavesView, offset=place(app.view, "X", (1, 1)))
        assert app.view.spot == Spot("W", (0, 0))
        assert app.view.refusal


async def test_a_click_on_a_name_chooses_the_leaf() -> None:
    app = Host("matrix-linear")
    async with app.run_test(size=(80, 12)) as pilot:
        x, y = place(app.view, "W", (0, 0))
        await pilot.click(LeavesView, offset=(x, y - 1))
        assert app.view.spot == Spot("W", (0, 0))


async def test_clicks_count_the_scrolling_in() -> None:
    app = Host("rnn")
    async with app.run_test(size=(54, 12)) as pilot:
        await press(pilot, "ctrl+end")
        assert app.view.scroll_offset.y > 0
        await pilot.click(LeavesView, offset=place(app.view, "W_y", (0, 1)))
        assert app.view.spot == Spot("W_y", (0, 1))


async def test_a_click_on_the_status_line_does_nothing() -> None:
    app = Host("rnn")
    async with app.run_test(size=(54, 12)) as pilot:
        before = app.view.spot
        await pilot.click(LeavesView, offset=(3, app.view.size.height))
        assert app.view.spot == before


def wheel(app: Host, kind: type[events.MouseEvent], where: tuple[int, int], ctrl: bool) -> None:
    x, y = where
    region = app.view.region
    app.post_message(
        kind(None, region.x + x, region.y + y, 0, 0, 0, False, False, ctrl,
             region.x + x, region.y + y)
    )  # fmt: skip


async def test_the_wheel_nudges_with_ctrl_and_scrolls_without() -> None:
    app = Host("rnn")
    async with app.run_test(size=(54, 12)) as pilot:
        where = place(app.view, "W_h", (1, 1))
        wheel(app, events.MouseScrollUp, where, ctrl=True)
        await pilot.pause()
        await pilot.pause()
        assert app.session.inputs.leaves["W_h"][1, 1] == 0.46  # type: ignore[index]
        wheel(app, events.MouseScrollDown, where, ctrl=True)
        await pilot.pause()
        await pilot.pause()
        assert app.session.inputs.leaves["W_h"][1, 1] == 0.36  # type: ignore[index]
        assert app.view.scroll_offset.y == 0
        wheel(app, events.MouseScrollDown, where, ctrl=False)
        await pilot.pause()
        assert app.view.scroll_offset.y > 0


# ── resetting, marks ──────────────────────────────────────────────────────────────────────────


async def test_r_asks_to_reset_the_leaf_and_the_star_goes() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "7", "enter")
        assert any("w*" in line and "edited" in line for line in shown(app))
        await press(pilot, "r")
        assert app.session.inputs.leaves["w"] == 5.0
        assert not any("w*" in line for line in shown(app))


async def test_r_on_a_size_is_its_default() -> None:
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+home", "r")
        assert app.received == []
        await press(pilot, "5", "enter", "r")
        assert app.session.inputs.sizes["T"] == 2


async def test_the_screen_may_say_what_has_changed() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        inputs = app.session.inputs
        app.view.set_content(inputs.leaves, inputs.sizes, app.session.lesson, {"b"})
        await pilot.pause()
        assert [line[1:3] for line in shown(app)[1:4]] == ["w ", "x ", "b*"]


# ── painting ──────────────────────────────────────────────────────────────────────────────────


class Spy(LeavesView):
    """Writes down what it repaints."""

    regions: list[Region]
    whole = 0

    def refresh(self, *regions: Region, **options: Any) -> Any:
        if not regions:
            self.whole += 1
        self.__dict__.setdefault("regions", []).extend(regions)
        return super().refresh(*regions, **options)


class SpyHost(Host):
    CSS = "Spy { height: 1fr; }"

    def compose(self) -> ComposeResult:
        yield Spy(id="leaves")


async def test_only_what_has_changed_is_repainted() -> None:
    app = SpyHost("rnn")
    async with app.run_test(size=(120, 30)) as pilot:
        view = app.query_one(Spy)
        app.view.select("W_h", (0, 0))
        await pilot.pause()
        await press(pilot, "left", "right", "left")
        for keys, lines in ((["right"], 3), (["down"], 4), (["right_square_bracket"], 4)):
            view.regions, view.whole = [], 0
            await press(pilot, *keys)
            assert view.whole == 0
            assert len({region.y for region in view.regions}) <= lines
            assert {region.height for region in view.regions} == {1}
            painted = [line for line in shown(app)[1:]]
            assert painted == fresh(view)


KEYS = [
    ["3", ".", "1"], ["x", "enter"], ["escape"], ["pagedown"], ["right_curly_bracket"],
    ["4", "tab"], ["ctrl+end"], ["9", "9", "9", "9", "9", "9", "9", "enter"], ["ctrl+home"],
    ["5", "enter"], ["0", "enter"], ["escape"], ["r"], ["pagedown"], ["down", "down"], ["r"],
]  # fmt: skip


@pytest.mark.parametrize("size", [(120, 30), (54, 12), (30, 8)])
async def test_what_is_on_the_screen_is_never_stale(size: tuple[int, int]) -> None:
    app = SpyHost("rnn")
    async with app.run_test(size=size) as pilot:
        for keys in KEYS:
            await press(pilot, *keys)
            width = app.view._seen.width
            painted = [line[:width] for line in shown(app)[1 : 1 + app.view._seen.height]]
            assert painted == [line[:width] for line in fresh(app.view)][: len(painted)]


@pytest.mark.parametrize("keys", [[], ["3"], ["3", "x", "enter"], ["ctrl+end"]])
async def test_any_size_of_the_terminal(keys: list[str]) -> None:
    app = SpyHost("rnn")
    async with app.run_test(size=(100, 30)) as pilot:
        await press(pilot, *keys)
        for size in [(1, 1), (2, 2), (5, 3), (10, 4), (33, 7), (80, 24), (200, 60)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = shown(app)
            assert len(lines) == size[1]
            assert {len(line) for line in lines} == {size[0]}


def lesson_with(value: Any) -> Lesson:
    return Lesson(
        id="test", title="", chapter="", order=0, idea="",
        program=lambda xp, A, *, T: xp.sum(A) * T,
        leaves=(Leaf("A", value, "some numbers", free_shape=True),),
        forward=(Equation("y", "sum(A)"),), derivation=(),
        sizes=(Size("T", 2, 1, 50, "times"),),
    )  # fmt: skip


async def test_a_leaf_with_many_rows_scrolls() -> None:
    app = Host(lesson_with([[i + 0.5, -i] for i in range(60)]))
    async with app.run_test(size=(60, 14)) as pilot:
        await press(pilot, "ctrl+end", "7", "enter")
        assert app.session.inputs.leaves["A"][59, 1] == 7.0  # type: ignore[index]
        lines = "\n".join(shown(app))
        assert "59.5" in lines
        assert "A[59, 1] = 7" in lines


async def test_a_wide_leaf_scrolls_sideways() -> None:
    app = Host(lesson_with([[float(i) for i in range(100)]] * 2))
    async with app.run_test(size=(60, 14)) as pilot:
        await press(pilot, "end")
        assert any(" 99 ⎤" in line for line in shown(app))
        await press(pilot, "home")
        assert any("⎡    0" in line for line in shown(app))


async def test_three_axes_are_slices() -> None:
    app = Host(lesson_with([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]))
    async with app.run_test(size=(60, 16)) as pilot:
        lines = "\n".join(shown(app))
        assert "2×2×2" in lines
        assert "[1, :, :]" in lines
        await press(pilot, "down", "down", "right", "9", "enter")
        assert app.session.inputs.leaves["A"][1, 0, 1] == 9.0  # type: ignore[index]


async def test_ascii_only_and_just_as_wide() -> None:
    app = Host("rnn")
    async with app.run_test(size=(120, 30)) as pilot:
        before = fresh(app.view)
        app.view.ascii = True
        await press(pilot, "1", "x", "enter")
        await press(pilot, "escape")
        lines = fresh(app.view)
        assert all(line.isascii() for line in lines)
        assert [len(line) for line in lines] == [len(line) for line in before]


async def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host("rnn")
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.no_color
        for keys in KEYS:
            await press(pilot, *keys)
        app.view.select("W_h", (0, 0))
        await pilot.pause()
        box = app.view._box(Spot("W_h", (0, 0)))
        assert box is not None
        strip = app.view.render_line(box.y - app.view.scroll_offset.y)
        reverse = [s.text.strip() for s in strip if s.style is not None and s.style.reverse]
        assert reverse == ["0.45"]


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "nord", "ansi-dark"])
async def test_no_cell_has_another_background(theme: str) -> None:
    app = Host("rnn")
    app.theme = theme
    async with app.run_test(size=(120, 30)):
        own = app.view.rich_style.bgcolor
        for y in range(app.view.size.height):
            for segment in app.view.render_line(y):
                assert segment.style is not None
                assert segment.style.bgcolor == own


async def test_a_hundred_thousand_numbers() -> None:
    for shape in [(100_000,), (20_000, 5)]:
        app = Host(lesson_with(np.arange(100_000.0).reshape(shape)))
        async with app.run_test(size=(60, 14)) as pilot:
            await press(pilot, "ctrl+end")
            assert "99999" in "\n".join(shown(app)[1:9])
            assert len(app.view._strips) < 50
            assert all(len(strip) < 50 for strip in app.view._strips.values())
            start = time.perf_counter()
            app.view.action_nudge("1")
            await pilot.pause()
            await pilot.pause()
            assert time.perf_counter() - start < 5
            assert "= 100999" in "\n".join(shown(app))


async def test_wide_characters_do_not_move_anything() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "1")
        await paste(pilot, "界\u0301界")
        await press(pilot, "enter")
        assert "is not a number" in app.view.refusal
        strips = app.screen._compositor.render_strips()
        assert {strip.cell_length for strip in strips} == {60}
        assert {cell_len(strip.text) for strip in strips} == {60}


def test_names_and_meanings_may_be_in_any_script() -> None:
    leaf = Leaf("权重", [[1.0, 2.0]], "层的权重，每行一个输出", free_shape=True)
    lesson = dataclasses.replace(lesson_with(1.0), leaves=(leaf,), sizes=())
    [block] = make_blocks({"权重": np.ones((1, 2))}, {}, lesson, frozenset({"权重"}))
    column = 0
    for x, text, _ in block.line(0, 30, None):
        assert x >= column
        column = x + cell_len(text)
    assert column <= 30


# ── ASCII ─────────────────────────────────────────────────────────────────────────────────────


def test_plain_text_is_as_wide_and_only_ascii() -> None:
    for code in [*range(0x20, 0x7F), *range(0xA0, 0x3000), 0x754C, 0x1F600]:
        stand_in = plain(chr(code), True)
        assert stand_in.isascii()
        assert len(stand_in) == cell_len(chr(code))


@pytest.mark.parametrize(
    ("text", "stand_in"),
    [
        ("∂L/∂W_hᵀ = −2·x₁²", "dL/dW_hT = -2*x12"),
        ("╭─┬─╮ ┃▶ ▼ ◀", "+-+-+ |> v <"),
        ("⎡1⎤ Σₖ ⟨3×2⟩ …", "[1] Sk <3x2> ~"),
        ("ŷ é 界 ☃", "y e ?? ?"),
    ],
)
def test_stand_ins_can_be_read(text: str, stand_in: str) -> None:
    assert plain(text, True) == stand_in
    assert plain(text, False) == text


# ── manners ───────────────────────────────────────────────────────────────────────────────────


async def test_the_footer_says_what_the_keys_do_now() -> None:
    app = Host("linear")
    async with app.run_test(size=(100, 12)) as pilot:
        await pilot.pause()
        assert "Edit" in shown(app)[-1]
        assert "Reset leaf" in shown(app)[-1]
        await press(pilot, "1")
        assert "Keep" in shown(app)[-1]
        assert "Leave as it was" in shown(app)[-1]
        assert "Reset leaf" not in shown(app)[-1]


async def test_letters_reach_the_app_unless_a_number_is_typed() -> None:
    app = Host("linear")
    async with app.run_test(size=(60, 12)) as pilot:
        await press(pilot, "q")
        assert app.notes == 1
        await press(pilot, "1", "q", "x", "left")
        assert app.notes == 1
        assert app.view._draft is not None
        assert app.view._draft.text == "1qx"


def test_bindings_have_ids_tooltips_and_no_id_twice() -> None:
    bindings = [b for b in LeavesView.BINDINGS if isinstance(b, Binding)]
    assert all(b.id and b.tooltip and b.description for b in bindings)
    assert len({b.id for b in bindings}) == len(bindings)
    assert LeavesView.HELP.strip().startswith("# Leaves")


async def test_nothing_to_show() -> None:
    class Empty(App[None]):
        def compose(self) -> ComposeResult:
            yield LeavesView()

    app = Empty()
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("1", "enter", "down", "r", "right_square_bracket")
        app.post_message(events.Paste("1"))
        await pilot.pause()
        assert app.query_one(LeavesView).spot is None
