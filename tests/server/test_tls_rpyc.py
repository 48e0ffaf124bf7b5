"""RPyC's protocol over TLS, with the real RPyC at the other end, in a process of its own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import textwrap

import pytest

import nbrpc
from tests.certificates import issue
from tests.support import eventually


class Bench(nbrpc.Service):
    def __init__(self):
        self.who = []

    def on_connect(self, conn):
        self.who.append(conn.credentials)

    def exposed_add(self, a, b):
        return a + b

    def exposed_echo(self, data):
        return data

    def exposed_each(self, function, count):
        return [function(i) for i in range(count)]

    def exposed_numbers(self, count):
        return list(range(count))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Give an authority, and the certificates of a server and a client."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = issue(folder, "authority", is_ca=True)
    return {
        "authority": authority,
        "site": issue(folder, "site", by=authority),
        "user": issue(folder, "user", by=authority),
        "stranger": issue(folder, "stranger"),
    }


CLIENT = """
import sys, rpyc
from rpyc.utils.classic import obtain
port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:5]
conn = rpyc.ssl_connect("localhost", port, keyfile=key or None, certfile=cert or None,
                        ca_certs=ca, config={"sync_request_timeout": 10})
root = conn.root
assert root.add(1, 2) == 3
assert [root.add(i, i) for i in range(200)] == [2 * i for i in range(200)]
assert root.echo("x" * 100_000) == "x" * 100_000
assert root.echo(b"y" * 3_000_000) == b"y" * 3_000_000
assert list(root.each(lambda i: root.add(i, 1), 50)) == list(range(1, 51))
add = rpyc.async_(root.add)
results = [add(i, 1) for i in range(100)]
assert [result.value for result in results] == list(range(1, 101))
assert sum(root.numbers(500)) == sum(range(500))
conn.ping()
conn.close()
print("all right")
"""


def run_client(server, files, cert):
    """Run RPyC's client; give what it printed."""
    issued = files.get(cert)
    arguments = [str(server.port), files["authority"].cert]
    arguments += [issued.cert, issued.key] if issued else ["", ""]
    return subprocess.run(
        [sys.executable, "-c", CLIENT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_client_of_rpyc(serving, files):
    """With a certificate RPyC's ssl_connect works: calls, callbacks, large data, many at once."""
    bench = Bench()
    site = files["site"]
    tls = nbrpc.TLS(site.cert, site.key, files["authority"].cert)
    server = serving(bench, tls=tls, rpyc=True)
    done = run_client(server, files, "user")
    assert done.stdout == "all right\n", done.stderr[-2000:]
    assert bench.who[0]["subject"] == ((("commonName", "user"),),)
    eventually(lambda: not server.connections)


@pytest.mark.parametrize("cert", ["stranger", None])
def test_a_client_of_rpyc_without_a_right_certificate(serving, files, cert, caplog):
    """It is not let in."""
    site = files["site"]
    tls = nbrpc.TLS(site.cert, site.key, files["authority"].cert)
    server = serving(Bench, tls=tls, rpyc=True)
    done = run_client(server, files, cert)
    assert done.returncode != 0
    assert "all right" not in done.stdout
    eventually(lambda: "certificate" in caplog.text)
    assert not server.connections


SERVER = """
import sys, rpyc
from rpyc.utils.authenticators import SSLAuthenticator
from rpyc.utils.server import ThreadedServer

class Bench(rpyc.Service):
    def exposed_add(self, a, b): return a + b
    def exposed_echo(self, data): return data
    def exposed_each(self, function, count): return [function(i) for i in range(count)]
    def exposed_numbers(self, count): return list(range(count))

key, cert, ca = sys.argv[1:4]
service = rpyc.SlaveService if sys.argv[4] == "classic" else Bench
server = ThreadedServer(service, hostname="127.0.0.1", port=0,
                        authenticator=SSLAuthenticator(key, cert, ca or None))
print(server.port, flush=True)
server.start()
"""


def listens(port):
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def rpyc_server(files):
    """Start servers of RPyC: ``rpyc_server(mutual=..., classic=...)`` gives the port."""
    started = []

    def start(*, mutual=False, classic=False):
        site = files["site"]
        ca = files["authority"].cert if mutual else ""
        kind = "classic" if classic else "service"
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), site.key, site.cert, ca, kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        port = int(process.stdout.readline())
        eventually(lambda: listens(port))  # it knows its port before it listens
        return port

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("scheme", ["nbrpcs", "rpyc"])
def test_a_server_of_rpyc(rpyc_server, files, mutual, scheme):
    """Our client verifies it and talks to it, told what it is or not."""
    port = rpyc_server(mutual=mutual)
    user = files["user"]
    tls = nbrpc.TLS(
        cert=user.cert if mutual else None,
        key=user.key if mutual else None,
        ca=files["authority"].cert,
    )
    with nbrpc.connect(f"{scheme}://localhost:{port}", tls=tls) as conn:
        root = conn.root
        assert conn.protocol == "rpyc/6"
        assert [root.add(i, i) for i in range(200)] == [2 * i for i in range(200)]
        results = [nbrpc.async_(root.add)(i, 1) for i in range(100)]
        assert [result.value for result in results] == list(range(1, 101))
        assert list(root.each(lambda i: root.add(i, 1), 50)) == list(range(1, 51))
        assert root.echo(b"y" * 3_000_000) == b"y" * 3_000_000
        assert sum(root.numbers(500)) == sum(range(500))


def test_a_classic_server_of_rpyc(rpyc_server, files):
    """nbrpc.classic.connect takes tls= for it too."""
    port = rpyc_server(classic=True)
    with nbrpc.classic.connect(
        f"rpyc://localhost:{port}", tls=nbrpc.TLS(ca=files["authority"].cert)
    ) as conn:
        assert conn.modules.math.sqrt(16) == 4.0
        assert conn.eval("1 + 1") == 2


def test_a_server_of_rpyc_that_is_not_believed(rpyc_server, files):
    """Where RPyC's own client takes any certificate, this one verifies."""
    port = rpyc_server()
    with pytest.raises(nbrpc.AuthenticationFailed, match="not trusted"):
        nbrpc.connect(f"rpyc://localhost:{port}", tls=True)
    with nbrpc.connect(
        f"rpyc://localhost:{port}", tls=nbrpc.TLS(fingerprint=files["site"].fingerprint)
    ) as conn:
        assert conn.root.add(1, 2) == 3
    # A fingerprint stands for a server of nbrpc, unless RPyC is asked for.
    with pytest.raises(nbrpc.ConnectFailed, match="say rpyc://"):
        nbrpc.connect(f"nbrpcs://localhost:{port}/?fingerprint={files['site'].fingerprint}")


def test_an_ssl_authenticator_is_the_servers_tls(serving, files):
    """RPyC's authenticator of that name, given to a server of ours."""
    site, user, authority = files["site"], files["user"], files["authority"]
    authenticator = nbrpc.server.auth.SSLAuthenticator(site.key, site.cert, authority.cert)
    bench = Bench()
    server = serving(bench, authenticator=authenticator, rpyc=True)
    assert server.url.startswith("nbrpcs://")
    assert run_client(server, files, "user").stdout == "all right\n"
    tls = nbrpc.TLS(user.cert, user.key, authority.cert)
    with nbrpc.connect("localhost", server.port, token=server.token, tls=tls) as conn:
        assert conn.root.add(1, 2) == 3
    assert len(bench.who) == 2
    with pytest.raises(ValueError, match="say by ca_certs whose"):
        nbrpc.server.auth.SSLAuthenticator(site.key, site.cert, None, ssl.CERT_REQUIRED)
    with pytest.raises(ValueError, match="say the same"):
        nbrpc.Server(bench, tls=tls, authenticator=authenticator)
    with pytest.raises(TypeError, match="authenticator= alone"):
        authenticator(None)
