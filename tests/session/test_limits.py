"""Every limit and every time, met once: that call or that link ends with a clear error.

Each case ends with a client that is served at once.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

import pytest

import nbrpc
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER
from nbrpc.protocol.messages import Kind, Operation
from tests.faults import FaultProxy
from tests.hostile.native import native_client
from tests.support import eventually

TOKEN = "limits" * 6


class Service(nbrpc.Service):
    told = nbrpc.event()

    def __init__(self):
        self.gate = threading.Event()

    def exposed_echo(self, x):
        return x

    def exposed_make(self):
        return Service()

    def exposed_hold(self):
        self.gate.wait(10)

    def exposed_nested(self, callback, depth):
        return callback(self.exposed_nested, callback, depth)


@pytest.fixture
def limited(serving):
    """Serve with some limits; what is served hangs on it."""

    def serve(timing=None, **limits):
        service = Service()
        server = serving(service, token=TOKEN, limits=nbrpc.Limits(**limits), timing=timing)
        server.told = service
        return server

    return serve


def alive(server):
    """Whether another client is served."""
    with nbrpc.connect(server.url, token=TOKEN) as conn:
        return conn.root.echo(1) == 1


def refused(conn, value, match):
    """See a call refused before it is sent, and the next one answered."""
    with pytest.raises(nbrpc.LimitExceeded, match=match):
        conn.root.echo(value)
    assert conn.root.echo(2) == 2


def silent(server, count):
    """Connect clients that say nothing."""
    return [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(count)]


def is_closed(sock):
    """Whether the server has closed a link on which it says nothing else."""
    sock.settimeout(0.05)
    try:
        return not sock.recv(65536)
    except TimeoutError:
        return False
    except OSError:
        return True


def handshake(limited, connecting):
    """Bytes before the token: the link of who sends more is closed."""
    server = limited(handshake=500)
    with native_client(server.port, TOKEN) as client:
        client.flush()
        client.raw(HEADER.pack(600, Kind.HELLO, 0, 0))
        assert client.closed()
    return server


def body(limited, connecting):
    """The structure of one message, save for lists and the like, which come in parts."""
    server = limited(body=2_000)
    conn = connecting(server)
    assert conn.root.echo(tuple(range(1_000))) == tuple(range(1_000))
    refused(conn, slice(tuple(range(1_000))), r"Limits\.body")
    return server


def buffers(limited, connecting):
    """The data beside one message."""
    server = limited(buffers=100_000)
    refused(connecting(server), b"x" * 100_001, r"Limits\.buffers")
    return server


def depth(limited, connecting):
    """Containers within each other travel by reference from there on, or not at all."""
    server = limited()
    value = ()
    for _ in range(nbrpc.Limits().depth + 5):
        value = (value,)
    conn = connecting(server)
    with pytest.raises(nbrpc.NbrpcError, match="nested"):
        conn.root.echo(nbrpc.by_value(value))
    assert conn.root.echo(2) == 2
    return server


def elements(limited, connecting):
    """The items of one message."""
    server = limited()
    conn = connecting(server, limits=nbrpc.Limits(elements=100))
    refused(conn, tuple(map(str, range(101))), r"Limits\.elements")
    return server


def odd_keys(limited, connecting):
    """Keys that collide, whose hashes the sender can choose; others may be many."""
    server = limited()
    conn = connecting(server, limits=nbrpc.Limits(odd_keys=10))
    assert conn.root.echo(frozenset(range(1000))) == frozenset(range(1000))
    colliding = frozenset(number * sys.hash_info.modulus for number in range(12))
    refused(conn, colliding, r"Limits\.odd_keys")
    return server


def exported(limited, connecting):
    """Objects that a peer holds."""
    server = limited(exported=5)
    conn, held = connecting(server), []
    with pytest.raises(nbrpc.LimitExceeded, match="already holds 5 objects"):
        held.extend(conn.root.make() for _ in range(6))
    assert held
    assert conn.root.echo(2) == 2
    return server


def requests(limited, connecting):
    """Requests that wait for their answer."""
    server = limited(requests=3)
    conn = connecting(server)
    held = [nbrpc.async_(conn.root.hold)() for _ in range(3)]
    conn.session.default_timeout = 0.1
    with pytest.raises(nbrpc.LimitExceeded, match=r"Limits\.requests"):
        conn.root.echo(1)
    conn.session.default_timeout = None
    server.told.gate.set()
    for result in held:
        result.wait(5)
    assert conn.root.echo(2) == 2
    return server


def queued_bytes(limited, connecting):
    """Answers that wait for a client that does not read: its link ends, and no other."""
    server = limited(queued_bytes=200_000)
    with native_client(server.port, TOKEN) as client:
        root = client.shake_hands().root()
        for _ in range(2_000):
            try:
                client.request(Operation.CALL, root, "echo", "x" * 10_000)
            except OSError:
                break
        eventually(lambda: not server.connections, 10)
    return server


def events(limited, connecting):
    """Events that wait for a subscriber: the counts add up, and the newest are received."""
    server = limited(events=100_000)
    conn = connecting(server)
    going, numbers = threading.Event(), []

    def take(number, _data):
        going.wait(10)
        numbers.append(number)

    with nbrpc.BgServingThread(conn):
        subscription = conn.root.told.subscribe(take)
        (subscriber,) = server.told.told.subscribers
        for number in range(500):
            server.told.told.emit(number, b"x" * 10_000)
        held = sum(event.size for event in subscriber.queue)
        assert held <= 50_000
        assert subscriber.dropped >= 480
        going.set()
        eventually(lambda: subscription.received + subscription.dropped == 500)
        assert numbers[-1] == 499
        assert conn.root.echo(2) == 2
    return server


def nesting(limited, connecting):
    """Calls within calls."""
    server = limited()
    conn = connecting(server, limits=nbrpc.Limits(nesting=5))

    def deeper(nested, _me, depth):
        return nested(deeper, depth + 1)

    with pytest.raises(RecursionError, match="nested more than"):
        conn.root.nested(deeper, 0)
    assert conn.root.echo(2) == 2
    return server


def connections(limited, connecting):
    """Connections: one more is told that there is no room."""
    server = limited(connections=1)
    with (
        nbrpc.connect(server.url, token=TOKEN),
        pytest.raises(nbrpc.ConnectFailed, match="no room for more connections"),
    ):
        nbrpc.connect(server.url, token=TOKEN)
    eventually(lambda: not server.connections)
    return server


def unauthenticated(limited, connecting):
    """Clients that say nothing: the oldest makes room."""
    server = limited(unauthenticated=2)
    socks = silent(server, 3)
    eventually(lambda: is_closed(socks[0]))
    assert not is_closed(socks[2])
    for sock in socks:
        sock.close()
    return server


def silent_after(limited, connecting):
    """Who gives no sign of life is given up by either end."""
    timing = nbrpc.Timing(heartbeat=0.1, silent_after=0.5)
    server = limited(timing)
    with (
        FaultProxy(server.port) as proxy,
        nbrpc.connect(proxy.url, token=TOKEN, timing=timing) as conn,
    ):
        proxy.freeze()
        with pytest.raises(nbrpc.ConnectionLost, match="no sign of life"):
            conn.root.echo(1)
        eventually(lambda: not server.connections)
    return server


def call(limited, connecting):
    """The deadline of a call."""
    server = limited()
    conn = connecting(server, timing=nbrpc.Timing(call=0.1))
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.hold()
    server.told.gate.set()
    assert conn.root.echo(2) == 2
    return server


def frame(limited, connecting):
    """A message that trickles in, of a client that answers every ping."""
    server = limited(nbrpc.Timing(heartbeat=0.1, frame=0.5))
    with native_client(server.port, TOKEN) as client:
        client.shake_hands().root()
        data = HEADER.pack(10_000, Kind.REQUEST, 0, 0) + bytes(10_000)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while server.connections and time.monotonic() - begun < 5:
                client.raw(data[:1])
                data = data[1:]
                is_closed(client.sock)
        eventually(lambda: not server.connections)
    return server


def handshake_time(limited, connecting):
    """Who shows no token in time is closed."""
    server = limited(nbrpc.Timing(handshake=0.3, heartbeat=0.1))
    (sock,) = silent(server, 1)
    eventually(lambda: is_closed(sock))
    sock.close()
    return server


CASES = {
    "Limits.handshake": handshake, "Limits.body": body, "Limits.buffers": buffers,
    "Limits.depth": depth, "Limits.elements": elements, "Limits.odd_keys": odd_keys,
    "Limits.exported": exported, "Limits.requests": requests,
    "Limits.queued_bytes": queued_bytes, "Limits.events": events, "Limits.nesting": nesting,
    "Limits.connections": connections, "Limits.unauthenticated": unauthenticated,
    "Timing.heartbeat": silent_after, "Timing.silent_after": silent_after, "Timing.call": call,
    "Timing.frame": frame, "Timing.handshake": handshake_time,
}  # fmt: skip

ELSEWHERE = {
    "Limits.sessions", "Limits.session_results", "Limits.session_output", "Timing.session_expiry",
    "Timing.dead_after",
}  # fmt: skip
"""Those of named sessions, and of a network that is really cut, which have tests of their own."""


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_limit_that_is_met(limited, connecting, name):
    """Only the call or the link that met it ends, and says so."""
    assert alive(CASES[name](limited, connecting))


def test_every_limit_is_met_here():
    """No limit and no time is without a case."""
    fields = {
        f"{cls.__name__}.{name}"
        for cls in (nbrpc.Limits, nbrpc.Timing)
        for name in cls.__dataclass_fields__
    }
    assert fields - ELSEWHERE == set(CASES)


def test_events_that_are_dropped_hold_nothing(limited):
    """The objects in events that were dropped, or never received, are given back."""
    server = limited()
    with nbrpc.connect(server.url, token=TOKEN) as conn:
        going = threading.Event()
        with nbrpc.BgServingThread(conn):
            subscription = conn.root.told.subscribe(lambda _thing: going.wait(10), maxsize=5)
            for _ in range(100):
                server.told.told.emit(Service())
            assert 1 < server.statistics().exported <= 12
            going.set()
            eventually(lambda: subscription.received + subscription.dropped == 100)
            subscription.close()
            eventually(lambda: server.statistics().exported == 1)


def test_a_producer_that_sends_too_many_bytes(limited, connecting):
    """The consumer counts what is here and not done with, and ends the link."""
    server = limited()
    conn = connecting(server, limits=nbrpc.Limits(events=200_000))
    going = threading.Event()
    with nbrpc.BgServingThread(conn):
        subscription = conn.root.told.subscribe(lambda _data: going.wait(10))
        (producer,) = eventually(lambda: server.told.told.subscribers)
        producer._most = 2**30  # it does not keep to what was agreed
        for _ in range(10):
            server.told.told.emit(bytes(60_000))
        eventually(lambda: conn.closed)
        going.set()
    assert subscription.closed
    assert "more events than it was asked for" in str(subscription.exception)
    assert alive(server)


def test_large_messages_may_be_slow(limited):
    """A message on its way for longer than `Timing.frame` arrives if it is not much too slow."""
    server = limited(nbrpc.Timing(frame=0.2))
    data = bytes(200_000)
    with FaultProxy(server.port) as proxy, nbrpc.connect(proxy.url, token=TOKEN) as conn:
        proxy.trickle(150_000)
        assert conn.root.echo(data) == data
    assert alive(server)


def test_wrong_tokens_wait_longer_each_time(limited):
    """The answer to a wrong token is delayed, and twice as long the next time."""
    server = limited()
    taken = []
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(nbrpc.AuthenticationFailed, match="token is wrong"):
            nbrpc.connect(server.url, token="wrong" * 8)
        taken.append(time.monotonic() - begun)
    assert taken[1] >= 0.2
    assert taken[2] >= 0.4
    assert alive(server)


STOP = threading.Event()

PRINTING = """
from tests.session.test_limits import STOP
while not STOP.is_set():
    print("x" * {size})
"""


@pytest.mark.parametrize("size", [1_000, 500_000])
def test_output_that_nobody_reads_waits(serving, size):
    """A cell that prints for ever to a client that does not read waits, and holds little."""
    server = serving(nbrpc.ClassicService, token=TOKEN)
    STOP.clear()
    with contextlib.ExitStack() as stack:
        stack.callback(STOP.set)
        client = stack.enter_context(native_client(server.port, TOKEN))
        client.shake_hands().root()
        client.request(Operation.CELL, 0, PRINTING.format(size=size), "<cell>", 1, None, ())
        (connection,) = server.connections
        outbox = connection.session.outbox
        eventually(lambda: outbox.full)
        held = outbox.queued + len(outbox.bulk) * size
        assert held < 5_000_000
        assert not connection.closed
        client.sock.close()
        eventually(lambda: not server.connections)
        eventually(lambda: outbox.bytes_sent and not outbox.ready and not outbox.bulk)
        STOP.set()
        eventually(lambda: not connection.session.serving)


def test_output_that_is_read_goes_on(serving, connecting):
    """A cell that prints much more than may wait ends as usual, and all of it comes."""
    server = serving(nbrpc.ClassicService, token=TOKEN, limits=nbrpc.Limits(queued_bytes=2**22))
    result = connecting(server).run_cell("for _ in range(300): print('x' * 99_999)")
    result.result(30)
    assert sum(len(text) for kind, text in result.outputs if kind == "stdout") == 30_000_000


def test_one_connection_does_not_take_all_workers(limited):
    """Many slow calls of one client leave workers for the others."""
    server = limited()
    with nbrpc.connect(server.url, token=TOKEN) as conn:
        held = [nbrpc.async_(conn.root.hold)() for _ in range(400)]
        assert alive(server)
        server.told.gate.set()
        for result in held:
            result.wait(10)


def test_lengths_of_a_frame_are_checked_first(limited):
    """A header that promises more than a body may have ends the link before its bytes come."""
    server = limited()
    with native_client(server.port, TOKEN) as client:
        client.shake_hands()
        client.raw(HEADER.pack(2**30, Kind.REQUEST, 0, 0) + encode(1))
        assert client.closed()
    assert alive(server)
