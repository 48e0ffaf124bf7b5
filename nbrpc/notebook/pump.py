"""The kernel's loop, and how nbrpc uses it.

Theory of operation
-------------------
Sockets are read by nbrpc's own threads. What must run on the kernel's main thread (callbacks of
events, updates of displays) is handed to the kernel's asyncio loop, where it runs between cells and
while a cell awaits; while a cell waits inside nbrpc, that wait runs it. How long a slice lasts and
how long it rests is the business of `nbrpc.session.dispatch.Loop`.

Every function given to the loop runs in an empty context: the kernel finds the cell of an output in
context variables, and what was captured when the extension was loaded would lead to a cell long
gone, or to none. Callbacks of users run in the context of the cell that registered them.
ipykernel 6 finds the cell of what is printed that way, but keeps that of displays and tracebacks in
one place: there it is told the cell before such a callback, and the running one afterwards.

A terminal has no loop that turns while the prompt waits; there a thread takes its part.
"""

from __future__ import annotations

import contextvars
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

from traitlets import TraitType

from nbrpc.session import interrupts
from nbrpc.session.dispatch import Loop

__all__ = ["CellLoop", "KernelLoop", "kernel_loop"]

log = logging.getLogger("nbrpc.notebook")


class KernelLoop:
    """The asyncio loop of a kernel's main thread."""

    def __init__(self, loop: Any) -> None:
        self.asyncio_loop = self._loop = loop
        self._wakeup: int | None = None

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run a function on the loop; from any thread. Nothing happens once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function, context=contextvars.Context())
        except RuntimeError:
            pass  # the kernel is shutting down

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run a function on the loop after some seconds; on the loop's thread only."""
        self._loop.call_later(seconds, function, context=contextvars.Context())

    def serve_soon(self, function: Callable[[], None]) -> None:
        """Run callbacks of users on the loop, soon; from any thread. Stop ends one that runs away.

        Raises
        ------
        RuntimeError
            The loop is closed: the kernel is shutting down.
        """
        self._loop.call_soon_threadsafe(stoppable, function, context=contextvars.Context())

    def serve_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Do the same after some seconds; on the loop's thread only."""
        self._loop.call_later(seconds, stoppable, function, context=contextvars.Context())

    def wake_on_signals(self) -> None:
        """Let a signal wake the loop when it sleeps.

        Stop in a cell that awaits is a SIGINT whose handler leaves a callback on the loop. Nothing
        wakes the loop for it, so that the cell would end when something else happens to come:
        measured 8 s after Stop in ``await asyncio.sleep(8)``, with ipykernel 6.31 to 7.4.
        """
        writer = getattr(self._loop, "_csock", None)  # written to whenever asyncio wakes its loop
        if writer is None or threading.current_thread() is not threading.main_thread():
            return
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if before != -1:  # somebody is woken by signals already
            signal.set_wakeup_fd(before)
            return
        self._wakeup = writer.fileno()

    def close(self) -> None:
        """Give signals back."""
        if self._wakeup is None or threading.current_thread() is not threading.main_thread():
            return
        now = signal.set_wakeup_fd(-1)
        if now != self._wakeup:
            signal.set_wakeup_fd(now)
        self._wakeup = None


class CellLoop(Loop):
    """Runs what a peer asks for in the context of the cell that handed the object over.

    So a function that was given to a remote prints into the cell that gave it. Events have the
    context of the cell that subscribed already.

    Attributes
    ----------
    in_slice : bool
        Whether the loop itself runs jobs now, so that it turns when they are done; in a wait of a
        cell it does not.
    """

    def __init__(self, loop: KernelLoop, thread: int, shell: Any) -> None:
        super().__init__(loop.serve_soon, loop.serve_later, thread)
        self.asyncio_loop = loop.asyncio_loop
        self.in_slice = False
        self._told_shell = shell if must_be_told(shell) else None

    def _slice(self) -> None:
        self.in_slice = True
        try:
            super()._slice()
        finally:
            self.in_slice = False

    def submit(self, job: Any) -> None:
        """Queue a job for the loop."""
        request = getattr(job, "request", None)
        context = None if request is None else job.session.boxing.exports.context(request.oid)
        if context is not None:
            job = InContext(job, context)
        if self._told_shell is not None:
            context = getattr(job, "context", None)
            parent = None if context is None else context.get(running_cell)
            if parent is not None:
                job = UnderCell(job, parent, self._told_shell)
        super().submit(job)


class InContext:
    """A job with the context that it runs in."""

    __slots__ = ("context", "job")

    def __init__(self, job: Any, context: contextvars.Context) -> None:
        self.job = job
        self.context = context

    def run(self) -> None:
        """Run the job; in a copy, since a job may be called back while it runs."""
        self.context.copy().run(self.job.run)


running_cell: contextvars.ContextVar[Any] = contextvars.ContextVar("nbrpc-running-cell")
"""The message of the cell that runs, for kernels that must be told."""


def must_be_told(shell: Any) -> bool:
    """Whether the kernel has to be told the cell of an output: ipykernel 6."""
    publisher = getattr(shell, "display_pub", None)
    return isinstance(getattr(type(publisher), "parent_header", None), TraitType)


class UnderCell:
    """A job whose outputs belong to a cell, in a kernel that must be told."""

    __slots__ = ("job", "parent", "shell")

    def __init__(self, job: Any, parent: Any, shell: Any) -> None:
        self.job = job
        self.parent = parent
        self.shell = shell

    def run(self) -> None:
        """Run the job."""
        before = self.shell.get_parent()
        self.shell.set_parent(self.parent)
        try:
            self.job.run()
        finally:
            self.shell.set_parent(before)


def stoppable(function: Callable[[], None]) -> None:
    """Run a function so that Stop interrupts it.

    Between cells a kernel ignores SIGINT, and while a cell awaits SIGINT means that cell: it is
    told as well, afterwards.
    """
    ours = interrupts.guarded()
    interrupts.uninstall()
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.install()
    stopped = False
    try:
        function()
    except KeyboardInterrupt:
        stopped = True
        log.warning("a callback was stopped by an interrupt")
    finally:
        signal.signal(signal.SIGINT, before)
        if ours:
            interrupts.install()
    if stopped and callable(before) and before is not signal.default_int_handler:
        before(signal.SIGINT, None)


def kernel_loop(shell: Any) -> KernelLoop | None:
    """Give the loop of a kernel; None where there is none, as in a terminal.

    An extension may be loaded before the loop runs, so it is taken from the kernel.
    """
    kernel = getattr(shell, "kernel", None)
    loop = getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
    return None if loop is None else KernelLoop(loop)
