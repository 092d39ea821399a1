"""The command `diagnosis`: what it prints, and how it ends."""

import json
from typing import Any

import pytest

from backprop_tui import cli
from backprop_tui.engine.diagnosis import MISTAKES
from backprop_tui.report import diagnosis as report
from backprop_tui.report.layout import Look


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["diagnosis", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "square", "circuit", "--sample", "5")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("✓ square  here ") and lines[1].startswith("✓ circuit here ")
    assert all(line.endswith("blamed 0") for line in lines[:2])
    # 2 + 5 nodes, each right in four ways: exactly, shaken, rounded, in float32.
    assert "here: 100.0% of " in out and "right values: 0 of 28 blamed." in out


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "square", "--json")
    found = json.loads(out)
    assert code == 0 and found["good_enough"] and found["version"] == 1
    assert list(found["mistakes"]) == list(MISTAKES)
    assert [one["lesson"] for one in found["lessons"]] == ["square"]
    here = found["planted"]["here"]
    assert here["cases"] == here["named"] > 0 and found["right"] > 0 and found["blamed"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope",), "there is no lesson “nope”"),
        (("square", "--sample", "0"), "--sample must be at least 1"),
        (("square", "--sample", "x"), "--sample must be a whole number"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], words: Any, said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "") and said in err


def test_bad_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(lesson: Any, sample: int | None) -> report.Figures:
        figures = report.Figures(lesson.id, right=4, blamed=1, missed=["sign-flipped at x"])
        figures.planted["here"] = report.Count(2, 1, 1, 2)
        return figures

    monkeypatch.setattr(report, "measure", poor)
    code, out, _ = run(capsys, "square")
    assert code == 1
    assert "here: 50.0% of 2 named" in out and "missed: square: sign-flipped at x" in out
    assert "1 of 4 blamed" in out and out.startswith("✗ square")


def test_what_is_missed_is_cut_short() -> None:
    total = report.Figures("all", missed=[str(n) for n in range(25)])
    assert list(report.diagnosis_summary(total, Look()))[-1] == "  … and 5 more"
