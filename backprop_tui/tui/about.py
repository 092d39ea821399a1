"""What is to be known about a lesson: what comes before it, the common mistake, questions, sources.

The functions make paragraphs, for the home screen's panel too; the dialog is for the lesson screen.
In the paragraphs `lesson:ID` and `question:N` stand where a node's id does elsewhere: a click on
such a piece goes to the lesson, or shows the answer to the question with that place, from 0.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from backprop_tui.lessons import catalogue
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import prerequisites
from backprop_tui.tui.help import WindowSized
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Piece

EMPTY = Paragraph(())


def after(lesson: Lesson, done: Collection[str], aside: str = "", role: str = "plain") -> Paragraph:
    """What should come before a lesson, a tick before each that is done.

    `role` is the look of the names: where a click on one does something, they should show it.
    """
    before = prerequisites(lesson, catalogue())
    if not before:
        return Paragraph((Piece("After: ", "muted"), Piece("nothing, one can begin here")), 7)
    pieces = [Piece("After: ", "muted")]
    for place, one in enumerate(before):
        pieces.append(Piece(", " if place else "", "muted"))
        pieces.append(Piece("✓ " if one.id in done else "", "agree"))
        pieces.append(Piece(one.title, role, f"lesson:{one.id}"))
    return Paragraph((*pieces, Piece(aside, "muted")), 7)


def mistake(lesson: Lesson) -> list[Paragraph]:
    """The common mistake, with its heading and an empty line after it."""
    if not lesson.mistake:
        return []
    return [
        Paragraph((Piece("The common mistake", "title"),)),
        Paragraph((Piece(lesson.mistake),)),
        EMPTY,
    ]


def questions(
    lesson: Lesson, answered: Collection[int], aside: str, marked: int | None = None
) -> list[Paragraph]:
    """The questions, with the answers to those that are `answered` (places, from 0).

    A mark stands before the question `marked`, if any.
    """
    if not lesson.questions:
        return []
    found = [Paragraph((Piece("Questions", "title"), Piece(f"  {aside}", "muted")), 2)]
    for place, question in enumerate(lesson.questions):
        ref = f"question:{place}"
        mark = Piece("▸" if place == marked else " ", "active")
        asked = Piece(question.asks, "plain", ref)
        found.append(Paragraph((mark, Piece(f" {place + 1}  ", "muted", ref), asked), 5))
        if place in answered:
            found.append(
                Paragraph((Piece("   = ", "agree"), Piece(question.answer, "value", ref)), 5)
            )
    return [*found, EMPTY]


def references(lesson: Lesson) -> list[Paragraph]:
    """Where the lesson's names and numbers come from."""
    sources = [Paragraph((Piece("  "), Piece(text, "muted")), 4) for text in lesson.references]
    return [Paragraph((Piece("Sources", "title"),)), *sources]


class AboutView(LinesView):
    """A lesson's idea, mistake, questions and sources; the answers are shown one by one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "scroll_lines(-1)", "Scroll up", show=False, id="about.up"),
        Binding("j", "scroll_lines(1)", "Scroll down", show=False, id="about.down"),
        Binding("enter,space", "answer", "Next answer", id="about.answer"),
        Binding("h", "hide", "Hide answers", id="about.hide"),
        *(
            Binding(
                str(n + 1), f"answer_to({n})", f"Answer {n + 1}", show=False, id=f"about.{n + 1}"
            )
            for n in range(9)
        ),
    ]

    def __init__(self, lesson: Lesson, done: Collection[str]) -> None:
        super().__init__(id="about")
        self._lesson = lesson
        self._done = done
        self.answered: frozenset[int] = frozenset()
        """The places of the questions whose answers are shown."""

    def on_mount(self) -> None:
        super().on_mount()
        self._show()

    @property
    def _next(self) -> int | None:
        """The first question whose answer is hidden."""
        places = range(len(self._lesson.questions))
        return next((place for place in places if place not in self.answered), None)

    def _show(self) -> None:
        lesson = self._lesson
        aside = "say it yourself first; enter shows the next answer"
        self.set_paragraphs(
            [
                Paragraph((Piece(lesson.idea),)),
                EMPTY,
                after(lesson, self._done),
                EMPTY,
                *mistake(lesson),
                *questions(lesson, self.answered, aside, self._next),
                *references(lesson),
            ],
            stay=True,
        )

    def _answer(self, answered: frozenset[int], place: int | None) -> None:
        """Show these answers, and scroll so far that a question with its answer is in sight."""
        self.answered = answered
        self._show()
        if place is None:
            return
        lines = self.lines_of(f"question:{place}")
        top, height = self.scroll_offset.y, self.size.height
        if lines and lines[-1] >= top + height:
            top = lines[-1] - height + 1
        if lines and lines[0] < top:
            top = lines[0]
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)

    def action_answer(self) -> None:
        """Show the first answer that is hidden."""
        place = self._next
        if place is not None:
            self._answer(self.answered | {place}, place)

    def action_answer_to(self, place: int) -> None:
        """Show the answer to one question, or hide it."""
        if place < len(self._lesson.questions):
            self._answer(self.answered ^ {place}, place)

    def action_hide(self) -> None:
        """Hide all answers."""
        self._answer(frozenset(), None)

    def on_lines_view_node_clicked(self, message: LinesView.NodeClicked) -> None:
        message.stop()
        kind, _, place = message.node_id.partition(":")
        if kind == "question":
            self.action_answer_to(int(place))


class AboutScreen(WindowSized, ModalScreen[None]):
    """A dialog about the lesson that is open; nothing of the lesson is changed by it."""

    DEFAULT_CSS = """
    AboutScreen { align: center middle; }
    AboutScreen > AboutView {
        width: 88; max-width: 96%; height: 94%; max-height: 44;
        background: $surface; border: round $accent; padding: 0 1;
    }
    AboutScreen > AboutView:focus { border: round $accent; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,a,q", "dismiss", "Close", id="about.close"),
    ]

    def __init__(self, lesson: Lesson, done: Collection[str]) -> None:
        """`done` has the ids of the lessons that were stepped through."""
        super().__init__()
        self._lesson = lesson
        self._done = done

    def compose(self) -> ComposeResult:
        view = AboutView(self._lesson, self._done)
        view.border_title = f"About: {self._lesson.title}"
        view.border_subtitle = "enter or a click answers · h hides · esc closes"
        yield view

    async def action_dismiss(self, result: None = None) -> None:
        if self.is_current:  # and not closing already
            self.dismiss(None)
