"""`AsyncResult`: what an asynchronous call gives at once, and its value later."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from nbrpc.errors import CallCancelled, CallTimeout, ConnectionLost
from nbrpc.options import check_seconds
from nbrpc.protocol import messages
from nbrpc.protocol.codec import Box
from nbrpc.session import awaiting
from nbrpc.session.call import Call, current_job
from nbrpc.session.reactor import reactor
from nbrpc.session.result_jobs import Callback, Expiry, Unread
from nbrpc.session.waiting import wait_for

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["AsyncResult", "Progress"]

log = logging.getLogger("nbrpc.session")

_unboxing = threading.RLock()
"""Held while one result is taken apart or listened to, so that two threads do not do it twice."""


def _after_fork() -> None:
    global _unboxing  # noqa: PLW0603 - another thread of the parent may have held it
    _unboxing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Progress(NamedTuple):
    """How far a remote call is.

    Attributes
    ----------
    done : float
        Steps done; below 0 it has not begun, and the text says why.
    total : float or None
        Steps in all, where known.
    text : str
        What it is doing.
    """

    done: float
    total: float | None
    text: str


class AsyncResult(Call):
    """The result of a call that may still be running.

    Attributes
    ----------
    target : str
        Where, for people.

    Notes
    -----
    It may be used from any thread. Callbacks run where events of the connection run; those that are
    added when it has arrived already, at once. To await it serves its connection, as a wait does.
    """

    announce: ClassVar[Callable[[AsyncResult], None] | None] = None
    """Takes every new result; set by the notebook layer."""

    # Defaults of the class: most results of a burst of calls never change them.
    keep: Any = None
    """What must live until the request is answered."""
    progress: Progress | None = None
    is_cell: bool = False
    """Whether it is that of a remote cell, whose value is what the cell brings back."""
    _ended: float | None = None
    _state: str | None = None
    _cancel_requested: bool = False
    _callbacks: tuple[tuple[Callable[[AsyncResult], Any], Any], ...] = ()
    _observers: tuple[Callable[[AsyncResult], Any], ...] = ()
    _outputs: deque[tuple[str, Any]] | None = None
    _unboxed: bool = False
    _value: Any = None
    _error: BaseException | None = None

    def __init__(self, session: Session, seq: int, call: Any = "", target: str = "") -> None:
        self.session = session
        self.seq = seq
        self._call = call
        self.target = target
        self.started = time.monotonic()
        if AsyncResult.announce is not None:
            AsyncResult.announce(self)

    @property
    def outputs(self) -> deque[tuple[str, Any]]:
        """What a remote cell printed or displayed and nobody has shown yet: kinds and contents."""
        if self._outputs is None:
            with _unboxing:
                if self._outputs is None:
                    self._outputs = deque()
        return self._outputs

    def __repr__(self) -> str:
        # The waiters of a cancelled call are free, whether or not the remote has confirmed.
        state = {"cancelling": "cancelled", "lost": "error"}.get(self.state, self.state)
        return f"<AsyncResult object ({state}) at 0x{id(self):08x}>"

    # ---- what it looks like now; never blocks

    @property
    def call(self) -> str:
        """What was called, in short, for people."""
        call = self._call
        if isinstance(call, tuple):
            name, args = call
            call = f"{name}({', '.join(_short(arg) for arg in args)})"
            self._call = call
        return call  # type: ignore[no-any-return]

    @property
    def state(self) -> str:
        """One of pending, cancelling, ready, error, expired, cancelled, lost."""
        if self._state is not None:
            return self._state
        if self._has_expired():
            return "expired"
        return "cancelling" if self._cancel_requested else "pending"

    @property
    def ready(self) -> bool:
        """Whether the result has arrived, be it a value or an exception."""
        return self.done and self._state != "expired"

    @property
    def error(self) -> bool:
        """Whether the result is an exception."""
        return self.done and (
            self._cancel_requested or self._state in {"error", "lost", "cancelled"}
        )

    @property
    def expired(self) -> bool:
        """Whether the time set by `set_expiry` passed before the result arrived."""
        return self._has_expired()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancel_requested or self._state == "cancelled"

    @property
    def elapsed(self) -> float:
        """Seconds from the call to the result, or to now."""
        return (self._ended or time.monotonic()) - self.started

    def _has_expired(self) -> bool:
        if self._state == "expired":
            return True
        if self.done or self.expires is None or time.monotonic() < self.expires:
            return False
        self._expire()
        return True

    def _expire(self) -> None:
        # The remote code runs on: it may be moving hardware. To stop it is what `cancel` is for.
        self.session.forget(self)
        if not self.done:
            self._finish("expired", None)

    # ---- waiting

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result has arrived.

        Parameters
        ----------
        timeout
            Seconds, beside the time of `set_expiry`.

        Raises
        ------
        CallTimeout
            The result is expired, or did not come within ``timeout``; in the second case it is as
            pending as before.
        """
        deadline = None
        if timeout is not None:
            check_seconds("the timeout", timeout)
            deadline = time.monotonic() + timeout
        expiry = self.expires
        if expiry is not None and (deadline is None or expiry < deadline):
            deadline = expiry
        if not self.done:
            try:
                wait_for(self, deadline)
            except CallTimeout:
                if deadline is None or time.monotonic() < deadline:
                    raise  # the call inside of which this is
                if not self._has_expired():
                    raise CallTimeout(
                        f"{self.call or 'the result'} did not come within {timeout} s"
                    ) from None
        if self._has_expired():
            raise CallTimeout("the result is expired: it did not come in the time that was set")

    @property
    def value(self) -> Any:
        """The value; waits for it, and raises the exception if that is what came.

        Raises
        ------
        RemoteError
            The remote code raised.
        CallTimeout
            The result is expired.
        CallCancelled
            It was cancelled.
        ConnectionLost
            The connection ended before the result came.
        """
        self.wait()
        self._unbox()
        if self._error is not None:
            # Without the traceback of an earlier reader, which would grow with each.
            raise self._error.with_traceback(None)
        return self._value

    def result(self, timeout: float | None = None) -> Any:
        """Give the value as `value` does, within ``timeout`` seconds."""
        self.wait(timeout)
        return self.value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Give the exception, or None when the result is a value; waits like `result`."""
        self.wait(timeout)
        self._unbox()
        return self._error

    def _unbox(self) -> None:
        """Take the reply apart, once."""
        if self._unboxed:
            return
        with _unboxing:
            if self._unboxed:
                return
            reply = self.reply
            try:
                if reply is None:
                    self._error = CallCancelled(f"{self.call or 'the call'} was cancelled")
                elif isinstance(reply, _Given):
                    self._value, self._error = reply.value, reply.error
                else:
                    self._value = self.session.result_of(self)
            except Exception as error:  # raised when somebody reads the value
                self._error = error
            self._unboxed = True
            self.session.unread.discard(self.seq)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done:
            yield from awaiting.arrival(self)
        return self.value

    def sessions_awaited(self) -> Iterable[Session]:
        """Give the sessions that have to be served for it to end."""
        return (self.session,)

    # ---- callbacks

    def add_callback(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call ``function(result)`` when the result has arrived; at once when it has already.

        It runs where events of the connection run, and at once on this thread; in the context of
        this call either way. What it raises is logged.
        """
        if not callable(function):
            raise TypeError(
                "add_callback needs a function that takes the result, not "
                f"{type(function).__name__}"
            )
        context = copy_context()
        context.run(current_job.set, None)  # it will run for no request of a peer
        if self.done:
            Callback(self, function, context).run()
            return
        with _unboxing:
            self._callbacks = (*self._callbacks, (function, context))
        awaiting.serve_here(self.session.dispatcher)
        if self.done:  # just now, and whoever ended it may not have seen this one
            self._run_callbacks()

    def observe(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call ``function(result)`` from any thread at every change of state, progress or output.

        It must be quick and must not block; set a flag, or hand over to a loop.
        """
        with _unboxing:
            self._observers = (*self._observers, function)

    def observe_end(self, function: Callable[[AsyncResult], Any]) -> None:
        """Like `observe`, but surely called if the end came just before."""
        self.observe(function)
        if self.done:
            function(self)

    def unobserve(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call it no longer."""
        with _unboxing:
            self._observers = tuple(known for known in self._observers if known != function)

    def _changed(self) -> None:
        for function in self._observers:
            try:
                function(self)
            except Exception:
                log.exception("an observer of a result failed")

    def _run_callbacks(self) -> None:
        with _unboxing:
            callbacks, self._callbacks = self._callbacks, ()
        for function, context in callbacks:
            self.session.dispatcher.submit(Callback(self, function, context))

    def set_expiry(self, seconds: float | None) -> None:
        """Let the result expire when it has not come within so many seconds; None never.

        Expiry frees whoever waits on this side, and drops what comes later. The peer is not told,
        and its code runs on: it may be moving hardware. `cancel` is what stops it.

        Raises
        ------
        TypeError
            It is no number of seconds.
        """
        check_seconds("an expiry", seconds)
        if self.done:
            return
        self.expires = None if seconds is None else time.monotonic() + seconds
        if seconds is not None:
            # Those who do not look are told as well: a future, a display, a coroutine.
            reactor().call_later(max(0.0, seconds), Expiry(self))

    def future(self) -> Future[Any]:
        """Give a `concurrent.futures.Future` that ends as this result does."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def settle(result: AsyncResult) -> None:
            if not result.done or future.done():
                return
            try:
                error = result.exception()
            except CallTimeout as expired:
                error = expired
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result._value)

        self.observe_end(settle)
        return future

    # ---- cancelling

    def cancel(self) -> bool:
        """Ask the remote to stop, and free every waiter at once.

        Returns
        -------
        bool
            False when the result had arrived already.
        """
        if self.done:
            return False
        self._cancel_requested = True
        session = self.session
        if not session.closed and self.seq in session.pending:
            session.send_quietly(messages.Kind.CANCEL, (self.seq,))
        self.done = True
        self._ended = time.monotonic()
        self.wake()
        self._changed()
        return True

    def abandon(self) -> None:
        """Wait no longer for the remote to confirm that it was cancelled; what comes is dropped."""
        if self._cancel_requested and self._state is None:
            self.session.forget(self)
            self._finish("cancelled", None)

    # ---- what the session tells

    def resolve(self, reply: Any) -> None:
        """End the call; from the thread that reads."""
        if self._cancel_requested:
            # The waiters are gone; the remote has confirmed now.
            if type(reply) is messages.Reply:
                self.session.boxing.discard(reply.value, reply.buffers)
            self._finish("lost" if isinstance(reply, ConnectionLost) else "cancelled", None)
            return
        if type(reply) is messages.Reply:
            state = "ready"
            if isinstance(reply.value, Box):
                self.session.unread.add(self.seq)
        elif isinstance(reply, ConnectionLost):
            state = "lost"
        elif (
            isinstance(reply, messages.Failure)
            and reply.error.type_name == "nbrpc.errors.CallCancelled"
        ):
            state = "cancelled"
        else:
            state = "error"
        self._finish(state, reply)

    def forked(self, error: BaseException) -> None:
        """In a forked child: end without telling anybody, who would be told of it twice."""
        self._callbacks = self._observers = ()
        self.resolve(error)

    def _finish(self, state: str, reply: Any) -> None:
        if reply is not None:
            self.reply = reply
        self._state = state
        if self._ended is None:
            self._ended = time.monotonic()
        self.keep = None
        self.done = True
        if self._observers:
            self._changed()
        if self.lock is not None:
            self.wake()
        if self._callbacks:
            self._run_callbacks()

    def on_progress(self, done: float, total: float | None, text: str) -> None:
        """Note how far it is."""
        super().on_progress(done, total, text)
        self.progress = Progress(done, total, text) if text or done >= 0 else None
        self._changed()

    def on_output(self, kind: str, content: Any) -> None:
        """Note what the cell printed."""
        self.outputs.append((kind, content))
        self._changed()

    def give(self, value: Any = None, error: BaseException | None = None) -> None:
        """End a result that no message ends: a local call, a gathering."""
        if self.done:
            return
        lost = isinstance(error, ConnectionLost)
        state = "ready" if error is None else "lost" if lost else "error"
        if self._cancel_requested and isinstance(error, CallCancelled):
            state = "cancelled"
        self._finish(state, _Given(value, error))

    def __del__(self) -> None:
        # Nobody looked at the value: the references in it go back. Only deques are touched here.
        if not self._unboxed and type(self.reply) is messages.Reply:
            value = self.reply.value
            if isinstance(value, Box):
                self.session.boxing.discard(value, self.reply.buffers)
                self.session.unread.discard(self.seq)
        elif self._state == "error" and not self._unboxed and type(self.reply) is messages.Failure:
            self.session.reactor.post(Unread(self.call, self.reply.error))


class _Given(NamedTuple):
    """The end of a result that no message ended."""

    value: Any
    error: BaseException | None


def _short(arg: object) -> str:
    """Show an argument: never by asking a peer, and never at length."""
    if type(arg) in SHOWN:
        text = repr(arg)
        return text if len(text) <= 30 else text[:27] + "..."
    return type(arg).__name__


SHOWN = frozenset({int, float, str, bool, bytes, type(None)})
