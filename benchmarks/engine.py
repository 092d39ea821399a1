"""How fast the engine records, beside torch, micrograd and HIPS autograd.

    python -m benchmarks.engine            a table
    python benchmarks/engine.py --quick    fewer repetitions

Each ratio is the median over pairs that ran one after the other, so that a slow moment of the
machine slows both. Recording means: forward, backward, every contribution, and (unless it says
so) the places from which the names come; the names themselves are worked out when first looked
at, and have a row of their own.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.rnn import program as rnn

REPETITIONS = 15
RNN_LENGTHS = (2, 20, 200)
SCALAR_SIZES = (1_000, 10_000)


class Row(NamedTuple):
    """One line of the table."""

    what: str
    beside: str
    goal: float | None
    """The ratio that must not be exceeded; None where none was set."""

    ratio: float
    """The median of ours divided by theirs."""

    @property
    def met(self) -> bool:
        """Whether the goal is met; true where there is none."""
        return self.goal is None or self.ratio <= self.goal


Action = Callable[[], object]


def scalars(x: Any, a: Any, b: Any, n: int) -> Any:
    """n operations on numbers, in what all libraries have: + and ·. Stays between −1 and 1."""
    for _ in range(n // 5):
        u = x * b
        v = u + a
        w = v * 0.5
        y = w + u
        x = y * w
    return x


def scalar_program(xp: Any, *, x: Any, a: Any, b: Any, n: int) -> Any:
    """The same as a program for the tape: a copy, as names are looked for in its own body."""
    for _ in range(n // 5):
        u = x * b
        v = u + a
        w = v * 0.5
        y = w + u
        x = y * w
    return x


SCALARS = {"x": 0.3, "a": 0.4, "b": -0.7}


def recorded_scalars(n: int, *, places: bool = True) -> Trace:
    """One pass of ours."""
    return backward(record(scalar_program, SCALARS, {"n": n}, places=places))


def torch_scalars(n: int) -> Action:
    """One pass by torch."""
    import torch

    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in SCALARS.values()]
    return lambda: scalars(*leaves, n=n).backward()


def micrograd_scalars(n: int) -> Action:
    """One pass by micrograd, whose backward pass recurses."""
    from micrograd.engine import Value

    def run() -> None:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(10 * n + limit)
        try:
            scalars(*(Value(v) for v in SCALARS.values()), n=n).backward()
        finally:
            sys.setrecursionlimit(limit)

    return run


def autograd_scalars(n: int) -> Action:
    """One pass by HIPS autograd."""
    from autograd import grad

    gradient = grad(lambda x, a, b: scalars(x, a, b, n), argnum=(0, 1, 2))
    return lambda: gradient(*SCALARS.values())


def rnn_leaves(length: int) -> dict[str, Any]:
    """The lesson's leaves, with as many inputs and targets as there are steps."""
    leaves = {leaf.name: np.asarray(leaf.default) for leaf in find_lesson("rnn").leaves}
    rng = np.random.default_rng(0)
    return leaves | {"x": rng.normal(size=(length, 1)), "y": rng.normal(size=(length, 1))}


def recorded_rnn(length: int, *, places: bool = True) -> Callable[[], Trace]:
    """One pass of ours over the recurrent network."""
    leaves, sizes = rnn_leaves(length), {"T": length, "hidden": 3}
    return lambda: backward(record(rnn, leaves, sizes, places=places))


def torch_rnn(length: int) -> Action:
    """The same by torch."""
    import torch

    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in rnn_leaves(length).items()}
    return lambda: rnn(torch, **leaves, T=length, hidden=3).backward()


def timed(action: Action) -> float:
    """Seconds for one run; what it leaves behind is cleared away outside of the time."""
    start = time.perf_counter()
    kept = action()
    seconds = time.perf_counter() - start
    del kept
    return seconds


def ratio(ours: Action, theirs: Action, repetitions: int = REPETITIONS) -> float:
    """The median of ours / theirs over pairs, which take turns at being first."""
    repeat = _repeats(ours)

    def several(action: Action) -> float:
        return sum(timed(action) for _ in range(repeat))

    several(ours), several(theirs)
    ratios = []
    for turn in range(repetitions):
        gc.collect()
        if turn % 2:
            one, other = several(ours), several(theirs)
        else:
            other, one = several(theirs), several(ours)
        ratios.append(one / other)
    return statistics.median(ratios)


def _repeats(action: Action) -> int:
    """How often a short action is run to last some milliseconds."""
    action()
    return max(1, round(0.01 / max(timed(action), 1e-6)))


def growth(small: int, large: int, repetitions: int = REPETITIONS) -> float:
    """The time an operation takes at a large size beside a small one."""
    many = large // small // 10

    def at(size: int, times: int) -> float:
        return sum(timed(lambda: recorded_scalars(size)) for _ in range(times)) / (size * times)

    at(small, many), at(large, 1)
    ratios = []
    for _ in range(repetitions):
        gc.collect()
        ratios.append(at(large, 1) / at(small, many))
    return statistics.median(ratios)


def memory_per_operation(who: str, n: int = 100_000) -> float:
    """Bytes of the process for each operation kept, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", who, str(n)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def _print_memory(who: str, n: int) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096

    kept: Any
    if who == "torch":
        import torch

        leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True)
                  for v in SCALARS.values()]  # fmt: skip
        scalars(*leaves, n=1000).backward()
        gc.collect()
        before = resident()
        kept = scalars(*leaves, n=n)
    else:
        recorded_scalars(1000)
        gc.collect()
        before = resident()
        kept = recorded_scalars(n)
    print((resident() - before) / n)
    del kept


def measure(repetitions: int = REPETITIONS) -> list[Row]:
    """All rows of the table; takes a minute or two."""
    rows = []

    def add(what: str, beside: str, goal: float | None, ours: Action, theirs: Action) -> None:
        rows.append(Row(what, beside, goal, ratio(ours, theirs, repetitions)))

    for length in RNN_LENGTHS:
        theirs = torch_rnn(length)
        add(f"record, RNN T={length}", "torch eager", 0.6, recorded_rnn(length), theirs)
        bare = recorded_rnn(length, places=False)
        add(f"record, RNN T={length}, without places", "torch eager", 0.4, bare, theirs)

        def with_names(length: int = length) -> object:
            trace = recorded_rnn(length)()
            return trace, trace.graph.names

        add(f"record, RNN T={length}, names worked out", "torch eager", None, with_names, theirs)
    for n in SCALAR_SIZES:

        def ours(n: int = n) -> object:
            return recorded_scalars(n)

        def bare_scalars(n: int = n) -> object:
            return recorded_scalars(n, places=False)

        def named_scalars(n: int = n) -> object:
            trace = recorded_scalars(n)
            return trace, trace.graph.names

        what = f"record, {n:,} operations"
        theirs = torch_scalars(n)
        add(what, "torch eager", 0.45, ours, theirs)
        add(f"{what}, without places", "torch eager", 0.12, bare_scalars, theirs)
        add(f"{what}, names worked out", "torch eager", None, named_scalars, theirs)
        add(what, "micrograd", 1.3, ours, micrograd_scalars(n))
        add(what, "HIPS autograd", 0.15, ours, autograd_scalars(n))
    rows.append(
        Row("time an operation, 100,000", "itself at 1,000", 1.3,
            growth(1_000, 100_000, min(repetitions, 9)))
    )  # fmt: skip
    rows.append(
        Row("memory an operation, 100,000", "torch's graph", 1.0,
            memory_per_operation("ours") / memory_per_operation("torch"))
    )  # fmt: skip
    return rows


def main() -> int:
    """Print the table; exit 1 if a goal is missed."""
    rows = measure(9 if "--quick" in sys.argv else REPETITIONS)
    print(f"{'what':46} {'beside':16} {'goal':>6} {'ratio':>7}")
    for row in rows:
        goal = "" if row.goal is None else f"≤{row.goal:g}"
        print(f"{row.what:46} {row.beside:16} {goal:>6} {row.ratio:7.3f}{'' if row.met else '  ✗'}")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    if "--memory" in sys.argv:
        _print_memory(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
