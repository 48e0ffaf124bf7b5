"""A remote dictionary that Python itself copies, as ``dict(proxy)`` and ``f(**proxy)`` do.

Python asks for the keys, and then for each item. All this is one instruction of whoever copies, so
when the keys are asked for at the instruction that has looked up the method, the items come in one
request, and are given out while that instruction lasts. ``proxy.keys()`` itself takes two.
"""

from __future__ import annotations

import sys
from types import FrameType, MethodType
from typing import Any

from nbrpc.protocol.messages import Operation

__all__ = ["MAPPING"]

Place = tuple[int, int]


class _Ahead:
    """What an instruction has asked of a proxy: the method for the keys, then the items."""

    __slots__ = ("items", "place", "position")

    def __init__(self, place: Place, items: list[tuple[Any, Any]]) -> None:
        self.place = place
        self.items = items
        self.position = 0


def _place(frame: FrameType) -> Place:
    return id(frame), frame.f_lasti


class _Keys:
    """The attribute ``keys``, which notes where it is looked up."""

    def __get__(self, proxy: Any, _owner: type) -> Any:
        if proxy is None:
            return _keys
        _note(proxy, _Ahead(_place(sys._getframe(1)), []))  # noqa: SLF001 - see the docstring
        return MethodType(_keys, proxy)


def _note(proxy: Any, ahead: _Ahead | None) -> None:
    object.__setattr__(proxy, "_nbrpc_stream_", ahead)


def _keys(self: Any) -> Any:
    """Give the keys: those of a copy where Python is copying, else the remote view of them."""
    session, place = self._nbrpc_session_, _place(sys._getframe(1))  # noqa: SLF001 - as above
    ahead = self._nbrpc_stream_
    if type(ahead) is not _Ahead or ahead.place != place:
        return session.request(Operation.CALL, self._nbrpc_oid_, "keys")
    items = list(session.iterate_items(self))
    _note(self, ahead := _Ahead(place, items))
    return [key for key, _ in items]


_keys.__name__ = _keys.__qualname__ = "keys"
_keys._nbrpc_path_ = "keys"  # type: ignore[attr-defined] # by which a method of proxies is known


def _item(self: Any, key: Any) -> Any:
    ahead = self._nbrpc_stream_
    if type(ahead) is _Ahead and ahead.position < len(ahead.items):
        known, value = ahead.items[ahead.position]
        if known is key and ahead.place == _place(sys._getframe(1)):  # noqa: SLF001 - as above
            ahead.position += 1
            if ahead.position == len(ahead.items):
                _note(self, None)
            return value
    return self._nbrpc_session_.request(Operation.SPECIAL, self._nbrpc_oid_, "__getitem__", (key,))


MAPPING: dict[str, Any] = {"keys": _Keys(), "__getitem__": _item}
"""What proxies of dictionaries have."""
