"""``nbrpc serve --stdio --keep``: a server that outlives the pipe by which it is reached.

What was started over the pipe only relays bytes to the Unix socket of a server that runs by itself,
and starts that when it is not there. The socket's name says what is served and by which Python, so
the next pipe finds the same server. It is in the user's cache and not in the runtime folder, which
a system may empty when the user logs out. The server ends when nobody is connected and it keeps no
session any more.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Final

from nbrpc.app.command import Mistake
from nbrpc.errors import ConnectFailed
from nbrpc.server.server import Server
from nbrpc.transports.relay import join_sockets
from nbrpc.transports.sockets import connect_unix, raw_socket
from nbrpc.version import __version__

__all__ = ["end_when_idle", "relay_to_kept"]

STARTING: Final = 30.0
"""Seconds that a server has to begin."""

LOOK: Final = 0.02
"""Seconds between two looks whether it has."""

IDLE: Final = 5.0
"""Seconds after which a server ends that nobody needs."""


def relay_to_kept(wire: socket.socket, arguments: list[str]) -> None:
    """Relay between a pipe and the server that is kept, until either ends.

    Parameters
    ----------
    wire
        The pipe.
    arguments
        Of ``nbrpc serve``: what is served.

    Raises
    ------
    Mistake
        It cannot be started.
    """
    folder = os.path.join(os.path.expanduser("~"), ".cache", "nbrpc")  # noqa: PTH111, PTH118 - as in far_side
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - as above
    what = [__version__, sys.executable, socket.gethostname(), os.getcwd(), *arguments]  # noqa: PTH109 - as above
    digest = hashlib.sha256("\0".join(what).encode("utf-8", "surrogateescape")).hexdigest()
    place = f"{folder}/kept-{digest[:16]}"
    try:
        kept = connect_unix(f"{place}.sock")
    except ConnectFailed:
        _start(place, arguments)
        kept = connect_unix(f"{place}.sock")
    join_sockets(wire, raw_socket(kept))


def _start(place: str, arguments: list[str]) -> None:
    """Start the server, and wait until it listens."""
    serve = ["serve", *arguments, "--unix", f"{place}.sock", "--until-idle"]
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from nbrpc.app import main; "
        f"sys.exit(main({serve!r}))"
    )
    descriptor = os.open(f"{place}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        try:
            connect_unix(f"{place}.sock").close()
        except ConnectFailed:
            pass
        else:
            process.returncode = 0  # it goes on, and nobody waits for it
            return
        try:
            process.wait(LOOK)
        except subprocess.TimeoutExpired:
            continue
        break
    with open(f"{place}.log", encoding="utf-8", errors="replace") as log:  # noqa: PTH123 - as above
        lines = log.read().strip().splitlines()
    try:
        connect_unix(f"{place}.sock").close()  # another pipe was first
    except ConnectFailed as error:
        last = lines[-1].removeprefix("nbrpc: ") if lines else str(error)
        raise Mistake(f"the server that is to be kept does not begin: {last}") from error


def end_when_idle(server: Server) -> None:
    """End a server once nobody is connected and no session is left, in a thread."""

    def watch() -> None:
        needed = time.monotonic()
        pause = threading.Event()
        while server.active:
            pause.wait(IDLE / 10)
            if server.connections or not (server.sessions is None or server.sessions.empty):
                needed = time.monotonic()
            elif time.monotonic() - needed > IDLE:
                server.close()

    threading.Thread(target=watch, name="nbrpc-idle", daemon=True).start()
