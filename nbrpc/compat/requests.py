"""RPyC's requests by their numbers, said with the proxies of nbrpc.

``conn.sync_request(consts.HANDLE_GETATTR, obj, "name")`` and its like are what programs write that
go below RPyC's surface. Each is here what the same thing above the surface is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbrpc.compat.connection import RpycConnection

__all__ = ["asyncreq", "run_request", "syncreq"]

COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__"})


def run_request(conn: RpycConnection, handler: int, args: tuple[Any, ...]) -> Any:
    """Make a request.

    Raises
    ------
    NotImplementedError
        There is none of that number, or it is one of those that only RPyC's own code makes.
    """
    request = REQUESTS.get(handler)
    if request is None:
        raise NotImplementedError(
            f"the request {handler!r} of RPyC cannot be made: use the proxy itself, whose "
            "attributes and calls say the same"
        )
    return request(conn, *args)


def _call(_conn: Any, function: Any, args: Any = (), named: Any = ()) -> Any:
    return function(*args, **dict(named))


def _call_attribute(conn: Any, obj: Any, name: str, args: Any = (), named: Any = ()) -> Any:
    if name.startswith("__") and name.endswith("__"):
        return _call(conn, getattr(type(obj), name), (obj, *args), named)
    return _call(conn, getattr(obj, name), args, named)


def _compare(_conn: Any, obj: Any, other: Any, op: str = "__cmp__") -> Any:
    if op not in COMPARISONS:
        raise AttributeError(f"{op!r} is no comparison")
    return getattr(type(obj), op)(obj, other)


def _close(conn: Any) -> None:
    conn.close()


def _ping(conn: Any, data: Any = None) -> Any:
    conn.ping()
    return data


def _nothing(_conn: Any, _obj: Any, _count: int = 1) -> None:
    """References are given back by themselves."""


REQUESTS: dict[int, Callable[..., Any]] = {
    1: _ping,
    2: _close,
    3: lambda conn: conn.root,
    4: lambda _conn, obj, name: getattr(obj, name),
    5: lambda _conn, obj, name: delattr(obj, name),
    6: lambda _conn, obj, name, value: setattr(obj, name, value),
    7: _call,
    8: _call_attribute,
    9: lambda _conn, obj: repr(obj),
    10: lambda _conn, obj: str(obj),
    11: _compare,
    12: lambda _conn, obj: hash(obj),
    13: lambda _conn, obj: tuple(dir(obj)),
    15: _nothing,
    17: lambda _conn, iterator, count: tuple(itertools.islice(iterator, count)),
}


def syncreq(proxy: Any, handler: int, *args: Any) -> Any:
    """Make a request about a proxy, and wait for the answer."""
    from nbrpc.compat.netref import connection_of

    return run_request(connection_of(proxy), handler, (proxy, *args))


def asyncreq(proxy: Any, handler: int, *args: Any) -> Any:
    """Make a request about a proxy, and give its result, which may still be on its way."""
    from nbrpc.compat.netref import connection_of

    return connection_of(proxy).async_request(handler, proxy, *args)
