"""`python -m benchmarks [--quick] [--json] [ROWS…]`: measure, and print one table."""

from __future__ import annotations

import argparse
import sys

from benchmarks.table import Row, as_json, as_text
from benchmarks.ui import ROWS

QUICK, THOROUGH = 9, 21
"""Repetitions. Medians of fewer would say little on a machine that does other things, too."""


def main(words: list[str] | None = None) -> int:
    """Measure; 0 if all goals are met, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROWS", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="as a JSON array of objects")
    parser.add_argument("--repetitions", type=int, metavar="N", help="so many (for tests)")
    asked = parser.parse_args(words)
    unknown = [name for name in asked.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row “{unknown[0]}”: known: {', '.join(ROWS)}")
    repetitions = asked.repetitions or (QUICK if asked.quick else THOROUGH)
    rows: list[Row] = []
    for name in asked.rows or ROWS:
        print(f"measuring {name} …", file=sys.stderr)
        rows.extend(ROWS[name](repetitions))
    print(as_json(rows) if asked.json else as_text(rows))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
