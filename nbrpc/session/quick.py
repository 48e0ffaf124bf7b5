"""The short way of a call: one function on either side, for the case that is nearly always at hand.

A request whose arguments are plain, made outside any job by a thread that may read the socket,
while nothing else is queued or waited for, is encoded, sent and answered in `Quick.request` without
a layer between. The same holds on the peer's side, where a lone request that has just been read
goes straight to the worker, and a plain result straight to the socket. Everything else takes the
long way through the layers. That one defines what happens; the short way skips what the usual case
does not need, and goes over to the long one wherever something is unusual.

Between two processes that take turns on a processor every function call costs several times what it
does in a loop, since the caches are cold. So it is the number of calls that counts here.
"""

from __future__ import annotations

import struct
import time
from _thread import LockType, get_ident
from collections.abc import Callable, Iterator
from types import NoneType
from typing import TYPE_CHECKING, Any

import msgspec

from nbrpc.errors import ConnectionLost, NbrpcError
from nbrpc.protocol import messages
from nbrpc.protocol.codec import Box, check, decoder, encode
from nbrpc.protocol.frames import HEADER, HEADER_SIZE
from nbrpc.protocol.messages import Kind
from nbrpc.session import interrupts
from nbrpc.session.call import Call, current_job
from nbrpc.session.interrupts import SIGINT, getsignal, handle
from nbrpc.session.job import RequestJob
from nbrpc.session.reactor import READ
from nbrpc.transports.sockets import DONT_WAIT, SEND_FLAGS

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing
    from nbrpc.session.outbox import Outbox
    from nbrpc.session.reactor import Reactor

__all__ = ["PLAIN", "Quick"]

PLAIN = frozenset({int, float, bool, str, NoneType})
"""Types that are sent as they are. An int or a text for which that is not true makes the encoder
raise or the body long; both lead to the long way."""

FEW = 16
"""Requests that are served without looking at how many workers the connection takes."""

SHORT = 4096
"""Bytes of the longest message that takes the short way."""

READ_SIZE = 16 * 1024

CALL = int(messages.Operation.CALL)
REQUEST, REPLY = int(Kind.REQUEST), int(Kind.REPLY)
decode_request = decoder(messages.Request).decode
decode_reply = decoder(messages.Reply).decode

UNUSUAL = (struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the short way of decoding raises for bytes that are not one whole message."""


class Quick:
    """The part of a session that takes short cuts."""

    boxing: Boxing
    closed: bool
    default_timeout: float | None
    dispatcher: Any
    outbox: Outbox
    most_requests: int
    pending: dict[int, Call]
    reactor: Reactor
    reader: Any
    reading: LockType
    requests_sent: int
    requests_served: int
    bytes_received: int
    serving: dict[int, RequestJob]
    socket: Any
    """The transport's plain socket; None where there is no short way."""
    waiters: set[Call]
    _spare: Call | None = None
    name: str
    begin: Callable[..., tuple[Call, float | None]]
    finish: Callable[..., Any]
    feed: Callable[[bytes], None]
    lose: Callable[[BaseException], None]
    ensure_read: Callable[[], None]
    on_ready_slowly: Callable[[int], None]
    read_bulk: Callable[[], None]
    on_request: Callable[[Any], None]
    new_job: Callable[[Any], RequestJob]
    _reads: int
    _seqs: Iterator[int]

    def request(
        self,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Ask the peer and wait for the answer; `Session.begin` and `Session.finish` define how."""
        socket, imports = self.socket, self.boxing.imports
        if (
            socket is None
            or (kwargs is not None or timeout is not None)
            or not PLAIN.issuperset(map(type, args))
            or current_job.get() is not None
            or self.waiters
            or len(self.pending) >= self.most_requests
            or (imports.dead or imports.owed)
            or self.dispatcher.jobs
            or (get_ident() == interrupts.main_thread and getsignal(SIGINT) is not handle)
            or not self.reading.acquire(False)
        ):
            # `finish` is called from here, since every frame counts where calls nest.
            return self.finish(*self.begin(op, oid, name, args, kwargs, timeout))
        call = deadline = None
        try:
            seq = next(self._seqs)
            timeout = self.default_timeout
            if timeout is None:
                body = encode((seq, op, oid, name, args))
            else:
                body = encode((seq, op, oid, name, args, None, 0, timeout))
                deadline = time.monotonic() + timeout
            # One object serves all calls that end on the short way: the reading lock is held.
            spare, self._spare = self._spare or self._new_call(), None
            spare.seq = seq
            self.pending[seq] = spare
            data = HEADER.pack(len(body), REQUEST, 0, 0) + body
            if self.closed or not self.send_quickly(socket, data):
                self.pending.pop(seq, None)
            else:
                self.requests_sent += 1
                call = spare
                if self._read_quickly(socket, seq):
                    self._spare = spare
                    return spare.reply
        except NbrpcError as error:  # first, since ConnectionLost is an OSError as well
            self.lose(error)
        except (OSError, OverflowError, UnicodeEncodeError):  # lost, or an argument is not plain
            if call is not None:  # or nothing came within a tick: see `wait_for`
                call.reads_socket = get_ident() != interrupts.main_thread
        finally:
            self.reading.release()
            if self.waiters:
                self.ensure_read()
        if call is None:
            call, deadline = self.begin(op, oid, name, args, kwargs, timeout)
        return self.finish(call, deadline)

    def start_quickly(self, call: Call, oid: int, name: str, args: tuple[Any, ...]) -> bool:
        """Send the request of an asynchronous call; False when it must take the long way."""
        socket = self.socket
        imports = self.boxing.imports
        if (
            socket is None
            or not PLAIN.issuperset(map(type, args))
            or current_job.get() is not None
            or imports.dead
            or imports.owed
        ):
            return False
        try:
            body = encode((call.seq, CALL, oid, name, args))
        except (OverflowError, UnicodeEncodeError):
            return False
        self.pending[call.seq] = call
        if self.closed or not self.send_quickly(
            socket, HEADER.pack(len(body), REQUEST, 0, 0) + body
        ):
            self.pending.pop(call.seq, None)
            return False
        self.requests_sent += 1
        return True

    def _new_call(self) -> Call:
        call = Call(self, 0)  # type: ignore[arg-type]
        call.waiting = True
        return call

    def _read_quickly(self, socket: Any, seq: int) -> bool:
        """Wait for bytes; True when they were just the plain reply to a request, noted in its call.

        Raises
        ------
        OSError
            Nothing came within a tick, or the link is lost.
        """
        data = socket.recv(READ_SIZE)
        try:
            length, kind, flags, count = HEADER.unpack_from(data)
            reader = self.reader
            if (
                kind == REPLY
                and len(data) == length + HEADER_SIZE
                and not (flags or count or reader.tail or reader.inline)
            ):
                body = data[HEADER_SIZE:]
                check(body)
                reply = decode_reply(body)
                if reply.seq == seq and not isinstance(reply.value, Box):
                    self.pending.pop(seq).reply = reply.value
                    self._reads += 1
                    self.bytes_received += length
                    return True
        except UNUSUAL:
            pass
        self.feed(data)
        return False

    def send_quickly(self, socket: Any, data: bytes) -> bool:
        """Send a short message if nothing is queued before it; False when it was not sent."""
        outbox = self.outbox
        if len(data) > SHORT or not outbox.lock.acquire(False):
            return False
        try:
            if outbox.ready or outbox.partial or outbox.bulk or outbox.corked:
                return False
            try:
                sent = socket.send(data, SEND_FLAGS)
            except OSError:
                sent = 0  # full; or lost, which the next try to send it finds out
            outbox.bytes_sent += sent
            if sent != len(data):
                outbox.keep(data, sent)
        finally:
            outbox.lock.release()
        if outbox.ready or outbox.bulk:
            outbox.flush()
        return True

    def on_ready(self, mask: int) -> None:
        """Read and write what is possible; from the reactor's leader."""
        socket = self.socket
        if mask != READ or socket is None or not self.reading.acquire(False):
            self.on_ready_slowly(mask)
            return
        try:
            reader = self.reader
            if reader.inline or reader.transfers:
                self.read_bulk()
                return
            data = socket.recv(READ_SIZE, DONT_WAIT)
            try:
                length, kind, flags, count = HEADER.unpack_from(data)
                if (
                    kind == REQUEST
                    and len(data) == length + HEADER_SIZE
                    and not (flags or count or reader.tail)
                ):
                    body = data[HEADER_SIZE:]
                    check(body)
                    request = decode_request(body)
                    self._reads += 1
                    self.bytes_received += length
                    home = self.dispatcher
                    if request.parent or not home.direct or home.backlog or len(self.serving) > FEW:
                        self.on_request(request)
                    else:
                        self.reactor.jobs.append(self.new_job(request))
                    return
            except UNUSUAL:
                pass
            self.feed(data)
        except NbrpcError as error:  # first, since ConnectionLost is an OSError as well
            self.lose(error)
        except BlockingIOError:
            pass
        except OSError as error:
            self.lose(ConnectionLost(f"the connection to {self.name} broke: {error}"))
        finally:
            self.reading.release()
