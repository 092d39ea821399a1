"""The gradients: by hand beside torch beside finite differences, with a verdict."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from backprop_tui.engine.graph import NodeKind
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import StepKind
from backprop_tui.engine.verdict import Verdict
from backprop_tui.explain import Notation
from backprop_tui.session import GradientState, Session
from backprop_tui.tui.beside import ROLES, Beside
from backprop_tui.tui.graph_model import number_text
from backprop_tui.tui.painted import Painted, Piece, Pieces
from backprop_tui.values import format_number, format_shape

HEADER_LINES = 1
COLUMNS = ("by hand", "torch", "numeric")
MARKER_WIDTH = 2
DIFFERENCE_WIDTH = 8
VERDICT_WIDTH = 10
NAME_WIDTH = 13
"""Names may have so much where the numbers still have `NEAT_NUMBER` each."""

NEAT_NUMBER = 10

SHORT = {
    Verdict.KINK: "kink",
    Verdict.NOT_FINITE: "inf/nan",
    Verdict.UNCERTAIN: "unsure",
    Verdict.ABSENT: "no value",
}
"""Verdicts in as few letters as the table has room for; the help says what they mean."""


class GradientsView(Painted):
    """A table with a line for each leaf and each named node."""

    HELP = """
    # The gradients

    One line for each leaf, then for each named node in the order of the backward pass:

    * **by hand**: from our own rules; it appears when it has arrived at the cursor
    * **torch**: from the same lesson run by torch under its own autograd
    * **numeric**: for leaves, a central difference: the lesson run a little to the left and
      a little to the right
    * **Δ**: the largest difference between by hand and torch in any cell
    * the verdict: `✓ agrees`, `✗ differs`, or why there is none: `∧ kink`, where there is no
      slope, `≈ unsure`, where the difference is too inexact to tell, `∞ inf/nan`, where it met
      no finite number, `· no value`, where torch has none

    The table goes along with the step; who takes part is marked `▸`.
    ↑ ↓ move, enter inspects the node with all its cells.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="gradients.up"),
        Binding("down", "move(1)", "Down", show=False, id="gradients.down"),
        Binding("enter", "inspect", "Inspect", show=False, id="gradients.inspect"),
    ]

    class NodeClicked(Message):
        """A line was clicked or entered."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Gradients"
        self._session: Session | None = None
        self._beside: Beside | None = None
        self._listed: list[int] = []
        self._line_of: dict[int, int] = {}
        self._graph: object = None
        self._names: dict[int, str] = {}
        self._cut: tuple[int, dict[int, str], dict[int, str]] | None = None
        """A width, and for the names at it the shortened ones."""
        self._longest = 4
        """The length of the longest name."""
        self._row = 0
        self._lit: frozenset[int] = frozenset()
        self._followed: frozenset[int] = frozenset()
        """The nodes that were last brought into view."""

    @property
    def lines_needed(self) -> int:
        """How many lines there are, titles included."""
        return len(self._listed) + HEADER_LINES

    def show_session(self, session: Session, beside: Beside) -> None:
        """Show a session's gradients, or its other inputs."""
        self._session, self._beside = session, beside
        graph = session.trace.graph
        if graph is not self._graph:
            self._graph = graph
            notation = Notation(session.trace)
            leaves = list(graph.leaves.values())
            named = [
                node.index for node in graph if node.kind is NodeKind.OPERATION and node.name.named
            ]
            self._listed = leaves + named[::-1]
            self._line_of = {node: i + HEADER_LINES for i, node in enumerate(self._listed)}
            self._names = {node: notation.value(node).text for node in self._listed}
            self._longest = max(map(len, self._names.values()), default=4)
            output = notation.value(graph.output).text
            self.border_title = f"Gradients  ∂{output}/∂…"
            self.set_height(self.lines_needed)
        self._row = min(self._row, max(0, len(self._listed) - 1))
        self._lit = self._touched()
        self.repaint()
        if self._lit != self._followed:  # not when torch's numbers arrive: one may be reading
            self._follow()

    def step_to(self) -> None:
        """Follow the cursor: repaint the lines of the nodes that are or were concerned."""
        before, self._lit = self._lit, self._touched()
        for node in before | self._lit:
            line = self._line_of.get(node)
            if line is not None:
                self.repaint_lines(line, line)
        self._follow()

    def _follow(self) -> None:
        """Scroll just as far as needed to see who takes part, above all who receives.

        If that is not to be seen at once, leaves, which stand at the top, give way to the nodes.
        """
        room = self.size.height - HEADER_LINES
        if room <= 0 or self._session is None:
            return
        self._followed = self._lit
        graph, steps = self._session.trace.graph, self._session.trace.steps
        receiving = set()
        for position in self._session.active():
            kind, node, slot = steps.what(position)
            if kind is StepKind.SEND:
                receiving.add(graph.records[node].operands[slot])
        inner = {node for node in self._lit if graph.records[node].op is not None}
        for nodes in (self._lit, receiving, receiving & inner, inner):
            lines = [self._line_of[node] for node in nodes if node in self._line_of]
            if lines and max(lines) - min(lines) < room:
                top = max(self.scroll_offset.y, max(lines) - self.size.height + 1)
                self.scroll_to(y=min(top, min(lines) - HEADER_LINES), animate=False, force=True)
                return

    def _touched(self) -> frozenset[int]:
        assert self._session is not None
        found: set[int] = set()
        for position in self._session.active():
            found.update(self._session.touched(position))
        return frozenset(found)

    def on_resize(self, event: events.Resize) -> None:
        self.set_height(self.lines_needed)
        self.repaint()
        self._follow()

    # ── painting ──────────────────────────────────────────────────────────────────────────

    def _cropped(self, line: int, x: int, width: int) -> Strip:
        """As in `Painted`, but the titles stay where they are when the lines are scrolled."""
        return super()._cropped(0 if line == self.scroll_offset.y else line, x, width)

    def _columns(self) -> tuple[int, int]:
        """The widths of the name and of a number, for the width there is."""
        width = self.scrollable_content_region.width
        room = width - MARKER_WIDTH - DIFFERENCE_WIDTH - VERDICT_WIDTH
        roomy = min(NAME_WIDTH, room - len(COLUMNS) * (NEAT_NUMBER + 1))
        name = max(5, min(self._longest, max(roomy, width // 7)))
        number = (room - name) // len(COLUMNS) - 1
        return name, max(7, min(14, number))

    def _shortened(self, width: int) -> dict[int, str]:
        """The names for a width; they are the same at every step."""
        if self._cut is None or self._cut[0] != width or self._cut[1] is not self._names:
            self._cut = (width, self._names, shortened(self._names, width))
        return self._cut[2]

    def paint_line(self, y: int) -> Pieces:
        if self._session is None or self._beside is None:
            return ()
        name_width, number_width = self._columns()
        if y == 0:
            titles = "".join(f"{title:>{number_width}} " for title in COLUMNS)
            titles += f"{'Δ':>{DIFFERENCE_WIDTH - 1}} "
            return (Piece(f"  {'':<{name_width}}{titles}", "muted"),)
        if y - HEADER_LINES >= len(self._listed):
            return ()
        node = self._listed[y - HEADER_LINES]
        return self._paint_node(y, node, name_width, number_width)

    def _paint_node(self, y: int, node: int, name_width: int, number_width: int) -> Pieces:
        assert self._session is not None and self._beside is not None
        session, beside = self._session, self._beside
        state = session.node_state(node)
        ref = session.trace.graph.names[node].id
        selected = self.has_focus and y - HEADER_LINES == self._row
        name = self._shortened(name_width)[node]
        lit = node in self._lit
        marker = Piece("▸ " if lit else "  ", "active", ref)
        pieces = [marker, Piece(f"{name:<{name_width}}", "title" if lit else "value", ref)]
        if selected:
            pieces[1] = pieces[1]._replace(role="title cursor")

        def cell(text: str, role: str, width: int = number_width) -> None:
            pieces.append(Piece(f"{text:>{width}}"[:width] + " ", role, ref))

        if state.state is GradientState.NEVER:
            cell("none", "muted")
        elif state.gradient is None:
            cell("·", "muted")
        else:
            cell(cell_text(state.gradient, number_width), "gradient")
        torch = beside.torch(node)
        cell(beside.torch_text if torch is None else cell_text(torch, number_width), "number")
        leaf = session.trace.graph.records[node].op is None
        numeric = beside.numeric(node) if leaf else None
        cell(
            ("…" if leaf else "") if numeric is None else cell_text(numeric, number_width),
            "number",
        )
        arrived = state.state in (GradientState.ARRIVED, GradientState.NEVER)
        difference = beside.difference(node) if arrived else None
        text = "" if difference is None else format_number(difference, 2)
        cell(text, "muted", DIFFERENCE_WIDTH - 1)
        verdict = beside.verdict(node) if arrived else None
        if verdict is not None:
            word = f"{verdict.sign} {SHORT.get(verdict, verdict.word)}"
            pieces.append(Piece(word, ROLES[verdict], ref))
        elif state.state is GradientState.PARTIAL:
            pieces.append(Piece(f"{state.arrived} of {state.expected}", "gradient", ref))
        return tuple(pieces)

    # ── keys and mouse ────────────────────────────────────────────────────────────────────

    def action_move(self, direction: int) -> None:
        before = self._row
        self._row = max(0, min(len(self._listed) - 1, self._row + direction))
        for row in (before, self._row):
            self.repaint_lines(row + HEADER_LINES, row + HEADER_LINES)
        line, top, height = self._row + HEADER_LINES, self.scroll_offset.y, self.size.height
        if line < top + HEADER_LINES:
            self.scroll_to(y=line - HEADER_LINES, animate=False, force=True)
        elif line >= top + height:
            self.scroll_to(y=line - height + 1, animate=False, force=True)

    def action_inspect(self) -> None:
        if self._listed:
            self.post_message(self.NodeClicked(self._listed[self._row]))

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        row = offset.y + self.scroll_offset.y - HEADER_LINES
        if offset.y >= HEADER_LINES and row < len(self._listed):
            event.stop()
            self._row = row
            self.repaint()
            self.post_message(self.NodeClicked(self._listed[row]))


def cell_text(value: Value, width: int) -> str:
    """A number, a small array if it fits as a whole, or else the array's shape."""
    text = number_text(value, width)
    if isinstance(value, float) or "…" not in text:
        return text
    return f"{value.size} cells" if value.ndim == 1 else format_shape(value.shape)


def shortened(names: dict[int, str], width: int) -> dict[int, str]:
    """Names of at most `width` cells: their beginnings, or where two would look the same, both
    ends of each."""
    found = {
        n: name if len(name) <= width else name[: width - 1] + "…" for n, name in names.items()
    }
    taken: dict[str, set[str]] = {}
    for node, short in found.items():
        taken.setdefault(short, set()).add(names[node])
    for node, short in found.items():
        if len(taken[short]) > 1 and len(names[node]) > width:
            head = (width - 1) // 2
            found[node] = f"{names[node][:head]}…{names[node][head + 1 - width :]}"
    return found
