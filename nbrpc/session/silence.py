"""A peer that does not answer although it is there, and those who are told of it.

A cell that waits shows a line for that, which goes when the peer speaks again or the wait ends
(`Call.show_wait`). Elsewhere the log has one warning for each silence that somebody waits in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nbrpc.session.call import Call
from nbrpc.transports.tuning import unanswered

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["Silence"]

log = logging.getLogger("nbrpc.session")


class Silence:
    """The time in which one ping is not answered.

    Parameters
    ----------
    session
        Whose peer does not answer.
    since
        When the ping was sent; on the monotonic clock.
    ping
        Its number.

    Attributes
    ----------
    text : str
        What is told of it; empty while it is too short for that.
    """

    def __init__(self, session: Session, since: float, ping: int) -> None:
        self.since = since
        self.ping = ping
        self.text = ""
        self._session = session
        self._said = 0
        """Seconds that were told last."""
        self._logged = False

    def tell(self, now: float) -> None:
        """Tell whoever waits for the peer, once a second."""
        session = self._session
        seconds = whole(now - self.since)
        if seconds == self._said:
            return
        self._said = seconds
        first, self.text = not self.text, self._describe(now)
        if Call.show_wait is not None:
            for call in list(session.waiters):
                if not call.watched:
                    call.tell_wait(f"it {self.text}")
        elif not self._logged and (session.pending or session.waiters or session.channels):
            self._logged = True
            log.warning("%s %s", session.name, self.text)
        if first and session.revival is not None:
            session.revival.tell()

    def end(self, now: float, *, answered: bool) -> None:
        """Tell them that the peer has answered, or is only given its time anew."""
        if not self.text:
            return
        session = self._session
        if self._logged and answered:
            log.info("%s answers again, after %.0f s", session.name, now - self.since)
        for call in list(session.waiters):
            if not call.watched:
                call.tell_wait("")
        if session.revival is not None:
            session.revival.tell()

    def _describe(self, now: float) -> str:
        """Say for how long it has been, and what its machine does."""
        seconds = now - self.since
        text = f"has not answered for {whole(seconds)} s"
        asked = unanswered(self._session.transport)
        if asked is None:
            return text
        gone = asked.attempts > 0 and asked.seconds >= seconds / 2
        return f"{text}; {'nor has its machine' if gone else 'its machine does'}"


def whole(seconds: float) -> int:
    """Give whole seconds, at least one."""
    return max(1, round(seconds))
