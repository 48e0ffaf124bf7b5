"""TLS over a socket.

Theory of operation
-------------------
The socket stays as `SocketTransport` has it, and OpenSSL works on memory: what the socket gave is
written into one buffer, and what OpenSSL made is sent from another. So nothing here waits but
`TlsTransport.wait_receive` and `TlsTransport.shake_hands`, and a server drives its side of the TLS
handshake by `receive`, which gives None until that is over.

*What selectors do not see.* Bytes that were decrypted and not given to the caller make no
descriptor readable. So no more is taken from the socket than the caller has asked for, less one
record that may be half here: a `receive` of `WHOLE_READ` bytes or more leaves nothing behind.

*What was taken.* OpenSSL encrypts at once, and cannot take that back when the socket is full. Bytes
count as taken when the socket has their whole record; until then they are owed. The caller offers
the same bytes again, as after any part that was not taken, and those that were encrypted already
are passed over.

*Two threads.* A session reads on one thread and writes on another, which OpenSSL does not allow, so
a lock is held around it; never while something waits.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Mapping, Sequence

from nbrpc.errors import AuthenticationFailed, ConnectFailed, ConnectionLost
from nbrpc.transports.base import WAIT_TICK, WHOLE_READ, Transport
from nbrpc.transports.certificates import (
    PlainClient,
    TlsFailed,
    asks_for_certificate,
    fingerprint_of,
    why_client_failed,
    why_server_failed,
)
from nbrpc.transports.records import BATCH, RECORD, Cut, batches
from nbrpc.transports.sockets import SocketTransport

__all__ = ["TlsTransport"]

HALF_HERE = RECORD + 512
"""Bytes by which a record that is only partly here may come to more than what is read now."""

HANDSHAKE_LIMIT = 64 * 1024
"""Bytes that a peer may send before the TLS handshake is over; chains of certificates are long."""

CONTROL_LIMIT = 64 * 1024
"""Bytes that TLS of itself may have for a peer that does not read."""

CLOSE_PATIENCE = 0.05
"""Seconds that `close` waits for a thread that is encrypting just now."""

HANDSHAKE_BYTE = b"\x16"
ALERT_BYTE = b"\x15"
NOT_TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
"""A fatal alert, "protocol version": by it a client that speaks no TLS is told what speaks here."""

assert HALF_HERE < WHOLE_READ


class TlsTransport(Transport):
    """A connected socket, encrypted.

    Parameters
    ----------
    below
        The socket; it belongs to this transport from here on.
    host
        On a client: what the server is called in its certificate.
    fingerprint
        On a client: ``sha256:...`` that the server's certificate must have.

    Attributes
    ----------
    ready : bool
        Whether the TLS handshake is over.
    cut
        How what is sent is cut into records; None: as it comes. RPyC looks at its socket for a
        second message, and not at what was decrypted with the first.
    """

    __slots__ = (
        "_acknowledged",
        "_before_ready",
        "_below",
        "_ended",
        "_fingerprint",
        "_host",
        "_incoming",
        "_is_server",
        "_lock",
        "_marks",
        "_object",
        "_outgoing",
        "_rest",
        "_unsent",
        "cut",
        "name",
        "ready",
        "waitable",
    )

    def __init__(
        self,
        below: SocketTransport,
        context: ssl.SSLContext,
        *,
        is_server: bool = False,
        host: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.name = below.name = f"tls://{below.name.partition('://')[2]}"
        self.waitable = below.waitable
        self.ready = False
        self.cut: Cut | None = None
        self._below = below
        self._host = host
        self._fingerprint = fingerprint
        self._is_server = is_server
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=is_server,
            server_hostname=None if is_server else host,
        )
        self._lock = allocate_lock()
        self._ended = False
        self._before_ready = 0
        self._rest = b""
        """Decrypted bytes that the caller had not asked for."""
        self._unsent = memoryview(b"")
        """Encrypted bytes that the socket has not taken."""
        self._marks: deque[list[int]] = deque()
        """Of each record on its way: encrypted bytes that the socket has yet to take, and how many
        bytes of the caller it holds."""
        self._acknowledged = 0
        """Bytes of the caller that were owed, and which the socket has taken since."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def below(self) -> SocketTransport:
        """The socket that carries it; only to look at."""
        return self._below

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer has shown, as DER; None when it showed none."""
        return self._object.getpeercert(binary_form=True) if self.ready else None

    @property
    def peer_described(self) -> Mapping[str, object] | None:
        """What the peer's certificate says, where it was verified (``SSLSocket.getpeercert``)."""
        return self._object.getpeercert() or None if self.ready else None

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._below.fileno()

    # ---- the handshake

    def shake_hands(self, deadline: float) -> None:
        """Shake hands with a server, and verify it; blocks.

        Parameters
        ----------
        deadline
            On the monotonic clock.

        Raises
        ------
        ConnectFailed
            It speaks no TLS, or not in time.
        AuthenticationFailed
            Its certificate is not the right one, or it wants one of ours.
        """
        while True:
            with self._lock:
                if self._step():
                    self._rest = b"".join(self._read())
                    return
                unsent = bool(self._unsent)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ConnectFailed("the server did not finish the TLS handshake in time")
            if unsent:
                select.select((), (self.fileno(),), (), min(remaining, WAIT_TICK))
            try:
                data = self._wait(remaining)
            except ConnectionLost as error:
                raise self._closed() from error
            if data is not None:
                with self._lock:
                    self._take_in(data)

    def _wait(self, seconds: float) -> bytes | None:
        """Give what the socket has within a tick, or a shorter time."""
        if seconds < WAIT_TICK:
            select.select((self.fileno(),), (), (), seconds)
            return self._below.receive(RECORD)
        return self._below.wait_receive(RECORD)

    def _take_in(self, data: bytes) -> None:
        """Take bytes of the handshake; needs the lock."""
        first = not self._before_ready
        self._before_ready += len(data)
        if first and data and not data.startswith((HANDSHAKE_BYTE, ALERT_BYTE)):
            if self._is_server:
                with contextlib.suppress(ConnectionLost):
                    self._below.send([NOT_TLS_ALERT])
            raise self._no_tls()
        if self._before_ready > HANDSHAKE_LIMIT:
            raise TlsFailed("its TLS handshake is longer than any can be")
        if data:
            self._incoming.write(data)
        elif self._is_server:
            self._ended = True
        else:
            raise self._closed()

    def _no_tls(self) -> Exception:
        """Say that the other side does not speak TLS."""
        if self._is_server:
            return PlainClient(
                "the client does not speak TLS, as this port does: connect with nbrpcs:// or tls="
            )
        return ConnectFailed(
            "the server does not speak TLS: use nbrpc:// (without tls=) if that is meant, or check "
            "the port"
        )

    def _closed(self) -> Exception:
        """Say that the server closed the connection in the middle."""
        if self._before_ready:
            return ConnectFailed("the server closed the connection during the TLS handshake")
        return ConnectFailed(
            "the server closed the connection at once: it does not speak TLS (then use nbrpc://, "
            "without tls=), or it has no room for more connections"
        )

    def _step(self) -> bool:
        """Go on with the handshake as far as it goes; needs the lock.

        Returns
        -------
        bool
            Whether it is over.
        """
        if self.ready:
            return True
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            with contextlib.suppress(ConnectionLost):
                self._flush()  # the alert that tells the other side
            if self._is_server:
                raise TlsFailed(why_server_failed(error)) from error
            raise why_client_failed(error, self._host) from error
        self.ready = True
        self._check_fingerprint()
        self._flush()
        if self._is_server and self._unsent:
            raise TlsFailed("the client does not read its TLS handshake")
        return True

    def _check_fingerprint(self) -> None:
        if self._fingerprint is None:
            return
        certificate = self.peer_certificate
        found = fingerprint_of(certificate) if certificate else "none"
        if found != self._fingerprint:
            raise AuthenticationFailed(
                f"the server's certificate has the fingerprint {found}, not the one that was given "
                f"({self._fingerprint}): it is another server, or it has a new certificate since"
            )

    # ---- receiving

    def receive(self, size: int) -> bytes | None:
        """Take what is there (recv), decrypted; a server goes on with the handshake until then."""
        with self._lock:
            if self._rest:
                return self._from_rest(size)
            if self._ended and self._below.fileno() >= 0:
                return b""
            data = self._below.receive(self._quota(size))
            return None if data is None else self._decrypt(data, size)

    def wait_receive(self, size: int) -> bytes | None:
        """Take what comes within a tick; a record whose first half came late may take one more."""
        late = 0.0
        while True:
            if self._rest or self._ended:
                return self.receive(size)
            data = self._below.wait_receive(self._quota(size))
            if data is None:
                return None
            with self._lock:
                found = self._decrypt(data, size)
            if found is not None:
                return found
            now = time.monotonic()
            late = late or now + WAIT_TICK / 2
            if now >= late:
                return None

    @staticmethod
    def _quota(size: int) -> int:
        """Give how much to read from the socket for a caller who takes so much."""
        return max(size - HALF_HERE, HALF_HERE)

    def _from_rest(self, size: int) -> bytes:
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _decrypt(self, data: bytes, size: int) -> bytes | None:
        """Take encrypted bytes, and give what they hold; needs the lock."""
        if not self.ready:
            self._take_in(data)
            if self._ended:
                return b""
            if not self._step():
                if self._unsent:
                    raise TlsFailed("the client does not read its TLS handshake")
                return None
        elif data:
            self._incoming.write(data)
        else:
            self._ended = True
            return b""
        parts = self._read()
        if len(parts) == 1 and len(parts[0]) <= size and not self._outgoing.pending:
            return parts[0]  # nearly always
        if self._outgoing.pending:
            self._flush()  # an answer that TLS gives of itself
            if len(self._unsent) > CONTROL_LIMIT + 2 * BATCH:
                raise ConnectionLost(f"{self.name} asks for new keys, and does not read them")
        if not parts:
            return b"" if self._ended else None
        self._rest = b"".join(parts)
        return self._from_rest(size)

    def _read(self) -> list[bytes]:
        """Decrypt all that is here; needs the lock."""
        parts: list[bytes] = []
        read, incoming = self._object.read, self._incoming
        try:
            while True:
                part = read(RECORD)
                if not part:
                    self._ended = True
                    break
                parts.append(part)
                if not incoming.pending and not self._object.pending():
                    break  # asking in vain costs an exception
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            with contextlib.suppress(ConnectionLost):
                self._flush()
            raise self._broken(error) from error
        return parts

    def _broken(self, error: ssl.SSLError) -> Exception:
        """Say what an error of TLS after the handshake means."""
        if not self._is_server and asks_for_certificate(error):
            # In TLS 1.3 a server looks at our certificate when the handshake is over for us.
            return why_client_failed(error, self._host)
        reason = why_server_failed(error) if self._is_server else (error.reason or str(error))
        return ConnectionLost(f"the connection to {self.name} broke: {reason}")

    # ---- sending

    def send(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Encrypt pieces and give them to the socket, as far as it takes them."""
        with self._lock:
            try:
                return self._send(pieces)
            except ConnectionLost:
                self._hear_out()
                raise

    def _hear_out(self) -> None:
        """Say what the peer told us before it closed, if that was an error; needs the lock."""
        with contextlib.suppress(ConnectionLost):
            while self.ready and not self._ended:
                data = self._below.receive(HALF_HERE)
                if not data:
                    return
                self._incoming.write(data)
                self._rest += b"".join(self._read())
                if len(self._rest) > HANDSHAKE_LIMIT:
                    return

    def _send(self, pieces: Sequence[bytes | memoryview]) -> int:
        if self._below.fileno() < 0:
            return self._below.send(pieces)  # it says that it was closed
        if self._unsent or self._acknowledged or self._outgoing.pending:
            self._flush()
        elif len(pieces) == 1 and len(pieces[0]) <= RECORD and self.cut is None:
            self._encrypt(pieces[0])  # nearly always
            self._flush()
            return self._taken()
        taken = self._taken()
        if self._unsent:
            return taken
        for batch in batches(pieces, taken, self.cut):
            for record in batch:
                self._encrypt(record)
            self._flush()
            taken += self._taken()
            if self._unsent:
                break
        return taken

    def _taken(self) -> int:
        """Give how many bytes the socket has taken since this was asked."""
        taken, self._acknowledged = self._acknowledged, 0
        return taken

    def _encrypt(self, record: bytes | memoryview) -> None:
        """Have a record made; needs the lock."""
        before = self._outgoing.pending
        try:
            self._object.write(record)
        except ssl.SSLError as error:  # it wants a new handshake, or has failed before
            raise ConnectionLost(
                f"the connection to {self.name} broke: {error.reason or 'TLS failed'}"
            ) from error
        self._marks.append([self._outgoing.pending - before, len(record)])

    def _flush(self) -> None:
        """Give the socket what is encrypted, and note what it has taken; needs the lock.

        Raises
        ------
        ConnectionLost
            The pipe broke.
        """
        if self._outgoing.pending:
            made = self._outgoing.read()
            unsent = len(self._unsent)
            control = unsent + len(made) - sum([mark[0] for mark in self._marks])
            if control:
                self._marks.append([control, 0])  # what TLS says of itself
            self._unsent = memoryview(bytes(self._unsent) + made if unsent else made)
        while self._unsent:
            count = self._below.send([self._unsent])
            if not count:
                return
            self._unsent = self._unsent[count:]
            while self._marks and count >= self._marks[0][0]:
                length, held = self._marks.popleft()
                count -= length
                self._acknowledged += held
            if count:
                self._marks[0][0] -= count

    # ---- the end

    def close(self) -> None:
        """Tell the peer that this is the end, as TLS does, and close the socket."""
        if self._below.fileno() >= 0 and self._lock.acquire(timeout=CLOSE_PATIENCE):
            try:
                if self.ready and not self._unsent:
                    with contextlib.suppress(ssl.SSLError, OSError, ValueError):
                        self._object.unwrap()
                    with contextlib.suppress(ConnectionLost):
                        self._flush()
            finally:
                self._lock.release()
        self._below.close()

    def abandon(self) -> None:
        """Close this process's descriptor only."""
        self._below.abandon()
