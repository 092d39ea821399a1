"""The immutable record of one run: nodes, edges and values, each node under its own name.

A node's *id* is stable: it comes from the source (variable, loop values, helper functions), not
from counting, so that it survives an edit, and most ids survive a change of size as well.
Names are worked out when first asked for: recording does not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple, cast

from backprop_tui.engine.operations import Array, Operation, Value
from backprop_tui.engine.provenance import (
    WHOLE,
    LoopValue,
    Place,
    RawPlace,
    parts_of,
    place_of,
)
from backprop_tui.engine.tape import RawRecord, Tape, Var


class Record(NamedTuple):
    """What the run wrote down about one node."""

    op: type[Operation] | None
    """None for leaves and constants."""

    operands: tuple[int, ...]
    value: Value
    params: dict[str, Any] | None
    place: Place | None
    """None for leaves and constants, and if no places were kept."""


class NodeKind(Enum):
    """What a node is."""

    LEAF = "leaf"
    """An input or a weight: it can be edited and has a gradient."""

    CONSTANT = "constant"
    """A number in the program: no gradient is sent to it."""

    OPERATION = "operation"
    """The result of an operation."""


class NodeName(NamedTuple):
    """What a node is called."""

    id: str
    """Unique in the graph and stable: `z[t=2]`, `h`, `z/getitem` (a part of z), `2` (constant)."""

    base: str
    """The variable's name in the code, or for an unnamed part the operation's."""

    loops: tuple[tuple[str, LoopValue], ...]
    """The loops around it with their values then, outermost first."""

    scope: tuple[str, ...]
    """The helper functions inside which it was computed, outermost first."""

    named: bool
    """Whether the code gives it a name of its own."""

    part_of: int | None
    """For an unnamed part: the named node that it goes into."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value of the program."""

    index: int
    kind: NodeKind
    name: NodeName
    op: type[Operation] | None
    operands: tuple[int, ...]
    value: Value
    params: dict[str, Any]
    place: Place | None

    @property
    def id(self) -> str:
        """The stable, unique id."""
        return self.name.id


@dataclass(frozen=True, slots=True)
class Edge:
    """One use of a node by another. The gradient flows from `source` to `target`."""

    source: int
    """The node that uses: the one whose result depends on the operand."""

    target: int
    """The operand."""

    slot: int
    """Which of the source's operands it is, from 0."""


@dataclass(frozen=True, slots=True)
class Group:
    """One call of a helper function: the nodes that were computed in it belong together."""

    index: int
    """Its position in `Graph.groups`."""

    id: str
    """Unique in the graph, and stable as those of nodes are: `block/attend[layer=1]`."""

    function: str
    """The helper function's name."""

    name: str | None
    """The variable that its result is assigned to; None if there is no single one."""

    loops: tuple[tuple[str, LoopValue], ...]
    """The loops around the call."""

    parent: int | None
    """The group inside which it was called."""


class Graph:
    """What one run of a program did. Operands always come before their uses."""

    def __init__(self, tape: Tape, output: Var) -> None:
        if output.tape is not tape:
            raise ValueError("the output is not on this tape")
        self.raw: tuple[RawRecord, ...] = tuple(tape.records)
        """The records as the tape has written them; see `records`."""
        self.constants: tuple[int, ...] = tuple(tape.constants)
        self.detached: tuple[int, ...] = tuple(tape.detached)
        """The nodes at which the program has cut off the way of the gradient."""
        self.leaves: dict[str, int] = dict(tape.leaves)
        self.output: int = output.index
        """The index of the node from which the backward pass starts."""

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The records with names for their parts."""
        found = []
        for op, operands, value, params, place in self.raw:
            if type(value) is not float:
                cast(Array, value).flags.writeable = False
            found.append(Record(op, operands, value, params, place_of(place)))
        return tuple(found)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: int) -> Node:
        record = self.records[index]
        if record.op is not None:
            kind = NodeKind.OPERATION
        elif index in self._leaf_names:
            kind = NodeKind.LEAF
        else:
            kind = NodeKind.CONSTANT
        return Node(
            index,
            kind,
            self.names[index],
            record.op,
            record.operands,
            record.value,
            record.params or {},
            record.place,
        )

    def __iter__(self) -> Iterator[Node]:
        return (self[index] for index in range(len(self.raw)))

    @cached_property
    def needs_gradient(self) -> tuple[bool, ...]:
        """Whether a node depends on any leaf; to the others no gradient is sent.

        What is detached counts as depending on none.
        """
        # What is computed always depends on a leaf: constants alone are never on the tape.
        needs = [True] * len(self.raw)
        for index in self.constants:
            needs[index] = False
        if self.detached:
            for index in self.detached:
                needs[index] = False
            for index in range(self.detached[0] + 1, len(self.raw)):
                operands = self.raw[index][1]
                if operands and not any([needs[operand] for operand in operands]):  # noqa: C419
                    needs[index] = False
        return tuple(needs)

    @cached_property
    def uses(self) -> tuple[tuple[Edge, ...], ...]:
        """For each node the edges of its uses, in the order of the program."""
        found: list[list[Edge]] = [[] for _ in self.raw]
        for index, record in enumerate(self.records):
            for slot, operand in enumerate(record.operands):
                found[operand].append(Edge(index, operand, slot))
        return tuple(tuple(edges) for edges in found)

    @cached_property
    def names(self) -> tuple[NodeName, ...]:
        """The names of all nodes."""
        return _name_all(self)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The calls of helper functions, in the order of their first operation."""
        return self._grouping[0]

    @cached_property
    def group_of(self) -> tuple[int | None, ...]:
        """For each node the innermost group that it belongs to."""
        return self._grouping[1]

    def groups_around(self, index: int) -> tuple[Group, ...]:
        """The groups that a node belongs to, outermost first."""
        found = []
        group = self.group_of[index]
        while group is not None:
            found.append(self.groups[group])
            group = self.groups[group].parent
        return tuple(reversed(found))

    @cached_property
    def _grouping(self) -> tuple[tuple[Group, ...], tuple[int | None, ...]]:
        return _group_all(self.raw)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """The node with an id."""
        return {name.id: index for index, name in enumerate(self.names)}

    @cached_property
    def _leaf_names(self) -> dict[int, str]:
        return {index: name for name, index in self.leaves.items()}


Loops = tuple[tuple[str, LoopValue], ...]

OUTPUT_NAME = "output"
"""What an output is called to which the program gives no name."""


def _name_all(graph: Graph) -> tuple[NodeName, ...]:
    raw = graph.raw
    leaf_names = graph._leaf_names
    consumer: list[int | None] = [None] * len(raw)
    for index in range(len(raw) - 1, -1, -1):
        for operand in raw[index][1]:
            consumer[operand] = index  # the first use wins, as it is met last
    given = _given_names(raw)

    # From the end, so that a part knows the name of what it goes into.
    drafts: list[tuple[str, str, bool, int | None]] = [("", "", False, None)] * len(raw)
    for index in range(len(raw) - 1, -1, -1):
        op, _, value, _, place = raw[index]
        if op is None:
            name = leaf_names.get(index) or _constant_name(value)
            drafts[index] = (name, name, index in leaf_names, None)
            continue
        variable = None if place is None else parts_of(place)[0].name
        if index in given:
            variable = given[index][0]
        into = consumer[index]
        if variable is not None:
            drafts[index] = (variable, variable, True, None)
        elif index == graph.output or into is None:
            drafts[index] = (OUTPUT_NAME, OUTPUT_NAME, index == graph.output, None)
        else:
            whole, _, named, part_of = drafts[into]
            whole = whole.split("/", 1)[0]
            drafts[index] = (f"{whole}/{op.name}", op.name, False, into if named else part_of)

    taken: dict[str, int] = {}
    used: set[str] = set()
    names: list[NodeName] = []
    suffixes: dict[Loops, str] = {}
    for index, ((name, base, named, part_of), record) in enumerate(zip(drafts, raw, strict=True)):
        loops, scope = _context(record[4])
        outer = scope
        if index in given:
            _, loops, outer = given[index]
        suffix = suffixes.get(loops)
        if suffix is None:
            suffix = suffixes[loops] = _suffix(loops)
        stem = unique = "/".join((*outer, name)) + suffix if outer else name + suffix
        while unique in used:
            taken[stem] = taken.get(stem, 1) + 1
            unique = f"{stem}#{taken[stem]}"
        used.add(unique)
        names.append(NodeName(unique, base, loops, scope, named, part_of))
    return tuple(names)


Given = tuple[str, Loops, tuple[str, ...]]
"""A name that comes from elsewhere than the expression itself: with the loops and the helper
functions around the place where it is given."""


def _given_names(raw: tuple[RawRecord, ...]) -> dict[int, Given]:
    """Names from unpacking (`a, b = split(x)`), and from the callers of helper functions.

    What a helper function returns is called what its caller calls it: in `h = dense(x)` the result
    is h, whatever it is called inside of `dense`.
    """
    found: dict[int, Given] = {}
    turns: dict[Any, int] = {}
    results: dict[Any, int] = {}
    candidates: dict[int, RawPlace] = {}
    for index, (op, _, _, _, place) in enumerate(raw):
        if op is None or place is None:
            continue
        site, loops, callers = parts_of(place)
        if not callers and not site.targets:
            continue
        call = _call_of(callers)
        if site.targets:
            execution = (id(site), loops, call)
            turn = turns[execution] = turns.get(execution, -1) + 1
            if turn < len(site.targets) and site.targets[turn]:
                found[index] = (site.targets[turn], *_context(place))
        if callers and site.returned is not None:
            candidates[index] = place
            for depth, position in _returns(callers, site.returned):
                # Of several assignments the last one counts.
                results[call[: depth + 1], position] = index
    for index, place in candidates.items():
        name = _callers_name(index, place, results)
        if name is not None:
            found[index] = name
    return found


def _call_of(callers: tuple[Place, ...]) -> tuple[tuple[int, Loops, int], ...]:
    """What tells the calls apart that led to a place."""
    return tuple([(id(caller.site), caller.loops, caller.call) for caller in callers])


def _returns(callers: tuple[Place, ...], position: int) -> Iterator[tuple[int, int]]:
    """The calls that return a value, from the inside out: how deep each is, and at which position
    of what it returns the value stands."""
    for depth in range(len(callers) - 1, -1, -1):
        yield depth, position
        returned = callers[depth].site.returned
        if returned is None or WHOLE not in (position, returned):
            return
        position = position if returned == WHOLE else returned


def _callers_name(index: int, place: RawPlace, results: dict[Any, int]) -> Given | None:
    """What the outermost of the callers that a node is returned to, and that names it, calls it."""
    _, _, callers = parts_of(place)
    call = _call_of(callers)
    given: Given | None = None
    for depth, position in _returns(callers, cast(int, parts_of(place)[0].returned)):
        if results[call[: depth + 1], position] != index:
            break  # this function has assigned something else to what it returns since
        site = callers[depth].site
        name = site.name
        if position != WHOLE:
            name = site.targets[position] if position < len(site.targets) else None
        if name:
            loops = tuple(pair for caller in callers[: depth + 1] for pair in caller.loops)
            inside = tuple(caller.called for caller in callers[:depth])
            given = (name, loops, inside)
    return given


def _group_all(raw: tuple[RawRecord, ...]) -> tuple[tuple[Group, ...], tuple[int | None, ...]]:
    groups: list[Group] = []
    known: dict[Any, int] = {}
    taken: set[str] = set()
    latest: dict[str, int] = {}
    belongs: list[int | None] = []
    chain: list[int] = []  # the groups around the operation before
    for op, _, _, _, place in raw:
        inner: int | None = None
        callers = () if op is None or place is None else parts_of(place)[2]
        loops: Loops = ()
        before = chain
        chain = before if op is None else []
        for caller in callers:
            loops = (*loops, *caller.loops)
            call = (inner, id(caller.site), caller.loops, caller.call)
            found = known.get(call)
            # A generator that goes on after others have computed something is a group of its own:
            # as one box with its earlier part it would depend on what depends on it.
            if found is None or found not in before:
                stem = f"{groups[inner].id}/" if inner is not None else ""
                stem += (caller.site.name or caller.called) + _suffix(caller.loops)
                unique = stem
                while unique in taken:
                    latest[stem] = latest.get(stem, 1) + 1
                    unique = f"{stem}#{latest[stem]}"
                taken.add(unique)
                found = known[call] = len(groups)
                name = caller.site.name
                groups.append(Group(found, unique, caller.called, name, loops, inner))
            inner = found
            chain.append(found)
        belongs.append(inner)
    return tuple(groups), tuple(belongs)


def _constant_name(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else "constant"


def _suffix(loops: tuple[tuple[str, LoopValue], ...]) -> str:
    return "[" + ",".join(f"{name}={value}" for name, value in loops) + "]" if loops else ""


def _context(place: RawPlace | None) -> tuple[Loops, tuple[str, ...]]:
    """The loops (those of the callers first) and helper functions around a place."""
    if place is None:
        return (), ()
    _, loops, callers = parts_of(place)
    if not callers:
        return loops, ()
    around = [pair for caller in callers for pair in caller.loops]
    return (*around, *loops), tuple([caller.called for caller in callers])
