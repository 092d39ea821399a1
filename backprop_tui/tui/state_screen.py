"""A lesson's script on the screen: statements, and the state of each tensor after each of them."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer, Static

from backprop_tui.lessons import number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.script import (
    Moment,
    Script,
    ScriptComparison,
    ScriptRun,
    compare_script,
)
from backprop_tui.script_text import conclusion, outcome_text, sum_segments
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen, WindowSized
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece, pieces_of
from backprop_tui.tui.script_view import ScriptView
from backprop_tui.tui.state_table import StateTable

if TYPE_CHECKING:
    from backprop_tui.tui.app import BackpropApp

MIN_WIDTH, MIN_HEIGHT = 80, 24
WIDE = 150
"""From so many columns on the table stands beside the statements, else below them."""

TALL = 34
"""From so many lines on torch always has a line of its own in the table."""


def key(keys: str, action: str, text: str, tip: str, label: str | None = None) -> Binding:
    """A binding with an id made from its action, so that keys can be mapped anew."""
    show = label is not None
    return Binding(
        keys, action, text, show=show, tooltip=tip, id=f"state.{action}", key_display=label
    )


class StateScreen(WindowSized, Screen[None]):
    """Step through a script."""

    AUTO_FOCUS = "#script"

    DEFAULT_CSS = """
    StateScreen { layers: default cover; }
    StateScreen #states { height: 1fr; layout: vertical; }
    StateScreen #script { height: 1fr; }
    StateScreen #note { height: 1fr; min-height: 7; }
    StateScreen.wide #states { layout: grid; grid-size: 2 2; grid-gutter: 0 1; }
    StateScreen.wide #script { row-span: 2; height: 100%; }
    StateScreen.wide #note { height: 100%; }
    """

    HELP = """
    # Torch's state, statement by statement

    Some of what torch does has no formula: who is a leaf, whose gradient is kept, what is added
    up. The statements are run by torch itself; `!` stands behind one that it refuses. After each
    stands what every tensor is like, predicted by hand and as torch reports it. Predict the next
    state yourself before you look.

    **→ and ←** (↓ and ↑, a click) move from statement to statement. `▸` marks what a statement
    has changed, `+` a new tensor, `✓` that torch says what was predicted, `✗` that it does not.
    In a low window torch has a line of its own only where it differs.

    - **is_leaf**: no recorded operation made it: you did, or it was computed without a history
    - **requires_grad**: backward passes work out its gradient
    - **retains_grad**: it keeps its gradient although it is no leaf
    - **grad**: what backward passes have added up; None where there is none
    - **grad_fn**: the node of autograd's graph that sends its gradient on
    - **made**: the number of the statement that made the tensor
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("left,p", "previous", "Prev", "To the statement before", "←"),
        key("right,n", "next", "Next", "To the next statement", "→"),
        key("home", "first", "Start", "To before the first statement", "home"),
        key("end", "last", "End", "To the last statement", "end"),
        key("question_mark,f1", "help", "Help", "Help on what has the focus", "?"),
        key("escape,s", "leave", "Lesson", "Back to the lesson's graph", "esc"),
    ]

    def __init__(
        self, lesson: Lesson, script: Script, run: ScriptRun | None, torch_text: str
    ) -> None:
        """`torch_text` stands in torch's place while `run` is None."""
        super().__init__()
        self.lesson = lesson
        self.script = script
        self.position = -1
        self._moments = script.moments()
        self._run = run
        self.comparison: ScriptComparison | None = None
        """The predictions beside torch, once it has answered."""
        self._torch_text = torch_text
        self._ready = False

    def compose(self) -> ComposeResult:
        yield Heading(id="heading")
        with Container(id="states"):
            yield ScriptView(self.script, id="script")
            yield StateTable(self.script, id="table")
            yield LinesView(id="note")
        yield Footer(show_command_palette=False)
        yield Static(id="too-small")

    def on_mount(self) -> None:
        self._ready = True
        self._fit(self.app.size.width, self.app.size.height)
        self.show_torch(self._run, self._torch_text)

    def on_resize(self) -> None:
        if self._ready:
            self._fit(self.app.size.width, self.app.size.height)
            self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._ready and self.is_attached

    def _fit(self, width: int, height: int) -> None:
        """Arrange the panels for a size of the terminal."""
        too_small = width < MIN_WIDTH or height < MIN_HEIGHT
        self.set_class(too_small, "too-small")
        if too_small:
            text = f"{MIN_WIDTH}×{MIN_HEIGHT} needed, this is {width}×{height}"
            self.query_one("#too-small", Static).update(text)
        wide = width >= WIDE
        self.set_class(wide, "wide")
        script, table = self.query_one(ScriptView), self.query_one(StateTable)
        table.compact = height < TALL
        tall = table.needed_height(table.compact)
        states = self.query_one("#states")
        if wide:
            states.styles.grid_columns = f"{script.needed_width} 1fr"
            states.styles.grid_rows = f"{tall} 1fr"
        table.styles.height = "100%" if wide else tall

    # ── showing ───────────────────────────────────────────────────────────────────────────

    def show_torch(self, run: ScriptRun | None, torch_text: str) -> None:
        """Torch has answered, or what stands in its place is different now."""
        self._run, self._torch_text = run, torch_text
        self.comparison = None if run is None else compare_script(self.script, run)
        if self._ready:
            self._show()

    def _moment(self, position: int) -> Moment:
        return self._moments[position] if position >= 0 else Moment({})

    def _show(self) -> None:
        position = self.position
        actual = None
        if self._run is not None and position >= 0:
            actual = self._run.moments[position]
        self.query_one(ScriptView).show_position(position)
        table = self.query_one(StateTable)
        table.border_title = (
            "No tensors yet"
            if position < 0
            else f"State after statement {position + 1}: ▸ changed, + new"
        )
        before = self._moment(max(position - 1, -1))
        table.show_moment(self._moment(position), before, actual, self._torch_text)
        note = self.query_one("#note", LinesView)
        note.border_title = "What to notice"
        if position >= 0:
            note.border_title += f": {position + 1}  {self.script.statements[position].code}"
        note.set_paragraphs(self._paragraphs())
        self._show_heading()

    def _paragraphs(self) -> list[Paragraph]:
        position = self.position
        if position < 0:
            hint = "Press → to run the first statement."
            return [Paragraph((Piece(self.script.intro),)), Paragraph(()), _hint(hint)]
        statement = self.script.statements[position]
        before = self._moment(position - 1).states
        found = [Paragraph((Piece(f"✗ {wrong}", "differ"),), 2) for wrong in self._wrong_here()]
        found += [Paragraph(pieces_of(sum_segments(told, before)), 4) for told in statement.sums]
        found.append(Paragraph((Piece(statement.note),)))
        actual = None if self._run is None else self._run.moments[position]
        outcome = outcome_text(statement.raises, actual)
        if outcome:
            role = "differ" if outcome.startswith("✗") else "notice"
            found.append(Paragraph((Piece(outcome, role),), 2))
        if position == len(self._moments) - 1:
            found.append(_hint("The script is over. Esc goes back to the lesson's graph."))
        return found

    def _wrong_here(self) -> list[str]:
        if self.comparison is None:
            return []
        number = self.position + 1
        return [str(m) for m in self.comparison.mismatches if m.statement == number]

    def _show_heading(self) -> None:
        title = f" {number_of(self.lesson)} · {self.lesson.title} · torch's state"
        where = f"statement {self.position + 1}/{len(self._moments)} · "
        if self.comparison is None:
            beside = Piece(f"torch {self._torch_text} ", "muted")
        elif self.comparison.agree:
            text = conclusion(self.comparison)
            short = self.app.size.width < 120  # the numbers would push the title out
            beside = Piece(f"torch ✓ {text.split(':')[0] if short else text} ", "agree")
        else:
            wrong = self.comparison.mismatches[0]
            beside = Piece(f"torch ✗ differs at {wrong.statement}, {wrong.what} ", "differ")
        self.query_one(Heading).show((Piece(title, "title"),), (Piece(where, "muted"), beside))

    # ── moving ────────────────────────────────────────────────────────────────────────────

    def go_to(self, position: int) -> None:
        """Show the state after a statement, by its index; −1 for before the first."""
        position = max(-1, min(position, len(self._moments) - 1))
        if position != self.position:
            self.position = position
            self._show()
        if position == len(self._moments) - 1:
            cast("BackpropApp", self.app).mark_done(self.lesson.id)

    def action_next(self) -> None:
        self.go_to(self.position + 1)

    def action_previous(self) -> None:
        self.go_to(self.position - 1)

    def action_first(self) -> None:
        self.go_to(-1)

    def action_last(self) -> None:
        self.go_to(len(self._moments) - 1)

    def on_script_view_picked(self, message: ScriptView.Picked) -> None:
        self.go_to(message.position)

    def action_help(self) -> None:
        text = getattr(self.focused, "HELP", None) or self.HELP
        keys = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.id is not None and binding.tooltip:
                keys[binding.id] = (self.app.get_key_display(binding), binding.tooltip)
        self.app.push_screen(HelpScreen(cleandoc(text), list(keys.values())))

    def action_leave(self) -> None:
        self.app.pop_screen()


def _hint(text: str) -> Paragraph:
    return Paragraph((Piece("▸ ", "gradient"), Piece(text, "gradient")), 2)
