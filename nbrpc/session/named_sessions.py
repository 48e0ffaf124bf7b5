"""The named sessions of a peer, as its clients see them: ``conn.sessions``.

A connection that is attached to a named session runs its cells there, and the cells do not end with
the link. Their results wait for it to come back (with ``reconnect=True``), and then follow the same
cells from the first output that they have not seen. A cell whose request may not have arrived is
asked for once more, by the same number: the server runs each number once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from nbrpc.errors import AccessDenied, ConnectionLost, NbrpcError
from nbrpc.protocol.messages import Operation
from nbrpc.session.result import AsyncResult

if TYPE_CHECKING:
    from nbrpc.session.connection import Connection
    from nbrpc.session.session import Session

__all__ = ["CellResult", "SessionInfo", "Sessions"]

log = logging.getLogger("nbrpc.session")


class SessionInfo(NamedTuple):
    """What a server tells of a named session.

    Attributes
    ----------
    name : str
        Its name.
    created : float
        When it began, in seconds since the epoch of the server's clock.
    connections : int
        How many are attached to it.
    variables : int
        How many variables cells have made.
    running : str
        The beginning of the cell that runs there; empty while none does.
    running_for : float or None
        Seconds for which that cell has been running.
    results : int
        How many results of cells that have ended are kept.
    idle : float
        Seconds since something happened in it; 0 while a connection is attached or a cell runs.
    expires_in : float or None
        Seconds of further idleness after which it ends; None if it does not.
    """

    name: str
    created: float
    connections: int
    variables: int
    running: str
    running_for: float | None
    results: int
    idle: float
    expires_in: float | None


class CellResult(AsyncResult):
    """The result of a cell that runs in a named session; it outlives the link.

    Attributes
    ----------
    received : int
        How many outputs have come.
    """

    reads_socket = False
    is_cell = True
    number = ""
    received = 0
    request: tuple[str, tuple[Any, ...]] = ("", ())
    took: float | None = None
    """Seconds that a cell ran which had ended when it was asked for."""
    sessions: Sessions

    def ask(self) -> None:
        """Ask the peer to run the cell, or to go on telling of it; or to cancel it."""
        session = self.session
        self.seq = session.next_seq()
        if self._cancel_requested:
            # A Cancel of the request might find it before it follows the cell.
            session.send_request(self, Operation.SESSION, 0, "cancel", (self.number,))
            return
        source, arguments = self.request
        if self.received:  # it runs, so what it needed is there
            arguments = (*arguments[:2], None, *arguments[3:])
        session.send_request(
            self, Operation.CELL, 0, source, (*arguments, self.number, self.received)
        )

    def on_output(self, kind: str, content: Any) -> None:
        """Note what the cell printed."""
        if kind == "skipped":
            self.received += int(content)
            kind, content = "stderr", f"[{content} earlier pieces of output are not kept]\n"
        else:
            self.received += 1
        super().on_output(kind, content)

    def resolve(self, reply: Any) -> None:
        """End the result, unless its link is lost and comes back."""
        if isinstance(reply, ConnectionLost) and self.sessions.hold(self):
            return
        if self.took is not None and self._ended is None:
            self._ended = self.started + self.took
        super().resolve(reply)

    def forked(self, error: BaseException) -> None:
        """In a forked child: end without telling anybody."""
        self._callbacks = self._observers = ()
        super().resolve(error)


class Sessions:
    """The named sessions of a server: list them, attach to one, have one begin anew, end one.

    Attributes
    ----------
    attached : str
        The name of the session that this connection is attached to; empty without one.
    began_anew : bool
        Whether that session was a new one when the connection attached to it, or came back.

    Notes
    -----
    To iterate asks the server for all of its sessions, as `SessionInfo`. All of this raises
    AccessDenied where the peer keeps no sessions for this side, and ConnectionLost on a dead
    connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._identity = ""
        self._held: list[CellResult] = []
        self._lock = threading.Lock()  # guards what is held
        self.attached = ""
        self.began_anew = False

    def __repr__(self) -> str:
        attached = f"attached to {self.attached}" if self.attached else "attached to none"
        return f"<sessions of {self._connection.name}: {attached}>"

    # ---- what users do

    def __iter__(self) -> Iterator[SessionInfo]:
        return iter([info_of(told) for told in self._ask("list")])

    def attach(self, name: str) -> SessionInfo:
        """Run cells, `eval` and `execute` in the session of that name from now on.

        It begins if there is none.

        Raises
        ------
        ValueError
            A session cannot be called that.
        LimitExceeded
            The server keeps as many sessions as it may.
        """
        told = self._ask("attach", name)
        self.attached = name
        self._take(told, anew=told["new"])
        return info_of(told)

    def information(self, name: str = "") -> SessionInfo:
        """Give what the server tells of one session; by default of the attached one.

        Raises
        ------
        LookupError
            There is no such session.
        """
        return info_of(self._ask("describe", self._name(name)))

    def restart(self, name: str = "") -> SessionInfo:
        """Have a session begin anew: what runs there stops, and its memory is given back.

        Parameters
        ----------
        name
            The session; by default the one that this connection is attached to.

        Raises
        ------
        LookupError
            There is no such session.
        TimeoutError
            It has begun anew, but a cell does not let itself be stopped and runs on.
        """
        name = self._name(name)
        told = self._ask("restart", name)
        if name == self.attached:
            self._take(told, anew=True)
        if not told["stopped"]:
            raise TimeoutError(
                f"session {name} has begun anew, but a cell there cannot be stopped and runs on; "
                "others wait for it"
            )
        return info_of(told)

    def end(self, name: str = "") -> None:
        """End a session: what runs there stops, and nothing of it is kept.

        Raises
        ------
        LookupError
            There is no such session.
        TimeoutError
            It is ended, but a cell does not let itself be stopped and runs on.
        """
        name = self._name(name)
        stopped = self._ask("end", name)
        if not stopped:
            raise TimeoutError(
                f"session {name} is ended, but a cell there cannot be stopped and runs on"
            )

    def results(self) -> list[CellResult]:
        """Give the results of the cells of the attached session that are kept, the oldest first.

        Those of cells that still run are pending; what the cells have printed comes with each.

        Raises
        ------
        ValueError
            The connection is attached to none.
        """
        found = []
        for number, label, state, seconds in self._ask("results", self._name("")):
            result = self._result(label, number)
            result.started -= seconds
            result.took = None if state == "running" else seconds
            result.request = ("", ("", 1, None, ()))
            self._begin(result)
            found.append(result)
        return found

    def run_cell(self, source: str, arguments: tuple[Any, ...], label: str) -> CellResult:
        """Run a cell in the attached session; see `Connection.run_cell`."""
        result = self._result(label, uuid4().hex)
        result.request = (source, arguments)
        self._begin(result)
        return result

    # ---- what the connection tells

    def hold(self, result: CellResult) -> bool:
        """Keep a result whose link is lost until it is back; False if it does not come back."""
        session, revival = result.session, self._connection.revival
        if session.closed_here or revival is None or revival.given_up:
            return False
        with self._lock:
            if result not in self._held:
                self._held.append(result)
        if revival.given_up:  # just now
            self.give_up()
        return True

    def resume(self, session: Session, timeout: float) -> None:
        """The link is back: attach again, and go on with the results that wait."""
        if not self.attached:
            return
        try:
            told = session.ask(Operation.SESSION, 0, "attach", (self.attached,), timeout=timeout)
        except ConnectionLost:
            return  # it is tried again
        except NbrpcError as error:
            log.warning("%s is back, but its session is not: %s", session.name, error)
            self._end_held(f"{session.name} is back, but its session is not: {error}")
            return
        same = told["id"] == self._identity
        self._take(told, anew=not same)
        if not same:
            log.warning("%s is back, but session %s is a new one", session.name, self.attached)
            self._end_held(f"{session.name} is back, but what session {self.attached} was is gone")
            return
        for result in self._taken():
            result.session = session
            self._begin(result)

    def give_up(self) -> None:
        """The link does not come back."""
        self._end_held(
            f"the connection to {self._connection.name} is lost; the cell may run on in session "
            f"{self.attached}: connect to it again to see"
        )

    # ---- helpers

    def _ask(self, action: str, *args: Any) -> Any:
        connection = self._connection
        if connection.session.nests:
            raise AccessDenied(f"{connection.name} speaks RPyC, which has no named sessions")
        if not connection.allows_code:
            raise AccessDenied(
                f"{connection.name} does not let clients run code, so there is nothing that a "
                "session could keep: connect without a session, or start that server with "
                "--allow-code (serve(..., allow_code=True)) or --classic"
            )
        return connection.session.request(Operation.SESSION, 0, action, args)

    def _name(self, name: str) -> str:
        if name or self.attached:
            return name or self.attached
        raise ValueError("the connection is attached to no session: give the name of one")

    def _take(self, told: dict[str, Any], *, anew: bool) -> None:
        self.began_anew = anew
        self._identity = told["id"]

    def _result(self, label: str, number: str) -> CellResult:
        result = CellResult(self._connection.session, 0, label, self._connection.name)
        result.number = number
        result.sessions = self
        return result

    def _begin(self, result: CellResult) -> None:
        """Ask for a cell, now or when the link is back."""
        try:
            result.ask()
        except ConnectionLost as error:
            if not self.hold(result):
                result.give(error=error)
        except BaseException as error:  # and it is raised again
            result.give(error=error)  # a board may have it already
            raise

    def _taken(self) -> list[CellResult]:
        with self._lock:
            held, self._held = self._held, []
        return [result for result in held if result.state in ("pending", "cancelling")]

    def _end_held(self, text: str) -> None:
        for result in self._taken():
            error = ConnectionLost(text)
            error.maybe_executed = True
            if result.done:  # cancelled, and nobody waits
                AsyncResult.resolve(result, error)
            else:
                result.give(error=error)


def info_of(told: dict[str, Any]) -> SessionInfo:
    """Make what a server tells of a session what users see."""
    return SessionInfo(*(told[name] for name in SessionInfo._fields))
