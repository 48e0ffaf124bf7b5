"""Connections that nobody refers to any more are closed.

Theory of operation
-------------------
A `Connection` is held by its user only. Its session is held by the reactor, as long as the link
lives, and by all that came of it: proxies, results, subscriptions. So when the user drops the
connection, its finalizer asks what else is in use: living proxies, results that are on their way or
were not read, subscriptions either way, objects that the peer may still call. While there is
something, the connection is kept, since what is in use may need it (to come back after the link was
lost, say), and is looked at again now and then.

A finalizer runs anywhere: on any thread, in the midst of a garbage collection, inside any lock. So
it only looks into tables and leaves a job; the closing is that job's. The warning belongs to the
line that dropped the connection. It is given there if no code of ours is under way on that thread,
since those who show warnings may do anything; otherwise by the job.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from nbrpc.session.connection import Connection

__all__ = ["dropped", "in_use"]

LOOK = 0.5
"""Seconds until a connection that was in use is looked at again."""

PACKAGE = __name__.partition(".")[0]

ADVICE = "close it with close(), or use it in a with statement"


def in_use(connection: Connection) -> bool:
    """Whether something of a connection that its user has dropped is still in use."""
    session, revival = connection.session, connection.revival
    if connection.known_root is not None or (revival is not None and revival.is_needed):
        return True
    own = None if revival is None else revival.anchor
    return bool(
        session.pending
        or session.channels
        or session.subscribers
        or session.streams
        or session.serving
        or session.unread
        or session.boxing.exports.entries
        or any(proxy is not own for proxy in session.boxing.imports.proxies())
    )


def dropped(connection: Connection) -> None:
    """Have a connection closed that its user has dropped, once nothing of it is in use."""
    session = connection.session
    session.held = connection
    session.let_go()
    dropper = sys._getframe(1).f_back  # of the finalizer
    here = dropper is not None and not _is_ours(dropper) and not in_use(connection)
    # Without any code that runs here the interpreter is about to end: that is nothing to tell.
    session.reactor.post(_Closing(connection, told=here or dropper is None))
    if here:
        warnings.warn(_text(connection), ResourceWarning, stacklevel=3)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether code of this package is under way in a frame or in those that called it."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] == PACKAGE:
            return True
        frame = frame.f_back
    return False


def _text(connection: Connection) -> str:
    return f"the connection to {connection.name} was dropped without being closed: {ADVICE}"


class _Closing:
    """Closes a dropped connection as soon as nothing of it is in use; a job."""

    def __init__(self, connection: Connection, *, told: bool) -> None:
        self._connection = connection
        self._told = told

    def run(self) -> None:
        connection = self._connection
        if connection.closed:
            return
        if in_use(connection):
            connection.session.reactor.call_later(LOOK, self)
            return
        connection.close()
        if not self._told:
            warnings.warn(_text(connection), ResourceWarning, stacklevel=2)
