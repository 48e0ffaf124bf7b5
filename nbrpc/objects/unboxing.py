"""Wire values to Python objects, within the budgets of the limits.

A message is read by one `Reader`, so that the budgets hold over all of it. Each out-of-band buffer
can be used once: a peer could otherwise have one of them copied as often as it names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nbrpc.errors import RemoteProtocolError, StaleReference
from nbrpc.objects import arrays, kinds, records, values
from nbrpc.objects.draft import colliding
from nbrpc.objects.error_classes import ancestry_in
from nbrpc.objects.kinds.arrow import read_table
from nbrpc.objects.named import hashes_here, member_at_home, member_here
from nbrpc.options import Limits
from nbrpc.protocol import codec
from nbrpc.protocol.codec import Box, decoder
from nbrpc.protocol.rpyc.kept import Kept

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing

__all__ = ["Reader", "references_in"]

UNFINISHED: Any = object()
"""Stands for an object of the message that is being made."""

decode_values = decoder(list[codec.Value])


class Reader:
    """Unboxes the values of one message.

    Parameters
    ----------
    boxing
        Whose references and limits they are.
    buffers
        What came beside the message.
    """

    __slots__ = (
        "boxing",
        "buffers",
        "elements",
        "hashing",
        "imported",
        "odd_keys",
        "seen",
        "sizes",
        "used",
        "within",
    )

    def __init__(self, boxing: Boxing, buffers: list[BytesIO] | None) -> None:
        self.boxing = boxing
        self.buffers = buffers or []
        self.used: set[int] = set()
        self.elements = boxing.limits.elements
        self.odd_keys = boxing.limits.odd_keys
        self.hashing = 0
        self.within = 0
        """How many lists that came in parts are around what is read."""
        self.imported: dict[int, int] = {}
        """How many references became proxies, by object id."""
        self.seen: list[Any] = []
        """The objects to which a later part of the message may refer, by their numbers."""
        self.sizes: dict[int, int] = {}
        """Elements of those that are complete, with all that is in them."""

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
        first, left = len(self.seen), self.elements
        made = READERS[type(box)](self, box, depth + 1)
        if len(self.seen) > first:
            self.sizes.setdefault(first, left - self.elements)
        return made

    def all(self, items: list[Any], depth: int) -> list[Any]:
        """Give the objects that the values in a list stand for."""
        if len(items) == 1 and type(items[0]) is codec.Parts:
            return self.gather(items[0], depth)
        self.count(len(items))
        for item in items:
            if isinstance(item, Box):
                return [self.read(item, depth) if isinstance(item, Box) else item for item in items]
        return items

    def gather(self, parts: codec.Parts, depth: int) -> list[Any]:
        """Read a list whose values came in several buffers, each of which fits a body."""
        # What is decoded and not read yet is not counted: one part of each level, and no more.
        self.within += 1
        if self.within > codec.MOST_WITHIN:
            raise RemoteProtocolError("parts of a value are nested too deeply")
        made: list[Any] = []
        for index in parts.indices:
            data = self.buffer(index).getvalue()
            if len(data) > self.boxing.limits.body:
                raise RemoteProtocolError("a part of a value is too large")
            part = decode_values(data)
            self.count(len(part))
            made += [self.read(item, depth) if isinstance(item, Box) else item for item in part]
        self.within -= 1
        return made

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
        """Read what will be hashed: no proxies, and few whose hashes are equal."""
        # A proxy would ask the peer for its hash.
        self.hashing += 1
        keys = self.all(items, depth)
        self.hashing -= 1
        try:
            self.odd_keys -= colliding(keys)
        except TypeError as error:
            raise RemoteProtocolError(f"a key cannot be hashed: {error}") from None
        if self.odd_keys < 0:
            raise RemoteProtocolError(
                f"a message has over {self.boxing.limits.odd_keys:,} keys with equal hashes"
            )
        return keys

    def begin(self, made: Any = UNFINISHED) -> int:
        """Give an object its number, under which it may be referred to once it is there."""
        self.seen.append(made)
        return len(self.seen) - 1

    def read_bytes(self, box: codec.Bytes, _depth: int) -> Any:
        """Read bytes, a bytearray, or a str that travelled as bytes."""
        # getvalue() gives the memory of the BytesIO itself.
        data = box.data if box.index < 0 else self.buffer(box.index).getvalue()
        if box.kind == "b":
            return data
        if box.kind == "a":
            array = bytearray(data)
            self.begin(array)
            return array
        if box.kind == "u":
            try:
                return data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise RemoteProtocolError("a text is not UTF-8") from None
        raise RemoteProtocolError(f"data of kind {box.kind[:40]!r} arrived")

    def read_list(self, box: codec.List, depth: int) -> list[Any]:
        """Read a list, which may hold itself."""
        items = box.items
        if not any(isinstance(item, Box) for item in items):
            self.count(len(items))
            self.begin(items)
            return items
        made: list[Any] = []
        self.begin(made)
        made += self.all(items, depth)
        return made

    def read_set(self, box: codec.Set, depth: int) -> set[Any]:
        """Read a set."""
        number = self.begin()
        self.seen[number] = made = set(self.keys(box.items, depth))
        return made

    def read_map(self, box: codec.Map, depth: int) -> dict[str, Any]:
        """Read a dict whose keys are str; it may hold itself."""
        items = box.items
        self.count(len(items))
        self.begin(items)
        for key, item in items.items():
            if isinstance(item, Box):
                items[key] = self.read(item, depth)
        return items

    def read_pairs(self, box: codec.Pairs, depth: int) -> dict[Any, Any]:
        """Read a dict with other keys; it may hold itself."""
        made: dict[Any, Any] = {}
        self.begin(made)
        keys = self.keys(box.keys, depth)
        items = self.all(box.values, depth)
        if len(keys) != len(items):
            raise RemoteProtocolError("a dictionary has keys without values")
        made.update(zip(keys, items, strict=True))
        return made

    def read_same(self, box: codec.Same, _depth: int) -> Any:
        """Give an object that came earlier in this message."""
        if self.hashing or not 0 <= box.number < len(self.seen):
            raise RemoteProtocolError("a value refers to an object that is not in its message")
        made = self.seen[box.number]
        if made is UNFINISHED:
            raise RemoteProtocolError("a value holds itself that cannot")
        # Who shows, compares or copies the value meets its elements again: doubled a few times,
        # those of a short message would take hours.
        self.count(self.sizes.get(box.number, 0))
        return made

    def read_made(self, box: codec.Made, depth: int) -> Any:
        """Read a value that is made of parts."""
        if len(box.parts) > kinds.MOST_PARTS:
            raise RemoteProtocolError(f"a {box.kind[:40]!r} has too many parts")
        number = self.begin()
        parts = self.all(box.parts, depth)
        made: Any
        if box.kind == "exception class" and self.boxing.errors is not None:
            made = self.boxing.errors.class_named(ancestry_in(parts))
        elif box.kind in records.KINDS:
            made = records.rebuild(box.kind, parts, self.boxing.records)
        else:
            make = MEMBERS.get(box.kind)
            made = kinds.rebuild(box.kind, parts) if make is None else make(parts)
        self.seen[number] = made
        return made

    def read_array(self, box: codec.Array, _depth: int) -> Any:
        """Read an array, or a number of numpy."""
        made = arrays.unbox_array(box, self.view)
        if box.shape is not None:
            self.begin(made)
        return made

    def read_table(self, box: codec.Table, _depth: int) -> Any:
        """Read a table of Arrow."""
        made = read_table(self.view(box.index))
        self.begin(made)
        return made

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
        numbers = data.cast(box.kind).tolist()
        self.begin(numbers)
        return numbers

    def read_registered(self, box: codec.Registered, depth: int) -> object:
        """Read a member of a class that both sides registered."""
        return values.rebuild(box.name, self.all(box.fields, depth))

    def read_reference(self, box: codec.Ref, _depth: int) -> object:
        """Give the proxy of an object of the peer."""
        self.imported[box.oid] = self.imported.get(box.oid, 0) + 1
        proxy = self.boxing.import_reference(box)
        # Others would ask the peer for their hash.
        if self.hashing and not hashes_here(proxy):
            raise RemoteProtocolError("a key is a reference")
        return proxy

    def read_parts(self, _box: codec.Parts, _depth: int) -> Any:
        """Refuse parts of a list that stand where a value does."""
        raise RemoteProtocolError("parts of a list came in place of a value")

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


MEMBERS = {"member": member_here, "member at home": member_at_home}

SLICES: dict[str, type[slice | range]] = {"s": slice, "r": range}

READERS: dict[type, Callable[[Reader, Any, int], Any]] = {
    codec.Bytes: Reader.read_bytes,
    codec.Tuple: lambda reader, box, depth: tuple(reader.all(box.items, depth)),
    codec.List: Reader.read_list,
    codec.Set: Reader.read_set,
    codec.Frozen: lambda reader, box, depth: frozenset(reader.keys(box.items, depth)),
    codec.Map: Reader.read_map,
    codec.Pairs: Reader.read_pairs,
    codec.Scalar: lambda _reader, box, _depth: values.read_scalar(box),
    codec.Slice: Reader.read_slice,
    codec.Packed: Reader.read_packed,
    codec.Array: Reader.read_array,
    codec.Table: Reader.read_table,
    codec.Registered: Reader.read_registered,
    codec.Ref: Reader.read_reference,
    codec.Home: Reader.read_home,
    codec.Made: Reader.read_made,
    codec.Parts: Reader.read_parts,
    codec.Same: Reader.read_same,
    Kept: Reader.read_kept,
}


def references_in(value: Any, buffers: list[BytesIO], limits: Limits) -> Iterator[codec.Ref]:
    """Give the references in a value that was received, in no order.

    Raises
    ------
    RemoteProtocolError
        It has more elements than a message may have, or parts that are none.
    """
    rest, waiting, used, left = [value], list[int](), set[int](), 2 * limits.elements
    while rest or waiting:
        if not rest:  # one part at a time: decoded they take much more memory
            data = buffers[waiting.pop()].getvalue()
            rest = decode_values(data) if len(data) <= limits.body else []
            continue
        value = rest.pop()
        left -= 1
        if left < 0:
            raise RemoteProtocolError(f"a message has over {limits.elements:,} elements")
        kind = type(value)
        if kind is codec.Ref:
            yield value
        elif kind in WITH_ITEMS:
            rest += value.items
        elif kind is codec.Map:
            rest += value.items.values()
        elif kind is codec.Pairs:
            rest += (*value.keys, *value.values)
        elif kind is codec.Registered:
            rest += value.fields
        elif kind is codec.Made:
            rest += value.parts
        elif kind is codec.Slice:
            rest += (value.start, value.stop, value.step)
        elif kind is codec.Parts:
            for index in value.indices:
                if 0 <= index < len(buffers) and index not in used:
                    used.add(index)
                    waiting.append(index)


WITH_ITEMS = frozenset({codec.Tuple, codec.List, codec.Set, codec.Frozen})
