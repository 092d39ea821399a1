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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

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
    for name, leaf in leaves.items():
        shape = np.shape(leaf)
        columns = np.full((4, *shape), np.nan)  # value, error, left, right
        kinds = np.full(shape, Kind.UNKNOWN, dtype=np.int8)
        for cell in np.ndindex(shape):
            stopped = stopped or should_stop()
            if stopped:
                break
            element = _element(runner, name, cell)
            columns[(slice(None), *cell)] = element.columns
            kinds[cell] = element.kind
        value, error, left, right = (np.asarray(column) for column in columns)
        found[name] = LeafDifference(value, error, kinds, left, right)
    return NumericRun(found, runner.evaluations, not stopped)


@dataclass(frozen=True, slots=True)
class _Element:
    value: float
    error: float
    kind: Kind
    left: float = float("nan")
    right: float = float("nan")

    @property
    def columns(self) -> tuple[float, float, float, float]:
        return self.value, self.error, self.left, self.right


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
        self._held: list[Value] | None = None
        graph = self._record(self._leaves)
        self._held = [graph.raw[index][2] for index in graph.detached] or None
        """What is detached stays as it was, as the backward pass takes it for fixed too."""
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
        return record(self._program, values, self._sizes, places=False, held=self._held)


def _as_array(value: Value) -> NDArray[np.float64]:
    return np.array(value, dtype=np.float64)


def _as_value(array: NDArray[np.float64]) -> Value:
    return float(array) if array.ndim == 0 else array


def _output(graph: Graph) -> float:
    with np.errstate(all="ignore"):
        return float(np.sum(graph.raw[graph.output][2]))


def _branches(graph: Graph) -> object:
    """The operations that were run, and for those with kinks the branch that each cell took.

    The operations belong to it: an `if` in the program is a kink too.
    """
    taken = []
    for op, operands, _, params, _ in graph.raw:
        if op is not None and op.branches is not None:
            values = [graph.raw[i][2] for i in operands]
            with np.errstate(all="ignore"):
                branches = op.branches(*values, **(params or {}))
                signs = np.asarray(branches, dtype=np.float64) + 0.0  # no -0.0
                taken.append(signs.tobytes())
    return [record[0] for record in graph.raw], taken


def _noise(graph: Graph) -> float:
    with np.errstate(all="ignore"):
        total = float(np.sum(value_rounding(graph)[graph.output]))
        size = float(np.sum(np.abs(graph.raw[graph.output][2])))
    return max(total, _EPS * size) if np.isfinite(total) else _EPS * size


_EPS = float(np.finfo(np.float64).eps)

_FIRST = 1.3e-4
"""The first step, as a fraction of the element (or of `_USUAL`, if that is larger): small enough
for the cautious error estimate to be about 1e-9, large enough to stay clear of rounding."""

_USUAL = 0.3
"""Elements smaller than this are nudged as if they were this large."""

_RATIO = 1.73
"""From one step of a pair to the smaller one."""

_PAIRS = 8
"""How many pairs of steps are tried at most."""

_SHRINK = 27.1
"""How much smaller the next pair is."""

_GOOD = 1e-7
"""A relative error estimate that ends the search."""

_BEARABLE = 1e-3
"""A larger one makes an element uncertain."""


@dataclass(frozen=True, slots=True)
class _Estimate:
    value: float
    error: float
    noise: float
    """The part of the error that rounding may cause."""

    relative: float
    """The error relative to the value, or to what would be small for a slope here."""


class _StraddledError(Exception):
    """A kink lies within the step."""


class _BrokenError(Exception):
    """There is an inf or nan within the step."""


def _element(runner: _Runner, name: str, cell: tuple[int, ...]) -> _Element:
    x = runner.element(name, cell)
    if not (np.isfinite(x) and np.isfinite(runner.base.output)):
        return _Element(_NAN, _INF, Kind.NOT_FINITE)
    best: _Estimate | None = None
    straddled = False
    worse = 0
    steps = _steps(x)
    while steps and worse < 3:
        h = steps.pop(0)
        try:
            estimate = _central(runner, name, cell, x, h)
        except _StraddledError:
            straddled = True
            continue
        except _BrokenError:
            continue
        if best is None or estimate.relative < best.relative:
            if best is None and estimate.relative > _GOOD and estimate.noise > estimate.error / 2:
                steps = [h * _SHRINK, h * _SHRINK**2]  # rounding is the trouble: larger steps
            best, worse = estimate, 0
        else:
            worse += 1
        if best.relative <= _GOOD:
            break
    if best is not None:
        fine = best.relative <= _BEARABLE
        return _Element(best.value, best.error, Kind.OK if fine else Kind.UNCERTAIN)
    if straddled:
        return _kink(runner, name, cell, x)
    return _Element(_NAN, _INF, Kind.NOT_FINITE)


def _steps(x: float) -> list[float]:
    first = _FIRST * max(abs(x), _USUAL)
    steps = [first / _SHRINK**k for k in range(_PAIRS)]
    return [h for h in steps if x + h / _RATIO != x != x - h / _RATIO]


def _central(runner: _Runner, name: str, cell: tuple[int, ...], x: float, h: float) -> _Estimate:
    """Two central differences, extrapolated."""
    slopes: list[float] = []
    spans: list[float] = []
    largest = 0.0
    for step in (h, h / _RATIO):
        above, below = x + step, x - step
        outputs: list[float] = []
        for where in (above, below):
            point = runner.at(name, cell, where)
            if not np.isfinite(point.output):
                raise _BrokenError
            if point.branches != runner.base.branches:
                raise _StraddledError
            outputs.append(point.output)
        largest = max(largest, *map(abs, outputs))
        spans.append(above - below)  # what was really stepped, after rounding
        slopes.append((outputs[0] - outputs[1]) / spans[-1])
    return _estimate(runner, x, slopes, spans, largest, order=2)


def _one_sided(
    runner: _Runner, name: str, cell: tuple[int, ...], x: float, h: float
) -> _Estimate | None:
    """Two differences on one side (h < 0: the left), extrapolated; None where there are none."""
    slopes: list[float] = []
    spans: list[float] = []
    points: list[_Point] = []
    for step in (h, h / _RATIO):
        where = x + step
        point = runner.at(name, cell, where)
        if not np.isfinite(point.output):
            return None
        points.append(point)
        spans.append(where - x)
        slopes.append((point.output - runner.base.output) / spans[-1])
    if points[0].branches != points[1].branches:
        return None
    return _estimate(runner, x, slopes, spans, abs(points[0].output), order=1)


def _estimate(
    runner: _Runner,
    x: float,
    slopes: list[float],
    spans: list[float],
    largest: float,
    order: int,
) -> _Estimate:
    """Extrapolate two slopes to a step of 0; `largest` is the largest output on the way."""
    correction = (slopes[1] - slopes[0]) / ((spans[0] / spans[1]) ** order - 1.0)
    value = slopes[1] + correction
    noise = 4.0 * max(runner.noise, _EPS * largest) / abs(spans[1])
    error = abs(correction) + noise + 4.0 * _EPS * abs(value)
    # A slope of 0 has no size of its own: measure it by output over element.
    natural = max(abs(runner.base.output), largest) / max(abs(x), _USUAL)
    size = max(abs(value), 1e-2 * natural)
    if not np.isfinite(value):
        raise _BrokenError
    return _Estimate(value, error, noise, error / size if size else (_INF if error else 0.0))


def _kink(runner: _Runner, name: str, cell: tuple[int, ...], x: float) -> _Element:
    """What to say where every step straddles a kink: the two sides."""
    sides: list[_Estimate] = []
    for sign in (-1.0, 1.0):
        tried = (_one_sided(runner, name, cell, x, sign * h) for h in _steps(x)[:5])
        estimates = [estimate for estimate in tried if estimate is not None]
        if not estimates:
            return _Element(_NAN, _INF, Kind.NOT_FINITE)
        sides.append(min(estimates, key=lambda estimate: estimate.relative))
    left, right = sides
    value, error = (left.value + right.value) / 2.0, left.error + right.error
    apart = abs(left.value - right.value)
    if apart <= error or apart <= 1e-6 * max(abs(left.value), abs(right.value)):
        # The branches change but the slope doesn't, as in abs(x)² at 0: no kink of the output.
        return _Element(value, error + apart, Kind.OK)
    return _Element(value, error + apart / 2.0, Kind.KINK, left.value, right.value)


_NAN = float("nan")
_INF = float("inf")
