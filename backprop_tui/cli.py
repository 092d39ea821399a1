"""The command line: what was asked for, and who does it.

Each command imports what it needs when it needs it: `list`, `--help` and `--version` load neither
torch nor textual, `show` and `check` don't load textual.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, TYPE_CHECKING, NoReturn

from backprop_tui import __version__

if TYPE_CHECKING:
    from backprop_tui.engine.operations import Value
    from backprop_tui.lessons.base import Leaf, Lesson
    from backprop_tui.report import Look
    from backprop_tui.session import Session
    from backprop_tui.state import State, StateStore

FINE = 0
DISAGREE = 1
BAD_INPUT = 2
NO_TORCH = 3
INTERRUPTED = 130
PIPE_CLOSED = 141

HELP = """\
Without a command the app opens, on LESSON or on the list of lessons.

commands:
  list [--json]       the lessons
  show LESSON         one lesson as text: equations, values, gradients three ways
  check [LESSON ...]  hold the gradients by hand against torch and finite differences

examples:
  backprop-tui                        pick a lesson
  backprop-tui rnn                    open one
  backprop-tui show square --set x=3  look at one without opening the app
  backprop-tui show rnn --size T=4 --seed 7 --steps
  backprop-tui show matrix-linear --set "B=[[1, 0, -1]]" --json
  backprop-tui check                  are all gradients right?

exit codes:
  0  fine
  1  check: the gradients of some lesson do not agree
  2  the command, a name or a value was not understood, there is no terminal for the app, or
     the output could not be written
  3  check: torch is missing or broken, so there is nothing to hold the gradients against
  130 after Ctrl-C, 141 when the reader of a pipe has gone
"""


class CommandError(Exception):
    """It cannot be done; the text is one line for the user."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except CommandError as problem:
        _complain(str(problem))
        return problem.code
    except BrokenPipeError:
        _let_go_of_stdout()
        return PIPE_CLOSED
    except OSError as problem:
        _let_go_of_stdout()
        _complain(f"this could not be done: {problem}")
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str]) -> int:
    name = words[0] if words else ""
    command = COMMANDS.get(name)
    try:
        return command(words[1:]) if command is not None else _open(words)
    except SystemExit as done:  # argparse, after --help and --version
        return done.code if isinstance(done.code, int) else FINE


# ── reading the command line ──────────────────────────────────────────────────────────────────


class _Parser(argparse.ArgumentParser):
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
            return f"“{_short(word)}” is one word too many (see {self.prog} --help)"
        known = [option for option in self._option_string_actions if option.startswith("--")]
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}? " if close else ""
        options = ", ".join(known)
        return f"{self.prog} has no option “{_short(word)}”: {hint}known: {options}"

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        raise CommandError(f"{_short(message, 300)} (see {self.prog} --help)")


def _short(text: str, limit: int = 60) -> str:
    """One printable line of a word that may be anything."""
    line = " ".join(text[: 2 * limit].split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in line)


_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def _whole_number(text: str, what: str) -> int:
    """A whole number in digits 0 to 9: `int` would take many others, and underscores."""
    if not _WHOLE.fullmatch(text.strip()):
        raise CommandError(f"{what} must be a whole number such as 3, not “{_short(text)}”")
    return int(text)


def _pairs(given: Sequence[str], option: str, example: str) -> dict[str, str]:
    """NAME=VALUE, several times; the last one wins."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise CommandError(
                f"{option} needs NAME=VALUE, such as {option} {example}, not “{_short(text)}”"
            )
        pairs[name.strip()] = value
    return pairs


# ── the app ───────────────────────────────────────────────────────────────────────────────────


def _open(words: list[str]) -> int:
    """`backprop-tui [LESSON]`: open the app."""
    parser = _Parser("backprop-tui", "A time-travelling debugger for gradients.", HELP)
    parser.usage = (
        "backprop-tui [LESSON] [--no-state] [--ascii] [--theme NAME]\n"
        "       backprop-tui {list,show,check} ..."
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="the lesson to open")
    parser.add_argument("--no-state", action="store_true", help="remember and save nothing")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--theme", metavar="NAME", help="the theme for this time")
    parser.add_argument("--version", action="version", version=f"backprop-tui {__version__}")
    asked = parser.read(words)
    if asked.lesson is not None:
        _check_word(asked.lesson)
    if not _has_terminal():
        show = f"backprop-tui show {asked.lesson or 'LESSON'}"
        raise CommandError(
            f"the app needs a terminal; without one try: {show}, backprop-tui list, "
            "backprop-tui check"
        )
    from backprop_tui.state import StateStore, default_path

    run = _app_runner()
    store: StateStore = StateStore(None if asked.no_state else default_path())
    if asked.theme is not None:
        store = _with_theme(store, _theme(asked.theme))
    return run(asked.lesson, store, ascii=asked.ascii)


def _app_runner() -> Callable[..., int]:
    try:
        from backprop_tui.tui.app import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("backprop_tui"):
            raise
        raise CommandError(
            f"the app needs {missing.name}, which is not installed (list, show and check don't)"
        ) from missing
    return run


def _theme(name: str) -> str:
    """The theme that is meant: `dark` is our own backprop-dark."""
    from backprop_tui.tui.app import BackpropApp

    known = sorted(BackpropApp().available_themes, key=lambda known: "backprop" not in known)
    for theme in (name, f"backprop-{name}"):
        if theme in known:
            return theme
    raise CommandError(f"there is no theme “{_short(name)}”: known: {', '.join(known)}")


def _check_word(word: str) -> None:
    """Raise CommandError unless the word is a lesson."""
    from backprop_tui.lessons import ids

    if word in COMMANDS:
        raise CommandError(f"put the command first: backprop-tui {word} …")
    lessons = ids()
    if word not in lessons:
        close = difflib.get_close_matches(word, [*lessons, *COMMANDS], n=1)
        raise CommandError(
            f"“{_short(word)}” is no lesson and no command: "
            + (f"did you mean {close[0]}? " if close else "")
            + f"lessons: {', '.join(lessons)}; commands: {', '.join(COMMANDS)}"
        )


def _has_terminal() -> bool:
    streams = (sys.stdin, sys.stdout)
    return all(_is_tty(stream) for stream in streams) and os.environ.get("TERM") != "dumb"


def _is_tty(stream: IO[str] | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _with_theme(store: StateStore, theme: str) -> StateStore:
    """The store with a theme that holds for one run and is not remembered."""
    from backprop_tui.state import StateStore

    class Themed(StateStore):
        def __init__(self) -> None:
            self._remembered: str | None = None

        def load(self) -> tuple[State, str | None]:
            state, message = store.load()
            self._remembered = state.theme
            return replace(state, theme=theme), message

        def save(self, state: State) -> str | None:
            if state.theme == theme:  # not another one that was chosen since
                state = replace(state, theme=self._remembered)
            return store.save(state)

    return Themed()


# ── list, show, check ─────────────────────────────────────────────────────────────────────────


def _list(words: list[str]) -> int:
    parser = _Parser("backprop-tui list", "The lessons, by chapter.")
    parser.add_argument("--json", action="store_true", help="as a JSON array of objects")
    asked = parser.read(words)
    from backprop_tui import report
    from backprop_tui.lessons import catalogue

    if asked.json:
        _print_json(report.list_json(catalogue()))
    else:
        _print(report.list_text(catalogue(), _look()))
    return FINE


SHOW_HELP = """\
VALUE is JSON: 2.5 or [[1, 2], [3, 4]]. What is set counts more than what --seed draws.

examples:
  backprop-tui show tanh-recursion
  backprop-tui show recursion --size T=5 --set w_h=0.5 --steps
  backprop-tui show sum-of-squares --set "x=[1, 2, 3, 4]" --json
"""


def _show(words: list[str]) -> int:
    parser = _Parser("backprop-tui show", "One lesson as text.", SHOW_HELP)
    parser.add_argument("lesson", metavar="LESSON", help="see backprop-tui list")
    option = parser.add_argument
    option("--set", metavar="NAME=VALUE", action="append", default=[], help="give a leaf a value")
    option("--size", metavar="NAME=INT", action="append", default=[], help="change a size")
    option("--seed", metavar="N", help="draw all leaves at random first")
    option("--steps", action="store_true", help="every step in words and numbers, too")
    option("--json", action="store_true", help="as one JSON object (see docs/json.md)")
    option("--no-torch", action="store_true", help="leave torch out: much faster")
    asked = parser.read(words)
    session = _session(_lesson(asked.lesson), asked)
    from backprop_tui import report

    with _progress("comparing …"):
        findings = report.examine(session, use_torch=not asked.no_torch)
    if findings.torch_problem:
        _complain(f"going on without torch: {findings.torch_problem}")
    if findings.unfinished:
        _complain(
            f"finite differences were stopped after {report.NUMERIC_SECONDS:g} s; some are missing"
        )
    if asked.json:
        _print_json(report.show_json(findings))
    else:
        _print(report.show_text(findings, _look(), steps=asked.steps))
    return FINE


def _lesson(lesson_id: str) -> Lesson:
    from backprop_tui.lessons import UnknownLesson, find_lesson

    try:
        return find_lesson(lesson_id)
    except UnknownLesson as problem:
        raise CommandError(_short(str(problem), 400)) from problem


def _session(lesson: Lesson, asked: argparse.Namespace) -> Session:
    """The lesson with its sizes, then the seed, then what was set."""
    from backprop_tui.session import EditRefused, Session
    from backprop_tui.values import BadValue

    sizes = {
        name: _whole_number(text, f"the size {_short(name)}")
        for name, text in _pairs(asked.size, "--size", "T=3").items()
    }
    try:
        session = Session(lesson, sizes=sizes)
        if asked.seed is not None:
            session.randomise(_whole_number(asked.seed, "--seed"))
        given = _pairs(asked.set, "--set", "x=2.5")
        if not given:
            return session
        leaves = {name: _value(session, name, text) for name, text in given.items()}
        return Session(lesson, {**session.inputs.leaves, **leaves}, session.inputs.sizes)
    except (BadValue, EditRefused) as problem:
        raise CommandError(_short(str(problem), 400)) from problem


def _value(session: Session, name: str, text: str) -> Value:
    """What a leaf is set to. Raises CommandError."""
    from backprop_tui.engine.broadcasting import shape_of
    from backprop_tui.lessons import alternatives
    from backprop_tui.values import BadValue, parse_value

    leaves = session.inputs.leaves
    if name in session.inputs.sizes:
        raise CommandError(f"{name} is a size: write --size {name}={_short(text)}")
    if name not in leaves:
        known = alternatives(name, list(leaves))
        raise CommandError(f"there is no leaf “{_short(name)}”: {known}")
    leaf = session.lesson.leaf_named(name)
    try:
        return parse_value(text, shape_of(leaves[name]), _takes_other_shapes(leaf))
    except BadValue as bad:
        raise CommandError(f"{name}: {bad}") from bad


def _takes_other_shapes(leaf: Leaf) -> bool:
    from backprop_tui.lessons.base import AtLeast

    return leaf.free_shape or any(isinstance(length, AtLeast) for length in leaf.shape or ())


CHECK_HELP = """\
Each lesson runs with its own numbers and again with other sizes and drawn numbers.

exit codes: 0 all agree, 1 some do not, 2 wrong usage, 3 torch is missing or broken
"""


def _check(words: list[str]) -> int:
    description = "Hold the gradients by hand against torch and finite differences."
    parser = _Parser("backprop-tui check", description, CHECK_HELP)
    parser.add_argument("lessons", metavar="LESSON", nargs="*", help="all of them if none is named")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    asked = parser.read(words)
    from backprop_tui import report
    from backprop_tui.lessons import catalogue

    lessons = [_lesson(name) for name in dict.fromkeys(asked.lessons)] or list(catalogue())
    look, width = _look(), max(len(lesson.id) for lesson in lessons)
    checked = []
    try:
        for lesson in lessons:
            with _progress(f"checking {lesson.id} …"):
                checked.append(report.check_lesson(lesson))
            if not asked.json:
                _print(report.check_lines(checked[-1], look, width))
    except report.NoTorch as problem:
        raise CommandError(
            f"nothing can be checked without torch: {problem}", NO_TORCH
        ) from problem
    if asked.json:
        _print_json(report.check_json(checked))
    else:
        _print(report.check_summary(checked, look))
    return FINE if all(result.agree for result in checked) else DISAGREE


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
}


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def _shows_symbols(stream: IO[str] | None) -> bool:
    """Whether the stream's encoding has the characters of our formulas."""
    try:
        "∂₂ₜᵀ·−…✓⎡".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _look() -> Look:
    """How text is laid out on stdout."""
    from backprop_tui.report import Look

    width = max(40, shutil.get_terminal_size((80, 24)).columns)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    styled = _is_tty(sys.stdout) and not plain
    return Look(width, styled=styled, ascii=not _shows_symbols(sys.stdout))


def _print(lines: Iterable[str]) -> None:
    if sys.stdout is None:
        return
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_json(found: object) -> None:
    from backprop_tui.report import json_lines

    _print(json_lines(found, ascii_only=not _shows_symbols(sys.stdout)))


def _complain(message: str) -> None:
    """One line on stderr."""
    if sys.stderr is None:
        return
    if not _shows_symbols(sys.stderr):
        from backprop_tui.equations_text import in_ascii

        message = in_ascii(message)
    with contextlib.suppress(OSError):
        print(f"backprop-tui: {message}", file=sys.stderr)


@contextlib.contextmanager
def _progress(message: str) -> Iterator[None]:
    """Say on a terminal's stderr what is going on, and take it away again."""
    shown = _is_tty(sys.stderr) and os.environ.get("TERM") != "dumb"
    if shown:
        text = message if _shows_symbols(sys.stderr) else message.replace("…", "...")
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(f"\r{' ' * (len(message) + 2)}\r", end="", file=sys.stderr, flush=True)


def _let_go_of_stdout() -> None:
    """Send what is still buffered nowhere, or Python would complain about it at its exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
