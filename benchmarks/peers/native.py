"""nbrpc, used as its documentation shows: natural calls, no tuning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbrpc
from benchmarks.peers import Client, Peer, announce
from benchmarks.target import Counter, Target, tick


class SharedCounter(Counter):
    """The counter, with what a client may reach marked."""

    @property
    @nbrpc.exposed
    def count(self) -> int:
        """The value."""
        return self.value

    @nbrpc.exposed
    def raise_by(self, by: int) -> int:
        """Count on."""
        return self.bump(by)


class Service(nbrpc.Service):
    """What the server exposes."""

    fired = nbrpc.event()

    def __init__(self) -> None:
        super().__init__()
        self._target = Target()

    @nbrpc.exposed
    def add(self, a: int, b: int) -> int:
        """Give the sum."""
        return a + b

    @nbrpc.exposed
    def make_counter(self) -> SharedCounter:
        """Give an object by reference."""
        return SharedCounter()

    @nbrpc.exposed
    def numbers(self, count: int) -> Iterator[int]:
        """Give an iterator."""
        return self._target.numbers(count)

    @nbrpc.exposed
    def get_bytes(self, size: int) -> bytes:
        """Give bytes."""
        return self._target.get_bytes(size)

    @nbrpc.exposed
    def put_bytes(self, data: bytes) -> int:
        """Take bytes."""
        return self._target.put_bytes(data)

    @nbrpc.exposed
    def get_array(self, size: int) -> Any:
        """Give an array."""
        return self._target.get_array(size)

    @nbrpc.exposed
    def put_array(self, data: Any) -> int:
        """Take an array."""
        return self._target.put_array(data)

    @nbrpc.exposed
    def total(self, kind: str, values: Any) -> float:
        """Add up numbers."""
        return self._target.total(kind, values)

    @nbrpc.exposed
    def fire(self, count: int) -> None:
        """Emit events without a pause."""
        for number in range(count):
            self.fired.emit(number)

    @nbrpc.exposed
    def tick(self, count: int, interval: float) -> None:
        """Emit spaced events with their time."""
        tick(self.fired.emit, count, interval)


class NbrpcClient(Client):
    """A connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.root = connection.root
        self.counter = self.root.make_counter()

    def add(self, a: int, b: int) -> int:
        total: int = self.root.add(a, b)
        return total

    def attribute(self) -> Any:
        return self.counter.count

    def method(self) -> Any:
        return self.counter.raise_by(1)

    def pipeline(self, count: int) -> None:
        add = nbrpc.async_(self.root.add)
        results = [add(number, 1) for number in range(count)]
        for result in results:
            result.wait()

    def events(self, count: int) -> None:
        seen = [0]

        def callback(_number: int) -> None:
            seen[0] += 1

        subscription = self.root.fired.subscribe(callback, policy="block", maxsize=count)
        self.root.fire(count)
        while seen[0] < count:
            self.connection.serve(1)
        subscription.close()

    def event_delays(self, count: int, interval: float) -> list[int]:
        delays: list[int] = []
        done = threading.Event()

        def callback(sent: int) -> None:
            delays.append(time.monotonic_ns() - sent)
            if len(delays) == count:
                done.set()

        subscription = self.root.fired.subscribe(callback, policy="block", maxsize=count)
        background = nbrpc.BgServingThread(self.connection)
        self.root.tick(count, interval)
        done.wait(30)
        background.stop()
        subscription.close()
        return delays

    def iterate(self, count: int) -> None:
        for _number in self.root.numbers(count):
            pass

    def get_bytes(self, size: int) -> Any:
        return self.root.get_bytes(size)

    def put_bytes(self, data: bytes) -> Any:
        return self.root.put_bytes(data)

    def get_array(self, size: int) -> Any:
        return self.root.get_array(size)

    def put_array(self, data: Any) -> Any:
        return self.root.put_array(data)

    def total(self, kind: str, values: Any) -> float:
        total: float = self.root.total(kind, values)
        return total

    def close(self) -> None:
        self.connection.close()


class NbrpcPeer(Peer):
    """Our own."""

    module = "nbrpc"

    def serve(self, folder: Path, ready: Callable[[Any], None]) -> None:
        tcp = nbrpc.ThreadedServer(Service, hostname="127.0.0.1", port=0)
        unix = nbrpc.ThreadedServer(Service, socket_path=str(folder / "nbrpc"))
        threading.Thread(target=unix.start, daemon=True).start()
        address = {"tcp": tcp.port, "unix": str(folder / "nbrpc")}
        threading.Thread(target=announce, args=(self, address, ready), daemon=True).start()
        tcp.start()

    def connect(self, address: Any, kind: str = "tcp") -> NbrpcClient:
        if kind == "unix":
            return NbrpcClient(nbrpc.connect(f"unix://{address['unix']}"))
        return NbrpcClient(nbrpc.connect("127.0.0.1", address["tcp"]))


PEER = NbrpcPeer()
