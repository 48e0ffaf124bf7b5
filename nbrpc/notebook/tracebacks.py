"""How nbrpc's exceptions are shown in IPython: the user's frames, the remote ones, and no others.

IPython asks an exception for its own rendering; while the extension is loaded, the classes of
`nbrpc.errors` answer with what is here. Nothing of IPython is replaced.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import TracebackType
from typing import Any

from nbrpc.errors import NbrpcError, RemoteError
from nbrpc.session import interrupts
from nbrpc.widgets.sanitize import clean

__all__ = [
    "Interrupted",
    "brief",
    "install",
    "name_stop",
    "presentable",
    "unfinished",
    "uninstall",
    "without_package",
]

PACKAGE = str(Path(__file__).resolve().parent.parent)

WAITING = (PACKAGE, str(Path(asyncio.__file__).parent))
"""Where the frames lie of a cell that waits."""

BRIEF = "_nbrpc_brief"
STOP = "_nbrpc_stop"

UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?\Z")
"""A colour sequence that the next piece of text may complete."""


class Interrupted(KeyboardInterrupt):
    """Stop ended a cell that waited for the remote; shown with the user's frames alone.

    To show the frames of the package would take most of the time that Stop takes.
    """

    def _render_traceback_(self) -> list[str]:
        traceback = without_package(self.__traceback__, WAITING)
        if self.args or traceback is None:
            return [f"KeyboardInterrupt: {self}" if self.args else "KeyboardInterrupt"]
        return _render_frames(self, traceback)


Interrupted.__name__ = Interrupted.__qualname__ = "KeyboardInterrupt"


def brief(error: BaseException) -> BaseException:
    """Mark an exception to be shown without local frames: it came out of a magic."""
    setattr(error, BRIEF, True)
    return error


class RemoteSyntaxError(RemoteError):
    """Stands for a SyntaxError of a remote cell."""


class RemoteGroup(RemoteError):
    """Stands for an exception group of a remote cell."""


STAND_INS: dict[type[BaseException], type[RemoteError]] = {
    SyntaxError: RemoteSyntaxError,
    BaseExceptionGroup: RemoteGroup,
}
"""For what IPython shows in its own way, with all frames of ours and without the remote ones."""

for _kind, _stand_in in STAND_INS.items():
    _stand_in.__name__ = _stand_in.__qualname__ = _kind.__name__.removeprefix("Base")


def presentable(error: BaseException) -> BaseException:
    """Make what a remote cell raised fit to be raised by the local cell, with the remote frames.

    It is the exception itself wherever IPython asks that for its rendering.
    """
    for kind, stand_in in STAND_INS.items():
        if isinstance(error, kind) and isinstance(error, RemoteError):
            substitute = stand_in(*error.args)
            substitute.type_name, substitute.remote_traceback = (
                error.type_name,
                error.remote_traceback,
            )
            return brief(substitute)
    return brief(error)


def unfinished(text: str) -> int:
    """Give the length of the escape sequence that `text` ends in the middle of, or 0."""
    match = UNFINISHED.search(text)
    return len(match.group()) if match else 0


def install(shell: Any) -> None:
    """Let IPython show nbrpc's exceptions this way, and Stop in a cell that awaits."""
    NbrpcError._render_traceback_ = _render  # type: ignore[attr-defined]
    interrupts.interruption = Interrupted
    if not shell.custom_exceptions:
        shell.set_custom_exc((asyncio.CancelledError,), _show_stop)


def uninstall(shell: Any) -> None:
    """Undo `install`."""
    interrupts.interruption = KeyboardInterrupt
    if shell.custom_exceptions == (asyncio.CancelledError,):
        shell.set_custom_exc((), None)
    if hasattr(NbrpcError, "_render_traceback_"):
        del NbrpcError._render_traceback_


def _show_stop(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType,
    **_options: object,
) -> None:
    """Show a cell that Stop ended while it awaited as every other one that Stop ended."""
    if not _is_cancelled():
        shell.showtraceback((kind, error, traceback))
        return
    setattr(error, STOP, True)
    shell.showtraceback((Interrupted, Interrupted().with_traceback(traceback), traceback))


def _is_cancelled() -> bool:
    """Whether the running cell was cancelled, and not what it waited for."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task is None or task.cancelling() > 0


def name_stop(outcome: Any) -> None:
    """Have the reply to a cell that Stop ended while it awaited name what the cell shows."""
    if getattr(getattr(outcome, "error_in_exec", None), STOP, False):
        outcome.error_in_exec = Interrupted()


def _render(error: NbrpcError) -> list[str]:
    traceback = without_package(error.__traceback__)
    if traceback is None or getattr(error, BRIEF, False):
        return _render_briefly(error)
    cause = error.__cause__
    try:
        if cause is not None and _is_noise(cause, error):
            error.__cause__ = None
        return _render_frames(error, traceback)
    finally:
        error.__cause__ = cause


def _render_frames(error: BaseException, traceback: TracebackType) -> list[str]:
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return [clean(f"{type(error).__name__}: {error}")]
    lines = shell.InteractiveTB.structured_traceback(type(error), error, traceback)
    return [clean(line) for line in lines]


def _is_noise(cause: BaseException, error: NbrpcError) -> bool:
    """Whether the cause of an error tells a user nothing: it says the same, or is ours alone."""
    if isinstance(cause, NbrpcError) and str(cause) == str(error):
        return True  # every waiter gets an error of its own for one lost connection
    return cause.__traceback__ is not None and without_package(cause.__traceback__) is None


def _render_briefly(error: NbrpcError) -> list[str]:
    if isinstance(error, RemoteError):
        name = error.type_name.rpartition(".")[2] or type(error).__name__
        if name == "UsageError":  # a mistyped magic in a remote cell is not worth a traceback
            return [clean(f"UsageError: {error.args[0] if error.args else ''}")]
        if error.remote_traceback:
            return [coloured(clean(error.remote_traceback).rstrip())]
    return [clean(f"{type(error).__name__}: {error}")]


def without_package(
    traceback: TracebackType | None, folders: tuple[str, ...] = (PACKAGE,)
) -> TracebackType | None:
    """Copy a traceback without the frames of this package, or of other folders."""
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(folders):
            kept.append(traceback)
        traceback = traceback.tb_next
    copy = None
    for entry in reversed(kept):
        copy = TracebackType(copy, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return copy


def coloured(text: str) -> str:
    """Colour the text of a traceback, unless it brings colours of its own."""
    if "\x1b[" in text:
        return text
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import TerminalFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonTracebackLexer  # type: ignore[import-untyped]

    return str(highlight(text, PythonTracebackLexer(), TerminalFormatter())).rstrip("\n")
