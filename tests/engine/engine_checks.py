"""The referees of the engine's tests: torch, and central differences of our own making.

A program is a function `program(xp, **leaves)`; it is run on the tape, by torch, and a little to
the left and to the right of every number. No expected number comes from the engine's own
backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from backprop_tui.engine.graph import Graph
from backprop_tui.engine.operations import Contribution, Operation, Value
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward

torch.set_default_dtype(torch.float64)  # as in reference/torch_run.py

Program = Callable[..., Any]
Leaves = Mapping[str, Any]


def value(number: Any) -> Value:
    """A float for a scalar, else a float64 array."""
    array = np.array(number, dtype=np.float64)
    return array.item() if array.ndim == 0 else array


def by_hand(program: Program, leaves: Leaves, **sizes: int) -> Trace:
    """The program on our tape, forward and backward."""
    return backward(record(program, {k: value(v) for k, v in leaves.items()}, sizes))


def leaf_gradients(trace: Trace) -> dict[str, Any]:
    """Each leaf's gradient; zeros where the output does not depend on it."""
    graph = trace.graph
    found = {}
    for name, index in graph.leaves.items():
        gradient = trace.gradients[index]
        found[name] = np.zeros(np.shape(graph[index].value)) if gradient is None else gradient
    return found


def by_torch(program: Program, leaves: Leaves, **sizes: int) -> tuple[Any, dict[str, Any]]:
    """The value and the leaves' gradients, by torch running the program itself."""
    tensors = {
        name: torch.tensor(value(v), dtype=torch.float64, requires_grad=True)
        for name, v in leaves.items()
    }
    out = program(torch, **tensors, **sizes)
    out.sum().backward()
    gradients = {
        name: np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy()
        for name, t in tensors.items()
    }
    return out.detach().numpy(), gradients


def by_differences(program: Program, leaves: Leaves, step: float = 1e-5) -> dict[str, Any]:
    """Central differences of the sum of the program's cells, one number at a time."""

    before = record(program, {name: value(v) for name, v in leaves.items()}, places=False)
    held = [before[index].value for index in before.detached]  # fixed, as for torch

    def total(changed: Leaves) -> float:
        graph = record(program, changed, places=False, held=held)
        return math.fsum(np.ravel(graph[graph.output].value))

    start = {name: value(v) for name, v in leaves.items()}
    found = {}
    for name, here in start.items():
        slopes = np.zeros(np.shape(here))
        for cell in np.ndindex(np.shape(here)):
            moved = []
            for sign in (1.0, -1.0):
                other = np.array(here, dtype=np.float64)
                other[cell] += sign * step
                moved.append(total({**start, name: value(other)}))
            slopes[cell] = (moved[0] - moved[1]) / (2.0 * step)
        found[name] = slopes
    return found


def assert_close(ours: Any, theirs: Any, *, rel: float, what: str) -> None:
    """Equal within `rel` of the largest cell; the same shape; nan and inf in the same cells."""
    assert np.shape(ours) == np.shape(theirs), f"{what}: {np.shape(ours)} != {np.shape(theirs)}"
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite], err_msg=what)
    scale = max(1.0, float(np.max(np.abs(b[finite]), initial=0.0)))
    np.testing.assert_allclose(a[finite], b[finite], rtol=rel, atol=rel * scale, err_msg=what)


def agrees_with_torch(program: Program, leaves: Leaves, *, rel: float = 1e-9) -> Trace:
    """Assert that value and gradients are torch's."""
    trace = by_hand(program, leaves)
    out, gradients = by_torch(program, leaves)
    assert_close(trace.graph[trace.graph.output].value, out, rel=rel, what="value")
    for name, gradient in leaf_gradients(trace).items():
        assert_close(gradient, gradients[name], rel=rel, what=f"gradient of {name}")
    return trace


def agrees_with_differences(program: Program, leaves: Leaves, *, rel: float = 1e-6) -> Trace:
    """Assert that the gradients are what moving each number a little says."""
    trace = by_hand(program, leaves)
    slopes = by_differences(program, leaves)
    for name, gradient in leaf_gradients(trace).items():
        assert_close(gradient, slopes[name], rel=rel, what=f"gradient of {name}")
    return trace


def weighted(program: Program, leaves: Leaves, rng: np.random.Generator) -> tuple[Program, Any]:
    """The program with its result weighted cell by cell, so that no upstream gradient is 1.

    Returns the program and its leaves, the weights among them.
    """
    graph = record(program, {k: value(v) for k, v in leaves.items()}, places=False)
    shape = np.shape(graph[graph.output].value)
    weights = value(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))

    def run(xp: Any, *, upstream: Any, **inputs: Any) -> Any:
        return xp.sum(program(xp, **inputs) * upstream)

    return run, {**leaves, "upstream": weights}


def upstream_of(graph: Graph, op: type[Operation]) -> int:
    """The index of the first node computed by an operation."""
    return next(node.index for node in graph if node.op is op)


@contextmanager
def planted(op: type[Operation], slot: int, function: Callable[..., Any]) -> Iterator[None]:
    """Meanwhile the contribution to an operand is another function."""
    right = op.contributions
    wrong = list(right)
    wrong[slot] = Contribution(function, right[slot].text, right[slot].why)
    op.contributions = tuple(wrong)
    try:
        yield
    finally:
        op.contributions = right
