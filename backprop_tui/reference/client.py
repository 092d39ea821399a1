"""The app's side of the reference process: asks, listens, and starts it again when it dies.

Needs a running asyncio loop and knows nothing of the screen. Nothing here imports torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backprop_tui.engine.operations import Value
from backprop_tui.reference.protocol import (
    HEADER,
    Failed,
    GaveUp,
    Message,
    NumericReply,
    Request,
    Restarting,
    TorchReply,
    from_bytes,
    length_of,
    to_bytes,
)

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from backprop_tui.reference.worker import main; main()"
)
"""Appended, so that it never comes before the standard library; and `-P` keeps the current folder
out, where a learner may have a `random.py` or a `torch.py`."""

_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
}


def worker_command() -> list[str]:
    """How the process is started."""
    return [sys.executable, "-P", "-c", _BOOT, str(Path(__file__).parents[2])]


class ReferenceClient:
    """One reference process, kept alive, and the newest request to it.

    `on_message` is called in the event loop with every message that is not stale: Started,
    TorchLoaded, TorchMissing, TorchReply, NumericReply, Failed; and with Restarting and GaveUp
    when the process ends by itself.
    """

    QUICK = 10.0
    """A process that lives less than so many seconds died at once."""

    TRIES = 3
    """After so many quick deaths in a row it is left alone."""

    BACKOFF = 0.3
    """Seconds before the second try; doubled for each further one. The first comes at once."""

    PATIENCE = 0.5
    """How many seconds `close` waits at each of its steps: ask, terminate, kill."""

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
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._newest: Request | None = None
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
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep_alive())
            await asyncio.sleep(0)

    def request(
        self,
        lesson: str,
        leaves: Mapping[str, Value],
        sizes: Mapping[str, int],
        *,
        torch: bool = True,
        numeric: bool = True,
        edges: bool = False,
    ) -> int:
        """Ask for a lesson with these leaves; returns the request's id, which replies bear.

        Every earlier request becomes stale: its answers are not handed on. May be called before
        `start`, and while the process is down: it is sent when there is one.
        """
        self._count += 1
        self._newest = Request(
            self._count, lesson, dict(leaves), dict(sizes), torch, numeric, edges
        )
        self._send_newest()
        return self._count

    def restart(self) -> None:
        """Try again after `GaveUp`; needs the running loop."""
        if self.gave_up is not None and not self._closed:
            self.gave_up = None
            self._keeper = asyncio.create_task(self._keep_alive())

    async def close(self) -> None:
        """End the process: asked first, then made to. Takes at most a second or two."""
        self._closed = True
        keeper, process = self._keeper, self._process
        try:
            if process is not None and process.returncode is None:
                if process.stdin is not None:
                    process.stdin.close()
                for urge in (process.terminate, process.kill, lambda: None):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), self.PATIENCE)
                        break
                    with contextlib.suppress(ProcessLookupError):
                        urge()
        finally:
            self.kill()
            if keeper is not None:
                keeper.cancel()
        if keeper is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    def kill(self) -> None:
        """End the process without waiting: for when the event loop is going, or gone."""
        self._closed = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, RuntimeError, OSError):
                process.kill()

    async def _keep_alive(self) -> None:
        quick = 0
        while not self._closed:
            begun = time.monotonic()
            reason = await self._one_life()
            if self._closed:
                return
            quick = quick + 1 if time.monotonic() - begun < self.QUICK else 1
            if quick >= self.TRIES:
                self.gave_up = f"{reason}, {quick} times in a row"
                self._on_message(GaveUp(self.gave_up))
                return
            self._on_message(Restarting(reason))
            if quick > 1:
                await asyncio.sleep(self.BACKOFF * 2 ** (quick - 2))

    async def _one_life(self) -> str:
        """Start the process and hand on what it says until it ends; returns why it did."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
                env={**_ONE_THREAD, **os.environ, **self._environment},
            )
        except OSError as error:
            return f"the reference process cannot be started ({error.strerror or error})"
        self._process = process
        try:
            self._send_newest()
            await self._listen(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        code = await process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the reference process ended ({how})"

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                header = await process.stdout.readexactly(HEADER)
                body = await process.stdout.readexactly(length_of(header))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            message = from_bytes(body)
            if isinstance(message, TorchReply | NumericReply | Failed):
                if self._newest is None or message.id != self._newest.id:
                    continue  # an answer to what nobody asks any more
            if not self._closed:
                self._on_message(message)  # type: ignore[arg-type]

    def _send_newest(self) -> None:
        process = self._process
        if self._newest is None or process is None or process.stdin is None:
            return
        if process.returncode is None and not process.stdin.is_closing():
            with contextlib.suppress(ConnectionError, RuntimeError):
                process.stdin.write(to_bytes(self._newest))
