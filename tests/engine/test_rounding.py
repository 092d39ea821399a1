"""The estimate of rounding where a program hides scores with −∞."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.engine.verdict import within_rounding

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("form", ["fused", "steps"])
def test_hidden_scores_carry_none_and_spoil_no_other_cell(form: str) -> None:
    hidden = np.triu(np.ones((3, 3)), 1) == 1

    def program(xp: Any, a: Any, g: Any) -> Any:
        scores = a / 3.0  # so that there is some rounding to carry on
        masked = xp.masked_fill(scores, hidden, float("-inf"))
        if form == "fused":
            weights = xp.softmax(masked, -1)
        else:
            largest = xp.amax(masked, -1, keepdim=True)
            counts = xp.exp(masked - largest)
            weights = counts / xp.sum(counts, -1, keepdim=True)
        return xp.sum(g * weights)

    leaves = {name: RNG.uniform(-2.0, 2.0, (3, 3)) for name in ("a", "g")}
    trace = backward(record(program, leaves))
    values = value_rounding(trace.graph)
    for error, node in zip(values, trace.graph, strict=True):
        assert np.isfinite(error).all()
        if node.name.base == "masked":
            assert not error[hidden].any() and error[~hidden].all()
    errors = gradient_rounding(trace, values)
    assert all(np.isfinite(error).all() for error in errors)
    of_scores = errors[trace.graph.index_of["scores"]]
    assert not of_scores[hidden].any() and of_scores[2].all()


def test_infinite_cells_must_be_the_same() -> None:
    inf = np.inf
    assert within_rounding(np.array([inf, 1.0]), np.array([inf, 1.0]), np.zeros(2))
    for other in (-inf, 1e300, np.nan):
        assert not within_rounding(np.array([inf]), np.array([other]), np.zeros(1))
        assert not within_rounding(np.array([inf]), np.array([other]), np.array([inf]))
    assert not within_rounding(np.array([1.0]), np.array([2.0]), np.array([inf]))
    assert within_rounding(np.array([1.0]), np.array([1.0 + 1e-12]), np.array([inf]))
