"""A pipe inside one process, for tests and for two sessions side by side."""

from __future__ import annotations

import socket

from nbrpc.transports.sockets import SocketTransport

__all__ = ["pair"]


def pair() -> tuple[SocketTransport, SocketTransport]:
    """Make two transports that are joined to each other.

    Notes
    -----
    They are a socket pair rather than two queues, so that selectors, back-pressure and the loss of
    the other end behave as they do over a network.
    """
    left, right = socket.socketpair()
    return SocketTransport(left, "memory://left"), SocketTransport(right, "memory://right")
