"""The layout of computation graphs: pictures by exact strings, routes by properties."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backprop_tui.tui.graph_layout import Box, Drawing, Link, lay_out
from backprop_tui.tui.graph_layout.channels import Wire, route_channel

Graph = tuple[list[Box], list[Link]]
Operation = tuple[str, str, int | None]
"""A box's id, its operands' ids with blanks between, and its block."""

UP, RIGHT, DOWN, LEFT = (0, -1), (1, 0), (0, 1), (-1, 0)
SIDES = {
    "╵": {UP}, "╶": {RIGHT}, "╷": {DOWN}, "╴": {LEFT},
    "│": {UP, DOWN}, "─": {LEFT, RIGHT},
    "└": {UP, RIGHT}, "┘": {UP, LEFT}, "┌": {DOWN, RIGHT}, "┐": {DOWN, LEFT},
    "├": {UP, DOWN, RIGHT}, "┤": {UP, DOWN, LEFT}, "┴": {UP, LEFT, RIGHT},
    "┬": {DOWN, LEFT, RIGHT}, "┼": {UP, DOWN, LEFT, RIGHT},
}  # fmt: skip
GLYPHS = {frozenset(sides): glyph for glyph, sides in SIDES.items()}


def graph_of(*operations: Operation, width: int | None = None, height: int = 1) -> Graph:
    """A graph from one line per box, each box as wide as its id in brackets."""
    boxes: list[Box] = []
    links: list[Link] = []
    for name, operands, block in operations:
        names = operands.split()
        boxes.append(Box(name, width or len(name) + 2, height, block, leaf=not names))
        links += [Link(f"{op}→{name}.{slot}", op, name, slot) for slot, op in enumerate(names)]
    return boxes, links


def picture(graph: Graph) -> str:
    """The drawing with every box painted as its id in brackets, framed by line breaks."""
    drawing = lay_out(*graph)
    rows = [list(row) for row in drawing.rows]
    for block in drawing.blocks:
        for i, letter in enumerate(f"t = {block.index}"[: block.width]):
            rows[block.y][block.x + i] = letter
    for name, place in drawing.places.items():
        for y in range(place.y, place.y + place.height):
            rows[y][place.x : place.x + place.width] = f"[{name.center(place.width - 2)}]"
    return "\n" + "\n".join("".join(row).rstrip() for row in rows) + "\n"


def unrolled(steps: int) -> Graph:
    """A recurrent network: per step eight boxes, the parameters repeated at each use."""
    operations: list[Operation] = [("h", "", None)]
    h, loss = "h", ""
    for t in range(steps):
        operations += [
            (f"x{t}", "", t), (f"W{t}", "", t), (f"U{t}", "", t),
            (f"zx{t}", f"x{t} W{t}", t), (f"zh{t}", f"{h} U{t}", t),
            (f"h{t}", f"zx{t} zh{t}", t), (f"y{t}", f"h{t}", t),
            (f"J{t}", f"{loss} y{t}", t),
        ]  # fmt: skip
        h, loss = f"h{t}", f"J{t}"
    return graph_of(*operations, ("L", loss, None))


def random_dag(count: int, seed: int, reach: int) -> Graph:
    """Boxes with up to two operands among the `reach` boxes before."""
    chance = random.Random(seed)
    operations: list[Operation] = [("n0", "", None)]
    for i in range(1, count):
        operands = chance.choices(range(max(0, i - reach), i), k=chance.choice([0, 1, 2, 2]))
        operations.append((f"n{i}", " ".join(f"n{j}" for j in operands), None))
    return graph_of(*operations, width=10, height=3)


# Pictures


def test_nothing_is_an_empty_drawing() -> None:
    drawing = lay_out([], [])
    assert (drawing.width, drawing.height, drawing.rows, drawing.blocks) == (0, 0, (), ())


def test_one_box_stands_alone() -> None:
    drawing = lay_out([Box("x", 5, 3, None)], [])
    assert drawing.places == {"x": (0, 0, 5, 3)}
    assert drawing.rows == (" " * 5,) * 3


def test_a_square_has_two_arrows() -> None:
    graph = graph_of(
        ("x", "", None), ("x·x", "x x", None),
    )  # fmt: skip
    expected = """
 [x]
 ┌┴┐
 ▼ ▼
[x·x]
"""
    assert picture(graph) == expected


def test_a_diamond_branches_and_meets() -> None:
    graph = graph_of(
        ("x", "", None), ("exp", "x", None), ("sin", "x", None),
        ("add", "exp sin", None),
    )  # fmt: skip
    expected = """
    [x]
  ┌──┴───┐
  ▼      ▼
[exp]  [sin]
  └──┐ ┌─┘
     ▼ ▼
    [add]
"""
    assert picture(graph) == expected


def test_operands_enter_by_slot() -> None:
    graph = graph_of(
        ("a", "", None), ("b", "", None), ("p", "b a", None),
        ("q", "a b", None),
        width=7,
    )  # fmt: skip
    expected = """
[  b  ]  [  a  ]
   ├────────│─┐
   │ ┌──────┤ │
   ▼ ▼      ▼ ▼
[  p  ]  [  q  ]
"""
    assert picture(graph) == expected


def test_a_skip_link_passes_beside_the_boxes_and_bridges_a_crossing() -> None:
    graph = graph_of(
        ("a", "", None), ("b", "", None), ("mul", "a b", None),
        ("exp", "mul", None), ("add", "exp a", None),
    )  # fmt: skip
    expected = """
   [a]  [b]
 ┌──┴─┐  │
 │ ┌──│──┘
 ▼ ▼  │
[mul] │
  ▼   │
[exp] │
  └┐ ┌┘
   ▼ ▼
  [add]
"""
    assert picture(graph) == expected


def test_a_short_box_has_its_wire_led_past_a_tall_one() -> None:
    boxes = [Box("a", 3, 1, None, True), Box("b", 3, 3, None, True), Box("c", 9, 1, None)]
    links = [Link("ac", "a", "c", 0), Link("bc", "b", "c", 1)]
    expected = """
[a]  [b]
 │   [b]
 │   [b]
 ▼    ▼
[   c   ]
"""
    assert picture((boxes, links)) == expected


def test_a_shared_weight_fans_out() -> None:
    graph = graph_of(
        ("h0", "", None), ("w_h", "", None), ("z1", "w_h h0", None),
        ("h1", "z1", None), ("z2", "w_h h1", None), ("h2", "z2", None),
        ("w_y", "", None), ("y", "w_y h2", None),
        width=6,
    )  # fmt: skip
    expected = """
      [w_h ]  [ h0 ]
        ┌┴─┐  ┌──┘
        │  ▼  ▼
        │ [ z1 ]
        │    ▼
        │ [ h1 ]
        └┐  ┌┘
         ▼  ▼
        [ z2 ]
           ▼
[w_y ]  [ h2 ]
   └───┐  ┌┘
       ▼  ▼
      [ y  ]
"""
    assert picture(graph) == expected


def test_time_steps_stand_side_by_side() -> None:
    graph = graph_of(
        ("h0", "", None), ("w_h", "", None), ("z1", "w_h h0", 1),
        ("h1", "z1", 1), ("z2", "w_h h1", 2), ("h2", "z2", 2),
        ("w_y", "", None), ("y", "w_y h2", None),
        width=6,
    )  # fmt: skip
    expected = """
t = 1             t = 2
[w_h ]  [ h0 ]
   └┬──────│───────┐
    │  ┌───┘   ┌───│──┐
    ▼  ▼       │   ▼  ▼
   [ z1 ]      │  [ z2 ]
      ▼        │     ▼
   [ h1 ]      │  [ h2 ]
      └────────┘     │
                     │
              [w_y ] │
                 └┐  │
                  ▼  ▼
                 [ y  ]
"""
    assert picture(graph) == expected


def test_what_the_blocks_share_stands_above_them() -> None:
    graph = graph_of(
        ("W", "", None), ("Wt", "W", None), ("x0", "", 0),
        ("z0", "x0 Wt", 0), ("x1", "", 1), ("z1", "x1 Wt", 1),
        ("L", "z0 z1 W", None),
    )  # fmt: skip
    expected = """
              [W]
           ┌───┴─┐
           ▼     │
         [Wt]    │
t = 0     t = 1  │
     ┌─────┴───┐ │
     │         │ │
[x0] │    [x1] │ │
  ▼  ▼      ▼  ▼ │
  [z0]      [z1] │
    └─────┐ ┌─┘  │
          │ │ ┌──┘
          ▼ ▼ ▼
          [ L ]
"""
    assert picture(graph) == expected


def test_an_unrolled_network_repeats_its_block() -> None:
    expected = """
t = 0                     t = 1                t = 2
[x0]  [W0]  [h]  [U0]     [x1]  [W1]  [U1]     [x2]  [W2]  [U2]
  └───┐ │    │ ┌───┘        └─┐ ┌─┘    ┌┘        └─┐ ┌─┘    ┌┘
      │ │    │ │      ┌───────│─│────┐ │   ┌───────│─│────┐ │
      ▼ ▼    ▼ ▼      │       ▼ ▼    ▼ ▼   │       ▼ ▼    ▼ ▼
     [zx0]  [zh0]     │      [zx1]  [zh1]  │      [zx2]  [zh2]
       └──┐ ┌─┘       │        └──┐ ┌─┘    │        └──┐ ┌─┘
          ▼ ▼         │           ▼ ▼      │           ▼ ▼
         [h0]         │          [h1]      │          [h2]
           ├──────────┘            ├───────┘            │
           ▼                       ▼                    ▼
         [y0]                    [y1]                 [y2]
           │            ┌────────┐ │         ┌────────┐ │
           ▼            │        ▼ ▼         │        ▼ ▼
         [J0]           │       [J1]         │       [J2]
           └────────────┘         └──────────┘         │
                                                       ▼
                                                      [L]
"""
    assert picture(unrolled(3)) == expected


def test_wires_that_must_each_run_above_the_other_take_a_dogleg() -> None:
    there, back = Wire(tops=[0], bottoms=[4]), Wire(tops=[4], bottoms=[0])
    assert route_channel([there, back]) == 3
    assert there.dogleg == 2
    assert there.upper_track < back.upper_track == back.lower_track < there.lower_track


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (Wire(tops=[4], bottoms=[8]), Wire(tops=[0], bottoms=[4])),
        (Wire(tops=[4], bottoms=[0]), Wire(tops=[8], bottoms=[4])),
        (Wire(tops=[2, 5], bottoms=[9]), Wire(tops=[0], bottoms=[5])),
    ],
)
def test_a_wire_to_above_runs_above_one_to_below_in_its_column(upper: Wire, lower: Wire) -> None:
    assert route_channel([lower, upper]) == 2
    assert (upper.upper_track, lower.upper_track) == (0, 1)


def test_wires_share_a_track_only_with_a_cell_between() -> None:
    def tracks(second: int) -> int:
        return route_channel([Wire([0], [3]), Wire([second], [9])])

    assert tracks(4) == 2
    assert tracks(5) == 1


# Properties


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any directed acyclic graph: multi-edges, skip links, blocks in any order, odd sizes."""
    count = draw(st.integers(1, 14))
    sizes = st.tuples(st.integers(1, 11), st.integers(1, 4))
    blocks = draw(st.sampled_from([st.none(), st.one_of(st.none(), st.integers(0, 3))]))
    boxes: list[Box] = []
    links: list[Link] = []
    for i in range(count):
        earlier = st.integers(0, i - 1) if i else st.nothing()
        operands = draw(st.lists(earlier, max_size=3)) if i else []
        width, height = draw(sizes)
        leaf = not operands and draw(st.booleans())
        boxes.append(Box(f"n{i}", width, height, draw(blocks), leaf))
        links += [Link(f"{i}.{s}", f"n{j}", f"n{i}", s) for s, j in enumerate(operands)]
    return draw(st.permutations(boxes)), draw(st.permutations(links))


RECURRENT: Graph = unrolled(4)
SHARED: Graph = graph_of(
    ("w", "", None), ("v", "w", None), ("a", "v", 0), ("b", "a w", 0), ("c", "v b", 1),
    ("d", "c a", 1), ("e", "v a", 2), ("f", "d e b w", None), ("g", "f v a", None),
)  # fmt: skip
BACKWARD: Graph = graph_of(
    ("a", "", 3), ("b", "a", 3), ("c", "b a", 1), ("d", "c b", 2), ("e", "d a c", 0),
)  # fmt: skip

TIGHT: Graph = (
    [
        *(Box(f"n{i}", 1, 1, None) for i in range(8)),
        Box("a", 1, 1, 0), Box("b", 1, 1, None), Box("c", 1, 1, 0), Box("d", 1, 1, None),
    ],
    [Link("bc", "b", "c", 0), Link("bd", "b", "d", 0), Link("ad", "a", "d", 1)],
)  # fmt: skip


def check_boxes(graph: Graph, drawing: Drawing) -> None:
    """Every box has its place, within the drawing and clear of the others."""
    taken: Counter[tuple[int, int]] = Counter()
    assert set(drawing.places) == {box.id for box in graph[0]}
    for box in graph[0]:
        place = drawing.places[box.id]
        assert place.width >= box.width
        assert place.height == box.height
        assert 0 <= place.x <= drawing.width - place.width
        assert 0 <= place.y <= drawing.height - place.height
        taken.update(
            (x, y)
            for x in range(place.x, place.x + place.width + 1)
            for y in range(place.y, place.y + place.height)
        )
    assert max(taken.values()) == 1, "two boxes overlap or touch"


def check_routes(graph: Graph, drawing: Drawing) -> None:
    """Every link leads from cell to cell, from below its source to above its target."""
    boxes = [
        (place.x, place.y, place.x + place.width, place.y + place.height)
        for place in drawing.places.values()
    ]
    assert set(drawing.routes) == {link.key for link in graph[1]}
    for link in graph[1]:
        route = drawing.routes[link.key]
        source, target = drawing.places[link.source], drawing.places[link.target]
        assert route[0][1] == source.y + source.height
        assert source.x <= route[0][0] < source.x + source.width
        assert route[-1][1] == target.y - 1
        assert target.x <= route[-1][0] < target.x + target.width
        assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in pairwise(route))
        assert len(set(route)) == len(route), "a route meets itself"
        for x, y in route:
            assert not any(left <= x < right and top <= y < end for left, top, right, end in boxes)


def check_ports(graph: Graph, drawing: Drawing) -> None:
    """Arrow heads stand apart, in the order of the slots; a box's links leave by one port."""
    for box in graph[0]:
        entering = sorted((link for link in graph[1] if link.target == box.id), key=by_slot)
        columns = [drawing.routes[link.key][-1][0] for link in entering]
        assert all(b - a >= 2 for a, b in pairwise(columns))
        leaving = [link for link in graph[1] if link.source == box.id]
        assert len({drawing.routes[link.key][0] for link in leaving}) <= 1


def by_slot(link: Link) -> int:
    return link.slot


def check_rows(graph: Graph, drawing: Drawing) -> None:
    """The text is what the routes say: nothing more, nothing less, crossings as bridges."""
    nets: dict[str, dict[tuple[int, int], set[tuple[int, int]]]] = {}
    heads: set[tuple[int, int]] = set()
    for link in graph[1]:
        route = drawing.routes[link.key]
        net = nets.setdefault(link.source, {})
        net.setdefault(route[0], set()).add(UP)
        for (x0, y0), (x1, y1) in pairwise(route):
            step = (x1 - x0, y1 - y0)
            net.setdefault((x0, y0), set()).add(step)
            net.setdefault((x1, y1), set()).add((-step[0], -step[1]))
        heads.add(route[-1])
    cells: dict[tuple[int, int], list[set[tuple[int, int]]]] = {}
    for net in nets.values():
        joints = sum(map(len, net.values())) - 1
        assert joints == 2 * (len(net) - 1), "a net is a tree"
        for cell, sides in net.items():
            cells.setdefault(cell, []).append(sides)
    expected = [[" "] * drawing.width for _ in range(drawing.height)]
    for (x, y), wires in cells.items():
        if (x, y) in heads:
            assert wires == [{UP}]
            expected[y][x] = "▼"
        elif len(wires) == 1:
            expected[y][x] = GLYPHS[frozenset(wires[0])]
        else:
            assert sorted(wires, key=min) == [{LEFT, RIGHT}, {UP, DOWN}]
            expected[y][x] = "│"
    assert list(drawing.rows) == ["".join(row) for row in expected]


def check_owners(drawing: Drawing) -> None:
    """Every drawn cell belongs to a link that passes it, at a crossing to the vertical one."""
    drawn = {
        (x, y) for y, row in enumerate(drawing.rows) for x, ink in enumerate(row) if ink != " "
    }
    assert set(drawing.owners) == drawn
    assert len(drawing.owners) == len(drawn)
    for (x, y), key in drawing.owners.items():
        route = drawing.routes[key]
        at = route.index((x, y))
        if drawing.rows[y][x] == "│":
            assert all(column == x for column, _ in route[max(at - 1, 0) : at + 2])
    assert drawing.owners.get((-1, 0)) is None


def check_blocks(graph: Graph, drawing: Drawing) -> None:
    """Blocks stand apart from left to right, around their boxes, below a row for the title."""
    assert [block.index for block in drawing.blocks] == sorted(
        {box.block for box in graph[0] if box.block is not None}
    )
    for one, other in pairwise(drawing.blocks):
        assert one.x + one.width < other.x
        assert (one.y, one.height) == (other.y, other.height)
    blocks = {block.index: block for block in drawing.blocks}
    for box in graph[0]:
        if box.block is not None:
            block, place = blocks[box.block], drawing.places[box.id]
            assert block.x <= place.x
            assert place.x + place.width <= block.x + block.width
            assert block.y < place.y
            assert place.y + place.height <= block.y + block.height


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
@example(RECURRENT)
@example(SHARED)
@example(BACKWARD)
@example(TIGHT)
def test_every_drawing_is_true(graph: Graph) -> None:
    drawing = lay_out(*graph)
    check_boxes(graph, drawing)
    check_routes(graph, drawing)
    check_ports(graph, drawing)
    check_rows(graph, drawing)
    check_owners(drawing)
    check_blocks(graph, drawing)


@pytest.mark.parametrize("reach", [5, 60])
def test_a_larger_drawing_is_true(reach: int) -> None:
    graph = random_dag(60, seed=1, reach=reach)
    drawing = lay_out(*graph)
    check_boxes(graph, drawing)
    check_routes(graph, drawing)
    check_ports(graph, drawing)
    check_rows(graph, drawing)
    check_owners(drawing)


def test_the_same_graph_is_drawn_the_same() -> None:
    one, other = (lay_out(*random_dag(60, seed=2, reach=20)) for _ in range(2))
    assert one.rows == other.rows
    assert one.places == other.places
    assert dict(one.owners) == dict(other.owners)


def test_equal_steps_look_equal() -> None:
    drawing = lay_out(*unrolled(50))
    shapes = [
        [
            (place.x - block.x, place.y)
            for name, place in drawing.places.items()
            if name.strip("xWUzhyJ") == str(block.index)
        ]
        for block in drawing.blocks[10:]
    ]
    assert all(len(shape) == 8 for shape in shapes)
    assert all(shape == shapes[0] for shape in shapes)


def test_corners_are_cells_of_the_route() -> None:
    drawing = lay_out(*unrolled(3))
    for key, route in drawing.routes.items():
        corners = drawing.routes.corners(key)
        assert (corners[0], corners[-1]) == (route[0], route[-1])
        assert set(corners) <= set(route)


@pytest.mark.parametrize(
    ("boxes", "links", "complaint"),
    [
        (["a", "a"], [], "same id"),
        (["a", "b"], [("k", "a", "b"), ("k", "a", "b")], "same key"),
        (["a"], [("k", "a", "b")], "'b'"),
        (["a", "b"], [("k", "a", "b"), ("l", "b", "a")], "cycle"),
        (["a"], [("k", "a", "a")], "cycle"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    boxes: list[str], links: list[tuple[str, str, str]], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        lay_out(
            [Box(name, 3, 1, None) for name in boxes],
            [Link(key, source, target, 0) for key, source, target in links],
        )


def test_an_empty_box_is_refused() -> None:
    with pytest.raises(ValueError, match="0×1"):
        lay_out([Box("a", 0, 1, None)], [])


def test_a_long_chain_needs_no_recursion() -> None:
    names = [f"n{i}" for i in range(3000)]
    links = [Link(b, a, b, 0) for a, b in pairwise(names)]
    drawing = lay_out([Box(name, 7, 1, None) for name in names], links)
    assert drawing.width == 7
    assert drawing.height == 2 * len(names) - 1
