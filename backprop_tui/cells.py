"""Where one cell of a gradient, or of a value, comes from: the very terms that make it.

`cell_terms` goes through the edges that arrive at a node and gives, for each, the terms whose sum
is this cell of what the edge sends: `X[0,1] · ∂O/∂Q[0,2] = 0.1343 · 1 = 0.1343`. `value_terms`
does the same for the forward pass. Terms are made only up to a limit, their number is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import Any, cast

import numpy as np

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.formula import Segment, Segments, Symbol, as_text, render, subscript
from backprop_tui.engine.graph import Edge, Node, NodeKind
from backprop_tui.engine.operations import Array, Operation, Value
from backprop_tui.engine.operations.arrangement import Exchange, Expand, Permute, Repeat
from backprop_tui.engine.operations.contractions import CONTRACTIONS, Axes, axes_of
from backprop_tui.engine.operations.reductions import Mean, Sum, averaged, reduced_dims
from backprop_tui.engine.operations.selection import Embedding, Gather
from backprop_tui.engine.operations.shapes import (
    Cat,
    Index,
    Reshape,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
)
from backprop_tui.engine.operations.spatial import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv1dWithoutBias,
    Conv2d,
    Conv2dWithoutBias,
    MaxPool1d,
    MaxPool2d,
    Meeting,
    Meetings,
    winners,
)
from backprop_tui.engine.trace import Trace
from backprop_tui.explain import Notation, parameter_symbol
from backprop_tui.network_cells import TERMS, Pieces, made_terms, sent_terms

Cell = tuple[int, ...]
"""The index of a cell; () for a scalar."""

Place = tuple[int | str, ...]
"""An index in which letters may stand for numbers: `[k,2]`."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand."""

    symbols: Segments
    """What it is: `X[0,1] · ∂O/∂Q[0,2]`."""

    numbers: tuple[Segments, ...]
    """The same in numbers, step by step, without the result: `0.1343 · 1`. Empty for a copy."""

    value: float
    result: Symbol
    """The value as text."""

    @property
    def segments(self) -> Segments:
        """All of it in one line: `X[0,1] · ∂O/∂Q[0,2] = 0.1343 · 1 = 0.1343`."""
        equals = Segment(" = ", "operator")
        line = self.symbols
        for numbers in self.numbers:
            line = (*line, equals, *numbers)
        return (*line, equals, Segment(self.result.text, "number"))

    @property
    def text(self) -> str:
        """The line without roles."""
        return as_text(self.segments)


@dataclass(frozen=True, slots=True)
class Part:
    """What comes along one edge to the cell; in the forward pass, all there is."""

    edge: Edge | None
    """None in the forward pass."""

    terms: tuple[Term, ...]
    """The first terms; `count` says how many there are in all."""

    count: int
    value: float
    """The sum of all terms: this cell of what the edge sends."""

    rule: Segments = ()
    """For a sum, its terms in general: `Σₖ X[k,1] · ∂O/∂Q[k,2]`."""

    note: str = ""
    """What to notice, in a few words, for example `not picked here: 0`."""


@dataclass(frozen=True, slots=True)
class CellTerms:
    """All terms of one cell."""

    symbol: Segments
    """The cell: `∂O/∂W[1,2]`."""

    value: float
    parts: tuple[Part, ...]
    """In order of arrival. Where a limit was reached, the later ones may be missing."""

    count: int
    """How many terms there are in all."""

    note: str = ""
    """Why there are no parts, if there are none."""

    @property
    def left_out(self) -> int:
        """How many terms the limit has kept back."""
        return self.count - sum(len(part.terms) for part in self.parts)


def cell_terms(trace: Trace, node_index: int, cell: Cell, limit: int | None = None) -> CellTerms:
    """The terms of one cell of a node's gradient, edge by edge, at most `limit` in all."""
    writer = _Writer(trace)
    symbol = _one(writer.gradient(node_index, cell))
    gradient = trace.gradients[node_index]
    if gradient is None:
        words = "nothing comes here: the output does not depend on it"
        if trace.graph.detached:  # it may do, but the way is cut
            words = "nothing comes here: no way from the output carries a gradient"
        return CellTerms(symbol, 0.0, (), 0, words)
    if node_index == trace.graph.output:
        return CellTerms(symbol, 1.0, (), 0, "the backward pass starts here, with 1")
    edges = trace.arrivals.get(node_index, ())
    drafts = (_sent(writer, edge, cell) for edge in edges)
    parts, count = _limited(drafts, edges, limit)
    return CellTerms(symbol, _at(gradient, cell), parts, count)


def value_terms(trace: Trace, node_index: int, cell: Cell, limit: int | None = None) -> CellTerms:
    """The terms of one cell of a node's value, at most `limit`."""
    writer = _Writer(trace)
    node = trace.graph[node_index]
    symbol = _one(writer.value(node_index, cell))
    value = _at(node.value, cell)
    if node.op is None:
        words = "a number in the program" if node.kind is NodeKind.CONSTANT else "a leaf: given"
        return CellTerms(symbol, value, (), 0, words)
    parts, count = _limited([_computed(writer, node, cell)], [None], limit)
    return CellTerms(symbol, value, parts, count)


# ── the parts, before their terms are made ────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Draft:
    """A part whose terms are made when they are asked for."""

    count: int
    terms: Iterable[Term]
    value: float
    rule: Segments = ()
    note: str = ""


def _limited(
    drafts: Iterable[_Draft], edges: Sequence[Edge | None], limit: int | None
) -> tuple[tuple[Part, ...], int]:
    parts: list[Part] = []
    count = 0
    for edge, draft in zip(edges, drafts, strict=True):
        room = None if limit is None else max(0, limit - count)
        count += draft.count
        if room == 0 and parts:
            continue
        terms = tuple(islice(draft.terms, room))
        parts.append(Part(edge, terms, draft.count, draft.value, draft.rule, draft.note))
    return tuple(parts), count


def _at(value: Value, cell: Cell) -> float:
    return value if isinstance(value, float) else float(np.asarray(value)[cell])


def _one(symbol: Symbol) -> Segments:
    return (Segment(symbol.text, symbol.role, symbol.ref),)


class _Writer:
    """Writes cells of nodes and gradients as symbols and as numbers."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.graph = trace.graph
        self.notation = Notation(trace)

    def value(self, index: int, place: Place) -> Symbol:
        """A cell of a node: `X[0,1]`; for a number in the program, the number."""
        symbol = self.notation.value(index)
        if not place:
            return symbol
        constant = self.graph.records[index].op is None and index not in self._leaves
        if constant and all(isinstance(i, int) for i in place):
            return self.number(_at(self.graph.records[index].value, cast(Cell, place)))
        name = f"({symbol.text})" if symbol.compound else symbol.text
        return Symbol(f"{name}{_index(place)}", "value", symbol.ref)

    def gradient(self, index: int, place: Place) -> Symbol:
        """A cell of a node's gradient: `∂O/∂Q[0,2]`."""
        symbol = self.notation.gradient(index)
        return Symbol(f"{symbol.text}{_index(place)}", "gradient", symbol.ref)

    def number(self, number: float) -> Symbol:
        """A number in a formula."""
        return self.notation.number(float(number))

    def term(
        self, text: str, symbols: dict[str, Symbol], numbers: dict[str, float], value: float
    ) -> Term:
        """A term that is written as a formula."""
        in_numbers = render(text, lambda name, _: self.number(numbers[name]))
        result = self.number(value)
        steps = () if as_text(in_numbers) == result.text else (in_numbers,)
        return Term(render(text, lambda name, _: symbols[name]), steps, value, result)

    @property
    def _leaves(self) -> Iterable[int]:
        return self.graph.leaves.values()


def _index(place: Place) -> str:
    return f"[{','.join(map(str, place))}]" if place else ""


def _letters(count: int) -> list[str]:
    """Names for the indices of a sum."""
    return ["k", "l", "m", "n"][:count] if count <= 4 else [f"k{i}" for i in range(1, count + 1)]


def _sum(letters: Sequence[str], body: Segments) -> Segments:
    """Σₖ before the terms in general."""
    names = "‚".join(subscript(letter) for letter in letters)
    return (Segment(f"Σ{names} ", "operator"), *body)


# ── backward ──────────────────────────────────────────────────────────────────────────────────


MAX_DEPTH = 8
"""Through so many unnamed operations that only move cells the terms are followed."""


def _sent(writer: _Writer, edge: Edge, cell: Cell, depth: int = 0) -> _Draft:
    """What an edge sends to a cell of its operand."""
    op = cast(type[Operation], writer.graph.records[edge.source].op)
    if op.elementwise or op is Expand:
        return _sent_by_cells(writer, edge, cell)
    if op in _PRODUCTS:
        return _sent_by_product(writer, edge, cell)
    if op in _CONVOLUTIONS:
        return _sent_by_convolution(writer, edge, cell)
    if op in _POOLINGS:
        return _sent_by_pooling(writer, edge, cell)
    if op is Sum or op is Mean:
        return _sent_by_reduction(writer, edge, cell)
    if op in (Index, Gather, Embedding, Repeat):
        return _sent_by_index(writer, edge, cell)
    if op in _MOVES:
        return _sent_by_move(writer, edge, cell, depth)
    if op in TERMS:
        found = sent_terms(writer, edge, cell)
        value = _at(cast(Value, writer.trace.contribution(edge)), cell)
        return _Draft(found.count, _written(writer, found), value, note=found.note)
    return _sent_by_anything(writer, edge, cell)


def _written(writer: _Writer, found: Pieces) -> Iterator[Term]:
    """Terms from the formulas that `network_cells` gives."""
    pieces = iter(found.pieces)
    while True:
        with np.errstate(all="ignore"):
            piece = next(pieces, None)
        if piece is None:
            return
        yield writer.term(piece.text, piece.symbols, piece.numbers, piece.value)


def _sent_by_cells(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Elementwise: upstream times local derivative; for a broadcast operand, summed."""
    trace, node = writer.trace, writer.graph[edge.source]
    rule = cast(type[Operation], node.op).contribution_to(edge.slot)
    target = shape_of(writer.graph.records[edge.target].value)
    shape = shape_of(node.value)
    axes, summed = _repeated(shape, target, cell)
    upstream = cast(Value, trace.gradients[edge.source])

    def symbols(place: Place) -> dict[str, Symbol]:
        found = {"g": writer.gradient(edge.source, place), "out": writer.value(node.index, place)}
        for name, operand in _operands(node):
            found[name] = writer.value(operand, _own(writer, operand, place))
        found.update(_parameters(node, place))
        return found

    def terms() -> Iterator[Term]:
        ones: Value = 1.0 if isinstance(node.value, float) else np.ones_like(node.value)
        with np.errstate(all="ignore"):
            raw, local = trace.raw_contribution(edge), trace.raw_contribution(edge, ones)
        for at in product(*axes):
            numbers = {"g": _at(upstream, at), "out": _at(node.value, at)}
            for name, operand in _operands(node):
                value = writer.graph.records[operand].value
                numbers[name] = _at(value, cast(Cell, _own(writer, operand, at)))
            numbers.update(_parameter_numbers(node, at))
            whole = writer.term(rule.text, symbols(at), numbers, _number(raw, at))
            yield _with_slope(writer, whole, numbers["g"], _number(local, at))

    note = ""
    general: Segments = ()
    if summed:
        name = writer.notation.value(edge.target).text
        times = math.prod(len(axes[axis]) for axis in summed)
        note = f"{name} was repeated {times} times (broadcast): what comes back is added up"
        letters = dict(zip(summed, _letters(len(summed)), strict=True))
        place = tuple(letters.get(axis, axes[axis][0]) for axis in range(len(axes)))
        body = _bracketed(render(rule.text, lambda name, _: symbols(place)[name]))
        general = _sum(list(letters.values()), body)
    count = math.prod(map(len, axes))
    value = _at(cast(Value, trace.contribution(edge)), cell)
    return _Draft(count, terms(), value, general, note)


def _repeated(
    shape: tuple[int, ...], target: tuple[int, ...], cell: Cell
) -> tuple[list[Sequence[int]], list[int]]:
    """The indices, axis by axis, at which a broadcast cell was used, and the axes of repetition."""
    missing = len(shape) - len(target)
    axes: list[Sequence[int]] = []
    summed: list[int] = []
    for axis, length in enumerate(shape):
        if axis >= missing and target[axis - missing] == length:
            axes.append((cell[axis - missing],))
        else:
            axes.append(range(length))
            summed.append(axis)
    return axes, summed


def _parameters(node: Node, place: Place) -> Iterator[tuple[str, Symbol]]:
    """The parameters in a formula of one cell: of a mask the cell that belongs to it."""
    for name, given in node.params.items():
        if isinstance(given, tuple):  # the shape of `expand`: nothing of one cell
            continue
        if np.ndim(given):
            array = np.broadcast_to(given, shape_of(node.value))
            known = all(isinstance(i, int) for i in place)
            yield (
                name,
                (
                    parameter_symbol(name, array[cast(Cell, place)])
                    if known
                    else Symbol(f"{name}{_index(place)}", "plain")
                ),
            )
        else:
            yield name, parameter_symbol(name, given)


def _parameter_numbers(node: Node, cell: Cell) -> dict[str, float]:
    shape = shape_of(node.value)
    return {
        name: float(np.broadcast_to(given, shape)[cell])
        for name, given in node.params.items()
        if not isinstance(given, tuple)
    }


def _operands(node: Node) -> Iterator[tuple[str, int]]:
    return zip(cast(type[Operation], node.op).operands, node.operands, strict=True)


def _own(writer: _Writer, operand: int, place: Place) -> Place:
    """The operand's own index for an index of the broadcast result."""
    shape = shape_of(writer.graph.records[operand].value)
    last = place[len(place) - len(shape) :] if shape else ()
    return tuple(0 if length == 1 else i for i, length in zip(last, shape, strict=True))


def _number(value: Any, at: Cell) -> float:
    """A cell of a contribution, which numpy may have given another kind of scalar."""
    array = np.asarray(value)
    return float(array[at]) if array.ndim else float(array)


def _with_slope(writer: _Writer, term: Term, upstream: float, local: float) -> Term:
    """Upstream times local derivative as one more step, unless the term is that already."""
    numbers = {"g": upstream, "slope": local}
    line = render("g * slope", lambda name, _: writer.number(numbers[name]))
    turned = render("slope * g", lambda name, _: writer.number(numbers[name]))
    shown = {as_text(step) for step in term.numbers}
    if not term.numbers or as_text(line) in shown or as_text(turned) in shown:
        return term
    if len(next(iter(shown)).split()) <= 1:  # −g: there is nothing to multiply
        return term
    return Term(term.symbols, (*term.numbers, line), term.value, term.result)


def _bracketed(body: Segments) -> Segments:
    if len(body) == 1:
        return body
    if all(segment.text.strip() in ("·", "") for segment in body if segment.role == "operator"):
        return body
    return (Segment("(", "operator"), *body, Segment(")", "operator"))


# Each term of a product is a cell of one operand times a cell of the other: axes with one letter
# run together (`contractions.axes_of`). Sending to an operand, its own letters are those of the
# cell, and the others are summed over: the upstream cell times the other operand's cell.

_PRODUCTS = CONTRACTIONS


def _axes(writer: _Writer, node: Node) -> Axes:
    shapes = [shape_of(writer.graph.records[i].value) for i in node.operands]
    return axes_of(cast(type[Operation], node.op), node.params, shapes)


def _where(letters: Sequence[str], known: Mapping[str, Any]) -> Any:
    """The index for these letters; an axis without one was repeated and has one cell."""
    return tuple([known[letter] if letter else 0 for letter in letters])


def _sent_by_product(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Products: the other operand's cells times the upstream cells, as the indices demand."""
    trace, node = writer.trace, writer.graph[edge.source]
    if edge.slot == 2:
        return _sent_to_bias(writer, edge, cell, len(shape_of(node.value)) - 1)
    axes = _axes(writer, node)
    own, others = (axes.a, axes.b) if edge.slot == 0 else (axes.b, axes.a)
    known: dict[str, Any] = {x: i for x, i in zip(own, cell, strict=True) if x}
    operand = node.operands[1 - edge.slot]
    value = writer.graph.records[operand].value
    upstream = cast(Value, trace.gradients[edge.source])
    free = [x for x in dict.fromkeys((*axes.out, *others)) if x and x not in known]
    # The rules have the upstream gradient on the side of the operand that it replaces.
    text = "g * x" if edge.slot == 0 else "x * g"

    def symbols(where: Mapping[str, Any]) -> dict[str, Symbol]:
        return {
            "g": writer.gradient(edge.source, _where(axes.out, where)),
            "x": writer.value(operand, _where(others, where)),
        }

    def term(numbers: tuple[int, ...]) -> Term:
        where = {**known, **dict(zip(free, numbers, strict=True))}
        g, x = _at(upstream, _where(axes.out, where)), _at(value, _where(others, where))
        return writer.term(text, symbols(where), {"g": g, "x": x}, _times(g, x))

    rule: Segments = ()
    if free:
        general = symbols({**known, **dict(zip(free, _letters(len(free)), strict=True))})
        rule = _sum(_letters(len(free)), render(text, lambda name, _: general[name]))
    ranges = [range(axes.lengths[x]) for x in free]
    sent = _at(cast(Value, trace.contribution(edge)), cell)
    return _Draft(math.prod(map(len, ranges)), map(term, product(*ranges)), sent, rule)


def _sent_to_bias(writer: _Writer, edge: Edge, cell: Cell, axis: int) -> _Draft:
    """A bias: the upstream cells of every place at which it was added. `axis`: its own."""
    trace, node = writer.trace, writer.graph[edge.source]
    upstream = cast(Value, trace.gradients[edge.source])
    ranges = [cell if i == axis else range(n) for i, n in enumerate(shape_of(node.value))]
    count = math.prod(map(len, ranges))
    terms = (_copy(writer, edge.source, at, _at(upstream, at)) for at in product(*ranges))
    note, rule = "", cast(Segments, ())
    if count > 1:
        name = writer.notation.value(edge.target).text
        note = f"{name} was added {count} times: what comes back is added up"
        names = iter(_letters(len(ranges) - 1))
        place = tuple(cell[0] if i == axis else next(names) for i in range(len(ranges)))
        rule = _sum(_letters(len(ranges) - 1), _one(writer.gradient(edge.source, place)))
    return _Draft(count, terms, _at(cast(Value, trace.contribution(edge)), cell), rule, note)


def _times(a: float, b: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.float64(a) * np.float64(b))


def _sent_by_reduction(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Sum and mean: a copy of the upstream cell, or its share."""
    trace, node = writer.trace, writer.graph[edge.source]
    operand = writer.graph.records[edge.target].value
    dim, keepdim = node.params.get("dim"), node.params.get("keepdim", False)
    reduced = reduced_dims(len(cell), dim)
    at = tuple(
        0 if axis in reduced else i for axis, i in enumerate(cell) if keepdim or axis not in reduced
    )
    symbol = writer.gradient(edge.source, at)
    upstream = _at(cast(Value, trace.gradients[edge.source]), at)
    value = _at(cast(Value, trace.contribution(edge)), cell)
    if node.op is Sum:
        term = Term(_one(symbol), (), value, writer.number(value))
        return _Draft(1, (term,), value, note="each summed cell receives a copy")
    count = averaged(operand, dim)
    term = writer.term(
        "g / count",
        {"g": symbol, "count": writer.number(count)},
        {"g": upstream, "count": count},
        value,
    )
    return _Draft(1, (term,), value, note=f"each of the {count} averaged cells receives its share")


def _sent_by_index(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Indexing: the upstream cells of every place at which the cell was picked."""
    trace, node = writer.trace, writer.graph[edge.source]
    places = np.asarray(_moved(writer, node)) == _flat(writer, edge.target, cell)
    upstream = cast(Value, trace.gradients[edge.source])
    picked = [tuple(int(i) for i in at) for at in np.argwhere(places)]
    note = "" if picked else "not picked here: 0"
    if len(picked) > 1:
        word = "copied" if node.op is Repeat else "picked"
        note = f"{word} {len(picked)} times: what comes back is added up"
    terms = (_copy(writer, edge.source, at, _at(upstream, at)) for at in picked)
    value = _at(cast(Value, trace.contribution(edge)), cell)
    return _Draft(len(picked), terms, value, note=note)


def _sent_by_move(writer: _Writer, edge: Edge, cell: Cell, depth: int) -> _Draft:
    """Operations that only move cells: the upstream cell of the new place.

    Where the code has no name for the result, its terms in place of it.
    """
    trace, node = writer.trace, writer.graph[edge.source]
    op = cast(type[Operation], node.op)
    size = int(np.size(node.value))
    places: Value = np.arange(size, dtype=np.float64).reshape(np.shape(node.value))
    params = {**node.params, "slot": edge.slot} if op.variadic else node.params
    values = [writer.graph.records[i].value for i in node.operands]
    # The rule, applied to the places instead of to a gradient, says where each cell has come from.
    back = op.contribution_to(edge.slot).function(places, node.value, *values, **params)
    at = _cell(int(_number(back, cell)), np.shape(node.value))
    value = _at(cast(Value, trace.contribution(edge)), cell)
    name = writer.notation.value(edge.source).text
    note = f"in {name} the cell stands at {_index(at)}" if at else ""
    inner = trace.arrivals.get(edge.source, ())
    if not node.name.named and inner and depth < MAX_DEPTH:
        # Nobody looks at Wᵀ itself: what made its gradient is what made W's.
        drafts = [_sent(writer, arriving, at, depth + 1) for arriving in inner]
        terms = (term for draft in drafts for term in draft.terms)
        rule = drafts[0].rule if len(drafts) == 1 else ()
        notes = [note, *(draft.note for draft in drafts)]
        note = "; ".join(dict.fromkeys(filter(None, notes)))
        return _Draft(sum(draft.count for draft in drafts), terms, value, rule, note)
    return _Draft(1, (_copy(writer, edge.source, at, value),), value, note=note)


def _sent_by_anything(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Any other operation: the cell of its rule as a whole."""
    value = _at(cast(Value, writer.trace.contribution(edge)), cell)
    formula = writer.notation.contribution_formula(edge)
    symbols = (Segment("(", "operator"), *formula, Segment(f"){_index(cell)}", "operator"))
    return _Draft(1, (Term(symbols, (), value, writer.number(value)),), value)


def _meetings(writer: _Writer, node: Node) -> Meetings:
    x, w = (shape_of(writer.graph.records[i].value) for i in node.operands[:2])
    return Meetings(x, w, shape_of(node.value), **node.params)


def _steps(node: Node) -> tuple[Cell, Cell, Cell]:
    """Stride, padding and dilation of a convolution."""
    return node.params["stride"], node.params["padding"], node.params["dilation"]


def _named(lengths: Sequence[int]) -> tuple[list[str], list[int | str]]:
    """A letter for each index that runs, and the index: 0 where there is only one cell."""
    letters = _letters(sum(length > 1 for length in lengths))
    names = iter(letters)
    return letters, [next(names) if length > 1 else 0 for length in lengths]


def _affine(start: int, step: int, name: int | str) -> int | str:
    """start + step · name, as an index: `2k+1`."""
    if isinstance(name, int):
        return start + step * name
    running = ("−" if step < 0 else "") + (f"{abs(step)}" if abs(step) > 1 else "") + name
    if step < 0:
        return f"{start}{running}" if start else running
    return f"{running}{start:+d}".replace("-", "−") if start else running


def _sent_by_convolution(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """To a weight the input's cells times the upstream cells, at every position; to the input the
    weights times the upstream cells, for every window that has seen the cell."""
    trace, node = writer.trace, writer.graph[edge.source]
    space = len(node.params["stride"])
    if edge.slot == 2:
        return _sent_to_bias(writer, edge, cell, len(shape_of(node.value)) - space - 1)
    to_weight = edge.slot == 1
    other = node.operands[1 - edge.slot]
    value = writer.graph.records[other].value
    upstream = cast(Value, trace.gradients[edge.source])
    meetings = _meetings(writer, node)
    met = list(meetings.of_weight(cell) if to_weight else meetings.of_input(cell))

    def term(meeting: Meeting) -> Term:
        at = meeting.input if to_weight else meeting.weight
        symbols = {
            "a": writer.value(other, at),
            "g": writer.gradient(edge.source, meeting.out),
        }
        numbers = {"a": _at(value, at), "g": _at(upstream, meeting.out)}
        return writer.term("a * g", symbols, numbers, _times(numbers["a"], numbers["g"]))

    draw = _meetings_of_weight if to_weight else _meetings_of_input
    letters, at, out, full = draw(node, cell, shape_of(value))
    note = ""
    if not met:
        note = "it has only met padding: 0" if to_weight else "no window has seen it: 0"
    elif to_weight and len(met) < full:
        note = f"at {full - len(met)} of {full} positions it has met only padding: 0"
    rule: Segments = ()
    if letters and len(met) > 1:
        general = {"a": writer.value(other, at), "g": writer.gradient(edge.source, out)}
        rule = _sum(letters, render("a * g", lambda name, _: general[name]))
    sent = _at(cast(Value, trace.contribution(edge)), cell)
    return _Draft(len(met), map(term, met), sent, rule, note)


_General = tuple[list[str], Place, Place, int]
"""The letters of a sum, the indices of its two factors, and how many terms it would have if
nothing was padding."""


def _meetings_of_weight(node: Node, cell: Cell, input: Cell) -> _General:
    """In general: where a cell of a kernel meets the input, and what comes back from there."""
    space, shape = len(node.params["stride"]), shape_of(node.value)
    o, c, *tap = cell
    letters, place = _named((*shape[: -space - 1], *shape[-space:]))
    lead, running = place[: len(place) - space], place[len(place) - space :]
    along = zip(running, tap, *_steps(node), strict=True)
    at = [_affine(k * d - p, s, i) for i, k, s, p, d in along]
    full = math.prod(shape) // shape[-space - 1]
    return letters, (*lead, c, *at), (*lead, o, *running), full


def _meetings_of_input(node: Node, cell: Cell, weight: Cell) -> _General:
    """In general: the weights that a cell of the input meets, and what comes back from there.

    No letters with a stride: which windows have seen the cell is no plain sum then.
    """
    space = len(node.params["stride"])
    *lead, c = cell[:-space]
    letters, (o, *taps) = _named((weight[0], *weight[2:]))
    along = zip(cell[-space:], taps, *_steps(node), strict=True)
    back = [_affine(i + p, -d, k) for i, k, _, p, d in along]
    if any(stride > 1 for stride in node.params["stride"]):
        letters = []
    return letters, (o, c, *taps), (*lead, o, *back), math.prod(weight) // weight[1]


def _sent_by_pooling(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Max pooling: the upstream cells of the windows whose largest cell it was."""
    trace, node = writer.trace, writer.graph[edge.source]
    if node.op in (AvgPool1d, AvgPool2d):
        return _sent_by_averages(writer, edge, cell)
    a = cast(Array, writer.graph.records[edge.target].value)
    taken = winners(a, **node.params) == _flat(writer, edge.target, cell)
    upstream = cast(Value, trace.gradients[edge.source])
    won = [tuple(int(i) for i in at) for at in np.argwhere(taken)]
    note = "the largest of its window" if won else "the largest of no window: 0"
    if len(won) > 1:
        note = f"the largest of {len(won)} windows: what comes back is added up"
    terms = (_copy(writer, edge.source, at, _at(upstream, at)) for at in won)
    return _Draft(len(won), terms, _at(cast(Value, trace.contribution(edge)), cell), note=note)


def _averaged(writer: _Writer, node: Node, a: int) -> tuple[Meetings, int, int]:
    """The windows of mean pooling as a convolution of one channel, where each cell has one; the
    number of spatial dimensions, and of a window's cells."""
    kernel = node.params["kernel"]
    space = len(kernel)

    def one_channel(shape: Cell) -> Cell:
        return (*shape[:-space], 1, *shape[-space:])

    meetings = Meetings(
        one_channel(shape_of(writer.graph.records[a].value)),
        (1, 1, *kernel),
        one_channel(shape_of(node.value)),
        stride=node.params["stride"],
        padding=node.params["padding"],
        dilation=(1,) * space,
    )
    return meetings, space, math.prod(kernel)


def _sent_by_averages(writer: _Writer, edge: Edge, cell: Cell) -> _Draft:
    """Mean pooling: a share of the upstream cell of each window that covers the cell."""
    trace, node = writer.trace, writer.graph[edge.source]
    meetings, space, count = _averaged(writer, node, edge.target)
    upstream = cast(Value, trace.gradients[edge.source])
    met = list(meetings.of_input((*cell[:-space], 0, *cell[-space:])))

    def term(meeting: Meeting) -> Term:
        at = (*meeting.out[: -space - 1], *meeting.out[-space:])
        g = _at(upstream, at)
        symbols = {"g": writer.gradient(edge.source, at), "count": writer.number(count)}
        return writer.term("g / count", symbols, {"g": g, "count": count}, g / count)

    note = f"each of the {count} averaged cells receives its share" if met else "in no window: 0"
    value = _at(cast(Value, trace.contribution(edge)), cell)
    return _Draft(len(met), map(term, met), value, note=note)


def _computed_by_averages(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    (operand,) = node.operands
    meetings, space, count = _averaged(writer, node, operand)
    value = writer.graph.records[operand].value
    met = list(meetings.of_result((*cell[:-space], 0, *cell[-space:])))

    def term(meeting: Meeting) -> Term:
        at = (*meeting.input[: -space - 1], *meeting.input[-space:])
        a = _at(value, at)
        symbols = {"a": writer.value(operand, at), "count": writer.number(count)}
        return writer.term("a / count", symbols, {"a": a, "count": count}, a / count)

    note = "" if len(met) == count else "where the window looks over the edge there is padding: 0"
    return _Draft(len(met), map(term, met), _at(node.value, cell), note=note)


def _copy(writer: _Writer, source: int, at: Cell, value: float) -> Term:
    return Term(_one(writer.gradient(source, at)), (), value, writer.number(value))


_MOVES: frozenset[type[Operation]] = frozenset(
    {Transpose, Exchange, Permute, Reshape, Squeeze, Unsqueeze, Cat, Stack}
)
"""Operations that put cells elsewhere and change none of them."""

_CONVOLUTIONS: frozenset[type[Operation]] = frozenset(
    {Conv1d, Conv1dWithoutBias, Conv2d, Conv2dWithoutBias}
)
_POOLINGS: frozenset[type[Operation]] = frozenset({MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d})


def _moved(writer: _Writer, node: Node) -> Any:
    """For each cell of the result of a moving operation, the number of the cell that it was.

    The cells of all operands are numbered through.
    """
    numbered: list[Any] = []
    start = 0
    for operand in node.operands:
        shape = shape_of(writer.graph.records[operand].value)
        size = math.prod(shape)
        numbers = np.arange(start, start + size, dtype=np.float64).reshape(shape)
        numbered.append(numbers if shape else float(numbers))
        start += size
    forward: Callable[..., Any] = cast(type[Operation], node.op).forward
    return forward(*numbered, **node.params)


def _flat(writer: _Writer, index: int, cell: Cell) -> int:
    shape = shape_of(writer.graph.records[index].value)
    return int(np.ravel_multi_index(cell, shape)) if shape else 0


def _cell(flat: int, shape: tuple[int, ...]) -> Cell:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()


# ── forward ───────────────────────────────────────────────────────────────────────────────────


def _computed(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    """What a cell of a value is computed from."""
    op = cast(type[Operation], node.op)
    if op.elementwise:
        return _computed_by_cells(writer, node, cell)
    if op in _PRODUCTS:
        return _computed_by_product(writer, node, cell)
    if op in _CONVOLUTIONS:
        return _computed_by_convolution(writer, node, cell)
    if op in _POOLINGS:
        return _computed_by_pooling(writer, node, cell)
    if op is Sum or op is Mean:
        return _computed_by_reduction(writer, node, cell)
    value = _at(node.value, cell)
    if op in _MOVES or op in (Index, Gather, Embedding, Expand, Repeat):
        return _computed_by_move(writer, node, cell)
    if op in TERMS:
        found = made_terms(writer, node, cell)
        return _Draft(found.count, _written(writer, found), value, note=found.note)
    symbols = (*writer.notation.forward_formula(node), Segment(_index(cell), "operator"))
    return _Draft(1, (Term(symbols, (), value, writer.number(value)),), value)


def _computed_by_cells(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    symbols: dict[str, Symbol] = dict(_parameters(node, cell))
    numbers: dict[str, float] = _parameter_numbers(node, cell)
    for name, operand in _operands(node):
        own = cast(Cell, _own(writer, operand, cell))
        symbols[name] = writer.value(operand, own)
        numbers[name] = _at(writer.graph.records[operand].value, own)
    value = _at(node.value, cell)
    text = cast(type[Operation], node.op).text
    return _Draft(1, (writer.term(text, symbols, numbers, value),), value)


def _computed_by_product(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    axes = _axes(writer, node)
    known: dict[str, Any] = dict(zip(axes.out, cell, strict=True))
    a, b, *bias = node.operands
    left, right = (writer.graph.records[i].value for i in (a, b))
    free = [x for x in dict.fromkeys((*axes.a, *axes.b)) if x and x not in known]

    def symbols(where: Mapping[str, Any]) -> dict[str, Symbol]:
        return {
            "a": writer.value(a, _where(axes.a, where)),
            "b": writer.value(b, _where(axes.b, where)),
        }

    def term(numbers: tuple[int, ...]) -> Term:
        where = {**known, **dict(zip(free, numbers, strict=True))}
        x, y = _at(left, _where(axes.a, where)), _at(right, _where(axes.b, where))
        return writer.term("a * b", symbols(where), {"a": x, "b": y}, _times(x, y))

    rule: Segments = ()
    if free:
        general = symbols({**known, **dict(zip(free, _letters(len(free)), strict=True))})
        rule = _sum(_letters(len(free)), render("a * b", lambda name, _: general[name]))
    ranges = [range(axes.lengths[x]) for x in free]
    terms: Iterable[Term] = map(term, product(*ranges))
    count = math.prod(map(len, ranges))
    return _with_bias(writer, _Draft(count, terms, _at(node.value, cell), rule), bias, cell[-1:])


def _with_bias(writer: _Writer, draft: _Draft, bias: Sequence[int], cell: Cell) -> _Draft:
    """The terms, and the bias after them if there is one."""
    if not bias:
        return draft
    here = _at(writer.graph.records[bias[0]].value, cell)
    shown = _one(writer.value(bias[0], cell))
    rule = (*draft.rule, Segment(" + ", "operator"), *shown) if draft.rule else ()
    terms = chain(draft.terms, (Term(shown, (), here, writer.number(here)),))
    return _Draft(draft.count + 1, terms, draft.value, rule, draft.note)


def _computed_by_convolution(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    """The input's cells under the kernel, times the kernel."""
    x, w, *bias = node.operands
    input, weight = (writer.graph.records[i].value for i in (x, w))
    met = list(_meetings(writer, node).of_result(cell))

    def term(meeting: Meeting) -> Term:
        symbols = {"x": writer.value(x, meeting.input), "w": writer.value(w, meeting.weight)}
        numbers = {"x": _at(input, meeting.input), "w": _at(weight, meeting.weight)}
        return writer.term("x * w", symbols, numbers, _times(numbers["x"], numbers["w"]))

    space = len(node.params["stride"])
    full = math.prod(shape_of(weight)[1:])
    note = "" if len(met) == full else "where the kernel looks over the edge there is padding: 0"
    rule: Segments = ()
    if len(met) > 1:
        letters, (c, *taps) = _named(shape_of(weight)[1:])
        at = [
            _affine(s * i - p, d, k)
            for i, s, p, d, k in zip(cell[-space:], *_steps(node), taps, strict=True)
        ]
        symbols = {
            "x": writer.value(x, (*cell[: -space - 1], c, *at)),
            "w": writer.value(w, (cell[-space - 1], c, *taps)),
        }
        rule = _sum(letters, render("x * w", lambda name, _: symbols[name]))
    draft = _Draft(len(met), map(term, met), _at(node.value, cell), rule, note)
    return _with_bias(writer, draft, bias, (cell[-space - 1],))


def _computed_by_pooling(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    """The largest cell of the window, or the shares of them all."""
    (operand,) = node.operands
    if node.op in (AvgPool1d, AvgPool2d):
        return _computed_by_averages(writer, node, cell)
    a = cast(Array, writer.graph.records[operand].value)
    at = _cell(int(winners(a, **node.params)[cell]), a.shape)
    here = _at(a, at)
    term = Term(_one(writer.value(operand, at)), (), here, writer.number(here))
    return _Draft(1, (term,), _at(node.value, cell), note="the largest cell of its window")


def _computed_by_reduction(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    (operand,) = node.operands
    value = writer.graph.records[operand].value
    shape = shape_of(value)
    dim, keepdim = node.params.get("dim"), node.params.get("keepdim", False)
    reduced = reduced_dims(len(shape), dim)
    kept = iter(i for axis, i in enumerate(cell) if not keepdim or axis not in reduced)
    axes: list[Sequence[int]] = [
        range(length) if axis in reduced else (next(kept),) for axis, length in enumerate(shape)
    ]
    share = averaged(value, dim) if node.op is Mean else 1

    def term(at: Cell) -> Term:
        number = _at(value, at)
        symbol = writer.value(operand, at)
        if node.op is Sum:
            return Term(_one(symbol), (), number, writer.number(number))
        symbols = {"a": symbol, "count": writer.number(share)}
        return writer.term("a / count", symbols, {"a": number, "count": share}, number / share)

    count = math.prod(map(len, axes))
    return _Draft(count, map(term, product(*axes)), _at(node.value, cell))


def _computed_by_move(writer: _Writer, node: Node, cell: Cell) -> _Draft:
    number = int(_number(_moved(writer, node), cell))
    for operand in node.operands:
        value = writer.graph.records[operand].value
        size = int(np.size(value))
        if number < size:
            at = _cell(number, shape_of(value))
            here = _at(value, at)
            term = Term(_one(writer.value(operand, at)), (), here, writer.number(here))
            return _Draft(1, (term,), here)
        number -= size
    raise IndexError(f"there is no cell {cell}")
