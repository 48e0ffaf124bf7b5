"""Values and messages become msgpack and come back; anything else is refused."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.errors import RemoteProtocolError
from nbrpc.protocol import codec, messages
from nbrpc.protocol.codec import decoder, encode
from tests.strategies import wire_values

decode = decoder(messages.Reply)


@given(value=wire_values)
def test_values_come_back_as_they_were(value):
    """Decoding gives the boxes that were encoded, floats to the bit."""
    data = encode((1, value))
    assert encode((1, decode(data).value)) == data


@pytest.mark.parametrize("value", [True, False, 1, 1.0, -0.0, 2**64 - 1, -(2**63), "é", None])
def test_scalars_keep_their_type(value):
    """A bool does not become an int, nor a float with a whole value."""
    decoded = decode(encode((1, value))).value
    assert type(decoded) is type(value)
    assert repr(decoded) == repr(value)


@given(data=st.binary(max_size=60))
def test_arbitrary_bytes_raise_only_protocol_errors(data):
    """Bytes that are no message raise RemoteProtocolError and nothing else."""
    for kind in (messages.Reply, messages.Request, messages.Failure, messages.Hello):
        try:
            decoder(kind)(data)
        except RemoteProtocolError:
            pass


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {"a": 1},
        [99, []],
        b"bytes",
        [2],
        [2, "items"],
        [6, {1: 2}],
        [6, {b"a": 2}],
        [8, "int", 1],
        [14, "oid", 1],
        msgspec.msgpack.Ext(1, b"x"),
    ],
    ids=repr,
)
def test_what_is_no_box_is_refused(value):
    """Bare arrays, maps, bytes, extensions and unknown or wrong boxes are no values."""
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode(encode((1, value)))


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x92\x01\xc0\xc0", b"\x91\x01", b"\x92\x01\xa1\xff"]
)
def test_malformed_msgpack_is_refused(data):
    """Nothing, reserved bytes, trailing bytes, missing fields and broken UTF-8 are refused."""
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode(data)


@pytest.mark.parametrize(
    "lie",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ],
    ids=["array", "map", "bytes", "str"],
)
@pytest.mark.parametrize("where", [b"\x92\x01", b"\x92\x01\x92\x03", b"\x92\x01\x92\x06"])
def test_lengths_that_lie_take_no_memory(lie, where):
    """A length of 4 billion with nothing behind it is refused before memory is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            decode(where + lie + b"\xc0" * 100)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opener", [b"\x91", b"\x92\x02\x91", b"\x92\x03\x91", b"\x81\xa0"])
def test_endless_nesting_is_refused(opener):
    """A message of nothing but opening brackets is refused, whatever the brackets are."""
    with pytest.raises(RemoteProtocolError):
        decode(b"\x92\x01" + opener * 200_000)


def test_nesting_that_is_complete_is_refused_too():
    """100,000 tuples within each other, all closed, are nested too deeply."""
    with pytest.raises(RemoteProtocolError, match="nested too deeply"):
        decode(b"\x92\x01" + b"\x92\x02\x91" * 100_000 + b"\xc0")


@pytest.mark.parametrize(
    "unit",
    [
        b"\x92\x02\x90",
        b"\x92\x06\x80",
        b"\x92\x06\x81\xa0\xc0",
        b"\x93\x07\x90\x90",
        b"\xc0",
        b"\xcb\0\0\0\0\0\0\0\0",
    ],
    ids=["tuples", "maps", "filled maps", "pairs", "nulls", "floats"],
)
def test_64_kilobytes_cost_at_most_16_megabytes(unit):
    """No message of 64 kB takes more than 16 MB of memory, however it is made."""
    count = 65_000 // len(unit)
    data = b"\x92\x01\x92\x03\xdd" + count.to_bytes(4) + unit * count
    tracemalloc.start()
    try:
        decode(data)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_later_versions_may_append_fields():
    """Fields that this version does not know are passed over."""
    assert decode(encode((1, "value", None, "later"))).value == "value"
    assert decode(encode((1, [15, 3, "path", "later"]))).value == codec.Home(3, "path")
