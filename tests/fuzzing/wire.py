"""Wire values and messages of any structure, made quickly from seeds."""

from __future__ import annotations

import random
from typing import Any

from nbrpc.protocol import codec

SCALARS: tuple[Any, ...] = (
    None, True, 0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, float("nan"), float("inf"), "", "a",
    "x" * 300, "1,2", "0x1", "2020-01-01", "\0", "1e999999", "nan", "-", "\u0660",
)  # fmt: skip
KINDS = (
    "int", "complex", "date", "time", "datetime", "timedelta", "decimal", "fraction", "uuid",
    "path", "windows path", "ellipsis", "notimplemented", "nothing", "dtype", "s", "r", "b", "a",
    "u", "d", "q",
)  # fmt: skip
DTYPES = ("<f8", "|b1", "|O", "<M8[ns]", "<U0", "<i4", "V8", ">c16", "<f8,<i4", "S0", "", "O")
SPELLED = (
    "ff", "1.5", "1/3", "0x1p3,0x1p3", "1,2,3", "2020-01-01", "12:30", "2020-01-01T00:00:00+00:00",
    "12345678123456781234567812345678", "/tmp", "P1D", "1e9", "-1", "", "1" * 5000,
)  # fmt: skip


def value(chance: random.Random, depth: int = 0) -> Any:
    """Give a wire value, sense or not."""
    if depth > 5 or chance.random() < 0.35:
        return chance.choice(SCALARS)

    def items() -> list[Any]:
        return [value(chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2, 3)))]

    def number() -> int:
        return chance.choice((-1, 0, 1, 2, 5, 2**31, 2**63 - 1))

    way = chance.randrange(16)
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
        return codec.Array(chance.choice(DTYPES), shape, number(), chance.randbytes(8))
    if way == 12:
        return chance.choice((codec.Packed, codec.Table))(chance.choice(KINDS), number())
    if way == 13:
        return codec.Registered(chance.choice(KINDS), items())
    if way == 14:
        return codec.Ref(number(), number(), chance.choice((None, DESCRIPTION)))
    return codec.Home(number(), chance.choice(("", "a", "a.b", "__class__", ".")))


DESCRIPTION = codec.Description(
    "lab", "Stage", "instance", {"move": "method", "__class__": "data"}, ("__len__",), "list", "A."
)


def brine_value(chance: random.Random, depth: int = 0) -> Any:
    """Give what brine can hold."""
    if depth > 4 or chance.random() < 0.4:
        return chance.choice((*SCALARS[:-1], b"", b"abc", 2**200, ..., 1j, ("a.B", 7, 0)))
    if chance.random() < 0.1:
        return frozenset(chance.choices(SCALARS, k=chance.randrange(4)))
    inner = [brine_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 2, 3, 4)))]
    return tuple(inner) if chance.random() < 0.9 else slice(*(*inner, None, None, None)[:3])
