"""``python -m benchmarks``: measure the peers in turns and print a table.

All servers and clients are up at once, and every measure goes round the peers, beginning with
another one each time; so what else the machine does falls on all alike. Ratios of one run mean
something, times of different runs do not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from typing import IO

from benchmarks.measures import MEASURES
from benchmarks.peers import MODULES, load
from benchmarks.processes import Pair, import_times
from benchmarks.report import Figures, table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, two rounds")
    parser.add_argument("--peers", default=",".join(MODULES), help=f"of {', '.join(MODULES)}")
    parser.add_argument("--items", default=",".join(MEASURES), help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, help="how often each measure is taken")
    arguments = parser.parse_args()
    for chosen, known in ((arguments.peers, MODULES), (arguments.items, MEASURES)):
        unknown = [name for name in chosen.split(",") if name not in known]
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    return arguments


def _start(names: list[str], *, quick: bool, log: IO[bytes]) -> dict[str, Pair]:
    pairs = {}
    for name in names:
        try:
            load(name)
            pairs[name] = Pair(name, quick=quick, log=log)
        except (ImportError, RuntimeError) as exc:
            print(f"without {name}: {exc}", file=sys.stderr)
    return pairs


def _measure(key: str, pairs: dict[str, Pair], rounds: int) -> dict[str, float]:
    """Take one measure of all peers, in turns; give the medians."""
    values: dict[str, list[float]] = {name: [] for name in pairs}
    for turn in range(rounds):
        names = list(pairs)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            try:
                value = pairs[name].idle_memory() if key == "idle" else pairs[name].ask(key)
            except RuntimeError as exc:
                print(f"{name} {key}: {exc}", file=sys.stderr)
                continue
            if value is not None:
                values[name].append(value)
    return {name: statistics.median(found) for name, found in values.items() if found}


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    items = arguments.items.split(",")
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    figures: Figures = {}
    with tempfile.NamedTemporaryFile(prefix="nbrpc-bench-", suffix=".log", delete=False) as log:
        print(f"what the processes print goes to {log.name}", file=sys.stderr)
        pairs = _start(arguments.peers.split(","), quick=arguments.quick, log=log.file)
        try:
            for key in items:
                print(f"{MEASURES[key].title} ...", file=sys.stderr)
                if key == "import":
                    figures[key] = import_times(pairs, rounds)
                else:
                    # Idle connections stay open, so the second round would find memory to reuse.
                    turns = 1 if key == "idle" else min(rounds, 3 if MEASURES[key].slow else rounds)
                    figures[key] = _measure(key, pairs, turns)
        finally:
            for pair in pairs.values():
                pair.stop()
    print(table(figures, list(pairs)))


if __name__ == "__main__":
    main()
