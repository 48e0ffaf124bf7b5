"""Connecting to servers that let their clients run code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from nbrpc.client import connect as connect_to
from nbrpc.errors import AccessDenied
from nbrpc.options import Limits, Timing
from nbrpc.service import ClassicService, VoidService
from nbrpc.session.connection import Connection

if TYPE_CHECKING:
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["DEFAULT_SERVER_PORT", "connect", "connect_thread", "on_peer", "unix_connect"]

DEFAULT_SERVER_PORT: Final = 18812
"""The port of ``nbrpc serve --classic``, and of RPyC's classic server."""


def connect(
    host: str,
    port: int = DEFAULT_SERVER_PORT,
    *,
    token: str | None = None,
    tls: Any = None,
    timeout: float = 10.0,
    reconnect: bool = False,
    session: str | None = None,
    timing: Timing | None = None,
    limits: Limits | None = None,
) -> Connection:
    """Connect to a server that lets its clients run code.

    Parameters
    ----------
    host
        A host name or address, or a URL; the port of a URL is in it.
    token, tls, timeout, reconnect, session, timing, limits
        As for `nbrpc.connect`.

    Raises
    ------
    AccessDenied
        The server does not let clients run code; the connection is closed again.
    ConnectFailed
        Nobody answers there, or it is no nbrpc server.
    AuthenticationFailed
        The token is wrong, or one is needed.
    """
    connection = connect_to(
        host,
        None if "://" in host else port,
        token=token,
        tls=tls,
        timeout=timeout,
        reconnect=reconnect,
        session=session,
        timing=timing,
        limits=limits,
    )
    if not connection.allows_code:
        connection.close()
        raise AccessDenied(
            f"{connection.name} does not let clients run code: start it with --classic or "
            "--allow-code (serve(..., allow_code=True)), or use nbrpc.connect for what it exposes"
        )
    return connection


def unix_connect(
    path: str | os.PathLike[str],
    *,
    token: str | None = None,
    timeout: float = 10.0,
    timing: Timing | None = None,
    limits: Limits | None = None,
) -> Connection:
    """Connect to such a server on a Unix socket; the errors are those of `connect`."""
    url = f"unix://{quote(str(Path(path).absolute()))}"
    return connect(url, token=token, timeout=timeout, timing=timing, limits=limits)


def on_peer(conn: Connection) -> Any:
    """Give the module `nbrpc.classic.on_peer` of the peer."""
    if not conn.session.nests:
        return conn.modules["nbrpc.classic.on_peer"]
    from nbrpc.classic import on_peer as module
    from nbrpc.session.rpyc.copying import carried

    return carried(cast("RpycSession", conn.session), module)


def connect_thread() -> Connection:
    """Start a classic server inside this process, and connect to it.

    It is a connection like any other, to try things on; closing it ends the server.
    """
    from nbrpc.server.server import Server

    server = Server(ClassicService)

    class ClosesServer(VoidService):
        """The client's side: it exposes nothing, and sees the connection end."""

        def on_disconnect(self, conn: Any) -> None:
            server.close()

    try:
        return connect_to(server.url, service=ClosesServer, token=server.token)
    except BaseException:
        server.close()
        raise
