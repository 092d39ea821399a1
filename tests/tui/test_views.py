"""The panels beside the graph: step, code, timeline, gradients, equations, tabs, heading."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.widget import Widget

from backprop_tui.engine.compare import Verdict, compare
from backprop_tui.engine.trace import StepKind
from backprop_tui.lessons import find_lesson, ids
from backprop_tui.session import Session
from backprop_tui.tui.beside import Beside as RealBeside
from backprop_tui.tui.equations_view import EquationsView
from backprop_tui.tui.gradients_view import GradientsView, shortened
from backprop_tui.tui.heading import Heading, _fitting
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Painted, Piece
from backprop_tui.tui.source_view import SourceView
from backprop_tui.tui.step_view import StepView, paragraphs
from backprop_tui.tui.tab_bar import TabBar
from backprop_tui.tui.timeline import Timeline
from tests.tui.screen import stepped_lessons

LESSONS = stepped_lessons()


class Host(App[None]):
    """One widget, and what it has to say."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.said: list[Any] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_lines_view_node_clicked(self, message: LinesView.NodeClicked) -> None:
        self.said.append(message.node_id)

    def on_gradients_view_node_clicked(self, message: GradientsView.NodeClicked) -> None:
        self.said.append(message.node)

    def on_timeline_picked(self, message: Timeline.Picked) -> None:
        self.said.append(message.position)

    def on_tab_bar_picked(self, message: TabBar.Picked) -> None:
        self.said.append(message.number)


def session_of(lesson_id: str, key: str | None = None, **sizes: int) -> Session:
    session = Session(find_lesson(lesson_id), sizes=sizes)
    if key is not None:
        session.go_to(session.trace.steps.by_key[key])
    return session


def rows(view: Painted) -> list[str]:
    lines = range(view.virtual_size.height)
    return ["".join(piece.text for piece in view.paint_line(y)) for y in lines]


def stale(view: Painted) -> list[tuple[int, str]]:
    """Lines that were kept although they should look otherwise now; fills the cache."""
    found = []
    for y in range(view.virtual_size.height):
        now = view._strip(y)
        kept = view._lines.setdefault(y, now)
        if kept._segments != now._segments:
            found.append((y, kept.text))
    return found


def place_of(view: Painted, text: str) -> tuple[int, int]:
    """Where a text begins, as an offset for the mouse: below the border, after the padding."""
    for y, row in enumerate(rows(view)):
        if text in row:
            return row.index(text) + 1, y + 1 - view.scroll_offset.y
    raise AssertionError(f"{text!r} is not in {rows(view)}")


# ── the step ──────────────────────────────────────────────────────────────────────────────────


async def test_the_step_is_explained_with_its_equals_signs_in_a_column() -> None:
    view = StepView()
    async with Host(view).run_test(size=(70, 30)):
        view.show_session(session_of("tanh-recursion", "send:h[t=2]>z[t=2]:0"))
        lines = view.text.split("\n")
        assert lines[:4] == [
            "h₂ sends to z₂",
            "∂y/∂z₂ = ∂y/∂h₂ · (1 − h₂²)",
            "       = 40 · (1 − 0.90925²)",
            "       = 40 · 0.17326",
        ]
        assert lines[4] == "       = 6.9305"
        assert lines[5].startswith("why  The slope of tanh")


async def test_an_accumulating_step_keeps_its_column_too() -> None:
    view = StepView()
    async with Host(view).run_test(size=(70, 30)):
        session = session_of("tanh-recursion")
        session.granularity = "edge"
        session.go_to(session.trace.steps.by_key["send:z[t=1]>w_h:0"])
        view.show_session(session)
        formula, numbers = view.text.split("\n")[1:3]
        assert formula == "∂y/∂w_h += ∂y/∂z₁ · h₀"
        assert numbers.index("= ") == formula.index("= ")


async def test_by_node_the_whole_turn_is_explained_by_edge_one_step() -> None:
    view = StepView()
    async with Host(view).run_test(size=(90, 60)):
        session = session_of("linear", "send:p>x:1")
        view.show_session(session)
        assert "p sends to w" in view.text and "p sends to x" in view.text
        session.granularity = "edge"
        view.show_session(session)
        assert "p sends to w" not in view.text and "p sends to x" in view.text


async def test_before_the_first_step_the_lesson_says_its_idea() -> None:
    view = StepView()
    async with Host(view).run_test(size=(90, 40)):
        session = session_of("square")
        session.go_to(-1)
        view.show_session(session)
        assert view.text.startswith("Before the first step")
        assert " ".join(view.text.split()).endswith(session.lesson.idea)


async def test_a_click_on_a_symbol_tells_its_node() -> None:
    view = StepView()
    app = Host(view)
    async with app.run_test(size=(70, 30)) as pilot:
        view.show_session(session_of("tanh-recursion", "send:h[t=2]>z[t=2]:0"))
        await pilot.pause()
        await pilot.click(view, offset=place_of(view, "∂y/∂z₂"))
        x, y = place_of(view, "(1 − h₂²)")
        await pilot.click(view, offset=(x + 5, y))  # the h₂ in it
        assert app.said == ["z[t=2]", "h[t=2]"]
        await pilot.click(view, offset=place_of(view, "why"))
        assert len(app.said) == 2


async def test_a_click_in_scrolled_text_meets_the_line_under_the_mouse() -> None:
    view = LinesView()
    app = Host(view)
    async with app.run_test(size=(40, 10)) as pilot:
        view.set_paragraphs(
            [Paragraph((Piece(f"line {n}", "value", f"node{n}"),)) for n in range(40)]
        )
        await pilot.pause()
        view.scroll_to(y=20, animate=False, force=True)
        await pilot.pause()
        await pilot.click(view, offset=(2, 1 + 3))
        assert app.said == ["node23"]


async def test_lines_are_wrapped_anew_for_another_width() -> None:
    view = LinesView()
    async with Host(view).run_test(size=(60, 12)) as pilot:
        text = "A sum passes the upstream gradient on unchanged: its slope is 1."
        view.set_paragraphs([Paragraph((Piece(text),))])
        for width in (60, 40, 24):
            await pilot.resize_terminal(width, 12)
            await pilot.pause()
            assert view.text.split() == text.split()
            room = view.scrollable_content_region.width
            assert all(cell_len(row) <= room for row in rows(view))


async def test_another_text_is_shown_from_the_top() -> None:
    view = LinesView()
    async with Host(view).run_test(size=(40, 10)) as pilot:
        view.set_paragraphs([Paragraph((Piece(f"line {n}"),)) for n in range(40)])
        await pilot.pause()
        view.scroll_to(y=20, animate=False, force=True)
        view.set_paragraphs([Paragraph((Piece(f"other {n}"),)) for n in range(40)])
        await pilot.pause()
        assert view.scroll_offset.y == 0


# ── the code ──────────────────────────────────────────────────────────────────────────────────


def lit(view: SourceView) -> str:
    """The lit piece of code."""
    lines = []
    for y in range(view.virtual_size.height):
        text = "".join(p.text for p in view.paint_line(y) if p.role.endswith(" lit"))
        if text:
            lines.append(text)
    return "\n".join(lines)


LIT = [
    ("linear", "compute:p", "w * x"),
    ("linear", "compute:z", "p + b"),
    ("linear", "send:p>x:1", "w * x"),
    ("tanh-recursion", "compute:h[t=1]", "xp.tanh(z)"),
    ("tanh-recursion", "send:h[t=2]>z[t=2]:0", "xp.tanh(z)"),
    ("tanh-recursion", "send:y>w_y:0", "w_y * h"),
    ("tanh-recursion", "collect:w_h", "w_h * h"),  # a leaf: its last use
    ("matrix-linear", "compute:O", "xp.sum(Z)"),
    ("rnn", "compute:z_x/transpose[t=1]", "W_x.T"),
    ("rnn", "compute:z_x/matmul[t=2]", "x_t @ W_x.T"),
    ("rnn", "compute:z_x[t=2]", "x_t @ W_x.T + b_x"),
    ("rnn", "compute:J/pow[t=1]", "diff**2"),
    ("rnn", "compute:x_t[t=1]", "x[t - 1]"),
    ("rnn", "seed:L", "xp.sum(J)"),
]


@pytest.mark.parametrize(("lesson_id", "key", "code"), LIT)
async def test_the_running_piece_of_code_is_lit(lesson_id: str, key: str, code: str) -> None:
    view = SourceView()
    async with Host(view).run_test(size=(90, 40)) as pilot:
        view.show_session(session_of(lesson_id, key))
        assert lit(view) == code
        await pilot.pause()  # the highlighter has come
        assert lit(view) == code
        marked = [row for row in rows(view) if "▸" in row]
        assert len(marked) == 1
        assert code in marked[0]


@pytest.mark.parametrize("lesson_id", ids())
async def test_what_is_lit_is_always_one_expression(lesson_id: str) -> None:
    view = SourceView()
    async with Host(view).run_test(size=(90, 40)):
        session = session_of(lesson_id)
        session.go_to(-1)
        view.show_session(session)
        assert lit(view) == ""
        while session.next():
            view.show_session(session)
            ast.parse(lit(view), mode="eval")
            assert stale(view) == []


async def test_the_code_has_its_line_numbers_and_none_of_the_linters_marks() -> None:
    view = SourceView()
    async with Host(view).run_test(size=(90, 40)):
        session = session_of("rnn")
        view.show_session(session)
        text = "\n".join(rows(view))
        assert "noqa" not in text and "Any" not in text
        first = session.lesson.program.__code__.co_firstlineno
        assert rows(view)[0].startswith(f"{first:>3} ")
        assert "def program(" in rows(view)[0]


async def test_the_lit_line_is_scrolled_into_view() -> None:
    view = SourceView()
    async with Host(view).run_test(size=(60, 8)) as pilot:
        session = session_of("rnn")
        session.go_to(-1)
        view.show_session(session)
        await pilot.pause()
        while session.next():
            view.show_session(session)
            await pilot.pause()
            line = next(y for y, row in enumerate(rows(view)) if "▸" in row)
            assert view.scroll_offset.y <= line < view.scroll_offset.y + view.size.height


# ── the timeline ──────────────────────────────────────────────────────────────────────────────


def line_of(view: Timeline) -> str:
    return view.render_line(0).text


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("lesson_id", ["square", "rnn"])
async def test_the_timeline_is_as_wide_as_its_place(lesson_id: str, width: int) -> None:
    view = Timeline()
    async with Host(view).run_test(size=(width, 5)):
        session = session_of(lesson_id)
        for position in range(-1, len(session.trace.steps)):
            session.go_to(position)
            view.show_session(session)
            line = line_of(view)
            assert cell_len(line) == width
            assert f" step {position + 1}/{len(session.trace.steps)} " in line


@pytest.mark.parametrize(
    ("lesson_id", "width"),
    [
        ("square", 40),
        ("rnn", 200),
        # More steps than columns: the last forward steps share the column of the seed.
        ("rnn", 60),
    ],
)
async def test_the_sign_of_the_cursor_tells_the_pass(lesson_id: str, width: int) -> None:
    view = Timeline()
    async with Host(view).run_test(size=(width, 5)):
        session = session_of(lesson_id)
        for position in range(-1, len(session.trace.steps)):
            session.go_to(position)
            view.show_session(session)
            line = line_of(view)
            forward = position < session.trace.steps.backward_start
            rest = line[line.index("/") :]
            assert rest.count("▶") == (1 if 0 <= position and forward else 0)
            assert rest.count("◀") == (0 if forward else 1)


async def test_a_click_on_the_timeline_goes_to_the_step_drawn_there() -> None:
    view = Timeline()
    app = Host(view)
    async with app.run_test(size=(80, 5)) as pilot:
        session = session_of("tanh-recursion")
        for position in range(len(session.trace.steps)):
            session.go_to(position)
            view.show_session(session)
            line = line_of(view)
            start = line.index("/")
            sign = "▶" if position < session.trace.steps.backward_start else "◀"
            column = line.index(sign, start)
            await pilot.click(view, offset=(column, 0))
        assert app.said == list(range(len(session.trace.steps)))


async def test_a_click_on_the_label_or_beyond_goes_to_an_end() -> None:
    view = Timeline()
    app = Host(view)
    async with app.run_test(size=(60, 5)) as pilot:
        session = session_of("linear")
        view.show_session(session)
        await pilot.click(view, offset=(2, 0))
        await pilot.click(view, offset=(59, 0))
        assert app.said == [0, session.last_position]


async def test_playing_is_shown_by_a_sign() -> None:
    view = Timeline()
    async with Host(view).run_test(size=(60, 5)):
        view.show_session(session_of("linear"))
        assert line_of(view).startswith("  step")
        view.playing = True
        assert line_of(view).startswith("▶ step")


NUMBER = re.compile(r"−?\d+(?:\.\d+)?(?:e−?\d+)?")


def written_out(text: str) -> list[list[float]]:
    """The rows of matrices in a text."""
    rows = [line for line in text.splitlines() if line.lstrip()[:1] in ("⎡", "⎢", "⎣", "[")]
    rows = [row.partition("  [")[0] if row.lstrip()[0] != "[" else row for row in rows]
    return [[float(n.replace("−", "-")) for n in NUMBER.findall(row)] for row in rows]


@pytest.mark.parametrize("width", [54, 66, 80])
async def test_results_of_several_axes_are_written_out_matrix_by_matrix(width: int) -> None:
    view = StepView()
    async with Host(view).run_test(size=(width, 40)):
        session = session_of("conv2d")
        session.granularity = "edge"
        session.go_to(session.trace.steps.by_key["send:Y>X:0"])
        view.show_session(session)
        gradient = session.trace.gradients[session.trace.graph.leaves["X"]]
        assert isinstance(gradient, np.ndarray) and gradient.shape == (2, 3, 3)
        np.testing.assert_allclose(written_out(view.text), gradient.reshape(6, 3), rtol=1e-3)
        assert "[0, :, :]" in view.text and "[1, :, :]" in view.text


@pytest.mark.parametrize("lesson_id", ["mlp", "ninja", "rnn-batch", "transformer-block"])
async def test_no_row_of_a_matrix_is_wrapped(lesson_id: str) -> None:
    view = StepView()
    async with Host(view).run_test(size=(54, 40)):  # the narrowest that the app has
        session = session_of(lesson_id)
        session.granularity = "edge"
        session.go_to(-1)
        shown = 0
        while session.next():
            view.show_session(session)
            for line in view.text.splitlines():
                for left, right in ("⎡⎤", "⎢⎥", "⎣⎦"):
                    assert (left in line) == (right in line), line
                    shown += left in line
        assert shown > 20


async def test_of_a_large_result_the_first_cells_are_shown() -> None:
    view = StepView()
    async with Host(view).run_test(size=(66, 40)):
        session = session_of("mlp")
        session.granularity = "edge"
        session.go_to(session.trace.steps.by_key["compute:losses"])
        view.show_session(session)
        losses = session.trace.graph[session.trace.graph.index_of["losses"]].value
        assert isinstance(losses, np.ndarray) and losses.shape == (8, 1)
        np.testing.assert_allclose(written_out(view.text), losses[:4], rtol=1e-3)
        assert "⋮" in view.text


# ── the gradients ─────────────────────────────────────────────────────────────────────────────


class Beside:
    """Torch and the differences agree with us, and say so."""

    torch_text = "loading"

    def __init__(self, session: Session, *, known: bool = True) -> None:
        self.session, self.known = session, known

    def torch(self, node: int) -> Any:
        return self.session.trace.gradients[node] if self.known else None

    def numeric(self, node: int) -> Any:
        return self.session.trace.gradients[node] if self.known else None

    def difference(self, node: int) -> float | None:
        return 1.2e-16 if self.known else None

    def verdict(self, node: int) -> Verdict | None:
        return Verdict.AGREE if self.known else None


def row_of(view: GradientsView, name: str) -> str:
    return next(row for row in rows(view) if row[2:].startswith(f"{name} "))


def cells(view: GradientsView, name: str) -> list[str]:
    """What stands after a name, without the marker before it."""
    return row_of(view, name)[2:].split()[1:]


FITS = [
    *((lesson_id, w) for lesson_id in ("tanh-recursion", "squared-loss") for w in range(52, 81, 4)),
    *(("rnn", w) for w in (54, 66, 80)),  # with a scrollbar; these are the app's own widths
    *(("rnn", w) for w in (56, 68)),
]


@pytest.mark.parametrize(("lesson_id", "width"), FITS)
async def test_the_table_fits_its_width_with_nothing_cut_off(lesson_id: str, width: int) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(width, 20)) as pilot:
        session = session_of(lesson_id)
        session.randomise(3)
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        await pilot.pause()
        room = view.scrollable_content_region.width
        header, *lines = rows(view)
        for row in (header, *lines):
            assert cell_len(row.rstrip()) <= room, row
        for row in lines:
            assert row.rstrip().endswith("✓ agrees")


@pytest.mark.parametrize("width", range(40, 52, 2))
async def test_in_a_very_narrow_table_the_numbers_come_first(width: int) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(width, 20)) as pilot:
        session = session_of("tanh-recursion")
        session.randomise(3)
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        await pilot.pause()
        seen = row_of(view, "w_h")[: view.scrollable_content_region.width]
        by_hand, torch, numeric = (float(text) for text in seen[2:].split()[1:4])
        gradient = session.trace.gradients[session.trace.graph.index_of["w_h"]]
        assert by_hand == torch == numeric == pytest.approx(gradient, rel=1e-3)


@pytest.mark.parametrize("width", [40, 46, 60, 80])
async def test_numbers_stand_under_their_titles(width: int) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(width, 20)):
        session = session_of("linear")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        header, row = rows(view)[0], row_of(view, "w")
        for title in ("by hand", "torch", "numeric"):
            end = header.index(title) + len(title)
            assert row[:end].endswith(" 2.5") and row[end] == " "


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("number", [-1.2346e-300, 1.7976931348623157e308, float("-inf")])
async def test_a_number_is_never_cut(width: int, number: float) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(width, 20)):
        session = session_of("linear")
        session.set_leaf("x", number)
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        shown = cells(view, "w")[0]
        assert float(shown) == pytest.approx(number, rel=0.3) or float(shown) == number


async def test_a_gradient_stands_there_once_it_has_arrived() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(70, 20)):
        session = session_of("tanh-recursion")
        session.granularity = "edge"
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        assert cells(view, "w_h")[0] == "·"
        assert "agrees" not in row_of(view, "w_h")  # the verdict would give it away
        session.go_to(session.trace.steps.by_key["send:z[t=2]>w_h:0"])
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        assert cells(view, "w_h")[0] == "5.2782"
        assert row_of(view, "w_h").rstrip().endswith("1 of 2")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        assert cells(view, "w_h")[:3] == ["8.1888"] * 3


async def test_while_torch_is_awaited_its_column_says_so() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(70, 20)):
        session = session_of("linear")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session, known=False))  # type: ignore[arg-type]
        assert cells(view, "w") == ["2.5", "loading", "…"]


async def test_the_lines_are_leaves_first_then_nodes_backwards() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(70, 20)):
        session = session_of("squared-loss")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        found = [row[2:].split()[0] for row in rows(view)[1:]]
        assert found == ["x", "y_actual", "loss", "diff", "y_pred"]
        assert [cells(view, n)[0] for n in found] == ["-36", "18", "1", "-18", "-18"]


@pytest.mark.parametrize("granularity", ["node", "edge"])
@pytest.mark.parametrize("lesson_id", LESSONS)
async def test_stepping_leaves_no_stale_line_in_the_table(lesson_id: str, granularity: Any) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(70, 40)):
        session = session_of(lesson_id)
        session.granularity = granularity
        session.go_to(-1)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        assert stale(view) == []
        for move in (session.next, session.previous):
            while move():
                view.step_to()
                assert stale(view) == [], session.position
        for name, marked in ((r[2:].split()[0], r.startswith("▸")) for r in rows(view)[1:]):
            assert not marked or session.position >= 0, name


async def test_who_takes_part_is_marked() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(70, 20)):
        session = session_of("linear")
        session.go_to(-1)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        session.go_to(session.trace.steps.by_key["send:p>x:1"])
        view.step_to()
        assert [r[2:].split()[0] for r in rows(view) if r.startswith("▸")] == ["w", "x", "p"]


async def test_a_line_is_chosen_by_key_and_by_click() -> None:
    view = GradientsView()
    app = Host(view)
    async with app.run_test(size=(70, 8)) as pilot:
        session = session_of("rnn")
        index = session.trace.graph.index_of
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        view.focus()
        await pilot.press("down", "down", "up", "enter")
        assert app.said == [index["y"]]
        await pilot.click(view, offset=place_of(view, "h₀"))
        assert app.said[1:] == [index["h0"]]
        for _ in range(40):
            await pilot.press("down")
        assert app.focused is view
        await pilot.press("enter")
        assert app.said[2:] == [index["x_t[t=1]"]]  # the first that was computed is the last
        last = view.virtual_size.height - 1
        assert view.scroll_offset.y <= last < view.scroll_offset.y + view.size.height


@pytest.mark.parametrize("granularity", ["node", "edge"])
@pytest.mark.parametrize("lesson_id", ["rnn", "two-layer", "mlp"])
async def test_the_table_goes_along_with_the_step(lesson_id: str, granularity: Any) -> None:
    """At every step one of those that take part is in sight, and so are the titles."""
    view = GradientsView()
    async with Host(view).run_test(size=(70, 9)) as pilot:
        session = session_of(lesson_id)
        session.granularity = granularity
        session.go_to(-1)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        await pilot.pause()
        listed = [view._line_of[node] for node in view._listed]
        assert len(listed) > view.size.height  # or there would be nothing to do
        scrolled = set()
        while session.next():
            view.step_to()
            await pilot.pause()
            scrolled.add(view.scroll_offset.y)
            seen = [view.render_line(y).text for y in range(view.size.height)]
            assert seen[0].split() == ["by", "hand", "torch", "numeric", "Δ"]
            if any(row.startswith("▸") for row in rows(view)):
                assert any(row.startswith("▸") for row in seen[1:]), session.position
        assert len(scrolled) > 2


async def test_titles_that_stay_are_no_line_to_click() -> None:
    view = GradientsView()
    app = Host(view)
    async with app.run_test(size=(70, 9)) as pilot:
        session = session_of("rnn")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        view.scroll_to(y=6, animate=False, force=True)
        await pilot.pause()
        await pilot.click(view, offset=(4, 1))  # below the frame
        assert app.said == []
        await pilot.click(view, offset=(4, 2))
        assert app.said == [view._listed[6]]


class Undecided(Beside):
    """As `Beside`, with a verdict that is none."""

    def __init__(self, session: Session, verdict: Verdict) -> None:
        super().__init__(session)
        self.undecided = verdict

    def verdict(self, node: int) -> Verdict | None:
        return self.undecided


@pytest.mark.parametrize("width", [56, 66])
@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PENDING])
async def test_every_verdict_fits(verdict: Verdict, width: int) -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(width, 9)) as pilot:
        session = session_of("softmax")
        session.go_to(session.last_position)
        view.show_session(session, Undecided(session, verdict))  # type: ignore[arg-type]
        await pilot.pause()
        for row in rows(view)[1:]:
            assert verdict.sign in row
            assert cell_len(row.rstrip()) <= view.scrollable_content_region.width


async def test_without_torch_its_column_alone_says_so() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(66, 20)):
        session = session_of("gates")
        session.go_to(session.last_position)
        comparison = compare(session.trace, None, None, torch_expected=False)
        view.show_session(session, RealBeside(comparison, "off", torch_expected=False))
        assert cells(view, "s") == ["2", "off"]


async def test_names_have_room_to_differ() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(66, 40)):
        session = session_of("softmax")
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        names = [row[2:].split()[0] for row in rows(view)[1:]]
        assert len(set(names)) == len(names)


async def test_a_table_of_arrays_tells_shapes() -> None:
    view = GradientsView()
    async with Host(view).run_test(size=(60, 20)):
        session = session_of("matrix-linear")
        session.go_to(session.last_position)
        view.show_session(session, Beside(session))  # type: ignore[arg-type]
        assert cells(view, "X")[0] == "5×2"
        assert "[[5 5 5]]" in row_of(view, "B")


# ── equations, tabs, heading ──────────────────────────────────────────────────────────────────


async def test_the_equations_stand_in_two_parts_and_are_clickable() -> None:
    view = EquationsView()
    app = Host(view)
    async with app.run_test(size=(90, 30)) as pilot:
        view.show_session(session_of("linear"))
        lines = [line.strip() for line in view.text.split("\n")]
        assert lines[0] == "Forward"
        assert lines[1:3] == ["p = w · x", "z = p + b"]
        assert lines[4] == "Backward, by hand"
        assert "∂z/∂x = w · ∂z/∂p" in lines
        await pilot.pause()
        await pilot.click(view, offset=place_of(view, "z = p + b"))
        assert app.said == ["z"]


async def test_a_tab_is_chosen_by_a_click_on_its_name() -> None:
    view = TabBar(("Step", "Gradients", "Leaves"))
    app = Host(view)
    async with app.run_test(size=(60, 5)) as pilot:
        text = rows(view)[0]
        for name in ("Gradients", "Leaves", "Step"):
            await pilot.click(view, offset=(text.index(name), 0))
        await pilot.click(view, offset=(text.index(" 2 Gradients") - 1, 0))  # between two
        await pilot.click(view, offset=(58, 0))
        assert app.said == [1, 2, 0]
        view.choose(2)
        roles = {p.text.split()[-1]: p.role for p in view.paint_line(0) if p.text.strip()}
        assert roles == {"Step": "muted", "Gradients": "muted", "Leaves": "title cursor"}


@pytest.mark.parametrize("width", [30, 60])
async def test_in_the_heading_the_right_side_stays_whole(width: int) -> None:
    view = Heading()
    async with Host(view).run_test(size=(width, 5)):
        view.show((Piece(" 8 · A recursion with tanh", "title"),), (Piece("torch ✓ agrees "),))
        line = view.render_line(0).text
        assert cell_len(line) == width
        assert line.endswith("torch ✓ agrees ")
        assert line.startswith(" 8 · A recu")


def test_every_kind_of_step_is_somewhere_in_the_lessons() -> None:
    """Or the tests above would pass over one of them in silence."""
    kinds = {
        session.trace.steps.what(p)[0]
        for session in map(session_of, ids())
        for p in range(len(session.trace.steps))
    }
    assert kinds == set(StepKind)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (41, " 39 · Attention  T = 3  d = 3  ! L is inf"),
        (40, " 39 · Attention  T = 3  ! L is inf"),
        (35, " 39 · Attention  T = 3  ! L is inf"),
        (27, " 39 · Attention  ! L is inf"),
        (24, " 39 · Attention  ! L is…"),
    ],
)
def test_a_heading_leaves_out_whole_sizes_first(room: int, expected: str) -> None:
    pieces = (
        Piece(" 39 · Attention", "title"),
        Piece("  T = 3", "muted"),
        Piece("  d = 3", "muted"),
        Piece("  ! L is inf", "differ"),
    )
    assert "".join(piece.text for piece in _fitting(pieces, room)) == expected


def test_names_that_would_look_the_same_keep_both_ends() -> None:
    names = {1: "counts_sum", 2: "counts_sum_inv", 3: "counts", 4: "logit_maxes", 5: "counts"}
    found = shortened(names, 7)
    assert found == {1: "cou…sum", 2: "cou…inv", 3: "counts", 4: "logit_…", 5: "counts"}
    assert shortened(names, 14) == names
    assert all(len(short) <= 8 for short in shortened(names, 8).values())


async def test_in_a_low_view_a_matrix_leaves_room_for_the_words() -> None:
    session = session_of("matrix-linear")
    session.go_to(session.last_position)
    view = StepView()
    async with Host(view).run_test(size=(80, 11)) as pilot:
        view.show_session(session)
        low = view.text
        assert low.count("⋮") == 1 and "⟨5×3⟩ @" not in low
        assert "= ⟨5×2⟩" in low and "⟨2×3⟩" in low  # what the two contributions come to
        await pilot.resize_terminal(80, 40)
        await pilot.pause()
        high = view.text
        assert "⋮" not in high and "= ⟨5×3⟩ @ ⟨2×3⟩ᵀ" in high
        assert len(high.splitlines()) > len(low.splitlines())


def test_what_is_said_of_one_step_of_a_turn_is_not_said_again_of_the_next() -> None:
    session = session_of("circuit")
    steps = session.trace.steps
    q = session.trace.graph.index_of["q"]
    session.go_to(steps.position[StepKind.SEND, q, 1])
    lines = ["".join(piece.text for piece in line.pieces) for line in paragraphs(session)]
    assert sum(line.startswith("why") for line in lines) == 1
    assert sum("sends to" in line for line in lines) == 2
