"""Servers that run out of descriptors or of threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EXHAUSTED", "THREADLESS", "program"]

EXHAUSTED = """
import os, resource, sys, threading
import nbrpc
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
class Full(nbrpc.Service):
    def exposed_add(self, a, b):
        return a + b
server = nbrpc.serve(Full, port=0, token="t" * 32)
print(server.port, flush=True)
server.start()
"""
"""A server that may open 64 files."""

THREADLESS = """
import _thread, sys, threading, time
import nbrpc
class Lean(nbrpc.Service):
    def exposed_add(self, a, b):
        return a + b
    def exposed_nap(self, seconds):
        time.sleep(seconds)  # what the service does
    def exposed_limit(self, on):
        threading._start_new_thread = refuse if on else _thread.start_new_thread
def refuse(*_):
    raise RuntimeError("can't start new thread")
server = nbrpc.serve(Lean, port=0, token="t" * 32)
print(server.port, flush=True)
server.start()
"""
"""A server that can be told to start no more threads."""


@contextmanager
def program(source: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server that prints its port; give the process and the port. It is ended afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()
