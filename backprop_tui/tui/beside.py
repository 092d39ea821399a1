"""What stands beside the gradients by hand: torch's and the numeric ones, as they come in."""

from __future__ import annotations

from backprop_tui.engine.operations import Value
from backprop_tui.tui.gradients_view import Verdict


class NothingBeside:
    """Before the first answer has come."""

    def torch_text(self) -> str:
        return "loading"

    def torch(self, node: int) -> Value | None:
        return None

    def numeric(self, node: int) -> Value | None:
        return None

    def difference(self, node: int) -> float | None:
        return None

    def verdict(self, node: int) -> Verdict | None:
        return None
