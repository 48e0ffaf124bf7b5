"""What a session has to send: one ordered way out, which never blocks.

Theory of operation
-------------------
A sender appends and then tries to drain. Whoever holds the **write lock** drains for all; whoever
does not get it leaves, since the holder looks again after letting go. Sends never wait: what the
kernel does not take stays here, and the reactor drains it when the socket is writable again.

Small messages go before large ones. A message with large buffers is a sequence of chunks, and the
queue of small messages is emptied between two chunks, so that a Cancel or a ping passes while a
gigabyte is on its way. Messages that must not overtake (events of one subscription, output of one
cell) say ``ordered`` and line up behind the chunks.

Within a batch of jobs the replies are **corked**: they leave together at the end of the slice.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator

from nbrpc.errors import ConnectionLost
from nbrpc.protocol.frames import CHUNK_SIZE, Piece
from nbrpc.session.call import current_job
from nbrpc.session.reactor import Reactor
from nbrpc.transports.base import Transport

__all__ = ["Outbox"]

CORK_LIMIT = 64 * 1024
"""Corked bytes that are sent without waiting for the end of the slice."""

GATHER = 4 * CHUNK_SIZE
"""Bytes given to the kernel in one call while a large message is sent."""


class Outbox:
    """The bytes of one session on their way to its transport."""

    __slots__ = (
        "_blocked", "_bulk", "_corked", "_corked_size", "_drained", "_lock", "_lost", "_partial", "_reactor",
        "_ready", "_transport", "_want_write", "bytes_sent", "queued",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        reactor: Reactor,
        lost: Callable[[ConnectionLost], None],
        want_write: Callable[[bool], None],
    ) -> None:
        self._transport = transport
        self._reactor = reactor
        self._lost = lost
        self._want_write = want_write
        self._lock = allocate_lock()
        self._ready: deque[list[Piece]] = deque()
        self._bulk: deque[tuple[Iterator[list[Piece]], object]] = deque()
        self._partial: list[Piece] = []
        self._corked: deque[list[Piece]] = deque()
        self._corked_size = 0
        self._blocked = False
        self._drained: list[Callable[[], None]] = []
        self.bytes_sent = 0
        self.queued = 0
        """Bytes that wait for the kernel, large messages not counted."""

    # ---- for senders

    def write(self, pieces: list[Piece], *, lazy: bool = False, ordered: bool = False) -> None:
        """Send a message.

        Parameters
        ----------
        lazy
            It may wait for the end of the job that is running, or for at most some milliseconds.
        ordered
            It must not overtake a large message sent before.
        """
        if self._corked or lazy or self._reactor.corker:
            if self._cork(pieces, lazy=lazy):
                return
            if self._corked and not self._bulk:
                self._corked.append(pieces)
                self.flush_corked()
                return
            self.flush_corked()
        if ordered and self._bulk:
            self._bulk.append((iter((pieces,)), None))
            self.flush()
            return
        if self._ready or self._partial or self._bulk or not self._lock.acquire(False):
            self._enqueue(pieces)
            self.flush()
            return
        try:
            self._send(pieces)
        finally:
            self._lock.release()
        if self._ready:
            self.flush()

    def write_large(self, chunks: Iterator[list[Piece]], keep: object) -> None:
        """Send a message in chunks; ``keep`` lives until the last one is on its way."""
        if self._corked:
            self.flush_corked()
        self._bulk.append((chunks, keep))
        self.flush()

    def _enqueue(self, pieces: list[Piece]) -> None:
        self.queued += sum(map(len, pieces))
        self._ready.append(pieces)

    def _cork(self, pieces: list[Piece], *, lazy: bool) -> bool:
        """Keep a message for the end of the slice, if this thread runs one."""
        reactor = self._reactor
        if reactor.corker != get_ident():
            if not lazy or current_job.get() is None:
                return False
            reactor.watch_corked()
        if not self._corked:
            self._corked_size = 0
            reactor.corked.append(self)
        self._corked.append(pieces)
        self._corked_size += sum(map(len, pieces))
        return self._corked_size < CORK_LIMIT

    def flush_corked(self) -> None:
        """Send what was corked."""
        corked = self._corked
        while corked:
            try:
                self._enqueue(corked.popleft())
            except IndexError:
                break
        self.flush()

    # ---- draining

    def flush(self) -> None:
        """Send what is queued, as far as the kernel takes it."""
        while (self._ready or self._partial or self._bulk) and not self._blocked:
            if not self._lock.acquire(False):
                return  # the holder looks again after letting go
            try:
                self._drain()
            finally:
                self._lock.release()

    def on_writable(self) -> None:
        """The kernel takes bytes again."""
        with self._lock:
            self._blocked = False
            self._want_write(False)
        self.flush()
        if not (self._ready or self._partial or self._bulk):
            self.on_drained()

    def when_drained(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` once when nothing waits for the kernel any more."""
        self._drained.append(wake)
        if not (self._ready or self._partial or self._bulk):
            self.on_drained()

    def on_drained(self) -> None:
        """Wake those who wait for room; also when the link is lost."""
        waiting, self._drained = self._drained, []
        for wake in waiting:
            wake()

    def _drain(self) -> None:
        """Send until nothing is left or the kernel is full; needs the write lock."""
        while not self._blocked:
            if self._partial:
                pieces, self._partial = self._partial, []
            elif self._ready:
                pieces = self._gather_ready()
            elif self._bulk:
                pieces = self._gather_bulk()
                if not pieces:
                    continue
            else:
                return
            self._send(pieces)

    def _gather_ready(self) -> list[Piece]:
        """Take small messages together."""
        gathered: list[Piece] = []
        size = 0
        while self._ready and size < CORK_LIMIT:
            pieces = self._ready.popleft()
            size += sum(map(len, pieces))
            gathered += pieces
        self.queued -= size
        if len(gathered) > 1 and size <= 2 * CORK_LIMIT:
            return [b"".join(gathered)]
        return gathered

    def _gather_bulk(self) -> list[Piece]:
        """Take some chunks of the first large message."""
        chunks, _ = self._bulk[0]
        gathered: list[Piece] = []
        size = 0
        while size < GATHER:
            pieces = next(chunks, None)
            if pieces is None:
                self._bulk.popleft()
                break
            size += sum(map(len, pieces))
            gathered += pieces
        return gathered

    def _send(self, pieces: list[Piece]) -> None:
        """Give pieces to the kernel and keep the rest; needs the write lock."""
        try:
            taken = self._transport.send(pieces)
        except ConnectionLost as error:
            self._ready.clear()
            self._bulk.clear()
            self._blocked = True
            self._lost(error)
            return
        self.bytes_sent += taken
        for index, piece in enumerate(pieces):
            if taken < len(piece):
                rest = memoryview(piece)[taken:]
                self._partial = [rest, *pieces[index + 1 :]]
                self._blocked = True
                self._want_write(True)
                return
            taken -= len(piece)
