"""Connecting to servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsIndex

from nbrpc.errors import AuthenticationFailed
from nbrpc.options import (
    CODE_ACCESS,
    Limits,
    Timing,
    check_seconds,
    checked_limits,
    from_config,
)
from nbrpc.protocol.machine import ChooseToken, Protocol, Role
from nbrpc.service import Service, VoidService
from nbrpc.session import interrupts
from nbrpc.session.connection import Connection
from nbrpc.session.opening import open_connection
from nbrpc.transports.address import Address, parse
from nbrpc.version import about_this_process

__all__ = ["Connection", "connect"]


def connect(
    host: str,
    port: int | None = None,
    service: type[Service] | Service = VoidService,
    config: Mapping[str, Any] | None = None,
    *,
    token: str | None = None,
    tls: Any = None,
    timeout: float = 10.0,
    reconnect: bool = False,
    timing: Timing | None = None,
    limits: Limits | None = None,
) -> Connection:
    """Connect to a server.

    Parameters
    ----------
    host
        A host name or address, or a URL: ``nbrpc://host:port``, ``unix:///path``.
    port
        The port, unless ``host`` is a URL.
    service
        What this side serves to the peer; nothing by default.
    config
        RPyC's configuration keys, for what this side serves.
    token
        The server's token. A server of the same user on this machine needs none: it is found in
        the server's connection file.
    timeout
        Seconds until the connection must be ready.
    timing, limits
        Deadlines and heartbeats, and what the peer may send.

    Returns
    -------
    Connection
        Ready for use.

    Raises
    ------
    ConnectFailed
        Nobody answers there, or it is no nbrpc server.
    AuthenticationFailed
        The token is wrong, or one is needed.
    ValueError, TypeError
        The address cannot be read.
    """
    if tls is not None or reconnect:
        what = "tls=" if tls is not None else "reconnect=True"
        raise NotImplementedError(f"{what} is not available in this release of nbrpc")
    address = _address(host, port)
    check_seconds("the timeout", timeout)
    if token is not None and not isinstance(token, str):
        raise TypeError(f"a token is a text, not {type(token).__name__}")
    if not issubclass(service if isinstance(service, type) else type(service), Service):
        raise TypeError(
            f"service is a class derived from nbrpc.Service, or an instance of one, not {service!r}"
        )
    access, timing = from_config(config, timing=timing)
    if service.allow_code:
        access = CODE_ACCESS
    limits = checked_limits(limits)
    protocol = Protocol(
        Role.CLIENT,
        limits,
        choose_token=_token_for(token or address.token),
        about=about_this_process(),
    )
    interrupts.install()
    try:
        return open_connection(
            _dial(address, timeout),
            protocol,
            url=address.url,
            service=service,
            access=access,
            limits=limits,
            timing=timing,
            timeout=timeout,
        )
    except AuthenticationFailed as error:
        raise AuthenticationFailed(f"cannot connect to {address.name}: {error}") from None


def _address(host: object, port: object) -> Address:
    if not isinstance(host, str):
        raise TypeError(f"connect needs a host name or a URL, not {type(host).__name__}")
    if port is None:
        return parse(host)
    if not isinstance(port, SupportsIndex) or not 0 < int(port) < 65536:
        raise ValueError(f"a port is a number from 1 to 65535, not {port!r}")
    return Address.tcp(host, int(port))


def _dial(address: Address, timeout: float) -> Any:
    from nbrpc.transports import sockets

    if address.path is not None:
        return sockets.connect_unix(address.path, timeout)
    return sockets.connect_tcp(address.host or "", address.port or 0, timeout)


_tokens: dict[bytes, bytes] = {}
"""Tokens that connection files gave; a server's id is its own and its token never changes."""

MOST_TOKENS = 256


def _token_for(token: str | None) -> ChooseToken:
    """Give the function that finds the token once the server has said who it is."""

    def choose(server_id: bytes, auth: str) -> bytes | None:
        if token is not None:
            return token.encode()
        if auth == "none":
            return None
        from nbrpc.connection_file import find_by_id

        known = _tokens.get(server_id)
        if known is not None:
            return known
        info = find_by_id(server_id.hex())
        if info is not None:
            if len(_tokens) >= MOST_TOKENS:
                _tokens.clear()
            found = _tokens[server_id] = info.token.encode()
            return found
        raise AuthenticationFailed(
            "the server asks for a token, and no connection file of this user has it: give "
            "token=... or the URL that the server printed"
        )

    return choose
