"""``python -m benchmarks.stress``: run the rows that are named, or all."""

from __future__ import annotations

import argparse
import sys
import traceback

from benchmarks.stress import calls, endings, memory
from benchmarks.stress.bench import Outcome

ROWS = {
    "threads": calls.threads,
    "both-ways": calls.both_ways,
    "nesting": calls.nesting,
    "slow-handler": calls.slow_handler,
    "serial": calls.serial,
    "transfer": endings.transfer,
    "kill": endings.kill,
    "interrupts": endings.interrupts,
    "memory": memory.memory,
}


def main() -> int:
    """Run the rows; give 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--short", action="store_true", help="smaller counts, for a first look")
    arguments = parser.parse_args()
    unknown = [row for row in arguments.rows if row not in ROWS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(ROWS)}")
    failed = 0
    for name in arguments.rows or ROWS:
        try:
            outcome = ROWS[name](short=arguments.short)
        except Exception as exc:
            traceback.print_exc()
            outcome = Outcome(passed=False, figures=f"{type(exc).__name__}: {exc}")
        failed += not outcome.passed
        print(f"{'pass' if outcome.passed else 'FAIL'}  {name}: {outcome.figures}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
