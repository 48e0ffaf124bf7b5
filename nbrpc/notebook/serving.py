"""``%rpc_serve``: objects of this kernel for other programs.

What peers ask for runs on the kernel's loop, through the same dispatcher as callbacks: between
cells, while a cell awaits, and while it waits in a call of ours. So code of the notebook never runs
on two threads at once, and a caller waits while a cell computes. Coroutines run on that loop as
well; but one that a peer calls from within a call of ours runs on nbrpc's own loop, since the
kernel's does not turn until that call is over. What is printed goes to the cell that serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nbrpc.connection_file import running
from nbrpc.notebook.busy import Notices
from nbrpc.notebook.handlers import current_run
from nbrpc.notebook.pump import CellLoop, InContext
from nbrpc.objects.exposure import restricted
from nbrpc.objects.proxy import target_of
from nbrpc.session.connection import Connection
from nbrpc.session.dispatch import Dispatcher
from nbrpc.session.job import RequestJob

if TYPE_CHECKING:
    from nbrpc.server.server import Server

__all__ = ["InCell", "Servers"]

NAME = re.compile(r"(?!\d+\Z)[^\s:/\[\]\"'\\]{1,100}")
"""What ``%rpc_connect`` takes for the name of a server."""

PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

VALUES = (type(None), bool, int, float, complex, str, bytes)
"""Types whose objects are copied to whoever asks, so that there is nothing to serve."""


class InCell(Dispatcher):
    """Runs what peers ask for where callbacks run, in the context of the cell that serves.

    Parameters
    ----------
    inner
        The dispatcher that callbacks have as well. In a kernel there is one for all connections:
        while a cell waits in a call of ours, it runs what is queued there.
    cell_began
        Gives the time when the running cell began; None without one.
    """

    sole = True

    def __init__(
        self, inner: Dispatcher, context: Context, cell_began: Callable[[], float | None]
    ) -> None:
        self._inner = inner
        self._context = context
        self._notices = Notices(cell_began)
        self.jobs = inner.jobs

    def submit(self, job: Any) -> None:
        """Queue a job; an object that another cell handed over has that cell's context."""
        request = getattr(job, "request", None)
        context = None if request is None else job.session.boxing.exports.context(request.oid)
        make = self._notices.queued if isinstance(job, RequestJob) else InContext
        self._inner.submit(make(job, context or self._context))

    def event_loop(self, job: Any) -> Any:
        """Give the kernel's loop where that turns when the job has begun its coroutine."""
        inner = self._inner
        if isinstance(inner, CellLoop) and inner.in_slice and not job.request.parent:
            return inner.asyncio_loop
        return None

    def serves_waiters(self, *, nested: bool = False) -> bool:
        """Whether the thread that waits is the one on which callbacks run."""
        return self._inner.serves_waiters(nested=nested)

    def has_jobs(self) -> bool:
        """Whether jobs are queued."""
        return self._inner.has_jobs()

    def run_queued(self, *, nested: bool = False) -> bool:
        """Run what is queued."""
        return self._inner.run_queued(nested=nested)

    def add_waiter(self, call: Any) -> None:
        """Wake this call when a job is queued."""
        self._inner.add_waiter(call)

    def remove_waiter(self, call: Any) -> None:
        """Wake it no longer."""
        self._inner.remove_waiter(call)

    def session_ended(self, session: Any) -> None:
        """Wake who waits."""
        self._inner.session_ended(session)


class Servers:
    """What this kernel serves, by name.

    Serving again under the same name, or from the same cell, ends what was served before.

    Parameters
    ----------
    make_dispatcher
        Gives the dispatcher that callbacks have.
    cell_began
        Gives the time when the running cell began; None without one.
    """

    def __init__(
        self,
        shell: Any,
        make_dispatcher: Callable[[], Dispatcher],
        cell_began: Callable[[], float | None],
    ) -> None:
        self._shell = shell
        self._make_dispatcher = make_dispatcher
        self._cell_began = cell_began
        self._servers: dict[str, tuple[Server, tuple[str, str] | None]] = {}
        """By name: the server, and the cell and run that made it."""

    def __iter__(self) -> Iterator[Server]:
        return iter([server for server, _ in self._servers.values()])

    def serve(
        self, target: Any, name: str, expression: str, port: int = 0, *, writable: bool = False
    ) -> Server:
        """Serve an object.

        Parameters
        ----------
        name
            Of the server; without one it is called as the expression, or as the object's class.
        writable
            Whether peers may set public attributes as well.

        Raises
        ------
        ValueError
            It cannot be served, or not under that name or on that port.
        """
        from nbrpc.server.serve import serve

        name = name or (expression if PATH.fullmatch(expression) else type(target).__name__)
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name for a server: use letters, digits, dots, dashes")
        if not 0 <= port < 65536:
            raise ValueError(f"a port is a number from 1 to 65535, not {port}")
        refuse(target, expression)
        if isinstance(target, ModuleType):
            target = restricted(target, public_names(target))
        origin = current_run(self._shell)
        earlier = [key for key, made in self._servers.items() if key == name or again(made, origin)]
        if port in {self._servers[key][0].port for key in earlier}:
            self._close(earlier)
        context = copy_context()
        try:
            server = serve(
                target,
                name=name,
                port=port,
                config={"allow_setattr": writable},
                loop=None,  # see `InCell.event_loop`
                dispatcher=lambda: InCell(self._make_dispatcher(), context, self._cell_began),
            )
        except OSError as error:
            raise ValueError(f"cannot listen on port {port}: {error}") from None
        self._close(earlier)
        self._servers[name] = (server, origin)
        return server

    def described(self, server: Server) -> str:
        """Say where a server is, and how to reach it from another notebook of this user."""
        lines = [
            f"serving {server.name} at {server.url}",
            f"from another notebook of yours: %rpc_connect {server.name}",
        ]
        if server.allow_code:
            lines.append("whoever connects may run any code in this kernel")
        if sum(info.name == server.name for info in running()) > 1:
            lines.append(
                f"another server of yours is called {server.name} too: this one, as the newest, "
                "is found by that name"
            )
        return "\n".join(lines)

    def stop(self, name: str = "") -> list[Server]:
        """End a server, or all of them; give what has ended.

        Raises
        ------
        ValueError
            Nothing is served under that name.
        """
        known = ", ".join(sorted(self._servers))
        if not known:
            raise ValueError("nothing is served: %rpc_serve OBJ serves an object")
        if name and name not in self._servers:
            raise ValueError(f"nothing is served as {name}: there are {known}")
        names = [name] if name else list(self._servers)
        ended = [self._servers[key][0] for key in names]
        self._close(names)
        return ended

    def close(self) -> None:
        """End all servers."""
        self._close(list(self._servers))

    def _close(self, names: list[str]) -> None:
        for name in names:
            made = self._servers.pop(name, None)
            if made is not None:
                made[0].close()


def again(made: tuple[Any, tuple[str, str] | None], origin: tuple[str, str] | None) -> bool:
    """Whether an earlier run of the same cell made a server."""
    before = made[1]
    return before is not None and origin is not None and before[0] == origin[0] and before != origin


def public_names(module: ModuleType) -> list[str]:
    """Give the names that a module offers: those it says itself, or all without an underscore."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    return [name for name in names if isinstance(name, str)]


def refuse(target: object, expression: str) -> None:
    """Refuse what cannot sensibly be served.

    Raises
    ------
    ValueError
        It is remote, or nothing but a value.
    """
    if target_of(target) is not None:
        raise ValueError(f"{expression} is remote already: connect to its own server")
    if isinstance(target, Connection):
        raise ValueError(  # noqa: TRY004 - the line of a magic is wrong, not a program
            f"{expression} is a connection: serve an object of this notebook"
        )
    if isinstance(target, VALUES):
        raise ValueError(  # noqa: TRY004 - the line of a magic is wrong, not a program
            f"{expression} is a mere value ({type(target).__name__}), which would be copied: serve "
            "an object that has it"
        )
