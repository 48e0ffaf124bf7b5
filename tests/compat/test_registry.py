"""Registries and their clients, on RPyC's wire."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrpc.compat import discovery, registry
from nbrpc.compat.table import module_for
from nbrpc.protocol.rpyc import brine
from tests.compat.support import run, start
from tests.support import eventually

rpyc = module_for("rpyc")

KINDS = {
    "UDP": (registry.UDPRegistryServer, discovery.UDPRegistryClient),
    "TCP": (registry.TCPRegistryServer, discovery.TCPRegistryClient),
}


@pytest.fixture
def running(monkeypatch):
    """Start registries on threads, which look around often; end them after the test."""
    monkeypatch.setattr(registry.UDPRegistryServer, "TIMEOUT", 0.05)
    monkeypatch.setattr(registry.TCPRegistryServer, "TIMEOUT", 0.05)
    started = []

    def begin(kind="UDP", **options):
        options.setdefault("allow_listing", True)
        server = KINDS[kind][0](port=0, **options)
        thread = threading.Thread(target=server.start)
        thread.start()
        started.append((server, thread))
        return server, KINDS[kind][1]("127.0.0.1", server.port)

    yield begin
    for server, thread in started:
        server.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
class TestBothKinds:
    """By datagrams and over TCP."""

    def test_services_are_found(self, running, kind):
        """Names are told in any case, each address once, and only while it is registered."""
        _, client = running(kind)
        assert client.register(("Stage", "motion"), 5001)
        assert client.register(("STAGE",), 5002)
        assert client.register(("STAGE",), 5002)
        assert client.discover("stage") == (("127.0.0.1", 5001), ("127.0.0.1", 5002))
        assert client.discover("nothing") == ()
        assert set(client.list()) == {"STAGE", "MOTION"}
        assert client.list("127.0.0.1") == client.list()
        client.unregister(5001)
        eventually(lambda: client.discover("MOTION") == ())
        assert client.discover("stage") == (("127.0.0.1", 5002),)

    def test_listing_is_allowed_on_purpose(self, running, kind):
        """Unless it is, a client is told nothing, and rpyc.list_services says so."""
        _, client = running(kind, allow_listing=False)
        client.register(("A",), 1)
        assert client.list() is None
        with pytest.raises(rpyc.utils.factory.ForbiddenError):
            rpyc.list_services(client)

    def test_nobody_there(self, kind):
        """A client of no registry finds nothing, in its time."""
        client = KINDS[kind][1]("127.0.0.1", 1, timeout=0.2)
        assert client.discover("x") == ()
        assert client.list() == ()
        assert client.register(("x",), 1) is False

    def test_connecting_by_service(self, running, kind):
        """A server registers itself while it runs, and is found and connected to by its name."""

        class StageService(rpyc.Service):
            def exposed_name(self):
                return "stage"

        _, client = running(kind)
        server = rpyc.ThreadedServer(StageService, registrar=client)
        thread = server._start_in_thread()
        eventually(lambda: client.discover("STAGE"))
        assert rpyc.discover("stage", registrar=client) == [("127.0.0.1", server.port)]
        assert rpyc.list_services(client) == ("STAGE",)
        with rpyc.connect_by_service("stage", registrar=client) as conn:
            assert conn.root.name() == "stage"
        with pytest.raises(rpyc.utils.factory.DiscoveryError):
            rpyc.connect_by_service("nothing", registrar=client)
        server.close()
        thread.join(5)
        assert not thread.is_alive()
        eventually(lambda: client.discover("STAGE") == ())

    @pytest.mark.parametrize(("server", "client"), [("ours", "stock"), ("stock", "ours")])
    def test_with_stock_rpyc(self, kind, server, client):
        """Either end may be RPyC's own."""
        answers = []
        for names in ((server, client), ("stock", "stock")):
            process, port = start("registry.py", "serve", kind, stock=names[0] == "stock")
            try:
                answers.append(run("registry.py", "ask", kind, port, stock=names[1] == "stock"))
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
        assert answers[0] == answers[1]


def test_what_does_not_register_again_is_forgotten(running):
    """After the pruning timeout; the hooks are told of both."""
    server, client = running(pruning_timeout=0.05)
    told = []
    server.on_service_added = lambda *args: told.append(("added", *args))
    server.on_service_removed = lambda *args: told.append(("removed", *args))
    client.register(("A",), 7)
    eventually(lambda: client.discover("A") == ())
    address = ("127.0.0.1", 7)
    assert told == [("added", "A", address), ("removed", "A", address)]


HOSTILE = [
    b"",
    b"\x00",
    os.urandom(1400),
    b"\x15\xff\xff\xff\xff",
    brine.dumps(("XPYC", "QUERY", ("a",))),
    brine.dumps(("RPYC", "close", ())),
    brine.dumps(("RPYC", "QUERY", ())),
    brine.dumps(("RPYC", "QUERY", (5,))),
    brine.dumps(("RPYC", "QUERY", ("a" * 1000,))),
    brine.dumps(("RPYC", "REGISTER", (("a",) * 100, 5))),
    brine.dumps(("RPYC", "REGISTER", ((5,), 5))),
    brine.dumps(("RPYC", "REGISTER", (("a",), 10**9))),
    brine.dumps(("RPYC", "REGISTER", (("a",), "5"))),
    brine.dumps(("RPYC", "LIST", (5,))),
    brine.dumps(("RPYC", ("QUERY",), ("a",))),
    brine.dumps("RPYC"),
]


@pytest.mark.parametrize("data", HOSTILE)
def test_what_is_no_message_is_ignored(running, data):
    """Nobody answers it, nothing is registered, and the registry goes on."""
    server, client = running()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.sendto(data, ("127.0.0.1", server.port))
        with pytest.raises(TimeoutError):
            sock.recv(100)
    assert client.register(("good",), 5)
    assert list(server.services) == ["GOOD"]


@given(st.binary(max_size=1600))
@settings(max_examples=300)
def test_any_bytes(data):
    """Whatever comes, it is answered or ignored; nothing is raised."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        answer = registry.RegistryServer(sock).answer(data, "127.0.0.1")
    assert answer is None or len(answer) <= registry.MAX_DGRAM_SIZE


def test_a_registry_is_bounded(running, monkeypatch):
    """One that is full refuses more, and keeps what it has."""
    monkeypatch.setattr(registry, "MOST_ENTRIES", 3)
    _, client = running()
    client.timeout = 0.2
    assert [client.register((f"s{number}",), 5) for number in range(5)] == [True] * 3 + [False] * 2
    assert client.register(("s0",), 5)


def test_a_client_of_a_tcp_registry_that_says_nothing(running):
    """It holds the others up for a moment only."""
    server, client = running("TCP")
    with socket.create_connection(("127.0.0.1", server.port)):
        assert client.register(("x",), 5)


def test_answers_that_are_none():
    """A client takes addresses and names out of an answer, and nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        answers = [b"\x09", b"", b"\x14", brine.dumps((("h", 1), ("h", 0), 5, ("h",), ("h", "1")))]

        def serve():
            _, address = sock.recvfrom(1500)
            for answer in answers:
                sock.sendto(answer, address)

        thread = threading.Thread(target=serve)
        thread.start()
        client = discovery.UDPRegistryClient("127.0.0.1", sock.getsockname()[1], timeout=5)
        assert client.discover("x") == (("h", 1),)
        thread.join()


def test_a_registry_is_for_this_machine_unless_told_otherwise():
    """RPyC's listens everywhere; ours says where."""
    server = registry.UDPRegistryServer(port=0)
    assert server.sock.getsockname()[0] == "127.0.0.1"
    server.close()
    begun = time.monotonic()
    server.start()
    assert time.monotonic() - begun < 5
