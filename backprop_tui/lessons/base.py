"""What a lesson is: an ordinary function, and what cannot be said in code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from backprop_tui.engine.operations import Value
from backprop_tui.lessons.script import Script


class Program(Protocol):
    """A lesson's function: `xp`, then the leaves by name, then the sizes by keyword."""

    __name__: str
    __code__: Any

    def __call__(self, xp: Any, *leaves: Any, **sizes: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Size:
    """A whole number that the learner may change, for example the number of time steps."""

    name: str
    default: int
    minimum: int
    maximum: int
    meaning: str
    """What it counts, in a few words."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A length that must not be smaller than a size, but may be larger."""

    size: str


Length = int | str | AtLeast
"""The length of an axis: fixed, a size's name, or at least a size."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """An input or a weight, with its default value."""

    name: str
    default: Any
    """A number or nested lists of numbers."""

    meaning: str
    """What it is, in a few words."""

    shape: tuple[Length, ...] | None = None
    """How its axes depend on the sizes. None: the shape of the default, fixed."""

    free_shape: bool = False
    """Whether a learner may give it another shape of the same rank (where the program accepts
    any), without a size that says so."""


@dataclass(frozen=True, slots=True)
class Equation:
    """left = right, both as formulas (see `backprop_tui.engine.formula`).

    Names are those of leaves and nodes; `z[t]` is the node z of time step t, `h[0]` the leaf h0.
    A name with a d before it is a gradient: `dw_h` is rendered as ∂y/∂w_h, y being the output.
    The tests evaluate every equation of every lesson against the recorded values.
    """

    left: str
    right: str
    note: str = ""
    """What to notice about it, shown beside it."""

    steps: tuple[int | str, int | str] | None = None
    """For an equation about a time step t: the first and last t for which it holds, as numbers
    or formulas of the sizes (`"T-1"`)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a learner should be able to answer after the lesson."""

    asks: str
    """The question, as one would ask it aloud; it ends with a question mark."""

    answer: str
    """The answer with its reason, in one to three sentences."""


@dataclass(frozen=True, slots=True)
class Plot:
    """The picture that shows best what the lesson is about."""

    kind: Literal["norms", "histogram", "activation", "along"]
    """`norms`: the size of a node's gradient at each time step · `histogram`: how a node's cells
    are distributed · `activation`: a function of one number and its slope, with the present point
    · `along`: the output as one cell of a leaf varies, with the tangent at the present value."""

    of: str
    """The name of the node or leaf that it is about."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One lesson. Everything about it stands in its own file."""

    id: str
    title: str
    chapter: str
    order: int
    """Where it stands among all lessons: they are sorted by it. Lessons of one chapter stand
    together; the numbers leave gaps, so that one can be put between two others."""

    idea: str
    """What it teaches, in a few plain sentences."""

    program: Program
    """The function: called with `xp` = our operations, or torch itself."""

    leaves: tuple[Leaf, ...]
    forward: tuple[Equation, ...]
    """The equations of the forward pass."""

    derivation: tuple[Equation, ...]
    """The backward pass by hand, in closed form."""

    after: tuple[str, ...] = ()
    """The ids of the lessons that one should know before; nothing is locked."""

    minutes: int = 5
    """About how long it takes to step through it and read everything."""

    mistake: str = ""
    """The common mistake with this layer, and how it shows, in a few sentences."""

    questions: tuple[Question, ...] = ()
    """At least three."""

    plot: Plot | None = None
    """The picture to begin with, where a learner would rather look than read."""

    opens: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """For the name of a node that one fused call computes (`xp.sigmoid`, `xp.softmax`, …): the
    same in primitive steps, a function of `xp` and the arguments of that call. The learner opens
    and closes it. Functions that have such a form in `engine.primitives` need not be named."""

    opened: tuple[str, ...] = ()
    """The names of nodes that are open at first."""

    folded: tuple[str, ...] = ()
    """Helper functions of the program whose nodes are drawn as one box at first."""

    sizes: tuple[Size, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    """For a leaf or a named node: one sentence that says what to notice."""

    references: tuple[str, ...] = ()
    script: Script | None = None
    """Plain torch code beside the program, whose tensors' state is shown statement by statement."""

    def default_sizes(self) -> dict[str, int]:
        """Each size's default."""
        return {size.name: size.default for size in self.sizes}

    def opening(
        self, names: Iterable[str] | None = None
    ) -> Mapping[str, Callable[..., Any] | None]:
        """For `engine.run.record`: these nodes open, each with the lesson's own steps where it
        has some. None: those that are open at first."""
        chosen = self.opened if names is None else names
        return {name: self.opens.get(name) for name in sorted(chosen)}

    def leaf_named(self, name: str) -> Leaf:
        """The leaf with a name; KeyError if there is none."""
        for leaf in self.leaves:
            if leaf.name == name:
                return leaf
        raise KeyError(name)


def default_leaves(lesson: Lesson, sizes: Mapping[str, int]) -> dict[str, Value]:
    """The leaves' published values, fitted to the sizes."""
    values = {leaf.name: as_value(leaf.default) for leaf in lesson.leaves}
    return fit_leaves(lesson, values, sizes)


def fit_leaves(
    lesson: Lesson, values: Mapping[str, Value], sizes: Mapping[str, int]
) -> dict[str, Value]:
    """Fit leaves to sizes: what exists stays; a new cell always gets the same seeded number."""
    fitted: dict[str, Value] = {}
    for leaf in lesson.leaves:
        value = values[leaf.name]
        if leaf.shape is None or not any(isinstance(n, str | AtLeast) for n in leaf.shape):
            fitted[leaf.name] = value
        else:
            fitted[leaf.name] = _fitted(lesson, leaf, np.asarray(value), sizes)
    return fitted


def needed_shape(leaf: Leaf, sizes: Mapping[str, int], current: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a leaf must have; an axis with `AtLeast` keeps its length if it suffices."""
    if leaf.shape is None:
        return np.shape(leaf.default)
    lengths = []
    for axis, length in enumerate(leaf.shape):
        if isinstance(length, AtLeast):
            have = current[axis] if axis < len(current) else 0
            lengths.append(max(sizes[length.size], have))
        else:
            lengths.append(sizes[length] if isinstance(length, str) else length)
    return tuple(lengths)


def _fitted(lesson: Lesson, leaf: Leaf, value: Any, sizes: Mapping[str, int]) -> Value:
    shape = needed_shape(leaf, sizes, value.shape)
    if shape == value.shape:
        return as_value(value)
    # Drawn at the largest size, so that a cell's number does not depend on how we got here.
    limits = {size.name: size.maximum for size in lesson.sizes}
    largest = tuple(
        max(n, limit)
        for n, limit in zip(shape, needed_shape(leaf, limits, value.shape), strict=True)
    )
    grown = random_values(f"{lesson.id}/{leaf.name}", largest)[tuple(slice(n) for n in shape)]
    kept = tuple(slice(min(a, b)) for a, b in zip(shape, value.shape, strict=True))
    grown = grown.copy()
    grown[kept] = value[kept]
    return as_value(grown)


def random_values(key: str, shape: tuple[int, ...]) -> Any:
    """Reproducible numbers around 0 with two decimals, never 0 itself (zeros hide mistakes)."""
    seed = np.frombuffer(key.encode(), dtype=np.uint8)
    drawn = np.random.default_rng(seed.tolist()).normal(0.0, 0.5, shape)
    rounded = np.round(drawn, 2)
    return np.where(rounded == 0.0, 0.11, rounded)


def as_value(value: Any) -> Value:
    """A float for a scalar, otherwise a float64 array that cannot be written to."""
    array = np.array(value, dtype=np.float64)
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


RunFunction = Callable[..., Any]
