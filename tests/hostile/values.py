"""Values that no honest peer sends: a box, and the buffers beside it, by what is wrong with it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from nbrpc.protocol import codec
from nbrpc.protocol.codec import encode
from tests.hostile.native import description, reference

__all__ = ["CLASSES", "ESCAPES", "LIBRARIES", "PARTS", "REFERENCES", "SHARED", "Payload"]

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b5n\u202egpj.exe\u2066"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"

Payload = tuple[Any, tuple[bytes, ...]]
"""A value, and the buffers that come beside it."""

List, Tuple, Made, Same, Map = codec.List, codec.Tuple, codec.Made, codec.Same, codec.Map


def alone(values: dict[str, Any]) -> dict[str, Payload]:
    """Give values that come without buffers."""
    return {name: (value, ()) for name, value in values.items()}


def i8(*numbers: int) -> bytes:
    """Give the bytes of 64-bit numbers."""
    return struct.pack(f"<{len(numbers)}q", *numbers)


# ---- the same object again


def doubled(times: int) -> Any:
    """Give a list that doubles as often as that: shown, it has 2**times elements."""
    value: Any = List([1, 2])
    for level in range(times):
        value = List([value, Same(times - level)])
    return value


def doubled_records(times: int) -> Any:
    """The same of records that can be hashed."""
    value: Any = Made("record", ["P", Tuple(["x", "y"]), True, None, 1, 2])
    for level in range(times):
        parts = ["P", Tuple(["x", "y"]), True, None, value, Same(times - level)]
        value = Made("record", parts)
    return value


SHARED = alone(
    {
        "a number that is none yet": List([Same(7)]),
        "a number below 0": List([Same(-1)]),
        "the largest number": List([Same(2**63 - 1)]),
        "alone": Same(0),
        "a list that is a part of itself": List([Same(0), Same(0)]),
        "a dict that is a part of itself": Map({"a": Same(0), "b": List([Same(0), Same(1)])}),
        "a set that is a part of itself": codec.Set([Tuple([Same(0)])]),
        "a deque that is not there yet": Made("collections.deque", [List([Same(0)]), None]),
        "a record that is not there yet": Made(
            "record", ["P", Tuple(["x"]), True, None, List([Same(0)])]
        ),
        "a class that is not there yet": Made(
            "exception class", [Tuple(["E", Tuple([])]), Same(0)]
        ),
        "a key": codec.Pairs([Tuple([Same(0)])], [1]),
        "a key that is the list before": List([List([1]), codec.Frozen([Same(1)])]),
        "a member of a set": List([codec.Bytes("a", -1, b"x"), codec.Set([Same(1)])]),
        "doubled 60 times": doubled(60),
        "doubled 18 times": doubled(18),
        "records doubled 60 times": doubled_records(60),
        "records doubled 18 times": doubled_records(18),
        "a list a million times": List([List([1] * 900), *[Same(1)] * 1_000_00]),
        "a deque in its own default": Made(
            "collections.defaultdict", [None, codec.Pairs([1], [Same(0)])]
        ),
        "namespaces around a list": Made(
            "types.SimpleNamespace", [Map({"a": List([Same(1), Same(2)])})]
        ),
    }
)


# ---- parts beside the body

NILS = b"\xdd" + (1_000_000).to_bytes(4) + b"\xc0" * 1_000_000
TUPLES = encode([Tuple([Tuple([])] * 340_000)])
"""A part whose one value takes 36 MB."""


def nested_parts(levels: int) -> Payload:
    """Give parts within parts, each beside something."""
    inner = [encode([List([codec.Parts([level + 1])]), "x"]) for level in range(levels)]
    return List([codec.Parts([0])]), (*inner, encode([1]))


PARTS: dict[str, Payload] = {
    "an index that is none": (List([codec.Parts([3])]), (encode([1]),)),
    "an index below 0": (List([codec.Parts([-1])]), (encode([1]),)),
    "a buffer twice": (List([codec.Parts([0, 0])]), (encode([1]),)),
    "a buffer in two lists": (
        List([List([codec.Parts([0])]), List([codec.Parts([0])])]),
        (encode([1]),),
    ),
    "alone": (codec.Parts([0]), (encode([1]),)),
    "beside another": (List([codec.Parts([0]), 1]), (encode([1]),)),
    "two of them": (List([codec.Parts([0]), codec.Parts([0])]), (encode([1]),)),
    "in a slice": (codec.Slice("s", codec.Parts([0]), None, None), (encode([1]),)),
    "itself": (List([codec.Parts([0])]), (encode([codec.Parts([0])]),)),
    "itself in a list": (List([codec.Parts([0])]), (encode([List([codec.Parts([0])])]),)),
    "no list": (List([codec.Parts([0])]), (encode({"a": 1}),)),
    "no values": (List([codec.Parts([0])]), (encode([[1]]),)),
    "garbage": (List([codec.Parts([0])]), (b"\xc1" * 99,)),
    "half a list": (List([codec.Parts([0])]), (b"\xdd\xff\xff\xff\xff\xc0",)),
    "larger than a body": (
        List([codec.Parts([0])]),
        (b"\xdb" + (2**21).to_bytes(4) + bytes(2**21),),
    ),
    "60 levels": nested_parts(60),
    "keys that are references": (
        codec.Pairs([codec.Parts([0])], [1]),
        (encode([codec.Ref(1, 1)]),),
    ),
    "other values than keys": (codec.Pairs([codec.Parts([0])], [1]), (encode([1, 2]),)),
    "100,000 indices": (List([codec.Parts([0] * 100_000)]), (encode([1]),)),
}

LARGE_PARTS: dict[str, Payload] = {
    "eight times a million values": (List([codec.Parts(list(range(8)))]), (NILS,) * 8),
    "eight times a million values for a deque": (
        Made("collections.deque", [List([codec.Parts(list(range(8)))]), None]),
        (NILS,) * 8,
    ),
    "a part that is much": (List([codec.Parts(list(range(6)))]), (TUPLES,) * 6),
}
"""Those that are large themselves."""


# ---- references where there may be none

PROXY = reference(1, 1, description("Thing", specials=("__len__", "__index__", "__hash__")))
PATH = reference(2, 2, description("pathlib.PosixPath", base="path"), ESCAPES)
LIAR = reference(3, 3, description("Liar", specials=("__hash__", "__eq__")), "/a")
"""It has a text, and a class that is asked for its hash."""


def each_with(parts: Iterable[Any], *others: Any) -> Iterable[list[Any]]:
    """Give the parts with each of the others in each place."""
    usual = list(parts)
    for place in range(len(usual)):
        for other in others:
            yield [*usual[:place], other, *usual[place + 1 :]]


USUAL: dict[str, list[Any]] = {
    "collections.deque": [List([1]), 5],
    "collections.Counter": [Map({"a": 1})],
    "collections.OrderedDict": [Map({"a": 1})],
    "builtins.dict_keys": [Map({"a": 1})],
    "builtins.dict_values": [List([1])],
    "builtins.memoryview": [codec.Bytes("b", -1, b"12345678"), "d", Tuple([1]), True],
    "array.array": ["d", 8, codec.Bytes("b", -1, b"12345678")],
    "re.Pattern": ["a+", 0],
    "types.SimpleNamespace": [Map({"a": 1})],
    "datetime.timezone": [60, 0, None],
    "datetime.datetime": ["2026-01-02T03:04", 0, None],
    "zoneinfo.ZoneInfo": ["UTC"],
    "numpy.dtype": ["<f8"],
    "numpy.void": [
        Tuple([8, False, False, Tuple([Tuple(["a", None, 0, "<f8"])])]),
        codec.Bytes("b", -1, b"12345678"),
    ],
    "numpy.ndarray": ["objects", Tuple([1]), List([1])],
    "numpy.ma.MaskedArray": [Tuple(["objects", Tuple([1]), List([1])]), None, None, False, False],
    "dlpack.tensor": ["torch", 1, Tuple([True])],
    "pandas.RangeIndex": [0, 5, 1, None],
    "pandas.Timestamp": [1, "ns", None, 0],
    "pandas.Timedelta": [1, "ns"],
    "pandas.offsets.Week": [1, False, Tuple([1])],
    "pandas.StringDtype": ["python", False],
    "pandas.CategoricalDtype": [None, True],
    "pandas.IntervalDtype": ["<f8", "left"],
    "pandas.Interval": [1, 2, "left"],
    "PIL.Image.Image": ["L", Tuple([2, 1]), codec.Bytes("b", -1, b"xx"), None, Map({})],
    "scipy.sparse.csr_array": [Tuple([1, 1]), 1, 1, 1],
    "nbrpc.class": ["numpy.float32"],
    "nbrpc.member": ["re.RegexFlag", 2],
    "member": ["Color", "RED", 1, "<Color.RED: 1>", "Color.RED", None],
    "member at home": [1, 1],
    "record": ["P", Tuple(["x"]), True, None, 1],
    "row": ["P", Tuple(["x"]), True, None, 1],
    "exception class": [Tuple(["lab.E", Tuple([])])],
}
"""Parts of some kinds as an honest peer sends them."""

WRONG = (
    PROXY,
    PATH,
    LIAR,
    codec.Home(1, ""),
    -1,
    2**63 - 1,
    "x" * 5_000,
    ESCAPES,
    List([PROXY]),
    Tuple([PROXY]),
    Tuple([1, PROXY, 1, 1]),
    Map({"a": PROXY}),
    Tuple([-1, 2**40]),
    None,
    codec.Scalar("int", "f" * 4_000),
)

REFERENCES: dict[str, list[Any]] = {
    kind: [
        *(Made(kind, wrong) for wrong in each_with(parts, *WRONG)),
        Made(kind, parts[:-1]),
        Made(kind, [*parts, 1]),
        Made(kind, parts * 30),
        Made(kind, []),
    ]
    for kind, parts in USUAL.items()
}
"""For each kind: something else in the place of each part, fewer of them, and more."""

REFERENCES["no kind"] = [
    Made(kind, ["x"])
    for kind in (
        "",
        "os.system",
        "builtins.eval",
        "numpy",
        "numpy.load",
        "nbrpc.Service",
        "x" * 9_999,
        "builtins.type",
        "pandas.read_pickle",
        "array.",
        ".",
        ESCAPES,
        "exception class ",
        "PIL.Image.open",
        "collections.namedtuple",
        "xarray.Dataset",
        "cupy.array",
    )
]
REFERENCES["a key"] = [
    make(key)
    for key in (
        PROXY,
        LIAR,
        Tuple([PROXY]),
        codec.Home(1, ""),
        Made("record", ["P", Tuple(["x"]), True, None, PROXY]),
        Made("row", ["P", Tuple(["x"]), True, None, LIAR]),
        codec.Slice("s", PROXY, None, None),
        Made("member", [*USUAL["member"][:5], PROXY]),
        Made("pandas.Interval", [PROXY, 2, "left"]),
    )
    for make in (
        lambda key: codec.Pairs([key], [1]),
        lambda key: codec.Set([key]),
        lambda key: codec.Frozen([key]),
    )
]


# ---- names and classes


def record(*fields: str, kind: str = "record", name: str = "P", text: Any = None) -> Any:
    """Give a record whose fields are functions of the peer."""
    function = reference(
        9, 9, description("builtins.function", kind="function", specials=("__call__",))
    )
    return Made(kind, [name, Tuple(list(fields)), True, text, *[function] * len(fields)])


NAMES = (
    "_repr_html_",
    "_repr_mimebundle_",
    "_ipython_display_",
    "__class__",
    "__dict__",
    "__del__",
    "__reduce_ex__",
    "__array__",
    "__hash__",
    "__eq__",
    "__fspath__",
    "_nbrpc_text_",
    "_fields",
    "__dataclass_fields__",
    "class",
    "def",
    "a b",
    "",
    ESCAPES,
    "x" * 5_000,
    "mro",
    "__slots__",
    "_render_traceback_",
    "\uff3f\uff3fclass\uff3f\uff3f",
    "_repr_html\uff3f",
    "_asdict",
    "_make",
)

CLASSES: dict[str, list[Any]] = {
    "fields": [record(name, kind=kind) for name in NAMES for kind in ("record", "row")],
    "names of classes": [
        record("x", kind=kind, name=n) for n in NAMES for kind in ("record", "row")
    ],
    "names of a namespace": [Made("types.SimpleNamespace", [Map({name: PROXY})]) for name in NAMES],
    "fields twice": [record("x", "x", kind=kind) for kind in ("record", "row")]
    + [record("x", "\uff58", kind=kind) for kind in ("record", "row")],
    "texts": [
        record("x", text=ESCAPES),
        record("x", text=SCRIPT),
        record("x", text=5),
        Made("member", [ESCAPES, ESCAPES, 1, ESCAPES, ESCAPES, None]),
        Made("member", ["C", ESCAPES, "x", ESCAPES, ESCAPES, PROXY]),
        PATH,
        reference(4, 4, description("lab.Color", enumeration="lab.Color(RED)"), ESCAPES),
    ],
    "classes of exceptions": [
        Made("exception class", [Tuple([name, Tuple(bases)]) for name, bases in ancestry])
        for ancestry in (
            [("SystemExit", [])],
            [("lab.E", [1]), ("SystemExit", [])],
            [("lab.E", [0])],
            [("lab.A", [1]), ("lab.B", [0])],
            [("lab.E", [-1])],
            [("lab.E", [2**62])],
            [(ESCAPES, [])],
            [("", [])],
            [("BaseException", [])],
            [(f"lab.E{n}", [n + 1]) for n in range(40)],
            [("lab.E", [1, 1, 2, 2]), ("OSError", []), ("OSError", [])],
            [("lab.E", [1, 2]), ("OSError", []), ("UnicodeDecodeError", [])],
            [("lab.E", [1, 2]), ("Exception", []), ("OSError", [])],
            [("os.system", [])],
        )
    ],
}


# ---- little that would become much

ARROW = "pandas.RangeIndex"
CODES = codec.Array("|i1", [3], 0)
CATEGORIES = Made("pandas.CategoricalDtype", [Made(ARROW, [0, 2, 1, None]), False])


def sparse(kind: str, *parts: Any, buffers: tuple[bytes, ...]) -> Payload:
    """Give a sparse array of wrong indices."""
    return Made(f"scipy.sparse.{kind}", list(parts)), buffers


def row(index: int, length: int, dtype: str = "<i8") -> codec.Array:
    """Give an array of one dimension."""
    return codec.Array(dtype, [length], index)


NUMBERS = row(0, 2, "<f8")
FLOATS = bytes(16)

LIBRARIES: dict[str, Payload] = {
    **alone(
        {
            "a range without end": codec.Slice("r", 0, 2**63 - 1, 1),
            "a range of no steps": codec.Slice("r", 0, 5, 0),
            "a range of proxies": codec.Slice("r", PROXY, 5, 1),
            "a RangeIndex without end": Made(ARROW, [0, 2**62, 1, None]),
            "a RangeIndex of no steps": Made(ARROW, [0, 5, 0, None]),
            "a deque of a length below 0": Made("collections.deque", [List([1]), -1]),
            "a deque without end": Made("collections.deque", [List([1]), 2**63]),
            "a memoryview of 64 dimensions": Made(
                "builtins.memoryview", [codec.Bytes("b", -1, b"x"), "b", Tuple([1] * 65), True]
            ),
            "a memoryview of no size": Made(
                "builtins.memoryview", [codec.Bytes("b", -1, b""), "b", Tuple([0, 2**62]), False]
            ),
            "a pattern that doubles": Made("re.Pattern", ["(" * 90 + "a" + "?)" * 90, 0]),
            "a pattern of much": Made("re.Pattern", ["(?:" * 60 + "a" + "){1000}" * 60, 0]),
            "a pattern that repeats much": Made("re.Pattern", ["(?:a{1,65535}){1,65535}" * 100, 0]),
            "a pattern that shows itself": Made("re.Pattern", ["a", 128]),
            "a pattern of all characters": Made("re.Pattern", ["[\0-\U0010ffff]" * 250, 2]),
            "a dtype of much": Made("numpy.dtype", ["<U999999999"]),
            "a dtype of subarrays": Made("numpy.dtype", [Tuple(["<f8", Tuple([2**20, 2**20])])]),
            "a dtype of nothing": Made("numpy.dtype", [Tuple(["<f8", Tuple([0, 2**30, 2**30])])]),
            "a dtype of fields beyond its size": Made(
                "numpy.dtype", [Tuple([8, False, False, Tuple([Tuple(["a", None, 4, "<f8"])])])]
            ),
            "a dtype of itself": Made(
                "numpy.dtype",
                [Tuple([2**62, True, True, Tuple([Tuple(["a", "a", 0, "<U99999"])])])],
            ),
            "objects of no shape": Made("numpy.ndarray", ["objects", Tuple([0, 10**9]), List([])]),
            "objects of a large shape": Made(
                "numpy.ndarray", ["objects", Tuple([10**9]), List([1])]
            ),
            "texts of a matrix": Made("numpy.matrix", ["texts", Tuple([1]), 1, 2, None]),
            "an image of much": Made(
                "PIL.Image.Image",
                ["RGBA", Tuple([2**15, 2**15]), codec.Bytes("b", -1, b"x"), None, Map({})],
            ),
            "an image of no height": Made(
                "PIL.Image.Image",
                ["L", Tuple([0, 2**31 - 1]), codec.Bytes("b", -1, b""), None, Map({})],
            ),
            "an image of a mode that is none": Made(
                "PIL.Image.Image",
                ["F;64", Tuple([1, 1]), codec.Bytes("b", -1, b"x"), None, Map({})],
            ),
            "an image of a palette that is none": Made(
                "PIL.Image.Image",
                [
                    "P",
                    Tuple([1, 1]),
                    codec.Bytes("b", -1, b"x"),
                    Tuple(["RGB", codec.Bytes("b", -1, b"x" * 5_000)]),
                    Map({}),
                ],
            ),
            "a zone of the file system": Made("zoneinfo.ZoneInfo", ["../../../../etc/passwd"]),
            "a zone with an absolute path": Made("zoneinfo.ZoneInfo", ["/etc/passwd"]),
            "a datetime of a wrong zone": Made("datetime.datetime", ["2026-01-02T03:04", 0, PROXY]),
            "flags of all bits": Made("nbrpc.member", ["re.RegexFlag", 2**62]),
            "a member that is a method": Made("nbrpc.member", ["http.HTTPStatus", "mro"]),
            "a class that is a function": Made("nbrpc.class", ["numpy.load"]),
            "a class of no library": Made("nbrpc.class", ["os.system"]),
            "a Timestamp beyond time": Made("pandas.Timestamp", [2**63 - 1, "s", None, 0]),
            "an offset beyond years": Made(
                "pandas.offsets.YearEnd", [2**31 - 1, False, Tuple([1])]
            ),
            "a week of no day": Made("pandas.offsets.Week", [1, False, Tuple([99])]),
            "an Interval of texts": Made("pandas.Interval", ["a", "b", "left"]),
        }
    ),
    "an array of no rows": (codec.Array("<f8", [0, 10**9], 0), (b"",)),
    "an array of no rows and texts": (codec.Array("<U99999999", [0, 10], 0), (b"",)),
    "an array in no order": (codec.Array("<f8", [1], 0, order="A"), (bytes(8),)),
    "an array of numbers that are no characters": (
        codec.Array("<U2", [1], 0),
        (struct.pack("<2I", 0x7FFFFFFF, 5),),
    ),
    "a mask that does not fit": (
        Made("pandas.arrays.IntegerArray", [row(0, 2), codec.Array("|b1", [5], 1)]),
        (i8(1, 2), bytes(5)),
    ),
    "a mask that is no truth": (
        Made("pandas.arrays.IntegerArray", [row(0, 2), codec.Array("|b1", [2], 1)]),
        (i8(1, 2), b"\x07\xff"),
    ),
    "codes out of range": (
        Made("pandas.arrays.Categorical", [CODES, CATEGORIES]),
        (b"\x00\x05\x7f",),
    ),
    "codes below -1": (Made("pandas.arrays.Categorical", [CODES, CATEGORIES]), (b"\x00\xfe\x80",)),
    "codes without categories": (
        Made("pandas.arrays.Categorical", [CODES, Made("pandas.CategoricalDtype", [None, None])]),
        (b"\x00\x01\x01",),
    ),
    "a MultiIndex of codes out of range": (
        Made(
            "pandas.MultiIndex",
            [Tuple([Made(ARROW, [0, 2, 1, None])]), Tuple([row(0, 2)]), Tuple([None]), None],
        ),
        (i8(0, 99),),
    ),
    "categories without end": (
        Made("pandas.CategoricalDtype", [Made(ARROW, [0, 2**27, 1, None]), False]),
        (),
    ),
    "a MultiIndex of long levels": (
        Made(
            "pandas.MultiIndex",
            [
                Tuple([Made(ARROW, [0, 2**27, 1, None])] * 60),
                Tuple([row(n, 1) for n in range(60)]),
                Tuple([None] * 60),
                None,
            ],
        ),
        (i8(0),) * 60,
    ),
    "a MultiIndex that is a level": (
        Made(
            "pandas.MultiIndex",
            [
                Tuple(
                    [
                        Made(
                            "pandas.MultiIndex",
                            [
                                Tuple([Made(ARROW, [0, 2, 1, None])]),
                                Tuple([row(0, 1)]),
                                Tuple([None]),
                                None,
                            ],
                        )
                    ]
                ),
                Tuple([row(1, 1)]),
                Tuple([None]),
                None,
            ],
        ),
        (i8(0), i8(0)),
    ),
    "a Series of many labels": (
        Made("pandas.Series", [row(0, 1), Made(ARROW, [0, 2**27, 1, None]), None, Map({}), False]),
        (i8(1),),
    ),
    "a frame of many rows": (
        Made(
            "pandas.DataFrame",
            [
                Made(ARROW, [0, 2**27, 1, None]),
                Made(ARROW, [0, 0, 1, None]),
                Map({}),
                False,
                row(0, 0),
            ],
        ),
        (b"",),
    ),
    "a frame of many columns": (
        Made(
            "pandas.DataFrame",
            [
                Made(ARROW, [0, 0, 1, None]),
                Made(ARROW, [0, 2**27, 1, None]),
                Map({}),
                False,
                row(0, 0),
            ],
        ),
        (b"",),
    ),
    "a frame of columns that are none": (
        Made(
            "pandas.DataFrame",
            [
                Made(ARROW, [0, 1, 1, None]),
                Made(ARROW, [0, 2, 1, None]),
                Map({}),
                False,
                row(0, 2),
                codec.Array("<i8", [2, 1], 1),
            ],
        ),
        (i8(0, 2**40), i8(1, 2)),
    ),
    "periods of a large offset": (
        Made(
            "pandas.arrays.PeriodArray",
            [
                row(0, 2),
                Made(
                    "pandas.PeriodDtype",
                    [Made("pandas.offsets.YearEnd", [2**31 - 1, False, Tuple([1])])],
                ),
            ],
        ),
        (i8(2**62, -(2**62)),),
    ),
    "instants of no time": (
        Made("pandas.DatetimeIndex", [codec.Array("<M8[s]", [2], 0), None, None, None]),
        (i8(2**63 - 1, -(2**63)),),
    ),
    "texts with offsets that go back": (
        Made("numpy.ndarray", ["texts", Tuple([2]), codec.Bytes("b", -1, b"abc"), row(0, 3), None]),
        (i8(0, 9, 3),),
    ),
    "texts with offsets below 0": (
        Made("numpy.ndarray", ["texts", Tuple([2]), codec.Bytes("b", -1, b"abc"), row(0, 3), None]),
        (i8(0, -1, 3),),
    ),
    "texts that are all of a text": (
        Made(
            "numpy.ndarray",
            [
                "texts",
                Tuple([1]),
                codec.Bytes("b", -1, b"abc"),
                row(0, 2),
                codec.Array("|i1", [1], 1),
            ],
        ),
        (i8(0, 3), b"\x09"),
    ),
    "csr with indices out of bounds": sparse(
        "csr_array",
        Tuple([1, 2]),
        NUMBERS,
        row(1, 2),
        row(2, 2),
        buffers=(FLOATS, i8(0, 10**9), i8(0, 2)),
    ),
    "csr with pointers that go back": sparse(
        "csr_array",
        Tuple([3, 2]),
        NUMBERS,
        row(1, 2),
        row(2, 4),
        buffers=(FLOATS, i8(0, 1), i8(0, 2, 1, 2)),
    ),
    "csr of more rows than memory": sparse(
        "csr_array",
        Tuple([2**62, 2]),
        NUMBERS,
        row(1, 2),
        row(2, 2),
        buffers=(FLOATS, i8(0, 1), i8(0, 2)),
    ),
    "lil of more rows than memory": sparse(
        "lil_array",
        Tuple([2**40, 2]),
        NUMBERS,
        row(1, 2),
        row(2, 2),
        buffers=(FLOATS, i8(0, 1), i8(0, 2)),
    ),
    "coo with indices out of bounds": sparse(
        "coo_array",
        Tuple([2, 2]),
        True,
        NUMBERS,
        row(1, 2),
        row(2, 2),
        buffers=(FLOATS, i8(0, -1), i8(0, 2**62)),
    ),
    "dia of large offsets": sparse(
        "dia_array",
        Tuple([2**40, 2**40]),
        codec.Array("<f8", [1, 2], 0),
        row(1, 1),
        buffers=(FLOATS, i8(2**39)),
    ),
    "bsr of no blocks": sparse(
        "bsr_array",
        Tuple([2**40, 2**40]),
        codec.Array("<f8", [0, 0, 0], 0),
        row(1, 0),
        row(2, 1),
        buffers=(b"", b"", i8(0)),
    ),
    "dok with a place twice": sparse(
        "dok_array",
        Tuple([2, 2]),
        NUMBERS,
        row(1, 2),
        row(2, 2),
        buffers=(FLOATS, i8(1, 1), i8(1, 1)),
    ),
}
