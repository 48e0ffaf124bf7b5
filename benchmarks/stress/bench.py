"""What the rows share: the server process, an outcome, running threads, polling."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbrpc
from benchmarks.stress.server import LIMITS

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Outcome:
    """What a row showed."""

    passed: bool
    figures: str


@dataclass(frozen=True)
class Server:
    """The server process and its two ports."""

    process: subprocess.Popen[bytes]
    load: int
    driver: int

    def connect(self) -> Any:
        """Connect to `Load`."""
        return nbrpc.connect("127.0.0.1", self.load, limits=LIMITS)

    def connect_driver(self) -> Any:
        """Connect to `Driver`."""
        return nbrpc.connect("127.0.0.1", self.driver)


@contextmanager
def started(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of ours; its process is ended afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def server() -> Iterator[Server]:
    """Run the server of a row."""
    with started("benchmarks.stress.server") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the server of this row did not start")
        yield Server(process, **json.loads(line))


def in_threads(count: int, work: Callable[[int], object]) -> list[BaseException]:
    """Run ``work(0)`` ... at the same time; give what was raised."""
    raised: list[BaseException] = []
    together = threading.Barrier(count)

    def run(index: int) -> None:
        try:
            together.wait()
            work(index)
        except BaseException as exc:
            raised.append(exc)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        if thread.is_alive():
            raised.append(TimeoutError("a thread was still running after 10 minutes"))
    return raised


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Poll until the condition is true; False if it never was."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def errors(raised: list[BaseException]) -> str:
    """Say how many errors there were, and the first."""
    return f"{len(raised)} errors" + (f", first {raised[0]!r}" if raised else "")
