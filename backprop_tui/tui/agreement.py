"""A node in its two forms, fused and in primitive steps: what both have, side by side."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from backprop_tui.engine.agreement import Agreement, Shared, agreement
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Trace
from backprop_tui.engine.verdict import Difference
from backprop_tui.explain import Notation
from backprop_tui.explain_group import agreement_text
from backprop_tui.session import EditRefused, Session
from backprop_tui.tui.help import WindowSized
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece, Pieces
from backprop_tui.values import format_number, format_value

NUMBER = 17
"""Cells for a gradient."""


class AgreementScreen(WindowSized, ModalScreen[None]):
    """Shows every leaf and node that both forms have, with both gradients and their distance."""

    DEFAULT_CSS = """
    AgreementScreen { align: center middle; }
    AgreementScreen > Container {
        width: 96%; max-width: 92; height: 90%; max-height: 36;
        background: $background; border: round $accent; padding: 0 1;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,O,q", "close", "Close", id="agreement.close"),
    ]

    def __init__(self, session: Session, name: str) -> None:
        super().__init__()
        self._session = session
        self._node_name = name

    def compose(self) -> ComposeResult:
        with Container() as frame:
            frame.border_title = f"{self._node_name}: fused, and in primitive steps"
            frame.border_subtitle = "↑ ↓ scroll · esc closes"
            yield LinesView(id="forms")

    def on_mount(self) -> None:
        session, name = self._session, self._node_name
        view = self.query_one("#forms", LinesView)
        view.focus()
        try:
            here, other = session.trace, session.other_form(name)
        except EditRefused as refusal:
            view.set_paragraphs([Paragraph((Piece(str(refusal), "differ"),))])
            return
        opened = name in session.inputs.opened
        found = agreement(here, other)
        closed_trace, open_trace = (other, here) if opened else (here, other)
        text = agreement_text(name, opened, found)
        lines = [Paragraph((Piece(text, "agree" if found.agree else "differ"),)), Paragraph(())]
        lines.extend(table(found, closed_trace, open_trace, opened))
        view.set_paragraphs(lines)

    def action_close(self) -> None:
        if self.is_current:
            self.dismiss(None)


def table(found: Agreement, closed: Trace, opened: Trace, open_is_one: bool) -> list[Paragraph]:
    """The rows, of all that both forms have, fused and in steps: values, then gradients.

    A leaf's value is given, so it has no row.
    """
    notation = Notation(closed)
    values: list[tuple[str, Pieces]] = []
    gradients: list[tuple[str, Pieces]] = []
    for node in found.shared:
        fused, steps = _sides(node, open_is_one)
        if closed.graph.records[fused].op is not None:
            both = (closed.graph.records[fused].value, opened.graph.records[steps].value)
            values.append((notation.value(fused).text, _cells(*both, node.value, node.agrees)))
        slopes = (closed.gradients[fused], opened.gradients[steps])
        symbol = notation.gradient(fused).text
        gradients.append((symbol, _cells(*slopes, node.gradient, node.agrees)))
    width = max((len(name) for name, _ in (*values, *gradients)), default=4)
    head = f"{'':{width}}  {'fused':>{NUMBER}}  {'in steps':>{NUMBER}}  {'Δ':>8}"
    rows = [Paragraph((Piece(head, "muted"),))]
    for role, part in (("value", values), ("gradient", gradients)):
        rows.extend(Paragraph((Piece(f"{name:{width}}", role), *cells)) for name, cells in part)
    return rows


def _sides(node: Shared, open_is_one: bool) -> tuple[int, int]:
    """The node's indices in the closed and in the open form."""
    return (node.other, node.one) if open_is_one else (node.one, node.other)


def _cells(
    fused: Value | None, steps: Value | None, difference: Difference, agrees: bool
) -> Pieces:
    worst = format_number(difference.absolute, 2)
    sign, role = ("✓", "agree") if agrees else ("✗", "differ")
    return (Piece(f"  {_number(fused)}  {_number(steps)}  {worst:>8} "), Piece(sign, role))


def _number(value: Value | None) -> str:
    if value is None:
        return f"{'—':>{NUMBER}}"
    text = (
        format_number(value, 8) if isinstance(value, float) else format_value(value, width=NUMBER)
    )
    return f"{text[:NUMBER]:>{NUMBER}}"
