"""A session with a peer that speaks RPyC's protocol.

Theory of operation
-------------------
The engine is that of every session; what differs is what RPyC's wire cannot say:

* *Inside which call a request was made.* RPyC runs what comes on whichever thread waits, and so
  does this side: while a thread waits for the peer, inside a job or not, it runs what the peer
  asks. Where nobody waits, requests run one after another, in their order (`InTurn` on a server).
* *That something is given back* without a request. Releases are requests, written behind the next
  message so that they never hold one up, and those of the peer are carried out in their turn, since
  requests that came before them may still need the object.
* *Which methods a class has*, until it is asked: once for each class, by whoever unboxes the first
  reference to one of its objects.
* *That a call is to be stopped*, or how long its caller waits. Both free the caller only.
* *Heartbeats*: an RPyC peer that is at work, or that serves nobody at the moment, answers no ping.
  TCP's own probes find a peer that is gone.
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections import deque
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from nbrpc.errors import CallTimeout, NbrpcError, RemoteProtocolError
from nbrpc.objects import proxy as proxies
from nbrpc.objects import proxy_classes
from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import ByValue, Draft
from nbrpc.objects.draft import DATA
from nbrpc.objects.error_data import is_plain
from nbrpc.objects.failures import SYNTAX_FIELDS, whole_text
from nbrpc.objects.static import own_attributes
from nbrpc.options import Limits, Timing
from nbrpc.protocol import messages
from nbrpc.protocol.codec import Box, Description
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc.handlers import Dialect
from nbrpc.protocol.rpyc.machine import FIRST_QUICK_SEQ, NO_REPLY, RpycProtocol
from nbrpc.protocol.rpyc.requests import RpycOperation
from nbrpc.session import serial
from nbrpc.session.call import Call, current_job
from nbrpc.session.job import RequestJob
from nbrpc.session.rpyc import cells, iterating, patience, quick, translated
from nbrpc.session.rpyc.boxing import RpycBoxing
from nbrpc.session.rpyc.operations import RPYC_OPERATIONS
from nbrpc.session.session import Session
from nbrpc.session.waiting import wait_for
from nbrpc.transports.base import Transport
from nbrpc.transports.tuning import acknowledge_at_once

__all__ = ["RpycSession"]

ENOUGH = 64
"""Requests that are written together."""

FEW = 12
"""Outstanding requests below which nothing waits: about as many as are written together."""

FREE_NESTING = 24
"""Jobs within each other up to which a thread that waits inside a job runs the next one at once."""

PATIENCE = 0.005
"""Seconds for which such a thread waits for its answer first, if others were queued before it
asked: calls whose handlers call back would pile up on the stack when many come at once. A job that
has to run before that answer can come is held up by so much."""

DEEP_PATIENCE = 0.01
LONGEST_PATIENCE = 1.0
"""The same for each level beyond `FREE_NESTING`, and at most."""

SENT_QUIETLY = frozenset({Kind.RELEASE, Kind.PING, Kind.GOODBYE})


class RpycJob(RequestJob):
    """A request of an RPyC peer, which runs inside of another if a thread waits in that one."""

    def run(self) -> None:
        """Run the request and answer it."""
        outer = current_job.get()
        if outer is not None:
            self.depth = outer.depth + 1
        super().run()


class RpycSession(Session):
    """The live state of one connection to an RPyC peer; the parameters are those of `Session`."""

    protocol: RpycProtocol
    boxing: RpycBoxing
    operations = RPYC_OPERATIONS
    nests = True
    job_class = RpycJob
    allows_code: bool = False
    """Whether the peer lets this side run code."""
    classic_root: Any = None
    """What the peer has as root where this side lets it run code, once it has asked."""
    cell_shell: Any = None
    """What runs cells on the peer, once there was one."""

    def __init__(
        self,
        transport: Transport,
        protocol: RpycProtocol,
        policy: Policy,
        *,
        connecting: bool,
        dispatcher: Any,
        limits: Limits,
        timing: Timing,
        **options: Any,
    ) -> None:
        super().__init__(
            transport,
            protocol,
            policy,
            connecting=connecting,
            dispatcher=dispatcher,
            limits=limits,
            timing=replace(timing, heartbeat=None, silent_after=None),
            **options,
        )
        self.plain_socket, self.socket = self.socket, None  # that is of native short ways
        self._seqs = count(FIRST_QUICK_SEQ)
        self.acknowledge = acknowledge_at_once(transport)
        boxing = RpycBoxing(policy, limits, self.guard, self._make_proxy, self._home)
        boxing.note_class = protocol.lent.note_class
        boxing.class_numbers = {}
        protocol.object_of = self._object_of
        boxing.tells_methods = lambda: protocol.dialect is Dialect.RPYC6
        boxing.class_of = protocol.held.class_of
        boxing.inspect = lambda oid, seconds: self.request(
            RpycOperation.SPECIALS, oid, "", timeout=seconds
        )
        boxing.resolve = lambda oid, path: self.request(Operation.GET, oid, path)
        boxing.errors = None  # its exceptions tell one base class at most
        self.boxing = boxing
        self.iterate_in_chunks = partial(iterating.in_chunks, self)
        self.gathered: deque[bytes] = deque()
        """Requests that wait for company."""
        self._gathering = allocate_lock()
        self.carried: dict[str, Any] = {}
        """Modules whose text runs on the peer."""
        self.root: Any = None
        """The proxy of what the peer serves, once it is known."""

    def _proxy_class(self, description: Description, *, named: bool) -> type[proxies.Proxy]:
        del named  # nothing has a text on RPyC's wire
        return proxy_classes.rpyc_proxy_class(description, connecting=self.connecting)

    def _object_of(self, oid: int) -> Any:
        entry = self.boxing.exports.entries.get(oid)
        return None if entry is None else entry.obj

    # ---- bytes

    def feed(self, data: bytes) -> None:
        """Take bytes; needs the reading lock.

        A server that has written an answer writes the next only when the first is acknowledged, and
        an acknowledgement may take 40 ms: RPyC's leaves TCP's delays as they are.
        """
        super().feed(data)
        self.acknowledge()
        if self.gathered and len(self.pending) - len(self.gathered) < FEW:
            self.send_gathered()
        outgoing = self.protocol.outgoing
        while outgoing:
            self.outbox.write([outgoing.pop(0)])

    # ---- requests of ours

    def request(
        self,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Ask the peer and wait for the answer; in several requests where RPyC needs them."""
        translate = translated.TRANSLATED.get(op)
        if translate is not None:
            with patience.within(timeout):
                return translate(self, oid, name, args)
        if timeout is None:
            timeout = patience.seconds_left()
        if self.plain_socket is not None and not (kwargs or timeout):
            value = quick.request(self, self.plain_socket, op, oid, name, args)
            if value is not NO_REPLY:
                return value
        return self.finish(*self.begin(op, oid, name, args, kwargs, timeout))

    def ask(
        self, op: int, oid: int, name: str, args: tuple[Any, ...] = (), *, timeout: float
    ) -> Any:
        """Ask the peer; it may first ask something itself, and wait for that."""
        return self.request(op, oid, name, args, None, timeout)

    def gather(self, data: bytes) -> None:
        """Send a request together with some more.

        RPyC's servers run the requests of a connection one after another: where many are waiting
        there, it does not matter that one is sent a little later, and a write costs as much as all
        else of a request. What is here leaves when it is enough, before anything else is sent, and
        when the peer has answered all but a few.
        """
        self.gathered.append(data)
        if len(self.gathered) >= ENOUGH:
            self.send_gathered()

    def send_gathered(self) -> None:
        """Send the requests that `gather` has."""
        with self._gathering:  # else what two threads have taken could change its order
            pieces = [self.gathered.popleft() for _ in range(len(self.gathered))]
            if pieces:
                self.outbox.write([b"".join(pieces)])

    def on_tick(self, now: float) -> None:
        """Send what was gathered: what the peer has may itself wait for one of these."""
        if self.gathered:
            self.send_gathered()
        super().on_tick(now)

    def new_call(self) -> Call:
        """Give the call for a request on whose answer this thread waits."""
        call = Call(self, next(self._seqs))
        call.waiting = True
        return call

    def note_read(self, size: int) -> None:
        """Count what was read without `feed`."""
        self._reads += 1
        self.bytes_received += size

    def send_request(
        self,
        call: Any,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a request; raises as that of the base does.

        Raises
        ------
        LocalProtocolError
            RPyC has no form for it; nothing was sent.
        """
        if op == Operation.EVALUATE:
            oid, name, args = self.root._nbrpc_oid_, "eval", (name,)
            op = Operation.CALL
        elif op == Operation.CELL:
            cells.start(self, call, name, args)
            return
        elif op in translated.MISSING:
            translated.MISSING[op](self, oid, name, args)
        call.inside = current_job.get()
        call.plain = op == RpycOperation.SPECIALS
        super().send_request(call, op, oid, name, args, kwargs, timeout)

    def begin(self, *request: Any, revives: bool = True) -> tuple[Any, float | None]:
        """Ask the peer; see that of the base."""
        behind = current_job.get() is not None and self._has_queued()
        call: Any
        call, deadline = super().begin(*request, revives=revives)
        if call.depth > FREE_NESTING:
            call.patience = min(DEEP_PATIENCE * (call.depth - FREE_NESTING), LONGEST_PATIENCE)
        else:
            call.patience = PATIENCE if behind else 0.0
        return call, deadline

    def result_of(self, call: Any) -> Any:
        """Give the value of a call that is done, or raise its error.

        Raises
        ------
        RemoteProtocolError
            A class is described with references, whose classes would have to be described.
        """
        reply = call.reply
        described = getattr(call, "plain", False) and type(reply) is messages.Reply
        if described and isinstance(reply.value, Box):
            self.boxing.discard(reply.value)
            raise RemoteProtocolError(f"{self.name} describes a class in no way that RPyC has")
        return super().result_of(call)

    def _has_queued(self) -> bool:
        """Whether requests of the peer wait that are no releases."""
        if not self.dispatcher.has_jobs():
            return False
        release = RpycOperation.RELEASE
        jobs = list(self.serving.values())
        return any(not job.begun and job.request.op != release for job in jobs)

    def finish(self, call: Any, deadline: float | None = None) -> Any:
        """Wait for the answer to a request of `begin`, and give it."""
        patience = call.patience
        if patience:
            ends = time.monotonic() + patience
            try:
                wait_for(call, ends if deadline is None else min(ends, deadline), serve=False)
            except CallTimeout:
                pass  # from now on, what the peer asks runs meanwhile
            except BaseException:  # and it is raised again
                self.abandon(call)
                raise
            else:
                return self.result_of(call)
        return super().finish(call, deadline)

    def start_quickly(self, call: Call, oid: int, name: str, args: tuple[Any, ...]) -> bool:
        """Send the request of an asynchronous call; False when it must take the long way."""
        socket = self.plain_socket
        return socket is not None and quick.start(self, socket, call, (oid, name), args)

    def iterate(self, proxy: proxies.Proxy) -> Any:
        """Iterate over a remote object: chunks of a container, else item by item."""
        return iterating.iterate(self, proxy)

    def iterate_async(self, proxy: proxies.Proxy) -> Any:
        """Iterate without blocking an event loop."""
        return iterating.iterate_async(self, proxy)

    def iterate_items(self, proxy: proxies.Proxy) -> Any:
        """Iterate over the keys and values of a remote dictionary."""
        items = self.request(Operation.CALL, proxy._nbrpc_oid_, "items")
        return iterating.iterate(self, items) if proxies.is_proxy(items) else iter(items)

    def advance(self, proxy: proxies.Proxy, sent: object = None) -> Any:
        """Give the next item of a remote iterator, or what a generator gives for what is sent."""
        return iterating.advance(self, proxy, sent)

    def abandon(self, call: Any) -> None:
        """Nobody waits for a call any more; RPyC knows no way to stop it."""
        self.forget(call)

    def finish_next(self, call: Any, deadline: float | None) -> Any:
        """Wait for the answer to a request for the next item, which may be that there is none."""
        try:
            return self.finish(call, deadline)
        except NbrpcError:
            reply = call.reply
            if type(reply) is messages.Failure and reply.error.type_name == "StopIteration":
                raise StopIteration(*filter(is_plain, reply.error.args[:1])) from None
            raise

    # ---- sending

    def send(
        self,
        kind: Kind,
        fields: tuple[Any, ...],
        draft: Draft | None = None,
        *,
        keep: object = None,
        lazy: bool = False,
        ordered: bool = False,
    ) -> int:
        """Send one message, and what is to be given back behind it; give the size."""
        del keep
        if self.gathered:
            self.send_gathered()
        try:
            pieces = self.protocol.encode(kind, fields)
        except BaseException:  # and it is raised again
            if draft is not None:
                draft.undo()
            raise
        imports = self.boxing.imports
        if imports.dead or imports.owed:
            pieces = [*pieces, *self._released()]
        self.outbox.write(pieces, lazy=lazy, ordered=ordered)
        return sum(map(len, pieces))

    def send_quietly(self, kind: Kind, fields: tuple[Any, ...]) -> None:
        """Send a message for which nobody waits, if RPyC has a form for it."""
        if kind in SENT_QUIETLY:
            super().send_quietly(kind, fields)

    def let_go(self) -> None:
        """Drop what the session itself holds of the peer; it is asked for again if need be."""
        self.root = self.cell_shell = None
        self.carried = {}

    def close(self, reason: str = "") -> None:
        """End the connection from this side, with all that it was to send."""
        self.send_gathered()
        super().close(reason)

    def send_releases(self) -> None:
        """Give back the references of proxies that have died."""
        self.send_gathered()
        pieces = self._released()
        if pieces and not self.closed:
            self.outbox.write(pieces)

    def _released(self) -> list[Any]:
        with self.guard:
            counts = self.boxing.imports.releases()
            # Inside the lock: a name must not be forgotten while the same object arrives anew.
            return self.protocol.encode(Kind.RELEASE, (counts,)) if counts else []

    def _say_goodbye(self, reason: str) -> None:
        """RPyC's peers are told no reasons."""

    # ---- requests of the peer

    def new_job(self, request: messages.Request) -> RequestJob:
        """Make a job of a request; one for a thread of a serial service that waits is run there."""
        job = super().new_job(request)
        if self.cell_shell is not None:
            request.parent = cells.home_of_output(self, request)
        home = serial.thread_for(job)
        if home is not None:
            for call in reversed(list(self.pending.values())):
                runner = getattr(getattr(call, "inside", None), "runner", None)
                if runner is not None and runner.jobs is home.jobs and call.waiting:
                    request.parent, job.runner = call.seq, runner
                    break
        return job

    def answer(self, job: RequestJob, value: Any) -> None:
        """Send the result of a request; what cannot be copied goes by reference."""
        job.form = DATA
        while type(value) is ByValue:
            value = value.obj
        super().answer(job, value)

    def describe_failure(
        self, error: BaseException, draft: Draft, *, parent: int | None = None
    ) -> messages.Error:
        """Describe an exception: with the text of its causes, and all its public attributes."""
        record = super().describe_failure(error, draft, parent=parent)
        record.text = whole_text(record)
        attributes: dict[str, Any] = record.attributes
        for name, value in own_attributes(error).items():
            if name[:1] != "_" and is_plain(value):
                attributes.setdefault(name, value)
        if isinstance(error, SyntaxError):
            attributes |= {name: getattr(error, name) for name in SYNTAX_FIELDS}
        return record
