"""One request of the peer: where it stands, how it ends, and how it is cancelled.

Theory of operation
-------------------
A job is queued, then runs, then is answered. `Cancel` finds it in one of these states:

* queued: it is answered with CallCancelled and never runs;
* a coroutine: its task is cancelled;
* Python code on a thread: `Cancelled`, a BaseException, is injected into that thread. That happens
  only under a lock and only while user code is on top of its stack; while our own code is
  on top, or a nested call waits, a flag is set instead, which that wait raises. The job closes
  itself to injection, under that lock, before it answers.
* closed, or not interruptible: nothing; the answer comes as it would have.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallCancelled, CallTimeout
from nbrpc.objects.draft import DATA
from nbrpc.session import interrupts
from nbrpc.session.call import current_job
from nbrpc.session.waiting import within

if TYPE_CHECKING:
    from nbrpc.protocol.messages import Request
    from nbrpc.session.call import Call
    from nbrpc.session.session import Session

__all__ = ["Cancelled", "Claim", "RequestJob"]

RETRY = 0.005
"""Seconds until a cancel that met our own code on top of the stack tries again."""


_lock = allocate_lock()  # renewed in a forked child
"""Guards the striking and the closing of jobs; one for all, since both are short."""


class Cancelled(BaseException):
    """Injected into code that the peer cancelled; not an Exception, so that no handler eats it."""


class RequestJob:
    """A request of the peer on its way to an answer."""

    # Defaults of the class rather than of each object: most jobs never change them.
    depth: int = 0
    form: int = DATA
    """How much of the result is copied."""
    stays: bool = False
    """Whether the objects in the result belong to this side for good."""
    deadline: float | None = None
    begun: bool = False
    interruptible: bool = True
    canceller: Any = None
    """What cancels a coroutine, a cell or a stream; called instead of an injection."""
    waits_on: Any = None
    """The call that this job waits for, so that a cancel can wake it."""
    ordered: bool = False
    """Whether the answer must not overtake output that was sent before."""
    runner: Any = None
    """On a serial service's thread: its `asyncio.Runner`."""
    loop: Any = None
    """The event loop in whose turn this runs, so that a coroutine may run there."""
    last_progress: float = 0.0
    at_cancel: Any = None
    """What a cancel does besides: a cell has child processes."""
    _thread: int = 0
    _open: bool = False
    _injected: bool = False
    _cancelled: bool = False
    _shields: int = 0

    def __init__(self, session: Session, request: Request) -> None:
        self.session = session
        self.request = request
        if request.timeout is not None:
            self.deadline = time.monotonic() + request.timeout

    @property
    def seq(self) -> int:
        """The number of the request."""
        return self.request.seq

    def remaining(self) -> float | None:
        """Seconds left of the deadline, not below 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    # ---- running

    @interrupts.runs_user_code
    def run(self) -> None:
        """Run the request and answer it; raises an interrupt of the user, and nothing else."""
        session = self.session
        self.begun = True
        token = current_job.set(self)
        value: Any = None
        error: BaseException | None = None
        try:
            if self._cancelled or self.deadline is not None or session.closed:
                error = self._refusal()
            if error is None:
                try:
                    self._thread = get_ident()
                    self._open = True
                    try:
                        value = session.operations[self.request.op](session, self)
                    except BaseException as raised:  # user code: whatever it raises is answered
                        error = raised
                    with _lock:
                        self._open = False
                    if self._injected:
                        self.close()
                except Cancelled as struck:
                    # The order arrived between the end of the user's code and the closing.
                    self.close()
                    error = struck
            if error is not None:
                session.answer_failure(self, error)
            elif value is not UNANSWERED:
                session.answer(self, value)
        finally:
            current_job.reset(token)
        interrupted = type(error) in (KeyboardInterrupt, interrupts.interruption)
        if error is not None and interrupted and get_ident() == interrupts.main_thread:
            raise error  # it was meant for whoever waits on this thread as well

    def _refusal(self) -> BaseException | None:
        """Say why the request is not to be run at all, if there is a reason."""
        if self._cancelled:
            return CallCancelled("the call was cancelled before it ran")
        if self.session.closed and not self.session.said_goodbye:
            return CallCancelled("the caller is gone: what it had queued is not run")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return CallTimeout("the deadline passed before the call ran")
        return None

    def begin(self) -> None:
        """Let orders in on this thread; raises one that has come already."""
        self._thread = get_ident()
        self._open = True
        self.check_cancelled()

    def close(self) -> None:
        """Let no more orders in, and be rid of one that has not struck yet; on the job's thread."""
        with _lock:
            self._open = False
        if self._injected:
            # Here another one strikes in its place. To inject NULL, which takes it back, leaves a
            # flag of CPython set before 3.13: calls are slow from then on, and a traced one hangs.
            try:
                _inject(get_ident())
                while True:
                    pass
            except Cancelled:
                pass

    # ---- cancelling

    def cancel(self) -> None:
        """Stop the job, as far as it lets itself be stopped; from the thread that reads."""
        self._cancelled = True
        if self.at_cancel is not None:
            self.at_cancel()
        if self.canceller is not None:
            self.canceller()
            return
        self._strike()

    def _strike(self) -> None:
        """Try to inject the order; later again where that is not possible now."""
        with _lock:
            if not self._open or self._injected or not self.interruptible or self._shields:
                return
            if self.waits_on is not None:
                self.waits_on.wake()
            elif interrupts.user_code_on_top(self._thread):
                _inject(self._thread)
                self._injected = True
                return
        self.session.reactor.call_later(RETRY, _Retry(self))

    def check_cancelled(self) -> None:
        """Raise the order in a nested wait, where nothing is injected."""
        if self._cancelled and self.interruptible and not self._shields and not self._injected:
            self._injected = True
            raise Cancelled

    @property
    def cancelled(self) -> bool:
        """Whether the peer asked to stop."""
        return self._cancelled

    def shield(self, step: int) -> None:
        """Enter (+1) or leave (-1) a stretch that a cancel does not break."""
        with _lock:
            self._shields += step
        if step < 0 and not self._shields and self._open:
            self.check_cancelled()


class Claim:
    """A request made inside one of ours for which no thread waits yet.

    It is queued in two places: with the call, for the thread that will wait, and as this with the
    dispatcher. Without it, a job that starts a call and waits for it later would wait for ever.
    """

    __slots__ = ("_call", "_job", "loop", "runner")

    def __init__(self, call: Call, job: RequestJob) -> None:
        self._call = call
        self._job = job
        self.loop: Any = None
        self.runner: Any = None

    @property
    def request(self) -> Request:
        """The request, by which a serial service is found."""
        return self._job.request

    @property
    def session(self) -> Session:
        """Its session."""
        return self._job.session

    def run(self) -> None:
        """Run the job, unless a waiting thread has."""
        if self._call.take_job(self._job):
            self._job.loop = self.loop
            self._job.runner = self.runner
            with within(self._call.expires):
                self._job.run()


class _Retry:
    """Another try to strike."""

    __slots__ = ("job",)

    def __init__(self, job: RequestJob) -> None:
        self.job = job

    def run(self) -> None:
        self.job._strike()


def _inject(thread: int) -> None:
    """Have `Cancelled` raised in a thread, in the place of one that has not been raised yet."""
    import ctypes  # 10 ms of import that most processes never need

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Cancelled))


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

UNANSWERED: Any = object()
"""Returned by an operation that answers later (a coroutine, a stream, a cell)."""
