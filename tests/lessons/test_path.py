"""The way through the lessons: chapters, prerequisites, the suggested next one, lengths."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from backprop_tui.lessons import catalogue, find_lesson, ids
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.path import (
    chapters,
    duration,
    minutes_of,
    prerequisites,
    suggested,
)

LESSONS = catalogue()


def made(name: str, chapter: str = "One", after: tuple[str, ...] = (), minutes: int = 5) -> Lesson:
    """A lesson of which only its place in the path counts."""
    return replace(find_lesson("square"), id=name, chapter=chapter, after=after, minutes=minutes)


A, B = made("a"), made("b", after=("a",), minutes=7)
C, D = made("c", "Two", after=("b", "d")), made("d", "Two", after=("a",))
PATH = (A, B, C, D)


def test_chapters_have_their_lessons_in_order_and_count_what_is_done() -> None:
    one, two = chapters(PATH)
    assert (one.title, one.lessons, one.minutes) == ("One", (A, B), 12)
    assert (two.title, two.lessons, two.minutes) == ("Two", (C, D), 10)
    assert [chapter.done({"a", "c", "d", "gone"}) for chapter in (one, two)] == [1, 2]
    assert chapters(()) == ()


def test_every_lesson_is_in_one_chapter_and_chapters_stand_together() -> None:
    inside = [lesson for chapter in chapters(LESSONS) for lesson in chapter.lessons]
    assert inside == list(LESSONS)


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ((), A),
        (("a",), B),
        (("a", "b"), D),  # c stands before it, but waits for it
        (("a", "b", "d"), C),
        (("b", "c"), A),
        (("a", "d"), B),
        (("a", "b", "c", "d"), None),
        (("x",), A),  # what no lesson has does no harm
    ],
)
def test_the_next_lesson_is_the_first_whose_prerequisites_are_done(
    done: tuple[str, ...], expected: Lesson | None
) -> None:
    assert suggested(PATH, frozenset(done)) is expected


def test_there_is_a_next_lesson_even_where_lessons_wait_for_each_other_or_for_none() -> None:
    one, other = made("one", after=("other",)), made("other", after=("one",))
    assert suggested((one, other), ()) is one
    assert suggested((one, other), {"one"}) is other
    assert suggested((made("a", after=("missing",)),), ()) is not None
    assert suggested((), ()) is None


def test_following_the_suggestions_leads_through_all_lessons_in_order_of_need() -> None:
    done: list[str] = []
    while (lesson := suggested(LESSONS, done)) is not None:
        assert {before.id for before in prerequisites(lesson, LESSONS)} <= set(done)
        done.append(lesson.id)
    assert sorted(done) == sorted(lesson.id for lesson in LESSONS)


LATER = {"ninja": ["batchnorm", "embedding"]}
"""It stands with the networks, and puts together what later chapters teach as well: it is not
suggested before those are done."""


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.id)
def test_a_prerequisite_is_another_lesson_that_stands_before(lesson: Lesson) -> None:
    before = [one.id for one in LESSONS if one.order < lesson.order]
    assert [name for name in lesson.after if name not in before] == LATER.get(lesson.id, [])
    assert len(set(lesson.after)) == len(lesson.after)


def test_prerequisites_keep_the_lessons_own_order() -> None:
    assert prerequisites(C, PATH) == (B, D)
    assert prerequisites(A, PATH) == ()


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (0, "0 min"),
        (1, "1 min"),
        (59, "59 min"),
        (60, "1 h"),
        (61, "1 h 1 min"),
        (185, "3 h 5 min"),
    ],
)
def test_a_duration_in_words(minutes: int, text: str) -> None:
    assert duration(minutes) == text


def test_minutes_add_up() -> None:
    assert minutes_of(PATH) == 22


def test_the_readme_lists_every_lesson_by_chapter() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]*) \| `([a-z0-9-]+)` \| ([^|]+) \|$", text, re.MULTILINE)
    assert [lesson_id for _, lesson_id, _ in rows] == ids()
    named = list(dict.fromkeys(lesson.chapter for lesson in LESSONS))
    assert [chapter for chapter, _, _ in rows if chapter] == named
    assert f"{len(rows)} lessons in" in text
    assert all(words.rstrip().endswith(".") for _, _, words in rows)
