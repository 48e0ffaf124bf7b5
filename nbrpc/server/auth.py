"""RPyC's authenticators: callables that see a client's socket before anything else does.

A server of nbrpc checks tokens by itself (the handshake of ``nbrpc.protocol``); an authenticator is
for programs that bring their own check, as RPyC's servers allow.
"""

from __future__ import annotations

import socket
from typing import Protocol

__all__ = ["AuthenticationError", "Authenticator"]


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
