"""Child processes of a cell that is cancelled: they are interrupted, as those of a local kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["interrupt_writers"]

PROC = Path("/proc")


def interrupt_writers(pipes: Sequence[os.stat_result]) -> None:
    """Send SIGINT to the descendants of this process that have their output in one of these pipes.

    Without Linux's ``/proc`` nobody knows them, and none is interrupted.
    """
    for pid in _below(os.getpid()):
        with suppress(OSError):  # it has just ended, or belongs to another user
            if _writes_to(pid, pipes):
                os.kill(pid, signal.SIGINT)


def _writes_to(pid: int, pipes: Sequence[os.stat_result]) -> bool:
    for number in (1, 2):
        with suppress(FileNotFoundError):
            output = (PROC / f"{pid}/fd/{number}").stat()
            if any(os.path.samestat(output, pipe) for pipe in pipes):
                return True
    return False


def _below(pid: int) -> Iterator[int]:
    """Give the children of a process, and theirs."""
    with suppress(OSError):
        for children in (PROC / f"{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _below(child)
