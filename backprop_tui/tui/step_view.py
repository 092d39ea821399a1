"""This step: what happens at the cursor, in formulas, numbers and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from textual import events

from backprop_tui.engine.graph import Group
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Step, StepKind
from backprop_tui.explain import Explanation, Line, explain
from backprop_tui.explain_group import explain_group
from backprop_tui.session import Session
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece, Pieces, pieces_of
from backprop_tui.values import format_matrix

LABELS = {"why": "why  ", "notice": "note ", "state": "▸ ", "ledger": "  + "}
ROLES = {"why": "plain", "notice": "notice", "state": "gradient", "ledger": "plain"}


class StepView(LinesView):
    """Explains the step at a session's cursor."""

    HELP = """
    # This step

    The formula in symbols, then with the numbers of this moment, then the result; below it
    why it is so. `+=` means that several contributions are added up at the receiving node.

    A click on a symbol inspects the node it stands for.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "This step"
        self._session: Session | None = None
        self._few = False
        """Whether little of a matrix is written out."""

    def show_session(self, session: Session) -> None:
        """Explain the step at the cursor."""
        self._session = session
        self._few = self._is_low()
        self.set_paragraphs(paragraphs(session, few=self._few))

    def _is_low(self) -> bool:
        return 0 < self.size.height < LOW

    def on_resize(self, event: events.Resize) -> None:
        if self._session is not None and self._few is not self._is_low():
            self.show_session(self._session)
        super().on_resize(event)


LOW = 12
"""In a view with fewer lines than these, a matrix must leave room for the words."""


def paragraphs(session: Session, *, few: bool = False) -> list[Paragraph]:
    """The explanation of the session's current step, or of the turn so far.

    With `few`, less of a matrix is written out. What has been said of one step of the turn is not
    said again of the next.
    """
    positions = session.active()
    if not len(positions):
        return _beginning(session)
    group = session.folded_group(session.trace.steps.what(positions[-1])[1])
    if group is not None and len(positions) > 1:
        return [*_folded(session, group, positions), *_turning_point(session)]
    found: list[Paragraph] = []
    said: set[str] = set()
    for position in positions:
        if found:
            found.append(Paragraph(()))
        step = session.trace.steps[position]
        explanation = explain(session.trace, step, session.lesson.notes)
        lines = [line for line in explanation.lines if line.kind != "why" or line.text not in said]
        said.update(line.text for line in lines if line.kind == "why")
        if few:  # of a formula with shapes in place of its numbers the result is enough
            results = [line for line in lines if line.kind == "equals"][-1:]
            lines = [
                line
                for line in lines
                if line.kind != "equals" or "⟨" not in line.text or line in results
            ]
        explanation = replace(explanation, lines=tuple(lines))
        found.extend(_explained(explanation, _result(step), few))
    found.extend(_openable(session, positions))
    found.extend(_turning_point(session))
    return found


def _openable(session: Session, positions: range) -> list[Paragraph]:
    """Whether the node of the step opens into primitive steps, or is one of such steps."""
    node = session.trace.steps.what(positions[-1])[1]
    name = session.openable(node)
    if name is None:
        return []
    shown = session.trace.graph.names[node].base
    text = f"o opens {shown} into primitive steps"
    if name in session.inputs.opened:
        text = f"one of the steps that {name} was opened into: o closes it, O compares both forms"
    return [Paragraph((Piece("▸ ", "muted"), Piece(text, "muted")), 2)]


def _folded(session: Session, group: Group, positions: range) -> list[Paragraph]:
    """A folded group in one step: what went into it, and what came out."""
    trace = session.trace
    explained = explain_group(trace, group, positions)
    title: Pieces = tuple(Piece(p.text, "title", p.ref) for p in pieces_of(explained.title))
    hint = "x unfolds it, m walks through it edge by edge"
    found = [Paragraph(title)]
    found.extend(Paragraph(pieces_of(line.segments), 4) for line in explained.lines)
    found.append(Paragraph((Piece("▸ ", "muted"), Piece(hint, "muted")), 2))
    note = session.lesson.notes.get(group.name or group.function)
    if note:
        found.append(Paragraph((Piece("note ", "muted"), Piece(note, "notice")), 5))
    return found


def _turning_point(session: Session) -> list[Paragraph]:
    """Where a pass is over: what comes next, and what the lesson is about."""
    if session.position == session.trace.steps.backward_start - 1:
        text = "The forward pass is complete. The next step starts the backward pass."
        idea = Paragraph((Piece(session.lesson.idea, "muted"),))
        return [_hint(text), Paragraph(()), idea]
    if session.at_end:
        text = "The backward pass is complete: every leaf has its gradient. Change one and look."
        return [_hint(text)]
    return []


def _hint(text: str) -> Paragraph:
    return Paragraph((Piece("▸ ", "gradient"), Piece(text, "gradient")), 2)


def _beginning(session: Session) -> list[Paragraph]:
    return [
        Paragraph((Piece("Before the first step", "title"),)),
        Paragraph((Piece("The leaves have their values; nothing is computed yet."),)),
        Paragraph((Piece("Press → to compute the first node."),)),
        Paragraph(()),
        Paragraph((Piece(session.lesson.idea, "plain"),)),
    ]


MAX_ROWS, MAX_COLUMNS = 6, 6
"""Of a result with more rows or columns only the first are shown: the inspector has all cells."""

FIRST_ROWS = 4
"""So many rows of it."""

FEW_ROWS = 3
"""At most so many where there is little room."""

MATRIX_WIDTH = 50
"""No line of a matrix is longer: it would be wrapped where the panel is narrowest."""


def _result(step: Step) -> Value | None:
    """What a step comes to."""
    return step.contribution if step.kind is StepKind.SEND else step.total


def _matrix(result: Value | None, indent: int, few: bool) -> list[Paragraph]:
    """An array, row by row under the formula's `=`; nothing for what stands there already.

    With more than two axes its matrices follow one another, each with its place at the first row.
    """
    if not isinstance(result, np.ndarray) or not result.size:
        return []
    if result.ndim == 1 and result.size <= 4:
        return []
    table = np.atleast_2d(result)
    *lead, height, _ = table.shape
    lines = _rows_of(table)
    most, first = (FEW_ROWS, FEW_ROWS - 1) if few else (MAX_ROWS, FIRST_ROWS)
    seen = len(lines) if len(lines) <= most else first
    found = []
    indent = max(0, min(indent + 2, MATRIX_WIDTH - len(lines[0]) - 2))
    for number, line in enumerate(lines[:seen]):
        row = number % height
        left, right = "⎢⎥"
        if height == 1:
            left, right = "[]"
        elif row in (0, height - 1):
            left, right = "⎡⎤" if row == 0 else "⎣⎦"
        pieces = [Piece(" " * indent), Piece(left, "muted"), Piece(line), Piece(right, "muted")]
        if row == 0 and len(lines) > height:
            place = ", ".join([*map(str, np.unravel_index(number // height, lead)), ":", ":"])
            if indent + len(line) + len(place) + 6 <= MATRIX_WIDTH:
                pieces.append(Piece(f"  [{place}]", "muted"))
        found.append(Paragraph(tuple(pieces)))
    if seen < len(lines):
        found.append(Paragraph((Piece(" " * indent + "⋮", "muted"),)))
    return found


def _rows_of(table: NDArray[np.float64]) -> list[str]:
    """All rows of a matrix, or of several, as text: with fewer digits or columns if need be."""
    columns = table.shape[-1]
    lines: list[str] = []
    for most in range(MAX_COLUMNS if columns <= MAX_COLUMNS else MAX_COLUMNS - 1, 0, -1):
        more = " …" if columns > most else ""
        for digits in (4, 3):
            cells = format_matrix(table[..., :most], digits)
            lines = [" ".join(row).replace("-", "−") + more for row in cells]
            if len(lines[0]) + 2 <= MATRIX_WIDTH:
                return lines
    return lines


def _explained(explanation: Explanation, result: Value | None, few: bool) -> list[Paragraph]:
    title: Pieces = tuple(Piece(p.text, "title", p.ref) for p in pieces_of(explanation.title))
    found = [Paragraph(title)]
    indent = 0
    calculated = [line.kind in ("formula", "equals") for line in explanation.lines]
    for line, more in zip(explanation.lines, [*calculated[1:], False], strict=True):
        if line.kind == "formula":
            indent = _equals_column(line)
            found.append(Paragraph(pieces_of(line.segments), indent + 2))
        elif line.kind == "equals":
            found.append(Paragraph((Piece(" " * indent), *pieces_of(line.segments)), indent + 2))
        else:
            label = LABELS[line.kind]
            role = ROLES[line.kind]
            body = tuple(
                piece._replace(role=role) if piece.role == "plain" else piece
                for piece in pieces_of(line.segments)
            )
            label_role = "gradient" if line.kind == "state" else "muted"
            found.append(Paragraph((Piece(label, label_role), *body), len(label)))
        if line.kind in ("formula", "equals") and not more:
            found.extend(_matrix(result, indent, few))
    return found


def _equals_column(line: Line) -> int:
    """Where the formula's = stands, so that the lines below can be put under it."""
    column = 0
    for segment in line.segments:
        for sign in (" += ", " = "):
            if sign in segment.text:
                return column + segment.text.index(sign) + len(sign) - 2
        column += len(segment.text)
    return 0
