"""How much rounding a value carries: an estimate, cell by cell, through a whole graph.

Every float64 operation is off by about 1e-16 of what it handles. A sum that cancels keeps that
error while the value shrinks, and everything after it inherits it. So two right answers can
differ by far more than 1e-16 of themselves, and only this tells by how much.

First order: what an operand's error does to a result is found by moving that operand by its error
and looking how far the result moves. It is slow beside a comparison, so it is only asked where
there is something to doubt.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from backprop_tui.engine.broadcasting import shape_of, sum_to_shape
from backprop_tui.engine.graph import Graph
from backprop_tui.engine.operations import Value
from backprop_tui.engine.operations.base import ContributionFunction
from backprop_tui.engine.trace import Trace

UNIT = float(np.finfo(np.float64).eps)


def value_rounding(graph: Graph) -> list[Any]:
    """For each node the rounding in its value, of the value's shape; leaves have none."""
    errors: list[Any] = []
    with np.errstate(all="ignore"):
        for record in graph.records:
            if record.op is None:
                errors.append(np.zeros(shape_of(record.value)))
                continue
            op, params = record.op, record.params or {}
            values = [_wide(graph.records[i].value) for i in record.operands]
            out = _wide(record.value)
            # A sum of products rounds each of its terms, however small the total.
            handled = out if op.elementwise else op.forward(*map(np.abs, values), **params)
            error = UNIT * np.abs(np.where(np.isfinite(handled), handled, out))
            for slot, operand in enumerate(record.operands):
                if errors[operand].any():
                    moved = [*values]
                    moved[slot] = values[slot] + errors[operand]
                    error = error + np.abs(op.forward(*moved, **params) - out)
            # What is infinite stays as it is: −∞ in a masked score carries no rounding.
            errors.append(np.where(np.isinf(out), 0.0, error))
    return errors


def gradient_rounding(trace: Trace, value_errors: list[Any]) -> list[Any]:
    """For each node the rounding in its gradient, of the value's shape."""
    graph = trace.graph
    errors: list[Any] = [np.zeros(shape_of(record.value)) for record in graph.records]
    with np.errstate(all="ignore"):
        for index in range(graph.output, -1, -1):
            record, g = graph.records[index], trace.gradients[index]
            if g is None or record.op is None:
                continue
            op = record.op
            inputs = [g, record.value, *(graph.records[i].value for i in record.operands)]
            noise = [errors[index], value_errors[index]]
            noise += [value_errors[i] for i in record.operands]
            params = record.params or {}
            for slot, target in enumerate(record.operands):
                if not graph.needs_gradient[target]:
                    continue
                extra = {**params, "slot": slot} if op.variadic else params
                sent = partial(_sent, op.contribution_to(slot).function, extra)
                arrays = [_wide(v) for v in inputs]
                exact = sent(arrays)
                error = UNIT * np.abs(exact)
                for position, amount in enumerate(noise):
                    if amount.any():
                        moved = [*arrays]
                        moved[position] = arrays[position] + amount
                        change = np.abs(sent(moved) - exact)
                        # Moved alone, a largest cell is no longer one of the cells it was taken
                        # from, and nothing is its winner: which cell wins counts as fixed.
                        error = error + np.where(np.isnan(change) & np.isfinite(exact), 0.0, change)
                shape = shape_of(graph.records[target].value)
                errors[target] = errors[target] + np.asarray(sum_to_shape(np.asarray(error), shape))
    return errors


def _sent(rule: ContributionFunction, params: dict[str, Any], inputs: list[Any]) -> Any:
    return rule(*inputs, **params)


def _wide(value: Value) -> Any:
    """A scalar as numpy's, whose arithmetic answers inf and nan where Python's refuses."""
    return np.float64(value) if type(value) is float else value
