"""A protocol that is READY turns bytes into messages and messages into bytes, within the limits."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrpc.errors import LimitExceeded, NotSendable, RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol import messages
from nbrpc.protocol.codec import Description, encode
from nbrpc.protocol.machine import DECODERS, WITH_BUFFERS, State
from nbrpc.protocol.messages import Kind
from tests.protocol.ends import (
    make_client,
    make_server,
    outgoing,
    ready_pair,
    shake_hands,
    written,
)
from tests.strategies import (
    MESSAGES,
    any_messages,
    fields_of,
    mutated,
    mutations,
    pieces,
    splits,
)


def on_the_wire(message) -> tuple[str, bytes, list[bytes]]:
    """Give what can be compared of a message: its class, its bytes and its buffers."""
    buffers = [buffer.getvalue() for buffer in getattr(message, "buffers", None) or ()]
    return type(message).__name__, encode(fields_of(message)), buffers


def test_every_kind_has_a_decoder_and_a_strategy():
    """No kind of message is forgotten, here or in the machine."""
    known = set(Kind) - {Kind.HELLO, Kind.AUTH, Kind.CHUNK}
    assert set(DECODERS) == set(MESSAGES) == known
    with_buffers = {kind for kind in known if kind in WITH_BUFFERS}
    for kind in known:
        cls = getattr(messages, kind.name.capitalize())
        assert ("buffers" in cls.__struct_fields__) == (kind in with_buffers)


@given(sent=st.lists(any_messages, max_size=5), cuts=splits)
def test_any_split_gives_the_same_messages(sent, cuts):
    """Messages of every kind, with and without buffers, come whole however the bytes are cut."""
    client, server = PAIR
    data = b"".join(
        written(client, kind, fields_of(message), buffers) for kind, message, buffers in sent
    )
    received = []
    for piece in pieces(data, cuts):
        received += server.receive(piece)
    assert [on_the_wire(message) for message in received] == [
        (type(message).__name__, encode(fields_of(message)), buffers)
        for kind, message, buffers in sent
    ]


PAIR = ready_pair()


@given(data=st.binary(max_size=300), cuts=splits)
def test_arbitrary_bytes_raise_only_protocol_errors(data, cuts):
    """Garbage after authentication raises RemoteProtocolError, and the protocol is closed."""
    _, server = ready_pair()
    try:
        for piece in pieces(data, cuts):
            server.receive(piece)
    except RemoteProtocolError:
        assert server.state is State.CLOSED
        with pytest.raises(RemoteProtocolError, match="after the end"):
            server.receive(b"more")
    else:
        assert server.state is State.READY


@settings(max_examples=300)
@given(sent=st.lists(any_messages, min_size=1, max_size=4), changes=mutations)
def test_mutated_messages_raise_only_protocol_errors(sent, changes):
    """Valid streams with some bytes changed raise RemoteProtocolError or give other messages."""
    client, server = ready_pair()
    data = b"".join(
        written(client, kind, fields_of(message), buffers) for kind, message, buffers in sent
    )
    try:
        server.receive(mutated(data, changes))
    except RemoteProtocolError:
        assert server.state is State.CLOSED


def test_messages_go_both_ways(pair):
    """Client and server send the same messages."""
    client, server = pair
    assert server.receive(written(client, Kind.PING, (7,))) == [messages.Ping(7)]
    assert client.receive(written(server, Kind.PONG, (7,))) == [messages.Pong(7)]


def test_a_large_message_is_received_with_its_last_chunk(pair):
    """A megabyte travels in chunks; until it is complete large reads pay."""
    client, server = pair
    data = written(client, Kind.REPLY, (1, None), [b"x" * 1_000_000])
    assert server.receive(data[:-1]) == []
    assert server.receiving
    (reply,) = server.receive(data[-1:])
    assert not server.receiving
    assert reply.buffers[0].getvalue() == b"x" * 1_000_000


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.AUTH, 0, 18, 255])
def test_kinds_that_make_no_sense_are_refused(pair, kind):
    """Unknown kinds, and those of the handshake, end the connection."""
    _, server = pair
    with pytest.raises(RemoteProtocolError, match=f"unknown kind {int(kind)}"):
        server.receive(struct.pack("<IBBH", 0, kind, 0, 0))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.CANCEL, (1,)),
        (Kind.RELEASE, ([],)),
        (Kind.CREDIT, ("e", 1, 1)),
        (Kind.PROGRESS, (1, 0.5, None, "")),
        (Kind.PING, (1,)),
        (Kind.PONG, (1,)),
        (Kind.GOODBYE, ("",)),
        (Kind.DESCRIBE, (1, Description("m", "C", "instance", {}, (), None, ""))),
    ],
)
def test_only_messages_with_values_carry_buffers(pair, kind, fields):
    """A buffer beside a Cancel or a Ping ends the connection."""
    client, server = pair
    with pytest.raises(RemoteProtocolError, match="carries buffers"):
        server.receive(written(client, kind, fields, [b"x"]))


def test_a_body_larger_than_the_peer_takes_is_not_sent():
    """The smaller of both limits holds, and LimitExceeded says what to do."""
    client, server = make_client(limits=Limits(body=5000)), make_server()
    shake_hands(client, server)
    for protocol in (client, server):
        with pytest.raises(
            LimitExceeded, match="and the peer takes 5,000; send large data as bytes"
        ):
            protocol.encode(Kind.REPLY, (1, "x" * 5000))
    assert server.receive(written(client, Kind.REPLY, (1, "x" * 4990)))


def test_buffers_larger_than_the_peer_takes_are_not_sent():
    """The receiver's limit on buffers is known to the sender."""
    client, server = make_client(limits=Limits(buffers=1000)), make_server()
    shake_hands(client, server)
    views = [memoryview(b"x" * 501)] * 2
    with pytest.raises(LimitExceeded, match="1,002 bytes of data, and the peer takes 1,000"):
        server.check_buffers(views)
    assert server.check_buffers(views[:1]) is False
    assert client.check_buffers([memoryview(bytes(300_000))]) is True


def test_more_buffers_than_a_frame_holds_are_not_sent(pair):
    """65,536 large values raise LimitExceeded, before anything is sent."""
    client, _ = pair
    with pytest.raises(LimitExceeded, match="65,535"):
        client.check_buffers([memoryview(b"x" * 100)] * 65_536)


def test_names_with_lone_surrogates_are_not_sent(pair):
    """What UTF-8 cannot hold raises NotSendable with the name in it."""
    client, _ = pair
    with pytest.raises(NotSendable, match=r"'\\ud800bc' holds a lone surrogate"):
        client.encode(Kind.REQUEST, (1, 2, 3, "\ud800bc", []))


def test_64_kilobytes_cost_at_most_16_megabytes(pair):
    """The most memory that 64 kB of well-formed messages took is bounded."""
    _, server = pair
    body = encode((1, 5, 1, "f", [[2, [[2, []]] * 5]] * 3500))
    assert 60_000 < len(body) < 66_000
    tracemalloc.start()
    try:
        (request,) = server.receive(struct.pack("<IBBH", len(body), Kind.REQUEST, 0, 0) + body)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert len(request.args) == 3500


def test_an_end_that_failed_stays_closed(pair):
    """After an error nothing more is received, not even an empty read."""
    client, _ = pair
    with pytest.raises(RemoteProtocolError):
        client.receive(b"\xff" * 8)
    with pytest.raises(RemoteProtocolError, match="after the end"):
        client.receive(b"")
    assert outgoing(client) == b""
