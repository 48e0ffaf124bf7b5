"""Long rows of text: one buffer, where each text begins, and which of them are missing.

A column of a million texts is three parts of a message and not a million elements of it.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import NoneType
from typing import Any

import numpy

from nbrpc.errors import NotSendable, RemoteProtocolError

__all__ = ["TEXTS", "texts_apart", "texts_together"]

TEXTS = ((bytes,), (numpy.ndarray,), (numpy.ndarray, NoneType))
"""What the parts may be."""

TEXT, NONE, NAN, NA = range(4)
"""The codes: a text, None, a float nan and ``pandas.NA``."""

PLAIN_NAN = struct.pack("d", math.nan)


def texts_apart(items: Sequence[object]) -> tuple[bytes, Any, Any] | None:
    """Give the parts of a row of texts and missing values; None where there is anything else.

    Returns
    -------
    tuple or None
        All texts as UTF-8 with lone surrogates let through, the offset of each in it and the end
        of the last, and the code of each; None in place of the codes where all are texts.
    """
    codes: Any = None
    texts: Sequence[Any] = items
    classes = set(map(type, items))
    if classes != {str}:
        codes = _codes(items, classes)
        if codes is None:
            return None
        texts = [item if code == TEXT else "" for item, code in zip(items, codes, strict=True)]
        codes = numpy.frombuffer(codes, numpy.int8)
    joined = "".join(texts)
    if joined.isascii():
        data, lengths = joined.encode(), map(len, texts)
    else:
        # Each alone: two halves of a surrogate pair would otherwise become one character.
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        data, lengths = b"".join(encoded), map(len, encoded)
    offsets = numpy.zeros(len(texts) + 1, numpy.int64)
    numpy.cumsum(numpy.fromiter(lengths, numpy.int64, len(texts)), out=offsets[1:])
    return data, offsets, codes


def _codes(items: Sequence[object], classes: set[type]) -> bytearray | None:
    missing = _pandas_na()
    if not classes <= {str, NoneType, float} | ({type(missing)} if missing is not None else set()):
        return None
    codes = bytearray(len(items))
    for number, item in enumerate(items):
        if type(item) is str:
            continue
        if item is None:
            codes[number] = NONE
        elif item is missing:
            codes[number] = NA
        elif struct.pack("d", item) == PLAIN_NAN:
            codes[number] = NAN
        else:
            return None
    return codes


def texts_together(data: bytes, offsets: Any, codes: Any) -> list[Any]:
    """Give the texts and missing values of the parts.

    Raises
    ------
    RemoteProtocolError
        These are no such parts.
    NotSendable
        There is a ``pandas.NA`` in it, and pandas is not installed here.
    """
    if not (
        _is_row(offsets, numpy.int64)
        and len(offsets)
        and offsets[0] == 0
        and offsets[-1] == len(data)
        and bool((offsets[1:] >= offsets[:-1]).all())
    ):
        raise RemoteProtocolError("a row of texts has offsets that are none")
    if codes is not None and not (
        _is_row(codes, numpy.int8)
        and len(codes) == len(offsets) - 1
        and bool(((codes >= TEXT) & (codes <= NA)).all())
    ):
        raise RemoteProtocolError("a row of texts has codes that are none")
    places = pairwise(offsets.tolist())
    texts: list[Any]
    if data.isascii():
        text = data.decode("ascii")
        texts = [text[start:end] for start, end in places]
    else:
        try:
            texts = [data[start:end].decode("utf-8", "surrogatepass") for start, end in places]
        except UnicodeDecodeError:
            raise RemoteProtocolError("a text in a row is not UTF-8") from None
    if codes is not None:
        _put_missing(texts, codes)
    return texts


def _put_missing(texts: list[Any], codes: Any) -> None:
    values = (None, None, math.nan, _na() if bool((codes == NA).any()) else None)
    for number in numpy.flatnonzero(codes).tolist():
        if texts[number]:
            raise RemoteProtocolError("a missing value in a row of texts has a text")
        texts[number] = values[codes[number]]


def _is_row(array: Any, kind: Any) -> bool:
    return type(array) is numpy.ndarray and array.ndim == 1 and array.dtype == kind


def _pandas_na() -> Any:
    return getattr(sys.modules.get("pandas"), "NA", None)


def _na() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise NotSendable(
            f"a missing value of pandas needs pandas, which is not installed here: {error}"
        ) from None
    return pandas.NA
