"""What every transport promises, tried on each of them."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrpc.errors import ConnectionLost
from nbrpc.options import TLS
from nbrpc.reach.process import ProcessTransport
from nbrpc.transports import memory, sockets
from nbrpc.transports.base import WAIT_TICK, Transport
from nbrpc.transports.certificates import client_context, server_context
from nbrpc.transports.tls import TlsTransport
from nbrpc.transports.websocket import WebSocketTransport
from tests.certificates import issue

Pair = tuple[Transport, Transport]

PATIENCE = 10.0


def joined(listener: socket.socket, connect: Callable[[], Transport]) -> Pair:
    """Connect to a listener, accept that, and close the listener."""
    try:
        client = connect()
        return client, sockets.accept(listener)
    finally:
        sockets.close_listener(listener)


def tcp_pair(host: str) -> Pair:
    """Give both ends of a TCP connection."""
    listener = sockets.listen_tcp(host, 0, 5)
    port = listener.getsockname()[1]
    return joined(listener, lambda: sockets.connect_tcp(host, port, PATIENCE))


def unix_pair(folder: Path) -> Pair:
    """Give both ends of a Unix connection."""
    path = str(folder / "socket")
    return joined(sockets.listen_unix(path, 5), lambda: sockets.connect_unix(path, PATIENCE))


def tls_pair(folder: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Pair:
    """Give both ends of a TLS connection."""
    issued = issue(folder, "server")
    left, right = tcp_pair("127.0.0.1")
    assert isinstance(left, sockets.SocketTransport)
    assert isinstance(right, sockets.SocketTransport)
    context = client_context(TLS(ca=issued.cert))
    context.maximum_version = version
    client = TlsTransport(left, context, host="127.0.0.1")
    server = TlsTransport(right, server_context(TLS(issued.cert, issued.key)), is_server=True)
    thread = threading.Thread(target=client.shake_hands, args=(time.monotonic() + PATIENCE,))
    thread.start()
    while not server.ready:
        assert not server.wait_receive(100)
    thread.join(PATIENCE)
    assert client.ready
    return client, server


def websocket_pair(left: Transport, right: Transport) -> Pair:
    """Give both ends of a WebSocket; the left one is the client."""
    return WebSocketTransport(left), WebSocketTransport(right, is_server=True)


HAND_OVER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    socket.send_fds(sock, [b"x"], [0])
"""


def command_pair(folder: Path) -> Pair:
    """Give both ends of the pipe of a command, which hands its own end over to this process."""
    with socket.socket(socket.AF_UNIX) as listener:
        path = folder / "hand-over"
        listener.bind(str(path))
        listener.listen()
        left = ProcessTransport.start(
            [sys.executable, "-c", HAND_OVER, str(path)], "command://python"
        )
        with listener.accept()[0] as sock:
            descriptor = socket.recv_fds(sock, 1, 1)[1][0]
        path.unlink()
    os.set_inheritable(descriptor, False)  # as any other that Python makes
    left.ended(PATIENCE)  # or it would hold its end as well
    left.said.text(PATIENCE)
    return left, sockets.SocketTransport(socket.socket(fileno=descriptor), "stdio://")


KINDS = ["memory", "tcp", "tcp6", "unix", "not-waitable", "no-sendmsg", "command"]
TLS_KINDS = ["tls", "tls-1.2", "tls-not-waitable"]
WEB_KINDS = ["ws", "ws-from-the-server", "ws-not-waitable", "wss"]


@pytest.fixture(params=[*KINDS, *TLS_KINDS, *WEB_KINDS])
def ends(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    """Give two joined transports of each kind, those of poorer platforms included."""
    if request.param.endswith("not-waitable"):
        monkeypatch.setattr(sockets, "DONT_WAIT", 0)
    if request.param == "no-sendmsg":
        monkeypatch.setattr(sockets, "HAS_SENDMSG", False)
    if request.param == "unix":
        left, right = unix_pair(tmp_path)
    elif request.param == "tcp6":
        if not has_ipv6():
            pytest.skip("this machine has no IPv6 loopback")
        left, right = tcp_pair("::1")
    elif request.param in (*TLS_KINDS, "wss"):
        version = ssl.TLSVersion.TLSv1_2 if "1.2" in request.param else ssl.TLSVersion.TLSv1_3
        left, right = tls_pair(tmp_path, version)
    elif request.param == "memory":
        left, right = memory.pair()
    elif request.param == "command":
        left, right = command_pair(tmp_path)
    else:
        left, right = tcp_pair("127.0.0.1")
    if request.param in WEB_KINDS:
        left, right = websocket_pair(left, right)
    if request.param == "ws-from-the-server":
        left, right = right, left
    yield left, right
    left.close()
    right.close()


def has_ipv6() -> bool:
    """Tell whether ::1 can be bound."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def receive_exactly(transport: Transport, count: int) -> bytes:
    """Read so many bytes, or fail when they do not come."""
    received = bytearray()
    deadline = time.monotonic() + PATIENCE
    while len(received) < count:
        assert time.monotonic() < deadline, f"{len(received)} of {count} bytes came"
        data = transport.wait_receive(count - len(received))
        if data is not None:
            assert data, "the peer closed"
            received += data
    return bytes(received)


def send_all(transport: Transport, data: bytes) -> None:
    """Send all, waiting for room with a selector as a session does."""
    view = memoryview(data)
    with selectors.DefaultSelector() as selector:
        selector.register(transport.fileno(), selectors.EVENT_WRITE)
        while view:
            taken = transport.send([view])
            view = view[taken:]
            if not taken:
                assert selector.select(PATIENCE), "the pipe stays full"


def fill(transport: Transport) -> int:
    """Send until the pipe takes no more; give the number of bytes it took."""
    total = 0
    block = b"x" * 65_536
    while taken := transport.send([block]):
        total += taken
    return total


def test_bytes_arrive_in_both_directions(ends: Pair) -> None:
    """What one end sends the other receives, either way."""
    left, right = ends
    assert left.send([b"ping"]) == 4
    assert receive_exactly(right, 4) == b"ping"
    assert right.send([b"pong!"]) == 5
    assert receive_exactly(left, 5) == b"pong!"


def test_receive_does_not_wait(ends: Pair) -> None:
    """Without bytes the non-blocking reads answer None at once."""
    left, _ = ends
    started = time.monotonic()
    assert left.receive(100) is None
    assert time.monotonic() - started < WAIT_TICK


def test_receive_takes_no_more_than_asked(ends: Pair) -> None:
    """The rest of what arrived stays for the next read."""
    left, right = ends
    left.send([b"abcdef"])
    assert receive_exactly(right, 2) == b"ab"
    assert right.receive(3) == b"cde"
    assert right.receive(3) == b"f"


def test_several_pieces_are_sent_as_one(ends: Pair) -> None:
    """Pieces of any bytes-like kind arrive joined, in order."""
    left, right = ends
    pieces: list[bytes | memoryview] = [b"head", memoryview(b"-body-"), memoryview(b"xtailx")[1:5]]
    assert left.send(pieces) == 14
    assert receive_exactly(right, 14) == b"head-body-tail"


def test_more_pieces_than_the_kernel_takes(ends: Pair) -> None:
    """Thousands of pieces are no error: some are taken, and the count says how many."""
    left, right = ends
    pieces: list[bytes | memoryview] = [b"ab"] * 5_000
    taken = left.send(pieces)
    assert 0 < taken <= 10_000
    assert receive_exactly(right, taken) == (b"ab" * 5_000)[:taken]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pieces=st.lists(st.binary(min_size=1, max_size=3_000), min_size=1, max_size=20))
def test_any_split_arrives_whole(ends: Pair, pieces: list[bytes]) -> None:
    """However a message is cut into pieces, the same bytes arrive."""
    left, right = ends
    assert left.send(pieces) == sum(map(len, pieces))
    expected = b"".join(pieces)
    assert receive_exactly(right, len(expected)) == expected


def test_send_stops_when_nobody_reads(ends: Pair) -> None:
    """A full pipe takes nothing and says 0, for one piece and for several, without waiting."""
    left, right = ends
    total = fill(left)
    started = time.monotonic()
    assert left.send([b"more"]) == 0
    assert left.send([b"more", b"and more"]) == 0
    assert time.monotonic() - started < WAIT_TICK
    assert len(receive_exactly(right, total)) == total


def test_partial_send_counts_what_was_taken(ends: Pair) -> None:
    """A send larger than the pipe takes a part; exactly that part arrives."""
    left, right = ends
    block = os.urandom(16 * 1024 * 1024)
    taken = left.send([block[:100], memoryview(block)[100:]])
    assert 100 < taken < len(block)
    assert receive_exactly(right, taken) == block[:taken]
    assert right.receive(1) is None


def test_large_transfers_both_ways_at_once(ends: Pair) -> None:
    """Both ends send 8 MB while both receive; nothing is lost, nothing stalls."""
    data = os.urandom(8 * 1024 * 1024)
    received: dict[int, bytes] = {}

    def read(index: int) -> None:
        received[index] = receive_exactly(ends[index], len(data))

    threads = [threading.Thread(target=read, args=(index,)) for index in (0, 1)]
    threads += [threading.Thread(target=send_all, args=(end, data)) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert received == {0: data, 1: data}


def test_closing_is_seen_as_the_end(ends: Pair) -> None:
    """After a close the peer reads what was sent before it, then the end, again and again."""
    left, right = ends
    left.send([b"last words"])
    left.close()
    assert receive_exactly(right, 10) == b"last words"
    assert right.wait_receive(10) == b""
    assert right.receive(10) == b""


def test_a_closed_transport_refuses_everything(ends: Pair) -> None:
    """Every operation on a closed transport raises ConnectionLost that says who closed it."""
    left, _ = ends
    left.close()
    operations: list[Callable[[], object]] = [
        lambda: left.receive(10),
        lambda: left.wait_receive(10),
        lambda: left.send([b"x"]),
        lambda: left.send([b"x", b"y"]),
    ]
    for operation in operations:
        with pytest.raises(ConnectionLost, match="closed on this side") as caught:
            operation()
        assert left.name in str(caught.value)
        assert isinstance(caught.value.__cause__, (OSError, ValueError))


def test_close_is_idempotent(ends: Pair) -> None:
    """Closing twice does nothing, and the descriptor is gone after the first."""
    left, _ = ends
    left.close()
    assert left.fileno() == -1
    left.close()


def test_sending_to_a_closed_peer_raises(ends: Pair) -> None:
    """When the peer is gone sending ends in ConnectionLost, chained from the system's error."""
    left, right = ends
    right.close()
    deadline = time.monotonic() + PATIENCE

    def send_on() -> None:
        while time.monotonic() < deadline:  # TCP learns it from the answer to the first send
            left.send([b"x"])

    with pytest.raises(ConnectionLost, match="broke") as caught:
        send_on()
    assert isinstance(caught.value.__cause__, OSError)


def test_wait_receive_gives_up_after_a_tick(ends: Pair) -> None:
    """Waiting in vain ends with None after about one tick."""
    left, _ = ends
    started = time.monotonic()
    assert left.wait_receive(10) is None
    assert WAIT_TICK * 0.8 < time.monotonic() - started < WAIT_TICK * 10


def test_wait_receive_wakes_for_bytes(ends: Pair) -> None:
    """Bytes that come while it waits are given at once."""
    left, right = ends
    timer = threading.Timer(WAIT_TICK / 4, lambda: right.send([b"now"]))
    timer.start()
    assert receive_exactly(left, 3) == b"now"
    timer.join()


def test_close_wakes_a_waiting_reader(ends: Pair) -> None:
    """A thread in wait_receive comes back when another thread closes the transport."""
    left, _ = ends
    outcomes: list[object] = []
    waiting = threading.Event()

    def read() -> None:
        try:
            waiting.set()
            while (data := left.wait_receive(10)) is None:
                pass
            outcomes.append(data)
        except ConnectionLost as exc:
            outcomes.append(exc)

    thread = threading.Thread(target=read)
    thread.start()
    waiting.wait(PATIENCE)
    left.close()
    thread.join(PATIENCE)
    assert len(outcomes) == 1
    assert outcomes[0] == b"" or isinstance(outcomes[0], ConnectionLost)


def test_descriptor_works_with_a_selector(ends: Pair) -> None:
    """A selector says that bytes are there, and that there is room."""
    left, right = ends
    with selectors.DefaultSelector() as selector:
        selector.register(left.fileno(), selectors.EVENT_READ)
        assert not selector.select(0)
        right.send([b"x"])
        assert selector.select(PATIENCE)
        selector.modify(left.fileno(), selectors.EVENT_WRITE)
        assert selector.select(PATIENCE)


KNOWN = {"tcp", "tls", "unix", "memory", "ws", "wss", "command", "stdio"}


def test_names_are_for_people(ends: Pair) -> None:
    """The name is in the repr and says what kind of pipe this is."""
    for end in ends:
        assert end.name.partition("://")[0] in KNOWN
        assert end.name in repr(end)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to count descriptors")
def test_no_descriptor_leaks(tmp_path: Path) -> None:
    """Pairs of every kind that were made and closed leave no descriptor behind."""
    makers: list[Callable[[], Pair]] = [
        memory.pair,
        lambda: tcp_pair("127.0.0.1"),
        lambda: unix_pair(tmp_path),
        lambda: tls_pair(tmp_path),
        lambda: websocket_pair(*tls_pair(tmp_path)),
        lambda: command_pair(tmp_path),
    ]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        for make in makers:
            for end in make():
                end.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_descriptors_are_not_inherited(ends: Pair) -> None:
    """Child processes do not get the sockets."""
    assert not any(os.get_inheritable(end.fileno()) for end in ends)
