"""Runs the cells of a notebook on an RPyC peer, in the namespace of one connection.

It stands alone, in a Python as old as 3.8: its text is sent to RPyC peers that let this side run
code (`nbrpc.session.rpyc.copying.carried`), and `nbrpc.session.rpyc.cells` is what talks to it.

A cell is plain Python: no magics, no display hooks. What the thread of the cell prints goes to the
client, in messages that nobody waits for; what other threads print stays on the peer's console.
Several connections may run cells at once, each with a copy of this module, so what belongs to the
process is kept in one place that all of them find.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import io
import linecache
import sys
import threading
import time
import traceback
from typing import Any

__all__ = ["Shell"]

INTERVAL = 0.02
"""Seconds between two messages of text, however fast a cell prints."""

FULL = 16 * 1024
"""Characters that are sent at once, without waiting for the interval."""

LARGEST_TEXT = 256 * 1024
LARGEST_RICH = 4 * 1024 * 1024
"""Characters of what the last value of a cell is shown as; what is longer is left out."""

MOST_CELLS = 500
"""Cells whose source tracebacks still find."""

RICH = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
)

REFUSAL = (
    "input() does not work in a remote cell: nobody sits at that keyboard; "
    "push the value instead, with %%remote -i NAME"
)

AWAITS = 0x80  # of code with an await outside of any function: inspect.CO_COROUTINE

shared: Any = sys.__dict__.setdefault(
    "_nbrpc_cells", {"lock": threading.Lock(), "sinks": {}, "names": [], "count": 0}
)
"""What belongs to the process: the sink of each thread that runs a cell, under the lock; and the
file names of the latest cells."""


class Shell:
    """Runs the cells of one connection.

    Parameters
    ----------
    namespace
        Where their names live.
    pack, unpack
        From objects to tuples that RPyC copies, and back.
    complete, document
        `complete_name` and `document_name` of `nbrpc.session.lookup`.
    """

    def __init__(
        self, namespace: dict[str, Any], pack: Any, unpack: Any, complete: Any, document: Any
    ) -> None:
        self._namespace = namespace
        self._pack = pack
        self._unpack = unpack
        self._complete = complete
        self._document = document
        self._loop: Any = None

    def run(
        self, source: str, first_line: int, pushed: Any, pull: Any, write: Any
    ) -> tuple[Any, ...]:
        """Run a cell to its end.

        Parameters
        ----------
        first_line
            The number of the first line of the source in the editor of the user.
        pushed
            Variables to set first: pairs of name and packed value.
        pull
            Names of variables to give back.
        write
            The client's function of a kind and a text, or pairs of a format and a text.

        Returns
        -------
        tuple
            ``("ok", ((name, packed value), ...))``, or ``("error", type, message, traceback)``.
        """
        import rpyc  # type: ignore[import-untyped] # the peer's own

        filename = new_name()
        sink = Sink(rpyc.async_(write))
        try:
            with Redirected(sink):
                for name, packed in pushed:
                    self._namespace[name] = self._unpack(packed)
                self._run(source, first_line, filename, sink)
                values = tuple((name, self._pulled(name)) for name in pull)
        except BaseException as error:  # the caller is told; and what a cell raises is its affair
            return described(error, filename)
        finally:
            sink.close()
        return ("ok", values)

    def _run(self, source: str, first_line: int, filename: str, sink: Sink) -> None:
        text = "\n" * (first_line - 1) + source
        linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(text, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last: Any = tree.body[-1] if tree.body else None
        shows = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
        if shows:
            tree.body.pop()
        self._evaluate(compile(tree, filename, "exec", flags, dont_inherit=True))
        if shows:
            expression = ast.Expression(last.value)
            value = self._evaluate(compile(expression, filename, "eval", flags, dont_inherit=True))
            if value is not None:
                sink.send("result", bundle(value))

    def _evaluate(self, code: Any) -> Any:
        value = eval(code, self._namespace)  # noqa: S307 - what classic mode is for
        if code.co_flags & AWAITS:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            value = self._loop.run_until_complete(value)
        return value

    def _pulled(self, name: str) -> Any:
        if name not in self._namespace:
            raise NameError("name %r is not defined on the remote side" % name)  # noqa: UP031 - short
        return self._pack(self._namespace[name], name)

    def complete(self, source: str, cursor: int) -> tuple[tuple[str, ...], int]:
        """Give the names that may stand at a place of a cell, and where they begin."""
        reply = self._complete(source, cursor, self._namespace)
        return tuple(reply["matches"]), reply["cursor_start"]

    def inspect(self, source: str, cursor: int, detail: int) -> str:
        """Describe the name at a place of a cell; an empty text if there is none."""
        reply = self._document(source, cursor, self._namespace, detail=detail)
        text: str = reply["data"].get("text/plain", "")
        return text[:LARGEST_TEXT]


def new_name() -> str:
    """Give the file name of a cell, and forget the source of one that is long gone."""
    with shared["lock"]:
        shared["count"] += 1
        name = f"<remote cell {shared['count']}>"
        shared["names"].append(name)
        if len(shared["names"]) > MOST_CELLS:
            linecache.cache.pop(shared["names"].pop(0), None)
    return name


def described(error: BaseException, filename: str) -> tuple[Any, ...]:
    """Describe what a cell raised, with the traceback from the cell on."""
    kind = type(error)
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename != filename:
        place = place.tb_next
    try:
        message = str(error)
    except Exception:  # somebody's code; the traceback copes with it
        message = ""
    text = "".join(traceback.format_exception(kind, error, place))
    if place is None:  # there is no code of the cell in it: it was not even compiled
        text = "".join(traceback.format_exception_only(kind, error))
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return ("error", name, message[:LARGEST_TEXT], text[-LARGEST_TEXT:])


def bundle(value: Any) -> tuple[tuple[str, str], ...]:
    """Give what a value shows itself as: pairs of a format and a text."""
    text = repr(value)
    if len(text) > LARGEST_TEXT:
        text = text[:LARGEST_TEXT] + " ..."
    found = [("text/plain", text), *figure(value)]
    for name, form in RICH:
        method = None if isinstance(value, type) else getattr(type(value), name, None)
        if not callable(method):
            continue
        try:
            shown = method(value)
        except Exception:  # noqa: S112 - as in a notebook: what fails to show itself is a text
            continue
        if isinstance(shown, tuple) and shown:
            shown = shown[0]  # with its metadata
        if isinstance(shown, bytes):
            shown = base64.b64encode(shown).decode("ascii")
        if isinstance(shown, str) and len(shown) <= LARGEST_RICH:
            found.append((form, str(shown)))
    return tuple(found)


def figure(value: Any) -> tuple[tuple[str, str], ...]:
    """Give a figure of matplotlib as an image; nothing for any other value."""
    module = sys.modules.get("matplotlib.figure")
    if module is None or not isinstance(value, module.Figure):
        return ()
    buffer = io.BytesIO()
    value.savefig(buffer, format="png")
    return (("image/png", base64.b64encode(buffer.getvalue()).decode("ascii")),)


# ---- output


class Sink:
    """The way of one cell's output to the client; closed when the cell ends."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._lock = threading.RLock()  # held while sending, which keeps the order
        self._pending: list[tuple[str, str]] = []
        self._size = 0
        self._sent = 0.0
        self._timer: Any = None
        self._closed = False

    def write(self, kind: str, text: str) -> None:
        """Take text; whole lines leave at once, unless some have left just now."""
        with self._lock:
            self._pending.append((kind, text))
            self._size += len(text)
            due = time.monotonic() - self._sent >= INTERVAL
            if self._size >= FULL or (due and text.endswith("\n")):
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(INTERVAL, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def send(self, kind: str, content: Any) -> None:
        """Send anything else, after the text before it."""
        with self._lock:
            self._flush()
            self._tell(kind, content)

    def flush(self) -> None:
        """Send the text that waits."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Send what waits; nothing leaves afterwards."""
        with self._lock:
            self._flush()
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _flush_later(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._size = self._pending, [], 0
        while pending:
            kind = pending[0][0]
            texts = []
            while pending and pending[0][0] == kind:
                texts.append(pending.pop(0)[1])
            self._tell(kind, "".join(texts))
            self._sent = time.monotonic()

    def _tell(self, kind: str, content: Any) -> None:
        if self._closed:
            return
        try:
            self._send(kind, content)
        except (EOFError, OSError, ReferenceError):
            self._closed = True  # the client is gone, and the cell goes on


class Redirected:
    """While inside, the standard streams of this thread are those of a cell."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._before: Any = None

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with shared["lock"]:
            self._before = shared["sinks"].get(thread)
            shared["sinks"][thread] = self._sink
            for name, kind in STREAMS:
                if not hasattr(getattr(sys, name), "below_cells"):
                    setattr(sys, name, kind(name, getattr(sys, name)))

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        with shared["lock"]:
            if self._before is not None:
                shared["sinks"][thread] = self._before
                return
            shared["sinks"].pop(thread, None)
            if shared["sinks"]:
                return
            for name, _kind in STREAMS:
                stream = getattr(sys, name)
                if hasattr(stream, "below_cells"):
                    setattr(sys, name, stream.below_cells)


class Output(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, kind: str, below: Any) -> None:
        self._kind = kind
        self.below_cells = below

    @property
    def encoding(self) -> str:  # type: ignore[override] # None in its stub
        """Cells take any text; elsewhere the encoding of the stream below."""
        return getattr(self.below_cells, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write to the cell of this thread, or else to the stream below."""
        sink = shared["sinks"].get(threading.get_ident())
        if sink is None:
            return len(text) if self.below_cells is None else self.below_cells.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink.write(self._kind, text)
        return len(text)

    def flush(self) -> None:
        """Send on what waits."""
        sink = shared["sinks"].get(threading.get_ident())
        if sink is not None:
            sink.flush()
        elif self.below_cells is not None:
            self.below_cells.flush()

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: a cell does not close the streams of the process."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below_cells, name)


class Input(io.TextIOBase):
    """Stands in for ``sys.stdin``: refuses in a cell, reads the stream below elsewhere."""

    def __init__(self, _kind: str, below: Any) -> None:
        self.below_cells = below

    def readline(self, size: int = -1) -> str:  # type: ignore[override] # of bytes in its stub
        """Read a line, outside of cells."""
        if threading.get_ident() in shared["sinks"]:
            raise RuntimeError(REFUSAL)
        return "" if self.below_cells is None else str(self.below_cells.readline(size))

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: ``exit()`` in a cell closes ``sys.stdin``, which is not the cell's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below_cells, name)


STREAMS = (("stdout", Output), ("stderr", Output), ("stdin", Input))
