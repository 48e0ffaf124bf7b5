"""A connection that comes back by itself after its link was lost.

Theory of operation
-------------------
A `Connection` made with ``reconnect=True`` has a `Revival`. When its session is lost, and was not
closed on this side, a worker tries to open a new one: at once, then after 50 ms, twice as long each
time up to 5 s, with some chance in it so that the clients of a server do not all come at the same
moment; in the first minute the pauses stay below a second. The new session takes the place of the
old one in the same connection.

What comes back is what can be named: the root, under the proxies of it that the user holds, and the
subscriptions to its events. These are there before a call goes to the new session, so that none of
the events that it causes is missed. Where jobs run stays as it was, and what waits there is run. A
call on the root that begins meanwhile waits. Any other proxy stands for an
object that is gone with the connection; it raises `StaleReference`, and never reaches another
object, since it keeps to its old session. A call that was under way fails at once and is never sent
again: whether it ran, only the caller can find out.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import (
    AuthenticationFailed,
    CallTimeout,
    ConnectFailed,
    ConnectionLost,
    NbrpcError,
    StaleReference,
)
from nbrpc.objects.proxy import set_slot
from nbrpc.protocol.messages import Operation
from nbrpc.session import interrupts
from nbrpc.session.reactor import reactor
from nbrpc.session.waiting import lost, wait_for

if TYPE_CHECKING:
    from nbrpc.session.call import Call
    from nbrpc.session.connection import Connection
    from nbrpc.session.result import AsyncResult
    from nbrpc.session.session import Session
    from nbrpc.session.subscriptions import Subscription

__all__ = ["Revival"]

log = logging.getLogger("nbrpc.session")

FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
"""Seconds between two attempts: of the first pause, and the most."""

EARLY = 60.0
EARLY_DELAY = 0.8
"""Seconds of an outage in which the pauses are at most so long: a server that is only started anew
is found within a second of its return."""

ATTEMPT = 5.0
"""Seconds that one attempt may take; the first ones less, since a place may be silent now and
answer a moment later."""

MOST_REFUSALS = 5
"""Times in a row that a server may refuse the token before it is given up."""

TICK = 0.1
"""Seconds of one sleep of a call that waits, after which an interrupt is looked for."""

WITHOUT_OBJECT = frozenset(
    {Operation.ROOT, Operation.IMPORT, Operation.EVALUATE, Operation.EXECUTE, Operation.CELL}
    | {Operation.COMPLETE, Operation.INSPECT, Operation.DELIVER, Operation.SESSION}
)
"""Operations that name no object, so that a new session can carry them out as well."""

LOOKING = frozenset(
    {Operation.DISPLAY, Operation.REPR, Operation.STR, Operation.DIR, Operation.NAMES}
    | {Operation.DESCRIBE, Operation.COMPLETE, Operation.INSPECT}
)
"""Operations of somebody who only looks, and is not kept waiting."""


class Revival:
    """Brings a connection back.

    Parameters
    ----------
    connection
        Whose sessions these are.
    open_again
        Opens a new session for a connection, within so many seconds.

    Attributes
    ----------
    attempts : int
        How often it was tried since the link was lost.
    came_back : int
        How often the connection has come back.
    """

    def __init__(
        self, connection: Connection, open_again: Callable[[Connection, float], Any]
    ) -> None:
        self._owner = weakref.ref(connection)
        self._session = connection.session
        self._open_again = open_again
        self._changed = threading.Condition()
        self._suspended: list[Subscription] = []
        self._waiting: list[tuple[AsyncResult, tuple[Any, ...]]] = []
        """Asynchronous requests that are sent when the link is back."""
        self.anchor: Any = None
        """The new session's own proxy of the root: it keeps the reference that others use."""
        self._former: list[weakref.ref[Any]] = []
        """Such proxies, of all sessions: a user may have got one of them from the peer."""
        self._given_up: BaseException | None = None
        self._ready: Session | None = None
        """The session whose root is known, so that calls can go there."""
        self._trying = False
        self._refused = 0
        self._lost_at = 0.0
        self.patience: float | None = None
        """Seconds that a new call waits at most for the return; None is its own deadline only."""
        self.attempts = 0
        self.came_back = 0
        self.observers: list[Callable[[], object]] = []
        """Called when the link is lost, has come back or is given up, and when the peer begins or
        ends to be silent; from any thread."""
        _all.add(self)

    def begin_watching(self) -> None:
        """Take over the session that the connection has."""
        session = self.session
        session.revival = self
        if session.closed:  # already
            self.lost(session)

    @property
    def _connection(self) -> Connection:
        """The connection; while its user has dropped it, what is in use of it keeps it."""
        connection = self._owner()
        if connection is None:
            connection = self._session.owner
            self._owner = weakref.ref(connection)
        return connection

    @property
    def session(self) -> Session:
        """The session of the connection at present."""
        return self._session

    @property
    def is_needed(self) -> bool:
        """Whether something waits for the return of the link."""
        return bool(self._suspended or self._waiting)

    @property
    def given_up(self) -> bool:
        """Whether the connection does not come back any more."""
        return self._given_up is not None

    @property
    def working(self) -> bool:
        """Whether the link is lost and is tried to be made anew."""
        return self.session.closed and self._given_up is None

    def lost(self, session: Session) -> None:
        """The link of a session is lost: begin to try, unless it was closed on this side."""
        if session is not self.session:
            return
        if self._given_up is not None:
            self.tell()
            return
        if session.closed_here:
            self.stop()
            return
        with self._changed:
            begins, self._trying = not self._trying, True
        if begins:
            self.attempts = 0
            self._lost_at = time.monotonic()
            reactor().submit(_Attempt(self))
        self.tell()

    def stop(self) -> None:
        """Try no more: the connection is closed on this side."""
        if self._given_up is None:
            self._give_up(ConnectionLost(f"the connection to {self.session.name} was closed"))

    def on_fork(self) -> None:
        """In a forked child: the connection belongs to the parent, and nobody tries here."""
        self._changed = threading.Condition()
        self._given_up = ConnectionLost(
            "this process was forked, and its parent has the connection"
        )
        self._suspended.clear()
        self._waiting.clear()
        self.observers.clear()

    def suspend(self, subscription: Subscription) -> bool:
        """Keep a subscription that ends with its session; False if it cannot come back."""
        if subscription.session.closed_here:
            return False
        owner = subscription.owner
        if owner is None or owner._nbrpc_oid_ != subscription.session.root_oid:
            return False
        with self._changed:
            if self._given_up is not None:
                return False
            if subscription not in self._suspended:
                self._suspended.append(subscription)
        return True

    def _suspend_again(self, subscription: Subscription) -> None:
        """Keep a subscription whose new link was lost before it went on."""
        if not self.suspend(subscription):
            subscription.end(lost(self.session))

    # ---- trying

    def attempt(self) -> None:
        """Try once; on a worker."""
        if self._given_up is not None:
            return
        self.attempts += 1
        old = self.session
        try:
            connection = self._connection
            self._open_again(connection, min(ATTEMPT, 0.5 + 0.5 * self.attempts))
            self._session = connection.session
            if self._given_up is not None:  # closed meanwhile
                self.session.close()
                return
            self._resume()
        except (ConnectFailed, ConnectionLost, CallTimeout) as error:
            log.debug("%s: not back yet: %s", old.name, error)
        except AuthenticationFailed as error:
            # A server that has just started may listen before its token can be found.
            self._refused += 1
            if self._refused >= MOST_REFUSALS:
                self._give_up(error)
                return
        except Exception as error:  # an attempt that cannot succeed must not be repeated for ever
            log.exception("%s cannot be connected to again", old.name)
            self._give_up(error)
            return
        else:
            with self._changed:
                self._trying = False
                self._refused = 0
            if self.session.closed:  # again, before it was watched
                self.lost(self.session)
            return
        early = time.monotonic() - self._lost_at < EARLY
        most = EARLY_DELAY if early else LONGEST_DELAY
        longest = min(most, FIRST_DELAY * 2.0 ** min(self.attempts - 1, 10))
        reactor().call_later(longest * random.uniform(0.5, 1.0), _Attempt(self))  # noqa: S311 - no secret

    def _resume(self) -> None:
        """Bring back what can be named, and let those go on who wait."""
        session = self.session
        try:
            self._take_over_root(session)
        except (ConnectionLost, CallTimeout):  # tried again, on another link
            session.lose(ConnectionLost(f"{session.name} did not say what it serves"))
            raise
        except NbrpcError as error:
            log.warning("%s is back, but its root is not: %s", session.name, error)
        late = self._resume_subscriptions(session)
        self._connection.sessions.resume(session, ATTEMPT)
        if session.closed:
            raise session.lost_error()
        self._ready = session
        with self._changed:
            waiting, self._waiting = self._waiting, []
        self.came_back += 1
        self.tell()
        for result, request in waiting:
            self._send(session, result, request)
        for subscription, call in late:
            self._await(subscription, call, None)

    def _resume_subscriptions(self, session: Session) -> list[tuple[Subscription, Call]]:
        """Ask for the events of all subscriptions; give those whose answer takes its time."""
        with self._changed:
            suspended, self._suspended = self._suspended, []
        asked = []
        for subscription in suspended:
            try:
                call = subscription.resume(session)
            except ConnectionLost:
                self._suspend_again(subscription)
            except NbrpcError as error:
                subscription.end(error)
            else:
                if call is not None:
                    asked.append((subscription, call))
        deadline = time.monotonic() + ATTEMPT
        return [pair for pair in asked if not self._await(*pair, deadline)]

    def _await(self, subscription: Subscription, call: Call, deadline: float | None) -> bool:
        """Wait for the peer's word on a subscription; False if it has not come in time."""
        try:
            # Nothing of the user's runs meanwhile: this is no thread of theirs.
            wait_for(call, deadline, serve=False)
            subscription.accepted(call.session.result_of(call))
        except CallTimeout:
            return False
        except ConnectionLost:
            self._suspend_again(subscription)
        except Exception as error:  # the peer gives these events no more, for any reason it likes
            subscription.end(error)
        return True

    def _take_over_root(self, session: Session) -> None:
        """Have the proxies of the old root stand for the new one."""
        root = self._connection.known_root
        if root is None:
            return  # nobody has asked for it yet
        new = session.ask(Operation.ROOT, 0, "", timeout=ATTEMPT)
        session.root_oid = new._nbrpc_oid_
        former = [proxy for reference in self._former if (proxy := reference()) is not None]
        for proxy in (root, *former):
            set_slot(proxy, "_nbrpc_oid_", new._nbrpc_oid_)
            set_slot(proxy, "_nbrpc_session_", session)
        self.anchor = new
        self._former = [weakref.ref(proxy) for proxy in (*former, new)]

    def _give_up(self, error: BaseException) -> None:
        self._given_up = error
        with self._changed:
            suspended, self._suspended = self._suspended, []
            waiting, self._waiting = self._waiting, []
        for result, _ in waiting:
            result.give(error=lost(self.session))
        for subscription in suspended:
            subscription.end(error)
        self._connection.sessions.give_up()
        self.session.dispatcher.session_ended(self.session)
        self.tell()

    def tell(self) -> None:
        """Tell the observers that the state of the connection is another one."""
        with self._changed:
            self._changed.notify_all()
        for observer in list(self.observers):
            try:
                observer()
            except Exception:  # the view of somebody; the others must be told too
                log.exception("the state of a connection could not be told")

    # ---- calls

    def check_argument(self, session: Any) -> None:
        """Refuse a proxy of an earlier session of this connection.

        Raises
        ------
        StaleReference
            It is one; nothing was sent.
        """
        if getattr(session, "revival", None) is self:
            raise StaleReference(
                f"an argument stands for an object of an earlier connection to {session.name}: get "
                "it anew from conn.root"
            )

    def begin(
        self,
        old: Session,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        timeout: float | None,
    ) -> tuple[Call, float | None]:
        """Begin a request on the session that takes the place of a lost one, once it is there.

        Raises
        ------
        StaleReference, ConnectionLost
            As in `successor`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        session = self.successor(old, op, oid, deadline)
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        return session.begin(op, session.root_oid if oid else 0, name, args, kwargs, left)

    def begin_later(self, result: AsyncResult, op: int, oid: int, *rest: Any) -> bool:
        """Send an asynchronous request on a lost session when the link is back.

        Parameters
        ----------
        rest
            As for `Session.send_request`.

        Returns
        -------
        bool
            False if there is nothing to wait for: the link does not come back.

        Raises
        ------
        StaleReference
            The request is on an object that is gone with the lost session.
        """
        self._check_object(result.session, op, oid)
        if op in LOOKING:
            return False
        request = (op, oid, *rest)
        with self._changed:
            if self._given_up is not None:
                return False
            session = self._ready
            if session is None or session.closed:
                self._waiting.append((result, request))
                return True
        self._send(session, result, request)
        return True

    def _send(self, session: Session, result: AsyncResult, request: tuple[Any, ...]) -> None:
        if result.done:  # cancelled or expired meanwhile
            return
        op, oid, *rest = request
        result.session, result.seq = session, session.next_seq()
        try:
            session.send_request(result, op, session.root_oid if oid else 0, *rest)
        except ConnectionLost:
            with self._changed:
                self._waiting.append((result, request))
        except Exception as error:  # what cannot be sent; its caller looks at the result
            result.give(error=error)

    @staticmethod
    def _check_object(old: Session, op: int, oid: int) -> None:
        if op not in WITHOUT_OBJECT and oid != old.root_oid:
            raise StaleReference(
                f"this proxy stands for an object of an earlier connection to {old.name}: get it "
                "anew from conn.root"
            )

    def successor(self, old: Session, op: int, oid: int, deadline: float | None) -> Session:
        """Give the session for a call that was begun on a lost one, once it is there.

        Raises
        ------
        StaleReference
            The call is on an object that is gone with the old session.
        ConnectionLost
            The deadline passed first, or the connection does not come back.
        """
        self._check_object(old, op, oid)
        if self.patience is not None:
            ends = time.monotonic() + self.patience
            deadline = ends if deadline is None else min(ends, deadline)
        while True:
            session = self._ready
            if session is not None and not session.closed:
                return session
            if self._given_up is not None or op in LOOKING:
                raise lost(old)
            remaining = TICK
            if deadline is not None:
                remaining = min(TICK, deadline - time.monotonic())
                if remaining <= 0:
                    raise ConnectionLost(
                        f"the connection to {old.name} is lost and did not come back in time; it "
                        f"is still tried ({self.attempts} attempts so far)"
                    )
            interrupts.check()
            with self._changed:
                session = self._ready
                if (session is None or session.closed) and self._given_up is None:
                    self._changed.wait(remaining)


_all: weakref.WeakSet[Revival] = weakref.WeakSet()


def _after_fork() -> None:
    for revival in list(_all):
        revival.on_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Attempt:
    """An attempt, as a job of the reactor."""

    def __init__(self, revival: Revival) -> None:
        self._revival = revival

    def run(self) -> None:
        self._revival.attempt()
