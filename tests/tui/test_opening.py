"""Opening, closing, comparing and folding nodes on the screen, with real keys."""

from __future__ import annotations

import pytest

from backprop_tui.lessons import find_lesson
from backprop_tui.tui.agreement import AgreementScreen
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.graph_view import GraphView
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.lines_view import LinesView
from backprop_tui.tui.source_view import SourceView
from backprop_tui.tui.step_view import StepView
from tests.tui.screen import painted, shown

SIZES = [(160, 45), (80, 24)]


def app_on(lesson: str) -> BackpropApp:
    return BackpropApp(find_lesson(lesson), reference=False)


def screen_of(app: BackpropApp) -> LessonScreen:
    assert isinstance(app.screen, LessonScreen)
    return app.screen


def graph_text(app: BackpropApp) -> str:
    return "\n".join(painted(screen_of(app).query_one(GraphView)))


@pytest.mark.parametrize("size", SIZES)
async def test_o_closes_and_opens_and_says_that_both_forms_agree(size: tuple[int, int]) -> None:
    app = app_on("sigmoid-neuron")
    async with app.run_test(size=size) as pilot:
        assert "power exp" in graph_text(app)
        assert screen_of(app).query_one(SourceView).border_title == "Code of sigmoid_in_steps"
        await pilot.press("o")
        await pilot.pause()
        assert "power exp" not in graph_text(app)
        assert "f sigmoid" in graph_text(app)
        assert screen_of(app).query_one(SourceView).border_title == "Code"
        assert "f is closed: 5 operations, 8 when open. Both forms agree" in " ".join(
            notification.message for notification in app._notifications
        )
        assert "o opens f into primitive steps" in screen_of(app).query_one(StepView).text
        await pilot.press("o")
        await pilot.pause()
        assert "power exp" in graph_text(app)
        await pilot.press("u")
        await pilot.pause()
        assert "power exp" not in graph_text(app)


async def test_opening_keeps_the_cursor_in_the_backward_pass_at_the_node() -> None:
    app = app_on("sigmoid-neuron")
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("o", "b", "right")
        session = screen_of(app).session
        names = session.trace.graph.names
        assert names[session.trace.steps.what(session.position)[1]].id == "f"
        await pilot.press("o")
        await pilot.pause()
        assert session.in_backward
        names = session.trace.graph.names
        assert names[session.trace.steps.what(session.position)[1]].id == "f"


@pytest.mark.parametrize("size", SIZES)
async def test_shift_o_compares_both_forms(size: tuple[int, int]) -> None:
    app = app_on("sigmoid-neuron")
    async with app.run_test(size=size) as pilot:
        await pilot.press("O")
        await pilot.pause()
        assert isinstance(app.screen, AgreementScreen)
        text = app.screen.query_one("#forms", LinesView).text
        assert "Both forms agree on 10 values and gradients" in text.replace("\n", " ")
        rows = [line.split() for line in text.splitlines() if line.startswith("∂/∂")]
        assert [row[0] for row in rows] == [
            f"∂/∂{name}" for name in ("w₀", "x₀", "w₁", "x₁", "w₂", "p₀", "p₁", "s", "dot", "f")
        ]
        assert all(row[-1] == "✓" and row[1] == row[2] for row in rows)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, LessonScreen)


async def test_o_where_nothing_opens_says_so() -> None:
    app = app_on("linear")
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("o", "O", "x", "X")
        await pilot.pause()
        messages = [notification.message for notification in app._notifications]
        assert len(messages) == 4
        assert messages[0].startswith("Nothing here opens")


@pytest.mark.parametrize("size", SIZES)
async def test_x_unfolds_and_folds(size: tuple[int, int]) -> None:
    app = app_on("mlp")
    async with app.run_test(size=size) as pilot:
        session = screen_of(app).session
        folded = set(session.folded)
        assert folded and "⊞" in graph_text(app)
        await pilot.press("X")
        await pilot.pause()
        assert not session.folded and "⊞" not in graph_text(app)
        await pilot.press("X")
        await pilot.pause()
        assert session.folded and "⊞" in graph_text(app)
        await pilot.press("home")
        for _ in range(200):
            await pilot.press("right")
            node = session.trace.steps.what(session.position)[1]
            if session.folded_group(node) is not None:
                break
        await pilot.pause()
        text = screen_of(app).query_one(StepView).text
        assert "operations, folded" in text.replace("\n", " ")
        await pilot.press("x")
        await pilot.pause()
        assert session.folded_group(node) is None


async def test_folding_by_hand_walks_the_same_way_back() -> None:
    app = app_on("mlp")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("end")
        session = screen_of(app).session
        way = [session.position]
        while session.position >= 0:
            await pilot.press("left")
            way.append(session.position)
        back = [session.position]
        while not session.at_end:
            await pilot.press("right")
            back.append(session.position)
        assert back == way[::-1]
        assert len(back) < len(session.trace.steps.turn_ends)
        assert "backward" in shown(app)
