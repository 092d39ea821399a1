"""Steps in words and formulas, as lines of segments. No colours and no screen here.

Everything is made when it is looked at, for one step at a time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np

from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.formula import (
    SUPERSCRIPTS,
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
from backprop_tui.engine.graph import Edge, Node, NodeKind
from backprop_tui.engine.operations import Operation, Value
from backprop_tui.engine.operations.arrangement import Exchange
from backprop_tui.engine.operations.selection import Gather, MaskedFill
from backprop_tui.engine.operations.shapes import Index, Squeeze, Transpose, Unsqueeze
from backprop_tui.engine.trace import Step, StepKind, Trace
from backprop_tui.values import format_number, format_shape

LineKind = Literal["formula", "equals", "why", "notice", "ledger", "state"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation."""

    kind: LineKind
    """`formula`: left side and right side in symbols · `equals`: the same again, one step
    further, beginning with '=' · `why`: why it is so · `notice`: what the lesson says about the
    node · `ledger`: one contribution of several · `state`: what is still awaited."""

    segments: Segments

    @property
    def text(self) -> str:
        """The line without roles."""
        return as_text(self.segments)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A step, explained."""

    title: Segments
    lines: tuple[Line, ...]

    @property
    def formula(self) -> str:
        """The formula in symbols, in one line."""
        return next((line.text for line in self.lines if line.kind == "formula"), "")

    @property
    def numbers(self) -> str:
        """The formula with numbers, and its result, in one line."""
        return " ".join(line.text for line in self.lines if line.kind == "equals")


def _words(text: str) -> Segments:
    return (Segment(text, "plain"),)


# ── symbols ───────────────────────────────────────────────────────────────────────────────────


MAX_NESTING = 6
"""How deep unnamed parts are written out; below that an operation's name stands for them."""

MAX_PART = 60
"""How long an unnamed part that is written out may be; an operation's name stands for longer ones.
Without it x·x, taken again and again, would double in length every time."""

DIGITS = (5, 8, 11, 14, 17)
"""How many digits a number in a formula may have: as many as are needed to calculate along."""


class Notation:
    """How the nodes of a graph are written: h₂ for the node, ∂y/∂h₂ for its gradient."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.graph = trace.graph
        self._symbols: dict[int, Symbol] = {}
        self._depth = 0

    def value(self, index: int) -> Symbol:
        """A node as a symbol: its name, or for an unnamed part the expression it stands for."""
        symbol = self._symbols.get(index)
        if symbol is None:
            symbol = self._symbols[index] = self._value(index)
        return symbol

    def gradient(self, index: int) -> Symbol:
        """∂output/∂node."""
        above = self.value(self.graph.output).text
        node = self.value(index)
        below = f"({node.text})" if node.compound else node.text
        return Symbol(f"∂{above}/∂{below}", "gradient", node.ref, node.scalar, compound=False)

    def number(self, value: Value, digits: int = DIGITS[0]) -> Symbol:
        """A value as it stands in a formula: a number, a short vector, or only its shape."""
        if isinstance(value, float):
            text = format_number(value, digits).replace("-", "−")
            # 1.2e−7 is one number: brackets as for any negative one only with a sign in front.
            return Symbol(text, "number")
        if value.ndim == 1 and value.size <= 4:
            cells = " ".join(format_number(float(cell)) for cell in value)
            return Symbol(f"[{cells.replace('-', '−')}]", "number", scalar=False)
        if value.shape == (1, 1):
            only = format_number(value.item()).replace("-", "−")
            return Symbol(f"[[{only}]]", "number", scalar=False)
        return Symbol(f"⟨{format_shape(value.shape)}⟩", "number", scalar=False)

    def _value(self, index: int) -> Symbol:
        node = self.graph[index]
        scalar = isinstance(node.value, float)
        if node.kind is NodeKind.CONSTANT:
            number = self.number(node.value)
            return Symbol(number.text, "number", node.id, number.scalar)
        if node.name.named or node.op is None:
            return Symbol(node_text(node), "value", node.id, scalar)
        return self._part(node, scalar)

    def _part(self, node: Node, scalar: bool) -> Symbol:
        op = cast(type[Operation], node.op)
        if self._depth >= MAX_NESTING:
            return Symbol(f"{op.name}(…)", "value", node.id, scalar)
        self._depth += 1
        try:
            symbol = self._expression(node, scalar)
        finally:
            self._depth -= 1
        if len(symbol.text) > MAX_PART:
            return Symbol(f"{op.name}(…)", "value", node.id, scalar)
        return symbol

    def _expression(self, node: Node, scalar: bool) -> Symbol:
        operand = self.value(node.operands[0])
        inner = f"({operand.text})" if operand.compound else operand.text
        if _is_transposed_matrix(node):
            return Symbol(f"{inner}ᵀ", "value", node.id, scalar)
        if node.op is Index:
            return Symbol(f"{inner}[{index_text(node.params['index'])}]", "value", node.id, scalar)
        text = as_text(self.forward_formula(node))
        return Symbol(text, "value", node.id, scalar, compound=not _in_one_piece(text))

    def forward_formula(self, node: Node) -> Segments:
        """How a node's value is computed, in symbols."""
        op = cast(type[Operation], node.op)
        if op.variadic:
            names = ", ".join(self.value(i).text for i in node.operands)
            return (Segment(op.name, "function"), Segment(f"([{names}])", "plain"))
        if op is Index:
            inner = _bracketed(self.value(node.operands[0]))
            return (
                Segment(inner.text, inner.role, inner.ref),
                Segment(f"[{index_text(node.params['index'])}]", "operator"),
            )
        return render(op.text, self._lookup(node, op.text, self.value))

    def numeric_formula(self, node: Node) -> Segments:
        """The same with numbers."""
        op = cast(type[Operation], node.op)
        if op.variadic or op is Index:
            return ()
        value = self._numbers(node, op.text, node.value)
        return render(op.text, self._lookup(node, op.text, value))

    def contribution_formula(self, edge: Edge) -> Segments:
        """What an edge sends, in symbols."""
        node = self.graph[edge.source]
        rule = cast(type[Operation], node.op).contribution_to(edge.slot)
        g = self.gradient(edge.source)
        return render(rule.text, self._lookup(node, rule.text, self.value, g))

    def contribution_numbers(self, edge: Edge, upstream: Value) -> Segments:
        """The same with numbers."""
        node = self.graph[edge.source]
        rule = cast(type[Operation], node.op).contribution_to(edge.slot)
        sent = self.trace.contribution(edge)
        value = self._numbers(node, rule.text, sent, upstream)
        return render(rule.text, self._lookup(node, rule.text, value, value(_UPSTREAM)))

    def _numbers(
        self, node: Node, text: str, result: Value | None, upstream: Value | None = None
    ) -> Callable[[int], Symbol]:
        """Nodes as numbers, with so many digits that the formula gives its result."""
        variables = {name: self.graph.records[i].value for name, i in _operands(node).items()}
        variables["out"] = node.value
        if upstream is not None:
            variables["g"] = upstream
        digits = _digits_needed(text, variables, result)
        by_node: dict[int, int] = {node.index: digits["out"]}
        for name, i in _operands(node).items():
            by_node[i] = max(by_node.get(i, DIGITS[0]), digits[name])

        def value(i: int) -> Symbol:
            if i == _UPSTREAM:
                return self.number(cast(Value, upstream), digits.get("g", DIGITS[0]))
            return self.number(self.graph.records[i].value, by_node[i])

        return value

    def _lookup(
        self, node: Node, text: str, value: Callable[[int], Symbol], g: Symbol | None = None
    ) -> Callable[[str, str | None], Symbol]:
        operands = _operands(node)
        tight = _tight_names(text)

        def shown(name: str, i: int) -> Symbol:
            symbol = value(i)
            loose = symbol.compound and _is_loose(symbol.text)
            return _bracketed(symbol) if loose and name in tight else symbol

        def symbols(name: str, index: str | None) -> Symbol:
            if name in operands:
                return shown(name, operands[name])
            if name == "g" and g is not None:
                return g
            if name == "out":
                return shown(name, node.index)
            return _parameter(name, node, [self.graph.records[i].value for i in node.operands])

        return symbols


def _is_transposed_matrix(node: Node) -> bool:
    """Whether the node is written Wᵀ: a matrix, or each matrix of a batch, transposed."""
    if node.op is Exchange:
        last = len(shape_of(node.value)) - 1
        return {node.params["dim0"], node.params["dim1"]} == {last - 1, last}
    return node.op is Transpose and node.params.get("dim1") in (1, -1)


_UPSTREAM = -1
"""Stands for the upstream gradient where nodes are told by their index."""


def _operands(node: Node) -> dict[str, int]:
    """The operands' names in the operation's formulas."""
    op = cast(type[Operation], node.op)
    return {} if op.variadic else dict(zip(op.operands, node.operands, strict=True))


def _digits_needed(
    text: str, variables: Mapping[str, Value], result: Value | None
) -> dict[str, int]:
    """For each variable the digits with which it must be written so that the sum works out.

    1 − h² with h rounded to 0.9999 can be half of what it is, and then the line looks wrong.
    """
    digits = dict.fromkeys(variables, DIGITS[0])
    if not all(isinstance(v, float) for v in (*variables.values(), result)):
        return digits
    numbers = {name: np.float64(value) for name, value in variables.items()}
    for name, number in numbers.items():
        for few in DIGITS:
            digits[name] = few
            rounded = np.float64(format_number(float(number), few))
            try:
                found = evaluate(text, {**numbers, name: rounded})
            except NameError:  # a parameter of the operation
                return dict.fromkeys(variables, DIGITS[0])
            if np.isclose(found, cast(float, result), rtol=3e-4, atol=0, equal_nan=True):
                break
        else:
            digits[name] = DIGITS[0]  # more digits would not help
    return digits


def _top(text: str) -> str:
    """What stands outside of all brackets."""
    depth, found = 0, []
    for character in text:
        depth -= character in ")]"
        if not depth:
            found.append(character)
        depth += character in "(["
    return "".join(found)


_RAISED = "".join(chr(code) for code in SUPERSCRIPTS.values()) if SUPERSCRIPTS else ""


def _in_one_piece(text: str) -> bool:
    """Whether an expression needs no brackets anywhere: a name, or a call like tanh(a + b)."""
    return not re.search(f"[ −√^{_RAISED}]", _top(text))


def _is_loose(text: str) -> bool:
    """Whether an expression needs brackets as a factor: a sum, or a product of arrays."""
    top = _top(text)
    return any(sign in top for sign in (" + ", " − ", " ⊙ ", " @ ", "Σ"))


def _bracketed(symbol: Symbol) -> Symbol:
    """The symbol, in brackets if it is compound."""
    return replace(symbol, text=f"({symbol.text})", compound=False) if symbol.compound else symbol


@lru_cache(maxsize=256)
def _tight_names(text: str) -> frozenset[str]:
    """The variables of a formula that are factors, powers, subtracted, and so on."""
    found: set[str] = set()
    for node in ast.walk(parse(text)):
        sides: list[ast.expr] = []
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Sub):
                sides = [node.right]
            elif not isinstance(node.op, ast.Add):
                sides = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp):
            sides = [node.operand]
        elif isinstance(node, ast.Attribute):
            sides = [node.value]
        found.update(side.id for side in sides if isinstance(side, ast.Name))
    return frozenset(found)


def _parameter(name: str, node: Node, operands: Sequence[Value]) -> Symbol:
    figures = cast(type[Operation], node.op).figures
    known = figures(node.value, *operands, **node.params) if figures is not None else node.params
    if name == "count" and name not in known:
        return Symbol(str(np.size(operands[0]) // max(1, np.size(node.value))), "number")
    if name == "index" and not isinstance(node.params["index"], np.ndarray):
        return Symbol(f"[{index_text(node.params['index'])}]", "number")
    return parameter_symbol(name, known.get(name, node.params.get(name, name)))


def parameter_symbol(name: str, value: Any) -> Symbol:
    """A parameter in a formula: its number, a short list of numbers, or else its name."""
    if isinstance(value, np.ndarray) and value.ndim:
        if value.ndim > 1 or value.size > MAX_LIST:
            return Symbol(name, "plain", scalar=False)
        cells = " ".join(parameter_symbol(name, cell).text for cell in value.tolist())
        return Symbol(f"[{cells}]", "number", scalar=False)
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    if isinstance(value, bool):  # as comparisons are shown: 1 where true
        return Symbol(str(int(value)), "number")
    if isinstance(value, int | float):
        text = str(value) if isinstance(value, int) else format_number(value)
        return Symbol(text.replace("-", "−").replace("inf", "∞"), "number")
    if isinstance(value, tuple) and len(value) == 1:  # as in torch: repeat(x, 2)
        return parameter_symbol(name, value[0])
    return Symbol(str(value).replace("->", "→"), "plain")  # the arrow is einsum's


MAX_LIST = 6
"""So many whole numbers of a parameter are written out in a formula."""


def node_text(node: Node) -> str:
    """A node's name as in mathematics: `h` of step 2 is h₂, `x_t` of step 2 is x₂."""
    name, loops = node.name, node.name.loops
    base, suffix = name.base, ""
    if loops:
        variable = loops[-1][0]
        base = base.removesuffix(f"_{variable}") or base
        suffix = "‚".join(subscript(str(value)) for _, value in loops)
        if "_" in suffix:
            suffix = f"[{', '.join(str(value) for _, value in loops)}]"
    text = (base if suffix else pretty_name(base)) + suffix
    _, _, count = name.id.rpartition("#")
    if "#" in name.id and count.isdigit():
        text += "′" * (int(count) - 1) if int(count) <= 3 else f"#{count}"
    return text


def index_text(index: Any) -> str:
    """An index as it is written in code."""
    if isinstance(index, tuple):
        return ", ".join(index_text(part) for part in index)
    if isinstance(index, slice):
        parts = ["" if p is None else str(p) for p in (index.start, index.stop)]
        return ":".join(parts) + (f":{index.step}" if index.step is not None else "")
    if index is None:
        return "None"
    if index is Ellipsis:
        return "…"
    return str(np.asarray(index).tolist())


# ── steps ─────────────────────────────────────────────────────────────────────────────────────


def explain(trace: Trace, step: Step, notes: Mapping[str, str] | None = None) -> Explanation:
    """A step in words, formulas and numbers. `notes` are the lesson's, by name."""
    notation = Notation(trace)
    if step.kind is StepKind.COMPUTE:
        explanation = _compute(notation, step)
        noted = step.node
    elif step.kind is StepKind.SEED:
        explanation = _seed(notation, step)
        noted = step.node
    elif step.kind is StepKind.SEND:
        explanation = _send(notation, step)
        noted = cast(Edge, step.edge).target
    else:
        explanation = _collect(notation, step)
        noted = step.node
    note = (notes or {}).get(trace.graph.names[noted].base)
    # What is detached has no step in the backward pass at which its note could be told.
    only_here = noted == trace.graph.output or not trace.graph.needs_gradient[noted]
    if note and (step.kind is not StepKind.COMPUTE or only_here):
        lines = (*explanation.lines, Line("notice", _words(note)))
        explanation = Explanation(explanation.title, lines)
    return explanation


def _symbol(symbol: Symbol) -> Segment:
    return Segment(symbol.text, symbol.role, symbol.ref)


def _equals(segments: Segments) -> Line:
    return Line("equals", (Segment("= ", "operator"), *segments))


def _compute(notation: Notation, step: Step) -> Explanation:
    node = notation.graph[step.node]
    op = cast(type[Operation], node.op)
    name = notation.value(step.node)
    shown = Segment(name.text, "value", name.ref)
    formula = (shown, Segment(" = ", "operator"), *notation.forward_formula(node))
    if not node.name.named:  # the part is its own name
        formula = (shown,)
    lines = [Line("formula", formula)]
    numbers = notation.numeric_formula(node)
    if numbers and any(segment.role == "number" for segment in numbers):
        lines.append(_equals(numbers))
    result = notation.number(node.value)
    if not numbers or as_text(numbers) != result.text:
        lines.append(_equals((_symbol(result),)))
    lines.append(Line("why", _words(op.why + _along(notation, node))))
    lines.extend(_not_finite(node.value, "value"))
    return Explanation((shown, Segment(" is computed", "plain")), tuple(lines))


def _along(notation: Notation, node: Node) -> str:
    """Along which axis an operation works, where that is not all of its operand."""
    operand = shape_of(notation.graph.records[node.operands[0]].value)
    if "stride" in node.params:
        return _window_words(node.params)
    norm = "eps" in node.params
    dim = node.params.get("dims" if norm else "dim")
    if dim is None or not operand or cast(Any, node.op).elementwise:
        return ""
    if len(node.operands) > 1 and not norm:  # cat, stack
        return ""
    axes = sorted(d % len(operand) for d in (dim if isinstance(dim, tuple) else (dim,)))
    word = "axis" if len(axes) == 1 else "axes"
    where = f"{word} {', '.join(map(str, axes))}"
    before, shape = format_shape(operand), shape_of(node.value)
    if node.op in (Squeeze, Unsqueeze):  # the axis need not be one of the operand
        return f" {before} becomes {_shape_in_words(shape)}."
    if node.op is Gather:
        return f" Along {where} of {before}."
    if shape == operand:
        group = "line" if len(axes) == 1 else "group"
        return f" Along {where} of {before}, each {group} of cells by itself."
    return f" Over {where}: {before} becomes {_shape_in_words(shape)}."


def _window_words(params: Mapping[str, Any]) -> str:
    """How windows slide, where the formula does not say it: in torch's words."""
    usual = {"padding": 0, "dilation": 1}
    if "kernel" not in params:  # a convolution: a pooling's formula has the stride
        usual = {"stride": 1, **usual}
    said = []
    for name, without in usual.items():
        lengths = params.get(name, ())
        if any(length != without for length in lengths):
            said.append(f"{name} {' × '.join(str(length) for length in lengths)}")
    return f" With {', '.join(said)}." if said else ""


def _shape_in_words(shape: tuple[int, ...]) -> str:
    return format_shape(shape) if shape else "one number"


def _seed(notation: Notation, step: Step) -> Explanation:
    gradient = notation.gradient(step.node)
    one = notation.number(cast(Value, step.total))
    name = notation.value(step.node)
    why = (
        f"The backward pass starts at the output: {name.text} moves exactly "
        f"as far as {name.text} does."
    )
    if not isinstance(step.total, float):
        why = (
            f"The backward pass starts at the output. {name.text} is not a single number, so it "
            "starts from the sum of the cells: each of them begins with 1."
        )
    lines = (
        Line("formula", (_symbol(gradient), Segment(" = ", "operator"), _symbol(one))),
        Line("why", _words(why)),
    )
    return Explanation((Segment("The backward pass starts at ", "plain"), _symbol(name)), lines)


def _send(notation: Notation, step: Step) -> Explanation:
    trace, graph = notation.trace, notation.graph
    edge = cast(Edge, step.edge)
    node = graph[edge.source]
    op = cast(type[Operation], node.op)
    upstream, contribution = cast(Value, step.upstream), cast(Value, step.contribution)
    arrivals = trace.arrivals[edge.target]
    several = len(arrivals) > 1
    gradient = notation.gradient(edge.target)
    sign = " += " if several else " = "
    symbolic = notation.contribution_formula(edge)
    summed = bool(step.summed_axes)
    if summed:
        symbolic = (Segment("Σ ", "operator"), *_grouped(symbolic))
    lines = [Line("formula", (_symbol(gradient), Segment(sign, "operator"), *symbolic))]
    numbers = notation.contribution_numbers(edge, upstream)
    if summed:
        numbers = (Segment("Σ ", "operator"), *_grouped(numbers))
    result = notation.number(contribution)
    shown = [as_text(numbers)]
    lines.append(_equals(numbers))
    if isinstance(step.local, float) and isinstance(upstream, float):
        local = notation.number(step.local)
        factor = f"({local.text})" if local.text.startswith("−") else local.text
        times = Segment(" · ", "operator")
        product = (_symbol(notation.number(upstream)), times, Segment(factor, "number"))
        if as_text(product) not in shown and shown[0] != result.text:
            lines.append(_equals(product))
            shown.append(as_text(product))
    if result.text not in shown:
        lines.append(_equals((_symbol(result),)))
    lines.append(Line("why", _words(op.contribution_to(edge.slot).why)))
    if summed:
        lines.append(Line("why", _words(_broadcast_words(notation, step))))
    if several:
        place = [(e.source, e.slot) for e in arrivals].index((edge.source, edge.slot)) + 1
        waiting = len(arrivals) - place
        total = notation.number(cast(Value, step.total)).text
        awaited = (
            f"{total} so far, waiting for {waiting} more"
            if waiting
            else f"{total} altogether, all have arrived"
        )
        text = f"contribution {place} of {len(arrivals)}: {awaited}"
        lines.append(Line("state", _words(text)))
    lines.extend(_not_finite(contribution, "gradient"))
    title = (
        _symbol(notation.value(edge.source)),
        Segment(" sends to ", "plain"),
        _symbol(notation.value(edge.target)),
    )
    return Explanation(title, tuple(lines))


def _grouped(segments: Segments) -> Segments:
    """Brackets around a sum's body, unless it is one symbol."""
    if len(segments) == 1:
        return segments
    return (Segment("(", "operator"), *segments, Segment(")", "operator"))


def _broadcast_words(notation: Notation, step: Step) -> str:
    edge = cast(Edge, step.edge)
    shape = shape_of(cast(Value, step.raw))
    target = shape_of(notation.graph.records[edge.target].value)
    times = int(np.prod([shape[axis] for axis in step.summed_axes]))
    name = notation.value(edge.target).text
    axes = ", ".join(str(axis) for axis in step.summed_axes)
    word = "axis" if len(step.summed_axes) == 1 else "axes"
    becomes = f"{format_shape(shape)} becomes {_shape_in_words(target)}"
    if times == 1:
        return (
            f"{name} was given {word} {axes} to fit (broadcast), of length 1; what comes back is "
            f"added up there, a sum of one term: {becomes}."
        )
    return (
        f"{name} was repeated {times} times to fit (broadcast), so what comes back is added up "
        f"over {word} {axes}: {becomes}."
    )


MAX_TERMS = 6
"""A sum with more terms is shortened in the formula; the ledger has them all."""


def _collect(notation: Notation, step: Step) -> Explanation:
    gradient = notation.gradient(step.node)
    parts = step.contributions
    digits = _digits_of_sum([value for _, value in parts], cast(Value, step.total))
    values = [notation.number(value, digits) for _, value in parts]
    shown = values if len(values) <= MAX_TERMS else [*values[:3], None, *values[-2:]]
    terms: list[Segment] = []
    for position, symbol in enumerate(shown):
        if position:
            terms.append(Segment(" + ", "operator"))
        if symbol is None:
            terms.append(Segment("…", "plain"))
        else:
            text = f"({symbol.text})" if position and symbol.text.startswith("−") else symbol.text
            terms.append(Segment(text, "number"))
    total = notation.number(cast(Value, step.total))
    uses = f"is used {len(notation.graph.uses[step.node])} times"
    if len(notation.graph.uses[step.node]) > len(parts):
        uses += f", {len(parts)} of them on the way to {notation.value(notation.graph.output).text}"
    lines = [
        Line("formula", (_symbol(gradient), Segment(" = ", "operator"), *terms)),
        _equals((_symbol(total),)),
        Line(
            "why",
            _words(
                f"{notation.value(step.node).text} {uses}. A nudge of it acts "
                "through every use at once, so the contributions are added."
            ),
        ),
    ]
    sources = [notation.value(edge.source) for edge, _ in parts]
    texts = [source.text for source in sources]
    for (edge, _), source, symbol in zip(parts, sources, values, strict=True):
        loops = notation.graph.names[edge.source].loops
        when = ""
        if loops and texts.count(source.text) > 1:  # a part is called the same in every step
            when = " at " + ", ".join(f"{name} = {value}" for name, value in loops)
        lines.append(
            Line(
                "ledger",
                (
                    Segment("from ", "plain"),
                    _symbol(source),
                    Segment(f"{when}  ", "plain"),
                    Segment(symbol.text, "number"),
                ),
            )
        )
    lines.extend(_not_finite(cast(Value, step.total), "gradient"))
    title = (_symbol(notation.value(step.node)), Segment(" collects", "plain"))
    return Explanation(title, tuple(lines))


def _digits_of_sum(parts: list[Value], total: Value) -> int:
    """The digits with which the parts must be written so that the sum works out."""
    if not isinstance(total, float):
        return DIGITS[0]
    for digits in DIGITS:
        found = sum(float(format_number(cast(float, part), digits)) for part in parts)
        if np.isclose(found, total, rtol=3e-4, atol=0, equal_nan=True):
            return digits
    return DIGITS[0]


def _not_finite(value: Value, what: str) -> list[Line]:
    if np.all(np.isfinite(value)):
        return []
    nan, cells = np.isnan(value), np.size(value)
    kind = "not a number (nan)" if np.any(nan) else "infinite"
    affected = int(np.sum(nan if np.any(nan) else ~np.isfinite(value)))
    if affected == cells:
        return [Line("state", _words(f"This {what} is {kind}."))]
    verb = "is" if affected == 1 else "are"
    return [Line("state", _words(f"{affected} of the {cells} cells of this {what} {verb} {kind}."))]


def _finite_or_hidden(value: Value) -> bool:
    """Whether there is no nan and no +∞ in it."""
    return bool(np.all(np.asarray(value) < np.inf))


def first_not_finite(trace: Trace) -> str | None:
    """Where the first nan or infinity appeared, in one sentence; None if all is finite.

    A score that the program hides with −∞ on purpose is no trouble, nor what is made of it as
    long as it stays −∞.
    """
    notation = Notation(trace)
    hidden: set[int] = set()
    for index, record in enumerate(trace.graph.records):
        if not np.all(np.isfinite(record.value)):
            filled = record.op is MaskedFill and (record.params or {}).get("fill") == -np.inf
            if (filled or hidden.intersection(record.operands)) and _finite_or_hidden(record.value):
                hidden.add(index)
                continue
            node = trace.graph[index]
            span = node.place.site.span if node.place is not None else None
            where = f" at line {span.line}" if span is not None else ""
            name = notation.value(index).text
            word = "nan" if np.any(np.isnan(record.value)) else "infinity"
            return f"the first {word} appears in the value of {name}{where}"
    if all(g is None or np.all(np.isfinite(g)) for g in trace.gradients):
        return None
    for position in range(trace.steps.backward_start, len(trace.steps)):
        step: Step = trace.steps[position]
        sent = step.contribution if step.kind is StepKind.SEND else step.total
        if sent is not None and not np.all(np.isfinite(sent)):
            word = "nan" if np.any(np.isnan(sent)) else "infinity"
            where = as_text(explain(trace, step).title)
            return f"the values are finite; the first {word} in the backward pass: {where}"
    return None
