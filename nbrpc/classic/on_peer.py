"""What the functions of `nbrpc.classic` run on the peer, which imports this module for them.

A peer that speaks RPyC's protocol has no nbrpc: there the text of this module runs by itself, in a
Python as old as 3.8.

The standard streams of a process are one for all its clients. So a redirection replaces them by
objects that look at who is asking: what the requests of the client that made it print goes to that
client, and everything else (other clients, threads, the server itself) to where it went before.
"""

from __future__ import annotations

import ast
import code
import io
import linecache
import pdb  # noqa: T100 - `post_mortem` is a debugger
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

try:
    from nbrpc.errors import ConnectionLost
    from nbrpc.session.call import current_job
except ImportError:  # RPyC's servers have a thread for each client, and this error for a lost one
    ConnectionLost, current_job = EOFError, None  # type: ignore[assignment,misc] # one or the other

__all__ = ["Redirection", "define", "interact", "post_mortem"]

Send = Callable[[str], object]
Receive = Callable[[], str]


def _client() -> Any:
    """Give the session whose request runs here; None where none does."""
    if current_job is None:
        return threading.get_ident()
    job = current_job.get()
    return None if job is None else job.session


class Output(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``; text goes to one client by whole lines."""

    def __init__(self, send: Send, below: TextIO | None) -> None:
        self._send = send
        self._session = _client()
        self._below = below  # None where the process has no console
        self._pending = ""
        self._lock = threading.Lock()  # guards _pending; nothing is sent under it
        self.lost = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """A client takes any text; elsewhere the encoding of the stream below."""
        return getattr(self._below, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        """Write for the client that asked, or else to the stream below."""
        if self.lost or _client() != self._session:
            return len(text) if self._below is None else self._below.write(text)
        with self._lock:
            lines, newline, self._pending = (self._pending + text).rpartition("\n")
        self._deliver(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Send what was written of the last line."""
        if self.lost or _client() != self._session:
            if self._below is not None:
                self._below.flush()
            return
        with self._lock:
            text, self._pending = self._pending, ""
        self._deliver(text)

    def _deliver(self, text: str) -> None:
        if not text:
            return
        try:
            self._send(text)
        except ConnectionLost:
            self.lost = True
            if self._below is not None:
                self._below.write(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: what a client runs does not close the streams of the process."""


class Input(io.TextIOBase):
    """Stands in for ``sys.stdin``; lines come from one client."""

    def __init__(self, receive: Receive, below: TextIO | None) -> None:
        self._receive = receive
        self._session = _client()
        self._below = below
        self.lost = False

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """Read a line from the client that asked, or else from the stream below."""
        if not self.lost and _client() == self._session:
            return self._receive()
        return "" if self._below is None else self._below.readline(size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: ``exit()`` closes ``sys.stdin``, which is not the client's."""


class Redirection:
    """The standard streams, taken to the client whose request makes this; undone by `restore`."""

    def __init__(self, out: Send, err: Send, receive: Receive) -> None:
        self._below = {name: getattr(sys, name) for name in ("stdout", "stderr", "stdin")}
        self._streams: dict[str, Output | Input] = {
            "stdout": Output(out, sys.stdout),
            "stderr": Output(err, sys.stderr),
            "stdin": Input(receive, sys.stdin),
        }
        for name, stream in self._streams.items():
            setattr(sys, name, stream)

    def restore(self) -> None:
        """Send what is left and put back what was there."""
        for name, stream in self._streams.items():
            if isinstance(stream, Output):
                stream.flush()
            # Another redirection may lie on top: this one then only passes on.
            stream.lost = True
            if getattr(sys, name) is stream:
                setattr(sys, name, self._below[name])


def interact(namespace: dict[str, Any], out: Send, err: Send, receive: Receive) -> None:
    """Run a console over a namespace, until ``exit()`` or the end of the input."""
    redirection = Redirection(out, err, receive)
    banner = f"Python {sys.version.split()[0]} of the peer; exit() or end of input leaves it"
    try:
        code.InteractiveConsole(namespace).interact(banner, "")
    except SystemExit:
        pass  # that is how a console is left
    finally:
        redirection.restore()


def post_mortem(traceback: TracebackType, out: Send, receive: Receive) -> None:
    """Run the debugger on a traceback."""
    keyboard: Any = Input(receive, None)  # pdb asks both for their methods only
    screen: Any = Output(out, None)
    debugger = pdb.Pdb(stdin=keyboard, stdout=screen)
    debugger.reset()
    debugger.interaction(None, traceback)


def define(
    source: str,
    place: tuple[str, int],
    scope: dict[str, Any],
    defaults: tuple[Any, ...] | None,
    keyword_defaults: tuple[tuple[str, Any], ...] | None,
    *,
    name: str | None,
) -> Callable[..., Any]:
    """Make a function from its source.

    Parameters
    ----------
    source
        Has one function definition or lambda in it; its decorators and defaults are not run.
    place
        The file name and the line of the source, for tracebacks.
    scope
        The global names of the function.
    name
        Under which it is put into the scope; None leaves that out.
    """
    file, first_line = place
    tree = ast.parse(source, file)
    node = next(node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))
    arguments = node.args
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    ast.increment_lineno(tree, first_line - 1)
    flags = annotations.compiler_flag  # names in annotations may be unknown here
    if isinstance(node, ast.Lambda):
        compiled = compile(ast.Expression(node), file, "eval", flags, dont_inherit=True)
        function = eval(compiled, scope)  # noqa: S307 - what allow_code allows
    else:
        node.decorator_list = []
        made: dict[str, Any] = {}
        module = ast.Module([node], [])
        compiled = compile(module, file, "exec", flags, dont_inherit=True)
        exec(compiled, scope, made)  # noqa: S102 - what allow_code allows
        function = made[node.name]
    function.__defaults__ = defaults
    function.__kwdefaults__ = None if keyword_defaults is None else dict(keyword_defaults)
    lines = ["\n"] * (first_line - 1) + source.splitlines(keepends=True)
    linecache.cache[file] = (len(source), None, lines, file)
    if name is not None:
        scope[name] = function
    return function  # type: ignore[no-any-return]


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
