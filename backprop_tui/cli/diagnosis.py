"""The command `diagnosis`: how well mistakes are recognised."""

from __future__ import annotations

from backprop_tui.cli.parsing import DISAGREE, FINE, CommandError, Parser, short, whole_number
from backprop_tui.cli.streams import look_of_stdout, print_json, print_lines, progress

HELP = """\
In every lesson each known mistake is made at each place where it can be made, and the wrong
gradient is diagnosed: alone (here), made further up (above), in a whole pass (pass), and two in
one pass (two). Right values are diagnosed as well, and none may be blamed.

exit codes: 0 at least 95 % of each kind are named and nothing right is blamed, 1 not, 2 wrong usage
"""


def diagnosis(words: list[str]) -> int:
    """`backprop-tui diagnosis [LESSON ...]`."""
    parser = Parser("backprop-tui diagnosis", "Are planted mistakes recognised?", HELP)
    parser.add_argument("lessons", metavar="LESSON", nargs="*", help="all of them if none is named")
    parser.add_argument("--sample", metavar="N", help="only about N cases for each node: faster")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    asked = parser.read(words)
    from backprop_tui.lessons import UnknownLesson, catalogue, find_lesson
    from backprop_tui.report import diagnosis as report

    sample = None if asked.sample is None else whole_number(asked.sample, "--sample")
    if sample is not None and sample < 1:
        raise CommandError("--sample must be at least 1")
    try:
        lessons = [find_lesson(name) for name in dict.fromkeys(asked.lessons)] or list(catalogue())
    except UnknownLesson as problem:
        raise CommandError(short(str(problem), 400)) from problem
    look, width = look_of_stdout(), max(len(lesson.id) for lesson in lessons)
    measured = []
    for number, lesson in enumerate(lessons, 1):
        with progress(f"planting mistakes in {lesson.id}, {number} of {len(lessons)} …"):
            measured.append(report.measure(lesson, sample))
        if not asked.json:
            print_lines([report.diagnosis_line(measured[-1], look, width)])
    total = report.in_all(measured)
    if asked.json:
        print_json(report.diagnosis_json(measured))
    else:
        print_lines(report.diagnosis_summary(total, look))
    return FINE if report.good_enough(total) else DISAGREE
