"""Python objects to wire values and back: what travels by value, and what by reference.

By value: what never changes (numbers, text, bytes, tuples, dates, ...), and what the user asked to
copy. By reference: all else; the peer gets a proxy. ``nbrpc.by_value`` and its kin choose the deep
form, in which containers, arrays and tables are copied and anything else is refused with the path
to it. How the peer reads them is in ``unboxing``.

Nothing here blocks or calls user code, save for the adapters' libraries in the deep form.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from io import BytesIO
from types import NoneType
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import adapters, values
from nbrpc.objects.access import Policy
from nbrpc.objects.describe import describe, description_key
from nbrpc.objects.draft import ByReference, ByValue, Draft, by_value
from nbrpc.objects.refs import Exports, Imports
from nbrpc.objects.unboxing import Reader
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

PLAIN_KEYS = frozenset({NoneType, bool, int, float, complex, str, bytes})


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

    def box(self, obj: object, draft: Draft, depth: int = 0) -> Value:
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
        return self._box_other(obj, draft, depth)

    def _box_other(self, obj: Any, draft: Draft, depth: int) -> Value:
        kind = type(obj)
        if kind is ByValue:
            return self.box_deep(obj.obj, draft, depth)
        if kind is ByReference:
            return self.box_reference(obj.obj, draft)
        if kind is tuple:
            self._check_depth(obj, depth)
            draft.count(len(obj))
            return codec.Tuple([self.box(item, draft, depth + 1) for item in obj])
        if kind is slice:
            self._check_depth(obj, depth)
            return codec.Slice("s", *(self.box(part, draft, depth + 1) for part in _parts(obj)))
        if kind is frozenset and _is_plain_key(obj, self.limits.depth - depth):
            draft.count_keys(obj)
            return codec.Frozen([self.box(item, draft, depth + 1) for item in obj])
        scalar = values.box_scalar(obj)
        if scalar is not None:
            return scalar
        name = values.registered_name(kind)
        if name is not None and values.is_frozen(kind):
            self._check_depth(obj, depth)
            fields = values.fields_of(obj)
            return codec.Registered(name, [self.box(item, draft, depth + 1) for item in fields])
        number = adapters.box_scalar(obj)
        if number is not None:
            return number
        return self.box_reference(obj, draft)

    def _check_depth(self, obj: object, depth: int) -> None:
        if depth >= self.limits.depth:
            raise _Refused(
                f"is nested deeper than {self.limits.depth} levels, or contains itself", obj
            )

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
        self._check_depth(obj, depth)
        if kind is ByValue:
            return self.box_deep(obj.obj, draft, depth)  # type: ignore[attr-defined]
        if kind is list or kind is tuple:
            return self._deep_items(obj, draft, depth + 1)  # type: ignore[arg-type]
        if kind is dict:
            return self._deep_dict(obj, draft, depth + 1)  # type: ignore[arg-type]
        if kind is set or kind is frozenset:
            items = self._deep_keys(obj, draft, depth + 1, "{...}")  # type: ignore[arg-type]
            return codec.Set(items) if kind is set else codec.Frozen(items)
        if kind is slice:
            parts = (_step(self, part, draft, depth + 1, "[:]") for part in _parts(obj))
            return codec.Slice("s", *parts)
        if kind is bytearray:
            return _write_bytes(self, obj, draft)
        return self._deep_other(obj, draft, depth)

    def _deep_items(self, obj: list[Any] | tuple[Any, ...], draft: Draft, depth: int) -> Value:
        draft.count(len(obj))
        kinds = set(map(type, obj))
        if len(obj) >= PACK_FROM and type(obj) is list and len(kinds) == 1:
            packed = adapters.pack_numbers(obj, kinds, draft.attach)
            if packed is not None:
                return packed
        box = codec.List if type(obj) is list else codec.Tuple
        if self.box_plain(obj):
            return box(list(obj))
        boxes: list[Value] = []
        try:
            for item in obj:
                boxes.append(self._deep_item(item, draft, depth))  # noqa: PERF401 - the index of a refusal
        except _Refused as refused:
            refused.prepend(f"[{len(boxes)}]")
            raise
        return box(boxes)

    def _deep_item(self, item: Any, draft: Draft, depth: int) -> Value:
        """Box one item; the usual kinds at once."""
        kind = type(item)
        if kind is str:
            if len(item) <= SHORT_TEXT and item.isascii():
                return item  # type: ignore[no-any-return] # mypy does not narrow by `kind`
        elif kind in AS_THEY_ARE:
            return item  # type: ignore[no-any-return] # the same
        return self.box_deep(item, draft, depth)

    def _deep_dict(self, obj: dict[Any, Any], draft: Draft, depth: int) -> Value:
        if set(map(type, obj)) <= {str} and all(map(str.isascii, obj)):
            draft.count(len(obj))
            if self.box_plain(obj.values()):
                return codec.Map(obj)
            boxes: dict[str, Value] = {}
            for key, item in obj.items():
                try:
                    boxes[key] = self._deep_item(item, draft, depth)
                except _Refused as refused:
                    refused.prepend(f"[{key!r}]")
                    raise
            return codec.Map(boxes)
        return codec.Pairs(
            self._deep_keys(obj, draft, depth, ".keys()"),
            [_step(self, item, draft, depth, f"[{key!r:.50}]") for key, item in obj.items()],
        )

    def _deep_keys(
        self, keys: Collection[object], draft: Draft, depth: int, step: str
    ) -> list[Value]:
        draft.count_keys(keys)
        draft.hashing += 1
        boxes = [_step(self, key, draft, depth, step) for key in keys]
        draft.hashing -= 1
        return boxes

    def _deep_other(self, obj: object, draft: Draft, depth: int) -> Value:
        home = self._home(obj)
        if home is not None:
            if draft.hashing:
                raise _Refused("is a proxy, which cannot be hashed on the other side", obj)
            return codec.Home(*home)
        kind = type(obj)
        scalar = values.box_scalar(obj)
        if scalar is not None:
            return scalar
        name = values.registered_name(kind)
        if name is not None:
            fields = values.fields_of(obj)
            return codec.Registered(
                name,
                [_step(self, item, draft, depth + 1, f".{i}") for i, item in enumerate(fields)],
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
            return self.box_deep(list(obj), draft, depth)  # type: ignore[call-overload]
        raise _Refused("cannot be copied", obj)

    # ---- unboxing

    def unbox(self, value: Value, buffers: list[BytesIO] | None) -> Any:
        """Give the object that a wire value stands for.

        Raises
        ------
        RemoteProtocolError
            The value is not what boxing makes.
        NotSendable
            It needs a class or a library that is missing here.
        """
        return self.unbox_all([value], buffers)[0] if isinstance(value, Box) else value

    def unbox_all(self, items: list[Value], buffers: list[BytesIO] | None) -> list[Any]:
        """Unbox the values of one message; raises what `unbox` does.

        When one of them cannot be read, the references in all the others are given back.
        """
        for item in items:
            if isinstance(item, Box):
                break
        else:
            return items
        reader = Reader(self, buffers)
        try:
            return [reader.read(item) if isinstance(item, Box) else item for item in items]
        except BaseException:
            for item in items:
                self.discard(item, reader.imported)
            raise

    def import_reference(self, ref: codec.Ref) -> object:
        """Give the proxy of an object of the peer, made anew when there is none."""
        if not self._remember(ref):
            raise RemoteProtocolError("the peer described too many classes")
        with self.guard:
            proxy = self.imports.get(ref.oid)
            if proxy is None:
                if len(self.imports) >= 10 * self.limits.exported:
                    raise RemoteProtocolError("the peer sent too many references")
                description = self._descriptions.get(ref.key, UNKNOWN)
                proxy = self._make_proxy(ref.oid, ref.key, description)
                self.imports.add(ref.oid, proxy)
        return proxy

    def learn(self, values: Iterable[Any], depth: int = 0) -> None:
        """Note the descriptions in values that have just been received.

        A description comes with the first reference to its class only, and messages are unboxed by
        whoever waits for them, in any order: so it is noted by the thread that reads, which sees
        them in the order in which they were sent. Copies hold no references and are not looked at.

        Raises
        ------
        RemoteProtocolError
            There are too many, or they stand too deep.
        """
        if depth > self.limits.depth + 2:
            raise RemoteProtocolError("a value is nested too deeply")
        for value in values:
            kind = type(value)
            if kind is codec.Ref:
                if not self._remember(value):
                    raise RemoteProtocolError("the peer described too many classes")
            elif kind is codec.Tuple:
                self.learn(value.items, depth + 1)
            elif kind is codec.Registered:
                self.learn(value.fields, depth + 1)
            elif kind is codec.Slice:
                self.learn((value.start, value.stop, value.step), depth + 1)

    def _remember(self, ref: codec.Ref) -> bool:
        """Keep the description that came with a reference; whether there was room for it."""
        if ref.description is None:
            return True
        known = self._descriptions
        if ref.key not in known and len(known) >= self.limits.exported:
            return False
        known.setdefault(ref.key, ref.description)
        return True

    def discard(self, value: object, imported: Collection[int] = ()) -> None:
        """Give back the references in a value that nobody will unbox.

        Parameters
        ----------
        imported
            The identities of the Refs in it that became proxies, which give themselves back.
        """
        rest = [value]
        while rest:
            value = rest.pop()
            if isinstance(value, codec.Ref):
                if id(value) not in imported:
                    # The peer will not describe that class again.
                    self._remember(value)
                    self.imports.owed.append((value.oid, 1))
            elif isinstance(value, (codec.Tuple, codec.List, codec.Set, codec.Frozen)):
                rest += value.items
            elif isinstance(value, codec.Map):
                rest += value.items.values()
            elif isinstance(value, codec.Pairs):
                rest += (*value.keys, *value.values)
            elif isinstance(value, codec.Registered):
                rest += value.fields
            elif isinstance(value, codec.Slice):
                rest += (value.start, value.stop, value.step)


class _Refused(NotSendable):
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
        self.path = step + self.path
        self._tell()


_Refused.__name__ = NotSendable.__name__  # the name that IPython shows


def _step(boxing: Boxing, item: object, draft: Draft, depth: int, step: str) -> Value:
    """Box one item deep; a refusal learns the way to it."""
    try:
        return boxing.box_deep(item, draft, depth)
    except _Refused as refused:
        refused.prepend(step)
        raise


AS_THEY_ARE = frozenset({NoneType, bool, float})
DICT_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _write_int(_boxing: Boxing, obj: Any, _draft: Draft) -> Value:
    if MIN_INT <= obj <= MAX_INT:
        return obj  # type: ignore[no-any-return]
    text = f"{obj:x}"
    if len(text) > values.MAX_TEXT:
        raise _Refused(f"of {len(text):,} hexadecimal digits is too large", obj)
    return codec.Scalar("int", text)


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


def _write_range(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    return codec.Slice("r", *(_write_int(boxing, part, draft) for part in _parts(obj)))


def _parts(obj: Any) -> tuple[Any, Any, Any]:
    return obj.start, obj.stop, obj.step


def _is_plain_key(obj: Any, depth: int) -> bool:
    """Whether something hashable travels by value to its last member."""
    kind = type(obj)
    if kind is tuple or kind is frozenset:
        return depth > 0 and all(_is_plain_key(item, depth - 1) for item in obj)
    return kind in PLAIN_KEYS


WRITERS: dict[type, Callable[[Boxing, Any, Draft], Value]] = {
    int: _write_int,
    str: _write_str,
    bytes: _write_bytes,
    range: _write_range,
}
