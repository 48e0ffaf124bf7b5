"""Calls that wait for a busy kernel or a silent peer: a cell that waits shows it.

What `%rpc_serve` serves runs on the kernel's main thread, so a call waits while a cell computes.
The threads that read sockets are alive meanwhile. From `FIRST` seconds on they send a Progress
whose ``done`` is below 0 (it has not begun), with the time and the reason as its text, and one
without text when it begins. A display of an AsyncResult shows it by itself; for a call that blocks,
the cell has one line, which goes when the call begins or the cell ends. A peer that does not answer
at all (`nbrpc.session.silence`) is shown in the same line.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from nbrpc.notebook.pump import InContext
from nbrpc.objects.text import printable
from nbrpc.protocol.messages import Kind
from nbrpc.session.call import Call
from nbrpc.session.reactor import reactor
from nbrpc.widgets.page import duration

__all__ = ["Notices", "WaitLine"]

FIRST = 1.0
"""Seconds for which a call is queued before its caller is told, and between what it is told."""

LONGEST = 200
"""Characters of a peer that stand in the line of a cell."""


class Notices:
    """Tells callers of one connection that their calls are queued, as a job of the reactor.

    Parameters
    ----------
    cell_began
        Gives the time when the running cell began; None without one.
    """

    def __init__(self, cell_began: Callable[[], float | None]) -> None:
        self._cell_began = cell_began
        self._queued: deque[Queued] = deque()
        self._scheduled = False
        self.lock = threading.Lock()
        """Held while a caller is told, so that nothing is said of a call that has begun."""

    def queued(self, job: Any, context: Context) -> Queued:
        """Note a request that is being queued, and give the job to queue."""
        noted = Queued(job, context, self)
        self._queued.append(noted)
        self._schedule()
        return noted

    def run(self) -> None:
        """Tell those who have waited long enough, and come back while any wait."""
        now = time.monotonic()
        for _ in range(len(self._queued)):
            noted = self._queued.popleft()
            with self.lock:
                if noted.waits:
                    if now - noted.since >= FIRST / 2:  # the others at the next turn
                        noted.tell(self._reason(now, noted.since))
                    self._queued.append(noted)
        self._scheduled = False
        if self._queued:
            self._schedule()

    def _schedule(self) -> None:
        with self.lock:
            if self._scheduled:
                return
            self._scheduled = True
        reactor().call_later(FIRST, self)

    def _reason(self, now: float, since: float) -> str:
        began = self._cell_began()
        busy = "is busy" if began is None else f"has been busy with a cell for {whole(now - began)}"
        return f"queued for {whole(now - since)}: the kernel {busy}"


class Queued(InContext):
    """A request of a peer that waits for its turn."""

    __slots__ = ("_notices", "_told", "since", "waits")

    def __init__(self, job: Any, context: Context, notices: Notices) -> None:
        super().__init__(job, context)
        self.since = time.monotonic()
        self.waits = True
        self._told = False
        self._notices = notices

    def tell(self, text: str) -> None:
        """Tell the caller why its call has not begun; nothing once it has."""
        self._told = True
        self.job.session.send_quietly(Kind.PROGRESS, (self.job.seq, -1.0, None, text))

    def run(self) -> None:
        """Run the request; a caller who was told that it waits is told that it does no longer."""
        with self._notices.lock:
            self.waits = False
            if self._told:
                self.tell("")
        job, self.job = self.job, None  # the notices may look at this one a little longer
        self.context.copy().run(job.run)


class WaitLine:
    """The line in a cell that says what a blocking call waits for.

    Parameters
    ----------
    in_cell
        Whether a cell runs.
    """

    def __init__(self, shell: Any, in_cell: Callable[[], bool]) -> None:
        self._shell = shell
        self._in_cell = in_cell
        self._identity = ""
        self._shown = 0.0
        Call.show_wait = self._show

    def _show(self, call: Call, text: str) -> None:
        """Show what a call waits for, on the thread that waits; without text it waits no longer."""
        if threading.current_thread() is not threading.main_thread() or not self._in_cell():
            return
        now = time.monotonic()
        if not text:
            self.clear()
            return
        if now - self._shown < FIRST / 2:  # a peer may say it without end
            return
        self._shown = now
        line = " ".join(printable(f"waiting for {call.session.name}: {text}"[:LONGEST]).split())
        if getattr(self._shell, "kernel", None) is not None:
            self._publish(line)
        elif not self._identity:  # a terminal cannot change what it shows
            self._identity = line
            sys.stderr.write(f"{line}\n")

    def _publish(self, line: str) -> None:
        update = bool(self._identity)
        self._identity = self._identity or uuid.uuid4().hex
        self._shell.display_pub.publish(
            {"text/plain": line}, {}, transient={"display_id": self._identity}, update=update
        )

    def clear(self) -> None:
        """Take the line away."""
        if self._identity and getattr(self._shell, "kernel", None) is not None:
            self._publish("")
        self._identity = ""

    def close(self) -> None:
        """Show nothing any more."""
        Call.show_wait = None


def whole(seconds: float) -> str:
    """Write a length of time in whole seconds."""
    return duration(max(1, round(seconds)))
