"""A lesson being worked on: its leaves and sizes, the record of the last run, and the cursor.

Editing makes a new immutable `Inputs`; undo is an older one. Each edit runs the lesson once;
stepping runs nothing. No screen here: the app shows a session, and so could anything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import zip_longest
from typing import Literal

import numpy as np

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.graph import Group
from backprop_tui.engine.opening import function_called
from backprop_tui.engine.operations import Value
from backprop_tui.engine.primitives import FORMS
from backprop_tui.engine.run import record
from backprop_tui.engine.tape import UnsupportedProgram
from backprop_tui.engine.trace import StepKind, Trace, backward
from backprop_tui.lessons import alternatives
from backprop_tui.lessons.base import (
    AtLeast,
    Lesson,
    as_value,
    default_leaves,
    fit_leaves,
    needed_shape,
    random_values,
)
from backprop_tui.values import format_shape

Granularity = Literal["node", "edge"]
"""How far one move of the cursor goes: a node's whole turn, or a single step."""

UNDO_LIMIT = 500


class EditRefused(ValueError):
    """The edit cannot be made; the text says why, and nothing has changed."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a learner can change."""

    leaves: Mapping[str, Value]
    sizes: Mapping[str, int]
    seed: int | None = None
    """The seed of the last randomising, if that made these leaves."""

    change: str = ""
    """What was changed, in a few words, for undo and redo."""

    opened: frozenset[str] = frozenset()
    """The names of the nodes that are computed in primitive steps (see `engine.opening`)."""


class GradientState(Enum):
    """How much of a node's gradient has arrived at the cursor."""

    NONE = "none"
    """Nothing yet."""

    PARTIAL = "partial"
    """Some contributions, not all."""

    ARRIVED = "arrived"
    """All contributions."""

    NEVER = "never"
    """The node receives none in this pass."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeState:
    """A node as it is at the cursor."""

    computed: bool
    """Whether its value is known already."""

    gradient: Value | None
    """The gradient as far as it has arrived."""

    state: GradientState
    arrived: int
    """How many contributions have arrived."""

    expected: int
    """How many there will be (0 for the output, which is seeded)."""


class Session:
    """A lesson, its inputs with undo, its trace, and a cursor in it."""

    def __init__(
        self,
        lesson: Lesson,
        leaves: Mapping[str, Value] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Start with the lesson's defaults, or the given leaves and sizes.

        The cursor stands at the end of the forward pass. Raises EditRefused if they don't fit.
        """
        self.lesson = lesson
        self.granularity: Granularity = "node"
        chosen = {**lesson.default_sizes(), **(sizes or {})}
        check_sizes(lesson, chosen)
        fitted = default_leaves(lesson, chosen)
        for name, value in (leaves or {}).items():
            value = as_value(value)
            check_leaf(lesson, name, value, chosen)
            fitted[name] = value
        self._undo: list[Inputs] = []
        self._redo: list[Inputs] = []
        self.inputs = Inputs(fitted, chosen, opened=frozenset(lesson.opened))
        self.trace: Trace = self._run(self.inputs)
        self.version = 0
        """Counts the changes of the inputs; answers to older versions are stale."""
        self.position: int = self.trace.steps.backward_start - 1
        """The index of the current step; −1 before the first."""
        self.folded: frozenset[str] = frozenset(
            group.id for group in self.trace.graph.groups if group.function in lesson.folded
        )
        """The ids of the groups that are drawn as one box, and stepped over at once by node."""
        self._stops: tuple[Trace, frozenset[str], tuple[int, ...]] | None = None

    # ── editing ───────────────────────────────────────────────────────────────────────────

    def set_leaf(self, name: str, value: Value) -> None:
        """Give a leaf another value. Raises EditRefused."""
        value = as_value(value)
        check_leaf(self.lesson, name, value, self.inputs.sizes)
        self._change({**self.inputs.leaves, name: value}, f"{name} edited")

    def set_cell(self, name: str, index: tuple[int, ...], number: float) -> None:
        """Change one cell of a leaf; the index of a scalar is (). Raises EditRefused."""
        check_name(self.lesson, name)
        value = self.inputs.leaves[name]
        shape = shape_of(value)
        inside = all(0 <= i < length for i, length in zip(index, shape, strict=False))
        if len(index) != len(shape) or not inside:
            where = ", ".join(map(str, index))
            raise EditRefused(f"{name} is {format_shape(shape)}: it has no cell [{where}]")
        if isinstance(value, float):
            changed: Value = float(number)
        else:
            changed = value.copy()
            changed[index] = number
            changed = as_value(changed)
        where = f"{name}[{', '.join(map(str, index))}]" if index else name
        self._change({**self.inputs.leaves, name: changed}, f"{where} edited")

    def reset(self, name: str | None = None) -> None:
        """Put one leaf, or all leaves, back to the lesson's own values (sizes stay).

        Raises EditRefused.
        """
        defaults = default_leaves(self.lesson, self.inputs.sizes)
        if name is None:
            self._change(defaults, "all leaves reset")
        else:
            check_name(self.lesson, name)
            self._change({**self.inputs.leaves, name: defaults[name]}, f"{name} reset")

    def reset_everything(self) -> None:
        """Back to the lesson's own values and sizes."""
        sizes = self.lesson.default_sizes()
        opened = frozenset(self.lesson.opened)
        leaves = default_leaves(self.lesson, sizes)
        self._apply(Inputs(leaves, sizes, None, "everything reset", opened))

    def randomise(self, seed: int) -> None:
        """Draw all leaves anew; the same seed gives the same numbers."""
        drawn = {
            name: as_value(random_values(f"{seed}/{name}", shape_of(value)))
            for name, value in self.inputs.leaves.items()
        }
        change = f"randomised with seed {seed}"
        self._apply(replace(self.inputs, leaves=drawn, seed=seed, change=change))

    def set_size(self, name: str, number: int) -> None:
        """Change a size; leaves keep what exists and get new cells where needed."""
        sizes = {**self.inputs.sizes, name: number}
        check_sizes(self.lesson, sizes)
        before = self.inputs.leaves
        leaves = fit_leaves(self.lesson, before, sizes)
        same = all(shape_of(leaves[leaf]) == shape_of(before[leaf]) for leaf in leaves)
        seed = self.inputs.seed if same else None  # the seed does not give these numbers
        change = f"{name} = {number}"
        self._apply(Inputs(leaves, sizes, seed, change, self.inputs.opened))

    # ── opening ───────────────────────────────────────────────────────────────────────────

    def openable(self, node: int) -> str | None:
        """The name under which a node can be opened, or closed if it is part of an open one."""
        graph = self.trace.graph
        for group in reversed(graph.groups_around(node)):
            if is_form(self.lesson, self.inputs.opened, group):
                return group.name
        called, place = function_called(graph[node]), graph[node].place
        # What a helper function returns has its caller's name; it opens by the one in the function.
        name = None if place is None else place.site.name
        if called is None or (name not in self.lesson.opens and called not in FORMS):
            return None
        return name

    def openable_names(self) -> list[str]:
        """Everything that can be opened or closed, in the order of the program."""
        names = map(self.openable, range(len(self.trace.graph)))
        return list(dict.fromkeys(name for name in names if name is not None))

    def toggle_open(self, name: str) -> bool:
        """Open a node into its primitive steps, or close it. Says whether it is open now.

        All nodes of that name open together, one for each time step. The cursor stays on the
        node. Raises EditRefused if there is nothing to open.
        """
        opens = name not in self.inputs.opened
        opened = self.inputs.opened ^ {name}
        words = f"{name} opened" if opens else f"{name} closed"
        inputs = replace(self.inputs, opened=opened, change=words)
        if opens:
            groups = self._run(inputs).graph.groups
            if not any(is_form(self.lesson, {name}, group) for group in groups):
                raise EditRefused(f"{name} has no primitive steps")
        self._apply(inputs)
        return opens

    # ── folding ───────────────────────────────────────────────────────────────────────────

    def folded_group(self, node: int) -> Group | None:
        """The outermost folded group that a node belongs to."""
        if not self.folded:
            return None
        around = self.trace.graph.groups_around(node)
        return next((group for group in around if group.id in self.folded), None)

    def toggle_fold(self, node: int) -> Group | None:
        """Unfold the folded group around a node, or else fold the innermost around it.

        Gives the group; None if the node belongs to none.
        """
        group = self.folded_group(node)
        if group is None:
            around = self.trace.graph.groups_around(node)
            group = around[-1] if around else None
        if group is not None:
            self.folded = self.folded ^ {group.id}
        return group

    def fold_all(self) -> bool:
        """Fold every outermost group, or unfold all if any is folded. Says whether any is now."""
        groups = self.trace.graph.groups
        outermost = {group.id for group in groups if group.parent is None}
        self.folded = frozenset() if self.folded & {g.id for g in groups} else frozenset(outermost)
        return bool(self.folded)

    @property
    def stops(self) -> tuple[int, ...]:
        """The positions at which a move by node may end: a folded group counts as one node."""
        known = self._stops
        if known is None or known[0] is not self.trace or known[1] is not self.folded:
            known = self._stops = (self.trace, self.folded, self._found_stops())
        return known[2]

    def _found_stops(self) -> tuple[int, ...]:
        ends = self.trace.steps.turn_ends
        if not self.folded:
            return ends
        found: list[int] = []
        group: Group | None = None
        leaves = 0  # so many leaves have just collected in the middle of the group
        for end in ends:
            kind, node, _ = self.trace.steps.what(end)
            leaf = kind is StepKind.COLLECT and self.trace.graph.records[node].op is None
            if leaf:
                found.append(end)
                leaves += group is not None
                continue
            here = None if kind is StepKind.SEED else self.folded_group(node)
            if here is not None and here is group and found:
                del found[len(found) - 1 - leaves :]
            group, leaves = here, 0
            found.append(end)
        return tuple(found)

    def other_form(self, name: str) -> Trace:
        """The same run with one node the other way: closed if it is open, open if it is closed."""
        return self._run(replace(self.inputs, opened=self.inputs.opened ^ {name}))

    def undo(self) -> str | None:
        """Take the last change back and say what it was; None if there is none."""
        if not self._undo:
            return None
        change = self.inputs.change
        self._redo.append(self.inputs)
        self._show(self._undo.pop())
        return change

    def redo(self) -> str | None:
        """Make the change taken back last once more and say what it is; None if there is none."""
        if not self._redo:
            return None
        self._undo.append(self.inputs)
        self._show(self._redo.pop())
        return self.inputs.change

    def _change(self, leaves: Mapping[str, Value], change: str) -> None:
        self._apply(replace(self.inputs, leaves=leaves, seed=None, change=change))

    def _apply(self, inputs: Inputs) -> None:
        before = self.inputs
        self._show(inputs)
        self._undo.append(before)
        del self._undo[:-UNDO_LIMIT]
        self._redo.clear()

    def _show(self, inputs: Inputs) -> None:
        """Run the lesson on other inputs and keep the cursor on its step."""
        trace = self._run(inputs)
        self.position = _same_step(self.trace, self.position, trace)
        self.folded = _folded_in(trace, self.trace, self.folded, self.lesson)
        self.trace, self.inputs = trace, inputs
        self.version += 1

    def _run(self, inputs: Inputs) -> Trace:
        try:
            opened = self.lesson.opening(inputs.opened)
            return backward(record(self.lesson.program, inputs.leaves, inputs.sizes, opened=opened))
        except UnsupportedProgram as problem:
            raise EditRefused(str(problem)) from problem
        except (ValueError, IndexError, TypeError) as problem:
            # A lesson's own code met shapes that do not go together.
            raise EditRefused(f"the lesson cannot run with this: {problem}") from problem

    # ── moving ────────────────────────────────────────────────────────────────────────────

    @property
    def last_position(self) -> int:
        """The index of the last step."""
        return len(self.trace.steps) - 1

    @property
    def in_backward(self) -> bool:
        """Whether the cursor is in the backward pass."""
        return self.position >= self.trace.steps.backward_start

    @property
    def at_end(self) -> bool:
        """Whether every step has been made."""
        return self.position == self.last_position

    def go_to(self, position: int) -> bool:
        """Move the cursor; out of range goes to the end. Says whether it has moved."""
        position = max(-1, min(position, self.last_position))
        moved = position != self.position
        self.position = position
        return moved

    def next(self) -> bool:
        """One step further, by node or by edge. Says whether the cursor has moved."""
        if self.granularity == "edge":
            return self.go_to(self.position + 1)
        ends = self.stops
        place = int(np.searchsorted(ends, self.position, side="right"))
        return self.go_to(ends[place] if place < len(ends) else self.last_position)

    def previous(self) -> bool:
        """One step towards the beginning. Says whether the cursor has moved."""
        if self.granularity == "edge":
            return self.go_to(self.position - 1)
        ends = self.stops
        place = int(np.searchsorted(ends, self.position, side="left"))
        return self.go_to(ends[place - 1] if place > 0 else -1)

    def next_touch(self, node: int) -> bool:
        """To the next step in which a node takes part: computes, sends, receives or collects.

        After the last one it begins again from the first. Says whether there is any.
        """
        steps = self.trace.steps
        touching = [p for p in range(len(steps)) if node in self.touched(p)]
        later = [p for p in touching if p > self.position]
        if not touching:
            return False
        self.go_to(later[0] if later else touching[0])
        return True

    def touched(self, position: int) -> tuple[int, ...]:
        """The nodes that take part in a step."""
        kind, node, slot = self.trace.steps.what(position)
        if kind is StepKind.SEND:
            return (node, self.trace.graph.records[node].operands[slot])
        return (node,)

    def turn(self) -> range:
        """The positions of the steps of the current turn, as far as the cursor."""
        if self.position < 0:
            return range(0)
        ends = self.stops
        place = int(np.searchsorted(ends, self.position, side="left"))
        start = ends[place - 1] + 1 if place > 0 else 0
        return range(start, self.position + 1)

    def active(self) -> range:
        """The positions that the screen lights up: by node the turn, by edge one step."""
        if self.granularity == "node" or self.position < 0:
            return self.turn()
        return range(self.position, self.position + 1)

    # ── what is known at the cursor ───────────────────────────────────────────────────────

    def node_state(self, index: int) -> NodeState:
        """A node as it is at the cursor."""
        steps, graph = self.trace.steps, self.trace.graph
        made = steps.position
        computed = graph.records[index].op is None
        if not computed:
            computed = made[StepKind.COMPUTE, index, 0] <= self.position
        if index == graph.output:
            seeded = self.position >= steps.backward_start
            state = GradientState.ARRIVED if seeded else GradientState.NONE
            return NodeState(computed, self.trace.gradients[index] if seeded else None, state, 0, 0)
        edges = self.trace.arrivals.get(index, ())
        if not edges:
            return NodeState(computed, None, GradientState.NEVER, 0, 0)
        here = [e for e in edges if made[StepKind.SEND, e.source, e.slot] <= self.position]
        if not here:
            return NodeState(computed, None, GradientState.NONE, 0, len(edges))
        if len(here) == len(edges):
            total = self.trace.gradients[index]
            return NodeState(computed, total, GradientState.ARRIVED, len(here), len(edges))
        so_far = self.trace.contribution(here[0])
        for edge in here[1:]:
            so_far = so_far + self.trace.contribution(edge)  # type: ignore[operator]
        return NodeState(computed, so_far, GradientState.PARTIAL, len(here), len(edges))


def _same_step(old: Trace, position: int, new: Trace) -> int:
    """Where the step at `position` is in another trace; else the nearest earlier one that is."""
    if 0 <= position < len(new.steps) and new.steps.key(position) == old.steps.key(position):
        return position  # the usual case: only numbers have changed
    for earlier in range(position, -1, -1):
        if earlier == old.steps.backward_start:
            return new.steps.backward_start  # whatever the output is called
        found = new.steps.by_key.get(old.steps.key(earlier))
        if found is not None:
            return found
    return -1


def is_form(lesson: Lesson, opened: Collection[str], group: Group) -> bool:
    """Whether a group is the primitive steps of one of the nodes that are open."""
    if group.name is None or group.name not in opened:
        return False
    own = lesson.opens.get(group.name)
    return group.function == own.__name__ if own else group.function in FORMS


def _folded_in(new: Trace, old: Trace, folded: frozenset[str], lesson: Lesson) -> frozenset[str]:
    """What is folded in another trace: as before, and a new group as others of its function are.

    What is gone stays folded, in case it comes back.
    """
    if new.graph.groups == old.graph.groups:
        return folded
    known = {group.id for group in old.graph.groups} | folded
    counts: dict[str, int] = {}  # for each function how many more are folded than not
    for group in old.graph.groups:
        counts.setdefault(group.function, 0)
        counts[group.function] += 1 if group.id in folded else -1
    usual = dict.fromkeys(lesson.folded, 1) | counts
    added = {
        group.id
        for group in new.graph.groups
        if group.id not in known and usual.get(group.function, 0) > 0
    }
    return folded | added


def check_sizes(lesson: Lesson, sizes: Mapping[str, int]) -> None:
    """Raise EditRefused if a size is unknown or out of bounds."""
    known = {size.name: size for size in lesson.sizes}
    for name, number in sizes.items():
        size = known.get(name)
        if size is None:
            raise EditRefused(f"there is no size “{name}”: {alternatives(name, list(known))}")
        if not size.minimum <= number <= size.maximum:
            raise EditRefused(
                f"{name} ({size.meaning}) must be from {size.minimum} to {size.maximum}, "
                f"not {number}"
            )


def check_name(lesson: Lesson, name: str) -> None:
    """Raise EditRefused if there is no leaf with this name."""
    names = [leaf.name for leaf in lesson.leaves]
    if name not in names:
        raise EditRefused(f"there is no leaf “{name}”: {alternatives(name, names)}")


def check_leaf(lesson: Lesson, name: str, value: Value, sizes: Mapping[str, int]) -> None:
    """Raise EditRefused if a leaf is unknown or the value has the wrong shape."""
    check_name(lesson, name)
    leaf = lesson.leaf_named(name)
    shape = shape_of(value)
    needed = needed_shape(leaf, sizes, shape)
    if leaf.free_shape and len(shape) == len(needed) and all(shape):
        return
    if shape != needed:
        lengths = zip_longest(leaf.shape or (), shape[: len(needed)], needed)
        short = any(isinstance(length, AtLeast) and have != n for length, have, n in lengths)
        at_least = "at least " if short else ""
        raise EditRefused(f"{name} must be {at_least}{_in_words(needed)}, not {_in_words(shape)}")


def _in_words(shape: tuple[int, ...]) -> str:
    """A shape inside a sentence, where a bare `scalar` or `3` would be puzzling."""
    if len(shape) == 1:
        return "1 number" if shape == (1,) else f"{shape[0]} numbers"
    return format_shape(shape) if shape else "a single number"
