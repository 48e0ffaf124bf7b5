"""What a value looks like on the wire, and the msgpack encoder for it.

A value is None, a bool, an int of 64 bits, a float, a str, or one of the box structs below. The
boxes are tagged array-like structs, and `Value` is a closed union of them: msgspec refuses
everything else while it parses. A bare msgpack map or array is therefore never a value, which
leaves a peer no way to build a dictionary of its own choosing of keys (colliding hashes) or an
unbounded tree that nobody asked for.

What turns Python objects into boxes and back lives in ``nbrpc.objects.boxing``.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from nbrpc.errors import RemoteProtocolError

__all__ = [
    "Ancestor",
    "Array",
    "Box",
    "Bytes",
    "Frozen",
    "Home",
    "List",
    "Made",
    "Map",
    "Packed",
    "Pairs",
    "Parts",
    "Ref",
    "Registered",
    "Same",
    "Scalar",
    "Set",
    "Slice",
    "Table",
    "Tuple",
    "Value",
    "decoder",
    "encode",
]

MIN_INT = -(2**63)
MAX_INT = 2**64 - 1
"""msgpack's integers; larger ones travel as `Scalar`."""

MOST_WITHIN = 4
"""Lists in `Parts` within each other: one part of each may be decoded at a time."""


class Box(msgspec.Struct, array_like=True):
    """The base of everything on the wire that is not a plain msgpack scalar."""


class Bytes(Box, tag=1):
    """Binary data, or a str that is long or has lone surrogates.

    ``kind`` is ``b`` (bytes), ``a`` (bytearray) or ``u`` (str, as UTF-8 with lone
    surrogates let through).

    ``index`` is the number of the out-of-band buffer that holds the data, or -1 when it is here.
    """

    kind: str
    index: int
    data: bytes = b""


class Tuple(Box, tag=2):
    """A tuple."""

    items: list["Value"]


class List(Box, tag=3):
    """A list."""

    items: list["Value"]


class Set(Box, tag=4):
    """A set."""

    items: list["Value"]


class Frozen(Box, tag=5):
    """A frozenset."""

    items: list["Value"]


class Map(Box, tag=6):
    """A dict whose keys are all str."""

    items: dict[str, "Value"]


class Pairs(Box, tag=7):
    """A dict with other keys."""

    keys: list["Value"]
    values: list["Value"]


class Scalar(Box, tag=8):
    """A small immutable value with a text form; ``kind`` is a key of ``values.SCALARS``.

    A text with lone surrogates, such as the path of a file with a broken name, is in ``data``
    instead, as UTF-8 with those let through.
    """

    kind: str
    text: str
    data: bytes = b""


class Slice(Box, tag=9):
    """A slice (``kind`` is ``s``) or a range (``r``)."""

    kind: str
    start: "Value"
    stop: "Value"
    step: "Value"


class Packed(Box, tag=10):
    """A list of numbers in one out-of-band buffer; ``kind`` is ``d`` (float64) or ``q`` (int64)."""

    kind: str
    index: int


class Array(Box, tag=11):
    """A numpy array, or a numpy scalar when ``shape`` is None; ``dtype`` is ``numpy.dtype.str``.

    The elements of an array are in the out-of-band buffer ``index``, in the order ``order``: ``C``
    (the last index runs fastest) or ``F`` (the first one does). Those of a scalar are in ``data``,
    and ``index`` is -1.
    """

    dtype: str
    shape: list[int] | None
    index: int
    data: bytes = b""
    order: str = "C"


class Table(Box, tag=12):
    """A table of Arrow as an IPC stream in the out-of-band buffer ``index``."""

    index: int


class Registered(Box, tag=13):
    """A member of a class that both sides registered under ``name``."""

    name: str
    fields: list["Value"]


class Ref(Box, tag=14):
    """An object of the sender; the receiver makes a proxy, and owes the sender a release.

    ``key`` numbers the description of its class within this connection and direction; a `Describe`
    message with it came before. ``text`` is what the receiver knows of the object without asking:
    of a path its text, of the member of an enumeration its name.
    """

    oid: int
    key: int
    text: str | None = None


class Home(Box, tag=15):
    """An object of the receiver, on its way home; ``path`` is an attribute of it, or empty."""

    oid: int
    path: str = ""


class Made(Box, tag=16):
    """A value made of parts; ``kind`` is a name in the closed tables of ``objects.kinds``."""

    kind: str
    parts: list["Value"]


class Same(Box, tag=17):
    """The same object as an earlier one of this message.

    Lists, dicts, sets, bytearrays, arrays, tables and `Made` values are numbered from 0 in the
    order in which they begin; the values of a message are in the order of its fields.
    """

    number: int


class Parts(Box, tag=18):
    """The only item of a list of values, in place of items that would make the body too large.

    Each of the out-of-band buffers holds some of them, as a msgpack array. Such lists stand at most
    `MOST_WITHIN` deep.
    """

    indices: list[int]


class Ancestor(msgspec.Struct, frozen=True, array_like=True):
    """One class of an ancestry: a list of an exception class and those from which it derives.

    ``name`` has the module, unless that is builtins; ``bases`` are the places of its own bases in
    the list, each of them further on.
    """

    name: str
    bases: tuple[int, ...] = ()


class Description(msgspec.Struct, frozen=True, array_like=True):
    """What a proxy knows about the class of its object.

    ``kind`` is instance, class, module or function; ``members`` maps visible names to method,
    coroutine, generator, property, class, module, event or data; ``specials`` are the special
    methods that may be used; ``base`` is the builtin container that the class derives from, or
    ``path``. ``enumeration`` is the name of an enumeration and of its members, by which those of
    both sides are compared.
    """

    module: str
    name: str
    kind: str
    members: dict[str, str]
    specials: tuple[str, ...]
    base: str | None
    doc: str
    enumeration: str = ""


Value = Union[  # noqa: UP007 - with | it would be twenty lines
    None, bool, int, float, str, Bytes, Tuple, List, Set, Frozen, Map, Pairs, Scalar, Slice,
    Packed, Array, Table, Registered, Ref, Home, Made, Same, Parts,
]  # fmt: skip

encode = msgspec.msgpack.Encoder().encode
"""Any tuple of values to msgpack."""

check = msgspec.msgpack.Decoder(msgspec.Raw).decode


class decoder:  # noqa: N801 - used like a function
    """A function from bytes to one message class.

    The bytes are walked once without building anything, so that a length that promises more
    elements than there are bytes is refused before memory is taken for it; only then are they
    decoded against the closed types of this module.
    """

    __slots__ = ("decode",)

    def __init__(self, kind: type[Any]) -> None:
        self.decode = msgspec.msgpack.Decoder(kind).decode

    def __call__(self, data: bytes) -> Any:
        """Decode one message.

        Raises
        ------
        RemoteProtocolError
            The bytes are not that message.
        """
        try:
            check(data)
            return self.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteProtocolError(f"a message is malformed: {error}") from None
        except RecursionError:
            raise RemoteProtocolError("a message is nested too deeply") from None
