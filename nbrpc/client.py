"""Connecting to servers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, SupportsIndex

from nbrpc.errors import AuthenticationFailed, ConnectFailed
from nbrpc.options import (
    CODE_ACCESS,
    Limits,
    Timing,
    check_seconds,
    checked_limits,
    from_config,
)
from nbrpc.protocol.machine import ChooseToken, Foreign, Protocol, Role
from nbrpc.service import Service, VoidService
from nbrpc.session import interrupts
from nbrpc.session.connection import Connection
from nbrpc.session.opening import Terms, open_connection, open_rpyc_connection
from nbrpc.transports.address import RPYC_SCHEMES, Address, parse
from nbrpc.transports.base import Transport
from nbrpc.version import about_this_process

__all__ = ["Connection", "connect", "open_address"]


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
        A host name or address, or a URL: ``nbrpc://host:port``, ``unix:///path``. A server of RPyC
        is recognised by itself; ``rpyc://``, ``rpyc5://`` and ``rpyc6://`` ask for one.
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
    terms = Terms(
        url=address.url,
        service=service,
        access=access,
        limits=checked_limits(limits),
        timing=timing,
        deadline=time.monotonic() + timeout,
    )
    return open_address(address.with_token(token or address.token), terms)


def open_address(address: Address, terms: Terms) -> Connection:
    """Connect to a server whose address has been read, in whichever protocol it speaks.

    nbrpc's opening holds a request that RPyC 6 answers, so one connection finds out either; a
    server of RPyC 5 hangs up at once, and is connected to again. What was found is remembered.

    Raises
    ------
    ConnectFailed, AuthenticationFailed
        As in `connect`.
    """
    interrupts.install()
    place = address.url
    if address.scheme in RPYC_SCHEMES:
        return _connect_rpyc(address, terms)
    if place in _rpyc5 and address.token is None:
        try:
            return _connect_rpyc(replace(address, scheme="rpyc5"), terms)
        except ConnectFailed:
            _rpyc5.discard(place)  # another server has taken its place
    protocol = Protocol(
        Role.CLIENT,
        terms.limits,
        choose_token=_token_for(address.token),
        about=about_this_process(),
    )
    transport = _dial(address, terms.deadline)
    try:
        return open_connection(transport, protocol, terms)
    except AuthenticationFailed as error:
        raise AuthenticationFailed(f"cannot connect to {address.name}: {error}") from None
    except Foreign as error:
        return _continue_as_rpyc(address, transport, error.head, terms)


_rpyc5: set[str] = set()
"""URLs of servers that turned out to speak RPyC 5."""


def _continue_as_rpyc(
    address: Address, transport: Transport, head: bytes, terms: Terms
) -> Connection:
    """Go on with a server that has answered in RPyC's protocol."""
    from nbrpc.protocol.rpyc.handlers import Dialect
    from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol

    reason = _why_not_rpyc(address)
    if reason is not None:
        transport.close()
        raise ConnectFailed(f"cannot connect to {address.name}: the server speaks RPyC, {reason}")
    try:
        return open_rpyc_connection(
            transport, RpycProtocol(terms.limits, Dialect.RPYC6), terms, head
        )
    except OtherDialect:
        _rpyc5.add(address.url)
        return _connect_rpyc(replace(address, scheme="rpyc5"), terms)


def _why_not_rpyc(address: Address) -> str | None:
    """Say why an answer in a protocol without tokens is not to be trusted here, if it is not."""
    from nbrpc.transports.sockets import is_loopback

    if address.token is not None:
        return "which knows no tokens: leave the token out if that is the server you mean"
    if address.port is None or not is_loopback(address.host or ""):
        return None
    from nbrpc.connection_file import find_by_port

    if find_by_port(address.port) is None:
        return None
    return "but a server of nbrpc with a token is to be at this port: see nbrpc list"


def _connect_rpyc(address: Address, terms: Terms) -> Connection:
    """Connect to a server of RPyC, in the dialect that the scheme names."""
    from nbrpc.protocol.rpyc.handlers import Dialect
    from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol

    first = Dialect.RPYC5 if address.scheme == "rpyc5" else Dialect.RPYC6
    try:
        protocol = RpycProtocol(terms.limits, first)
        return open_rpyc_connection(_dial(address, terms.deadline), protocol, terms)
    except OtherDialect as error:
        if address.scheme != "rpyc":
            raise ConnectFailed(f"cannot connect to {address.name}: {error}") from error
    return _connect_rpyc(replace(address, scheme="rpyc5"), terms)


def _address(host: object, port: object) -> Address:
    if not isinstance(host, str):
        raise TypeError(f"connect needs a host name or a URL, not {type(host).__name__}")
    if port is None:
        return parse(host)
    if not isinstance(port, SupportsIndex) or not 0 < int(port) < 65536:
        raise ValueError(f"a port is a number from 1 to 65535, not {port!r}")
    return Address.tcp(host, int(port))


def _dial(address: Address, deadline: float) -> Transport:
    from nbrpc.transports import sockets

    timeout = max(0.01, deadline - time.monotonic())
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
