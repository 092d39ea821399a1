"""From a recorded graph to boxes and links."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.graph import NodeKind
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.session import Session
from backprop_tui.tui.graph_model import (
    ARRAY_WIDTH,
    HEIGHTS,
    MAX_TITLE,
    NUMBER_WIDTH,
    GraphModel,
    Zoom,
    build,
    number_text,
)


def longest(lesson: Lesson) -> int:
    """How many time steps a lesson may have; 0 if there are none to choose."""
    return next((size.maximum for size in lesson.sizes if size.name == "T"), 0)


EVERY = [
    (lesson.id, sizes)
    for lesson in catalogue()
    for sizes in [{}, *({"T": T} for T in (1, 3, 6) if T <= longest(lesson))]
]


def model_of(lesson_id: str, zoom: Zoom = Zoom.ALL, **sizes: int) -> tuple[Trace, GraphModel]:
    trace = Session(find_lesson(lesson_id), sizes=sizes).trace
    return trace, build(trace, zoom)


def names(model: GraphModel) -> list[str]:
    return [box.name for box in model.boxes.values()]


# ── what is drawn ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zoom", list(Zoom))
@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_every_node_is_drawn_but_constants_and_every_use_but_theirs(
    lesson_id: str, sizes: dict[str, int], zoom: Zoom
) -> None:
    trace, model = model_of(lesson_id, zoom, **sizes)
    graph = trace.graph
    drawn = {node.index for node in graph if node.kind is not NodeKind.CONSTANT}
    assert set(model.boxes_of) == drawn
    uses = {(edge.source, edge.slot) for node in drawn for edge in graph.uses[node]}
    assert set(model.link_of) == uses
    assert set(model.drawing.places) == set(model.boxes)
    assert set(model.drawing.routes) == set(model.link_of.values())
    for (source, slot), key in model.link_of.items():
        operand_box = model.boxes[model.targets[key]]
        assert operand_box.node == graph.records[source].operands[slot]


@pytest.mark.parametrize("zoom", list(Zoom))
@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_wires_go_from_the_operand_to_the_box_that_uses_it(
    lesson_id: str, sizes: dict[str, int], zoom: Zoom
) -> None:
    _, model = model_of(lesson_id, zoom, **sizes)
    for (source, _), key in model.link_of.items():
        route = model.drawing.routes[key]
        above, below = (model.drawing.places[b] for b in (model.targets[key], str(source)))
        (x0, y0), (x1, y1) = route[0], route[-1]
        assert y0 == above.y + above.height and above.x <= x0 < above.x + above.width
        assert y1 == below.y - 1 and below.x <= x1 < below.x + below.width
        for (xa, ya), (xb, yb) in itertools.pairwise(route):
            assert abs(xa - xb) + abs(ya - yb) == 1


def test_a_constant_is_named_by_the_operation_that_uses_it() -> None:
    _, model = model_of("square")
    assert [(box.name, box.operation) for box in model.boxes.values()] == [
        ("x", ""),
        ("y", "pow 2"),
    ]


def test_a_part_without_a_name_is_its_own_title() -> None:
    _, model = model_of("rnn")
    parts = [box for box in model.boxes.values() if box.name == "W_xᵀ"]
    assert len(parts) == 2
    assert all(box.operation == "" for box in parts)


def test_long_names_are_shortened() -> None:
    def program(xp: Any, a_rather_long_name_for_one_leaf: Any) -> Any:
        another_long_name_that_it_has = a_rather_long_name_for_one_leaf * 2.0
        return another_long_name_that_it_has

    model = build(backward(record(program, {"a_rather_long_name_for_one_leaf": 1.0})), Zoom.ALL)
    assert names(model) == ["a_rather_long_name_for_on…", "another_long_name_that_it…"]
    assert all(len(name) == MAX_TITLE for name in names(model))


# ── one weight, many steps ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lesson_id", ["recursion", "tanh-recursion"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_in_a_small_graph_the_fan_out_is_drawn(lesson_id: str, steps: int) -> None:
    trace, model = model_of(lesson_id, T=steps)
    w_h = trace.graph.index_of["w_h"]
    assert len(model.boxes_of[w_h]) == 1
    assert not any(box.copy for box in model.boxes.values())
    ends = [key for key, box in model.targets.items() if model.boxes[box].node == w_h]
    assert len(ends) == steps


@pytest.mark.parametrize("steps", [2, 5])
def test_in_an_unrolled_network_a_weight_is_drawn_in_each_step(steps: int) -> None:
    trace, model = model_of("rnn", T=steps)
    for leaf in ("W_x", "b_x", "W_h", "b_h", "W_y", "b_y", "x", "y"):
        boxes = model.boxes_of[trace.graph.index_of[leaf]]
        assert len(boxes) == len(set(boxes)) == steps, leaf
        assert all(model.boxes[box].copy and model.boxes[box].leaf for box in boxes)
    (h0,) = model.boxes_of[trace.graph.index_of["h0"]]  # used in the first step only
    assert not model.boxes[h0].copy


def test_a_copy_stands_in_the_block_of_its_step() -> None:
    trace, model = model_of("rnn", T=3)
    blocks = {block.index: block for block in model.drawing.blocks}
    for box_id in model.boxes_of[trace.graph.index_of["W_h"]]:
        place = model.drawing.places[box_id]
        block = blocks[int(box_id.split("@")[1])]
        assert block.x <= place.x and place.x + place.width <= block.x + block.width


def test_the_time_steps_have_titles_from_left_to_right() -> None:
    _, model = model_of("rnn", T=3)
    in_order = [
        model.block_titles[b.index] for b in sorted(model.drawing.blocks, key=lambda b: b.x)
    ]
    assert in_order == ["t = 1", "t = 2", "t = 3"]


def test_a_single_step_is_no_block() -> None:
    _, model = model_of("rnn", T=1)
    assert model.block_titles == {}
    assert model.drawing.blocks == ()


# ── widths ────────────────────────────────────────────────────────────────────────────────────

EXTREME = [
    -1.2346e-300, 1.2346e300, -1.7976931348623157e308, 5e-324, -5e-324, -0.0001234567,
    -123456.789, -99999.99, -9999999.0, float("inf"), float("-inf"), float("nan"), 0.0, -0.0,
]  # fmt: skip


def check_number(number: float) -> None:
    text = number_text(number)
    assert len(text) <= NUMBER_WIDTH
    if np.isfinite(number) and abs(number) >= 2.2250738585072014e-308:
        assert float(text) == pytest.approx(number, rel=0.06, abs=0)
    elif not np.isfinite(number):
        assert str(float(text)) == str(number)


@pytest.mark.parametrize("number", EXTREME)
def test_any_extreme_number_fits_a_box(number: float) -> None:
    check_number(number)


@given(st.floats())
def test_any_number_fits_a_box_and_is_not_cut(number: float) -> None:
    check_number(number)


@given(st.lists(st.floats(), min_size=1, max_size=6), st.integers(8, 40))
def test_any_vector_fits_its_cells(numbers: list[float], width: int) -> None:
    assert len(number_text(np.array(numbers), width)) <= width


@pytest.mark.parametrize("number", [-1.2346e-300, float("nan"), -123456.789])
@pytest.mark.parametrize("zoom", [Zoom.VALUE, Zoom.ALL])
@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_boxes_do_not_depend_on_the_numbers(
    lesson_id: str, sizes: dict[str, int], zoom: Zoom, number: float
) -> None:
    session = Session(find_lesson(lesson_id), sizes=sizes)
    before = build(session.trace, zoom).drawing.places
    for name, value in session.inputs.leaves.items():
        session.set_leaf(name, number if isinstance(value, float) else np.full_like(value, number))
    after = build(session.trace, zoom)
    assert after.drawing.places == before
    for box_id, place in after.drawing.places.items():
        box = after.boxes[box_id]
        value = session.trace.graph[box.node].value
        room = NUMBER_WIDTH if isinstance(value, float) else ARRAY_WIDTH
        assert place.width - 4 - (2 if zoom is Zoom.ALL else 0) >= room
        title = len(box.name) + (1 + len(box.operation) if box.operation else 0)
        assert place.width >= title + 4


@pytest.mark.parametrize("lesson_id", ["linear", "rnn"])
def test_each_zoom_level_has_its_height(lesson_id: str) -> None:
    heights = []
    for zoom in Zoom:
        _, model = model_of(lesson_id, zoom)
        assert {place.height for place in model.drawing.places.values()} == {HEIGHTS[zoom]}
        assert model.zoom is zoom
        heights.append(model.drawing.height)
    assert heights == sorted(set(heights))


# ── programs without names ────────────────────────────────────────────────────────────────────


def test_a_long_chain_without_names_is_built_without_recursion_or_explosion() -> None:
    space: dict[str, Any] = {}
    exec("def program(xp, x):\n    for _ in range(300): x = x * x\n    return x\n", space)
    model = build(backward(record(space["program"], {"x": 1.0})), Zoom.ALL)
    assert len(model.boxes) == 301
    assert all(len(name) <= MAX_TITLE for name in names(model))


# ── folded groups ─────────────────────────────────────────────────────────────────────────────


def dense(x: Any, w: Any) -> Any:
    z = x * w
    p = z * x
    return p


def folding(xp: Any, *, x: Any, w: Any, v: Any) -> Any:
    h = dense(x, w)
    q = h + x
    y = dense(q, v)
    L = y * h
    return L


def test_a_folded_group_is_one_box_with_one_wire_for_each_value_that_it_uses() -> None:
    trace = backward(record(folding, {"x": 0.5, "w": 1.5, "v": -0.7}))
    model = build(trace, Zoom.ALL, frozenset({"h", "y"}))
    assert names(model) == ["x", "w", "v", "h", "q", "y", "L"]
    group = next(box for box in model.boxes.values() if box.name == "h")
    graph = trace.graph
    inside = (graph.index_of["dense/z"], graph.index_of["h"])
    assert group.inside == inside
    assert group.node == graph.index_of["h"]
    assert group.operation == "dense ⊞2"
    box = model.boxes_of[inside[0]]
    assert box == model.boxes_of[inside[1]]
    # x is used twice inside: one wire; z → h is inside: none.
    into = [key for key in model.targets if key.startswith(f"{box[0]}:")]
    assert sorted(model.boxes[model.targets[key]].name for key in into) == ["w", "x"]
    assert (inside[1], 0) not in model.link_of
    assert model.link_of[inside[0], 0] == model.link_of[inside[1], 1]
    # What uses the group hangs on its box.
    used = model.link_of[graph.index_of["q"], 0]
    assert model.targets[used] == box[0]
    assert set(model.drawing.routes) == set(model.link_of.values())


def test_of_nested_folded_groups_the_outermost_is_drawn() -> None:
    def outer(x: Any, w: Any) -> Any:
        return dense(x, w) + 1.0

    def program(xp: Any, *, x: Any, w: Any) -> Any:
        y = outer(x, w)
        return y * 2.0

    trace = backward(record(program, {"x": 0.5, "w": 1.5}))
    assert names(build(trace, Zoom.NAME, frozenset({"y", "y/dense"}))) == ["x", "w", "y", "output"]
    inner = build(trace, Zoom.NAME, frozenset({"y/dense"}))
    assert [b.operation for b in inner.boxes.values()] == ["", "", "dense ⊞2", "add 1", "mul 2"]


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_every_lesson_can_be_folded_whole(lesson: Lesson) -> None:
    session = Session(lesson)
    groups = frozenset(group.id for group in session.trace.graph.groups)
    model = build(session.trace, Zoom.ALL, groups)
    outermost = sum(group.parent is None for group in session.trace.graph.groups)
    assert sum(bool(box.inside) for box in model.boxes.values()) == outermost
    drawn = {n.index for n in session.trace.graph if n.kind is not NodeKind.CONSTANT}
    assert set(model.boxes_of) == drawn
