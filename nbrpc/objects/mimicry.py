"""Which class a proxy says it has, and how tables and plots are made of one.

``isinstance`` asks an object for its ``__class__``; proxies of the connecting side answer there
with the builtin container that they stand for.

pandas has no hook for foreign data: it would read a remote list or dict item by item, and of a
remote table it would keep the values and lose their names. Its constructor begins with
``isinstance(data, DataFrame)`` and then takes ``data._mgr``. So these two questions, when they come
from there and nowhere else, are answered with a copy: any data that can be copied becomes a table
in one round trip. Should pandas ask something else one day, it reads item by item again.

matplotlib asks anything but an array for ``to_numpy``; the proxy of an array has one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from nbrpc.protocol.messages import Operation

__all__ = ["ASKED_FOR_COPIES", "class_property", "copied_for"]


local_class: Callable[[str, str], type | None] | None = None
"""Gives a class of this process by its module and name, as which proxies pass in ``isinstance``;
set by `install_as_rpyc`, whose programs expect that."""

ASKED_FOR_COPIES = frozenset({"_mgr", "_typ", "to_numpy"})
"""Names for which `copied_for` is to be asked first."""


def class_property(mimicked: type | None) -> property:
    """Make the ``__class__`` of the proxies that mimic a class, or none."""

    def answer(proxy: Any) -> type:
        frame = sys._getframe(1)  # noqa: SLF001 - the one way to know who asks
        found = _table_class(proxy, frame) or mimicked
        if found is None and local_class is not None:
            described = proxy._nbrpc_description_
            found = local_class(described.module, described.name)
        return found or type(proxy)

    return property(answer)


def copied_for(proxy: Any, name: str, frame: FrameType) -> Any:
    """Give what a library takes of a copy; None if it is no library that asks.

    Raises
    ------
    AttributeError
        pandas asks which of its classes this is: of none, also where the remote object is one.
    """
    description = proxy._nbrpc_description_
    if name == "to_numpy":
        is_array = (description.module, description.name) == ("numpy", "ndarray")
        return proxy.__array__ if is_array else None
    if name == "_typ" and str(frame.f_globals.get("__name__")).startswith("pandas."):
        raise AttributeError("a proxy is no pandas object: nbrpc.obtain(proxy) gives one")
    table = _table_class(proxy, frame)
    if table is None:
        return None
    given = frame.f_locals
    if "__next__" in description.specials:
        data = list(proxy)
    else:
        data = proxy._nbrpc_session_.request(Operation.OBTAIN, proxy._nbrpc_oid_, "")
    return table(data, given["index"], given["columns"], given["dtype"])._mgr  # noqa: SLF001 - asked for


def _table_class(proxy: Any, frame: FrameType) -> Any:
    """Give pandas.DataFrame if the frame is its constructor, at work on the proxy."""
    table = getattr(sys.modules.get("pandas"), "DataFrame", None)
    constructor = getattr(getattr(table, "__init__", None), "__code__", None)
    if frame.f_code is not constructor or frame.f_locals.get("data") is not proxy:
        return None
    return table
