"""Random programs of one operation each, for every operation.

A maker takes a random generator and returns (program, leaves). Values keep away from kinks and
poles, are asymmetric and never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from case_helpers import (
    Case,
    Maker,
    Rng,
    apart,
    binary,
    broadcastable,
    positive,
    shape,
    signed,
    unary,
)
from network_cases import NETWORK_MAKERS
from product_and_window_cases import MORE_MAKERS

from backprop_tui.engine.operations import Operation
from backprop_tui.engine.operations.arithmetic import Add, Div, Mul, Neg, Pow, Sub
from backprop_tui.engine.operations.functions import (
    Abs,
    Cos,
    Exp,
    Log,
    Maximum,
    Relu,
    Sigmoid,
    Sin,
    Sqrt,
    Tanh,
)
from backprop_tui.engine.operations.products import Dot, MatrixMatrix, MatrixVector, VectorMatrix
from backprop_tui.engine.operations.reductions import Mean, Sum
from backprop_tui.engine.operations.shapes import (
    Cat,
    Index,
    Reshape,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
)


def maximum_of_two(rng: Rng) -> Case:
    full = shape(rng)
    a, _ = apart(rng, broadcastable(rng, full))
    _, b = apart(rng, broadcastable(rng, full))
    return lambda xp, *, a, b: xp.maximum(a, b), {"a": a, "b": b}


def sized(rng: Rng, *lengths: int) -> Any:
    return signed(rng, lengths)


def products(kind: str) -> Maker:
    def make(rng: Rng) -> Case:
        m, n, p = (int(k) for k in rng.integers(1, 5, 3))
        shapes = {
            "dot": ((n,), (n,)),
            "mv": ((m, n), (n,)),
            "vm": ((n,), (n, p)),
            "mm": ((m, n), (n, p)),
        }[kind]
        spelling = int(rng.integers(0, 2))

        def program(xp: Any, *, a: Any, b: Any) -> Any:
            if spelling and kind != "vm":
                return getattr(xp, kind)(a, b)
            return a @ b if spelling else xp.matmul(a, b)

        return program, {"a": sized(rng, *shapes[0]), "b": sized(rng, *shapes[1])}

    return make


def reduction(name: str) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng)
        rank = len(full)
        keepdim = bool(rng.integers(0, 2))
        dims: Any = None
        if rank and rng.random() < 0.75:
            count = int(rng.integers(1, rank + 1))
            chosen = rng.choice(rank, count, replace=False)
            dims = tuple(int(d) - (rank if rng.random() < 0.5 else 0) for d in chosen)
            if count == 1 and rng.random() < 0.7:
                dims = dims[0]
            elif rng.random() < 0.3:
                dims = list(dims)
        if dims is None and not keepdim:
            return lambda xp, *, a: getattr(xp, name)(a), {"a": signed(rng, full)}
        return (
            lambda xp, *, a: getattr(xp, name)(a, dim=dims, keepdim=keepdim),
            {"a": signed(rng, full)},
        )

    return make


def transposed(rng: Rng) -> Case:
    full = shape(rng, 1, 2)
    dims = tuple(int(d) for d in rng.integers(-len(full), len(full), 2))
    return lambda xp, *, a: xp.transpose(a, *dims), {"a": signed(rng, full)}


def reshaped(rng: Rng) -> Case:
    full = shape(rng)
    size = int(np.prod(full))
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    d = int(rng.choice(divisors))
    target = [(d, size // d), (size,), (1, d, -1), (-1,), (d, -1, 1)][int(rng.integers(0, 5))]
    as_method = bool(rng.integers(0, 2))
    return (
        lambda xp, *, a: a.reshape(*target) if as_method else xp.reshape(a, target),
        {"a": signed(rng, full)},
    )


def squeezed(rng: Rng) -> Case:
    full = tuple(1 if rng.random() < 0.5 else n for n in shape(rng))
    if not full or rng.random() < 0.4:
        return lambda xp, *, a: xp.squeeze(a), {"a": signed(rng, full)}
    dim: Any = int(rng.integers(-len(full), len(full)))
    if rng.random() < 0.3:
        dim = (dim,)
    return lambda xp, *, a: xp.squeeze(a, dim), {"a": signed(rng, full)}


def unsqueezed(rng: Rng) -> Case:
    full = shape(rng)
    dim = int(rng.integers(-len(full) - 1, len(full) + 1))
    return lambda xp, *, a: xp.unsqueeze(a, dim), {"a": signed(rng, full)}


def random_index(rng: Rng, full: tuple[int, ...]) -> Any:
    """One index as people write them; lists of rows may repeat."""

    def one(length: int, lists: bool) -> Any:
        kind = int(rng.integers(0, 5 if lists else 4))
        if kind == 0:
            return int(rng.integers(-length, length))
        if kind == 1:
            start, stop = sorted(int(n) for n in rng.integers(0, length + 1, 2))
            return slice(start, max(stop, start + 1))
        if kind == 2:
            return slice(None, None, int(rng.integers(1, 3)))
        if kind == 3:
            return slice(-int(rng.integers(1, length + 1)), None)
        return [int(n) for n in rng.integers(-length, length, int(rng.integers(1, 4)))]

    if not full or rng.random() < 0.2:
        return [None, Ellipsis, (), (None, Ellipsis), (Ellipsis, None)][int(rng.integers(0, 5))]
    parts: list[Any] = []
    for length in full[: int(rng.integers(1, len(full) + 1))]:
        parts.append(one(length, lists=not any(isinstance(p, list) for p in parts)))
    if len(parts) < len(full) and rng.random() < 0.3:
        parts.append(Ellipsis)
    if rng.random() < 0.2:
        parts.insert(int(rng.integers(0, len(parts) + 1)), None)
    return parts[0] if len(parts) == 1 and rng.random() < 0.7 else tuple(parts)


def indexed(rng: Rng) -> Case:
    full = shape(rng)
    index = random_index(rng, full)
    return lambda xp, *, a: a[index], {"a": signed(rng, full)}


def two_lists(rng: Rng) -> Case:
    full = (*(int(n) for n in rng.integers(1, 4, 2)), *shape(rng, 0, 1))
    count = int(rng.integers(1, 5))
    rows = [[int(n) for n in rng.integers(-length, length, count)] for length in full[:2]]
    return lambda xp, *, a: a[rows[0], rows[1]], {"a": signed(rng, full)}


def joined(name: str) -> Maker:
    def make(rng: Rng) -> Case:
        full = shape(rng, 1 if name == "cat" else 0)
        top = len(full) if name == "cat" else len(full) + 1
        dim = int(rng.integers(-top, top))
        shapes = [list(full) for _ in range(3)]
        if name == "cat":
            for other in shapes:
                other[dim] = int(rng.integers(1, 4))
        a, b, c = (signed(rng, tuple(s)) for s in shapes)
        order = [int(n) for n in rng.integers(0, 3, int(rng.integers(1, 5)))]

        def program(xp: Any, *, a: Any, b: Any, c: Any) -> Any:
            return getattr(xp, name)([(a, b, c)[n] for n in order], dim=dim)

        return program, {"a": a, "b": b, "c": c}

    return make


def square_matrix(function: Callable[..., Any]) -> Maker:
    def make(rng: Rng) -> Case:
        n = int(rng.integers(1, 4))
        return lambda xp, *, a: function(xp, a), {"a": signed(rng, (n, n))}

    return make


def vector(function: Callable[..., Any]) -> Maker:
    return lambda rng: (
        lambda xp, *, a: function(xp, a),
        {"a": signed(rng, (int(rng.integers(1, 5)),))},
    )


MAKERS: dict[type[Operation], dict[str, Maker]] = {
    Add: {
        "a+b": binary(lambda xp, a, b: a + b),
        "add": binary(lambda xp, a, b: xp.add(a, b)),
        "x+x": unary(lambda xp, a: a + a),
        "x+2.5": unary(lambda xp, a: a + 2.5),
        "3+x": unary(lambda xp, a: 3 + a),
    },
    Sub: {
        "a-b": binary(lambda xp, a, b: a - b),
        "sub": binary(lambda xp, a, b: xp.sub(a, b)),
        "x-x": unary(lambda xp, a: a - a),
        "2.5-x": unary(lambda xp, a: 2.5 - a),
    },
    Mul: {
        "a*b": binary(lambda xp, a, b: a * b),
        "mul": binary(lambda xp, a, b: xp.mul(a, b)),
        "x*x": unary(lambda xp, a: a * a),
        "-1.5*x": unary(lambda xp, a: -1.5 * a),
    },
    Div: {
        "a/b": binary(lambda xp, a, b: a / b),
        "div": binary(lambda xp, a, b: xp.div(a, b)),
        "x/x": unary(lambda xp, a: a / a),
        "3/x": unary(lambda xp, a: 3 / a),
        "x/4": unary(lambda xp, a: a / 4),
    },
    Neg: {"-x": unary(lambda xp, a: -a), "neg": unary(lambda xp, a: xp.neg(a))},
    Pow: {
        "a**b": binary(lambda xp, a, b: a**b, positive),
        "pow": binary(lambda xp, a, b: xp.pow(a, b), positive),
        "x**x": unary(lambda xp, a: a**a, positive),
        "x**2": unary(lambda xp, a: a**2),
        "x**3.0": unary(lambda xp, a: a**3.0),
        "x**-1.5": unary(lambda xp, a: a**-1.5, positive),
        "x**0": unary(lambda xp, a: a**0),
        "2.5**x": unary(lambda xp, a: 2.5**a),
    },
    Exp: {"exp": unary(lambda xp, a: xp.exp(a)), ".exp": unary(lambda xp, a: a.exp())},
    Log: {"log": unary(lambda xp, a: xp.log(a), positive)},
    Sqrt: {"sqrt": unary(lambda xp, a: xp.sqrt(a), positive)},
    Sin: {"sin": unary(lambda xp, a: xp.sin(a))},
    Cos: {"cos": unary(lambda xp, a: xp.cos(a))},
    Tanh: {"tanh": unary(lambda xp, a: xp.tanh(a))},
    Sigmoid: {"sigmoid": unary(lambda xp, a: xp.sigmoid(a))},
    Relu: {"relu": unary(lambda xp, a: xp.relu(a))},
    Maximum: {
        "maximum": maximum_of_two,
        "max(x,x)": unary(lambda xp, a: xp.maximum(a, a)),
    },
    Abs: {"abs": unary(lambda xp, a: xp.abs(a)), "abs()": unary(lambda xp, a: abs(a))},
    Dot: {"dot": products("dot"), "x@x": vector(lambda xp, a: a @ a)},
    MatrixVector: {
        "mv": products("mv"),
        "x@x[0]": square_matrix(lambda xp, a: a @ a[0]),
    },
    VectorMatrix: {
        "vm": products("vm"),
        "x[0]@x": square_matrix(lambda xp, a: a[0] @ a),
    },
    MatrixMatrix: {
        "mm": products("mm"),
        "x@x": square_matrix(lambda xp, a: a @ a),
        "x@x.T": square_matrix(lambda xp, a: a @ a.T),
    },
    Sum: {"sum": reduction("sum")},
    Mean: {"mean": reduction("mean")},
    Transpose: {
        "transpose": transposed,
        ".T": square_matrix(lambda xp, a: a.T),
        "t": square_matrix(lambda xp, a: xp.t(a)),
        "t(vector)": vector(lambda xp, a: xp.t(a)),
    },
    Reshape: {"reshape": reshaped},
    Squeeze: {"squeeze": squeezed},
    Unsqueeze: {"unsqueeze": unsqueezed},
    Index: {"a[i]": indexed, "a[rows, columns]": two_lists},
    Cat: {"cat": joined("cat")},
    Stack: {"stack": joined("stack")},
}

MAKERS.update(NETWORK_MAKERS)

for _op, _makers in MORE_MAKERS.items():
    MAKERS.setdefault(_op, {}).update(_makers)

NAMED = [(op, name, make) for op, makers in MAKERS.items() for name, make in makers.items()]
"""(operation, case's name, maker) for parametrised tests."""

IDS = [f"{op.__name__}-{name}" for op, name, _ in NAMED]
