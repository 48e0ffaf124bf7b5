"""The consuming side of events: what ``subscribe`` gives, and the events of remote objects.

How a subscription works is told in `events`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context, copy_context
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

from nbrpc.errors import LimitExceeded, NbrpcError, RemoteProtocolError
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session import interrupts
from nbrpc.session.call import current_job
from nbrpc.session.events import MOST_QUEUED, POLICIES, most_in_flight

if TYPE_CHECKING:
    from nbrpc.session.session import Session
    from nbrpc.widgets import EventFeed, LivePlot

__all__ = ["RemoteEvent", "Subscription", "live"]

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
        self.ask: Callable[[Subscription], None] | None = None
        """Asks the peer for the events, on the session that the subscription has."""
        self._direct = direct
        self.context = context or copy_context()
        """That of the code that subscribed, in which the callback runs."""
        self.context.run(current_job.set, None)  # callbacks run for no request of a peer
        self._remote_dropped = 0
        self._local_dropped = 0
        self._inbox: deque[messages.Event] = deque()
        self._scheduled = False
        self._most = most_in_flight(session)
        self._sizes: deque[int] = deque()
        """The bytes of each event that is here and not done with."""
        self._arrived = 0
        self._done = 0
        """Bytes that have arrived, and those of them that are done with."""
        self._owed = 0
        self._paid = 0
        """Events to give credit for, and the bytes for which it has been given."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<subscription to {self.name} ({state}): {self.received} received, "
            f"{self.dropped} dropped, {self.errors} errors>"
        )

    @property
    def dropped(self) -> int:
        """Events dropped on either side."""
        return self._remote_dropped + self._local_dropped

    @property
    def queued(self) -> int:
        """Events that have arrived and wait for their callback."""
        return len(self._inbox)

    def close(self) -> None:
        """Receive no more; what is queued is dropped. Closing twice does nothing."""
        session = self.session
        if session.channels.pop(self.channel, None) is None:
            return
        self._end(None)
        if not session.closed:
            # One way: nobody needs to wait for the confirmation.
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
        """The link is lost."""
        self._end(error)

    def resume(self, session: Session) -> None:
        """Go on with the session that takes the place of a lost one; see `Revival`.

        Raises
        ------
        NbrpcError
            The peer does not give these events any more.
        """
        self._drop_queued()
        self._local_dropped += self._remote_dropped
        self._remote_dropped = self._owed = 0
        self._most = most_in_flight(session)
        self._sizes.clear()
        self._arrived = self._done = self._paid = 0
        self.session = session
        self.channel = session.next_seq()
        session.channels[self.channel] = self
        assert self.ask is not None  # whoever subscribed has set it
        self.ask(self)

    def _end(self, error: BaseException | None) -> None:
        if self.closed:
            return
        self.exception = error
        self.closed = True
        _live.pop(self, None)
        self._drop_queued()
        if self.on_end is not None:
            try:
                self.on_end(self)
            except Exception:  # a hook of whoever subscribed; the others must be told too
                log.exception("the end of the subscription to %s could not be told", self.name)

    def _drop_queued(self) -> None:
        """Count what nobody will receive any more."""
        while self._inbox:
            try:
                message = self._inbox.popleft()
            except IndexError:
                return
            self._local_dropped += 1
            for item in message.args:
                self.session.boxing.discard(item)

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

    def receive(self, message: messages.Event) -> None:
        """Take an event; from the thread that reads."""
        self._remote_dropped = message.dropped
        if message.ended is not None:
            self.session.channels.pop(self.channel, None)
            self._end(LimitExceeded(message.ended.message))
            return
        if len(self._sizes) > 2 * self.maxsize or self._arrived - self._done > 2 * self._most:
            raise RemoteProtocolError("the peer sends more events than it was asked for")
        self._sizes.append(message.size)
        self._arrived += message.size
        if self._direct:
            self._run_one(message)
            return
        self._inbox.append(message)
        with self._lock:
            if self._scheduled:
                return
            self._scheduled = True
        self.session.dispatcher.submit(self)

    @interrupts.runs_user_code
    def run(self) -> None:
        """Run the callbacks of what has arrived, for one turn; a job."""
        inbox = self._inbox
        ends = time.perf_counter() + TURN
        try:
            while inbox and not self.closed:
                self._run_one(inbox.popleft())
                if time.perf_counter() >= ends:
                    break
        finally:
            if self._owed and not self.closed:
                self._pay()
            if self.closed:
                self._drop_queued()
            with self._lock:
                again = bool(inbox)
                self._scheduled = again
            if again:
                self.session.dispatcher.submit(self)

    @interrupts.runs_user_code
    def _run_one(self, message: messages.Event) -> None:
        args = message.args
        try:
            args = self.session.boxing.unbox_all(args, message.buffers)
            self.context.run(self.callback, *args)
        except Exception as error:  # user code: shown or logged, and the next event follows
            self._failed(error)
        finally:
            self.received += 1
            if not self.paid_by_taker:
                self.taken()

    def taken(self) -> None:
        """One event is done with: the producer gets credit for it, now or with some more."""
        try:
            self._done += self._sizes.popleft()
        except IndexError:
            return  # it came before the connection was lost and brought back
        self._owed += 1
        if self._owed * 2 >= self.maxsize or (self._done - self._paid) * 2 >= self._most:
            self._pay()

    def _pay(self) -> None:
        """Give the producer credit for what has been run."""
        owed, self._owed = self._owed, 0
        self._paid = self._done
        self.session.send_quietly(Kind.CREDIT, ("e", self.channel, owed))

    def _failed(self, error: BaseException) -> None:
        self.errors += 1
        self.last_error = error
        if self.on_error is not None:
            self.context.run(self.on_error, error, self)
        elif self.errors == 1:
            log.error("a callback of the event %s failed", self.name, exc_info=error)


class RemoteEvent:
    """An event of a remote object: subscribe to it, or iterate over it."""

    __slots__ = ("_name", "_open", "_owner")

    def __init__(self, owner: Any, name: str, op: Operation = Operation.SUBSCRIBE) -> None:
        self._owner = owner
        self._name = name
        self._open = op

    def __repr__(self) -> str:
        return f"<remote event {self._name}>"

    @property
    def name(self) -> str:
        """The name under which it is declared."""
        return self._name

    def subscribe(
        self,
        callback: Callable[..., Any],
        policy: str = "drop_oldest",
        maxsize: int = 1000,
        *,
        direct: bool = False,
        paid_by_taker: bool = False,
    ) -> Subscription:
        """Call ``callback(*args)`` for every event from now on.

        Parameters
        ----------
        policy
            What a full queue does: drop_oldest, latest, block or close.
        maxsize
            Events that may wait on either side.
        direct
            Run the callback on the thread that reads: it must be tiny and must not block.
        paid_by_taker
            The callback only queues; who takes from that queue calls ``subscription.taken()``.

        Raises
        ------
        TypeError
            The callback cannot be called.
        ValueError
            The policy is unknown or refused, or ``maxsize`` is not above 0.
        """
        if policy not in POLICIES:
            raise ValueError(f"policy is one of {', '.join(POLICIES)}, not {policy!r}")
        if not callable(callback):
            raise TypeError(
                f"subscribe needs a function that takes the event, not {type(callback).__name__}"
            )
        if type(maxsize) is not int or not 0 < maxsize <= MOST_QUEUED:
            raise ValueError(f"maxsize is 1 to {MOST_QUEUED:,}, not {maxsize!r}")
        session: Session = self._owner._nbrpc_session_
        maxsize = 1 if policy == "latest" else maxsize
        subscription = Subscription(session, self._name, callback, maxsize, direct=direct)
        subscription.paid_by_taker = paid_by_taker
        subscription.owner = self._owner
        session.channels[subscription.channel] = subscription
        subscription.ask = lambda sub: self._ask(sub, policy, maxsize)
        try:
            subscription.ask(subscription)
        except BaseException:  # also an interrupt, and it is raised again
            session.channels.pop(subscription.channel, None)
            raise
        for old in live():
            if subscription.replaces(old):
                old.close()
        _live[subscription] = None
        if subscription.closed:  # meanwhile
            _live.pop(subscription, None)
        return subscription

    def _ask(self, subscription: Subscription, policy: str, maxsize: int) -> None:
        """Ask for the events of a subscription."""
        args = (subscription.channel, policy, maxsize, *self._more)
        subscription.session.request(self._open, self._owner._nbrpc_oid_, self._name, args)

    @property
    def _more(self) -> tuple[Any, ...]:
        """What else the peer is told."""
        return ()

    def stream(self, policy: str = "drop_oldest", maxsize: int = 1000) -> Iterator[Any]:
        """Iterate over events, waiting for each: its one argument, or a tuple of several.

        The subscription begins with this call and ends with the iteration.
        """
        from nbrpc.session.event_streams import EventStream

        return EventStream(self, policy, maxsize)

    def feed(self) -> EventFeed:
        """Show the latest events as a list that is kept up to date; in a notebook."""
        from nbrpc.widgets import EventFeed

        return EventFeed(self)

    def plot(self, **options: Any) -> LivePlot:
        """Show the values as a chart that moves; in a notebook.

        Parameters
        ----------
        **options
            Those of `nbrpc.widgets.LivePlot`: ``x``, ``y`` and ``window``.
        """
        from nbrpc.widgets import LivePlot

        return LivePlot(self, **options)

    def __iter__(self) -> Iterator[Any]:
        return self.stream()

    def __aiter__(self) -> AsyncIterator[Any]:
        from nbrpc.session.event_streams import stream_async

        return stream_async(self)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two callbacks are the same, without asking them: they may be remote."""
    return one is other or (type(one) is type(other) is MethodType and one == other)


_live: dict[Subscription, None] = {}


def live() -> list[Subscription]:
    """Give all subscriptions of this process that have not ended, the oldest first."""
    return list(_live)


current_run: Callable[[], tuple[object, object] | None] | None = None
"""Names the notebook cell that runs and this run of it; set by the notebook layer."""

error_shower: Callable[[], Callable[[BaseException, Subscription], None]] | None = None
"""Makes what takes the errors of a new subscription; set by the notebook layer."""
