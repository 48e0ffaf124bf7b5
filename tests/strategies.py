"""Hypothesis strategies: values, messages, names, and ways to split bytes."""

from __future__ import annotations

import datetime
import decimal
import fractions
import itertools
import math
import pathlib
import struct
import uuid

import msgspec
from hypothesis import strategies as st

from nbrpc.protocol import codec, messages
from nbrpc.protocol.messages import Kind

# ---- bytes


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Split bytes at these places, wrapped to their length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


splits = st.lists(st.integers(0, 2**20), max_size=12)
"""Places for `pieces`."""


def mutated(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Replace some bytes; a value above 255 deletes the byte instead."""
    changed = bytearray(data)
    for place, value in changes:
        if changed:
            at = place % len(changed)
            if value > 255:
                del changed[at]
            else:
                changed[at] = value
    return bytes(changed)


mutations = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 300)), min_size=1, max_size=6)
"""Changes for `mutated`."""

# ---- names and plain values

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""Texts that UTF-8 can hold."""

any_texts = st.text(max_size=30)
"""Texts that may have lone surrogates."""

names = st.one_of(
    st.sampled_from(["f", "scan", "a.b.c", "exposed_x", "__len__", "größe"]),
    st.from_regex(r"[a-z_]\w{0,8}(\.[a-z_]\w{0,8}){0,2}", fullmatch=True),
    texts,
)
"""Names of attributes, dotted ones and nonsense among them."""

wire_integers = st.integers(-(2**63), 2**64 - 1)
small = st.integers(-3, 2**33)
floats = st.floats(allow_nan=True, allow_infinity=True)

# ---- wire values


made_kinds = st.sampled_from(
    [
        "collections.deque", "collections.OrderedDict", "collections.defaultdict", "re.Pattern",
        "collections.Counter", "types.SimpleNamespace", "builtins.memoryview", "array.array",
        "builtins.dict_keys", "builtins.dict_items", "builtins.dict_values", "nbrpc.class",
        "nbrpc.member", "member", "member at home", "exception class", "datetime.timezone",
        "zoneinfo.ZoneInfo", "record", "row", "nothing", "os.system",
    ]
)  # fmt: skip
"""Names of values that are made of parts, some of which there are not."""


def records(values: st.SearchStrategy) -> st.SearchStrategy:
    """Give parts that are nearly those of a record."""
    fields = st.lists(st.sampled_from(["x", "y", "_x", "__class__", "class", "x.y"]), max_size=2)
    return st.tuples(
        st.sampled_from(["Point", "__class__", "a b", ""]),
        fields.map(codec.Tuple),
        st.booleans(),
        st.none() | st.just("text"),
        values,
        values,
    ).map(list)


def _boxes(values: st.SearchStrategy) -> st.SearchStrategy:
    lists = st.lists(values, max_size=4)
    return st.one_of(
        st.builds(codec.Tuple, lists),
        st.builds(codec.List, lists),
        st.builds(codec.Set, lists),
        st.builds(codec.Frozen, lists),
        st.builds(codec.Map, st.dictionaries(texts, values, max_size=3)),
        st.builds(codec.Pairs, lists, lists),
        st.builds(codec.Slice, st.sampled_from("srx"), values, values, values),
        st.builds(codec.Registered, texts, lists),
        st.builds(codec.Made, made_kinds, lists),
        st.builds(codec.Made, st.sampled_from(["record", "row"]), records(values)),
    )


descriptions = st.builds(
    codec.Description,
    texts,
    texts,
    st.sampled_from(["instance", "class", "module", "function"]),
    st.dictionaries(texts, st.sampled_from(["method", "property", "event"]), max_size=3),
    st.lists(st.sampled_from(["__len__", "__call__"]), max_size=2).map(tuple),
    st.none() | st.just("list"),
    texts,
    texts,
)

scalars = st.one_of(st.none(), st.booleans(), wire_integers, floats, texts)

wire_values = st.recursive(
    st.one_of(
        scalars,
        st.builds(codec.Bytes, st.sampled_from("bau?"), st.integers(-1, 2), st.binary(max_size=20)),
        st.builds(codec.Scalar, st.sampled_from(["int", "date", "uuid", "nothing"]), texts),
        st.builds(codec.Packed, st.sampled_from("dqx"), st.integers(-1, 2)),
        st.builds(
            codec.Array,
            st.sampled_from(["<f8", "|b1", "|O", "<M8[ns]", "<U0"]),
            st.none() | st.lists(small, max_size=3),
            st.integers(-1, 2),
            st.binary(max_size=8),
            st.sampled_from("CFx"),
        ),
        st.builds(codec.Table, st.integers(-1, 2)),
        st.builds(codec.Ref, small, small, st.none() | texts),
        st.builds(codec.Same, st.integers(-1, 3)),
        st.builds(codec.Parts, st.lists(st.integers(-1, 2), max_size=3)),
        st.builds(codec.Home, small, names),
    ),
    _boxes,
    max_leaves=12,
)
"""Anything that the codec lets through, sense or not."""

# ---- messages

ancestors = st.builds(codec.Ancestor, texts, st.lists(st.integers(0, 3), max_size=2).map(tuple))
errors = st.builds(
    messages.Error,
    type_name=texts,
    args=st.lists(wire_values, max_size=2),
    text=texts,
    message=texts,
    notes=st.lists(texts, max_size=2),
    attributes=st.dictionaries(texts, wire_values, max_size=2),
    cause=st.none() | st.builds(messages.Error, texts, st.just([]), texts),
    members=st.lists(st.builds(messages.Error, texts, st.just([]), texts), max_size=2),
    hops=st.integers(1, 9),
    ancestry=st.lists(ancestors, max_size=2).map(tuple),
    number=small,
    home=small,
)
value_lists = st.lists(wire_values, max_size=3)

MESSAGES: dict[Kind, st.SearchStrategy] = {
    Kind.REQUEST: st.builds(
        messages.Request,
        small,
        st.integers(0, 30),
        small,
        names.filter(str.isprintable),
        value_lists,
        st.none() | st.dictionaries(texts, wire_values, max_size=2),
        small,
        st.none() | floats,
    ),
    Kind.REPLY: st.builds(messages.Reply, small, wire_values),
    Kind.FAILURE: st.builds(messages.Failure, small, errors),
    Kind.CANCEL: st.builds(messages.Cancel, small),
    Kind.RELEASE: st.builds(messages.Release, st.lists(small, max_size=6)),
    Kind.DESCRIBE: st.builds(messages.Describe, small, descriptions),
    Kind.EVENT: st.builds(messages.Event, small, value_lists, small, st.none() | errors),
    Kind.CREDIT: st.builds(messages.Credit, st.sampled_from("es"), small, small),
    Kind.PROGRESS: st.builds(messages.Progress, small, floats, st.none() | floats, texts),
    Kind.OUTPUT: st.builds(messages.Output, small, texts, wire_values),
    Kind.ITEMS: st.builds(messages.Items, small, value_lists),
    Kind.PING: st.builds(messages.Ping, small),
    Kind.PONG: st.builds(messages.Pong, small),
    Kind.GOODBYE: st.builds(messages.Goodbye, texts),
    Kind.DESCRIBE: st.builds(messages.Describe, small, descriptions),
}

WITH_BUFFERS = (Kind.REQUEST, Kind.REPLY, Kind.FAILURE, Kind.EVENT, Kind.OUTPUT, Kind.ITEMS)

any_messages = st.one_of(
    [st.tuples(st.just(kind), built, st.just([])) for kind, built in MESSAGES.items()]
    + [
        st.tuples(st.just(kind), MESSAGES[kind], st.lists(st.binary(max_size=50), max_size=3))
        for kind in WITH_BUFFERS
    ]
)
"""Kind, message and buffers."""


def fields_of(message: msgspec.Struct) -> tuple:
    """Give what `Protocol.encode` takes for a message."""
    fields = msgspec.structs.astuple(message)
    return fields[:-1] if "buffers" in message.__struct_fields__ else fields


# ---- Python values

offsets = st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
zones = st.none() | offsets | st.just(datetime.UTC)

immutable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**4000), 2**4000),
    floats,
    st.complex_numbers(allow_nan=True, allow_infinity=True),
    any_texts,
    st.binary(max_size=40),
    st.just(...),
    st.just(NotImplemented),
    st.datetimes(timezones=zones),
    st.dates(),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from(
        [decimal.Decimal(text) for text in ("NaN", "-NaN7", "-0", "-Infinity", "1E+9")]
    ),
    st.fractions(),
    st.uuids(),
    any_texts.filter(lambda text: "\0" not in text).map(pathlib.PurePosixPath),
    texts.map(pathlib.PureWindowsPath),
    st.builds(range, small, small, small.filter(bool)),
)

keys = st.one_of(
    st.none(), st.booleans(), st.integers(), floats, any_texts, st.binary(max_size=9), st.dates(),
    st.tuples(st.integers(), any_texts), st.uuids(), st.fractions(),
)  # fmt: skip

immutable_values = st.recursive(
    immutable_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.builds(slice, inner, inner, inner),
        st.frozensets(st.one_of(st.integers(), any_texts, floats, st.tuples(st.integers()))),
    ),
    max_leaves=12,
)
"""What never changes."""

deep_values = st.recursive(
    immutable_values | st.binary(max_size=40).map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(any_texts, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=4),
        st.lists(st.floats(), min_size=1, max_size=3).map(lambda items: items * 256),
        st.lists(st.integers(), min_size=1, max_size=3).map(lambda items: items * 256),
    ),
    max_leaves=15,
)
"""Data, which is copied."""


def same(one: object, other: object) -> bool:
    """Whether two values are equal and of equal types to the last bit, nan and -0.0 included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (
            math.isnan(one) and math.isnan(other)
        )
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, slice):
        return same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, set | frozenset):
        if len(one) != len(other):
            return False
        rest = list(other)
        for item in one:
            for index, candidate in enumerate(rest):
                if same(item, candidate):
                    del rest[index]
                    break
            else:
                return False
        return True
    if isinstance(one, datetime.datetime | datetime.time):
        return one == other and one.utcoffset() == other.utcoffset()
    if isinstance(one, fractions.Fraction | uuid.UUID):
        return one == other
    return one == other
