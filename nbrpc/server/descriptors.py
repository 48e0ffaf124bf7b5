"""What a cell writes below Python: its child processes, C code, and whoever writes to a descriptor.

Theory of operation
-------------------
While a cell runs, descriptors 1 and 2 of the process are the ends of two pipes, which belong to
that cell alone. A `Tap` reads each: when the reactor finds it readable, before Python code of the
cell prints, so that the order stays, and when the cell ends, before it is answered. What it reads
goes to the cell's `Route`; one that cannot send on waits, and so do the writers when the pipe is
full.

The server's own output must not get into a cell. So ``sys.__stdout__`` and ``sys.__stderr__``, and
with them the handlers of logs, write to a copy of the descriptor meanwhile, the **console**.

When the cell ends, the descriptors are what they were before. A process that the cell has started
may live on and keep its end of the pipe; the tap lives as long, and what it reads then goes to the
console. So such a process neither holds up the end of the cell nor dies of a broken pipe, and its
output never reaches the cell of somebody else.

The functions of this module count as core for `interrupts`: else one could strike between two of
these steps.
"""

from __future__ import annotations

import array
import codecs
import ctypes
import faulthandler
import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nbrpc.errors import NbrpcError
from nbrpc.server.children import interrupt_writers
from nbrpc.server.output import Route, inherited
from nbrpc.session import interrupts
from nbrpc.session.call import current_job
from nbrpc.session.reactor import READ, reactor

if os.name == "posix":
    import fcntl
    import termios

__all__ = ["run_tapped"]

ROOM = 1024 * 1024
"""Bytes that a pipe holds where that can be chosen (Linux). C code that keeps the interpreter to
itself while it writes more than there is room for waits for ever, since nothing can read then."""

READ_SIZE = 256 * 1024

PATIENCE = 1.0
"""Seconds for which a print waits for a tap that is being read on another thread."""

INTERRUPTS = (0.05, 0.5, 2.5)
"""Seconds after a cell was cancelled at which its child processes are interrupted."""

FREE_LOOKS = 100
LOOK_INTERVAL = 0.001
"""Looks for output below Python, before prints; after so many in vain there is one in this many
seconds. Each lets other threads run, which a loop of prints would feel."""


@interrupts.runs_user_code
def run_tapped(route: Route, function: Callable[[], None]) -> None:
    """Run a cell; what is written to descriptors 1 and 2 meanwhile goes its route."""
    if os.name != "posix":  # there is no waiting for pipes beside sockets
        function()
        return
    taps = _Taps(route)
    try:
        taps.begin()
        function()
    finally:
        taps.end()


class _Taps:
    """The taps of one cell."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._job = current_job.get()
        self._taps: list[Tap] = []
        self._poll = select.poll()
        self._polling = threading.Lock()
        self._looks = FREE_LOOKS
        self._looked = 0.0

    def begin(self) -> None:
        """Put pipes in the place of the descriptors."""
        flush_c()  # what the server has printed is not the cell's
        for number, kind, stream in (1, "stdout", sys.__stdout__), (2, "stderr", sys.__stderr__):
            if stream is None or number in _given_up:  # the number may be anything now
                continue
            with suppress(OSError, ValueError):
                stream.flush()
            with suppress(OSError):  # it is closed, or there are no descriptors to be had
                tap = Tap(number, kind, self._route, stream)
                self._taps.append(tap)
                tap.begin()
        for tap in self._taps:
            self._poll.register(tap.fileno(), select.POLLIN)
            self._route.descriptors[tap.kind] = tap.number
        if self._taps:
            self._route.look_beneath = self._look
        _running.append(self)
        if self._job is not None:
            self._job.at_cancel = self._cancelled

    def end(self) -> None:
        """Put the descriptors back, and read what is there; what comes later is for the console."""
        self._route.look_beneath = None
        self._route.descriptors.clear()
        if self._job is not None:
            self._job.at_cancel = None
        if self in _running:
            _running.remove(self)
        flush_c()
        for tap in self._taps:
            reactor().unregister(tap.fileno())  # which the end of the pipe would wake for nothing
            tap.restore()
        for tap in self._taps:
            tap.finish()

    def detach(self) -> None:
        """In a forked child that is not of the cell: its output is not either."""
        for tap in self._taps:
            tap.restore()

    def _cancelled(self) -> None:
        """The cell is cancelled; its children are interrupted too, if that does not end it."""
        for delay in INTERRUPTS:
            reactor().call_later(delay, _Interrupt(self))

    def interrupt(self) -> None:
        """Interrupt the child processes of the cell, if it still runs."""
        if self in _running:
            interrupt_writers([tap.pipe for tap in self._taps])

    def _look(self) -> None:
        """Take what was written before the print that follows."""
        if self._looks <= 0:
            now = time.monotonic()
            if now - self._looked < LOOK_INTERVAL:
                return
            self._looked = now
        self._looks -= 1
        if not self._polling.acquire(blocking=False):
            return  # what another thread of the cell prints at this moment has no order with this
        try:
            ready = {number for number, _ in self._poll.poll(0)}
        finally:
            self._polling.release()
        for tap in self._taps:
            if tap.fileno() in ready or tap.busy:
                self._looks = FREE_LOOKS
                tap.take()


class _Interrupt:
    """An interrupt of a cell's children, as a job of the reactor."""

    def __init__(self, taps: _Taps) -> None:
        self._taps = taps

    def run(self) -> None:
        self._taps.interrupt()


_running: list[_Taps] = []
"""Of the cells that run now, one inside of another."""


class Tap:
    """Reads what is written to one descriptor while a cell runs, and by what the cell leaves.

    Parameters
    ----------
    number, kind
        The descriptor, and what output of it is called.
    stream
        Python's own for it, which goes on writing to the console.

    Raises
    ------
    OSError
        The process has no such descriptor, or can have no further ones.
    """

    def __init__(self, number: int, kind: str, route: Route, stream: Any) -> None:
        self.number = number
        self.kind = kind
        self._route: Route | None = route
        self._raw = _raw_of(stream, number)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._lock = threading.RLock()
        self._reading = False
        self._tapped = False
        self.busy = False
        """Whether something has perhaps been read and is not with the route yet."""
        # Inside of another cell the descriptor is that cell's pipe, which this one's is not to be.
        outer = [tap for taps in _running for tap in taps._taps if tap.number == number]  # noqa: SLF001
        self._console = outer[0].console if outer else _console(number)
        self._before = os.dup(number) if outer else self._console
        try:
            self._source, self._sink = os.pipe()
        except OSError:
            self._close_before()
            raise
        os.set_blocking(self._source, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # the user has many large ones already
                fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, ROOM)
        self.pipe = os.fstat(self._sink)

    @property
    def console(self) -> int:
        """What the descriptor was before any cell."""
        return self._console

    def fileno(self) -> int:
        """Give the end that is read."""
        return self._source

    def begin(self) -> None:
        """Take the place of the descriptor."""
        _point(self._raw, self._console)
        os.dup2(self._sink, self.number)
        os.close(self._sink)
        self._tapped = True
        reactor().register(self)

    def restore(self) -> None:
        """Put the descriptor back, unless the cell has put something else there."""
        if self._tapped:
            self._tapped = False
            try:
                is_ours = os.path.samestat(os.fstat(self.number), self.pipe)
            except OSError:  # the cell has closed it: Python's stream stays with the console
                _given_up.add(self.number)
            else:
                if is_ours:
                    os.dup2(self._before, self.number)
                else:
                    _given_up.add(self.number)
                _point(self._raw, self.number)
            self._close_before()

    def _close_before(self) -> None:
        if self._before != self._console:
            os.close(self._before)

    def take(self) -> None:
        """Read what is there, once, for the cell; from the cell, whichever of its threads."""
        if self._lock.acquire(timeout=PATIENCE):
            try:
                self._read()
            finally:
                self._lock.release()

    def finish(self) -> None:
        """Read what was written before; from now on all is for the console."""
        with self._lock:
            try:
                self._read(to_the_end=True)
                self._give(b"", final=True)
            finally:
                self._route = None
                if self._source >= 0:
                    reactor().register(self)

    # ---- as a source of the reactor

    def on_ready(self, _mask: int) -> None:
        """Have a worker read: it may have to wait for the peer."""
        if not self._reading:
            self._reading = True
            reactor().interest(self._source, 0)
            reactor().submit(self)

    def on_tick(self, now: float) -> None:
        """Nothing is to be looked after."""

    def on_fork(self) -> None:
        """In a forked child: the parent reads."""
        self._lock = threading.RLock()
        os.close(self._source)

    def run(self) -> None:
        """Read once; a job of the reactor."""
        with self._lock:
            self._reading = False
            self._read()
            reactor().interest(self._source, READ)  # which does nothing when it is closed

    # ---- reading; needs the lock

    def _read(self, *, to_the_end: bool = False) -> None:
        """Read what is there; once, or what there is at this moment.

        A process that writes without end must not hold up the end of its cell.
        """
        left = self._readable() if to_the_end and self._source >= 0 else READ_SIZE
        while self._source >= 0:
            self.busy = True
            try:
                data = os.read(self._source, READ_SIZE)
                if data:
                    self._give(data)
            except BlockingIOError:
                return
            finally:
                self.busy = False
            if not data:  # nobody holds the other end any more
                self._close()
                return
            left -= len(data)
            if not to_the_end or left < 0:
                return

    def _readable(self) -> int:
        """Give how many bytes are in the pipe."""
        size = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self._source, termios.FIONREAD, size)
        return size[0]

    def _give(self, data: bytes, *, final: bool = False) -> None:
        route = self._route
        if route is not None:
            try:
                text = self._decode(data, final)
                if not text or route.take(self.kind, text):
                    return
            except (NbrpcError, OSError):  # the link of the cell is lost
                self._route = None
        with suppress(OSError):
            while data:
                data = data[os.write(self._console, data) :]

    def _close(self) -> None:
        source, self._source = self._source, -1
        reactor().unregister(source)
        os.close(source)


_consoles: dict[int, int] = {}
"""A copy of each descriptor as it was before the cell. Never closed: another thread may be about to
write there, and the number must not become that of a socket."""


_given_up: set[int] = set()
"""Descriptors that a cell has closed, or in whose place it has put something else: these stay as
they are, since what has such a number next may be a socket."""


def _console(number: int) -> int:
    """Copy a descriptor to the console of that number."""
    console = _consoles.get(number)
    if console is None:
        console = _consoles[number] = os.dup(number)
        # What it writes when the process crashes would be lost with the pipe.
        if number == 2 and faulthandler.is_enabled() and _enabled_at_start():
            faulthandler.enable(console)
    else:
        os.dup2(number, console, inheritable=False)
    return console


def _enabled_at_start() -> bool:
    """Whether the user asked Python for its fault handler, which writes to descriptor 2 then."""
    asked = os.environ.get("PYTHONFAULTHANDLER") and not sys.flags.ignore_environment
    return bool(asked or sys.flags.dev_mode or "faulthandler" in sys._xoptions)  # noqa: SLF001 - it is documented


def _raw_of(stream: Any, number: int) -> io.FileIO | None:
    """Give what a text stream of Python writes to in the end, if that is a descriptor."""
    try:
        buffer = stream.buffer
        raw = getattr(buffer, "raw", buffer)
        return raw if type(raw) is io.FileIO and raw.fileno() == number else None
    except (AttributeError, ValueError):  # it is another kind of stream, or was taken apart
        return None


def _point(raw: io.FileIO | None, number: int) -> None:
    """Have a raw stream write to another descriptor; whoever holds it does not notice."""
    if raw is not None:
        name = raw.name
        raw.__init__(number, "wb", closefd=False)  # type: ignore[misc] # the very object is meant
        raw.name = name


def _after_fork() -> None:
    """In a forked child: one of the cell prints to its pipes, any other where it always did."""
    if not inherited:
        for taps in reversed(_running):
            taps.detach()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _find_flush() -> Callable[[], object]:
    """Give a function that flushes what C code of this process has printed and not yet written.

    Only C's standard output: to flush all its streams would wait for one that another thread reads.
    """
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    try:
        library = ctypes.CDLL(None)
        stream = ctypes.c_void_p.in_dll(library, name)
        flush = library.fflush
    except (OSError, ValueError, AttributeError, TypeError):  # this C library has none of that name
        return lambda: None
    return lambda: flush(stream)


flush_c = _find_flush()
