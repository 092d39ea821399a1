"""The first screen: all lessons, and what the one under the cursor is about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Input, Static

from backprop_tui.lessons import catalogue, find_lesson, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import duration, minutes_of, prerequisites
from backprop_tui.session import EditRefused, Session
from backprop_tui.tui import about
from backprop_tui.tui.equations_view import equations
from backprop_tui.tui.graph_model import Zoom, build
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen, WindowSized
from backprop_tui.tui.lesson_list import LessonList
from backprop_tui.tui.lesson_screen import MIN_HEIGHT, MIN_WIDTH, WIDE
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece

if TYPE_CHECKING:
    from backprop_tui.tui.app import BackpropApp

REST = 0.1
"""For how many seconds the cursor rests on a lesson before its program is run for the panel."""


SIGNS = {"✓": "stepped through", "→": "suggested next", "…": "open last"}
"""The signs behind the lessons, in words."""


class HomeScreen(WindowSized, Screen[None]):
    """Choose a lesson."""

    AUTO_FOCUS = "#lessons"  # at once, or the first keys would go to the hidden search

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next", "Next", id="home.next", tooltip="To the suggested next lesson"),
        Binding("p", "before", "Before", id="home.before",
                tooltip="To a lesson that should come before this one"),
        Binding("a", "answers", "Answers", id="home.answers",
                tooltip="Show or hide the answers to the questions"),
        Binding("slash", "search", "Search", id="home.search", key_display="/",
                tooltip="Search the lessons"),
        Binding("question_mark,f1", "help", "Help", id="home.help", key_display="?",
                tooltip="Help"),
        Binding("escape", "end_search", "End search", show=False, id="home.end_search"),
        Binding("q", "app.quit", "Quit", id="home.quit", tooltip="Leave the program"),
        Binding("shift+up,K", "read(-1)", "Read up", show=False, id="home.read_up",
                tooltip="Scroll what is said about the lesson up"),
        Binding("shift+down,J", "read(1)", "Read down", show=False, id="home.read_down",
                tooltip="Scroll what is said about the lesson down"),
        # While one types in the search; the list has its own.
        Binding("up", "searched(-1)", "Found before", show=False, id="home.found_before"),
        Binding("down", "searched(1)", "Found after", show=False, id="home.found_after"),
    ]  # fmt: skip

    def __init__(self, chosen: str | None) -> None:
        """`chosen` is the id of the lesson that is under the cursor at first."""
        super().__init__()
        self._chosen = chosen
        self._ready = False
        self._lesson: Lesson | None = None
        self._answered: frozenset[int] = frozenset()
        self._resting: Timer | None = None

    @property
    def program(self) -> BackpropApp:
        """The app."""
        return cast("BackpropApp", self.app)

    def compose(self) -> ComposeResult:
        yield Heading(id="heading")
        yield Input(placeholder="search", id="search", select_on_focus=False)
        with Horizontal():
            yield LessonList(self.program.state.done, self._chosen)
            yield LinesView(id="about")
        yield Footer(show_command_palette=False)
        yield Static(id="too-small")

    def on_mount(self) -> None:
        self.query_one(LessonList).focus()
        self.query_one("#search", Input).cursor_blink = False
        left = [one for one in catalogue() if one.id not in self.program.state.done]
        total = len(catalogue())
        to_go = duration(minutes_of(left)) + " to go" if left else "nothing to go"
        self.query_one(Heading).show(
            (Piece(" backprop-tui", "title"), Piece("  see why a gradient is what it is", "muted")),
            (Piece(f"{total - len(left)} of {total} done · {to_go} ", "muted"),),
        )
        self._fit()
        self._ready = True

    def on_resize(self) -> None:
        if self._ready:
            self._fit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._ready and self.is_attached  # keys may come before the panels, and after

    def _fit(self) -> None:
        width, height = self.app.size
        too_small = width < MIN_WIDTH or height < MIN_HEIGHT
        self.set_class(too_small, "too-small")
        self.set_class(width >= WIDE, "wide")
        if too_small:
            text = f"{MIN_WIDTH}×{MIN_HEIGHT} needed, this is {width}×{height}"
            self.query_one("#too-small", Static).update(text)

    # ── the panel ─────────────────────────────────────────────────────────────────────────

    def on_lesson_list_chosen(self, message: LessonList.Chosen) -> None:
        lesson = message.lesson
        if self._resting is not None:
            self._resting.stop()
        if lesson is not self._lesson or lesson is None:
            self._answered = frozenset()
            self._lesson = lesson
            self._show_about(stay=False)
        if lesson is not None and lesson.id not in _WORKED_OUT:
            self._resting = self.set_timer(REST, self._work_out)

    def _work_out(self) -> None:
        if self._lesson is not None and self.is_attached:
            self.run_worker(self._worked_out(self._lesson), group="about", exclusive=True)

    async def _worked_out(self, lesson: Lesson) -> None:
        """Run the lesson, in a thread: a large one must not hold up the keys."""
        if lesson.id not in _WORKED_OUT:
            _WORKED_OUT[lesson.id] = await asyncio.to_thread(_equations_and_picture, lesson)
        if lesson is self._lesson:
            self._show_about(stay=True)

    @property
    def complete(self) -> bool:
        """Whether the panel shows everything about the lesson, its equations too."""
        if not self._ready or self.query_one(LessonList).lesson is not self._lesson:
            return False
        return self._lesson is None or self._lesson.id in _WORKED_OUT

    def _show_about(self, *, stay: bool) -> None:
        lesson = self._lesson
        view = next(iter(self.query("#about").results(LinesView)), None)
        if view is None:  # a lesson was worked out, or chosen, while the screen was being left
            return
        view.border_title = "" if lesson is None else lesson.title
        if lesson is None:
            view.set_paragraphs([])
            return
        shown = "hides" if self._answered else "shows"
        view.set_paragraphs(
            [
                *self._facts(lesson),
                about.after(lesson, self.program.state.done, "  (p goes there)", "keyword"),
                about.EMPTY,
                Paragraph((Piece(lesson.idea),)),
                about.EMPTY,
                *_WORKED_OUT.get(lesson.id, _PENDING),
                *about.mistake(lesson),
                *about.questions(lesson, self._answered, f"a {shown} the answers"),
                *about.references(lesson),
            ],
            stay=stay,
        )

    def _facts(self, lesson: Lesson) -> list[Paragraph]:
        place = f"{lesson.chapter} · {number_of(lesson)} of {len(catalogue())}"
        facts = [Paragraph((Piece(f"{place} · about {lesson.minutes} min", "muted"),))]
        sign = self.query_one(LessonList).sign_of(lesson)
        if sign.text in SIGNS:
            facts.append(Paragraph((sign._replace(text=f"{sign.text} {SIGNS[sign.text]}"),)))
        return facts

    def on_lines_view_node_clicked(self, message: LinesView.NodeClicked) -> None:
        kind, _, name = message.node_id.partition(":")
        if kind == "lesson" and name:
            self._go_to(find_lesson(name))
        elif kind == "question" and name:
            self._answer(self._answered ^ {int(name)})

    def action_answers(self) -> None:
        """Show all answers; or, if any is shown, hide them."""
        lesson = self._lesson
        if lesson is not None:
            self._answer(frozenset() if self._answered else frozenset(range(len(lesson.questions))))

    def _answer(self, places: frozenset[int]) -> None:
        self._answered = places
        self._show_about(stay=True)

    def action_read(self, direction: int) -> None:
        """Scroll the panel, wherever the focus is."""
        self.query_one("#about", LinesView).action_scroll_lines(3 * direction)

    # ── choosing ──────────────────────────────────────────────────────────────────────────

    def on_lesson_list_opened(self, message: LessonList.Opened) -> None:
        self.program.open_lesson(message.lesson)

    def _go_to(self, lesson: Lesson) -> None:
        """Put the cursor on a lesson; a search that hides it is over."""
        lessons = self.query_one(LessonList)
        if lesson not in lessons.lessons:
            self.action_end_search()
            lessons.filter("")
            lessons.show()
        lessons.choose(lesson)
        lessons.focus()

    def action_next(self) -> None:
        """To the suggested next lesson."""
        lesson = self.query_one(LessonList).next_lesson
        if lesson is None:
            self.notify("All lessons are done", timeout=2)
        else:
            self._go_to(lesson)

    def action_before(self) -> None:
        """To the first prerequisite that is not done; if all are, to the last."""
        before = () if self._lesson is None else prerequisites(self._lesson, catalogue())
        if not before:
            self.notify("Nothing needs to come before this one", timeout=2)
            return
        done = self.program.state.done
        self._go_to(next((one for one in before if one.id not in done), before[-1]))

    # ── searching ─────────────────────────────────────────────────────────────────────────

    def action_search(self) -> None:
        self.add_class("searching")
        self.query_one("#search", Input).focus()

    def action_searched(self, direction: int) -> None:
        """Move the cursor in the list while the search has the keys."""
        self.query_one(LessonList).action_move(direction)

    def on_input_changed(self, event: Input.Changed) -> None:
        lessons = self.query_one(LessonList)
        lessons.filter(event.value)
        lessons.show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(LessonList).focus()

    def action_end_search(self) -> None:
        field = self.query_one("#search", Input)
        field.value = ""
        self.remove_class("searching")
        self.query_one(LessonList).focus()

    def action_help(self) -> None:
        from inspect import cleandoc

        keys = []
        seen: set[str] = set()
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.id is not None and binding.id not in seen and binding.description:
                seen.add(binding.id)
                keys.append(
                    (self.app.get_key_display(binding), binding.tooltip or binding.description)
                )
        self.app.push_screen(HelpScreen(cleandoc(LessonList.HELP), keys))


# ── what needs a run of the lesson ────────────────────────────────────────────────────────────

_PENDING = (
    Paragraph((Piece("Forward", "title"),)),
    Paragraph((Piece("  …", "muted"),)),
    about.EMPTY,
)
"""Stands where the equations will."""

_WORKED_OUT: dict[str, tuple[Paragraph, ...]] = {}
"""The equations and the picture by the lesson's id, as far as they were needed."""

MAX_PICTURE = 60
"""The widest picture that is shown, in cells."""

MAX_NODES = 60
"""The largest graph of which there is a picture."""


def _equations_and_picture(lesson: Lesson) -> tuple[Paragraph, ...]:
    """The equations of the forward pass, and a small picture of the graph."""
    try:
        session = Session(lesson)
    except EditRefused as refusal:
        return (Paragraph((Piece(str(refusal), "differ"),)), about.EMPTY)
    found = [*equations(session, derivation=False), about.EMPTY]
    picture = [Paragraph((Piece(f"  {row}", "muted"),)) for row in _picture(session)]
    return (*found, *picture, *[about.EMPTY] * bool(picture))


def _picture(session: Session) -> list[str]:
    """The graph with names only, as text; nothing if it would be large."""
    if len(session.trace.graph.records) > MAX_NODES:
        return []
    model = build(session.trace, Zoom.NAME)
    if model.drawing.width > MAX_PICTURE:
        return []
    rows = [list(row) for row in model.drawing.rows]
    for box_id, place in model.drawing.places.items():
        box = model.boxes[box_id]
        name = f"{box.name} {box.operation}".strip()
        left, right = "()" if box.leaf else "[]"
        text = f"{left}{name:^{place.width - 2}}{right}"
        rows[place.y][place.x : place.x + place.width] = text
    return ["".join(row).rstrip() for row in rows]
