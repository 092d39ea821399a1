"""The graph on the screen: what is painted at a cursor, what a step repaints, keys and mouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region

from backprop_tui.engine.trace import StepKind
from backprop_tui.lessons import find_lesson, ids
from backprop_tui.session import Session
from backprop_tui.tui.graph_layout import Place
from backprop_tui.tui.graph_model import Zoom
from backprop_tui.tui.graph_view import GraphView, _scrolled
from tests.tui.screen import stepped_lessons

LESSONS = stepped_lessons()
BIG = (200, 120)
CONTENT = (1, 1)  # the frame: a border above, a blank at the left


class Host(App[None]):
    """Nothing but graphs: one that follows the cursor, and one to be painted afresh."""

    CSS = "#fresh { display: none; }"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.clicked: list[int] = []
        self.picked: list[int] = []

    def compose(self) -> ComposeResult:
        yield GraphView(id="graph")
        yield GraphView(id="fresh")

    def on_mount(self) -> None:
        self.view.show_session(self.session)

    @property
    def view(self) -> GraphView:
        return self.query_one("#graph", GraphView)

    @property
    def fresh(self) -> GraphView:
        return self.query_one("#fresh", GraphView)

    def on_graph_view_node_clicked(self, message: GraphView.NodeClicked) -> None:
        self.clicked.append(message.node)

    def on_graph_view_node_chosen(self, message: GraphView.NodeChosen) -> None:
        self.picked.append(message.node)


def host(lesson_id: str, **sizes: int) -> Host:
    return Host(Session(find_lesson(lesson_id), sizes=sizes))


def go(app: Host, key: str, granularity: Any = "edge") -> None:
    """To the step with a key."""
    app.session.granularity = granularity
    app.session.go_to(app.session.trace.steps.by_key[key])
    app.view.repaint_all_states()


def rows(view: GraphView) -> list[str]:
    """Everything that is painted, as text."""
    lines = range(view.virtual_size.height)
    return ["".join(piece.text for piece in view.paint_line(y)) for y in lines]


def roles(view: GraphView, y: int) -> list[str]:
    """The role of every cell of a row."""
    return [piece.role for piece in view.paint_line(y) for _ in piece.text]


def places(view: GraphView, session: Session, node_id: str) -> list[Place]:
    assert view._model is not None
    node = session.trace.graph.index_of[node_id]
    return [view._model.drawing.places[box] for box in view._model.boxes_of[node]]


def box(app: Host, node_id: str, number: int = 0) -> list[str]:
    """A node's box as it is painted."""
    place = places(app.view, app.session, node_id)[number]
    lines = rows(app.view)[place.y : place.y + place.height]
    return [line[place.x : place.x + place.width] for line in lines]


def border_of(lines: list[str]) -> str:
    """The corners of a box."""
    return lines[0][0] + lines[0][-1] + lines[-1][0] + lines[-1][-1]


HEAVY, DOUBLE, ROUND, SQUARE = "┏┓┗┛", "╔╗╚╝", "╭╮╰╯", "┌┐└┘"


# ── what is painted ───────────────────────────────────────────────────────────────────────────


async def test_before_the_first_step_only_leaves_have_values() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        app.session.go_to(-1)
        app.view.repaint_all_states()
        for node_id in ("z[t=1]", "h[t=1]", "z[t=2]", "h[t=2]", "y"):
            assert box(app, node_id)[1].strip("│ ") == "?", node_id
        assert [box(app, leaf)[1].strip("│ ") for leaf in ("h0", "w_h", "w_y")] == [
            "0.5", "2", "40",
        ]  # fmt: skip
        assert all(box(app, i)[2].strip("│ ∂") == "…" for i in ("h0", "w_h", "y"))
        assert not any(set(HEAVY + DOUBLE + "▲") & set(row) for row in rows(app.view))


async def test_a_value_stands_in_its_box_once_it_is_computed() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, "compute:h[t=1]")
        assert box(app, "h[t=1]")[1] == "┃ 0.76159     ┃"  # tanh 1
        assert box(app, "z[t=2]")[1].strip("│ ") == "?"
        assert box(app, "h[t=1]")[0].startswith("┏ h₁ tanh ━")


async def test_who_sends_is_heavy_and_who_receives_is_double() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, "send:h[t=2]>z[t=2]:0")
        borders = {
            name.id: border_of(box(app, name.id))
            for name, record in zip(app.session.trace.graph.names,
                                    app.session.trace.graph.records, strict=True)
            if name.id in app.session.trace.graph.index_of
        }  # fmt: skip
        assert borders.pop("h[t=2]") == HEAVY
        assert borders.pop("z[t=2]") == DOUBLE
        for leaf in ("h0", "w_h", "w_y"):
            assert borders.pop(leaf) == SQUARE
        assert set(borders.values()) == {ROUND}
        assert "6.9305" in box(app, "z[t=2]")[2]
        assert box(app, "h[t=2]")[2] == "┃ ∂ 40        ┃"


async def test_a_turn_by_node_shows_all_that_receive() -> None:
    app = host("linear")
    async with app.run_test(size=BIG):
        go(app, "send:p>x:1", "node")
        assert border_of(box(app, "p")) == HEAVY
        assert border_of(box(app, "w")) == border_of(box(app, "x")) == DOUBLE
        assert border_of(box(app, "b")) == SQUARE
        assert [box(app, leaf)[2].strip("║│ ∂") for leaf in ("w", "x", "b")] == ["2.5", "5", "1"]


async def test_contributions_are_counted_in_the_border() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, "send:y>h[t=2]:1")
        assert " of " not in box(app, "w_h")[-1]
        go(app, "send:z[t=2]>w_h:0")
        assert "═ 1 of 2 ═" in box(app, "w_h")[-1]
        assert box(app, "w_h")[2].strip("║ ∂") == "5.2782 …"
        go(app, "send:h[t=1]>z[t=1]:0")
        assert "─ 1 of 2 ─" in box(app, "w_h")[-1]
        go(app, "send:z[t=1]>w_h:0")
        assert "═ 2 of 2 ═" in box(app, "w_h")[-1]
        assert box(app, "w_h")[2].strip("║ ∂") == "8.1888"
        assert " of " not in box(app, "h0")[-1]


async def test_what_receives_nothing_has_a_dash() -> None:
    app = host("square")
    async with app.run_test(size=BIG):
        app.session.set_leaf("x", 2.0)
        app.view.show_session(app.session)
        assert "—" not in "".join(rows(app.view))
        assert box(app, "x")[2].strip("│ ∂") == "…"

    from backprop_tui.lessons.base import Leaf, Lesson

    def program(xp: Any, x: Any, unused: Any) -> Any:
        aside = unused * 2.0  # noqa: F841
        y = x + 1.0
        return y

    lesson = Lesson(
        "never", "Never", "Test", 1, "", program,
        (Leaf("x", 1.0, ""), Leaf("unused", 1.0, "")), (), (),
    )  # fmt: skip
    app = Host(Session(lesson))
    async with app.run_test(size=BIG):
        for node_id in ("unused", "aside"):
            assert box(app, node_id)[2].strip("│ ∂") == "—"


@pytest.mark.parametrize(("key", "operand"), [
    ("send:h[t=2]>z[t=2]:0", "z[t=2]"), ("send:z[t=2]>w_h:0", "w_h"), ("send:z[t=1]>h0:1", "h0"),
])  # fmt: skip
async def test_backward_the_arrow_points_at_who_receives(key: str, operand: str) -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, key)
        model = app.view._model
        assert model is not None
        step = app.session.trace.steps[app.session.position]
        route = model.drawing.routes[model.link_of[step.edge.source, step.edge.slot]]
        painted = rows(app.view)
        arrows = [(x, y) for y, row in enumerate(painted) for x, c in enumerate(row) if c == "▲"]
        assert arrows == [route[0]]
        place = places(app.view, app.session, operand)[0]
        assert route[0][1] == place.y + place.height  # just below the operand's box
        if len(route) > 1:  # no arrow head where the gradient comes from
            x, y = route[-1]
            assert painted[y][x] == "┃"
        for x, y in route:
            assert roles(app.view, y)[x] == "active", (x, y)
            assert painted[y][x] in "┃━┏┓┗┛┣┫┳┻╋▲"


async def test_forward_the_arrows_point_at_what_is_computed() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, "compute:z[t=2]")
        model = app.view._model
        assert model is not None
        node = app.session.trace.graph.index_of["z[t=2]"]
        painted = rows(app.view)
        for slot in (0, 1):
            route = model.drawing.routes[model.link_of[node, slot]]
            assert painted[route[-1][1]][route[-1][0]] == "▼"
            assert {roles(app.view, y)[x] for x, y in route} == {"active-forward"}
        assert not any("▲" in row for row in painted)


@pytest.mark.parametrize("lesson_id", LESSONS)
async def test_lit_is_exactly_the_way_of_the_step(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=BIG):
        model, session = app.view._model, app.session
        assert model is not None
        session.granularity = "edge"
        session.go_to(-1)
        while session.next():
            app.view.step_to()
            kind, node, slot = session.trace.steps.what(session.position)
            links = []
            if kind is StepKind.SEND:
                links = [link] if (link := model.link_of.get((node, slot))) else []
            elif kind is StepKind.COMPUTE:
                links = [link for (source, _), link in model.link_of.items() if source == node]
            cells = {cell for link in links for cell in model.drawing.routes[link]}
            boxes = [model.drawing.places[b] for b in model.boxes]
            lit = {
                (x, y)
                for y in range(model.drawing.height)
                for x, role in enumerate(roles(app.view, y))
                if role.startswith("active")
                and not any(p.x <= x < p.x + p.width and p.y <= y < p.y + p.height for p in boxes)
            }
            assert lit == cells


@pytest.mark.parametrize("lesson_id", ids())
@pytest.mark.parametrize("zoom", list(Zoom))
async def test_every_row_is_as_wide_as_the_drawing(lesson_id: str, zoom: Zoom) -> None:
    app = host(lesson_id)
    async with app.run_test(size=BIG):
        app.view.set_zoom(zoom)
        for position in (-1, 0, app.session.last_position):
            app.session.go_to(position)
            app.view.repaint_all_states()
            widths = {len(row) for row in rows(app.view)}
            assert widths == {app.view.virtual_size.width}


@pytest.mark.parametrize("position", ["backward", "forward"])
async def test_two_lit_wires_that_cross_do_not_hide_each_other(position: str) -> None:
    """Which one is on top must not depend on the order of a set: it changes from run to run."""
    app = host("recursion", T=3)
    async with app.run_test(size=BIG):
        view, session = app.view, app.session
        assert view._model is not None
        start = session.trace.steps.backward_start
        session.go_to(-1)
        crossings = 0
        while session.next():
            if (session.position >= start) != (position == "backward"):
                continue
            view.step_to()
            painted = rows(view)
            ways: dict[tuple[int, int], set[str]] = {}
            for link in view._lit.links:
                route = view._model.drawing.routes[link]
                for before, here, after in zip(route, route[1:], route[2:], strict=False):
                    if before[1] == after[1]:
                        ways.setdefault(here, set()).add("across")
                    elif before[0] == after[0]:
                        ways.setdefault(here, set()).add("down")
            for (x, y), found in ways.items():
                if len(found) == 2 and view._model.drawing.rows[y][x] in "│─┼":
                    assert painted[y][x] == "╋"
                    crossings += 1
        assert crossings


async def test_titles_of_the_time_steps_stand_above_them() -> None:
    app = host("rnn", T=3)
    async with app.run_test(size=BIG):
        model = app.view._model
        assert model is not None
        painted = rows(app.view)
        for block in model.drawing.blocks:
            assert painted[block.y][block.x :].startswith(model.block_titles[block.index])


async def test_names_only_when_zoomed_out() -> None:
    app = host("linear")
    async with app.run_test(size=BIG):
        app.view.set_zoom(Zoom.NAME)
        go(app, "send:p>w:0")
        assert [box(app, i)[0] for i in ("p", "w", "x", "z")] == [
            "▐p mul▌", "‹w›", "(x)", "[z add]",
        ]  # fmt: skip
        app.view.set_zoom(Zoom.VALUE)
        assert len(box(app, "w")) == 3
        assert box(app, "w")[1].strip("║ ") == "5"


async def test_in_ascii_every_cell_stays_in_its_place() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG):
        go(app, "send:z[t=2]>w_h:0")
        view = app.view
        plain = [view._strip(y).text for y in range(view.virtual_size.height)]
        view.ascii = True
        ascii_lines = [view._strip(y).text for y in range(view.virtual_size.height)]
        assert all(line.isascii() for line in ascii_lines)
        assert [len(line) for line in ascii_lines] == [len(line) for line in plain]
        assert "1 of 2" in "".join(ascii_lines)


# ── stale lines ───────────────────────────────────────────────────────────────────────────────


def remember_all(view: GraphView) -> None:
    """As if every line had been seen: all are in the cache now."""
    for y in range(view.virtual_size.height):
        if y not in view._lines:
            view._lines[y] = view._strip(y)


def stale(app: Host) -> list[tuple[int, str, str]]:
    """The lines that the following view has kept although they should look otherwise."""
    app.fresh.zoom = app.view.zoom
    app.fresh.show_session(app.session)  # forgets every line
    remember_all(app.view)
    kept = app.view._lines
    wanted = [app.fresh._strip(y) for y in range(app.view.virtual_size.height)]
    return [
        (y, kept[y].text, strip.text)
        for y, strip in enumerate(wanted)
        if kept[y]._segments != strip._segments
    ]


def moves(session: Session) -> Iterator[None]:
    """Forth and back by node, forth and back by edge, and changing between them on the way."""
    for granularity in ("node", "edge"):
        session.granularity = granularity  # type: ignore[assignment]
        yield
        while session.next():
            yield
        while session.previous():
            yield
    turn = 0
    while True:
        session.granularity = "edge" if turn % 3 else "node"
        yield
        if not session.next():
            break
        yield
        if turn % 5 == 4:
            session.previous()
            yield
        turn += 1


SIZES: dict[str, list[dict[str, int]]] = {
    "recursion": [{}, {"T": 5}], "tanh-recursion": [{}, {"T": 4}], "rnn": [{}, {"T": 1}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("lesson_id", "sizes"),
    [
        pytest.param(lesson.values[0], sizes, marks=lesson.marks)
        for lesson in LESSONS
        for sizes in SIZES.get(lesson.values[0], [{}])
    ],
)
@pytest.mark.parametrize("zoom", [Zoom.ALL, Zoom.NAME])
async def test_stepping_repaints_exactly_what_has_changed(
    lesson_id: str, sizes: dict[str, int], zoom: Zoom
) -> None:
    app = host(lesson_id, **sizes)
    async with app.run_test(size=(70, 30)):
        app.session.go_to(-1)
        app.view.set_zoom(zoom)
        for _ in moves(app.session):
            app.view.step_to()
            assert stale(app) == [], app.session.position


async def test_a_step_leaves_the_lines_it_does_not_concern_alone() -> None:
    app = host("rnn", T=3)
    async with app.run_test(size=(70, 30)):
        go(app, "send:J[t=2]>J/pow[t=2]:1")
        remember_all(app.view)
        app.session.next()
        app.view.step_to()
        assert len(app.view._lines) > 0.4 * app.view.virtual_size.height


@pytest.mark.parametrize("lesson_id", ["tanh-recursion", "rnn"])
async def test_after_a_jump_and_an_edit_nothing_is_stale(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=(70, 30)):
        session, view = app.session, app.view
        for position in (session.last_position, -1, 3, session.trace.steps.backward_start):
            session.go_to(position)
            view.repaint_all_states()
            assert stale(app) == []
        for edit in (lambda: session.randomise(3), lambda: session.set_size("T", 4), session.undo):
            edit()
            view.show_session(session)
            assert stale(app) == []


@pytest.mark.parametrize(("lesson_id", "size"), [("tanh-recursion", (44, 16)), ("rnn", (60, 20))])
async def test_the_terminal_shows_what_is_painted(lesson_id: str, size: tuple[int, int]) -> None:
    """The whole way to the terminal, with scrolling: only regions are sent after a step."""
    app = host(lesson_id)
    async with app.run_test(size=size) as pilot:
        app.session.go_to(-1)
        app.view.repaint_all_states()
        while app.session.next():
            app.view.step_to()
            await pilot.pause()
            seen = [strip.text for strip in app.screen._compositor.render_strips()]
            left, top = app.view.scroll_offset
            painted = rows(app.view)
            width, height = app.view.scrollable_content_region.size
            for y in range(min(height, len(painted) - top)):
                expected = painted[y + top][left : left + width]
                assert seen[y + CONTENT[1]][CONTENT[0] :].startswith(expected)


@pytest.mark.parametrize("lesson_id", ids())
async def test_the_layout_is_kept_while_only_numbers_change(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=BIG):
        model = app.view._model
        app.session.randomise(2)
        app.view.show_session(app.session)
        assert app.view._model is model
        looped = any(name.loops for name in app.session.trace.graph.names)
        if looped and "T" in app.session.inputs.sizes:  # a size of arrays leaves the graph as it is
            app.session.set_size("T", app.session.inputs.sizes["T"] + 1)
            app.view.show_session(app.session)
            assert app.view._model is not model


# ── in view ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("granularity", ["node", "edge"])
@pytest.mark.parametrize("lesson_id", ["squared-loss", "two-layer", "rnn", "mlp"])
async def test_in_a_small_view_the_box_that_sends_is_seen_whole(
    lesson_id: str, granularity: Any
) -> None:
    """As in a terminal of 80×24, where sender and receivers do not always fit."""
    app = host(lesson_id)
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        session, view = app.session, app.view
        assert view.size.height == 9
        session.granularity = granularity
        session.go_to(-1)
        while session.next():
            view.step_to()
            await pilot.pause()
            node = session.trace.steps.what(session.position)[1]
            seen = view.scrollable_content_region.size.region.translate(view.scroll_offset)
            name = session.trace.graph.names[node].id
            boxes = [Region(*place) for place in places(view, session, name)]
            assert any(seen.contains_region(box) for box in boxes), session.position
            # What fits is all to be seen, and to the last line of it.
            together = view._active_boxes()
            if together is not None and together.height <= seen.height:
                if together.width > seen.width:
                    continue
                assert seen.contains_region(together), session.position


@pytest.mark.parametrize("lesson_id", ["two-layer", "rnn", "mlp", "lstm"])
async def test_before_the_first_step_one_sees_where_it_will_happen(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=(80, 20)) as pilot:
        session, view = app.session, app.view
        session.go_to(session.trace.steps.backward_start)
        view.repaint_all_states()
        await pilot.pause()
        assert view.scroll_offset.y > 0
        session.go_to(-1)
        view.repaint_all_states()
        await pilot.pause()
        first = session.trace.steps.what(0)[1]
        place = places(view, session, session.trace.graph.names[first].id)[0]
        seen = view.scrollable_content_region.size.region.translate(view.scroll_offset)
        assert seen.contains_region(Region(*place))


@pytest.mark.parametrize(
    ("offset", "whole", "main", "expected"),
    [
        (0, (2, 8), (5, 8), 0),  # all is seen
        (0, (4, 12), (9, 12), 3),  # with its margin
        (0, (4, 14), (10, 14), 4),  # it fits, but for the margin
        (9, (4, 12), (4, 8), 3),
        (0, (4, 20), (16, 20), 10),  # too long: the main part, and what is before it
        (30, (4, 20), (4, 8), 4),  # or what is behind it
    ],
)
def test_how_far_to_scroll(
    offset: int, whole: tuple[int, int], main: tuple[int, int], expected: int
) -> None:
    assert _scrolled(offset, 10, whole, main, margin=1) == expected


@pytest.mark.parametrize("lesson_id", ["tanh-recursion", "rnn"])
async def test_the_step_is_always_in_view(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=(50, 16)) as pilot:
        app.session.granularity = "edge"
        app.session.go_to(-1)
        while app.session.next():
            app.view.step_to()
            await pilot.pause()
            node = app.session.trace.steps.what(app.session.position)[1]
            left, top = app.view.scroll_offset
            width, height = app.view.size
            seen = [
                p
                for p in places(app.view, app.session, app.session.trace.graph.names[node].id)
                if left <= p.x < left + width and top <= p.y < top + height
            ]
            assert seen, app.session.trace.steps.key(app.session.position)


# ── keys ──────────────────────────────────────────────────────────────────────────────────────


async def test_shift_with_the_arrows_pans() -> None:
    app = host("rnn")
    async with app.run_test(size=(50, 16)) as pilot:
        app.view.focus()
        app.view.scroll_to(0, 0, animate=False, force=True)
        await pilot.press("shift+right")
        assert app.view.scroll_offset == (8, 0)
        await pilot.press("shift+down")
        assert app.view.scroll_offset == (8, 4)
        await pilot.press("shift+left", "shift+up")
        assert app.view.scroll_offset == (0, 0)


async def test_up_and_down_scroll_by_lines() -> None:
    app = host("rnn")
    async with app.run_test(size=(50, 16)) as pilot:
        app.view.focus()
        app.view.scroll_to(0, 0, animate=False, force=True)
        await pilot.press("down", "down", "up")
        assert app.view.scroll_offset == (0, 1)
        await pilot.press("pagedown")
        assert app.view.scroll_offset.y == 1 + app.view.size.height - 1


async def test_centring_puts_the_active_box_in_the_middle() -> None:
    app = host("rnn", T=6)
    async with app.run_test(size=(60, 20)) as pilot:
        go(app, "compute:h[t=3]")
        app.view.scroll_to(0, 0, animate=False, force=True)
        app.view.centre()
        await pilot.pause()
        place = places(app.view, app.session, "h[t=3]")[0]
        left, top = app.view.scroll_offset
        assert abs(place.x + place.width / 2 - left - app.view.size.width / 2) <= place.width
        assert abs(place.y + 2 - top - app.view.size.height / 2) <= 6


async def test_j_and_k_choose_and_enter_inspects() -> None:
    app = host("linear")
    async with app.run_test(size=BIG) as pilot:
        app.view.focus()
        index = app.session.trace.graph.index_of
        go(app, "compute:p")
        await pilot.press("j")
        assert app.picked == [index["p"]]  # it begins where the step is
        assert "title cursor" in roles(app.view, places(app.view, app.session, "p")[0].y)
        await pilot.press("j", "enter")
        assert app.picked[-1] == index["z"]
        assert app.clicked == [index["z"]]
        assert "title cursor" not in roles(app.view, places(app.view, app.session, "p")[0].y)
        await pilot.press("j")
        assert app.picked[-1] == min(index[leaf] for leaf in ("w", "x", "b"))  # and round again
        await pilot.press("k")
        assert app.picked[-1] == index["z"]


async def test_enter_without_a_choice_inspects_the_active_node() -> None:
    app = host("linear")
    async with app.run_test(size=BIG) as pilot:
        app.view.focus()
        go(app, "send:p>w:0")
        await pilot.press("enter")
        assert app.clicked == [app.session.trace.graph.index_of["p"]]


async def test_the_choice_is_marked_only_with_the_focus() -> None:
    app = host("linear")
    async with app.run_test(size=BIG) as pilot:
        app.view.focus()
        await pilot.pause()
        app.view.choose(app.session.trace.graph.index_of["w"])
        y = places(app.view, app.session, "w")[0].y
        assert "title cursor" in roles(app.view, y)
        app.screen.set_focus(None)
        await pilot.pause()
        assert "title cursor" not in roles(app.view, y)


# ── mouse ─────────────────────────────────────────────────────────────────────────────────────


def offset_of(app: Host, place: Place) -> tuple[int, int]:
    """The middle of a box, for the mouse."""
    left, top = app.view.scroll_offset
    return (place.x + place.width // 2 - left + CONTENT[0], place.y + 1 - top + CONTENT[1])


@pytest.mark.parametrize("lesson_id", ["squared-loss", "rnn"])
async def test_a_click_on_any_box_inspects_its_node(lesson_id: str) -> None:
    app = host(lesson_id)
    async with app.run_test(size=BIG) as pilot:
        model = app.view._model
        assert model is not None
        expected = []
        for box_id, place in list(model.drawing.places.items())[::3]:
            x, y = offset_of(app, place)
            if x < app.view.size.width and y < app.view.size.height:
                await pilot.click(app.view, offset=(x, y))
                expected.append(model.boxes[box_id].node)
        assert app.clicked == expected
        assert len(expected) >= len(model.boxes) // 9


async def test_a_click_in_a_scrolled_graph_meets_the_box_under_the_mouse() -> None:
    app = host("rnn")
    async with app.run_test(size=(60, 20)) as pilot:
        go(app, "compute:J[t=1]")
        await pilot.pause()
        assert app.view.scroll_offset != (0, 0)
        place = places(app.view, app.session, "J[t=1]")[0]
        await pilot.click(app.view, offset=offset_of(app, place))
        assert app.clicked == [app.session.trace.graph.index_of["J[t=1]"]]


async def test_a_click_beside_the_boxes_does_nothing() -> None:
    app = host("square")
    async with app.run_test(size=BIG) as pilot:
        await pilot.click(app.view, offset=(150, 100))
        assert app.clicked == []


async def test_hovering_tells_what_a_box_is() -> None:
    app = host("tanh-recursion")
    async with app.run_test(size=BIG) as pilot:
        go(app, "send:z[t=2]>w_h:0")
        await pilot.hover(app.view, offset_of(app, places(app.view, app.session, "w_h")[0]))
        assert app.view.tooltip == (
            "w_h: the recurrent weight, the same at every step\nvalue 2\ngradient 5.2782\n"
            "waiting for 1 more"
        )
        await pilot.hover(app.view, offset_of(app, places(app.view, app.session, "h[t=1]")[0]))
        assert app.view.tooltip == "h₁ = tanh(…)\nvalue 0.76159"
        await pilot.hover(app.view, (150, 100))
        assert app.view.tooltip is None


async def test_dragging_pans() -> None:
    app = host("rnn")
    async with app.run_test(size=(60, 20)) as pilot:
        view = app.view
        view.scroll_to(0, 0, animate=False, force=True)
        await pilot.pause()
        free = next(
            (x, y)
            for y in range(5, 15)
            for x in range(20, 50)
            if view.box_at(x - CONTENT[0], y - CONTENT[1]) is None
        )
        await pilot.mouse_down(view, offset=free)
        await pilot._post_mouse_events(
            [events.MouseMove], view, (free[0] - 6, free[1] - 3), button=1
        )
        assert view.scroll_offset == (6, 3)
        await pilot.mouse_up(view, offset=(free[0] - 6, free[1] - 3))
        await pilot.hover(view, offset=(3, 3))
        assert view.scroll_offset == (6, 3)
        assert app.clicked == []
