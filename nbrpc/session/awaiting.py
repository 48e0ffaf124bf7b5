"""Programs on asyncio: their event loop serves a connection while they await.

Theory of operation
-------------------
A plain script serves its connection whenever a thread of it waits there (`Queue`). A program on
asyncio has a loop instead, which must never block: so what is queued wakes that loop, from any
thread, and runs on it in slices with rests between them, as in a notebook. It needs nothing of the
loop but ``call_soon_threadsafe``, which every loop has on every system.

A loop serves a connection from the first time on that something on it awaits a result, iterates
over or subscribes to something of that connection, until the loop is closed. The loop's thread may
call without ``await`` as well: then that wait runs what comes, as in a script, and coroutines that
the peer calls meanwhile run on nbrpc's own loop, since this one does not turn.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any

from nbrpc.session import interrupts

if TYPE_CHECKING:
    from nbrpc.session.dispatch import Dispatcher, Queue
    from nbrpc.session.result import AsyncResult

__all__ = ["Turns", "arrival", "running_loop", "serve_here"]

REST = 0.002
"""Seconds that a loop has for itself after a slice."""


class Turns:
    """What one event loop does for the jobs of one queue.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
        Whose turns these are.
    """

    def __init__(self, queue: Queue, loop: Any) -> None:
        self.loop = loop
        self._queue = queue
        self._scheduled = False

    def wake(self) -> bool:
        """Have what is queued run on the loop, soon; from any thread. False once it is closed."""
        if self._scheduled and not self.loop.is_closed():
            return True
        self._scheduled = True
        try:
            # In an empty context: not that of whoever happens to queue something.
            self.loop.call_soon_threadsafe(self._turn, context=Context())
        except RuntimeError:
            return False
        return True

    @interrupts.runs_user_code
    def _turn(self) -> None:
        """Run a slice, and come back after a rest if there is more."""
        queue = self._queue
        try:
            queue.run_queued(loop=self.loop)
        finally:
            if queue.jobs:
                self.loop.call_later(REST, self._turn)
            else:
                self._scheduled = False
                if queue.jobs:  # just now, from another thread that took it as scheduled
                    self.wake()


def running_loop() -> Any:
    """Give the event loop that runs on this thread; None without one."""
    asyncio = sys.modules.get("asyncio")  # else there is no loop, and the import takes its time
    if asyncio is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def serve_here(dispatcher: Dispatcher) -> None:
    """Have the loop that runs on this thread serve a connection, if there is such a loop."""
    loop = running_loop()
    if loop is not None:
        dispatcher.serve_on(loop)


def arrival(result: AsyncResult) -> Generator[Any, None, None]:
    """Await the end of a result, which is cancelled when the task that awaits it is."""
    import asyncio

    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def tell(_result: AsyncResult) -> None:
        # Progress and output are changes too, and the end of none.
        if result.done:
            loop.call_soon_threadsafe(arrived.set)

    result.observe_end(tell)
    for session in result.sessions_awaited():
        session.dispatcher.serve_on(loop)
        session.ensure_read()
    try:
        yield from arrived.wait().__await__()
    except asyncio.CancelledError:
        result.cancel()
        raise
    finally:
        result.unobserve(tell)
