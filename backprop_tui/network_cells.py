"""The terms of a cell for softmax, losses, norms, statistics and choices: see `backprop_tui.cells`.

These operations are not sums of products. Most send to a cell one term, which is written with the
cell's own numbers and with what its group has in common: `p[0] · (∂L/∂p[0] − Σₖ ∂L/∂p[k] · p[k])`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from backprop_tui.engine.formula import Symbol
from backprop_tui.engine.graph import Edge, Graph, Node
from backprop_tui.engine.operations import Operation
from backprop_tui.engine.operations import losses as loss
from backprop_tui.engine.operations import normalising as norm
from backprop_tui.engine.operations import selection as choice
from backprop_tui.engine.operations import statistics as stat
from backprop_tui.engine.operations.activations import CumSum
from backprop_tui.engine.operations.reductions import averaged, reduced_dims
from backprop_tui.engine.trace import Trace
from backprop_tui.explain import parameter_symbol

Cell = tuple[int, ...]


class Writer(Protocol):
    """Writes cells as symbols; `cells` has one."""

    trace: Trace
    graph: Graph

    def value(self, index: int, place: Any) -> Symbol: ...

    def gradient(self, index: int, place: Any) -> Symbol: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One term: a formula, and for its names what is shown and the numbers."""

    text: str
    symbols: dict[str, Symbol]
    numbers: dict[str, float]
    value: float


@dataclass(frozen=True, slots=True)
class Pieces:
    """All terms of a cell, made when they are asked for."""

    count: int
    pieces: Iterable[Piece]
    note: str = ""


def words(text: str, compound: bool = False) -> Symbol:
    """What is written for a number that is no cell."""
    return Symbol(text, "value", compound=compound)


class Use:
    """One use of an operation, with the cells at hand."""

    def __init__(self, writer: Writer, node: Node, edge: Edge | None) -> None:
        self.writer, self.node, self.edge = writer, node, edge
        self.params: dict[str, Any] = node.params
        self.values = [np.asarray(writer.graph.records[i].value) for i in node.operands]
        self.a = self.values[0]
        self.out = np.asarray(node.value)
        gradient = writer.trace.gradients[node.index]
        self.g = np.asarray(0.0 if gradient is None else gradient)
        self.sent = np.asarray(0.0)
        if edge is not None:
            self.sent = np.asarray(writer.trace.contribution(edge))

    def x(self, place: Any, slot: int = 0) -> Symbol:
        """A cell of an operand."""
        return self.writer.value(self.node.operands[slot], place)

    def y(self, place: Any) -> Symbol:
        """A cell of the result."""
        return self.writer.value(self.node.index, place)

    def dy(self, place: Any) -> Symbol:
        """A cell of the result's gradient."""
        return self.writer.gradient(self.node.index, place)

    def name(self, slot: int = 0) -> str:
        """An operand as a whole, in brackets where it needs them."""
        symbol = self.writer.value(self.node.operands[slot], ())
        return f"({symbol.text})" if symbol.compound else symbol.text

    def group(self, cell: Cell) -> tuple[Any, ...]:
        """The index of all cells that are reduced together with one."""
        dims = self.dims
        return tuple(slice(None) if d in dims else i for d, i in enumerate(cell))

    def letters(self, cell: Cell) -> tuple[Any, ...]:
        """The same with a letter for what runs."""
        names = iter("klmn")
        return tuple(next(names) if d in self.dims else i for d, i in enumerate(cell))

    @property
    def sum(self) -> str:
        """The sign of a sum over the group."""
        return "Σ" + "‚".join("ₖₗₘₙ"[: len(self.dims)]) + " " if self.a.ndim else ""

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions along which cells belong together, counted from the front."""
        if "dims" in self.params:
            return tuple(d % self.a.ndim for d in self.params["dims"])
        return reduced_dims(self.a.ndim, self.params.get("dim"))

    def reduced(self, cell: Cell) -> Cell:
        """Where a reduction puts a cell."""
        keep = self.params.get("keepdim", False)
        dims = self.dims
        return tuple(0 if d in dims else i for d, i in enumerate(cell) if keep or d not in dims)

    def members(self, cell: Cell) -> Iterator[Cell]:
        """The cells of the operand that are reduced into a cell of the result."""
        dims, keep = self.dims, self.params.get("keepdim", False)
        own = iter(i for d, i in enumerate(cell) if not keep or d not in dims)
        axes = [range(n) if d in dims else (next(own),) for d, n in enumerate(self.a.shape)]
        return product(*axes)

    def one(self, text: str, value: float, **parts: tuple[Symbol, Any]) -> Pieces:
        """A single term."""
        return Pieces(1, [piece(text, value, **parts)])


def piece(text: str, value: float, **parts: tuple[Symbol, Any]) -> Piece:
    """A term from its names: what is shown, and the number."""
    symbols = {name: symbol for name, (symbol, _) in parts.items()}
    numbers = {name: float(number) for name, (_, number) in parts.items()}
    return Piece(text, symbols, numbers, float(value))


def plain(number: float) -> tuple[Symbol, float]:
    """A number that is written as it is in symbols too."""
    return Symbol(f"{number:g}".replace("-", "−"), "number"), number


def spread_over(shape: Cell, target: Cell, cell: Cell) -> Iterator[Cell]:
    """The cells of a broadcast result in which a cell of an operand was used."""
    missing = len(shape) - len(target)
    axes: list[Iterable[int]] = []
    for axis, length in enumerate(shape):
        own = axis >= missing and target[axis - missing] == length
        axes.append((cell[axis - missing],) if own else range(length))
    return product(*axes)


def own_cell(shape: Cell, at: Cell) -> Cell:
    """An operand's own cell for a cell of the broadcast result."""
    last = at[len(at) - len(shape) :] if shape else ()
    return tuple(0 if n == 1 else i for i, n in zip(last, shape, strict=True))


# ── softmax ───────────────────────────────────────────────────────────────────────────────────


def _softmax_sent(use: Use, cell: Cell) -> Pieces:
    group, k = use.group(cell), use.letters(cell)
    mix = f"{use.sum}{use.dy(k).text} · {use.y(k).text}"
    return use.one(
        "out * (g - mix)",
        use.sent[cell],
        out=(use.y(cell), use.out[cell]),
        g=(use.dy(cell), use.g[cell]),
        mix=(words(mix, compound=True), np.sum(use.g[group] * use.out[group])),
    )


def _softmax_made(use: Use, cell: Cell) -> Pieces:
    mix = f"{use.sum}exp({use.x(use.letters(cell)).text})"
    return use.one(
        "exp(a) / mix",
        use.out[cell],
        a=(use.x(cell), use.a[cell]),
        mix=(words(mix, compound=bool(use.sum)), np.sum(np.exp(use.a[use.group(cell)]))),
    )


def _log_softmax_sent(use: Use, cell: Cell) -> Pieces:
    mix = f"{use.sum}{use.dy(use.letters(cell)).text}"
    return use.one(
        "g - exp(out) * mix",
        use.sent[cell],
        out=(use.y(cell), use.out[cell]),
        g=(use.dy(cell), use.g[cell]),
        mix=(words(mix, compound=bool(use.sum)), np.sum(use.g[use.group(cell)])),
    )


def _log_softmax_made(use: Use, cell: Cell) -> Pieces:
    mix = f"{use.sum}exp({use.x(use.letters(cell)).text})"
    return use.one(
        "a - log(mix)",
        use.out[cell],
        a=(use.x(cell), use.a[cell]),
        mix=(words(mix), np.sum(np.exp(use.a[use.group(cell)]))),
    )


def _logsumexp_sent(use: Use, cell: Cell) -> Pieces:
    at = use.reduced(cell)
    return use.one(
        "g * exp(a - out)",
        use.sent[cell],
        g=(use.dy(at), use.g[at]),
        a=(use.x(cell), use.a[cell]),
        out=(use.y(at), use.out[at]),
    )


def _logsumexp_made(use: Use, cell: Cell) -> Pieces:
    members = list(use.members(cell))
    mix = f"{use.sum}exp({use.x(use.letters(members[0])).text})"
    total = sum(np.exp(use.a[at]) for at in members)
    return use.one("log(mix)", use.out[cell], mix=(words(mix), total))


# ── losses ────────────────────────────────────────────────────────────────────────────────────


def _cross_entropy_sent(use: Use, cell: Cell) -> Pieces:
    target = use.params["target"]
    right = 1.0 if target[cell[:-1]] == cell[-1] else 0.0
    share = norm.softened(use.a, -1)[cell]
    symbol = words(f"softmax({use.name()})[{','.join(map(str, cell))}]")
    parts = {"g": (use.dy(()), use.g), "p": (symbol, share), "y": plain(right)}
    if use.node.op is loss.CrossEntropySum:
        return use.one("g * (p - y)", use.sent[cell], **parts)
    return use.one("g * (p - y) / n", use.sent[cell], **parts, n=plain(max(1, target.size)))


def _cross_entropy_made(use: Use, cell: Cell) -> Pieces:
    target = use.params["target"]
    surprises = loss.surprises(use.a, target)
    share = 1 if use.node.op is loss.CrossEntropySum else max(1, target.size)

    def pieces() -> Iterator[Piece]:
        for at in np.ndindex(target.shape):
            place = ",".join(map(str, (*at, int(target[at]))))
            log_share = (words(f"log_softmax({use.name()})[{place}]"), -surprises[at])
            if share == 1:
                yield piece("-p", surprises[at], p=log_share)
            else:
                yield piece("-p / n", surprises[at] / share, p=log_share, n=plain(share))

    return Pieces(target.size, pieces())


def _mse_parts(use: Use, at: Cell) -> dict[str, tuple[Symbol, Any]]:
    a, b = (own_cell(value.shape, at) for value in use.values)
    return {"a": (use.x(a, 0), use.values[0][a]), "b": (use.x(b, 1), use.values[1][b])}


def _mse_sent(use: Use, cell: Cell) -> Pieces:
    assert use.edge is not None
    shape = np.broadcast_shapes(*(value.shape for value in use.values))
    count, mean = int(np.prod(shape)), use.node.op is loss.MseLoss
    sign = 2.0 if use.edge.slot == 0 else -2.0
    places = list(spread_over(shape, use.values[use.edge.slot].shape, cell))

    def pieces() -> Iterator[Piece]:
        for at in places:
            parts = _mse_parts(use, at)
            value = sign * use.g * (parts["a"][1] - parts["b"][1]) / (count if mean else 1)
            text = f"{sign:g} * g * (a - b)"
            parts["g"] = (use.dy(()), use.g)
            if mean:
                yield piece(f"{text} / n", value, **parts, n=plain(count))
            else:
                yield piece(text, value, **parts)

    return Pieces(len(places), pieces())


def _mse_made(use: Use, cell: Cell) -> Pieces:
    shape = np.broadcast_shapes(*(value.shape for value in use.values))
    count, mean = int(np.prod(shape)), use.node.op is loss.MseLoss

    def pieces() -> Iterator[Piece]:
        for at in np.ndindex(shape):
            parts = _mse_parts(use, at)
            square = (parts["a"][1] - parts["b"][1]) ** 2
            if mean:
                yield piece("(a - b)**2 / n", square / count, **parts, n=plain(count))
            else:
                yield piece("(a - b)**2", square, **parts)

    return Pieces(count, pieces())


# ── layer norm and batch norm ─────────────────────────────────────────────────────────────────


def _hat(use: Use, cell: Cell) -> tuple[Symbol, Any]:
    """A normalised cell: the result itself, if there is no weight."""
    hat = norm.normalised(use.a, use.params["dims"], use.params["eps"])
    if len(use.values) == 1:
        return use.y(cell), hat[cell]
    return words(f"normalised({use.name()})[{','.join(map(str, cell))}]"), hat[cell]


def _deviation(use: Use, cell: Cell) -> tuple[Symbol, Any]:
    spread = norm.deviation(use.a, use.params["dims"], use.params["eps"])
    eps = parameter_symbol("eps", use.params["eps"]).text
    text = f"√(var({use.x(use.letters(cell)).text}) + {eps})"
    return words(text), np.broadcast_to(spread, use.a.shape)[cell]


def _norm_sent(use: Use, cell: Cell) -> Pieces:
    assert use.edge is not None
    if use.edge.slot:
        return _norm_sent_to_scale(use, cell)
    dims, eps = use.params["dims"], use.params["eps"]
    hat = norm.normalised(use.a, dims, eps)
    k = use.letters(cell)
    upstream, text = use.dy(k).text, "(g - m - hat * c) / s"
    parts = {"g": (use.dy(cell), use.g[cell])}
    scaled = use.g
    if len(use.values) > 1:
        weight = use.values[1]
        own, own_k = own_cell(weight.shape, cell), k[len(k) - weight.ndim :]
        upstream = f"{upstream} · {use.x(own_k if weight.ndim else (), 1).text}"
        text = "(g * w - m - hat * c) / s"
        parts["w"] = (use.x(own, 1), weight[own])
        scaled = use.g * weight
    common = np.broadcast_to(norm.average(scaled, dims), use.a.shape)[cell]
    asked = np.broadcast_to(norm.average(scaled * hat, dims), use.a.shape)[cell]
    hat_k = use.y(k).text
    if len(use.values) > 1:
        hat_k = f"normalised({use.name()})[{','.join(map(str, k))}]"
    return use.one(
        text,
        use.sent[cell],
        **parts,
        m=(words(f"mean({upstream})"), common),
        hat=_hat(use, cell),
        c=(words(f"mean({upstream} · {hat_k})"), asked),
        s=_deviation(use, cell),
    )


def _norm_sent_to_scale(use: Use, cell: Cell) -> Pieces:
    """To the weight: upstream times normalised cell, for every cell it has scaled; to the bias:
    upstream."""
    assert use.edge is not None
    slot = use.edge.slot
    hat = norm.normalised(use.a, use.params["dims"], use.params["eps"])
    places = list(spread_over(use.out.shape, use.values[slot].shape, cell))

    def pieces() -> Iterator[Piece]:
        for at in places:
            g = (use.dy(at), use.g[at])
            if slot == 1:
                yield piece("g * hat", use.g[at] * hat[at], g=g, hat=_hat(use, at))
            else:
                yield piece("g", use.g[at], g=g)

    return Pieces(len(places), pieces())


def _norm_made(use: Use, cell: Cell) -> Pieces:
    mean = np.broadcast_to(norm.average(use.a, use.params["dims"]), use.a.shape)[cell]
    parts = {
        "a": (use.x(cell), use.a[cell]),
        "m": (words(f"mean({use.x(use.letters(cell)).text})"), mean),
        "s": _deviation(use, cell),
    }
    if len(use.values) == 1:
        return use.one("(a - m) / s", use.out[cell], **parts)
    weight, bias = (own_cell(value.shape, cell) for value in use.values[1:])
    parts["w"] = (use.x(weight, 1), use.values[1][weight])
    parts["b"] = (use.x(bias, 2), use.values[2][bias])
    return use.one("(a - m) / s * w + b", use.out[cell], **parts)


# ── statistics ────────────────────────────────────────────────────────────────────────────────


def _distance(use: Use, cell: Cell) -> dict[str, tuple[Symbol, Any]]:
    """A cell and the mean of its group, and what the squares are divided by."""
    text = f"mean({use.x(use.letters(cell)).text})"
    return {
        "a": (use.x(cell), use.a[cell]),
        "m": (words(text), np.mean(use.a[use.group(cell)])),
        "n": plain(averaged(_value(use.a), use.params["dim"])),
        "c": plain(use.params["correction"]),
    }


def _value(array: Any) -> Any:
    return array if array.ndim else float(array)


def _var_sent(use: Use, cell: Cell) -> Pieces:
    at = use.reduced(cell)
    upstream = (use.dy(at), use.g[at])
    return use.one("2 * g * (a - m) / (n - c)", use.sent[cell], g=upstream, **_distance(use, cell))


def _var_made(use: Use, cell: Cell) -> Pieces:
    members = list(use.members(cell))

    def pieces() -> Iterator[Piece]:
        for at in members:
            parts = _distance(use, at)
            divisor = np.maximum(np.float64(parts["n"][1] - parts["c"][1]), 0.0)
            value = (parts["a"][1] - parts["m"][1]) ** 2 / divisor
            yield piece("(a - m)**2 / (n - c)", value, **parts)

    return Pieces(len(members), pieces())


def _std_sent(use: Use, cell: Cell) -> Pieces:
    at = use.reduced(cell)
    if use.out[at] == 0.0:
        return Pieces(0, (), "all cells are equal: torch's choice is 0")
    parts = {"g": (use.dy(at), use.g[at]), "out": (use.y(at), use.out[at])}
    text = "g / out * (a - m) / (n - c)"
    return use.one(text, use.sent[cell], **parts, **_distance(use, cell))


def _std_made(use: Use, cell: Cell) -> Pieces:
    first = next(use.members(cell))
    parts = _distance(use, first)
    k = use.x(use.letters(first)).text
    squares = np.sum((use.a[use.group(first)] - parts["m"][1]) ** 2)
    text = f"{use.sum}({k} − mean({k}))²"
    return use.one(
        "sqrt(q / (n - c))",
        use.out[cell],
        q=(words(text, compound=True), squares),
        n=parts["n"],
        c=parts["c"],
    )


def _length_sent(use: Use, cell: Cell) -> Pieces:
    at = use.reduced(cell)
    if use.out[at] == 0.0:
        return Pieces(0, (), "the length is 0: torch's choice is 0")
    return use.one(
        "g / out * a",
        use.sent[cell],
        g=(use.dy(at), use.g[at]),
        out=(use.y(at), use.out[at]),
        a=(use.x(cell), use.a[cell]),
    )


def _length_made(use: Use, cell: Cell) -> Pieces:
    first = next(use.members(cell))
    text = f"{use.sum}{use.x(use.letters(first)).text}²"
    squares = np.sum(use.a[use.group(first)] ** 2)
    return use.one("sqrt(q)", use.out[cell], q=(words(text, compound=True), squares))


# ── choices and running sums ──────────────────────────────────────────────────────────────────


def _extreme_sent(use: Use, cell: Cell) -> Pieces:
    at = use.reduced(cell)
    largest = use.node.op in (choice.Amax, choice.Max)
    if use.a[cell] != use.out[at]:
        if use.sent[cell] == 0.0:
            return Pieces(0, (), f"not the {'largest' if largest else 'smallest'}: 0")
        return use.one("g", use.sent[cell], g=(use.dy(at), use.g[at]))
    if use.node.op in (choice.Max, choice.Min):
        first = choice.first_extreme(_value(use.a), use.params["dim"], 1.0 if largest else -1.0)
        dim = use.params["dim"]
        if (
            use.a.ndim
            and first[tuple(0 if d in use.dims else i for d, i in enumerate(cell))] != (cell[dim])
        ):
            return Pieces(0, (), "a tie: the first of them receives all, this one 0")
        return use.one("g", use.sent[cell], g=(use.dy(at), use.g[at]))
    ties = int(np.sum(use.a[use.group(cell)] == use.out[at]))
    upstream = (use.dy(at), use.g[at])
    if ties == 1:
        return use.one("g", use.sent[cell], g=upstream)
    shared = use.one("g / n", use.sent[cell], g=upstream, n=plain(ties))
    return Pieces(1, shared.pieces, f"{ties} cells tie: each receives an equal part")


def _extreme_made(use: Use, cell: Cell) -> Pieces:
    members = list(use.members(cell))
    value = use.out[cell]
    same = [
        at for at in members if use.a[at] == value or (value != value and use.a[at] != use.a[at])
    ]
    return use.one("a", value, a=(use.x(same[0]), use.a[same[0]]))


def _running(use: Use, cell: Cell, onwards: bool) -> Iterator[Cell]:
    """The cells from one on, or up to one."""
    if not use.a.ndim:
        return iter([()])
    (dim,) = use.dims
    here = cell[dim]
    numbers = range(here, use.a.shape[dim]) if onwards else range(here + 1)
    return ((*cell[:dim], k, *cell[dim + 1 :]) for k in numbers)


def _cumsum_sent(use: Use, cell: Cell) -> Pieces:
    places = list(_running(use, cell, onwards=True))
    pieces = (piece("g", use.g[at], g=(use.dy(at), use.g[at])) for at in places)
    return Pieces(len(places), pieces, "it goes into the sums from its own place on")


def _cumsum_made(use: Use, cell: Cell) -> Pieces:
    places = list(_running(use, cell, onwards=False))
    pieces = (piece("a", use.a[at], a=(use.x(at), use.a[at])) for at in places)
    return Pieces(len(places), pieces)


Explain = Callable[[Use, Cell], Pieces]

TERMS: dict[type[Operation], tuple[Explain, Explain]] = {
    norm.Softmax: (_softmax_sent, _softmax_made),
    norm.LogSoftmax: (_log_softmax_sent, _log_softmax_made),
    norm.LogSumExp: (_logsumexp_sent, _logsumexp_made),
    loss.CrossEntropy: (_cross_entropy_sent, _cross_entropy_made),
    loss.CrossEntropySum: (_cross_entropy_sent, _cross_entropy_made),
    loss.MseLoss: (_mse_sent, _mse_made),
    loss.MseLossSum: (_mse_sent, _mse_made),
    norm.LayerNorm: (_norm_sent, _norm_made),
    norm.ScaledLayerNorm: (_norm_sent, _norm_made),
    norm.BatchNorm: (_norm_sent, _norm_made),
    norm.ScaledBatchNorm: (_norm_sent, _norm_made),
    stat.Var: (_var_sent, _var_made),
    stat.Std: (_std_sent, _std_made),
    stat.Norm: (_length_sent, _length_made),
    choice.Amax: (_extreme_sent, _extreme_made),
    choice.Amin: (_extreme_sent, _extreme_made),
    choice.Max: (_extreme_sent, _extreme_made),
    choice.Min: (_extreme_sent, _extreme_made),
    CumSum: (_cumsum_sent, _cumsum_made),
}
"""For each operation what it sends to a cell, and what a cell of its result is made of."""


def sent_terms(writer: Writer, edge: Edge, cell: Cell) -> Pieces:
    """The terms of what an edge sends to a cell."""
    node = writer.graph[edge.source]
    assert node.op is not None
    with np.errstate(all="ignore"):
        return TERMS[node.op][0](Use(writer, node, edge), cell)


def made_terms(writer: Writer, node: Node, cell: Cell) -> Pieces:
    """The terms of a cell of a result."""
    assert node.op is not None
    with np.errstate(all="ignore"):
        return TERMS[node.op][1](Use(writer, node, None), cell)
