"""Values that carry a text of their own: paths, and members of enumerations.

A path in an argument becomes a path of the receiver. In what comes back it stays a reference, since
it means a file of the other side; its text comes along, so that it is shown and hashed at once. A
member of an enumeration that derives from int or str travels as a `Member` of that type; any other
is a reference that knows its name.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.static import class_module, class_name, class_qualname, is_kind_of
from nbrpc.objects.text import printable

__all__ = [
    "IntMember",
    "StrMember",
    "enumeration_of",
    "hashes_here",
    "member_at_home",
    "member_here",
    "member_of",
    "parts_of_member",
    "text_of_path",
]

LONGEST = 4_096
"""Characters of a name or text of a member."""


def text_of_path(obj: object) -> str | None:
    """Give the text of a concrete path; None for anything else."""
    pathlib = sys.modules.get("pathlib")
    if pathlib is None:
        return None
    cls = type(obj)
    if cls is pathlib.PosixPath or cls is pathlib.WindowsPath:
        return str(obj)
    return None


# ---- members of enumerations


class FoundMember(NamedTuple):
    """What is sent of a member of an enumeration.

    Attributes
    ----------
    name
        Its name; of a combination of flags those of all, joined by ``|``.
    base : type or None
        int or str, where it is one of these as well.
    """

    name: str
    base: type | None
    cls: type


def enumeration_of(cls: type) -> Any:
    """Give the class if it is an enumeration, else None."""
    enum = sys.modules.get("enum")
    return cls if enum is not None and is_kind_of(cls, enum.EnumMeta) else None


def member_of(obj: object) -> FoundMember | None:
    """Give what a member of an enumeration is; None for anything else."""
    cls = type(obj)
    if enumeration_of(cls) is None:
        return None
    name = str(getattr(obj, "_name_", None))[:LONGEST]
    base = next((base for base in (int, str) if issubclass(cls, base)), None)
    return FoundMember(name, base, cls)


def parts_of_member(obj: Any, member: FoundMember, *, lends: bool) -> tuple[object, ...]:
    """Give what a member that is an int or a str is made of.

    Parameters
    ----------
    lends
        Whether a reference to its class comes along, by which it finds home.
    """
    assert member.base is not None
    value = member.base.__str__(obj) if member.base is str else int.__int__(obj)
    return (
        class_name(member.cls),
        member.name,
        value,
        _text(repr, obj, f"<{class_name(member.cls)}.{member.name}>"),
        _text(str, obj, str(value)),
        member.cls if lends else None,
    )


def _text(show: Any, obj: object, otherwise: str) -> str:
    try:
        return str.__str__(show(obj))[:LONGEST]
    except Exception:  # its class may define either, in any way
        return otherwise


class _Member:
    """What the two kinds of members have in common."""

    name: str
    value: Any
    _nbrpc_texts_: tuple[str, str]
    _nbrpc_class_: Any

    def __repr__(self) -> str:
        return printable(self._nbrpc_texts_[0])

    def __str__(self) -> str:
        return self._nbrpc_texts_[1]

    def __format__(self, specification: str) -> str:
        text = self._nbrpc_texts_[1]
        return format(self.value if text == str(self.value) else text, specification)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name!r} cannot be set: this is a copy of {self!r}")

    def __reduce__(self) -> Any:
        return _again, (type(self), self.value, self.name, *self._nbrpc_texts_)


class IntMember(_Member, int):
    """A member of an enumeration of the other side that is an int: equal to its value."""


class StrMember(_Member, str):
    """A member of an enumeration of the other side that is a str: equal to its value."""

    __slots__ = ("__dict__",)


def _again(cls: Any, value: Any, name: str, shown: str, text: str) -> Any:
    member = cls(value)
    set_ = object.__setattr__
    set_(member, "name", name)
    set_(member, "value", value)
    set_(member, "_nbrpc_texts_", (shown, text))
    set_(member, "_nbrpc_class_", None)
    return member


def member_here(parts: list[Any]) -> Any:
    """Make a member of what `parts_of_member` gave.

    Raises
    ------
    RemoteProtocolError
        These are no such parts.
    """
    if len(parts) != 6 or not all(type(part) is str for part in (*parts[:2], *parts[3:5])):
        raise RemoteProtocolError("a member of an enumeration cannot be read")
    _, name, value, shown, text, cls = parts
    kind = {int: IntMember, str: StrMember}.get(type(value))
    if kind is None:
        raise RemoteProtocolError("a member of an enumeration is neither a number nor a text")
    member = _again(kind, value, name, printable(shown), text)
    object.__setattr__(member, "_nbrpc_class_", cls)
    return member


def member_at_home(parts: list[Any]) -> Any:
    """Give the member of an enumeration of ours that comes home: its class and its value.

    Raises
    ------
    RemoteProtocolError
        It is none.
    """
    if len(parts) == 2 and type(parts[1]) in (int, str) and isinstance(parts[0], type):
        cls = enumeration_of(parts[0])
        if cls is not None:
            try:
                return cls(parts[1])
            except ValueError:
                pass
    raise RemoteProtocolError("a member of an enumeration came home that is none")


def hashes_here(proxy: object) -> bool:
    """Whether the hash of a proxy is found without asking the peer."""
    return getattr(type(proxy), "_nbrpc_hashes_here_", False) is True


def describes_enumeration(cls: type) -> str:
    """Give the class of an enumeration and its members as a text, by which copies are compared."""
    enumeration = enumeration_of(cls)
    names = ",".join(enumeration.__members__) if enumeration is not None else ""
    return f"{class_module(cls)}.{class_qualname(cls)}({names})"[:LONGEST]
