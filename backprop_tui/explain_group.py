"""Nodes that belong together, in words: a folded group in one step, and two forms of one node."""

from __future__ import annotations

from backprop_tui.engine.agreement import Agreement
from backprop_tui.engine.formula import Segment, Segments, Symbol
from backprop_tui.engine.graph import Group
from backprop_tui.engine.trace import Step, StepKind, Trace
from backprop_tui.explain import Explanation, Line, Notation
from backprop_tui.values import format_number


def explain_group(trace: Trace, group: Group, positions: range) -> Explanation:
    """The steps at `positions`, all of them in one folded group or of leaves that it completed."""
    notation = Notation(trace)
    steps: list[Step] = [trace.steps[position] for position in positions]
    forward = all(step.kind is StepKind.COMPUTE for step in steps)
    label = group.name or group.function
    called = "" if group.function == label else f" by {group.function}"
    if group.loops:
        label += f" ({', '.join(f'{name} = {value}' for name, value in group.loops)})"
    inside = {step.node for step in steps if trace.graph.records[step.node].op is not None}
    count = len(inside)
    operations = f"{count} operation{'s' if count != 1 else ''}"
    what = "computed" if forward else "passed backward"
    title = _words(f"{label} is {what}{called}: {operations}, folded")
    lines = _computed(notation, inside) if forward else _sent(notation, steps, inside)
    return Explanation(title, tuple(lines))


def _words(text: str) -> Segments:
    return (Segment(text, "plain"),)


def _segment(symbol: Symbol) -> Segment:
    return Segment(symbol.text, symbol.role, symbol.ref)


def _computed(notation: Notation, inside: set[int]) -> list[Line]:
    """From which values, and to which."""
    graph = notation.graph
    sources = dict.fromkeys(
        operand
        for index in sorted(inside)
        for operand in graph.records[index].operands
        if operand not in inside and graph.needs_gradient[operand]
    )
    names: list[Segment] = [Segment("from ", "plain")]
    for position, source in enumerate(sources):
        if position:
            names.append(Segment(", ", "plain"))
        names.append(_segment(notation.value(source)))
    lines = [Line("formula", tuple(names))]
    for index in sorted(inside):
        uses = graph.uses[index]
        if index == graph.output or any(edge.source not in inside for edge in uses):
            number = notation.number(graph.records[index].value)
            name = _segment(notation.value(index))
            lines.append(Line("equals", (name, Segment(" = ", "operator"), _segment(number))))
    return lines


def _sent(notation: Notation, steps: list[Step], inside: set[int]) -> list[Line]:
    """What leaves the group along each edge, and what it amounts to at nodes outside of it."""
    lines = []
    for step in steps:
        edge = step.edge
        if edge is None or edge.target in inside or step.contribution is None:
            continue
        sign = " += " if len(notation.trace.arrivals[edge.target]) > 1 else " = "
        lines.append(
            Line(
                "equals",
                (
                    _segment(notation.gradient(edge.target)),
                    Segment(sign, "operator"),
                    _segment(notation.number(step.contribution)),
                    Segment(f"  from {notation.value(edge.source).text}", "plain"),
                ),
            )
        )
    return lines


def agreement_text(name: str, opened: bool, found: Agreement) -> str:
    """What opening or closing a node comes to, in one or two sentences."""
    here, there = found.one_count, found.other_count
    word, than = ("open", "closed") if opened else ("closed", "open")
    operations = f"{here} operation{'s' if here != 1 else ''}"
    sizes = f"{name} is {word}: {operations}, {there} when {than}."
    many = len(found.shared)
    count = f"the values and gradients of {many} node{'s' if many != 1 else ''}"
    if not found.agree:
        wrong = ", ".join(node.id for node in found.shared if not node.agrees)
        return f"{sizes} The two forms differ in {wrong}."
    apart = format_number(found.worst, 2)
    return f"{sizes} Both forms agree on {count}, at most {apart} apart."
