"""The sending half of a session: messages become bytes, and large buffers find their way."""

from __future__ import annotations

import logging
from _thread import LockType
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbrpc.errors import NbrpcError, TooLarge
from nbrpc.objects.spilling import spilled
from nbrpc.protocol.frames import Piece, chunks
from nbrpc.protocol.machine import Protocol
from nbrpc.protocol.messages import Kind

if TYPE_CHECKING:
    from nbrpc.objects.boxing import Boxing, Draft
    from nbrpc.protocol.rpyc.machine import RpycProtocol
    from nbrpc.session.outbox import Outbox
    from nbrpc.session.shared_memory import SharedMemory

__all__ = ["Sending"]

log = logging.getLogger("nbrpc.session")

MOST_LARGE = 16
"""Large messages that may wait for the peer before no further request of it is begun."""

RELEASED = 20_000
"""References that one message gives back."""


class Sending:
    """The part of a session that sends."""

    boxing: Boxing
    closed: bool
    dispatcher: Any
    guard: LockType
    memory: SharedMemory | None
    outbox: Outbox
    protocol: Protocol | RpycProtocol
    _reads: int
    _seqs: Iterator[int]

    def send(
        self,
        kind: Kind,
        fields: tuple[Any, ...],
        draft: Draft | None = None,
        *,
        keep: object = None,
        lazy: bool = False,
        ordered: bool = False,
    ) -> int:
        """Send one message, and give its size; what it refers to is taken back when that fails."""
        imports = self.boxing.imports
        if imports.dead or imports.owed:
            self.send_releases()
        if draft is None:
            pieces: list[Piece] = self.protocol.encode(kind, fields)
            self.outbox.write(pieces, lazy=lazy, ordered=ordered)
            return sum(map(len, pieces))
        try:
            large, pieces = self._encoded(kind, fields, draft)
        except BaseException:  # and it is raised again
            draft.undo()
            raise
        if draft.classes:
            self._describe(draft)
        if large:
            body = bytes(memoryview(pieces[0])[8:])
            size = len(body) + sum(buffer.nbytes for buffer in draft.buffers)
            told = self._place(kind, body, draft)
            if told is None:
                number = next(self._seqs) & 0xFFFFFFFF
                self.outbox.write_large(chunks(kind, body, draft.buffers, number), (draft, keep))
                if len(self.outbox.bulk) > MOST_LARGE:
                    self.dispatcher.hold(held=True)
                    self.release_jobs()  # if they have left just now
                return size
            pieces = [told]
        else:
            size = sum(map(len, pieces))
        self.outbox.write(pieces, lazy=lazy, ordered=ordered)
        return size

    def _encoded(
        self, kind: Kind, fields: tuple[Any, ...], draft: Draft
    ) -> tuple[bool, list[Piece]]:
        """Give the frame of a message, and whether its buffers are so large that they go apart."""
        protocol = self.protocol
        try:
            large = bool(draft.buffers) and protocol.check_buffers(draft.buffers)
            return large, protocol.encode(kind, fields, () if large else draft.buffers)
        except TooLarge:
            assert isinstance(protocol, Protocol)  # RPyC's has no such limit
            most = protocol.body_limit
            fields = tuple(spilled(field, draft.attach, most) for field in fields)
        large = bool(draft.buffers) and protocol.check_buffers(draft.buffers)
        return large, protocol.encode(kind, fields, () if large else draft.buffers)

    def _describe(self, draft: Draft) -> None:
        """Tell the peer of classes, ahead of the first references to their objects."""
        for number, (_, description) in draft.classes.items():
            self.outbox.write(self.protocol.encode(Kind.DESCRIBE, (number, description)))
        draft.described()

    def release_jobs(self) -> None:
        """Let jobs of the peer begin again, once it has read enough; also at every tick."""
        if self.dispatcher.held and len(self.outbox.bulk) <= MOST_LARGE:
            self.dispatcher.hold(held=False)

    def _place(self, kind: Kind, body: bytes, draft: Draft) -> bytes | None:
        """Put large buffers into shared memory, if that can be; give the frame that tells of it."""
        if self.memory is None or not self._reads:  # until it has sent something, it may not know
            return None
        return self.memory.place(kind, body, draft.buffers)

    def send_quietly(self, kind: Kind, fields: tuple[Any, ...]) -> None:
        """Send a message for which nobody waits; a dead link is no matter."""
        if not self.closed:
            try:
                self.outbox.write(self.protocol.encode(kind, fields))
            except NbrpcError as error:
                log.debug("could not send %s: %s", kind.name, error)

    def send_releases(self) -> None:
        """Give back the references of proxies that have died."""
        with self.guard:
            counts = self.boxing.imports.releases()
        for start in range(0, len(counts), RELEASED):
            self.send_quietly(Kind.RELEASE, (counts[start : start + RELEASED],))
