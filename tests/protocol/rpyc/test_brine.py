"""Brine is what RPyC writes and reads, and nothing else is taken."""

from __future__ import annotations

import struct
import sys
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rpyc.core import brine as stock

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.options import DEFAULT_LIMITS, Limits
from nbrpc.protocol.rpyc.brine import (
    MAX_DEPTH,
    dumps,
    encode_tuple_header,
    is_dumpable,
    loads,
)
from nbrpc.protocol.rpyc.brine_reading import IDENTITIES, MAX_IDENTITIES
from tests.protocol.rpyc.brine_values import values
from tests.strategies import any_texts, immutable_values, mutated, mutations, same, texts

CALL = (
    5,
    (8, (2, ((3, ("__main__.Calc", 2**46 + 7, 2**47 - 9)), (1, "add"), (1, (1, 2)), (1, ())))),
)

VECTORS = [
    (160, "1603313630"),
    (-49, "16032d3439"),
    (159, "ef"),
    (-48, "20"),
    (1.5, "183ff8000000000000"),
    (1 + 2j, "1b3ff00000000000004000000000000000"),
    ("", "0801"),
    ("a", "080a61"),
    ("é", "080bc3a9"),
    ("hello", "080e0568656c6c6f"),
    (slice(1, 2, None), "1912515200"),
    (frozenset({1}), "1a1051"),
    ((1,) * 5, "14055151515151"),
    (None, "00"),
    (b"", "01"),
    ((), "02"),
    (True, "03"),
    (False, "04"),
    (NotImplemented, "05"),
    (..., "06"),
]


@pytest.mark.parametrize(("value", "data"), VECTORS, ids=[repr(value) for value, _ in VECTORS])
def test_what_rpyc_was_seen_to_write(value, data):
    """Each form has the bytes that RPyC writes, both ways."""
    assert dumps(value).hex() == data
    assert same(loads(bytes.fromhex(data)), value)


@settings(deadline=None)
@given(value=values)
@example(value=CALL)
@example(value=tuple(range(70_000)))
@example(value=b"x" * 70_000)
@example(value="é" * 70_000)
def test_values_pass_between_rpyc_and_this(value):
    """What either side writes the other reads, and both write the same bytes."""
    data = stock.dump(value)
    assert dumps(value) == data
    assert same(loads(data), value)
    assert same(stock.load(dumps(value)), value)
    assert is_dumpable(value)
    assert same(loads(b"\x01" + data, start=1), value)


@given(value=immutable_values | any_texts)
@example(value=[1])
@example(value=(1, [2]))
@example(value=slice({}, 1))
@example(value=True)
def test_what_is_said_to_be_dumpable_is(value):
    """A value is dumpable exactly when it can be written; all else raises NotSendable."""
    try:
        dumps(value)
    except NotSendable:
        assert not is_dumpable(value)
    else:
        assert is_dumpable(value)


class Number(int):
    """An int that is more than one."""


UNSENDABLE = {
    "int of a subclass": Number(1),
    "list": [],
    "dict": {},
    "bytearray": bytearray(),
    "set": {1},
    "object": object(),
    "class": int,
    "within tuples": (1, (2, Number(3))),
    "within a slice": slice(1, [], None),
    "lone surrogate": "\ud800",
    "one in a tuple": ("\ud800",),
    "4,301 digits": 10**4300,
    "4,301 digits below 0": -(10**4300),
}


@pytest.mark.parametrize("value", UNSENDABLE.values(), ids=UNSENDABLE)
def test_other_types_are_not_written(value):
    """Subclasses, containers that change, lone surrogates and endless ints raise NotSendable."""
    assert not is_dumpable(value)
    with pytest.raises(NotSendable):
        dumps(value)


@pytest.mark.parametrize("digits", [20, 254, 255, 256, 4300])
def test_ints_of_4300_digits_pass(digits):
    """The largest ints of each form are read, here and there."""
    for value in (10**digits - 1, 1 - 10**digits, 10 ** (digits - 1)):
        assert loads(dumps(value)) == value == stock.load(dumps(value))


def test_a_lower_limit_of_the_interpreter_is_named():
    """An interpreter that was set to fewer digits refuses in words of ours, both ways."""
    data = dumps(10**1000)
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(700)
    try:
        with pytest.raises(NotSendable, match="more digits than this interpreter writes"):
            dumps(10**1000)
        with pytest.raises(RemoteProtocolError, match="more digits than this interpreter reads"):
            loads(data)
    finally:
        sys.set_int_max_str_digits(before)


def nested(depth: int, around=lambda value: (value,)) -> object:
    """Give containers within each other."""
    value: object = 1
    for _ in range(depth):
        value = around(value)
    return value


@pytest.mark.parametrize(
    "around",
    [
        lambda value: (value,),
        lambda value: (1, value),
        lambda value: ("a", value, value is None),
        lambda value: (1, 2, 3, value),
        lambda value: (1, 2, 3, 4, value),
        lambda value: (*range(300), value),
        lambda value: slice(1, value, 2),
        lambda value: frozenset([value]),
    ],
)
def test_depth_is_bounded(around):
    """Each container counts one level, both ways; deeper ones are refused."""
    assert dumps(nested(MAX_DEPTH, around))
    assert is_dumpable(nested(MAX_DEPTH, around))
    assert not is_dumpable(nested(MAX_DEPTH + 1, around))
    with pytest.raises(NotSendable, match="nested too deeply"):
        dumps(nested(MAX_DEPTH + 1, around))
    most = DEFAULT_LIMITS.depth + 2
    assert same(loads(dumps(nested(most, around), 100)), nested(most, around))
    with pytest.raises(RemoteProtocolError, match="nested too deeply"):
        loads(dumps(nested(most + 1, around), 100))


def test_the_deepest_argument_is_read_in_its_message():
    """What may be sent is taken by a peer with the usual limits, with all that is around it."""
    deepest = nested(MAX_DEPTH)
    message = (5, (8, (2, ((3, ("a.B", 1, 2)), (1, deepest)))))
    assert loads(dumps(message, 100)) == message
    with pytest.raises(RemoteProtocolError, match="nested too deeply"):
        loads(dumps((message,), 100))


def test_the_end_of_the_stack_is_a_refusal():
    """A value that is read where hardly any stack is left raises RemoteProtocolError as well."""
    data = dumps(nested(MAX_DEPTH))

    def below(frames):
        return below(frames - 1) if frames else loads(data)

    raised = RecursionError
    frames = sys.getrecursionlimit()
    while raised is RecursionError:
        frames -= 10
        with pytest.raises((RecursionError, RemoteProtocolError)) as caught:
            below(frames)
        raised = caught.type
    assert "nested too deeply" in str(caught.value)


def test_a_million_levels_are_refused():
    """Endless nesting ends at the limit, not at that of the interpreter."""
    for tag in (b"\x10", b"\x11", b"\x1a\x10", b"\x19\x12", b"\x14\x01"):
        with pytest.raises(RemoteProtocolError, match="nested too deeply"):
            loads(tag * 1_000_000)


@given(data=st.binary(max_size=60))
@example(data=b"")
@example(data=b"\x12\x08")
@example(data=b"\x12\x08\x0e\xff")
def test_arbitrary_bytes_raise_only_protocol_errors(data):
    """Bytes that are no value raise RemoteProtocolError and nothing else."""
    try:
        loads(data)
    except RemoteProtocolError:
        pass


@given(value=values, changes=mutations)
def test_mutated_values_raise_only_protocol_errors(value, changes):
    """Values with some bytes changed raise RemoteProtocolError or give a value."""
    try:
        value = loads(mutated(dumps(value), changes))
    except RemoteProtocolError:
        pass
    else:
        assert is_dumpable(value, 100)


@given(value=values)
@example(value=CALL)
def test_every_cut_is_noticed(value):
    """A value that misses its end at any place is refused; what follows one is ignored."""
    data = dumps(value)
    assert same(loads(data + b"\xff\xff"), value)
    for end in range(0, len(data), max(1, len(data) // 50)):
        with pytest.raises(RemoteProtocolError):
            loads(data[:end])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x07", r"unknown tag \(0x07\)"),
        (b"\x11\x50\x09", r"unknown tag \(0x09\)"),
        (b"\xf0", r"unknown tag \(0xf0\)"),
        (b"\x08\x51", "a text has the tag 0x51"),
        (b"\x08\x0a\xff", "not UTF-8"),
        (b"\x08\x0c\xed\xa0\x80", "not UTF-8"),
        (b"\x16\x00", "not written in digits"),
        (b"\x16\x01-", "not written in digits"),
        (b"\x16\x03 12", "not written in digits"),
        (b"\x16\x031_2", "not written in digits"),
        (b"\x16\x02+1", "not written in digits"),
        (b"\x16\x03--1", "not written in digits"),
        (b"\x16\x02\xb2\xb3", "not written in digits"),
        (b"\x14\x01\x16\x03 12", "not written in digits"),
        (b"\x17\0\0\0\x021_", "not written in digits"),
        (b"\x17\0\0\0\0", "not written in digits"),
        (b"\x17" + struct.pack(">I", 4301) + b"1" * 4301, "more than 4,300 digits"),
        (b"\x17" + struct.pack(">I", 9000) + b"-" + b"1" * 8999, "more than 4,300 digits"),
        (b"\x17\xff\xff\xff\xff1", "ends before"),
        (b"\x0f\xff\xff\xff\xffx", "ends before"),
        (b"\x15\xff\xff\xff\xff\x50", "promises 4,294,967,295 items"),
        (b"\x14\xff\x50", "ends before"),
        (b"\x19\x11\x50\x50", "2 parts instead of 3"),
        (b"\x19\x02", "0 parts instead of 3"),
        (b"\x19\x50", "not made of a tuple"),
        (b"\x1a\x0a\x50", "not made of a tuple"),
        (b"\x18\0", "ends before"),
        (b"\x14\x01\x18\0", "ends before"),
        (b"\x1b" + bytes(15), "ends before"),
    ],
)
def test_what_is_no_value_is_refused(data, match):
    """Each rule of the format has its own refusal."""
    with pytest.raises(RemoteProtocolError, match=match):
        loads(data)


# what is tested is not there then
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="slices can be hashed since Python 3.12")
def test_a_slice_in_a_frozenset_is_refused():
    """What cannot be hashed is no member of a set."""
    with pytest.raises(RemoteProtocolError, match="cannot be hashed"):
        loads(b"\x1a\x10\x19\x12\x50\x50\x50")


def test_elements_are_counted_over_the_message():
    """Items of all containers together are at most ``elements``."""
    limits = Limits(elements=100)
    fits = ((1,) * 40, frozenset(["a", "b"]), slice(1, 2), *((i,) for i in range(26)))
    assert loads(dumps(fits), limits) == fits
    filler = b"x" * 200
    assert loads(dumps((filler, (2,) * 98)), limits)
    for items in ((2,) * 99, ((1,) * 50,) * 2, ((1,),) * 60, tuple((i, i) for i in range(40))):
        with pytest.raises(RemoteProtocolError, match=r"Limits\.elements"):
            loads(dumps((filler, items)), limits)
    with pytest.raises(RemoteProtocolError, match=r"Limits\.elements"):
        loads(b"\x15\0\1\0\0" + b"\x50" * 0x10000, limits)


@pytest.mark.parametrize(
    ("value", "odd"),
    [
        (frozenset(range(1000, 1010)), 10),
        (frozenset(["a", b"b", "c"]), 0),
        ((frozenset([1]), (frozenset([2]), frozenset(["a"]))), 2),
        (frozenset([("a", 1, (2, b"c"))]), 4),
        (frozenset([frozenset([1, "a"])]), 2),
        ((1, 2, 3), 0),
    ],
)
def test_odd_members_are_counted_over_the_message(value, odd):
    """Members of frozensets whose hashes can be made to collide are at most ``odd_keys``."""
    assert loads(dumps(value), Limits(odd_keys=max(odd, 1))) == value
    if odd > 1:
        with pytest.raises(RemoteProtocolError, match=r"Limits\.odd_keys"):
            loads(dumps(value), Limits(odd_keys=odd - 1))


def test_the_usual_limit_of_odd_members():
    """A thousand ints in frozensets are taken, one more is not; texts do not count."""
    assert len(loads(dumps(frozenset(range(1000))))) == 1000
    with pytest.raises(RemoteProtocolError, match=r"Limits\.odd_keys"):
        loads(dumps(frozenset(range(1001))))
    many = frozenset(f"{number}" for number in range(5000))
    assert loads(dumps(many)) == many


def test_remembered_identities_are_exact():
    """An identity that was read before gives the same again, and no other bytes give it."""
    IDENTITIES.clear()
    for class_id, object_id in ((2**40, 2**41), (3, 2**41), (2**40, 7), (3, 7), (-300, 0)):
        identity = ("module.Class", class_id, object_id)
        data = dumps((1, identity, 2))
        assert [loads(data) for _ in range(3)] == [(1, identity, 2)] * 3
        assert identity in IDENTITIES.values()
    known = len(IDENTITIES)
    for other in (("module.Class", 3, "a"), ("module.Class", True, 7), ("module.Class", 3, (1,))):
        assert same([loads(dumps(other)) for _ in range(3)], [other] * 3)
    assert len(IDENTITIES) == known
    remembered = loads(dumps(("module.Class", 3, 7)))
    assert all(type(part) is int for part in remembered[1:])


@given(
    class_id=st.integers(-(2**70), 2**70),
    object_id=st.integers(-60, 400) | st.integers(0, 2**64),
    name=texts,
    after=st.binary(max_size=4),
)
def test_identities_are_read_the_same_twice(class_id, object_id, name, after):
    """The memory of identities changes nothing."""
    identity = (name, class_id, object_id)
    for _ in range(2):
        assert same(loads(dumps(identity) + after), identity)


def test_few_identities_are_remembered():
    """A peer that names ever new objects does not fill the memory."""
    for number in range(3 * MAX_IDENTITIES):
        loads(dumps(("module.Class", 1, number)))
    assert len(IDENTITIES) <= MAX_IDENTITIES
    IDENTITIES.clear()
    loads(dumps(("n" * 255, 10**100, 10**100)))
    assert not IDENTITIES


@pytest.mark.parametrize("count", [0, 1, 4, 5, 255, 256, 70_000])
def test_headers_splice_items_that_are_encoded(count):
    """The header of a tuple and the bytes of its items are the tuple."""
    items = tuple(range(count))
    assert encode_tuple_header(count) + b"".join(map(dumps, items)) == dumps(items)
    with pytest.raises(NotSendable):
        encode_tuple_header(2**32)


@pytest.mark.parametrize(
    "data",
    [
        encode_tuple_header(32_000) + b"\x10\x50" * 32_000,
        encode_tuple_header(32_000) + b"\x1a\x02" * 32_000,
        encode_tuple_header(900) + b"\x1a\x10\x51" * 900,
        encode_tuple_header(5_000) + b"\x1a\x14\x05\x01\x0a1\x0a2\x0a3\x0a4" * 5_000,
        encode_tuple_header(13_000) + b"\x19\x12\0\0\0" * 13_000,
        encode_tuple_header(7_000) + (b"\x18" + bytes(8)) * 7_000,
        encode_tuple_header(21_000) + b"\x16\x01\x39" * 21_000,
        encode_tuple_header(21_000) + b"\x08\x0b\xc3\xa9" * 16_000,
        encode_tuple_header(60_000) + b"\x50" * 60_000,
        b"\x15\0\0\xff\0" * 13_000,
        (b"\x14\xff" + b"\x50" * 200) * 64,
        b"\x15\xff\xff\xff\xff" + b"\x50" * 60_000,
        b"\x0f\xff\xff\xff\xff" + b"\x50" * 60_000,
        encode_tuple_header(14) + (b"\x17" + struct.pack(">I", 4300) + b"9" * 4300) * 14,
    ],
    ids=[
        "tuples", "empty sets", "sets", "sets of bytes", "slices", "floats", "ints", "texts",
        "small ints", "nested promises", "nested tuples", "a promise", "a length", "long ints",
    ],
)  # fmt: skip
def test_64_kilobytes_cost_at_most_16_megabytes(data):
    """No 64 kB of brine take more than 16 MB of memory."""
    assert len(data) < 66_000
    tracemalloc.start()
    try:
        try:
            loads(data)
        except RemoteProtocolError:
            pass
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
