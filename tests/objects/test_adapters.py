"""Arrays and tables travel by value, without pickle; hostile ones cost little and crash nothing."""

from __future__ import annotations

import datetime
import decimal
import struct
import sys
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import adapters
from nbrpc.objects.adapters import TABLES, box_array, box_table, unbox_array, unbox_table
from nbrpc.protocol.codec import Array, List, Table
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
    assert arrived.flags.c_contiguous


@pytest.mark.parametrize(
    "scalar", [np.str_(""), np.bytes_(b""), np.str_("x" * 1000), np.bool_(True)]
)
def test_unusual_scalars_come_back_the_same(scalar):
    """Empty and long texts, and numpy's own bool."""
    assert same_array(carried(scalar), scalar)


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.array([b"x"], "V1"),
        np.array([None, 1]),
    ],
    ids=["object", "structured", "masked", "void", "none"],
)
def test_other_arrays_are_refused(array):
    """What would need pickle, or would lose something, says what to do; by reference it works."""
    with pytest.raises(NotSendable, match=r"dtype .* cannot travel by value; convert it"):
        carried([array], deep=True)
    assert type(carried(array)) is Stand


def test_arrays_travel_by_reference_unless_asked():
    """An array can change, so it is not copied by itself."""
    assert type(carried(np.arange(3))) is Stand


def test_other_scalars_travel_by_reference():
    """A structured scalar is no plain value."""
    assert type(carried(np.array([(1, 2.0)], "i4,f8")[0])) is Stand


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


# ---- tables

FRAME = pd.DataFrame(
    {
        "number": [1, 2, 3],
        "float": [1.5, None, -0.0],
        "text": ["a", None, "ü"],
        "bool": [True, False, True],
        "when": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
        "zone": pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin"),
        "kind": pd.Categorical(["x", "y", "x"]),
        "day": [datetime.date(2026, 1, 1)] * 3,
        "price": [decimal.Decimal("1.10")] * 3,
        "lists": [[1, 2], [], None],
        "dicts": [{"a": 1}, {"a": 2}, None],
        "nothing": [None] * 3,
        "period": pd.period_range("2026-01", periods=3, freq="M"),
    },
    index=pd.Index([10, 20, 30], name="row"),
)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        # An Arrow stream without rows has no dictionaries, so no categories.
        FRAME[:0].drop(columns="kind"),
        pd.DataFrame(),
        pd.DataFrame({1: [1], 2: [2]}),
        pd.DataFrame({("a", 1): [1], ("a", 2): [2]}),
        pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
        pd.DataFrame({"x": range(100_000)}),
        pd.DataFrame({"x": [None] * 10_000}),
        pd.DataFrame({"x": [[]] * 1000}),
    ],
    ids=["all", "empty", "nothing", "numbers", "tuples", "levels", "long", "nulls", "empty lists"],
)
def test_pandas_tables_come_back_the_same(frame):
    """Columns, index and dtypes are those of the table."""
    arrived = carried(frame, deep=True)
    pd.testing.assert_frame_equal(arrived, pa.Table.from_pandas(frame).to_pandas())
    assert list(arrived.dtypes) == list(frame.dtypes)


@pytest.mark.parametrize("name", ["x", "", None, 7, ("a", 1)])
def test_pandas_series_come_back_the_same(name):
    """A series keeps its name, and having none is not having an empty one."""
    series = pd.Series([1.5, 2.5], index=["a", "b"], name=name)
    pd.testing.assert_series_equal(carried(series, deep=True), series)


def test_polars_tables_come_back_the_same():
    """Texts, lists, categories and dates included."""
    frame = pl.DataFrame(
        {
            "number": [1, 2],
            "text": ["a", None],
            "list": [[1], []],
            "struct": [{"a": 1}, {"a": 2}],
            "when": [datetime.datetime(2026, 1, 1), None],
            "nothing": [None, None],
            "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
        }
    )
    arrived = carried(frame, deep=True)
    assert arrived.equals(frame)
    assert arrived.schema == frame.schema


def test_arrow_tables_come_back_the_same():
    """With their metadata, and in chunks or not."""
    table = pa.table(
        {"x": [1, 2], "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8()))}
    )
    table = pa.concat_tables([table, table]).replace_schema_metadata({"made": "here"})
    arrived = carried(table, deep=True)
    assert arrived.equals(table)
    assert arrived.schema.metadata == {b"made": b"here"}


def test_tables_travel_by_reference_unless_asked():
    """A table is not copied by itself."""
    assert type(carried(FRAME)) is Stand


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (
            pd.DataFrame({"x": [object()]}),
            r"DataFrame.* cannot travel as an Arrow table: .*convert",
        ),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "Duplicate column names"),
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
    ids=["objects", "duplicates", "nulls", "view", "nested dictionary"],
)
def test_tables_that_the_peer_would_refuse_are_refused_here(table, match):
    """The sentence says what is wrong with the table, and nothing is sent."""
    with pytest.raises(NotSendable, match=match):
        carried(table, deep=True)


def test_other_things_of_these_libraries_are_refused():
    """A polars series, a lazy table, an Arrow array: not copied, and named as what they are."""
    for value in (pl.Series([1]), pl.LazyFrame({"x": [1]}), pa.array([1]), pd.Index([1])):
        with pytest.raises(NotSendable, match="cannot be copied"):
            carried(value, deep=True)


def stream(table, **options) -> bytes:
    """Give the Arrow stream of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def read_table(kind: str, data: bytes):
    """Read a table as a receiver does."""
    return unbox_table(Table(kind, 0), lambda _index: memoryview(bytearray(data)))


RUN_ENDS = pa.RunEndEncodedArray.from_arrays(pa.array([2**30], pa.int32()), [1])
NULL_LIST = pa.ListArray.from_arrays(pa.array([0, 2**30], pa.int32()), pa.nulls(2**30))
WORDS = pa.table({"x": ["word"] * 100_000, "y": pa.array(["a"] * 100_000).dictionary_encode()})


@pytest.mark.parametrize("kind", sorted(TABLES))
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
def test_streams_that_an_honest_peer_does_not_send_are_refused(kind, data):
    """Broken, compressed and hollow streams cost next to nothing and are the peer's mistake."""
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="a table cannot be read"):
            read_table(kind, data)
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
        for kind in TABLES:
            with pytest.raises(RemoteProtocolError):
                read_table(kind, bytes(data))


def test_tables_of_unknown_kind_are_refused():
    """The kinds are a closed list."""
    with pytest.raises(RemoteProtocolError, match="kind 'excel' arrived"):
        read_table("excel", b"")


def test_a_table_without_columns_is_no_series():
    """What does not fit its kind is the peer's mistake."""
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        read_table("series", stream(pa.table({})))


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
@given(changes=mutations, kind=st.sampled_from(["arrow", "pandas", "series"]))
def test_mutated_streams_raise_only_protocol_errors(changes, kind):
    """A stream with some bytes changed gives a table or RemoteProtocolError, and no crash."""
    try:
        repr(read_table(kind, mutated(SMALL, changes)))
    except RemoteProtocolError:
        pass


# ---- without the libraries


def attach(_data) -> int:
    """Take no data."""
    return 0


def test_values_are_boxed_without_importing_anything(monkeypatch):
    """While numpy, pandas, polars and pyarrow are not loaded, no value can be of theirs."""
    for name in ("numpy", "pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert adapters.box_scalar(1.5) is None
    assert box_array([1], attach) is None
    assert box_table([1], attach) is None


def test_a_missing_library_is_named(monkeypatch):
    """An array or table arrives where its library is not installed: NotSendable names it."""
    data = stream(pa.table({"x": [1]}))
    for name, kind in (("polars", "polars"), ("pandas", "series"), ("pyarrow", "arrow")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, name, None)
            with pytest.raises(NotSendable, match=f"needs {name}, which is not installed here"):
                read_table(kind, data)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(NotSendable, match="an array needs numpy"):
        unbox_array(Array("<f8", [0], 0), lambda _index: memoryview(b""))


def test_a_pandas_table_without_pyarrow_is_not_sent(monkeypatch):
    """The sender says which library is missing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for value in (FRAME, FRAME["number"]):
        with pytest.raises(NotSendable, match="needs pyarrow, which is not installed here"):
            carried(value, deep=True)


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
