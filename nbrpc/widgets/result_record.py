"""What an AsyncResult has shown so far, read once and shared by all its views.

What a remote cell prints waits in ``result.outputs`` until somebody takes it. Two views of one
result must agree, so both look at the one record of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython

from nbrpc.errors import CallTimeout, NbrpcError, RemoteError
from nbrpc.objects.text import printable, shorten
from nbrpc.session.result import AsyncResult
from nbrpc.version import __version__
from nbrpc.widgets import page
from nbrpc.widgets.sanitize import admitted, clean, is_trusted

__all__ = ["Record", "error_of", "has_ended", "record_of"]

PACKAGE = str(Path(__file__).resolve().parent.parent)

TAIL_LINES = 10
LONGEST_LINE = 1000
MOST_DISPLAYS = 20
LARGEST = 64 * 1024
"""Characters of a value or traceback in a panel; the whole is in ``res.value``."""

RUNS_ON = "RPyC cannot stop a call: it runs on there."
HAS_ENDED = "RPyC cannot stop a call: it ran to its end there."
"""What is said of a call to an RPyC peer that was cancelled here."""

LARGEST_DISPLAY = 4 * 1024 * 1024
"""Characters of a rich display: a figure takes some hundred thousand."""


def has_ended(result: AsyncResult) -> bool:
    """Whether nothing about a result will change any more."""
    return result.state not in ("pending", "cancelling")


def error_of(result: AsyncResult) -> BaseException | None:
    """Give the exception of a result that has ended; None when it has a value."""
    try:
        error: BaseException | None = result.exception(0)
    except CallTimeout as expired:
        return expired
    return error


class Record:
    """What one result has shown so far.

    Attributes
    ----------
    news : float
        When it was last heard of, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.news = time.monotonic()
        self._seen: object = None
        self._lines: deque[str] = deque([""], maxlen=TAIL_LINES + 1)
        self._displays: dict[object, dict[str, Any]] = {}  # by their ids, as far as they have any
        self._outcome: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def shown_tail(self, result: AsyncResult) -> str:
        """Give the last lines, with a word on a call that was left and runs on."""
        if not (result.cancelled and getattr(result.session, "nests", False)):
            return self.tail
        said = RUNS_ON if result.state == "cancelling" else HAS_ENDED
        return f"{self.tail}\n{said}".strip("\n")

    @property
    def tail(self) -> str:
        """The last lines that were printed, with their colours."""
        return "\n".join(line.rstrip("\r") for line in self._lines).strip("\n")

    def read(self, result: AsyncResult) -> None:
        """Take what has come; from any thread."""
        with self._lock:
            seen = (result.state, result.progress)
            if result.outputs or seen != self._seen:
                self.news = time.monotonic()
                self._seen = seen
            while result.outputs:
                kind, content = result.outputs.popleft()
                self._take(kind, content, trusted=is_trusted(result.session))

    def _take(self, kind: str, content: Any, *, trusted: bool) -> None:
        if kind in ("stdout", "stderr"):
            self._print(clean(str(content)))
        elif kind == "clear":
            self._lines.clear()
            self._lines.append("")
            self._displays.clear()
        elif kind in ("display", "result"):
            self._show(content, admitted(content["data"], trusted=trusted))

    def _show(self, content: dict[str, Any], data: dict[str, Any]) -> None:
        if not rich(data):
            self._print(shorten(str(data.get("text/plain", "")), LARGEST) + "\n")
            return
        self._displays[content.get("transient", {}).get("display_id") or object()] = data
        if len(self._displays) > MOST_DISPLAYS:
            del self._displays[next(iter(self._displays))]

    def _print(self, text: str) -> None:
        first, *rest = text.split("\n")
        self._lines[-1] += first
        self._lines.extend(rest)
        # Of a line that was rewritten with \r (a progress bar) only the last state is seen.
        for index, line in enumerate(self._lines):
            shown = line.rstrip("\r").rpartition("\r")[2]
            self._lines[index] = f"{shown}\r" if line.endswith("\r") else shown
        self._lines[-1] = self._lines[-1][-LONGEST_LINE:]

    def outcome(self, result: AsyncResult) -> tuple[str, str]:
        """Give the HTML of how it ended, and the text that Copy copies; found out once.

        The value of a remote object is asked for, which takes a round trip.
        """
        if self._outcome is None:
            self._outcome = self._find_outcome(result)
        return self._outcome

    def _find_outcome(self, result: AsyncResult) -> tuple[str, str]:
        shown = "".join(page.bundle(data, LARGEST_DISPLAY) for data in self._displays.values())
        if result.state == "ready":
            value = result.value
            if value is None or (result.is_cell and value == {}):
                return shown, ""
            return shown + show_value(value, trusted=is_trusted(result.session)), ""
        if result.state in ("error", "lost"):
            error = error_of(result)
            return shown + describe(error), report(result, error)
        return shown, ""


_records: WeakKeyDictionary[AsyncResult, Record] = WeakKeyDictionary()
_guard = threading.Lock()


def record_of(result: AsyncResult) -> Record:
    """Give the record of a result."""
    with _guard:
        record = _records.get(result)
        if record is None:
            record = _records[result] = Record()
    return record


def rich(data: dict[str, Any]) -> bool:
    """Whether a bundle has more to show than text."""
    return any(kind == "text/html" or kind.startswith("image/") for kind in data)


def show_value(value: object, *, trusted: bool) -> str:
    """Give the HTML of a value, as the notebook would show it."""
    shell: Any = get_ipython()
    if shell is None:
        return page.plain(shorten(printable(repr(value)), LARGEST))
    data, _ = shell.display_formatter.format(value)
    return page.bundle(admitted(data, trusted=trusted), LARGEST_DISPLAY, LARGEST)


def describe(error: BaseException | None) -> str:
    """Give the HTML of what went wrong: one line, and the remote frames below it."""
    if isinstance(error, RemoteError):
        said = error.args[0] if len(error.args) == 1 else error.args or ""
        name = error.type_name.rpartition(".")[2] or type(error).__name__
        return page.failure(f"{name}: {said}" if said != "" else name, error.remote_traceback)
    note = ""
    if error is not None and not isinstance(error, NbrpcError):  # it was raised here
        note = local_traceback(error)
    return page.failure(f"{type(error).__name__}: {error}", note)


def local_traceback(error: BaseException) -> str:
    """Give the traceback of what a callable of this process raised, without frames of ours."""
    told = TracebackException.from_exception(error)
    told.stack = StackSummary.from_list(
        [frame for frame in told.stack if not frame.filename.startswith(PACKAGE)]
    )
    return "".join(told.format())


def report(result: AsyncResult, error: BaseException | None) -> str:
    """Give plain text to paste into a bug report: what, where, versions; no token is in it."""
    details = error.remote_traceback if isinstance(error, RemoteError) else ""
    if error is not None and not isinstance(error, NbrpcError):
        details = local_traceback(error)
    lines = [
        f"{result.call} on {result.target}" if result.target else result.call,
        f"{type(error).__name__}: {error}",
        printable(details).rstrip(),
        f"nbrpc {__version__}",
    ]
    return shorten("\n".join(line for line in lines if line), LARGEST)
