"""The remote shell: runs the cells that a peer sends, and answers their Tab and ``?``.

One shell serves the whole process. Its cells run one at a time, in the thread that calls
`Shell.run` and in the namespace given with each. Where IPython is installed a cell may use magics,
``!`` and rich display; where it is not, or where the process has a shell already (a notebook kernel
that serves), a plain interpreter gives text.

Cells are compiled and run by `nbrpc.server.cells`, not by ``InteractiveShell.run_cell``: what that
would catch and print must reach the caller as an exception, and nothing of the output may stay in
a history. IPython's part is its transforms, magics, formatters and hooks.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbrpc.server.cells import (
    CellRunner,
    NamespaceModule,
    import_customary,
    main_module,
    traceback_from,
)
from nbrpc.server.descriptors import run_tapped
from nbrpc.server.output import Emit, Route, current_route, redirected
from nbrpc.session.lookup import complete_name, document_name

__all__ = ["Shell", "shared_shell"]

WAITING = "another cell is running on this server; this one starts when that has ended\n"

TICK = 0.1
"""Seconds between chances for a cancellation to be noticed while a cell waits for its turn."""

INLINE = "module://matplotlib_inline.backend_inline"
"""The backend of matplotlib that every notebook kernel uses."""


class Shell:
    """Runs cells for peers.

    Parameters
    ----------
    rich
        Whether to use IPython; None: if it is there and this process has no other shell.

    Notes
    -----
    Every method may be called from any thread.
    """

    def __init__(self, *, rich: bool | None = None) -> None:
        # Held while a cell runs; reentrant, since a cell may be called back into the server.
        self._turn = threading.RLock()
        self._ipython: Any = None
        self._rich = rich
        self._prepared = False
        self._runner = CellRunner()
        self._of_parent: CellRunner | None = None
        self._count = 0

    def prepare(self) -> None:
        """Import now what the first cell would wait for (half a second, where IPython is there)."""
        with self._turn:
            self._prepare()

    def forked(self) -> None:
        """In a forked child: no cell runs here, whatever the parent is running."""
        self._turn = threading.RLock()
        # Kept, since an event loop that goes away stops listening in the parent as well.
        self._of_parent, self._runner = self._runner, CellRunner()

    def close(self) -> None:
        """Let go of the event loop and of IPython; the shell cannot be used afterwards."""
        with self._turn:
            self._runner.close()
            if self._ipython is not None:
                atexit.unregister(self._ipython.atexit_operations)
                type(self._ipython).clear_instance()
            self._ipython, self._prepared = None, True

    def run(
        self,
        source: str,
        *,
        namespace: dict[str, object],
        emit: Emit,
        filename: str,
        first_line: int,
    ) -> None:
        """Run one cell to its end.

        Parameters
        ----------
        source
            The cell as it was typed, without the line of its magic.
        namespace
            Where its names live; the same dictionary gives the next cell what this one made.
        emit
            Takes the output as it comes, from any thread: ``stdout`` and ``stderr`` with text;
            ``display`` with data, metadata, transient and update; ``result`` with data and metadata
            of the last expression; ``clear`` with whether to wait for the next output. Nothing is
            emitted after `run` has returned or raised.
        filename
            What tracebacks call the cell; a number makes it unique.
        first_line
            The number of the first line of `source` in the user's editor, 1 or more.

        Raises
        ------
        BaseException
            Whatever the cell raised, SystemExit and KeyboardInterrupt included. Below the frames of
            this package its traceback starts at the cell.
        """
        with self._my_turn(emit):
            self._count += 1
            name = f"{filename.removesuffix('>')} {self._count}>"
            route = Route(emit)
            try:
                with redirected(route):
                    run_tapped(route, lambda: self._run(source, namespace, name, first_line))
            except BaseException as error:
                error.__traceback__ = traceback_from(error.__traceback__, name)
                raise

    def complete(self, source: str, cursor: int, namespace: dict[str, object]) -> dict[str, Any]:
        """Give the names that may stand at `cursor` (a character index into `source`).

        No getter of an object is run. The keys are those of Jupyter's ``complete_reply``:
        matches, cursor_start, cursor_end, and types (a list beside matches).
        """
        if self._turn.acquire(blocking=False):
            try:
                ipython = self._prepare()
                if ipython is not None:
                    return _rich_completions(ipython, source, cursor, namespace)
            finally:
                self._turn.release()
        return complete_name(source, cursor, namespace)

    def inspect(
        self, source: str, cursor: int, namespace: dict[str, object], *, detail: int = 0
    ) -> dict[str, Any]:
        """Describe the name at `cursor`, as ``?`` does, or as ``??`` with `detail` 1.

        The keys are those of Jupyter's ``inspect_reply``: found, data and metadata.
        """
        if self._turn.acquire(blocking=False):
            try:
                ipython = self._prepare()
                if ipython is not None:
                    return _rich_description(ipython, source, cursor, namespace, detail)
            finally:
                self._turn.release()
        return document_name(source, cursor, namespace, detail=detail)

    # -- running ---------------------------------------------------------------------------------

    @contextmanager
    def _my_turn(self, emit: Emit) -> Iterator[None]:
        if not self._turn.acquire(blocking=False):
            emit("stderr", WAITING)
            while not self._turn.acquire(timeout=TICK):
                pass  # in ticks, so that a cancellation of this cell is noticed
        try:
            yield
        finally:
            self._turn.release()

    def _run(self, source: str, namespace: dict[str, Any], name: str, first_line: int) -> None:
        ipython = self._prepare()
        import_customary(source, namespace)
        with ExitStack() as stack:
            stack.enter_context(main_module(namespace))
            if ipython is not None:
                stack.enter_context(_entered(ipython, namespace))
            self._run_source(source, namespace, name, first_line)

    def _run_source(
        self, source: str, namespace: dict[str, Any], name: str, first_line: int
    ) -> None:
        ipython = self._ipython
        if ipython is None:
            code = "\n" * (first_line - 1) + source
            self._runner.run(code, namespace, name, show=_show_plainly)
            return
        information = SimpleNamespace(raw_cell=source, silent=False, cell_id=None)
        ipython.events.trigger("pre_execute")
        ipython.events.trigger("pre_run_cell", information)
        try:
            code = ipython.transform_cell(source)
            # IPython drops empty lines at the top, which count in the user's editor.
            dropped = _leading_empty_lines(source) - _leading_empty_lines(code)
            code = "\n" * (first_line - 1 + dropped) + code
            transform = ipython.transform_ast
            self._runner.run(code, namespace, name, show=_show_richly, transform=transform)
        finally:  # figures are shown here, those of a cell that failed too
            ipython.events.trigger("post_execute")
            ipython.events.trigger("post_run_cell", SimpleNamespace(info=information))

    # -- IPython ---------------------------------------------------------------------------------

    def _prepare(self) -> Any:
        """Give the InteractiveShell, made on first use; None for the plain interpreter."""
        if not self._prepared:
            self._prepared = True
            if self._rich is not False:
                self._ipython = _make_interactive_shell()
        return self._ipython


def shared_shell() -> Shell:
    """Give the shell of this process; made on first use."""
    global _shared  # noqa: PLW0603 - streams, __main__ and IPython exist once per process as well
    with _sharing:
        if _shared is None:
            _shared = Shell()
        return _shared


_shared: Shell | None = None
_sharing = threading.Lock()


def _after_fork() -> None:
    global _sharing  # noqa: PLW0603 - another thread of the parent may have held it
    _sharing = threading.Lock()
    if _shared is not None:
        _shared.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Publisher:
    """What ``display()`` and ``clear_output()`` of a cell go through; IPython's ``display_pub``."""

    is_publishing = False

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: object,
    ) -> None:
        """Send a bundle to the cell; outside of one, print its text."""
        content = {
            "data": _portable(data),
            "metadata": _portable(metadata or {}),
            "transient": _portable(transient or {}),
            "update": bool(update),
        }
        route = current_route()
        if route is None or not route.send("display", content):
            print(data.get("text/plain", ""))  # noqa: T201 - the server's own console

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's signature
        """Clear the output of the cell."""
        route = current_route()
        if route is not None:
            route.send("clear", bool(wait))


class _DisplayHook:
    """What the last value of a cell goes through; IPython's ``displayhook``."""

    exec_result = None
    is_active = False
    do_full_cache = False

    def __init__(self, ipython: Any) -> None:
        self._ipython = ipython

    def __call__(self, value: object) -> None:
        """Send `value` to the cell in every format that it has."""
        if value is None:
            return
        data, metadata = self._ipython.display_formatter.format(value)
        route = current_route()
        if data and route is not None:
            route.send("result", {"data": _portable(data), "metadata": _portable(metadata)})

    def flush(self) -> None:
        """Do nothing: no results are kept."""


def _show_richly(value: object) -> None:
    sys.displayhook(value)  # the one of the moment: %%capture puts its own there


def _show_plainly(value: object) -> None:
    route = current_route()
    if route is not None:
        route.send("result", {"data": {"text/plain": repr(value)}, "metadata": {}})


def _portable(value: Any) -> Any:
    """Reduce what a formatter gave to values that travel: JSON's, and bytes."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, dict):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else str(value)


def _make_interactive_shell() -> Any:
    """Make IPython's shell for remote cells; None where that cannot be."""
    try:
        from IPython.core import page
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config
    except ImportError:
        return None
    if InteractiveShell.initialized():  # a notebook kernel, whose own cells it shows
        return None
    _prepare_figures()
    folder = tempfile.mkdtemp(prefix="nbrpc-ipython-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = Config()
    config.HistoryManager.enabled = False
    config.Completer.use_jedi = False  # jedi runs getters, and takes a second to start
    main = sys.modules["__main__"]
    ipython: Any = InteractiveShell.instance(config=config, ipython_dir=folder)
    sys.modules["__main__"] = main  # which IPython replaced for good
    ipython.display_pub = _Publisher()
    ipython.displayhook = _DisplayHook(ipython)
    ipython.display_trap.hook = ipython.displayhook
    ipython.display_formatter.active_types = list(ipython.display_formatter.format_types)
    ipython.builtin_trap.auto_builtins = {"get_ipython": ipython.get_ipython}
    ipython.enable_gui = _no_gui
    ipython.set_hook("show_in_pager", page.as_hook(page.display_page), 99)  # type: ignore[no-untyped-call]
    return ipython


def _prepare_figures() -> None:
    """Let figures of matplotlib be displayed in cells, unless somebody has chosen otherwise."""
    if "MPLBACKEND" in os.environ or "matplotlib.pyplot" in sys.modules:
        return
    os.environ["MPLBACKEND"] = INLINE
    if "matplotlib" in sys.modules:  # it has read the environment already
        sys.modules["matplotlib"].use(INLINE)


def _no_gui(gui: str | None = None) -> None:
    """Do nothing: no windows on a server."""


@contextmanager
def _entered(ipython: Any, namespace: dict[str, Any]) -> Iterator[None]:
    """Let IPython work on `namespace` for a while."""
    for name, value in (("_ih", [""]), ("_oh", {}), ("_dh", [str(Path.cwd())])):
        namespace.setdefault(name, value)  # magics such as %cd rely on them
    before = ipython.user_ns, ipython.user_module
    ipython.user_ns, ipython.user_module = namespace, NamespaceModule(namespace)
    try:
        with ipython.builtin_trap, ipython.display_trap:
            yield
    finally:
        ipython.user_ns, ipython.user_module = before


def _rich_completions(
    ipython: Any, source: str, cursor: int, namespace: dict[str, Any]
) -> dict[str, Any]:
    from IPython.core.completer import provisionalcompleter, rectify_completions

    completer = ipython.Completer
    with _entered(ipython, namespace), provisionalcompleter():
        completer.namespace = completer.global_namespace = namespace
        try:
            found = list(rectify_completions(source, completer.completions(source, cursor)))
        finally:
            completer.namespace = completer.global_namespace = {}
    return {
        "matches": [item.text for item in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "types": [item.type or "" for item in found],
    }


def _rich_description(
    ipython: Any, source: str, cursor: int, namespace: dict[str, Any], detail: int
) -> dict[str, Any]:
    from IPython.utils.tokenutil import token_at_cursor

    with _entered(ipython, namespace):
        try:
            data = ipython.object_inspect_mime(token_at_cursor(source, cursor), detail_level=detail)
        except KeyError:
            return {"found": False, "data": {}, "metadata": {}}
    return {"found": True, "data": _portable(data), "metadata": {}}


def _leading_empty_lines(source: str) -> int:
    lines = source.splitlines()
    return next((number for number, line in enumerate(lines) if line.strip()), 0)
