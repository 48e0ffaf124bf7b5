"""Cells of a named session: they run on when the link of their caller is lost.

Theory of operation
-------------------
A cell of an ordinary connection belongs to one request: it is cancelled with the link, and its
output and its end are messages of that link. A `KeptCell` belongs to a `Keeper`, its session, which
takes the place of the link: output and end are kept there. Whoever wants to see them follows the
cell with a request of their own, from some output on; the end of the cell answers it. The caller
follows its cell from the first output; when it has come back after a loss, from the first that it
has not seen; another kernel, from the beginning. So nothing is lost and nothing is shown twice, as
long as it is kept: of much output the oldest goes.

The caller chooses the number of a cell. To ask for the same number again is to follow that cell: a
cell runs once, however often its request has to be sent.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import NbrpcError
from nbrpc.protocol.messages import Kind, Operation, Request
from nbrpc.session.code import send_output
from nbrpc.session.job import UNANSWERED, RequestJob
from nbrpc.session.reactor import Reactor, reactor
from nbrpc.session.waiting import wait_to_send

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["Follower", "Keeper", "KeptCell"]

PER_OUTPUT = 200
"""Bytes that one output costs beside its content, about."""

_seqs = itertools.count(1)
"""Numbers for the jobs, by which progress is told."""


class Follower:
    """A request that follows a cell: it is sent what comes, and answered when the cell ends."""

    def __init__(self, session: Session, job: RequestJob, cell: KeptCell) -> None:
        self._session = session
        self._job = job
        self._cell = cell
        self.gone = False
        job.ordered = True
        job.canceller = self._cancel

    def _cancel(self) -> None:
        """The peer cancels the request, or its link is lost: then the cell goes on."""
        if self._session.closed:
            self.gone = True
        else:
            self._cell.cancel()

    def output(self, kind: str, content: object) -> None:
        """Send on what the cell printed or displayed."""
        if not self.gone:
            try:
                send_output(self._session, self._job.seq, kind, content)
            except (NbrpcError, OSError):  # its link is lost, or the content too large for it
                self.gone = self._session.closed

    def keep_pace(self) -> None:
        """Wait for a peer that reads slowly; one that does not read at all is lost before long."""
        if not self.gone:
            wait_to_send(self._session)

    def progress(self, fields: tuple[Any, ...]) -> None:
        """Send on how far it is."""
        if not self.gone:
            self._session.send_quietly(Kind.PROGRESS, (self._job.seq, *fields))

    def end(self, value: Any, error: BaseException | None) -> None:
        """Answer the request."""
        if self._session.closed:
            return
        if error is not None:
            self._session.answer_failure(self._job, error)
        else:
            self._session.answer(self._job, value)


class KeptCell(RequestJob):
    """A cell, and what it gave.

    Parameters
    ----------
    keeper
        The session, which plays the link for this job.
    number
        What the caller calls it; no other cell of the session has the same.
    label
        The beginning of its source, for people.
    work
        Runs the cell: a function of this.
    """

    keeper: Keeper

    def __init__(
        self, keeper: Keeper, number: str, label: str, work: Callable[[KeptCell], Any]
    ) -> None:
        request = Request(seq=next(_seqs), op=Operation.CELL, oid=0, name=label, args=[])
        super().__init__(keeper, request)  # type: ignore[arg-type] # what a job needs of a session
        self.keeper = keeper
        self.number = number
        self.label = label
        self.work = work
        self.created = time.time()
        self.size = 0
        """Bytes of the outputs that are kept, about."""
        self.ended = threading.Event()
        self._started = time.monotonic()
        self._took: float | None = None
        self._outputs: deque[tuple[str, object, int]] = deque()
        self._dropped = 0
        self._progress: tuple[Any, ...] | None = None
        self._followers: list[Follower] = []
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that it ran, or has been running."""
        return self._took if self._took is not None else time.monotonic() - self._started

    @property
    def state(self) -> str:
        """``running``, ``ready`` or ``error``."""
        if not self.ended.is_set():
            return "running"
        return "ready" if self._error is None else "error"

    # ---- what the running cell tells

    def emit(self, kind: str, content: object) -> None:
        """Keep output, and send it to those who follow; from any thread."""
        size = _size(content) + PER_OUTPUT
        with self.keeper.lock:
            self._outputs.append((kind, content, size))
            self.size += size
            self._let_go()
            followers = list(self._followers)
            for follower in followers:
                follower.output(kind, content)
            self.keeper.make_room(size)
        for follower in followers:
            follower.keep_pace()

    def tell_progress(self, fields: tuple[Any, ...]) -> None:
        """Keep how far the cell is, and send it to those who follow."""
        with self.keeper.lock:
            self._progress = fields
            self._let_go()
            for follower in self._followers:
                follower.progress(fields)

    def finish(self, value: Any, error: BaseException | None) -> None:
        """Keep how the cell ended, and answer those who follow."""
        with self.keeper.lock:
            if self.ended.is_set():
                return
            self._value, self._error = value, error
            self._took = time.monotonic() - self._started
            self.ended.set()
            followers, self._followers = self._followers, []
            for follower in followers:
                follower.end(value, error)
        self.keeper.cell_ended(self)

    # ---- who follows

    def follow(self, session: Session, job: RequestJob, position: int) -> Any:
        """Have a request follow this cell.

        Parameters
        ----------
        position
            How many outputs the peer has seen.
        """
        follower = Follower(session, job, self)
        with self.keeper.lock:
            if position < self._dropped:
                follower.output("skipped", self._dropped - position)
                position = self._dropped
            for kind, content, _ in list(self._outputs)[position - self._dropped :]:
                follower.output(kind, content)
            if self._progress is not None:
                follower.progress(self._progress)
            if self.ended.is_set():
                follower.end(self._value, self._error)
            else:
                self._followers.append(follower)
        return UNANSWERED

    def _let_go(self) -> None:
        self._followers = [follower for follower in self._followers if not follower.gone]

    # ---- room

    def drop_oldest(self) -> bool:
        """Forget the oldest output that is kept; False if none is."""
        if not self._outputs:
            return False
        self.size -= self._outputs.popleft()[2]
        self._dropped += 1
        return True

    def forget_variables(self) -> None:
        """Let go of what the frames of its error hold; the traceback can still be shown."""
        if self._error is not None:
            traceback.clear_frames(self._error.__traceback__)


class Keeper:
    """What a kept cell takes for its session: the part of one that a job needs.

    Attributes
    ----------
    lock
        Guards the cells, their outputs and who follows them; reentrant, since a link that is found
        lost while something is sent ends within.
    cells
        By their numbers, the oldest first.
    """

    closed = False
    said_goodbye = False

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reactor: Reactor = reactor()
        self.operations = {Operation.CELL: _work}
        self.cells: dict[str, KeptCell] = {}

    def answer(self, job: KeptCell, value: Any) -> None:
        """A cell has ended."""
        job.finish(value, None)

    def answer_failure(self, job: KeptCell, error: BaseException) -> None:
        """A cell has raised."""
        job.finish(None, error)

    def send_quietly(self, kind: Kind, fields: tuple[Any, ...]) -> None:
        """A cell tells how far it is: the only message that a job sends by itself."""
        if kind is Kind.PROGRESS:
            for cell in list(self.cells.values()):
                if cell.seq == fields[0]:
                    cell.tell_progress(fields[1:])

    def make_room(self, size: int) -> None:
        """So many more bytes of output are kept: drop what is too much."""
        raise NotImplementedError

    def cell_ended(self, cell: KeptCell) -> None:
        """A cell is done."""
        raise NotImplementedError


def _work(_keeper: Keeper, cell: KeptCell) -> Any:
    return cell.work(cell)


def _size(content: object) -> int:
    """Give the bytes of an output, about."""
    if isinstance(content, (str, bytes)):
        return len(content)
    if isinstance(content, dict):
        return sum(_size(value) for value in content.values())
    if isinstance(content, list):
        return sum(map(_size, content))
    return 8
