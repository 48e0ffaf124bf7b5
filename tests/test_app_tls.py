"""``nbrpc serve`` with TLS: files that are named, and certificates that are made."""

from __future__ import annotations

import datetime
import ssl
import sys

import pytest
from cryptography import x509

import nbrpc
from nbrpc.app.certificate import self_signed, self_signed_context
from nbrpc.app.command import Mistake
from nbrpc.app.visit import find
from nbrpc.connection_file import find_by_name
from nbrpc.transports.address import parse
from nbrpc.transports.certificates import fingerprint_of, own_certificate
from tests.certificates import issue

THING = """
class Thing:
    def double(self, x):
        return 2 * x
"""


@pytest.fixture
def folder(tmp_path):
    """Give a folder with something to serve."""
    (tmp_path / "thing.py").write_text(THING)
    return tmp_path


def test_a_self_signed_certificate(served, folder, tmp_path, monkeypatch, capsys, runtime_dir):
    """The printed URL is all that a client elsewhere needs; here, the name or the port is."""
    server = served("thing:Thing", "--tls-self-signed", "--name", "safe", folder=folder)
    address = parse(server.url)
    assert address.scheme == "nbrpcs"
    assert address.token
    info = find_by_name("safe")
    assert info.fingerprint == address.fingerprint
    assert info.url == address.url
    assert [path.suffix for path in runtime_dir.iterdir()] == [".json"]  # the key is in no file
    for place in [(info.url,), ("localhost", address.port)]:
        with nbrpc.connect(*place) as conn:
            assert conn.root.double(4) == 8
    assert find("safe").url == info.url
    from nbrpc.app import main

    for command in (["ping", "safe", "--count", "2"], ["inspect", "safe"], ["list"]):
        assert main(command) in (0, None)
        said = capsys.readouterr().out
        assert str(address.port) in said
    assert info.url in said
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(tmp_path))
    with nbrpc.connect(server.url) as conn:
        assert conn.root.double(4) == 8
    assert main(["ping", server.url, "--count", "1"]) in (0, None)
    with pytest.raises(nbrpc.AuthenticationFailed, match="self-signed"):
        nbrpc.connect(address.url, token=address.token)


def test_files_that_are_named(served, folder):
    """--tls-cert and --tls-key encrypt, and --tls-ca asks clients for certificates."""
    authority = issue(folder, "authority", is_ca=True)
    site = issue(folder, "site", by=authority)
    user = issue(folder, "user", by=authority)
    server = served(
        "thing:Thing",
        "--tls-cert=site.pem",
        "--tls-key=site.key",
        "--tls-ca=authority.pem",
        folder=folder,
    )
    assert parse(server.url).fingerprint == site.fingerprint
    with pytest.raises(nbrpc.AuthenticationFailed, match="asks for a certificate"):
        nbrpc.connect(server.url)
    with nbrpc.connect(server.url, tls=nbrpc.TLS(user.cert, user.key)) as conn:
        assert conn.root.double(4) == 8


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "lab.example", "::1", "0.0.0.0"])
def test_what_a_self_signed_certificate_says(host):
    """It is for the host and for this machine, valid for a year, and no authority."""
    pem = self_signed(host)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = [str(name.value) for name in names]
    assert {"localhost", "127.0.0.1", "::1"} <= set(texts)
    assert host in texts or host == "0.0.0.0"
    ends = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=364) < ends <= datetime.timedelta(days=365)
    context = self_signed_context(host)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    made = own_certificate(context)
    assert fingerprint_of(made) != fingerprint_of(ssl.PEM_cert_to_DER_cert(_first(pem)))


def _first(pem):
    text = pem.decode()
    return text[: text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"


def test_without_cryptography(monkeypatch):
    """A sentence says what to install, or what to do without."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Mistake, match=r"pip install 'nbrpc\[tls\]', or name a certificate"):
        self_signed("localhost")
