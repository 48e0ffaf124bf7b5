"""Two ends of the native protocol without I/O, and what carries bytes between them."""

from __future__ import annotations

from nbrpc.options import Limits
from nbrpc.protocol.frames import chunks
from nbrpc.protocol.machine import Protocol, Ready, Role, State

TOKEN = b"correct horse battery staple"
SERVER_ID = bytes(range(16))


def make_client(token: bytes | None = TOKEN, limits: Limits | None = None, **options) -> Protocol:
    """Make the client's end."""
    options.setdefault("choose_token", lambda _server_id, _auth: token)
    return Protocol(Role.CLIENT, limits or Limits(), **options)


def make_server(token: bytes | None = TOKEN, limits: Limits | None = None, **options) -> Protocol:
    """Make the server's end."""
    return Protocol(Role.SERVER, limits or Limits(), token=token, server_id=SERVER_ID, **options)


def outgoing(protocol: Protocol) -> bytes:
    """Take what an end wants to send of its own."""
    data = b"".join(protocol.outgoing)
    protocol.outgoing.clear()
    return data


def shake_hands(client: Protocol, server: Protocol) -> tuple[Ready, Ready]:
    """Carry bytes to and fro until nothing more is sent; give what each end learned."""
    learned = {client: [], server: []}
    while client.outgoing or server.outgoing:
        learned[server] += server.receive(outgoing(client))
        learned[client] += client.receive(outgoing(server))
    assert client.state is server.state is State.READY
    (for_client,), (for_server,) = learned[client], learned[server]
    return for_client, for_server


def ready_pair(limits: Limits | None = None) -> tuple[Protocol, Protocol]:
    """Give a client and a server that are authenticated."""
    client, server = make_client(limits=limits), make_server(limits=limits)
    shake_hands(client, server)
    return client, server


def written(protocol: Protocol, kind, fields, buffers=(), *, transfer: int = 1) -> bytes:
    """Give the bytes of one message, in chunks where the protocol says so."""
    views = [memoryview(buffer) for buffer in buffers]
    if views and protocol.check_buffers(views):
        body = b"".join(protocol.encode(kind, fields))[8:]
        writes = chunks(kind, body, views, transfer)
        return b"".join(b"".join(write) for write in writes)
    return b"".join(protocol.encode(kind, fields, views))
