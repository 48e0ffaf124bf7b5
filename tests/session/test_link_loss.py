"""Links that end: kill -9, a peer that goes away in the middle, and closing."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import nbrpc
from tests.support import eventually

SERVICE = """
import threading, time
import nbrpc

class Patient(nbrpc.Service):
    ticked = nbrpc.event()

    def exposed_hold(self):
        time.sleep(60)

    def exposed_lines(self):
        yield 1
        time.sleep(60)

    def exposed_ping(self):
        return "pong"

    def exposed_leave(self):
        import os
        os._exit(3)

    def exposed_echo(self, data):
        return data

    def exposed_nested(self, callback):
        return callback()
"""


@pytest.fixture(params=["tcp", "unix", "tls"])
def server(request, served, tmp_path):
    """Give a server of the service."""
    (tmp_path / "patient.py").write_text(SERVICE)
    ways = {"unix": ("--unix", str(tmp_path / "socket")), "tls": ("--tls-self-signed",)}
    extra = ways.get(request.param, ())
    return served("patient:Patient", *extra, folder=tmp_path)


def waiters(conn):
    """Wait for the peer in every way at once; give threads and the dict of what they got."""
    ends = {}

    def note(name, function):
        def run():
            try:
                function()
            except BaseException as error:
                ends[name] = (time.monotonic(), error)

        return threading.Thread(target=run)

    result = nbrpc.async_(conn.root.hold)()
    stream = conn.root.ticked.stream()
    lines = iter(conn.root.lines())
    assert next(lines) == 1
    threads = [
        note("call", conn.root.hold),
        note("result", result.result),
        note("future", result.future().result),
        note("exception", lambda: (_ for _ in ()).throw(result.exception())),
        note("stream", lambda: next(stream)),
        note("lines", lambda: next(lines)),
        note("ping", lambda: conn.ping(timeout=None) and conn.root.hold()),
        note("timed", lambda: nbrpc.timed(conn.root.hold, 50)().result()),
    ]
    for thread in threads:
        thread.start()
    return threads, ends


def test_kill_wakes_every_waiter(server):
    """After kill -9 of the peer everybody who waits has ConnectionLost, within 50 ms or so."""
    conn = nbrpc.connect(server.url)
    with conn:
        threads, ends = waiters(conn)
        eventually(lambda: len(conn.session.pending) >= 5)
        time.sleep(0.05)  # so that all of them sleep; a later one would raise all the same
        server.process.kill()
        killed = time.monotonic()
        for thread in threads:
            thread.join(5)
        assert set(ends) == {
            "call", "result", "future", "exception", "stream", "lines", "ping", "timed",
        }  # fmt: skip
        for name, (_, error) in ends.items():
            assert isinstance(error, nbrpc.ConnectionLost), (name, error)
            assert isinstance(error, EOFError)
        assert ends["call"][1].maybe_executed
        last = max(moment for moment, _ in ends.values()) - killed
        print(f"the last waiter was woken {last * 1000:.0f} ms after kill -9")
        assert last < 0.5
        assert len({id(error) for _, error in ends.values()}) >= 5, "each raises its own"
        begun = time.monotonic()
        with pytest.raises(nbrpc.ConnectionLost) as caught:
            conn.root.ping()
        assert time.monotonic() - begun < 0.1
        assert not caught.value.maybe_executed
        assert conn.closed


def test_a_server_that_goes_away_in_the_middle(server):
    """A call under which the server exits says which connection was lost."""
    with nbrpc.connect(server.url) as conn:
        assert conn.root.ping() == "pong"
        under_it = r"(closed the connection|broke.*); the call may have run all the same; connect"
        with pytest.raises(nbrpc.ConnectionLost, match=under_it):
            conn.root.leave()
        with pytest.raises(nbrpc.ConnectionLost, match=r"(closed the connection|broke.*); connect"):
            conn.root.ping()


def test_a_proxy_of_a_dead_connection(server):
    """It displays without an error, and every use raises ConnectionLost."""
    conn = nbrpc.connect(server.url)
    root = conn.root
    conn.close()
    assert "lost" in repr(root)
    for use in (root.ping, lambda: root.unknown, lambda: root.ticked.subscribe(print)):
        with pytest.raises(nbrpc.ConnectionLost):
            use()


def test_heartbeats_keep_an_idle_link_and_a_busy_one(linked):
    """Neither silence nor a long call ends a link whose peer answers pings."""

    class Slow(nbrpc.Service):
        def exposed_work(self, seconds):
            time.sleep(seconds)
            return "done"

    conn = linked(Slow, client={"timing": nbrpc.Timing(heartbeat=0.1, silent_after=0.4)})
    assert conn.root.work(1.0) == "done"
    assert not conn.closed
    assert conn.session.round_trip is not None


def test_close_while_others_wait(linked):
    """Closing is no conversation: who waits is freed at once."""
    gate = threading.Event()

    class Hold(nbrpc.Service):
        def exposed_hold(self):
            gate.wait(10)

    conn = linked(Hold)
    outcome = []

    def call():
        try:
            conn.root.hold()
        except nbrpc.ConnectionLost as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    eventually(lambda: conn.session.pending and conn.session.waiters)
    begun = time.monotonic()
    conn.close()
    thread.join(5)
    assert time.monotonic() - begun < 0.5
    assert "closed on this side" in str(outcome[0])
    conn.close()
    gate.set()


def test_the_service_learns_of_the_end(serving, connecting):
    """on_connect and on_disconnect are called once each, with the connection."""
    seen = []

    class Watcher(nbrpc.Service):
        def on_connect(self, conn):
            seen.append(("on", conn))

        def on_disconnect(self, conn):
            seen.append(("off", conn))

    server = serving(Watcher)
    conn = connecting(server)
    conn.ping()
    conn.close()
    eventually(lambda: len(seen) == 2)
    assert [name for name, _ in seen] == ["on", "off"]
    assert seen[0][1] is seen[1][1]


def test_the_client_service_learns_of_the_end(serving):
    """The connecting side's service is told as well, whatever its hook raises."""
    seen = []

    class Mine(nbrpc.Service):
        def on_connect(self, conn):
            seen.append("on")

        def on_disconnect(self, conn):
            seen.append("off")
            raise ValueError("mine")

    server = serving(list)
    with nbrpc.connect(server.url, service=Mine, token=server.token) as conn:
        conn.ping()
        assert seen == ["on"]
    eventually(lambda: seen == ["on", "off"])


def test_the_callback_of_a_background_thread(serving):
    """BgServingThread tells of the end, even one that stops itself then."""
    server = serving(list)
    told = threading.Event()
    with nbrpc.connect(server.url, token=server.token) as conn:
        background = nbrpc.BgServingThread(conn, callback=lambda: (background.stop(), told.set()))
        server.close()
        assert told.wait(5)


def test_a_peer_that_sends_rubbish(serving, connecting):
    """Bytes that are no message end that connection with a reason, and no other."""
    server = serving(list)
    conn, other = connecting(server), connecting(server)
    conn.ping()
    conn.session.transport.send([b"\xff" * 64])
    with pytest.raises(nbrpc.ConnectionLost):
        conn.ping()
    assert other.ping() < 1


def test_a_reset_connection(serving, connecting):
    """A connection that the peer resets is lost like any other."""
    server = serving(list)
    conn = connecting(server)
    conn.ping()
    sock = next(iter(server.connections)).session.transport._socket
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    next(iter(server.connections)).session.transport.abandon()
    with pytest.raises(nbrpc.ConnectionLost):
        conn.ping()


def test_who_closed_it_is_told_right(serving, connecting):
    """The peer's answer to a goodbye may be quicker than the rest of `close`."""
    server = serving(list)
    for _ in range(50):
        conn = connecting(server)
        conn.ping()
        conn.close()
        with pytest.raises(nbrpc.ConnectionLost, match="closed on this side"):
            conn.ping()
