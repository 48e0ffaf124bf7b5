"""Length-prefixed frames, with large buffers beside the structural body.

A frame is an 8-byte header, a msgpack body, and, when the header says so, buffers::

    offset 0  u32 little-endian  length of the body
           4  u8                 kind (`messages.Kind`)
           5  u8                 flags: 1 = the buffers follow in CHUNK frames
           6  u16                number of out-of-band buffers, N
           8  length bytes       body
              N x u64            length of each buffer
              (flag 0)           the buffers, one after the other
              (flag 1) u32       number of the transfer

A message whose buffers exceed `CHUNK_SIZE` is sent with flag 1: its frame ends after the number of
the transfer, and its buffers follow, one after the other, as the bodies of CHUNK frames (a body is
the u32 number of the transfer, then raw data). Other frames may stand between them, so a Cancel, a
Ping or a small call passes while a gigabyte travels. The message counts as received with its last
chunk. Memory for a buffer is taken as its bytes arrive, never for what a header promises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from io import BytesIO

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.options import Limits

__all__ = ["CHUNK_SIZE", "Frame", "FrameReader", "Piece", "chunks", "frame"]

HEADER = struct.Struct("<IBBH")
HEADER_SIZE = HEADER.size
TRANSFER = struct.Struct("<I")

CHUNKED = 1
CHUNK_KIND = 16
CHUNK_SIZE = 256 * 1024
"""Buffers up to this size travel inside their frame; larger ones in chunks of this size. At
1 GB/s a chunk takes 0.3 ms, which is what a Cancel may have to wait."""

Piece = bytes | memoryview
Frame = tuple[int, bytes, list[memoryview]]
"""Kind, body, buffers."""


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


def _head(kind: int, flags: int, body: bytes, buffers: Sequence[memoryview]) -> bytes:
    count = len(buffers)
    if count > 0xFFFF:
        raise LimitExceeded(
            f"a message carries {count} large values, more than the 65,535 that a frame can hold; "
            "send them in several calls"
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
        self.buffers: list[memoryview] = []
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
            self.buffers.append(memoryview(bytearray()))

    def feed(self, data: memoryview) -> int:
        """Take what belongs to the current buffer, and say how many bytes that was."""
        taken = min(len(data), self.missing)
        self.current.write(data[:taken])
        self.missing -= taken
        if not self.missing:
            self.buffers.append(self.current.getbuffer())
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

    __slots__ = ("_allowance", "_body", "_buffer", "_inline", "_limits", "_tail", "_transfers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._body = limits.body
        self._buffer = limits.buffers
        self._tail = b""
        self._inline: _Transfer | None = None
        self._transfers: dict[int, _Transfer] = {}
        self._allowance = 0

    def restrict(self, size: int) -> None:
        """Take bodies of at most ``size`` bytes and no buffers, until `relax`."""
        self._body = size
        self._buffer = 0

    def relax(self) -> None:
        """Take everything that the limits allow."""
        self._body = self._limits.body
        self._buffer = self._limits.buffers

    @property
    def receiving(self) -> bool:
        """Whether a large message is on its way: then large reads pay."""
        return self._inline is not None or bool(self._transfers)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes and give the frames that they complete.

        Raises
        ------
        RemoteProtocolError
            The bytes are not frames, or exceed a limit. The reader must not be used again.
        """
        frames: list[Frame] = []
        if self._tail:
            data = self._tail + data
            self._tail = b""
        position = 0
        end = len(data)
        while True:
            if self._inline is not None:
                position += self._feed_inline(data, position, frames)
                if self._inline is not None:
                    return frames
            if end - position < HEADER_SIZE:
                break
            length, kind, flags, count = HEADER.unpack_from(data, position)
            if length > self._body or count:
                taken = self._special(data, position, frames)
                if not taken:
                    break
                position += taken
                continue
            stop = position + HEADER_SIZE + length
            if stop > end:
                break
            if flags:
                raise RemoteProtocolError(f"a frame carries unknown flags ({flags})")
            if kind == CHUNK_KIND:
                self._chunk(memoryview(data)[position + HEADER_SIZE : stop], frames)
            else:
                frames.append((kind, data[position + HEADER_SIZE : stop], []))
            position = stop
        if position < end:
            self._tail = data[position:] if position else data
        return frames

    def _special(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Read a frame with buffers or one that is too long; 0 when it is not all there."""
        length, kind, flags, count = HEADER.unpack_from(data, position)
        if length > self._body:
            raise RemoteProtocolError(
                f"a message of {length:,} bytes exceeds the limit of {self._body:,}"
            )
        if kind == CHUNK_KIND or flags & ~CHUNKED or not self._buffer:
            raise RemoteProtocolError("a frame carries buffers where none are allowed")
        start = position + HEADER_SIZE
        stop = start + length + 8 * count + (4 if flags else 0)
        if len(data) < stop:
            return 0
        body = data[start : start + length]
        sizes = list(struct.unpack_from(f"<{count}Q", data, start + length))
        if sum(sizes) + self._allowance > self._buffer:
            raise RemoteProtocolError(
                f"buffers of {sum(sizes):,} bytes exceed the limit of {self._buffer:,}"
            )
        transfer = _Transfer(kind, body, sizes)
        if transfer.done:
            frames.append((kind, body, transfer.buffers))
        elif flags:
            number = TRANSFER.unpack_from(data, stop - 4)[0]
            if number in self._transfers:
                raise RemoteProtocolError(f"transfer {number} was opened twice")
            self._transfers[number] = transfer
            self._allowance += sum(sizes)
        else:
            self._inline = transfer
        return stop - position

    def _feed_inline(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """Feed the buffers that follow their frame."""
        transfer = self._inline
        assert transfer is not None
        view = memoryview(data)
        start = position
        while position < len(data) and not transfer.done:
            position += transfer.feed(view[position:])
        if transfer.done:
            frames.append((transfer.kind, transfer.body, transfer.buffers))
            self._inline = None
        return position - start

    def _chunk(self, body: memoryview, frames: list[Frame]) -> None:
        """Feed one chunk to its transfer."""
        if len(body) <= TRANSFER.size:
            raise RemoteProtocolError("a chunk is empty")
        number = TRANSFER.unpack_from(body)[0]
        transfer = self._transfers.get(number)
        if transfer is None:
            raise RemoteProtocolError(f"a chunk belongs to no transfer ({number})")
        data = body[TRANSFER.size :]
        while data:
            if transfer.done:
                raise RemoteProtocolError(f"transfer {number} received more than it announced")
            data = data[transfer.feed(data) :]
        if transfer.done:
            del self._transfers[number]
            self._allowance -= sum(transfer.sizes)
            frames.append((transfer.kind, transfer.body, transfer.buffers))
