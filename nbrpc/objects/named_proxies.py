"""What proxies of paths and of members of enumerations know without asking.

Both are compared and hashed here, as the objects that they stand for would be with objects of this
side, so that they can be keys of dictionaries.
"""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from nbrpc.objects.named import describes_enumeration, enumeration_of
from nbrpc.objects.text import printable

__all__ = ["MEMBER", "PATH"]


def _pure(proxy: Any) -> PurePath:
    windows = proxy._nbrpc_description_.name == "WindowsPath"
    return (PureWindowsPath if windows else PurePosixPath)(proxy._nbrpc_text_)


def _path_equals(self: Any, other: object) -> Any:
    if isinstance(other, PurePath):
        return _pure(self) == other
    if getattr(type(other), "__fspath__", None) is _path_text:
        return _pure(self) == _pure(other)
    return NotImplemented


def _path_text(self: Any) -> str:
    text: str = self._nbrpc_text_
    return text


def _path_shown(self: Any) -> str:
    return printable(f"{self._nbrpc_description_.name}({self._nbrpc_text_!r})")


def _part(name: str) -> property:
    return property(lambda self: getattr(_pure(self), name))


PATH: dict[str, Any] = {
    "_nbrpc_hashes_here_": True,
    "__eq__": _path_equals,
    "__ne__": object.__ne__,
    "__fspath__": _path_text,
    "__hash__": lambda self: hash(_pure(self)),
    "__repr__": _path_shown,
    "__str__": _path_text,
    **{name: _part(name) for name in ("name", "parts", "stem", "suffix", "suffixes")},
}
"""What the class of a path's proxies has beside what all have."""


def _member_equals(self: Any, other: object) -> Any:
    enumeration = self._nbrpc_description_.enumeration
    if enumeration_of(type(other)) is not None:
        same = describes_enumeration(type(other)) == enumeration
        return same and other._name_ == self._nbrpc_text_  # type: ignore[attr-defined] # of a member
    if getattr(type(other), "__eq__", None) is _member_equals:
        theirs = other._nbrpc_description_.enumeration  # type: ignore[attr-defined] # a proxy
        return theirs == enumeration and other._nbrpc_text_ == self._nbrpc_text_  # type: ignore[attr-defined] # the same
    return NotImplemented


MEMBER: dict[str, Any] = {
    "_nbrpc_hashes_here_": True,
    "__eq__": _member_equals,
    "__ne__": object.__ne__,
    "__hash__": lambda self: hash(self._nbrpc_text_),
    "name": property(_path_text),
}
"""The same for members of enumerations."""
