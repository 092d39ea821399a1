"""The guide's example is a lesson: it is taken from the page, and checked as every lesson is."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import test_lessons as general  # as a module, so that its tests are not collected here, too

from backprop_tui import lessons
from backprop_tui.cli import main
from backprop_tui.engine.formula import FUNCTIONS
from backprop_tui.lessons.base import Lesson, Plot
from backprop_tui.report.check import check_lesson

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "writing-a-lesson.md").read_text(encoding="utf-8")


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lesson]:
    """The example, saved under the name that the guide says, in a folder of lessons."""
    [example] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    [name] = re.findall(r"Save it as `backprop_tui/lessons/(\w+)\.py`", GUIDE)
    (tmp_path / f"{name}.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(lessons, "__path__", [*lessons.__path__, str(tmp_path)])
    lessons.catalogue.cache_clear()
    importlib.invalidate_caches()
    yield next(one for one in lessons.catalogue() if one.id == name.replace("_", "-"))
    del sys.modules[f"{lessons.__name__}.{name}"]
    monkeypatch.undo()
    lessons.catalogue.cache_clear()


def test_it_is_found_by_itself(lesson: Lesson) -> None:
    assert lessons.find_lesson("moving-average") is lesson
    assert set(lesson.after) <= set(lessons.ids())


def test_it_does_not_come_between_the_lessons_of_another_chapter(lesson: Lesson) -> None:
    chapters = [one.chapter for one in lessons.catalogue()]
    runs = [c for c, before in zip(chapters, ["", *chapters], strict=False) if c != before]
    assert runs.count(lesson.chapter) == 1
    assert len({one.order for one in lessons.catalogue()}) == len(chapters)


def test_gradients_and_equations_hold_as_in_every_lesson(lesson: Lesson) -> None:
    for sizes in general.sizes_to_try(lesson):
        general.test_gradients_are_torchs(lesson, sizes)
        general.test_equations_are_true(lesson, sizes)
    general.test_equations_are_true_at_random_leaves(lesson)


def test_it_is_complete_as_every_lesson(lesson: Lesson) -> None:
    general.test_notes_name_what_is_in_the_graph(lesson)
    general.test_a_lesson_is_complete(lesson)
    general.test_defaults_are_the_published_ones(lesson)
    general.test_what_exists_stays_and_what_is_new_does_not_depend_on_the_path(lesson)
    general.test_new_cells_are_reproducible_and_never_0(lesson)


def test_check_agrees(lesson: Lesson) -> None:
    checked = check_lesson(lesson)
    assert checked.agree
    assert checked.total("nodes") > 0


@pytest.mark.parametrize("arguments", [["show", "--no-torch", "--steps"], ["list"]])
def test_commands_know_it(
    lesson: Lesson, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments
    assert main([command, *([lesson.id] if command == "show" else []), *options]) == 0
    assert lesson.title in capsys.readouterr().out


def test_its_answers(lesson: Lesson) -> None:
    found = general.leaf_gradients(general.run(lesson))
    assert found["x"][0] / found["x"][2] == pytest.approx(0.81, rel=1e-12)
    still = general.run(lesson, beta=1.0)
    assert not general.leaf_gradients(still)["x"].any()
    assert still.graph[still.graph.index_of["v[t=3]"]].value == 0.5
    trace = general.run(lesson)
    assert len(trace.arrivals[trace.graph.index_of["beta"]]) == 2 * 3  # two for each of 3 steps


# ── the rest of the page ──────────────────────────────────────────────────────────────────────


def test_the_functions_that_it_names_exist() -> None:
    [listed] = re.findall(r"Functions such as (.*?) can be used", GUIDE, re.DOTALL)
    named = re.findall(r"`(\w+)`", listed)
    assert len(named) > 5
    assert set(named) <= set(FUNCTIONS)


def test_the_plots_that_it_names_are_all_that_there_are() -> None:
    named = set(re.findall(r'`Plot\("(\w+)", "\w+"\)`', GUIDE))
    assert named == set(get_args(get_type_hints(Plot)["kind"]))


def test_the_files_that_it_names_exist() -> None:
    for path in re.findall(r"`(backprop_tui/[\w/]+\.py)`", GUIDE):
        assert path.endswith("moving_average.py") or (ROOT / path).exists(), path
    for name in re.findall(r"`(\w+\.py)`", GUIDE):
        assert (ROOT / "backprop_tui" / "lessons" / name).exists(), name


def test_the_fields_that_it_explains_exist() -> None:
    words = GUIDE.split("## Words")[1].split("## Checking")[0]
    fields = set(Lesson.__dataclass_fields__)
    assert set(re.findall(r"`(\w+)`: ", words)) <= fields
    for name in ("idea", "notes", "mistake", "questions", "after", "minutes", "order", "plot"):
        assert f"`{name}`" in words


def test_the_readme_leads_to_it() -> None:
    assert "docs/writing-a-lesson.md" in (ROOT / "README.md").read_text(encoding="utf-8")
