"""TLS over bytes that come in any parts: nothing is lost, forgotten or believed."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrpc.errors import AuthenticationFailed, ConnectionLost
from nbrpc.options import TLS
from nbrpc.protocol.rpyc.cutting import FrameCutter
from nbrpc.protocol.rpyc.frames import frame
from nbrpc.transports import memory
from nbrpc.transports.base import WHOLE_READ, Transport
from nbrpc.transports.certificates import client_context, own_certificate, server_context
from nbrpc.transports.records import RECORD, batches
from nbrpc.transports.sockets import SocketTransport
from nbrpc.transports.tls import TlsTransport
from tests.certificates import Issued, issue

PATIENCE = 10.0


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """Give a self-signed certificate."""
    return issue(tmp_path_factory.mktemp("certificates"), "server")


class Wire:
    """Two ends of TLS, and what is between them: bytes pass when the test moves them."""

    def __init__(self, issued: Issued) -> None:
        client, self.client_side = memory.pair()
        server, self.server_side = memory.pair()
        self.client = TlsTransport(client, client_context(TLS(ca=issued.cert)), host="localhost")
        self.server = TlsTransport(
            server, server_context(TLS(issued.cert, issued.key)), is_server=True
        )
        self.errors: list[BaseException] = []

    def shake_hands(self, size: int = 100_000) -> None:
        """Move the handshake, so many bytes at a time."""
        thread = threading.Thread(target=self._client)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not (self.client.ready and self.server.ready) and not self.errors:
            assert time.monotonic() < deadline
            self.move(self.client_side, self.server_side, size)
            assert self.server.receive(WHOLE_READ) is None
            self.move(self.server_side, self.client_side, size)
        thread.join(PATIENCE)

    def _client(self) -> None:
        try:
            self.client.shake_hands(time.monotonic() + PATIENCE)
        except BaseException as error:  # given to the test's thread
            self.errors.append(error)

    @staticmethod
    def move(source: SocketTransport, sink: SocketTransport, size: int) -> bytes:
        """Pass on at most so many bytes."""
        data = source.receive(size) or b""
        if data:
            assert sink.send([data]) == len(data)
        return data

    def close(self) -> None:
        """Close everything."""
        for end in (self.client, self.server, self.client_side, self.server_side):
            end.close()


@contextmanager
def wired(issued: Issued) -> Iterator[Wire]:
    """Give a wire whose ends have shaken hands."""
    wire = Wire(issued)
    try:
        wire.shake_hands()
        assert not wire.errors
        yield wire
    finally:
        wire.close()


def is_readable(transport: Transport) -> bool:
    """Whether a selector says that there is something to read."""
    return bool(select.select([transport.fileno()], [], [], 0)[0])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=st.lists(st.integers(1, 60_000), min_size=1, max_size=4),
    parts=st.lists(st.integers(1, 30_000), min_size=1, max_size=12),
    size=st.sampled_from([WHOLE_READ, 64 * 1024, 256 * 1024]),
)
def test_a_selector_tells_of_all_bytes(
    issued: Issued, messages: list[int], parts: list[int], size: int
) -> None:
    """However the bytes are cut on their way, one read whenever a selector wakes is enough.

    That is how the reactor reads: what stayed in the transport would wait for the next message.
    """
    data = os.urandom(sum(messages))
    with wired(issued) as wire:
        view = memoryview(data)
        for length in messages:
            assert wire.client.send([view[:length]]) == length
            view = view[length:]
        received = b""
        turn = 0
        while True:
            moved = wire.move(wire.client_side, wire.server_side, parts[turn % len(parts)])
            turn += 1
            while is_readable(wire.server):
                received += wire.server.receive(size) or b""
            if not moved and not is_readable(wire.client_side):
                break
        assert received == data
        assert wire.server.receive(size) is None


@pytest.mark.parametrize("size", [1, 7, 5_000])
def test_small_reads_lose_nothing(issued: Issued, size: int) -> None:
    """Who asks for less than a record gets the rest with the next reads."""
    data = os.urandom(20_000)
    with wired(issued) as wire:
        wire.client.send([data])
        while wire.move(wire.client_side, wire.server_side, 100_000):
            pass
        received = b""
        while part := wire.server.receive(size):
            assert len(part) <= size
            received += part
        assert received == data


@pytest.mark.parametrize("size", [20, 100, 3_000])
def test_a_handshake_in_small_parts(issued: Issued, size: int) -> None:
    """It goes on with whatever has come."""
    wire = Wire(issued)
    try:
        wire.shake_hands(size)
        assert not wire.errors
        assert wire.client.ready
        assert wire.server.ready
    finally:
        wire.close()


@pytest.mark.parametrize("at", [0, 3, 5, 40, -1])
def test_a_changed_byte_ends_the_connection(issued: Issued, at: int) -> None:
    """What was touched on the way is never given to the caller."""
    with wired(issued) as wire:
        wire.client.send([b"x" * 100])
        data = bytearray(wire.client_side.receive(100_000) or b"")
        data[at] ^= 1
        wire.server_side.send([bytes(data) + b"\0" * RECORD])
        with pytest.raises(ConnectionLost, match="broke"):
            wire.server.receive(WHOLE_READ)


def test_the_end_without_a_word(issued: Issued) -> None:
    """A line that is cut is the end of the bytes, like one that was closed."""
    with wired(issued) as wire:
        wire.server_side.close()
        assert wire.server.receive(WHOLE_READ) == b""
        assert wire.server.wait_receive(WHOLE_READ) == b""


def test_the_handshake_is_bounded(issued: Issued) -> None:
    """A client that sends and sends before TLS is set up is not listened to for ever."""
    wire = Wire(issued)
    record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + b"x" * (16_384 - 4)
    try:

        def flood() -> None:
            for _ in range(1_000):
                wire.server_side.send([record])
                while is_readable(wire.server):
                    assert wire.server.receive(WHOLE_READ) is None

        with pytest.raises(ConnectionLost, match=r"TLS handshake"):
            flood()
    finally:
        wire.close()


def test_a_server_that_is_another(issued: Issued, tmp_path: Path) -> None:
    """The fingerprint is compared when the handshake is over, before anything is sent."""
    wire = Wire(issued)
    other = issue(tmp_path, "other")
    wire.client._fingerprint = other.fingerprint
    try:
        wire.shake_hands()
        assert isinstance(wire.errors[0], AuthenticationFailed)
    finally:
        wire.close()


def test_a_contexts_own_certificate(issued: Issued) -> None:
    """It is the one that clients are shown."""
    context = server_context(TLS(issued.cert, issued.key))
    from cryptography.hazmat.primitives.serialization import Encoding

    assert own_certificate(context) == issued.certificate.public_bytes(Encoding.DER)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8),
    factor=st.sampled_from([1, 50, 400]),
    skip=st.integers(0, 2_000),
)
def test_records_hold_what_was_sent(pieces: list[bytes], factor: int, skip: int) -> None:
    """Joined again they are the pieces, less what is left out; none is longer than TLS allows."""
    grown: list[bytes | memoryview] = [memoryview(piece * factor) for piece in pieces]
    data = b"".join(grown)
    records = [record for batch in batches(grown, min(skip, len(data))) for record in batch]
    assert b"".join(records) == data[min(skip, len(data)) :]
    assert all(0 < len(record) <= RECORD for record in records)


@given(
    payloads=st.lists(st.binary(max_size=40_000), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 20_000), max_size=8),
)
def test_frames_of_rpyc_have_records_of_their_own(payloads: list[bytes], cuts: list[int]) -> None:
    """Wherever the writes are cut, no record holds bytes of two frames."""
    frames = [b"".join(frame(payload)) for payload in payloads]
    data = b"".join(frames)
    cutter = FrameCutter()
    ends, at = set(), 0
    for length in [*cuts, len(data)]:
        part = data[at : at + length]
        if not part:
            break
        for record in (record for batch in batches([part], 0, cutter.cut) for record in batch):
            at += len(record)
            ends.add(at)
            assert len(record) <= RECORD
    position = 0
    for each in frames:
        position += len(each)
        assert position in ends
    assert at == len(data)


def test_a_short_pipe_keeps_the_order(issued: Issued) -> None:
    """Through buffers that are nearly always full, what arrives is what was taken, to the byte."""
    left, right = socket.socketpair()
    for sock in (left, right):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_608)
    client = TlsTransport(
        SocketTransport(left, "memory://left"),
        client_context(TLS(ca=issued.cert)),
        host="localhost",
    )
    server = TlsTransport(
        SocketTransport(right, "memory://right"),
        server_context(TLS(issued.cert, issued.key)),
        is_server=True,
    )
    thread = threading.Thread(target=client.shake_hands, args=(time.monotonic() + PATIENCE,))
    thread.start()
    while not server.ready:
        assert server.wait_receive(WHOLE_READ) is None
    thread.join(PATIENCE)
    data = os.urandom(3_000_000)
    received = bytearray()
    deadline = time.monotonic() + PATIENCE
    view = memoryview(data)
    try:
        while len(received) < len(data):
            assert time.monotonic() < deadline
            if view:
                # The rest is offered again, as pieces of other lengths.
                taken = client.send([view[:10], view[10:50_000]] if len(view) > 10 else [view])
                view = view[taken:]
            while part := server.receive(WHOLE_READ):
                received += part
        assert received == data
    finally:
        client.close()
        server.close()
