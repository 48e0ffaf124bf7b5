"""Tables of Arrow, as IPC streams; the kinds of pyarrow and polars, which are made of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import arrow_checks
from nbrpc.objects.kinds import ATTRIBUTE, Kind, register
from nbrpc.objects.kinds.pandas_metadata import check_metadata
from nbrpc.protocol.codec import Table

__all__ = ["load", "read_table", "table_travels", "write_table"]

Parts = tuple[object, ...]


def write_table(table: Any, attach: Callable[[memoryview], int]) -> Table:
    """Box a table of pyarrow.

    Raises
    ------
    NotSendable
        It has types, or a size, that no peer takes.
    """
    import pyarrow

    try:
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        arrow_checks.check(table, data.size)
        check_metadata(table)
    except Exception as error:
        raise NotSendable(
            f"an Arrow table cannot travel: {error}; convert its columns to numbers, text or dates"
        ) from error
    return Table(attach(memoryview(data)))


def read_table(data: memoryview) -> Any:
    """Make the table that was boxed.

    Raises
    ------
    RemoteProtocolError
        The data is no Arrow stream, or one that an honest peer does not send.
    NotSendable
        pyarrow is not installed here.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise NotSendable(f"a table needs pyarrow, which is not installed here: {error}") from None
    try:
        table = arrow_checks.read(pyarrow, data)
        check_metadata(table)
        return table
    except Exception as error:
        raise RemoteProtocolError(f"a table cannot be read: {error}") from None


def table_travels(table: Any) -> bool:
    """Whether a table of pyarrow is one that a peer takes."""
    try:
        # Its stream has all of its bytes, and some more.
        arrow_checks.check(table, table.nbytes)
        check_metadata(table)
    except Exception:
        return False
    return True


# ---- pyarrow


def _batch_apart(batch: Any) -> Parts | None:
    import pyarrow

    table = pyarrow.Table.from_batches([batch])
    return (table,) if table_travels(table) else None


def _batch(table: Any) -> Any:
    import pyarrow

    columns = [_one_array(column) for column in table.columns]
    if not columns and table.num_rows:
        raise RemoteProtocolError("a RecordBatch has rows without columns")
    return pyarrow.RecordBatch.from_arrays(columns, schema=table.schema)


def _one_array(column: Any) -> Any:
    import pyarrow

    if column.num_chunks == 1:
        return column.chunk(0)
    if not column.num_chunks:
        return pyarrow.array([], column.type)
    return pyarrow.concat_arrays(column.chunks)


def _array_apart(values: Any) -> Parts | None:
    import pyarrow

    table = pyarrow.table({"": values})
    return (table,) if table_travels(table) else None


def _only_column(table: Any) -> Any:
    if table.column_names != [""]:
        raise RemoteProtocolError("an array of Arrow has not one column")
    return table.column(0)


def _load_pyarrow() -> None:
    import pyarrow

    takes = ((pyarrow.Table,),)
    register(
        pyarrow.RecordBatch, Kind("pyarrow.RecordBatch", ATTRIBUTE, _batch_apart, _batch, takes)
    )
    register(
        pyarrow.ChunkedArray,
        Kind("pyarrow.ChunkedArray", ATTRIBUTE, _array_apart, _only_column, takes),
    )
    array = Kind(
        "pyarrow.Array",
        ATTRIBUTE,
        _array_apart,
        lambda table: _one_array(_only_column(table)),
        takes,
    )
    for cls in vars(pyarrow).values():
        # Those of extension types have classes of their own.
        if isinstance(cls, type) and issubclass(cls, pyarrow.Array):
            register(cls, array)


# ---- polars


def _polars_frame_apart(frame: Any) -> Parts | None:
    try:
        # polars has types that Arrow has not.
        empty = _polars_frame(frame.head(0).to_arrow())
        if empty.schema != frame.schema or not frame.width:
            return None
        table = frame.to_arrow()
    except Exception:  # pyarrow is missing, or does not know a type
        return None
    return (table,) if table_travels(table) else None


def _polars_frame(table: Any) -> Any:
    import polars

    frame = polars.DataFrame(table)
    frame.columns = table.column_names  # polars gives names to columns without one
    return frame


def _polars_series_apart(series: Any) -> Parts | None:
    return _polars_frame_apart(series.to_frame())


def _polars_series(table: Any) -> Any:
    frame = _polars_frame(table)
    if frame.width != 1:
        raise RemoteProtocolError("a Series of polars has not one column")
    return frame.to_series()


def _load_polars() -> None:
    import polars

    try:
        import pyarrow
    except ImportError:  # who reads a table says so
        return
    takes = ((pyarrow.Table,),)
    register(
        polars.DataFrame,
        Kind("polars.DataFrame", ATTRIBUTE, _polars_frame_apart, _polars_frame, takes),
    )
    register(
        polars.Series,
        Kind("polars.Series", ATTRIBUTE, _polars_series_apart, _polars_series, takes),
    )


def load(library: str) -> None:
    """Register the kinds of a library."""
    if library == "polars":
        _load_polars()
    else:
        _load_pyarrow()
