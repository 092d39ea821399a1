"""When a number counts as the same as another: to float64's rounding, or as far as written down."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from backprop_tui.engine.operations import Value
from backprop_tui.engine.verdict import LOCAL_FLOOR, RELATIVE_TOLERANCE, ROUNDING_SAFETY

SINGLE_CELL = 2e-6
"""How far a cell that was computed in float32 may be off, relative to itself."""

SINGLE_FLOOR = 2e-7
"""And relative to the largest cell beside it, as sums cancel."""

WRITTEN_ENOUGH = 5e-3
"""A value written with few digits is judged if half a unit of its last digit is no more than this
part of it (three significant digits): with fewer, right and wrong cannot be told apart."""

FULL_DIGITS = 12
"""From this many significant digits on a number is taken as computed, not as written by hand."""


@dataclass(frozen=True, slots=True)
class Slack:
    """How far a value may be off because of the way in which it was written."""

    step: float
    """Half a unit of its last decimal; 0 if all its digits count."""

    enough: bool
    """Whether that is little enough beside the value to judge it."""


def slack_of(value: Any) -> Slack:
    """How exactly a value is written: the decimals of the cell that has the most."""
    cells = np.ravel(np.asarray(value, dtype=np.float64))
    finite = [float(cell) for cell in cells if np.isfinite(cell)]
    if not finite:
        return Slack(0.0, enough=True)
    written = [_written(cell) for cell in finite]
    if max(digits for digits, _ in written) >= FULL_DIGITS:
        return Slack(0.0, enough=True)
    step = 0.5 * 10.0 ** -max(decimals for _, decimals in written)
    return Slack(step * (1.0 + 1e-6), step <= WRITTEN_ENOUGH * max(map(abs, finite)))


def _written(number: float) -> tuple[int, int]:
    """How many significant digits and how many decimals it takes to write a number."""
    _, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    return len(digits), max(0, -exponent) if isinstance(exponent, int) else 0


def same(a: Any, b: Any, rounding: Any = 0.0, step: float = 0.0) -> bool:
    """Whether two arrays of one shape are the same up to float64's rounding, and up to `step`.

    `rounding` is the estimate of `engine.rounding` for each cell.
    """
    return bool(np.all(same_cells(a, b, rounding, step)))


def same_cells(a: Any, b: Any, rounding: Any = 0.0, step: float = 0.0) -> Any:
    """The same cell by cell."""
    return _near(a, b, RELATIVE_TOLERANCE, LOCAL_FLOOR, rounding, step)


def same_in_single_precision(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape are the same as far as float32 can tell."""
    return bool(np.all(_near(a, b, SINGLE_CELL, SINGLE_FLOOR, 0.0, 0.0)))


def _near(a: Any, b: Any, cell: float, floor: float, rounding: Any, step: float) -> Any:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(a), np.abs(b))
        size = np.where(np.isfinite(size), size, 0.0)
        # Rounding that cannot be estimated excuses nothing.
        noise = ROUNDING_SAFETY * np.where(np.isfinite(rounding), rounding, 0.0)
        allowed = cell * size + floor * (size.max() if size.size else 0.0) + noise + step
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        return equal | (np.abs(a - b) <= allowed)


def finite(value: Value) -> bool:
    """Whether every cell is a number."""
    return bool(np.all(np.isfinite(value)))
