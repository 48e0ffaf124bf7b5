"""From a connected transport to a session: the handshake of the connecting side."""

from __future__ import annotations

import logging
import select
import time
from typing import Any

from nbrpc.errors import ConnectFailed, ConnectionLost, NbrpcError, RemoteProtocolError
from nbrpc.objects.access import Policy
from nbrpc.options import Access, Limits, Timing
from nbrpc.protocol.machine import Protocol, Ready
from nbrpc.session import dispatch
from nbrpc.session.connection import Connection
from nbrpc.session.reactor import reactor
from nbrpc.session.session import Session
from nbrpc.transports.base import Transport

__all__ = ["open_connection", "policy_for"]

log = logging.getLogger("nbrpc.session")

_policies: dict[Access, Policy] = {}


def policy_for(access: Access) -> Policy:
    """Give the policy of some access rules; sessions with equal rules share what it learns."""
    policy = _policies.get(access)
    if policy is None:
        policy = _policies.setdefault(access, Policy(access))
    return policy


def open_connection(
    transport: Transport,
    protocol: Protocol,
    *,
    url: str,
    service: Any,
    access: Access,
    limits: Limits,
    timing: Timing,
    timeout: float,
) -> Connection:
    """Shake hands with a server, and give the connection.

    Raises
    ------
    ConnectFailed
        No answer in time, or one that is not nbrpc's.
    AuthenticationFailed
        The two sides do not hold the same token.
    """
    deadline = time.monotonic() + timeout
    try:
        about, rest = _shake_hands(transport, protocol, deadline, url)
    except ConnectionLost as error:
        transport.close()
        raise ConnectFailed(
            f"{url} closed the connection during the handshake: it is no nbrpc server, or it has "
            "no room for more connections"
        ) from error
    except BaseException:
        transport.close()
        raise
    session = Session(
        transport,
        protocol,
        policy_for(access),
        connecting=True,
        dispatcher=dispatch.default(),
        limits=limits,
        timing=timing,
    )
    session.name = about.get("name") or url
    connection = Connection(session, about, url)
    session.root_object = service() if isinstance(service, type) else service
    session.on_end = lambda _session: reactor().submit(_Disconnected(connection))
    try:
        for message in rest:
            session.handle(message)
    except NbrpcError as error:
        session.lose(error)
        raise ConnectFailed(f"cannot connect to {url}: {error}") from error
    session.start()
    session.root_object.on_connect(connection)
    return connection


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
    transport: Transport, protocol: Protocol, deadline: float, url: str
) -> tuple[dict[str, str], list[Any]]:
    """Exchange the opening messages; give what the server says of itself, and what followed."""
    received: list[Any] = []
    while True:
        if protocol.outgoing:
            # In one write: each costs the other side a wake-up.
            _send_all(transport, b"".join(protocol.outgoing), deadline)
            protocol.outgoing.clear()
        if received and isinstance(received[0], Ready):
            return received[0].about, received[1:]
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise ConnectFailed(
                f"{url} did not answer the handshake in time: it is no nbrpc server, or it is stuck"
            )
        arrived = _receive(transport, remaining)
        if arrived == b"":
            raise ConnectionLost(f"{url} closed the connection")
        if arrived:
            try:
                received = protocol.receive(arrived)
            except RemoteProtocolError as error:
                raise ConnectFailed(f"cannot connect to {url}: {error}") from error


def _receive(transport: Transport, remaining: float) -> bytes | None:
    if transport.waitable and remaining > 0.2:
        return transport.wait_receive(4096)
    select.select([transport.fileno()], [], [], min(remaining, 0.1))
    return transport.receive(4096)


def _send_all(transport: Transport, data: bytes, deadline: float) -> None:
    view = memoryview(data)
    while view:
        view = view[transport.send([view]) :]
        if view:
            select.select([], [transport.fileno()], [], max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                raise ConnectionLost("the handshake could not be sent in time")
