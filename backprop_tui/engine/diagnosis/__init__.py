"""Diagnosis: whether a learner's gradient is right, and if not, which mistake explains it."""

from backprop_tui.engine.diagnosis.catalogue import MISTAKES, Mistake
from backprop_tui.engine.diagnosis.diagnose import (
    Diagnoser,
    Diagnosis,
    Explanation,
    Outcome,
    diagnose,
)
from backprop_tui.engine.diagnosis.slips import Slip, all_slips
from backprop_tui.engine.diagnosis.sweep import Change, Sweep
from backprop_tui.engine.diagnosis.whole_pass import PassDiagnosis, Told, diagnose_pass

__all__ = [
    "MISTAKES",
    "Change",
    "Diagnoser",
    "Diagnosis",
    "Explanation",
    "Mistake",
    "Outcome",
    "PassDiagnosis",
    "Slip",
    "Sweep",
    "Told",
    "all_slips",
    "diagnose",
    "diagnose_pass",
]
