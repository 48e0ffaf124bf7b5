"""Who holds what: the tables of exported and imported objects, and their reference counts.

Theory of operation
-------------------
Each time an object of ours travels by reference, its count in the export table grows by one, and
the peer owes us one release for it. The peer counts how often it received each reference and, when
its proxy dies, gives all of them back at once. A reference that was on its way meanwhile has been
counted on our side but not in that release, so the object survives: no message can cross another
in a way that loses one.

Object ids come from a counter and are never used again, so a late message can name nothing but the
object that it meant. ``id()`` never leaves the process.

The tables are plain data. Whoever uses them holds the state lock of the session; what they drop is
returned, to be destroyed after the lock is released, since its ``__del__`` is user code.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, ClassVar, Self

from nbrpc.errors import LimitExceeded, RemoteProtocolError

__all__ = ["Exports", "Imports", "ProxyRef"]


class _Entry:
    """An object that the peer holds, and how often it was sent."""

    __slots__ = ("context", "count", "obj", "oid", "stays")

    def __init__(self, oid: int, obj: object, stays: bool) -> None:  # noqa: FBT001 - a field
        self.context: Context | None = None
        self.stays = stays
        """Whether what its methods give stays on this side as well, as in classic mode."""
        self.oid = oid
        self.obj = obj
        self.count = 0


class Exports:
    """Objects of ours that the peer holds.

    Parameters
    ----------
    limit
        How many objects the peer may hold.
    """

    __slots__ = ("_by_identity", "_limit", "_next", "entries")

    remembers_context: ClassVar[bool] = False
    """Set by the notebook layer, where a callback prints into the cell that handed it over."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._next = 1
        self.entries: dict[int, _Entry] = {}
        # Safe although id() is reused: an entry keeps its object alive.
        self._by_identity: dict[int, _Entry] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def lend(self, obj: object, *, stays: bool = False) -> int:
        """Count one more reference to an object and give its id.

        Parameters
        ----------
        stays
            Whether it was reached in classic mode, or is to be; once it has been handed over
            otherwise it no longer does.

        Raises
        ------
        LimitExceeded
            The peer holds as many objects as it may; nothing was counted.
        """
        entry = self._by_identity.get(id(obj))
        if entry is None:
            if len(self.entries) >= self._limit:
                raise LimitExceeded(
                    f"the peer already holds {self._limit:,} objects of this side; let it drop "
                    "some, return by value, or raise Limits.exported"
                )
            entry = _Entry(self._next, obj, stays)
            self._next += 1
            self.entries[entry.oid] = self._by_identity[id(obj)] = entry
        entry.count += 1
        entry.stays = entry.stays and stays
        if Exports.remembers_context:
            entry.context = copy_context()
        return entry.oid

    def context(self, oid: int) -> Context | None:
        """Give the context in which an object was handed over last; None where that is not kept."""
        entry = self.entries.get(oid)
        return None if entry is None else entry.context

    def get(self, oid: int) -> object:
        """Give the object with that id.

        Raises
        ------
        KeyError
            The peer holds no such object.
        """
        return self.entries[oid].obj

    def release(self, oid: int, count: int) -> object:
        """Take back ``count`` references; what is returned is no longer held and may be destroyed.

        Raises
        ------
        RemoteProtocolError
            The peer gives back more than it was lent.
        """
        entry = self.entries.get(oid)
        if entry is None or not 0 < count <= entry.count:
            raise RemoteProtocolError(
                f"the peer released {count} of object {oid}, which it does not hold"
            )
        entry.count -= count
        if entry.count:
            return None
        del self.entries[oid]
        del self._by_identity[id(entry.obj)]
        return entry.obj

    def clear(self) -> list[object]:
        """Drop everything; what is returned may be destroyed."""
        objects = [entry.obj for entry in self.entries.values()]
        self.entries.clear()
        self._by_identity.clear()
        return objects


class ProxyRef(weakref.ref[Any]):
    """A weak reference to a proxy that knows what its death must give back.

    The callback of a dying proxy may run anywhere, in any thread, inside any lock; all it does is
    append to a deque.
    """

    __slots__ = ("count", "oid")

    count: int
    oid: int

    def __new__(cls, proxy: object, dead: deque[ProxyRef], oid: int) -> Self:
        """Refer to a proxy that was received once, as object ``oid``."""
        self = super().__new__(cls, proxy, dead.append)
        self.oid = oid
        self.count = 1
        return self

    def __init__(self, proxy: object, dead: deque[ProxyRef], oid: int) -> None:
        """Take the arguments of `__new__`, which did everything."""


class Imports:
    """Objects of the peer that this side holds, each through one proxy."""

    __slots__ = ("dead", "entries", "owed")

    def __init__(self) -> None:
        self.entries: dict[int, ProxyRef] = {}
        self.dead: deque[ProxyRef] = deque()
        """References of proxies that have died; drained by `releases`."""
        self.owed: deque[tuple[int, int]] = deque()
        """Releases of references for which no proxy was made, such as those of a late reply."""

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, oid: int) -> object | None:
        """Give the living proxy of an object and count one more reference to it, or None."""
        reference = self.entries.get(oid)
        if reference is None:
            return None
        proxy: object = reference()
        if proxy is not None:
            reference.count += 1
        return proxy

    def add(self, oid: int, proxy: object) -> None:
        """Remember a new proxy, with one reference."""
        self.entries[oid] = ProxyRef(proxy, self.dead, oid)

    def releases(self) -> list[int]:
        """Take what is to be given back to the peer: oid and count, flat."""
        counts: list[int] = []
        while self.dead:
            reference = self.dead.popleft()
            # A new proxy of the same object may have taken the place of this one meanwhile.
            if self.entries.get(reference.oid) is reference:
                del self.entries[reference.oid]
            counts += (reference.oid, reference.count)
        while self.owed:
            counts += self.owed.popleft()
        return counts

    def proxies(self) -> Iterator[object]:
        """Every living proxy."""
        for reference in list(self.entries.values()):
            proxy = reference()
            if proxy is not None:
                yield proxy

    def clear(self) -> None:
        """Forget everything; the peer is gone, so nothing is owed."""
        self.entries.clear()
        self.dead.clear()
        self.owed.clear()


def pairs(counts: list[int]) -> Iterable[tuple[int, int]]:
    """Give the (oid, count) pairs of a flat list.

    Raises
    ------
    RemoteProtocolError
        The list has an odd length.
    """
    if len(counts) % 2:
        raise RemoteProtocolError("a release names an object without a count")
    return zip(counts[::2], counts[1::2], strict=True)
