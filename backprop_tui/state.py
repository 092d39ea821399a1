"""What the program remembers between two runs: a small JSON file that can do no harm.

Whatever is wrong with the file or its folder, the program starts and goes on; the user is told in
one line. Nothing is thrown away: a damaged file is set aside, keys that are unknown here are kept,
and the file of a later version is left alone.
"""

import contextlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

Granularity: TypeAlias = Literal["node", "edge"]
"""How far one press of a key steps."""

VERSION = 1
"""The version of the file's format; it rises only when an older program would misread the file."""

MAX_BYTES = 1_000_000
"""The largest file that is read."""

MAX_SPEED = 1000.0
"""The fastest play, in steps a second."""

_ATTEMPTS = 50
"""How often a save is tried when other windows keep saving meanwhile."""


@dataclass(frozen=True)
class State:
    """What is remembered. Change it with `dataclasses.replace`."""

    theme: str | None = None
    """The name of the theme; None for the program's own."""
    last_lesson: str | None = None
    """The id of the lesson that was open last."""
    done: frozenset[str] = frozenset()
    """The ids of the lessons that were stepped through to the end."""
    speed: float = 1.0
    """Steps a second when playing: above 0, at most MAX_SPEED."""
    granularity: Granularity = "node"
    """Whether the cursor moves by node or, finer, by edge."""
    ascii: bool = False
    """Whether only ASCII characters are drawn."""

    def with_done(self, lesson: str) -> "State":
        """This state with one more lesson done."""
        return replace(self, done=self.done | {lesson})


class _Later(Exception):
    """A later version of the program wrote the file."""


_LATER = "is from a later version of backprop-tui: it is left alone and nothing is saved"


def default_path() -> Path:
    """Where the file lives: in $BACKPROP_TUI_STATE_DIR, else where the system keeps such files."""
    folder = os.environ.get("BACKPROP_TUI_STATE_DIR")
    if folder:
        return Path(folder, "state.json")
    import platformdirs  # here, since most commands never need it

    return platformdirs.user_state_path("backprop-tui") / "state.json"


class StateStore:
    """Loads and saves the state. Neither ever raises; a message is one line for the user."""

    def __init__(self, path: Path | None) -> None:
        """Remember in the file `path` (see `default_path`); with None, nothing is read or written.

        The folder is made when it is needed. Whatever stands at `path` may be renamed if it is
        not a state file.
        """
        # Replacing a symbolic link, as dotfile managers make them, would cut it from its file.
        self._path = None if path is None else Path(os.path.realpath(path))

    def load(self) -> tuple[State, str | None]:
        """Read the state, and a message if something was off.

        Where the file has a wrong field it is set aside as damaged, and the rest of it is used.
        """
        if self._path is None:
            return State(), None
        try:
            found = _look(self._path)
        except _Later:
            return State(), f"{self._path} {_LATER}"
        except OSError as error:
            return State(), f"{self._path} could not be read: {error.strerror}"
        if not found.damage:
            return found.state, None
        try:
            return found.state, _set_aside(self._path, found.damage)
        except OSError as error:
            failed = f"could not be set aside: {error.strerror}"
            return found.state, f"{self._path} {found.damage} and {failed}"

    def save(self, state: State) -> str | None:
        """Write the state, in one piece or not at all; a message if something was off.

        Several windows may share the file. The lessons done are those of the file and of `state`
        together (so they only ever grow); of everything else the last save wins. To that end the
        file is read again when the new one lies ready beside it, and if another window has saved
        meanwhile, the save starts again. There is no lock: a save that falls into the
        microseconds between that last look and the replacement is overwritten. The marks lost
        so are still in the other window's memory, and come back with its next save. (Eight
        processes that did nothing but save, 320 marks in all, lost up to two.)
        """
        if self._path is None:
            return None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _write_merged(self._path, state)
        except _Later:
            return f"{self._path} {_LATER}"
        except OSError as error:
            return f"{self._path} could not be saved: {error.strerror}"
        except (ValueError, RecursionError):  # such as unknown keys nested too deep to write
            return f"{self._path} could not be saved: what it holds can not be written"


# ── The file ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Found:
    """What stands where the file should be."""

    data: bytes | None
    """Its bytes; None if there is no file, or none that can be read in."""
    fields: dict[str, object]
    """What it says, key by key."""
    state: State
    """The state in it, as far as it is usable."""
    damage: str | None
    """What is wrong with it, in words that continue its name."""


def _look(path: Path) -> _Found:
    """Read the file, whatever it is. Raises OSError, and _Later for a later version's."""
    data, damage = _read(path)
    if data is None:
        return _Found(None, {}, State(), damage)
    try:
        fields = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):  # undecodable bytes are a ValueError, too
        return _Found(data, {}, State(), "is not JSON")
    version = fields.get("version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        return _Found(data, {}, State(), "is not a state file")
    if version > VERSION:
        raise _Later
    state, wrong = _from_fields(fields)
    return _Found(data, fields, state, f"has no usable {' and '.join(wrong)}" if wrong else None)


def _read(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of the file if there is one, and what keeps it from being read."""
    try:
        # Asked first, since opening a pipe would wait for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            return None, "is not a file"
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, None
    return (None, "is too large") if len(data) > MAX_BYTES else (data, None)


def _from_fields(fields: dict[str, object]) -> tuple[State, list[str]]:
    """The state, and the names of the fields that had to be left out because they are wrong."""
    state = State()
    wrong: list[str] = []
    for name, value in fields.items():
        match name, value:
            case "theme", str() | None:
                state = replace(state, theme=value)
            case "last_lesson", str() | None:
                state = replace(state, last_lesson=value)
            case "done", list() if all(isinstance(lesson, str) for lesson in value):
                state = replace(state, done=frozenset(value))
            case "speed", int() | float() if 0 < value <= MAX_SPEED and value is not True:
                state = replace(state, speed=float(value))
            case "granularity", "node" | "edge":
                state = replace(state, granularity=value)
            case "ascii", bool():
                state = replace(state, ascii=value)
            case _ if name in State.__dataclass_fields__:
                wrong.append(name)
    return state, wrong


def _merged(found: _Found, state: State) -> bytes:
    """The file's new bytes: the state, the lessons done of both, and the keys unknown here."""
    known = {
        "version": VERSION,
        "theme": state.theme,
        "last_lesson": state.last_lesson,
        "done": sorted(found.state.done | state.done),
        "speed": state.speed,
        "granularity": state.granularity,
        "ascii": state.ascii,
    }
    data = json.dumps({**found.fields, **known}, indent=2).encode() + b"\n"
    if len(data) > MAX_BYTES:
        raise ValueError("it could not be read back")
    return data


def _write_merged(path: Path, state: State) -> str | None:
    """Replace the file by its merger with the state; a message if it had to be set aside."""
    message = None
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".state-", suffix=".tmp")
    os.close(handle)
    ready = Path(name)
    try:
        for _ in range(_ATTEMPTS):
            found = _look(path)
            if found.damage:
                message = _set_aside(path, found.damage)
            with ready.open("wb") as file:
                file.write(_merged(found, state))
                file.flush()
                os.fsync(file.fileno())
            if _look(path).data == (None if found.damage else found.data):
                break
        os.replace(ready, path)
    finally:
        with contextlib.suppress(OSError):  # it is gone if all went well
            ready.unlink()
    return message


def _set_aside(path: Path, damage: str) -> str:
    """Rename the damaged file, never onto another one; the message for the user."""
    stamp = f"{path.stem}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
    aside = path.with_name(stamp + path.suffix)
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{stamp}-{count}{path.suffix}")
    path.rename(aside)
    return f"{path} {damage}: it was set aside as {aside.name}"
