"""What a policy remembers about the objects of one class; see `access`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import GetSetDescriptorType, ModuleType
from typing import Any, Final

from nbrpc.objects.exposure import CONTAINER_METHODS, WITHOUT_PUBLIC_NAMES
from nbrpc.objects.named import enumeration_of
from nbrpc.objects.records import shape_of
from nbrpc.objects.static import MISSING, dictionary_of, find, lineage, namespace

__all__ = ["DELETE", "READ", "WRITE", "Right", "Shape"]

MEMBER_FIELDS: Final = frozenset({"name", "value"})

MAX_BORNE: Final = 1_024
"""Names of instance attributes that are remembered for a class; objects may have any number."""


class Right(Enum):
    """What a peer wants to do with a name."""

    READ = "read"
    WRITE = "set"
    DELETE = "delete"


READ, WRITE, DELETE = Right.READ, Right.WRITE, Right.DELETE


class Shape:
    """What a policy knows about the objects of one class, or about a class that is the object."""

    __slots__ = (
        "borne",
        "calls",
        "cls",
        "deleter",
        "dictionary",
        "dynamic",
        "fields",
        "getter",
        "hidden",
        "is_metaclass",
        "is_module",
        "methods",
        "public",
        "quick_dictionary",
        "reads",
        "setter",
        "twins",
    )

    def __init__(self, cls: type, metaclass: type | None = None) -> None:
        self.cls = cls
        """Whose names these are; held, so that its id stays its own."""
        owner = metaclass or cls
        self.is_metaclass = metaclass is None and issubclass(cls, type)
        self.is_module = metaclass is None and issubclass(cls, ModuleType)
        self.getter = find(owner, "_rpyc_getattr")
        self.setter = find(owner, "_rpyc_setattr")
        self.deleter = find(owner, "_rpyc_delattr")
        self.dynamic = find(owner, "__getattr__") is not MISSING and not self.is_module
        self.methods = CONTAINER_METHODS.get(id(owner), frozenset())
        self.fields: frozenset[str] = frozenset()
        """The fields of a record, or of a member of an enumeration: they are data."""
        if metaclass is None:
            record = shape_of(cls)
            if record is not None:
                self.fields = frozenset(record.fields)
            elif enumeration_of(cls) is not None:
                self.fields = MEMBER_FIELDS
        # A metaclass that is handed over is machinery; its instances, classes, are looked into.
        machinery = (*WITHOUT_PUBLIC_NAMES, type) if metaclass else WITHOUT_PUBLIC_NAMES
        self.public = not issubclass(cls, machinery)
        self.hidden: set[str] = set()
        """Public names that are not: str.format walks attributes that its template names, and what
        a metaclass defines (mro, ...) is no member of the class."""
        if issubclass(cls, str):
            self.hidden |= {"format", "format_map"}
        if metaclass is not None:
            inherited = {name for base in lineage(metaclass) for name in namespace(base)}
            self.hidden |= inherited - {name for base in lineage(cls) for name in namespace(base)}
        self.calls: dict[str, tuple[str, bool | None, bool, bool]] = {}
        """Methods that were called: real name, whether results are copied, whether interruptible,
        and whether that is so only of objects without an attribute of the plain name."""
        self.reads: dict[str, str] = {}
        """Names that the class alone decides; its members bound their number."""
        self.twins: dict[str, str] = {}
        """The same, for objects that have no attribute of the plain name."""
        self.borne: dict[str, str] = {}
        """Names about which the class says nothing, for objects that have the real one."""
        found: Any = MISSING if issubclass(owner, type) else find(cls, "__dict__")
        self.dictionary = found
        is_usual = type(found) is GetSetDescriptorType
        self.quick_dictionary = found.__get__ if is_usual else None

    def remembered(self, name: str, real: str, right: Right) -> str:
        """Note what was decided for an object that has the attribute, and give it back."""
        if right is READ and len(self.borne) < MAX_BORNE:
            self.borne[name] = real
        return real

    def own(self, obj: object) -> Mapping[str, object]:
        """Give the instance dictionary of an object of this class; a class has none."""
        if self.quick_dictionary is not None:
            entries = self.quick_dictionary(obj)
            if type(entries) is dict:
                return entries
        return dictionary_of(self.dictionary, obj)
