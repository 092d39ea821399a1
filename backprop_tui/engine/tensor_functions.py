"""More of torch's functions, those that are methods of tensors as well, and `xp.linalg`.

Each must mean what torch's function of that name means.
"""

# mypy: disable-error-code="no-redef"

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations import activations, selection, statistics
from backprop_tui.engine.operations.functions import Maximum
from backprop_tui.engine.operations.reductions import Dim
from backprop_tui.engine.tape import UnsupportedProgram, Var, binary, tape_of, unary


def _dims(dim: Any) -> Any:
    """Dimensions for numpy; none named means all."""
    return (tuple(dim) or None) if isinstance(dim, list | tuple) else dim


# ── statistics ────────────────────────────────────────────────────────────────────────────────

_var, _std, _norm = (unary(op, 2) for op in (statistics.Var, statistics.Std, statistics.Norm))


def _spread(dim: Any, unbiased: Any, correction: float | None, keepdim: bool) -> dict[str, Any]:
    """torch's spellings: var(x), var(x, False), var(x, 0), var(x, 0, unbiased=False), …"""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return {"dim": _dims(dim), "correction": correction, "keepdim": keepdim}


def var(
    input: Var,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Var:
    """The variance; divided by n − 1, or with `unbiased=False` or `correction=0` by n."""
    return _var(input, _spread(dim, unbiased, correction, keepdim))


def std(
    input: Var,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Var:
    """The standard deviation, the root of `var`."""
    return _std(input, _spread(dim, unbiased, correction, keepdim))


def norm(input: Var, p: Any = 2, dim: Dim = None, keepdim: bool = False) -> Var:
    """The length √Σx² of the vectors along `dim`, or of all cells."""
    _euclidean(p)
    return _norm(input, {"dim": _dims(dim), "keepdim": keepdim})


def _linalg_norm(input: Var, ord: Any = None, dim: Dim = None, keepdim: bool = False) -> Var:
    """The same as torch.linalg spells it. With 2 for a matrix torch means another norm."""
    _euclidean(2 if ord is None else ord)
    axes = input.ndim if dim is None else np.size(dim)
    if (ord == "fro" and axes != 2) or (isinstance(ord, int | float) and axes > 1):
        raise UnsupportedProgram("for a matrix only linalg.norm without ord (Frobenius) is there")
    return _norm(input, {"dim": _dims(dim), "keepdim": keepdim})


def _vector_norm(input: Var, ord: Any = 2, dim: Dim = None, keepdim: bool = False) -> Var:
    _euclidean(ord)
    return _norm(input, {"dim": _dims(dim), "keepdim": keepdim})


def _euclidean(p: Any) -> None:
    if p not in (2, "fro"):
        raise UnsupportedProgram(f"only the 2-norm is there, not {p}")


linalg = SimpleNamespace(norm=_linalg_norm, vector_norm=_vector_norm)


# ── the largest and the smallest ──────────────────────────────────────────────────────────────

_amax, _amin = unary(selection.Amax, 2), unary(selection.Amin, 2)
_max, _min = unary(selection.Max, 2), unary(selection.Min, 2)
_maximum = binary(Maximum, 2)


class Chosen(NamedTuple):
    """What max and min return along a dimension."""

    values: Var
    indices: NDArray[np.intp]
    """Where the values stood: the first of several equal ones."""


def _named(input: Var, dim: Any) -> Any:
    """All dimensions by their numbers where none is named: the operation takes None for max()."""
    dims = _dims(dim)
    return tuple(range(input.ndim)) if dims is None else dims


def amax(input: Var, dim: Dim = (), keepdim: bool = False) -> Var:
    """The largest cell along dimensions, or of all; at a tie the gradient is shared."""
    return _amax(input, {"dim": _named(input, dim), "keepdim": keepdim})


def amin(input: Var, dim: Dim = (), keepdim: bool = False) -> Var:
    """The smallest cell along dimensions, or of all; at a tie the gradient is shared."""
    return _amin(input, {"dim": _named(input, dim), "keepdim": keepdim})


def max(input: Var, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest of all cells; with `dim` (values, indices) along it; or of two tensors."""
    if dim is None:
        return _amax(input)
    if not isinstance(dim, int):
        return _maximum(input, dim)
    values = _max(input, {"dim": dim, "keepdim": keepdim})
    return Chosen(values, selection.index_of_first(input.value, dim, keepdim, 1.0))


def min(input: Var, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest of all cells; with `dim` (values, indices) along it."""
    if dim is None:
        return _amin(input)
    values = _min(input, {"dim": dim, "keepdim": keepdim})
    return Chosen(values, selection.index_of_first(input.value, dim, keepdim, -1.0))


# ── functions of a cell, limits, running sums ─────────────────────────────────────────────────

square, reciprocal = unary(activations.Square), unary(activations.Reciprocal)
rsqrt, log1p = unary(activations.Rsqrt), unary(activations.Log1p)
minimum = binary(selection.Minimum)
_clamp, _clamp_min = unary(activations.Clamp, 2), unary(activations.ClampMin, 2)
_clamp_max, _cumsum = unary(activations.ClampMax, 2), unary(activations.CumSum, 2)
_detach = unary(activations.Detach, 2)


def clamp(input: Var, min: float | None = None, max: float | None = None) -> Var:
    """input, but at least min and at most max, which are plain numbers."""
    for limit in (min, max):
        if limit is not None and not isinstance(limit, int | float):
            raise UnsupportedProgram("the limits of clamp must be plain numbers")
    if min is not None and max is not None:
        return _clamp(input, {"low": float(min), "high": float(max)})
    if min is not None:
        return _clamp_min(input, {"low": float(min)})
    if max is not None:
        return _clamp_max(input, {"high": float(max)})
    raise UnsupportedProgram("clamp needs at least one of min and max")


def cumsum(input: Var, dim: int) -> Var:
    """The sums of all cells up to each, along `dim`."""
    return _cumsum(input, {"dim": dim})


def detach(input: Var) -> Var:
    """The value, to which no gradient will be sent; in torch only a method of tensors."""
    found = _detach(input)
    found.tape.detach(found)
    return found


# ── masks and indices ─────────────────────────────────────────────────────────────────────────


def _mask(given: Any, what: str) -> NDArray[np.bool_]:
    array = np.array(given.value if isinstance(given, Var) else given)
    if array.dtype != np.bool_:
        raise UnsupportedProgram(f"{what} must be true or false, as comparisons are")
    return array


def where(condition: Any, input: Any, other: Any) -> Var:
    """`input` where the condition holds, `other` elsewhere; either may be a number."""
    operands = (input, other)
    mask = _mask(condition, "the condition of where")
    return tape_of(operands).record(selection.Where, operands, {"condition": mask})


_masked_fill = unary(selection.MaskedFill, 2)
_gather, _embedding = unary(selection.Gather, 2), unary(selection.Embedding, 2)


def masked_fill(input: Var, mask: Any, value: Any) -> Var:
    """`value`, a plain number, where the mask is set, `input` elsewhere."""
    if isinstance(value, Var):
        raise UnsupportedProgram("masked_fill needs a plain number; use where for two tensors")
    how = {"mask": _mask(mask, "the mask of masked_fill"), "fill": float(value)}
    return _masked_fill(input, how)


def whole_numbers(given: Any, what: str) -> NDArray[np.intp]:
    """Classes, rows or other indices that a program has as a number, a list or an array."""
    array = np.array(given.value if isinstance(given, Var) else given)
    if array.dtype.kind not in "iu":
        raise UnsupportedProgram(f"{what} must be whole numbers")
    return array.astype(np.intp)


def gather(input: Var, dim: int, index: Any) -> Var:
    """For each number in `index` the cell of `input` with that number along `dim`."""
    places = whole_numbers(index, "the index of gather")
    shape = input.shape
    if places.ndim != len(shape):
        raise UnsupportedProgram(
            f"gather needs an index with as many dimensions as its input, {len(shape)}"
        )
    if shape:
        own = dim % len(shape)
        if any(n > m for d, (n, m) in enumerate(zip(places.shape, shape, strict=True)) if d != own):
            raise UnsupportedProgram(
                f"the index of gather must fit into its input; they are {places.shape} and {shape}"
            )
        _in_range(places, shape[own], "the index of gather")
    return _gather(input, {"dim": dim, "index": places})


def embedding(weight: Var, indices: Any) -> Var:
    """The rows of `weight` with the given numbers: torch.embedding, weight first."""
    return _embedding(weight, rows_of(weight, indices))


def rows_of(weight: Var, indices: Any) -> dict[str, Any]:
    """The parameters for looking up rows of a table."""
    rows = whole_numbers(indices, "the indices of embedding")
    if len(weight.shape) != 2:
        raise UnsupportedProgram("embedding needs a table of rows: a matrix")
    _in_range(rows, weight.shape[0], "the indices of embedding")
    return {"index": rows}


def _in_range(indices: NDArray[np.intp], length: int, what: str) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < length):
        raise UnsupportedProgram(f"{what} must be from 0 to {length - 1}")


METHODS = (
    "var", "std", "norm", "amax", "amin", "max", "min", "square", "reciprocal", "rsqrt", "log1p",
    "minimum", "clamp", "cumsum", "detach", "masked_fill", "gather",
)  # fmt: skip
"""Those that are methods of tensors too."""


def install_methods() -> None:
    """Let `x.var()` be the same as `xp.var(x)`, as in torch."""
    for name in METHODS:
        setattr(Var, name, globals()[name])

    def where_method(self: Var, condition: Any, other: Any) -> Var:
        mask = _mask(condition, "the condition of where")
        return self.tape.record(selection.Where, (self, other), {"condition": mask})

    Var.where = where_method  # type: ignore[attr-defined]
