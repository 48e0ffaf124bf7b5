"""RPyC's servers and services by their names."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from nbrpc.compat.table import module_for
from tests.support import eventually

rpyc = module_for("rpyc")
servers = module_for("rpyc.utils.server")


class Counter(rpyc.Service):
    made = 0

    def __init__(self):
        self.value = 0

    def on_connect(self, conn):
        self.conn = conn

    def exposed_add(self):
        self.value += 1
        return self.value

    def exposed_pid(self):
        return os.getpid()

    def exposed_meet(self, function):
        return function()

    def exposed_credentials(self):
        return self.conn._config["credentials"], self.conn.credentials


@pytest.fixture
def starting():
    """Start servers on threads; close them after the test."""
    started = []

    def begin(cls, service=Counter, **options):
        server = cls(service, hostname="127.0.0.1", port=0, **options)
        started.append((server, server._start_in_thread()))
        return server

    yield begin
    for server, thread in started:
        server.close()
        thread.join(5)
        assert not thread.is_alive()


CLASSES = ["ThreadedServer", "ThreadPoolServer", "ForkingServer"]


@pytest.mark.parametrize("name", CLASSES)
def test_one_instance_per_connection(starting, name):
    """A service class is made anew for each connection; an instance is shared."""
    server = starting(getattr(servers, name))
    with (
        rpyc.connect("127.0.0.1", server.port) as first,
        rpyc.connect("127.0.0.1", server.port) as second,
    ):
        assert (first.root.add(), first.root.add(), second.root.add()) == (1, 2, 1)


def test_an_instance_is_shared(starting):
    """An instance given as service is one for all."""
    server = starting(rpyc.ThreadedServer, Counter())
    with (
        rpyc.connect("127.0.0.1", server.port) as first,
        rpyc.connect("127.0.0.1", server.port) as second,
    ):
        assert (first.root.add(), second.root.add()) == (1, 2)


def test_a_one_shot_server(starting):
    """It serves one client, and ends with it."""
    server = starting(rpyc.OneShotServer)
    with rpyc.connect("127.0.0.1", server.port) as conn:
        assert conn.root.add() == 1
        with pytest.raises(ConnectionError):
            rpyc.connect("127.0.0.1", server.port)
    eventually(lambda: not server.active)


def test_forking(starting):
    """Each connection has a process of its own."""
    server = starting(rpyc.ForkingServer)
    with rpyc.connect("127.0.0.1", server.port) as conn:
        assert conn.root.pid() != os.getpid()


def test_requests_of_a_connection_run_in_turn(starting):
    """As in RPyC, the next call begins when the one before has ended."""
    inside = []
    most = []
    go = threading.Event()

    class Slow(rpyc.Service):
        def exposed_slow(self):
            inside.append(1)
            most.append(len(inside))
            go.wait(0.05)
            inside.pop()

    server = starting(rpyc.ThreadedServer, Slow)
    with rpyc.connect("127.0.0.1", server.port) as conn:
        slow = rpyc.async_(conn.root.slow)
        for result in [slow() for _ in range(5)]:
            result.wait()
    assert most == [1] * 5


def test_a_call_inside_a_call(starting):
    """While a request waits for its client, that one's calls are served."""
    server = starting(rpyc.ThreadedServer)
    with rpyc.connect("127.0.0.1", server.port) as conn:
        root = conn.root
        assert root.meet(lambda: root.meet(root.add)) == 1


def test_attributes(starting):
    """What programs read from a server is there."""
    logger = logging.getLogger("mine")
    server = starting(rpyc.ThreadedServer, logger=logger, protocol_config={"allow_setattr": True})
    assert server.host == "127.0.0.1"
    assert server.port > 0
    assert server.service is Counter
    assert server.active
    assert server.logger is logger
    assert server.registrar is None
    assert server.protocol_config["allow_setattr"] is True
    assert server.fileno() > 0
    assert server.clients == set()
    with rpyc.connect("127.0.0.1", server.port) as conn:
        conn.root.add()
        assert [sock.getpeername()[0] for sock in server.clients] == ["127.0.0.1"]
    eventually(lambda: server.clients == set())
    with pytest.raises(NotImplementedError, match="takes its clients from its own socket"):
        server.accept()


def test_a_host_beyond_this_machine_is_said_on_purpose():
    """RPyC's default is all interfaces; here that needs a word."""
    with pytest.raises(ValueError, match="insecure=True"):
        rpyc.ThreadedServer(Counter, hostname="0.0.0.0")
    server = rpyc.ThreadedServer(Counter, hostname="0.0.0.0", insecure=True)
    server.close()


def test_an_authenticator(starting):
    """Its credentials are the connection's; whom it turns away is not served."""
    allow = [True]

    def check(sock):
        if not allow[0]:
            raise rpyc.utils.authenticators.AuthenticationError("no")
        return sock, "somebody"

    server = starting(rpyc.ThreadedServer, authenticator=check)
    with rpyc.connect("127.0.0.1", server.port) as conn:
        assert conn.root.credentials() == ("somebody", "somebody")
    allow[0] = False
    with pytest.raises(ConnectionError):
        rpyc.connect("127.0.0.1", server.port)


def test_a_unix_socket(tmp_path):
    """``socket_path`` is a Unix socket, which unix_connect finds."""
    path = str(tmp_path / "socket")
    server = rpyc.ThreadedServer(Counter, socket_path=path)
    thread = server._start_in_thread()
    with rpyc.utils.factory.unix_connect(path) as conn:
        assert conn.root.add() == 1
    server.close()
    thread.join(5)


def test_in_another_process():
    """connect_multiprocess serves in a process, whose namespace has the arguments."""
    conn = rpyc.classic.connect_multiprocess(args={"given": 42})
    with conn:
        assert conn.eval("given") == 42
        assert conn.modules.os.getpid() == conn.proc.pid
    conn.proc.join(10)
    assert conn.proc.exitcode == 0


def test_in_a_thread():
    """connect_thread serves in this process, and ends with the connection."""
    conn = rpyc.connect_thread(remote_service=Counter, remote_config={"allow_public_attrs": True})
    assert conn.root.pid() == os.getpid()
    assert conn.root.value == 0
    conn.close()


def test_a_tunnel():
    """ssh_connect uses the tunnel of a machine, and closes it with the connection."""

    class Machine:
        closed = False

        def tunnel(self, local_port, remote_port):
            Machine.server = rpyc.ThreadedServer(Counter, port=local_port)
            return self

        def close(self):
            Machine.closed = True
            Machine.server.close()

    with rpyc.ssh_connect(Machine(), 18861) as conn:
        assert conn.root.add() == 1
    eventually(lambda: Machine.closed)
    with pytest.raises(NotImplementedError, match="ssh -L"):
        rpyc.ssh_connect("host", 18861)


def test_names_of_services():
    """The name is that of the class, or its aliases."""
    assert Counter.get_service_name() == "COUNTER"

    class Stage(rpyc.Service):
        ALIASES = ("axis", "motion")

    assert Stage.get_service_aliases() == ("AXIS", "MOTION")
    assert rpyc.VoidService.get_service_name() == "VOID"


def test_the_decorators_of_services():
    """``@rpyc.service`` gives marked members their exposed names, in nested classes too."""

    @rpyc.service
    class Marked(rpyc.Service):
        @rpyc.exposed
        def first(self):
            return 1

        @rpyc.exposed("own_")
        def second(self):
            return 2

        @rpyc.exposed
        class Inner:
            @rpyc.exposed
            def third(self):
                return 3

    marked = Marked()
    assert (marked.first(), marked.exposed_first(), marked.own_second()) == (1, 1, 2)
    assert marked.exposed_Inner().exposed_third() == 3
    with rpyc.connect_thread(remote_service=Marked) as conn:
        assert (conn.root.first(), conn.root.Inner().third()) == (1, 3)
    with pytest.raises(TypeError):
        rpyc.exposed(5)


def test_a_service_with_arguments():
    """Arguments of the constructor can be bound."""
    given = rpyc.utils.helpers.classpartial(Named, "first", second=2)
    assert given.__name__ == "Named"
    assert issubclass(given, Named)
    with rpyc.connect_thread(remote_service=given) as conn:
        assert conn.root.both() == ("first", 2)


class Named(rpyc.Service):
    def __init__(self, first, second):
        self.both = first, second

    def exposed_both(self):
        return self.both


def test_a_service_over_a_channel():
    """``Service._connect`` serves a channel, by the class or by an instance."""
    first, second = rpyc.PipeStream.create_pair()
    ends = []
    thread = threading.Thread(
        target=lambda: ends.append(Counter()._connect(rpyc.Channel(second), {}))
    )
    thread.start()
    conn = rpyc.VoidService._connect(rpyc.Channel(first), {})
    thread.join()
    serving = threading.Thread(target=ends[0].serve_threaded)
    serving.start()
    assert conn.root.add() == 1
    conn.close()
    serving.join(5)
    assert not serving.is_alive()
