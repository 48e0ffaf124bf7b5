"""Over a real connection: data is copied there and back exactly, objects stay and come home."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import http
import ipaddress
import os
import pathlib
import re
import signal
import types
import zoneinfo
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import nbrpc
import nbrpc.classic
from nbrpc.objects.named import IntMember, StrMember
from nbrpc.objects.proxy import Proxy
from nbrpc.objects.records import Record
from tests import strategies
from tests.strategies import any_texts, immutable_scalars

OFTEN = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Thing:
    """An object: it stays where it is."""


THING = Thing()


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


class Mode(enum.StrEnum):
    SLOW = "slow"
    FAST = "fast"


class Colour(enum.Enum):
    RED = 1
    BLUE = (2, "b")


class Row(NamedTuple):
    x: Any
    y: Any = 2


@dataclasses.dataclass
class Config:
    x: Any
    y: Any = 2


@dataclasses.dataclass(frozen=True)
class Setting:
    x: Any
    y: Any = 2


@attrs.define
class OfAttrs:
    x: Any
    y: Any = 2


class OfMsgspec(msgspec.Struct):
    x: Any
    y: Any = 2


class OfPydantic(pydantic.BaseModel):
    x: Any
    y: Any = 2


RECORDS = [Config, Setting, OfAttrs, OfMsgspec, OfPydantic]


class Lab(nbrpc.Service):
    """What the connections of these tests lead to."""

    def __init__(self) -> None:
        self.seen: Any = None
        self.exposed_rows = [[1], [2, THING]]
        self.exposed_settings = {"a": [1]}
        self.exposed_frozen = Setting([1])
        self.exposed_config = Config([1])

    @nbrpc.exposed
    def echo(self, value):
        """Keep an argument, and give it back."""
        self.seen = value
        return value

    @nbrpc.exposed
    def called(self, function, value):
        """Hand a value to a function of the other side, and give what that gives."""
        return function(value)

    @nbrpc.exposed
    def each(self, values):
        """Give the items of an iterable one by one."""
        yield from values

    @nbrpc.exposed
    def append(self, items, item):
        """Change a list of the other side."""
        items.append(item)

    @nbrpc.exposed(by_value=False)
    def lent(self):
        """Give a list that stays."""
        return self.exposed_rows

    @nbrpc.exposed(by_value=True)
    def whole(self, value):
        """Give a value with all that is in it; None stands for what cannot be copied."""
        return [Thing()] if value is None else value

    @nbrpc.exposed
    def marked(self):
        """Give a list that stays, by its mark."""
        return nbrpc.by_reference(self.exposed_rows)


# ---- values of every kind, nested in each other

VALUES: list[st.SearchStrategy[Any]] = [
    immutable_scalars.filter(lambda value: not isinstance(value, pathlib.PurePath)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]).map(zoneinfo.ZoneInfo),
    st.datetimes(timezones=st.just(zoneinfo.ZoneInfo("Europe/Berlin"))),
    st.builds(
        datetime.timezone,
        st.integers(-1439, 1439).map(lambda n: datetime.timedelta(minutes=n)),
        any_texts.filter(str.isprintable),
    ),
    st.ip_addresses(),
    st.sampled_from([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("::1/64")]),
    st.sampled_from([re.compile("a+b"), re.compile(b"x", re.DOTALL), re.compile("(?ix) a")]),
    st.sampled_from([int, float, str, list, dict, ValueError, type(None), decimal.Decimal, object]),
    st.sampled_from(
        [re.IGNORECASE | re.MULTILINE, signal.SIGINT, http.HTTPStatus.NOT_FOUND, *Level, *Mode]
    ),
    st.builds(pathlib.PurePosixPath, st.sampled_from(["a/b", "/", "ü"])),
]
"""What never changes; others add their kinds here."""

MUTABLE: list[st.SearchStrategy[Any]] = [
    st.binary(max_size=20).map(bytearray),
    st.lists(st.integers(-5, 5), max_size=4).map(lambda items: array.array("h", items)),
    st.binary(max_size=9).map(memoryview),
    st.dictionaries(any_texts, st.integers(), max_size=3).map(collections.Counter),
]
"""Data that holds nothing but itself; others add their kinds here."""

keys = st.one_of(
    st.none(), st.integers(), any_texts, st.floats(allow_nan=False), st.dates(), st.fractions(),
    st.tuples(st.integers(), any_texts),
    st.sampled_from([int, signal.SIGINT, re.compile("x")]), st.ip_addresses(),
    st.frozensets(st.integers(), max_size=2),
)  # fmt: skip


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    named = st.dictionaries(st.sampled_from(["a", "b", "größe"]), inner, max_size=3)
    dicts = named | st.dictionaries(keys, inner, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        dicts,
        st.sets(keys, max_size=3),
        st.frozensets(keys, max_size=3),
        st.builds(collections.deque, lists, st.none() | st.integers(3, 5)),
        dicts.map(collections.OrderedDict),
        dicts.map(lambda entries: collections.defaultdict(list, entries)),
        named.map(lambda entries: types.SimpleNamespace(**entries)),
        st.builds(slice, inner, inner),
        # The same part twice, and a list and a dictionary that hold themselves.
        inner.map(lambda part: [part, {"a": part}, (part,)]),
        inner.map(lambda part: _within_itself([part])),
        inner.map(lambda part: _within_itself({"part": part})),
    )


def _within_itself(holder: Any) -> Any:
    if type(holder) is list:
        holder.append(holder)
    else:
        holder["self"] = holder
    return holder


data = st.recursive(st.one_of(*VALUES, *MUTABLE), _nested, max_leaves=10)
with_objects = st.recursive(st.one_of(*VALUES, st.just(THING)), _nested, max_leaves=10)


def is_copy(sent: Any, got: Any, known: dict[int, Any]) -> bool:
    """Whether one value is the copy of the other: class, content, and what is the same in it."""
    if id(sent) in known:
        return known[id(sent)] is got
    cls = type(sent)
    if cls is Thing:
        return got is sent
    if cls in (Level, Mode):
        return got is sent or (type(got) is MEMBERS[cls] and (got, got.name) == (sent, sent.name))
    if type(got) is not cls:
        return False
    if cls in CHANGEABLE:
        known[id(sent)] = got
        if sent is got:
            return False
    if cls in (list, tuple, collections.deque):
        return (
            len(sent) == len(got)
            and getattr(sent, "maxlen", None) == getattr(got, "maxlen", None)
            and all(is_copy(one, other, known) for one, other in zip(sent, got, strict=True))
        )
    if cls in (dict, collections.OrderedDict, collections.defaultdict):
        return (
            strategies.same(list(sent), list(got))
            and getattr(sent, "default_factory", None) is getattr(got, "default_factory", None)
            and all(map(is_copy, sent.values(), got.values(), [known] * len(sent)))
        )
    if cls is types.SimpleNamespace:
        return is_copy(vars(sent), vars(got), known)
    if cls is slice:
        return is_copy((sent.start, sent.stop), (got.start, got.stop), known)
    if cls is memoryview:
        return (sent.readonly, sent.format) == (got.readonly, got.format) and sent == got
    if cls is datetime.datetime and sent.tzinfo is not None:
        return (sent.tzinfo, sent.fold) == (got.tzinfo, got.fold) and sent == got
    return strategies.same(sent, got)


MEMBERS = {Level: IntMember, Mode: StrMember}
"""What members of these become on the other side."""

CHANGEABLE = {
    list, dict, set, bytearray, collections.deque, collections.OrderedDict, collections.Counter,
    collections.defaultdict, types.SimpleNamespace, array.array,
}  # fmt: skip


@pytest.fixture
def lab(linked):
    """Give a service and a connection to it."""
    service = Lab()
    return service, linked(service).root


@OFTEN
@given(value=data)
@example(value=[2**100, {"a": -0.0}])
def test_data_is_copied_there_and_back(lab, value):
    """What the service sees is a copy, and so is what it gives back."""
    service, root = lab
    got = root.echo(value)
    assert is_copy(value, service.seen, {})
    assert is_copy(value, got, {})


@OFTEN
@given(value=with_objects)
def test_objects_in_data_come_home_as_themselves(lab, value):
    """They are references within the copy."""
    _, root = lab
    assert is_copy(value, root.echo(value), {})


@OFTEN
@given(value=with_objects)
def test_callbacks_are_given_copies_and_give_them(lab, value):
    """The same from the server to the client, and in the items of an iteration."""
    _, root = lab
    given_to = []

    def function(argument):
        given_to.append(argument)
        return argument

    got = root.called(function, value)
    for found in (given_to[0], got, *root.each([value])):
        assert is_copy(value, found, {})


def test_members_come_home_as_themselves(lab):
    """Over there a member of an unregistered enumeration is an int or a text with its name."""
    service, root = lab
    for member in (*Level, *Mode):
        for wrap in (lambda x: x, lambda x: [x], lambda x: {"a": (x,)}):
            assert root.echo(wrap(member)) == wrap(member)
        assert root.echo(member) is member
        assert root.echo([member])[0] is member
        seen = root.echo(member) and service.seen
        assert (seen.name, seen.value, repr(seen), str(seen)) == (
            member.name, member.value, repr(member), str(member)
        )  # fmt: skip
        assert hash(seen) == hash(member)
        assert f"{seen}" == f"{member}"
    assert root.echo({Level.LOW: 1, Mode.FAST: 2}) == {Level.LOW: 1, Mode.FAST: 2}


def test_other_members_are_references_that_compare_here(lab):
    """One of an enumeration that both sides have is equal to its own, and a key like it."""
    service, root = lab
    service.exposed_colour = Colour.RED
    there = root.colour
    assert isinstance(there, Proxy)
    assert there == Colour.RED
    assert there != Colour.BLUE
    assert there.name == "RED"
    assert {there: 1}[Colour.RED] == 1
    assert {Colour.RED: 1}[there] == 1
    assert root.echo(Colour.RED) is Colour.RED
    assert root.echo([Colour.BLUE])[0] is Colour.BLUE


def test_a_path_means_a_file_of_whoever_has_it(lab, tmp_path):
    """An argument becomes a path of the receiver; what comes back stays one of the sender."""
    service, root = lab
    for value in (tmp_path, [tmp_path], {"a": (tmp_path,)}):
        got = root.echo(value)
        assert service.seen == value
        assert type(service.seen) is type(value)
        assert got == value
    there = root.echo(tmp_path)
    assert isinstance(there, Proxy)
    assert str(there) == str(tmp_path)
    assert there.name == tmp_path.name
    assert {there: 1}[tmp_path] == 1
    assert os.fspath(there / "file") == str(tmp_path / "file")
    assert root.whole(tmp_path) == pathlib.PurePath(tmp_path)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_records_are_copied_without_their_class(lab, cls):
    """A copy has the name, the fields and the repr, and compares with the original."""
    service, root = lab
    value = cls(x=[1, {"a": 2}], y=cls(x=1))
    got = root.echo(value)
    for copy in (service.seen, got):
        assert isinstance(copy, Record)
        assert type(copy).__name__ == cls.__name__
        assert copy == value
        assert copy.x == [1, {"a": 2}]
        assert copy.y.x == 1
        assert repr(copy) == repr(value)
        with pytest.raises(AttributeError, match="is a copy"):
            copy.x = 3
    value.x.append(1)
    assert got != value
    assert root.echo({"rows": [cls(x=1)] * 2})["rows"] == [cls(x=1)] * 2
    assert root.echo(cls(x=THING)).x is THING


def test_named_tuples_are_tuples_with_their_fields(lab):
    """They compare, unpack and hash as tuples do."""
    _, root = lab
    got = root.echo(Row([1], Row(2)))
    assert got == Row([1], Row(2))
    assert got._fields == ("x", "y")
    assert repr(got) == repr(Row([1], Row(2)))
    assert root.echo({Row(1): 2}) == {Row(1): 2}


def test_records_with_methods_stay(lab):
    """Those are objects."""

    @dataclasses.dataclass
    class Motor:
        x: int

        def move(self):
            """Move."""

    service, root = lab
    motor = Motor(1)
    assert root.echo(motor) is motor
    assert isinstance(service.seen, Proxy)


def test_attributes_stay(lab):
    """A list that an object has is its state, and so is what is in it."""
    service, root = lab
    assert isinstance(root.rows, Proxy)
    assert isinstance(root.rows[0], Proxy)
    root.rows.append(3)
    root.rows[0].append(2)
    assert service.exposed_rows == [[1, 2], [2, THING], 3]
    assert root.settings["a"] == [1]
    root.settings["b"] = {"c": 1}
    assert service.exposed_settings == {"a": [1], "b": {"c": 1}}
    assert root.frozen == Setting([1])
    assert isinstance(root.frozen, Record)
    assert isinstance(root.config, Proxy)
    assert root.config.y == 2


def test_marks_say_otherwise(lab):
    """by_reference and by_value=False lend, by_value=True refuses what is no data."""
    service, root = lab
    for got in (root.lent(), root.marked()):
        assert isinstance(got, Proxy)
        got.append(5)
    assert service.exposed_rows[-2:] == [5, 5]
    mine = [1]
    assert root.echo(nbrpc.by_reference(mine)) is mine
    assert isinstance(service.seen, Proxy)
    assert root.echo([nbrpc.by_reference(mine)])[0] is mine
    root.append(nbrpc.by_reference(mine), 2)
    assert mine == [1, 2]
    with pytest.raises(nbrpc.NotSendable, match=r"a Thing at value\[0\]"):
        root.echo(nbrpc.by_value([THING]))
    with pytest.raises(nbrpc.NotSendable, match="cannot be copied"):
        root.whole(None)
    assert root.whole([THING]) == [THING]  # which is at home here
    assert root.whole([[1]]) == [[1]]


def test_a_class_may_say_that_its_data_stays(linked):
    """For all that a service gives."""

    class Keeping(nbrpc.Service, by_value=False):
        def __init__(self):
            self.rows = [1]

        @nbrpc.exposed
        def all(self):
            """Give the rows."""
            return self.rows

    service = Keeping()
    root = linked(service).root
    root.all().append(2)
    assert service.rows == [1, 2]


def test_a_write_to_a_copy_changes_nothing_there(lab):
    """Neither way."""
    service, root = lab
    mine = {"a": [1]}
    got = root.echo(mine)
    got["a"].append(2)
    service.seen["a"].append(3)
    assert mine == {"a": [1]}


def test_what_cannot_travel_is_refused_as_a_whole(lab):
    """A sentence, and the connection goes on."""
    _, root = lab
    for value in ({THING}, {THING: 1}, [{(1, THING)}]):
        with pytest.raises(nbrpc.NotSendable, match="cannot be hashed on the other side"):
            root.echo(value)
    held = frozenset({THING, 1})
    assert root.echo(held) is held
    assert root.echo([held])[0] is held
    itself = collections.deque()
    itself.append(itself)
    with pytest.raises(nbrpc.NotSendable, match="contains itself"):
        root.echo(itself)
    assert root.echo(1) == 1


def test_classic_mode_copies_arguments_and_keeps_results(linked):
    """What the other process made stays there until it is fetched."""
    conn = linked(Lab(), allow_code=True)
    assert conn.modules.json.dumps({"a": [1, {"b": None}]}) == '{"a": [1, {"b": null}]}'
    made = conn.eval("[1, [2]]")
    assert isinstance(made, Proxy)
    assert isinstance(made[1], Proxy)
    assert isinstance(made.copy(), Proxy)
    assert nbrpc.obtain(made) == [1, [2]]
    assert isinstance(conn.modules.collections.OrderedDict([("a", 1)]), Proxy)
    assert conn.eval("(1, 'x', 2.5)") == (1, "x", 2.5)
    assert conn.root.echo([1]) == [1]
