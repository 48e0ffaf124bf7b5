"""The TLS of ``nbrpc serve``: files that were named, or a certificate made for this one server."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import tempfile
from typing import TYPE_CHECKING

from nbrpc.app.command import Mistake
from nbrpc.connection_file import runtime_folder
from nbrpc.options import TLS
from nbrpc.transports.certificates import server_context

if TYPE_CHECKING:
    import ssl

    from cryptography import x509

__all__ = ["self_signed", "self_signed_context"]

VALID = datetime.timedelta(days=365)
LEEWAY = datetime.timedelta(hours=1)
"""By how much the clock of a client may be behind."""

WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - it is everywhere, and no name


def self_signed_context(host: str, ca: str | None = None) -> ssl.SSLContext:
    """Make the context of a server with a certificate that only its fingerprint vouches for.

    Parameters
    ----------
    host
        Where the server listens.
    ca
        The file with the certificates that vouch for clients, if these are to show theirs.

    Raises
    ------
    Mistake
        It cannot be made: what makes certificates is not installed.
    ValueError
        ``ca`` cannot be used.
    """
    folder = runtime_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # OpenSSL reads keys from files only. This one is for its owner alone, and gone right away.
    descriptor, path = tempfile.mkstemp(".pem", "tls-", folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(self_signed(host))
        return server_context(TLS(cert=path, ca=ca))
    finally:
        os.unlink(path)  # noqa: PTH108 - as it was made


def self_signed(host: str) -> bytes:
    """Make a certificate for a host, valid for a year, and its key, both as PEM.

    Raises
    ------
    Mistake
        What makes certificates is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as exc:
        raise Mistake(
            "--tls-self-signed needs the package cryptography: pip install 'nbrpc[tls]', or name "
            "a certificate of yours by --tls-cert and --tls-key"
        ) from exc
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nbrpc")])
    now = datetime.datetime.now(datetime.UTC)
    names = [_general_name(text) for text in _names(host)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LEEWAY)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _names(host: str) -> list[str]:
    """Give the names by which clients may come to a server that listens there."""
    names = ["localhost", "127.0.0.1", "::1"]
    names += [socket.gethostname()] if host in WILDCARDS else [host]
    return list(dict.fromkeys(names))


def _general_name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
