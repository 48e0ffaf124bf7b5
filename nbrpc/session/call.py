"""One request of ours that has not been answered, and who waits for it."""

from __future__ import annotations

from _thread import LockType
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["Call", "current_job"]

current_job: ContextVar[RequestJob | None] = ContextVar("nbrpc_current_job", default=None)
"""The request of a peer that this code runs for: its session and seq make the parent of the calls
made inside."""


class Call:
    """A request of ours.

    Attributes
    ----------
    reply : message or exception, or None
        What ended it.
    done : bool
        Set after ``reply``, never unset.
    jobs : deque
        Requests of the peer made inside this one, to run on the thread that waits.
    waiting : bool
        Whether a thread waits and will run ``jobs``.
    lock : lock or None
        What the waiting thread sleeps on, while it does not read the socket itself.
    """

    show_wait: ClassVar[Callable[[Call, str], None] | None] = None
    """Shows what a call waits for, on the thread that does; set by the notebook layer."""

    reads_socket = True
    """Whether a thread that waits for it may read the session's socket: not when something else
    than that socket may end it."""

    holds = True
    """Whether the deadline of a wait for it is one for the waits inside of it as well."""

    # Defaults of the class rather than of each object: most calls never change them.
    depth: int = 0
    expires: float | None = None
    """When it is waited for no longer, whoever waits."""
    patience: float = 0.0
    """Seconds for which the waiting thread runs nothing that an RPyC peer asks."""
    reply: Any = None
    done: bool = False
    waiting: bool = False
    jobs: deque[Any] | None = None
    lock: LockType | None = None
    wait_text: str | None = None
    """What it waits for, until the waiting thread shows that."""
    wait_shown: bool = False
    """Whether that is shown until the wait is over."""
    watched: bool = False
    """Whether somebody looks at the session all the time, and shows when the peer is silent."""

    def __init__(self, session: Session, seq: int) -> None:
        self.session = session
        self.seq = seq

    def resolve(self, reply: Any) -> None:
        """End the call; from the thread that reads, once."""
        self.reply = reply
        self.done = True
        if self.lock is not None:
            self.wake()

    def forked(self, error: BaseException) -> None:
        """In a forked child: end the call. Nobody waits for it here."""
        self.resolve(error)

    def wake(self) -> None:
        """Let the waiting thread look around."""
        lock = self.lock
        if lock is not None:
            try:
                lock.release()
            except RuntimeError:
                pass  # it is awake already

    def add_job(self, job: Any) -> None:
        """Have the waiting thread run a job."""
        if self.jobs is None:
            self.jobs = deque()
        self.jobs.append(job)
        self.wake()

    def take_job(self, job: RequestJob) -> bool:
        """Whether this job still waits for a thread; it is taken from here then."""
        try:
            self.jobs.remove(job)  # type: ignore[union-attr]
        except ValueError:
            return False
        return True

    def served(self) -> None:
        """The thread that waits has run something of the dispatcher."""

    def on_progress(self, done: float, total: float | None, text: str) -> None:
        """The peer says how far it is; below 0 it has not begun, and the text says why."""
        if done < 0:
            self.tell_wait(text)

    def tell_wait(self, text: str) -> None:
        """Have the thread that waits show why; without text there is no reason any more."""
        if self.waiting and Call.show_wait is not None:
            told, self.wait_text = self.wait_text is not None, text
            if not told:
                self.add_job(_ShowWait(self))

    def end_wait(self) -> None:
        """What was shown is over: the thread waits no longer."""
        self.wait_shown = False
        if Call.show_wait is not None:
            Call.show_wait(self, "")

    def on_output(self, kind: str, content: Any) -> None:
        """The running cell printed or displayed something."""


class _ShowWait:
    """Shows what a call waits for, on the thread that does."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def run(self) -> None:
        call = self._call
        text, call.wait_text = call.wait_text, None
        if text is not None and Call.show_wait is not None and call.waiting:
            call.wait_shown = bool(text) and not call.watched
            Call.show_wait(call, text)
