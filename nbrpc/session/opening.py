"""From a connected transport to a connection: the handshake of the connecting side."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nbrpc.errors import ConnectFailed, ConnectionLost, NbrpcError, RemoteProtocolError
from nbrpc.objects.access import Policy
from nbrpc.options import Access, Limits, Timing
from nbrpc.protocol.machine import Foreign, Protocol, Ready
from nbrpc.session import dispatch, interrupts, shared_memory
from nbrpc.session.connection import Connection
from nbrpc.session.session import Session
from nbrpc.transports.base import WHOLE_READ, Transport

__all__ = ["Terms", "begin", "open_connection", "open_rpyc_connection", "policy_for"]

log = logging.getLogger("nbrpc.session")

_policies: dict[tuple[Access, str], Policy] = {}


def policy_for(access: Access, side: str) -> Policy:
    """Give the policy of some access rules; sessions with equal rules share what it learns.

    Parameters
    ----------
    side
        Which side of the connection has them: client or server.
    """
    policy = _policies.get((access, side))
    if policy is None:
        policy = _policies.setdefault((access, side), Policy(access, side))
    return policy


@dataclass(frozen=True, slots=True)
class Terms:
    """What both ways of opening a connection need.

    Parameters
    ----------
    url
        Where the peer is, without a token.
    service
        What this side serves: a `Service` class or instance.
    deadline
        On the monotonic clock: when the connection must be ready.
    connecting
        Whether this side opened the connection: only then do proxies pass for builtin containers.
    make_connection
        Makes the `Connection` of a session, what the peer says of itself, and the URL.
    dispatcher
        Where jobs run; None makes one.
    """

    url: str
    service: Any
    access: Access
    limits: Limits
    timing: Timing
    deadline: float
    connecting: bool = True
    make_connection: Callable[[Session, dict[str, str], str], Connection] = Connection
    dispatcher: dispatch.Dispatcher | None = None


def open_connection(transport: Transport, protocol: Protocol, terms: Terms) -> Connection:
    """Shake hands with a server, and give the connection.

    Raises
    ------
    ConnectFailed
        No answer in time, or one that is not nbrpc's.
    Foreign
        The answer may be RPyC's; the transport is still open.
    AuthenticationFailed
        The two sides do not hold the same token.
    """
    try:
        about, rest = _shake_hands(transport, protocol, terms)
    except Foreign as error:
        if error.is_rpyc:
            raise
        transport.close()
        raise ConnectFailed(f"cannot connect to {terms.url}: {error}") from error
    except ConnectionLost as error:
        transport.close()
        raise _closed(terms) from error
    except BaseException:
        transport.close()
        raise
    session = Session(
        transport,
        protocol,
        policy_for(terms.access, "client"),
        connecting=terms.connecting,
        dispatcher=terms.dispatcher or dispatch.default(),
        limits=terms.limits,
        timing=terms.timing,
    )
    return begin(session, about, rest, terms)


def open_rpyc_connection(
    transport: Transport, protocol: Any, terms: Terms, head: bytes | None = None
) -> Connection:
    """Ask a server of RPyC for its root, and give the connection.

    Parameters
    ----------
    protocol
        A `RpycProtocol` with a dialect.
    head
        What the server has said already, to a request for its root; None: it has not been asked.

    Raises
    ------
    ConnectFailed
        No answer in time, or one that is not RPyC's.
    OtherDialect
        The server speaks the other dialect of RPyC. The transport is closed.
    """
    from nbrpc.session.rpyc.opening import introduce, session_for

    if terms.url.startswith("nbrpc://"):  # what is there was found out
        terms = replace(terms, url=terms.url.replace("nbrpc", "rpyc", 1))
    try:
        reply, rest = _ask_for_root(transport, protocol, terms, head)
    except ConnectionLost as error:
        transport.close()
        raise _closed(terms) from error
    except BaseException:  # and it is raised again
        transport.close()
        raise
    session = session_for(transport, protocol, policy_for(terms.access, "client"), terms)
    connection = begin(session, {}, rest, terms)
    try:
        introduce(session, connection, reply, terms.deadline - time.monotonic())
    except BaseException as error:  # and it is raised again
        session.lose(error)
        raise
    return connection


def begin(session: Session, about: dict[str, str], rest: list[Any], terms: Terms) -> Connection:
    """Start a session whose protocol is ready."""
    session.name = about.get("name") or terms.url
    shared_memory.agree(session, about)
    connection = terms.make_connection(session, about, terms.url)
    session.owner = connection
    service = terms.service
    session.root_object = service() if isinstance(service, type) else service
    session.on_end = _tell_end
    if connection.peer_runs_code and terms.connecting:
        log.warning(
            "%s may run code in this process and do all that you can; to allow nothing, connect "
            "without service=%s",
            session.name,
            service.__name__ if isinstance(service, type) else type(service).__name__,
        )
    try:
        for message in rest:
            session.handle(message)
    except NbrpcError as error:
        session.lose(error)
        raise ConnectFailed(f"cannot connect to {terms.url}: {error}") from error
    session.start()
    try:
        session.root_object.on_connect(connection)
    except BaseException:  # and it is raised again
        session.close()
        raise
    return connection


def _tell_end(session: Session) -> None:
    connection = session.owner
    if connection is not None:
        session.reactor.submit(_Disconnected(connection))


class _Disconnected:
    """The end of a connection, told to the service of this side as a job: it is the user's code."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self) -> None:
        try:
            self._connection.session.root_object.on_disconnect(self._connection)
        except Exception:  # user code, and nobody waits for it
            log.exception("on_disconnect failed")


def _shake_hands(
    transport: Transport, protocol: Protocol, terms: Terms
) -> tuple[dict[str, str], list[Any]]:
    """Exchange the opening messages; give what the server says of itself, and what followed."""
    received: list[Any] = []
    while True:
        if protocol.outgoing:
            # In one write: each costs the other side a wake-up.
            _send_all(transport, b"".join(protocol.outgoing), terms.deadline)
            protocol.outgoing.clear()
        if received and isinstance(received[0], Ready):
            return received[0].about, received[1:]
        arrived = _receive(transport, terms)
        if arrived:
            try:
                received = protocol.receive(arrived)
            except Foreign:
                raise
            except RemoteProtocolError as error:
                raise ConnectFailed(f"cannot connect to {terms.url}: {error}") from error


def _ask_for_root(
    transport: Transport, protocol: Any, terms: Terms, head: bytes | None
) -> tuple[Any, list[Any]]:
    """Give the answer to the request for the root, and what came with it."""
    from nbrpc.protocol.rpyc.machine import ROOT_SEQ, OtherDialect

    if head is None:
        _send_all(transport, b"".join(protocol.opening()), terms.deadline)
    rest: list[Any] = []
    while True:
        if head:
            try:
                rest += protocol.receive(head)
            except OtherDialect:
                raise
            except RemoteProtocolError as error:
                raise ConnectFailed(f"cannot connect to {terms.url}: {error}") from error
            for message in rest:
                if getattr(message, "seq", None) == ROOT_SEQ:
                    rest.remove(message)
                    return message, rest
        head = _receive(transport, terms)


def _receive(transport: Transport, terms: Terms) -> bytes | None:
    """Wait a moment for bytes.

    Raises
    ------
    ConnectFailed
        The time is over, or the server closed.
    """
    interrupts.check()
    remaining = terms.deadline - time.monotonic()
    if remaining <= 0:
        raise ConnectFailed(
            f"{terms.url} did not answer the handshake in time: it is no nbrpc server, or it is "
            "stuck"
        )
    try:
        if transport.waitable and remaining > 0.2:
            arrived = transport.wait_receive(WHOLE_READ)
        else:
            select.select([transport.fileno()], [], [], min(remaining, 0.1))
            arrived = transport.receive(WHOLE_READ)
    except ConnectionLost as error:
        raise _closed(terms) from error
    if arrived == b"":
        raise _closed(terms)
    return arrived


def _closed(terms: Terms) -> ConnectFailed:
    return ConnectFailed(
        f"{terms.url} closed the connection during the handshake: it is no nbrpc server, or it has "
        "no room for more connections"
    )


def _send_all(transport: Transport, data: bytes, deadline: float) -> None:
    view = memoryview(data)
    while view:
        view = view[transport.send([view]) :]
        if view:
            select.select([], [transport.fileno()], [], max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                raise ConnectFailed("the handshake could not be sent in time")
