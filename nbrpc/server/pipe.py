"""Serving the one client at the other end of a pipe, as of ``nbrpc serve --stdio``."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from typing import Any

from nbrpc.server.accepting import Authentication, Handshake
from nbrpc.server.server import Server
from nbrpc.session.session import Session
from nbrpc.transports.address import Address
from nbrpc.transports.relay import join_descriptors
from nbrpc.transports.sockets import SocketTransport

__all__ = ["PipeServer", "take_stdio"]

NAME = "stdio:"


def take_stdio() -> socket.socket:
    """Take the standard input and output of this process for the wire, and give them as a socket.

    What the program prints goes to standard error from then on, and its input is empty.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)
    first, second = os.fstat(incoming), os.fstat(outgoing)
    if stat.S_ISSOCK(first.st_mode) and first.st_ino == second.st_ino:
        os.close(outgoing)
        return socket.socket(fileno=incoming)
    return join_descriptors(incoming, outgoing)


class _Nobody:
    """Stands for a listener where nobody else may come."""

    def close(self) -> None:
        """Do nothing."""


class PipeServer(Server):
    """Serves one client, over a pipe that whoever made it vouches for, and ends with it.

    There is no token: the pipe's other end is held by the process that started this one. No port is
    open, and no connection file is written.

    Parameters
    ----------
    sock
        What the client is connected to.
    options
        As for `Server`, but for those that say where and how to listen.
    """

    def __init__(self, service: Any, sock: socket.socket, **options: Any) -> None:
        self._pipe = SocketTransport(sock, NAME)
        super().__init__(service, **options)

    def _begin_listening(self, host: str, port: int, backlog: int, name: str | None) -> None:
        self.token = self.token_bytes = None
        self.host = self.port = None
        self.address = Address("stdio")
        self.url = NAME
        self.name = name or ""  # the client knows by which way it came
        self._file = None
        self._listener = _Nobody()  # type: ignore[assignment]  # of which only `close` is needed

    def start(self) -> None:
        """Serve until the client is gone; blocks."""
        try:
            if threading.current_thread() is threading.main_thread():
                self._main_thread.serve(self._begin)
            else:
                self._begin()
                self._closed.wait()
        finally:
            self.close()

    def _begin(self) -> None:
        self.accepted(self._pipe)

    def handshake_ended(self, handshake: Handshake | Authentication) -> None:
        """The client is gone before it was let in."""
        super().handshake_ended(handshake)
        self.close()

    def _session_ended(self, session: Session) -> None:
        super()._session_ended(session)
        self.close()
