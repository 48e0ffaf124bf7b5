"""How an author exposes things (`exposed`, `restricted`), and what is open or closed by nature.

The tables name builtin classes only; what they say of a class holds for exactly that class, save
where a subclass could only be as dangerous.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import cached_property, partialmethod
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GenericAlias,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, Final, NoReturn, TypeVar, overload

from nbrpc.errors import AccessDenied
from nbrpc.objects.static import (
    MISSING,
    class_name,
    find,
    is_class,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
    underlying,
)

__all__ = [
    "CONTAINER_METHODS",
    "INTROSPECTION",
    "WITHOUT_PUBLIC_NAMES",
    "Restricted",
    "exposed",
    "form_of",
    "is_event",
    "is_exposed",
    "restricted",
    "restricted_parts",
]

Target = TypeVar("Target")

MARK: Final = "__exposed__"
BY_VALUE_MARK: Final = "__exposed_by_value__"
EVENT_MARK: Final = "__nbrpc_event__"

INTROSPECTION: Final = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_", "im_")
"""How the public names begin that lead from a generator, coroutine, frame, traceback, function or
method (and Cython's kinds of them) to its globals, by which a peer could run what it likes."""

WITHOUT_PUBLIC_NAMES: Final = (
    ModuleType,
    FrameType,
    CodeType,
    TracebackType,
    GeneratorType,
    CoroutineType,
    AsyncGeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    property,
    staticmethod,
    classmethod,
    cached_property,
    partialmethod,
    GenericAlias,
)
"""Objects of which ``allow_public_attrs`` opens nothing: they are machinery, not data. Generators
and coroutines can be iterated and awaited; ``list[int]`` would pass on what its class has."""

_METHODS = (MethodDescriptorType, ClassMethodDescriptorType, FunctionType, classmethod)
_CONTAINERS: tuple[type, ...] = (
    list,
    dict,
    set,
    frozenset,
    tuple,
    bytearray,
    deque,
    array,
    defaultdict,
    OrderedDict,
    Counter,
    MappingProxyType,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
    type(OrderedDict[str, str]().keys()),
    type(OrderedDict[str, str]().values()),
    type(OrderedDict[str, str]().items()),
)
_PLAIN_FIELDS: Final[dict[type, set[str]]] = {deque: {"maxlen"}, array: {"typecode", "itemsize"}}


def _public_methods(cls: type) -> frozenset[str]:
    names = {
        name
        for base in lineage(cls)
        for name, value in namespace(base).items()
        if not name.startswith("_") and is_kind_of(value, _METHODS)
    }
    # array.buffer_info() gives a memory address, which no peer needs to know.
    return frozenset(names - {"buffer_info"} | _PLAIN_FIELDS.get(cls, set()))


CONTAINER_METHODS: Final = {
    **{id(cls): _public_methods(cls) for cls in _CONTAINERS},
    id(GeneratorType): frozenset({"close", "send"}),
}
"""By the id of a builtin class, the names that are open on objects of exactly that class: of
containers all methods, and of generators what is the caller's. By id, since looking a class up by
itself would ask its metaclass for a hash."""


@overload
def exposed(target: str, *, by_value: bool | None = None) -> Callable[[Target], Target]: ...
@overload
def exposed(target: None = None, *, by_value: bool | None = None) -> Callable[[Target], Target]: ...
@overload
def exposed(target: Target, *, by_value: bool | None = None) -> Target: ...
def exposed(target: Any = None, *, by_value: bool | None = None) -> Any:
    """Expose a method, property or nested class to the peer.

    Parameters
    ----------
    target
        What to expose, and what is given back. ``@exposed`` and ``@property``, ``@staticmethod`` or
        ``@classmethod`` may stand in either order. A string, as RPyC allows, is the prefix under
        which `rpyc.service` would file it; here the name stays as it is.
    by_value
        True copies results with all that is in them, and refuses what cannot be copied. False lends
        them, data as well. Otherwise data is copied and objects are lent.

    Raises
    ------
    TypeError
        It cannot be marked: a builtin function, say, or a plain value.

    Examples
    --------
    >>> class Files:
    ...     @exposed
    ...     def size(self, path): ...
    ...     @exposed(by_value=True)
    ...     def table(self): ...
    """
    if target is None:
        return lambda actual: _mark(actual, True, by_value)
    if type(target) is str:
        return lambda actual: _mark(actual, target or True, by_value)
    return _mark(target, True, by_value)


def _mark(target: Any, mark: bool | str, by_value: bool | None) -> Any:  # noqa: FBT001 - see exposed
    function = target if is_class(target) else underlying(target)
    callable_ = is_class(function) or find(type(function), "__call__") is not MISSING
    try:
        if not callable_:
            raise TypeError
        setattr(function, MARK, mark)
        if by_value is not None:
            setattr(function, BY_VALUE_MARK, by_value)
    except (AttributeError, TypeError):
        raise TypeError(
            f"{class_name(type(target))} cannot be marked as exposed; functions, methods, "
            "properties and classes can. Anything else is exposed by the name exposed_..."
        ) from None
    return target


def is_exposed(value: object) -> bool:
    """Whether `exposed` marked this function, class, property and so on; no code of it runs.

    A class derived from an exposed one is not exposed by that.
    """
    mark = _own_mark(value, MARK)
    return mark is True or (type(mark) is str and mark != "")


def form_of(function: object) -> bool | None:
    """Give whether the results of a function, method or property were declared to be copied.

    True: copied with all that is in them; False: lent; None: nothing was declared.
    """
    mark = _own_mark(function, BY_VALUE_MARK)
    return mark if type(mark) is bool else None


def _own_mark(value: object, name: str) -> object:
    function = value.__func__ if type(value) is MethodType else value
    if type(function) is not FunctionType:
        function = underlying(function)
    if type(function) is FunctionType:
        return function.__dict__.get(name)
    if type(function) is BuiltinFunctionType:
        return None
    return own_attributes(function).get(name)


def is_event(value: object) -> bool:
    """Whether this is the declaration of an event, as ``nbrpc.event`` makes it."""
    return find(type(value), EVENT_MARK) is True


class Restricted:
    """A view of an object that gives a peer some names of it; made by `restricted`."""

    __slots__ = ("__readable", "__target", "__writable")

    def __init__(self, target: object, readable: frozenset[str], writable: frozenset[str]) -> None:
        object.__setattr__(self, "_Restricted__target", target)
        object.__setattr__(self, "_Restricted__readable", readable)
        object.__setattr__(self, "_Restricted__writable", writable)

    def __repr__(self) -> str:
        return f"<restricted view of a {class_name(type(self.__target))}>"

    def __getattr__(self, name: str) -> Any:
        return self._rpyc_getattr(name)

    def __setattr__(self, name: str, value: object) -> None:
        self._rpyc_setattr(name, value)

    def __delattr__(self, name: str) -> None:
        self._rpyc_delattr(name)

    def _rpyc_getattr(self, name: str) -> Any:
        if name not in self.__readable:
            self.__refuse(name, "read")
        return getattr(self.__target, name)

    def _rpyc_setattr(self, name: str, value: object) -> None:
        if name not in self.__writable:
            self.__refuse(name, "set")
        setattr(self.__target, name, value)

    def _rpyc_delattr(self, name: str) -> None:
        self.__refuse(name, "deleted")

    def __refuse(self, name: str, what: str) -> NoReturn:
        raise AccessDenied(
            f"{name[:80]!r} cannot be {what}: this restricted view of a "
            f"{class_name(type(self.__target))} does not name it",
            name=name,
        )


def restricted_parts(view: Restricted) -> tuple[object, frozenset[str]]:
    """Give what a view is of, and the names that can be read through it."""
    return (
        object.__getattribute__(view, "_Restricted__target"),
        object.__getattribute__(view, "_Restricted__readable"),
    )


def restricted(
    obj: object, attrs: Iterable[str], wattrs: Iterable[str] | None = None
) -> Restricted:
    """Give a view of `obj` through which a peer reaches the named attributes only.

    Special methods (``__len__``, ``__iter__``, ``__call__``, ...) have to be named as well.

    Parameters
    ----------
    attrs
        Names that may be read.
    wattrs
        Names that may be set; those of `attrs` unless given. ``()`` for none.

    Raises
    ------
    TypeError
        `attrs` or `wattrs` is not a collection of names.

    Examples
    --------
    >>> view = restricted([3, 1, 2], {"sort", "__len__"}, ())
    >>> view.sort()
    """
    readable = _names(attrs)
    return Restricted(obj, readable, readable if wattrs is None else _names(wattrs))


def _names(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(names)
    if isinstance(names, str) or not all(type(name) is str for name in found):
        raise TypeError(
            'the attributes of a restricted view are a set of names, as {"read", "close"}'
        )
    return found
