"""What feeds the widgets of events: arrivals are noted on the thread that reads, taken in batches.

Theory of operation
-------------------
The thread that reads a socket only appends an event to a deque and asks its widget to refresh,
which takes a microsecond. The widget's refresh, on a worker and at most ten times a second, takes
all that has come, and pays credit to the producer for exactly that. So a producer that is faster
drops at its own end, by the policy of the subscription, and what it drops is counted.
"""

from __future__ import annotations

import logging
import math
import reprlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nbrpc.errors import ConnectionLost, LocalProtocolError
from nbrpc.objects.proxy import quiet, target_of
from nbrpc.objects.text import printable
from nbrpc.session.remote_events import RemoteEvent
from nbrpc.session.subscriptions import Subscription

__all__ = ["Arrival", "EventSource", "Rate", "arguments_text", "value_text"]

log = logging.getLogger("nbrpc.widgets")

Arrival = tuple[float, tuple[Any, ...]]
"""When an event came, in seconds since 1970, and its arguments."""

RATE_OVER = 3.0
"""Seconds over which a rate is told."""

LOOKS_AGAIN = 1.0
"""Seconds after which a rate is told anew although nothing has come."""


class EventSource:
    """The events of one subscription.

    Parameters
    ----------
    event
        An event of a remote object, or what ``watch`` gives.
    maxsize
        Events that may wait for the next refresh; the producer drops the oldest beyond that.

    Attributes
    ----------
    subscription : Subscription
        What it is subscribed with.
    rate : Rate
        For whoever tells the rate.

    Raises
    ------
    TypeError
        ``event`` is no event.
    """

    def __init__(self, event: Any, maxsize: int, policy: str = "drop_oldest") -> None:
        self.name = name_of(event)
        self._maxsize = maxsize
        self._arrived: deque[Arrival] = deque()
        self._noted = 0
        self._overrun = 0
        self._changed: Callable[[], object] | None = None
        self._paid = 0
        self._look_at = 0.0
        self.rate = Rate()
        self.subscription: Subscription = event.subscribe(
            self._note, policy, maxsize, direct=True, paid_by_taker=True
        )

    def _note(self, *args: Any) -> None:
        """Note an event; on the thread that reads."""
        arrived = self._arrived
        if len(arrived) >= 2 * self._maxsize:  # a peer that sends more than it has credit for
            arrived.popleft()
            self._overrun += 1
        arrived.append((time.time(), args))
        self._noted += 1
        if self._changed is not None:
            self._changed()

    def start(self, changed: Callable[[], object]) -> None:
        """Call this from now on for every event, and for the end; from any thread, so be quick."""
        subscription = self.subscription
        shown = subscription.on_error

        def unread(error: BaseException, subscription: Subscription) -> None:
            """An event could not be read: it is told as before, and its credit is paid."""
            if shown is not None:
                shown(error, subscription)
            elif subscription.errors == 1:
                log.error("an event of %s could not be read", self.name, exc_info=error)
            changed()

        self._changed = changed
        subscription.on_error = unread
        subscription.on_end = lambda _subscription: changed()
        changed()

    def take(self) -> list[Arrival]:
        """Take all that has arrived, and let the producer send as much again."""
        arrived = self._arrived
        taken = [arrived.popleft() for _ in range(len(arrived))]
        if not self.subscription.closed:
            done = self.received - len(arrived)
            for _ in range(done - self._paid):
                self.subscription.taken()
            self._paid = max(done, self._paid)
        return taken

    @property
    def received(self) -> int:
        """Events received, and those that could not be read.

        It is not the subscription's own count: that grows only after its callback, when a refresh
        may have come and gone.
        """
        return self._noted + self.subscription.errors

    @property
    def dropped(self) -> int:
        """Events dropped, on either side."""
        return self.subscription.dropped + self._overrun

    def look_again(self, later: Callable[[float], object]) -> None:
        """Have the widget refreshed in a while although nothing comes: until the rate is 0."""
        now = time.monotonic()
        if self.rate.value and now >= self._look_at:
            self._look_at = now + LOOKS_AGAIN
            later(LOOKS_AGAIN)

    @property
    def state(self) -> str:
        """One of waiting, live, lost (the connection), ended."""
        subscription = self.subscription
        if not subscription.closed:
            return "live" if self.received else "waiting"
        lost = isinstance(subscription.exception, ConnectionLost) or subscription.session.closed
        return "lost" if lost else "ended"

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence; empty while it goes on."""
        error = self.subscription.exception
        if not self.subscription.closed or error is None or self.state == "lost":
            return ""
        return value_text(str(error), 300)

    def close(self) -> None:
        """End the subscription."""
        self._changed = None
        self.subscription.close()
        self._arrived.clear()


INSTEAD = "pass a function, which the service calls"


def name_of(event: Any) -> str:
    """Give the name of an event, fit to be shown.

    Raises
    ------
    TypeError
        It is no event.
    LocalProtocolError
        It belongs to a peer that has no events.
    """
    if not isinstance(event, RemoteEvent):
        target = target_of(event)
        if target is not None and target[0].nests:
            raise LocalProtocolError(
                f"{target[0].name} speaks RPyC, which has no events: {INSTEAD}"
            )
        raise TypeError(
            f"an event of a remote object is needed, or what nbrpc.watch gives, "
            f"not {type(event).__name__}"
        )
    return printable(event.name)


class Rate:
    """How fast a count grows, over the last seconds.

    Attributes
    ----------
    value : float
        Counts a second, as it was told last.
    """

    def __init__(self) -> None:
        self.value = 0.0
        self._counts: deque[tuple[float, int]] = deque()

    def tell(self, count: int) -> float:
        """Note the count and give the rate."""
        now = time.monotonic()
        counts = self._counts
        counts.append((now, count))
        while len(counts) > 2 and counts[1][0] <= now - RATE_OVER:
            counts.popleft()
        since, before = counts[0]
        # In the first moments the rate is not known yet: half a second smooths what is told.
        self.value = max(0.0, (count - before) / max(now - since, 0.5))
        return self.value


CONTAINERS = frozenset({tuple, list, dict, set, frozenset, deque, str, int})
TABLES = frozenset({"numpy", "pandas", "polars", "pyarrow"})


class _Bounded(reprlib.Repr):
    """Gives texts of values without reading all of them."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxtuple = self.maxlist = self.maxset = self.maxfrozenset = 20
        self.maxdict = self.maxdeque = self.maxarray = 20
        self.maxstring = self.maxother = self.maxlong = limit

    def repr1(self, x: Any, level: int) -> str:
        """Look into what is a container by its type; reprlib would go by the name of the type."""
        return super().repr1(x, level) if type(x) in CONTAINERS else self.repr_instance(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        """Say the size of an array or a table; what else there is says itself."""
        if type(x).__module__.partition(".")[0] in TABLES:
            shape = getattr(x, "shape", ())
            if isinstance(shape, tuple) and math.prod(shape) > self.maxlist:
                sizes = " \N{MULTIPLICATION SIGN} ".join(f"{size:,}" for size in shape)
                return f"<{type(x).__name__} {sizes}>"
        return super().repr_instance(x, level)


def value_text(value: Any, limit: int = 300) -> str:
    """Give one line of at most `limit` characters that says what a value is, at no round trip.

    Text stands for itself; control characters in it are shown escaped.
    """
    if isinstance(value, str):
        text = value if len(value) <= limit else f"{value[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"
    else:
        token = quiet.set(lambda _proxy, _path: False)  # what is remote says so, and is not asked
        try:
            text = _Bounded(limit).repr(value)
        except Exception as error:
            text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
        finally:
            quiet.reset(token)
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:limit]
        )
    return printable(text if len(text) <= limit else f"{text[: limit - 1]}\N{HORIZONTAL ELLIPSIS}")


def arguments_text(args: tuple[Any, ...], limit: int = 300) -> str:
    """Give the text of an event: of its one argument, or of several as a tuple."""
    return value_text(args[0] if len(args) == 1 else args, limit)
