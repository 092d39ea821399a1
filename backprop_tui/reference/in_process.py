"""A lesson by hand, by torch and by finite differences at once, for the commands.

No child process here: a command waits for torch anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backprop_tui.engine.compare import Comparison, compare
from backprop_tui.engine.numeric import NumericRun, differences
from backprop_tui.engine.operations import Value
from backprop_tui.engine.run import record
from backprop_tui.engine.torch_record import TorchRun
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.lessons.base import Lesson
from backprop_tui.reference.protocol import one_line


@dataclass(frozen=True, slots=True, eq=False)
class ThreeWays:
    """One lesson, three ways."""

    trace: Trace
    """By hand; `trace.graph` is the graph."""

    torch: TorchRun | None
    """None if torch is missing or the lesson fails under it."""

    torch_reason: str | None
    """Why there is no torch, in one line."""

    numeric: NumericRun
    comparison: Comparison


def compare_lesson(
    lesson: Lesson,
    leaves: Mapping[str, Value],
    sizes: Mapping[str, int],
    *,
    edges: bool = True,
) -> ThreeWays:
    """Run a lesson three ways and compare. Imports torch, which takes about two seconds.

    Raises what the lesson raises by hand; under torch that becomes `torch_reason`.
    """
    opened = lesson.opening()
    trace = backward(record(lesson.program, leaves, sizes, opened=opened))
    numeric = differences(lesson.program, leaves, sizes)
    torch, reason = None, None
    try:
        from backprop_tui.reference.torch_run import run_torch

        torch = run_torch(lesson.program, leaves, sizes, edges=edges, opened=opened)
    except Exception as error:
        reason = one_line(error)
    comparison = compare(trace, torch, numeric, torch_expected=False)
    return ThreeWays(trace, torch, reason, numeric, comparison)
