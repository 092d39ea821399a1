"""Formulas: one text, two readings.

A formula is written once as an expression in Python's syntax, for example
`g * (1 - out**2)`. It can be *evaluated*, which is how the tests hold it against the function
beside it, and *rendered* as mathematics, with names or with numbers in the place of its
variables: `∂y/∂h₂ · (1 − h₂²)` or `40 · (1 − 0.90925²)`.

The vocabulary: + − * / % ** @ on names and numbers, comparisons (in brackets: 1 where true, 0
elsewhere), `.T`, `h[t-1]`, sums `sum(… for t in steps(1, T))`, and the functions below.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from backprop_tui.engine.formula_functions import MORE_FUNCTIONS

Role = Literal["value", "gradient", "number", "operator", "function", "plain"]


class Segment(NamedTuple):
    """A piece of a rendered formula."""

    text: str
    role: Role
    ref: str | None = None
    """The id of the node that the piece stands for, if any."""


Segments = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    """What is shown in the place of a variable."""

    text: str
    role: Role = "value"
    ref: str | None = None
    scalar: bool = True
    """Whether it is a number and not an array: products of arrays are written ⊙."""

    compound: bool = False
    """Whether it must be put in brackets under a power, a transpose or a product."""


Symbols = Callable[[str, str | None], Symbol]
"""From a variable's name and the text of its index (None without) to what is shown."""

SUBSCRIPTS = str.maketrans("0123456789+-−aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
SUPERSCRIPTS = str.maketrans("0123456789+-−nit", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿⁱᵗ")


def subscript(text: str) -> str:
    """`12` → `₁₂`; what has no subscript in Unicode (T, y) is written `_T`."""
    small = text.translate(SUBSCRIPTS)
    if any(a == b for a, b in zip(small, text, strict=True)):
        return f"_{text}"
    return small


def pretty_name(name: str) -> str:
    """A variable's name as in mathematics: `h0` → `h₀`; `W_x` and `y_hat` stay as in the code."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    if any(c.isdigit() for c in stem):  # `x1w1`: only the last number would be lowered
        return name
    return stem + subscript(digits) if digits and stem and not stem.endswith("_") else name


@lru_cache(maxsize=1024)
def parse(text: str) -> ast.expr:
    """The syntax tree of a formula."""
    return ast.parse(text, mode="eval").body


# ── evaluating ────────────────────────────────────────────────────────────────────────────────


def _log_softmax(a: Any) -> Any:
    """Along the last dimension. The largest cell is taken out first, for exp not to overflow."""
    shifted = a - np.max(a, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": np.where,
    "detach": lambda a: a,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "abs": np.abs,
    "sign": np.sign,
    "sum": lambda a: sum(a) if isinstance(a, Iterator) else np.sum(a),
    "mean": np.mean,
    "softmax": lambda a: np.exp(_log_softmax(a)),
    "log_softmax": _log_softmax,
    "outer": np.outer,
    "array": lambda *cells: np.array(cells),  # of numbers, or of rows
    "diag": np.diag,
    "transpose": np.swapaxes,
    "reshape": np.reshape,
    "shape_of": np.shape,
    "steps": lambda first, last: range(first, last + 1),
    "rows": lambda a: np.sum(a, axis=0, keepdims=True),
    "columns": lambda a: np.sum(a, axis=-1, keepdims=True),
    "matrix": lambda a: np.reshape(a, (-1, np.shape(a)[-1])),
    "flat": np.ravel,
    "permute": np.transpose,
    "exchange": np.swapaxes,
    "add_rows": lambda a: np.sum(a, axis=0),  # as a vector, where `rows` gives one row
    "onehot": lambda classes, count: np.eye(count)[np.asarray(classes, dtype=np.intp)],
    **MORE_FUNCTIONS,
}


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    return compile(text, "<formula>", "eval")


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """The formula's value. For our own texts only: it is evaluated as Python."""
    with np.errstate(all="ignore"):
        scope = {"__builtins__": {}, "pi": math.pi, **FUNCTIONS, **variables}
        return eval(_compiled(text), scope)


# ── rendering ─────────────────────────────────────────────────────────────────────────────────

_COMPARE, _SUM, _NEGATIVE, _PRODUCT, _POWER, _ATOM = range(6)
"""How strongly an expression binds, weakest first."""


class _Piece(NamedTuple):
    """A rendered part with what its surroundings need to know."""

    segments: Segments
    binds: int
    scalar: bool
    product: str = ""
    """⊙ or @ if that product of arrays stands in it outside of any brackets."""


def _plain(text: str, role: Role = "operator") -> Segment:
    return Segment(text, role)


def render(text: str, symbols: Symbols) -> Segments:
    """The formula as mathematics, with the symbols in the place of its variables."""
    return _join(_Renderer(symbols).render(parse(text)).segments)


def as_text(segments: Segments) -> str:
    """The segments' text in one line."""
    return "".join(segment.text for segment in segments)


def _join(segments: Segments) -> Segments:
    """Neighbouring operators become one segment."""
    joined: list[Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        if last is not None and segment.role in ("operator", "plain") and last.role == segment.role:
            joined[-1] = last._replace(text=last.text + segment.text)
        else:
            joined.append(segment)
    return tuple(joined)


class _Renderer:
    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols

    def render(self, node: ast.expr) -> _Piece:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise ValueError(f"a formula cannot contain {type(node).__name__}")
        piece: _Piece = method(node)
        return piece

    def _bracketed(self, node: ast.expr, at_least: int) -> _Piece:
        piece = self.render(node)
        return piece if piece.binds >= at_least else _in_brackets(piece)

    def _constant(self, node: ast.Constant) -> _Piece:
        text = str(node.value)
        if "e" in text:  # 1e-05 is written as everywhere else: 1e−5
            mantissa, exponent = text.split("e")
            text = f"{mantissa}e{int(exponent)}".replace("-", "−")
        return _Piece((Segment(text, "number"),), _ATOM, True)

    def _name(self, node: ast.Name) -> _Piece:
        if node.id == "pi":
            return self._symbol(Symbol("π", "number"))
        return self._symbol(self._symbols(node.id, None))

    def _symbol(self, symbol: Symbol) -> _Piece:
        binds = _ATOM
        if symbol.compound:
            binds = _PRODUCT
        if symbol.text.startswith(("-", "−")):
            binds = _NEGATIVE
        return _Piece((Segment(symbol.text, symbol.role, symbol.ref),), binds, symbol.scalar)

    def _subscript(self, node: ast.Subscript) -> _Piece:
        index = ast.unparse(node.slice).replace(" ", "")
        if isinstance(node.value, ast.Name):
            return self._symbol(self._symbols(node.value.id, index))
        raise ValueError("only a variable can have an index in a formula")

    def _unaryop(self, node: ast.UnaryOp) -> _Piece:
        if isinstance(node.op, ast.UAdd):
            return self.render(node.operand)
        if not isinstance(node.op, ast.USub):
            raise ValueError(f"a formula cannot contain {type(node.op).__name__}")
        piece = self._bracketed(node.operand, _PRODUCT)
        return piece._replace(segments=(_plain("−"), *piece.segments), binds=_NEGATIVE)

    def _binop(self, node: ast.BinOp) -> _Piece:
        if isinstance(node.op, ast.Add | ast.Sub):
            left = self._bracketed(node.left, _SUM)
            right = self._bracketed(node.right, _PRODUCT)
            if as_text(right.segments).startswith("−"):  # the sign of its first factor
                right = _in_brackets(right)
            sign = " + " if isinstance(node.op, ast.Add) else " − "
            return self._combine(left, sign, right, _SUM)
        if isinstance(node.op, ast.Pow):
            return self._power(node)
        left = self._bracketed(node.left, _NEGATIVE)
        if isinstance(node.op, ast.Mult):
            right = self._bracketed(node.right, _PRODUCT)
            single = left.scalar or right.scalar
            return self._product(left, " · " if single else " ⊙ ", right, "" if single else "⊙")
        if isinstance(node.op, ast.MatMult):
            right = self._bracketed(node.right, _POWER)
            return self._product(left, " @ ", right, "@")._replace(scalar=False)
        if isinstance(node.op, ast.Div):
            right = self._bracketed(node.right, _POWER)
            return self._product(left, " / ", right, "" if right.scalar else "⊙")
        if isinstance(node.op, ast.Mod):
            return self._combine(left, " mod ", self._bracketed(node.right, _POWER), _PRODUCT)
        raise ValueError(f"a formula cannot contain {type(node.op).__name__}")

    def _product(self, left: _Piece, sign: str, right: _Piece, product: str) -> _Piece:
        """Products by cells and of matrices are kept apart by brackets: their order matters."""
        kinds = {product, left.product, right.product} - {""}
        if len(kinds) == 2:
            left, right = (
                _in_brackets(side) if side.product and side.product != product else side
                for side in (left, right)
            )
            kinds = {product, left.product, right.product} - {""}
        if as_text(right.segments).startswith("−"):  # the sign of its first factor
            right = _in_brackets(right)
        return self._combine(left, sign, right, _PRODUCT)._replace(product="".join(kinds))

    def _combine(self, left: _Piece, sign: str, right: _Piece, binds: int) -> _Piece:
        segments = (*left.segments, _plain(sign), *right.segments)
        return _Piece(segments, binds, left.scalar and right.scalar)

    def _power(self, node: ast.BinOp) -> _Piece:
        base = self._bracketed(node.left, _ATOM)
        exponent = self._folded(node.right) or self.render(node.right)
        if as_text(exponent.segments) == "1":
            return base
        text = as_text(exponent.segments)
        small = text.translate(SUPERSCRIPTS)
        if not any(a == b for a, b in zip(small, text, strict=True)):
            return _Piece((*base.segments, Segment(small, "number")), _POWER, base.scalar)
        if exponent.binds < _ATOM:
            exponent = _in_brackets(exponent)
        return self._combine(base, "^", exponent, _POWER)

    def _folded(self, node: ast.expr) -> _Piece | None:
        """An exponent like 3 − 1 as the number 2, where both are numbers in the program."""
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)):
            return None
        sides = (self.render(node.left), self.render(node.right))
        if any(len(side.segments) != 1 or side.segments[0].role != "number" for side in sides):
            return None
        left, right = (float(as_text(side.segments).replace("−", "-")) for side in sides)
        text = f"{left - right:g}".replace("-", "−")
        return self._symbol(Symbol(text, "number"))

    def _compare(self, node: ast.Compare) -> _Piece:
        sign = _COMPARISONS.get(type(node.ops[0]))
        if sign is None or len(node.ops) > 1:
            raise ValueError("a formula cannot contain this kind of comparison")
        left, right = self.render(node.left), self.render(node.comparators[0])
        inside = self._combine(left, f" {sign} ", right, _COMPARE)
        return _Piece((_plain("["), *inside.segments, _plain("]")), _ATOM, inside.scalar)

    def _attribute(self, node: ast.Attribute) -> _Piece:
        if node.attr not in ("T", "mT"):  # mT: each matrix of a batch
            raise ValueError(f"a formula cannot contain .{node.attr}")
        piece = self._bracketed(node.value, _ATOM)
        last = piece.segments[-1]
        if len(piece.segments) == 1 and last.role != "number" and last.text.endswith("ᵀ"):
            return piece._replace(segments=(last._replace(text=last.text[:-1]),))  # Wᵀᵀ is W
        return _Piece((*piece.segments, _plain("ᵀ")), _ATOM, piece.scalar)

    def _call(self, node: ast.Call) -> _Piece:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name == "sum" and isinstance(node.args[0], ast.GeneratorExp):
            return self._sum_over(node.args[0])
        arguments = [self.render(argument) for argument in node.args]
        first = arguments[0]
        if name == "abs":
            return _Piece((_plain("|"), *first.segments, _plain("|")), _ATOM, first.scalar)
        if name == "sqrt":
            inside = self._bracketed(node.args[0], _ATOM)
            return _Piece((_plain("√"), *inside.segments), _POWER, first.scalar)
        if name == "array":
            cells = [s for a in arguments for s in (_plain(", "), *a.segments)]
            return _Piece((_plain("["), *cells[1:], _plain("]")), _ATOM, False)
        shown = _SHOWN.get(name, name)
        if name in _SHAPE_FUNCTIONS:  # their other arguments say where, not what
            arguments = arguments[:1]
        segments: list[Segment] = [Segment(shown, "function"), _plain("(")]
        for position, argument in enumerate(arguments):
            if position:
                segments.append(_plain(", "))
            segments.extend(argument.segments)
        scalar = name not in _ARRAY_FUNCTIONS and all(a.scalar for a in arguments)
        return _Piece((*segments, _plain(")")), _ATOM, name in _REDUCTIONS or scalar)

    def _sum_over(self, node: ast.GeneratorExp) -> _Piece:
        generator = node.generators[0]
        assert isinstance(generator.target, ast.Name)
        body = self._bracketed(node.elt, _NEGATIVE)
        sign = Segment(f"Σ{subscript(generator.target.id)} ", "operator")
        return _Piece((sign, *body.segments), _PRODUCT, body.scalar)


def _in_brackets(piece: _Piece) -> _Piece:
    return _Piece((_plain("("), *piece.segments, _plain(")")), _ATOM, piece.scalar)


_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "=", ast.NotEq: "≠",
}  # fmt: skip
_SHOWN = {
    "sigmoid": "σ", "maximum": "max", "sum": "Σ", "rows": "Σ rows", "columns": "Σ columns",
    "minimum": "min", "total": "Σ", "average": "mean", "amax": "max", "amin": "min",
}  # fmt: skip
_SHAPE_FUNCTIONS = {"transpose", "reshape", "scatter", "narrow", "select", "expand"}
_ARRAY_FUNCTIONS = {
    "expand", "outer", "diag", "scatter", "transpose", "reshape", "narrow", "select",
}  # fmt: skip
_ARRAY_FUNCTIONS |= {"matrix", "flat", "permute", "copies", "repeat", "einsum", "positions"}
_ARRAY_FUNCTIONS |= {"conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "correlate"}
_ARRAY_FUNCTIONS |= {"max_pool1d", "max_pool2d", "winners", "exchange"}
_ARRAY_FUNCTIONS |= {"avg_pool1d", "avg_pool2d", "windows"}
_ARRAY_FUNCTIONS |= {"pad", "flip", "won", "spread", "hide", "beside", "norm_back"}
_SHAPE_FUNCTIONS |= {"copies"}
_SHOWN |= {"exchange": "transpose", "copies": "Σ copies", "positions": "Σ positions"}
_SHOWN |= {"norm_back": "through norm", "gelu_slope": "gelu′"}
_SHOWN |= {"winners": "to winners", "windows": "Σ windows"}
_ARRAY_FUNCTIONS |= {"onehot", "normalised", "first", "gather", "embedding", "cumsum", "reverse"}
_SHOWN |= {"add_rows": "Σ rows"}
_ARRAY_FUNCTIONS |= {"add_rows"}
_REDUCTIONS = {"sum", "mean", "total", "average", "amax", "amin", "var"}
