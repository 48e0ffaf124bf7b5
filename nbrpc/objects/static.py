"""Looking at objects without running any of their code.

``getattr``, ``dir``, ``isinstance`` and even ``cls.__mro__`` can all be answered by code of the
class or of its metaclass. What is here reads the interpreter's own slots instead, through the
descriptors of `type`, so that a look at an object is only ever a look.

Only `bind` runs foreign code (a descriptor's ``__get__``); who calls it is about to use the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partialmethod, singledispatchmethod
from types import (
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    WrapperDescriptorType,
)
from typing import Any, Final, cast

__all__ = [
    "C_DESCRIPTORS",
    "MISSING",
    "bind",
    "class_module",
    "class_name",
    "class_qualname",
    "dictionary_of",
    "find",
    "is_class",
    "is_kind_of",
    "lineage",
    "namespace",
    "own_attributes",
    "property_getter",
    "property_setter",
    "slot_value",
    "underlying",
]

MISSING: Final = object()
"""Stands for "there is no such attribute" where None is a possible value."""

lineage = cast("Callable[[type], tuple[type, ...]]", type.__dict__["__mro__"].__get__)
"""The method resolution order of a class; a metaclass cannot answer in its place."""

namespace = cast("Callable[[type], Mapping[str, object]]", type.__dict__["__dict__"].__get__)
"""What the body of a class defined, without its bases."""

class_name = cast("Callable[[type], str]", type.__dict__["__name__"].__get__)
class_qualname = cast("Callable[[type], str]", type.__dict__["__qualname__"].__get__)
property_getter = cast("Callable[[object], object]", property.__dict__["fget"].__get__)
property_setter = cast("Callable[[object], object]", property.__dict__["fset"].__get__)

_class_module = type.__dict__["__module__"].__get__
C_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)
"""Descriptors that are written in C: reading through them runs no Python code."""

_HOLDERS = (cached_property, partialmethod, singledispatchmethod)


def is_kind_of(obj: object, kinds: type | tuple[type, ...]) -> bool:
    """Whether the real class of `obj` derives from one of the builtin classes `kinds`.

    `isinstance` would also ask ``obj.__class__``, which an object may answer as it likes.
    """
    return issubclass(type(obj), kinds)


def is_class(obj: object) -> bool:
    """Whether `obj` is a class."""
    return issubclass(type(obj), type)


def find(cls: type, name: str) -> object:
    """Give what `name` is in the class or its bases, not bound to anything, or `MISSING`."""
    for base in lineage(cls):
        entries = namespace(base)
        if name in entries:
            return entries[name]
    return MISSING


def class_module(cls: type) -> str:
    """Give the name of the module that defined a class, or an empty string."""
    module = _class_module(cls)
    return module if type(module) is str else ""


def own_attributes(obj: object) -> Mapping[str, object]:
    """Give the instance dictionary of `obj`: its own, or an empty one.

    A class whose ``__dict__`` is anything but the interpreter's has none. Of a class, what its body
    defined. Keys may be anything; the caller looks at exact strings only.
    """
    cls = type(obj)
    if issubclass(cls, type):
        return namespace(cast("type", obj))
    return dictionary_of(find(cls, "__dict__"), obj)


def dictionary_of(descriptor: object, obj: object) -> Mapping[str, object]:
    """Give the instance dictionary of `obj`, where its class has `descriptor` for ``__dict__``."""
    entries = slot_value(descriptor, obj) if is_kind_of(descriptor, C_DESCRIPTORS) else MISSING
    if type(entries) is dict:
        return entries
    # A subclass of dict could bring its own lookup, so the plain part of it is copied out.
    return dict(dict.items(cast("Any", entries))) if is_kind_of(entries, dict) else {}


def slot_value(descriptor: object, obj: object) -> object:
    """Read `obj` through a descriptor that is written in C, or give `MISSING`."""
    try:
        return cast("Any", descriptor).__get__(obj)
    except (AttributeError, TypeError):  # an empty slot; a descriptor of another class
        return MISSING


def underlying(value: object) -> object:
    """Give the function inside a property, class method, bound method and the like, or `value`."""
    for _ in range(8):  # decorators stack, but never so deep
        cls = type(value)
        if cls is FunctionType:
            break
        if issubclass(cls, property):
            value = property_getter(value)
        elif issubclass(cls, staticmethod):
            value = staticmethod.__dict__["__func__"].__get__(value)
        elif issubclass(cls, classmethod):
            value = classmethod.__dict__["__func__"].__get__(value)
        elif cls is MethodType:
            value = cast("MethodType", value).__func__
        elif issubclass(cls, _HOLDERS):
            value = own_attributes(value).get("func")
        else:
            break
    return value


def bind(value: object, obj: object) -> Any:
    """Bind an entry of the class of `obj` to `obj`, as attribute access would."""
    kind = type(value)
    if kind is FunctionType:
        return MethodType(cast("FunctionType", value), obj)
    if kind is WrapperDescriptorType or kind is MethodDescriptorType:
        # With the class: CPython before 3.13 crashes where a method of C asks for it in vain.
        return cast("Any", value).__get__(obj, type(obj))
    get = find(kind, "__get__")
    return value if get is MISSING else cast("Any", get)(value, obj, type(obj))
