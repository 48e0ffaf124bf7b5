"""The numbers and names of RPyC's wire.

Source: observed with RPyC 4.1.5, 5.3.1 and 6.0.2; the numbers are the same in all of them.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = [
    "LOCAL_ATTRIBUTES",
    "MSG_EXCEPTION",
    "MSG_REPLY",
    "MSG_REQUEST",
    "Dialect",
    "Handler",
    "Label",
]

MSG_REQUEST: Final = 1
MSG_REPLY: Final = 2
MSG_EXCEPTION: Final = 3


class Dialect(enum.Enum):
    """How a payload is laid out; nothing on the wire names it, and the two do not mix."""

    RPYC5 = "rpyc/5"
    """RPyC 4.1 to 5.3: brine of (message, number, body)."""
    RPYC6 = "rpyc/6"
    """RPyC 6: a byte for the message, then brine of (number, body)."""


class Handler(enum.IntEnum):
    """What a request asks for."""

    PING = 1
    """(data,): give it back."""
    CLOSE = 2
    """(): the sender closes; the only request without an answer."""
    GETROOT = 3
    """(): the object that the peer serves."""
    GETATTR = 4
    """(object, name)"""
    DELATTR = 5
    """(object, name)"""
    SETATTR = 6
    """(object, name, value)"""
    CALL = 7
    """(object, arguments, pairs of name and value)"""
    CALLATTR = 8
    """(object, name, arguments, pairs of name and value)"""
    REPR = 9
    """(object,)"""
    STR = 10
    """(object,)"""
    CMP = 11
    """(object, other, name of the comparison)"""
    HASH = 12
    """(object,)"""
    DIR = 13
    """(object,): a tuple of names."""
    PICKLE = 14
    """(object, protocol)"""
    DEL = 15
    """(object, count): give so many references back."""
    INSPECT = 16
    """(identity,): the methods of an object's class, as pairs of name and documentation."""
    BUFFITER = 17
    """(iterator, count): a tuple of its next items."""
    OLDSLICING = 18
    """A relic of Python 2."""
    CTXEXIT = 19
    """(object, exception): leave a context manager."""
    INSTANCECHECK = 20
    """(object, identity of the other)"""


class Label(enum.IntEnum):
    """How a boxed value is meant, seen from its sender."""

    VALUE = 1
    """Anything that brine can hold."""
    TUPLE = 2
    """A tuple of boxed values."""
    LOCAL_REF = 3
    """The identity of an object of the receiver."""
    REMOTE_REF = 4
    """The identity of an object of the sender, which counts one reference more."""


LOCAL_ATTRIBUTES: Final = frozenset(
    [
        "____conn__",
        "____id_pack__",
        "____refcount__",
        "__array_interface__",
        "__array_struct__",
        "__class__",
        "__cmp__",
        "__del__",
        "__delattr__",
        "__dict__",
        "__dir__",
        "__doc__",
        "__eq__",
        "__exit__",
        "__ge__",
        "__getattr__",
        "__getattribute__",
        "__gt__",
        "__hash__",
        "__init__",
        "__instancecheck__",
        "__le__",
        "__lt__",
        "__metaclass__",
        "__methods__",
        "__module__",
        "__ne__",
        "__new__",
        "__reduce__",
        "__reduce_ex__",
        "__repr__",
        "__setattr__",
        "__slots__",
        "__str__",
        "__weakref__",
    ]
)
"""What a proxy of RPyC has of its own, and never asks its object for by that name."""
