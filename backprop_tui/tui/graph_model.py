"""From a recorded graph to the boxes and links of its drawing. Pure: no widgets, no styles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import cast

from backprop_tui.engine.graph import NodeKind
from backprop_tui.engine.operations import Operation, Value
from backprop_tui.engine.trace import Trace
from backprop_tui.explain import Notation
from backprop_tui.tui.graph_layout import Box, Drawing, Link, lay_out
from backprop_tui.values import format_number, format_value


class Zoom(IntEnum):
    """How much a box shows."""

    NAME = 0
    VALUE = 1
    ALL = 2


HEIGHTS = {Zoom.NAME: 1, Zoom.VALUE: 3, Zoom.ALL: 4}
NUMBER_WIDTH = 9
"""Cells for a number in a box: wide enough for any, so that stepping never moves a box."""

ARRAY_WIDTH = 14
"""Cells for an array's abbreviation: a matrix' shape and its first number, `5×3 [-0.025 …]`."""

MAX_TITLE = 26


@dataclass(frozen=True, slots=True)
class BoxNode:
    """What a box stands for."""

    node: int
    name: str
    """The node's name, shortened to fit."""

    operation: str
    """The operation's name, for the title; empty for leaves."""

    leaf: bool
    copy: bool
    """Whether the same leaf is drawn elsewhere too, since many steps use it."""

    inside: tuple[int, ...] = ()
    """For a folded group all its nodes; `node` is then its result."""


@dataclass(frozen=True, slots=True, eq=False)
class GraphModel:
    """A graph's drawing and what its boxes and wires stand for."""

    drawing: Drawing
    boxes: dict[str, BoxNode]
    """By box id."""

    boxes_of: dict[int, tuple[str, ...]]
    """Box ids by node."""

    link_of: dict[tuple[int, int], str]
    """(source node, slot) of an edge → link key."""

    targets: dict[str, str]
    """Link key → the box id of the operand, where a gradient sent along it arrives."""

    block_titles: dict[int, str]
    """Titles of the time steps, by block."""

    zoom: Zoom


def build(trace: Trace, zoom: Zoom, folded: frozenset[str] = frozenset()) -> GraphModel:
    """Lay out a graph. Constants are not drawn: the operation that uses one names it.

    The nodes of a group in `folded` share one box.
    """
    graph = trace.graph
    notation = Notation(trace)
    blocks, titles = _blocks(trace)
    repeated = _repeated_leaves(trace, blocks)
    group_of = _folded_groups(trace, folded)
    members: dict[int, list[int]] = {}
    for index, group in group_of.items():
        members.setdefault(group, []).append(index)
    boxes: list[Box] = []
    meaning: dict[str, BoxNode] = {}
    boxes_of: dict[int, list[str]] = {}

    def add(box_id: str, index: int, block: int | None, copy: bool) -> None:
        node = graph[index]
        leaf = node.kind is NodeKind.LEAF
        name = _shortened(notation.value(index).text)
        operation = "" if leaf or not node.name.named else _operation_text(trace, index)
        meaning[box_id] = BoxNode(index, name, operation, leaf, copy)
        boxes_of.setdefault(index, []).append(box_id)
        width = _width(meaning[box_id], zoom, isinstance(node.value, float))
        boxes.append(Box(box_id, width, HEIGHTS[zoom], block, leaf))

    def add_group(box_id: str, group: int, block: int | None) -> None:
        inside = members[group]
        result = _result(trace, inside)
        name = _shortened(notation.value(result).text)
        operation = f"{graph.groups[group].function} ⊞{len(inside)}"
        meaning[box_id] = BoxNode(result, name, operation, False, False, tuple(inside))
        for index in inside:
            boxes_of.setdefault(index, []).append(box_id)
        width = _width(meaning[box_id], zoom, isinstance(graph[result].value, float))
        boxes.append(Box(box_id, width, HEIGHTS[zoom], block, False))

    links: list[Link] = []
    link_of: dict[tuple[int, int], str] = {}
    targets: dict[str, str] = {}
    ports: dict[str, list[str]] = {}  # for a folded group the boxes that lead into it
    for index, record in enumerate(graph.records):
        if record.op is None:
            if index in graph.leaves.values() and index not in repeated:
                add(str(index), index, None, False)
            continue
        block = blocks.get(index)
        box = _box_id(index, group_of)
        if box not in meaning:
            if index in group_of:
                add_group(box, group_of[index], block)
            else:
                add(box, index, block, False)
        for slot, operand in enumerate(record.operands):
            if graph[operand].kind is NodeKind.CONSTANT:
                continue
            operand_box = _box_id(operand, group_of)
            if operand in repeated:
                operand_box = f"{operand}@{block}"
                if operand_box not in meaning:
                    add(operand_box, operand, block, True)
            if operand_box == box:  # inside of a folded group
                continue
            key, port = f"{index}:{slot}", slot
            if index in group_of:  # a group that uses a value several times gets one wire of it
                into = ports.setdefault(box, [])
                if operand_box not in into:
                    into.append(operand_box)
                port = into.index(operand_box)
                key = f"{box}:{port}"
            link_of[index, slot] = key
            if key not in targets:
                links.append(Link(key, operand_box, box, port))
            targets[key] = operand_box
    # A box must stand before the links that use it; the order of the input is kept otherwise.
    drawing = lay_out(boxes, links)
    frozen = {index: tuple(ids) for index, ids in boxes_of.items()}
    return GraphModel(drawing, meaning, frozen, link_of, targets, titles, zoom)


def _box_id(index: int, group_of: dict[int, int]) -> str:
    return f"group{group_of[index]}" if index in group_of else str(index)


def _folded_groups(trace: Trace, folded: frozenset[str]) -> dict[int, int]:
    """For each node in a folded group the outermost one."""
    if not folded:
        return {}
    outermost: list[int | None] = []
    for group in trace.graph.groups:
        above = outermost[group.parent] if group.parent is not None else None
        here = group.index if group.id in folded else None
        outermost.append(above if above is not None else here)
    found = {}
    for index, group_index in enumerate(trace.graph.group_of):
        if group_index is not None and (whole := outermost[group_index]) is not None:
            found[index] = whole
    return found


def _result(trace: Trace, inside: list[int]) -> int:
    """What a group gives to the rest of the graph: the last of its nodes that is used outside."""
    within = set(inside)
    for index in reversed(inside):
        uses = trace.graph.uses[index]
        if index == trace.graph.output or any(edge.source not in within for edge in uses):
            return index
    return inside[-1]


def _blocks(trace: Trace) -> tuple[dict[int, int], dict[int, str]]:
    """Time steps: nodes computed inside a loop, by the value of its outermost variable."""
    found: dict[tuple[str, object], int] = {}
    blocks: dict[int, int] = {}
    for index, name in enumerate(trace.graph.names):
        if name.loops:
            blocks[index] = found.setdefault(name.loops[0], len(found))
    if len(found) < 2:
        return {}, {}
    return blocks, {block: f"{loop[0]} = {loop[1]}" for loop, block in found.items()}


MANY_STEPS = 3
FEW_LEAVES = 4


def _repeated_leaves(trace: Trace, blocks: dict[int, int]) -> set[int]:
    """Leaves to be drawn once for each time step that uses them.

    In a small graph the real fan-out is drawn, since it shows why gradients add up; in an
    unrolled network it would be a tangle.
    """
    graph = trace.graph
    if len(set(blocks.values())) <= MANY_STEPS and len(graph.leaves) <= FEW_LEAVES:
        return set()
    repeated = set()
    for index in graph.leaves.values():
        used_in = {blocks.get(edge.source) for edge in graph.uses[index]}
        if len(used_in) > 1:
            repeated.add(index)
    return repeated


def _operation_text(trace: Trace, index: int) -> str:
    """`tanh`, or with a constant operand `pow 2`."""
    record = trace.graph.records[index]
    op = cast(type[Operation], record.op)
    constants = [
        format_number(cast(float, trace.graph.records[operand].value))
        for operand in record.operands
        if trace.graph[operand].kind is NodeKind.CONSTANT
        and isinstance(trace.graph.records[operand].value, float)
    ]
    return " ".join([op.name, *constants])


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + "…"


def _width(box: BoxNode, zoom: Zoom, scalar: bool) -> int:
    title = len(box.name) + (1 + len(box.operation) if box.operation else 0)
    if zoom is Zoom.NAME:
        return title + 2
    number = (NUMBER_WIDTH if scalar else ARRAY_WIDTH) + (2 if zoom is Zoom.ALL else 0)
    return max(title + 4, number + 4)


def number_text(value: Value, width: int = NUMBER_WIDTH) -> str:
    """A value in a few cells: a number, or an array's shape and as many of its cells as fit."""
    if not isinstance(value, float):
        return format_value(value, width=width)
    texts = (format_number(value, digits) for digits in (5, 4, 3, 2))
    shortest = format_number(value, 1)[:width]
    return next((text for text in texts if len(text) <= width), shortest)
