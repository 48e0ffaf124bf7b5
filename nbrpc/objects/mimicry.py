"""Which class a proxy says it has.

``isinstance`` asks an object for its ``__class__``; proxies of builtin containers answer there with
the container that they stand for.

So do proxies of pandas objects, where pandas is imported. It has no hook for foreign data: it takes
what is no table of its own for an array, and loses the labels. Of its own it reads the private
names, which come from a copy here. So its functions find in a proxy what they find in a table.
"""

from __future__ import annotations

import array
import collections
import sys
from collections.abc import Callable
from typing import Any, Final

from nbrpc.errors import NotSendable
from nbrpc.objects.foreign import copied
from nbrpc.objects.static import MISSING, find, is_class

__all__ = [
    "MIMICKED",
    "SEQUENCE_FLAG",
    "STAND_INS",
    "arrays_match",
    "class_property",
    "of_pandas",
    "of_table",
]


MIMICKED: dict[str, type] = {
    "list": list,
    "dict": dict,
    "set": set,
    "bytearray": bytearray,
    "deque": collections.deque,
    "defaultdict": collections.defaultdict,
    "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter,
    "array": array.array,
}
"""The builtins whose type a proxy answers to in ``isinstance``; never one that travels by value."""

local_class: Callable[[str, str], type | None] | None = None
"""Gives a class of this process by its module and name, as which proxies pass in ``isinstance``;
set by `install_as_rpyc`, whose programs expect that."""

PANDAS: Final = {"pandas.Series": "Series", "pandas.DataFrame": "DataFrame"}


def stand_in(cls: type) -> type:
    """Make a subclass that is only ever the ``__class__`` of proxies; to call it gives the class.

    Its name is what others say of an object that they cannot take. ``json`` is one of them: its C
    code looks at the real class, and has no hook.
    """
    name = f"{cls.__name__} of the peer (nbrpc.obtain copies it)"
    return type(name, (cls,), {"__new__": lambda _cls, *args, **options: cls(*args, **options)})


STAND_INS: Final = {base: stand_in(cls) for base, cls in MIMICKED.items()}
"""What proxies of the builtin containers say that they are."""


def of_pandas(base: str | None) -> bool:
    """Whether the private names of proxies of this base are those of pandas."""
    return base in PANDAS


def class_property(mimicked: type | None, base: str | None, *, libraries: bool) -> property:
    """Make the ``__class__`` of the proxies that mimic a class, or none.

    Parameters
    ----------
    libraries
        Whether they may pass for classes that are no builtin ones.
    """

    def answer(proxy: Any) -> type:
        found = mimicked
        if found is None and libraries:
            found = _of_library(base)
            if found is None and local_class is not None:
                described = proxy._nbrpc_description_
                found = local_class(described.module, described.name)
        return found or type(proxy)

    return property(answer)


def arrays_match() -> bool:
    """Whether `match` takes arrays for sequences, as it does from numpy 2.5 on."""
    array_class: Any = getattr(sys.modules.get("numpy"), "ndarray", None)
    return is_class(array_class) and bool(array_class.__flags__ & SEQUENCE_FLAG)


SEQUENCE_FLAG: Final = 1 << 5
MAPPING_FLAG: Final = 1 << 6
"""What CPython sets on classes that are sequences, or mappings, for `match`."""


def _of_library(base: str | None) -> type | None:
    name = PANDAS.get(base or "")
    found = None if name is None else getattr(sys.modules.get("pandas"), name, None)
    return found if is_class(found) else None


def of_table(proxy: Any, name: str) -> Any:
    """Give what pandas reads of a table of its own; `MISSING` of what the peer is to be asked for.

    Raises
    ------
    NotSendable
        This side does not take its peer's objects for tables, so pandas would lose the labels.
    """
    cls: Any = proxy.__class__
    if issubclass(cls, type(proxy)):
        if name == "_typ":
            raise NotSendable(
                "a table of the peer is no table of pandas here: nbrpc.obtain(proxy) gives one"
            )
        return MISSING
    if name[:1] != "_":
        # Where the peer exposes nothing of it, as services do not.
        is_open = name not in READ_ONLY or proxy._nbrpc_description_.members
        return MISSING if is_open else getattr(copied(proxy), name, MISSING)
    of_class = find(cls, name)
    if type(of_class) in CONSTANTS:
        return of_class
    if of_class is MISSING and name not in INTERNAL:
        return MISSING
    return getattr(copied(proxy), name)


CONSTANTS: Final = frozenset({str, int, bool, tuple, list, set, frozenset, dict})
INTERNAL: Final = frozenset({"_mgr", "_flags", "_attrs", "_name", "_cache", "_item_cache"})
"""What pandas keeps in its objects."""

READ_ONLY: Final = frozenset(
    """
    align astype axes columns copy dtype dtypes empty index items keys name ndim reindex
    reindex_like shape size to_frame to_numpy
    """.split()  # noqa: SIM905 - a list of words
)
"""Public names that lead to nothing through which a table could be changed."""
