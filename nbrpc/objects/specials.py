"""The special methods of proxies: a closed table, from which each proxy class takes what it needs.

What a peer returns is checked where Python trusts a type blindly: a length is an int that fits, a
hash is an int, a truth value is a bool.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

from nbrpc.errors import LimitExceeded, NotSendable
from nbrpc.objects.boxing import by_value
from nbrpc.protocol.messages import Operation

__all__ = ["MIMICKED", "SPECIALS"]

MIMICKED: dict[str, type] = {
    "list": list,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
    "deque": collections.deque,
    "defaultdict": collections.defaultdict,
    "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter,
}
"""The builtins whose type a proxy answers to in ``isinstance``; never one that travels by value."""


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


def _comparison(name: str) -> Callable[..., Any]:
    """Make a comparison; a container goes along as a copy, since a list equals lists only."""

    def method(self: Any, other: object) -> Any:
        if type(other) in COMPARED_BY_VALUE:
            try:
                return _ask(self, name, by_value(other))
            except (NotSendable, LimitExceeded):
                pass  # it holds what cannot be copied: the peer sees a proxy
        return _ask(self, name, other)

    method.__name__ = name
    method.__qualname__ = f"Proxy.{name}"
    return method


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


def _exit(self: Any, _kind: object, error: Any, _traceback: object) -> bool:
    described = None
    if error is not None:
        args = tuple(arg for arg in error.args if type(arg) in PLAIN)
        described = (type(error).__name__, args, str(error))
    return (
        self._nbrpc_session_.request(Operation.EXCHANGE, self._nbrpc_oid_, "", (described,)) is True
    )


PLAIN = frozenset({type(None), bool, int, float, str, bytes})

ASKED = """
    __abs__ __add__ __and__ __ceil__ __delitem__ __divmod__ __enter__ __float__ __floor__
    __floordiv__ __getitem__ __iadd__ __iand__ __ifloordiv__ __ilshift__ __imatmul__ __imod__
    __imul__ __index__ __int__ __invert__ __ior__ __ipow__ __irshift__ __isub__ __itruediv__
    __ixor__ __lshift__ __matmul__ __mod__ __mul__ __neg__ __or__ __pos__ __pow__ __radd__
    __rand__ __rdivmod__ __reversed__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__ __rmul__
    __ror__ __round__ __rpow__ __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __setitem__
    __sub__ __truediv__ __trunc__ __xor__
""".split()  # noqa: SIM905 - a list of words

COMPARISONS = ("__eq__", "__ge__", "__gt__", "__le__", "__lt__", "__ne__")

COMPARED_BY_VALUE = frozenset({list, dict, set, bytearray})

SPECIALS: dict[str, Callable[..., Any]] = {
    **{name: _simple(name) for name in ASKED},
    **{name: _comparison(name) for name in COMPARISONS},
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
}
