"""The pictures of the plot screen: what is drawn, and what is said about it in words.

Pure, as `chart` is: a picture knows its numbers (from `backprop_tui.plots`) and gives, for the
chosen point, a figure and lines of text.
"""

from __future__ import annotations

import math
from functools import cache, cached_property

import numpy as np

from backprop_tui.engine.formula import as_text, pretty_name
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations import Array, Value
from backprop_tui.explain import Notation
from backprop_tui.plots import (
    FLAT,
    Activation,
    Norms,
    Subject,
    Sweep,
    activation,
    curve_operand,
    histogram,
    norms,
    varying_loops,
)
from backprop_tui.tui.chart import (
    Axis,
    Figure,
    Mark,
    Series,
    linear_axis,
    log_axis,
    spread,
)
from backprop_tui.tui.painted import Piece, Pieces
from backprop_tui.values import format_number

Lines = tuple[Pieces, ...]

HERE, POINT = "●", "•"
HERE_ASCII, POINT_ASCII = "@", "o"
COLUMNS_A_TICK = 8
LINES_A_TICK = 3


def number(x: float) -> str:
    """A number in a sentence."""
    return format_number(x).replace("-", "−")


def cell_text(cell: tuple[int, ...]) -> str:
    """An index in brackets; nothing for a scalar."""
    return f"[{', '.join(map(str, cell))}]" if cell else ""


def sample(dots: str, ascii: bool) -> str:
    """A piece of a line, for the legend."""
    if ascii:
        return {"solid": "***", "dashed": "..."}[dots]
    return {"solid": "───", "dashed": "╌╌╌"}[dots]


class Picture:
    """A picture of one subject, with points of which one is chosen."""

    def __init__(self, notation: Notation, subject: Subject) -> None:
        self.notation = notation
        self.trace = notation.trace
        self.graph = notation.graph
        self.subject = subject

    @property
    def points(self) -> int:
        """How many points there are to choose from."""
        raise NotImplementedError

    def node(self, chosen: int) -> int:
        """The node that a point belongs to."""
        return self.subject.nodes[0]

    def heading(self, chosen: int) -> str:
        """What is shown, in one line."""
        raise NotImplementedError

    def where(self, chosen: int) -> str:
        """Which point is chosen, in a few words."""
        raise NotImplementedError

    def figure(self, chosen: int, width: int, height: int, *, ascii: bool = False) -> Figure:
        """What is drawn in so many columns and lines."""
        raise NotImplementedError

    def words(self, chosen: int, *, ascii: bool = False) -> Lines:
        """What stands below."""
        raise NotImplementedError

    def nearest(self, share: float) -> int:
        """The point nearest to a place, from 0 at the left edge to 1 at the right."""
        return max(0, min(self.points - 1, round(share * (self.points - 1))))

    @property
    def output(self) -> str:
        """The output's name."""
        return self.notation.value(self.graph.output).text


class NormsPicture(Picture):
    """The size of a gradient at each turn of a loop."""

    def __init__(self, notation: Notation, subject: Subject, node: int, loop: str | None) -> None:
        super().__init__(notation, subject)
        self.data: Norms = norms(self.trace, subject, node, loop)
        base = subject.base.removesuffix(f"_{self.data.loop}") or subject.base
        self.gradient = f"∂{self.output}/∂{pretty_name(base)}"

    @property
    def points(self) -> int:
        return len(self.data.nodes)

    def node(self, chosen: int) -> int:
        return self.data.nodes[chosen]

    def heading(self, chosen: int) -> str:
        fixed = "".join(f", {name} = {value}" for name, value in self.data.fixed)
        return f"The size of {self.gradient} at each {self.data.loop}{fixed}"

    def where(self, chosen: int) -> str:
        return f"{self.data.loop} = {self.data.steps[chosen]}"

    def figure(self, chosen: int, width: int, height: int, *, ascii: bool = False) -> Figure:
        data, last = self.data, len(self.data.nodes) - 1
        shown = data.norms[np.isfinite(data.norms) & (data.norms > 0)]
        most = max(2, height // LINES_A_TICK)
        if data.logarithmic:
            y = log_axis(float(shown.min()), float(shown.max()), max(2, height // 2))
        else:
            y = linear_axis(0.0, float(shown.max(initial=0.0)), most, room=True)
        every = max(1, math.ceil((last + 1) * COLUMNS_A_TICK / max(1, width)))
        ticks = tuple((float(k), data.steps[k]) for k in range(0, last + 1, every))
        xs = np.arange(last + 1, dtype=np.float64)
        marks = []
        for k, size in enumerate(data.norms.tolist()):
            role = "active" if k == chosen else "gradient"
            if self._unreached(k):
                marks.append(Mark(k, y.low, "x" if ascii else "×", role))
            elif not math.isfinite(size):
                marks.append(Mark(k, y.high, "!", role if k == chosen else "differ"))
            elif data.logarithmic and size == 0:  # it has no place on this scale
                marks.append(Mark(k, y.low, "0", role))
            elif k == chosen:
                marks.append(Mark(k, size, HERE_ASCII if ascii else HERE, role))
            elif last * 5 <= width:  # where they would not crowd the line
                marks.append(Mark(k, size, POINT_ASCII if ascii else POINT, role))
        marks.sort(key=lambda mark: mark.x == chosen)
        line = Series(xs, data.norms, "gradient")
        # Half a step on both sides, so that no point stands on an edge.
        x = Axis(-0.5, last + 0.5, ticks)
        return Figure(x, y, (line,), tuple(marks))

    def words(self, chosen: int, *, ascii: bool = False) -> Lines:
        data = self.data
        node, size = data.nodes[chosen], float(data.norms[chosen])
        gradient = self.trace.gradients[node]
        symbol = self.notation.gradient(node).text
        scalar = isinstance(self.graph.raw[node][2], float)
        size_of = f"|{symbol}|" if scalar else f"‖{symbol}‖"
        what = () if scalar else (Piece(", the square root of the sum of its squares", "muted"),)
        lines: list[Pieces] = [
            (Piece(size_of, "gradient"), Piece(" = "), Piece(number(size), "title"), *what)
        ]
        if gradient is None:
            lines = [(Piece(symbol, "gradient"), Piece(": no gradient reaches this step."))]
        factor = data.factor_back
        if factor is not None:
            first, last = data.steps[0], data.steps[-1]
            change = "shrinks" if factor < 1 else "grows"
            text = (
                f"From {data.loop} = {last} back to {first} it {change}: "
                f"on average × {number(factor)} a step."
            )
            if factor == 1:
                text = f"At {data.loop} = {first} it is as large as at {last}."
            lines.append((Piece(text),))
        elif self.points > 2 and np.all(np.isfinite(data.norms)):
            lines.append((Piece("On the way back it grows here and shrinks there."),))
        notes = []
        if data.logarithmic:
            notes.append("The scale is logarithmic: equal distances are equal factors.")
        unreached = [self._unreached(k) for k in range(self.points)]
        if any(unreached):
            notes.append("× marks the steps that no gradient reaches.")
        if not np.all(np.isfinite(data.norms) | unreached):
            notes.append("! marks what is infinite or not a number.")
        if notes:
            lines.append((Piece(" ".join(notes), "muted"),))
        return tuple(lines)

    def _unreached(self, place: int) -> bool:
        return self.trace.gradients[self.data.nodes[place]] is None

    def nearest(self, share: float) -> int:
        n = self.points
        return max(0, min(n - 1, math.floor(share * n)))


class ActivationPicture(Picture):
    """A function of one number, its slope, and the present point on it."""

    def __init__(self, notation: Notation, subject: Subject) -> None:
        super().__init__(notation, subject)
        sizes = [np.size(self.graph.raw[node][2]) for node in subject.nodes]
        self._ends = np.cumsum(sizes)
        self._curve = cache(lambda node: activation(self.trace, node))

    @property
    def points(self) -> int:
        return int(self._ends[-1])

    def node(self, chosen: int) -> int:
        return self.subject.nodes[int(np.searchsorted(self._ends, chosen, side="right"))]

    def first_point(self, node: int) -> int:
        """The first point of a node."""
        place = self.subject.nodes.index(node)
        return int(self._ends[place - 1]) if place else 0

    def _at(self, chosen: int) -> tuple[int, int, tuple[int, ...], Activation]:
        """The node, which of its cells in order, that cell's index, and the curve."""
        node = self.node(chosen)
        flat = chosen - self.first_point(node)
        shape = np.shape(self.graph.raw[node][2])
        cell = tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
        return node, flat, cell, self._curve(node)

    def heading(self, chosen: int) -> str:
        node = self.node(chosen)
        formula = as_text(self.notation.forward_formula(self.graph[node]))
        name = self.notation.value(node).text
        what = formula if name == formula else f"{name} = {formula}"
        return f"The shape of {what}, and its slope"

    def where(self, chosen: int) -> str:
        node, _, cell, _ = self._at(chosen)
        loops = ", ".join(f"{name} = {value}" for name, value in self.graph.names[node].loops)
        index = f"cell {cell_text(cell)}" if cell else ""
        return " · ".join(part for part in (loops, index) if part)

    def figure(self, chosen: int, width: int, height: int, *, ascii: bool = False) -> Figure:
        _, flat, _, curve = self._at(chosen)
        here = (float(curve.points[flat]), float(curve.results[flat]), float(curve.local[flat]))
        low, high = spread(curve.values, curve.slopes, include=(0.0, *here[1:]))
        y = linear_axis(low, high, max(2, height // LINES_A_TICK), room=True)
        x = linear_axis(float(curve.xs[0]), float(curve.xs[-1]), max(2, width // COLUMNS_A_TICK))
        point = POINT_ASCII if ascii else POINT
        marks = [
            Mark(a, b, point, "value")
            for a, b in zip(curve.points.tolist(), curve.results.tolist(), strict=True)
        ]
        sign = HERE_ASCII if ascii else HERE
        marks.append(Mark(here[0], here[2], sign, "gradient"))
        marks.append(Mark(here[0], here[1], sign, "active-forward"))
        series = (
            Series(curve.slope_xs, curve.slopes, "gradient", "dashed"),
            Series(curve.xs, curve.values, "value"),
        )
        return Figure(x, y, series, tuple(marks))

    def words(self, chosen: int, *, ascii: bool = False) -> Lines:
        node, flat, cell, curve = self._at(chosen)
        name = self.notation.value(node).text + cell_text(cell)
        of_cell = cell if len(np.shape(self.graph.raw[curve.operand][2])) == len(cell) else ()
        operand = self.notation.value(curve.operand)
        inner = f"({operand.text})" if operand.compound else operand.text
        inner += cell_text(of_cell)
        x, result, slope = (
            number(float(numbers[flat])) for numbers in (curve.points, curve.results, curve.local)
        )
        lines: list[Pieces] = [
            (
                Piece(sample("solid", ascii), "value"),
                Piece(" value   "),
                Piece(sample("dashed", ascii), "gradient"),
                Piece(" slope   "),
                Piece(HERE_ASCII if ascii else HERE, "active-forward"),
                Piece(" here: "),
                Piece(inner, "value"),
                Piece(f" = {x}", "number"),
            ),
            (
                Piece(name, "value"),
                Piece(f" = {result}"),
                Piece("   the slope here is "),
                Piece(slope, "gradient"),
            ),
        ]
        gradient = self.trace.gradients[node]
        if gradient is not None:
            slot = curve_operand(self.graph, node)
            edge = Edge(node, curve.operand, slot if slot is not None else 0)
            upstream = _flat(gradient)[flat]
            sent = _flat(self.trace.raw_contribution(edge))[flat]
            symbol = self.notation.gradient(node).text + cell_text(cell)
            lines.append(
                (
                    Piece("so "),
                    Piece(symbol, "gradient"),
                    Piece(f" = {number(upstream)} passes on "),
                    Piece(number(sent), "gradient"),
                )
            )
        return tuple(lines)

    def nearest(self, share: float) -> int:
        """Of all points that there are, which is nearest to the left or right."""
        raise NotImplementedError  # depends on which node is shown: see nearest_to

    def nearest_to(self, chosen: int, share: float) -> int:
        """The nearest point of the node that is shown."""
        node, _, _, curve = self._at(chosen)
        x = float(curve.xs[0]) + share * float(curve.xs[-1] - curve.xs[0])
        away = np.abs(curve.points - x)
        if not np.any(np.isfinite(away)):
            return chosen
        return self.first_point(node) + int(np.nanargmin(away))


class HistogramPicture(Picture):
    """How the cells of a node's values, or of its gradients, are distributed."""

    def __init__(
        self, notation: Notation, subject: Subject, nodes: tuple[int, ...], *, gradient: bool
    ) -> None:
        """`nodes`: those of the subject whose cells are counted."""
        super().__init__(notation, subject)
        self.gradient = gradient
        self.nodes = nodes
        self.data = histogram(self.trace, nodes, gradient=gradient)

    @property
    def points(self) -> int:
        return int(self.data.counts.size)

    @property
    def fullest(self) -> int:
        """The range with the most cells."""
        return int(np.argmax(self.data.counts))

    def node(self, chosen: int) -> int:
        return self.nodes[0]

    def heading(self, chosen: int) -> str:
        several = len(self.nodes) > 1
        loops = varying_loops(self.graph, self.subject)
        symbol = pretty_name(self.subject.base) if several else self._name(self.nodes[0])
        what = f"∂{self.output}/∂{symbol}" if self.gradient else symbol
        if several and loops:
            what += f", every {' and '.join(loops)}"
        return f"The cells of {what}"

    def _name(self, node: int) -> str:
        return self.notation.value(node).text

    def where(self, chosen: int) -> str:
        edges = self.data.edges
        return f"from {number(float(edges[chosen]))} to {number(float(edges[chosen + 1]))}"

    def figure(self, chosen: int, width: int, height: int, *, ascii: bool = False) -> Figure:
        data = self.data
        x = linear_axis(float(data.edges[0]), float(data.edges[-1]), max(2, width // 10))
        most = float(data.counts.max(initial=1.0))
        y = linear_axis(0.0, max(1.0, most), max(1, min(int(most), height // 3)), room=True)
        return Figure(x, y, bars=data.counts, chosen_bar=chosen, title="cells")

    def words(self, chosen: int, *, ascii: bool = False) -> Lines:
        data = self.data
        if not data.size:
            return ((Piece("No gradient arrives here."),),)
        count, cells = int(data.counts[chosen]), "cell" if data.size == 1 else "cells"
        lines: list[Pieces] = [
            (
                Piece(f"{count} of {data.size} {cells}", "title"),
                Piece(f" {self.where(chosen)}"),
                Piece(
                    f" · all from {number(data.smallest)} to {number(data.largest)}, "
                    f"mean {number(data.mean)}",
                    "muted",
                ),
            )
        ]
        if data.flat is not None:
            share = round(100 * data.flat / max(1, data.size))
            text = f"{data.flat} of {data.size} ({share} %) {FLAT[data.activation][0]}."
            lines.append((Piece(text, "gradient" if data.flat else "plain"),))
        if data.not_finite:
            text = f"{data.not_finite} of {data.size} are infinite or not a number."
            lines.append((Piece(text, "differ"),))
        return tuple(lines)

    def nearest(self, share: float) -> int:
        return max(0, min(self.points - 1, math.floor(share * self.points)))


class AlongPicture(Picture):
    """The output as one cell of a leaf varies, with the tangent at the present value."""

    def __init__(self, notation: Notation, subject: Subject, sweep: Sweep) -> None:
        super().__init__(notation, subject)
        self.sweep = sweep

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The leaf's shape."""
        return np.shape(self.graph.raw[self.subject.nodes[0]][2])

    @property
    def points(self) -> int:
        return math.prod(self.shape)

    @property
    def _leaf(self) -> str:
        return self.notation.value(self.subject.nodes[0]).text + cell_text(self.sweep.cell)

    @property
    def _what(self) -> str:
        whole = isinstance(self.graph.raw[self.graph.output][2], float)
        return self.output if whole else f"the sum of {self.output}’s cells"

    def heading(self, chosen: int) -> str:
        what = self._what
        return f"{what[0].upper() + what[1:] if ' ' in what else what} as {self._leaf} varies"

    def where(self, chosen: int) -> str:
        cell = cell_text(self.sweep.cell)
        return f"cell {cell}" if cell else ""

    def figure(self, chosen: int, width: int, height: int, *, ascii: bool = False) -> Figure:
        sweep = self.sweep
        low, high = spread(sweep.ys, include=(sweep.output,))
        y = linear_axis(low, high, max(2, height // LINES_A_TICK), room=True)
        x = linear_axis(float(sweep.xs[0]), float(sweep.xs[-1]), max(2, width // COLUMNS_A_TICK))
        series = [Series(sweep.xs, _where_known(sweep.ys), "value")]
        if sweep.slope is not None:
            ends = np.array([sweep.xs[0], sweep.present, sweep.xs[-1]])
            series.insert(0, Series(ends, sweep.tangent(ends), "gradient", "dashed"))
        here = Mark(sweep.present, sweep.output, HERE_ASCII if ascii else HERE, "active")
        return Figure(x, y, tuple(series), (here,))

    def words(self, chosen: int, *, ascii: bool = False) -> Lines:
        sweep = self.sweep
        first: Pieces = (
            Piece(sample("solid", ascii), "value"),
            Piece(f" {self._what}   "),
            *(
                (Piece(sample("dashed", ascii), "gradient"), Piece(" tangent   "))
                if sweep.slope is not None
                else ()
            ),
            Piece(HERE_ASCII if ascii else HERE, "active"),
            Piece(f" here: {self._leaf} = {number(sweep.present)}, "),
            Piece(f"{self._what} = {number(sweep.output)}"),
        )
        leaf = self.subject.nodes[0]
        symbol = self.notation.gradient(leaf).text + cell_text(sweep.cell)
        if sweep.slope is None:
            second: Pieces = (Piece(f"{self.output} does not depend on {self._leaf}."),)
        else:
            second = (
                Piece("The tangent’s slope is the gradient by hand: "),
                Piece(symbol, "gradient"),
                Piece(" = "),
                Piece(number(sweep.slope), "title"),
            )
        lines = [first, second]
        if sweep.done < sweep.total:
            lines.append((Piece(f"{sweep.done} of {sweep.total} values computed …", "muted"),))
        elif not np.all(np.isfinite(sweep.ys)):
            lines.append((Piece("Gaps: there the output is not finite.", "muted"),))
        if sweep.held is not None:
            lines.append((Piece("What is detached is kept as it is.", "muted"),))
        return tuple(lines)


def _where_known(ys: Array) -> Array:
    return np.where(np.isfinite(ys), ys, np.nan)


def _flat(value: Value) -> list[float]:
    return [float(x) for x in np.ravel(np.asarray(value))]
