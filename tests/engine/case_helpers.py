"""How the makers of cases draw their numbers and shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Case = tuple[Callable[..., Any], dict[str, Any]]
Maker = Callable[[Rng], Case]


def signed(rng: Rng, shape: tuple[int, ...]) -> Any:
    """Numbers between 0.3 and 2, of either sign."""
    return rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def positive(rng: Rng, shape: tuple[int, ...]) -> Any:
    """Numbers between 0.3 and 2."""
    return rng.uniform(0.3, 2.0, shape)


def shape(rng: Rng, low: int = 0, high: int = 3) -> tuple[int, ...]:
    """A shape with `low` to `high` dimensions."""
    return tuple(int(n) for n in rng.integers(1, 4, rng.integers(low, high + 1)))


def broadcastable(rng: Rng, full: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `full`: leading dimensions dropped, others set to 1."""
    kept = full[int(rng.integers(0, len(full) + 1)) :] if rng.random() < 0.5 else full
    return tuple(1 if rng.random() < 0.3 else n for n in kept)


def unary(function: Callable[..., Any], draw: Callable[..., Any] = signed) -> Maker:
    return lambda rng: (lambda xp, *, a: function(xp, a), {"a": draw(rng, shape(rng))})


def binary(
    function: Callable[..., Any],
    draw_a: Callable[..., Any] = signed,
    draw_b: Callable[..., Any] = signed,
) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng)
        leaves = {
            "a": draw_a(rng, broadcastable(rng, full)),
            "b": draw_b(rng, broadcastable(rng, full)),
        }
        return lambda xp, *, a, b: function(xp, a, b), leaves

    return make


def apart(rng: Rng, full: tuple[int, ...]) -> tuple[Any, Any]:
    """Two arrays that never tie."""
    return rng.integers(-5, 6, full) * 0.5 + 0.2, rng.integers(-5, 6, full) * 0.5 - 0.03
