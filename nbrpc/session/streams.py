"""Remote iteration: items travel in chunks, under credit, ahead of the loop that takes them.

Theory of operation
-------------------
A ``for`` loop over a proxy opens a stream: one request, whose items arrive as `Items` messages and
which its reply ends. The producer runs the iterator as a job and sends a chunk when it is full, or
when its first item has waited for `CHUNK_TIME`; while the iterator is stuck in ``next``, the
reactor's monitor sends what there is. So items of a slow generator come one by one as they are
made, and those of a quick one by the thousand. Without credit the job ends, and a `Credit` begins
another; nobody waits on a thread.

What was read ahead stays with the proxy of an iterator: a loop that was left is taken up where it
was. A bare ``next(proxy)`` reads nothing ahead. Dropping the proxy ends the stream, and the remote
generator is closed.
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from nbrpc.errors import LimitExceeded, NotSendable, RemoteProtocolError
from nbrpc.objects.draft import SHALLOW
from nbrpc.objects.generators import READ_AHEAD
from nbrpc.objects.operations import find_entry, find_object, find_target
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session import interrupts
from nbrpc.session.answers import SESSION_OPERATIONS
from nbrpc.session.call import Call, current_job
from nbrpc.session.job import UNANSWERED, Cancelled
from nbrpc.session.waiting import wait_for

if TYPE_CHECKING:
    from nbrpc.objects.proxy import Proxy
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["RemoteIterator", "advance", "iterate"]

WINDOW = 8192
"""Items that may be on the way or unread. At 300,000 items a second that is 27 ms, several round
trips of a fast link."""

FIRST_WINDOW = 64
"""The window of a new stream: a loop that is left early wastes little."""

CHUNK = 1024
CHUNK_TIME = 0.001

# ---- the consumer


class StreamCall(Call):
    """The request of a stream, with the items that have arrived."""

    def __init__(self, session: Session, seq: int) -> None:
        super().__init__(session, seq)
        self.items: deque[Any] = deque()
        self.received = 0
        self.taken = 0
        """Items that came, and those of them that were taken: each is counted by one thread."""
        self.consumed = 0
        self.window = FIRST_WINDOW

    def receive_items(self, message: messages.Items) -> None:
        """Take a chunk; from the thread that reads."""
        self.received += len(message.items)
        if self.received - self.taken > 2 * WINDOW or len(self.items) > 2 * WINDOW:
            raise RemoteProtocolError("the peer sends more of a stream than it was asked for")
        self.items.append((message.items, message.buffers))
        self.wake()


class RemoteIterator:
    """Iterates over a remote object, reading ahead."""

    __slots__ = ("__weakref__", "_call", "_chunk", "_position", "_proxy", "_returned", "_session")

    def __init__(self, session: Session, proxy: Proxy, method: str = "") -> None:
        self._session = session
        self._proxy = proxy  # keeps the remote object
        self._chunk: list[Any] = []
        self._position = 0
        self._call = call = StreamCall(session, session.next_seq())
        self._returned: Any = call  # until the end of the remote generator, which gives it once
        asked = (FIRST_WINDOW, True) if method else (FIRST_WINDOW,)
        session.send_request(call, Operation.STREAM, proxy._nbrpc_oid_, method, asked)

    def __iter__(self) -> Iterator[Any]:
        return self.items(None)

    def items(self, owner: object) -> Generator[Any, Any, Any]:
        """Iterate; ``owner`` lives as long as the iteration does."""
        # A generator over chunks costs 50 ns an item, a Python __next__ 300.
        while True:
            chunk, position = self._chunk, self._position
            while position < len(chunk):
                self._position = position + 1
                if (yield chunk[position]) is not None:
                    raise NotSendable(READ_AHEAD)
                position = self._position
                chunk = self._chunk
            if not self._refill():
                return self._returned

    def __next__(self) -> Any:
        while self._position >= len(self._chunk):
            if not self._refill():
                raise StopIteration(self._returned)
        item = self._chunk[self._position]
        self._position += 1
        return item

    def __aiter__(self) -> AsyncIterator[Any]:
        return _async_items(self, None)

    def _refill(self) -> bool:
        """Take the next chunk; False at the end."""
        call = self._call
        self._give_credit()
        while not call.items:
            if call.done:
                self._chunk = []
                self._position = 0
                is_first = self._returned is call
                self._returned = self._session.result_of(call) if is_first else None
                return False
            # An interrupt leaves the stream as it is: the loop can be taken up again.
            wait_for(_Arrival(call))  # type: ignore[arg-type]
        items, buffers = call.items.popleft()
        call.taken += len(items)
        self._chunk = self._session.boxing.unbox_all(items, buffers)
        self._position = 0
        return True

    def _give_credit(self) -> None:
        """Let the producer go on, once half of the window is used."""
        call = self._call
        call.consumed += len(self._chunk)
        if call.consumed * 2 >= call.window and not call.done:
            amount = call.consumed
            if call.window < WINDOW:
                grown = min(WINDOW, call.window * 4)
                amount += grown - call.window
                call.window = grown
            call.consumed = 0
            self._session.send_quietly(Kind.CREDIT, ("s", call.seq, amount))

    def close(self) -> None:
        """End the stream."""
        if not self._call.done:
            self._session.abandon(self._call)
            self._call.done = True

    def end(self) -> None:
        """End the stream and the remote generator; nothing that was read ahead is left."""
        self.close()
        self._returned, self._chunk = None, []
        while self._call.items:
            for item in self._call.items.popleft()[0]:
                self._session.boxing.discard(item)

    def __del__(self) -> None:
        call = self._call
        if not call.done and not self._session.closed:
            # Nothing is sent from here, and no lock taken.
            self._session.reactor.post(_Abandon(self._session, call))


class _Abandon:
    """The end of a stream that nobody reads any more."""

    __slots__ = ("call", "session")

    def __init__(self, session: Session, call: Call) -> None:
        self.session = session
        self.call = call

    def run(self) -> None:
        self.session.abandon(self.call)


class _Arrival:
    """Waits until a stream has items or has ended; all else is the stream's call."""

    __slots__ = ("stream",)

    reads_socket = True

    def __init__(self, stream: StreamCall) -> None:
        object.__setattr__(self, "stream", stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.stream, name, value)

    @property
    def done(self) -> bool:
        """Whether there is something to take."""
        return bool(self.stream.items) or self.stream.done


def iterate(session: Session, proxy: Proxy) -> Iterator[Any]:
    """Give an iterator over a remote object.

    Of an iterator or generator the read-ahead stays with the proxy; of a container every call
    begins anew. The remote object is held as long as the iterator is.
    """
    return _iterator_of(session, proxy).items(proxy)


def iterate_items(session: Session, proxy: Proxy) -> Iterator[Any]:
    """Give an iterator over the keys and values of a remote dictionary."""
    return RemoteIterator(session, proxy, "items").items(proxy)


def iterate_async(session: Session, proxy: Proxy) -> AsyncIterator[Any]:
    """Give an asynchronous iterator over a remote object, of either kind."""
    return _async_items(_iterator_of(session, proxy), proxy)


def _iterator_of(session: Session, proxy: Proxy) -> RemoteIterator:
    is_iterator = "__next__" in proxy._nbrpc_description_.specials or (
        "__anext__" in proxy._nbrpc_description_.specials
    )
    if not is_iterator:
        return RemoteIterator(session, proxy)
    iterator = proxy._nbrpc_stream_
    if iterator is None:
        iterator = RemoteIterator(session, _Held(proxy))  # type: ignore[arg-type]
        object.__setattr__(proxy, "_nbrpc_stream_", iterator)
    return iterator  # type: ignore[no-any-return]


class _Held:
    """Stands in for a proxy that owns its iterator, so that the two are not a cycle."""

    __slots__ = ("_nbrpc_oid_",)

    def __init__(self, proxy: Proxy) -> None:
        self._nbrpc_oid_ = proxy._nbrpc_oid_


def advance(session: Session, proxy: Proxy, sent: object = None) -> Any:
    """Give the next item of a remote iterator; without read-ahead unless a loop has begun."""
    iterator = proxy._nbrpc_stream_
    if iterator is not None:
        return next(iterator)
    call = Call(session, session.next_seq())
    if sent is None:
        session.send_request(call, Operation.SPECIAL, proxy._nbrpc_oid_, "__next__")
    else:
        session.send_request(call, Operation.CALL, proxy._nbrpc_oid_, "send", (sent,))
    try:
        wait_for(call)
    except BaseException:
        session.abandon(call)
        raise
    if isinstance(call.reply, messages.Failure):
        raise session.error_of(call.reply, allow_stop=True)
    return session.result_of(call)


async def _async_items(
    iterator: RemoteIterator,
    owner: object,  # noqa: ARG001 - kept alive, since its end would end the stream
) -> AsyncIterator[Any]:
    """Iterate without blocking the loop: it waits for chunks on the session's reader."""
    import asyncio

    loop = asyncio.get_running_loop()
    iterator._session.dispatcher.serve_on(loop)
    call = iterator._call
    while True:
        while iterator._position < len(iterator._chunk):
            iterator._position += 1
            yield iterator._chunk[iterator._position - 1]
        if not call.items and not call.done:
            arrived = asyncio.Event()
            ring = partial(loop.call_soon_threadsafe, arrived.set)
            call.lock = _Bell(ring)  # type: ignore[assignment] # has what `wake` calls
            iterator._give_credit()
            iterator._session.ensure_read()
            if not call.items and not call.done:
                await arrived.wait()
            call.lock = None
        if not iterator._refill():
            return


class _Bell:
    """Takes the place of a lock: waking rings."""

    __slots__ = ("release",)

    def __init__(self, release: Any) -> None:
        self.release = release


# ---- the producer


class Stream:
    """A stream that this side sends."""

    def __init__(self, session: Session, job: RequestJob, target: Any, credit: int) -> None:
        self.session = session
        self.job = job
        self.iterator: Any = None
        self.target = target
        self.credit = credit
        self.chunk: deque[Any] = deque()
        self.ended = False
        self.runner: Any = None
        self.returned: Any = None
        self.request = job.request
        """By which the thread of a serial service is found."""
        self._running = False
        self._lock = allocate_lock()
        self._sending = allocate_lock()

    def add_credit(self, amount: int) -> None:
        """The peer wants more; from the thread that reads."""
        with self._lock:
            self.credit += amount
            if self._running or self.ended:
                return
            self._running = True
        self.session.dispatcher.submit(self)

    def cancel(self) -> None:
        """The peer wants no more."""
        with self._lock:
            was_ended, self.ended = self.ended, True
            running = self._running
        if not was_ended and not running:
            self.session.dispatcher.submit(_Ending(self))
        elif not was_ended:
            self.job.canceller = None
            self.job.cancel()

    def end(self, _error: BaseException) -> None:
        """The link is lost."""
        self.ended = True

    def run(self) -> None:
        """Send items until the credit or the iterator ends; a job."""
        token = current_job.set(self.job)
        try:
            self.job.begin()
            with self.session.reactor.streaming():
                self._produce()
        except BaseException as error:  # the user's iterator: whatever it raises is the answer
            self.job.close()
            self._finish(error)
        finally:
            current_job.reset(token)

    @interrupts.runs_user_code
    def _produce(self) -> None:
        if self.iterator is None:
            self.iterator = iter(self.target)
        queued = None if self.runner is None else self.runner.jobs
        advance_iterator = self.iterator.__next__
        chunk = self.chunk
        clock = time.perf_counter
        corked = self.session.reactor.corked
        sent = clock()
        while not self.ended:
            if self.credit <= 0 and self._pause():
                return
            try:
                item = advance_iterator()
            except StopIteration as stop:
                self.returned = stop.value
                break
            self.credit -= 1
            chunk.append(item)
            if queued is not None and not queued.empty():
                # A serial service has one thread: others get their turn between two items.
                self.flush_corked()
                self.job.close()
                self.session.dispatcher.submit(self)
                return
            if len(chunk) == 1:
                corked.append(self)  # the monitor sends it, should next() take long
            elif len(chunk) >= CHUNK or clock() - sent > CHUNK_TIME:
                self.flush_corked()
                sent = clock()
        self.job.close()
        self._finish(None)

    def _pause(self) -> bool:
        """Leave the thread until there is credit; False when there is some already."""
        self.flush_corked()
        with self._lock:
            if self.credit > 0:
                return False
            self._running = False
        self.job.close()
        return True

    def flush_corked(self) -> None:
        """Send the items that there are; from the job, or from the monitor while it is stuck."""
        with self._sending:
            chunk = self.chunk
            while chunk:
                items: list[Any] = []
                while chunk and len(items) < CHUNK:
                    items.append(chunk.popleft())
                self._send(items)

    def _send(self, items: list[Any]) -> None:
        session = self.session
        seq = self.job.seq
        boxing = session.boxing
        if boxing.box_plain(items):
            session.send(Kind.ITEMS, (seq, items), ordered=True)
            return
        draft = boxing.draft(self.job.form, back=True, stays=self.job.stays)
        try:
            boxed = [boxing.box(item, draft) for item in items]
        except BaseException:
            draft.undo()
            raise
        try:
            session.send(Kind.ITEMS, (seq, boxed), draft, ordered=True)
        except LimitExceeded:
            if len(items) == 1:
                raise
            middle = len(items) // 2
            self._send(items[:middle])
            self._send(items[middle:])

    def _finish(self, error: BaseException | None) -> None:
        """Answer the request, which ends the stream."""
        self.ended = True
        self.session.streams.pop(self.job.seq, None)
        self.job.ordered = True
        try:
            self.flush_corked()
        except Exception as problem:  # an item cannot be sent: that is the answer then
            error = error or problem
        if error is None:
            self.session.answer(self.job, self.returned)
        else:
            if isinstance(error, Cancelled):
                self.session.close_generator(self.iterator)
            self.session.answer_failure(self.job, error)


class _Ending:
    """The end of a stream that was cancelled while out of credit: its cleanup is user code."""

    def __init__(self, stream: Stream) -> None:
        self.session = stream.session
        self.request = stream.request
        self.runner: Any = None
        self._stream = stream

    def run(self) -> None:
        self._stream._finish(Cancelled())


def open_stream(session: Session, job: RequestJob) -> Any:
    """Begin a stream."""
    credit = job.request.args[0] if job.request.args else 0
    if type(credit) is not int or not 0 < credit <= 2**31:
        raise RemoteProtocolError("a stream is asked for without a credit")
    if len(job.request.args) > 1:
        owner = find_object(session, job.request)
        target = session.policy.method(owner, job.request.name)[0]()
    else:
        target = find_target(session, job.request)
    if find_entry(session, job.request).stays:
        job.form, job.stays = SHALLOW, True
    kind = type(target)
    session.policy.special(target, "__aiter__" if hasattr(kind, "__aiter__") else "__iter__")
    if hasattr(kind, "__aiter__"):
        from nbrpc.session import async_streams

        if job.runner is None:
            return async_streams.open_stream(session, job, target, credit)
        target = async_streams.driven(target, job.runner)
    stream = Stream(session, job, target, credit)
    session.streams[job.seq] = stream
    job.canceller = stream.cancel
    stream._running = True
    stream.runner = job.runner
    job.close()
    stream.run()
    return UNANSWERED


SESSION_OPERATIONS[Operation.STREAM] = open_stream
