"""Breaking lines of pieces at blanks, so that they fit a width."""

from __future__ import annotations

import re

from backprop_tui.tui.painted import Piece, Pieces


def wrap(pieces: Pieces, width: int, indent: int = 0) -> list[Pieces]:
    """Break a line into several of at most `width` cells, the later ones indented.

    Breaks at blanks; a word longer than a line is cut. Roles and references are kept.
    """
    if sum(len(piece.text) for piece in pieces) <= width:
        return [pieces]
    indent = min(indent, max(0, width - 10))
    lines: list[list[Piece]] = [[]]
    column = 0
    for word in _words(pieces):
        length = sum(len(piece.text) for piece in word)
        blank = "".join(piece.text for piece in word).isspace()
        if column + length > width and not blank and column > indent:
            lines.append([Piece(" " * indent)])
            column = indent
        if blank and column + length > width:
            continue
        for piece in word:
            rest = piece
            while column + len(rest.text) > width:
                room = max(width - column, 0 if column > indent else 1)
                if room:
                    lines[-1].append(rest._replace(text=rest.text[:room]))
                    rest = rest._replace(text=rest.text[room:])
                lines.append([Piece(" " * indent)])
                column = indent
            lines[-1].append(rest)
            column += len(rest.text)
    return [tuple(line) for line in lines]


def _words(pieces: Pieces) -> list[list[Piece]]:
    """Groups of pieces between which a line may be broken: words, and the blanks between."""
    words: list[list[Piece]] = []
    for piece in pieces:
        for text, blank in _split(piece.text):
            part = Piece(text, piece.role, piece.ref)
            if words and not blank and not words[-1][-1].text.isspace():
                words[-1].append(part)
            else:
                words.append([part])
    return words


def _split(text: str) -> list[tuple[str, bool]]:
    """Words and the blanks between them, and of each whether it is blanks."""
    return [(part, part[0] == " ") for part in _PARTS.findall(text)]


_PARTS = re.compile(r" +|[^ ]+")
