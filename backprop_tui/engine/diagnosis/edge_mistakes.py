"""What may go wrong with a single contribution: for an edge, the mistakes that can be made there.

A mistake is a pure function of (sweep, edge, upstream gradient), so that it can be made anywhere
in a pass and carried on from there. Whether it shows with the numbers at hand is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.diagnosis.sweep import EdgeRule, Sweep, fitted
from backprop_tui.engine.graph import Edge, Record
from backprop_tui.engine.operations import Value
from backprop_tui.engine.operations import arithmetic as ar
from backprop_tui.engine.operations.reductions import averaged


class EdgeMistake(NamedTuple):
    """A mistake that can be made at an edge."""

    mistake: str
    """Its id in the catalogue."""

    rule: EdgeRule
    detail: str = ""
    """More precisely: which row, which factor."""

    reshapes: bool = False
    """Whether the result has another shape than the operand, so that it cannot be carried on."""


def edge_mistakes(sweep: Sweep, edge: Edge) -> Iterator[EdgeMistake]:
    """All mistakes that can be made with what is sent along an edge, the likeliest first."""
    record = sweep.graph.records[edge.source]
    assert record.op is not None  # an edge comes from an operation
    yield EdgeMistake("forgot-upstream", _without_upstream)
    if not (record.op is ar.Add or (record.op is ar.Sub and edge.slot == 0)):
        yield EdgeMistake("forgot-local", _without_local)
    yield EdgeMistake("sign-flipped", _negated)
    yield from _of_products(sweep, edge, record)
    yield from _of_batches(sweep, edge, record)
    yield from _of_sums_and_means(sweep, edge, record)
    yield from _of_powers(sweep, edge, record)
    yield from _of_functions(record)
    yield from _of_branches(record)
    yield from _of_variances(sweep, edge, record)
    yield from _of_constants(record)


def scaled(factor: float) -> EdgeRule:
    """What is sent, times a number."""
    return lambda sweep, edge, g: sweep.part(edge, g) * factor


def _without_upstream(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return sweep.part(edge, _ones(g))


def _ones(like: Value) -> Value:
    return 1.0 if type(like) is float else np.ones_like(like)


def _without_local(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return fitted(g, sweep.graph.records[edge.target].value)


def _negated(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return -sweep.part(edge, g)


# ── products ──────────────────────────────────────────────────────────────────────────────────

_PRODUCTS = {
    "mul", "div", "dot", "mv", "mm", "matmul", "bmm", "outer", "linear", "einsum", "ger",
}  # fmt: skip


def _of_products(sweep: Sweep, edge: Edge, record: Record) -> Iterator[EdgeMistake]:
    if len(record.operands) < 2 or cast(Any, record.op).name not in _PRODUCTS:
        return
    yield EdgeMistake("swapped-operands", _swapped)
    values = sweep.values(edge.source)
    for slot, value in enumerate(values):
        if slot != edge.slot and np.ndim(value) >= 2:
            # Where the matrix is not square this does not even fit, and then it is no case.
            yield EdgeMistake("transposed", _with_turned(slot), "the matrix is not transposed")
    if np.ndim(values[edge.slot]) >= 2:
        square = shape_of(values[edge.slot])[-1] == shape_of(values[edge.slot])[-2]
        yield EdgeMistake("transposed", _turned, "the result", reshapes=not square)


def _swapped(sweep: Sweep, edge: Edge, g: Value) -> Value:
    values = sweep.values(edge.source)
    values[0], values[1] = values[1], values[0]
    return sweep.part(edge, g, values=values)


def _with_turned(slot: int) -> EdgeRule:
    def rule(sweep: Sweep, edge: Edge, g: Value) -> Value:
        values = sweep.values(edge.source)
        values[slot] = np.swapaxes(values[slot], -1, -2)
        return sweep.part(edge, g, values=values)

    return rule


def _turned(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return np.swapaxes(sweep.part(edge, g), -1, -2)


# ── batches and broadcasting ──────────────────────────────────────────────────────────────────


def _of_batches(sweep: Sweep, edge: Edge, record: Record) -> Iterator[EdgeMistake]:
    axes = sweep.summed(edge)
    if axes:
        length = shape_of(sweep.raw(edge))[axes[0]]
        what = "row" if len(axes) == 1 and len(shape_of(record.value)) > 1 else "cell"
        for position, which in ((0, "first"), (length - 1, "last")):
            if length > 1:
                rule = _one_of_the_summed(position)
                yield EdgeMistake("one-row-only", rule, f"the {which} {what}")
        count = np.prod([shape_of(sweep.raw(edge))[axis] for axis in axes])
        yield EdgeMistake("mean-for-sum", scaled(1.0 / float(count)), "averaged over the batch")
        yield EdgeMistake("broadcast-not-summed", _unsummed, reshapes=True)
    elif _shares_rows(sweep, edge, record):
        rows = len(cast(Any, record.value))
        for position, which in ((0, "first"), (rows - 1, "last")):
            if rows > 1:
                yield EdgeMistake("one-row-only", _one_row(position), f"the {which} row")
        yield EdgeMistake("mean-for-sum", scaled(1.0 / rows), "averaged over the batch")
        yield EdgeMistake("broadcast-not-summed", _row_by_row, reshapes=True)


def _one_of_the_summed(position: int) -> EdgeRule:
    def rule(sweep: Sweep, edge: Edge, g: Value) -> Value:
        raw, axes = np.asarray(sweep.raw(edge, g)), sweep.summed(edge)
        for axis in axes:
            raw = np.take(raw, [position if axis == axes[0] else -1 if position else 0], axis)
        return fitted(raw, sweep.graph.records[edge.target].value)

    return rule


def _unsummed(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return np.asarray(sweep.raw(edge, g))


def _shares_rows(sweep: Sweep, edge: Edge, record: Record) -> bool:
    """Whether the operand is a matrix of weights that every row of a batch goes through."""
    name = cast(Any, record.op).name
    first = np.ndim(sweep.values(edge.source)[0])
    return edge.slot == 1 and name in ("mm", "linear") and first == 2 and np.ndim(record.value) == 2


def _row(sweep: Sweep, edge: Edge, g: Value, position: int) -> Value:
    """What one row of the batch sends: the rule, with the other rows' gradient at 0."""
    alone = np.zeros_like(g)
    alone[position] = cast(Any, g)[position]
    return sweep.part(edge, alone)


def _one_row(position: int) -> EdgeRule:
    return lambda sweep, edge, g: _row(sweep, edge, g, position)


def _row_by_row(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return np.stack([_row(sweep, edge, g, position) for position in range(len(cast(Any, g)))])


# ── sums, means, powers ───────────────────────────────────────────────────────────────────────


def _of_sums_and_means(sweep: Sweep, edge: Edge, record: Record) -> Iterator[EdgeMistake]:
    op, params = cast(Any, record.op), record.params or {}
    value = sweep.graph.records[edge.target].value
    if op.name in ("sum", "mean"):
        count = averaged(value, params.get("dim"))
    elif op.figures is not None and op.name in ("cross_entropy", "mse_loss"):
        count = int(op.figures(record.value, *sweep.values(edge.source), **params)["count"])
    elif op.name == "mse_loss":
        count = int(np.size(value))
    elif op.name == "cross_entropy":
        count = int(np.size(params["target"]))
    elif op.name == "div" and edge.slot == 0:
        # A sum divided by the number of its cells is a mean, written in two steps.
        count = _count_of_sum(sweep, record)
        if count > 1 and sweep.values(edge.source)[1] == count:
            yield EdgeMistake("sum-for-mean", scaled(float(count)))
        return
    else:
        return
    if count > 1:
        if op.name == "mean" or (op.figures is not None and op.name != "sum"):
            yield EdgeMistake("sum-for-mean", scaled(float(count)))
        else:
            yield EdgeMistake("mean-for-sum", scaled(1.0 / count))


def _count_of_sum(sweep: Sweep, record: Record) -> int:
    """How many cells went into a sum that is the first operand; 0 if it is none."""
    first = sweep.graph.records[record.operands[0]]
    if first.op is None or first.op.name != "sum":
        return 0
    return averaged(sweep.graph.records[first.operands[0]].value, (first.params or {}).get("dim"))


_SQUARES = ("square", "mse_loss", "var")


def _of_powers(sweep: Sweep, edge: Edge, record: Record) -> Iterator[EdgeMistake]:
    op = cast(Any, record.op)
    exponent: Any = 0.0
    if op.name in _SQUARES:
        exponent = 2.0
    elif op.name == "sqrt":
        exponent = 0.5
    elif op.name == "pow" and edge.slot == 0:
        exponent = sweep.values(edge.source)[1]
    if type(exponent) is float and exponent not in (0.0, 1.0):
        detail = f"the factor {exponent:g}"
        yield EdgeMistake("power-missing", scaled(1.0 / exponent), detail)
        yield EdgeMistake("power-twice", scaled(exponent), detail)


# ── functions of a cell ───────────────────────────────────────────────────────────────────────

_CURVED = {
    "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "pow", "square", "reciprocal", "rsqrt",
    "log1p", "gelu", "silu", "softplus",
}  # fmt: skip


def _of_functions(record: Record) -> Iterator[EdgeMistake]:
    if cast(Any, record.op).name in _CURVED:
        yield EdgeMistake("input-for-output", _input_for_output)
        yield EdgeMistake("output-for-input", _output_for_input)


def _input_for_output(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return sweep.part(edge, g, out=sweep.values(edge.source)[edge.slot])


def _output_for_input(sweep: Sweep, edge: Edge, g: Value) -> Value:
    values = sweep.values(edge.source)
    values[edge.slot] = sweep.graph.records[edge.source].value
    return sweep.part(edge, g, values=values)


_CELLWISE_BRANCHES = ("relu", "maximum", "minimum", "where", "masked_fill", "clamp")
_LARGEST = ("amax", "amin", "max", "min", "max_pool1d", "max_pool2d", "leaky_relu", "abs")


def _of_branches(record: Record) -> Iterator[EdgeMistake]:
    name = cast(Any, record.op).name
    if name in _CELLWISE_BRANCHES:
        yield EdgeMistake("wrong-branch", _where_it_should_not)
    elif name in _LARGEST:
        yield EdgeMistake("wrong-branch", _of_negated)


def _where_it_should_not(sweep: Sweep, edge: Edge, g: Value) -> Value:
    raw = sweep.raw(edge, g)
    other = np.broadcast_to(g, np.shape(raw)) - raw
    return fitted(other, sweep.graph.records[edge.target].value)


def _of_negated(sweep: Sweep, edge: Edge, g: Value) -> Value:
    """What the rule says of the operand with its sign turned: the smallest cell wins, not the
    largest."""
    record = sweep.graph.records[edge.source]
    values = [-value for value in sweep.values(edge.source)]
    out = cast(Any, record.op).forward(*values, **(record.params or {}))
    return sweep.part(edge, g, values=values, out=out)


# ── variances, and what depends on more than it seems ─────────────────────────────────────────


def _of_variances(sweep: Sweep, edge: Edge, record: Record) -> Iterator[EdgeMistake]:
    op, params = cast(Any, record.op), record.params or {}
    if "correction" in params:
        other = {**params, "correction": 0.0 if params["correction"] else 1.0}
        yield EdgeMistake("n-against-n-1", lambda s, e, g: s.part(e, g, params=other))
    elif op.name == "div" and edge.slot == 0:
        count, divisor = _count_of_sum(sweep, record), sweep.values(edge.source)[1]
        summed = sweep.graph.records[record.operands[0]]
        if count > 1 and _is_square(sweep, summed.operands[0]) and type(divisor) is float:
            used = 2 * count - 1 - divisor  # the other of the two
            if used > 0.0 and divisor in (count, count - 1.0):
                yield EdgeMistake("n-against-n-1", scaled(divisor / used))
    elif op.name == "mean":
        count = averaged(sweep.values(edge.source)[0], params.get("dim"))
        if count > 1 and _is_square(sweep, record.operands[0]):
            yield EdgeMistake("n-against-n-1", scaled(count / (count - 1.0)))


def _is_square(sweep: Sweep, node: int) -> bool:
    record = sweep.graph.records[node]
    name = None if record.op is None else record.op.name
    if name in ("pow", "mul"):
        first, second = record.operands
        return first == second or sweep.graph.records[second].value == 2.0
    return name == "square"


def _of_constants(record: Record) -> Iterator[EdgeMistake]:
    name = cast(Any, record.op).name
    if name == "softmax":
        yield EdgeMistake("detached", _sum_is_constant, "the sum that it divides by")
    elif name == "log_softmax":
        yield EdgeMistake("detached", _without_local, "the sum under the logarithm")
    elif name in ("layer_norm", "batch_norm"):
        for mean, variance, detail in (
            (True, True, "mean and variance"),
            (True, False, "the mean"),
            (False, True, "the variance"),
        ):
            rule = _statistics_constant(mean=mean, variance=variance)
            yield EdgeMistake("detached", rule, detail)


def _sum_is_constant(sweep: Sweep, edge: Edge, g: Value) -> Value:
    return fitted(g * sweep.graph.records[edge.source].value, sweep.values(edge.source)[0])


def _statistics_constant(*, mean: bool, variance: bool) -> EdgeRule:
    def rule(sweep: Sweep, edge: Edge, g: Value) -> Value:
        if edge.slot != 0:
            return sweep.part(edge, g)
        params = sweep.graph.records[edge.source].params or {}
        dims, eps = params["dims"], params["eps"]
        a, *rest = sweep.values(edge.source)
        scale = cast(Any, g) * rest[0] if rest else cast(Any, g)
        distance = a - np.mean(a, axis=dims, keepdims=True)
        root = np.sqrt(np.mean(distance**2, axis=dims, keepdims=True) + eps)
        hat = distance / root
        if not variance:
            scale = scale - hat * np.mean(scale * hat, axis=dims, keepdims=True)
        if not mean:
            scale = scale - np.mean(scale, axis=dims, keepdims=True)
        return fitted(scale / root, a)

    return rule
