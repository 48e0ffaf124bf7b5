"""``python -m benchmarks.notebook``: figures of the notebook layer, in a real kernel.

stop     how long after Stop a cell ends, in each kind of wait, and whether all is well afterwards
flood    how long a cell of ``1`` takes while a producer floods the kernel with events
event    how long after its emission an event runs its callback in an idle kernel
result   how long after its end a result shows so, while another cell blocks the kernel

They take some minutes together. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.notebook.kernels import Kernel

SERVICE = '''
import threading
import time

import nbrpc


class Desk(nbrpc.Service):
    """Naps, and floods its listeners."""

    tick = nbrpc.event()

    @nbrpc.exposed
    def nap(self, seconds):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(0.02)

    @nbrpc.exposed
    def once(self):
        self.tick.emit(time.time())

    @nbrpc.exposed
    def flood(self, rate, seconds):
        """Emit so many events a second; gives how many were emitted."""
        begun, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            due = int(passed * rate) - sent
            for _ in range(min(due, 500)):
                self.tick.emit(sent)
                sent += 1
            if due <= 0:
                time.sleep(0.0005)
        return sent
'''

STOPS = {
    "%%remote": "%%remote\nimport time\ntime.sleep(60)",
    "blocking call": "dev.nap(60)",
    "res.wait()": "res = nbrpc.async_(dev.nap)(60)\nres.wait()",
    "await res": "res = nbrpc.async_(dev.nap)(60)\nawait res",
}

FLOODS = (("empty handler", 0.0), ("20 us handler", 20e-6), ("60 us handler", 60e-6))
"""Handlers of events, and how many seconds each takes."""


@contextmanager
def connected() -> Iterator[Kernel]:
    """A kernel that is connected to a server in another process."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "desk.py").write_text(SERVICE)
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(runtime)})
        command = [sys.executable, "-m", "nbrpc", "serve", "desk:Desk", "--allow-code", "--port=0"]
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NBRPC_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(Path.cwd())},
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            kernel.ok(f"%load_ext nbrpc\n%rpc_connect {url}\ndev = conn.root\nimport time")
            yield kernel
        finally:
            kernel.stop()
            server.terminate()
            server.wait()


def line(name: str, seconds: list[float], note: str = "") -> None:
    """Print a row of figures."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(
        f"{name:34} {len(ordered):4}  median {statistics.median(ordered) * 1e3:8.1f} ms"
        f"  p95 {p95 * 1e3:8.1f} ms  longest {ordered[-1] * 1e3:8.1f} ms  {note}"
    )


def stop(kernel: Kernel, times: int) -> None:
    """Press Stop in every kind of wait."""
    for name, source in STOPS.items():
        taken, wrong = [], 0
        for _ in range(times):
            cell = kernel.start(source)
            kernel.settle(0.15 + random.random() * 0.1)
            begun = time.monotonic()
            kernel.interrupt()
            kernel.finish(cell)
            taken.append(cell.idle - begun)
            wrong += cell.reply.get("ename") not in ("KeyboardInterrupt", "CancelledError")
            wrong += kernel.run("conn.ping()").reply["status"] != "ok"
        line(f"stop {name}", taken, f"{wrong} wrong")


def flood(kernel: Kernel, _: int) -> None:
    """Run small cells while events come 20,000 times a second."""
    kernel.ok(
        "def busy(seconds):\n"
        "    def handle(number):\n"
        "        ends = time.perf_counter() + seconds\n"
        "        while time.perf_counter() < ends: pass\n"
        "    return handle"
    )
    for name, cost in FLOODS:
        kernel.ok(
            f"sub = dev.tick.subscribe(busy({cost}))\njob = nbrpc.async_(dev.flood)(20_000, 6)"
        )
        ends = time.monotonic() + 5.5
        taken = []
        while time.monotonic() < ends:
            taken.append(kernel.ok("1").seconds)
            time.sleep(0.05)  # a person is slower still
        sums = kernel.ok(
            "import asyncio\nsent, before = await job, -1\n"
            # until no more come
            "while before != (before := sub.received + sub.dropped): await asyncio.sleep(0.3)\n"
            "print(sent, sub.received, sub.dropped, sub.queued)"
        )
        sent, received, dropped, queued = map(int, sums.text().split())
        kernel.ok("sub.close()")
        line(
            f"flood, {name}",
            taken,
            f"{sent:,} emitted, {received:,} handled, {dropped:,} dropped, "
            f"{sent - received - dropped - queued} unaccounted",
        )


def event(kernel: Kernel, times: int) -> None:
    """Emit single events to a kernel that does nothing."""
    kernel.ok(
        "import threading\nlate = []\n"
        "sub = dev.tick.subscribe(lambda sent: late.append(time.time() - sent))\n"
        "other = nbrpc.connect(conn.url, token=None)\n"
        "def prod():\n"
        f"    for _ in range({times}):\n"
        "        other.root.once(); time.sleep(0.02)\n"
        "thread = threading.Thread(target=prod); thread.start()"
    )
    time.sleep(times * 0.03 + 1)  # a cell that waited would be no idle kernel
    late = kernel.ok("thread.join()\nsub.close(); other.close()\nprint(*late)").text()
    line("one event to an idle kernel", [float(item) for item in late.split()])


def result(kernel: Kernel, times: int) -> None:
    """Let results end while a cell keeps the main thread busy."""
    taken = []
    for _ in range(times):
        cell = kernel.ok(
            "ended = []\njob = nbrpc.async_(dev.nap)(0.5)\n"
            "job.observe(lambda job: job.done and ended.append(time.time()))\njob"
        )
        identity = cell.of("display_data")[0]["transient"]["display_id"]
        busy = kernel.start(
            "begun = time.time()\nwhile time.time() < begun + 1.5: pass\nprint(ended[0])"
        )
        kernel.read_until(
            lambda identity=identity: 'data-state="ready"' in kernel.displays[identity]["text/html"]
        )
        seen = time.time()
        kernel.finish(busy)
        taken.append(seen - float(busy.text()))
    line("end of a result, in a busy kernel", taken)


MEASURES: dict[str, Callable[[Kernel, int], None]] = {
    "stop": stop,
    "flood": flood,
    "event": event,
    "result": result,
}


def main() -> None:
    """Take the measures that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook", description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"of {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--times", type=int, default=50, help="how often (default: 50)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.measures if name not in MEASURES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(MEASURES)}")
    with connected() as kernel:
        for name in arguments.measures or MEASURES:
            MEASURES[name](kernel, arguments.times)


if __name__ == "__main__":
    main()
