"""How an AsyncResult, a connection and a proxy look in a notebook.

An AsyncResult is shown once and then updated in place, as HTML and text in one bundle, until it has
ended; so a saved notebook says how it ended. Updates are made on the kernel's loop, at most four a
second for one result, and whatever has ended meanwhile is brought up to date when a cell ends. They
are sent with the cell that runs (or ran last) as their parent: a page finds the display by its id,
and programs that execute notebooks record only what belongs to the running cell.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from nbrpc.errors import CallTimeout, ConnectionLost, NbrpcError, RemoteError
from nbrpc.notebook import page
from nbrpc.notebook.tracebacks import clean
from nbrpc.objects.proxy import is_proxy, target_of
from nbrpc.objects.text import printable, shorten
from nbrpc.protocol.messages import Operation

__all__ = [
    "ResultViews",
    "admitted",
    "connection_bundle",
    "error_of",
    "latency",
    "proxy_bundle",
    "result_has_ended",
]

INTERVAL = 0.25
"""Seconds between two updates of one display: a Jupyter server drops what exceeds 1,000 messages a
second, and a person reads no faster."""

LOOK = 1.0
"""Seconds between two looks at a result that may expire, of which nobody tells."""

TAIL_LINES = 10
LARGEST = 64 * 1024
"""Characters of a value or traceback in a panel; the whole is in ``res.value``."""

ADMITTED = (
    "text/", "image/", "application/json", "application/pdf", "application/vnd.plotly",
    "application/vnd.vega", "application/geo+json",
)  # fmt: skip
"""Kinds of data that a remote cell may show. Scripts are not among them, nor are widgets, whose
models live in the remote process where no page reaches them."""


def admitted(data: dict[str, Any]) -> dict[str, Any]:
    """Keep the parts of a remote bundle that may be shown; text loses its control sequences."""
    return {
        kind: clean(value) if kind == "text/plain" and isinstance(value, str) else value
        for kind, value in data.items()
        if kind.startswith(ADMITTED) and kind != "text/javascript"
    }


class ResultViews:
    """The displays of results that have not ended.

    Parameters
    ----------
    shell
        IPython's shell.
    call_soon, call_later
        Run a function on the kernel's loop, from any thread; after some seconds, from the loop.
    """

    def __init__(
        self,
        shell: Any,
        call_soon: Callable[[Callable[[], None]], None],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._shell = shell
        self._call_soon = call_soon
        self._call_later = call_later
        self._live: set[ResultView] = set()

    def show(self, result: Any) -> None:
        """Display a result, and keep the display true until the result has ended."""
        view = ResultView(result, self._shell)
        view.publish(update=False)
        if view.final:
            return
        self._live.add(view)

        def changed(_: Any) -> None:
            if not view.scheduled or result_has_ended(result):
                view.scheduled = True
                self._call_soon(lambda: self._refresh(view))

        view.stop = lambda: result.unobserve(changed)
        result.observe(changed)
        changed(result)  # what happened before it was observed
        self._call_soon(lambda: self._look(view))

    def results(self) -> list[Any]:
        """Give the displayed results that have not ended."""
        return [view.result for view in self._live]

    def _refresh(self, view: ResultView) -> None:
        """Bring a display up to date, now or when it is due; on the loop."""
        if view not in self._live:
            return
        wait = view.published + INTERVAL - time.monotonic()
        if wait > 0 and not result_has_ended(view.result):
            self._call_later(wait, lambda: self._refresh(view))
            return
        view.scheduled = False
        self._update(view)

    def _look(self, view: ResultView) -> None:
        if view in self._live:
            if result_has_ended(view.result):
                self._update(view)
            else:
                self._call_later(LOOK, lambda: self._look(view))

    def settle(self) -> None:
        """Bring the displays of all results that have ended up to date, now."""
        for view in list(self._live):
            if result_has_ended(view.result):
                self._update(view)

    def close(self) -> None:
        """Update nothing any more."""
        for view in self._live:
            view.stop()
        self._live.clear()

    def _update(self, view: ResultView) -> None:
        view.publish(update=True)
        if view.final:
            self._live.discard(view)
            view.stop()


class ResultView:
    """One display of one result."""

    def __init__(self, result: Any, shell: Any) -> None:
        self.result = result
        self.published = 0.0
        self.final = False
        self.scheduled = False
        self.stop: Callable[[], None] = lambda: None
        self._shell = shell
        self._identity = uuid.uuid4().hex
        self._lines: deque[str] = deque([""], maxlen=TAIL_LINES)

    def publish(self, *, update: bool) -> None:
        """Send the display, or bring it up to date."""
        self.final = result_has_ended(self.result)
        self.published = time.monotonic()
        self._shell.display_pub.publish(
            self.bundle(), {}, transient={"display_id": self._identity}, update=update
        )

    def bundle(self) -> dict[str, str]:
        """Give HTML and text of the result as it is."""
        result = self.result
        self._read_outputs()
        state = result.state
        outcome = ""
        if state == "ready":
            outcome = self._value(result.value)
        elif state in ("error", "lost"):
            outcome = describe_failure(error_of(result))
        panel = page.result(
            state=state,
            call=result.call,
            target=result.target,
            elapsed=result.elapsed,
            progress=result.progress,
            tail="\n".join(self._lines).strip("\n"),
            outcome=outcome,
        )
        return {"text/html": panel, "text/plain": repr(result)}

    def _read_outputs(self) -> None:
        outputs = self.result.outputs
        while outputs:
            kind, content = outputs.popleft()
            if kind in ("stdout", "stderr"):
                first, *rest = str(content).split("\n")
                self._lines[-1] += first
                self._lines.extend(rest)
            elif kind in ("display", "result"):
                text = content["data"].get("text/plain", "")
                self._lines.extend([*str(text).split("\n"), ""])
            elif kind == "clear":
                self._lines.clear()
                self._lines.append("")
        # Of a line that was rewritten with \r (a progress bar) only the last state is seen.
        self._lines[-1] = self._lines[-1].rpartition("\r")[2][-1000:]

    def _value(self, value: object) -> str:
        if value is None:
            return ""
        if is_proxy(value):  # its repr would be a round trip, in the middle of something else
            description = getattr(value, "_nbrpc_description_", None)
            name = f"{description.module}.{description.name}" if description else "object"
            return page.plain(f"<remote {name}>")
        data, _ = self._shell.display_formatter.format(value)
        if "text/html" in data and len(data["text/html"]) <= LARGEST:
            return f'<div class="nbrpc-value">{data["text/html"]}</div>'
        return page.plain(shorten(str(data.get("text/plain", "")), LARGEST))


def result_has_ended(result: Any) -> bool:
    """Whether nothing about a result will change any more."""
    return result.state not in ("pending", "cancelling")


def error_of(result: Any) -> BaseException | None:
    """Give the exception of a result that has ended; None when it has a value."""
    try:
        error: BaseException | None = result.exception(0)
    except CallTimeout as expired:
        return expired
    return error


def describe_failure(error: BaseException | None) -> str:
    """Give the HTML of what went wrong."""
    name = type(error).__name__
    if isinstance(error, RemoteError):
        details = error.remote_traceback
        said = error.args[0] if len(error.args) == 1 else error.args or ""
    else:
        details, said = "", error
    return page.failure(f"{name}: {said}", shorten(printable(str(details)), LARGEST))


def connection_bundle(connection: Any, name: str = "") -> dict[str, str]:
    """Give the card of a connection: as HTML and as one line of text."""
    peer = connection.peer
    rows = [
        ("address", str(connection.url)),
        ("serves", str(peer.get("service", ""))),
        ("process", f"{peer.get('pid', '?')} on {peer.get('host', '?')}"),
        ("protocol", connection.protocol),
        ("remote code", "allowed (%%remote)" if connection.allows_code else "not allowed"),
    ]
    if not connection.closed:
        rows.append(("round trip", latency(connection)))
    if name:
        rows.append(("bound to", name))
    state = "closed: " if connection.closed else ""
    line = f"{state}{connection.name} at {connection.url}, {peer.get('service', '')}"
    return {
        "text/html": page.card(str(connection.name), rows, alive=not connection.closed),
        "text/plain": printable(f"<connection {line}>"),
    }


def latency(connection: Any) -> str:
    """Say how long a round trip takes, or that it is not known."""
    measured = connection.statistics().round_trip
    return "not measured" if measured is None else page.duration(measured)


def proxy_bundle(proxy: Any) -> dict[str, str]:
    """Give what a proxy displays as, in one round trip; a text that says so when it is gone."""
    target = target_of(proxy)
    if target is None:
        return {}
    session, oid, path = target
    try:
        return admitted(session.request(Operation.DISPLAY, oid, path))
    except ConnectionLost:
        return {"text/plain": repr(proxy)}  # which then asks nobody
    except NbrpcError as error:
        return {"text/plain": printable(f"<remote object that cannot be shown: {error}>")}
