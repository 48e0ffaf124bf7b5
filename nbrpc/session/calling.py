"""Asynchronous calls of any callable, and what is built on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from nbrpc.errors import ConnectionLost, LimitExceeded, NbrpcError, StaleReference
from nbrpc.objects.boxing import by_value
from nbrpc.objects.proxy import is_proxy, resolve, target_of
from nbrpc.options import check_seconds
from nbrpc.protocol.messages import Operation
from nbrpc.session.call import current_job
from nbrpc.session.local_result import LocalResult, nowhere
from nbrpc.session.reactor import reactor
from nbrpc.session.result import AsyncResult

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = [
    "AsyncFunction",
    "async_",
    "buffiter",
    "obtain",
    "start_request",
    "timed",
    "wait_for_return",
]


class AsyncFunction:
    """A callable whose calls give an `AsyncResult`; made by `async_`."""

    __slots__ = ("_expiry", "_function", "_method", "_name", "_session_and_target")

    def __init__(self, function: Any, expiry: float | None = None) -> None:
        self._function = function
        self._expiry = expiry
        self._session_and_target: Any = target_of(function)
        self._name = _name_of(function, self._session_and_target)
        self._method: Any = None
        """Of a method of an RPyC peer: the request that reads it, then its proxy."""

    def __repr__(self) -> str:
        return f"async_({self._function!r})"

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Start the call."""
        target = self._session_and_target
        if target is not None and target[2] and target[0].nests:
            target = self._read_once(target)
        result = (
            _start_local(self._function, args, kwargs)
            if target is None
            else _start(self._function, target, self._name, args, kwargs, self._expiry)
        )
        if self._expiry is not None:
            result.set_expiry(self._expiry)
        return result

    def _read_once(self, target: tuple[Any, int, str]) -> tuple[Any, int, str]:
        """Give what is to be called of an RPyC peer: the method itself, once it has been read.

        To call it by name is one request as well, but costs RPyC's servers half as much again. So
        the first calls are by name, and nobody waits for the answer.
        """
        session = target[0]
        if self._method is None:
            self._method = session.quiet_call()
            session.send_request(self._method, Operation.GET, target[1], target[2])
        elif not is_proxy(self._method) and self._method.done:
            try:
                method = session.result_of(self._method)
            except NbrpcError:
                return target  # the calls will tell
            if is_proxy(method):
                self._method = method
                self._session_and_target = target_of(method)
                return self._session_and_target  # type: ignore[no-any-return] # of a proxy
        return target


def _name_of(function: Any, target: Any) -> str:
    if target is not None:
        return target[2] or str(function._nbrpc_name_ or function._nbrpc_description_.name)
    return str(getattr(function, "__name__", type(function).__name__))


def _start(
    function: Any,
    target: tuple[Any, int, str],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    timeout: float | None,
) -> AsyncResult:
    session: Session = target[0]
    result = AsyncResult(session, session.next_seq(), _shown(name, args), session.name)
    if len(session.pending) >= session.most_requests:
        result.give(
            error=LimitExceeded(
                f"{session.most_requests:,} requests are outstanding already; wait for some "
                "results first, or raise Limits.requests on both sides"
            )
        )
        return result
    # What the request refers to lives until it is answered: a release must not overtake it.
    result.keep = (function, args, kwargs)
    if not kwargs and timeout is None and session.start_quickly(result, target[1], target[2], args):
        return result
    try:
        session.send_request(
            result, Operation.CALL, target[1], target[2], args, kwargs or None, timeout
        )
    except ConnectionLost as error:
        wait_for_return(result, error, Operation.CALL, target[1], target[2], args, kwargs or None)
    except BaseException as error:  # also an interrupt: nothing was sent, and it is raised again
        result.give(error=error)  # a board may have it already
        raise
    return result


def wait_for_return(result: AsyncResult, error: NbrpcError, *request: Any) -> None:
    """Have a request that met a lost link sent when that is back, or end its result."""
    revival = result.session.revival
    try:
        if revival is not None and revival.begin_later(result, *request):
            return
    except StaleReference as stale:
        error = stale
    result.give(error=error)


def start_request(
    session: Session,
    op: int,
    oid: int,
    name: str,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    call: str = "",
    keep: object = None,
) -> AsyncResult:
    """Send a request and give its result, which may still be on its way.

    Parameters
    ----------
    call
        What is called, for people; the name unless given.
    keep
        What must live until the request is answered.
    """
    result = AsyncResult(session, session.next_seq(), call or name, session.name)
    result.keep = keep
    try:
        session.send_request(result, op, oid, name, args, kwargs)
    except ConnectionLost as error:
        wait_for_return(result, error, op, oid, name, args, kwargs)
        if result.done:
            raise
    except BaseException as error:  # also an interrupt, and it is raised again
        result.give(error=error)  # a board may have it already
        raise
    return result


def _shown(name: str, args: tuple[Any, ...]) -> Any:
    # Made into text when somebody looks: most results are never displayed.
    return (name, args) if args else name


def _start_local(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncResult:
    result = LocalResult(nowhere(), 0, getattr(function, "__name__", "call"))
    context = copy_context()
    context.run(current_job.set, None)  # it outlives the request that it was started in

    class Job:
        def run(self) -> None:
            try:
                value = context.run(function, *args, **kwargs)
            except BaseException as error:  # user code: whatever it raises is the result
                result.give(error=error)
            else:
                result.give(value)

    reactor().submit(Job())
    return result


def async_(function: Any) -> AsyncFunction:
    """Give a function whose calls return at once, with an `AsyncResult`.

    Parameters
    ----------
    function
        A remote function, method or class, or any other callable of the peer; a local callable
        runs on a thread.

    Raises
    ------
    TypeError
        It cannot be called.

    Notes
    -----
    There is no guarantee on the order in which asynchronous calls run.
    """
    if isinstance(function, AsyncFunction):
        return function
    _check_callable("async_", function)
    return AsyncFunction(function)


def timed(function: Any, seconds: float) -> AsyncFunction:
    """Like `async_`, with results that expire after so many seconds; see `AsyncResult.set_expiry`.

    Raises
    ------
    TypeError
        It cannot be called, or that is no number of seconds.
    """
    _check_callable("timed", function)
    check_seconds("the second argument of timed", seconds)
    return AsyncFunction(function, seconds)


def _check_callable(user: str, function: object) -> None:
    if not callable(function):
        raise TypeError(
            f"{user} needs something that can be called, not {type(function).__name__}: give the "
            "function itself, without calling it"
        )


def obtain(obj: Any) -> Any:
    """Give a copy of what a proxy stands for; anything else as it is.

    What can be copied is what `by_value` copies: data, with nothing in it that is none. Nothing is
    pickled.

    Raises
    ------
    NotSendable
        It cannot be copied; raised by the peer with the path to what is in the way.
    """
    target = target_of(obj)
    if target is None:
        return obj
    return target[0].request(Operation.OBTAIN, target[1], target[2])


def buffiter(
    iterable: Any, chunk: int = 10, max_chunk: int = 1000, factor: int = 2
) -> Iterator[Any]:
    """Iterate over a remote iterable in chunks, as RPyC's function of that name does.

    A plain ``for`` loop does the same here, with read-ahead; the sizes are accepted and not needed.

    Raises
    ------
    TypeError
        It cannot be iterated over.
    ValueError
        A size is below 1.
    """
    for name, size in (("chunk", chunk), ("max_chunk", max_chunk), ("factor", factor)):
        if type(size) is not int or size < 1:
            raise ValueError(f"{name} is a whole number from 1, not {size!r}")
    target = target_of(iterable)
    in_chunks = None if target is None else target[0].iterate_in_chunks
    if in_chunks is not None:
        # RPyC's peers send nothing ahead of a plain loop.
        return in_chunks(resolve(iterable), chunk, max_chunk, factor)  # type: ignore[no-any-return] # a generator
    return iter(iterable)


def deliver(session: Session, obj: object) -> Any:
    """Copy an object to the peer and give a proxy of the copy."""
    if is_proxy(obj):
        return obj
    return session.request(Operation.DELIVER, 0, "", (by_value(obj),))
