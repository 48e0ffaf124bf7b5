"""Events: declared on the producer, one way, bounded and in order; the consumer is `subscriptions`.

Theory of operation
-------------------
The consumer numbers a **channel** and subscribes; the producer then sends `Event` messages on it.
Each subscription has a queue on either side. The consumer gives as much credit as its queue has
room, and the producer sends only against credit; what it may not send waits in its own queue, under
the policy that the subscriber chose. So a slow consumer costs its own queue and nobody else's time.

policies
    ``drop_oldest``  a full queue loses its oldest event, and counts it;
    ``latest``       only the newest event waits;
    ``block``        ``emit`` waits, at most `BLOCK_TIME` in all, then that subscription ends;
    ``close``        a full queue ends that subscription.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from nbrpc.errors import (
    AccessDenied,
    ConnectionLost,
    LimitExceeded,
    NbrpcError,
    RemoteProtocolError,
)
from nbrpc.objects.boxing import Draft
from nbrpc.objects.exposure import is_event
from nbrpc.objects.operations import find_object
from nbrpc.objects.static import find
from nbrpc.protocol import messages
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session.answers import PLAIN, SESSION_OPERATIONS
from nbrpc.session.call import current_job

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["MOST_QUEUED", "POLICIES", "BoundEvent", "accept_subscriber", "event"]

log = logging.getLogger("nbrpc.session")

EVENT = int(Kind.EVENT)

POLICIES = ("drop_oldest", "latest", "block", "close")

BLOCK_TIME = 1.0
"""Seconds for which ``emit`` waits for its blocking subscribers, all together."""

MOST_QUEUED = 1_000_000
"""The largest ``maxsize``."""


class event:  # noqa: N801 - declared like a property
    """Declare an event on a service or any other class: ``changed = nbrpc.event()``.

    Read on an instance it is a `BoundEvent`, whose ``emit`` reaches all subscribers of that
    instance.

    Parameters
    ----------
    block
        Whether subscribers may choose the policy ``block``, which can hold up ``emit``.
    doc
        What the event means; shown to the other side.
    """

    __nbrpc_event__ = True

    def __init__(self, *, block: bool = True, doc: str | None = None) -> None:
        self.block = block
        self.__doc__ = doc
        self.name = ""
        self._bound: weakref.WeakKeyDictionary[Any, BoundEvent] = weakref.WeakKeyDictionary()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        # Looked up first: the usual case takes no lock.
        bound = self._bound.get(instance)
        if bound is None:
            with _binding:
                bound = self._bound.get(instance)
                if bound is None:
                    bound = self._bound[instance] = BoundEvent(self.name, block=self.block)
        return bound


_binding = threading.Lock()
_events: weakref.WeakSet[BoundEvent] = weakref.WeakSet()


def _after_fork() -> None:
    global _binding  # noqa: PLW0603 - another thread of the parent may have held it
    _binding = threading.Lock()
    for event in list(_events):
        event.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class BoundEvent:
    """An event of one object.

    Notes
    -----
    `emit` may be called from any thread.
    """

    def __init__(self, name: str, *, block: bool = True) -> None:
        self.name = name
        self.block = block
        self.subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()
        _events.add(self)

    def forked(self) -> None:
        """In a forked child: who subscribed did so with the parent."""
        self._lock = threading.Lock()
        self.subscribers = ()

    def __repr__(self) -> str:
        return f"<event {self.name} with {len(self.subscribers)} subscribers>"

    def emit(self, *args: Any) -> None:
        """Send an event to all subscribers; blocks for none but those with the policy ``block``.

        Raises
        ------
        NotSendable
            An argument cannot travel; nobody received the event.
        """
        deadline = None
        for subscriber in self.subscribers:
            if subscriber.policy == "block" and deadline is None:
                deadline = time.monotonic() + BLOCK_TIME
            subscriber.push(args, deadline)

    def add(self, subscriber: Subscriber) -> None:
        """Send to one more."""
        with self._lock:
            self.subscribers = (*self.subscribers, subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Send to one less."""
        with self._lock:
            self.subscribers = tuple(s for s in self.subscribers if s is not subscriber)


class Subscriber:
    """The producer's end of a subscription."""

    def __init__(
        self, session: Session, source: BoundEvent, channel: int, policy: str, maxsize: int
    ) -> None:
        self.session = session
        self.source = source
        self.channel = channel
        self.policy = policy
        self.maxsize = maxsize
        self.credit = 1 if policy == "latest" else maxsize
        self.queue: deque[tuple[Any, ...]] = deque()
        self.dropped = 0
        self.ended = False
        # Reentrant: a send that finds the link dead ends all subscriptions, this one too.
        self._lock = threading.RLock()
        self._room: threading.Condition | None = None

    def push(self, args: tuple[Any, ...], deadline: float | None) -> None:
        """Send an event, or queue it as the policy says."""
        with self._lock:
            if self.ended:
                return
            if self.credit > 0 and not self.queue:
                self._send(args)
                return
            if self.policy == "latest":
                self.dropped += len(self.queue)
                self.queue.clear()
            elif len(self.queue) >= self.maxsize:
                if self.policy == "drop_oldest":
                    self.queue.popleft()
                    self.dropped += 1
                elif self.policy == "close":
                    self.give_up(f"more than {self.maxsize} events waited")
                    return
                elif not self._wait_for_room(deadline):
                    return
            if self.credit > 0 and not self.queue:
                self._send(args)
            else:
                self.queue.append(args)

    def _wait_for_room(self, deadline: float | None) -> bool:
        """Wait until the queue has room; False when the subscription has ended."""
        if self._room is None:
            self._room = threading.Condition(self._lock)
        while len(self.queue) >= self.maxsize and not self.ended:
            remaining = (deadline or 0.0) - time.monotonic()
            if remaining <= 0:
                self.give_up("the subscriber held up the producer for too long")
                return False
            self._room.wait(remaining)
        return not self.ended

    def give_up(self, why: str) -> None:
        """End this subscription, and say so."""
        self.ended = True
        self.dropped += len(self.queue)
        self.queue.clear()
        self.session.subscribers.pop(self.channel, None)
        self.source.remove(self)
        record = messages.Error(
            type_name="nbrpc.errors.LimitExceeded",
            args=[],
            text="",
            message=f"the subscription ended: {why}",
        )
        try:
            self.session.send(Kind.EVENT, (self.channel, [], self.dropped, record), ordered=True)
        except NbrpcError:
            log.debug("the end of a subscription could not be told", exc_info=True)

    def _send(self, args: tuple[Any, ...]) -> None:
        """Send one event; needs the lock, which keeps the order."""
        session = self.session
        socket = session.socket
        if socket is not None and current_job.get() is None and PLAIN.issuperset(map(type, args)):
            # From a thread of the producer's own: at once, and the short way.
            try:
                body = encode((self.channel, args, self.dropped))
            except (OverflowError, UnicodeEncodeError):
                body = b""
            if body and session.send_quickly(socket, HEADER.pack(len(body), EVENT, 0, 0) + body):
                self.credit -= 1
                session.events_sent += 1
                return
        boxing = session.boxing
        draft = None
        boxed: Any = args
        if not boxing.box_plain(args):
            draft = Draft(boxing)
            try:
                boxed = [boxing.box(arg, draft) for arg in args]
            except BaseException:
                draft.undo()
                raise
        try:
            session.send(
                Kind.EVENT, (self.channel, boxed, self.dropped), draft, lazy=True, ordered=True
            )
            self.credit -= 1
            session.events_sent += 1
        except ConnectionLost:
            self.ended = True

    def add_credit(self, amount: int) -> None:
        """The consumer has room again; from the thread that reads."""
        with self._lock:
            self.credit += amount
            while self.queue and self.credit > 0 and not self.ended:
                try:
                    self._send(self.queue.popleft())
                except Exception:
                    self.dropped += 1
                    log.warning("an event that waited could not be sent", exc_info=True)
            if self._room is not None:
                self._room.notify_all()

    def end(self, _error: BaseException | None = None) -> None:
        """The link is lost, or the consumer unsubscribed."""
        self.ended = True
        self.source.remove(self)
        with self._lock:
            self.dropped += len(self.queue)
            self.queue.clear()
            if self._room is not None:
                self._room.notify_all()


def _subscribe(session: Session, job: RequestJob) -> None:
    """Carry out a subscription of the peer."""
    request = job.request
    target = find_object(session, request)
    *parts, name = request.name.split(".")
    for part in parts:
        target = session.policy.read(target, part)
    if name.startswith("_") or not is_event(find(type(target), name)):
        raise AccessDenied(f"{type(target).__name__} has no event {name!r}")
    accept_subscriber(session, request, getattr(target, name))


def accept_subscriber(session: Session, request: messages.Request, source: BoundEvent) -> None:
    """Add the subscriber that a request describes."""
    try:
        channel, policy, maxsize = request.args
    except ValueError:
        raise RemoteProtocolError("a subscription is malformed") from None
    if (
        type(channel) is not int
        or channel in session.subscribers
        or type(maxsize) is not int
        or not 0 < maxsize <= MOST_QUEUED
        or policy not in POLICIES
    ):
        raise RemoteProtocolError("a subscription is malformed")
    if policy == "block" and not source.block:
        raise ValueError(
            f"the event {source.name} refuses the policy 'block'; use drop_oldest or latest"
        )
    if len(session.subscribers) >= session.limits.requests:
        raise LimitExceeded("the peer has too many subscriptions")
    subscriber = Subscriber(session, source, channel, str(policy), maxsize)
    session.subscribers[channel] = subscriber
    source.add(subscriber)
    if session.closed:
        subscriber.end()


def _unsubscribe(session: Session, job: RequestJob) -> None:
    """Carry out the end of a subscription."""
    channel = job.request.args[0] if job.request.args else None
    subscriber = session.subscribers.pop(channel, None) if type(channel) is int else None
    if subscriber is not None:
        subscriber.end()


SESSION_OPERATIONS[Operation.SUBSCRIBE] = _subscribe
SESSION_OPERATIONS[Operation.UNSUBSCRIBE] = _unsubscribe
