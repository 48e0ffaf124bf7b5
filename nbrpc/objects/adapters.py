"""Arrays and tables, by value and without pickle; numpy, pandas, polars and pyarrow when present.

An array travels as dtype, shape and one out-of-band buffer; a table as an Arrow IPC stream. Object
dtypes are refused: their elements would need pickle.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.protocol.codec import Array, Table

__all__ = ["box_array", "box_scalar", "box_table", "unbox_array", "unbox_table"]

DTYPE = re.compile(r"[<>|=][biufcSUMm?]\d{1,9}(\[\w{1,20}\])?")
"""What `numpy.dtype.str` gives for dtypes whose elements are plain bytes."""


def box_scalar(value: Any) -> Array | None:
    """Box a numpy scalar, or give None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return None
    if type(value).__module__ != "numpy" or not DTYPE.fullmatch(value.dtype.str):
        return None
    # A scalar is small: its bytes travel inside the message, as latin-1 text of the dtype field's
    # neighbour would be obscure, so the index -1 says that they follow the shape.
    return Array(value.dtype.str, list(value.tobytes()), -1)


def box_array(value: Any, attach: Callable[[memoryview], int]) -> Array | None:
    """Box a numpy array, or give None for anything else.

    Parameters
    ----------
    attach
        Takes a buffer and gives its number in the message.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return None
    if isinstance(value, numpy.ma.MaskedArray) or not DTYPE.fullmatch(value.dtype.str):
        raise NotSendable(
            f"an array of dtype {value.dtype} cannot travel by value; convert it to numbers, "
            "fixed-width text or dates"
        )
    flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)
    return Array(value.dtype.str, list(value.shape), attach(memoryview(flat)))


def unbox_array(box: Array, buffer: Callable[[int], memoryview]) -> object:
    """Make the array or scalar that was boxed; an array owns its memory and can be written.

    Raises
    ------
    RemoteProtocolError
        Dtype, shape and data do not agree.
    NotSendable
        numpy is not installed here.
    """
    numpy = _import("numpy", "an array")
    if not DTYPE.fullmatch(box.dtype):
        raise RemoteProtocolError(f"an array of dtype {box.dtype[:40]!r} arrived")
    try:
        dtype = numpy.dtype(box.dtype)
        shape = box.shape or []
        if box.index < 0:
            return numpy.frombuffer(bytes(shape), dtype)[0]
        data = buffer(box.index)
        if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != data.nbytes:
            raise RemoteProtocolError("the shape of an array does not fit its data")
        return numpy.frombuffer(data, dtype).reshape(shape)
    except (TypeError, ValueError, IndexError) as error:
        raise RemoteProtocolError(f"an array cannot be read: {error}") from None


def box_table(value: Any, attach: Callable[[memoryview], int]) -> Table | None:
    """Box a table of pandas, polars or pyarrow, or give None for anything else."""
    kind, table = _as_arrow(value)
    if kind is None:
        return None
    pyarrow = _import("pyarrow", "a table")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Table(kind, attach(memoryview(sink.getvalue())))


def _as_arrow(value: Any) -> tuple[str | None, Any]:
    """Give the kind of a table and the same as an Arrow table."""
    pandas, polars, pyarrow = (sys.modules.get(name) for name in ("pandas", "polars", "pyarrow"))
    try:
        if pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series)):
            arrow = _import("pyarrow", "a pandas table")
            if isinstance(value, pandas.Series):
                name = "" if value.name is None else value.name
                return "series", arrow.Table.from_pandas(value.to_frame(name))
            return "pandas", arrow.Table.from_pandas(value)
        if polars is not None and isinstance(value, polars.DataFrame):
            return "polars", value.to_arrow()
        if pyarrow is not None and isinstance(value, pyarrow.Table):
            return "arrow", value
    except NotSendable:
        raise
    except Exception as error:
        raise NotSendable(
            f"a {type(value).__name__} cannot travel as an Arrow table: {error}; convert its "
            "columns to numbers, text or dates"
        ) from error
    return None, None


def unbox_table(box: Table, buffer: Callable[[int], memoryview]) -> object:
    """Make the table that was boxed.

    Raises
    ------
    RemoteProtocolError
        The data is no Arrow stream.
    NotSendable
        The library that it needs is not installed here.
    """
    pyarrow = _import("pyarrow", "a table")
    try:
        table = pyarrow.ipc.open_stream(pyarrow.py_buffer(buffer(box.index))).read_all()
    except Exception as error:
        raise RemoteProtocolError(f"a table cannot be read: {error}") from None
    if box.kind == "arrow":
        return table
    if box.kind == "polars":
        return _import("polars", "a polars table").from_arrow(table)
    if box.kind not in {"pandas", "series"}:
        raise RemoteProtocolError(f"a table of kind {box.kind[:40]!r} arrived")
    _import("pandas", "a pandas table")
    frame = table.to_pandas()
    if box.kind == "pandas":
        return frame
    series = frame.iloc[:, 0]
    if series.name == "":
        series.name = None
    return series


def _import(module: str, what: str) -> Any:
    """Import a library that a value needs."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotSendable(f"{what} needs {module}, which is not installed here: {error}") from None
