"""Loading the extension into IPython, and taking it out again without a trace."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from IPython.core.error import UsageError

from nbrpc.notebook import tracebacks
from nbrpc.notebook.busy import WaitLine
from nbrpc.notebook.completion import Completion
from nbrpc.notebook.connections import Connections, NoConnection
from nbrpc.notebook.display import (
    ResultDisplays,
    connection_bundle,
    format_proxies,
    proxy_bundle,
)
from nbrpc.notebook.handlers import Handlers, current_run
from nbrpc.notebook.lines import parsed, with_help
from nbrpc.notebook.magics import RpcMagics
from nbrpc.notebook.pump import CellLoop, KernelLoop, kernel_loop, must_be_told, running_cell
from nbrpc.notebook.remote_cell import rewriter
from nbrpc.notebook.remote_magics import RemoteMagics
from nbrpc.notebook.results import Results
from nbrpc.notebook.serving import Servers
from nbrpc.notebook.session_magics import SessionMagics
from nbrpc.notebook.view_magics import ViewMagics
from nbrpc.objects.refs import Exports
from nbrpc.session import dispatch, interrupts, subscriptions
from nbrpc.session.dispatch import Dispatcher, Thread
from nbrpc.widgets import live

__all__ = ["Extension", "load_ipython_extension", "unload_ipython_extension"]

_loaded: WeakKeyDictionary[Any, Extension] = WeakKeyDictionary()


def load_ipython_extension(shell: Any) -> None:
    """Give a shell nbrpc's magics and displays; once, however often it is called."""
    if shell not in _loaded:
        _loaded[shell] = Extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take everything back, and close the connections that ``%rpc_connect`` made."""
    extension = _loaded.pop(shell, None)
    if extension is not None:
        extension.close()


PATIENCE = 10.0
"""Seconds for which a cell that calls a lost connection waits for it to come back."""


class Extension:
    """What is added to one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._loop: KernelLoop | None = None
        self._dispatcher: CellLoop | None = None
        self.connections = Connections(self._open)
        self.displays = ResultDisplays(shell)
        self._results = Results()
        self.handlers = Handlers(shell, self._call_later)
        self._cell_began: float | None = None
        self.servers = Servers(shell, self._make_dispatcher, lambda: self._cell_began)
        self._wait_line = WaitLine(shell, lambda: self._cell_began is not None)
        self.settings = RpcMagics(shell, self)
        self._remote = RemoteMagics(shell, self)
        sessions = SessionMagics(shell, self.connections)
        views = ViewMagics(shell, self._results)
        self._magics: list[Any] = [self.settings, self._remote, sessions, views]
        shell.register_magics(*self._magics)
        self._completion = Completion(
            shell,
            self._connection_of,
            self.connections,
            lambda: [server.name for server in self.servers],
        )
        # For async_ and watch, which the first cells use as often as the magics.
        shell.user_ns.setdefault("nbrpc", sys.modules["nbrpc"])
        call = f'get_ipython().magics_manager.registry["{RemoteMagics.__name__}"].remote_cell_async'
        self._rewrite = rewriter(call, self._may_await)
        # After IPython's own, which remove empty lines, indentation and prompts above it.
        shell.input_transformer_manager.cleanup_transforms += [with_help, self._rewrite]
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        self._formatters = self._register_formatters()
        tracebacks.install(shell)
        live.current_cell = subscriptions.current_run = lambda: current_run(shell)
        subscriptions.error_shower = self.handlers.shower
        dispatch.default = self._make_dispatcher
        Exports.remembers_context = True

    # -- the loop --------------------------------------------------------------------------------

    def start(self) -> None:
        """Find the kernel's loop, which need not exist yet when the extension is loaded."""
        if self._loop is None:
            self._loop = loop = kernel_loop(self._shell)
            if loop is not None:
                loop.wake_on_signals()
                self._dispatcher = CellLoop(loop, threading.main_thread().ident or 0, self._shell)
                self.set_pace()

    def set_pace(self) -> None:
        """Give the loop the slices and rests that are configured."""
        if self._dispatcher is not None:
            self._dispatcher.SLICE = self.settings.pump_slice / 1000
            self._dispatcher.REST = self.settings.pump_rest / 1000

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop.call_later(seconds, function)

    # -- hooks -----------------------------------------------------------------------------------

    def _may_await(self) -> bool:
        """Whether a cell that is about to begin may await.

        Source that a running cell hands to IPython (%%time, run_cell) may not, and in a terminal
        Ctrl-C does not cancel what awaits.
        """
        has_kernel = getattr(self._shell, "kernel", None) is not None
        return has_kernel and bool(self._shell.autoawait) and self._cell_began is None

    def _before_cell(self, _: Any) -> None:
        self._cell_began = time.monotonic()
        self.displays.in_cell = True
        self.start()
        if must_be_told(self._shell):
            running_cell.set(self._shell.get_parent())
        interrupts.install()  # a kernel sets its own handler for every cell

    def _after_cell(self, outcome: Any) -> None:
        tracebacks.name_stop(outcome)
        self._cell_began = None
        self._wait_line.clear()
        self.displays.settle()
        self.displays.in_cell = False

    def _register_formatters(self) -> list[tuple[Any, type]]:
        from nbrpc.client import Connection
        from nbrpc.objects.proxy import Member
        from nbrpc.session.result import AsyncResult
        from nbrpc.widgets.result_view import ResultView

        formatter = self._shell.display_formatter
        bundles, displays = formatter.mimebundle_formatter, formatter.ipython_display_formatter
        wanted: list[tuple[Any, type, Callable[[Any], Any]]] = [
            (bundles, Connection, connection_bundle),
            (bundles, Member, proxy_bundle),
        ]
        if (
            getattr(self._shell, "kernel", None) is not None
        ):  # a terminal cannot change what it shows
            wanted.append((displays, AsyncResult, self.displays.show))
            wanted.append((displays, ResultView, self.displays.show_view))
        for where, kind, function in wanted:
            where.for_type(kind, function)
        self._unformat = format_proxies(formatter)
        return [(where, kind) for where, kind, _ in wanted]

    def _connection_of(self, line: str) -> Any:
        """Give the connection on which a ``%%remote`` line would run; the first of several."""
        try:
            arguments = parsed(self._remote.remote_cell, line)
            chosen = self.connections.several(arguments.several or arguments.targets)
        except (UsageError, NoConnection):
            return None
        return next(iter(chosen.values()), None)

    # -- connecting ------------------------------------------------------------------------------

    def _open(self, target: str, token: str | None, session: str | None) -> Any:
        from nbrpc.client import connect

        connection = connect(target, token=token, reconnect=True, session=session)
        assert connection.revival is not None
        connection.revival.patience = PATIENCE
        return connection

    def _make_dispatcher(self) -> Dispatcher:
        """Give every connection of this process the kernel's loop, or else a thread."""
        self.start()
        return self._dispatcher or Thread()

    def close(self) -> None:
        """Take everything back."""
        shell = self._shell
        self._completion.close()
        self.handlers.close()
        self.servers.close()
        self.connections.close()
        self.displays.close()
        self._results.close()
        self._wait_line.close()
        tracebacks.uninstall(shell)
        live.current_cell = subscriptions.current_run = subscriptions.error_shower = None
        dispatch.default = dispatch.Queue
        Exports.remembers_context = False
        self._unformat()
        for formatter, kind in self._formatters:
            formatter.pop(kind, None)
        shell.events.unregister("pre_run_cell", self._before_cell)
        shell.events.unregister("post_run_cell", self._after_cell)
        for transform in (with_help, self._rewrite):
            shell.input_transformer_manager.cleanup_transforms.remove(transform)
        for magics in self._magics:
            self._unregister(magics)
        interrupts.uninstall()
        if self._loop is not None:
            self._loop.close()

    def _unregister(self, magics: Any) -> None:
        manager = self._shell.magics_manager
        for way, functions in magics.magics.items():
            for name in functions:
                manager.magics[way].pop(name, None)
        manager.registry.pop(type(magics).__name__, None)
        self._shell.configurables.remove(magics)
