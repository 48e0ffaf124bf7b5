"""Remote generators: what is sent to them, and their end.

A loop reads ahead, so a value that is sent after it would come too late; a generator is either
looped over or sent to.
"""

from __future__ import annotations

from typing import Any

from nbrpc.errors import NotSendable
from nbrpc.protocol.messages import Operation

__all__ = ["GENERATOR", "READ_AHEAD"]

READ_AHEAD = (
    "a value cannot be sent into a generator of the peer over which a loop or `yield from` has "
    "begun, since items were read ahead: use next(proxy) and proxy.send(value) only"
)


def _send(self: Any, value: object) -> Any:
    """Resume the generator with a value, and give what it yields next; one message."""
    if self._nbrpc_stream_ is not None and value is not None:
        raise NotSendable(READ_AHEAD)
    return self._nbrpc_session_.advance(self, value)


def _throw(_self: Any, *_error: object) -> Any:
    raise NotSendable(
        "an exception cannot be thrown into a generator of the peer: send it a value, or close() it"
    )


def _close(self: Any) -> None:
    """End the generator; its cleanup runs on the peer."""
    if self._nbrpc_stream_ is not None:
        self._nbrpc_stream_.end()
    else:
        self._nbrpc_session_.request(Operation.CALL, self._nbrpc_oid_, "close")


for _method in (_send, _throw, _close):
    _method.__name__ = _method.__qualname__ = _method.__name__[1:]

GENERATOR: dict[str, Any] = {"send": _send, "throw": _throw, "close": _close}
"""What proxies of generators have."""
