"""Records: objects that are nothing but their fields, copied without their class.

A named tuple, dataclass, attrs class, msgspec Struct or pydantic model is a record unless it, or a
base below the library's own, has public methods, properties or operators. Its copy is a member of a
class that is made here of the name and the fields: it has the same fields and repr, cannot be
changed, and equals a record or an object of that name with equal fields.
"""

from __future__ import annotations

import collections
import dataclasses
import sys
from collections.abc import Sequence
from types import FunctionType
from typing import Any, NamedTuple

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.names import is_attribute_name
from nbrpc.objects.static import (
    class_module,
    class_name,
    find,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
)
from nbrpc.objects.text import printable

__all__ = ["KINDS", "MOST_CLASSES", "Record", "Shape", "apart", "rebuild", "shape_of"]

MOST_FIELDS = 1_000
MOST_CLASSES = 1_000
"""Classes of records of one connection."""

LONGEST_TEXT = 64 * 1024


class Shape(NamedTuple):
    """What is known of a class of records.

    Attributes
    ----------
    kind
        ``row`` for named tuples, which are tuples here too, else ``record``.
    frozen
        Whether its objects never change.
    hashable
        Whether equal ones have equal hashes.
    shown
        Whether the class has a repr of its own, which then travels as text.
    """

    kind: str
    name: str
    fields: tuple[str, ...]
    frozen: bool
    hashable: bool
    shown: bool


GENERATED = frozenset(
    """
    __init__ __new__ __repr__ __eq__ __ne__ __hash__ __lt__ __le__ __gt__ __ge__ __post_init__
    __setattr__ __delattr__ __getstate__ __setstate__ __getnewargs__ __replace__ __match_args__
    __attrs_init__ __attrs_post_init__ __attrs_pre_init__ __str__ __rich_repr__ __reduce__
    __copy__ __deepcopy__ __init_subclass__ __class_getitem__ __annotate__ __annotate_func__
    """.split()  # noqa: SIM905 - a list of words
)
"""Special methods that a class of records may have: they make, compare and show its objects."""

_shapes: dict[type, Shape | None] = {}


def shape_of(cls: type) -> Shape | None:
    """Give what is known of a class of records; None if it is none. Runs no code of it."""
    if not _is_asked(cls):
        return None
    try:
        return _shapes[cls]
    except KeyError:
        pass
    if len(_shapes) >= 2 * MOST_CLASSES:
        _shapes.clear()
    _shapes[cls] = shape = _look(cls)
    return shape


def _is_asked(cls: type) -> bool:
    """Whether a class may be asked: its metaclass is Python's, or of a library that has records."""
    meta = type(cls)
    return meta is type or class_module(meta).partition(".")[0] in {"abc", "msgspec", "pydantic"}


def _look(cls: type) -> Shape | None:
    found = _fields_of(cls)
    if found is None:
        return None
    kind, fields, frozen, library = found
    name = class_name(cls)  # "Page[int]", say, of a generic model
    if len(fields) > MOST_FIELDS or not all(map(is_attribute_name, (name, *fields))):
        return None
    if any(field.startswith("_") for field in fields):
        return None  # what is private is not for the peer
    shown = False
    for base in lineage(cls):
        if base in library:
            break
        if not _is_plain(base, fields):
            return None
        own = namespace(base).get("__repr__")
        shown = shown or (type(own) is FunctionType and not _is_generated(own))
    hashable = find(cls, "__hash__") is not None and frozen
    return Shape(kind, name, fields, frozen, hashable, shown)


def _fields_of(cls: Any) -> tuple[str, tuple[str, ...], bool, tuple[type, ...]] | None:
    """Give the kind, the fields, whether it is frozen, and where the library's classes begin."""
    names = find(cls, "_fields")
    if issubclass(cls, tuple):
        if type(names) is tuple and tuple in cls.__bases__:
            return "row", names, True, (tuple, object)
        return None
    if is_kind_of(find(cls, "__dataclass_fields__"), dict) and dataclasses.is_dataclass(cls):
        fields = tuple(field.name for field in dataclasses.fields(cls))
        frozen = bool(getattr(cls, "__dataclass_params__").frozen)  # noqa: B009 - mypy has no such name
        return "record", fields, frozen, (object,)
    attributes = find(cls, "__attrs_attrs__")
    if is_kind_of(attributes, tuple):
        frozen = getattr(find(cls, "__setattr__"), "__name__", "") == "_frozen_setattrs"
        fields = tuple(str(item.name) for item in attributes)  # type: ignore[attr-defined] # attrs ships no types
        return "record", fields, frozen, (object,)
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and issubclass(cls, msgspec.Struct):
        frozen = bool(cls.__struct_config__.frozen)
        return "record", tuple(cls.__struct_fields__), frozen, (msgspec.Struct, object)
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(cls, pydantic.BaseModel):
        frozen = bool(cls.model_config.get("frozen"))
        return "record", tuple(cls.model_fields), frozen, (pydantic.BaseModel, object)
    return None


def _is_plain(base: type, fields: tuple[str, ...]) -> bool:
    """Whether the body of a class defines nothing that its objects could do."""
    for name, value in namespace(base).items():
        if name in fields or name in GENERATED:
            continue
        special = name.startswith("__") and name.endswith("__")
        does = is_kind_of(value, (FunctionType, property, classmethod, staticmethod))
        if does and (special or not name.startswith("_")):
            return False
        if not does and not special and hasattr(type(value), "__get__") and name[:1] != "_":
            return False  # a cached property, say
    return True


def _is_generated(function: FunctionType) -> bool:
    """Whether a repr was made by the library, which shows the name and the fields."""
    code = getattr(function, "__wrapped__", function).__code__
    path = code.co_filename
    return (
        path.startswith("<")
        or "/attr/" in path
        or path.endswith(("dataclasses.py", "collections/__init__.py", "reprlib.py"))
    )


def apart(shape: Shape, obj: Any) -> tuple[object, ...] | None:
    """Give the parts of a record; None if the object has more than its fields."""
    if shape.kind == "row":
        values: Sequence[object] = tuple(obj)
        if len(values) != len(shape.fields):
            return None
    else:
        extra = own_attributes(obj).keys() - set(shape.fields)
        if any(not name.startswith("__") for name in extra):
            return None
        try:
            values = [getattr(obj, name) for name in shape.fields]
        except AttributeError:  # a field that was never set
            return None
    text = None
    if shape.shown:
        try:
            text = str.__str__(repr(obj))[:LONGEST_TEXT]
        except Exception:  # its author's, and it may do anything
            return None
    return (shape.name, shape.fields, shape.hashable, text, *values)


# ---- what they become


class Record:
    """A copied record of the other side; its fields can be read."""

    __slots__ = ("_nbrpc_hashable_", "_nbrpc_text_")

    _nbrpc_hashable_: bool
    _nbrpc_text_: str | None

    def __init__(self, **values: object) -> None:
        names = {field.name for field in dataclasses.fields(self)}  # type: ignore[arg-type] # each class is one
        if values.keys() != names:
            raise TypeError(f"a {type(self).__name__} has the fields {', '.join(sorted(names))}")
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_nbrpc_text_", None)
        object.__setattr__(self, "_nbrpc_hashable_", True)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{name!r} cannot be set: this {type(self).__name__} is a copy, and a change of it "
            "would change nothing on the other side"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name!r} cannot be deleted: this {type(self).__name__} is a copy")

    def __repr__(self) -> str:
        text: str | None = self._nbrpc_text_
        if text is not None:
            return printable(text)
        fields = ", ".join(f"{name}={value!r}" for name, value in _entries(self))
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        mine = _entries(self)
        if isinstance(other, Record):
            return type(self).__name__ == type(other).__name__ and mine == _entries(other)
        shape = shape_of(type(other))
        if shape is None or shape.kind != "record" or shape.name != type(self).__name__:
            return NotImplemented
        return list(shape.fields) == [name for name, _ in mine] and all(
            value == getattr(other, name) for name, value in mine
        )

    def __hash__(self) -> int:
        if not self._nbrpc_hashable_:
            raise TypeError(f"unhashable type: {type(self).__name__!r}")
        return hash(tuple(value for _, value in _entries(self)))

    def __reduce__(self) -> Any:
        return _again, (type(self).__name__, dict(_entries(self)), self._nbrpc_text_)


def _entries(record: Record) -> list[tuple[str, object]]:
    """Give the fields of a record; no method of it, since a field may have any name."""
    return [
        (field.name, getattr(record, field.name))
        for field in dataclasses.fields(record)  # type: ignore[arg-type] # each class is one
    ]


def _again(name: str, entries: dict[str, Any], text: str | None) -> Record:
    """Make one again, for copies and other processes."""
    made: Record = _class(name, tuple(entries))(**entries)
    object.__setattr__(made, "_nbrpc_text_", text)
    return made


def _class(name: str, fields: tuple[str, ...]) -> Any:
    body = {"__annotations__": dict.fromkeys(fields, object), "__module__": "nbrpc.records"}
    return dataclasses.dataclass(init=False, repr=False, eq=False)(type(name, (Record,), body))


def _row_class(name: str, fields: tuple[str, ...]) -> Any:
    make: Any = collections.namedtuple  # noqa: PYI024 - the fields come at run time
    return make(name, fields, module="nbrpc.records", rename=True)


def _is_misplaced(place: int, field: str) -> bool:
    """Whether no named tuple has a field of this name there: with an underscore it is a number."""
    return field.startswith("_") and field != f"_{place}"


def rebuild(kind: str, parts: list[Any], classes: dict[object, Any]) -> object:
    """Make a record of its parts.

    Parameters
    ----------
    classes
        Those that were made before for this connection.

    Raises
    ------
    RemoteProtocolError
        These are no parts of a record, or there are too many classes of them.
    """
    if len(parts) < 4:
        raise RemoteProtocolError("a record has no fields")
    name, fields, hashable, text, *values = parts
    sound = (
        is_attribute_name(name)
        and type(fields) is tuple
        and all(type(field) is str for field in fields)
        and len(fields) == len(values) <= MOST_FIELDS
        and type(hashable) is bool
        and (text is None or type(text) is str)
    )
    key = (kind, name, fields) if sound else None
    cls = classes.get(key)
    if cls is None:
        if not sound or not all(map(is_attribute_name, fields)) or len({*fields}) < len(fields):
            raise RemoteProtocolError("a record cannot be read")
        if len(classes) >= MOST_CLASSES:
            raise RemoteProtocolError(f"over {MOST_CLASSES:,} classes of records arrived")
        if kind == "row" and any(map(_is_misplaced, range(len(fields)), fields)):
            raise RemoteProtocolError("a field of a named tuple begins with an underscore")
        cls = classes[key] = (_row_class if kind == "row" else _class)(name, fields)
    if kind == "row":
        return cls._make(values)
    made = object.__new__(cls)
    for field, value in zip(fields, values, strict=True):
        object.__setattr__(made, field, value)
    object.__setattr__(made, "_nbrpc_text_", None if text is None else printable(text))
    object.__setattr__(made, "_nbrpc_hashable_", hashable)
    return made


KINDS = frozenset({"record", "row"})
