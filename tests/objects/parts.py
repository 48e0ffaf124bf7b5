"""Values are taken apart and put together as on the wire, without one."""

import datetime
import decimal

import numpy
import pyarrow

from nbrpc.objects import arrays
from nbrpc.objects.kinds import arrow, kind_of, rebuild

KNOWN = "^(?!a value of kind)"
"""What is said of parts that are refused, and not of a kind that there is not."""

LIBRARIES = {"pandas", "polars", "pyarrow", "xarray"}


def copied(value):
    """Copy a value as the wire does: each part anew, and nothing that has no kind."""
    if type(value).__module__.partition(".")[0] in LIBRARIES and type(value) is not pyarrow.Table:
        kind = kind_of(type(value))
        parts = kind.apart(value)
        assert parts is not None, f"{type(value)} does not travel"
        return rebuild(kind.name, [copied(part) for part in parts])
    if type(value) in {tuple, list}:
        return type(value)(map(copied, value))
    if type(value) is dict:
        return {copied(key): copied(item) for key, item in value.items()}
    if type(value) is numpy.ndarray:
        return copied_array(value)
    if type(value) is pyarrow.Table:
        buffers = []
        arrow.write_table(value, lambda data: buffers.append(bytearray(data)) or 0)
        return arrow.read_table(memoryview(buffers[0]))
    plain = (
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        decimal.Decimal,
        numpy.generic,
        numpy.dtype,
    )
    assert isinstance(value, (*plain, datetime.date, datetime.timedelta, datetime.tzinfo))
    return value


def copied_array(value):
    """Copy an array, each of its elements if they are objects."""
    if value.dtype == object:
        made = numpy.empty(value.shape, object)
        made.reshape(-1)[:] = [copied(item) for item in value.reshape(-1)]
        return made
    assert arrays.is_array(value)
    return value.copy(order="K")


def travels(value):
    """Whether a value has parts."""
    kind = kind_of(type(value))
    return kind is not None and kind.apart(value) is not None
