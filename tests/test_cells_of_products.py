"""The terms of a cell for products of any rank, copies, pieces and windows."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from engine_checks import value, weighted
from product_and_window_cases import MORE_MAKERS

from backprop_tui.cells import CellTerms, Part, cell_terms, value_terms
from backprop_tui.engine.formula import as_text
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from tests.test_cells import assert_adds_up, cells, run, texts

CASES = [(op, name) for op, makers in MORE_MAKERS.items() for name in makers]


def random_trace(op: Any, name: str, seed: int) -> Trace:
    rng = np.random.default_rng(seed)
    program, leaves = weighted(*MORE_MAKERS[op][name](rng), rng)
    return backward(record(program, {k: value(v) for k, v in leaves.items()}))


@pytest.mark.parametrize(("op", "name"), CASES, ids=lambda x: getattr(x, "__name__", x))
@pytest.mark.parametrize("seed", range(4))
def test_the_terms_add_up(op: Any, name: str, seed: int) -> None:
    assert_adds_up(random_trace(op, name, seed))


# ── rules: a sum in general stands for exactly its terms ──────────────────────────────────────


def brackets(text: str) -> list[str]:
    """All that stands in square brackets."""
    return re.findall(r"\[([^\]]*)\]", text)


def index(text: str, known: dict[str, int]) -> int:
    """`2k+1` for a k."""
    plain = re.sub(r"(\d)([a-z])", r"\1*\2", text.replace("−", "-"))
    return int(eval(plain, {"__builtins__": {}}, dict(known)))


def stands_for(part: Part) -> None:
    """For each term there are numbers that make the rule that term, different ones each."""
    rule = as_text(part.rule)
    letters = sorted(set(re.findall(r"(?<![A-Za-z])[klmn](?![A-Za-z])", " ".join(brackets(rule)))))
    body = [tuple(index_text.split(",")) for index_text in brackets(rule)]
    found: set[tuple[tuple[int, ...], ...]] = set()
    for numbers in product(range(7), repeat=len(letters)):
        known = dict(zip(letters, numbers, strict=True))
        found.add(tuple(tuple(index(i, known) for i in one) for one in body))
    shown = [
        tuple(tuple(map(int, one.split(","))) for one in brackets(as_text(term.symbols)))
        for term in part.terms
    ]
    assert shown
    assert len(set(shown)) == len(shown)
    bias = len(body) == 3  # value + bias: the last term is the bias alone
    for one in shown[:-1] if bias else shown:
        assert any(other[: len(one)] == one for other in found), (rule, one)


@pytest.mark.parametrize(
    ("op", "name"),
    [
        case
        for case in CASES
        if case[0].__name__.startswith(("Conv", "Linear", "Batched", "Vector"))
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_rule_stands_for_its_terms(op: Any, name: str) -> None:
    checked = 0
    for seed in range(6):
        trace = random_trace(op, name, seed)
        for node in trace.graph:
            for cell in cells(node.value):
                for found in (cell_terms(trace, node.index, cell),
                              value_terms(trace, node.index, cell)):  # fmt: skip
                    for part in found.parts:
                        source = node if part.edge is None else trace.graph[part.edge.source]
                        if part.rule and source.op is op:
                            stands_for(part)
                            checked += 1
    assert checked > 10


# ── exact words ───────────────────────────────────────────────────────────────────────────────


def of(trace: Trace, node: str, cell: tuple[int, ...]) -> CellTerms:
    return cell_terms(trace, trace.graph.index_of[node], cell)


def forward(trace: Trace, node: str, cell: tuple[int, ...]) -> CellTerms:
    return value_terms(trace, trace.graph.index_of[node], cell)


@pytest.fixture
def signal() -> Trace:
    def program(xp: Any, x: Any, w: Any, b: Any) -> Any:
        y = xp.conv1d(x, w, b, padding=1)
        return xp.sum(y * y)

    return run(program, x=[[1.0, 2.0, 4.0, 3.0]], w=[[[1.0, -2.0, 0.5]]], b=[0.25])


def test_a_weight_of_a_convolution(signal: Trace) -> None:
    # y = [-1, -0.75... by hand: x padded 0 1 2 4 3 0.
    y = [0 - 2 + 1 + 0.25, 1 - 4 + 2 + 0.25, 2 - 8 + 1.5 + 0.25, 4 - 6 + 0 + 0.25]
    found = of(signal, "w", (0, 0, 0))
    (part,) = found.parts
    assert as_text(part.rule) == "Σₖ x[0,k−1] · ∂output/∂y[0,k]"
    assert [as_text(term.symbols) for term in part.terms] == [
        "x[0,0] · ∂output/∂y[0,1]", "x[0,1] · ∂output/∂y[0,2]", "x[0,2] · ∂output/∂y[0,3]",
    ]  # fmt: skip
    assert part.note == "at 1 of 4 positions it has met only padding: 0"
    assert found.value == 2 * (1 * y[1] + 2 * y[2] + 4 * y[3])


def test_an_input_of_a_convolution(signal: Trace) -> None:
    (part,) = of(signal, "x", (0, 3)).parts
    assert as_text(part.rule) == "Σₖ w[0,0,k] · ∂output/∂y[0,4−k]"
    assert [as_text(term.symbols) for term in part.terms] == [
        "w[0,0,1] · ∂output/∂y[0,3]", "w[0,0,2] · ∂output/∂y[0,2]",
    ]  # fmt: skip


def test_a_value_and_a_bias_of_a_convolution(signal: Trace) -> None:
    (part,) = forward(signal, "y", (0, 1)).parts
    assert as_text(part.rule) == "Σₖ x[0,k] · w[0,0,k] + b[0]"
    assert texts(forward(signal, "y", (0, 1))) == [
        "x[0,0] · w[0,0,0] = 1 · 1 = 1", "x[0,1] · w[0,0,1] = 2 · (−2) = −4",
        "x[0,2] · w[0,0,2] = 4 · 0.5 = 2", "b[0] = 0.25",
    ]  # fmt: skip
    edge_cell = forward(signal, "y", (0, 0)).parts[0]
    assert edge_cell.note == "where the kernel looks over the edge there is padding: 0"
    (bias,) = of(signal, "b", (0,)).parts
    assert as_text(bias.rule) == "Σₖ ∂output/∂y[0,k]"
    assert bias.note == "b was added 4 times: what comes back is added up"


def test_the_winner_of_a_window() -> None:
    def program(xp: Any, x: Any) -> Any:
        y = xp.max_pool1d(x, 3, stride=1)
        return xp.sum(y * y)

    trace = run(program, x=[[1.0, 5.0, 2.0, 3.0, 3.0]])
    first, last = of(trace, "x", (0, 1)).parts[0], of(trace, "x", (0, 4)).parts[0]
    assert texts(of(trace, "x", (0, 1))) == ["∂output/∂y[0,0] = 10", "∂output/∂y[0,1] = 10"]
    assert first.note == "the largest of 2 windows: what comes back is added up"
    assert (last.note, last.count) == ("the largest of no window: 0", 0)  # a tie: the first wins
    assert texts(of(trace, "x", (0, 3))) == ["∂output/∂y[0,2] = 6"]
    assert texts(forward(trace, "y", (0, 0))) == ["x[0,1] = 5"]


def test_a_batch_of_matrices() -> None:
    def program(xp: Any, a: Any, b: Any) -> Any:
        y = a @ b
        return xp.sum(y * y)

    a = np.arange(1.0, 9.0).reshape(2, 2, 2)
    trace = run(program, a=a, b=[[1.0, -1.0], [0.5, 2.0]])
    (part,) = of(trace, "b", (0, 1)).parts
    assert as_text(part.rule) == "Σₖ‚ₗ a[k,l,0] · ∂output/∂y[k,l,1]"
    assert part.count == 4
    (part,) = of(trace, "a", (1, 0, 1)).parts
    assert as_text(part.rule) == "Σₖ ∂output/∂y[1,0,k] · b[1,k]"
    (part,) = forward(trace, "y", (1, 0, 1)).parts
    assert as_text(part.rule) == "Σₖ a[1,0,k] · b[k,1]"


def test_a_layer() -> None:
    def program(xp: Any, x: Any, W: Any, b: Any) -> Any:
        y = xp.nn.functional.linear(x, W, b)
        return xp.sum(y * y)

    trace = run(program, x=[[1.0, 2.0], [3.0, -1.0]], W=[[0.5, -1.0], [2.0, 1.5]], b=[0.25, -0.5])
    (part,) = of(trace, "W", (1, 0)).parts
    assert as_text(part.rule) == "Σₖ x[k,0] · ∂output/∂y[k,1]"
    (part,) = of(trace, "x", (1, 0)).parts
    assert as_text(part.rule) == "Σₖ ∂output/∂y[1,k] · W[k,0]"
    (part,) = forward(trace, "y", (1, 0)).parts
    assert as_text(part.rule) == "Σₖ x[1,k] · W[0,k] + b[0]"
    assert texts(forward(trace, "y", (1, 0)))[-1] == "b[0] = 0.25"
    (part,) = of(trace, "b", (1,)).parts
    assert part.note == "b was added 2 times: what comes back is added up"


def test_copies_are_added_up() -> None:
    trace = run(lambda xp, x: xp.sum(x.repeat(3) * 2.0), x=[1.0, 5.0])
    (part,) = of(trace, "x", (1,)).parts
    assert (part.count, part.note) == (3, "copied 3 times: what comes back is added up")
