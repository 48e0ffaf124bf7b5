"""``rpyc.core.brine``: plain values as bytes, and back."""

from __future__ import annotations

from typing import Any

from nbrpc.protocol.rpyc import brine

__all__ = ["dump", "dumpable", "load"]


def dump(obj: object) -> bytes:
    """Give the bytes of a plain value.

    Raises
    ------
    TypeError
        It is none.
    """
    return brine.dumps(obj)


def load(data: bytes) -> Any:
    """Give the value in some bytes; what follows it is ignored.

    Raises
    ------
    RemoteProtocolError
        There is none, or it is too large.
    """
    return brine.loads(bytes(data))


def dumpable(obj: object) -> bool:
    """Whether a value is plain: None, numbers, texts, bytes, and tuples of these, say."""
    return brine.is_dumpable(obj)
