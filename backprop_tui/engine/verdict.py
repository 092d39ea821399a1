"""What a comparison comes to, and when two numbers count as the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations import Value

RELATIVE_TOLERANCE = 1e-9
"""By hand against torch, both in float64. The two differ by the order in which sums are taken and
by the last digit of a tanh; that is 1e-16 an operation, and 1e-9 leaves room for long chains
while every wrong rule is off by far more."""

LOCAL_FLOOR = 64 * float(np.finfo(np.float64).eps)
"""A cell that came out of a cancelling sum (0.1 + 0.2 − 0.3) keeps the rounding of what was
summed: relative to itself that may be anything. So a difference is also forgiven up to this
fraction of the largest magnitude in the same node."""

ROUNDING_SAFETY = 16.0
"""Where a node still differs, the rounding that reached it through the whole graph is estimated
(`engine.rounding`), and a difference within this many times the estimate is none."""


class Verdict(Enum):
    """What a comparison comes to: in words, and with a sign that doesn't rely on colour."""

    AGREE = ("agrees", "✓")
    DIFFER = ("differs", "✗")
    KINK = ("kink: no slope here", "∧")
    """The finite difference straddles a kink, so there is no slope to compare with."""
    NOT_FINITE = ("not finite", "∞")
    """The finite difference met inf or nan, so there is nothing to compare with."""
    UNCERTAIN = ("uncertain", "≈")
    """The finite difference is too inexact here to tell."""
    PENDING = ("…", "…")
    """The reference has not answered yet."""
    ABSENT = ("no value: not used", "·")
    """The reference has no value for it: it was not used, or torch has no such call."""

    def __init__(self, word: str, sign: str) -> None:
        self.word = word
        self.sign = sign


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two values are apart at most: 0 if equal, inf if only one is finite."""

    absolute: float
    relative: float
    """The largest over the cells of |a − b| / max(|a|, |b|); 0 where both are 0."""


def furthest_apart(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    starts: NDArray[np.intp],
    sizes: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """For each segment the largest absolute and relative difference, and whether it agrees."""
    with np.errstate(all="ignore"):
        absolute = np.abs(a - b)
        magnitude = np.maximum(np.abs(a), np.abs(b))
        relative = absolute / magnitude
        if not np.isfinite(relative).all():  # 0/0, or inf and nan among the numbers
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            absolute = np.where(same, 0.0, np.where(np.isfinite(absolute), absolute, _INF))
            relative = np.where(same, 0.0, np.where(np.isfinite(absolute), relative, _INF))
            magnitude = np.where(np.isfinite(magnitude), magnitude, 0.0)
    largest = np.maximum.reduceat(magnitude, starts)
    worst = np.maximum.reduceat(relative, starts)
    furthest = np.maximum.reduceat(absolute, starts)
    within = worst <= RELATIVE_TOLERANCE
    if not within.all():  # small cells beside large ones
        allowed = RELATIVE_TOLERANCE * magnitude + np.repeat(LOCAL_FLOOR * largest, sizes)
        within = np.logical_and.reduceat(absolute <= allowed, starts)
    return furthest, worst, within


def within_rounding(a: Value, b: Value, rounding: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    with np.errstate(all="ignore"):
        magnitude = np.maximum(np.abs(a), np.abs(b))
        # What is infinite must be the same; rounding that cannot be estimated excuses nothing.
        allowed = RELATIVE_TOLERANCE * np.where(np.isfinite(magnitude), magnitude, 0.0)
        allowed = allowed + ROUNDING_SAFETY * np.where(np.isfinite(rounding), rounding, 0.0)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        return bool(np.all(same | (np.abs(a - b) <= allowed)))


_INF = float("inf")
