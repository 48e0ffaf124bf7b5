"""What stands between an object and its message: marks of how it is to travel, and the draft.

A `Draft` is one message in the making: the large data that goes beside its body, the budgets that
it has left, and what has to be undone when it is not sent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nbrpc.errors import LimitExceeded

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing

__all__ = ["ByReference", "ByValue", "Draft", "by_value"]


class ByValue:
    """An argument or result that is to be copied; made by `by_value`."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj


class ByReference:
    """A result that is to travel by reference, whatever it is."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj


def by_value(obj: object) -> Any:
    """Mark an argument or a result so that it travels as a copy.

    Containers, numpy arrays, pandas, polars and Arrow tables and registered classes can be copied;
    anything else inside raises `NotSendable` with the path to it, when it is sent.
    """
    return obj if isinstance(obj, ByValue) else ByValue(obj)


class Draft:
    """What a message in the making carries beside its body, and what to undo if it is not sent."""

    __slots__ = (
        "boxing",
        "buffers",
        "described",
        "elements",
        "hashing",
        "keep",
        "lent",
        "odd_keys",
    )

    def __init__(self, boxing: Boxing) -> None:
        self.boxing = boxing
        self.buffers: list[memoryview] = []
        self.lent: list[int] = []
        self.keep: list[object] = []
        """What has to live until the message is on its way."""
        self.described: list[object] = []
        self.elements = boxing.limits.elements
        self.odd_keys = boxing.limits.odd_keys
        self.hashing = 0
        """How many containers of keys are around what is being boxed."""

    def count(self, elements: int) -> None:
        """Take from the budget of elements; a peer that received more would end the connection.

        Raises
        ------
        LimitExceeded
            There are too many in this message.
        """
        self.elements -= elements
        if self.elements < 0:
            raise LimitExceeded(
                f"a message of over {self.boxing.limits.elements:,} elements cannot be sent; send "
                "an array, or raise Limits.elements on both sides"
            )

    def count_keys(self, keys: Collection[object]) -> None:
        """Take from the budgets what a set or a dictionary needs.

        Raises
        ------
        LimitExceeded
            There are too many in this message.
        """
        self.count(len(keys))
        self.odd_keys -= sum(type(key) is not str and type(key) is not bytes for key in keys)
        if self.odd_keys < 0:
            raise LimitExceeded(
                f"a message with over {self.boxing.limits.odd_keys:,} keys or set members that "
                "are neither str nor bytes cannot be sent; send lists, or raise Limits.odd_keys on "
                "both sides"
            )

    def attach(self, data: Any) -> int:
        """Add an out-of-band buffer and give its number."""
        self.buffers.append(memoryview(data).cast("B"))
        return len(self.buffers) - 1

    def sent(self) -> None:
        """Note that the message is on its way ahead of all later ones."""
        for key in self.described:
            self.boxing.known.add(key)

    def undo(self) -> None:
        """Take back the references of a message that will not be sent."""
        with self.boxing.guard:
            dropped = [self.boxing.exports.release(oid, 1) for oid in self.lent]
        dropped.clear()
