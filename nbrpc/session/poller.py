"""Which descriptors are ready: epoll where there is one, else what `selectors` finds best."""

from __future__ import annotations

import select
import selectors
from typing import Any

__all__ = ["READ", "WRITE", "Poller"]

READ = 1
WRITE = 4
"""epoll's numbers for readable and writable."""


class EpollPoller:
    """A thin layer over epoll; changes take effect while another thread waits in `poll`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.close = self._epoll.close
        self.poll = self._epoll.poll
        """Wait at most so many seconds; give the ready descriptors with what they are ready for."""

    def add(self, descriptor: int, interest: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(descriptor, interest)

    def change(self, descriptor: int, interest: int) -> None:
        """Watch it for something else; 0 leaves only errors and hang-ups."""
        self._epoll.modify(descriptor, interest or select.EPOLLONESHOT)

    def remove(self, descriptor: int) -> None:
        """Watch it no longer."""
        try:
            self._epoll.unregister(descriptor)
        except (OSError, ValueError):
            pass


class SelectorPoller:
    """The same over `selectors`, for platforms without epoll.

    Notes
    -----
    A change is seen by the next `poll`; the reactor wakes itself after each change it makes from
    another thread.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close

    def add(self, descriptor: int, interest: int) -> None:
        """Watch a descriptor."""
        if interest:
            self._selector.register(descriptor, self._events(interest))

    def change(self, descriptor: int, interest: int) -> None:
        """Watch it for something else; 0 stops watching until the next change."""
        self.remove(descriptor)
        self.add(descriptor, interest)

    def remove(self, descriptor: int) -> None:
        """Watch it no longer."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError, OSError):
            pass

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait at most ``timeout`` seconds; give what is ready, and for what."""
        ready = self._selector.select(timeout)
        return [
            (
                key.fd,
                (READ if mask & selectors.EVENT_READ else 0)
                | (WRITE if mask & selectors.EVENT_WRITE else 0),
            )
            for key, mask in ready
        ]

    @staticmethod
    def _events(interest: int) -> int:
        return (selectors.EVENT_READ if interest & READ else 0) | (
            selectors.EVENT_WRITE if interest & WRITE else 0
        )


Poller: Any = EpollPoller if hasattr(select, "epoll") else SelectorPoller
LIVE_CHANGES = hasattr(select, "epoll")
"""Whether a change takes effect while another thread is waiting."""
