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

from _thread import LockType, allocate_lock, get_ident
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

EACH = 128
"""Bytes that count for each message that waits, beside its own: what Python takes to hold it."""

ENOUGH = 1024 * 1024
LARGE_ENOUGH = 4
"""Bytes of small messages, and large messages, that may wait while the output of a cell goes on."""

GATHER = 4 * CHUNK_SIZE
"""Bytes given to the kernel in one call while a large message is sent."""


class Outbox:
    """The bytes of one session on their way to its transport."""

    __slots__ = (
        "_blocked",
        "_closed",
        "_corked_size",
        "_lost",
        "_most",
        "_moving",
        "_reactor",
        "_room",
        "_transport",
        "_want_write",
        "bulk",
        "bytes_sent",
        "corked",
        "lock",
        "partial",
        "queued",
        "ready",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        reactor: Reactor,
        lost: Callable[[ConnectionLost], None],
        want_write: Callable[[bool], None],
        most: int,
    ) -> None:
        self._transport = transport
        self._reactor = reactor
        self._lost = lost
        self._want_write = want_write
        self._most = most
        self.lock = allocate_lock()
        self.ready: deque[list[Piece]] = deque()
        self.bulk: deque[tuple[Iterator[list[Piece]], object]] = deque()
        self.partial: list[Piece] = []
        self.corked: deque[list[Piece]] = deque()
        self._corked_size = 0
        self._blocked = False
        self._closed = False
        self._moving = allocate_lock()
        self._room: deque[LockType] = deque()
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
        if self.corked or lazy or self._reactor.corker:
            if not (ordered and self.bulk) and self._cork(pieces, lazy=lazy):
                if self._corked_size >= CORK_LIMIT:
                    self.flush_corked()
                return
            self.flush_corked()  # what was corked goes first
        if ordered and self.bulk:
            self.bulk.append((iter((pieces,)), None))
            self.flush()
            return
        sent = False
        if self.lock.acquire(False):
            try:
                # Looked at under the lock: the holder before may have left half a frame.
                if not (self.ready or self.partial or self.bulk):
                    self._send(pieces)
                    sent = True
            finally:
                self.lock.release()
        if not sent:
            self._enqueue(pieces)
        if self.ready or self.bulk:
            self.flush()

    def keep(self, data: bytes, sent: int) -> None:
        """Queue what the kernel did not take of a message that was sent the short way.

        Needs the write lock to have been held without a break since then, or nothing was taken.
        """
        self.partial = [memoryview(data)[sent:]]
        self._blocked = True
        self._want_write(True)

    def write_large(self, chunks: Iterator[list[Piece]], keep: object) -> None:
        """Send a message in chunks; ``keep`` lives until the last one is on its way."""
        if self.corked:
            self.flush_corked()
        if self._closed:
            return
        self.bulk.append((chunks, keep))
        self.flush()

    def close(self) -> None:
        """Drop what waits, and keep nothing more: the link is lost."""
        self._closed = self._blocked = True
        self.ready.clear()
        self.bulk.clear()

    def _enqueue(self, pieces: list[Piece]) -> None:
        if self._closed:
            return
        self.queued += sum(map(len, pieces)) + EACH
        self.ready.append(pieces)
        if self.queued > self._most:
            self._lost(
                ConnectionLost(
                    f"the peer does not read: {self.queued:,} bytes wait for it, and the limit is "
                    f"{self._most:,} (Limits.queued_bytes)"
                )
            )

    def _cork(self, pieces: list[Piece], *, lazy: bool) -> bool:
        """Keep a message for the end of the slice, if this thread runs one."""
        reactor = self._reactor
        if reactor.corker != get_ident():
            if not lazy or current_job.get() is None:
                return False
            reactor.watch_corked()
        if not self.corked:
            self._corked_size = 0
            reactor.corked.append(self)
        self.corked.append(pieces)
        self._corked_size += sum(map(len, pieces))
        return True

    def flush_corked(self) -> None:
        """Send what was corked."""
        corked = self.corked
        if corked:
            with self._moving:  # what comes meanwhile lines up behind, here or in `write`
                while corked:
                    self._enqueue(corked[0])
                    corked.popleft()
        self.flush()

    @property
    def waits(self) -> bool:
        """Whether something waits because the kernel does not take it."""
        return bool(self.partial or self.ready or self.bulk)

    @property
    def full(self) -> bool:
        """Whether who can wait should wait until the peer has read some of what waits for it."""
        return self.queued > ENOUGH or len(self.bulk) > LARGE_ENOUGH

    def wait(self, seconds: float) -> None:
        """Wait until it may not be full any more; at most so long."""
        lock = allocate_lock()
        lock.acquire()
        self._room.append(lock)
        if self.full:
            lock.acquire(timeout=seconds)

    # ---- draining

    def flush(self) -> None:
        """Send what is queued, as far as the kernel takes it."""
        while (self.ready or self.partial or self.bulk) and not self._blocked:
            if not self.lock.acquire(False):
                return  # the holder looks again after letting go
            try:
                self._drain()
            finally:
                self.lock.release()

    def on_writable(self) -> None:
        """The kernel takes bytes again."""
        with self.lock:
            self._blocked = False
            self._want_write(False)
        self.flush()
        while self._room and not self.full:
            self._room.popleft().release()

    def _drain(self) -> None:
        """Send until nothing is left or the kernel is full; needs the write lock."""
        while not self._blocked:
            if self.partial:
                pieces, self.partial = self.partial, []
            elif self.ready:
                pieces = self._gather_ready()
            elif self.bulk:
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
        while self.ready and size < CORK_LIMIT:
            pieces = self.ready.popleft()
            size += sum(map(len, pieces))
            gathered += pieces
            self.queued -= EACH
        self.queued -= size
        if len(gathered) > 1 and size <= 2 * CORK_LIMIT:
            return [b"".join(gathered)]
        return gathered

    def _gather_bulk(self) -> list[Piece]:
        """Take some chunks of the first large message."""
        chunks, _ = self.bulk[0]
        gathered: list[Piece] = []
        size = 0
        while size < GATHER:
            pieces = next(chunks, None)
            if pieces is None:
                self.bulk.popleft()
                break
            size += sum(map(len, pieces))
            gathered += pieces
        return gathered

    def _send(self, pieces: list[Piece]) -> None:
        """Give pieces to the kernel and keep the rest; needs the write lock."""
        try:
            taken = self._transport.send(pieces)
        except ConnectionLost as error:
            self.ready.clear()
            self.bulk.clear()
            self._blocked = True
            self._lost(error)
            return
        self.bytes_sent += taken
        for index, piece in enumerate(pieces):
            if taken < len(piece):
                rest = memoryview(piece)[taken:]
                self.partial = [rest, *pieces[index + 1 :]]
                self._blocked = True
                self._want_write(True)
                return
            taken -= len(piece)
