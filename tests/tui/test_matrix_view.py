"""A matrix to look at: what is painted, what is chosen, at any size."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Region

from backprop_tui.tui.matrix_view import Grid, MatrixView


class Host(App[None]):
    """A matrix, and what it said."""

    CSS = "MatrixView { height: 1fr; }"

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
        self.chosen: list[tuple[int, ...]] = []

    def compose(self) -> ComposeResult:
        yield MatrixView(id="matrix")

    def on_mount(self) -> None:
        self.view.set_matrix(self.value)
        self.view.focus()

    @property
    def view(self) -> MatrixView:
        return self.query_one(MatrixView)

    def on_matrix_view_cell_selected(self, message: MatrixView.CellSelected) -> None:
        assert message.view is message.control is self.view
        self.chosen.append(message.index)


def matrix(*shape: int) -> Any:
    return np.arange(math.prod(shape), dtype=float).reshape(shape)


def shown(app: Host) -> list[str]:
    """The view as it was painted, without its border."""
    strips = app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips[1:]]


def fresh(view: MatrixView) -> list[str]:
    view._strips.clear()
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


# ── the grid ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 1), (3, 2), (2, 3, 4), (2, 1, 2, 3)])
def test_places_and_indices_belong_together(shape: tuple[int, ...]) -> None:
    value = matrix(*shape) if shape else 0.0
    grid = Grid(value)
    assert grid.rows * grid.columns == np.size(value)
    for row in range(grid.rows):
        assert grid.row_at(grid.line_of(row)) == row
        for column in range(grid.columns):
            index = grid.index(row, column)
            assert grid.has(index)
            assert grid.place(index) == (row, column)
            assert grid.number(row, column) == np.asarray(value)[index]
            assert grid.text(row, column).strip() == str(int(grid.number(row, column)))


def test_slices_have_a_line_with_their_index() -> None:
    grid = Grid(matrix(2, 2, 3))
    assert grid.height == 6
    assert [grid.row_at(line) for line in range(6)] == [None, 0, 1, None, 2, 3]
    assert grid.slice_text(3) == "[1, :, :]"


def test_a_grid_after_an_edit_is_the_grid_made_anew() -> None:
    value = np.round(np.random.default_rng(1).normal(size=(5, 4)), 3)
    grid = Grid(value)
    for index, number in [((2, 1), 1234.5), ((0, 0), -0.0), ((4, 3), math.nan), ((4, 3), 1e-9)]:
        value = value.copy()
        value[index] = number
        grid, made_anew = Grid(value, grid), Grid(value)
        assert grid._texts == made_anew._texts
        assert grid.widths == made_anew.widths


def test_a_huge_matrix_is_not_formatted_as_a_whole() -> None:
    value = matrix(2000, 2000)
    start = time.perf_counter()
    grid = Grid(value)
    assert time.perf_counter() - start < 0.5
    assert grid.text(1999, 1999).strip() == "3999999"
    assert set(grid.widths) == {11}


# ── painting ──────────────────────────────────────────────────────────────────────────────────


async def test_a_matrix_with_its_indices() -> None:
    app = Host(np.array([[0.45, -0.22, 0.17], [0.28, 0.36, -41.0]]))
    async with app.run_test(size=(40, 7)) as pilot:
        await pilot.pause()
        assert shown(app) == [
            "       0      1       2",
            " 0  0.45  -0.22    0.17",
            " 1  0.28   0.36  -41",
            "",
            "",
            " [0, 0] = 0.45",
        ]


async def test_a_vector_is_one_row() -> None:
    app = Host(np.array([1.5, 2.0]))
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.pause()
        assert shown(app) == ["    0  1", "  1.5  2", "", "", " [0] = 1.5"]


async def test_a_scalar_is_one_cell_with_its_number_in_full() -> None:
    app = Host(0.4311157464981079)
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.pause()
        assert shown(app) == ["  0.43112", "", "", "", " = 0.4311157464981079"]
        assert app.view.cell == ()


async def test_three_axes_are_slices() -> None:
    app = Host(matrix(2, 2, 2))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert shown(app)[:7] == [
            "    0  1",
            " [0, :, :]",
            " 0  0  1",
            " 1  2  3",
            " [1, :, :]",
            " 0  4  5",
            " 1  6  7",
        ]


@pytest.mark.parametrize("value", [None, np.zeros((0,)), np.zeros((0, 3))])
async def test_nothing_to_show(value: Any) -> None:
    app = Host(value)
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.press("down", "end", "ctrl+end")
        assert shown(app)[0] == (" not known yet" if value is None else " empty")
        assert app.view.cell == ()
        assert app.chosen == []


async def test_nan_and_infinity() -> None:
    app = Host(np.array([[math.nan, -math.inf]]))
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.press("right")
        assert "nan  -inf" in shown(app)[1]
        assert shown(app)[-1] == " [0, 1] = -inf"


async def test_the_chosen_cell_is_seen_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host(matrix(3, 3))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("down", "right")
        await pilot.pause()
        assert app.no_color
        strip = app.view.render_line(2)
        marked = [s.text.strip() for s in strip if s.style is not None and s.style.reverse]
        assert marked == ["4"]
        app.view.set_matrix(None)
        await pilot.pause()


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
async def test_no_cell_has_another_background(theme: str) -> None:
    app = Host(matrix(3, 3))
    app.theme = theme
    async with app.run_test(size=(40, 10)):
        own = app.view.rich_style.bgcolor
        for y in range(app.view.size.height):
            for segment in app.view.render_line(y):
                assert segment.style is not None
                assert segment.style.bgcolor == own


async def test_ascii_only() -> None:
    app = Host(matrix(2, 2, 2))
    async with app.run_test(size=(40, 10)):
        app.view.ascii = True
        assert all(line.isascii() for line in fresh(app.view))


# ── choosing ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "index"),
    [
        (["down", "right"], (1, 1)),
        (["j", "l"], (1, 1)),
        (["end"], (0, 49)),
        (["end", "home"], (0, 0)),
        (["pagedown"], (5, 0)),
        (["pagedown", "pagedown", "pageup"], (5, 0)),
        (["ctrl+end"], (59, 49)),
        (["ctrl+end", "ctrl+home"], (0, 0)),
        (["up"], (0, 0)),
        (["left"], (0, 0)),
        (["ctrl+end", "down", "right"], (59, 49)),
    ],
)
async def test_keys(keys: list[str], index: tuple[int, int]) -> None:
    app = Host(matrix(60, 50))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        assert app.view.cell == index
        assert app.chosen == ([index] if len(keys) == 1 and index != (0, 0) else app.chosen)
        number = str(index[0] * 50 + index[1])
        assert f"[{index[0]}, {index[1]}] = {number}" in "\n".join(shown(app))
        body = "\n".join(shown(app)[1:-2])
        assert number in body.split()  # in view


async def test_indices_stay_at_the_edges_while_scrolling() -> None:
    app = Host(matrix(60, 50))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("ctrl+end")
        await pilot.pause()
        lines = shown(app)
        assert lines[0].split()[-1] == "49"
        last = next(line.split() for line in lines[1:] if " = " not in line and "2999" in line)
        assert last[0] == "59"


async def test_a_click_chooses_also_when_scrolled() -> None:
    app = Host(matrix(60, 50))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.click(MatrixView, offset=(10, 3))
        assert app.view.cell == (1, 1)
        await pilot.press("ctrl+end")
        await pilot.pause()
        lines = shown(app)
        y = next(i for i, line in enumerate(lines) if " 2898 " in f"{line} ")
        await pilot.click(MatrixView, offset=(lines[y].index("2898") + 1, y + 1))
        await pilot.pause()
        assert app.view.cell == (57, 48)
        assert app.chosen == [(1, 1), (59, 49), (57, 48)]


async def test_clicks_beside_cells_choose_nothing() -> None:
    app = Host(matrix(2, 2))
    async with app.run_test(size=(40, 10)) as pilot:
        for offset in [(4, 1), (30, 2), (4, 6), (3, 9)]:
            await pilot.click(MatrixView, offset=offset)
        assert app.chosen == []


async def test_the_wheel_scrolls() -> None:
    app = Host(matrix(60, 2))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        app.post_message(events.MouseScrollDown(None, 5, 5, 0, 0, 0, False, False, False, 5, 5))
        await pilot.pause()
        await pilot.pause()
        assert app.view.scroll_offset.y > 0
        assert app.chosen == []


async def test_the_choice_stays_when_only_numbers_change() -> None:
    app = Host(matrix(3, 3))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("down", "right")
        app.view.set_matrix(matrix(3, 3) + 0.5)
        await pilot.pause()
        assert app.view.cell == (1, 1)
        assert shown(app)[-1] == " [1, 1] = 4.5"
        app.view.set_matrix(matrix(2))
        await pilot.pause()
        assert app.view.cell == (0,)  # type: ignore[comparison-overlap]


async def test_select_is_silent_and_ignores_what_there_is_not() -> None:
    app = Host(matrix(3, 3))
    async with app.run_test(size=(40, 10)) as pilot:
        app.view.select((2, 1))
        app.view.select((3, 1))
        app.view.select((1,))
        await pilot.pause()
        assert app.view.cell == (2, 1)
        assert app.chosen == []


async def test_what_is_on_the_screen_is_never_stale() -> None:
    app = Host(matrix(30, 300) / 7)
    async with app.run_test(size=(50, 12)) as pilot:
        await pilot.pause()
        for key in ["down", "right", "end", "left", "pagedown", "ctrl+end", "up", "home"]:
            await pilot.press(key)
            await pilot.pause()
            width, height = app.view._seen
            painted = [line[:width].rstrip() for line in shown(app)[:height]]
            assert painted == [line[:width].rstrip() for line in fresh(app.view)][:height]


async def test_moving_repaints_lines_and_not_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Host(matrix(5, 5))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("right")
        await pilot.pause()
        calls: list[tuple[Any, ...]] = []
        original = app.view.refresh

        def refresh(*regions: Region, **options: Any) -> Any:
            calls.append(regions)
            return original(*regions, **options)

        monkeypatch.setattr(app.view, "refresh", refresh)
        await pilot.press("down")
        await pilot.pause()
        assert calls
        assert all(call and all(region.height == 1 for region in call) for call in calls)


async def test_any_size_of_the_terminal() -> None:
    app = Host(matrix(12, 12))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("ctrl+end")
        for size in [(1, 1), (2, 2), (3, 3), (7, 4), (30, 8), (200, 60)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = [strip.text for strip in app.screen._compositor.render_strips()]
            assert {len(line) for line in lines} == {size[0]}


async def test_a_million_cells_are_as_quick_as_ten() -> None:
    app = Host(matrix(1000, 1000))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+end", "up", "left")
        await pilot.pause()
        assert app.view.cell == (998, 998)
        assert "998998" in "\n".join(shown(app))


def test_bindings_have_ids_and_tooltips() -> None:
    bindings = [b for b in MatrixView.BINDINGS if isinstance(b, Binding)]
    assert all(b.id and b.tooltip and b.description for b in bindings)
    assert len({b.id for b in bindings}) == len(bindings)
