"""Ctrl-C and the notebook's Stop: where KeyboardInterrupt may strike, and where it must wait.

Theory of operation
-------------------
A KeyboardInterrupt that strikes while bytes are being taken from a socket, given to it or counted
would tear the connection. So the SIGINT handler installed here looks at the interrupted stack: the
innermost frame that belongs to the core of this package decides. Functions marked with `open_to`
wait, or run the user's code, and let the interrupt through; everything else in the core holds it
back: whoever waits next raises it, or the signal is sent anew some milliseconds later, when the
thread has left the core. Outside the core the interrupt strikes as always. The hot
path pays nothing for this.

The handler is put in place once, when a connection is made or a cell begins, in the place of
Python's own, and chains to one that the user had installed.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["check", "guarded", "install", "open_to", "uninstall", "user_code_on_top"]

CORE = str(Path(__file__).resolve().parent.parent)
CORE_FOLDERS = tuple(
    f"{CORE}/{name}".replace("\\", "/") for name in ("session/", "protocol/", "objects/", "transports/")
)

AGAIN = 0.003
"""Seconds after which a held-back interrupt is sent anew."""

Function = TypeVar("Function", bound=Callable[..., Any])

_open: set[CodeType] = set()
_pending = False
_previous: Any = None
_main = threading.main_thread().ident


def open_to(function: Function) -> Function:
    """Mark a function of the core that waits or runs the user's code."""
    _open.add(function.__code__)  # type: ignore[attr-defined]
    return function


def _deciding_frame(frame: FrameType | None) -> CodeType | None:
    """Give the code of the innermost frame of the core, or None."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(CORE_FOLDERS):
            return frame.f_code
        frame = frame.f_back
    return None


def user_code_on_top(thread: int) -> bool:
    """Whether a thread runs code of the user (or waits), so that an exception may strike it."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no public way
    if frame is None or frame.f_code.co_filename.startswith(CORE_FOLDERS):
        return False
    return _deciding_frame(frame) in _open


def _handle(number: int, frame: FrameType | None) -> Any:
    """Handle SIGINT."""
    global _pending  # noqa: PLW0603 - one main thread, one flag
    code = _deciding_frame(frame)
    if code is not None and code not in _open:
        _pending = True
        # Not a Timer: the interrupted code may hold a lock of the threading module.
        _thread.start_new_thread(_send_again, ())
        return None
    _pending = False
    if callable(_previous) and _previous is not signal.default_int_handler:
        return _previous(number, frame)
    raise KeyboardInterrupt


def _send_again() -> None:
    """Send a held-back interrupt anew."""
    time.sleep(AGAIN)
    if _pending:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(_main or 0, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)


def check() -> None:
    """Raise an interrupt that was held back; called where waiting code is safe."""
    global _pending  # noqa: PLW0603
    if _pending and threading.get_ident() == _main:
        _pending = False
        if callable(_previous) and _previous is not signal.default_int_handler:
            _previous(signal.SIGINT, sys._getframe(1))  # noqa: SLF001
            return
        raise KeyboardInterrupt


def guarded() -> bool:
    """Whether this thread may read a socket: an interrupt cannot strike between its bytecodes."""
    return threading.get_ident() != _main or signal.getsignal(signal.SIGINT) is _handle


def install() -> bool:
    """Put the handler in place, on the main thread and where SIGINT raises; True when it is there."""
    global _previous, _pending  # noqa: PLW0603
    if threading.get_ident() != _main:
        return False
    current = signal.getsignal(signal.SIGINT)
    if current is _handle:
        return True
    if not callable(current):
        return False  # ignored, or installed by C code: not ours to change
    _previous = current
    _pending = False
    signal.signal(signal.SIGINT, _handle)
    return True


def uninstall() -> None:
    """Give SIGINT back to whom it was taken from, if nobody took it from us."""
    if threading.get_ident() == _main and signal.getsignal(signal.SIGINT) is _handle:
        signal.signal(signal.SIGINT, _previous)
