"""Streams of asynchronous iterators: the same messages, produced by a task on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.session import loops
from nbrpc.session.call import current_job
from nbrpc.session.job import UNANSWERED
from nbrpc.session.streams import CHUNK, Stream

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["AsyncStream", "open_stream"]


class AsyncStream(Stream):
    """A stream whose items come from ``async for``."""

    def __init__(self, session: Session, job: RequestJob, target: Any, credit: int) -> None:
        super().__init__(session, job, target, credit)
        self.loop = loops.loop_for(session, job)
        self.more = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def add_credit(self, amount: int) -> None:
        """The peer wants more; from the thread that reads."""
        with self._lock:
            self.credit += amount
        loops.tell(self.loop, self.more.set)

    def cancel(self) -> None:
        """The peer wants no more."""
        loops.tell(self.loop, self._cancel_task)

    def _cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def end(self, error: BaseException) -> None:
        """The link is lost."""
        super().end(error)
        self.cancel()

    def begin(self) -> None:
        """Start the task; on the loop."""
        self.task = self.loop.create_task(self._run())
        self.task.add_done_callback(self._ended)
        if self.job.cancelled:
            self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._finish(loops.cancelled(self.job))  # before its first step

    async def _run(self) -> None:
        current_job.set(self.job)
        iterator = self.target.__aiter__()
        try:
            while not self.ended:
                if self.credit <= 0:
                    self.flush_corked()
                    self.more.clear()
                    if self.credit <= 0:
                        await self.more.wait()
                    continue
                item = await iterator.__anext__()
                self.credit -= 1
                self.chunk.append(item)
                if len(self.chunk) == 1:
                    # What is ready in the same turn of the loop travels together.
                    self.loop.call_soon(self._flush_soon)
                elif len(self.chunk) >= CHUNK:
                    self.flush_corked()
        except StopAsyncIteration:
            self._finish(None)
        except asyncio.CancelledError:
            await self._close(iterator)
            self._finish(loops.cancelled(self.job))
        except BaseException as error:  # user code: whatever it raises is the answer
            self._finish(error)

    def _flush_soon(self) -> None:
        if not self.ended:
            self.flush_corked()

    @staticmethod
    async def _close(iterator: Any) -> None:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def driven(target: Any, runner: Any) -> Iterator[Any]:
    """Iterate over an asynchronous iterator on the one thread of a serial service."""
    iterator = target.__aiter__()

    async def advance() -> Any:
        return await iterator.__anext__()

    try:
        while True:
            try:
                item = runner.run(advance())
            except StopAsyncIteration:
                return
            yield item
    finally:
        runner.run(AsyncStream._close(iterator))


def open_stream(session: Session, job: RequestJob, target: Any, credit: int) -> Any:
    """Begin a stream of an asynchronous iterator."""
    stream = AsyncStream(session, job, target, credit)
    session.streams[job.seq] = stream
    job.canceller = stream.cancel
    try:
        loops.begin(job, stream.loop, stream.begin)
    except RuntimeError:
        del session.streams[job.seq]
        raise
    return UNANSWERED
