"""Rearranging, cutting up, multiplying in batches, and what is refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_checks import agrees_with_differences, agrees_with_torch, by_hand, weighted

from backprop_tui.engine.operations.contractions import axes_of, turned_equations
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import UnsupportedProgram

CUBE = np.arange(1.0, 25.0).reshape(2, 3, 4) / 7.0
MATRIX = np.array([[1.0, 2.0, -3.0], [0.5, -1.5, 2.5]])

CORNERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "constant on the left": (lambda xp, *, a: xp.ones(2, 5, 3) @ a, {"a": CUBE}),
    "constant on the right": (lambda xp, *, a: a @ xp.full((4, 1), 0.5), {"a": CUBE}),
    "one batch for all": (lambda xp, *, a, b: a @ b, {"a": MATRIX, "b": CUBE}),
    "batches of length 1": (lambda xp, *, a, b: a @ b, {"a": CUBE[:1], "b": CUBE.mT}),
    "batch of nothing": (lambda xp, *, a, b: xp.sum(a @ b), {"a": CUBE[:0], "b": CUBE[0].T}),
    "sum over nothing": (lambda xp, *, a, b: a @ b, {"a": CUBE[..., :0], "b": CUBE[..., :0].mT}),
    "two batch axes": (
        lambda xp, *, a, b: xp.matmul(a, b),
        {"a": CUBE.reshape(2, 1, 3, 4), "b": CUBE.reshape(3, 4, 2)},
    ),
    "heads": (
        lambda xp, *, a: a.unflatten(-1, (2, 2)).transpose(1, 2).flatten(0, 1).mT @ a[0],
        {"a": CUBE},
    ),
    "transposed away and back": (lambda xp, *, a: a.transpose(0, -1).transpose(2, 0), {"a": CUBE}),
    "transposed with itself": (lambda xp, *, a: a.transpose(1, -2) * a, {"a": CUBE}),
    "permuted scalar": (lambda xp, *, a: xp.permute(a, ()) * a, {"a": 2.0}),
    "expanded scalar": (lambda xp, *, a: a.expand(2, 3), {"a": 2.0}),
    "expanded as it is": (lambda xp, *, a: a.expand(-1, 3) * a, {"a": MATRIX}),
    "repeated scalar": (lambda xp, *, a: a.repeat(3), {"a": 2.0}),
    "tiled less": (lambda xp, *, a: a.tile(2), {"a": MATRIX}),
    "flipped back": (lambda xp, *, a: a.flip(0, 1).flip((1, 0)) * a, {"a": MATRIX}),
    "flat scalar": (lambda xp, *, a: a.flatten() * a, {"a": 2.0}),
    "flat in the middle": (lambda xp, *, a: xp.flatten(a, 1, 2), {"a": CUBE[None]}),
    "split with a rest": (lambda xp, *, a: a.split(3, dim=-1)[1] * 2, {"a": CUBE}),
    "pieces together": (lambda xp, *, a: xp.cat(a.chunk(2, dim=2)[::-1], dim=2), {"a": CUBE}),
    "one piece": (lambda xp, *, a: a.split(99)[0] * a, {"a": CUBE}),
    "more chunks than cells": (lambda xp, *, a: sum(a.chunk(9)), {"a": MATRIX}),
    "empty section": (lambda xp, *, a: xp.cat(a.split([0, 2])[::-1]), {"a": MATRIX}),
    "unbound columns": (lambda xp, *, a: xp.stack(a.unbind(-1)), {"a": MATRIX}),
    "outer with itself": (lambda xp, *, a: xp.outer(a, a), {"a": MATRIX[0]}),
    "outer with a constant": (lambda xp, *, a: xp.outer(a, xp.arange(1.0, 3.0)), {"a": MATRIX[0]}),
    "a layer for one row": (
        lambda xp, *, a, w, b: xp.nn.functional.linear(a, w, b),
        {"a": MATRIX[0], "w": MATRIX, "b": [0.25, -1.5]},
    ),
    "a layer with itself": (lambda xp, *, a: xp.nn.functional.linear(a, a), {"a": MATRIX}),
    "einsum with itself": (lambda xp, *, a: xp.einsum("ij,kj->ik", a, a), {"a": MATRIX}),
    "einsum with a list": (lambda xp, *, a: xp.einsum("i,i", [a[0], a[1]]), {"a": MATRIX}),
    "einsum with a constant": (
        lambda xp, *, a: xp.einsum("ij,j->i", a, xp.tensor([1.0, -2.0, 0.5])),
        {"a": MATRIX},
    ),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(name: str) -> None:
    program, leaves = CORNERS[name]
    rng = np.random.default_rng(1)
    agrees_with_torch(*weighted(program, leaves, rng), rel=1e-12)
    agrees_with_differences(*weighted(program, leaves, rng), rel=1e-5)


@pytest.mark.parametrize(
    ("program", "leaf", "words"),
    [
        (lambda xp, *, x: x @ x, CUBE, "inner sizes; here they are 4 and 3"),
        (lambda xp, *, x: x @ np.ones((3, 4, 2)), CUBE, r"broadcast; here they are \(2,\) and"),
        (lambda xp, *, x: xp.bmm(x, x[0]), CUBE, "3 dimensions each"),
        (lambda xp, *, x: xp.outer(x, x), CUBE, "two vectors"),
        (lambda xp, *, x: x.T, CUBE, "mT"),
        (lambda xp, *, x: x[0, 0].mT, CUBE, "1 dimensions"),
        (lambda xp, *, x: xp.permute(x, (0, 1)), CUBE, "each of the 3"),
        (lambda xp, *, x: x.permute(0, 1, 1), CUBE, "each of the 3"),
        (lambda xp, *, x: xp.transpose(x, 0, 3), CUBE, "no dimension 3"),
        (lambda xp, *, x: x.flatten(2, 1), CUBE, "behind"),
        (lambda xp, *, x: x.unflatten(2, (3, 2)), CUBE, "has not 4 cells"),
        (lambda xp, *, x: x.unflatten(2, (3, -1)), CUBE, "has not 4 cells"),
        (lambda xp, *, x: x.expand(2, 3, 5), CUBE, "cannot be repeated"),
        (lambda xp, *, x: x.expand(3, 4), CUBE, "cannot be repeated"),
        (lambda xp, *, x: x.expand(-1, 2, 3, 4), CUBE, "cannot be repeated"),
        (lambda xp, *, x: x.repeat(2), CUBE, "each of the 3"),
        (lambda xp, *, x: x.split(0), CUBE, "at least one"),
        (lambda xp, *, x: x.split([1, 2]), CUBE, "do not add up to 2"),
        (lambda xp, *, x: x.unbind(3), CUBE, "no dimension 3"),
        (lambda xp, *, x: xp.einsum("ij->i", x), MATRIX, "two operands"),
        (lambda xp, *, x: xp.einsum("ii,ij->j", x, x), MATRIX, "twice in 'ii'"),
        (lambda xp, *, x: xp.einsum("ij,jk->k", x, x), MATRIX, "sum over 'i'"),
        (lambda xp, *, x: xp.einsum("i,j->ij", x, x), MATRIX, "all dimensions"),
        (lambda xp, *, x: xp.einsum("...i,i", x, x), MATRIX, "plain letters"),
        (lambda xp, *, x: xp.nn.functional.linear(x, x.T), MATRIX, r"\(m, n\); here they are"),
        (lambda xp, *, x: xp.nn.functional.linear(x, x, x), MATRIX, r"bias \(2\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(program: Any, leaf: Any, words: str) -> None:
    with pytest.raises(UnsupportedProgram, match=words):
        by_hand(program, {"x": leaf})


def test_pieces_bear_the_names_that_they_are_unpacked_into() -> None:
    def program(xp: Any, *, x: Any) -> Any:
        total = 0
        for t in range(2):
            q, k = x.split([1, 2], dim=1)
            first, _, third = xp.unbind(x, 1)
            total = total + (q * k).sum() * first[t] + third[t]
        return total

    graph = record(program, {"x": MATRIX})
    shapes = {node.id: np.shape(node.value) for node in graph}
    assert (shapes["q[t=0]"], shapes["k[t=1]"]) == ((2, 1), (2, 2))
    np.testing.assert_array_equal(graph[graph.index_of["third[t=1]"]].value, MATRIX[:, 2])


def test_equations_turned_round() -> None:
    assert turned_equations("ik, kj -> ij") == {
        "equation": "ik,kj->ij", "to_a": "ij,kj->ik", "to_b": "ik,ij->kj",
    }  # fmt: skip
    assert turned_equations("zi,iy")["equation"] == "zi,iy->yz"  # in alphabetical order


def test_axes_of_a_broadcast_batch() -> None:
    def program(xp: Any, *, a: Any, b: Any) -> Any:
        return a @ b

    graph = record(program, {"a": CUBE[:, None, :1], "b": np.ones((5, 4, 1))})
    node = graph[graph.output]
    assert node.op is not None
    axes = axes_of(node.op, {}, [(2, 1, 1, 4), (5, 4, 1)])
    assert axes.a == ("batch0", "", "i", "k")
    assert axes.b == ("batch1", "k", "j")
    assert axes.out == ("batch0", "batch1", "i", "j")
    assert axes.lengths == {"batch0": 2, "batch1": 5, "i": 1, "k": 4, "j": 1}


def test_size_is_the_shape() -> None:
    def program(xp: Any, *, x: Any) -> Any:
        assert x.size() == (2, 3) and x.size(-1) == 3
        return x * x.size(0)

    agrees_with_torch(program, {"x": MATRIX})
