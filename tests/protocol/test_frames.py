"""Bytes become frames in whatever pieces they come, and limits hold before memory is taken."""

from __future__ import annotations

import struct
import tracemalloc
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.options import Limits
from nbrpc.protocol.frames import CHUNK_SIZE, FrameReader, chunks, frame, frame_in_memory
from tests.strategies import mutated, mutations, pieces, splits

KIND, OTHER, CHUNK = 4, 13, 16


def joined(writes) -> bytes:
    """Give the bytes of a list of writes."""
    return b"".join(bytes(piece) for piece in writes)


def plain(frames) -> list:
    """Give frames with their buffers as bytes."""
    return [
        (kind, body, [buffer.getvalue() for buffer in buffers]) for kind, body, buffers in frames
    ]


def header(length=0, kind=KIND, flags=0, count=0) -> bytes:
    """Give a frame's header."""
    return struct.pack("<IBBH", length, kind, flags, count)


def in_chunks(body: bytes, buffers, transfer=1, kind=KIND) -> list[bytes]:
    """Give the writes of a message in chunks."""
    views = [memoryview(buffer) for buffer in buffers]
    return [joined(write) for write in chunks(kind, body, views, transfer)]


one_frame = st.tuples(
    st.sampled_from([KIND, OTHER]),
    st.binary(max_size=30),
    st.lists(st.binary(max_size=30), max_size=4),
)


@given(frames=st.lists(one_frame, max_size=5), large=st.booleans(), cuts=splits)
def test_any_split_gives_the_same_frames(frames, large, cuts):
    """Frames, also ones in chunks with others between, come whole however the bytes are cut."""
    data = b""
    expected = []
    for number, (kind, body, buffers) in enumerate(frames):
        if large and buffers:
            first, *rest = in_chunks(body, buffers, number, kind)
            between = joined(frame(OTHER, b"ping"))
            data += first + between + b"".join(chunk + between for chunk in rest)
            pings = [(OTHER, b"ping", [])] * (1 + len(rest))
            # A message whose buffers are all empty is complete with its frame.
            place = 0 if not rest else len(rest)
            expected += [*pings[:place], (kind, body, buffers), *pings[place:]]
        else:
            data += joined(frame(kind, body, [memoryview(buffer) for buffer in buffers]))
            expected.append((kind, body, buffers))
    reader = FrameReader(Limits())
    received = []
    for piece in pieces(data, cuts):
        received += plain(reader.feed(piece))
    assert received == expected
    assert not reader.receiving


@given(data=st.binary(max_size=200), restricted=st.booleans())
def test_arbitrary_bytes_raise_only_protocol_errors(data, restricted):
    """Bytes that are no frames raise RemoteProtocolError and nothing else."""
    reader = FrameReader(Limits())
    if restricted:
        reader.restrict(100)
    try:
        reader.feed(data)
    except RemoteProtocolError:
        pass


@given(buffers=st.lists(st.binary(max_size=30), max_size=3), changes=mutations, large=st.booleans())
def test_mutated_frames_raise_only_protocol_errors(buffers, changes, large):
    """Valid frames with some bytes changed raise RemoteProtocolError or nothing."""
    views = [memoryview(buffer) for buffer in buffers]
    data = b"".join(in_chunks(b"body", buffers)) if large else joined(frame(KIND, b"body", views))
    try:
        FrameReader(Limits()).feed(mutated(data * 2, changes))
    except RemoteProtocolError:
        pass


def test_small_buffers_are_joined_and_large_ones_scattered():
    """Below 64 kB a frame is one write; above, the buffers are sent from where they are."""
    small, large = memoryview(b"x" * 1000), memoryview(b"x" * 70_000)
    assert len(frame(KIND, b"body", [small])) == 1
    written = frame(KIND, b"body", [small, large])
    assert len(written) == 3
    assert written[2] is large


@settings(max_examples=20)
@given(
    sizes=st.lists(st.sampled_from([0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1]), max_size=3)
)
def test_large_buffers_travel_in_chunks(sizes):
    """Buffers of any size come back from chunks of at most 256 kB."""
    buffers = [bytes([number + 1]) * size for number, size in enumerate(sizes)] + [b"last"]
    writes = in_chunks(b"body", buffers)
    assert max(map(len, writes)) <= CHUNK_SIZE + 12
    assert plain(FrameReader(Limits()).feed(b"".join(writes))) == [(KIND, b"body", buffers)]


def test_a_small_message_passes_between_chunks():
    """A ping between two chunks arrives at once, long before the large message is complete."""
    reader = FrameReader(Limits())
    first, chunk, *rest = in_chunks(b"body", [b"x" * CHUNK_SIZE * 3])
    assert plain(reader.feed(first + chunk + joined(frame(OTHER, b"ping")))) == [
        (OTHER, b"ping", [])
    ]
    assert reader.receiving
    assert len(reader.feed(b"".join(rest))) == 1
    assert not reader.receiving


def test_two_transfers_may_be_interleaved():
    """Chunks of two messages find their own."""
    one, two = in_chunks(b"1", [b"a" * 10], 1), in_chunks(b"2", [b"b" * 10], 2)
    received = plain(FrameReader(Limits()).feed(one[0] + two[0] + two[1] + one[1]))
    assert received == [(KIND, b"2", [b"b" * 10]), (KIND, b"1", [b"a" * 10])]


def test_chunks_are_taken_however_small_a_body_may_be():
    """A limit on bodies below the size of a chunk does not refuse large messages."""
    reader = FrameReader(Limits(body=4096))
    buffer = b"x" * CHUNK_SIZE * 2
    assert plain(reader.feed(b"".join(in_chunks(b"body", [buffer])))) == [(KIND, b"body", [buffer])]
    with pytest.raises(RemoteProtocolError, match="exceeds the limit"):
        reader.feed(header(CHUNK_SIZE + 5, CHUNK))


def test_bytes_come_without_a_copy():
    """The bytes of a buffer are the memory into which they were received."""
    ((_, _, (buffer,)),) = FrameReader(Limits()).feed(
        joined(frame(KIND, b"", [memoryview(b"x" * 9000)]))
    )
    assert buffer.getvalue() is buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (header(1024**2 + 1), "exceeds the limit of 1,048,576"),
        (header(2**32 - 1), "exceeds the limit"),
        (header(CHUNK_SIZE + 5, CHUNK), "no transfer") ,
        (header(4, flags=1) + b"body", "unknown flags"),
        (header(4, flags=2) + b"body", "unknown flags"),
        (header(4, flags=3, count=1) + b"body" + bytes(12), "unknown flags"),
        (header(4, CHUNK, count=1) + b"body" + bytes(8), "none are allowed"),
        (header(4, CHUNK) + b"body", "a chunk is empty"),
        (header(3, CHUNK) + b"bod", "a chunk is empty"),
        (header(5, CHUNK) + b"\7\0\0\0x", r"no transfer \(7\)"),
        (header(0, count=1) + struct.pack("<Q", 2**30 + 1), "exceed the limit of 1,073,741,824"),
        (header(0, count=2) + struct.pack("<QQ", 2**64 - 1, 2**64 - 1), "exceed the limit"),
        (in_chunks(b"", [b"x"])[0] * 2, "opened twice"),
        (in_chunks(b"", [b"x"])[0] + header(6, CHUNK) + b"\1\0\0\0xy", "more than it announced"),
        (
            b"".join(in_chunks(b"", [b"x"], number)[0] for number in range(65)),
            "one too many",
        ),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(data, match):
    """Each rule of the format has its own refusal."""
    reader = FrameReader(Limits())
    with pytest.raises(RemoteProtocolError, match=match):
        reader.feed(data + bytes(CHUNK_SIZE * 2))


def test_a_frame_is_partial_until_its_last_byte():
    """Be it a body, buffers behind a frame, or chunks with other frames between."""
    large = in_chunks(b"body", [b"x" * 9])
    for data in (joined(frame(KIND, b"body")), joined(frame(KIND, b"", [memoryview(b"buffer")]))):
        reader = FrameReader(Limits())
        for byte in range(len(data)):
            assert reader.partial is bool(byte)
            reader.feed(data[byte : byte + 1])
        assert not reader.partial
    reader = FrameReader(Limits())
    for data in (large[0], joined(frame(OTHER, b"ping"))):
        reader.feed(data)
        assert reader.partial
    reader.feed(large[1])
    assert not reader.partial


def test_buffers_in_shared_memory_are_taken_from_there():
    """The frame names the segment and the sizes; one that was not agreed on is refused."""
    data = frame_in_memory(KIND, b"body", [memoryview(b"abc"), memoryview(b"")], 7)
    asked = []

    def take(segment, sizes):
        asked.append((segment, sizes))
        return [BytesIO(b"abc"), BytesIO()]

    reader = FrameReader(Limits())
    reader.take_shared = take
    assert plain(reader.feed(data[:-1])) == []
    assert plain(reader.feed(data[-1:])) == [(KIND, b"body", [b"abc", b""])]
    assert asked == [(7, [3, 0])]
    with pytest.raises(RemoteProtocolError, match="unknown flags"):
        FrameReader(Limits()).feed(data)


def test_headers_are_refused_before_the_body_comes():
    """A header that announces too much is refused with its eighth byte."""
    reader = FrameReader(Limits())
    assert reader.feed(header(2**30)[:7]) == []
    with pytest.raises(RemoteProtocolError, match="exceeds the limit"):
        reader.feed(header(2**30)[7:])


def test_transfers_share_one_limit():
    """Buffers that are announced but not sent count until their transfer is complete."""
    reader = FrameReader(Limits(buffers=1000))
    one = in_chunks(b"", [b"x" * 600], 1)
    two = in_chunks(b"", [b"x" * 600], 2)
    reader.feed(one[0])
    reader.feed(one[1])
    reader.feed(two[0])
    with pytest.raises(RemoteProtocolError, match="exceed the limit of 1,000"):
        reader.feed(in_chunks(b"", [b"x" * 600], 3)[0])


def test_restricted_frames_come_one_at_a_time():
    """Before authentication bodies are small, buffers refused, and each frame is judged alone."""
    reader = FrameReader(Limits())
    reader.restrict(10)
    large = joined(frame(KIND, b"x" * 11))
    assert plain(reader.feed(joined(frame(KIND, b"1")) + large)) == [(KIND, b"1", [])]
    reader.relax()
    assert plain(reader.feed(b"")) == [(KIND, b"x" * 11, [])]
    for refused in (large, header(0, count=1), header(5, CHUNK) + b"\0\0\0\0x"):
        reader = FrameReader(Limits())
        reader.restrict(10)
        with pytest.raises(RemoteProtocolError):
            reader.feed(refused)


def test_announced_buffers_take_no_memory():
    """A gigabyte that is announced and not sent costs nothing, in the frame or in chunks."""
    tracemalloc.start()
    try:
        for flags in (0, 1):
            reader = FrameReader(Limits())
            reader.feed(
                header(0, flags=flags, count=1) + struct.pack("<QI", 2**30, 1)[: 8 + 4 * flags]
            )
            assert reader.receiving
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        header(0, count=0xFFFF) + bytes(8 * 8000),
        b"".join(in_chunks(b"", [b"x"], number)[0] for number in range(64)) + b"\0" * 60_000,
        header(0) * 8000,
        header(0, count=8000) + struct.pack("<Q", 1) * 8000 + b"x" * 1000,
        header(1024**2) + bytes(65_000),
    ],
    ids=["empty buffers", "transfers", "empty frames", "small buffers", "half a body"],
)
def test_64_kilobytes_cost_at_most_16_megabytes(data):
    """No 64 kB of frames take more than 16 MB of memory."""
    tracemalloc.start()
    try:
        FrameReader(Limits()).feed(data)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_trickle_is_collected_in_linear_time():
    """A body of 1 MB that comes in single bytes is not copied with each of them."""
    reader = FrameReader(Limits())
    data = joined(frame(KIND, b"x" * 300_000))
    received = []
    for position in range(len(data)):
        received += reader.feed(data[position : position + 1])
    assert plain(received) == [(KIND, b"x" * 300_000, [])]


def test_more_buffers_than_a_header_counts_are_not_sent():
    """65,536 buffers raise LimitExceeded at the sender."""
    with pytest.raises(LimitExceeded, match="65,535"):
        frame(KIND, b"", [memoryview(b"x")] * 65_536)
