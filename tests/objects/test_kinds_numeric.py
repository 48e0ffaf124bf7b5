"""What numpy has is copied exactly, or not at all."""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nbrpc.errors import NotSendable, RemoteProtocolError
from nbrpc.objects import arrays
from nbrpc.objects.kinds import kind_of
from nbrpc.objects.kinds.dtypes import dtype_of, form_of
from nbrpc.objects.kinds.texts import texts_apart, texts_together
from nbrpc.protocol.codec import Array
from tests.objects.taken_apart import arrived, carried, check_array, refused

# ---- dtypes

DTYPES = [
    np.dtype(text)
    for text in (
        "f4",
        ">f8",
        "?",
        "S12",
        "<U7",
        ">U7",
        "U",
        "S",
        "V",
        "V8",
        "O",
        "c16",
        "longdouble",
    )
] + [
    np.dtype("M8[ns]"),
    np.dtype("<m8[25s]"),
    np.dtype("M8"),
    np.dtype("longlong"),
    np.dtype("ulonglong").newbyteorder(),
    np.dtype([("a", "<i4"), ("b", ">f8")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([(("title", "a"), "i4"), ("é", "U3", (2, 3))]),
    np.dtype({"names": ["a", "b"], "formats": ["i4", "f4"], "offsets": [8, 0], "itemsize": 40}),
    np.dtype({"names": ["all", "low"], "formats": ["i4", "i2"], "offsets": [0, 0]}),
    np.dtype([("outer", [("inner", "i2"), ("text", "S3")], (2,)), ("last", "M8[us]")]),
    np.dtype(("i4", (2, 3))),
    np.dtype((np.record, [("a", "i4")])),
    np.dtype([]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dtype_comes_back_with_byte_order_offsets_and_titles(dtype):
    """Its class, its public attributes and its repr are the same."""
    made = carried(dtype)
    assert type(made) is type(dtype)
    assert made == dtype
    for name in ("str", "char", "num", "type", "names", "fields", "itemsize", "alignment", "shape"):
        assert getattr(made, name) == getattr(dtype, name), name
    assert made.isalignedstruct == dtype.isalignedstruct
    assert repr(made) == repr(dtype)


@given(npst.nested_dtypes())
def test_any_dtype_comes_back_or_stays(dtype):
    """Only dtypes with objects in them do not travel."""
    made = carried(dtype)
    assert made is None or (made == dtype and repr(made) == repr(dtype))
    assert made is not None or dtype.hasobject


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("a", "O")]),
        np.dtype("f4", metadata={"unit": "V"}),
        np.dtype([("a", np.dtype("f4", metadata={"unit": "V"}))]),
        np.dtype({"names": ["a"], "formats": ["i4"], "titles": [3]}),
    ],
    ids=str,
)
def test_a_dtype_that_would_change_stays(dtype):
    """Fields of objects, metadata, and titles that are no text cannot be sent."""
    assert carried(dtype) is None


HOSTILE_DTYPES = [
    "O4",
    "|O,f8",
    "f8",
    "object",
    "<f8\n",
    "<f3",
    "<U999999999",
    "<M8[nonsense]",
    ("<i8", "O"),
    ("<i8", "qq"),
    (3, "q"),
    ("<i4", ()),
    ("<i4", (-1,)),
    ("<i4", (True,)),
    ("<i4", (2**20, 2**20)),
    ("<i4", (0, 2**30, 2**30)),
    ("<i4", (1,) * 100),
    ("|O", (2,)),
    (4, False, False, (("a", None, 0, "|O"),)),
    (4, False, False, (("a", None, 1, "<i4"),)),
    (4, False, False, (("a", None, -1, "<i2"),)),
    (4, False, False, (("a", None, 0, "<i2"), ("a", None, 2, "<i2"))),
    (4, False, False, (("a", "a", 0, "<i2"),)),
    (4, False, False, (("a", 3, 0, "<i2"),)),
    (4, False, False, (("a", None, 0),)),
    (2**40, False, False, ()),
    (-1, False, False, ()),
    (4, 1, False, ()),
    (0, False, False, tuple((f"f{i}", None, 0, "|V0") for i in range(20_000))),
    (4, False, False, [("a", None, 0, "<i4")]),
]


@pytest.mark.parametrize("form", HOSTILE_DTYPES, ids=lambda form: str(form)[:60])
def test_a_form_that_is_no_dtype_is_refused(form):
    """Nothing but the closed grammar is read, within the limits."""
    refused("numpy.dtype", form)


def test_a_dtype_nested_without_end_is_refused():
    """The depth is bounded before numpy sees it."""
    form = "<i4"
    for _ in range(100):
        form = (4, False, False, (("a", None, 0, form),))
    refused("numpy.dtype", form)


ATOMS = st.sampled_from(["<i4", "|O", "|S3", "q", "a", "", None, 0, 1, 4, -1, 2**31, True, False])


@given(st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4).map(tuple)))
def test_whatever_arrives_as_a_form_is_a_dtype_or_refused(form):
    """No form makes a dtype of objects, or raises what is not ours."""
    try:
        made = dtype_of(form)
    except (RemoteProtocolError, NotSendable):
        return
    assert not made.hasobject
    assert form_of(made) is not None


# ---- arrays

FIELDS = np.dtype([("n", "<i4"), ("x", ">f8", (2,)), ("s", "U3")])


def table(*shape):
    """Make an array of records."""
    array = np.zeros(shape, FIELDS)
    array["n"] = np.arange(array.size).reshape(shape)
    array["s"] = "é"
    return array


STRUCTURED = [
    table(3),
    table(2, 3),
    table(2, 3).T,
    np.asfortranarray(table(2, 3)),
    table(6)[::2],
    table(2, 3)[:, ::-1],
    table(0),
    table(3, 0),
    table(),
    np.array([b"ab", b"cd"], "V2"),
    table(3).view(np.recarray),
    np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.arange(4).view(np.recarray),
    np.array([[1, 2], [3, 4]]).view(np.matrix),
    np.array([[1, 2], [3, 4]], order="F").view(np.matrix),
    np.array([["a", None]], dtype=object).view(np.matrix),
]


@pytest.mark.parametrize(
    "array", STRUCTURED, ids=lambda array: f"{type(array).__name__}{array.shape}"
)
def test_an_array_of_records_or_of_a_derived_class_comes_back(array):
    """Class, dtype, shape, order and elements are the same."""
    made = carried(array)
    assert type(made) is type(array)
    assert made.dtype == array.dtype
    assert made.dtype.type is array.dtype.type
    assert made.shape == array.shape
    assert repr(made.tolist()) == repr(array.tolist())
    assert made.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    made[...] = made[...]


def test_a_matrix_multiplies_as_one():
    """Its product is that of matrices, not of elements."""
    matrix = np.array([[1, 2], [3, 4]]).view(np.matrix)
    made = carried(matrix)
    with pytest.warns(PendingDeprecationWarning):
        assert (made * made).tolist() == (matrix * matrix).tolist()


def test_a_structured_memmap_arrives_as_an_array(tmp_path):
    """A memmap is an array whose file the other side does not have."""
    array = np.memmap(tmp_path / "data", FIELDS, "w+", shape=(2,))
    array["n"] = 5, 6
    check_array(np.array(array), carried(array))


class Derived(np.ndarray):
    unit = "V"


class Image3D(np.matrix):
    pass


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, "U0"),
        np.zeros(2, [("a", "O")]),
        np.zeros(2, np.dtype([("a", "i4")], metadata={"unit": "V"})),
        np.ma.array(np.array([[1]]).view(np.matrix)),
    ],
    ids=repr,
)
def test_an_array_that_would_change_stays(array):
    """Elements of no size, objects in records, metadata, a masked matrix."""
    assert carried(array) is None


@pytest.mark.parametrize("cls", [Derived, Image3D])
def test_an_array_of_an_unknown_class_has_no_kind(cls):
    """A class that derives from one of numpy may mean anything."""
    assert kind_of(cls) is None


RAW = np.zeros(8, np.uint8)


@pytest.mark.parametrize(
    "parts",
    [
        ("structured", "<i4", (2,), "C", RAW.astype(np.int8)),
        ("structured", "<i4", (2,), "C", RAW.reshape(2, 4)),
        ("structured", "<i4", (3,), "C", RAW),
        ("structured", "<i4", (-2, -1), "C", RAW),
        ("structured", "<i4", (2.0,), "C", RAW),
        ("structured", "<i4", (True, 2), "C", RAW),
        ("structured", "<i4", (2,), "K", RAW),
        ("structured", "<i4", [2], "C", RAW),
        ("structured", "|O", (1,), "C", RAW),
        ("structured", "|V0", (1,), "C", RAW[:0]),
        ("structured", ("<i4", (2,)), (1,), "C", RAW),
        ("structured", "<i4", (0, 2**40), "C", RAW[:0]),
        ("structured", "<i4", (0, 2**62, 2**62), "C", RAW[:0]),
        ("structured", "<i4", (1,) * 65 + (2,), "C", RAW),
        ("structured", "<i4", (2,), "C"),
        ("structured", 4, (2,), "C", RAW),
        ("objects", (2,), [1]),
        ("objects", (0, 2**40), []),
        ("objects", (1,), [object()]),
        ("objects", (1,), [[[[[[[[[[1]]]]]]]]]]),
        ("objects", (1,), [np.float64]),
        ("objects", (1,), (1,)),
        ("plain", np.zeros(2, object)),
        ("plain", np.array([[1]]).view(np.matrix)),
        ("plain",),
        ("pickled", b""),
        (),
        (1, RAW),
    ],
    ids=lambda parts: str(parts)[:70].replace("\n", ""),
)
def test_an_array_that_is_none_is_refused(parts):
    """Variant, shape, order and data are checked before numpy trusts them."""
    refused("numpy.ndarray", *parts)


def test_a_text_of_no_characters_is_refused():
    """In plain arrays, in fields of fields, in either byte order; numpy would trust the numbers."""
    for order in "<>":
        data = np.array([65, 0x110000], order + "u4").tobytes()
        raw = np.frombuffer(data, np.uint8)
        refused("numpy.ndarray", "structured", order + "U2", (1,), "C", raw)
        inner = (8, False, False, (("a", None, 0, (order + "U1", (2,))),))
        form = (8, False, False, (("outer", None, 0, inner),))
        refused("numpy.ndarray", "structured", form, (1,), "C", raw)
        refused("numpy.void", form, data)
        for shape in ([1], None):
            with pytest.raises(RemoteProtocolError, match="no character"):
                arrays.unbox_array(
                    Array(order + "U2", shape, 0, data), lambda _, data=data: memoryview(data)
                )


def test_derived_arrays_that_are_none_are_refused():
    """A matrix has two dimensions, a recarray a dtype of records."""
    refused("numpy.matrix", "plain", np.zeros(3))
    refused("numpy.matrix", "plain", np.zeros((1, 1, 1)))
    refused("numpy.recarray", "structured", FIELDS.str, (1,), "C", RAW[:8])
    refused("numpy.recarray", "structured", form_of(FIELDS), (0,), "C", RAW[:0])


# ---- scalars


def test_a_record_comes_back_and_can_be_written():
    """Records, those of recarrays, and bare bytes."""
    for value in (table(2)[1], table(2).view(np.recarray)[1], np.void(b"abc")):
        made = carried(value)
        assert type(made) is type(value)
        assert made.dtype == value.dtype
        assert made == value
    made = carried(table(2)[1])
    made["n"] = 7
    assert made["n"] == 7


def test_a_record_that_is_none_is_refused():
    """Its data has the size of its dtype, which has no objects."""
    refused("numpy.void", "|V3", b"ab")
    refused("numpy.void", "<i4", b"abcd")
    refused("numpy.void", "|V0", b"")
    refused("numpy.void", ("|V2", (2,)), b"abcd")
    refused("numpy.void", (8, False, False, (("a", None, 0, "|O"),)), bytes(8))


# ---- objects

OBJECTS = [
    [1, 2.5, None, "a", b"b", True, 1j, 2**100],
    [decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5)],
    [datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3), datetime.timedelta(1)],
    [np.float32(1.5), np.int64(3), np.str_("x"), np.datetime64("2026-01-01")],
    [[1, [2]], (1, ("a",)), {1, 2}, {"a": [1], 2: None}],
    [[1, 2], [3, 4]],
    ["a", 1],
]


@pytest.mark.parametrize("items", OBJECTS, ids=lambda items: str(items)[:50])
def test_an_array_of_plain_objects_comes_back(items):
    """Each element is of the same class, and equal."""
    array = np.empty(len(items), object)
    array[:] = [*items]
    for number, item in enumerate(items):
        array[number] = item
    made = carried(array)
    assert made.dtype == object
    assert made.shape == array.shape
    assert made.tolist() == items
    assert [type(item) for item in made] == [type(item) for item in items]
    assert made.flags.writeable


def test_the_shape_of_an_array_of_objects_comes_back():
    """Also without dimensions, without elements, and transposed."""
    for shape in ((), (0,), (2, 0), (2, 3), (1, 1, 1)):
        array = np.full(shape, 5, object)
        made = carried(array)
        assert made.shape == shape
        assert made.tolist() == array.tolist()
    array = np.array([["a", None], ["b", 2]], object)
    assert carried(array.T).tolist() == array.T.tolist()


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "item",
    [
        object(),
        [object()],
        {"a": {1: print}},
        Text("a"),
        np.zeros(2),
        [[[[[[[[[1]]]]]]]]],
        int,
        2**8_000_000,
        pd.DataFrame(),
    ],
    ids=lambda item: str(type(item)),
)
def test_an_array_with_an_object_that_is_not_plain_stays(item):
    """One object that is not plain is enough, however deep it is."""
    array = np.empty(2, object)
    array[0], array[1] = 1, item
    assert carried(array) is None


def test_a_list_that_holds_itself_stays():
    """The depth ends the search."""
    array = np.empty(1, object)
    array[0] = []
    array[0].append(array[0])
    assert carried(array) is None


# ---- texts

TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=5),
        st.text(st.sampled_from("\ud800\udc00\x00aé🙂"), max_size=4),
        st.none(),
        st.just(math.nan),
        st.just(pd.NA),
    ),
    max_size=20,
)


@given(TEXTS)
def test_texts_and_missing_values_come_back(items):
    """Also half surrogate pairs, NUL, and all kinds of missing values."""
    parts = texts_apart(items)
    made = texts_together(*[arrived(part) for part in parts])
    assert [type(item) for item in made] == [type(item) for item in items]
    for item, other in zip(made, items, strict=True):
        assert item is other or item == other or (item != item and other != other)  # noqa: PLR0124 - nan


def test_an_array_of_texts_is_a_few_parts():
    """Not one for each text."""
    array = np.array([f"channel {number}" for number in range(100_000)], object).reshape(10, -1)
    parts = kind_of(np.ndarray).apart(array)
    assert parts[0] == "texts"
    assert len(parts) == 5
    made = carried(array)
    assert made.shape == array.shape
    assert (made == array).all()


def test_a_float_among_texts_is_no_missing_value():
    """Not even a nan with a sign."""
    for number in (1.5, -math.nan):
        made = carried(np.array(["a", number], object))
        assert made[0] == "a"
        assert math.copysign(1, made[1]) == math.copysign(1, number)


OFFSETS = np.array([0, 1, 3], np.int64)
CODES = np.array([0, 0], np.int8)


@pytest.mark.parametrize(
    "parts",
    [
        (b"ab", OFFSETS, None),
        (b"abcd", OFFSETS, None),
        (b"abc", OFFSETS[1:], None),
        (b"abc", OFFSETS[:0], None),
        (b"abc", np.array([0, 5, 3]), None),
        (b"abc", np.array([0, -1, 3]), None),
        (b"abc", OFFSETS.astype(np.int32), None),
        (b"abc", OFFSETS.astype(np.float64), None),
        (b"abc", OFFSETS.reshape(1, 3), None),
        (b"abc", OFFSETS, CODES[:1]),
        (b"abc", OFFSETS, CODES.astype(np.int64)),
        (b"abc", OFFSETS, np.array([0, 4], np.int8)),
        (b"abc", OFFSETS, np.array([0, -1], np.int8)),
        (b"abc", OFFSETS, np.array([0, 1], np.int8)),
        ("é".encode() + b"a", OFFSETS, None),
        (b"ab\xff", OFFSETS, None),
        ("abc", OFFSETS, None),
        (b"abc", [0, 1, 3], None),
    ],
    ids=lambda parts: str(parts)[:70].replace("\n", ""),
)
def test_texts_that_are_none_are_refused(parts):
    """Offsets and codes are checked, and every text is UTF-8."""
    refused("numpy.ndarray", "texts", (2,), *parts)


# ---- masked arrays

MASKED = [
    np.ma.array([1, 2, 3]),
    np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    np.ma.array([1.5, 2, 3], mask=[0, 1, 0], fill_value=-1, hard_mask=True),
    np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [1, 0]]).T,
    np.ma.array(["a", "bc"], mask=[0, 1], fill_value="nothing"),
    np.ma.array(np.array(["2026-01-01"], "M8[D]"), mask=[1]),
    np.ma.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")], mask=[(0, 1)]),
    np.ma.array(["a", None], dtype=object, mask=[0, 1]),
    np.ma.array([1, 2], mask=[0, 1]).copy(),
    np.ma.zeros((0, 3)),
    np.ma.array(5, mask=True),
]


@pytest.mark.parametrize("array", MASKED, ids=lambda array: str(array)[:40].replace("\n", ""))
def test_a_masked_array_comes_back_with_mask_and_fill_value(array):
    """So do a hard mask, and the lack of a mask or of a fill value."""
    fill, shared = array._fill_value, array.sharedmask
    made = carried(array)
    assert type(made) is type(array)
    assert made.dtype == array.dtype
    assert made.shape == array.shape
    assert (made.mask is np.ma.nomask) == (array.mask is np.ma.nomask)
    assert np.array_equal(made.mask, array.mask)
    assert made.data.tolist() == array.data.tolist()
    assert (made._fill_value is None) == (fill is None)
    assert repr(made.fill_value) == repr(array.fill_value)
    assert (made.hardmask, made.sharedmask) == (array.hardmask, shared)
    made[...] = np.ma.masked
    assert made.tolist() == np.ma.masked_all(array.shape, array.dtype).tolist()


def test_masked_is_the_one_that_is_here():
    """It is compared with ``is``."""
    assert carried(np.ma.masked) is np.ma.masked


PLAIN_DATA = ("plain", np.arange(3))


@pytest.mark.parametrize(
    "parts",
    [
        (PLAIN_DATA, ("plain", np.zeros(2, bool)), None, False, True),
        (PLAIN_DATA, ("plain", np.zeros(3, np.int8)), None, False, True),
        (PLAIN_DATA, None, ("plain", np.zeros(3, int)), False, True),
        (PLAIN_DATA, None, ("plain", np.array(1.5)), False, True),
        ((), None, None, False, True),
        ((np.arange(3),), None, None, False, True),
        (("pickled", b""), None, None, False, True),
        (PLAIN_DATA, None, None, 1, True),
        (PLAIN_DATA, None, None),
    ],
    ids=lambda parts: str(parts)[:70],
)
def test_a_masked_array_that_is_none_is_refused(parts):
    """Mask and fill value fit the array."""
    refused("numpy.ma.MaskedArray", *parts)
