"""Python objects to wire values and back: what travels by value, and what by reference.

By value: what never changes (numbers, text, bytes, tuples, dates, ...), and what the user asked to
copy. By reference: all else; the peer gets a proxy. ``nbrpc.by_value`` and its kin choose the deep
form, in which containers, arrays and tables are copied and anything else is refused with the path
to it.

Nothing here blocks or calls user code, save for the adapters' libraries in the deep form.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import NoneType
from typing import Any

from nbrpc.errors import LimitExceeded, NotSendable, RemoteProtocolError
from nbrpc.objects import adapters, values
from nbrpc.objects.access import Policy
from nbrpc.objects.describe import describe, description_key
from nbrpc.objects.refs import Exports, Imports
from nbrpc.options import Limits
from nbrpc.protocol import codec
from nbrpc.protocol.codec import MAX_INT, MIN_INT, Box, Description, Value

__all__ = ["Boxing", "ByReference", "ByValue", "Draft", "by_value"]

INLINE = 64 * 1024
"""Strings and bytes above this travel beside the structural body."""

SHORT_TEXT = 16 * 1024
"""A str of so many characters has at most `INLINE` bytes."""

PACK_FROM = 256
"""Lists of numbers of at least this length travel as one buffer."""

UNKNOWN = Description("builtins", "object", "instance", {}, (), None, "")

HASHABLE_VALUES = frozenset({NoneType, bool, int, float, complex, str, bytes, tuple, frozenset})


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

    __slots__ = ("boxing", "buffers", "described", "lent")

    def __init__(self, boxing: Boxing) -> None:
        self.boxing = boxing
        self.buffers: list[memoryview] = []
        self.lent: list[int] = []
        self.described: list[object] = []

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


class Boxing:
    """The boxing of one session.

    Parameters
    ----------
    policy
        What the peer may see, for descriptions.
    limits
        For exported objects, depth and odd keys.
    guard
        The state lock of the session; held around the tables only.
    make_proxy
        From an object id, the key of its description and the description to a new proxy.
    home
        From an object to (oid, path) when it is a proxy of the peer's object on this very
        connection, else None.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        guard: AbstractContextManager[object],
        make_proxy: Callable[[int, int, Description], object],
        home: Callable[[object], tuple[int, str] | None],
    ) -> None:
        self.policy = policy
        self.limits = limits
        self.guard = guard
        self.exports = Exports(limits.exported)
        self.imports = Imports()
        self.known: set[object] = set()
        """Keys of descriptions that the peer has."""
        self._keys: dict[object, int] = {}
        self._descriptions: dict[int, Description] = {}
        self._make_proxy = make_proxy
        self._home = home

    # ---- boxing

    def box_plain(self, args: Iterable[object]) -> bool:
        """Whether every argument can be sent as it is; the quick way for the usual case."""
        for arg in args:
            kind = type(arg)
            if kind is int:
                if not MIN_INT <= arg <= MAX_INT:  # type: ignore[operator]
                    return False
            elif kind is str:
                if len(arg) > SHORT_TEXT or not arg.isascii():  # type: ignore[arg-type,attr-defined]
                    return False
            elif kind is not float and kind is not NoneType and kind is not bool:
                return False
        return True

    def box(self, obj: object, draft: Draft) -> Value:
        """Box an object for the peer: by value what never changes, else by reference.

        Raises
        ------
        NotSendable
            It was marked by value and something in it cannot be copied; nothing was counted that
            ``draft.undo`` does not take back.
        LimitExceeded
            The peer holds too many objects.
        """
        kind = type(obj)
        if kind is NoneType or kind is bool or kind is float:
            return obj  # type: ignore[return-value]
        writer = WRITERS.get(kind)
        if writer is not None:
            return writer(self, obj, draft)
        home = self._home(obj)
        if home is not None:
            return codec.Home(*home)
        return self._box_other(obj, draft)

    def _box_other(self, obj: object, draft: Draft) -> Value:
        kind = type(obj)
        if kind is ByValue:
            return self.box_deep(obj.obj, draft)  # type: ignore[attr-defined]
        if kind is ByReference:
            return self.box_reference(obj.obj, draft)  # type: ignore[attr-defined]
        if kind is tuple:
            return codec.Tuple([self.box(item, draft) for item in obj])  # type: ignore[attr-defined]
        if kind is frozenset and all(type(item) in HASHABLE_VALUES for item in obj):  # type: ignore[attr-defined]
            return codec.Frozen([self.box(item, draft) for item in obj])  # type: ignore[attr-defined]
        scalar = values.scalar_text(obj)
        if scalar is not None:
            return codec.Scalar(*scalar)
        name = values.registered_name(kind)
        if name is not None and values.is_frozen(kind):
            return codec.Registered(name, [self.box(item, draft) for item in values.fields_of(obj)])
        number = adapters.box_scalar(obj)
        if number is not None:
            return number
        return self.box_reference(obj, draft)

    def box_reference(self, obj: object, draft: Draft) -> codec.Ref:
        """Lend an object to the peer."""
        key = description_key(obj, self.policy)
        description = None
        if key not in self.known:
            description = describe(obj, self.policy)
        with self.guard:
            number = self._keys.setdefault(key, len(self._keys) + 1)
            oid = self.exports.lend(obj)
        draft.lent.append(oid)
        if description is not None:
            draft.described.append(key)
        return codec.Ref(oid, number, description)

    def box_deep(self, obj: object, draft: Draft, depth: int = 0) -> Value:
        """Box an object by value, with all that is in it.

        Raises
        ------
        NotSendable
            Something in it cannot be copied; the message names the path to it.
        """
        kind = type(obj)
        if kind is NoneType or kind is bool or kind is float:
            return obj  # type: ignore[return-value]
        writer = WRITERS.get(kind)
        if writer is not None:
            return writer(self, obj, draft)
        if depth >= self.limits.depth:
            raise _Refused(
                f"is nested deeper than {self.limits.depth} levels, or contains itself", obj
            )
        if kind is ByValue:
            return self.box_deep(obj.obj, draft, depth)  # type: ignore[attr-defined]
        if kind is list or kind is tuple:
            return self._deep_items(obj, draft, depth + 1)  # type: ignore[arg-type]
        if kind is dict:
            return self._deep_dict(obj, draft, depth + 1)  # type: ignore[arg-type]
        if kind is set or kind is frozenset:
            items = [_step(self, item, draft, depth + 1, "{...}") for item in obj]  # type: ignore[attr-defined]
            return codec.Set(items) if kind is set else codec.Frozen(items)
        if kind is bytearray:
            return _write_bytes(self, obj, draft)
        return self._deep_other(obj, draft, depth)

    def _deep_items(self, obj: list[Any] | tuple[Any, ...], draft: Draft, depth: int) -> Value:
        if len(obj) > self.limits.elements:
            raise LimitExceeded(
                f"a {type(obj).__name__} of {len(obj):,} items exceeds the {self.limits.elements:,} "
                "that one message may carry; send an array, or raise Limits.elements"
            )
        kinds = set(map(type, obj))
        if len(obj) >= PACK_FROM and type(obj) is list and len(kinds) == 1:
            packed = _pack(obj, kinds, draft)
            if packed is not None:
                return packed
        box = codec.List if type(obj) is list else codec.Tuple
        if kinds <= AS_THEY_ARE:
            return box(list(obj))
        return box([_step(self, item, draft, depth, f"[{i}]") for i, item in enumerate(obj)])

    def _deep_dict(self, obj: dict[Any, Any], draft: Draft, depth: int) -> Value:
        if set(map(type, obj)) <= {str} and all(map(str.isascii, obj)):
            if set(map(type, obj.values())) <= AS_THEY_ARE:
                return codec.Map(obj)
            return codec.Map(
                {key: _step(self, item, draft, depth, f"[{key!r}]") for key, item in obj.items()}
            )
        return codec.Pairs(
            [_step(self, key, draft, depth, ".keys()") for key in obj],
            [_step(self, item, draft, depth, f"[{key!r:.50}]") for key, item in obj.items()],
        )

    def _deep_other(self, obj: object, draft: Draft, depth: int) -> Value:
        home = self._home(obj)
        if home is not None:
            return codec.Home(*home)
        kind = type(obj)
        scalar = values.scalar_text(obj)
        if scalar is not None:
            return codec.Scalar(*scalar)
        name = values.registered_name(kind)
        if name is not None:
            fields = values.fields_of(obj)
            return codec.Registered(
                name, [_step(self, item, draft, depth + 1, f".{i}") for i, item in enumerate(fields)]
            )
        box = (
            adapters.box_scalar(obj)
            or adapters.box_array(obj, draft.attach)
            or adapters.box_table(obj, draft.attach)
        )
        if box is not None:
            return box
        for base in (dict, list, set):
            # Subclasses such as defaultdict, OrderedDict and Counter are copied as what they hold.
            if isinstance(obj, base) and kind.__module__ == "collections":
                return self.box_deep(base(obj), draft, depth)
        if kind.__module__ == "collections" and kind.__name__ == "deque":
            return self.box_deep(list(obj), draft, depth)  # type: ignore[call-overload]
        if isinstance(obj, DICT_VIEWS):
            return self.box_deep(list(obj), draft, depth)
        raise _Refused("cannot be copied", obj)

    # ---- unboxing

    def unbox(self, value: Value, buffers: list[memoryview] | None) -> Any:
        """Give the object that a wire value stands for.

        Raises
        ------
        RemoteProtocolError
            The value is not what boxing makes.
        NotSendable
            It needs a class or a library that is missing here.
        """
        if not isinstance(value, Box):
            return value
        return _Reader(self, buffers or []).read(value, 0)

    def unbox_all(self, items: list[Value], buffers: list[memoryview] | None) -> list[Any]:
        """Unbox a list of values."""
        for item in items:
            if isinstance(item, Box):
                reader = _Reader(self, buffers or [])
                return [reader.read(item, 0) if isinstance(item, Box) else item for item in items]
        return items

    def import_reference(self, ref: codec.Ref) -> object:
        """Give the proxy of an object of the peer, made anew when there is none."""
        if ref.description is not None:
            if len(self._descriptions) >= self.limits.exported:
                raise RemoteProtocolError("the peer described too many classes")
            self._descriptions.setdefault(ref.key, ref.description)
        with self.guard:
            proxy = self.imports.get(ref.oid)
            if proxy is None:
                if len(self.imports) >= 10 * self.limits.exported:
                    raise RemoteProtocolError("the peer sent too many references")
                description = self._descriptions.get(ref.key, UNKNOWN)
                proxy = self._make_proxy(ref.oid, ref.key, description)
                self.imports.add(ref.oid, proxy)
        return proxy

    def discard(self, value: object) -> None:
        """Give back the references in a value that nobody will unbox."""
        if isinstance(value, codec.Ref):
            self.imports.owed.append((value.oid, 1))
        elif isinstance(value, (codec.Tuple, codec.List, codec.Set, codec.Frozen)):
            for item in value.items:
                self.discard(item)
        elif isinstance(value, codec.Map):
            for item in value.items.values():
                self.discard(item)
        elif isinstance(value, codec.Pairs):
            for item in (*value.keys, *value.values):
                self.discard(item)
        elif isinstance(value, codec.Registered):
            for item in value.fields:
                self.discard(item)


class _Refused(NotSendable):
    """A value that cannot travel; containers prepend the step that led to it."""

    def __init__(self, problem: str, obj: object) -> None:
        self.problem = problem
        self.type_name = type(obj).__name__
        self.path = ""
        super().__init__()
        self._tell()

    def _tell(self) -> None:
        where = f" at value{self.path}" if self.path else ""
        self.args = (
            f"a {self.type_name}{where} {self.problem}; send it by reference, register its class "
            "with nbrpc.register_value, or convert it first",
        )

    def prepend(self, step: str) -> None:
        self.path = step + self.path
        self._tell()


def _step(boxing: Boxing, item: object, draft: Draft, depth: int, step: str) -> Value:
    """Box one item deep; a refusal learns the way to it."""
    try:
        return boxing.box_deep(item, draft, depth)
    except _Refused as refused:
        refused.prepend(step)
        raise


AS_THEY_ARE = frozenset({NoneType, bool, float})
DICT_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))


def _pack(obj: list[Any], kinds: set[type], draft: Draft) -> codec.Packed | None:
    """Pack a long list of floats or of 64-bit ints into one buffer."""
    if kinds == {float}:
        return codec.Packed("d", draft.attach(array("d", obj)))
    if kinds == {int}:
        try:
            return codec.Packed("q", draft.attach(array("q", obj)))
        except OverflowError:
            return None
    return None


def _write_int(_boxing: Boxing, obj: Any, _draft: Draft) -> Value:
    if MIN_INT <= obj <= MAX_INT:
        return obj  # type: ignore[no-any-return]
    return codec.Scalar("int", f"{obj:x}")


def _write_str(_boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if len(obj) <= SHORT_TEXT:
        if obj.isascii():
            return obj  # type: ignore[no-any-return]
        try:
            obj.encode()
        except UnicodeEncodeError:
            return codec.Bytes("u", -1, obj.encode("utf-8", "surrogatepass"))
        return obj  # type: ignore[no-any-return]
    data = obj.encode("utf-8", "surrogatepass")
    if len(data) <= INLINE:
        return codec.Bytes("u", -1, data)
    return codec.Bytes("u", draft.attach(data))


def _write_bytes(_boxing: Boxing, obj: Any, draft: Draft) -> Value:
    kind = "b" if type(obj) is bytes else "a"
    if len(obj) <= INLINE:
        return codec.Bytes(kind, -1, bytes(obj))
    return codec.Bytes(kind, draft.attach(obj))


def _write_slice(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    kind = "s" if type(obj) is slice else "r"
    return codec.Slice(kind, *(boxing.box(part, draft) for part in (obj.start, obj.stop, obj.step)))


WRITERS: dict[type, Callable[[Boxing, Any, Draft], Value]] = {
    int: _write_int,
    str: _write_str,
    bytes: _write_bytes,
    slice: _write_slice,
    range: _write_slice,
}


class _Reader:
    """Unboxes the values of one message, within the budgets of the limits."""

    __slots__ = ("boxing", "buffers", "odd_keys")

    def __init__(self, boxing: Boxing, buffers: list[memoryview]) -> None:
        self.boxing = boxing
        self.buffers = buffers
        self.odd_keys = 0

    def read(self, box: Any, depth: int) -> Any:
        if depth >= self.boxing.limits.depth + 2:
            raise RemoteProtocolError("a value is nested too deeply")
        read = READERS.get(type(box))
        return box if read is None else read(self, box, depth + 1)

    def all(self, items: list[Any], depth: int) -> list[Any]:
        if len(items) > self.boxing.limits.elements:
            raise RemoteProtocolError("a value has too many elements")
        for item in items:
            if isinstance(item, Box):
                return [self.read(item, depth) if isinstance(item, Box) else item for item in items]
        return items

    def buffer(self, index: int) -> memoryview:
        if not 0 <= index < len(self.buffers):
            raise RemoteProtocolError("a value refers to data that did not come")
        return self.buffers[index]

    def keys(self, items: list[Any], depth: int) -> list[Any]:
        """Read what will be hashed: no proxies, and few whose hashes a peer can choose."""
        if any(isinstance(item, (codec.Ref, codec.Home)) for item in items):
            raise RemoteProtocolError("a key is a reference")
        keys = self.all(items, depth)
        self.odd_keys += sum(type(key) is not str and type(key) is not bytes for key in keys)
        if self.odd_keys > self.boxing.limits.odd_keys:
            raise RemoteProtocolError(
                f"a message has over {self.boxing.limits.odd_keys:,} keys that are neither str nor bytes"
            )
        return keys

    def read_bytes(self, box: codec.Bytes, _depth: int) -> Any:
        data: Any = box.data
        if box.index >= 0:
            view = self.buffer(box.index)
            # The BytesIO behind the view gives its bytes without a copy once the view is gone.
            owner = view.obj
            data = view
            if box.kind == "b" and hasattr(owner, "getvalue"):
                view.release()
                return owner.getvalue()
        if box.kind == "b":
            return bytes(data)
        if box.kind == "a":
            return bytearray(data)
        if box.kind == "u":
            try:
                return str(data, "utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise RemoteProtocolError("a text is not UTF-8") from None
        raise RemoteProtocolError(f"data of kind {box.kind[:40]!r} arrived")

    def read_hashed(self, box: codec.Set | codec.Frozen, depth: int) -> Any:
        kind = set if type(box) is codec.Set else frozenset
        try:
            return kind(self.keys(box.items, depth))
        except TypeError as error:
            raise RemoteProtocolError(f"a set has a member that cannot be hashed: {error}") from None

    def read_map(self, box: codec.Map, depth: int) -> Any:
        items = box.items
        for item in items.values():
            if isinstance(item, Box):
                return {
                    key: self.read(item, depth) if isinstance(item, Box) else item
                    for key, item in items.items()
                }
        return items

    def read_pairs(self, box: codec.Pairs, depth: int) -> Any:
        try:
            return dict(zip(self.keys(box.keys, depth), self.all(box.values, depth), strict=True))
        except (TypeError, ValueError) as error:
            raise RemoteProtocolError(f"a dictionary cannot be read: {error}") from None

    def read_slice(self, box: codec.Slice, depth: int) -> Any:
        parts = self.all([box.start, box.stop, box.step], depth)
        try:
            return slice(*parts) if box.kind == "s" else range(*parts)
        except (TypeError, ValueError) as error:
            raise RemoteProtocolError(f"a range cannot be read: {error}") from None

    def read_packed(self, box: codec.Packed, _depth: int) -> Any:
        data = self.buffer(box.index)
        if box.kind not in {"d", "q"} or data.nbytes % 8:
            raise RemoteProtocolError("a list of numbers cannot be read")
        if data.nbytes // 8 > self.boxing.limits.elements:
            raise RemoteProtocolError("a list of numbers has too many elements")
        return data.cast(box.kind).tolist()

    def read_home(self, box: codec.Home, _depth: int) -> Any:
        try:
            with self.boxing.guard:
                obj = self.boxing.exports.get(box.oid)
        except KeyError:
            raise RemoteProtocolError(f"the peer names object {box.oid}, which it does not hold") from None
        for name in box.path.split(".") if box.path else ():
            obj = self.boxing.policy.read(obj, name)
        return obj


READERS: dict[type, Callable[[_Reader, Any, int], Any]] = {
    codec.Bytes: _Reader.read_bytes,
    codec.Tuple: lambda reader, box, depth: tuple(reader.all(box.items, depth)),
    codec.List: lambda reader, box, depth: reader.all(box.items, depth),
    codec.Set: _Reader.read_hashed,
    codec.Frozen: _Reader.read_hashed,
    codec.Map: _Reader.read_map,
    codec.Pairs: _Reader.read_pairs,
    codec.Scalar: lambda _reader, box, _depth: values.read_scalar(box.kind, box.text),
    codec.Slice: _Reader.read_slice,
    codec.Packed: _Reader.read_packed,
    codec.Array: lambda reader, box, _depth: adapters.unbox_array(box, reader.buffer),
    codec.Table: lambda reader, box, _depth: adapters.unbox_table(box, reader.buffer),
    codec.Registered: lambda reader, box, depth: values.rebuild(
        box.name, reader.all(box.fields, depth)
    ),
    codec.Ref: lambda reader, box, _depth: reader.boxing.import_reference(box),
    codec.Home: _Reader.read_home,
}
