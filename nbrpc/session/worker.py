"""One thread of the reactor, and what it runs."""

from __future__ import annotations

import logging
import threading
from _thread import allocate_lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nbrpc.session.reactor import Reactor

__all__ = ["Job", "Worker", "run_safely"]

log = logging.getLogger("nbrpc.session")


class Job(Protocol):
    """Something to run on a worker."""

    def run(self) -> None:
        """Run; never raises."""


def run_safely(job: Job) -> None:
    """Run a job; a worker outlives whatever it raises."""
    try:
        job.run()
    except BaseException:  # the worker goes on with the jobs of others
        log.exception("a job failed")


class Worker(threading.Thread):
    """One thread of the reactor."""

    def __init__(self, reactor: Reactor, number: int) -> None:
        super().__init__(name=f"nbrpc-worker-{number}", daemon=True)
        self.reactor = reactor
        self.wake = allocate_lock()
        self.wake.acquire()
        self.in_job = False
        self.jobs_begun = 0

    def run(self) -> None:
        """Lead or follow until there is nothing to do for long."""
        reactor = self.reactor
        while True:
            if reactor.leader is self:
                reactor.lead(self)
            reactor.drain(self)
            if not reactor.park(self):
                return
