"""``rpyc.utils.server``: RPyC's servers, on nbrpc's.

A service is served in turn on each connection, as RPyC does it. Without a hostname they listen on
127.0.0.1, and not on all interfaces; any other host needs ``insecure=True``, since nothing is
encrypted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from nbrpc.compat.connection import RpycConnection, full_config, known_config
from nbrpc.compat.discovery import UDPRegistryClient
from nbrpc.compat.left_out import refuse
from nbrpc.compat.library import spawn
from nbrpc.server import compat
from nbrpc.server.server import Server as NativeServer
from nbrpc.session.code import namespace_of
from nbrpc.session.in_turn import InTurn
from nbrpc.transports.sockets import socket_below

__all__ = [
    "ForkingServer",
    "GeventServer",
    "OneShotServer",
    "Server",
    "ThreadPoolServer",
    "ThreadedServer",
    "serve_one",
]

IN_TURN = InTurn
"""Where the requests of a connection run: one after the other, in their order."""


class Server(compat.ThreadedServer):
    """The base of RPyC's servers, which has all that they share.

    Parameters
    ----------
    service
        A service class, of which each connection gets an instance, or an instance for all.
    hostname, ipv6, port, backlog, socket_path
        Where to listen.
    authenticator
        Sees the socket of each client first; see ``nbrpc.server.auth``.
    registrar, auto_register
        The client of a registry, to which the server tells where it is while it runs;
        ``auto_register`` alone asks the whole network.
    protocol_config
        RPyC's configuration keys; unknown ones are ignored.
    logger
        Gets what the server has to say.
    reuse_addr, listener_timeout
        Accepted as in RPyC, and not needed.
    **options
        What `nbrpc.Server` takes beyond that: ``token``, ``name``, ``insecure``, ``limits``.
    """

    def __init__(
        self,
        service: Any,
        hostname: str | None = None,
        ipv6: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
        port: int = 0,
        backlog: int = 512,
        reuse_addr: bool = True,  # noqa: FBT001, FBT002 - RPyC's signature
        authenticator: Any = None,
        registrar: Any = None,
        auto_register: bool | None = None,  # noqa: FBT001 - RPyC's signature
        protocol_config: Mapping[str, Any] | None = None,
        logger: Any = None,
        listener_timeout: float = 0.5,
        socket_path: str | None = None,
        **options: Any,
    ) -> None:
        self.protocol_config = full_config(protocol_config)
        self.make_connection = partial(RpycConnection, config=self.protocol_config)
        self.auto_register = bool(registrar) if auto_register is None else auto_register
        self._registering: threading.Thread | None = None
        self._stop_registering = threading.Event()
        options.setdefault("dispatcher", IN_TURN)
        super().__init__(
            service,
            hostname=hostname,
            ipv6=ipv6,
            port=port,
            backlog=backlog,
            authenticator=authenticator,
            protocol_config=known_config(self.protocol_config),
            socket_path=socket_path,
            **options,
        )
        names = self._service_names()
        place = self.port if self.port is not None else self.path
        self.logger = logger or logging.getLogger(f"{names[0] if names else 'SERVER'}/{place}")
        if self.protocol_config.get("logger") is None:
            self.protocol_config["logger"] = self.logger
        self.registrar = registrar
        if registrar is None and self.auto_register:
            self.registrar = UDPRegistryClient(logger=self.logger)

    def _service_names(self) -> tuple[str, ...]:
        names = getattr(self.service, "get_service_aliases", None)
        return tuple(names()) if names is not None else ()

    @property
    def clients(self) -> set[Any]:
        """The sockets of the clients that are connected; only to look at."""
        return {
            socket_below(connection.session.transport)
            for connection in list(self.connections)
            if not connection.closed
        }

    def accept(self) -> Any:
        """Refuse: a server takes its clients from its own socket."""
        raise refuse("rpyc.Server.accept")

    def _listen(self) -> None:
        """Do nothing: a server listens as soon as it is made."""

    def _start_in_thread(self) -> threading.Thread:
        """Start the server on a thread, and give that."""
        thread = spawn(self.start)
        if self.auto_register:
            self._begin_to_register()
        return thread

    # ---- the registry

    def start(self) -> None:
        """Serve until `close` is called, or the user presses Ctrl-C; blocks."""
        if self.auto_register:
            self._begin_to_register()
        super().start()

    def _begin_to_register(self) -> None:
        with self._lock:
            if self._registering is not None or self._closed.is_set() or self.port is None:
                return
            self._registering = threading.Thread(
                target=self._register, name="nbrpc-registering", daemon=True
            )
        self._registering.start()

    def _register(self) -> None:
        """Tell the registry again and again, since it forgets who does not."""
        interval = float(getattr(self.registrar, "REREGISTER_INTERVAL", 60))
        host = "" if self.host in (None, "127.0.0.1", "::1", "localhost") else self.host
        while not self._stop_registering.is_set():
            known = False
            try:
                known = self.registrar.register(self._service_names(), self.port, interface=host)
            except Exception:  # a registrar of the user, or a network that is down
                self.logger.exception("the server could not be registered")
            # An answer may be lost on its way, as any datagram.
            self._stop_registering.wait(interval if known else min(interval, 5.0))
        try:
            self.registrar.unregister(self.port)
        except Exception:  # as above
            self.logger.exception("the server could not be unregistered")

    def close(self) -> None:
        """Stop listening, end all connections, and leave the registry."""
        super().close()
        self._stop_registering.set()
        thread, self._registering = self._registering, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()


class ThreadedServer(Server):
    """RPyC's server of that name: connections side by side."""


class OneShotServer(Server, compat.OneShotServer):
    """Serves one client and ends with its connection."""


class ThreadPoolServer(Server, compat.ThreadPoolServer):
    """RPyC's server with a pool: here every server has one, so the sizes are only accepted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("nbThreads", None)
        kwargs.pop("requestBatchSize", None)
        super().__init__(*args, **kwargs)


class ForkingServer(Server, compat.ForkingServer):
    """Serves each connection in a child process of its own (POSIX)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class GeventServer(Server):
    """Not available: see ``LEFT_OUT``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise refuse("rpyc.utils.server.GeventServer")


def serve_one(sender: Any, service: Any, config: Mapping[str, Any], args: Any) -> None:
    """Serve one client of another process; the target of `connect_multiprocess`."""

    class Prepared(OneShotServer):
        """Puts the arguments into the namespace."""

        def begin(self, connection: Any, rest: list[Any]) -> None:
            namespace_of(connection.session).update(args)
            super().begin(connection, rest)

    server: NativeServer = Prepared(service, hostname="127.0.0.1", protocol_config=config)
    with sender:
        sender.send((server.port, server.token))
    server.start()
