"""The receiving half of a session: bytes to messages, and what each message does.

Bytes come in through `Receiving.feed`, from the reactor or from a thread that waits, always under
the reading lock. Everything here runs on the thread that reads, so nothing here blocks or runs code
of the user: requests become jobs, and events go to their subscriptions.
"""

from __future__ import annotations

from _thread import LockType
from collections import deque
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from nbrpc.errors import ConnectionLost, NbrpcError, RemoteProtocolError
from nbrpc.objects.refs import pairs
from nbrpc.objects.text import printable
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind
from nbrpc.session.answers import PLAIN, Answers
from nbrpc.session.call import Call
from nbrpc.session.heartbeats import Heartbeats
from nbrpc.session.job import Claim, RequestJob
from nbrpc.session.reactor import READ, WRITE, Reactor
from nbrpc.session.serial import home_of

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing
    from nbrpc.options import Limits
    from nbrpc.protocol.machine import Protocol
    from nbrpc.protocol.rpyc.machine import RpycProtocol
    from nbrpc.session.outbox import Outbox
    from nbrpc.session.shared_memory import SharedMemory
    from nbrpc.transports.base import Transport

__all__ = ["Receiving"]

READ_SIZE = 32 * 1024
BULK_READ_SIZE = 256 * 1024

STRANGE_REPLIES = 10
"""Replies to requests that were never made, after which the link is closed."""


class Receiving:
    """The part of a session that receives."""

    boxing: Boxing
    bytes_received: int
    channels: dict[int, Any]
    closed: bool
    dispatcher: Any
    events_received: int
    fileno: Callable[[], int]
    guard: LockType
    job_class: type[RequestJob] = RequestJob
    limits: Limits
    memory: SharedMemory | None = None
    lose: Callable[[BaseException], None]
    name: str
    outbox: Outbox
    pending: dict[int, Call]
    protocol: Protocol | RpycProtocol
    reactor: Reactor
    reading: LockType
    release_jobs: Callable[[], None]
    requests_served: int
    round_trip: float | None
    said_goodbye: bool = False
    """Whether the peer ended the link itself: then what it had asked for before is still done."""

    send_quietly: Callable[[Kind, tuple[Any, ...]], None]
    operations: dict[int, Callable[[Any, Any], Any]]
    serving: dict[int, RequestJob]
    streams: dict[int, Any]
    subscribers: dict[int, Any]
    transport: Transport
    _armed: bool
    _interest_lock: LockType
    _pings: dict[int, tuple[float, Call | None]]
    _reads: int
    _reads_seen: int
    _room: deque[Any]
    _seqs: Iterator[int]
    _strange: int
    _writing: bool

    # ---- bytes

    def feed(self, data: bytes) -> None:
        """Take bytes; needs the reading lock.

        Raises
        ------
        NbrpcError
            The link is to be closed with it.
        """
        if not data:
            raise ConnectionLost(f"{self.name} closed the connection")
        self._reads += 1
        self.bytes_received += len(data)
        for message in self.protocol.receive(data):
            HANDLERS[type(message)](self, message)

    def handle(self, message: Any) -> None:
        """Take one message that came with the handshake."""
        HANDLERS[type(message)](self, message)

    def on_ready_slowly(self, mask: int) -> None:
        """Read and write what is possible; from the reactor."""
        if mask & WRITE:
            self.outbox.on_writable()
            self.release_jobs()
        if mask & ~WRITE:
            self._read_ready()

    def _read_ready(self) -> None:
        if not self.reading.acquire(False):
            self._set_armed(False)
            self.reactor.lend(self.fileno(), self)
            return
        self.read_now()

    def read_now(self) -> None:
        """Take what the transport has, without waiting; has the reading lock, and lets it go."""
        try:
            self.read_bulk()
        except NbrpcError as error:
            self.lose(error)
        finally:
            self.reading.release()

    def read_bulk(self) -> None:
        """Take what the transport has, much of it where a large message is on its way."""
        if not self.closed:
            bulk = self.protocol.receiving
            data = self.transport.receive(BULK_READ_SIZE if bulk else READ_SIZE)
            if data is not None:
                self.feed(data)

    # ---- messages

    def _on_reply(self, message: Any) -> None:
        call = self.pending.pop(message.seq, None)
        if call is None:
            self._late(message)
            return
        call.resolve(message)
        if self._room:
            self._room.popleft().release()

    def _late(self, message: Any) -> None:
        """A reply that nobody waits for any more, or that nobody asked for."""
        if isinstance(message, messages.Reply):
            self.boxing.discard(message.value, message.buffers)
        newest = next(self._seqs)
        if not 0 < message.seq < newest:
            self._strange += 1
            if self._strange >= STRANGE_REPLIES:
                raise RemoteProtocolError("the peer answers requests that were never made")

    def new_job(self, request: messages.Request) -> RequestJob:
        """Make a job of a request.

        Raises
        ------
        RemoteProtocolError
            It is not one that the peer may make now.
        """
        seq = request.seq
        serving = self.serving
        if seq in serving or seq <= 0:
            raise RemoteProtocolError(f"request {seq} was sent twice")
        if len(serving) >= self.limits.requests:
            raise RemoteProtocolError(
                f"more than {self.limits.requests:,} requests are outstanding"
            )
        if request.op not in self.operations:
            raise RemoteProtocolError(
                f"the peer asks for operation {request.op}, which does not exist"
            )
        # a part of Session
        job = serving[seq] = self.job_class(self, request)  # type: ignore[arg-type]
        self.requests_served += 1
        return job

    def on_request(self, request: messages.Request) -> None:
        """Give a request to the thread that waits for its parent, or to the dispatcher."""
        job = self.new_job(request)
        if request.parent:
            call = self.pending.get(request.parent)
            if call is not None:
                job.depth = call.depth
                call.add_job(job)
                if not call.waiting:
                    # Whoever is first runs it: the dispatcher, or a thread that waits from now on.
                    self.dispatcher.submit(Claim(call, job))
                return
        self.dispatcher.submit(job)

    def redispatch(self, call: Call) -> None:
        """Nobody waits on a call any more: its jobs go where others go."""
        while call.jobs:
            try:
                self.dispatcher.submit(call.jobs.popleft())
            except IndexError:
                return

    def _on_cancel(self, message: messages.Cancel) -> None:
        job = self.serving.get(message.seq)
        if job is not None:
            job.cancel()

    def _on_release(self, message: messages.Release) -> None:
        dropped = []
        with self.guard:
            for oid, count in pairs(message.counts):
                dropped.append(self.boxing.exports.release(oid, count))
        self.drop_generators(dropped)

    def drop_generators(self, dropped: list[object]) -> None:
        """Have generators that the peer holds no longer closed: their cleanup is user code."""
        for obj in dropped:
            if type(obj) is GeneratorType:
                elsewhere = self.dispatcher if self.dispatcher.sole else self.reactor
                home = home_of(obj) or elsewhere
                home.submit(_CloseGenerator(obj))

    def _on_event(self, message: messages.Event) -> None:
        self.events_received += 1
        channel = self.channels.get(message.channel)
        if channel is not None:
            channel.receive(self, message)
        elif not PLAIN.issuperset(map(type, message.args)):
            for item in message.args:
                self.boxing.discard(item, message.buffers)

    def _on_credit(self, message: messages.Credit) -> None:
        if message.kind == "m" and self.memory is not None:
            self.memory.opened(message.channel)
            return
        table = self.subscribers if message.kind == "e" else self.streams
        target = table.get(message.channel)
        if target is not None:
            if not 0 < message.amount <= 2**31:
                raise RemoteProtocolError("the peer gives a credit that is no number of items")
            target.add_credit(message.amount)

    def _on_progress(self, message: messages.Progress) -> None:
        call = self.pending.get(message.seq)
        if call is not None:
            call.on_progress(message.done, message.total, message.text)

    def _on_output(self, message: messages.Output) -> None:
        call = self.pending.get(message.seq)
        if call is not None:
            content = self.boxing.unbox(message.content, message.buffers)
            if not is_output(message.kind, content):
                raise RemoteProtocolError("the peer sends output that is none")
            call.on_output(message.kind, content)

    def _on_items(self, message: messages.Items) -> None:
        call: Any = self.pending.get(message.seq)
        receive = getattr(call, "receive_items", None)
        if receive is None:
            for item in message.items:
                self.boxing.discard(item, message.buffers)
        else:
            receive(message)

    def _on_describe(self, message: messages.Describe) -> None:
        self.boxing.learn(message.key, message.description)

    def _on_goodbye(self, message: messages.Goodbye) -> None:
        self.said_goodbye = True
        reason = printable(message.reason[:500])
        raise ConnectionLost(
            f"{self.name} closed the connection" + (f": {reason}" if reason else "")
        )

    # ---- who reads

    def ensure_read(self) -> None:
        """Make sure that the reactor reads, unless a thread does."""
        if not self._armed and not self.closed and not self.reading.locked():
            self._set_armed(True)

    def disarm(self) -> None:
        """Have the reactor read no longer: a thread does, until it calls `ensure_read`."""
        if self._armed:
            self._set_armed(False)

    def take_back(self) -> bool:
        """Whether the reactor reads again a descriptor that a caller had; from its leader."""
        if self._armed or self.closed:
            return True
        if self.reading.locked() or self._reads != self._reads_seen:
            self._reads_seen = self._reads
            return False
        self._set_armed(True)
        return True

    def _set_armed(self, armed: bool) -> None:  # noqa: FBT001 - one flag
        with self._interest_lock:
            if armed != self._armed:
                self._armed = armed
                self._show_interest()

    def _want_write(self, writing: bool) -> None:  # noqa: FBT001 - one flag
        with self._interest_lock:
            if writing != self._writing:
                self._writing = writing
                self._show_interest()

    def _show_interest(self) -> None:
        """Tell the reactor; needs the interest lock."""
        self.reactor.interest(
            self.fileno(), (READ if self._armed else 0) | (WRITE if self._writing else 0)
        )


class _CloseGenerator:
    """The end of a generator that the peer dropped, as a job."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self.runner: Any = None

    def run(self) -> None:
        Answers.close_generator(self._generator)


def is_output(kind: str, content: object) -> bool:
    """Whether output of a cell has the form that its kind has; unknown kinds may have any."""
    fields = OUTPUT_FIELDS.get(kind, ())
    if kind in ("stdout", "stderr"):
        return type(content) is str
    return not fields or (
        type(content) is dict and all(type(content.get(name)) is form for name, form in fields)
    )


DISPLAY_FIELDS = (("data", dict), ("metadata", dict))
OUTPUT_FIELDS: dict[str, tuple[tuple[str, type], ...]] = {
    "display": (*DISPLAY_FIELDS, ("transient", dict), ("update", bool)),
    "result": DISPLAY_FIELDS,
}

HANDLERS: dict[type, Callable[[Any, Any], None]] = {
    messages.Request: Receiving.on_request,
    messages.Reply: Receiving._on_reply,
    messages.Failure: Receiving._on_reply,
    messages.Cancel: Receiving._on_cancel,
    messages.Release: Receiving._on_release,
    messages.Event: Receiving._on_event,
    messages.Credit: Receiving._on_credit,
    messages.Progress: Receiving._on_progress,
    messages.Output: Receiving._on_output,
    messages.Items: Receiving._on_items,
    messages.Ping: Heartbeats.on_ping,
    messages.Pong: Heartbeats.on_pong,
    messages.Describe: Receiving._on_describe,
    messages.Goodbye: Receiving._on_goodbye,
}
