"""``rpyc.utils.helpers``: asynchronous calls, serving in the background, views of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from nbrpc.compat.service import classpartial
from nbrpc.objects.exposure import restricted
from nbrpc.serving import BgServingThread as NativeBgServingThread
from nbrpc.session import calling
from nbrpc.session.calling import AsyncFunction
from nbrpc.session.connection import Connection
from nbrpc.session.result import AsyncResult

__all__ = [
    "BgServingThread",
    "async_",
    "buffiter",
    "classpartial",
    "restricted",
    "timed",
]


class RpycResult(AsyncResult):
    """A result whose callbacks are called at once where it is there already, as RPyC's are."""

    def add_callback(self, function: Callable[[AsyncResult], Any]) -> None:
        """Call ``function(result)`` when the result has arrived: in this call, if it has."""
        if self.done and callable(function):
            function(self)
        else:
            super().add_callback(function)


class RpycAsyncFunction(AsyncFunction):
    """A callable whose calls give an `AsyncResult`.

    Attributes
    ----------
    proxy
        What is called.
    """

    __slots__ = ("proxy",)

    def __init__(self, proxy: Any, expiry: float | None = None) -> None:
        super().__init__(proxy, expiry)
        self.proxy = proxy

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Start the call."""
        result = super().__call__(*args, **kwargs)
        if type(result) is AsyncResult:
            # nbrpc makes it; only what one of its methods does differs.
            result.__class__ = RpycResult
        return result


def async_(proxy: Any) -> AsyncFunction:
    """Give a function whose calls return at once, with an `AsyncResult`.

    Raises
    ------
    TypeError
        It cannot be called.
    """
    known = calling.async_(proxy)  # checks it
    return known if known is proxy else RpycAsyncFunction(proxy)


class timed(RpycAsyncFunction):  # noqa: N801 - RPyC's name
    """Such a function, with results that expire after so many seconds.

    Raises
    ------
    TypeError
        It cannot be called, or that is no number of seconds.
    """

    __slots__ = ("timeout",)

    def __init__(self, proxy: Any, timeout: float) -> None:
        calling.timed(proxy, timeout)  # checks both
        super().__init__(getattr(proxy, "proxy", proxy), timeout)
        self.timeout = timeout


def buffiter(obj: Any, chunk: int = 10, max_chunk: int = 1000, factor: int = 2) -> Iterator[Any]:
    """Iterate over a remote iterable in chunks; a plain ``for`` loop does the same here."""
    return calling.buffiter(obj, chunk, max_chunk, factor)


class BgServingThread(NativeBgServingThread):
    """Serve a connection in the background, at once, until `stop`.

    The intervals are accepted as in RPyC, where they trade delay for load; here events are
    delivered as they come.
    """

    SERVE_INTERVAL: ClassVar[float] = 0.0
    SLEEP_INTERVAL: ClassVar[float] = 0.1

    def __init__(
        self,
        conn: Connection,
        callback: Callable[[], Any] | None = None,
        serve_interval: float = SERVE_INTERVAL,
        sleep_interval: float = SLEEP_INTERVAL,
    ) -> None:
        super().__init__(conn, callback, serve_interval, sleep_interval)
