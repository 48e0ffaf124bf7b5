"""The tags of brine, and what both of its directions are bounded by."""

from __future__ import annotations

import struct
from typing import Final

from nbrpc.options import DEFAULT_LIMITS

__all__ = [
    "BYTES_1", "BYTES_4", "BYTES_LONG", "BYTES_SHORT", "COMPLEX", "ELLIPSIS", "EMPTY_BYTES",
    "EMPTY_TUPLE", "FALSE", "FLOAT", "FROZENSET", "INT_LONG", "INT_SHORT", "MAX_DEPTH",
    "MAX_DIGITS", "NOT_IMPLEMENTED", "NO_VALUE", "SLICE", "TEXT", "TRUE", "TUPLE_1", "TUPLE_2",
    "TUPLE_3", "TUPLE_4", "TUPLE_LONG", "TUPLE_SHORT", "U32", "WRAPPING", "ZERO",
]  # fmt: skip

WRAPPING: Final = 2
"""Levels by which a message may be deeper than `Limits.depth`: those around its values."""

MAX_DEPTH: Final = DEFAULT_LIMITS.depth + WRAPPING - 5
"""Levels of a value that is sent. An argument has five around it: message, body, box, tuple of
arguments, box. Then it is as deep as a peer with the usual limits takes it."""

MAX_DIGITS: Final = 4_300
"""Decimal digits of an int: what Python reads at most, since that takes quadratic time."""

NO_VALUE, EMPTY_BYTES, EMPTY_TUPLE, TRUE, FALSE, NOT_IMPLEMENTED, ELLIPSIS = range(7)
TEXT: Final = 0x08
BYTES_1, BYTES_4, BYTES_SHORT, BYTES_LONG = 0x0A, 0x0D, 0x0E, 0x0F
TUPLE_1, TUPLE_2, TUPLE_3, TUPLE_4, TUPLE_SHORT, TUPLE_LONG = range(0x10, 0x16)
INT_SHORT, INT_LONG, FLOAT, SLICE, FROZENSET, COMPLEX = range(0x16, 0x1C)
ZERO: Final = 0x50
"""The tag of the int 0; those of -48..159 lie around it."""

U32: Final = struct.Struct(">I")
