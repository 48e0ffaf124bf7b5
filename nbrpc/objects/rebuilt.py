"""The classes of exceptions that the peer raised, and how one is made.

The class raised for a remote ValueError derives from `RemoteError` and ValueError, and is named
like the latter. There is one for each builtin that ``except Exception`` catches, made when it is
first met; no other class can be named from the wire, and none of the attributes outside a fixed
list can be set from it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from nbrpc.errors import (
    AccessDenied,
    CallCancelled,
    CallTimeout,
    LimitExceeded,
    NotSendable,
    RemoteError,
    StaleReference,
)
from nbrpc.objects.static import class_name
from nbrpc.objects.text import printable

__all__ = [
    "ATTRIBUTES",
    "STOPS",
    "Rebuilt",
    "inform",
    "is_plain",
    "is_sound_syntax",
    "rebuild",
]

ATTRIBUTES: Final = ("errno", "strerror", "filename", "filename2", "name", "path", "key")
"""What travels beside the arguments, and all that is ever set from the wire."""

NOT_SENT: Final = "(the peer does not send its traceback)"

BUILTINS: Final = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception) and value.__name__ == name
}
"""The builtin exceptions that ``except Exception`` catches, by name."""

STOPS: Final = {"StopIteration": StopIteration, "StopAsyncIteration": StopAsyncIteration}

OWN: Final = {
    f"{cls.__module__}.{cls.__name__}": cls
    for cls in (
        AccessDenied,
        CallCancelled,
        CallTimeout,
        LimitExceeded,
        NotSendable,
        StaleReference,
    )
}
"""Errors of ours that mean the same on both sides; a ConnectionLost of the peer is not one of our
connection."""

UNKNOWN: Final = "RemoteError"


class Rebuilt(RemoteError):
    """An exception of the peer; raised as one of the classes that `_class_for` derives from it."""

    _message: str | None = None
    _hops: int = 1
    _shown: bool = False

    def __str__(self) -> str:
        # Python prints it as it is where nobody catches it; ``args`` stay exact.
        return printable(self._text(), keep_colour=True)

    def _text(self) -> str:
        message = self._message
        if message is None:  # the user made one of this class
            return super().__str__()
        if self._shown:
            head = f"\n\n========= Remote Traceback ({self._hops}) =========\n"
            return f"{message}{head}{self.remote_traceback}"
        if self.remote_traceback == NOT_SENT and type(self).__name__ == UNKNOWN:
            # Neither the class nor a traceback tells what it was.
            return f"{self.type_name}: {message}" if message else self.type_name
        return message

    def __repr__(self) -> str:
        name = self.type_name.rpartition(".")[2] or type(self).__name__
        return f"{name}({', '.join(_short(arg) for arg in self.args[:4])})"

    def __reduce__(self) -> Any:
        members = list(self.exceptions) if isinstance(self, ExceptionGroup) else []
        # Those of a builtin, an errno say, are not in the instance dictionary.
        attributes = {name: getattr(self, name, None) for name in ATTRIBUTES}
        return _again, (type(self).__name__, self.args, members, self.__dict__, attributes)

    def derive(self, members: Sequence[Exception]) -> BaseException:
        """Give a group of some members, for ``split``, ``subgroup`` and ``except*``."""
        return _again(type(self).__name__, self.args, members, self.__dict__, {})


@cache
def _class_for(name: str) -> type[Any]:
    """Make the class for a name of `BUILTINS`, or for what has no other."""
    if name == UNKNOWN:
        return type(name, (Rebuilt,), {"__module__": RemoteError.__module__})
    return type(name, (Rebuilt, BUILTINS[name]), {"__module__": "builtins"})


def rebuild(
    type_name: str,
    args: tuple[object, ...],
    members: Sequence[Exception],
    attributes: Mapping[str, object],
) -> BaseException:
    """Make an exception of the best class that can be made from these."""
    own = OWN.get(type_name)
    exception: BaseException
    if own is not None:
        exception = own(*args)
    else:
        name = "ExceptionGroup" if members else type_name
        if name in STOPS:
            name = "RuntimeError"  # as Python has it where a StopIteration would go astray
        try:
            exception = _made(name if name in BUILTINS else UNKNOWN, args, members)
        except Exception:  # arguments that the builtin does not take
            exception = _made(UNKNOWN, args, members)
    _set_attributes(exception, attributes)
    return exception


def _set_attributes(exception: BaseException, attributes: Mapping[str, object]) -> None:
    for name in ATTRIBUTES:
        value = attributes.get(name)
        if value is not None and is_plain(value):
            setattr(exception, name, value)


def _made(name: str, args: tuple[object, ...], members: Sequence[Exception]) -> BaseException:
    cls = _class_for(name)
    exception: BaseException
    if members and issubclass(cls, ExceptionGroup):
        message = args[0] if args and type(args[0]) is str else ""
        exception = cls(message, list(members))
    elif issubclass(cls, SyntaxError) and not is_sound_syntax(args):
        raise ValueError("a SyntaxError takes no such arguments")
    else:
        exception = cls(*args)
    return exception


def _again(
    name: str,
    args: tuple[object, ...],
    members: Sequence[Exception],
    fields: dict[str, Any],
    attributes: Mapping[str, object],
) -> BaseException:
    """Make one again: for copies, for other processes, and for parts of groups."""
    exception = _made(name, args, members)
    _set_attributes(exception, attributes)
    exception.__dict__.update(fields)
    return exception


def inform(
    exception: BaseException,
    *,
    type_name: str,
    message: str,
    traceback: str,
    shown: bool,
    hops: int,
) -> None:
    """Set what tells where an exception came from.

    Parameters
    ----------
    shown
        Whether ``str()`` brings the traceback.
    """
    fields = exception.__dict__
    fields["type_name"] = printable(type_name)[:200]
    fields["remote_traceback"] = traceback or NOT_SENT
    if isinstance(exception, Rebuilt):
        fields["_message"] = message
        fields["_hops"] = max(1, min(hops, 1_000))
        fields["_shown"] = shown and traceback != ""


def is_sound_syntax(args: tuple[Any, ...]) -> bool:
    """Whether these are the arguments of a SyntaxError, and the place that they name is one.

    Whoever displays it draws as many carets as the columns say, so a column must be a column.
    """
    if len(args) < 2:
        return all(type(arg) is str for arg in args)
    place = args[1] if type(args[1]) is tuple else ()
    if len(args) != 2 or type(args[0]) is not str or len(place) not in {4, 6}:
        return False
    kinds = (str, int, int, str, int, int)
    if any(part is not None and type(part) is not kind for part, kind in zip(place, kinds)):  # noqa: B905
        return False
    lines, columns = (place[1], *place[4:5]), (place[2], *place[5:6])
    return all(part is None or -1 <= part <= 10_000_000 for part in lines) and all(
        part is None or -1 <= part <= 10_000 for part in columns
    )


def is_plain(value: object) -> bool:
    """Whether an attribute is of a kind that travels as it is."""
    kind = type(value)
    if kind is int:
        return -(2**63) <= value < 2**63  # type: ignore[operator]
    return value is None or kind is str or kind is bool or kind is float


def _short(arg: object) -> str:
    """Give a few characters of an argument, without asking a proxy for its text."""
    kind = type(arg)
    if kind is str or kind is bytes:
        cut = arg[:60]  # type: ignore[index]
        return repr(cut) if cut == arg else f"{cut!r}..."
    return repr(arg) if is_plain(arg) else f"<{class_name(kind)}>"
