"""Rows about what much use leaves behind and gets wrong: T13 leak, T14 threads."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

import nbrpc
from benchmarks.trust import rpyc_faults
from benchmarks.trust.rows import Figure, Outcome, row
from benchmarks.trust.service import TOKEN, running, url

THREADS = 32
MEGABYTE = 1024 * 1024

State = tuple[int, int, int]
"""Resident bytes, descriptors, threads."""


def _until(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # until what was dropped is released
    return True


def _here() -> State:
    process = psutil.Process()
    return process.memory_info().rss, process.num_fds(), threading.active_count()


def _time_out(root: Any, count: int) -> int:
    """Let so many calls pass their deadline; give how many did."""
    late = 0
    for begun in range(0, count, 100):
        results = [nbrpc.timed(root.nap_later, 0.001)(60) for _ in range(min(100, count - begun))]
        for result in results:
            try:
                result.result()
            except nbrpc.CallTimeout:
                late += 1
    return late


@row("T13", "leak", rpyc="0 MB of calls and proxies; of timed-out calls all entries stay")
def leak(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """What calls, proxies and timeouts leave: memory, entries of tables, threads, descriptors."""
    calls, proxies, timeouts = (30_000, 20_000, 500) if quick else (1_000_000, 1_000_000, 10_000)
    with running() as (_, port), nbrpc.connect(url(port), token=TOKEN) as conn:
        root = conn.root

        def use(calls: int, proxies: int, timeouts: int) -> tuple[int, int]:
            wrong = 0
            for number in range(calls):
                wrong += root.add(number, 1) != number + 1
            for number in range(proxies):
                root.make(number)
            return wrong, _time_out(root, timeouts)

        def settle() -> tuple[State, State, tuple[int, int]]:
            gc.collect()
            _until(lambda: conn.statistics().pending == 0 and conn.statistics().imported <= 1)
            # Workers that nobody needs end after 30 s; until then they are no leak.
            there: Any = tuple(root.resources())
            figures = conn.statistics()
            return _here(), there, (figures.pending, figures.imported)

        # Caches reach their size, and so do the arenas of as many threads as may come to run.
        naps = [nbrpc.async_(root.nap)(0.05) for _ in range(64)]
        for nap in naps:
            nap.wait()
        use(20_000, 20_000, 3_000 if not quick else 300)
        here, there, tables = settle()
        begun = time.monotonic()
        wrong, late = use(calls, proxies, timeouts)
        seconds = time.monotonic() - begun
        here_after, there_after, tables_after = settle()
    return Outcome(
        [
            Figure("client grew by", (here_after[0] - here[0]) / MEGABYTE, 2, "MB"),
            Figure("server grew by", (there_after[0] - there[0]) / MEGABYTE, 2, "MB"),
            Figure("entries left", sum(tables_after) - sum(tables), 0),
            Figure("descriptors left", here_after[1] + there_after[1] - here[1] - there[1], 0),
            Figure("threads left", here_after[2] + there_after[2] - here[2] - there[2], 0),
            Figure("wrong replies", wrong, 0),
            Figure("timeouts", late, timeouts, at_least=True),
        ],
        f"{calls:,} calls, {proxies:,} proxies and {timeouts:,} timeouts in {seconds:.0f} s",
    )


@row("T14", "threads", rpyc="measured beside it")
def threads(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Calls of 32 threads over one connection: each its own reply, and none waits long."""
    rounds, each = (4, 125) if quick else (8, 1_250)
    wrong, errors = [0] * THREADS, [0] * THREADS
    taken: list[list[float]] = [[] for _ in range(THREADS)]
    ones, manys = [], []
    with running() as (_, port), nbrpc.connect(url(port), token=TOKEN) as conn:
        root = conn.root

        def work(index: int, count: int, note: Callable[[float], object]) -> None:
            clock = time.perf_counter
            for number in range(count):
                begun = clock()
                try:
                    wrong[index] += root.add(index * each, number) != index * each + number
                except nbrpc.NbrpcError:
                    errors[index] += 1
                note(clock() - begun)

        def together() -> None:
            workers = [
                threading.Thread(target=work, args=(i, each, taken[i].append), daemon=True)
                for i in range(THREADS)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(600)

        def rate(count: int, run: Callable[[], object]) -> float:
            begun = time.perf_counter()
            run()
            return count / (time.perf_counter() - begun)

        alone = THREADS * each // 4
        nothing: Callable[[float], object] = lambda _seconds: None  # noqa: E731 - noted nowhere
        work(0, 2_000, nothing)
        for _ in range(rounds):  # in turns, so that what else the machine does falls on both alike
            ones.append(rate(alone, lambda: work(0, alone, nothing)))
            manys.append(rate(THREADS * each, together))
    ordered = sorted(seconds for times in taken for seconds in times)
    ratios = sorted(many / one for one, many in zip(ones, manys, strict=True))
    return Outcome(
        [
            Figure("replies", len(ordered), THREADS * each * rounds, at_least=True),
            Figure("wrong", sum(wrong), 0),
            Figure("errors", sum(errors), 0),
            Figure("p99", ordered[int(len(ordered) * 0.99)] * 1e3, 20, "ms"),
            Figure("times the rate of one thread", statistics.median(ratios), 1, at_least=True),
        ],
        f"{statistics.median(manys):,.0f} calls a second from {THREADS} threads, "
        f"{statistics.median(ones):,.0f} from one; ratios {ratios[0]:.2f} to {ratios[-1]:.2f}; "
        f"longest {ordered[-1] * 1e3:.0f} ms",
        rpyc=rpyc_faults.threads(),
    )
