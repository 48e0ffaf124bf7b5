"""Brine: how RPyC writes values.

A value is a tag of one byte and what belongs to it::

    00 None   01 b""   02 ()   03 True   04 False   05 NotImplemented   06 Ellipsis
    08 and bytes in one of the forms below     str, as UTF-8
    0a..0d and 1..4 bytes                      bytes
    0e u8 length, 0f u32 length, and bytes     longer bytes
    10..13 and 1..4 values                     tuple
    14 u8 count, 15 u32 count, and values      longer tuple
    16 u8 length, 17 u32 length, and digits    int, in decimal
    18 and 8 bytes, 1b and 16 bytes            float, complex
    19, 1a and a tuple                         slice, frozenset
    20..ef                                     the ints -48..159

Lengths, counts and floats are big-endian. Only values of exactly these types are written; those of
subclasses are objects, which travel by reference.

This is on the path of every call, so what is common is written out in place: a Python call saved
is worth a tenth of a microsecond. Reading is in `brine_reading`.

Source: observed with RPyC 6.0.2; the same in 4.1.5 and 5.3.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import EllipsisType, NoneType, NotImplementedType
from typing import Any, Final

from nbrpc.errors import NotSendable
from nbrpc.protocol.rpyc.brine_reading import loads
from nbrpc.protocol.rpyc.brine_tags import (
    BYTES_1,
    BYTES_LONG,
    BYTES_SHORT,
    COMPLEX,
    ELLIPSIS,
    EMPTY_BYTES,
    EMPTY_TUPLE,
    FALSE,
    FLOAT,
    FROZENSET,
    INT_LONG,
    INT_SHORT,
    MAX_DEPTH,
    MAX_DIGITS,
    NOT_IMPLEMENTED,
    SLICE,
    TEXT,
    TRUE,
    TUPLE_1,
    TUPLE_LONG,
    TUPLE_SHORT,
    ZERO,
)

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "dumps", "encode_tuple_header", "is_dumpable", "loads"]

TOO_LARGE: Final = 10**MAX_DIGITS
TOO_SMALL: Final = -TOO_LARGE

TAGGED_U32: Final = struct.Struct(">BI")
TAGGED_FLOAT: Final = struct.Struct(">Bd")
TAGGED_COMPLEX: Final = struct.Struct(">Bdd")

IMMEDIATE: Final = [bytes([ZERO + n]) for n in (*range(160), *range(-48, 0))]
"""The ints -48..159; a negative one is its own index from the end."""

BYTES_HEADS: Final = [
    bytes([EMPTY_BYTES]),
    *(bytes([BYTES_1 - 1 + n]) for n in range(1, 5)),
    *(bytes([BYTES_SHORT, n]) for n in range(5, 256)),
]
TEXT_HEADS: Final = [bytes([TEXT]) + head for head in BYTES_HEADS]
TUPLE_HEADS: Final = [
    bytes([EMPTY_TUPLE]),
    *(bytes([TUPLE_1 - 1 + n]) for n in range(1, 5)),
    *(bytes([TUPLE_SHORT, n]) for n in range(5, 256)),
]
INT_HEADS: Final = [bytes([INT_SHORT, n]) for n in range(256)]
TRUE_BYTE, FALSE_BYTE = bytes([TRUE]), bytes([FALSE])


def dumps(value: object, depth: int = MAX_DEPTH) -> bytes:
    """Write a value.

    Parameters
    ----------
    depth
        How many tuples, frozensets and slices may stand within each other.

    Raises
    ------
    NotSendable
        It, or something in it, is of another type, nested deeper, an int of more than 4,300 digits,
        a text with half a character (a lone surrogate), or longer than 32 bits count.
    """
    pieces: list[bytes] = []
    try:
        _write((value,), pieces, depth)
    except UnicodeEncodeError:
        raise NotSendable("a text has lone surrogates, which UTF-8 cannot hold") from None
    except struct.error:
        raise NotSendable("a value is longer than RPyC's format can say (4 GiB)") from None
    return b"".join(pieces)


def encode_tuple_header(count: int) -> bytes:
    """Give the bytes that stand before the items of a tuple.

    Raises
    ------
    NotSendable
        There are more items than the format can count.
    """
    if count < 256:
        return TUPLE_HEADS[count]
    if count >= 2**32:
        raise NotSendable("a tuple is longer than RPyC's format can count")
    return TAGGED_U32.pack(TUPLE_LONG, count)


def _write(values: tuple[Any, ...], pieces: list[bytes], depth: int) -> None:
    for value in values:
        kind = type(value)
        if kind is int:
            if -48 <= value < 160:
                pieces.append(IMMEDIATE[value])
            elif -0xFFFF_FFFF_FFFF_FFFF <= value <= 0xFFFF_FFFF_FFFF_FFFF:  # counters, addresses
                digits = b"%d" % value
                pieces.append(INT_HEADS[len(digits)])
                pieces.append(digits)
            else:
                _write_int(value, pieces)
        elif kind is tuple:
            size = len(value)
            pieces.append(TUPLE_HEADS[size] if size < 256 else encode_tuple_header(size))
            if size:
                if not depth:
                    raise NotSendable("a value is nested too deeply to be sent")
                _write(value, pieces, depth - 1)
        elif kind is str:
            data = value.encode()
            size = len(data)
            if size < 256:
                pieces.append(TEXT_HEADS[size])
            else:
                pieces.append(b"\x08" + TAGGED_U32.pack(BYTES_LONG, size))
            pieces.append(data)
        else:
            writer = WRITERS.get(kind)
            if writer is None:
                raise NotSendable(
                    f"a value of type {kind.__name__[:80]} cannot travel by value to RPyC"
                )
            writer(value, pieces, depth)


def _write_int(value: int, pieces: list[bytes]) -> None:
    if not TOO_SMALL < value < TOO_LARGE:
        raise NotSendable(f"an int of more than {MAX_DIGITS:,} digits cannot travel to RPyC")
    try:
        digits = b"%d" % value
    except ValueError:  # the interpreter was set to a lower limit
        raise NotSendable("an int has more digits than this interpreter writes") from None
    size = len(digits)
    pieces.append(INT_HEADS[size] if size < 256 else TAGGED_U32.pack(INT_LONG, size))
    pieces.append(digits)


def _write_bytes(value: bytes, pieces: list[bytes], _depth: int) -> None:
    size = len(value)
    pieces.append(BYTES_HEADS[size] if size < 256 else TAGGED_U32.pack(BYTES_LONG, size))
    pieces.append(value)


def _write_slice(value: slice, pieces: list[bytes], depth: int) -> None:
    pieces.append(bytes([SLICE]))
    _write(((value.start, value.stop, value.step),), pieces, depth)


def _write_frozenset(value: frozenset[Any], pieces: list[bytes], depth: int) -> None:
    pieces.append(bytes([FROZENSET]))
    _write((tuple(value),), pieces, depth)


WRITERS: Final[dict[type, Callable[[Any, list[bytes], int], None]]] = {
    NoneType: lambda _value, pieces, _depth: pieces.append(b"\x00"),
    bool: lambda value, pieces, _depth: pieces.append(TRUE_BYTE if value else FALSE_BYTE),
    float: lambda value, pieces, _depth: pieces.append(TAGGED_FLOAT.pack(FLOAT, value)),
    bytes: _write_bytes,
    complex: lambda value, pieces, _depth: pieces.append(
        TAGGED_COMPLEX.pack(COMPLEX, value.real, value.imag)
    ),
    slice: _write_slice,
    frozenset: _write_frozenset,
    NotImplementedType: lambda _value, pieces, _depth: pieces.append(bytes([NOT_IMPLEMENTED])),
    EllipsisType: lambda _value, pieces, _depth: pieces.append(bytes([ELLIPSIS])),
}
"""How the types are written that `_write` does not do in place."""

ALWAYS: Final = frozenset([NoneType, bool, float, bytes, complex, NotImplementedType, EllipsisType])
"""Types of which every value can be written."""


def is_dumpable(value: object, depth: int = MAX_DEPTH) -> bool:
    """Whether `dumps` would write a value, unless a part of it is longer than 32 bits count."""
    return _are_dumpable((value,), depth)


def _are_dumpable(values: Any, depth: int) -> bool:
    for value in values:
        kind = type(value)
        if kind is str:
            if not (value.isascii() or _is_text(value)):
                return False
        elif kind is int:
            if not -(2**64) < value < 2**64 and not TOO_SMALL < value < TOO_LARGE:
                return False
        elif kind is tuple or kind is frozenset:
            if value and not (depth and _are_dumpable(value, depth - 1)):
                return False
        elif kind is slice:
            parts = (value.start, value.stop, value.step)
            if not (depth and _are_dumpable(parts, depth - 1)):
                return False
        elif kind not in ALWAYS:
            return False
    return True


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
