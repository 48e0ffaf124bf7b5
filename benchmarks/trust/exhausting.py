"""What is sent to exhaust a server: inputs of at most 64 kB, each made to cost much.

Each is the bytes of one kind of input, on the native wire before and after authentication and on
RPyC's. They fill the 64 kB where they can, so that what they cost can be compared with their size.
"""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import pyarrow

from nbrpc.protocol import handshake
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER, TRANSFER, frame
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc import brine_tags as tags

__all__ = ["MOST", "Inputs", "after_authentication", "before_authentication", "on_rpycs_wire"]

MOST = 64 * 1024
"""Bytes of an input at most."""

ROOM = 60_000
"""Bytes of its one value, about."""

COLLIDING = 2**61 - 1
"""All multiples of it have the same hash."""

Inputs = dict[str, bytes]

NIL = b"\xc0"


def _array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4)


def _repeated(unit: bytes, room: int = ROOM) -> bytes:
    """Give a list of as many values as there is room for."""
    count = room // len(unit)
    return b"\x92\x03" + _array(count) + unit * count


def _listed(units: Iterable[bytes]) -> bytes:
    """Give the list of these values, as far as there is room."""
    taken, size = [], 0
    for unit in units:
        size += len(unit)
        if size > ROOM:
            break
        taken.append(unit)
    return b"\x92\x03" + _array(len(taken)) + b"".join(taken)


def _scalar(kind: str, text: str) -> bytes:
    return encode((8, kind, text))


def _ints(count: int) -> bytes:
    """Give so many ints, all of one hash, as a list of values."""
    multiples = [encode(number * COLLIDING) for number in range(1, 5)]
    large = [_scalar("int", f"{number * COLLIDING:x}") for number in range(5, count + 1)]
    return _array(count) + b"".join((multiples + large)[:count])


def _description(members: dict[str, str], name: str = "A") -> tuple[Any, ...]:
    return ("m", name, "instance", members, (), None, "")


def _values() -> dict[str, bytes]:
    """Give values, as msgpack."""
    units = {
        "nulls": NIL, "floats": b"\xcb" + bytes(8), "empty tuples": b"\x92\x02\x90",
        "empty lists": b"\x92\x03\x90", "empty sets": b"\x92\x04\x90",
        "frozen sets": b"\x92\x05\x90", "empty maps": b"\x92\x06\x80",
        "filled maps": b"\x92\x06\x81\xa0\xc0", "empty pairs": b"\x93\x07\x90\x90",
        "filled pairs": b"\x93\x07\x91\x01\x91\xc0", "sets of one": b"\x92\x04\x91\x01",
        "empty texts": b"\xa0", "empty bytes": encode((1, "b", -1, b"")),
        "byte arrays": encode((1, "a", -1, b"")), "slices": encode((9, "s", 0, 2**62, 1)),
        "ranges": encode((9, "r", 0, 2**62, 1)), "short ints": _scalar("int", "f" * 20),
        "decimals": _scalar("decimal", "1E+999999999"), "fractions": _scalar("fraction", "1/3"),
        "datetimes": _scalar("datetime", "2025-01-01T00:00:00+00:01"),
        "timedeltas": _scalar("timedelta", "1,1,1"), "uuids": _scalar("uuid", "0" * 32),
        "paths": _scalar("posix", "a/b"), "complex": _scalar("complex", "0x1p0,0x1p0"),
        "own objects": encode((15, 1, "")), "arrays of none": encode((11, "<f8", [0], -1, b"")),
        "arrays of large items": encode((11, "<U99999999", [0], -1, b"")),
        "numpy scalars": encode((11, "<i8", None, -1, bytes(8))),
        "lies about shapes": encode((11, "|u1", [2**40], -1, b"")),
        "shapes of 64 sizes": encode((11, "|u1", [1] * 64, -1, b"\0")),
    }  # fmt: skip
    made = {name: _repeated(unit) for name, unit in units.items()}
    classes = (encode((14, n, n, _description({"f": "method"}))) for n in itertools.count(1))
    large = [_scalar("int", f"{number * COLLIDING:x}") for number in range(9, 709)]
    members = {f"f{number}": "method" for number in range(4_000)}
    made |= {
        "nested tuples": b"\x92\x02\x91" * (ROOM // 3) + NIL,
        "nested lists": b"\x92\x03\x91" * 62 + _repeated(b"\x92\x02\x90"),
        "nested maps": b"\x92\x06\x81\xa0" * (ROOM // 4) + NIL,
        "length of a list": b"\x92\x03" + _array(2**32 - 1) + NIL * ROOM,
        "length of bytes": b"\x94\x01\xa1b\xff\xc6" + b"\xff" * 4 + bytes(ROOM),
        "length of a map": b"\x92\x06\xdf" + b"\xff" * 4 + b"\xa0\xc0" * (ROOM // 2),
        "text": encode("\U0001f600" * (ROOM // 4)),
        "text that widens": encode("x" * (ROOM - 4) + "\U0001f600"),
        "a long int": _scalar("int", "f" * ROOM),
        "a long decimal": _scalar("decimal", "9" * ROOM),
        "a long fraction": _scalar("fraction", "f" * 20_000 + "/" + "d" * 19_000),
        "a long path": _scalar("posix", "a/" * (ROOM // 2)),
        "a long datetime": _scalar("datetime", "2025-01-01T" + "0" * ROOM),
        "a long timedelta": _scalar("timedelta", "9" * 4_000 + ",1,1"),
        "a long dtype": encode((11, "<U" + "9" * ROOM, [0], -1, b"")),
        "a set of colliding ints": b"\x92\x04" + _ints(1_000),
        "more colliding ints": b"\x92\x05" + _ints(2_200),
        "a dict of colliding ints": b"\x93\x07" + _ints(1_000) + _array(1_000) + NIL * 1_000,
        "colliding tuples": b"\x92\x04" + _array(len(large)) + b"".join(
            b"\x92\x02\x92\x01" + number for number in large
        ),
        "many classes": _listed(classes),
        "a large class": encode((14, 1, 1, _description(members))),
        "an arrow table that did not come": encode((12, "arrow", 0)),
        "kinds that are none": _repeated(b"\x92\x63\x90"),
    }  # fmt: skip
    return made


def _request(seq: int, op: int, oid: int, name: str, args: bytes, *rest: Any) -> bytes:
    """Give a request whose arguments are bytes already."""
    parts = [b"%c" % (0x95 + len(rest)), *map(encode, (seq, op, oid, name)), args]
    return b"".join(frame(Kind.REQUEST, b"".join([*parts, *map(encode, rest)])))


def _requests(many: Iterable[tuple[int, int, str, bytes]]) -> bytes:
    """Give as many requests as there is room for."""
    taken, size = [], 0
    for seq, (op, oid, name, args) in enumerate(many, 1000):
        request = _request(seq, op, oid, name, args)
        size += len(request)
        if size > ROOM:
            break
        taken.append(request)
    return b"".join(taken)


def _nulls() -> memoryview:
    """Give an Arrow stream of many rows and no data."""
    table = pyarrow.table({"a": pyarrow.nulls(10**9)})
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return memoryview(sink.getvalue())


def after_authentication(root: int) -> Inputs:
    """Give what a client may send that has been let in; ``root`` is the number of the root."""
    call = int(Operation.CALL)
    made = {
        name: _request(900, call, root, "take", b"\x91" + value)
        for name, value in _values().items()
    }
    nothing = b"\x90"
    chunked = b"".join(
        HEADER.pack(1, Kind.REQUEST, 1, 1) + NIL + struct.pack("<Q", 2**23) + TRANSFER.pack(number)
        for number in range(64)
    )
    keywords = {f"k{number}": None for number in range(8_000)}
    made |= {
        "calls": _requests((call, root, "add", b"\x92\x01\x02") for _ in itertools.count()),
        "calls that wait": _requests((call, root, "nap", b"\x91\x03") for _ in itertools.count()),
        "coroutines that wait": _requests(
            (call, root, "nap_later", b"\x91\x03") for _ in itertools.count()
        ),
        "calls of nothing": _requests((call, 77, "a", nothing) for _ in itertools.count()),
        "objects made": _requests((call, root, "make", b"\x91\x01") for _ in itertools.count()),
        "subscriptions": _requests(
            (Operation.SUBSCRIBE, root, "told", b"\x93" + encode(n) + b"\xa6latest\x01")
            for n in itertools.count(1)
        ),
        "documentation": _requests(
            (Operation.DESCRIBE, root, "", nothing) for _ in itertools.count()
        ),
        "displays": _requests((Operation.DISPLAY, root, "", nothing) for _ in itertools.count()),
        "a name of many parts": _request(900, call, root, "a." * (ROOM // 2), nothing),
        "a long name": _request(900, Operation.GET, root, "\u202e" * (ROOM // 3), nothing),
        "keywords": _request(900, call, root, "take", nothing, keywords),
        "pings": b"".join(
            b"".join(frame(Kind.PING, encode((n,)))) for n in range(ROOM // 12)
        ),
        "replies to nothing": b"".join(
            b"".join(frame(Kind.REPLY, encode((n, 1)))) for n in range(ROOM // 12)
        ),
        "events of nothing": b"".join(
            b"".join(frame(Kind.EVENT, encode((n, [None] * 100)))) for n in range(ROOM // 112)
        ),
        "cancels": b"".join(frame(Kind.CANCEL, encode((5,)))) * (ROOM // 10),
        "releases": b"".join(frame(Kind.RELEASE, encode((list(range(20_000)),)))),
        "empty buffers": HEADER.pack(1, Kind.REQUEST, 0, 8_000) + NIL + bytes(8 * 7_000),
        "small buffers": HEADER.pack(1, Kind.REQUEST, 0, 6_000) + NIL
        + struct.pack("<Q", 1) * 6_000 + b"x" * 6_000,
        "transfers": chunked + b"\0" * 1000,
        "half a body": HEADER.pack(2**20, Kind.REQUEST, 0, 0) + bytes(ROOM),
        "empty frames": HEADER.pack(0, Kind.PING, 0, 0) * (ROOM // 8),
        "arrow of a thousand million nulls": b"".join(
            frame(Kind.REQUEST, encode((900, call, root, "take", [(12, "arrow", 0)])), [_nulls()])
        ),
        "rubbish": random.Random(6).randbytes(ROOM),
    }  # fmt: skip
    return made


def before_authentication() -> Inputs:
    """Give what a client may send whom nobody knows."""
    begun = handshake.OPENING
    hello: tuple[Any, ...] = (1, bytes(32), "", b"", ["x" * 20] * 20, {})
    return {
        "rubbish first": random.Random(5).randbytes(ROOM),
        "zeros first": bytes(ROOM),
        "http": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (ROOM // 6),
        "rubbish after the opening": begun + random.Random(4).randbytes(ROOM),
        "a large hello": begun + HEADER.pack(2**31, Kind.HELLO, 0, 0) + bytes(ROOM),
        "a hello of lists": begun + b"".join(frame(Kind.HELLO, b"\x91" * 1_000)),
        "hellos": begun + b"".join(frame(Kind.HELLO, encode(hello))) * (ROOM // 700),
        "requests first": begun + _requests(
            (Operation.CALL, 1, "nap", b"\x91\x03") for _ in itertools.count()
        ),
        "buffers first": begun + HEADER.pack(0, Kind.HELLO, 0, 0xFFFF) + bytes(ROOM),
    }  # fmt: skip


def _rpyc_frame(payload: bytes, *, packed: bool = False) -> bytes:
    data = zlib.compress(payload, 9) if packed else payload
    return struct.pack(">IB", len(data), int(packed)) + data + b"\n"


EMPTY, NESTED = b"%c" % tags.EMPTY_TUPLE, b"%c" % tags.TUPLE_1


def _tuple_of(count: int) -> bytes:
    return b"%c" % tags.TUPLE_LONG + tags.U32.pack(count)


def on_rpycs_wire() -> Inputs:
    """Give what a client of RPyC may send: requests whose bodies are brine."""
    head = b"\x01"

    def request(body: bytes, *, packed: bool = False) -> bytes:
        """Give a ping of RPyC 6 that carries a value."""
        pair, one = b"%c" % tags.TUPLE_2, b"%c" % (tags.ZERO + 1)
        ping = pair + one + pair + one  # (1, (1, ...)): the number, and PING with its argument
        return _rpyc_frame(head + ping + body, packed=packed)

    def pinged(value: Any) -> bytes:
        return _rpyc_frame(head + brine.dumps((1, (1, (2, ((1, value),)))), 500))

    bomb, count = bytes(60_000_000), 15_000_000
    return {
        "a bomb of zeros": request(bomb, packed=True),
        "a bomb of tuples": request(_tuple_of(count) + EMPTY * count, packed=True),
        "a bomb of nested tuples": request(NESTED * count, packed=True),
        "a bomb of a text": _rpyc_frame(
            head + brine.dumps((1, (1, (2, ((1, "x" * count),))))), packed=True
        ),
        "brine of empty tuples": pinged(((),) * ROOM),
        "brine of nested tuples": request(NESTED * ROOM),
        "brine that lies of lengths": request(_tuple_of(2**32 - 1) + EMPTY * ROOM),
        "brine of colliding ints": pinged(frozenset(n * COLLIDING for n in range(900))),
        "more brine of colliding ints": pinged(
            frozenset(n * COLLIDING for n in range(2_600))
        ),
        "brine of a long int": pinged(int("9" * 4_000)),
        "brine of slices": pinged((slice(0, 2**62),) * 2_300),
        "brine of complex numbers": pinged((complex(1, 1),) * 3_000),
        "brine of a text": pinged("\U0001f600" * (ROOM // 4)),
        "pings of rpyc": _rpyc_frame(head + brine.dumps((1, (1, (2, ((1, "x"),)))))) * 2_000,
        "requests for the root": _rpyc_frame(head + brine.dumps((1, (3, (1, ()))))) * 2_500,
        "rubbish for rpyc": b"\0" + random.Random(3).randbytes(ROOM),
    }  # fmt: skip
