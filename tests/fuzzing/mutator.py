"""Bytes and texts made worse, from seeds: the same number gives the same again."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

INTERESTING = tuple(
    bytes.fromhex(text)
    for text in [
        "00",
        "01",
        "7f",
        "80",
        "ff",
        "0000",
        "ffff",
        "7fffffff",
        "80000000",
        "ffffffff",
        "00000000",
        "ffffffffffffffff",
        "7fffffffffffffff",
        "8000000000000000",
        "c0",
        "c1",
        "c2",
        "c3",
        "c4ff",
        "c5ffff",
        "c6ffffffff",
        "d9ff",
        "daffff",
        "dbffffffff",
        "dcffff",
        "ddffffffff",
        "deffff",
        "dfffffffff",
        "c7ff",
        "c8ffff",
        "c9ffffffff",
        "d4",
        "d8",
        "cb7ff8000000000000 90",
        "9f",
        "80",
        "8f",
        "a0",
        "bf",
        "e0",
        "93",
        "94",
        "9a",
        "0e",
        "11",
        "12",
        "16",
        "50",
        "53",
        "01000000",
        "00000100",
    ]
)
"""Lengths, heads of msgpack and of brine, and numbers at the edges of their widths."""

PIECES = (
    "exposed_", "__", "_", ".", "gi_", "cr_", "f_", "tb_", "co_", "func_", "im_", "ag_", "class",
    "globals", "dict", "code", "frame", "plain", "add", "size", "x", "len", "call", "getitem",
    "init", "reduce", "mro", "format", "\uff3f", "\uff43", "\u200b", "\0", " ", "\u0301", "a" * 100,
    "builtins", "self", "getattr", "rpyc", "voltage", "Inner", "path", "slot", "append",
)  # fmt: skip
"""What names are made of."""


def mutated(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """Change some bytes: flipped, replaced, cut out, doubled, or those of another one."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(changed) + 1)
        until = min(len(changed), at + chance.choice((1, 1, 2, 4, 8, 64)))
        way = chance.randrange(7)
        if way == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            changed[at:until] = chance.choice(INTERESTING)
        elif way == 2:
            changed[at:at] = chance.choice(INTERESTING)
        elif way == 3:
            del changed[at:until]
        elif way == 4:
            changed[at:at] = changed[at:until] * chance.choice((1, 2, 16))
        elif way == 5:
            other = chance.choice(corpus)
            start = chance.randrange(len(other) + 1)
            changed[at:until] = other[start : start + chance.choice((4, 16, 256))]
        else:
            changed[at:until] = chance.randbytes(until - at)
    return bytes(changed)


def in_parts(data: bytes, chance: random.Random) -> list[bytes]:
    """Cut bytes anywhere."""
    if chance.random() < 0.4:
        return [data]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6)))
    bounds = [0, *places, len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(bounds)]


def name(chance: random.Random) -> str:
    """Give what may be meant as a name."""
    text = "".join(chance.choices(PIECES, k=chance.choice((1, 2, 2, 3, 3, 4))))
    if chance.random() < 0.1:
        text += chr(chance.randrange(0xD800))
    return text
