"""An object of ours on its way home; apart from the rest, since every session can unbox it."""

from __future__ import annotations

from typing import Any

from nbrpc.protocol.codec import Box

__all__ = ["Kept"]


class Kept(Box):
    """One of our objects that the peer sends home, found when it arrived.

    RPyC gives back what it holds by requests that may follow at once, and a message is unboxed
    later than it is read.
    """

    oid: int
    obj: Any
