"""The consuming side of events: what ``subscribe`` gives.

How a subscription works is told in `events`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

from nbrpc.errors import LimitExceeded, NbrpcError, RemoteProtocolError
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session import interrupts
from nbrpc.session.call import Call, current_job
from nbrpc.session.events import most_in_flight

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["Subscription", "enlist", "live"]

log = logging.getLogger("nbrpc.session")

TURN = 0.002
"""Seconds for which one subscription runs its callbacks before others get their turn."""


class Subscription:
    """The consumer's end: what ``subscribe`` gives.

    Attributes
    ----------
    received : int
        Callbacks run.
    dropped : int
        Events dropped on either side.
    errors : int
        Callbacks that raised.
    closed : bool
        Whether it has ended.
    exception : Exception or None
        Why, unless it was closed here.
    on_error : callable or None
        Takes the first error and its subscription; a notebook shows it in the cell.

    Notes
    -----
    Events run one at a time and in order, where requests of this connection run, each in the
    context of the code that subscribed.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        callback: Callable[..., Any],
        maxsize: int,
        *,
        direct: bool = False,
        context: Context | None = None,
    ) -> None:
        self.session = session
        self.name = name
        self.callback = callback
        self.maxsize = maxsize
        self.received = 0
        self.errors = 0
        self.closed = False
        self.exception: BaseException | None = None
        self.last_error: BaseException | None = None
        self.on_error: Callable[[BaseException, Subscription], None] | None = (
            None if error_shower is None else error_shower()
        )
        self.on_end: Callable[[Subscription], Any] | None = None
        self.owner: Any = None
        """The proxy of the object that has the event, which lives as long as this does."""
        self.origin = None if current_run is None else current_run()
        """The notebook cell that subscribed, and which run of it; None outside notebooks."""
        self.paid_by_taker = False
        """Whether the callback only queues: who takes from that queue calls `taken`."""
        self.channel = session.next_seq()
        self.ask: Callable[[Subscription], tuple[Call, float | None]] | None = None
        """Asks the peer for the events, on the session that the subscription has."""
        self._direct = direct
        self.context = context or copy_context()
        """That of the code that subscribed, in which the callback runs."""
        self.context.run(current_job.set, None)  # callbacks run for no request of a peer
        self._remote_dropped = 0
        self._local_dropped = 0
        self._missed = 0
        """What came to nothing on the links before this one."""
        self._origin: tuple[object, int] | None = None
        """Which event of the peer this is, and its number of the first one that counts here."""
        self._arrivals = 0
        self._arrivals_before = 0
        """Events that have arrived, and those of them that came before this link."""
        self._inbox: deque[tuple[Session, messages.Event]] = deque()
        self._scheduled = False
        self._most = most_in_flight(session)
        self._sizes: deque[int] = deque()
        """The bytes of each event that is here and not done with; below 0, those of earlier links,
        for which no credit is given."""
        self._arrived = 0
        self._done = 0
        """Bytes that have arrived, and those of them that are done with."""
        self._earlier = 0
        self._earlier_bytes = 0
        """Events of earlier links among `_sizes`, and their bytes."""
        self._owed = 0
        self._paid = 0
        """Events to give credit for, and the bytes for which it has been given."""
        self._lock = threading.Lock()
        """Guards the session and all figures: links end and come back on other threads."""

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<subscription to {self.name} ({state}): {self.received} received, "
            f"{self.dropped} dropped, {self.errors} errors>"
        )

    @property
    def dropped(self) -> int:
        """Events dropped on either side."""
        return self._missed + self._remote_dropped + self._local_dropped

    @property
    def queued(self) -> int:
        """Events that have arrived and wait for their callback."""
        return len(self._inbox)

    def close(self) -> None:
        """Receive no more; what is queued is dropped. Closing twice does nothing."""
        if self._end(None):
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        """Tell the producer, if the link is there; nobody needs to wait for the confirmation."""
        session = self.session
        if session.closed:
            return
        call = session.quiet_call()
        try:
            session.send_request(call, Operation.UNSUBSCRIBE, 0, "", (self.channel,))
        except NbrpcError:
            log.debug("the link ended while a subscription was closed", exc_info=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end(self, error: BaseException) -> None:
        """The link is lost, or the peer gives these events no more."""
        self._end(error)

    def resume(self, session: Session) -> Call | None:
        """Ask for the events on the session that takes the place of a lost one; see `Revival`.

        What has arrived before still gets its callback; no credit is given for it.

        Returns
        -------
        Call or None
            Its answer is for `accepted`; None when the subscription was closed meanwhile.

        Raises
        ------
        NbrpcError
            It could not be asked.
        """
        with self._lock:
            if self.closed:
                return None
            self._missed += self._remote_dropped
            self._remote_dropped = self._owed = 0
            self._arrivals_before = self._arrivals
            self._sizes = deque(-abs(size) for size in self._sizes)
            self._earlier = len(self._sizes)
            self._earlier_bytes = -sum(self._sizes)
            self._arrived = self._done = self._paid = 0
            self._most = most_in_flight(session)
            self.session = session
            self.channel = session.next_seq()
            session.channels[self.channel] = self
        assert self.ask is not None  # whoever subscribed has set it
        return self.ask(self)[0]

    def accepted(self, told: Any) -> None:
        """The producer sends from now on.

        Parameters
        ----------
        told
            What tells the event from others, and how many were emitted before; an older producer
            says nothing.
        """
        if type(told) is tuple and [type(part) for part in told] == [bytes, int, int]:
            *mark, emitted = told
            with self._lock:
                before = emitted - self._arrivals_before
                if self._origin is not None and self._origin[0] == mark:
                    self._missed = max(self._missed, before - self._origin[1])
                else:  # also when the producer was started anew: its numbers begin again
                    self._origin = mark, before - self._missed
        if self.closed:  # meanwhile, perhaps before the producer knew it
            self._unsubscribe()

    def _end(self, error: BaseException | None) -> bool:
        """End, once; False if it has ended already."""
        with self._lock:
            if self.closed:
                return False
            self.exception = error
            self.closed = True
            self.session.channels.pop(self.channel, None)
        _live.pop(self, None)
        self._drop_queued()
        if self.on_end is not None:
            try:
                self.on_end(self)
            except Exception:  # a hook of whoever subscribed; the others must be told too
                log.exception("the end of the subscription to %s could not be told", self.name)
        return True

    def _drop_queued(self) -> None:
        """Count what nobody will receive any more."""
        with self._lock:
            dropped, self._inbox = self._inbox, deque()
            self._local_dropped += len(dropped)
        for session, message in dropped:
            _discard(session, message)

    def replaces(self, old: Subscription) -> bool:
        """Whether an older subscription ends with this one, since the same cell made it.

        A cell that runs again replaces what its earlier run subscribed to the same event, and
        within one run the same callback replaces itself.
        """
        mine, its = self.origin, old.origin
        if mine is None or its is None or mine[0] != its[0] or old.name != self.name:
            return False
        if old.session is self.session:
            same_object = old.owner._nbrpc_oid_ == self.owner._nbrpc_oid_
        else:  # the cell has connected anew, and the objects can only be told by what they are
            same_object = old.session.name == self.session.name and (
                type(old.owner).__name__ == type(self.owner).__name__
            )
        return same_object and (mine[1] != its[1] or _is_same(old.callback, self.callback))

    def receive(self, session: Session, message: messages.Event) -> None:
        """Take an event; from the thread that reads."""
        begins = False
        with self._lock:
            # A link that is being lost may still give some when the next has taken its place.
            taken = session is self.session and not self.closed
            if taken:
                self._remote_dropped = message.dropped
                if message.ended is None:
                    taken = self._note(session, message)
                    begins = taken and not self._direct and not self._scheduled
                    self._scheduled = self._scheduled or begins
        if not taken:
            _discard(session, message)
        elif message.ended is not None:
            self._end(LimitExceeded(message.ended.message))
        elif self._direct:
            self._run_one(session, message)
        elif begins:
            session.dispatcher.submit(self)

    def _note(self, session: Session, message: messages.Event) -> bool:
        """Note an event that has come; False if it is dropped. Needs the lock."""
        waiting = len(self._sizes) - self._earlier
        if waiting > 2 * self.maxsize or self._arrived - self._done > 2 * self._most:
            raise RemoteProtocolError("the peer sends more events than it was asked for")
        self._arrivals += 1
        inbox = self._inbox
        while self._is_crowded() and inbox and inbox[0][0] is not session:
            inbox.popleft()
            self._local_dropped += 1
            self._forget_oldest()
        if self._direct and self._is_crowded():
            self._local_dropped += 1
            self._owed += 1
            return False
        self._sizes.append(message.size)
        self._arrived += message.size
        if not self._direct:
            inbox.append((session, message))
        return True

    def _is_crowded(self) -> bool:
        """Whether events of earlier links take the room of this one's."""
        size = self._earlier_bytes + self._arrived - self._done
        return self._earlier > 0 and (
            len(self._sizes) >= 2 * self.maxsize or size >= 2 * self._most
        )

    @interrupts.runs_user_code
    def run(self) -> None:
        """Run the callbacks of what has arrived, for one turn; a job."""
        ends = time.perf_counter() + TURN
        try:
            while True:
                with self._lock:
                    if self.closed or not self._inbox:
                        break
                    session, message = self._inbox.popleft()
                self._run_one(session, message)
                if time.perf_counter() >= ends:
                    break
        finally:
            if not self.closed:
                self._pay()
            with self._lock:
                again = self._scheduled = bool(self._inbox)
            if again:
                self.session.dispatcher.submit(self)

    @interrupts.runs_user_code
    def _run_one(self, session: Session, message: messages.Event) -> None:
        args = message.args
        try:
            args = session.boxing.unbox_all(args, message.buffers)
            self.context.run(self.callback, *args)
        except Exception as error:  # user code: shown or logged, and the next event follows
            self._failed(error)
        finally:
            self.received += 1
            if not self.paid_by_taker:
                self.taken()

    def taken(self) -> None:
        """One event is done with: the producer gets credit for it, now or with some more."""
        with self._lock:
            if not self._sizes:
                return
            self._forget_oldest()
            pays = self._owed * 2 >= self.maxsize or (self._done - self._paid) * 2 >= self._most
        if pays:
            self._pay()

    def _forget_oldest(self) -> None:
        """Note that the oldest event is done with; needs the lock."""
        size = self._sizes.popleft()
        if size < 0:
            self._earlier -= 1
            self._earlier_bytes += size
        else:
            self._done += size
            self._owed += 1

    def _pay(self) -> None:
        """Give the producer credit for what has been run."""
        with self._lock:
            session, channel = self.session, self.channel
            owed, self._owed = self._owed, 0
            self._paid = self._done
        if owed:
            session.send_quietly(Kind.CREDIT, ("e", channel, owed))

    def _failed(self, error: BaseException) -> None:
        self.errors += 1
        self.last_error = error
        if self.on_error is not None:
            self.context.run(self.on_error, error, self)
        elif self.errors == 1:
            log.error("a callback of the event %s failed", self.name, exc_info=error)


def _discard(session: Session, message: messages.Event) -> None:
    """Give back what an event that nobody receives would have handed over."""
    for item in message.args:
        session.boxing.discard(item, message.buffers)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two callbacks are the same, without asking them: they may be remote."""
    return one is other or (type(one) is type(other) is MethodType and one == other)


_live: dict[Subscription, None] = {}


def live() -> list[Subscription]:
    """Give all subscriptions of this process that have not ended, the oldest first."""
    return list(_live)


def enlist(subscription: Subscription) -> None:
    """Count a new subscription among the live ones, and end those that it replaces."""
    for old in live():
        if subscription.replaces(old):
            old.close()
    _live[subscription] = None
    if subscription.closed:  # meanwhile
        _live.pop(subscription, None)


current_run: Callable[[], tuple[object, object] | None] | None = None
"""Names the notebook cell that runs and this run of it; set by the notebook layer."""

error_shower: Callable[[], Callable[[BaseException, Subscription], None]] | None = None
"""Makes what takes the errors of a new subscription; set by the notebook layer."""
