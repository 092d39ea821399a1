"""What stands beside the gradients by hand: torch's and the numeric ones, as they come in."""

from __future__ import annotations

from backprop_tui.engine.compare import Comparison, Verdict
from backprop_tui.engine.operations import Value

ROLES = {
    Verdict.AGREE: "agree",
    Verdict.DIFFER: "differ",
    Verdict.KINK: "notice",
    Verdict.NOT_FINITE: "notice",
    Verdict.UNCERTAIN: "notice",
    Verdict.PENDING: "muted",
    Verdict.ABSENT: "muted",
}


class Beside:
    """A comparison as far as it is known, by node."""

    def __init__(
        self, comparison: Comparison | None, torch_text: str, *, torch_expected: bool = True
    ) -> None:
        """`torch_text` stands in torch's column while there is no number."""
        self.comparison = comparison
        self.torch_text = torch_text
        self._awaits_torch = torch_expected and (comparison is None or comparison.torch is None)

    def torch(self, node: int) -> Value | None:
        """Torch's gradient of a node."""
        return None if self.comparison is None else self.comparison.torch_gradient(node)

    def numeric(self, node: int) -> Value | None:
        """The finite difference of a leaf."""
        leaf = self._leaf(node)
        if leaf is None or self.comparison is None:
            return None
        numeric = self.comparison.leaves[leaf].numeric
        return None if numeric is None else numeric.value

    def difference(self, node: int) -> float | None:
        """The largest absolute difference between by hand and torch."""
        if self.comparison is None:
            return None
        difference = self.comparison.gradient_diff(node)
        return None if difference is None else difference.absolute

    def verdict(self, node: int) -> Verdict | None:
        """The verdict on a node; None while torch is still awaited."""
        if self.comparison is None or self._awaits_torch:
            return None
        leaf = self._leaf(node)
        if leaf is not None:
            verdict = self.comparison.leaves[leaf].verdict
        else:
            verdict = self.comparison.verdict(node)
        if verdict is Verdict.ABSENT and self.comparison.torch is None:
            return None  # nothing of torch at all: its column says why
        return None if verdict is Verdict.PENDING else verdict

    def _leaf(self, node: int) -> str | None:
        if self.comparison is None:
            return None
        graph = self.comparison.trace.graph
        return next((name for name, index in graph.leaves.items() if index == node), None)

    def summary(self) -> tuple[str, str] | None:
        """All in all, in a few words, and the role of that text; None while torch is awaited."""
        if self.comparison is None or self.comparison.torch is None:
            return None
        summary = self.comparison.summary()
        if summary.differing:
            return f"torch ✗ differs at {summary.differing[0]}", "differ"
        edges = f", {summary.edges} edges" if summary.edges else ""
        return f"torch ✓ agrees: {summary.nodes} nodes{edges}", "agree"
