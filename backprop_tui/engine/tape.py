"""The tape: a program is run once, and every operation writes down what it did.

A lesson's function is called with `Var` handles instead of arrays. Each operation on a handle
appends one record to the tape; `Tape.graph` turns the records into an immutable `Graph`.
A scalar is a Python float, everything else a float64 array that cannot be written to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple, cast

import numpy as np

from backprop_tui.engine.operations import Array, Operation, Value
from backprop_tui.engine.operations.arithmetic import Add, Div, Mul, Neg, Pow, Sub
from backprop_tui.engine.operations.functions import Abs
from backprop_tui.engine.operations.products import Dot, MatrixMatrix, MatrixVector, VectorMatrix
from backprop_tui.engine.operations.shapes import Index, Transpose
from backprop_tui.engine.provenance import Locator, Place

Params = dict[str, Any]


class Record(NamedTuple):
    """One line of the tape."""

    op: type[Operation] | None
    """None for leaves and constants."""

    operands: tuple[int, ...]
    value: Value
    params: Params | None
    place: Place | None
    """None for leaves and constants, and on a tape that keeps no places."""


class UnsupportedProgram(Exception):
    """The program does something that the tape cannot record; the text says what, in words."""


class Tape:
    """Collects the records of one run."""

    __slots__ = ("_constants", "_locator", "leaves", "records")

    def __init__(self, main: CodeType | None = None, *, places: bool = True) -> None:
        """`main` is the code of the function that is run; see `Locator`."""
        self.records: list[Record] = []
        self.leaves: dict[str, int] = {}
        self._constants: dict[float, int] = {}
        self._locator = Locator(main) if places else None

    def leaf(self, name: str, value: Value) -> Var:
        """Put an input or weight on the tape. Its value is copied and frozen."""
        if type(value) is not float:
            value = _frozen(value)
        self.leaves[name] = len(self.records)
        return self._append(Record(None, (), value, None, None))

    def constant(self, value: object) -> int:
        """The index of a constant; a number that occurs again is the same constant."""
        if isinstance(value, bool | int | float | np.floating | np.integer | np.bool_):
            number = float(value)
            index = self._constants.get(number)
            if index is None or number == 0.0:  # 0.0 and -0.0 are equal, but not the same
                index = self._append(Record(None, (), number, None, None)).index
                self._constants[number] = index
            return index
        if isinstance(value, np.ndarray | list | tuple):
            return self._append(Record(None, (), _frozen(np.asarray(value)), None, None)).index
        raise UnsupportedProgram(f"a {type(value).__name__} cannot be used in a calculation")

    def record(
        self, op: type[Operation], operands: Sequence[object], params: Params | None = None
    ) -> Var:
        """Apply an operation and write it down.

        Must be called by a function that the program itself calls: the frame two levels up is
        taken for the program's.
        """
        place = None if self._locator is None else self._locator.locate(sys._getframe(2))
        records = self.records
        indices = tuple(
            [self._index(o) if type(o) is Var else self.constant(o) for o in operands]  # noqa: C419
        )
        values = [records[i][2] for i in indices]
        try:
            value = op.forward(*values) if params is None else op.forward(*values, **params)
        except (ArithmeticError, ValueError):
            value = _ieee(op, values, params)
        if type(value) is not float and type(value) is not np.ndarray:
            value = float(value)
        elif type(value) is np.ndarray:
            if value.ndim == 0:
                value = float(value)
            else:
                value.flags.writeable = False
        var = Var(self, len(records), value)
        records.append(Record(op, indices, value, params, place))
        return var

    def _index(self, var: Var) -> int:
        if var.tape is not self:
            raise UnsupportedProgram("a value of another run cannot be used in this one")
        return var.index

    def _append(self, record: Record) -> Var:
        self.records.append(record)
        return Var(self, len(self.records) - 1, record.value)


def _frozen(value: Any) -> Value:
    array = np.array(value, dtype=np.float64)
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


def _ieee(op: type[Operation], values: list[Value], params: Params | None) -> Any:
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


def _binary(op: type[Operation]) -> tuple[Callable[[Var, object], Var], ...]:
    """The operator method and its reflected form."""

    def method(self: Var, other: object) -> Var:
        return self.tape.record(op, (self, other))

    def reflected(self: Var, other: object) -> Var:
        return self.tape.record(op, (other, self))

    return method, reflected


def product(a: Var | Array, b: Var | Array) -> type[Operation]:
    """The operation for a @ b, chosen by the operands' ranks."""
    ranks = (np.ndim(_plain(a)), np.ndim(_plain(b)))
    op = _PRODUCTS.get(ranks)
    if op is None:
        raise UnsupportedProgram(
            f"@ multiplies vectors and matrices; here the operands have {ranks[0]} "
            f"and {ranks[1]} dimensions"
        )
    inner = np.shape(_plain(a))[-1], np.shape(_plain(b))[0]
    if inner[0] != inner[1]:
        raise UnsupportedProgram(
            f"@ needs matching inner sizes; here they are {inner[0]} and {inner[1]}"
        )
    return op


_PRODUCTS: dict[tuple[int, int], type[Operation]] = {
    (1, 1): Dot,
    (2, 1): MatrixVector,
    (1, 2): VectorMatrix,
    (2, 2): MatrixMatrix,
}


def matrix_transposed(a: Var) -> Params:
    """The parameters for a.T; a vector stays as it is, as in torch."""
    if a.ndim > 2:
        raise UnsupportedProgram(
            f".T is for a matrix; here are {a.ndim} dimensions: use transpose(a, dim0, dim1)"
        )
    return {"dim0": 0, "dim1": -1}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Var) else value


class Var:
    """A value on a tape, as the program sees it. Behaves like a torch tensor where it can."""

    __slots__ = ("index", "tape", "value")

    __array_ufunc__ = None  # numpy arrays on the left leave the operation to us

    def __init__(self, tape: Tape, index: int, value: Value) -> None:
        self.tape = tape
        self.index = index
        self.value = value

    __add__, __radd__ = _binary(Add)
    __sub__, __rsub__ = _binary(Sub)
    __mul__, __rmul__ = _binary(Mul)
    __truediv__, __rtruediv__ = _binary(Div)
    __pow__, __rpow__ = _binary(Pow)

    def __neg__(self) -> Var:
        return self.tape.record(Neg, (self,))

    def __abs__(self) -> Var:
        return self.tape.record(Abs, (self,))

    def __matmul__(self, other: Any) -> Var:
        return self.tape.record(product(self, other), (self, other))

    def __rmatmul__(self, other: Any) -> Var:
        return self.tape.record(product(other, self), (other, self))

    def __getitem__(self, index: Any) -> Var:
        return self.tape.record(Index, (self,), {"index": index})

    def __setitem__(self, index: Any, value: Any) -> None:
        raise UnsupportedProgram(
            "a value cannot be changed in place; write a new one, for example with cat or stack"
        )

    @property
    def T(self) -> Var:  # noqa: N802 (torch's name)
        """The matrix transposed."""
        return self.tape.record(Transpose, (self,), matrix_transposed(self))

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
