"""`list` and `show` for people: equations, values, gradients three ways, steps."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from backprop_tui.engine.formula import as_text
from backprop_tui.engine.graph import Node, NodeKind
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Step, StepKind
from backprop_tui.equations_text import EquationLine, equation_lines
from backprop_tui.explain import Explanation, Notation, explain, first_not_finite
from backprop_tui.lessons import number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import chapters, duration, minutes_of
from backprop_tui.report.findings import Findings, GradientRow, count
from backprop_tui.report.layout import Block, Look, table, value_block, width_of
from backprop_tui.report.script import script_text
from backprop_tui.values import format_shape


def list_text(lessons: Sequence[Lesson], look: Look) -> Iterator[str]:
    """The lessons by chapter: number, id, title, minutes, and what should come before."""
    if not lessons:
        return
    name = max(len(lesson.id) for lesson in lessons)
    for chapter in chapters(lessons):
        counted = count(len(chapter.lessons), "lesson")
        aside = look.aside(f"  {counted}, {duration(chapter.minutes)}")
        yield f"{look.heading(chapter.title)}{aside}"
        for lesson in chapter.lessons:
            start = f"  {number_of(lesson):>2}  {lesson.id:<{name}}  {lesson.minutes:>3} min  "
            yield from _listed(start, lesson, look)
        yield ""
    total = duration(minutes_of(lessons))
    yield from look.wrapped(
        f"{count(len(lessons), 'lesson')}, about {total} in all. “After” names what should come "
        "before; begin where you like."
    )


def _listed(start: str, lesson: Lesson, look: Look) -> Iterator[str]:
    """A lesson's line with what should come before it, or more where there is no room."""
    line = look.text(start + lesson.title)
    after = look.text(f"after {', '.join(lesson.after)}") if lesson.after else ""
    aside = f" · {after}" if after else ""
    if len(line) + len(aside) <= look.width:
        yield line + look.aside(aside)
        return
    indent = " " * (len(start) if len(start) + 20 <= look.width else 6)
    if len(line) <= look.width:
        yield line
    else:
        yield look.text(start).rstrip()
        yield from look.wrapped(lesson.title, indent)
    if after:
        yield from (look.aside(part) for part in look.wrapped(after, indent))


def show_text(found: Findings, look: Look, *, steps: bool = False) -> Iterator[str]:
    """A lesson with its numbers and its gradients, for people."""
    yield from _title(found.session.lesson, look)
    yield from _equations(found, look)
    yield from _values(found, look)
    yield from _gradients(found, look)
    if steps:
        yield from _steps(found, look)
    script = found.session.lesson.script
    if script is not None:
        yield from script_text(script, found.script_run, look)
    yield from _to_learn(found.session.lesson, look)
    yield ""
    yield from look.wrapped(found.conclusion())


def _title(lesson: Lesson, look: Look) -> Iterator[str]:
    yield look.heading(lesson.title)
    after = f"after {', '.join(lesson.after)}" if lesson.after else "nothing needed before"
    facts = (lesson.id, lesson.chapter, f"about {lesson.minutes} min", after)
    yield from (look.aside(line) for line in look.wrapped(" · ".join(facts)))
    yield ""
    yield from look.wrapped(lesson.idea)


def _to_learn(lesson: Lesson, look: Look) -> Iterator[str]:
    """The common mistake, the questions with their answers, and the sources."""
    if lesson.mistake:
        yield from ("", look.heading("The common mistake"))
        yield from look.wrapped(lesson.mistake, "  ")
    if lesson.questions:
        yield from ("", look.heading("Questions"))
    for number, question in enumerate(lesson.questions, 1):
        first, *rest = look.wrapped(question.asks, "     ")
        yield from (f"{number:>3}  {first.strip()}", *rest)
        yield from (look.aside(line) for line in look.wrapped(question.answer, "     "))
    if lesson.references:
        yield from ("", look.heading("Sources"))
        for reference in lesson.references:
            first, *rest = look.wrapped(reference, "    ")
            yield from (look.aside(line) for line in (first[2:], *rest))


def _equations(found: Findings, look: Look) -> Iterator[str]:
    session = found.session
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    yield from ("", look.heading("Forward pass"))
    yield from _equation_table(lines.forward, look)
    yield from ("", look.heading("Backward pass by hand"))
    yield from _equation_table(lines.derivation, look)


def _equation_table(lines: Sequence[EquationLine], look: Look) -> list[str]:
    """Equations aligned at the left; when they hold and what to notice beside or below."""
    whens = [f"{line.when} (none here)" if line.never else line.when for line in lines]
    beside = max(map(len, whens), default=0)
    room = max(30, look.width - 2 - (4 + beside if beside else 0))
    texts = [_broken(look.text(line.text), room) for line in lines]
    left = table([[text, [look.text(when)]] for text, when in zip(texts, whens, strict=True)], 4)
    column = max(map(len, left), default=0) + 4
    out = []
    for text, line in zip(texts, lines, strict=True):
        block, left = left[: len(text)], left[len(text) :]
        note = look.text(line.note)
        if note and column + len(note) <= look.width:
            block[0] = f"{block[0]:<{column}}{look.aside(note)}"
        elif note:
            block += [look.aside(part) for part in look.wrapped(line.note, " " * 6)]
        out += block
    return out


def _broken(text: str, width: int) -> Block:
    """A formula in lines of at most `width`, broken before a sign; a tail is indented."""
    lines: Block = []
    for part in _terms(text) if len(text) > width else [text]:
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            indent = " " * 4 if lines else ""
            lines += textwrap.wrap(part, width, initial_indent=indent, subsequent_indent=" " * 6)
    return lines


def _terms(text: str) -> list[str]:
    """The parts of a formula between the blanks before =, + and − that are in no bracket."""
    parts, start, depth = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == " " and not depth and text[place + 1 : place + 3] in SIGNS:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


SIGNS = ("= ", "+ ", "− ", "- ")
"""Before these a formula may be broken."""


def _values(found: Findings, look: Look) -> Iterator[str]:
    session, notation = found.session, Notation(found.session.trace)
    lesson, graph = session.lesson, session.trace.graph
    if lesson.sizes:
        yield from ("", look.heading("Sizes"))
        names = [f"{s.name} = {session.inputs.sizes[s.name]}" for s in lesson.sizes]
        room = max(20, look.width - 5 - max(map(len, names)))
        meanings = [f"{s.meaning}, from {s.minimum} to {s.maximum}" for s in lesson.sizes]
        yield from table(
            [
                [[look.text(name)], textwrap.wrap(look.text(meaning), room)]
                for name, meaning in zip(names, meanings, strict=True)
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
        (narrow if width_of(*blocks) <= max(room, len(captions[-1])) else wide).append(told)
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
