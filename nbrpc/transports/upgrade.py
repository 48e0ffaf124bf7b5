"""The HTTP request by which a connection becomes a WebSocket, on both sides.

It is the websockets library that writes and judges requests and answers. Nothing is read beyond
the head of either: what a server says in place of becoming a WebSocket is in its status, and a
relay of ours says why in a header.

A relay in front of the server (`nbrpc.jupyter`) that has let a client in by itself tells it in two
headers what the end-to-end handshake needs: the server's token, and the hash of its certificate.
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbrpc.errors import AuthenticationFailed, ConnectFailed, ConnectionLost
from nbrpc.transports.address import Address, join_host_port
from nbrpc.transports.base import WAIT_TICK, WHOLE_READ, Transport

if TYPE_CHECKING:
    from nbrpc.transports.websocket import Relayed, WebSocketTransport

__all__ = [
    "CHANNEL_HEADER",
    "END_OF_HEAD",
    "LONGEST_HEAD",
    "REASON_HEADER",
    "TOKEN_HEADER",
    "Refused",
    "answer",
    "ask",
]

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 8 * 1024

TOKEN_HEADER = "Nbrpc-Token"  # noqa: S105 - a name, not a token
CHANNEL_HEADER = "Nbrpc-Channel"
REASON_HEADER = "Nbrpc-Reason"


class Refused(ConnectionLost):
    """A request over HTTP is not one for a WebSocket of ours; the message says why, not who.

    Attributes
    ----------
    level : int
        How loud this is to be logged.
    """

    level = logging.INFO


def answer(head: bytes) -> bytes:
    """Give the answer to a request that asks for a WebSocket.

    A browser says with every such request which page made it (``Origin``). No page is a client of
    ours, and one could be made to speak for the user who looks at it: it is refused.

    Raises
    ------
    Refused
        It does not ask for that, or comes from a page.
    """
    if b"upgrade" not in head.lower():  # most of what knocks, known before anything is imported
        raise Refused("it speaks HTTP, and asks for no WebSocket")
    from websockets.exceptions import InvalidOrigin
    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    protocol = ServerProtocol(origins=[None])
    protocol.receive_data(head)
    events = protocol.events_received()
    if not events or not isinstance(events[0], Request):
        raise Refused("it speaks HTTP, and not as a WebSocket client does")
    response = protocol.accept(events[0])
    if response.status_code != 101:
        if isinstance(protocol.handshake_exc, InvalidOrigin):
            raise Refused("a page in a browser wants to connect, which none may")
        raise Refused("it speaks HTTP, and asks for a WebSocket in no way that is understood")
    protocol.send_response(response)
    return b"".join(protocol.data_to_send())


def ask(below: Transport, address: Address, deadline: float) -> WebSocketTransport:
    """Ask a server for a WebSocket on a connection; blocks.

    Parameters
    ----------
    below
        The connection; it is left open when this fails.
    address
        Where it leads. With ``http`` or ``https`` the token is that of a Jupyter server, and is
        shown in a header.
    deadline
        On the monotonic clock.

    Raises
    ------
    ConnectFailed
        There is no WebSocket to be had there, or not in time.
    AuthenticationFailed
        The token that was shown is not the right one.
    """
    from websockets.client import ClientProtocol
    from websockets.http11 import Response
    from websockets.uri import parse_uri

    from nbrpc.transports.websocket import WebSocketTransport

    scheme = "wss" if address.is_encrypted else "ws"
    place = join_host_port(address.host or "", address.port)
    protocol = ClientProtocol(parse_uri(f"{scheme}://{place}{address.target}"))
    request = protocol.connect()
    if address.is_jupyter and address.token is not None:
        request.headers["Authorization"] = f"token {address.token}"
    protocol.send_request(request)
    try:
        _send(below, b"".join(protocol.data_to_send()), deadline)
        head, rest = _read_head(below, deadline)
    except ConnectionLost as error:
        raise _closed() from error
    if head.startswith(b"HTTP/1.1 101"):
        protocol.receive_data(head)
        events = protocol.events_received()
        if events and isinstance(events[0], Response) and protocol.handshake_exc is None:
            relayed = _relayed(events[0].headers) if address.is_jupyter else None
            return WebSocketTransport(below, rest=rest, relayed=relayed)
    raise _why_not(head, address)


def _relayed(headers: Mapping[str, str]) -> Relayed:
    from nbrpc.transports.websocket import Relayed

    channel = b""
    with contextlib.suppress(ValueError):
        channel = bytes.fromhex(headers.get(CHANNEL_HEADER, ""))
    return Relayed(headers.get(TOKEN_HEADER), channel)


def _send(below: Transport, data: bytes, deadline: float) -> None:
    view = memoryview(data)
    while view:
        view = view[below.send([view]) :]
        if view and not select.select((), (below.fileno(),), (), _remaining(deadline))[1]:
            raise _late()


def _read_head(below: Transport, deadline: float) -> tuple[bytes, bytes]:
    """Give the head of the answer, and what follows it."""
    received = b""
    while END_OF_HEAD not in received:
        if len(received) > LONGEST_HEAD or not b"HTTP/".startswith(received[:5]):
            raise ConnectFailed(
                "what answers there speaks no HTTP: check the port, and whether it speaks TLS "
                "(wss://, https://)"
            )
        remaining = _remaining(deadline)
        if remaining <= 0:
            raise _late()
        if remaining < WAIT_TICK:
            select.select((below.fileno(),), (), (), remaining)
            data = below.receive(WHOLE_READ)
        else:
            data = below.wait_receive(WHOLE_READ)
        if data == b"":
            raise _closed()
        received += data or b""
    head, _, rest = received.partition(END_OF_HEAD)
    return head + END_OF_HEAD, rest


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _closed() -> ConnectFailed:
    return ConnectFailed("the server closed the connection when it was asked for a WebSocket")


def _late() -> ConnectFailed:
    return ConnectFailed("the server did not answer in time when it was asked for a WebSocket")


def _why_not(head: bytes, address: Address) -> Exception:
    """Say why a server did not become a WebSocket."""
    from email.parser import BytesHeaderParser

    status_line, _, lines = head.partition(b"\r\n")
    status = _shown(status_line.decode("latin-1").partition(" ")[2])
    headers = BytesHeaderParser().parsebytes(lines)
    reason = headers.get(REASON_HEADER)
    if reason is not None:
        return ConnectFailed(_shown(reason))
    if status.startswith(("401", "403")):
        if not address.is_jupyter:
            advice = "write https:// and give Jupyter's token, if it is behind a Jupyter server"
        elif address.token is None:
            advice = "give token=..., the token of the Jupyter server or Hub"
        else:
            advice = "check that the token is the Jupyter server's or the Hub's"
        return AuthenticationFailed(f"the server refuses the request ({status}): {advice}")
    if status.startswith("3"):
        return ConnectFailed(
            f"the server sends the request elsewhere ({status}): check the URL, and that the "
            "Jupyter server runs and the token is right"
        )
    return ConnectFailed(
        f"there is no WebSocket at that URL ({status}): check the path, and what serves there"
    )


def _shown(text: str) -> str:
    """Give text of the server as it may be shown."""
    return "".join(character for character in text if character.isprintable())[:200]
