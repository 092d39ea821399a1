"""Arrays that a program makes itself: `xp.zeros(3)`, `xp.tensor([0, 2, 1])`, masks.

They are constants, so here they are plain numpy arrays; under torch the same calls make tensors.
Floats are float64 in both, whole numbers int64: those serve as indices and as targets.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.tape import UnsupportedProgram, Var

AnyArray = NDArray[Any]

float64, double, int64, long = np.float64, np.float64, np.int64, np.int64
"""The types that a constant may have, under torch's names."""


def tensor(data: Any, dtype: Any = None) -> AnyArray:
    """An array of the given (nested) list of numbers."""
    if isinstance(data, Var) or _holds_values(data):
        raise UnsupportedProgram(
            "tensor takes plain numbers; to join calculated values use stack or cat"
        )
    array = np.array(data, dtype=dtype)
    return array if dtype is not None or array.dtype.kind in "biu" else array.astype(np.float64)


def _holds_values(data: Any) -> bool:
    return isinstance(data, list | tuple) and any(
        isinstance(part, Var) or _holds_values(part) for part in data
    )


def _sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    """`zeros(2, 3)` and `zeros((2, 3))` alike."""
    one = len(size) == 1 and isinstance(size[0], tuple | list)
    return tuple(size[0]) if one else size


def zeros(*size: Any, dtype: Any = np.float64) -> AnyArray:
    """Zeros of a shape."""
    return np.zeros(_sizes(size), dtype)


def ones(*size: Any, dtype: Any = np.float64) -> AnyArray:
    """Ones of a shape."""
    return np.ones(_sizes(size), dtype)


def zeros_like(input: Any) -> AnyArray:
    """Zeros of the shape of a value or array."""
    return np.zeros_like(_array(input))


def ones_like(input: Any) -> AnyArray:
    """Ones of the shape of a value or array."""
    return np.ones_like(_array(input))


def full(size: Any, fill_value: float, dtype: Any = None) -> AnyArray:
    """A shape filled with one number; whole numbers and truth values keep their type."""
    return np.full(tuple(size), fill_value, dtype)


def eye(n: int, m: int | None = None, dtype: Any = np.float64) -> AnyArray:
    """The identity matrix (n, n), or (n, m) with ones on its diagonal."""
    return np.eye(n, m, dtype=dtype)


def arange(start: Any, end: Any = None, step: Any = 1, dtype: Any = None) -> AnyArray:
    """start, start + step, … below end; whole numbers if all three are."""
    if end is None:
        start, end = 0, start
    return cast(AnyArray, np.arange(start, end, step, dtype=dtype))


def linspace(start: float, end: float, steps: int) -> AnyArray:
    """So many numbers at equal distances, both ends among them."""
    return np.linspace(start, end, steps)


def tril(input: Any, diagonal: int = 0) -> AnyArray:
    """A constant matrix with zeros above a diagonal."""
    return np.tril(_constant(input), diagonal)


def triu(input: Any, diagonal: int = 0) -> AnyArray:
    """A constant matrix with zeros below a diagonal."""
    return np.triu(_constant(input), diagonal)


def _array(input: Any) -> AnyArray:
    return np.asarray(input.value if isinstance(input, Var) else input)


def _constant(input: Any) -> AnyArray:
    if isinstance(input, Var):
        raise UnsupportedProgram(
            "tril and triu are for masks; multiply a calculated value by tril(ones(…)) instead"
        )
    return np.asarray(input)
