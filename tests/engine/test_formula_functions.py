"""More of the functions that formulas use, held against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from backprop_tui.engine.formula import FUNCTIONS, Symbol, as_text, evaluate, render
from backprop_tui.engine.formula_functions import MORE_FUNCTIONS, beside, hide, max_pool, pad, won

RNG = np.random.default_rng(5)


def drawn(*shape: int) -> Any:
    return RNG.uniform(-1.5, 1.5, shape)


SHAPES = [
    # the input, the kernels
    ((1, 6), (1, 1, 3)),
    ((3, 7), (2, 3, 2)),
    ((2, 5), (4, 2, 5)),
    ((1, 3, 3), (1, 1, 2, 2)),
    ((2, 4, 6), (3, 2, 2, 3)),
]


@pytest.mark.parametrize(("input", "kernels"), SHAPES)
def test_convolutions_and_their_ways_back_are_torchs(input: Any, kernels: Any) -> None:
    a, w = drawn(*input), drawn(*kernels)
    dims = len(kernels) - 2
    ta, tw = (torch.tensor(v, requires_grad=True) for v in (a, w))
    out = (torch.conv1d if dims == 1 else torch.conv2d)(ta, tw)
    g = drawn(*out.shape)
    out.backward(torch.tensor(g))
    assert ta.grad is not None and tw.grad is not None
    names = {"a": a, "w": w, "g": g, "k": kernels[-1] - 1}
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(evaluate(f"conv{dims}d(a, w)", names), out.detach().numpy(), **close)
    np.testing.assert_allclose(evaluate("correlate(a, g)", names), tw.grad.numpy(), **close)
    if len(set(kernels[2:])) == 1:  # pad adds as much in each direction
        back = evaluate(f"conv{dims}d(pad(g, k), flip(exchange(w, 0, 1)))", names)
        np.testing.assert_allclose(back, ta.grad.numpy(), **close)


@pytest.mark.parametrize(("shape", "size"), [((1, 4, 4), 2), ((2, 6, 4), 2), ((2, 3, 9), 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_and_its_winners_are_torchs(shape: Any, size: int, ties: bool) -> None:
    a = RNG.integers(0, 2, shape).astype(float) if ties else drawn(*shape)
    tensor = torch.tensor(a, requires_grad=True)
    out = torch.max_pool2d(tensor, size)
    np.testing.assert_array_equal(max_pool(a, size), out.detach().numpy())
    g = drawn(*out.shape)
    out.backward(torch.tensor(g))
    assert tensor.grad is not None
    names = {"a": a, "g": g, "n": size}
    np.testing.assert_array_equal(evaluate("won(a, n) * spread(g, n)", names), tensor.grad.numpy())
    assert won(a, size).sum() == g.size  # one for each window, at ties too


def test_pad_leaves_the_channels_alone() -> None:
    assert pad(np.ones((2, 3)), 1).tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0]]


def test_what_is_hidden() -> None:
    scores, inf = drawn(3, 3), np.inf
    np.testing.assert_array_equal(hide(scores, 0), scores)
    mask = [[0, -inf, -inf], [0, 0, -inf], [0, 0, 0]]
    np.testing.assert_array_equal(hide(scores, 1), scores + mask)


def test_beside() -> None:
    assert beside(np.ones((2, 1)), np.zeros((2, 2))).tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("name", ["gelu", "normalised"])
def test_gelu_and_layer_norm_and_their_ways_back_are_torchs(name: str) -> None:
    a, g = drawn(4, 5), drawn(4, 5)
    tensor = torch.tensor(a, requires_grad=True)
    functional = torch.nn.functional
    out = functional.gelu(tensor) if name == "gelu" else functional.layer_norm(tensor, (5,))
    out.backward(torch.tensor(g))
    assert tensor.grad is not None
    back = "g * gelu_slope(a)" if name == "gelu" else "norm_back(g, a)"
    np.testing.assert_allclose(evaluate(f"{name}(a)", {"a": a}), out.detach(), rtol=1e-12)
    found = evaluate(back, {"a": a, "g": g})
    np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_they_are_written_as_they_are_called() -> None:
    assert set(MORE_FUNCTIONS) <= set(FUNCTIONS)

    def symbol(name: str, index: str | None) -> Symbol:
        return Symbol(name, scalar=False)

    text = "won(x, 2) * spread(g, 2) + conv2d(pad(g, 1), flip(exchange(w, 0, 1)))"
    assert as_text(render(text, symbol)) == (
        "won(x, 2) ⊙ spread(g, 2) + conv2d(pad(g, 1), flip(transpose(w, 0, 1)))"
    )
