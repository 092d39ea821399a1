"""Channel routing: a track for every wire in the space between two ranks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

EXACT = 32
"""Up to so many wires in a channel, every pair is compared to choose which runs above."""


@dataclass(slots=True)
class Wire:
    """What joins some columns of a channel's upper side to some of its lower side."""

    tops: list[int]
    """Columns in which it leaves the channel upwards, rising."""
    bottoms: list[int]
    """Columns in which it leaves the channel downwards, rising."""
    upper_track: int = -1
    """Row of the channel in which it runs to the tops; -1 if it goes straight down."""
    lower_track: int = -1
    """Row in which it runs to the bottoms, the same as `upper_track` without a dog-leg."""
    dogleg: int | None = None
    """Column in which it goes from the upper to the lower track."""

    @property
    def straight(self) -> bool:
        """Whether it goes down in one column."""
        return self.tops == self.bottoms and len(self.tops) == 1


def route_channel(wires: Sequence[Wire]) -> int:
    """Give every wire its track, few and with few crossings; returns how many tracks there are.

    No column may be a top of two wires, nor a bottom of two. Where a wire leaves upwards in the
    column in which another leaves downwards, it runs above it. If such demands go round in a
    circle, a wire is split in two by a dog-leg.
    """
    bent = [wire for wire in wires if not wire.straight]
    if not bent:
        return 0
    return _assign_tracks(_Order([_Strand(w, w.tops, w.bottoms) for w in bent], wires).run())


class _Strand:
    """A wire, or one half of a wire with a dog-leg: one horizontal run."""

    __slots__ = ("bottoms", "high", "low", "tops", "wire")

    def __init__(self, wire: Wire, tops: list[int], bottoms: list[int]) -> None:
        self.wire = wire
        self.tops = tops
        self.bottoms = bottoms
        self.low = min(tops[:1] + bottoms[:1])
        self.high = max(tops[-1:] + bottoms[-1:])

    def crossings_above(self, other: _Strand) -> int:
        """How often the two cross if this one runs above the other."""
        if self.high < other.low or other.high < self.low:
            return 0
        return _between(self.bottoms, other.low, other.high) + _between(
            other.tops, self.low, self.high
        )


def _between(columns: list[int], low: int, high: int) -> int:
    return bisect_left(columns, high) - bisect_right(columns, low)


def _rule_of_thumb(strand: _Strand) -> tuple[float, int]:
    """Sorts the strands of a channel from top to bottom.

    Of two that run to the right the one that starts further to the right must run above; those
    to the left mirror them. Wires with tops or bottoms only are turns, and stay near their side.
    """
    if not strand.bottoms:
        return (-1.0, strand.high - strand.low)
    if not strand.tops:
        return (1.0, strand.low - strand.high)
    rightward = sum(strand.bottoms) * len(strand.tops) > sum(strand.tops) * len(strand.bottoms)
    return (0.0, -strand.tops[0] if rightward else strand.tops[0])


class _Order:
    """Puts the strands of a channel in order from top to bottom, by topological sorting."""

    def __init__(self, strands: list[_Strand], wires: Sequence[Wire]) -> None:
        self.strands = strands
        self.taken = {column for wire in wires for column in (*wire.tops, *wire.bottoms)}
        by_top = {column: i for i, strand in enumerate(strands) for column in strand.tops}
        self.below: list[list[int]] = [[] for _ in strands]
        self.above: list[list[int]] = [[] for _ in strands]
        for i, strand in enumerate(strands):
            for column in strand.bottoms:
                upper = by_top.get(column, i)
                if upper != i:
                    self.below[upper].append(i)
                    self.above[i].append(upper)
        self.waiting = [len(above) for above in self.above]
        self.placed = [False] * len(strands)
        self.ordered: list[_Strand] = []
        self.choice = _Choice(strands)

    def run(self) -> list[_Strand]:
        """The strands from top to bottom, some of them split."""
        for i, waiting in enumerate(self.waiting):
            if waiting == 0:
                self.choice.offer(i)
        for _ in self.strands:
            while not self.choice.ready:
                self._break_cycle()
            i = self.choice.take()
            self.placed[i] = True
            self.ordered.append(self.strands[i])
            self._release(i)
        return self.ordered

    def _release(self, i: int) -> None:
        """Let what waited for a strand come next."""
        below, self.below[i] = self.below[i], []
        for lower in below:
            self.waiting[lower] -= 1
            if self.waiting[lower] == 0:
                self.choice.offer(lower)

    def _break_cycle(self) -> None:
        """Split the shortest strand of a cycle: its upper half waits for nothing."""
        cycle = self._find_cycle()
        i = min(cycle, key=lambda j: (self.strands[j].high - self.strands[j].low, j))
        whole = self.strands[i]
        column = self._free_column(whole)
        whole.wire.dogleg = column
        self.ordered.append(_Strand(whole.wire, whole.tops, [column]))
        self.strands[i] = _Strand(whole.wire, [column], whole.bottoms)
        self._release(i)

    def _find_cycle(self) -> list[int]:
        """Strands that wait for each other in a circle."""
        i = next(i for i, waiting in enumerate(self.waiting) if waiting > 0 and not self.placed[i])
        path: dict[int, None] = {}
        while i not in path:
            path[i] = None
            i = next(upper for upper in self.above[i] if i in self.below[upper])
        walked = list(path)
        return walked[walked.index(i) :]

    def _free_column(self, strand: _Strand) -> int:
        """The column nearest to the strand's middle in which no wire enters or leaves."""
        middle = (strand.low + strand.high) // 2
        for distance in count():
            for column in (middle - distance, middle + distance):
                if column >= 0 and column not in self.taken:
                    self.taken.add(column)
                    return column
        raise AssertionError("columns never end")


class _Choice:
    """Which of the strands that may come next should: the one that crosses least if above."""

    def __init__(self, strands: Sequence[_Strand]) -> None:
        by_rule = sorted(range(len(strands)), key=lambda i: (_rule_of_thumb(strands[i]), i))
        self.rule = [0] * len(strands)
        for place, i in enumerate(by_rule):
            self.rule[i] = place
        self.strand_at = by_rule
        self.ready: list[int] = []
        """A heap of places in the rule's order."""
        self.excess: list[list[int]] | None = None
        """For every pair: crossings if the first runs above, less those if it runs below."""
        if len(strands) <= EXACT:
            self.excess = [[_excess(a, b) for b in strands] for a in strands]
            self.regret = [sum(row) for row in self.excess]

    def offer(self, i: int) -> None:
        """Strand `i` waits for no other any more."""
        heappush(self.ready, self.rule[i])

    def take(self) -> int:
        """Remove the best of the ready strands and return it."""
        if self.excess is None:
            return self.strand_at[heappop(self.ready)]
        place = min(self.ready, key=lambda place: (self.regret[self.strand_at[place]], place))
        self.ready.remove(place)
        taken = self.strand_at[place]
        for i, row in enumerate(self.excess):
            self.regret[i] -= row[taken]
        return taken


def _excess(a: _Strand, b: _Strand) -> int:
    return a.crossings_above(b) - b.crossings_above(a)


def _assign_tracks(ordered: Sequence[_Strand]) -> int:
    """Drop the strands one on the other, as high up as their order allows; returns the height."""
    skyline = [0] * (max(strand.high for strand in ordered) + 2)
    for strand in ordered:
        first, last = max(strand.low - 1, 0), strand.high + 2
        track = max(skyline[first:last])
        skyline[strand.low : strand.high + 1] = [track + 1] * (strand.high + 1 - strand.low)
        wire = strand.wire
        if wire.upper_track < 0:
            wire.upper_track = track
        wire.lower_track = track
    return max(skyline)
