"""A command as a byte pipe: its standard input and output are one end of a socket pair.

The session has the other end, as it has any socket; no thread stands between. What the command says
on standard error is read by a thread, shown to the user, and its end is kept for the message of a
connection that does not come to be.

The command is ended with the connection: its input ends first, which servers and ssh take for the
end; one that goes on is terminated, and then killed. When this process ends, so does the command.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Final, Self

from nbrpc.errors import ConnectFailed
from nbrpc.objects.text import printable
from nbrpc.transports.address import Address
from nbrpc.transports.dialing import Dialer
from nbrpc.transports.sockets import SocketTransport

__all__ = ["CommandDialer", "ProcessTransport"]

GRACE: Final = 2.0
"""Seconds that a command has to end once its input has ended, and again after SIGTERM."""

LAST_GRACE: Final = 1.0
"""Seconds of the same when this process ends."""

PIECE: Final = 8192

LONGEST_LINE: Final = 4096
"""Characters of standard error after which a line is shown although it has not ended."""

KEPT_LINES: Final = 30
SHOWN_LINES: Final = 3
"""Last lines of standard error that are kept, and those that an error message tells."""


class Said:
    """What a command says on standard error.

    Parameters
    ----------
    pipe
        Where it comes; it belongs to this object from here on.
    held
        Whether nothing is shown before `release`.
    """

    def __init__(self, pipe: IO[bytes], *, held: bool) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._held: list[str] | None = [] if held else None
        self._lock = threading.Lock()
        # In a notebook what it prints appears in the cell that connects, which the context tells.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._read, pipe), name="nbrpc-stderr", daemon=True
        )
        self._thread.start()

    def release(self) -> None:
        """Show what was held back, and from now on what comes."""
        with self._lock:
            held, self._held = self._held, None
            for line in held or ():
                _show(line)

    def text(self, patience: float = 0.5) -> str:
        """Give all the lines that are kept, once the command has ended; wait so long for that."""
        self._thread.join(patience)
        return "\n".join(self._lines)

    def last_words(self) -> str:
        """Give the last lines as one; of a traceback only the last."""
        text = self.text()
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-1:] if '  File "' in text else lines[-SHOWN_LINES:])

    def _read(self, pipe: IO[bytes]) -> None:
        rest = b""
        with pipe:
            while data := os.read(pipe.fileno(), PIECE):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > LONGEST_LINE:
                    self._take(rest)
                    rest = b""
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        with self._lock:
            self._lines.append(printable(text))
            if self._held is None:
                _show(text)
            elif len(self._held) < 10 * KEPT_LINES:
                self._held.append(text)


def _show(line: str) -> None:
    # Whatever stands there may be closed, or be an object of the program.
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{printable(line, keep_colour=True)}\n")
        sys.stderr.flush()


class ProcessTransport(SocketTransport):
    """The standard input and output of a command.

    Parameters
    ----------
    sock
        Our end of the socket pair.
    process
        The command; it ends with this transport.
    held
        Whether its standard error is shown only from `Said.release` on.

    Attributes
    ----------
    said : Said
        What the command says on standard error.
    pid : int
        Of the command.
    """

    __slots__ = ("__weakref__", "_ending", "_process", "pid", "said")

    def __init__(
        self, sock: socket.socket, name: str, process: subprocess.Popen[bytes], *, held: bool
    ) -> None:
        super().__init__(sock, name)
        self._process = process
        self._ending: threading.Thread | None = None
        assert process.stderr is not None
        self.said = Said(process.stderr, held=held)
        self.pid = process.pid
        _living.add(self)

    @classmethod
    def start(cls, arguments: Sequence[str], name: str, *, held: bool = False) -> Self:
        """Start a command, and give the transport to it.

        Parameters
        ----------
        arguments
            The program and its arguments; no shell sees them.
        name
            Of the peer, for people.
        held
            Whether its standard error is shown only from `Said.release` on.

        Raises
        ------
        ConnectFailed
            There is no such program, or it cannot be started.
        """
        near, far = socket.socketpair()
        try:
            process = subprocess.Popen(  # noqa: S603 - this is what the caller asks for
                arguments,
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.PIPE,
                start_new_session=True,  # or Ctrl-C in the terminal would end it as well
            )
        except BaseException as error:  # and it is raised again
            near.close()
            if isinstance(error, OSError):
                raise _not_started(arguments[0], error) from error
            raise
        finally:
            far.close()
        return cls(near, name, process, held=held)

    def close(self) -> None:
        """Close the socket, and see to it that the command ends."""
        super().close()
        if self._ending is None:
            self._ending = threading.Thread(target=self._end, name="nbrpc-ending", daemon=True)
            with contextlib.suppress(RuntimeError):  # this process ends, and the command with it
                self._ending.start()

    def abandon(self) -> None:
        """Close this process's descriptor only; the command is another one's child."""
        super().abandon()
        _living.discard(self)
        self._process.returncode = 0  # what subprocess takes for a child that was waited for

    def _end(self) -> None:
        """Wait until the command has ended, and make it if it must be."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
                return
            with contextlib.suppress(PermissionError):  # sudo: the end of its input is all we have
                self._process.send_signal(number)
        self._process.wait()

    def opened(self) -> None:
        """The handshake is over: what the command says is for the user from now on."""
        self.said.release()

    def ended(self, patience: float) -> int | None:
        """Give the exit code of the command; None if it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience)
        return None

    def explain(self, error: Exception) -> str:
        """Say why no connection came to be over this command, once it is closed.

        Parameters
        ----------
        error
            What the handshake made of it.
        """
        head = getattr(error.__cause__, "head", None)
        if isinstance(head, bytes):  # of the protocol's Foreign, which is not known here
            text = printable(head[:100].decode("utf-8", "replace")).strip()
            return (
                f"the command printed {text!r} where a server of nbrpc speaks: on standard output "
                "it may print nothing of its own (nbrpc serve --stdio sees to that)"
            )
        code = self.ended(LAST_GRACE)
        if code is None:
            last = self.said.text(0.0).strip().rpartition("\n")[2]
            return f"{error}; it said: {last}" if last else str(error)
        how = f"with code {code}" if code >= 0 else f"by signal {-code}"
        words = self.said.last_words()
        return f"the command ended {how}" + (f": {words}" if words else ", without a word")


def _not_started(program: str, error: OSError) -> ConnectFailed:
    if isinstance(error, FileNotFoundError):
        return ConnectFailed(f"there is no program {program!r} here: check its name")
    reason = (error.strerror or str(error)).lower()
    return ConnectFailed(f"the program {program!r} cannot be started: {reason}")


_living: weakref.WeakSet[ProcessTransport] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Leave no command behind."""
    left = [transport for transport in list(_living) if transport.ended(0.0) is None]
    for transport in left:
        SocketTransport.close(transport)
    deadline = time.monotonic() + LAST_GRACE
    for transport in left:
        if transport.ended(max(0.0, deadline - time.monotonic())) is None:
            with contextlib.suppress(OSError):
                os.kill(transport.pid, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class CommandDialer(Dialer):
    """Connects to whatever a command gives on its standard input and output.

    Parameters
    ----------
    arguments
        The program and its arguments.
    held
        Whether standard error is shown only once the connection is there.
    """

    arguments: tuple[str, ...] = ()
    held: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> CommandDialer:
        """Make the dialer of a command; it is called by its program, for the rest may be secret."""
        return cls(Address("command", host=PurePath(arguments[0]).name), arguments=tuple(arguments))

    def dial(self, deadline: float) -> ProcessTransport:
        """Start the command."""
        return ProcessTransport.start(self.arguments, self.address.url, held=self.held)
