"""Large values both ways at once, and what passes beside them."""

from __future__ import annotations

import gc
import socket
import threading
import time

import numpy as np
import pytest

import nbrpc
from nbrpc.session import shared_memory
from nbrpc.session.sending import MOST_LARGE
from nbrpc.session.session import Session
from tests.support import eventually

MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def _by_the_socket(monkeypatch):
    """Have all go through the socket, as between two machines."""
    monkeypatch.setattr(shared_memory, "HERE", False)


class Store(nbrpc.Service):
    def __init__(self):
        self.cancelled = threading.Event()

    def exposed_echo(self, data):
        return data

    def exposed_size(self, data):
        return len(data)

    def exposed_make(self, size):
        return b"x" * size

    def exposed_swap(self, callback, size):
        """Send while the caller sends."""
        return len(callback(b"s" * size))

    @nbrpc.exposed(by_value=True)
    def array(self, n):
        return np.arange(n, dtype=float)

    def exposed_ping(self):
        return "pong"


@pytest.fixture(params=["tcp", "unix"])
def server(request, serving, tmp_path):
    """Give a server of the service."""
    options = {"path": str(tmp_path / "socket")} if request.param == "unix" else {}
    return serving(Store, **options)


@pytest.fixture
def conn(server, connecting):
    """Give a connection to the service, served in this process."""
    return connecting(server)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 3 * MEGABYTE])
def test_sizes_around_the_borders(conn, size):
    """A value of any size comes back as it was."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert conn.root.echo(data) == data
    text = "é" * (size // 2)
    assert conn.root.echo(text) == text


def both_send(conn, size, count):
    """Have both ends send so much at once, from several threads; give the seconds."""
    wrong = []

    def run(n):
        data = bytes([n]) * size
        if conn.root.swap(lambda got: data if got == b"s" * size else b"", size) != size:
            wrong.append(n)
        if conn.root.echo(data) != data:
            wrong.append(n)

    begun = time.monotonic()
    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "both ends wait for each other"
    assert wrong == []
    return time.monotonic() - begun


def test_both_ends_send_20_megabytes_at_once(conn):
    """Neither waits for the other: nothing blocks while it sends."""
    seconds = both_send(conn, 5 * MEGABYTE, 4)
    print(f"4 threads, 5 MB each way three times over: {seconds:.2f} s")
    assert conn.root.ping() == "pong"


@pytest.mark.slow
def test_both_ends_send_50_megabytes_at_once(conn):
    """The same with 50 MB in each of 6 threads."""
    print(f"6 threads with 50 MB: {both_send(conn, 50 * MEGABYTE, 6):.1f} s")


def test_calls_and_pings_pass_beside_a_large_transfer(conn):
    """While 200 MB are on their way small calls are answered soon."""
    done = threading.Event()

    def send():
        assert conn.root.size(bytes(200 * MEGABYTE)) == 200 * MEGABYTE
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: conn.statistics().bytes_sent > MEGABYTE)
    waits = []
    while not done.is_set():
        begun = time.monotonic()
        conn.ping()
        assert conn.root.ping() == "pong"
        waits.append(time.monotonic() - begun)
    sender.join(30)
    print(f"{len(waits)} pings beside 200 MB, the slowest {max(waits) * 1000:.0f} ms")
    assert len(waits) > 2
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_a_cancel_passes_a_large_transfer(conn, server):
    """A cancel reaches the other side before the data that were sent ahead of it."""
    store = server._shared
    gate = threading.Event()
    running = threading.Event()

    def hold():
        running.set()
        try:
            while not gate.wait(0.001):
                pass
        finally:
            store.cancelled.set()

    Store.exposed_hold = lambda self: hold()
    try:
        held = nbrpc.async_(conn.root.hold)()
        assert running.wait(5)
        big = nbrpc.async_(conn.root.size)(bytes(100 * MEGABYTE))
        held.cancel()
        assert store.cancelled.wait(5)
        assert not big.ready, "the cancel came after 100 MB"
        assert big.result(30) == 100 * MEGABYTE
    finally:
        gate.set()
        del Store.exposed_hold


def test_arrays(conn):
    """Arrays of 40 MB travel out of band, both ways."""
    array = conn.root.array(5 * MEGABYTE)
    assert array.nbytes == 40 * MEGABYTE
    assert array[-1] == 5 * MEGABYTE - 1
    assert conn.root.size(nbrpc.by_value(array)) == 5 * MEGABYTE


def test_too_large_is_refused_before_it_is_sent(serving, connecting):
    """Beyond the peer's limit the call raises LimitExceeded, and the connection works."""
    server = serving(Store, limits=nbrpc.Limits(buffers=MEGABYTE))
    conn = connecting(server)
    with pytest.raises(nbrpc.LimitExceeded, match="the peer takes 1,000,000"):
        conn.root.size(bytes(2 * MEGABYTE))
    assert conn.statistics().bytes_sent < MEGABYTE
    assert conn.root.ping() == "pong"


def test_a_reply_that_is_too_large(serving, connecting):
    """A reply beyond the limit becomes an error of that call."""
    conn = connecting(serving(Store), limits=nbrpc.Limits(buffers=MEGABYTE))
    with pytest.raises(nbrpc.LimitExceeded):
        conn.root.make(2 * MEGABYTE)
    assert conn.root.ping() == "pong"


def test_the_link_dies_during_a_transfer(server, connecting):
    """A transfer that is cut off raises ConnectionLost on the sending side."""
    conn = connecting(server)
    conn.root.ping()
    big = nbrpc.async_(conn.root.size)(bytes(300 * MEGABYTE))
    eventually(lambda: conn.statistics().bytes_sent > MEGABYTE)
    transport = next(iter(server.connections)).session.transport
    transport._socket.shutdown(socket.SHUT_RDWR)
    assert isinstance(big.exception(10), nbrpc.ConnectionLost)


def test_answers_that_are_not_read_are_few(linked):
    """A peer that reads nothing gets no further answers made; when it reads, all come."""
    conn = linked(Store, client={"timing": nbrpc.Timing(heartbeat=None, dead_after=None)})
    make = nbrpc.async_(conn.root.make)
    make(1).wait(10)
    (served,) = (session for session in sessions_here() if not session.connecting)
    assert conn.session.reading.acquire(timeout=5)  # whoever holds it reads, and nobody does
    try:
        results = [make(MEGABYTE) for _ in range(200)]
        eventually(lambda: served.dispatcher.held, 10)
        assert len(served.outbox.bulk) <= MOST_LARGE + 10
        assert make(1).state == "pending"
    finally:
        conn.session.reading.release()
    for result in results:
        assert len(result.result(30)) == MEGABYTE
    assert make(1).result(10) == b"x"
    eventually(lambda: not served.dispatcher.held)


def test_a_lost_link_lets_held_jobs_go(linked):
    """What was not begun for a peer that read nothing is not begun for nobody."""
    conn = linked(Store)
    make = nbrpc.async_(conn.root.make)
    make(1).wait(10)
    (served,) = (session for session in sessions_here() if not session.connecting)
    assert conn.session.reading.acquire(timeout=5)
    try:
        for _ in range(200):
            make(MEGABYTE)
        eventually(lambda: served.dispatcher.held, 10)
    finally:
        conn.session.reading.release()
        conn.close()
    eventually(lambda: served.closed and not served.dispatcher.backlog, 10)


def sessions_here():
    """Give the live sessions of this process."""
    return [
        obj
        for obj in gc.get_objects()
        if issubclass(type(obj), Session) and not obj.closed and obj.protocol.name == "nbrpc/1"
    ]
