"""The row about the source itself: T17 hygiene.

The rules are those of `tests.hygiene`, each of which is seen to bite by the tests. In the long form
the coverage of the core is measured as well, over the tests that run in its own process.
"""

from __future__ import annotations

from benchmarks.trust.fuzz import FILES, coverage
from benchmarks.trust.rows import Figure, Outcome, row
from tests.hygiene import RULES, breaches

TESTS = ("tests/protocol", "tests/objects", "tests/transports", "tests/session", "tests/server",
         "tests/fuzzing", "tests/compat", "tests/test_classic.py")  # fmt: skip
PACKAGES = ("protocol", "objects", "transports", "session", "server")
MOST = 1_800
"""Seconds for the tests; they take about a third of that."""


@row("T17", "hygiene", rpyc="pickles, executes, and reads time.time for deadlines")
def hygiene(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Breaches of the rules for the source, and how much of it the tests run through."""
    found = breaches()
    figures = [Figure("breaches", len(found), 0), Figure("rules", len(RULES))]
    if quick:
        return Outcome(figures, note="; ".join(found[:5]))
    packages = [(f"nbrpc/{name}/*",) for name in PACKAGES]
    core = [pattern for patterns in packages for pattern in patterns]
    (access, whole, *parts), failed = coverage(TESTS, FILES, core, *packages, seconds=MOST)
    figures += [
        Figure("branches of protocol and access", access.branches, 100, "%", at_least=True),
        Figure("lines and branches of the core", whole.everything, 95, "%", at_least=True),
    ]
    figures += [
        Figure(f"of {name}", part.everything, unit="%")
        for name, part in zip(PACKAGES, parts, strict=True)
    ]
    return Outcome(figures, note="; ".join(filter(None, [*found[:5], failed, access.missing])))
