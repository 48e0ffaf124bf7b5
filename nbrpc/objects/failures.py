"""Exceptions to plain data and back.

What travels is an `Error`: the name of the class, the arguments, the text, the part of the
traceback that belongs to this exception, notes, the attributes that are data, what its class
derives from, and the same for its cause, its context and the members of a group. All of it is
bounded, on the way out and again on the way in.

What is raised on the other side is always a `RemoteError`, and also an instance of the nearest
class that both sides know, when that derives from `Exception`. Such classes come from a closed
table (`known_errors`): a name from the wire is only ever looked up there, so a peer can neither end
this process with SystemExit nor pick a class of its own. A few exceptions of nbrpc itself come back
as what they are, and an exception of ours that comes home is that object.

Failing to describe an exception would hide it, so whatever an exception's own code does wrong is
replaced by a short text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb, format_exception_only
from types import TracebackType
from typing import Any, Final

from nbrpc.errors import RemoteError
from nbrpc.objects.error_classes import ErrorClasses, ancestry_of
from nbrpc.objects.error_data import Room, attributes_of, read_attributes
from nbrpc.objects.known_errors import STOPS
from nbrpc.objects.rebuilt import Rebuilt, inform, is_sound_syntax, rebuild
from nbrpc.objects.static import (
    class_module,
    class_name,
    class_qualname,
    is_kind_of,
    own_attributes,
    slot_value,
)
from nbrpc.objects.text import printable, sendable, shorten
from nbrpc.protocol.messages import Error

__all__ = ["exception_of", "failure_of", "is_own_file"]

MAX_TEXT: Final = 64 * 1024
"""Characters of a message, or of a traceback, its causes included."""

MAX_NOTES: Final = 16
MAX_NOTE: Final = 4 * 1024
MAX_ARGS: Final = 64
MAX_CHAIN: Final = 8
"""Causes behind causes, and groups within groups."""

MAX_MEMBERS: Final = 64
MAX_EXCEPTIONS: Final = 256
"""Exceptions of one failure in all: groups of groups multiply."""

MAX_FRAMES: Final = 256
"""Frames of one traceback, the innermost ones; Python's recursion limit is 1000."""

PACKAGE: Final = str(Path(__file__).parent.parent) + os.sep
DEMO: Final = PACKAGE + "demo.py"

SYNTAX_FIELDS: Final = (
    "msg",
    "filename",
    "lineno",
    "offset",
    "text",
    "end_lineno",
    "end_offset",
)

CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"

_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_suppresses = BaseException.__dict__["__suppress_context__"].__get__
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_set_traceback = BaseException.__dict__["__traceback__"].__set__
_args_of = BaseException.__dict__["args"].__get__
_members_of = BaseExceptionGroup.__dict__["exceptions"].__get__


def is_own_file(filename: str) -> bool:
    """Whether a frame of this file is part of nbrpc's machinery; the demonstration bench is not."""
    return filename.startswith(PACKAGE) and filename != DEMO


# ---- out


def failure_of(
    exception: BaseException,
    box: Callable[[object], Any],
    *,
    include_traceback: bool,
    skip: tuple[str, ...] = (),
    classes: ErrorClasses | None = None,
    parent: int | None = None,
) -> Error:
    """Describe an exception for the peer.

    Parameters
    ----------
    classes
        The exceptions of its connection, so that one of the peer's finds home.
    parent
        The request of ours inside of which the peer asked, 0 if that is not known; None where
        nothing of ours waits, so that it cannot come back.
    box
        Boxes one argument; what it raises an `Exception` for is sent as its repr.
    skip
        Beginnings of file names whose frames are left out, beside those of nbrpc.
    """
    return _Describer(
        box, skip, classes, include_traceback=include_traceback, parent=parent
    ).describe(exception, 0)


class _Describer:
    """One walk over an exception and what hangs on it."""

    def __init__(
        self,
        box: Callable[[object], Any],
        skip: tuple[str, ...],
        classes: ErrorClasses | None,
        *,
        include_traceback: bool,
        parent: int | None,
    ) -> None:
        self.box = box
        self.classes = classes
        self.parent = parent
        self.room = Room()
        self.skip = skip
        self.include_traceback = include_traceback
        self.seen: set[int] = set()
        self.characters = 2 * MAX_TEXT
        """How much traceback may still be sent."""

    def describe(self, exception: BaseException, depth: int) -> Error:
        self.seen.add(id(exception))
        message = _message_of(exception)
        error = Error(
            type_name_of(exception),
            [self.argument(arg) for arg in _arguments_of(exception)],
            "",
            message,
            _notes_of(exception),
            attributes_of(exception, self.box, self.room),
        )
        error.ancestry = ancestry_of(type(exception))
        if is_kind_of(exception, Rebuilt):
            error.hops = _hops_of(exception) + 1
        if self.classes is not None:
            error.home = self.classes.home_of(exception)
            if depth == 0 and self.parent is not None:
                error.number = self.classes.keep(exception, self.parent)
        if self.include_traceback:
            text = sendable(self.own_text(exception, error), min(MAX_TEXT, self.characters))
            self.characters = max(0, self.characters - len(text))
            error.text = text
        if depth < MAX_CHAIN:
            error.cause = self.follow(_cause_of(exception), depth)
            if error.cause is None and not _suppresses(exception):
                error.context = self.follow(_context_of(exception), depth)
            if is_kind_of(exception, BaseExceptionGroup):
                members = (self.follow(m, depth) for m in _members_of(exception)[:MAX_MEMBERS])
                error.members = [member for member in members if member is not None]
        return error

    def follow(self, exception: BaseException | None, depth: int) -> Error | None:
        if exception is None or id(exception) in self.seen or len(self.seen) >= MAX_EXCEPTIONS:
            return None
        return self.describe(exception, depth + 1)

    def argument(self, arg: object) -> Any:
        if type(arg) is str:
            arg = shorten(arg, MAX_TEXT)
        try:
            return self.box(arg)
        except Exception:
            return shorten(_text_of(arg, repr), MAX_NOTE)

    def own_text(self, exception: BaseException, error: Error) -> str:
        """Give what Python's traceback would say of this exception alone."""
        frames = self.frames(_traceback_of(exception))
        head = "Traceback (most recent call last):\n" + "".join(frames) if frames else ""
        # A failure that crossed another link shows that link's traceback within ours.
        message = _text_of(exception, str) if error.hops > 1 else error.message
        last = f"{error.type_name}: {message}\n" if message else f"{error.type_name}\n"
        last = _place_of(exception) + last
        return head + last + "".join(f"{note}\n" for note in error.notes)

    def frames(self, traceback: TracebackType | None) -> list[str]:
        while traceback is not None and self.is_skipped(traceback.tb_frame.f_code.co_filename):
            traceback = traceback.tb_next
        if traceback is None:
            return []
        try:
            found = extract_tb(traceback, -MAX_FRAMES)
            found[:] = [frame for frame in found if not self.is_skipped(frame.filename)]
            return found.format()
        except Exception:  # source lines come through loaders, which may do anything
            return ["  (the frames cannot be shown)\n"]

    def is_skipped(self, filename: str) -> bool:
        return is_own_file(filename) or filename.startswith(self.skip)


def type_name_of(exception: BaseException) -> str:
    """Give the class of an exception, with its module unless that is builtins.

    What came from another peer keeps the name that it had there.
    """
    cls = type(exception)
    if issubclass(cls, RemoteError):
        remote = own_attributes(exception).get("type_name")
        if type(remote) is str and remote:
            return remote
    module, name = class_module(cls), class_qualname(cls)
    return name[:200] if module in {"", "builtins"} else f"{module}.{name}"[:200]


def _text_of(obj: object, show: Callable[[object], str]) -> str:
    """Give str() or repr() of an object whose code may be broken in any way."""
    try:
        text = show(obj)
        return str.__str__(text)  # a subclass of str may lie about everything; a copy cannot
    except BaseException:  # even SystemExit here is only a text that could not be made
        return f"<{class_name(type(obj))} object>"


def _message_of(exception: BaseException) -> str:
    if is_kind_of(exception, Rebuilt):
        original = own_attributes(exception).get("_message")
        if type(original) is str:
            return original
    return sendable(_text_of(exception, str), MAX_TEXT)


def _arguments_of(exception: BaseException) -> tuple[object, ...]:
    # The exceptions of a group travel as its members.
    count = 1 if is_kind_of(exception, BaseExceptionGroup) else MAX_ARGS
    return _args_of(exception)[:count]  # type: ignore[no-any-return]


def _place_of(exception: BaseException) -> str:
    """Give the lines with which Python shows where a SyntaxError is."""
    if not is_kind_of(exception, SyntaxError):
        return ""
    message, *place = [slot_value(vars(SyntaxError)[name], exception) for name in SYNTAX_FIELDS]
    args: tuple[Any, ...] = (message, tuple(place))
    if not is_sound_syntax(args):
        return ""
    # A copy, since formatting the exception itself would walk over all its causes.
    return "".join(format_exception_only(SyntaxError(*args))[:-1])


def _hops_of(exception: BaseException) -> int:
    hops = own_attributes(exception).get("_hops")
    return min(hops, 1_000) if type(hops) is int else 1


def _notes_of(exception: BaseException) -> list[str]:
    notes = own_attributes(exception).get("__notes__")
    if type(notes) is not list:
        return []
    return [sendable(note, MAX_NOTE) for note in notes[:MAX_NOTES] if type(note) is str]


# ---- in


def exception_of(
    error: Error,
    unbox: Callable[[Any], object],
    *,
    allow_stop: bool = False,
    classes: ErrorClasses | None = None,
    call: int = 0,
) -> BaseException:
    """Rebuild an exception of the peer; one of ours that comes home is that exception itself.

    Parameters
    ----------
    classes
        The exceptions of its connection.
    call
        The request that failed.
    unbox
        Unboxes one argument; what it raises passes through.
    allow_stop
        Whether StopIteration and StopAsyncIteration may be given: as the answer to ``next`` only.
        Anywhere else they would silently end a loop of the caller.
    """
    stop = STOPS.get(error.type_name) if allow_stop else None
    if stop is not None:
        return stop(*[unbox(arg) for arg in error.args[:MAX_ARGS]])
    return _Builder(unbox, classes, call).build(error, 0)


class _Builder:
    """One walk over an `Error`; the peer decides its shape, so it is bounded again."""

    def __init__(
        self, unbox: Callable[[Any], object], classes: ErrorClasses | None, call: int
    ) -> None:
        self.unbox = unbox
        self.classes = classes
        self.call = call
        self.count = 0

    def build(self, error: Error, depth: int) -> BaseException:
        self.count += 1
        classes = self.classes
        ours = classes.ours(error.home, self.call) if classes is not None and error.home else None
        if ours is not None:
            _set_traceback(ours, _without_own_frames(_traceback_of(ours)))
            return ours
        built = [self.follow(member, depth) for member in error.members[:MAX_MEMBERS]]
        members = [member for member in built if isinstance(member, Exception)]
        args = tuple(self.unbox(arg) for arg in error.args[:MAX_ARGS])
        attributes = read_attributes(error.attributes, self.unbox)
        cls = classes.class_of(error.ancestry) if classes is not None else None
        exception = rebuild(error.type_name, args, members, attributes, cls)
        if classes is not None and error.number:
            classes.note_origin(exception, error.number)
        cause = self.follow(error.cause, depth)
        context = self.follow(error.context, depth)
        if cause is not None:
            exception.__cause__ = cause
        if context is not None:
            exception.__context__ = context
        for note in error.notes[:MAX_NOTES]:
            exception.add_note(printable(shorten(note, MAX_NOTE)))
        inform(
            exception,
            type_name=error.type_name,
            message=shorten(error.message, MAX_TEXT),
            traceback=whole_text(error) if depth == 0 else shorten(error.text, MAX_TEXT),
            # Python and IPython print causes by themselves; only the outermost brings all the text.
            shown=depth == 0,
            hops=error.hops,
        )
        return exception

    def follow(self, error: Error | None, depth: int) -> BaseException | None:
        if error is None or depth >= MAX_CHAIN or self.count >= MAX_EXCEPTIONS:
            return None
        return self.build(error, depth + 1)


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Give a traceback without the frames in which nbrpc called the user's code."""
    theirs = []
    while traceback is not None:
        if not is_own_file(traceback.tb_frame.f_code.co_filename):
            theirs.append(traceback)
        traceback = traceback.tb_next
    kept = None
    for entry in reversed(theirs):
        kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept


def whole_text(error: Error) -> str:
    """Give the traceback with causes and members, in Python's order: what came first is first."""
    return _joined(error, 0, [MAX_EXCEPTIONS]).rstrip("\n")


def _joined(error: Error, depth: int, left: list[int]) -> str:
    left[0] -= 1
    if depth > MAX_CHAIN or left[0] < 0 or not error.text:
        return ""
    before = ""
    if error.cause is not None:
        before, sentence = _joined(error.cause, depth + 1, left), CAUSE
    elif error.context is not None:
        before, sentence = _joined(error.context, depth + 1, left), CONTEXT
    parts = [before, sentence] if before else []
    parts.append(error.text)
    for number, member in enumerate(error.members[:MAX_MEMBERS], 1):
        inner = _joined(member, depth + 1, left)
        if inner:
            parts.append(f"  +---------------- {number} ----------------\n")
            parts += [f"  | {line}\n" for line in inner.splitlines()]
    return shorten("".join(parts), MAX_TEXT)
