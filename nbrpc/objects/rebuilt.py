"""The classes of exceptions that the peer raised, and how one is made.

The class raised for a remote ValueError derives from `RemoteError` and ValueError, and is named
like the latter. There is one for each class of the table in ``known_errors``, made when it is first
met; those that stand for classes of the peer alone are made by ``error_classes``. No code of the
peer's classes is here, so nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, ClassVar, Final

from nbrpc.errors import RemoteError
from nbrpc.objects.error_data import builtins_of, is_plain, set_attributes, slots_of
from nbrpc.objects.known_errors import BUILTINS, OWN, STOPS, is_known, name_of_class
from nbrpc.objects.static import class_name
from nbrpc.objects.text import printable
from nbrpc.protocol.codec import Ancestor

__all__ = [
    "Rebuilt",
    "derived",
    "inform",
    "is_sound_syntax",
    "rebuild",
    "standing_for",
]

NOT_SENT: Final = "(the peer does not send its traceback)"

UNKNOWN: Final = "RemoteError"


class Rebuilt(RemoteError):
    """An exception of the peer; raised as one of the classes that are derived from it here."""

    _nbrpc_ancestry_: ClassVar[tuple[Ancestor, ...]] = ()
    """Of a class that stands for one of the peer: what that one derives from."""
    _nbrpc_known_: ClassVar[type[Any] | None] = None
    """Of a class that stands for one that both sides know: that one."""
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
        # Another process knows no classes of the peer: it gets the nearest that both know.
        return _again, (_known_base(type(self)), *self._state())

    def __copy__(self) -> BaseException:
        return _again(type(self), *self._state())

    def __deepcopy__(self, memo: dict[int, Any]) -> BaseException:
        return _again(type(self), *deepcopy(self._state(), memo))

    def derive(self, members: Sequence[Exception]) -> BaseException:
        """Give a group of some members, for ``split``, ``subgroup`` and ``except*``."""
        return _again(type(self), self.args, members, self.__dict__, {})

    def _state(self) -> tuple[Any, ...]:
        members = list(self.exceptions) if isinstance(self, ExceptionGroup) else []
        # Those of a builtin, an errno say, are not in the instance dictionary.
        attributes = builtins_of(self) | dict(slots_of(self))
        return self.args, members, dict(self.__dict__), attributes


METHODS: Final = ("__str__", "__repr__", "__reduce__", "__copy__", "__deepcopy__", "derive")
"""Of `Rebuilt`, ahead of those of all other bases, in whatever order the peer names them."""


def derived(name: str, bases: Sequence[type[Any]]) -> type[Any]:
    """Make a class that stands for one of the peer."""
    module, _, short = " ".join(printable(name).split()).rpartition(".")
    body: dict[str, Any] = {method: Rebuilt.__dict__[method] for method in METHODS}
    body["__module__"] = module or "builtins"
    # One of a base, such as that of an HTTPError, fails where what its __init__ sets is missing.
    body["__getattr__"] = object.__getattribute__
    first = [base for base in bases if issubclass(base, Rebuilt)] or [Rebuilt]
    others = [base for base in bases if not issubclass(base, Rebuilt)]
    for tried in ([*first, *others], [*first, *others[:1]]):
        try:
            return type(short[:100] or UNKNOWN, tuple(tried), dict(body))
        except TypeError:  # their orders, or their layouts in memory, contradict each other
            continue
    return type(short[:100] or UNKNOWN, (first[0],), body)


_stand_ins: dict[type[Any], type[Any]] = {}


def standing_for(known: type[Any]) -> type[Any]:
    """Give the class for exceptions of a class that both sides have."""
    found = _stand_ins.get(known)
    if found is None:
        made = derived(name_of_class(known), [known])
        made._nbrpc_known_ = known
        found = _stand_ins.setdefault(known, made)
    return found


class _Unknown(Rebuilt):
    """What an exception of which no class is known is raised as."""

    __module__ = RemoteError.__module__
    __qualname__ = UNKNOWN


_Unknown.__name__ = UNKNOWN  # the name that Python shows


def _known_base(cls: type[Any]) -> type[Any] | None:
    """Give the nearest class that both sides know, as which one is made again; None if none is."""
    found = next(base for base in cls.__mro__ if is_known(base))
    return None if found is Exception and cls._nbrpc_known_ is None else found


def rebuild(
    type_name: str,
    args: tuple[object, ...],
    members: Sequence[Exception],
    attributes: Mapping[str, object],
    cls: type[Any] | None = None,
) -> BaseException:
    """Make an exception of the best class that can be made from these.

    Parameters
    ----------
    cls
        The class that stands here for the peer's, where that is no builtin one.
    """
    own = OWN.get(type_name)
    exception: BaseException
    if own is not None:
        exception = own(*args)
    else:
        if cls is None or bool(members) != issubclass(cls, ExceptionGroup):
            name = "ExceptionGroup" if members else type_name
            if name in STOPS:
                name = "RuntimeError"  # as Python has it where a StopIteration would go astray
            cls = standing_for(BUILTINS[name]) if name in BUILTINS else _Unknown
        try:
            exception = _made(cls, args, members)
        except Exception:  # arguments that the class does not take
            exception = _Unknown(*args)
    set_attributes(exception, attributes)
    return exception


def _made(cls: type[Any], args: tuple[object, ...], members: Sequence[Exception]) -> BaseException:
    """Make an exception of a class that is derived from `Rebuilt`.

    Raises
    ------
    Exception
        It is a builtin one, which takes no such arguments.
    """
    exception: Any
    if issubclass(cls, ExceptionGroup):
        message = args[0] if args and type(args[0]) is str else ""
        return cls(message, list(members))
    sound = not issubclass(cls, SyntaxError) or is_sound_syntax(args)
    base = next(base for base in cls.__mro__ if BUILTINS.get(base.__name__) is base)
    if cls._nbrpc_known_ is base:
        if not sound:
            raise ValueError("a SyntaxError takes no such arguments")
        return cls(*args)  # type: ignore[no-any-return] # of that class
    if not sound:
        args = tuple(arg for arg in args[:1] if type(arg) is str)
    # No `__init__` but that in C, which sets what is in C: another may want anything.
    try:
        exception = cls.__new__(cls, *args)
    except TypeError:  # that of a MemoryError, which Python makes otherwise below another base
        exception = BaseException.__new__(cls, *args)
    with suppress(Exception):  # arguments that the builtin does not take
        base.__init__(exception, *args)
    exception.args = args
    return exception  # type: ignore[no-any-return] # of that class


def _again(
    cls: type[Any] | None,
    args: tuple[object, ...],
    members: Sequence[Exception],
    fields: dict[str, Any],
    attributes: Mapping[str, object],
) -> BaseException:
    """Make one again: for copies, for other processes, and for parts of groups."""
    if cls is None:
        cls = _Unknown
    elif not issubclass(cls, Rebuilt):
        cls = standing_for(cls)
    exception = _made(cls, args, members)
    set_attributes(exception, attributes)
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


def _short(arg: object) -> str:
    """Give a few characters of an argument, without asking a proxy for its text."""
    kind = type(arg)
    if kind is str or kind is bytes:
        cut = arg[:60]  # type: ignore[index]
        return repr(cut) if cut == arg else f"{cut!r}..."
    return repr(arg) if is_plain(arg) else f"<{class_name(kind)}>"
