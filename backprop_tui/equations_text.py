"""A lesson's equations as mathematics: `h[t-1]` is written hₜ₋₁, and `dw_h` is ∂y/∂w_h.

And what stands for the characters of mathematics where only ASCII can be shown.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from backprop_tui.engine.formula import (
    Role,
    Segment,
    Segments,
    Symbol,
    as_text,
    evaluate,
    parse,
    pretty_name,
    render,
    subscript,
)
from backprop_tui.engine.graph import NodeName
from backprop_tui.engine.trace import Trace
from backprop_tui.lessons.base import Equation, Lesson
from backprop_tui.lessons.equations import namespace


@dataclass(frozen=True, slots=True)
class EquationLine:
    """One equation, ready to be shown."""

    segments: Segments
    """Left side, ` = `, right side; a piece's `ref` is the id of its node where there is one."""

    when: str
    """For an equation about a time step: the steps for which it holds, `t = 1 … T`."""

    never: bool
    """Whether there is no such step with these sizes, as for `t = 1 … T−1` when T is 1."""

    note: str
    """What to notice about it."""

    @property
    def text(self) -> str:
        """The equation without roles."""
        return as_text(self.segments)


@dataclass(frozen=True, slots=True)
class EquationLines:
    """All equations of a lesson."""

    forward: tuple[EquationLine, ...]
    derivation: tuple[EquationLine, ...]
    """The backward pass by hand."""


def equation_lines(
    lesson: Lesson, trace: Trace, sizes: Mapping[str, int] | None = None
) -> EquationLines:
    """The lesson's equations. Without `sizes` the lesson's own are taken.

    What an equation says about the steps inside of a node is left out while that node is closed.
    """
    given = lesson.default_sizes() if sizes is None else sizes
    notation = _Notation(lesson, trace, given)

    def lines(equations: tuple[Equation, ...]) -> tuple[EquationLine, ...]:
        return tuple(
            notation.line(equation)
            for equation in equations
            if not lesson.opens or _is_about_what_is_there(equation, trace, given)
        )

    return EquationLines(lines(lesson.forward), lines(lesson.derivation))


def _is_about_what_is_there(equation: Equation, trace: Trace, sizes: Mapping[str, int]) -> bool:
    try:
        namespace(equation, trace, sizes)
    except LookupError:
        return False
    return True


class _Notation:
    """What the names in a lesson's equations stand for."""

    def __init__(self, lesson: Lesson, trace: Trace, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        graph = trace.graph
        self._scalar = {
            name.id: type(record.value) is float
            for name, record in zip(graph.names, graph.records, strict=True)
        }
        named = [name for name in graph.names if name.named]
        self._known = {name.base: name for name in reversed(named)}
        self._at_step = {(name.base, name.loops[-1][1]): name for name in named if name.loops}
        equations = (*lesson.forward, *lesson.derivation)
        self._lengths = {e.steps[1] for e in equations if e.steps} & set(sizes)
        self._output = self._output_text(graph.names[graph.output])

    def line(self, equation: Equation) -> EquationLine:
        """One equation."""
        sides = render(equation.left, self._symbol), render(equation.right, self._symbol)
        segments = (*sides[0], Segment(" = ", "operator"), *sides[1])
        if equation.steps is None:
            return EquationLine(segments, "", False, equation.note)
        first, last = (str(bound) for bound in equation.steps)
        variable = _loop_variable(equation.left, self._sizes)
        when = f"{variable} = {first} … {last}".replace("-", "−")
        never = evaluate(first, self._sizes) > evaluate(last, self._sizes)
        return EquationLine(segments, when, bool(never), equation.note)

    def _symbol(self, name: str, index: str | None) -> Symbol:
        if self._exists(name, index):
            return self._node(name, index, "")
        if name in self._sizes:
            return Symbol(name, "plain")
        if name.startswith("d") and self._exists(name[1:], index):
            return self._node(name[1:], index, f"∂{self._output}/∂")
        return Symbol(pretty_name(name) + (subscript(index) if index else ""), "plain")

    def _exists(self, name: str, index: str | None) -> bool:
        if index is None:
            return name in self._known
        return name in self._known or f"{name}0" in self._known

    def _node(self, base: str, index: str | None, before: str) -> Symbol:
        found = self._known.get(base) if index is None else self._found(base, index)
        example = found or self._known.get(base) or self._known[f"{base}0"]
        ref = found.id if found is not None else None
        text = pretty_name(base)
        if index is not None:
            variable = example.loops[-1][0] if example.loops else ""
            text = (base.removesuffix(f"_{variable}") or base) + subscript(index)
        role: Role = "gradient" if before else "value"
        return Symbol(before + text, role, ref, self._scalar[example.id])

    def _found(self, base: str, index: str) -> NodeName | None:
        """The one node that is meant, if the index says which: `h[T]` does, `h[t]` does not."""
        try:
            step = evaluate(index, self._sizes)
        except NameError:
            return None
        return self._at_step.get((base, step)) or self._known.get(f"{base}{step}")

    def _output_text(self, name: NodeName) -> str:
        """The output as it stands in gradients: `y`, or h_T for the h of the last step."""
        if not name.loops:
            return pretty_name(name.base)
        variable, step = name.loops[-1]
        base = name.base.removesuffix(f"_{variable}") or name.base
        last = [length for length in self._lengths if self._sizes[str(length)] == step]
        return base + subscript(str(last[0] if last else step))


def _loop_variable(left: str, sizes: Mapping[str, int]) -> str:
    """The t in `h[t]`."""
    subscripts = [n for n in ast.walk(parse(left)) if isinstance(n, ast.Subscript)]
    names = [n.id for s in subscripts for n in ast.walk(s.slice) if isinstance(n, ast.Name)]
    return next((name for name in names if name not in sizes), "t")


# ── in ASCII ──────────────────────────────────────────────────────────────────────────────────

_LOW = "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ‚"
_LOW_PLAIN = "0123456789+-aehijklmnoprstuvx,"
_HIGH = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱᵗ"
_HIGH_PLAIN = "0123456789+-nit"
_SMALL = str.maketrans(_LOW + _HIGH, _LOW_PLAIN + _HIGH_PLAIN)
_LOWERED, _RAISED = re.compile(f"[{_LOW}]+"), re.compile(f"[{_HIGH}]+")

_STAND_INS = str.maketrans(
    {
        "∂": "d",
        "·": "*",
        "⊙": "*",
        "−": "-",
        "–": "-",
        "×": "x",
        "√": "sqrt",
        "Σ": "sum",
        "σ": "sigmoid",
        "ᵀ": ".T",
        "′": "'",
        "≥": ">=",
        "≤": "<=",
        "≠": "!=",
        "≈": "~",
        "±": "+-",
        "∧": "^",
        "∞": "inf",
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "δ": "delta",
        "θ": "theta",
        "π": "pi",
        "→": "->",
        "←": "<-",
        "…": "...",
        "“": '"',
        "”": '"',
        "’": "'",
        "⟨": "<",
        "⟩": ">",
        "‚": ",",
        "─": "-",
        "✓": "+",
        "✗": "!",
        **dict.fromkeys("⎡⎣", "["),
        **dict.fromkeys("⎤⎦", "]"),
        **dict.fromkeys("⎢⎥", "|"),
    }
)


def in_ascii(text: str) -> str:
    """The text in ASCII: `∂y/∂hₜ₋₁ = −2 · x²` is `dy/dh[t-1] = -2 * x^2`."""
    if text.isascii():
        return text
    text = _LOWERED.sub(lambda found: f"[{found[0].translate(_SMALL)}]", text)
    text = _RAISED.sub(lambda found: f"^{found[0].translate(_SMALL)}", text)
    text = unicodedata.normalize("NFKD", text.translate(_STAND_INS))
    return (
        "".join(c for c in text if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    )
