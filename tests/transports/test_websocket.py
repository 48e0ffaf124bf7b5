"""WebSocket frames: read however they are cut, written as the websockets library reads them."""

from __future__ import annotations

import os
import select
import socket
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from nbrpc.errors import ConnectionLost
from nbrpc.transports.sockets import SocketTransport, accept
from nbrpc.transports.websocket import FRAME, WebSocketTransport


class Peer:
    """The other end: a plain socket, and the library to read and write its frames."""

    def __init__(self, *, is_server):
        left, self.socket = socket.socketpair()
        self.socket.settimeout(10)
        self.here = WebSocketTransport(SocketTransport(left, "tcp://here"), is_server=is_server)
        self.masks = is_server
        self.library = Protocol(CLIENT if is_server else SERVER, max_size=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.here.close()
        self.socket.close()

    def frame(self, opcode, payload=b"", *, fin=True):
        """Give the bytes of a frame of the peer."""
        return Frame(opcode, payload, fin).serialize(mask=self.masks)

    def write(self, data):
        """Send bytes as they are."""
        self.socket.sendall(data)

    def frames(self):
        """Give our frames in what can be read now; waits for some bytes."""
        self.library.receive_data(self.socket.recv(65_536))
        assert self.library.parser_exc is None
        return self.library.events_received()

    def taken(self):
        """Give what our side receives, until nothing is left."""
        received = b""
        while select.select((self.here.fileno(),), (), (), 0)[0]:
            received += self.here.receive(65_536) or b""
        return received


@pytest.fixture(params=[True, False], ids=["server", "client"])
def peer(request):
    """Give a peer of a server of ours, and of a client."""
    with Peer(is_server=request.param) as peer:
        yield peer


CONTENT = os.urandom(70_000)
SIZES = st.integers(0, 300) | st.integers(65_530, 65_540)
PIECES = st.lists(SIZES.map(lambda size: CONTENT[:size]), max_size=8)


@settings(max_examples=60)
@given(is_server=st.booleans(), pieces=PIECES, cuts=st.lists(st.integers(1, 400)), data=st.data())
def test_any_cutting_gives_the_same_bytes(is_server, pieces, cuts, data):
    """However frames are joined, cut and mixed with pings, the payload is the same."""
    with Peer(is_server=is_server) as peer:
        stream = b""
        for index, piece in enumerate(pieces):
            opcode = Opcode.CONT if index and data.draw(st.booleans()) else Opcode.BINARY
            stream += peer.frame(opcode, piece, fin=data.draw(st.booleans()))
            if data.draw(st.booleans()):
                stream += peer.frame(Opcode.PING, data.draw(st.binary(max_size=125)))
        received = b""
        while stream:
            cut = cuts.pop() if cuts else 60_000
            peer.write(stream[:cut])
            stream = stream[cut:]
            received += peer.taken()
        assert received == b"".join(pieces)


@settings(max_examples=60)
@given(is_server=st.booleans(), groups=st.lists(PIECES, max_size=4))
def test_what_is_sent_is_read_by_the_library(is_server, groups):
    """Pieces of all sizes, sent together, come out as binary frames that the library takes."""
    with Peer(is_server=is_server) as peer:
        for pieces in groups:
            group = [piece for piece in pieces if piece]
            expected = b"".join(group)
            received = b""
            while len(received) < len(expected):
                taken = peer.here.send(group) if group else 0
                while group and taken >= len(group[0]):
                    taken -= len(group.pop(0))
                if taken:
                    group[0] = memoryview(group[0])[taken:]
                received += b"".join(frame.data for frame in peer.frames())
            assert received == expected


def test_frames_are_short(peer):
    """A large message is cut, so that a proxy need not keep much of it."""
    block = os.urandom(3 * FRAME + 17)
    sizes, received, taken = [], b"", 0
    while len(received) < len(block):
        if taken < len(block):
            taken += peer.here.send([memoryview(block)[taken:]])
        for frame in peer.frames():
            sizes.append(len(frame.data))
            received += frame.data
    assert received == block
    assert max(sizes) == FRAME < 1024 * 1024


def test_a_client_masks_with_a_new_key_each_time():
    """Each frame of a client has a key of its own, and none from a server has any."""
    with Peer(is_server=False) as peer:
        peer.here.send([b"abcd"])
        peer.here.send([b"abcd"])
        first, second = peer.socket.recv(10), peer.socket.recv(10)
        assert first[:2] == second[:2] == b"\x82\x84"
        assert first[2:6] != second[2:6]
    with Peer(is_server=True) as peer:
        peer.here.send([b"abcd"])
        assert peer.socket.recv(10) == b"\x82\x04abcd"


def test_a_ping_is_answered(peer):
    """What a ping carries comes back, and the reader is told nothing."""
    peer.write(peer.frame(Opcode.PING, b"are you there"))
    assert peer.here.receive(100) is None
    (frame,) = peer.frames()
    assert (frame.opcode, frame.data) == (Opcode.PONG, b"are you there")
    peer.write(peer.frame(Opcode.PONG, b"unasked"))
    assert peer.here.receive(100) is None


def test_a_ping_inside_a_frame_is_answered_behind_it(peer):
    """While a frame is only partly sent the answer waits, and the last of many pings gets one."""
    block = memoryview(os.urandom(16 * 1024 * 1024))
    sent = 0
    while taken := peer.here.send([block[sent:]]):
        sent += taken
    for number in range(1000):
        peer.write(peer.frame(Opcode.PING, b"%d" % number))
        assert peer.here.receive(65_536) is None
    received, answers = b"", []
    while len(received) < len(block):
        for frame in peer.frames():
            if frame.opcode is Opcode.PONG:
                answers.append(frame.data)
            else:
                received += frame.data
        if sent < len(block):
            sent += peer.here.send([block[sent:]])
    assert received == block
    assert answers == [b"999"]


def test_the_length_of_a_frame_takes_no_memory(peer):
    """A frame that says it has 2**62 bytes is read as its bytes come, and nothing is kept."""
    header = struct.pack("!BBQ", 0x82, (128 if peer.masks else 0) | 127, 2**62)
    peer.write(header + bytes(4 * peer.masks))
    assert peer.here.receive(100) is None
    block = bytes(64 * 1024)
    tracemalloc.start()
    try:
        for _ in range(100):
            peer.write(block)
            received = 0
            while received < len(block):
                received += len(peer.here.receive(65_536) or b"")
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def masked(first, length, *rest):
    """Give a frame of a client whose key is zero."""
    return bytes((first, 0x80 | length)) + b"".join(rest) + bytes(4)


VIOLATIONS = {
    "text": masked(0x81, 0),
    "reserved bit": masked(0xC2, 0),
    "reserved data": masked(0x83, 0),
    "reserved control": masked(0x8B, 0),
    "cut control": masked(0x09, 0),
    "long control": masked(0x89, 126, b"\x01\x00"),
    "endless": masked(0x82, 127, b"\xff" * 8),
    "unmasked": b"\x82\x01a",
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations_end_the_connection(name):
    """What is against the protocol is not given on, and the peer is told so."""
    with Peer(is_server=True) as peer:
        peer.write(VIOLATIONS[name])
        with pytest.raises(ConnectionLost, match="does not keep to the WebSocket protocol"):
            peer.here.receive(100)
        peer.here.close()
        assert peer.socket.recv(100) == b"\x88\x02" + struct.pack("!H", 1002)


@settings(max_examples=300)
@given(data=st.binary(min_size=1, max_size=300), is_server=st.booleans())
def test_anything_is_payload_or_a_lost_connection(data, is_server):
    """Whatever bytes arrive, they are read as frames or end the connection, and nothing else."""
    with Peer(is_server=is_server) as peer:
        peer.write(b"\x82" + data)
        try:
            assert len(peer.taken()) < len(data)
        except ConnectionLost:
            pass  # as it should be


def test_a_server_that_masks_is_refused():
    """Only clients mask."""
    with Peer(is_server=False) as peer:
        peer.write(VIOLATIONS["unmasked"])
        assert peer.here.receive(100) == b"a"
        peer.write(masked(0x82, 0))
        with pytest.raises(ConnectionLost, match="protocol"):
            peer.here.receive(100)


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1000), struct.pack("!H", 1001) + b"x"])
def test_the_usual_end(peer, payload):
    """What came before it is given on, then the end, and the peer's farewell is answered."""
    peer.write(peer.frame(Opcode.BINARY, b"last words") + peer.frame(Opcode.CLOSE, payload))
    assert peer.here.receive(100) == b"last words"
    assert peer.here.receive(100) is None
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.here.receive(100) == b""
    (frame,) = peer.frames()
    assert (frame.opcode, frame.data) == (Opcode.CLOSE, payload)


def test_an_end_with_a_reason(peer):
    """What the peer says of it is in the error, made fit to be shown."""
    said = "too late\x1b[31m\n\u202e".encode()
    peer.write(peer.frame(Opcode.CLOSE, struct.pack("!H", 1011) + said))
    for _ in range(2):
        with pytest.raises(ConnectionLost, match=r"closed the connection: too late\[31m \(1011\)$"):
            peer.here.receive(100)
        peer.socket.shutdown(socket.SHUT_WR)


def test_closing_resets_no_connection():
    """A frame that comes when nothing is read any more is no reason to break off our last words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        here = WebSocketTransport(accept(listener), is_server=True)
    with far:
        here.send([b"last words"])
        far.sendall(b"\x80\x80\0\0\0\0")
        select.select((here.fileno(),), (), (), 10)
        here.close()
        received = b""
        while data := far.recv(100):
            received += data
        assert received == b"\x82\x0alast words\x88\x02\x03\xe8"
        assert far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_closing_says_so(peer):
    """The peer is told that this is the end, unless it said so itself."""
    peer.here.send([b"last words"])
    peer.here.close()
    frames = peer.frames()
    assert [frame.opcode for frame in frames] == [Opcode.BINARY, Opcode.CLOSE]
    assert frames[1].data == struct.pack("!H", 1000)
