"""Formulas: the operations' texts are true, and rendering keeps the meaning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_checks import assert_close, value, weighted
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_cases import IDS, MAKERS, NAMED, Maker

from backprop_tui.engine.formula import (
    Symbol,
    as_text,
    evaluate,
    parse,
    pretty_name,
    render,
    subscript,
)
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations import REGISTRY, Operation
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.engine.vocabulary import variables

# ── the operations' texts ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("op", "name", "make"), NAMED, ids=IDS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_texts_are_true(op: type[Operation], name: str, make: Maker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, leaves = weighted(*make(rng), rng)
    graph = record(program, {k: value(v) for k, v in leaves.items()})
    trace = backward(graph)
    checked = 0
    for node in graph:
        g = trace.gradients[node.index]
        if node.op is not op or (g is None and op.sends):
            continue
        values = [graph[i].value for i in node.operands]
        names = variables(op, values, node.params, out=node.value)
        assert_close(evaluate(op.text, names), node.value, rel=1e-12, what=op.text)
        checked += not op.sends
        if g is None:
            continue
        for slot, target in enumerate(node.operands):
            if not graph.needs_gradient[target]:
                continue
            raw = trace.raw_contribution(Edge(node.index, target, slot))
            names = variables(op, values, node.params, out=node.value, g=g, slot=slot)
            text = op.contribution_to(slot).text
            told = np.broadcast_to(evaluate(text, names), np.shape(raw))
            assert_close(raw, told, rel=1e-12, what=f"{op.name} {slot}: {text}")
            checked += 1
    assert checked


def test_every_operation_is_covered() -> None:
    assert {op for op, _, _ in NAMED} == set(REGISTRY) == set(MAKERS)


@pytest.mark.parametrize("op", REGISTRY, ids=lambda op: op.__name__)
def test_texts_can_be_rendered(op: type[Operation]) -> None:
    for text in (op.text, *(c.text for c in op.contributions)):
        assert as_text(render(text, lambda name, index: Symbol(name)))


@pytest.mark.parametrize("op", REGISTRY, ids=lambda op: op.__name__)
def test_a_wrong_text_is_noticed(op: type[Operation], monkeypatch: pytest.MonkeyPatch) -> None:
    right = op.text
    make = next(iter(MAKERS[op].values()))
    monkeypatch.setattr(op, "text", f"1.5 * ({right})")
    with pytest.raises(AssertionError, match=r"1\.5"):
        test_texts_are_true.hypothesis.inner_test(op, "", make, 4)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("sum(a)", {"a": 3.0}, 3.0),
        ("sum(a)", {"a": np.array([1.0, 2.0])}, 3.0),
        ("sum(a[t] for t in steps(1, T))", {"a": {1: 2.0, 2: 3.0}, "T": 2}, 5.0),
        ("sum(a[t] for t in steps(1, T-2))", {"a": {}, "T": 2}, 0),
        ("(a > 0) * 2", {"a": 1.0}, 2.0),
        ("1 / a", {"a": np.float64(0.0)}, math.inf),
        ("rows(a)", {"a": np.array([[1.0, 2.0], [3.0, 4.0]])}, [[4.0, 6.0]]),
        ("columns(a)", {"a": np.array([[1.0, 2.0], [3.0, 4.0]])}, [[3.0], [7.0]]),
        ("diag(a)", {"a": np.array([1.0, 2.0])}, [[1.0, 0.0], [0.0, 2.0]]),
        ("(t % k != 0) * a", {"t": 6, "k": 3, "a": 5.0}, 0.0),
        ("(t % k != 0) * a", {"t": 7, "k": 3, "a": 5.0}, 5.0),
        ("outer(a, a.T)", {"a": np.array([1.0, 2.0])}, [[1.0, 2.0], [2.0, 4.0]]),
    ],
)
def test_evaluate(text: str, names: dict[str, Any], expected: Any) -> None:
    np.testing.assert_array_equal(evaluate(text, names), expected)


def test_a_formula_can_reach_no_builtins() -> None:
    with pytest.raises(NameError):
        evaluate("open('x')", {})


# ── rendering ─────────────────────────────────────────────────────────────────────────────────


def named(name: str, index: str | None) -> Symbol:
    """Small letters are numbers, capitals are arrays; `g` is a gradient."""
    if index is not None:
        return Symbol(name + subscript(index), scalar=name.islower())
    if name == "g":
        return Symbol("∂y/∂z", "gradient", compound=True)
    return Symbol(pretty_name(name), scalar=name.islower())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # names: a number at the end is an index, unless it is one of several
        ("x1w1 * x1", "x1w1 · x₁"),
        # cells and rows
        ("array(array(1 / a, 0), array(0, -b))", "[[1 / a, 0], [0, −b]]"),
        ("array(a, b) @ array(c, d)", "[a, b] @ [c, d]"),
        # remainders, diagonals, sums over columns
        ("(t % k != 0) * a", "[t mod k ≠ 0] · a"),
        ("(a + b) % (a * b)", "(a + b) mod (a · b)"),
        ("columns(a) + diag(1 - a)", "Σ columns(a) + diag(1 − a)"),
        # brackets
        ("a - (b - c)", "a − (b − c)"),
        ("a - b - c", "a − b − c"),
        ("a - (b + c)", "a − (b + c)"),
        ("a + (b + c)", "a + (b + c)"),
        ("(a + b) * c", "(a + b) · c"),
        ("a * (b + c)", "a · (b + c)"),
        ("a / (b * c)", "a / (b · c)"),
        ("a / (b / c)", "a / (b / c)"),
        ("a / b / c", "a / b / c"),
        ("a / b * c", "a / b · c"),
        ("a * (b / c)", "a · b / c"),
        ("a * b * c", "a · b · c"),
        ("(-a) * b", "−a · b"),
        ("a * -b", "a · (−b)"),
        ("a - -b", "a − (−b)"),
        ("-(-a)", "−(−a)"),
        ("+a", "a"),
        ("-(a + b)", "−(a + b)"),
        ("-(a * b)", "−a · b"),
        ("-a + b", "−a + b"),
        # powers
        ("a**2", "a²"),
        ("a**-1", "a⁻¹"),
        ("a**10", "a¹⁰"),
        ("-a**2", "−a²"),
        ("(-a)**2", "(−a)²"),
        ("(a**2)**3", "(a²)³"),
        ("a**(b**2)", "a^(b²)"),
        ("(a * b)**2", "(a · b)²"),
        ("2*a**2", "2 · a²"),
        ("a**0.5", "a^0.5"),
        ("a**-0.5", "a^(−0.5)"),
        ("a**(T-1)", "a^(T − 1)"),
        ("a**(t-1)", "a^(t − 1)"),
        ("tanh(a)**2", "tanh(a)²"),
        ("sqrt(a)**2", "(√a)²"),
        ("sqrt(a**2)", "√(a²)"),
        ("sqrt(a + b)", "√(a + b)"),
        ("1 / sqrt(a)", "1 / √a"),
        ("abs(a)**2", "|a|²"),
        # arrays
        ("A * B", "A ⊙ B"),
        ("2 * A", "2 · A"),
        ("A @ B", "A @ B"),
        ("A.T @ B", "Aᵀ @ B"),
        ("(A @ B).T", "(A @ B)ᵀ"),
        ("(A + B).T", "(A + B)ᵀ"),
        ("(A**2).T", "(A²)ᵀ"),
        ("A * (B @ C)", "A ⊙ (B @ C)"),
        ("(A * B) @ C", "(A ⊙ B) @ C"),
        ("A @ (B * C)", "A @ (B ⊙ C)"),
        ("A @ B * C", "(A @ B) ⊙ C"),
        ("A / B @ C", "(A / B) @ C"),
        ("A / 2 @ C", "A / 2 @ C"),
        ("2 * A @ B", "2 · A @ B"),
        ("2 * (A * B) @ C", "(2 · A ⊙ B) @ C"),
        ("A @ (2 * B)", "A @ (2 · B)"),
        ("A @ (B @ C)", "A @ (B @ C)"),
        ("A @ B @ C", "A @ B @ C"),
        ("A @ B / 2", "A @ B / 2"),
        ("A @ (B + C)", "A @ (B + C)"),
        ("sum(A) * B", "Σ(A) · B"),
        ("A * B + C", "A ⊙ B + C"),
        # names, sums, functions
        ("h0", "h₀"),
        ("W_x", "W_x"),
        ("h[t-1]", "hₜ₋₁"),
        ("h[T]", "h_T"),
        ("sum(h[t-1] * dz[t] for t in steps(1, T))", "Σₜ hₜ₋₁ · dzₜ"),
        ("sum(a[t] + b for t in steps(1, T))", "Σₜ (aₜ + b)"),
        ("sum(a[t] - b for t in steps(1, T)) + c", "Σₜ (aₜ − b) + c"),
        ("sigmoid(a)", "σ(a)"),
        ("maximum(a, 0)", "max(a, 0)"),
        ("abs(a)", "|a|"),
        ("g * (a > 0)", "∂y/∂z · [a > 0]"),
        ("g * (a == b) / 2", "∂y/∂z · [a = b] / 2"),
        ("(a != b)", "[a ≠ b]"),
        ("g**2", "(∂y/∂z)²"),
        ("a / g", "a / (∂y/∂z)"),
        ("-g", "−∂y/∂z"),
        ("expand(g)", "expand(∂y/∂z)"),
        ("reshape(g, shape_of(a))", "reshape(∂y/∂z)"),
    ],
)
def test_rendered(text: str, shown: str) -> None:
    assert as_text(render(text, named)) == shown


@pytest.mark.parametrize(
    ("text", "numbers", "shown"),
    [
        ("a**2", {"a": "-3"}, "(-3)²"),
        ("a**2", {"a": "−3"}, "(−3)²"),
        ("a - b", {"a": "1", "b": "-2"}, "1 − (-2)"),
        ("a + b", {"a": "-1", "b": "-2"}, "-1 + (-2)"),
        ("a * b", {"a": "-1", "b": "-2"}, "-1 · (-2)"),
        ("a / b", {"a": "1", "b": "-2"}, "1 / (-2)"),
        ("-a", {"a": "-2"}, "−(-2)"),
        ("a**b", {"a": "2", "b": "3"}, "2³"),
        ("a**b", {"a": "2", "b": "-3"}, "2⁻³"),
        ("a**b", {"a": "2", "b": "0.5"}, "2^0.5"),
        ("a**b", {"a": "2", "b": "-0.5"}, "2^(-0.5)"),
        ("g * (1 - out**2)", {"g": "40", "out": "0.909"}, "40 · (1 − 0.909²)"),
        ("sqrt(a)", {"a": "-2"}, "√(-2)"),
        ("tanh(a)", {"a": "-2"}, "tanh(-2)"),
    ],
)
def test_rendered_with_numbers(text: str, numbers: dict[str, str], shown: str) -> None:
    found = render(text, lambda name, index: Symbol(numbers[name], "number"))
    assert as_text(found) == shown


def test_segments_keep_what_they_stand_for() -> None:
    segments = render("a * b", lambda name, index: Symbol(name.upper(), "value", f"id-{name}"))
    assert [(s.text, s.role, s.ref) for s in segments] == [
        ("A", "value", "id-a"),
        (" · ", "operator", None),
        ("B", "value", "id-b"),
    ]


@pytest.mark.parametrize("text", ["[a]", "a.b", "not a", "a and b", "~a", "a // b", "a < b < c"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot contain"):
        render(text, named)


ARRAYS = {
    "A": np.array([[1.5, -2.0], [0.7, 3.0]]),
    "B": np.array([[-0.3, 1.1], [2.0, 0.4]]),
    "C": np.array([[0.9, -1.7], [-0.6, 0.8]]),
}
SCALARS = {"a": 1.7, "b": 0.6, "c": -2.3, "k": -0.8}
ASCII = {
    " · ": "*", " ⊙ ": "*", " − ": "-", "−": "-", "ᵀ": ".T", "^": "**", "²": "**2", "³": "**3",
    "⁻": "-",
}  # fmt: skip


def expression(rng: np.random.Generator, arrays: bool, depth: int = 4) -> str:
    """A random formula with every part in brackets."""
    if depth == 0 or rng.random() < 0.15:
        names = list(ARRAYS) if arrays else [*SCALARS, "2", "3"]
        return str(rng.choice(names))
    part = f"({expression(rng, arrays, depth - 1)})"
    wrapped = ["-{}", "{}**2"]
    wrapped += ["{}.T", "3 * {}", "{} / 2"] if arrays else ["sqrt({})", "{}**3"]
    if rng.random() < 0.35:
        return str(rng.choice(wrapped)).format(part)
    sign = rng.choice(["+", "-", "*", "/", *(["@", "@", "@"] if arrays else [])])
    return f"{part} {sign} ({expression(rng, arrays, depth - 1)})"


def reread(shown: str) -> str:
    """A rendered formula as Python again."""
    for sign, plain in ASCII.items():
        shown = shown.replace(sign, plain)
    while "√" in shown:  # from the right, so that what it stands before is plain already
        at = shown.rindex("√")
        end = at + 2  # a name
        if "(" in shown[at + 1 : at + 6] and shown[at + 1] not in "abck23":
            end, depth = shown.index("(", at), 0
            while depth or end == shown.index("(", at):
                depth += (shown[end] == "(") - (shown[end] == ")")
                end += 1
        shown = f"{shown[:at]}sqrt({shown[at + 1 : end]}){shown[end:]}"
    return shown


def same(text: str, again: str, names: dict[str, Any]) -> bool:
    left, right = evaluate(text, names), evaluate(again, names)
    well = np.abs(left) < 1e6  # not divided by (almost) 0, where rounding decides
    return bool(np.allclose(np.where(well, left, 0.0), np.where(well, right, 0.0), rtol=1e-6))


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32 - 1))
def test_brackets_of_scalars_never_lose_meaning(seed: int) -> None:
    text = expression(np.random.default_rng(seed), arrays=False)
    shown = as_text(render(text, lambda name, index: Symbol(name)))
    assert same(text, reread(shown), {k: np.float64(v) for k, v in SCALARS.items()}), shown


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32 - 1))
def test_brackets_of_arrays_never_lose_meaning(seed: int) -> None:
    text = expression(np.random.default_rng(seed), arrays=True)
    shown = as_text(render(text, lambda name, index: Symbol(name, scalar=False)))
    assert same(text, reread(shown), ARRAYS), shown


def test_mixed_products_are_always_bracketed() -> None:
    for text in ("A * B @ C", "A @ B * C", "A * (B @ C)", "(A @ B) / C"):
        shown = as_text(render(text, lambda name, index: Symbol(name, scalar=False)))
        assert "(" in shown, shown


def test_parse_is_cached() -> None:
    assert parse("a + b") is parse("a + b")
