"""RPyC's frames come whole in whatever pieces they arrive, within limits."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpyc.core.channel import Channel

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol.rpyc.frames import RpycFrameReader, frame
from tests.strategies import mutated, mutations, pieces, splits

MIB = 1024 * 1024


def framed(payload: bytes, flag=0, trailer=b"\n") -> bytes:
    """Give the bytes of a frame."""
    return struct.pack(">IB", len(payload), flag) + payload + trailer


def packed(payload: bytes, level=1) -> bytes:
    """Give the bytes of a compressed frame."""
    return framed(zlib.compress(payload, level), 1)


def written(payload: bytes) -> bytes:
    """Give what `frame` writes, as one."""
    return b"".join(bytes(piece) for piece in frame(payload))


class Pipe:
    """The stream of a stock channel, in memory."""

    MAX_IO_CHUNK = 64_000

    def __init__(self, data=b""):
        self.stream = BytesIO(data)

    def write(self, data):
        self.stream.write(data)

    def read(self, count):
        return self.stream.read(count)


payloads = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.builds(lambda data, times: data * times, st.binary(min_size=1, max_size=4), st.just(40_000)),
)


trailers = st.binary(min_size=1, max_size=1)


@given(
    frames=st.lists(st.tuples(st.just(b"") | payloads, st.booleans(), trailers), max_size=5),
    cuts=splits,
)
def test_any_split_gives_the_same_payloads(frames, cuts):
    """Frames, compressed or not, with any trailer, come whole however the bytes are cut."""
    data = b""
    for payload, compressed, trailer in frames:
        packing = compressed and payload
        data += framed(zlib.compress(payload) if packing else payload, bool(packing), trailer)
    reader = RpycFrameReader(Limits())
    received = [payload for piece in pieces(data, cuts) for payload in reader.feed(piece)]
    assert received == [payload for payload, _, _ in frames if payload]
    assert not reader.partial
    assert not reader.receiving


def test_frames_split_at_every_position():
    """Two cuts at any places change nothing."""
    data = framed(b"first") + framed(b"", trailer=b"N") + packed(b"second" * 9) + framed(b"third")
    expected = [b"first", b"second" * 9, b"third"]
    for one in range(len(data) + 1):
        for two in range(one, len(data) + 1):
            reader = RpycFrameReader(Limits())
            parts = (data[:one], data[one:two], data[two:])
            assert [payload for part in parts for payload in reader.feed(part)] == expected
            assert not reader.partial


@given(payload=payloads)
def test_stock_channels_read_what_is_written(payload):
    """A channel of RPyC reads our frames, and its frames are read here."""
    assert Channel(Pipe(written(payload))).recv() == payload
    pipe = Pipe()
    Channel(pipe).send(payload)
    assert RpycFrameReader(Limits()).feed(pipe.stream.getvalue()) == [payload]


def test_large_payloads_are_not_copied():
    """Up to 64 kB a frame is one piece; above, the payload is sent from where it is."""
    small, large = b"x" * 65_536, b"x" * 65_537
    assert frame(small) == [framed(small)]
    pieces_of_large = frame(large)
    assert pieces_of_large[1] is large
    assert b"".join(pieces_of_large) == framed(large)


class Huge(bytes):
    """Bytes that say they are 4 GiB."""

    def __len__(self):
        return 2**32


def test_what_no_header_can_say_is_not_sent():
    """A payload of 4 GiB raises LimitExceeded at the sender."""
    with pytest.raises(LimitExceeded, match="4,294,967,296 bytes is longer than RPyC can send"):
        frame(Huge())


def test_a_payload_is_given_before_its_newline():
    """A whole payload is handed on at once; its frame is over with the byte behind it."""
    reader = RpycFrameReader(Limits())
    assert reader.feed(framed(b"payload")[:-1]) == [b"payload"]
    assert reader.partial
    assert reader.feed(b"\n") == []
    assert not reader.partial
    reader.feed(framed(b"payload", trailer=b""))
    assert reader.feed(b"\n" + framed(b"next")) == [b"next"]


def test_what_a_reader_says_of_itself():
    """``partial`` is said of any frame that has begun, ``receiving`` of a large one."""
    reader = RpycFrameReader(Limits())
    assert (reader.partial, reader.receiving) == (False, False)
    reader.feed(framed(b"x" * 100)[:3])
    assert (reader.partial, reader.receiving) == (True, False)
    reader.feed(framed(b"x" * 100)[3:50])
    assert (reader.partial, reader.receiving) == (True, False)
    reader.feed(framed(b"x" * 100)[50:])
    assert (reader.partial, reader.receiving) == (False, False)
    large = framed(b"x" * 70_000)
    reader.feed(large[:5])
    assert (reader.partial, reader.receiving) == (True, True)
    reader.feed(large[5:69_000])
    assert (reader.partial, reader.receiving) == (True, True)
    assert reader.feed(large[69_000:]) == [b"x" * 70_000]
    assert (reader.partial, reader.receiving) == (False, False)


@given(data=st.binary(max_size=80), cuts=splits)
def test_arbitrary_bytes_raise_only_protocol_errors(data, cuts):
    """Bytes that are no frames raise RemoteProtocolError and nothing else."""
    reader = RpycFrameReader(Limits())
    try:
        for piece in pieces(data, cuts):
            reader.feed(piece)
    except RemoteProtocolError:
        pass


@given(payload=payloads, changes=mutations, cuts=splits)
def test_mutated_frames_raise_only_protocol_errors(payload, changes, cuts):
    """Compressed frames with some bytes changed raise RemoteProtocolError or nothing."""
    reader = RpycFrameReader(Limits())
    try:
        for piece in pieces(mutated(packed(payload) + framed(payload), changes), cuts):
            reader.feed(piece)
    except RemoteProtocolError:
        pass


STREAM = zlib.compress(b"payload")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (struct.pack(">IB", 2**32 - 1, 0), "4,294,967,295 bytes exceeds .* of 1,073,741,824"),
        (struct.pack(">IB", 2**30 + 1, 0), "exceeds the limit"),
        (framed(b"", 1), "a compressed message is empty"),
        (framed(b"payload", 1), "damaged"),
        (framed(STREAM[:-1], 1), "ends before it is complete"),
        (framed(STREAM[:-6], 255), "ends before it is complete"),
        (framed(STREAM[:-1] + b"\0", 1), "damaged"),
        (framed(STREAM + b"\0", 1), "bytes behind its end"),
        (framed(STREAM + bytes(200_000), 1), "bytes behind its end"),
        (framed(STREAM * 2, 1), "bytes behind its end"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(data, match):
    """Each rule of the format has its own refusal."""
    with pytest.raises(RemoteProtocolError, match=match):
        RpycFrameReader(Limits()).feed(data)


def test_headers_are_refused_before_the_payload_comes():
    """A header that announces too much is refused with its last byte."""
    reader = RpycFrameReader(Limits(buffers=1000))
    header = struct.pack(">IB", 1001, 0)
    assert reader.feed(header[:4]) == []
    with pytest.raises(RemoteProtocolError, match="1,001 bytes exceeds the limit of 1,000"):
        reader.feed(header[4:])
    assert RpycFrameReader(Limits(buffers=1000)).feed(framed(b"x" * 1000)) == [b"x" * 1000]


def test_compressed_payloads_of_many_sizes():
    """Unpacking in steps loses nothing at their edges."""
    steps = 256 * 1024
    for size in (1, 3001, steps - 1, steps, steps + 1, 2 * steps, 3 * steps + 7):
        for payload in (b"\0" * size, bytes(range(251)) * (size // 251 + 1)):
            assert RpycFrameReader(Limits()).feed(packed(payload, 9)) == [payload]


def test_what_does_not_shrink_is_unpacked_too():
    """A stream of several input steps, stored rather than compressed, is read."""
    payload = struct.pack(
        ">100000I", *(number * 2_654_435_761 % 2**32 for number in range(100_000))
    )
    assert RpycFrameReader(Limits()).feed(packed(payload, 0)) == [payload]


def test_unpacking_is_bounded():
    """A payload may unpack to 16 MiB, or 250 times its size, or what the limits allow."""
    fits = b"\0" * (16 * MIB)
    assert RpycFrameReader(Limits()).feed(packed(fits)) == [fits]
    with pytest.raises(RemoteProtocolError, match="unpacks to more than 16,777,216"):
        RpycFrameReader(Limits()).feed(packed(fits + b"\0", 9))
    reader = RpycFrameReader(Limits(buffers=5000))
    assert reader.feed(packed(b"\0" * 5000)) == [b"\0" * 5000]
    with pytest.raises(RemoteProtocolError, match="unpacks to more than 5,000"):
        reader.feed(packed(b"\0" * 5001))
    # 20 MiB that shrink to a hundredth are more than 16 MiB, and less than 250 times as much.
    payload = (bytes(range(256)) + bytes(32_000)) * 650
    stream = packed(payload)
    assert 16 * MIB < len(payload) < 250 * len(stream)
    assert RpycFrameReader(Limits()).feed(stream) == [payload]


def test_restricted_frames_are_short():
    """Until `relax` nothing longer is taken, packed or unpacked."""
    for refused in (framed(b"x" * 11), packed(b"x" * 11)):
        reader = RpycFrameReader(Limits())
        reader.restrict(10)
        assert reader.feed(framed(b"x" * 10)) == [b"x" * 10]
        with pytest.raises(RemoteProtocolError, match=r"(of|than) 10$"):
            reader.feed(refused)
        reader = RpycFrameReader(Limits())
        reader.restrict(10)
        reader.relax()
        assert reader.feed(refused) == [b"x" * 11]
    reader = RpycFrameReader(Limits())
    reader.restrict(20)
    with pytest.raises(RemoteProtocolError, match="unpacks to more than 20"):
        reader.feed(packed(b"x" * 1000))


def test_a_frame_may_be_the_reason_to_relax():
    """A long frame behind short ones waits for `relax`; without it, it is refused."""
    long = framed(b"x" * 5000)
    for relaxed in (True, False):
        reader = RpycFrameReader(Limits())
        reader.restrict(100)
        assert reader.feed(framed(b"1") + framed(b"2") + long[:2000]) == [b"1", b"2"]
        assert reader.partial
        if relaxed:
            reader.relax()
            assert reader.feed(long[2000:] + framed(b"3")) == [b"x" * 5000, b"3"]
            assert not reader.partial
        else:
            with pytest.raises(RemoteProtocolError, match="exceeds the limit of 100"):
                reader.feed(b"")


def test_a_long_header_cut_in_two_waits_as_well():
    """The header of a frame that waits may have begun in earlier bytes."""
    long = framed(b"x" * 5000)
    reader = RpycFrameReader(Limits())
    reader.restrict(100)
    assert reader.feed(framed(b"1") + long[:3]) == [b"1"]
    reader.relax()
    assert reader.feed(long[3:]) == [b"x" * 5000]


def test_announced_payloads_take_no_memory():
    """A gigabyte that is announced and not sent costs nothing."""
    tracemalloc.start()
    try:
        reader = RpycFrameReader(Limits())
        reader.feed(struct.pack(">IB", 2**30, 0) + b"x")
        assert reader.receiving
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def bomb() -> bytes:
    """Give a zlib stream of at most 64 kB that would unpack to 60 MB."""
    packer = zlib.compressobj(9)
    zeros = bytes(MIB)
    return framed(b"".join(packer.compress(zeros) for _ in range(60)) + packer.flush(), 1)


def test_a_bomb_costs_at_most_what_is_allowed():
    """64 kB that would unpack to 60 MB are refused at 16 MiB, and hold little more than that."""
    data = bomb()
    assert len(data) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="unpacks to more than 16,777,216"):
            RpycFrameReader(Limits()).feed(data)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


def test_memory_follows_the_bytes():
    """10 MB in pieces of 64 kB take hardly more than themselves, and are not copied again."""
    piece = bytes(64 * 1024)
    reader = RpycFrameReader(Limits())
    tracemalloc.start()
    try:
        reader.feed(struct.pack(">IB", 160 * len(piece), 0))
        received = [payload for _ in range(160) for payload in reader.feed(piece)]
        assert [len(payload) for payload in received] == [160 * len(piece)]
        assert tracemalloc.get_traced_memory()[1] < 1.3 * 160 * len(piece)
    finally:
        tracemalloc.stop()


def test_a_trickle_is_collected():
    """A payload that comes in single bytes is put together."""
    data = framed(b"x" * 100_000)
    reader = RpycFrameReader(Limits())
    received = [payload for byte in data for payload in reader.feed(bytes([byte]))]
    assert received == [b"x" * 100_000]
