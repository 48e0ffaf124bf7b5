"""Values that are made of parts: what each kind is taken apart into, and put together from.

A `Kind` is a class whose values travel as a list of parts, which are values themselves: a deque as
its items and its length, a Series as its index, array and name. The tables are closed: a name from
the wire is looked up here and nowhere else, and the parts are checked before they are used.

The kinds of a library stand in a module of their own, which is loaded when the library has been
loaded on the sending side, or when a value of one of its classes arrives.
"""

from __future__ import annotations

import enum
import importlib
import sys
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, NamedTuple

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.draft import ATTRIBUTE, DATA, SHALLOW
from nbrpc.objects.static import MISSING, class_module, find, is_kind_of, lineage

__all__ = [
    "ATTRIBUTE",
    "DATA",
    "MOST_PARTS",
    "SHALLOW",
    "Kind",
    "Takes",
    "is_arrow_table",
    "kind_of",
    "rebuild",
    "register",
]

MOST_PARTS = 70_000
"""Parts of one value; a table has one for each column that is not numpy's."""

Takes = tuple[type, ...] | None
"""The classes of which a part may be; None where it may be anything."""


class Kind(NamedTuple):
    """How the values of one class travel.

    Attributes
    ----------
    name
        On the wire: the public name of the class.
    level
        The first form of a draft that copies them.
    apart
        From a value to its parts; None where they would not give it back exactly.
    together
        From the parts to a value; what it raises ends the connection, save for `NotSendable`.
    takes
        What each part may be; the last one holds for all further parts where ``more`` is true.
    more
        Whether there may be more parts than ``takes`` names.
    """

    name: str
    level: int
    apart: Callable[[Any], Sequence[object] | None]
    together: Callable[..., Any]
    takes: tuple[Takes, ...]
    more: bool = False


MODULES = {
    "PIL": "images",
    "_pydatetime": "times",
    "array": "containers",
    "builtins": "containers",
    "collections": "containers",
    "datetime": "times",
    "dlpack": "tensors",
    "nbrpc": "classes",
    "numpy": "numeric",
    "pandas": "frames",
    "polars": "arrow",
    "pyarrow": "arrow",
    "pytz": "times",
    "re": "containers",
    "scipy": "sparse",
    "types": "containers",
    "xarray": "labelled",
    "zoneinfo": "times",
}
"""From a library to the module of this folder that has its kinds."""

_by_class: dict[int, Kind] = {}
"""By the identity of a class, whose metaclass may have a hash of its own."""

_by_base: dict[int, Kind] = {}
_classes: list[type] = []
_by_name: dict[str, Kind] = {}
_loaded: set[str] = set()


def register(cls: type | None, kind: Kind, *, derived: bool = False) -> None:
    """Note how the values of exactly that class travel; None: they are found otherwise.

    Parameters
    ----------
    derived
        Whether those of the classes that the library derives from it travel so as well.
    """
    if cls is not None:
        _classes.append(cls)  # so that its identity stays its own
        _by_class[id(cls)] = kind
    if cls is not None and derived:
        _by_base[id(cls)] = kind
    _by_name[kind.name] = kind


def kind_of(cls: type) -> Kind | None:
    """Give how values of a class travel; None if they have no parts."""
    found = _by_class.get(id(cls))
    if found is None:
        library = class_module(cls).partition(".")[0]
        if library in MODULES and library not in _loaded and library in sys.modules:
            _load(library)
            found = _by_class.get(id(cls))
        if found is None and library in MODULES:
            found = next(
                (_by_base[id(base)] for base in lineage(cls) if id(base) in _by_base), None
            )
        if found is None:
            found = _kind_by_nature(cls)
    return found


def _kind_by_nature(cls: type) -> Kind | None:
    """Give how classes, members of enumerations and arrays of other libraries travel."""
    if issubclass(cls, type):
        from nbrpc.objects.kinds.classes import CLASS

        return CLASS
    if is_kind_of(cls, enum.EnumMeta):
        from nbrpc.objects.kinds.classes import MEMBER

        return MEMBER
    if find(cls, "__dlpack__") is not MISSING:
        from nbrpc.objects.kinds.tensors import TENSOR, offers_dlpack

        return TENSOR if offers_dlpack(cls) else None
    return None


def rebuild(name: str, parts: list[Any]) -> Any:
    """Make the value of that kind from its parts.

    Raises
    ------
    RemoteProtocolError
        There is no such kind, or these are not its parts.
    NotSendable
        It needs a library that is not installed here, or another version of it.
    """
    kind = _by_name.get(name)
    if kind is None:
        library = name.partition(".")[0]
        if library in MODULES and library not in _loaded:
            _load(library, needed_by=name)
            kind = _by_name.get(name)
    if kind is None:
        raise RemoteProtocolError(f"a value of kind {name[:40]!r} arrived, which there is not")
    takes = kind.takes
    if len(parts) != len(takes) and not (kind.more and len(parts) > len(takes)):
        raise RemoteProtocolError(f"a {name} has {len(parts)} parts")
    for number, part in enumerate(parts):
        accepted = takes[min(number, len(takes) - 1)]
        if accepted is not None and type(part) not in accepted:
            raise RemoteProtocolError(f"a part of a {name} is a {type(part).__name__}")
    try:
        return kind.together(*parts)
    except (NotSendable, RemoteProtocolError):
        raise
    except Exception as error:  # of a library, about what the peer sent
        raise RemoteProtocolError(f"a {name} cannot be made: {str(error)[:200]}") from None


def _load(library: str, needed_by: str = "") -> None:
    """Load the kinds of a library."""
    try:
        importlib.import_module(f"nbrpc.objects.kinds.{MODULES[library]}").load(library)
    except ImportError as error:
        if needed_by:
            raise NotSendable(
                f"a {needed_by} needs {library}, which is not installed here: {error}"
            ) from None
        raise
    _loaded.add(library)


def is_arrow_table(obj: object) -> bool:
    """Whether this is a table of pyarrow."""
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and type(obj) is getattr(pyarrow, "Table", NoneType)
