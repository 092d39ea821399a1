"""The plots with real keys and clicks, at the smallest size and larger; heat maps, too."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.explain import Notation
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson, Plot
from backprop_tui.plots import Sweep, subjects
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.graph_view import GraphView
from backprop_tui.tui.help import HelpScreen
from backprop_tui.tui.inspector import Inspector
from backprop_tui.tui.leaves_view import LeavesView
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.lines_view import LinesView
from backprop_tui.tui.matrix_view import MatrixView, heat_text
from backprop_tui.tui.pictures import AlongPicture
from backprop_tui.tui.plot_screen import ChartView, Choice, PlotScreen
from backprop_tui.tui.tab_bar import TabBar
from tests.tui.screen import shown

SMALL, WIDE = (80, 24), (120, 40)
LESSONS = catalogue()


def app_on(lesson: str | Lesson, **options: Any) -> BackpropApp:
    found = find_lesson(lesson) if isinstance(lesson, str) else lesson
    return BackpropApp(found, reference=False, **options)


def plot_of(app: BackpropApp) -> PlotScreen:
    assert isinstance(app.screen, PlotScreen)
    return app.screen


def session_of(app: BackpropApp) -> Any:
    return next(s for s in app.screen_stack if isinstance(s, LessonScreen)).session


async def computed(pilot: Any) -> None:
    """Wait until the output along a leaf is known."""
    picture = plot_of(pilot.app)._picture
    assert isinstance(picture, AlongPicture)
    while picture.sweep.done < picture.sweep.total:
        await pilot.pause(0.01)
    await pilot.pause()


def words(app: BackpropApp) -> str:
    return plot_of(app).query_one("#words", LinesView).text


# ── what it shows ─────────────────────────────────────────────────────────────────────────────


async def test_size_over_time() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=SMALL) as pilot:
        session_of(app).set_size("T", 8)
        await pilot.press("P", "1")
        # w_y = 40 is what arrives at the last state.
        assert "The size of ∂y/∂h at each t" in shown(app)
        assert "t = 8" in shown(app) and "|∂y/∂h₈| = 40" in words(app)
        assert "The scale is logarithmic" in words(app)
        await pilot.press("left")
        h = math.tanh(2 * math.tanh(2 * 0.5))
        for _ in range(6):
            h = math.tanh(2 * h)
        assert "t = 7" in shown(app)
        size = float(words(app).split("|∂y/∂h₇| = ")[1].split("\n")[0])
        assert size == pytest.approx(40 * 2 * (1 - h * h), rel=1e-3)
        await pilot.press(*["left"] * 20)
        assert "t = 0" in shown(app) and "|∂y/∂h₀|" in words(app)
        await pilot.press("right")
        assert "t = 1" in shown(app)


async def test_shape_and_slope_with_what_passes() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "2")
        assert "The shape of h₂ = tanh(z₂), and its slope" in shown(app)
        assert "t = 2" in shown(app)
        # z₂ = 2·tanh(2·0.5) = 1.5232, h₂ = 0.90925; 1 − h₂² = 0.17326; 40 · 0.17326 = 6.9305
        for part in ("z₂ = 1.5232", "h₂ = 0.90925", "slope here is 0.17326"):
            assert part in words(app)
        assert "so ∂y/∂h₂ = 40 passes on 6.9305" in words(app)
        assert "●" in shown(app) and "╌╌╌" in words(app)
        await pilot.press("left")
        assert "h₁ = tanh(z₁)" in shown(app) and "z₁ = 1" in words(app)


async def test_the_distribution_and_its_variants() -> None:
    app = app_on("rnn")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "3")
        graph = session_of(app).trace.graph
        cells = sum(n.value.size for n in graph if n.name.base == "h" and n.name.named)
        gradient = f"∂{graph.names[graph.output].base}/∂h"
        assert "The cells of h, every t" in shown(app)
        assert f"of {cells} cells" in words(app)
        assert "saturated" in words(app)
        seen = set()
        for _ in range(4):
            seen.add(shown(app).split("The cells of ")[1].split(" ◂")[0].strip())
            await pilot.press("v")
        assert seen == {"h, every t", f"{gradient}, every t", "h₂", f"{gradient}₂"}
        counts = []
        await pilot.press(*["left"] * 30)
        for _ in range(plot_of(app)._picture.points):
            counts.append(int(words(app).split(" of ")[0]))
            await pilot.press("right")
        assert sum(counts) == cells


async def test_along_a_leaf_the_tangent_is_the_gradient() -> None:
    app = app_on("square")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "2")
        await computed(pilot)
        assert "y as x varies" in shown(app)
        assert "x = 0.43112, y = 0.18586" in words(app)
        assert "∂y/∂x = 0.86223" in words(app)
        sweep = plot_of(app)._picture.sweep  # type: ignore[attr-defined]
        reach = sweep.reach
        await pilot.press("+")
        await computed(pilot)
        assert plot_of(app)._picture.sweep.reach == reach / 2  # type: ignore[attr-defined]
        await pilot.press("-", "-")
        await computed(pilot)
        assert plot_of(app)._picture.sweep.reach == reach * 2  # type: ignore[attr-defined]


async def test_along_the_cells_of_a_matrix() -> None:
    app = app_on("matrix-linear")
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        screen.query_one(LeavesView).focus()
        screen.query_one(LeavesView).select("W", (0, 1))
        await pilot.press("P")
        await computed(pilot)
        assert "O as W[0, 1] varies" in shown(app)
        await pilot.press("right", "right")
        await computed(pilot)
        assert "as W[1, 0] varies" in shown(app)
        session = session_of(app)
        gradient = session.trace.gradients[session.trace.graph.leaves["W"]]
        found = float(words(app).split("∂O/∂W[1, 0] = ")[1].split()[0].replace("−", "-"))
        assert found == pytest.approx(gradient[1, 0], rel=1e-3)
        leaf = session.inputs.leaves["W"][1, 0]
        assert f"W[1, 0] = {leaf}".replace("-", "−") in words(app)


async def test_a_long_computation_leaves_room_for_keys_and_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "4")
        await computed(pilot)
        steps: list[str] = []
        original = Sweep.step

        def slow(self: Sweep) -> bool:
            time.sleep(0.01)
            steps.append(self.leaf)
            return original(self)

        monkeypatch.setattr(Sweep, "step", slow)
        # Not by pilot.press, which waits until all is done.
        plot_of(app).action_subject(1)
        second = plot_of(app)._picture
        await asyncio.sleep(0.1)
        assert isinstance(second, AlongPicture) and 1 < second.sweep.done < second.sweep.total
        assert f" of {second.sweep.total} values computed" in words(app)
        plot_of(app).action_subject(1)
        third = plot_of(app)._picture
        assert isinstance(third, AlongPicture) and third.sweep.leaf != second.sweep.leaf
        done = second.sweep.done
        await asyncio.sleep(0.1)
        assert second.sweep.done == done and third.sweep.done > 1
        plot_of(app).action_subject(-1)  # what was computed is still there, and goes on
        assert plot_of(app)._picture.sweep is second.sweep  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        assert done < second.sweep.done < second.sweep.total
        app.simulate_key("escape")
        while not isinstance(app.screen, LessonScreen):
            await asyncio.sleep(0.01)
        made = len(steps)
        await asyncio.sleep(0.1)
        assert len(steps) <= made + 1
        assert second.sweep.done < second.sweep.total


# ── where it begins ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "of", "heading"),
    [
        ("norms", "z", "The size of ∂y/∂z at each t"),
        ("activation", "h", "The shape of h₂ = tanh(z₂)"),
        ("histogram", "h", "The cells of h, every t"),
        ("along", "w_h", "y as w_h varies"),
    ],
)
async def test_it_begins_with_the_lessons_own(kind: Any, of: str, heading: str) -> None:
    app = app_on(replace(find_lesson("tanh-recursion"), plot=Plot(kind, of)))
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P")
        await pilot.pause()
        assert heading in shown(app)


async def test_it_begins_with_the_chosen_node_or_leaf() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=WIDE) as pilot:
        session = session_of(app)
        app.screen.query_one(GraphView).choose(session.trace.graph.index_of["z[t=1]"])
        await pilot.press("P")
        assert "The size of ∂y/∂z at each t" in shown(app) and "t = 1" in shown(app)
        await pilot.press("escape")
        app.screen.query_one(LeavesView).select("w_y")
        await pilot.press("e", "P")
        await pilot.pause()
        assert "y as w_y varies" in shown(app)


async def test_from_the_inspector_and_back() -> None:
    app = app_on("rnn")
    async with app.run_test(size=SMALL) as pilot:
        app.screen.query_one(GraphView).choose(session_of(app).trace.graph.index_of["h[t=1]"])
        await pilot.press("i", "right", "P", "2")
        assert "tanh(z₁)" in shown(app) and "cell [1]" in shown(app)
        await pilot.press("left")
        assert "cell [0]" in shown(app)
        await pilot.press("P")
        assert isinstance(app.screen, Inspector)
        await pilot.press("escape")
        assert isinstance(app.screen, LessonScreen)


# ── keys and mouse ────────────────────────────────────────────────────────────────────────────


async def test_kinds_by_key_and_by_mouse() -> None:
    app = app_on("rnn")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P")
        headings = {"1": "The size of", "2": "The shape of", "3": "The cells of", "4": " varies"}
        for key, heading in headings.items():
            await pilot.press(key)
            await pilot.pause()
            assert heading in shown(app)
        await pilot.press("tab")
        assert "The size of" in shown(app)
        await pilot.press("shift+tab")
        assert " varies" in shown(app)
        await pilot.click(TabBar, offset=(25, 0))
        assert "The shape of" in shown(app)


async def test_subjects_and_points_by_mouse() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "1")
        line = plot_of(app).query_one(Choice)
        text = "".join(piece.text for piece in line.paint_line(0))
        await pilot.click(Choice, offset=(text.index("◂"), 0))
        assert "t = 1" in shown(app)
        await pilot.click(Choice, offset=(text.index("▸"), 0))
        assert "t = 2" in shown(app)
        await pilot.click(Choice, offset=(text.index("▾"), 0))
        assert "∂y/∂z" in shown(app)
        await pilot.press("up")
        assert "∂y/∂h" in shown(app)
        await pilot.click(ChartView, offset=(10, 4))
        assert "t = 0" in shown(app)
        await pilot.press("2")
        before = shown(app)
        await pilot.click(ChartView, offset=(60, 4))
        assert shown(app) == before  # a scalar: there is but one point


async def test_a_click_on_a_bar_chooses_it() -> None:
    app = app_on("rnn")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P", "3")
        await pilot.click(ChartView, offset=(5, 4))
        assert "from −1 to −0.9" in words(app)


async def test_help_and_palette_name_the_keys() -> None:
    app = app_on("square")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        assert any(key == "P" and "plots" in what for key, what in app.screen._keys)
        await pilot.press("escape", "P", "?")
        assert isinstance(app.screen, HelpScreen)
        assert "Plots" in shown(app) and "look nearer" in shown(app)
        await pilot.press("escape", "escape")
        commands = {c.title: c.help for c in app.get_system_commands(app.screen)}
        assert "(P)" in commands["Plot"]
        await pilot.press("i")
        commands = {c.title: c.help for c in app.get_system_commands(app.screen)}
        assert "(m)" in commands["Heat map"] and "(P)" in commands["Plot"]


async def test_an_output_of_several_cells_is_added_up() -> None:
    def program(xp: Any, x: Any, W: Any) -> Any:
        O = x @ W
        return O

    leaves = {"x": np.array([1.0, 2.0]), "W": np.array([[1.0, 2.0], [3.0, 4.0]])}
    trace = backward(record(program, leaves))
    sweep = Sweep(program, leaves, {}, trace, "x", (1,))
    subject = next(s for s in subjects(trace, "along") if s.name == "x")
    picture = AlongPicture(Notation(trace), subject, sweep)
    assert picture.heading(1) == "The sum of O’s cells as x[1] varies"
    text = "\n".join("".join(piece.text for piece in line) for line in picture.words(1))
    # O = [7, 10]; ∂(O₀ + O₁)/∂x₁ = 3 + 4
    assert "here: x[1] = 2, the sum of O’s cells = 17" in text
    assert "= 7" in text


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
async def test_every_picture_of_every_lesson(lesson: Lesson) -> None:
    app = app_on(lesson)
    async with app.run_test(size=SMALL) as pilot:
        if lesson.script is None:
            await pilot.press("P")
        else:
            app.push_screen(PlotScreen(session_of(app)))
            await pilot.pause()
        plot = plot_of(app)
        for kind, name in enumerate(plot._kinds):
            plot.action_kind(kind)
            for _ in plot._subjects[name][:12]:
                plot.action_subject(1)
                for _ in range(plot._variants()):
                    plot.action_vary()
                    plot.action_point(1)
                    picture, point = plot._picture, plot._point
                    assert picture.heading(point) and picture.words(point)
                    drawn = plot.query_one(ChartView)._drawn
                    assert drawn and all(len(piece.text) for line in drawn for piece in line)
            await pilot.pause()
            assert plot._subject.base and "Plot · the finished pass" in shown(app)


# ── any terminal ──────────────────────────────────────────────────────────────────────────────


async def test_ascii_only() -> None:
    app = app_on("rnn", ascii=True)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P")
        for key in "1234":
            await pilot.press(key)
            await pilot.pause(0.1)
            assert shown(app).isascii()
            assert "?" not in shown(app).replace("? help", "")


async def test_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_on("rnn")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("P")
        for key in "1234":
            await pilot.press(key)
            await pilot.pause(0.1)
        assert "varies" in shown(app)
        await pilot.press("escape", "i", "m")
        assert isinstance(app.screen, Inspector)


async def test_the_window_shrinks_and_grows() -> None:
    app = app_on("rnn")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("P", "2")
        for size in [(80, 24), (30, 8), (10, 3), (1, 1), (200, 60), (80, 24)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
        text = shown(app)
        assert "┤" in text and "esc closes" in text and "passes on" in text


# ── heat maps ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "text", "in_ascii"),
    [
        (4.0, "███", "###"),
        (-4.0, "█−█", "#-#"),
        (3.0, "▓▓▓", "***"),
        (-2.9, "▓−▓", "*-*"),
        (2.0, "▒▒▒", ":::"),
        (-1.0, "░−░", ".-."),
        (1e-300, "░░░", "..."),
        (0.0, " 0 ", " 0 "),
        (math.nan, " ? ", " ? "),
        (math.inf, " ∞ ", "inf"),
        (-math.inf, "−∞ ", "-in"),
    ],
)
def test_a_cell_of_a_heat_map(number: float, text: str, in_ascii: str) -> None:
    assert heat_text(number, 4.0) == text
    assert heat_text(number, 4.0, ascii=True) == in_ascii


async def test_numbers_become_shades_and_back() -> None:
    app = app_on("matrix-linear")
    async with app.run_test(size=SMALL) as pilot:
        session = session_of(app)
        session.set_leaf("W", np.array([[1.0, -2.0, 4.0], [0.0, -4.0, 3.0]]))
        app.screen._edited()  # type: ignore[attr-defined]
        graph = session.trace.graph
        app.screen.query_one(GraphView).choose(graph.leaves["W"])
        await pilot.press("end", "i")
        numbers = shown(app)
        await pilot.press("m")
        lines = [line[4:30].rstrip() for line in shown(app).split("\n")]
        start = next(i for i, line in enumerate(lines) if "0  1  2" in line)
        # The chosen cell is between brackets.
        assert lines[start : start + 3] == ["    0  1  2", " 0 [░]▒−▒███", " 1  0 █−█▓▓▓"]
        assert "−4 to 4   █ ±4   ▓−▓ < 0" in shown(app)
        gradient = app.screen.query_one("#gradient", MatrixView)
        assert gradient.heat and gradient.has_focus
        await pilot.press("right", "down")
        assert gradient.cell == (1, 1) and "∂O/∂W[1, 1]" in shown(app)
        await pilot.click("#value", offset=(10, 2))
        assert app.screen.query_one("#value", MatrixView).cell == (0, 2)
        await pilot.press("m")
        assert shown(app).split("\n")[3] == numbers.split("\n")[3]


async def test_a_heat_map_of_more_axes_names_its_slices() -> None:
    from tests.tui.test_matrix_view import Host
    from tests.tui.test_matrix_view import shown as matrix_shown

    value = np.arange(-6.0, 6.0).reshape(2, 2, 3)
    app = Host(value)
    async with app.run_test(size=(40, 14)) as pilot:
        app.view.heat = True
        await pilot.pause()
        assert matrix_shown(app)[:7] == [
            "    0  1  2",
            " [0, :, :]",
            " 0 [−]█−█▓−▓",
            " 1 ▒−▒▒−▒░−░",
            " [1, :, :]",
            " 0  0 ░░░▒▒▒",
            " 1 ▒▒▒▓▓▓███",
        ]
        await pilot.press("ctrl+end")
        assert app.view.cell == (1, 1, 2)
        assert "-6 to 5".replace("-", "−") in "\n".join(matrix_shown(app))
