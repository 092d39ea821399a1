"""Torch's functions that rearrange, copy, cut up and multiply tensors, for `xp`.

Each means what torch's function of that name means; `xp` offers them, and `Var` as methods.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_tui.engine.operations import contractions, shapes
from backprop_tui.engine.operations.arrangement import Exchange, Expand, Permute, Repeat
from backprop_tui.engine.operations.contractions import turned_equations
from backprop_tui.engine.tape import UnsupportedProgram, Var, binary, product, tape_of, unary

_permute, _expand, _repeat = unary(Permute, 2), unary(Expand, 2), unary(Repeat, 2)
_reshape, _index, _piece = unary(shapes.Reshape, 2), unary(shapes.Index, 2), unary(shapes.Index, 3)
_transpose, _exchange = unary(shapes.Transpose, 2), unary(Exchange, 2)
_outer = binary(contractions.Outer, 2)


def _sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """`x.permute(0, 2, 1)` and `x.permute((0, 2, 1))` alike."""
    one = len(given) == 1 and isinstance(given[0], tuple | list)
    return tuple(given[0]) if one else given


def _axis(input: Var, dim: int, more: int = 0) -> int:
    """A dimension counted from the front."""
    ndim = input.ndim + more
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise UnsupportedProgram(f"there is no dimension {dim} in a tensor with {ndim} dimensions")
    return dim % ndim if ndim else 0


# ── order and shape ───────────────────────────────────────────────────────────────────────────


def transpose(input: Var, dim0: int, dim1: int) -> Var:
    """Two dimensions exchanged."""
    if input.ndim <= 2:
        return _transpose(input, {"dim0": dim0, "dim1": dim1})
    return _exchange(input, {"dim0": _axis(input, dim0), "dim1": _axis(input, dim1)})


def permute(input: Var, *dims: Any) -> Var:
    """The dimensions in another order; as a method also `x.permute(0, 2, 1)`."""
    order = tuple([_axis(input, dim) for dim in _sizes(dims)])
    if sorted(order) != list(range(input.ndim)):
        raise UnsupportedProgram(f"permute needs each of the {input.ndim} dimensions once")
    return _permute(input, {"dims": order})


def flatten(input: Var, start_dim: int = 0, end_dim: int = -1) -> Var:
    """Several neighbouring dimensions as one."""
    first, last = _axis(input, start_dim), _axis(input, end_dim)
    if last < first:
        raise UnsupportedProgram("flatten: start_dim stands behind end_dim")
    shape = input.shape
    merged = int(np.prod(shape[first : last + 1]))
    return _reshape(input, {"shape": (*shape[:first], merged, *shape[last + 1 :])})


def unflatten(input: Var, dim: int, sizes: Any) -> Var:
    """One dimension as several; one of the sizes may be −1."""
    axis, shape = _axis(input, dim), input.shape
    found = list(sizes)
    if -1 in found:
        known = -int(np.prod(found))
        found[found.index(-1)] = shape[axis] // known if known else 0
    if int(np.prod(found)) != shape[axis]:
        raise UnsupportedProgram(f"unflatten: {tuple(sizes)} has not {shape[axis]} cells")
    return _reshape(input, {"shape": (*shape[:axis], *found, *shape[axis + 1 :])})


def flip(input: Var, *dims: Any) -> Var:
    """The order of the cells turned round along some dimensions."""
    turned = {_axis(input, dim) for dim in _sizes(dims)}
    parts = [slice(None, None, -1 if axis in turned else None) for axis in range(input.ndim)]
    return _index(input, {"index": tuple(parts)})


# ── copies ────────────────────────────────────────────────────────────────────────────────────


def _expanded(input: Var, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape after `expand`: −1 keeps a dimension as it is."""
    new = len(sizes) - input.ndim
    own = (*[None] * new, *input.shape)
    if new < 0 or any(
        n == -1 if now is None else now not in (n, 1) and n != -1
        for n, now in zip(sizes, own, strict=True)
    ):
        raise UnsupportedProgram(f"expand: {input.shape} cannot be repeated to {sizes}")
    pairs = zip(sizes, own, strict=True)
    return tuple([now if n == -1 and now is not None else n for n, now in pairs])


def expand(input: Var, *sizes: Any) -> Var:
    """Dimensions of length 1 repeated, and new ones put in front, as by broadcasting."""
    return _expand(input, {"shape": _expanded(input, _sizes(sizes))})


def broadcast_to(input: Var, size: Any) -> Var:
    """The same with the shape as one argument."""
    return _expand(input, {"shape": _expanded(input, tuple(size))})


def repeat(input: Var, *repeats: Any) -> Var:
    """The whole tensor so many times along each dimension (a method in torch)."""
    sizes = _sizes(repeats)
    if len(sizes) < input.ndim:
        raise UnsupportedProgram(f"repeat needs a number for each of the {input.ndim} dimensions")
    return _repeat(input, {"sizes": sizes})


def tile(input: Var, dims: Any) -> Var:
    """The same; of missing numbers the first ones are 1."""
    sizes = tuple(dims)
    return _repeat(input, {"sizes": (*[1] * (input.ndim - len(sizes)), *sizes)})


# ── several results ───────────────────────────────────────────────────────────────────────────


def _pieces(input: Var, axis: int, parts: list[Any]) -> tuple[Var, ...]:
    """`input[…, part]` for each part of an axis, in order: `a, b = …` names them one by one."""
    found = []
    for part in parts:  # a comprehension would be a frame of its own before Python 3.12
        found.append(_piece(input, {"index": (*[slice(None)] * axis, part)}))  # noqa: PERF401
    return tuple(found)


def split(tensor: Var, split_size_or_sections: Any, dim: int = 0) -> tuple[Var, ...]:
    """Pieces of one size (the last may be smaller), or of the sizes in a list."""
    axis = _axis(tensor, dim)
    length = tensor.shape[axis]
    sizes = split_size_or_sections
    if isinstance(sizes, int):
        if sizes <= 0:
            raise UnsupportedProgram("split needs pieces of at least one cell")
        ends = [*range(sizes, length, sizes), length]
    else:
        ends = np.cumsum(sizes, dtype=int).tolist()
        if ends[-1:] != [length]:
            raise UnsupportedProgram(f"split: the sizes {list(sizes)} do not add up to {length}")
    starts = [0, *ends[:-1]]
    return _pieces(tensor, axis, [slice(a, b) for a, b in zip(starts, ends, strict=True)])


def chunk(input: Var, chunks: int, dim: int = 0) -> tuple[Var, ...]:
    """As many pieces of one size; the last may be smaller, or there may be fewer."""
    axis = _axis(input, dim)
    length = input.shape[axis]
    size = max(-(-length // chunks), 1)
    ends = [*range(size, length, size), length]
    starts = [0, *ends[:-1]]
    return _pieces(input, axis, [slice(a, b) for a, b in zip(starts, ends, strict=True)])


def unbind(input: Var, dim: int = 0) -> tuple[Var, ...]:
    """The rows, or what lies along another dimension, one by one."""
    axis = _axis(input, dim)
    return _pieces(input, axis, list(range(input.shape[axis])))


# ── products ──────────────────────────────────────────────────────────────────────────────────


def _ranks(*operands: Any) -> list[int]:
    """The operands' numbers of dimensions; they may be constants."""
    return [np.ndim(side.value if isinstance(side, Var) else side) for side in operands]


def bmm(input: Var, mat2: Var) -> Var:
    """Batches of matrices, (N, m, n) · (N, n, p) → (N, m, p)."""
    if _ranks(input, mat2) != [3, 3]:
        raise UnsupportedProgram("bmm needs two batches of matrices: 3 dimensions each")
    return product(input, mat2)(input, mat2)


def outer(input: Var, vec2: Var) -> Var:
    """Every cell of one vector times every cell of another."""
    if _ranks(input, vec2) != [1, 1]:
        raise UnsupportedProgram("outer needs two vectors")
    return _outer(input, vec2)


def einsum(equation: str, *operands: Any) -> Var:
    """Two operands, multiplied along equal letters and summed over those not in the result."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    try:
        params = turned_equations(equation)
    except ValueError as error:
        raise UnsupportedProgram(str(error)) from None
    named = params["equation"].split("->")[0].split(",")
    if [len(letters) for letters in named] != _ranks(*operands):
        raise UnsupportedProgram(f"einsum: '{equation}' does not name all dimensions")
    return tape_of(operands).record(contractions.Einsum, operands, params)


METHODS = (
    permute, flatten, unflatten, flip, expand, broadcast_to, repeat, tile,
    split, chunk, unbind, bmm, outer,
)  # fmt: skip


def _install_methods() -> None:
    """Let `x.permute(0, 2, 1)` be the same as `xp.permute(x, (0, 2, 1))`, as in torch."""
    for function in METHODS:
        if function is not tile:
            setattr(Var, function.__name__, function)

    def tile_method(self: Var, *dims: Any) -> Var:
        sizes = _sizes(dims)
        return _repeat(self, {"sizes": (*[1] * (self.ndim - len(sizes)), *sizes)})

    def size(self: Var, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    Var.tile, Var.size = tile_method, size  # type: ignore[attr-defined]


_install_methods()
