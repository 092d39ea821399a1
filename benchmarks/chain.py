"""The app on a lesson of any size: `python benchmarks/chain.py NODES` shows a chain so long."""

from __future__ import annotations

import sys
from typing import Any

from backprop_tui.lessons.base import Leaf, Lesson, Size
from backprop_tui.tui.app import BackpropApp


def program(xp: Any, x: Any, *, n: int) -> Any:
    h = x
    while n:  # not `for`: these are no time steps, to be drawn side by side
        h = xp.sin(h)
        n -= 1
    return h


def chain(nodes: int) -> Lesson:
    """A lesson with so many nodes, one after the other."""
    return Lesson(
        id="chain",
        title="A chain",
        chapter="Benchmarks",
        order=0,
        idea="So many nodes in a row.",
        program=program,
        leaves=(Leaf("x", 0.5, "the input"),),
        forward=(),
        derivation=(),
        sizes=(Size("n", nodes - 1, 1, nodes, "operations"),),
    )


if __name__ == "__main__":
    BackpropApp(chain(int(sys.argv[1])), reference=False).run()
