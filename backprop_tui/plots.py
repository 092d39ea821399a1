"""What there is to look at rather than to read: series, distributions and curves, as numbers.

Pure: from a trace to records of numbers. No colours and no screen here. Everything is taken from
the finished pass; only `Sweep` runs the program again, one value of a leaf at a time, so that
whoever shows it can stop in between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from backprop_tui.engine.graph import Graph, Node, NodeKind
from backprop_tui.engine.operations import Array, Operation, Value
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import UnsupportedProgram
from backprop_tui.engine.trace import Trace, apply_rule

Kind = Literal["norms", "activation", "histogram", "along"]
"""As in `lessons.base.Plot`."""

KINDS: tuple[Kind, ...] = ("norms", "activation", "histogram", "along")
"""All kinds, in the order in which they are offered."""

DECADES = 100.0
"""Norms are shown on a logarithmic scale if the largest is this many times the smallest."""

MOST_CELLS = 100_000
"""Larger values are not put into one histogram with those of other time steps."""


# ── what a picture may be about ───────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Subject:
    """A leaf, or all nodes that one place in the program computes: one for each time step."""

    name: str
    """The id without the loops: `h` for `h[t=1]`, `h[t=2]`, …"""

    base: str
    """The variable's name in the code."""

    nodes: tuple[int, ...]
    """In the order of computation."""


def subject_name(graph: Graph, node: int) -> str:
    """The name of the subject that a node belongs to."""
    return re.sub(r"\[.*?\]", "", graph.names[node].id)


def subjects(trace: Trace, kind: Kind) -> tuple[Subject, ...]:
    """What a picture of this kind may be about, in the order of the program."""
    graph = trace.graph
    found: dict[str, list[int]] = {}
    for node in graph:
        if node.kind is not NodeKind.CONSTANT and _suits(trace, node, kind):
            found.setdefault(subject_name(graph, node.index), []).append(node.index)
    all_of_them = (
        Subject(name, graph.names[nodes[0]].base, tuple(nodes)) for name, nodes in found.items()
    )
    if kind == "norms":
        received = trace.gradients
        return tuple(
            s
            for s in all_of_them
            if varying_loops(graph, s) and any(received[node] is not None for node in s.nodes)
        )
    if kind == "histogram":
        return tuple(s for s in all_of_them if _cells(graph, s) > 1)
    return tuple(all_of_them)


def _suits(trace: Trace, node: Node, kind: Kind) -> bool:
    if kind == "along":
        return node.kind is NodeKind.LEAF
    if kind == "activation":
        return node.op is not None and curve_operand(trace.graph, node.index) is not None
    return node.name.named


def _cells(graph: Graph, subject: Subject) -> int:
    return sum(np.size(graph.raw[node][2]) for node in subject.nodes)


# ── the size of the gradient at each time step ────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class Norms:
    """How large the gradient of a node is at each turn of a loop."""

    loop: str
    """The loop's variable."""

    fixed: tuple[tuple[str, int | str], ...]
    """The other loops around it with their values, which stay the same."""

    steps: tuple[str, ...]
    """The variable's values."""

    nodes: tuple[int, ...]
    norms: Array
    """The Euclidean norm of ∂output/∂node (the absolute value for a scalar); nan also where no
    gradient arrives."""

    @property
    def logarithmic(self) -> bool:
        """Whether the norms differ so much that only a logarithmic scale shows them all."""
        seen = self.norms[np.isfinite(self.norms) & (self.norms > 0)]
        return seen.size > 1 and bool(seen.max() / DECADES >= seen.min())

    @property
    def factor_back(self) -> float | None:
        """By which factor the norm changes in one step back through time: the geometric mean from
        the last step to the first. None if it does not change in the same sense throughout, or
        is somewhere 0, infinite or not a number: then a mean says nothing."""
        if len(self.steps) < 2 or not np.all((self.norms > 0) & (self.norms < math.inf)):
            return None
        changes = self.norms[1:] - self.norms[:-1]
        if np.any(changes > 0) and np.any(changes < 0):
            return None
        first, last = float(self.norms[0]), float(self.norms[-1])
        return math.exp((math.log(first) - math.log(last)) / (len(self.steps) - 1))


def varying_loops(graph: Graph, subject: Subject) -> tuple[str, ...]:
    """The variables of the loops around a subject that take more than one value."""
    values: dict[str, set[int | str]] = {}
    for node in subject.nodes:
        for name, value in graph.names[node].loops:
            values.setdefault(name, set()).add(value)
    return tuple(name for name, taken in values.items() if len(taken) > 1)


def norms(trace: Trace, subject: Subject, node: int, loop: str | None = None) -> Norms:
    """The gradient norms of a subject along one loop; the other loops stand as they do at `node`.

    `loop` is one of `varying_loops`, the innermost unless told. Where the loop begins at 1 and
    there is a leaf for the state before it (`h0` for `h`), the leaf is the step 0.
    """
    graph = trace.graph
    loop = loop if loop is not None else varying_loops(graph, subject)[-1]
    fixed = tuple(pair for pair in graph.names[node].loops if pair[0] != loop)
    chosen: list[tuple[int | str, int]] = []
    for index in subject.nodes:
        loops = graph.names[index].loops
        if tuple(pair for pair in loops if pair[0] != loop) == fixed:
            chosen.append((dict(loops)[loop], index))
    before = graph.leaves.get(f"{subject.base}0")
    if (
        chosen
        and chosen[0][0] == 1
        and before is not None
        and not fixed
        and trace.gradients[before] is not None
    ):
        chosen.insert(0, (0, before))
    return Norms(
        loop,
        fixed,
        tuple(str(step) for step, _ in chosen),
        tuple(index for _, index in chosen),
        np.array([norm(trace.gradients[index]) for _, index in chosen]),
    )


def norm(value: Value | None) -> float:
    """The Euclidean norm, without overflow or underflow on the way; nan for None."""
    if value is None:
        return math.nan
    cells = np.abs(np.asarray(value, dtype=np.float64)).ravel()
    largest = float(cells.max(initial=0.0))
    if not 0.0 < largest < math.inf:  # 0, infinity, or not a number
        return largest
    return largest * math.sqrt(float(np.sum((cells / largest) ** 2)))


# ── how the cells are distributed ─────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many cells lie in each of several ranges of equal width."""

    edges: Array
    """Where the ranges begin, and where the last one ends, both of which belong to it."""

    counts: Array
    """How many cells lie in each, as floats."""

    size: int
    """How many cells there are, those that are not finite included."""

    not_finite: int
    smallest: float
    largest: float
    mean: float
    flat: int | None
    """How many cells lie where the activation is flat, so that hardly any gradient passes; None
    for other nodes. See `FLAT`."""

    activation: str
    """The activation's name, or ''."""


FLAT: dict[str, tuple[str, Callable[[Array], Any]]] = {
    # tanh's slope is 1 − h², at most 1; sigmoid's is s·(1 − s), at most ¼.
    "tanh": ("saturated: the slope 1 − h² is below a tenth", lambda h: 1.0 - h * h < 0.1),
    "sigmoid": (
        "saturated: the slope s · (1 − s) is below a tenth of its largest, ¼",
        lambda s: s * (1.0 - s) < 0.025,
    ),
    "relu": ("off: at 0, where no gradient passes", lambda r: r == 0.0),
}
"""Activations by the operation's name: what a flat cell is, in words, and whether a result is."""

BOUNDS = {"tanh": (-1.0, 1.0, 0.1), "sigmoid": (0.0, 1.0, 0.05)}
"""Where the results of an activation lie, and the width of the ranges for them."""


def histogram(trace: Trace, nodes: tuple[int, ...], *, gradient: bool = False) -> Histogram:
    """The cells of one or several nodes together: of their values, or of their gradients."""
    graph = trace.graph
    held = [trace.gradients[n] if gradient else graph.raw[n][2] for n in nodes]
    cells = np.concatenate([np.ravel(v) for v in held if v is not None] or [np.zeros(0)])
    finite = cells[np.isfinite(cells)]
    op = graph.raw[nodes[0]][0]
    name = "" if op is None or gradient or op.name not in FLAT else op.name
    if name in BOUNDS:
        low, high, width = BOUNDS[name]
        edges = np.linspace(low, high, round((high - low) / width) + 1)
    else:
        edges = _edges(finite)
    counts = np.histogram(finite, edges)[0].astype(np.float64)
    with np.errstate(all="ignore"):
        return Histogram(
            edges,
            counts,
            int(cells.size),
            int(cells.size - finite.size),
            float(finite.min()) if finite.size else math.nan,
            float(finite.max()) if finite.size else math.nan,
            float(finite.mean()) if finite.size else math.nan,
            int(np.count_nonzero(FLAT[name][1](finite))) if name else None,
            name,
        )


def _edges(cells: Array) -> Array:
    """Round edges that enclose all cells, and between 5 and about 20 ranges."""
    if not cells.size:
        return np.array([0.0, 1.0])
    low, high = float(cells.min()), float(cells.max())
    most = min(20, max(5, math.ceil(2 * math.sqrt(cells.size))))
    apart = high / most - low / most  # so written as not to overflow
    magnitude = max(abs(low), abs(high))
    # All equal, or nearly: as wide as one can see beside the numbers themselves.
    width = nice_step(max(apart, 1e-9 * magnitude, 1e-300) if apart else 0.1 * (magnitude or 1.0))
    first, last = math.floor(low / width), math.ceil(high / width)
    while first * width > low:
        first -= 1
    while last * width < high or last <= first:
        last += 1
    return width * np.arange(first, last + 1, dtype=np.float64)


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, … (and their like with other powers of ten) ≥ `least`."""
    power = math.floor(math.log10(least))
    for factor in (1, 2, 5, 10):
        step = float(f"{factor}e{power}")
        if step >= least * (1 - 1e-12):
            return step
    return float(f"2e{power + 1}")  # log10 was rounded down


# ── the shape of an activation, and its slope ─────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """A function of one number, its slope, and where the cells of the operand stand on it."""

    operand: int
    """The node that it is a function of."""

    xs: Array
    values: Array
    slope_xs: Array
    """As `xs`, with a gap where the slope jumps."""

    slopes: Array
    """nan in the gaps."""

    points: Array
    """The operand's cells, in order."""

    results: Array
    """The function of each, as recorded."""

    local: Array
    """The slope at each."""


STRAIGHT = ("add", "sub", "mul", "neg", "detach", "where", "masked_fill")
"""With constants these are straight lines, or one for some cells: nothing to look at."""

SAMPLES = 240


def curve_operand(graph: Graph, node: int) -> int | None:
    """The slot of the operand of which a node is a function, cell by cell; None if it isn't one.

    It has one operand, or the others are single numbers in the program, and it is no line.
    """
    op, operands, _, params, _ = graph.raw[node]
    if op is None or not op.elementwise or op.variadic or op.name in STRAIGHT:
        return None
    if any(np.ndim(parameter) for parameter in (params or {}).values()):
        return None  # each cell would have a curve of its own
    needs = graph.needs_gradient
    moving = [slot for slot, operand in enumerate(operands) if needs[operand]]
    if len(moving) != 1 or (op.name == "div" and moving[0] == 0):
        return None
    (slot,) = moving
    others = [graph.raw[operand][2] for s, operand in enumerate(operands) if s != slot]
    return slot if all(type(other) is float for other in others) else None


def activation(trace: Trace, node: int) -> Activation:
    """The curve of a node (of which `curve_operand` is not None) around its operand's cells."""
    graph = trace.graph
    op, operands, out, params, _ = graph.raw[node]
    op = cast(type[Operation], op)
    slot = cast(int, curve_operand(graph, node))
    operand = graph.raw[operands[slot]][2]
    points = np.ravel(np.asarray(operand, dtype=np.float64))

    def with_operand(x: Value) -> list[Value]:
        return [x if s == slot else graph.raw[i][2] for s, i in enumerate(operands)]

    def curve(xs: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            values = np.asarray(op.forward(*with_operand(xs), **(params or {})), dtype=np.float64)
            slopes = apply_rule(op, slot, np.ones_like(xs), values, with_operand(xs), params)
        return np.broadcast_to(values, xs.shape), np.broadcast_to(slopes, xs.shape)

    xs = _domain(points, curve)
    values, slopes = curve(xs)
    slope_xs = xs
    if op.branches is not None:
        with np.errstate(all="ignore"):
            branch = op.branches(*with_operand(xs), **(params or {}))
        jumps = np.flatnonzero(np.diff(branch)) + 1
        slope_xs = np.insert(xs, jumps, xs[jumps])
        slopes = np.insert(slopes, jumps, np.nan)
    local = apply_rule(op, slot, _ones(out), out, with_operand(operand), params)
    return Activation(
        operands[slot],
        xs,
        values,
        slope_xs,
        slopes,
        points,
        np.ravel(np.asarray(out, dtype=np.float64)),
        np.ravel(np.broadcast_to(local, np.shape(out))),
    )


def _ones(value: Value) -> Value:
    return 1.0 if isinstance(value, float) else np.ones_like(value)


def _domain(points: Array, curve: Callable[[Array], tuple[Array, Array]]) -> Array:
    """Where to look at a curve: from −4 to 4, or as far as the points lie, where it is defined."""
    finite = points[np.isfinite(points)]
    reach = max(4.0, 1.25 * float(np.abs(finite).max(initial=0.0)))
    reach = min(reach, 1e300)
    xs = np.linspace(-reach, reach, SAMPLES + 1)
    defined = np.flatnonzero(np.isfinite(curve(xs)[0]))
    if defined.size in (0, xs.size):
        return xs
    # log and square roots have no left half: begin where they begin.
    low, high = xs[defined[0]], xs[defined[-1]]
    return np.linspace(low, high, SAMPLES + 1) if low < high else xs


# ── the output as one number of a leaf varies ─────────────────────────────────────────────────


class Sweep:
    """The output as one cell of a leaf takes other values; the rest stays as it is.

    Nothing is computed before `step` is called, once for each value: from the present one
    outwards, so that what matters is there first.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        leaves: Mapping[str, Value],
        sizes: Mapping[str, int],
        trace: Trace,
        leaf: str,
        cell: tuple[int, ...] = (),
        *,
        reach: float | None = None,
        samples: int = 40,
    ) -> None:
        """`reach` is how far to go to each side (`usual_reach` unless told), in so many samples."""
        self._program, self._leaves, self._sizes = program, leaves, sizes
        graph = trace.graph
        self.held: list[Value] | None = [graph.raw[i][2] for i in graph.detached] or None
        """What the program detaches. It is kept as it was, as the backward pass takes it for
        fixed: or the gradient would not be the slope."""
        self.leaf = leaf
        self.cell = cell
        value = leaves[leaf]
        self.present = float(value if isinstance(value, float) else value[cell])
        """What the cell holds."""
        self.output = _total(graph.raw[graph.output][2])
        """The output now: the sum of its cells, as for the backward pass."""
        gradient = trace.gradients[graph.leaves[leaf]]
        self.slope: float | None = None
        """∂output/∂cell by hand: the slope of the tangent; None if the output does not depend
        on the leaf."""
        if gradient is not None:
            self.slope = float(gradient if isinstance(gradient, float) else gradient[cell])
        self.reach = usual_reach(self.present) if reach is None else reach
        with np.errstate(all="ignore"):
            self.xs = self.present + self.reach * (np.arange(-samples, samples + 1) / samples)
        self.ys = np.full(2 * samples + 1, np.nan)
        """The outputs, nan where none is known yet, or where the program could not run."""
        self.ys[samples] = self.output
        self.done = 1
        self._order = iter(middle_outwards(samples))

    @property
    def total(self) -> int:
        """How many outputs there will be."""
        return int(self.xs.size)

    def step(self) -> bool:
        """Run the program for one more value. Says whether any was left."""
        place = next(self._order, None)
        if place is None:
            return False
        self.done += 1
        held = self._leaves[self.leaf]
        changed: Value = float(self.xs[place])
        if not isinstance(held, float):
            array = held.copy()
            array[self.cell] = changed
            changed = array
        try:
            leaves = {**self._leaves, self.leaf: changed}
            graph = record(self._program, leaves, self._sizes, places=False, held=self.held)
            self.ys[place] = _total(graph.raw[graph.output][2])
        except (ArithmeticError, ValueError, IndexError, UnsupportedProgram):
            pass  # with this number the program goes another way: a gap in the curve
        return True

    def tangent(self, xs: Array) -> Array:
        """The tangent at the present value."""
        slope = math.nan if self.slope is None else self.slope
        with np.errstate(all="ignore"):
            return self.output + slope * (xs - self.present)


def _total(output: Value) -> float:
    with np.errstate(all="ignore"):
        return float(np.sum(output))


def usual_reach(present: float) -> float:
    """How far to look to each side of a number."""
    return max(1.0, abs(present)) if math.isfinite(present) else 1.0


def middle_outwards(samples: int) -> Iterator[int]:
    """The places of 2·samples + 1 values from the middle outwards, without the middle itself."""
    for away in range(1, samples + 1):
        yield samples + away
        yield samples - away
