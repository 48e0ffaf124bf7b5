"""What a server is told when it is made: what cannot be meant, and what would not be safe."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

from nbrpc.connection_file import ServerInfo, write
from nbrpc.objects.exposure import is_exposed
from nbrpc.server.auth import SSLAuthenticator
from nbrpc.transports import sockets
from nbrpc.transports.base import Transport
from nbrpc.version import __version__

if TYPE_CHECKING:
    import ssl

    from nbrpc.server.server import Server

__all__ = [
    "Encryption",
    "check_arguments",
    "check_loop",
    "check_reach",
    "has_exposed",
    "write_file",
]

log = logging.getLogger("nbrpc.server")


def check_arguments(
    service: object, host: object, port: object, path: object, token: object
) -> None:
    """Refuse what cannot be meant.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or the port is no port.
    """
    if service is None or isinstance(service, (bool, int, float, complex, str, bytes)):
        raise TypeError(
            f"what is served is a Service class or an object with methods, not {service!r:.80}"
        )
    if not isinstance(port, SupportsIndex) or not 0 <= int(port) < 65536:
        raise ValueError(f"a port is a number from 1 to 65535, or 0 for a free one, not {port!r}")
    for name, text in (("host", host), ("token", token)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} is a text, not {type(text).__name__}")
    if path is not None and not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is the path of a Unix socket, not {type(path).__name__}")


def check_loop(loop: object) -> None:
    """Refuse a loop on which coroutines of a service cannot run.

    Raises
    ------
    TypeError, ValueError
        It is none, or closed.
    """
    if loop is None:
        return
    from asyncio import AbstractEventLoop

    if not isinstance(loop, AbstractEventLoop):
        raise TypeError(
            f"loop is an asyncio event loop, or None for one of nbrpc's own, not {loop!r:.80}"
        )
    if loop.is_closed():
        raise ValueError("the event loop for the coroutines of the service is closed")


def has_exposed(cls: type, prefix: str) -> bool:
    """Whether a plain class says itself what is exposed."""
    return any(
        (prefix and name.startswith(prefix)) or is_exposed(value)
        for base in cls.__mro__
        for name, value in vars(base).items()
    )


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a server encrypts its connections.

    Attributes
    ----------
    context
        What shakes hands; None for no encryption.
    fingerprint
        ``sha256:...`` of the server's certificate; None without.
    channel
        What the proofs of the handshake cover of that certificate.
    mutual
        Whether clients must show a certificate.
    """

    context: ssl.SSLContext | None = None
    fingerprint: str | None = None
    channel: bytes = b""
    mutual: bool = False

    @classmethod
    def of(cls, tls: Any, path: object, authenticator: object) -> Encryption:
        """Read what a server was given as ``tls``; an `SSLAuthenticator` is another way to say it.

        Raises
        ------
        ValueError, TypeError
            It cannot be used, or not together with the rest.
        """
        if isinstance(authenticator, SSLAuthenticator):
            if tls:
                raise ValueError("tls= and an SSLAuthenticator say the same: keep one of them")
            tls, authenticator = authenticator.context, None
        if tls is None or tls is False:
            return cls()
        if path is not None:
            raise ValueError(
                "tls= is for a host and a port: a Unix socket does not leave this machine"
            )
        if authenticator is not None:
            raise ValueError(
                "an authenticator sees a client before TLS does, and the two cannot share its "
                "socket: let clients show certificates instead (nbrpc.TLS(..., ca=...))"
            )
        from nbrpc.transports.certificates import (
            fingerprint_of,
            is_mutual,
            own_certificate,
            server_context,
        )

        context = server_context(tls)
        certificate = own_certificate(context)
        channel = hashlib.sha256(certificate).digest()
        return cls(context, fingerprint_of(certificate), channel, is_mutual(context))

    def around(self, transport: Transport) -> Transport:
        """Give the transport of a client that has just connected."""
        if self.context is None or not isinstance(transport, sockets.SocketTransport):
            return transport
        from nbrpc.transports.tls import TlsTransport

        return TlsTransport(transport, self.context, is_server=True)


def write_file(server: Server) -> Any:
    """Write the connection file of a server that listens; give its path, or None."""
    cls = server.service if isinstance(server.service, type) else type(server.service)
    info = ServerInfo.of_this_process(
        server_id=server.server_id.hex(),
        name=server.name,
        token=server.token or "",
        service=cls.__name__,
        host=server.host,
        port=server.port,
        path=server.path,
        allow_code=server.allow_code,
        version=__version__,
        fingerprint=server.fingerprint or "",
    )
    try:
        return write(info)
    except OSError as error:
        log.warning("no connection file could be written: %s", error)
        return None


def check_reach(host: str, encryption: Encryption, *, insecure: bool, rpyc: bool) -> None:
    """Refuse to let more people reach a server than can be meant.

    Raises
    ------
    ValueError
        The host is beyond loopback.
    """
    if sockets.is_loopback(host):
        return
    if encryption.context is None and not insecure:
        raise ValueError(
            f"{host} is reachable from other machines and the connection is not encrypted: give "
            "tls= (--tls-self-signed), use 127.0.0.1 with an ssh tunnel, or say insecure=True "
            "(--insecure) if the network is yours alone"
        )
    if rpyc and not encryption.mutual:
        raise ValueError(
            f"clients of RPyC show no token, so whoever reaches {host} would be let in: with "
            "rpyc=True (--rpyc) use 127.0.0.1 with an ssh tunnel, a Unix socket, or TLS with ca= "
            "(--tls-ca), where clients show certificates"
        )
