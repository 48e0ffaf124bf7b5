"""The special methods of proxies: a closed table, from which each proxy class takes what it needs.

What a peer returns is checked where Python trusts a type blindly: a length is an int that fits, a
hash is an int, a truth value is a bool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbrpc.objects.operators import NAMES, SENT, sent_with_copy
from nbrpc.protocol.messages import Operation

__all__ = ["SPECIALS"]


def _ask(proxy: Any, name: str, *args: Any) -> Any:
    return proxy._nbrpc_session_.request(Operation.SPECIAL, proxy._nbrpc_oid_, name, args)


def _simple(name: str) -> Callable[..., Any]:
    """Make a special method that asks the peer with the arguments as they are."""

    def method(self: Any, *args: Any) -> Any:
        return self._nbrpc_session_.request(Operation.SPECIAL, self._nbrpc_oid_, name, args)

    method.__name__ = name
    method.__qualname__ = f"Proxy.{name}"
    return method


def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
    return self._nbrpc_session_.request(Operation.CALL, self._nbrpc_oid_, "", args, kwargs or None)


def _length(self: Any) -> int:
    length = _ask(self, "__len__")
    if type(length) is not int or not 0 <= length < 2**62:
        raise TypeError("the remote object gave a length that is no length")
    return length


def _length_hint(self: Any) -> int:
    hint = _ask(self, "__length_hint__")
    # A hint makes list() reserve memory, and a peer could claim any length.
    return hint if type(hint) is int and 0 <= hint < 10_000 else 0


def _truth(self: Any) -> bool:
    return _ask(self, "__bool__") is True


def _contains(self: Any, item: object) -> bool:
    return _ask(self, "__contains__", item) is True


def _hash(self: Any) -> int:
    number = self._nbrpc_session_.request(Operation.HASH, self._nbrpc_oid_, "")
    if type(number) is not int:
        raise TypeError("the remote object gave a hash that is no number")
    return number


def _iterate(self: Any) -> Any:
    return self._nbrpc_session_.iterate(self)


def _iterate_async(self: Any) -> Any:
    return self._nbrpc_session_.iterate_async(self)


def _next(self: Any) -> Any:
    return self._nbrpc_session_.advance(self)


def _is_instance(self: Any, instance: object) -> bool:
    return (
        self._nbrpc_session_.request(Operation.INSTANCE, self._nbrpc_oid_, "", (instance,)) is True
    )


def _is_subclass(self: Any, cls: object) -> bool:
    return _ask(self, "__subclasscheck__", cls) is True


def _exit(self: Any, _kind: object, error: Any, _traceback: object) -> bool:
    return (
        self._nbrpc_session_.request(Operation.EXCHANGE, self._nbrpc_oid_, "", (_described(error),))
        is True
    )


def _described(error: Any) -> tuple[Any, ...] | None:
    """Give what the peer's context manager is told of an exception."""
    if error is None:
        return None
    args = tuple(arg for arg in error.args if type(arg) in PLAIN)
    return (type(error).__name__, args, str(error))


def _enter_async(self: Any) -> Any:
    return self._nbrpc_session_.start_request(
        Operation.SPECIAL, self._nbrpc_oid_, "__aenter__", keep=self
    )


def _exit_async(self: Any, _kind: object, error: Any, _traceback: object) -> Any:
    return self._nbrpc_session_.start_request(
        Operation.EXCHANGE, self._nbrpc_oid_, "__aexit__", (_described(error),), keep=self
    )


PLAIN = frozenset({type(None), bool, int, float, str, bytes})

ASKED = (
    *"""
    __abs__ __ceil__ __delitem__ __enter__ __float__ __floor__ __getitem__ __index__ __int__
    __invert__ __neg__ __pos__ __reversed__ __round__ __setitem__ __trunc__
    """.split(),  # noqa: SIM905 - a list of words
    *(f"__r{name}__" for name in NAMES),
)

COMPARISONS = ("__eq__", "__ge__", "__gt__", "__le__", "__lt__", "__ne__")

SPECIALS: dict[str, Callable[..., Any]] = {
    **{name: _simple(name) for name in ASKED},
    **{name: sent_with_copy(name) for name in (*SENT, *COMPARISONS)},
    "__aenter__": _enter_async,
    "__aexit__": _exit_async,
    "__aiter__": _iterate_async,
    "__bool__": _truth,
    "__call__": _call,
    "__contains__": _contains,
    "__exit__": _exit,
    "__hash__": _hash,
    "__instancecheck__": _is_instance,
    "__iter__": _iterate,
    "__len__": _length,
    "__length_hint__": _length_hint,
    "__next__": _next,
    "__subclasscheck__": _is_subclass,
}
