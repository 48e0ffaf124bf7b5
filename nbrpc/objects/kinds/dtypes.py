"""Dtypes of numpy as forms: texts and tuples of a closed grammar, with byte order and offsets.

A form is one of

* a text, what ``dtype.str`` gives: ``<f8``, ``|S12``, ``<M8[ns]``, ``|V8``, ``|O``;
* ``(text, char)``: the same, of a C type that has its size but not its name, as ``longlong`` has;
* ``(form, shape)``: a dtype of subarrays;
* ``(itemsize, aligned, is_record, fields)``, each field ``(name, title, offset, form)``.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects.arrays import MAX_DIMENSIONS

__all__ = ["LARGEST_ITEM", "Form", "dtype_of", "form_of"]

Form = str | tuple[Any, ...]

LARGEST_ITEM = 2**30
"""Bytes of one element."""

MOST_FIELDS = 10_000
"""Fields of a dtype, those of its fields included."""

MAX_DEPTH = 16

PLAIN = re.compile(r"[<>|]([biufcSUMm]\d{1,9}(\[\w{1,20}\])?|V\d{1,9}|b1|M8|m8)")

C_TYPES = frozenset("bBhHiIlLqQfdgFDG")
"""Characters of the types of C, of which two may have the same size."""


def form_of(dtype: Any, *, objects: bool = False) -> Form | None:
    """Give the form of a dtype; None where it would not come back exactly.

    Parameters
    ----------
    objects
        Whether it may be the dtype of objects; a field never is.
    """
    if objects and dtype.str == "|O":
        return "|O" if dtype.metadata is None and type(dtype) is type(numpy.dtype("O")) else None
    try:
        form = _form(dtype, 0)
        if form is None:
            return None
        made = dtype_of(form)
    except (NotSendable, RemoteProtocolError):
        return None
    same = made == dtype and type(made) is type(dtype) and made.type is dtype.type
    return form if same and made.isalignedstruct == dtype.isalignedstruct else None


def _form(dtype: Any, depth: int) -> Form | None:
    if dtype.metadata is not None or depth > MAX_DEPTH:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        form = _form(base, depth + 1)
        return None if form is None else (form, tuple(shape))
    if dtype.names is None:
        text = dtype.str
        if not PLAIN.fullmatch(text) or dtype.type is numpy.record:
            return None
        return text if numpy.dtype(text).char == dtype.char else (text, dtype.char)
    fields = []
    for name in dtype.names:
        inner, offset, *title = dtype.fields[name]
        form = _form(inner, depth + 1)
        if form is None or not all(type(text) is str for text in title):
            return None
        fields.append((name, title[0] if title else None, int(offset), form))
    return dtype.itemsize, dtype.isalignedstruct, dtype.type is numpy.record, tuple(fields)


def dtype_of(form: Any, *, objects: bool = False) -> Any:
    """Give the dtype of a form that came from the peer.

    Raises
    ------
    RemoteProtocolError
        It is no form.
    NotSendable
        The types of this machine are aligned in another way.
    """
    if objects and type(form) is str and form == "|O":
        return numpy.dtype("O")
    try:
        return _dtype(form, 0, [MOST_FIELDS])
    except (TypeError, ValueError, OverflowError) as error:
        raise RemoteProtocolError(f"a dtype cannot be read: {str(error)[:200]}") from None


def _dtype(form: Any, depth: int, left: list[int]) -> Any:
    """Make a dtype; ``left`` holds how many more fields there may be."""
    if depth > MAX_DEPTH:
        raise RemoteProtocolError("a dtype is nested too deeply")
    if type(form) is str:
        return _plain(form)
    if type(form) is tuple and len(form) == 2:
        return _c_type(*form) if type(form[1]) is str else _subarray(*form, depth, left)
    if type(form) is tuple and len(form) == 4:
        return _structured(*form, depth, left)
    raise RemoteProtocolError("a dtype has a form that is none")


def _plain(text: str) -> Any:
    if not PLAIN.fullmatch(text):
        raise RemoteProtocolError(f"a dtype {text[:40]!r} arrived")
    digits = re.match(r"\d+", text[2:])
    if digits and int(digits[0]) * (4 if text[1] == "U" else 1) > LARGEST_ITEM:
        raise RemoteProtocolError("a dtype has too large elements")
    return numpy.dtype(text)


def _c_type(text: Any, char: Any) -> Any:
    if type(text) is not str or char not in C_TYPES:
        raise RemoteProtocolError("a dtype has a form that is none")
    plain = _plain(text)
    # Elsewhere the type of that name may have another size; the dtype is equal without it.
    named = numpy.dtype(char)
    if named.str[0] != text[0]:
        named = named.newbyteorder()
    return named if named == plain else plain


def _subarray(base: Any, shape: Any, depth: int, left: list[int]) -> Any:
    if type(shape) is not tuple or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise RemoteProtocolError("a dtype has subarrays of no shape")
    if not all(type(size) is int and 0 <= size <= LARGEST_ITEM for size in shape):
        raise RemoteProtocolError("a dtype has subarrays of no shape")
    inner = _dtype(base, depth + 1, left)
    # Even with a 0 among them, no product of sizes may overflow in C.
    if math.prod(size or 1 for size in shape) * (inner.itemsize or 1) > LARGEST_ITEM:
        raise RemoteProtocolError("a dtype has too large elements")
    return numpy.dtype((inner, shape))


def _structured(
    itemsize: Any, aligned: Any, is_record: Any, fields: Any, depth: int, left: list[int]
) -> Any:
    if not (
        type(itemsize) is int
        and 0 <= itemsize <= LARGEST_ITEM
        and type(aligned) is bool
        and type(is_record) is bool
        and type(fields) is tuple
    ):
        raise RemoteProtocolError("a dtype has a form that is none")
    left[0] -= len(fields)
    if left[0] < 0:
        raise RemoteProtocolError("a dtype has too many fields")
    names, titles, offsets, formats = [], [], [], []
    for field in fields:
        if type(field) is not tuple or len(field) != 4:
            raise RemoteProtocolError("a field of a dtype has a form that is none")
        name, title, offset, form = field
        inner = _dtype(form, depth + 1, left)
        if (
            type(name) is not str
            or not (title is None or type(title) is str)
            or type(offset) is not int
            or not 0 <= offset <= itemsize - inner.itemsize
        ):
            raise RemoteProtocolError("a field of a dtype has a form that is none")
        names.append(name)
        titles.append(title)
        offsets.append(offset)
        formats.append(inner)
    kinds: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}
    if any(title is not None for title in titles):
        kinds["titles"] = titles
    made = _aligned(kinds) if aligned else numpy.dtype(kinds)
    if not fields:
        made = numpy.dtype([]) if not itemsize else made
    return numpy.dtype((numpy.record, made)) if is_record else made


def _aligned(kinds: Any) -> Any:
    try:
        return numpy.dtype(kinds, align=True)
    except ValueError as error:
        raise NotSendable(
            f"a dtype that is aligned for the other machine cannot be made here: {error}; send one "
            "that was made without align=True"
        ) from None
