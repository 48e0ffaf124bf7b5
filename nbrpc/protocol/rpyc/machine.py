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

import enum
from collections.abc import Callable, Sequence
from itertools import count
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
from nbrpc.protocol.rpyc.references import Held, Kept, Lent

__all__ = ["COMPARISONS", "OtherDialect", "RpycOperation", "RpycProtocol"]

COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__"})

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
HANDLERS = {handler: brine.dumps(int(handler)) for handler in Handler}
COMPARE = {name: brine.dumps((int(Label.VALUE), name)) for name in COMPARISONS}


class RpycOperation(enum.IntEnum):
    """What only RPyC's peers ask for, or are asked for; the numbers are no part of any wire."""

    RELEASE = 101
    """Give back ``args[0]`` references; a request, since earlier ones may still need the object."""
    SPECIALS = 102
    """The special methods of the object."""
    TAKE = 103
    """At most ``args[0]`` items of an iterator, as a tuple."""
    PICKLE = 104
    LEAVE = 105
    """Leave a context manager; ``args[0]`` is the class of an exception, or None."""
    COMPARE = 106
    """Use the comparison ``name``."""
    REFUSED = 107
    """Something that RPyC for Python 2 could do."""


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
        body = vinegar.body_of(error, version=self._version)
        return self._message(MSG_EXCEPTION, self._numbers.pop(seq), brine.dumps(body))

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
            if kind == MSG_REPLY:
                self._unbox(body)
            return None
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

    def _asked(self, seq: int, body: Any) -> Any:
        """A request of the peer, as the session knows it."""
        if type(body) is not tuple or len(body) != 2 or abs(seq) > LARGEST_SEQ:
            raise RemoteProtocolError("the peer sends a request that is none of RPyC's")
        handler, boxed = body
        args = self._unbox(boxed)
        args = args.items if type(args) is codec.Tuple else args
        read = REQUESTS.get(handler)
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

    def _on_ping(self, seq: int, data: Any) -> None:
        if isinstance(data, codec.Box):
            raise RemoteProtocolError("the peer pings with what is no plain value")
        self.outgoing.append(b"".join(self._encode_reply(seq, data)))

    def _on_inspect(self, seq: int, name: Any) -> messages.Request:
        return _asking(RpycOperation.SPECIALS, seq, codec.Home(self.lent.find(name)))

    def _on_instance_check(self, seq: int, obj: Any, name: Any) -> messages.Request:
        found = codec.Home(self.lent.find(name))
        return _asking(Operation.INSTANCE, seq, obj, found)

    def _on_call(self, seq: int, obj: Any, args: Any, kwargs: Any = ()) -> messages.Request:
        request = _asking(Operation.CALL, seq, obj, *_items(args))
        request.kwargs = _keywords(kwargs)
        return request

    def _on_call_attribute(
        self, seq: int, obj: Any, name: Any, args: Any = (), kwargs: Any = ()
    ) -> messages.Request:
        name = _text(name)
        special = name[:2] == "__" and not kwargs
        request = _asking(Operation.SPECIAL if special else Operation.CALL, seq, obj, *_items(args))
        request.name = name
        request.kwargs = _keywords(kwargs)
        return request


def _arguments(size: int, *boxes: bytes) -> bytes:
    """Give the box of the arguments of a request."""
    return TUPLE + brine.encode_tuple_header(size) + b"".join(boxes)


def _asking(op: int, seq: int, obj: Any, *args: Any) -> messages.Request:
    """Make a request about an object of ours; about none that there is if it is not ours."""
    oid = obj.oid if isinstance(obj, (codec.Home, Kept)) else 0
    return messages.Request(seq, op, oid, "", list(args))


def _named(op: int) -> Callable[..., messages.Request]:
    """Make what reads a request about an attribute."""

    def read(_self: Any, seq: int, obj: Any, name: Any, *args: Any) -> messages.Request:
        request = _asking(op, seq, obj, *args)
        request.name = _text(name)
        return request

    return read


def _plain(op: int, most: int = 0) -> Callable[..., messages.Request]:
    """Make what reads a request about an object, with at most so many arguments."""

    def read(_self: Any, seq: int, obj: Any, *args: Any) -> messages.Request:
        return _asking(op, seq, obj, *args[:most])

    return read


def _text(name: Any) -> str:
    """Give the name of an attribute."""
    if type(name) is bytes:
        name = name.decode("utf-8", "replace")
    if type(name) is not str:
        raise RemoteProtocolError("the peer names an attribute by what is no text")
    return name


def _items(args: Any) -> Sequence[Any]:
    """Give the arguments of a call."""
    if type(args) is codec.Tuple:
        return args.items
    if type(args) is tuple:
        return args
    raise RemoteProtocolError("the arguments of a call are no tuple")


def _keywords(kwargs: Any) -> dict[str, Any] | None:
    """Give the keyword arguments of a call, which travel as pairs."""
    pairs = [_items(pair) for pair in _items(kwargs)]
    if any(len(pair) != 2 for pair in pairs):
        raise RemoteProtocolError("a keyword argument of a call is no pair")
    return {_text(name): value for name, value in pairs} or None


def _compare(_self: Any, seq: int, obj: Any, other: Any, op: Any = "__cmp__") -> messages.Request:
    request = _asking(RpycOperation.COMPARE, seq, obj, other)
    request.name = _text(op)
    return request


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

REQUESTS: dict[Any, Callable[..., Any]] = {
    Handler.PING: RpycProtocol._on_ping,
    Handler.CLOSE: lambda _self, _seq, *_args: messages.Goodbye(""),
    Handler.GETROOT: lambda _self, seq: _asking(Operation.ROOT, seq, None),
    Handler.GETATTR: _named(Operation.GET),
    Handler.DELATTR: _named(Operation.DELETE),
    Handler.SETATTR: _named(Operation.SET),
    Handler.CALL: RpycProtocol._on_call,
    Handler.CALLATTR: RpycProtocol._on_call_attribute,
    Handler.REPR: _plain(Operation.REPR),
    Handler.STR: _plain(Operation.STR),
    Handler.CMP: _compare,
    Handler.HASH: _plain(Operation.HASH),
    Handler.DIR: _plain(Operation.DIR),
    Handler.PICKLE: _plain(RpycOperation.PICKLE, 1),
    Handler.DEL: _plain(RpycOperation.RELEASE, 1),
    Handler.INSPECT: RpycProtocol._on_inspect,
    Handler.BUFFITER: _plain(RpycOperation.TAKE, 1),
    Handler.OLDSLICING: _plain(RpycOperation.REFUSED),
    Handler.CTXEXIT: _plain(RpycOperation.LEAVE, 1),
    Handler.INSTANCECHECK: RpycProtocol._on_instance_check,
}
