"""The lesson's code, with the running piece lit."""

from __future__ import annotations

import ast
import contextlib
import inspect
import keyword
import linecache
import re
import tokenize
from functools import lru_cache
from typing import Any, NamedTuple

from backprop_tui.engine.provenance import Span
from backprop_tui.engine.trace import StepKind
from backprop_tui.session import Session
from backprop_tui.tui.painted import Painted, Piece, Pieces

TOKEN_ROLES = {
    tokenize.COMMENT: "comment",
    tokenize.STRING: "string",
    tokenize.NUMBER: "number",
    tokenize.OP: "operator",
}


class SourceView(Painted):
    """Shows the source of a lesson's function and lights the expression of the current step."""

    HELP = """
    # The code

    The lesson as ordinary Python: `xp` is our own recording arithmetic in one run, and torch
    itself in the other. The expression that the current step belongs to is lit.
    In the backward pass that is the operation whose gradient is being sent. Inside of a helper
    function, or of a node that is open, the code of that function is shown.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Code"
        self._source: list[str] = []
        self._first = 1
        self._roles: list[list[str]] = []
        self._span: Span | None = None
        self._program: object = None

    def show_session(self, session: Session) -> None:
        """Show the function in which the current step happens, and light its expression."""
        helper, span = _where(session)
        shown = session.lesson.program if helper is None else helper
        if shown != self._program:
            self._program = shown
            self._span = None
            self._load(session.lesson.program, helper)
        self._light(span)

    def _load(self, program: Any, helper: Helper | None) -> None:
        self.border_title = f"Code of {helper.function}" if helper is not None else "Code"
        try:
            if helper is not None:
                lines, self._first = helper.source()
            else:
                lines, self._first = inspect.getsourcelines(program)
        except (OSError, TypeError):
            lines, self._first = ["(the source is not available)"], 1
        self._source = [_without_markers(line.rstrip("\n")) for line in lines]
        self._roles = roles_of(self._source)
        self.set_height(len(self._source), max(map(len, self._source), default=0) + 5)
        self.repaint()

    def _light(self, span: Span | None) -> None:
        before, self._span = self._span, span
        for lit in (before, span):
            if lit is not None:
                self.repaint_lines(lit.line - self._first, lit.end_line - self._first)
        if span is not None and self.size.height:
            line = span.line - self._first
            top = self.scroll_offset.y
            if not top <= line < top + self.size.height - 1:
                self.scroll_to(y=max(0, line - self.size.height // 2), animate=False, force=True)

    def paint_line(self, y: int) -> Pieces:
        if y >= len(self._source):
            return ()
        text = self._source[y]
        roles = self._roles[y]
        start, end = self._lit_columns(y, len(text))
        pieces = [Piece(f"{self._first + y:>3} ", "muted")]
        pieces.append(Piece("▸" if start < end else " ", "active"))
        for column, character in enumerate(text):
            lit = start <= column < end
            role = roles[column] + (" lit" if lit else "")
            if pieces[-1].role == role:
                pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + character)
            else:
                pieces.append(Piece(character, role))
        return tuple(pieces)

    def _lit_columns(self, y: int, length: int) -> tuple[int, int]:
        span, line = self._span, self._first + y
        if span is None or not span.line <= line <= span.end_line:
            return (0, 0)
        start = span.column if line == span.line else 0
        return (start, span.end_column if line == span.end_line else length)


def roles_of(lines: list[str]) -> list[list[str]]:
    """The role of every character. By `tokenize`: a highlighter takes long to load."""
    roles = [["plain"] * len(line) for line in lines]
    read = iter([f"{line}\n" for line in lines])
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for kind, text, start, end, _ in tokenize.generate_tokens(lambda: next(read, "")):
            role = "keyword" if keyword.iskeyword(text) else TOKEN_ROLES.get(kind, "plain")
            for row in range(start[0] - 1, min(end[0], len(lines))):
                first = start[1] if row == start[0] - 1 else 0
                last = end[1] if row == end[0] - 1 else len(lines[row])
                roles[row][first:last] = [role] * (min(last, len(lines[row])) - first)
    return roles


def _without_markers(line: str) -> str:
    """A line without what is meant for the linter and the type checker only."""
    bare = line.split("  # noqa", maxsplit=1)[0]
    return bare if "=" in bare else re.sub(r": (Any|int)(?=[,)])|(?<=\)) -> Any(?=:)", "", bare)


class Helper(NamedTuple):
    """A helper function of the program, or the primitive steps of an open node."""

    filename: str
    function: str
    first: int
    """The number of its first line."""

    last: int

    def source(self) -> tuple[list[str], int]:
        """Its lines, and the number of the first."""
        return linecache.getlines(self.filename)[self.first - 1 : self.last], self.first


def _helper(filename: str, line: int) -> Helper | None:
    """The innermost function around a line; None if there is no source.

    Not the one whose frame it is: comprehensions and lambdas are shown with what is around them.
    """
    found = _definition("".join(linecache.getlines(filename)), line)
    return None if found is None else Helper(filename, *found)


@lru_cache(maxsize=256)
def _definition(source: str, line: int) -> tuple[str, int, int] | None:
    """Name, first and last line of the innermost function around a line."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    found = None
    for node in ast.walk(tree):  # what is inside comes later
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            if node.lineno <= line <= last:
                found = (node.name, node.lineno, last)
    return found


def _where(session: Session) -> tuple[Helper | None, Span | None]:
    """The helper function, if any, and the expression that the current step belongs to."""
    positions = session.active()
    if not len(positions):
        return None, None
    kind, node, _ = session.trace.steps.what(positions[-1])
    place = session.trace.graph.records[node].place
    if place is None and kind is StepKind.COLLECT:  # a leaf: light its last use
        edge = session.trace.arrivals[node][-1]
        node = edge.source
        place = session.trace.graph.records[node].place
    if place is None:
        return None, None
    chain = (*place.callers, place)
    depth = len(chain) - 1
    folded = session.folded_group(node)
    if folded is not None:  # inside of a folded group: light the call that it stands for
        around = session.trace.graph.groups_around(node)
        depth = [group.id for group in around].index(folded.id)
    site = chain[depth].site
    if depth == 0 or site.span is None:
        return None, site.span
    helper = _helper(site.filename, site.span.line)
    return helper, None if helper is None else site.span
