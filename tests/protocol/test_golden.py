"""The bytes on the wire are the documented ones; they change with the protocol's version only."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import re
import struct
from pathlib import Path

import pytest

from nbrpc.objects import kinds, records, unboxing
from nbrpc.objects.values import SCALARS
from nbrpc.options import Limits
from nbrpc.protocol import codec, handshake, messages
from nbrpc.protocol.codec import Ancestor, encode
from nbrpc.protocol.frames import FrameReader, chunks, frame
from nbrpc.protocol.machine import DECODE_AUTH, DECODE_HELLO, DECODERS
from nbrpc.protocol.messages import Error, Kind, Operation
from tests.protocol.ends import TOKEN, make_client, make_server, outgoing
from tests.protocol.golden import GOLDEN

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"

HEX = re.compile(r"[0-9a-f]{2}( [0-9a-f]{2}){0,11}")


BOXES = [box for box in codec.Box.__subclasses__() if box.__module__ == codec.__name__]
"""Those of the native wire."""


def golden(name: str) -> bytes:
    """Give the bytes of an example."""
    return b"".join(bytes.fromhex(line[:36]) for line in GOLDEN[name].splitlines())


STAGE_MEMBERS = {"move": "method", "speed": "property"}
STAGE = codec.Description("lab", "Stage", "instance", STAGE_MEMBERS, ("__len__",), None, "A stage.")

TOO_HOT = Error(
    "lab.TooHot",
    [41.5],
    "Traceback ...",
    "41.5",
    attributes={"limit": 40.0},
    ancestry=(Ancestor("lab.TooHot", (1,)), Ancestor("OSError"), Ancestor("Exception")),
    number=3,
)

MESSAGES = {
    "hello": (
        Kind.HELLO,
        messages.Hello(
            1, bytes(range(32)), "token", bytes(range(64, 80)), ["streams"], {"body": 1024**2}
        ),
    ),
    "auth": (Kind.AUTH, messages.Auth(bytes(range(96, 128)), {"pid": "71"})),
    "request": (
        Kind.REQUEST,
        messages.Request(
            7, 5, 3, "a.scan", [200, codec.Bytes("b", -1, b"hi")], {"fast": True}, 0, 2.5
        ),
    ),
    "reply": (Kind.REPLY, messages.Reply(7, codec.Tuple([1, -1.5, None]))),
    "failure": (
        Kind.FAILURE,
        messages.Failure(7, Error("ValueError", ["bad"], "Traceback ...", "bad")),
    ),
    "failure of a class of the sender": (Kind.FAILURE, messages.Failure(8, TOO_HOT)),
    "cancel": (Kind.CANCEL, messages.Cancel(7)),
    "release": (Kind.RELEASE, messages.Release([3, 1, 4, 2])),
    "event": (Kind.EVENT, messages.Event(1, ["ready"])),
    "credit": (Kind.CREDIT, messages.Credit("e", 1, 500)),
    "progress": (Kind.PROGRESS, messages.Progress(7, 20.0, 200.0, "scanning")),
    "output": (Kind.OUTPUT, messages.Output(7, "stdout", "hi\n")),
    "items": (Kind.ITEMS, messages.Items(7, [1, 2])),
    "ping": (Kind.PING, messages.Ping(258)),
    "pong": (Kind.PONG, messages.Pong(258)),
    "goodbye": (Kind.GOODBYE, messages.Goodbye("done")),
    "describe": (Kind.DESCRIBE, messages.Describe(2, STAGE)),
}

REQUESTS = {
    "WATCH": (Operation.WATCH, 3, "stage.position", [1, "latest", 1, 0.5]),
    "DESCRIBE of a page": (Operation.DESCRIBE, 3, "", ["page", "items", 0, 50, "key", "a"]),
    "DISPLAY": (Operation.DISPLAY, 3, "table", []),
    "EXECUTE": (Operation.EXECUTE, 0, "x = 2", []),
    "CELL": (
        Operation.CELL,
        0,
        "y = x + 1",
        ["<remote cell>", 2, codec.Map({"x": 1}), codec.Tuple(["y"])],
    ),
    "SESSION": (Operation.SESSION, 0, "attach", ["night"]),
    "COMPLETE": (Operation.COMPLETE, 0, "", ["np.ar", 5]),
    "INSPECT": (Operation.INSPECT, 0, "", ["np.array", 8, 1]),
}
"""What requests with arguments of their own look like; without the fields that have defaults."""

VALUES = {
    "None": None,
    "True": True,
    "7": 7,
    "-1": -1,
    "300": 300,
    "1.5": 1.5,
    "text": "é",
    "Bytes": codec.Bytes("b", -1, b"\0\xff"),
    "Bytes beside the body": codec.Bytes("a", 0),
    "Bytes of a text": codec.Bytes("u", -1, "\ud800".encode("utf-8", "surrogatepass")),
    "Tuple": codec.Tuple([1, "a"]),
    "List": codec.List([True]),
    "Set": codec.Set(["a"]),
    "Frozen": codec.Frozen([2]),
    "Map": codec.Map({"x": 1}),
    "Pairs": codec.Pairs([1], ["one"]),
    "Scalar": codec.Scalar("date", str(datetime.date(2026, 11, 22))),
    "Slice": codec.Slice("s", 0, None, 2),
    "Range": codec.Slice("r", 0, 10, 2),
    "Packed": codec.Packed("q", 0),
    "Array": codec.Array("<f8", [2, 3], 0),
    "Array in the other order": codec.Array("<f8", [2, 3], 0, order="F"),
    "Array of a scalar": codec.Array("<i2", None, -1, b"\1\2"),
    "Table": codec.Table(0),
    "Registered": codec.Registered("lab.Point", [1, 2]),
    "Ref": codec.Ref(5, 2),
    "Ref with a text": codec.Ref(6, 3, "/data/run.h5"),
    "Home": codec.Home(3, "move"),
    "Made": codec.Made("collections.deque", [codec.List([1, 2]), 100]),
    "Made of a record": codec.Made(
        "record", ["Point", codec.Tuple(["x", "y"]), True, None, 1.5, 2]
    ),
    "Same": codec.List([codec.List([1]), codec.Same(1)]),
    "Parts": codec.List([codec.Parts([0, 1])]),
}


def test_nothing_is_forgotten():
    """There is an example of every kind of message and of every box."""
    assert {kind for kind, _ in MESSAGES.values()} == set(Kind) - {Kind.CHUNK}
    inside = {type(item) for value in VALUES.values() for item in getattr(value, "items", ())}
    assert {type(value) for value in VALUES.values()} | inside >= set(BOXES)
    names = {"opening", "greeting", "request with buffers", "chunks"}
    names |= set(MESSAGES) | {f"request {name}" for name in REQUESTS}
    assert set(GOLDEN) == names | {f"value {name}" for name in VALUES}


def test_the_documentation_shows_the_same():
    """Every example in docs/wire.md is one of these, comment for comment."""
    blocks = re.findall(r"```hex (.*)\n((?:.*\n)*?)```", DOCUMENT.read_text(encoding="utf-8"))
    assert {name: text.strip("\n") for name, text in blocks} == {
        name: text.strip("\n") for name, text in GOLDEN.items()
    }
    for text in GOLDEN.values():
        for line in text.strip("\n").splitlines():
            assert HEX.fullmatch(line[:36].rstrip())


def test_the_documentation_names_every_field_and_number():
    """Fields, operations and scalar kinds stand in docs/wire.md as they are in the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for operation in messages.Operation:
        assert f"| {operation.value} | {operation.name} |" in text
    for kind in Kind:
        assert f"(kind {kind.value})" in text
    for name in SCALARS:
        assert f"`{name}`" in text
    sections = re.split(r"^### ", text, flags=re.MULTILINE)
    for kind in set(Kind) - {Kind.CHUNK}:
        (section,) = (part for part in sections if f"(kind {kind.value})" in part.splitlines()[0])
        _, *fields = re.findall(r"^\| (\w+) \|", section, re.MULTILINE)
        cls = getattr(messages, kind.name.capitalize())
        expected = [name for name in cls.__struct_fields__ if name != "buffers"]
        assert fields[: len(expected)] == expected
    for number, box in enumerate(BOXES, 1):
        assert f"{number} {box.__name__}" in text


def parts_in_the_documentation() -> dict[str, list[str]]:
    """Give the parts that docs/wire.md has for each kind of Made."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = {}
    for line in text.partition("### 16 Made")[2].partition("### 17 ")[0].splitlines():
        if line.startswith("| `"):
            _, names, parts, _ = line.split("|")
            listed = [] if parts.strip() == "none" else parts.split(";")
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", names), listed)
    return found


def test_the_documentation_names_every_kind_of_made_and_its_parts():
    """The kinds of values that are made of parts stand there, each with as many parts."""
    for library in kinds.MODULES:
        with contextlib.suppress(ImportError):  # it is not installed
            kinds._load(library)
    documented = parts_in_the_documentation()
    for name in {*records.KINDS, *unboxing.MEMBERS, "exception class"}:
        assert name in documented
    assert len(kinds._by_name) > 20
    for name, kind in kinds._by_name.items():
        parts = documented[name]
        assert len(parts) == len(kind.takes), name
        assert (" ..." in "".join(parts)) is kind.more, name


def test_opening_and_greeting():
    """The first bytes of both ends."""
    assert handshake.OPENING == golden("opening") == outgoing(make_client())
    server = make_server()
    server.receive(handshake.OPENING)
    assert handshake.GREETING == golden("greeting") == outgoing(server)[:8]


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name):
    """Each message becomes these bytes, and is read from them."""
    kind, message = MESSAGES[name]
    data = golden(name)
    fields = [getattr(message, field) for field in message.__struct_fields__ if field != "buffers"]
    assert b"".join(frame(kind, encode(tuple(fields)))) == data
    ((found, body, buffers),) = FrameReader(Limits()).feed(data)
    assert (found, buffers) == (kind, [])
    decode = {Kind.HELLO: DECODE_HELLO, Kind.AUTH: DECODE_AUTH}.get(kind) or DECODERS[kind]
    assert decode(body) == message


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name):
    """The arguments of an operation become these bytes, and are read from them."""
    fields = (7, *REQUESTS[name])
    data = golden(f"request {name}")
    assert b"".join(frame(Kind.REQUEST, encode(fields))) == data
    ((_, body, _),) = FrameReader(Limits()).feed(data)
    assert DECODERS[Kind.REQUEST](body) == messages.Request(*fields)


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    """Each value becomes these bytes, and is read from them."""
    data = golden(f"value {name}")
    assert encode((7, VALUES[name])) == b"\x92\x07" + data
    assert DECODERS[Kind.REPLY](b"\x92\x07" + data) == messages.Reply(7, VALUES[name])


def test_buffers():
    """Small buffers stand behind the body, with their lengths before them."""
    buffers = [b"large data", struct.pack("<d", 1.0)]
    args = [codec.Bytes("b", 0), codec.Array("<f8", [1], 1)]
    body = encode((8, 5, 3, "f", args, None, 0, None))
    written = frame(Kind.REQUEST, body, [memoryview(buffer) for buffer in buffers])
    assert b"".join(written) == golden("request with buffers")
    ((kind, _, received),) = FrameReader(Limits()).feed(golden("request with buffers"))
    assert kind == Kind.REQUEST
    assert [buffer.getvalue() for buffer in received] == buffers


def test_chunks():
    """Large buffers follow in frames of their own."""
    body = encode((7, codec.Bytes("b", 0)))
    writes = chunks(Kind.REPLY, body, [memoryview(b"0123456789")], 9)
    assert b"".join(b"".join(write) for write in writes) == golden("chunks")
    ((kind, _, received),) = FrameReader(Limits()).feed(golden("chunks"))
    assert kind == Kind.REPLY
    assert received[0].getvalue() == b"0123456789"


@pytest.mark.parametrize("certificate", [b"", b"a certificate"])
def test_proofs(certificate):
    """A proof is the HMAC that the documentation describes, made here from the bytes alone."""
    channel = hashlib.sha256(certificate).digest() if certificate else b""
    client, server = make_client(channel=channel), make_server(channel=channel)
    opening = outgoing(client)
    server.receive(opening)
    greeting, server_hello = server.outgoing
    client.receive(outgoing(server))
    client_hello, client_auth = client.outgoing
    server.receive(outgoing(client))
    (server_auth,) = server.outgoing
    covered = opening + greeting
    for hello in (server_hello, client_hello):
        covered += struct.pack("<I", len(hello) - 8) + hello[8:]
    if certificate:
        covered += struct.pack("<I", 32) + channel
    digest = hashlib.sha256(covered).digest()
    for role, auth in ((b"client", client_auth), (b"server", server_auth)):
        expected = hmac.new(TOKEN, b"nbrpc/1 " + role + b"\0" + digest, "sha256").digest()
        assert DECODE_AUTH(auth[8:]).proof == expected


def test_the_opening_is_what_rpyc_takes_for_a_request():
    """RPyC reads two empty frames and GETROOT from the opening."""
    from rpyc.core import brine, consts

    data, frames = handshake.OPENING, []
    while data:
        length, compressed = struct.unpack("!LB", data[:5])
        assert not compressed
        frames.append(data[5 : 5 + length])
        data = data[5 + length + 1 :]
    assert frames[:2] == [b"", b""]
    assert frames[2][0] == consts.MSG_REQUEST
    boxed = (consts.LABEL_VALUE, ())
    assert brine.load(frames[2][1:]) == (0, (consts.HANDLE_GETROOT, boxed))
