"""multiprocessing's manager: the quickest that the standard library has. It has no events."""

from __future__ import annotations

import multiprocessing.process
import threading
from collections.abc import Callable
from multiprocessing.managers import BaseManager, IteratorProxy, NamespaceProxy
from pathlib import Path
from typing import Any

from benchmarks.peers import Client, Peer
from benchmarks.target import Target

KEY = b"benchmarks"


class CounterProxy(NamespaceProxy):
    """A counter with its attribute and its method."""

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "bump")

    def bump(self, by: int) -> Any:
        """Count on."""
        return self._callmethod("bump", (by,))


class Manager(BaseManager):
    """The manager of the comparison."""


METHODS = [name for name in vars(Target) if not name.startswith("_")]
Manager.register("Counter", proxytype=CounterProxy)
Manager.register("Numbers", proxytype=IteratorProxy)
Manager.register(
    "Target",
    Target,
    exposed=METHODS,
    method_to_typeid={"make_counter": "Counter", "numbers": "Numbers"},
)


class ManagerClient(Client):
    """A connection of the calling thread; proxies dial anew for every other thread."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.target = manager.Target()
        self._counter: Any = None

    @property
    def counter(self) -> Any:
        """The counter, made once."""
        if self._counter is None:
            self._counter = self.target.make_counter()
        return self._counter

    def add(self, a: int, b: int) -> int:
        total: int = self.target.add(a, b)
        return total

    def attribute(self) -> Any:
        return self.counter.value

    def method(self) -> Any:
        return self.counter.bump(1)

    def iterate(self, count: int) -> None:
        for _number in self.target.numbers(count):
            pass

    def get_bytes(self, size: int) -> Any:
        return self.target.get_bytes(size)

    def put_bytes(self, data: bytes) -> Any:
        return self.target.put_bytes(data)

    def get_array(self, size: int) -> Any:
        return self.target.get_array(size)

    def put_array(self, data: Any) -> Any:
        return self.target.put_array(data)

    def total(self, kind: str, values: Any) -> float:
        total: float = self.target.total(kind, values)
        return total


class ManagerPeer(Peer):
    """multiprocessing.managers."""

    module = "multiprocessing.managers"
    most_clients = 32  # its handshakes take 0.2 s each, one after another

    def serve(self, folder: Path, ready: Callable[[Any], None]) -> None:
        tcp = Manager(address=("127.0.0.1", 0), authkey=KEY)
        tcp.start()
        unix = Manager(address=str(folder / "manager"), authkey=KEY)
        unix.start()
        ready({"tcp": tcp.address[1], "unix": unix.address})
        threading.Event().wait()

    def connect(self, address: Any, kind: str = "tcp") -> ManagerClient:
        multiprocessing.process.current_process().authkey = KEY
        where = ("127.0.0.1", address["tcp"]) if kind == "tcp" else address["unix"]
        manager = Manager(address=where, authkey=KEY)
        manager.connect()
        return ManagerClient(manager)


PEER = ManagerPeer()
