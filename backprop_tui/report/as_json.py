"""`list` and `show` for programs, as docs/json.md describes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backprop_tui.engine.graph import Edge, Node
from backprop_tui.engine.operations import Value
from backprop_tui.engine.trace import Step
from backprop_tui.explain import Notation, explain
from backprop_tui.lessons import number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.report.findings import Findings, GradientRow
from backprop_tui.report.script import script_json
from backprop_tui.session import Session
from backprop_tui.values import to_json

JSON_VERSION = 1
"""Rises only when a program that reads our JSON must change; new fields alone don't raise it."""


def list_json(lessons: Sequence[Lesson]) -> list[dict[str, Any]]:
    """The lessons as a JSON array."""
    return [
        {
            "id": lesson.id,
            "title": lesson.title,
            "chapter": lesson.chapter,
            "number": number_of(lesson),
            "after": list(lesson.after),
            "minutes": lesson.minutes,
            "questions": len(lesson.questions),
            "leaves": len(lesson.leaves),
            "sizes": [size.name for size in lesson.sizes],
        }
        for lesson in lessons
    ]


def _about_json(lesson: Lesson) -> dict[str, Any]:
    """What a lesson says about itself."""
    return {
        "title": lesson.title,
        "chapter": lesson.chapter,
        "number": number_of(lesson),
        "after": list(lesson.after),
        "minutes": lesson.minutes,
        "idea": lesson.idea,
        "mistake": lesson.mistake,
        "questions": [{"asks": one.asks, "answer": one.answer} for one in lesson.questions],
        "references": list(lesson.references),
    }


def show_json(found: Findings) -> dict[str, Any]:
    """Everything about a lesson's run, as docs/json.md describes it."""
    session = found.session
    graph, notation = session.trace.graph, Notation(session.trace)
    output = graph[graph.output]
    return {
        "version": JSON_VERSION,
        "lesson": session.lesson.id,
        "about": _about_json(session.lesson),
        "sizes": dict(session.inputs.sizes),
        "leaves": {name: to_json(value) for name, value in session.inputs.leaves.items()},
        "output": {"name": output.id, "value": to_json(output.value)},
        "nodes": [_node_json(node, found, notation) for node in graph],
        "steps": [_step_json(session, position) for position in range(len(session.trace.steps))],
        "gradients": {graph.names[row.node].id: _gradient_json(row) for row in found.leaf_rows},
        **_script_json(session.lesson, found),
        "agree": found.agree,
    }


def _script_json(lesson: Lesson, found: Findings) -> dict[str, Any]:
    return {} if lesson.script is None else {"script": script_json(lesson.script, found.script_run)}


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
