"""Named sessions: what remote cells made and gave outlives the connection that asked for it.

A `NamedSession` is a namespace with the cells that run in it and those that have ended. Connections
attach to it by its name; while none is attached it goes on, and it expires when nothing has
happened in it for long. What the server serves is ``root`` in it, as in the namespace of every
connection.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbrpc.errors import CallCancelled, LimitExceeded
from nbrpc.objects.boxing import ByValue
from nbrpc.server.kept_cells import Keeper, KeptCell
from nbrpc.session.code import new_namespace, run_source
from nbrpc.session.job import UNANSWERED
from nbrpc.session.reactor import reactor

if TYPE_CHECKING:
    from nbrpc.options import Limits
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["NamedSession", "Sessions"]

STOP = 2.0
"""Seconds in which the cells of a session that is ended have to stop."""

LONGEST_NAME = 100

SEEN_ALL = 2**62
"""The position of whoever wants no output of a cell."""


class NamedSession(Keeper):
    """A namespace with its cells.

    Parameters
    ----------
    name
        What people call it.
    limits
        How much of its results is kept.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        super().__init__()
        self.name = name
        self.limits = limits
        self.identity = uuid4().hex
        """Another one when the session begins anew."""
        self.created = time.time()
        self.ended = False
        self.namespace: dict[str, Any] = {}
        self.attached: set[Session] = set()
        self.used = time.monotonic()
        """When it was last attached to, or a cell ended."""
        self._seen: set[str] = set()
        """Numbers of all cells that it ran, kept or not."""
        self._size = 0

    # ---- connections

    def attach(self, session: Session) -> None:
        """Have the cells of a connection run here."""
        with self.lock:
            fresh = not self.namespace
            if fresh:
                self.namespace.update(new_namespace(session.root_object))
            elif session.root_object is not None:
                self.namespace["root"] = session.root_object
            self.attached.add(session)
            self.used = time.monotonic()
        session.kept = self
        session.namespace = self.namespace

    def detach(self, session: Session) -> None:
        """A connection has ended, or has gone to another session."""
        with self.lock:
            self.attached.discard(session)
            self.used = time.monotonic()

    # ---- cells

    def run_cell(self, session: Session, job: RequestJob, args: tuple[Any, ...]) -> Any:
        """Run a cell that a connection asks for, or follow it if it has been asked for before.

        Raises
        ------
        LookupError
            It ran, and what it gave is kept no longer; or the session was ended.
        ValueError
            The number or the position is none.
        """
        filename, first_line, push, pull, number, position = args
        self.check_alive()
        if type(number) is not str or not 0 < len(number) <= LONGEST_NAME:
            raise ValueError(f"a cell has a number of 1 to {LONGEST_NAME} characters")
        if type(position) is not int or position < 0:
            raise ValueError("the outputs that were seen are counted from 0")
        source = job.request.name
        with self.lock:
            cell = self.cells.get(number)
            if cell is None and number in self._seen:
                raise LookupError("the cell ran, and its result is kept no longer")
            begins = cell is None
            if cell is None:
                self._seen.add(number)

                def work(cell: KeptCell) -> Any:
                    return self._run(session, cell, source, (filename, first_line, pull))

                cell = self.cells[number] = KeptCell(self, number, label_of(source), work)
        if begins:
            self.namespace.update(push or {})
        cell.follow(session, job, position)
        if begins:
            cell.run()
        return UNANSWERED

    def _run(self, session: Session, cell: KeptCell, source: str, rest: tuple[Any, ...]) -> Any:
        filename, first_line, pull = rest
        namespace = self.namespace

        def run() -> Any:
            return run_source(
                session.shell,
                source,
                namespace=namespace,
                emit=cell.emit,
                filename=str(filename),
                first_line=int(first_line),
                pull=pull,
            )

        runner = session.cell_runner
        return run() if runner is None else runner.run_cell(cell, run)

    def cell_ended(self, cell: KeptCell) -> None:
        """A cell is done: forget the oldest results that are too many."""
        with self.lock:
            self.used = time.monotonic()
            done = [known for known in self.cells.values() if known.ended.is_set()]
            for earlier in done:
                if earlier is not cell:
                    earlier.forget_variables()
            for earlier in done[: max(0, len(done) - self.limits.session_results)]:
                self._size -= earlier.size
                del self.cells[earlier.number]

    def make_room(self, size: int) -> None:
        """So many more bytes of output are kept: drop the oldest of what is too much."""
        self._size += size
        for cell in self.cells.values():
            while self._size > self.limits.session_output:
                before = cell.size
                if not cell.drop_oldest():
                    break
                self._size -= before - cell.size

    @property
    def running(self) -> list[KeptCell]:
        """The cells that run or wait to."""
        with self.lock:
            return [cell for cell in self.cells.values() if not cell.ended.is_set()]

    # ---- the end

    def clear(self) -> bool:
        """Stop what runs, and begin anew with a fresh namespace; the memory goes back.

        Returns
        -------
        bool
            False when a cell runs on, because it does not let itself be stopped.
        """
        stopped = self._stop()
        with self.lock:
            old, self.namespace = self.namespace, {}
            self.cells.clear()
            self._size = 0
            self.identity = uuid4().hex
            attached = list(self.attached)
        for session in attached:
            session.last_failure = None
            self.attach(session)
        old.clear()  # functions and classes made there hold it
        give_back_memory()
        return stopped

    def end(self) -> bool:
        """Stop what runs, and let go of everything; what `clear` gives."""
        self.ended = True
        return self.clear()

    def _stop(self) -> bool:
        running = self.running
        for cell in running:
            cell.cancel()
        ends = time.monotonic() + STOP
        return all(cell.ended.wait(max(0.0, ends - time.monotonic())) for cell in running)

    def check_alive(self) -> None:
        """Refuse what is asked of a session that was ended.

        Raises
        ------
        LookupError
            It was.
        """
        if self.ended:
            raise LookupError(
                f"session {self.name} was ended: connect again, with or without a session"
            )

    def told(self, expiry: float | None) -> dict[str, Any]:
        """Give what people are told of it."""
        with self.lock:
            running = self.running
            idle = 0.0 if self.attached or running else time.monotonic() - self.used
            hidden = new_namespace(None).keys() | {"root"}
            names = [n for n in list(self.namespace) if n not in hidden and not n.startswith("_")]
            return {
                "id": self.identity,
                "name": self.name,
                "created": self.created,
                "connections": len(self.attached),
                "variables": len(names),
                "running": running[0].label if running else "",
                "running_for": running[0].elapsed if running else None,
                "results": len(self.cells) - len(running),
                "idle": idle,
                "expires_in": None if expiry is None else max(0.0, expiry - idle),
            }


class Sessions:
    """The named sessions of a server.

    Parameters
    ----------
    limits
        How many there may be, and what each keeps.
    expiry
        Seconds after which one ends in which nothing happens; None is never.
    """

    def __init__(self, limits: Limits, expiry: float | None) -> None:
        self._limits = limits
        self._expiry = expiry
        self._lock = threading.Lock()  # guards the table
        self._by_name: dict[str, NamedSession] = {}

    @property
    def empty(self) -> bool:
        """Whether there is none."""
        return not self._by_name

    def carry_out(self, session: Session, job: RequestJob, args: list[Any]) -> Any:
        """Do what a connection asks for; the name of the request is the action.

        Raises
        ------
        LookupError
            There is no such session, or no such action.
        LimitExceeded
            There are as many sessions as there may be.
        ValueError
            A session cannot be called that.
        """
        action = job.request.name
        if action == "cancel":
            return self.cancel(session, job, *args)
        act = ACTIONS.get(action)
        if act is None:
            raise LookupError(f"sessions know no {action!r}")
        return ByValue(act(self, session, *args))

    @staticmethod
    def cancel(session: Session, job: RequestJob, number: str) -> Any:
        """Cancel a cell of the attached session; the end of the cell answers the request."""
        cell = None if session.kept is None else session.kept.cells.get(number)
        if cell is None:
            raise CallCancelled("the call was cancelled before it ran")
        cell.follow(session, job, SEEN_ALL)
        cell.cancel()
        return UNANSWERED

    def attach(self, session: Session, name: str) -> dict[str, Any]:
        """Attach a connection to the session of that name, which begins if there is none."""
        check_name(name)
        with self._lock:
            found = self._by_name.get(name)
            new = found is None
            if found is None:
                most = self._limits.sessions
                if len(self._by_name) >= most:
                    raise LimitExceeded(
                        f"this server keeps {most} sessions already: end one that is not needed, "
                        "or raise Limits.sessions there"
                    )
                found = self._by_name[name] = NamedSession(name, self._limits)
            earlier = session.kept
            found.attach(session)
        if earlier is not None and earlier is not found:
            earlier.detach(session)
        return {**found.told(self._expiry), "new": new}

    def listed(self, _session: Session) -> list[dict[str, Any]]:
        """Tell of all sessions."""
        with self._lock:
            return [known.told(self._expiry) for known in self._by_name.values()]

    def described(self, _session: Session, name: str) -> dict[str, Any]:
        """Tell of one session."""
        return self._find(name).told(self._expiry)

    def results(self, _session: Session, name: str) -> list[tuple[str, str, str, float]]:
        """Tell of the cells of a session: number, label, state, seconds; the oldest first."""
        found = self._find(name)
        with found.lock:
            return [(c.number, c.label, c.state, c.elapsed) for c in found.cells.values()]

    def restart(self, _session: Session, name: str) -> dict[str, Any]:
        """Have a session begin anew."""
        found = self._find(name)
        stopped = found.clear()
        return {**found.told(self._expiry), "stopped": stopped}

    def end(self, _session: Session, name: str) -> bool:
        """End a session; whether what ran there has stopped."""
        found = self._find(name)
        with self._lock:
            if self._by_name.get(name) is found:
                del self._by_name[name]
        return found.end()

    def left(self, session: Session) -> None:
        """A connection has ended: what it was attached to expires, if nothing else happens."""
        found: NamedSession | None = session.kept
        if found is not None:
            found.detach(session)
            self.wait_for_expiry(found)

    def wait_for_expiry(self, found: NamedSession) -> None:
        """Look again when a session may have expired."""
        if self._expiry is not None:
            idle = time.monotonic() - found.used
            reactor().call_later(max(0.05, self._expiry - idle), _Expiry(self, found))

    def expire(self, found: NamedSession) -> None:
        """End a session if nothing has happened in it for long; look again later if it runs."""
        with self._lock:
            if found.ended or found.attached or self._expiry is None:
                return
            idle = 0.0 if found.running else time.monotonic() - found.used
            expired = idle >= self._expiry
            if expired:
                self._by_name.pop(found.name, None)
        if expired:
            found.end()
        else:
            self.wait_for_expiry(found)

    def close(self) -> None:
        """The server ends, and its sessions with it."""
        with self._lock:
            ending = list(self._by_name.values())
            self._by_name.clear()
        for known in ending:
            known.ended = True
            for cell in known.running:
                cell.cancel()

    def _find(self, name: str) -> NamedSession:
        with self._lock:
            found = self._by_name.get(name)
            known = ", ".join(sorted(self._by_name)) or "none"
        if found is None:
            raise LookupError(f"there is no session {name!r} on this server: there is {known}")
        return found


ACTIONS: dict[str, Callable[..., Any]] = {
    "attach": Sessions.attach,
    "list": Sessions.listed,
    "describe": Sessions.described,
    "results": Sessions.results,
    "restart": Sessions.restart,
    "end": Sessions.end,
}
"""What a connection may ask for, by the name in its request."""


class _Expiry:
    """A look whether a session has expired, as a job."""

    def __init__(self, sessions: Sessions, found: NamedSession) -> None:
        self._sessions = sessions
        self._found = found

    def run(self) -> None:
        self._sessions.expire(self._found)


def check_name(name: object) -> None:
    """Refuse what cannot be told apart in a list.

    Raises
    ------
    ValueError
        A session cannot be called that.
    """
    if type(name) is not str or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"a session has a name of 1 to {LONGEST_NAME} characters that can be shown"
        )


def label_of(source: str) -> str:
    """Give the first line of a cell, in short."""
    return source.strip().partition("\n")[0][:60]


def give_back_memory() -> None:
    """Free what only cycles hold, and give freed memory to the system where it keeps it."""
    gc.collect()
    trim = getattr(_libc(), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _libc() -> Any:
    import ctypes  # 10 ms of import that most servers never need

    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no such library
        return None
