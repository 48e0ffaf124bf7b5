"""Servers and clients over WebSockets: on the ordinary port, through proxies, and for no page."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket
from websockets.sync.server import serve as serve_websocket

import nbrpc
from nbrpc.options import TLS
from nbrpc.protocol.handshake import GREETING, OPENING
from nbrpc.session import shared_memory
from nbrpc.transports import upgrade
from nbrpc.transports.sockets import peer_host, socket_below
from tests.certificates import issue
from tests.support import eventually

REQUEST = (
    b"GET /some/path?x=1 HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
"""What asks for a WebSocket, without the line that ends it."""


class Bench(nbrpc.Service):
    moved = nbrpc.event()

    def exposed_add(self, one, other):
        return one + other

    def exposed_same(self, data):
        return data

    def exposed_move(self, to):
        self.moved.emit(to)


@pytest.fixture(autouse=True)
def _no_shared_memory(monkeypatch):
    """Have all data go by the WebSocket."""
    monkeypatch.setattr(shared_memory, "HERE", False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Give a certificate of this machine."""
    return issue(tmp_path_factory.mktemp("certificates"), "site")


def use(conn):
    """Call, pass much data, and watch an event."""
    assert conn.root.add(1, 2) == 3
    data = bytes(range(256)) * 20_000
    assert conn.root.same(data) == data
    places = []
    with conn.root.moved.subscribe(places.append):
        conn.root.move(2.5)
        eventually(lambda: places == [2.5])


def web(server, scheme="ws", path=""):
    """Give the URL of a server for a WebSocket."""
    return f"{scheme}://127.0.0.1:{server.port}{path}"


# ---- who gets in


@pytest.mark.parametrize("path", ["", "/", "/proxy/5/?x=1"])
def test_the_ordinary_port_speaks_websocket(serving, path):
    """Beside native clients, one by WebSocket; the token is found in the connection file."""
    server = serving(Bench)
    with nbrpc.connect(web(server, path=path)) as conn, nbrpc.connect(server.url) as native:
        use(conn)
        assert native.root.add(1, 2) == 3
        assert conn.url == web(server, path={"/": ""}.get(path, path.partition("?")[0]))
        (one, other) = server.connections
        assert {one.session.name[:2], other.session.name[:2]} == {"ws", "tc"}


def test_it_speaks_websocket_over_tls(serving, site, monkeypatch, tmp_path):
    """By an authority, by a fingerprint, and on this machine by the connection file."""
    server = serving(Bench, tls=TLS(site.cert, site.key))
    url = web(server, "wss")
    with nbrpc.connect(url) as conn:
        use(conn)
        (connection,) = server.connections
        assert peer_host(connection.session.transport) == "127.0.0.1"
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(tmp_path))  # another machine, as it were
    with nbrpc.connect(url, tls=TLS(ca=site.cert), token=server.token) as conn:
        assert conn.root.add(1, 2) == 3
    with nbrpc.connect(f"{url}?fingerprint={site.fingerprint}", token=server.token) as conn:
        assert conn.root.add(1, 2) == 3
    with pytest.raises(nbrpc.AuthenticationFailed, match="self-signed"):
        nbrpc.connect(url, token=server.token)


def test_tls_turns_the_scheme(serving, site):
    """With tls= a ws:// URL means wss://, as nbrpc:// means nbrpcs://; tls=False cannot undo it."""
    server = serving(Bench, tls=TLS(site.cert, site.key))
    with nbrpc.connect(web(server), tls=TLS(ca=site.cert)) as conn:
        assert conn.url == web(server, "wss")
    with pytest.raises(ValueError, match="asks for TLS, and tls=False for none"):
        nbrpc.connect(web(server, "wss"), tls=False)


def test_a_certificate_must_be_verified(serving, site):
    """The proof does not cover a proxy's certificate, so none is taken unseen."""
    server = serving(Bench, tls=TLS(site.cert, site.key))
    with pytest.raises(ValueError, match="give its fingerprint or ca="):
        nbrpc.connect(web(server, "wss"), tls=TLS(insecure_no_verify=True))


def test_a_wrong_token_is_refused(serving):
    """The handshake inside is the same as everywhere."""
    server = serving(Bench)
    with pytest.raises(nbrpc.AuthenticationFailed, match="token"):
        nbrpc.connect(web(server), token="wrong")
    eventually(lambda: not server._handshakes)


def test_a_client_with_a_certificate(serving, site, tmp_path):
    """What its certificate says is known behind a WebSocket as well."""
    user = issue(tmp_path, "user", hosts=("user.example",))
    server = serving(Bench, tls=TLS(site.cert, site.key, ca=user.cert))
    with nbrpc.connect(web(server, "wss"), tls=TLS(user.cert, user.key, ca=site.cert)) as conn:
        assert conn.root.add(1, 2) == 3
        (connection,) = server.connections
        assert connection.credentials["subjectAltName"] == (("DNS", "user.example"),)


def test_it_comes_back(serving):
    """With reconnect=True the link is made anew, by a WebSocket again."""
    server = serving(Bench)
    with nbrpc.connect(web(server), reconnect=True) as conn:
        socket_below(conn.session.transport).shutdown(socket.SHUT_RDWR)
        eventually(lambda: conn.revival.came_back)
        assert conn.root.add(1, 2) == 3


def test_the_end_of_the_server(serving):
    """A server that closes is the end of the connection, at once."""
    server = serving(Bench)
    with nbrpc.connect(web(server)) as conn:
        server.close()
        eventually(lambda: conn.closed)
        with pytest.raises(nbrpc.ConnectionLost):
            conn.root.add(1, 2)


# ---- who does not


def raw(server, data):
    """Send bytes to a server; give what it answers until it closes."""
    answer = b""
    sock = socket.create_connection((server.host, server.port), timeout=10)
    with sock, contextlib.suppress(ConnectionError):
        sock.sendall(data)
        while piece := sock.recv(4096):
            answer += piece
    return answer


def test_a_page_is_refused(serving, caplog):
    """A page of any origin, even of this very host, is closed without a word, and it is noted."""
    server = serving(Bench)
    with caplog.at_level("INFO", "nbrpc.server"):
        for origin in (b"https://evil.invalid", b"null", b"http://127.0.0.1:%d" % server.port):
            assert raw(server, REQUEST + b"Origin: " + origin + b"\r\n\r\n") == b""
    assert caplog.text.count("a page in a browser wants to connect, which none may") == 3
    eventually(lambda: not server._handshakes)


REFUSED = {
    "no upgrade": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "another upgrade": REQUEST.replace(b"websocket\r", b"h2c\r") + b"\r\n",
    "no key": REQUEST.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n",
    "short key": REQUEST.replace(b"AAAA==", b"==") + b"\r\n",
    "old version": REQUEST.replace(b": 13", b": 8") + b"\r\n",
    "old HTTP": REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
    "another method": b"POST" + REQUEST[3:] + b"\r\n",
    "no head": b"GET " + bytes(100) + b"upgrade\r\n\r\n",
    "bare line ends": REQUEST.replace(b"\r\n", b"\n") + b"\n" + b"x" * 9000,
    "a body": REQUEST + b"Content-Length: 5\r\n\r\nhello",
    "long line": REQUEST + b"X: " + b"x" * 9000 + b"\r\n\r\n",
    "no end": REQUEST + b"X: y\r\n" * 2000,
    "not quite": b"GETTING THERE\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_websocket_is_closed_without_a_word(serving, name):
    """Any other HTTP gets nothing, at once, and nothing of it is kept."""
    server = serving(Bench)
    assert raw(server, REFUSED[name]) == b""
    eventually(lambda: not server._handshakes)
    with nbrpc.connect(server.url) as conn:
        assert conn.root.add(1, 2) == 3


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_request_is_answered_or_refused(data):
    """A request with anything in it is for a WebSocket, or refused, and nothing else happens."""
    at = data.draw(st.integers(0, len(REQUEST)))
    cut = data.draw(st.integers(0, 40))
    head = REQUEST[:at] + data.draw(st.binary(max_size=40)) + REQUEST[at + cut :] + b"\r\n"
    try:
        assert upgrade.answer(head).startswith(b"HTTP/1.1 101 ")
    except upgrade.Refused:
        pass  # as it should be


def test_a_request_that_comes_slowly(serving):
    """A head in small pieces is one all the same; one that does not end is closed in time."""
    server = serving(Bench, timing=nbrpc.Timing(handshake=1.0, heartbeat=0.2))
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        for byte in REQUEST + b"\r\n":
            sock.sendall(bytes((byte,)))
        assert sock.recv(4096).startswith(b"HTTP/1.1 101")
    begun = time.monotonic()
    assert raw(server, REQUEST) == b""
    assert time.monotonic() - begun < 8


def test_frames_may_follow_the_request_at_once(serving):
    """A client that does not wait for the answer is served as well."""
    server = serving(Bench)
    opening = b"\x82" + bytes((0x80 | len(OPENING),)) + bytes(4) + OPENING
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        sock.sendall(REQUEST + b"\r\n" + opening)
        answer = b""
        while GREETING not in answer:
            answer += sock.recv(4096)


def test_rpyc_is_not_carried(serving):
    """Even where clients of RPyC may come without a token, none comes by a proxy."""
    server = serving(Bench, rpyc=True)
    rpyc = b"\x00\x00\x00\x0d\x00" + b"\x80" * 13 + b"\n"
    frame = b"\x82" + bytes((0x80 | len(rpyc),)) + bytes(4) + rpyc
    answer = raw(server, REQUEST + b"\r\n" + frame)
    assert answer.startswith(b"HTTP/1.1 101")
    assert answer.partition(b"\r\n\r\n")[2] in (b"", b"\x88\x02\x03\xe8")
    eventually(lambda: not server._handshakes)
    assert server.statistics().connections == 0


# ---- what a client says of servers


@contextlib.contextmanager
def answering(data, *, seen=None):
    """Serve one client that asks over HTTP with these bytes; keep what it has asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def run():
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(10)
                request = sock.recv(65_536)
                if seen is not None:
                    seen.append(request)
                sock.sendall(data)
                with contextlib.suppress(OSError):
                    while sock.recv(4096):
                        pass

        thread = threading.Thread(target=run)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def refusal(status):
    """Give the answer of a web server that says no."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 100000\r\n\r\n<html>".encode()


ANSWERS = [
    (refusal("404 Not Found"), nbrpc.ConnectFailed, r"no WebSocket at that URL \(404 Not Found\)"),
    (refusal("200 OK"), nbrpc.ConnectFailed, r"no WebSocket at that URL \(200 OK\)"),
    (refusal("302 Found"), nbrpc.ConnectFailed, "sends the request elsewhere"),
    (refusal("403 Forbidden"), nbrpc.AuthenticationFailed, "write https://"),
    (b"HTTP/1.1 101 Yes\r\n\r\n", nbrpc.ConnectFailed, "no WebSocket at that URL"),
    (
        b"HTTP/1.1 500 \x1b[31m\r\nNbrpc-Reason: so \x1b[31m\r\n\r\n",
        nbrpc.ConnectFailed,
        r"so \[31m$",
    ),
    (b"SSH-2.0-OpenSSH_9.6\r\n", nbrpc.ConnectFailed, "speaks no HTTP"),
    (b"\x15\x03\x03\x00\x02\x02\x46", nbrpc.ConnectFailed, "whether it speaks TLS"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000, nbrpc.ConnectFailed, "speaks no HTTP"),
]


@pytest.mark.parametrize(("data", "kind", "reason"), ANSWERS)
def test_servers_that_are_none_are_told_apart(data, kind, reason):
    """Each of them is said in one sentence that is fit to be shown."""
    with answering(data) as place, pytest.raises(kind, match=reason) as caught:
        nbrpc.connect(f"ws://{place}/path", timeout=10)
    assert str(caught.value).startswith(f"cannot connect to ws://{place}/path: ")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_server_that_stays_silent():
    """The deadline holds while a server does not answer."""
    with answering(b"") as place, pytest.raises(nbrpc.ConnectFailed, match="in time"):
        nbrpc.connect(f"ws://{place}/", timeout=0.3)


def test_the_token_is_not_in_the_request():
    """Path and query arrive as they are, without the token, and the client is no page."""
    seen = []
    with answering(refusal("404 X"), seen=seen) as place, pytest.raises(nbrpc.ConnectFailed):
        nbrpc.connect(f"ws://{place}/a%20b/?x=%2F&token=SECRET&y")
    (request,) = seen
    assert request.startswith(b"GET /a%20b/?x=%2F&y HTTP/1.1\r\n")
    for text in (b"SECRET", b"Origin", b"Authorization", b"Extensions"):
        assert text not in request


def test_a_token_for_jupyter_is_in_a_header():
    """With http:// it is Jupyter's, and goes where Jupyter expects it."""
    seen = []
    with answering(refusal("404 X"), seen=seen) as place, pytest.raises(nbrpc.ConnectFailed):
        nbrpc.connect(f"http://{place}/nbrpc/ws/bench?token=SECRET")
    (request,) = seen
    assert request.startswith(b"GET /nbrpc/ws/bench HTTP/1.1\r\n")
    assert b"\r\nAuthorization: token SECRET\r\n" in request


def test_a_token_for_jupyter_is_not_sent_in_clear_text():
    """Beyond this machine http:// is refused, unless it is said that the network is one's own."""
    with pytest.raises(ValueError, match="clear text"):
        nbrpc.connect("http://hub.invalid/nbrpc/ws/bench", token="SECRET")
    with pytest.raises(nbrpc.ConnectFailed, match="no host is called"):
        nbrpc.connect("http://hub.invalid/nbrpc/ws/bench", token="SECRET", tls=False)


def test_what_a_relay_would_tell_is_taken_from_jupyter_alone(serving):
    """Of an ordinary server of WebSockets no token is taken."""
    with nbrpc.connect(web(serving(Bench))) as conn:
        assert conn.session.transport.relayed is None


# ---- proxies


@contextlib.contextmanager
def reverse_proxy(upstream, site):
    """Carry WebSockets from TLS to a plain server, each message cut into small frames."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.cert, site.key)

    def cut(message):
        return (message[at : at + 1000] for at in range(0, len(message), 1000))

    def pump(source, target):
        with contextlib.suppress(ConnectionClosed):
            for message in source:
                target.send(cut(message))
        target.close()

    def handle(websocket):
        path = websocket.request.path
        with connect_websocket(f"{upstream}{path}", compression=None, max_size=None) as server:
            thread = threading.Thread(target=pump, args=(server, websocket))
            thread.start()
            pump(websocket, server)
            thread.join(10)

    with serve_websocket(handle, "127.0.0.1", 0, ssl=context, max_size=None) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield proxy.socket.getsockname()[1]
        proxy.shutdown()
        thread.join(10)


def test_through_a_reverse_proxy(serving, site):
    """TLS ends at the proxy, whose certificate the server does not know; it cuts as it likes."""
    server = serving(Bench)
    with reverse_proxy(web(server), site) as port:
        url = f"wss://127.0.0.1:{port}/bench/?x=1"
        with nbrpc.connect(url, tls=TLS(ca=site.cert), token=server.token) as conn:
            use(conn)
        eventually(lambda: server.statistics().connections == 0)
        with pytest.raises(nbrpc.AuthenticationFailed, match="token"):
            nbrpc.connect(url, tls=TLS(ca=site.cert), token="wrong")
