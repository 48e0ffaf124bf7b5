"""Wire values to Python objects, within the budgets of the limits.

A message is read by one `Reader`, so that the budgets hold over all of it. Each out-of-band buffer
can be used once: a peer could otherwise have one of them copied as often as it names it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nbrpc.errors import RemoteProtocolError, StaleReference
from nbrpc.objects import adapters, values
from nbrpc.protocol import codec
from nbrpc.protocol.codec import Box
from nbrpc.protocol.rpyc.kept import Kept

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing

__all__ = ["Reader"]


class Reader:
    """Unboxes the values of one message.

    Parameters
    ----------
    boxing
        Whose references and limits they are.
    buffers
        What came beside the message.
    """

    __slots__ = ("boxing", "buffers", "elements", "hashing", "imported", "odd_keys", "used")

    def __init__(self, boxing: Boxing, buffers: list[BytesIO] | None) -> None:
        self.boxing = boxing
        self.buffers = buffers or []
        self.used: set[int] = set()
        self.elements = boxing.limits.elements
        self.odd_keys = boxing.limits.odd_keys
        self.hashing = 0
        self.imported: set[int] = set()
        """The identities of the Refs that became proxies."""

    def read(self, box: Any, depth: int = 0) -> Any:
        """Give the object that a box stands for; ``depth`` is how many are around it.

        Raises
        ------
        RemoteProtocolError
            It is not what boxing makes.
        NotSendable
            It needs a class or a library that is missing here.
        """
        # Boxing refuses to go deeper than the limit, and what it finds there may take a box or two.
        if depth >= self.boxing.limits.depth + 2:
            raise RemoteProtocolError("a value is nested too deeply")
        return READERS[type(box)](self, box, depth + 1)

    def all(self, items: list[Any], depth: int) -> list[Any]:
        """Give the objects that the values in a list stand for."""
        self.count(len(items))
        for item in items:
            if isinstance(item, Box):
                return [self.read(item, depth) if isinstance(item, Box) else item for item in items]
        return items

    def count(self, elements: int) -> None:
        """Take from the budget of elements."""
        self.elements -= elements
        if self.elements < 0:
            raise RemoteProtocolError(
                f"a message has over {self.boxing.limits.elements:,} elements"
            )

    def buffer(self, index: int) -> BytesIO:
        """Give an out-of-band buffer, once."""
        if not 0 <= index < len(self.buffers) or index in self.used:
            raise RemoteProtocolError("a value refers to data that did not come")
        self.used.add(index)
        return self.buffers[index]

    def view(self, index: int) -> memoryview:
        """Give a view of an out-of-band buffer, once."""
        return self.buffer(index).getbuffer()

    def keys(self, items: list[Any], depth: int) -> list[Any]:
        """Read what will be hashed: no proxies, and few whose hashes a peer can choose."""
        # A proxy would ask the peer for its hash.
        self.hashing += 1
        keys = self.all(items, depth)
        self.hashing -= 1
        self.odd_keys -= sum(type(key) is not str and type(key) is not bytes for key in keys)
        if self.odd_keys < 0:
            raise RemoteProtocolError(
                f"a message has over {self.boxing.limits.odd_keys:,} keys that are neither str nor "
                "bytes"
            )
        return keys

    def read_bytes(self, box: codec.Bytes, _depth: int) -> Any:
        """Read bytes, a bytearray, or a str that travelled as bytes."""
        # getvalue() gives the memory of the BytesIO itself.
        data = box.data if box.index < 0 else self.buffer(box.index).getvalue()
        if box.kind == "b":
            return data
        if box.kind == "a":
            return bytearray(data)
        if box.kind == "u":
            try:
                return data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise RemoteProtocolError("a text is not UTF-8") from None
        raise RemoteProtocolError(f"data of kind {box.kind[:40]!r} arrived")

    def read_hashed(self, box: codec.Set | codec.Frozen, depth: int) -> Any:
        """Read a set or a frozenset."""
        kind = set if type(box) is codec.Set else frozenset
        try:
            return kind(self.keys(box.items, depth))
        except TypeError as error:
            raise RemoteProtocolError(
                f"a set has a member that cannot be hashed: {error}"
            ) from None

    def read_map(self, box: codec.Map, depth: int) -> Any:
        """Read a dict whose keys are str."""
        items = box.items
        self.count(len(items))
        for item in items.values():
            if isinstance(item, Box):
                return {
                    key: self.read(item, depth) if isinstance(item, Box) else item
                    for key, item in items.items()
                }
        return items

    def read_pairs(self, box: codec.Pairs, depth: int) -> Any:
        """Read a dict with other keys."""
        keys, items = self.keys(box.keys, depth), self.all(box.values, depth)
        try:
            return dict(zip(keys, items, strict=True))
        except (TypeError, ValueError) as error:
            raise RemoteProtocolError(f"a dictionary cannot be read: {error}") from None

    def read_slice(self, box: codec.Slice, depth: int) -> Any:
        """Read a slice or a range."""
        kind = SLICES.get(box.kind)
        parts = self.all([box.start, box.stop, box.step], depth)
        try:
            if kind is not None:
                return kind(*parts)
        except (TypeError, ValueError) as error:
            raise RemoteProtocolError(f"a range cannot be read: {error}") from None
        raise RemoteProtocolError(f"a slice of kind {box.kind[:40]!r} arrived")

    def read_packed(self, box: codec.Packed, _depth: int) -> Any:
        """Read a list of numbers."""
        data: Any = self.view(box.index)
        if box.kind not in {"d", "q"} or data.nbytes % 8:
            raise RemoteProtocolError("a list of numbers cannot be read")
        self.count(data.nbytes // 8)
        return data.cast(box.kind).tolist()

    def read_registered(self, box: codec.Registered, depth: int) -> object:
        """Read a member of a class that both sides registered."""
        return values.rebuild(box.name, self.all(box.fields, depth))

    def read_reference(self, box: codec.Ref, _depth: int) -> object:
        """Give the proxy of an object of the peer."""
        if self.hashing:
            raise RemoteProtocolError("a key is a reference")
        self.imported.add(id(box))
        return self.boxing.import_reference(box)

    def read_kept(self, box: Kept, _depth: int) -> Any:
        """Give our own object, which was found when it arrived."""
        if self.hashing:
            raise RemoteProtocolError("a key is a reference")
        return box.obj

    def read_home(self, box: codec.Home, _depth: int) -> Any:
        """Give our own object, which the peer sends back."""
        if self.hashing:
            raise RemoteProtocolError("a key is a reference")
        try:
            with self.boxing.guard:
                obj = self.boxing.exports.get(box.oid)
        except KeyError:
            # No breach of the protocol: the release of an argument may overtake a request that
            # its sender has given up.
            raise StaleReference(
                f"object {box.oid} is no longer held: its proxy was dropped before the request ran"
            ) from None
        for name in box.path.split(".") if box.path else ():
            obj = self.boxing.policy.read(obj, name)
        return obj


SLICES: dict[str, type[slice | range]] = {"s": slice, "r": range}

READERS: dict[type, Callable[[Reader, Any, int], Any]] = {
    codec.Bytes: Reader.read_bytes,
    codec.Tuple: lambda reader, box, depth: tuple(reader.all(box.items, depth)),
    codec.List: lambda reader, box, depth: reader.all(box.items, depth),
    codec.Set: Reader.read_hashed,
    codec.Frozen: Reader.read_hashed,
    codec.Map: Reader.read_map,
    codec.Pairs: Reader.read_pairs,
    codec.Scalar: lambda _reader, box, _depth: values.read_scalar(box),
    codec.Slice: Reader.read_slice,
    codec.Packed: Reader.read_packed,
    codec.Array: lambda reader, box, _depth: adapters.unbox_array(box, reader.view),
    codec.Table: lambda reader, box, _depth: adapters.unbox_table(box, reader.view),
    codec.Registered: Reader.read_registered,
    codec.Ref: Reader.read_reference,
    codec.Home: Reader.read_home,
    Kept: Reader.read_kept,
}
