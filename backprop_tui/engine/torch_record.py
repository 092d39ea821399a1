"""What torch found, written down without torch: flat arrays, and where each call stood.

`reference.torch_run` makes these records, in a process of its own; everybody else reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_tui.engine.broadcasting import Shape
from backprop_tui.engine.graph import Graph
from backprop_tui.engine.operations import Value
from backprop_tui.engine.provenance import RawPlace, Site, parts_of

SiteKey = tuple[str, str, int, int, int, int]
"""File, function, and the span: line, column, end line, end column (0 where unknown)."""

PlaceKey = tuple[SiteKey, tuple[tuple[str, int | str], ...], tuple[Any, ...]]
"""One execution of a place: the site, the loops' values, and the keys of the callers."""


class Structure:
    """What a run under torch did, without its numbers. It stays the same while values change.

    *Entries* are the leaves and then the calls, in order. The cells of entries of one shape lie
    together in the arrays of a `TorchRun`: joining tensors of one shape is five times faster.
    """

    def __init__(
        self,
        leaves: tuple[str, ...],
        keys: tuple[PlaceKey | None, ...],
        shapes: tuple[Shape, ...],
    ) -> None:
        self.leaves = leaves
        self.keys = keys
        """For each call where it stood; None outside of the program."""
        self.shapes = shapes
        """For each entry."""

    @cached_property
    def groups(self) -> dict[Shape, list[int]]:
        """The entries of each shape, in the order in which their cells are laid out."""
        found: defaultdict[Shape, list[int]] = defaultdict(list)
        for entry, shape in enumerate(self.shapes):
            found[shape].append(entry)
        return dict(found)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Where each entry's cells begin in the flat arrays."""
        starts = np.empty(len(self.shapes), dtype=np.intp)
        position = 0
        for shape, members in self.groups.items():
            size = prod(shape)
            starts[members] = position + size * np.arange(len(members))
            position += size * len(members)
        return starts

    @cached_property
    def entries_at(self) -> dict[PlaceKey, list[int]]:
        """The entries at each place, in order."""
        found: defaultdict[PlaceKey, list[int]] = defaultdict(list)
        for entry, key in enumerate(self.keys, len(self.leaves)):
            if key is not None:
                found[key].append(entry)
        return dict(found)

    def same_as(self, other: Structure) -> bool:
        """Whether both did the same, at the same places."""
        return (self.leaves, self.keys, self.shapes) == (other.leaves, other.keys, other.shapes)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.leaves, self.keys, self.shapes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.leaves, keys, self.shapes = state
        self.keys = tuple([None if key is None else _canonical(key) for key in keys])


@dataclass(frozen=True, slots=True, eq=False)
class TorchEdges:
    """What torch sends along each edge, where it can be told apart."""

    sources: NDArray[np.intp]
    """The entry of the call that sends."""

    targets: NDArray[np.intp]
    """The entry that receives. Several edges between the same two keep the operands' order."""

    values: NDArray[np.float64]
    """The contributions' cells one after the other, in the order of the edges."""


@dataclass(frozen=True, slots=True, eq=False)
class TorchRun:
    """What torch found: every call's value and gradient, flat. See `reference.torch_run`."""

    structure: Structure
    values: NDArray[np.float64]
    gradients: NDArray[np.float64]
    """0 where torch gives no gradient."""

    given: NDArray[np.bool_]
    """For each entry, whether torch gives a gradient: not for what the output does not use."""

    edges: TorchEdges | None = None
    """None if they were not asked for."""

    def value(self, entry: int) -> Value:
        """An entry's value."""
        return self._cells(self.values, entry)

    def gradient(self, entry: int) -> Value | None:
        """An entry's gradient; None where torch gives none."""
        return self._cells(self.gradients, entry) if self.given[entry] else None

    def _cells(self, flat: NDArray[np.float64], entry: int) -> Value:
        start, shape = int(self.structure.starts[entry]), self.structure.shapes[entry]
        if shape == ():
            return float(flat[start])
        return flat[start : start + prod(shape)].reshape(shape)


_SITE_KEYS: dict[int, SiteKey] = {}
_SITES: list[Site] = []  # keeps the sites alive, so that their ids stay theirs


def site_key(site: Site) -> SiteKey:
    """A site without its object: equal in another process, and for the two instructions of which
    Python may use either to make the same call."""
    key = _SITE_KEYS.get(id(site))
    if key is None:
        span = site.span
        where = (span.line, span.column, span.end_line, span.end_column) if span else (0, 0, 0, 0)
        key = (site.filename, site.function, *where)
        key = _SITE_KEYS[id(site)] = _CANONICAL.setdefault(key, key)
        _SITES.append(site)
    return key


_CANONICAL: dict[SiteKey, SiteKey] = {}  # one object for equal keys: they are compared at once


def _canonical(key: PlaceKey) -> PlaceKey:
    site, loops, callers = key
    outer = tuple([_canonical(caller) for caller in callers]) if callers else ()
    return (_CANONICAL.setdefault(site, site), loops, outer)


def place_key(place: RawPlace) -> PlaceKey:
    """A place without its objects: equal in another process."""
    site, loops, callers = parts_of(place)
    outer = tuple([place_key(caller) for caller in callers]) if callers else ()
    return (_SITE_KEYS.get(id(site)) or site_key(site), loops, outer)


def place_keys(places: Iterable[RawPlace | None]) -> tuple[PlaceKey | None, ...]:
    """The keys of many places."""
    known = _SITE_KEYS.get
    keys: list[PlaceKey | None] = []
    for place in places:
        if type(place) is tuple and not place[2]:  # by far the most
            keys.append((known(id(place[0])) or site_key(place[0]), place[1], ()))
        else:
            keys.append(None if place is None else place_key(place))
    return tuple(keys)


def match(graph: Graph, structure: Structure) -> NDArray[np.intp]:
    """For each node the entry at the same place, the n-th of a place for the n-th; else -1."""
    entries = np.full(len(graph), -1, dtype=np.intp)
    of_leaf = {name: entry for entry, name in enumerate(structure.leaves)}
    for name, index in graph.leaves.items():
        entries[index] = of_leaf.get(name, -1)
    nodes = [index for index, record in enumerate(graph.raw) if record[0] is not None]
    keys = place_keys([record[4] for record in graph.raw if record[0] is not None])
    if keys == structure.keys and None not in keys:  # the same calls in the same order: as ever
        entries[nodes] = np.arange(len(of_leaf), len(of_leaf) + len(nodes))
        return entries
    seen: defaultdict[PlaceKey, int] = defaultdict(int)
    for index, key in zip(nodes, keys, strict=True):
        if key is not None:
            there = structure.entries_at.get(key, ())
            if seen[key] < len(there):
                entries[index] = there[seen[key]]
            seen[key] += 1
    return entries
