"""RPyC's names for the server, on the one implementation.

They make one instance of a service class per connection, listen where they are told (127.0.0.1
unless told otherwise), and block in ``start``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from nbrpc.server.server import Server
from nbrpc.session.connection import Connection

__all__ = ["ForkingServer", "OneShotServer", "ThreadPoolServer", "ThreadedServer"]


class ThreadedServer(Server):
    """RPyC's server of that name.

    Parameters
    ----------
    hostname
        Where to listen; 127.0.0.1 unless given.
    protocol_config
        RPyC's configuration keys.
    socket_path
        The path of a Unix socket, instead of hostname and port.
    ipv6, reuse_addr, registrar, auto_register, logger, listener_timeout
        Accepted as in RPyC. A registrar is not available in this release.
    """

    def __init__(
        self,
        service: Any,
        hostname: str | None = None,
        ipv6: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
        port: int = 0,
        backlog: int = 512,
        reuse_addr: bool = True,  # noqa: FBT001, FBT002
        authenticator: Any = None,
        registrar: Any = None,
        auto_register: bool | None = None,  # noqa: FBT001
        protocol_config: Mapping[str, Any] | None = None,
        logger: Any = None,
        listener_timeout: float = 0.5,
        socket_path: str | None = None,
        **options: Any,
    ) -> None:
        if registrar is not None or auto_register:
            raise NotImplementedError("a registry is not available in this release of nbrpc")
        super().__init__(
            service,
            host=hostname or ("::1" if ipv6 else "127.0.0.1"),
            port=port,
            path=socket_path,
            backlog=backlog,
            authenticator=authenticator,
            config=protocol_config,
            per_connection=True,
            **options,
        )

    def fileno(self) -> int:
        """Give the descriptor of the listening socket."""
        return self._listener.fileno()


class OneShotServer(ThreadedServer):
    """Serves one client and ends with its connection."""

    def _session_ended(self, session: Any) -> None:
        super()._session_ended(session)
        self.close()


class ThreadPoolServer(ThreadedServer):
    """RPyC's server with a pool: here every server has one, so the sizes are only accepted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("nbThreads", None)
        kwargs.pop("requestBatchSize", None)
        super().__init__(*args, **kwargs)


class ForkingServer(ThreadedServer):
    """Serves each connection in a child process of its own (POSIX).

    The child is forked when a client is authenticated; it serves that one connection and exits
    with it, so what a client does to the service's state stays in its child.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not hasattr(os, "fork"):
            raise NotImplementedError("ForkingServer needs fork, which this platform lacks")
        super().__init__(*args, **kwargs)
        self._children: set[int] = set()

    def begin(self, connection: Connection, rest: list[Any]) -> None:
        """Serve a connection in a child."""
        session = connection.session
        child = os.fork()
        if child:
            self._children.add(child)
            with self._lock:
                self.connections.discard(connection)
            session.reactor.unregister(session.fileno())
            session.transport.abandon()
            session.closed = True
            self._reap()
            return
        self._serve_child(connection, rest)

    def _serve_child(self, connection: Connection, rest: list[Any]) -> None:
        """Serve one connection as a child, and exit; never returns."""
        import threading

        from nbrpc.session.reactor import reactor

        status = 1
        try:
            ended = threading.Event()
            session = connection.session
            session.revive(reactor())
            session.on_end = lambda _session: ended.set()
            super().begin(connection, rest)
            ended.wait()
            on_disconnect = getattr(session.root_object, "on_disconnect", None)
            if on_disconnect is not None:
                on_disconnect(connection)
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Collect children that have ended."""
        for child in list(self._children):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(child, os.WNOHANG)[0] == 0:
                    continue
            self._children.discard(child)

    def close(self) -> None:
        """Stop listening; children end with their connections."""
        super().close()
        self._reap()
