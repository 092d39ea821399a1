"""Laying text out: what can be shown, values in full, tables with aligned columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from backprop_tui.engine.operations import Value
from backprop_tui.equations_text import in_ascii
from backprop_tui.values import format_matrix, format_number


@dataclass(frozen=True, slots=True)
class Look:
    """What the place where the text goes can show."""

    width: int = 80
    styled: bool = False
    """Whether escape codes for bold and dim are understood."""

    ascii: bool = False
    """Whether only ASCII characters can be shown."""

    def text(self, text: str) -> str:
        """The text in characters that can be shown. Done before anything is aligned."""
        return in_ascii(text) if self.ascii else text

    def heading(self, text: str) -> str:
        """A line in bold."""
        return f"\x1b[1m{self.text(text)}\x1b[0m" if self.styled else self.text(text)

    def aside(self, text: str) -> str:
        """A line that steps back."""
        return f"\x1b[2m{self.text(text)}\x1b[0m" if self.styled and text else self.text(text)

    def wrapped(self, text: str, indent: str = "") -> list[str]:
        """Prose as lines of a width that reads well."""
        width = max(20, min(self.width, 88))
        return textwrap.wrap(
            self.text(text),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )


Block = list[str]
"""The lines of one cell of a table."""


def value_block(value: Value | None, width: int, look: Look) -> Block:
    """A value in full: a number, a row in brackets, or a matrix with aligned columns.

    What is wider than `width` is continued below, group of columns by group of columns.
    """
    if value is None:
        return [look.text("–")]
    if isinstance(value, float):
        return [look.text(_minus(format_number(value)))]
    rows = format_matrix(value)
    if value.ndim == 1:
        return [look.text(line) for line in _vector_lines(rows[0], width)]
    cells = len(rows[0])
    per_group = max(1, (width - 2) // (max(map(len, rows[0])) + 2))
    lines: Block = []
    for start in range(0, cells, per_group):
        stop = min(cells, start + per_group)
        if cells > per_group:
            lines.append(f"columns {start + 1} to {stop}")
        lines += _bracketed([_minus("  ".join(row[start:stop])) for row in rows])
    return [look.text(line) for line in lines]


def _vector_lines(cells: list[str], width: int) -> list[str]:
    words = " ".join(cell.strip() for cell in cells)
    return textwrap.wrap(f"[{_minus(words)}]", max(10, width), subsequent_indent=" ")


def _bracketed(rows: list[str]) -> list[str]:
    if len(rows) == 1:
        return [f"[{rows[0]}]"]
    middle = [f"⎢{row}⎥" for row in rows[1:-1]]
    return [f"⎡{rows[0]}⎤", *middle, f"⎣{rows[-1]}⎦"]


def _minus(number: str) -> str:
    return number.replace("-", "−")


def table(rows: Sequence[Sequence[Block]], gap: int = 3, indent: int = 2) -> list[str]:
    """Rows of blocks with aligned columns; a block is as high as it needs to be.

    All rows have equally many blocks. A column in which nothing stands takes no room.
    """
    if not rows:
        return []
    widths = [width_of(*column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        for height in range(max(map(len, row))):
            cells = [
                (block[height] if height < len(block) else "").ljust(width)
                for block, width in zip(row, widths, strict=True)
                if width
            ]
            lines.append((" " * indent + (" " * gap).join(cells)).rstrip())
    return lines


def width_of(*blocks: Block) -> int:
    """The length of the longest line of all blocks."""
    return max((len(line) for block in blocks for line in block), default=0)
