"""Immutable values with a text form, and classes that the user registered.

Nothing here looks a class up by a name from the wire: the tables below are closed, and a
registered name leads to a class only if this side registered it too.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.protocol.codec import Scalar

__all__ = ["SCALARS", "TEXT_OF", "register_value", "registered_class", "registered_name"]


def _datetime(text: str) -> object:
    import datetime

    return datetime.datetime.fromisoformat(text)


def _date(text: str) -> object:
    import datetime

    return datetime.date.fromisoformat(text)


def _time(text: str) -> object:
    import datetime

    return datetime.time.fromisoformat(text)


def _timedelta(text: str) -> object:
    import datetime

    days, seconds, microseconds = (int(part) for part in text.split(","))
    return datetime.timedelta(days, seconds, microseconds)


def _decimal(text: str) -> object:
    import decimal

    return decimal.Decimal(text)


def _fraction(text: str) -> object:
    import fractions

    numerator, denominator = text.split("/")
    return fractions.Fraction(_integer(numerator), _integer(denominator))


def _uuid(text: str) -> object:
    import uuid

    return uuid.UUID(text)


def _posix_path(text: str) -> object:
    import pathlib

    return pathlib.PurePosixPath(text)


def _windows_path(text: str) -> object:
    import pathlib

    return pathlib.PureWindowsPath(text)


def _integer(text: str) -> int:
    # Hexadecimal is read in linear time; decimal digits would take quadratic time, which is what
    # CPython's limit of 4,300 digits guards against.
    return int(text, 16)


def _complex(text: str) -> complex:
    real, imaginary = text.split(",")
    return complex(float.fromhex(real), float.fromhex(imaginary))


def _address(text: str) -> object:
    import ipaddress

    return ipaddress.ip_address(text)


def _interface(text: str) -> object:
    import ipaddress

    return ipaddress.ip_interface(text)


def _network(text: str) -> object:
    import ipaddress

    return ipaddress.ip_network(text)


def _path(text: str) -> object:
    import pathlib

    return pathlib.Path(text)


SCALARS: dict[str, Callable[[str], Any]] = {
    "int": _integer,
    "complex": _complex,
    "ellipsis": lambda _text: Ellipsis,
    "notimplemented": lambda _text: NotImplemented,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "timedelta": _timedelta,
    "decimal": _decimal,
    "fraction": _fraction,
    "uuid": _uuid,
    "posix": _posix_path,
    "windows": _windows_path,
    "path": _path,
    "address": _address,
    "interface": _interface,
    "network": _network,
}
"""From a kind on the wire to the function that reads its text."""


def _iso(value: Any) -> str | None:
    """ISO text of a date or time that has no zone; see ``kinds.times`` for the others."""
    if getattr(value, "tzinfo", None) is not None or getattr(value, "fold", False):
        return None
    return str(value.isoformat())


MAX_TEXT = 1_000_000
"""Characters of a text: what fits a body. A longer int or Decimal is data, and travels as such."""

MAX_FRACTION = 40_000
"""The same for a Fraction: reducing it takes quadratic time, here 10 ms."""

TEXT_OF: dict[tuple[str, str], tuple[str, Callable[[Any], str | None]]] = {
    ("builtins", "complex"): ("complex", lambda v: f"{v.real.hex()},{v.imag.hex()}"),
    ("builtins", "ellipsis"): ("ellipsis", lambda _v: ""),
    ("builtins", "NotImplementedType"): ("notimplemented", lambda _v: ""),
    ("datetime", "datetime"): ("datetime", _iso),
    ("datetime", "date"): ("date", _iso),
    ("datetime", "time"): ("time", _iso),
    ("datetime", "timedelta"): ("timedelta", lambda v: f"{v.days},{v.seconds},{v.microseconds}"),
    ("decimal", "Decimal"): ("decimal", str),
    ("fractions", "Fraction"): ("fraction", lambda v: f"{v.numerator:x}/{v.denominator:x}"),
    ("uuid", "UUID"): ("uuid", str),
    **{("ipaddress", f"IPv{v}Address"): ("address", str) for v in (4, 6)},
    **{("ipaddress", f"IPv{v}Interface"): ("interface", str) for v in (4, 6)},
    **{("ipaddress", f"IPv{v}Network"): ("network", str) for v in (4, 6)},
    ("pathlib", "PurePosixPath"): ("posix", str),
    ("pathlib", "PureWindowsPath"): ("windows", str),
    ("pathlib._local", "PurePosixPath"): ("posix", str),
    ("pathlib._local", "PureWindowsPath"): ("windows", str),
}
"""From the module and name of a class to its kind on the wire and the function that writes it.

Keyed by name so that none of these modules is imported before its values are used; `box_scalar`
checks that the class is the real one."""


def box_scalar(value: object) -> Scalar | None:
    """Box a value of this module, or give None for anything else and for what is too long."""
    import sys

    cls = type(value)
    entry = TEXT_OF.get((cls.__module__, cls.__qualname__))
    if entry is None:
        return None
    home = sys.modules.get(cls.__module__)
    if cls.__module__ != "builtins" and getattr(home, cls.__qualname__, None) is not cls:
        return None
    kind, write = entry
    text = write(value)
    if text is None or len(text) > _longest(kind):
        return None
    return scalar(kind, text)


def box_pure_path(path: Any) -> Scalar:
    """Box a concrete path as the pure one: on the other side it means no file."""
    import pathlib

    return scalar("posix" if isinstance(path, pathlib.PurePosixPath) else "windows", str(path))


def scalar(kind: str, text: str) -> Scalar:
    """Box a text, which may hold lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return Scalar(kind, "", text.encode("utf-8", "surrogatepass"))
    return Scalar(kind, text)


def _longest(kind: str) -> int:
    return MAX_FRACTION if kind == "fraction" else MAX_TEXT


def read_scalar(box: Scalar) -> object:
    """Give the value that was boxed.

    Raises
    ------
    RemoteProtocolError
        The kind is unknown or the text is not of that kind.
    """
    kind = box.kind
    read = SCALARS.get(kind)
    try:
        text = box.data.decode("utf-8", "surrogatepass") if box.data else box.text
        if read is not None and len(text) <= _longest(kind):
            return read(text)
    except (ValueError, ArithmeticError, TypeError):
        pass
    raise RemoteProtocolError(f"a value of kind {kind[:40]!r} cannot be read")


_names: dict[type, str] = {}
_classes: dict[str, type] = {}


def register_value(cls: type, name: str | None = None) -> type:
    """Let members of a class travel by value; both sides call this for the same name.

    Usable as a decorator.

    Parameters
    ----------
    cls
        A subclass of `enum.Enum`, a named tuple, or a dataclass. Frozen ones (and the others when
        by-value is asked for) travel as their fields and are made anew on the other side through
        the class itself.
    name
        The name on the wire; the module and qualified name of the class unless given.

    Returns
    -------
    type
        ``cls`` itself.

    Raises
    ------
    TypeError
        The class is none of these kinds.
    ValueError
        Another class has that name.
    """
    given: object = cls
    if not (
        isinstance(given, type)
        and (
            issubclass(given, enum.Enum)
            or (issubclass(given, tuple) and hasattr(given, "_fields"))
            or dataclasses.is_dataclass(given)
        )
    ):
        raise TypeError(
            f"{cls!r} cannot be registered: an Enum, a named tuple or a dataclass is needed"
        )
    name = name or f"{cls.__module__}.{cls.__qualname__}"
    known = _classes.get(name)
    # A notebook cell that is run again defines its class anew under the same name.
    if known is not None:
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{name!r} is registered for {known!r}; give another name")
        _names.pop(known, None)
    _classes[name] = cls
    _names[cls] = name
    return cls


def registered_name(cls: type) -> str | None:
    """Give the name under which a class is registered, or None."""
    return _names.get(cls)


def registered_class(name: str) -> type | None:
    """Give the class that this side registered under a name, or None."""
    return _classes.get(name)


def is_frozen(cls: type) -> bool:
    """Whether members of a registered class never change, so that a copy is as good."""
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is None or bool(parameters.frozen)


def fields_of(value: Any) -> list[object]:
    """Give what a member of a registered class is made of."""
    if isinstance(value, enum.Flag):
        return [value.value]  # a combination of members has no name of its own
    if isinstance(value, enum.Enum):
        return [value.name]
    if isinstance(value, tuple):
        return list(value)
    return [getattr(value, field.name) for field in dataclasses.fields(value) if field.init]


def rebuild(name: str, fields: list[Any]) -> object:
    """Make a member of the class that this side registered under a name.

    Raises
    ------
    NotSendable
        This side registered no such class, or the fields do not fit it.
    """
    cls: Any = _classes.get(name)
    if cls is None:
        raise NotSendable(
            f"a value of class {name[:200]!r} arrived, which is not registered here: call "
            "nbrpc.register_value with the same class on both sides"
        )
    try:
        if issubclass(cls, enum.Flag):
            return cls(*fields)
        if issubclass(cls, enum.Enum):
            (member,) = fields
            return cls[member]
        if issubclass(cls, tuple):
            return cls(*fields)
        names = [field.name for field in dataclasses.fields(cls) if field.init]
        return cls(**dict(zip(names, fields, strict=True)))
    except Exception as error:
        raise NotSendable(
            f"a value of class {name[:200]!r} does not fit the class registered here: {error}"
        ) from error
