"""The child process: answers requests by torch and by finite differences.

A reader thread takes requests from the pipe. Only the newest counts: older ones that wait are
dropped, and work on one that has become stale stops at the next element. Torch is imported in a
thread of its own, once the first finite differences are out (or take long), so that their column
fills at once and edits made meanwhile are answered too.

The process ends when its standard input does. Its parent's terminal is none of its business:
interrupts are ignored, and what a lesson prints goes nowhere.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import BinaryIO

from backprop_tui.engine.numeric import differences
from backprop_tui.engine.torch_record import Structure, TorchRun
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.reference.protocol import (
    Failed,
    NumericReply,
    Reply,
    Request,
    ScriptReply,
    Started,
    TorchLoaded,
    TorchMissing,
    TorchReply,
    TorchUpdate,
    one_line,
    read_message,
    to_bytes,
)


def lesson_for(name: str) -> Lesson:
    """The lesson with an id, or the one at `module:NAME`."""
    module, separator, attribute = name.partition(":")
    if not separator:
        return find_lesson(name)
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Lesson):
        raise LookupError(f"{name} is no lesson")
    return found


def _script_reply(request: Request, lesson: Lesson) -> Reply:
    """What torch says to a lesson's script; torch is loaded already."""
    if lesson.script is None:
        raise LookupError(f"{lesson.id} has no script")
    module = importlib.import_module("backprop_tui.reference.torch_script")
    return ScriptReply(request.id, module.run_script(lesson.script))


TORCH_WAITS = 0.3
"""How many seconds the import of torch leaves the first finite differences alone."""


class Worker:
    """Does what the newest request asks for, one thing after the other."""

    def __init__(self, send: Callable[[Reply], None]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._newest: Request | None = None
        self._todo: list[str] = []
        self._torch: ModuleType | None = None
        self._structure: Structure | None = None  # the last one sent
        self._torch_asked = self._closed = False

    def submit(self, request: Request) -> None:
        """Take a request; whatever was asked before is stale. May be called from any thread."""
        with self._changed:
            if self._newest is None:
                timer = threading.Timer(TORCH_WAITS, self._load_torch)
                timer.daemon = True
                timer.start()
            self._newest = request
            wanted = (
                ("torch", request.torch),
                ("numeric", request.numeric),
                ("script", request.script),
                ("edges", request.edges),
            )
            self._todo = [what for what, wished in wanted if wished]
            self._changed.notify_all()

    def close(self) -> None:
        """Let `run` return after what it is doing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Work until closed."""
        while (task := self._next()) is not None:
            self._do(*task)

    def _do(self, request: Request, what: str) -> None:
        try:
            reply = self._answer(request, what)
        except Exception as error:
            reply = Failed(request.id, what, one_line(error))
        except SystemExit:
            reply = Failed(request.id, what, "the program called exit()")
        if reply is not None and not self._is_stale(request):
            if isinstance(reply, TorchReply):
                self._structure = reply.run.structure
            self._send(reply)

    def _next(self) -> tuple[Request, str] | None:
        """The next thing to do; None when closed."""
        with self._changed:
            while not self._closed:
                for what in self._todo:
                    if what == "numeric" or self._torch is not None:
                        self._todo.remove(what)
                        assert self._newest is not None
                        return self._newest, what
                if self._newest is not None:
                    self._load_torch()  # nothing else to do
                self._changed.wait()
        return None

    def _is_stale(self, request: Request) -> bool:
        return self._closed or self._newest is not request

    def _answer(self, request: Request, what: str) -> Reply | None:
        lesson = lesson_for(request.lesson)
        if what == "numeric":
            found = differences(
                lesson.program,
                request.leaves,
                request.sizes,
                should_stop=lambda: self._between_elements(request),
            )
            return NumericReply(request.id, found) if found.complete else None
        assert self._torch is not None
        if what == "script":
            return _script_reply(request, lesson)
        run: TorchRun = self._torch.run_torch(
            lesson.program,
            request.leaves,
            request.sizes,
            edges=what == "edges",
            opened=lesson.opening(request.opened),
        )
        if self._structure is not None and run.structure.same_as(self._structure):
            return TorchUpdate(request.id, run.values, run.gradients, run.given, run.edges)
        return TorchReply(request.id, run)

    def _between_elements(self, request: Request) -> bool:
        """Whether to stop. Torch's answer doesn't wait for the end of long finite differences."""
        with self._changed:
            torch_waits = (
                "torch" in self._todo and self._torch is not None and not self._is_stale(request)
            )
            if torch_waits:
                self._todo.remove("torch")
        if torch_waits:
            self._do(request, "torch")
        return self._is_stale(request)

    def _load_torch(self) -> None:
        with self._changed:
            asked, self._torch_asked = self._torch_asked, True
        if not asked:
            threading.Thread(target=self._import_torch, daemon=True).start()

    def _import_torch(self) -> None:
        reply: Reply
        module: ModuleType | None = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module("backprop_tui.reference.torch_run")
            reply = TorchLoaded(str(module.VERSION))
        except BaseException as error:  # whatever a broken installation comes up with
            reply = TorchMissing(one_line(error))
        self._send(reply)
        with self._changed:
            self._torch = module
            self._changed.notify_all()


class _Pipe:
    """The way back, for several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, reply: Reply) -> None:
        data = to_bytes(reply)
        with self._lock:
            try:
                self._stream.write(data)
                self._stream.flush()
            except OSError:
                os._exit(0)  # nobody listens any more


def main() -> None:
    """Serve requests from standard input until it ends."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    requests, replies = _take_over()
    pipe = _Pipe(replies)
    worker = Worker(pipe.send)

    def read() -> None:
        try:
            while isinstance(request := read_message(requests), Request):
                worker.submit(request)
        finally:
            os._exit(0)  # at once, whatever is running

    threading.Thread(target=read, daemon=True).start()
    pipe.send(Started(os.getpid()))
    worker.run()


def _take_over() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, out of reach of `input` and `print` in a lesson."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    return requests, replies


if __name__ == "__main__":
    main()
