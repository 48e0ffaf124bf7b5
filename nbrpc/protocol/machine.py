"""One end of the native protocol as a state machine, without I/O.

Theory of operation
-------------------
`Protocol` turns bytes into messages (`receive`) and messages into the pieces to be written
(`encode`). It knows the states below and nothing of sockets, threads or clocks: deadlines are the
caller's, and randomness is taken in the constructor. What it wants to send of its own, during the
handshake, it leaves in ``outgoing``.

::

    client   OPENING --greeting, Hello--> PROVING --Auth--> READY
    server   OPENING --opening----------> GREETED --Hello--> PROVING --Auth--> READY
    any      --error or close--> CLOSED

Every error that the peer causes is a `RemoteProtocolError` or an `AuthenticationFailed`, and ends
in CLOSED. `receive` raises nothing else.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbrpc.errors import (
    AuthenticationFailed,
    LimitExceeded,
    NotSendable,
    RemoteProtocolError,
    TooLarge,
)
from nbrpc.options import Limits
from nbrpc.protocol import handshake, messages
from nbrpc.protocol.codec import decoder, encode
from nbrpc.protocol.frames import CHUNK_SIZE, MAX_BUFFERS, Frame, FrameReader, Piece, frame
from nbrpc.protocol.messages import Kind

__all__ = ["Foreign", "Protocol", "Ready", "Role", "State"]


class Foreign(RemoteProtocolError):
    """The peer does not speak the native protocol.

    Attributes
    ----------
    head : bytes
        All that it has sent.
    """

    def __init__(self, message: str, head: bytes) -> None:
        super().__init__(message)
        self.head = head

    @property
    def is_rpyc(self) -> bool:
        """Whether it may be a frame of RPyC: one of more than 16 MB cannot come first."""
        return self.head[:1] == b"\0"

    @property
    def is_http(self) -> bool:
        """Whether it may be the request by which a connection becomes a WebSocket."""
        return HTTP_REQUEST.startswith(self.head[: len(HTTP_REQUEST)])

    @property
    def is_tls(self) -> bool:
        """Whether it is how a server that expects TLS refuses what is none."""
        return self.head[:2] == TLS_ALERT


class Role(enum.Enum):
    """Which end opened the connection."""

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """Where the handshake stands."""

    OPENING = enum.auto()
    GREETED = enum.auto()
    PROVING = enum.auto()
    READY = enum.auto()
    CLOSED = enum.auto()


class Ready:
    """The peer is authenticated; given by `Protocol.receive` in place of a message.

    Attributes
    ----------
    about : dict
        What the peer says of itself.
    """

    __slots__ = ("about",)

    def __init__(self, about: dict[str, str]) -> None:
        self.about = about


DECODERS: dict[int, Callable[[bytes], Any]] = {
    Kind.REQUEST: decoder(messages.Request),
    Kind.REPLY: decoder(messages.Reply),
    Kind.FAILURE: decoder(messages.Failure),
    Kind.CANCEL: decoder(messages.Cancel),
    Kind.RELEASE: decoder(messages.Release),
    Kind.EVENT: decoder(messages.Event),
    Kind.CREDIT: decoder(messages.Credit),
    Kind.PROGRESS: decoder(messages.Progress),
    Kind.OUTPUT: decoder(messages.Output),
    Kind.ITEMS: decoder(messages.Items),
    Kind.PING: decoder(messages.Ping),
    Kind.PONG: decoder(messages.Pong),
    Kind.GOODBYE: decoder(messages.Goodbye),
    Kind.DESCRIBE: decoder(messages.Describe),
}
EVENT = int(Kind.EVENT)
TOLD_LIMITS = ("body", "buffers", "requests", "events")
"""The limits that the other side is told."""

DECODE_HELLO = decoder(messages.Hello)
DECODE_AUTH = decoder(messages.Auth)

VERSION = handshake.PROTOCOL_VERSION

TLS_HANDSHAKE = b"\x16"
TLS_ALERT = b"\x15\x03"
"""The first bytes of TLS: of a client that begins, and of a server that refuses."""

HTTP_REQUEST = b"GET "

WITH_BUFFERS = frozenset(
    {Kind.REQUEST, Kind.REPLY, Kind.FAILURE, Kind.EVENT, Kind.OUTPUT, Kind.ITEMS}
)

ChooseToken = Callable[[bytes, str], bytes | None]
"""From the server's id and what it asks (``token`` or ``none``) to the token, or None for none."""


class Protocol:
    """The state of one end of one connection.

    Parameters
    ----------
    role
        Which end this is.
    limits
        What the peer may send.
    choose_token
        On a client: gives the token once the server has said who it is.
    token
        On a server: the token, or None when none is asked.
    server_id
        On a server: 16 random bytes that name this server.
    about
        What to tell the peer of this side; each string is cut to 100 bytes, since all of it has to
        fit into the handshake.
    channel
        SHA-256 of the server's certificate, which the proofs cover; empty without TLS.
    """

    name = f"nbrpc/{VERSION}"

    def __init__(
        self,
        role: Role,
        limits: Limits,
        *,
        choose_token: ChooseToken | None = None,
        token: bytes | None = None,
        server_id: bytes = b"",
        about: Mapping[str, str] | None = None,
        channel: bytes = b"",
    ) -> None:
        self.role = role
        self.state = State.OPENING
        self.limits = limits
        self.peer_limits: dict[str, int] = {}
        self.peer_features: frozenset[str] = frozenset()
        self.outgoing: list[bytes] = []
        self._choose_token = choose_token
        self._token = token
        self.about = {key: _short(text) for key, text in (about or {}).items()}
        self._head = bytearray()
        self.reader = FrameReader(limits)
        self.reader.restrict(limits.handshake)
        self._server_hello = b""
        self._covered = b""
        self._channel = channel
        self.body_limit = limits.body
        """Bytes of a body that both sides take."""
        auth = "none" if token is None else "token"
        self._hello = messages.Hello(
            version=VERSION,
            nonce=os.urandom(handshake.NONCE_SIZE),
            auth=auth if role is Role.SERVER else "",
            server_id=server_id,
            features=list(handshake.FEATURES),
            limits={name: getattr(limits, name) for name in TOLD_LIMITS},
        )
        if role is Role.CLIENT:
            self.outgoing.append(handshake.OPENING)

    # ---- sending

    def encode(
        self, kind: Kind, fields: tuple[Any, ...], buffers: Sequence[memoryview] = ()
    ) -> list[Piece]:
        """Give the pieces of one message whose buffers are small or absent.

        Raises
        ------
        LimitExceeded
            The message is larger than the peer takes; nothing was sent.
        NotSendable
            A name in it is not text; nothing was sent.
        """
        try:
            body = encode(fields)
        except UnicodeEncodeError as error:
            # Values may hold lone surrogates, names may not.
            raise NotSendable(
                f"{error.object[:200]!r} holds a lone surrogate, which no name may: rename it"
            ) from None
        if len(body) > self.body_limit:
            raise TooLarge(
                f"the message has {len(body):,} bytes, and the peer takes {self.body_limit:,}; "
                "send large data as bytes or arrays, or raise Limits.body on both sides"
            )
        return frame(kind, body, buffers)

    def check_buffers(self, buffers: Sequence[memoryview]) -> bool:
        """Whether the buffers must travel in chunks.

        Raises
        ------
        LimitExceeded
            They are larger or more than the peer takes; nothing was sent.
        """
        if len(buffers) > MAX_BUFFERS:
            raise LimitExceeded(
                f"the message carries {len(buffers):,} large values, more than the {MAX_BUFFERS:,} "
                "that one can hold; send them in several calls"
            )
        total = sum(buffer.nbytes for buffer in buffers)
        limit = self.peer_limits.get("buffers", self.limits.buffers)
        if total > limit:
            raise LimitExceeded(
                f"the message carries {total:,} bytes of data, and the peer takes {limit:,}; "
                "send nbrpc.by_reference(...) of it or a generator, or raise Limits.buffers there"
            )
        return total > CHUNK_SIZE

    # ---- receiving

    @property
    def receiving(self) -> bool:
        """Whether a large message is on its way."""
        return self.reader.receiving

    def receive(self, data: bytes) -> list[Any]:
        """Take bytes from the peer and give the messages that they complete.

        Returns
        -------
        list
            Messages in order; a `Ready` stands where the handshake ended.

        Raises
        ------
        RemoteProtocolError, AuthenticationFailed
            The state is CLOSED and nothing more can be received.
        """
        try:
            if self.state is State.READY:
                return self._messages(self.reader.feed(data))
            return self._opening(data)
        except (RemoteProtocolError, AuthenticationFailed):
            self.state = State.CLOSED
            raise

    def _messages(self, frames: list[Frame]) -> list[Any]:
        received = []
        for kind, body, buffers in frames:
            decode = DECODERS.get(kind)
            if decode is None:
                raise RemoteProtocolError(f"a message of unknown kind {kind} arrived")
            message = decode(body)
            if buffers:
                if kind not in WITH_BUFFERS:
                    raise RemoteProtocolError(f"a message of kind {kind} carries buffers")
                message.buffers = buffers
            if kind == EVENT:
                message.size = len(body) + sum(part.getbuffer().nbytes for part in buffers)
            received.append(message)
        return received

    def _opening(self, data: bytes) -> list[Any]:
        """Receive in any state before READY."""
        if self.state is State.CLOSED:
            raise RemoteProtocolError("bytes arrived after the end of the connection")
        if self.state is State.OPENING:
            expected = handshake.GREETING if self.role is Role.CLIENT else handshake.OPENING
            self._head += data
            if not expected.startswith(self._head[: len(expected)]):
                head = bytes(self._head)
                raise Foreign(self._stranger(head), head)
            if len(self._head) < len(expected):
                return []
            data = bytes(self._head[len(expected) :])
            self._head.clear()
            self.state = State.GREETED
            if self.role is Role.SERVER:
                self._server_hello = encode(self._hello)
                self.outgoing.append(handshake.GREETING)
                self._send(Kind.HELLO, self._server_hello)
        # Until the peer is authenticated the reader gives one frame at a time, and each of them
        # moves the state on or ends the connection: two small frames are all that it may send.
        received: list[Any] = []
        while frames := self.reader.feed(data):
            data = b""
            if self.state is State.READY:
                return received + self._messages(frames)
            kind, body, _ = frames[0]
            received += self._step(kind, body)
        return received

    def _stranger(self, head: bytes) -> str:
        """Say what the first bytes look like."""
        if self.role is Role.SERVER:
            position = handshake.OPENING_VERSION_AT
            if head[:position] == handshake.OPENING[:position] and head[position] != VERSION:
                return _other_version(head[position])
            if head[:1] == TLS_HANDSHAKE:
                return "the client speaks TLS, and this server does not"
            return "the client does not speak nbrpc"
        position = handshake.GREETING_VERSION_AT
        if head[:position] == handshake.GREETING[:position] and head[position] != VERSION:
            return _other_version(head[position])
        if head[:5] == b"HTTP/":
            return "the server speaks HTTP, not nbrpc; check the port"
        if head[:2] == TLS_ALERT:
            return "the server speaks TLS: use nbrpcs://, or tls="
        if head[:1] == b"\0":
            return "the server speaks RPyC, not nbrpc: serve with nbrpc there, or check the port"
        return "the server does not speak nbrpc; check the port"

    def _step(self, kind: int, body: bytes) -> list[Any]:
        """One message of the handshake."""
        if kind == Kind.GOODBYE:
            reason = DECODERS[kind](body).reason
            raise AuthenticationFailed("".join(filter(str.isprintable, reason[:500])))
        if self.state is State.GREETED and kind == Kind.HELLO:
            self._greeted(body)
            return []
        if self.state is State.PROVING and kind == Kind.AUTH:
            return [self._proven(body)]
        raise RemoteProtocolError(f"a message of kind {kind} arrived before authentication")

    def _greeted(self, body: bytes) -> None:
        """The peer's Hello is here."""
        hello = DECODE_HELLO(body)
        if hello.version != VERSION:
            raise RemoteProtocolError(_other_version(hello.version))
        if not handshake.is_fresh(hello):
            raise RemoteProtocolError(
                f"the peer's nonce has {len(hello.nonce)} bytes, not {handshake.NONCE_SIZE}"
            )
        self.peer_limits = hello.limits
        self.peer_features = frozenset(hello.features)
        self.body_limit = min(self.limits.body, max(1024, hello.limits.get("body", 0)))
        self.state = State.PROVING
        if self.role is Role.SERVER:
            self._covered = handshake.transcript(self._server_hello, body, self._channel)
            return
        assert self._choose_token is not None
        token = self._choose_token(hello.server_id, hello.auth)
        if hello.auth == "none" and token:
            raise AuthenticationFailed(
                "a token was given, but the server asks for none: it is not the server that the "
                "token belongs to, or connect without a token"
            )
        self._token = token
        own = encode(self._hello)
        self._covered = handshake.transcript(body, own, self._channel)
        self._send(Kind.HELLO, own)
        self._prove()

    def _prove(self) -> None:
        proof = handshake.make_proof(self._token or b"", self.role.value, self._covered)
        self._send(Kind.AUTH, encode((proof, self.about)))

    def _send(self, kind: Kind, body: bytes) -> None:
        self.outgoing.append(b"".join(frame(kind, body)))

    def _proven(self, body: bytes) -> Ready:
        """The peer's Auth is here."""
        auth = DECODE_AUTH(body)
        other = Role.SERVER if self.role is Role.CLIENT else Role.CLIENT
        if not handshake.is_proof(auth.proof, self._token or b"", other.value, self._covered):
            raise AuthenticationFailed(self._wrong_proof())
        if self.role is Role.SERVER:
            self._prove()
        self.reader.relax()
        self.state = State.READY
        return Ready(auth.about)

    def _wrong_proof(self) -> str:
        """Say what a proof that is none may mean."""
        if self.role is Role.CLIENT:
            return "the server does not hold the token"
        what = "the token is wrong"
        if self._channel:
            what += ", or somebody between relays what is sent"
        return (
            f"{what}: use the URL that the server printed, or no token for a server of yours on "
            "this machine"
        )


def _other_version(version: int) -> str:
    """Say that the peer speaks another version of the protocol."""
    return (
        f"the peer speaks version {version} of the protocol and this side version "
        f"{VERSION}; install the same release of nbrpc on both"
    )


def _short(text: str) -> str:
    """Cut a text to what the handshake has room for."""
    return text.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")
