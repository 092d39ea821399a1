"""A lesson under torch itself: every call recorded, every gradient asked for at once.

Only this module and `torch_script` import torch. The program that runs here is the learner's or the
lesson's own code with `xp` = torch, under torch's own autograd; our graph has no part in it. Each
call is remembered with the place in the source where it stands, which is all that it shares with
a node of ours.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from backprop_tui.engine.broadcasting import Shape
from backprop_tui.engine.opening import Opened, opening
from backprop_tui.engine.operations import Value
from backprop_tui.engine.provenance import Locator, RawPlace, main_code
from backprop_tui.engine.torch_record import Structure, TorchEdges, TorchRun, place_keys

VERSION = str(torch.__version__)

torch.set_default_dtype(torch.float64)  # what a program makes itself (zeros, …) is as fine as ours
torch.set_num_threads(1)  # for such small tensors handing work around costs more than the work


class TorchProgramError(Exception):
    """The program runs under torch but gives nothing to start a backward pass from."""


def run_torch(
    program: Callable[..., Any],
    leaves: Mapping[str, Value],
    sizes: Mapping[str, int] | None = None,
    *,
    edges: bool = False,
    opened: Opened | None = None,
) -> TorchRun:
    """Run `program(torch, **leaves, **sizes)` and return every value and gradient.

    The backward pass starts from the output with 1 in every cell. With `edges` torch's own
    contribution along each edge is recorded too, at about twice the cost. The nodes in `opened`
    are computed in primitive steps.

    Raises TorchProgramError if the output is not a tensor, and whatever the program raises.
    """
    collecting = gc.isenabled()
    gc.disable()  # what is recorded is kept: collecting would only walk over ever more of it
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            inputs = {name: _leaf(value) for name, value in leaves.items()}
            recorder = _Recorder(main_code(program))
            with recorder:
                output = program(opening(torch, opened), **inputs, **(sizes or {}))
            recorder.close()
            if not isinstance(output, torch.Tensor):
                raise TorchProgramError(
                    f"the program must return a tensor, not {type(output).__name__}"
                )
            return _finish(inputs, recorder, output, edges)
    finally:
        if collecting:
            gc.enable()


def _leaf(value: Value) -> torch.Tensor:
    if type(value) is float:
        return torch.tensor(value, dtype=_FLOAT64, requires_grad=True)
    return torch.from_numpy(np.array(value, dtype=np.float64)).requires_grad_()


_TENSOR = torch.Tensor
_FLOAT64 = torch.float64

_HERE = (str(Path(torch.__file__).parent), __file__)
_INSIDE: dict[int, bool] = {}  # for code objects by id: whether they are torch's or ours
_CODES: list[CodeType] = []  # keeps them alive, so that their ids stay theirs


def _is_inside(code: CodeType) -> bool:
    inside = _INSIDE.get(id(code))
    if inside is None:
        inside = _INSIDE[id(code)] = code.co_filename.startswith(_HERE)
        _CODES.append(code)
    return inside


class _Call(Enum):
    """What has to be known about a function before it is called."""

    PLAIN = auto()
    IN_PLACE = auto()
    """It changes its first argument."""
    ROWS = auto()
    """It may be what `for row in tensor` does."""


_PLAIN, _IN_PLACE, _ROWS = _Call
_ITER = torch.Tensor.__iter__.__code__

_IN_PLACE_OPERATORS = {
    "__setitem__", "__iadd__", "__isub__", "__imul__", "__idiv__", "__itruediv__",
    "__ifloordiv__", "__imod__", "__ipow__", "__imatmul__", "__iand__", "__ior__", "__ixor__",
    "__ilshift__", "__irshift__",
}  # fmt: skip

_CALLS: dict[Any, _Call] = {}


def _examine(function: Any) -> _Call:
    name = getattr(function, "__name__", "")
    call = _Call.PLAIN
    if function is torch.Tensor.unbind:
        call = _Call.ROWS
    elif name in _IN_PLACE_OPERATORS or (name.endswith("_") and not name.endswith("__")):
        call = _Call.IN_PLACE
    _CALLS[function] = call
    return call


class _Recorder(TorchFunctionMode):
    """Keeps the result of every call that yields a tensor of floats, and where it stood.

    Torch shows a mode the outermost calls only, functions and methods alike, in order.
    """

    def __init__(self, main: CodeType | None) -> None:
        super().__init__()
        self._main = main
        self._locator = Locator(main)
        self._spot = self._locator.spot
        self.results: list[torch.Tensor] = []
        self.places: list[RawPlace | None] = []
        self.grad_edges: dict[int, GradientEdge] = {}
        """For results that have been changed in place since: where their gradient flows."""
        self._settled = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        call = _CALLS.get(func)
        if call is not _PLAIN:
            call = _examine(func) if call is None else call
            if call is _IN_PLACE:
                self._settle()
            elif call is _ROWS and sys._getframe(1).f_code is _ITER:
                return self._rows(args[0])
        result = func(*args, **kwargs) if kwargs else func(*args)
        if (
            result.dtype is _FLOAT64
            if type(result) is _TENSOR
            else isinstance(result, _TENSOR) and result.is_floating_point()
        ):
            frame: FrameType | None = sys._getframe(1)
            while (code := frame.f_code) is not self._main and _is_inside(code):  # type: ignore[union-attr]
                frame = frame.f_back  # type: ignore[union-attr]
                if frame is None:
                    break
            self.results.append(result)
            self.places.append(None if frame is None else self._spot(frame))
        elif isinstance(result, tuple | list):
            self._keep_pieces(result, sys._getframe(1))
        return result

    def _keep_pieces(self, pieces: Sequence[Any], frame: FrameType | None) -> None:
        """Several results of one call, as of split: each at the same place, in their order."""
        found = [p for p in pieces if isinstance(p, _TENSOR) and p.is_floating_point()]
        if not found:
            return
        while frame is not None and frame.f_code is not self._main and _is_inside(frame.f_code):
            frame = frame.f_back
        for piece in found:  # asked for each, as the tape does: a loop's turn may be read anew
            self.results.append(piece)
            self.places.append(None if frame is None else self._spot(frame))

    def _rows(self, tensor: torch.Tensor) -> Iterator[torch.Tensor]:
        """`for row in tensor`: each row when its turn comes, as the tape does it."""
        for index in range(len(tensor)):
            yield tensor[index]

    def close(self) -> None:
        """Let go of the program's frames: the run is over."""
        self._locator.close()

    def _settle(self) -> None:
        """Before a change in place: what is there now is copied, as is the way to its gradient."""
        for number in range(self._settled, len(self.results)):
            result = self.results[number]
            if result.requires_grad:
                self.grad_edges[number] = get_gradient_edge(result)
            self.results[number] = result.detach().clone()
        self._settled = len(self.results)


def _finish(
    inputs: dict[str, torch.Tensor], recorder: _Recorder, output: torch.Tensor, edges: bool
) -> TorchRun:
    """Ask for all gradients and lay everything out flat."""
    entries = [*inputs.values(), *recorder.results]
    offset = len(inputs)
    wanted: list[Any] = []
    wanted_entries: list[int] = []
    for entry, tensor in enumerate(entries):
        edge = recorder.grad_edges.get(entry - offset) if recorder.grad_edges else None
        if edge is not None or tensor.requires_grad:
            wanted.append(edge or tensor)
            wanted_entries.append(entry)
    hooks = _EdgeHooks(wanted, wanted_entries, offset) if edges else None
    gradients: tuple[torch.Tensor | None, ...]
    if output.requires_grad:
        start = torch.ones_like(output) if output.dim() else None
        gradients = torch.autograd.grad(output, wanted, start, allow_unused=True)
    else:
        gradients = (None,) * len(wanted)
    arrived = dict(zip(wanted_entries, gradients, strict=True)) if edges else {}
    structure = Structure(
        tuple(inputs),
        place_keys(recorder.places),
        tuple([tuple(tensor.shape) for tensor in entries]),
    )
    given = np.ones(len(entries), dtype=np.bool_)
    if len(wanted) < len(entries) or any([g is None for g in gradients]):  # noqa: C419
        found = dict(zip(wanted_entries, gradients, strict=True))
        given = np.array([found.get(entry) is not None for entry in range(len(entries))])
        with torch.no_grad():
            filled = [found.get(entry) for entry in range(len(entries))]
            pairs = zip(entries, filled, strict=True)
            gradients = tuple([torch.zeros_like(t) if g is None else g for t, g in pairs])
    with torch.no_grad():
        values = _flat(entries, structure.groups)
        slopes = _flat(gradients, structure.groups)
        sent = None if hooks is None else hooks.collect(entries, arrived)
    return TorchRun(structure, values, slopes, given, sent)


def _flat(tensors: Sequence[Any], groups: Mapping[Shape, list[int]]) -> NDArray[np.float64]:
    """All cells one after the other, group by group: a group's tensors have one shape, so that
    torch joins them without looking at each."""
    if not tensors:
        return np.zeros(0)
    if any([tensor.dtype is not _FLOAT64 for tensor in tensors]):  # noqa: C419
        tensors = [tensor.double() for tensor in tensors]
    parts = []
    for shape, members in groups.items():
        together = [tensors[entry] for entry in members]
        joined = torch.cat(together) if shape else torch.stack(together)
        parts.append(joined.reshape(-1))
    return cast(NDArray[np.float64], torch.cat(parts).numpy())


class _EdgeHooks:
    """Listens to autograd's own nodes for what each sends to each operand.

    A call may make several autograd nodes (`v @ M` is unsqueeze, mm, squeeze). Those behind its
    result, as far as the next recorded result or leaf, are the call's own; what they send there
    is what the call sends to that operand, already summed over broadcast axes by the engine.
    """

    def __init__(self, wanted: list[Any], entries: list[int], offset: int) -> None:
        self._sent: dict[Any, tuple[torch.Tensor | None, ...]] = {}
        self._parts: list[tuple[int, int, Any, int]] = []  # source, target, node, output of it
        self._pieces: list[tuple[int, int, Any, int]] = []  # the same for calls of several results
        self._results: dict[Any, dict[int, int]] = {}  # those calls' results: number → entry
        at: dict[tuple[Any, int], int] = {}
        self._alive = [w if isinstance(w, GradientEdge) else get_gradient_edge(w) for w in wanted]
        for edge, entry in zip(self._alive, entries, strict=True):
            key = (edge.node, edge.output_nr)
            if key not in at:  # a call that returned its operand as it is adds no edge
                at[key] = entry
                self._results.setdefault(edge.node, {})[edge.output_nr] = entry
        for (node, _), entry in at.items():
            if entry < offset:
                continue
            if len(self._results[node]) == 1:
                self._listen(entry, node, at)
                continue
            for number, key in enumerate(node.next_functions):
                if key in at:
                    self._pieces.append((entry, at[key], node, number))

    def _listen(self, entry: int, start: Any, at: dict[tuple[Any, int], int]) -> None:
        seen = {start}
        waiting = [self._heard(start)]
        while waiting:  # in depth, so that edges to one target come in the operands' order
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
                continue
            node, number, key = found
            target = at.get(key)
            if target is not None:
                self._parts.append((entry, target, node, number))
            elif key[0] is not None and key[0] not in seen:
                seen.add(key[0])
                waiting.append(self._heard(key[0]))

    def _heard(self, node: Any) -> Iterator[tuple[Any, int, tuple[Any, int]]]:
        """Listen to an autograd node; where it sends to, one after the other."""
        if node not in self._sent:
            self._sent[node] = ()
            node.register_hook(self._hook(node))
        ways = [(node, number, key) for number, key in enumerate(node.next_functions)]
        if node.name().startswith("Addmm"):  # linear(input, weight, bias), the bias in front
            ways.append(ways.pop(0))
        return iter(ways)

    def _hook(self, node: Any) -> Callable[..., None]:
        def listen(sent: tuple[torch.Tensor | None, ...], received: Any) -> None:
            self._sent[node] = sent

        return listen

    def _of_one_result(self, node: Any, entry: int, arrived: Mapping[int, Any]) -> Sequence[Any]:
        """What a call of several results sends because of one of them: its autograd node sends
        all together, so it is asked again with the gradient of that one alone."""
        results = self._results[node]
        given = [results.get(number) for number in range(max(results) + 1)]
        try:
            sent = node(*[arrived.get(entry) if which == entry else None for which in given])
        except RuntimeError:  # it has let go of what it needs: then nobody can tell
            return ()
        return sent if isinstance(sent, tuple) else (sent,)

    def collect(
        self, entries: list[torch.Tensor], arrived: Mapping[int, torch.Tensor | None]
    ) -> TorchEdges:
        """What was sent, once the backward pass has run; `arrived`: the entries' gradients."""
        sources: list[int] = []
        targets: list[int] = []
        values: list[torch.Tensor] = []
        told: list[tuple[int, int, Sequence[Any], int]] = [
            (source, target, self._sent[node], number)
            for source, target, node, number in self._parts
        ]
        told += [
            (source, target, self._of_one_result(node, source, arrived), number)
            for source, target, node, number in self._pieces
            if arrived.get(source) is not None
        ]
        for source, target, sent, number in told:
            part = sent[number] if number < len(sent) else None
            if part is not None and part.shape == entries[target].shape:
                sources.append(source)
                targets.append(target)
                values.append(part)
        self._sent.clear()  # breaks the cycle of node, hook and us
        self._results.clear()
        cells = [part.reshape(-1) for part in values] or [torch.zeros(0, dtype=_FLOAT64)]
        flat = torch.cat(cells).double().numpy()
        return TorchEdges(np.array(sources, np.intp), np.array(targets, np.intp), flat)
