"""Wire values and messages of any structure, made quickly from seeds."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from nbrpc.objects import kinds, records, unboxing
from nbrpc.protocol import codec, messages

SCALARS: tuple[Any, ...] = (
    None, True, 0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, float("nan"), float("inf"), "", "a",
    "x" * 300, "1,2", "0x1", "2020-01-01", "\0", "1e999999", "nan", "-", "\u0660",
)  # fmt: skip
KINDS = (
    "int", "complex", "date", "time", "datetime", "timedelta", "decimal", "fraction", "uuid",
    "posix", "windows", "path", "ellipsis", "notimplemented", "address", "interface", "network",
    "nothing", "s", "r", "b", "a", "u", "d", "q",
)  # fmt: skip
DTYPES = ("<f8", "|b1", "|O", "<M8[ns]", "<U0", "<i4", "V8", ">c16", "<f8,<i4", "S0", "", "O")
SPELLED = (
    "ff", "1.5", "1/3", "0x1p3,0x1p3", "1,2,3", "2020-01-01", "12:30", "2020-01-01T00:00:00+00:00",
    "12345678123456781234567812345678", "/tmp", "P1D", "1e9", "-1", "", "1" * 5000,
)  # fmt: skip


def _kinds_of_made() -> dict[str, int]:
    """Give the kinds of the libraries that are installed, and how many parts each has."""
    for library in kinds.MODULES:
        with contextlib.suppress(ImportError):
            kinds._load(library)
    found = {name: len(kind.takes) for name, kind in kinds._by_name.items()}
    found |= dict.fromkeys((*records.KINDS, *unboxing.MEMBERS), 5)
    return found | {"exception class": 2, "nothing": 1, "os.system": 1}


MADE = _kinds_of_made()
PARTS: tuple[Any, ...] = (
    codec.List([1, "a"]), codec.Map({"a": 1}), codec.Map({}), codec.Tuple([2]), codec.Tuple([]),
    codec.Tuple(["x", "y"]), codec.Tuple([0, 2**40]), codec.Tuple(["lab.E", codec.Tuple([1])]),
    codec.Array("<i8", [1], 0), codec.Array("|b1", [8], 0), codec.Array("|u1", [8], 0),
    codec.Array("<M8[ns]", [1], 0), codec.Array("<f8", [1, 1], 0), codec.Bytes("b", -1, b"abc"),
    codec.Made("pandas.RangeIndex", [0, 1, 1, None]), codec.Made("numpy.dtype", ["<f8"]),
    codec.Made("pandas.CategoricalDtype", [codec.Made("pandas.RangeIndex", [0, 1, 1, None]), True]),
    codec.Made("pandas.offsets.Day", [1, False, codec.Tuple([])]), codec.Same(0), codec.Ref(1, 1),
    codec.Made("datetime.timezone", [60, 0, None]), codec.Parts([0]), codec.Table(0),
    *("plain", "objects", "texts", "structured", "L", "RGB", "UTC", "ns", "left", "h", "<f8"),
    *(False, True, None, 0, 1, 2, -1, 2**63 - 1),
)  # fmt: skip
"""What is a part of something, alone or beside others."""


def value(chance: random.Random, depth: int = 0) -> Any:
    """Give a wire value, sense or not."""
    if depth > 5 or chance.random() < 0.35:
        return chance.choice(SCALARS)

    def items() -> list[Any]:
        return [value(chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2, 3)))]

    def number() -> int:
        return chance.choice((-1, 0, 1, 2, 5, 2**31, 2**63 - 1))

    way = chance.randrange(20)
    if way < 4:
        return (codec.Tuple, codec.List, codec.Set, codec.Frozen)[way](items())
    if way == 4:
        return codec.Map({str(item): value(chance, depth + 1) for item in range(len(items()))})
    if way == 5:
        return codec.Pairs(items(), items())
    if way == 6:
        parts = [value(chance, depth + 3) for _ in range(3)]
        return codec.Slice(chance.choice("srx"), *parts)
    if way in {7, 8}:
        return codec.Scalar(chance.choice(KINDS), chance.choice(SPELLED), chance.randbytes(2))
    if way == 9:
        return codec.Scalar(chance.choice(KINDS), chance.choice(SPELLED))
    if way == 10:
        return codec.Bytes(chance.choice("bau?"), number(), chance.randbytes(5))
    if way == 11:
        shape = chance.choice((None, [], [1], [2, 2], [-1], [2**40, 2**40], [0, 2**62], [3]))
        order = chance.choice("CCF?")
        return codec.Array(chance.choice(DTYPES), shape, number(), chance.randbytes(8), order)
    if way == 12:
        return chance.choice((codec.Packed(chance.choice(KINDS), number()), codec.Table(number())))
    if way == 13:
        return codec.Registered(chance.choice(KINDS), items())
    if way == 14:
        return codec.Ref(number(), chance.choice((1, 2, number())), chance.choice(SPELLED))
    if way == 15:
        return codec.Same(chance.choice((0, 0, 1, 2, number())))
    if way == 16:
        return chance.choice((codec.List, codec.Tuple, codec.Frozen))([codec.Parts([number()])])
    if way in {17, 18}:
        return made(chance, depth)
    return codec.Home(number(), chance.choice(("", "a", "a.b", "__class__", ".")))


def made(chance: random.Random, depth: int) -> codec.Made:
    """Give a value of parts, with about as many as it may have."""
    kind = chance.choice(list(MADE))
    count = MADE[kind] if chance.random() < 0.9 else chance.randrange(4)
    parts = [
        chance.choice(PARTS) if chance.random() < 0.8 else value(chance, depth + 2)
        for _ in range(count)
    ]
    if kind in records.KINDS and chance.random() < 0.7:
        parts = [
            chance.choice(("Point", "class", "__class__", "a b", "_repr_html_")),
            codec.Tuple(["x", chance.choice(("y", "x", "_repr_html_", "__class__", "def"))]),
            True, chance.choice((None, "\x1b[2J")), 1, chance.choice(PARTS),
        ]  # fmt: skip
    return codec.Made(kind, parts)


def error(chance: random.Random, depth: int = 0) -> messages.Error:
    """Give an exception, sense or not."""

    def number() -> int:
        return chance.choice((0, 0, 1, 2, 64, -1, 2**63 - 1))

    def inner() -> messages.Error | None:
        return error(chance, depth + 1) if depth < 4 and chance.random() < 0.3 else None

    ancestry = tuple(
        codec.Ancestor(
            chance.choice(NAMES), tuple(chance.choices(range(-1, 5), k=chance.randrange(3)))
        )
        for _ in range(chance.choice((0, 1, 2, 3, 40)))
    )
    members = [member for member in (inner(), inner()) if member is not None]
    return messages.Error(
        chance.choice(NAMES), [value(chance, 3) for _ in range(chance.randrange(3))],
        chance.choice(SPELLED), chance.choice(SPELLED), [chance.choice(SPELLED)],
        {chance.choice(NAMES): value(chance, 3)}, inner(), inner(), members, number(), ancestry,
        number(), number(),
    )  # fmt: skip


NAMES = (
    "OSError", "lab.TooHot", "lab.Other", "SystemExit", "json.decoder.JSONDecodeError", "errno",
    "a\x1b[2J", "", ".", "StopIteration", "nbrpc.errors.AccessDenied", "args", "__class__",
)  # fmt: skip

DESCRIPTIONS = {
    1: codec.Description(
        "lab",
        "Stage",
        "instance",
        {"move": "method", "__class__": "data"},
        ("__len__",),
        "list",
        "",
    ),
    2: codec.Description("pathlib", "PosixPath", "instance", {}, (), "path", "", "a.B(C)"),
}
"""By their keys."""


def brine_value(chance: random.Random, depth: int = 0) -> Any:
    """Give what brine can hold."""
    if depth > 4 or chance.random() < 0.4:
        return chance.choice((*SCALARS[:-1], b"", b"abc", 2**200, ..., 1j, ("a.B", 7, 0)))
    if chance.random() < 0.1:
        return frozenset(chance.choices(SCALARS, k=chance.randrange(4)))
    inner = [brine_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 2, 3, 4)))]
    return tuple(inner) if chance.random() < 0.9 else slice(*(*inner, None, None, None)[:3])
