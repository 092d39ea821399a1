"""The messages between the app and its reference process, and how they go through a pipe.

Both ends are ours and of the same version, so a message is a pickled record behind its length.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.numeric import NumericRun
from backprop_tui.engine.operations import Value
from backprop_tui.engine.torch_record import TorchEdges, TorchRun
from backprop_tui.lessons.script import ScriptRun


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Please run a lesson. A newer request makes this one stale."""

    id: int
    lesson: str
    """A lesson's id, or `module:NAME` for one that is not in the catalogue."""

    leaves: Mapping[str, Value]
    sizes: Mapping[str, int]
    torch: bool = True
    """Whether torch's values and gradients are wanted: the first answer, once torch is loaded."""

    numeric: bool = True
    """Whether finite differences are wanted: after torch's answer, or while torch is loading."""

    edges: bool = False
    """Whether torch's contribution along each edge is wanted: last, in a second TorchReply."""

    opened: tuple[str, ...] | None = None
    """The nodes that are computed in primitive steps under torch; None: the lesson's own."""

    script: bool = False
    """Whether the lesson's script is to be run too, once torch is loaded."""


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """The process is up; torch is not loaded yet."""

    pid: int


@dataclass(frozen=True, slots=True, eq=False)
class TorchLoaded:
    """Torch has been imported."""

    version: str


@dataclass(frozen=True, slots=True, eq=False)
class TorchReply:
    """What torch found."""

    id: int
    """The request's."""

    run: TorchRun


@dataclass(frozen=True, slots=True, eq=False)
class TorchUpdate:
    """A TorchReply without what is the same as in the last one: only the numbers go through the
    pipe. The client puts both together; it hands on TorchReply only."""

    id: int
    values: NDArray[np.float64]
    gradients: NDArray[np.float64]
    given: NDArray[np.bool_]
    edges: TorchEdges | None

    def complete(self, last: TorchRun) -> TorchReply:
        """The whole reply, given the run of the last one."""
        run = TorchRun(last.structure, self.values, self.gradients, self.given, self.edges)
        return TorchReply(self.id, run)


@dataclass(frozen=True, slots=True, eq=False)
class NumericReply:
    """What finite differences found."""

    id: int
    run: NumericRun


@dataclass(frozen=True, slots=True, eq=False)
class ScriptReply:
    """What torch said after each statement of the lesson's script."""

    id: int
    """The request's."""

    run: ScriptRun


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """One of the things asked for cannot be had."""

    id: int
    what: str
    """`torch`, `numeric`, `edges` or `script`."""

    reason: str
    """In one line."""


@dataclass(frozen=True, slots=True, eq=False)
class TorchMissing:
    """Torch cannot be imported here. Finite differences go on without it."""

    reason: str
    """In one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Restarting:
    """The process has ended by itself; it is started again, with the newest request."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class GaveUp:
    """The process keeps ending at once, and is left alone until `restart` is called."""

    reason: str


Answer = Started | TorchLoaded | TorchReply | NumericReply | ScriptReply | Failed | TorchMissing

Reply = Answer | TorchUpdate
"""What the process sends."""

Message = Answer | Restarting | GaveUp
"""What the client hands on."""

_LENGTH = struct.Struct(">Q")


def to_bytes(message: Request | Reply) -> bytes:
    """A message with its length before it."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def read_message(stream: BinaryIO) -> object | None:
    """The next message of a stream; None at its end."""
    header = _read(stream, _LENGTH.size)
    if header is None:
        return None
    body = _read(stream, _LENGTH.unpack(header)[0])
    return None if body is None else cast(object, pickle.loads(body))


def _read(stream: BinaryIO, length: int) -> bytes | None:
    """Exactly so many bytes, of a stream that may give fewer at a time; None at its end."""
    parts: list[bytes] = []
    while length:
        part = stream.read(length)
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def one_line(error: BaseException, limit: int = 200) -> str:
    """An exception as one line that can be shown: its kind and the first line of its text."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = "".join(char if char.isprintable() else " " for char in text)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= limit else line[: limit - 1] + "…"
