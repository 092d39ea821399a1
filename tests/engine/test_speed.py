"""The goals for speed, as a test. It takes minutes and a quiet machine: `pytest -m soak`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "engine.py"
    spec = importlib.util.spec_from_file_location("engine_benchmark", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_engine_meets_its_goals() -> None:
    missed = [row for row in benchmark().measure() if not row.met]
    assert not missed, "\n".join(f"{r.what} / {r.beside}: {r.ratio:.3f} > {r.goal}" for r in missed)
