"""Where requests and events of the peer run: one dispatcher per connection.

`Workers`
    On the reactor's threads; servers.
`Queue`
    Whenever the user talks to the connection: during its calls, in ``serve`` and ``poll_all``.
    What a plain script has, as RPyC's tutorial describes it.
`Thread`
    On a thread of its own, at once: `BgServingThread`.
`Loop`
    On the thread of an event loop, in slices: notebooks.

A serial service has one thread per instance, whatever the dispatcher.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from types import AsyncGeneratorType, GeneratorType, MethodType
from typing import Any, Protocol

from nbrpc.session import interrupts
from nbrpc.session.call import Call
from nbrpc.session.reactor import reactor, run_safely
from nbrpc.session.waker import Waker

__all__ = ["Dispatcher", "Loop", "Queue", "Thread", "Workers", "is_serial", "serial_thread"]


class Job(Protocol):
    """Something to run."""

    def run(self) -> None:
        """Run; raises nothing, save for an interrupt of the user."""


class Dispatcher:
    """Where jobs run; the base, with nothing queued for waiters.

    Attributes
    ----------
    direct : bool
        Whether a job may be given to the reactor without asking.
    jobs : collection
        What is queued for a thread that waits; empty where nothing ever is.
    sole : bool
        Whether all code of this side runs here: samples of `watch` and the ends of generators too,
        which otherwise are left to a worker.
    """

    direct: bool = False
    jobs: Any = ()
    sole: bool = False

    def submit(self, job: Any) -> None:
        """Have a job run; from any thread."""
        raise NotImplementedError

    def serves_waiters(self) -> bool:
        """Whether a thread that waits at the top level runs queued jobs meanwhile."""
        return False

    def has_jobs(self) -> bool:
        """Whether jobs are queued for this thread."""
        return False

    def run_queued(self) -> bool:
        """Run what is queued for this thread now; True when anything ran."""
        return False

    def add_waiter(self, call: Call) -> None:
        """Wake this call when a job is queued."""

    def remove_waiter(self, call: Call) -> None:
        """Wake it no longer."""

    def session_ended(self, session: Any) -> None:
        """The session has ended."""

    def event_loop(self, job: Any) -> Any:
        """Give the asyncio loop for the coroutine of a job that runs; None is nbrpc's own."""
        return None


class Workers(Dispatcher):
    """Run jobs on the reactor's threads; those for a serial service on its own."""

    direct = True  # until a class is serial: see register_serial

    def submit(self, job: Any) -> None:
        """Have a worker run a job."""
        request = getattr(job, "request", None)
        if request is not None and _serial_classes:
            thread = _serial_thread_of(job)
            if thread is not None:
                thread.submit(job)
                return
        reactor().submit(job)


class Queue(Dispatcher):
    """Keep jobs until the user talks to the connection."""

    def __init__(self) -> None:
        self.jobs: deque[Any] = deque()
        self._waiters: list[Call] = []
        self._waker: Waker | None = None
        self._ended = False
        self._running: set[int] = set()
        """Threads that run jobs now."""

    def submit(self, job: Any) -> None:
        """Queue a job."""
        self.jobs.append(job)
        waiters = self._waiters
        if waiters:
            waiters[-1].wake()
        if self._waker is not None:
            self._waker.set()

    def serves_waiters(self) -> bool:
        """Always, but not inside of a job: events neither nest nor overtake."""
        return get_ident() not in self._running

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return bool(self.jobs)

    def run_queued(self) -> bool:
        """Run what is queued at this moment."""
        ran = False
        jobs = self.jobs
        if jobs:
            thread = get_ident()
            outermost = thread not in self._running
            self._running.add(thread)
            try:
                for _ in range(len(jobs)):
                    try:
                        job = jobs.popleft()
                    except IndexError:
                        break
                    ran = True
                    job.run()
            finally:
                if outermost:
                    self._running.discard(thread)
        if self._waker is not None and not jobs:
            self._waker.clear()
            if jobs:
                self._waker.set()
        return ran

    def add_waiter(self, call: Call) -> None:
        """Wake this call when a job is queued."""
        self._waiters.append(call)

    def remove_waiter(self, call: Call) -> None:
        """Wake it no longer."""
        try:
            self._waiters.remove(call)
        except ValueError:
            pass

    def fileno(self) -> int:
        """Give a descriptor that is readable while jobs are queued; made at the first call."""
        if self._waker is None:
            self._waker = Waker()
            if self.jobs or self._ended:
                self._waker.set()
        return self._waker.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._waker is not None:
            self._waker.close()
            self._waker = None

    def session_ended(self, session: Any) -> None:
        """Wake a foreign loop, so that it learns of the end."""
        self._ended = True
        if self._waker is not None:
            self._waker.set()
        for call in list(self._waiters):
            call.wake()


class Thread(Dispatcher):
    """Run jobs at once, one after the other, on a thread of its own that ends with the session."""

    def __init__(self, name: str = "nbrpc-serving") -> None:
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> None:
        """Queue a job for the thread."""
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            run_safely(job)
            del job  # it would live until the next one

    def session_ended(self, session: Any) -> None:
        """Finish what is queued and end the thread."""
        self._jobs.put(None)


class Loop(Dispatcher):
    """Run jobs on the thread of an event loop, in slices with rests between them.

    Theory of operation
    -------------------
    The loop belongs to somebody else (a notebook's kernel), who must stay responsive under any
    flood. So jobs run for `SLICE` seconds, then the loop gets `REST` seconds for itself; the budget
    is looked at after each job. Measured with 20,000 events a second of 60 microseconds each, an
    execute request then takes 12 ms in the median, where draining everything takes 7.4 s.
    While that thread waits in a call of ours, it runs jobs as well.

    Parameters
    ----------
    run_soon
        Runs a function on the loop's thread, soon; callable from any thread.
    run_later
        Runs a function on the loop's thread after so many seconds; called on that thread.
    thread
        The identifier of that thread.
    """

    SLICE = 0.002
    REST = 0.002

    def __init__(
        self,
        run_soon: Callable[[Callable[[], None]], Any],
        run_later: Callable[[float, Callable[[], None]], Any],
        thread: int,
    ) -> None:
        self.jobs: deque[Any] = deque()
        self._run_soon = run_soon
        self._run_later = run_later
        self._thread = thread
        self._scheduled = False
        self._waiters: list[Call] = []
        self._running = False

    def submit(self, job: Any) -> None:
        """Queue a job for the loop."""
        self.jobs.append(job)
        waiters = self._waiters
        if waiters:
            waiters[-1].wake()
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        try:
            self._run_soon(self._slice)
        except RuntimeError:
            self._scheduled = False  # the loop is closed: the kernel is shutting down

    def serves_waiters(self) -> bool:
        """On the loop's thread, unless a job of ours waits: events neither nest nor overtake."""
        return threading.get_ident() == self._thread and not self._running

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return bool(self.jobs)

    @interrupts.runs_user_code
    def run_queued(self) -> bool:
        """Run jobs for at most a slice."""
        jobs = self.jobs
        if not jobs or self._running:
            return False
        ends = time.perf_counter() + self.SLICE
        self._running = True
        try:
            while jobs:
                try:
                    job = jobs.popleft()
                except IndexError:
                    break
                job.run()
                if time.perf_counter() >= ends:
                    break
        finally:
            self._running = False
        return True

    def _slice(self) -> None:
        """Run a slice on the loop, and come back after a rest if there is more.

        It counts as scheduled until then: a job that is queued meanwhile, as every subscription
        with more events does, would otherwise have it back at once, without a rest.
        """
        try:
            self.run_queued()
        finally:
            if self.jobs:
                self._run_later(self.REST, self._slice)
            else:
                self._scheduled = False
                if self.jobs:  # just now, from another thread that took it as scheduled
                    self._schedule()

    def add_waiter(self, call: Call) -> None:
        """Wake this call when a job is queued."""
        self._waiters.append(call)

    def remove_waiter(self, call: Call) -> None:
        """Wake it no longer."""
        if call in self._waiters:
            self._waiters.remove(call)

    def session_ended(self, session: Any) -> None:
        """Wake who waits."""
        for call in list(self._waiters):
            call.wake()


default: Callable[[], Dispatcher] = Queue
"""Makes the dispatcher of a connection that this process opens; a notebook puts its loop here."""


class Held(Dispatcher):
    """Keep jobs until the connection is set up; then they run elsewhere, in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: list[Any] = []
        self._target: Dispatcher | None = None

    def submit(self, job: Any) -> None:
        """Keep a job, or pass it on."""
        with self._lock:
            if self._target is None:
                self._jobs.append(job)
                return
        self._target.submit(job)

    def release(self, target: Dispatcher) -> None:
        """Pass everything on from now on."""
        with self._lock:
            for job in self._jobs:
                target.submit(job)
            self._jobs.clear()
            self._target = target


# ---- serial services

_serial_classes: weakref.WeakSet[type] = weakref.WeakSet()
_serial_threads: weakref.WeakKeyDictionary[Any, SerialThread] = weakref.WeakKeyDictionary()
_generators: weakref.WeakKeyDictionary[Any, _Home] = weakref.WeakKeyDictionary()
"""Where the generators run that serial services have made."""
_serial_lock = threading.Lock()


def _after_fork() -> None:
    """In a forked child: no thread is left, so each instance gets a new one."""
    global _serial_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _serial_lock = threading.Lock()
    _serial_threads.clear()
    _generators.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Home:
    """Where the calls on an object of a serial service run."""

    def __init__(self, jobs: SimpleQueue[Any]) -> None:
        self.jobs = jobs

    def submit(self, job: Any) -> None:
        """Queue a job."""
        self.jobs.put(job)


class SerialThread(_Home):
    """The one thread on which all calls on one instance run."""

    def __init__(self, name: str) -> None:
        super().__init__(SimpleQueue())
        threading.Thread(target=_run_serial, args=(self.jobs,), name=name, daemon=True).start()


def _run_serial(jobs: SimpleQueue[Any]) -> None:
    runner = None
    while True:
        job = jobs.get()
        if job is None:
            if runner is not None:
                runner.close()
            return
        if runner is None:
            runner = _LazyRunner(jobs)
        job.runner = runner
        run_safely(job)
        del job


class _LazyRunner:
    """An `asyncio.Runner` that is made with the first coroutine."""

    def __init__(self, jobs: SimpleQueue[Any]) -> None:
        self.jobs = jobs
        self._runner: Any = None

    def adopt(self, generator: Any) -> None:
        """Have a generator of the service run on its thread too."""
        _generators[generator] = _Home(self.jobs)

    def run(self, coroutine: Any) -> Any:
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
            # It keeps the context in which it was made; one of a request would never be freed.
            Context().run(self._runner.get_loop)
        return self._runner.run(coroutine, context=copy_context())

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


def register_serial(cls: type) -> None:
    """Note a class whose instances are served by one thread each."""
    Workers.direct = False
    _serial_classes.add(cls)


def is_serial(instance: object) -> bool:
    """Whether calls on an object run on a thread of its own."""
    return bool(_serial_classes) and type(instance) in _serial_classes


def serial_thread(instance: object) -> SerialThread:
    """Give the thread of an instance of a serial class, made at its first call."""
    with _serial_lock:
        thread = _serial_threads.get(instance)
        if thread is None:
            thread = SerialThread(f"nbrpc-serial-{type(instance).__name__}")
            _serial_threads[instance] = thread
            weakref.finalize(instance, thread.jobs.put, None)
        return thread


def home_of(target: Any) -> _Home | None:
    """Give the thread for calls on an instance of a serial class, or on what is part of it."""
    kind = type(target)
    if kind is MethodType:
        target = target.__self__
        kind = type(target)
    if kind in _serial_classes:
        return serial_thread(target)
    if kind is GeneratorType or kind is AsyncGeneratorType:
        return _generators.get(target)
    return None


def _serial_thread_of(job: Any) -> _Home | None:
    """Give the thread for a request on an instance of a serial class."""
    try:
        target = job.session.boxing.exports.get(job.request.oid)
    except KeyError:
        return None
    return home_of(target)
