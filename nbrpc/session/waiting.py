"""A thread that waits for an answer, and what it does meanwhile.

Theory of operation
-------------------
A waiting thread does one of two things. Where it can, it takes the session's **reading lock** and
reads the socket itself: the reply then costs no change of threads. Otherwise it sleeps on a raw
lock, and whoever reads wakes it. There is never more than one reader.

Meanwhile it runs the requests that the peer makes *inside* the one it waits for (their parent is
ours), so callbacks nest without further threads. A wait at the top level, not inside a job, also
runs what the session's dispatcher has queued for such moments, so that a plain script receives its
events whenever it talks to the connection. A wait inside a job does not: events neither nest nor
overtake one another.

A deadline holds for all that is waited for **inside** of it: a request of the peer that was made
inside our call runs on the waiting thread, and when the call has run out of time, so have the waits
in there (``ends``). What only came by meanwhile, such as an event, has nothing to do with that
call, and its waits are its own.
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock, get_ident
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallTimeout, ConnectionLost, NbrpcError
from nbrpc.session import interrupts
from nbrpc.session.call import Call, current_job

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["check_nesting", "ends", "time_inside", "wait_for", "wait_to_send", "within"]

READ_SIZE = 64 * 1024

CLOSE_DEADLINE = 0.25
"""Below so many seconds to the deadline a thread sleeps on its lock, which it can do exactly,
rather than in the socket, whose tick is 0.05 s."""

LOCK_TICK = 0.1
"""Seconds of one sleep on a lock on the main thread, after which a held-back interrupt is raised.
Windows cannot interrupt a longer one."""

NOTHING = nullcontext()

ends: dict[int, float] = {}
"""By thread: when the wait is over inside of which it runs something that the peer asks."""


@contextmanager
def within(deadline: float | None) -> Iterator[None]:
    """Let all that this thread waits for inside end in time; None changes nothing."""
    thread = get_ident()
    before = ends.get(thread)
    time_over = _earlier(deadline, before)
    if time_over is None or time_over == before:
        yield
        return
    ends[thread] = time_over
    try:
        yield
    finally:
        if before is None:
            del ends[thread]
        else:
            ends[thread] = before


def time_inside(deadline: float | None) -> float | None:
    """Give the deadline of a wait of this thread: its own, or that of the wait around it.

    Raises
    ------
    CallTimeout
        The wait around it is over already.
    """
    around = ends.get(get_ident())
    if around is None:
        return deadline
    if time.monotonic() >= around:
        raise _over_around()
    return _earlier(deadline, around)


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _over_around() -> CallTimeout:
    return CallTimeout(
        "the call inside of which this one was made has run out of time: nothing that is asked "
        "inside of it is waited for any longer"
    )


def wait_for(call: Call, deadline: float | None = None, *, serve: bool = True) -> None:
    """Wait until a call is done.

    Parameters
    ----------
    deadline
        On the monotonic clock; None waits for ever.
    serve
        Whether queued jobs of the dispatcher may run here; not while the answer is only given a
        moment to come first, which is no deadline for what runs inside of the call either.

    Raises
    ------
    CallTimeout
        The deadline passed, or that of the wait around this one; the call is as pending as before.
    KeyboardInterrupt
        Ctrl-C or Stop; the call is as pending as before.
    """
    session = call.session
    job = current_job.get()
    inside = job is not None
    dispatcher = session.dispatcher if serve and (not inside or session.nests) else None
    if dispatcher is not None and not dispatcher.serves_waiters(nested=inside):
        dispatcher = None
    if job is not None:
        job.waits_on = call
    around = ends.get(get_ident()) if ends else None
    deadline = _earlier(deadline, around)
    inner = deadline if serve and call.holds else around
    if inner is not None and session.nests and dispatcher is not None:
        dispatcher = _Bounded(dispatcher, inner)
    reads = call.reads_socket
    call.waiting = True
    session.waiters.add(call)
    if dispatcher is not None:
        dispatcher.add_waiter(call)
    try:
        while True:
            if call.jobs:
                # Not in a function of its own: every frame counts where calls nest.
                try:
                    nested = call.jobs.popleft()
                except IndexError:
                    continue
                with within(inner) if inner is not None else NOTHING:
                    nested.run()
                del nested
            if dispatcher is not None and dispatcher.run_queued(nested=inside):
                call.served()
                if inside and not call.done and dispatcher.has_jobs():
                    continue  # there it runs one at a time
            if call.done:
                return
            if job is not None:
                job.check_cancelled()
            interrupts.check()
            if deadline is not None and time.monotonic() >= deadline:
                if deadline == around:
                    raise _over_around()
                raise CallTimeout("the result did not come in time")
            # With several waiting, the reactor reads for all: passing the role on costs more.
            alone = reads and len(session.waiters) == 1
            if alone and _may_read(session, deadline) and session.reading.acquire(False):
                if not _read(session, call, dispatcher):
                    # An interrupt strikes a sleep at once, but a read when its tick is over. After
                    # so long it does not matter that the reactor has to wake this thread.
                    reads = get_ident() != interrupts.main_thread
            else:
                if sys.is_finalizing():  # whoever read is frozen, perhaps with the reading lock
                    raise ConnectionLost(
                        f"the interpreter is ending, and an answer of {session.name} cannot come"
                    )
                session.ensure_read()
                _sleep(call, deadline, dispatcher)
    finally:
        if job is not None:
            job.waits_on = None
        call.waiting = False
        session.waiters.discard(call)
        if dispatcher is not None:
            dispatcher.remove_waiter(call)
        if call.wait_shown:
            call.end_wait()
        if call.jobs:
            session.redispatch(call)


class _Bounded:
    """A dispatcher whose jobs have to end with a wait; all else is the dispatcher's.

    An RPyC peer does not say inside which call of ours it asks something: what comes meanwhile is.
    """

    def __init__(self, dispatcher: Any, ends: float) -> None:
        self._dispatcher = dispatcher
        self._ends = ends

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)

    def run_queued(self, *, nested: bool) -> bool:
        """Run what is queued."""
        with within(self._ends):
            return bool(self._dispatcher.run_queued(nested=nested))


def _may_read(session: Session, deadline: float | None) -> bool:
    if session.closed or not session.transport.waitable:
        return False
    if deadline is not None and deadline - time.monotonic() < CLOSE_DEADLINE:
        return False
    return interrupts.guarded()


def _read(session: Session, call: Call, dispatcher: Any) -> bool:
    """Read the socket until there is something for this thread; has the reading lock.

    Returns
    -------
    bool
        False when a tick has passed without a byte.
    """
    try:
        receive = session.transport.wait_receive
        while True:
            data = receive(READ_SIZE)
            if data is None:
                return False  # look at deadlines and interrupts
            session.feed(data)
            if call.done or call.jobs or (dispatcher is not None and dispatcher.has_jobs()):
                return True
            if interrupts.held_back():
                return True  # progress, events and the like may come without end
    except NbrpcError as error:
        session.lose(error)
        return True
    finally:
        session.reading.release()
        if len(session.waiters) > 1:
            session.ensure_read()


@interrupts.open_to
def _sleep(call: Call, deadline: float | None, dispatcher: Any) -> None:
    """Sleep until somebody wakes the call."""
    lock = call.lock
    if lock is None:
        lock = allocate_lock()
        lock.acquire()
        call.lock = lock
    # Whoever resolved the call before the lock was there did not wake it.
    if call.done or call.jobs or (dispatcher is not None and dispatcher.has_jobs()):
        return
    remaining = LOCK_TICK
    if deadline is not None:
        remaining = max(0.0, min(remaining, deadline - time.monotonic()))
    lock.acquire(timeout=remaining)


@interrupts.open_to
def wait_to_send(session: Session) -> None:
    """Wait while much of what was sent has not left: the peer reads slowly, or does not.

    For what could be produced without end, such as the output of a cell. Ends with the link.
    """
    job = current_job.get()
    while session.outbox.full and not session.closed:
        if job is not None:
            job.check_cancelled()
        interrupts.check()
        session.outbox.wait(LOCK_TICK)


DEEP = 12
"""Nested jobs from which the room on the stack is looked at before a call."""

FRAMES_PER_CALL = 40
"""Python frames that must be free for a call within a deeply nested job to fail cleanly."""


def check_nesting(depth: int, limit: int) -> None:
    """Refuse a call for which the stack has no room, before anything is sent.

    Raises
    ------
    RecursionError
        Calls within calls are nested too deeply; the connection is untouched.
    """
    if depth > limit:
        raise RecursionError(f"remote calls are nested more than {limit} deep")
    if depth > DEEP:
        try:
            sys._getframe(sys.getrecursionlimit() - FRAMES_PER_CALL)
        except ValueError:
            return
        raise RecursionError(
            f"remote calls are nested {depth} deep, and the stack has no room for more; "
            "sys.setrecursionlimit gives it some"
        )


def lost(session: Session, *, maybe_executed: bool = False) -> ConnectionLost:
    """Give a fresh error for a dead session, chained to what ended it.

    Parameters
    ----------
    maybe_executed
        Whether a call was under way.
    """
    cause = session.lost_because
    text = str(cause) if cause else f"the connection to {session.name} is closed"
    if maybe_executed:
        text += "; the call may have run all the same"
    if session.revival is not None and session.revival.working:
        text += "; it is being connected to again"
    elif session.connecting:
        text += "; connect again"
    error = ConnectionLost(text)
    error.maybe_executed = maybe_executed
    error.__cause__ = cause
    return error
