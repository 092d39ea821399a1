"""What was asked for: options, NAME=VALUE and whole numbers, or in one line what is wrong."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import NoReturn

FINE = 0
DISAGREE = 1
BAD_INPUT = 2
NO_TORCH = 3
INTERRUPTED = 130
PIPE_CLOSED = 141


class CommandError(Exception):
    """It cannot be done; the text is one line for the user."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with what was perhaps meant."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse, and name the alternatives for a word that is not understood."""
        found, unknown = self.parse_known_args(words)
        if unknown:
            raise CommandError(self._not_known(unknown[0].partition("=")[0]))
        return found

    def _not_known(self, word: str) -> str:
        if not word.startswith("-"):
            return f"“{short(word)}” is one word too many (see {self.prog} --help)"
        known = [option for option in self._option_string_actions if option.startswith("--")]
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}? " if close else ""
        options = ", ".join(known)
        return f"{self.prog} has no option “{short(word)}”: {hint}known: {options}"

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        raise CommandError(f"{short(message, 300)} (see {self.prog} --help)")


def short(text: str, limit: int = 60) -> str:
    """One printable line of a word that may be anything."""
    line = " ".join(text[: 2 * limit].split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in line)


_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def whole_number(text: str, what: str) -> int:
    """A whole number in digits 0 to 9: `int` would take many others, and underscores."""
    if not _WHOLE.fullmatch(text.strip()):
        raise CommandError(f"{what} must be a whole number such as 3, not “{short(text)}”")
    return int(text)


def pairs_of(given: Sequence[str], option: str, example: str) -> dict[str, str]:
    """NAME=VALUE, several times; the last one wins."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise CommandError(
                f"{option} needs NAME=VALUE, such as {option} {example}, not “{short(text)}”"
            )
        pairs[name.strip()] = value
    return pairs
