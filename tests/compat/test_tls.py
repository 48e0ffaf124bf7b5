"""``rpyc.ssl_connect`` and ``SSLAuthenticator`` under RPyC's names, to servers of nbrpc."""

from __future__ import annotations

import ssl

import pytest

import nbrpc
from nbrpc.compat import classic as rpyc_classic
from nbrpc.compat import secure, servers
from nbrpc.compat.service import Service, SlaveService
from nbrpc.compat.table import module_for
from tests.certificates import issue


class Bench(Service):
    def exposed_add(self, a, b):
        return a + b

    def exposed_who(self):
        return None


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Give an authority, and the certificates of a server and a client."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = issue(folder, "authority", is_ca=True)
    return authority, issue(folder, "site", by=authority), issue(folder, "user", by=authority)


@pytest.fixture
def mutual(files):
    """Give a server whose clients show certificates."""
    authority, site, _ = files
    authenticator = module_for("rpyc.utils.authenticators").SSLAuthenticator(
        site.key, site.cert, authority.cert
    )
    with servers.ThreadedServer(Bench, authenticator=authenticator) as server:
        yield server


def test_ssl_connect(mutual, files):
    """It connects with RPyC's parameters, and the service sees the client's certificate."""
    authority, _, user = files
    conn = secure.ssl_connect("localhost", mutual.port, user.key, user.cert, authority.cert)
    with conn:
        assert conn.root.add(1, 2) == 3
        (there,) = mutual.connections
        assert there._config["credentials"]["subject"] == ((("commonName", "user"),),)
        assert there._config["endpoints"][0][1] == mutual.port
        assert {sock.fileno() for sock in mutual.clients} == {there.session.fileno()}
    with pytest.raises(nbrpc.AuthenticationFailed, match="asks for a certificate"):
        secure.ssl_connect("localhost", mutual.port, ca_certs=authority.cert)


def test_verification_is_the_rule(files, monkeypatch, tmp_path):
    """Where RPyC verifies nothing unless told to, this does unless told not to."""
    _, site, _ = files
    tls = nbrpc.TLS(site.cert, site.key)
    with servers.ThreadedServer(Bench, tls=tls) as server:
        # The connection file of this user's server tells its fingerprint.
        with secure.ssl_connect("localhost", server.port) as conn:
            assert conn.root.add(1, 2) == 3
        with pytest.raises(ValueError, match="insecure_no_verify=True"):
            secure.ssl_connect("localhost", server.port, cert_reqs=ssl.CERT_NONE)
        with secure.ssl_connect(
            "localhost", server.port, cert_reqs=ssl.CERT_NONE, insecure_no_verify=True
        ) as conn:
            assert conn.root.add(1, 2) == 3
        monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(tmp_path))
        with pytest.raises(nbrpc.AuthenticationFailed, match="not trusted"):
            secure.ssl_connect("localhost", server.port)


def test_classic_ssl_connect(files):
    """The same for classic mode."""
    authority, site, _ = files
    tls = nbrpc.TLS(site.cert, site.key)
    with (
        servers.ThreadedServer(SlaveService, tls=tls) as server,
        rpyc_classic.ssl_connect(
            "localhost", server.port, ca_certs=authority.cert, ciphers="ECDHE+AESGCM"
        ) as conn,
    ):
        assert conn.modules.math.sqrt(16) == 4.0
