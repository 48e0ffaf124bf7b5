"""The server of the rows about faults: ``python -m benchmarks.trust.service`` prints its port."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import psutil

import nbrpc

__all__ = ["ROOT", "TOKEN", "Service", "running", "url"]

ROOT = Path(__file__).parent.parent.parent
TOKEN = "trust" * 8


class Part:
    """An object that is held by reference."""

    def __init__(self, value: int) -> None:
        self.value = value

    def exposed_get(self) -> int:
        """Give what it was made with."""
        return self.value


class Service(nbrpc.Service):
    """What the rows call; what it has run is noted in a ledger, if there is one."""

    told = nbrpc.event()

    def __init__(self) -> None:
        super().__init__()
        name = os.environ.get("TRUST_LEDGER")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._ledger = os.open(name, flags, 0o600) if name else -1

    def exposed_add(self, a: int, b: int) -> int:
        """Give the sum."""
        return a + b

    def exposed_nap(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)  # what the service does

    async def exposed_nap_later(self, seconds: float) -> None:
        """Sleep without a thread."""
        await asyncio.sleep(seconds)  # what the service does

    def exposed_take(self, data: bytes) -> int:
        """Take bytes."""
        return len(data)

    def exposed_make(self, value: int) -> Part:
        """Give an object by reference."""
        return Part(value)

    def exposed_note(self, number: int) -> int:
        """Write a number into the ledger, tell of it, and give it back."""
        os.write(self._ledger, b"%d\n" % number)  # appended whole, and kept if this is killed
        self.told.emit(number)
        return number

    def exposed_publish(self, count: int, rate: float, size: int = 0) -> list[float]:
        """Emit events at so many a second; give the seconds of ``emit``: p99 and the most."""
        taken, begun = array("d"), time.monotonic()
        while len(taken) < count:
            due = min(count, int((time.monotonic() - begun) * rate))
            while len(taken) < due:
                start = time.perf_counter()
                if size:
                    self.told.emit(len(taken), b"x" * size)
                else:
                    self.told.emit(len(taken))
                taken.append(time.perf_counter() - start)
            time.sleep(0.002)  # the pace of the events
        ordered = sorted(taken)
        return [ordered[int(count * 0.99)], ordered[-1]]

    def exposed_resources(self) -> tuple[int, int, int]:
        """Give resident bytes, descriptors and threads of this process."""
        process = psutil.Process()
        return process.memory_info().rss, process.num_fds(), threading.active_count()


def url(port: int) -> str:
    """Where a server on that port is reached."""
    return f"nbrpc://127.0.0.1:{port}"


@contextmanager
def running(port: int = 0, ledger: Path | None = None) -> Iterator[tuple[Popen[bytes], int]]:
    """Run the server; give the process and its port. It is ended afterwards."""
    environment = {**os.environ, **({"TRUST_LEDGER": str(ledger)} if ledger else {})}
    with Popen(
        [sys.executable, "-m", "benchmarks.trust.service", str(port)],
        cwd=ROOT, stdout=PIPE, env=environment,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the server of this row did not start")
            yield process, int(line)
        finally:
            process.kill()


def main() -> None:
    """Serve until killed."""
    timing = nbrpc.Timing(heartbeat=0.5, silent_after=2.0)
    server = nbrpc.serve(Service, port=int(sys.argv[1]), token=TOKEN, timing=timing)
    print(server.port, flush=True)
    server.start()


if __name__ == "__main__":
    main()
