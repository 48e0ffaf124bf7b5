"""TLS: who is let in, who is believed, and that a session works as it does without."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import socket
import ssl
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import nbrpc
from nbrpc.connection_file import find_by_name, running
from nbrpc.server.listening import Encryption, check_reach
from nbrpc.transports import sockets
from nbrpc.transports.address import parse
from nbrpc.transports.tls import TlsTransport
from tests.certificates import DAY, issue
from tests.support import eventually


class Bench(nbrpc.Service):
    changed = nbrpc.event()

    def __init__(self):
        self.who = []

    def on_connect(self, conn):
        self.who.append(conn.credentials)

    def exposed_add(self, a, b):
        return a + b

    def exposed_echo(self, data):
        return data

    def exposed_call(self, function, times=1):
        return [function(i) for i in range(times)]

    def exposed_sleep(self, seconds):
        time.sleep(seconds)  # what the service does
        return "slept"

    def exposed_lines(self, count):
        yield from range(count)

    def exposed_emit(self, count):
        for i in range(count):
            self.changed.emit(i)

    def exposed_numbers(self):
        return [1, 2, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a folder for certificates."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder):
    """Give an authority that vouches for certificates."""
    return issue(folder, "authority", is_ca=True)


@pytest.fixture(scope="module")
def site(folder, authority):
    """Give a server's certificate, which the authority vouches for."""
    return issue(folder, "site", by=authority)


@pytest.fixture(scope="module")
def user(folder, authority):
    """Give a client's certificate, which the authority vouches for."""
    return issue(folder, "user", hosts=("user.example",), by=authority)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Make this a machine on which no connection file is found."""
    return lambda: monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(tmp_path))


def tls_of(issued, **options):
    """Give the TLS of a side that shows this certificate."""
    return nbrpc.TLS(cert=issued.cert, key=issued.key, **options)


def raw(server):
    """Connect a plain socket."""
    sock = socket.create_connection((server.host, server.port), 5)
    sock.settimeout(5)
    return sock


def read_to_end(sock):
    """Read until the server closes."""
    received = b""
    with contextlib.suppress(OSError):
        while data := sock.recv(4096):
            received += data
    return received


# ---- how the server is believed


def test_a_certificate_that_is_vouched_for(serving, site, authority):
    """A client that trusts the authority gets in by name and by address; the URL says nbrpcs."""
    server = serving(Bench, tls=tls_of(site))
    assert server.url == f"nbrpcs://127.0.0.1:{server.port}"
    assert server.fingerprint == site.fingerprint
    for host in ("127.0.0.1", "localhost"):
        with nbrpc.connect(
            host, server.port, token=server.token, tls=nbrpc.TLS(ca=authority.cert)
        ) as conn:
            assert conn.root.add(1, 2) == 3
            assert conn.url == f"nbrpcs://{host}:{server.port}"
            assert conn.protocol == "nbrpc/1"
            version = conn.session.transport._object.version()
            assert version in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("given", ["url", "tls", "both", "large"])
def test_a_pinned_fingerprint(serving, site, elsewhere, given):
    """A fingerprint takes the place of authority and host name."""
    server = serving(Bench, tls=tls_of(site))
    elsewhere()
    print_ = server.fingerprint
    if given == "large":
        print_ = "SHA256:" + ":".join(print_[7:].upper()[i : i + 2] for i in range(0, 64, 2))
    url = server.url_with_token
    if given != "url":
        url = server.url
    tls = None if given == "url" else nbrpc.TLS(fingerprint=print_)
    if given == "both":
        url = f"{server.url}/?fingerprint={print_}"
    with nbrpc.connect(url, token=server.token, tls=tls) as conn:
        assert conn.root.add(1, 2) == 3


def test_a_wrong_fingerprint(serving, site, user):
    """Another certificate than the pinned one is refused, and both are named."""
    server = serving(Bench, tls=tls_of(site))
    wrong = replace(server.address, fingerprint=user.fingerprint)
    with pytest.raises(nbrpc.AuthenticationFailed, match=site.fingerprint) as caught:
        nbrpc.connect(wrong.url_with_token, token=server.token)
    assert user.fingerprint in str(caught.value)
    eventually(lambda: not server._handshakes)
    with pytest.raises(ValueError, match="says something else"):
        nbrpc.connect(wrong.url_with_token, tls=nbrpc.TLS(fingerprint=site.fingerprint))


def test_nothing_is_believed_without_a_reason(serving, folder, authority, site, elsewhere):
    """Self-signed, of another host, expired, not begun, of a stranger: one sentence each."""
    stranger = issue(folder, "stranger", is_ca=True)
    early = datetime.timedelta(days=2)
    cases = [
        (issue(folder, "self"), True, "self-signed, and nobody vouches for it"),
        (issue(folder, "other", ("elsewhere.example",), authority), None, "is not for 127.0.0.1"),
        (issue(folder, "old", by=authority, begins=-early, ends=-DAY), None, "has expired"),
        (issue(folder, "new", by=authority, begins=DAY, ends=early), None, "is not valid yet"),
        (issue(folder, "strange", by=stranger), None, "an authority that is not trusted"),
        (site, True, "an authority that is not trusted"),
    ]
    servers = [serving(Bench, tls=tls_of(issued)) for issued, _, _ in cases]
    elsewhere()
    for server, (_, tls, reason) in zip(servers, cases, strict=True):
        with pytest.raises(nbrpc.AuthenticationFailed, match=reason) as caught:
            nbrpc.connect(server.url, token=server.token, tls=tls or nbrpc.TLS(ca=authority.cert))
        assert "\n" not in str(caught.value)
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        eventually(lambda server=server: not server._handshakes)


def test_an_opt_out_that_is_spelled_out(serving, folder, elsewhere):
    """Only insecure_no_verify takes any certificate."""
    server = serving(Bench, tls=tls_of(issue(folder, "any", ("elsewhere.example",))))
    elsewhere()
    with nbrpc.connect(
        server.url, token=server.token, tls=nbrpc.TLS(insecure_no_verify=True)
    ) as conn:
        assert conn.root.add(1, 2) == 3


def test_a_users_own_context(serving, site, authority, elsewhere):
    """An SSLContext is taken as it is, unless it verifies nothing or allows old versions."""
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(site.cert, site.key)
    server = serving(Bench, tls=there)
    assert server.fingerprint == site.fingerprint
    elsewhere()
    here = ssl.create_default_context(cafile=authority.cert)
    with nbrpc.connect(server.url, token=server.token, tls=here) as conn:
        assert conn.root.add(1, 2) == 3
    here.check_hostname = False
    with pytest.raises(ValueError, match="does not verify the server"):
        nbrpc.connect(server.url, token=server.token, tls=here)
    with nbrpc.connect(server.url_with_token, tls=here) as conn:  # the fingerprint verifies
        assert conn.root.add(1, 2) == 3
    here.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.raises(ValueError, match="versions of TLS that are broken"):
        nbrpc.connect(server.url_with_token, tls=here)
    with pytest.raises(ValueError, match="no server certificate"):
        nbrpc.serve(Bench, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(ValueError, match="no server certificate"):
        nbrpc.serve(Bench, tls=ssl.create_default_context())


def test_clients_of_this_user_need_nothing(serving, site):
    """The connection file tells token and fingerprint, by URL, by port and by name."""
    server = serving(Bench, tls=tls_of(site), name="safe")
    info = find_by_name("safe")
    assert info.url == server.url
    assert info.fingerprint == site.fingerprint
    assert [item.url for item in running()] == [server.url]
    for address in [(server.url,), ("localhost", server.port), (f"localhost:{server.port}",)]:
        with nbrpc.connect(*address) as conn:
            assert conn.root.add(1, 2) == 3
            assert conn.url.startswith("nbrpcs://")
    with nbrpc.connect(server.url, tls=True) as conn:
        assert conn.root.add(1, 2) == 3


# ---- one side without TLS


def test_a_plain_client_of_a_tls_port(serving, site, elsewhere, caplog):
    """It is told what the port speaks, and the server says who it was."""
    server = serving(Bench, tls=tls_of(site))
    elsewhere()
    caplog.set_level(logging.INFO, "nbrpc.server")
    with pytest.raises(nbrpc.ConnectFailed, match=r"the server speaks TLS: use nbrpcs://, or tls="):
        nbrpc.connect("127.0.0.1", server.port, token=server.token)
    eventually(lambda: "the client does not speak TLS" in caplog.text)


def test_a_tls_client_of_a_plain_port(serving, caplog):
    """It is told that nobody speaks TLS there, and the server says who it was."""
    server = serving(Bench)
    caplog.set_level(logging.INFO, "nbrpc.server")
    with pytest.raises(nbrpc.ConnectFailed, match=r"does not speak TLS \(then use nbrpc://"):
        nbrpc.connect(f"nbrpcs://127.0.0.1:{server.port}", token=server.token)
    eventually(lambda: "the client speaks TLS, and this server does not" in caplog.text)
    with pytest.raises(nbrpc.ConnectFailed, match="does not speak TLS"):
        nbrpc.connect("127.0.0.1", server.port, token=server.token, tls=True)


def test_servers_that_answer_otherwise():
    """One that speaks first, one that is silent, one that leaves in the middle."""
    cases = [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
        (b"\x16\x03\x03\x00\x7a" + b"\2", "closed the connection during the TLS handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "another version of TLS"),
        (b"\x16\x03\x03\x00\x05" + b"\xff" * 5, "the TLS handshake failed"),
        (None, "did not finish the TLS handshake in time"),
    ]
    for answer, reason in cases:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            held = threading.Event()

            def serve(listener=listener, answer=answer, held=held):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(100_000)
                    if answer is None:
                        held.wait(5)
                    else:
                        sock.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(nbrpc.ConnectFailed, match=reason) as caught:
                nbrpc.connect(f"nbrpcs://127.0.0.1:{listener.getsockname()[1]}", timeout=0.5)
            assert "\n" not in str(caught.value)
            held.set()
            thread.join(5)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0\0\0\0\0N\0\0\0\0\0\1",
        b"\x16\x03\x01\x00\x05" + b"\xff" * 5,
        b"\x16" + b"\0" * 200,
        b"\x15\x03\x03\x00\x02\x02\x46",
        os.urandom(20_000),
        b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + b"x" * 200_000,
    ],
)
def test_garbage_ends_that_client_alone(serving, connecting, site, data):
    """Whatever is no TLS is closed at once, and others are served."""
    server = serving(Bench, tls=tls_of(site), timing=nbrpc.Timing(handshake=30.0))
    with raw(server) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
        received = read_to_end(sock)
    assert len(received) < 50  # an alert, and nothing that a stranger could use
    eventually(lambda: not server._handshakes)
    assert connecting(server).root.add(1, 2) == 3


def test_strangers_are_closed_soon(serving, site):
    """HTTP on a TLS port and TLS on a plain one: the median is closed within 50 ms."""
    secure, plain = serving(Bench, tls=tls_of(site)), serving(Bench)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for server, data in ((secure, b"GET / HTTP/1.1\r\n\r\n"), (plain, hello)):
        times = []
        for _ in range(9):
            with raw(server) as sock:
                begun = time.monotonic()
                sock.sendall(data)
                read_to_end(sock)
                times.append(time.monotonic() - begun)
        assert sorted(times)[4] < 0.05


def test_slow_handshakes_are_dropped(serving, connecting, site):
    """Silence, and a hello that comes byte by byte, are given up at the deadline in total."""
    timing = nbrpc.Timing(handshake=0.3, heartbeat=0.2)
    server = serving(Bench, tls=tls_of(site), timing=timing, rpyc=True)
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    data = hello.read()
    with raw(server) as silent, raw(server) as slow:
        begun = time.monotonic()
        ended = threading.Event()

        def trickle():
            for i in range(len(data)):
                if ended.wait(0.02):
                    return
                with contextlib.suppress(OSError):
                    slow.send(data[i : i + 1])

        thread = threading.Thread(target=trickle)
        thread.start()
        assert read_to_end(silent) == b""
        assert read_to_end(slow) == b""
        ended.set()
        thread.join(5)
        assert time.monotonic() - begun < 2
    eventually(lambda: not server._handshakes)
    assert connecting(server).root.add(1, 2) == 3


def test_handshakes_hold_up_nobody(serving, connecting, site):
    """With 60 of them half done, another client is served; the oldest make room."""
    server = serving(Bench, tls=tls_of(site), limits=nbrpc.Limits(unauthenticated=20))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(raw(server)).sendall(b"\x16\x03\x01")
        assert connecting(server).root.add(1, 2) == 3
        assert len(server._handshakes) <= 20


def test_a_silent_client_of_rpyc(serving, connecting, site):
    """RPyC's clients may say nothing until they are used, but not before TLS is set up."""
    timing = nbrpc.Timing(handshake=0.2, heartbeat=0.1)
    server = serving(Bench, tls=tls_of(site), timing=timing, rpyc=True)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with raw(server) as silent, raw(server) as sock, context.wrap_socket(sock) as shaken:
        connecting(server)  # its heartbeat makes the reactor look often
        assert read_to_end(silent) == b""
        eventually(lambda: len(server._handshakes) == 1)
        (handshake,) = server._handshakes.values()
        eventually(lambda: time.monotonic() - handshake.begun > 0.5)
        assert handshake.transport.ready
        assert list(server._handshakes.values()) == [handshake]
        shaken.close()
    eventually(lambda: not server._handshakes)


# ---- mutual TLS


def test_clients_show_certificates(serving, site, user, authority):
    """With ca= a client is let in by certificate and token; the service sees who it is."""
    bench = Bench()
    server = serving(bench, tls=tls_of(site, ca=authority.cert))
    mine = tls_of(user, ca=authority.cert)
    with nbrpc.connect(server.url, token=server.token, tls=mine) as conn:
        assert conn.root.add(1, 2) == 3
    (credentials,) = bench.who
    assert ((("commonName", "user"),)) in credentials["subject"]
    with pytest.raises(nbrpc.AuthenticationFailed, match="the token is wrong"):
        nbrpc.connect(server.url, token="x", tls=mine)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_without_a_right_certificate(
    serving, folder, site, authority, version, caplog, elsewhere
):
    """Without one, or with a stranger's, the client is told what is asked for."""
    server = serving(Bench, tls=tls_of(site, ca=authority.cert))
    stranger = issue(folder, "intruder")
    elsewhere()
    bare = ssl.create_default_context(cafile=authority.cert)
    bare.maximum_version = version
    strange = ssl.create_default_context(cafile=authority.cert)
    strange.maximum_version = version
    strange.load_cert_chain(stranger.cert, stranger.key)
    for _ in range(20):  # whether the refusal is read before the connection breaks is a race
        with pytest.raises(nbrpc.AuthenticationFailed, match="asks for a certificate of the"):
            nbrpc.connect(server.url, token=server.token, tls=bare)
        with pytest.raises(nbrpc.AuthenticationFailed, match="does not accept the certificate"):
            nbrpc.connect(server.url, token=server.token, tls=strange)
    eventually(lambda: "the client showed no certificate" in caplog.text)
    eventually(lambda: "the client's certificate is not valid" in caplog.text)
    eventually(lambda: not server._handshakes)


# ---- what is allowed beyond this machine


def test_beyond_loopback(site, authority):
    """TLS allows a host beyond loopback; RPyC's clients need to show certificates there."""
    host = "192.0.2.1"  # an address that nobody has
    none = Encryption.of(None, None, None)
    one_way = Encryption.of(tls_of(site), None, None)
    mutual = Encryption.of(tls_of(site, ca=authority.cert), None, None)
    with pytest.raises(ValueError, match=r"is not encrypted: give tls="):
        check_reach(host, none, insecure=False, rpyc=False)
    with pytest.raises(ValueError, match=r"TLS with ca="):
        check_reach(host, one_way, insecure=True, rpyc=True)
    with pytest.raises(ValueError, match=r"TLS with ca="):
        nbrpc.Server(Bench, host=host, tls=tls_of(site), rpyc=True)
    for encryption, insecure, rpyc in [
        (none, True, False),
        (one_way, False, False),
        (mutual, False, False),
        (mutual, False, True),
    ]:
        check_reach(host, encryption, insecure=insecure, rpyc=rpyc)
    # What is left is that this machine has no such address.
    with pytest.raises(OSError, match="no address of this machine"):
        nbrpc.Server(Bench, host=host, tls=tls_of(site))


def test_mistakes_of_servers(site, user, folder, tmp_path):
    """Each says in a sentence what is wrong with what was given."""
    encrypted = tmp_path / "locked.key"
    from cryptography.hazmat.primitives import serialization

    encrypted.write_bytes(
        site.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    empty = tmp_path / "empty"
    empty.touch()
    cases = [
        (True, "needs a certificate"),
        (nbrpc.TLS(), "needs a certificate"),
        (nbrpc.TLS(cert="/no/such", key=site.key), "certificate file /no/such cannot be read: no"),
        (nbrpc.TLS(cert=site.cert, key="/no/such"), "the key file /no/such cannot be read: no"),
        (nbrpc.TLS(cert=site.cert), "hold no certificate and key"),
        (nbrpc.TLS(cert=site.cert, key=user.key), "does not belong to the certificate"),
        (nbrpc.TLS(cert=site.cert, key=encrypted), "is encrypted"),
        (tls_of(site, ca="/no/such"), "the ca file /no/such cannot be read"),
        (tls_of(site, ca=empty), "holds no certificate"),
        (tls_of(site, fingerprint=site.fingerprint), "are for clients"),
        (tls_of(site, insecure_no_verify=True), "are for clients"),
    ]
    for tls, reason in cases:
        with pytest.raises(ValueError, match=reason) as caught:
            nbrpc.Server(Bench, tls=tls)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="tls of a server is"):
        nbrpc.Server(Bench, tls="yes")
    with pytest.raises(ValueError, match="Unix socket"):
        nbrpc.Server(Bench, path=str(tmp_path / "socket"), tls=tls_of(site))
    with pytest.raises(ValueError, match="cannot share its socket"):
        nbrpc.Server(Bench, tls=tls_of(site), authenticator=lambda sock: (sock, None))
    assert not running()


def test_mistakes_of_clients(tmp_path):
    """What cannot be meant is refused before anything is sent."""
    print_ = f"sha256:{'0' * 64}"
    for options, reason in [
        ({"key": "k"}, "TLS.key needs TLS.cert"),
        ({"fingerprint": "sha256:12"}, "is no fingerprint"),
        ({"fingerprint": print_, "insecure_no_verify": True}, "checks nothing"),
        ({"ca": "f", "insecure_no_verify": True}, "checks nothing"),
        ({"insecure_no_verify": 1}, "True or False"),
    ]:
        with pytest.raises(ValueError, match=reason):
            nbrpc.TLS(**options)
    for options in ({"cert": 1}, {"ca": b"x"}, {"fingerprint": 5}):
        with pytest.raises(TypeError):
            nbrpc.TLS(**options)
    with pytest.raises(ValueError, match="cannot be read"):
        nbrpc.connect("localhost", 1, tls=nbrpc.TLS(ca=tmp_path / "none"))
    with pytest.raises(ValueError, match="Unix socket"):
        nbrpc.connect("unix:///run/x", tls=True)
    with pytest.raises(ValueError, match="tls=False"):
        nbrpc.connect("nbrpcs://localhost:1", tls=False)
    with pytest.raises(TypeError, match="tls is True"):
        nbrpc.connect("localhost", 1, tls="yes")


# ---- channel binding


class Relay:
    """A man in the middle: ends the client's TLS with its own certificate, and goes on."""

    def __init__(self, target, issued, *, server_tls=True):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = target
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(issued.cert, issued.key)
        self.onward = ssl.create_default_context()
        self.onward.check_hostname = False
        self.onward.verify_mode = ssl.CERT_NONE
        self.server_tls = server_tls
        self.relayed = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            sock, _ = self.listener.accept()
            left = self.context.wrap_socket(sock, server_side=True)
            right = socket.create_connection((self.target.host, self.target.port))
            if self.server_tls:
                right = self.onward.wrap_socket(right)
            with left, right:
                back = threading.Thread(target=self.pump, args=(right, left))
                back.start()
                self.pump(left, right)
                back.join(5)

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.relayed += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.mark.parametrize("server_tls", [True, False])
def test_a_relayed_proof_is_worth_nothing(serving, site, folder, server_tls):
    """A client that was told to take any certificate is not let in through somebody between."""
    middle = issue(folder, "middle")
    server = serving(Bench, tls=tls_of(site) if server_tls else None)
    relay = Relay(server, middle, server_tls=server_tls)
    try:
        with pytest.raises(nbrpc.AuthenticationFailed, match="the token is wrong"):
            nbrpc.connect(
                "127.0.0.1",
                relay.port,
                token=server.token,
                tls=nbrpc.TLS(insecure_no_verify=True),
            )
        assert relay.relayed > 200  # it was the proof that failed
        assert not server.connections
    finally:
        relay.close()


def test_a_relay_with_the_servers_own_certificate_is_the_server(serving, site):
    """The same relay with the right key passes: it is the certificate that makes the difference."""
    server = serving(Bench, tls=tls_of(site))
    relay = Relay(server, site)
    try:
        with nbrpc.connect(
            "127.0.0.1",
            relay.port,
            token=server.token,
            tls=nbrpc.TLS(fingerprint=site.fingerprint),
        ) as conn:
            assert conn.root.add(1, 2) == 3
    finally:
        relay.close()


# ---- a session


@pytest.fixture
def secure(serving, connecting, site):
    """Give a connection over TLS, to a server in this process."""
    server = serving(Bench, tls=tls_of(site))
    return connecting(server)


def test_a_session_is_what_it_is_without(secure):
    """Calls, callbacks, results, iteration, proxies, errors, arrays: as over TCP."""
    root = secure.root
    assert isinstance(secure.session.transport, TlsTransport)
    assert secure.session.socket is None  # no short way past the encryption
    assert root.add(1, 2) == 3
    assert root.call(lambda i: root.add(i, 1), 20) == list(range(1, 21))
    results = [nbrpc.async_(root.add)(i, i) for i in range(300)]
    assert [result.value for result in results] == [2 * i for i in range(300)]
    assert sum(root.lines(20_000)) == sum(range(20_000))
    assert list(root.numbers()) == [1, 2, 3]
    with pytest.raises(TypeError):
        root.add(1, "x")
    array = np.arange(100_000.0)
    assert np.array_equal(nbrpc.obtain(root.echo(array)), array)
    secure.ping()
    assert secure.statistics().round_trip is not None


def test_events_over_tls(secure):
    """Ten thousand arrive at a callback, and at a stream in order."""
    received = []
    subscription = secure.root.changed.subscribe(received.append, policy="block", maxsize=20_000)
    stream = secure.root.changed.stream("drop_oldest", 20_000)
    secure.root.emit(10_000)
    assert [next(stream) for _ in range(10_000)] == list(range(10_000))
    eventually(lambda: secure.root.add(1, 2) and len(received) == 10_000)
    assert set(received) == set(range(10_000))
    subscription.close()
    stream.close()


def test_many_threads_over_tls(secure):
    """Threads that call at once, with small and large arguments, get their own answers."""
    wrong = []

    def run(number):
        for i in range(60):
            data = bytes([number, i]) * (1 + (i % 7) * 20_000)
            if secure.root.echo(data) != data:
                wrong.append((number, i))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert secure.root.add(1, 2) == 3


def test_100_mb_both_ways(served, tmp_path):
    """Large data goes there and back whole, between processes, and small calls pass meanwhile."""
    (tmp_path / "echo.py").write_text(
        "import nbrpc\n"
        "class Echo(nbrpc.Service):\n"
        "    def exposed_echo(self, data): return data\n"
        "    def exposed_add(self, a, b): return a + b\n"
    )
    server = served("echo:Echo", "--tls-self-signed", folder=tmp_path)
    assert server.url.startswith("nbrpcs://")
    data = os.urandom(1_000_000) * 100
    with nbrpc.connect(server.url) as conn:
        result = nbrpc.async_(conn.root.echo)(data)
        while not result.ready:
            assert conn.root.add(1, 2) == 3
        assert result.value == data


def test_heartbeats_over_tls(serving, site):
    """A connection that is idle lives on, and a peer that is silent is given up."""
    server = serving(Bench, tls=tls_of(site))
    timing = nbrpc.Timing(heartbeat=0.05, silent_after=0.5)
    with nbrpc.connect(server.url, timing=timing) as conn:
        before = conn.statistics().bytes_received
        eventually(lambda: conn.statistics().bytes_received > before + 20)
        assert not conn.closed
        # The peer reads no longer, and says nothing more.
        (there,) = server.connections
        server_session = there.session
        server_session.reading.acquire()
        try:
            eventually(lambda: conn.closed, 5)
        finally:
            server_session.reading.release()
    with pytest.raises(nbrpc.ConnectionLost):
        conn.root.add(1, 2)


def test_both_ends_are_told_of_the_end(serving, site):
    """Closing, and a line that breaks without a word, end every call."""
    server = serving(Bench, tls=tls_of(site))
    with nbrpc.connect(server.url) as conn:
        pass
    eventually(lambda: not server.connections)
    conn = nbrpc.connect(server.url)
    conn.ping()  # the server may be a moment behind
    result = nbrpc.async_(conn.root.sleep)(0.5)
    (there,) = server.connections
    there.session.transport.below.close()  # no goodbye, no close_notify
    with pytest.raises(nbrpc.ConnectionLost):
        result.result(5)
    conn.close()


def test_classic_over_tls(serving, site, authority):
    """nbrpc.classic.connect takes tls= as well."""
    server = serving(nbrpc.ClassicService, tls=tls_of(site))
    with nbrpc.classic.connect(
        "localhost", server.port, token=server.token, tls=nbrpc.TLS(ca=authority.cert)
    ) as conn:
        assert conn.modules.math.sqrt(16) == 4.0
    with nbrpc.classic.connect(server.url) as conn:
        assert conn.eval("1 + 1") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")  # Windows
def test_a_forking_server(serving, site):
    """A child shakes hands by itself, and the parent says nothing on its line."""
    with nbrpc.ForkingServer(Bench, tls=tls_of(site)) as server:
        for _ in range(2):
            with nbrpc.connect(server.url, token=server.token) as conn:
                assert conn.root.add(1, 2) == 3


def test_names_tell_no_secret(serving, site):
    """The address of a server shows neither token nor key in its repr."""
    server = serving(Bench, tls=tls_of(site))
    assert server.token not in repr(server.address) + str(server.address) + repr(server)
    assert parse(server.url_with_token).fingerprint == site.fingerprint


def test_the_peers_machine_is_known(serving, site, connecting):
    """Failures are counted by address over TLS too."""
    server = serving(Bench, tls=tls_of(site))
    conn = connecting(server)
    conn.ping()  # the server may be a moment behind
    (there,) = server.connections
    assert sockets.peer_host(there.session.transport) == "127.0.0.1"
    with pytest.raises(TypeError, match="is no socket"):
        sockets.raw_socket(conn.session.transport)
