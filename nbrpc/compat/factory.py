"""``rpyc.utils.factory``: the ways to connect, with RPyC's signatures and defaults."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from nbrpc.client import open_address
from nbrpc.compat.connection import RpycConnection, full_config, known_config, when_ended
from nbrpc.compat.discovery import UDPRegistryClient
from nbrpc.compat.exceptions import DiscoveryError, ForbiddenError
from nbrpc.compat.left_out import refuse
from nbrpc.compat.service import VoidService
from nbrpc.compat.streams import PipeStream, SocketStream
from nbrpc.errors import ConnectFailed
from nbrpc.options import CODE_ACCESS, DEFAULT_LIMITS, from_config
from nbrpc.protocol.machine import Foreign, Protocol, Role
from nbrpc.service import Service as NativeService
from nbrpc.session import interrupts
from nbrpc.session.opening import (
    Terms,
    open_connection,
    open_rpyc_connection,
    policy_for,
)
from nbrpc.transports.address import Address
from nbrpc.transports.relay import join_descriptors, join_stream
from nbrpc.transports.sockets import SocketTransport
from nbrpc.version import about_this_process

__all__ = [
    "connect",
    "connect_by_service",
    "connect_channel",
    "connect_multiprocess",
    "connect_pipes",
    "connect_socket",
    "connect_stdpipes",
    "connect_stream",
    "connect_subproc",
    "connect_thread",
    "connect_to",
    "discover",
    "list_services",
    "ssh_connect",
    "unix_connect",
]

TIMEOUT = 10.0
"""Seconds until a connection must be ready."""

Config = Mapping[str, Any]
NO_CONFIG: dict[str, Any] = {}


def connect(
    host: str,
    port: int,
    service: Any = VoidService,
    config: Config = NO_CONFIG,
    ipv6: bool = False,  # noqa: ARG001, FBT001, FBT002 - RPyC's signature
    keepalive: Any = False,  # noqa: ARG001, FBT002 - RPyC's signature
) -> RpycConnection:
    """Connect to a server.

    Parameters
    ----------
    service
        What this side serves to the peer: a class, or an instance that all connections share.
    config
        RPyC's configuration keys; unknown ones are ignored.
    ipv6
        Accepted as in RPyC; a name is looked up in both families.
    keepalive
        Accepted as in RPyC; a connection tells by its own heartbeats whether the peer is there.

    Raises
    ------
    ConnectFailed
        Nobody answers there.
    AuthenticationFailed
        The server asks for a token, and no connection file of this user has it.
    """
    return connect_to(Address.tcp(host, int(port)), service, config)


def unix_connect(
    path: str, service: Any = VoidService, config: Config = NO_CONFIG
) -> RpycConnection:
    """Connect to a server on a Unix socket."""
    # pathlib would resolve more
    return connect_to(Address.unix(os.path.abspath(path)), service, config)  # noqa: PTH100


def connect_to(
    address: Address,
    service: Any,
    config: Config,
    *,
    token: str | None = None,
    tls: object = None,
) -> RpycConnection:
    """Connect to a server whose address is known; the errors are those of `connect`."""
    terms = _terms(address.url, service, config)
    try:
        connection: Any = open_address(address.with_token(token), terms, tls)
    except ConnectFailed as error:
        raise _also_as_the_system_has_it(error) from error.__cause__
    return connection  # type: ignore[no-any-return] # the terms make that kind


SYSTEM_ERRORS = (ConnectionRefusedError, FileNotFoundError, TimeoutError, socket.gaierror)


def _also_as_the_system_has_it(error: ConnectFailed) -> ConnectFailed:
    """Give an error that is also what the system said, which is what RPyC's programs catch."""
    cause = error.__cause__
    for cls in SYSTEM_ERRORS:
        if isinstance(cause, cls):
            kind = type("ConnectFailed", (ConnectFailed, cls), {"__module__": "nbrpc.errors"})
            failed: ConnectFailed = kind(*error.args)
            failed.errno = cause.errno
            return failed
    return error


def _terms(url: str, service: Any, config: Config, *, connecting: bool = True) -> Terms:
    """Give the terms of a connection: what is served, RPyC's defaults, and its kind of connection.

    Raises
    ------
    TypeError
        The service is none.
    """
    cls = service if isinstance(service, type) else type(service)
    if not issubclass(cls, NativeService):
        raise TypeError(
            f"service is a class derived from rpyc.Service, or an instance of one, not {service!r}"
        )
    full = full_config(config)
    access, timing = from_config(known_config(full))
    return Terms(
        url=url,
        service=service,
        access=CODE_ACCESS if cls.allow_code else access,
        limits=DEFAULT_LIMITS,
        timing=timing,
        deadline=time.monotonic() + TIMEOUT,
        connecting=connecting,
        make_connection=partial(RpycConnection, config=full),
    )


def connect_socket(
    sock: socket.socket,
    *,
    service: Any = VoidService,
    config: Config = NO_CONFIG,
    name: str = "pipe",
    role: Role = Role.CLIENT,
) -> RpycConnection:
    """Connect over a connected stream socket, which belongs to the connection from here on.

    Parameters
    ----------
    role
        Which end this is. Nobody is asked for a token: who hands over a socket trusts its end.

    Raises
    ------
    ConnectFailed
        The peer does not answer as one of nbrpc.
    """
    terms = _terms(name, service, config, connecting=role is Role.CLIENT)
    allow_code = "yes" if terms.access.allow_code else "no"
    protocol = Protocol(
        role,
        terms.limits,
        choose_token=lambda _server_id, _auth: None,
        server_id=os.urandom(16),
        about=about_this_process(name=name, allow_code=allow_code),
    )
    interrupts.install()
    transport = SocketTransport(sock, name)
    connection: Any
    try:
        connection = open_connection(transport, protocol, terms)
    except Foreign as error:
        go_on = _continue_as_rpyc if role is Role.CLIENT else _answer_as_rpyc
        connection = go_on(transport, error.head, terms)
    return connection  # type: ignore[no-any-return] # the terms make that kind


def _answer_as_rpyc(transport: SocketTransport, head: bytes, terms: Terms) -> Any:
    """Serve a peer that has opened the connection as RPyC does."""
    from nbrpc.protocol.rpyc.machine import RpycProtocol
    from nbrpc.session.opening import begin
    from nbrpc.session.rpyc.opening import session_for

    protocol = RpycProtocol(terms.limits)
    received = protocol.receive(head)
    while not received:  # which dialect it is, the first message tells
        if time.monotonic() > terms.deadline:
            transport.close()
            raise ConnectFailed(f"{terms.url} did not finish its first message in time")
        data = transport.wait_receive(4096)
        if data == b"":
            transport.close()
            raise ConnectFailed(f"{terms.url} closed the connection")
        received = protocol.receive(data) if data else []
    session = session_for(transport, protocol, policy_for(terms.access, "client"), terms)
    return begin(session, {}, received, terms)


def _continue_as_rpyc(transport: SocketTransport, head: bytes, terms: Terms) -> Any:
    """Go on with a peer that has answered as RPyC 6 does."""
    from nbrpc.protocol.rpyc.handlers import Dialect
    from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol

    protocol = RpycProtocol(terms.limits, Dialect.RPYC6)
    try:
        return open_rpyc_connection(transport, protocol, terms, head)
    except OtherDialect as error:  # and a pipe cannot be opened a second time
        raise ConnectFailed(
            f"{terms.url} speaks the protocol of RPyC 5, which a pipe or stream cannot change to: "
            "use RPyC 6 there, or a TCP connection"
        ) from error


def connect_channel(
    channel: Any, service: Any = VoidService, config: Config = NO_CONFIG
) -> RpycConnection:
    """Connect over a `Channel`; its stream is what counts."""
    return connect_stream(channel.stream, service, config)


def connect_stream(
    stream: Any, service: Any = VoidService, config: Config = NO_CONFIG
) -> RpycConnection:
    """Connect over a stream: a `SocketStream`, a `PipeStream`, or any with its methods.

    Notes
    -----
    One side of a connection opens it, the other answers. Where the stream does not tell which this
    is, as one that `SocketStream.connect` made does, the side that hears from the other one first
    answers; that takes up to 0.2 s.
    """
    role = getattr(stream, "role", None)
    sock = _socket_of(stream)
    role = Role(role) if role else _role_by_listening(sock)
    return connect_socket(sock, service=service, config=config, name="stream", role=role)


def _role_by_listening(sock: socket.socket) -> Role:
    """Give the role of this side: it opens unless the other side has within a while.

    Two that begin at the same moment must not wait as long as each other.
    """
    import random
    import select

    seconds = random.uniform(0.02, 0.2)  # noqa: S311 - a delay, no secret
    return Role.SERVER if select.select([sock], [], [], seconds)[0] else Role.CLIENT


def _socket_of(stream: Any) -> socket.socket:
    """Give a socket that leads where a stream does; the stream belongs to it from here on."""
    if isinstance(stream, SocketStream):
        sock = stream.sock
        tunnel = getattr(stream, "tun", None)
        if tunnel is None:
            return sock.dup() if stream.closed else sock
    if isinstance(stream, PipeStream):
        return join_descriptors(
            stream.incoming.fileno(), stream.outgoing.fileno(), on_close=stream.close
        )
    return join_stream(stream)


def connect_pipes(
    input: Any,  # noqa: A002 - RPyC's name
    output: Any,
    service: Any = VoidService,
    config: Config = NO_CONFIG,
) -> RpycConnection:
    """Connect over two pipes: file objects, one to read from and one to write to."""
    return connect_stream(PipeStream(input, output), service, config)


def connect_stdpipes(service: Any = VoidService, config: Config = NO_CONFIG) -> RpycConnection:
    """Connect over the standard input and output of this process, as what `connect_subproc` runs.

    Prints go nowhere from then on.
    """
    return connect_stream(PipeStream.from_std(), service, config)


def connect_subproc(
    args: Any, service: Any = VoidService, config: Config = NO_CONFIG
) -> RpycConnection:
    """Start a program, and connect over its standard input and output.

    Attributes
    ----------
    conn.proc
        The process. It sees the end of its input when the connection is closed.
    """
    # what the caller names
    process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    stream = PipeStream(process.stdout, process.stdin)
    stream.role = "client"
    try:
        connection = connect_stream(stream, service, config)
    except BaseException:  # and it is raised again
        process.kill()
        process.wait()
        raise
    connection.proc = process
    return connection


def connect_thread(
    service: Any = VoidService,
    config: Config = NO_CONFIG,
    remote_service: Any = VoidService,
    remote_config: Config = NO_CONFIG,
) -> RpycConnection:
    """Start a server inside this process, and connect to it; it ends with the connection."""
    from nbrpc.compat.servers import OneShotServer

    server = OneShotServer(remote_service, hostname="127.0.0.1", protocol_config=remote_config)
    try:
        connection = connect_to(server.address, service, config, token=server.token)
    except BaseException:  # and it is raised again
        server.close()
        raise
    return connection


def connect_multiprocess(
    service: Any = VoidService,
    config: Config = NO_CONFIG,
    remote_service: Any = VoidService,
    remote_config: Config = NO_CONFIG,
    args: Mapping[str, Any] = NO_CONFIG,
) -> RpycConnection:
    """Start a server in another process, and connect to it; it ends with the connection.

    Parameters
    ----------
    args
        Names for the namespace of the connection over there.
    """
    import multiprocessing

    from nbrpc.compat.servers import serve_one

    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(
        target=serve_one,
        args=(sender, remote_service, dict(remote_config), dict(args)),
        daemon=True,
    )
    process.start()
    sender.close()
    with receiver:
        try:
            port, token = receiver.recv()
        except EOFError:
            process.join()
            raise ConnectionError("the server process ended before it listened") from None
    connection = connect_to(Address.tcp("127.0.0.1", port), service, config, token=token)
    connection.proc = process
    return connection


def ssh_connect(
    remote_machine: Any, remote_port: int, service: Any = VoidService, config: Config = NO_CONFIG
) -> RpycConnection:
    """Connect through the tunnel of a machine that is reached by ssh.

    Parameters
    ----------
    remote_machine
        Has a method ``tunnel(local_port, remote_port)``, as plumbum's ``SshMachine``. What that
        gives is closed with the connection.
    """
    make_tunnel = getattr(remote_machine, "tunnel", None)
    if make_tunnel is None:
        raise refuse("rpyc.ssh_connect")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tunnel = make_tunnel(port, remote_port)
    try:
        connection = connect("127.0.0.1", port, service, config)
    except BaseException:  # and it is raised again
        tunnel.close()
        raise
    when_ended(connection.session, tunnel.close)
    return connection


def discover(
    service_name: str, host: str | None = None, registrar: Any = None, timeout: float = 2
) -> list[tuple[str, int]]:
    """Give the addresses at which a service is registered.

    Parameters
    ----------
    host
        Only those on this machine.
    registrar
        The client of a registry; one that asks the whole network, unless given.

    Raises
    ------
    DiscoveryError
        There are none.
    """
    if registrar is None:
        registrar = UDPRegistryClient(timeout=timeout)
    addresses = list(registrar.discover(service_name))
    if not addresses:
        raise DiscoveryError(f"no servers exposing {service_name!r} were found")
    if host:
        wanted = set(socket.gethostbyname_ex(host)[2])
        addresses = [address for address in addresses if address[0] in wanted]
        if not addresses:
            raise DiscoveryError(f"no servers exposing {service_name!r} were found on {host!r}")
    return addresses


def connect_by_service(
    service_name: str,
    host: str | None = None,
    registrar: Any = None,
    timeout: float = 2,
    service: Any = VoidService,
    config: Config = NO_CONFIG,
) -> RpycConnection:
    """Connect to the first server of a service that answers.

    Raises
    ------
    DiscoveryError
        None is registered, or none of those answers.
    """
    addresses = discover(service_name, host=host, registrar=registrar, timeout=timeout)
    failure: Exception | None = None
    for address, port in addresses:
        try:
            return connect(address, port, service, config)
        except (OSError, EOFError) as error:
            failure = error
    raise DiscoveryError(f"all servers of {service_name!r} are down: {addresses}") from failure


def list_services(
    registrar: Any = None, filter_host: str | None = None, timeout: float = 2
) -> tuple[str, ...]:
    """Give the names of all registered services.

    Raises
    ------
    ForbiddenError
        The registry does not tell.
    """
    if registrar is None:
        registrar = UDPRegistryClient(timeout=timeout)
    names = registrar.list(filter_host)
    if names is None:
        raise ForbiddenError("the registry does not list its services")
    return tuple(names)
