"""Operators between proxies of data and data of this side.

``proxy + other`` is for the peer, with a copy of what is data here. ``other + proxy`` is computed
here with a copy of the remote data, since the class of ``other`` decides what comes of it: a list
joined to a remote list is a list, and an array plus a remote Series a Series.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Callable
from opcode import opmap
from typing import Any, Final

from nbrpc.errors import LimitExceeded, NotSendable
from nbrpc.objects.boxing import by_value
from nbrpc.objects.foreign import LIBRARIES, SEQUENCES, copied
from nbrpc.objects.mimicry import MIMICKED
from nbrpc.objects.proxy import is_proxy
from nbrpc.objects.static import class_module
from nbrpc.protocol.messages import Operation

__all__ = ["NAMES", "SENT", "operators_of", "sent_with_copy"]

PLAIN: Final = frozenset({type(None), bool, int, float, complex, str})

COPIED: Final = frozenset({list, dict, set, bytearray})

NAMES: Final = tuple(
    "add and divmod floordiv lshift matmul mod mul or pow rshift sub truediv xor".split()  # noqa: SIM905 - a list of words
)
"""The operators of two operands."""

SENT: Final = (
    *(f"__{name}__" for name in NAMES),
    *(f"__i{name}__" for name in NAMES if name != "divmod"),
)
"""The special methods that they have, save for the reflected ones."""


def sent_with_copy(name: str) -> Callable[..., Any]:
    """Make an operator or comparison for the peer; data of this side goes along as a copy.

    A list is equal to, and can be joined to, lists only, which a proxy is not.
    """

    def method(self: Any, other: object, *modulus: object) -> Any:
        ask, oid = self._nbrpc_session_.request, self._nbrpc_oid_
        kind = type(other)
        if kind in COPIED or class_module(kind).partition(".")[0] in LIBRARIES:
            try:
                return ask(Operation.SPECIAL, oid, name, (by_value(other), *modulus))
            except (NotSendable, LimitExceeded):
                pass  # it holds what cannot be copied: the peer sees a proxy
        return ask(Operation.SPECIAL, oid, name, (other, *modulus))

    method.__name__ = name
    method.__qualname__ = f"Proxy.{name}"
    return method


def operators_of(specials: tuple[str, ...], base: str | None) -> dict[str, Callable[..., Any]]:
    """Give the operators that the proxies of data of a kind have in place of those of the table."""
    found = {name: REFLECTED[name] for name in specials if name in REFLECTED}
    if base in SEQUENCES:
        found |= {"__add__": _joined, "__radd__": REFLECTED["__radd__"]}
    return found


def _joined(self: Any, other: Any) -> Any:
    """Join a sequence with another one.

    The peer's sequences join their own class only; what else can be on the right has a say in it.
    """
    if type(other) is MIMICKED[self._nbrpc_description_.base] or is_proxy(other):
        return _add(self, other)
    return _operand(self) + other


_add = sent_with_copy("__add__")


def _reflected(name: str) -> Callable[..., Any]:
    """Make ``other + proxy`` and its kin."""
    compute, compute_in_place = _functions(name)
    special = f"__r{name}__"

    def method(self: Any, other: Any, *modulus: Any) -> Any:
        if type(other) in PLAIN or is_proxy(other) or modulus:
            if special not in self._nbrpc_description_.specials:
                return NotImplemented
            asked = (other, *modulus)
            return self._nbrpc_session_.request(Operation.SPECIAL, self._nbrpc_oid_, special, asked)
        # Python asks for this before it changes `other` in place, and does not say for what.
        if not _is_in_place(sys._getframe(1)):  # noqa: SLF001 - nothing else tells += from +
            return compute(other, _operand(self))
        if type(other) in EXTENDED and name == "add":
            return NotImplemented  # it is extended by all that the proxy yields
        return compute_in_place(other, copied(self))

    method.__name__ = special
    method.__qualname__ = f"Proxy.{special}"
    return method


EXTENDED: Final = frozenset({list, deque})


def _operand(proxy: Any) -> Any:
    """Give a copy; of a list that holds objects, a list of their proxies."""
    try:
        return copied(proxy)
    except NotSendable:
        if proxy._nbrpc_description_.name != "list":
            raise
        return list(proxy)


def _functions(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    if name == "divmod":
        return divmod, divmod
    return getattr(operator, f"__{name}__"), getattr(operator, f"__i{name}__")


def _is_in_place(frame: Any) -> bool:
    """Whether a frame is at an operator that may change its left operand, as ``+=``.

    To answer with something new would leave whoever else holds the operand with less than was added
    to it. In an instruction of Python's own there is no other sign of it.
    """
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == BINARY_OPERATOR and code[at + 1] in IN_PLACE


BINARY_OPERATOR: Final = opmap["BINARY_OP"]
IN_PLACE: Final = range(13, 26)
"""The arguments of that instruction from ``+=`` to ``^=``; `dis` lists them."""

REFLECTED: Final = {f"__r{name}__": _reflected(name) for name in NAMES}
