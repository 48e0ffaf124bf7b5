"""The kinds of the standard library: containers, views, patterns, and memory with a format."""

from __future__ import annotations

import array
import collections
import re
from types import NoneType, SimpleNamespace
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.kinds import ATTRIBUTE, DATA, SHALLOW, Kind, register
from nbrpc.objects.names import is_attribute_name

__all__ = ["load"]

LONGEST_PATTERN = 4_096
"""Characters of a regular expression that is compiled here."""

WIDE_RANGE = re.compile(r"-(?:[^\0-\x7f]|\\[uUN])")
"""The end of a range of characters that may be a million: where case is ignored, Python looks at
each of them when it compiles the expression."""

MOST_WIDE_RANGES = 20

FORMATS = frozenset("cbB?hHiIlLqQnNefd")
"""Formats of memoryviews whose items are numbers."""

TYPECODES = frozenset("bBhHiIlLqQfd")


def _deque(items: list[Any], maxlen: int | None) -> collections.deque[Any]:
    return collections.deque(items, maxlen)


def _ordered(entries: dict[Any, Any]) -> collections.OrderedDict[Any, Any]:
    return collections.OrderedDict(entries)


def _defaulting(factory: Any, entries: dict[Any, Any]) -> collections.defaultdict[Any, Any]:
    return collections.defaultdict(factory, entries)


def _counter(entries: dict[Any, Any]) -> collections.Counter[Any]:
    counter: collections.Counter[Any] = collections.Counter()
    dict.update(counter, entries)
    return counter


def _namespace(entries: dict[Any, Any]) -> SimpleNamespace:
    if not all(is_attribute_name(name) for name in entries):
        raise RemoteProtocolError("a namespace has a name that none may have")
    return SimpleNamespace(**entries)


def _namespace_apart(namespace: SimpleNamespace) -> tuple[object] | None:
    entries = dict(vars(namespace))
    return (entries,) if all(is_attribute_name(name) for name in entries) else None


def _memory_apart(view: memoryview) -> tuple[object, ...] | None:
    if view.format not in FORMATS or not view.c_contiguous or not view.shape:
        return None
    return view.tobytes(), view.format, tuple(view.shape), view.readonly


def _memory(data: bytes, form: str, shape: tuple[Any, ...], readonly: bool) -> memoryview:  # noqa: FBT001 - a part
    if form not in FORMATS or len(shape) > 64 or not all(type(size) is int for size in shape):
        raise RemoteProtocolError("a memoryview has a form that is none")
    flat: Any = memoryview(data if readonly else bytearray(data))
    made: memoryview = flat.cast(form, shape) if len(shape) != 1 or form != "B" else flat
    return made


def _numbers(numbers: array.array[Any]) -> tuple[object, ...] | None:
    if numbers.typecode not in TYPECODES:
        return None
    return numbers.typecode, numbers.itemsize, numbers.tobytes()


def _numbers_made(typecode: str, itemsize: int, data: bytes) -> array.array[Any]:
    if typecode not in TYPECODES:
        raise RemoteProtocolError("an array has no such typecode")
    made: array.array[Any] = array.array(typecode)
    if made.itemsize != itemsize:
        raise NotSendable(
            f"an array.array of typecode {typecode!r} has items of {itemsize} bytes on the other "
            f"side and of {made.itemsize} here: send a numpy array"
        )
    made.frombytes(data)
    return made


def _pattern(text: str | bytes, flags: int) -> re.Pattern[Any]:
    if not _is_cheap(text):
        raise RemoteProtocolError("a regular expression is too long")
    return re.compile(text, flags & ~re.DEBUG)


def _pattern_apart(pattern: re.Pattern[Any]) -> tuple[object, ...] | None:
    return (pattern.pattern, pattern.flags) if _is_cheap(pattern.pattern) else None


def _is_cheap(text: str | bytes) -> bool:
    """Whether a regular expression is compiled in no time."""
    if len(text) > LONGEST_PATTERN:
        return False
    return isinstance(text, bytes) or len(WIDE_RANGE.findall(text)) <= MOST_WIDE_RANGES


def _view_kinds() -> list[tuple[type, Kind]]:
    """Views of dicts: those of keys and items become views of a copy, values a list's."""
    empty: dict[Any, Any] = {}
    ordered: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    found = []
    for source in (empty, ordered):
        found += [
            (
                type(source.values()),
                Kind(
                    "builtins.dict_values",
                    DATA,
                    lambda view: (list(view),),
                    lambda items: items,
                    ((list,),),
                ),
            ),
            (
                type(source.keys()),
                Kind(
                    "builtins.dict_keys",
                    DATA,
                    lambda view: (dict.fromkeys(view),),
                    lambda entries: entries.keys(),
                    ((dict,),),
                ),
            ),
            (
                type(source.items()),
                Kind(
                    "builtins.dict_items",
                    DATA,
                    lambda view: (dict(view),),
                    lambda entries: entries.items(),
                    ((dict,),),
                ),
            ),
        ]
    return found


def load(_library: str) -> None:
    """Register the kinds of this module."""
    for cls, kind in (
        (
            collections.deque,
            Kind(
                "collections.deque",
                DATA,
                lambda items: (list(items), items.maxlen),
                _deque,
                ((list,), (int, NoneType)),
            ),
        ),
        (
            collections.OrderedDict,
            Kind("collections.OrderedDict", DATA, lambda v: (dict(v),), _ordered, ((dict,),)),
        ),
        (
            collections.defaultdict,
            Kind(
                "collections.defaultdict",
                DATA,
                lambda v: (v.default_factory, dict(v)),
                _defaulting,
                (None, (dict,)),
            ),
        ),
        (
            collections.Counter,
            Kind("collections.Counter", DATA, lambda v: (dict(v),), _counter, ((dict,),)),
        ),
        (
            SimpleNamespace,
            Kind("types.SimpleNamespace", DATA, _namespace_apart, _namespace, ((dict,),)),
        ),
        (
            memoryview,
            Kind(
                "builtins.memoryview",
                ATTRIBUTE,
                _memory_apart,
                _memory,
                ((bytes,), (str,), (tuple,), (bool,)),
            ),
        ),
        (
            array.array,
            Kind("array.array", ATTRIBUTE, _numbers, _numbers_made, ((str,), (int,), (bytes,))),
        ),
        (
            re.Pattern,
            Kind("re.Pattern", SHALLOW, _pattern_apart, _pattern, ((str, bytes), (int,))),
        ),
        *_view_kinds(),
    ):
        register(cls, kind)
