"""The inspector: all cells of a node's value and gradient, and where a cell comes from."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.screen import ModalScreen

from backprop_tui.cells import CellTerms, Part, cell_terms, value_terms
from backprop_tui.explain import Notation
from backprop_tui.session import GradientState, Session
from backprop_tui.tui.beside import Beside
from backprop_tui.tui.help import WindowSized
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.matrix_view import MatrixView
from backprop_tui.tui.painted import Piece, pieces_of
from backprop_tui.values import format_exact, format_shape

MAX_TERMS = 200
"""So many terms of a sum are written out."""


class Inspector(WindowSized, ModalScreen[None]):
    """Shows a node's value and gradient cell by cell; the terms of the chosen cell below."""

    DEFAULT_CSS = """
    Inspector { align: center middle; }
    Inspector > Container {
        width: 96%; max-width: 120; height: 94%; max-height: 44;
        background: $background; border: round $accent; padding: 0 1;
    }
    Inspector #matrices { layout: grid; grid-size: 2 1; grid-gutter: 0 1; height: 2fr; }
    Inspector #terms { height: 3fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,i,q", "close", "Close", id="inspector.close"),
        Binding(
            "m", "heat", "Heat map", id="inspector.heat", tooltip="Numbers as shades, and back"
        ),
        Binding("P", "plot", "Plot", id="inspector.plot", tooltip="Look at plots of this node"),
    ]

    def __init__(self, session: Session, node: int, beside: Beside) -> None:
        super().__init__()
        self._session = session
        self._node = node
        self._beside = beside
        self._notation = Notation(session.trace)

    def compose(self) -> ComposeResult:
        with Container() as frame:
            frame.border_title = self._title()
            frame.border_subtitle = (
                "tab switches · arrows choose · m heat map · P plot · esc closes"
            )
            with Vertical(id="matrices"):
                yield MatrixView(id="value")
                yield MatrixView(id="gradient")
            yield LinesView(id="terms")

    def _title(self) -> str:
        node = self._session.trace.graph[self._node]
        shape = format_shape(() if isinstance(node.value, float) else node.value.shape)
        symbol = self._notation.value(self._node).text
        leaves = {leaf.name: leaf.meaning for leaf in self._session.lesson.leaves}
        what = node.op.name if node.op is not None else leaves.get(node.name.base, "constant")
        return f"{symbol} · {shape} · {what}"

    def on_mount(self) -> None:
        state = self._session.node_state(self._node)
        node = self._session.trace.graph[self._node]
        value = self.query_one("#value", MatrixView)
        gradient = self.query_one("#gradient", MatrixView)
        value.border_title = f"Value of {self._notation.value(self._node).text}"
        gradient.border_title = self._notation.gradient(self._node).text
        if state.computed:
            value.set_matrix(node.value)
        if state.gradient is not None:
            gradient.set_matrix(state.gradient)
            gradient.focus()
            self._explain_gradient(gradient.cell)
        else:
            value.focus()
            if state.computed:
                self._explain_value(value.cell)

    def on_matrix_view_cell_selected(self, message: MatrixView.CellSelected) -> None:
        if message.view.id == "gradient":
            self._explain_gradient(message.index)
        else:
            self._explain_value(message.index)

    def _explain_gradient(self, cell: tuple[int, ...]) -> None:
        session = self._session
        state = session.node_state(self._node)
        if state.gradient is None:
            return
        name = f"{self._notation.gradient(self._node).text}{_index(cell)}"
        number = state.gradient if isinstance(state.gradient, float) else state.gradient[cell]
        lines = [
            Paragraph(
                (Piece(name, "gradient"), Piece(" = "), Piece(format_exact(float(number)), "title"))
            )
        ]
        torch = self._beside.torch(self._node)
        if torch is not None:
            theirs = torch if isinstance(torch, float) else torch[cell]
            number_text = format_exact(float(theirs))
            lines.append(Paragraph((Piece("torch has ", "muted"), Piece(number_text))))
        if state.state is GradientState.PARTIAL:
            text = f"so far; waiting for {state.expected - state.arrived} more contributions"
            lines.append(Paragraph((Piece(text, "gradient"),)))
        lines.append(Paragraph(()))
        if state.state is GradientState.ARRIVED:
            lines.extend(self._terms(cell_terms(session.trace, self._node, cell, MAX_TERMS)))
        self._show(lines)

    def _explain_value(self, cell: tuple[int, ...]) -> None:
        node = self._session.trace.graph[self._node]
        number = node.value if isinstance(node.value, float) else node.value[cell]
        name = f"{self._notation.value(self._node).text}{_index(cell)}"
        lines = [
            Paragraph(
                (Piece(name, "value"), Piece(" = "), Piece(format_exact(float(number)), "title"))
            ),
            Paragraph(()),
        ]
        if node.op is not None:
            lines.extend(self._terms(value_terms(self._session.trace, self._node, cell, MAX_TERMS)))
        self._show(lines)

    def _terms(self, terms: CellTerms) -> list[Paragraph]:
        """The terms of a cell: for each contribution its rule, its terms and their sum."""
        found: list[Paragraph] = []
        if terms.note:
            found.append(Paragraph((Piece(terms.note),)))
        several = len(terms.parts) > 1
        for part in terms.parts:
            found.extend(self._part(part, several))
        if terms.left_out:
            found.append(Paragraph((Piece(f"… and {terms.left_out} more terms", "muted"),)))
        return found

    def _part(self, part: Part, several: bool) -> list[Paragraph]:
        found: list[Paragraph] = []
        if several and part.edge is not None:
            source = self._notation.value(part.edge.source)
            amount = format_exact(part.value)
            title = (Piece("from "), Piece(source.text, "value", source.ref), Piece(f": {amount}"))
            found.append(Paragraph(title))
        if part.rule:
            found.append(Paragraph((Piece("  "), *pieces_of(part.rule)), 4))
        found.extend(
            Paragraph((Piece("  + " if len(part.terms) > 1 else "    "), *pieces_of(t.segments)), 6)
            for t in part.terms
        )
        if part.note:
            found.append(Paragraph((Piece(f"    {part.note}", "muted"),), 4))
        return found

    def _show(self, lines: list[Paragraph]) -> None:
        self.query_one("#terms", LinesView).set_paragraphs(lines)

    def action_heat(self) -> None:
        """Show both matrices as heat maps, or as numbers again."""
        for view in self.query(MatrixView):
            view.heat = not view.heat

    def action_plot(self) -> None:
        """Show a plot of the node, on top."""
        from backprop_tui.tui.plot_screen import PlotScreen

        if self.is_current:
            chosen = next((view for view in self.query(MatrixView) if view.has_focus), None)
            cell = chosen.cell if chosen is not None else None
            self.app.push_screen(PlotScreen(self._session, self._node, cell))

    def action_close(self) -> None:
        if self.is_current:  # and not closing already
            self.dismiss(None)


def _index(cell: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, cell))}]" if cell else ""
