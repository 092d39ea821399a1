"""Numbers and matrices as people type, paste and read them.

`parse_number` and `parse_value` read text and either return a value or raise `BadValue`, whose
text is a sentence for the learner. Nothing is ever evaluated, and hostile text (huge, deeply
nested) is refused quickly. The `format_*` functions go the other way.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
"""The lengths of an array's axes; () for a scalar."""

Value: TypeAlias = float | NDArray[np.float64]
"""What a leaf or a node holds: a Python float, or a read-only float64 array."""

JsonValue: TypeAlias = "float | str | list[JsonValue]"
"""A value as `json.dumps` takes it."""

MAX_TEXT = 1_000_000
"""The longest text, in characters, that is looked at."""

MAX_NUMBERS = 100_000
"""The most numbers one value may hold when it comes from text."""

MAX_DEPTH = 8
"""The deepest nesting of brackets."""

BOX_WIDTH = 24
"""The columns that `format_value` fills when it is not told how many."""


class BadValue(ValueError):
    """Text that is no value, or not the one wanted. `str(error)` is one line for the learner."""


# ── Reading one number ────────────────────────────────────────────────────────────────────────

# Written so that no two neighbouring parts can match the same digits: linear on any text.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_NONFINITE = re.compile(r"nan|[+-]?inf(?:inity)?", re.IGNORECASE)
_DASHES = "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}"


def parse_number(text: str, *, allow_nonfinite: bool = False) -> float:
    """Read one number as a person writes it: `2.5`, ` -3 `, `.5`, `1e-3`, `1/3`.

    The minus may be the typographic one (U+2212). Digits are 0 to 9 only, although `float` knows
    many more. What is too small for a float becomes 0, as everywhere in floating point.

    Args:
        text: What was typed; blanks around it don't matter.
        allow_nonfinite: Whether `nan`, `inf` and `-inf` are numbers here.

    Raises:
        BadValue: If the text is anything else, or the number is too large for a float.
    """
    _check_size(text)
    word = text.strip()
    plain = word.replace("\N{MINUS SIGN}", "-")
    if _DECIMAL.fullmatch(plain):
        return _decimal(plain)
    if _NONFINITE.fullmatch(plain):
        if allow_nonfinite:
            return float(plain)
        raise BadValue(f"{_quoted(word)} can not be used here: type a number such as 0.5 or 1e6")
    above, _, below = (part.strip() for part in plain.partition("/"))
    if _DECIMAL.fullmatch(above) and _DECIMAL.fullmatch(below):
        divisor = _decimal(below)
        if divisor == 0:
            raise BadValue(f"{_shortened(word)} divides by zero")
        return _finite(_decimal(above) / divisor, word)
    raise BadValue(_why_not(word))


def _decimal(plain: str) -> float:
    return _finite(float(plain), plain)


def _finite(number: float, word: str) -> float:
    if math.isinf(number):
        raise BadValue(f"{_shortened(word)} is too large: the largest is about 1.8e308")
    return number


def _why_not(word: str) -> str:
    """The sentence for a word that is no number, with a hint where the slip is a common one."""
    if not word:
        return "there is no number here: type one, such as 2.5"
    shown = _quoted(word)
    if any(char.isnumeric() and not char.isascii() for char in word):
        return f"{shown} has a digit that is not one of 0 to 9"
    if word[0] in _DASHES:
        return f"{shown} starts with a dash: type the minus sign -"
    plain = word.replace("\N{MINUS SIGN}", "-")
    meant = []  # 1,234 may be either
    if _THOUSANDS.fullmatch(plain):
        meant.append(plain.replace(",", ""))
    if _DECIMAL_COMMA.fullmatch(plain):
        meant.append(plain.replace(",", "."))
    if meant:
        return f"{shown} has a comma: write {' or '.join(map(_shortened, meant))}"
    if _DECIMAL.fullmatch(plain.replace("_", "")):
        return f"{shown} has an underscore: write {_shortened(plain.replace('_', ''))}"
    parts = re.split(r"[\s,;]+", plain)
    if len(parts) > 1 and all(_DECIMAL.fullmatch(part) for part in parts):
        return f"{shown} is more than one number"
    return f"{shown} is not a number"


def _check_size(text: str) -> None:
    if len(text) > MAX_TEXT:
        megabytes = math.ceil(len(text) / 1e5) / 10  # rounded up: never '1 MB; at most 1 MB'
        raise BadValue(f"this is {megabytes:g} MB; at most 1 MB can be pasted")


def _shortened(word: str, limit: int = 24) -> str:
    """The word on one line, printable, and not longer than a message can bear."""
    head = " ".join(word[: 4 * limit].split())
    if len(head) > limit or len(word) > 4 * limit:
        head = head[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in head)


def _quoted(word: str) -> str:
    return f"“{_shortened(word)}”"


# ── Reading a value ───────────────────────────────────────────────────────────────────────────

# What comes before a value that was copied from code or from a printout: `W = `.
_LABEL = re.compile(r"(?:[^\W\d]\w*\s*=\s*)?(?:Parameter containing:\s*)?")

_TOKEN = re.compile(
    r"""
    (?P<blank> \s+)
  | (?P<option> , \s* [a-z_]+ \s* = \s*             # , dtype=torch.float64, grad_fn=<MulBackward0>
        (?: <[^<>]*> | '[^']*' | \([0-9,\s]*\) | [\w.]+ ))
  | (?P<call> (?: (?:np|numpy|jnp|torch|torch\.nn|nn) \. )?
        (?: [aA]rray | asarray | matrix | [tT]ensor | (?:Float|Double)Tensor | Parameter
          | float(?:16|32|64)? | u?int(?:8|16|32|64)? ) \s* \( )
  | (?P<mark> [\[\](),])
  | (?P<word> "[^"]*" | '[^']*' | [^\s\[\](),"']+ | ["'])
    """,
    re.VERBOSE,
)


def parse_value(
    text: str,
    shape: Shape | None = None,
    allow_other_shape: bool = False,
    *,
    allow_nonfinite: bool = False,
) -> Value:
    """Read a number, a vector, a matrix or more, in whatever form people have it.

    Understood are JSON, what Python, NumPy and PyTorch print (`array([1., 2.])`, `[[1. 2.]]`,
    `tensor(2.5, requires_grad=True)`, each also after `W = `), and rows of numbers without
    brackets, one row a line, separated by tabs, semicolons, commas or blanks. Without brackets
    one row is a vector and one column of several numbers an n×1 matrix.

    Args:
        text: What was typed or pasted.
        shape: The shape wanted; None if any will do. Axes of length 1 are added and dropped
            as needed: `1 2 3` fits 3, 1×3 and 3×1.
        allow_other_shape: Whether a value of another shape is accepted too. Then what stands in
            brackets keeps the shape that it was written in.
        allow_nonfinite: Whether `nan`, `inf` and `-inf` are numbers here.

    Returns:
        A float for a scalar, otherwise a read-only array of float64.

    Raises:
        BadValue: If the text can't be read, is too large, or has a shape that isn't wanted.
    """
    _check_size(text)
    text = text.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")  # as Excel's files begin
    if "..." in text or "…" in text:
        raise BadValue("“...” stands for numbers left out: paste all of them, e.g. from x.tolist()")
    text = _LABEL.sub("", text, count=1).replace(" /", "/").replace("/ ", "/")
    bracketed = any(mark in text for mark in "[]()")
    if bracketed:
        numbers, found = _read_brackets(text, allow_nonfinite)
    elif not text or (shape == () and (not allow_other_shape or _DECIMAL_COMMA.fullmatch(text))):
        # One number is wanted: `2,5` is a slip here and not a row of two.
        numbers, found = [parse_number(text, allow_nonfinite=allow_nonfinite)], ()
    else:
        numbers, found = _read_rows(text, allow_nonfinite)
    if shape is not None and found != shape:
        only_ones_differ = [n for n in found if n != 1] == [n for n in shape if n != 1]
        if only_ones_differ and not (allow_other_shape and bracketed):
            found = shape
        elif not allow_other_shape:
            raise BadValue(f"expected {_in_words(shape)}, got {_in_words(found)}")
    if found == ():
        return numbers[0]
    array = np.array(numbers, dtype=np.float64)
    array.setflags(write=False)  # before reshaping, so that the view has no writable base
    return array.reshape(found)


@dataclass(slots=True)
class _Level:
    """An open bracket: what it waits for, and what it has so far."""

    closer: str
    """The mark that ends it: `]`, `)` for a call such as `array(`, nothing for the whole text."""
    count: int = 0
    """How many items it holds."""
    shape: Shape = ()
    """The shape that all its items have."""
    comma: bool = False
    """Whether a comma came after the last item."""

    def add(self, shape: Shape) -> None:
        if self.count and self.closer == ")":
            raise BadValue("several numbers need brackets: array([1, 2])")
        if self.count and shape != self.shape:
            raise BadValue(_ragged(self.count + 1, shape, self.shape))
        self.shape = shape
        self.count += 1
        self.comma = False

    def total(self) -> Shape:
        """The shape of the closed bracket."""
        if not self.count:
            raise BadValue("there are brackets without a number in them")
        # A call only wraps its item, and the text as a whole is a list only if it holds several.
        is_list = self.closer == "]" or (not self.closer and self.count > 1)
        return (self.count, *self.shape) if is_list else self.shape


def _read_brackets(text: str, allow_nonfinite: bool) -> tuple[list[float], Shape]:
    """Read nested lists. Commas may be missing, as NumPy prints; a stack replaces recursion."""
    numbers: list[float] = []
    stack = [_Level("")]
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, token, level = match.lastgroup, match.group(), stack[-1]
        if kind == "blank" or (kind == "option" and level.closer == ")"):
            continue
        if kind == "call":
            stack.append(_Level(")"))
        elif token == "[":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadValue(f"the brackets are nested more than {MAX_DEPTH} deep")
            stack.append(_Level("]"))
        elif token == "(":
            raise BadValue("“(” is not understood here: put rows in [ ]")
        elif token in ("]", ")"):
            if token != level.closer:
                raise BadValue(f"a “{token}” closes nothing that was opened")
            stack.pop()
            depth -= token == "]"
            stack[-1].add(level.total())
        elif token == ",":
            if level.comma or not level.count:
                raise BadValue("a number is missing before a comma")
            level.comma = True
        else:
            numbers.append(_number(token.lstrip(", "), allow_nonfinite, len(numbers)))
            level.add(())
    if len(stack) > 1:
        raise BadValue(f"a “{stack[-1].closer}” is missing at the end")
    return numbers, stack[0].total()


def _read_rows(text: str, allow_nonfinite: bool) -> tuple[list[float], Shape]:
    """Read lines of numbers, from a spreadsheet, a CSV file or a keyboard."""
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    separator = next((mark for mark in "\t;," if any(mark in line for line in lines)), None)
    numbers: list[float] = []
    columns = 0
    for row, line in enumerate(lines, 1):
        # Spreadsheets end rows with a separator, too.
        cells = line.removesuffix(separator or "").split(separator)
        for column, cell in enumerate(cells, 1):
            try:
                numbers.append(_number(cell, allow_nonfinite, len(numbers)))
            except BadValue as bad:
                if len(lines) == len(cells) == 1:
                    raise
                problem = f": {bad}" if cell.strip() else " is empty"
                raise BadValue(f"row {row}, column {column}{problem}") from None
        columns = columns or len(cells)
        if len(cells) != columns:
            raise BadValue(_ragged(row, (len(cells),), (columns,)))
    if len(lines) > 1:
        return numbers, (len(lines), columns)
    return numbers, (columns,) if columns > 1 else ()


def _number(cell: str, allow_nonfinite: bool, before: int) -> float:
    """Read a number among others, of which there are `before` already; it may be quoted."""
    if before >= MAX_NUMBERS:
        raise BadValue(f"there are more than {MAX_NUMBERS:,} numbers")
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'":
        cell = cell[1:-1]
    return parse_number(cell, allow_nonfinite=allow_nonfinite)


def _ragged(row: int, shape: Shape, first: Shape) -> str:
    if len(shape) == len(first) == 1:
        return f"row {row} has {_in_words(shape)}, row 1 has {first[0]}"
    if not shape or not first:
        return "numbers and rows are mixed: put brackets around every row"
    return f"row {row} is {_in_words(shape)}, row 1 is {_in_words(first)}"


def _in_words(shape: Shape) -> str:
    """A shape inside a sentence, where a bare 'scalar' or '3' would be puzzling."""
    if len(shape) == 1:
        return "1 number" if shape == (1,) else f"{shape[0]} numbers"
    return format_shape(shape) if shape else "a single number"


# ── Writing ───────────────────────────────────────────────────────────────────────────────────


def format_number(x: float, digits: int = 5) -> str:
    """A number short enough to read, rounded to `digits` ≥ 1 significant digits.

    Never longer than `digits` + 6 characters; read back, it is within a relative error of
    10^-(digits-1). Whole numbers that are not much longer than `digits` are given in full.
    """
    if x == 0 or not math.isfinite(x):
        return str(float(x)) if x else "0"
    if x == round(x) and abs(x) < 10 ** (digits + 2):
        return str(int(x))
    rounded = f"{x:.{digits - 1}e}"
    if math.isinf(float(rounded)):  # rounding up went past the largest float: cut instead
        exact = f"{x:.16e}"
        rounded = exact[: exact.index(".") + digits] + exact[exact.index("e") :]
    mantissa, _, power = rounded.partition("e")
    exponent = int(power)
    if -4 <= exponent < digits:
        return _without_zeros(f"{x:.{digits - 1 - exponent}f}")
    mantissa = _without_zeros(mantissa)
    text = f"{mantissa}e{exponent}"
    if len(text) > digits + 6:  # as -1.2346e-150: without the point, no digit need be given up
        decimals = len(mantissa.partition(".")[2])
        text = f"{mantissa.replace('.', '')}e{exponent - decimals}"
    return text


def format_exact(x: float) -> str:
    """The shortest text that reads back as exactly this number; nan as 'nan', -0.0 as '-0'."""
    mantissa, e, power = repr(float(x)).partition("e")
    return mantissa.removesuffix(".0") + (f"e{int(power)}" if e else "")


def format_value(v: Value, digits: int = 5, width: int | None = None) -> str:
    """A value on one line of at most `width` columns (BOX_WIDTH unless told), for a node's box.

    An array that fits is given whole, with fewer digits if that helps (3 at least); one that
    doesn't is given by its shape and first numbers: `5×2 [1.19 0.134 …]`. Rather than none,
    the first number is given with fewer digits.
    """
    width = BOX_WIDTH if width is None else width
    array = np.asarray(v, dtype=np.float64)
    return next((text for text in _abbreviations(array, digits, width) if len(text) <= width), "…")


def _abbreviations(array: NDArray[np.float64], digits: int, width: int) -> Iterable[str]:
    """Ever shorter ways to write an array; none takes longer than its width is worth."""
    if array.ndim == 0:
        yield from (format_number(float(array), few) for few in range(digits, 0, -1))
        return
    if 2 * array.size < width:  # a number takes two columns at least, with its blank
        yield from (_nested(array, few) for few in range(digits, min(digits, 3) - 1, -1))
    # Alone, the shape of a vector would look like a number.
    shape = format_shape(array.shape)
    first = [format_number(float(x), min(digits, 3)) for x in array.flat[: max(width, 0)]]
    starts = [" ".join([*first[:count], "…"]) for count in range(len(first) - 1, 0, -1)]
    yield from (f"{shape} [{start}]" for start in starts)
    rough = [format_number(float(x), few) + " …" for few in (2, 1) for x in array.flat[:1]]
    if array.ndim == 1:
        yield from (f"[{start}]" for start in (*starts, *rough))
        yield "[…]"
    else:
        yield from (f"{shape} [{start}]" for start in rough)
        yield shape


def _nested(array: NDArray[np.float64], digits: int) -> str:
    if array.ndim == 0:
        return format_number(float(array), digits)
    return "[" + " ".join(_nested(np.asarray(row), digits) for row in array) + "]"


def format_matrix(v: Value, digits: int = 5) -> list[list[str]]:
    """The cells of a matrix as text, all cells of a column equally wide.

    Points stand under each other, unless a number of the column needs an exponent; then, and for
    `nan` and `inf`, the cells are flushed right. A scalar is one cell and a vector one row; with
    more than two axes, the rows of all blocks follow one another.
    """
    array = np.atleast_2d(np.asarray(v, dtype=np.float64))
    rows = array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    columns = [_aligned([format_number(x, digits) for x in column]) for column in rows.T.tolist()]
    return [[column[row] for column in columns] for row in range(len(rows))]


def _aligned(cells: list[str]) -> list[str]:
    if not any("e" in cell for cell in cells):
        # As many blanks after a cell as it has fewer decimals than the longest, point included.
        tails = [len(cell) - len(cell.partition(".")[0]) for cell in cells]
        longest = max(tails, default=0)
        cells = [
            cell if cell[-1].isalpha() else cell + " " * (longest - tail)
            for cell, tail in zip(cells, tails, strict=True)
        ]
    width = max(map(len, cells), default=0)
    return [cell.rjust(width) for cell in cells]


def format_shape(shape: Shape) -> str:
    """A shape as people say it: `scalar`, `3`, `5×2`."""
    return "×".join(map(str, shape)) or "scalar"


def to_json(v: Value) -> JsonValue:
    """A value as numbers in nested lists, with "nan", "inf" and "-inf" where JSON has no number.

    `parse_value(json.dumps(to_json(v)), allow_nonfinite=True)` gives the same value back.
    """
    items: JsonValue = np.asarray(v, dtype=np.float64).tolist()
    return items if np.isfinite(v).all() else _named_nonfinite(items)


def _named_nonfinite(items: JsonValue) -> JsonValue:
    if isinstance(items, list):
        return [_named_nonfinite(item) for item in items]
    return items if isinstance(items, str) or math.isfinite(items) else str(items)


def _without_zeros(decimal: str) -> str:
    """Drop the zeros (and the point) that a decimal ends with."""
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
