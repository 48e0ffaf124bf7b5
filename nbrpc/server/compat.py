"""RPyC's names for the server, on the one implementation.

They make one instance of a service class per connection, listen where they are told (127.0.0.1
unless told otherwise), and block in ``start``.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from nbrpc.server.accepting import Authentication, Handshake
from nbrpc.server.server import Server
from nbrpc.service import Service
from nbrpc.session.session import Session
from nbrpc.transports.base import Transport

log = logging.getLogger("nbrpc.server")

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
        Accepted as in RPyC. A registrar is there under RPyC's names only.
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
        auto_register: bool | None = None,  # noqa: FBT001
        protocol_config: Mapping[str, Any] | None = None,
        logger: Any = None,
        listener_timeout: float = 0.5,
        socket_path: str | None = None,
        **options: Any,
    ) -> None:
        if registrar is not None or auto_register:
            raise NotImplementedError(
                "registering with a registry is there under RPyC's names only: use "
                "rpyc.utils.server after nbrpc.install_as_rpyc()"
            )
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

    def authenticated(self, handshake: Handshake, about: dict[str, str], rest: list[Any]) -> None:
        """The client is let in: nobody else is."""
        self._listener.close()
        super().authenticated(handshake, about, rest)

    def _session_ended(self, session: Session) -> None:
        super()._session_ended(session)
        self.close()


class ThreadPoolServer(ThreadedServer):
    """RPyC's server with a pool: here every server has one, so the sizes are only accepted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("nbThreads", None)
        kwargs.pop("requestBatchSize", None)
        super().__init__(*args, **kwargs)


NEEDED = (
    "asyncio",
    "ctypes",
    "datetime",
    "decimal",
    "difflib",
    "fractions",
    "pathlib",
    "uuid",
    "nbrpc.server.shell",
    "nbrpc.session.async_streams",
    "nbrpc.session.loops",
)
"""What a child may come to import: one that another thread was at would never end there."""


class ForkingServer(ThreadedServer):
    """Serves each connection in a child process of its own (POSIX).

    The child is forked when a client connects; it shakes hands, serves that one connection and
    exits with it, so what a client does to the service's state stays in its child.

    Notes
    -----
    A child has none of the parent's other threads, and a lock that one of them held at that moment
    is never released there. nbrpc renews its own; a program that runs threads beside this server
    should keep its locks out of the service, and import what the service needs before it starts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not hasattr(os, "fork"):
            raise NotImplementedError("ForkingServer needs fork, which this platform lacks")
        self._children: set[int] = set()
        self._child_ended = threading.Event()
        self._child_session: Session | None = None
        for name in NEEDED:
            importlib.import_module(name)
        super().__init__(*args, **kwargs)

    def accepted(self, transport: Transport) -> None:
        """Serve a client in a child."""
        self._reap()
        if len(self._children) >= self.limits.connections:
            log.warning(
                "%s: %d children already; one more is refused", self.url, len(self._children)
            )
            transport.close()
            return
        child = os.fork()
        if not child:
            self._serve_child(transport)
        self._children.add(child)
        transport.abandon()

    def _serve_child(self, transport: Transport) -> NoReturn:
        """Serve one client as a child, and exit.

        The parent's reactor is gone here, and with it all that it served; see ``on_fork``.
        """
        status = 1
        try:
            _renew_streams()
            self.serves_child = True
            super().accepted(transport)
            self._child_ended.wait()
            if self._child_session is not None:
                service = self._child_session.root_object
                if isinstance(service, Service):
                    service.on_disconnect(self._child_session.owner)
            status = 0
        except Exception:  # it must not go on in code of the parent
            log.exception("%s: a child failed", self.url)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def handshake_ended(self, handshake: Handshake | Authentication) -> None:
        """A client is gone before it was let in, or goes on from authenticator to handshake."""
        super().handshake_ended(handshake)
        if self.serves_child and handshake.transport.fileno() < 0:
            self._child_ended.set()

    def _session_ended(self, session: Session) -> None:
        if self.serves_child:
            self._child_session = session
            self._child_ended.set()
        else:
            super()._session_ended(session)

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


def _renew_streams() -> None:
    """In a forked child: print through objects of its own.

    Another thread may have been inside of the parent's, which locks them; and what the parent has
    printed and not written yet would be written twice.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            fresh = open(  # noqa: SIM115 - it lives as long as the child
                stream.fileno(), "w", 1, stream.encoding, stream.errors, closefd=False
            )
            setattr(sys, name, fresh)
