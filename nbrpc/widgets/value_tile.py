"""`ValueTile`: the last value of an event, large, with how long ago it came."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import traitlets

from nbrpc.session.remote_events import RemoteEvent
from nbrpc.widgets.event_pages import panel
from nbrpc.widgets.event_source import EventSource, arguments_text
from nbrpc.widgets.live import LiveWidget, source
from nbrpc.widgets.plot_values import number_of

__all__ = ["ValueTile"]

TREND = 60
"""Numbers that the small line shows."""

LONGEST = 80
"""Characters of a value."""

MOST_FIGURES = 8
"""Numbers that are shown beside each other."""


class ValueTile(LiveWidget):
    """The last value of an event; for numbers with a small line of the latest ones.

    It takes the newest event ten times a second at most, so what lies between is not sent at all.

    Parameters
    ----------
    event
        An event of a remote object, or what ``nbrpc.watch`` gives.
    label
        What is written above the value; the name of the event when empty.

    Raises
    ------
    TypeError
        ``event`` is no event, or ``label`` no text.

    Examples
    --------
    In a notebook::

        nbrpc.widgets.ValueTile(nbrpc.watch(dev, "temperature"), "housing, °C")
    """

    _esm = source("common.js", "events.js", "tile.js")
    _css = source("common.css", "events.css", "tile.css")

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("waiting").tag(sync=True)
    reason = traitlets.Unicode().tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)
    number = traitlets.Float(None, allow_none=True).tag(sync=True)
    trend: traitlets.List[float] = traitlets.List().tag(sync=True)
    at = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, event: RemoteEvent, label: str = "") -> None:
        if not isinstance(label, str):
            raise TypeError(f"label is text, not {type(label).__name__}")
        self._source = EventSource(event, 1, "latest")
        self._numbers: deque[float] = deque(maxlen=TREND)
        super().__init__(f"{self._source.name} {label}", title=label or self._source.name)
        self._source.start(self.touch)

    def __repr__(self) -> str:
        return f"<{self.title}: {self.value or 'no value yet'} ({self.state})>"

    def refresh(self) -> None:
        """Show the newest event."""
        taken = self._source.take()
        if taken:
            self.at, args = taken[-1]
            # A truth value is said in its word: nobody reads a 1 as "it runs".
            is_number = len(args) == 1 and not isinstance(args[0], bool)
            number = number_of(args[0]) if is_number else None
            if number is None or not math.isfinite(number):
                self._numbers.clear()
                self.number = None
            else:
                self._numbers.append(number)
                self.number = number
            self.value = _short(args)
            self.trend = list(self._numbers)
        self.state, self.reason = self._source.state, self._source.reason

    def release(self) -> None:
        """End the subscription."""
        self._source.close()

    def fallback(self) -> dict[str, str]:
        """Give the last value."""
        html = panel("nbrpc-tile", self.state, self.title, self.value or "no value yet")
        return {"text/html": html, "text/plain": repr(self)}


def _short(args: tuple[Any, ...]) -> str:
    """Give the text of an event; numbers in as many figures as a person reads."""
    value = args[0] if len(args) == 1 else args
    if type(value) is tuple and len(value) <= MOST_FIGURES:
        figures = [number_of(part) for part in value]
        if figures and None not in figures:
            return arguments_text((", ".join(f"{figure:.6g}" for figure in figures),), LONGEST)
    return arguments_text(args, LONGEST)
