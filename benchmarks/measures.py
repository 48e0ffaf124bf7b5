"""What is measured, from the client's side of one connection."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import Client, Peer
from benchmarks.target import MEGABYTE, array, blob

KINDS = ("list", "dict", "array")
COUNTS = (1, 100, 10_000)


@dataclass
class Bed:
    """A client process: its peer, where the server is, and the connections made so far."""

    peer: Peer
    address: Any
    quick: bool
    clients: dict[str, Client] = field(default_factory=dict)
    idle: list[Client] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def client(self, kind: str = "tcp") -> Client:
        """Give the connection of that kind, warmed up."""
        if kind not in self.clients:
            self.clients[kind] = self.peer.connect(self.address, kind)
            for number in range(50):
                self.clients[kind].add(number, 1)
        return self.clients[kind]

    def choose(self, quick: float, full: float) -> Any:
        """Give the smaller figure for a quick run."""
        return quick if self.quick else full


def _median_time(bed: Bed, call: Callable[[], object]) -> float:
    """Microseconds of a typical call."""
    call()
    times = []
    end = time.perf_counter() + bed.choose(0.05, 0.3)
    while (start := time.perf_counter()) < end:
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _rate(bed: Bed, work: Callable[[int], object]) -> float:
    """Things a second, when many are asked for at once."""
    count = bed.choose(500, 10_000)
    work(5)
    start = time.perf_counter()
    work(count)
    return float(count / (time.perf_counter() - start))


def null_call(bed: Bed) -> float:
    """Time the smallest call."""
    client = bed.client()
    return _median_time(bed, lambda: client.add(1, 2))


def unix_call(bed: Bed) -> float:
    """Time the smallest call over a Unix socket."""
    client = bed.client("unix")
    return _median_time(bed, lambda: client.add(1, 2))


def attribute(bed: Bed) -> float:
    """Time the reading of an attribute."""
    return _median_time(bed, bed.client().attribute)


def method(bed: Bed) -> float:
    """Time the call of a method of an object held by reference."""
    return _median_time(bed, bed.client().method)


def pipeline(bed: Bed) -> float:
    """Count calls a second when all are started before the first is waited for."""
    return _rate(bed, bed.client().pipeline)


def events(bed: Bed) -> float:
    """Count events a second in a burst."""
    return _rate(bed, bed.client().events)


def iteration(bed: Bed) -> float:
    """Count items a second of a remote iterator."""
    return _rate(bed, bed.client().iterate)


def event_delay(bed: Bed) -> float:
    """Time one event from emit to callback, when nothing else happens."""
    delays = bed.client().event_delays(bed.choose(10, 50), 0.005)
    return statistics.median(delays) / 1e3


def _throughput(bed: Bed, transfer: Callable[[int], object]) -> float:
    size = min(bed.choose(4, 100) * MEGABYTE, bed.peer.largest)
    transfer(800)
    transfer(size)  # the data is made here
    start = time.perf_counter()
    transfer(size)
    return float(size / (time.perf_counter() - start) / MEGABYTE)


def bytes_in(bed: Bed) -> float:
    """Fetch bytes."""
    return _throughput(bed, bed.client().get_bytes)


def bytes_out(bed: Bed) -> float:
    """Send bytes."""
    client = bed.client()
    return _throughput(bed, lambda size: client.put_bytes(blob(size)))


def array_in(bed: Bed) -> float:
    """Fetch an array."""
    return _throughput(bed, bed.client().get_array)


def array_out(bed: Bed) -> float:
    """Send an array."""
    client = bed.client()
    return _throughput(bed, lambda size: client.put_array(array(size)))


def argument(bed: Bed, kind: str, count: int) -> float:
    """Time a call whose argument is data that the server reads to its end."""
    client = bed.client()
    numbers = array(8 * count)
    values = {
        "list": numbers.tolist(),
        "dict": {f"channel {index}": number for index, number in enumerate(numbers.tolist())},
        "array": numbers,
    }[kind]
    return _median_time(bed, lambda: client.total(kind, values))


def clients(bed: Bed, count: int) -> float:
    """Count calls a second of many connections, each with a thread."""
    if count > bed.peer.most_clients:
        raise NotImplementedError
    calls = [0] * count
    failures: list[BaseException] = []
    start, stop = threading.Barrier(count + 1), threading.Event()

    def run(index: int) -> None:
        try:
            client = bed.peer.connect(bed.address)
            client.add(1, 2)
        except Exception as exc:
            failures.append(exc)
            start.abort()
            return
        start.wait()
        while not stop.is_set():
            client.add(1, 2)
            calls[index] += 1
        client.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    try:
        start.wait(60)
    except threading.BrokenBarrierError:
        if failures:
            raise failures[0] from None
        raise
    begun = time.perf_counter()
    stop.wait(bed.choose(0.2, 1.0))
    total, seconds = sum(calls), time.perf_counter() - begun
    stop.set()
    for thread in threads:
        thread.join()
    return total / seconds


def connect(bed: Bed) -> float:
    """Time connecting and the first call."""

    def once() -> None:
        client = bed.peer.connect(bed.address)
        client.add(1, 2)
        client.close()

    return _median_time(bed, once)


def open_idle(bed: Bed) -> float:
    """Open connections that stay idle, one thread each as far as a peer needs it; give how many."""
    count = min(bed.choose(50, 200), bed.peer.most_clients)
    ready = threading.Barrier(count + 1)

    def hold() -> None:
        client = bed.peer.connect(bed.address)
        client.add(1, 2)
        bed.idle.append(client)
        ready.wait()
        # A manager's connection lives as long as the thread that made it.
        bed.release.wait()

    for _ in range(count):
        threading.Thread(target=hold, daemon=True).start()
    ready.wait(60)
    return float(count)


@dataclass(frozen=True)
class Measure:
    """A row of the table."""

    title: str
    unit: str
    run: Callable[[Bed], float]
    lower_is_better: bool
    slow: bool = False


def _clients(count: int) -> Callable[[Bed], float]:
    return lambda bed: clients(bed, count)


def _argument(kind: str, count: int) -> Measure:
    title = f"{kind} of {count:,}, as an argument"
    return Measure(title, "µs", lambda bed: argument(bed, kind, count), lower_is_better=True)


MEASURES = {
    "null": Measure("null call", "µs", null_call, lower_is_better=True),
    "unix": Measure("null call, Unix socket", "µs", unix_call, lower_is_better=True),
    "attribute": Measure("attribute", "µs", attribute, lower_is_better=True),
    "method": Measure("method", "µs", method, lower_is_better=True),
    "pipeline": Measure("pipelined calls", "/s", pipeline, lower_is_better=False),
    "events": Measure("events", "/s", events, lower_is_better=False),
    "event": Measure("one event", "µs", event_delay, lower_is_better=True),
    "iteration": Measure("iteration", "/s", iteration, lower_is_better=False),
    "bytes-in": Measure("bytes fetched", "MB/s", bytes_in, lower_is_better=False, slow=True),
    "bytes-out": Measure("bytes sent", "MB/s", bytes_out, lower_is_better=False, slow=True),
    "array-in": Measure("array fetched", "MB/s", array_in, lower_is_better=False, slow=True),
    "array-out": Measure("array sent", "MB/s", array_out, lower_is_better=False, slow=True),
    **{f"{kind}-{count}": _argument(kind, count) for kind in KINDS for count in COUNTS},
    "clients-8": Measure("8 clients", "/s", _clients(8), lower_is_better=False, slow=True),
    "clients-32": Measure("32 clients", "/s", _clients(32), lower_is_better=False, slow=True),
    "clients-128": Measure("128 clients", "/s", _clients(128), lower_is_better=False, slow=True),
    "connect": Measure("connect and call", "µs", connect, lower_is_better=True),
    # The figure of this one is taken from outside: see `processes.idle_memory`.
    "idle": Measure("idle connection", "KiB", open_idle, lower_is_better=True, slow=True),
    # And of this one nothing is asked of the client: see `processes.import_times`.
    "import": Measure("import", "ms", lambda _bed: 0.0, lower_is_better=True, slow=True),
}
