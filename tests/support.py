"""What tests share: polling with a deadline, real server processes, and what a test left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

URL = re.compile(r"\b(?:nbrpcs?|unix)://\S+")


def eventually(condition: Callable[[], T], timeout: float = 5.0, message: str = "") -> T:
    """Poll until the condition is true and return its value; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while not (value := condition()):
        if time.monotonic() > deadline:
            what = message or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)
    return value


@dataclass
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    output: Path
    url: str = ""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def printed(self) -> str:
        """What it has printed so far, errors included."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_url(self, timeout: float = 20.0) -> None:
        """Wait until the server has printed its URL."""

        def found() -> re.Match[str] | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended at once and printed:\n{self.printed}")
            return URL.search(self.printed)

        self.url = eventually(found, timeout, "the server printed its URL")[0]

    def stop(self) -> None:
        """End the process, gently first."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def start_server(output: Path, *arguments: str, folder: Path | None = None) -> Served:
    """Start ``nbrpc serve`` with these arguments and wait for its URL."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbrpc", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    served = Served(process, output)
    try:
        served.wait_url()
    except BaseException:
        served.stop()
        raise
    return served


def lasting_threads() -> set[threading.Thread]:
    """Threads that would keep the process alive, without those that nbrpc shares and names so."""
    return {
        thread
        for thread in threading.enumerate()
        if not thread.daemon
        and thread is not threading.main_thread()
        and not thread.name.startswith("nbrpc-")
    }


def open_sockets() -> dict[str, int]:
    """Sockets of this process by their identity in the kernel; empty where that cannot be told."""
    folder = Path("/proc/self/fd")
    found: dict[str, int] = {}
    if not folder.is_dir():
        return found
    for entry in folder.iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the descriptor of this very listing
            continue
        if target.startswith("socket:"):
            found[target] = int(entry.name)
    return found


def loop_sockets() -> set[int]:
    """Descriptors by which running event loops wake themselves; nbrpc's own loop lives on."""
    return {
        end.fileno()
        for loop in gc.get_objects()
        if issubclass(type(loop), asyncio.BaseEventLoop) and loop.is_running()
        for end in (getattr(loop, "_ssock", None), getattr(loop, "_csock", None))
        if end is not None
    }
