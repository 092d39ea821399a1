"""The reference process itself: a real child, spoken to through its pipes."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import default_leaves
from backprop_tui.lessons.script import compare_script
from backprop_tui.reference.client import worker_command
from backprop_tui.reference.protocol import (
    Failed,
    NumericReply,
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

PATIENCE = 60.0
M = TypeVar("M")


class Child:
    """A worker process and what it has said."""

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        self.said: queue.Queue[object] = queue.Queue()
        self.ids = iter(range(1, 1000))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ended: tuple[int, bytes] | None = None

    def _read(self) -> None:
        assert self.process.stdout is not None
        last: Any = None
        while (message := read_message(self.process.stdout)) is not None:  # type: ignore[arg-type]
            if isinstance(message, TorchUpdate):
                message = message.complete(last)
            if isinstance(message, TorchReply):
                last = message.run
            self.said.put(message)

    def ask(self, lesson: str, leaves: Mapping[str, Any] | None = None, **wants: Any) -> int:
        number = next(self.ids)
        request = Request(number, lesson, leaves or {"x": 3.0}, wants.pop("sizes", {}), **wants)
        assert self.process.stdin is not None
        self.process.stdin.write(to_bytes(request))
        self.process.stdin.flush()
        return number

    def hear(self) -> object:
        return self.said.get(timeout=PATIENCE)

    def wait_for(self, kind: type[M]) -> M:
        while True:
            message = self.hear()
            if isinstance(message, kind):
                return message

    def end(self) -> tuple[int, bytes]:
        """Close its input; how it ended, and what it wrote to the terminal."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not self.ended:
            self.process.stdin.close()
            try:
                code = self.process.wait(timeout=PATIENCE)
            finally:
                self.process.kill()
                self._reader.join(timeout=PATIENCE)
                written = self.process.stderr.read()
                self.process.stdout.close()
                self.process.stderr.close()
            self.ended = (code, written)
        return self.ended


HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Child]:
    """A child that has torch, and finds the odd lessons."""
    child = Child(PYTHONPATH=HERE)
    child.ask("square")
    child.wait_for(TorchReply)
    yield child
    code, written = child.end()
    assert (code, written) == (0, b"")


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child(PYTHONPATH=HERE)
    yield child
    child.end()


def test_the_first_finite_differences_come_before_torch(child: Child) -> None:
    assert isinstance(child.hear(), Started)
    number = child.ask("square", edges=True)
    numeric = child.hear()
    assert isinstance(numeric, NumericReply)
    assert numeric.id == number
    assert float(numeric.run.leaves["x"].value) == pytest.approx(6.0)
    assert isinstance(child.hear(), TorchLoaded)
    plain, with_edges = child.hear(), child.hear()
    assert isinstance(plain, TorchReply)
    assert isinstance(with_edges, TorchReply)
    assert (plain.run.edges is None, with_edges.run.edges is None) == (True, False)
    assert plain.run.gradient(0) == 6.0


def test_later_torch_comes_first(loaded: Child) -> None:
    number = loaded.ask("square", {"x": -2.0}, edges=True)
    answers = [loaded.hear() for _ in range(3)]
    assert [type(answer) for answer in answers] == [TorchReply, NumericReply, TorchReply]
    assert {getattr(answer, "id", None) for answer in answers} == {number}


def test_only_what_is_wanted_is_answered(loaded: Child) -> None:
    first = loaded.ask("square", numeric=False)
    assert loaded.wait_for(TorchReply).id == first
    second = loaded.ask("square", torch=False)
    answer = loaded.hear()
    assert isinstance(answer, NumericReply)
    assert answer.id == second


def test_a_newer_request_interrupts_finite_differences(loaded: Child) -> None:
    lesson, sizes = find_lesson("rnn"), {"T": 50, "hidden": 8}
    slow = loaded.ask("rnn", default_leaves(lesson, sizes), sizes=sizes)
    assert loaded.wait_for(TorchReply).id == slow  # now it is busy with the differences
    quick = loaded.ask("square")
    answer = loaded.hear()
    assert isinstance(answer, TorchReply)
    assert answer.id == quick
    assert loaded.wait_for(NumericReply).id == quick


def test_requests_that_wait_are_dropped_for_the_newest(loaded: Child) -> None:
    lesson, sizes = find_lesson("rnn"), {"T": 50, "hidden": 8}
    numbers = [
        loaded.ask("rnn", default_leaves(lesson, sizes), sizes=sizes, numeric=False)
        for _ in range(20)
    ]
    heard: list[int] = []
    while not heard or heard[-1] != numbers[-1]:
        heard.append(loaded.wait_for(TorchReply).id)
    assert len(heard) < 20


def test_a_lesson_may_print_and_ask(loaded: Child) -> None:
    number = loaded.ask("odd_lessons:PRINTING")
    assert loaded.wait_for(TorchReply).id == number
    assert loaded.wait_for(NumericReply).id == number


@pytest.mark.parametrize(
    ("lesson", "reason"),
    [
        ("RAISING_UNDER_TORCH", "ValueError: the first line"),
        ("EXITING", "the program called exit()"),
        ("NO_TENSOR", "TorchProgramError: the program must return a tensor, not float"),
    ],
)
def test_a_lesson_that_fails_under_torch(loaded: Child, lesson: str, reason: str) -> None:
    number = loaded.ask(f"odd_lessons:{lesson}")
    failed = loaded.hear()
    assert isinstance(failed, Failed)
    assert (failed.id, failed.what, failed.reason) == (number, "torch", reason)
    assert loaded.wait_for(NumericReply).id == number


def test_a_lesson_that_fails_altogether(loaded: Child) -> None:
    loaded.ask("odd_lessons:RAISING")
    answers = [loaded.hear(), loaded.hear()]
    assert [(a.what, a.reason) for a in answers if isinstance(a, Failed)] == [
        ("torch", "ZeroDivisionError"),
        ("numeric", "ZeroDivisionError"),
    ]


def test_an_unknown_lesson(loaded: Child) -> None:
    loaded.ask("squares", numeric=False)
    failed = loaded.wait_for(Failed)
    assert "did you mean square" in failed.reason


def test_leaves_of_a_wrong_shape(loaded: Child) -> None:
    lesson = find_lesson("matrix-linear")
    leaves = {**default_leaves(lesson, {}), "W": np.ones((7, 7))}
    loaded.ask("matrix-linear", leaves, numeric=False)
    assert "\n" not in loaded.wait_for(Failed).reason


def test_broken_torch_leaves_the_finite_differences(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('no\\nluck')\n")
    child = Child(PYTHONPATH=str(tmp_path))
    child.ask("square")
    assert isinstance(child.hear(), Started)
    assert isinstance(child.hear(), NumericReply)
    missing = child.hear()
    assert isinstance(missing, TorchMissing)
    assert missing.reason == "RuntimeError: no"
    number = child.ask("square", {"x": 5.0})
    answer = child.hear()
    assert isinstance(answer, NumericReply)
    assert answer.id == number
    assert child.end() == (0, b"")


def test_a_torch_that_exits_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import sys; sys.exit('bye')\n")
    child = Child(PYTHONPATH=str(tmp_path))
    child.ask("square")
    assert child.wait_for(TorchMissing).reason == "SystemExit: bye"
    child.end()


def test_interrupts_are_ignored(child: Child) -> None:
    child.wait_for(Started)
    for number in (signal.SIGINT, signal.SIGHUP):
        child.process.send_signal(number)
    child.ask("square")
    assert float(child.wait_for(NumericReply).run.leaves["x"].value) == pytest.approx(6.0)


def test_it_ends_with_its_input_even_when_busy(child: Child) -> None:
    child.wait_for(Started)
    lesson, sizes = find_lesson("rnn"), {"T": 50, "hidden": 8}
    child.ask("rnn", default_leaves(lesson, sizes), sizes=sizes, torch=False)
    assert child.end() == (0, b"")


def test_it_ends_when_what_it_reads_is_no_request(child: Child) -> None:
    child.wait_for(Started)
    assert child.process.stdin is not None
    child.process.stdin.write(b"\x00" * 7 + b"\x05hello")
    child.process.stdin.flush()
    assert child.process.wait(timeout=PATIENCE) == 0


def test_the_module_can_be_run() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "backprop_tui.reference.worker"]
    done = subprocess.run(
        command, cwd=root, input=b"", capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n\n  deep \n more"), "ValueError: deep"),
        (KeyError(), "KeyError"),
        (ValueError("a\x1b[31mb"), "ValueError: a [31mb"),
    ],
)
def test_errors_become_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
    assert len(one_line(ValueError("x" * 5000))) == 200


# ── scripts ───────────────────────────────────────────────────────────────────────────────────


def test_a_lessons_script_is_run_by_torch(loaded: Child) -> None:
    lesson = find_lesson("plumbing")
    assert lesson.script is not None
    number = loaded.ask("plumbing", default_leaves(lesson, {}), script=True)
    reply = loaded.wait_for(ScriptReply)
    assert reply.id == number
    comparison = compare_script(lesson.script, reply.run)
    assert comparison.agree
    assert comparison.cells > 500


def test_a_script_is_run_only_when_asked_for(loaded: Child) -> None:
    leaves = default_leaves(find_lesson("plumbing"), {})
    loaded.ask("plumbing", leaves, numeric=False, edges=True)
    kinds = [type(loaded.hear()), type(loaded.hear())]
    number = loaded.ask("square", torch=False, numeric=False, script=True)
    failed = loaded.wait_for(Failed)
    assert ScriptReply not in kinds
    assert (failed.id, failed.what) == (number, "script")
    assert "square has no script" in failed.reason
