"""Arrays and tables, by value and without pickle; numpy, pandas, polars and pyarrow when present.

An array travels as dtype, shape and one out-of-band buffer; a table as an Arrow IPC stream. Object
dtypes are refused: their elements would need pickle.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import arrow
from nbrpc.protocol.codec import Array, Packed, Table

__all__ = [
    "box_array",
    "box_scalar",
    "box_table",
    "pack_numbers",
    "unbox_array",
    "unbox_table",
]

DTYPE = re.compile(r"[<>|=][biufcSUMm?]\d{1,9}(\[\w{1,20}\])?")
"""What `numpy.dtype.str` gives for dtypes whose elements are plain bytes."""

MAX_DIMENSIONS = 64
"""numpy's own limit; the product of more sizes could take minutes."""


def box_scalar(value: Any) -> Array | None:
    """Box a numpy scalar, or give None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return None
    if type(value).__module__ != "numpy" or not DTYPE.fullmatch(value.dtype.str):
        return None
    # An empty text gives one byte, for the NUL that C puts behind it.
    return Array(value.dtype.str, None, -1, value.tobytes()[: value.dtype.itemsize])


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
    dtype = value.dtype
    if (
        isinstance(value, numpy.ma.MaskedArray)
        or not DTYPE.fullmatch(dtype.str)
        or not dtype.itemsize
    ):
        raise NotSendable(
            f"an array of dtype {dtype} cannot travel by value; convert it to numbers, "
            "fixed-width text or dates"
        )
    flat = numpy.ascontiguousarray(value).reshape(-1)
    return Array(dtype.str, list(value.shape), attach(memoryview(flat.view(numpy.uint8))))


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
        data = memoryview(box.data) if box.shape is None else buffer(box.index)
        if len(shape) > MAX_DIMENSIONS or any(size < 0 for size in shape):
            raise RemoteProtocolError("an array has a shape that is none")
        if math.prod(shape) * dtype.itemsize != data.nbytes:
            raise RemoteProtocolError("the shape of an array does not fit its data")
        if not dtype.itemsize:
            return _empty_text(dtype, box)
        array = numpy.frombuffer(data, dtype).reshape(shape)
        return array[()] if box.shape is None else array
    except (TypeError, ValueError, IndexError) as error:
        raise RemoteProtocolError(f"an array cannot be read: {error}") from None


def _empty_text(dtype: Any, box: Array) -> object:
    """Give ``numpy.str_("")`` or ``numpy.bytes_(b"")``, of which frombuffer makes none."""
    if box.shape is not None:
        raise RemoteProtocolError("an array has elements of no size")
    return dtype.type()


def box_table(value: Any, attach: Callable[[memoryview], int]) -> Table | None:
    """Box a table of pandas, polars or pyarrow, or give None for anything else."""
    try:
        kind, table = _as_arrow(value)
        if kind is None:
            return None
        pyarrow = _import("pyarrow", "a table")
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        arrow.check(table, data.size)
    except NotSendable:
        raise
    except Exception as error:
        raise NotSendable(
            f"a {type(value).__name__} cannot travel as an Arrow table: {error}; convert its "
            "columns to numbers, text or dates"
        ) from error
    return Table(kind, attach(memoryview(data)))


def _as_arrow(value: Any) -> tuple[str | None, Any]:
    """Give the kind of a table and the same as an Arrow table."""
    pandas, polars, pyarrow = (sys.modules.get(name) for name in ("pandas", "polars", "pyarrow"))
    if pandas is not None and isinstance(value, pandas.Series):
        kind = "nameless" if value.name is None else "series"
        frame = value.to_frame("" if value.name is None else value.name)
        return kind, _import("pyarrow", "a pandas series").Table.from_pandas(frame)
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return "pandas", _import("pyarrow", "a pandas table").Table.from_pandas(value)
    if polars is not None and isinstance(value, polars.DataFrame):
        return "polars", value.to_arrow()
    if pyarrow is not None and isinstance(value, pyarrow.Table):
        return "arrow", value
    return None, None


def unbox_table(box: Table, buffer: Callable[[int], memoryview]) -> object:
    """Make the table that was boxed.

    Raises
    ------
    RemoteProtocolError
        The data is no Arrow stream, or one that an honest peer does not send.
    NotSendable
        The library that it needs is not installed here.
    """
    convert = TABLES.get(box.kind)
    if convert is None:
        raise RemoteProtocolError(f"a table of kind {box.kind[:40]!r} arrived")
    pyarrow = _import("pyarrow", "a table")
    data = buffer(box.index)
    try:
        return convert(arrow.read(pyarrow, data))
    except NotSendable:
        raise
    except Exception as error:
        raise RemoteProtocolError(f"a table cannot be read: {error}") from None


def _pandas_frame(table: Any) -> Any:
    _import("pandas", "a pandas table")
    return table.to_pandas()


def _pandas_series(table: Any) -> Any:
    return _pandas_frame(table).iloc[:, 0]


TABLES: dict[str, Callable[[Any], Any]] = {
    "arrow": lambda table: table,
    "nameless": lambda table: _pandas_series(table).rename(None),
    "pandas": _pandas_frame,
    "polars": lambda table: _import("polars", "a polars table").DataFrame(table),
    "series": _pandas_series,
}
"""From the kind of a table on the wire to the function that makes it of an Arrow table."""


def _import(module: str, what: str) -> Any:
    """Import a library that a value needs."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotSendable(f"{what} needs {module}, which is not installed here: {error}") from None


def pack_numbers(obj: list[Any], kinds: set[type], attach: Callable[[Any], int]) -> Packed | None:
    """Pack a long list of floats or of 64-bit ints into one buffer; None where that is not it."""
    if kinds == {float}:
        return Packed("d", attach(array("d", obj)))
    if kinds == {int}:
        try:
            return Packed("q", attach(array("q", obj)))
        except OverflowError:
            return None
    return None
