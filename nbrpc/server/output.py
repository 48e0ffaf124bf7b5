"""Where the output of a remote cell goes while it runs.

``sys.stdout``, ``sys.stderr`` and ``sys.stdin`` of the process are replaced by objects that look at
a context variable each time they are used: inside a remote cell they lead to that cell's `Route`,
anywhere else to the stream that was there before. So the prints of other threads of the server go
where they always went, and those of threads and tasks that a cell starts go to the cell. What is
written below Python is the business of `nbrpc.server.descriptors`.

Nothing here knows IPython or the wire; `nbrpc.server.shell` puts the two together.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO

__all__ = ["Emit", "Route", "current_route", "inherited", "redirected"]

Emit = Callable[[str, object], None]
"""Takes one piece of output: its kind and its content; any thread may call it."""

INTERVAL = 0.02
"""Seconds between two messages of text: live to the eye, and 50 a second however fast a cell prints
(a Jupyter server drops what exceeds 1,000)."""

FULL = 16 * 1024
"""Characters that are sent at once, without waiting for the interval."""

REFUSAL = (
    "input() does not work in a remote cell: nobody sits at that keyboard; "
    "push the value instead, with %%remote -i NAME"
)

_route: ContextVar[Route | None] = ContextVar("nbrpc_route", default=None)

inherited: dict[str, int] = {}
"""In a process that a cell has forked, the descriptors by which its prints reach the cell: the way
to the peer, and the lock of the route, belong to the parent."""


def _after_fork() -> None:
    route = _route.get()
    if route is not None:
        inherited.update(route.descriptors)
    _route.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Route:
    """The way of one cell's output to the peer; closed when the cell ends.

    Parameters
    ----------
    emit
        Called with ``("stdout" | "stderr", str)``, or with whatever `send` is given, in order.

    Attributes
    ----------
    descriptors : dict of str to int
        By which child processes and C code reach the cell, for each kind of text.
    look_beneath : callable or None
        Takes what these have written so far, so that it comes before what is printed then.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        # Guards the fields below and is held while emitting, which keeps the order; reentrant,
        # since what emits may itself print.
        self._lock = threading.RLock()
        self._pending: list[tuple[str, str]] = []
        self._size = 0
        self._sent = 0.0
        self._timer: threading.Timer | None = None
        self.closed = False
        self.descriptors: dict[str, int] = {}
        self.look_beneath: Callable[[], None] | None = None

    def write(self, kind: str, text: str) -> bool:
        """Take what Python code of the cell prints; False if the cell has ended."""
        look = self.look_beneath
        if look is not None and text != "\n":  # by which `print` ends the line that it has begun
            look()
        return self.take(kind, text)

    def take(self, kind: str, text: str) -> bool:
        """Take text for the cell; False if the cell has ended."""
        with self._lock:
            if self.closed:
                return False
            if not text:
                return True
            self._pending.append((kind, text))
            self._size += len(text)
            due = time.monotonic() - self._sent >= INTERVAL
            if self._size >= FULL or (due and text.endswith("\n")):
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(INTERVAL, self._flush_later)
                self._timer.daemon = True
                self._timer.start()
        return True

    def send(self, kind: str, content: object) -> bool:
        """Send anything else, after the text before it; False if the cell has ended."""
        look = self.look_beneath
        if look is not None:
            look()
        with self._lock:
            if self.closed:
                return False
            self._flush()
            self._emit(kind, content)
        return True

    def flush(self) -> None:
        """Send the text that is waiting."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Send what is waiting; from now on nothing more goes this way."""
        with self._lock:
            try:
                self._flush()
            finally:
                self.closed = True
                timer = self._timer
        if timer is not None:
            timer.cancel()
            timer.join()  # outside the lock, which the timer may be waiting for

    def _flush(self) -> None:
        pending, self._pending, self._size = self._pending, [], 0
        kind, parts = "", list[str]()
        for next_kind, text in pending:
            if next_kind != kind and parts:
                self._emit(kind, "".join(parts))
                parts = []
            kind = next_kind
            parts.append(text)
        if parts:
            self._emit(kind, "".join(parts))
            self._sent = time.monotonic()

    def _flush_later(self) -> None:
        with self._lock:
            self._timer = None
            if not self.closed:
                with suppress(ConnectionError):  # nobody is there to see it any more
                    self._flush()


def current_route() -> Route | None:
    """The route of the remote cell that this code runs in; None outside of one."""
    route = _route.get()
    return None if route is None or route.closed else route


class RoutedStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, kind: str, original: TextIO | None) -> None:
        self._kind = kind
        self._original = original  # None where the process has no console

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Cells take any text; elsewhere the encoding of the stream below."""
        return getattr(self._original, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        """Write to the cell that is running here, or else to the stream below."""
        route = _route.get()
        if route is not None:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            if route.write(self._kind, text):
                return len(text)
        elif self._kind in inherited:
            data = text.encode("utf-8", "replace")
            while data:
                data = data[os.write(inherited[self._kind], data) :]
            return len(text)
        return len(text) if self._original is None else self._original.write(text)

    def flush(self) -> None:
        """Send on what is waiting."""
        route = current_route()
        if route is not None:
            route.flush()
        elif self._original is not None:
            self._original.flush()

    def isatty(self) -> bool:
        """Whether a terminal shows what is written; never for a cell."""
        return current_route() is None and self._original is not None and self._original.isatty()

    def fileno(self) -> int:
        """The file descriptor by which one writes here; in a cell, for its child processes too."""
        route = current_route()
        descriptors = inherited if route is None else route.descriptors
        if self._kind in descriptors:
            return descriptors[self._kind]
        if self._original is None:
            raise io.UnsupportedOperation("this process has no console")
        return self._original.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: a cell does not close the streams of the server."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class RoutedInput(io.TextIOBase):
    """Stands in for ``sys.stdin``: refuses in a cell, reads the stream below elsewhere."""

    def __init__(self, original: TextIO | None) -> None:
        self._original = original

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """Read a line, outside of cells."""
        return self._below().readline(size)

    def read(self, size: int | None = -1, /) -> str:
        """Read text, outside of cells."""
        return self._below().read(-1 if size is None else size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Whether a person types here; never for a cell."""
        return current_route() is None and self._original is not None and self._original.isatty()

    def fileno(self) -> int:
        """The file descriptor below, outside of cells."""
        return self._below().fileno()

    def close(self) -> None:
        """Do nothing: ``exit()`` in a cell closes ``sys.stdin``, which is not the cell's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def _below(self) -> TextIO:
        if _route.get() is not None:
            raise RuntimeError(REFUSAL)
        if self._original is None:
            raise EOFError("this process has no standard input")
        return self._original


@contextmanager
def redirected(route: Route) -> Iterator[None]:
    """Send the output of the code inside, and of threads and tasks that it starts, to `route`.

    The route is closed at the end; what such a thread prints later goes to the server's console.
    """
    streams = sys.stdout, sys.stderr, sys.stdin
    if not isinstance(sys.stdout, RoutedStream):
        sys.stdout = RoutedStream("stdout", sys.stdout)
    if not isinstance(sys.stderr, RoutedStream):
        sys.stderr = RoutedStream("stderr", sys.stderr)
    if not isinstance(sys.stdin, RoutedInput):
        sys.stdin = RoutedInput(sys.stdin)
    start = threading.Thread.start
    threading.Thread.start = _start_routed(start)  # type: ignore[assignment, method-assign]
    token = _route.set(route)
    try:
        yield
    finally:
        _route.reset(token)
        threading.Thread.start = start  # type: ignore[method-assign]
        sys.stdout, sys.stderr, sys.stdin = streams
        route.close()


def _start_routed(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Make ``Thread.start`` hand the route on, which new threads do not inherit by themselves.

    Only the route: a whole copied context would also carry which request the cell is, and nested
    calls of a thread that outlives it would be taken for part of it.
    """

    def start_routed(thread: threading.Thread) -> None:
        route = _route.get()
        if route is not None:
            run = thread.run

            def run_routed() -> None:
                _route.set(route)
                run()

            thread.run = run_routed  # type: ignore[method-assign]
        start(thread)

    return start_routed
