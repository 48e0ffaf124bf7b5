"""Runs a target on many seeds: ``python -m tests.fuzzing.run TARGET FIRST COUNT`` prints JSON.

A find is an input after which anything but the invariant holds, or that takes over 100 ms of
processor time, twice. It is told by its target and its seed, which give it again.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from tests.fuzzing.targets import TARGETS

SLOW = 0.1
"""Seconds of processor time that one input may take."""


@dataclass
class Run:
    """What some seeds showed."""

    executions: int = 0
    slowest: float = 0.0
    finds: list[str] = field(default_factory=list)
    resident: int = 0
    """Kilobytes that the process held at most, more than before."""


def _seconds(target: Callable[[random.Random], None], seed: int) -> float:
    begun = time.thread_time()
    target(random.Random(seed))
    return time.thread_time() - begun


def fuzz(name: str, first: int, count: int, *, most: int = 5) -> Run:
    """Run a target on ``count`` seeds from ``first``; stop after ``most`` finds."""
    target, run = TARGETS[name], Run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(first, first + count):
        run.executions += 1
        try:
            seconds = _seconds(target, seed)
            if seconds > SLOW:  # once may be the collector of garbage, or another thread
                seconds = min(seconds, _seconds(target, seed))
        except Exception:  # that is what is looked for
            run.finds.append(f"{name} {seed}: {traceback.format_exc(limit=-3)}")
        else:
            run.slowest = max(run.slowest, seconds)
            if seconds > SLOW:
                run.finds.append(f"{name} {seed}: {seconds * 1000:.0f} ms")
        if len(run.finds) >= most:
            break
    run.resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return run


if __name__ == "__main__":
    print(json.dumps(asdict(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
