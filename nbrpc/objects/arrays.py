"""Arrays and numbers of numpy, by value and without pickle.

An array travels as dtype, shape and one out-of-band buffer. Arrays of objects and of structured
dtypes are made of parts, as `nbrpc.objects.kinds.numeric` has it.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable
from typing import Any

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.protocol.codec import Array, Packed

__all__ = [
    "box_array",
    "box_scalar",
    "check_characters",
    "is_array",
    "pack_numbers",
    "unbox_array",
]

DTYPE = re.compile(r"[<>|=][biufcSUMm?]\d{1,9}(\[\w{1,20}\])?")
"""What `numpy.dtype.str` gives for dtypes whose elements are plain bytes."""

LARGEST_EMPTY = 64 * 1024 * 1024
"""Bytes that an array without elements would have if no side of it were 0."""

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


def is_array(value: Any) -> bool:
    """Whether this is an array of numpy, of no class derived from it, whose elements are bytes."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (type(value) is numpy.ndarray or type(value) is numpy.memmap):
        return False
    return bool(DTYPE.fullmatch(value.dtype.str) and value.dtype.itemsize)


def box_array(value: Any, attach: Callable[[memoryview], int]) -> Array:
    """Box an array.

    Parameters
    ----------
    attach
        Takes a buffer and gives its number in the message.
    """
    numpy = sys.modules["numpy"]
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    flat = value.T.reshape(-1) if order == "F" else numpy.ascontiguousarray(value).reshape(-1)
    index = attach(memoryview(flat.view(numpy.uint8)))
    return Array(value.dtype.str, list(value.shape), index, order=order)


def unbox_array(box: Array, buffer: Callable[[int], memoryview]) -> object:
    """Make the array or scalar that was boxed; an array owns its memory and can be written.

    Raises
    ------
    RemoteProtocolError
        Dtype, shape and data do not agree.
    NotSendable
        numpy is not installed here.
    """
    numpy: Any
    try:
        import numpy
    except ImportError as error:
        raise NotSendable(f"an array needs numpy, which is not installed here: {error}") from None
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
        if math.prod(size or 1 for size in shape) * dtype.itemsize > data.nbytes + LARGEST_EMPTY:
            raise RemoteProtocolError("an array without elements has too large a shape")
        if not dtype.itemsize:
            return _empty_text(dtype, box)
        if box.order not in {"C", "F"}:
            raise RemoteProtocolError("an array has an order that is none")
        array = numpy.frombuffer(data, dtype).reshape(shape, order=box.order)
        check_characters(array)
        return array[()] if box.shape is None else array
    except (TypeError, ValueError, IndexError) as error:
        raise RemoteProtocolError(f"an array cannot be read: {error}") from None


def check_characters(array: Any) -> None:
    """Check the texts in an array that arrived: numpy trusts that their numbers are characters.

    Raises
    ------
    RemoteProtocolError
        They are not.
    """
    import numpy

    dtype = array.dtype
    if dtype.kind == "U" and array.size and dtype.itemsize:
        numbers = numpy.ascontiguousarray(array).reshape(-1).view(dtype.str[0] + "u4")
        if int(numbers.max()) > sys.maxunicode:
            raise RemoteProtocolError("an array has a text with a number that is no character")
    for name in dtype.names or ():
        check_characters(array[name])


def _empty_text(dtype: Any, box: Array) -> object:
    """Give ``numpy.str_("")`` or ``numpy.bytes_(b"")``, of which frombuffer makes none."""
    if box.shape is not None:
        raise RemoteProtocolError("an array has elements of no size")
    return dtype.type()


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
