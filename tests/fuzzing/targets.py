"""What is fuzzed, each with its invariant in one sentence; a target tries one input of a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from types import SimpleNamespace

import numpy  # noqa: F401 - it is loaded for the first array, which would count as slow

from nbrpc.errors import (
    AccessDenied,
    AuthenticationFailed,
    NotSendable,
    RemoteProtocolError,
    StaleReference,
)
from nbrpc.objects.access import Policy, Right
from nbrpc.objects.failures import exception_of
from nbrpc.options import Access, Limits
from nbrpc.protocol import messages
from nbrpc.protocol.machine import State
from nbrpc.protocol.messages import Kind
from nbrpc.protocol.rpyc import brine, vinegar
from nbrpc.protocol.rpyc.cutting import FrameCutter
from nbrpc.protocol.rpyc.handlers import Dialect
from nbrpc.protocol.rpyc.machine import RpycProtocol
from nbrpc.transports.address import parse
from tests.fuzzing import wire
from tests.fuzzing.mutator import in_parts, mutated, name
from tests.objects import matrix
from tests.objects.specimens import SPECIMENS
from tests.objects.wire import End
from tests.protocol.ends import make_client, make_server, outgoing, ready_pair, written

LIMITS = Limits()
SENDER, _ = ready_pair()

NATIVE = [
    written(SENDER, Kind.REQUEST, (1, 5, 1, "a.b", [1, "x", None], {"k": 2.5}, 0, 3.0)),
    written(SENDER, Kind.REQUEST, (2, 2, 1, "f", []), [b"0123456789" * 9, b""]),
    written(SENDER, Kind.REPLY, (1, None), [b"x" * 300_000]),
    written(SENDER, Kind.FAILURE, (3, messages.Error("ValueError", [1], "text"))),
    written(SENDER, Kind.EVENT, (7, [1, 2.0], 3)),
    written(SENDER, Kind.ITEMS, (7, [1] * 20)),
    written(SENDER, Kind.OUTPUT, (7, "stdout", "told")),
    written(SENDER, Kind.RELEASE, ([1, 2, 3, 4],)),
    written(SENDER, Kind.CREDIT, ("e", 1, 10)) + written(SENDER, Kind.CANCEL, (9,)),
    written(SENDER, Kind.PROGRESS, (1, 0.5, None, "half")) + written(SENDER, Kind.PING, (1,)),
    written(SENDER, Kind.PONG, (1,)) + written(SENDER, Kind.GOODBYE, ("bye",)),
    *(written(SENDER, Kind.DESCRIBE, (key, wire.DESCRIPTIONS[key])) for key in wire.DESCRIPTIONS),
    written(SENDER, Kind.FAILURE, (3, wire.error(random.Random(5)))),
]
"""Messages as they are sent."""


def native_messages(chance: random.Random) -> None:
    """Any bytes after the handshake, in any parts, are messages or RemoteProtocolError."""
    server = make_server()
    server.reader.relax()
    server.state = State.READY
    if chance.random() < 0.3:
        fields = (1, 5, 1, "f", [wire.value(chance) for _ in range(chance.randrange(4))])
        data = written(SENDER, Kind.REQUEST, fields)
    else:
        data = b"".join(chance.choices(NATIVE, k=chance.choice((1, 1, 2, 3))))
    try:
        for part in in_parts(mutated(data, NATIVE, chance), chance):
            for message in server.receive(part):
                assert type(message).__module__ == messages.__name__
    except RemoteProtocolError:
        assert server.state is State.CLOSED


def _conversation() -> tuple[list[bytes], list[bytes]]:
    client, server = make_client(), make_server()
    said: tuple[list[bytes], list[bytes]] = [], []
    while client.outgoing or server.outgoing:
        said[0].append(outgoing(client))
        server.receive(said[0][-1])
        said[1].append(outgoing(server))
        client.receive(said[1][-1])
    return said


TO_SERVER, TO_CLIENT = _conversation()
OPENINGS = [*TO_SERVER, *TO_CLIENT, b"HTTP/1.1 200 OK\r\n", b"\x15\x03\x01\0\2\2\x28", b"\x16\3\1"]


def handshake(chance: random.Random) -> None:
    """Whatever is made of a conversation lets nobody in, and ends in one of two errors."""
    end, said = chance.choice(((make_client, TO_CLIENT), (make_server, TO_SERVER)))
    protocol = end()
    try:
        for step in said:
            for part in in_parts(mutated(step, OPENINGS, chance), chance):
                received = protocol.receive(part)
                assert received == [], "somebody was let in by a conversation of another nonce"
        assert protocol.state is not State.READY
    except (RemoteProtocolError, AuthenticationFailed):
        assert protocol.state is State.CLOSED


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + b"\0" + payload + b"\n"


def _rpyc(dialect: Dialect, kind: int, seq: int, body: object) -> bytes:
    if dialect is Dialect.RPYC5:
        return _framed(brine.dumps((kind, seq, body), 500))
    return _framed(bytes([kind]) + brine.dumps((seq, body), 500))


HOME = (3, ("a.B", 7, 1))
BODIES: list[object] = [
    (handler, (2, boxes))
    for handler in range(1, 21)
    for boxes in (
        (),
        (HOME,),
        (HOME, (1, "add")),
        (HOME, (1, ()), (1, ())),
        (HOME, (1, "add"), (1, (1, 2)), (1, (("k", 1),))),
        (HOME, (4, ("c.D", 3, 4)), (1, "__eq__")),
    )
]
ANSWERS: list[object] = [
    (1, 5), (4, ("x.Y", 1, 2)), (2, ((1, 1), (4, ("x.Y", 1, 0)))), 1, "text",
    (("builtins", "ValueError"), (1, "x"), (("errno", 2), ("strerror", "s")), "trace"),
    (("m", "E"), (), (), "<traceback denied>"),
]  # fmt: skip
RPYC = [_rpyc(dialect, 1, seq, body) for dialect in Dialect for seq, body in enumerate(BODIES)]
RPYC += [
    _rpyc(dialect, kind, 3, body) for dialect in Dialect for kind in (2, 3) for body in ANSWERS
]


def rpyc_messages(chance: random.Random) -> None:
    """Any bytes from an RPyC peer, in any parts, are messages or RemoteProtocolError."""
    protocol = RpycProtocol(LIMITS, chance.choice((None, *Dialect)))
    if chance.random() < 0.3:
        dialect = chance.choice(list(Dialect))
        body = (chance.randrange(22), (chance.randrange(5), wire.brine_value(chance)))
        data = _rpyc(dialect, chance.choice((1, 2, 3)), chance.randrange(-3, 9), body)
    else:
        data = b"".join(chance.choices(RPYC, k=chance.choice((1, 1, 2, 3))))
    try:
        for part in in_parts(mutated(data, RPYC, chance), chance):
            for message in protocol.receive(part):
                if type(message) is messages.Request:
                    assert protocol.encode(Kind.REPLY, (message.seq, None))
    except RemoteProtocolError:
        pass


BRINE = [brine.dumps(wire.brine_value(random.Random(number))) for number in range(300)]


def is_same(one: object, other: object) -> bool:
    """Whether two values are of one type and equal, all that is in them as well; NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, slice):
        return is_same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    if isinstance(one, frozenset):
        every = all(any(is_same(item, found) for found in other) for item in one)
        return len(one) == len(other) and every
    if isinstance(one, complex):
        return is_same((one.real, one.imag), (other.real, other.imag))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)  # which tells -0.0 from 0.0
    return one == other


def brine_values(chance: random.Random) -> None:
    """Any bytes are a value, which is the same again once it is written and read, or an error."""
    try:
        value = brine.loads(mutated(chance.choice(BRINE), BRINE, chance), LIMITS)
    except RemoteProtocolError:
        return
    assert is_same(brine.loads(brine.dumps(value), LIMITS), value)


def rpyc_exceptions(chance: random.Random) -> None:
    """Any value is the description of an exception, which can be sent on, or an error."""
    body = wire.brine_value(chance)
    if chance.random() < 0.7:
        body = (("builtins", "OSError"), *[wire.brine_value(chance) for _ in range(3)])
    try:
        error = vinegar.error_of(body)
    except RemoteProtocolError:
        return
    assert brine.dumps(vinegar.body_of(error, version=None))


def rpyc_cutting(chance: random.Random) -> None:
    """However bytes come, the parts are as long as all of it, and whole frames are cut alone."""
    frames = [_framed(chance.randbytes(chance.randrange(9))) for _ in range(chance.randrange(5))]
    data = b"".join(frames)
    assert FrameCutter().cut(data) == [len(frame) for frame in frames]
    cutter = FrameCutter()
    for part in in_parts(mutated(data, RPYC, chance), chance):
        assert sum(cutter.cut(part)) == len(part)


def _end() -> End:
    end = End(SENDER)
    end.lent = SimpleNamespace(plain=1, exposed_add=2)
    end.write(end.lent)
    for key, description in wire.DESCRIPTIONS.items():
        end.boxing.learn(key, description)
    return end


END = _end()


def unboxing(chance: random.Random) -> None:
    """Any structure of boxes is an object or one of the errors that a peer is told."""
    value = wire.value(chance)
    (reply,) = RECEIVER.receive(written(SENDER, Kind.REPLY, (1, value), [b"12345678"]))
    try:
        END.boxing.unbox(reply.value, reply.buffers)
    except (RemoteProtocolError, NotSendable, StaleReference, AccessDenied):
        pass


def exceptions(chance: random.Random) -> None:
    """Any description of an exception is one that ``except Exception`` catches, or an error."""
    (failure,) = RECEIVER.receive(written(SENDER, Kind.FAILURE, (1, wire.error(chance))))
    try:
        built = exception_of(
            failure.error,
            lambda value: END.boxing.unbox(value, failure.buffers),
            classes=END.boxing.errors,
        )
    except (RemoteProtocolError, NotSendable, StaleReference, AccessDenied):
        return
    assert isinstance(built, Exception)
    for text in (str(built), repr(built), type(built).__name__):
        assert "\x1b[2J" not in text


RECEIVER = make_server()
RECEIVER.reader.relax()
RECEIVER.state = State.READY

TRIED = {
    key: (about, about.make())
    for key, about in SPECIMENS.items()
    if key in {"service", "plain object", "generator", "frame", "function", "class", "sys", "list",
               "view", "exposed class", "service class", "module", "text of one's own"}
}  # fmt: skip
POLICIES = [
    (matrix.SETTINGS["service"], Policy(Access())),
    (matrix.SETTINGS["public"], Policy(Access(allow_public_attrs=True))),
    (matrix.SETTINGS["writable"],
     Policy(Access(allow_public_attrs=True, allow_setattr=True, allow_delattr=True))),
]  # fmt: skip


def access(chance: random.Random) -> None:
    """Any name is denied, or is one that the policy in plain words opens."""
    setting, policy = chance.choice(POLICIES)
    about, obj = TRIED[chance.choice(list(TRIED))]
    asked, right = name(chance), chance.choice(list(Right))
    try:
        policy.special(obj, asked)
        assert matrix.may_use(setting, about, asked), asked
    except AccessDenied:
        pass
    except TypeError:
        assert matrix.may_use(setting, about, asked), asked
    if about.is_view:
        return  # `resolve` does not ask the view, which has the last word
    try:
        real = policy.resolve(obj, asked, right)
    except AccessDenied:
        return
    assert real in {asked, f"exposed_{asked}", asked.removeprefix("exposed_")}
    if right is Right.READ:
        assert matrix.may_read(setting, about, asked), asked
    else:
        assert matrix.may_write(setting, about, asked, delete=right is Right.DELETE), asked


URLS = [
    text.encode()
    for text in (
        "nbrpc://host:18871", "nbrpcs://[::1]:1/?token=a%20b&fingerprint=sha256:" + "0" * 64,
        "unix:///run/x.sock?token=t", "rpyc5://localhost:18812", "host:1", "nbrpc://u@h:1/#f",
        "ssh://user@host:22/?python=/a%20b", "wss://h/a/b?token=t&c=d", "http://h:1/?token=%ff",
    )
]  # fmt: skip


def urls(chance: random.Random) -> None:
    """Any text is an address, whose URL is one again, or ValueError."""
    text = mutated(chance.choice(URLS), URLS, chance).decode("utf-8", "surrogateescape")
    try:
        address = parse(text)
    except ValueError:
        return
    assert parse(address.url_with_token) == address


TARGETS: dict[str, Callable[[random.Random], None]] = {
    target.__name__: target
    for target in (
        native_messages, handshake, rpyc_messages, brine_values, rpyc_exceptions, rpyc_cutting,
        unboxing, exceptions, access, urls,
    )
}  # fmt: skip
"""By their names."""
