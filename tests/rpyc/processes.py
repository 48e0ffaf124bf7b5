"""Servers and clients of both implementations, each in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.rpyc.stock import installed

PROGRAMS = Path(__file__).parent / "programs"

PATIENCE = 25.0
"""Seconds after which a process that does not answer is given up."""


class Program:
    """A running program: lines in, lines out, and a log of its errors."""

    def __init__(self, folder: Path, program: str, implementation: str, *arguments: str) -> None:
        self.name = " ".join((program, implementation, *arguments))
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        environment = {**os.environ, "NBRPC_RUNTIME_DIR": str(runtime), "PYTHONUNBUFFERED": "1"}
        if implementation == "stock":
            environment["PYTHONPATH"] = str(installed(arguments[0]))
        self.log = folder / f"{self.name.replace(' ', '_')}.txt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAMS / f"{program}.py"), implementation, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def line(self) -> str:
        """Read a line; fail with the log when none comes."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line:
            state = self.stacks() if self.running else f"it ended:\n{self.tail()}"
            self.stop()
            raise AssertionError(f"{self.name} gave no answer; {state}")
        return line

    def tail(self, characters: int = 6000) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-characters:]

    def stacks(self) -> str:
        """Give the stacks of its threads."""
        before = self.log.stat().st_size
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 2
        while self.log.stat().st_size == before and time.monotonic() < deadline:
            time.sleep(0.05)  # until the stacks are written
        time.sleep(0.1)  # the rest of it
        return f"its threads are at:\n{self.log.read_bytes()[before:].decode(errors='replace')}"

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Server(Program):
    """A server; ``port`` is where."""

    def __init__(self, folder: Path, implementation: str, version: str, *arguments: str) -> None:
        super().__init__(folder, "server", implementation, version, *arguments)
        self.port = int(self.line())


class Client(Program):
    """A client that runs groups of steps."""

    def __init__(self, folder: Path, implementation: str, version: str) -> None:
        super().__init__(folder, "client", implementation, version)

    def start(self, group: str, port: int, **request: Any) -> None:
        """Ask for a group; `outcomes` gives what came of it."""
        assert self.process.stdin is not None
        request = {"group": group, "port": port, **request}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def outcomes(self) -> dict[str, Any]:
        """Give the outcome of every step of the group that was asked for."""
        answer = json.loads(self.line())
        outcomes: dict[str, Any] = answer["outcomes"]
        if "failure" in answer:
            outcomes["(the group)"] = {
                "raised": [answer["failure"]],
                "traceback": answer["traceback"],
            }
        return outcomes

    def run(self, group: str, port: int, **request: Any) -> dict[str, Any]:
        """Run a group."""
        self.start(group, port, **request)
        return self.outcomes()


class Processes:
    """The processes of a test session: one for each purpose, started when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[tuple[str, ...], Any] = {}

    def server(self, implementation: str, version: str, *arguments: str) -> Server:
        """Give a server: ``server("stock", "6.0.2", "service")``."""
        return self._get(Server, implementation, version, *arguments)

    def client(self, implementation: str, version: str) -> Client:
        """Give a client: ``client("nbrpc", "-")``."""
        return self._get(Client, implementation, version)

    def _get(self, kind: Any, *arguments: str) -> Any:
        key = (kind.__name__, *arguments)
        found = self._running.get(key)
        if found is None or not found.running:
            if found is not None:
                found.stop()
            self._running[key] = found = kind(self.folder, *arguments)
        return found

    def stop(self) -> None:
        """End all."""
        for program in self._running.values():
            program.stop()
