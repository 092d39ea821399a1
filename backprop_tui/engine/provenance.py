"""Where an operation stands in the source, and what it is called there.

When an operation runs, the frame of its caller tells which instruction is being executed; the
instruction tells line and columns, and the syntax tree of that place tells the rest: the name
that the result is assigned to and the `for` loops around it, whose variables' values are in the
frame. So a lesson needs no names beside its code, and the same works in any Python file.

Each instruction is examined once (`Site`) and then found by code object and offset.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType

TRANSPARENT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"}
"""Frames that belong to the function around them."""

LoopValue = int | str


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of source: lines count from 1, columns from 0 in characters, the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Site:
    """One instruction of a program: what its place in the source says."""

    filename: str
    function: str
    """The name of the function around it, or '<module>'."""

    span: Span | None
    """The expression that is computed here; None where there is no source."""

    name: str | None
    """The variable that the expression's result is assigned to at once."""

    text: str | None
    """The expression's own source text."""

    loops: tuple[str, ...]
    """The variables of the `for` loops around it, outermost first."""


@dataclass(frozen=True, slots=True)
class Place:
    """One execution of a site: the loops' values then, and the calls that led there."""

    site: Site
    loops: tuple[tuple[str, LoopValue], ...] = ()
    callers: tuple[Place, ...] = ()
    """Where helper functions were called from, outermost first; empty in the main function."""


class Locator:
    """Finds the place of the running instruction. One locator serves one run of a program."""

    def __init__(self, main: CodeType | None) -> None:
        """`main` is the code of the function whose body is the program.

        Callers above it are not looked at. None: every frame counts as the main function.
        """
        self.main = main
        self._plain: dict[tuple[int, int], Place] = {}

    def locate(self, frame: FrameType) -> Place:
        """The place that `frame` is executing.

        The common case, an instruction of the main function outside of any loop, costs one
        dictionary look-up.
        """
        key = (id(frame.f_code), frame.f_lasti)
        place = self._plain.get(key)
        if place is not None:
            return place
        site = site_of(frame.f_code, frame.f_lasti)
        plain = frame.f_code is self.main or self.main is None
        if plain and not site.loops:
            place = self._plain[key] = Place(site)
            return place
        loops = _loop_values(frame, site) if site.loops else ()
        return Place(site, loops) if plain else self._in_helper(frame, site, loops)

    def _in_helper(
        self, frame: FrameType, site: Site, loops: tuple[tuple[str, LoopValue], ...]
    ) -> Place:
        """The place in a function that the main function called, directly or not."""
        callers: list[Place] = []
        code, caller = frame.f_code, frame.f_back
        inside = code.co_name in TRANSPARENT
        while caller is not None and code is not self.main:
            outer = site_of(caller.f_code, caller.f_lasti)
            values = _loop_values(caller, outer)
            if inside:  # a comprehension is part of the function around it
                loops = (*values, *loops)
            else:
                callers.append(Place(outer, values))
            code, caller = caller.f_code, caller.f_back
            inside = inside and code.co_name in TRANSPARENT
        if code is not self.main:  # not under the main function at all: no callers to name
            callers = []
        return Place(site, loops, tuple(reversed(callers)))


def caller(depth: int) -> FrameType:
    """The frame `depth` calls above the function that calls this."""
    return sys._getframe(depth + 1)


def _loop_values(frame: FrameType, site: Site) -> tuple[tuple[str, LoopValue], ...]:
    if not site.loops:
        return ()
    variables = frame.f_locals
    found = ((name, variables.get(name)) for name in site.loops)
    return tuple((n, v) for n, v in found if isinstance(v, int | str))


_SITES: dict[tuple[int, int], Site] = {}
_CODES: dict[int, CodeType] = {}  # keeps the code objects alive, so that their ids stay theirs


def site_of(code: CodeType, offset: int) -> Site:
    """What the source says at an instruction. Where there is no source, only the function."""
    key = (id(code), offset)
    site = _SITES.get(key)
    if site is None:
        _CODES[id(code)] = code
        site = _SITES[key] = _examine(code, offset)
    return site


def _examine(code: CodeType, offset: int) -> Site:
    line, end_line, column, end_column = _position(code, offset)
    bare = Site(code.co_filename, code.co_name, None, None, None, ())
    if line is None or end_line is None or column is None or end_column is None:
        return bare
    source = "".join(linecache.getlines(code.co_filename))
    tree = _parse(source)
    if tree is None:
        return bare
    name: str | None = None
    loops: list[str] = []
    for node, parent in _enclosing(tree, (line, column, end_line, end_column), code.co_firstlineno):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            loops.clear()  # loops outside of the function are not its own
        if isinstance(parent, ast.For) and node in parent.body:
            loops.extend(_names(parent.target))
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            for generator in node.generators:
                loops.extend(_names(generator.target))
        if isinstance(node, ast.stmt):
            name = _assigned_name(node, (line, column, end_line, end_column))
    lines = source.splitlines()
    if len(lines) < end_line:  # the file has changed since it was loaded
        return bare
    span = Span(
        line,
        _characters(lines[line - 1], column),
        end_line,
        _characters(lines[end_line - 1], end_column),
    )
    return Site(code.co_filename, code.co_name, span, name, _text(lines, span), tuple(loops))


def _position(
    code: CodeType, offset: int
) -> tuple[int | None, int | None, int | None, int | None]:
    for index, position in enumerate(code.co_positions()):
        if index == offset // 2:
            return position
    return (None, None, None, None)


@lru_cache(maxsize=64)
def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


Box = tuple[int, int, int, int]
"""Line, column, end line, end column, in bytes as Python counts them."""


def _box(node: ast.AST) -> Box | None:
    line = getattr(node, "lineno", None)
    if line is None:
        return None
    column, end_line, end_column = (
        getattr(node, "col_offset", 0),
        getattr(node, "end_lineno", None),
        getattr(node, "end_col_offset", None),
    )
    return (line, column, end_line or line, end_column or column)


def _contains(outer: Box, inner: Box) -> bool:
    return outer[:2] <= inner[:2] and outer[2:] >= inner[2:]


def _enclosing(tree: ast.AST, place: Box, first_line: int) -> Iterator[tuple[ast.AST, ast.AST]]:
    """The nodes around a place with their parents, from the outside in."""
    node = tree
    while True:
        for child in ast.iter_child_nodes(node):
            box = _box(child)
            if isinstance(child, ast.comprehension):
                inner = [child.target, child.iter, *child.ifs]
                if any(_contains(b, place) for b in map(_box, inner) if b is not None):
                    node = child
                    break
                continue
            if box is not None and _contains(box, place):
                yield child, node
                node = child
                break
        else:
            return


def _names(target: ast.expr) -> list[str]:
    """The plain names that an assignment target binds."""
    return [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]


def _assigned_name(statement: ast.stmt, place: Box) -> str | None:
    """The variable that the expression at `place` is assigned to as a whole."""
    if isinstance(statement, ast.AugAssign):
        return _target_name(statement.target) if _box(statement) == place else None
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, value = [statement.target], statement.value
    else:
        return _walrus_name(statement, place)
    for target in targets:
        name = _paired_name(target, value, place)
        if name is not None:
            return name
    return _walrus_name(statement, place)


def _paired_name(target: ast.expr, value: ast.expr, place: Box) -> str | None:
    if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        if len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                name = _paired_name(one, other, place)
                if name is not None:
                    return name
        return None
    if isinstance(value, ast.IfExp):
        return _paired_name(target, value.body, place) or _paired_name(target, value.orelse, place)
    return _target_name(target) if _box(value) == place else None


def _walrus_name(statement: ast.stmt, place: Box) -> str | None:
    for node in ast.walk(statement):
        if isinstance(node, ast.NamedExpr) and _box(node.value) == place:
            return node.target.id
    return None


def _target_name(target: ast.expr) -> str | None:
    """`z` for z, self.z and z[t] alike."""
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute):
        return target.attr
    if isinstance(target, ast.Subscript):
        return _target_name(target.value)
    return None


def _characters(line: str, column: int) -> int:
    """A column in characters, from one in UTF-8 bytes."""
    return len(line.encode()[:column].decode(errors="ignore"))


def _text(lines: list[str], span: Span) -> str:
    if span.line == span.end_line:
        return lines[span.line - 1][span.column : span.end_column]
    first = lines[span.line - 1][span.column :]
    middle = lines[span.line : span.end_line - 1]
    last = lines[span.end_line - 1][: span.end_column]
    return " ".join(part.strip() for part in (first, *middle, last))
