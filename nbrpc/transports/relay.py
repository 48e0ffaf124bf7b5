"""Pipes and foreign streams as sockets: a thread that joins them with one end of a socket pair.

A session wants a socket, on which one system call does not wait and another one does. Two pipes, or
an object that reads and writes, are neither. So a thread pumps between them and a socket pair, and
the session gets the other end of that.

Whichever side ends, the other one learns of it as of a closed connection: what was written before
still arrives, and then both are closed and the thread ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["Stream", "join_descriptors", "join_sockets", "join_stream"]

MOST_QUEUED: Final = 256 * 1024
"""Bytes of one direction that may wait here; beyond that reading rests, and the sender waits."""

PIECE: Final = 64 * 1024

PIPE_PIECE: Final = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes without waiting once it is writable. The descriptors stay blocking: they
may be shared with other programs, to whom a change would happen as well."""

TICK: Final = 0.1
"""Seconds between two looks at a foreign stream that cannot be waited for together with a socket;
data ends the wait at once."""

LINGER: Final = 5.0
"""Seconds in which a pipe must take what was sent before the session ended."""

ENDS: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL if hasattr(select, "poll") else 0


class Stream(Protocol):
    """RPyC's interface of a byte stream."""

    def close(self) -> None:
        """End it."""

    def poll(self, timeout: Any, /) -> bool:
        """Whether something can be read within so many seconds."""

    def read(self, count: int, /) -> bytes:
        """Give exactly so many bytes, waiting for them; EOFError at the end."""

    def write(self, data: bytes, /) -> None:
        """Write all of it."""


def join_descriptors(
    incoming: int, outgoing: int, on_close: Callable[[], object] | None = None
) -> socket.socket:
    """Give a socket that reads from one descriptor and writes to another.

    Parameters
    ----------
    incoming, outgoing
        Descriptors of pipes, or one of a terminal or socket twice. They belong to the relay from
        here on, unless ``on_close`` is given.
    on_close
        Called instead of closing the two, once, when both directions have ended.
    """
    near, far = socket.socketpair()

    def close() -> None:
        for descriptor in {incoming, outgoing}:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    relay = _Descriptors(far, incoming, outgoing, on_close or close)
    threading.Thread(target=relay.run, name="nbrpc-relay", daemon=True).start()
    return near


def join_sockets(first: socket.socket, second: socket.socket) -> None:
    """Pump between two sockets until one has ended and the other has what was written before.

    Blocks; both are closed then.
    """
    second.settimeout(None)
    _Descriptors(first, second.fileno(), second.fileno(), second.close).run()


def join_stream(stream: Stream) -> socket.socket:
    """Give a socket that reads from and writes to a stream, which is closed with it.

    Notes
    -----
    A stream says how much it has only byte by byte (`Stream.poll`), so this serves small messages,
    not bulk data; `join_descriptors` is for what has descriptors.
    """
    near, far = socket.socketpair()
    relay = _Foreign(far, stream)
    for target in (relay.read_stream, relay.write_stream):
        threading.Thread(target=target, name="nbrpc-relay", daemon=True).start()
    return near


class _Descriptors:
    """One thread, both directions; nothing in it blocks but the wait for all of them."""

    def __init__(
        self, far: socket.socket, incoming: int, outgoing: int, close: Callable[[], object]
    ) -> None:
        self.far = far
        self.incoming = incoming
        self.outgoing = outgoing
        self.close = close
        self.inbound = bytearray()
        """Read from the pipe and not given to the socket yet."""
        self.outbound = bytearray()
        self.pipe_ended = False
        self.socket_ended = False
        self.ends_at: float | None = None

    def run(self) -> None:
        """Pump until one side has ended and the other has what was written before."""
        self.far.setblocking(False)
        try:
            while not self._finished():
                self._turn()
        except OSError:
            pass  # a side is gone: the other is closed as well
        finally:
            self.far.close()
            self.close()

    def _finished(self) -> bool:
        if not self.socket_ended or self.ends_at is None:
            return False
        return not self.outbound or time.monotonic() >= self.ends_at

    def _turn(self) -> None:
        """Wait for what can go on now, and do one piece of each."""
        ready = self._wait()
        if ready.get(self.far.fileno(), 0) & (select.POLLIN | ENDS):
            self._read_socket()
        if self.inbound and ready.get(self.far.fileno(), 0) & (select.POLLOUT | ENDS):
            del self.inbound[: self.far.send(self.inbound)]
        if not self.pipe_ended and ready.get(self.incoming, 0) & (select.POLLIN | ENDS):
            self._read_pipe()
        if self.outbound and ready.get(self.outgoing, 0) & (select.POLLOUT | ENDS):
            del self.outbound[: os.write(self.outgoing, self.outbound[:PIPE_PIECE])]
        if self.pipe_ended and not self.inbound:
            # The session sees the end, and closes its side, which ends this loop.
            with contextlib.suppress(OSError):
                self.far.shutdown(socket.SHUT_WR)

    def _wait(self) -> dict[int, int]:
        wanted: dict[int, int] = {}

        def want(descriptor: int, event: int) -> None:
            wanted[descriptor] = wanted.get(descriptor, 0) | event

        if not self.socket_ended and len(self.outbound) < MOST_QUEUED:
            want(self.far.fileno(), select.POLLIN)
        if self.inbound:
            want(self.far.fileno(), select.POLLOUT)
        if not self.pipe_ended and not self.socket_ended and len(self.inbound) < MOST_QUEUED:
            want(self.incoming, select.POLLIN)
        if self.outbound:
            want(self.outgoing, select.POLLOUT)
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        left = None if self.ends_at is None else 1000 * max(0.0, self.ends_at - time.monotonic())
        return dict(poll.poll(left))

    def _read_socket(self) -> None:
        try:
            data = self.far.recv(PIECE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self.outbound += data
        else:
            self.socket_ended = True
            self.ends_at = time.monotonic() + LINGER
            self.inbound.clear()

    def _read_pipe(self) -> None:
        data = os.read(self.incoming, PIECE)
        if data:
            self.inbound += data
        else:
            self.pipe_ended = True


class _Foreign:
    """Two threads, since a stream can only be asked, one direction each."""

    def __init__(self, far: socket.socket, stream: Stream) -> None:
        self.far = far
        self.stream = stream
        self.ended = False
        self._lock = threading.Lock()
        self._closed = False

    def read_stream(self) -> None:
        """Give the socket what the stream has."""
        stream = self.stream
        try:
            while not self.ended:
                if not stream.poll(TICK):
                    continue
                data = bytearray(stream.read(1))
                while len(data) < PIECE and stream.poll(0):
                    data += stream.read(1)
                self.far.sendall(data)
        except (EOFError, OSError, ValueError):
            pass  # it has ended, or the socket was closed
        finally:
            with contextlib.suppress(OSError):
                self.far.shutdown(socket.SHUT_WR)
            self._close_if_both_ended()

    def write_stream(self) -> None:
        """Give the stream what comes from the socket."""
        try:
            while data := self.far.recv(PIECE):
                self.stream.write(data)
        except (EOFError, OSError, ValueError):
            pass  # as above
        finally:
            self.ended = True
            with contextlib.suppress(Exception):  # a foreign object: it may raise anything
                self.stream.close()
            self._close_if_both_ended()

    def _close_if_both_ended(self) -> None:
        with self._lock:
            first, self._closed = not self._closed, True
        if not first:
            self.far.close()
