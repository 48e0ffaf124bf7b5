"""Immutable values have a text form, and registered classes travel as their fields."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import sys
import time
import types
import zoneinfo
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import values
from nbrpc.objects.draft import ATTRIBUTE, DATA, DEEP, SHALLOW
from nbrpc.objects.values import SCALARS, TEXT_OF, box_scalar, read_scalar, register_value
from nbrpc.protocol.codec import Scalar
from tests.objects.wire import Stand, carried
from tests.strategies import same


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    """Leave the registered classes as they were."""
    monkeypatch.setattr(values, "_names", dict(values._names))
    monkeypatch.setattr(values, "_classes", dict(values._classes))


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - a second name of the same member
    BLUE = "blue"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(enum.Enum):
    ONE = (1, 2)


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str
    size: int = 3
    half: float = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "half", self.size / 2)


@dataclasses.dataclass
class Mutable:
    items: list


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1 + 2j, "complex", "0x1.0000000000000p+0,0x1.0000000000000p+1"),
        (..., "ellipsis", ""),
        (NotImplemented, "notimplemented", ""),
        (datetime.date(2026, 1, 2), "date", "2026-01-02"),
        (datetime.timedelta(-1, 2, 3), "timedelta", "-1,2,3"),
        (decimal.Decimal("-0.10"), "decimal", "-0.10"),
        (fractions.Fraction(-255, 16), "fraction", "-ff/10"),
        (pathlib.PurePosixPath("a/b"), "posix", "a/b"),
        (pathlib.PureWindowsPath("a/b"), "windows", "a\\b"),
    ],
)
def test_texts(value, kind, text):
    """The text forms are those of the documentation."""
    assert box_scalar(value) == Scalar(kind, text)
    assert same(read_scalar(Scalar(kind, text)), value)


def test_every_kind_that_is_written_is_read():
    """The tables fit together."""
    assert {kind for kind, _ in TEXT_OF.values()} | {"int", "path"} == set(SCALARS)


def test_a_path_in_an_argument_becomes_a_path_of_the_receiver():
    """It names a file there."""
    for path in (pathlib.Path("/tmp/ü"), pathlib.Path("data/\udcff.txt")):
        assert carried(path) == path
        assert type(carried([{"a": path}])[0]["a"]) is type(path)


def test_a_path_that_is_no_utf8_travels():
    """The name of a file that is not UTF-8 comes back as it was."""
    path = pathlib.PurePosixPath("data/\udcff.txt")
    assert carried(path) == path


@pytest.mark.parametrize(
    "zone",
    [
        zoneinfo.ZoneInfo("Europe/Berlin"),
        datetime.UTC,
        datetime.timezone(datetime.timedelta(hours=-3), "home"),
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("fold", [0, 1])
def test_times_keep_their_zone_and_fold(zone, fold):
    """Sums over a change of the clocks are those of the sender."""
    night = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold)
    for moment in (night, night.timetz()):
        arrived = carried(moment)
        assert (arrived, arrived.fold, arrived.tzinfo) == (moment, fold, zone)
        assert repr(arrived) == repr(moment)
    assert carried(night) + datetime.timedelta(days=1) == night + datetime.timedelta(days=1)


def test_a_zone_of_the_users_own_stays():
    """A moment with it goes by reference."""

    class Zone(datetime.tzinfo):
        def utcoffset(self, moment):
            return datetime.timedelta(hours=1)

    assert type(carried(datetime.datetime(2026, 7, 1, tzinfo=Zone()))) is Stand


def test_subclasses_and_namesakes_are_no_values():
    """Only the classes themselves travel as text, not subclasses or classes of the same name."""

    class Stamp(datetime.date):
        pass

    namesake = type("date", (), {"__module__": "datetime"})
    assert box_scalar(Stamp(2026, 1, 1)) is None
    assert box_scalar(namesake()) is None
    assert box_scalar(object()) is None


@pytest.mark.parametrize(
    "box",
    [
        Scalar("nothing", ""),
        Scalar("x" * 100, ""),
        Scalar("int", "xyz"),
        Scalar("int", "f" * 1_000_001),
        Scalar("date", "2026-13-01"),
        Scalar("datetime", "now"),
        Scalar("time", ""),
        Scalar("timedelta", "1,2"),
        Scalar("timedelta", "999999999999,0,0"),
        Scalar("timedelta", "9" * 5000 + ",0,0"),
        Scalar("decimal", "1,5"),
        Scalar("fraction", "1/0"),
        Scalar("fraction", "1"),
        Scalar("fraction", "f" * 20_000 + "/" + "e" * 20_001),
        Scalar("uuid", "1234"),
        Scalar("complex", "1"),
        Scalar("complex", "0x1p99999,0"),
        Scalar("posix", "", b"\xff\xfe"),
    ],
    ids=lambda box: box.kind[:12] + " " + box.text[:12],
)
def test_texts_that_are_none_are_refused(box):
    """Unknown kinds, wrong and overlong texts are the peer's mistake."""
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        read_scalar(box)


@given(kind=st.sampled_from(sorted(SCALARS)), text=st.text(max_size=30), data=st.binary(max_size=9))
def test_any_text_gives_a_value_or_a_protocol_error(kind, text, data):
    """No text raises anything but RemoteProtocolError."""
    try:
        read_scalar(Scalar(kind, text, data))
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(
    "box",
    [
        Scalar("int", "f" * 1_000_000),
        Scalar("decimal", "9" * 1_000_000),
        Scalar("decimal", "1e999999999"),
        Scalar("fraction", "7" * 19_999 + "/" + "3" * 20_000),
        Scalar("timedelta", "1" * 4000 + ",0,0"),
        Scalar("posix", "a/" * 400_000),
    ],
    ids=lambda box: box.kind,
)
def test_long_texts_take_no_long_time(box):
    """The longest texts that are allowed are read in linear time, or refused."""
    begun = time.process_time()
    try:
        read_scalar(box)
    except RemoteProtocolError:
        pass
    assert time.process_time() - begun < 0.5


def test_what_is_too_long_to_read_is_not_written():
    """A Decimal or Fraction that the peer would refuse travels by reference instead."""
    assert box_scalar(decimal.Decimal("9" * 1_000_001)) is None
    assert box_scalar(fractions.Fraction(16**40_000, 3)) is None


@pytest.mark.parametrize(
    "value",
    [Color.RED, Color.CRIMSON, Color.BLUE, Mode.READ, Mode.READ | Mode.WRITE, Mode(0), Pair.ONE],
)
def test_members_of_enums_are_the_members_themselves(value):
    """An Enum member comes back as the one object that it is; so do combinations of flags."""
    register_value(type(value))
    assert carried(value) is value
    assert carried([value], deep=True)[0] is value


def test_named_tuples_and_frozen_dataclasses_travel():
    """They come back equal and of the same class, fields that are not given included."""
    register_value(Point)
    register_value(Frozen, "frozen things")
    arrived = carried((Point(1, (2, 3)), Frozen("x", 5)))
    assert same(arrived, (Point(1, (2, 3)), Frozen("x", 5)))
    assert arrived[1].half == 2.5


def test_a_mutable_dataclass_travels_as_a_copy():
    """By reference only where nothing but values is copied."""
    register_value(Mutable)
    value = Mutable([1, 2])
    assert type(carried(value, form=SHALLOW)) is Stand
    for form in (ATTRIBUTE, DATA, DEEP):
        arrived = carried(value, form=form)
        assert arrived == value
        assert arrived is not value


def test_classes_that_are_not_registered_travel_by_reference():
    """Nothing is copied that nobody registered."""
    assert type(carried(Color.RED)) is Stand
    with pytest.raises(NotSendable, match="a Color cannot be copied"):
        carried(Color.RED, deep=True)


def test_a_value_of_a_class_that_is_not_registered_here_says_so(monkeypatch):
    """The receiver names the class and what to do."""
    name = f"{Point.__module__}.Point"
    register_value(Point)
    assert values.registered_class(name) is Point
    monkeypatch.setitem(values._classes, name, None)
    with pytest.raises(NotSendable, match=r"class '.*Point' arrived, which is not registered here"):
        carried(Point(1, 2))


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (Color, ["GREEN"]),
        (Color, []),
        (Color, [["RED"]]),
        (Color, ["RED", "BLUE"]),
        (Mode, [1024]),
        (Mode, ["READ"]),
        (Point, [1]),
        (Frozen, ["x"]),
        (Frozen, ["x", "y"]),
    ],
)
def test_fields_that_do_not_fit_are_refused(cls, fields):
    """A class that differs on both sides gives a sentence, not a broken object."""
    register_value(cls, "thing")
    with pytest.raises(NotSendable, match="class 'thing' does not fit the class registered here"):
        values.rebuild("thing", fields)


@pytest.mark.parametrize("cls", [int, object, tuple, "Color", Color.RED, Frozen("x"), list[int]])
def test_only_three_kinds_of_classes_can_be_registered(cls):
    """Anything but an Enum, a named tuple or a dataclass raises TypeError."""
    with pytest.raises(TypeError, match="an Enum, a named tuple or a dataclass is needed"):
        register_value(cls)


def test_a_class_that_is_defined_again_takes_its_place():
    """A notebook cell that is run again replaces the class; another class needs another name."""

    def define():
        return collections.namedtuple("Again", "x", module="__main__")  # noqa: PYI024

    first, second = define(), define()
    assert register_value(first) is first
    register_value(second)
    assert values.registered_name(first) is None
    assert type(carried(second(1))) is second
    with pytest.raises(ValueError, match=r"'__main__\.Again' is registered for"):
        register_value(Color, "__main__.Again")


def test_no_module_is_imported_for_a_value_that_is_not_there(monkeypatch):
    """A class that only claims to be of a module that is not loaded is no value."""
    monkeypatch.delitem(sys.modules, "uuid", raising=False)
    claims = type("UUID", (), {"__module__": "uuid"})
    assert box_scalar(claims()) is None
    assert "uuid" not in sys.modules


def test_infinities_and_nans_keep_their_sign_and_payload():
    """What repr() would lose comes back."""
    for value in (complex(math.inf, -0.0), complex(math.nan, -math.inf)):
        assert same(carried(value), value)
    for text in ("sNaN123", "-Infinity", "0E-7"):
        assert str(carried(decimal.Decimal(text))) == text


def test_a_kind_that_is_no_class_is_left_alone():
    """Modules and functions are no values."""
    assert box_scalar(types) is None
    assert box_scalar(carried) is None
