"""This step: what happens at the cursor, in formulas, numbers and words."""

from __future__ import annotations

import numpy as np

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

    def show_session(self, session: Session) -> None:
        """Explain the step at the cursor."""
        self.set_paragraphs(paragraphs(session))


def paragraphs(session: Session) -> list[Paragraph]:
    """The explanation of the session's current step, or of the turn so far."""
    positions = session.active()
    if not len(positions):
        return _beginning(session)
    group = session.folded_group(session.trace.steps.what(positions[-1])[1])
    if group is not None and len(positions) > 1:
        return [*_folded(session, group, positions), *_turning_point(session)]
    found: list[Paragraph] = []
    for position in positions:
        if found:
            found.append(Paragraph(()))
        step = session.trace.steps[position]
        found.extend(_explained(explain(session.trace, step, session.lesson.notes), _result(step)))
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
"""A result with more rows or columns than these is not written out: the inspector has all cells."""


def _result(step: Step) -> Value | None:
    """What a step comes to."""
    return step.contribution if step.kind is StepKind.SEND else step.total


def _matrix(result: Value | None, indent: int) -> list[Paragraph]:
    """A small matrix, row by row under the formula's `=`; nothing for what stands there already."""
    if not isinstance(result, np.ndarray) or result.ndim > 2:
        return []
    rows, columns = np.atleast_2d(result).shape
    fits = 0 < rows <= MAX_ROWS and 0 < columns <= MAX_COLUMNS
    if not fits or (result.ndim == 1 and result.size <= 4):
        return []
    lines = [" ".join(cells).replace("-", "−") for cells in format_matrix(result, 4)]
    ends = [("⎢", "⎥")] * rows
    ends[0], ends[-1] = ("⎡", "⎤"), ("⎣", "⎦")
    if rows == 1:
        ends = [("[", "]")]
    return [
        Paragraph(
            (Piece(" " * (indent + 2)), Piece(left, "muted"), Piece(line), Piece(right, "muted"))
        )
        for line, (left, right) in zip(lines, ends, strict=True)
    ]


def _explained(explanation: Explanation, result: Value | None) -> list[Paragraph]:
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
            found.extend(_matrix(result, indent))
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
