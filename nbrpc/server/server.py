"""The server: one implementation, under several names.

A server has no threads of its own. Its listening socket and its connections belong to the process's
reactor; `start` only waits (and runs remote cells, which belong on the main thread).
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self

from nbrpc.connection_file import remove
from nbrpc.errors import NbrpcError
from nbrpc.options import CODE_ACCESS, Access, Limits, Timing, checked_limits, from_config
from nbrpc.protocol.machine import Protocol
from nbrpc.server.accepting import (
    FAILURE_DELAY,
    LONGEST_DELAY,
    Authentication,
    Handshake,
    Listener,
)
from nbrpc.server.auth import SSLAuthenticator
from nbrpc.server.listening import (
    Encryption,
    check_arguments,
    check_loop,
    check_reach,
    has_exposed,
    write_file,
)
from nbrpc.server.main_thread import MainThread
from nbrpc.server.sessions import Sessions
from nbrpc.service import Service
from nbrpc.session import shared_memory
from nbrpc.session.connection import Connection
from nbrpc.session.dispatch import Held, Workers
from nbrpc.session.in_turn import InTurn
from nbrpc.session.opening import policy_for
from nbrpc.session.reactor import reactor
from nbrpc.session.session import Session
from nbrpc.transports import sockets
from nbrpc.transports.address import TLS_SCHEME, Address
from nbrpc.transports.base import Transport
from nbrpc.version import about_this_process

__all__ = ["AS_THIS_PROCESS", "Server", "ServerStatistics"]

log = logging.getLogger("nbrpc.server")

AS_THIS_PROCESS = "which can do all that this process can"

_running: weakref.WeakSet[Server] = weakref.WeakSet()


class ServerStatistics(NamedTuple):
    """Sums over the connections of a server, and how many those are."""

    connections: int
    requests_sent: int
    requests_served: int
    pending: int
    queued: int
    events_sent: int
    events_received: int
    bytes_sent: int
    bytes_received: int
    exported: int
    imported: int


class Server:
    """Serves one service to many clients.

    It listens as soon as it is made. Use it as a context manager, or `close` it.

    Parameters
    ----------
    service
        A `Service` class or instance, or any other object, which is served with its public
        attributes.
    host, port
        Where to listen; port 0 takes a free one.
    path
        The path of a Unix socket, instead of host and port.
    name
        Under which ``nbrpc list`` and ``%rpc_connect`` find it.
    token
        The secret that lets clients in; made up unless given. A Unix socket has none unless given:
        its mode is 0600, and the peer's user id is checked.
    tls
        Encrypt: an `nbrpc.TLS` with a certificate, or an `ssl.SSLContext` that has one. With ``ca``
        clients show certificates as well, and what theirs says is in ``connection.credentials``.
    allow_code
        Let clients run code. They can then do all that this process can.
    per_connection
        Make an instance of the service class for each connection, instead of one for all.
    insecure
        Allow a host beyond loopback without TLS, where anybody on the way can listen in.
    rpyc
        Let clients of RPyC in as well, which show no token: on loopback and Unix sockets only, or
        where they show certificates.
    config
        RPyC's configuration keys.
    loop
        The asyncio event loop on which coroutines of the service run; None is nbrpc's own.
    authenticator
        Sees the socket of each client first; see ``nbrpc.server.auth``. What it finds out is in
        ``connection.credentials``.

    Raises
    ------
    ValueError
        The host is beyond loopback, and neither TLS nor ``insecure=True`` was given, or clients of
        RPyC are to be let in there; or the port is no port; or a file of ``tls`` cannot be used.
    TypeError
        An argument is of the wrong kind.
    OSError
        The port or path is taken.

    Attributes
    ----------
    url : str
        Where clients connect, without the token.
    token : str or None
        The token.
    fingerprint : str or None
        ``sha256:...`` of the certificate, by which clients may know the server; None without TLS.
    host, port, path
        Where it listens.
    """

    make_connection: Callable[[Session, dict[str, str], str], Connection] = Connection
    """Makes the connection of a session, from what the client says of itself and its address."""

    serves_child = False
    """Whether this is a child process with one client; see `ForkingServer`."""

    def __init__(
        self,
        service: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        token: str | None = None,
        tls: Any = None,
        allow_code: bool = False,
        per_connection: bool = False,
        insecure: bool = False,
        rpyc: bool = False,
        config: Mapping[str, Any] | None = None,
        timing: Timing | None = None,
        limits: Limits | None = None,
        loop: Any = None,
        authenticator: Callable[[Any], Any] | None = None,
        backlog: int = 512,
        dispatcher: Callable[[], Any] = Workers,
    ) -> None:
        check_arguments(service, host, port, path, token)
        check_loop(loop)
        self.loop = loop
        self.path = path = None if path is None else os.fspath(path)
        self.host = None if path else host
        access, self.timing = from_config(config, timing=timing)
        self.limits = checked_limits(limits)
        self.service = service
        self.allow_code = allow_code or getattr(service, "allow_code", False) is True
        self.access = self._access(access)
        self.encryption = Encryption.of(tls, path, authenticator)
        self.fingerprint = self.encryption.fingerprint
        if isinstance(authenticator, SSLAuthenticator):
            authenticator = None
        self.authenticator = authenticator
        if path is None:
            check_reach(host, self.encryption, insecure=insecure, rpyc=rpyc)
        self.rpyc = rpyc
        if rpyc:  # now, or the first such client would keep all others waiting
            from nbrpc.session.rpyc import session as _session  # noqa: F401 - only loaded
        self._per_connection = per_connection and isinstance(service, type)
        self._shared: Any = None
        if not self._per_connection:
            self._shared = service() if isinstance(service, type) else service
        self.token = token if token is not None or path is not None else secrets.token_urlsafe(32)
        self.token_bytes = None if self.token is None else self.token.encode()
        self.server_id = secrets.token_bytes(16)
        self._dispatcher = dispatcher
        self._lock = threading.Lock()
        self._handshakes: dict[int, Handshake | Authentication] = {}
        self.connections: set[Connection] = set()
        self._failures: dict[str, int] = {}
        self._closed = threading.Event()
        self._main_thread = MainThread()
        self._pid = os.getpid()
        expiry = self.timing.session_expiry
        self.sessions = Sessions(self.limits, expiry) if self.allow_code else None
        self._begin_listening(host, port, backlog, name)

    def _begin_listening(self, host: str, port: int, backlog: int, name: str | None) -> None:
        """Begin to listen, and say where in the connection file."""
        path = self.path
        listener = (
            sockets.listen_unix(path, backlog)
            if path is not None
            else sockets.listen_tcp(host, port, backlog)
        )
        self.port: int | None = None if path is not None else listener.getsockname()[1]
        self.address = Address.unix(path) if path else Address.tcp(host, self.port or 0)
        if self.fingerprint is not None:
            self.address = replace(self.address, scheme=TLS_SCHEME, fingerprint=self.fingerprint)
        self.url = self.address.url
        self.name = name or self.url
        self._file = write_file(self)
        self._listener = Listener(self, listener)
        _running.add(self)
        if self.allow_code:
            log.info("%s: clients may run code, %s", self.address.name, AS_THIS_PROCESS)

    def _access(self, access: Access) -> Access:
        if self.allow_code:
            return replace(CODE_ACCESS, include_local_traceback=access.include_local_traceback)
        cls = self.service if isinstance(self.service, type) else type(self.service)
        if not issubclass(cls, Service) and not has_exposed(cls, access.exposed_prefix):
            return replace(access, allow_public_attrs=True)
        return access

    def __repr__(self) -> str:
        return f"<Server {self.name} at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def active(self) -> bool:
        """Whether it is listening."""
        return not self._closed.is_set()

    @property
    def url_with_token(self) -> str:
        """The URL with the token and the fingerprint in it, for copying: a secret."""
        return self.address.with_token(self.token).url_with_token

    def about(self) -> dict[str, str]:
        """Give what clients are told once they are authenticated."""
        cls = self.service if isinstance(self.service, type) else type(self.service)
        code = "yes" if self.allow_code else "no"
        told = {"name": self.name, "service": cls.__name__, "allow_code": code}
        return about_this_process(**shared_memory.whereabouts(), **told)

    # ---- life

    def start(self) -> None:
        """Serve until `close` is called, or the user presses Ctrl-C; blocks.

        On the main thread, remote cells run here, so that cancelling one interrupts C calls too.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C; the server is closed then.
        """
        try:
            if threading.current_thread() is threading.main_thread():
                self._main_thread.serve()
            else:
                self._closed.wait()
        finally:
            self.close()

    serve_forever = start

    def close(self) -> None:
        """Stop listening and end all connections; closing twice does nothing."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        if self._file is not None:
            remove(self._file)
        self._listener.close()
        for handshake in list(self._handshakes.values()):
            handshake.end()
        for connection in list(self.connections):
            connection.close()
        if self.sessions is not None:
            self.sessions.close()
        self._main_thread.stop()
        close = getattr(self._shared, "close", None)
        if self._owns_shared and callable(close):
            close()

    def forked(self) -> None:
        """In a forked child: the port, the file and the connections belong to the parent."""
        self._lock = threading.Lock()
        self._main_thread = MainThread()
        self._file = self.sessions = None
        self._handshakes.clear()
        self.connections.clear()
        self._closed = threading.Event()  # another thread may have been inside of the old one
        self._closed.set()

    @property
    def _owns_shared(self) -> bool:
        return isinstance(self.service, type) and isinstance(self._shared, Service)

    # ---- what the listener and the handshakes tell

    def accepted(self, transport: Transport) -> None:
        """A client has connected."""
        user = sockets.peer_user(transport)
        if self.path is not None and user is not None and user not in (os.getuid(), 0):
            log.warning("%s: user %s may not use this socket", self.url, user)
            transport.close()
            return
        with self._lock:
            full = len(self.connections) >= self.limits.connections
            oldest = None
            if len(self._handshakes) >= self.limits.unauthenticated:
                oldest = next(iter(self._handshakes.values()))
        if full:
            log.warning(
                "%s: %d connections already; one more is refused", self.url, len(self.connections)
            )
            transport.close()
            return
        if oldest is not None:
            oldest.end()
        if self.authenticator is None:
            self._shake_hands(transport, None)
            return
        authentication = Authentication(self, transport)
        with self._lock:
            self._handshakes[id(authentication)] = authentication
        reactor().submit(authentication)

    def checked(self, authentication: Authentication, credentials: object) -> None:
        """The authenticator let a client pass."""
        self.handshake_ended(authentication)
        if self._closed.is_set() and not self.serves_child:
            authentication.transport.close()
        else:
            self._shake_hands(authentication.transport, credentials)

    def _shake_hands(self, transport: Transport, credentials: object) -> None:
        handshake = Handshake(self, transport, credentials)
        with self._lock:
            self._handshakes[id(handshake)] = handshake
        handshake.start()

    def handshake_ended(self, handshake: Handshake | Authentication) -> None:
        """A client is gone before it was authenticated."""
        with self._lock:
            self._handshakes.pop(id(handshake), None)

    def failed(self, transport: Transport) -> float:
        """A client had a wrong token; give the seconds by which its answer waits."""
        host = sockets.peer_host(transport) or "local"
        with self._lock:
            if len(self._failures) > 10_000:
                self._failures.clear()
            count = self._failures[host] = self._failures.get(host, 0) + 1
        return min(FAILURE_DELAY * float(2 ** min(count - 1, 10)), LONGEST_DELAY)

    def authenticated(self, handshake: Handshake, about: dict[str, str], rest: list[Any]) -> None:
        """A client is let in."""
        transport = handshake.transport
        session = self._session_class(handshake.protocol)(
            transport,
            handshake.protocol,
            policy_for(self.access, "server"),
            connecting=False,
            dispatcher=Held(),
            limits=self.limits,
            timing=self.timing,
            on_end=self._session_ended,
        )
        shared_memory.agree(session, about)
        connection = self.make_connection(session, about, transport.name)
        connection.credentials = handshake.credentials
        if self.encryption.mutual:
            connection.credentials = getattr(transport, "peer_described", None)
        session.held = connection
        session.loop = self.loop
        with self._lock:
            self._handshakes.pop(id(handshake), None)
            self.connections.add(connection)
        if self.allow_code:
            log.info("%s: a client that may run code, %s", transport.name, AS_THIS_PROCESS)
        session.reactor.submit(_Begin(self, connection, rest))

    @staticmethod
    def _session_class(protocol: object) -> type[Session]:
        if isinstance(protocol, Protocol):
            return Session
        from nbrpc.session.rpyc.session import RpycSession

        return RpycSession

    def begin(self, connection: Connection, rest: list[Any]) -> None:
        """Make the service for a connection and start it; a job, since it runs user code."""
        session = connection.session
        held = session.dispatcher
        try:
            root = self._shared
            if self._per_connection:
                root = self.service()
            session.root_object = root
            if self.allow_code:
                from nbrpc.server.shell import shared_shell

                session.shell = shared_shell()
                session.sessions = self.sessions
                if self._main_thread.active:
                    session.cell_runner = self._main_thread
            if isinstance(root, Service):
                root.on_connect(connection)
        except Exception:
            log.exception("%s: a connection could not be set up", self.url)
            session.close("the service failed to accept the connection; see the server's log")
            return
        try:
            for message in rest:
                session.handle(message)
        except NbrpcError as error:
            session.lose(error)
            return
        # What the client asked while on_connect called it runs now; that may have chosen where.
        if session.dispatcher is held:
            session.dispatcher = InTurn() if session.nests else self._dispatcher()
        held.release(session.dispatcher)
        session.start()

    def _session_ended(self, session: Session) -> None:
        connection = session.owner
        with self._lock:
            self.connections.discard(connection)
        if self.sessions is not None:
            self.sessions.left(session)
        root = session.root_object
        if isinstance(root, Service):
            session.reactor.submit(_Disconnected(root, connection))

    def statistics(self) -> ServerStatistics:
        """Give figures of this moment: the sums over all connections, and their number."""
        connections = list(self.connections)
        rows = [connection.statistics()[:-1] for connection in connections]
        sums = [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * 10
        return ServerStatistics(len(connections), *sums)


class _Begin:
    """The start of a connection, as a job."""

    def __init__(self, server: Server, connection: Connection, rest: list[Any]) -> None:
        self._server = server
        self._connection = connection
        self._rest = rest

    def run(self) -> None:
        self._server.begin(self._connection, self._rest)


class _Disconnected:
    """The end of a connection, told to the service."""

    def __init__(self, service: Service, connection: Connection) -> None:
        self._service = service
        self._connection = connection

    def run(self) -> None:
        try:
            self._service.on_disconnect(self._connection)
        except Exception:
            log.exception("on_disconnect failed")


@atexit.register
def _close_all() -> None:
    """Leave no connection file behind."""
    for server in list(_running):
        if server._pid == os.getpid():  # noqa: SLF001 - of this very module
            server.close()
