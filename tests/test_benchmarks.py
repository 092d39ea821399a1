"""The benchmarks' table, built from one repetition; how fast anything is, is not tested here."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.table import Row, as_text, percentile
from benchmarks.ui import ROWS


def test_a_table_says_which_goals_are_met() -> None:
    rows = [
        Row("a start", "a bare app", 1.35, 1.2, "12 and 10 ms"),
        Row("frames", "60 a second", 55.0, 50.0, at_least=True, unit="/s"),
    ]
    assert as_text(rows).splitlines() == [
        "what     beside       goal     measured  ok?",
        "a start  a bare app   ≤ 1.35×  1.20×     yes  12 and 10 ms",
        "frames   60 a second  ≥ 55/s   50.00/s   no",
    ]


def test_a_percentile_is_one_of_the_numbers() -> None:
    assert percentile(range(100), 0.95) == 95
    assert percentile([3.0], 0.99) == 3.0


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    said = capsys.readouterr().err
    assert [name for name in ROWS if name not in said] == []


def test_a_row_is_measured_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    main(["start", "--json", "--repetitions", "1"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["measured"] > 0
    assert row["met"] == (row["measured"] <= row["goal"])
