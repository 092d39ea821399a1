"""Fused functions in primitive steps: what one call of `xp.softmax` does, one operation a line.

Each form takes `xp` and then the arguments of the function whose name it bears, as torch defines
them, and gives the same result. `xp` may be our operations or torch itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def sigmoid(xp: Any, input: Any) -> Any:
    """1 / (1 + e^−a)."""
    negated = -input
    power = xp.exp(negated)
    denominator = 1 + power
    return 1 / denominator


def tanh(xp: Any, input: Any) -> Any:
    """(e^2a − 1) / (e^2a + 1)."""
    doubled = 2 * input
    power = xp.exp(doubled)
    numerator = power - 1
    denominator = power + 1
    return numerator / denominator


def silu(xp: Any, input: Any) -> Any:
    """a · σ(a)."""
    gate = xp.sigmoid(input)
    return input * gate


def softplus(xp: Any, input: Any) -> Any:
    """log(1 + e^a)."""
    power = xp.exp(input)
    shifted = 1 + power
    return xp.log(shifted)


def logsumexp(xp: Any, input: Any, dim: int, keepdim: bool = False) -> Any:
    """log Σ e^a, with the largest cell subtracted first so that no power overflows."""
    largest = xp.amax(input, dim, keepdim=True)
    shifted = input - largest
    counts = xp.exp(shifted)
    total = xp.sum(counts, dim, keepdim=True)
    logarithm = xp.log(total)
    result = logarithm + largest
    return result if keepdim else xp.squeeze(result, dim)


def softmax(xp: Any, input: Any, dim: int = -1) -> Any:
    """e^a / Σ e^a, with the largest cell subtracted first: it cancels, and no power overflows."""
    largest = xp.amax(input, dim, keepdim=True)
    shifted = input - largest
    counts = xp.exp(shifted)
    total = xp.sum(counts, dim, keepdim=True)
    return counts / total


def log_softmax(xp: Any, input: Any, dim: int = -1) -> Any:
    """a − log Σ e^a, with the largest cell subtracted first."""
    largest = xp.amax(input, dim, keepdim=True)
    shifted = input - largest
    counts = xp.exp(shifted)
    total = xp.sum(counts, dim, keepdim=True)
    logarithm = xp.log(total)
    return shifted - logarithm


def cross_entropy(xp: Any, input: Any, target: Any, reduction: str = "mean") -> Any:
    """Minus the logarithm of the probability that softmax gives to the target's class."""
    logprobs = xp.log_softmax(input, -1)
    if input.ndim == 1:
        return -logprobs[target]
    rows = list(range(len(input)))
    picked = logprobs[rows, target]
    losses = -picked
    return _reduced(xp, losses, reduction)


def mse_loss(xp: Any, input: Any, target: Any, reduction: str = "mean") -> Any:
    """The mean of the squared differences."""
    difference = input - target
    squares = difference**2
    return _reduced(xp, squares, reduction)


def _reduced(xp: Any, losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return xp.mean(losses) if reduction == "mean" else xp.sum(losses)


def linear(xp: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """x Wᵀ + b."""
    product = input @ weight.T
    return product if bias is None else product + bias


def layer_norm(
    xp: Any,
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """Each sample's features minus their mean, over their standard deviation; scaled, shifted."""
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    mean = xp.mean(input, dims, keepdim=True)
    centred = input - mean
    squares = centred**2
    variance = xp.mean(squares, dims, keepdim=True)
    deviation = xp.sqrt(variance + eps)
    normalised = centred / deviation
    return _scaled(normalised, weight, bias)


def batch_norm(
    xp: Any,
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each feature minus its mean over the batch, over its standard deviation; scaled, shifted."""
    mean = xp.mean(input, 0, keepdim=True)
    centred = input - mean
    squares = centred**2
    variance = xp.mean(squares, 0, keepdim=True)
    deviation = xp.sqrt(variance + eps)
    normalised = centred / deviation
    return _scaled(normalised, weight, bias)


def _scaled(normalised: Any, weight: Any, bias: Any) -> Any:
    scaled = normalised if weight is None else normalised * weight
    return scaled if bias is None else scaled + bias


def var(
    xp: Any,
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Any:
    """The sum of the squared differences from the mean, over their number minus `correction`."""
    if isinstance(dim, bool):  # var(x, False)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if dim is None and keepdim:
        dim = tuple(range(input.ndim))
    mean = xp.mean(input) if dim is None else xp.mean(input, dim, keepdim=True)
    centred = input - mean
    squares = centred**2
    total = xp.sum(squares) if dim is None else xp.sum(squares, dim, keepdim=keepdim)
    cells, results = _cells(input), max(1, _cells(total))
    return total / (cells // results - correction)


def _cells(tensor: Any) -> int:
    count = 1
    for length in tensor.shape:
        count *= length
    return count


FORMS: dict[str, Callable[..., Any]] = {
    form.__name__: form
    for form in (
        sigmoid, tanh, silu, softplus, logsumexp, softmax, log_softmax, cross_entropy, mse_loss,
        linear, layer_norm, batch_norm, var,
    )
}  # fmt: skip
"""The forms by the name of the function that they are the steps of."""
