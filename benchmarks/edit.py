"""An edit until everything is compared, beside torch alone: prints length, ms, ms, ratio."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backprop_tui.engine.compare import compare
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.base import default_leaves
from backprop_tui.reference.torch_run import run_torch


def both(length: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """(everything by hand and by torch, compared; torch's forward and backward pass alone)."""
    lesson = find_lesson("rnn")
    sizes = {**lesson.default_sizes(), "T": length}
    leaves = default_leaves(lesson, sizes)

    def everything() -> object:
        trace = backward(record(lesson.program, leaves, sizes))
        return compare(trace, run_torch(lesson.program, leaves, sizes, edges=False), None)

    def alone() -> object:
        tensors: dict[str, Any] = {
            name: torch.tensor(np.asarray(value), dtype=torch.float64, requires_grad=True)
            for name, value in leaves.items()
        }
        lesson.program(torch, *tensors.values(), **sizes).backward()
        return tensors

    return everything, alone


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    begin = time.perf_counter()
    kept = action()
    end = time.perf_counter()
    del kept
    return 1000 * (end - begin)


def main(repetitions: int) -> None:
    torch.set_num_threads(1)
    for length in (2, 50):
        ours, theirs = both(length)
        pairs = []
        for number in range(3 * repetitions + 3):
            gc.collect()
            pair = timed(ours), timed(theirs)
            if number >= 3:
                pairs.append(pair)
        ratio = statistics.median(a / b for a, b in pairs)
        a, b = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(length, a, b, ratio)


if __name__ == "__main__":
    main(int(sys.argv[1]))
