"""How an AsyncResult, a connection and a proxy look in a notebook.

A result that runs is shown as a live widget, with HTML and text in the same bundle. Once it has
ended its display is replaced, by its id, with HTML and text alone: a notebook that was saved and is
opened without a kernel, converted, or put on a page says how it ended, where a page would miss the
model of a widget. (A `ResultView` that the user made stays one, and only its HTML and text become
final.) The replacement is sent at once, from the thread that learns of the end, so that it shows
while the kernel is busy with another cell. Programs that execute notebooks record only what belongs
to the running cell; so what ended between cells is sent again when the next cell ends.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from nbrpc.errors import ConnectionLost, NbrpcError
from nbrpc.objects.mimicry import MIMICKED
from nbrpc.objects.proxy import Proxy, target_of
from nbrpc.objects.text import printable
from nbrpc.protocol.messages import Operation
from nbrpc.widgets.connection_card import connection_bundle, latency
from nbrpc.widgets.live import Pace
from nbrpc.widgets.result_record import has_ended
from nbrpc.widgets.result_view import ResultView, result_bundle
from nbrpc.widgets.sanitize import admitted, is_trusted

__all__ = [
    "ResultDisplays",
    "connection_bundle",
    "format_proxies",
    "latency",
    "proxy_bundle",
    "show_card",
]

MOST_ENDED = 100
"""Widgets of results that have ended and are still kept, for pages that cannot replace a display
(voila's); the oldest goes first."""

ANSWER = 10.0
"""Seconds for which a remote object may take to say what it looks like."""

PATIENCE = 3.0
"""Seconds for which a cell may take longer, so that what has ended meanwhile is a part of it: a
remote value that is slow to say what it looks like is shown when it has."""


class ResultDisplays:
    """The displays of results.

    Parameters
    ----------
    shell
        IPython's shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._running: set[ResultDisplay] = set()
        self._ended: deque[ResultDisplay] = deque()
        self._unrecorded: list[ResultDisplay] = []
        self.in_cell = False
        """Whether a cell runs; set by the extension."""

    def show(self, result: Any) -> None:
        """Display a result, and keep the display true until the result has ended."""
        if has_ended(result):
            self.publish(result_bundle(result), uuid.uuid4().hex, update=False)
            return
        self._begin(ResultDisplay(ResultView(result), self, replaced=True))

    def show_view(self, view: ResultView) -> None:
        """Display a view that the user made, and keep its fallbacks true."""
        display = ResultDisplay(view, self, replaced=False)
        if has_ended(view.result):
            self.publish(display.bundle(), uuid.uuid4().hex, update=False)
            return
        self._begin(display)

    def _begin(self, display: ResultDisplay) -> None:
        self._running.add(display)
        display.begin()

    def results(self) -> list[Any]:
        """Give the displayed results that have not ended."""
        return [display.result for display in list(self._running)]

    def publish(self, data: dict[str, Any], identity: str, *, update: bool) -> None:
        """Send a display; from any thread."""
        self._shell.display_pub.publish(data, {}, transient={"display_id": identity}, update=update)

    def ended(self, display: ResultDisplay) -> None:
        """The last word of a display was sent."""
        self._running.discard(display)
        if not self.in_cell:
            self._unrecorded.append(display)
        self._ended.append(display)
        while len(self._ended) > MOST_ENDED:
            self._ended.popleft().close()

    def settle(self) -> None:
        """Make the displays of all results that have ended final, as a part of this cell."""
        ends = time.monotonic() + PATIENCE
        for display in list(self._running):
            if has_ended(display.result):
                display.wait_until_sent(max(0.0, ends - time.monotonic()))
        again, self._unrecorded = self._unrecorded, []
        for display in again:
            display.publish_end()

    def close(self) -> None:
        """Update nothing any more."""
        for display in [*self._running, *self._ended]:
            display.close()
        self._running.clear()
        self._ended.clear()


class ResultDisplay:
    """One display of one result that had not ended when it was shown.

    Parameters
    ----------
    replaced
        Whether the widget gives way to HTML once the result has ended.
    """

    def __init__(self, view: ResultView, displays: ResultDisplays, *, replaced: bool) -> None:
        self.result = view.result
        self._displays = displays
        self._view = view
        self._replaced = replaced
        self._identity = uuid.uuid4().hex
        self._pace = Pace(self._finish)
        self._sent = threading.Event()

    def begin(self) -> None:
        """Send the display, and watch the result."""
        self._displays.publish(self.bundle(), self._identity, update=False)
        self.result.observe_end(self._changed)

    def bundle(self) -> dict[str, Any]:
        """Give the widget with its fallbacks; these alone, if it was closed."""
        bundle = self._view._repr_mimebundle_()
        return result_bundle(self.result) if bundle is None else bundle[0]

    def _changed(self, _: object) -> None:
        if has_ended(self.result):
            self._pace.ask()

    def _finish(self) -> None:
        """Send how the result ended, once; on a worker, since a remote value is asked for."""
        if self._sent.is_set():
            return
        self.result.unobserve(self._changed)
        try:
            self.publish_end()
        finally:
            self._displays.ended(self)
            self._sent.set()

    def wait_until_sent(self, seconds: float) -> None:
        """Wait until the end of a result that has ended is displayed, at most so long."""
        self._pace.ask()  # an end that nobody told, as that of a time that was set
        self._sent.wait(seconds)

    def publish_end(self) -> None:
        """Send how the result ended."""
        bundle = result_bundle(self.result) if self._replaced else self.bundle()
        self._displays.publish(bundle, self._identity, update=True)

    def close(self) -> None:
        """Send nothing any more."""
        self._pace.stop()
        self.result.unobserve(self._changed)
        if self._replaced:
            self._view.close()


def show_card(shell: Any, connection: Any, name: str) -> None:
    """Display the card of a connection, and have it say so when that is lost, or is back."""
    transient = {"display_id": uuid.uuid4().hex}
    publish = shell.display_pub.publish
    publish(connection_bundle(connection, name), {}, transient=transient)

    def update() -> None:
        publish(connection_bundle(connection, name), {}, transient=transient, update=True)

    pace = Pace(update)

    def changed() -> None:
        # Its end is told at once, since the cell that closes it may be over a moment later.
        (update if connection.closed else pace.ask)()

    connection.revival.observers.append(changed)
    if connection.state != "open":  # meanwhile
        pace.ask()


def format_proxies(formatter: Any) -> Callable[[], None]:
    """Have IPython's formatter show proxies in one request each; give what takes that back.

    A proxy of a remote list says that its class is list, and IPython would print it as one, item by
    item: alone, and in a local container.
    """
    original = formatter.format

    def show(
        obj: object, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if not issubclass(type(obj), Proxy):
            return original(obj, include=include, exclude=exclude)  # type: ignore[no-any-return] # of IPython
        data = {
            form: shown
            for form, shown in proxy_bundle(obj).items()
            if (not include or form in include) and not (exclude and form in exclude)
        }
        return data, {}

    formatter.format = show
    printer = formatter.formatters["text/plain"]
    replaced: dict[type, Callable[..., None]] = {}
    for kind in set(MIMICKED.values()):
        try:
            replaced[kind] = printer.lookup_by_type(kind)
        except KeyError:
            continue  # its repr is what is printed
        printer.for_type(kind, _printer_of_proxies(replaced[kind]))

    def undo() -> None:
        vars(formatter).pop("format", None)
        for kind, earlier in replaced.items():
            printer.for_type(kind, earlier)

    return undo


def _printer_of_proxies(original: Callable[..., None]) -> Callable[..., None]:
    def show(obj: object, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython's signature
        if issubclass(type(obj), Proxy):
            printer.text(repr(obj))
        else:
            original(obj, printer, cycle)

    return show


def proxy_bundle(proxy: Any) -> dict[str, str]:
    """Give what a proxy displays as, in one round trip; a text that says so when it is gone."""
    target = target_of(proxy)
    if target is None:
        return {}
    session, oid, path = target
    try:
        data = session.request(Operation.DISPLAY, oid, path, timeout=ANSWER)
        return admitted(data, trusted=is_trusted(session))
    except ConnectionLost:
        return {"text/plain": repr(proxy)}  # which then asks nobody
    except NbrpcError as error:
        return {"text/plain": printable(f"<remote object that cannot be shown: {error}>")}
