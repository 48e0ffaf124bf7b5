"""One live connection: protocol, tables and transport under the engine's rules.

Theory of operation
-------------------
A `Session` joins the pieces below it. Requests of ours are in ``pending`` until answered, requests
of the peer in ``serving``; both are dicts whose single operations are atomic under the GIL, so the
usual call takes no lock. The **state lock** (``guard``) guards the reference tables and the end of
the session; nothing blocks and no user code runs while it is held. The **write lock** is the
outbox's. The **reading lock** (``reading``) is held by whoever takes bytes from the transport.

Bytes come in through `feed`, from the reactor or from a thread that waits. Replies resolve calls at
once; requests become jobs, which go to the thread that waits for their parent, or else to the
dispatcher. When the link ends, `lose` wakes every waiter once with the same cause.
"""

from __future__ import annotations

import itertools
import logging
import time
import weakref
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import (
    CallTimeout,
    ConnectionLost,
    LimitExceeded,
    NbrpcError,
    RemoteProtocolError,
)
from nbrpc.objects import proxy as proxies
from nbrpc.objects import proxy_classes
from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import Boxing
from nbrpc.options import Limits, Timing
from nbrpc.protocol import codec, messages
from nbrpc.protocol.codec import Box, Description
from nbrpc.protocol.messages import Kind
from nbrpc.session import code as code  # noqa: PLC0414 - registers its operations
from nbrpc.session import interrupts, remote_events, streams, waiting
from nbrpc.session import watching as watching  # noqa: PLC0414 - registers its operation
from nbrpc.session.answers import Answers
from nbrpc.session.call import Call, current_job
from nbrpc.session.calling import start_request
from nbrpc.session.heartbeats import Heartbeats, pause_of
from nbrpc.session.job import RequestJob
from nbrpc.session.outbox import Outbox
from nbrpc.session.quick import Quick
from nbrpc.session.reactor import Reactor, reactor
from nbrpc.session.receiving import Receiving
from nbrpc.session.sending import Sending
from nbrpc.session.waiting import check_nesting, lost, wait_for
from nbrpc.transports.base import Transport
from nbrpc.transports.tuning import keep_alive

if TYPE_CHECKING:
    from nbrpc.protocol.machine import Protocol
    from nbrpc.protocol.rpyc.machine import RpycProtocol
    from nbrpc.session.reconnecting import Revival

__all__ = ["Session"]

log = logging.getLogger("nbrpc.session")


class Session(Quick, Sending, Receiving, Heartbeats, Answers):
    """The live state of one connection.

    Parameters
    ----------
    transport, protocol
        A connected pipe and a protocol that is READY.
    policy
        What the peer may reach.
    connecting
        Whether this side opened the connection: only then do proxies pass for builtin containers.
    dispatcher
        Where requests of the peer run.
    on_end
        Called once, from any thread, when the link has ended.
    """

    closed: bool = False
    closed_here: bool = False
    """Whether this side ended it, by `close`."""
    lost_because: BaseException | None = None
    root_object: Any = None
    namespace: dict[str, Any] | None = None
    """Where the peer's code runs; see `code.namespace_of`."""
    kept: Any = None
    """The named session that this connection is attached to; see `nbrpc.server.sessions`."""
    sessions: Any = None
    """The named sessions of the server that this connection belongs to."""
    shell: Any = None
    loop: Any = None
    """The event loop of the program for coroutines of its service; None is nbrpc's own."""
    cell_runner: Any = None
    """Runs cells on the main thread of a server; None runs them where other requests run."""
    revival: Revival | None = None
    """Brings the connection back with another session, where the user asked for that."""
    root_oid: int = 0
    """The object id of the root, once the peer has said it."""
    iterate_in_chunks: Any = None
    """Iterates in chunks of given sizes, where `iterate` does not read ahead by itself."""
    nests: bool = False
    """Whether a thread that waits inside a job runs what the peer asks: it then does not say inside
    which of our requests it asks. See `nbrpc.session.rpyc.session`."""
    held: Any = None
    """The Connection, where it is not its user who keeps it: a server does, or what is in use after
    the user has dropped it."""
    _owner: Callable[[], Any] | None = None
    requests_sent: int = 0
    requests_served: int = 0
    events_sent: int = 0
    events_received: int = 0
    bytes_received: int = 0
    round_trip: float | None = None
    _armed: bool = True
    _writing: bool = False
    _reads: int = 0
    _reads_seen: int = 0
    _strange: int = 0

    def __init__(
        self,
        transport: Transport,
        protocol: Protocol | RpycProtocol,
        policy: Policy,
        *,
        connecting: bool,
        dispatcher: Any,
        limits: Limits,
        timing: Timing,
        on_end: Callable[[Session], None] | None = None,
    ) -> None:
        self.transport = transport
        self.protocol = protocol
        self.policy = policy
        self.limits = limits
        told = protocol.peer_limits.get("requests", limits.requests)
        self.most_requests = max(1, min(limits.requests, told))
        self.timing = timing
        self.name = transport.name
        self.socket = getattr(transport, "plain_socket", None)
        self.reader = protocol.reader
        self.default_timeout = timing.call
        self.connecting = connecting
        self.dispatcher = dispatcher
        self.reactor: Reactor = reactor()
        self.guard = allocate_lock()
        self.reading = allocate_lock()
        self.boxing = Boxing(policy, limits, self.guard, self._make_proxy, self._home)
        self.outbox = Outbox(
            transport, self.reactor, self.lose, self._want_write, limits.queued_bytes
        )
        self.pending: dict[int, Call] = {}
        self.serving: dict[int, RequestJob] = {}
        self.waiters: set[Call] = set()
        self.channels: dict[int, Any] = {}
        """Events that we receive, by the channel number that we chose."""
        self.subscribers: dict[int, Any] = {}
        """Events that we send, by the channel number that the peer chose."""
        self.streams: dict[int, Any] = {}
        """Streams that we send, by the seq of their request."""
        self.unread: set[int] = set()
        """Requests whose answer is here, holds more than a plain value and was not looked at."""
        self.on_end = on_end
        self._seqs = itertools.count(1)
        self._classes: dict[int, type[proxies.Proxy]] = {}
        self._interest_lock = allocate_lock()
        self._heard = time.monotonic()
        self._last_tick = self._heard
        self._pause = pause_of(timing)
        self._pings: dict[int, tuple[float, Call | None]] = {}
        self._room: deque[Any] = deque()

    def start(self) -> None:
        """Begin to read; what the peer sent with its handshake has been fed by then."""
        self.reactor.register(self)
        self.reactor.tick_interval = min(self.reactor.tick_interval, max(0.02, self._pause / 4))
        if self.timing.dead_after is not None:
            keep_alive(self.transport, self.timing.dead_after)

    def fileno(self) -> int:
        """Give the transport's descriptor."""
        return self.transport.fileno()

    # ---- proxies

    def _make_proxy(self, ref: codec.Ref, description: Description) -> proxies.Proxy:
        key = ref.key if ref.text is None else -ref.key
        cls = self._classes.get(key)
        if cls is None:
            cls = self._proxy_class(description, named=ref.text is not None)
            cls._nbrpc_sessions_.add(self)
            self._classes[key] = cls
        return proxy_classes.make_proxy(cls, self, ref, description)

    def _proxy_class(self, description: Description, *, named: bool) -> type[proxies.Proxy]:
        return proxy_classes.proxy_class(description, mimic=self.connecting, named=named)

    def living(self, cls: type[proxies.Proxy]) -> proxies.Proxy | None:
        """Give any proxy of a class that this session has; None if there is none."""
        with self.guard:
            references = list(self.boxing.imports.entries.values())
        found = (reference() for reference in references)
        return next((proxy for proxy in found if type(proxy) is cls), None)

    def _home(self, obj: object) -> tuple[int, str] | None:
        target = proxies.target_of(obj)
        if target is None:
            return None
        if target[0] is self:
            return target[1], target[2]
        if self.revival is not None:
            self.revival.check_argument(target[0])
        return None

    # ---- requests of ours

    def begin(
        self,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
        *,
        revives: bool = True,
    ) -> tuple[Call, float | None]:
        """Ask the peer; give the call and its deadline, for `finish`.

        Parameters
        ----------
        revives
            Whether the session that takes the place of this one, if it is lost, is asked instead.

        Raises
        ------
        RemoteError
            The peer's code raised.
        ConnectionLost
            The link is dead, or died meanwhile.
        CallTimeout
            The deadline passed; code that is running on the peer runs on.
        """
        interrupts.check()
        if timeout is None:
            timeout = self.default_timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        if waiting.ends:
            deadline = waiting.time_inside(deadline)
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        if revives and self.closed and self.revival is not None:
            return self.revival.begin(self, op, oid, name, args, kwargs, timeout)
        call = Call(self, next(self._seqs))
        call.waiting = True  # from the start: what the peer asks inside of it is for this thread
        if len(self.pending) >= self.most_requests:
            self._wait_for_room(deadline)
        self.send_request(call, op, oid, name, args, kwargs, timeout)
        return call, deadline

    def finish(self, call: Call, deadline: float | None = None) -> Any:
        """Wait for the answer to a request that was sent, and give it."""
        session = call.session  # another one, if this was lost before the call
        try:
            wait_for(call, deadline)
        except CallTimeout:
            # The peer knows the deadline too; code that runs there is not broken off by it.
            session.forget(call)
            raise
        except BaseException:
            session.abandon(call)
            raise
        return session.result_of(call)

    def ask(
        self, op: int, oid: int, name: str, args: tuple[Any, ...] = (), *, timeout: float
    ) -> Any:
        """Ask the peer on this very session, and run nothing of the user's meanwhile.

        For what nbrpc asks by itself; raises what `begin` says.
        """
        call, deadline = self.begin(op, oid, name, args, None, timeout, revives=False)
        try:
            wait_for(call, deadline, serve=False)
        except CallTimeout:
            self.forget(call)
            raise
        return self.result_of(call)

    def quiet_call(self) -> Call:
        """Give the call for a request whose answer nobody looks at."""
        return Call(self, next(self._seqs))

    def iterate(self, proxy: proxies.Proxy) -> Any:
        """Iterate over a remote object with read-ahead."""
        return streams.iterate(self, proxy)

    def iterate_items(self, proxy: proxies.Proxy) -> Any:
        """Iterate over the keys and values of a remote dictionary."""
        return streams.iterate_items(self, proxy)

    def iterate_async(self, proxy: proxies.Proxy) -> Any:
        """Iterate over a remote object with read-ahead, without blocking an event loop."""
        return streams.iterate_async(self, proxy)

    def advance(self, proxy: proxies.Proxy, sent: object = None) -> Any:
        """Give the next item of a remote iterator, or what a generator gives for what is sent."""
        return streams.advance(self, proxy, sent)

    def remote_event(self, owner: proxies.Proxy, name: str) -> remote_events.RemoteEvent:
        """Give the event of a remote object."""
        return remote_events.RemoteEvent(owner, name)

    def next_seq(self) -> int:
        """Give the number for a new request."""
        return next(self._seqs)

    def send_request(
        self,
        call: Call,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a request for a call that `next_seq` numbered.

        Raises
        ------
        NotSendable, LimitExceeded, RecursionError
            Nothing was sent; the connection is untouched.
        ConnectionLost
            The link is dead.
        """
        job = current_job.get()
        parent = 0
        if job is not None:
            call.depth = job.depth + 1
            check_nesting(call.depth, self.limits.nesting)
            if job.session is self:
                parent = job.seq
        boxing = self.boxing
        draft = None
        boxed: Any = args
        if kwargs or not boxing.box_plain(args):
            draft = boxing.draft()
            try:
                boxed = [boxing.box(arg, draft) for arg in args]
                if kwargs:
                    kwargs = {key: boxing.box(arg, draft) for key, arg in kwargs.items()}
            except BaseException:
                draft.undo()
                raise
        seq = call.seq
        self.pending[seq] = call
        if self.closed:
            self.pending.pop(seq, None)
            raise lost(self)
        self.requests_sent += 1
        try:
            self.send(
                Kind.REQUEST, (seq, op, oid, name, boxed, kwargs, parent, timeout), draft, keep=args
            )
        except BaseException:
            self.pending.pop(seq, None)
            raise

    start_request = start_request

    def result_of(self, call: Call) -> Any:
        """Give the value of a call that is done, or raise its error."""
        reply = call.reply
        if type(reply) is messages.Reply:
            value = reply.value
            if isinstance(value, Box):
                return self.boxing.unbox(value, reply.buffers)
            return value
        if isinstance(reply, BaseException):
            raise self._fresh(reply)
        raise self.error_of(reply, allow_stop=False)

    def _fresh(self, error: BaseException) -> BaseException:
        """Give an error of the link as a new object, since each waiter adds its own traceback."""
        return lost(self, maybe_executed=True) if isinstance(error, ConnectionLost) else error

    def abandon(self, call: Call) -> None:
        """Nobody waits for a call any more: tell the peer to stop, and drop what comes."""
        if self.forget(call):
            self.send_quietly(Kind.CANCEL, (call.seq,))

    def forget(self, call: Call) -> bool:
        """Drop what comes for a call, which runs on; False when its answer was there already."""
        if self.pending.pop(call.seq, None) is not None:
            return True
        if type(call.reply) is messages.Reply:
            self.boxing.discard(call.reply.value, call.reply.buffers)
        return False

    def _wait_for_room(self, deadline: float | None) -> None:
        """Wait until fewer requests are outstanding than the limit."""
        while len(self.pending) >= self.most_requests and not self.closed:
            lock = allocate_lock()
            lock.acquire()
            self._room.append(lock)
            self.ensure_read()
            if deadline is not None and time.monotonic() >= deadline:
                raise LimitExceeded(
                    f"{self.most_requests:,} requests are outstanding already; wait for some "
                    "results first, or raise Limits.requests on both sides"
                )
            lock.acquire(timeout=0.1)

    # ---- life and death

    @property
    def owner(self) -> Any:
        """The Connection; None once its user has dropped it and it is gone."""
        return self.held or (None if self._owner is None else self._owner())

    @owner.setter
    def owner(self, connection: Any) -> None:
        self._owner = weakref.ref(connection)

    def let_go(self) -> None:
        """Drop what the session itself holds of the peer; may run in a finalizer."""

    @property
    def comes_back(self) -> bool:
        """Whether another session takes the place of this one when its link is lost."""
        revival = self.revival
        return revival is not None and not self.closed_here and not revival.given_up

    def lost_error(self) -> ConnectionLost:
        """Give a fresh error for a dead session."""
        return lost(self)

    def close(self, reason: str = "") -> None:
        """End the connection from this side; never waits for the peer."""
        if not self.closed:
            self.closed_here = True
            self.send_quietly(Kind.GOODBYE, (reason,))
            self.outbox.flush_corked()
        self.lose(ConnectionLost("closed"))

    def lose(self, error: BaseException) -> None:
        """End the connection because of an error: wake every waiter, drop every object, once."""
        problem = error
        if self.closed_here:  # the peer's answer may be here before this side has done with it
            error = ConnectionLost(f"the connection to {self.name} was closed on this side")
        elif not isinstance(error, ConnectionLost):
            error = ConnectionLost(f"the connection to {self.name} was ended: {problem}")
            error.__cause__ = problem
        with self.guard:
            if self.closed:
                return
            self.closed = True
            self.lost_because = error
            self.socket = None
            # What a peer had queued before its goodbye still runs, on the objects that it names.
            waits = self.said_goodbye and any(not job.begun for job in list(self.serving.values()))
            objects = [] if waits else self.boxing.exports.clear()
            self.boxing.imports.clear()
        if isinstance(problem, RemoteProtocolError):
            log.warning("%s: %s", self.name, problem)
            self._say_goodbye(str(problem))
        self.reactor.unregister(self.fileno())
        self.outbox.close()
        self.transport.close()
        if self.memory is not None:
            self.memory.close()
        for call in [
            *self.pending.values(),
            *(c for _, c in self._pings.values() if c is not None),
        ]:
            call.resolve(error)
        self.pending.clear()
        revival = self.revival
        for table in (self.channels, self.subscribers, self.streams):
            for entry in list(table.values()):
                if revival is None or table is not self.channels or not revival.suspend(entry):
                    entry.end(error)
            table.clear()
        for job in list(self.serving.values()):
            if job.canceller is not None:
                job.cancel()
        while self._room:
            self._room.popleft().release()
        self.dispatcher.session_ended(self)
        if self.on_end is not None:
            self.on_end(self)
        if revival is not None:
            revival.lost(self)
        self.drop_generators(objects)

    def _say_goodbye(self, reason: str) -> None:
        """Tell a peer that broke the protocol why, if that is possible at once."""
        try:
            self.transport.send(self.protocol.encode(Kind.GOODBYE, (reason[:500],)))
        except NbrpcError:
            pass

    def on_fork(self) -> None:
        """In a forked child: this connection belongs to the parent."""
        self.guard = self.boxing.guard = allocate_lock()
        self.closed = True
        self.lost_because = ConnectionLost(
            "this process was forked, and its parent has the connection"
        )
        for call in list(self.pending.values()):
            call.forked(self.lost_because)
        if self.memory is not None:
            self.memory.close()
        self.transport.abandon()
