"""The lesson's equations: forward, and the backward pass by hand."""

from __future__ import annotations

from backprop_tui.equations_text import EquationLine, equation_lines
from backprop_tui.session import Session
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece, pieces_of


class EquationsView(LinesView):
    """Shows the equations as mathematics."""

    HELP = """
    # The equations

    First the forward pass, then the backward pass derived by hand. ∂y/∂w is the gradient of
    the output y with respect to w. A click on a symbol inspects its node.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Equations"

    def show_session(self, session: Session) -> None:
        """Show the equations of a session's lesson."""
        lesson = session.lesson
        idea = [Paragraph((Piece(lesson.idea),)), Paragraph(())]
        sources = [Paragraph((Piece(text, "muted"),), 2) for text in lesson.references]
        self.set_paragraphs([*equations(session), Paragraph(()), *idea, *sources])


def equations(session: Session, *, derivation: bool = True) -> list[Paragraph]:
    """The equations as lines, each with the steps for which it holds and its note."""
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    found = [Paragraph((Piece("Forward", "title"),))]
    found.extend(_equation(line) for line in lines.forward)
    if derivation:
        found.append(Paragraph(()))
        found.append(Paragraph((Piece("Backward, by hand", "title"),)))
        found.extend(_equation(line) for line in lines.derivation)
    return found


def _equation(line: EquationLine) -> Paragraph:
    pieces = [Piece("  "), *pieces_of(line.segments)]
    aside = ", ".join(text for text in (line.when, line.note) if text)
    if aside:
        pieces.append(Piece(f"   {aside}", "muted"))
    return Paragraph(tuple(pieces), 6)
