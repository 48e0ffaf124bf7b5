"""The parts of the event widgets that need no kernel: texts, values, samples, thinning."""

from __future__ import annotations

import dataclasses
import math
from array import array
from decimal import Decimal
from typing import NamedTuple

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.widgets.event_pages import picture
from nbrpc.widgets.event_source import Rate, arguments_text, value_text
from nbrpc.widgets.plot_table import SampleTable, thinned
from nbrpc.widgets.plot_values import MISSING, Batch, ValueReader

numbers = st.floats(allow_nan=True, allow_infinity=False, width=32)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


class Point(NamedTuple):
    time: float
    volts: float


@dataclasses.dataclass(frozen=True)
class Reading:
    volts: float
    amperes: float


def read(*values, x=None, y=None):
    """What a chart makes of events, a second apart."""
    reader = ValueReader("e", x, y, since=99.0)
    batch = reader.read([(100.0 + index, value) for index, value in enumerate(values)])
    return reader, batch


@given(anything, st.integers(min_value=10, max_value=200))
def test_a_text_is_one_bounded_line(value, limit):
    """Whatever a value is, its text is one printable line that is not longer than asked for."""
    text = value_text(value, limit)
    assert len(text) <= limit
    assert text.isprintable()


def test_text_stands_for_itself_and_controls_are_shown():
    """A sentence has no quotes around it; what a terminal would obey is spelled out."""
    assert value_text("too hot: 37 °C") == "too hot: 37 °C"
    assert value_text("\x1b[31mred\nline") == r"\x1b[31mred\nline"
    assert value_text("\u202egpj.exe") == r"\u202egpj.exe"
    assert arguments_text((1, "a")) == "(1, 'a')"
    assert value_text(numpy.zeros((3, 1000))) == "<ndarray 3 \N{MULTIPLICATION SIGN} 1,000>"


def test_a_type_is_not_taken_for_a_list_by_its_name():
    """A class that is called list is asked for its repr, and not for its items."""

    class list:  # noqa: A001 - the name is what is tested
        def __iter__(self):
            raise AssertionError("asked")

        def __repr__(self):
            return "mine"

    assert value_text((list(),)) == "(mine,)"


def test_a_repr_that_fails_is_told():
    """An error in a repr does not stop a feed."""

    class Broken:
        def __repr__(self):
            raise ValueError

    assert "repr raised" in value_text(Broken()) or "Broken" in value_text(Broken())


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ((1.5,), {"e": [1.5]}),
        ((True,), {"e": [1.0]}),
        ((Decimal("2.5"),), {"e": [2.5]}),
        ((numpy.float32(0.5),), {"e": [0.5]}),
        (((1, 2),), {"e[0]": [1.0], "e[1]": [2.0]}),
        ((1, 2), {"e[0]": [1.0], "e[1]": [2.0]}),
        (({"a": 1, "b": "text"},), {"a": [1.0]}),
        ((Point(1, 2),), {"time": [1.0], "volts": [2.0]}),
        ((Reading(1, 2),), {"volts": [1.0], "amperes": [2.0]}),
        ((numpy.array([1, 2, 3]),), {"e": [1.0, 2.0, 3.0]}),
        ((math.inf,), {"e": [math.nan]}),
    ],
)
def test_what_a_value_may_be(value, columns):
    """Numbers, several numbers, named ones, and arrays are drawn."""
    reader, batch = read(value)
    assert reader.refused == 0
    assert {
        name: pytest.approx(list(column), nan_ok=True) for name, column in batch.columns.items()
    } == columns


def test_x_and_y_are_chosen_by_name_or_place():
    """The abscissa is no series; only what was asked for is drawn."""
    _, batch = read((10.0, 1.0), (11.0, 2.0), x=0, y=[1])
    assert list(batch.xs) == [10.0, 11.0]
    assert list(batch.columns) == ["e[1]"]
    _, batch = read((Point(5, 1),), x="time")
    assert list(batch.xs) == [5.0]
    assert list(batch.columns) == ["volts"]


def test_an_array_is_spread_over_the_time_since_the_previous_event():
    """The samples of a block end where it came, and begin after the previous event."""
    _, batch = read((1.0,), (numpy.arange(4.0),))
    assert list(batch.xs) == pytest.approx([100.0, 100.25, 100.5, 100.75, 101.0])
    _, batch = read((numpy.array([1.0, 2.0]), numpy.array([3.0, 4.0])), x=0)
    assert list(batch.xs) == [1.0, 2.0]
    assert list(batch.columns["e[1]"]) == [3.0, 4.0]


@pytest.mark.parametrize(
    ("value", "options", "why"),
    [
        (("text",), {}, "a str is no number"),
        ((None,), {}, "None is no number"),
        ((numpy.zeros((2, 2)),), {}, "an array of 2 dimensions is no number"),
        ((1.0,), {"y": [3]}, "there is no 3 in it, only e"),
        (({"a": 1},), {"y": ["b"]}, "there is no 'b' in it, only a"),
        ((("late", 1),), {"x": 0}, "x is a str, which is no number"),
        (((math.nan, 1),), {"x": 0}, "x is not finite"),
        ((numpy.zeros(2), numpy.zeros(3)), {}, "its arrays have different lengths"),
    ],
)
def test_what_cannot_be_drawn_is_counted(value, options, why):
    """A value that is no number is counted, with the reason; nothing is raised."""
    reader, batch = read(value, **options)
    assert (reader.refused, reader.refusal) == (1, why)
    assert not batch.xs


@given(
    st.lists(st.lists(anything, max_size=3).map(tuple), max_size=12), st.none() | st.integers(0, 1)
)
def test_any_events_give_an_even_batch(events, x):
    """Whatever comes, all columns are as long as x, x is finite, and no event is lost."""
    reader, batch = read(*events, x=x)
    assert all(map(math.isfinite, batch.xs))
    assert all(len(column) == len(batch.xs) for column in batch.columns.values())
    assert reader.refused + len(batch.xs) == len(events)


def batch_of(xs, **columns):
    """A batch of one series or more."""
    batch = Batch()
    batch.add(xs, columns)
    batch.even()
    return batch


@given(st.lists(numbers, max_size=300), st.integers(min_value=4, max_value=50))
def test_thinning_keeps_the_extremes(values, most):
    """No more samples than asked for, in order, and the lowest and the highest are among them."""
    xs = array("d", range(len(values)))
    thin_xs, (thin,) = thinned(xs, [array("d", values)], most)
    assert len(thin_xs) == len(thin) <= max(most, 4)
    assert list(thin_xs) == sorted(thin_xs)
    real = [value for value in values if not math.isnan(value)]
    if real:
        kept = [value for value in thin if not math.isnan(value)]
        assert min(kept) == min(real)
        assert max(kept) == max(real)


def test_a_series_that_appears_later_is_missing_before():
    """Where an event says nothing of a series, that is neither a value nor a gap."""
    table = SampleTable()
    table.add(batch_of([1.0], a=[1.0]))
    table.add(batch_of([2.0], b=[2.0]))
    _, (first, second) = table.since(0)
    assert list(first) == [1.0, MISSING]
    assert list(second) == [MISSING, 2.0]
    assert table.latest == [1.0, 2.0]


@given(st.lists(st.lists(st.floats(0, 5), min_size=1, max_size=30), max_size=20), st.floats(1, 50))
def test_a_table_holds_the_window(steps, window):
    """With an x that grows, what is kept is exactly what lies within the window of the last."""
    table = SampleTable()
    x, everything = 0.0, []
    for part in steps:
        xs = []
        for step in part:
            x += step
            xs.append(x)
        table.add(batch_of(xs, y=xs))
        table.trim(window)
        everything += xs
        kept, (column,) = table.since(0)
        assert list(kept) == list(column) == [value for value in everything if value >= x - window]
        new, _ = table.since(table.total - 1)
        assert list(new) == [x]
    assert table.ascending
    assert table.total == len(everything)


def test_a_table_is_bounded():
    """Beyond its room the oldest samples go, and that is told."""
    table = SampleTable(most=100)
    for start in range(0, 1000, 10):
        values = [float(value) for value in range(start, start + 10)]
        table.add(batch_of(values, y=values))
        table.trim(1e9)
    kept, _ = table.since(0)
    assert list(kept) == [float(value) for value in range(950, 1000)]
    assert table.capped


def test_x_that_goes_back_is_noticed():
    """A curve is no function of x, until the table is cleared."""
    table = SampleTable()
    table.add(batch_of([1.0, 2.0, 1.5], y=[0.0] * 3))
    assert not table.ascending
    table.trim(0.1)
    assert len(table) == 3
    table.clear()
    assert table.ascending
    assert not len(table)


def test_a_picture_has_gaps_and_needs_two_points():
    """The still picture is drawn from what there is."""
    assert picture([1.0], [[1.0]], "one") == ""
    assert picture([1.0, 2.0], [[math.nan, math.nan]], "none") == ""
    html = picture([1.0, 2.0, 3.0, 4.0], [[1.0, math.nan, 2.0, 3.0]], "a <label>")
    assert html.count("M") == 2
    assert "<label>" not in html


def test_a_rate_is_not_negative():
    """A count that begins anew gives no negative rate."""
    rate = Rate()
    assert rate.tell(10) == 0
    assert rate.tell(20) == 20
    assert rate.tell(0) == 0
