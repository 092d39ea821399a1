"""Crossing reduction: the order of the items in each rank of a region, by barycentre sweeps."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

from .hierarchy import Hop, Neighbours

SWEEPS = 16
"""Most sweeps through a small region, down and up counted apart."""
WORK = 20_000
"""Items to look at in all sweeps together; a region with more of them gets fewer sweeps."""
LEAST_SWEEPS = 4
PATIENCE = 4
"""Sweeps without fewer crossings after which to stop."""


def order_region(
    layers: Sequence[Sequence[int]], neighbours: Neighbours, fixed: frozenset[int] = frozenset()
) -> list[list[int]]:
    """Reorder `layers` (the items of a region, rank by rank) so that few hops cross.

    The layers whose number is in `fixed` stay as they are. What is in no layer is not looked
    at, but for the sides `neighbours.left` and `neighbours.right`.
    """
    ordering = _Ordering(layers, neighbours)
    movable = [k for k in range(len(layers)) if k not in fixed]
    ordering.start_depth_first(movable)
    best, fewest, fruitless = ordering.snapshot(), ordering.crossings(), 0
    size = sum(len(layer) for layer in layers)
    for sweep in range(min(SWEEPS, max(LEAST_SWEEPS, WORK // max(size, 1)))):
        if fewest == 0 or fruitless == PATIENCE:
            break
        ordering.sweep(movable, downward=sweep % 2 == 0)
        crossings = ordering.crossings()
        fruitless += 1
        if crossings < fewest:
            best, fewest, fruitless = ordering.snapshot(), crossings, 0
    return best


class _Ordering:
    """The layers of one region while they are being reordered."""

    def __init__(self, layers: Sequence[Sequence[int]], neighbours: Neighbours) -> None:
        self.layers = [list(layer) for layer in layers]
        self.position: dict[int, float] = {}
        """Item → its place in its layer, counted from the middle of the layer."""
        for layer in self.layers:
            self._number(layer)
        widest = max((len(layer) for layer in layers), default=0)
        self.position[neighbours.left] = -float(widest)
        self.position[neighbours.right] = float(widest)
        self.above = self._inside(neighbours.above)
        self.below = self._inside(neighbours.below)
        self.sides = (neighbours.left, neighbours.right)

    def _number(self, layer: Sequence[int]) -> None:
        middle = (len(layer) - 1) / 2
        for i, item in enumerate(layer):
            self.position[item] = i - middle

    def _inside(self, hops: Sequence[Sequence[Hop]]) -> dict[int, list[tuple[int, float]]]:
        """Item → its neighbours that take part, each with the offset of the port at its end."""
        return {
            item: [
                (hop.item, (hop.port + 1) / (hop.ports + 1) - 0.5)
                for hop in hops[item]
                if hop.item in self.position
            ]
            for layer in self.layers
            for item in layer
        }

    def start_depth_first(self, movable: Sequence[int]) -> None:
        """The order in which the items are met from the sinks upwards: no crossings in a tree."""
        layer_of = {item: k for k in movable for item in self.layers[k]}
        sinks = sorted(
            item for item in layer_of if not any(other in layer_of for other, _ in self.below[item])
        )
        stack = sinks[::-1]
        for k in movable:
            self.layers[k].clear()
        while stack:
            item = stack.pop()
            layer = layer_of.pop(item, None)
            if layer is not None:
                self.layers[layer].append(item)
                stack += [other for other, _ in reversed(self.above[item])]
        for k in movable:
            self._number(self.layers[k])

    def sweep(self, movable: Sequence[int], *, downward: bool) -> None:
        """Sort layer after layer by the mean position of the neighbours in the layer before."""
        for k in movable if downward else reversed(movable):
            if downward:
                keys = {item: self._mean(self.above[item], 0.0, item) for item in self.layers[k]}
            else:
                keys = {item: self._mean(self.below[item], 1.0, item) for item in self.layers[k]}
            self.layers[k].sort(key=keys.__getitem__)
            self._number(self.layers[k])

    def _mean(self, hops: list[tuple[int, float]], port: float, item: int) -> float:
        if not hops:
            return self.position[item]
        position = self.position
        return sum(position[other] + port * offset for other, offset in hops) / len(hops)

    def crossings(self) -> int:
        """How many pairs of hops cross, all ranks together."""
        return sum(map(self._crossings_above, range(len(self.layers) + 1)))

    def _crossings_above(self, k: int) -> int:
        """Crossings between layer `k` and the one above it."""
        position = self.position
        hops: list[tuple[float, float]] = []
        if k < len(self.layers):
            for item in self.layers[k]:
                here = position[item]
                hops += [(position[other], here + offset) for other, offset in self.above[item]]
        if k > 0:
            for item in self.layers[k - 1]:
                for other, _ in self.below[item]:
                    if other in self.sides:
                        hops.append((position[item], position[other]))
        hops.sort()
        return _inversions([end for _, end in hops])

    def snapshot(self) -> list[list[int]]:
        """A copy of the layers."""
        return [list(layer) for layer in self.layers]


def _inversions(values: Sequence[float]) -> int:
    """How many pairs of values stand in falling order."""
    seen: list[float] = []
    count = 0
    for value in values:
        count += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return count
