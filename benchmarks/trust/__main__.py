"""``python -m benchmarks.trust``: measure the rows that are named, or all."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback

from benchmarks.trust.rows import Outcome, Row, load_rows
from benchmarks.trust.table import as_json, lines


def measured(row: Row, *, quick: bool) -> Outcome:
    """Measure a row; one that raises has failed."""
    try:
        return row.measure(quick)
    except Exception as error:  # a row that breaks falls short
        traceback.print_exc()
        return Outcome(note=f"{type(error).__name__}: {error}")


def main() -> int:
    """Measure what the command line asks for; give 1 if a row falls short."""
    rows = load_rows()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    known = ", ".join(f"{row.number} {row.name}" for row in rows)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {known} (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller counts, for a first look")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args()
    wanted = {name.lower() for name in arguments.rows}
    unknown = wanted - {key.lower() for row in rows for key in (row.number, row.name)}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {known}")
    failed, told = 0, []
    for row in rows:
        if wanted and not wanted & {row.number.lower(), row.name.lower()}:
            continue
        begun = time.monotonic()
        outcome = measured(row, quick=arguments.quick)
        seconds = time.monotonic() - begun
        failed += not outcome.passed
        if arguments.json:
            told.append(as_json(row, outcome, seconds))
        else:
            print(lines(row, outcome, seconds), flush=True)
    if arguments.json:
        print(json.dumps(told, indent=2))
    elif failed:
        print(f"{failed} of the rows fall short")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
