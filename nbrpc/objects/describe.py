"""What a peer is told about our objects: descriptions, and documentation for ``?`` and ``??``.

A `Description` travels with the first reference to an object of its class, so that a proxy knows
its members and special methods without asking. `describe` and `document` look at classes only
through `static`: no property, ``__getattr__``, ``__dir__`` or metaclass of the object gets to run.
"""

from __future__ import annotations

import inspect
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import msgspec

from nbrpc.errors import AccessDenied
from nbrpc.objects.access import Policy, Right
from nbrpc.objects.exposure import Restricted, is_event, restricted_parts
from nbrpc.objects.foreign import TOLD, data_base
from nbrpc.objects.named import describes_enumeration, enumeration_of
from nbrpc.objects.signatures import find_signature, parameters_in, text_of
from nbrpc.objects.static import (
    MISSING,
    class_module,
    class_name,
    class_qualname,
    find,
    is_class,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
    property_getter,
    slot_value,
    underlying,
)
from nbrpc.objects.text import shorten
from nbrpc.options import SAFE_ATTRIBUTES
from nbrpc.protocol.codec import Description

__all__ = [
    "Description",
    "Documentation",
    "describe",
    "description_key",
    "document",
    "document_member",
    "instance_names",
]

MAX_MEMBERS: Final = 4_096
"""Members of one description; pandas.DataFrame has 220. What is beyond is found by asking."""

MAX_NAME: Final = 200
MAX_SUMMARY: Final = 120
MAX_SOURCE: Final = 64 * 1024

ROUTINES: Final = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    MethodDescriptorType,
    ClassMethodDescriptorType,
    WrapperDescriptorType,
    MethodWrapperType,
)

BASES: Final[tuple[tuple[type, str], ...]] = tuple(
    (cls, cls.__name__)
    for cls in (list, dict, set, bytearray, deque, defaultdict, OrderedDict, Counter, array)
)
"""Mutable containers whose name a description gives as ``base``; `data_base` knows some more."""

CANDIDATES: Final = tuple(
    sorted(
        (SAFE_ATTRIBUTES | {"__call__", "__await__"} | TOLD)
        - {"__doc__", "__repr__", "__str__", "__format__"}
    )
)
"""The special methods that may or may not be there, sorted; every object has a text. Those by which
others read data are told of whatever the peer may use: they are answered with a copy."""

COMMON: Final = frozenset(namespace(object))
"""What every object has; such a special method is told only where a class brings its own."""


def describe(obj: object, policy: Policy) -> Description:
    """Describe the class of an object, or the class, module or function itself.

    No code of the object runs.
    """
    if type(obj) is Restricted:
        return _describe_restricted(obj)
    module, name = _names_of(obj)
    kind = _kind_of_object(obj)
    members: dict[str, str] = {}
    if kind != "function":
        members = _kinds(policy.members(obj))
    return Description(
        module,
        name,
        kind,
        members,
        _specials(type(obj), policy),
        None if kind == "class" else _base(type(obj)),
        _summary(_doc_of(obj)),
        "" if enumeration_of(type(obj)) is None else describes_enumeration(type(obj)),
    )


def _describe_restricted(view: Restricted) -> Description:
    target, readable = restricted_parts(view)
    return Description(
        *_names_of(target),
        "instance",
        {
            name: member_kind(_lookup(target, name))
            for name in sorted(readable)[:MAX_MEMBERS]
            if not (name.startswith("__") and name.endswith("__"))
        },
        tuple(name for name in CANDIDATES if name in readable and _has_special(type(target), name)),
        None,
        "",
    )


def description_key(obj: object, policy: Policy) -> object:
    """Give a hashable key; objects with equal keys have equal descriptions.

    Neither an object nor a function is kept alive by its key; classes and modules are.
    """
    cls = type(obj)
    if issubclass(cls, type):
        return ("class", _Identity(obj))
    if issubclass(cls, ROUTINES):
        return (cls, *_names_of(obj), _summary(_doc_of(obj)))
    if issubclass(cls, ModuleType):
        return ("module", _Identity(obj))
    if cls is Restricted:
        target, readable = restricted_parts(cast("Restricted", obj))
        return ("restricted", description_key(target, policy), readable)
    # A metaclass may define __eq__ and __hash__, which a key must not run.
    return cls if type(cls) is type else _Identity(cls)


class _Identity:
    """A key that is equal to another if it stands for the same object."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj

    def __eq__(self, other: object) -> bool:
        return type(other) is _Identity and other.obj is self.obj

    def __hash__(self) -> int:
        return id(self.obj)


def instance_names(obj: object, policy: Policy) -> dict[str, str]:
    """Give the visible names that belong to this object alone, with their kinds.

    These are its instance attributes, filled slots included, and the contents of a module.
    """
    if type(obj) is Restricted:
        return {}
    kinds = {}
    for name, value in policy.instance_members(obj).items():
        kind = member_kind(value)
        kinds[name] = "data" if kind == "property" else kind
    if not is_class(obj):
        for name, value in policy.members(obj).items():
            if type(value) is MemberDescriptorType and slot_value(value, obj) is not MISSING:
                kinds.setdefault(name, "data")
    return dict(sorted(kinds.items())[:MAX_MEMBERS])


def member_kind(value: object) -> str:
    """Give what an entry of a class or module is: method, property, data and so on."""
    cls = type(value)
    if cls is FunctionType:
        return _function_kind(value)
    if issubclass(cls, type):
        return "exception" if Exception in lineage(cast("type", value)) else "class"
    if issubclass(cls, ModuleType):
        return "module"
    if is_event(value):
        return "event"
    if issubclass(cls, ROUTINES) or issubclass(cls, (staticmethod, classmethod)):
        function = underlying(value)
        return _function_kind(function) if type(function) is FunctionType else "method"
    if cls is MemberDescriptorType:
        return "data"
    if issubclass(cls, (property, GetSetDescriptorType)):
        return "property"
    if find(cls, "__get__") is MISSING:
        return "data"
    # A cached function and the like can be called as it is; any other descriptor computes.
    return "property" if find(cls, "__call__") is MISSING else "method"


def _function_kind(function: Any) -> str:
    flags = function.__code__.co_flags
    if flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return "generator"
    return "coroutine" if flags & inspect.CO_COROUTINE else "method"


def _kinds(members: dict[str, object]) -> dict[str, str]:
    names = sorted(name for name in members if not name.startswith("_") and len(name) <= MAX_NAME)
    return {name: member_kind(members[name]) for name in names[:MAX_MEMBERS]}


def _kind_of_object(obj: object) -> str:
    if is_class(obj):
        return "class"
    if is_kind_of(obj, ModuleType):
        return "module"
    return "function" if is_kind_of(obj, ROUTINES) else "instance"


def _names_of(obj: object) -> tuple[str, str]:
    """Give the module and the name of a class, module or function, or of the class of `obj`."""
    kind = _kind_of_object(obj)
    if kind == "module":
        name = own_attributes(obj).get("__name__")
        module = name
    elif kind == "function":
        function = cast("Any", underlying(obj))
        if type(function) is FunctionType:
            name = function.__qualname__
        else:  # the qualified name of a bound builtin would be asked of the class of its object
            name = function.__name__ if is_kind_of(function, ROUTINES) else "method"
        module = getattr(function, "__module__", None) if is_kind_of(function, ROUTINES) else ""
    else:
        cls = cast("type", obj) if kind == "class" else type(obj)
        module, name = class_module(cls), class_qualname(cls)
    return (
        module[:MAX_NAME] if type(module) is str else "",
        name[:MAX_NAME] if type(name) is str else "",
    )


def _specials(cls: type, policy: Policy) -> tuple[str, ...]:
    return tuple(
        name
        for name in CANDIDATES
        if _has_special(cls, name) and (name in TOLD or policy.allows_special(name))
    )


def _has_special(cls: type, name: str) -> bool:
    method = find(cls, name)
    if method is MISSING or method is None:
        return False
    return name not in COMMON or method is not namespace(object)[name]


def _base(cls: type) -> str | None:
    if class_name(cls) in {"PosixPath", "WindowsPath"} and class_module(cls).startswith("pathlib"):
        return "path"
    for ancestor in lineage(cls):
        for base, name in BASES:
            if ancestor is base:
                return name
        known = data_base(class_module(ancestor), class_name(ancestor))
        if known is not None:
            return known
    return None


def _lookup(obj: object, name: str) -> object:
    """Give what a name of an object stands for, without binding it."""
    while type(obj) is Restricted:
        obj = restricted_parts(obj)[0]
    value = find(cast("type", obj) if is_class(obj) else type(obj), name)
    return own_attributes(obj).get(name, MISSING) if value is MISSING else value


# ---- documentation


class Documentation(msgspec.Struct, frozen=True, array_like=True):
    """What ``?`` and ``??`` show.

    ``kind`` is that of a description or of a member; ``file`` and ``line`` tell where the source
    is, on the owner's machine; ``parameters`` are those of the signature, as data.
    """

    signature: str | None
    doc: str | None
    source: str | None
    file: str | None
    line: int | None
    kind: str
    type_name: str
    parameters: list[tuple[Any, ...]] | None = None


def document(obj: object, policy: Policy, *, with_source: bool = True) -> Documentation:
    """Document an object; no code of it runs.

    Parameters
    ----------
    with_source
        Whether to look for the source, which may mean to parse a large file.
    """
    if type(obj) is Restricted:
        return Documentation(None, None, None, None, None, "instance", type_name_of(obj))
    return _documented(obj, policy, _kind_of_object(obj), with_source=with_source)


def document_member(
    obj: object, name: str, policy: Policy, *, with_source: bool = True
) -> Documentation:
    """Document an attribute of an object without reading it, be it a property or a method.

    Raises
    ------
    AccessDenied
        The peer may not reach it.
    AttributeError
        There is none that can be seen without running code of the object.
    """
    if type(obj) is Restricted:
        if name not in restricted_parts(obj)[1]:
            what = f"{name[:80]!r} is not among the names of a restricted view"
            raise AccessDenied(what, name=name)
        value = _lookup(obj, name)
    elif policy.is_hooked(obj):  # the class decides about each name as it is read
        raise AccessDenied(f"{name[:80]!r} cannot be documented without being read", name=name)
    else:
        value = _lookup(obj, policy.resolve(obj, name, Right.READ))
    if value is MISSING:
        raise AttributeError(f"{name[:80]!r} cannot be documented without being read", name=name)
    kind = member_kind(value)
    if kind == "data" and not is_kind_of(value, MemberDescriptorType):
        kind = _kind_of_object(value)
    return _documented(value, policy, kind, with_source=with_source)


def _documented(value: object, policy: Policy, kind: str, *, with_source: bool) -> Documentation:
    source, file, line = None, None, None
    if policy.access.include_local_traceback or policy.everything:
        file, line, source = _source_of(value, with_source=with_source)
    doc = _doc_of(value)
    signature = None if kind in {"property", "event", "data"} else find_signature(value)
    return Documentation(
        text_of(signature),
        shorten(inspect.cleandoc(doc), MAX_SOURCE) if doc else None,
        source,
        file,
        line,
        kind,
        type_name_of(value),
        parameters_in(signature),
    )


def type_name_of(obj: object) -> str:
    """Give the class of an object, with its module unless that is builtins."""
    module, name = class_module(type(obj)), class_qualname(type(obj))
    return (name if module == "builtins" else f"{module}.{name}")[:MAX_NAME]


def _doc_of(obj: object) -> str | None:
    """Give the docstring of `obj`, which may be that of its class."""
    if is_class(obj) or is_kind_of(obj, ModuleType):
        doc = own_attributes(obj).get("__doc__")
    elif is_kind_of(obj, property):
        doc = slot_value(property.__dict__["__doc__"], obj)
        if doc is None:
            doc = _function_doc(property_getter(obj))
    elif is_kind_of(obj, ROUTINES) or underlying(obj) is not obj:
        doc = _function_doc(underlying(obj))
    else:
        doc = own_attributes(obj).get("__doc__", namespace(type(obj)).get("__doc__"))
    return doc if type(doc) is str else None


def _function_doc(function: object) -> object:
    return cast("Any", function).__doc__ if is_kind_of(function, ROUTINES) else None


def _summary(doc: str | None) -> str:
    first = (doc or "").strip()[: 4 * MAX_SUMMARY].split("\n", 1)[0].strip()
    return first if len(first) <= MAX_SUMMARY else first[: MAX_SUMMARY - 3] + "..."


def _source_of(obj: object, *, with_source: bool) -> tuple[str | None, int | None, str | None]:
    """Give file, line and source of a module, function or class, as far as Python can tell."""
    if is_kind_of(obj, ModuleType):
        file = own_attributes(obj).get("__file__")
        return (file if type(file) is str else None), None, None
    function: Any = underlying(obj)
    target: Any
    code: CodeType | None
    if type(function) is FunctionType:
        target = code = function.__code__
        line: int | None = function.__code__.co_firstlineno
    else:
        target = function if is_class(function) else type(function)
        code, line = _code_within(target), None
        if code is None or not _is_plain_class(target):
            return None, None, None
    source = None
    if with_source:
        source, line = _read_source(target, line)
    return code.co_filename, line, source


def _read_source(target: Any, line: int | None) -> tuple[str | None, int | None]:
    """Give the source of a function's code or a class, and its line; of a class it is remembered.

    Python parses the whole file to find a class, which takes milliseconds.
    """
    is_key = type(target) is type  # a metaclass may define __eq__ and __hash__
    known = _sources.get(target) if is_key else None
    if known is None:
        try:
            lines, line = inspect.getsourcelines(target)
            known = shorten("".join(lines), MAX_SOURCE), line
        except Exception:  # no file, no line, or a loader that fails
            known = None, line
        if is_key:
            _sources[target] = known
    return known


_sources: WeakKeyDictionary[type, tuple[str | None, int | None]] = WeakKeyDictionary()


def _is_plain_class(cls: type) -> bool:
    """Whether `inspect` can look at a class without its metaclass being asked."""
    meta = type(cls)
    return (
        find(meta, "__getattribute__") is namespace(type)["__getattribute__"]
        and find(meta, "__getattr__") is MISSING
        and find(cls, "__wrapped__") is MISSING
    )


def _code_within(cls: type) -> CodeType | None:
    """Give the code of a method that the body of a class defines, which tells the file."""
    for value in namespace(cls).values():
        function = underlying(value)
        if type(function) is FunctionType:
            module = function.__module__
            if type(module) is str and module == class_module(cls):
                return function.__code__
    return None
