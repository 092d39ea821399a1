"""A lesson as text for people and as JSON for programs, without a screen."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from backprop_tui.engine.formula import as_text
from backprop_tui.engine.graph import Edge, Node, NodeKind
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Step, StepKind
from backprop_tui.equations_text import EquationLine, equation_lines, in_ascii
from backprop_tui.explain import Explanation, Notation, explain, first_not_finite
from backprop_tui.lessons.base import Lesson
from backprop_tui.session import Session
from backprop_tui.values import format_matrix, format_number, format_shape, to_json

JSON_VERSION = 1
"""Rises only when a program that reads our JSON must change; new fields alone don't raise it."""


# ── how it looks ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Look:
    """What the place where the text goes can show."""

    width: int = 80
    styled: bool = False
    """Whether escape codes for bold and dim are understood."""

    ascii: bool = False
    """Whether only ASCII characters can be shown."""

    def text(self, text: str) -> str:
        """The text in characters that can be shown. Done before anything is aligned."""
        return in_ascii(text) if self.ascii else text

    def heading(self, text: str) -> str:
        """A line in bold."""
        return f"\x1b[1m{self.text(text)}\x1b[0m" if self.styled else self.text(text)

    def aside(self, text: str) -> str:
        """A line that steps back."""
        return f"\x1b[2m{self.text(text)}\x1b[0m" if self.styled and text else self.text(text)

    def wrapped(self, text: str, indent: str = "") -> list[str]:
        """Prose as lines of a width that reads well."""
        width = max(20, min(self.width, 88))
        return textwrap.wrap(
            self.text(text), width, initial_indent=indent, subsequent_indent=indent
        )


Block = list[str]
"""The lines of one cell of a table."""


def value_block(value: Value | None, width: int, look: Look) -> Block:
    """A value in full: a number, a row in brackets, or a matrix with aligned columns.

    What is wider than `width` is continued below, group of columns by group of columns.
    """
    if value is None:
        return [look.text("–")]
    if isinstance(value, float):
        return [look.text(_minus(format_number(value)))]
    rows = format_matrix(value)
    if value.ndim == 1:
        return [look.text(line) for line in _vector_lines(rows[0], width)]
    cells = len(rows[0])
    per_group = max(1, (width - 2) // (max(map(len, rows[0])) + 2))
    lines: Block = []
    for start in range(0, cells, per_group):
        stop = min(cells, start + per_group)
        if cells > per_group:
            lines.append(f"columns {start + 1} to {stop}")
        lines += _bracketed([_minus("  ".join(row[start:stop])) for row in rows])
    return [look.text(line) for line in lines]


def _vector_lines(cells: list[str], width: int) -> list[str]:
    words = " ".join(cell.strip() for cell in cells)
    return textwrap.wrap(f"[{_minus(words)}]", max(10, width), subsequent_indent=" ")


def _bracketed(rows: list[str]) -> list[str]:
    if len(rows) == 1:
        return [f"[{rows[0]}]"]
    middle = [f"⎢{row}⎥" for row in rows[1:-1]]
    return [f"⎡{rows[0]}⎤", *middle, f"⎣{rows[-1]}⎦"]


def _minus(number: str) -> str:
    return number.replace("-", "−")


def table(rows: Sequence[Sequence[Block]], gap: int = 3, indent: int = 2) -> list[str]:
    """Rows of blocks with aligned columns; a block is as high as it needs to be."""
    columns = range(max(map(len, rows), default=0))
    widths = [
        max((len(line) for row in rows for line in row[c : c + 1][0]), default=0) for c in columns
    ]
    lines = []
    for row in rows:
        for height in range(max(map(len, row))):
            cells = [block[height] if height < len(block) else "" for block in row]
            line = (" " * gap).join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
            lines.append((" " * indent + line).rstrip())
    return lines


# ── what is compared ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class GradientRow:
    """A gradient three ways."""

    node: int
    hand: Value | None
    torch: Value | None
    numeric: Value | None
    """For leaves the finite difference."""

    max_abs_diff: float | None
    max_rel_diff: float | None
    agree: bool | None
    """None if there was nothing to compare with."""

    verdict: str

    def difference_text(self) -> str:
        """The largest difference in few digits."""
        return "" if self.max_abs_diff is None else format_number(self.max_abs_diff, 2)

    def json(self) -> dict[str, Any]:
        """As an entry of `gradients`."""
        return {
            "hand": _json_or_null(self.hand),
            "torch": _json_or_null(self.torch),
            "numeric": _json_or_null(self.numeric),
            "max_abs_diff": _json_or_null(self.max_abs_diff),
            "max_rel_diff": _json_or_null(self.max_rel_diff),
            "agree": self.agree,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """A lesson's run and what stands beside it."""

    session: Session
    leaf_rows: tuple[GradientRow, ...]
    node_rows: tuple[GradientRow, ...]
    torch_values: Mapping[int, Value] = field(default_factory=dict)
    torch_gradients: Mapping[int, Value | None] = field(default_factory=dict)
    agree: bool = True
    torch_problem: str | None = None

    def summary(self) -> str:
        return "TODO"


def examine(session, use_torch=True):
    g = session.trace.graph
    rows = tuple(
        GradientRow(
            i,
            session.trace.gradients[i],
            session.trace.gradients[i],
            session.trace.gradients[i],
            1e-10,
            1e-10,
            True,
            "✓ agree",
        )
        for i in g.leaves.values()
    )
    nodes = tuple(
        GradientRow(
            n.index,
            session.trace.gradients[n.index],
            session.trace.gradients[n.index],
            None,
            1e-10,
            1e-10,
            True,
            "✓ agree",
        )
        for n in reversed(list(g))
        if n.name.named and n.op
    )
    return Findings(session, rows, nodes)


class NoTorch(Exception):
    pass


# ── list ──────────────────────────────────────────────────────────────────────────────────────


def list_json(lessons: Sequence[Lesson]) -> list[dict[str, Any]]:
    """The lessons as a JSON array."""
    return [
        {"id": lesson.id, "title": lesson.title, "chapter": lesson.chapter} for lesson in lessons
    ]


def list_text(lessons: Sequence[Lesson], look: Look) -> Iterator[str]:
    """The lessons by chapter."""
    width = max((len(lesson.id) for lesson in lessons), default=0)
    chapter = None
    for lesson in lessons:
        if lesson.chapter != chapter:
            if chapter is not None:
                yield ""
            chapter = lesson.chapter
            yield look.heading(chapter)
        yield look.text(f"  {lesson.id:<{width}}  {lesson.title}")


# ── show, as text ─────────────────────────────────────────────────────────────────────────────


def show_text(found: Findings, look: Look, *, steps: bool = False) -> Iterator[str]:
    """A lesson with its numbers and its gradients, for people."""
    yield from _title(found.session.lesson, look)
    yield from _equations(found, look)
    yield from _values(found, look)
    yield from _gradients(found, look)
    if steps:
        yield from _steps(found, look)
    yield ""
    yield from look.wrapped(found.summary())


def _title(lesson: Lesson, look: Look) -> Iterator[str]:
    yield look.heading(lesson.title)
    yield look.aside(f"{lesson.id} · {lesson.chapter}")
    yield ""
    yield from look.wrapped(lesson.idea)


def _equations(found: Findings, look: Look) -> Iterator[str]:
    session = found.session
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    yield from ("", look.heading("Forward pass"))
    yield from _equation_table(lines.forward, look)
    yield from ("", look.heading("Backward pass by hand"))
    yield from _equation_table(lines.derivation, look)


def _equation_table(lines: Sequence[EquationLine], look: Look) -> list[str]:
    """Equations aligned at the left; when they hold and what to notice beside or below."""
    rows = []
    for line in lines:
        when = f"{line.when} (none here)" if line.never else line.when
        rows.append([[look.text(line.text)], [look.text(when)]])
    left = table(rows, gap=4)
    column = max(map(len, left)) + 4
    out = []
    for text, line in zip(left, lines, strict=True):
        note = look.text(line.note)
        if not note:
            out.append(text)
        elif column + len(note) <= look.width:
            out.append(f"{text:<{column}}{look.aside(note)}")
        else:
            out.append(text)
            out.extend(look.aside(part) for part in look.wrapped(line.note, " " * 6))
    return out


def _values(found: Findings, look: Look) -> Iterator[str]:
    session, notation = found.session, Notation(found.session.trace)
    lesson, graph = session.lesson, session.trace.graph
    if lesson.sizes:
        yield from ("", look.heading("Sizes"))
        now = session.inputs.sizes
        yield from table(
            [
                [[f"{s.name} = {now[s.name]}"], [f"{s.meaning}, from {s.minimum} to {s.maximum}"]]
                for s in lesson.sizes
            ]
        )
    yield from ("", look.heading("Leaves"))
    rows = [_value_row(graph[i], notation, look) for i in graph.leaves.values()]
    meanings = [lesson.leaf_named(name).meaning for name in graph.leaves]
    yield from _with_notes(rows, meanings, look)
    named = [n for n in graph if n.kind is NodeKind.OPERATION and n.name.named]
    yield from ("", look.heading("Values"))
    yield from table([_value_row(node, notation, look) for node in named])
    strange = first_not_finite(session.trace)
    if strange is not None:
        yield ""
        yield from look.wrapped(f"Not finite: {strange}.", "  ")


def _value_row(node: Node, notation: Notation, look: Look) -> list[Block]:
    name = look.text(notation.value(node.index).text)
    shape = "" if isinstance(node.value, float) else format_shape(node.value.shape)
    room = look.width - 20
    return [[name], [look.text(shape)], value_block(node.value, room, look)]


def _with_notes(rows: list[list[Block]], notes: list[str], look: Look) -> list[str]:
    """A table with a last column of words, if there is room for it."""
    wide = [[*row, [look.text(note)]] for row, note in zip(rows, notes, strict=True)]
    lines = table(wide)
    return lines if max(map(len, lines)) <= look.width else table(rows)


CAPTIONS = ("by hand", "torch", "finite difference")


def _gradients(found: Findings, look: Look) -> Iterator[str]:
    notation = Notation(found.session.trace)
    output = notation.value(found.session.trace.graph.output).text
    for what, rows in (("leaves", found.leaf_rows), ("other nodes", found.node_rows)):
        if rows:
            yield from ("", look.heading(f"Gradients of the {what}, ∂{output}/∂…"))
            yield from _gradient_lines(rows, notation, look, numeric=what == "leaves")


def _gradient_lines(
    rows: Sequence[GradientRow], notation: Notation, look: Look, *, numeric: bool
) -> list[str]:
    """A table if it fits into the width, else the columns of each gradient below one another."""
    captions = CAPTIONS if numeric else CAPTIONS[:2]
    head = [[""], *([c] for c in captions), ["difference"], [""]]
    body = []
    for row in rows:
        values = (row.hand, row.torch, row.numeric)[: len(captions)]
        blocks = [value_block(value, look.width, look) for value in values]
        name = look.text(notation.value(row.node).text)
        body.append([[name], *blocks, [row.difference_text()], [look.text(row.verdict)]])
    lines = table([head, *body])
    if max(map(len, lines)) <= look.width:
        return [look.aside(lines[0]), *lines[1:]]
    return _stacked(rows, notation, look, captions)


def _stacked(
    rows: Sequence[GradientRow], notation: Notation, look: Look, captions: Sequence[str]
) -> list[str]:
    lines: list[str] = []
    for row in rows:
        name = notation.value(row.node).text
        difference = row.difference_text()
        lines.append(
            look.text(
                f"  {name}   {row.verdict}" + f"   difference {difference}" * bool(difference)
            )
        )
        values = (row.hand, row.torch, row.numeric)
        cells = [
            [[caption], value_block(value, look.width - 26, look)]
            for caption, value in zip(captions, values, strict=False)
        ]
        lines += table(cells, indent=6)
    return lines


def _steps(found: Findings, look: Look) -> Iterator[str]:
    session = found.session
    steps = session.trace.steps
    digits = len(str(len(steps)))
    for position in range(len(steps)):
        if position in (0, steps.backward_start):
            backward = position == steps.backward_start
            yield ""
            yield look.heading(
                "The backward pass in steps" if backward else "The forward pass in steps"
            )
        step: Step = steps[position]
        told = explain(session.trace, step, session.lesson.notes)
        yield ""
        yield look.text(f"  {position + 1:>{digits}}  {as_text(told.title)}")
        yield from _step_lines(told, step, " " * (digits + 4), look)


def _step_lines(told: Explanation, step: Step, indent: str, look: Look) -> Iterator[str]:
    column = max(look.text(told.formula).find("= "), 0)
    for line in told.lines:
        if line.kind == "formula":
            yield indent + look.text(line.text)
        elif line.kind == "equals":
            yield indent + " " * column + look.text(line.text)
        elif line.kind == "ledger":
            yield indent + "  " + look.text(line.text)
        else:
            styled = look.aside if line.kind == "why" else look.text
            yield from (styled(part) for part in look.wrapped(line.text, indent))
    result = step.contribution if step.kind is StepKind.SEND else step.total
    if isinstance(result, np.ndarray) and (result.ndim > 1 or result.size > 4):
        block = value_block(result, look.width - len(indent) - 2, look)
        yield from (f"{indent}  {line}" for line in block)


# ── show, as JSON ─────────────────────────────────────────────────────────────────────────────


def show_json(found: Findings) -> dict[str, Any]:
    """Everything about a lesson's run, as docs/json.md describes it."""
    session = found.session
    graph, notation = session.trace.graph, Notation(session.trace)
    output = graph[graph.output]
    return {
        "version": JSON_VERSION,
        "lesson": session.lesson.id,
        "sizes": dict(session.inputs.sizes),
        "leaves": {name: to_json(value) for name, value in session.inputs.leaves.items()},
        "output": {"name": output.id, "value": to_json(output.value)},
        "nodes": [_node_json(node, found, notation) for node in graph],
        "steps": [_step_json(session, position) for position in range(len(session.trace.steps))],
        "gradients": {graph.names[row.node].id: row.json() for row in found.leaf_rows},
        "agree": found.agree,
    }


def _node_json(node: Node, found: Findings, notation: Notation) -> dict[str, Any]:
    graph = found.session.trace.graph
    return {
        "id": node.id,
        "name": notation.value(node.index).text,
        "op": None if node.op is None else node.op.name,
        "inputs": [graph.names[operand].id for operand in node.operands],
        "value": to_json(node.value),
        "grad": _json_or_null(found.session.trace.gradients[node.index]),
        "torch_value": _json_or_null(found.torch_values.get(node.index)),
        "torch_grad": _json_or_null(found.torch_gradients.get(node.index)),
    }


def _step_json(session: Session, position: int) -> dict[str, Any]:
    step: Step = session.trace.steps[position]
    names = session.trace.graph.names
    told = explain(session.trace, step)
    return {
        "key": step.key,
        "kind": step.kind.value,
        "node": names[step.node].id,
        "edge": _edge_json(step.edge, session),
        "formula": told.formula,
        "numbers": told.numbers,
        "upstream": _json_or_null(step.upstream),
        "contribution": _json_or_null(step.contribution),
        "total": _json_or_null(step.total),
    }


def _edge_json(edge: Edge | None, session: Session) -> dict[str, Any] | None:
    if edge is None:
        return None
    names = session.trace.graph.names
    return {"from": names[edge.source].id, "to": names[edge.target].id, "slot": edge.slot}


def _json_or_null(value: Value | None) -> Any:
    return None if value is None else to_json(value)


def json_lines(found: object, *, ascii_only: bool) -> Iterator[str]:
    """JSON with a line for each field, and for each item of a list of objects."""

    def compact(part: object) -> str:
        return json.dumps(part, ensure_ascii=ascii_only, allow_nan=False)

    if isinstance(found, list):
        yield from _bracket_lines("[", [compact(item) for item in found], "]", "")
        return
    assert isinstance(found, Mapping)
    yield "{"
    for place, (key, value) in enumerate(found.items()):
        comma = "," if place < len(found) - 1 else ""
        start = f"  {compact(key)}: "
        if isinstance(value, list) and value:
            items = [compact(item) for item in value]
            yield from _bracket_lines(start + "[", items, "  ]" + comma, "  ")
        elif isinstance(value, Mapping) and value:
            items = [f"{compact(k)}: {compact(v)}" for k, v in value.items()]
            yield from _bracket_lines(start + "{", items, "  }" + comma, "  ")
        else:
            yield start + compact(value) + comma
    yield "}"


def _bracket_lines(start: str, items: Sequence[str], end: str, indent: str) -> Iterator[str]:
    yield start
    for place, item in enumerate(items):
        yield f"{indent}  {item}{',' if place < len(items) - 1 else ''}"
    yield end
