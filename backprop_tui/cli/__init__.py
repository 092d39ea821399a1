"""The command line: what was asked for, and who does it.

Each command imports what it needs when it needs it: `list`, `--help` and `--version` load neither
torch nor textual, `show` and `check` don't load textual.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backprop_tui import __version__
from backprop_tui.cli.diagnosis import diagnosis as _diagnosis
from backprop_tui.cli.parsing import (
    BAD_INPUT,
    DISAGREE,
    FINE,
    INTERRUPTED,
    NO_TORCH,
    PIPE_CLOSED,
    CommandError,
    Parser,
    pairs_of,
    short,
    whole_number,
)
from backprop_tui.cli.streams import (
    complain,
    has_terminal,
    let_go_of_stdout,
    look_of_stdout,
    print_json,
    print_lines,
    progress,
)

if TYPE_CHECKING:
    from backprop_tui.engine.operations import Value
    from backprop_tui.lessons.base import Leaf, Lesson
    from backprop_tui.session import Session
    from backprop_tui.state import State, StateStore

HELP = """\
Without a command the app opens, on LESSON or on the list of lessons.

commands:
  list [--json]       the lessons by chapter: how long each takes, what should come before
  show LESSON         one lesson as text: equations, values, gradients three ways, questions
  check [LESSON ...]  hold the gradients by hand against torch and finite differences
  diagnosis [LESSON ...]  plant every known mistake everywhere: is it recognised?

examples:
  backprop-tui                        pick a lesson
  backprop-tui rnn                    open one
  backprop-tui show square --set x=3  look at one without opening the app
  backprop-tui show rnn --size T=4 --seed 7 --steps
  backprop-tui show matrix-linear --set "B=[[1, 0, -1]]" --json
  backprop-tui check                  are all gradients right?

exit codes:
  0  fine
  1  check: the gradients of some lesson do not agree; diagnosis: too few mistakes recognised
  2  the command, a name or a value was not understood, there is no terminal for the app, or
     the output could not be written
  3  check: torch is missing or broken, so there is nothing to hold the gradients against
  130 after Ctrl-C, 141 when the reader of a pipe has gone
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except CommandError as problem:
        complain(str(problem))
        return problem.code
    except BrokenPipeError:
        let_go_of_stdout()
        return PIPE_CLOSED
    except OSError as problem:
        let_go_of_stdout()
        complain(f"this could not be done: {problem}")
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


# ── the app ───────────────────────────────────────────────────────────────────────────────────


def _open(words: list[str]) -> int:
    """`backprop-tui [LESSON]`: open the app."""
    parser = Parser("backprop-tui", "A time-travelling debugger for gradients.", HELP)
    parser.usage = (
        "backprop-tui [LESSON] [--no-state] [--ascii] [--theme NAME]\n"
        "       backprop-tui {list,show,check,diagnosis} ..."
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="the lesson to open")
    parser.add_argument("--no-state", action="store_true", help="remember and save nothing")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--theme", metavar="NAME", help="the theme for this time")
    parser.add_argument("--version", action="version", version=f"backprop-tui {__version__}")
    asked = parser.read(words)
    if asked.lesson is not None:
        _check_word(asked.lesson)
    if not has_terminal():
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
    from backprop_tui.tui.themes import find_theme

    try:
        return find_theme(short(name))
    except LookupError as problem:
        raise CommandError(str(problem)) from problem


def _check_word(word: str) -> None:
    """Raise CommandError unless the word is a lesson."""
    from backprop_tui.lessons import ids, listing

    if word in COMMANDS:
        raise CommandError(f"put the command first: backprop-tui {word} …")
    lessons = ids()
    if word not in lessons:
        close = [
            name
            for known in (lessons, COMMANDS)
            for name in difflib.get_close_matches(word, known, 1)
        ]
        raise CommandError(
            f"“{short(word)}” is no lesson and no command: "
            + (f"did you mean {' or '.join(close)}? " if close else "")
            + f"lessons: {listing(lessons)} (backprop-tui list shows all); "
            f"commands: {', '.join(COMMANDS)}"
        )


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
    parser = Parser("backprop-tui list", "The lessons, by chapter.")
    parser.add_argument("--json", action="store_true", help="as a JSON array of objects")
    asked = parser.read(words)
    from backprop_tui import report
    from backprop_tui.lessons import catalogue

    if asked.json:
        print_json(report.list_json(catalogue()))
    else:
        print_lines(report.list_text(catalogue(), look_of_stdout()))
    return FINE


SHOW_HELP = """\
VALUE is JSON: 2.5 or [[1, 2], [3, 4]]. What is set counts more than what --seed draws.

examples:
  backprop-tui show tanh-recursion
  backprop-tui show recursion --size T=5 --set w_h=0.5 --steps
  backprop-tui show sum-of-squares --set "x=[1, 2, 3, 4]" --json
  backprop-tui show sigmoid-neuron --close f --steps
"""


def _show(words: list[str]) -> int:
    parser = Parser("backprop-tui show", "One lesson as text.", SHOW_HELP)
    parser.add_argument("lesson", metavar="LESSON", help="see backprop-tui list")
    option = parser.add_argument
    option("--set", metavar="NAME=VALUE", action="append", default=[], help="give a leaf a value")
    option("--size", metavar="NAME=INT", action="append", default=[], help="change a size")
    option("--seed", metavar="N", help="draw all leaves at random first")
    option("--open", metavar="NAME", action="append", default=[], help="a node in primitive steps")
    option("--close", metavar="NAME", action="append", default=[], help="a node as one fused step")
    option("--steps", action="store_true", help="every step in words and numbers, too")
    option("--json", action="store_true", help="as one JSON object (see docs/json.md)")
    option("--no-torch", action="store_true", help="leave torch out: much faster")
    asked = parser.read(words)
    session = _session(_lesson(asked.lesson), asked)
    from backprop_tui import report

    with progress("comparing …"):
        findings = report.examine(session, use_torch=not asked.no_torch)
    if findings.torch_problem:
        complain(f"going on without torch: {findings.torch_problem}")
    if findings.unfinished:
        complain(
            f"finite differences were stopped after {report.NUMERIC_SECONDS:g} s; some are missing"
        )
    if asked.json:
        print_json(report.show_json(findings))
    else:
        print_lines(report.show_text(findings, look_of_stdout(), steps=asked.steps))
    return FINE


def _lesson(lesson_id: str) -> Lesson:
    from backprop_tui.lessons import UnknownLesson, find_lesson

    try:
        return find_lesson(lesson_id)
    except UnknownLesson as problem:
        raise CommandError(short(str(problem), 400)) from problem


def _session(lesson: Lesson, asked: argparse.Namespace) -> Session:
    """The lesson with its sizes, then the seed, then what was set."""
    from backprop_tui.session import EditRefused, Session
    from backprop_tui.values import BadValue

    sizes = {
        name: whole_number(text, f"the size {short(name)}")
        for name, text in pairs_of(asked.size, "--size", "T=3").items()
    }
    try:
        session = Session(lesson, sizes=sizes)
        if asked.seed is not None:
            session.randomise(whole_number(asked.seed, "--seed"))
        given = pairs_of(asked.set, "--set", "x=2.5")
        if given:
            leaves = {name: _value(session, name, text) for name, text in given.items()}
            session = Session(lesson, {**session.inputs.leaves, **leaves}, session.inputs.sizes)
        for wanted, names in ((True, asked.open), (False, asked.close)):
            for name in names:
                _set_open(session, name, wanted)
        return session
    except (BadValue, EditRefused) as problem:
        raise CommandError(short(str(problem), 400)) from problem


def _set_open(session: Session, name: str, wanted: bool) -> None:
    """Open or close a node. Raises CommandError if there is nothing to open."""
    from backprop_tui.lessons import alternatives

    known = session.openable_names()
    if name not in known:
        raise CommandError(f"nothing called “{short(name)}” opens: {alternatives(name, known)}")
    if (name in session.inputs.opened) is not wanted:
        session.toggle_open(name)


def _value(session: Session, name: str, text: str) -> Value:
    """What a leaf is set to. Raises CommandError."""
    from backprop_tui.engine.broadcasting import shape_of
    from backprop_tui.lessons import alternatives
    from backprop_tui.values import BadValue, parse_value

    leaves = session.inputs.leaves
    if name in session.inputs.sizes:
        raise CommandError(f"{name} is a size: write --size {name}={short(text)}")
    if name not in leaves:
        known = alternatives(name, list(leaves))
        raise CommandError(f"there is no leaf “{short(name)}”: {known}")
    leaf = session.lesson.leaf_named(name)
    try:
        return parse_value(text, shape_of(leaves[name]), _takes_other_shapes(leaf))
    except BadValue as bad:
        raise CommandError(f"{name}: {bad}") from bad


def _takes_other_shapes(leaf: Leaf) -> bool:
    from backprop_tui.lessons.base import AtLeast

    return leaf.free_shape or any(isinstance(length, AtLeast) for length in leaf.shape or ())


CHECK_HELP = """\
Each lesson runs with its own numbers and again with other sizes and drawn numbers, and nodes that
the lesson opens into primitive steps in both forms.

exit codes: 0 all agree, 1 some do not, 2 wrong usage, 3 torch is missing or broken
"""


def _check(words: list[str]) -> int:
    description = "Hold the gradients by hand against torch and finite differences."
    parser = Parser("backprop-tui check", description, CHECK_HELP)
    parser.add_argument("lessons", metavar="LESSON", nargs="*", help="all of them if none is named")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    asked = parser.read(words)
    from backprop_tui import report
    from backprop_tui.lessons import catalogue

    lessons = [_lesson(name) for name in dict.fromkeys(asked.lessons)] or list(catalogue())
    look, width = look_of_stdout(), max(len(lesson.id) for lesson in lessons)
    checked = []
    try:
        for number, lesson in enumerate(lessons, 1):
            with progress(f"checking {lesson.id}, {number} of {len(lessons)} …"):
                checked.append(report.check_lesson(lesson))
            if not asked.json:
                print_lines(report.check_lines(checked[-1], look, width))
    except report.NoTorch as problem:
        raise CommandError(
            f"nothing can be checked without torch: {problem}", NO_TORCH
        ) from problem
    if asked.json:
        print_json(report.check_json(checked))
    else:
        print_lines(report.check_summary(checked, look))
    return FINE if all(result.agree for result in checked) else DISAGREE


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "diagnosis": _diagnosis,
}
