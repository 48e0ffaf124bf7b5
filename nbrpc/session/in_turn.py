"""Jobs of one connection in turn, as RPyC's servers run them."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from typing import Any

from nbrpc.session import serial
from nbrpc.session.dispatch import Queued
from nbrpc.session.reactor import reactor

__all__ = ["InTurn"]


class InTurn(Queued):
    """Run the jobs of one connection one after another, on the reactor's threads.

    While one of them waits for the peer, that thread runs those that come, as RPyC's do. So does
    any other thread of the program that waits for the peer while a job runs: the job may wait for
    that thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = allocate_lock()
        self._running = False
        self._thread = 0
        """The thread that runs a job now."""

    def submit(self, job: Any) -> None:
        """Queue a job."""
        home = serial.thread_for(job)
        if home is not None:
            home.submit(job)
            return
        self.jobs.append(job)
        with self._lock:
            begins, self._running = not self._running, True
        if begins:
            reactor().submit(self)
        else:
            self._wake()

    def run(self) -> None:
        """Run one job, and come back for the next: other connections have their turn between."""
        try:
            job = self.jobs.popleft()
        except IndexError:
            pass
        else:
            self._thread = get_ident()
            try:
                job.run()
            finally:
                self._thread = 0
        with self._lock:
            self._running = bool(self.jobs)
            if not self._running:
                return
        reactor().submit(self, follows=True)

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Always; see `run_queued`."""
        del nested
        return True

    def has_jobs(self) -> bool:
        """Whether jobs are queued behind one that runs; else the next begins by itself."""
        return bool(self._thread and self.jobs)

    def run_queued(self, *, nested: bool = False) -> bool:
        """Run the next job inside of this one; on another thread only while a job runs."""
        del nested
        if not self._thread:
            return False
        try:
            job = self.jobs.popleft()
        except IndexError:
            return False
        job.run()
        return True
