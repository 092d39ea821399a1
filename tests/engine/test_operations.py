"""Every operation against torch and against central differences, and the checks themselves
against planted mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import (
    agrees_with_differences,
    agrees_with_torch,
    assert_close,
    by_hand,
    by_torch,
    leaf_gradients,
    planted,
    weighted,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_cases import IDS, MAKERS, NAMED, Maker

from backprop_tui.engine.broadcasting import shape_of, sum_to_shape
from backprop_tui.engine.operations import REGISTRY, Operation
from backprop_tui.engine.tape import UnsupportedProgram

SEEDS = st.integers(0, 2**32 - 1)


def test_every_operation_has_cases() -> None:
    assert set(REGISTRY) == set(MAKERS)


def test_every_operation_has_a_contribution_for_each_operand() -> None:
    for op in REGISTRY:
        expected = (1 if op.variadic else len(op.operands)) if op.sends else 0
        assert len(op.contributions) == expected, op


def test_every_operation_has_words() -> None:
    for op in REGISTRY:
        sentences = [op.why, *(c.why for c in op.contributions)]
        assert all(s.endswith(".") and len(s) > 10 for s in sentences), op
        assert op.symbol and op.text and op.name, op


@pytest.mark.parametrize(("op", "name", "make"), NAMED, ids=IDS)
@given(seed=SEEDS)
def test_agrees_with_torch_and_differences(
    op: type[Operation], name: str, make: Maker, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    program, leaves = weighted(*make(rng), rng)
    trace = agrees_with_torch(program, leaves, rel=1e-12)
    assert op in {node.op for node in trace.graph}
    agrees_with_differences(program, leaves, rel=2e-6)


@pytest.mark.parametrize(("op", "name", "make"), NAMED, ids=IDS)
@settings(max_examples=15)
@given(seed=SEEDS)
def test_unweighted_result_is_the_sum_of_its_cells(
    op: type[Operation], name: str, make: Maker, seed: int
) -> None:
    program, leaves = make(np.random.default_rng(seed))
    agrees_with_torch(program, leaves, rel=1e-12)


# ── planted mistakes ──────────────────────────────────────────────────────────────────────────


def sign_flipped(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return -right(g, out, *values, **params)


def doubled(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return 2.0 * right(g, out, *values, **params)


def upstream_forgotten(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    one = 1.0 if type(g) is float else np.ones_like(g)
    return right(one, out, *values, **params)


def upstream_squared(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return right(g * g, out, *values, **params)


def a_little_off(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return 1.0001 * right(g, out, *values, **params)


def operands_swapped(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return right(g, out, *values[::-1], **params)


def wrong_slot(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return right(g, out, *values, **{**params, "slot": 0})


def last_rows_reversed(right: Any, g: Any, out: Any, values: Any, params: Any) -> Any:
    return np.flip(right(g, out, *values, **params))


MISTAKES = [sign_flipped, doubled, upstream_forgotten, upstream_squared, a_little_off]
SWAPS = {"div", "pow", "maximum", "dot", "mv", "matmul", "mm", "outer"}
"""Operations for which swapping the operands inside a rule is always a mistake."""

REVERSALS = {
    "getitem", "reshape", "transpose", "cat", "stack", "mm", "mv", "permute", "expand", "repeat",
    "linear", "einsum", "conv1d", "conv2d", "max_pool1d", "max_pool2d",
    "avg_pool1d", "avg_pool2d",
}  # fmt: skip
"""Operations for which a contribution with its cells in reverse order is a mistake."""


def mistakes() -> list[Any]:
    found = []
    for op in REGISTRY:
        if op not in MAKERS:
            continue  # named by test_every_operation_has_cases
        make = next(iter(MAKERS[op].values()))
        for slot in range(len(op.contributions)):
            wrongs = list(MISTAKES)
            if op.name in SWAPS or op.name == "mul":
                wrongs.append(operands_swapped)
            if op.variadic:
                wrongs.append(wrong_slot)
            if op.name in REVERSALS:
                wrongs.append(last_rows_reversed)
            for wrong in wrongs:
                found.append(
                    pytest.param(op, slot, make, wrong, id=f"{op.name}-{slot}-{wrong.__name__}")
                )
    return found


@pytest.mark.parametrize("referee", [agrees_with_torch, agrees_with_differences])
@pytest.mark.parametrize(("op", "slot", "make", "wrong"), mistakes())
def test_a_planted_mistake_is_caught(
    op: type[Operation], slot: int, make: Maker, wrong: Any, referee: Any
) -> None:
    right = op.contributions[slot].function

    def rule(g: Any, out: Any, *values: Any, **params: Any) -> Any:
        return wrong(right, g, out, values, params)

    with planted(op, slot, rule):
        for seed in range(12):  # one case may be too small or too symmetric to show it
            rng = np.random.default_rng(seed)
            program, leaves = weighted(*make(rng), rng)
            try:
                referee(program, leaves)
            except (AssertionError, ValueError):  # ValueError: not even the shape is right
                return
    pytest.fail("the check did not notice")


def test_a_forgotten_sum_over_broadcast_axes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_row_only(gradient: Any, target: tuple[int, ...]) -> Any:
        assert shape_of(gradient) != target
        return np.reshape(np.ravel(gradient)[: int(np.prod(target))], target)

    monkeypatch.setattr("backprop_tui.engine.trace.sum_to_shape", first_row_only)
    leaves = {"a": [[1.0, 2.0], [3.0, 4.0]], "b": [0.5, -0.7]}
    with pytest.raises(AssertionError):
        agrees_with_torch(lambda xp, *, a, b: xp.sum((a + b) * a), leaves)


# ── corners ───────────────────────────────────────────────────────────────────────────────────

CUBE = np.arange(60.0).reshape(3, 4, 5)

CORNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "row used twice": (lambda xp, *, a: a[[0, 2, 0, 0]] ** 2, {"a": [[1.0, 2], [3, 4], [5, 6]]}),
    "empty slice": (lambda xp, *, a: xp.sum(a[1:1]) + xp.sum(a), {"a": [1.0, 2.0]}),
    "new axis": (lambda xp, *, a: a[:, None] * a[None, :], {"a": [1.0, 2.0, 3.0]}),
    "scalar with new axis": (lambda xp, *, a: a[None] * a, {"a": 3.0}),
    "scalar with ellipsis": (lambda xp, *, a: a[...] * 2, {"a": 3.0}),
    "number beside a list": (lambda xp, *, a: a[0, :, [1, 2]], {"a": CUBE}),
    "list beside a number": (lambda xp, *, a: a[[0, 1], :, -1], {"a": CUBE}),
    "slice, number, list": (lambda xp, *, a: a[:, 1, [1, 1]], {"a": CUBE}),
    "list, none, number": (lambda xp, *, a: a[[0, 0], None, 2], {"a": CUBE[0]}),
    "rows and columns": (lambda xp, *, a: a[[0, 1, 1], [2, 0, 0]] ** 2, {"a": CUBE[:2, 0]}),
    "mask": (lambda xp, *, a: a[[True, False, True]] ** 2, {"a": [1.0, 2.0, 3.0]}),
    "comparison as mask": (lambda xp, *, a: xp.sum((a > 1.5) * a**2), {"a": [1.0, 2.0, 3.0]}),
    "cat same operand": (lambda xp, *, a: xp.cat([a, a, a], dim=-1) ** 2, {"a": [[1.0, 2.0]]}),
    "stack same operand": (lambda xp, *, a: xp.stack((a, a), dim=-1) ** 2, {"a": [1.0, 2.0]}),
    "stack scalars": (lambda xp, *, a, b: xp.stack([a, b, a]) ** 2, {"a": 1.5, "b": -2.0}),
    "concatenate": (lambda xp, *, a: xp.concatenate([a, a * 2]) ** 2, {"a": [1.0, 2.0]}),
    "sum keepdim of all": (
        lambda xp, *, a: a / xp.sum(a, dim=None, keepdim=True),
        {"a": [[1.0, 2.0], [3.0, 5.0]]},
    ),
    "sum over no dimension": (
        lambda xp, *, a: xp.sum(a**2, dim=()),
        {"a": [[1.0, 2.0], [3.0, 5.0]]},
    ),
    "sum of a scalar": (lambda xp, *, a: xp.sum(a, dim=-1) * 3, {"a": 2.0}),
    "mean of a scalar": (lambda xp, *, a: xp.mean(a) * 3, {"a": 2.0}),
    "mean of a matrix by tuple": (
        lambda xp, *, a: xp.mean(a**2, dim=(0, -1)),
        {"a": [[1.0, 2.0], [3.0, 5.0]]},
    ),
    "squeeze scalar": (lambda xp, *, a: xp.squeeze(a) ** 2, {"a": 2.0}),
    "squeeze scalar dim": (lambda xp, *, a: xp.squeeze(a, 0) ** 2, {"a": 2.0}),
    "squeeze to scalar": (lambda xp, *, a: xp.squeeze(a) ** 2, {"a": [[2.0]]}),
    "squeeze tuple": (lambda xp, *, a: xp.squeeze(a, (0, -1)) ** 2, {"a": [[[2.0], [3.0]]]}),
    "unsqueeze scalar": (lambda xp, *, a: xp.unsqueeze(a, -1) ** 2, {"a": 2.0}),
    "reshape to scalar": (lambda xp, *, a: xp.reshape(a, ()) ** 2, {"a": [[2.0]]}),
    "reshape from scalar": (lambda xp, *, a: xp.reshape(a, (1, -1)) ** 2, {"a": 2.0}),
    "view": (lambda xp, *, a: a.view(-1) ** 2, {"a": [[2.0, 3.0]]}),
    "methods": (lambda xp, *, a: a.tanh().sum(-1, keepdim=True).mean(), {"a": [[2.0, 3.0]]}),
    "method chain": (lambda xp, *, a: a.t().mm(a).relu().sum(dim=0).dot(a[0]), {"a": [[2.0, 3.0]]}),
    "outer product by broadcasting": (
        lambda xp, *, a, b: a.unsqueeze(1) * b,
        {"a": [1.0, 2.0], "b": [3.0, 4.0, 5.0]},
    ),
    "scalar leaf broadcast": (
        lambda xp, *, a, b: (a * b) ** 2,
        {"a": 1.5, "b": [[1.0, 2.0], [3.0, 4.0]]},
    ),
    "length 1 broadcast both ways": (
        lambda xp, *, a, b: (a * b) ** 2,
        {"a": [[1.0], [2.0]], "b": [[3.0, 4.0]]},
    ),
    "length 1 vector beside scalar": (lambda xp, *, a, b: a * b, {"a": [2.0], "b": 3.0}),
    "nothing at all": (lambda xp, *, a, b: xp.sum(a * b), {"a": np.zeros((0,)), "b": [3.0]}),
    "nothing in rows": (
        lambda xp, *, a, b: xp.sum(a + b, dim=0),
        {"a": np.zeros((0, 2)), "b": [3.0, 1.0]},
    ),
    "builtin sum over rows": (lambda xp, *, a: sum(a**2), {"a": [1.0, 2.0, 3.0]}),
    "rows by iteration": (
        lambda xp, *, a: sum(row * row for row in a),
        {"a": [[1.0, 2.0], [3.0, 4.0]]},
    ),
    "whole numbers": (lambda xp, *, a: a * 2 + 3 - 1 * True, {"a": [1.0, 2.0]}),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name: str) -> None:
    program, leaves = CORNERS[name]
    rng = np.random.default_rng(1)
    agrees_with_torch(*weighted(program, leaves, rng), rel=1e-12)
    agrees_with_differences(*weighted(program, leaves, rng), rel=1e-5)


@pytest.mark.parametrize(
    "constant",
    [np.array([2, 3]), np.array([True, False]), np.array([2.0, 3.0]), np.float64(2.0),
     np.int64(2), np.bool_(True), np.array(2.0)],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize(
    "operate",
    [lambda c, x: c * x, lambda c, x: x * c, lambda c, x: c - x, lambda c, x: x / (c + 0.5),
     lambda c, x: (c + 0.5) ** x],
)  # fmt: skip
def test_numpy_constants_on_either_side(constant: Any, operate: Any) -> None:
    leaves = {"x": [1.0, 2.0]}
    trace = by_hand(lambda xp, *, x: operate(constant, x), leaves)
    _, expected = by_torch(lambda xp, *, x: operate(torch.tensor(constant).double(), x), leaves)
    assert_close(leaf_gradients(trace)["x"], expected["x"], rel=1e-12, what="x")


def test_augmented_assignment_makes_new_values() -> None:
    def augmented(xp: Any, *, x: Any) -> Any:
        y = x
        y += 1
        z = y
        z *= y
        z -= x
        z /= 2
        z **= 2
        return z * y * x

    def spelled_out(xp: Any, *, x: Any) -> Any:
        y = x + 1
        return (((y * y - x) / 2) ** 2) * y * x

    start = np.array([1.0, 2.0])
    trace = by_hand(augmented, {"x": start})
    _, expected = by_torch(spelled_out, {"x": start})
    assert_close(leaf_gradients(trace)["x"], expected["x"], rel=1e-14, what="x")
    assert start.tolist() == [1.0, 2.0]


def test_a_numpy_matrix_on_the_left_of_a_product() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    trace = by_hand(lambda xp, *, x: xp.sum(matrix @ x), {"x": [1.0, 2.0]})
    assert_close(leaf_gradients(trace)["x"], [4.0, 6.0], rel=0, what="x")


@pytest.mark.parametrize(
    ("program", "leaves", "words"),
    [
        (lambda xp, *, x: x @ x, {"x": 2.0}, "0 and 0 dimensions"),
        (lambda xp, *, x: x @ x, {"x": np.ones((2, 3))}, "3 and 2"),
        (lambda xp, *, x: x.T, {"x": np.ones((2, 3, 4))}, "matrix"),
        (lambda xp, *, x: xp.t(x), {"x": np.ones((2, 3, 4))}, "matrix"),
        (lambda xp, *, x: xp.dot(x, x), {"x": np.ones((2, 2))}, "dot needs"),
        (lambda xp, *, x: x + "1", {"x": 2.0}, "str"),
        (lambda xp, *, x: x + None, {"x": 2.0}, "NoneType"),
        (lambda xp, *, x: x * 1j, {"x": 2.0}, "complex"),
        (lambda xp, *, x: [x], {"x": 2.0}, "list"),
        (lambda xp, *, x: 3.0, {"x": 2.0}, "float"),
        (lambda xp, *, x: xp.stack([1.0, 2.0]) * x, {"x": 2.0}, "leaf"),
        (lambda xp, *, x: xp.add(1.0, 2.0), {"x": 2.0}, "leaf"),
        (lambda xp, *, x: x.__setitem__(0, 1.0), {"x": [2.0]}, "in place"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_refused_in_words(program: Any, leaves: Any, words: str) -> None:
    with pytest.raises(UnsupportedProgram, match=words):
        by_hand(program, leaves)


def test_comparisons_are_of_the_values() -> None:
    def program(xp: Any, *, a: Any, b: Any) -> Any:
        assert a < b and a <= b and not a > b and not a >= b and not a == b and a != b
        assert a < 2 and 2 > a and a == 1.0 and a == a
        assert bool(a) and float(a) == 1.0 and a.item() == 1.0
        return a * b

    by_hand(program, {"a": 1.0, "b": 2.0})


def test_a_branch_on_a_value_takes_the_branch() -> None:
    agrees_with_torch(lambda xp, *, a: a**2 if a > 0 else -a, {"a": -3.0})


def test_float_of_a_single_cell() -> None:
    by_hand(lambda xp, *, a: a * float(a[0] if a.ndim else a), {"a": [[2.0]][0]})
    by_hand(lambda xp, *, a: a * float(a), {"a": [[2.0]]})


def test_sum_to_shape_undoes_any_broadcast() -> None:
    rng = np.random.default_rng(3)
    for target, full in [((), (2, 3)), ((1,), (4, 3)), ((3, 1), (2, 3, 4)), ((1, 1), (2, 2)),
                         ((2, 3), (2, 3)), ((0,), (2, 0)), ((1,), (0,))]:  # fmt: skip
        g = rng.normal(size=full)
        leaf = torch.zeros(target, dtype=torch.float64, requires_grad=True)
        (leaf.expand(full) * torch.tensor(g)).sum().backward()
        assert leaf.grad is not None
        assert_close(sum_to_shape(g, target), leaf.grad.numpy(), rel=1e-14, what=str(target))
