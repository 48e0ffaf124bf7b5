"""The kinds of pandas: points and spans of time, offsets, missing values, and dtypes.

A label is what may stand in an index, or be the name of one: text, numbers, dates and tuples of
them. Labels are hashed and compared here, so nothing in them may lead back to the peer.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import re
import sys
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, NoReturn

import numpy
import pandas

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import arrays, values
from nbrpc.objects.kinds import SHALLOW, Kind, kind_of, register
from nbrpc.objects.kinds.elements import are_plain

__all__ = [
    "OFFSETS",
    "TICKS",
    "UNITS",
    "check",
    "fits_zone",
    "is_honest_length",
    "is_label",
    "is_plain_dict",
    "load_values",
    "offset_travels",
    "plain_elements",
    "refuse",
    "travels",
    "zone_for_wire",
    "zone_travels",
]

SCALES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": None}
"""Units of time in a second; all instants that are counted in nanoseconds are in few years."""

UNITS = frozenset(SCALES)

FIRST = int(datetime.datetime(1678, 1, 1, tzinfo=datetime.UTC).timestamp())
LAST = int(datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC).timestamp())

NOT_A_TIME = -(2**63)

ATOMS = frozenset(
    {
        NoneType,
        bool,
        bytes,
        complex,
        datetime.date,
        datetime.timedelta,
        float,
        int,
        str,
        uuid.UUID,
    }
)
"""Classes all of whose values can be copied and hashed."""

NUMBERS = frozenset({decimal.Decimal, fractions.Fraction})
"""Classes whose values may have too many digits."""

CONTAINERS = frozenset({dict, frozenset, list, set, tuple})

MAX_DEPTH = 8
"""Containers around an element of an array of objects."""

TICKS = ("Hour", "Minute", "Second", "Milli", "Micro", "Nano")

OFFSETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*TICKS, "Day", "BusinessDay", "MonthBegin", "MonthEnd"), ()),
    **dict.fromkeys(("BusinessMonthBegin", "BusinessMonthEnd"), ()),
    **dict.fromkeys(("YearBegin", "YearEnd", "BYearBegin", "BYearEnd"), ("month",)),
    **dict.fromkeys(
        (
            *("QuarterBegin", "QuarterEnd", "BQuarterBegin", "BQuarterEnd"),
            *("HalfYearBegin", "HalfYearEnd", "BHalfYearBegin", "BHalfYearEnd"),
        ),
        ("startingMonth",),
    ),
    **dict.fromkeys(("SemiMonthBegin", "SemiMonthEnd"), ("day_of_month",)),
    "LastWeekOfMonth": ("weekday",),
    "Week": ("weekday",),
    "WeekOfMonth": ("week", "weekday"),
}
"""Classes of offsets that travel, and what each of them has beside its number."""

RANGES = {
    "day_of_month": range(1, 28),
    "month": range(1, 13),
    "startingMonth": range(1, 13),
    "week": range(4),
    "weekday": range(7),
}

MOST_STEPS = 2**31 - 1
"""The number of an offset of the calendar: C code adds it to years."""

SIMPLE_DTYPES = (
    *(f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *("Float32Dtype", "Float64Dtype", "BooleanDtype"),
)

SUBTYPE = re.compile(r"[<>|=]([iuf][1248]|[mM]8\[(s|ms|us|ns)\])")
"""`numpy.dtype.str` of what may limit an interval."""

LONGEST_UNUSED = 2**16
"""Labels of a range of which few are used: a few bytes would take any amount of memory."""

CLOSED = frozenset({"left", "right", "both", "neither"})


def refuse(problem: str) -> NoReturn:
    """Refuse what a peer sent."""
    raise RemoteProtocolError(problem)


def check(holds: bool, problem: str) -> None:  # noqa: FBT001 - what is checked comes first
    """Refuse what a peer sent unless a condition holds."""
    if not holds:
        raise RemoteProtocolError(problem)


def plain_elements(array: Any) -> bool:
    """Whether all elements of an array of objects are plain: nothing in them is a reference."""
    return are_plain(array.flat)


def is_plain_dict(attrs: Any) -> bool:
    """Whether this is a dict of plain values and arrays, with plain keys."""
    return (
        type(attrs) is dict
        and all(map(is_label, attrs))
        and all(arrays.is_array(value) or are_plain([value]) for value in attrs.values())
    )


def travels(value: Any) -> bool:
    """Whether this is a value of pandas that would come back exactly."""
    kind = kind_of(type(value))
    return kind is not None and kind.name.startswith("pandas.") and kind.apart(value) is not None


def is_label(value: Any) -> bool:
    """Whether this may stand in an index: a plain value that can be hashed, without references."""
    cls = type(value)
    if cls in ATOMS:
        return True
    if cls is tuple or cls is frozenset:
        return all(map(is_label, value))
    if cls in NUMBERS:
        return values.box_scalar(value) is not None
    if cls is datetime.datetime or cls is datetime.time:
        return zone_travels(value.tzinfo)
    if arrays.box_scalar(value) is not None:
        return True
    return cls in SCALARS and travels(value)


# ---- time zones


def is_honest_length(index: Any, used: int = 0) -> bool:
    """Whether an index that is a range may stand where pandas makes an array of its labels.

    Parameters
    ----------
    used
        How many values refer to its labels.
    """
    return type(index) is not pandas.RangeIndex or len(index) <= LONGEST_UNUSED + 16 * used


def zone_travels(zone: Any) -> bool:
    """Whether a time zone would come back exactly."""
    cls = type(zone)
    if zone is None or cls is datetime.timezone:
        return True
    if cls is zoneinfo.ZoneInfo:
        # One that was read from a file may have any rules beside its name.
        return type(zone.key) is str and zoneinfo.ZoneInfo(zone.key) is zone
    return _pytz_zone(zone) is not None


def _pytz_zone(zone: Any) -> Any:
    """Give the zone of pytz to which this one belongs: those in use have an offset beside it."""
    pytz = sys.modules.get("pytz")
    if pytz is None:
        return None
    if zone is pytz.UTC:
        return zone
    if not issubclass(type(zone), pytz.tzinfo.BaseTzInfo) or type(zone.zone) is not str:
        return None
    whole = pytz.timezone(zone.zone)
    return whole if type(whole) is type(zone) else None


def fits_zone(counts: Any, unit: str) -> bool:
    """Whether instants, counted since 1970, are in the years in which a zone has rules.

    pandas 2.1 reads outside of its tables for those that are too early to be counted in
    nanoseconds, and Python has no datetimes of those that are too late.
    """
    scale = SCALES[unit]
    if scale is None:
        return True
    early = (counts < FIRST * scale) & (counts != NOT_A_TIME)
    return not bool(numpy.any(early | (counts > LAST * scale)))


def zone_for_wire(zone: Any) -> Any:
    """Give a time zone that travels as it is named."""
    if zone is None or type(zone) in {datetime.timezone, zoneinfo.ZoneInfo}:
        return zone
    return _pytz_zone(zone)


# ---- points and spans of time


def _stamp(count: int, unit: str, zone: Any, fold: int) -> Any:
    if unit not in UNITS or fold not in {0, 1} or not zone_travels(zone):
        refuse("a Timestamp has a unit, zone or fold that is none")
    check(zone is None or fits_zone(count, unit), "a Timestamp is in a year without zones")
    stamp = pandas.Timestamp(numpy.int64(count).view(f"M8[{unit}]"))
    if zone is not None:
        stamp = stamp.tz_localize("UTC").tz_convert(zone)
    if stamp.fold != fold:
        stamp = stamp.replace(fold=fold)
    return stamp


def _stamp_apart(stamp: Any) -> tuple[object, ...] | None:
    if not zone_travels(stamp.tz):
        return None
    parts = int(stamp.asm8.view("i8")), stamp.unit, zone_for_wire(stamp.tz), stamp.fold
    if stamp.tz is not None and not fits_zone(*parts[:2]):
        return None
    made = _stamp(*parts)
    same = made.asm8 == stamp.asm8 and made.fold == stamp.fold and made.unit == stamp.unit
    return parts if same and made.utcoffset() == stamp.utcoffset() else None


def _span(count: int, unit: str) -> Any:
    if unit not in UNITS:
        refuse("a Timedelta has a unit that is none")
    span = pandas.Timedelta(numpy.int64(count).view(f"m8[{unit}]"))
    if type(span) is not pandas.Timedelta or span.unit != unit:
        refuse("a Timedelta is none")
    return span


def _span_apart(span: Any) -> tuple[object, ...]:
    return int(span.asm8.view("i8")), span.unit


def _period(ordinal: int, offset: Any) -> Any:
    period = pandas.Period(ordinal=ordinal, freq=offset)
    if type(period) is not pandas.Period:
        refuse("a Period is none")
    return period


def _period_apart(period: Any) -> tuple[object, ...] | None:
    return (period.ordinal, period.freq) if offset_travels(period.freq) else None


def _interval(left: Any, right: Any, closed: str) -> Any:
    if closed not in CLOSED or not (_is_limit(left) and _is_limit(right)):
        refuse("an Interval has limits that are none")
    return pandas.Interval(left, right, closed)


def _interval_apart(interval: Any) -> tuple[object, ...] | None:
    parts = interval.left, interval.right, interval.closed
    return parts if _is_limit(interval.left) and _is_limit(interval.right) else None


def _is_limit(value: Any) -> bool:
    if type(value) in {int, float, pandas.Timestamp, pandas.Timedelta}:
        return is_label(value)
    return isinstance(value, (numpy.integer, numpy.floating)) and is_label(value)


# ---- offsets


def _offset_maker(name: str, cls: Any) -> Callable[[int, bool, tuple[Any, ...]], Any]:
    parameters = OFFSETS[name]

    def offset(number: int, normalize: bool, details: tuple[Any, ...]) -> Any:  # noqa: FBT001 - a part
        if name not in TICKS and abs(number) > MOST_STEPS:
            refuse("an offset is too large")
        if len(details) != len(parameters):
            refuse(f"an offset of class {name} has {len(details)} details")
        for parameter, detail in zip(parameters, details, strict=True):
            if type(detail) is int and detail in RANGES[parameter]:
                continue
            if name != "Week" or detail is not None:
                refuse(f"an offset has a {parameter} that is none")
        if name in TICKS and not normalize:
            return cls(number)
        return cls(number, normalize, **dict(zip(parameters, details, strict=True)))

    return offset


def _offset_kinds() -> list[tuple[type, Kind]]:
    found = []
    for name, parameters in OFFSETS.items():
        cls: Any = getattr(pandas.offsets, name, None)
        if cls is None:  # pandas is too old for it
            continue
        make = _offset_maker(name, cls)

        def apart(
            offset: Any, parameters: tuple[str, ...] = parameters, make: Any = make
        ) -> tuple[object, ...] | None:
            details = tuple(getattr(offset, parameter) for parameter in parameters)
            parts = offset.n, offset.normalize, details
            try:
                made = make(*parts)
            except RemoteProtocolError:
                return None
            # Holidays and the like are told by `==`.
            same = made == offset and made.normalize == offset.normalize and made.n == offset.n
            return parts if same else None

        takes = (int,), (bool,), (tuple,)
        found.append((cls, Kind(f"pandas.offsets.{name}", SHALLOW, apart, make, takes)))
    return found


def offset_travels(offset: Any) -> bool:
    """Whether this is an offset that would come back exactly."""
    kind = kind_of(type(offset))
    return (
        kind is not None
        and kind.name.startswith("pandas.offsets.")
        and kind.apart(offset) is not None
    )


# ---- dtypes


def _string_apart(dtype: Any) -> tuple[object, ...]:
    storage = "python" if dtype.storage == "python" else "pyarrow"
    return storage, dtype.na_value is not pandas.NA


def _string(storage: str, nan: bool) -> Any:  # noqa: FBT001 - a part
    if storage not in {"python", "pyarrow"}:
        refuse("a dtype of text has a storage that is none")
    try:
        if not nan:
            return pandas.StringDtype(storage)
        if hasattr(pandas.StringDtype("python"), "_na_value"):
            return pandas.StringDtype(storage, na_value=math.nan)
        if storage == "pyarrow":
            return pandas.StringDtype("pyarrow_numpy")
    except ImportError as error:
        raise NotSendable(
            f"text of pandas in pyarrow's memory needs pyarrow, which is missing here: {error}"
        ) from None
    raise NotSendable(
        f"text of pandas with nan for missing values needs pandas 3: here is {pandas.__version__}"
    )


def _categorical_apart(dtype: Any) -> tuple[object, ...] | None:
    if dtype.categories is not None and not _may_be_categories(dtype.categories):
        return None
    return dtype.categories, dtype.ordered


def _may_be_categories(categories: Any) -> bool:
    return travels(categories) and is_honest_length(categories)


def _categorical(categories: Any, ordered: bool | None) -> Any:  # noqa: FBT001 - a part
    if categories is not None and not (
        isinstance(categories, pandas.Index) and _may_be_categories(categories)
    ):
        refuse("a dtype of categories has categories that are none")
    return pandas.CategoricalDtype(categories, ordered)


def _zoned_apart(dtype: Any) -> tuple[object, ...] | None:
    return (dtype.unit, zone_for_wire(dtype.tz)) if zone_travels(dtype.tz) else None


def _zoned(unit: str, zone: Any) -> Any:
    if unit not in UNITS or zone is None or not zone_travels(zone):
        refuse("a dtype of times has a unit or zone that is none")
    return pandas.DatetimeTZDtype(unit, zone)


def _period_dtype_apart(dtype: Any) -> tuple[object, ...] | None:
    return (dtype.freq,) if offset_travels(dtype.freq) else None


def _period_dtype(offset: Any) -> Any:
    if not offset_travels(offset):
        refuse("a dtype of periods has a frequency that is none")
    return pandas.PeriodDtype(offset)


def _interval_dtype_apart(dtype: Any) -> tuple[object, ...] | None:
    subtype = dtype.subtype
    if isinstance(subtype, numpy.dtype):
        return (subtype.str, dtype.closed) if SUBTYPE.fullmatch(subtype.str) else None
    return (subtype, dtype.closed) if subtype is None or travels(subtype) else None


def _interval_dtype(subtype: Any, closed: str | None) -> Any:
    if type(subtype) is str:
        if not SUBTYPE.fullmatch(subtype):
            refuse("a dtype of intervals has limits that are none")
        subtype = numpy.dtype(subtype)
    elif subtype is not None and type(subtype) is not pandas.DatetimeTZDtype:
        refuse("a dtype of intervals has limits that are none")
    if closed is not None and closed not in CLOSED:
        refuse("a dtype of intervals is closed on no known side")
    return pandas.IntervalDtype(subtype, closed)


# ---- the tables

SCALARS = frozenset(
    {
        pandas.Interval,
        pandas.Period,
        pandas.Timedelta,
        pandas.Timestamp,
        type(pandas.NA),
        type(pandas.NaT),
    }
)


def _constant(name: str, value: Any) -> tuple[type, Kind]:
    return type(value), Kind(f"pandas.{name}", SHALLOW, lambda _: (), lambda: value, ())


def _simple_dtype(name: str) -> tuple[type, Kind]:
    cls: type = getattr(pandas, name)
    return cls, Kind(f"pandas.{name}", SHALLOW, lambda _: (), cls, ())


def _kind(
    cls: type,
    apart: Callable[[Any], Sequence[object] | None],
    together: Callable[..., Any],
    *takes: tuple[type, ...] | None,
) -> tuple[type, Kind]:
    return cls, Kind(f"pandas.{cls.__name__}", SHALLOW, apart, together, takes)


def load_values() -> None:
    """Register the kinds of this module."""
    offsets = _offset_kinds()
    any_offset = tuple(cls for cls, _ in offsets)
    text, text_or_none = (str,), (str, NoneType)
    for cls, kind in (
        _constant("NaT", pandas.NaT),
        _constant("NA", pandas.NA),
        _kind(pandas.Timestamp, _stamp_apart, _stamp, (int,), text, None, (int,)),
        _kind(pandas.Timedelta, _span_apart, _span, (int,), text),
        _kind(pandas.Period, _period_apart, _period, (int,), any_offset),
        _kind(pandas.Interval, _interval_apart, _interval, None, None, text),
        *offsets,
        *map(_simple_dtype, SIMPLE_DTYPES),
        _kind(pandas.StringDtype, _string_apart, _string, text, (bool,)),
        _kind(pandas.CategoricalDtype, _categorical_apart, _categorical, None, (bool, NoneType)),
        _kind(pandas.DatetimeTZDtype, _zoned_apart, _zoned, text, None),
        _kind(pandas.PeriodDtype, _period_dtype_apart, _period_dtype, any_offset),
        _kind(pandas.IntervalDtype, _interval_dtype_apart, _interval_dtype, None, text_or_none),
    ):
        register(cls, kind)
