"""The events of remote objects, which one subscribes to or iterates over.

How a subscription works is told in `events`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.protocol.messages import Operation
from nbrpc.session import awaiting
from nbrpc.session.events import MOST_QUEUED, POLICIES
from nbrpc.session.subscriptions import Subscription, enlist

if TYPE_CHECKING:
    from nbrpc.session.call import Call
    from nbrpc.session.session import Session
    from nbrpc.widgets import EventFeed, LivePlot

__all__ = ["RemoteEvent"]


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
        session = self._session()
        maxsize = 1 if policy == "latest" else maxsize
        subscription = Subscription(session, self._name, callback, maxsize, direct=direct)
        subscription.paid_by_taker = paid_by_taker
        subscription.owner = self._owner
        session.channels[subscription.channel] = subscription
        subscription.ask = lambda sub: self._ask(sub, policy, maxsize)
        try:
            subscription.accepted(session.finish(*subscription.ask(subscription)))
        except BaseException:  # also an interrupt, and it is raised again
            subscription.close()  # else it would come back with the link
            raise
        if not direct:
            awaiting.serve_here(session.dispatcher)
        enlist(subscription)
        return subscription

    def _session(self) -> Session:
        """Give the session to subscribe on; while the link is lost, wait for the next."""
        session: Session = self._owner._nbrpc_session_
        timeout = session.default_timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while session.closed and session.revival is not None:
            oid = self._owner._nbrpc_oid_
            session = session.revival.successor(session, self._open, oid, deadline)
        return session

    def _ask(
        self, subscription: Subscription, policy: str, maxsize: int
    ) -> tuple[Call, float | None]:
        """Ask for the events of a subscription; give the call and its deadline."""
        args = (subscription.channel, policy, maxsize, *self._more)
        oid = self._owner._nbrpc_oid_
        return subscription.session.begin(self._open, oid, self._name, args, revives=False)

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
