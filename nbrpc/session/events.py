"""Events: declared on the producer, one way, bounded and in order.

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
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context, copy_context
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
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session import interrupts
from nbrpc.session.answers import PLAIN, SESSION_OPERATIONS
from nbrpc.session.call import current_job

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["POLICIES", "BoundEvent", "RemoteEvent", "Subscription", "event"]

log = logging.getLogger("nbrpc.session")

EVENT = int(Kind.EVENT)

POLICIES = ("drop_oldest", "latest", "block", "close")

BLOCK_TIME = 1.0
"""Seconds for which ``emit`` waits for its blocking subscribers, all together."""

MOST_QUEUED = 1_000_000
"""The largest ``maxsize``."""

TURN = 0.002
"""Seconds for which one subscription runs its callbacks before others get their turn."""

# ---- the producer


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


def _after_fork() -> None:
    global _binding  # noqa: PLW0603 - another thread of the parent may have held it
    _binding = threading.Lock()


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
        self.on_first: Callable[[], None] | None = None
        """Called when the first subscriber comes; a watch begins to sample then."""
        self._lock = threading.Lock()

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
            first = not self.subscribers
            self.subscribers = (*self.subscribers, subscriber)
        if first and self.on_first is not None:
            self.on_first()

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
            if body and session.send_quickly(socket, EVENT, body):
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

# ---- the consumer


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
        self.paid_by_taker = False
        """Whether the callback only queues: who takes from that queue calls `taken`."""
        self.channel = session.next_seq()
        self._direct = direct
        self._context = context or copy_context()
        self._context.run(current_job.set, None)  # callbacks run for no request of a peer
        self._remote_dropped = 0
        self._local_dropped = 0
        self._inbox: deque[messages.Event] = deque()
        self._scheduled = False
        self._owed = 0
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

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end(self, error: BaseException) -> None:
        """The link is lost."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self.closed:
            return
        self.exception = error
        self.closed = True
        self._drop_queued()
        if self.on_end is not None:
            try:
                self.on_end(self)
            except Exception:
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

    def receive(self, message: messages.Event) -> None:
        """Take an event; from the thread that reads."""
        self._remote_dropped = message.dropped
        if message.ended is not None:
            self.session.channels.pop(self.channel, None)
            self._end(LimitExceeded(message.ended.message))
            return
        if self._direct:
            self._run_one(message)
            return
        if len(self._inbox) > 2 * self.maxsize:
            raise RemoteProtocolError("the peer sends more events than it was asked for")
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
            self._context.run(self.callback, *args)
        except Exception as error:
            self._failed(error)
        finally:
            self.received += 1
            if not self.paid_by_taker:
                self.taken()

    def taken(self) -> None:
        """One event is done with: the producer gets credit for it, now or with some more."""
        self._owed += 1
        if self._owed * 2 >= self.maxsize:
            self._pay()

    def _pay(self) -> None:
        """Give the producer credit for what has been run."""
        owed, self._owed = self._owed, 0
        self.session.send_quietly(Kind.CREDIT, ("e", self.channel, owed))

    def _failed(self, error: BaseException) -> None:
        self.errors += 1
        self.last_error = error
        if self.on_error is not None:
            self._context.run(self.on_error, error, self)
        elif self.errors == 1:
            log.error("a callback of the event %s failed", self.name, exc_info=error)


class RemoteEvent:
    """An event of a remote object: subscribe to it, or iterate over it."""

    __slots__ = ("_name", "_open", "_owner", "_session")

    def __init__(
        self, session: Session, owner: Any, name: str, op: Operation = Operation.SUBSCRIBE
    ) -> None:
        self._session = session
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
        ValueError
            The policy is unknown or refused, or ``maxsize`` is not above 0.
        """
        if policy not in POLICIES:
            raise ValueError(f"policy is one of {', '.join(POLICIES)}, not {policy!r}")
        if not callable(callback):
            raise TypeError(f"a callback is needed, not {callback!r}")
        if not 0 < maxsize <= MOST_QUEUED:
            raise ValueError(f"maxsize is 1 to {MOST_QUEUED:,}, not {maxsize}")
        session = self._session
        key = _callback_key(callback)
        maxsize = 1 if policy == "latest" else maxsize
        subscription = Subscription(session, self._name, callback, maxsize, direct=direct)
        subscription.paid_by_taker = paid_by_taker
        subscription.paid_by_taker = paid_by_taker
        session.channels[subscription.channel] = subscription
        try:
            self._request(subscription.channel, policy, maxsize)
        except BaseException:
            session.channels.pop(subscription.channel, None)
            raise
        for old in list(session.channels.values()):
            # Running the same cell again replaces what it made before.
            if (
                old is not subscription
                and old.name == self._name
                and key is not None
                and _callback_key(old.callback) == key
                and old.owner is not None
                and old.owner._nbrpc_oid_ == self._owner._nbrpc_oid_
            ):
                old.close()
        subscription.owner = self._owner
        return subscription

    def _request(self, channel: int, policy: str, maxsize: int) -> None:
        self._session.request(
            self._open, self._owner._nbrpc_oid_, self._name, (channel, policy, maxsize)
        )

    def stream(self, policy: str = "drop_oldest", maxsize: int = 1000) -> Iterator[Any]:
        """Iterate over events, waiting for each: its one argument, or a tuple of several.

        The subscription begins with this call and ends with the iteration.
        """
        from nbrpc.session.event_streams import EventStream

        return EventStream(self, policy, maxsize)

    def __iter__(self) -> Iterator[Any]:
        return self.stream()

    def __aiter__(self) -> AsyncIterator[Any]:
        from nbrpc.session.event_streams import stream_async

        return stream_async(self)


def _callback_key(callback: Any) -> object:
    """Tell callbacks apart across runs of the same cell: by cell and name, not by identity."""
    code = getattr(callback, "__code__", None)
    if code is None:
        return None
    context = cell_of_context()
    return (
        None
        if context is None
        else (context, code.co_qualname if hasattr(code, "co_qualname") else code.co_name)
    )


def cell_of_context() -> object | None:
    """Give what names the notebook cell that is running, or None outside notebooks."""
    return cell_name() if cell_name is not None else None


cell_name: Callable[[], object | None] | None = None
"""Set by the notebook layer."""

error_shower: Callable[[], Callable[[BaseException, Subscription], None]] | None = None
"""Makes what takes the errors of a new subscription; set by the notebook layer."""
