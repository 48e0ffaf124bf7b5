"""Events: declared on the producer, one way, bounded and in order; the consumer is `subscriptions`.

Theory of operation
-------------------
The consumer numbers a **channel** and subscribes; the producer then sends `Event` messages on it.
Each subscription has a queue on either side. The consumer gives as much credit as its queue has
room, and the producer sends only against credit; what it may not send waits in its own queue, under
the policy that the subscriber chose. So a slow consumer costs its own queue and nobody else's time.

Both queues are bounded in bytes as well (``Limits.events``). The consumer gives credit in order, so
the producer knows how many bytes are **in flight**: sent, and not done with over there. With half
of the bound in flight it sends no more, and the other half may wait here; a single event may be
larger. Nothing of this depends on whether the consumer reads its socket.

A producer counts what it emits, and tells the number to each subscriber. One that comes back after
its link was lost learns from the two numbers what it has missed: what was on its way, what waited
here, and what was emitted meanwhile. All of that counts as dropped.

policies
    ``drop_oldest``  a full queue loses its oldest event, and counts it;
    ``latest``       only the newest event waits;
    ``block``        ``emit`` waits, at most `BLOCK_TIME` in all, then that subscription ends;
    ``close``        a full queue ends that subscription.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

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

__all__ = ["MOST_QUEUED", "POLICIES", "BoundEvent", "accept_subscriber", "event", "most_in_flight"]

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
_process = secrets.token_bytes(8)
_marks = itertools.count(1)


def _after_fork() -> None:
    global _binding, _process  # noqa: PLW0603 - a thread of the parent may have held the lock
    _binding = threading.Lock()
    _process = secrets.token_bytes(8)
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
        self.mark = (_process, next(_marks))
        """Tells this event from all others, also of processes that took this one's place."""
        self._emitted = 0
        # Reentrant: a finalizer or a signal handler may emit while `emit` holds it.
        self._lock = threading.RLock()
        _events.add(self)

    def forked(self) -> None:
        """In a forked child: who subscribed did so with the parent."""
        self._lock = threading.RLock()
        self.mark = (_process, next(_marks))
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
        with self._lock:  # who subscribes meanwhile gets this event, or is told its number
            self._emitted += 1
            subscribers = self.subscribers
        deadline = None
        try:
            for subscriber in subscribers:
                if subscriber.policy == "block" and deadline is None:
                    deadline = time.monotonic() + BLOCK_TIME
                subscriber.push(args, deadline)
        except Exception:
            with self._lock:
                self._emitted -= 1
            raise

    def add(self, subscriber: Subscriber) -> int:
        """Send to one more; give how many events were emitted before."""
        with self._lock:
            self.subscribers = (*self.subscribers, subscriber)
            return self._emitted

    def remove(self, subscriber: Subscriber) -> None:
        """Send to one less."""
        with self._lock:
            self.subscribers = tuple(s for s in self.subscribers if s is not subscriber)


def most_in_flight(session: Session) -> int:
    """Give the bytes that a subscription may have in flight, which both sides know."""
    own = session.limits.events
    return max(1, min(own, session.protocol.peer_limits.get("events", own)) // 2)


class Waiting(NamedTuple):
    """An event that may not be sent yet."""

    boxed: Any
    draft: Draft | None
    size: int


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
        self.queue: deque[Waiting] = deque()
        self.dropped = 0
        self.ended = False
        self._most = most_in_flight(session)
        self._queued = 0
        """Bytes in the queue."""
        self._sizes: deque[int] = deque()
        """The bytes of each event in flight."""
        self._in_flight = 0
        # Reentrant: a send that finds the link dead ends all subscriptions, this one too.
        self._lock = threading.RLock()
        self._room: threading.Condition | None = None

    def push(self, args: tuple[Any, ...], deadline: float | None) -> None:
        """Send an event, or queue it as the policy says."""
        with self._lock:
            if self.ended:
                return
            if not self.queue and self._may_send():
                self._send(args)
                return
            event = self._waiting(args)
            if not self._make_room(event.size, deadline):
                self._take_back(event)
            elif not self.queue and self._may_send():
                self._send_boxed(event.boxed, event.draft)
            else:
                self.queue.append(event)
                self._queued += event.size

    def _may_send(self) -> bool:
        return self.credit > 0 and self._in_flight < self._most

    def _is_full(self, size: int) -> bool:
        """Whether an event of so many bytes is one too many for the queue."""
        return bool(self.queue) and (
            len(self.queue) >= self.maxsize or self._queued + size > self._most
        )

    def _make_room(self, size: int, deadline: float | None) -> bool:
        """Do what the policy says when the queue is full; False when the subscription has ended."""
        if self.policy == "latest":
            while self.queue:
                self._drop()
        elif self.policy == "drop_oldest":
            while self._is_full(size):
                self._drop()
        elif self._is_full(size):
            if self.policy == "block":
                return self._wait_for_room(size, deadline)
            what = f"{self.maxsize} events"
            if len(self.queue) < self.maxsize:
                what = f"{self._most:,} bytes of events"
            self.give_up(f"more than {what} waited")
            return False
        return True

    def _drop(self) -> None:
        """Lose the oldest event that waits."""
        self.dropped += 1
        self._take_back(self._next())

    def _next(self) -> Waiting:
        event = self.queue.popleft()
        self._queued -= event.size
        return event

    @staticmethod
    def _take_back(event: Waiting) -> None:
        """Give up what an event would have handed over."""
        if event.draft is not None:
            event.draft.undo()

    def _wait_for_room(self, size: int, deadline: float | None) -> bool:
        """Wait until the queue has room; False when the subscription has ended."""
        if self._room is None:
            self._room = threading.Condition(self._lock)
        while self._is_full(size) and not self.ended:
            remaining = (deadline or 0.0) - time.monotonic()
            if remaining <= 0:
                self.give_up("the subscriber held up the producer for too long")
                return False
            self._room.wait(remaining)
        return not self.ended

    def give_up(self, why: str) -> None:
        """End this subscription, and say so."""
        self.ended = True
        while self.queue:
            self._drop()
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
                self._sent(len(body))
                return
        self._send_boxed(*self._boxed(args))

    def _boxed(self, args: tuple[Any, ...]) -> tuple[Any, Draft | None]:
        """Box the arguments of an event."""
        boxing = self.session.boxing
        if boxing.box_plain(args):
            return args, None
        draft = boxing.draft(back=True)
        try:
            return [boxing.box(arg, draft) for arg in args], draft
        except BaseException:  # and it is raised again
            draft.undo()
            raise

    def _waiting(self, args: tuple[Any, ...]) -> Waiting:
        """Box an event that has to wait, and measure it."""
        boxed, draft = self._boxed(args)
        size = len(encode(boxed))
        if draft is not None:
            size += sum(buffer.nbytes for buffer in draft.buffers)
        return Waiting(boxed, draft, size)

    def _send_boxed(self, boxed: Any, draft: Draft | None) -> None:
        """Send one event the long way; needs the lock."""
        try:
            size = self.session.send(
                Kind.EVENT, (self.channel, boxed, self.dropped), draft, lazy=True, ordered=True
            )
        except ConnectionLost:
            self.ended = True
        else:
            self._sent(size)

    def _sent(self, size: int) -> None:
        self.credit -= 1
        self._sizes.append(size)
        self._in_flight += size
        self.session.events_sent += 1

    def add_credit(self, amount: int) -> None:
        """The consumer has room again; from the thread that reads."""
        with self._lock:
            self.credit += amount
            sizes = self._sizes
            for _ in range(min(amount, len(sizes))):
                self._in_flight -= sizes.popleft()
            while self.queue and self._may_send() and not self.ended:
                event = self._next()
                try:
                    self._send_boxed(event.boxed, event.draft)
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
            while self.queue:
                self._drop()
            if self._room is not None:
                self._room.notify_all()


def _subscribe(session: Session, job: RequestJob) -> tuple[bytes, int, int]:
    """Carry out a subscription of the peer."""
    request = job.request
    target = find_object(session, request)
    *parts, name = request.name.split(".")
    for part in parts:
        target = session.policy.read(target, part)
    if name.startswith("_") or not is_event(find(type(target), name)):
        raise AccessDenied(f"{type(target).__name__} has no event {name!r}")
    return accept_subscriber(session, request, getattr(target, name))


def accept_subscriber(
    session: Session, request: messages.Request, source: BoundEvent
) -> tuple[bytes, int, int]:
    """Add the subscriber that a request describes.

    Returns
    -------
    tuple
        The mark of the event, and how many were emitted before: what a subscriber that comes back
        has missed meanwhile.
    """
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
    emitted = source.add(subscriber)
    if session.closed:
        subscriber.end()
    return (*source.mark, emitted)


def _unsubscribe(session: Session, job: RequestJob) -> None:
    """Carry out the end of a subscription."""
    channel = job.request.args[0] if job.request.args else None
    subscriber = session.subscribers.pop(channel, None) if type(channel) is int else None
    if subscriber is not None:
        subscriber.end()


SESSION_OPERATIONS[Operation.SUBSCRIBE] = _subscribe
SESSION_OPERATIONS[Operation.UNSUBSCRIBE] = _unsubscribe
