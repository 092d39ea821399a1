"""How fast the app starts and answers, beside a bare Textual app.

Everything is measured from outside, in a pseudo-terminal of 120×40: programs that are compared run
at the same time and take turns, so that a slow moment of the machine slows them alike.

The *first full frame* is the one with which everything has been written: heading, graph, step,
gradients, code, leaves, timeline and footer; in the bare app header, line and footer. It counts
with its last byte. *Last byte* of a key: the last before 0.05 s of silence.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, cycle, islice, repeat

from benchmarks.table import Row, median, percentile
from benchmarks.terminal import FRAME, Burst, Silent, Terminal

APP = ("-m", "backprop_tui", "rnn", "--no-state")
BARE = ("benchmarks/bare.py",)
BARE_WITH_NUMPY = ("benchmarks/bare.py", "numpy")
CHAIN = ("benchmarks/chain.py",)

APP_SHOWN = tuple(
    text.encode()
    for text in (
        "A recurrent network",
        "┗",
        "is computed",
        "by hand",
        "program",
        "⎡",
        " step ",
        "Home",
    )
)
BARE_SHOWN = (b"Bare", b"bare: number 0", b"palette")

NEXT, PREVIOUS = b"\x1b[C", b"\x1b[D"

FRAME_AT_60_HZ = 1000 / 60
"""In milliseconds."""


def start(repetitions: int) -> list[Row]:
    """From the start of the process to the last byte of the first full frame."""
    app: list[float] = []
    bare: list[float] = []
    for number in range(repetitions + 1):
        for arguments, shown, times in ((APP, APP_SHOWN, app), (BARE, BARE_SHOWN, bare)):
            with Terminal(arguments) as terminal:
                seconds = terminal.shown(shown)
            if number:  # the first time is for the bytecode and the disk
                times.append(1000 * seconds)
    return [
        Row(
            "first full frame of the rnn lesson",
            "bare app",
            1.35,
            median(app) / median(bare),
            f"{median(app):.0f} and {median(bare):.0f} ms",
        )
    ]


def memory(repetitions: int) -> list[Row]:
    """Resident memory of the app's own process, seconds after its start."""
    sizes: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for _ in range(max(1, repetitions // 5)):
        with Terminal(APP) as one, Terminal(BARE_WITH_NUMPY) as other:
            one.shown(APP_SHOWN)
            other.shown(BARE_SHOWN)
            _settle(one, other)
            sizes.append((one.memory(), other.memory()))
    resident, proportional = (
        (median(a[i] for a, _ in sizes), median(b[i] for _, b in sizes)) for i in (0, 1)
    )
    return [
        Row(
            "memory of the UI process",
            "bare app with numpy",
            1.4,
            resident[0] / resident[1],
            f"{resident[0]:.0f} and {resident[1]:.0f} MiB resident, "
            f"{proportional[0]:.0f} and {proportional[1]:.0f} MiB proportional",
        )
    ]


def _moves(turns: int) -> Iterator[bytes]:
    """Keys that always move: from the end of the forward pass on, back, on again …"""
    there, back = repeat(NEXT, turns), repeat(PREVIOUS, turns)
    return chain(there, cycle([*back, *repeat(NEXT, turns)]))


def _milliseconds(bursts: Sequence[Burst], which: Callable[[Burst], float]) -> list[float]:
    return [1000 * which(burst) for burst in bursts]


def loading(repetitions: int) -> list[Row]:
    """Key → first byte while torch loads, and when it is there."""
    before: list[float] = []
    after: list[float] = []
    for _ in range(max(1, repetitions // 3)):
        with Terminal(APP) as app:
            app.shown(APP_SHOWN)
            keys = _moves(20)
            while not _torch_is_there(app):
                before.append(1000 * app.press(next(keys), 0.03).first)
                if app.age > 20:
                    raise Silent("torch has not come")
            app.drain(0.5)
            after.extend(1000 * app.press(key, 0.03).first for key in islice(keys, 60))
    return [
        Row(
            "key → first byte while torch loads, 95th percentile",
            "when nothing loads",
            2.5,
            percentile(before, 0.95) / percentile(after, 0.95),
            f"{percentile(before, 0.95):.1f} and {percentile(after, 0.95):.1f} ms; "
            f"medians {median(before):.1f} and {median(after):.1f}; {len(before)} keys",
        )
    ]


def _torch_is_there(app: Terminal) -> bool:
    """Whether the heading says what torch found, and not that it is loading."""
    return "✓".encode() in app.seen or "✗".encode() in app.seen


def step(repetitions: int) -> list[Row]:
    """Key → last byte of the frame that shows the next or previous step."""
    app: list[Burst] = []
    bare: list[Burst] = []
    with Terminal(APP) as ours, Terminal(BARE) as theirs:
        ours.shown(APP_SHOWN)
        theirs.shown(BARE_SHOWN)
        _settle(ours, theirs)
        for key in islice(_moves(25), 15 * repetitions):
            app.append(ours.press(key, 0.05))
            bare.append(theirs.press(key, 0.05))
    one, other = (_milliseconds(bursts, lambda b: b.last) for bursts in (app, bare))
    size = median(len(burst.data) for burst in app)
    tails = percentile(one, 0.95), percentile(other, 0.95)
    return [
        Row(
            "key → last byte of a step's frame",
            "one Static updated",
            1.5,
            median(one) / median(other),
            f"{median(one):.1f} and {median(other):.1f} ms; {size:.0f} bytes",
        ),
        Row(
            "the same, 95th percentile",
            "one Static updated",
            2.0,
            tails[0] / tails[1],
            f"{tails[0]:.1f} and {tails[1]:.1f} ms",
        ),
    ]


def _settle(*terminals: Terminal) -> None:
    """Wait until all have started and are silent, torch included."""
    for terminal in terminals:
        terminal.drain(0.5)
    while any(terminal.busy for terminal in terminals):
        for terminal in terminals:
            terminal.drain(0.3)


def growth(repetitions: int, sizes: Sequence[int] = (100, 1_000, 10_000)) -> list[Row]:
    """A step in a chain of so many nodes beside one in the shortest."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        apps = {s: stack.enter_context(Terminal((*CHAIN, str(s)))) for s in sizes}
        for app in apps.values():
            app.shown((b"Home",), 300.0)
        _settle(*apps.values())
        for key in islice(_moves(25), 15 * repetitions):
            for size, app in apps.items():
                times[size].append(1000 * app.press(key, 0.05).last)
    smallest = sizes[0]
    rows = []
    for size in sizes:
        tail = percentile(times[size], 0.99)
        if size != smallest:
            ratio = median(times[size]) / median(times[smallest])
            note = f"{median(times[size]):.1f} and {median(times[smallest]):.1f} ms"
            rows.append(
                Row(f"a step at {size:,} nodes", f"at {smallest:,} nodes", 1.15, ratio, note)
            )
        rows.append(
            Row(
                f"a step at {size:,} nodes, 99th percentile",
                "a frame at 60 Hz",
                1.0,
                tail / FRAME_AT_60_HZ,
                f"{tail:.1f} ms",
            )
        )
    return rows


def frames(repetitions: int) -> list[Row]:
    """Frames a second while a hundred keys a second arrive."""
    seconds = max(1.0, min(4.0, repetitions / 4))
    rates = {}
    for name, arguments in (("app", APP), ("bare", BARE)):
        with Terminal(arguments) as terminal:
            terminal.shown(APP_SHOWN if arguments is APP else BARE_SHOWN)
            _settle(terminal)
            shown = 0
            begin = time.perf_counter()
            for number, key in enumerate(islice(_moves(25), int(100 * seconds))):
                due = begin + number / 100
                terminal.send(key)
                while (got := terminal.read(due + 0.01)) is not None:
                    shown += got[1].count(FRAME)
            rates[name] = shown / (time.perf_counter() - begin)
    note = f"the bare app's one line: {rates['bare']:.1f}"
    return [
        Row("frames shown while 100 keys a second come", "60 a second", 55.0, rates["app"], note,
            at_least=True, unit="/s")
    ]  # fmt: skip


def edit(repetitions: int) -> list[Row]:
    """An edit until all is compared with torch, in a process of its own, beside torch alone."""
    command = [sys.executable, "-m", "benchmarks.edit", str(repetitions)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = []
    for line in done.stdout.splitlines():
        length, ours, torch, ratio = map(float, line.split())
        rows.append(
            Row(
                f"edit → everything compared, rnn T={length:.0f}",
                "torch eager alone",
                2.2,
                ratio,
                f"{ours:.2f} and {torch:.2f} ms",
            )
        )
    return rows


def engine(repetitions: int) -> list[Row]:
    """What the engine's own measurements say."""
    try:
        from benchmarks.engine import measure
    except ImportError as missing:
        print(f"engine: left out ({missing})", file=sys.stderr)
        return []
    return [
        Row(row.what, row.beside, float("inf") if row.goal is None else row.goal, row.ratio)
        for row in measure(repetitions)
    ]


ROWS: dict[str, Callable[[int], list[Row]]] = {
    "start": start,
    "memory": memory,
    "loading": loading,
    "step": step,
    "growth": growth,
    "frames": frames,
    "edit": edit,
    "engine": engine,
}
"""Name on the command line → what measures."""
