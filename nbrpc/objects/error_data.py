"""The attributes of an exception that are data, such as ``error.code``, on their way out and in.

They are what the instance dictionary and the slots of an exception hold under a public name: plain
values, and containers of those, within bounds. No property of the class runs, and what is no data
is left out: a reference would keep an object of the peer alive for as long as somebody keeps the
exception.

On the way in, an attribute takes the place of nothing: what the class of the exception has is what
Python, IPython and whoever handles the exception trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from types import MemberDescriptorType
from typing import Any, Final, cast

from nbrpc.errors import NotSendable
from nbrpc.objects import arrays, values
from nbrpc.objects.known_errors import EVERY_BUILTIN
from nbrpc.objects.static import (
    C_DESCRIPTORS,
    MISSING,
    find,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
    slot_value,
)
from nbrpc.objects.text import sendable
from nbrpc.protocol import codec

__all__ = [
    "ATTRIBUTES",
    "Room",
    "attributes_of",
    "is_plain",
    "read_attributes",
    "set_attributes",
    "slots_of",
]

ATTRIBUTES: Final = ("errno", "strerror", "filename", "filename2", "name", "path", "key", "code")
"""What is taken from builtin exceptions, which keep it outside of the instance dictionary, and all
of them that is ever set there. ``obj`` and ``name_from`` are not among them: Python looks into the
one and imports what the other is sought in, to make a suggestion."""

RESERVED: Final = frozenset({"type_name", "remote_traceback"})
"""What an exception that came from another peer has of ours."""

MAX_ATTRIBUTES: Final = 64
MAX_NAME: Final = 100
MAX_SHORT: Final = 4 * 1024
MAX_TEXT: Final = 16 * 1024
"""Characters or bytes of one text; a longer one is left out, since half of it would mislead."""

MAX_ITEMS: Final = 200
"""Values in one attribute."""

MAX_DEPTH: Final = 4


class Room:
    """How much of the attributes of one failure may still be sent, in characters and values."""

    def __init__(self, left: int = 64 * 1024) -> None:
        self.left = left


# ---- out


def attributes_of(
    exception: BaseException, box: Callable[[object], Any], room: Room
) -> dict[str, Any]:
    """Give the attributes that are data, boxed."""
    found: dict[str, Any] = {}
    own = own_attributes(exception)
    held = builtins_of(exception) | {name: own[name] for name in ATTRIBUTES if name in own}
    for name, value in held.items():
        if value is not None and is_plain(value):
            found[name] = sendable(value, MAX_SHORT) if type(value) is str else value
    for name, value in _members(exception, own):
        if len(found) >= MAX_ATTRIBUTES:
            break
        size = _size_of(value) if name not in found else None
        if size is None or size > room.left:
            continue
        try:
            found[name] = box(value)
            room.left -= size
        except Exception:  # too many digits, say: it is left out
            pass
    return found


def _members(exception: BaseException, own: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Give what the dictionary and the slots of an exception hold under public names."""
    # Another thread may set attributes meanwhile; list() takes them in one step.
    for name, value in list(own.items()):
        if _is_public(name):
            yield name, value
    yield from slots_of(exception)


def builtins_of(exception: BaseException) -> dict[str, object]:
    """Give what a builtin exception keeps outside of its dictionary, of `ATTRIBUTES`."""
    found = {name: find(type(exception), name) for name in ATTRIBUTES}
    values = {
        name: slot_value(descriptor, exception)
        for name, descriptor in found.items()
        if is_kind_of(descriptor, C_DESCRIPTORS)
    }
    return {name: value for name, value in values.items() if value is not MISSING}


def slots_of(exception: BaseException) -> Iterator[tuple[str, object]]:
    """Give what the slots of an exception hold under public names."""
    for cls in lineage(type(exception)):
        if id(cls) in BUILTIN_IDS:
            break
        for name, descriptor in namespace(cls).items():
            if type(descriptor) is MemberDescriptorType and _is_public(name):
                value = slot_value(descriptor, exception)
                if value is not MISSING:
                    yield name, value


BUILTIN_IDS: Final = frozenset(map(id, EVERY_BUILTIN.values()))
"""Of the classes, since a metaclass of the user would be asked for the hash of one."""


def _is_public(name: object) -> bool:
    return (
        type(name) is str
        and len(name) <= MAX_NAME
        and name[:1] != "_"
        and name.isidentifier()
        and name not in RESERVED
    )


def _size_of(value: object) -> int | None:
    """Give the size of what is data, in characters and values; None for all else, and too much."""
    size, items = 0, 0
    rest = [(value, 0)]
    while rest:
        value, depth = rest.pop()
        kind = type(value)
        items += 1
        size += 8
        if items > MAX_ITEMS or depth > MAX_DEPTH:
            return None
        if kind is str or kind is bytes:
            length = len(cast("str", value))
            if length > MAX_TEXT:
                return None
            size += length
        elif kind in CONTAINERS:
            parts: Any = value
            if len(parts) > MAX_ITEMS:
                return None
            rest += [(part, depth + 1) for part in list(parts)]
            if kind is dict:
                rest += [(part, depth + 1) for part in list(parts.values())]
        elif kind not in LEAVES:
            box = _scalar_of(value)
            if box is None:
                return None
            size += len(box.data) + len(getattr(box, "text", ""))
    return size


CONTAINERS: Final = frozenset({tuple, list, set, frozenset, dict})
LEAVES: Final = frozenset({type(None), bool, int, float, complex})


def _scalar_of(value: object) -> Any:
    try:
        return values.box_scalar(value) or arrays.box_scalar(value)
    except Exception:  # its class is the user's, and may be anything
        return None


def is_plain(value: object) -> bool:
    """Whether an attribute is of a kind that travels as it is."""
    kind = type(value)
    if kind is int:
        return -(2**63) <= value < 2**63  # type: ignore[operator] # mypy does not narrow by `kind`
    return value is None or kind is str or kind is bool or kind is float


# ---- in


def read_attributes(
    attributes: Mapping[str, Any], unbox: Callable[[Any], object]
) -> dict[str, object]:
    """Read the attributes that are data and small; the others are left out."""
    found = {}
    for name, value in islice(attributes.items(), MAX_ATTRIBUTES):
        if _is_inline(value):
            try:
                found[name] = unbox(value)
            except NotSendable:  # it needs a library that is missing here
                continue
    return found


def _is_inline(value: Any) -> bool:
    """Whether a wire value is data, all of it in the message itself, and small."""
    size, items = 0, 0
    rest = [(value, 0)]
    while rest:
        value, depth = rest.pop()
        kind = type(value)
        items += 1
        if kind is str:
            size += len(value)
        elif kind is codec.Bytes and value.index == -1:
            size += len(value.data)
        elif kind in SEQUENCES:
            rest += [(item, depth + 1) for item in value.items[: MAX_ITEMS + 1]]
        elif kind is codec.Map:
            rest += [(item, depth + 1) for item in islice(value.items.values(), MAX_ITEMS + 1)]
            size += sum(map(len, islice(value.items, MAX_ITEMS + 1)))
        elif kind is codec.Pairs:
            parts = value.keys[: MAX_ITEMS + 1] + value.values[: MAX_ITEMS + 1]
            rest += [(item, depth + 1) for item in parts]
        elif kind is codec.Scalar:
            size += len(value.text) + len(value.data)
        elif kind is codec.Array and value.shape is None and value.index == -1:
            size += len(value.data)
        elif kind not in LEAVES:
            return False
        if items > MAX_ITEMS or depth > MAX_DEPTH or size > 4 * MAX_TEXT:
            return False
    return True


SEQUENCES: Final = frozenset({codec.Tuple, codec.List, codec.Set, codec.Frozen})


def set_attributes(exception: BaseException, attributes: Mapping[str, object]) -> None:
    """Set attributes that `read_attributes` gave, where they hide nothing of the class."""
    for name, value in attributes.items():
        found = find(type(exception), name)
        if found is MISSING:
            if _is_public(name):
                exception.__dict__[name] = value
        elif name in ATTRIBUTES and is_kind_of(found, C_DESCRIPTORS):
            _set_builtin(exception, name, value)
        elif type(found) is MemberDescriptorType and _is_public(name) and not _is_builtin(found):
            with suppress(TypeError):  # a slot in C may take less than anything
                found.__set__(exception, value)


def _is_builtin(slot: MemberDescriptorType) -> bool:
    return id(slot.__objclass__) in BUILTIN_IDS


def _set_builtin(exception: BaseException, name: str, value: object) -> None:
    """Set what a builtin exception keeps outside of its dictionary, to what it may be."""
    if value is not None and is_plain(value):
        setattr(exception, name, value)
