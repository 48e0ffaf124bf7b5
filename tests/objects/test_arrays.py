"""Arrays and tables travel by value, without pickle; hostile ones cost little and crash nothing."""

from __future__ import annotations

import struct
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.arrays import box_scalar, is_array, unbox_array
from nbrpc.objects.draft import SHALLOW
from nbrpc.objects.kinds import is_arrow_table
from nbrpc.objects.kinds.arrow import read_table
from nbrpc.protocol.codec import Array, List
from nbrpc.protocol.messages import Kind
from tests.objects.wire import Stand, carried, two_ends
from tests.protocol.ends import written
from tests.strategies import mutated, mutations

dtypes = st.one_of(
    numpy_strategies.boolean_dtypes(),
    numpy_strategies.integer_dtypes(endianness="?"),
    numpy_strategies.unsigned_integer_dtypes(endianness="?"),
    numpy_strategies.floating_dtypes(endianness="?"),
    numpy_strategies.complex_number_dtypes(endianness="?"),
    numpy_strategies.datetime64_dtypes(endianness="?"),
    numpy_strategies.timedelta64_dtypes(endianness="?"),
    numpy_strategies.byte_string_dtypes(max_len=5),
    numpy_strategies.unicode_string_dtypes(max_len=5, endianness="?"),
)
arrays = numpy_strategies.arrays(
    dtypes, numpy_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
)


def same_array(one, other) -> bool:
    """Whether two arrays are equal to the last bit."""
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


# ---- arrays


@settings(max_examples=300)
@given(array=arrays)
def test_arrays_come_back_the_same(array):
    """Any dtype of plain bytes, any byte order, any shape: 0-d and empty ones too."""
    assert same_array(carried(array, deep=True), array)


@settings(max_examples=200)
@given(array=arrays)
def test_scalars_come_back_the_same(array):
    """Scalars of numpy travel by value without being asked to."""
    if array.size:
        scalar = array.reshape(-1)[0]
        assert same_array(carried(scalar), scalar)
        assert same_array(carried([scalar], deep=True)[0], scalar)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.broadcast_to(np.arange(3), (4, 3)),
        np.zeros((0, 5)),
        np.array(3.5),
        np.array(["2026-01-01", "NaT"], "datetime64[ns]"),
        np.array([1, 2], "timedelta64[s]"),
        np.arange(200_000.0),
        np.array(["a", "größe"]),
        np.zeros((1,) * 30),
    ],
    ids=lambda array: f"{array.dtype}{array.shape[:4]}",
)
def test_unusual_arrays_come_back_the_same(array):
    """Strided, Fortran-ordered, broadcast, empty and 0-d arrays, dates and large ones."""
    arrived = carried(array, deep=True)
    assert same_array(arrived, array)
    assert arrived.flags.writeable
    assert arrived.flags.c_contiguous or array.flags.f_contiguous


@pytest.mark.parametrize(
    "scalar", [np.str_(""), np.bytes_(b""), np.str_("x" * 1000), np.bool_(True)]
)
def test_unusual_scalars_come_back_the_same(scalar):
    """Empty and long texts, and numpy's own bool."""
    assert same_array(carried(scalar), scalar)


def test_arrays_of_objects_that_are_no_data_are_refused():
    """By reference they work."""
    array = np.array([object()])
    with pytest.raises(NotSendable, match=r"an? ndarray .*cannot be copied"):
        carried([array], deep=True)
    assert type(carried(array)) is Stand


def test_arrays_stay_where_only_values_are_copied():
    """As results of classic mode do."""
    assert type(carried(np.arange(3), form=SHALLOW)) is Stand


BUFFER = bytes(16)


@pytest.mark.parametrize(
    "box",
    [
        Array("|O", [2], 0),
        Array("<f8,<f8", [1], 0),
        Array("pickle", [1], 0),
        Array("<f3", [1], 0),
        Array("<f8", [3], 0),
        Array("<f8", [-2], 0),
        Array("<f8", [-1, -2], 0),
        Array("<f8", [2**63, 2], 0),
        Array("<f8", [1] * 65, 0),
        Array("<f8", [2] + [1] * 64, 0),
        Array("<f8", [2**63] * 100_000, 0),
        Array("<f8", [2], 1),
        Array("<f8", [0], -1),
        Array("<U0", [0], 0),
        Array("<U0", [2**40], 0),
        Array("<U999999999", [0], 0),
        Array("<M8[centuries]", [2], 0),
        Array("<f8", None, -1, bytes(16)),
        Array("<f8", None, -1, b""),
        Array("<U0", None, -1, b"x"),
    ],
    ids=lambda box: f"{box.dtype} {box.shape!r:.12} {box.index}",
)
def test_arrays_that_make_no_sense_are_refused(box):
    """Object dtypes, and shapes that do not fit their data, are the peer's mistake."""
    one, other = two_ends()
    with pytest.raises(RemoteProtocolError):
        other.read(written(one.protocol, Kind.REPLY, (1, box), [BUFFER]))


# ---- tables of Arrow


def test_arrow_tables_come_back_the_same():
    """With their metadata, and in chunks or not."""
    table = pa.table(
        {"x": [1, 2], "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8()))}
    )
    table = pa.concat_tables([table, table]).replace_schema_metadata({"made": "here"})
    for arrived in (carried(table), carried(table, deep=True)):
        assert arrived.equals(table)
        assert arrived.schema.metadata == {b"made": b"here"}


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (pa.table({"x": pa.nulls(1_000_000)}), "1,000,000 rows hold next to no data"),
        (
            pa.table({"x": pa.array(["a"], pa.string_view())}),
            "type string_view is not one of those",
        ),
        (
            pa.table({"x": pa.array([["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))}),
            "dictionary inside another type",
        ),
    ],
    ids=["nulls", "view", "nested dictionary"],
)
def test_tables_that_the_peer_would_refuse_are_refused_here(table, match):
    """The sentence says what is wrong with the table, and nothing is sent."""
    with pytest.raises(NotSendable, match=match):
        carried(table, deep=True)
    assert type(carried(table)) is Stand


def stream(table, **options) -> bytes:
    """Give the Arrow stream of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def received(data: bytes):
    """Read a table as a receiver does."""
    return read_table(memoryview(bytearray(data)))


RUN_ENDS = pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), [1])
NULL_LIST = pa.ListArray.from_arrays(pa.array([0, 2**30], pa.int32()), pa.nulls(2**30))
WORDS = pa.table({"x": ["word"] * 100_000, "y": pa.array(["a"] * 100_000).dictionary_encode()})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no stream",
        b"\xff\xff\xff\xff\x08\0\0\0" + b"\xff" * 8,
        stream(pa.table({"x": [1, 2, 3]}))[:-60],
        stream(WORDS, compression="zstd"),
        stream(WORDS.select(["x"]), compression="lz4"),
        stream(pa.table({"x": pa.nulls(2**31 - 1)})),
        stream(pa.table({f"x{number}": pa.nulls(500_000) for number in range(100)})),
        stream(pa.table({"x": pa.array([], pa.string_view())})),
        stream(pa.table({"x": RUN_ENDS})),
        stream(pa.table({"x": pa.array([{"a": None}] * 100_000)})),
        stream(pa.table({"x": NULL_LIST})),
    ],
    ids=[
        "nothing", "text", "broken header", "cut", "zstd", "lz4", "nulls", "null columns", "view",
        "run ends", "structs", "list of nulls",
    ],
)  # fmt: skip
def test_streams_that_an_honest_peer_does_not_send_are_refused(data):
    """Broken, compressed and hollow streams cost next to nothing and are the peer's mistake."""
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="a table cannot be read"):
            received(data)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
        assert pa.total_allocated_bytes() - before < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_offsets_that_point_outside_are_refused():
    """They would be followed into memory that is not the table's."""
    data = bytearray(stream(pa.table({"x": ["a" * 10, "b" * 10]})))
    offsets = struct.pack("<3i", 0, 10, 20)
    assert data.count(offsets) == 1
    place = data.index(offsets)
    for evil in ((0, 10, 2**30), (0, 2**30, 20), (-5, 10, 20)):
        data[place : place + 12] = struct.pack("<3i", *evil)
        with pytest.raises(RemoteProtocolError):
            received(bytes(data))


SMALL = stream(
    pa.table(
        {
            "n": [1, None],
            "t": ["a", "b"],
            "d": pa.array(["x", "y"]).dictionary_encode(),
            "l": [[1], [2, 3]],
        }
    )
)


@settings(max_examples=300)
@given(changes=mutations)
def test_mutated_streams_raise_only_protocol_errors(changes):
    """A stream with some bytes changed gives a table or RemoteProtocolError, and no crash."""
    try:
        repr(received(mutated(SMALL, changes)))
    except RemoteProtocolError:
        pass


# ---- without the libraries


def test_values_are_boxed_without_importing_anything(monkeypatch):
    """While numpy and pyarrow are not loaded, no value can be of theirs."""
    for name in ("numpy", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert box_scalar(1.5) is None
    assert not is_array([1])
    assert not is_arrow_table([1])


def test_a_missing_library_is_named(monkeypatch):
    """An array or table arrives where its library is not installed: NotSendable names it."""
    data = stream(pa.table({"x": [1]}))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(NotSendable, match="needs pyarrow, which is not installed here"):
            received(data)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(NotSendable, match="an array needs numpy"):
        unbox_array(Array("<f8", [0], 0), lambda _index: memoryview(b""))


def test_an_array_of_elements_without_size_is_refused():
    """Any number of them would fit into no data."""
    one, other = two_ends()
    data = written(one.protocol, Kind.REPLY, (1, Array("<U0", [2**40], 0)), [b""])
    with pytest.raises(RemoteProtocolError, match="elements of no size"):
        other.read(data)


def test_one_buffer_cannot_become_many_arrays():
    """Each array of a message has data of its own."""
    one, other = two_ends()
    data = written(one.protocol, Kind.REPLY, (1, List([Array("|u1", [16], 0)] * 2)), [BUFFER])
    with pytest.raises(RemoteProtocolError, match="data that did not come"):
        other.read(data)
