"""Recording: values, constants, leaves, and numbers that are none (nan, infinity)."""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import agrees_with_torch, by_hand, leaf_gradients, value

from backprop_tui.engine.graph import NodeKind
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import Tape, UnsupportedProgram, Var
from backprop_tui.engine.trace import backward


def test_values_are_floats_or_read_only_arrays() -> None:
    def program(xp: Any, *, a: Any, x: Any) -> Any:
        parts = [a * 2, x * a, x[0], x.T, x.reshape(-1), x[:, None], xp.sum(x, dim=0), xp.relu(x)]
        parts += [xp.cat([x, x]), xp.stack([a, a]), xp.maximum(x, x), x @ x.T, xp.mean(x), x + 1]
        for part in parts[1:]:
            parts[0] = parts[0] + xp.sum(part)
        return parts[0]

    trace = by_hand(program, {"a": 2.0, "x": [[1.0, 2.0]]})
    for node in trace.graph:
        assert type(node.value) in (float, np.ndarray), node
        if isinstance(node.value, np.ndarray):
            assert node.value.ndim and node.value.dtype == np.float64
            assert not node.value.flags.writeable, node.id
    for gradient in trace.gradients:
        assert gradient is None or type(gradient) in (float, np.ndarray)


def test_leaves_are_copied() -> None:
    x = np.array([1.0, 2.0])
    graph = record(lambda xp, *, x: xp.sum(x), {"x": x})
    x[0] = 99.0
    np.testing.assert_array_equal(graph[graph.leaves["x"]].value, [1.0, 2.0])


def test_a_leaf_that_is_not_used_has_gradient_none() -> None:
    trace = backward(record(lambda xp, *, a, b: a * 2, {"a": 1.0, "b": 2.0}))
    assert trace.gradients[trace.graph.leaves["b"]] is None


def test_the_same_number_is_one_constant() -> None:
    graph = record(lambda xp, *, a: a * 2 + 2.0 + np.float32(2) + a**2, {"a": 1.0})
    constants = [n.value for n in graph if n.kind is NodeKind.CONSTANT]
    assert constants == [2.0]


def test_zero_and_minus_zero_are_two_constants() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        return xp.maximum(a / 0.0, a / -0.0) + 0.0 * a

    graph = record(program, {"a": 1.0})
    zeros = [n.value for n in graph if n.kind is NodeKind.CONSTANT]
    assert {math.copysign(1.0, z) for z in zeros} == {1.0, -1.0}  # type: ignore[arg-type]
    agrees_with_torch(lambda xp, *, a: a / -0.0 - a / 0.0, {"a": 1.0})


def test_no_gradient_is_sent_to_a_constant() -> None:
    trace = by_hand(lambda xp, *, a: a * 2 + np.array([1.0, 2.0]), {"a": 1.0})
    for node in trace.graph:
        if node.kind is NodeKind.CONSTANT:
            assert trace.gradients[node.index] is None
            assert not trace.graph.needs_gradient[node.index]


def test_changing_a_constant_array_later_changes_nothing() -> None:
    c = np.array([1.0, 2.0])

    def program(xp: Any, *, a: Any) -> Any:
        y = a * c
        c[0] = 50.0
        return xp.sum(y)

    trace = by_hand(program, {"a": 3.0})
    assert leaf_gradients(trace)["a"] == 3.0


def test_a_value_of_another_run_is_refused() -> None:
    kept: list[Any] = []

    def program(xp: Any, *, a: Any) -> Any:
        kept.append(a)
        return a * kept[0]

    record(program, {"a": 1.0})
    with pytest.raises(UnsupportedProgram, match="another run"):
        record(program, {"a": 2.0})


@pytest.mark.parametrize("operate", [lambda xp, a, b: xp.maximum(a, b), lambda xp, a, b: a @ b,
                                     lambda xp, a, b: xp.stack([a, b])])  # fmt: skip
def test_a_value_of_another_tape_is_refused_everywhere(operate: Any) -> None:
    stranger = Tape(None).leaf("b", np.ones(2))
    with pytest.raises(UnsupportedProgram, match="another run"):
        record(lambda xp, *, a: operate(xp, a, stranger), {"a": np.ones(2)})


def test_a_program_that_fails_raises_its_own_error_and_leaves_things_in_order() -> None:
    before = np.geterr()
    with pytest.raises(ZeroDivisionError):
        record(lambda xp, *, a: a * (1 // 0), {"a": 1.0})
    assert gc.isenabled() and np.geterr() == before


def test_wrong_shapes_raise_what_numpy_says() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        record(lambda xp, *, a: a + np.ones(3), {"a": np.ones(2)})


def test_garbage_collection_stays_off_if_it_was_off() -> None:
    gc.disable()
    try:
        backward(record(lambda xp, *, a: a * a, {"a": 1.0}))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_records_form_no_cycle() -> None:
    """What a run has recorded is freed as soon as nobody holds it, without the collector."""

    def alive() -> int:
        return sum(type(o) is Var for o in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        record(lambda xp, *, a: helper(a) * a, {"a": 1.0})
        assert alive() == before
    finally:
        gc.enable()


def helper(a: Any) -> Any:
    for t in range(3):
        a = a * t
    return a


def test_sizes_and_repr_of_a_value() -> None:
    seen = []

    def program(xp: Any, *, a: Any, x: Any) -> Any:
        seen.extend([a.shape, a.ndim, x.shape, x.ndim, len(x), repr(a), hash(a) == hash(a)])
        with pytest.raises(TypeError):
            len(a)
        with pytest.raises(ValueError, match=r"size 1|one element"):
            bool(x)
        return xp.sum(x * a)

    by_hand(program, {"a": 1.5, "x": [[1.0, 2.0], [3.0, 4.0]]})
    assert seen == [(), 0, (2, 2), 2, 2, "Var(1.5)", True]


def test_the_output_is_summed_if_it_is_no_scalar() -> None:
    agrees_with_torch(lambda xp, *, x: x**2, {"x": [1.0, 2.0, 3.0]})


def test_a_leaf_may_be_the_output() -> None:
    trace = by_hand(lambda xp, *, a: a, {"a": 3.0})
    assert trace.gradients[trace.graph.leaves["a"]] == 1.0
    assert [s.key for s in trace.steps] == ["seed:a"]


def test_the_output_need_not_be_the_last() -> None:
    def program(xp: Any, *, a: Any) -> Any:
        y = a * 3
        y * 100
        return y

    trace = by_hand(program, {"a": 2.0})
    assert leaf_gradients(trace)["a"] == 3.0
    assert trace.gradients[-1] is None


# ── numbers that are none ─────────────────────────────────────────────────────────────────────

INF, NAN = math.inf, math.nan
UNARY = {
    "log": lambda xp, a: xp.log(a),
    "sqrt": lambda xp, a: xp.sqrt(a),
    "exp": lambda xp, a: xp.exp(a),
    "sin": lambda xp, a: xp.sin(a),
    "cos": lambda xp, a: xp.cos(a),
    "tanh": lambda xp, a: xp.tanh(a),
    "sigmoid": lambda xp, a: xp.sigmoid(a),
    "relu": lambda xp, a: xp.relu(a),
    "abs": lambda xp, a: xp.abs(a),
    "neg": lambda xp, a: -a,
    "1/a": lambda xp, a: 1 / a,
    "a/0": lambda xp, a: a / 0.0,
    "0/a": lambda xp, a: 0.0 / a,
    "a**(1/3)": lambda xp, a: a ** (1 / 3),
    "a**0.5": lambda xp, a: a**0.5,
    "a**0": lambda xp, a: a**0,
    "a**2": lambda xp, a: a**2,
    "a**-1": lambda xp, a: a**-1,
    "2**a": lambda xp, a: 2**a,
    "0**a": lambda xp, a: 0**a,
    "(-2)**a": lambda xp, a: (-2.0) ** a,
    "a-a": lambda xp, a: a - a,
    "a/a": lambda xp, a: a / a,
    "a*a": lambda xp, a: a * a,
    "a**a": lambda xp, a: a**a,
    "mean": lambda xp, a: xp.mean(a),
    "max(a, a)": lambda xp, a: xp.maximum(a, a),
}
BINARY = {
    "+": lambda xp, a, b: a + b,
    "-": lambda xp, a, b: a - b,
    "*": lambda xp, a, b: a * b,
    "/": lambda xp, a, b: a / b,
    "**": lambda xp, a, b: a**b,
    "max": lambda xp, a, b: xp.maximum(a, b),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, -8.0, 0.5, 2.0, 1000.0, -1000.0, 1e-320, 1e308, INF, -INF, NAN]


def same_as_torch(program: Any, leaves: dict[str, Any]) -> None:
    """Equal to the last bits, with nan, infinity and the gradient's zeros in the same places."""
    trace = by_hand(program, leaves)
    tensors = {
        k: torch.tensor(value(v), dtype=torch.float64, requires_grad=True)
        for k, v in leaves.items()
    }
    out = program(torch, **tensors)
    out.sum().backward()
    np.testing.assert_allclose(
        trace.graph[trace.graph.output].value, out.detach().numpy(), rtol=1e-14
    )
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        np.testing.assert_allclose(
            leaf_gradients(trace)[name], tensor.grad.numpy(), rtol=1e-8, err_msg=name
        )
    for step in trace.steps:  # looking at the steps must not warn either
        assert step.key


@pytest.mark.parametrize("number", SPECIAL)
@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("upstream", [1.0, -2.0, 0.0, INF])
def test_special_numbers(name: str, number: float, upstream: float) -> None:
    def program(xp: Any, *, a: Any) -> Any:
        return xp.sum(UNARY[name](xp, a) * upstream)

    if name == "a**0.5" and math.copysign(1.0, number) < 0 and number in (0.0, -INF):
        pytest.skip("torch takes the root, and the root of −0 and −∞ is not the power's")
    if name == "0/a" and number == 1e-320:
        pytest.skip("torch takes 0 · (1/a), and 1/a is infinite")
    same_as_torch(program, {"a": number})
    same_as_torch(program, {"a": [number, 1.5]})


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("a", SPECIAL)
def test_special_pairs(name: str, a: float) -> None:
    def program(xp: Any, *, a: Any, b: Any) -> Any:
        return xp.sum(BINARY[name](xp, a, b) * -3.0)

    for b in SPECIAL:
        same_as_torch(program, {"a": a, "b": b})
    same_as_torch(program, {"a": [[a], [a]], "b": SPECIAL})


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_the_mean_of_nothing_is_nan(shape: tuple[int, ...]) -> None:
    same_as_torch(lambda xp, *, a: xp.mean(a), {"a": np.zeros(shape)})
    same_as_torch(lambda xp, *, a: xp.mean(a, dim=0), {"a": np.zeros(shape)})


def test_matrices_with_infinities() -> None:
    a = [[INF, 1.0], [0.0, NAN]]
    same_as_torch(lambda xp, *, a, b: xp.sum(a @ b), {"a": a, "b": [[1.0, 0.0], [2.0, -1.0]]})
    same_as_torch(lambda xp, *, a, b: xp.sum(a @ b), {"a": a, "b": [1.0, 0.0]})
    same_as_torch(lambda xp, *, a: xp.sum(a[[0, 0, 1]]) + xp.sum(xp.cat([a, a])), {"a": a})


def test_a_chain_after_nan_stays_quiet() -> None:
    same_as_torch(lambda xp, *, a: xp.tanh(xp.log(a) * 2) + xp.exp(a * 1e5), {"a": -1.0})
    same_as_torch(lambda xp, *, a: xp.relu(xp.log(a)) * 2, {"a": -1.0})
