"""Where requests and events of the peer run: one dispatcher per connection, which outlives a link.

`Workers`
    On the reactor's threads; servers.
`Queue`
    Whenever the user talks to the connection: during its calls, in ``serve`` and ``poll_all``.
    What a plain script has, as RPyC's tutorial describes it. A program on asyncio has its loop run
    them (`nbrpc.session.awaiting`).
`Thread`
    On a thread of its own, at once: `BgServingThread`.
`Loop`
    On the thread of an event loop, in slices: notebooks.
`in_turn.InTurn`
    On the reactor's threads, one after another: what RPyC's services and clients expect.

A serial service has one thread per instance (``serial``), whatever the dispatcher.
"""

from __future__ import annotations

import math
import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable
from typing import Any

from nbrpc.session import interrupts, serial
from nbrpc.session.awaiting import Turns
from nbrpc.session.call import Call
from nbrpc.session.job import Claim, RequestJob
from nbrpc.session.reactor import WORKER_LIMIT, reactor
from nbrpc.session.waker import Waker
from nbrpc.session.worker import run_safely

__all__ = ["Dispatcher", "Held", "Loop", "Queue", "Thread", "Workers", "register_serial"]


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

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Whether this thread, which waits, runs queued jobs meanwhile.

        Parameters
        ----------
        nested
            It waits inside a job, for a peer that does not say inside which call it asks something.
            Otherwise it waits at the top level.
        """
        del nested
        return False

    def has_jobs(self) -> bool:
        """Whether jobs are queued for this thread."""
        return False

    def run_queued(self, *, nested: bool = False) -> bool:
        """Run what is queued for this thread now; True when anything ran."""
        del nested
        return False

    def add_waiter(self, call: Call) -> None:
        """Wake this call when a job is queued."""

    def remove_waiter(self, call: Call) -> None:
        """Wake it no longer."""

    held = False
    """Whether no further job begins, since much waits for a peer that does not read."""

    def hold(self, *, held: bool) -> None:
        """Begin no further job of the connection, or go on; one that runs may still wait."""

    def session_ended(self, session: Any) -> None:
        """The session has ended; another may take its place, see `Session.comes_back`."""

    loops: Any = ()
    """The `Turns` of the event loops that serve the connection."""

    def serve_on(self, loop: Any) -> None:
        """Run what is queued for threads that wait on an event loop as well, from now on."""

    def event_loop(self, job: Any) -> Any:
        """Give the event loop that turns while the coroutine of a job runs, if that is its own."""
        return job.loop


AT_ONCE = 4
"""Jobs of a connection that are run in one turn."""

MOST_RUNNING = WORKER_LIMIT // 2
"""Jobs that one connection may have running: the other workers are for the others."""


class Workers(Dispatcher):
    """Run jobs on the reactor's threads; those for a serial service on its own.

    One of a connection's jobs stands in line with those of others, and the next lines up behind
    them when that one begins. So a connection that asks for much does not keep others waiting. Who
    sees that one is in line, or that enough run, has seen one that looks at the backlog later.
    """

    direct = True  # until a class is serial: see register_serial

    def __init__(self) -> None:
        self.backlog: deque[Any] = deque()
        self._turn = allocate_lock()  # held while one is in line
        self._running: deque[None] = deque()  # one for each, since a deque counts atomically

    def submit(self, job: Any) -> None:
        """Have a worker run a job."""
        home = serial.thread_for(job)
        if home is not None:
            home.submit(job)
            return
        self.backlog.append(job)
        if not self._turn.locked():
            self._go_on(follows=False)

    def run(self) -> None:
        """Run the first job of the backlog, or some if there are no others in line."""
        turn, backlog, line = self._turn, self.backlog, reactor().jobs
        turn.release()
        self._running.append(None)
        try:
            for _ in range(AT_ONCE):
                try:
                    job = backlog.popleft()
                except IndexError:
                    break
                if backlog and not turn.locked():
                    self._go_on(follows=True)
                job.run()
                if len(line) > 1 or self.held:
                    break
        finally:
            self._running.pop()
            if backlog:
                self._go_on(follows=True)

    def _go_on(self, *, follows: bool) -> None:
        if not self.held and len(self._running) < MOST_RUNNING and self._turn.acquire(False):
            reactor().submit(self, follows=follows)

    def hold(self, *, held: bool) -> None:
        """Begin no further job, or go on."""
        self.held = held
        if held:
            self.direct = False
        else:
            vars(self).pop("direct", None)
        if not held and self.backlog:
            self._go_on(follows=False)

    def session_ended(self, session: Any) -> None:
        """Let what is queued come to its end: nobody will read."""
        del session
        self.hold(held=False)


def register_serial(cls: type) -> None:
    """Note a class whose instances are served by one thread each."""
    Workers.direct = False
    serial.register(cls)


class Queued(Dispatcher):
    """The base of those that keep jobs for threads that wait, and wake the last of these."""

    def __init__(self) -> None:
        self.jobs: deque[Any] = deque()
        self._waiters: list[Call] = []

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return bool(self.jobs)

    def add_waiter(self, call: Call) -> None:
        """Wake this call when a job is queued."""
        self._waiters.append(call)

    def remove_waiter(self, call: Call) -> None:
        """Wake it no longer."""
        try:
            self._waiters.remove(call)
        except ValueError:
            pass

    def _wake(self) -> None:
        waiters = self._waiters
        if waiters:
            try:
                waiters[-1].wake()
            except IndexError:
                pass  # it has just left

    def session_ended(self, session: Any) -> None:
        """Wake who waits."""
        for call in list(self._waiters):
            call.wake()


class Queue(Queued):
    """Keep jobs until the user talks to the connection, or awaits something of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loops: list[Turns] = []
        self._waker: Waker | None = None
        self._ended = False
        self._running: set[int] = set()
        """Threads that run jobs now."""

    def submit(self, job: Any) -> None:
        """Queue a job."""
        self.jobs.append(job)
        self._wake()
        if self._waker is not None:
            self._waker.set()
        if self.loops:
            self._wake_loops()

    def serve_on(self, loop: Any) -> None:
        """Run jobs on an event loop as well, while it turns; called on its thread."""
        if all(turns.loop is not loop for turns in self.loops):
            self.loops.append(Turns(self, loop))
        if self.jobs:
            self._wake_loops()

    def _wake_loops(self) -> None:
        for turns in list(self.loops):
            if not turns.wake():
                self.loops.remove(turns)

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Always; inside of a job only for RPyC's peers, since events neither nest nor overtake."""
        return nested or get_ident() not in self._running

    def run_queued(self, *, nested: bool = False, loop: Any = None) -> bool:
        """Run what is queued at this moment; of what comes inside of a job, one.

        Parameters
        ----------
        loop
            The event loop in whose turn this is, and which must have the next one soon.
        """
        ran = False
        ends = math.inf if loop is None else time.perf_counter() + Loop.SLICE
        jobs = self.jobs
        if jobs:
            thread = get_ident()
            outermost = thread not in self._running
            self._running.add(thread)
            try:
                for _ in range(1 if nested else len(jobs)):
                    try:
                        job = jobs.popleft()
                    except IndexError:
                        break
                    ran = True
                    if loop is not None and isinstance(job, RequestJob | Claim):
                        job.loop = loop
                    job.run()
                    if loop is not None and time.perf_counter() >= ends:
                        break
            finally:
                if outermost:
                    self._running.discard(thread)
        if self._waker is not None and not jobs:
            self._waker.clear()
            if jobs:
                self._waker.set()
        return ran

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
        super().session_ended(session)


class Thread(Queued):
    """Run jobs at once, one after the other, on a thread that ends with the connection."""

    def __init__(self, name: str = "nbrpc-serving") -> None:
        super().__init__()
        # `jobs` stays empty: what is queued is for that thread, and a quick call need not look.
        self._work: deque[Any] = deque()
        self._arrived = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> None:
        """Queue a job for the thread."""
        self._work.append(job)
        self._arrived.release()
        self._wake()

    def _run(self) -> None:
        while True:
            self._arrived.acquire()
            try:
                job = self._work.popleft()
            except IndexError:
                continue  # it was run inside of another
            if job is None:
                return
            run_safely(job)
            del job  # it would live until the next one

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Inside of a job, for RPyC's peers."""
        return nested and get_ident() == self._thread.ident

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return bool(self._work)

    def run_queued(self, *, nested: bool = False) -> bool:
        """Run the next job inside of the one that waits."""
        if not nested or not self._work or self._work[0] is None:
            return False
        run_safely(self._work.popleft())
        return True

    def session_ended(self, session: Any) -> None:
        """Finish what is queued and end the thread, unless another session takes over."""
        super().session_ended(session)
        if not session.comes_back:
            self.submit(None)


class Loop(Queued):
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
        super().__init__()
        self._run_soon = run_soon
        self._run_later = run_later
        self._thread = thread
        self._scheduled = False
        self._running = False

    def submit(self, job: Any) -> None:
        """Queue a job for the loop."""
        self.jobs.append(job)
        self._wake()
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        try:
            self._run_soon(self._slice)
        except RuntimeError:
            self._scheduled = False  # the loop is closed: the kernel is shutting down

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """On the loop's thread; inside of a job only for RPyC's peers, as `Queue` does."""
        return get_ident() == self._thread and (nested or not self._running)

    @interrupts.runs_user_code
    def run_queued(self, *, nested: bool = False) -> bool:
        """Run jobs for at most a slice; of what comes inside of a job, one."""
        jobs = self.jobs
        running = self._running
        if not jobs or (running and not nested):
            return False
        ends = 0.0 if nested else time.perf_counter() + self.SLICE
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
            self._running = running
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
