"""Length-prefixed frames, with large buffers beside the structural body.

A frame is an 8-byte header, a msgpack body, and, when the header says so, buffers::

    offset 0  u32 little-endian  length of the body
           4  u8                 kind (`messages.Kind`)
           5  u8                 flags: 1 = the buffers follow in CHUNK frames,
                                        2 = they lie in shared memory
           6  u16                number of out-of-band buffers, N
           8  length bytes       body
              N x u64            length of each buffer
              (flag 0)           the buffers, one after the other
              (flag 1) u32       number of the transfer
              (flag 2) u32       number of the segment

A message whose buffers exceed `CHUNK_SIZE` is sent with flag 1: its frame ends after the number of
the transfer, and its buffers follow, one after the other, as the bodies of CHUNK frames (a body is
the u32 number of the transfer, then raw data). Other frames may stand between them, so a Cancel, a
Ping or a small call passes while a gigabyte travels. The message counts as received with its last
chunk. Memory for a buffer is taken as its bytes arrive, never for what a header promises.

Flag 2 is for two processes of one machine that have agreed on it (`nbrpc.session.shared_memory`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.options import Limits

__all__ = [
    "CHUNK_SIZE",
    "MAX_BUFFERS",
    "Frame",
    "FrameReader",
    "Piece",
    "chunks",
    "frame",
    "frame_in_memory",
]

HEADER = struct.Struct("<IBBH")
HEADER_SIZE = HEADER.size
TRANSFER = struct.Struct("<I")

CHUNKED = 1
SHARED = 2
CHUNK_KIND = 16
CHUNK_SIZE = 256 * 1024
"""Buffers up to this size travel inside their frame; larger ones in chunks of this size. At
1 GB/s a chunk takes 0.3 ms, which is what a Cancel may have to wait."""

MAX_BUFFERS = 0xFFFF
"""What the header can count."""

MAX_TRANSFERS = 64
"""Messages of one peer that may be arriving in chunks at once; an honest one sends one after the
other, and each holds its body meanwhile."""

Piece = bytes | memoryview
Frame = tuple[int, bytes, list[BytesIO]]
"""Kind, body, buffers. A BytesIO gives its bytes, or a view of them, without a copy."""


def frame(kind: int, body: bytes, buffers: Sequence[memoryview] = ()) -> list[Piece]:
    """Give the pieces of a frame that carries its buffers inside it.

    Raises
    ------
    LimitExceeded
        There are more buffers than a header can count; nothing was sent.
    """
    if not buffers:
        return [HEADER.pack(len(body), kind, 0, 0) + body]
    head = _head(kind, 0, body, buffers)
    if sum(buffer.nbytes for buffer in buffers) < 64 * 1024:
        # Below 64 kB one joined write is quicker than a scattered one.
        return [b"".join((head, *buffers))]
    return [head, *buffers]


def chunks(
    kind: int, body: bytes, buffers: Sequence[memoryview], transfer: int
) -> Iterator[list[Piece]]:
    """Give a frame with large buffers as a sequence of writes between which others may stand."""
    yield [_head(kind, CHUNKED, body, buffers) + TRANSFER.pack(transfer)]
    number = TRANSFER.pack(transfer)
    for buffer in buffers:
        for start in range(0, buffer.nbytes, CHUNK_SIZE):
            data = buffer[start : start + CHUNK_SIZE]
            yield [HEADER.pack(len(data) + 4, CHUNK_KIND, 0, 0) + number, data]


def frame_in_memory(kind: int, body: bytes, buffers: Sequence[memoryview], segment: int) -> bytes:
    """Give the frame of a message whose buffers lie in shared memory."""
    return _head(kind, SHARED, body, buffers) + TRANSFER.pack(segment)


def _head(kind: int, flags: int, body: bytes, buffers: Sequence[memoryview]) -> bytes:
    count = len(buffers)
    if count > MAX_BUFFERS:
        raise LimitExceeded(
            f"a message carries {count:,} large values, more than the {MAX_BUFFERS:,} that a frame "
            "can hold; send them in several calls"
        )
    sizes = struct.pack(f"<{count}Q", *(buffer.nbytes for buffer in buffers))
    return HEADER.pack(len(body), kind, flags, count) + body + sizes


class _Transfer:
    """A message whose buffers are still arriving."""

    __slots__ = ("body", "buffers", "current", "kind", "missing", "sizes")

    def __init__(self, kind: int, body: bytes, sizes: list[int]) -> None:
        self.kind = kind
        self.body = body
        self.sizes = sizes
        self.buffers: list[BytesIO] = []
        self.current = BytesIO()
        self.missing = 0
        self._next()

    def _next(self) -> None:
        """Go on to the next buffer that is not empty."""
        while len(self.buffers) < len(self.sizes):
            self.missing = self.sizes[len(self.buffers)]
            if self.missing:
                self.current = BytesIO()
                return
            self.buffers.append(BytesIO())

    def feed(self, data: memoryview) -> int:
        """Take what belongs to the current buffer, and say how many bytes that was."""
        taken = min(len(data), self.missing)
        self.current.write(data[:taken])
        self.missing -= taken
        if not self.missing:
            self.buffers.append(self.current)
            self._next()
        return taken

    @property
    def done(self) -> bool:
        return len(self.buffers) == len(self.sizes)


class FrameReader:
    """Bytes in, whole frames out; any split of the bytes gives the same frames.

    Parameters
    ----------
    limits
        What may be received. `restrict` narrows it until the peer is authenticated.
    """

    __slots__ = (
        "_allowance", "_body", "_buffer", "_left", "_limits", "_needed", "_number",
        "inline", "tail", "take_shared", "transfers",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._body = limits.body
        self._buffer = limits.buffers
        self.tail = bytearray()
        self._needed = 0
        self.inline: _Transfer | None = None
        """What the next bytes belong to: the rest of a chunk, or of the buffers behind a frame."""
        self._left = 0
        self._number = 0
        self.transfers: dict[int, _Transfer] = {}
        self._allowance = 0
        self.take_shared: Callable[[int, list[int]], list[Any]] | None = None
        """Gives the buffers in a segment, by its number and their sizes; None: none are agreed."""

    def restrict(self, size: int) -> None:
        """Take bodies of at most ``size`` bytes and no buffers, one frame at a time, until `relax`.

        One frame decides what the next one may be, so `feed` stops after each and keeps the rest.
        """
        self._body = size
        self._buffer = 0

    def relax(self) -> None:
        """Take everything that the limits allow."""
        self._body = self._limits.body
        self._buffer = self._limits.buffers

    @property
    def receiving(self) -> bool:
        """Whether a large message is on its way: then large reads pay."""
        return self.inline is not None or bool(self.transfers)

    @property
    def partial(self) -> bool:
        """Whether a frame or a message has begun and not ended."""
        return bool(self.tail) or self.receiving

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes and give the frames that they complete.

        Raises
        ------
        RemoteProtocolError
            The bytes are not frames, or exceed a limit. The reader must not be used again.
        """
        if self.tail:
            self.tail += data
            if len(self.tail) < self._needed:
                return []
            data = bytes(self.tail)
            self.tail = bytearray()
        frames: list[Frame] = []
        position = 0
        self._needed = 0
        end = len(data)
        while self._buffer or not frames:
            if self.inline is not None:
                position += self._feed_inline(data, position, frames)
                if self.inline is not None:
                    break
            if end - position < HEADER_SIZE:
                break
            length, kind, flags, count = HEADER.unpack_from(data, position)
            if length > self._body or flags or count or kind == CHUNK_KIND:
                size = self._special(data, position, frames)
            else:
                size = HEADER_SIZE + length
                if end - position >= size:
                    start = position + HEADER_SIZE
                    frames.append((kind, data[start : position + size], []))
            if end - position < size:
                self._needed = size
                break
            position += size
        if position < end:
            self.tail += memoryview(data)[position:]
        return frames

    def _special(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Read a frame that is not just a body, if it is all there; give its size.

        The buffers that follow a frame do not count to its size.
        """
        header: tuple[int, int, int, int] = HEADER.unpack_from(data, position)
        length, kind, flags, count = header
        limit = self._body
        if kind == CHUNK_KIND and self._buffer:
            # Chunks are what large messages are cut into, however small a body may be.
            limit = max(limit, CHUNK_SIZE + TRANSFER.size)
        if length > limit:
            raise RemoteProtocolError(
                f"a message of {length:,} bytes exceeds the limit of {limit:,}"
            )
        known = flags in (0, CHUNKED) or (flags == SHARED and self.take_shared is not None)
        if not known or (flags and not count):
            raise RemoteProtocolError(f"a frame carries unknown flags ({flags})")
        if count and (kind == CHUNK_KIND or not self._buffer):
            raise RemoteProtocolError("a frame carries buffers where none are allowed")
        if kind == CHUNK_KIND:
            if length <= TRANSFER.size:
                raise RemoteProtocolError("a chunk is empty")
            # Its data is taken as it comes, without waiting for the whole chunk.
            size = HEADER_SIZE + TRANSFER.size
            if len(data) - position >= size:
                self._chunk(TRANSFER.unpack_from(data, position + HEADER_SIZE)[0], length)
            return size
        size = HEADER_SIZE + length + 8 * count + (TRANSFER.size if flags else 0)
        if len(data) - position >= size:
            body = memoryview(data)[position + HEADER_SIZE : position + size]
            self._open(header, body, frames)
        return size

    def _open(
        self, header: tuple[int, int, int, int], data: memoryview, frames: list[Frame]
    ) -> None:
        """Begin a message with buffers."""
        length, kind, flags, count = header
        sizes = list(struct.unpack_from(f"<{count}Q", data, length))
        total = sum(sizes)
        if total + self._allowance > self._buffer:
            raise RemoteProtocolError(
                f"buffers of {total:,} bytes exceed the limit of {self._buffer:,}"
            )
        body = bytes(data[:length])
        if flags == SHARED and self.take_shared is not None:
            segment = TRANSFER.unpack_from(data, len(data) - TRANSFER.size)[0]
            frames.append((kind, body, self.take_shared(segment, sizes)))
            return
        transfer = _Transfer(kind, body, sizes)
        if transfer.done:
            frames.append((kind, transfer.body, transfer.buffers))
        elif flags:
            number = TRANSFER.unpack_from(data, len(data) - TRANSFER.size)[0]
            if number in self.transfers or len(self.transfers) >= MAX_TRANSFERS:
                raise RemoteProtocolError(f"transfer {number} is one too many, or was opened twice")
            self.transfers[number] = transfer
            self._allowance += total
        else:
            self.inline = transfer
            self._left = total
            self._number = -1

    def _chunk(self, number: int, length: int) -> None:
        """Begin to feed a chunk to its transfer."""
        transfer = self.transfers.get(number)
        if transfer is None:
            raise RemoteProtocolError(f"a chunk belongs to no transfer ({number})")
        self.inline = transfer
        self._left = length - TRANSFER.size
        self._number = number

    def _feed_inline(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Feed the buffers that follow their frame, or the data of a chunk."""
        transfer = self.inline
        assert transfer is not None
        taken = min(len(data) - position, self._left)
        view = memoryview(data)[position : position + taken]
        while view:
            if transfer.done:
                raise RemoteProtocolError(
                    f"transfer {self._number} received more than it announced"
                )
            view = view[transfer.feed(view) :]
        self._left -= taken
        if not self._left:
            self.inline = None
            if transfer.done:
                if self._number >= 0:
                    del self.transfers[self._number]
                    self._allowance -= sum(transfer.sizes)
                frames.append((transfer.kind, transfer.body, transfer.buffers))
        return taken
