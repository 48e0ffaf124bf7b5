"""The row about programs that end, fork, collect, reload, and run out of things: T16 lifecycle."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

import nbrpc
from benchmarks.trust import rpyc_faults
from benchmarks.trust.rows import Figure, Outcome, row
from tests.lives.running import LIVES, SERVICE, run_lives
from tests.lives.shortage import EXHAUSTED, THREADLESS, program
from tests.support import start_server

TOKEN = "t" * 32


def _without_descriptors() -> tuple[float, int]:
    """Give how soon a server takes clients again, and how many calls failed meanwhile."""
    with program(EXHAUSTED) as (process, port):
        url = f"nbrpc://127.0.0.1:{port}"
        failed = 0
        with contextlib.ExitStack() as early:
            try:
                for _ in range(80):
                    early.enter_context(nbrpc.connect(url, token=TOKEN, timeout=1))
                failed += 1  # it was to run out
            except nbrpc.NbrpcError:
                pass  # as it is to be
        begun = time.monotonic()
        with nbrpc.connect(url, token=TOKEN, timeout=10) as conn:
            failed += conn.root.add(1, 2) != 3
        return time.monotonic() - begun, failed + (process.poll() is not None)


def _without_threads() -> int:
    """Give how many calls failed of a server that can start no thread for a while."""
    with program(THREADLESS) as (process, port):
        url, timing = f"nbrpc://127.0.0.1:{port}", nbrpc.Timing(call=15)
        failed = 0
        with nbrpc.connect(url, token=TOKEN, timing=timing) as conn:
            root = conn.root
            for limited in (True, False):
                root.limit(limited)
                naps = [nbrpc.async_(root.nap)(0.05) for _ in range(8)]
                try:
                    with nbrpc.connect(url, token=TOKEN, timing=timing) as other:
                        failed += other.root.add(1, 2) != 3
                except nbrpc.NbrpcError:
                    failed += 1
                for nap in naps:
                    nap.wait(15)
                    failed += not nap.ready or nap.exception(0) is not None
        return failed + (process.poll() is not None)


@row("T16", "lifecycle", rpyc="measured beside it")
def lifecycle(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Scripts that end, fork, collect and reload with much open; servers without descriptors."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "host.py").write_text(SERVICE)
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        before = os.environ.get("NBRPC_RUNTIME_DIR")
        os.environ["NBRPC_RUNTIME_DIR"] = str(runtime)
        try:
            server = start_server(folder / "output", "host:Host", "--port", "0", folder=folder)
            try:
                # One at a time: the figure is how soon a process ends, not how soon three do.
                outcomes = run_lives(list(LIVES), server.url, 3 if quick else 1)
            finally:
                server.stop()
            back, failed = _without_descriptors()
            failed += _without_threads()
        finally:
            if before is None:
                del os.environ["NBRPC_RUNTIME_DIR"]
            else:
                os.environ["NBRPC_RUNTIME_DIR"] = before
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    return Outcome(
        [
            Figure("scripts", len(outcomes), 30, at_least=True),
            Figure("scripts that fail", len(wrong), 0),
            Figure("longest exit", slowest.seconds, 0.5, "s"),
            Figure("calls that fail without descriptors or threads", failed, 0),
            Figure("clients again after descriptors return", back, 1, "s"),
        ],
        f"slowest: {slowest.name}"
        + "".join(f"; {outcome.name}: {outcome.wrong[:200]}" for outcome in wrong),
        rpyc=f"{rpyc_faults.fork()}; {rpyc_faults.clock()}",
    )
