"""Rows of measurements, and how they are printed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    what: str
    beside: str
    goal: float
    measured: float
    """A ratio, unless `unit` says otherwise."""

    note: str = ""
    """The numbers behind it."""

    at_least: bool = False
    """Whether more is better."""

    unit: str = "×"

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal


def median(numbers: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(numbers)


def percentile(numbers: Iterable[float], share: float) -> float:
    """What that share of the numbers doesn't exceed."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def as_text(rows: Sequence[Row]) -> str:
    """The table for reading."""
    cells = [("what", "beside", "goal", "measured", "ok?", "")]
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        cells.append(
            (
                row.what,
                row.beside,
                f"{sign} {row.goal:g}{row.unit}",
                f"{row.measured:.2f}{row.unit}",
                "yes" if row.met else "no",
                row.note,
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line[:5], widths, strict=True)),
                   line[5]]).rstrip()
        for line in cells
    )  # fmt: skip


def as_json(rows: Sequence[Row]) -> str:
    """The table for programs: an array of objects."""
    return json.dumps(
        [{**row._asdict(), "met": row.met} for row in rows], ensure_ascii=False, indent=1
    )
