"""The short ways of RPyC's machine say and read the same as the long ones."""

from __future__ import annotations

import struct
import zlib

import pytest

from nbrpc.errors import NotSendable, RemoteProtocolError, StaleReference
from nbrpc.options import Limits
from nbrpc.protocol import codec, messages
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc.frames import RpycFrameReader
from nbrpc.protocol.rpyc.handlers import Dialect
from nbrpc.protocol.rpyc.machine import MOST_BEGINNINGS, NO_REPLY, RpycProtocol
from nbrpc.protocol.rpyc.references import Held, Lent
from tests.protocol.rpyc.test_machine import client, framed, message

DIALECTS = [Dialect.RPYC5, Dialect.RPYC6]


def heard(dialect, data):
    """Give what a server makes of some bytes."""
    protocol = RpycProtocol(Limits(), dialect)
    (found,) = protocol.receive(data)
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("op", "name", "args"),
    [
        (Operation.GET, "speed", ()),
        (Operation.CALL, "", (1, "x")),
        (Operation.CALL, "move", (2.5,)),
        (Operation.SPECIAL, "__len__", ()),
    ],
)
def test_quick_requests(dialect, op, name, args):
    """A request is heard as the same whichever way it was written."""
    protocol, root = client(dialect)
    for _ in range(2):  # the second time from notes
        quick = heard(dialect, protocol.quick_request(200, op, root, name, args))
        usual = b"".join(protocol.encode(Kind.REQUEST, (200, op, root, name, list(args))))
        assert quick == heard(dialect, usual)


def test_notes_of_requests_are_few():
    """Names beyond the most are written as well, and not noted."""
    protocol, root = client()
    for number in range(MOST_BEGINNINGS + 3):
        assert protocol.quick_request(200, Operation.GET, root, f"a{number}", ())
    assert len(protocol.held.beginnings(root)) == MOST_BEGINNINGS
    with pytest.raises(StaleReference):
        protocol.quick_request(200, Operation.GET, 999, "a", ())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_quick_replies(dialect):
    """Only the whole reply to that very request is read the short way."""
    protocol, _ = client(dialect)
    data = message(dialect, 2, 200, (1, "value"))
    assert protocol.quick_reply(data, 200) == "value"
    other = RpycProtocol(Limits(), dialect)
    for wrong in (
        data[:-1],
        data + b"x",
        message(dialect, 2, 201, (1, "value")),
        message(dialect, 3, 200, (1, "value")),
        data[:4] + b"\1" + data[5:],
    ):
        assert other.quick_reply(wrong, 200) is NO_REPLY
    damaged = data.replace(b"value", b"\xff\xff\xff\xff\xff")
    with pytest.raises(RemoteProtocolError):
        protocol.quick_reply(damaged, 200)
    other.receive(data[:3])
    assert other.quick_reply(data, 200) is NO_REPLY


def test_the_names_of_the_dialects():
    """Before the first message nobody knows which it is; nothing large is on its way."""
    assert RpycProtocol(Limits()).name == "rpyc"
    assert [RpycProtocol(Limits(), dialect).name for dialect in DIALECTS] == ["rpyc/5", "rpyc/6"]
    protocol = RpycProtocol(Limits())
    assert protocol.check_buffers([memoryview(b"x" * 1_000_000)]) is False
    assert protocol.receiving is False


def test_nothing_compressed_is_nothing():
    """A compressed frame that unpacks to no bytes is an empty one, which is passed over."""
    reader = RpycFrameReader(Limits())
    packed = zlib.compress(b"")
    empty = len(packed).to_bytes(4, "big") + b"\1" + packed + b"\n"
    assert reader.feed(empty + framed(b"next")) == [b"next"]


def test_a_text_beyond_32_bits(monkeypatch):
    """What no length can count is not sent; here lengths are made as short as a byte."""
    monkeypatch.setattr(brine, "TAGGED_U32", struct.Struct(">BB"))
    with pytest.raises(NotSendable, match="4 GiB"):
        brine.dumps("x" * 300)


def test_classes_are_counted():
    """A peer that describes more classes than it may is cut off."""
    held = Held(1)
    held.ref(("a.B", 1, 5))
    held.release(1, 1)
    with pytest.raises(RemoteProtocolError, match="too many classes"):
        held.ref(("a.C", 2, 6))


def test_pings_ends_and_references_are_heard():
    """Written by one end, they are the same at the other."""
    ours, theirs = RpycProtocol(Limits(), Dialect.RPYC6), RpycProtocol(Limits(), Dialect.RPYC6)
    (ping,) = ours.encode(Kind.PING, (3,))
    assert theirs.receive(ping) == []
    assert ours.receive(theirs.outgoing.pop()) == [messages.Pong(3)]
    (asked,) = ours.receive(message(Dialect.RPYC6, 1, 8, (3, (1, ()))))
    about = codec.Description("lab", "Stage", "instance", {}, (), None, "")
    ours.lent.note_class(codec.Ref(5, 1), about, None)
    reply = b"".join(ours.encode(Kind.REPLY, (asked.seq, codec.Ref(5, 1))))
    assert theirs.receive(reply) == [messages.Reply(8, codec.Ref(1, 1))]
    assert theirs.held.class_of(1) == ("lab.Stage", False)
    assert theirs.receive(b"".join(ours.encode(Kind.GOODBYE, ("",)))) == [messages.Goodbye("")]


def test_an_instance_check_is_heard():
    """Both objects are known by their numbers."""
    asked = (20, (2, ((3, ("a.B", 7, 5)), (1, ("c.D", 9, 6)))))
    found = heard(Dialect.RPYC6, message(Dialect.RPYC6, 1, 3, asked))
    assert (found.op, found.oid, found.args) == (Operation.INSTANCE, 5, [codec.Home(6)])


def test_a_pong_is_told():
    """The answer to a ping of ours is one, whatever it says."""
    protocol, _ = client()
    assert protocol.receive(message(Dialect.RPYC6, 2, -4, (1, 3))) == [messages.Pong(3)]
    assert Lent().find(("a.B", 1, -5)) == 0
