"""The event loops on which coroutines of services run: nbrpc's own, or one of the program."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallCancelled, CallTimeout
from nbrpc.session.call import current_job
from nbrpc.session.job import Cancelled
from nbrpc.session.reactor import reactor

if TYPE_CHECKING:
    from nbrpc.session.answers import Answers
    from nbrpc.session.job import RequestJob

__all__ = ["begin", "loop", "loop_for", "run", "tell"]

LOOK = 0.5
"""Seconds between two looks whether a loop of the program was closed with a call on it."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_tasks: set[asyncio.Task[None]] = set()
_lent: set[RequestJob] = set()
"""Requests that run on loops of the program, those included that have just ended."""


def loop() -> asyncio.AbstractEventLoop:
    """Give nbrpc's own loop; started at the first call."""
    global _loop  # noqa: PLW0603 - one per process
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="nbrpc-loop", daemon=True).start()
        return _loop


def loop_for(session: Answers, job: RequestJob) -> asyncio.AbstractEventLoop:
    """Give the loop for the coroutine of a request."""
    return session.dispatcher.event_loop(job) or session.loop or loop()


def tell(target: asyncio.AbstractEventLoop, function: Callable[[], object]) -> bool:
    """Have a function run on a loop, from any thread; False once the loop is closed."""
    try:
        target.call_soon_threadsafe(function)
    except RuntimeError:
        return False
    return True


def begin(job: RequestJob, target: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Have what answers a request begin on a loop.

    Raises
    ------
    RuntimeError
        The loop is closed.
    """
    if target is not _loop:
        # The program may close it at any time, and nobody is told of that.
        job.loop = target
        with _lock:
            begins = not _lent
            _lent.add(job)
        if begins:
            reactor().call_later(LOOK, _Look())
    if not tell(target, function):
        raise _closed()


def _closed() -> RuntimeError:
    return RuntimeError(
        "the event loop on which coroutines of this service run is closed, so they cannot run: "
        "serve it from a loop that lives as long, or with serve(..., loop=None)"
    )


class _Look:
    """Looks whether loops with calls on them were closed, as long as there are such calls."""

    def run(self) -> None:
        for job in list(_lent):
            session = job.session
            open_still = session.serving.get(job.seq) is job
            if open_still and job.loop.is_closed():
                session.answer_failure(job, _closed())
                open_still = False
            if not open_still:
                _lent.discard(job)
        with _lock:
            if not _lent:
                return
        reactor().call_later(LOOK, self)


def run(session: Answers, job: RequestJob, coroutine: Any) -> None:
    """Start a coroutine for a job; its end answers the job.

    Raises
    ------
    RuntimeError
        The loop for it is closed.
    """
    target = loop_for(session, job)

    def start() -> None:
        task = target.create_task(_answer(session, job, coroutine))
        _tasks.add(task)
        task.add_done_callback(ended)
        job.canceller = lambda: tell(target, task.cancel)
        if job.cancelled:
            task.cancel()

    def ended(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        if task.cancelled():
            # Cancelled before its first step: the coroutine has not run at all.
            coroutine.close()
            session.answer_failure(job, cancelled(job))

    try:
        begin(job, target, start)
    except RuntimeError:
        coroutine.close()
        raise


def cancelled(job: RequestJob) -> BaseException:
    """Say of the coroutine of a request that was cancelled by whom: its caller, or not."""
    if job.cancelled or job.loop is None:
        return Cancelled()
    return CallCancelled(
        "the call was cancelled where it ran, by the service or since its event loop was shut down"
    )


async def _answer(session: Answers, job: RequestJob, coroutine: Any) -> None:
    current_job.set(job)
    try:
        async with asyncio.timeout(job.remaining()):
            value = await coroutine
    except asyncio.CancelledError:
        session.answer_failure(job, cancelled(job))
    except TimeoutError as error:
        if job.remaining() == 0:
            session.answer_failure(
                job, CallTimeout("the deadline passed before the coroutine ended")
            )
        else:
            session.answer_failure(job, error)
    except BaseException as error:  # user code: whatever it raises is the answer
        session.answer_failure(job, error)
    else:
        session.answer(job, value)


def _after_fork() -> None:
    global _loop, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _loop = None
    _lent.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
