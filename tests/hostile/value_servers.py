"""Traps by values that no honest server sends; the user gets one, shows, compares and copies it."""

from __future__ import annotations

import contextlib
from typing import Any

from nbrpc.protocol import codec, messages
from nbrpc.protocol.messages import Kind
from tests.hostile import values
from tests.hostile.native import Native
from tests.hostile.traps import Raises, Raw, trap


def given(payload: values.Payload) -> Raw:
    """Make an answer of a value and its buffers."""
    value, buffers = payload

    def act(link: Native, seq: int) -> None:
        with contextlib.suppress(OSError):
            link.send(Kind.REPLY, seq, value, buffers=buffers)

    return Raw(act)


for group, gain in (
    ("SHARED", "Hours, by what doubles when it is shown, or a value that is not complete."),
    ("PARTS", "Memory and time, or data that belongs to another value."),
    ("LIBRARIES", "64 MB and more for 4 KiB, or indices outside of arrays."),
):
    for name, payload in getattr(values, group).items():
        trap(f"a value of {group.lower()}: {name}", gain, "use", {"something": given(payload)})

for name, group in values.CLASSES.items():
    for number, value in enumerate(group):
        trap(
            f"{name} {number}",
            "Attributes that notebooks ask of every object, or what a terminal obeys.",
            "use",
            {"something": given((value, ())), "": values.SCRIPT},
        )


def of_ancestry(*ancestry: Any, **fields: Any) -> Raises:
    """Raise an exception of a class of the server's."""
    return Raises("lab.E", 1, ancestry=tuple(codec.Ancestor(*one) for one in ancestry), **fields)


for name, raised in {
    "SystemExit": of_ancestry(("SystemExit",)),
    "a class below SystemExit": of_ancestry(("lab.E", (1,)), ("SystemExit",)),
    "a class below itself": of_ancestry(("lab.E", (0,))),
    "classes in a circle": of_ancestry(("lab.E", (1,)), ("lab.F", (0,))),
    "a class of no place": of_ancestry(("lab.E", (2**62,))),
    "40 classes": of_ancestry(*((f"lab.E{n}", (n + 1,)) for n in range(40))),
    "a class with escapes": of_ancestry((values.ESCAPES, ())),
    "an exception of the user's": of_ancestry(("lab.E", ()), home=1),
    "no exception of the user's": of_ancestry(("lab.E", ()), home=2**63 - 1),
    "an exception of a number below 0": of_ancestry(("lab.E", ()), home=-1, number=-1),
}.items():
    for action in ("call", "error"):
        trap(
            f"{action} raising {name} by its ancestry",
            "The end of the user's program, a class without end, or what a terminal obeys.",
            action,
            {"fail": raised, "__call__": raised},
            members={"fail": "method"},
        )


def flood(link: Native, seq: int) -> None:
    """Fail again and again, each time by another class."""
    for number in range(3_000):
        ancestry = (codec.Ancestor(f"lab.E{number}"),)
        link.send(Kind.FAILURE, 10**6, messages.Error("lab.E", [], "", ancestry=ancestry, number=1))
    link.send(Kind.REPLY, seq, 1)


trap(
    "classes of exceptions for nobody",
    "Memory, by classes that stay.",
    "attribute",
    {"something": Raw(flood)},
)
