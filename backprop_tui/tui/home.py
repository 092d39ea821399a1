"""The first screen: all lessons, and what the one under the cursor is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from backprop_tui.lessons import catalogue, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.session import Session
from backprop_tui.tui.equations_view import equations
from backprop_tui.tui.graph_model import Zoom, build
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen, WindowSized
from backprop_tui.tui.lesson_screen import MIN_HEIGHT, MIN_WIDTH
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Painted, Piece, Pieces

if TYPE_CHECKING:
    from backprop_tui.tui.app import BackpropApp


class LessonList(Painted):
    """The lessons by chapter; one is under the cursor."""

    HELP = """
    # The lessons

    ↑ ↓ choose, enter opens. `/` searches in ids, titles and texts. ✓ marks a lesson that was
    stepped through to the end. With the mouse: a click chooses, a second one opens.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="home.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="home.down"),
        Binding("home", "move(-1000)", "First", show=False, id="home.first"),
        Binding("end", "move(1000)", "Last", show=False, id="home.last"),
        Binding("enter,right", "open", "Open", id="home.open", key_display="enter",
                tooltip="Open the lesson"),
    ]  # fmt: skip

    class Chosen(Message):
        """Another lesson is under the cursor."""

        def __init__(self, lesson: Lesson | None) -> None:
            super().__init__()
            self.lesson = lesson

    class Opened(Message):
        """A lesson is to be opened."""

        def __init__(self, lesson: Lesson) -> None:
            super().__init__()
            self.lesson = lesson

    def __init__(self, done: frozenset[str], chosen: str | None) -> None:
        super().__init__(id="lessons")
        self.border_title = "Lessons"
        self._done = done
        self._rows: list[Lesson | str] = []
        self.lesson: Lesson | None = None
        self._wanted = chosen
        self.filter("")

    def filter(self, text: str) -> None:
        """Show only the lessons in which all the words occur."""
        words = text.casefold().split()
        rows: list[Lesson | str] = []
        chapter = None
        for lesson in catalogue():
            found = f"{lesson.id} {lesson.title} {lesson.chapter} {lesson.idea}".casefold()
            if all(word in found for word in words):
                if lesson.chapter != chapter:
                    chapter = lesson.chapter
                    if rows:
                        rows.append("")
                    rows.append(chapter)
                rows.append(lesson)
        self._rows = rows
        lessons = self.lessons
        wanted = self.lesson.id if self.lesson is not None else self._wanted
        self.lesson = next((one for one in lessons if one.id == wanted), None) or (
            lessons[0] if lessons else None
        )

    @property
    def lessons(self) -> list[Lesson]:
        """The lessons that are shown."""
        return [row for row in self._rows if isinstance(row, Lesson)]

    def on_mount(self) -> None:
        super().on_mount()
        self.show()

    def show(self) -> None:
        """Paint the list anew and tell which lesson is under the cursor."""
        self.set_height(max(1, len(self._rows)))
        self.repaint()
        self.post_message(self.Chosen(self.lesson))

    def paint_line(self, y: int) -> Pieces:
        if not self._rows:
            return (Piece("No lesson has these words.", "muted"),) if y == 0 else ()
        if y >= len(self._rows):
            return ()
        row = self._rows[y]
        if isinstance(row, str):
            return (Piece(row.upper(), "muted"),)
        here = row is self.lesson
        mark = "✓" if row.id in self._done else " "
        text = f" {number_of(row):>2}  {row.title}"
        line = f"{text:<{max(len(text), self.size.width - 6)}}"
        return (
            Piece("▸" if here else " ", "active"),
            Piece(line, "title cursor" if here else "plain"),
            Piece(f" {mark} ", "agree"),
        )

    def action_move(self, direction: int) -> None:
        lessons = self.lessons
        if not lessons or self.lesson is None:
            return
        place = max(0, min(len(lessons) - 1, lessons.index(self.lesson) + direction))
        self._choose(lessons[place])

    def _choose(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.repaint()
        line = self._rows.index(lesson)
        top, height = self.scroll_offset.y, self.size.height
        if line < top:
            self.scroll_to(y=max(0, line - 1), animate=False, force=True)
        elif line >= top + height:
            self.scroll_to(y=line - height + 1, animate=False, force=True)
        self.post_message(self.Chosen(lesson))

    def action_open(self) -> None:
        if self.lesson is not None:
            self.post_message(self.Opened(self.lesson))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        row = offset.y + self.scroll_offset.y
        if 0 <= row < len(self._rows) and isinstance(lesson := self._rows[row], Lesson):
            event.stop()
            if lesson is self.lesson:
                self.post_message(self.Opened(lesson))
            else:
                self._choose(lesson)


class HomeScreen(WindowSized, Screen[None]):
    """Choose a lesson."""

    AUTO_FOCUS = "#lessons"  # at once, or the first keys would go to the hidden search

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="home.search", key_display="/",
                tooltip="Search the lessons"),
        Binding("question_mark,f1", "help", "Help", id="home.help", key_display="?",
                tooltip="Help"),
        Binding("escape", "end_search", "End search", show=False, id="home.end_search"),
        Binding("q", "app.quit", "Quit", id="home.quit", tooltip="Leave the program"),
    ]  # fmt: skip

    def __init__(self, chosen: str | None) -> None:
        super().__init__()
        self._chosen = chosen
        self._ready = False

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
        done, total = len(self.program.state.done & set(ids())), len(catalogue())
        self.query_one(Heading).show(
            (Piece(" backprop-tui", "title"), Piece("  see why a gradient is what it is", "muted")),
            (Piece(f"{done} of {total} lessons stepped through ", "muted"),),
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
        if too_small:
            text = f"{MIN_WIDTH}×{MIN_HEIGHT} needed, this is {width}×{height}"
            self.query_one("#too-small", Static).update(text)

    def on_lesson_list_chosen(self, message: LessonList.Chosen) -> None:
        about = self.query_one("#about", LinesView)
        if message.lesson is None:
            about.set_paragraphs([])
            return
        about.border_title = message.lesson.title
        about.set_paragraphs(_about(message.lesson))

    def on_lesson_list_opened(self, message: LessonList.Opened) -> None:
        self.program.open_lesson(message.lesson)

    def action_search(self) -> None:
        self.add_class("searching")
        self.query_one("#search", Input).focus()

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
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.id is not None and binding.description:
                keys.append(
                    (self.app.get_key_display(binding), binding.tooltip or binding.description)
                )
        self.app.push_screen(HelpScreen(cleandoc(LessonList.HELP), keys))


def ids() -> list[str]:
    """The ids of all lessons."""
    return [lesson.id for lesson in catalogue()]


def _about(lesson: Lesson) -> list[Paragraph]:
    """What a lesson is about: its idea, its equations, a small picture of its graph."""
    session = Session(lesson)
    found = [Paragraph((Piece(lesson.idea),)), Paragraph(())]
    found.extend(equations(session, derivation=False)[1:])
    found.append(Paragraph(()))
    found.extend(Paragraph((Piece(f"  {row}", "muted"),)) for row in _picture(session))
    found.append(Paragraph(()))
    found.extend(Paragraph((Piece(text, "muted"),), 2) for text in lesson.references)
    return found


MAX_PICTURE = 60


def _picture(session: Session) -> list[str]:
    """The graph with names only, as text."""
    model = build(session.trace, Zoom.NAME)
    rows = [list(row) for row in model.drawing.rows]
    for box_id, place in model.drawing.places.items():
        box = model.boxes[box_id]
        name = f"{box.name} {box.operation}".strip()
        left, right = "()" if box.leaf else "[]"
        text = f"{left}{name:^{place.width - 2}}{right}"
        rows[place.y][place.x : place.x + place.width] = text
    if model.drawing.width > MAX_PICTURE:
        return []
    return ["".join(row).rstrip() for row in rows]
