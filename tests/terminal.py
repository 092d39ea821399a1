"""The real program in a pseudo-terminal, and what a user would see there.

Nothing here sleeps and hopes: one waits for something to be on the screen, and if it does not come
the message shows the screen as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyte

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = 20.0
"""So many seconds anything may take: the machine may be busy."""

QUERY, ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""The program asks whether the terminal shows frames whole; this one does."""

ESC = b"\x1b"

PASTE = b"\x1b[200~", b"\x1b[201~"

NOT_FOR_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*u|\x1b\[\?[0-9;]*\$p")
"""Sequences of newer terminals (keys, queries) that pyte would take for others."""

ESCAPE = re.compile(
    rb"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[()][0-9A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>78])"
)

NOT_PASSED_ON = ("PYTHON", "TEXTUAL", "NO_COLOR", "COLUMNS", "LINES", "BACKPROP")

SWITCHES = {
    "the alternate screen": b"1049",
    "mouse clicks": b"1000",
    "mouse moves": b"1003",
    "mouse in SGR": b"1006",
    "bracketed paste": b"2004",
    "focus reports": b"1004",
}
"""What the program switches on (`h`) and must switch off (`l`) again."""


class Ended(AssertionError):
    """The program ended though it should not have."""


class Terminal:
    """The program in a terminal. Use it in a `with` statement, which ends it in any case."""

    def __init__(
        self,
        arguments: Sequence[str] = (),
        width: int = 80,
        height: int = 24,
        *,
        state: Path | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start `python -m backprop_tui ARGUMENTS`; without a `state` folder nothing is saved."""
        self._master, self._slave = os.openpty()
        self.width, self.height = width, height
        self._set_size()
        self.settings = termios.tcgetattr(self._slave)
        """How the terminal was set before."""
        words = [*arguments] if state is not None else [*arguments, "--no-state"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(NOT_PASSED_ON)}
        environment.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
        environment["PYTHONPATH"] = str(ROOT)
        if state is not None:
            environment["BACKPROP_TUI_STATE_DIR"] = str(state)
        environment.update(env or {})
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self._undecided = b""
        self.output = b""
        """All that was written."""
        self.process = subprocess.Popen(
            [*(command or [sys.executable, "-m", "backprop_tui"]), *words],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self._seen_children: set[int] = set()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.children()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        for pid in self._seen_children:  # each in a session of its own
            if is_running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for descriptor in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    # ── what a user does ──────────────────────────────────────────────────────────────────────

    def press(self, *keys: str | bytes) -> None:
        """Press keys: characters, or the bytes a terminal sends for a special one."""
        for key in keys:
            self.send(key.encode() if isinstance(key, str) else key)
            if key == ESC:  # with what follows at once it would be another key
                self.wait_quiet(0.2)

    def send(self, data: bytes) -> None:
        """Send bytes, reading meanwhile so that neither side waits for the other."""
        left = memoryview(data)
        until = time.monotonic() + PATIENCE
        while left:
            assert time.monotonic() < until, f"the program does not read\n{self}"
            _, ready, _ = select.select([], [self._master], [], 0.05)
            if ready:
                left = left[os.write(self._master, left[:1024]) :]
            self.read(0)

    def paste(self, data: bytes) -> None:
        """Paste, as terminals do where the program has asked to be told."""
        self.send(PASTE[0] + data + PASTE[1])

    def click(self, column: int, row: int) -> None:
        """Click a cell; both count from 0."""
        place = f"{column + 1};{row + 1}"
        self.send(f"\x1b[<0;{place}M\x1b[<0;{place}m".encode())

    def click_on(self, text: str) -> None:
        """Click the first place on the screen that has a text."""
        for row, line in enumerate(self.lines):
            if text in line:
                self.click(line.index(text), row)
                return
        raise AssertionError(f"there is no {text!r} to click on\n{self}")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.width, self.height = width, height
        self._screen.resize(height, width)
        self._set_size()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGWINCH)

    def _set_size(self) -> None:
        size = struct.pack("HHHH", self.height, self.width, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)

    def hang_up(self) -> None:
        """Close the window: the terminal is gone."""
        os.close(self._slave)
        os.close(self._master)

    # ── what a user sees ──────────────────────────────────────────────────────────────────────

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The whole screen."""
        return "\n".join(self.lines)

    @property
    def colours(self) -> set[str]:
        """The colours of all characters that are seen."""
        cells = (self._screen.buffer[y][x] for y in range(self.height) for x in range(self.width))
        return {cell.fg for cell in cells if cell.data.strip()} | {
            self._screen.buffer[y][x].bg for y in range(self.height) for x in range(self.width)
        }

    def __str__(self) -> str:
        border = "─" * self.width
        code = self.process.poll()
        alive = "running" if code is None else f"ended with {code}"
        tail = self.output[-600:]
        return f"{border}\n{self.text}\n{border}\n{alive}; last bytes: {tail!r}"

    def read(self, seconds: float) -> bool:
        """Take what comes within some time; says whether anything did."""
        try:
            ready, _, _ = select.select([self._master], [], [], seconds)
            data = os.read(self._master, 1 << 16) if ready else b""
        except OSError:
            return False
        if not data:
            return False
        if QUERY in data:
            os.write(self._master, ANSWER)
        self.output += data
        self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        data = self._undecided + data
        # A sequence may come in two pieces: wait for the rest of the last one.
        escape = data.rfind(b"\x1b")
        whole = escape < 0 or len(data) - escape > 40 or ESCAPE.match(data, escape)
        data, self._undecided = (data, b"") if whole else (data[:escape], data[escape:])
        self._stream.feed(NOT_FOR_PYTE.sub(b"", data))

    def wait(
        self,
        what: str | re.Pattern[str] | Callable[[Terminal], Any],
        patience: float = PATIENCE,
    ) -> Any:
        """Wait until a text or pattern is on the screen, or something is true; returns the truth"""
        until = time.monotonic() + patience
        while True:
            found = self._holds(what)
            if found:
                return found
            if self.process.poll() is not None and not self.read(0):
                raise Ended(f"the program ended before {_name(what)}\n{self}")
            assert time.monotonic() < until, f"{_name(what)} did not come\n{self}"
            self.read(0.05)

    def _holds(self, what: str | re.Pattern[str] | Callable[[Terminal], Any]) -> Any:
        if isinstance(what, str):
            return what in self.text
        if isinstance(what, re.Pattern):
            return what.search(self.text)
        return what(self)

    def wait_gone(self, text: str) -> None:
        """Wait until a text is on the screen no longer."""
        self.wait(lambda terminal: text not in terminal.text)

    def wait_quiet(self, seconds: float = 0.4) -> None:
        """Wait until nothing has come for a while."""
        until = time.monotonic() + PATIENCE
        while self.read(seconds):
            assert time.monotonic() < until, f"it never stops writing\n{self}"

    # ── processes, and the end ────────────────────────────────────────────────────────────────

    def children(self) -> set[int]:
        """The processes that the program has started and that still run."""
        found = set()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                text = (task / "children").read_text(encoding="ascii")
                found.update(int(word) for word in text.split())
        self._seen_children |= found
        return found

    def child(self) -> int:
        """The one process that computes beside, as soon as it is there."""
        return int(next(iter(self.wait(lambda terminal: terminal.children()))))

    def end(self, patience: float = PATIENCE) -> int:
        """Wait for the program's end, reading meanwhile; returns its exit code."""
        until = time.monotonic() + patience
        while self.process.poll() is None:
            self.children()
            assert time.monotonic() < until, f"the program does not end\n{self}"
            self.read(0.02)
        while self.read(0.05):
            pass
        return self.process.returncode

    def ended_well(self, code: int = 0) -> None:
        """Wait for the end; the exit code is this one, and all is as it was before."""
        assert self.end() == code, str(self)
        for name, number in SWITCHES.items():
            on, off = (self.output.rfind(b"\x1b[?" + number + x) for x in (b"h", b"l"))
            assert on < 0 or off > on, f"{name} is still on\n{self}"
        cursor = self.output.rfind(b"\x1b[?25l")
        assert cursor < self.output.rfind(b"\x1b[?25h"), f"the cursor is hidden\n{self}"
        pushed, popped = (len(re.findall(x, self.output)) for x in (rb"\x1b\[>\d+u", rb"\x1b\[<u"))
        assert pushed == popped, f"the keyboard's mode is not as before\n{self}"
        assert termios.tcgetattr(self._slave) == self.settings, "the terminal is set otherwise"
        assert self.last_words == "", f"it wrote something at the end: {self.last_words!r}"
        assert b"Traceback" not in self.output, str(self)
        self.no_child_is_left()

    @property
    def last_words(self) -> str:
        """What it wrote when it had left the alternate screen."""
        _, left, after = self.output.rpartition(b"\x1b[?1049l")
        return ESCAPE.sub(b"", after if left else b"").decode(errors="replace").strip()

    def no_child_is_left(self) -> None:
        """Wait until the processes that were seen are gone."""
        until = time.monotonic() + PATIENCE
        while left := [pid for pid in self._seen_children if is_running(pid)]:
            assert time.monotonic() < until, f"{left} still run"
            time.sleep(0.02)


def _name(what: object) -> str:
    if isinstance(what, re.Pattern):
        return f"/{what.pattern}/"
    return repr(what) if isinstance(what, str) else "what was waited for"


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is not just waiting to be buried."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2][:3]
    except OSError:
        return False
