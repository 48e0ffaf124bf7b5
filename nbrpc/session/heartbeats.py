"""Signs of life: pings, what they measure, and a peer that is found dead."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.errors import ConnectionLost
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind
from nbrpc.session.call import Call
from nbrpc.session.waiting import lost, wait_for

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing
    from nbrpc.options import Timing
    from nbrpc.session.reactor import Reactor

__all__ = ["Heartbeats"]

SLOWEST = 1024
"""Bytes a second at which a message may come for longer than `Timing.frame`."""


NOTICED = 0.99
"""The part of `Timing.dead_after` when a link is ended, so that all know it by then."""


class _Tick:
    """A tick at a time of its own, as a job."""

    def __init__(self, session: Heartbeats) -> None:
        self._session = session

    def run(self) -> None:
        if not self._session.closed:
            self._session.on_tick(time.monotonic())


class Heartbeats:
    """The part of a session that knows whether the peer lives."""

    boxing: Boxing
    bytes_received: int
    closed: bool
    lose: Callable[[BaseException], None]
    name: str
    reactor: Reactor
    reader: Any
    release_jobs: Callable[[], None]
    round_trip: float | None
    send_quietly: Callable[[Kind, tuple[Any, ...]], None]
    send_releases: Callable[[], None]
    timing: Timing
    _partial_since: tuple[float, int] | None = None
    """Since when there has always been a part of a message, and the bytes received until then."""
    _fresh: Callable[[BaseException], BaseException]
    _heard: float
    _last_tick: float
    _ping_sent: float
    _pings: dict[int, tuple[float, Call | None]]
    _reads: int
    _seqs: Iterator[int]

    def ping(self, timeout: float | None) -> float:
        """Measure a round trip in seconds."""
        call = Call(self, 0)  # type: ignore[arg-type] # a part of Session
        begun = time.monotonic()
        number = next(self._seqs)
        self._pings[number] = (begun, call)
        if self.closed:
            raise lost(self)  # type: ignore[arg-type] # a part of Session
        self.send_quietly(Kind.PING, (number,))
        try:
            wait_for(call, None if timeout is None else begun + timeout)
        finally:
            self._pings.pop(number, None)
        if isinstance(call.reply, BaseException):
            raise lost(self)  # type: ignore[arg-type] # a part of Session
        return time.monotonic() - begun

    def on_tick(self, now: float) -> None:
        """Look after releases and heartbeats; from the reactor."""
        imports = self.boxing.imports
        if imports.dead or imports.owed:
            self.send_releases()
        self.release_jobs()
        self._look_at_frame(now)
        before, self._last_tick = self._last_tick, now
        slept = now - before > 4 * self.reactor.tick_interval + 1.0
        if self._reads != self._ping_sent or slept:
            # Any byte is a sign of life. After this process itself was stopped (a debugger, a
            # suspended laptop) the peer gets its time anew.
            self._ping_sent = self._reads
            self._heard = now if slept else before  # it came some time after that
            return
        heartbeat = self.timing.heartbeat
        dead_after = (self.timing.dead_after or math.inf) * NOTICED
        silent = now - self._heard
        if silent >= dead_after:
            self.lose(ConnectionLost(f"{self.name} gave no sign of life for {silent:.1f} s"))
        elif heartbeat is not None and silent >= heartbeat and not self._pings:
            number = next(self._seqs)
            self._pings[number] = (now, None)
            self.send_quietly(Kind.PING, (number,))
        if silent < dead_after < silent + self.reactor.tick_interval:
            self.reactor.call_later(dead_after - silent, _Tick(self))  # not only at the next one

    def _look_at_frame(self, now: float) -> None:
        """End the link if a message trickles in too slowly."""
        patience = self.timing.frame
        if patience is None or not self.reader.partial:
            self._partial_since = None
            return
        if self._partial_since is None:
            self._partial_since = now, self.bytes_received
            return
        begun, bytes_then = self._partial_since
        if now - begun < patience:
            return
        if self.bytes_received - bytes_then < SLOWEST * (now - begun):
            self.lose(
                ConnectionLost(
                    f"a message of {self.name} was not whole after {now - begun:.1f} s "
                    "(Timing.frame), and came at less than 1 KiB a second"
                )
            )
        self._partial_since = now, self.bytes_received

    def on_ping(self, message: messages.Ping) -> None:
        """Answer at once."""
        self.send_quietly(Kind.PONG, (message.number,))

    def on_pong(self, message: messages.Pong) -> None:
        """Note the round trip, and free who waits for it."""
        sent, call = self._pings.pop(message.number, (None, None))
        if sent is not None:
            self.round_trip = time.monotonic() - sent
        if call is not None:
            call.resolve(messages.Reply(0, None))
