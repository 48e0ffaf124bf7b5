"""The tool that breaks links for the other tests: each fault does what it says, and no more."""

from __future__ import annotations

import select
import socket
import time

import pytest

import nbrpc
from tests.faults import Fault, FaultProxy
from tests.support import eventually


@pytest.fixture
def listener():
    """Give a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(10)
        yield sock


@pytest.fixture
def proxy(listener):
    """Give a proxy before it."""
    with FaultProxy(listener.getsockname()[1], seed=1) as made:
        yield made


@pytest.fixture
def ends(listener, proxy):
    """Give both ends of a link: the client's and the server's."""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            yield client, server


def receive(sock, size):
    """Read so many bytes."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return data
        data += piece
    return data


def readable(sock, seconds=0.05):
    """Say whether something comes within so many seconds."""
    return bool(select.select([sock], [], [], seconds)[0])


def test_bytes_pass_both_ways(ends, proxy):
    """Without a fault all bytes arrive, in order, and are counted."""
    data = bytes(range(256)) * 400
    for sender, receiver in (ends, ends[::-1]):
        sender.sendall(data)
        assert receive(receiver, len(data)) == data
    assert proxy.forwarded == 2 * len(data)
    assert (proxy.links, proxy.accepted) == (1, 1)


def test_an_end_is_passed_on(ends, proxy):
    """A close of one side is seen by the other; then the link is gone."""
    client, server = ends
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert receive(server, 100) == b"last words"
    server.sendall(b"answer")
    server.close()
    assert receive(client, 100) == b"answer"
    eventually(lambda: proxy.links == 0)


@pytest.mark.parametrize("fault", [Fault(largest=3), Fault(delay=0.01, jitter=0.02)])
def test_pieces_and_delays_change_no_byte(ends, proxy, fault):
    """What is split or held up is the same in the end."""
    client, server = ends
    proxy.fault = fault
    data = bytes(range(256)) * 8
    client.sendall(data)
    assert receive(server, len(data)) == data


def test_splits_are_small(ends, proxy):
    """No piece is larger than it may be."""
    client, server = ends
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    proxy.split(1)
    client.sendall(b"abcdef")
    assert server.recv(1) == b"a"
    assert receive(server, 5) == b"bcdef"


def test_a_delay_takes_its_time(ends, proxy):
    """Nothing arrives before the delay is over."""
    client, server = ends
    proxy.delay(0.2)
    begun = time.monotonic()
    client.sendall(b"late")
    assert receive(server, 4) == b"late"
    assert time.monotonic() - begun >= 0.2


def test_loss_holds_up_some(ends, proxy):
    """A lost piece comes later than the delay of others, and what follows waits for it."""
    client, server = ends
    proxy.lose(1.0, 0.2)
    begun = time.monotonic()
    client.sendall(b"1")
    assert receive(server, 1) == b"1"
    assert time.monotonic() - begun >= 0.2


def test_a_trickle_is_slow(ends, proxy):
    """A rate is kept, on average."""
    client, server = ends
    proxy.trickle(1000)
    begun = time.monotonic()
    client.sendall(bytes(300))
    receive(server, 300)
    assert time.monotonic() - begun >= 0.25


def test_a_freeze_holds_and_lets_go(ends, proxy):
    """Nothing passes, nothing is closed, and nothing is lost."""
    client, server = ends
    proxy.freeze()
    client.sendall(b"there")
    server.sendall(b"back")
    assert not readable(server)
    assert not readable(client)
    proxy.pass_through()
    assert receive(server, 5) == b"there"
    assert receive(client, 4) == b"back"


def test_a_frozen_link_fills_up(ends, proxy):
    """The sender meets a full buffer, since nobody reads."""
    client, _ = ends
    proxy.freeze()
    client.setblocking(False)
    sent = 0
    try:
        while sent < 100_000_000:
            sent += client.send(bytes(65536))
    except BlockingIOError:
        pass  # as it is to be
    assert 65536 < sent < 100_000_000


@pytest.mark.parametrize("stopped", ["to_server", "to_client"])
def test_half_open(ends, proxy, stopped):
    """One direction is dead, the other lives."""
    client, server = ends
    proxy.half_open(stopped)
    client.sendall(b"x")
    server.sendall(b"y")
    dead, alive = (server, client) if stopped == "to_server" else (client, server)
    assert readable(alive, 5)
    assert not readable(dead)
    proxy.pass_through()
    assert readable(dead, 5)


def test_cut_and_reset(ends, proxy, listener):
    """A cut is an end of the stream, a reset an error; both ends see it."""
    client, server = ends
    proxy.cut()
    assert client.recv(1) == server.recv(1) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as second:
        other, _ = listener.accept()
        with other:
            proxy.reset()
            for sock in (second, other):
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
    assert proxy.links == 0


def test_flips_spoil_some_bytes(ends, proxy):
    """As many bits are turned over as the share says; the length stays."""
    client, server = ends
    proxy.flip(0.1)
    data = bytes(10_000)
    client.sendall(data)
    got = receive(server, len(data))
    spoiled = [byte for byte in got if byte]
    assert 800 < len(spoiled) < 1200
    assert all(byte.bit_count() == 1 for byte in spoiled)


def test_refused_and_let_in_again(proxy, listener):
    """While it refuses, clients are hung up on; the server hears nothing of them."""
    proxy.refuse()
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        assert client.recv(1) == b""
    proxy.pass_through()
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(b"hello")
        server, _ = listener.accept()
        with server:
            assert receive(server, 5) == b"hello"


def test_nobody_behind_it():
    """A server that is not there is a reset for the client, as without a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with FaultProxy(port) as proxy:
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
        ):
            client.recv(1)
        eventually(lambda: proxy.links == 0)


def test_nothing_is_left(listener):
    """Closing ends the thread and both ends, whatever the fault is; twice does nothing."""
    proxy = FaultProxy(listener.getsockname()[1])
    client = socket.create_connection(("127.0.0.1", proxy.port), 10)
    server, _ = listener.accept()
    proxy.freeze()
    client.sendall(b"never read")
    proxy.close()
    proxy.close()
    assert not proxy.thread.is_alive()
    with client, server:
        assert server.recv(1) == b""
    with pytest.raises(RuntimeError, match="closed"):
        proxy.cut()


def test_calls_through_it(serving):
    """A connection of nbrpc works through a proxy, in pieces and with delays as well."""
    server = serving([1, 2, 3])
    with FaultProxy(server.port, seed=2) as proxy:
        for fault in (Fault(), Fault(largest=5), Fault(delay=0.002, jitter=0.003)):
            proxy.fault = fault
            with nbrpc.connect(proxy.url, token=server.token) as conn:
                assert len(conn.root) == 3
                assert conn.root.index(3) == 2
