"""The kinds of pandas: arrays of its own dtypes, as arrays of numpy and a dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pandas

from nbrpc.objects.kinds import ATTRIBUTE, Kind, register
from nbrpc.objects.kinds.arrow import table_travels
from nbrpc.objects.kinds.frame_values import (
    UNITS,
    check,
    fits_zone,
    offset_travels,
    travels,
    zone_for_wire,
    zone_travels,
)

__all__ = ["ARRAYS", "INSTANTS", "SPANS", "is_row", "load_arrays", "values_of", "zoned"]

INSTANTS = frozenset(f"M8[{unit}]" for unit in UNITS)
SPANS = frozenset(f"m8[{unit}]" for unit in UNITS)
"""What `numpy.dtype.str` gives for dates and for spans of time, without the order of bytes."""

MASKED = {
    "BooleanArray": frozenset({"b1"}),
    "FloatingArray": frozenset({"f4", "f8"}),
    "IntegerArray": frozenset(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)),
}

Parts = tuple[object, ...]


def values_of(column: Any) -> Any:
    """Give the array of numpy or of pandas that is in an index or a column."""
    # pandas has arrays of its own for instants and spans of numpy; they only add methods.
    return column.to_numpy() if isinstance(column.dtype, numpy.dtype) else column.array


def is_row(array: Any, kinds: frozenset[str]) -> bool:
    """Whether this is an array of one dimension, in the machine's order, of one of these kinds."""
    return bool(
        type(array) is numpy.ndarray
        and array.ndim == 1
        and array.dtype.isnative
        and array.dtype.str[1:] in kinds
    )


def _is_mask(array: Any, length: int) -> bool:
    """Whether these are so many bools; a byte of a peer may be anything."""
    return (
        is_row(array, frozenset({"b1"}))
        and len(array) == length
        and not bool((array.view(numpy.uint8) > 1).any())
    )


# ---- numbers with a mask


def _masked_apart(array: Any) -> Parts | None:
    if array.ndim != 1:
        return None
    # There is no public way to the numbers that a mask hides without a copy of all.
    return array._data, array._mask  # noqa: SLF001 - pandas has no public name for them


def _masked_maker(name: str, cls: Any) -> Callable[[Any, Any], Any]:
    kinds = MASKED[name]

    def masked(data: Any, mask: Any) -> Any:
        check(is_row(data, kinds), f"the data of a {name} is of another kind")
        check(_is_mask(mask, len(data)), f"the mask of a {name} does not fit its data")
        if name == "BooleanArray":
            check(_is_mask(data, len(data)), "the data of a BooleanArray is of another kind")
        return cls(data, mask)

    return masked


# ---- text


def _text_apart(array: Any) -> Parts | None:
    if array.ndim != 1 or not travels(array.dtype):
        return None
    mask = array.isna()
    texts = array.to_numpy(dtype=object, na_value="")
    return (array.dtype, texts, mask) if set(map(type, texts)) <= {str} else None


def _text(dtype: Any, texts: Any, mask: Any) -> Any:
    check(is_row(texts, frozenset({"O"})), "text of pandas is no array of text")
    check(_is_mask(mask, len(texts)), "the mask of text does not fit it")
    check(set(map(type, texts)) <= {str}, "text of pandas holds what is no text")
    texts[mask] = dtype.na_value
    return pandas.array(texts, dtype=dtype, copy=False)


# ---- instants, spans and periods


def zoned(values: Any, zone: Any) -> Any:
    """Make an array of instants, which are counted in UTC."""
    array = pandas.array(values, dtype=values.dtype, copy=False)
    if zone is None:
        return array
    fits = fits_zone(values.view("i8"), array.unit)
    check(fits, "instants are in a year without zones")
    return array.tz_localize("UTC").tz_convert(zone)


def _instants_apart(array: Any) -> Parts | None:
    if array.ndim != 1 or getattr(array, "freq", None) is not None or not zone_travels(array.tz):
        return None
    if array.tz is not None and not fits_zone(array.asi8, array.unit):
        return None
    return array.asi8.view(f"M8[{array.unit}]"), zone_for_wire(array.tz)


def _instants(values: Any, zone: Any) -> Any:
    check(is_row(values, INSTANTS), "instants are no array of them")
    check(zone_travels(zone), "instants have a zone that is none")
    return zoned(values, zone)


def _spans_apart(array: Any) -> Parts | None:
    if array.ndim != 1 or getattr(array, "freq", None) is not None:
        return None
    return (array.asi8.view(f"m8[{array.unit}]"),)


def _spans(values: Any) -> Any:
    check(is_row(values, SPANS), "spans of time are no array of them")
    return pandas.array(values, dtype=values.dtype, copy=False)


def _periods_apart(array: Any) -> Parts | None:
    if array.ndim != 1 or not offset_travels(array.dtype.freq):
        return None
    return array.asi8, array.dtype


def _periods(ordinals: Any, dtype: Any) -> Any:
    check(is_row(ordinals, frozenset({"i8"})), "periods are no array of numbers")
    return pandas.arrays.PeriodArray(ordinals, dtype=dtype)


# ---- intervals, categories, and Arrow's arrays


def _intervals_apart(array: Any) -> Parts | None:
    if not (travels(array.dtype) and travels(array.left) and travels(array.right)):
        return None
    return array.left, array.right, array.dtype


def _intervals(left: Any, right: Any, dtype: Any) -> Any:
    for side in (left, right):
        check(isinstance(side, pandas.Index) and travels(side), "intervals have no limits")
        check(side.dtype == dtype.subtype, "intervals have limits of another dtype")
    check(len(left) == len(right), "intervals have limits that do not match")
    return pandas.arrays.IntervalArray.from_arrays(left, right, closed=dtype.closed, dtype=dtype)


def _categories_apart(array: Any) -> Parts | None:
    if array.ndim != 1 or not travels(array.dtype):
        return None
    return numpy.asarray(array.codes), array.dtype


def _categories(codes: Any, dtype: Any) -> Any:
    check(is_row(codes, frozenset({"i1", "i2", "i4", "i8"})), "categories have no codes")
    check(dtype.categories is not None, "a Categorical has no categories")
    count = len(dtype.categories)
    check(
        not len(codes) or (codes.min() >= -1 and codes.max() < count),
        "the codes of a Categorical are not those of its categories",
    )
    return pandas.Categorical.from_codes(codes, dtype=dtype)


def _arrow_table(values: Any) -> Any:
    import pyarrow

    return pyarrow.table({"": values})


def _of_arrow(array: Any) -> Any:
    """Give a table with an array of Arrow as its only column; None if it would not travel."""
    table = _arrow_table(array.__arrow_array__())
    return table if table_travels(table) else None


def _arrow_apart(array: Any) -> Parts | None:
    table = _of_arrow(array)
    return None if table is None else (table,)


def _arrow(table: Any) -> Any:
    check(table.column_names == [""], "an array of Arrow has not one column")
    return pandas.arrays.ArrowExtensionArray(table.column(0))


def _arrow_dtype_apart(dtype: Any) -> Parts | None:
    import pyarrow

    table = _arrow_table(pyarrow.chunked_array([], dtype.pyarrow_dtype))
    return (table,) if table_travels(table) else None


def _arrow_dtype(table: Any) -> Any:
    check(table.column_names == [""] and not len(table), "a dtype of Arrow is none")
    return pandas.ArrowDtype(table.schema.field(0).type)


# ---- the tables


def _kind(
    cls: type,
    apart: Callable[[Any], Sequence[object] | None],
    together: Callable[..., Any],
    *takes: tuple[type, ...] | None,
) -> tuple[type, Kind]:
    return cls, Kind(f"pandas.arrays.{cls.__name__}", ATTRIBUTE, apart, together, takes)


def _text_classes() -> set[type]:
    """Give the classes of text of either storage, with either missing value."""
    core = pandas.core.arrays
    found = {
        getattr(module, name, pandas.arrays.StringArray)
        for module in (core.string_, core.string_arrow)
        for name in ("StringArrayNumpySemantics", "ArrowStringArrayNumpySemantics")
    }
    return found | {pandas.arrays.StringArray, pandas.arrays.ArrowStringArray}


TEXTS = tuple(_text_classes())

ARRAYS: tuple[type, ...] = (
    *TEXTS,
    *(getattr(pandas.arrays, name) for name in MASKED),
    pandas.arrays.DatetimeArray,
    pandas.arrays.TimedeltaArray,
    pandas.arrays.PeriodArray,
    pandas.arrays.IntervalArray,
    pandas.arrays.ArrowExtensionArray,
    pandas.Categorical,
)
"""The arrays of pandas that travel."""


def _arrow_kinds() -> list[tuple[type, Kind]]:
    """What pandas keeps in arrays of pyarrow, where there is one."""
    try:
        import pyarrow
    except ImportError:
        return []
    table = (pyarrow.Table,)
    dtype = Kind("pandas.ArrowDtype", ATTRIBUTE, _arrow_dtype_apart, _arrow_dtype, (table,))
    return [
        _kind(pandas.arrays.ArrowExtensionArray, _arrow_apart, _arrow, table),
        (pandas.ArrowDtype, dtype),
    ]


def load_arrays() -> None:
    """Register the kinds of this module."""
    arrays: Any = pandas.arrays
    array = (numpy.ndarray,)
    text_takes = (pandas.StringDtype,), array, array
    text = Kind("pandas.arrays.StringArray", ATTRIBUTE, _text_apart, _text, text_takes)
    masked = [(name, getattr(arrays, name)) for name in MASKED]
    period, interval = (pandas.PeriodDtype,), (pandas.IntervalDtype,)
    categories = (pandas.CategoricalDtype,)
    for cls, kind in (
        *((cls, text) for cls in TEXTS),
        *(
            _kind(cls, _masked_apart, _masked_maker(name, cls), array, array)
            for name, cls in masked
        ),
        _kind(arrays.DatetimeArray, _instants_apart, _instants, array, None),
        _kind(arrays.TimedeltaArray, _spans_apart, _spans, array),
        _kind(arrays.PeriodArray, _periods_apart, _periods, array, period),
        _kind(arrays.IntervalArray, _intervals_apart, _intervals, None, None, interval),
        (
            pandas.Categorical,
            Kind(
                "pandas.Categorical",
                ATTRIBUTE,
                _categories_apart,
                _categories,
                (array, categories),
            ),
        ),
        *_arrow_kinds(),
    ):
        register(cls, kind)
