"""Accepting connections and shaking hands with clients, without a thread for any of them."""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, Any

from nbrpc.errors import AuthenticationFailed, ConnectionLost, NbrpcError
from nbrpc.protocol.machine import TLS_HANDSHAKE, Foreign, Protocol, Ready, Role
from nbrpc.protocol.messages import Kind
from nbrpc.server.auth import AuthenticationError
from nbrpc.session.reactor import READ, reactor
from nbrpc.transports import sockets
from nbrpc.transports.base import WHOLE_READ, Transport

if TYPE_CHECKING:
    import socket

    from nbrpc.server.server import Server

__all__ = ["Authentication", "Handshake", "Listener"]

log = logging.getLogger("nbrpc.server")

ACCEPTS_PER_TURN = 64
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
PAUSE = 0.2
"""Seconds for which accepting rests when the process has no descriptor left."""

FAILURE_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds by which the answer to a wrong token is delayed; doubled with each further failure of
the same address. A right token never waits."""


class Listener:
    """A listening socket in the reactor."""

    def __init__(self, server: Server, listener: socket.socket) -> None:
        self.server = server
        self.listener = listener
        listener.setblocking(False)
        self._descriptor = listener.fileno()
        self._paused_until = 0.0
        reactor().register(self)

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def on_ready(self, _mask: int) -> None:
        """Accept who is there."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                transport = sockets.accept(self.listener)
            except BlockingIOError:
                return
            except ConnectionLost:
                continue
            except OSError as error:
                if error.errno in EXHAUSTED:
                    log.warning("%s: no descriptors left; accepting rests", self.server.url)
                    self._paused_until = time.monotonic() + PAUSE
                    reactor().interest(self._descriptor, 0)
                return
            self.server.accepted(transport)

    def on_tick(self, now: float) -> None:
        """Accept again after a rest."""
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            reactor().interest(self._descriptor, READ)

    def close(self) -> None:
        """Accept no more; doing so again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:  # by the second time its number may be another's
            reactor().unregister(descriptor)
            sockets.close_listener(self.listener)

    def on_fork(self) -> None:
        """In a forked child: the port belongs to the parent."""
        self.listener.close()
        self.server.forked()


class Authentication:
    """A client that the program's own authenticator looks at first; a job, since it may wait."""

    def __init__(self, server: Server, transport: Transport) -> None:
        self.server = server
        self.transport = transport

    def run(self) -> None:
        """Ask the authenticator, and begin the handshake."""
        server, transport = self.server, self.transport
        assert server.authenticator is not None
        try:
            sock = sockets.raw_socket(transport)
            # Plain blocking reads, which RPyC's authenticators expect, but none for ever.
            sock.settimeout(server.timing.handshake)
            checked, credentials = server.authenticator(sock)
            if type(checked).__module__ == "ssl":
                raise TypeError("an authenticator cannot bring TLS: give tls= to the server")
            self.transport = sockets.SocketTransport(checked, transport.name)
        except AuthenticationError as error:
            log.warning("%s: %s", transport.name, error)
            self.end()
        except Exception:  # the user's authenticator; one client less, the server goes on
            log.exception("%s: the authenticator failed", transport.name)
            self.end()
        else:
            server.checked(self, credentials)

    def end(self) -> None:
        """Close without a word."""
        self.transport.close()
        self.server.handshake_ended(self)


class Handshake:
    """A client that is not authenticated yet; little is made for it before it says something."""

    def __init__(self, server: Server, transport: Transport, credentials: object = None) -> None:
        self.server = server
        self.transport = transport
        self.credentials = credentials
        self.protocol: Any = None
        self.begun = time.monotonic()
        self._silent = server.rpyc
        """Whether the client may say nothing as long as it likes, as RPyC's do until they are used;
        how many may is bounded. Not before its TLS handshake is over."""
        self._rpyc: Any = None
        self._in_websocket = False
        self._request: bytearray | None = None
        """The head of an HTTP request, as far as it is here."""
        self._descriptor = transport.fileno()
        self._ended = False

    def _begin(self) -> None:
        encryption = self.server.encryption
        self.transport = encryption.around(self.transport)
        self.protocol = self._protocol(encryption.channel)

    def _protocol(self, channel: bytes) -> Protocol:
        server = self.server
        return Protocol(
            Role.SERVER,
            server.limits,
            token=server.token_bytes,
            server_id=server.server_id,
            about=server.about(),
            channel=channel,
        )

    def start(self) -> None:
        """Begin to read."""
        reactor().register(self)

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def on_ready(self, _mask: int) -> None:
        """Take the next bytes of the handshake."""
        if self._ended:
            return
        if self.protocol is None:
            self._begin()
        try:
            data = self.transport.receive(WHOLE_READ)
            if data is None:
                return
            if not data:
                self.end()
                return
            received = self._receive(data)
            self._flush()
        except AuthenticationFailed as error:
            self._refuse(str(error))
        except NbrpcError as error:
            log.log(_level(error), "%s: %s", self.transport.name, error)
            self.end()
        else:
            if received and isinstance(received[0], Ready):
                self._ended = True
                reactor().unregister(self._descriptor)
                self.server.authenticated(self, received[0].about, received[1:])
            elif received:
                self._ended = True
                reactor().unregister(self._descriptor)
                self._rpyc.reader.relax()
                self.protocol = self._rpyc
                try:
                    received += self._rpyc.receive(b"")  # a longer message that was kept back
                except NbrpcError as error:
                    log.debug("%s: %s", self.transport.name, error)
                    self.transport.close()
                    self.server.handshake_ended(self)
                    return
                self.server.authenticated(self, {}, received)

    def _receive(self, data: bytes) -> list[Any]:
        """Give the messages in what the client says, in whichever protocol it speaks."""
        self._silent = False
        if self._rpyc is not None:
            return list(self._rpyc.receive(data))
        if self._request is not None:
            return self._become_websocket(data)
        try:
            return list(self.protocol.receive(data))
        except Foreign as error:
            if self._in_websocket:
                raise  # whoever comes by a proxy shows a token
            if error.is_http:
                self._request = bytearray()
                return self._become_websocket(error.head)
            if not (self.server.rpyc and error.is_rpyc):
                raise
            from nbrpc.protocol.rpyc.cutting import FrameCutter
            from nbrpc.protocol.rpyc.machine import RpycProtocol

            if self.server.encryption.context is not None:
                self.transport.cut = FrameCutter().cut  # type: ignore[attr-defined] # TlsTransport
            self._rpyc = RpycProtocol(self.server.limits)
            self._rpyc.reader.restrict(self.server.limits.handshake)
            return list(self._rpyc.receive(error.head))

    def _become_websocket(self, data: bytes) -> list[Any]:
        """Take part of an HTTP request; what asks for a WebSocket goes on in that."""
        from nbrpc.transports import upgrade

        assert self._request is not None
        self._request += data
        head, end, rest = self._request.partition(upgrade.END_OF_HEAD)
        if len(head) > upgrade.LONGEST_HEAD:
            raise upgrade.Refused("it speaks HTTP, and asks at great length")
        if not end:
            return []
        response = upgrade.answer(bytes(head + end))
        if self.transport.send([response]) != len(response):
            raise ConnectionLost("the client does not read its handshake")
        from nbrpc.transports.websocket import WebSocketTransport

        self._request, self._in_websocket = None, True
        self.transport = WebSocketTransport(self.transport, is_server=True, rest=bytes(rest))
        # A client does not know by whose certificate the proxy in between is known here.
        self.protocol = self._protocol(b"")
        received = self.transport.receive(WHOLE_READ) if rest else None
        return self._receive(received) if received else []

    def on_tick(self, now: float) -> None:
        """Give up on a client that is too slow."""
        late = now - self.begun > self.server.timing.handshake
        is_plain = self.server.encryption.context is None
        silent = self._silent and getattr(self.transport, "ready", is_plain)
        if late and not silent and not self._ended:
            self.end()

    def on_fork(self) -> None:
        """In a forked child: the client belongs to the parent."""
        self._ended = True
        self.transport.abandon()

    def _flush(self) -> None:
        protocol = self.protocol if self._rpyc is None else self._rpyc
        if protocol.outgoing:
            data = b"".join(protocol.outgoing)
            protocol.outgoing.clear()
            if self.transport.send([data]) != len(data):
                raise ConnectionLost("the client does not read its handshake")

    def _refuse(self, reason: str) -> None:
        """Say no, later with each failure of this address."""
        self._ended = True
        reactor().unregister(self._descriptor)
        delay = self.server.failed(self.transport)
        log.warning("%s: %s", self.transport.name, reason)
        reactor().call_later(delay, _Refusal(self, reason))

    def end(self) -> None:
        """Close without a word, unless it has ended in another way."""
        if self._ended:
            return
        self._ended = True
        reactor().unregister(self._descriptor)
        self.transport.close()
        self.server.handshake_ended(self)


def _level(error: NbrpcError) -> int:
    """Give the level at which the end of a handshake is logged.

    A client without TLS may be one that tries what a port speaks, as ours do on their own machine;
    one that fails in TLS needs somebody to look after its certificates.
    """
    if isinstance(error, Foreign):
        return logging.INFO if error.head.startswith(TLS_HANDSHAKE) else logging.DEBUG
    return int(getattr(error, "level", logging.DEBUG))


class _Refusal:
    """The delayed answer to a wrong token."""

    def __init__(self, handshake: Handshake, reason: str) -> None:
        self._handshake = handshake
        self._reason = reason

    def run(self) -> None:
        handshake = self._handshake
        pieces: Any = handshake.protocol.encode(Kind.GOODBYE, (self._reason,))
        try:
            handshake.transport.send(pieces)
        except ConnectionLost:
            pass
        handshake.transport.close()
        handshake.server.handshake_ended(handshake)
