"""`BgServingThread`: requests and events of a connection on a thread of their own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from nbrpc.session.connection import Connection
from nbrpc.session.dispatch import Queue
from nbrpc.session.reading_thread import ReadingThread

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["BgServingThread"]


class BgServingThread:
    """Serve a connection in the background, at once, until `stop`.

    Parameters
    ----------
    conn
        The connection.
    callback
        Called when the connection has ended.
    serve_interval, sleep_interval
        Accepted as in RPyC, where they trade delay for load; here events are delivered as they
        come.
    """

    def __init__(
        self,
        conn: Connection,
        callback: Callable[[], Any] | None = None,
        serve_interval: float = 0.0,
        sleep_interval: float = 0.0,
    ) -> None:
        if not isinstance(conn, Connection):
            raise TypeError(
                f"BgServingThread needs a connection, as nbrpc.connect gives it, not "
                f"{type(conn).__name__}"
            )
        if callback is not None and not callable(callback):
            raise TypeError(f"callback is a function, not {type(callback).__name__}")
        self._conn = conn
        self._thread: ReadingThread | None = None
        self._callback = callback
        self._serve(conn.session)
        conn.renewals.append(self._serve)
        if conn.revival is not None:
            conn.revival.observers.append(self.look)

    def _serve(self, session: Session) -> None:
        """Serve a session of the connection, the first or one with which it has come back."""
        if self._thread is None:
            self._thread = ReadingThread(session)
            self._thread.keeper = self
            self._thread.start()
        else:
            self._thread.serve(session)
        self._conn.set_dispatcher(self._thread)
        before = session.on_end

        serving = weakref.ref(self)

        def ended(lost: Session) -> None:
            if before is not None:
                before(lost)
            background = serving()
            if background is not None:
                background.look()

        session.on_end = ended

    def look(self) -> None:
        """Tell the end of the connection, once."""
        if self._conn.closed and self._callback is not None:
            callback, self._callback = self._callback, None
            callback()

    def stop(self) -> None:
        """End the thread, when it has done what is queued; from now on the user serves again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._conn.renewals.remove(self._serve)
        if self._conn.session.dispatcher is thread:
            self._conn.set_dispatcher(Queue())
        thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
