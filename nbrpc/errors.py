"""Every exception that nbrpc raises of its own.

::

    NbrpcError
     ├ ConnectFailed          (+ ConnectionError)             no connection came to be
     ├ ConnectionLost         (+ EOFError, ConnectionError)   a connection ended under a call
     ├ AuthenticationFailed                                   the token was refused, here or there
     ├ ProtocolError
     │  ├ LocalProtocolError                                  our mistake; the link survives
     │  └ RemoteProtocolError                                 the peer's mistake; the link closes
     ├ LimitExceeded                                          a limit of ``nbrpc.Limits`` was met
     ├ NotSendable            (+ TypeError)                   a value cannot travel by value
     ├ AccessDenied           (+ AttributeError)              a name is not exposed
     ├ StaleReference         (+ ReferenceError)              a proxy whose object is gone
     ├ CallTimeout            (+ TimeoutError)                a deadline passed (AsyncResultTimeout)
     ├ CallCancelled                                          the call was cancelled
     └ RemoteError                                            the peer's code raised

Each also derives from the builtin that callers already catch. A message says what happened, to
what, and what to do next.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "AsyncResultTimeout",
    "AuthenticationFailed",
    "CallCancelled",
    "CallTimeout",
    "ConnectFailed",
    "ConnectionLost",
    "LimitExceeded",
    "LocalProtocolError",
    "NbrpcError",
    "NotSendable",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "StaleReference",
]


class NbrpcError(Exception):
    """The base of every exception of nbrpc."""


class ConnectFailed(NbrpcError, ConnectionError):
    """No connection could be made; nothing is left open."""


class ConnectionLost(NbrpcError, EOFError, ConnectionError):
    """The connection ended while something was waiting on it, or before.

    Attributes
    ----------
    maybe_executed : bool
        Whether the call that raised this had already been sent, so that the peer may have run it.
    """

    maybe_executed: bool = False


class AuthenticationFailed(NbrpcError):
    """The two ends do not hold the same token; the connection is closed."""


class ProtocolError(NbrpcError):
    """A rule of the protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We asked for something that the protocol does not allow now; the connection is untouched."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that is not the protocol; the connection is closed."""


class LimitExceeded(NbrpcError):
    """A limit was met; only the call that met it fails."""


class TooLarge(LimitExceeded):
    """The structural part of a message is too large; nothing was sent."""


class NotSendable(NbrpcError, TypeError):
    """A value cannot travel by value; the message names the path to it. Nothing was sent."""


class AccessDenied(NbrpcError, AttributeError):
    """The peer may not reach that name; the connection is untouched."""


class StaleReference(NbrpcError, ReferenceError):
    """The object of a proxy is gone: of an earlier connection, dropped, or a revoked callback."""


class CallTimeout(NbrpcError, TimeoutError):
    """A deadline passed before the result came; the caller is free, the remote code may run on."""


AsyncResultTimeout = CallTimeout
"""RPyC's name for `CallTimeout`."""


class CallCancelled(NbrpcError):
    """The call was cancelled, by ``res.cancel()``, Stop, or the peer."""


class RemoteError(NbrpcError):
    """The peer's code raised.

    What is raised is also an instance of the nearest class that both sides know, of Python, its
    standard library or numpy, say; so ``except ValueError`` catches a remote ValueError, and also a
    JSONDecodeError. Attributes that are data come along.

    Attributes
    ----------
    type_name : str
        The class of the remote exception, with its module unless that is builtins.
    remote_traceback : str
        The peer's traceback as text, or a note that the peer does not send it.
    """

    type_name: str = ""
    remote_traceback: str = ""
