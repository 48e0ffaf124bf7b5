"""What every live widget is made of: state that is sent from any thread, a few times a second.

Theory of operation
-------------------
What a widget shows changes on threads that read sockets, and often: a result prints, an event
arrives. Those threads only ask for a refresh (`LiveWidget.touch`), which takes a microsecond. A
worker of nbrpc then brings the widget's traits up to date, at most ten times a second for each
widget and never twice at once, and all that changed leaves in one message. So a page shows what
happens while the kernel's main thread is busy with a cell, and a flood of changes costs what ten
changes cost: a Jupyter server drops what exceeds 1,000 messages a second.

Messages from a page arrive on whatever thread the kernel chooses (ipykernel 7.3 has threads for
them). What is done for them must be quick and must not touch the kernel's loop.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

from nbrpc.session.reactor import reactor

__all__ = ["INTERVAL", "LiveWidget", "Pace", "send_states", "source"]

log = logging.getLogger("nbrpc.widgets")

INTERVAL = 0.1
"""Seconds between two refreshes of one widget."""

BEAT = 5.0
"""Seconds between two signs of life of a widget that shows something under way."""

STATIC = Path(__file__).parent / "static"

current_cell: Callable[[], tuple[object, object] | None] | None = None
"""Names the notebook cell that runs and this run of it; set by the notebook layer."""


def source(*names: str) -> str:
    """Give the text of files of `static`, one after the other: modules share functions that way."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


class Pace:
    """Calls a function soon after it was asked to: never twice at once, never too often.

    Parameters
    ----------
    function
        What to call, on a worker of nbrpc.
    interval
        Seconds from the beginning of one call to that of the next at least.
    """

    def __init__(self, function: Callable[[], None], interval: float = INTERVAL) -> None:
        self._function = function
        self._interval = interval
        self._lock = threading.Lock()
        self._asked = False
        self._running = False
        self._stopped = False
        self._last = -interval

    def ask(self) -> None:
        """Ask for a call; from any thread, and without waiting."""
        with self._lock:
            if self._asked or self._stopped:
                return
            self._asked = True
            if self._running:
                return  # it will be due when this one is done
        self._schedule()

    def stop(self) -> None:
        """Call it no more; a call that has begun may still go on."""
        self._stopped = True

    def _schedule(self) -> None:
        wait = self._last + self._interval - time.monotonic()
        if wait > 0:
            reactor().call_later(wait, self)
        else:
            reactor().submit(self)

    def run(self) -> None:
        """Call the function; a job."""
        with self._lock:
            if self._stopped:
                return
            self._asked = False
            self._running = True
        self._last = time.monotonic()
        try:
            self._function()
        finally:
            with self._lock:
                self._running = False
                again = self._asked
            if again:
                self._schedule()


class _Later:
    """Asks a widget to refresh, if it still exists then."""

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = weakref.ref(widget)

    def run(self) -> None:
        widget = self._widget()
        if widget is not None:
            widget.touch()


class LiveWidget(anywidget.AnyWidget):
    """A widget that brings itself up to date.

    A subclass overrides `refresh`, which sets traits; `answer`, which takes what the page sends;
    `release`, which ends what feeds it; and `fallback`, the HTML for pages without widgets.

    Parameters
    ----------
    name
        What it shows. Making such a widget again, by running the same cell again, closes the
        earlier one.
    """

    def __init__(self, name: str = "", **traits: Any) -> None:
        super().__init__(**traits)
        self.closed = False
        self._refreshing = threading.Lock()
        self._pace = Pace(self._refresh)
        self._beat_due = 0.0
        self.on_msg(self._received)
        _open.add(self)
        if name:
            _replace_earlier(self, name)

    def send_all(self) -> None:
        """Send the state as it is now, all of it, as a part of the cell that runs."""
        self._refresh()
        if not self.closed:  # the module and its style never change
            self.send_state([name for name in self.keys if not name.startswith("_")])

    # ---- for subclasses

    def refresh(self) -> None:
        """Set the traits that have changed: on a worker, never twice at once, sent together."""

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Take a message of the page; on any thread: be quick, and trust nothing in it."""

    def release(self) -> None:
        """End what feeds the widget."""

    def fallback(self) -> dict[str, str]:
        """Give what is shown where there are no widgets: ``text/html`` and ``text/plain``."""
        return {"text/plain": repr(self)}

    # ---- for those who feed it

    def touch(self, *_: object) -> None:
        """Ask for a refresh; from any thread, at once, as often as one likes."""
        self._pace.ask()

    def touch_later(self, seconds: float) -> None:
        """Ask for a refresh in some seconds, unless the widget is gone by then."""
        reactor().call_later(seconds, _Later(self))

    def beat(self) -> None:
        """Ask for a refresh every few seconds, as long as each of them calls this.

        A page that hears nothing for longer takes it that the kernel is gone, and says so.
        """
        now = time.monotonic()
        if now >= self._beat_due:
            self._beat_due = now + BEAT
            self.touch_later(BEAT)

    def close(self) -> None:
        """Take the widget out of all pages and end what feeds it. Closing twice does nothing."""
        if getattr(self, "closed", True):  # or it was never made
            return
        self.closed = True
        _open.discard(self)
        self._pace.stop()
        try:
            self.release()
        finally:
            super().close()

    # ---- inside

    def _refresh(self) -> None:
        if self.closed:
            return
        try:
            with self._refreshing, self.hold_sync():
                self.refresh()
        except Exception:  # one widget less must not cost a worker
            log.exception("%s could not be refreshed", type(self).__name__)

    def _received(self, _widget: object, content: Any, buffers: list[Any]) -> None:
        if self.closed or not isinstance(content, dict):
            return
        try:
            self.answer(content, buffers)
        except Exception:  # what a page sends may be anything
            log.exception("%s could not answer its page", type(self).__name__)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, **self.fallback()}, metadata


_open: weakref.WeakSet[LiveWidget] = weakref.WeakSet()


def send_states() -> None:
    """Send the state of all widgets once more.

    A program that executes a notebook records only what belongs to the cell that runs; so what the
    widgets have shown since then would be missing in the notebook that it writes.
    """
    for widget in list(_open):
        widget.send_all()


_made: dict[tuple[object, str, str], tuple[object, weakref.WeakSet[LiveWidget]]] = {}
"""By cell, class and name: the last run of that cell, and the widgets that it made."""


def _replace_earlier(widget: LiveWidget, name: str) -> None:
    """Close what an earlier run of this cell made of the same kind over the same thing."""
    where = current_cell() if current_cell is not None else None
    if where is None:
        return
    cell, run = where
    key = (cell, type(widget).__qualname__, name)  # anywidget makes a class for each widget
    earlier_run, widgets = _made.get(key, (run, weakref.WeakSet[LiveWidget]()))
    if earlier_run != run:
        for old in list(widgets):
            old.close()
        widgets = weakref.WeakSet()
    widgets.add(widget)
    _made[key] = (run, widgets)
