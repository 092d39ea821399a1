"""The app's side of the reference process: asks, listens, and starts it again when it dies.

Needs a running asyncio loop and knows nothing of the screen. Nothing here imports torch.

The pipes are served by two threads, so that nothing that goes wrong at the other end (a stopped
process, a full pipe) can hold up the loop, and nothing here depends on how the loop comes to its
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from backprop_tui.engine.operations import Value
from backprop_tui.engine.torch_record import TorchRun
from backprop_tui.reference.protocol import (
    Failed,
    GaveUp,
    Message,
    NumericReply,
    Request,
    Restarting,
    ScriptReply,
    TorchReply,
    TorchUpdate,
    read_message,
    to_bytes,
)

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from backprop_tui.reference.worker import main; main()"
)
"""Appended, so that it never comes before the standard library; and `-P` keeps the current folder
out, where a learner may have a `random.py` or a `torch.py`."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def worker_command() -> list[str]:
    """How the process is started."""
    return [sys.executable, "-P", "-c", _BOOT, str(Path(__file__).parents[2])]


class ReferenceClient:
    """One reference process, kept alive, and the newest request to it.

    `on_message` is called in the event loop with every message that is not stale: Started,
    TorchLoaded, TorchMissing, TorchReply, NumericReply, ScriptReply, Failed; and with Restarting
    and GaveUp when the process ends by itself.
    """

    QUICK = 10.0
    """A process that lives less than so many seconds died at once."""

    TRIES = 3
    """After so many quick deaths in a row it is left alone."""

    BACKOFF = 0.3
    """Seconds before the second try; doubled for each further one. The first comes at once."""

    PATIENCE = 0.5
    """How many seconds `close` waits after each of its steps: ask, terminate, kill."""

    def __init__(
        self,
        on_message: Callable[[Message], None],
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`command` and `environment` (added to ours) replace how the process is started."""
        self._on_message = on_message
        self._command = list(command) if command is not None else worker_command()
        self._environment = dict(environment or {})
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._guard: asyncio.Task[None] | None = None
        self._newest: Request | None = None
        self._sent: Request | None = None
        self._rest = memoryview(b"")  # of the request that is being sent
        self._count = 0
        self._closed = False
        self.gave_up: str | None = None
        """Why the process is not started any more; None while it is."""

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start the process and keep it alive. Returns as soon as that is under way."""
        if self._guard is None and not self._closed:
            self._guard = asyncio.create_task(self._kill_at_the_end())
            await asyncio.sleep(0)
            self._begin()

    def request(
        self,
        lesson: str,
        leaves: Mapping[str, Value],
        sizes: Mapping[str, int],
        *,
        torch: bool = True,
        numeric: bool = True,
        edges: bool = False,
        opened: Iterable[str] | None = None,
        script: bool = False,
    ) -> int:
        """Ask for a lesson with these leaves; returns the request's id, which replies bear.

        Every earlier request becomes stale: its answers are not handed on. May be called before
        `start`, and while the process is down: it is sent when there is one.
        """
        with self._changed:
            self._count += 1
            self._newest = Request(
                self._count,
                lesson,
                dict(leaves),
                dict(sizes),
                torch,
                numeric,
                edges,
                None if opened is None else tuple(sorted(opened)),
                script,
            )
            # Here and now if the pipe takes it: a thread would have to wait for this one.
            if not self._push():
                self._changed.notify_all()
        return self._count

    def restart(self) -> None:
        """Try again after `GaveUp`; needs the running loop."""
        if self.gave_up is not None and not self._closed:
            self.gave_up = None
            self._begin()

    async def close(self) -> None:
        """End the process: asked first, then made to. Takes at most a second or two."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        keeper = self._keeper
        try:
            if keeper is not None:
                for urge in (subprocess.Popen.terminate, subprocess.Popen.kill, None):
                    until = time.monotonic() + self.PATIENCE
                    while keeper.is_alive() and time.monotonic() < until:
                        await asyncio.sleep(0.005)
                    if not keeper.is_alive():
                        break
                    if urge is not None and self._process is not None:
                        urge(self._process)
        finally:
            self.kill()
            if self._guard is not None:
                self._guard.cancel()

    def kill(self) -> None:
        """End the process without waiting: for when the event loop is going, or gone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._process is not None:
            self._process.kill()

    async def _kill_at_the_end(self) -> None:
        """A task that does nothing until the loop is closed under us."""
        try:
            await asyncio.Event().wait()
        finally:
            self.kill()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._keeper = threading.Thread(target=self._keep_alive, args=(loop,), daemon=True)
        self._keeper.start()

    # From here on in the keeper's thread, but for `_deliver`.

    def _keep_alive(self, loop: asyncio.AbstractEventLoop) -> None:
        quick = 0
        while not self._closed:
            begun = time.monotonic()
            reason = self._one_life(loop)
            quick = quick + 1 if time.monotonic() - begun < self.QUICK else 1
            if quick >= self.TRIES:
                self._hand_on(loop, GaveUp(f"{reason}, {quick} times in a row"))
                return
            self._hand_on(loop, Restarting(reason))
            with self._changed:
                pause = self.BACKOFF * 2 ** (quick - 2) if quick > 1 else 0.0
                self._changed.wait_for(lambda: self._closed, pause)

    def _one_life(self, loop: asyncio.AbstractEventLoop) -> str:
        """Start the process and hand on what it says until it ends; returns why it did."""
        try:
            process = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**_ONE_THREAD, **os.environ, **self._environment},
            )
        except OSError as error:
            return f"the reference process cannot be started ({error.strerror or error})"
        os.set_blocking(process.stdin.fileno(), False)  # type: ignore[union-attr]
        with self._changed:
            self._process, self._sent, self._rest = process, None, memoryview(b"")
        if self._closed:  # meanwhile
            process.kill()
        writer = threading.Thread(target=self._write, args=(process,), daemon=True)
        writer.start()
        last: TorchRun | None = None
        with process.stdout:  # type: ignore[union-attr]
            try:
                while (message := read_message(cast(BinaryIO, process.stdout))) is not None:
                    if isinstance(message, TorchUpdate):
                        message = message.complete(cast(TorchRun, last))
                    if isinstance(message, TorchReply):
                        last = message.run
                    self._hand_on(loop, cast(Message, message))
            except Exception:  # what it sent is no message: it is of no use any more
                process.kill()
        if not self._closed:
            process.kill()
        code = process.wait()
        with self._changed:
            self._changed.notify_all()
        writer.join()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the reference process ended ({how})"

    def _push(self) -> bool:
        """Write as much of the newest request as the pipe takes; whether that is all of it.

        `_changed` must be held.
        """
        process = self._process
        while process is not None and process.stdin is not None and not process.stdin.closed:
            if not self._rest:
                if self._newest is self._sent or self._newest is None:
                    break
                self._sent, self._rest = self._newest, memoryview(to_bytes(self._newest))
            try:
                self._rest = self._rest[os.write(process.stdin.fileno(), self._rest) :]
            except BlockingIOError:
                return False
            except OSError:  # it has ended; the keeper will notice
                break
        return True

    def _write(self, process: subprocess.Popen[bytes]) -> None:
        """Write what the pipe did not take at once. In a thread of its own."""
        with process.stdin as pipe:  # type: ignore[union-attr]
            while True:
                with self._changed:
                    while not self._closed and process.returncode is None and self._push():
                        self._changed.wait()
                    if self._closed or process.returncode is not None:
                        pipe.close()
                        return
                select.select([], [pipe], [], 0.1)

    def _hand_on(self, loop: asyncio.AbstractEventLoop, message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(self._deliver, message)

    def _deliver(self, message: Message) -> None:
        """In the loop: the newest request is known for sure here."""
        if self._closed:
            return
        if isinstance(message, GaveUp):
            self.gave_up = message.reason
        if isinstance(message, TorchReply | NumericReply | ScriptReply | Failed) and (
            self._newest is None or message.id != self._newest.id
        ):
            return  # it answers what nobody asks any more
        self._on_message(message)
