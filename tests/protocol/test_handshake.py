"""Who may speak: versions, tokens, proofs, and what may be sent before they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.errors import AuthenticationFailed, RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol import handshake
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import frame
from nbrpc.protocol.handshake import GREETING, OPENING
from nbrpc.protocol.machine import Foreign, Protocol, Ready, Role, State
from nbrpc.protocol.messages import Kind
from tests.protocol.ends import (
    SERVER_ID,
    TOKEN,
    make_client,
    make_server,
    outgoing,
    shake_hands,
    written,
)
from tests.strategies import mutated, mutations, pieces, splits


def message(kind: Kind, *fields) -> bytes:
    """Give one frame."""
    return b"".join(frame(kind, encode(fields)))


def hello(version=1, nonce=bytes(32), auth="token", server_id=SERVER_ID) -> bytes:
    """Give a Hello."""
    return message(Kind.HELLO, version, nonce, auth, server_id, ["streams"], {"body": 10**6})


@pytest.mark.parametrize("token", [TOKEN, None])
def test_both_ends_become_ready(token):
    """With the same token, or with none asked, both ends learn about each other."""
    client = make_client(token, about={"pid": "1"})
    server = make_server(token, about={"service": "Files"})
    for_client, for_server = shake_hands(client, server)
    assert isinstance(for_client, Ready)
    assert for_client.about == {"service": "Files"}
    assert for_server.about == {"pid": "1"}
    assert client.peer_features == set(handshake.FEATURES)
    assert client.peer_limits["body"] == Limits().body


@given(cuts=splits)
def test_any_split_of_the_handshake_is_the_same(cuts):
    """Both ends become ready however the bytes are cut, and what follows at once is not lost."""
    client, server = make_client(), make_server()
    server.receive(outgoing(client))
    client.receive(outgoing(server))
    # A request right behind the Auth, larger than anything allowed before it.
    follow = written(client, Kind.REQUEST, (1, 2, 0, "x" * 5000, []))
    received = []
    for piece in pieces(outgoing(client) + follow, cuts):
        received += server.receive(piece)
    assert [type(item).__name__ for item in received] == ["Ready", "Request"]
    received = []
    for piece in pieces(outgoing(server) + written(server, Kind.PING, (5,)) * 2, cuts):
        received += client.receive(piece)
    assert [type(item).__name__ for item in received] == ["Ready", "Ping", "Ping"]


def test_the_opening_is_cut_anywhere():
    """An opening or greeting that comes byte by byte is understood."""
    client, server = make_client(), make_server()
    for byte in outgoing(client):
        server.receive(bytes([byte]))
    for byte in outgoing(server):
        client.receive(bytes([byte]))
    shake_hands(client, server)


@pytest.mark.parametrize("wrong", [b"wrong", b"", TOKEN + b"x"])
def test_a_wrong_token_is_refused_by_the_server(wrong):
    """The server refuses, and sends no proof of its own."""
    client, server = make_client(wrong), make_server()
    server.receive(outgoing(client))
    client.receive(outgoing(server))
    with pytest.raises(AuthenticationFailed, match="token is wrong"):
        server.receive(outgoing(client))
    assert server.state is State.CLOSED
    assert server.outgoing == []


def test_a_server_without_the_token_is_refused():
    """A server that only pretends to hold the token cannot prove it."""
    client, server = make_client(), make_server(b"guess")
    server.receive(outgoing(client))
    client.receive(outgoing(server))
    outgoing(client)
    with pytest.raises(AuthenticationFailed, match="does not hold the token"):
        client.receive(message(Kind.AUTH, bytes(32), {}))
    assert client.state is State.CLOSED


def test_a_server_that_asks_for_no_token_does_not_get_one():
    """A given token is not offered to a server that asks for none: it is the wrong one."""
    client, server = make_client(), make_server(None)
    server.receive(outgoing(client))
    with pytest.raises(AuthenticationFailed, match="asks for none"):
        client.receive(outgoing(server))
    assert outgoing(client) == b""


def test_the_proofs_cover_the_channel():
    """Both ends of one TLS channel become ready; those of two that somebody joins do not."""
    one, other = b"1" * 32, b"2" * 32
    for_client, for_server = shake_hands(make_client(channel=one), make_server(channel=one))
    assert isinstance(for_client, Ready)
    assert isinstance(for_server, Ready)
    for here, there in ((one, other), (one, b""), (b"", other)):
        with pytest.raises(AuthenticationFailed, match="the token is wrong"):
            shake_hands(make_client(channel=here), make_server(channel=there))


def test_a_reflected_proof_is_refused():
    """A server that sends the client's own Hello and proof back proves nothing."""
    client = make_client()
    outgoing(client)
    client.receive(GREETING + hello())
    _, own_auth = client.outgoing
    with pytest.raises(AuthenticationFailed, match="does not hold the token"):
        client.receive(own_auth)


def test_a_reflected_conversation_is_refused():
    """A client that plays a second connection to the server against the first gets nowhere."""
    first, second = make_server(), make_server()
    first.receive(OPENING)
    second.receive(OPENING)
    # The Hello of each server goes to the other as if a client had sent it.
    hello_of_first, hello_of_second = (outgoing(end)[len(GREETING) :] for end in (first, second))
    first.receive(hello_of_second)
    second.receive(hello_of_first)
    assert first.outgoing == second.outgoing == []
    for end in (first, second):
        with pytest.raises(AuthenticationFailed):
            end.receive(message(Kind.AUTH, bytes(32), {}))


def test_a_replayed_conversation_is_refused():
    """The recorded bytes of a client that was let in are worth nothing on a new connection."""
    client, server = make_client(), make_server()
    recorded = outgoing(client)
    server.receive(recorded)
    client.receive(outgoing(server))
    answer = outgoing(client)
    recorded += answer
    server.receive(answer)
    assert server.state is State.READY
    again = make_server()
    with pytest.raises(AuthenticationFailed, match="token is wrong"):
        again.receive(recorded)


@given(changes=mutations)
def test_a_changed_conversation_is_never_accepted(changes):
    """Whatever is changed of what the client says, the server ends, or is still waiting."""
    client, server = make_client(), make_server()
    server.receive(outgoing(client))
    client.receive(outgoing(server))
    original = outgoing(client)
    changed = mutated(original, changes)
    if changed.startswith(original[:-1]):
        return  # only `about` was touched, which the proof does not cover
    try:
        server.receive(changed)
    except (RemoteProtocolError, AuthenticationFailed):
        assert server.state is State.CLOSED
    assert server.state is not State.READY


@given(data=st.binary(max_size=300), role=st.sampled_from(Role), steps=st.integers(0, 2))
def test_arbitrary_bytes_raise_only_the_two_errors(data, role, steps):
    """In every state before READY garbage raises RemoteProtocolError or AuthenticationFailed."""
    client, server = make_client(), make_server()
    protocol = client if role is Role.CLIENT else server
    if steps > 0:
        server.receive(outgoing(client))
    if steps > 1:
        client.receive(outgoing(server))
    try:
        protocol.receive(data)
    except (RemoteProtocolError, AuthenticationFailed):
        assert protocol.state is State.CLOSED
        with pytest.raises(RemoteProtocolError, match="after the end"):
            protocol.receive(b"")
    assert protocol.state is not State.READY


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "speaks HTTP, not nbrpc"),
        (b"\0\0\0\x20\0", "speaks RPyC"),
        (b"\x15\x03\x01\0\2\2\x28", "the server speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2", "does not speak nbrpc; check the port"),
        (GREETING.replace(b"\1", b"\2"), "version 2 of the protocol and this side version 1"),
        (GREETING[:-1] + b"?", "does not speak nbrpc"),
    ],
)  # fmt: skip
def test_a_client_says_who_answered(head, match):
    """Other protocols and other versions are told by their first bytes."""
    with pytest.raises(Foreign, match=match) as refused:
        make_client().receive(head)
    assert refused.value.is_rpyc is (head[:1] == b"\0")
    assert refused.value.is_tls is (head[:2] == b"\x15\x03")


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak nbrpc"),
        (b"\x16\x03\x01\x02\0\x01", "the client speaks TLS, and this server does not"),
        (OPENING[:11] + b"\2" + OPENING[12:], "version 2 of the protocol and this side version 1"),
        (OPENING[:-1] + b"\0", "does not speak nbrpc"),
    ],
)
def test_a_server_refuses_strangers_at_their_first_bytes(head, match):
    """Strangers get no answer, and nothing of what they sent is kept."""
    server = make_server()
    with pytest.raises(Foreign, match=match) as refused:
        server.receive(head)
    assert refused.value.is_http is (head[:4] == b"GET ")
    assert server.outgoing == []


def test_a_version_in_the_hello_is_told():
    """A Hello of another version gives the sentence that says what to install."""
    client = make_client()
    with pytest.raises(
        RemoteProtocolError, match=r"version 7 .* install the same release of nbrpc"
    ):
        client.receive(GREETING + hello(version=7))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_short_nonce_is_refused(size):
    """A nonce is 32 bytes."""
    with pytest.raises(RemoteProtocolError, match=f"nonce has {size} bytes"):
        make_client().receive(GREETING + hello(nonce=bytes(size)))


def test_before_authentication_only_small_frames_are_read():
    """A frame of more than 1 KiB is refused by its header, before and after the Hello."""
    for sent in (b"", hello(auth="", server_id=b"")):
        server = make_server()
        server.receive(OPENING + sent)
        with pytest.raises(RemoteProtocolError, match="limit of 1,024"):
            server.receive(b"\x01\x04\0\0\x02\0\0\0")


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.PING, Kind.AUTH, Kind.CHUNK])
def test_before_authentication_other_messages_are_refused(kind):
    """No message but the expected one is looked at."""
    server = make_server()
    server.receive(OPENING)
    with pytest.raises(RemoteProtocolError, match=r"before authentication|chunk"):
        server.receive(message(kind, 1))


def test_a_second_hello_is_refused():
    """Each end says Hello once."""
    server = make_server()
    with pytest.raises(RemoteProtocolError, match="kind 1 arrived before"):
        server.receive(OPENING + hello(auth="", server_id=b"") * 2)


def test_a_goodbye_says_why_one_is_not_let_in():
    """The reason in a Goodbye is what the client is told, at most 500 characters of it."""
    client = make_client()
    with pytest.raises(AuthenticationFailed, match=r"^full: (x)*$") as caught:
        client.receive(GREETING + message(Kind.GOODBYE, "full: " + "x" * 700))
    assert len(str(caught.value)) == 500


def test_what_an_end_says_of_itself_fits_the_handshake():
    """Long names are cut, so that a peer with the usual limits can read the Auth."""
    about = dict.fromkeys(("name", "service", "host", "pid", "version", "code"), "ü" * 500)
    about["broken"] = "\ud800"
    client, server = make_client(about=about), make_server(about=about)
    for_client, for_server = shake_hands(client, server)
    assert for_client.about == for_server.about
    assert for_client.about["name"] == "ü" * 50
    assert for_client.about["broken"] == "?"


def test_the_client_learns_who_asks_before_it_gives_the_token():
    """The token is chosen by the server's id and by what the server asks for."""
    asked = []

    def choose(server_id: bytes, auth: str) -> bytes:
        asked.append((server_id, auth))
        return TOKEN

    shake_hands(Protocol(Role.CLIENT, Limits(), choose_token=choose), make_server())
    assert asked == [(SERVER_ID, "token")]


def test_nonces_are_never_the_same():
    """Each connection has its own."""
    hellos = set()
    for _ in range(100):
        server = make_server()
        server.receive(OPENING)
        hellos.add(outgoing(server))
    assert len(hellos) == 100
