"""RPyC with a service, used as its documentation shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rpyc
from rpyc.utils.server import ThreadedServer

from benchmarks.peers import Client, Peer, announce
from benchmarks.target import Counter, Target, tick

CONFIG = {"allow_public_attrs": True, "allow_pickle": True, "sync_request_timeout": None}


class Service(rpyc.Service):  # type: ignore[misc]
    """What the server exposes."""

    def __init__(self) -> None:
        super().__init__()
        self._target = Target()

    def exposed_add(self, a: int, b: int) -> int:
        """Give the sum."""
        return a + b

    def exposed_make_counter(self) -> Counter:
        """Give an object by reference."""
        return Counter()

    def exposed_numbers(self, count: int) -> Iterator[int]:
        """Give an iterator."""
        return self._target.numbers(count)

    def exposed_get_bytes(self, size: int) -> bytes:
        """Give bytes."""
        return self._target.get_bytes(size)

    def exposed_put_bytes(self, data: bytes) -> int:
        """Take bytes."""
        return self._target.put_bytes(data)

    def exposed_get_array(self, size: int) -> Any:
        """Give an array, by reference."""
        return self._target.get_array(size)

    def exposed_put_array(self, data: Any) -> int:
        """Take an array by pickle."""
        return self._target.put_array(rpyc.classic.obtain(data))

    def exposed_total(self, kind: str, values: Any) -> float:
        """Add up numbers: those of an array by pickle."""
        return self._target.total(kind, rpyc.classic.obtain(values) if kind == "array" else values)

    def exposed_fire(self, callback: Any, count: int) -> None:
        """Send events without a pause."""
        send = rpyc.async_(callback)
        for number in range(count):
            send(number)

    def exposed_tick(self, callback: Any, count: int, interval: float) -> None:
        """Send spaced events with their time."""
        tick(rpyc.async_(callback), count, interval)


class RpycClient(Client):
    """A connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.root = connection.root
        self.counter = self.root.make_counter()

    def add(self, a: int, b: int) -> int:
        total: int = self.root.add(a, b)
        return total

    def attribute(self) -> Any:
        return self.counter.value

    def method(self) -> Any:
        return self.counter.bump(1)

    def pipeline(self, count: int) -> None:
        add = rpyc.async_(self.root.add)
        results = [add(number, 1) for number in range(count)]
        for result in results:
            result.wait()

    def events(self, count: int) -> None:
        seen = [0]

        def callback(_number: int) -> None:
            seen[0] += 1

        self.root.fire(callback, count)
        while seen[0] < count:
            self.connection.serve(1)

    def event_delays(self, count: int, interval: float) -> list[int]:
        delays: list[int] = []
        done = threading.Event()

        def callback(sent: int) -> None:
            delays.append(time.monotonic_ns() - sent)
            if len(delays) == count:
                done.set()

        self.root.tick(callback, count, interval)
        # With its default pause the thread would serve ten messages a second.
        background = rpyc.BgServingThread(self.connection, sleep_interval=0)
        done.wait(30)
        background.stop()
        return delays

    def iterate(self, count: int) -> None:
        for _number in self.root.numbers(count):
            pass

    def get_bytes(self, size: int) -> Any:
        return self.root.get_bytes(size)

    def put_bytes(self, data: bytes) -> Any:
        return self.root.put_bytes(data)

    def get_array(self, size: int) -> Any:
        return rpyc.classic.obtain(self.root.get_array(size))

    def put_array(self, data: Any) -> Any:
        return self.root.put_array(data)

    def total(self, kind: str, values: Any) -> float:
        total: float = self.root.total(kind, values)
        return total

    def close(self) -> None:
        self.connection.close()


class RpycPeer(Peer):
    """RPyC 6."""

    module = "rpyc"
    largest = 10_000_000  # its writes copy what is left for every 64 kB

    def serve(self, folder: Path, ready: Callable[[Any], None]) -> None:
        tcp = ThreadedServer(
            Service, hostname="127.0.0.1", port=0, backlog=512, protocol_config=CONFIG
        )
        unix = ThreadedServer(Service, socket_path=str(folder / "rpyc"), protocol_config=CONFIG)
        threading.Thread(target=unix.start, daemon=True).start()
        address = {"tcp": tcp.port, "unix": str(folder / "rpyc")}
        threading.Thread(target=announce, args=(self, address, ready), daemon=True).start()
        tcp.start()

    def connect(self, address: Any, kind: str = "tcp") -> RpycClient:
        if kind == "unix":
            return RpycClient(rpyc.utils.factory.unix_connect(address["unix"], config=CONFIG))
        return RpycClient(rpyc.connect("127.0.0.1", address["tcp"], config=CONFIG))


PEER = RpycPeer()
