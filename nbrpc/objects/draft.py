"""What stands between an object and its message: how it is to travel, and the draft.

A `Draft` is one message in the making: which of its objects are copied, the large data that goes
beside its body, the budgets that it has left, and what has to be undone when it is not sent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nbrpc.errors import LimitExceeded, NotSendable
from nbrpc.protocol.codec import Description, Same

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing

__all__ = [
    "ATTRIBUTE",
    "DATA",
    "DEEP",
    "SHALLOW",
    "ByReference",
    "ByValue",
    "Draft",
    "Refused",
    "by_reference",
    "by_value",
]

SHALLOW, ATTRIBUTE, DATA, DEEP = range(4)
"""How much of a value is copied. Each form copies what the one before it does, and more:

* ``SHALLOW``: values that never change, such as numbers, text and dates;
* ``ATTRIBUTE``: arrays, tables and frozen records as well;
* ``DATA``: lists, dicts, sets and the like, with references to what is no data inside;
* ``DEEP``: the same, and what cannot be copied is refused.
"""


class ByValue:
    """An argument or result that is to be copied; made by `by_value`."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj


class ByReference:
    """An argument or result that is to travel by reference, whatever it is; see `by_reference`."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj


def by_value(obj: object) -> Any:
    """Mark an argument or a result so that it travels as a copy, with all that is in it.

    Data is copied anyway; this refuses what is no data instead of sending a reference to it. What
    cannot be copied raises `NotSendable` with the path to it, when it is sent.
    """
    return obj if isinstance(obj, ByValue) else ByValue(obj)


def by_reference(obj: object) -> Any:
    """Mark an argument or a result so that it stays here, and the other side gets a proxy of it.

    For data that the other side is to change, or that is too large to be copied. Objects that are
    no data travel like that anyway.
    """
    return obj if isinstance(obj, ByReference) else ByReference(obj)


class Refused(NotSendable):
    """A value that cannot travel; containers prepend the step that led to it."""

    # What users see, here and at the peer, is the public class.
    __module__ = NotSendable.__module__
    __qualname__ = NotSendable.__qualname__

    def __init__(self, problem: str, obj: object) -> None:
        self.problem = problem
        self.type_name = type(obj).__name__
        self.path = ""
        super().__init__()
        self._tell()

    def _tell(self) -> None:
        where = f" at value{self.path}" if self.path else ""
        advice = "send it by reference, register its class with nbrpc.register_value, or convert it"
        article = "an" if self.type_name[:1].lower() in "aeiou" else "a"
        self.args = (f"{article} {self.type_name}{where} {self.problem}; {advice} first",)

    def prepend(self, step: str) -> None:
        """Note the step from a container to what is refused."""
        self.path = step + self.path
        self._tell()


Refused.__name__ = NotSendable.__name__  # the name that IPython shows


class Draft:
    """What a message in the making carries beside its body, and what to undo if it is not sent.

    Parameters
    ----------
    form
        How much is copied: SHALLOW, ATTRIBUTE, DATA or DEEP.
    back
        Whether this goes back to who asked, as results, items and attributes do. Paths in it mean
        files of this side.
    stays
        Whether what is lent here belongs to this side for good, as in classic mode: then what its
        methods give stays here too.
    """

    __slots__ = (
        "back",
        "boxing",
        "buffers",
        "classes",
        "depth",
        "elements",
        "form",
        "hashing",
        "keep",
        "lent",
        "numbers",
        "odd_keys",
        "opened",
        "seen",
        "sizes",
        "stays",
    )

    def __init__(
        self, boxing: Boxing, form: int = DATA, *, back: bool = False, stays: bool = False
    ) -> None:
        self.boxing = boxing
        self.form = form
        self.back = back
        self.stays = stays
        self.buffers: list[memoryview] = []
        self.lent: list[int] = []
        self.keep: list[object] = []
        """What has to live until the message is on its way."""
        self.classes: dict[int, tuple[object, Description]] = {}
        """Descriptions that the peer may not have, by number, with the keys of their classes."""
        self.elements = boxing.limits.elements
        self.odd_keys = boxing.limits.odd_keys
        self.depth = 0
        self.hashing = 0
        """How many containers of keys are around what is being boxed."""
        self.numbers = 0
        self.seen: dict[int, tuple[int, object]] = {}
        """Numbers of the objects that are in the message already, by their identities."""
        self.sizes: dict[int, int] = {}
        """Elements of those that are complete, with all that is in them, by their numbers."""
        self.opened: set[int] = set()
        """Numbers of those that cannot hold themselves and are not complete yet."""

    def same(self, obj: object) -> Same | None:
        """Refer to an object that is in this message already; otherwise it gets its number now.

        Raises
        ------
        NotSendable
            It is one that cannot hold itself, and does; or it is in a key, and has no hash.
        """
        if self.hashing:
            self._check_hash(obj)
        found = self.seen.setdefault(id(obj), (self.numbers, obj))
        number = found[0]
        # What is in keys is sent again: a hash could otherwise lead to references.
        if number == self.numbers or self.hashing:
            self.numbers += 1
            return None
        if number in self.opened:
            raise Refused("contains itself", obj)
        self.count(self.sizes.get(number, 0))  # the peer counts them each time
        return Same(number)

    def complete(self, obj: object, left: int) -> None:
        """Note how many elements an object has, of which ``left`` were left when it began."""
        self.sizes[self.seen[id(obj)][0]] = left - self.elements

    def _check_hash(self, obj: object) -> None:
        try:
            hash(obj)
        except TypeError:
            raise Refused("is in a key, and has no hash", obj) from None

    def restart(self) -> None:
        """Begin a value that is read without those before it."""
        self.seen.clear()
        self.sizes.clear()
        self.numbers = 0

    def checkpoint(self) -> tuple[int, ...]:
        """Give what `rollback` needs to forget an object that could not be boxed."""
        return self.form, self.depth, self.hashing, self.numbers, len(self.lent)

    def rollback(self, state: tuple[int, ...]) -> None:
        """Go on as if what was boxed since a checkpoint had not been tried."""
        self.form, self.depth, self.hashing, self.numbers, lent = state
        self.seen = {key: seen for key, seen in self.seen.items() if seen[0] < self.numbers}
        self.sizes = {number: size for number, size in self.sizes.items() if number < self.numbers}
        self.opened = {number for number in self.opened if number < self.numbers}
        self._give_back(self.lent[lent:])
        del self.lent[lent:]

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
                f"a message of over {self.boxing.limits.elements:,} elements cannot be sent: send "
                "an array, a generator, or nbrpc.by_reference(...) of it, or raise Limits.elements "
                "on both sides"
            )

    def count_keys(self, keys: Collection[Any]) -> None:
        """Take from the budgets what a set or a dictionary needs.

        Raises
        ------
        LimitExceeded
            There are too many in this message, or too many with equal hashes.
        """
        self.count(len(keys))
        self.odd_keys -= colliding(keys)
        if self.odd_keys < 0:
            raise LimitExceeded(
                f"a message with over {self.boxing.limits.odd_keys:,} keys or set members that "
                "have the same hash as another cannot be sent: send lists, or raise "
                "Limits.odd_keys on both sides"
            )

    def attach(self, data: Any) -> int:
        """Add an out-of-band buffer and give its number."""
        self.buffers.append(memoryview(data).cast("B"))
        return len(self.buffers) - 1

    def described(self) -> None:
        """Note that the peer will have the descriptions ahead of all later messages."""
        for key, _ in self.classes.values():
            self.boxing.known.add(key)
        self.classes.clear()

    def undo(self) -> None:
        """Take back the references of a message that will not be sent."""
        self._give_back(self.lent)

    def _give_back(self, lent: list[int]) -> None:
        with self.boxing.guard:
            dropped = [self.boxing.exports.release(oid, 1) for oid in lent]
        dropped.clear()


def colliding(keys: Collection[Any]) -> int:
    """Count the keys whose hash another key has.

    Equal hashes make a dictionary slow: each key is compared with all others. No peer can choose
    those of text and bytes, which do not count.

    Raises
    ------
    TypeError
        One of them has no hash.
    """
    hashes = [hash(key) for key in keys if type(key) is not str and type(key) is not bytes]
    return len(hashes) - len(set(hashes))
