"""Cells on the main thread of a server process, where an interrupt reaches C calls as well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from nbrpc.errors import CallCancelled
from nbrpc.session import interrupts
from nbrpc.session.job import UNANSWERED, Cancelled, RequestJob

__all__ = ["MainThread"]


class MainThread:
    """Runs cells one after the other on the thread that calls `serve`: the main thread.

    Cancelling the running cell sends SIGINT to that thread: KeyboardInterrupt strikes there, be it
    in Python code or in a C call such as ``time.sleep``.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Any] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: RequestJob | None = None
        self._struck = False
        self._active = False

    @property
    def active(self) -> bool:
        """Whether `serve` is running."""
        return self._active

    def run_cell(self, job: RequestJob, function: Callable[[], Any]) -> Any:
        """Have the main thread run a cell and answer its request; called in the job."""
        job.close()
        context = copy_context()
        job.canceller = lambda: self._cancel(job)
        self._work.put((job, function, context))
        return UNANSWERED

    def stop(self) -> None:
        """Make `serve` return, from any thread."""
        self._work.put(None)

    def serve(self) -> None:
        """Run cells until `stop`; on the main thread.

        Raises
        ------
        KeyboardInterrupt
            The operator pressed Ctrl-C.
        """
        self._active = True
        interrupts.install()
        try:
            while True:
                try:
                    if not self._serve_one():
                        return
                except KeyboardInterrupt:
                    # A cell's cancel that struck after its end is no interrupt of the operator.
                    if not self._struck:
                        raise
                    self._struck = False
        finally:
            self._active = False

    def _serve_one(self) -> bool:
        # In ticks: Windows cannot interrupt a wait for ever.
        work = self._work.get()
        if work is None:
            return False
        job, function, context = work
        if job.cancelled:
            job.session.answer_failure(job, CallCancelled("the cell was cancelled before it ran"))
            return True
        context.run(self._run, job, function)
        return True

    def _run(self, job: RequestJob, function: Callable[[], Any]) -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            try:
                with self._lock:
                    self._running = job
                    self._struck = False
                value = function()
            except BaseException as raised:
                error = raised
            self._ended()
        except KeyboardInterrupt:
            # It struck between the end of the cell and here.
            self._ended()
            error = KeyboardInterrupt()
        if isinstance(error, KeyboardInterrupt) and job.cancelled:
            error = Cancelled()
        elif isinstance(error, KeyboardInterrupt):
            job.session.answer_failure(job, error)
            raise error
        if error is not None:
            job.session.answer_failure(job, error)
        else:
            job.session.answer(job, value)

    def _ended(self) -> None:
        with self._lock:
            self._running = None

    def _cancel(self, job: RequestJob) -> None:
        """Interrupt a cell if it is running; a queued one is answered when its turn comes."""
        with self._lock:
            if self._running is not job:
                return
            self._struck = True
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)
