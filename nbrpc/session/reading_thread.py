"""A thread that serves one connection: it reads the socket itself and runs what comes, at once."""

from __future__ import annotations

import threading
from _thread import allocate_lock, get_ident
from collections import deque
from typing import TYPE_CHECKING, Any

from nbrpc.errors import NbrpcError
from nbrpc.session.dispatch import Queued
from nbrpc.session.worker import run_safely

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["ReadingThread"]

READ_SIZE = 64 * 1024
NAP = 0.05
"""Seconds of a sleep while another thread reads."""


class ReadingThread(Queued):
    """Reads a session and runs its requests and events, one after the other.

    It outlives the session when another takes its place.

    An event that arrives while nothing else happens wakes one thread only: this one, in the socket.
    While it runs a job, the reactor reads instead.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        # `jobs` stays empty: what is queued is for this thread, and a quick call need not look.
        self._session = session
        self.keeper: object = None
        """Whoever has this thread run, and lives as long as that."""
        self._work: deque[Any] = deque()
        self._asleep = allocate_lock()
        self._asleep.acquire()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="nbrpc-serving", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def serve(self, session: Session) -> None:
        """Go on with the session that takes the place of a lost one."""
        self._session = session
        self._rouse()

    def submit(self, job: Any) -> None:
        """Queue a job for the thread."""
        self._work.append(job)
        if get_ident() != self._thread.ident:
            self._rouse()
            self._wake()

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Inside of a job, for RPyC's peers."""
        return nested and get_ident() == self._thread.ident

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return bool(self._work)

    def run_queued(self, *, nested: bool = False) -> bool:
        """Run the next job inside of the one that waits."""
        if not nested or not self._work:
            return False
        run_safely(self._work.popleft())
        return True

    def _rouse(self) -> None:
        try:
            self._asleep.release()
        except RuntimeError:
            pass  # it is awake

    def end(self) -> None:
        """Have the thread end when it has done what is queued."""
        self._stopping = True
        self.keeper = None
        self._rouse()

    def stop(self) -> None:
        """Finish what is queued and end the thread; returns when it has ended."""
        self.end()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def session_ended(self, session: Any) -> None:
        """Look around."""
        self._rouse()
        super().session_ended(session)

    def _run(self) -> None:
        work = self._work
        while True:
            session = self._session
            if work:
                session.ensure_read()
                while work:
                    run_safely(work.popleft())
            if self._stopping:
                break
            if session.closed:
                self._asleep.acquire()
            elif session.transport.waitable and session.reading.acquire(False):
                self._read(session)
            else:
                self._asleep.acquire(timeout=NAP)
        session.ensure_read()

    @staticmethod
    def _read(session: Session) -> None:
        """Wait for bytes for a tick; has the reading lock, and lets it go."""
        try:
            session.disarm()
            data = session.transport.wait_receive(READ_SIZE)
            if data is not None:
                session.feed(data)
        except NbrpcError as error:
            session.lose(error)
        finally:
            session.reading.release()
