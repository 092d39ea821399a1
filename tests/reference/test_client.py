"""The client: newest wins, the process comes back, and closing never hangs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import default_leaves
from backprop_tui.reference.client import ReferenceClient
from backprop_tui.reference.protocol import (
    Failed,
    GaveUp,
    Message,
    NumericReply,
    Restarting,
    ScriptReply,
    Started,
    TorchReply,
)

PATIENCE = 60.0
HERE = str(Path(__file__).parent)
ROOT = str(Path(__file__).parents[2])
M = TypeVar("M")


class Listener:
    """A client and what it has handed on."""

    def __init__(self, **options: Any) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.client = ReferenceClient(self.heard.put_nowait, **options)

    async def next(self) -> Message:
        return await asyncio.wait_for(self.heard.get(), PATIENCE)

    async def wait_for(self, kind: type[M]) -> M:
        while True:
            message = await self.next()
            if isinstance(message, kind):
                return message


def run(scenario: Callable[[Listener], Awaitable[None]], **options: Any) -> None:
    """Run a scenario with a started client, and close it."""

    async def main() -> None:
        listener = Listener(**options)
        await listener.client.start()
        try:
            await scenario(listener)
        finally:
            await listener.client.close()

    asyncio.run(main())


def script(path: Path, text: str) -> list[str]:
    """A process of our own in place of the worker."""
    path.write_text(f"import sys; sys.path.insert(0, {ROOT!r})\n{text}", encoding="utf-8")
    return [sys.executable, str(path)]


ANSWER_LATE = """
from backprop_tui.reference.protocol import *
def send(message):
    sys.stdout.buffer.write(to_bytes(message))
    sys.stdout.flush()
old = read_message(sys.stdin.buffer)
send(Started(0))
new = read_message(sys.stdin.buffer)
for request in (old, new):
    send(Failed(request.id, "torch", request.lesson))
read_message(sys.stdin.buffer)
"""

STUBBORN = """
import signal, os
from backprop_tui.reference.protocol import *
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.buffer.write(to_bytes(Started(os.getpid())))
sys.stdout.flush()
while True:
    signal.pause()
"""

GOOD = "from backprop_tui.reference.worker import main; main()"


def gone(pid: int, client: ReferenceClient) -> bool:
    """Whether the process has ended, and been waited for."""
    if client._keeper is not None:
        client._keeper.join(PATIENCE)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_lesson_is_answered_by_torch_and_by_differences() -> None:
    async def scenario(listener: Listener) -> None:
        number = listener.client.request("square", {"x": 3.0}, {}, edges=True)
        numeric = await listener.wait_for(NumericReply)
        torch = await listener.wait_for(TorchReply)
        edges = await listener.wait_for(TorchReply)
        assert {numeric.id, torch.id, edges.id} == {number}
        assert torch.run.gradient(0) == 6.0
        assert edges.run.edges is not None
        # Once more, with other values: what did not change is not sent again, but is there.
        number = listener.client.request("square", {"x": 4.0}, {}, numeric=False)
        torch = await listener.wait_for(TorchReply)
        assert torch.id == number
        assert torch.run.gradient(0) == 8.0
        assert torch.run.structure.leaves == ("x",)

    run(scenario)


def test_the_newest_request_is_repeated_when_the_process_was_killed() -> None:
    async def scenario(listener: Listener) -> None:
        first = await listener.wait_for(Started)
        lesson, sizes = find_lesson("rnn"), {"T": 50, "hidden": 8}
        listener.client.request("rnn", default_leaves(lesson, sizes), sizes, torch=False)
        os.kill(first.pid, signal.SIGKILL)
        reason = (await listener.wait_for(Restarting)).reason
        assert reason == "the reference process ended (signal 9)"
        number = listener.client.request("square", {"x": 3.0}, {}, torch=False)
        second = await listener.wait_for(Started)
        assert second.pid != first.pid
        assert (await listener.wait_for(NumericReply)).id == number
        os.kill(second.pid, signal.SIGKILL)
        await listener.wait_for(Started)
        assert (await listener.wait_for(NumericReply)).id == number

    run(scenario)


def test_stale_answers_are_dropped(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        listener.client.request("old", {}, {})
        await listener.wait_for(Started)  # it has the old one
        number = listener.client.request("new", {}, {})
        failed = await listener.wait_for(Failed)
        assert (failed.id, failed.reason) == (number, "new")
        assert listener.heard.empty()

    run(scenario, command=script(tmp_path / "late.py", ANSWER_LATE))


def test_it_gives_up_and_can_be_restarted(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        number = listener.client.request("square", {"x": 3.0}, {}, torch=False)
        message = await listener.wait_for(GaveUp)
        assert message.reason == ("the reference process ended (exit code 7), 3 times in a row")
        assert listener.client.gave_up == message.reason
        assert listener.client.pid is None
        script(tmp_path / "worker.py", GOOD)
        listener.client.restart()
        assert (await listener.wait_for(NumericReply)).id == number
        assert listener.client.gave_up is None

    run(scenario, command=script(tmp_path / "worker.py", "sys.exit(7)"))


def test_a_process_that_cannot_be_started(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        reason = (await listener.wait_for(GaveUp)).reason
        assert "cannot be started (No such file or directory)" in reason

    run(scenario, command=[str(tmp_path / "nothing")])


def test_nonsense_from_the_process_is_its_end(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        await listener.wait_for(Restarting)

    text = "sys.stdout.buffer.write(b'\\0' * 7 + b'\\5hello'); sys.stdout.flush(); sys.stdin.read()"
    run(scenario, command=script(tmp_path / "nonsense.py", text))


def test_closing_a_stubborn_process_takes_a_moment(tmp_path: Path) -> None:
    async def main() -> None:
        listener = Listener(command=script(tmp_path / "stubborn.py", STUBBORN))
        listener.client.PATIENCE = 0.05  # type: ignore[misc]
        await listener.client.start()
        pid = (await listener.wait_for(Started)).pid
        begun = time.monotonic()
        await listener.client.close()
        assert time.monotonic() - begun < 5.0
        assert gone(pid, listener.client)

    asyncio.run(main())


def test_closing_before_and_right_after_starting() -> None:
    async def main() -> None:
        never = Listener()
        await never.client.close()
        await never.client.start()
        assert never.client.pid is None
        at_once = Listener()
        await at_once.client.start()
        await at_once.client.close()
        await at_once.client.close()
        assert at_once.client.request("square", {"x": 1.0}, {}) == 1

    asyncio.run(main())


@pytest.mark.filterwarnings("error")
def test_a_loop_that_ends_without_closing_takes_the_process_along(tmp_path: Path) -> None:
    begun: list[tuple[int, ReferenceClient]] = []

    async def main() -> None:
        listener = Listener(command=script(tmp_path / "stubborn.py", STUBBORN))
        await listener.client.start()
        begun.append(((await listener.wait_for(Started)).pid, listener.client))

    asyncio.run(main())
    assert gone(*begun[0])


def test_closing_while_the_loop_is_cancelled(tmp_path: Path) -> None:
    begun: list[tuple[int, ReferenceClient]] = []

    async def main() -> None:
        listener = Listener(command=script(tmp_path / "stubborn.py", STUBBORN))
        await listener.client.start()
        begun.append(((await listener.wait_for(Started)).pid, listener.client))
        closing = asyncio.create_task(listener.client.close())
        await asyncio.sleep(0)
        closing.cancel()

    asyncio.run(main())
    assert gone(*begun[0])


def test_lessons_outside_of_the_catalogue() -> None:
    async def scenario(listener: Listener) -> None:
        listener.client.request("odd_lessons:RAISING", {"x": 3.0}, {}, torch=False)
        assert (await listener.wait_for(Failed)).reason == "ZeroDivisionError"

    run(scenario, environment={"PYTHONPATH": HERE})


def test_leaves_may_change_after_the_request() -> None:
    async def scenario(listener: Listener) -> None:
        leaves: dict[str, Any] = {"x": np.array([1.0, 5.0, 6.0])}
        listener.client.request("sum-of-squares", leaves, {}, torch=False)
        leaves.clear()
        found = await listener.wait_for(NumericReply)
        assert found.run.leaves["x"].value.shape == (3,)

    run(scenario)


DEAF = """
import signal
signal.pause()
"""


def test_a_process_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        while listener.client.pid is None:
            await asyncio.sleep(0)
        large = {"x": np.ones(100_000)}  # more than the pipe takes
        begun = time.monotonic()
        for _ in range(50):
            listener.client.request("sum-of-squares", large, {})
        assert time.monotonic() - begun < 5.0

    run(scenario, command=script(tmp_path / "deaf.py", DEAF))


def test_large_leaves_arrive_whole() -> None:
    async def scenario(listener: Listener) -> None:
        await listener.wait_for(Started)
        for _ in range(3):  # the older ones have begun to be sent
            leaves = {"x": np.ones((500, 200)), "unknown": 1.0}
            number = listener.client.request("sum-of-squares", leaves, {}, torch=False)
        failed = await listener.wait_for(Failed)
        assert (failed.id, failed.what) == (number, "numeric")
        assert "unknown" in failed.reason

    run(scenario)


def test_a_script_is_handed_on_unless_it_is_stale() -> None:
    async def scenario(listener: Listener) -> None:
        lesson = find_lesson("plumbing")
        leaves = default_leaves(lesson, {})
        listener.client.request("plumbing", leaves, {}, script=True)
        newest = listener.client.request("plumbing", leaves, {}, script=True)
        reply = await listener.wait_for(ScriptReply)
        assert reply.id == newest
        assert len(reply.run.moments) == 20

    run(scenario)
