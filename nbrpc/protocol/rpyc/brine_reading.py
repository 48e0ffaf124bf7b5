"""Brine: how values of RPyC are read; `brine` says how they are written.

Reading goes over one iterator of the bytes, which texts and numbers move on. Each tag has a reader,
and those of small tuples are written out: most of what RPyC sends are pairs. What needs to be
counted over a message is counted only where it could matter: elements in messages of more bytes
than elements are allowed, members of frozensets where there is a byte that could be the tag of one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from nbrpc.errors import RemoteProtocolError
from nbrpc.options import DEFAULT_LIMITS, Limits
from nbrpc.protocol.rpyc.brine_tags import (
    BYTES_1,
    BYTES_4,
    BYTES_LONG,
    BYTES_SHORT,
    COMPLEX,
    EMPTY_BYTES,
    EMPTY_TUPLE,
    FLOAT,
    FROZENSET,
    INT_SHORT,
    MAX_DIGITS,
    SLICE,
    TEXT,
    TUPLE_1,
    TUPLE_LONG,
    TUPLE_SHORT,
    U32,
    WRAPPING,
    ZERO,
)

__all__ = ["loads"]

DOUBLE: Final = struct.Struct(">d")
TWO_DOUBLES: Final = struct.Struct(">dd")

Reader = Callable[[bytes, Callable[[], int], Any, int, Any], Any]
"""Reads the rest of a value whose tag was read.

It gets the bytes, the function that takes the next one, the iterator behind that, how many levels
may still follow, and the table of readers. The ``__length_hint__`` of the iterator is the number
of bytes that are left, and its ``__setstate__`` moves it.
"""

Readers = list[Reader]

OTHER: Final = object()
FIXED: Final[list[Any]] = [OTHER] * 256
"""The values that are their tag; `OTHER` stands for those that have more to read."""

FIXED[:7] = [None, b"", (), True, False, NotImplemented, ...]
FIXED[ZERO - 48 : ZERO + 160] = range(-48, 160)

CUT: Final = "a value ends before it is complete"
TOO_DEEP: Final = "a value is nested too deeply"

IDENTITIES: Final[dict[bytes, tuple[Any, ...]]] = {}
"""Bytes of identities (a name and two ints) that were read of late; nearly every message has one
again, and reading it takes a third of the time of all. Bounded, and nothing but a memory."""

MAX_IDENTITIES: Final = 1_024
MAX_IDENTITY: Final = 256
"""Bytes of one that is remembered."""


def loads(data: bytes, limits: Limits = DEFAULT_LIMITS, start: int = 0) -> Any:
    """Read one value; what follows it is ignored, as RPyC does.

    Parameters
    ----------
    start
        Where in the bytes it begins.

    Raises
    ------
    RemoteProtocolError
        The bytes are no value, or exceed a limit: ``depth`` (and two levels for the message around
        its values), ``elements``, ``odd_keys``, or 4,300 digits of an int.
    """
    readers = READERS
    if len(data) > limits.elements or b"\x1a" in data:
        readers = _counting(limits)
    source: Any = iter(data)
    if start:
        source.__setstate__(start)
    following = source.__next__
    try:
        tag = following()
        value = FIXED[tag]
        if value is OTHER:
            value = readers[tag](data, following, source, limits.depth + WRAPPING, readers)
        return value
    except (StopIteration, IndexError, struct.error):
        raise RemoteProtocolError(CUT) from None
    except UnicodeDecodeError:
        raise RemoteProtocolError("a text is not UTF-8") from None
    except RecursionError:
        raise RemoteProtocolError(TOO_DEEP) from None


def _read_unknown(
    data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> Any:
    tag = data[len(data) - source.__length_hint__() - 1]
    raise RemoteProtocolError(f"a value begins with an unknown tag (0x{tag:02x})")


def _take(data: bytes, source: Any, size: int) -> bytes:
    """Take so many bytes."""
    start = len(data) - source.__length_hint__()
    taken = data[start : start + size]
    if len(taken) != size:
        raise RemoteProtocolError(CUT)
    source.__setstate__(start + size)
    return taken


def _read_text(
    data: bytes, following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> str:
    tag = following()
    if tag == BYTES_SHORT:
        size = following()
    elif BYTES_1 <= tag <= BYTES_4:
        size = tag - 9
    elif tag == EMPTY_BYTES:
        return ""
    elif tag == BYTES_LONG:
        size = U32.unpack(_take(data, source, 4))[0]
    else:
        raise RemoteProtocolError(f"a text has the tag 0x{tag:02x} instead of one of bytes")
    start = len(data) - source.__length_hint__()
    end = start + size
    taken = data[start:end]
    if len(taken) != size:
        raise RemoteProtocolError(CUT)
    source.__setstate__(end)
    return taken.decode()


def _bytes_reader(size: int) -> Reader:
    def read_bytes(
        data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
    ) -> bytes:
        return _take(data, source, size)

    return read_bytes


def _read_short_bytes(
    data: bytes, following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> bytes:
    return _take(data, source, following())


def _read_long_bytes(
    data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> bytes:
    return _take(data, source, U32.unpack(_take(data, source, 4))[0])


def _read_short_int(
    data: bytes, following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> int:
    size = following()
    start = len(data) - source.__length_hint__()
    end = start + size
    source.__setstate__(end)
    digits = data[start:end]
    if len(digits) == size and digits.isdigit():
        return int(digits)
    return _number(digits, size)


def _number(digits: bytes, size: int) -> int:
    if len(digits) != size:
        raise RemoteProtocolError(CUT)
    # What int() takes beyond digits (spaces, underscores, a plus) is not RPyC's.
    if digits.isdigit() or (digits[:1] == b"-" and digits[1:].isdigit()):
        return int(digits)
    raise RemoteProtocolError("an int is not written in digits")


def _read_long_int(
    data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> int:
    size = U32.unpack(_take(data, source, 4))[0]
    digits = _take(data, source, min(size, MAX_DIGITS + 2))
    unsigned = digits.removeprefix(b"-")
    if len(unsigned) > MAX_DIGITS:
        raise RemoteProtocolError(f"an int has more than {MAX_DIGITS:,} digits")
    if not unsigned.isdigit():
        raise RemoteProtocolError("an int is not written in digits")
    try:
        return int(digits)
    except ValueError:  # the interpreter was set to a lower limit
        raise RemoteProtocolError("an int has more digits than this interpreter reads") from None


def _read_float(
    data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> Any:
    start = len(data) - source.__length_hint__()
    source.__setstate__(start + 8)
    return DOUBLE.unpack_from(data, start)[0]


def _read_complex(
    data: bytes, _following: Callable[[], int], source: Any, _depth: int, _readers: Readers
) -> complex:
    return complex(*TWO_DOUBLES.unpack(_take(data, source, 16)))


def _read_single(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    if not depth:
        raise RemoteProtocolError(TOO_DEEP)
    tag = following()
    one = FIXED[tag]
    if one is OTHER:
        one = readers[tag](data, following, source, depth - 1, readers)
    return (one,)


def _read_pair(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    if not depth:
        raise RemoteProtocolError(TOO_DEEP)
    tag = following()
    one = FIXED[tag]
    if one is OTHER:
        one = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    two = FIXED[tag]
    if two is OTHER:
        two = readers[tag](data, following, source, depth - 1, readers)
    return one, two


def _read_triple(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    if not depth:
        raise RemoteProtocolError(TOO_DEEP)
    start = len(data) - source.__length_hint__()
    end = 0
    if data[start] == TEXT and data[start + 1] == BYTES_SHORT:
        end = start + 3 + data[start + 2]
        for _ in ("two", "three"):
            tag = data[end]
            if tag == INT_SHORT:
                end += 2 + data[end + 1]
            else:  # if it is no int of a single byte, nothing of that length is remembered
                end += 1
        known = IDENTITIES.get(data[start:end])
        if known is not None:
            source.__setstate__(end)
            return known
    tag = following()
    one = FIXED[tag]
    if one is OTHER:
        one = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    two = FIXED[tag]
    if two is OTHER:
        two = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    three = FIXED[tag]
    if three is OTHER:
        three = readers[tag](data, following, source, depth - 1, readers)
    value = one, two, three
    if (
        end == len(data) - source.__length_hint__()
        and end - start <= MAX_IDENTITY
        and type(one) is str
        and type(two) is int
        and type(three) is int
    ):
        if len(IDENTITIES) >= MAX_IDENTITIES:
            IDENTITIES.clear()
        IDENTITIES[data[start:end]] = value
    return value


def _read_four(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    if not depth:
        raise RemoteProtocolError(TOO_DEEP)
    tag = following()
    one = FIXED[tag]
    if one is OTHER:
        one = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    two = FIXED[tag]
    if two is OTHER:
        two = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    three = FIXED[tag]
    if three is OTHER:
        three = readers[tag](data, following, source, depth - 1, readers)
    tag = following()
    four = FIXED[tag]
    if four is OTHER:
        four = readers[tag](data, following, source, depth - 1, readers)
    return one, two, three, four


def _read_items(
    data: bytes,
    following: Callable[[], int],
    source: Any,
    depth: int,
    readers: Readers,
    count: int,
) -> tuple[Any, ...]:
    """Read a tuple of so many items; numbers, which long ones often hold, are read in place."""
    if not depth:
        raise RemoteProtocolError(TOO_DEEP)
    size = len(data)
    position = size - source.__length_hint__()
    items: list[Any] = []
    while len(items) < count:
        tag = data[position]
        position += 1
        item = FIXED[tag]
        if item is OTHER:
            if tag == INT_SHORT:
                start = position + 1
                position = start + data[position]
                item = _number(data[start:position], position - start)
            elif tag == FLOAT:
                item = DOUBLE.unpack_from(data, position)[0]
                position += 8
            else:
                source.__setstate__(position)
                item = readers[tag](data, following, source, depth - 1, readers)
                position = size - source.__length_hint__()
        items.append(item)
    source.__setstate__(position)
    return tuple(items)


def _read_short_tuple(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    return _read_items(data, following, source, depth, readers, following())


def _read_long_tuple(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    count = U32.unpack(_take(data, source, 4))[0]
    if count > source.__length_hint__():
        raise RemoteProtocolError(f"a tuple promises {count:,} items, more than there are bytes")
    return _read_items(data, following, source, depth, readers, count)


def _read_slice(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> slice:
    parts = _read_tuple(data, following, source, depth, readers)
    if len(parts) != 3:
        raise RemoteProtocolError(f"a slice has {len(parts):,} parts instead of 3")
    return slice(*parts)


def _read_tuple(
    data: bytes, following: Callable[[], int], source: Any, depth: int, readers: Readers
) -> tuple[Any, ...]:
    """Read the tuple of which a slice or a frozenset is made."""
    tag = following()
    if tag == EMPTY_TUPLE:
        return ()
    if not TUPLE_1 <= tag <= TUPLE_LONG:
        raise RemoteProtocolError("a slice or a frozenset is not made of a tuple")
    items: tuple[Any, ...] = readers[tag](data, following, source, depth, readers)
    return items


READERS: Final[Readers] = [_read_unknown] * 256
READERS[TEXT] = _read_text
READERS[BYTES_1 : BYTES_4 + 1] = [_bytes_reader(size) for size in range(1, 5)]
READERS[BYTES_SHORT : BYTES_LONG + 1] = [_read_short_bytes, _read_long_bytes]
READERS[TUPLE_1 : TUPLE_LONG + 1] = [
    _read_single,
    _read_pair,
    _read_triple,
    _read_four,
    _read_short_tuple,
    _read_long_tuple,
]
READERS[INT_SHORT : SLICE + 1] = [_read_short_int, _read_long_int, _read_float, _read_slice]
READERS[COMPLEX] = _read_complex

# ---- reading what has to be counted


def _counting(limits: Limits) -> Readers:
    """Give readers for one message that count its elements and the odd members of its sets."""
    counter = _Counter(limits)
    readers = READERS.copy()
    readers[TUPLE_1 : TUPLE_LONG + 1] = [counter.read_tuple] * 6
    readers[FROZENSET] = counter.read_frozenset
    return readers


class _Counter:
    """What one message may still bring."""

    __slots__ = ("elements", "odd_keys")

    def __init__(self, limits: Limits) -> None:
        self.elements = limits.elements
        self.odd_keys = limits.odd_keys

    def read_tuple(
        self,
        data: bytes,
        following: Callable[[], int],
        source: Any,
        depth: int,
        readers: Readers,
    ) -> Any:
        start = len(data) - source.__length_hint__()
        tag = data[start - 1]
        if tag < TUPLE_SHORT:
            count = tag - TUPLE_1 + 1
        else:
            count = data[start] if tag == TUPLE_SHORT else U32.unpack_from(data, start)[0]
        self.elements -= count
        if self.elements < 0:
            raise RemoteProtocolError("a message has more elements than Limits.elements allows")
        return READERS[tag](data, following, source, depth, readers)

    def read_frozenset(
        self,
        data: bytes,
        following: Callable[[], int],
        source: Any,
        depth: int,
        readers: Readers,
    ) -> frozenset[Any]:
        members = _read_tuple(data, following, source, depth, readers)
        self.odd_keys -= _odd_members(members)
        if self.odd_keys < 0:
            raise RemoteProtocolError(
                "frozensets of a message have more members that are neither str nor bytes than "
                "Limits.odd_keys allows"
            )
        try:
            return frozenset(members) if members else EMPTY_FROZENSET
        except TypeError:  # a slice, before Python 3.12
            raise RemoteProtocolError("a member of a frozenset cannot be hashed") from None


EMPTY_FROZENSET: Final[frozenset[Any]] = frozenset()
"""One for all: an empty set takes 200 bytes of memory, and two on the wire."""


def _odd_members(members: tuple[Any, ...]) -> int:
    """Count members whose hashes can be made to collide, and what in them is compared as well.

    Members of frozensets within were counted when those were read.
    """
    count = 0
    waiting = [members]
    while waiting:
        for member in waiting.pop():
            kind = type(member)
            if kind is not str and kind is not bytes:
                count += 1
                if kind is tuple:
                    waiting.append(member)
                elif kind is slice:
                    waiting.append((member.start, member.stop, member.step))
    return count
