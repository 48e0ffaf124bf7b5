"""``ssl_connect``, with RPyC's parameters; what it trusts is nbrpc's choice."""

from __future__ import annotations

import ssl
from typing import Any

from nbrpc.compat.connection import RpycConnection
from nbrpc.compat.factory import NO_CONFIG, Config, connect_to
from nbrpc.compat.service import VoidService
from nbrpc.options import TLS
from nbrpc.transports.address import Address
from nbrpc.transports.certificates import client_context

__all__ = ["ssl_connect"]


def ssl_connect(
    host: str,
    port: int,
    keyfile: Any = None,
    certfile: Any = None,
    ca_certs: Any = None,
    cert_reqs: Any = None,
    ssl_version: Any = None,  # noqa: ARG001 - RPyC's signature
    ciphers: Any = None,
    service: Any = VoidService,
    config: Config = NO_CONFIG,
    ipv6: bool = False,  # noqa: ARG001, FBT001, FBT002 - RPyC's signature
    keepalive: Any = False,  # noqa: ARG001, FBT002 - RPyC's signature
    verify_mode: Any = None,
    insecure_no_verify: bool = False,  # noqa: FBT001, FBT002 - beside RPyC's
) -> RpycConnection:
    """Connect to a server over TLS, and verify it, where RPyC does only with ``ca_certs``.

    Parameters
    ----------
    keyfile, certfile
        Files with the key and the certificate of this side, where the server asks for one.
    ca_certs
        A file with the certificates that vouch for the server; the system's unless given.
    cert_reqs, verify_mode
        None or ``ssl.CERT_REQUIRED``; the host name is checked as well.
    ssl_version
        Accepted as in RPyC: it is TLS 1.2 or later in any case.
    ciphers
        What OpenSSL may choose from, in its own terms; for TLS 1.2 only.
    insecure_no_verify
        Take any certificate. Whoever sits between can then read and change all.

    Raises
    ------
    ValueError
        No verification was asked for, without ``insecure_no_verify=True``; or a file cannot be
        used.
    ConnectFailed, AuthenticationFailed
        As in `connect`; or the server's certificate is not the right one.
    """
    if ssl.CERT_NONE in (cert_reqs, verify_mode) and not insecure_no_verify:
        raise ValueError(
            "cert_reqs asks for no verification, and whoever sits between could then read and "
            "change all: give ca_certs, or say insecure_no_verify=True if that is meant"
        )
    tls: Any = TLS(
        cert=certfile, key=keyfile, ca=ca_certs or None, insecure_no_verify=insecure_no_verify
    )
    if ciphers is not None:
        tls = client_context(tls)
        tls.set_ciphers(ciphers)
    return connect_to(Address.tcp(host, int(port)), service, config, tls=tls)
