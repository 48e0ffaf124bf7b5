"""What every byte pipe offers to the session above it.

A transport moves bytes and says when the pipe ended; it neither frames nor interprets them. It
takes no locks: a session has one reader and one writer at a time, and `Transport.close` alone may
be called from any thread at any moment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

__all__ = ["WAIT_TICK", "WHOLE_READ", "Transport"]

WAIT_TICK = 0.05
"""Seconds that `Transport.wait_receive` blocks at most: half of the 0.1 s within which Ctrl-C, Stop
and an expired deadline must reach a waiting caller."""

WHOLE_READ = 32 * 1024
"""A read of so many bytes or more leaves nothing in the transport itself, of which a selector would
not tell. TLS gives what it has in records of up to 16 KiB."""


class Transport(ABC):
    """One byte pipe to a peer.

    Attributes
    ----------
    name : str
        The peer's address, for people: ``tcp://127.0.0.1:18861``. It holds no secret.
    waitable : bool
        Whether `wait_receive` is one system call. Where it is not, waiting belongs to a selector.
    """

    __slots__ = ()

    name: str
    waitable: bool

    @abstractmethod
    def fileno(self) -> int:
        """Give the descriptor to register with a selector; -1 once closed."""

    @abstractmethod
    def receive(self, size: int) -> bytes | None:
        """Take what is there, without waiting.

        Parameters
        ----------
        size
            The most bytes to take, above 0. Who waits by a selector asks for `WHOLE_READ` or more.

        Returns
        -------
        bytes or None
            None when nothing is there now, ``b""`` when the peer closed.

        Raises
        ------
        ConnectionLost
            The pipe broke, or was closed here.
        """

    @abstractmethod
    def wait_receive(self, size: int) -> bytes | None:
        """Take what comes within `WAIT_TICK`; None when nothing came, ``b""`` when the peer closed.

        Raises
        ------
        ConnectionLost
            The pipe broke, or was closed here.
        """

    @abstractmethod
    def send(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Give the pipe as much of some pieces as it takes now, without waiting.

        Parameters
        ----------
        pieces
            At least one, none of them empty, sent as if they were joined.

        Returns
        -------
        int
            The bytes taken, counted over all pieces; 0 when the pipe is full.

        Raises
        ------
        ConnectionLost
            The pipe broke, or was closed here; some of the bytes may have been sent.
        """

    @abstractmethod
    def close(self) -> None:
        """End the pipe for both sides, from any thread; doing so again does nothing.

        A thread that blocks in `wait_receive` returns. Bytes that were sent still arrive.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Give the descriptor back without a word to the peer.

        In a process that was forked, the pipe belongs to the other one.
        """
