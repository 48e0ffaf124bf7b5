"""What a script is, how it is to end, and the service that it is connected to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BARE", "CONNECTED", "SERVICE", "Life"]

SERVICE = """
import asyncio, threading, time
import nbrpc

class Host(nbrpc.Service):
    told = nbrpc.event()
    def __init__(self):
        self.kept = []
    def exposed_add(self, a, b):
        return a + b
    def exposed_nap(self, seconds):
        time.sleep(seconds)  # what the service does
    async def exposed_nap_later(self, seconds):
        await asyncio.sleep(seconds)  # what the service does
    def exposed_take(self, data):
        return len(data)
    def exposed_make(self):
        return threading.Event()
    def exposed_count(self, number):
        yield from range(number)
    def exposed_nest(self, callback, value):
        return callback(value)
    def exposed_keep(self, thing):
        self.kept.append(thing)
    def exposed_flood(self, seconds):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for number in range(100):
                self.told.emit(number)
            time.sleep(0.01)  # the pace of the events
    @nbrpc.exposed
    @property
    def level(self):
        return time.monotonic()
"""

CONNECTED = """
import atexit, contextvars, gc, os, signal, sys, threading, time, weakref
import nbrpc
conn = nbrpc.connect(sys.argv[1])
root = conn.root
"""

BARE = """
import os, sys, threading, time
"""


@dataclass(frozen=True)
class Life:
    """A script, and how it ends.

    Attributes
    ----------
    group
        What it is about: ``exit``, ``fork``, ``collector``, ``reload`` or ``clock``.
    code
        The script, after the usual beginning.
    status
        The exit code; negative for a signal.
    output
        What it prints.
    error
        The beginning of the last line on stderr; nothing may be there where this is empty.
    begins
        The beginning of the script.
    """

    group: str
    code: str
    status: int = 0
    output: str = ""
    error: str = ""
    begins: str = CONNECTED
