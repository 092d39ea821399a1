"""A lesson's run with torch and finite differences beside it: what agrees, and what does not."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass

import numpy as np

from backprop_tui.engine.compare import (
    Comparison,
    Difference,
    LeafComparison,
    Verdict,
    compare,
)
from backprop_tui.engine.graph import Edge, NodeKind
from backprop_tui.engine.numeric import differences
from backprop_tui.engine.operations import Value
from backprop_tui.engine.torch_record import TorchRun
from backprop_tui.engine.verdict import RELATIVE_TOLERANCE
from backprop_tui.lessons.script import ScriptComparison, ScriptRun, compare_script
from backprop_tui.report.script import script_under_torch
from backprop_tui.session import Session
from backprop_tui.values import format_number, format_shape


class NoTorch(Exception):
    """There is nothing from torch; the text says why, in one line."""


class TorchRefused(NoTorch):
    """Torch is there, but the lesson does not run under it."""


@dataclass(frozen=True, slots=True, eq=False)
class GradientRow:
    """A gradient three ways."""

    node: int
    hand: Value | None
    torch: Value | None
    numeric: Value | None
    """For leaves the finite difference."""

    difference: Difference | None
    """By hand from torch; without torch, from the finite difference."""

    agree: bool | None
    """None if there was nothing to compare with."""

    verdict: str

    def difference_text(self) -> str:
        """The largest difference in few digits."""
        return "" if self.difference is None else format_number(self.difference.absolute, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """A lesson's run, and what stands beside it."""

    session: Session
    comparison: Comparison
    torch_problem: str | None = None
    """Why there is nothing from torch, although it was asked for."""

    script_run: ScriptRun | None = None
    """What torch says to the lesson's script, if it has one and torch is there."""

    @property
    def has_torch(self) -> bool:
        """Whether torch stands beside."""
        return self.comparison.torch is not None

    @property
    def unfinished(self) -> bool:
        """Whether there was no time for all finite differences."""
        return self.comparison.numeric is not None and not self.comparison.numeric.complete

    @property
    def leaf_rows(self) -> list[GradientRow]:
        """The leaves' gradients."""
        graph = self.session.trace.graph
        return [self._leaf_row(graph.leaves[n], leaf) for n, leaf in self.comparison.leaves.items()]

    @property
    def node_rows(self) -> list[GradientRow]:
        """The gradients of the other nodes that have a name, in the order of the backward pass."""
        graph = self.session.trace.graph
        named = [n.index for n in graph if n.kind is NodeKind.OPERATION and n.name.named]
        return [self._node_row(index) for index in reversed(named)]

    def _leaf_row(self, index: int, leaf: LeafComparison) -> GradientRow:
        verdicts = (leaf.torch_verdict, leaf.numeric_verdict)
        agree = None if Verdict.AGREE not in verdicts else True
        if Verdict.DIFFER in verdicts:
            agree = False
        return GradientRow(
            index,
            leaf.hand,
            leaf.torch,
            None if leaf.numeric is None else leaf.numeric.value[()],
            leaf.torch_diff or leaf.numeric_diff,
            agree,
            _in_words(leaf.verdict),
        )

    def _node_row(self, index: int) -> GradientRow:
        comparison, verdict = self.comparison, self.comparison.verdict(index)
        return GradientRow(
            index,
            self.session.trace.gradients[index],
            comparison.torch_gradient(index),
            None,
            comparison.gradient_diff(index),
            {Verdict.AGREE: True, Verdict.DIFFER: False}.get(verdict),
            _in_words(verdict) if self.has_torch else "",
        )

    @property
    def numeric_leaves(self) -> int:
        """How many leaves have a finite difference that something can be held against."""
        told = (Verdict.AGREE, Verdict.DIFFER)
        return sum(leaf.numeric_verdict in told for leaf in self.comparison.leaves.values())

    @property
    def agree(self) -> bool:
        """Whether something was compared and nothing differs."""
        compared = self.has_torch or self.numeric_leaves > 0
        script = self.script_comparison
        agree = self.comparison.summary().all_agree and (script is None or script.agree)
        return compared and agree

    @property
    def script_comparison(self) -> ScriptComparison | None:
        """The lesson's script by hand and by torch; None if one of them is missing."""
        script = self.session.lesson.script
        if script is None or self.script_run is None:
            return None
        return compare_script(script, self.script_run)

    def conclusion(self) -> str:
        """The comparison in one sentence."""
        summary = self.comparison.summary()
        beside = f"{count(self.numeric_leaves, 'leaf')} beside finite differences"
        if self.has_torch:
            nodes, edges = count(summary.nodes, "node"), count(summary.edges, "edge")
            beside = f"{nodes} and {edges} beside torch, {beside}"
        elif not self.numeric_leaves:
            return "There is nothing to compare with."
        if summary.differing:
            return f"Not the same: {blame(self.comparison)} (compared: {beside})."
        script = self.script_comparison
        if script is not None:
            if not script.agree:
                return f"The script is not as predicted: {script.mismatches[0]}."
            beside = f"{count(script.statements, 'statement')} of the script, {beside}"
        if summary.absent:
            absent = count(summary.absent, "node")
            return f"Torch has no call for {absent}; nothing else differs: {beside}."
        if self.unfinished:
            return f"Not finished; nothing differs so far: {beside}."
        if not self.has_torch:
            return f"All agree: {beside} (without torch)."
        furthest = format_number(summary.worst_absolute, 2)
        return f"All agree: {beside}; by hand and torch are at most {furthest} apart."


def _in_words(verdict: Verdict) -> str:
    # Nothing is still on its way here: what is pending has been given up.
    word = "not finished" if verdict is Verdict.PENDING else verdict.word
    return f"{verdict.sign} {word}"


def count(number: int, what: str) -> str:
    """`1 leaf`, `1,000 leaves`."""
    plural = "leaves" if what == "leaf" else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


NUMERIC_SECONDS = 30.0
"""How long `show` works on finite differences: a leaf may have 100,000 cells."""


def examine(session: Session, *, use_torch: bool = True) -> Findings:
    """Put torch and finite differences beside a session's run. Does without torch if it must."""
    torch_run, problem = None, None
    if use_torch:
        try:
            torch_run = run_under_torch(session)
        except NoTorch as missing:
            problem = str(missing)
    end = time.monotonic() + NUMERIC_SECONDS
    numeric = differences(
        session.lesson.program,
        session.inputs.leaves,
        session.inputs.sizes,
        should_stop=lambda: time.monotonic() > end,
    )
    comparison = compare(session.trace, torch_run, numeric, torch_expected=False)
    script = session.lesson.script
    script_run = None if script is None or torch_run is None else script_under_torch(script)
    return Findings(session, comparison, problem, script_run)


def run_under_torch(session: Session) -> TorchRun:
    """The lesson under torch itself. Raises NoTorch."""
    try:
        from backprop_tui.reference.torch_run import run_torch
    except ImportError as missing:
        raise NoTorch(f"torch is not installed ({_one_line(missing)})") from missing
    except Exception as broken:  # a damaged installation may raise anything
        raise NoTorch(f"torch does not start: {_one_line(broken)}") from broken
    inputs = session.inputs
    try:
        return run_torch(
            session.lesson.program,
            inputs.leaves,
            inputs.sizes,
            edges=True,
            opened=session.lesson.opening(inputs.opened),
        )
    except Exception as problem:  # torch's word on the lesson's own code
        raise TorchRefused(f"torch cannot run this: {_one_line(problem)}") from problem


def _one_line(problem: Exception) -> str:
    return textwrap.shorten(str(problem) or type(problem).__name__, 160, placeholder=" …")


def blame(comparison: Comparison) -> str:
    """Where by hand and the others part: the first node or edge whose own inputs are right."""
    graph = comparison.trace.graph
    names = graph.names
    for index in range(len(graph)):
        value = comparison.value_diff(index)
        far = value is not None and value.relative > RELATIVE_TOLERANCE
        if far and comparison.verdict(index) is Verdict.DIFFER:
            ours, theirs = graph.records[index].value, comparison.torch_value(index)
            return f"the value of {names[index].id} is {_ours_and_theirs(ours, theirs)}"
    for source in range(len(graph) - 1, -1, -1):
        for slot, target in enumerate(graph.records[source].operands):
            edge = comparison.edge(Edge(source, target, slot))
            wrong = edge is not None and edge.verdict is Verdict.DIFFER
            if edge is not None and wrong and comparison.verdict(source) is not Verdict.DIFFER:
                op = graph.records[source].op
                return (
                    f"what {names[source].id} ({op.name if op else ''}) sends to "
                    f"{names[target].id} is {_ours_and_theirs(edge.hand, edge.torch)}"
                )
    differing = comparison.summary().differing
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return f"the gradients of {', '.join(differing[-3:])}{more}"


def _ours_and_theirs(ours: Value, theirs: Value | None) -> str:
    """The two numbers that are furthest apart, with as many digits as it takes to see it."""
    if theirs is None or np.shape(ours) != np.shape(theirs):
        shape = "missing" if theirs is None else format_shape(np.shape(theirs))
        return f"{format_shape(np.shape(ours))} by hand and {shape} by torch"
    a, b = np.asarray(ours), np.asarray(theirs)
    with np.errstate(all="ignore"):
        apart = np.where(a == b, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    cell = np.unravel_index(int(np.argmax(apart)), a.shape)
    digits = range(5, 18, 3)
    pairs = [(format_number(a[cell], few), format_number(b[cell], few)) for few in digits]
    by_hand, by_torch = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    where = f" in cell [{', '.join(map(str, cell))}]" if cell else ""
    return f"{by_hand} by hand and {by_torch} by torch{where}"
