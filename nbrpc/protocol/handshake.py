"""How a connection opens: who speaks what, and who holds the token.

1. The client's first bytes are two empty RPyC frames whose trailer bytes carry our magic and
   version, and RPyC's GETROOT request (`OPENING`). RPyC ignores empty frames and never looks at a
   trailer, so an RPyC server answers GETROOT as if nothing had happened.
2. An nbrpc server answers with `GREETING` and its Hello.
3. The client sends its Hello and its Auth.
4. The server sends its Auth; both are ready.

The proof in an Auth is HMAC-SHA256 under the token over the sender's role and a hash of the exact
bytes of both Hellos. Both nonces are in there, so a proof cannot be replayed; the role is, so it
cannot be reflected. Where no token is asked (a Unix socket, whose mode and peer user id are
checked), the token is empty and the proof still binds the Hellos.

Under TLS the hash also covers the SHA-256 of the server's certificate, as each side knows it of
itself. So a proof that is relayed by whoever ends the client's TLS with another certificate is
worth nothing to the server, even where the client was told to take any.
"""

from __future__ import annotations

import hashlib
import hmac

from nbrpc.protocol.messages import Hello

__all__ = [
    "FEATURES",
    "GREETING",
    "OPENING",
    "PROTOCOL_VERSION",
    "is_proof",
    "make_proof",
    "transcript",
]

PROTOCOL_VERSION = 1

RPYC_GETROOT = bytes.fromhex("00000008000111501153115102" + "0a")
OPENING = b"\0\0\0\0\0N" + b"\0\0\0\0\0" + bytes([PROTOCOL_VERSION]) + RPYC_GETROOT
"""26 bytes: two empty RPyC frames (trailers ``N`` and the version) and RPyC 6's GETROOT."""

GREETING = b"NBRPC\0" + bytes([PROTOCOL_VERSION]) + b"\n"
"""8 bytes. As the head of an RPyC frame they would announce 1.3 GB, which no RPyC server does."""

OPENING_VERSION_AT = 11
GREETING_VERSION_AT = 6
"""Where the version stands in them."""

FEATURES: tuple[str, ...] = ("streams", "events", "progress", "chunks")

NONCE_SIZE = 32


def transcript(server_hello: bytes, client_hello: bytes, channel: bytes = b"") -> bytes:
    """Give the hash that both proofs cover.

    Parameters
    ----------
    channel
        SHA-256 of the server's certificate; empty without TLS.
    """
    digest = hashlib.sha256(OPENING + GREETING)
    for part in (server_hello, client_hello, channel) if channel else (server_hello, client_hello):
        digest.update(len(part).to_bytes(4, "little") + part)
    return digest.digest()


def make_proof(token: bytes, role: str, covered: bytes) -> bytes:
    """Prove that ``role`` (client or server) holds the token."""
    return hmac.digest(token, b"nbrpc/1 " + role.encode() + b"\0" + covered, "sha256")


def is_proof(proof: bytes, token: bytes, role: str, covered: bytes) -> bool:
    """Whether ``proof`` is what the holder of the token would send; in constant time."""
    return hmac.compare_digest(proof, make_proof(token, role, covered))


def is_fresh(hello: Hello) -> bool:
    """Whether a Hello carries a nonce of full length."""
    return len(hello.nonce) == NONCE_SIZE
