"""What travels by value comes back equal and of equal type; all else travels by reference."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import fractions
import time
import tracemalloc
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbrpc.errors import LimitExceeded, NotSendable, RemoteProtocolError, StaleReference
from nbrpc.objects import boxing as boxing_module
from nbrpc.objects import values
from nbrpc.objects.draft import ATTRIBUTE, SHALLOW, by_reference, by_value
from nbrpc.objects.unboxing import Reader
from nbrpc.options import Limits
from nbrpc.protocol import codec
from nbrpc.protocol.codec import (
    Bytes,
    Frozen,
    Home,
    List,
    Made,
    Map,
    Packed,
    Pairs,
    Parts,
    Ref,
    Same,
    Slice,
    Tuple,
)
from nbrpc.protocol.messages import Kind
from tests.objects.wire import Stand, carried, two_ends
from tests.protocol.ends import written
from tests.strategies import deep_values, immutable_values, mutated, mutations, same, wire_values

ENDS = two_ends()


class Thing:
    """Travels by reference."""

    def method(self):
        return self


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(value=immutable_values)
def test_immutable_values_come_back_the_same(value):
    """What never changes travels by value, to the last bit."""
    assert same(carried(value, ends=ENDS), value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(value=deep_values)
def test_deep_values_come_back_the_same(value):
    """Containers are copied when asked to, with all that is in them."""
    assert same(carried(value, deep=True, ends=ENDS), value)


@pytest.mark.parametrize(
    "value",
    [
        b"x" * 65_537,
        bytearray(b"x" * 65_537),
        "x" * 16_385,
        "ü" * 16_385,
        "x" * 65_537,
        "\ud800" * 20_000,
        "é",
        "\ud800",
        b"x" * 2_000_000,
        [b"x" * 300_000, {"a": b"y" * 300_000}],
        2**64,
        -(2**63) - 1,
        -(2**64),
        16**999_999,
        range(0, 2**70, 2**65),
        [1.5] * 256,
        [2**63] * 300,
        [-(2**63), 2**63 - 1] * 200,
        [True] * 300,
        list(range(100_000)),
        [float("nan"), 1.0] * 128,
        {str(number): number for number in range(1000)},
        {number: str(number) for number in range(1000)},
        {"ü": 1},
        {"\ud800": 1},
        {},
        set(),
        frozenset({frozenset({1, "x"}), ()}),
        (),
        slice(None),
        slice((1, "a"), [2].__len__(), None),
    ],
    ids=lambda value: f"{value!r:.20}" if not isinstance(value, int) else "int",
)
def test_large_and_odd_values_come_back_the_same(value):
    """Out-of-band data, packed lists, large integers and empty containers come back."""
    assert same(carried(value, deep=True), value)


def test_a_value_is_a_copy():
    """What arrives is new, and can be changed."""
    value = {"a": [1, bytearray(b"x" * 70_000)]}
    arrived = carried(value, deep=True)
    arrived["a"][1][0] = 0
    arrived["a"].append(2)
    assert value == {"a": [1, bytearray(b"x" * 70_000)]}


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Thing,
        len,
        Thing().method,
        collections,
        frozenset({(1, Thing)}),
        (x for x in ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_stay(value):
    """What is no data gives a proxy, and comes home as itself."""
    one, other = two_ends()
    stand = other.read(one.write(value))
    assert type(stand) is Stand
    assert one.read(other.write(stand)) is value
    assert one.read(other.write([stand])) == [value]


@pytest.mark.parametrize("value", [[1], {}, {1}, bytearray(b"x"), collections.deque([1])])
@pytest.mark.parametrize("form", [SHALLOW, ATTRIBUTE])
def test_attributes_and_results_of_classic_mode_are_lent(value, form):
    """Data that belongs to an object, or to the peer for good, is not copied."""
    one, other = two_ends()
    stand = other.read(one.write(value, form=form))
    assert type(stand) is Stand
    assert one.read(other.write(stand)) is value
    assert carried(by_value(value), form=form) == value


def test_a_copy_may_hold_references():
    """What is no data inside goes by reference, wherever it stands."""
    thing = Thing()
    one, other = two_ends()
    for value in ([thing], {"a": thing}, {1: thing}, collections.deque([thing]), ([{"b": thing}],)):
        arrived = other.read(one.write(value))
        assert type(arrived) is type(value)
        assert one.read(other.write(arrived)) == value


def test_what_is_shared_is_shared_again():
    """Parts that are the same object keep that within one message, and cycles are closed."""
    part, data = [1], bytearray(b"x")
    value = {"a": part, "b": (part, data), "c": [data, data]}
    value["self"] = value
    part.append(value)
    arrived = carried(value)
    assert arrived["a"] is arrived["b"][0]
    assert arrived["b"][1] is arrived["c"][0] is arrived["c"][1]
    assert arrived["self"] is arrived is arrived["a"][1]


def test_what_cannot_hold_itself_is_refused():
    """A container that is made of its parts has to have them all first."""
    value = collections.deque()
    value.append([value])
    with pytest.raises(NotSendable, match=r"a deque .*contains itself"):
        carried(value)


def test_keys_are_written_again():
    """What is in keys is not referred to: its hash could lead anywhere."""
    row = collections.namedtuple("Row", "x")(1)  # noqa: PYI024
    value = [{row: 1}, row, {row: 2}, row]
    arrived = carried(value)
    assert arrived == value
    assert arrived[1] is arrived[3]


def test_tuples_hold_references():
    """A tuple travels by value, what is in it by its own rule."""
    thing = Thing()
    number, stand, (again,) = carried((1, thing, (thing,)))
    assert number == 1
    assert stand is again
    assert stand.description.name == "Thing"


def test_by_reference_holds_for_anything():
    """A result may be marked to travel by reference, even a number."""
    one, other = two_ends()
    stand = other.read(one.write(by_reference(7)))
    assert one.read(other.write(stand)) == 7


def test_by_value_marks_once():
    """Marking twice is marking once; marks inside are understood."""
    marked = by_value([1])
    assert by_value(marked) is marked
    assert carried(marked) == [1]
    assert carried([by_value((2, [3]))], deep=True) == [(2, [3])]


def test_collections_arrive_as_what_they_are():
    """Subclasses in collections and deques keep their class, views of keys and items as well."""
    value = {
        "default": collections.defaultdict(int, {"a": 1}),
        "ordered": collections.OrderedDict(b=2),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2], maxlen=2),
        "keys": {"x": 1}.keys(),
        "values": {"x": 1}.values(),
        "items": {"x": 1}.items(),
    }
    for deep in (True, False):
        arrived = carried(value, deep=deep)
        assert arrived.pop("values") == [1]
        assert arrived == {name: part for name, part in value.items() if name != "values"}
        assert all(type(part) is type(value[name]) for name, part in arrived.items())
        assert arrived["default"].default_factory is int
        assert arrived["deque"].maxlen == 2


class Items(list):
    """A list of the user's: there may be more to it than its items."""


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Thing(), "a Thing cannot be copied"),
        ([0, 1, 2, {"x": Thing()}], r"a Thing at value\[3\]\['x'\] cannot be copied"),
        ({"a": ([Thing()],)}, r"at value\['a'\]\[0\]\[0\]"),
        ({(1, 2): [Thing()]}, r"at value\[\(1, 2\)\]\[0\]"),
        ({Thing(): 1}, r"a Thing at value\.keys\(\)"),
        ({Thing()}, r"a Thing at value\{\.\.\.\}"),
        ([slice(1, Thing())], r"a Thing at value\[0\]\[:\]"),
        ([Items()], r"an? Items at value\[0\]"),
        ([lambda: 1], r"a function at value\[0\]"),
        ([16**1_000_000], "of 1,000,001 hexadecimal digits is too large"),
        ([1, 16**1_000_000], r"an? int at value\[1\] of 1,000,001"),
    ],
)
def test_what_cannot_be_copied_is_named_by_its_path(value, where):
    """NotSendable says what it is, where it is, and what to do."""
    with pytest.raises(NotSendable, match=where) as caught:
        carried(value, deep=True)
    assert "nbrpc.register_value" in str(caught.value)


def nested(value, levels, wrap):
    """Wrap a value so many times."""
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap",
    [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {1: x}, slice],
    ids=["list", "tuple", "dict", "pairs", "slice"],
)
def test_depth_is_limited_by_the_sender(wrap):
    """What the sender lets through the receiver takes; one level more is refused at the sender."""
    deepest = nested(2**70, 63, wrap)
    assert same(carried(deepest, deep=True), deepest)
    with pytest.raises(NotSendable, match="nested deeper than 64 levels"):
        carried(nested(1, 66, wrap), deep=True)


@pytest.mark.parametrize("wrap", [lambda x: (x,), slice], ids=["tuple", "slice"])
def test_immutable_values_have_the_same_limit(wrap):
    """A tuple that is nested too deeply is refused at the sender, and the link survives."""
    deepest = nested(1, 64, wrap)
    assert same(carried(deepest), deepest)
    for levels in (66, 5000):
        with pytest.raises(NotSendable, match="nested deeper than 64 levels"):
            carried(nested(1, levels, wrap))


def test_registered_values_have_the_same_limit(monkeypatch):
    """So is a linked list of named tuples."""
    monkeypatch.setattr(values, "_names", {})
    monkeypatch.setattr(values, "_classes", {})
    link = values.register_value(collections.namedtuple("Link", "next"))  # noqa: PYI024
    assert carried(nested(None, 60, link)) == nested(None, 60, link)
    for deep in (True, False):
        with pytest.raises(NotSendable, match="nested deeper"):
            carried(nested(None, 70, link), deep=deep)


def test_a_frozenset_that_is_nested_too_deeply_travels_by_reference():
    """It is hashable and immutable, but not a value that the peer would read."""
    assert type(carried(nested(1, 100, lambda x: frozenset({x})))) is Stand


def test_a_set_of_objects_is_refused_and_a_frozen_one_stays():
    """The other side would have to ask for the hashes of its members."""
    one, other = two_ends()
    thing = Thing()
    value = frozenset({thing, (1, thing)})
    for deeper in (value, [value], {"a": (value,)}):
        arrived = other.read(one.write(deeper))
        assert one.read(other.write(arrived)) == deeper
    for refused in ({thing}, {(1, thing): 2}, {value}):
        with pytest.raises(NotSendable, match="goes by reference, and cannot be hashed"):
            one.write(refused)
    assert one.boxing.exports.get(1) is value
    with pytest.raises(NotSendable, match="cannot be copied"):
        carried(value, deep=True)


ALIKE = [number * (2**61 - 1) for number in range(1, 1103)]
"""Integers whose hashes are all 0."""

COLLIDING = [codec.Scalar("int", f"{number:x}") for number in ALIKE]


@pytest.mark.parametrize(
    "value",
    [
        set(ALIKE),
        [{*ALIKE[:552]}, {*ALIKE[:552]}],
        dict.fromkeys(ALIKE),
        frozenset(ALIKE),
        {(number,) for number in ALIKE},
        set(map(fractions.Fraction, ALIKE)),
    ],
    ids=["set", "two sets", "dict", "frozenset", "tuples", "fractions"],
)
def test_keys_with_equal_hashes_are_limited_by_the_sender(value):
    """Over 1,000 keys of a message whose hash another one has are refused before sending."""
    with pytest.raises(LimitExceeded, match=r"over 1,000 keys .* raise Limits\.odd_keys"):
        carried(value)


@pytest.mark.parametrize(
    "value",
    [
        {number: str(number) for number in range(20_000)},
        set(range(-10_000, 10_000)),
        {number / 7 for number in range(20_000)},
        {(number, "x"): number for number in range(20_000)},
        {datetime.date(2026, 1, 1) + datetime.timedelta(days=n) for n in range(5_000)},
    ],
    ids=["ints", "negative ints", "floats", "tuples", "dates"],
)
def test_everyday_keys_have_no_limit_of_their_own(value):
    """What does not collide costs nothing."""
    assert carried(value) == value


def test_str_and_bytes_are_no_odd_keys():
    """Python makes their hashes unpredictable, so there is no limit on them."""
    value = {str(number) for number in range(3000)}
    assert carried(value, deep=True) == value
    value = {b"%d" % number: "ü" for number in range(3000)}
    assert carried(value, deep=True) == value


@pytest.mark.parametrize(
    ("value", "deep"),
    [
        ([None] * 1001, True),
        ([[None] * 500, [None] * 500, None], True),
        (dict.fromkeys(map(str, range(1001))), True),
        (dict.fromkeys(map(str, range(1001)), 1), True),
        ((None,) * 1001, False),
    ],
)
def test_elements_are_limited_by_the_sender(value, deep):
    """All containers of a message together hold at most so many elements."""
    with pytest.raises(LimitExceeded, match=r"over 1,000 elements .* raise Limits\.elements"):
        carried(value, deep=deep, ends=two_ends(Limits(elements=1000)))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (List([None] * 1001), "over 1,000 elements"),
        (Tuple([List([None] * 500), List([None] * 500)]), "over 1,000 elements"),
        (Map(dict.fromkeys(map(str, range(1001)))), "over 1,000 elements"),
        (codec.Set(COLLIDING[:102]), "over 100 keys with equal hashes"),
        (codec.Set([1] * 102), "over 100 keys with equal hashes"),
        (Tuple([Frozen(COLLIDING[:60]), Frozen(COLLIDING[:60])]), "over 100 keys"),
        (Pairs(COLLIDING[:102], [1] * 102), "over 100 keys"),
        (Pairs([1], []), "keys without values"),
        (Pairs([List([])], [1]), "cannot be hashed.*unhashable"),
        (Same(0), "an object that is not in its message"),
        (List([Same(1)]), "an object that is not in its message"),
        (List([Same(-1)]), "an object that is not in its message"),
        (List([Same(2**63)]), "an object that is not in its message"),
        (Tuple([List([]), codec.Set([Same(0)])]), "an object that is not in its message"),
        (Tuple([Made("nbrpc.class", ["builtins.int"]), Pairs([Same(0)], [1])]), "not in its"),
        (codec.Set([Same(0)]), "an object that is not in its message"),
        (Made("collections.deque", [List([Same(0)]), None]), "holds itself that cannot"),
        (Made("record", ["P", Tuple(["x"]), True, None, Same(0)]), "holds itself that cannot"),
        (Made("collections.deque", [List([]), "x"]), "a part of a .*deque is a str"),
        (Made("collections.deque", [List([])]), "has 1 parts"),
        (Made("collections.deque", []), "has 0 parts"),
        (Made("collections.deque", [List([]), -1]), "cannot be made"),
        (Made("os.system", ["true"]), "kind 'os.system' arrived"),
        (Made("builtins.eval", ["1"]), "kind 'builtins.eval' arrived"),
        (Made("types.FunctionType", []), "kind 'types.FunctionType' arrived"),
        (Made("nbrpc.class", ["os.system"]), "a class 'os.system' arrived"),
        (Made("nbrpc.class", ["builtins.eval"]), "a class 'builtins.eval' arrived"),
        (Made("record", []), "no fields"),
        (Made("record", ["P", Tuple(["x"]), True, None]), "a record cannot be read"),
        (Made("record", ["P", List(["x"]), True, None, 1]), "a record cannot be read"),
        (Made("record", ["a b", Tuple([]), True, None]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["__class__"]), True, None, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["__eq__"]), True, None, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["x", "x"]), True, None, 1, 2]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["class"]), True, None, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["_nbrpc_text_"]), True, None, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["x"]), 1, None, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple(["x"]), True, 1, 1]), "a record cannot be read"),
        (Made("record", ["P", Tuple([List([])]), True, None, 1]), "a record cannot be read"),
        (Made("row", ["P", Tuple(["_x"]), True, None, 1]), "begins with an underscore"),
        (Made("row", ["P", Tuple(["x", "x"]), True, None, 1, 2]), "a record cannot be read"),
        (Made("member", ["C", "N", 1.5, "", "", None]), "neither a number nor a text"),
        (Made("member", ["C", "N", 1]), "cannot be read"),
        (Made("member at home", [Made("nbrpc.class", ["builtins.int"]), 1]), "that is none"),
        (Parts([0]), "in place of a value"),
        (List([Parts([0]), 1]), "in place of a value"),
        (Slice("s", Parts([0]), 1, 2), "in place of a value"),
        (Tuple([Parts([0])]), "data that did not come"),
        (Tuple([Parts([-1])]), "data that did not come"),
        (codec.Set([List([])]), "cannot be hashed"),
        (Frozen([Map({})]), "cannot be hashed"),
        (codec.Set([Ref(1, 1)]), "a key is a reference"),
        (codec.Set([Tuple([Tuple([Ref(1, 1)])])]), "a key is a reference"),
        (Pairs([Home(1)], [1]), "a key is a reference"),
        (Bytes("x", -1, b""), "data of kind 'x'"),
        (Bytes("u", -1, b"\xff"), "not UTF-8"),
        (Bytes("b", 0), "data that did not come"),
        (Bytes("b", 2**62), "data that did not come"),
        (Packed("d", -1), "data that did not come"),
        (Slice("x", 1, 2, 3), "a slice of kind 'x'"),
        (Slice("r", 1, 2, 0), "a range cannot be read"),
        (Slice("r", "a", 2, 1), "a range cannot be read"),
        (codec.Scalar("nothing", ""), "kind 'nothing' cannot be read"),
        (nested(None, 67, lambda x: List([x])), "nested too deeply"),
        (nested(None, 400, lambda x: Map({"": x})), "nested too deeply"),
    ],
)
def test_what_boxing_does_not_make_is_refused(value, match):
    """Each budget and rule holds at the receiver too, whatever the peer sends."""
    limits = Limits(elements=1000, odd_keys=100)
    one, other = two_ends(limits)
    with pytest.raises(RemoteProtocolError, match=match):
        other.read(written(one.protocol, Kind.REPLY, (1, value)))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (Tuple([Bytes("b", 0), Bytes("b", 0)]), "did not come"),
        (Packed("x", 0), "cannot be read"),
        (Packed("q", 0), "over 1,000 elements"),
        (Tuple([Packed("q", 0), Packed("q", 0)]), "over 1,000 elements|did not come"),
    ],
)
def test_buffers_are_used_once_and_as_what_they_are(value, match):
    """A peer cannot have one buffer copied as often as it names it."""
    one, other = two_ends(Limits(elements=1000))
    with pytest.raises(RemoteProtocolError, match=match):
        other.read(written(one.protocol, Kind.REPLY, (1, value), [bytes(9000)]))
    with pytest.raises(RemoteProtocolError, match="numbers cannot be read"):
        other.read(written(one.protocol, Kind.REPLY, (1, Packed("d", 0)), [bytes(9)]))


@settings(max_examples=400)
@given(value=wire_values, buffers=st.lists(st.binary(max_size=40), max_size=3))
def test_any_wire_value_gives_an_object_or_a_known_error(value, buffers):
    """Nothing that the codec lets through raises anything unexpected while it is unboxed."""
    one, other = two_ends()
    try:
        other.read(written(one.protocol, Kind.REPLY, (1, value), buffers))
    except (RemoteProtocolError, NotSendable, StaleReference):
        pass


@given(value=deep_values, changes=mutations)
def test_mutated_values_give_an_object_or_a_known_error(value, changes):
    """Nor does a valid message with some bytes changed."""
    one, other = two_ends()
    data = mutated(one.write(value), changes)
    try:
        for message in other.protocol.receive(data):
            if hasattr(message, "value"):
                other.boxing.unbox(message.value, message.buffers)
    except (RemoteProtocolError, NotSendable, StaleReference):
        pass


@pytest.mark.parametrize(
    "value",
    [
        List([Packed("q", 0)] * 5000),
        List([Bytes("b", 0)] * 5000),
        List([Bytes("a", 0)] * 5000),
        List([Tuple([])] * 10_000),
        List([codec.Scalar("complex", "0,0")] * 3500),
        List([codec.Array("<f8", [0, 2**62], 0)] * 2800),
        codec.Set(COLLIDING * 2),
        List([codec.Set(COLLIDING[:1000])] * 2),
        codec.Scalar("fraction", "f" * 30_000 + "/" + "e" * 30_000),
        codec.Array("<f8", [2**63] * 6000, 0),
        List([Made("collections.deque", [List([]), None])] * 2000),
        List([List([]), *[Same(1)] * 20_000]),
        List([Made("record", ["P", Tuple(["x"]), True, None, 1])] * 2000),
        List([Made("row", ["P", Tuple(["x"]), True, None, 1])] * 2000),
        List([Made("row", ["P", Tuple([f"x{n}"]), True, None, 1]) for n in range(60)]),
        List([Made("record", ["P", Tuple([f"x{n}"]), True, None, 1]) for n in range(60)]),
        Made("re.Pattern", ["(" * 20_000, 0]),
        Made("re.Pattern", ["(a" * 90 + ")" * 90, 0]),
        List([Parts([0] * 40_000)]),
        List([Parts([0]), Parts([0])]),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_64_kilobytes_cost_little(value):
    """No message of 64 kB takes more than 16 MB or a tenth of a second."""
    one, other = two_ends()
    data = written(one.protocol, Kind.REPLY, (1, value), [bytes(8192)])
    assert len(data) < 70_000
    try:
        other.read(data)
    except RemoteProtocolError:
        pass
    other = two_ends()[1]
    begun = time.process_time()
    tracemalloc.start()
    try:
        other.read(data)
    except RemoteProtocolError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert time.process_time() - begun < 1.0  # tracemalloc alone makes it many times slower


def test_a_description_travels_with_the_first_reference_only():
    """Later references to objects of the class name it by its key."""
    one, other = two_ends()
    first, second = one.write(Thing()), one.write(Thing())
    assert len(second) < len(first)
    stands = [other.read(data) for data in (first, second)]
    assert stands[0].key == stands[1].key
    assert stands[0].description is stands[1].description
    assert stands[0].description.name == "Thing"


def test_a_description_that_was_not_sent_travels_again():
    """A message that fails leaves nothing behind: no reference, no description taken as known."""
    one, other = two_ends()
    with pytest.raises(NotSendable):
        one.write((Thing(), by_value(Thing())))
    assert len(one.boxing.exports) == 0
    assert other.read(one.write(Thing())).description.name == "Thing"


def test_a_reference_without_a_description_is_an_object():
    """A peer that describes nothing gets proxies of plain objects."""
    one, other = two_ends()
    stand = other.read(written(one.protocol, Kind.REPLY, (1, Ref(5, 77))))
    assert stand.description is boxing_module.UNKNOWN


def test_what_nobody_unboxes_is_given_back():
    """References anywhere in a value are owed, also in parts beside the body."""
    one, other = two_ends()
    thing = Thing()
    refs = iter(range(100))

    def ref():
        return one.boxing.box(by_reference(thing), one.boxing.draft()) if next(refs) + 1 else None

    value = Tuple([
        List([ref()]), Map({"a": ref()}), Pairs([ref()], [1, ref()]), codec.Set([ref()]),
        codec.Registered("x", [ref()]), Slice("s", ref(), None, ref()), 7, "x",
        Made("collections.deque", [List([ref()]), None]), List([Parts([0, 1, 0, 7])]),
    ])  # fmt: skip
    buffers = [codec.encode([ref(), Tuple([ref(), Parts([1])])]), codec.encode([ref()])]
    message = other.receive(written(one.protocol, Kind.REPLY, (1, value), buffers))
    other.boxing.discard(message.value, message.buffers)
    assert sum(other.releases()[1::2]) == 12


def test_a_discarded_value_may_be_nested_without_end():
    """Giving back does not recurse."""
    _, other = two_ends()
    other.boxing.discard(nested(Ref(3, 1), 100_000, lambda x: Tuple([x])))
    assert other.releases() == [3, 1]


def test_a_message_that_cannot_be_read_gives_its_references_back():
    """Those before and behind what failed; those that became proxies give themselves back."""
    one, other = two_ends()
    things = [Thing(), Thing(), Thing()]
    draft = one.boxing.draft()
    items = [one.boxing.box(thing, draft) for thing in things]
    items.insert(1, codec.Registered("unknown", [items.pop()]))
    message = other.receive(written(one.protocol, Kind.REPLY, (1, Tuple([Tuple(items)]))))
    with pytest.raises(NotSendable):
        other.boxing.unbox_all([1, message.value], None)
    counts = other.releases()
    assert sorted(counts[::2]) == [1, 2, 3]
    one.take_back(counts)
    assert len(one.boxing.exports) == 0
    assert len(other.boxing.imports) == 0


def test_objects_held_by_the_peer_are_limited():
    """LimitExceeded for that one call, and nothing of it stays lent."""
    one, _ = two_ends(Limits(exported=2))
    kept = Thing()
    one.write(kept)
    with pytest.raises(LimitExceeded, match="already holds 2 objects"):
        one.write((Thing(), Thing()))
    assert len(one.boxing.exports) == 1
    one.write(Thing())


def test_a_peer_cannot_describe_or_send_without_end():
    """Descriptions and references of one connection are limited at the receiver."""
    one, other = two_ends(Limits(exported=3))
    description = codec.Description("m", "C", "instance", {}, (), None, "")
    for key in (1, 2, 3, 3):
        other.boxing.learn(key, description)
    with pytest.raises(RemoteProtocolError, match="described too many classes"):
        other.boxing.learn(9, description)
    stands = [other.read(written(one.protocol, Kind.REPLY, (1, Ref(oid, 1)))) for oid in range(30)]
    assert len({stand.oid for stand in stands}) == 30
    with pytest.raises(RemoteProtocolError, match="sent too many references"):
        other.read(written(one.protocol, Kind.REPLY, (1, Ref(50, 1))))


def test_a_description_is_not_replaced():
    """A class that was described stays what it was."""
    one, other = two_ends()
    for name in ("First", "Second"):
        other.boxing.learn(1, codec.Description("m", name, "instance", {}, (), None, ""))
    stand = other.read(written(one.protocol, Kind.REPLY, (1, Ref(1, 1))))
    assert stand.description.name == "First"


@pytest.mark.parametrize("kind", ["record", "row"])
def test_a_peer_cannot_make_classes_without_end(kind):
    """One class is made for a name and its fields, and so many of a connection."""
    one, other = two_ends()
    for number in [*range(1000)] * 2:
        made = Made(kind, ["P", Tuple([f"x{number}"]), True, None, 1])
        other.read(written(one.protocol, Kind.REPLY, (1, made)))
    assert len(other.boxing.records) == 1000
    made = Made(kind, ["P", Tuple(["x1000"]), True, None, 1])
    with pytest.raises(RemoteProtocolError, match="over 1,000 classes of records"):
        other.read(written(one.protocol, Kind.REPLY, (1, made)))


@pytest.mark.parametrize("name", ["_repr_html_", "_ipython_display_", "_repr_mimebundle_"])
def test_a_field_of_a_record_is_nothing_that_a_notebook_calls(name):
    """A notebook would call what is there."""
    one, other = two_ends()
    made = Made("record", ["P", Tuple([name]), True, None, Ref(1, 1)])
    with pytest.raises(RemoteProtocolError, match="a record cannot be read"):
        other.read(written(one.protocol, Kind.REPLY, (1, made)))


def test_a_sender_makes_no_more_classes_than_the_peer_takes():
    """Records of further classes go by reference."""
    ends = two_ends()
    for number in range(1001):
        row = collections.namedtuple("Row", [f"x{number}"])(number)  # noqa: PYI024
        arrived = carried(row, ends=ends)
        assert (type(arrived) is Stand) is (number == 1000)


def test_records_whose_names_are_odd_go_where_they_can():
    """What has a private field, or a name that none can have here, stays there."""
    row = collections.namedtuple("Row", "x class y", rename=True)(1, 2, 3)  # noqa: PYI024
    assert type(carried(row)) is Stand
    assert type(carried(dataclasses.make_dataclass("Any", ["x", "_secret"])(1, 2))) is Stand
    for name in ("Page[int]", "_repr_html_", "class"):
        made = dataclasses.make_dataclass("Any", ["x"])(1)
        type(made).__name__ = name
        assert type(carried(made)) is Stand


def test_keys_that_a_copy_could_not_be_are_refused_by_the_sender():
    """The peer would end the connection over a key without a hash."""
    listed = dataclasses.make_dataclass(
        "Listed", [("x", int), ("tags", list, dataclasses.field(hash=False))], frozen=True
    )
    identity = dataclasses.make_dataclass("Identity", ["x"], eq=False)
    for key, match in ((listed(1, []), "a list .* has no hash"), (identity(1), "by its identity")):
        for value in ({key: 1}, {key}, {(1, key): 2}):
            with pytest.raises(NotSendable, match=match):
                carried(value)
        assert type(carried(frozenset({key}))) is Stand


def test_a_record_is_compared_and_hashed_here():
    """Whatever the names of its fields are: nothing in it is called."""
    cls = dataclasses.make_dataclass("Odd", ["entries", "items"], frozen=True)
    one, two = carried(cls(1, 2)), carried(cls(1, 2))
    assert one == two == cls(1, 2)
    assert hash(one) == hash(two)
    assert repr(one) == "Odd(entries=1, items=2)"
    assert carried({cls(1, 2): 3}) == {two: 3}


@pytest.mark.parametrize(
    "made",
    [
        Made("record", ["P", Tuple([]), True, "a\x1b]0;title\x07b\x1b[2J"]),
        Made("member", ["C", "N", 1, "a\x1b]0;title\x07b\x1b[2J", "1", None]),
        Made("member", ["C", "N", "1", "a\x1b]0;title\x07b\x1b[2J", "1", None]),
    ],
)
def test_the_repr_of_a_copy_holds_nothing_that_a_terminal_obeys(made):
    """It is text of the peer."""
    one, other = two_ends()
    assert repr(other.read(written(one.protocol, Kind.REPLY, (1, made)))) == "ab"


LARGE = [
    list(map(str, range(300_000))),
    tuple(map(str, range(300_000))),
    {str(number): [number, str(number)] for number in range(100_000)},
    {number: str(number) for number in range(300_000)},
    {f"key {number}" for number in range(200_000)},
    frozenset(range(0, 10**7, 50)),
    collections.deque(map(str, range(300_000))),
    [[str(number)] * 3 for number in range(90_000)],
    {"a": [{"b": [str(number) for number in range(250_000)]}]},
]


@pytest.mark.parametrize("value", LARGE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("body", [1024 * 1024, 20_000])
def test_data_above_the_limit_of_a_body_is_sent_in_parts(value, body):
    """No part of it is larger than what the receiver takes at once."""
    assert carried(value, ends=two_ends(Limits(body=body))) == value


def test_what_is_shared_is_shared_in_parts_too():
    """Numbers go on from part to part."""
    part = ["x"]
    value = [*map(str, range(200_000)), part, {"a": part}]
    arrived = carried(value)
    assert arrived[-1]["a"] is arrived[-2]
    assert arrived == value


def test_what_cannot_be_parted_is_refused_by_the_sender():
    """A slice is written as a whole; a peer that received too much would end the connection."""
    with pytest.raises(LimitExceeded, match=r"a slice in the message has .* bytes"):
        carried([slice([str(number) for number in range(300_000)])])


@pytest.mark.parametrize(
    ("value", "buffers", "match"),
    [
        (List([Parts([0, 0])]), [codec.encode([1])], "did not come"),
        (Tuple([List([Parts([0])])] * 2), [codec.encode([1])], "did not come"),
        (
            List([Parts([0])]),
            [codec.encode([Parts([1])]), codec.encode([1])],
            "in place of a value",
        ),
        (List([Parts([0])]), [codec.encode([List([Parts([0])])])], "did not come"),
        (List([Parts([0])]), [codec.encode(1)], "malformed"),
        (List([Parts([0])]), [b""], "malformed"),
        (List([Parts([0])]), [codec.encode(["x" * 20_000])], "too large"),
        (List([Parts([0, 1])]), [codec.encode([None] * 600)] * 2, "over 1,000 elements"),
        (codec.Set([Parts([0])]), [codec.encode([Ref(1, 1)])], "a key is a reference"),
        (Pairs([Parts([0])], [1]), [codec.encode([1, 2])], "keys without values"),
    ],
)
def test_parts_that_boxing_does_not_make_are_refused(value, buffers, match):
    """Each holds values of one list, is read once and has the limits of a body."""
    one, other = two_ends(Limits(elements=1000, body=10_000))
    with pytest.raises(RemoteProtocolError, match=match):
        other.read(written(one.protocol, Kind.REPLY, (1, value), buffers))


def test_an_attribute_of_an_object_comes_home_by_its_path():
    """A path is read through the policy, name by name."""

    class Outer:
        exposed_inner = Thing()

    one, other = two_ends()
    outer = Outer()
    stand = other.read(one.write(outer))
    home = Home(stand.oid, "inner")
    assert one.read(written(other.protocol, Kind.REPLY, (1, home))) is Outer.exposed_inner
    with pytest.raises(AttributeError):
        one.read(written(other.protocol, Kind.REPLY, (1, Home(stand.oid, "inner.method"))))


def test_an_object_that_was_given_back_is_stale():
    """Its release may overtake a request that nobody waits for: only that request fails."""
    one, other = two_ends()
    with pytest.raises(StaleReference, match="object 99 is no longer held"):
        other.read(written(one.protocol, Kind.REPLY, (1, Home(99))))


def test_a_proxy_is_no_key():
    """The other side would have to ask for its hash, so a copy with a proxy as key is refused."""
    one, other = two_ends()
    thing = Thing()
    stand = other.read(one.write(thing))
    for value in ({stand: 1}, {stand}, {(1, stand): 2}):
        with pytest.raises(NotSendable, match=r"a Stand .* is a proxy, which cannot be hashed"):
            other.write(value)
    assert one.read(other.write([stand])) == [thing]


@pytest.mark.parametrize(
    ("args", "plain"),
    [
        ((), True),
        ((1, 2.5, "x", None, True), True),
        ((2**64 - 1, -(2**63)), True),
        ((2**64,), False),
        ((-(2**63) - 1,), False),
        (("é",), False),
        (("x" * 16_384,), True),
        (("x" * 16_385,), False),
        ((b"x",), False),
        (([],), False),
        ((Kind.PING,), False),
    ],
)
def test_plain_arguments_need_no_boxing(args, plain):
    """What can be sent as it is, is told at once, and boxing would give just that."""
    one, _ = two_ends()
    assert one.boxing.box_plain(args) is plain
    if plain:
        assert [one.boxing.box(arg, one.boxing.draft()) for arg in args] == list(args)


def test_plain_values_are_given_as_they_are():
    """A list of plain values is not copied; boxes in it are read."""
    one, _ = two_ends()
    items = [1, "x", None]
    assert one.boxing.unbox_all(items, None) is items
    assert one.boxing.unbox_all([1, Tuple([2])], None) == [1, (2,)]
    assert one.boxing.unbox("x", None) == "x"


def test_large_bytes_are_not_copied_by_the_receiver():
    """What is received is the object that the user gets."""
    one, other = two_ends()
    message = other.receive(one.write(b"x" * 1_000_000))
    reader = Reader(other.boxing, message.buffers)
    assert reader.read(message.value) is message.buffers[0].getvalue()


def test_boxing_keeps_nothing_alive():
    """A message that was sent or undone holds no object but through the table."""
    one, _ = two_ends()
    thing = Thing()
    ref = weakref.ref(thing)
    draft = one.boxing.draft()
    one.boxing.box(by_value([1]), draft)
    one.boxing.box(thing, draft)
    draft.undo()
    del thing
    assert ref() is None
    assert len(one.boxing.exports) == 0
