"""Editing a number: the draft that is being typed, and nudging by keys. No widget here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from backprop_tui.lessons.base import Size as LessonSize
from backprop_tui.tui.leaves_layout import Spot
from backprop_tui.values import (
    BadValue,
    parse_number,
    parse_value,
)

# ── nudging ───────────────────────────────────────────────────────────────────────────────────


def nudge_step(number: float) -> Decimal:
    """By how much a number is nudged: 0.1 up to 10, then a tenth of its power of ten.

    A number below 0.01 is moved in its own power of ten, so that it does not jump over its
    neighbours, and still comes to 0 and past it.
    """
    size = abs(number)
    if size == 0 or 0.01 <= size < 10:
        return Decimal("0.1")
    power = Decimal(repr(size)).adjusted()
    return Decimal(1).scaleb(power if size < 1 else power - 1)


def nudged(number: float, times: Decimal | int) -> float:
    """The number moved by so many steps, as one would write it: 0.1 + 0.2 is 0.3 here."""
    if not math.isfinite(number):
        return number
    moved = float(Decimal(repr(float(number))) + nudge_step(number) * times)
    return moved if math.isfinite(moved) else number


# ── what is shown ─────────────────────────────────────────────────────────────────────────────


MAX_DRAFT = 400
"""So many characters can be typed into a cell."""


@dataclass(slots=True)
class Draft:
    """A number that is being typed into a cell."""

    spot: Spot
    text: str
    caret: int
    refusal: str = ""
    """Why it was not taken, if so."""

    def insert(self, text: str) -> None:
        """Put text in at the caret, as far as there is room."""
        text = text[: max(0, MAX_DRAFT - len(self.text))]
        self.text = self.text[: self.caret] + text + self.text[self.caret :]
        self.caret += len(text)
        self.refusal = ""

    def delete(self, direction: int) -> None:
        """Delete the character before (−1) or after (1) the caret."""
        if direction < 0:
            if not self.caret:
                return
            self.caret -= 1
        self.text = self.text[: self.caret] + self.text[self.caret + 1 :]
        self.refusal = ""

    def move(self, to: int) -> None:
        """Put the caret somewhere."""
        self.caret = max(0, min(to, len(self.text)))


STARTERS = frozenset("0123456789.+-−")
"""What begins a number."""

SHORT = 60
"""A pasted text that is longer is not one number."""


def read_size(text: str, size: LessonSize) -> int:
    """Read a size. Raises BadValue."""
    number = parse_number(text)
    if not number.is_integer() or not size.minimum <= number <= size.maximum:
        bounds = f"from {size.minimum} to {size.maximum}"
        raise BadValue(f"{size.name} ({size.meaning}) must be a whole number {bounds}")
    return int(number)


def one_number(text: str) -> float | None:
    """The number that a text consists of, in brackets or not; None if it is more or none."""
    word = text.strip()
    if len(word) > SHORT:
        return None
    try:
        value = parse_value(word)
    except BadValue:
        return None
    return float(np.reshape(value, ())) if np.size(value) == 1 else None
