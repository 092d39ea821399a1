"""The computation graph: boxes with values and gradients, wires lit where the step happens."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from backprop_tui.engine.graph import Graph, NodeKind
from backprop_tui.engine.trace import StepKind
from backprop_tui.explain import Notation
from backprop_tui.session import GradientState, NodeState, Session
from backprop_tui.tui.graph_layout import Place
from backprop_tui.tui.graph_model import BoxNode, GraphModel, Zoom, build, number_text
from backprop_tui.tui.painted import Painted, Piece, Pieces
from backprop_tui.values import format_value

MARGIN = 0
"""Empty columns to the left of the drawing."""

HEAVY = str.maketrans("─│┌┐└┘├┤┬┴┼", "━┃┏┓┗┛┣┫┳┻╋")

BORDERS = {
    "operation": "╭─╮│╰╯",
    "leaf": "┌─┐│└┘",
    "active": "┏━┓┃┗┛",
    "receiving": "╔═╗║╚╝",
}


class Lit(NamedTuple):
    """What the current step lights up."""

    nodes: frozenset[int]
    """The nodes that compute, send or collect."""

    receiving: frozenset[int]
    """The nodes that receive a contribution."""

    receiving_boxes: frozenset[str]
    """Their boxes at the lit wires: of a leaf drawn several times only the one concerned."""

    links: frozenset[str]
    backward: bool


NOTHING_LIT = Lit(frozenset(), frozenset(), frozenset(), frozenset(), False)


class GraphView(Painted):
    """Draws a session's graph as it is at the cursor.

    The layout is made once for a graph and zoom level; a step only repaints what it changes.
    """

    HELP = """
    # The computation graph

    A box is a value: `╭╮` the result of an operation, `┌┐` a leaf (an input or a weight).
    Below its value stands its gradient after `∂`: `…` not arrived yet, `1 of 2` in the border
    while contributions are awaited, `—` if none will come. `⊞12` in a title: twelve operations
    are folded into this box, which shows their result; `x` unfolds and folds.

    Where the step happens the box has a heavy border `┏┓`; a box that is receiving has a
    double one `╔╗`. The lit wire `┃` carries the contribution; its arrow shows the way.

    **Keys**: ↑ ↓ and shift with the arrows scroll · `z` zooms · `c` centres ·
    `j` `k` choose a node · enter inspects it · `t` goes to the next step that touches it.
    **Mouse**: click inspects, hovering tells, the wheel scrolls, dragging pans.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("shift+up", "pan(0,-4)", "Pan up", show=False, id="graph.pan_up"),
        Binding("shift+down", "pan(0,4)", "Pan down", show=False, id="graph.pan_down"),
        Binding("shift+left", "pan(-8,0)", "Pan left", show=False, id="graph.pan_left"),
        Binding("shift+right", "pan(8,0)", "Pan right", show=False, id="graph.pan_right"),
        Binding("j", "choose(1)", "Choose next node", show=False, id="graph.choose_next"),
        Binding("k", "choose(-1)", "Choose previous node", show=False, id="graph.choose_prev"),
        Binding("enter", "inspect", "Inspect node", show=False, id="graph.inspect"),
    ]

    class NodeClicked(Message):
        """A node was clicked, or chosen and entered."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    class NodeChosen(Message):
        """Another node is chosen by key."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Graph"
        self.zoom = Zoom.ALL
        self.chosen: int | None = None
        """The node chosen by key, for inspecting and following."""
        self._session: Session | None = None
        self._model: GraphModel | None = None
        self._graph_shown: Graph | None = None
        self._folded: frozenset[str] = frozenset()
        self._rows: dict[int, list[tuple[int, str]]] = {}
        """The boxes in each row, from left to right: column and id."""
        self._titles: dict[int, list[tuple[int, str]]] = {}
        """The titles of time steps in each row: column and text."""
        self._painted: dict[str, tuple[Pieces, ...]] = {}
        """The rows of the boxes that have been painted and have not changed since."""
        self._window = (0, 0)
        """The first column and the width for which lines have been painted."""
        self._lit = NOTHING_LIT
        self._lit_cells: dict[int, dict[int, str]] = {}
        self._drag: tuple[int, int] | None = None

    # ── content ───────────────────────────────────────────────────────────────────────────

    def show_session(self, session: Session) -> None:
        """Show a session's graph; lays out anew only if the graph itself is another one."""
        before, graph = self._graph_shown, session.trace.graph
        same = (
            self._session is session
            and self._model is not None
            and self._folded == session.folded
            and before is not None
            and _structure(before) == _structure(graph)
        )
        if self.chosen is not None and not same:  # the numbers of nodes have changed
            known = before if self._session is session else None
            name = None if known is None else known.names[self.chosen].id
            self.chosen = None if name is None else graph.index_of.get(name)
        self._session = session
        self._graph_shown = graph
        if not same:
            self._lay_out()
        self._light_up()
        self.repaint()

    def set_zoom(self, zoom: Zoom) -> None:
        """Change how much the boxes show."""
        self.zoom = zoom
        if self._session is not None:
            self._lay_out()
            self._light_up()
            self.repaint()
            self.centre()

    def _lay_out(self) -> None:
        assert self._session is not None
        self._folded = self._session.folded
        self._model = model = build(self._session.trace, self.zoom, self._folded)
        self._rows = {}
        for box_id, place in model.drawing.places.items():
            for y in range(place.y, place.y + place.height):
                self._rows.setdefault(y, []).append((place.x, box_id))
        for row in self._rows.values():
            row.sort()
        drawing = model.drawing
        self._titles = {}
        for block in drawing.blocks:
            if block.index in model.block_titles:
                title = f"{model.block_titles[block.index]} "
                self._titles.setdefault(block.y, []).append((block.x, title))
        self.virtual_size = Size(drawing.width + 2 * MARGIN, drawing.height)

    def step_to(self) -> None:
        """Follow the session's cursor: repaint what has changed, and keep the step in view."""
        if self._model is None:
            return
        before = self._lit
        self._light_up()
        changed = before.nodes | before.receiving | self._lit.nodes | self._lit.receiving
        if before.backward != self._lit.backward or len(changed) > 40:
            self.repaint()
        else:
            self._repaint_changes(changed, before.links | self._lit.links)
        self.keep_in_view()

    def repaint_all_states(self) -> None:
        """After a jump: every box may have changed."""
        self._light_up()
        self.repaint()
        self.keep_in_view()

    def repaint(self) -> None:
        self._painted.clear()
        super().repaint()

    def _repaint_changes(self, nodes: frozenset[int], links: frozenset[str]) -> None:
        assert self._model is not None
        lines: set[int] = set()
        for node in nodes:
            for box in self._model.boxes_of.get(node, ()):
                self._painted.pop(box, None)
                place = self._model.drawing.places[box]
                lines.update(range(place.y, place.y + place.height))
        for link in links:
            lines.update(y for _, y in self._model.drawing.routes.corners(link))
            for (_, y0), (_, y1) in zip(
                self._model.drawing.routes.corners(link),
                self._model.drawing.routes.corners(link)[1:],
                strict=False,
            ):
                lines.update(range(min(y0, y1), max(y0, y1) + 1))
        if lines:
            for first, last in _runs(sorted(lines)):
                self.repaint_lines(first, last)

    def _light_up(self) -> None:
        assert self._session is not None and self._model is not None
        session, model = self._session, self._model
        nodes: set[int] = set()
        receiving: set[int] = set()
        boxes: set[str] = set()
        links: set[str] = set()
        backward = session.in_backward
        for position in session.active():
            kind, node, slot = session.trace.steps.what(position)
            nodes.add(node)
            if kind is StepKind.SEND:
                receiving.add(session.trace.graph.records[node].operands[slot])
                if link := model.link_of.get((node, slot)):  # none inside of a folded group
                    links.add(link)
                    boxes.add(model.targets[link])
            elif kind is StepKind.COMPUTE:
                operands = range(len(session.trace.graph.records[node].operands))
                links.update(model.link_of[node, s] for s in operands if (node, s) in model.link_of)
        self._lit = Lit(
            frozenset(nodes), frozenset(receiving), frozenset(boxes), frozenset(links), backward
        )
        self._lit_cells = {}
        for link in links:
            route = model.drawing.routes[link]
            last = len(route) - 1
            for place, (x, y) in enumerate(route):
                character = model.drawing.rows[y][x].translate(HEAVY)
                if backward and place == 0:
                    character = "▲"  # the gradient arrives at the operand
                elif backward and place == last:
                    character = "┃"
                elif not backward and place == last:
                    character = "▼"
                elif character == "┃" and _is_across(route, place):
                    character = "━"  # at a crossing the lit wire is on top
                cells = self._lit_cells.setdefault(y, {})
                if {cells.get(x), character} == {"━", "┃"}:
                    character = "╋"  # two lit wires cross: neither hides the other
                cells[x] = character

    # ── painting ──────────────────────────────────────────────────────────────────────────

    def paint_line(self, y: int) -> Pieces:
        return self._paint_between(y, 0, self.virtual_size.width)

    def _cropped(self, line: int, x: int, width: int) -> Strip:
        """As in `Painted`, but only what is seen is painted: an unrolled network is very wide."""
        if self._window != (x, width):
            self._window = (x, width)
            self._lines.clear()
        if line not in self._lines and line < self.virtual_size.height:
            self._lines[line] = self._strip(line, self._paint_between(line, x, x + width))
        return super()._cropped(line, x, width)

    def _paint_between(self, y: int, left: int, right: int) -> Pieces:
        """A line, of which only the columns from `left` to `right` are needed."""
        model = self._model
        if model is None or y >= len(model.drawing.rows):
            return ()
        wires = model.drawing.rows[y]
        row = self._rows.get(y, [])
        first = max(0, bisect_right(row, left - MARGIN, key=itemgetter(0)) - 1)
        column = row[first][0] if first else 0
        pieces: list[Piece] = [Piece(" " * (MARGIN + column))]
        for x, box_id in row[first:]:
            self._paint_wires(pieces, wires, y, column, x)
            if x >= right - MARGIN:
                return tuple(pieces)
            place = model.drawing.places[box_id]
            painted = self._painted.get(box_id)
            if painted is None:
                painted = self._painted[box_id] = self._paint_box(box_id, place)
            pieces.extend(painted[y - place.y])
            column = x + place.width
        self._paint_wires(pieces, wires, y, column, len(wires))
        return tuple(pieces)

    def _paint_wires(self, pieces: list[Piece], wires: str, y: int, start: int, end: int) -> None:
        """The wires of a row between two columns, the lit ones in their own style."""
        text = wires[start:end]
        for x, title in self._titles.get(y, ()):
            if start <= x and x + len(title) <= end and not wires[x : x + len(title)].strip():
                text = text[: x - start] + title + text[x - start + len(title) :]
        lit = self._lit_cells.get(y)
        if lit:
            role = "active" if self._lit.backward else "active-forward"
            done = 0
            for x in sorted(x - start for x in lit if start <= x < end):
                if x > done:
                    pieces.append(Piece(text[done:x], "muted"))
                if x == done and pieces[-1].role == role and pieces[-1].ref is None:
                    pieces[-1] = Piece(pieces[-1].text + lit[start + x], role)
                else:
                    pieces.append(Piece(lit[start + x], role))
                done = x + 1
            text = text[done:]
        if text:
            pieces.append(Piece(text, "muted"))

    def _paint_box(self, box_id: str, place: Place) -> tuple[Pieces, ...]:
        """All rows of a box."""
        assert self._model is not None and self._session is not None
        box = self._model.boxes[box_id]
        state = self._session.node_state(box.node)
        border, role = self._border(box_id, box, state)
        chosen = " cursor" if box.node == self.chosen and self.has_focus else ""
        return tuple(
            self._paint_box_row(box_id, place, row, box, state, border, role, chosen)
            for row in range(place.height)
        )

    def _paint_box_row(
        self,
        ref: str,
        place: Place,
        row: int,
        box: BoxNode,
        state: NodeState,
        border: str,
        role: str,
        chosen: str,
    ) -> Pieces:
        assert self._session is not None
        if self.zoom is Zoom.NAME:
            brackets = "()" if box.leaf else "[]"
            if border is BORDERS["active"]:
                brackets = "▐▌"
            elif border is BORDERS["receiving"]:
                brackets = "‹›"
            name = f"{box.name} {box.operation}".strip()
            inside = place.width - 2
            return (
                Piece(brackets[0], role, ref),
                Piece(f"{name:^{inside}}"[:inside], self._name_role(box, state) + chosen, ref),
                Piece(brackets[1], role, ref),
            )
        top_left, across, top_right, side, bottom_left, bottom_right = tuple(border)
        inside = place.width - 2
        if row == 0:
            return self._box_top(box, state, role + chosen, inside, (top_left, across, top_right))
        if row == place.height - 1:
            label = self._awaited(state)
            line = f"{across} {label} " if label else ""
            line += across * (inside - len(line))
            return (Piece(bottom_left + line + bottom_right, role, ref),)
        edge = Piece(side, role, ref)
        if row == 1:
            value = self._session.trace.graph.records[box.node].value
            text = number_text(value, inside - 2) if state.computed else "?"
            content = Piece(f" {text:<{inside - 1}}", "value" if state.computed else "muted", ref)
            return (edge, content, edge)
        return (edge, *self._gradient_row(state, inside, ref), edge)

    def _box_top(
        self, box: BoxNode, state: NodeState, role: str, inside: int, corners: tuple[str, str, str]
    ) -> Pieces:
        left, across, right = corners
        label = f" {box.operation}" if box.operation else ""
        rest = inside - len(box.name) - len(label) - 2
        plain_role = role.split(maxsplit=1)[0]
        return (
            Piece(left, plain_role),
            Piece(" "),
            Piece(box.name, self._name_role(box, state) + role[len(plain_role) :]),
            Piece(label, "muted"),
            Piece(" "),
            Piece(across * max(0, rest) + right, plain_role),
        )

    def _name_role(self, box: BoxNode, state: NodeState) -> str:
        return "title" if state.computed else "muted"

    def _border(self, box_id: str, box: BoxNode, state: NodeState) -> tuple[str, str]:
        active = "active" if self._lit.backward else "active-forward"
        if box.node in self._lit.nodes or not self._lit.nodes.isdisjoint(box.inside):
            return BORDERS["active"], active
        if box_id in self._lit.receiving_boxes:
            return BORDERS["receiving"], active
        kind = BORDERS["leaf"] if box.leaf else BORDERS["operation"]
        if state.state is GradientState.ARRIVED:
            return kind, "gradient"
        return kind, "operator" if state.computed else "muted"

    def _awaited(self, state: NodeState) -> str:
        if state.expected > 1 and state.arrived > 0:
            return f"{state.arrived} of {state.expected}"
        return ""

    def _gradient_row(self, state: NodeState, inside: int, ref: str) -> Pieces:
        if state.state is GradientState.NEVER:
            text, role = "—", "muted"
        elif state.gradient is None:
            text, role = "…", "muted"
        else:
            text, role = number_text(state.gradient, inside - 4), "gradient"
            if state.state is GradientState.PARTIAL and len(text) < inside - 4:
                text += " …"  # the border says how many are awaited, too
        return (
            Piece(" ∂ ", role if role == "gradient" else "muted", ref),
            Piece(f"{text:<{inside - 3}}"[: inside - 3], role, ref),
        )

    # ── moving about ──────────────────────────────────────────────────────────────────────

    def _region_of(self, nodes: frozenset[int]) -> Region | None:
        assert self._model is not None
        regions = [
            _region(self._model.drawing.places[box])
            for node in nodes
            for box in self._model.boxes_of.get(node, ())
        ]
        if not regions:
            return None
        return Region.from_union(regions)

    def _active_boxes(self) -> Region | None:
        """The boxes of the step; of a leaf drawn several times, those at the lit wires."""
        if self._model is None:
            return None
        places: list[Place] = []
        drawn = self._model.drawing.places
        for node in self._lit.nodes:
            places.extend(drawn[box] for box in self._model.boxes_of.get(node, ())[:1])
        places.extend(drawn[self._model.targets[link]] for link in self._lit.links)
        if not places:
            return None
        return Region.from_union([_region(place) for place in places])

    def keep_in_view(self) -> None:
        """Scroll just as far as needed to see where the step happens, or where the first will."""
        if self._session is None or not self.size:
            return
        region = self._active_boxes() or self._first_boxes()
        if region is None:
            return
        room = self.scrollable_content_region.size  # what scrollbars do not cover
        main = self._region_of(frozenset([self._lit_node()])) or region
        if main.width > room.width or not region.contains_region(main):
            main = region  # a leaf drawn several times
        across = (region.x, region.right), (main.x, main.right)
        down = (region.y, region.bottom), (main.y, main.bottom)
        x = _scrolled(self.scroll_offset.x, room.width, *across, margin=2)
        y = _scrolled(self.scroll_offset.y, room.height, *down, margin=1)
        self.scroll_to(x, y, animate=False, force=True)

    def _lit_node(self) -> int:
        """The node that computes or sends; of what only collects, the node that does."""
        assert self._session is not None
        steps, records = self._session.trace.steps, self._session.trace.graph.records
        nodes = [steps.what(position)[1] for position in self._session.active()]
        inner = [node for node in nodes if records[node].op is not None]
        return (inner or nodes or [self._first_node()])[-1]

    def _first_node(self) -> int:
        """The node that is computed first."""
        assert self._session is not None
        return self._session.trace.steps.what(0)[1]

    def _first_boxes(self) -> Region | None:
        """Before the first step: the box of the first node, and those of what it is made of."""
        assert self._session is not None and self._model is not None
        first, boxes_of = self._first_node(), self._model.boxes_of
        operands = self._session.trace.graph.records[first].operands
        boxes = [boxes_of[node][0] for node in (first, *operands) if node in boxes_of]
        places = [_region(self._model.drawing.places[box]) for box in boxes]
        return Region.from_union(places) if places else None

    def centre(self) -> None:
        """Bring the active step to the middle."""
        region = self._active_boxes()
        if region is None:
            return
        x = region.x + region.width // 2 - self.size.width // 2
        y = region.y + region.height // 2 - self.size.height // 2
        self.scroll_to(max(0, x), max(0, y), animate=False, force=True)

    def action_pan(self, x: int, y: int) -> None:
        self.scroll_relative(x=x, y=y, animate=False)

    def action_choose(self, direction: int) -> None:
        """Choose the next or previous node in the order of the program."""
        if self._session is None or self._model is None:
            return
        nodes = sorted({box.node for box in self._model.boxes.values()})
        if self.chosen in nodes:
            place = (nodes.index(self.chosen) + direction) % len(nodes)
        else:
            place = nodes.index(self._shown_for(next(iter(self._lit.nodes), nodes[0])))
        self.choose(nodes[place])
        self.post_message(self.NodeChosen(nodes[place]))

    def _shown_for(self, node: int) -> int:
        """The node itself, or in a folded group the one that stands for it."""
        assert self._model is not None
        boxes = self._model.boxes_of.get(node, ())
        return self._model.boxes[boxes[0]].node if boxes else node

    def choose(self, node: int | None) -> None:
        """Mark a node as chosen and bring it into view."""
        before, self.chosen = self.chosen, node
        changed = frozenset(n for n in (before, node) if n is not None)
        self._repaint_changes(changed, frozenset())
        region = self._region_of(frozenset([node])) if node is not None else None
        if region is not None:
            self.scroll_to_region(region, animate=False, force=True)

    def action_inspect(self) -> None:
        node = self.chosen if self.chosen is not None else next(iter(self._lit.nodes), None)
        if node is not None:
            self.post_message(self.NodeClicked(node))

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_resize(self) -> None:
        self.keep_in_view()

    # ── mouse ─────────────────────────────────────────────────────────────────────────────

    def box_at(self, x: int, y: int) -> BoxNode | None:
        """The box at a place of the visible content."""
        if self._model is None:
            return None
        column, line = x + self.scroll_offset.x - MARGIN, y + self.scroll_offset.y
        for left, box_id in self._rows.get(line, ()):
            if left <= column < left + self._model.drawing.places[box_id].width:
                return self._model.boxes[box_id]
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag is not None and event.button:
            self.scroll_relative(
                x=self._drag[0] - event.screen_x, y=self._drag[1] - event.screen_y, animate=False
            )
            self._drag = (event.screen_x, event.screen_y)
            return
        offset = event.get_content_offset(self)
        box = self.box_at(offset.x, offset.y) if offset is not None else None
        self.tooltip = self.describe(box) if box is not None else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.box_at(offset.x, offset.y) is None:
            self._drag = (event.screen_x, event.screen_y)
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._drag is not None:
            self._drag = None
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        box = self.box_at(offset.x, offset.y) if offset is not None else None
        if box is not None:
            event.stop()
            self.post_message(self.NodeClicked(box.node))

    def describe(self, box: BoxNode) -> str:
        """A node in a few words, for hovering."""
        assert self._session is not None
        session, index = self._session, box.node
        node = session.trace.graph[index]
        state = session.node_state(index)
        lines = [Notation(session.trace).value(index).text]
        if node.kind is NodeKind.LEAF:
            lines[0] += f": {session.lesson.leaf_named(node.name.base).meaning}"
        elif box.inside:
            lines[0] += f", the result of {len(box.inside)} operations, folded (x unfolds)"
        elif node.op is not None:
            lines[0] += f" = {node.op.name}(…)"
        lines.append(f"value {format_value(node.value, width=40) if state.computed else '?'}")
        if state.gradient is not None:
            lines.append(f"gradient {format_value(state.gradient, width=40)}")
        if state.state is GradientState.PARTIAL:
            lines.append(f"waiting for {state.expected - state.arrived} more")
        return "\n".join(lines)


def _region(place: Place) -> Region:
    """Where a box stands in the scrolled content."""
    return Region(place.x + MARGIN, place.y, place.width, place.height)


def _scrolled(
    offset: int, room: int, whole: tuple[int, int], main: tuple[int, int], *, margin: int
) -> int:
    """How far to scroll along one axis to see a stretch: as little as possible.

    If the whole of it does not fit, all of the main part is seen and as much as possible of what
    is beside it. Stretches are (first, behind the last).
    """
    start, end = whole
    if end - start <= room:
        margin = min(margin, (room - (end - start)) // 2)
        return max(0, end + margin - room, min(offset, start - margin))
    first, last = main
    if first - start >= end - last:  # the rest is before it
        return max(0, last - room)
    return max(0, first)


def _is_across(route: tuple[tuple[int, int], ...], place: int) -> bool:
    """Whether a route passes a cell from left to right or back."""
    return 0 < place < len(route) - 1 and route[place - 1][1] == route[place + 1][1]


def _structure(graph: Graph) -> object:
    """What the layout depends on: operations, operands and names, not values."""
    return (
        graph.output,
        [(record.op, record.operands) for record in graph.records],
        [name.id for name in graph.names],
    )


def _runs(lines: list[int]) -> list[tuple[int, int]]:
    """Sorted line numbers as (first, last) of each unbroken run."""
    runs: list[tuple[int, int]] = []
    for line in lines:
        if runs and runs[-1][1] >= line - 1:
            runs[-1] = (runs[-1][0], line)
        else:
            runs.append((line, line))
    return runs
