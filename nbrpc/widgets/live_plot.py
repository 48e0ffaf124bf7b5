"""`LivePlot`: the values of an event as lines that move."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Any

import traitlets

from nbrpc.session.remote_events import RemoteEvent
from nbrpc.widgets.event_pages import panel, picture
from nbrpc.widgets.event_source import EventSource, Rate
from nbrpc.widgets.live import LiveWidget, source
from nbrpc.widgets.plot_table import SampleTable, thinned
from nbrpc.widgets.plot_values import MISSING, Field, ValueReader

__all__ = ["LivePlot"]

MOST_WAITING = 10_000
"""Events that may wait between two refreshes."""

LIVE_NUMBERS = 10_000
"""Numbers that one refresh sends, x included; beyond that it sends the extremes."""

WHOLE_NUMBERS = 200_000
"""Numbers that a page gets when it opens."""

PICTURE_POINTS = 600
"""Samples that the still picture shows."""


class LivePlot(LiveWidget):
    """A chart of the values of an event, which moves while they come.

    A value is a number, or several numbers as a tuple, a named tuple, a dataclass or a mapping, or
    a numpy array of one dimension: samples that are spread evenly over the time since the previous
    event. What is no number is counted and told below the chart.

    Parameters
    ----------
    event
        An event of a remote object, or what ``nbrpc.watch`` gives.
    x
        Which part of a value is the abscissa, by name or place; None for the time of arrival.
    y
        Which part is drawn, or a list of them; None for all numbers that are not `x`.
    window
        How much is shown: seconds, or units of `x` when that is given.

    Attributes
    ----------
    paused : bool
        Whether the chart is held still; values are remembered all the same. May be set.

    Raises
    ------
    TypeError
        ``event`` is no event, or another argument is of the wrong kind.
    ValueError
        ``window`` is not above 0.

    Examples
    --------
    In a notebook::

        nbrpc.widgets.LivePlot(dev.reading, x=0, y=1)       # or dev.reading.plot(x=0, y=1)
        nbrpc.watch(dev, "temperature", every=0.5).plot()
    """

    _esm = source("common.js", "events.js", "uplot.js", "plot.js")
    _css = source("common.css", "events.css", "uplot.css", "plot.css")

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("waiting").tag(sync=True)
    reason = traitlets.Unicode().tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)
    window = traitlets.Float(60.0).tag(sync=True)
    over_time = traitlets.Bool(True).tag(sync=True)
    abscissa = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        event: RemoteEvent,
        x: Field | None = None,
        y: Field | list[Field] | None = None,
        window: float = 60.0,
    ) -> None:
        span = _checked_window(window)
        if x is not None:
            _check_field("x", x)
        wanted = None if y is None else list(y) if isinstance(y, list | tuple) else [y]
        for field in wanted or ():
            _check_field("y", field)
        self._source = feed = EventSource(event, MOST_WAITING)
        self._reader = ValueReader(feed.name, x, wanted, time.time())
        self._table = SampleTable()
        self._lock = threading.Lock()  # guards the table, and what the pages have been sent
        self._greetings: deque[str] = deque(maxlen=16)
        self._generation = 0
        self._sent = 0
        self._points = Rate()
        self._told: tuple[Any, ...] = ()
        super().__init__(
            feed.name,
            title=feed.name,
            window=span,
            over_time=x is None,
            abscissa=_axis(feed.name, x),
        )
        feed.start(self.touch)

    def __repr__(self) -> str:
        with self._lock:
            points, names = len(self._table), ", ".join(self._table.names)
        return (
            f"<plot of {self.title} ({self.state}): {points:,} points of {names or 'nothing yet'}>"
        )

    # ---- for the user

    def clear(self) -> None:
        """Forget the values so far; the chart begins anew."""
        with self._lock:
            self._table.clear()
            self._generation += 1
            self._sent = self._table.total
        self.touch()

    def to_frame(self) -> Any:
        """Give what was seen within the window as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            A column for each series; the index is the time of arrival, or `x`.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        self._take()
        with self._lock:
            xs, columns = self._table.since(0)
            names = self._table.names
            ascending = self._table.ascending
        index = (
            pandas.to_datetime(xs, unit="s", utc=True).rename("time")
            if self.over_time
            else pandas.Index(xs, dtype="float64", name=self.abscissa)
        )
        frame = pandas.DataFrame(dict(zip(names, columns, strict=True)), index=index)
        frame = frame.replace(MISSING, math.nan)
        if not ascending:
            frame = frame[[abs(value - xs[-1]) <= self.window for value in xs]]
        return frame

    # ---- inside

    def refresh(self) -> None:
        """Send the samples that are new, and all of them to a page that has just come."""
        self._take()
        feed = self._source
        with self._lock:
            messages = []
            start, self._sent = self._sent, self._table.total
            figures = (
                feed.received,
                feed.dropped,
                round(self._points.tell(self._table.total), 1),
                self._reader.refused,
                self._reader.refusal,
                self._table.capped,
            )
            if start < self._sent or (figures, self._generation) != self._told:
                self._told = (figures, self._generation)
                messages.append(self._samples(start, LIVE_NUMBERS, ""))
            while self._greetings:  # after the others, since it replaces what that page has
                messages.append(self._samples(0, WHOLE_NUMBERS, self._greetings.popleft()))
        feed.rate.tell(feed.received)
        for content, numbers in messages:
            self.send({**content, "figures": figures}, [numbers])
        self.state, self.reason = feed.state, feed.reason
        feed.look_again(self.touch_later)

    def _take(self) -> None:
        """Read what has arrived."""
        with self._lock:
            self._table.add(self._reader.read(self._source.take()))
            self._table.trim(self.window)

    def _samples(self, start: int, most: int, to: str) -> tuple[dict[str, Any], bytes]:
        """Give the message with the samples from one on; needs the lock."""
        assert self._lock.locked()
        table = self._table
        xs, columns = table.since(start)
        most = max(2, most // (len(columns) + 1))
        if table.ascending:
            xs, columns = thinned(xs, columns, most)
        else:
            xs, columns = xs[-most:], [column[-most:] for column in columns]
        content = {
            "kind": "samples",
            "to": to,
            "generation": self._generation,
            "start": start,
            "end": table.total,
            "rows": len(xs),
            "names": table.names,
            "latest": table.latest,
            "ascending": table.ascending,
        }
        return content, b"".join(column.tobytes() for column in (xs, *columns))

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Take a page's greeting: it gets the whole window."""
        token = content.get("token")
        if content.get("kind") == "hello" and isinstance(token, str) and 0 < len(token) <= 64:
            self._greetings.append(token)
            self.touch()

    def release(self) -> None:
        """End the subscription."""
        self._source.close()

    def fallback(self) -> dict[str, str]:
        """Give a still picture of the window, and the last values."""
        with self._lock:
            xs, columns = self._table.since(0)
            names, latest = self._table.names, self._table.latest
            if self._table.ascending:
                xs, columns = thinned(xs, columns, PICTURE_POINTS)
            else:
                xs, columns = xs[-PICTURE_POINTS:], [part[-PICTURE_POINTS:] for part in columns]
        values = ", ".join(
            f"{name} = {value:.6g}"
            for name, value in zip(names, latest, strict=True)
            if value is not None
        )
        drawing = picture(xs, columns, f"chart of {self.title}")
        html = panel("nbrpc-plot", self.state, self.title, values or "no values yet", drawing)
        return {"text/html": html, "text/plain": repr(self)}

    @traitlets.validate("window")
    def _valid_window(self, proposal: dict[str, Any]) -> float:
        return _checked_window(proposal["value"])


def _checked_window(window: object) -> float:
    """Give the window as a number.

    Raises
    ------
    TypeError
        It is no number.
    ValueError
        It is not above 0.
    """
    if isinstance(window, bool) or not isinstance(window, int | float):
        raise TypeError(f"window is a number, not {type(window).__name__}")
    if not (window > 0 and math.isfinite(window)):
        raise ValueError(f"window is above 0, not {window}")
    return float(window)


def _check_field(what: str, field: object) -> None:
    """Refuse what names no part of a value."""
    if isinstance(field, bool) or not isinstance(field, str | int):
        raise TypeError(f"{what} is a name or a place in the values, not {field!r}")


def _axis(name: str, x: Field | None) -> str:
    """Give the label of the abscissa."""
    if x is None:
        return ""
    return x if isinstance(x, str) else f"{name}[{x}]"
