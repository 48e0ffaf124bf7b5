"""How objects are named on RPyC's wire, and how those names become the object ids of a session.

RPyC names an object by a triple (name, class, instance) that its owner chooses: a text and two
integers, of which the peer reads the name, the equality of the second, and whether the third is 0,
which marks a class. Everything above this module knows objects by one number.

`Lent` names our objects. The instance is the object's own number. The class is a checksum of its
name, so that a peer with connections to several servers takes equal classes for equal and different
ones for different; RPyC uses ``id()`` for both numbers, which tells where objects lie in memory.

`Held` numbers the peer's objects. Each reference that arrives is counted, and as many are given
back when the proxy dies, so a name is forgotten only when nothing that still has to be read can
mean it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any
from zlib import crc32

from nbrpc.errors import RemoteProtocolError, StaleReference
from nbrpc.protocol.codec import Description, Ref
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc.handlers import Label

__all__ = ["Held", "Lent", "Name"]

Name = tuple[str, int, int]
"""What names an object: its class, module or function; a number of its class; its own number."""

LONGEST = 1_000
"""Characters of a name that is taken from a peer."""

WORD = 2**64


class Lent:
    """The names of our objects, as they are told to the peer."""

    __slots__ = ("_classes", "_names", "_numbers", "_taken")

    def __init__(self) -> None:
        self._names: dict[int, tuple[str, bool, int]] = {}
        """By the key of a description: the name, whether it is a class, and its class's number."""
        self._numbers: dict[int, int] = {}
        """From the number of a class to its object id."""
        self._classes: dict[int, int] = {}
        """The reverse."""
        self._taken: dict[int, Hashable] = {}
        """From the number of a class to what tells it from others."""

    def boxed(self, ref: Ref) -> bytes:
        """Give the encoded box of a reference to an object of ours."""
        name, is_class, number = self._names[ref.key]
        if not is_class:
            return brine.dumps((int(Label.REMOTE_REF), (name, number, ref.oid)))
        self._numbers[number] = ref.oid
        self._classes[ref.oid] = number
        return brine.dumps((int(Label.REMOTE_REF), (name, number, 0)))

    def note_class(self, ref: Ref, description: Description, identity: Hashable) -> None:
        """Note the class of an object that is referred to for the first time.

        Parameters
        ----------
        identity
            What the class and its instances have in common, and no other class; None where there
            is no class of that name but one.
        """
        name, is_class = _name_of(description)
        number = crc32(name.encode())
        while self._taken.setdefault(number, identity) != identity:
            number += 1
        self._names[ref.key] = name, is_class, number

    def find(self, name: object) -> int:
        """Give the object id that a name of the peer means; 0, which no object has, if none.

        Raises
        ------
        RemoteProtocolError
            It is no name.
        """
        _, number, instance = checked(name)
        found = instance or self._numbers.get(number, 0)
        return found if 0 < found < WORD else 0

    def forget(self, oid: int) -> None:
        """An object is no longer held by the peer."""
        number = self._classes.pop(oid, None)
        if number is not None:
            del self._numbers[number]


class _Entry:
    """One object of the peer."""

    __slots__ = ("beginnings", "boxed", "count", "name", "oid")

    def __init__(self, oid: int, name: Name) -> None:
        self.beginnings: dict[tuple[int, str], bytes] = {}
        """What requests on it begin with, by operation and name; see `Held.beginnings`."""
        self.oid = oid
        self.name = name
        self.count = 0
        self.boxed = brine.dumps((int(Label.LOCAL_REF), name))
        """How it is sent home; encoded once, since every request on the object holds it."""


class Held:
    """The objects of the peer that this side knows.

    Parameters
    ----------
    most
        How many there may be at a time.
    """

    __slots__ = ("_by_name", "_by_number", "_classes", "_keys", "_most", "_next")

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 1
        self._by_name: dict[Name, _Entry] = {}
        self._by_number: dict[int, _Entry] = {}
        self._classes: dict[tuple[str, int, bool], int] = {}
        self._keys: dict[int, tuple[str, bool]] = {}

    def ref(self, name: object) -> Ref:
        """Count a reference that has arrived, and give it as the session knows it.

        Raises
        ------
        RemoteProtocolError
            It is no name, or the peer has sent too many.
        """
        sound = checked(name)
        while True:
            entry = self._by_name.get(sound)
            if entry is None:
                if len(self._by_name) >= self._most:
                    raise RemoteProtocolError("the peer sent too many references")
                entry = _Entry(self._next, sound)
                self._next += 1
                self._by_name[sound] = self._by_number[entry.oid] = entry
            entry.count += 1
            # Another thread may have given the object back since it was looked up.
            if entry.oid in self._by_number:
                return Ref(entry.oid, self._key_of(sound))

    def _key_of(self, name: Name) -> int:
        """Number the class of an object."""
        text, number, instance = name
        cls = (text, number, instance == 0)
        key = self._classes.get(cls)
        if key is None:
            if len(self._classes) >= self._most:
                raise RemoteProtocolError("the peer described too many classes")
            key = self._classes[cls] = len(self._classes) + 1
            self._keys[key] = text, instance == 0
        return key

    def class_of(self, key: int) -> tuple[str, bool]:
        """Give the name that a key of `ref` stands for, and whether that is a class itself."""
        return self._keys[key]

    def boxed(self, oid: int) -> bytes:
        """Give the encoded box of an object of the peer, on its way home.

        Raises
        ------
        StaleReference
            This side has given it back.
        """
        return self._entry(oid).boxed

    def name(self, oid: int) -> Name:
        """Give what the peer calls an object; raises as `boxed` does."""
        return self._entry(oid).name

    def _entry(self, oid: int) -> _Entry:
        entry = self._by_number.get(oid)
        if entry is None:
            raise StaleReference(f"object {oid} of the peer was given back already")
        return entry

    def beginnings(self, oid: int) -> dict[tuple[int, str], bytes]:
        """Give the notes of a caller on how requests on an object begin; raises as `boxed` does."""
        return self._entry(oid).beginnings

    def release(self, oid: int, count: int) -> bytes:
        """Give references back, and give the encoded box of what they are of."""
        entry = self._entry(oid)
        entry.count -= count
        if entry.count <= 0:
            del self._by_number[oid]
            del self._by_name[entry.name]
        return entry.boxed


def checked(name: Any) -> Name:
    """Give a name of the peer, if it is one.

    Raises
    ------
    RemoteProtocolError
        It is none.
    """
    if (
        type(name) is tuple
        and len(name) == 3
        and type(name[0]) is str
        and type(name[1]) is int
        and type(name[2]) is int
        and len(name[0]) <= LONGEST
    ):
        return name
    raise RemoteProtocolError("the peer names an object as RPyC does not")


def _name_of(description: Description) -> tuple[str, bool]:
    """Give the name that RPyC would give, by which its clients know builtin classes."""
    kind = description.kind
    if kind == "module":
        return description.name, False
    if kind == "function":
        return "builtins.function", False
    module = description.module or "builtins"
    return f"{module}.{description.name}", kind == "class"
