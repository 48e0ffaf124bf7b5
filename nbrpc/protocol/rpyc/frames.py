r"""RPyC's frames.

::

    offset 0  u32 big-endian  length of the payload as it travels
           4  u8              0, or anything else: the payload is a zlib stream
           5  length bytes    payload
              u8              a newline, which nobody checks

RPyC compresses what is longer than 3,000 bytes and must take what is not compressed; we never
compress. A payload is handed on with its last byte, without waiting for the newline: RPyC sends
that of a large frame in a write of its own, which Nagle's algorithm may hold back for 40 ms. An
empty frame means nothing.

Memory for a payload is taken as its bytes arrive, never for what a header promises, and a zlib
stream is unpacked in steps within a bound.

Source: observed with RPyC 4.1.5, 5.3.1 and 6.0.2.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Final

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.options import Limits

__all__ = ["Piece", "RpycFrameReader", "frame"]

HEADER: Final = struct.Struct(">IB")
HEADER_SIZE: Final = HEADER.size

LARGE: Final = 64 * 1024
"""Payloads above this size are written from where they are, and large reads pay for them."""

MIN_UNPACKED: Final = 16 * 1024 * 1024
MAX_RATIO: Final = 250
"""A compressed payload may unpack to 16 MiB, or to 250 times its size if that is more. zlib reaches
a thousand times; data that are worth sending do not."""

PACKED_STEP: Final = 64 * 1024
UNPACKED_STEP: Final = 256 * 1024
"""zlib is given so much at a time, and asked for so much. What it does not get to is copied, so
these bound the work."""

Piece = bytes | memoryview


def frame(payload: bytes) -> list[Piece]:
    """Give the pieces of a frame; a large payload is not copied.

    Raises
    ------
    LimitExceeded
        The payload is longer than a header can say; nothing was sent.
    """
    size = len(payload)
    if size <= LARGE:
        return [b"%b%b\n" % (HEADER.pack(size, 0), payload)]
    if size >= 2**32:
        raise LimitExceeded(
            f"a message of {size:,} bytes is longer than RPyC can send (4 GiB); send it in parts"
        )
    return [HEADER.pack(size, 0), payload, b"\n"]


class RpycFrameReader:
    """Bytes in, whole payloads out; any split of the bytes gives the same payloads.

    Parameters
    ----------
    limits
        ``buffers`` is what a payload may have, also when it is unpacked.
    """

    __slots__ = (
        "_compressed", "_head", "_held", "_limit", "_limits", "_missing", "_payload", "_size",
        "_trailer", "partial",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limit = limits.buffers
        self._head = b""
        """The part of a header that is there."""
        self._payload: BytesIO | None = None
        self._size = 0
        self._missing = 0
        self._compressed = False
        self._trailer = False
        """Whether the next byte is the newline of a frame that was handed on."""
        self._held = b""
        """What follows a frame that has to be judged first."""
        self.partial = False
        """Whether a frame has begun and not ended; its newline belongs to it."""

    def restrict(self, size: int) -> None:
        """Take no frame of more than ``size`` bytes, packed or unpacked, until `relax`.

        When a longer one follows others in the same bytes, `feed` gives those first and keeps the
        rest: they may be the reason to relax.
        """
        self._limit = min(size, self._limits.buffers)

    def relax(self) -> None:
        """Take everything that the limits allow; ``feed(b"")`` gives what was kept."""
        self._limit = self._limits.buffers

    @property
    def receiving(self) -> bool:
        """Whether a large payload is on its way: then large reads pay."""
        return self._payload is not None and self._size > LARGE

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and give the payloads that they complete.

        Raises
        ------
        RemoteProtocolError
            A frame exceeds a limit, or is not the zlib stream that it says it is. The reader must
            not be used again.
        """
        if not self.partial and len(data) > HEADER_SIZE:
            # Nearly always it is one small frame, whole.
            size, flag = HEADER.unpack_from(data)
            if not flag and len(data) == size + 6 and 0 < size <= self._limit:
                return [data[HEADER_SIZE:-1]]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[bytes]:
        if self._held:
            data = self._held + data
            self._held = b""
        payloads: list[bytes] = []
        position = 0
        end = len(data)
        while position < end:
            if self._trailer:
                self._trailer = False
                position += 1
            elif self._payload is not None:
                position += self._take(memoryview(data)[position:], payloads)
            else:
                if not self._head and end - position >= HEADER_SIZE:
                    # One small frame of several that came together.
                    size, flag = HEADER.unpack_from(data, position)
                    stop = position + HEADER_SIZE + size
                    if stop < end and not flag and 0 < size <= self._limit:
                        payloads.append(data[position + HEADER_SIZE : stop])
                        position = stop + 1
                        continue
                taken = data[position : position + HEADER_SIZE - len(self._head)]
                head = self._head + taken
                if len(head) == HEADER_SIZE and not self._begin(head, payloads):
                    self._held = data[position:]
                    break
                self._head = head if len(head) < HEADER_SIZE else b""
                position += len(taken)
        self.partial = bool(self._payload is not None or self._head or self._held or self._trailer)
        return payloads

    def _begin(self, head: bytes, payloads: list[bytes]) -> bool:
        """Begin the frame of this header, unless it has to wait for those before it."""
        size, flag = HEADER.unpack(head)
        if size > self._limit:
            if payloads and size <= self._limits.buffers:
                return False
            raise RemoteProtocolError(
                f"a message of {size:,} bytes exceeds the limit of {self._limit:,}"
            )
        if not size:
            if flag:
                raise RemoteProtocolError("a compressed message is empty")
            self._trailer = True
            return True
        self._size = self._missing = size
        self._compressed = bool(flag)
        self._payload = BytesIO()
        return True

    def _take(self, data: memoryview, payloads: list[bytes]) -> int:
        """Take what belongs to the payload, and say how many bytes that was."""
        payload = self._payload
        assert payload is not None
        taken = min(len(data), self._missing)
        payload.write(data[:taken])
        self._missing -= taken
        if not self._missing:
            self._payload = None
            self._trailer = True
            whole = payload.getvalue()
            if self._compressed:
                whole = _unpacked(whole, self._limit)
            if whole:
                payloads.append(whole)
        return taken


def _unpacked(data: bytes, limit: int) -> bytes:
    """Unpack a zlib stream within bounds."""
    bound = min(limit, max(MIN_UNPACKED, MAX_RATIO * len(data)))
    stream = zlib.decompressobj()
    unpacked = BytesIO()
    view = memoryview(data)
    position = 0
    rest: Piece = b""
    try:
        while not stream.eof:
            if not rest:
                rest = view[position : position + PACKED_STEP]
                position += len(rest)
            room = bound + 1 - unpacked.tell()
            part = stream.decompress(rest, min(UNPACKED_STEP, room))
            rest = stream.unconsumed_tail
            unpacked.write(part)
            if unpacked.tell() > bound:
                raise RemoteProtocolError(
                    f"a compressed message of {len(data):,} bytes unpacks to more than {bound:,}"
                )
            if not part and not rest and position == len(data) and not stream.eof:
                raise RemoteProtocolError("a compressed message ends before it is complete")
    except zlib.error as error:
        raise RemoteProtocolError(f"a compressed message is damaged: {error}") from None
    if stream.unused_data or position < len(data):
        raise RemoteProtocolError("a compressed message has bytes behind its end")
    return unpacked.getvalue()
