"""The exceptions of one connection: classes that stand for the peer's, and what comes home.

An exception class of the peer that no table knows becomes a class of this side, derived from
`Rebuilt` and from what stands for its bases. There is one for each name on a connection, so that
``except dev.InstrumentError`` catches what the peer raises of that class.

An exception of ours that the peer was sent is kept for a while under a number. When the peer lets
it pass, it comes back with that number, and is raised here as the object that it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.known_errors import (
    BUILTINS,
    EVERY_BUILTIN,
    LONGEST_NAME,
    OWN,
    STOPS,
    known_class,
    name_of_class,
)
from nbrpc.objects.rebuilt import Rebuilt, derived, standing_for
from nbrpc.objects.static import lineage
from nbrpc.protocol.codec import Ancestor

__all__ = [
    "ErrorClasses",
    "ancestry_in",
    "ancestry_of",
    "parts_of_class",
]

MOST_CLASSES: Final = 1_000
MOST_ANCESTORS: Final = 32
MOST_KEPT: Final = 64
"""Exceptions of ours that may come home: each keeps its frames alive."""


def ancestry_of(cls: type) -> tuple[Ancestor, ...]:
    """Give an exception class and what it derives from; nothing of one that both sides know."""
    if issubclass(cls, Rebuilt):
        known = cls._nbrpc_known_
        return cls._nbrpc_ancestry_ if known is None else ancestry_of(known)
    name = name_of_class(cls)
    if EVERY_BUILTIN.get(name) is cls or OWN.get(name) is cls:
        return ()
    classes = [base for base in lineage(cls) if base is not object and base is not BaseException]
    classes = classes[:MOST_ANCESTORS]
    places = {id(base): place for place, base in enumerate(classes)}
    return tuple(
        Ancestor(
            name_of_class(base),
            tuple(places[id(b)] for b in base.__bases__ if id(b) in places)
            if EVERY_BUILTIN.get(name_of_class(base)) is not base
            else (),
        )
        for base in classes
    )


class ErrorClasses:
    """The exceptions of one connection."""

    __slots__ = ("__weakref__", "_classes", "_kept", "_next", "_numbers", "_sent")

    def __init__(self) -> None:
        self._classes: dict[str, type[Any]] = {}
        self._sent: dict[str, type[Any]] = {}
        self._kept: OrderedDict[int, tuple[BaseException, int]] = OrderedDict()
        self._next = 1
        self._numbers: WeakKeyDictionary[BaseException, int] = WeakKeyDictionary()
        """Of the exceptions that came from the peer: the numbers under which it keeps them."""

    # ---- classes

    def class_of(self, ancestry: Sequence[Ancestor]) -> type[Any] | None:
        """Give the class of exceptions for the first of an ancestry; None if it has none.

        Raises
        ------
        RemoteProtocolError
            It is no ancestry, or there are too many classes.
        """
        if not ancestry:
            return None
        found = self._found(ancestry)
        return found if issubclass(found, Rebuilt) else standing_for(found)

    def _found(self, ancestry: Sequence[Ancestor]) -> type[Any]:
        """Give the class that both sides know, or the one that stands for the peer's."""
        if len(ancestry) > MOST_ANCESTORS:
            raise RemoteProtocolError("an exception has too many base classes")
        made: list[type[Any]] = [Exception] * len(ancestry)
        for place in range(len(ancestry) - 1, -1, -1):
            name, bases = ancestry[place].name, ancestry[place].bases
            if any(not place < base < len(ancestry) for base in bases):
                raise RemoteProtocolError("an exception has base classes that are none")
            found = _shared_class(name) or self._classes.get(name)
            if found is None:
                if len(self._classes) >= MOST_CLASSES:
                    raise RemoteProtocolError(
                        f"over {MOST_CLASSES:,} classes of exceptions arrived"
                    )
                unique = dict.fromkeys(made[base] for base in bases)
                found = derived(name, [base for base in unique if base is not Exception])
                found._nbrpc_ancestry_ = tuple(
                    Ancestor(other.name, tuple(base - place for base in other.bases))
                    for other in ancestry[place:]
                )
                self._classes[name] = found
            made[place] = found
        return made[0]

    def note(self, cls: type[Any]) -> None:
        """Note a class that is sent, so that it is known when it comes back."""
        if len(self._sent) >= MOST_CLASSES:
            self._sent.clear()
        self._sent[name_of_class(cls)] = cls

    def class_named(self, ancestry: Sequence[Ancestor]) -> type[Any]:
        """Give the class that the peer means: one of ours that it was sent, or what stands for it.

        Raises
        ------
        RemoteProtocolError
            It is none.
        """
        if not ancestry:
            raise RemoteProtocolError("a class of exceptions has no name")
        name = ancestry[0].name
        return self._sent.get(name) or STOPS.get(name) or self._found(ancestry)

    # ---- exceptions that come home

    def keep(self, exception: BaseException, parent: int) -> int:
        """Keep an exception that is sent out of a call of ours, and give its number."""
        number, self._next = self._next, self._next + 1
        self._kept[number] = exception, parent
        while len(self._kept) > MOST_KEPT:
            try:
                self._kept.popitem(last=False)
            except KeyError:
                break  # another thread was here first
        return number

    def ours(self, number: int, call: int) -> BaseException | None:
        """Give an exception of ours that comes home from a call; None if it is not kept any more.

        One that ends programs comes home from the call that it left through only: the peer is not
        to choose the moment.
        """
        exception, parent = self._kept.pop(number, (None, 0))
        harmless = isinstance(exception, Exception) or (parent == call and call != 0)
        return exception if harmless else None

    def note_origin(self, exception: BaseException, number: int) -> None:
        """Note of an exception of the peer which one of it that is."""
        self._numbers[exception] = number

    def home_of(self, exception: BaseException) -> int:
        """Give the number under which the peer keeps an exception; 0 if it is none of its."""
        # Of the user's classes none is asked: a hash could be theirs.
        came = issubclass(type(exception), Rebuilt) or type(exception) in OWN_CLASSES
        return self._numbers.get(exception, 0) if came else 0


OWN_CLASSES: Final = frozenset(OWN.values())


def _shared_class(name: str) -> type[Any] | None:
    """Give the class that both sides know by this name, as one to derive from."""
    if name in STOPS:
        return RuntimeError  # as Python has it where a StopIteration would go astray
    return BUILTINS.get(name) or OWN.get(name) or known_class(name)


def parts_of_class(cls: type[Any]) -> tuple[object, ...]:
    """Give an exception class as what travels: the names and places of its ancestry."""
    ancestry = ancestry_of(cls) or (Ancestor(name_of_class(cls)),)
    return tuple((ancestor.name, ancestor.bases) for ancestor in ancestry)


def ancestry_in(parts: Sequence[object]) -> list[Ancestor]:
    """Read what `parts_of_class` gave.

    Raises
    ------
    RemoteProtocolError
        It is nothing of that kind.
    """
    found = []
    for part in parts[: MOST_ANCESTORS + 1]:
        name, bases = part if type(part) is tuple and len(part) == 2 else (None, None)
        if type(name) is not str or type(bases) is not tuple or {*map(type, bases)} - {int}:
            raise RemoteProtocolError("a class of exceptions cannot be read")
        found.append(Ancestor(name[:LONGEST_NAME], bases))
    return found
