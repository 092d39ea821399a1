"""Run a program on the tape."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backprop_tui.engine import xp
from backprop_tui.engine.graph import Graph
from backprop_tui.engine.opening import Opened, opening
from backprop_tui.engine.operations import Value
from backprop_tui.engine.provenance import main_code
from backprop_tui.engine.tape import Tape, UnsupportedProgram, Var


def record(
    program: Callable[..., Any],
    leaves: Mapping[str, Value],
    sizes: Mapping[str, int] | None = None,
    *,
    places: bool = True,
    opened: Opened | None = None,
    held: Sequence[Value] | None = None,
) -> Graph:
    """Run `program(xp, **leaves, **sizes)` and return what happened.

    The output is what the program returns; if it is not a scalar, the backward pass starts from
    the sum of its cells. With `places` false, nodes have no names of their own and no source:
    for runs of which only the values are needed. The nodes in `opened` are computed in primitive
    steps (see `engine.opening`). `held` are the values of what the program detaches, in order:
    finite differences keep them as they were, just as the backward pass takes them for fixed.

    Raises UnsupportedProgram if the program does what the tape cannot record, and whatever the
    program itself raises.
    """
    tape = Tape(main_code(program), places=places)
    tape.held = held
    # The records are kept and none of them is part of a cycle: collecting garbage meanwhile
    # would only walk over ever more of them.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with np.errstate(all="ignore"):
            inputs = {name: tape.leaf(name, value) for name, value in leaves.items()}
            output = program(opening(xp, opened), **inputs, **(sizes or {}))
    finally:
        tape.close()
        if collecting:
            gc.enable()
    if not isinstance(output, Var):
        raise UnsupportedProgram(
            "the program must return a value that was calculated from its leaves, "
            f"not {type(output).__name__}"
        )
    graph = Graph(tape, output)
    if graph.detached and not graph.needs_gradient[graph.output]:
        raise UnsupportedProgram(
            "the program's output is detached from its leaves: there is no way back to them"
        )
    return graph
