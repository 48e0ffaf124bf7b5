"""Rows about many calls at once: threads, both directions, nesting, slow ones, serial ones."""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from typing import Any

import nbrpc
from benchmarks.stress.bench import Outcome, errors, in_threads, server, until

MEGABYTE = 1_000_000
THREADS = 32
PROMPT = 0.05
"""Seconds that nbrpc promises for what must get through at once."""


def threads(*, short: bool) -> Outcome:
    """Check 320,000 replies of 32 threads on one connection."""
    each = 500 if short else 10_000
    wrong = [0] * THREADS
    with server() as at, at.connect() as connection:
        root = connection.root

        def work(index: int) -> None:
            for number in range(each):
                wrong[index] += root.add(index * each, number) != index * each + number

        start = time.perf_counter()
        raised = in_threads(THREADS, work)
        seconds = time.perf_counter() - start
    total = THREADS * each
    text = (
        f"{total:,} replies, {sum(wrong)} wrong, {errors(raised)}, {total / seconds:,.0f} a second"
    )
    return Outcome(not raised and not any(wrong), text)


def both_ways(*, short: bool) -> Outcome:
    """Send 50 MB from both ends at once, three times over."""
    size = (5 if short else 50) * MEGABYTE
    pairs, wrong = 3, [0]
    with server() as at, at.connect() as connection:
        root = connection.root
        data = bytes(size)

        def work(index: int) -> None:
            count = root.take(data) if index < pairs else root.give(len, size)
            wrong[0] += count != size

        start = time.perf_counter()
        raised = in_threads(2 * pairs, work)
        seconds = time.perf_counter() - start
    text = (
        f"{pairs} times {size // MEGABYTE} MB each way in {seconds:.2f} s, "
        f"{2 * pairs * size / seconds / MEGABYTE:,.0f} MB/s, {wrong[0]} wrong, {errors(raised)}"
    )
    return Outcome(not raised and not wrong[0], text)


def _descend(root: Any, depth: int) -> tuple[bool, str]:
    def callback(left: int) -> int:
        if not left:
            return 0
        below: int = root.bounce(callback, left - 1)
        return below + 1

    start = time.perf_counter()
    try:
        reached = callback(depth)
    except Exception as exc:
        return False, f"{depth} deep: {type(exc).__name__}: {str(exc).splitlines()[0]}"
    return reached == depth, f"{depth} deep in {(time.perf_counter() - start) * 1e3:.0f} ms"


def nesting(*, short: bool) -> Outcome:  # noqa: ARG001 - it is short
    """Nest callbacks 100 deep at the default recursion limit, 200 deep with it raised."""
    with server() as at, at.connect() as connection:
        root = connection.root
        results = [_descend(root, 100)]
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(10_000)
        root.set_recursion_limit(10_000)
        try:
            results.append(_descend(root, 200))
        finally:
            sys.setrecursionlimit(before)
        works_on = root.add(1, 2) == 3
    text = "; ".join(text for _, text in results) + f"; connection works afterwards: {works_on}"
    return Outcome(works_on and all(passed for passed, _ in results), text)


def slow_handler(*, short: bool) -> Outcome:
    """Make calls beside one that sleeps for 5 s on the same connection."""
    seconds = 1.0 if short else 5.0
    times = []
    with server() as at, at.connect() as connection:
        root = connection.root
        alone = []
        for number in range(500):
            start = time.perf_counter()
            root.add(number, 1)
            alone.append(time.perf_counter() - start)
        slow = nbrpc.async_(root.sleep)(seconds)
        until(root.sleeping, 5)
        while not slow.ready:
            start = time.perf_counter()
            root.add(1, 2)
            times.append(time.perf_counter() - start)
    text = (
        f"{len(times):,} calls beside it: median {statistics.median(times) * 1e6:.0f} µs "
        f"(alone {statistics.median(alone) * 1e6:.0f} µs), longest {max(times) * 1e3:.1f} ms"
    )
    return Outcome(max(times) < PROMPT, text)


def serial(*, short: bool) -> Outcome:
    """Run transactions of a serial driver from 4 clients, with cancels and timeouts thrown in."""
    clients, each = 4, 50 if short else 250
    lock = threading.Lock()
    counts = {"answered": 0, "wrong": 0, "timed out": 0, "cancelled": 0}

    def count(name: str) -> None:
        with lock:
            counts[name] += 1

    with server() as at, at.connect_driver() as watching:

        def work(index: int) -> None:
            chance = random.Random(index)
            with at.connect_driver() as connection:
                transaction = connection.root.transaction
                for number in range(each):
                    kind = chance.choice(("call", "call", "timeout", "cancel"))
                    try:
                        if kind == "call":
                            answer = transaction(index, number)
                        elif kind == "timeout":
                            answer = nbrpc.timed(transaction, chance.uniform(1e-4, 4e-3))(
                                index, number
                            ).value
                        else:
                            result = nbrpc.async_(transaction)(index, number)
                            time.sleep(chance.uniform(0, 2e-3))
                            result.cancel()
                            answer = result.value
                    except nbrpc.CallTimeout:
                        count("timed out")
                    except nbrpc.CallCancelled:
                        count("cancelled")
                    else:
                        count("answered" if answer == number else "wrong")

        raised = in_threads(clients, work)
        done, seen, out_of_step, out_of_order = watching.root.report()
    text = (
        f"{', '.join(f'{number} {name}' for name, number in counts.items())}; {done} reached the "
        f"driver, on {seen} thread, {out_of_step} out of step, {out_of_order} out of order, "
        + errors(raised)
    )
    clean = not (raised or counts["wrong"] or out_of_step or out_of_order)
    return Outcome(clean and seen == 1, text)
