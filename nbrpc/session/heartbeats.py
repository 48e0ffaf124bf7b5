"""Signs of life: pings, what they measure, and a peer that is found dead."""

from __future__ import annotations

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


class Heartbeats:
    """The part of a session that knows whether the peer lives."""

    boxing: Boxing
    closed: bool
    lose: Callable[[BaseException], None]
    name: str
    reactor: Reactor
    round_trip: float | None
    send_quietly: Callable[[Kind, tuple[Any, ...]], None]
    send_releases: Callable[[], None]
    timing: Timing
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
        before, self._last_tick = self._last_tick, now
        slept = now - before > 4 * self.reactor.tick_interval + 1.0
        if self._reads != self._ping_sent or slept:
            # Any byte is a sign of life. After this process itself was stopped (a debugger, a
            # suspended laptop) the peer gets its time anew.
            self._ping_sent = self._reads
            self._heard = now if slept else before  # it came some time after that
            return
        heartbeat, dead_after = self.timing.heartbeat, self.timing.dead_after
        silent = now - self._heard
        if dead_after is not None and silent >= dead_after:
            self.lose(ConnectionLost(f"{self.name} gave no sign of life for {silent:.1f} s"))
        elif heartbeat is not None and silent >= heartbeat and not self._pings:
            number = next(self._seqs)
            self._pings[number] = (now, None)
            self.send_quietly(Kind.PING, (number,))

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
