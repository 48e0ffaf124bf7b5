"""How each kind of value is written: one function for each builtin class, one for all others.

What is copied depends on the form of the draft. A container is looked at once, in a copy that is
made in one step, so that another thread may change it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import (
    BuiltinFunctionType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    NoneType,
)
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from nbrpc.errors import NotSendable
from nbrpc.objects import arrays, kinds, named, records, values
from nbrpc.objects.draft import ATTRIBUTE, DATA, DEEP, SHALLOW, ByReference, ByValue, Draft, Refused
from nbrpc.objects.error_classes import parts_of_class
from nbrpc.objects.kinds.arrow import write_table
from nbrpc.objects.static import class_module, is_class
from nbrpc.protocol import codec
from nbrpc.protocol.codec import MAX_INT, MIN_INT, Value

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing

__all__ = ["AS_THEY_ARE", "SHORT_TEXT", "WRITERS", "write_other"]

INLINE = 64 * 1024
"""Strings and bytes above this travel beside the structural body."""

SHORT_TEXT = 16 * 1024
"""A str of so many characters has at most `INLINE` bytes."""

PACK_FROM = 256
"""Lists of numbers of at least this length travel as one buffer."""

AS_THEY_ARE = frozenset({NoneType, bool, float})


# ---- plain values


def _write_int(_boxing: Boxing, obj: Any, _draft: Draft) -> Value:
    if MIN_INT <= obj <= MAX_INT:
        return obj  # type: ignore[no-any-return] # of the class that was asked for
    text = f"{obj:x}"
    if len(text) > values.MAX_TEXT:
        raise Refused(f"of {len(text):,} hexadecimal digits is too large", obj)
    return codec.Scalar("int", text)


def _write_str(_boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if len(obj) <= SHORT_TEXT:
        if obj.isascii():
            return obj  # type: ignore[no-any-return] # the same
        try:
            obj.encode()
        except UnicodeEncodeError:
            return codec.Bytes("u", -1, obj.encode("utf-8", "surrogatepass"))
        return obj  # type: ignore[no-any-return] # of the class that was asked for
    data = obj.encode("utf-8", "surrogatepass")
    if len(data) <= INLINE:
        return codec.Bytes("u", -1, data)
    return codec.Bytes("u", draft.attach(data))


def _write_bytes(_boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if len(obj) <= INLINE:
        return codec.Bytes("b", -1, obj)
    return codec.Bytes("b", draft.attach(obj))


def _write_range(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    return codec.Slice("r", *(_write_int(boxing, part, draft) for part in _parts(obj)))


def _write_slice(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    _enter(draft, obj)
    box = codec.Slice("s", *(_step(boxing, part, draft, "[:]") for part in _parts(obj)))
    draft.depth -= 1
    return box


def _parts(obj: Any) -> tuple[Any, Any, Any]:
    return obj.start, obj.stop, obj.step


# ---- containers


def _enter(draft: Draft, obj: object) -> int:
    """Go one level deeper, and give how many elements are left for what is there.

    Who leaves it counts down, unless the message is given up.
    """
    draft.depth += 1
    most = draft.boxing.limits.depth
    if draft.depth > most:
        raise Refused(f"is nested deeper than {most} levels", obj)
    return draft.elements


def _leave(draft: Draft, obj: object, left: int) -> None:
    """Go up again from an object that has a number."""
    draft.depth -= 1
    draft.complete(obj, left)


def _step(boxing: Boxing, item: object, draft: Draft, step: str) -> Value:
    """Box one item; a refusal learns the way to it."""
    try:
        return boxing.box(item, draft)
    except Refused as refused:
        refused.prepend(step)
        raise


def _write_items(boxing: Boxing, items: Sequence[Any], draft: Draft) -> list[Value]:
    """Box the items of a list or tuple."""
    draft.count(len(items))
    if boxing.box_plain(items):
        return list(items)
    boxes: list[Value] = []
    try:
        for item in items:
            # The usual kinds at once.
            kind = type(item)
            if kind in AS_THEY_ARE or (kind is str and len(item) <= SHORT_TEXT and item.isascii()):
                boxes.append(item)
            else:
                boxes.append(boxing.box(item, draft))
    except Refused as refused:
        refused.prepend(f"[{len(boxes)}]")
        raise
    return boxes


def _write_tuple(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    _enter(draft, obj)
    box = codec.Tuple(_write_items(boxing, obj, draft))
    draft.depth -= 1
    return box


def _write_list(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if draft.form < DATA:
        return boxing.box_reference(obj, draft)
    if (same := draft.same(obj)) is not None:
        return same
    left = _enter(draft, obj)
    items = obj.copy()
    if len(items) >= PACK_FROM:
        classes = set(map(type, items))
        packed = arrays.pack_numbers(items, classes, draft.attach) if len(classes) == 1 else None
        if packed is not None:
            draft.count(len(items))
            _leave(draft, obj, left)
            return packed
    box = codec.List(_write_items(boxing, items, draft))
    _leave(draft, obj, left)
    return box


def _write_dict(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if draft.form < DATA:
        return boxing.box_reference(obj, draft)
    if (same := draft.same(obj)) is not None:
        return same
    left = _enter(draft, obj)
    entries = obj.copy()
    if set(map(type, entries)) <= {str} and all(map(str.isascii, entries)):
        draft.count(len(entries))
        if not boxing.box_plain(entries.values()):
            for key, item in entries.items():
                entries[key] = _step(boxing, item, draft, f"[{key!r:.50}]")
        _leave(draft, obj, left)
        return codec.Map(entries)
    keys = _write_keys(boxing, list(entries), draft, ".keys()")
    draft.count(len(entries))
    items = [_step(boxing, item, draft, f"[{key!r:.50}]") for key, item in entries.items()]
    _leave(draft, obj, left)
    return codec.Pairs(keys, items)


def _write_set(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if draft.form < DATA:
        return boxing.box_reference(obj, draft)
    if (same := draft.same(obj)) is not None:
        return same
    left = _enter(draft, obj)
    box = codec.Set(_write_keys(boxing, list(obj), draft, "{...}"))
    _leave(draft, obj, left)
    return box


def _write_frozenset(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    state = draft.checkpoint()
    try:
        _enter(draft, obj)
        box = codec.Frozen(_write_keys(boxing, list(obj), draft, "{...}"))
    except Refused:
        draft.rollback(state)
        if draft.form == DEEP or draft.hashing:
            raise
        return boxing.box_reference(obj, draft)
    draft.depth -= 1
    return box


def _write_keys(boxing: Boxing, keys: Collection[Any], draft: Draft, step: str) -> list[Value]:
    """Box what will be hashed on the other side: nothing that would ask this side for its hash."""
    draft.count_keys(keys)
    draft.hashing += 1
    boxes = [_step(boxing, key, draft, step) for key in keys]
    draft.hashing -= 1
    return boxes


def _write_bytearray(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    if draft.form < DATA:
        return boxing.box_reference(obj, draft)
    if (same := draft.same(obj)) is not None:
        return same
    data = bytes(obj)  # what is attached could not be resized until it is on its way
    if len(data) <= INLINE:
        return codec.Bytes("a", -1, data)
    return codec.Bytes("a", draft.attach(data))


# ---- marks


def _write_by_value(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    form, draft.form = draft.form, DEEP
    box = boxing.box(obj.obj, draft)
    draft.form = form
    return box


def _write_by_reference(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    return lend(boxing, obj.obj, draft)


def lend(boxing: Boxing, obj: object, draft: Draft, text: str | None = None) -> Value:
    """Send a reference, where one may stand."""
    if draft.form == DEEP:
        raise Refused("cannot be copied", obj)
    if draft.hashing and text is None:
        raise Refused("goes by reference, and cannot be hashed on the other side", obj)
    return boxing.box_reference(obj, draft, text)


WRITERS: dict[type, Callable[[Boxing, Any, Draft], Value]] = {
    int: _write_int,
    str: _write_str,
    bytes: _write_bytes,
    range: _write_range,
    slice: _write_slice,
    tuple: _write_tuple,
    list: _write_list,
    dict: _write_dict,
    set: _write_set,
    frozenset: _write_frozenset,
    bytearray: _write_bytearray,
    ByValue: _write_by_value,
    ByReference: _write_by_reference,
}


# ---- everything else


def write_other(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    """Box what is no plain value, no builtin container and no proxy of the peer."""
    cls = type(obj)
    if type(cls) is type and cls in OBJECTS and values.registered_name(cls) is None:
        return lend(boxing, obj, draft)
    scalar = values.box_scalar(obj)
    if scalar is not None:
        return scalar
    kind = kinds.kind_of(cls)
    # Under RPyC's names nothing travels so that a reference could stand for.
    asked = boxing.data_form > SHALLOW or draft.form == DEEP
    if kind is not None and asked and draft.form >= kind.level:
        made = _write_made(boxing, kind, obj, draft)
        if made is not None:
            return made
    name = values.registered_name(cls)
    if name is not None and (draft.form > SHALLOW or values.is_frozen(cls)):
        return _write_registered(boxing, name, obj, draft)
    box = (
        arrays.box_scalar(obj)
        or (_write_block(obj, draft) if draft.form >= ATTRIBUTE else None)
        or _write_named(boxing, obj, draft)
        or _write_record(boxing, obj, draft)
    )
    if box is not None:
        return box
    if _is_of_objects(cls):
        OBJECTS.add(cls)
    return lend(boxing, obj, draft)


OBJECTS: WeakSet[type] = WeakSet(
    [FunctionType, MethodType, BuiltinFunctionType, GeneratorType, CoroutineType]
)
"""Classes whose objects are no data: nothing else has to be asked of them."""

WITH_VALUES = kinds.MODULES.keys() | {"decimal", "fractions", "ipaddress", "pathlib", "uuid"}


def _is_of_objects(cls: type) -> bool:
    """Whether no object of a class is data, whatever it holds."""
    if type(cls) is not type or records.shape_of(cls) is not None or kinds.kind_of(cls) is not None:
        return False
    return class_module(cls).partition(".")[0] not in WITH_VALUES


def _write_block(obj: Any, draft: Draft) -> Value | None:
    """Box an array or a table of Arrow; None where it is none, or cannot be copied exactly."""
    is_array = arrays.is_array(obj)
    if not is_array and not kinds.is_arrow_table(obj):
        return None
    if id(obj) not in draft.seen or draft.hashing:
        try:
            write = arrays.box_array if is_array else write_table
            box: Value = write(obj, draft.attach)
        except NotSendable:
            if draft.form == DEEP:
                raise
            return None
        draft.same(obj)
        return box
    return draft.same(obj)


def _write_made(boxing: Boxing, kind: kinds.Kind, obj: object, draft: Draft) -> Value | None:
    """Box a value by its parts; None where they would not give it back exactly."""
    parts = () if id(obj) in draft.seen and not draft.hashing else kind.apart(obj)
    if parts is None:
        return None
    state = draft.checkpoint()
    box = _write_parts(boxing, kind.name, obj, parts, draft)
    if type(box) is codec.Made and _lends(kind, box):
        draft.rollback(state)
        return None
    return box


def _lends(kind: kinds.Kind, box: codec.Made) -> bool:
    """Whether a part went by reference that the other side would not take so."""
    takes = kind.takes
    return any(
        type(part) is codec.Ref and takes[min(number, len(takes) - 1)] is not None
        for number, part in enumerate(box.parts)
    )


def _write_parts(
    boxing: Boxing, name: str, obj: object, parts: Sequence[object], draft: Draft
) -> Value:
    same = draft.same(obj)
    if same is not None:
        return same
    left = _enter(draft, obj)
    number = draft.numbers - 1
    draft.opened.add(number)
    form = draft.form
    draft.form = max(form, DATA)  # what a copy is made of is copied
    draft.count(len(parts))
    boxes = [boxing.box(part, draft) for part in parts]
    draft.form = form
    draft.opened.discard(number)
    _leave(draft, obj, left)
    return codec.Made(name, boxes)


def _write_registered(boxing: Boxing, name: str, obj: object, draft: Draft) -> Value:
    _enter(draft, obj)
    fields = values.fields_of(obj)
    draft.count(len(fields))
    form = draft.form
    draft.form = max(form, DATA) if form > SHALLOW else form  # what a copy is made of is copied
    boxes = [_step(boxing, item, draft, f".{i}") for i, item in enumerate(fields)]
    draft.form = form
    draft.depth -= 1
    return codec.Registered(name, boxes)


def _write_named(boxing: Boxing, obj: Any, draft: Draft) -> Value | None:
    """Box a path, a class, or the member of an enumeration."""
    path = named.text_of_path(obj)
    if path is not None:
        if not draft.back:
            return values.scalar("path", path)
        if draft.form == DEEP:
            return values.box_pure_path(obj)
        return lend(boxing, obj, draft, path)
    errors = boxing.error_classes
    if errors is not None and is_class(obj) and issubclass(obj, Exception):
        errors.note(obj)
        return _write_parts(boxing, "exception class", obj, parts_of_class(obj), draft)
    if type(obj) in MEMBERS:
        return _write_foreign_member(boxing, obj, draft)
    member = named.member_of(obj)
    if member is None:
        return None
    if member.base is not None:
        lends = draft.form < DEEP and not draft.hashing
        parts = named.parts_of_member(obj, member, lends=lends)
        return _write_parts(boxing, "member", obj, parts, draft)
    return lend(boxing, obj, draft, member.name) if draft.form != DEEP else None


MEMBERS = frozenset({named.IntMember, named.StrMember})


def _write_foreign_member(boxing: Boxing, obj: Any, draft: Draft) -> Value:
    """Send the copy of a member on: to where its class is as that member, else as a copy."""
    cls = obj._nbrpc_class_
    if cls is not None and boxing.is_home(cls) and not draft.hashing:
        return _write_parts(boxing, "member at home", obj, (cls, obj.value), draft)
    parts = ("Member", obj.name, obj.value, *obj._nbrpc_texts_, None)
    return _write_parts(boxing, "member", obj, parts, draft)


def _write_record(boxing: Boxing, obj: Any, draft: Draft) -> Value | None:
    """Box a record: an object that is nothing but its fields."""
    shape = records.shape_of(type(obj))
    if shape is None or draft.form < (ATTRIBUTE if shape.frozen else DATA):
        return None
    if draft.hashing and not shape.hashable:
        raise Refused("is a key by its identity, which a copy has not", obj)
    sent, key = boxing.sent_records, shape[:3]
    if key not in sent and len(sent) >= records.MOST_CLASSES:
        return None
    parts = records.apart(shape, obj)
    if parts is None:
        return None
    sent.add(key)
    return _write_parts(boxing, shape.kind, obj, parts, draft)
