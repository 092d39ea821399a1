"""The real program in a pseudo-terminal, as a user has it: keys and bytes in, a screen out."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyte")
pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

from textual.events import Resize  # noqa: E402
from textual.geometry import Size  # noqa: E402

from backprop_tui.lessons import catalogue, find_lesson  # noqa: E402
from backprop_tui.tui.app import BackpropApp  # noqa: E402
from backprop_tui.tui.lesson_screen import LessonScreen  # noqa: E402
from tests.terminal import (  # noqa: E402
    ROOT,
    SWITCHES,
    Terminal,
    is_running,
)

SIZES = [(80, 24), (120, 40), (200, 60)]
UP, DOWN, RIGHT, LEFT = b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D"
ESC, ENTER, TAB = b"\x1b", b"\r", b"\t"
END = b"\x1b[F"
CTRL_C, CTRL_P, CTRL_Q, CTRL_T, CTRL_Z = b"\x03", b"\x10", b"\x11", b"\x14", b"\x1a"

LOADED = " to go"
"""Stands on home."""
STEP = re.compile(r"step \d+/\d+")
"""Stands on a lesson."""
AGREES = "✓ agrees"


def lesson(name: str = "square", *more: str, **options: Any) -> Terminal:
    """The program on a lesson, painted."""
    terminal = Terminal([name, *more], **options)
    try:
        terminal.wait(STEP)
        terminal.wait("Home")
    except BaseException:
        terminal.__exit__()
        raise
    return terminal


def home(*arguments: str, **options: Any) -> Terminal:
    """The program on its first screen, painted."""
    terminal = Terminal(arguments, **options)
    try:
        terminal.wait(LOADED)
        terminal.wait("Quit")
        terminal.wait_quiet(0.3)  # the footer may come before the panels
    except BaseException:
        terminal.__exit__()
        raise
    return terminal


# ── it starts, steps and edits ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
def test_it_starts_on_the_lessons(size: tuple[int, int]) -> None:
    with home(width=size[0], height=size[1]) as terminal:
        for title in ("A square", "A first loss", "A squared loss", "A linear function"):
            assert title in terminal.text
        terminal.press(END)
        terminal.wait(f"▸ {len(catalogue())} {catalogue()[-1].title[:20]}")
        terminal.press("q")
        terminal.ended_well()


@pytest.mark.parametrize("size", SIZES)
def test_it_starts_on_a_lesson(size: tuple[int, int]) -> None:
    with lesson("rnn", width=size[0], height=size[1]) as terminal:
        assert "A recurrent network" in terminal.lines[0]
        assert "esc Home" in terminal.lines[-1]
        terminal.press(CTRL_Q)
        terminal.ended_well()


def test_from_the_lessons_into_one_and_back() -> None:
    with home() as terminal:
        terminal.press(DOWN, DOWN, ENTER)
        terminal.wait(STEP)
        assert "A squared loss" in terminal.lines[0]
        terminal.press(ESC)
        terminal.wait(LOADED)
        terminal.wait("▸  3 A squared loss")


def test_a_lesson_is_opened_with_the_mouse() -> None:
    with home() as terminal:
        terminal.click_on(" 4 A linear function")
        terminal.wait("▸  4 A linear function")
        terminal.click_on(" 4 A linear function")
        terminal.wait(STEP)
        assert "4 · A linear function" in terminal.lines[0]
        terminal.click_on("5 Equations")
        terminal.wait("━Equations")


def test_the_steps_forth_and_back() -> None:
    with lesson("square") as terminal:
        assert "forward 1/1" in terminal.lines[0]
        terminal.press(RIGHT)
        terminal.wait("backward 1/2")
        terminal.wait("∂y/∂y = 1")
        terminal.press("n")
        terminal.wait("y sends to x")
        terminal.wait("step 3/3")
        terminal.wait("= 0.86223")
        terminal.press("n")  # there is none
        terminal.press(LEFT)
        terminal.wait("step 2/3")
        terminal.press("p", "p")
        terminal.wait("step 0/3")
        terminal.wait("│ ?  ")


def test_an_edit_and_every_number_follows_and_torch_too() -> None:
    with lesson("square", width=160, height=45) as terminal:
        terminal.press(b"\x1b[F")  # end
        terminal.wait("step 3/3")
        terminal.wait(f"torch {AGREES}")
        terminal.press("e")
        terminal.wait("━Leaves")
        terminal.press("7", ENTER)
        terminal.wait("∂ 14")
        terminal.wait("49")
        # x by hand, by torch and numerically
        terminal.wait(re.compile(r"\bx +14 +14 +14 "))
        terminal.wait(f"torch {AGREES}")
        assert "step 3/3" in terminal.text
        terminal.press(ESC, "u")
        terminal.wait("∂ 0.86223")
        terminal.wait(re.compile(r"\bx +0.86223 +0.86223 +0.86223 "))


def test_a_bad_number_is_refused_in_words_and_the_old_one_stays() -> None:
    with lesson("square") as terminal:
        terminal.press("e")
        terminal.wait("━Leaves")
        terminal.press("1x", ENTER)
        terminal.wait("“1x” is not a number")
        terminal.wait("x is still 0.4311157464981079")
        terminal.press(ESC)
        terminal.wait("x = 0.4311157464981079")


# ── sizes of the window ───────────────────────────────────────────────────────────────────────


def test_wild_sizes_while_it_plays() -> None:
    with lesson("recursion", width=100, height=30) as terminal:
        terminal.press("+", "+", "+", " ")
        terminal.wait("▶")
        wild = [(1, 1), (200, 60), (2, 50), (300, 2), (80, 23), (79, 24), (1, 1), (120, 40)]
        for width, height in wild:
            terminal.resize(width, height)
            terminal.read(0.03)
        terminal.wait(STEP)
        terminal.resize(1, 1)
        terminal.wait(lambda t: t.text in ("", "8"))
        terminal.resize(60, 10)
        terminal.wait("80×24 needed, this is 60×10")
        terminal.resize(80, 24)
        terminal.wait(re.compile(r"step (\d+)/\1"))  # it has gone on to the end
        assert "A recursion" in terminal.lines[0]
        terminal.press(CTRL_Q)
        terminal.ended_well()


@pytest.mark.parametrize("keys", [(b"?",), (b"i",), (CTRL_P,), (b"D",), (b"e", b"12")])
def test_a_window_that_shrinks_and_grows_under_a_dialogue(keys: tuple[bytes, ...]) -> None:
    with lesson("tanh-recursion", width=120, height=40) as terminal:
        terminal.press(*keys)
        terminal.wait_quiet()
        before = terminal.text
        for width, height in [(1, 1), (40, 5), (80, 24), (3, 60), (120, 40)]:
            terminal.resize(width, height)
            terminal.wait_quiet(0.1)
        terminal.wait(lambda t: t.lines[-1] == before.splitlines()[-1])
        terminal.press(ESC)
        terminal.wait(re.compile("esc (Home|Graph)"))  # the leaves keep the focus
        terminal.press(CTRL_Q)
        terminal.ended_well()


def test_a_window_whose_edge_is_dragged_while_the_mouse_moves() -> None:
    with lesson("square", width=120, height=40) as terminal:
        terminal.press("?")
        terminal.wait("esc closes")
        for count in range(150):
            terminal.resize(90 + count % 7 * 10, 25 + count % 5)
            terminal.send(b"\x1b[<35;%d;5M" % (count % 70 + 1))
        terminal.resize(100, 30)
        terminal.press(ESC)
        terminal.wait(lambda t: "forward 1/1" in t.lines[0] and "esc Home" in t.lines[-1])
        terminal.press(CTRL_Q)
        terminal.ended_well()


@pytest.mark.parametrize("key", ["question_mark", "i", "D", "ctrl+p", "escape"])
async def test_a_size_that_is_out_of_date_is_not_laid_out(key: str) -> None:
    # Where it is, two sizes can chase each other round, and the program answers no more.
    app = BackpropApp(find_lesson("square"), reference=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(key)
        await pilot.pause()
        for screen in app.screen_stack:
            screen.post_message(Resize(Size(100, 30), Size(100, 30)))
            await pilot.pause()
            assert screen.size == (120, 40), screen


async def test_a_dialogue_that_is_closed_twice_does_not_take_the_lesson_with_it() -> None:
    app = BackpropApp(find_lesson("square"), reference=False)
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("question_mark", "i", "D", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause()
            dialogue = app.screen
            assert not isinstance(dialogue, LessonScreen)
            dialogue.dismiss()
            dialogue.dismiss()
            await pilot.pause()
            assert isinstance(app.screen, LessonScreen)


@pytest.mark.parametrize("size", [(1, 1), (0, 0), (10, 3), (79, 24)])
def test_it_starts_in_a_window_that_is_too_small(size: tuple[int, int]) -> None:
    with Terminal(["rnn"], *size) as terminal:
        terminal.wait(lambda t: b"\x1b[?1049h" in t.output)
        terminal.wait_quiet()
        terminal.resize(80, 24)
        terminal.wait(STEP)
        terminal.press(CTRL_Q)
        terminal.ended_well()


# ── it ends ───────────────────────────────────────────────────────────────────────────────────

SCREENS = {
    "a lesson": (),
    "edit": (b"e", b"1"),
    "help": (b"?",),
    "inspector": (b"i",),
    "prompt": (b"D",),
    "palette": (CTRL_P,),
}


@pytest.mark.parametrize("key", [CTRL_Q, CTRL_C], ids=["ctrl+q", "ctrl+c"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_can_be_left_from_everywhere(screen: str, key: bytes) -> None:
    with lesson("square") as terminal:
        terminal.press(*SCREENS[screen])
        terminal.wait_quiet()
        terminal.press(key)
        terminal.ended_well()


@pytest.mark.parametrize("keys", [(b"q",), (CTRL_Q,), (CTRL_C,), (b"/", b"rnn", CTRL_C)])
def test_it_can_be_left_from_home(keys: tuple[bytes, ...]) -> None:
    with home() as terminal:
        terminal.press(*keys)
        terminal.ended_well()


ENDS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "code"), ENDS)
@pytest.mark.parametrize("when", ["at once", "while torch loads", "with torch", "playing", "help"])
def test_a_signal_ends_it_and_restores_the_terminal(
    number: signal.Signals, code: int, when: str
) -> None:
    with Terminal(["square"]) as terminal:
        if when == "at once":
            terminal.wait(lambda t: b"\x1b[?1049h" in t.output)
        else:
            terminal.wait(STEP)
            terminal.child()
        if when == "with torch":
            terminal.wait(AGREES)
        if when == "playing":
            terminal.press("-", " ")
            terminal.wait("▶ step")
        if when == "help":
            terminal.press("?")
            terminal.wait("esc closes")
        terminal.process.send_signal(number)
        terminal.ended_well(code)


def test_a_closed_window_ends_it_and_what_it_started() -> None:
    terminal = lesson("square")
    with terminal:
        terminal.wait(AGREES)
        child = terminal.child()
        terminal.hang_up()
        terminal.process.wait(20)
        terminal.no_child_is_left()
        assert not is_running(child)


def test_stopped_and_continued_it_paints_again() -> None:
    with lesson("square") as terminal:
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.wait(lambda t: t.output.rfind(b"\x1b[?1049l") > 0)
        terminal.wait(lambda t: _state(t.process.pid) == "T")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait(lambda t: t.output.rfind(b"\x1b[?1049h") > t.output.rfind(b"\x1b[?1049l"))
        terminal.press(RIGHT)
        terminal.wait("step 2/3")
        terminal.press(CTRL_Q)
        terminal.ended_well()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]


# ── the process beside ────────────────────────────────────────────────────────────────────────


def test_a_child_that_is_killed_comes_back_with_its_verdict() -> None:
    with lesson("square", width=120) as terminal:
        terminal.wait(AGREES)
        first = terminal.child()
        os.kill(first, signal.SIGKILL)
        terminal.wait_gone(AGREES)
        terminal.press("b", RIGHT)  # nothing else is lost
        terminal.wait("step 3/3")
        terminal.wait(lambda t: t.children() - {first})
        terminal.wait(AGREES)
        terminal.press(CTRL_Q)
        terminal.ended_well()


def test_without_its_parent_the_child_goes_away() -> None:
    with lesson("square") as terminal:
        child = terminal.child()
        terminal.process.kill()
        terminal.end()
        terminal.no_child_is_left()
        assert not is_running(child)


def test_lessons_opened_quickly_one_after_another_while_torch_loads() -> None:
    with home(width=120, height=40) as terminal:
        for _ in range(8):
            terminal.press(ENTER)
            terminal.wait(STEP)
            terminal.press(ESC)
            terminal.wait("q Quit")
            terminal.press(DOWN)
        terminal.press(ENTER)
        terminal.wait("A recurrent network")
        terminal.wait(STEP)
        terminal.wait(AGREES)
        terminal.press(CTRL_Q)
        terminal.ended_well()


# ── colours and characters ────────────────────────────────────────────────────────────────────

RGB = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")


def is_grey(output: bytes) -> bool:
    """Whether nothing was written in a colour."""
    return all(len(set(found)) == 1 for found in RGB.findall(output))


def test_no_color_paints_in_grey_only() -> None:
    with lesson("square", env={"NO_COLOR": "1"}) as terminal:
        terminal.press("b", RIGHT)
        terminal.wait("step 3/3")
        terminal.wait(AGREES)
        assert is_grey(terminal.output)
    with lesson("square") as terminal:
        assert not is_grey(terminal.output)


def _not_ascii(terminal: Terminal) -> set[str]:
    return {character for character in terminal.text if not character.isascii()}


@pytest.mark.parametrize("width", [80, 160])
def test_ascii_is_ascii_on_every_screen(width: int) -> None:
    with home("--ascii", width=width, height=45) as terminal:
        terminal.wait_quiet()
        assert not _not_ascii(terminal)
        terminal.press("?")
        terminal.wait("esc closes")
        terminal.wait_quiet()
        assert not _not_ascii(terminal)
        terminal.press(ESC, b"\x1b[F", ENTER)
        terminal.wait(STEP)
        terminal.wait("v agrees")
        keys: list[tuple[bytes, ...]] = [
            (b"1",), (b"2",), (b"3",), (b"4",), (b"5",),
            (b"\x1b[H",), (b"b",), (b"n", b"n", b"n"), (b"z",), (b"z",), (b"z",),
            (b"?",), (ESC,), (b"e",), (b"?",), (ESC,), (b"1x", ENTER), (ESC, ESC), (b"i",),
            (TAB,), (ESC,), (b"D",), (b"x", ENTER), (ESC,), (b" ",), (b" ",), (b"d",), (b"u",),
        ]  # fmt: skip
        for press in keys:
            terminal.press(*press)
            terminal.wait_quiet(0.25)
            assert not _not_ascii(terminal), f"after {press}: {_not_ascii(terminal)}\n{terminal}"


# ── too much, and nonsense ────────────────────────────────────────────────────────────────────

GARBAGE = {
    "words": b"lorem ipsum dolor",
    "bytes": bytes(b for b in range(1, 256) if b != 0x1B),
    "broken JSON": b"[[1, 2], [3",
    "another shape": b"[[1, 2, 3], [4, 5, 6]]",
    "brackets": b"[" * 5000,
    "10 MB of text": b"a lot of words, " * (10 * 1024 * 64),
    "10 MB of numbers": b"1 2 3 4 5 6 7 8\n" * (10 * 1024 * 64),
    "10 MB of digits": b"1" * 10 * 1024 * 1024,
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_paste_that_is_no_value_is_refused_in_words_and_quickly(what: str) -> None:
    with lesson("tanh-recursion") as terminal:
        terminal.press("e")
        terminal.wait("time steps")
        terminal.wait_quiet()
        terminal.paste(GARBAGE[what])
        begun = time.monotonic()
        terminal.wait("is still")
        assert re.search(r" ! .*\w+", terminal.text), str(terminal)
        assert time.monotonic() - begun < 10
        terminal.press(UP)  # it is alive
        terminal.wait_gone("is still")
        terminal.press(CTRL_Q)
        terminal.ended_well()


@pytest.mark.parametrize("keys", [(b"/",), (b"?",), ()])
def test_pastes_elsewhere_do_no_harm(keys: tuple[bytes, ...]) -> None:
    with home() as terminal:
        terminal.press(*keys)
        terminal.paste(b"q\nq\x03\x00\xff " * 1000)
        terminal.press(ESC, ESC)
        terminal.wait_quiet()
        terminal.wait(LOADED)
        terminal.wait("A square")
        terminal.press("q")
        terminal.ended_well()


def test_bytes_that_no_key_sends_do_no_harm() -> None:
    with lesson("square") as terminal:
        terminal.send(bytes(range(128, 256)) + b"\x1b[999;999;999M\x1b[<64;1M\x1b[?xyz\x1b]0;\x07")
        terminal.wait_quiet()
        terminal.press(ESC)
        terminal.wait_quiet()
        assert terminal.process.poll() is None, str(terminal)
        terminal.press(CTRL_Q)
        terminal.ended_well()


# ── what is remembered ────────────────────────────────────────────────────────────────────────


def test_theme_lesson_and_what_was_done_are_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "its own"
    with home(state=folder) as terminal:
        dark = terminal.colours
        terminal.press(CTRL_T)
        terminal.wait(lambda t: not t.colours & dark)
        light = terminal.colours
        terminal.press(DOWN, ENTER)
        terminal.wait(STEP)
        terminal.press(b"\x1b[F")
        terminal.wait(re.compile(r"step (\d+)/\1"))
        terminal.press(CTRL_Q)
        terminal.ended_well()
    with home(state=folder) as terminal:
        assert f"1 of {len(catalogue())} done" in terminal.text
        terminal.wait(re.compile("▸  2 A first loss +4 ✓"))
        assert terminal.colours & light
        assert not terminal.colours & dark
        terminal.press("q")
        terminal.ended_well()


def test_a_folder_that_is_read_only_is_told_and_all_goes_on(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # who may write everywhere: a file where the folder should be
        folder = tmp_path / "a file"
        folder.write_text("")
    else:
        folder = tmp_path
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with home(state=folder) as terminal:
            told = re.compile(r"could[\s▌]+not[\s▌]+be[\s▌]+(saved|read)")
            if folder.is_file():  # it is told at once, when it cannot be read
                terminal.wait(told)
                terminal.press(ENTER)
            else:  # it is told when there is something to save
                terminal.press(ENTER)
                terminal.wait(told)
            terminal.wait(STEP)
            terminal.press(RIGHT)
            terminal.wait("step 2/3")
            terminal.press(CTRL_Q)
            terminal.ended_well()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1, "done": 3}'])
def test_a_damaged_file_is_set_aside_with_a_message(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state.json").write_bytes(data)
    with home(state=tmp_path, width=120) as terminal:
        terminal.wait("aside")  # in a message that may be wrapped anywhere
        terminal.press("q")
        terminal.ended_well()
    aside = [path for path in tmp_path.iterdir() if "damaged" in path.name]
    assert [path.read_bytes() for path in aside] == [data]


def test_with_no_state_nothing_is_written(tmp_path: Path) -> None:
    with Terminal([], env={"BACKPROP_TUI_STATE_DIR": str(tmp_path)}) as terminal:  # --no-state
        terminal.wait(LOADED)
        terminal.press(CTRL_T, ENTER)
        terminal.wait(STEP)
        terminal.press(b"\x1b[F")
        terminal.wait("step 3/3")
        terminal.press(CTRL_Q)
        terminal.ended_well()
    assert not list(tmp_path.iterdir())


# ── no terminal ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", [[], ["rnn"]])
@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_without_a_terminal_it_says_so_in_one_line(
    tmp_path: Path, stream: str, arguments: list[str]
) -> None:
    master, slave = os.openpty()
    try:
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        with (tmp_path / "file").open("w+b") as file:
            streams[stream] = file
            if stream != "stderr":
                streams["stderr"] = subprocess.PIPE
            process = subprocess.Popen(
                [sys.executable, "-m", "backprop_tui", *arguments, "--no-state"],
                cwd=ROOT,
                env={**os.environ, "TERM": "xterm-256color"},
                start_new_session=True,
                **streams,
            )
            try:
                _, words = process.communicate(timeout=20)
            finally:
                process.kill()
            assert process.returncode == 2
            file.seek(0)
            said = (file.read() if stream == "stderr" else words).decode()
        assert said.startswith("backprop-tui: the app needs a terminal")
        assert said.count("\n") == 1
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 1000)  # nothing was drawn
    finally:
        os.close(master)
        os.close(slave)


def test_a_dumb_terminal_is_told_so_in_one_line() -> None:
    with Terminal([], env={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 2
        assert "the app needs a terminal" in terminal.text.replace("\n", " ")
        assert not any(b"\x1b[?" + code in terminal.output for code in SWITCHES.values())


@pytest.mark.parametrize("word", ["nonsense", "--nonsense", "--theme=nonsense"])
def test_a_wrong_word_is_refused_before_the_screen_is_touched(word: str) -> None:
    with Terminal([word]) as terminal:
        assert terminal.end() == 2
        assert terminal.output.startswith(b"backprop-tui: ")
        assert terminal.output.count(b"\n") == 1
        assert b"\x1b" not in terminal.output
