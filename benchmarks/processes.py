"""Starting servers and clients, and what is measured from outside them."""

from __future__ import annotations

import json
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.peers import MODULES, load

PATIENCE = 120.0
"""Seconds after which a peer that does not answer is given up."""


class Pair:
    """The server process and the client process of one peer."""

    def __init__(self, name: str, *, quick: bool, log: IO[bytes]) -> None:
        self.name = name
        self._log = log
        self._folder = tempfile.TemporaryDirectory(prefix="nbrpc-bench-")
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self.server = self._start("server", name, self._folder.name)
            address = self._line(self.server)
            options = ["--quick"] if quick else []
            self.client = self._start("client", name, address, *options)
        except BaseException:
            self.stop()
            raise

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", *arguments],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._processes.append(process)
        return process

    def _line(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline().decode() if ready else ""
        if not line:
            raise RuntimeError(f"{self.name} gave no answer: see the log")
        return line.strip()

    def ask(self, measure: str) -> float | None:
        """Run one measure in the client; None if the peer cannot do that."""
        assert self.client.stdin is not None
        self.client.stdin.write(measure.encode() + b"\n")
        self.client.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(self.client))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def idle_memory(self) -> float | None:
        """Open idle connections and give the KiB that each costs the server."""
        before = self._resident()
        count = self.ask("idle")
        return (self._resident() - before) / 1024 / count if count else None

    def _resident(self) -> int:
        server = psutil.Process(self.server.pid)
        family = [server, *server.children(recursive=True)]
        return sum(process.memory_info().rss for process in family)

    def stop(self) -> None:
        """End both processes and what they started."""
        for process in reversed(self._processes):
            try:
                family = psutil.Process(process.pid).children(recursive=True)
            except psutil.NoSuchProcess:
                family = []
            process.kill()
            for child in family:
                try:
                    child.kill()
                except psutil.NoSuchProcess:
                    pass
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        self._folder.cleanup()


def import_times(names: Iterable[str], rounds: int) -> dict[str, float]:
    """Milliseconds that importing each peer adds to an empty program, taken in turns."""
    programs = {
        name: f"import {load(name).module or 'socket'}" for name in names if name in MODULES
    }
    times: dict[str, list[float]] = {name: [] for name in ("", *programs)}
    for _ in range(rounds):
        for name, seconds in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", programs.get(name, "pass")], check=True)
            seconds.append(time.perf_counter() - start)
    empty = statistics.median(times.pop(""))
    return {name: (statistics.median(seconds) - empty) * 1e3 for name, seconds in times.items()}
