"""A lesson's script in `show` and `check`: exact text, and JSON as docs/json.md describes it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from backprop_tui.cli import main
from backprop_tui.lessons import find_lesson
from backprop_tui.lessons.script import Script, ScriptRun
from backprop_tui.reference.torch_script import run_script
from backprop_tui.report import Look
from backprop_tui.report.script import script_json, script_text

LESSON = find_lesson("plumbing")
assert LESSON.script is not None
SCRIPT: Script = LESSON.script
RUN = run_script(SCRIPT)


def text(run: ScriptRun | None = RUN, **look: Any) -> str:
    return "\n".join(script_text(SCRIPT, run, Look(**look)))


def spoilt() -> ScriptRun:
    """As if torch had another gradient after statement 5, and refused statement 8."""
    moments = list(RUN.moments)
    states = moments[4].states
    moments[4] = replace(moments[4], states={**states, "w": replace(states["w"], grad=12.0)})
    moments[7] = replace(moments[7], raised="RuntimeError: no")
    return ScriptRun(tuple(moments))


def test_a_statement_with_what_it_changes() -> None:
    assert """
   5  L.backward()
        w.grad = 2 · z · x = 2 · 6 · 2 = 24
         value  is_leaf  requires_grad  retains_grad  grad  grad_fn  made
      w  3      True     True           False         24    None     1
      The gradient has come all the way to w, the only leaf that asked for one.
""" in text()


def test_a_statement_that_torch_refuses() -> None:
    words = " ".join(text().split())
    assert "6 L.backward() ✓ As predicted, torch raises RuntimeError: Trying to backward" in words
    assert "By hand: RuntimeError, “… backward through the graph a second time …”." in " ".join(
        text(None).split()
    )


def test_where_torch_differs_it_has_a_line_of_its_own() -> None:
    shown = text(spoilt())
    assert (
        """
      w        3      True     True           False         24    None     1
      ✗ torch  3      True     True           False         12    None     1
"""
        in shown
    )
    assert "✗ Not predicted: torch raises RuntimeError: no" in shown
    assert "✗" not in text()


@pytest.mark.parametrize("width", [80, 160])
def test_every_line_has_room(width: int) -> None:
    assert all(len(line) <= width for line in text(width=width).splitlines())


def test_ascii_alone() -> None:
    assert text(ascii=True).isascii()


def test_json_of_a_statement() -> None:
    found = script_json(SCRIPT, RUN)
    assert len(found) == len(SCRIPT.statements)
    assert found[4]["code"] == "L.backward()"
    assert found[4]["states"] == found[4]["torch_states"]
    assert found[4]["states"]["w"] == {
        "value": 3.0, "is_leaf": True, "requires_grad": True, "retains_grad": False,
        "grad": 24.0, "grad_fn": None, "made": 1,
    }  # fmt: skip
    assert found[5]["raises"] == "RuntimeError"
    assert found[5]["torch_raises"].startswith("RuntimeError: Trying to backward")
    assert all(statement["agree"] for statement in found)
    json.dumps(found, allow_nan=False)


def test_json_says_where_torch_differs_and_that_it_is_missing() -> None:
    found = script_json(SCRIPT, spoilt())
    assert [place for place, statement in enumerate(found) if not statement["agree"]] == [4, 7]
    missing = script_json(SCRIPT, None)
    assert {(s["agree"], s["torch_states"], s["torch_raises"]) for s in missing} == {
        (None, None, None)
    }


def test_show_and_check_cover_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["show", "plumbing", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["agree"] is True
    assert [s["agree"] for s in shown["script"]] == [True] * 20
    assert main(["check", "plumbing", "--json"]) == 0
    [checked] = json.loads(capsys.readouterr().out)["lessons"]
    assert checked["script"] == {"statements": 20, "cells": 623, "agree": True, "where": None}
    assert main(["show", "square", "--json"]) == 0
    assert "script" not in json.loads(capsys.readouterr().out)
    # And neither is content when torch does something else.
    monkeypatch.setattr("backprop_tui.report.script.script_under_torch", lambda script: spoilt())
    monkeypatch.setattr("backprop_tui.report.findings.script_under_torch", lambda script: spoilt())
    assert main(["check", "plumbing", "--json"]) == 1
    [checked] = json.loads(capsys.readouterr().out)["lessons"]
    assert checked["script"]["where"] == (
        "after statement 5, w.grad is 24.0 by hand and 12.0 by torch"
    )
    assert main(["show", "plumbing"]) == 0
    assert "The script is not as predicted: after statement 5" in capsys.readouterr().out
