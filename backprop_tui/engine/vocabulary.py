"""What the names in an operation's formulas stand for, in one use of it.

Most texts need only the operands, `out`, `g` and the parameters. Some functions in them depend
on the use: `expand(g)` copies to the operand's shape, `narrow(g, slot)` takes the part of the
gradient that belongs to one of several operands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop_tui.engine.operations import Operation, Value
from backprop_tui.engine.product_vocabularies import PRODUCT_VOCABULARIES
from backprop_tui.engine.vocabularies import VOCABULARIES

DEFAULTS: dict[str, Any] = {"dim": None, "keepdim": False}
"""The parameters that an operation may leave out."""


def variables(
    op: type[Operation],
    values: Sequence[Value],
    params: Mapping[str, Any] | None = None,
    *,
    out: Value | None = None,
    g: Value | None = None,
    slot: int = 0,
) -> dict[str, Any]:
    """The variables and functions for `formula.evaluate` of one of the operation's texts.

    `out` and `g` are needed for the texts of contributions (`out` also where a text asks for its
    shape), `slot` for those of a variadic operation.
    """
    given = {**DEFAULTS, **(params or {})}
    found: dict[str, Any] = {**given, "out": out, "g": g, "slot": slot, "operands": tuple(values)}
    if not op.variadic:
        found.update(zip(op.operands, values, strict=True))
    first, dim = np.shape(values[0]), given["dim"]
    if op.name in ("sum", "mean"):
        found.update(_of_reduction(first, dim, given["keepdim"]))
    elif op.name == "getitem":
        found["a"] = _Picked(values[0])
        found["scatter"] = lambda g, index: _scatter(g, index, first)
    elif op.name == "cat":
        found["cat"] = np.concatenate
        ends = np.cumsum([np.shape(value)[dim] for value in values])
        found["narrow"] = lambda g, slot: np.split(g, ends[:-1], axis=dim)[slot]
    elif op.name == "stack":
        found["stack"] = np.stack
        found["select"] = lambda g, slot: np.moveaxis(np.asarray(g), dim, 0)[slot]
    elif op.name in PRODUCT_VOCABULARIES:
        known = {**given, "out": out, "g": g, "slot": slot}
        found.update(PRODUCT_VOCABULARIES[op.name](values, known))
    elif op.name in VOCABULARIES:
        found.update(VOCABULARIES[op.name](values, {**given, "out": out, "g": g}))
    return found


def _of_reduction(shape: tuple[int, ...], dim: Any, keepdim: bool) -> dict[str, Any]:
    axes = dim if shape else None

    def expand(g: Any) -> Any:
        kept = np.sum(np.ones(shape), axis=axes, keepdims=True).shape
        return np.reshape(g, kept) * np.ones(shape)

    return {
        "sum": lambda a: np.sum(a, axis=axes, keepdims=keepdim),
        "mean": lambda a: (
            np.sum(a, axis=axes, keepdims=keepdim)
            / np.sum(np.ones(shape), axis=axes, keepdims=keepdim)
        ),
        "count": np.max(np.sum(np.ones(shape), axis=axes), initial=0.0),
        "expand": expand,
    }


class _Picked:
    """An array whose index is taken part by part, numbers first, as torch does."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(part, list) for part in parts):
            return self._array[index]
        dims = self._array.ndim - sum(part not in (None, Ellipsis) for part in map(_plain, parts))
        full: list[Any] = []
        for part in parts:
            full.extend([slice(None)] * dims if part is Ellipsis else [part])
        picked, axis = self._array, 0
        lists: list[tuple[int, list[int]]] = []
        for part in full:
            if part is None:
                picked = np.expand_dims(picked, axis)
            elif isinstance(part, int):
                picked = np.take(picked, part, axis)
                continue
            elif isinstance(part, slice):
                picked = picked[(slice(None),) * axis + (part,)]
            else:
                lists.append((axis, part))
            axis += 1
        if len(lists) == 1:
            return np.take(picked, np.arange(picked.shape[lists[0][0]])[lists[0][1]], lists[0][0])
        where: list[Any] = [slice(None)] * picked.ndim
        for at, rows in lists:
            where[at] = rows
        return picked[tuple(where)]


def _plain(part: Any) -> Any:
    return 0 if isinstance(part, list) else part


def _scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Every cell's gradient added to where the cell was taken from, one by one."""
    back = np.zeros(shape)
    source = np.asarray(_Picked(np.arange(back.size).reshape(shape))[index])
    for cell, amount in zip(np.ravel(source), np.ravel(g), strict=True):
        back.ravel()[cell] += amount
    return back
