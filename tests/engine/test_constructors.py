"""Arrays that a program makes itself mean the same here and under torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import agrees_with_torch, by_hand

from backprop_tui.engine import xp as ours
from backprop_tui.engine.tape import UnsupportedProgram

MADE: dict[str, Any] = {
    "numbers": lambda xp: xp.tensor([[1.0, 2.5], [3, -4]]),
    "whole numbers": lambda xp: xp.tensor([2, 0, 1]),
    "truth values": lambda xp: xp.tensor([True, False]),
    "one number": lambda xp: xp.tensor(2.5),
    "one whole number": lambda xp: xp.tensor(2),
    "of a type": lambda xp: xp.tensor([1, 2], dtype=xp.float64),
    "long": lambda xp: xp.tensor([1.0, 2.0], dtype=xp.long),
    "zeros": lambda xp: xp.zeros(2, 3),
    "zeros by tuple": lambda xp: xp.zeros((2, 3)),
    "zeros of nothing": lambda xp: xp.zeros(()),
    "ones": lambda xp: xp.ones(2),
    "whole ones": lambda xp: xp.ones(2, dtype=xp.int64),
    "full": lambda xp: xp.full((2, 2), 1.5),
    "full of whole numbers": lambda xp: xp.full((2,), 3),
    "eye": lambda xp: xp.eye(3),
    "wide eye": lambda xp: xp.eye(2, 3),
    "arange": lambda xp: xp.arange(4),
    "arange from": lambda xp: xp.arange(1, 7, 2),
    "arange of numbers": lambda xp: xp.arange(0.5, 2.0, 0.5),
    "linspace": lambda xp: xp.linspace(-1.0, 1.0, 5),
    "tril": lambda xp: xp.tril(xp.ones(3, 3)),
    "tril below": lambda xp: xp.tril(xp.ones(3, 4), diagonal=-1),
    "triu": lambda xp: xp.triu(xp.ones(3, 3), 1),
    "mask": lambda xp: xp.tril(xp.ones(2, 2)) == 0,
    "calculated": lambda xp: xp.arange(3) * 2.0 - xp.ones(3) / 4,
}


@pytest.mark.parametrize("name", MADE)
def test_made_as_torch_makes_it(name: str) -> None:
    made, expected = np.asarray(MADE[name](ours)), MADE[name](torch).numpy()
    assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-15)


@pytest.mark.parametrize("name", ["zeros_like", "ones_like"])
def test_like_a_value(name: str) -> None:
    agrees_with_torch(lambda xp, *, x: x * x + getattr(xp, name)(x), {"x": [[1.0, 2.0]]})
    agrees_with_torch(lambda xp, *, x: x + getattr(xp, name)(xp.ones(2)), {"x": [1.0, 2.0]})


USED: dict[str, Any] = {
    "as rows": lambda xp, *, x: x[xp.tensor([2, 0, 0])] ** 2,
    "as a row": lambda xp, *, x: x[xp.tensor(1)] ** 2,
    "as rows and columns": lambda xp, *, x: x[xp.arange(3), xp.tensor([1, 0, 1])] ** 2,
    "as a mask of rows": lambda xp, *, x: x[xp.tensor([True, False, True])] ** 2,
    "as a factor": lambda xp, *, x: xp.tensor([2.0, 3.0]) * x * xp.tensor([True, False]),
    "in a product": lambda xp, *, x: xp.tril(xp.ones(3, 3)) @ x,
    "behind a product": lambda xp, *, x: x @ xp.eye(2),
    "in cat": lambda xp, *, x: xp.cat([x, xp.zeros(1, 2)]),
    "compared with": lambda xp, *, x: x * (x > xp.tensor([0.0, 2.0])),
}


@pytest.mark.parametrize("name", USED)
def test_used_in_a_program(name: str) -> None:
    agrees_with_torch(USED[name], {"x": [[1.0, -2.0], [0.5, 3.0], [-1.5, 2.5]]}, rel=1e-12)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda xp, *, x: xp.tensor([x, x]), "stack"),
        (lambda xp, *, x: xp.tensor([[1.0, x]]), "stack"),
        (lambda xp, *, x: xp.tril(x), "masks"),
        (lambda xp, *, x: xp.triu(x), "masks"),
        (lambda xp, *, x: xp.ones(3), "calculated from its leaves"),
    ],
)
def test_what_makes_no_constant_is_refused_in_words(program: Any, words: str) -> None:
    with pytest.raises(UnsupportedProgram, match=words):
        by_hand(program, {"x": 2.0})
