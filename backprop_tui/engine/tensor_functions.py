"""More of torch's functions, those that are methods of tensors as well, and `xp.linalg`.

Each must mean what torch's function of that name means.
"""

# mypy: disable-error-code="no-redef"

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.operations import selection, statistics
from backprop_tui.engine.operations.functions import Maximum
from backprop_tui.engine.operations.reductions import Dim
from backprop_tui.engine.tape import UnsupportedProgram, Var, binary, unary


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


def amax(input: Var, dim: Dim = (), keepdim: bool = False) -> Var:
    """The largest cell along dimensions, or of all; at a tie the gradient is shared."""
    return _amax(input, {"dim": _dims(dim), "keepdim": keepdim})


def amin(input: Var, dim: Dim = (), keepdim: bool = False) -> Var:
    """The smallest cell along dimensions, or of all; at a tie the gradient is shared."""
    return _amin(input, {"dim": _dims(dim), "keepdim": keepdim})


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


METHODS = ("var", "std", "norm", "amax", "amin", "max", "min")
"""Those that are methods of tensors too."""


def install_methods() -> None:
    """Let `x.var()` be the same as `xp.var(x)`, as in torch."""
    for name in METHODS:
        setattr(Var, name, globals()[name])
