"""The server: what it serves to whom, its life, its connection file and its figures."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Counter(nbrpc.Service):
    made = 0

    def __init__(self):
        type(self).made += 1
        self.value = 0
        self.seen = []

    def on_connect(self, conn):
        self.seen.append(conn)

    def exposed_add(self):
        self.value += 1
        return self.value


class Plain:
    """No service: any object can be served."""

    def __init__(self):
        self.items = [1, 2]
        self._hidden = 3

    def double(self, x):
        return 2 * x


@pytest.fixture(autouse=True)
def _counted():
    Counter.made = 0


def test_one_instance_for_all(serving, connecting):
    """``serve`` of a class makes one instance that all connections share."""
    server = serving(Counter)
    first, second = connecting(server), connecting(server)
    assert (first.root.add(), second.root.add()) == (1, 2)
    assert Counter.made == 1


def test_an_instance_for_each_connection(serving, connecting):
    """With per_connection=True each has its own."""
    server = serving(Counter, per_connection=True)
    first, second = connecting(server), connecting(server)
    assert (first.root.add(), second.root.add(), first.root.add()) == (1, 1, 2)
    assert Counter.made == 2


def test_any_object_is_served_with_its_public_attributes(linked):
    """A plain object needs no exposed names; what begins with an underscore stays hidden."""
    conn = linked(Plain())
    assert conn.root.double(4) == 8
    assert list(conn.root.items) == [1, 2]
    with pytest.raises(AttributeError):
        _ = conn.root._hidden


@pytest.mark.parametrize("unix", [False, True])
def test_close_ends_everything(unix, tmp_path):
    """Connections are lost, the port or path is free again, and the file is gone."""
    options = {"path": str(tmp_path / "socket")} if unix else {}
    server = nbrpc.serve(Counter(), **options)
    conn = nbrpc.connect(server.url, token=server.token)
    assert conn.root.add() == 1
    server.close()
    server.close()
    assert not server.active
    eventually(lambda: conn.closed)
    with pytest.raises(nbrpc.ConnectionLost):
        conn.root.add()
    with pytest.raises(nbrpc.ConnectFailed):
        nbrpc.connect(server.url, token="any")
    options = options or {"port": server.port}
    with nbrpc.serve(Counter(), **options) as again, nbrpc.connect(again.url, token=again.token):
        pass
    conn.close()


def test_the_connection_file(runtime_dir):
    """It is written 0600 with what a client of this user needs, and removed with the server."""
    with nbrpc.serve(Counter(), name="counter") as server:
        (path,) = runtime_dir.glob("*.json")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = json.loads(path.read_text())
        assert (content["name"], content["port"], content["token"]) == (
            "counter",
            server.port,
            server.token,
        )
        with nbrpc.connect("localhost", server.port) as conn:
            assert conn.root.add() == 1
            assert conn.name == "counter"
    assert list(runtime_dir.iterdir()) == []


def test_the_token_is_in_no_repr(serving, connecting):
    """Neither the server nor a connection shows it."""
    server = serving(Counter, token="very-secret")
    conn = connecting(server)
    shown = f"{server!r} {server.url} {conn!r} {conn.url} {conn.name} {conn.peer}"
    assert "very-secret" not in shown
    assert "very-secret" in server.url_with_token
    with nbrpc.connect(server.url_with_token) as other:
        assert "very-secret" not in f"{other!r} {other.url} {other.name}"


def test_a_service_that_refuses_to_accept(serving, connecting, caplog):
    """An error in on_connect ends that connection with a reason, and the server goes on."""

    class Picky(nbrpc.Service):
        refuse = True

        def on_connect(self, conn):
            if self.refuse:
                raise ValueError("not today")

        def exposed_ping(self):
            return "pong"

    service = Picky()
    server = serving(service)
    with pytest.raises(ConnectionError, match="failed to accept the connection"):
        connecting(server).root.ping()
    service.refuse = False
    assert connecting(server).root.ping() == "pong"
    assert "not today" in caplog.text


def test_on_connect_may_call_the_client(serving):
    """The server's hook may use what the client serves, as soon as that interacts."""

    class Asking(nbrpc.Service):
        answer = None

        def on_connect(self, conn):
            self.answer = conn.root.who()

        def exposed_answer(self):
            return self.answer

    class Me(nbrpc.Service):
        def exposed_who(self):
            return "me"

    server = serving(Asking)
    with nbrpc.connect(server.url, token=server.token, service=Me) as conn:
        assert conn.root.answer() == "me"


def test_statistics(serving, connecting):
    """The figures of a connection, and the sums of the server."""
    server = serving(Counter)
    first, second = connecting(server), connecting(server)
    for _ in range(5):
        first.root.add()
        second.root.add()
    figures = server.statistics()
    assert figures.connections == 2
    assert figures.requests_served == 12
    assert figures.bytes_received > 0
    assert figures.pending == 0
    mine = first.statistics()
    assert (mine.requests_sent, mine.requests_served, mine.pending) == (6, 0, 0)
    assert mine.imported == 1
    assert mine.round_trip is None or mine.round_trip > 0
    assert 0 < first.ping() < 1
    with pytest.raises(AttributeError):
        mine.pending = 3


def test_loopback_only_unless_told(serving):
    """A host beyond loopback needs ``insecure=True``, and the error says what to do."""
    with pytest.raises(ValueError, match=r"reachable from other machines.*insecure=True"):
        nbrpc.serve(Counter(), host="0.0.0.0")
    assert serving(Counter(), host="0.0.0.0", insecure=True).port


def test_a_port_that_is_taken(serving):
    """The error names the port."""
    server = serving(Counter)
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port} is taken by another program"):
        nbrpc.serve(Counter(), port=server.port)


BLOCKING = """
import sys, threading
import nbrpc
server = nbrpc.ThreadedServer(nbrpc.ClassicService, port=0)
print(server.url_with_token, flush=True)
try:
    server.start()
except KeyboardInterrupt:
    print("interrupted", server.active, flush=True)
"""


def test_start_blocks_until_ctrl_c():
    """``start`` serves on the main thread; Ctrl-C closes the server and is raised."""
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKING],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.STDOUT,
    )
    try:
        url = process.stdout.readline().strip()
        with nbrpc.connect(url) as conn:
            assert conn.modules.os.getpid() == process.pid
            os.kill(process.pid, signal.SIGINT)
            assert process.stdout.readline() == "interrupted False\n"
            assert process.wait(5) == 0
            eventually(lambda: conn.closed)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_start_on_another_thread_ends_with_close():
    """``start`` may run on a thread; ``close`` from anywhere ends it."""
    server = nbrpc.ThreadedServer(Counter)
    thread = threading.Thread(target=server.start)
    thread.start()
    with nbrpc.connect(server.url, token=server.token) as conn:
        assert conn.root.add() == 1
    server.close()
    thread.join(5)
    assert not thread.is_alive()


def test_many_connections_come_and_go(serving):
    """200 connections, one after the other and 50 at once: nothing is left of them."""
    server = serving(Counter)
    for _ in range(150):
        with nbrpc.connect(server.url, token=server.token) as conn:
            conn.root.add()
    conns = [nbrpc.connect(server.url, token=server.token) for _ in range(50)]
    assert [conn.root.add() for conn in conns] == list(range(151, 201))
    for conn in conns:
        conn.close()
    eventually(lambda: not server.connections)
    begun = time.monotonic()
    with nbrpc.connect(server.url, token=server.token):
        print(f"connect took {(time.monotonic() - begun) * 1000:.1f} ms")
