"""The server of the rows: ``python -m benchmarks.stress.server`` prints its ports as JSON."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

import nbrpc
from benchmarks.target import Counter

LIMITS = nbrpc.Limits(nesting=1_000)
"""Deep enough for the row that nests 200 callbacks with the recursion limit raised."""


class Load(nbrpc.Service):
    """What most rows call."""

    def __init__(self) -> None:
        super().__init__()
        self.server: Any = None
        self._sleeping = 0
        self._stopped_at = 0.0
        self._lost_at: list[float] = []

    @nbrpc.exposed
    def add(self, a: int, b: int) -> int:
        """Give the sum."""
        return a + b

    @nbrpc.exposed
    def make_counter(self) -> Counter:
        """Give an object by reference."""
        return Counter()

    @nbrpc.exposed
    def take(self, data: bytes) -> int:
        """Take bytes and give their number."""
        return len(data)

    @nbrpc.exposed
    def give(self, callback: Any, size: int) -> Any:
        """Send bytes by calling back."""
        return callback(bytes(size))

    @nbrpc.exposed
    def bounce(self, callback: Any, depth: int) -> Any:
        """Call back."""
        return callback(depth)

    @nbrpc.exposed
    def set_recursion_limit(self, limit: int) -> None:
        """Raise Python's limit on this side."""
        sys.setrecursionlimit(limit)

    @nbrpc.exposed
    def sleep(self, seconds: float) -> None:
        """Sleep in small steps, and remember when that ended."""
        end = time.monotonic() + seconds
        self._sleeping += 1
        try:
            while time.monotonic() < end:
                time.sleep(0.002)
        finally:
            self._stopped_at = time.monotonic()
            self._sleeping -= 1

    @nbrpc.exposed
    def sleeping(self) -> int:
        """Count the sleeps that are running."""
        return self._sleeping

    @nbrpc.exposed
    def stopped_at(self) -> float:
        """Give the machine's clock when the last sleep ended."""
        return self._stopped_at

    @nbrpc.exposed
    def hold(self, callback: Any) -> None:
        """Wait for a callback that does not return, and note when the client was lost."""
        try:
            callback()
        except nbrpc.ConnectionLost:
            self._lost_at.append(time.monotonic())

    @nbrpc.exposed
    def lost_at(self) -> list[float]:
        """Give those times."""
        return self._lost_at

    @nbrpc.exposed
    def exported(self) -> int:
        """Count the objects that this side has lent to all its clients."""
        return int(self.server.statistics().exported)


class Driver(nbrpc.Service, serial=True, interruptible=False):
    """A driver for one thread, whose instrument answers each line with the same line."""

    def __init__(self) -> None:
        super().__init__()
        self._ours, instrument = socket.socketpair()
        self._threads: set[int] = set()
        self._last: dict[int, int] = {}
        self._out_of_step = self._out_of_order = self._done = 0
        threading.Thread(target=self._instrument, args=(instrument,), daemon=True).start()

    @staticmethod
    def _instrument(sock: socket.socket) -> None:
        with sock, sock.makefile("rwb") as lines:
            for line in lines:
                time.sleep(0.0005)
                lines.write(line)
                lines.flush()

    @nbrpc.exposed
    def transaction(self, client: int, number: int) -> int:
        """Ask the instrument and read its answer."""
        self._threads.add(threading.get_ident())
        self._out_of_order += number <= self._last.get(client, -1)
        self._last[client] = number
        question = f"{client}:{number}\n".encode()
        self._ours.sendall(question)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self._ours.recv(100)
        self._out_of_step += answer != question
        self._done += 1
        return number

    @nbrpc.exposed
    def report(self) -> tuple[int, int, int, int]:
        """Give: transactions, threads seen, answers out of step, calls out of order."""
        return self._done, len(self._threads), self._out_of_step, self._out_of_order


def main() -> None:
    """Serve until the input ends, which it does when the parent dies."""
    load = Load()
    load.server = nbrpc.serve(load, port=0, limits=LIMITS)
    driver = nbrpc.serve(Driver(), port=0)
    print(json.dumps({"load": load.server.port, "driver": driver.port}), flush=True)
    sys.stdin.read()
    driver.close()
    load.server.close()


if __name__ == "__main__":
    main()
