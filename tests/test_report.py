"""Text and JSON for a terminal or a pipe: layout by exact strings, equations, stand-ins."""

import json
import math
import re

import numpy as np
import pytest

from backprop_tui.equations_text import equation_lines, in_ascii
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.report import Look, check_lines, check_summary, json_lines
from backprop_tui.report.as_text import _broken
from backprop_tui.report.check import CheckedLesson, CheckedRun
from backprop_tui.report.layout import table, value_block
from backprop_tui.session import Session

LOOK = Look()


def derivation(lesson_id: str, **sizes: int) -> list[str]:
    session = Session(find_lesson(lesson_id), sizes=sizes)
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    return [line.text for line in lines.derivation]


# ── equations ─────────────────────────────────────────────────────────────────────────────────


def test_an_equation_about_time_steps_has_subscripts_and_gradients_as_fractions() -> None:
    assert derivation("tanh-recursion") == [
        "∂y/∂y = 1",
        "∂y/∂w_y = h_T · ∂y/∂y",
        "∂y/∂h_T = w_y · ∂y/∂y",
        "∂y/∂zₜ = (1 − hₜ²) · ∂y/∂hₜ",
        "∂y/∂hₜ = w_h · ∂y/∂zₜ₊₁",
        "∂y/∂w_h = Σₜ hₜ₋₁ · ∂y/∂zₜ",
        "∂y/∂h₀ = w_h · ∂y/∂z₁",
    ]


def test_a_name_that_exists_wins_over_reading_it_as_a_gradient() -> None:
    assert derivation("squared-loss")[1] == "∂loss/∂diff = 2 · diff · ∂loss/∂loss"


def test_the_output_of_a_loop_is_named_by_the_size_that_ends_it() -> None:
    assert derivation("recursion", T=5)[0] == "∂h_T/∂h_T = 1"


def test_products_of_arrays_are_written_as_such() -> None:
    assert derivation("rnn")[3] == "∂L/∂zₜ = (1 − hₜ²) ⊙ ∂L/∂hₜ"


def test_an_equation_says_when_it_holds_and_whether_it_ever_does() -> None:
    session = Session(find_lesson("recursion"), sizes={"T": 1})
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    held = [(line.when, line.never) for line in lines.derivation[:3]]
    assert held == [("", False), ("t = 1 … T−1", True), ("", False)]


def test_pieces_refer_to_the_nodes_that_they_mean() -> None:
    session = Session(find_lesson("tanh-recursion"), sizes={"T": 3})
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    refs = [segment.ref for segment in lines.forward[2].segments if segment.ref]
    assert refs == ["y", "w_y", "h[t=3]"]


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_every_equation_of_every_lesson_is_written_without_code(lesson: object) -> None:
    session = Session(lesson)  # type: ignore[arg-type]
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    texts = [line.text for line in (*lines.forward, *lines.derivation)]
    # An index like h[t] would be code; [z > 0] and a row of cells are not.
    assert [text for text in texts if re.search(r"\*\*|\w\[|None", text)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("∂y/∂hₜ₋₁ = −2 · x²", "dy/dh[t-1] = -2 * x^2"),
        ("Xᵀ ⊙ √x ≥ σ(z)", "X.T * sqrtx >= sigmoid(z)"),
        ("“é” … 日", '"e" ... ?'),
        ("½ − ¼ = δ", "1/2 - 1/4 = delta"),
        ("x⁻¹ h₁‚₂", "x^-1 h[1,2]"),
        ("plain", "plain"),
    ],
)
def test_ascii_stand_ins(text: str, expected: str) -> None:
    assert in_ascii(text) == expected


# ── layout ────────────────────────────────────────────────────────────────────────────────────


def test_a_number_has_a_real_minus() -> None:
    assert value_block(-2.5, 80, LOOK) == ["−2.5"]


def test_a_vector_is_a_row_in_brackets() -> None:
    assert value_block(np.array([1.0, -2.0, 0.5]), 80, LOOK) == ["[1 −2 0.5]"]


def test_a_long_vector_is_continued_below() -> None:
    block = value_block(np.arange(10.0), 14, LOOK)
    assert block == ["[0 1 2 3 4 5 6", " 7 8 9]"]


def test_a_matrix_has_aligned_columns() -> None:
    block = value_block(np.array([[1.0, -2.5], [10.25, 3.0], [0.0, 0.0]]), 80, LOOK)
    assert block == [
        "⎡ 1     −2.5⎤",
        "⎢10.25   3  ⎥",
        "⎣ 0      0  ⎦",
    ]


def test_a_matrix_of_one_row_is_not_split_brackets() -> None:
    assert value_block(np.array([[1.0, 2.0]]), 80, LOOK) == ["[1  2]"]


def test_a_wide_matrix_is_continued_below_in_groups_of_columns() -> None:
    block = value_block(np.arange(12.0).reshape(2, 6), 14, LOOK)
    assert block == [
        "columns 1 to 3",
        "⎡0  1  2⎤",
        "⎣6  7  8⎦",
        "columns 4 to 6",
        "⎡3   4   5⎤",
        "⎣9  10  11⎦",
    ]


def test_infinities_and_nan_are_words() -> None:
    assert value_block(np.array([math.inf, -math.inf, math.nan]), 80, LOOK) == ["[inf −inf nan]"]


def test_a_block_in_ascii() -> None:
    block = value_block(np.array([[1.0], [-2.0]]), 80, Look(ascii=True))
    assert block == ["[ 1]", "[-2]"]


def test_a_table_aligns_blocks_of_different_heights() -> None:
    rows = [[["a"], ["1", "2"], ["x"]], [["bbb"], ["333"], ["y"]]]
    assert table(rows) == ["  a     1     x", "        2", "  bbb   333   y"]


def test_an_empty_column_takes_no_room() -> None:
    assert table([[["a"], [""], ["b"]]]) == ["  a   b"]


def test_styles_only_where_they_are_understood() -> None:
    assert Look(styled=True).heading("Values") == "\x1b[1mValues\x1b[0m"
    assert LOOK.heading("Values") == "Values"


@pytest.mark.parametrize(
    "found", [{"a": [], "b": [{"c": 1}, {"c": 2}], "d": {"e": "∂"}}, [{"f": 1}]]
)
def test_json_lines_are_json(found: object) -> None:
    for ascii_only in (True, False):
        text = "\n".join(json_lines(found, ascii_only=ascii_only))
        assert json.loads(text) == found
        assert text.isascii() or not ascii_only


# ── long formulas ─────────────────────────────────────────────────────────────────────────────


def test_a_formula_that_fits_is_one_line() -> None:
    assert _broken("∂L/∂w = a · b + c", 17) == ["∂L/∂w = a · b + c"]


def test_a_long_formula_is_broken_before_its_signs() -> None:
    assert _broken("dy = alpha + beta − gamma", 15) == ["dy = alpha", "    + beta", "    − gamma"]


def test_a_formula_is_not_broken_within_brackets() -> None:
    assert _broken("y = x · (1 − x) + f(a + b)", 20) == ["y = x · (1 − x)", "    + f(a + b)"]


def test_a_term_that_is_too_long_by_itself_is_broken_at_its_blanks() -> None:
    assert _broken("y = (aaa + bbb) · ccc", 12) == [
        "y",
        "    = (aaa +",
        "      bbb) ·",
        "      ccc",
    ]


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
@pytest.mark.parametrize("width", [20, 34, 60])
def test_nothing_of_a_formula_is_lost_in_breaking(lesson: Lesson, width: int) -> None:
    session = Session(lesson)
    lines = equation_lines(session.lesson, session.trace, session.inputs.sizes)
    for line in (*lines.forward, *lines.derivation):
        broken = _broken(line.text, width)
        assert "".join(broken).replace(" ", "") == line.text.replace(" ", "")
        assert max(map(len, broken)) <= width


# ── check ─────────────────────────────────────────────────────────────────────────────────────


def checked(name: str, *, where: str | None = None) -> CheckedLesson:
    run = CheckedRun({"T": 2}, 1, where is None, 12000, 15000, 30, 1e-14, 1e-13, where)
    return CheckedLesson(name, (run, run))


def test_a_checked_lesson_is_one_line_of_at_most_80_cells() -> None:
    lines = list(check_lines(checked("transformer-block"), LOOK, 17))
    assert lines == [
        "✓ transformer-block agrees 24,000 nodes 30,000 edges   60 leaves  off by 1e-14"
    ]
    assert len(lines[0]) <= 80


def test_what_was_compared_is_said_of_all_lessons_also_where_some_do_not_agree() -> None:
    good, bad = checked("rnn"), checked("lstm", where="the gradients of x")
    told = " ".join(" ".join(check_summary([good, bad], LOOK)).split())
    assert told == (
        "✗ 1 of 2 lessons not agreeing: lstm Compared: 48,000 nodes and 60,000 edges with torch, "
        "120 leaves with finite differences, in 4 runs."
    )
    told = " ".join(" ".join(check_summary([good, good], LOOK)).split())
    assert told.startswith(
        "✓ 2 lessons: by hand and torch agree on 48,000 nodes and 60,000 edges, by hand and "
        "finite differences on 120 leaves, in 4 runs"
    )
