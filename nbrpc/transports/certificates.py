"""Certificates: what a side shows, what it trusts, and what is wrong with one, in a sentence."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
from typing import NoReturn

from nbrpc.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, NbrpcError
from nbrpc.options import TLS

__all__ = [
    "PlainClient",
    "TlsFailed",
    "asks_for_certificate",
    "client_context",
    "fingerprint_of",
    "is_mutual",
    "own_certificate",
    "server_context",
    "why_client_failed",
    "why_server_failed",
]

OLDEST = ssl.TLSVersion.TLSv1_2

SELF_SIGNED = frozenset({18, 19})
NOT_YET_VALID, EXPIRED = 9, 10
UNKNOWN_ISSUER = frozenset({2, 20, 21, 27})
OTHER_HOST = frozenset({62, 64})
"""Codes of OpenSSL (X509_V_ERR_...) for what is wrong with a certificate."""

WANTS_CERTIFICATE = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"}
)
REFUSES_CERTIFICATE = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
OTHER_VERSION = frozenset(
    {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"}
)


def fingerprint_of(certificate: bytes) -> str:
    """Give ``sha256:...`` of a certificate as DER."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


# ---- contexts


def client_context(tls: object, fingerprint: str | None = None) -> ssl.SSLContext:
    """Make what a client shakes hands with.

    Parameters
    ----------
    tls
        True, a `TLS`, or an `ssl.SSLContext`.
    fingerprint
        What the server's certificate must have, checked by the caller: then nothing else is.

    Raises
    ------
    ValueError
        A file cannot be used, or the context verifies nothing.
    TypeError
        It is nothing of these.
    """
    if isinstance(tls, ssl.SSLContext):
        _check_version(tls)
        if fingerprint is None and (tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError(
                "this SSLContext does not verify the server (verify_mode, check_hostname): give "
                "its fingerprint, or say nbrpc.TLS(insecure_no_verify=True) if that is meant"
            )
        return tls
    if tls is True:
        tls = TLS()
    if not isinstance(tls, TLS):
        raise TypeError(f"tls is True, an nbrpc.TLS or an ssl.SSLContext, not {tls!r:.80}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = OLDEST
    context.options |= ssl.OP_NO_RENEGOTIATION
    if fingerprint is not None or tls.insecure_no_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is not None:
        _trust(context, tls.ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.cert is not None:
        _load(context, tls)
    return context


def server_context(tls: object) -> ssl.SSLContext:
    """Make what a server shakes hands with, of a `TLS` or an `ssl.SSLContext`.

    Raises
    ------
    ValueError
        There is no certificate, or a file cannot be used.
    TypeError
        It is nothing of these.
    """
    if isinstance(tls, ssl.SSLContext):
        _check_version(tls)
        return tls
    if tls is True:
        tls = TLS()
    if not isinstance(tls, TLS):
        raise TypeError(f"tls of a server is an nbrpc.TLS or an ssl.SSLContext, not {tls!r:.80}")
    if tls.cert is None:
        raise ValueError(
            "a server with TLS needs a certificate: nbrpc.TLS(cert=..., key=...), or nbrpc serve "
            "--tls-self-signed"
        )
    if tls.fingerprint is not None or tls.insecure_no_verify:
        raise ValueError(
            "fingerprint and insecure_no_verify are for clients, which verify a server: leave them "
            "out here"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = OLDEST
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # a connection is not resumed, and they are two messages for each
    _load(context, tls)
    if tls.ca is not None:
        _trust(context, tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def is_mutual(context: ssl.SSLContext) -> bool:
    """Whether whoever connects must show a certificate."""
    return context.verify_mode == ssl.CERT_REQUIRED


def own_certificate(context: ssl.SSLContext) -> bytes:
    """Give the certificate that a server's context shows, as DER.

    A context does not tell, so a client of ours asks it, in memory.

    Raises
    ------
    ValueError
        It shows none, and can serve nobody.
    """
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ends = (
            asking.wrap_bio(back, there),
            context.wrap_bio(there, back, server_side=True),
        )
        client = ends[0]
        for _ in range(4):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    if end is client:
                        raise
                    # It wants a certificate of the client, which has seen the server's by then.
        certificate = client.getpeercert(binary_form=True)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(_no_certificate(error)) from error
    if certificate is None:
        raise ValueError(_no_certificate(None))
    return certificate


def _no_certificate(error: Exception | None) -> str:
    reason = f" ({getattr(error, 'reason', None) or error})" if error else ""
    return (
        f"no server certificate was found in this SSLContext{reason}: load one into a context of "
        "ssl.PROTOCOL_TLS_SERVER, or give nbrpc.TLS(cert=..., key=...)"
    )


def _check_version(context: ssl.SSLContext) -> None:
    if context.minimum_version not in (OLDEST, ssl.TLSVersion.TLSv1_3):
        raise ValueError(
            "this SSLContext allows versions of TLS that are broken: set its minimum_version to "
            "ssl.TLSVersion.TLSv1_2"
        )


def _load(context: ssl.SSLContext, tls: TLS) -> None:
    """Load this side's certificate and key."""
    assert tls.cert is not None
    cert = os.fspath(tls.cert)
    key = cert if tls.key is None else os.fspath(tls.key)
    _check_readable("certificate", cert)
    _check_readable("key", key)

    def no_password() -> NoReturn:  # else OpenSSL would ask on the terminal
        raise ValueError(f"the key file {key} is encrypted: write it without a password, mode 0600")

    try:
        context.load_cert_chain(cert, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(
                f"the key in {key} does not belong to the certificate in {cert}"
            ) from error
        raise ValueError(
            f"{cert} and {key} hold no certificate and key: PEM is expected "
            f"({error.reason or error})"
        ) from error


def _trust(context: ssl.SSLContext, ca: str | os.PathLike[str]) -> None:
    """Load the certificates that vouch for the other side."""
    path = os.fspath(ca)
    _check_readable("ca", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ValueError(
            f"the ca file {path} holds no certificate: PEM is expected ({error.reason or error})"
        ) from error


def _check_readable(what: str, path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123 - pathlib would slow down the import
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"the {what} file {path} cannot be read: {reason}") from error


# ---- what went wrong


class TlsFailed(ConnectionLost):
    """A client did not get through the handshake of TLS; the message says why, not who.

    Attributes
    ----------
    level : int
        How loud this is to be logged.
    """

    level = logging.WARNING


class PlainClient(TlsFailed):
    """The client does not speak TLS, or it tries what this port speaks."""

    level = logging.INFO


def asks_for_certificate(error: ssl.SSLError) -> bool:
    """Whether a server ended the connection because of the certificate of this side."""
    return error.reason in WANTS_CERTIFICATE or error.reason in REFUSES_CERTIFICATE


def why_client_failed(error: ssl.SSLError, host: str | None) -> NbrpcError:
    """Give the error of a client whose TLS handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthenticationFailed(_what_is_wrong(error, host))
    if error.reason in WANTS_CERTIFICATE:
        return AuthenticationFailed(
            "the server asks for a certificate of the client: give nbrpc.TLS(cert=..., key=...)"
        )
    if error.reason in REFUSES_CERTIFICATE:
        return AuthenticationFailed(
            "the server does not accept the certificate of this client: give one that its ca "
            "vouches for"
        )
    if error.reason in OTHER_VERSION:
        return ConnectFailed("the server speaks another version of TLS: 1.2 or later is needed")
    return ConnectFailed(f"the TLS handshake failed: {error.reason or error}")


def _what_is_wrong(error: ssl.SSLCertVerificationError, host: str | None) -> str:
    code = error.verify_code
    advice = "give the fingerprint that the server prints, or ca= with who vouches for it"
    if code in SELF_SIGNED:
        return f"the server's certificate is self-signed, and nobody vouches for it: {advice}"
    if code in UNKNOWN_ISSUER:
        return f"the server's certificate comes from an authority that is not trusted: {advice}"
    if code == EXPIRED:
        return "the server's certificate has expired: the server needs a new one"
    if code == NOT_YET_VALID:
        return "the server's certificate is not valid yet: check the clocks of both machines"
    if code in OTHER_HOST:
        return (
            f"the server's certificate is not for {host}: connect by a name that is in it, or give "
            "its fingerprint"
        )
    return f"the server's certificate is not valid: {error.verify_message}"


def why_server_failed(error: ssl.SSLError) -> str:
    """Say why the TLS handshake with a client failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate is not valid: {error.verify_message}"
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "the client showed no certificate"
    if error.reason in REFUSES_CERTIFICATE:
        return "the client does not trust this server's certificate"
    if error.reason in OTHER_VERSION:
        return "the client speaks another version of TLS"
    return f"the TLS handshake failed ({error.reason or error})"
