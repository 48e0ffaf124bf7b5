"""One module for each library that is measured; each has a ``PEER``.

A peer is added by writing such a module and naming it in `MODULES`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = {
    "raw": "benchmarks.peers.raw",
    "nbrpc": "benchmarks.peers.native",
    "nbrpc-lent": "benchmarks.peers.lending",
    "nbrpc-ws": "benchmarks.peers.websocket",
    "manager": "benchmarks.peers.manager",
    "rpyc": "benchmarks.peers.rpyc_service",
}


class Client:
    """One connection; what a peer cannot do is not overridden and gives no figure."""

    def add(self, a: int, b: int) -> int:
        """Make the smallest useful call."""
        raise NotImplementedError

    def attribute(self) -> Any:
        """Read an attribute of an object held by reference."""
        raise NotImplementedError

    def method(self) -> Any:
        """Call a method of an object held by reference."""
        raise NotImplementedError

    def pipeline(self, count: int) -> None:
        """Start so many calls, then wait for all."""
        raise NotImplementedError

    def events(self, count: int) -> None:
        """Receive so many events that the server sends without a pause."""
        raise NotImplementedError

    def event_delays(self, count: int, interval: float) -> list[int]:
        """Receive spaced events; give the nanoseconds that each was on its way."""
        raise NotImplementedError

    def iterate(self, count: int) -> None:
        """Iterate over a remote iterator."""
        raise NotImplementedError

    def get_bytes(self, size: int) -> Any:
        """Fetch bytes."""
        raise NotImplementedError

    def put_bytes(self, data: bytes) -> Any:
        """Send bytes."""
        raise NotImplementedError

    def get_array(self, size: int) -> Any:
        """Fetch a numpy array."""
        raise NotImplementedError

    def put_array(self, data: Any) -> Any:
        """Send a numpy array."""
        raise NotImplementedError

    def total(self, kind: str, values: Any) -> float:
        """Have the server add up the numbers of a list, dict or array."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection."""


class Peer:
    """A library: how its server is run and its client connected."""

    module = ""
    """What a client program imports."""

    most_clients = 1_000
    largest = 10**9
    """Bytes of one transfer above which this peer would need minutes."""

    def serve(self, folder: Path, ready: Callable[[Any], None]) -> None:
        """Serve TCP and a Unix socket in ``folder`` for ever; once both listen, call ``ready``."""
        raise NotImplementedError

    def connect(self, address: Any, kind: str = "tcp") -> Client:
        """Connect by "tcp" or "unix"."""
        raise NotImplementedError


def announce(peer: Peer, address: Any, ready: Callable[[Any], None]) -> None:
    """Call ``ready(address)`` as soon as both sockets of a server answer."""
    for kind in ("tcp", "unix"):
        deadline = time.monotonic() + 10
        while True:
            try:
                peer.connect(address, kind).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    ready(address)


def load(name: str) -> Peer:
    """Give the peer of that name; ImportError when its library is not installed."""
    peer: Peer = importlib.import_module(MODULES[name]).PEER
    if peer.module:
        importlib.import_module(peer.module)
    return peer
