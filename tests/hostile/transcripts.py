"""Handshakes that must not end in a connection: wrong, replayed, reflected, damaged."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nbrpc.options import Limits
from nbrpc.protocol import handshake
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER, HEADER_SIZE, frame
from nbrpc.protocol.machine import Protocol, Role
from nbrpc.protocol.messages import Kind, Operation
from tests.hostile.attacks import Victim

__all__ = ["KINDS", "Seen", "listen_in", "memory_of_each", "try_to_get_in", "try_transcript"]

PROOF_ENDS = HEADER_SIZE + 1 + 2 + 32
"""Where the proof ends in an Auth: behind the header of the frame, an array and its length."""


class Seen(NamedTuple):
    """What somebody who listens has of an honest client's handshake."""

    client_hello: bytes
    client_auth: bytes
    server_hello: bytes
    server_auth: bytes


@dataclass
class Dialogue:
    """One attempt: the other end, the token (which only some may use), and luck."""

    sock: socket.socket
    token: bytes
    seen: Seen
    chance: random.Random

    def receive(self, size: int = 4096) -> bytes:
        """Read what there is."""
        return self.sock.recv(size)

    def answered(self, token: bytes) -> tuple[bytes, bytes]:
        """Begin, and give the Hello and the Auth that a client with a token would send."""
        protocol = Protocol(Role.CLIENT, Limits(), choose_token=lambda *_: token)
        (opening,) = protocol.outgoing
        protocol.outgoing.clear()
        self.sock.sendall(opening)
        while not protocol.outgoing:
            data = self.receive()
            if not data:
                raise ConnectionError("the server closed the connection")
            protocol.receive(data)
        hello, auth = protocol.outgoing
        return hello, auth

    def random_token(self) -> bytes:
        """Give a token that is wrong."""
        return self.chance.choice(
            [b"", self.token[:-1], self.token + b"t", self.token.upper(), self.chance.randbytes(32)]
        )


def _message(kind: int, *fields: object) -> bytes:
    return b"".join(bytes(piece) for piece in frame(kind, encode(fields)))


def _flipped(data: bytes, end: int, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def wrong_token(talk: Dialogue) -> bytes:
    """Hold another token."""
    return b"".join(talk.answered(talk.random_token()))


def replayed(talk: Dialogue) -> bytes:
    """Send what an honest client has sent."""
    talk.answered(b"")
    return talk.seen.client_hello + talk.seen.client_auth


def replayed_proof(talk: Dialogue) -> bytes:
    """Send an honest client's proof behind a Hello of one's own."""
    hello, _ = talk.answered(b"")
    return hello + talk.seen.client_auth


def reflected(talk: Dialogue) -> bytes:
    """Send the server's own proof, of now or of before."""
    talk.answered(b"")
    return talk.seen.server_hello + talk.seen.server_auth


def reflected_hello(talk: Dialogue) -> bytes:
    """Send the server's Hello back as one's own, and a proof in the server's role."""
    protocol = Protocol(Role.CLIENT, Limits(), choose_token=lambda *_: b"")
    talk.sock.sendall(protocol.outgoing.pop())
    greeting = talk.receive()
    body = greeting[len(handshake.GREETING) + HEADER_SIZE :]
    covered = handshake.transcript(body, body)
    proof = handshake.make_proof(talk.token, "server", covered)
    return frame(Kind.HELLO, body)[0] + _message(Kind.AUTH, proof, {})


def other_role(talk: Dialogue) -> bytes:
    """Prove to hold the token, in the role of a server."""
    protocol = Protocol(Role.CLIENT, Limits(), choose_token=lambda *_: b"")
    talk.sock.sendall(protocol.outgoing.pop())
    theirs = talk.receive()[len(handshake.GREETING) + HEADER_SIZE :]
    own = talk.seen.client_hello[HEADER_SIZE:]
    proof = handshake.make_proof(talk.token, "server", handshake.transcript(theirs, own))
    return talk.seen.client_hello + _message(Kind.AUTH, proof, {})


def damaged_proof(talk: Dialogue) -> bytes:
    """Send a right proof of which one bit is wrong."""
    hello, auth = talk.answered(talk.token)
    return hello + _flipped(auth, PROOF_ENDS, talk.chance)


def damaged_hello(talk: Dialogue) -> bytes:
    """Send a right proof behind a Hello of which one bit is wrong."""
    hello, auth = talk.answered(talk.token)
    return _flipped(hello, len(hello), talk.chance) + auth


def truncated(talk: Dialogue) -> bytes:
    """Stop in the middle."""
    hello, auth = talk.answered(talk.token)
    whole = hello + auth
    return whole[: talk.chance.randrange(len(hello) + PROOF_ENDS - 1)]


def short_proof(talk: Dialogue) -> bytes:
    """Send a part of the right proof, or too much."""
    hello, auth = talk.answered(talk.token)
    proof = auth[PROOF_ENDS - 32 : PROOF_ENDS]
    cut = talk.chance.randrange(32)
    return hello + _message(
        Kind.AUTH, talk.chance.choice([proof[:cut], proof + b"\0" * cut + b"x"]), {}
    )


def auth_first(talk: Dialogue) -> bytes:
    """Send a right proof before the Hello."""
    hello, auth = talk.answered(talk.token)
    return auth + hello


def hello_twice(talk: Dialogue) -> bytes:
    """Send two Hellos before the proof."""
    hello, auth = talk.answered(talk.token)
    return hello + hello + auth


def no_proof(talk: Dialogue) -> bytes:
    """Send no proof at all."""
    hello, _ = talk.answered(b"")
    return hello if talk.chance.random() < 0.5 else b""


def other_messages(talk: Dialogue) -> bytes:
    """Send messages of an open connection where the proof should stand."""
    hello, auth = talk.answered(talk.token)
    kind = talk.chance.choice([kind for kind in Kind if kind not in (Kind.HELLO, Kind.AUTH)])
    other = b"".join(bytes(piece) for piece in frame(kind, encode((1, 1, 1, "x", [], None))))
    return (other if talk.chance.random() < 0.5 else hello + other) + auth


def other_version(talk: Dialogue) -> bytes:
    """Speak another version, in the opening or in the Hello."""
    version = talk.chance.choice([0, 2, 3, 255])
    if talk.chance.random() < 0.5:
        opening = bytearray(handshake.OPENING)
        opening[handshake.OPENING_VERSION_AT] = version
        return bytes(opening)
    talk.answered(b"")
    hello = _message(Kind.HELLO, version, bytes(32), "", b"", [], {})
    return hello + talk.seen.client_auth


def stale_nonce(talk: Dialogue) -> bytes:
    """Send a Hello with a nonce that is none."""
    talk.answered(b"")
    nonce = bytes(talk.chance.choice([0, 1, 31, 33, 64]))
    proof = handshake.make_proof(talk.token, "client", b"")
    return _message(Kind.HELLO, 1, nonce, "", b"", [], {}) + _message(Kind.AUTH, proof, {})


def too_large(talk: Dialogue) -> bytes:
    """Send a Hello that is larger than a handshake may be."""
    talk.answered(b"")
    return HEADER.pack(talk.chance.choice([1025, 2**20, 2**32 - 1]), Kind.HELLO, 0, 0) + bytes(2000)


def with_buffers(talk: Dialogue) -> bytes:
    """Send a handshake with buffers, or as chunks."""
    hello, auth = talk.answered(talk.token)
    flags, count = talk.chance.choice([(1, 1), (0, 1), (255, 0)])
    head = HEADER.pack(len(hello) - HEADER_SIZE, Kind.HELLO, flags, count)
    return head + hello[HEADER_SIZE:] + auth


def garbage(talk: Dialogue) -> bytes:
    """Send anything."""
    return talk.chance.randbytes(talk.chance.randrange(1, 300))


KINDS: list[Callable[[Dialogue], bytes]] = [
    wrong_token, replayed, replayed_proof, reflected, reflected_hello, other_role, damaged_proof,
    damaged_hello, truncated, short_proof, auth_first, hello_twice, no_proof, other_messages,
    other_version, stale_nonce, too_large, with_buffers, garbage,
]  # fmt: skip

EAGER = b"".join(
    b"".join(bytes(piece) for piece in frame(Kind.REQUEST, encode((seq, op, 1, "echo", [], None))))
    for seq, op in enumerate(Operation, 1)
)
"""What comes behind each handshake: every operation, in case somebody is listening."""


def listen_in(target: Victim) -> Seen:
    """Have an honest client let in, and keep what is said."""
    with target.native("roomy") as client:
        client.shake_hands()
        covered = client.protocol
        own = frame(Kind.HELLO, encode(covered._hello))[0]
        proof = handshake.make_proof(target.token.encode(), "client", covered._covered)
        answer = handshake.make_proof(target.token.encode(), "server", covered._covered)
        return Seen(
            bytes(own), _message(Kind.AUTH, proof, {}), bytes(own), _message(Kind.AUTH, answer, {})
        )


def try_transcript(
    target: Victim, kind: Callable[[Dialogue], bytes], seen: Seen, chance: random.Random
) -> None:
    """Try to get in once."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", target.ports["roomy"]), 5) as sock,
    ):
        sock.settimeout(2)
        talk = Dialogue(sock, target.token.encode(), seen, chance)
        sock.sendall(kind(talk) + EAGER)
        sock.shutdown(socket.SHUT_WR)


def try_to_get_in(target: Victim, count: int) -> tuple[int, int, int]:
    """Try so many times; give how many were tried, how many were let in, and what was begun."""
    seen, chance = listen_in(target), random.Random(8)
    before = target.state()
    for number in range(count):
        try_transcript(target, KINDS[number % len(KINDS)], seen, chance)
    listen_in(target)  # who comes last is let in when all before have been read
    after = target.state()
    return count, after["let_in"] - before["let_in"] - 1, after["requests"] - before["requests"]


def memory_of_each(target: Victim, count: int = 512) -> float:
    """Give the bytes that a server takes for a client that has not shown a token."""
    half = handshake.OPENING + HEADER.pack(1024, Kind.HELLO, 0, 0) + bytes(1000)
    with contextlib.ExitStack() as stack:
        before = target.memory()
        for _ in range(count):
            address = ("127.0.0.1", target.ports["roomy"])
            sock = stack.enter_context(socket.create_connection(address, 5))
            sock.settimeout(5)
            sock.sendall(half)
            sock.recv(4096)
        return (target.memory() - before) / count
