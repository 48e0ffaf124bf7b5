"""From an address to a connected transport, encrypted where that is asked for."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbrpc.errors import AuthenticationFailed, ConnectFailed
from nbrpc.options import TLS
from nbrpc.transports import sockets
from nbrpc.transports.address import ENCRYPTED_FORMS, Address
from nbrpc.transports.base import Transport

if TYPE_CHECKING:
    import ssl

    from nbrpc.transports.records import Cut

__all__ = ["Dialer", "local_fingerprint"]


@dataclass(frozen=True, slots=True)
class Dialer:
    """Connects to one server, as often as it takes to find out what it speaks.

    Parameters
    ----------
    address
        Where the server is; its scheme says whether the connection is encrypted.
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
        if tls is None and address.is_encrypted:
            tls = True
        if tls is None or tls is False:
            if address.is_encrypted:
                raise ValueError(f"{address.url} asks for TLS, and tls=False for none")
            if address.is_jupyter and tls is None:
                _check_exposure(address)
            return cls(address)
        if address.path is not None:
            raise ValueError(
                "tls= is for a host and a port: a Unix socket does not leave this machine"
            )
        from nbrpc.transports.certificates import client_context

        address = replace(address, fingerprint=_fingerprint(address, tls))
        address = replace(address, scheme=ENCRYPTED_FORMS.get(address.scheme, address.scheme))
        context = client_context(tls, address.fingerprint)
        if not address.is_web:
            return cls(address, context, cut)
        if address.fingerprint is None and not context.check_hostname:
            raise ValueError(
                "a WebSocket may end at a proxy, whose certificate is then all that says who is "
                "there: with wss:// and https:// give its fingerprint or ca="
            )
        return cls(address, context)

    def dial(self, deadline: float) -> Transport:
        """Connect.

        Parameters
        ----------
        deadline
            On the monotonic clock.

        Raises
        ------
        ConnectFailed
            Nobody answers there, or not in TLS, or there is no WebSocket to be had.
        AuthenticationFailed
            The server's certificate is not the right one, or the token is not that of the Jupyter
            server.
        """
        transport = self._dial(deadline)
        if not self.address.is_web:
            return transport
        from nbrpc.transports.upgrade import ask

        with self._failing(transport):
            return ask(transport, self.address, deadline)

    def _dial(self, deadline: float) -> Transport:
        """Connect, and encrypt."""
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
        with self._failing(transport):
            transport.shake_hands(deadline)
        return transport

    @contextlib.contextmanager
    def _failing(self, transport: Transport) -> Iterator[None]:
        """Close a transport on the way of which something fails, and say where that was."""
        try:
            yield
        except (ConnectFailed, AuthenticationFailed) as error:
            transport.close()
            place = self.address.url if self.address.is_web else self.address.name
            reason = f"cannot connect to {place}: {error}"
            raise type(error)(reason) from error.__cause__
        except BaseException:  # and it is raised again
            transport.close()
            raise

    def token_for(self, transport: Transport) -> str | None:
        """Give the token of the server that a transport leads to, if it is known."""
        relayed = getattr(transport, "relayed", None)
        return self.address.token if relayed is None else relayed.token

    @staticmethod
    def channel(transport: Transport) -> bytes:
        """Give what the proofs cover of a transport: the hash of the server's certificate.

        A WebSocket may end at a proxy, of whose certificate the server knows nothing. Then it is
        what a relay of ours says, or nothing.
        """
        relayed = getattr(transport, "relayed", None)
        if relayed is not None:
            return bytes(relayed.channel)
        certificate = getattr(transport, "peer_certificate", None)
        return b"" if certificate is None else hashlib.sha256(certificate).digest()


def _check_exposure(address: Address) -> None:
    """Refuse to show Jupyter's token to whoever listens on the way."""
    if address.token is not None and not sockets.is_loopback(address.host or ""):
        raise ValueError(
            f"{address.url} is not encrypted, and Jupyter's token would be sent in clear text: use "
            "https:// or an ssh tunnel, or say tls=False if the network is yours alone"
        )


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
