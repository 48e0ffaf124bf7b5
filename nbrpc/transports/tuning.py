"""What TCP is told, and what it tells: delays, probes, and whether the peer's machine answers.

A program that computes without a pause in C code answers nothing, and neither does one that is
stopped. The machine that it runs on acknowledges for it what arrives. So it is TCP that knows
whether a machine is gone, or the way to it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from nbrpc.transports.base import Transport
from nbrpc.transports.sockets import socket_below

__all__ = ["Unanswered", "acknowledge_at_once", "keep_alive", "unanswered"]

ATTEMPTS: Final = 3
"""How often TCP asks at least, by a probe or by sending something again, in the time after which a
link is taken for dead."""

GIVE_UP: Final = {"darwin": 0x80, "win32": 5}
"""Per system the option that says after how many seconds TCP gives up what nobody acknowledges:
TCP_RXT_CONNDROPTIME and TCP_MAXRT. Linux has TCP_USER_TIMEOUT, which is not used: it also ends a
link whose peer acknowledges, but has no room because its program does not read."""

LONGEST_PAUSE: Final = 44
"""TCP_RTO_MAX_MS of Linux 6.15: milliseconds between two attempts at most. Before, the pauses grow
to 120 s, so a link that was full when it died is found dead later."""

INFO: Final = struct.Struct("=2xBB52xI")
"""Of Linux's ``struct tcp_info``: tcpi_retransmits, tcpi_probes, tcpi_last_ack_recv."""


class Unanswered(NamedTuple):
    """What TCP knows of the peer's machine.

    Attributes
    ----------
    attempts : int
        How often it has asked since the last acknowledgement, without the first time that something
        is sent.
    seconds : float
        Since the last acknowledgement. If nothing was sent since, that is no bad sign.
    """

    attempts: int
    seconds: float


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


def keep_alive(transport: Transport, seconds: float) -> None:
    """Have TCP ask after the peer's machine, and end the link once that is gone for so long.

    On Linux `unanswered` tells that sooner and better.
    """
    sock = _tcp_socket(transport)
    if sock is None:
        return
    pause = max(1, round(seconds / ATTEMPTS))
    options: list[tuple[int | None, int]] = [
        (getattr(socket, name, None), value)
        for name, value in (
            ("TCP_KEEPIDLE", pause),
            ("TCP_KEEPALIVE", pause),  # the same, as macOS calls it
            ("TCP_KEEPINTVL", pause),
            ("TCP_KEEPCNT", ATTEMPTS - 1),
        )
    ]
    options.append((GIVE_UP.get(sys.platform), max(1, round(seconds))))
    if sys.platform == "linux":
        options.append((LONGEST_PAUSE, 1000 * pause))
    with contextlib.suppress(OSError):  # closed meanwhile
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in options:
        if option is not None:
            with contextlib.suppress(OSError):  # this system has no such option
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def unanswered(transport: Transport) -> Unanswered | None:
    """Tell since when the peer's machine has not acknowledged anything.

    Returns
    -------
    Unanswered or None
        None where that is not known: the transport is no TCP, or the system does not tell. Where a
        proxy or a tunnel stands between, this is about its machine.
    """
    sock = _tcp_socket(transport)
    if sock is None or sys.platform != "linux":
        return None
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)
        again, probes, milliseconds = INFO.unpack(told)
    except (OSError, struct.error):  # closed meanwhile
        return None
    return Unanswered(again + probes, milliseconds / 1000)
