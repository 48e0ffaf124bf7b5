"""Ctrl-C and the notebook's Stop: where KeyboardInterrupt may strike, and where it must wait.

Theory of operation
-------------------
A KeyboardInterrupt that strikes while bytes are being taken from a socket, given to it or counted
would tear the connection. So the SIGINT handler installed here looks at the interrupted stack: the
innermost frame that belongs to the core of this package decides. Functions marked with `open_to`
wait, those marked with `runs_user_code` call the user's, and both let the interrupt through;
everything else in the core holds it
back: whoever waits next raises it, or the signal is sent anew some milliseconds later, when the
thread has left the core. Outside the core the interrupt strikes as always. The hot
path pays nothing for this.

The handler is put in place once, when a connection is made or a cell begins, in the place of
Python's own, and chains to one that the user had installed.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from _signal import SIGINT, getsignal  # type: ignore[import-not-found]  # the ones of C: quick
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = [
    "SIGINT",
    "check",
    "getsignal",
    "guarded",
    "install",
    "open_to",
    "runs_user_code",
    "uninstall",
    "user_code_on_top",
]

CORE = str(Path(__file__).resolve().parent.parent)
CORE_FILES = tuple(
    f"{CORE}/{name}".replace("\\", "/")
    for name in ("session/", "protocol/", "objects/", "transports/", "server/descriptors.py")
)

AGAIN = 0.003
"""Seconds after which a held-back interrupt is sent anew."""

AGAIN_LATER = 0.08
"""The same from the second time on. Longer than the tick of a read, which every signal begins anew:
otherwise a thread that waits in one would never come to look."""

USER_FILES = (
    f"{CORE}/objects/operations.py",
    f"{CORE}/objects/access.py",
    f"{CORE}/session/code.py",
    f"{CORE}/session/rpyc/operations.py",
)
"""Where the core calls into objects of the user: open to interrupts, as if marked."""

Function = TypeVar("Function", bound=Callable[..., Any])

strikes = 0
"""Interrupts that were let through; by this a sender knows whether its signal has struck."""

interruption: type[KeyboardInterrupt] = KeyboardInterrupt
"""What an interrupt raises; a notebook's knows how to be shown."""

_waits: set[CodeType] = set()
_callers: set[CodeType] = set()
_pending = False
_settled = 0
"""How many interrupts have been raised."""
_previous: Any = None
main_thread = threading.main_thread().ident


def open_to(function: Function) -> Function:
    """Mark a function that waits: an interrupt may strike in it, or in what it calls."""
    _waits.add(function.__code__)
    return function


def runs_user_code(function: Function) -> Function:
    """Mark a function of the core that runs the user's code: an interrupt may strike in that."""
    _callers.add(function.__code__)
    return function


def _is_core(code: CodeType) -> bool:
    return code.co_filename.startswith(CORE_FILES)


def _may_strike(frame: FrameType | None) -> bool:
    """Whether an exception may be raised at the top of a stack."""
    if frame is None:
        return True
    if _is_core(frame.f_code):
        return frame.f_code in _waits
    while frame is not None:
        code = frame.f_code
        if _is_core(code) and code.co_filename not in USER_FILES:
            return code in _waits or code in _callers
        frame = frame.f_back
    return True


def user_code_on_top(thread: int) -> bool:
    """Whether a thread runs code of the user, so that an exception may strike it."""
    frame = sys._current_frames().get(thread)
    return frame is not None and not _is_core(frame.f_code) and _may_strike(frame)


def handle(number: int, frame: FrameType | None) -> Any:
    """Handle SIGINT."""
    global _pending, strikes  # noqa: PLW0603 - one main thread, one flag
    if not _may_strike(frame):
        delay = AGAIN_LATER if _pending else AGAIN
        _pending = True
        if getsignal(SIGINT) is handle:
            # Another handler in place keeps calls off the short way, which does not check.
            signal.signal(SIGINT, handle_again)
        # Not a Timer: the interrupted code may hold a lock of the threading module.
        _thread.start_new_thread(_send_again, (delay, _settled))
        return None
    _settle()
    strikes += 1
    if callable(_previous) and _previous is not signal.default_int_handler:
        return _previous(number, frame)
    raise interruption


def handle_again(number: int, frame: FrameType | None) -> Any:
    """Handle SIGINT while an earlier one is held back."""
    return handle(number, frame)


def _settle() -> None:
    """Hold nothing back any more."""
    global _pending, _settled  # noqa: PLW0603 - one main thread, one flag
    _pending = False
    _settled += 1
    if getsignal(SIGINT) is handle_again:
        signal.signal(SIGINT, handle)


def _send_again(delay: float, settled: int) -> None:
    """Send a held-back interrupt anew, unless it has been raised by then."""
    time.sleep(delay)  # on a thread of its own: the interrupted code goes on meanwhile
    if _pending and settled == _settled:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main_thread or 0, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)


OURS = (handle, handle_again)


def held_back() -> bool:
    """Whether an interrupt waits to be raised by `check`."""
    return _pending


def check() -> None:
    """Raise an interrupt that was held back; called where waiting code is safe."""
    if _pending and threading.get_ident() == main_thread:
        _settle()
        if callable(_previous) and _previous is not signal.default_int_handler:
            _previous(signal.SIGINT, sys._getframe(1))
            return
        raise interruption


def guarded() -> bool:
    """Whether this thread may read a socket: an interrupt cannot strike between its bytecodes."""
    return threading.get_ident() != main_thread or getsignal(SIGINT) in OURS


def install() -> bool:
    """Put the handler in place, on the main thread where SIGINT raises; True when it is there."""
    global _previous, _pending  # noqa: PLW0603
    if threading.get_ident() != main_thread:
        return False
    current = signal.getsignal(signal.SIGINT)
    if current in OURS:
        return True
    if not callable(current):
        return False  # ignored, or installed by C code: not ours to change
    _previous = current
    _pending = False
    signal.signal(signal.SIGINT, handle)
    return True


def _after_fork() -> None:
    global main_thread, _pending  # noqa: PLW0603 - the thread that forked is the main one now
    main_thread = threading.get_ident()
    _pending = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def uninstall() -> None:
    """Give SIGINT back to whom it was taken from, if nobody took it from us."""
    if threading.get_ident() == main_thread and getsignal(SIGINT) in OURS:
        signal.signal(signal.SIGINT, _previous)
