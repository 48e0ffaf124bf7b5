"""Peers that speak nbrpc's own protocol by hand: whatever they like, in whatever order."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nbrpc.errors import NbrpcError
from nbrpc.options import Limits
from nbrpc.protocol import codec, messages
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import frame
from nbrpc.protocol.machine import Protocol, Ready, Role, State
from nbrpc.protocol.messages import Kind, Operation

PATIENCE = 5.0


def box(value: Any) -> Any:
    """Make a wire value of a plain one; boxes stay what they are."""
    if isinstance(value, bytes):
        return codec.Bytes("b", -1, value)
    if isinstance(value, tuple):
        return codec.Tuple([box(item) for item in value])
    if isinstance(value, list):
        return codec.List([box(item) for item in value])
    if isinstance(value, dict):
        return codec.Map({key: box(item) for key, item in value.items()})
    return value


def plain(value: Any) -> Any:
    """Give what a wire value stands for, as far as that is plain."""
    if isinstance(value, codec.Tuple | codec.List | codec.Set | codec.Frozen):
        return [plain(item) for item in value.items]
    if isinstance(value, codec.Map):
        return {key: plain(item) for key, item in value.items.items()}
    return value.data if isinstance(value, codec.Bytes) else value


def description(name: str = "Evil", **fields: Any) -> codec.Description:
    """Describe a class."""
    module, _, name = name.rpartition(".")
    usual: dict[str, Any] = {
        "module": module or "evil", "name": name, "kind": "instance", "members": {},
        "specials": (), "base": None, "doc": "",
    }  # fmt: skip
    return codec.Description(**{**usual, **fields})


class Described(codec.Ref, tag=14, dict=True):
    """A reference whose class is told ahead of the message that has it."""


def reference(oid: int, key: int, told: codec.Description, text: str | None = None) -> Described:
    """Refer to an object, and tell of its class."""
    made = Described(oid, key, text)
    made.__dict__["told"] = told
    return made


def message(kind: int, *fields: Any, buffers: tuple[bytes, ...] = ()) -> bytes:
    """Give the bytes of a message, whatever its size, and before it what its references are."""
    told: dict[int, codec.Description] = {}
    rest: list[Any] = [fields]
    seen = set[int]()  # one that is in many places is looked at once
    while rest:
        found = rest.pop()
        if isinstance(found, Described):
            told[found.key] = found.__dict__["told"]
        elif isinstance(found, list | tuple):
            rest += found
        elif isinstance(found, dict):
            rest += found.values()
        elif isinstance(found, msgspec.Struct):
            rest += () if id(found) in seen else msgspec.structs.astuple(found)
            seen.add(id(found))
    pieces = [piece for one in told.items() for piece in frame(Kind.DESCRIBE, encode(one))]
    pieces += frame(kind, encode(fields), [memoryview(buffer) for buffer in buffers])
    return b"".join(bytes(piece) for piece in pieces)


class Native:
    """One end of a connection, by hand."""

    def __init__(self, sock: socket.socket, protocol: Protocol) -> None:
        self.sock = sock
        self.protocol = protocol
        self.waiting: list[Any] = []
        self.seq = 0
        self.oids = 0
        self.requests: list[messages.Request] = []
        """What the other end asked and was not answered."""
        self.early: dict[int, Any] = {}
        """What answered other requests, which may come in any order."""
        sock.settimeout(PATIENCE)

    def flush(self) -> None:
        """Send what the handshake has left to send."""
        data = b"".join(self.protocol.outgoing)
        self.protocol.outgoing.clear()
        if data:
            self.sock.sendall(data)

    def shake_hands(self) -> Native:
        """Be let in."""
        while self.protocol.state is not State.READY:
            self.flush()
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("closed during the handshake")
            self.waiting += [m for m in self.protocol.receive(data) if type(m) is not Ready]
        self.flush()
        return self

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def send(self, kind: int, *fields: Any, buffers: tuple[bytes, ...] = ()) -> None:
        """Send a message, whatever its size."""
        self.raw(message(kind, *fields, buffers=buffers))

    def request(
        self, op: int, oid: int = 0, name: str = "", *args: Any, kwargs: Any = None,
        buffers: tuple[bytes, ...] = (), rest: tuple[Any, ...] = (),
    ) -> int:  # fmt: skip
        """Send a request; give its number. ``rest`` are its parent and its timeout."""
        self.seq += 1
        values = [box(arg) for arg in args]
        self.send(Kind.REQUEST, self.seq, op, oid, name, values, kwargs, *rest, buffers=buffers)
        return self.seq

    def lend(self, **fields: Any) -> codec.Ref:
        """Make a reference to an object of this side, that is of whatever class one likes."""
        self.oids += 1
        return reference(self.oids, self.oids, description(**fields))

    def receive(self) -> Any:
        """Give the next message; None at the end of the connection."""
        while not self.waiting:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            try:
                self.waiting += self.protocol.receive(data)
            except NbrpcError:
                return None
        return self.waiting.pop(0)

    def reply_to(self, seq: int, respond: Callable[[Any], Any] | None = None) -> Any:
        """Give what answers a request of ours; ``respond`` gives the answers to those of the peer.

        None where the connection ends.

        Raises
        ------
        TimeoutError
            It does not come in time, whatever else does.
        """
        deadline = time.monotonic() + 2 * PATIENCE
        if seq in self.early:
            return self.early.pop(seq)
        while (message := self.receive()) is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing answers request {seq}")
            if type(message) in (messages.Reply, messages.Failure):
                if message.seq == seq:
                    return message
                self.early[message.seq] = message
            if type(message) is messages.Request:
                if respond is None:
                    self.requests.append(message)
                else:
                    answer = respond(message)
                    if isinstance(answer, messages.Error):
                        self.send(Kind.FAILURE, message.seq, answer)
                    else:
                        self.send(Kind.REPLY, message.seq, box(answer))
            if type(message) is messages.Ping:
                self.send(Kind.PONG, message.number)
        return None

    def ask(self, op: int, oid: int = 0, name: str = "", *args: Any, **options: Any) -> Any:
        """Ask, and give the Reply or Failure; None where the connection ends."""
        respond = options.pop("respond", None)
        return self.reply_to(self.request(op, oid, name, *args, **options), respond)

    def value(self, op: int, oid: int = 0, name: str = "", *args: Any, **options: Any) -> Any:
        """Ask, and give the value that came; None for a failure and where the connection ends."""
        answer = self.ask(op, oid, name, *args, **options)
        return plain(answer.value) if type(answer) is messages.Reply else None

    def root(self) -> int:
        """Ask for the root; give its number."""
        return int(self.value(Operation.ROOT).oid)

    def thing(self, root: int, name: str = "thing") -> int:
        """Have the root give an object; give its number."""
        return int(self.value(Operation.CALL, root, name).oid)

    def closed(self, seconds: float = PATIENCE) -> bool:
        """Whether the other end closes the connection, within the time."""
        deadline = time.monotonic() + seconds
        self.sock.settimeout(seconds)
        try:
            while self.receive() is not None:
                if time.monotonic() > deadline:
                    return False
        except TimeoutError:
            return False
        return True


@contextlib.contextmanager
def native_client(port: int, token: str | None) -> Iterator[Native]:
    """Connect to a server; not let in yet."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        secret = None if token is None else token.encode()
        yield Native(sock, Protocol(Role.CLIENT, Limits(), choose_token=lambda *_: secret))


@contextlib.contextmanager
def native_server(behave: Callable[[Native, Any], None]) -> Iterator[int]:
    """Be a server: what it does with each message of each client is ``behave``'s."""
    listener = socket.create_server(("127.0.0.1", 0))
    links: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        link = Native(sock, Protocol(Role.SERVER, Limits(), token=None, server_id=bytes(16)))
        sock.settimeout(30)
        with contextlib.suppress(OSError, NbrpcError):
            link.shake_hands()
            while (message := link.receive()) is not None:
                behave(link, message)

    def run() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            links.append(sock)
            threads.append(threading.Thread(target=serve, args=(sock,)))
            threads[-1].start()

    accepting = threading.Thread(target=run)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in [listener, *links]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in [accepting, *threads]:
            thread.join(5)
