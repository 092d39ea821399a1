"""The lessons by chapter: what was done, how long each takes, which one comes next."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from backprop_tui.lessons import catalogue, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import Chapter, chapters, duration, suggested
from backprop_tui.tui.painted import Painted, Piece, Pieces

DONE, NEXT, LAST = Piece("✓", "agree"), Piece("→", "active"), Piece("…", "muted")
"""The signs behind a lesson: stepped through, the suggested next one, the one open last."""

WIDE_LIST = 48
"""With so many cells to a line there is room for words."""


class LessonList(Painted):
    """The lessons by chapter; one is under the cursor."""

    HELP = """
    # The lessons

    ↑ ↓ choose, ← → go from chapter to chapter, enter opens. `n` goes to the suggested next lesson:
    the first that is not done while everything it builds on is. `p` goes to what should come
    before the chosen one. These are suggestions: every lesson is open, so start anywhere.

    Behind a lesson: ✓ stepped through to the end, → suggested next, … open last. A chapter says
    how many of its lessons are done, and about how long all of them take.

    `/` searches in everything that is said about a lesson, its questions and sources too. `a` shows
    the answers. With the mouse: a click chooses, a second one opens; a click on a chapter goes
    to its first lesson, on a name behind “After” to that lesson, on a question shows its answer.
    """

    # The bar's column is always kept, so that nothing moves while one searches.
    DEFAULT_CSS = """
    LessonList { overflow-y: scroll; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="home.up",
                tooltip="To the lesson before"),
        Binding("down,j", "move(1)", "Down", show=False, id="home.down",
                tooltip="To the lesson after"),
        Binding("left,left_square_bracket", "chapter(-1)", "Chapter before", show=False,
                id="home.chapter_before", tooltip="To the beginning of the chapter, or the one "
                "before"),
        Binding("right,right_square_bracket", "chapter(1)", "Chapter after", show=False,
                id="home.chapter_after", tooltip="To the next chapter"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="home.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="home.page_down"),
        Binding("home", "move(-1000)", "First", show=False, id="home.first",
                tooltip="To the first lesson"),
        Binding("end", "move(1000)", "Last", show=False, id="home.last",
                tooltip="To the last lesson"),
        Binding("enter", "open", "Open", id="home.open", key_display="enter",
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

    def __init__(self, done: frozenset[str], last: str | None) -> None:
        """`done` has the ids of the lessons stepped through, `last` that of the one open last."""
        super().__init__(id="lessons")
        self.border_title = "Lessons   ✓ done  → next"
        self._done = done
        self._last = last
        self._next = suggested(catalogue(), done)
        self._numbers = {lesson.id: number_of(lesson) for lesson in catalogue()}
        self._rows: list[Lesson | Chapter | None] = []
        """The lines: lessons, the headings of chapters, and None for an empty line."""
        self.lesson = next((one for one in catalogue() if one.id == last), None)
        """The lesson under the cursor; None if none is shown."""
        self._latest: Lesson | None = None
        self.filter("")

    def filter(self, text: str) -> None:
        """Show only the lessons in which all the words occur.

        The cursor goes to one whose name has them, if there is any; else it stays if it can.
        """
        words = text.casefold().split()
        rows: list[Lesson | Chapter | None] = []
        for chapter in chapters(catalogue()):
            inside = [one for one in chapter.lessons if _has(_searched(one), words)]
            if inside:
                rows += [None] * bool(rows) + [chapter, *inside]
        self._rows = rows
        named = [one for one in self.lessons if _has(_named(one), words)]
        shown = named or self.lessons
        self._latest = self.lesson or self._latest  # where to go back to if nothing is found
        if self.lesson not in shown:
            back = self._latest if self._latest in shown else None
            self.lesson = back or (shown[0] if shown else None)

    @property
    def lessons(self) -> list[Lesson]:
        """The lessons that are shown."""
        return [row for row in self._rows if isinstance(row, Lesson)]

    @property
    def next_lesson(self) -> Lesson | None:
        """The suggested next one, whether it is shown or not; None once all are done."""
        return self._next

    def on_mount(self) -> None:
        super().on_mount()
        self.show()

    def on_resize(self) -> None:
        self.repaint()
        self._keep_in_view()

    def show(self) -> None:
        """Paint the list anew and tell which lesson is under the cursor."""
        self.set_height(max(1, len(self._rows)))
        self.repaint()
        self._keep_in_view()
        self.post_message(self.Chosen(self.lesson))

    def choose(self, lesson: Lesson) -> None:
        """Put the cursor on a lesson that is shown."""
        self.lesson = lesson
        self.repaint()
        self._keep_in_view()
        self.post_message(self.Chosen(lesson))

    def _keep_in_view(self) -> None:
        if self.lesson is None:
            return
        last = first = self._rows.index(self.lesson)
        while first > 0 and not isinstance(self._rows[first - 1], Lesson):
            first -= 1  # the first lesson of a chapter comes with its heading
        top, height = self.scroll_offset.y, self.size.height
        if first < top:
            self.scroll_to(y=first, animate=False, force=True)
        elif last >= top + height:
            self.scroll_to(y=last - height + 1, animate=False, force=True)

    # ── painting ──────────────────────────────────────────────────────────────────────────

    def paint_line(self, y: int) -> Pieces:
        if not self._rows:
            return (Piece("No lesson has these words.", "muted"),) if y == 0 else ()
        row = self._rows[y] if y < len(self._rows) else None
        width = self.scrollable_content_region.width
        if isinstance(row, Lesson):
            return self._lesson_line(row, width)
        return () if row is None else self._chapter_line(row, width)

    def _chapter_line(self, chapter: Chapter, width: int) -> Pieces:
        done, total = chapter.done(self._done), len(chapter.lessons)
        title, counted = chapter.title.upper(), f"  {done}/{total}"
        minutes = duration(chapter.minutes)
        room = max(len(title) + len(counted) + 1, width - len(minutes) - 2)
        left = f"{title}{counted}"
        sign = DONE if done == total else Piece(" ")
        return (Piece(f"{left:<{room}}{minutes} ", "muted"), sign)

    def _lesson_line(self, lesson: Lesson, width: int) -> Pieces:
        here = lesson is self.lesson
        # Where titles need the room, the unit stands only in the chapter's line.
        minutes = f" {lesson.minutes:>3} min " if width >= WIDE_LIST else f" {lesson.minutes:>3} "
        room = max(10, width - len(minutes) - 6)
        title = lesson.title
        if len(title) > room:
            title = title[: room - 1] + "…"
        return (
            Piece("▸" if here else " ", "active"),
            Piece(
                f" {self._numbers[lesson.id]:>2} {title:<{room}}",
                "title cursor" if here else "plain",
            ),
            Piece(minutes, "muted"),
            self.sign_of(lesson),
        )

    def sign_of(self, lesson: Lesson) -> Piece:
        """What stands behind a lesson."""
        if lesson.id in self._done:
            return DONE
        if lesson is self._next:
            return NEXT
        return LAST if lesson.id == self._last else Piece(" ")

    # ── moving ────────────────────────────────────────────────────────────────────────────

    def action_move(self, direction: int) -> None:
        """Move the cursor by some lessons, at most to the first or last."""
        lessons = self.lessons
        if self.lesson is not None:
            place = max(0, min(len(lessons) - 1, lessons.index(self.lesson) + direction))
            self.choose(lessons[place])

    def action_page(self, direction: int) -> None:
        """Move the cursor by almost the height of the list."""
        if self.lesson is None:
            return
        wanted = self._rows.index(self.lesson) + direction * max(1, self.size.height - 1)
        places = [y for y, row in enumerate(self._rows) if isinstance(row, Lesson)]
        row = self._rows[min(places, key=lambda y: abs(y - wanted))]
        if isinstance(row, Lesson):
            self.choose(row)

    def action_chapter(self, direction: int) -> None:
        """To the next chapter; or to the beginning of this one, then to the one before."""
        firsts = [
            lesson
            for above, lesson in zip(self._rows, self._rows[1:], strict=False)
            if isinstance(above, Chapter) and isinstance(lesson, Lesson)
        ]
        here = self._rows.index(self.lesson) if self.lesson is not None else 0
        if direction > 0:
            found = [one for one in firsts if self._rows.index(one) > here][:1]
        else:
            found = [one for one in firsts if self._rows.index(one) < here][-1:] or firsts[:1]
        if found:
            self.choose(found[0])

    def action_open(self) -> None:
        """Open the lesson under the cursor."""
        if self.lesson is not None:
            self.post_message(self.Opened(self.lesson))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        y = -1 if offset is None else offset.y + self.scroll_offset.y
        if not 0 <= y < len(self._rows):
            return
        event.stop()
        row = self._rows[y]
        lesson = self._rows[y + 1] if isinstance(row, Chapter) else row
        if isinstance(row, Lesson) and row is self.lesson:
            self.post_message(self.Opened(row))
        elif isinstance(lesson, Lesson):
            self.choose(lesson)


def _has(text: str, words: list[str]) -> bool:
    return all(word in text for word in words)


@cache
def _named(lesson: Lesson) -> str:
    """The names of a lesson, for searching."""
    return f"{lesson.id} {lesson.title}".casefold()


@cache
def _searched(lesson: Lesson) -> str:
    """Everything that the list and the panel beside it say about a lesson, but for the answers."""
    asked = (question.asks for question in lesson.questions)
    parts = (lesson.chapter, lesson.idea, lesson.mistake, *asked, *lesson.references)
    return f"{_named(lesson)} {' '.join(parts)}".casefold()
