"""The commands: what they print, how they end, and what they say to bad input."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backprop_tui import __version__, cli, report
from backprop_tui.cli import streams
from backprop_tui.cli.parsing import PIPE_CLOSED
from backprop_tui.engine import xp
from backprop_tui.engine.operations import REGISTRY, Operation
from backprop_tui.equations_text import in_ascii
from backprop_tui.lessons import catalogue, find_lesson, ids, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import chapters, duration, minutes_of
from backprop_tui.report.findings import TorchRefused, count
from backprop_tui.state import State, StateStore

ROOT = Path(__file__).parent.parent
Run = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in this process: exit code, stdout, stderr."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Run:
        code = cli.main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def shown(run: Any) -> Any:
    """What `show … --json` says."""

    def shown(*words: str) -> Any:
        code, out, err = run("show", *words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    return shown


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "backprop_tui", *words],
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def loaded_by(*words: str) -> set[str]:
    """Which of the heavy modules a command imports."""
    program = (
        "import sys; from backprop_tui.cli import main; "
        f"code = main({list(words)!r}); "
        "print(*(m for m in ('torch', 'textual', 'rich', 'numpy') if m in sys.modules), "
        "file=sys.stderr); raise SystemExit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    return set(done.stderr.split())


# ── list, --help, --version ───────────────────────────────────────────────────────────────────


def test_list_shows_the_lessons_by_chapter(run: Any) -> None:
    code, out, err = run("list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    places = []
    for chapter in chapters(catalogue()):
        counted = count(len(chapter.lessons), "lesson")
        head = f"{chapter.title}  {counted}, {duration(chapter.minutes)}"
        places.append(lines.index(head))
        for lesson in chapter.lessons:
            start = rf" +{number_of(lesson)}  {lesson.id} +{lesson.minutes} min  "
            places.append(next(y for y, line in enumerate(lines) if re.match(start, line)))
            here = lines[places[-1]]
            assert re.sub(start, "", here).startswith(lesson.title)
            if lesson.after:
                after = f"after {', '.join(lesson.after)}"
                assert here.endswith(f" · {after}") or lines[places[-1] + 1].strip() == after
    assert places == sorted(places)
    minutes = duration(minutes_of(catalogue()))
    assert f"{len(ids())} lessons, about {minutes} in all." in " ".join(out.split())


@pytest.mark.parametrize("columns", ["40", "60", "80", "120", "200"])
def test_the_list_is_not_wider_than_the_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = run("list")
    assert code == 0
    assert [line for line in out.splitlines() if len(line) > int(columns)] == []
    told = " ".join(out.split())
    assert [lesson.title for lesson in catalogue() if lesson.title not in told] == []


def test_list_as_json(run: Any) -> None:
    _, out, _ = run("list", "--json")
    found = json.loads(out)
    assert [lesson["id"] for lesson in found] == ids()
    assert [lesson["number"] for lesson in found] == list(range(1, len(found) + 1))
    assert found[ids().index("rnn")] == {
        "id": "rnn",
        "title": "A recurrent network",
        "chapter": "Recurrence",
        "number": ids().index("rnn") + 1,
        "after": list(find_lesson("rnn").after),
        "minutes": find_lesson("rnn").minutes,
        "questions": len(find_lesson("rnn").questions),
        "leaves": 9,
        "sizes": ["T", "hidden"],
    }


def test_version(run: Any) -> None:
    assert run("--version") == (0, f"backprop-tui {__version__}\n", "")


def test_help_has_examples_and_exit_codes(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for expected in (
        "examples:",
        "exit codes:",
        "backprop-tui show",
        "list [--json]",
        "--no-state",
    ):
        assert expected in out


@pytest.mark.parametrize("command", ["list", "show", "check"])
def test_each_command_has_help(run: Any, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert out.startswith(f"usage: backprop-tui {command}")


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("--help",), ("--version",)])
def test_the_light_commands_load_neither_torch_nor_textual(words: tuple[str, ...]) -> None:
    assert loaded_by(*words) <= {"numpy"}


def test_help_and_version_do_not_even_load_numpy() -> None:
    assert loaded_by("--help") == set()
    assert loaded_by("--version") == set()


def test_show_and_check_do_not_load_textual() -> None:
    assert loaded_by("show", "square", "--no-torch") == {"numpy"}
    assert loaded_by("show", "square") == {"numpy", "torch"}
    assert loaded_by("check", "square") == {"numpy", "torch"}


# ── show ──────────────────────────────────────────────────────────────────────────────────────

NOTEBOOK = [
    ("square", "x", 2 * 0.4311157464981079),
    ("loss", "x", -1.545842170715332),
    ("squared-loss", "x", -36.0),
    ("linear", "w", 2.5),
    ("linear", "x", 5.0),
    ("linear", "b", 1.0),
    ("sum-of-squares", "x", [2.0, 10.0, 12.0]),
    ("matrix-linear", "W", [[2.0206] * 3, [-1.2311] * 3]),
    ("matrix-linear", "X", [[1.2807, 1.8967]] * 5),
    ("matrix-linear", "B", [[5.0, 5.0, 5.0]]),
    ("recursion", "w_h", 2.0),
    ("recursion", "h0", 4.0),
]


@pytest.mark.parametrize(("lesson", "leaf", "expected"), NOTEBOOK)
def test_the_notebooks_numbers_come_out(
    shown: Any, lesson: str, leaf: str, expected: object
) -> None:
    found = shown(lesson)
    gradient = found["gradients"][leaf]
    for column in ("hand", "torch", "numeric"):
        np.testing.assert_allclose(gradient[column], expected, rtol=1e-7)
    assert gradient["agree"] is True
    assert found["agree"] is True


def test_the_notebooks_tanh_was_in_single_precision(shown: Any) -> None:
    gradients = shown("tanh-recursion")["gradients"]
    assert gradients["w_h"]["hand"] == pytest.approx(8.18880672682621, rel=1e-6)
    assert gradients["w_y"]["hand"] == pytest.approx(0.9092516899108887, rel=1e-6)


def test_what_must_hold_in_the_rnn(shown: Any) -> None:
    found = shown("rnn")
    diffs = [n["value"][0] for n in found["nodes"] if n["id"].startswith("diff")]
    hand = {name: gradient["hand"] for name, gradient in found["gradients"].items()}
    assert hand["b_h"] == hand["b_x"] != [0.0, 0.0, 0.0]
    assert hand["b_y"] == [pytest.approx(-2 * sum(diffs))]
    assert found["output"] == {"name": "L", "value": pytest.approx(sum(d * d for d in diffs))}


@pytest.mark.parametrize("lesson", ids())
def test_torch_agrees_at_every_node(shown: Any, lesson: str) -> None:
    for node in shown(lesson)["nodes"]:
        if node["op"] is not None:
            # In JSON an infinite cell is a word: a hidden score of attention is "-inf".
            torch, ours = (np.array(node[key], np.float64) for key in ("torch_value", "value"))
            np.testing.assert_allclose(torch, ours, rtol=1e-12)
            if node["grad"] is None:  # nothing is sent to it: torch has to say the same
                assert node["torch_grad"] is None, node["id"]
                continue
            np.testing.assert_allclose(node["torch_grad"], node["grad"], rtol=1e-9, atol=1e-12)


def test_torch_agrees_on_long_recurrences_one_after_the_other(shown: Any) -> None:
    for steps in (2, 20, 5, 3):
        found = shown("rnn", "--size", f"T={steps}")
        assert found["agree"] is True
        assert [n["id"] for n in found["nodes"] if n["torch_value"] is None] == ["2", "0"]


def test_the_edges_of_the_steps_connect_the_nodes(shown: Any) -> None:
    found = shown("rnn")
    known = {node["id"]: node for node in found["nodes"]}
    assert len(known) == len(found["nodes"])
    assert len({step["key"] for step in found["steps"]}) == len(found["steps"])
    for step in found["steps"]:
        assert step["node"] in known
        assert (step["edge"] is not None) == (step["kind"] == "send")
        if step["edge"]:
            source = known[step["edge"]["from"]]
            assert source["inputs"][step["edge"]["slot"]] == step["edge"]["to"]


def test_the_contributions_add_up_to_the_gradients(shown: Any) -> None:
    found = shown("rnn")
    for node in found["nodes"]:
        sent = [
            np.array(step["contribution"])
            for step in found["steps"]
            if step["edge"] and step["edge"]["to"] == node["id"]
        ]
        if sent:
            np.testing.assert_allclose(sum(sent), node["grad"])


def test_set_size_and_seed(shown: Any) -> None:
    assert shown("square", "--set", "x=-3")["gradients"]["x"]["hand"] == -6.0
    assert shown("square", "--set", "x=1", "--set", " x = 1/4")["leaves"]["x"] == 0.25
    assert shown("recursion", "--size", "T=3", "--set", "w_h=3")["output"]["value"] == 13.5
    assert shown("sum-of-squares", "--set", "x=[1,2,3,4]")["output"]["value"] == 30.0
    assert len(shown("rnn", "--size", "T=4", "--size", "hidden=2")["leaves"]["x"]) == 4


def test_a_longer_leaf_is_accepted_where_the_lesson_accepts_it(shown: Any) -> None:
    found = shown("rnn", "--set", "x=[[1],[2],[3],[4],[5]]")
    assert found["gradients"]["x"]["hand"][2:] == [[0.0]] * 3


def test_a_vector_is_taken_as_the_column_that_is_wanted(shown: Any) -> None:
    assert shown("rnn", "--set", "x=7 8 9")["leaves"]["x"] == [[7.0], [8.0], [9.0]]


def test_the_seed_is_reproducible_and_set_wins_over_it(shown: Any) -> None:
    first = shown("linear", "--seed", "5", "--set", "w=9")
    again = shown("linear", "--set", "w=9", "--seed", "5")
    assert first == again
    assert first["leaves"]["w"] == 9.0
    assert first["leaves"]["x"] not in (2.5, shown("linear", "--seed", "6")["leaves"]["x"])


def test_numbers_that_json_does_not_have_are_words(shown: Any) -> None:
    found = shown("square", "--set", "x=1e200")
    assert found["output"]["value"] == "inf"
    assert found["gradients"]["x"]["numeric"] == "nan"
    down = shown("loss", "--set", "x=1e200")
    assert down["output"]["value"] == "-inf"


def test_an_overflow_is_shown_with_where_it_first_appeared(run: Any) -> None:
    code, out, _ = run("show", "squared-loss", "--set", "x=1e200", "--no-torch")
    assert code == 0
    assert "  y_pred   inf\n" in out
    assert "Not finite: the first infinity appears in the value of y_pred at line " in out


def test_show_has_everything_a_reader_wants(run: Any) -> None:
    code, out, err = run("show", "tanh-recursion")
    assert (code, err) == (0, "")
    for expected in (
        "A recursion with tanh\n",
        "  hₜ = tanh(zₜ)      t = 1 … T\n",
        "  ∂y/∂w_h = Σₜ hₜ₋₁ · ∂y/∂zₜ",
        "  T = 2   time steps, from 1 to 50\n",
        "  w_h   2     the recurrent weight, the same at every step\n",
        "  h₂   0.90925\n",
        "        by hand   torch     finite difference   difference\n",
        "  w_h   8.1888    8.1888    8.1888              ",
        "✓ agrees\n",
        "All agree: ",
    ):
        assert expected in out
    assert "\x1b" not in out


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_show_says_what_comes_before_the_mistake_the_answers_and_the_sources(
    run: Any, lesson: Lesson
) -> None:
    _, out, _ = run("show", lesson.id, "--no-torch")
    told = " ".join(out.split())
    after = f"after {', '.join(lesson.after)}" if lesson.after else "nothing needed before"
    assert f"{lesson.id} · {lesson.chapter} · about {lesson.minutes} min · {after}" in told
    parts = [f"The common mistake {lesson.mistake} Questions "]
    parts += [f"{one.asks} {one.answer}" for one in lesson.questions]
    parts += ["Sources", *lesson.references]
    places = [told.index(" ".join(part.split())) for part in parts]
    assert places == sorted(places)
    assert out.splitlines()[-1] in out.split("Sources")[-1]  # what it comes to is said last


def test_show_as_json_says_what_the_lesson_is_about(shown: Any) -> None:
    lesson = find_lesson("tanh-recursion")
    about = shown("tanh-recursion", "--no-torch")["about"]
    assert about == {
        "title": lesson.title,
        "chapter": lesson.chapter,
        "number": number_of(lesson),
        "after": list(lesson.after),
        "minutes": lesson.minutes,
        "idea": lesson.idea,
        "mistake": lesson.mistake,
        "questions": [{"asks": q.asks, "answer": q.answer} for q in lesson.questions],
        "references": list(lesson.references),
    }


def test_show_with_steps_tells_each_in_words_and_numbers(run: Any) -> None:
    _, out, _ = run("show", "tanh-recursion", "--steps", "--no-torch")
    assert (
        "   9  h₂ sends to z₂\n"
        "      ∂y/∂z₂ = ∂y/∂h₂ · (1 − h₂²)\n"
        "             = 40 · (1 − 0.90925²)\n"
        "             = 40 · 0.17326\n"
        "             = 6.9305\n"
    ) in out
    assert "15  w_h collects\n" in out


def test_matrices_are_shown_in_full(run: Any) -> None:
    _, out, _ = run("show", "matrix-linear", "--no-torch")
    assert (
        "  W   2×3   ⎡−0.328    1.1977  0.411 ⎤\n            ⎣ 1.8343  −0.7891  0.8515⎦\n"
    ) in out


@pytest.mark.parametrize("columns", ["1", "40", "80", "120", "200"])
@pytest.mark.parametrize("lesson", ids())
def test_no_table_is_wider_than_the_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch, lesson: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = run("show", lesson, "--no-torch")
    assert code == 0
    if int(columns) >= 80:
        assert [line for line in out.splitlines() if len(line) > int(columns)] == []


def test_without_torch_its_column_is_left_out_and_null_in_json(run: Any, shown: Any) -> None:
    _, out, _ = run("show", "linear", "--no-torch")
    assert "      by hand   finite difference   difference\n" in out
    told = out.split("The common mistake")[0] + out.splitlines()[-1]  # what ours is, no lesson's
    assert "torch" not in told.replace("(without torch)", "")
    found = shown("linear", "--no-torch")
    assert {node["torch_grad"] for node in found["nodes"]} == {None}
    assert found["gradients"]["w"]["torch"] is None
    assert found["agree"] is True


# ── terminals, pipes, encodings ───────────────────────────────────────────────────────────────


def test_bold_only_on_a_terminal_that_wants_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(streams, "is_tty", lambda stream: stream is sys.stdout)
    assert "\x1b[1mScalars\x1b[0m" in run("list")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("list")[1]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run("list")[1]


def test_an_ascii_terminal_gets_stand_ins() -> None:
    done = process("show", "rnn", "--steps", "--no-torch", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "  dL/dz[t] = (1 - h[t]^2) * dL/dh[t]" in done.stdout


@pytest.mark.parametrize("lesson", ids())
def test_every_character_has_a_stand_in(run: Any, lesson: str) -> None:
    _, out, _ = run("show", lesson, "--steps", "--no-torch")
    assert [char for char in set(out) if not char.isascii() and "?" in in_ascii(char)] == []


def test_an_ascii_terminal_gets_messages_and_json_it_can_show() -> None:
    done = process("show", "zzz", PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 2
    assert done.stderr.startswith('backprop-tui: there is no lesson "zzz": known: square')
    done = process("show", "square", "--no-torch", "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["steps"][0]["formula"] == "y = x²"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "backprop_tui", "show", "rnn", "--steps", "--no-torch"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == PIPE_CLOSED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_said_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "backprop_tui", "list"],
            check=False, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"backprop-tui: .*No space left.*\n", done.stderr)


def test_ctrl_c_ends_without_a_traceback(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "examine", interrupted)
    assert run("show", "square") == (130, "", "")


# ── the app ───────────────────────────────────────────────────────────────────────────────────


def test_without_a_terminal_the_app_names_the_other_commands(run: Any) -> None:
    code, out, err = run("rnn")
    assert (code, out) == (2, "")
    assert err == (
        "backprop-tui: the app needs a terminal; without one try: backprop-tui show rnn, "
        "backprop-tui list, backprop-tui check\n"
    )
    assert run()[0] == 2


def test_a_dumb_terminal_is_none(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "is_tty", lambda stream: True)
    monkeypatch.setenv("TERM", "dumb")
    assert run()[0] == 2


@pytest.mark.parametrize("missing", ["stdin", "stdout", "stderr"])
def test_the_app_needs_all_three_streams(
    run: Any, opened: list[Any], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(streams, "is_tty", lambda stream: stream is not getattr(sys, missing))
    code, out, err = run("rnn")
    assert (code, out, opened) == (2, "", [])
    assert err.startswith("backprop-tui: the app needs a terminal")
    assert err.count("\n") == 1


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """A terminal, and an app that only writes down how it was started."""
    calls: list[Any] = []

    def start(lesson: str | None, store: StateStore, *, ascii: bool = False) -> int:
        calls.append((lesson, store, ascii))
        return 0

    monkeypatch.setattr("backprop_tui.tui.app.run", start)
    monkeypatch.setattr(streams, "is_tty", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("BACKPROP_TUI_STATE_DIR", str(tmp_path))
    return calls


def test_the_app_opens_on_the_lesson(run: Any, opened: list[Any], tmp_path: Path) -> None:
    assert run("rnn")[0] == 0
    lesson, store, ascii_only = opened[0]
    assert (lesson, ascii_only) == ("rnn", False)
    store.save(State(last_lesson="rnn"))
    assert (tmp_path / "state.json").exists()


def test_no_state_means_that_nothing_is_written(
    run: Any, opened: list[Any], tmp_path: Path
) -> None:
    assert run("--no-state", "--ascii")[0] == 0
    lesson, store, ascii_only = opened[0]
    assert (lesson, ascii_only) == (None, True)
    store.save(State(last_lesson="rnn"))
    assert list(tmp_path.iterdir()) == []


def test_a_theme_holds_for_one_run(run: Any, opened: list[Any]) -> None:
    first = StateStore(cli_state_path())
    first.save(State(theme="nord"))
    assert run("--theme", "light", "rnn")[0] == 0
    store = opened[0][1]
    state, message = store.load()
    assert (state.theme, message) == ("backprop-light", None)
    store.save(replace(state, last_lesson="rnn"))
    assert first.load()[0] == State(theme="nord", last_lesson="rnn")
    store.save(replace(state, theme="dracula"))
    assert first.load()[0].theme == "dracula"


def cli_state_path() -> Path:
    return Path(os.environ["BACKPROP_TUI_STATE_DIR"], "state.json")


def test_an_unknown_theme_names_the_known_ones(run: Any, opened: list[Any]) -> None:
    code, _, err = run("--theme", "nix")
    assert (code, opened) == (2, [])
    assert err.startswith("backprop-tui: there is no theme “nix”: known: backprop-dark, ")


# ── bad input ─────────────────────────────────────────────────────────────────────────────────

BAD = [
    ("nix", "“nix” is no lesson and no command: lessons: square, "),
    ("recursoin", "did you mean recursion? lessons: square, "),
    ("lst", "did you mean lstm or list? "),
    ("--no-state list", "put the command first: backprop-tui list"),
    ("--nix", "has no option “--nix”: known: --help, --no-state"),
    ("chekc", "did you mean check? lessons: square, "),
    ("nix", "more (backprop-tui list shows all); commands: list, show, check"),
    ("rnn square", "“square” is one word too many"),
    ("list nix", "“nix” is one word too many"),
    ("show", "required: LESSON"),
    ("show zzz", "there is no lesson “zzz”: known: square, "),
    ("show tanhrecursion", "did you mean tanh-recursion"),
    ("check square zzz", "there is no lesson “zzz”: known: square, "),
    ("show square --jsno", "did you mean --json? known: "),
    ("show square --set", "--set: expected one argument"),
    ("show square --set x", "--set needs NAME=VALUE, such as --set x=2.5, not “x”"),
    ("show square --set =3", "--set needs NAME=VALUE"),
    ("show square --set q=3", "there is no leaf “q”: known: x"),
    ("show tanh-recursion --set wh=3", "there is no leaf “wh”: did you mean w_h"),
    ("show rnn --set T=3", "T is a size: write --size T=3"),
    ("show square --set x=abc", "x: “abc” is not a number"),
    ("show square --set x=", "x: there is no number here"),
    ("show square --set x=1e999", "x: 1e999 is too large"),
    ("show square --set x=NaN", "x: “NaN” can not be used here"),
    ("show square --set x=Infinity", "x: “Infinity” can not be used here"),
    ("show square --set x=٣", "x: “٣” has a digit that is not one of 0 to 9"),
    ("show square --set x=2,5", "x: “2,5” has a comma: write 2.5"),
    ("show square --set x=[1,2]", "x: expected a single number, got 2 numbers"),
    ("show matrix-linear --set B=[[1,2]]", "B: expected 1×3, got 1×2"),
    ("show matrix-linear --set B=[[1,2,3]", "B: a “]” is missing at the end"),
    ("show matrix-linear --set B=[[1],[2,3]]", "B: row 2 has 2 numbers, row 1 has 1"),
    ("show sum-of-squares --set x=[[1],[2]]", "x must be 3"),
    ("show sum-of-squares --set x=4", "x must be 3 numbers, not a single number"),
    ("show rnn --set x=[[1]]", "x must be at least 2×1, not 1×1"),
    ("show rnn --size T", "--size needs NAME=VALUE, such as --size T=3"),
    ("show rnn --size T=x", "the size T must be a whole number such as 3, not “x”"),
    ("show rnn --size T=2.0", "the size T must be a whole number"),
    ("show rnn --size T=٣", "the size T must be a whole number"),
    ("show rnn --size T=1_0", "the size T must be a whole number"),
    ("show rnn --size T=" + "9" * 5000, "the size T must be a whole number"),
    ("show rnn --size T=0", "T (time steps) must be from 1 to 50, not 0"),
    ("show rnn --size T=51", "T (time steps) must be from 1 to 50, not 51"),
    ("show rnn --size Q=3", "there is no size “Q”: known: T, hidden"),
    ("show square --size T=3", "there is no size “T”: known: none"),
    ("show square --seed x", "--seed must be a whole number"),
    ("show square --seed 1.5", "--seed must be a whole number"),
    ("show square --set x=" + "[" * 50_000, "x: the brackets are nested more than"),
    ("show square --set x=" + "1" * 2_000_000, "x: this is 2 MB; at most 1 MB can be pasted"),
    ("show " + "x" * 100_000, "there is no lesson “xxx"),
    ("x" * 100_000, "is no lesson and no command"),
    ("show square --set " + "y" * 100_000 + "=1", "there is no leaf “yyy"),
    ("show\x1b[31m\nlesson", "is no lesson and no command"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), BAD, ids=[line[:40] for line, _ in BAD])
def test_bad_input_is_answered_in_one_line(run: Any, line: str, expected: str) -> None:
    code, out, err = run(*line.split(" "))
    assert (code, out) == (2, "")
    assert expected in err
    assert re.fullmatch(r"backprop-tui: [^\n]{1,500}\n", err)
    assert err.strip().isprintable()


# ── check ─────────────────────────────────────────────────────────────────────────────────────


def test_check_agrees_on_all_lessons(run: Any) -> None:
    code, out, err = run("check")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[:3] for line in lines[: len(ids())]] == [["✓", i, "agrees"] for i in ids()]
    assert f"✓ {len(ids())} lessons: by hand and torch agree on " in out


def test_check_says_how_much_was_compared(run: Any) -> None:
    """Four runs each: square has 2 nodes, 1 edge and 1 leaf, linear 5 nodes, 4 edges, 3 leaves."""
    _, out, _ = run("check", "square", "linear")
    lines = out.splitlines()
    assert re.match(r"✓ square agrees +8 nodes +4 edges +4 leaves  off by 0", lines[0])
    assert re.match(r"✓ linear agrees +20 nodes +16 edges +12 leaves  off by ", lines[1])
    assert (
        "✓ 2 lessons: by hand and torch agree on 28 nodes and 20 edges, by hand and finite "
        "differences on 16 leaves, in 8 runs" in " ".join(out.split())
    )
    found = json.loads(run("check", "square", "linear", "--json")[1])
    assert found["compared"] == {"lessons": 2, "runs": 8, "nodes": 28, "edges": 20, "leaves": 16}


def test_check_says_on_a_terminal_how_far_it_is(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(streams, "is_tty", lambda stream: stream is sys.stderr)
    _, out, err = run("check", "linear", "square")
    assert "checking linear, 1 of 2 …" in err
    assert "checking square, 2 of 2 …" in err
    assert "checking" not in out


def test_check_as_json(run: Any) -> None:
    code, out, _ = run("check", "rnn", "square", "--json")
    found = json.loads(out)
    assert (code, found["version"], found["agree"]) == (0, 1, True)
    assert [lesson["lesson"] for lesson in found["lessons"]] == ["rnn", "square"]
    runs = found["lessons"][0]["runs"]
    assert runs[0] | {"max_abs_diff": 0, "max_rel_diff": 0} == {
        "sizes": {"T": 2, "hidden": 3},
        "seed": None,
        "agree": True,
        "nodes": 42,
        "edges": 50,
        "leaves": 9,
        "max_abs_diff": 0,
        "max_rel_diff": 0,
        "where": None,
        "other_form": [],
    }
    assert [run["sizes"]["T"] for run in runs] == [2, 2, 1, 5]


def plant(monkeypatch: pytest.MonkeyPatch, name: str, **change: Any) -> type[Operation]:
    """Give an operation a wrong rule."""
    op = next(op for op in REGISTRY if op.name == name)
    for attribute, value in change.items():
        monkeypatch.setattr(op, attribute, value)
    return op


def test_a_wrong_rule_is_found_and_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    op = next(op for op in REGISTRY if op.name == "tanh")
    wrong = replace(op.contributions[0], function=lambda g, out, a: g * (1 - a * a))
    plant(monkeypatch, "tanh", contributions=(wrong,))
    code, out, err = run("check", "tanh-recursion", "square")
    assert (code, err) == (1, "")
    assert out.startswith("✗ tanh-recursion differs ")
    told = " ".join(out.split())
    assert "what h[t=2] (tanh) sends to z[t=2] is -52.804 by hand and 6.9305 by torch" in told
    assert "✓ square " in out
    assert "✗ 1 of 2 lessons not agreeing: tanh-recursion" in out
    assert re.search(r"Compared: \d+ nodes and \d+ edges with torch, \d+ leaves with ", told)
    found = json.loads(run("check", "tanh-recursion", "--json")[1])
    assert (found["agree"], found["lessons"][0]["agree"]) == (False, False)
    assert "h[t=2]" in found["lessons"][0]["runs"][0]["where"]


def test_a_wrong_value_is_found_and_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xp, "tanh", xp.sin)
    code, out, _ = run("check", "tanh-recursion")
    assert code == 1
    assert "the value of h[t=1] is 0.84147 by hand and 0.76159 by torch" in " ".join(out.split())


def test_show_names_a_wrong_rule_too(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    op = next(op for op in REGISTRY if op.name == "pow")
    wrong = replace(op.contributions[0], function=lambda g, out, a, b: 3 * g * a)
    plant(monkeypatch, "pow", contributions=(wrong, *op.contributions[1:]))
    code, out, _ = run("show", "square", "--set", "x=1")
    assert code == 0
    assert "✗ differs" in out
    assert "Not the same: what y (pow) sends to x is 3 by hand and 2 by torch" in out


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "backprop_tui.reference.torch_run", raising=False)


@pytest.mark.usefixtures("no_torch")
def test_check_without_torch_would_be_half_a_truth(run: Any) -> None:
    code, out, err = run("check")
    assert (code, out) == (3, "")
    assert err.startswith("backprop-tui: nothing can be checked without torch: torch is not ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("no_torch")
def test_show_goes_on_without_torch_and_says_so(run: Any) -> None:
    code, out, err = run("show", "linear", "--json")
    assert code == 0
    assert err.startswith("backprop-tui: going on without torch: torch is not installed")
    assert err.count("\n") == 1
    found = json.loads(out)
    assert (found["gradients"]["w"]["torch"], found["agree"]) == (None, True)


def test_a_lesson_that_torch_refuses_does_not_agree(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(session: object) -> None:
        raise TorchRefused("torch cannot run this: no such function")

    monkeypatch.setattr("backprop_tui.report.check.run_under_torch", refuse)
    code, out, _ = run("check", "square")
    assert code == 1
    assert "torch cannot run this: no such function" in out


def test_finite_differences_that_take_too_long_are_stopped(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backprop_tui.report.findings.NUMERIC_SECONDS", -1.0)
    code, out, err = run("show", "square", "--no-torch")
    assert code == 0
    assert "… not finished\n" in out
    assert "✓" not in out
    assert err.startswith("backprop-tui: finite differences were stopped after ")


# ── the document ──────────────────────────────────────────────────────────────────────────────

DOCUMENT = ROOT / "docs" / "json.md"


def blocks() -> list[tuple[str, Any]]:
    """The document's examples: the command, and what it prints."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"```console\n\$ backprop-tui ([^\n]*)\n(.*?)```", text, re.DOTALL)
    return [(command, json.loads(out)) for command, out in found]


@pytest.mark.parametrize(("command", "expected"), blocks(), ids=[c for c, _ in blocks()])
def test_the_documents_examples_are_what_is_printed(
    run: Any, command: str, expected: object
) -> None:
    code, out, _ = run(*command.split())
    assert code == 0
    assert_same(json.loads(out), expected)


LEFT_OUT = "…"


def assert_same(found: Any, expected: Any) -> None:
    """Equal, but for the last digits of numbers, and for what is left out at the end."""
    if isinstance(expected, dict):
        named = [key for key in expected if key != LEFT_OUT]
        more = len(found) > len(named)
        assert more == (LEFT_OUT in expected)
        assert list(found)[: len(named)] == named
        for key in named:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list) and LEFT_OUT in expected:
        assert len(found) > len(expected)
        assert_same(found[: len(expected) - 1], expected[:-1])
        assert {tuple(item) for item in found} == {tuple(expected[0])}  # the same fields
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    else:
        assert found == expected


def test_every_field_is_documented(shown: Any) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = shown("linear")
    fields = {*found, *found["output"], *found["nodes"][0], *found["steps"][-1]}
    fields |= {*found["about"], *found["about"]["questions"][0]}
    fields |= {*found["gradients"]["w"], "from", "to", "slot"}
    assert {field for field in fields if f"`{field}`" not in text} == set()


# ── opened nodes ──────────────────────────────────────────────────────────────────────────────


def test_show_opens_and_closes_nodes(shown: Any) -> None:
    names = {node["name"] for node in shown("sigmoid-neuron", "--no-torch")["nodes"]}
    closed = {
        node["name"] for node in shown("sigmoid-neuron", "--close", "f", "--no-torch")["nodes"]
    }
    assert names - closed >= {"minus", "power", "den"}
    assert closed < names
    opened = shown("tanh-recursion", "--open", "h", "--set", "w_h=0.5", "--no-torch")
    assert any(node["name"] == "power₁" for node in opened["nodes"])
    assert opened["leaves"]["w_h"] == 0.5


def test_what_does_not_open_is_refused_and_names_what_does(run: Any) -> None:
    code, _, err = run("show", "tanh-recursion", "--open", "z")
    assert code == 2
    assert err == "backprop-tui: nothing called “z” opens: known: h\n"


def test_check_holds_both_forms_against_each_other(run: Any) -> None:
    code, out, _ = run("check", "sigmoid-neuron", "--json")
    found = json.loads(out)["lessons"][0]
    assert code == 0
    assert [r["other_form"] for r in found["runs"]] == [[]] * 4 + [["f"]]
    assert found["runs"][-1]["nodes"] == 5 + 5
    code, out, _ = run("check", "sigmoid-neuron")
    assert "✓ 1 node in two forms, fused and in primitive steps" in " ".join(out.split())


def test_check_notices_a_form_that_is_something_else(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(xp: Any, dot: Any) -> Any:
        power = xp.exp(dot)
        den = power + 1
        return 1 / den

    lesson = find_lesson("sigmoid-neuron")
    monkeypatch.setitem(lesson.opens, "f", wrong)
    code, out, _ = run("check", "sigmoid-neuron")
    assert code == 1
    assert "the other form of f: the two forms of f differ in" in " ".join(out.split())
