"""What is done with a message whose structural part is too large: parts of it go beside it.

A list of values becomes a `Parts`, whose buffers hold some of the values each. What a buffer holds
is read under the same limit as a body, so the peer never has to take more at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from nbrpc.errors import TooLarge
from nbrpc.protocol import codec
from nbrpc.protocol.codec import Box, encode

__all__ = ["spilled"]

PART = 256 * 1024
"""Bytes from which a buffer is complete, and above which a value is looked into."""


HEAD = 5
"""Bytes of the longest head of a msgpack array."""

Attach = Callable[[bytes], int]


def spilled(value: Any, attach: Attach, most: int) -> Any:
    """Give what stands in a message for a field of it, with the large parts attached.

    Parameters
    ----------
    attach
        Adds a buffer, and gives its number.
    most
        Bytes of a body that the peer takes.

    Raises
    ------
    TooLarge
        A part of it has more and cannot be parted, or too many lists would travel in parts within
        each other.
    """
    if isinstance(value, Box):
        return msgspec.Raw(_encoded(value, attach, most)[0])
    if type(value) is list:
        return [spilled(item, attach, most) for item in value]
    if type(value) is dict:
        return {name: spilled(item, attach, most) for name, item in value.items()}
    return value


def _encoded(value: Any, attach: Attach, most: int) -> tuple[bytes, int]:
    """Encode a value; what is large in it leaves a few bytes there.

    Returns
    -------
    tuple
        The bytes, and how many lists in parts are within each other there.
    """
    data = encode(value)
    if len(data) <= min(PART, most // 2):
        return data, 0
    kind = type(value)
    if kind is codec.Map:
        value = codec.Pairs(list(value.items), list(value.items.values()))
        kind = codec.Pairs
    if kind is codec.Pairs:
        keys, within = _parts(value.keys, attach, most)
        values, more = _parts(value.values, attach, most)
        return encode(codec.Pairs(keys, values)), max(within, more)
    if kind in (codec.Tuple, codec.List, codec.Set, codec.Frozen):
        items, within = _parts(value.items, attach, most)
        return encode(kind(items)), within
    if kind is codec.Registered:
        items, within = _parts(value.fields, attach, most)
        return encode(codec.Registered(value.name, items)), within
    if kind is codec.Made:
        items, within = _parts(value.parts, attach, most)
        return encode(codec.Made(value.kind, items)), within
    return data, 0


def _parts(items: list[Any], attach: Attach, most: int) -> tuple[list[Any], int]:
    """Give the only item of a list whose values are in buffers; or them, once they are small."""
    indices: list[int] = []
    group: list[msgspec.Raw] = []
    size = within = 0
    part = min(PART, most // 2)
    for item in items:
        data, inner = _encoded(item, attach, most)
        within = max(within, inner)
        if len(data) + HEAD > most:
            raise TooLarge(
                f"a {type(item).__name__.lower()} in the message has {len(data):,} bytes, and the "
                f"peer takes {most:,}; send "
                "large data as bytes or arrays, or raise Limits.body on both sides"
            )
        if group and size + len(data) > part:
            indices.append(attach(encode(group)))
            group, size = [], 0
        group.append(msgspec.Raw(data))
        size += len(data)
    if not indices and size <= part:
        return group, within
    if within == codec.MOST_WITHIN:
        raise TooLarge(
            f"a value has more than {within} large containers within each other: send "
            "nbrpc.by_reference(...) of some of them, or several calls"
        )
    indices.append(attach(encode(group)))
    return [codec.Parts(indices)], within + 1
