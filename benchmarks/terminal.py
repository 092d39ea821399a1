"""A program in a pseudo-terminal, and when its bytes come.

Nothing here interprets what is drawn; a program is judged by the moments at which it writes.
"""

from __future__ import annotations

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
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

FRAME, FRAME_END = b"\x1b[?2026h", b"\x1b[?2026l"
"""Begin and end a frame in a terminal that shows frames whole, as ours says it does."""

QUERY, ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""The program asks whether the terminal shows frames whole; this terminal does."""

NOT_PASSED_ON = ("PYTHON", "TEXTUAL", "NO_COLOR", "COLUMNS", "LINES")
"""Variables that would change what is measured, such as Python running without its bytecode."""

ESCAPE = re.compile(
    rb"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[()][0-9A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>78])"
)


class Burst(NamedTuple):
    """What came until the program fell silent. Times are in seconds since the burst was asked for;
    they are those of the bytes, not of the silence after them."""

    first: float
    last: float
    data: bytes

    @property
    def frames(self) -> int:
        """How many frames were shown."""
        return self.data.count(FRAME)

    @property
    def text(self) -> str:
        """What was written, without escape sequences."""
        return ESCAPE.sub(b"", self.data).decode(errors="replace")


class Silent(RuntimeError):
    """The program wrote nothing where it should have, or has ended."""


def _ticks(pid: int) -> int:
    """The processor time that a process has used."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return -1
    return int(words[11]) + int(words[12])


class Terminal:
    """A Python program in a pseudo-terminal of its own. Use it in a `with` statement."""

    def __init__(self, arguments: Sequence[str], width: int = 120, height: int = 40) -> None:
        """Start `python ARGUMENTS` in the project's folder."""
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment = {n: v for n, v in os.environ.items() if not n.startswith(NOT_PASSED_ON)}
        environment.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
        environment["PYTHONPATH"] = os.environ.get("BENCH_ROOT", str(ROOT))
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=os.environ.get("BENCH_ROOT", str(ROOT)),
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.pid = self._process.pid
        self.tail = b""
        """The last bytes it wrote, for messages."""
        self.seen = b""
        """All that it has written."""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, keys: bytes) -> float:
        """Press keys; returns when."""
        now = time.perf_counter()
        os.write(self._master, keys)
        return now

    def read(self, until: float) -> tuple[float, bytes] | None:
        """The next bytes and when they came; None if none come until then."""
        left = until - time.perf_counter()
        ready, _, _ = select.select([self._master], [], [], max(0.0, left))
        if not ready:
            return None
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # how a pseudo-terminal says that the other end is closed
            data = b""
        now = time.perf_counter()
        if not data:
            raise Silent(f"the program has ended; its last words: {self.tail[-2000:]!r}")
        if QUERY in data:
            os.write(self._master, ANSWER)
        self.tail = (self.tail + data)[-4000:]
        self.seen += data
        return now, data

    def burst(
        self, since: float, quiet: float = 0.06, patience: float = 20.0, needs: Sequence[bytes] = ()
    ) -> Burst:
        """All bytes until none come for `quiet` seconds and all of `needs` have been seen."""
        data = b""
        first = last = None
        deadline = since + patience
        while True:
            waiting = last is None or any(text not in data for text in needs)
            got = self.read(deadline if waiting or last is None else last + quiet)
            if got is None:
                if waiting:
                    raise Silent(f"nothing came for {patience} s after {data[-500:]!r}")
                break
            last, piece = got
            first = first if first is not None else last
            data += piece
        assert first is not None and last is not None
        return Burst(first - since, last - since, data)

    def shown(self, needs: Sequence[bytes], patience: float = 60.0) -> float:
        """Seconds from the start to the end of the frame with which all of `needs` are shown."""
        now, deadline = self.started, self.started + patience
        while True:
            found = [self.seen.find(text) for text in needs]
            if min(found) >= 0:
                ended = self.seen.find(FRAME_END, max(found)) >= 0
                got = None if ended else self.read(now + 0.02)
                if got is None:
                    return now - self.started
            else:
                got = self.read(deadline)
                if got is None:
                    raise Silent(f"not all of {needs} have come: {self.tail!r}")
            now = got[0]

    def drain(self, quiet: float = 0.25, patience: float = 30.0) -> bytes:
        """Wait until nothing has come for a while."""
        data, deadline = b"", time.perf_counter() + patience
        while time.perf_counter() < deadline:
            got = self.read(time.perf_counter() + quiet)
            if got is None:
                break
            data += got[1]
        return data

    def press(self, key: bytes, quiet: float = 0.06) -> Burst:
        """Press a key and take what it brings about."""
        return self.burst(self.send(key), quiet)

    def memory(self) -> tuple[float, float]:
        """(resident, proportional) memory of the program's own process in MiB."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        sizes = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", text, re.MULTILINE))
        return int(sizes["Rss"]) / 1024, int(sizes["Pss"]) / 1024

    def children(self) -> list[int]:
        """The processes that it has started and that still run."""
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            text = (task / "children").read_text(encoding="ascii")
            found.extend(int(word) for word in text.split())
        return found

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.perf_counter() - self.started

    @property
    def busy(self) -> bool:
        """Whether its children have computed within a tenth of a second, such as torch loading."""
        before = [_ticks(child) for child in self.children()]
        time.sleep(0.1)
        return before != [_ticks(child) for child in self.children()]

    def close(self) -> None:
        """End the program and all it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                break
            try:
                self._end(1.0)
            except subprocess.TimeoutExpired:
                continue
            break
        os.close(self._master)

    def _end(self, seconds: float) -> None:
        """Wait for the end, reading meanwhile: a full pipe would block it."""
        until = time.perf_counter() + seconds
        while self._process.poll() is None:
            if time.perf_counter() > until:
                raise subprocess.TimeoutExpired(self._process.args, seconds)
            try:
                if self.read(time.perf_counter() + 0.02) is None:
                    continue
            except Silent:
                self._process.wait(timeout=seconds)
