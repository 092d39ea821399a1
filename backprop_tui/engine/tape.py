"""The tape: a program is run once, and every operation writes down what it did.

A lesson's function is called with `Var` handles instead of arrays. Each operation on a handle
appends one record to the tape; `Tape.graph` turns the records into an immutable `Graph`.
A scalar is a Python float, everything else a float64 array that cannot be written to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, cast

import numpy as np

from backprop_tui.engine.operations import Array, Operation, Value
from backprop_tui.engine.operations.arithmetic import Add, Div, Mul, Neg, Pow, Sub
from backprop_tui.engine.operations.arrangement import Exchange
from backprop_tui.engine.operations.contractions import (
    BatchedMatmul,
    BatchedMatrixVector,
    VectorBatchedMatrix,
)
from backprop_tui.engine.operations.functions import Abs
from backprop_tui.engine.operations.products import Dot, MatrixMatrix, MatrixVector, VectorMatrix
from backprop_tui.engine.operations.shapes import Index, Transpose
from backprop_tui.engine.provenance import Locator, RawPlace

_getframe = sys._getframe
_ARRAY = np.ndarray

Params = dict[str, Any]

_NUMBERS = (bool, int, float, np.floating, np.integer, np.bool_)

RawRecord = tuple[type[Operation] | None, tuple[int, ...], Value, Params | None, RawPlace | None]
"""One line of the tape: operation, operands, value, parameters and place; a plain tuple, as these
are made by the thousand. `Graph.records` gives them names."""


class UnsupportedProgram(Exception):
    """The program does something that the tape cannot record; the text says what, in words."""


class Tape:
    """Collects the records of one run."""

    __slots__ = (
        "_locator", "_numbers", "constants", "detached", "held", "leaves", "records", "spot",
    )  # fmt: skip

    def __init__(self, main: CodeType | None = None, *, places: bool = True) -> None:
        """`main` is the code of the function that is run; see `Locator`."""
        self.records: list[RawRecord] = []
        self.leaves: dict[str, int] = {}
        self.constants: list[int] = []
        """The indices of the numbers and arrays that the program brought along."""
        self.detached: list[int] = []
        """The indices of the values to which no gradient is sent."""
        self.held: Sequence[Value] | None = None
        """What the detached values are to be instead of what is calculated, in order."""
        self._numbers: dict[object, tuple[int, float]] = {}
        self._locator = Locator(main) if places else None
        self.spot = None if self._locator is None else self._locator.spot
        """Finds a frame's place; None on a tape that keeps no places."""

    def close(self) -> None:
        """The run is over: let go of what served only to find places."""
        if self._locator is not None:
            self._locator.close()

    def leaf(self, name: str, value: Value) -> Var:
        """Put an input or weight on the tape. Its value is copied and frozen."""
        if type(value) is not float:
            value = _frozen(value)
        self.leaves[name] = len(self.records)
        self.records.append((None, (), value, None, None))
        return _var(self, len(self.records) - 1, value)

    def constant(self, value: object) -> tuple[int, Value]:
        """The index and value of a constant; a number that occurs again is the same constant."""
        if isinstance(value, _NUMBERS):
            number = float(value)
            # 0.0 and -0.0 are equal, but not the same.
            key: object = number if number else ("zero", math.copysign(1.0, number))
            known = self._numbers.get(key)
            if known is None:
                known = self._numbers[key] = (len(self.records), number)
                self._append_constant(number)
            return known
        if isinstance(value, np.ndarray | list | tuple):
            array = _frozen(np.asarray(value))
            self._append_constant(array)
            return len(self.records) - 1, array
        raise UnsupportedProgram(f"a {type(value).__name__} cannot be used in a calculation")

    def _append_constant(self, value: Value) -> None:
        self.constants.append(len(self.records))
        self.records.append((None, (), value, None, None))

    def operand(self, operand: object) -> tuple[int, Value]:
        """The index and value of an operand: a value of this tape, or a constant."""
        if type(operand) is float or type(operand) is int:
            known = self._numbers.get(operand)
            if known is not None:
                return known
        if type(operand) is not Var:
            return self.constant(operand)
        if operand.tape is not self:
            raise UnsupportedProgram("a value of another run cannot be used in this one")
        return operand.index, operand.value

    def detach(self, var: Var) -> None:
        """No gradient is to be sent to this value, the last one recorded, from here on."""
        position = len(self.detached)
        self.detached.append(var.index)
        if self.held is not None and position < len(self.held):
            op, operands, _, params, place = self.records[var.index]
            var.value = self.held[position]
            self.records[var.index] = (op, operands, var.value, params, place)

    def record(
        self, op: type[Operation], operands: Sequence[object], params: Params | None = None
    ) -> Var:
        """Apply an operation and write it down.

        Must be called by a function that the program itself calls: the frame two levels up is
        taken for the program's.
        """
        indices: list[int] = []
        values: list[Value] = []
        for operand in operands:
            if type(operand) is Var and operand.tape is self:
                index, value = operand.index, operand.value
            else:
                index, value = self.operand(operand)
            indices.append(index)
            values.append(value)
        try:
            value = op.forward(*values) if params is None else op.forward(*values, **params)
        except (ArithmeticError, ValueError):
            value = _ieee(op, values, params)
        if type(value) is not float:
            value = _settled(value)
        place = None if self.spot is None else self.spot(_getframe(2))
        self.records.append((op, tuple(indices), value, params, place))
        return _var(self, len(self.records) - 1, value)


def _frozen(value: Any) -> Value:
    array = np.array(value, dtype=np.float64)
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


def _settled(value: Any) -> Value:
    """A result as it is kept: numpy's single numbers become floats."""
    return value if type(value) is np.ndarray and value.ndim else float(value)


def _ieee(op: type[Operation], values: Sequence[Value], params: Params | None) -> Any:
    """Where Python's own arithmetic refuses (1/0, log of −1, overflow): inf and nan, as torch."""
    arrays = [np.float64(v) if type(v) is float else v for v in values]
    with np.errstate(all="ignore"):
        return op.forward(*arrays, **(params or {}))


def tape_of(operands: Sequence[object]) -> Tape:
    """The tape that the operands are on."""
    for operand in operands:
        if type(operand) is Var:
            return operand.tape
    raise UnsupportedProgram("an operation needs at least one value that depends on a leaf")


# The two functions below do what `Tape.record` does, for one and for two operands and without
# its lists and calls: most operations of most programs pass here, and take half as long for it.


def unary(op: type[Operation], depth: int = 1) -> Callable[..., Var]:
    """The function that records an operation with one operand, and parameters if it has any.

    The program's frame is `depth` above: 2 for a function that is called by ours.
    """
    forward = op.forward

    def function(input: Var, params: Params | None = None) -> Var:
        if type(input) is not Var:
            tape_of((input,))
        tape, a = input.tape, input.value
        try:
            value = forward(a) if params is None else forward(a, **params)
        except (ArithmeticError, ValueError):
            value = _ieee(op, (a,), params)
        if type(value) is not float and (type(value) is not _ARRAY or not value.ndim):
            value = float(value)  # numpy's single numbers become floats
        records, spot = tape.records, tape.spot
        place = None if spot is None else spot(_getframe(depth))
        var = Var()  # written out, as a call of __init__ takes as long as all the rest of it
        var.tape, var.index, var.value = tape, len(records), value
        records.append((op, (input.index,), value, params, place))
        return var

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.__doc__
    return function


def binary(op: type[Operation], depth: int = 1) -> Callable[[Any, Any], Var]:
    """The function that records an operation with two operands; either may be a constant."""
    forward = op.forward

    def function(input: Any, other: Any) -> Var:
        if type(input) is Var:
            tape, i, a = input.tape, input.index, input.value
        else:
            tape = tape_of((input, other))
            i, a = tape.constant(input)
        if type(other) is Var and other.tape is tape:
            j, b = other.index, other.value
        else:
            j, b = tape.operand(other)
        try:
            value = forward(a, b)
        except (ArithmeticError, ValueError):
            value = _ieee(op, (a, b), None)
        if type(value) is not float and (type(value) is not _ARRAY or not value.ndim):
            value = float(value)  # numpy's single numbers become floats
        records, spot = tape.records, tape.spot
        place = None if spot is None else spot(_getframe(depth))
        var = Var()
        var.tape, var.index, var.value = tape, len(records), value
        records.append((op, (i, j), value, None, place))
        return var

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.__doc__
    return function


def reflected(op: type[Operation]) -> Callable[[Any, Any], Var]:
    """The same for a number or array on the left of an operator."""

    def function(self: Var, other: object) -> Var:
        return self.tape.record(op, (other, self))

    return function


def product(a: Any, b: Any) -> Callable[[Any, Any], Var]:
    """What records a @ b, chosen by the operands' ranks."""
    left, right = np.asarray(_plain(a)), np.asarray(_plain(b))
    found = _PRODUCTS.get((left.ndim, right.ndim))
    if found is None:
        if not (left.ndim and right.ndim):
            raise UnsupportedProgram(
                f"@ multiplies vectors and matrices; here the operands have {left.ndim} "
                f"and {right.ndim} dimensions"
            )
        found = _BATCHED if right.ndim > 1 else _BATCHED_VECTOR
        if left.ndim == 1:
            found = _VECTOR_BATCHED
        _check_batches(left.shape[:-2], right.shape[:-2])
    if left.shape[-1] != right.shape[-2 if right.ndim > 1 else 0]:
        inner = right.shape[-2:][0]
        raise UnsupportedProgram(
            f"@ needs matching inner sizes; here they are {left.shape[-1]} and {inner}"
        )
    return found


def _check_batches(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        raise UnsupportedProgram(
            f"@ needs batches that can be broadcast; here they are {left} and {right}"
        ) from None


_PRODUCTS: dict[tuple[int, int], Callable[[Any, Any], Var]] = {
    (1, 1): binary(Dot, 2),
    (2, 1): binary(MatrixVector, 2),
    (1, 2): binary(VectorMatrix, 2),
    (2, 2): binary(MatrixMatrix, 2),
}
_BATCHED, _BATCHED_VECTOR = binary(BatchedMatmul, 2), binary(BatchedMatrixVector, 2)
_VECTOR_BATCHED = binary(VectorBatchedMatrix, 2)


def matrix_transposed(a: Var) -> Params:
    """The parameters for a.T; a vector stays as it is, as in torch."""
    if type(a.value) is not float and a.ndim > 2:
        raise UnsupportedProgram(
            f".T is for a matrix; here are {a.ndim} dimensions: use .mT or transpose(a, dim0, dim1)"
        )
    return _FIRST_AND_LAST


_FIRST_AND_LAST: Params = {"dim0": 0, "dim1": -1}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Var) else value


def _var(tape: Tape, index: int, value: Value) -> Var:
    var = Var()
    var.tape, var.index, var.value = tape, index, value
    return var


_indexed, _transposed, _exchanged = unary(Index, 2), unary(Transpose, 2), unary(Exchange, 2)


class Var:
    """A value on a tape, as the program sees it. Behaves like a torch tensor where it can."""

    __slots__ = ("index", "tape", "value")

    tape: Tape
    index: int
    """Its line on the tape."""

    value: Value

    __array_ufunc__ = None  # numpy arrays on the left leave the operation to us

    __add__, __radd__ = binary(Add), reflected(Add)
    __sub__, __rsub__ = binary(Sub), reflected(Sub)
    __mul__, __rmul__ = binary(Mul), reflected(Mul)
    __truediv__, __rtruediv__ = binary(Div), reflected(Div)
    __pow__, __rpow__ = binary(Pow), reflected(Pow)
    __neg__, __abs__ = unary(Neg), unary(Abs)

    def __matmul__(self, other: Any) -> Var:
        return product(self, other)(self, other)

    def __rmatmul__(self, other: Any) -> Var:
        return product(other, self)(other, self)

    def __getitem__(self, index: Any) -> Var:
        return _indexed(self, {"index": index})

    def __setitem__(self, index: Any, value: Any) -> None:
        raise UnsupportedProgram(
            "a value cannot be changed in place; write a new one, for example with cat or stack"
        )

    @property
    def T(self) -> Var:  # noqa: N802 (torch's name)
        """The matrix transposed."""
        return _transposed(self, matrix_transposed(self))

    @property
    def mT(self) -> Var:  # noqa: N802 (torch's name)
        """The last two dimensions exchanged: each matrix of a batch transposed."""
        if self.ndim < 2:
            raise UnsupportedProgram(f".mT is for matrices; here are {self.ndim} dimensions")
        op = _transposed if self.ndim == 2 else _exchanged
        return op(self, {"dim0": self.ndim - 2, "dim1": self.ndim - 1})

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; () for a scalar."""
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return np.ndim(self.value)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a scalar has no length")
        return self.shape[0]

    def item(self) -> float:
        """The number of a scalar, or of an array with one cell."""
        return self.value if type(self.value) is float else cast(Array, self.value).item()

    __float__ = item

    def __bool__(self) -> bool:
        return bool(self.item())

    # As in torch == compares the values, while the hash is that of the object.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self.value == _plain(other)

    def __ne__(self, other: object) -> Any:
        return self.value != _plain(other)

    def __lt__(self, other: Any) -> Any:
        return self.value < _plain(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > _plain(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= _plain(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= _plain(other)

    def __repr__(self) -> str:
        return f"Var({self.value!r})"
