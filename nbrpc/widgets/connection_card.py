"""`ConnectionCard`: what a connection is, and how it is doing; and the static card of one."""

from __future__ import annotations

import time
from typing import Any

import traitlets

from nbrpc.errors import CallTimeout, NbrpcError
from nbrpc.objects.glimpses import spelled
from nbrpc.objects.text import printable
from nbrpc.session.connection import Connection, Statistics
from nbrpc.widgets import page
from nbrpc.widgets.errands import later, soon
from nbrpc.widgets.live import LiveWidget, source

__all__ = ["ConnectionCard", "connection_bundle", "latency"]

LOOK = 0.5
"""Seconds between two looks at the connection, of whose end nobody tells."""

FIGURES = 1.0
"""Seconds between two looks at the figures, while a page shows them."""

PING = 2.0
"""Seconds between two pings, while a page shows what they measure."""

PATIENCE = 3.0
"""Seconds after which a ping counts as not answered."""

DANGER = "this peer may run code here: it can do all that this notebook can (ClassicService)"
"""Of a connection that was given a service which lets the peer run code."""

SEEN = 5.0
"""Seconds for which a page that was seen counts as looked at; it says so every two."""


class ConnectionCard(LiveWidget):
    """A card that says what a connection is, whether it lives, and what goes over it.

    A ping measures the round trip every 2 s, as long as somebody looks at the card.

    Parameters
    ----------
    connection
        A connection, open or not.

    Raises
    ------
    TypeError
        It is no connection.
    """

    _esm = source("common.js", "connection_card.js")
    _css = source("common.css", "connection_card.css")

    title = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("open").tag(sync=True)
    reason = traitlets.Unicode().tag(sync=True)
    allows_code = traitlets.Bool(False).tag(sync=True)
    danger = traitlets.Unicode().tag(sync=True)
    facts: traitlets.List[Any] = traitlets.List().tag(sync=True)
    figures: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, connection: Any) -> None:
        if not isinstance(connection, Connection):
            raise TypeError(
                f"a card shows a connection, as nbrpc.connect gives it, and no "
                f"{type(connection).__name__}"
            )
        self._connection = connection
        self._seen = time.monotonic()
        self._counted = 0.0
        self._before: Statistics | None = None
        self._rates = (0.0, 0.0)
        self._pinged = 0.0
        self._pinging = False
        self._silent = False
        super().__init__(str(connection.name))
        self.title = spelled(str(connection.name))
        self.allows_code = connection.allows_code
        self.danger = DANGER if connection.peer_runs_code else ""
        self.facts = [[name, spelled(value, 200)] for name, value in facts_of(connection)]
        self._look()
        self.touch()

    # ---- looking

    def _look(self) -> None:
        """Look whether anything has to be told or measured, and come again; on a worker."""
        if self.closed:
            return
        now = time.monotonic()
        if self._connection.closed:
            self.touch()
            return  # nothing will change any more
        if now - self._seen < SEEN:
            if now - self._counted >= FIGURES:
                self.touch()
            if now - self._pinged >= PING and not self._pinging:
                self._pinged, self._pinging = now, True
                soon(self._ping)
        later(LOOK, self._look)

    def _ping(self) -> None:
        """Measure a round trip; on a worker of its own, since it may take its time."""
        try:
            self._connection.ping(timeout=PATIENCE)
            self._silent = False
        except CallTimeout:
            self._silent = True
        except NbrpcError:
            pass  # it has ended, which the next look tells
        finally:
            self._pinging = False
        self.touch()

    def refresh(self) -> None:
        """Show the state and the figures of this moment."""
        session = self._connection.session
        state = self._connection.state
        if state == "closed":
            state = "closed" if session.closed_here else "lost"
        if state != self.state:
            self.state = state
            self.reason = spelled(str(session.lost_because or ""), 300)
        now = time.monotonic()
        figures = self._connection.statistics()
        before, passed = self._before, now - self._counted
        if before is None or passed >= FIGURES * 0.9:
            if before is not None:
                self._rates = (
                    (figures.bytes_sent - before.bytes_sent) / passed,
                    (figures.bytes_received - before.bytes_received) / passed,
                )
            self._before, self._counted = figures, now
        self.figures = self._rows(figures)

    def _rows(self, figures: Statistics) -> list[list[str]]:
        trip = latency(self._connection)
        silent_for = self._connection.silent_for
        if silent_for:
            trip = f"no answer for {page.duration(silent_for)}"
        elif self._silent and self.state == "open":
            trip = f"no answer within {PATIENCE:g} s"
        sent, received = self._rates
        out, came = size(figures.bytes_sent), size(figures.bytes_received)
        if self.state == "open":
            out, came = f"{size(sent)}/s ({out})", f"{size(received)}/s ({came})"
        made, served = f"{figures.requests_sent:,} made", f"{figures.requests_served:,} served"
        return [
            ["round trip", trip],
            ["sent", out],
            ["received", came],
            ["calls", f"{made}, {served}, {figures.pending:,} pending"],
            ["events", f"{figures.events_received:,} received, {figures.events_sent:,} sent"],
            ["objects", f"{figures.imported:,} held, {figures.exported:,} lent"],
        ]

    # ---- what the page says

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Take that the card is looked at, or that the connection is to be closed."""
        kind = content.get("kind")
        if kind == "seen":
            self._seen = time.monotonic()
        elif kind == "disconnect":
            soon(self._disconnect)

    def _disconnect(self) -> None:
        self._connection.close()
        self.touch()

    def fallback(self) -> dict[str, str]:
        """Give the static card."""
        return connection_bundle(self._connection)


def facts_of(connection: Connection) -> list[tuple[str, str]]:
    """Give what does not change about a connection."""
    peer = connection.peer
    facts = [("address", str(connection.url)), ("serves", str(peer.get("service", "")))]
    if not connection.session.nests:
        process = f"{peer.get('pid', '?')} on {peer.get('host', '?')}"
        facts += [("process", process), ("protocol", connection.protocol)]
        attached = connection.sessions.attached
        return [*facts, ("session", attached)] if attached else facts
    spoken = f"{connection.protocol} (RPyC)"
    return [*facts, ("protocol", spoken), ("token", "none: RPyC has no tokens")]


def connection_bundle(connection: Connection, name: str = "") -> dict[str, str]:
    """Give the card of a connection: as HTML and as one line of text."""
    rows = facts_of(connection)
    if connection.state != "open":
        rows.insert(0, ("state", connection.state))
    rows.append(("remote code", "allowed (%%remote)" if connection.allows_code else "not allowed"))
    if not connection.closed:
        rows.append(("round trip", latency(connection)))
    if name:
        rows.append(("bound to", name))
    state = "" if connection.state == "open" else f"{connection.state}: "
    line = f"{state}{connection.name} at {connection.url}, {connection.peer.get('service', '')}"
    if connection.session.nests:
        line += f", {connection.protocol}, no tokens"
    if connection.allows_code or connection.session.nests:
        line += ", remote code allowed" if connection.allows_code else ", no remote code"
    danger = DANGER if connection.peer_runs_code else ""
    if danger:
        line += f"; WARNING: {danger}"
    return {
        "text/html": page.card(str(connection.name), rows, state=connection.state, danger=danger),
        "text/plain": printable(f"<connection {line}>"),
    }


def latency(connection: Connection) -> str:
    """Say how long a round trip takes, or that it is not known."""
    measured = connection.statistics().round_trip
    return "not measured" if measured is None else page.duration(measured)


def size(count: float) -> str:
    """Say a number of bytes in few characters."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:.3g} TB"
