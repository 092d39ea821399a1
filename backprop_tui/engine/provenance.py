"""Where an operation stands in the source, and what it is called there.

When an operation runs, the frame of its caller tells which instruction is being executed; the
instruction tells line and columns, and the syntax tree of that place tells the rest: the name
that the result is assigned to and the `for` loops around it, whose variables' values are in the
frame. So a lesson needs no names beside its code, and the same works in any Python file.

Each instruction is examined once (`Site`) and then found by code object and offset.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import linecache
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from types import CodeType, FrameType
from typing import Any, NamedTuple, cast

TRANSPARENT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"}
"""Frames that belong to the function around them."""

LoopValue = int | str

WHOLE = -1
"""Stands for a position: what a function returns is this value and no other."""


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

    loop: tuple[int, int] | None = None
    """Where the innermost `for` statement around it starts; None inside of a comprehension."""

    part: int = 0
    """Which statement of that loop's body it belongs to, from 0."""

    steady: bool = False
    """Whether it is computed in every turn of that loop that gets as far."""

    targets: tuple[str, ...] = ()
    """The variables that a result of several values is unpacked into at once: `h, c = f(x)`."""

    returned: int | None = None
    """Whether its function returns this: the position in what it returns, or `WHOLE`."""


class Place(NamedTuple):
    """One execution of a site: the loops' values then, and the calls that led there."""

    site: Site
    loops: tuple[tuple[str, LoopValue], ...] = ()
    callers: tuple[Place, ...] = ()
    """Where helper functions were called from, outermost first; empty in the main function."""

    call: int = 0
    """For a caller: which call of the run it is. It tells apart two calls from one place with the
    same loops, as in `for layer in layers: h = layer(h)`, where the loop's value is no number."""

    called: str = ""
    """For a caller: the name of the function that it calls."""


RawPlace = Place | tuple[Site, tuple[tuple[str, LoopValue], ...], tuple[Place, ...]]
"""A place, or what it is made from: most places are never looked at."""


def parts_of(
    raw: RawPlace,
) -> tuple[Site, tuple[tuple[str, LoopValue], ...], tuple[Place, ...]]:
    """Site, loops and callers of a place."""
    if isinstance(raw, Place):
        return raw.site, raw.loops, raw.callers
    return raw


def place_of(raw: RawPlace | None) -> Place | None:
    """The place itself."""
    return Place(*raw) if type(raw) is tuple else cast("Place | None", raw)


Around = tuple[tuple[tuple[str, LoopValue], ...], tuple[Place, ...]]
"""What is around a helper function: loops of the function it is part of, and its callers."""

_NOBODY: tuple[FrameType | None, Around] = (None, ((), ()))


_NO_TURN: tuple[FrameType | None, int, tuple[tuple[str, LoopValue], ...]] = (None, 0, ())


class _Loop:
    """The turn that a `for` loop is in: reading its variables is dear, so it is done once a turn.

    The first steady site of the loop's body reads them anew, whenever it is computed. A site that
    comes after it in the body is computed in the same turn, so it needs not read them again.
    """

    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn: tuple[FrameType | None, int, tuple[tuple[str, LoopValue], ...]] = _NO_TURN
        """The frame, the rank of the site that has read the variables, and what it has read."""


class _Located:
    """A site of a locator, with the loop that it is in."""

    __slots__ = ("in_main", "loop", "place", "rank", "site")

    def __init__(self, site: Site, start: int, loop: _Loop | None, in_main: bool) -> None:
        self.site = site
        self.loop = loop
        self.rank = site.part << 32 | start
        """Where it stands in the loop's body."""
        self.in_main = in_main
        self.place = Place(site) if in_main and not site.loops else None
        """Its place, if that is always the same."""


_Tables = dict[int, dict[int, _Located]]
_Loops = dict[tuple[int, tuple[int, int]], _Loop]
_KNOWN: dict[int, tuple[CodeType | None, _Tables, _Loops]] = {}
"""For each main function what its locators have found out: code → offset → site, and the loops.
The code is kept with it, so that its id stays its own.

Runs share it, even such as are under way at once: a loop's turn names the frame that it is of.
"""


class Locator:
    """Finds the place of the running instruction. One locator serves one run of a program."""

    def __init__(self, main: CodeType | None) -> None:
        """`main` is the code of the function whose body is the program.

        Callers above it are not looked at. None: every frame counts as the main function.
        """
        self.main = main
        _, self._tables, self._loops = _KNOWN.setdefault(id(main), (main, {}, {}))
        self._code: CodeType | None = None  # the one of the last call, and its table
        self._table: dict[int, _Located] = {}
        self._helper = _NOBODY
        self._calls: dict[FrameType, int] = {}  # helper functions' frames, numbered

    def locate(self, frame: FrameType) -> Place:
        """The place that `frame` is executing."""
        site = site_of(frame.f_code, frame.f_lasti)
        values = _loop_values(frame, site)
        if frame.f_code is self.main or self.main is None:
            return Place(site, values)
        outer, callers = self._callers(frame)
        return Place(site, (*outer, *values), callers)

    def spot(self, frame: FrameType) -> RawPlace:
        """The same, made for speed: the tape asks it at every operation.

        It keeps hold of frames until `close`.
        """
        code = frame.f_code
        if code is not self._code:
            self._code = code
            self._table = self._tables.setdefault(id(code), {})
        found = self._table.get(frame.f_lasti)
        if found is None:
            found = self._add(frame)
        loop = found.loop
        if loop is None:
            if found.place is not None:
                return found.place
            values = _loop_values(frame, found.site)
        else:
            turn_frame, first, values = loop.turn
            if turn_frame is not frame or found.rank <= first:
                values = _loop_values(frame, found.site)
                if found.site.steady:
                    loop.turn = (frame, found.rank, values)
        if found.in_main:
            return (found.site, values, ())
        if self._helper[0] is not frame:
            self._helper = (frame, self._callers(frame))
        outer, callers = self._helper[1]
        if code.co_flags & inspect.CO_GENERATOR:  # it may be called from elsewhere next
            self._helper = _NOBODY
        return (found.site, (*outer, *values), callers)

    def close(self) -> None:
        """Let go of the program's frames: the run is over."""
        self._helper = _NOBODY
        self._calls.clear()
        for loop in self._loops.values():
            loop.turn = _NO_TURN
        self._code, self._table = None, {}

    def _add(self, frame: FrameType) -> _Located:
        code, offset = frame.f_code, frame.f_lasti
        site = site_of(code, offset)
        loop = None
        if site.loop is not None:
            loop = self._loops.setdefault((id(code), site.loop), _Loop())
        in_main = code is self.main or self.main is None
        found = _Located(site, _instruction(code, offset), loop, in_main)
        self._table[offset] = found
        return found

    def _callers(self, frame: FrameType) -> Around:
        """For a helper function that the main function called, directly or not: the loops around
        it if it is a comprehension or lambda, and the calls that led there."""
        loops: tuple[tuple[str, LoopValue], ...] = ()
        callers: list[Place] = []
        code, caller = frame.f_code, frame.f_back
        called = frame
        while caller is not None and code is not self.main:
            outer = site_of(caller.f_code, caller.f_lasti)
            values = _loop_values(caller, outer)
            if code.co_name not in TRANSPARENT:
                number = self._calls.setdefault(called, len(self._calls))
                callers.append(Place(outer, values, (), number, code.co_name))
            elif callers:  # the call stands in a comprehension or lambda
                last = callers[-1]
                handed_on = code.co_name == "<lambda>" and last.site.returned == WHOLE
                site = outer if handed_on else last.site
                callers[-1] = last._replace(site=site, loops=(*values, *last.loops))
            else:  # a comprehension is part of the function around it
                loops = (*values, *loops)
            code, called, caller = caller.f_code, caller, caller.f_back
        if code is not self.main:  # not under the main function at all: no callers to name
            callers = []
        return loops, tuple(reversed(callers))


def main_code(program: Any) -> CodeType | None:
    """The code of what is called: a function, a method, a partial, or an object with __call__."""
    while isinstance(program, partial):
        program = program.func
    if not hasattr(program, "__code__"):
        program = type(program).__call__
    code = getattr(program, "__code__", None)
    return code if isinstance(code, CodeType) else None


def caller(depth: int) -> FrameType:
    """The frame `depth` calls above the function that calls this."""
    return sys._getframe(depth + 1)


def _loop_values(frame: FrameType, site: Site) -> tuple[tuple[str, LoopValue], ...]:
    if not site.loops:
        return ()
    variables = frame.f_locals
    found = [(name, variables.get(name)) for name in site.loops]
    return tuple([(n, v) for n, v in found if isinstance(v, int | str)])


_SITES: dict[tuple[int, int], Site] = {}
_CODES: dict[int, CodeType] = {}  # keeps the code objects alive, so that their ids stay theirs


def site_of(code: CodeType, offset: int) -> Site:
    """What the source says at an instruction. Where there is no source, only the function."""
    key = (id(code), offset)
    site = _SITES.get(key)
    if site is None:
        _keep(code)
        site = _SITES[key] = _examine(code, offset)
    return site


def assigned_call(code: CodeType, offset: int) -> str | None:
    """The variable that gets the result of the call whose function is looked up at an instruction.

    None if the function is not called at once, or the result not assigned as a whole.
    """
    key = (id(code), offset)
    if key not in _ASSIGNED:
        _keep(code)
        _ASSIGNED[key] = _find_assigned(code, offset)
    return _ASSIGNED[key]


_ASSIGNED: dict[tuple[int, int], str | None] = {}


def _find_assigned(code: CodeType, offset: int) -> str | None:
    line, end_line, column, end_column = _position(code, offset)
    tree = _parse("".join(linecache.getlines(code.co_filename)))
    if tree is None or None in (line, end_line, column, end_column):
        return None
    place = cast(Box, (line, column, end_line, end_column))
    statement: ast.stmt | None = None
    for node, _ in _enclosing(tree, place):
        if isinstance(node, ast.stmt):
            statement = node
        if isinstance(node, ast.Call) and _box(node.func) == place:
            call = _box(node)
            return None if statement is None or call is None else _assigned_name(statement, call)
    return None


def _keep(code: CodeType) -> None:
    """Keep a code object, and see to it that its source is read anew."""
    if id(code) not in _CODES:
        _CODES[id(code)] = code
        linecache.checkcache(code.co_filename)  # it may have been edited and loaded again


def _examine(code: CodeType, offset: int) -> Site:
    line, end_line, column, end_column = _position(code, offset)
    bare = Site(code.co_filename, code.co_name, None, None, None, ())
    if line is None or end_line is None or column is None or end_column is None:
        return bare
    source = "".join(linecache.getlines(code.co_filename))
    tree = _parse(source)
    if tree is None:
        return bare
    place = (line, column, end_line, end_column)
    name: str | None = None
    targets: tuple[str, ...] = ()
    function: ast.AST | None = None
    loops: list[str] = []
    loop: tuple[int, int] | None = None
    part, steady = 0, False
    own_scope = code.co_name in TRANSPARENT  # before Python 3.12 comprehensions are functions
    for node, parent in _enclosing(tree, place):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            loops, loop, steady = [], None, False  # loops outside of the function are not its own
            function = node
        elif isinstance(node, _COMPREHENSIONS):
            if own_scope and _box(node) != place:
                loops = []
            if not own_scope or _box(node) != place:
                loops.extend(n for g in node.generators for n in _names(g.target))
            loop = None
        elif isinstance(parent, ast.For) and node in parent.body:
            loops.extend(_names(parent.target))
            loop, part = (parent.lineno, parent.col_offset), parent.body.index(node)
            steady = isinstance(node, _SIMPLE)
        if isinstance(node, _CONDITIONAL):
            steady = False
        if isinstance(node, ast.stmt):
            name = _assigned_name(node, place)
            targets = _unpacked_names(node, place)
    returned = None if function is None else _returned(function, name, place)
    loops = list(dict.fromkeys(reversed(loops)))[::-1]  # of two with one name the inner counts
    lines = source.splitlines()
    if len(lines) < end_line:  # the file has changed since it was loaded
        return bare
    span = Span(
        line,
        _characters(lines[line - 1], column),
        end_line,
        _characters(lines[end_line - 1], end_column),
    )
    text = _text(lines, span)
    return Site(
        code.co_filename,
        code.co_name,
        span,
        name,
        text,
        tuple(loops),
        loop,
        part,
        steady,
        targets,
        returned,
    )


_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_CONDITIONAL = (ast.IfExp, ast.BoolOp, ast.Compare, ast.Assert, *_COMPREHENSIONS)
"""What may leave a part of itself uncomputed."""


def _instruction(code: CodeType, offset: int) -> int:
    """Where the instruction at an offset starts.

    Once Python has specialised a call, the offset is that of the last of its inline caches.
    """
    while offset and code.co_code[offset] == _CACHE:
        offset -= 2
    return offset


_CACHE = 0
"""The operation code of an inline cache."""


def _position(code: CodeType, offset: int) -> tuple[int | None, int | None, int | None, int | None]:
    for index, position in enumerate(code.co_positions()):
        if index == offset // 2:
            return position
    return (None, None, None, None)


@lru_cache(maxsize=64)
def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
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


def _enclosing(tree: ast.AST, place: Box) -> Iterator[tuple[ast.AST, ast.AST]]:
    """The nodes around a place with their parents, from the outside in."""
    node = tree
    while True:
        for child in _children(node):
            box = _box(child)
            if box is not None and _contains(box, place):
                yield child, node
                node = child
                break
        else:
            return


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node; those of a part that has no position of its own stand for it."""
    for child in ast.iter_child_nodes(node):
        if _box(child) is None:
            yield from _children(child)
        else:
            yield child


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


def _unpacked_names(statement: ast.stmt, place: Box) -> tuple[str, ...]:
    """The variables that the several values of the expression at `place` are unpacked into."""
    if not isinstance(statement, ast.Assign) or _box(statement.value) != place:
        return ()
    for target in statement.targets:
        if isinstance(target, ast.Tuple | ast.List):
            names = [_target_name(part) for part in target.elts]
            return tuple(name or "" for name in names)
    return ()


def _returned(function: ast.AST, name: str | None, place: Box) -> int | None:
    """Where the expression at `place`, or the variable it is assigned to, stands in what the
    function returns; None if it is not returned."""
    if isinstance(function, ast.Lambda):
        return WHOLE if _box(function.body) == place else None
    for node in _own_statements(function):
        if not isinstance(node, ast.Return) or node.value is None:
            continue
        several = node.value.elts if isinstance(node.value, ast.Tuple) else []
        for position, part in enumerate(several or [node.value]):
            is_it = isinstance(part, ast.Name) and name is not None and part.id == name
            if is_it or _box(part) == place:
                return position if several else WHOLE
    return None


def _own_statements(function: ast.AST) -> Iterator[ast.AST]:
    """All that stands in a function, but not in functions inside of it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


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
    parts = _without_comments([first, *middle, last])
    return " ".join(part.strip() for part in parts if part.strip())


def _without_comments(parts: list[str]) -> list[str]:
    if not any("#" in part for part in parts):
        return parts
    # In brackets, so that a line's end does not end the expression.
    read = iter([f"({parts[0]}\n", *(f"{part}\n" for part in parts[1:]), ")\n"])
    kept = list(parts)
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for kind, _, (row, column), _, _ in tokenize.generate_tokens(lambda: next(read, "")):
            if kind == tokenize.COMMENT:
                kept[row - 1] = kept[row - 1][: column - (row == 1)]
    return kept
