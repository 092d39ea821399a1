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

ARRAY_WIDTH = 13
"""Cells for an array's abbreviation."""

MAX_TITLE = 22


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


def build(trace: Trace, zoom: Zoom) -> GraphModel:
    """Lay out a graph. Constants are not drawn: the operation that uses one names it."""
    graph = trace.graph
    notation = Notation(trace)
    blocks, titles = _blocks(trace)
    repeated = _repeated_leaves(trace, blocks)
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

    links: list[Link] = []
    link_of: dict[tuple[int, int], str] = {}
    targets: dict[str, str] = {}
    for index, record in enumerate(graph.records):
        if record.op is None:
            if index in graph.leaves.values() and index not in repeated:
                add(str(index), index, None, False)
            continue
        add(str(index), index, blocks.get(index), False)
        for slot, operand in enumerate(record.operands):
            if graph[operand].kind is NodeKind.CONSTANT:
                continue
            operand_box = str(operand)
            if operand in repeated:
                operand_box = f"{operand}@{blocks.get(index)}"
                if operand_box not in meaning:
                    add(operand_box, operand, blocks.get(index), True)
            key = f"{index}:{slot}"
            links.append(Link(key, operand_box, str(index), slot))
            link_of[index, slot] = key
            targets[key] = operand_box
    # A box must stand before the links that use it; the order of the input is kept otherwise.
    drawing = lay_out(boxes, links)
    frozen = {index: tuple(ids) for index, ids in boxes_of.items()}
    return GraphModel(drawing, meaning, frozen, link_of, targets, titles, zoom)


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
