"""One end of RPyC's protocol as a state machine, without I/O.

Theory of operation
-------------------
`RpycProtocol` does for RPyC's wire what `nbrpc.protocol.machine.Protocol` does for the native one:
it turns bytes into the same messages and messages into pieces to be written, so that the session
above need not know which of them it speaks. What RPyC says otherwise is translated here:

* Values are given as plain Python objects, tuples with references in them as `codec.Tuple`, and
  references as `codec.Ref` and `codec.Home`.
* Requests of the peer have operations of `RpycOperation` where no native one means the same.
* Releases, pings and the end of a connection are requests in RPyC. Those of ours have negative
  numbers, and their answers stop here. The peer's pings are answered here, in ``outgoing``.
* Cancelling, progress, events, streams and deadlines have no form in RPyC, and are not sent.

There are two dialects. RPyC 6 writes the kind of a message before its brine, 4.1 to 5.3 put it
inside. A client begins with one of them; a server takes that of the first message.

Source: observed with RPyC 4.1.5, 5.3.1 and 6.0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any

from nbrpc.errors import LocalProtocolError, RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol import codec, messages
from nbrpc.protocol.frames import Piece
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc import brine, vinegar
from nbrpc.protocol.rpyc.frames import RpycFrameReader, frame
from nbrpc.protocol.rpyc.handlers import (
    MSG_EXCEPTION,
    MSG_REPLY,
    MSG_REQUEST,
    Dialect,
    Handler,
    Label,
)
from nbrpc.protocol.rpyc.kept import Kept
from nbrpc.protocol.rpyc.references import Held, Lent
from nbrpc.protocol.rpyc.requests import COMPARISONS, REQUESTS, RpycOperation

__all__ = ["NO_REPLY", "OtherDialect", "RpycProtocol"]

ROOT_SEQ = 0
"""The number of the request for the root in the opening of a connection."""

OWN_SEQ = -1
"""The number of releases and of the end; whoever reads the answer to one needs to know no more."""

LARGEST_SEQ = 2**63
"""RPyC counts from 0; a number of more than that is none."""

PAIR, TRIPLE, FOUR = (brine.encode_tuple_header(size) for size in (2, 3, 4))
VALUE = PAIR + brine.dumps(int(Label.VALUE))
TUPLE = PAIR + brine.dumps(int(Label.TUPLE))
NOTHING = brine.dumps((int(Label.VALUE), ()))
GET = int(Operation.GET)
QUICK_OPERATIONS = frozenset({GET, int(Operation.CALL), int(Operation.SPECIAL)})
FIRST_QUICK_SEQ = 160
"""Numbers from here on have their digits on the wire."""
INT_HEAD = b"\x16"
REQUEST_6, REPLY_6 = (bytes((kind,)) + PAIR for kind in (MSG_REQUEST, MSG_REPLY))
REQUEST_5, REPLY_5 = (TRIPLE + brine.dumps(kind) for kind in (MSG_REQUEST, MSG_REPLY))
MOST_BEGINNINGS = 64
NO_REPLY: Any = object()
HANDLERS = {handler: brine.dumps(int(handler)) for handler in Handler}
COMPARE = {name: brine.dumps((int(Label.VALUE), name)) for name in COMPARISONS}


class OtherDialect(RemoteProtocolError):
    """The server speaks the other dialect."""


class RpycProtocol:
    """The state of one end of one connection.

    Parameters
    ----------
    limits
        What the peer may send.
    dialect
        The one to begin with; None takes that of the first message.

    Attributes
    ----------
    outgoing : list of bytes
        What is to be sent without having been asked for by the session.
    """

    peer_limits: Mapping[str, int] = MappingProxyType({})
    """RPyC's peers tell none."""

    def __init__(self, limits: Limits, dialect: Dialect | None = None) -> None:
        self.limits = limits
        self.dialect = dialect
        self.outgoing: list[bytes] = []
        self.reader = RpycFrameReader(limits)
        self.lent = Lent()
        self.held = Held(10 * limits.exported)
        self.object_of: Callable[[int], Any] = lambda _oid: None
        """Gives our object of an id while the peer holds it; see `Kept`."""
        self._unanswered = 0
        """Requests with the number `OWN_SEQ` whose answers are still to come."""
        self._asked_for = count(1)
        self._numbers: dict[int, int] = {}
        """The peer's numbers of its requests that are not answered yet, by ours: RPyC's peers may
        choose any, and use one again."""

    @property
    def name(self) -> str:
        """``rpyc/6`` or ``rpyc/5``."""
        return "rpyc" if self.dialect is None else self.dialect.value

    # ---- sending

    def encode(
        self, kind: Kind, fields: tuple[Any, ...], _buffers: Sequence[memoryview] = ()
    ) -> list[Piece]:
        """Give the pieces of one message; none for what RPyC has no form for.

        Raises
        ------
        NotSendable
            Something in it is no value of RPyC; nothing was sent.
        LocalProtocolError
            RPyC knows no such operation; nothing was sent.
        """
        encoder = ENCODERS.get(kind)
        return [] if encoder is None else encoder(self, *fields)

    def check_buffers(self, _buffers: Sequence[memoryview]) -> bool:
        """Whether data travels beside the message: never."""
        return False

    def opening(self) -> list[Piece]:
        """Give the request for the root with which a connection begins."""
        return self._request(ROOT_SEQ, Handler.GETROOT, NOTHING)

    def _message(self, kind: int, seq: int, body: bytes) -> list[Piece]:
        number = brine.dumps(seq)
        if self.dialect is Dialect.RPYC5:
            return frame(TRIPLE + brine.dumps(kind) + number + body)
        return frame(bytes((kind,)) + PAIR + number + body)

    def _request(self, seq: int, handler: Handler, arguments: bytes) -> list[Piece]:
        return self._message(MSG_REQUEST, seq, PAIR + HANDLERS[handler] + arguments)

    def _box(self, value: Any) -> bytes:
        kind = type(value)
        if kind is codec.Ref:
            return self.lent.boxed(value)
        if kind is codec.Home:
            return self.held.boxed(value.oid)
        if kind is codec.Tuple:
            return self._box_tuple(value.items)
        return VALUE + brine.dumps(value)

    def _box_tuple(self, items: Sequence[Any]) -> bytes:
        """Box some values as one tuple: as it is where it can be, else item by item."""
        for item in items:
            if isinstance(item, codec.Box):
                boxes = b"".join([self._box(item) for item in items])
                return TUPLE + brine.encode_tuple_header(len(items)) + boxes
        return VALUE + brine.dumps(tuple(items))

    def _box_keywords(self, kwargs: dict[str, Any] | None) -> bytes:
        if not kwargs:
            return NOTHING
        return self._box_tuple([codec.Tuple([name, value]) for name, value in kwargs.items()])

    def _encode_request(
        self,
        seq: int,
        op: int,
        oid: int,
        name: str,
        args: Sequence[Any],
        kwargs: dict[str, Any] | None = None,
        _parent: int = 0,
        _timeout: float | None = None,
    ) -> list[Piece]:
        if op == Operation.ROOT:
            return self._request(seq, Handler.GETROOT, NOTHING)
        boxed = self.held.boxed(oid)
        if op == Operation.CALL:
            given = self._box_tuple(args) + self._box_keywords(kwargs)
            if not name:
                return self._request(seq, Handler.CALL, _arguments(3, boxed, given))
            given = VALUE + brine.dumps(name) + given
            return self._request(seq, Handler.CALLATTR, _arguments(4, boxed, given))
        if op == Operation.SPECIAL and name not in COMPARISONS:
            given = VALUE + brine.dumps(name) + self._box_tuple(args) + NOTHING
            return self._request(seq, Handler.CALLATTR, _arguments(4, boxed, given))
        if op == Operation.SPECIAL:
            given = self._box(args[0]) + COMPARE[name]
            return self._request(seq, Handler.CMP, _arguments(3, boxed, given))
        if op == RpycOperation.SPECIALS:
            given = VALUE + brine.dumps((self.held.name(oid),))
            return self._request(seq, Handler.INSPECT, given)
        if op == Operation.INSTANCE:
            given = VALUE + brine.dumps(self.held.name(args[0].oid))
            return self._request(seq, Handler.INSTANCECHECK, _arguments(2, boxed, given))
        handler = PLAIN_REQUESTS.get(op)
        if handler is None:
            raise LocalProtocolError("RPyC's protocol has no such request; nothing was sent")
        given = VALUE + brine.dumps(name) if name else b""
        given += b"".join([self._box(arg) for arg in args])
        size = 1 + bool(name) + len(args)
        return self._request(seq, handler, _arguments(size, boxed, given))

    def _encode_reply(self, seq: int, value: Any) -> list[Piece]:
        body = self._box(value)  # first: what cannot be sent is answered with a failure
        return self._message(MSG_REPLY, self._numbers.pop(seq), body)

    def _encode_failure(self, seq: int, error: messages.Error) -> list[Piece]:
        body = brine.dumps(vinegar.body_of(error, version=self._version))
        return self._message(MSG_EXCEPTION, self._numbers.pop(seq), body)

    @property
    def _version(self) -> str | None:
        """The version of RPyC to tell: its clients warn of any but their own major one."""
        return "6.0.2" if self.dialect is Dialect.RPYC6 else None

    def _encode_release(self, counts: list[int]) -> list[Piece]:
        pieces: list[Piece] = []
        for oid, number in zip(counts[::2], counts[1::2], strict=True):
            boxed = self.held.release(oid, number)
            arguments = _arguments(2, boxed, VALUE + brine.dumps(number))
            pieces += self._request(OWN_SEQ, Handler.DEL, arguments)
            self._unanswered += 1
        return pieces

    def _encode_ping(self, number: int) -> list[Piece]:
        return self._request(OWN_SEQ - number, Handler.PING, VALUE + brine.dumps((number,)))

    def _encode_goodbye(self, _reason: str) -> list[Piece]:
        return self._request(OWN_SEQ, Handler.CLOSE, NOTHING)

    def quick_request(self, seq: int, op: int, oid: int, name: str, args: tuple[Any, ...]) -> bytes:
        """Give the frame of a usual request: plain arguments, and one of `QUICK_OPERATIONS`.

        Raises
        ------
        NotSendable, StaleReference
            As in `encode`; nothing was sent.
        """
        beginnings = self.held.beginnings(oid)
        begins = beginnings.get((op, name))
        if begins is None:
            begins = self._beginning(op, oid, name)
            if len(beginnings) < MOST_BEGINNINGS:
                beginnings[op, name] = begins
        digits = b"%d" % seq
        number = INT_HEAD + bytes((len(digits),)) + digits
        if self.dialect is Dialect.RPYC5:
            payload = REQUEST_5 + number + begins
        else:
            payload = REQUEST_6 + number + begins
        if op != GET:
            # Keyword arguments may be left out of a call, but not of one by name.
            payload += VALUE + brine.dumps(args) + (NOTHING if name else b"")
        return b"%b\0%b\n" % (len(payload).to_bytes(4, "big"), payload)

    def _beginning(self, op: int, oid: int, name: str) -> bytes:
        """Give what stands in a request between its number and its arguments."""
        boxed = self.held.boxed(oid)
        named = VALUE + brine.dumps(name)
        if op == GET:
            return PAIR + HANDLERS[Handler.GETATTR] + _arguments(2, boxed, named)
        if op == Operation.CALL and not name:
            return PAIR + HANDLERS[Handler.CALL] + _arguments(2, boxed)
        return PAIR + HANDLERS[Handler.CALLATTR] + _arguments(4, boxed, named)

    def quick_reply(self, data: bytes, seq: int) -> Any:
        """Give the value of a reply if the bytes are that and nothing else; else `NO_REPLY`.

        Raises
        ------
        RemoteProtocolError
            It is one, and its value is none.
        """
        digits = b"%d" % seq
        begins = REPLY_5 if self.dialect is Dialect.RPYC5 else REPLY_6
        begins += INT_HEAD + bytes((len(digits),)) + digits + VALUE
        if (
            data[4:5] == b"\0"
            and len(data) == int.from_bytes(data[:4], "big") + 6
            and data.startswith(begins, 5)
            and not self.reader.partial
        ):
            return brine.loads(data, self.limits, 5 + len(begins))
        return NO_REPLY

    # ---- receiving

    @property
    def receiving(self) -> bool:
        """Whether a large message is on its way."""
        return self.reader.receiving

    def receive(self, data: bytes) -> list[Any]:
        """Take bytes from the peer and give the messages that they complete.

        Raises
        ------
        OtherDialect
            The first message is of the other dialect; nothing more can be received.
        RemoteProtocolError
            It is not RPyC's protocol; nothing more can be received.
        """
        received: list[Any] = []
        for payload in self.reader.feed(data):
            kind, seq, body = self._open(payload)
            if kind != MSG_REQUEST:
                message = self._answer(kind, seq, body)
            else:
                message = self._asked(seq, body)
            if message is not None:
                received.append(message)
        return received

    def _open(self, payload: bytes) -> tuple[int, int, Any]:
        """Take a message apart: its kind, number and body."""
        first = payload[0]
        dialect = Dialect.RPYC6 if first in KINDS else Dialect.RPYC5
        if self.dialect is not dialect:
            if self.dialect is not None:
                raise OtherDialect(f"the peer speaks {dialect.value}, not {self.dialect.value}")
            self.dialect = dialect
        if dialect is Dialect.RPYC6:
            message = brine.loads(payload, self.limits, 1)
            if type(message) is tuple and len(message) == 2:
                message = (first, *message)
        else:
            message = brine.loads(payload, self.limits)
        if type(message) is not tuple or len(message) != 3:
            raise RemoteProtocolError("the peer sends what is no message of RPyC")
        kind, seq, body = message
        if type(kind) is not int or kind not in KINDS or type(seq) is not int:
            raise RemoteProtocolError("the peer sends a message of a kind that RPyC does not have")
        return kind, seq, body

    def _answer(self, kind: int, seq: int, body: Any) -> Any:
        """A reply or an exception."""
        if seq == OWN_SEQ:
            self._unanswered -= 1
            if self._unanswered < 0:
                raise RemoteProtocolError("the peer answers requests that were never made")
            return None  # what it says is not looked at: references in it would be kept for ever
        if seq < OWN_SEQ:
            return messages.Pong(OWN_SEQ - seq)
        if kind == MSG_REPLY:
            return messages.Reply(seq, self._unbox(body))
        return messages.Failure(seq, vinegar.error_of(body))

    def _unbox(self, box: Any, depth: int = 0) -> Any:
        """Give the value of a box as the session reads it."""
        if type(box) is not tuple or len(box) != 2 or depth > self.limits.depth:
            raise RemoteProtocolError("the peer sends a value that RPyC would not make")
        label, value = box
        if label == Label.VALUE:
            return value
        if label == Label.TUPLE:
            if type(value) is not tuple:
                raise RemoteProtocolError("the peer sends a tuple that is none")
            return codec.Tuple([self._unbox(item, depth + 1) for item in value])
        if label == Label.LOCAL_REF:
            oid = self.lent.find(value)
            found = self.object_of(oid)
            return codec.Home(oid) if found is None else Kept(oid, found)
        if label == Label.REMOTE_REF:
            return self.held.ref(value)
        raise RemoteProtocolError("the peer sends a value of a kind that RPyC does not have")

    def answer_at_once(self, number: int, value: Any) -> None:
        """Answer a request of the peer without the session."""
        self.outgoing.append(b"".join(self._encode_reply(number, value)))

    def _asked(self, seq: int, body: Any) -> Any:
        """A request of the peer, as the session knows it."""
        if type(body) is not tuple or len(body) != 2 or abs(seq) > LARGEST_SEQ:
            raise RemoteProtocolError("the peer sends a request that is none of RPyC's")
        handler, boxed = body
        args = self._unbox(boxed)
        args = args.items if type(args) is codec.Tuple else args
        read = REQUESTS.get(handler) if type(handler) is int else None
        if read is None or type(args) not in (tuple, list):
            raise RemoteProtocolError(f"the peer asks for {handler!r:.40}, which RPyC has not")
        number = next(self._asked_for)
        self._numbers[number] = seq
        try:
            return read(self, number, *args)
        except TypeError as error:
            raise RemoteProtocolError(
                "a request of the peer has other arguments than RPyC's"
            ) from error


def _arguments(size: int, *boxes: bytes) -> bytes:
    """Give the box of the arguments of a request."""
    return TUPLE + brine.encode_tuple_header(size) + b"".join(boxes)


KINDS = frozenset({MSG_REQUEST, MSG_REPLY, MSG_EXCEPTION})

PLAIN_REQUESTS: dict[int, Handler] = {
    Operation.GET: Handler.GETATTR,
    Operation.SET: Handler.SETATTR,
    Operation.DELETE: Handler.DELATTR,
    Operation.STR: Handler.STR,
    Operation.REPR: Handler.REPR,
    Operation.HASH: Handler.HASH,
    Operation.DIR: Handler.DIR,
    RpycOperation.TAKE: Handler.BUFFITER,
    RpycOperation.PICKLE: Handler.PICKLE,
    RpycOperation.LEAVE: Handler.CTXEXIT,
}
"""Our requests whose arguments are an object, a name if there is one, and values."""

# ruff: noqa: SLF001 - the tables below are of this class, and of this file

ENCODERS: dict[int, Callable[..., list[Piece]]] = {
    Kind.REQUEST: RpycProtocol._encode_request,
    Kind.REPLY: RpycProtocol._encode_reply,
    Kind.FAILURE: RpycProtocol._encode_failure,
    Kind.RELEASE: RpycProtocol._encode_release,
    Kind.PING: RpycProtocol._encode_ping,
    Kind.GOODBYE: RpycProtocol._encode_goodbye,
}
