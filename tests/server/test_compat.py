"""RPyC's server classes, on the one implementation."""

from __future__ import annotations

import os
import threading

import pytest

import nbrpc
from tests.support import eventually


class Counter(nbrpc.Service):
    left = threading.Event()

    def __init__(self):
        self.value = 0

    def on_disconnect(self, conn):
        self.left.set()

    def exposed_add(self):
        self.value += 1
        return self.value

    def exposed_pid(self):
        return os.getpid()

    def exposed_leave(self):
        os._exit(1)

    def exposed_call(self, callback):
        return callback()


@pytest.fixture
def starting():
    """Start servers on threads, as RPyC's users do; close them after the test."""
    started = []

    def start(cls, *args, **kwargs):
        server = cls(*args, **kwargs)
        thread = threading.Thread(target=server.start)
        thread.start()
        started.append((server, thread))
        return server, thread

    yield start
    for server, thread in started:
        server.close()
        thread.join(5)
        assert not thread.is_alive()


def connect(server):
    """Connect with the right token."""
    return nbrpc.connect(server.url, token=server.token)


@pytest.mark.parametrize("cls", [nbrpc.ThreadedServer, nbrpc.ThreadPoolServer])
def test_one_instance_per_connection(starting, cls):
    """They make an instance of a class for each connection, as RPyC does."""
    server, _ = starting(cls, Counter, hostname="127.0.0.1", port=0, protocol_config={})
    with connect(server) as first, connect(server) as second:
        assert (first.root.add(), first.root.add(), second.root.add()) == (1, 2, 1)


def test_the_sizes_of_a_pool_are_accepted(starting):
    """RPyC's arguments of the pool are taken."""
    server, _ = starting(nbrpc.ThreadPoolServer, Counter, nbThreads=3, requestBatchSize=5)
    with connect(server) as conn:
        assert conn.root.add() == 1


def test_protocol_config(starting):
    """RPyC's configuration keys work; an unknown one is named."""

    class Open:
        value = 5

        def method(self):
            return 6

        def exposed_x(self):
            return 7

    server, _ = starting(nbrpc.ThreadedServer, Open, protocol_config={"allow_public_attrs": True})
    with connect(server) as conn:
        assert (conn.root.value, conn.root.method(), conn.root.x()) == (5, 6, 7)
    with pytest.raises(ValueError, match="unknown configuration key 'allow_evrything'"):
        nbrpc.ThreadedServer(Open, protocol_config={"allow_evrything": True})


def test_a_unix_socket(starting, tmp_path):
    """RPyC's ``socket_path`` is a Unix socket, which needs no token."""
    path = tmp_path / "socket"
    server, _ = starting(nbrpc.ThreadedServer, Counter, socket_path=str(path))
    with nbrpc.connect(f"unix://{path}") as conn:
        assert conn.root.add() == 1
    assert server.token is None


def test_a_registrar_is_there_under_rpycs_names():
    """What is of a later release says so."""
    with pytest.raises(NotImplementedError, match="under RPyC's names only"):
        nbrpc.ThreadedServer(Counter, auto_register=True)


def test_one_shot(starting):
    """It serves one client, lets nobody else in, and ends with that connection."""
    server, thread = starting(nbrpc.OneShotServer, Counter)
    with pytest.raises(nbrpc.AuthenticationFailed):
        nbrpc.connect(server.url, token="wrong")
    with connect(server) as conn:
        assert conn.root.add() == 1
        with pytest.raises(nbrpc.ConnectFailed, match="nothing listens"):
            connect(server)
        assert conn.root.add() == 2
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()
    assert not server.active


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestForking:
    """Each connection in a child process of its own."""

    def test_each_connection_has_a_process(self, starting):
        """State is a connection's own; callbacks, events and errors work as ever."""
        server, _ = starting(nbrpc.ForkingServer, Counter)
        with connect(server) as first, connect(server) as second:
            pids = {first.root.pid(), second.root.pid(), os.getpid()}
            assert len(pids) == 3
            assert (first.root.add(), first.root.add(), second.root.add()) == (1, 2, 1)
            assert first.root.call(lambda: "mine") == "mine"
            with pytest.raises(nbrpc.AccessDenied):
                first.root.nothing()
            assert len(server._children) == 2
        eventually(lambda: (server._reap(), not server._children)[1])

    def test_a_child_that_dies_takes_nobody_along(self, starting):
        """The other connections and the server go on."""
        server, _ = starting(nbrpc.ForkingServer, Counter)
        with connect(server) as first, connect(server) as second:
            second.root.add()
            with pytest.raises(nbrpc.ConnectionLost):
                first.root.leave()
            assert second.root.add() == 2
            with connect(server) as third:
                assert third.root.add() == 1

    def test_a_wrong_token_ends_the_child(self, starting):
        """A client that is refused leaves no process behind."""
        server, _ = starting(nbrpc.ForkingServer, Counter)
        with pytest.raises(nbrpc.AuthenticationFailed):
            nbrpc.connect(server.url, token="wrong")
        eventually(lambda: (server._reap(), not server._children)[1])
        with connect(server) as conn:
            assert conn.root.add() == 1

    def test_closing_leaves_the_children_to_their_clients(self, starting):
        """A connection outlives the server's port, and its child ends with it."""
        server, _ = starting(nbrpc.ForkingServer, Counter)
        with connect(server) as conn:
            conn.root.add()
            server.close()
            assert conn.root.add() == 2
        eventually(lambda: (server._reap(), not server._children)[1])

    def test_an_authenticator_runs_in_the_child(self, starting):
        """Credentials are found there; who is turned away leaves no process."""
        allow = [True]

        def check(sock):
            if not allow[0]:
                raise nbrpc.AuthenticationError("no")
            return sock, os.getpid()

        class Asked(nbrpc.Service):
            def on_connect(self, conn):
                self.same = conn.credentials == os.getpid()

            def exposed_same(self):
                return self.same

        server, _ = starting(nbrpc.ForkingServer, Asked, authenticator=check)
        with connect(server) as conn:
            assert conn.root.same()
        allow[0] = False
        with pytest.raises(nbrpc.ConnectFailed):
            connect(server)
        eventually(lambda: (server._reap(), not server._children)[1])
