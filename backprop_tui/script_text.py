"""A script in words: states of tensors as torch writes them, sums in symbols and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.engine.formula import Segment, Segments, Symbol, evaluate, render
from backprop_tui.lessons.script import (
    Actual,
    Raises,
    ScriptComparison,
    Sum,
    TensorState,
    outcome_agrees,
)
from backprop_tui.values import format_number

States = Mapping[str, TensorState]


def field_text(value: Any) -> str:
    """One field of a state: `True`, `None`, `MulBackward0`, `2.25`."""
    return format_number(value).replace("-", "−") if isinstance(value, float) else str(value)


def variables(before: States) -> dict[str, float]:
    """What a sum may speak of: `z` for a tensor's value, `z_grad` for its gradient."""
    found = {name: state.value for name, state in before.items()}
    gradients = {name: state.grad for name, state in before.items()}
    return found | {f"{name}_grad": grad for name, grad in gradients.items() if grad is not None}


def sum_value(told: Sum, before: States) -> float:
    """What a sum comes to, with the numbers before the statement."""
    return float(evaluate(told.right, variables(before)))


def sum_segments(told: Sum, before: States) -> Segments:
    """`w.grad = w.grad before + 2 · z · x = 24 + 2 · 6 · 2 = 48`."""
    numbers = variables(before)

    def named(name: str, index: str | None) -> Symbol:
        gradient = name.endswith("_grad")
        text = f"{name.removesuffix('_grad')}.grad" if gradient else name
        if text == told.of:
            text += " before"
        return Symbol(text, "gradient" if gradient else "value")

    def counted(name: str, index: str | None) -> Symbol:
        return Symbol(field_text(numbers[name]), "number")

    left = Segment(told.of, "gradient" if told.of.endswith(".grad") else "value")
    equals = Segment(" = ", "operator")
    symbols, digits = render(told.right, named), render(told.right, counted)
    result = Segment(field_text(sum_value(told, before)), "number")
    middle = () if digits == (result,) else (*digits, equals)
    return (left, equals, *symbols, equals, *middle, result)


def outcome_text(raises: Raises | None, actual: Actual | None) -> str:
    """What becomes of a statement that torch refuses, or should refuse; nothing for others."""
    if actual is None:
        return "" if raises is None else f"By hand: {raises.kind}, “… {raises.saying} …”."
    if outcome_agrees(raises, actual.raised):
        return "" if raises is None else f"✓ As predicted, torch raises {actual.raised}"
    if actual.raised is None:
        return f"✗ Torch runs it, and by hand it raises {raises.kind if raises else 'nothing'}."
    return f"✗ Not predicted: torch raises {actual.raised}"


def conclusion(comparison: ScriptComparison) -> str:
    """A script's comparison in a few words."""
    if comparison.agree:
        return f"agrees: {comparison.statements} statements, {comparison.cells} cells"
    return f"differs: {comparison.mismatches[0]}"
