"""Where the frames of RPyC end in a stream of bytes."""

from __future__ import annotations

from nbrpc.protocol.rpyc.frames import HEADER, HEADER_SIZE

__all__ = ["FrameCutter"]

NEWLINE = 1
"""Bytes after each payload."""


class FrameCutter:
    """Follows a stream of frames, which is given to `cut` in parts of any size.

    RPyC over TLS reads one frame, and then looks whether its socket has more. What was decrypted
    along with that frame it does not see until more arrives. So each frame is encrypted by itself.
    """

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        """The header of the frame that is being cut, as far as it is here."""
        self._left = 0
        """Bytes until that frame ends."""

    def cut(self, data: bytes) -> list[int]:
        """Give the lengths of the parts of data that belong to different frames."""
        lengths: list[int] = []
        at = start = 0
        while at < len(data):
            if self._left == 0:
                wanted = HEADER_SIZE - len(self._head)
                part = data[at : at + wanted]
                self._head += part
                at += len(part)
                if len(self._head) < HEADER_SIZE:
                    break
                self._left = HEADER.unpack(self._head)[0] + NEWLINE
                self._head = b""
            step = min(self._left, len(data) - at)
            self._left -= step
            at += step
            if self._left == 0:
                lengths.append(at - start)
                start = at
        if start < len(data):
            lengths.append(len(data) - start)
        return lengths
