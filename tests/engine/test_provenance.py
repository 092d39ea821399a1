"""Names, places and loops from the running code."""

from __future__ import annotations

import importlib.util
import linecache
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_checks import by_hand

from backprop_tui.engine.graph import Graph
from backprop_tui.engine.provenance import Span
from backprop_tui.engine.run import record


def ids(graph: Graph) -> list[str]:
    """The ids of what was computed, in order."""
    return [n.id for n in graph if n.op is not None]


def recorded(program: Callable[..., Any], *leaves: str, **values: Any) -> Graph:
    return record(program, {**dict.fromkeys(leaves, 1.5), **values})


def check_ids(program: Callable[..., Any], expected: list[str], **leaves: Any) -> Graph:
    graph = recorded(program, **(leaves or {"a": 1.5}))
    assert ids(graph) == expected
    everything = [n.id for n in graph]
    assert len(set(everything)) == len(everything)
    assert [n.id for n in recorded(program, **(leaves or {"a": 1.5}))] == everything
    return graph


# ── assignments ───────────────────────────────────────────────────────────────────────────────


def test_a_plain_assignment_names_the_whole_and_parts_take_its_name() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        z = xp.tanh(a * 2 + 1) * a
        return z

    graph = check_ids(program, ["z/mul", "z/add", "z/tanh", "z"])
    z = graph.index_of["z"]
    assert [n.name.part_of for n in graph if n.op] == [z, z, z, None]
    assert [n.name.named for n in graph if n.op] == [False, False, False, True]
    assert [n.name.base for n in graph if n.op] == ["mul", "add", "tanh", "z"]


def test_every_kind_of_assignment() -> None:
    class Box:
        weight: Any

    def program(xp: Any, *, a: Any) -> Any:
        plain = a * 2
        annotated: Any = plain * 3
        one, two = a * 4, a * 5
        [three, (four, five)] = [a * 6, (a * 7, a * 8)]
        first = second = a * 9  # noqa: F841
        box = Box()
        box.weight = a * 10
        table: dict[str, Any] = {}
        table["x"] = a * 11
        if (walrus := a * 12) > 0:
            plain += annotated
        chosen = a * 13 if a > 0 else a * 14
        other = a * 13 if a < 0 else a * 14
        total = one + two + three + four + five + first + box.weight + table["x"]
        return total + walrus + chosen + other + plain

    check_ids(
        program,
        ["plain", "annotated", "one", "two", "three", "four", "five", "first", "weight", "table",
         "walrus", "plain#2", "chosen", "other", *[f"total/add{n}" for n in
         ("", "#2", "#3", "#4", "#5", "#6")], "total",
         *[f"output/add{n}" for n in ("", "#2", "#3")], "output"],
    )  # fmt: skip


def test_the_same_variable_again_gets_a_number() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        h = a * 2
        h = h * 3
        h *= 4
        return h

    check_ids(program, ["h", "h#2", "h#3"])


def test_a_subscripted_place_for_results() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        h: list[Any] = [a, None, None]
        for t in (1, 2):
            h[t] = h[t - 1] * 2
        return h[2]

    check_ids(program, ["h[t=1]", "h[t=2]"])


def test_unused_and_returned_values() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        a * 5
        return xp.sum(a * 2)

    check_ids(program, ["output", "output/mul", "output#2"])


def test_constants_are_named_by_their_numbers() -> None:
    graph = recorded(lambda xp, *, a: a * 2 + 0.5, "a")
    assert [n.id for n in graph if n.op is None] == ["a", "2", "0.5"]


# ── loops ─────────────────────────────────────────────────────────────────────────────────────


def test_nested_loops() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for t in range(2):
            a = a * 2
            for layer in (5, 6):
                h = a * layer
            a = a + h
        return a

    check_ids(
        program,
        ["a[t=0]", "h[t=0,layer=5]", "h[t=0,layer=6]", "a[t=0]#2",
         "a[t=1]", "h[t=1,layer=5]", "h[t=1,layer=6]", "a[t=1]#2"],
    )  # fmt: skip


def test_enumerate_zip_and_words() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for i, (name, factor) in enumerate(zip(["in", "out"], [2.0, 3.0], strict=True)):
            a = a * factor
        del i, name
        return a

    check_ids(program, ["a[i=0,name=in]", "a[i=1,name=out]"])


def test_a_while_loop_has_no_variable() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        b, n = a, 0
        while n < 3:
            b = b * 2
            n += 1
        return b

    check_ids(program, ["b", "b#2", "b#3"])


def test_a_value_on_the_tape_is_no_loop_value() -> None:
    def program(xp: Any, *, x: Any) -> Any:
        total = 0.0
        for row in x:
            total = total + row * 2
        return total

    one = ["total/getitem", "total/mul", "total"]
    check_ids(program, [*one, *(f"{name}#2" for name in one)], x=[1.0, 2.0])


def test_the_else_of_a_loop_is_outside() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for _ in range(1):
            b = a * 2
        else:
            c = b * 3
        return c

    check_ids(program, ["b[_=0]", "c"])


@pytest.mark.parametrize("first", ["x[t % 3]", "xp.tanh(s)", "s.exp()", "-s", "s * 2", "x.T @ x"])
def test_the_step_is_right_when_python_has_specialised_the_code(tmp_path: Path, first: str) -> None:
    """After some turns Python replaces instructions by faster ones, whose offset differs."""
    path = tmp_path / "many.py"
    path.write_text(
        f"""
def program(xp, *, x):
    s = x[0] * 0.01
    for t in range(200):
        u = {first}
        v = x[t % 3] * u
        s = xp.tanh(v) + s * 0.1
    return s
""",
        encoding="utf-8",
    )
    graph = recorded(load(path).program, x=[0.1, 0.2, 0.3])
    for name in ("u", "v", "s"):
        found = [n.name.loops for n in graph if n.name.base == name and n.name.loops]
        assert found == [(("t", t),) for t in range(200)]


@pytest.mark.parametrize("later", [False, True])
def test_branches_in_a_loop_read_the_loops_value_each_time(later: bool) -> None:
    """A name must not carry over the step of an earlier branch."""

    def program(xp: Any, *, a: Any) -> Any:
        b = a
        for t in range(4):
            if t % 2 == 0:
                b = b * 2
            else:
                b = b + 1
            if later:
                c = b * 3
                b = c
        return b

    expected = []
    for t in range(4):
        expected.append(f"b[t={t}]")
        if later:
            expected.append(f"c[t={t}]")
    check_ids(program, expected)


def test_continue_break_and_try_in_a_loop() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for t in range(9):
            if t == 1:
                continue
            try:
                if t == 2:
                    raise ValueError
                a = a * 2
            except ValueError:
                a = a + 1
            if t == 4:
                break
            d = a * 1.5
            a = d
        return a

    check_ids(program, ["a[t=0]", "d[t=0]", "a[t=2]", "d[t=2]", "a[t=3]", "d[t=3]", "a[t=4]"])


def test_conditions_inside_an_expression_in_a_loop() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for t in range(3):
            z = (a * 2 if t == 0 else a + 3) * a if t != 1 else a - 4
            a = z
        return a

    check_ids(program, ["z/mul[t=0]", "z[t=0]", "z[t=1]", "z/add[t=2]", "z[t=2]"])


def test_two_loops_with_the_same_variable() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for t in range(2):
            a = a * 2
        for t in range(2):
            b = a * t
        return b

    check_ids(program, ["a[t=0]", "a[t=1]", "b[t=0]", "b[t=1]"])


def test_a_loop_in_a_recursive_helper() -> None:
    def walk(h: Any, depth: int) -> Any:
        for k in range(2):
            h = h * 2
            if depth:
                h = walk(h, depth - 1)
            h = h + 1
        return h

    def program(xp: Any, *, a: Any) -> Any:
        y = walk(a, 1)
        return y

    graph = recorded(program, "a")
    found = [n.name.loops for n in graph if n.op is not None]
    one = [(("k", 0),), (("k", 1),)]
    expected = []
    for outer in one:
        expected.append(outer)
        for inner in one:
            expected += [outer + inner, outer + inner]
        expected[-1] = outer  # what is returned bears the caller's name, in the caller's turn
        expected.append(outer)
    expected[-1] = ()
    assert found == expected
    assert len(set(ids(graph))) == len(ids(graph))


# ── comprehensions, lambdas, helpers ──────────────────────────────────────────────────────────


def test_comprehensions_are_loops_too() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        parts = [a * n for n in range(2)]
        grid = [[a * (i + j) for j in (3, 4)] for i in (1, 2)]
        total = sum(a * k for k in (7, 8))
        return parts[0] + grid[0][0] + total

    graph = recorded(program, "a")
    loops = [n.name.loops for n in graph if n.op is not None]
    assert loops[:2] == [(("n", 0),), (("n", 1),)]
    assert loops[2:6] == [
        (("i", 1), ("j", 3)), (("i", 1), ("j", 4)), (("i", 2), ("j", 3)), (("i", 2), ("j", 4))
    ]  # fmt: skip
    assert loops[6] == (("k", 7),)


def test_a_comprehension_inside_a_loop_with_the_same_variable() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        for t in range(2):
            parts = [a * t for t in (5, 6)]
            a = parts[0] + parts[1]
        return a

    graph = recorded(program, "a")
    inner = [dict(n.name.loops) for n in graph if n.op is not None and n.op.name == "mul"]
    assert [loop["t"] for loop in inner] == [5, 6, 5, 6]
    assert len(set(ids(graph))) == len(ids(graph))


def test_a_lambda_belongs_to_the_function_around_it() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        double = lambda v: v * 2  # noqa: E731
        for t in range(2):
            a = double(a) + 1
        return a

    check_ids(program, ["a/mul[t=0]", "a[t=0]", "a/mul[t=1]", "a[t=1]"])


def dense(x: Any, w: Any) -> Any:
    z = x * w
    return z + 1


def block(x: Any, w: Any) -> Any:
    h = dense(x, w)
    return dense(h, w)


def test_helper_functions_group_what_they_compute() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        y = dense(a, 2)
        for t in range(2):
            y = block(y, 3)
        return y

    graph = recorded(program, "a")
    scopes = [n.name.scope for n in graph if n.op is not None]
    assert scopes == [("dense",)] * 2 + [("block", "dense")] * 8
    assert ids(graph)[:2] == ["dense/z", "y"]
    assert ids(graph)[2:6] == [
        "block/dense/z[t=0]",
        "block/h[t=0]",
        "block/dense/z[t=0]#2",
        "y[t=0]",
    ]
    assert len(set(ids(graph))) == len(ids(graph))
    places = [n.place for n in graph if n.op is not None]
    assert [c.site.text for c in places[2].callers] == ["block(y, 3)", "dense(x, w)"]


def test_methods_and_objects_with_a_call() -> None:
    class Layer:
        def __init__(self, w: float) -> None:
            self.w = w

        def __call__(self, x: Any) -> Any:
            self.out = x * self.w
            return self.out

    def program(xp: Any, *, a: Any) -> Any:
        layers = [Layer(2.0), Layer(3.0)]
        for i, layer in enumerate(layers):
            a = layer(a)
        del i
        return a

    check_ids(program, ["__call__/out[i=0]", "__call__/out[i=1]"])


class Model:
    """A program may be a method, or an object that can be called."""

    def __call__(self, xp: Any, *, a: Any) -> Any:
        y = dense(a, 2)
        return y

    def forward(self, xp: Any, *, a: Any) -> Any:
        y = dense(a, 2)
        return y


def with_factor(xp: Any, factor: float, *, a: Any) -> Any:
    y = dense(a, factor)
    return y


@pytest.mark.parametrize(
    "program",
    [Model(), Model().forward, partial(with_factor, factor=2.0), partial(Model(), a=1.0)],
    ids=["object", "method", "partial", "partial of object"],
)
def test_programs_that_are_no_plain_functions(program: Any) -> None:
    graph = recorded(program, "a")
    assert ids(graph) == ["dense/z", "y"]


def test_what_a_helper_returns_bears_the_name_that_its_caller_gives_it() -> None:
    def pair(x: Any) -> Any:
        s = x + 1
        p = x * 2
        p = p * 3
        return s, p

    def passed_on(x: Any) -> Any:
        return pair(x)

    def program(xp: Any, *, a: Any) -> Any:
        for t in range(2):
            c, h = pair(a)
            c, q = passed_on(c * h)
            a = c + q
        y = a - 1
        return y

    graph = recorded(program, "a")
    assert ids(graph)[:8] == [
        "c[t=0]", "pair/p[t=0]", "h[t=0]", "c/mul[t=0]",
        "c[t=0]#2", "passed_on/pair/p[t=0]", "q[t=0]", "a[t=0]",
    ]  # fmt: skip
    assert ids(graph)[-1] == "y"
    assert graph[graph.index_of["h[t=0]"]].name.scope == ("pair",)


def test_a_result_that_is_handed_on_bears_the_name_of_the_last_who_gets_it() -> None:
    def inner(x: Any) -> Any:
        p = x * 2
        return p

    def outer(x: Any) -> Any:
        q = inner(x)
        return q

    def changed(x: Any) -> Any:
        q = inner(x)
        q = q + 1
        return q

    def replaced(x: Any) -> Any:
        q = x + 1
        q = inner(q)
        return q

    def program(xp: Any, *, a: Any) -> Any:
        u = outer(a)
        v = changed(u)
        w = replaced(v)
        return w * 2

    assert ids(recorded(program, "a")) == [
        "u", "changed/q", "v", "replaced/q", "w", "output",
    ]  # fmt: skip


def test_each_call_gives_its_result_the_callers_name() -> None:
    def layer(x: Any, w: Any) -> Any:
        z = x * w
        out = z + 1
        return out

    def program(xp: Any, *, a: Any, b: Any) -> Any:
        for factor in (a, b):  # no number, so both calls have the same place
            h = layer(a, factor)
        parts = [layer(h, k) for k in (2, 3)]
        total = parts[0] + parts[1]
        act = lambda v: layer(v, v)  # noqa: E731
        y = act(total)
        return y

    graph = recorded(program, "a", "b")
    assert ids(graph) == [
        "layer/z", "h", "layer/z#2", "h#2",
        "layer/z[k=2]", "layer/out[k=2]", "layer/z[k=3]", "layer/out[k=3]",
        "total", "layer/z#3", "y",
    ]  # fmt: skip
    scopes = [n.name.scope for n in graph if n.op is not None]
    assert scopes == [("layer",)] * 8 + [(), ("layer",), ("layer",)]


def test_a_helpers_result_in_an_expression_keeps_its_own_name() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        y = dense(a, 2) * dense(a, 3)
        return y

    assert ids(recorded(program, "a")) == [
        "dense/z",
        "dense/y/add",
        "dense/z#2",
        "dense/y/add#2",
        "y",
    ]


def test_several_results_are_called_what_they_are_unpacked_into() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        _, high = (a * 2, a * 3)
        y = high * 2
        return y

    assert ids(recorded(program, "a")) == ["_", "high", "y"]


def test_generators_and_higher_order_functions() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        def halves(v: Any) -> Any:
            for k in range(2):
                w = v / 2
                yield w * k

        parts = list(map(lambda v: v + 1, halves(a)))
        return parts[0] * parts[1]

    graph = recorded(program, "a")
    assert len(set(ids(graph))) == len(ids(graph))
    assert ("k", 1) in graph[graph.index_of[ids(graph)[3]]].name.loops


def test_a_generator_is_called_from_where_it_goes_on() -> None:
    def doubled(v: Any) -> Any:
        while True:
            v = v * 2
            yield v

    def program(xp: Any, *, a: Any) -> Any:
        each = doubled(a)
        next(each)
        return next(each)

    graph = recorded(program, "a")
    places = [n.place.callers[0].site.span.line for n in graph if n.op is not None]
    first = program.__code__.co_firstlineno
    assert places == [first + 2, first + 3]


def test_with_match_and_async_blocks_do_not_hide_names() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        kind = "double"
        match kind:
            case "double":
                y = a * 2
            case _:
                y = a
        with pytest.MonkeyPatch.context():
            z = y * 3
        try:
            w = z * 4
        finally:
            v = w * 5
        return v

    check_ids(program, ["y", "z", "w", "v"])


def test_decorated_nested_and_defaulted_functions() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        @staticmethod
        def inner(v: Any, factor: Any = a * 2) -> Any:
            q = v * factor
            return q

        y = inner(a) + 1
        return y

    graph = recorded(program, "a")
    assert "inner/q" in graph.index_of and "y" in graph.index_of


# ── places ────────────────────────────────────────────────────────────────────────────────────


def test_spans_and_text() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        # fmt: off
        π_wert = a * 2 + "äöü€😀".count("ö"); z = π_wert * a  # noqa: E702
        # fmt: on
        return z

    graph = recorded(program, "a")
    line = program.__code__.co_firstlineno + 2
    source = linecache.getline(__file__, line)
    seen = {}
    for n in graph:
        if n.place is not None:
            span = n.place.site.span
            assert span is not None and span.line == span.end_line == line
            assert source[span.column : span.end_column] == n.place.site.text
            seen[n.id] = n.place.site.text
    assert seen == {
        "π_wert/mul": "a * 2",
        "π_wert": 'a * 2 + "äöü€😀".count("ö")',
        "z": "π_wert * a",
    }


def test_an_expression_over_several_lines() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        # fmt: off
        z = (
            a
            * 2
        ) + xp.tanh(
            a
        )
        # fmt: on
        return z

    graph = recorded(program, "a")
    first = program.__code__.co_firstlineno + 1
    place = graph[graph.index_of["z"]].place
    assert place is not None and place.site.span is not None
    assert (place.site.span.line, place.site.span.end_line) == (first + 1, first + 6)
    product = graph[graph.index_of["z/mul"]].place
    assert product is not None
    assert product.site.text == "a * 2"
    assert product.site.span == Span(first + 2, 12, first + 3, 15)


def test_comments_in_an_expression_are_no_part_of_its_text() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        y = xp.tanh(
            a  # the first
            + 1,  # "and" # the second
        )
        return y

    graph = recorded(program, "a")
    place = graph[graph.index_of["y"]].place
    assert place.site.text == "xp.tanh( a + 1, )"


def test_operators_methods_and_indices_all_have_places() -> None:
    def program(xp: Any, *, x: Any) -> Any:
        a = x[0]
        b = -a
        c = x.T
        d = abs(b)
        e = x.sum()
        f = 2 - e
        g = x @ c
        h = xp.stack([a, d])
        i = x.reshape(-1)
        return f + g + h[0] + i[0]

    graph = recorded(program, x=[1.0, 2.0])
    named = [n.id for n in graph if n.name.named and n.op is not None]
    assert named == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "output"]
    texts = [n.place.site.text for n in graph if n.op is not None and n.name.named]
    assert texts[:9] == [
        "x[0]", "-a", "x.T", "abs(b)", "x.sum()", "2 - e", "x @ c", "xp.stack([a, d])",
        "x.reshape(-1)",
    ]  # fmt: skip


# ── other sources ─────────────────────────────────────────────────────────────────────────────

CODE = """
def program(xp, *, a):
    for t in range(2):
        z = a * 2
        a = z + 1
    return a
"""


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_file_given_by_a_user(tmp_path: Path) -> None:
    path = tmp_path / "my lesson ü.py"
    path.write_text(CODE, encoding="utf-8")
    graph = recorded(load(path).program, "a")
    assert ids(graph) == ["z[t=0]", "a[t=0]", "z[t=1]", "a[t=1]"]
    place = graph[graph.index_of["z[t=1]"]].place
    assert place is not None and place.site.filename == str(path)


def test_code_without_source() -> None:
    names: dict[str, Any] = {}
    exec(compile(CODE, "<typed in>", "exec"), names)
    graph = recorded(names["program"], "a")
    assert len(graph) == 7
    assert ids(graph) == ["output", "output#2", "output#3", "output#4"] or len(
        set(ids(graph))
    ) == len(ids(graph))
    assert all(n.place is None or n.place.site.span is None for n in graph)


@pytest.mark.parametrize(
    "after",
    ["", "x = 1\n", "def (:\n", "# ä\n" * 40, CODE.replace("a * 2", "foo"), "\x00", "a = (1\n"],
)
def test_a_source_that_changed_on_disk_does_not_fail(tmp_path: Path, after: str) -> None:
    path = tmp_path / "lesson.py"
    path.write_text(CODE, encoding="utf-8")
    program = load(path).program
    path.write_text(after, encoding="utf-8")
    linecache.checkcache(str(path))
    graph = recorded(program, "a")
    assert graph[graph.output].value == 9.0
    assert len(set(ids(graph))) == len(ids(graph))


def test_a_file_that_is_loaded_again_after_an_edit_has_its_new_names(tmp_path: Path) -> None:
    path = tmp_path / "lesson.py"
    for name in ("first", "second_one"):
        path.write_text(CODE.replace("z", name), encoding="utf-8")
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            program = load(path).program
        finally:
            sys.dont_write_bytecode = before
        assert ids(recorded(program, "a"))[0] == f"{name}[t=0]"


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "gone.py"
    path.write_text(CODE, encoding="utf-8")
    program = load(path).program
    path.unlink()
    linecache.checkcache(str(path))
    assert len(recorded(program, "a")) == 7


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("# -*- coding: latin-1 -*-\n# ü\n".encode("latin-1") + CODE.encode())
    graph = recorded(load(path).program, "a")
    assert "z[t=0]" in graph.index_of


def test_places_can_be_left_out() -> None:
    graph = record(lambda xp, *, a: a * 2, {"a": 1.0}, places=False)
    assert ids(graph) == ["output"]


def test_ids_do_not_depend_on_values_or_sizes() -> None:
    def program(xp: Any, *, a: Any, T: int) -> Any:
        for t in range(1, T + 1):
            z = a * 2
            a = xp.tanh(z)
        return a

    long, short = (record(program, {"a": 1.5}, {"T": T}) for T in (5, 3))
    assert set(n.id for n in short) <= set(n.id for n in long)
    assert [n.id for n in record(program, {"a": math.pi}, {"T": 3})] == [n.id for n in short]


def test_a_leaf_may_be_called_like_a_numbered_variable() -> None:
    def program(xp: Any, **leaves: Any) -> Any:
        h = leaves["h"] * leaves["h#2"]
        return h

    graph = recorded(program, "h", "h#2")
    assert [n.id for n in graph] == ["h", "h#2", "h#3"]


def test_ids_are_unique_whatever_the_names() -> None:
    def program(xp: Any, *, z: Any, add: Any) -> Any:
        for s in ["a", "a#2", "x]#2", "a", "a"]:
            z = z + add
            z = (z + add) * 2
        return z * s.count("a") * 1.0

    graph = recorded(program, "z", "add")
    everything = [n.id for n in graph]
    assert len(set(everything)) == len(everything)
    assert by_hand(program, {"z": 1.0, "add": 2.0}).graph.index_of == graph.index_of
