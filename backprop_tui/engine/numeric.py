"""Gradients without any calculus: nudge a number, run the program again, and see what moves.

A central difference (f(x+h) − f(x−h)) / 2h errs in two ways: for a large step the function bends
within it, for a small one the difference drowns in rounding. So it is taken at two steps; their
extrapolation removes the largest part of the bending, and how far they disagree is the error
estimate. Where that is not good enough, other steps are tried. Steps are no round numbers, so
that a function which repeats itself isn't met at the same phase twice.

At a kink (relu at 0) there is no slope. Operations with kinks tell which branch each cell takes;
where the branches at x−h, x and x+h are not the same for any sensible h, and the slopes on both
sides differ, the element is reported as a kink with both slopes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.graph import Graph
from backprop_tui.engine.operations import Value
from backprop_tui.engine.rounding import value_rounding
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import UnsupportedProgram


class Kind(IntEnum):
    """What a finite difference is worth."""

    OK = 0
    KINK = 1
    """The slopes on the left and on the right differ: there is no gradient."""
    NOT_FINITE = 2
    """The value, or what is just beside it, is inf or nan."""
    UNCERTAIN = 3
    """The error estimate is too large to check anything against."""
    UNKNOWN = 4
    """Not computed: the work was interrupted."""


@dataclass(frozen=True, slots=True, eq=False)
class LeafDifference:
    """Finite differences for one leaf; all arrays have the leaf's shape."""

    value: NDArray[np.float64]
    """∂output/∂leaf. At a kink the mean of both slopes; nan where not finite."""

    error: NDArray[np.float64]
    """How far off the value may be."""

    kind: NDArray[np.int8]
    """A `Kind` for each element."""

    left: NDArray[np.float64]
    """At a kink the slope towards smaller values, elsewhere nan."""

    right: NDArray[np.float64]
    """At a kink the slope towards larger values, elsewhere nan."""


@dataclass(frozen=True, slots=True, eq=False)
class NumericRun:
    """Finite differences for every leaf of a program."""

    leaves: Mapping[str, LeafDifference]
    evaluations: int
    """How often the program was run."""

    complete: bool
    """False if the work was interrupted: the missing elements are `Kind.UNKNOWN`."""


def differences(
    program: Callable[..., Any],
    leaves: Mapping[str, Value],
    sizes: Mapping[str, int] | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> NumericRun:
    """Central differences for every element of every leaf, by running `program` itself.

    A program whose output is not a scalar is taken for the sum of its cells, as in
    `engine.trace`. `should_stop` is asked before each element.

    Raises what the program raises on the leaves as given. Where it raises only on nudged values,
    the element counts as not finite.
    """
    runner = _Runner(program, leaves, sizes or {})
    found: dict[str, LeafDifference] = {}
    stopped = False
    for name, value in leaves.items():
        shape = np.shape(value)
        columns = np.full((4, *shape), np.nan)  # value, error, left, right
        kinds = np.full(shape, Kind.UNKNOWN, dtype=np.int8)
        for cell in np.ndindex(shape):
            stopped = stopped or should_stop()
            if stopped:
                break
            element = _element(runner, name, cell)
            columns[(slice(None), *cell)] = element.value, element.error, element.left, element.right
            kinds[cell] = element.kind
        found[name] = LeafDifference(columns[0], columns[1], kinds, columns[2], columns[3])
    return NumericRun(found, runner.evaluations, not stopped)


@dataclass(frozen=True, slots=True)
class _Element:
    value: float
    error: float
    kind: Kind
    left: float = float("nan")
    right: float = float("nan")


@dataclass(frozen=True, slots=True)
class _Point:
    output: float
    branches: object
    """Which way the run took: equal for two points unless a kink lies between them."""


class _Runner:
    """Runs the program with one element of one leaf changed."""

    def __init__(
        self,
        program: Callable[..., Any],
        leaves: Mapping[str, Value],
        sizes: Mapping[str, int],
    ) -> None:
        self._program = program
        self._leaves = {name: _as_array(value) for name, value in leaves.items()}
        self._sizes = sizes
        self.evaluations = 0
        graph = self._record(self._leaves)
        self.base = _Point(_output(graph), _branches(graph))
        self.noise = _noise(graph) if np.isfinite(self.base.output) else 0.0
        """How far an output may be off by rounding."""

    def element(self, name: str, cell: tuple[int, ...]) -> float:
        return float(self._leaves[name][cell])

    def at(self, name: str, cell: tuple[int, ...], x: float) -> _Point:
        """The output with the element set to x; nan where the program refuses."""
        changed = self._leaves[name].copy()
        changed[cell] = x
        try:
            graph = self._record({**self._leaves, name: changed})
        except (ArithmeticError, ValueError, IndexError, UnsupportedProgram):
            return _Point(float("nan"), None)
        return _Point(_output(graph), _branches(graph))

    def _record(self, leaves: Mapping[str, Any]) -> Graph:
        self.evaluations += 1
        values = {name: _as_value(value) for name, value in leaves.items()}
        return record(self._program, values, self._sizes, places=False)


def _as_array(value: Value) -> NDArray[np.float64]:
    return np.array(value, dtype=np.float64)


def _as_value(array: NDArray[np.float64]) -> Value:
    return float(array) if array.ndim == 0 else array


def _output(graph: Graph) -> float:
    with np.errstate(all="ignore"):
        return float(np.sum(graph.records[graph.output].value))


def _branches(graph: Graph) -> object:
    """The operations that were run, and for those with kinks the branch that each cell took.

    The operations belong to it: an `if` in the program is a kink too.
    """
    taken = []
    for op, operands, *_ in graph.records:
        if op is not None and op.branches is not None:
            values = [graph.records[i].value for i in operands]
            with np.errstate(all="ignore"):
                taken.append(np.asarray(op.branches(*values), dtype=np.float64).tobytes())
    return [record[0] for record in graph.records], taken


def _noise(graph: Graph) -> float:
    with np.errstate(all="ignore"):
        total = float(np.sum(value_rounding(graph)[graph.output]))
        size = float(np.sum(np.abs(graph.records[graph.output].value)))
    return max(total, _EPS * size) if np.isfinite(total) else _EPS * size


_EPS = float(np.finfo(np.float64).eps)

_FIRST = 0.93e-3
"""The first step, as a fraction of the element (or of `_USUAL`, if that is larger). With the
extrapolation's error in h⁴ and rounding in 1/h, the best step is near eps^(1/5)."""

_USUAL = 0.3
"""Elements smaller than this are nudged as if they were this large."""

_RATIO = 1.73
"""From one step to the next smaller one."""

_SHRINK = 27.1
"""How much smaller the next pair of steps is, where a pair was not good enough."""

_PAIRS = 8
"""How many pairs of smaller steps are tried at most."""

_GOOD = 1e-7
"""A relative error estimate that ends the search."""

_BEARABLE = 1e-3
"""A larger one makes an element uncertain."""


@dataclass(frozen=True, slots=True)
class _Estimate:
    value: float
    error: float
    natural: float
    """The size of slope at which errors would start to matter: output over element."""

    def within(self, tolerance: float) -> bool:
        return self.error <= tolerance * max(abs(self.value), 1e-3 * self.natural)


def _element(runner: _Runner, name: str, cell: tuple[int, ...]) -> _Element:
    x = runner.element(name, cell)
    if not (np.isfinite(x) and np.isfinite(runner.base.output)):
        return _Element(float("nan"), float("inf"), Kind.NOT_FINITE)
    best: _Estimate | None = None
    straddled = broken = 0.0  # the smallest step that straddled a kink, or met inf or nan
    worse = 0
    for h in _steps(x):
        points = _pair(runner, name, cell, x, h)
        if not all(np.isfinite(p.output) for p in points):
            broken = h
            continue
        if any(p.branches != runner.base.branches for p in points):
            straddled = h
            continue
        estimate = _extrapolated(runner, x, h, points)
        if best is None or estimate.error < best.error:
            best, worse = estimate, 0
        else:
            worse += 1
        if best.within(_GOOD) or worse == 2:
            break
    if best is not None:
        fine = best.within(_BEARABLE)
        return _Element(best.value, best.error, Kind.OK if fine else Kind.UNCERTAIN)
    if straddled:
        return _kink(runner, name, cell, x, straddled)
    return _Element(float("nan"), float("inf") if broken else 0.0, Kind.NOT_FINITE)
