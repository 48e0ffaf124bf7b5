"""Attacks by values that no honest client sends; each is echoed, and used by the service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from nbrpc.protocol import codec, messages
from nbrpc.protocol.messages import Operation
from tests.hostile import values
from tests.hostile.attacks import MEGABYTE, Victim, attack
from tests.hostile.native import description, reference

PAGE = 25
"""Values of one connection, unless one of them ends it."""


def handed(target: Victim, payloads: Iterable[values.Payload]) -> None:
    """Hand values to a service; where one ends the connection, go on with another."""
    rest = list(payloads)
    while rest:
        with contextlib.suppress(OSError), target.let_in() as client:
            root = client.root()
            for _ in range(PAGE):
                if not rest:
                    return
                value, buffers = rest.pop()
                for method in ("echo", "used"):
                    if not client.ask(
                        Operation.CALL, root, method, value, buffers=buffers, respond=lambda _: 1
                    ):
                        break


def alone(groups: dict[str, list[Any]]) -> list[values.Payload]:
    """Give the values of all groups, without buffers."""
    return [(value, ()) for group in groups.values() for value in group]


@attack()
def values_that_refer_to_others(target: Victim) -> str | None:
    """A value before it is complete, one of other messages, or hours by one that doubles."""
    handed(target, values.SHARED.values())
    return None


@attack()
def values_in_parts(target: Victim) -> str | None:
    """Data of other values, a buffer as often as one likes, or the stack of the parser."""
    handed(target, values.PARTS.values())
    return None


@attack(budget=150 * MEGABYTE)
def values_in_large_parts(target: Victim) -> str | None:
    """Thirty times the memory of what is sent: of 8 MB, in all, one part is decoded at a time."""
    # Not those of 340,000 boxes: to decode one takes the parser a second, in whatever message.
    handed(target, [one for name, one in values.LARGE_PARTS.items() if "million" in name])
    return None


@attack()
def parts_that_are_something_else(target: Victim) -> str | None:
    """References where C code takes numbers, and what is called with parts of one's choice."""
    handed(target, alone(values.REFERENCES))
    return None


@attack()
def names_of_records_and_classes(target: Victim) -> str | None:
    """Attributes that Python and notebooks ask of every object."""
    handed(target, alone(values.CLASSES))
    return None


@attack()
def little_that_would_become_much(target: Victim) -> str | None:
    """64 MB and more for 4 KiB, or indices outside of arrays, by kinds of libraries."""
    handed(target, values.LIBRARIES.values())
    return None


@attack()
def exceptions_of_any_ancestry(target: Victim) -> str | None:
    """The end of code that catches every Exception, or an exception that is somebody else's."""
    chain = tuple(codec.Ancestor(f"lab.E{n}", (n + 1,)) for n in range(40))
    for ancestry in (
        (codec.Ancestor("SystemExit"),),
        (codec.Ancestor("lab.E", (1,)), codec.Ancestor("SystemExit")),
        (codec.Ancestor("lab.E", (1,)), codec.Ancestor("BaseException")),
        (codec.Ancestor("lab.E", (0,)),),
        (codec.Ancestor("lab.E", (1,)), codec.Ancestor("lab.F", (0,))),
        (codec.Ancestor("lab.E", (2**62,)),),
        (codec.Ancestor("lab.E", (-1,)),),
        (codec.Ancestor(values.ESCAPES),),
        chain,
    ):
        for home in (0, 1, 2, 5, -1, 2**63 - 1):
            error = messages.Error("lab.E", [1], "text", "text", ancestry=ancestry, home=home)
            with contextlib.suppress(OSError), target.let_in() as client:
                function = reference(1, 1, description(kind="function", specials=("__call__",)))
                answer = client.ask(
                    Operation.CALL, client.root(), "guarded", function, respond=lambda _, e=error: e
                )
                if type(answer) is messages.Reply and answer.value != "handled":
                    return f"{ancestry}: {answer.value!r}"
    return None


@attack()
def classes_of_exceptions_without_end(target: Victim) -> str | None:
    """Memory, by classes of exceptions and of records that stay."""
    record = [codec.Made("record", [f"P{n}", codec.Tuple([]), True, None]) for n in range(1_500)]
    error = [
        codec.Made("exception class", [codec.Tuple([f"lab.E{n}", codec.Tuple([])])])
        for n in range(1_500)
    ]
    for flood in (record, error):
        with contextlib.suppress(OSError), target.let_in() as client:
            root = client.root()
            for start in range(0, len(flood), 100):
                part = codec.List(flood[start : start + 100])
                if client.ask(Operation.CALL, root, "used", part) is None:
                    break
            else:
                return "1,500 classes were made"
    return None
