"""A lesson as text for people and as JSON for programs, without a screen."""

from backprop_tui.report.as_json import JSON_VERSION, json_lines, list_json, show_json
from backprop_tui.report.as_text import list_text, show_text
from backprop_tui.report.check import check_json, check_lesson, check_lines, check_summary
from backprop_tui.report.findings import NUMERIC_SECONDS, Findings, NoTorch, examine
from backprop_tui.report.layout import Look

__all__ = [
    "JSON_VERSION",
    "NUMERIC_SECONDS",
    "Findings",
    "Look",
    "NoTorch",
    "check_json",
    "check_lesson",
    "check_lines",
    "check_summary",
    "examine",
    "json_lines",
    "list_json",
    "list_text",
    "show_json",
    "show_text",
]
