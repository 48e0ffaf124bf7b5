"""Settings of TCP connections to peers whose own settings cannot be chosen."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from nbrpc.transports.base import Transport
from nbrpc.transports.sockets import socket_below

__all__ = ["acknowledge_at_once", "keep_alive"]

PROBES = 3
"""Unanswered probes after which TCP takes a peer for gone."""


def _tcp_socket(transport: Transport) -> socket.socket | None:
    sock = socket_below(transport)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        return sock
    return None


def acknowledge_at_once(transport: Transport) -> Callable[[], None]:
    """Give a function that acknowledges what has been received; Linux only, else it does nothing.

    A peer that leaves Nagle's algorithm on holds back a small message until the one before is
    acknowledged, and Linux delays that by up to 40 ms. The setting does not last, so the function
    is called after each read.
    """
    sock = _tcp_socket(transport)
    option = getattr(socket, "TCP_QUICKACK", None)
    if sock is None or option is None:
        return lambda: None

    def acknowledge() -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)

    return acknowledge


def keep_alive(transport: Transport, interval: float) -> None:
    """Have TCP itself look after a peer that answers no pings, every so many seconds."""
    sock = _tcp_socket(transport)
    if sock is None:
        return
    seconds = max(1, round(interval))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", seconds),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", seconds * PROBES * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
