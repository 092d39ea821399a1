"""What is remembered: it comes back, nothing is thrown away, and no trouble stops the program."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_tui.state import MAX_BYTES, State, StateStore, default_path

FULL = State(
    theme="nord",
    last_lesson="rnn",
    done=frozenset({"square", "tanh"}),
    speed=2.5,
    granularity="edge",
    ascii=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def write(path: Path, **fields: object) -> bytes:
    """Put a state file there, as some program may have written it."""
    data = json.dumps({"version": 1, **fields}).encode()
    path.write_bytes(data)
    return data


def names(path: Path) -> list[str]:
    """What the folder holds; no temporary file may ever be left."""
    return sorted(entry.name for entry in path.parent.iterdir())


def the_damaged(path: Path) -> Path:
    """What was set aside, which must be exactly one thing."""
    (aside,) = path.parent.glob("state.damaged-*")
    assert re.fullmatch(r"state\.damaged-\d{8}-\d{6}\.json", aside.name)
    return aside


def raising(number: int) -> Callable[..., NoReturn]:
    """A stand-in for a function of the system that fails."""

    def fail(*_args: object, **_options: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


# ── Coming back ───────────────────────────────────────────────────────────────────────────────


def test_at_first_there_is_nothing(path: Path) -> None:
    assert StateStore(path).load() == (State(), None)
    assert names(path) == []


def test_every_field_comes_back(path: Path) -> None:
    for field in dataclasses.fields(State):
        assert getattr(FULL, field.name) != field.default, "the test must change every field"
    assert StateStore(path).save(FULL) is None
    assert StateStore(path).load() == (FULL, None)
    assert names(path) == ["state.json"]


def test_the_file_is_readable_and_stable(path: Path) -> None:
    StateStore(path).save(State(done=frozenset("cab")))
    assert path.read_text() == (
        '{\n  "version": 1,\n  "theme": null,\n  "last_lesson": null,\n'
        '  "done": [\n    "a",\n    "b",\n    "c"\n  ],\n'
        '  "speed": 1.0,\n  "granularity": "node",\n  "ascii": false\n}\n'
    )


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.json"
    assert StateStore(path).save(FULL) is None
    assert StateStore(path).load() == (FULL, None)


def test_the_last_save_wins(path: Path) -> None:
    StateStore(path).save(FULL)
    StateStore(path).save(State(theme="dracula", done=FULL.done))
    assert StateStore(path).load()[0] == State(theme="dracula", done=FULL.done)


def test_a_lesson_more_is_done() -> None:
    assert FULL.with_done("rnn") == dataclasses.replace(FULL, done=FULL.done | {"rnn"})


def test_without_a_path_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKPROP_TUI_STATE_DIR", str(tmp_path))
    store = StateStore(None)
    assert (store.save(FULL), store.load()) == (None, (State(), None))
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "mine.json"
    write(target, theme="nord")
    path.symlink_to(target)
    StateStore(path).save(FULL)
    assert path.is_symlink()
    assert StateStore(target).load() == (FULL, None)


# ── Where ─────────────────────────────────────────────────────────────────────────────────────


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_TUI_STATE_DIR", "/some/where")
    assert default_path() == Path("/some/where/state.json")


@pytest.mark.parametrize("folder", [None, ""])
def test_otherwise_the_system_does(monkeypatch: pytest.MonkeyPatch, folder: str | None) -> None:
    monkeypatch.delenv("BACKPROP_TUI_STATE_DIR", raising=False)
    if folder is not None:
        monkeypatch.setenv("BACKPROP_TUI_STATE_DIR", folder)
    path = default_path()
    assert path.is_absolute()
    assert (path.name, "backprop-tui" in path.parts) == ("state.json", True)


def test_platformdirs_is_not_loaded_by_the_way() -> None:
    code = "import sys, backprop_tui.state; sys.exit('platformdirs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ── Other versions ────────────────────────────────────────────────────────────────────────────


def test_unknown_keys_are_kept(path: Path) -> None:
    write(path, theme="nord", from_the_future={"a": [1, None]})
    store = StateStore(path)
    state, message = store.load()
    assert (state, message) == (State(theme="nord"), None)
    assert store.save(FULL) is None
    assert json.loads(path.read_bytes())["from_the_future"] == {"a": [1, None]}


def test_a_missing_key_has_its_default(path: Path) -> None:
    write(path, ascii=True)
    assert StateStore(path).load() == (State(ascii=True), None)


def test_the_file_of_a_later_version_is_left_alone(path: Path) -> None:
    before = write(path, version=2, theme={"new": "form"})
    store = StateStore(path)
    sentence = (
        f"{path} is from a later version of backprop-tui: it is left alone and nothing is saved"
    )
    assert store.load() == (State(), sentence)
    assert store.save(FULL) == sentence
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


# ── Damage ────────────────────────────────────────────────────────────────────────────────────


DAMAGED = [
    (b"", "is not JSON"),
    (b"{", "is not JSON"),
    (b'{"version": 1, "theme": "\xff"}', "is not JSON"),
    (b"[" * 100_000, "is not JSON"),
    (b'{"version": ' + b"9" * 5000 + b"}", "is not JSON"),
    (b"[1]", "is not a state file"),
    (b"{}", "is not a state file"),
    (b'{"version": "1"}', "is not a state file"),
    (b'{"version": true}', "is not a state file"),
    (b'{"version": 0}', "is not a state file"),
    (b" " * (MAX_BYTES + 1), "is too large"),
]


@pytest.mark.parametrize(("data", "damage"), DAMAGED)
def test_a_damaged_file_is_set_aside(path: Path, data: bytes, damage: str) -> None:
    path.write_bytes(data)
    state, message = StateStore(path).load()
    aside = the_damaged(path)
    assert state == State()
    assert message == f"{path} {damage}: it was set aside as {aside.name}"
    assert aside.read_bytes() == data
    assert names(path) == [aside.name]


@pytest.mark.parametrize(("data", "damage"), DAMAGED)
def test_saving_sets_it_aside_too(path: Path, data: bytes, damage: str) -> None:
    path.write_bytes(data)
    message = StateStore(path).save(FULL)
    aside = the_damaged(path)
    assert message == f"{path} {damage}: it was set aside as {aside.name}"
    assert aside.read_bytes() == data
    assert StateStore(path).load() == (FULL, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", 3),
        ("last_lesson", ["rnn"]),
        ("done", "rnn"),
        ("done", ["rnn", 1]),
        ("speed", "fast"),
        ("speed", 0),
        ("speed", 1001),
        ("speed", True),
        ("speed", float("nan")),
        ("speed", 10**400),
        ("granularity", "leaf"),
        ("granularity", ["node"]),
        ("ascii", 1),
        ("ascii", None),
    ],
)
def test_a_wrong_field_costs_no_other(path: Path, name: str, value: object) -> None:
    fields: dict[str, object] = {**dataclasses.asdict(FULL), "done": sorted(FULL.done)}
    write(path, **{**fields, name: value})
    state, message = StateStore(path).load()
    aside = the_damaged(path)
    assert state == dataclasses.replace(FULL, **{name: getattr(State(), name)})
    assert message == f"{path} has no usable {name}: it was set aside as {aside.name}"


def test_two_wrong_fields_are_both_named(path: Path) -> None:
    write(path, theme=1, speed=0)
    message = StateStore(path).load()[1]
    assert message is not None
    assert "has no usable theme and speed: " in message


def test_a_save_over_a_wrong_field_keeps_what_is_right(path: Path) -> None:
    write(path, done=["square"], speed="fast", extra=1)
    message = StateStore(path).save(State(done=frozenset({"tanh"})))
    assert message is not None
    assert "has no usable speed" in message
    assert StateStore(path).load() == (State(done=frozenset({"square", "tanh"})), None)
    assert json.loads(path.read_bytes())["extra"] == 1


@pytest.mark.parametrize("use", [StateStore.load, lambda store: store.save(FULL)])
def test_a_folder_in_its_place(path: Path, use: Callable[[StateStore], object]) -> None:
    path.mkdir()
    (path / "precious").write_text("mine")
    assert "is not a file: it was set aside as" in str(use(StateStore(path)))
    assert (the_damaged(path) / "precious").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.timeout(10)
def test_a_pipe_in_its_place_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    message = StateStore(path).load()[1]
    assert message is not None
    assert "is not a file" in message


def test_a_gigabyte_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**9)  # a hole: it takes no room on the disk
    message = StateStore(path).load()[1]
    assert message is not None
    assert "is too large" in message
    assert the_damaged(path).stat().st_size == 10**9


def test_what_was_set_aside_before_is_not_overwritten(path: Path) -> None:
    for text in ("first", "second", "third"):
        path.write_text(text)
        StateStore(path).load()
    assert sorted(file.read_text() for file in path.parent.iterdir()) == [
        "first",
        "second",
        "third",
    ]


# On a fresh checkout Hypothesis first builds its tables, which a busy machine takes seconds for.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["version", "theme", "done", "speed", "granularity", "ascii", "?"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.text(max_size=3),
            st.lists,
            max_leaves=4,
        )
        | st.just(1),
    ).map(lambda fields: json.dumps(fields).encode())
)
def test_nothing_in_the_file_can_raise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "state.json"
    path.write_bytes(data)
    for message in (StateStore(path).save(FULL), StateStore(path).load()[1]):
        assert message is None or "\n" not in message


# ── Trouble with the system ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["os.replace", "os.fsync", "tempfile.mkstemp", "_merged"])
def test_a_full_disk_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = write(path, theme="nord")
    monkeypatch.setattr(f"backprop_tui.state.{name}", raising(errno.ENOSPC))
    message = StateStore(path).save(FULL)
    assert message == f"{path} could not be saved: No space left on device"
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(path, theme="nord")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", raising(errno.EACCES))
        loaded = StateStore(path).load()
        saved = StateStore(path).save(FULL)
    assert loaded == (State(), f"{path} could not be read: Permission denied")
    assert saved == f"{path} could not be saved: Permission denied"
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "state.json"
    assert StateStore(path).load() == (State(), f"{path} could not be read: Not a directory")
    message = StateStore(path).save(FULL)
    assert message is not None
    assert message.startswith(f"{path} could not be saved: ")


def test_a_damaged_file_that_can_not_be_set_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(path, theme="nord", speed=0)
    monkeypatch.setattr(Path, "rename", raising(errno.EROFS))
    sentence = f"{path} has no usable speed and could not be set aside: Read-only file system"
    assert StateStore(path).load() == (State(theme="nord"), sentence)
    assert StateStore(path).save(FULL) == f"{path} could not be saved: Read-only file system"
    assert path.read_bytes() == before
    assert names(path) == ["state.json"]


def test_what_could_not_be_read_back_is_not_saved(path: Path) -> None:
    before = write(path, theme="nord")
    message = StateStore(path).save(State(theme="x" * MAX_BYTES))
    assert message == f"{path} could not be saved: what it holds can not be written"
    assert path.read_bytes() == before


def test_keys_too_deep_to_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some Pythons read deeper nesting than they write; how deep depends on the version."""

    def too_deep(*_args: object, **_options: object) -> NoReturn:
        raise RecursionError

    before = write(path, unknown=[[[]]])
    monkeypatch.setattr("backprop_tui.state.json.dumps", too_deep)
    message = StateStore(path).save(FULL)
    assert message == f"{path} could not be saved: what it holds can not be written"
    assert path.read_bytes() == before


# ── Several windows ───────────────────────────────────────────────────────────────────────────


def test_two_windows_add_up(path: Path) -> None:
    one, two = StateStore(path), StateStore(path)
    ours, theirs = one.load()[0], two.load()[0]
    one.save(ours.with_done("square"))
    two.save(theirs.with_done("tanh"))
    assert StateStore(path).load()[0].done == {"square", "tanh"}


@pytest.mark.parametrize("there", [True, False])
def test_a_save_in_the_middle_of_a_save_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        write(path, done=["square"])
    fsync = os.fsync

    def meanwhile(handle: int) -> None:
        """Let the other window save while ours waits for the disk."""
        monkeypatch.setattr("backprop_tui.state.os.fsync", fsync)
        fsync(handle)
        StateStore(path).save(State(done=frozenset({"theirs"})))

    monkeypatch.setattr("backprop_tui.state.os.fsync", meanwhile)
    assert StateStore(path).save(State(done=frozenset({"ours"}))) is None
    assert StateStore(path).load()[0].done == {"ours", "theirs"} | ({"square"} if there else set())
    assert names(path) == ["state.json"]


def test_a_later_version_in_the_middle_of_a_save_wins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backprop_tui.state.os.fsync", lambda _: write(path, version=2))
    message = StateStore(path).save(FULL)
    assert message is not None
    assert "later version" in message
    assert json.loads(path.read_bytes()) == {"version": 2}
    assert names(path) == ["state.json"]


def test_a_restless_file_does_not_keep_a_save_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = iter(range(10**6))
    monkeypatch.setattr(
        "backprop_tui.state.os.fsync", lambda _: write(path, theme=str(next(marks)))
    )
    assert StateStore(path).save(FULL) is None
    assert StateStore(path).load() == (FULL, None)
    assert next(marks) <= 100


def test_a_lost_mark_comes_back_with_the_next_save(path: Path) -> None:
    store = StateStore(path)
    ours = State(done=frozenset({"ours"}))
    store.save(ours)
    write(path, done=["theirs"])  # written in the moment that no look can cover
    store.save(ours)
    assert store.load()[0].done == {"ours", "theirs"}
