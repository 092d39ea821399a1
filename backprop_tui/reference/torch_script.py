"""A lesson's script under torch itself, statement by statement.

Beside `torch_run` the only module that imports torch. The statements are run as they stand in the
lesson; after each of them every tensor is asked for its own attributes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from backprop_tui.lessons.script import Actual, Script, ScriptRun, TensorState
from backprop_tui.reference.protocol import one_line

MESSAGE_LENGTH = 1000
"""Torch's message is what a learner will meet: it is kept whole."""


def run_script(script: Script) -> ScriptRun:
    """Run the statements one after the other in a namespace with nothing but `torch` in it.

    A statement that torch refuses has its message as its outcome, and the next one is run.
    """
    names: dict[str, Any] = {"torch": torch}
    seen: dict[str, tuple[torch.Tensor, int]] = {}  # each tensor, and the statement that made it
    moments = []
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter(
            "ignore"
        )  # asking a non-leaf for its gradient is what we are here for
        for number, statement in enumerate(script.statements, 1):
            raised = _executed(statement.code, names)
            for name, there in names.items():
                if isinstance(there, torch.Tensor) and (
                    name not in seen or seen[name][0] is not there
                ):
                    seen[name] = (there, number)
            moments.append(Actual(_states(seen), raised))
    return ScriptRun(tuple(moments))


def _executed(code: str, names: dict[str, Any]) -> str | None:
    """Run one statement; what it raised, if it did."""
    try:
        exec(compile(code, "<script>", "exec"), names)
    except Exception as error:
        return one_line(error, MESSAGE_LENGTH)
    return None


def _states(seen: Mapping[str, tuple[torch.Tensor, int]]) -> dict[str, TensorState]:
    return {name: _state(tensor, made) for name, (tensor, made) in seen.items()}


def _state(tensor: torch.Tensor, made: int) -> TensorState:
    """What a tensor says of itself. Raises RuntimeError if it holds more than one number."""
    return TensorState(
        value=float(tensor.item()),
        is_leaf=tensor.is_leaf,
        requires_grad=tensor.requires_grad,
        retains_grad=tensor.retains_grad,
        grad=None if tensor.grad is None else float(tensor.grad.item()),
        grad_fn=None if tensor.grad_fn is None else tensor.grad_fn.name(),
        made=made,
    )
