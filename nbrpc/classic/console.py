"""The peer's standard streams, debugger and console, on this side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from nbrpc.classic.connecting import on_peer
from nbrpc.errors import ConnectionLost
from nbrpc.protocol.messages import Operation
from nbrpc.session.connection import Connection

__all__ = ["interact", "pm", "redirected_stdio"]


@contextmanager
def redirected_stdio(conn: Connection) -> Iterator[None]:
    """While inside, what this connection's requests print over there appears here at once.

    ``input()`` over there reads here. Other clients of the server, and threads that run there on
    their own, keep the streams of the server.

    Notes
    -----
    Each line is a round trip. What a request that nobody waits for prints (one of ``async_``)
    appears when this side next serves the connection.
    """
    redirection = on_peer(conn).Redirection(_writer(sys.stdout), _writer(sys.stderr), _line)
    try:
        yield
    finally:
        try:
            redirection.restore()
        except ConnectionLost:
            pass  # nobody is left over there whose output could come here


def interact(conn: Connection, namespace: Mapping[str, Any] | None = None) -> None:
    """Use a Python console of the peer, in the namespace of the connection.

    Parameters
    ----------
    namespace
        Names to set there first.
    """
    names = conn.namespace
    for name, value in (namespace or {}).items():
        names[name] = value
    on_peer(conn).interact(names, _writer(sys.stdout), _writer(sys.stderr), _line)


def pm(conn: Connection) -> None:
    """Debug the last failure of this connection where it happened, with ``pdb`` on the peer.

    Raises
    ------
    ValueError
        Nothing has failed there yet.
    """
    traceback = conn.session.request(Operation.EXECUTE, 0, "", ("traceback",))
    if traceback is None:
        raise ValueError(f"no request of this connection has failed on {conn.name} yet")
    on_peer(conn).post_mortem(traceback, _writer(sys.stdout), _line)


def _writer(stream: TextIO) -> Callable[[str], None]:
    """Give what the peer calls with its text."""

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


def _line() -> str:
    """Read a line for the peer; an empty text is the end of the input."""
    try:
        return f"{input()}\n"  # and not sys.stdin, which a notebook does not have
    except EOFError:
        return ""
