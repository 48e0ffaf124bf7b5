"""The kinds of numpy: dtypes, arrays of records and of objects, masked arrays, matrices.

An array whose elements are plain bytes and that is of no derived class travels on its own, as
`nbrpc.objects.arrays` has it. Every other one is a variant and its parts:

* ``plain``: such an array;
* ``structured``: the form of the dtype, the shape, the order, and the bytes as an array;
* ``objects``: the shape and a list;
* ``texts``: the shape and the parts of `nbrpc.objects.kinds.texts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.arrays import LARGEST_EMPTY, MAX_DIMENSIONS, check_characters, is_array
from nbrpc.objects.kinds import ATTRIBUTE, SHALLOW, Kind, Takes, register
from nbrpc.objects.kinds.dtypes import dtype_of, form_of
from nbrpc.objects.kinds.elements import are_plain, arrived_plain
from nbrpc.objects.kinds.texts import TEXTS, texts_apart, texts_together

__all__ = ["array_apart", "array_together", "load"]

Parts = tuple[object, ...]

VARIANT: tuple[Takes, ...] = ((str,), None)


# ---- arrays


def array_apart(array: Any) -> Parts | None:
    """Give the variant and parts of an array of no derived class; None if it cannot be copied."""
    if is_array(array):
        return "plain", array
    dtype = array.dtype
    if dtype.hasobject:
        return _objects_apart(array) if form_of(dtype, objects=True) == "|O" else None
    form = form_of(dtype) if dtype.itemsize else None
    if form is None:
        return None
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = array.T.reshape(-1) if order == "F" else numpy.ascontiguousarray(array).reshape(-1)
    return "structured", form, array.shape, order, flat.view(numpy.uint8)


def array_together(variant: str, *parts: Any) -> Any:
    """Make the array of a variant.

    Raises
    ------
    RemoteProtocolError
        There is no such variant, or these are not its parts.
    """
    entry = VARIANTS.get(variant)
    if entry is None:
        raise RemoteProtocolError(f"an array of variant {variant[:40]!r} arrived")
    takes, make = entry
    if tuple(map(type, parts)) not in takes:
        raise RemoteProtocolError(f"an array of variant {variant!r} has parts that are none")
    return make(*parts)


def _objects_apart(array: Any) -> Parts | None:
    items = array.ravel().tolist()  # an item that is a list stays one
    texts = texts_apart(items) if items else None
    if texts is not None:
        return "texts", array.shape, *texts
    return ("objects", array.shape, items) if are_plain(items) else None


def _plain(array: Any) -> Any:
    if not is_array(array):
        raise RemoteProtocolError("an array is not of plain bytes")
    return array


def _structured(form: Any, shape: tuple[Any, ...], order: str, raw: Any) -> Any:
    dtype = dtype_of(form)
    if raw.dtype != numpy.uint8 or raw.ndim != 1 or order not in {"C", "F"} or not dtype.itemsize:
        raise RemoteProtocolError("an array has parts that are none")
    if _elements(shape) * dtype.itemsize != raw.nbytes:
        raise RemoteProtocolError("the shape of an array does not fit its data")
    if math.prod(size or 1 for size in shape) * dtype.itemsize > raw.nbytes + LARGEST_EMPTY:
        raise RemoteProtocolError("an array without elements has too large a shape")
    if dtype.subdtype is not None:
        raise RemoteProtocolError("an array has subarrays for elements")
    array = raw.view(dtype).reshape(shape, order=order)
    check_characters(array)
    return array


def _objects(shape: tuple[Any, ...], items: list[Any]) -> Any:
    if not arrived_plain(items):
        raise RemoteProtocolError("an array has an element that is not plain")
    return _of_objects(shape, items)


def _texts(shape: tuple[Any, ...], *parts: Any) -> Any:
    return _of_objects(shape, texts_together(*parts))


def _of_objects(shape: tuple[Any, ...], items: list[Any]) -> Any:
    if _elements(shape) != len(items):
        raise RemoteProtocolError("the shape of an array does not fit its elements")
    if math.prod(size or 1 for size in shape) * 8 > len(items) * 8 + LARGEST_EMPTY:
        raise RemoteProtocolError("an array without elements has too large a shape")
    return numpy.fromiter(items, numpy.dtype("O"), len(items)).reshape(shape)


def _elements(shape: tuple[Any, ...]) -> int:
    if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise RemoteProtocolError("an array has a shape that is none")
    return math.prod(shape)


_FORMS = (str, tuple)

VARIANTS: dict[str, tuple[frozenset[tuple[type, ...]], Callable[..., Any]]] = {
    "plain": (frozenset({(numpy.ndarray,)}), _plain),
    "structured": (frozenset((form, tuple, str, numpy.ndarray) for form in _FORMS), _structured),
    "objects": (frozenset({(tuple, list)}), _objects),
    "texts": (
        frozenset((tuple, bytes, numpy.ndarray, codes) for codes in TEXTS[2]),
        _texts,
    ),
}
"""From a variant to the classes that its parts may have, and the function that makes the array."""


# ---- arrays of derived classes


def _base(array: Any) -> Any:
    return array.view(numpy.ndarray)


def _other_array(array: Any) -> Parts | None:
    return None if is_array(array) else array_apart(_base(array))


def _matrix(*parts: Any) -> Any:
    array = array_together(*parts)
    if array.ndim != 2:
        raise RemoteProtocolError("a matrix has other than two dimensions")
    return array.view(numpy.matrix)


def _recarray_apart(array: Any) -> Parts | None:
    return None if vars(array) else array_apart(_base(array))


def _recarray(*parts: Any) -> Any:
    array = array_together(*parts)
    made = array.view(numpy.recarray)
    if made.dtype.type is not array.dtype.type:
        raise RemoteProtocolError("a recarray has a dtype that none has")
    return made


# ---- masked arrays


def _masked_apart(array: Any) -> Parts | None:
    if array.baseclass is not numpy.ndarray or array._optinfo or array._basedict:  # noqa: SLF001 - what the user added
        return None
    data = array_apart(array.data)
    mask = numpy.ma.getmask(array)
    # The public fill_value would be set by looking at it.
    fill = array._fill_value  # noqa: SLF001 - as above
    parts = (
        data,
        None if mask is numpy.ma.nomask else array_apart(numpy.asarray(mask)),
        None if fill is None else array_apart(numpy.asarray(fill)),
    )
    if data is None or (mask is not numpy.ma.nomask and parts[1] is None):
        return None
    if fill is not None and parts[2] is None:
        return None
    return *parts, bool(array.hardmask), bool(array.sharedmask)


def _masked(data: Any, mask: Any, fill: Any, hard: bool, shared: bool) -> Any:  # noqa: FBT001 - parts
    array = _nested(data)
    covered: Any = numpy.ma.nomask
    if mask is not None:
        covered = _nested(mask)
        if covered.shape != array.shape or covered.dtype != numpy.ma.make_mask_descr(array.dtype):
            raise RemoteProtocolError("the mask of an array does not fit it")
    made: Any = numpy.ma.MaskedArray(array, mask=covered, hard_mask=hard, copy=False)
    if fill is not None:
        value = _nested(fill)
        if value.shape or not _fills(value.dtype, array.dtype):
            raise RemoteProtocolError("the fill value of an array does not fit it")
        made._fill_value = value  # noqa: SLF001 - the setter would convert it
    if not shared:
        made.unshare_mask()
    return made


def _fills(value: Any, dtype: Any) -> bool:
    """Whether a fill value of one dtype is of another; texts may be of another length."""
    return bool(value == dtype or (value.kind == dtype.kind and value.kind in "USmM"))


def _nested(parts: tuple[Any, ...]) -> Any:
    if not parts or type(parts[0]) is not str:
        raise RemoteProtocolError("a masked array has parts that are none")
    return array_together(*parts)


# ---- scalars and dtypes


def _void_apart(value: Any) -> Parts | None:
    form = form_of(value.dtype) if value.dtype.itemsize else None
    return None if form is None else (form, value.tobytes())


def _void(form: Any, data: bytes) -> Any:
    dtype = dtype_of(form)
    if dtype.kind != "V" or dtype.subdtype is not None or not dtype.itemsize:
        raise RemoteProtocolError("a record of numpy has a dtype that none has")
    if len(data) != dtype.itemsize:
        raise RemoteProtocolError("a record of numpy does not fit its dtype")
    array = numpy.frombuffer(bytearray(data), dtype)  # a record of bytes could not be written
    check_characters(array)
    return array[0]


def _dtype_apart(dtype: Any) -> Parts | None:
    form = form_of(dtype, objects=True)
    return None if form is None else (form,)


def load(_library: str) -> None:
    """Register the kinds of this module."""
    kinds: dict[type, Kind] = {
        numpy.matrix: Kind(
            "numpy.matrix",
            ATTRIBUTE,
            lambda array: array_apart(_base(array)),
            _matrix,
            VARIANT,
            more=True,
        ),
        numpy.recarray: Kind(
            "numpy.recarray", ATTRIBUTE, _recarray_apart, _recarray, VARIANT, more=True
        ),
        numpy.ma.MaskedArray: Kind(
            "numpy.ma.MaskedArray",
            ATTRIBUTE,
            _masked_apart,
            _masked,
            ((tuple,), (tuple, NoneType), (tuple, NoneType), (bool,), (bool,)),
        ),
        type(numpy.ma.masked): Kind(
            "numpy.ma.masked", SHALLOW, lambda _masked: (), lambda: numpy.ma.masked, ()
        ),
    }
    array = Kind("numpy.ndarray", ATTRIBUTE, _other_array, array_together, VARIANT, more=True)
    kinds |= dict.fromkeys((numpy.ndarray, numpy.memmap), array)
    void = Kind("numpy.void", ATTRIBUTE, _void_apart, _void, (_FORMS, (bytes,)))
    kinds |= dict.fromkeys((numpy.void, numpy.record), void)
    dtype = Kind(
        "numpy.dtype",
        SHALLOW,
        _dtype_apart,
        lambda form: dtype_of(form, objects=True),
        (_FORMS,),
    )
    classes = [cls for cls in vars(numpy.dtypes).values() if isinstance(cls, type)]
    kinds |= dict.fromkeys((cls for cls in classes if issubclass(cls, numpy.dtype)), dtype)
    for cls, kind in kinds.items():
        register(cls, kind)
