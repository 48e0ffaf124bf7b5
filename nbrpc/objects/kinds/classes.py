"""Classes and members of enumerations that both sides have: they travel by name.

The tables are closed: of a name from the wire nothing is looked up that does not stand here.
"""

from __future__ import annotations

import enum
import importlib
import sys
from types import NoneType
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.kinds import SHALLOW, Kind, register
from nbrpc.objects.static import class_module, class_name, is_kind_of

__all__ = [
    "CLASS",
    "MEMBER",
    "class_name_of",
    "class_named",
    "load",
    "member_name_of",
    "member_named",
]

CLASSES: dict[str, frozenset[str]] = {
    library: frozenset(names.split())
    for library, names in {
        "builtins": """
            NoneType bool bytearray bytes complex dict float frozenset int list object range set
            slice str tuple
            ArithmeticError AssertionError AttributeError BlockingIOError BrokenPipeError
            BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError
            ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError
            EncodingWarning Exception ExceptionGroup FileExistsError FileNotFoundError
            FloatingPointError FutureWarning ImportError ImportWarning IndentationError IndexError
            InterruptedError IsADirectoryError KeyError LookupError MemoryError
            ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError
            OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
            PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError
            RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError
            TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError
            UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning
            ValueError Warning ZeroDivisionError
        """,
        "collections": "Counter OrderedDict defaultdict deque",
        "datetime": "date datetime time timedelta timezone",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "numpy": """
            bool_ byte bytes_ character clongdouble complex128 complex256 complex64 complexfloating
            datetime64 flexible float128 float16 float32 float64 floating generic inexact int16
            int32 int64 int8 integer intc long longdouble longlong number object_ record short
            signedinteger str_ timedelta64 uint16 uint32 uint64 uint8 uintc ulong ulonglong
            unsignedinteger void
        """,
        "pandas": """
            ArrowDtype BooleanDtype CategoricalDtype DatetimeTZDtype Float32Dtype Float64Dtype
            Int16Dtype Int32Dtype Int64Dtype Int8Dtype Interval IntervalDtype Period PeriodDtype
            SparseDtype StringDtype Timedelta Timestamp UInt16Dtype UInt32Dtype UInt64Dtype
            UInt8Dtype
        """,
        "pathlib": "Path PurePath PurePosixPath PureWindowsPath",
        "uuid": "UUID",
    }.items()
}
"""From a library to the public names of its classes that travel."""

RENAMED = {"bool": "bool_"}
"""Names of classes of numpy that are not what all versions call them."""

MEMBERS: dict[str, frozenset[str]] = {
    library: frozenset(names.split())
    for library, names in {
        "calendar": "Day Month",
        "http": "HTTPMethod HTTPStatus",
        "plistlib": "PlistFormat",
        "pstats": "SortKey",
        "py_compile": "PycInvalidationMode",
        "re": "RegexFlag",
        "signal": "Handlers Sigmasks Signals",
        "socket": "AddressFamily AddressInfo MsgFlag SocketKind",
        "ssl": "AlertDescription Options SSLErrorNumber TLSVersion VerifyFlags VerifyMode",
        "uuid": "SafeUUID",
    }.items()
}
"""From a module of the standard library to its enumerations and flags."""

MOST_COMBINATIONS = 10_000
"""An enumeration of flags keeps each combination that was ever asked for."""


def class_name_of(cls: type) -> str | None:
    """Give the name under which a class travels; None if it does not."""
    library, name = class_module(cls).partition(".")[0], class_name(cls)
    if library == "numpy":
        name = RENAMED.get(name, name)
    if name not in CLASSES.get(library, ()):
        return None
    return f"{library}.{name}" if _find(library, name) is cls else None


def class_named(name: str) -> type:
    """Give the class of a name.

    Raises
    ------
    RemoteProtocolError
        No class travels under that name.
    NotSendable
        Its library is not installed here, or has no such class in this version or on this machine.
    """
    library, _, attribute = name.partition(".")
    if attribute not in CLASSES.get(library, ()):
        raise RemoteProtocolError(f"a class {name[:40]!r} arrived, which there is not")
    cls: type = _import(library, attribute, "class")
    return cls


def member_name_of(obj: object) -> tuple[str, int | str] | None:
    """Give the class of a member of an enumeration and its name; of flags, their number.

    None for anything that does not travel like that.
    """
    cls = type(obj)
    library, name = class_module(cls), class_name(cls)
    if name not in MEMBERS.get(library, ()) or _find(library, name) is not cls:
        return None
    member: Any = obj
    if not is_kind_of(obj, enum.Flag):
        return f"{library}.{name}", member.name
    value = int(member.value)
    return (f"{library}.{name}", value) if not value & ~_known_bits(cls) else None


def member_named(name: str, value: int | str) -> Any:
    """Give the member of an enumeration: by its name, or that of flags by their number.

    Raises
    ------
    RemoteProtocolError
        No enumeration travels under that name, or this can be no member of it.
    NotSendable
        It is not a member here: of another version of Python, or on another machine.
    """
    library, _, attribute = name.partition(".")
    if attribute not in MEMBERS.get(library, ()):
        raise RemoteProtocolError(f"a member of {name[:40]!r} arrived, which there is not")
    cls: Any = _import(library, attribute, "enumeration")
    is_flag = issubclass(cls, enum.Flag)
    if type(value) is not (int if is_flag else str):
        raise RemoteProtocolError(f"a member of {name} has a {type(value).__name__} for a name")
    if not is_flag and value in cls.__members__:
        return cls[value]
    if is_flag and _is_combination(cls, value):
        return cls(value)
    raise NotSendable(
        f"{str(value)[:40]} is not a member of {name} here: send its number or its name as a text"
    )


def _is_combination(cls: Any, value: Any) -> bool:
    known = cls._value2member_map_
    if value in known:
        return True
    return not value & ~_known_bits(cls) and len(known) < MOST_COMBINATIONS


def _known_bits(cls: Any) -> int:
    """Give all bits that members of an enumeration of flags have a name for."""
    bits = 0
    for member in cls.__members__.values():
        bits |= int(member.value)
    return bits


def _find(library: str, name: str) -> object:
    """Give what a name is in a library that is loaded; None otherwise."""
    if library == "builtins" and name == "NoneType":
        return NoneType
    module = sys.modules.get(library)
    # Not getattr: numpy 1 warns about names that it does not have yet.
    return None if module is None else vars(module).get(name)


def _import(library: str, name: str, what: str) -> Any:
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise NotSendable(
            f"the {what} {library}.{name} needs {library}, which is not installed here: {error}"
        ) from None
    found = _find(library, name)
    if found is None:
        raise NotSendable(
            f"there is no {what} {library}.{name} here: this is another version of {library}, or "
            "another kind of machine"
        )
    return found


def _class_apart(cls: type) -> tuple[str] | None:
    name = class_name_of(cls)
    return None if name is None else (name,)


CLASS = Kind("nbrpc.class", SHALLOW, _class_apart, class_named, ((str,),))
MEMBER = Kind("nbrpc.member", SHALLOW, member_name_of, member_named, ((str,), (int, str)))


def load(_library: str) -> None:
    """Register the kinds of this module."""
    register(None, CLASS)
    register(None, MEMBER)
