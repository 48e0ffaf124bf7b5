"""What an RPyC peer asks: each of its requests, as one of ours.

A request that is not what RPyC would make ends the connection; one that asks for what there is not
is answered with an error by the session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbrpc.errors import RemoteProtocolError
from nbrpc.protocol import codec, messages
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.handlers import Handler
from nbrpc.protocol.rpyc.kept import Kept

if TYPE_CHECKING:
    from nbrpc.protocol.rpyc.machine import RpycProtocol

__all__ = ["COMPARISONS", "REQUESTS", "RpycOperation"]

COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__"})


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


def _asking(op: int, number: int, obj: Any, *args: Any) -> messages.Request:
    """Make a request about an object of ours; about none that there is if it is not ours."""
    oid = obj.oid if isinstance(obj, (codec.Home, Kept)) else 0
    return messages.Request(number, op, oid, "", list(args))


def _named(op: int) -> Callable[..., messages.Request]:
    """Make what reads a request about an attribute."""

    def read(
        _protocol: RpycProtocol, number: int, obj: Any, name: Any, *args: Any
    ) -> messages.Request:
        request = _asking(op, number, obj, *args)
        request.name = _text(name)
        return request

    return read


def _plain(op: int, most: int = 0) -> Callable[..., messages.Request]:
    """Make what reads a request about an object, with at most so many arguments."""

    def read(_protocol: RpycProtocol, number: int, obj: Any, *args: Any) -> messages.Request:
        return _asking(op, number, obj, *args[:most])

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


def _compare(
    _protocol: RpycProtocol, number: int, obj: Any, other: Any, op: Any = "__cmp__"
) -> messages.Request:
    request = _asking(RpycOperation.COMPARE, number, obj, other)
    request.name = _text(op)
    return request


def _ping(protocol: RpycProtocol, number: int, data: Any) -> None:
    if isinstance(data, codec.Box):
        raise RemoteProtocolError("the peer pings with what is no plain value")
    protocol.answer_at_once(number, data)


def _close(_protocol: RpycProtocol, _number: int, *_args: Any) -> messages.Goodbye:
    return messages.Goodbye("")


def _root(_protocol: RpycProtocol, number: int) -> messages.Request:
    return _asking(Operation.ROOT, number, None)


def _inspect(protocol: RpycProtocol, number: int, name: Any) -> messages.Request:
    return _asking(RpycOperation.SPECIALS, number, codec.Home(protocol.lent.find(name)))


def _instance_check(protocol: RpycProtocol, number: int, obj: Any, name: Any) -> messages.Request:
    found = codec.Home(protocol.lent.find(name))
    return _asking(Operation.INSTANCE, number, obj, found)


def _call(
    _protocol: RpycProtocol, number: int, obj: Any, args: Any, kwargs: Any = ()
) -> messages.Request:
    request = _asking(Operation.CALL, number, obj, *_items(args))
    request.kwargs = _keywords(kwargs)
    return request


def _call_attribute(
    _protocol: RpycProtocol, number: int, obj: Any, name: Any, args: Any = (), kwargs: Any = ()
) -> messages.Request:
    name = _text(name)
    special = name[:2] == "__" and not kwargs
    op = Operation.SPECIAL if special else Operation.CALL
    request = _asking(op, number, obj, *_items(args))
    request.name = name
    request.kwargs = _keywords(kwargs)
    return request


REQUESTS: dict[Any, Callable[..., Any]] = {
    Handler.PING: _ping,
    Handler.CLOSE: _close,
    Handler.GETROOT: _root,
    Handler.GETATTR: _named(Operation.GET),
    Handler.DELATTR: _named(Operation.DELETE),
    Handler.SETATTR: _named(Operation.SET),
    Handler.CALL: _call,
    Handler.CALLATTR: _call_attribute,
    Handler.REPR: _plain(Operation.REPR),
    Handler.STR: _plain(Operation.STR),
    Handler.CMP: _compare,
    Handler.HASH: _plain(Operation.HASH),
    Handler.DIR: _plain(Operation.DIR),
    Handler.PICKLE: _plain(RpycOperation.PICKLE, 1),
    Handler.DEL: _plain(RpycOperation.RELEASE, 1),
    Handler.INSPECT: _inspect,
    Handler.BUFFITER: _plain(RpycOperation.TAKE, 1),
    Handler.OLDSLICING: _plain(RpycOperation.REFUSED),
    Handler.CTXEXIT: _plain(RpycOperation.LEAVE, 1),
    Handler.INSTANCECHECK: _instance_check,
}
"""By the number of a request, what reads it: from the machine, our number, and the arguments."""
