"""Which objects are plain: they are copied exactly, and hold nothing that could be a reference.

An array of objects is copied where all its elements are plain. Whoever receives one looks again.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from types import NoneType
from typing import Any

from nbrpc.objects import arrays, kinds, values
from nbrpc.objects.static import class_module, class_name

__all__ = ["are_plain", "arrived_plain"]

MAX_DEPTH = 8
"""Containers around an element."""

AS_THEY_ARE = frozenset({NoneType, bool, float, str, bytes})

CONTAINERS = frozenset({list, tuple, set, frozenset, dict, OrderedDict, Counter, deque})
MAPPINGS = frozenset({dict, OrderedDict, Counter})

SCALARS = frozenset(
    {
        ("PIL.PngImagePlugin", "iTXt"),
        ("PIL.TiffImagePlugin", "IFDRational"),
        ("builtins", "complex"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("uuid", "UUID"),
    }
)
"""Modules and names of classes; each is compared with the class itself."""

OF_PANDAS = ("Timestamp", "Timedelta")

LONGEST_INT = 4 * values.MAX_TEXT
"""Bits."""


def are_plain(items: Iterable[object], depth: int = 0) -> bool:
    """Whether all of these would come back exactly."""
    return all(type(item) in AS_THEY_ARE or _is_plain(item, depth, comes_back) for item in items)


def arrived_plain(items: Iterable[object], depth: int = 0) -> bool:
    """Whether all of these, which the peer sent, are plain."""
    return all(type(item) in AS_THEY_ARE or _is_plain(item, depth, is_scalar) for item in items)


def _is_plain(item: Any, depth: int, judge: Any) -> bool:
    cls = type(item)
    if cls is int:
        return item.bit_length() <= LONGEST_INT  # type: ignore[no-any-return] # Any of the class int
    if cls in CONTAINERS:
        if depth >= MAX_DEPTH:
            return False
        again = are_plain if judge is comes_back else arrived_plain
        try:
            return again(item, depth + 1) and (
                cls not in MAPPINGS or again(item.values(), depth + 1)
            )
        except RuntimeError:  # another thread changes it meanwhile
            return False
    return bool(judge(item))


def is_scalar(item: object) -> bool:
    """Whether the class of this is one of the plain ones that have no items."""
    cls = type(item)
    module, name = class_module(cls), class_name(cls)
    home = sys.modules.get(module)
    if (module, name) in SCALARS:
        return getattr(home, name, None) is cls
    if module == "numpy":
        return arrays.box_scalar(item) is not None
    pandas = sys.modules.get("pandas")
    if pandas is None or module.partition(".")[0] != "pandas":
        return False
    missing = (getattr(pandas, "NA", None), getattr(pandas, "NaT", None))
    return any(item is one for one in missing) or any(
        getattr(pandas, name, None) is cls for name in OF_PANDAS
    )


def comes_back(item: object) -> bool:
    """Whether this is plain, and of a size and kind that is copied exactly."""
    if not is_scalar(item):
        return False
    if values.box_scalar(item) is not None or arrays.box_scalar(item) is not None:
        return True
    kind = kinds.kind_of(type(item))
    return kind is not None and kind.apart(item) is not None
