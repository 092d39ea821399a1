"""Horizontal placement: exact least squares in each rank, swept down and up through the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .hierarchy import Hierarchy, Neighbours

BOX_GAP = 2
"""Least cells between two boxes."""
WIRE_GAP = 1
"""Least cells between a wire and what stands beside it."""
PASSES = 6
"""Passes down and up before the last."""
IDLE_WEIGHT = 0.01
"""How much an item that nothing pulls resists being pushed."""


def separate(
    desired: Sequence[float], weights: Sequence[float], distances: Sequence[int]
) -> list[int]:
    """Whole positions near the desired ones, `distances[i]` or more between numbers i and i + 1.

    Minimises the weighted sum of squared deviations by pooling adjacent violators.
    """
    starts: list[int] = []
    means: list[float] = []
    masses: list[float] = []
    offset = 0
    offsets: list[int] = []
    for i, wish in enumerate(desired):
        offsets.append(offset)
        start, mean, mass = i, wish - offset, weights[i]
        while means and means[-1] >= mean:
            other = masses.pop()
            mean = (mean * mass + means.pop() * other) / (mass + other)
            mass += other
            start = starts.pop()
        starts.append(start)
        means.append(mean)
        masses.append(mass)
        if i < len(distances):
            offset += distances[i]
    positions: list[int] = []
    for pool, start in enumerate(starts):
        end = starts[pool + 1] if pool + 1 < len(starts) else len(desired)
        base = round(means[pool])
        positions += [base + offsets[i] for i in range(start, end)]
    return positions


def port_offsets(width: int, count: int) -> list[int]:
    """Columns of `count` ports spread evenly over a box, counted from its left edge."""
    return [(2 * i + 1) * width // (2 * count) for i in range(count)]


def place_region(
    layers: Sequence[Sequence[int]],
    hierarchy: Hierarchy,
    neighbours: Neighbours,
    widths: Sequence[int],
    x: dict[int, int],
    fixed: frozenset[int] = frozenset(),
) -> None:
    """Write the left edges of a region's items into `x`, near the mean of their neighbours.

    `x` may hold other items' places, which count as neighbours and stay as they are.
    """
    movable = [
        _Rank(layer, hierarchy, neighbours, widths)
        for k, layer in enumerate(layers)
        if layer and k not in fixed
    ]
    for rank in movable:
        rank.pack(x)
    for _ in range(PASSES // 2):
        for rank in movable:
            rank.settle(x, rank.above)
        for rank in reversed(movable):
            rank.settle(x, rank.below)
    for rank in movable:
        rank.settle(x, rank.both)


Pulls = list[list[tuple[int, int, float]]]
"""For each item of a rank: a neighbour, how far to stand to the right of its edge, the weight."""


class _Rank:
    """The items of one rank of a region, left to right, and what pulls at them."""

    def __init__(
        self,
        items: Sequence[int],
        hierarchy: Hierarchy,
        neighbours: Neighbours,
        widths: Sequence[int],
    ) -> None:
        self.items = items
        boxes = hierarchy.boxes
        self.distances = [
            widths[a] + (BOX_GAP if a < boxes and b < boxes else WIRE_GAP)
            for a, b in pairwise(items)
        ]
        self.above: Pulls = []
        self.below: Pulls = []
        for item in items:
            self.above.append(
                [
                    (
                        hop.item,
                        widths[hop.item] // 2 - port_offsets(widths[item], hop.ports)[hop.port],
                        _weight(hierarchy, hop.item, item),
                    )
                    for hop in neighbours.above[item]
                    if hop.item < neighbours.left
                ]
            )
            self.below.append(
                [
                    (
                        hop.item,
                        port_offsets(widths[hop.item], hop.ports)[hop.port] - widths[item] // 2,
                        _weight(hierarchy, item, hop.item),
                    )
                    for hop in neighbours.below[item]
                    if hop.item < neighbours.left
                ]
            )
        self.both: Pulls = [a + b for a, b in zip(self.above, self.below, strict=True)]

    def pack(self, x: dict[int, int]) -> None:
        """Set the items side by side around column 0."""
        position = -(sum(self.distances) // 2)
        for item, distance in zip(self.items, [*self.distances, 0], strict=True):
            x[item] = position
            position += distance

    def settle(self, x: dict[int, int], pulls: Pulls) -> None:
        """Move the items to where they are pulled, as near as the others let them."""
        desired: list[float] = []
        weights: list[float] = []
        for item, pulling in zip(self.items, pulls, strict=True):
            total = mass = 0.0
            for other, reach, weight in pulling:
                place = x.get(other)
                if place is not None:
                    total += weight * (place + reach)
                    mass += weight
            desired.append(total / mass if mass else float(x[item]))
            weights.append(mass or IDLE_WEIGHT)
        positions = separate(desired, weights, self.distances)
        x.update(zip(self.items, positions, strict=True))


def _weight(hierarchy: Hierarchy, upper: int, lower: int) -> float:
    """How much a hop pulls at its ends: long wires straight first, leaves make way for all."""
    boxes = hierarchy.boxes
    if upper >= boxes and lower >= boxes:
        return 8.0
    if upper >= boxes or lower >= boxes:
        return 2.0
    leaf = not hierarchy.graph.inputs[upper] and len(hierarchy.graph.outputs[upper]) == 1
    return 0.25 if leaf else 1.0
