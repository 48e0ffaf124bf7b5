"""Connecting to servers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, SupportsIndex

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
from nbrpc.session.shared_memory import whereabouts
from nbrpc.transports.address import RPYC_SCHEMES, TLS_SCHEME, Address, parse
from nbrpc.transports.base import Transport
from nbrpc.transports.dialing import Dialer, local_fingerprint
from nbrpc.version import about_this_process

if TYPE_CHECKING:
    from nbrpc.transports.records import Cut

__all__ = ["Connection", "connect", "connect_command", "open_address"]


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
    session: str | None = None,
    timing: Timing | None = None,
    limits: Limits | None = None,
) -> Connection:
    """Connect to a server.

    Parameters
    ----------
    host
        A host name or address, or a URL: ``nbrpc://host:port``, ``nbrpcs://host:port`` (the same
        over TLS), ``unix:///path``. A server of RPyC is recognised by itself; ``rpyc://``,
        ``rpyc5://`` and ``rpyc6://`` ask for one.

        ``ssh://[user@]host[:port][/module:Thing][?python=PATH&cwd=DIR]`` runs a server at the other
        end of the system's ssh: of that thing, or of a Python to run code in. Where nbrpc is
        missing there, it is carried into ``~/.cache/nbrpc``. The environment variable ``NBRPC_SSH``
        names another program than ``ssh``, or options for it.

        ``wss://host/path`` and ``ws://`` lead by a WebSocket to any server's ordinary port, through
        reverse proxies too; path and query are kept. ``https://hub/user/ada/nbrpc/ws/NAME`` and
        ``http://`` lead through a Jupyter server with nbrpc's extension to that user's server of
        that name.
    port
        The port, unless ``host`` is a URL.
    service
        What this side serves to the peer; nothing by default.
    config
        RPyC's configuration keys, for what this side serves.
    token
        The server's token. A server of the same user on this machine needs none: it is found in
        the server's connection file. With ``https://`` it is the Jupyter server's or the Hub's.
    tls
        Encrypt: True (the server's certificate is verified by what the system trusts), an
        `nbrpc.TLS`, or an `ssl.SSLContext` that verifies. Of a server of the same user on this
        machine the connection file tells the fingerprint of its certificate.
    timeout
        Seconds until the connection must be ready.
    reconnect
        Come back by itself when the link is lost: the root and the subscriptions to its events go
        on, other proxies raise `StaleReference`. A call that was under way raises `ConnectionLost`
        and is never sent again; a new one waits.
    session
        Attach to the named session of the server with this name, which begins if there is none:
        the namespace of cells, `eval` and `execute` then outlives the connection, and so do cells
        that run and what they gave. See `Connection.sessions`. The server must allow code. With
        ``ssh://`` it then runs on there until its last session has ended, and is found again.
    timing, limits
        Deadlines and heartbeats, and what the peer may send.

    Returns
    -------
    Connection
        Ready for use.

    Raises
    ------
    ConnectFailed
        Nobody answers there, or neither a server of nbrpc nor of RPyC.
    AuthenticationFailed
        The token is wrong, or one is needed; or a certificate is not what it should be.
    AccessDenied
        A session is asked for, and the server keeps none for its clients.
    ValueError, TypeError
        The address cannot be read, or what ``tls`` names.
    """
    address = _address(host, port)
    if token is not None and not isinstance(token, str):
        raise TypeError(f"a token is a text, not {type(token).__name__}")
    address = address.with_token(token or address.token)
    if session is not None and address.far is not None:
        address = replace(address, far=replace(address.far, keep=True))
    terms = _terms(address.url, service, config, timeout, timing, limits)
    least = 0.0 if address.far is None else timeout
    return _made(lambda terms: open_address(address, terms, tls), terms, reconnect, session, least)


def connect_command(
    command: Sequence[str],
    service: type[Service] | Service = VoidService,
    config: Mapping[str, Any] | None = None,
    *,
    timeout: float = 10.0,
    reconnect: bool = False,
    session: str | None = None,
    timing: Timing | None = None,
    limits: Limits | None = None,
) -> Connection:
    """Connect to what a command gives on its standard input and output.

    That is ``nbrpc serve --stdio`` at the other end of anything that gives a pipe: ``docker exec``,
    ``kubectl exec``, ``srun``, ``sudo``. What the command says on standard error is shown. It is
    ended with the connection, and Ctrl-C in the terminal does not reach it.

    Parameters
    ----------
    command
        The program and its arguments, as `subprocess.Popen` takes them; no shell sees them.
    service, config, timeout, reconnect, session, timing, limits
        As in `connect`. With ``reconnect`` the command is run again. A session lasts as long as
        its server, which ``nbrpc serve --stdio`` ends with the connection unless it has ``--keep``.

    Returns
    -------
    Connection
        Ready for use.

    Raises
    ------
    ConnectFailed
        The command cannot be run, ended, or is no server of nbrpc; the message has its last words.
    TypeError
        The command is no list of texts.

    Examples
    --------
    >>> import sys
    >>> serve = [sys.executable, "-m", "nbrpc", "serve", "--stdio", "nbrpc.demo:Bench"]
    >>> with nbrpc.connect_command(serve, timeout=30) as conn:
    ...     conn.root.voltage
    1.0

    In a container that is ``["docker", "exec", "-i", "lab", "nbrpc", "serve", "--stdio", ...]``.
    """
    from nbrpc.reach.process import CommandDialer

    if isinstance(command, str | bytes) or not command:
        raise TypeError('a command is a list of texts, like ["docker", "exec", "-i", "lab", ...]')
    dialer = CommandDialer.of([os.fspath(part) for part in command])
    terms = _terms(dialer.address.url, service, config, timeout, timing, limits)

    def open_one(terms: Terms) -> Connection:
        # While the connection comes back, what failing attempts say would be shown again and again.
        is_again = terms.make_connection is not Connection
        return _open(replace(dialer, held=is_again), terms)

    return _made(open_one, terms, reconnect, session, timeout)


def _terms(
    url: str,
    service: type[Service] | Service,
    config: Mapping[str, Any] | None,
    timeout: float,
    timing: Timing | None,
    limits: Limits | None,
) -> Terms:
    """Check what `connect` was given, and put it together."""
    check_seconds("the timeout", timeout)
    if not issubclass(service if isinstance(service, type) else type(service), Service):
        raise TypeError(
            f"service is a class derived from nbrpc.Service, or an instance of one, not {service!r}"
        )
    access, timing = from_config(config, timing=timing)
    if service.allow_code:
        access = CODE_ACCESS
    return Terms(
        url=url,
        service=service,
        access=access,
        limits=checked_limits(limits),
        timing=timing,
        deadline=time.monotonic() + timeout,
    )


def _made(
    open_one: Callable[[Terms], Connection],
    terms: Terms,
    reconnect: bool,  # noqa: FBT001 - as `connect` was told
    session: str | None,
    least: float,
) -> Connection:
    """Open a connection, and give it what `connect` promises."""
    connection = open_one(terms)
    if reconnect:
        _bring_back(connection, open_one, terms, least)
    if session is not None:
        try:
            connection.sessions.attach(session)
        except BaseException:  # and it is raised again
            connection.close()
            raise
    return connection


def _bring_back(
    connection: Connection, open_one: Callable[[Terms], Connection], terms: Terms, least: float
) -> None:
    """Have a connection come back by itself when its link is lost.

    Parameters
    ----------
    least
        Seconds that each attempt may take at least: logins and commands take their time.
    """
    from nbrpc.session.reconnecting import Revival

    def again(connection: Connection, seconds: float) -> None:
        open_one(
            replace(
                terms,
                service=connection.session.root_object,
                deadline=time.monotonic() + max(seconds, least),
                make_connection=connection.renew,
                dispatcher=connection.session.dispatcher,
            )
        )

    connection.revival = Revival(connection, again)
    connection.revival.begin_watching()


def open_address(address: Address, terms: Terms, tls: object = None) -> Connection:
    """Connect to a server whose address has been read, in whichever protocol it speaks.

    nbrpc's opening holds a request that RPyC 6 answers, so one connection finds out either; a
    server of RPyC 5 hangs up at once, and is connected to again. What was found is remembered.

    Parameters
    ----------
    tls
        As in `connect`.

    Raises
    ------
    ConnectFailed, AuthenticationFailed, ValueError, TypeError
        As in `connect`.
    """
    if address.scheme == "ssh":
        from nbrpc.reach.ssh import SshDialer

        return _open(SshDialer.of(address, tls, terms.timing.dead_after), terms)
    return _open(Dialer.to(address, tls, _cutter), terms)


def _open(dialer: Dialer, terms: Terms) -> Connection:
    """Connect to a server by its dialer; see `open_address`."""
    interrupts.install()
    address = dialer.address
    terms = replace(terms, url=address.url)
    place = address.url
    if address.scheme in RPYC_SCHEMES:
        return _connect_rpyc(dialer, terms)
    if place in _rpyc5 and address.token is None:
        try:
            return _connect_rpyc(_in_scheme(dialer, "rpyc5"), terms)
        except ConnectFailed:
            _rpyc5.discard(place)  # another server has taken its place
    transport = dialer.dial(terms.deadline)
    terms = replace(terms, deadline=terms.deadline + getattr(transport, "delay", 0.0))
    protocol = Protocol(
        Role.CLIENT,
        terms.limits,
        choose_token=_token_for(dialer.token_for(transport)),
        about=about_this_process(**whereabouts()),
        channel=Dialer.channel(transport),
    )
    try:
        connection = open_connection(transport, protocol, terms)
    except AuthenticationFailed as error:
        raise AuthenticationFailed(f"cannot connect to {address.name}: {error}") from None
    except Foreign as error:
        return _continue_as_rpyc(dialer, transport, error.head, terms)
    except ConnectFailed as error:
        explain = getattr(transport, "explain", None)
        if explain is not None:
            raise ConnectFailed(f"cannot connect to {address.name}: {explain(error)}") from error
        if not isinstance(error.__cause__, Foreign) or not error.__cause__.is_tls:
            raise
        fingerprint = local_fingerprint(address)
        if fingerprint is None:
            raise
        # A server of this user that expects TLS, and the file says by what it is known.
        secure = replace(address, scheme=TLS_SCHEME, fingerprint=fingerprint)
        return open_address(secure, terms)
    opened = getattr(transport, "opened", None)
    if opened is not None:
        opened()
    if dialer.cut is not None:
        transport.cut = None  # type: ignore[attr-defined] # of TlsTransport
    return connection


def _cutter() -> Cut:
    from nbrpc.protocol.rpyc.cutting import FrameCutter

    return FrameCutter().cut


def _in_scheme(dialer: Dialer, scheme: str) -> Dialer:
    return replace(dialer, address=replace(dialer.address, scheme=scheme))


_rpyc5: set[str] = set()
"""URLs of servers that turned out to speak RPyC 5."""


def _continue_as_rpyc(
    dialer: Dialer, transport: Transport, head: bytes, terms: Terms
) -> Connection:
    """Go on with a server that has answered in RPyC's protocol."""
    from nbrpc.protocol.rpyc.handlers import Dialect
    from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol

    address = dialer.address
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
        return _connect_rpyc(_in_scheme(dialer, "rpyc5"), terms)


def _why_not_rpyc(address: Address) -> str | None:
    """Say why an answer in a protocol without tokens is not to be trusted here, if it is not."""
    from nbrpc.transports.sockets import is_loopback

    if address.is_web:
        return "which WebSockets do not carry: say rpyc://host:port if it can be reached"
    if address.token is not None:
        return "which knows no tokens: leave the token out if that is the server you mean"
    if address.fingerprint is not None:
        return "and a fingerprint was given, as for nbrpc: say rpyc://host:port and tls= for RPyC"
    if address.port is None or not is_loopback(address.host or ""):
        return None
    from nbrpc.connection_file import find_by_port

    if find_by_port(address.port) is None:
        return None
    return "but a server of nbrpc with a token is to be at this port: see nbrpc list"


def _connect_rpyc(dialer: Dialer, terms: Terms) -> Connection:
    """Connect to a server of RPyC, in the dialect that the scheme names."""
    from nbrpc.protocol.rpyc.handlers import Dialect
    from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol

    address = dialer.address
    first = Dialect.RPYC5 if address.scheme == "rpyc5" else Dialect.RPYC6
    try:
        protocol = RpycProtocol(terms.limits, first)
        return open_rpyc_connection(dialer.dial(terms.deadline), protocol, terms)
    except OtherDialect as error:
        if address.scheme != "rpyc":
            raise ConnectFailed(f"cannot connect to {address.name}: {error}") from error
    return _connect_rpyc(_in_scheme(dialer, "rpyc5"), terms)


def _address(host: object, port: object) -> Address:
    if not isinstance(host, str):
        raise TypeError(f"connect needs a host name or a URL, not {type(host).__name__}")
    if port is None:
        return parse(host)
    if not isinstance(port, SupportsIndex) or not 0 < int(port) < 65536:
        raise ValueError(f"a port is a number from 1 to 65535, not {port!r}")
    return Address.tcp(host, int(port))


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
