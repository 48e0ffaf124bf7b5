"""Peers that speak RPyC's wire by hand: whatever they like, to our servers and to our clients."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from nbrpc.options import Limits
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc.frames import RpycFrameReader

REQUEST, REPLY, EXCEPTION = 1, 2, 3
PING, CLOSE, GETROOT, GETATTR, DELATTR, SETATTR, CALL, CALLATTR = range(1, 9)
REPR, STR, CMP, HASH, DIR, PICKLE, DEL, INSPECT, BUFFITER, OLDSLICING = range(9, 19)
CTXEXIT, INSTANCECHECK = 19, 20

NOTHING = (1, ())

DEEP = 500
"""Levels of what is sent here; more than a well-behaved end would."""


def value(what):
    """Box what RPyC copies."""
    return (1, what)


def items(*boxes):
    """Box a tuple of boxes."""
    return (2, boxes)


def home(name):
    """Box an object of the receiver."""
    return (3, name)


def lent(name):
    """Box an object of the sender."""
    return (4, name)


def framed(payload, flag=0):
    """Put a payload into a frame."""
    return struct.pack(">IB", len(payload), flag) + payload + b"\n"


def message(dialect, kind, seq, body):
    """Give the frame of a message."""
    if dialect == "rpyc5":
        return framed(brine.dumps((kind, seq, body), DEEP))
    return framed(bytes([kind]) + brine.dumps((seq, body), DEEP))


class Raw:
    """One end of a connection, by hand."""

    def __init__(self, sock, dialect):
        self.sock = sock
        self.dialect = dialect
        self.reader = RpycFrameReader(Limits())
        self.waiting = []
        self.seq = 0
        sock.settimeout(5)

    def send(self, kind, seq, body):
        """Send a message."""
        self.sock.sendall(message(self.dialect, kind, seq, body))

    def ask(self, handler, *boxes):
        """Send a request; give its number."""
        self.seq += 1
        self.send(REQUEST, self.seq, (handler, items(*boxes) if boxes else NOTHING))
        return self.seq

    def receive(self):
        """Give the next message, as (kind, number, body); None at the end of the connection."""
        while not self.waiting:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.waiting += self.reader.feed(data)
        payload = self.waiting.pop(0)
        if self.dialect == "rpyc5":
            return brine.loads(payload)
        return (payload[0], *brine.loads(payload, start=1))

    def answer(self, handler, *boxes):
        """Ask, and give what is said to it: (kind, body), or None where the connection ends."""
        seq = self.ask(handler, *boxes)
        while (got := self.receive()) is not None:
            if got[0] != REQUEST and got[1] == seq:
                return got[0], got[2]
        return None

    def root(self):
        """Ask for the root; give its name."""
        kind, (label, name) = self.answer(GETROOT)
        assert (kind, label) == (REPLY, 4)
        return name

    def closed(self):
        """Whether the other end closes the connection, within the time."""
        try:
            while self.receive() is not None:
                pass
        except TimeoutError:
            return False
        return True


@contextlib.contextmanager
def client_of(server, dialect):
    """Connect to one of our servers."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        yield Raw(sock, dialect)


ROOT = ("evil.Root", 7, 1)


@contextlib.contextmanager
def server_of(dialect, behave):
    """Be a server: ``behave(raw, kind, seq, body)`` says what happens with each message.

    When it gives None, the usual is done: the root is given, and nothing has special methods.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    links = []

    def usual(raw, kind, seq, body):
        if kind != REQUEST:
            return
        handler = body[0]
        if handler == GETROOT:
            raw.send(REPLY, seq, lent(ROOT))
        elif handler == INSPECT:
            raw.send(REPLY, seq, NOTHING)
        else:
            raw.send(REPLY, seq, value(None))

    def serve(sock):
        raw = Raw(sock, dialect)
        sock.settimeout(20)
        with contextlib.suppress(OSError):
            while (got := raw.receive()) is not None:
                if behave(raw, *got) is None:
                    usual(raw, *got)

    def run():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            links.append(sock)
            thread = threading.Thread(target=serve, args=(sock,))
            threads.append(thread)
            thread.start()

    threads = [threading.Thread(target=run)]
    threads[0].start()
    try:
        yield f"{dialect}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for sock in [listener, *links]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in threads:
            thread.join(5)
