"""Cells on the main thread of a server process, where an interrupt reaches C calls as well."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

from nbrpc.errors import CallCancelled
from nbrpc.session import interrupts
from nbrpc.session.job import UNANSWERED, Cancelled, RequestJob

__all__ = ["MainThread"]


TICK = 0.2
"""Seconds of one wait for a cell."""

FIRST_RETRY = 0.02
LAST_RETRY = 3.0
"""Seconds after which a signal is sent again, doubled each time: 20 ms to 2.6 s."""


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
        self._unraisable: Callable[[Any], object] = sys.__unraisablehook__

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

    def serve(self, begun: Callable[[], object] | None = None) -> None:
        """Run cells until `stop`; on the main thread.

        Parameters
        ----------
        begun
            Called once cells can be run.

        Raises
        ------
        KeyboardInterrupt
            The operator pressed Ctrl-C.
        """
        self._active = True
        # A shell that starts programs in the background of a script has them ignore SIGINT.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored:
            signal.signal(signal.SIGINT, self._strike)
        interrupts.install()
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        try:
            if begun is not None:
                begun()
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
            if sys.unraisablehook == self._on_unraisable:
                sys.unraisablehook = self._unraisable
            if ignored:
                interrupts.uninstall()
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_unraisable(self, event: Any) -> None:
        """Strike again where Python had to drop an interrupt: in a finalizer, in a hook of fork."""
        job = self._running
        dropped = isinstance(event.exc_value, KeyboardInterrupt)
        if dropped and job is not None and job.cancelled:
            again = _Again(self, job, interrupts.strikes, 2 * FIRST_RETRY)
            job.session.reactor.call_later(FIRST_RETRY, again)
        else:
            self._unraisable(event)

    def _strike(self, _number: int, _frame: object) -> None:
        """Interrupt a cell that is cancelled; Ctrl-C in the terminal goes on being ignored."""
        if self._struck:
            raise KeyboardInterrupt

    def _serve_one(self) -> bool:
        # In ticks: a signal that arrives just before the wait begins is seen only after it.
        try:
            work = self._work.get(timeout=TICK)
        except Empty:
            return True
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
        strikes = interrupts.strikes
        try:
            try:
                with self._lock:
                    self._running = job
                    self._struck = False
                value = function()
            except BaseException as raised:  # whatever a cell raises, SystemExit too, is its answer
                error = raised
            self._ended()
        except KeyboardInterrupt:
            # It struck between the end of the cell and here.
            self._ended()
            error = KeyboardInterrupt()
        if isinstance(error, KeyboardInterrupt) and job.cancelled:
            error = Cancelled()
        elif isinstance(error, KeyboardInterrupt) and interrupts.strikes != strikes:
            job.session.answer_failure(job, error)
            raise error  # the operator's: one that the cell raised itself is an error like others
        if error is not None:
            job.session.answer_failure(job, error)
        else:
            job.session.answer(job, value)

    def _ended(self) -> None:
        with self._lock:
            self._running = None

    def _cancel(self, job: RequestJob) -> None:
        """Interrupt a cell if it is running; a queued one is answered when its turn comes."""
        self._signal(job, interrupts.strikes, FIRST_RETRY)

    def _signal(self, job: RequestJob, strikes: int, delay: float) -> None:
        """Send the signal, and again until it has struck.

        One that arrives just before a C call begins to sleep is seen only when that call ends.
        """
        with self._lock:
            if self._running is not job or interrupts.strikes != strikes:
                return
            self._struck = True
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)
        if delay < LAST_RETRY:
            job.session.reactor.call_later(delay, _Again(self, job, strikes, 2 * delay))


class _Again:
    """Another try to strike the cell that runs."""

    def __init__(self, main: MainThread, job: RequestJob, strikes: int, delay: float) -> None:
        self._main = main
        self._arguments = (job, strikes, delay)

    def run(self) -> None:
        self._main._signal(*self._arguments)  # noqa: SLF001 - its own helper
