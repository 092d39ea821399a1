"""stdin, stdout and stderr: what they can show, and writing to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_tui.report import Look


def has_terminal() -> bool:
    """Whether the app can run here: it reads keys from stdin and draws on stderr."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(is_tty(stream) for stream in streams) and os.environ.get("TERM") != "dumb"


def is_tty(stream: IO[str] | None) -> bool:
    """Whether the stream is there and is a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def _shows_symbols(stream: IO[str] | None) -> bool:
    """Whether the stream's encoding has the characters of our formulas."""
    try:
        "∂₂ₜᵀ·−…✓⎡".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def look_of_stdout() -> Look:
    """How text is laid out on stdout."""
    from backprop_tui.report import Look

    width = max(40, shutil.get_terminal_size((80, 24)).columns)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    styled = is_tty(sys.stdout) and not plain
    return Look(width, styled=styled, ascii=not _shows_symbols(sys.stdout))


def print_lines(lines: Iterable[str]) -> None:
    """Lines on stdout."""
    if sys.stdout is None:
        return
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def print_json(found: object) -> None:
    """JSON on stdout."""
    from backprop_tui.report import json_lines

    print_lines(json_lines(found, ascii_only=not _shows_symbols(sys.stdout)))


def complain(message: str) -> None:
    """One line on stderr."""
    if sys.stderr is None:
        return
    if not _shows_symbols(sys.stderr):
        from backprop_tui.equations_text import in_ascii

        message = in_ascii(message)
    with contextlib.suppress(OSError):
        print(f"backprop-tui: {message}", file=sys.stderr)


@contextlib.contextmanager
def progress(message: str) -> Iterator[None]:
    """Say on a terminal's stderr what is going on, and take it away again."""
    shown = is_tty(sys.stderr) and os.environ.get("TERM") != "dumb"
    if shown:
        text = message if _shows_symbols(sys.stderr) else message.replace("…", "...")
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(f"\r{' ' * (len(message) + 2)}\r", end="", file=sys.stderr, flush=True)


def let_go_of_stdout() -> None:
    """Send what is still buffered nowhere, or Python would complain about it at its exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
