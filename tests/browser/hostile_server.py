"""A server that shows, says and raises hostile payloads; it replaces what nbrpc would send.

Run as ``nbrpc serve tests.browser.hostile_server:Hostile --allow-code``.
"""

from __future__ import annotations

import time
from typing import Any

import nbrpc
from nbrpc.objects.boxing import ByValue
from nbrpc.objects.operations import find_object
from nbrpc.protocol.messages import Operation
from nbrpc.session.answers import SESSION_OPERATIONS
from tests.hostile import payloads as hostile

SENDABLE = "\n".join(hostile.texts()).encode("utf-8", "replace").decode()


class Shown:
    """An object that is displayed as a payload."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle


# Class and attribute names travel with the first reference, as descriptions.
Named = type(hostile.filled("<img src=x onerror=J>\x1b]0;x\x07"), (), {"__doc__": hostile.HTML[0]})
for name in hostile.texts():
    setattr(Named, name.replace("\ud800", "?"), nbrpc.exposed(lambda self: 1))


def display(owner: Any, job: Any) -> ByValue:
    """Answer what the object was made with: as no honest server does, whatever it may be."""
    target = find_object(owner, job.request)
    if isinstance(target, Shown):
        return ByValue(target.bundle)
    return ByValue({"text/plain": "\x1b]0;x\x07hostile"})


SESSION_OPERATIONS[Operation.DISPLAY] = display


class Hostile(nbrpc.Service):
    """Payloads by every way."""

    alarm = nbrpc.event()

    @nbrpc.exposed
    def shown(self, number: int) -> Shown:
        """Give something that is displayed as a payload."""
        return Shown(hostile.bundles()[number])

    @nbrpc.exposed
    def named(self) -> Any:
        """Give something whose class and members are called like payloads."""
        return Named()

    @nbrpc.exposed
    def ring(self) -> None:
        """Send all payloads as events."""
        for text in SENDABLE.split("\n"):
            self.alarm.emit(text)

    @nbrpc.exposed
    def fail(self) -> None:
        """Raise with all payloads in the message."""
        raise ValueError("\n".join(hostile.texts()))

    @nbrpc.exposed
    def work(self) -> None:
        """Progress whose text is all payloads, until it is cancelled."""
        for _ in nbrpc.track(range(1_000), text=SENDABLE):
            time.sleep(0.1)
