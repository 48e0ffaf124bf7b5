"""The event loop on which coroutines of services run, on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallTimeout
from nbrpc.objects.boxing import ByValue
from nbrpc.session.call import current_job
from nbrpc.session.job import Cancelled

if TYPE_CHECKING:
    from nbrpc.session.answers import Answers
    from nbrpc.session.job import RequestJob

__all__ = ["loop", "run"]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_tasks: set[asyncio.Task[None]] = set()


def loop() -> asyncio.AbstractEventLoop:
    """Give the loop for coroutines of services; started at the first call."""
    global _loop  # noqa: PLW0603 - one per process
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="nbrpc-loop", daemon=True).start()
        return _loop


def run(session: Answers, job: RequestJob, coroutine: Any, *, by_value: bool) -> None:
    """Start a coroutine for a job; its end answers the job."""
    target = session.dispatcher.event_loop(job) or loop()

    def begin() -> None:
        task = target.create_task(_answer(session, job, coroutine, by_value=by_value))
        _tasks.add(task)
        task.add_done_callback(ended)
        job.canceller = lambda: target.call_soon_threadsafe(task.cancel)
        if job.cancelled:
            task.cancel()

    def ended(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        if task.cancelled():
            # Cancelled before its first step: the coroutine has not run at all.
            coroutine.close()
            session.answer_failure(job, Cancelled())

    target.call_soon_threadsafe(begin)


async def _answer(session: Answers, job: RequestJob, coroutine: Any, *, by_value: bool) -> None:
    current_job.set(job)
    try:
        async with asyncio.timeout(job.remaining()):
            value = await coroutine
    except asyncio.CancelledError:
        session.answer_failure(job, Cancelled())
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
        session.answer(job, ByValue(value) if by_value else value)


def _after_fork() -> None:
    global _loop, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
