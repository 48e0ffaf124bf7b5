"""Values of pandas are put together from their parts exactly."""

import datetime
import decimal
import zoneinfo

import dateutil.tz
import numpy
import pandas
import pandas.testing
import pyarrow
import pytest
import pytz

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.kinds import kind_of, rebuild
from tests.objects.parts import KNOWN, copied, travels

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NEW = int(pandas.__version__.split(".")[0]) >= 3


def check_index(made, index):
    """All that an index is, its frequency, zone, levels and codes included."""
    assert type(made) is type(index)
    pandas.testing.assert_index_equal(made, index, exact=True, check_exact=True)
    assert made.dtype == index.dtype
    assert made.names == index.names
    assert list(map(type, made.names)) == list(map(type, index.names))
    if isinstance(index, pandas.DatetimeIndex | pandas.TimedeltaIndex):
        assert made.freq == index.freq
    if isinstance(index, pandas.DatetimeIndex):
        assert str(made.tz) == str(index.tz)
        assert type(made.tz) is type(index.tz)
    if isinstance(index, pandas.RangeIndex):
        assert (made.start, made.stop, made.step) == (index.start, index.stop, index.step)
    if isinstance(index, pandas.MultiIndex):
        for one, other in zip(made.levels, index.levels, strict=True):
            check_index(one, other)
        for one, other in zip(made.codes, index.codes, strict=True):
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist()


def check_frame(made, frame):
    """All that a frame is: labels, dtypes, classes of elements, attributes, flags."""
    assert type(made) is pandas.DataFrame
    check_index(made.index, frame.index)
    check_index(made.columns, frame.columns)
    pandas.testing.assert_frame_equal(
        made, frame, check_exact=True, check_freq=True, check_flags=True, check_column_type="equiv"
    )
    assert list(made.dtypes) == list(frame.dtypes)
    assert made.attrs == frame.attrs
    for place in range(frame.shape[1]):
        one, other = made.iloc[:, place], frame.iloc[:, place]
        assert type(one.array) is type(other.array)
        if other.dtype == object:
            assert list(map(type, one)) == list(map(type, other))


SCALARS = [
    pandas.Timestamp("2024-01-02 03:04:05.123456789"),
    pandas.Timestamp("2024-01-02").as_unit("s"),
    pandas.Timestamp("2024-01-02", tz=BERLIN).as_unit("ms"),
    pandas.Timestamp("2024-01-02", tz=datetime.UTC),
    pandas.Timestamp("2024-01-02", tz=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    pandas.Timestamp(1729987200 * 10**9, tz=BERLIN),
    pandas.Timestamp(1729990800 * 10**9, tz=BERLIN),  # an hour later, by the same clock
    pandas.Timedelta(5, "s"),
    pandas.Timedelta(-1, "ns"),
    pandas.Timedelta(numpy.timedelta64(7, "s")),
    pandas.Period("2024-03", "M"),
    pandas.Period("2024-03-04", "D"),
    pandas.Period("2024Q2", "Q-JAN"),
    pandas.Interval(0, 1.5, "left"),
    pandas.Interval(pandas.Timestamp("2024-01-01"), pandas.Timestamp("2024-01-03")),
]


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_scalars(value):
    """Points and spans of time keep their unit, zone and fold."""
    made = copied(value)
    assert type(made) is type(value)
    assert made == value
    assert hash(made) == hash(value)
    assert repr(made) == repr(value)
    for name in ("unit", "fold", "tz", "freq", "closed"):
        assert getattr(made, name, None) == getattr(value, name, None)


def test_missing_values_are_the_same_objects():
    """They are compared with `is`."""
    assert copied(pandas.NaT) is pandas.NaT
    assert copied(pandas.NA) is pandas.NA


OFFSETS = [
    pandas.offsets.Hour(3),
    pandas.offsets.Nano(10**14),
    pandas.offsets.Day(-2),
    pandas.offsets.BusinessDay(2, normalize=True),
    pandas.offsets.Week(weekday=3),
    pandas.offsets.Week(),
    pandas.offsets.MonthEnd(4),
    pandas.offsets.BQuarterEnd(startingMonth=2),
    pandas.offsets.YearBegin(month=7),
    pandas.offsets.SemiMonthEnd(day_of_month=12),
    pandas.offsets.WeekOfMonth(week=2, weekday=1),
]


@pytest.mark.parametrize("offset", OFFSETS, ids=repr)
def test_offsets(offset):
    """Offsets keep their number and details, whatever this pandas calls them."""
    made = copied(offset)
    assert made == offset
    assert (made.n, made.normalize, made.kwds) == (offset.n, offset.normalize, offset.kwds)


DTYPES = [
    pandas.Int64Dtype(),
    pandas.UInt8Dtype(),
    pandas.Float32Dtype(),
    pandas.BooleanDtype(),
    pandas.StringDtype("python"),
    pandas.StringDtype("pyarrow"),
    pandas.CategoricalDtype(),
    pandas.CategoricalDtype(["b", "a"], ordered=True),
    pandas.CategoricalDtype([3, 1]),
    pandas.DatetimeTZDtype("ms", BERLIN),
    pandas.PeriodDtype("Q-JAN"),
    pandas.IntervalDtype(),
    pandas.IntervalDtype("int64", "both"),
    pandas.IntervalDtype(pandas.DatetimeTZDtype("ns", "UTC"), "left"),
    pandas.ArrowDtype(pyarrow.list_(pyarrow.int32())),
    *(
        [pandas.Series(["a"]).dtype, pandas.StringDtype("python", na_value=numpy.nan)]
        if NEW
        else []
    ),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype):
    """Dtypes of pandas are values."""
    made = copied(dtype)
    assert made == dtype
    assert type(made) is type(dtype)
    assert repr(made) == repr(dtype)
    assert repr(getattr(made, "ordered", 0)) == repr(getattr(dtype, "ordered", 0))


DAYS = pandas.date_range("2024-03-29", periods=4, freq="D", tz=BERLIN)
INDEXES = {
    "objects": pandas.Index(["a", 1, None, (1, "x"), 2.5], dtype=object, name="mixed"),
    "texts": pandas.Index(["a", "b"], dtype=object),
    "default": pandas.Index(["a", "b", "a"]),
    "string": pandas.Index(["a", None], dtype="string"),
    "ints": pandas.Index([1, 5, 1], dtype="int32", name=("a", 1)),
    "floats": pandas.Index([1.5, numpy.nan, -0.0]),
    "bools": pandas.Index([True, False]),
    "complex": pandas.Index([1j]),
    "masked": pandas.Index([1, None], dtype="Int64", name=3),
    "empty": pandas.Index([], dtype=object),
    "range": pandas.RangeIndex(3, 30, 4, name="r"),
    "zoned days": DAYS,
    "days that were hours": DAYS.tz_convert("UTC"),
    "named zone": pandas.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Berlin"),
    "naive": pandas.date_range("2024-01-31", periods=3, freq=pandas.offsets.MonthEnd(), name="m"),
    "irregular": pandas.DatetimeIndex(["2024-01-01", None, "2020-01-01"]),
    "seconds": pandas.DatetimeIndex(numpy.array(["1500-01-01"], "M8[s]")),
    "spans": pandas.timedelta_range("1h", periods=3, freq="h"),
    "periods": pandas.period_range("2024-01", periods=3, freq="M", name="p"),
    "intervals": pandas.interval_range(0, 3, closed="both", name="i"),
    "interval dates": pandas.IntervalIndex.from_breaks(DAYS),
    "categories": pandas.CategoricalIndex(
        ["b", "a", None], ["b", "a", "c"], ordered=True, name="c"
    ),
    "many": pandas.MultiIndex.from_product([["a", "b"], DAYS, [1, 2]], names=["x", None, ("t", 1)]),
    "gaps": pandas.MultiIndex.from_tuples([("a", 1.0), (None, 2.0), ("b", numpy.nan)]),
    "unused": pandas.MultiIndex.from_product([["a", "b", "c"], [1, 2]])[:2],
    "same names": pandas.MultiIndex.from_product([["a"], ["b"]], names=["n", "n"]),
    "dates": pandas.Index([datetime.date(2024, 1, 1), decimal.Decimal("1.5")], dtype=object),
}


@pytest.mark.parametrize("name", INDEXES)
def test_indexes(name):
    """Indexes keep class, dtype, names, frequency and levels."""
    check_index(copied(INDEXES[name]), INDEXES[name])


SERIES = {
    "ints": pandas.Series([1, 2], name="n"),
    "objects": pandas.Series([None, numpy.nan, pandas.NA, pandas.NaT, 1, "a"], dtype=object),
    "stamps as objects": pandas.Series([pandas.Timestamp("2024")], dtype=object),
    "texts as objects": pandas.Series(["a", "b"], dtype=object),
    "lists": pandas.Series([[1, 2], {"a": 1}], index=["x", "y"]),
    "text": pandas.Series(["a", None, "é"]),
    "string": pandas.Series(["a", None], dtype="string[python]"),
    "arrow string": pandas.Series(["a", None], dtype="string[pyarrow]"),
    "dates": pandas.Series(DAYS, index=DAYS),
    "naive dates": pandas.Series(numpy.array(["2024", "NaT"], "M8[ms]")),
    "spans": pandas.Series(pandas.to_timedelta([1, None], "s")),
    "Int8": pandas.Series([1, None], dtype="Int8"),
    "Float32": pandas.Series([1.5, None], dtype="Float32"),
    "boolean": pandas.Series([True, None], dtype="boolean"),
    "periods": pandas.Series(pandas.period_range("2024", periods=2, freq="D")),
    "intervals": pandas.Series(pandas.interval_range(0, 2)),
    "categories": pandas.Series(["a", "b", None], dtype="category"),
    "arrow": pandas.Series([[1], None], dtype=pandas.ArrowDtype(pyarrow.list_(pyarrow.int64()))),
    "float16": pandas.Series([1.5], dtype="float16"),
    "empty": pandas.Series([], dtype="int8", name=("a", 2)),
    "bytes swapped": pandas.Series(numpy.array([1, 2], ">i4")),
}


@pytest.mark.parametrize("name", SERIES)
def test_series(name):
    """Series keep dtype, labels, name and attributes, and so do their arrays."""
    series = SERIES[name].copy()
    series.attrs["unit"] = ["V", {"n": 1}]
    made = copied(series)
    assert type(made) is pandas.Series
    check_index(made.index, series.index)
    pandas.testing.assert_series_equal(made, series, check_exact=True, check_freq=True)
    assert made.dtype == series.dtype
    assert type(made.array) is type(series.array)
    assert list(map(repr, made)) == list(map(repr, series))
    assert made.attrs == series.attrs
    # The array alone travels as well, where it is pandas' own.
    if kind_of(type(series.array)) is not None:
        pandas.testing.assert_extension_array_equal(copied(series.array), series.array)


def everything():
    """Give a frame with a column of each dtype."""
    columns = {name: one.reset_index(drop=True) for name, one in SERIES.items()}
    del columns["bytes swapped"]  # pandas cannot fill it up
    return pandas.DataFrame(columns)


FRAMES = {
    "everything": everything(),
    "nothing": pandas.DataFrame(),
    "no columns": pandas.DataFrame(index=["a", "b"]),
    "no rows": pandas.DataFrame({"a": pandas.Series([], dtype="Int64"), "b": numpy.empty(0)}),
    "one block": pandas.DataFrame(numpy.arange(6.0).reshape(2, 3)),
    "one object block": pandas.DataFrame(
        numpy.array([["a", None], ["b", pandas.NaT]], dtype=object)
    ),
    "same names": pandas.DataFrame([[1, 2.5, "a"]], columns=["x", "x", "x"]),
    "odd names": pandas.DataFrame([[1, 2.5, 3]], columns=[1, (2, "b"), None]),
    "many": pandas.DataFrame(
        [[1, 2.5, 3, True]],
        columns=pandas.MultiIndex.from_product([["a", "b"], [1, 2]], names=["u", None]),
    ),
    "alternating": pandas.DataFrame({f"c{i}": [i, i + 0.5][i % 2] for i in range(9)}, index=DAYS),
    "dates": pandas.DataFrame({"a": DAYS, "b": DAYS, "c": DAYS.tz_localize(None)}, index=DAYS),
    "bytes swapped": pandas.DataFrame(numpy.array([[1, 2], [3, 4]], ">i4")),
    "range columns": pandas.DataFrame([[1, "a"]], columns=pandas.RangeIndex(2, name="k")),
    "date columns": pandas.DataFrame([[1.0] * 4], columns=DAYS),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name):
    """Frames keep the order, names and dtypes of their columns."""
    frame = FRAMES[name].copy()
    frame.attrs["source"] = {"device": "bench", "at": datetime.date(2024, 1, 1)}
    check_frame(copied(frame), frame)


def test_flags():
    """Whether labels may be there twice is kept."""
    frame = pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    assert not copied(frame).flags.allows_duplicate_labels
    assert not copied(frame["a"]).flags.allows_duplicate_labels


def test_ten_thousand_columns_are_one_buffer_that_is_not_copied():
    """Neither when it is taken apart nor when it is put together."""
    frame = pandas.DataFrame(numpy.ones((3, 10_000)))
    parts = kind_of(pandas.DataFrame).apart(frame)
    assert len(parts) == 6
    assert numpy.shares_memory(parts[-1], frame.to_numpy())
    made = rebuild("pandas.DataFrame", list(parts))
    assert numpy.shares_memory(parts[-1], made.to_numpy())


class Frame(pandas.DataFrame):
    pass


FOREIGN = {
    "object": pandas.Series([object()]),
    "object in a list": pandas.Series([[object()]]),
    "label": pandas.Series([1], index=[object()]),
    "name": pandas.Series([1], name=frozenset([print])),
    "attribute": pandas.DataFrame({"a": [1]}),
    "column": pandas.DataFrame([[1]], columns=[print]),
    "sparse": pandas.Series(pandas.arrays.SparseArray([0, 1])),
    "subclass": Frame({"a": [1]}),
    "calendar": pandas.date_range(
        "2024", periods=2, freq=pandas.offsets.CustomBusinessDay(holidays=["2024-01-01"])
    ),
    "offset": pandas.offsets.DateOffset(months=1),
    "hours": pandas.offsets.BusinessHour(start="10:00"),
    "long range": pandas.RangeIndex(10**12),
    "category": pandas.CategoricalDtype([print]),
    "year 12,000": pandas.Series(numpy.array(["12000"], "M8[s]")).dt.tz_localize("UTC"),
}
FOREIGN["attribute"].attrs["a"] = print


@pytest.mark.parametrize("name", FOREIGN)
def test_what_would_not_come_back_exactly_has_no_parts(name):
    """It goes by reference."""
    assert not travels(FOREIGN[name])


def test_zones_of_dateutil_stay():
    """There is no name from which they could be made."""
    zone = dateutil.tz.tzoffset("here", 3600)
    assert not travels(pandas.Timestamp("2024-01-01", tz=zone))
    assert not travels(pandas.date_range("2024-01-01", periods=2, tz=zone))


def test_zones_of_pytz():
    """The zone that pandas 2 gives is its own at each moment."""
    zone = pytz.timezone("Europe/Berlin")
    stamp = pandas.Timestamp("2024-07-01", tz=zone)
    assert repr(copied(stamp)) == repr(stamp)
    days = pandas.date_range("2024-07-01", periods=2, tz=zone)
    check_index(copied(days), days)


ROW = numpy.array([0, 1])
INT8 = numpy.array([0, 1], "i1")
PLAIN = pandas.Index(["a", "b"], dtype=object)
DEFAULT = pandas.RangeIndex(2)
HOLDS_OBJECT = numpy.array([object(), 1], dtype=object)
EVIL = {
    "unit": ("pandas.Timestamp", [1, "C9", None, 0]),
    "zone": ("pandas.Timestamp", [1, "s", print, 0]),
    "large": ("pandas.Timestamp", [2**70, "s", None, 0]),
    "NaT": ("pandas.Timedelta", [-(2**63), "s"]),
    "month": ("pandas.offsets.YearEnd", [1, False, (13,)]),
    "details": ("pandas.offsets.YearEnd", [1, False, ()]),
    "steps": ("pandas.offsets.MonthEnd", [2**40, False, ()]),
    "limits": ("pandas.Interval", [print, 2, "left"]),
    "storage": ("pandas.StringDtype", ["os", False]),
    "subtype": ("pandas.IntervalDtype", ["S2000000000", "left"]),
    "categories twice": ("pandas.CategoricalDtype", [pandas.Index(["a", "a"]), False]),
    "categories": ("pandas.CategoricalDtype", [pandas.Index([object()]), False]),
    "year 0": ("pandas.Timestamp", [-(2**40), "s", BERLIN, 0]),
    "years 0": ("pandas.arrays.DatetimeArray", [ROW.view("M8[s]") - 2**40, BERLIN]),
    "year 1500": ("pandas.DatetimeIndex", [ROW.view("M8[s]") - 15 * 10**9, BERLIN, None, None]),
    "years": ("pandas.DatetimeIndex", [ROW.view("M8[us]") + 2**60, BERLIN, None, None]),
    "mask": ("pandas.arrays.IntegerArray", [ROW, numpy.array([True])]),
    "mask of 2s": ("pandas.arrays.IntegerArray", [ROW, numpy.array([2, 0], "u1").view("?")]),
    "masked floats": ("pandas.arrays.IntegerArray", [ROW * 1.5, ROW > 5]),
    "masked bytes": ("pandas.arrays.IntegerArray", [ROW.astype(">i8"), ROW > 5]),
    "no text": ("pandas.arrays.StringArray", [DTYPES[4], HOLDS_OBJECT, ROW > 5]),
    "instants": ("pandas.arrays.DatetimeArray", [ROW.view("M8[D]"), None]),
    "instants of numbers": ("pandas.arrays.DatetimeArray", [ROW, None]),
    "table of instants": ("pandas.arrays.DatetimeArray", [ROW.reshape(1, 2).view("M8[s]"), None]),
    "codes": ("pandas.Categorical", [INT8 + 1, pandas.CategoricalDtype(["a", "b"])]),
    "negative codes": ("pandas.Categorical", [INT8 - 2, pandas.CategoricalDtype(["a", "b"])]),
    "float codes": ("pandas.Categorical", [ROW * 1.0, pandas.CategoricalDtype(["a", "b"])]),
    "unsigned codes": ("pandas.Categorical", [ROW.astype("u8"), pandas.CategoricalDtype(["a"])]),
    "no categories": ("pandas.Categorical", [INT8, pandas.CategoricalDtype()]),
    "years as days": (
        "pandas.DatetimeIndex",
        [(ROW * 10**10).view("M8[s]"), None, pandas.offsets.Day(), None],
    ),
    "months of spans": (
        "pandas.TimedeltaIndex",
        [ROW.view("m8[s]"), None, pandas.offsets.MonthEnd(), None],
    ),
    "index of objects": ("pandas.Index", [HOLDS_OBJECT, None]),
    "index of dates": ("pandas.Index", [ROW.view("M8[s]"), None]),
    "index of text": ("pandas.Index", [numpy.array(["a"]), None]),
    "colliding labels": (
        "pandas.Index",
        [numpy.array([n * (2**61 - 1) for n in range(5000)], dtype=object), None],
    ),
    "table as index": ("pandas.Index", [ROW.reshape(1, 2), None]),
    "name of index": ("pandas.Index", [ROW, print]),
    "list as name": ("pandas.Index", [ROW, []]),
    "range": ("pandas.RangeIndex", [0, 10**12, 1, None]),
    "huge range": ("pandas.RangeIndex", [0, 2**70, 2**69, None]),
    "step": ("pandas.RangeIndex", [0, 1, 0, None]),
    "levels": ("pandas.MultiIndex", [(), (), (), None]),
    "level codes": ("pandas.MultiIndex", [(PLAIN,), (INT8 + 1,), (None,), None]),
    "level codes below": ("pandas.MultiIndex", [(PLAIN,), (INT8 - 2,), (None,), None]),
    "level twice": ("pandas.MultiIndex", [(pandas.Index(["a", "a"]),), (INT8,), (None,), None]),
    "level": ("pandas.MultiIndex", [(print,), (INT8,), (None,), None]),
    "lengths": ("pandas.MultiIndex", [(PLAIN, PLAIN), (INT8, INT8[:1]), (None, None), None]),
    "names": ("pandas.MultiIndex", [(PLAIN,), (INT8,), (print,), None]),
    "sorted": ("pandas.MultiIndex", [(PLAIN,), (INT8,), (None,), 7]),
    "series length": ("pandas.Series", [ROW, pandas.RangeIndex(3), None, {}, False]),
    "series of objects": ("pandas.Series", [HOLDS_OBJECT, DEFAULT, None, {}, False]),
    "series of text": ("pandas.Series", [numpy.array(["a", "b"]), DEFAULT, None, {}, False]),
    "series of days": ("pandas.Series", [ROW.view("M8[D]"), DEFAULT, None, {}, False]),
    "series name": ("pandas.Series", [ROW, DEFAULT, print, {}, False]),
    "series attrs": ("pandas.Series", [ROW, DEFAULT, None, {"a": print}, False]),
    "no frame": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False]),
    "no columns": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW]),
    "places": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW + 1, numpy.eye(2)]),
    "place twice": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW * 0, numpy.eye(2)]),
    "float places": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW * 1.0, numpy.eye(2)]),
    "wide": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW, numpy.eye(3)]),
    "row": ("pandas.DataFrame", [DEFAULT, DEFAULT, {}, False, ROW, ROW]),
    "frame of objects": (
        "pandas.DataFrame",
        [pandas.RangeIndex(1), DEFAULT, {}, False, ROW, HOLDS_OBJECT.reshape(2, 1)],
    ),
    "unique": ("pandas.Series", [ROW, pandas.Index(["a", "a"]), None, {}, True]),
}


@pytest.mark.parametrize("name", EVIL)
def test_parts_that_are_none(name):
    """Nothing of pandas sees what it could not take."""
    kind, parts = EVIL[name]
    kind_of(pandas.DataFrame)
    with pytest.raises(RemoteProtocolError, match=KNOWN):
        rebuild(kind, parts)
