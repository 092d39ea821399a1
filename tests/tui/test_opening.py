"""Opening, closing, comparing and folding nodes on the screen, with real keys."""

from __future__ import annotations

from typing import Any

import pytest
from textual.geometry import Region

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import Leaf, Lesson
from backprop_tui.tui.agreement import AgreementScreen
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.graph_view import GraphView
from backprop_tui.tui.inspector import Inspector
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
        assert "Both forms agree on the values and gradients of 10 nodes" in " ".join(text.split())
        rows = [line.split() for line in text.splitlines() if line.startswith("∂f/∂")]
        assert [row[0] for row in rows] == [
            f"∂f/∂{name}" for name in ("w₀", "x₀", "w₁", "x₁", "w₂", "p₀", "p₁", "s", "dot", "f")
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


class Neuron:
    def __init__(self, w: Any) -> None:
        self.w = w

    def __call__(self, xp: Any, x: Any) -> Any:
        z = x * self.w
        out = xp.tanh(z)
        return out


class Layer:
    def __init__(self, neurons: list[Neuron]) -> None:
        self.neurons = neurons

    def __call__(self, xp: Any, x: Any) -> Any:
        outs = [neuron(xp, x) for neuron in self.neurons]
        total = outs[0] + outs[1]
        parts = [total * k for k in (1, 2)]
        both = parts[0] * parts[1]
        return both


def network(xp: Any, x: Any, w: Any) -> Any:
    layers = [Layer([Neuron(w), Neuron(w * 2)]), Layer([Neuron(w * 3), Neuron(w * 4)])]
    for layer in layers:
        x = layer(xp, x)
    f = xp.sigmoid(x)
    return f


def needs_more(xp: Any, input: Any, more: Any) -> Any:
    return input + more


NETWORK = Lesson(
    id="network",
    title="Objects that are called",
    chapter="Test",
    order=1,
    idea="…",
    program=network,
    leaves=(Leaf("x", 0.5, "x"), Leaf("w", 0.7, "w")),
    forward=(),
    derivation=(),
    opens={"f": needs_more},
    folded=("__call__",),
)


async def test_the_code_of_two_methods_of_one_name_is_told_apart() -> None:
    app = BackpropApp(NETWORK, reference=False)
    async with app.run_test(size=(140, 45)) as pilot:
        source, session = screen_of(app).query_one(SourceView), screen_of(app).session
        await pilot.press("X", "home")
        assert not session.folded
        lit = []
        while session.position < session.trace.steps.backward_start - 1:
            await pilot.press("right")
            span = source._span
            assert span is not None
            line = source._source[span.line - source._first].strip()
            lit.append((source.border_title, line))
        method = "Code of __call__"
        assert lit[3:9] == [
            (method, "z = x * self.w"), (method, "out = xp.tanh(z)"),
            (method, "z = x * self.w"), (method, "out = xp.tanh(z)"),
            (method, "total = outs[0] + outs[1]"),
            (method, "parts = [total * k for k in (1, 2)]"),
        ]  # fmt: skip


async def test_a_folded_box_says_what_it_is_and_a_click_inspects_its_result() -> None:
    app = BackpropApp(NETWORK, reference=False)
    async with app.run_test(size=(140, 45)) as pilot:
        view = screen_of(app).query_one(GraphView)
        model = view._model
        assert model is not None
        name, box = next((name, box) for name, box in model.boxes.items() if box.inside)
        assert "the result of 8 operations, folded" in view.describe(box)
        place = model.drawing.places[name]
        view.scroll_to_region(
            Region(place.x + 1, place.y, place.width, place.height), animate=False, force=True
        )
        await pilot.pause()
        row, column = place.y - view.scroll_offset.y + 1, place.x - view.scroll_offset.x + 3
        await pilot.click(GraphView, offset=(column, row + 1))
        await pilot.pause()
        assert isinstance(app.screen, Inspector)
        assert app.screen._node == box.node == max(box.inside)


async def test_steps_that_cannot_run_are_reported_by_both_keys() -> None:
    app = BackpropApp(NETWORK, reference=False)
    async with app.run_test(size=(140, 45)) as pilot:
        await pilot.press("o")
        await pilot.pause()
        [message] = [notification.message for notification in app._notifications]
        assert "cannot run with this" in message
        assert not screen_of(app).session.inputs.opened
        await pilot.press("O")
        await pilot.pause()
        assert isinstance(app.screen, AgreementScreen)
        assert "cannot run with this" in app.screen.query_one("#forms", LinesView).text


async def test_a_chosen_node_stays_chosen_when_others_come_and_go() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=(140, 45)) as pilot:
        screen = screen_of(app)
        view, session = screen.query_one(GraphView), screen.session
        view.focus()

        def chosen() -> str | None:
            graph = session.trace.graph
            return None if view.chosen is None else graph.names[view.chosen].id

        await pilot.press("o")
        await pilot.pause()
        view.choose(session.trace.graph.index_of["y"])
        await pilot.press("u")
        await pilot.pause()
        assert chosen() == "y"
        view.choose(session.trace.graph.index_of["h[t=2]"])
        session.set_size("T", 1)
        screen._edited()
        await pilot.pause()
        assert chosen() is None
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(app.screen, Inspector)


async def test_x_unfolds_a_group_that_only_receives_in_this_step() -> None:
    app = app_on("transformer-block")
    async with app.run_test(size=(120, 40)) as pilot:
        session = screen_of(app).session
        await pilot.press("b")
        while session.trace.graph.names[session.trace.steps.what(session.position)[1]].id != "out":
            await pilot.press("right")
        assert "fed" in session.folded
        await pilot.press("x")
        await pilot.pause()
        assert "fed" not in session.folded
