"""`SubscriptionTable`: the subscriptions of this process, what they receive, and a Stop each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from traitlets import Float, Int, List

from nbrpc.session.subscriptions import Subscription, live
from nbrpc.widgets import page
from nbrpc.widgets.live import BEAT, LiveWidget, source

__all__ = ["SubscriptionTable"]

LOOK = 0.5
"""Seconds between two looks at the counters. Receiving an event costs nothing for the table."""

MOST_ROWS = 200
MOST_ENDED = 20
"""Rows of subscriptions that ended by themselves: they say why."""

HEADS = ("event", "of", "on", "rate", "received", "dropped", "errors", "queued")


class SubscriptionTable(LiveWidget):
    """A live table of the subscriptions of this process.

    Parameters
    ----------
    name_of
        Gives the name by which the user knows the connection of a session; empty if there is none.
    """

    _esm = source("common.js", "subscription_table.js")
    _css = source("common.css", "subscription_table.css")

    rows: List[dict[str, Any]] = List().tag(sync=True)
    more = Int(0).tag(sync=True)
    """Subscriptions beyond those that are shown."""
    as_of = Float(0.0).tag(sync=True)
    """When this was sent, in seconds since 1970."""

    def __init__(self, name_of: Callable[[Any], str] | None = None) -> None:
        self._name_of = name_of or (lambda _session: "")
        self._numbers: WeakKeyDictionary[Subscription, int] = WeakKeyDictionary()
        self._next = itertools.count(1)
        self._known: dict[int, Subscription] = {}
        self._counts: dict[int, tuple[float, int, float]] = {}
        """By number: when a subscription was looked at last, what it had received, its rate."""
        self._ended: list[dict[str, Any]] = []
        self._sent = 0.0
        rows = self._look()
        super().__init__("subscriptions", rows=rows, as_of=time.time())
        self.touch_later(LOOK)

    def refresh(self) -> None:
        """Look at the counters."""
        rows = self._look()
        now = time.time()
        if rows != self.rows or now - self.as_of >= BEAT:
            self.rows, self.as_of = rows, now
        self.touch_later(LOOK)

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """End a subscription."""
        number = content.get("id")
        subscription = self._known.get(number) if isinstance(number, int) else None
        if content.get("kind") == "stop" and subscription is not None:
            subscription.close()
            self.touch()

    def fallback(self) -> dict[str, str]:
        """Give the table as it is now."""
        if not self.rows:
            return {"text/html": "no subscriptions", "text/plain": "no subscriptions"}
        rows = [
            (
                row["event"],
                row["object"],
                row["connection"],
                f"{row['rate']:,.1f}/s" if row["ended"] is None else f"ended: {row['ended']}",
                *(f"{row[name]:,}" for name in ("received", "dropped", "errors", "queued")),
            )
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (HEADS, *rows)
        ]
        html = page.table(HEADS, rows, name="nbrpc-events")
        return {"text/html": html, "text/plain": "\n".join(lines)}

    def _look(self) -> list[dict[str, Any]]:
        """Give the rows as they are now."""
        subscriptions = live()
        self.more = max(0, len(subscriptions) - MOST_ROWS)
        shown = {self._number(item): item for item in subscriptions[:MOST_ROWS]}
        for number, gone in self._known.items():
            if number not in shown:
                row = self._row(number, gone)
                self._counts.pop(number, None)
                if gone.exception is not None:
                    self._ended.append({**row, "ended": page.name(str(gone.exception)), "rate": 0})
        del self._ended[:-MOST_ENDED]
        self._known = shown
        return [*(self._row(*item) for item in shown.items()), *self._ended]

    def _number(self, subscription: Subscription) -> int:
        number = self._numbers.get(subscription)
        if number is None:
            number = self._numbers[subscription] = next(self._next)
        return number

    def _row(self, number: int, subscription: Subscription) -> dict[str, Any]:
        session, owner = subscription.session, subscription.owner
        received = subscription.received
        return {
            "id": number,
            "event": page.name(subscription.name),
            "object": page.name(type(owner).__name__),
            "connection": page.name(self._name_of(session) or session.name),
            "rate": self._rate(number, received),
            "received": received,
            "dropped": subscription.dropped,
            "errors": subscription.errors,
            "queued": subscription.queued,
            "ended": None,
        }

    def _rate(self, number: int, received: int) -> float:
        """Give events a second since the last look; the last rate again if that was just now."""
        now = time.monotonic()
        before, count, rate = self._counts.get(number, (now, received, 0.0))
        if now - before >= LOOK / 2:
            rate = round((received - count) / (now - before), 1)
        elif number in self._counts:
            return rate
        self._counts[number] = (now, received, rate)
        return rate
