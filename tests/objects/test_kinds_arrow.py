"""Tables and arrays of pyarrow, and of polars, are put together from their parts exactly."""

import datetime
import json

import pandas
import pandas.testing
import polars
import polars.testing
import pyarrow
import pytest

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.kinds import arrow, kind_of, rebuild
from tests.objects.parts import KNOWN, copied, travels
from tests.objects.test_kinds_frames import FRAMES


def tables():
    """Give a table of Arrow with gaps, text and lists."""
    table = pyarrow.table({"a": [1, None, 3], "b": ["x", "y", None], "c": [[1], [], None]})
    return table.replace_schema_metadata({"k": "v"})


def test_arrow():
    """Tables, batches and arrays of pyarrow."""
    table = tables()
    assert copied(table).equals(table, check_metadata=True)
    batch = table.to_batches()[0]
    assert copied(batch).equals(batch, check_metadata=True)
    assert copied(batch.slice(0, 0)).equals(batch.slice(0, 0), check_metadata=True)
    for values in (
        *batch.columns,
        pyarrow.array([], pyarrow.date32()),
        pyarrow.array(["a", "b", "a"]).dictionary_encode(),
    ):
        made = copied(values)
        assert type(made) is type(values)
        assert made.equals(values)
    chunked = pyarrow.chunked_array([[1], [2, None]])
    assert copied(chunked).equals(chunked)
    assert copied(chunked).num_chunks == 2


@pytest.mark.parametrize(
    "name", [name for name in FRAMES if name not in {"odd names", "bytes swapped"}]
)
def test_what_from_pandas_writes_travels(name):
    """The metadata that pyarrow writes is known."""
    frame = FRAMES[name].drop(columns=["objects", "lists", "intervals", "arrow"], errors="ignore")
    if name in {"same names", "one object block"}:
        pytest.skip("pyarrow refuses it")
    frame = frame.drop(columns=["float16"], errors="ignore")
    try:
        table = pyarrow.Table.from_pandas(frame)
    except pyarrow.ArrowException as error:
        pytest.skip(str(error))
    made = copied(table)
    assert made.equals(table, check_metadata=True)
    pandas.testing.assert_frame_equal(made.to_pandas(), table.to_pandas())


def metadata(**changes):
    """Give metadata of pandas as JSON, which is in order but for some changes."""
    found = {"index_columns": [], "columns": [], "column_indexes": [], "pandas_version": "2"}
    return json.dumps({**found, **changes})


def a_column(**changes):
    """Give the metadata of one column."""
    return {"name": None, "field_name": None, "pandas_type": "bytes", "metadata": None, **changes}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        metadata(column_indexes=[a_column(numpy_type="S2000000000")]),
        metadata(columns=[a_column(numpy_type="U99999999")]),
        metadata(columns=[a_column(numpy_type="V99999999")]),
        metadata(columns=[a_column(numpy_type="(9999999,)i8")]),
        metadata(columns=[a_column(numpy_type=["i8"])]),
        metadata(columns=[a_column(pandas_type="x" * 99)]),
        metadata(columns=[a_column(metadata={"timezone": 1})]),
        metadata(columns=[a_column(metadata={"other": 1})]),
        metadata(columns=[7]),
        metadata(columns={}),
        metadata(other=1),
        metadata(index_columns=[{"kind": "range", "start": 0, "stop": 1e300, "step": 1}]),
        metadata(pandas_version="2" * 1_000_000),
    ],
    ids=lambda text: text[:40],
)
def test_metadata_that_pandas_must_not_obey(text):
    """It is refused on both sides, also in what is made of tables."""
    table = pyarrow.table({"a": [1]}).replace_schema_metadata({b"pandas": text})
    with pytest.raises(NotSendable):
        arrow.write_table(table, lambda _: 0)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(RemoteProtocolError):
        arrow.read_table(memoryview(sink.getvalue()))
    assert not travels(table.to_batches()[0])


def test_polars():
    """Frames and Series of polars."""
    frame = polars.DataFrame(
        {
            "a": [1, None],
            "b": ["x", None],
            "c": [[1.5], []],
            "d": [datetime.datetime(2024, 1, 1), None],
            "e": [datetime.timedelta(1), None],
            "f": [{"x": 1}, None],
        }
    )
    made = copied(frame)
    polars.testing.assert_frame_equal(made, frame)
    assert made.schema == frame.schema
    for series in frame:
        polars.testing.assert_series_equal(copied(series), series)
    nameless = polars.Series([1, 2])
    assert copied(nameless).name == ""


def test_polars_that_arrow_would_change():
    """What comes back at all comes back exactly."""
    for series in (
        polars.Series([object()], dtype=polars.Object),
        polars.Series(["a", "b"], dtype=polars.Categorical),
        polars.Series(["a", "b"], dtype=polars.Enum(["b", "a"])),
        polars.Series([1], dtype=polars.Int128),
    ):
        if travels(series):
            made = copied(series)
            polars.testing.assert_series_equal(made, series)
            assert made.dtype == series.dtype
    assert not travels(polars.Series([object()], dtype=polars.Object))


def test_arrays_of_arrow_have_one_column():
    """Others are refused."""
    with pytest.raises(RemoteProtocolError, match=KNOWN):
        rebuild("pyarrow.Array", [pyarrow.table({"a": [1]})])
    kind_of(polars.Series)
    with pytest.raises(RemoteProtocolError, match=KNOWN):
        rebuild("polars.Series", [pyarrow.table({"a": [1], "b": [2]})])
