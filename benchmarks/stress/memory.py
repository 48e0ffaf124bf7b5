"""The row about what is left after a million calls and proxies."""

from __future__ import annotations

import gc
import time

import psutil

from benchmarks.stress.bench import Outcome, server, until

ALLOWED_KIB = 2 * 1024


def memory(*, short: bool) -> Outcome:
    """Make 1,000,000 proxies, drop each, and compare tables and resident memory with before."""
    count = 50_000 if short else 1_000_000
    with server() as at, at.connect() as connection:
        root = connection.root
        processes = {"client": psutil.Process(), "server": psutil.Process(at.process.pid)}

        def resident() -> dict[str, float]:
            return {name: item.memory_info().rss / 1024 for name, item in processes.items()}

        def tables() -> tuple[int, int]:
            return connection.statistics().imported, root.exported()

        for _ in range(20_000):  # caches and arenas reach their size
            root.make_counter()
        gc.collect()
        until(lambda: tables()[0] <= 1, 5)
        tables_before, before = tables(), resident()
        start = time.perf_counter()
        for _ in range(count):
            root.make_counter()
        seconds = time.perf_counter() - start
        gc.collect()
        until(lambda: tables() == tables_before, 5)
        tables_after, after = tables(), resident()
    growth = {name: after[name] - before[name] for name in after}
    text = (
        f"{count:,} proxies in {seconds:.1f} s; objects held by the client and lent by the server "
        f"{tables_before} before, {tables_after} after; resident memory "
        + ", ".join(f"{name} {kib:+,.0f} KiB" for name, kib in growth.items())
    )
    passed = tables_after == tables_before and max(growth.values()) <= ALLOWED_KIB
    return Outcome(passed, text)
