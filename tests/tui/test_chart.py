"""Drawing charts: exact small drawings, round ticks, and nothing outside of the picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.tui.chart import (
    Axis,
    Canvas,
    Figure,
    Mark,
    Series,
    clipped,
    draw,
    linear_axis,
    log_axis,
    spread,
)


def text(figure: Figure, width: int, height: int, *, ascii: bool = False) -> list[str]:
    drawing = draw(figure, width, height, ascii=ascii)
    return ["".join(piece.text for piece in line).rstrip() for line in drawing.lines]


def line(ys: Any, dots: Any = "solid") -> Series:
    return Series(np.arange(len(ys), dtype=float), np.array(ys, dtype=float), "value", dots)


SQUARE = Axis(0, 4, ((0, "0"), (2, "2"), (4, "4")))


# ── small drawings, exactly ───────────────────────────────────────────────────────────────────


CROSS = Figure(
    SQUARE,
    SQUARE,
    (line([4, 3, 2, 1, 0], "dashed"), line([0, 1, 2, 3, 4])),
    (Mark(2, 2, "●", "active"),),
)


def test_a_solid_and_a_dashed_line_and_a_mark_in_braille() -> None:
    assert text(CROSS, 24, 9) == [
        "",
        "4 ┤⠑⠂              ⢀⡠⠔⠊",
        "  │   ⠈⠒⠄       ⣀⠤⠒⠁",
        "  │       ⠐⠢⠄⡠⠔⠊",
        "2 ┤       ⡠⠔⠊●⠢⢄",
        "  │   ⢀⠤⠒⠉        ⠤⡀",
        "0 ┤⡠⠔⠊⠁            ⠈  ⢄",
        "  └┬─────────┬────────┬",
        "   0         2        4",
    ]


def test_the_same_in_ascii() -> None:
    figure = Figure(CROSS.x, CROSS.y, CROSS.series, (Mark(2, 2, "@", "active"),))
    assert text(figure, 24, 9, ascii=True) == [
        "",
        "4 |..                **",
        "  |  ....        ****",
        "2 |      ....@***",
        "  |       ****..",
        "  |   ****      ....",
        "0 |***              ...",
        "  ++---------+--------+",
        "   0         2        4",
    ]


def test_the_line_at_0_and_a_gap() -> None:
    y = Axis(-1, 1, ((-1, "−1"), (0, "0"), (1, "1")))
    assert text(Figure(SQUARE, y, (line([1, -1, math.nan, -1, 1]),)), 20, 9) == [
        "",
        " 1 ┤⢣             ⡜",
        "   │⠈⡆           ⢰⠁",
        "   │ ⢸           ⡇",
        " 0 ┤┄┄⢇┄┄┄┄┄┄┄┄┄⡸┄┄",
        "   │  ⠘⡄       ⢠⠃",
        "−1 ┤   ⢱       ⡎",
        "   └┬──────┬──────┬",
        "    0      2      4",
    ]


BARS = Figure(
    linear_axis(-1, 1, 2), linear_axis(0, 4, 2), bars=np.array([1, 4, 0, 2.5]), title="cells"
)


def test_bars() -> None:
    assert text(BARS, 20, 8) == [
        "cells",
        "4 ┤    ███",
        "  │    ███     ▁▁▁",
        "2 ┤    ███     ███",
        "  │▂▂▂ ███     ███",
        "0 ┤███ ███     ███",
        "  └┬───────┬──────┬",
        "  −1       0      1",
    ]
    assert text(BARS, 20, 8, ascii=True) == [
        "cells",
        "4 |    ###",
        "  |    ###     ___",
        "2 |    ###     ###",
        "  |___ ###     ###",
        "0 |### ###     ###",
        "  ++-------+------+",
        "  -1       0      1",
    ]


def test_a_bar_that_counts_anything_is_seen() -> None:
    figure = Figure(linear_axis(0, 2, 2), linear_axis(0, 1000, 2), bars=np.array([1.0, 1000.0]))
    assert "▁" in "".join(text(figure, 20, 8))


@pytest.mark.parametrize("ascii", [False, True])
def test_an_ascii_drawing_is_ascii_and_both_keep_their_size(ascii: bool) -> None:
    for figure in (CROSS, BARS):
        lines = draw(figure, 31, 11, ascii=ascii).lines
        assert [sum(len(piece.text) for piece in line) for line in lines] == [31] * 11
        if ascii:
            marks = {mark.sign for mark in figure.marks}
            drawn = "".join(piece.text for line in lines for piece in line)
            assert all(c.isascii() or c in marks for c in drawn)


# ── axes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (-4, 4, 8, ["−4", "−3", "−2", "−1", "0", "1", "2", "3", "4"]),
        (0, 1, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.569, 1.431, 8, ["−0.5", "0.0", "0.5", "1.0"]),
        (0, 0.004, 4, ["0.000", "0.001", "0.002", "0.003", "0.004"]),
        (990, 1010, 4, ["990", "995", "1000", "1005", "1010"]),
        (0, 4e-7, 4, ["0", "1e−7", "2e−7", "3e−7", "4e−7"]),
        (0, 3e9, 3, ["0", "1e9", "2e9", "3e9"]),
    ],
)
def test_round_ticks(low: float, high: float, most: int, labels: list[str]) -> None:
    assert [text for _, text in linear_axis(low, high, most).ticks] == labels


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.integers(1, 20), st.booleans())
def test_ticks_say_where_they_stand(a: float, b: float, most: int, room: bool) -> None:
    axis = linear_axis(min(a, b), max(a, b), most, room=room)
    assert axis.low < axis.high
    assert len(axis.ticks) <= most + 2
    for number, label in axis.ticks:
        assert -1e-6 <= axis.share(number) <= 1 + 1e-6
        apart = (axis.high / 2 - axis.low / 2) * 2
        assert float(label.replace("−", "-")) == pytest.approx(number, abs=apart / 100)


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    axis = log_axis(3e-7, 40.0, 9)
    assert (axis.low, axis.high) == (1e-7, 100.0)
    assert [text for _, text in axis.ticks] == [
        "1e-7", "1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1", "10", "100",
    ]  # fmt: skip
    assert axis.share(1e-7) == 0 and axis.share(100.0) == 1
    assert axis.share(10**-2.5) == pytest.approx(0.5)
    assert math.isnan(axis.share(0.0))


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))
def test_a_logarithmic_axis_holds_what_it_is_for(a: float, b: float) -> None:
    axis = log_axis(min(a, b), max(a, b), 6)
    assert axis.low < axis.high
    assert len(axis.ticks) <= 8
    for number in (a, b):
        assert -0.01 <= axis.share(number) <= 1.01


@pytest.mark.parametrize("number", [5e-324, 1e308])
def test_the_most_extreme_norms_have_an_axis(number: float) -> None:
    axis = log_axis(number, number, 6)
    assert 0 < axis.low < axis.high < math.inf


def test_a_few_outliers_do_not_flatten_the_rest() -> None:
    usual = np.linspace(-1, 1, 99)
    assert spread(usual) == (-1, 1)
    low, high = spread(np.append(usual, 1e9), include=(5.0,))
    assert low == -1 and 5 <= high < 10
    assert spread(np.append(usual, [math.inf, math.nan])) == (-1, 1)
    assert spread(np.array([math.nan])) == (0, 1)


# ── nothing outside ───────────────────────────────────────────────────────────────────────────


def test_a_stretch_is_cut_at_the_edges() -> None:
    assert clipped((0, 5), (4, 5), 10) == ((0, 5), (4, 5))
    assert clipped((0, -20), (4, -3), 10) is None
    (x0, y0), (x1, y1) = clipped((0, 5), (10, 5 + 1e9), 10) or ((0, 0), (0, 0))
    assert (x0, y0, y1) == (0, 5, 9.5)
    assert 0 <= x1 < 1e-7


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(NUMBERS, min_size=1, max_size=12), st.integers(8, 40), st.integers(4, 12))
def test_any_numbers_can_be_drawn(ys: list[float], width: int, height: int) -> None:
    series = line(ys)
    low, high = spread(series.ys)
    figure = Figure(
        linear_axis(0, len(ys) - 1, 4),
        linear_axis(low, high, 3, room=True),
        (series,),
        tuple(Mark(x, y, "●", "active") for x, y in enumerate(ys)),
    )
    lines = draw(figure, width, height).lines
    assert len(lines) == height
    assert all(sum(len(piece.text) for piece in line) == width for line in lines)


def test_a_line_has_no_holes() -> None:
    lines = text(Figure(SQUARE, SQUARE, (line([0, 0, 3, 4, 4]),)), 60, 12)
    for column in range(4, 59):
        assert any("⠀" <= row[column : column + 1] for row in lines[1:10])


def test_dots_outside_of_the_board_are_left_out() -> None:
    canvas = Canvas(2, 1)
    for x, y in ((-1, 0), (4, 0), (0, 4), (0, -1)):
        canvas.dot(x, y, "value", "solid")
    assert "".join(piece.text for piece in canvas.lines()[0]) == "  "
    canvas.dot(0, 0, "value", "solid")
    canvas.dot(1, 3, "value", "solid")
    assert "".join(piece.text for piece in canvas.lines()[0]) == "⢁ "
