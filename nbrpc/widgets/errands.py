"""Work that a widget has done by a worker of nbrpc: what may block, or is due later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbrpc.session.reactor import reactor

__all__ = ["later", "soon"]


class Errand:
    """A job of one call."""

    def __init__(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args

    def run(self) -> None:
        """Do it."""
        self._function(*self._args)


def soon(function: Callable[..., None], *args: Any) -> None:
    """Have a worker call a function, which may block; from any thread, without waiting."""
    reactor().submit(Errand(function, args))


def later(seconds: float, function: Callable[..., None], *args: Any) -> None:
    """Have a worker call a function in some seconds."""
    reactor().call_later(seconds, Errand(function, args))
