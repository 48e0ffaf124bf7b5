"""The process's socket workers: a leader that reads, and followers that take over.

Theory of operation
-------------------
There is one reactor per process. One of its worker threads is the **leader**: it waits on all
descriptors at once, reads what is ready, lets the session handle every message that is not a job
(replies, events, cancels, pings), and only then runs the jobs that arrived, itself, one after the
other. So a quick request costs no change of threads at all.

A job may be slow. A **monitor** looks every 2 ms whether the leader is still inside the same job;
if so it promotes a follower, which goes on reading and running the jobs that are left. The old
leader becomes a follower when its job ends. Followers are made when there are none to wake, up to
`WORKER_LIMIT`; beyond that a leader only reads and never runs a job, so control messages always
get through. The monitor sleeps while no jobs run.

Jobs that block want many threads. Those that compute want few, since each of these would hold the
interpreter for 5 ms in its turn, and the leader would wait for them all before it can read. When
the monitor sleeps too long, somebody computes: then a job may take longer before another worker
leads, nobody helps, and followers rest after their job.

A thread that waits for a reply may read its own socket meanwhile (``waiting.py``), which saves two
changes of threads per call. The reactor notices when it finds the socket's reading lock taken: it
disarms the descriptor and notes it as **lent**. While descriptors are lent it looks every 4 ms and
takes back those that nobody has read since. No system call is spent on this in a loop of calls.

Locks: ``_roles`` guards the list of idle workers, the worker count and the change of leaders.
``jobs``, ``corked`` and ``_soon`` are deques, whose single operations are atomic under the GIL.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import os
import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from nbrpc.session.poller import LIVE_CHANGES, READ, WRITE, Poller
from nbrpc.session.waker import Waker
from nbrpc.session.worker import Job, Worker, run_safely

__all__ = ["Reactor", "Source", "reactor"]

log = logging.getLogger("nbrpc.session")

WORKER_LIMIT = 512
"""Threads that may run jobs at once; nested jobs run on the threads that wait and do not count."""

HELPERS = 8
"""Workers that are woken or made at once where jobs wait behind one that is blocked."""

MONITOR_TICK = 0.002
LEND_TICK = 0.004
SLICE = 0.002
"""Seconds for which a leader runs jobs before it looks at its sockets again."""

BUSY_SLICE = 0.01
"""Seconds that a job of a busy process may take before another worker leads."""

QUIET_TICKS = 50
"""Monitor ticks without a job after which the monitor sleeps."""

MOST_IDLE = 16
SURPLUS_LIFE = 1.0
"""Workers that may wait for work, and seconds after which one more than that ends."""

IDLE_LIFE = 30.0
"""Seconds after which a follower that nobody needed ends."""


class Source(Protocol):
    """A descriptor's owner."""

    def fileno(self) -> int:
        """Give the descriptor."""

    def on_ready(self, mask: int) -> None:
        """Read or write what is possible, without waiting."""

    def on_tick(self, now: float) -> None:
        """Look after heartbeats and the like, about twice a second."""


class Reactor:
    """The socket workers of this process; made by `reactor`."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.corked: deque[Any] = deque()
        """Sessions with bytes that wait for the end of a slice."""
        self.corker = 0
        """The thread whose replies may wait for the end of its slice; 0 for none."""
        self.leader: Worker | None = None
        self._poller = Poller()
        self._sources: dict[int, Source] = {}
        self._lent: dict[int, Any] = {}
        self._roles = allocate_lock()
        self._idle: list[Worker] = []
        self._workers = 0
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int, Job]] = []
        self._timer_lock = allocate_lock()
        self._next_tick = 0.0
        self._due = 0.0
        """When the leader must look around of itself: the next tick, or the first timer."""
        self.tick_interval = 0.5
        self._monitor_parked = True
        self._monitor_wake = allocate_lock()
        self._monitor_wake.acquire()
        self._monitor_started = False
        self._streaming = 0
        self._busy = False
        """Whether jobs compute rather than block, as the monitor saw last."""
        self._waker = Waker()
        self._poller.add(self._waker.fileno(), READ)

    # ---- descriptors

    def register(self, source: Source) -> None:
        """Begin to read a source."""
        descriptor = source.fileno()
        self._sources[descriptor] = source
        self._poller.add(descriptor, READ)
        with self._roles:
            if self.leader is None:
                self._spawn(leads=True)
        self._changed()

    def unregister(self, descriptor: int) -> None:
        """Read it no longer; called before the descriptor is closed."""
        self._sources.pop(descriptor, None)
        self._lent.pop(descriptor, None)
        self._poller.remove(descriptor)

    def interest(self, descriptor: int, mask: int) -> None:
        """Change what a source waits for."""
        if descriptor in self._sources:
            try:
                self._poller.change(descriptor, mask)
            except (OSError, ValueError, KeyError):
                return  # closed by another thread just now
            self._changed()

    def lend(self, descriptor: int, session: Any) -> None:
        """Note that a caller reads this descriptor; it has been disarmed."""
        self._lent[descriptor] = session

    def sources(self) -> list[Source]:
        """Every registered source."""
        return list(self._sources.values())

    def _changed(self) -> None:
        if not LIVE_CHANGES:
            self.wake()

    def wake(self) -> None:
        """Make the leader look around."""
        self._waker.set()

    # ---- jobs

    def submit(self, job: Job, *, follows: bool = False) -> None:
        """Have a worker run a job, also after the one that this thread runs; from any thread."""
        self.jobs.append(job)
        leader = self.leader
        if leader and leader.ident == get_ident() and (follows or not leader.in_job):
            return  # it will come to it; the monitor sees to it if that takes long
        if follows and leader:
            self.wake()
        else:
            self._employ()

    def post(self, job: Job) -> None:
        """Have a worker run a job soon; takes no lock, so that ``__del__`` may call it."""
        self.jobs.append(job)
        self.wake()

    def _employ(self) -> None:
        """Wake or make a worker for the jobs on the deque."""
        with self._roles:
            if self._idle:
                self._idle.pop().wake.release()
            elif self._workers < WORKER_LIMIT:
                self._spawn()

    def call_later(self, seconds: float, job: Job) -> None:
        """Have a worker run a job in so many seconds."""
        if self.leader is None:  # nothing has been read yet: a widget or a result without a peer
            with self._roles:
                if self.leader is None:
                    self._spawn(leads=True)
        due = time.monotonic() + seconds
        with self._timer_lock:
            heapq.heappush(self._timers, (due, next(self._numbers), job))
            first = due < self._due
            if first:
                self._due = due
        if first:
            self.wake()

    # ---- workers

    def _spawn(self, *, leads: bool = False) -> bool:
        """Start a worker; needs ``_roles``.

        Returns
        -------
        bool
            False when the system gives no thread; then all is as before, and those that there are
            go on.

        Raises
        ------
        RuntimeError
            The same, and there is no other worker.
        """
        assert self._roles.locked()
        worker = Worker(self, next(self._numbers))
        before = self.leader
        self._workers += 1
        if leads:
            # Before it starts, or it would begin as a follower and may get stuck in a job as such.
            self.leader = worker
        try:
            worker.start()
        except RuntimeError:
            self._workers -= 1
            self.leader = before
            if before is None:
                raise
            log.debug("the system gives no further thread", exc_info=True)
            return False
        return True

    def park(self, worker: Worker) -> bool:
        """Wait until the worker is needed; False when it may end."""
        with self._roles:
            if self.leader is worker or (self.jobs and not self._busy):
                return True
            if self._workers > WORKER_LIMIT:  # while there are, the leader runs no jobs
                self._workers -= 1
                return False
            self._idle.append(worker)
            many = len(self._idle) > MOST_IDLE
        if worker.wake.acquire(timeout=SURPLUS_LIFE if many else IDLE_LIFE):
            return True
        with self._roles:
            if worker in self._idle:
                self._idle.remove(worker)
                self._workers -= 1
                return False
        worker.wake.acquire()  # woken just now
        return True

    def drain(self, worker: Worker) -> None:
        """Run jobs as a follower until there are none, or until made leader."""
        while self.leader is not worker and not (self._busy and self._workers <= WORKER_LIMIT):
            try:
                job = self.jobs.popleft()
            except IndexError:
                return
            run_safely(job)

    def lead(self, worker: Worker) -> None:
        """Read all sources and run their jobs until another worker leads."""
        poll = self._poller.poll
        sources = self._sources
        jobs = self.jobs
        clock = time.monotonic
        now = clock()
        while self.leader is worker:
            if jobs:
                # With all workers taken the leader only reads; somebody else runs the jobs.
                wait = 0.0 if self._workers <= WORKER_LIMIT else MONITOR_TICK
            else:
                wait = LEND_TICK if self._lent else self._due - now
            try:
                events = poll(max(0.0, wait))
            except OSError:
                return  # closed in a forked child or at exit
            for descriptor, mask in events:
                source = sources.get(descriptor)
                if source is None:
                    if descriptor == self._waker.fileno():
                        self._waker.clear()
                    continue
                try:
                    source.on_ready(mask)
                except Exception:
                    log.exception("a source failed")
            source = None  # it may be closed while this thread waits, and is not kept by that
            now = clock()
            if self._lent or now >= self._due:
                self._housekeeping(now)
            if jobs and self._workers <= WORKER_LIMIT:
                self._run_slice(worker, now + SLICE)
            if self.corked:
                self.flush_corked()

    def _run_slice(self, worker: Worker, ends: float) -> None:
        """Run jobs as the leader, until a time."""
        if self._monitor_parked:
            self._unpark_monitor()
        jobs = self.jobs
        while jobs:
            try:
                job = jobs.popleft()
            except IndexError:
                break
            # Replies to a batch leave together; a lone reply leaves at once.
            self.corker = worker.ident if jobs else 0  # type: ignore[assignment]
            worker.jobs_begun += 1
            worker.in_job = True
            try:
                job.run()
            except BaseException:
                log.exception("a job failed")
            worker.in_job = False
            if self.leader is not worker:
                return
            if jobs and time.monotonic() >= ends:
                break
        self.corker = 0

    def flush_corked(self) -> None:
        """Send what waited for the end of a slice."""
        corked = self.corked
        while corked:
            try:
                corked.popleft().flush_corked()
            except IndexError:
                return

    @staticmethod
    def _guard(function: Callable[[Any], None], argument: Any) -> None:
        try:
            function(argument)
        except Exception:
            log.exception("a source failed")

    # ---- the monitor

    def watch_corked(self) -> None:
        """Have what is corked sent within some milliseconds, whatever this thread does next."""
        if self._monitor_parked:
            self._unpark_monitor()

    @contextlib.contextmanager
    def streaming(self) -> Iterator[None]:
        """Keep the monitor awake, which sends the first items of a chunk that does not fill."""
        with self._roles:
            self._streaming += 1
        self.watch_corked()
        try:
            yield
        finally:
            with self._roles:
                self._streaming -= 1

    def _unpark_monitor(self) -> None:
        with self._roles:
            if not self._monitor_parked:
                return
            self._monitor_parked = False
            if not self._monitor_started:
                monitor = threading.Thread(target=self._monitor, name="nbrpc-monitor", daemon=True)
                try:
                    monitor.start()
                except RuntimeError:  # no thread is to be had now: the next slice tries again
                    self._monitor_parked = True
                else:
                    self._monitor_started = True
                return
        self._monitor_wake.release()

    def _monitor(self) -> None:
        """Promote followers while leaders are stuck in jobs."""
        seen: tuple[Worker | None, int] = (None, 0)
        quiet = 0
        since = 0.0
        while True:
            before = time.monotonic()
            time.sleep(MONITOR_TICK)
            real = time.monotonic()
            self._busy = real - before > 2 * MONITOR_TICK
            if self.corked:
                self.flush_corked()
                quiet = 0
            leader = self.leader
            if leader is None or not leader.in_job:
                quiet = 0 if self._streaming else quiet + 1
                seen = (None, 0)
                if quiet >= QUIET_TICKS:
                    with self._roles:
                        self._monitor_parked = True
                    if self.corked:
                        continue
                    self._monitor_wake.acquire()
                    quiet = 0
                continue
            quiet = 0
            now = (leader, leader.jobs_begun)
            if now != seen:
                seen, since = now, before
            elif not self._busy or real - since > BUSY_SLICE:
                self._promote(leader)

    def _promote(self, stuck: Worker) -> None:
        """Make another worker the leader."""
        with self._roles:
            if self.leader is not stuck or not stuck.in_job:
                return
            self.corker = 0
            if self._idle:
                self.leader = worker = self._idle.pop()
                worker.wake.release()
            elif not self._spawn(leads=True):
                return  # the monitor tries again at its next tick
        # A backlog behind a blocked job is probably of such jobs as well.
        begun = time.monotonic()
        helpers = HELPERS if self.jobs and not self._busy else 0
        while helpers and self.jobs and time.monotonic() - begun < MONITOR_TICK:
            self._employ()
            helpers -= 1
        self.flush_corked()

    # ---- time

    def _housekeeping(self, now: float) -> None:
        """Take back lent descriptors, run timers, tick sources."""
        for descriptor, session in list(self._lent.items()):
            if session.take_back():
                self._lent.pop(descriptor, None)
        if now < self._due:
            return
        if now >= self._next_tick:
            self._next_tick = now + self.tick_interval
            for source in self.sources():
                self._guard(source.on_tick, now)
        with self._timer_lock:
            while self._timers and self._timers[0][0] <= now:
                self.jobs.append(heapq.heappop(self._timers)[2])
            self._due = min(self._next_tick, self._timers[0][0] if self._timers else math.inf)

    def abandon(self) -> None:
        """Forget everything in a forked child, without touching what the parent uses."""
        self._poller.close()
        self._waker.close()


_reactor: Reactor | None = None
_making = allocate_lock()


def reactor() -> Reactor:
    """Give the reactor of this process."""
    global _reactor  # noqa: PLW0603 - one per process is the design
    current = _reactor
    if current is None:
        with _making:
            if _reactor is None:
                _reactor = Reactor()
            current = _reactor
    return current


def _after_fork() -> None:
    """In a forked child: start without a reactor; connections of the parent are dead here."""
    global _reactor, _making  # noqa: PLW0603
    _making = allocate_lock()
    old, _reactor = _reactor, None
    if old is not None:
        for source in old.sources():
            forked = getattr(source, "on_fork", None)
            if forked is not None:
                forked()
        old.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

__all__ += ["READ", "WRITE"]
