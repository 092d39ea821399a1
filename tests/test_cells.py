"""The terms of a cell add up to the cell, and say so in words and numbers."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.cells import CellTerms, cell_terms, value_terms
from backprop_tui.engine import xp
from backprop_tui.engine.formula import as_text
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import catalogue
from backprop_tui.lessons.base import Lesson, default_leaves
from backprop_tui.session import Session


def run(program: Any, **leaves: Any) -> Trace:
    """The trace of a program."""
    values = {
        name: value if isinstance(value, float) else np.asarray(value, dtype=float)
        for name, value in leaves.items()
    }
    return backward(record(program, values))


def cells(value: Any) -> list[tuple[int, ...]]:
    return list(np.ndindex(np.shape(value)))


def total(found: CellTerms) -> float:
    """The sum of all terms; the output's gradient is 1 without any."""
    if found.note.startswith("the backward pass starts here"):
        return 1.0
    return sum(term.value for part in found.parts for term in part.terms)


def assert_adds_up(trace: Trace) -> None:
    """Every cell of every gradient and every value is the sum of its terms."""
    for node in trace.graph:
        gradient = trace.gradients[node.index]
        for cell in cells(node.value):
            found = cell_terms(trace, node.index, cell)
            expected = 0.0 if gradient is None else float(np.asarray(gradient)[cell])
            assert found.value == expected
            assert total(found) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
            for part in found.parts:
                terms = sum(term.value for term in part.terms)
                assert part.value == pytest.approx(terms, rel=1e-9, abs=1e-12, nan_ok=True)
                assert part.count == len(part.terms)
            forward = value_terms(trace, node.index, cell)
            if node.op is not None:
                here = float(np.asarray(node.value)[cell])
                assert total(forward) == pytest.approx(here, rel=1e-9, abs=1e-12, nan_ok=True)


def texts(found: CellTerms) -> list[str]:
    return [term.text for part in found.parts for term in part.terms]


def of(trace: Trace, name: str, cell: tuple[int, ...] = (), limit: int | None = None) -> CellTerms:
    return cell_terms(trace, trace.graph.index_of[name], cell, limit)


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
class TestLessons:
    def test_terms_add_up(self, lesson: Lesson) -> None:
        assert_adds_up(Session(lesson).trace)

    def test_terms_add_up_to_torchs_gradients(self, lesson: Lesson) -> None:
        torch = pytest.importorskip("torch")
        sizes = lesson.default_sizes()
        leaves = {
            name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
            for name, value in default_leaves(lesson, sizes).items()
        }
        lesson.program(torch, **leaves, **sizes).sum().backward()
        trace = Session(lesson).trace
        for name, tensor in leaves.items():
            gradient = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
            for cell in cells(gradient):
                assert total(of(trace, name, cell)) == pytest.approx(float(gradient[cell]))


# ── operations ────────────────────────────────────────────────────────────────────────────────

X = [[0.3, -1.2, 2.0], [1.5, 0.7, -0.4]]

PROGRAMS: dict[str, Any] = {
    "add, row": lambda xp, X, v, s: xp.sum(X + v),
    "sub, scalar": lambda xp, X, v, s: xp.sum((X - s) * X),
    "mul, row": lambda xp, X, v, s: xp.sum(X * v * X),
    "div": lambda xp, X, v, s: xp.sum(X / v + s / X),
    "neg": lambda xp, X, v, s: xp.sum(-X * s),
    "pow": lambda xp, X, v, s: xp.sum((X * X) ** 1.5 + 2.0 ** (v * s)),
    "functions": lambda xp, X, v, s: xp.sum(xp.exp(X) + xp.sin(X) * xp.cos(X) + xp.tanh(X)),
    "roots": lambda xp, X, v, s: xp.sum(xp.sqrt(X * X) + xp.log(X * X)),
    "kinks": lambda xp, X, v, s: xp.sum(xp.relu(X) + xp.abs(X) + xp.maximum(X, v)),
    "sigmoid": lambda xp, X, v, s: xp.sum(xp.sigmoid(X) * v),
    "sum, dim": lambda xp, X, v, s: (
        xp.sum(xp.sum(X, dim=1) * s) + xp.sum(xp.sum(X, dim=0, keepdim=True) * X)
    ),
    "mean": lambda xp, X, v, s: xp.mean(X) * s + xp.sum(xp.mean(X, dim=0) * v),
    "mean, keepdim": lambda xp, X, v, s: xp.sum(xp.mean(X, dim=1, keepdim=True) * X),
    "dot": lambda xp, X, v, s: v @ (v * s),
    "matrix vector": lambda xp, X, v, s: xp.sum((X @ v) * s),
    "vector matrix": lambda xp, X, v, s: xp.sum(v @ X.T),
    "matrix matrix": lambda xp, X, v, s: xp.sum((X @ X.T) * s),
    "transpose": lambda xp, X, v, s: xp.sum(X.T @ X),
    "reshape": lambda xp, X, v, s: xp.sum(X.reshape(3, 2) * s),
    "unsqueeze": lambda xp, X, v, s: xp.sum(v.unsqueeze(1) * X.T),
    "squeeze": lambda xp, X, v, s: xp.sum(X[0:1].squeeze(0) * v),
    "row picked twice": lambda xp, X, v, s: xp.sum(X[[0, 0, 1]] * v),
    "cell": lambda xp, X, v, s: X[1, 2] * s + v[0],
    "slice": lambda xp, X, v, s: xp.sum(X[:, 1:] * s),
    "cat": lambda xp, X, v, s: xp.sum(xp.cat([v, v * s]) * 2.0),
    "cat, dim 1": lambda xp, X, v, s: xp.sum(xp.cat([X, X * s, X], dim=1) ** 2),
    "stack": lambda xp, X, v, s: xp.sum(xp.stack([v, v * v], dim=0) * X),
    "not a scalar": lambda xp, X, v, s: X * s,
    "softmax": lambda xp, X, v, s: xp.sum(xp.softmax(X, 1) * X) + xp.sum(xp.softmax(v, 0) * v),
    "softmax of a scalar": lambda xp, X, v, s: xp.softmax(s, 0) * s + xp.log_softmax(s, 0),
    "log_softmax": lambda xp, X, v, s: xp.sum(xp.log_softmax(X, 0) * X) * s,
    "logsumexp": lambda xp, X, v, s: (
        xp.sum(xp.logsumexp(X, 1) * s) + xp.sum(xp.logsumexp(X, (0, 1), keepdim=True))
    ),
    "cross_entropy": lambda xp, X, v, s: xp.nn.functional.cross_entropy(X, [2, 0]) * s,
    "cross_entropy, sum": lambda xp, X, v, s: (
        xp.nn.functional.cross_entropy(X, [2, 0], reduction="sum") * s
        + xp.nn.functional.cross_entropy(v, 1)
    ),
    "mse_loss": lambda xp, X, v, s: xp.nn.functional.mse_loss(X, v) * s,
    "mse_loss, sum": lambda xp, X, v, s: xp.nn.functional.mse_loss(v, X[1], reduction="sum") * s,
    "layer_norm": lambda xp, X, v, s: (
        xp.sum(xp.nn.functional.layer_norm(X, (3,)) * X)
        + xp.sum(xp.nn.functional.layer_norm(X, (3,), v * s, v) * X)
        + xp.sum(xp.nn.functional.layer_norm(X, (2, 3), X) * X)
    ),
    "batch_norm": lambda xp, X, v, s: (
        xp.sum(xp.nn.functional.batch_norm(X, None, None, training=True, eps=0.1) * X)
        + xp.sum(xp.nn.functional.batch_norm(X, None, None, v * s, v, training=True) * X)
    ),
    "var": lambda xp, X, v, s: xp.var(X) * s + xp.sum(xp.var(X, 1, keepdim=True) * X),
    "std": lambda xp, X, v, s: xp.std(X) * s + xp.sum(xp.std(X, 0, unbiased=False) * v),
    "std of equal cells": lambda xp, X, v, s: xp.std(s * [1.0, 1.0]) + s,
    "norm": lambda xp, X, v, s: xp.linalg.norm(X) * s + xp.sum(X.norm(dim=1) * s),
    "norm of nothing": lambda xp, X, v, s: xp.linalg.norm(v - v) + s,
    "largest": lambda xp, X, v, s: (
        X.max() * s + xp.sum(xp.amax(X, 1)) + xp.sum(X.max(0).values * v)
    ),
    "smallest": lambda xp, X, v, s: X.min() * s + xp.sum(xp.amin(X, 1)) + xp.sum(X.min(1)[0] * s),
    "ties": lambda xp, X, v, s: (
        xp.amax(s * [2.0, 1.0, 2.0]) * s + (s * [2.0, 1.0, 2.0]).max(0).values + xp.amax(s)
    ),
    "cumsum": lambda xp, X, v, s: xp.sum(xp.cumsum(X, 1) * X) + xp.cumsum(s, 0),
    "masks": lambda xp, X, v, s: xp.sum(
        xp.where(X > 0, X, v) * s + X.masked_fill(X > 1, -2.0) + xp.where(s > 0, v, 1.0)
    ),
    "limits": lambda xp, X, v, s: xp.sum(
        X.clamp(-1, 1) * s + X.clamp(min=0.5) + xp.clamp(X, max=0.5) + xp.minimum(X, v)
    ),
    "gather": lambda xp, X, v, s: xp.sum(xp.gather(X, 1, [[0, 0], [2, 1]]) * s),
    "embedding": lambda xp, X, v, s: xp.sum(xp.nn.functional.embedding([1, 0, 1], X) * v),
    "activations": lambda xp, X, v, s: xp.sum(
        xp.nn.functional.gelu(X)
        + xp.nn.functional.silu(X) * v
        + xp.nn.functional.softplus(X)
        + xp.nn.functional.leaky_relu(X, 0.2)
        + X.square()
        + X.square().rsqrt()
        + v.reciprocal()
        + X.square().log1p()
    ),
    "detach": lambda xp, X, v, s: xp.sum((X * s).detach() * X + v.detach()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_operations_terms_add_up(name: str) -> None:
    assert_adds_up(run(PROGRAMS[name], X=X, v=[0.5, -2.0, 1.1], s=0.7))


def test_nan_and_infinity_have_terms_too() -> None:
    trace = run(lambda xp, x: xp.sum(xp.log(x) / x), x=[0.0, -1.0, 2.0])
    for cell in cells(np.zeros(3)):
        found = of(trace, "x", cell)
        assert np.isnan(total(found)) == np.isnan(found.value)
        assert all(texts(found))


dimensions = st.integers(1, 4)


@settings(max_examples=40, deadline=None)
@given(m=dimensions, n=dimensions, p=dimensions, seed=st.integers(0, 2**32), data=st.data())
def test_random_products_with_broadcasting_agree_with_torch(
    m: int, n: int, p: int, seed: int, data: st.DataObject
) -> None:
    torch = pytest.importorskip("torch")
    shapes = [(m, p), (1, p), (m, 1), (1, 1), (p,), ()]
    bias, scale = (data.draw(st.sampled_from(shapes)) for _ in range(2))
    draw = np.random.default_rng(seed).normal
    leaves = {"X": draw(size=(m, n)), "W": draw(size=(n, p)), "v": draw(size=n)}
    leaves |= {"b": draw(size=bias), "s": draw(size=scale)}

    def program(xp: Any, X: Any, W: Any, v: Any, b: Any, s: Any) -> Any:
        Z = xp.tanh(X @ W + b) * s
        return xp.sum(Z * Z) + xp.sum((X @ v) ** 2) + xp.sum(v @ W)

    values = {k: float(a) if not np.shape(a) else np.asarray(a) for k, a in leaves.items()}
    trace = backward(record(program, values))
    tensors = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in values.items()
    }
    program(torch, **tensors).backward()
    for name, tensor in tensors.items():
        for cell in cells(tensor.grad):
            expected = float(tensor.grad[cell])
            assert total(of(trace, name, cell)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


# ── words and numbers ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def linear() -> Trace:
    """X @ W + B, summed: the notebook's numbers."""
    return Session(next(lesson for lesson in catalogue() if lesson.id == "matrix-linear")).trace


def test_a_products_term_names_cells_and_numbers(linear: Trace) -> None:
    found = of(linear, "W", (1, 2))
    assert as_text(found.symbol) == "∂O/∂W[1,2]"
    assert texts(found)[0] == "X[0,1] · ∂O/∂Q[0,2] = 0.1343 · 1 = 0.1343"
    assert as_text(found.parts[0].rule) == "Σₖ X[k,1] · ∂O/∂Q[k,2]"
    assert found.parts[0].count == 5


def test_the_first_factors_terms_run_over_the_columns(linear: Trace) -> None:
    found = of(linear, "X", (4, 1))
    assert texts(found)[1] == "∂O/∂Q[4,1] · W[1,1] = 1 · (−0.7891) = −0.7891"
    assert as_text(found.parts[0].rule) == "Σₖ ∂O/∂Q[4,k] · W[1,k]"


def test_a_broadcast_row_sums_the_rows(linear: Trace) -> None:
    found = of(linear, "B", (0, 2))
    assert texts(found) == [f"∂O/∂Z[{row},2] = 1" for row in range(5)]
    assert as_text(found.parts[0].rule) == "Σₖ ∂O/∂Z[k,2]"
    assert "repeated 5 times" in found.parts[0].note


def test_a_sum_hands_out_copies(linear: Trace) -> None:
    found = of(linear, "Z", (3, 0))
    assert texts(found) == ["∂O/∂O = 1"]
    assert found.parts[0].note == "each summed cell receives a copy"


def test_forward_a_product_is_a_sum_of_products(linear: Trace) -> None:
    found = value_terms(linear, linear.graph.index_of["Q"], (0, 1))
    assert as_text(found.symbol) == "Q[0,1]"
    assert as_text(found.parts[0].rule) == "Σₖ X[0,k] · W[k,1]"
    assert texts(found)[0] == "X[0,0] · W[0,1] = 1.1939 · 1.1977 = 1.4299"


def test_elementwise_shows_upstream_times_slope() -> None:
    trace = Session(next(x for x in catalogue() if x.id == "tanh-recursion")).trace
    [text] = texts(of(trace, "z[t=2]"))
    assert text == "∂y/∂h₂ · (1 − h₂²) = 40 · (1 − 0.90925²) = 40 · 0.17326 = 6.9305"


def test_a_row_that_was_not_picked_receives_nothing() -> None:
    trace = run(PROGRAMS["row picked twice"], X=[*X, [1.0, 1.0, 1.0]], v=[0.5, -2.0, 1.1], s=1.0)
    assert of(trace, "X", (2, 0)).parts[0].note == "not picked here: 0"
    assert of(trace, "X", (0, 0)).parts[0].note.startswith("picked 2 times")
    assert of(trace, "X", (0, 0)).count == 2


def test_an_unnamed_transpose_is_seen_through() -> None:
    trace = Session(next(x for x in catalogue() if x.id == "rnn")).trace
    found = of(trace, "W_x", (2, 0))
    assert texts(found)[0] == "x₂[0] · ∂L/∂(x₂ @ W_xᵀ)[2] = 2 · (−2.0161) = −4.0323"
    assert found.parts[0].note == "in W_xᵀ the cell stands at [0,2]"


def test_a_named_transpose_is_not_seen_through() -> None:
    def program(xp: Any, A: Any) -> Any:
        B = A.T
        return xp.sum(B * B)

    found = of(run(program, A=X), "A", (0, 2))
    assert texts(found) == ["∂output/∂B[2,0] = 4"]


def test_the_output_is_the_seed(linear: Trace) -> None:
    found = of(linear, "O")
    assert (found.value, found.parts) == (1.0, ())
    assert found.note == "the backward pass starts here, with 1"


def test_what_the_output_does_not_depend_on() -> None:
    found = of(run(lambda xp, a, b: a * 2.0, a=1.0, b=3.0), "b")
    assert (found.value, found.count) == (0.0, 0)
    assert found.note


def test_a_leaf_has_no_terms_forward(linear: Trace) -> None:
    found = value_terms(linear, linear.graph.index_of["W"], (0, 0))
    assert (found.value, found.parts, found.note) == (-0.328, (), "a leaf: given")


def test_a_shared_operand_has_a_part_for_each_use() -> None:
    found = of(run(lambda xp, x: x * x, x=3.0), "x")
    assert texts(found) == ["∂output/∂output · x = 1 · 3 = 3"] * 2
    assert [part.edge.slot for part in found.parts if part.edge] == [0, 1]


# ── limits ────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_keeps_terms_back_and_says_how_many(linear: Trace) -> None:
    found = of(linear, "W", (1, 2), limit=2)
    assert len(texts(found)) == 2
    assert found.left_out == 3
    assert found.value == of(linear, "W", (1, 2)).value


def test_the_limit_counts_over_all_parts() -> None:
    def program(xp: Any, x: Any) -> Any:
        total = x
        for _ in range(1000):
            total = total * 1.0 + x
        return total

    trace = run(program, x=1.0)
    found = of(trace, "x", limit=10)
    assert len(texts(found)) == 10
    assert (found.count, found.left_out) == (1001, 991)


def test_a_large_product_makes_only_the_terms_asked_for() -> None:
    a = np.ones((400, 400))
    trace = run(lambda xp, A, B: xp.sum(A @ B), A=a, B=a)
    of(trace, "A", (0, 0), limit=20)  # names are made once
    start = time.perf_counter()
    found = of(trace, "A", (1, 1), limit=20)
    assert time.perf_counter() - start < 0.5
    assert (len(texts(found)), found.left_out) == (20, 380)


def test_a_cell_that_there_is_not_is_an_error(linear: Trace) -> None:
    with pytest.raises(IndexError):
        of(linear, "W", (7, 7))


def test_operations_offered_are_covered() -> None:
    """Every operation that only `_sent_by_anything` can explain would be a gap."""
    from backprop_tui.cells import _CONVOLUTIONS, _MOVES, _POOLINGS, _PRODUCTS
    from backprop_tui.engine.operations import REGISTRY
    from backprop_tui.engine.operations.arrangement import Expand, Repeat
    from backprop_tui.engine.operations.reductions import Mean, Sum
    from backprop_tui.engine.operations.selection import Embedding, Gather
    from backprop_tui.engine.operations.shapes import Index
    from backprop_tui.network_cells import TERMS

    assert xp is not None  # importing it registers everything
    known = {*_MOVES, *_PRODUCTS, *_CONVOLUTIONS, *_POOLINGS, Sum, Mean, Index, Expand, Repeat}
    known |= {*TERMS, Gather, Embedding}
    assert [op.name for op in REGISTRY if not op.elementwise and op not in known] == []
