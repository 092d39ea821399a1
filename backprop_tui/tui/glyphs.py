"""ASCII stand-ins for terminals that would show question marks.

Every stand-in is as wide as what it stands for, so that nothing on the screen moves.
"""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

_SAME = (
    # Mathematics. ⊙ is the product of matching cells: a star like any other product.
    ("−‐‑‒–—―⁻₋", "-"),
    ("·⊙⋅∙∗•", "*"),
    ("×⨯", "x"),
    ("÷⁄∕", "/"),
    ("∂δ", "d"),
    ("ΣσςΔτλμεηθπρφω", "SsstDlmentprfw"),
    ("∇√∞∈", "VVoe"),
    ("≈≃≅≡≠≤≥±∓", "~~~=!<>+-"),
    ("ᵀ⊤", "T"),
    ("′’‘‛ʹ", "'"),
    ("‚", ","),
    ("″“”„‟«»", '"'),
    ("‹›⟨⟩❬❭", "<><><>"),
    ("…⋯", "~"),
    ("⋮", ":"),
    ("¬", "!"),
    ("∣‖", "|"),
    ("⁺₊", "+"),
    ("⁼₌", "="),
    # What a verdict begins with, as a teacher ticks: the word stands beside it.
    ("✓✔☑", "v"),
    ("✗✘✕✖☒", "x"),
    # Arrows and pointers.
    ("→⇒⟶▶▸▷▹►⯈➤❯▻", ">"),
    ("←⇐⟵◀◂◁◃◄⯇❮◅", "<"),
    ("↑⇑▲▴△▵", "^"),
    ("↓⇓▼▾▽▿", "v"),
    ("↔⇄", "="),
    ("↕⇅", "|"),
    ("↺↻⟲⟳↶↷", "@"),
    ("↵⏎", "<"),
    ("⏸", "="),
    # Marks.
    ("●◉◆■▪◼★", "*"),
    ("○◌◇□▫◻☆◦", "o"),
    ("☐", "_"),
    # Brackets of matrices, drawn over several lines.
    ("⎡⎢⎣⎤⎥⎦", "[[[]]]"),
    ("⎛⎜⎝", "((("),
    ("⎞⎟⎠", ")))"),
    ("⎧⎨⎩⎪⎫⎬⎭", "{{{|}}}"),
    # Lines: corners and joints are +, as in every table typed by hand.
    ("─━┄┅┈┉╌╍╴╶╸╺╼╾", "-"),
    ("═", "="),
    ("│┃┆┇┊┋╎╏╵╷╹╻╽╿║", "|"),
    ("╱╲╳", "/\\X"),
    # Blocks: half ones are blank or full, whichever they are closer to.
    ("█▉▊▋▌▐▓▒▄▀▅▆▇▙▛▜▟", "#"),
    ("░▁▂▃▍▎▏▕▔▖▗▘▝▚▞", ":"),
    ("\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}\N{HAIR SPACE}", " "),
    ("�", "?"),
)
"""Characters and what stands for them: one for all of them, or one each."""


def _stand_in(character: str) -> str:
    """For a character that is not in the table: its plain letter, or `?` for each cell."""
    if character.isascii():
        return character
    width = cell_len(character)
    if not width:  # an accent on the letter before
        return ""
    # Superscripts, subscripts and letters with accents come apart into letter and ornament.
    plain_letter = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    )
    plain_letter = plain_letter.translate(_START) if plain_letter != character else ""
    if plain_letter.isascii() and len(plain_letter) == width:
        return plain_letter
    return "?" * width


class _Table(dict[int, str]):
    """A table for `str.translate` that works out what it doesn't hold, once."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _stand_in(chr(code))
        return found


def _entries() -> dict[int, str]:
    # Joints and corners first: ╭ ┬ ┼ ┏ ╬ …
    entries = dict.fromkeys(range(9472, 9600), "+")
    for characters, stand_ins in _SAME:
        if len(stand_ins) == 1:
            stand_ins *= len(characters)
        pairs = zip(characters, stand_ins, strict=True)
        entries.update((ord(character), stand_in) for character, stand_in in pairs)
    return entries


_START = _entries()
_TABLE = _Table(_START)


def plain(text: str, ascii: bool) -> str:
    """The text as it is, or in ASCII only and just as wide where `ascii` is asked for."""
    if not ascii or text.isascii():
        return text
    return text.translate(_TABLE)
