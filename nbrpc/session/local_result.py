"""Results that no message ends: of local calls on a thread, and of gatherings."""

from __future__ import annotations

from typing import Any

from nbrpc.session.call import Call
from nbrpc.session.result import AsyncResult

__all__ = ["LocalResult", "nowhere"]


class LocalResult(AsyncResult):
    """A result that no message ends: a local call on a thread."""

    reads_socket = False


class _Nowhere:
    """The session of a result that belongs to no connection."""

    nests = False

    def __init__(self) -> None:
        from nbrpc.session.dispatch import Workers

        self.dispatcher = Workers()
        self.closed = True
        self.pending: dict[int, Call] = {}
        self.waiters: set[Call] = set()
        self.unread: set[int] = set()

    def ensure_read(self) -> None:
        """Nothing is read."""

    def forget(self, _call: Call) -> None:
        """There is no peer that would answer."""


def nowhere() -> Any:
    """Give the session of results that belong to no connection."""
    return _Nowhere()
