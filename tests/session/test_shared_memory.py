"""Large buffers between two processes of one machine, and peers that lie about them."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy
import pytest

import nbrpc
from nbrpc.errors import RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol.frames import FrameReader, frame_in_memory
from nbrpc.session import shared_memory
from nbrpc.session.shared_memory import MOST_LENT, SharedMemory, whereabouts
from tests.support import eventually

SERVICE = """
import numpy
import nbrpc


class Arrays(nbrpc.Service):
    told = nbrpc.event()

    @nbrpc.exposed(by_value=True)
    def echo(self, value):
        return value

    @nbrpc.exposed(by_value=True)
    def make(self, count, value=0):
        return numpy.full(count, value, "u1")

    def exposed_total(self, *arrays):
        return sum(int(array.sum()) for array in map(nbrpc.obtain, arrays))

    def exposed_tell(self, count, size):
        for number in range(count):
            self.told.emit(nbrpc.by_value(numpy.full(size, number % 256, "u1")))

    @nbrpc.exposed
    def several(self, count, size):
        for number in range(count):
            yield nbrpc.by_value(numpy.full(size, number, "u1"))
"""

MIB = 1024 * 1024


@pytest.fixture
def server(served, tmp_path):
    """A service of arrays, in a process of its own."""
    (tmp_path / "arrays_here.py").write_text(SERVICE)
    return served("arrays_here:Arrays", folder=tmp_path)


@pytest.fixture
def conn(server):
    """A connection to it that has been used once."""
    with nbrpc.connect(server.url, timing=nbrpc.Timing(heartbeat=0.5, dead_after=5)) as conn:
        conn.ping()
        yield conn


def segments(pid: int) -> int:
    """Count the descriptors and mappings of our segments that a process has."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += "memfd:nbrpc" in str(entry.readlink())
        except OSError:  # closed meanwhile
            continue
    return found + Path(f"/proc/{pid}/maps").read_text().count("memfd:nbrpc")


def test_both_ways(server, conn):
    """What arrives is what was sent, may be written, and is nobody else's."""
    array = numpy.arange(3 * MIB, dtype="u1").reshape(3, MIB)
    through = conn.session.outbox.bytes_sent
    back = conn.root.echo(nbrpc.by_value(array))
    assert conn.session.outbox.bytes_sent - through < 10_000  # it did not go through the socket
    assert segments(os.getpid()) == 1
    assert (back == array).all()
    back[0, 0] = 99
    assert array[0, 0] == 0
    array[:] = 7
    assert back[0, 1] == 1
    text, data = "é" * MIB, bytes(2 * MIB)
    assert conn.root.echo(text) == text
    assert conn.root.echo(data) == data
    del back
    eventually(lambda: segments(os.getpid()) == segments(server.pid) == 0)


def test_several_buffers_in_one_message(conn):
    """Each begins where it should."""
    arrays = [numpy.full(size, 1, "u1") for size in (1, MIB, 63, 0, 64, 65, 2 * MIB + 1)]
    values = [nbrpc.by_value(array) for array in arrays]
    assert conn.root.total(*values) == sum(map(len, arrays))


def test_small_ones_go_through_the_socket(conn):
    """A segment costs more than it saves there."""
    conn.root.echo(nbrpc.by_value(numpy.zeros(300_000, "u1")))
    before = conn.session.outbox.bytes_sent
    conn.root.echo(nbrpc.by_value(numpy.zeros(MIB - 1, "u1")))
    assert conn.session.outbox.bytes_sent - before >= MIB - 1


def test_events_and_streams_keep_their_order(conn):
    """Messages in segments do not overtake others of their kind."""
    received = []

    def take(array):
        received.append(int(array[0]))

    with nbrpc.BgServingThread(conn), conn.root.told.subscribe(take, policy="block"):
        conn.root.tell(20, MIB)
        eventually(lambda: len(received) == 20, 20)
    assert received == list(range(20))
    assert [int(array[0]) for array in conn.root.several(20, MIB)] == list(range(20))


def test_nothing_is_left_of_many(server, conn):
    """A thousand transfers leave neither descriptor nor mapping on either side."""
    array = numpy.ones(MIB, "u1")
    for _ in range(500):
        assert len(conn.root.echo(nbrpc.by_value(array))) == MIB
    eventually(lambda: segments(os.getpid()) == segments(server.pid) == 0)


@pytest.mark.parametrize("who", ["server", "client"])
def test_killed_in_the_middle(server, who):
    """The kernel frees what a killed process had; the other side lives and lets go."""
    program = (
        "import sys, numpy, nbrpc\n"
        "conn = nbrpc.connect(sys.argv[1])\n"
        "conn.ping()\n"
        "kept = [conn.root.make(4_000_000, 1) for _ in range(5)]\n"
        "print('ready', flush=True)\n"
        "while True: conn.root.echo(nbrpc.by_value(numpy.ones(8_000_000, 'u1')))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as client:
        assert client.stdout.readline() == b"ready\n"
        eventually(lambda: segments(client.pid) > 5, 20)
        dies, lives = (server.pid, client.pid) if who == "server" else (client.pid, server.pid)
        os.kill(dies, signal.SIGKILL)
        if who == "client":
            eventually(lambda: segments(lives) == 0, 20)
        else:
            client.wait(20)  # ConnectionLost ends it


def test_frozen_peer_is_lent_little(server, conn):
    """What a peer does not open goes through the socket, which waits for it."""
    results = [
        nbrpc.async_(conn.root.echo)(nbrpc.by_value(numpy.ones(MIB, "u1"))) for _ in range(3)
    ]
    for result in results:
        result.wait(20)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        results = [
            nbrpc.async_(conn.root.echo)(nbrpc.by_value(numpy.ones(MIB, "u1"))) for _ in range(20)
        ]
        assert segments(os.getpid()) <= MOST_LENT + 3
    finally:
        os.kill(server.pid, signal.SIGCONT)
    for result in results:
        assert len(result.result(20)) == MIB


def test_lost_link_lets_go(server, conn):
    """Segments that nobody will open are freed with the link."""
    root = conn.root
    os.kill(server.pid, signal.SIGSTOP)
    try:
        nbrpc.async_(root.echo)(nbrpc.by_value(numpy.ones(MIB, "u1")))
        assert segments(os.getpid()) == 1
        conn.close()
        assert segments(os.getpid()) == 0
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_forked_child_lets_go(server, conn):
    """A child of this process keeps nothing of it alive."""
    root = conn.root
    os.kill(server.pid, signal.SIGSTOP)
    try:
        nbrpc.async_(root.echo)(nbrpc.by_value(numpy.ones(MIB, "u1")))
        child = os.fork()
        if child == 0:
            os._exit(segments(os.getpid()))
        assert os.waitpid(child, 0)[1] == 0
    finally:
        os.kill(server.pid, signal.SIGCONT)


# ---- who may


def pair():
    """Two ends in one process that have agreed."""
    about = [{**whereabouts(), "pid": str(os.getpid())} for _ in range(2)]
    told = [[], []]
    ends = [SharedMemory.between(about[n], about[1 - n], told[n].append) for n in range(2)]
    return *ends, told


def number_of(frame: bytes) -> int:
    """Give the number of the segment in a frame."""
    return int.from_bytes(frame[-4:], "little")


def test_the_two_ends_in_one_process():
    """The sender lets go when the receiver has opened; the memory lives as long as a view of it."""
    ours, theirs, told = pair()
    data = memoryview(secrets.token_bytes(MIB))
    frame = ours.place(3, b"body", [data, data[:5]])
    number = number_of(frame)
    first, second = theirs.take(number, [MIB, 5])
    assert told == [[], [number]]
    assert first.getvalue() == data
    assert bytes(second.getbuffer()) == data[:5]
    ours.opened(number)
    with pytest.raises(RemoteProtocolError, match="never had"):
        ours.opened(number)
    first.getbuffer()[0:2] = b"xx"
    assert first.getvalue()[:2] == b"xx"
    assert segments(os.getpid()) == 1
    gone = weakref.ref(first.getbuffer().obj)
    del first, second
    assert gone() is None
    assert segments(os.getpid()) == 0


def test_who_does_not_agree():
    """Another machine, another user, a claim without a key, and a process that has forked since."""
    here = {**whereabouts(), "pid": str(os.getpid())}
    place, _, key = here["memory"].partition("/")
    for peer in (
        {},
        {"memory": ""},
        {"memory": here["memory"]},
        {"memory": f"{'0' * 32}/{key}", "pid": "1"},
        {"memory": f"{place}/", "pid": "1"},
        {"memory": f"{place}/{'x' * 32}", "pid": "1"},
        {"memory": f"{place}/{key}", "pid": "self"},
        {"memory": f"{place}/{key}", "pid": "../1"},
        {"memory": f"{place}/{key}", "pid": "1" * 30},
    ):
        assert SharedMemory.between(here, peer, print) is None
    other = {**here, "pid": str(os.getppid())}
    assert SharedMemory.between(other, here, print) is None
    assert SharedMemory.between({"pid": here["pid"]}, here, print) is None
    assert SharedMemory.between(here, here, print) is not None


def sealed(content: bytes, seals: int) -> int:
    """Make a segment by hand."""
    segment = os.memfd_create("nbrpc", os.MFD_ALLOW_SEALING)
    os.write(segment, content)
    fcntl.fcntl(segment, fcntl.F_ADD_SEALS, seals)
    return segment


ALL = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def test_lies():
    """What is not sealed, too short, of another connection, or no segment at all is not mapped."""
    _, receiver, told = pair()
    key = receiver._own_key
    good = key + bytes(48) + bytes(MIB)
    opened = []
    try:
        for content, seals, size in (
            (good, 0, MIB),
            (good, fcntl.F_SEAL_WRITE, MIB),
            (good, fcntl.F_SEAL_SHRINK, MIB),
            (good, ALL, MIB + 1),
            (good, ALL, 2**62),
            (b"", ALL, 1),
            (key, ALL, 1),
            (bytes(64) + bytes(MIB), ALL, MIB),
        ):
            opened.append(sealed(content, seals))
            with pytest.raises(RemoteProtocolError, match="segment of shared memory"):
                receiver.take(opened[-1], [size])
        opened.append(os.open(__file__, os.O_RDONLY))
        opened.append(os.open("/dev/zero", os.O_RDWR))
        opened.append(os.open("/", os.O_RDONLY))
        opened += os.pipe()
        for number in (*opened[-5:], 2**31, 2**32 - 1):
            with pytest.raises(RemoteProtocolError, match="segment of shared memory"):
                receiver.take(number, [MIB])
        assert told == [[], []]
        opened.append(sealed(good, ALL))
        assert receiver.take(opened[-1], [MIB])[0].getvalue() == bytes(MIB)
    finally:
        for number in opened:
            os.close(number)


def test_without_descriptors_or_memory(monkeypatch):
    """The socket takes what cannot be placed."""
    ours, _, _ = pair()
    data = [memoryview(bytes(MIB))]

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", refuse)
        assert ours.place(3, b"", data) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        assert ours.place(3, b"", data) is None
    for _ in range(MOST_LENT):
        assert ours.place(3, b"", data) is not None
    assert ours.place(3, b"", data) is None
    ours.close()
    assert segments(os.getpid()) == 0
    assert ours.place(3, b"", data) is None


def test_where_there_is_no_proc(monkeypatch):
    """Nothing is offered."""
    monkeypatch.setattr(shared_memory, "_known_place", None)
    monkeypatch.setattr(os, "stat", lambda _: (_ for _ in ()).throw(FileNotFoundError()))
    assert whereabouts() == {}
    monkeypatch.setattr(shared_memory, "_known_place", None)


# ---- frames


def test_frames_in_any_split():
    """A frame that tells of a segment is read whole, however its bytes come."""
    buffers = [memoryview(bytes(10)), memoryview(bytes(20))]
    data = frame_in_memory(3, b"body", buffers, 77) * 2
    for first, second in itertools.combinations(range(len(data) + 1), 2):
        reader = FrameReader(Limits())
        asked = []
        reader.take_shared = lambda number, sizes, asked=asked: (
            asked.append((number, sizes)) or [1, 2]
        )
        frames = []
        for part in (data[:first], data[first:second], data[second:]):
            frames += reader.feed(part) if part else []
        assert frames == [(3, b"body", [1, 2])] * 2
        assert asked == [(77, [10, 20])] * 2


def test_frames_that_were_not_agreed():
    """Without an agreement the flag is a breach of the protocol, and so is too much."""
    data = frame_in_memory(3, b"body", [memoryview(bytes(10))], 77)
    reader = FrameReader(Limits())
    with pytest.raises(RemoteProtocolError, match="unknown flags"):
        reader.feed(data)
    reader = FrameReader(Limits(buffers=9))
    reader.take_shared = lambda *_: pytest.fail("it was opened")
    with pytest.raises(RemoteProtocolError, match="exceed the limit"):
        reader.feed(data)


def test_a_peer_on_another_machine_opens_nothing(linked):
    """Whoever claims to live here has nothing opened but what was made for this connection."""

    class Echo(nbrpc.Service):
        def exposed_size(self, array):
            return len(nbrpc.obtain(array))

    conn = linked(Echo)
    conn.ping()
    lost = threading.Event()
    conn.session.on_end = lambda _: lost.set()
    secret = sealed(bytes(64) + b"of another program" * 100_000, ALL)
    try:
        frame = frame_in_memory(
            3, b"\x95\x09\x05\x01\xa4size\x91\x00", [memoryview(bytes(MIB))], secret
        )
        conn.session.outbox.write([frame])
        assert lost.wait(10)
        assert "was not made for this side" in str(conn.session.lost_because)
    finally:
        os.close(secret)
