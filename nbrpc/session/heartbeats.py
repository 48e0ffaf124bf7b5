"""Signs of life: pings, what they measure, and a peer that is found dead or silent.

Any byte is a sign of life. Where none comes the peer is sent a ping, and another one after each
pause of `pause_of`. What its process does not answer, its machine may acknowledge: a link is dead
when neither has done so for `Timing.dead_after`, and the end of a process ends the link by itself.
A process that is there and does not answer is silent: those who wait are told
(`nbrpc.session.silence`), and nothing is ended unless `Timing.silent_after` says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.errors import ConnectionLost
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind
from nbrpc.session.call import Call
from nbrpc.session.silence import Silence
from nbrpc.session.waiting import lost, wait_for
from nbrpc.transports.tuning import unanswered

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing
    from nbrpc.options import Timing
    from nbrpc.session.outbox import Outbox
    from nbrpc.session.reactor import Reactor
    from nbrpc.transports.base import Transport

__all__ = ["Heartbeats", "pause_of"]

SLOWEST = 1024
"""Bytes a second at which a message may come for longer than `Timing.frame`."""


NOTICED = 0.99
"""The part of a time of `Timing` after which a link is ended, so that all know it by then."""

IN_VAIN = 2
"""Attempts of TCP that go unanswered before its word counts: one may be lost, or just be under way
after a long rest."""

IN_A_PAUSE = 3
"""Pings in the time after which a peer is taken for dead or a silent one is ended."""


def pause_of(timing: Timing) -> float:
    """Give the seconds without a byte after which a ping is sent; infinite for never."""
    if timing.heartbeat is None:
        return math.inf
    shares = [after / IN_A_PAUSE for after in (timing.dead_after, timing.silent_after) if after]
    return min([timing.heartbeat, *shares])


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
    outbox: Outbox
    reactor: Reactor
    reader: Any
    release_jobs: Callable[[], None]
    round_trip: float | None
    send_quietly: Callable[[Kind, tuple[Any, ...]], None]
    send_releases: Callable[[], None]
    timing: Timing
    transport: Transport
    _partial_since: tuple[float, int] | None = None
    """Since when there has always been a part of a message, and the bytes received until then."""
    _fresh: Callable[[BaseException], BaseException]
    _heard: float
    """When the last byte came, or a moment before."""
    _last_tick: float
    _pause: float
    _pinged: float = 0.0
    """When a ping was sent last because nothing came."""
    _pings: dict[int, tuple[float, Call | None]]
    _reads: int
    _reads_heard: int = 0
    """Reads that the last tick knew of."""
    _seqs: Iterator[int]
    _silence: Silence | None = None
    """The pings that have not been answered, if there are any."""

    @property
    def silent_for(self) -> float:
        """Seconds for which pings have not been answered; 0.0 when the peer is not silent."""
        silence = self._silence
        if silence is None or not self.silence_text:
            return 0.0
        return time.monotonic() - silence.since

    @property
    def silence_text(self) -> str:
        """What is told of a peer that is silent; else empty."""
        silence = self._silence
        if silence is None or self._reads != self._reads_heard or self.closed:
            return ""
        return silence.text

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
        patience = min(1.0, (self.timing.silent_after or math.inf) / 4)
        slept = now - before > 4 * self.reactor.tick_interval + patience
        if self._reads != self._reads_heard or slept:
            # After this process itself was stopped (a debugger, a suspended laptop) or did not let
            # its threads run, the peer gets its time anew.
            answered = self._reads != self._reads_heard
            self._reads_heard = self._reads
            self._heard = now if slept else before  # it came some time after that
            if self._silence is not None:
                silence, self._silence = self._silence, None
                silence.end(now, answered=answered)
            return
        self._look_for_silence(now)
        if not self.closed:
            self._look_for_death(now)

    def _look_for_silence(self, now: float) -> None:
        """Ask a peer that says nothing; tell of it, or end the link, if it does not answer."""
        silent = now - self._heard
        most = (self.timing.silent_after or math.inf) * NOTICED
        if silent >= most:
            self.lose(
                ConnectionLost(
                    f"{self.name} gave no sign of life for {silent:.1f} s (Timing.silent_after)"
                )
            )
            return
        self._come_back(most - silent)
        if silent < self._pause:
            return
        if self._silence is None:
            self._silence = Silence(self, now, next(self._seqs))  # type: ignore[arg-type] # a part of Session
            self._pings[self._silence.ping] = (now, None)
            self._send_ping(now)
            return
        # What waits to be sent is asking enough.
        if now - self._pinged >= self._pause and not self.outbox.waits:
            self._send_ping(now)
        if now - self._silence.since >= self._pause:
            self._silence.tell(now)

    def _send_ping(self, now: float) -> None:
        """Send the ping of this silence, the first time or again: it asks the machine as well."""
        assert self._silence is not None
        self._pinged = now
        self.send_quietly(Kind.PING, (self._silence.ping,))

    def _look_for_death(self, now: float) -> None:
        """End the link if the peer's machine is gone."""
        most = (self.timing.dead_after or math.inf) * NOTICED
        silent = now - self._heard
        if silent + self.reactor.tick_interval < most:
            return
        asked = unanswered(self.transport)
        if asked is None:
            return  # a machine that is gone shows as an error of the socket, if at all
        silent = min(silent, asked.seconds)
        if silent >= most and asked.attempts >= IN_VAIN:
            self.lose(
                ConnectionLost(
                    f"{self.name} is out of reach: its machine has not answered for {silent:.1f} s"
                )
            )
        else:
            self._come_back(most - silent)

    def _come_back(self, seconds: float) -> None:
        """Look again in so many seconds, if the next tick would be later."""
        if 0 < seconds < self.reactor.tick_interval:
            self.reactor.call_later(seconds, _Tick(self))

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
