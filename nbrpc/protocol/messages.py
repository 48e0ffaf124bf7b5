"""Every message of the native wire, one struct each.

Messages are array-like: the field order below is the order on the wire, and a later version may
append fields. ``seq`` numbers the requests of one direction, from 1; 0 is "none".
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import msgspec

from nbrpc.protocol.codec import Ancestor, Description, Value

__all__ = [
    "Auth",
    "Cancel",
    "Credit",
    "Describe",
    "Error",
    "Event",
    "Failure",
    "Goodbye",
    "Hello",
    "Items",
    "Kind",
    "Operation",
    "Output",
    "Ping",
    "Pong",
    "Progress",
    "Release",
    "Reply",
    "Request",
]


class Kind(enum.IntEnum):
    """The kind byte of a frame."""

    HELLO = 1
    AUTH = 2
    REQUEST = 3
    REPLY = 4
    FAILURE = 5
    CANCEL = 6
    RELEASE = 7
    EVENT = 8
    CREDIT = 9
    PROGRESS = 10
    OUTPUT = 11
    ITEMS = 12
    PING = 13
    PONG = 14
    GOODBYE = 15
    CHUNK = 16
    DESCRIBE = 17


class Operation(enum.IntEnum):
    """What a request asks for; the numbers are the wire's."""

    ROOT = 1
    """The object that the peer serves."""
    GET = 2
    """Read the attribute at ``name`` (dots allowed)."""
    SET = 3
    """Write ``args[0]`` to the attribute at ``name``."""
    DELETE = 4
    """Delete the attribute at ``name``."""
    CALL = 5
    """Call the attribute at ``name``, or the object itself when ``name`` is empty."""
    SPECIAL = 6
    """Use the special method ``name`` on the object."""
    DIR = 7
    """The names that this peer may see."""
    STR = 8
    REPR = 9
    HASH = 10
    OBTAIN = 11
    """The object, or the attribute at ``name``, by value."""
    STREAM = 12
    """Iterate; items arrive as `Items` under credit ``args[0]``, the reply ends them."""
    INSTANCE = 13
    """Whether ``args[0]`` is an instance of the object."""
    SUBSCRIBE = 14
    """Subscribe to the event ``name``; ``args`` are channel, policy, maxsize."""
    UNSUBSCRIBE = 15
    DESCRIBE = 16
    """Documentation and members of the object, or of the attribute at ``name``; or its keys."""
    NAMES = 17
    """The names of the attributes of the instance, without running anything."""
    DISPLAY = 18
    """What a notebook shows for the object, as a MIME bundle."""
    WATCH = 19
    """Sample a getter and send it as an event."""
    IMPORT = 20
    """A module by name; needs code rights, as do the next three."""
    EVALUATE = 21
    EXECUTE = 22
    CELL = 23
    """Run a notebook cell; output arrives as `Output`."""
    COMPLETE = 24
    INSPECT = 25
    DELIVER = 26
    """Give back ``args[0]`` as an object of the receiver."""
    EXCHANGE = 27
    """Leave a context manager: ``args`` are the exception, or None."""
    SESSION = 28
    """Use the named sessions of a server: ``name`` says how."""


class Hello(msgspec.Struct, array_like=True):
    """The first message of each side, before authentication.

    ``auth`` is ``token`` or ``none``; ``server_id`` is empty from a client.
    """

    version: int
    nonce: bytes
    auth: str
    server_id: bytes
    features: list[str]
    limits: dict[str, int]


class Auth(msgspec.Struct, array_like=True):
    """Proof that the sender holds the token, and what it says of itself once that is clear."""

    proof: bytes
    about: dict[str, str]


class Request(msgspec.Struct, array_like=True):
    """Ask the peer to do something; exactly one `Reply` or `Failure` answers it.

    ``parent`` is the seq of the receiver's own request inside which this one was made, or 0.
    ``timeout`` is what is left of the caller's deadline in seconds.
    """

    seq: int
    op: int
    oid: int
    name: str
    args: list[Value]
    kwargs: dict[str, Value] | None = None
    parent: int = 0
    timeout: float | None = None
    buffers: None = None


class Reply(msgspec.Struct, array_like=True):
    """The result of a request."""

    seq: int
    value: Value
    buffers: None = None


class Error(msgspec.Struct, array_like=True):
    """An exception on the wire.

    ``ancestry`` begins with the class itself; a builtin exception and one of nbrpc have none.
    ``number`` names the exception of the sender, who keeps it while it may come back; ``home`` is
    the number that the receiver gave it.
    """

    type_name: str
    args: list[Value]
    text: str
    message: str = ""
    notes: list[str] = []
    attributes: dict[str, Value] = {}
    cause: "Error | None" = None
    context: "Error | None" = None
    members: "list[Error]" = []
    hops: int = 1
    ancestry: tuple[Ancestor, ...] = ()
    number: int = 0
    home: int = 0


class Failure(msgspec.Struct, array_like=True):
    """A request ended in an exception."""

    seq: int
    error: Error
    buffers: None = None


class Cancel(msgspec.Struct, array_like=True):
    """Stop working on a request."""

    seq: int


class Release(msgspec.Struct, array_like=True):
    """Give references back: pairs of oid and count, flat."""

    counts: list[int]


class Describe(msgspec.Struct, array_like=True):
    """What proxies of a class look like; comes before the first reference that names ``key``."""

    key: int
    description: Description


class Event(msgspec.Struct, array_like=True, dict=True):
    """One event of a subscription; ``dropped`` counts what the sender has dropped so far."""

    channel: int
    args: list[Value]
    dropped: int = 0
    ended: Error | None = None
    buffers: None = None
    size: ClassVar[int] = 0
    """Its bytes; noted on each by who receives it, in the dict that it has for this."""


class Credit(msgspec.Struct, array_like=True):
    """More may be sent.

    ``kind`` is ``e`` (event channel), ``s`` (stream of that seq), or ``m``: the segment of shared
    memory with that number was opened, and its sender may let go of it.
    """

    kind: str
    channel: int
    amount: int


class Progress(msgspec.Struct, array_like=True):
    """How far a request is."""

    seq: int
    done: float
    total: float | None
    text: str


class Output(msgspec.Struct, array_like=True):
    """Something that a running cell printed or displayed."""

    seq: int
    kind: str
    content: Value
    buffers: None = None


class Items(msgspec.Struct, array_like=True):
    """The next items of a stream."""

    seq: int
    items: list[Value]
    buffers: None = None


class Ping(msgspec.Struct, array_like=True):
    """Ask for a `Pong`."""

    number: int


class Pong(msgspec.Struct, array_like=True):
    """Answer a `Ping`."""

    number: int


class Goodbye(msgspec.Struct, array_like=True):
    """The sender closes the connection, and why."""

    reason: str


Message = Any
"""One of the structs above."""
