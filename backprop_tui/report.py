"""A lesson as text for people and as JSON for programs, without a screen."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_tui.engine.compare import (
    RELATIVE_TOLERANCE,
    Comparison,
    Difference,
    LeafComparison,
    Verdict,
    compare,
)
from backprop_tui.engine.formula import as_text
from backprop_tui.engine.graph import Edge, Node, NodeKind
from backprop_tui.engine.numeric import differences
from backprop_tui.engine.operations import Value
from backprop_tui.engine.torch_record import TorchRun
from backprop_tui.engine.trace import Step, StepKind
from backprop_tui.equations_text import EquationLine, equation_lines, in_ascii
from backprop_tui.explain import Explanation, Notation, explain, first_not_finite
from backprop_tui.lessons.base import Lesson
from backprop_tui.session import Session
from backprop_tui.values import (
    format_matrix,
    format_number,
    format_shape,
    to_json,
)

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
            self.text(text),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
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
    """Rows of blocks with aligned columns; a block is as high as it needs to be.

    All rows have equally many blocks. A column in which nothing stands takes no room.
    """
    if not rows:
        return []
    widths = [_width(*column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        for height in range(max(map(len, row))):
            cells = [
                (block[height] if height < len(block) else "").ljust(width)
                for block, width in zip(row, widths, strict=True)
                if width
            ]
            lines.append((" " * indent + (" " * gap).join(cells)).rstrip())
    return lines


def _width(*blocks: Block) -> int:
    return max((len(line) for block in blocks for line in block), default=0)


# ── what is compared ──────────────────────────────────────────────────────────────────────────


class NoTorch(Exception):
    """There is nothing from torch; the text says why, in one line."""


class TorchRefused(NoTorch):
    """Torch is there, but the lesson does not run under it."""


@dataclass(frozen=True, slots=True, eq=False)
class GradientRow:
    """A gradient three ways."""

    node: int
    hand: Value | None
    torch: Value | None
    numeric: Value | None
    """For leaves the finite difference."""

    difference: Difference | None
    """By hand from torch; without torch, from the finite difference."""

    agree: bool | None
    """None if there was nothing to compare with."""

    verdict: str

    def difference_text(self) -> str:
        """The largest difference in few digits."""
        return "" if self.difference is None else format_number(self.difference.absolute, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """A lesson's run, and what stands beside it."""

    session: Session
    comparison: Comparison
    torch_problem: str | None = None
    """Why there is nothing from torch, although it was asked for."""

    @property
    def has_torch(self) -> bool:
        """Whether torch stands beside."""
        return self.comparison.torch is not None

    @property
    def unfinished(self) -> bool:
        """Whether there was no time for all finite differences."""
        return self.comparison.numeric is not None and not self.comparison.numeric.complete

    @property
    def leaf_rows(self) -> list[GradientRow]:
        """The leaves' gradients."""
        graph = self.session.trace.graph
        return [self._leaf_row(graph.leaves[n], leaf) for n, leaf in self.comparison.leaves.items()]

    @property
    def node_rows(self) -> list[GradientRow]:
        """The gradients of the other nodes that have a name, in the order of the backward pass."""
        graph = self.session.trace.graph
        named = [n.index for n in graph if n.kind is NodeKind.OPERATION and n.name.named]
        return [self._node_row(index) for index in reversed(named)]

    def _leaf_row(self, index: int, leaf: LeafComparison) -> GradientRow:
        verdicts = (leaf.torch_verdict, leaf.numeric_verdict)
        agree = None if Verdict.AGREE not in verdicts else True
        if Verdict.DIFFER in verdicts:
            agree = False
        return GradientRow(
            index,
            leaf.hand,
            leaf.torch,
            None if leaf.numeric is None else leaf.numeric.value[()],
            leaf.torch_diff or leaf.numeric_diff,
            agree,
            _in_words(leaf.verdict),
        )

    def _node_row(self, index: int) -> GradientRow:
        comparison, verdict = self.comparison, self.comparison.verdict(index)
        return GradientRow(
            index,
            self.session.trace.gradients[index],
            comparison.torch_gradient(index),
            None,
            comparison.gradient_diff(index),
            {Verdict.AGREE: True, Verdict.DIFFER: False}.get(verdict),
            _in_words(verdict) if self.has_torch else "",
        )

    @property
    def numeric_leaves(self) -> int:
        """How many leaves have a finite difference that something can be held against."""
        told = (Verdict.AGREE, Verdict.DIFFER)
        return sum(leaf.numeric_verdict in told for leaf in self.comparison.leaves.values())

    @property
    def agree(self) -> bool:
        """Whether something was compared and nothing differs."""
        compared = self.has_torch or self.numeric_leaves > 0
        return compared and self.comparison.summary().all_agree

    def conclusion(self) -> str:
        """The comparison in one sentence."""
        summary = self.comparison.summary()
        beside = f"{_count(self.numeric_leaves, 'leaf')} beside finite differences"
        if self.has_torch:
            nodes, edges = _count(summary.nodes, "node"), _count(summary.edges, "edge")
            beside = f"{nodes} and {edges} beside torch, {beside}"
        elif not self.numeric_leaves:
            return "There is nothing to compare with."
        if summary.differing:
            return f"Not the same: {blame(self.comparison)} (compared: {beside})."
        if summary.absent:
            absent = _count(summary.absent, "node")
            return f"Torch has no call for {absent}; nothing else differs: {beside}."
        if self.unfinished:
            return f"Not finished; nothing differs so far: {beside}."
        if not self.has_torch:
            return f"All agree: {beside} (without torch)."
        furthest = format_number(summary.worst_absolute, 2)
        return f"All agree: {beside}; by hand and torch are at most {furthest} apart."


def _in_words(verdict: Verdict) -> str:
    # Nothing is still on its way here: what is pending has been given up.
    word = "not finished" if verdict is Verdict.PENDING else verdict.word
    return f"{verdict.sign} {word}"


def _count(number: int, what: str) -> str:
    plural = "leaves" if what == "leaf" else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


NUMERIC_SECONDS = 30.0
"""How long `show` works on finite differences: a leaf may have 100,000 cells."""


def examine(session: Session, *, use_torch: bool = True) -> Findings:
    """Put torch and finite differences beside a session's run. Does without torch if it must."""
    torch_run, problem = None, None
    if use_torch:
        try:
            torch_run = run_under_torch(session)
        except NoTorch as missing:
            problem = str(missing)
    end = time.monotonic() + NUMERIC_SECONDS
    numeric = differences(
        session.lesson.program,
        session.inputs.leaves,
        session.inputs.sizes,
        should_stop=lambda: time.monotonic() > end,
    )
    comparison = compare(session.trace, torch_run, numeric, torch_expected=False)
    return Findings(session, comparison, problem)


def run_under_torch(session: Session) -> TorchRun:
    """The lesson under torch itself. Raises NoTorch."""
    try:
        from backprop_tui.reference.torch_run import run_torch
    except ImportError as missing:
        raise NoTorch(f"torch is not installed ({_one_line(missing)})") from missing
    except Exception as broken:  # a damaged installation may raise anything
        raise NoTorch(f"torch does not start: {_one_line(broken)}") from broken
    inputs = session.inputs
    try:
        return run_torch(session.lesson.program, inputs.leaves, inputs.sizes, edges=True)
    except Exception as problem:  # torch's word on the lesson's own code
        raise TorchRefused(f"torch cannot run this: {_one_line(problem)}") from problem


def _one_line(problem: Exception) -> str:
    return textwrap.shorten(str(problem) or type(problem).__name__, 160, placeholder=" …")


def blame(comparison: Comparison) -> str:
    """Where by hand and the others part: the first node or edge whose own inputs are right."""
    graph = comparison.trace.graph
    names = graph.names
    for index in range(len(graph)):
        value = comparison.value_diff(index)
        far = value is not None and value.relative > RELATIVE_TOLERANCE
        if far and comparison.verdict(index) is Verdict.DIFFER:
            ours, theirs = graph.records[index].value, comparison.torch_value(index)
            return f"the value of {names[index].id} is {_ours_and_theirs(ours, theirs)}"
    for source in range(len(graph) - 1, -1, -1):
        for slot, target in enumerate(graph.records[source].operands):
            edge = comparison.edge(Edge(source, target, slot))
            wrong = edge is not None and edge.verdict is Verdict.DIFFER
            if edge is not None and wrong and comparison.verdict(source) is not Verdict.DIFFER:
                op = graph.records[source].op
                return (
                    f"what {names[source].id} ({op.name if op else ''}) sends to "
                    f"{names[target].id} is {_ours_and_theirs(edge.hand, edge.torch)}"
                )
    differing = comparison.summary().differing
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return f"the gradients of {', '.join(differing[-3:])}{more}"


def _ours_and_theirs(ours: Value, theirs: Value | None) -> str:
    """The two numbers that are furthest apart, with as many digits as it takes to see it."""
    if theirs is None or np.shape(ours) != np.shape(theirs):
        shape = "missing" if theirs is None else format_shape(np.shape(theirs))
        return f"{format_shape(np.shape(ours))} by hand and {shape} by torch"
    a, b = np.asarray(ours), np.asarray(theirs)
    with np.errstate(all="ignore"):
        apart = np.where(a == b, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    cell = np.unravel_index(int(np.argmax(apart)), a.shape)
    digits = range(5, 18, 3)
    pairs = [(format_number(a[cell], few), format_number(b[cell], few)) for few in digits]
    by_hand, by_torch = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    where = f" in cell [{', '.join(map(str, cell))}]" if cell else ""
    return f"{by_hand} by hand and {by_torch} by torch{where}"


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
    yield from look.wrapped(found.conclusion())


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


Column = tuple[str, Callable[[GradientRow], Value | None]]
"""A column of gradients: its caption, and what stands in it."""

BY_HAND: Column = ("by hand", lambda row: row.hand)
BY_TORCH: Column = ("torch", lambda row: row.torch)
BY_DIFFERENCE: Column = ("finite difference", lambda row: row.numeric)


def _gradients(found: Findings, look: Look) -> Iterator[str]:
    notation = Notation(found.session.trace)
    output = notation.value(found.session.trace.graph.output).text
    columns = [BY_HAND, BY_TORCH] if found.has_torch else [BY_HAND]
    for what, rows, more in (
        ("leaves", found.leaf_rows, [BY_DIFFERENCE]),
        ("other nodes", found.node_rows, []),
    ):
        if rows:
            yield from ("", look.heading(f"Gradients of the {what}, ∂{output}/∂…"))
            yield from _gradient_lines(rows, notation, look, columns + more)


def _gradient_lines(
    rows: Sequence[GradientRow], notation: Notation, look: Look, columns: Sequence[Column]
) -> Iterator[str]:
    """A table of the gradients that fit into its columns; then the wider ones, each by itself."""
    captions = [caption for caption, _ in columns]
    narrow: list[list[Block]] = []
    wide: list[list[Block]] = []
    for row in rows:
        blocks = [value_block(get(row), look.width - 26, look) for _, get in columns]
        name = look.text(notation.value(row.node).text)
        told = [[name], *blocks, [row.difference_text()], [look.text(row.verdict)]]
        room = (look.width - 45) // len(columns)  # what names, verdicts and gaps leave
        (narrow if _width(*blocks) <= max(room, len(captions[-1])) else wide).append(told)
    if narrow:
        apart = "difference" if any(row[-2][0] for row in narrow) else ""
        head, *body = table([[[""], *([c] for c in captions), [apart], [""]], *narrow])
        yield from (look.aside(head), *body)
    for [name], *blocks, [difference], [verdict] in wide:
        yield f"  {name}   {verdict}" + f"   difference {difference}" * bool(difference)
        yield from table([[[c], b] for c, b in zip(captions, blocks, strict=True)], indent=6)


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
        "gradients": {graph.names[row.node].id: _gradient_json(row) for row in found.leaf_rows},
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
        "torch_value": _json_or_null(found.comparison.torch_value(node.index)),
        "torch_grad": _json_or_null(found.comparison.torch_gradient(node.index)),
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
        "numbers": told.numbers.removeprefix("= "),
        "upstream": _json_or_null(step.upstream),
        "contribution": _json_or_null(step.contribution),
        "total": _json_or_null(step.total),
    }


def _gradient_json(row: GradientRow) -> dict[str, Any]:
    apart = row.difference
    return {
        "hand": _json_or_null(row.hand),
        "torch": _json_or_null(row.torch),
        "numeric": _json_or_null(row.numeric),
        "max_abs_diff": None if apart is None else to_json(apart.absolute),
        "max_rel_diff": None if apart is None else to_json(apart.relative),
        "agree": row.agree,
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


# ── check ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """One run of a lesson, compared."""

    sizes: Mapping[str, int]
    seed: int | None
    """None for the lesson's own numbers."""

    agree: bool
    nodes: int
    edges: int
    leaves: int
    max_abs_diff: float
    max_rel_diff: float
    where: str | None
    """If it does not agree, where."""


@dataclass(frozen=True, slots=True)
class CheckedLesson:
    """All runs of a lesson."""

    lesson: str
    runs: tuple[CheckedRun, ...]

    @property
    def agree(self) -> bool:
        """Whether all runs agree."""
        return all(run.agree for run in self.runs)

    def total(self, what: str) -> int:
        """The sum of a count over the runs."""
        return sum(getattr(run, what) for run in self.runs)

    def worst(self, what: str) -> float:
        """The largest difference of all runs."""
        return max(float(getattr(run, what)) for run in self.runs)


def check_lesson(lesson: Lesson) -> CheckedLesson:
    """Compare a lesson: with its own numbers, then with drawn ones at other sizes.

    Raises NoTorch if torch cannot be had at all.
    """
    return CheckedLesson(lesson.id, tuple(_checked(lesson, *case) for case in _cases(lesson)))


def _cases(lesson: Lesson) -> list[tuple[dict[str, int], int | None]]:
    """Sizes and seeds: as published, other numbers, the smallest, somewhat larger."""
    usual = lesson.default_sizes()
    smallest = {size.name: size.minimum for size in lesson.sizes}
    larger = {size.name: min(size.maximum, size.default + 3) for size in lesson.sizes}
    return [(usual, None), (usual, 1), (smallest, 2), (larger, 3)]


def _checked(lesson: Lesson, sizes: dict[str, int], seed: int | None) -> CheckedRun:
    session = Session(lesson, sizes=sizes)
    if seed is not None:
        session.randomise(seed)
    try:
        torch_run, where = run_under_torch(session), None
    except TorchRefused as problem:
        torch_run, where = None, str(problem)
    numeric = differences(lesson.program, session.inputs.leaves, sizes)
    comparison = compare(session.trace, torch_run, numeric, torch_expected=False)
    summary = comparison.summary()
    if summary.differing:
        where = blame(comparison)
    elif where is None and not summary.all_agree:
        where = f"torch has no call for {_count(summary.absent, 'node')}"
    return CheckedRun(
        sizes,
        seed,
        where is None,
        summary.nodes,
        summary.edges,
        summary.leaves,
        summary.worst_absolute,
        summary.worst_relative,
        where,
    )


def check_lines(checked: CheckedLesson, look: Look, width: int) -> Iterator[str]:
    """A lesson's line, and where it went wrong if it did."""
    counts = f"{checked.total('nodes'):>5,} nodes  {checked.total('edges'):>5,} edges"
    furthest = format_number(checked.worst("max_abs_diff"), 2)
    verdict = Verdict.AGREE if checked.agree else Verdict.DIFFER
    words = f"{verdict.sign} {checked.lesson:<{width}} {verdict.word}  {counts}"
    yield look.text(f"{words}  worst difference {furthest}")
    for run in checked.runs:
        if run.where is not None:
            yield from look.wrapped(f"{_case_text(run)}: {run.where}", "    ")


def _case_text(run: CheckedRun) -> str:
    numbers = "the lesson's own numbers" if run.seed is None else f"seed {run.seed}"
    return ", ".join([numbers, *(f"{name}={size}" for name, size in run.sizes.items())])


def check_summary(checked: Sequence[CheckedLesson], look: Look) -> Iterator[str]:
    """What it all comes to."""
    wrong = [lesson.lesson for lesson in checked if not lesson.agree]
    yield ""
    if wrong:
        number = f"{len(wrong)} of {_count(len(checked), 'lesson')}"
        yield look.text(f"✗ {number} not agreeing: {', '.join(wrong)}")
        return
    counts = {what: sum(c.total(what) for c in checked) for what in ("nodes", "edges", "leaves")}
    runs = sum(len(lesson.runs) for lesson in checked)
    yield from look.wrapped(
        f"✓ {_count(len(checked), 'lesson')}: by hand and torch agree on "
        f"{_count(counts['nodes'], 'node')} and {_count(counts['edges'], 'edge')}, by hand and "
        f"finite differences on {_count(counts['leaves'], 'leaf')}, in {_count(runs, 'run')} "
        "(each lesson with its own numbers, with others, and at its smallest and larger sizes)."
    )


def check_json(checked: Sequence[CheckedLesson]) -> dict[str, Any]:
    """The outcome of `check`, as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "agree": all(lesson.agree for lesson in checked),
        "lessons": [
            {
                "lesson": lesson.lesson,
                "agree": lesson.agree,
                "nodes": lesson.total("nodes"),
                "edges": lesson.total("edges"),
                "leaves": lesson.total("leaves"),
                "max_abs_diff": to_json(lesson.worst("max_abs_diff")),
                "max_rel_diff": to_json(lesson.worst("max_rel_diff")),
                "runs": [_run_json(run) for run in lesson.runs],
            }
            for lesson in checked
        ],
    }


def _run_json(run: CheckedRun) -> dict[str, Any]:
    return {
        "sizes": dict(run.sizes),
        "seed": run.seed,
        "agree": run.agree,
        "nodes": run.nodes,
        "edges": run.edges,
        "leaves": run.leaves,
        "max_abs_diff": to_json(run.max_abs_diff),
        "max_rel_diff": to_json(run.max_rel_diff),
        "where": run.where,
    }
