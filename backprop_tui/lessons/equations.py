"""Whether a lesson's equations are true of what was recorded.

An equation is evaluated with the values of a run in the place of its names: leaves, named nodes,
sizes, and for `dX` the gradient of X. A name that exists wins over its reading as a gradient.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from backprop_tui.engine.formula import FUNCTIONS, evaluate, parse
from backprop_tui.engine.trace import Trace
from backprop_tui.lessons.base import Equation, Lesson


class Checked(NamedTuple):
    """An equation with the values of its two sides."""

    equation: Equation
    t: int | None
    """The time step, for an equation about one."""

    left: Any
    right: Any


def check_equations(lesson: Lesson, trace: Trace, sizes: Mapping[str, int]) -> list[Checked]:
    """Both sides of each of the lesson's equations, at each of its time steps.

    Raises LookupError if an equation speaks of something that is not in the graph.
    """
    checked = []
    for equation in (*lesson.forward, *lesson.derivation):
        names = namespace(equation, trace, sizes)
        if equation.steps is None:
            checked.append(_sides(equation, None, names))
            continue
        first, last = (int(evaluate(str(bound), sizes)) for bound in equation.steps)
        checked += [_sides(equation, t, {**names, "t": t}) for t in range(first, last + 1)]
    return checked


def equation_holds(left: Any, right: Any, *, rel: float = 1e-9) -> bool:
    """Whether two sides are the same, within `rel` of the largest cell.

    An array with one cell may stand for its number.
    """
    if np.shape(left) != np.shape(right) and not np.size(left) == np.size(right) == 1:
        return False
    finite = np.abs(right)[np.isfinite(right)] if np.ndim(right) else np.abs(right)
    scale = float(np.max(finite, initial=0.0))
    close = np.allclose(
        left, right, rtol=rel, atol=rel * scale if np.isfinite(scale) else 0.0, equal_nan=True
    )
    return bool(close)


def namespace(equation: Equation, trace: Trace, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What the names in an equation stand for: a value, or where it has an index a series."""
    recorded = _Recorded(trace)
    found: dict[str, Any] = {**sizes, "expand": _expand}
    indexed, plain = _names(equation)
    for name in indexed | plain:
        if name in found or name in FUNCTIONS:
            continue
        read = recorded.reading(name)
        found[name] = _Series(read) if name in indexed else read(None)
    return found


def _sides(equation: Equation, t: int | None, names: Mapping[str, Any]) -> Checked:
    return Checked(equation, t, evaluate(equation.left, names), evaluate(equation.right, names))


def _expand(g: Any, a: Any) -> Any:
    """g, copied to every cell of a."""
    return np.broadcast_to(g, np.shape(a))


class _Series:
    """A name with one value for each time step."""

    def __init__(self, read: Callable[[int | None], Any]) -> None:
        self._read = read

    def __getitem__(self, t: int) -> Any:
        return self._read(t)


class _Recorded:
    """Values and gradients of a run by name and time step."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._nodes: dict[tuple[str, Any], int] = {}
        for index, name in enumerate(trace.graph.names):
            if name.named:  # of several with the same name the last one counts
                self._nodes[name.base, name.loops[-1][1] if name.loops else None] = index
        self._known = {name for name, _ in self._nodes}

    def reading(self, name: str) -> Callable[[int | None], Any]:
        """How to read a name: its values, or the gradients of the name without its d."""
        graph, gradients = self._trace.graph, self._trace.gradients
        if name in self._known:
            return lambda t: graph.records[self._find(name, t)].value
        if name.startswith("d") and name[1:] in self._known:
            return lambda t: gradients[self._find(name[1:], t)]
        raise LookupError(f"nothing in the program is called {name}")

    def _find(self, name: str, t: int | None) -> int:
        index = self._nodes.get((name, t))
        if index is None and t is not None:  # h[0] is the leaf h0
            index = self._nodes.get((f"{name}{t}", None))
        if index is None:
            raise LookupError(f"there is no {name}" + ("" if t is None else f"[{t}]"))
        return index


def _names(equation: Equation) -> tuple[set[str], set[str]]:
    """The names with an index, and those without."""
    indexed: set[str] = set()
    plain: set[str] = set()
    bound: set[str] = {"t"} if equation.steps is not None else set()
    for side in (equation.left, equation.right):
        with_index: set[int] = set()
        for node in ast.walk(parse(side)):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                indexed.add(node.value.id)
                with_index.add(id(node.value))
            elif isinstance(node, ast.comprehension):
                bound |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
            elif isinstance(node, ast.Name) and id(node) not in with_index:
                plain.add(node.id)
    return indexed, plain - bound
