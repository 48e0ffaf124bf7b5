"""A frame of pandas with any columns, under any labels, comes back as it was."""

import numpy
import pandas
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.objects.parts import copied
from tests.objects.test_kinds_frames import BERLIN, check_frame

LABELS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.binary(max_size=2),
    st.dates(),
    st.decimals(allow_nan=False, places=2),
    st.tuples(st.integers(0, 3), st.text(max_size=2)),
)

NUMBERS = ("i1", "u2", "i4", "u8", "f2", "f4", "f8", "?", "c16", "Int8", "UInt64")


@st.composite
def columns(draw, rows):
    """A Series of so many elements, of any dtype."""
    kind = draw(st.sampled_from((*NUMBERS, "object", "text", "time", "category")))
    size = {"min_size": rows, "max_size": rows}
    if kind == "object":
        return pandas.Series(draw(st.lists(LABELS, **size)), dtype=object)
    if kind == "text":
        dtype = draw(st.sampled_from(("string[python]", "string[pyarrow]", "str", object)))
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
        return pandas.Series(draw(st.lists(texts, **size)), dtype=dtype)
    numbers = numpy.array(draw(st.lists(st.integers(0, 100), **size)), dtype="i8")
    if kind == "time":
        unit, zone = draw(st.sampled_from(("s", "ms", "us", "ns"))), draw(st.booleans())
        series = pandas.Series(numbers.view(f"M8[{unit}]"))
        return series.dt.tz_localize("UTC").dt.tz_convert(BERLIN) if zone else series
    series = pandas.Series(numbers).astype(kind)
    if draw(st.booleans()) and kind in {"Int8", "UInt64", "category", "f8"} and rows:
        series.iloc[0] = None
    return series


@st.composite
def indexes(draw, rows):
    """An index of so many labels."""
    kind = draw(st.sampled_from(("range", "objects", "column", "levels")))
    if kind == "range":
        return pandas.RangeIndex(3, 3 + 2 * rows, 2, name=draw(LABELS))
    if kind == "objects":
        labels = draw(st.lists(LABELS, min_size=rows, max_size=rows))
        return pandas.Index(labels, dtype=object, tupleize_cols=False, name=draw(LABELS))
    if kind == "column":
        series = draw(columns(rows).filter(lambda series: series.dtype != "f2"))
        return pandas.Index(series.array, dtype=series.dtype, name=draw(LABELS))
    # pandas sorts the objects of a level, and has its own opinion of some.
    levels = columns(rows).filter(lambda series: series.dtype not in ("f2", object))
    arrays = [draw(levels) for _ in range(2)]
    return pandas.MultiIndex.from_arrays(arrays, names=[draw(LABELS), draw(LABELS)])


@st.composite
def frames(draw):
    """A frame of any columns, under any labels."""
    rows, width = draw(st.integers(0, 4)), draw(st.integers(0, 6))
    made = pandas.DataFrame(
        {place: draw(columns(rows)) for place in range(width)}, index=pandas.RangeIndex(rows)
    )
    made.index, made.columns = draw(indexes(rows)), draw(indexes(width))
    return made


@settings(max_examples=150)
@given(frames())
def test_any_frame(frame):
    """Whatever is in it, it comes back."""
    check_frame(copied(frame), frame)
