"""`Connection`: what the user holds of a session, on either side."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nbrpc.errors import AccessDenied, CallTimeout
from nbrpc.objects.boxing import by_value
from nbrpc.options import check_seconds
from nbrpc.protocol.messages import Operation
from nbrpc.session.call import Call
from nbrpc.session.dispatch import Dispatcher, Queue
from nbrpc.session.dropping import dropped
from nbrpc.session.modules import Modules, lives
from nbrpc.session.named_sessions import Sessions
from nbrpc.session.result import AsyncResult
from nbrpc.session.waiting import wait_for

if TYPE_CHECKING:
    from nbrpc.session.reconnecting import Revival
    from nbrpc.session.session import Session

__all__ = ["Connection", "Statistics"]


class Statistics(NamedTuple):
    """Figures of a connection, or the sums of a server's.

    Attributes
    ----------
    round_trip : float or None
        Seconds of the last ping; None until one was measured.
    """

    requests_sent: int
    requests_served: int
    pending: int
    queued: int
    events_sent: int
    events_received: int
    bytes_sent: int
    bytes_received: int
    exported: int
    imported: int
    round_trip: float | None


class Connection:
    """A connection to a peer.

    It is made by ``nbrpc.connect``, and handed to a service's ``on_connect``. It may be used from
    any thread, and as a context manager, which closes it.

    Attributes
    ----------
    name : str
        The peer, for people.
    url : str
        The peer's address, without a token.
    peer : dict
        What the peer says of itself: service, host, pid, version.
    protocol : str
        ``nbrpc/1``, or ``rpyc/6`` or ``rpyc/5`` of a peer that speaks RPyC's protocol.
    """

    def __init__(self, session: Session, about: dict[str, str], url: str) -> None:
        self.session = session
        self.peer = about
        self.url = url
        self.name = about.get("name") or url
        self.protocol = session.protocol.name
        self.credentials: object = None
        self._root: Any = None
        self._root_ref: weakref.ref[Any] | None = None
        # Nothing that is made here refers to the connection: it ends when its user drops it.
        self._sessions: Sessions | None = None
        self._modules: dict[str, Any] = {}
        self._builtins: Any = None
        self._namespace: Any = None
        self.revival: Revival | None = None
        """Brings the connection back when its link is lost, with ``reconnect=True``."""
        self.renewals: list[Callable[[Session], object]] = []
        """Called with the new session when the connection has come back."""

    def __repr__(self) -> str:
        return f"<Connection to {self.url} ({self.state})>"

    # ---- life

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, and does not come back by itself."""
        return self.state == "closed"

    @property
    def state(self) -> str:
        """``open``, ``silent``, ``reconnecting`` or ``closed``.

        A silent peer is there, and has let a ping wait for one heartbeat; see `Timing`.
        """
        if not self.session.closed:
            return "silent" if self.session.silent_for else "open"
        return "reconnecting" if self.revival is not None and self.revival.working else "closed"

    @property
    def silent_for(self) -> float:
        """Seconds for which the peer has not answered a ping; 0.0 when it is not silent."""
        return self.session.silent_for

    def renew(self, session: Session, about: dict[str, str], url: str) -> Connection:
        """Go on with another session of the same place, after the link was lost; see `Revival`."""
        del url
        for turns in self.session.dispatcher.loops:
            session.dispatcher.serve_on(turns.loop)
        session.revival = self.revival
        self.session, self.peer = session, about
        session.name = self.name
        self._builtins = self._namespace = None
        self._modules = {}
        for renewal in self.renewals:
            renewal(session)
        return self

    @property
    def allows_code(self) -> bool:
        """Whether the peer lets this side run code."""
        return self.peer.get("allow_code") == "yes"

    @property
    def peer_runs_code(self) -> bool:
        """Whether this side lets the peer run code, which can then do all that this process can."""
        return self.session.policy.access.allow_code

    def close(self) -> None:
        """End the connection; calls that wait raise ConnectionLost. Closing twice does nothing."""
        self.session.close()
        if self.revival is not None:
            self.revival.stop()  # it was trying
        dispatcher = self.session.dispatcher
        if isinstance(dispatcher, Queue):
            dispatcher.close()

    def __del__(self) -> None:
        session = vars(self).get("session")  # or it was never made
        if session is None or self.closed or sys.is_finalizing():
            return
        self._root = self._builtins = self._namespace = None  # what others hold of it counts
        self._modules = {}
        dropped(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self, data: Any = None, timeout: float | None = 3.0) -> float:
        """Measure a round trip.

        Parameters
        ----------
        data
            Accepted as in RPyC, and not needed.
        timeout
            Seconds.

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        CallTimeout
            The peer did not answer in time.
        ConnectionLost
            The connection has ended.
        """
        del data
        check_seconds("the timeout", timeout)
        begun = time.monotonic()
        try:
            return self.session.ping(timeout)
        except CallTimeout:
            if timeout is None or time.monotonic() - begun < timeout:
                raise  # the call inside of which this is
            raise CallTimeout(f"{self.name} did not answer a ping within {timeout} s") from None

    def statistics(self) -> Statistics:
        """Give figures of this moment."""
        session = self.session
        boxing = session.boxing
        return Statistics(
            session.requests_sent,
            session.requests_served,
            len(session.pending),
            sum(not job.begun for job in list(session.serving.values())),
            session.events_sent,
            session.events_received,
            session.outbox.bytes_sent,
            session.bytes_received,
            len(boxing.exports),
            len(boxing.imports) - len(boxing.imports.dead),
            session.round_trip,
        )

    # ---- objects

    @property
    def root(self) -> Any:
        """What the peer serves."""
        root = self._root
        if root is None:
            root = self._root = self.session.request(Operation.ROOT, 0, "")
            self._root_ref = weakref.ref(root)
            self.session.root_oid = root._nbrpc_oid_
        return root

    @property
    def known_root(self) -> Any:
        """The proxy of what the peer serves, once somebody has asked for it and while it lives."""
        return None if self._root_ref is None else self._root_ref()

    @property
    def sessions(self) -> Sessions:
        """The named sessions of the peer, and the one that this connection is attached to."""
        if self._sessions is None:
            self._sessions = Sessions(self)
        return self._sessions

    def describe(self) -> list[tuple[str, str, str | None, str | None]]:
        """Give what the root exposes: name, kind, signature and docstring of each, in two trips.

        RPyC's servers tell no signatures, and what else they tell takes one trip.
        """
        root = self.root
        if self.session.nests:
            told = self.session.request(Operation.DESCRIBE, root._nbrpc_oid_, "", ("overview",))
            return list(told)
        members = dict(root._nbrpc_description_.members)
        oid = root._nbrpc_oid_
        asked = [
            (name, kind, self.start(Operation.DESCRIBE, oid, name))
            for name, kind in sorted(members.items())
        ]
        described = []
        for name, kind, result in asked:
            found = result.value if result.exception() is None else {}
            described.append((name, kind, found.get("signature"), found.get("doc")))
        return described

    # ---- serving, where requests of the peer wait for this side

    def fileno(self) -> int:
        """Give a descriptor that is readable while requests of the peer wait for `serve`.

        Register it with a foreign event loop, and call `serve` or `poll_all` when it is readable.
        """
        dispatcher = self.session.dispatcher
        if isinstance(dispatcher, Queue):
            return dispatcher.fileno()
        return self.session.fileno()

    def serve(self, timeout: float | None = 1.0) -> bool:
        """Wait for requests and events of the peer, and run those that are there.

        Parameters
        ----------
        timeout
            Seconds; None waits until something comes, 0 only looks.

        Returns
        -------
        bool
            Whether anything was run.

        Raises
        ------
        ConnectionLost
            The connection has ended and nothing is left to run.
        """
        check_seconds("the timeout", timeout)
        if self.session.dispatcher.run_queued():
            return True
        if timeout == 0:
            return self._look()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            session = self.session
            if session.closed and self.closed:
                raise session.lost_error()
            arrival = _Arrival(session, session.dispatcher)
            try:
                wait_for(arrival, deadline)
            except CallTimeout:
                if deadline is None or time.monotonic() < deadline:
                    raise  # the call inside of which this is
                return False
            if arrival.ran or not session.comes_back:
                return arrival.ran

    def _look(self) -> bool:
        """Take what the socket has now, and run it."""
        session = self.session
        if session.closed and self.closed:
            raise session.lost_error()
        if session.reading.acquire(False):
            session.read_now()
        return bool(session.dispatcher.run_queued())

    def poll(self, timeout: float = 0) -> bool:
        """Run what is there, waiting at most ``timeout`` seconds; True when anything ran."""
        return self.serve(timeout)

    def poll_all(self, timeout: float = 0) -> bool:
        """Run everything that is there, and what comes within ``timeout`` seconds."""
        check_seconds("the timeout", timeout)
        ends = time.monotonic() + timeout
        ran = False
        while self.serve(max(0.0, ends - time.monotonic())):
            ran = True
        return ran

    def serve_all(self) -> None:
        """Run requests and events until the connection ends, then close it."""
        try:
            while not self.closed:
                self.serve(None)
        except (EOFError, ConnectionError):
            pass
        finally:
            self.close()

    def set_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Have requests and events of the peer run elsewhere; what is queued moves along."""
        session = self.session
        old, session.dispatcher = session.dispatcher, dispatcher
        jobs = getattr(old, "jobs", None)
        while jobs:
            dispatcher.submit(jobs.popleft())

    # ---- asynchronous requests

    def start(
        self,
        op: Operation,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        call: str = "",
    ) -> AsyncResult:
        """Send a request and give its result, which may still be on its way."""
        return self.session.start_request(op, oid, name, args, kwargs, call=call)

    # ---- code; the peer must allow it

    @property
    def modules(self) -> Modules:
        """The peer's modules: ``conn.modules.os`` or ``conn.modules["os.path"]``."""
        return Modules(self._import, self._modules)

    def _import(self, name: str) -> Any:
        _check_text("the name of a module", name)
        return self.session.request(Operation.IMPORT, 0, name)

    @property
    def builtins(self) -> Any:
        """The peer's builtins."""
        if not lives(self._builtins):
            self._builtins = self._import("builtins")
        return self._builtins

    builtin = builtins

    @property
    def namespace(self) -> Any:
        """The namespace of `eval`, `execute` and cells."""
        if not lives(self._namespace):
            self._namespace = self.session.request(Operation.EXECUTE, 0, "", ("namespace",))
        return self._namespace

    def eval(self, expression: str) -> Any:
        """Evaluate an expression on the peer."""
        _check_text("an expression", expression)
        return self.session.request(Operation.EVALUATE, 0, expression)

    def execute(self, source: str) -> None:
        """Execute statements on the peer."""
        _check_text("source", source)
        self.session.request(Operation.EXECUTE, 0, source)

    def evaluate(self, expression: str) -> AsyncResult:
        """Evaluate an expression on the peer, asynchronously."""
        self._check_code()
        _check_text("an expression", expression)
        return self.start(Operation.EVALUATE, 0, expression, call=expression)

    def run_cell(
        self,
        source: str,
        *,
        filename: str = "<remote cell>",
        first_line: int = 1,
        push: dict[str, Any] | None = None,
        pull: tuple[str, ...] = (),
    ) -> AsyncResult:
        """Run a notebook cell on the peer.

        Parameters
        ----------
        first_line
            The line of the editor in which ``source`` begins.
        push
            Variables to set there first, by value.
        pull
            Names to bring back, by value: the result's value is a dict of them.

        Returns
        -------
        AsyncResult
            What the cell prints and displays arrives in its ``outputs``. In a named session it
            goes on when the link is lost and comes back.
        """
        self._check_code()
        _check_text("source", source)
        first = source.strip().partition("\n")[0][:60]
        pushed = by_value(push) if push else None
        arguments = (filename, first_line, pushed, tuple(pull))
        if self.sessions.attached:
            return self.sessions.run_cell(source, arguments, first)
        result = self.start(Operation.CELL, 0, source, arguments, call=first)
        result.is_cell = True
        return result

    def complete(self, source: str, cursor: int) -> dict[str, Any]:
        """Complete a name in the namespace of cells."""
        return self.session.request(Operation.COMPLETE, 0, "", (source, cursor))  # type: ignore[no-any-return]

    def inspect(self, source: str, cursor: int, detail: int = 0) -> dict[str, Any]:
        """Describe a name in the namespace of cells, as ``?`` does."""
        return self.session.request(Operation.INSPECT, 0, "", (source, cursor, detail))  # type: ignore[no-any-return]

    def _check_code(self) -> None:
        if not self.allows_code:
            raise AccessDenied(
                f"{self.name} does not let clients run code: start it with --allow-code "
                "(serve(..., allow_code=True)) or --classic"
            )


def _check_text(what: str, text: object) -> None:
    """Refuse what the peer would take for a breach of the protocol."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a text, not {type(text).__name__}")


class _Arrival(Call):
    """Waits until the dispatcher has run something, the session has ended, or another is there."""

    holds = False  # what comes is waited for so long, and may then take its time

    def __init__(self, session: Session, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        super().__init__(session, 0)
        self.ran = False

    def served(self) -> None:
        """Something was run."""
        self.ran = True

    @property
    def done(self) -> bool:
        """Whether something was run, or nothing will come this way."""
        session = self.session
        return self.ran or (
            session.closed and (not session.comes_back or session.owner.session is not session)
        )

    @done.setter
    def done(self, value: bool) -> None:
        """It ends with an arrival only."""
