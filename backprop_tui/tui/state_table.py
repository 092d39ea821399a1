"""The state of each tensor as a table: by hand, and what torch says beside it."""

from __future__ import annotations

from typing import Any

from backprop_tui.lessons.script import (
    FIELDS,
    Actual,
    Moment,
    Script,
    TensorState,
    cell_agrees,
)
from backprop_tui.script_text import field_text
from backprop_tui.tui.painted import Painted, Piece, Pieces

CHANGED, NEW, WRONG = "▸", "+", "✗"
BY_HAND, TORCH = "by hand", "torch"


class StateTable(Painted):
    """Shows what each tensor is like after a statement."""

    def __init__(self, script: Script, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._layout_of = TableLayout(script)
        self._rows: list[Pieces] = []
        self.compact = False

    def show_moment(
        self, moment: Moment, before: Moment, actual: Actual | None, torch_text: str
    ) -> None:
        """Show a moment; `torch_text` stands where nothing from torch is there yet."""
        layout = self._layout_of
        self._rows = layout.rows(moment, before, actual, torch_text, compact=self.compact)
        self.set_height(len(self._rows), layout.width(self.compact))
        self.repaint()

    def needed_height(self, compact: bool) -> int:
        """Its height with all tensors there, the border and the line of captions included."""
        return 2 + len(self._layout_of.names) * (1 if compact else 2)

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return "\n".join("".join(piece.text for piece in row) for row in self._rows)

    def paint_line(self, y: int) -> Pieces:
        return self._rows[y] if y < len(self._rows) else ()


class TableLayout:
    """Columns as wide as the widest text of the whole script, so that stepping moves nothing."""

    def __init__(self, script: Script) -> None:
        self.names = script.names
        moments = script.moments()
        self._widths = {
            what: max(
                len(what),
                *(len(_text(s, what)) for m in moments for s in m.states.values()),
            )
            for what in FIELDS
        }
        self._name_width = max(map(len, self.names))

    def width(self, compact: bool) -> int:
        """The columns that the table takes."""
        end = 0 if compact else len(" ✗ differs")
        return self._start(compact) + sum(w + 2 for w in self._widths.values()) + end

    def rows(
        self,
        moment: Moment,
        before: Moment,
        actual: Actual | None,
        torch_text: str,
        *,
        compact: bool,
    ) -> list[Pieces]:
        """The captions, then each tensor: by hand and torch, or in one line where both agree."""
        found = [self._captions(compact)]
        theirs_of = {} if actual is None else actual.states
        for name in dict.fromkeys([*moment.states, *theirs_of]):
            ours, earlier = moment.states.get(name), before.states.get(name)
            theirs = theirs_of.get(name)
            agree = _agree(ours, theirs)
            new = ours is not None and earlier is None
            mark = Piece(NEW if new else " ", "active")
            start = (mark, Piece(name.ljust(self._name_width), "title"))
            hand = self._cells(ours, earlier, None, "not there")
            verdict = _verdict(agree) if actual is not None else Piece(" …", "muted")
            if compact:
                space = self._start(True) - 1 - self._name_width - len(verdict.text)
                found.append((*start, Piece(" " * space), verdict, *hand))
                if actual is not None and not agree:
                    found.append(self._torch_row(theirs, ours, earlier, compact, "not there"))
                continue
            found.append((*start, Piece(f" {BY_HAND} ", "muted"), *hand))
            missing = torch_text if actual is None else "not there"
            row = self._torch_row(theirs, ours, earlier, compact, missing)
            if actual is not None:
                word = " agrees" if agree else " differs"
                row = (*row, verdict, Piece(word, verdict.role))
            found.append(row)
        return found

    def _start(self, compact: bool) -> int:
        """How many columns come before the first field."""
        if compact:
            return 1 + max(self._name_width + len(" ✓"), len(TORCH))
        return 1 + self._name_width + 1 + len(BY_HAND) + 1

    def _captions(self, compact: bool) -> Pieces:
        text = " " * self._start(compact)
        for what in FIELDS:
            text += "  " + what.ljust(self._widths[what])
        return (Piece(text, "muted"),)

    def _torch_row(
        self,
        theirs: TensorState | None,
        ours: TensorState | None,
        earlier: TensorState | None,
        compact: bool,
        missing: str,
    ) -> Pieces:
        before = " " if compact else " " * (2 + self._name_width)
        label = f"{before}{TORCH}".ljust(self._start(compact))
        return (Piece(label, "muted"), *self._cells(theirs, earlier, ours, missing))

    def _cells(
        self,
        state: TensorState | None,
        earlier: TensorState | None,
        predicted: TensorState | None,
        missing: str,
    ) -> Pieces:
        """The fields of one state, marked where they have changed or are not as predicted."""
        if state is None:
            room = sum(w + 2 for w in self._widths.values()) - 2
            return (Piece(f"  {missing}".ljust(room + 2), "muted"),)
        pieces: list[Piece] = []
        for what in FIELDS:
            wrong = predicted is not None and not cell_agrees(what, predicted, state)
            changed = earlier is not None and not cell_agrees(what, earlier, state)
            mark = WRONG if wrong else CHANGED if changed else " "
            role = "differ" if wrong else _role(what)
            text = _text(state, what)
            pieces.append(Piece(f" {mark}", "differ" if wrong else "active"))
            pieces.append(Piece(text, f"{role} lit" if changed else role))
            pieces.append(Piece(" " * (self._widths[what] - len(text))))
        return tuple(pieces)


def _text(state: TensorState, what: str) -> str:
    value: Any = getattr(state, what)
    return field_text(value)


def _role(what: str) -> str:
    return {"value": "value", "grad": "gradient"}.get(what, "plain")


def _agree(ours: TensorState | None, theirs: TensorState | None) -> bool:
    if ours is None or theirs is None:
        return False
    return all(cell_agrees(what, ours, theirs) for what in FIELDS)


def _verdict(agree: bool) -> Piece:
    return Piece(" ✓", "agree") if agree else Piece(" ✗", "differ")
