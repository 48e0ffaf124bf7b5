"""What is run for results: their expiry, callbacks, and a word about an error that nobody read."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.protocol import messages
from nbrpc.session import interrupts

if TYPE_CHECKING:
    from nbrpc.session.result import AsyncResult

__all__ = ["Callback", "Expiry", "Unread"]

log = logging.getLogger("nbrpc.session")


class Callback:
    """A callback of a result on its way to the dispatcher."""

    __slots__ = ("context", "function", "result")

    def __init__(
        self, result: AsyncResult, function: Callable[[AsyncResult], Any], context: Any
    ) -> None:
        self.result = result
        self.function = function
        self.context = context

    @interrupts.runs_user_code
    def run(self) -> None:
        """Call it; what it raises is logged."""
        try:
            self.context.copy().run(self.function, self.result)
        except Exception:  # user code, and nobody waits for it
            log.exception("a callback of %r failed", self.result)


class Expiry:
    """The moment at which a result expires, unless it has come or the time was changed."""

    __slots__ = ("result",)

    def __init__(self, result: AsyncResult) -> None:
        self.result = weakref.ref(result)

    def run(self) -> None:
        """Let it expire, if it still exists and its time is over."""
        result = self.result()
        if result is not None:
            result._has_expired()


class Unread:
    """An error that nobody will see, since its result was dropped: it is logged."""

    def __init__(self, call: str, error: messages.Error) -> None:
        self._call = call
        self._error = error

    def run(self) -> None:
        """Log it."""
        error = self._error
        log.error(
            "%s failed and its result was dropped unread: %s: %s\n%s",
            self._call,
            error.type_name,
            error.message,
            error.text,
        )
