"""Who gets in: tokens, limits, slow and strange clients, and clients' mistakes."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Echo(nbrpc.Service):
    def exposed_echo(self, x):
        return x

    def hidden(self):
        return 1

    def exposed_call(self, f):
        return f()


def raw(server):
    """Connect a plain socket."""
    sock = socket.create_connection((server.host, server.port), 5)
    sock.settimeout(5)
    return sock


def is_closed(sock):
    """Whether the server has closed this socket."""
    sock.setblocking(False)
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def listening(answer):
    """Serve plain sockets with a function, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run():
        while not stop.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                answer(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_wrong_token(serving, connecting):
    """It is refused with one sentence, later each time; the right one never waits."""
    server = serving(Echo)
    for least in (0.08, 0.18):
        begun = time.monotonic()
        with pytest.raises(nbrpc.AuthenticationFailed, match="the token is wrong"):
            nbrpc.connect(server.url, token="wrong")
        assert time.monotonic() - begun >= least
    begun = time.monotonic()
    assert connecting(server).root.echo(1) == 1
    assert time.monotonic() - begun < 0.1


def test_no_token_at_hand(serving, monkeypatch, tmp_path):
    """Without a token and without a connection file the error says where the token comes from."""
    server = serving(Echo)
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(
        nbrpc.AuthenticationFailed, match=r"asks for a token.*token=\.\.\. or the URL"
    ):
        nbrpc.connect(server.url)


def test_a_server_that_does_not_hold_the_token(serving):
    """A client with a token does not talk to a server that does not ask for one."""
    server = serving(Echo, token="a")
    other = serving(Echo, token="b")
    with pytest.raises(nbrpc.AuthenticationFailed):
        nbrpc.connect(other.url, token=server.token)


def test_nothing_listens():
    """A wrong port gives one sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        nbrpc.ConnectFailed,
        match=f"nothing listens on 127\\.0\\.0\\.1:{port}: start a server there, or check the port",
    ):
        nbrpc.connect("127.0.0.1", port)
    with pytest.raises(nbrpc.ConnectFailed, match="there is no socket at"):
        nbrpc.connect("unix:///nowhere/at/all")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak nbrpc"),
        (lambda sock: None, "closed the connection during the handshake"),
        (lambda sock: sock.recv(1), "closed the connection during the handshake|broke"),
        (lambda sock: sock.sendall(b"NBRPC\0\1\n" + b"\xff" * 64), "cannot connect|closed"),
        (
            lambda sock: (sock.recv(100), sock.sendall(struct.pack("!LB", 30, 0) + b"x" * 31)),
            "RPyC",
        ),
    ],
)
def test_servers_that_are_not_nbrpc(answer, message):
    """Whatever answers there, the error is one sentence of the right kind."""
    with listening(answer) as port, pytest.raises(nbrpc.ConnectFailed, match=message) as caught:
        nbrpc.connect("127.0.0.1", port, token="t")
    assert "\n" not in str(caught.value)


def test_an_http_server():
    """A web server is told apart."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    ) as web:
        web.RequestHandlerClass.log_message = lambda *args: None
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(
                nbrpc.ConnectFailed, match=r"HTTP|does not speak nbrpc|did not answer"
            ):
                nbrpc.connect("127.0.0.1", web.server_address[1], timeout=2)
        finally:
            web.shutdown()
            thread.join(5)


def test_a_server_that_says_nothing():
    """A server that accepts and is silent is given up after the timeout."""
    held = threading.Event()
    with listening(lambda sock: held.wait(5)) as port:
        begun = time.monotonic()
        with pytest.raises(nbrpc.ConnectFailed, match="did not answer the handshake in time"):
            nbrpc.connect("127.0.0.1", port, timeout=0.4)
        assert 0.3 < time.monotonic() - begun < 1.0
        held.set()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_ports(port):
    """A number that is no port is refused at once."""
    with pytest.raises(ValueError, match="a port is a number from 1 to 65535"):
        nbrpc.connect("localhost", port)


def test_mistakes_leave_the_connection_usable(linked):
    """An unexposed name, an argument that cannot travel, a callback that raises: one error each."""
    conn = linked(Echo)
    with pytest.raises(nbrpc.AccessDenied, match=r"hidden.*is not exposed") as caught:
        conn.root.hidden()
    assert isinstance(caught.value, AttributeError)
    assert not hasattr(conn.root, "hidden")
    with pytest.raises(nbrpc.AccessDenied, match=r"ecko.*echo"):
        conn.root.ecko(1)
    with pytest.raises(nbrpc.NotSendable, match=r"object at value\['a'\]\[1\] cannot be copied"):
        conn.root.echo(nbrpc.by_value({"a": [1, object()]}))
    with pytest.raises(ZeroDivisionError):
        conn.root.call(lambda: 1 / 0)
    with pytest.raises(TypeError, match=r"exposed_echo|argument"):
        conn.root.echo()
    with pytest.raises(nbrpc.AccessDenied, match="--allow-code"):
        conn.eval("1 + 1")
    with pytest.raises(nbrpc.AccessDenied, match="does not let clients run code"):
        conn.modules.os.getpid()
    assert conn.root.echo(1) == 1


def test_the_greatest_number_of_connections(serving, connecting):
    """One more is refused, and may come when another has gone."""
    server = serving(Echo, limits=nbrpc.Limits(connections=2))
    first, second = connecting(server), connecting(server)
    with pytest.raises(nbrpc.ConnectFailed, match="no room for more connections"):
        nbrpc.connect(server.url, token=server.token)
    assert first.root.echo(1) == second.root.echo(1)
    first.close()
    eventually(lambda: len(server.connections) == 1)
    assert connecting(server).root.echo(1) == 1


def test_unauthenticated_clients_are_bounded(serving, connecting):
    """Silent clients make room for others, the oldest first; who has a token gets in."""
    server = serving(Echo, limits=nbrpc.Limits(unauthenticated=3))
    silent = [raw(server) for _ in range(5)]
    try:
        eventually(lambda: is_closed(silent[0]) and is_closed(silent[1]))
        assert len(server._handshakes) <= 3
        assert connecting(server).root.echo(1) == 1
        assert not is_closed(silent[4])
    finally:
        for sock in silent:
            sock.close()
    eventually(lambda: not server._handshakes)


def test_slow_handshakes_are_dropped(serving, connecting):
    """Who has shown no token in time is closed, even if bytes keep dribbling in."""
    server = serving(Echo, timing=nbrpc.Timing(handshake=0.3, heartbeat=0.2))
    silent, slow = raw(server), raw(server)
    with silent, slow:
        begun = time.monotonic()
        opening = b"\0\0\0\0\0N\0\0\0\0\0\1"
        for i in range(len(opening)):
            slow.send(opening[i : i + 1])
        eventually(lambda: is_closed(silent) and is_closed(slow))
        assert time.monotonic() - begun < 2
    eventually(lambda: not server._handshakes)
    assert connecting(server).root.echo(1) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 5000,
        b"x" * 100_000,
    ],
)
def test_strange_clients_are_closed(serving, connecting, data):
    """Whatever is not our opening ends that client at once."""
    server = serving(Echo)
    with raw(server) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
        eventually(lambda: is_closed(sock))
    eventually(lambda: not server._handshakes)
    assert connecting(server).root.echo(1) == 1


def test_clients_that_leave_in_the_handshake(serving, connecting):
    """They leave nothing behind."""
    server = serving(Echo)
    for _ in range(20):
        raw(server).close()
    eventually(lambda: not server._handshakes)
    assert connecting(server).root.echo(1) == 1


# ---- authenticators


def test_an_authenticator_sees_the_socket_first(serving, connecting):
    """It gets the raw socket; what it finds out is in ``connection.credentials``."""
    seen = []

    def who(sock):
        return sock, {"address": sock.getpeername()[0]}

    class Watcher(nbrpc.Service):
        def on_connect(self, conn):
            seen.append(conn.credentials)

        def exposed_ping(self):
            return "pong"

    server = serving(Watcher, authenticator=who)
    assert connecting(server).root.ping() == "pong"
    assert seen == [{"address": "127.0.0.1"}]
    assert connecting(serving(Watcher)).root.ping() == "pong"
    assert seen[1] is None


def test_an_authenticator_turns_a_client_away(serving, connecting, caplog):
    """AuthenticationError closes the client, unanswered, and the log says why."""
    refuse = [True]

    def picky(sock):
        if refuse[0]:
            raise nbrpc.AuthenticationError("not you")
        return sock, None

    server = serving(Echo, authenticator=picky)
    with pytest.raises(nbrpc.ConnectFailed, match="closed the connection during the handshake"):
        nbrpc.connect(server.url, token=server.token)
    assert "not you" in caplog.text
    refuse[0] = False
    assert connecting(server).root.echo(1) == 1
    eventually(lambda: not server._handshakes)


def test_an_authenticator_that_waits_delays_nobody(serving, connecting):
    """A client that keeps the authenticator waiting holds up neither others nor the server."""
    answered = []

    def magic(sock):
        if sock.recv(3) != b"key":
            raise nbrpc.AuthenticationError("no key")
        return sock, "key"

    server = serving(Echo, authenticator=magic, timing=nbrpc.Timing(handshake=1.0))
    other = serving(Echo)
    with raw(server) as silent, raw(server) as good:
        assert connecting(other).root.echo(1) == 1
        good.send(b"key")
        good.send(b"\0\0\0\0\0N\0\0\0\0\0\1")
        eventually(lambda: len(server._handshakes) == 2)
        answered.append(not is_closed(silent))
        eventually(lambda: is_closed(silent) and is_closed(good))
    assert answered == [True]
    eventually(lambda: not server._handshakes)


def test_an_authenticator_that_fails(serving, caplog):
    """Any other exception closes the client as well, and is logged with its traceback."""
    server = serving(Echo, authenticator=lambda sock: 1 / 0)
    with pytest.raises(nbrpc.ConnectFailed):
        nbrpc.connect(server.url, token=server.token)
    assert "ZeroDivisionError" in caplog.text
