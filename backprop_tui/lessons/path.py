"""The way through the lessons: chapters, what comes before what, and what to do next.

Nothing is locked by it. All functions are pure: lessons and the ids of those done in, answers out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from backprop_tui.lessons.base import Lesson


@dataclass(frozen=True, slots=True, eq=False)
class Chapter:
    """Lessons that stand together under one heading."""

    title: str
    lessons: tuple[Lesson, ...]

    @property
    def minutes(self) -> int:
        """About how long all of them take."""
        return minutes_of(self.lessons)

    def done(self, done: Collection[str]) -> int:
        """How many of them were stepped through; `done` has the ids of all such lessons."""
        return sum(lesson.id in done for lesson in self.lessons)


def chapters(lessons: Sequence[Lesson]) -> tuple[Chapter, ...]:
    """The chapters in the order in which their first lessons come."""
    found: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        found.setdefault(lesson.chapter, []).append(lesson)
    return tuple(Chapter(title, tuple(inside)) for title, inside in found.items())


def prerequisites(lesson: Lesson, lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """The lessons that one should know before this one, as it names them.

    Ids that no lesson has are left out: a missing lesson must not close the way.
    """
    known = {one.id: one for one in lessons}
    return tuple(known[name] for name in lesson.after if name in known)


def suggested(lessons: Sequence[Lesson], done: Collection[str]) -> Lesson | None:
    """The next lesson on the suggested path; None once all are done.

    It is the first in order that is not done while everything it builds on is. If no lesson is
    like that, as when some wait for each other, it is the first that is not done.
    """
    left = [lesson for lesson in lessons if lesson.id not in done]
    for lesson in left:
        if all(before.id in done for before in prerequisites(lesson, lessons)):
            return lesson
    return left[0] if left else None


def minutes_of(lessons: Sequence[Lesson]) -> int:
    """About how long lessons take together, in minutes."""
    return sum(lesson.minutes for lesson in lessons)


def duration(minutes: int) -> str:
    """`45 min`, `2 h`, `3 h 5 min`."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest or not hours)
    return " ".join(parts)
