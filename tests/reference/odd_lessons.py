"""Lessons that misbehave, for the reference process: named `odd_lessons:NAME`."""

import os
import sys
from typing import Any

from backprop_tui.lessons.base import Leaf, Lesson


def _lesson(program: Any) -> Lesson:
    return Lesson(
        id="odd",
        title="Odd",
        chapter="None",
        order=0,
        idea="",
        program=program,
        leaves=(Leaf("x", 3.0, "the input"),),
        forward=(),
        derivation=(),
    )


def printing(xp: Any, x: Any) -> Any:
    print("to standard output")
    print("to standard error", file=sys.stderr)
    print("to the first standard output", file=sys.__stdout__, flush=True)
    os.write(1, b"\x00\x00\x00\x00\x00\x00\x00\x05hello")
    os.write(2, b"hello")
    try:
        input("a question")
    except EOFError:
        pass
    return x * x


def raising_under_torch(xp: Any, x: Any) -> Any:
    if xp.__name__ == "torch":
        raise ValueError("the first line\nthe second line")
    return x * x


def raising(xp: Any, x: Any) -> Any:
    raise ZeroDivisionError


def exiting(xp: Any, x: Any) -> Any:
    if xp.__name__ == "torch":
        sys.exit(3)
    return x * x


def no_tensor(xp: Any, x: Any) -> Any:
    return float(x) if xp.__name__ == "torch" else x * x


PRINTING = _lesson(printing)
RAISING_UNDER_TORCH = _lesson(raising_under_torch)
RAISING = _lesson(raising)
EXITING = _lesson(exiting)
NO_TENSOR = _lesson(no_tensor)
