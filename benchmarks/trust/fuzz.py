"""The row about whatever may be sent: T9 fuzz.

Targets and mutations are those of `tests.fuzzing`: seeded, so that a find is given again by its
number. Coverage is that of the tests of the protocol and of access, fuzzing included, measured in a
process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Any

from benchmarks.trust.rows import Figure, Outcome, row
from tests.fuzzing.targets import TARGETS

__all__ = ["coverage"]

ROOT = Path(__file__).parent.parent.parent
EXECUTIONS, QUICK = 1_000_000, 20_000
ROUND = 10_000
"""Executions of one process."""

TESTS = ("tests/protocol", "tests/fuzzing", "tests/objects/test_access.py",
         "tests/objects/test_exposure.py", "tests/objects/test_static.py")  # fmt: skip
FILES = ("nbrpc/protocol/*", "nbrpc/objects/access.py", "nbrpc/objects/exposure.py",
         "nbrpc/objects/shapes.py")  # fmt: skip


def _round(name: str, first: int, count: int) -> dict[str, Any]:
    """Run a target in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzzing.run", name, str(first)]
    done = run([*command, str(count)], cwd=ROOT, capture_output=True, check=False, timeout=600)
    if done.returncode:
        lost = {"executions": 0, "slowest": 0.0, "resident": 0}
        return {**lost, "finds": [f"{name} {first}: {done.stderr.decode()[-500:]}"]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@dataclass(frozen=True)
class Covered:
    """What tests ran through of some files.

    Parameters
    ----------
    branches, everything
        Percentages: of the branches, and of lines and branches.
    missing
        What they did not run through.
    """

    branches: float
    everything: float
    missing: str


def coverage(
    tests: Sequence[str], *groups: Sequence[str], seconds: float
) -> tuple[list[Covered], str]:
    """Run tests, and measure groups of files, in the processes that the tests start as well.

    Parameters
    ----------
    seconds
        After which no further test is begun.

    Returns
    -------
    tuple
        A measure for each group; and what went wrong, or an empty text.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COVERAGE_FILE": f"{folder}/coverage"}
        command = [sys.executable, "-m", "coverage"]
        options = ["-q", "-p", "no:cacheprovider", "--reruns=1", f"--session-timeout={seconds}"]
        tried = run(
            [*command, "run", "-m", "pytest", *options, *tests],
            cwd=ROOT, env=environment, capture_output=True, check=False, timeout=seconds + 300,
        )  # fmt: skip
        said = tried.stdout.decode(errors="replace")
        if tried.returncode > 1:  # 1: tests failed, and what they ran through counts as well
            raise RuntimeError(f"the tests did not run: {said[-1000:]}")
        run([*command, "combine", "-q"], cwd=ROOT, env=environment, check=True)
        measured = []
        for files in groups:
            report = Path(folder) / "report.json"
            told = [*command, "json", "-q", "-o", str(report), "--include", ",".join(files)]
            run(told, cwd=ROOT, env=environment, check=True)
            measured.append(_covered(json.loads(report.read_text())))
    return measured, said.strip().rpartition("\n")[2] if tried.returncode else ""


def _covered(report: dict[str, Any]) -> Covered:
    totals = report["totals"]
    missing = [
        f"{name}:{details['missing_lines'] or details['missing_branches']}"
        for name, details in report["files"].items()
        if details["missing_lines"] or details["missing_branches"]
    ]
    branches = 100 * totals["covered_branches"] / max(1, totals["num_branches"])
    return Covered(branches, totals["percent_covered"], "; ".join(missing))


def _rounds(wanted: int) -> Iterator[dict[str, Any]]:
    """Run every target in turn, a process for each processor; tell how far it is."""
    size = max(1, min(ROUND, wanted // len(TARGETS) + 1))
    rounds = -(-wanted // (size * len(TARGETS)))
    first = time.time_ns() // 1_000_000 * 1_000  # other seeds in every run
    chosen = [(name, first + turn * size, size) for turn in range(rounds) for name in TARGETS]
    done = finds = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for found in pool.map(lambda one: _round(*one), chosen):
            done, finds = done + found["executions"], finds + len(found["finds"])
            print(f"T9: {done:,} of {wanted:,} executions, {finds} finds", file=sys.stderr)
            yield found


@row("T9", "fuzz", rpyc="not fuzzed")
def fuzz(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Inputs of any kind to decoders, handshakes and the policy, with nothing found."""
    wanted = QUICK if quick else EXECUTIONS
    runs = list(_rounds(wanted))
    finds = [find for one in runs for find in one["finds"]]
    (covered,), failed = coverage(TESTS, FILES, seconds=600)
    return Outcome(
        [
            Figure("executions", sum(one["executions"] for one in runs), wanted, at_least=True),
            Figure("finds", len(finds), 0),
            Figure("slowest", max(one["slowest"] for one in runs) * 1000, 100, "ms"),
            Figure("memory of a process", max(one["resident"] for one in runs) / 1024, 64, "MB"),
            Figure("branches of protocol and access", covered.branches, 100, "%", at_least=True),
        ],
        note="; ".join(filter(None, [*finds[:3], failed, covered.missing])),
    )
