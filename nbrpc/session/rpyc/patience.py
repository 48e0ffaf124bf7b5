"""How long several requests may take that are one for the caller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["seconds_left", "within"]

_deadline: ContextVar[float | None] = ContextVar("nbrpc_deadline", default=None)
"""When they all have to be answered; on the monotonic clock."""


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Let all requests that are made inside end in time; None changes nothing."""
    token = None if seconds is None else _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        if token is not None:
            _deadline.reset(token)


def seconds_left() -> float | None:
    """Give the seconds that a request may take which is made inside of `within`; else None."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.001, deadline - time.monotonic())
