"""What of Arrow's stream format is taken from a peer: known types, valid, of honest size.

pyarrow trusts what it reads. Offsets that point outside of a buffer are followed when the values
are used, compressed buffers grow to any size, and a column of nulls or a view type may claim more
values than there are bytes. So a stream is read only if it is not compressed, its types are known
ones, all of its arrays are valid, and its values would take at most `AMPLIFICATION` times its bytes
as objects of Python.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["check", "read"]

AMPLIFICATION = 64
"""Bytes of memory for one byte of the stream: what a column of bools with gaps takes in pandas."""

ALLOWANCE = 1024 * 1024
"""Bytes of memory that a table may take however short it is."""

DICTIONARY_BATCH = 2
RECORD_BATCH = 3


def read(pyarrow: Any, data: memoryview) -> Any:
    """Give the Arrow table in a stream.

    Raises
    ------
    Exception
        It is not one, or not one that is taken from a peer; the message says which.
    """
    buffer = pyarrow.py_buffer(data)
    for message in pyarrow.ipc.MessageReader.open_stream(buffer):
        if _is_compressed(memoryview(message.metadata)):
            raise ValueError("it is compressed")
    with pyarrow.ipc.open_stream(buffer) as stream:
        for field in stream.schema:
            _check_type(pyarrow.types, field.type)
        table = stream.read_all()
    table.validate(full=True)
    check(table, len(data))
    return table


def check(table: Any, size: int) -> None:
    """Refuse a table that a peer would not take.

    Parameters
    ----------
    size
        Bytes of its stream.

    Raises
    ------
    ValueError
        The message says why.
    """
    import pyarrow

    for field in table.schema:
        _check_type(pyarrow.types, field.type)
    cost = sum(_cost(pyarrow.types, chunk) for column in table.columns for chunk in column.chunks)
    if cost > ALLOWANCE + AMPLIFICATION * size:
        raise ValueError(f"its {table.num_rows:,} rows hold next to no data")


def _is_compressed(metadata: memoryview) -> bool:
    """Whether a message of a stream has a compressed body; reads Arrow's Message.fbs by hand.

    References
    ----------
    https://github.com/apache/arrow/blob/main/format/Message.fbs
    """

    def field(table: int, number: int) -> int:
        """Give the offset of a field within a flatbuffers table, 0 when it is absent."""
        vtable = table - struct.unpack_from("<i", metadata, table)[0]
        at = 4 + 2 * number
        if at >= struct.unpack_from("<H", metadata, vtable)[0]:
            return 0
        return int(struct.unpack_from("<H", metadata, vtable + at)[0])

    def follow(position: int) -> int:
        return position + int(struct.unpack_from("<I", metadata, position)[0])

    message = follow(0)
    kind = metadata[message + field(message, 1)]
    header = follow(message + field(message, 2))
    if kind == DICTIONARY_BATCH:
        header = follow(header + field(header, 1))
    return kind in {DICTIONARY_BATCH, RECORD_BATCH} and field(header, 3) != 0


def _check_type(types: Any, kind: Any, *, nested: bool = False) -> None:
    """Refuse the types whose values may overlap or outnumber their bytes without bound."""
    if hasattr(kind, "storage_type"):
        _check_type(types, kind.storage_type, nested=nested)
    elif types.is_dictionary(kind):
        if nested:
            raise ValueError(f"it has a dictionary inside another type ({kind})")
        _check_type(types, kind.value_type, nested=True)
    elif _is_list(types, kind):
        _check_type(types, kind.value_type, nested=True)
    elif types.is_struct(kind):
        for field in kind:
            _check_type(types, field.type, nested=True)
    elif types.is_map(kind):
        _check_type(types, kind.key_type, nested=True)
        _check_type(types, kind.item_type, nested=True)
    elif not (
        types.is_null(kind)
        or types.is_primitive(kind)
        or types.is_decimal(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    ):
        raise ValueError(f"its type {kind} is not one of those that travel")


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _cost(types: Any, array: Any) -> int:
    """Give about how many bytes an array takes as objects of Python."""
    kind, length = array.type, len(array)
    if hasattr(kind, "storage_type"):
        return _cost(types, array.storage)
    if types.is_dictionary(kind):
        return 8 * length + _cost(types, array.dictionary)
    if _is_list(types, kind) or types.is_map(kind):
        return 120 * length + _cost(types, array.values)
    if types.is_struct(kind):
        return 240 * length + sum(_cost(types, array.field(i)) for i in range(kind.num_fields))
    if types.is_boolean(kind) or types.is_null(kind) or types.is_integer(kind):
        return 8 * length
    if types.is_floating(kind) or types.is_timestamp(kind) or types.is_duration(kind):
        return 8 * length
    return 64 * length
