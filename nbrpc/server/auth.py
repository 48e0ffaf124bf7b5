"""RPyC's authenticators: callables that see a client's socket before anything else does.

A server of nbrpc checks tokens by itself (the handshake of ``nbrpc.protocol``); an authenticator is
for programs that bring their own check, as RPyC's servers allow.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from nbrpc.options import TLS

if TYPE_CHECKING:
    import ssl

__all__ = ["AuthenticationError", "Authenticator", "SSLAuthenticator"]


class AuthenticationError(Exception):
    """An authenticator raises this to turn a client away; its connection is closed, unanswered."""


class Authenticator(Protocol):
    """What the ``authenticator`` of a server must be: a function, or an object that can be called.

    Examples
    --------
    >>> def same_host(sock):
    ...     host = sock.getpeername()[0]
    ...     if host != "127.0.0.1":
    ...         raise AuthenticationError(f"{host} may not connect")
    ...     return sock, {"host": host}
    """

    def __call__(self, sock: socket.socket, /) -> tuple[socket.socket, object]:
        """Check a client that has just connected.

        Returns
        -------
        tuple
            The socket to go on with (the same, or one wrapped around it), and the credentials that
            the service finds in its connection.

        Raises
        ------
        AuthenticationError
            The client is turned away.
        """
        ...


class SSLAuthenticator:
    """RPyC's authenticator of that name: the server speaks TLS, as with ``tls=``.

    Parameters
    ----------
    keyfile, certfile
        Files with the server's private key and certificate.
    ca_certs
        A file with the certificates that vouch for clients, which must then show theirs.
    cert_reqs
        None, or the `ssl.VerifyMode` that goes with it: ``CERT_REQUIRED`` with ``ca_certs``,
        ``CERT_NONE`` without. With ``CERT_OPTIONAL`` a client may leave its certificate out.
    ssl_version
        Accepted as in RPyC: it is TLS 1.2 or later in any case.
    ciphers
        What OpenSSL may choose from, in its own terms; for TLS 1.2 only.

    Raises
    ------
    ValueError
        A file cannot be used, or ``cert_reqs`` does not go with ``ca_certs``.

    Attributes
    ----------
    context : ssl.SSLContext
        What the server uses.
    """

    def __init__(
        self,
        keyfile: str | os.PathLike[str],
        certfile: str | os.PathLike[str],
        ca_certs: str | os.PathLike[str] | None = None,
        cert_reqs: Any = None,
        ssl_version: Any = None,
        ciphers: str | None = None,
    ) -> None:
        import ssl

        from nbrpc.transports.certificates import server_context

        self.context: ssl.SSLContext = server_context(TLS(certfile, keyfile, ca_certs or None))
        if cert_reqs not in (None, ssl.CERT_NONE) and not ca_certs:
            raise ValueError("cert_reqs asks for certificates of clients: say by ca_certs whose")
        if cert_reqs is not None:
            self.context.verify_mode = cert_reqs
        if ciphers is not None:
            self.context.set_ciphers(ciphers)

    def __call__(self, _sock: socket.socket, /) -> NoReturn:
        """Refuse: TLS is the server's own here.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("an SSLAuthenticator is for the server's authenticator= alone")
