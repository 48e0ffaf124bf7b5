"""What one line says of a value, without running code of it.

A plain value is shown as Python writes it; of anything else the class, and the size of what is in
it. Only classes of the interpreter and of numpy are asked, through their own slots: a class of a
user might answer with code.
"""

from __future__ import annotations

import sys
from collections import deque
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import FunctionType, ModuleType
from typing import Any, Final
from uuid import UUID

from nbrpc.objects.describe import member_kind
from nbrpc.objects.static import (
    class_module,
    class_name,
    class_qualname,
    is_class,
    is_kind_of,
    own_attributes,
)

__all__ = ["glimpse", "is_plain", "named", "spelled"]

MAX_TEXT: Final = 120
MAX_BITS: Final = 256
"""Integers with more bits are told by their size: Python refuses to write the largest."""

ATOMS: Final = frozenset(map(id, (type(None), bool, float, complex, type(...))))
SMALL: Final = frozenset(
    map(
        id,
        (
            date,
            timedelta,
            Decimal,
            Fraction,
            UUID,
            PurePosixPath,
            PureWindowsPath,
            PosixPath,
            WindowsPath,
        ),
    )
)
TEXTS: Final = frozenset(map(id, (str, bytes, bytearray)))
"""Classes by their id: to look one up by itself would ask its metaclass for a hash."""

PLAIN: Final = ATOMS | SMALL | TEXTS

SIZED: Final[tuple[Any, ...]] = (list, tuple, dict, set, frozenset, deque)


def is_plain(value: object) -> bool:
    """Whether `glimpse` says all there is to say: nothing is to be found inside."""
    kind = type(value)
    if kind is int or kind is range or id(kind) in PLAIN:
        return True
    return is_kind_of(value, Enum) or _is_numpy(value, "generic")


def glimpse(value: Any) -> str:
    """Give one line about a value, of at most some 120 characters."""
    kind = type(value)
    if id(kind) in ATOMS:
        return _cut(repr(value))
    if id(kind) in SMALL:
        return _cut(str(value))
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= MAX_BITS else f"an int of {bits:,} bits"
    if id(kind) in TEXTS:
        return _text(value)
    if kind is range:
        ends = (value.start, value.stop, value.step)
        return f"range({', '.join(map(glimpse, ends))})"
    if is_kind_of(value, Enum):
        return _cut(f"{class_name(kind)}.{own_attributes(value).get('_name_', '')}")
    if _is_numpy(value, "generic"):
        return _cut(repr(value))
    if _is_numpy(value, "ndarray"):
        return _array(value)
    if is_class(value) or member_kind(value) not in {"data", "property"}:
        return ""  # its kind says it
    name = _cut(class_qualname(kind))
    for base in SIZED:
        if is_kind_of(value, base):
            size = base.__len__(value)
            return f"{name}, {size:,} item{'' if size == 1 else 's'}"
    return name


def named(value: Any) -> str:
    """Say what a value is by its name: a class, a module, a function, or what it is made from."""
    if is_class(value):
        return _cut(f"class {class_qualname(value)}")
    if is_kind_of(value, ModuleType):
        name = own_attributes(value).get("__name__")
        return _cut(f"module {name}") if type(name) is str else "module"
    if type(value) is FunctionType:
        return _cut(f"function {value.__qualname__}")
    return _cut(class_qualname(type(value)))


def spelled(text: str, limit: int = MAX_TEXT) -> str:
    r"""Give text in one line, with whatever is not printable spelled out (``\x1b``, ``\u202e``)."""
    short = text[:limit]
    if not short.isprintable():
        short = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in short
        )
    return short if len(text) <= limit else f"{short}..."


def _text(value: str | bytes | bytearray) -> str:
    if len(value) <= MAX_TEXT:
        return repr(value)
    return f"{value[:MAX_TEXT]!r}... ({len(value):,} in all)"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def _is_numpy(value: object, name: str) -> bool:
    """Whether a value is of one of numpy's own classes, if numpy was imported at all."""
    numpy = sys.modules.get("numpy")
    if numpy is None or class_module(type(value)) != "numpy":
        return False
    base: Any = getattr(numpy, name, None)
    return is_class(base) and is_kind_of(value, base)


def _array(value: Any) -> str:
    cls = type(value)
    return _cut(f"{class_name(cls)} {value.shape} {value.dtype}")
