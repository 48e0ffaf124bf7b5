"""Loading the extension into IPython, and taking it out again without a trace."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from IPython.core.error import UsageError

from nbrpc.notebook import tracebacks
from nbrpc.notebook.completion import Completion
from nbrpc.notebook.connections import Connections, NoConnection
from nbrpc.notebook.display import ResultViews, connection_bundle, proxy_bundle
from nbrpc.notebook.handlers import Handlers, current_cell
from nbrpc.notebook.magics import RpcMagics, parsed
from nbrpc.notebook.pump import CellLoop, KernelLoop, kernel_loop
from nbrpc.notebook.remote_cell import rewriter
from nbrpc.objects.refs import Exports
from nbrpc.session import dispatch, interrupts, subscriptions
from nbrpc.session.dispatch import Dispatcher, Thread

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


class Extension:
    """What is added to one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._loop: KernelLoop | None = None
        self._dispatcher: Any = None
        self.connections = Connections(self._open)
        self.views = ResultViews(shell, self.call_soon, self._call_later)
        self.handlers = Handlers(shell, self._call_later)
        self._magics = RpcMagics(shell, self)
        shell.register_magics(self._magics)
        self._completion = Completion(shell, self._connection_of)
        # For async_ and watch, which the first cells use as often as the magics.
        shell.user_ns.setdefault("nbrpc", sys.modules["nbrpc"])
        call = f'get_ipython().magics_manager.registry["{RpcMagics.__name__}"].remote_cell_async'
        self._in_cell = False
        self._rewrite = rewriter(call, self._may_await)
        # After IPython's own, which remove empty lines, indentation and prompts above it.
        shell.input_transformer_manager.cleanup_transforms.append(self._rewrite)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        self._formatters = self._register_formatters()
        tracebacks.install(shell)
        subscriptions.cell_name = lambda: current_cell(shell) or None
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
                thread = threading.main_thread().ident or 0
                self._dispatcher = CellLoop(loop.serve_soon, loop.serve_later, thread)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run a function on the kernel's loop, from any thread; at once where there is no loop."""
        self.start()
        if self._loop is None:
            function()
        else:
            self._loop.call_soon(function)

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
        return has_kernel and bool(self._shell.autoawait) and not self._in_cell

    def _before_cell(self, _: Any) -> None:
        self._in_cell = True
        self.start()
        interrupts.install()  # a kernel sets its own handler for every cell

    def _after_cell(self, _: Any) -> None:
        self._in_cell = False
        self.views.settle()

    def _register_formatters(self) -> list[tuple[Any, type]]:
        from nbrpc.client import Connection
        from nbrpc.objects.proxy import Member, Proxy
        from nbrpc.session.result import AsyncResult

        formatter = self._shell.display_formatter
        bundles, displays = formatter.mimebundle_formatter, formatter.ipython_display_formatter
        wanted: list[tuple[Any, type, Callable[[Any], Any]]] = [
            (bundles, Connection, connection_bundle),
            (bundles, Proxy, proxy_bundle),
            (bundles, Member, proxy_bundle),
        ]
        if (
            getattr(self._shell, "kernel", None) is not None
        ):  # a terminal cannot change what it shows
            wanted.append((displays, AsyncResult, self.views.show))
        for where, kind, function in wanted:
            where.for_type(kind, function)
        return [(where, kind) for where, kind, _ in wanted]

    def _connection_of(self, line: str) -> Any:
        """Give the connection on which a ``%%remote`` line would run; the first of several."""
        try:
            arguments = parsed(self._magics.remote_cell, line)
            chosen = self.connections.several(arguments.several or arguments.targets)
        except (UsageError, NoConnection):
            return None
        return next(iter(chosen.values()), None)

    # -- connecting ------------------------------------------------------------------------------

    def _open(self, target: str, token: str | None) -> Any:
        from nbrpc.client import connect

        return connect(target, token=token)

    def _make_dispatcher(self) -> Dispatcher:
        """Give every connection of this process the kernel's loop, or else a thread."""
        self.start()
        return self._dispatcher or Thread()

    def close(self) -> None:
        """Take everything back."""
        shell = self._shell
        self._completion.close()
        self.handlers.close()
        self.connections.close()
        self.views.close()
        tracebacks.uninstall(shell)
        subscriptions.cell_name = subscriptions.error_shower = None
        dispatch.default = dispatch.Queue
        Exports.remembers_context = False
        for formatter, kind in self._formatters:
            formatter.pop(kind, None)
        shell.events.unregister("pre_run_cell", self._before_cell)
        shell.events.unregister("post_run_cell", self._after_cell)
        shell.input_transformer_manager.cleanup_transforms.remove(self._rewrite)
        manager = shell.magics_manager
        for way, functions in self._magics.magics.items():
            for name in functions:
                manager.magics[way].pop(name, None)
        manager.registry.pop(RpcMagics.__name__, None)
        if self._loop is not None:
            self._loop.close()
