"""A descriptor that another thread can make readable."""

from __future__ import annotations

import os
import socket

__all__ = ["Waker"]


class Waker:
    """Readable from `set` until `clear`.

    A pipe, or a socket pair where a selector takes sockets only (Windows).
    """

    __slots__ = ("_read", "_sockets", "_write")

    def __init__(self) -> None:
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        if os.name == "posix":
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)
        else:
            self._sockets = socket.socketpair()
            for end in self._sockets:
                end.setblocking(False)
            self._read, self._write = (end.fileno() for end in self._sockets)

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._read

    def set(self) -> None:
        """Make it readable; from any thread."""
        try:
            if self._sockets is None:
                os.write(self._write, b"\0")
            else:
                self._sockets[1].send(b"\0")
        except OSError:
            pass  # full, and so readable already; or closed at exit

    def clear(self) -> None:
        """Make it unreadable."""
        try:
            while True:
                if self._sockets is None:
                    os.read(self._read, 4096)
                else:
                    self._sockets[0].recv(4096)
        except OSError:
            pass

    def close(self) -> None:
        """Give the descriptors back."""
        if self._sockets is None:
            read, write = self._read, self._write
            # Who still calls `set` must not write into a file that has got the number since.
            self._read = self._write = -1
            os.close(read)
            os.close(write)
        else:
            for end in self._sockets:
                end.close()
