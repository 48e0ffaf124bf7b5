"""A WebSocket over a socket or over TLS.

Theory of operation
-------------------
The connection has become a WebSocket already (`nbrpc.transports.upgrade`). What is sent is cut into
binary frames, and of what arrives the payload is given on as it comes: neither side looks at where
messages end, so a proxy may cut or join them as it likes, and a frame of any length takes no
memory. That is also why the frames are read here, and not by the websockets library, which keeps a
message until it is whole.

*What selectors do not see.* A payload is never longer than the bytes that carried it, so whoever
reads takes no more from below than was asked for, and nothing stays here but part of a header.

*What was taken.* A frame says its length first, so its bytes have to follow. The caller offers them
again, as after any part that was not taken; those of a client are masked again with the key of the
frame.

*Two threads.* The one that reads answers pings, and the one that writes may be inside a frame just
then. So the answer waits for the end of the frame, under a lock that is never held while something
waits. Only the latest answer is kept.
"""

from __future__ import annotations

import contextlib
import os
import struct
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbrpc.errors import ConnectionLost
from nbrpc.transports.base import WHOLE_READ, Transport

try:  # as the library itself does
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["Relayed", "WebSocketTransport"]

FRAME = 128 * 1024
"""Bytes of payload in the longest frame that is sent: proxies keep a frame until it is whole."""

SMALL = 16 * 1024
"""Bytes up to which a frame is joined with its header."""

CLOSE_PATIENCE = 0.05
"""Seconds that `close` waits for a thread that is sending just now."""

DATA = frozenset({0x00, 0x80, 0x02, 0x82})
"""First bytes of frames that carry data: binary ones and what continues them."""

BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A
MASKED = 0x80
"""In the second byte of a header, beside the length."""

SHORT, MEDIUM, LONG = 125, 126, 127
"""The longest length that stands in the second byte; what stands there for longer ones."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR = 1000, 1001, 1002


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a relay of ours in front of a server tells a client that it has let in.

    Parameters
    ----------
    token
        The server's token.
    channel
        SHA-256 of the server's certificate.
    """

    token: str | None = field(default=None, repr=False)
    channel: bytes = b""


class WebSocketTransport(Transport):
    """A connection that has become a WebSocket.

    Parameters
    ----------
    below
        The socket, or TLS over one; it belongs to this transport from here on.
    is_server
        Which side this is: what a client sends is masked.
    rest
        What has arrived behind the HTTP head.
    relayed
        On a client of a Jupyter server: what that has told.
    """

    __slots__ = (
        "_below",
        "_close_code",
        "_control",
        "_due",
        "_ended",
        "_head",
        "_is_server",
        "_key",
        "_left",
        "_lock",
        "_mask_bit",
        "_partial",
        "_rest",
        "_their_key",
        "_why",
        "name",
        "relayed",
        "waitable",
    )

    def __init__(
        self,
        below: Transport,
        *,
        is_server: bool = False,
        rest: bytes = b"",
        relayed: Relayed | None = None,
    ) -> None:
        scheme, _, place = below.name.partition("://")
        self.name = f"{'wss' if scheme == 'tls' else 'ws'}://{place}"
        layer: Any = below
        while layer is not None:  # their errors name it
            layer.name = self.name
            layer = getattr(layer, "below", None)
        self.relayed = relayed
        self.waitable = below.waitable
        self._below = below
        self._is_server = is_server
        self._mask_bit = 0 if is_server else MASKED
        self._rest = rest
        self._lock = allocate_lock()
        self._partial = b""
        """The beginning of a header, or of a whole control frame."""
        self._due = 0
        """Bytes of the frame that arrives which are still to come."""
        self._their_key = b""
        self._ended = False
        self._why: ConnectionLost | None = None
        self._close_code = NORMAL
        self._head = b""
        """What has to be sent before anything else: a header, or a control frame."""
        self._left = 0
        """Bytes of the frame that is sent which are still to go, behind the header."""
        self._key = b""
        self._control = b""
        """The control frame that is sent when the frame has ended."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def below(self) -> Transport:
        """What carries it; only to look at."""
        return self._below

    @property
    def plain_socket(self) -> _ShortWay | None:
        """What the short way of a session reads and writes in place of a socket."""
        return _ShortWay(self.receive, self.wait_receive, self.send) if self.waitable else None

    @property
    def peer_described(self) -> object:
        """What the client's certificate says, where TLS carries it and has verified one."""
        return getattr(self._below, "peer_described", None)

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._below.fileno()

    # ---- receiving

    def receive(self, size: int) -> bytes | None:
        """Take what is there (recv), without its frames."""
        if self._rest:
            raw, self._rest = self._rest[:size], self._rest[size:]
            return self._payload(raw)
        raw_or_none = self._below.receive(size)
        return None if raw_or_none is None else self._payload(raw_or_none)

    def wait_receive(self, size: int) -> bytes | None:
        """Take what comes within a tick."""
        if self._rest:
            return self.receive(size)
        raw = self._below.wait_receive(size)
        return None if raw is None else self._payload(raw)

    def _payload(self, raw: bytes) -> bytes | None:
        """Give what the frames in some bytes hold; None where that is nothing."""
        if not self._due and not self._partial and not self._ended and raw[:1] == b"\x82":
            length = len(raw)
            if not self._is_server:
                if raw[1:2] and raw[1] == length - 2 <= SHORT:
                    return raw[2:] or None  # nearly always
            elif length > 6 and raw[1] == MASKED | (length - 6) and length - 6 <= SHORT:
                return apply_mask(raw[6:], raw[2:6])
        if not raw:
            self._ended = True
        parts = [] if self._ended else self._unframe(raw)
        if parts:
            return b"".join(parts)
        if not self._ended:
            return None
        if self._why is not None:
            raise self._why
        return b""

    def _unframe(self, raw: bytes) -> list[bytes | memoryview]:
        if self._partial:
            raw, self._partial = self._partial + raw, b""
        view = memoryview(raw)
        parts: list[bytes | memoryview] = []
        while view and not self._ended:
            if self._due:
                part = view[: self._due]
                self._due -= len(part)
                view = view[len(part) :]
                if self._is_server:
                    parts.append(apply_mask(part, self._their_key))
                    self._their_key = _turned(self._their_key, len(part))
                else:
                    parts.append(part)
            else:
                used = self._begin_frame(view)
                if not used:
                    self._partial = bytes(view)
                    break
                view = view[used:]
        return parts

    def _begin_frame(self, view: memoryview) -> int:
        """Read the header of a frame, or a whole control frame.

        Returns
        -------
        int
            The bytes that it takes; 0 while it is not all here.
        """
        if len(view) < 2:
            return 0
        first, second = view[0], view[1]
        if bool(second & MASKED) is not self._is_server:
            raise self._broken("the frames of a client are masked, and those of a server are not")
        size, start = second & ~MASKED, 2
        if size > SHORT:
            start = 4 if size == MEDIUM else 10
        key_at = start
        if self._is_server:
            start += 4
        if len(view) < start:
            return 0
        if size > SHORT:
            size = int.from_bytes(view[2:key_at], "big")
        key = bytes(view[key_at:start])
        if first in DATA:
            if size >> 63:
                raise self._broken("a frame has a length that none can have")
            self._due = size
            self._their_key = key
            return start
        if first not in (CLOSE, PING, PONG) or size > SHORT:
            raise self._broken("it sends something that is neither binary nor a control frame")
        if len(view) < start + size:
            return 0
        payload = bytes(view[start : start + size])
        self._obey(first, apply_mask(payload, key) if key else payload)
        return start + size

    def _broken(self, what: str) -> ConnectionLost:
        self._close_code = PROTOCOL_ERROR
        return ConnectionLost(f"{self.name} does not keep to the WebSocket protocol: {what}")

    def _obey(self, kind: int, payload: bytes) -> None:
        """Answer a control frame."""
        if kind == PONG:
            return
        if kind == CLOSE:
            self._ended = True
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else NORMAL
            if code not in (NORMAL, GOING_AWAY):
                said = payload[2:].decode("utf-8", "replace")
                said = "".join(character for character in said if character.isprintable())
                self._why = ConnectionLost(
                    f"{self.name} closed the connection: {said or 'no reason given'} ({code})"
                )
        with self._lock, contextlib.suppress(ConnectionLost):  # reading tells of that
            self._control = self._control_frame(PONG if kind == PING else CLOSE, payload)
            self._send(())

    # ---- sending

    def send(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Give the socket pieces in frames, as far as it takes them."""
        with self._lock:
            if len(pieces) == 1 and not (self._head or self._left or self._control):
                piece = pieces[0]
                size = len(piece)
                if size <= SHORT and type(piece) is bytes:  # nearly always
                    if self._is_server:
                        data = b"\x82%c%b" % (size, piece)
                        header = 2
                    else:
                        key = self._key = os.urandom(4)
                        data = b"\x82%c%b%b" % (MASKED | size, key, apply_mask(piece, key))
                        header = 6
                    sent = self._below.send([data])
                    if sent == len(data):
                        return size
                    self._head, self._left = data[:header], size
                    return self._went(sent)
            return self._send(pieces)

    def _send(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Send as much as the socket takes; needs the lock."""
        queue = deque([memoryview(piece).cast("B") for piece in pieces])
        left = sum([len(view) for view in queue])
        taken = 0
        while True:
            if not self._head and not self._left:
                if self._control:
                    self._head, self._control = self._control, b""
                elif left:
                    self._begin(min(left, FRAME))
                else:
                    return taken
            size = min(self._left, left)
            offered: list[bytes | memoryview] = self._masked(_cut(queue, size))
            if self._head:
                offered.insert(0, self._head)
            if not offered:
                return taken  # the rest of a frame, which the caller has yet to offer again
            whole = len(self._head) + size
            if len(offered) > 1 and whole <= SMALL:
                offered = [b"".join(offered)]
            sent = self._below.send(offered)
            taken += self._went(sent)
            left -= size
            if sent < whole:
                return taken

    def _begin(self, size: int) -> None:
        """Begin a frame."""
        if size <= SHORT:
            header = struct.pack("!BB", BINARY, self._mask_bit | size)
        elif size <= 0xFFFF:
            header = struct.pack("!BBH", BINARY, self._mask_bit | MEDIUM, size)
        else:
            header = struct.pack("!BBQ", BINARY, self._mask_bit | LONG, size)
        if not self._is_server:
            self._key = os.urandom(4)
            header += self._key
        self._head, self._left = header, size

    def _masked(self, pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
        if self._is_server or not pieces:
            return pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return [apply_mask(data, self._key)]

    def _went(self, sent: int) -> int:
        """Note what the socket has taken; give how many bytes of the caller that were."""
        payload = max(0, sent - len(self._head))
        self._head = self._head[sent:]
        self._left -= payload
        if self._key:
            self._key = _turned(self._key, payload)
        return payload

    def _control_frame(self, kind: int, payload: bytes) -> bytes:
        header = struct.pack("!BB", kind, self._mask_bit | len(payload))
        if self._is_server:
            return header + payload
        key = os.urandom(4)
        return header + key + apply_mask(payload, key)

    # ---- the end

    def close(self) -> None:
        """Tell the peer that this is the end, and close the socket."""
        if self._below.fileno() >= 0 and self._lock.acquire(timeout=CLOSE_PATIENCE):
            try:
                if not self._ended and not self._head and not self._left:
                    code = struct.pack("!H", self._close_code)
                    with contextlib.suppress(ConnectionLost):
                        self._below.send([self._control_frame(CLOSE, code)])
                        # A proxy may have sent an empty frame since. Closing before that is read
                        # resets the connection, and the proxy may drop what was just sent.
                        self._below.receive(WHOLE_READ)
            finally:
                self._lock.release()
        self._below.close()

    def abandon(self) -> None:
        """Close this process's descriptor only."""
        self._below.abandon()


class _ShortWay:
    """A transport behind the two methods of a socket that the short way of a session calls."""

    __slots__ = ("_receive", "_send", "_wait_receive")

    def __init__(
        self,
        receive: Callable[[int], bytes | None],
        wait_receive: Callable[[int], bytes | None],
        send: Callable[[Sequence[bytes | memoryview]], int],
    ) -> None:
        self._receive = receive
        self._wait_receive = wait_receive
        self._send = send

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = self._receive(size) if flags else self._wait_receive(size)
        if data is None:
            raise BlockingIOError
        return data

    def send(self, data: bytes, flags: int) -> int:
        return self._send((data,))


def _turned(key: bytes, count: int) -> bytes:
    """Give the key as it applies so many bytes later."""
    count &= 3
    return key[count:] + key[:count] if count else key


def _cut(queue: deque[memoryview], size: int) -> list[bytes | memoryview]:
    """Take so many bytes from the front."""
    batch: list[bytes | memoryview] = []
    while size:
        view = queue.popleft()
        if len(view) > size:
            queue.appendleft(view[size:])
            view = view[:size]
        batch.append(view)
        size -= len(view)
    return batch
