"""Random programs that use many operations, with values that stay in a sensible domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
SHAPES = [(), (3,), (2, 3), (2, 1), (1, 3)]


def random_program(rng: Rng, size: int) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A program with about `size` operations on leaves of several shapes, and its leaves.

    Everything random is drawn here, so that the program does the same at each run.
    """
    leaves = {
        f"x{i}": _value(rng.uniform(0.3, 1.5, shape) * rng.choice([-1.0, 1.0], shape))
        for i, shape in enumerate(SHAPES)
    }
    plan = [
        (int(rng.integers(0, 20)), float(rng.random()), float(rng.random()), float(rng.random()))
        for _ in range(size)
    ]

    def program(xp: Any, **inputs: Any) -> Any:
        values = list(inputs.values())
        for kind, first, second, number in plan:
            recent = values[-12:]
            a = recent[int(first * len(recent))]
            b = values[int(second * len(values))]
            values.append(_apply(xp, kind, a, b, number))
        total = xp.sum(values[-1])
        for value in values[len(SHAPES) : -1 : 7]:
            total = total + xp.mean(value)
        return total

    return program, leaves


def _value(array: Any) -> Any:
    return float(array) if np.ndim(array) == 0 else array


def _apply(xp: Any, kind: int, a: Any, b: Any, number: float) -> Any:
    """One operation; what could grow or leave its domain is squashed first."""
    rank = len(a.shape)
    match kind:
        case 0:
            return a + b if _small(a, b) else a + number
        case 1:
            return a - b if _small(a, b) else number - a
        case 2:
            return xp.tanh(a) * b if _small(a, b) else a * number
        case 3:
            return a / (b * b + 1.5) if _small(a, b) else a / (1.0 + number)
        case 4:
            return -a
        case 5:
            return xp.tanh(a) ** 2
        case 6:
            return (a * a + 0.5) ** (number - 0.5)
        case 7:
            return xp.exp(xp.tanh(a))
        case 8:
            return xp.log(a * a + 0.7)
        case 9:
            return xp.sqrt(a * a + 0.4)
        case 10:
            return xp.sin(a) + xp.cos(a)
        case 11:
            return xp.sigmoid(a)
        case 12:
            return xp.relu(a + 0.1)
        case 13:
            return xp.maximum(a, a * 0.9 + 0.05)
        case 14:
            return xp.abs(a) * 0.5
        case 15:
            return xp.sum(a, dim=-1, keepdim=True) * 0.3 if rank else a * a * 0.1
        case 16:
            return xp.mean(a, dim=0) if rank else xp.unsqueeze(a, 0)
        case 17:
            return a @ a.T * 0.1 if rank == 2 else xp.stack([a, a * 0.5])[1]
        case 18:
            return a[-1] if rank else xp.reshape(a, (1, 1))
        case _:
            return xp.cat([a, a * number], dim=-1)[..., : a.shape[-1]] if rank else a**3 * 0.01


def _small(a: Any, b: Any) -> bool:
    """Whether a and b broadcast."""
    pairs = zip(reversed(a.shape), reversed(b.shape), strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs) and len(a.shape) + len(b.shape) <= 4
