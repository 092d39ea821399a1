"""The lessons: one file each, found by looking into this folder."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import lru_cache

from backprop_tui.lessons.base import Lesson


class UnknownLesson(LookupError):
    """There is no lesson with this id; the text names those that there are."""


@lru_cache(maxsize=1)
def catalogue() -> tuple[Lesson, ...]:
    """All lessons, in order."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        lesson = getattr(importlib.import_module(f"{__name__}.{module.name}"), "LESSON", None)
        if isinstance(lesson, Lesson):
            found.append(lesson)
    return tuple(sorted(found, key=lambda lesson: lesson.order))


def find_lesson(lesson_id: str) -> Lesson:
    """The lesson with an id. Raises UnknownLesson, which names the alternatives."""
    for lesson in catalogue():
        if lesson.id == lesson_id:
            return lesson
    raise UnknownLesson(f"there is no lesson “{lesson_id}”: {alternatives(lesson_id, ids())}")


def ids() -> list[str]:
    """The lessons' ids, in order."""
    return [lesson.id for lesson in catalogue()]


def alternatives(wrong: str, known: Sequence[str]) -> str:
    """What to try instead of a wrong name: the closest first, or all of them."""
    close = difflib.get_close_matches(wrong, known, n=3, cutoff=0.5)
    listed = listing(known)
    return f"did you mean {' or '.join(close)}? known: {listed}" if close else f"known: {listed}"


def listing(names: Sequence[str]) -> str:
    """The names in one line, of many only the first ones; `none` if there are none."""
    if len(names) <= MANY:
        return ", ".join(names) if names else "none"
    return f"{', '.join(names[: MANY - 4])} and {len(names) - MANY + 4} more"


MANY = 14
"""More names than this are not read in one line."""


def number_of(lesson: Lesson) -> int:
    """A lesson's number in the list, from 1; 0 for one that is not in it."""
    found = ids()
    return found.index(lesson.id) + 1 if lesson.id in found else 0
