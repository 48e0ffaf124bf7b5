"""From an address to a connected transport, encrypted where that is asked for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbrpc.errors import AuthenticationFailed, ConnectFailed
from nbrpc.options import TLS
from nbrpc.transports import sockets
from nbrpc.transports.address import TLS_SCHEME, Address
from nbrpc.transports.base import Transport

if TYPE_CHECKING:
    import ssl

    from nbrpc.transports.records import Cut
    from nbrpc.transports.tls import TlsTransport

__all__ = ["Dialer", "local_fingerprint"]


@dataclass(frozen=True, slots=True)
class Dialer:
    """Connects to one server, as often as it takes to find out what it speaks.

    Parameters
    ----------
    address
        Where the server is; of the scheme ``nbrpcs`` if the connection is encrypted.
    context
        What TLS shakes hands with; None for no encryption.
    cut
        Makes what cuts the opening into records, where the server may be one of RPyC.
    """

    address: Address
    context: ssl.SSLContext | None = None
    cut: Callable[[], Cut] | None = None

    @classmethod
    def to(
        cls, address: Address, tls: object = None, cut: Callable[[], Cut] | None = None
    ) -> Dialer:
        """Make the dialer of an address.

        Parameters
        ----------
        tls
            None, True, a `TLS` or an `ssl.SSLContext`.

        Raises
        ------
        ValueError, TypeError
            This cannot be meant.
        """
        if tls is None and address.scheme == TLS_SCHEME:
            tls = True
        if tls is None or tls is False:
            if address.scheme == TLS_SCHEME:
                raise ValueError(f"{address.url} asks for TLS, and tls=False for none")
            return cls(address)
        if address.path is not None:
            raise ValueError(
                "tls= is for a host and a port: a Unix socket does not leave this machine"
            )
        from nbrpc.transports.certificates import client_context

        address = replace(address, fingerprint=_fingerprint(address, tls))
        if address.scheme == "nbrpc":
            address = replace(address, scheme=TLS_SCHEME)
        return cls(address, client_context(tls, address.fingerprint), cut)

    def dial(self, deadline: float) -> Transport:
        """Connect.

        Parameters
        ----------
        deadline
            On the monotonic clock.

        Raises
        ------
        ConnectFailed
            Nobody answers there, or not in TLS.
        AuthenticationFailed
            The server's certificate is not the right one.
        """
        address = self.address
        timeout = max(0.01, deadline - time.monotonic())
        if address.path is not None:
            return sockets.connect_unix(address.path, timeout)
        below = sockets.connect_tcp(address.host or "", address.port or 0, timeout)
        if self.context is None:
            return below
        from nbrpc.transports.tls import TlsTransport

        try:
            transport = TlsTransport(
                below, self.context, host=address.host, fingerprint=address.fingerprint
            )
        except BaseException:  # and it is raised again
            below.close()
            raise
        if self.cut is not None:
            transport.cut = self.cut()
        self._secure(transport, deadline)
        return transport

    def _secure(self, transport: TlsTransport, deadline: float) -> None:
        try:
            transport.shake_hands(deadline)
        except (ConnectFailed, AuthenticationFailed) as error:
            transport.close()
            reason = f"cannot connect to {self.address.name}: {error}"
            raise type(error)(reason) from error.__cause__
        except BaseException:  # and it is raised again
            transport.close()
            raise

    @staticmethod
    def channel(transport: Transport) -> bytes:
        """Give what the proofs cover of a transport: the hash of the server's certificate."""
        certificate = getattr(transport, "peer_certificate", None)
        return b"" if certificate is None else hashlib.sha256(certificate).digest()


def _fingerprint(address: Address, tls: object) -> str | None:
    """Give the fingerprint that was given, or that a connection file knows."""
    given = address.fingerprint
    if isinstance(tls, TLS):
        if given is not None and (tls.insecure_no_verify or tls.fingerprint not in (None, given)):
            raise ValueError(
                f"tls= says something else of the server than the fingerprint in the URL of "
                f"{address.name}: keep one of them"
            )
        given = given or tls.fingerprint
    if given is not None:
        return given
    # Who says how to verify means that, and no file.
    if tls is True or (isinstance(tls, TLS) and tls.ca is None and not tls.insecure_no_verify):
        return local_fingerprint(address)
    return None


def local_fingerprint(address: Address) -> str | None:
    """Give the fingerprint of a server of this user on this machine, from its connection file."""
    host = address.host or ""
    if address.port is None:
        return None
    from nbrpc.connection_file import running

    for info in running():
        if info.port == address.port and info.fingerprint:
            here = info.local_host == host or sockets.is_loopback(host)
            return info.fingerprint if here else None
    return None
