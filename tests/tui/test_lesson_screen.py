"""The lesson screen with real keys: every binding, and every lesson forth and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from backprop_tui.lessons import find_lesson, ids
from backprop_tui.session import Session
from backprop_tui.tui.about import AboutScreen
from backprop_tui.tui.agreement import AgreementScreen
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.gradients_view import GradientsView
from backprop_tui.tui.graph_view import GraphView
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen
from backprop_tui.tui.home import HomeScreen
from backprop_tui.tui.inspector import Inspector
from backprop_tui.tui.leaves_view import LeavesView
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.plot_screen import PlotScreen
from backprop_tui.tui.prompt import Prompt
from backprop_tui.tui.source_view import SourceView
from backprop_tui.tui.state_screen import StateScreen
from backprop_tui.tui.step_view import StepView
from backprop_tui.tui.timeline import Timeline
from tests.tui.screen import number, painted, shown, stepped_lessons

WIDE = (160, 45)
SMALL = (80, 24)
LESSONS = stepped_lessons()


def app_on(lesson: str) -> BackpropApp:
    """The app on a lesson, without the process that computes beside."""
    return BackpropApp(find_lesson(lesson), reference=False)


def screen_of(app: BackpropApp) -> LessonScreen:
    assert isinstance(app.screen, LessonScreen)
    return app.screen


def torch_gradients(session: Session) -> dict[str, np.ndarray]:
    """What torch itself says about the lesson's leaves."""
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in session.inputs.leaves.items()
    }
    session.lesson.program(torch, **leaves, **session.inputs.sizes).sum().backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def panels(screen: LessonScreen) -> tuple[object, ...]:
    """What the panels say, wherever they are scrolled to."""
    return (
        screen.query_one(StepView).text,
        painted(screen.query_one(GradientsView)),
        painted(screen.query_one(GraphView)),
        painted(screen.query_one(SourceView)),
        screen.query_one(Heading).text,
        str(screen.query_one(Timeline).render_line(0).text),
    )


BY_EDGE = ("square", "matrix-linear", "tanh-recursion", "sigmoid-neuron")
"""Those that are stepped through edge by edge too; all others are in the soak tests."""

WALKS = [
    pytest.param(
        *lesson.values,
        granularity,
        marks=lesson.marks
        if granularity == "node" or lesson.values[0] in BY_EDGE
        else pytest.mark.soak,
    )
    for lesson in LESSONS
    for granularity in ("node", "edge")
]


@pytest.mark.parametrize(("lesson", "granularity"), WALKS)
async def test_a_lesson_forth_and_back(lesson: str, granularity: str) -> None:
    """Stepping back shows exactly what was shown on the way, and at the end torch's gradients."""
    app = app_on(lesson)
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        if granularity == "edge":
            await pilot.press("m")
        await pilot.press("home")
        seen = {screen.session.position: panels(screen)}
        while not screen.session.at_end:
            await pilot.press("right")
            seen[screen.session.position] = panels(screen)
        lines = painted(screen.query_one(GradientsView))
        for name, expected in torch_gradients(screen.session).items():
            index = screen.session.trace.graph.leaves[name]
            state = screen.session.node_state(index)
            np.testing.assert_allclose(state.gradient, expected, rtol=1e-9, atol=1e-12)
            if expected.ndim == 0:
                row = lines[1 + list(screen.session.trace.graph.leaves).index(name)]
                by_hand = row[2 + screen.query_one(GradientsView)._columns()[0] :]
                assert number(by_hand) == pytest.approx(float(expected), rel=1e-3)
        while screen.session.position >= 0:
            await pilot.press("left")
            assert panels(screen) == seen[screen.session.position]
        assert screen.session.position == -1


def told(app: BackpropApp, words: str) -> bool:
    """Whether a message with these words has come up."""
    return any(words in notification.message for notification in app._notifications)


Check = Callable[[BackpropApp, LessonScreen], bool]

KEYS: dict[str, tuple[list[str], str, Check]] = {
    # binding id: (keys before, key, what must be true afterwards)
    "lesson.next": ([], "right", lambda a, s: s.session.position == 5),
    "lesson.previous": ([], "left", lambda a, s: s.session.position == 3),
    "lesson.play": ([], "space", lambda a, s: s.query_one(Timeline).playing),
    "lesson.backward_start": (["home"], "b", lambda a, s: s.session.position == 5),
    "lesson.edit": ([], "e", lambda a, s: isinstance(a.focused, LeavesView)),
    "lesson.undo": (["d"], "u", lambda a, s: s.session.inputs.leaves["w_h"] == 2.0),
    "lesson.redo": (["d", "u"], "y", lambda a, s: s.session.inputs.seed == 1),
    "lesson.zoom": ([], "z", lambda a, s: s.query_one(GraphView).zoom == 0),
    "lesson.open": ([], "o", lambda a, s: s.session.inputs.opened == {"h"}),
    "lesson.agreement": ([], "O", lambda a, s: isinstance(a.screen, AgreementScreen)),
    "lesson.fold": ([], "x", lambda a, s: told(a, "no helper function")),
    "lesson.fold_all": ([], "X", lambda a, s: told(a, "no helper function")),
    "lesson.inspect": ([], "i", lambda a, s: isinstance(a.screen, Inspector)),
    "lesson.plot": ([], "P", lambda a, s: isinstance(a.screen, PlotScreen)),
    "lesson.help": ([], "?", lambda a, s: isinstance(a.screen, HelpScreen)),
    "lesson.leave": ([], "escape", lambda a, s: isinstance(a.screen, HomeScreen)),
    "lesson.first": ([], "home", lambda a, s: s.session.position == -1),
    "lesson.last": ([], "end", lambda a, s: s.session.at_end),
    "lesson.next_touch": (["b"], "t", lambda a, s: s.session.position == 6),
    "lesson.granularity": ([], "m", lambda a, s: s.session.granularity == "edge"),
    "lesson.centre": (["home", "b"], "c", lambda a, s: "y mul" in shown(a)),
    "lesson.speed.1": ([], "+", lambda a, s: a.state.speed == 2.0),
    "lesson.speed.-1": ([], "-", lambda a, s: a.state.speed == 0.5),
    "lesson.reset_leaf": (["d"], "r", lambda a, s: s.session.inputs.leaves["h0"] == 0.5),
    "lesson.reset": (["d"], "R", lambda a, s: s.session.inputs.leaves["w_y"] == 40.0),
    "lesson.randomise": ([], "d", lambda a, s: "seed 1" in shown(a)),
    "lesson.seed": ([], "D", lambda a, s: isinstance(a.screen, Prompt)),
    "lesson.equations": ([], "v", lambda a, s: "Backward, by hand" in shown(a)),
    "lesson.graph": (["e"], "g", lambda a, s: isinstance(a.focused, GraphView)),
    "lesson.script": ([], "s", lambda a, s: isinstance(a.screen, StateScreen)),
    "lesson.about": ([], "a", lambda a, s: isinstance(a.screen, AboutScreen)),
    "lesson.tab.0": ([], "1", lambda a, s: isinstance(a.focused, StepView)),
    "lesson.tab.1": ([], "2", lambda a, s: isinstance(a.focused, GradientsView)),
    "lesson.tab.2": ([], "3", lambda a, s: isinstance(a.focused, LeavesView)),
    "lesson.tab.3": ([], "4", lambda a, s: isinstance(a.focused, SourceView)),
    "lesson.tab.4": ([], "5", lambda a, s: "Backward, by hand" in shown(a)),
}


LESSON_WITH = {"lesson.script": "plumbing"}
"""For a key that does nothing in most lessons: one in which it does."""


def test_every_binding_has_a_check() -> None:
    assert {binding.id for binding in LessonScreen.BINDINGS} == set(KEYS)


@pytest.mark.parametrize("size", [WIDE, SMALL], ids=["wide", "small"])
@pytest.mark.parametrize("binding", KEYS)
async def test_a_key_does_what_it_says(binding: str, size: tuple[int, int]) -> None:
    before, key, check = KEYS[binding]
    app = app_on(LESSON_WITH.get(binding, "tanh-recursion"))
    async with app.run_test(size=size) as pilot:
        screen = screen_of(app)
        assert screen.session.position == (4 if binding not in LESSON_WITH else 1)
        if before:
            await pilot.press(*before)
        if binding != "lesson.graph":
            screen.query_one(GraphView).focus()
        await pilot.press(key)
        await pilot.pause()
        assert check(app, screen)


async def test_an_edit_with_keys_keeps_the_step_and_moves_every_number() -> None:
    app = app_on("squared-loss")
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        await pilot.press("end")
        key = screen.session.trace.steps.key(screen.session.position)
        await pilot.press("e", "3", "enter")
        # x = 3, y_actual = 10: loss = (9 − 10)² = 1, dx = 2·(−1)·2·3 = −12
        assert screen.session.trace.steps.key(screen.session.position) == key
        assert screen.session.node_state(0).gradient == -12.0
        assert "-12" in "\n".join(painted(screen.query_one(GradientsView)))
        await pilot.press("escape", "u")
        assert screen.session.inputs.leaves["x"] == 1.0
        assert screen.session.node_state(0).gradient == -36.0


async def test_a_bad_entry_is_refused_in_place_and_nothing_changes() -> None:
    app = app_on("square")
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        before = screen.session.inputs
        await pilot.press("e", *"1e999", "enter")
        assert screen.session.inputs is before
        assert "too large" in shown(app)


async def test_a_size_can_be_changed_with_keys() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        screen.query_one(LeavesView).select("T")
        await pilot.press("e", "4", "enter")
        assert screen.session.inputs.sizes["T"] == 4
        assert "t = 4" in "\n".join(painted(screen.query_one(GraphView)))
        await pilot.press("9", "9", "enter")
        assert screen.session.inputs.sizes["T"] == 4
        assert "1 to 50" in shown(app)
        assert "T is still 4" in shown(app)


async def test_what_is_not_finite_is_shown_with_where_it_began() -> None:
    app = app_on("square")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("e", *"1e200", "enter")
        await pilot.pause()
        assert "the first infinity appears in the value of y" in shown(app)


async def test_playing_stops_at_the_end_and_marks_the_lesson_done() -> None:
    app = app_on("square")
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        await pilot.press("space")
        while screen._timer is not None:
            screen._tick()
        assert screen.session.at_end
        assert "square" in app.state.done


async def test_a_click_on_a_box_inspects_it() -> None:
    app = app_on("square")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.click(GraphView, offset=(4, 3))
        assert isinstance(app.screen, Inspector)
        assert "0.4311157464981079" in shown(app)
        await pilot.press("escape")
        assert isinstance(app.screen, LessonScreen)


async def test_a_click_on_the_timeline_goes_there() -> None:
    app = app_on("tanh-recursion")
    async with app.run_test(size=WIDE) as pilot:
        screen = screen_of(app)
        await pilot.click(Timeline, offset=(158, 0))
        assert screen.session.at_end
        await pilot.click(Timeline, offset=(15, 0))
        assert screen.session.position == 0


SHOWN_WHOLE = ["square", "two-uses", "diamond", "gates", "matrix-linear", "total-derivative"]
"""Lessons whose gradients and leaves need less than they could have."""


def heights(screen: LessonScreen) -> list[int]:
    """How high the panels beside the graph are, frames included."""
    views = (StepView, GradientsView, LeavesView)
    return [screen.query_one(view).outer_size.height for view in views]


@pytest.mark.parametrize("size", [WIDE, (120, 40), (200, 60)])
@pytest.mark.parametrize("lesson", SHOWN_WHOLE)
async def test_the_step_has_what_the_lists_do_not_need(lesson: str, size: tuple[int, int]) -> None:
    app = app_on(lesson)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        screen = screen_of(app)
        for view in (GradientsView, LeavesView):  # nothing has to be scrolled
            panel = screen.query_one(view)
            assert panel.virtual_size.height <= panel.size.height, view
        step, gradients, leaves = heights(screen)
        assert step + gradients + leaves == size[1] - 3
        assert step > 10 / 24 * (size[1] - 3) + 1  # more than its part at least


FOOTERS = [
    ("square", SMALL, [], "← → space b e z ? esc"),
    ("staged", SMALL, [], "← → space b e o ? esc"),
    ("plumbing", SMALL, [], "← → space b e s ? esc"),
    ("staged", SMALL, ["e"], "enter [ ] r ? esc p n"),
    ("square", (120, 40), [], "← → space b e z ? esc i P a"),
    ("transformer-block", (120, 40), [], "← → space b e z o ? esc i P x a"),
    ("transformer-block", (120, 40), ["e"], "enter [ ] r p n space b z o ? esc"),
    ("transformer-block", WIDE, ["e"], "enter [ ] r p n space b z o ? esc i P x a"),
]


@pytest.mark.parametrize(("lesson", "size", "keys", "expected"), FOOTERS)
async def test_the_footer_names_what_is_of_use_and_cuts_nothing(
    lesson: str, size: tuple[int, int], keys: list[str], expected: str
) -> None:
    app = app_on(lesson)
    async with app.run_test(size=size) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        labels = [label for label in app.screen.query("FooterKey") if label.display]
        named = [(label.region.x, label.key_display) for label in labels]
        assert [key for _, key in sorted(named)] == expected.split()
        assert all(app.screen.region.contains_region(label.region) for label in labels)


async def test_long_lists_leave_the_step_its_part() -> None:
    app = app_on("mlp")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        step, gradients, leaves = heights(screen_of(app))
        assert (step, gradients + leaves) == (17, 25)
        assert abs(gradients - leaves) <= 1


async def test_panels_keep_their_heights_while_one_steps_and_edits() -> None:
    app = app_on("matrix-linear")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        screen = screen_of(app)
        before = heights(screen)
        await pilot.press("home", "right", "right", "end", "d")
        await pilot.pause()
        assert heights(screen) == before
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert heights(screen) == before


async def test_more_leaves_get_more_room() -> None:
    app = app_on("rnn")
    async with app.run_test(size=(160, 60)) as pilot:
        await pilot.pause()
        screen = screen_of(app)
        screen.session.set_size("hidden", 1)
        screen._show_inputs()
        await pilot.pause()
        before = heights(screen)
        screen.session.set_size("hidden", 4)
        screen._show_inputs()
        await pilot.pause()
        assert heights(screen)[2] > before[2]


async def test_a_terminal_that_is_too_small_says_what_is_needed() -> None:
    app = app_on("rnn")
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("b", "right")
        position = screen_of(app).session.position
        for size in [(79, 24), (80, 23), (20, 5), (1, 1)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            if size[0] >= 20:
                assert "80×24 needed" in shown(app)
            if size[0] >= 79:
                assert f"this is {size[0]}×{size[1]}" in shown(app)
        await pilot.press("right")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "needed" not in shown(app)
        assert screen_of(app).session.position > position


@pytest.mark.parametrize("lesson", ids())
async def test_nothing_essential_is_lost_at_80_by_24(lesson: str) -> None:
    app = app_on(lesson)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("b", "right")
        await pilot.pause()
        text = shown(app)
        for word in ("sends to", "∂", "torch", "step", "Next", "Help", "2 Gradients"):
            assert word in text
