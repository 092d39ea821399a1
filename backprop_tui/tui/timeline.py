"""The timeline: all steps in one line, to see where one is and to click on."""

from __future__ import annotations

from rich.segment import Segment as RichSegment
from textual import events
from textual.message import Message
from textual.strip import Strip

from backprop_tui.session import Session
from backprop_tui.tui.glyphs import plain
from backprop_tui.tui.painted import Painted


class Timeline(Painted, can_focus=False):
    """One line: the forward pass on the left, the backward pass on the right, and the cursor."""

    DEFAULT_CSS = """
    Timeline { height: 1; border: none; padding: 0; background: $panel; }
    Timeline:focus { border: none; }
    """

    class Picked(Message):
        """A place on the timeline was clicked."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._session: Session | None = None
        self.playing = False

    def show_session(self, session: Session) -> None:
        """Follow a session's cursor."""
        self._session = session
        self.refresh()

    @property
    def _label(self) -> str:
        assert self._session is not None
        session = self._session
        steps = str(session.last_position + 1)
        # As wide at the first step as at the last, so that the line beside it stays where it is.
        number = f" step {session.position + 1}/{steps} ".rjust(2 * len(steps) + len(" step / "))
        return ("▶" if self.playing else " ") + number

    def render_line(self, y: int) -> Strip:
        base = self.base
        width = self.size.width
        session = self._session
        if session is None or y:
            return Strip([RichSegment(" " * width, base)], width)
        label = self._label
        room = max(1, width - len(label) - 1)
        steps = session.last_position + 1
        backward = session.trace.steps.backward_start
        cursor = self.column_of(session.position, room)
        border = self.column_of(backward, room)
        segments = [RichSegment(self._shown(label), self.style("title"))]
        run, run_role = "", ""
        for column in range(room):
            forward = column < border
            role = "value" if forward else "gradient"
            done = column <= cursor and session.position >= 0
            character = ("━" if done else "┄") if steps else " "
            if column == cursor and session.position >= 0:
                character = "◀" if session.in_backward else "▶"
                role = "title"
            if not done:
                role = "muted"
            if role != run_role and run:
                segments.append(RichSegment(self._shown(run), self.style(run_role)))
                run = ""
            run, run_role = run + character, role
        segments.append(RichSegment(self._shown(run), self.style(run_role or "muted")))
        segments.append(RichSegment(" ", base))
        return Strip(segments).adjust_cell_length(width, base)

    def _shown(self, text: str) -> str:
        return plain(text, True) if self.ascii else text

    def column_of(self, position: int, room: int) -> int:
        """The column at which a step is drawn."""
        assert self._session is not None
        last = max(1, self._session.last_position)
        return round(max(0, position) * (room - 1) / last)

    def on_click(self, event: events.Click) -> None:
        if self._session is None:
            return
        event.stop()
        offset = event.get_content_offset(self)
        if offset is None:
            return
        start = len(self._label)
        room = max(1, self.size.width - start - 1)
        share = min(max(offset.x - start, 0), room - 1) / max(1, room - 1)
        self.post_message(self.Picked(round(share * self._session.last_position)))
