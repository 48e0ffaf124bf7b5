"""The kinds of pandas: indexes.

What is in an index is hashed and compared by pandas, here as there: it may hold no references.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy
import pandas

from nbrpc.objects.kinds import SHALLOW, Kind, register
from nbrpc.objects.kinds.frame_arrays import INSTANTS, SPANS, is_row, values_of, zoned
from nbrpc.objects.kinds.frame_values import (
    TICKS,
    check,
    fits_zone,
    is_honest_length,
    is_label,
    offset_travels,
    plain_elements,
    travels,
    zone_for_wire,
    zone_travels,
)

__all__ = ["INDEXES", "load_indexes"]

NUMBERS = "biufc"
"""Kinds of the dtypes of numpy that an index has, save objects."""

LONGEST_RANGE = 2**27
"""Labels of an index that is a range: pandas makes an array of them when it needs one."""

MOST_LEVELS = 1_000

MOST_COLLISIONS = 1_000
"""Different labels with the hash of another: pandas compares each of them with all others."""

CODES = frozenset({"i1", "i2", "i4", "i8"})

Parts = tuple[object, ...]

INDEXES: tuple[type, ...] = (
    pandas.Index,
    pandas.RangeIndex,
    pandas.DatetimeIndex,
    pandas.TimedeltaIndex,
    pandas.PeriodIndex,
    pandas.IntervalIndex,
    pandas.CategoricalIndex,
    pandas.MultiIndex,
)


def _are_labels(values: Any) -> bool:
    """Whether an array of objects may be an index."""
    if set(map(type, values)) <= {str}:
        return True
    return plain_elements(values) and all(map(is_label, values)) and _hash_well(values)


def _hash_well(values: Any) -> bool:
    """Whether few of these labels have the hash of another one; see `draft.colliding`."""
    first: dict[int, Any] = {}
    collisions = 0
    for value in values:
        other = first.setdefault(hash(value), value)
        collisions += other is not value and bool(other != value)
    return collisions <= MOST_COLLISIONS


def _index_apart(index: Any) -> Parts | None:
    values = values_of(index)
    if isinstance(values, numpy.ndarray):
        kind = values.dtype.kind
        good = kind in NUMBERS or (kind == "O" and _are_labels(values))
    else:
        good = travels(values)
    return (values, index.name) if good and is_label(index.name) else None


def _index(values: Any, name: Any) -> Any:
    check(is_label(name), "the name of an index is no label")
    if type(values) is numpy.ndarray:
        check(values.ndim == 1, "an index has no one dimension")
        kind = values.dtype.kind
        check(kind in NUMBERS or (kind == "O" and _are_labels(values)), "an index has no labels")
    else:
        check(travels(values), "an index has no labels")
    # Otherwise tuples become a MultiIndex, and objects what they look like.
    index = pandas.Index(values, dtype=values.dtype, name=name, copy=False, tupleize_cols=False)
    check(
        type(index) is pandas.Index and index.dtype == values.dtype, "an index is of another kind"
    )
    return index


def _range_apart(index: Any) -> Parts | None:
    if len(index) > LONGEST_RANGE or not is_label(index.name):
        return None
    return index.start, index.stop, index.step, index.name


def _range(start: int, stop: int, step: int, name: Any) -> Any:
    check(is_label(name), "the name of an index is no label")
    limit = 2**63
    check(all(-limit <= part < limit for part in (start, stop, step)), "a RangeIndex is too long")
    check(len(range(start, stop, step)) <= LONGEST_RANGE, "a RangeIndex is too long")
    return pandas.RangeIndex(start, stop, step, name=name)


def _regular_apart(index: Any, letter: str) -> Parts | None:
    """Give the counts, zone, frequency and name of an index of instants or spans."""
    zone = index.tz if letter == "M" else None
    if not (zone_travels(zone) and is_label(index.name)):
        return None
    if zone is not None and not fits_zone(index.asi8, index.unit):
        return None
    if index.freq is not None and not (
        offset_travels(index.freq) and _is_regular(index, index.freq)
    ):
        return None
    return index.asi8.view(f"{letter}8[{index.unit}]"), zone_for_wire(zone), index.freq, index.name


def _is_regular(index: Any, offset: Any) -> bool:
    """Whether the last label is where the frequency leads from the first one.

    pandas makes labels from the one to the other: `shift` would make any number of them.
    """
    if not len(index):
        return True
    first, last = index[0], index[-1]
    if first is pandas.NaT or last is pandas.NaT:
        return False
    if len(index) == 1:
        return True
    try:
        beside = abs(first + offset * (len(index) - 1) - last)
    except (ArithmeticError, ValueError):  # it leads out of the years that there are
        return False
    # Days of the calendar are not all of 24 hours, which is what pandas 2 takes them for.
    short = type(offset).__name__ in TICKS
    return bool(beside == pandas.Timedelta(0) if short else beside < pandas.Timedelta(days=1))


def _regular(cls: Any, values: Any, zone: Any, offset: Any, name: Any) -> Any:
    check(is_label(name) and zone_travels(zone), "an index has a name or zone that is none")
    index = cls(zoned(values, zone), name=name)
    if offset is not None:
        check(offset_travels(offset), "an index has a frequency that is none")
        check(_is_regular(index, offset), "an index does not have the frequency that it names")
        # The setter makes all instants anew, and refuses what `tz_convert` gives.
        holder = index if hasattr(index, "_freq") else index._data
        holder._freq = offset  # noqa: SLF001 - no public name
    return index


def _instants(values: Any, zone: Any, offset: Any, name: Any) -> Any:
    check(is_row(values, INSTANTS), "instants are no array of them")
    return _regular(pandas.DatetimeIndex, values, zone, offset, name)


def _spans(values: Any, zone: Any, offset: Any, name: Any) -> Any:
    check(is_row(values, SPANS) and zone is None, "spans of time are no array of them")
    regular = offset is None or type(offset).__name__ in {*TICKS, "Day"}
    check(regular, "spans of time have a frequency that has no length")
    return _regular(pandas.TimedeltaIndex, values, zone, offset, name)


def _wrapped_apart(index: Any) -> Parts | None:
    return (index.array, index.name) if travels(index.array) and is_label(index.name) else None


def _wrapped_kind(cls: Any, array: type) -> tuple[type, Kind]:
    """Give the kind of an index that is an array of pandas and a name."""

    def together(values: Any, name: Any) -> Any:
        check(is_label(name), "the name of an index is no label")
        return cls(values, name=name)

    return cls, Kind(f"pandas.{cls.__name__}", SHALLOW, _wrapped_apart, together, ((array,), None))


def _multi_apart(index: Any) -> Parts | None:
    levels, names = tuple(index.levels), tuple(index.names)
    if len(levels) > MOST_LEVELS or not (is_label(names) and all(map(travels, levels))):
        return None
    if not all(is_honest_length(level, len(index)) for level in levels):
        return None
    return levels, tuple(map(numpy.asarray, index.codes)), names, index.sortorder


def _multi(
    levels: tuple[Any, ...], codes: tuple[Any, ...], names: tuple[Any, ...], sortorder: int | None
) -> Any:
    check(0 < len(levels) <= MOST_LEVELS, "a MultiIndex has too many levels, or none")
    check(len(levels) == len(codes) == len(names), "a MultiIndex has levels without codes")
    check(is_label(names), "the name of an index is no label")
    check(sortorder is None or 0 <= sortorder <= len(levels), "a MultiIndex is sorted by no level")
    check(all(is_row(row, CODES) for row in codes), "the codes of a MultiIndex are no numbers")
    check(len(set(map(len, codes))) == 1, "the codes of a MultiIndex are of different length")
    for level, row in zip(levels, codes, strict=True):
        is_level = type(level) in INDEXES and type(level) is not pandas.MultiIndex
        check(is_level, "a level of a MultiIndex is no index")
        check(is_honest_length(level, len(row)), "a level of a MultiIndex is too long")
        check(level.is_unique, "a level of a MultiIndex has a label twice")
        check(
            not len(row) or (row.min() >= -1 and row.max() < len(level)),
            "the codes of a MultiIndex are not those of its levels",
        )
    return pandas.MultiIndex(
        levels=levels, codes=codes, names=names, sortorder=sortorder, verify_integrity=False
    )


def load_indexes(offsets: tuple[type, ...], values: tuple[type, ...]) -> None:
    """Register the kinds of this module.

    Parameters
    ----------
    offsets
        The classes of offsets that travel.
    values
        The arrays of pandas that travel.
    """
    array, number, offset = (numpy.ndarray,), (int,), (*offsets, NoneType)
    names: Any = None

    def kind(
        cls: type, apart: Callable[[Any], Parts | None], together: Any, *takes: Any
    ) -> tuple[type, Kind]:
        return cls, Kind(f"pandas.{cls.__name__}", SHALLOW, apart, together, takes)

    for cls, made in (
        kind(pandas.Index, _index_apart, _index, (*array, *values), names),
        kind(pandas.RangeIndex, _range_apart, _range, number, number, number, names),
        kind(
            pandas.DatetimeIndex,
            lambda index: _regular_apart(index, "M"),
            _instants,
            array,
            None,
            offset,
            names,
        ),
        kind(
            pandas.TimedeltaIndex,
            lambda index: _regular_apart(index, "m"),
            _spans,
            array,
            None,
            offset,
            names,
        ),
        _wrapped_kind(pandas.PeriodIndex, pandas.arrays.PeriodArray),
        _wrapped_kind(pandas.IntervalIndex, pandas.arrays.IntervalArray),
        _wrapped_kind(pandas.CategoricalIndex, pandas.Categorical),
        kind(
            pandas.MultiIndex,
            _multi_apart,
            _multi,
            (tuple,),
            (tuple,),
            (tuple,),
            (int, NoneType),
        ),
    ):
        register(cls, made)
