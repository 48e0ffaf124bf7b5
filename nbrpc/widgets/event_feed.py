"""`EventFeed`: the latest events as a list, with their rate and what was dropped."""

from __future__ import annotations

import datetime
import threading
from collections import deque
from typing import Any

import traitlets

from nbrpc.session.remote_events import RemoteEvent
from nbrpc.widgets import page
from nbrpc.widgets.event_pages import panel
from nbrpc.widgets.event_source import EventSource, arguments_text
from nbrpc.widgets.live import LiveWidget, source

__all__ = ["EventFeed"]

KEPT = 200
"""Events that a feed remembers."""

MOST_WAITING = 5000
"""Events that may wait between two refreshes."""


class EventFeed(LiveWidget):
    """The latest events: when each came and what it said, the newest first.

    The rate counts all events that the producer emitted; how many of them were dropped on the way
    is told beside it. Setting ``paused`` holds the list still; events are counted all the same.

    Parameters
    ----------
    event
        An event of a remote object, or what ``nbrpc.watch`` gives.

    Raises
    ------
    TypeError
        ``event`` is no event.

    Examples
    --------
    In a notebook::

        nbrpc.widgets.EventFeed(dev.alarm)      # or dev.alarm.feed()
    """

    _esm = source("common.js", "events.js", "feed.js")
    _css = source("common.css", "events.css", "feed.css")

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("waiting").tag(sync=True)
    reason = traitlets.Unicode().tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)

    def __init__(self, event: RemoteEvent) -> None:
        self._source = feed = EventSource(event, MOST_WAITING)
        self._rows: deque[tuple[int, float, str]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()  # guards the rows and the two below
        self._number = 0
        self._sent = 0
        self._whole = False
        self._told: tuple[Any, ...] = ()
        super().__init__(feed.name, title=feed.name)
        feed.start(self.touch)

    def __repr__(self) -> str:
        feed = self._source
        return (
            f"<feed of {feed.name} ({self.state}): {feed.received:,} received, "
            f"{feed.dropped:,} dropped>"
        )

    def clear(self) -> None:
        """Forget the events so far; their count stays."""
        with self._lock:
            self._rows.clear()
            self._whole = True
        self.touch()

    def refresh(self) -> None:
        """Send the events that are new, or all that are kept to a page that has just come."""
        feed = self._source
        taken = feed.take()
        with self._lock:
            skipped = max(0, len(taken) - KEPT)
            self._number += skipped
            for when, args in taken[skipped:]:
                self._number += 1
                self._rows.append((self._number, when, arguments_text(args)))
            whole, self._whole = self._whole, False
            rows = [row for row in self._rows if whole or row[0] > self._sent]
            self._sent = self._number
        told = (feed.received, feed.dropped, round(feed.rate.tell(feed.received + feed.dropped), 1))
        if rows or whole or told != self._told:
            self._told = told
            self.send({"kind": "rows", "whole": whole, "rows": rows, "figures": told})
        self.state, self.reason = feed.state, feed.reason
        feed.look_again(self.touch_later)

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Take a page's greeting, to which all rows are the answer, or its wish to clear."""
        kind = content.get("kind")
        if kind == "hello":
            with self._lock:
                self._whole = True
            self.touch()
        elif kind == "clear":
            self.clear()

    def release(self) -> None:
        """End the subscription."""
        self._source.close()

    def fallback(self) -> dict[str, str]:
        """Give the latest events as a table."""
        feed = self._source
        with self._lock:
            rows = list(self._rows)[-20:]
        texts = [
            (f"{datetime.datetime.fromtimestamp(when).astimezone():%H:%M:%S}", text)
            for _number, when, text in reversed(rows)
        ]
        note = f"{feed.received:,} received, {feed.dropped:,} dropped"
        table = page.table(("time", "event"), texts, name="nbrpc-rows") if texts else ""
        html = panel("nbrpc-feed", self.state, feed.name, note, table)
        return {"text/html": html, "text/plain": repr(self)}
