"""Descriptions and documentation say what a peer may use, and look without touching."""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import sys
import time
import types
from array import array

import msgspec
import pytest

from nbrpc.errors import AccessDenied
from nbrpc.objects import describe as describe_module
from nbrpc.objects.access import Policy, exposed, restricted
from nbrpc.objects.describe import (
    Description,
    describe,
    description_key,
    document,
    document_member,
    instance_names,
)
from nbrpc.options import CODE_ACCESS, Access
from tests.objects.traps import trap, trap_class

SERVICE = Policy(Access())
PUBLIC = Policy(Access(allow_public_attrs=True))
CODE = Policy(CODE_ACCESS)
POLICIES = pytest.mark.parametrize(
    "policy", [SERVICE, PUBLIC, CODE], ids=["service", "public", "code"]
)


class Event:
    """Stands for the declaration of an event."""

    __nbrpc_event__ = True


class Stage:
    """Move the sample.

    More about it.
    """

    __slots__ = ("__dict__", "exposed_slot", "slot")

    moved = Event()
    exposed_limit = 5
    hidden = 1

    @exposed
    def move(self, to: float) -> None:
        """Move to a place.

        It takes time.
        """

    @exposed
    async def home(self):
        """Go home."""

    @exposed
    def steps(self):
        """Give the steps."""
        yield 1

    @exposed
    async def readings(self):
        yield 1

    @exposed
    @property
    def position(self):
        """The place, in mm."""
        raise AssertionError

    @exposed
    @staticmethod
    async def helper():
        """Help."""

    @exposed
    @functools.cached_property
    def computed(self):
        raise AssertionError

    @functools.lru_cache  # noqa: B019 - it is never called
    @exposed
    def cached(self):
        """Remember."""

    @exposed
    class Lamp:
        """A nested class."""

        exposed_on = True

    def __len__(self):
        raise AssertionError

    def __iter__(self):
        raise AssertionError

    def __secret__(self):
        raise AssertionError


@pytest.fixture
def stage():
    """Give an object with attributes of its own."""
    stage = Stage()
    stage.exposed_slot = 1
    stage.exposed_own = 1
    stage.exposed_function = len
    stage.exposed_class = int
    stage.exposed_property = property(trap)
    stage.plain = 2
    return stage


def test_an_instance_is_described_by_its_class(stage):
    """Members with their kinds, special methods, no base, the first line of the documentation."""
    assert describe(stage, SERVICE) == Description(
        module=__name__,
        name="Stage",
        kind="instance",
        members={
            "Lamp": "class",
            "cached": "method",
            "computed": "property",
            "helper": "coroutine",
            "home": "coroutine",
            "limit": "data",
            "move": "method",
            "moved": "event",
            "position": "property",
            "readings": "generator",
            "slot": "data",
            "steps": "generator",
        },
        specials=("__iter__", "__len__"),
        base=None,
        doc="Move the sample.",
    )


def test_a_description_travels(stage):
    """It can be taken it apart by msgspec and put together again."""
    description = describe(stage, SERVICE)
    wire = msgspec.msgpack.encode(description)
    assert msgspec.msgpack.decode(wire, type=Description) == description


def test_more_is_told_where_more_is_open(stage):
    """The policy decides about members and special methods."""
    assert "hidden" in describe(stage, PUBLIC).members
    assert not {name for name in describe(stage, CODE).members if name.startswith("_")}
    nothing = Policy(Access(allow_safe_attrs=False, allow_exposed_attrs=False))
    assert describe(stage, nothing).members == {}
    assert describe(stage, nothing).specials == ()
    assert describe(len, nothing).specials == ("__call__",)


def test_instance_names(stage):
    """What belongs to one object only is told apart from its class."""
    assert instance_names(stage, SERVICE) == {
        "class": "class",
        "function": "method",
        "own": "data",
        "property": "data",
        "slot": "data",
    }
    assert "plain" in instance_names(stage, PUBLIC)
    assert "slot" not in instance_names(Stage(), SERVICE)
    assert instance_names(Stage, SERVICE) == {}
    assert instance_names(restricted(stage, {"plain"}), CODE) == {}
    assert instance_names(3, CODE) == {}


def test_classes():
    """A class is described by itself; its special methods are those of its metaclass."""
    description = describe(Stage.Lamp, SERVICE)
    assert (description.name, description.kind) == ("Stage.Lamp", "class")
    assert description.members == {"on": "data"}
    assert "__call__" in description.specials
    assert "__len__" not in description.specials
    assert describe(dict, SERVICE).base is None

    class Colour(enum.Enum):
        RED = 1

    assert {"__call__", "__iter__", "__len__", "__getitem__"} <= set(
        describe(Colour, SERVICE).specials
    )


def test_modules():
    """A module is described by its name and contents."""
    module = types.ModuleType("pack.served", "What it is for.\nMore.")
    module.exposed_go = lambda: 1
    module.exposed_value = 3
    module.sub = sys
    description = describe(module, SERVICE)
    assert (description.module, description.name, description.kind) == (
        "pack.served",
        "pack.served",
        "module",
    )
    assert description.members == {"go": "method", "value": "data"}
    assert description.doc == "What it is for."
    assert describe(module, CODE).members["sub"] == "module"
    assert describe(time, CODE).members["sleep"] == "method"
    assert instance_names(module, SERVICE) == {"go": "method", "value": "data"}
    nameless = types.ModuleType("x")
    nameless.__name__ = 3
    assert describe(nameless, SERVICE).name == ""


@pytest.mark.parametrize(
    ("function", "module", "name"),
    [
        (Stage.move, __name__, "Stage.move"),
        (Stage().move, __name__, "Stage.move"),
        (len, "builtins", "len"),
        ([].append, "", "append"),
        ("".__len__, "", "__len__"),
        (list.append, "", "append"),
        (int.__add__, "", "__add__"),
        (dict.__dict__["fromkeys"], "", "fromkeys"),
        (types.MethodType(functools.partial(len), []), "", "method"),
    ],
)
def test_functions(function, module, name):
    """A function is described by its name; it can be called."""
    description = describe(function, SERVICE)
    assert (description.module, description.name, description.kind) == (module, name, "function")
    assert description.members == {}
    assert set(description.specials) & {"__call__", "__len__"} == (
        {"__call__"} if callable(function) else set()
    )


@pytest.mark.parametrize(
    ("obj", "base"),
    [
        ([], "list"),
        (type("Own", (list,), {})(), "list"),
        ({}, "dict"),
        (set(), "set"),
        (bytearray(), "bytearray"),
        (collections.deque(), "deque"),
        (collections.defaultdict(list), "defaultdict"),
        (collections.OrderedDict(), "OrderedDict"),
        (collections.Counter(), "Counter"),
        (array("i"), "array"),
        (frozenset(), None),
        ((), None),
        (3, None),
        ("", None),
        (object(), None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_base(obj, base):
    """The builtin mutable container is named, and nothing that travels by value."""
    assert describe(obj, SERVICE).base == base


def test_specials_are_the_ones_of_the_class():
    """Those that every object has, or that the class set to None, are not listed."""
    assert describe(object(), SERVICE).specials == ()
    assert "__hash__" not in describe([], SERVICE).specials
    assert "__eq__" in describe([], SERVICE).specials
    assert describe(Stage.home, SERVICE).specials == ("__call__",)
    waiting = Stage().home()
    assert describe(waiting, SERVICE).specials == ("__await__",)
    waiting.close()


def test_documentation_of_a_class_is_one_short_line():
    """Long or missing documentation is cut or empty."""
    assert describe(type("A", (), {}), SERVICE).doc == ""
    assert describe(type("A", (), {"__doc__": 5}), SERVICE).doc == ""
    long = describe(type("A", (), {"__doc__": "\n  " + "word " * 500}), SERVICE).doc
    assert len(long) <= 120
    assert long.endswith("...")


def test_restricted_views():
    """A view shows what it names, as it is in what it is of."""
    view = restricted(Stage(), {"move", "position", "missing", "__len__", "__call__"})
    description = describe(view, SERVICE)
    assert description.members == {"missing": "data", "move": "method", "position": "property"}
    assert description.specials == ("__len__",)
    nested = restricted(view, {"move"})
    assert describe(nested, SERVICE).members == {"move": "method"}
    of_class = restricted(Stage, {"move"})
    assert describe(of_class, CODE).members == {"move": "method"}


@POLICIES
def test_keys(policy, stage):
    """Objects with equal keys have equal descriptions, and keys hold no objects."""
    lamp = Stage.Lamp
    objects = [
        stage, Stage(), Stage, lamp, lamp(), [], [1], {}, sys, time, len, print, stage.move,
        Stage.move, lambda: 1, lambda: 2, restricted(stage, {"a"}), restricted(stage, {"b"}),
        restricted(stage, {"a"}),
        object(), int, type, enum.Enum, collections.abc.Sized,
    ]  # fmt: skip
    for one in objects:
        for two in objects:
            key_one, key_two = description_key(one, policy), description_key(two, policy)
            if key_one == key_two:
                assert hash(key_one) == hash(key_two)
                assert describe(one, policy) == describe(two, policy)
    assert description_key(stage, policy) == description_key(Stage(), policy)
    assert description_key(Stage, policy) != description_key(stage, policy)
    assert description_key(objects[14], policy) == description_key(objects[15], policy)
    assert description_key(objects[16], policy) == description_key(objects[18], policy)
    assert description_key(objects[16], policy) != description_key(objects[17], policy)
    before = sys.getrefcount(stage)
    keys = [description_key(obj, policy) for obj in (stage, stage.move, restricted(stage, {"a"}))]
    assert sys.getrefcount(stage) == before
    assert len(set(keys)) == 3


@POLICIES
def test_no_code_runs(policy):
    """Describing and documenting pass an object and a metaclass of which every hook raises."""
    trapped = trap_class()
    for obj in (trapped(), trapped):
        description = describe(obj, policy)
        assert description.members["method"] == "method"
        assert description.members["computed"] == "property"
        assert description.members["descriptor"] == "property"
        assert description.doc == "Bite whoever looks."
        instance_names(obj, policy)
        assert description_key(obj, policy) == description_key(obj, policy)
        assert document(obj, policy).doc == "Bite whoever looks."
        assert document_member(obj, "method", policy).signature == "(self, x: int = 3)"
        assert document_member(obj, "computed", policy).kind == "property"
        assert document_member(obj, "descriptor", policy).kind == "property"
        with pytest.raises(AttributeError):
            document_member(obj, "nothing", policy)
    view = restricted(trapped(), {"computed"})
    assert describe(view, policy).members == {"computed": "property"}
    assert document_member(view, "computed", policy).kind == "property"


def test_names_that_are_none(stage):
    """Keys of dictionaries that are not str, and names without end, are passed over."""
    odd = type("Odd", (), {"exposed_" + "x" * 1000: 1, "exposed_ok": 1})
    assert describe(odd(), SERVICE).members == {"ok": "data"}
    stage.__dict__[3] = 4
    assert 3 not in instance_names(stage, CODE)
    huge = type("N" * 100_000, (), {})
    assert len(describe(huge, SERVICE).name) == 200
    unnamed = lambda: 1  # noqa: E731
    unnamed.__module__ = 3
    assert describe(unnamed, SERVICE).module == ""


def test_huge_classes_are_cut():
    """A description has a bounded number of members."""
    huge = type("Huge", (), {f"exposed_{n}": n for n in range(6_000)})
    assert len(describe(huge(), SERVICE).members) == 4_096


def test_a_data_frame_takes_milliseconds():
    """What pandas.DataFrame has is told in less than 5 ms."""
    import pandas

    frame = pandas.DataFrame({"a": [1]})
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        description = describe(frame, Policy(CODE_ACCESS))
        best = min(best, time.perf_counter() - start)
    assert len(description.members) > 150
    assert description.members["T"] == "property"
    assert description.members["groupby"] == "method"
    assert best < 0.005


def test_numpy_as_a_module():
    """Even numpy can be described: functions, classes and submodules are told apart."""
    import numpy

    members = describe(numpy, CODE).members
    assert members["linalg"] == "module"
    assert members["ndarray"] == "class"
    assert members["arange"] == "method"


# ---- documentation


def test_documenting_a_method(stage):
    """Signature, whole documentation, source, file and line."""
    documentation = document_member(stage, "move", SERVICE)
    assert documentation.signature == "(self, to: 'float') -> 'None'".replace("'", "")
    assert documentation.doc == "Move to a place.\n\nIt takes time."
    assert documentation.source.lstrip().startswith("@exposed\n    def move(self")
    assert documentation.file == __file__
    assert documentation.line == inspect.getsourcelines(Stage.move)[1]
    assert documentation.kind == "method"
    assert documentation.type_name == "function"
    assert document(stage.move, SERVICE).signature == "(to: float) -> None"
    wire = msgspec.msgpack.encode(documentation)
    assert msgspec.msgpack.decode(wire, type=describe_module.Documentation) == documentation


def test_documenting_a_property_does_not_read_it(stage):
    """Its documentation and source are those of the getter."""
    documentation = document_member(stage, "position", SERVICE)
    assert documentation.doc == "The place, in mm."
    assert documentation.kind == "property"
    assert "raise AssertionError" in documentation.source
    own = property(trap, doc=None)
    assert document(own, CODE).doc == trap.__doc__
    assert document(property(), CODE).doc is None
    assert document_member(stage, "computed", SERVICE).kind == "property"


def test_documenting_other_members(stage):
    """Events, data, classes, coroutines, slots and instance attributes are told apart."""
    for name, kind in {
        "moved": "event",
        "limit": "instance",
        "slot": "data",
        "home": "coroutine",
        "steps": "generator",
        "Lamp": "class",
        "own": "instance",
    }.items():
        assert document_member(stage, name, SERVICE).kind == kind
    with pytest.raises(AccessDenied):
        document_member(stage, "hidden", SERVICE)
    with pytest.raises(AttributeError, match="cannot be documented"):
        document_member(stage, "missing", CODE)


def test_documenting_an_object(stage):
    """It is that of the class; the source may be left out."""
    documentation = document(stage, SERVICE)
    assert documentation.doc.startswith("Move the sample.")
    assert documentation.source.startswith("class Stage:")
    assert documentation.file == __file__
    assert documentation.line == inspect.getsourcelines(Stage)[1]
    assert documentation.type_name == f"{__name__}.Stage"
    quick = document(stage, SERVICE, with_source=False)
    assert quick.source is None
    assert quick.file == __file__
    assert document(Stage, SERVICE).source.startswith("class Stage:")


def test_documenting_what_has_no_source():
    """Builtins, modules and classes made at run time have what they have."""
    assert document(len, SERVICE).signature == "(obj, /)"
    assert document(len, SERVICE).source is None
    assert document(3, SERVICE).type_name == "int"
    module = document(time, SERVICE)
    assert (module.kind, module.source) == ("module", None)
    assert document(inspect, SERVICE).file == inspect.__file__
    assert document(types.ModuleType("bare"), SERVICE).file is None
    scope = {"__name__": "nowhere"}
    exec("class A:\n    x = 1\n    def f(self): pass\n", scope)
    assert document(scope["A"], SERVICE).file == "<string>"
    assert document(scope["A"], SERVICE).source is None
    assert document(scope["A"].f, SERVICE).source is None
    assert document(type("Bare", (), {"x": len, "y": Stage.move}), SERVICE).file == __file__
    assert document(type("Foreign", (), {"y": inspect.getdoc}), SERVICE).file is None


def test_sources_follow_the_traceback_switch(stage):
    """Without include_local_traceback neither source nor paths are told, unless code is allowed."""
    for access, told in (
        (Access(include_local_traceback=False), False),
        (Access(include_local_traceback=False, allow_code=True), True),
        (Access(), True),
    ):
        documentation = document(stage.move, Policy(access))
        assert (documentation.source is not None) == told
        assert (documentation.file is not None) == told
        assert (documentation.line is not None) == told
        assert documentation.doc


def test_documenting_a_restricted_view(stage):
    """Only what it names can be documented."""
    view = restricted(stage, {"hidden", "move"})
    assert document(view, CODE).doc is None
    assert document_member(view, "move", CODE).signature == "(self, to: float) -> None"
    assert document_member(view, "hidden", SERVICE).kind == "instance"
    with pytest.raises(AccessDenied):
        document_member(view, "home", CODE)


def test_a_metaclass_with_its_own_access_is_not_asked():
    """To ask inspect would run it, so such a class has no source."""

    class Meta(type):
        def __getattr__(cls, name):
            raise AssertionError

    class Guarded(metaclass=Meta):
        def method(self):
            """Do nothing."""

    assert document(Guarded, SERVICE).source is None
    assert document_member(Guarded, "method", CODE).source is not None


def test_long_documentation_is_cut():
    """Documentation and source have bounded lengths."""

    def function():
        """Do nothing."""

    function.__doc__ = "x" * 200_000
    assert len(document(function, SERVICE).doc) == 64 * 1024
    function.__doc__ = 3
    assert document(function, SERVICE).doc is None
