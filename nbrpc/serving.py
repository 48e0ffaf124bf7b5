"""`BgServingThread`: requests and events of a connection on a thread of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from nbrpc.session.connection import Connection
from nbrpc.session.dispatch import Queue
from nbrpc.session.reading_thread import ReadingThread

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
        self._thread: ReadingThread | None = ReadingThread(conn.session)
        conn.set_dispatcher(self._thread)
        self._thread.start()
        if callback is not None:
            before = conn.session.on_end

            def ended(session: Any) -> None:
                if before is not None:
                    before(session)
                callback()

            conn.session.on_end = ended

    def stop(self) -> None:
        """End the thread, when it has done what is queued; from now on the user serves again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._conn.session.dispatcher is thread:
            self._conn.set_dispatcher(Queue())
        thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
