"""Raw sockets and structs: the limit that everything else is compared with.

A request is an operation and two numbers, a reply one number; both are of fixed size. The server
has a thread for each connection and answers everything that one read gave with one write.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import Client, Peer
from benchmarks.target import array, blob, tick

REQUEST = struct.Struct("<Bqq")
REPLY = struct.Struct("<q")
CHUNK = 65_536

ADD, EVENTS, TICK, NUMBERS, GET, PUT, GET_ARRAY = range(7)


def _no_delay(sock: socket.socket) -> socket.socket:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _fill(sock: socket.socket, view: memoryview) -> None:
    while view:
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]


class _Served:
    """The server's side of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = _no_delay(sock)

    def run(self) -> None:
        pending = bytearray()
        try:
            while data := self.sock.recv(CHUNK):
                pending += data
                replies = []
                while len(pending) >= REQUEST.size:
                    operation, first, second = REQUEST.unpack_from(pending)
                    del pending[: REQUEST.size]
                    if operation == ADD:
                        replies.append(REPLY.pack(first + second))
                    elif operation == PUT:
                        self._take(pending, first)
                        replies.append(REPLY.pack(first))
                    else:
                        self._answer(operation, first, second)
                if replies:
                    self.sock.sendall(b"".join(replies))
        except (EOFError, OSError):
            pass

    def _take(self, pending: bytearray, size: int) -> None:
        body = bytearray(size)
        have = min(size, len(pending))
        body[:have] = pending[:have]
        del pending[:have]
        _fill(self.sock, memoryview(body)[have:])

    def _answer(self, operation: int, first: int, second: int) -> None:
        if operation == EVENTS:
            for number in range(first):
                self.sock.sendall(REPLY.pack(number))
        elif operation == NUMBERS:
            self.sock.sendall(b"".join(map(REPLY.pack, range(first))))
        elif operation == TICK:
            tick(lambda now: self.sock.sendall(REPLY.pack(now)), first, second / 1e6)
        elif operation == GET:
            self.sock.sendall(blob(first))
        elif operation == GET_ARRAY:
            self.sock.sendall(memoryview(array(first)).cast("B"))


class RawClient(Client):
    """The client's side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = _no_delay(sock)
        self._reply = bytearray(REPLY.size)

    def _ask(self, operation: int, first: int, second: int = 0) -> None:
        self.sock.sendall(REQUEST.pack(operation, first, second))

    def _number(self) -> int:
        count = self.sock.recv_into(self._reply)
        if count < REPLY.size:
            _fill(self.sock, memoryview(self._reply)[count:])
        number: int = REPLY.unpack(self._reply)[0]
        return number

    def _numbers(self, count: int) -> None:
        left, rest = count * REPLY.size, b""
        while left:
            data = self.sock.recv(CHUNK)
            if not data:
                raise EOFError
            left -= len(data)
            rest += data
            whole = len(rest) // REPLY.size * REPLY.size
            for _number in REPLY.iter_unpack(rest[:whole]):
                pass
            rest = rest[whole:]

    def add(self, a: int, b: int) -> int:
        self.sock.sendall(REQUEST.pack(ADD, a, b))
        return self._number()

    def attribute(self) -> int:
        return self.add(1, 2)

    def method(self) -> int:
        return self.add(1, 2)

    def pipeline(self, count: int) -> None:
        send, pack = self.sock.sendall, REQUEST.pack
        for number in range(count):
            send(pack(ADD, number, 1))
        self._numbers(count)

    def events(self, count: int) -> None:
        self._ask(EVENTS, count)
        self._numbers(count)

    def event_delays(self, count: int, interval: float) -> list[int]:
        self._ask(TICK, count, int(interval * 1e6))
        delays = []
        for _ in range(count):
            sent = self._number()
            delays.append(time.monotonic_ns() - sent)
        return delays

    def iterate(self, count: int) -> None:
        self._ask(NUMBERS, count)
        self._numbers(count)

    def get_bytes(self, size: int) -> bytearray:
        self._ask(GET, size)
        data = bytearray(size)
        _fill(self.sock, memoryview(data))
        return data

    def put_bytes(self, data: bytes) -> int:
        self._ask(PUT, len(data))
        self.sock.sendall(data)
        return self._number()

    def get_array(self, size: int) -> Any:
        import numpy as np

        self._ask(GET_ARRAY, size)
        data = np.empty(size // 8)
        _fill(self.sock, memoryview(data).cast("B"))
        return data

    def put_array(self, data: Any) -> int:
        self._ask(PUT, data.nbytes)
        self.sock.sendall(memoryview(data).cast("B"))
        return self._number()

    def close(self) -> None:
        self.sock.close()


class RawPeer(Peer):
    """Plain sockets."""

    def serve(self, folder: Path, ready: Callable[[Any], None]) -> None:
        tcp = socket.create_server(("127.0.0.1", 0), backlog=512)
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(folder / "raw"))
        unix.listen(512)

        def accept(listener: socket.socket) -> None:
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=_Served(sock).run, daemon=True).start()

        threading.Thread(target=accept, args=(unix,), daemon=True).start()
        ready({"tcp": tcp.getsockname()[1], "unix": str(folder / "raw")})
        accept(tcp)

    def connect(self, address: Any, kind: str = "tcp") -> RawClient:
        if kind == "tcp":
            return RawClient(socket.create_connection(("127.0.0.1", address["tcp"])))
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address["unix"])
        return RawClient(sock)


PEER = RawPeer()
