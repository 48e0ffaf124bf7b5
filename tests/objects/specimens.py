"""Objects of every kind that a peer may be handed, each with what its author opened of it."""

from __future__ import annotations

import array
import collections
import contextlib
import ctypes
import enum
import functools
import inspect
import io
import logging
import os
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nbrpc

SECRET = "TERC3S"[::-1]
"""What unexposed attributes hold; spelled so that no source text has it in one piece."""


class Plain:
    """Nothing of it is exposed."""

    shared = SECRET

    def __init__(self):
        self.plain = SECRET
        self._private = SECRET
        self.__mangled = SECRET
        self.module = sys

    def method(self):
        return SECRET

    @property
    def computed(self):
        return SECRET

    @staticmethod
    def loose():
        return SECRET


class Slots:
    """Its attributes are no dictionary's."""

    __slots__ = ("_hidden", "exposed_slot", "plain")

    def __init__(self):
        self.plain = self._hidden = SECRET
        self.exposed_slot = 1


class Files(nbrpc.Service):
    """A service, with every way to expose."""

    changed = nbrpc.event()
    _internal = nbrpc.event()
    exposed_limit = 10

    def __init__(self):
        self.plain = self._private = SECRET
        self.exposed_path = "here"

    def method(self):
        return SECRET

    def exposed_add(self, a=1, b=2):
        return a + b

    @nbrpc.exposed
    def size(self):
        return 5

    @nbrpc.exposed
    @property
    def voltage(self):
        return 1.5

    @voltage.setter
    def voltage(self, value):
        pass

    @nbrpc.exposed
    class Inner:
        exposed_x = 1
        y = SECRET


class Makes:
    """Makes up what it is asked for."""

    def __getattr__(self, name):
        if name.startswith("exposed_"):
            return name
        raise AttributeError(name)


class Hooked:
    """Decides itself, by RPyC's hook."""

    plain = SECRET

    def _rpyc_getattr(self, name):
        if name == "chosen":
            return 7
        raise nbrpc.AccessDenied(name)


class Meta(type):
    """A metaclass with members."""

    def register(cls):
        return SECRET


class WithMeta(metaclass=Meta):
    """A class of that metaclass."""

    plain = SECRET


class Colour(enum.Enum):
    """An enumeration that nobody registered."""

    RED = 1


class Items(list):
    """A list of somebody's own."""

    def method(self):
        return SECRET


class Text(str):
    """A text of somebody's own, of which ``format`` walks attributes."""

    __slots__ = ()


class Point(ctypes.Structure):
    """A structure of C."""

    _fields_ = (("x", ctypes.c_int),)


def work(a=SECRET):
    """Give the argument."""
    return a


def generate():
    """Give an item."""
    yield 1


async def wait():
    """Give a number."""
    return 1


async def agenerate():
    """Give an item."""
    yield 1


@contextlib.contextmanager
def manage():
    """Do nothing around."""
    yield 1


def raised():
    """Give an exception with a traceback."""
    try:
        raise ValueError("told")
    except ValueError as error:
        return error


def sample():
    """Give a dictionary."""
    return {"a": 1}


def own_class(base=Plain):
    """Make a class."""
    return type("Own", (base,), {"extra": SECRET})


def own_module():
    """Make a module."""
    module = types.ModuleType("own")
    module.plain = module._private = SECRET
    module.exposed_version = 3
    return module


def open_file():
    """Give a file without opening one."""
    return os.fdopen(os.dup(1), "w")


def weak(cls=Plain, keep=[]):  # noqa: B006 - what a weak reference is of has to live
    """Give a weak reference."""
    keep.append(cls())
    return weakref.ref(keep[-1])


def discard(obj):
    """Close what has to be closed, so that Python does not complain of it."""
    if hasattr(obj, "close"):
        obj.close()


@dataclass(frozen=True)
class Specimen:
    """One kind of object.

    Attributes
    ----------
    make
        Makes a new one.
    exposed
        Names that its author exposed, as a peer spells them.
    events
        Those of them that are events, by the name in the class.
    settable
        Exposed properties with a setter.
    machinery
        Whether it is of those whose public names stay shut.
    container
        Whether it is a container of the interpreter, whose public methods work.
    shut
        Public names that stay shut nevertheless.
    invents
        Whether its class makes up names as they are asked for.
    only
        All that may be read, whatever else holds.
    is_view
        Whether it was made by `restricted`.
    """

    make: Callable[[], Any]
    exposed: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    settable: frozenset[str] = frozenset()
    machinery: bool = False
    container: bool = False
    shut: frozenset[str] = frozenset()
    invents: bool = False
    only: frozenset[str] | None = None
    is_view: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether there is but one, which must not be changed."""
        one, other = self.make(), self.make()
        for obj in (one, other):
            discard(obj)
        return one is other


def _machinery(make: Callable[[], Any], *exposed: str) -> Specimen:
    return Specimen(make, machinery=True, exposed=frozenset(exposed))


def _container(make: Callable[[], Any]) -> Specimen:
    return Specimen(make, container=True)


OF_SERVICES = {"get_service_name", "get_service_aliases"}
OF_FILES = frozenset({"limit", "add", "size", "voltage", "changed", "Inner"} | OF_SERVICES)
OF_TYPE = frozenset({"mro"})

SPECIMENS: dict[str, Specimen] = {
    "plain object": Specimen(Plain),
    "object with slots": Specimen(Slots, frozenset({"slot"})),
    "service": Specimen(
        Files,
        OF_FILES | {"path"},
        events=frozenset({"changed"}),
        settable=frozenset({"voltage", "exposed_voltage"}),
    ),
    "object that invents": Specimen(Makes, invents=True),
    "hooked object": Specimen(Hooked, only=frozenset({"chosen"})),
    "bare object": Specimen(object),
    "view": Specimen(
        lambda: nbrpc.restricted(Plain(), {"plain", "method"}, ()),
        only=frozenset({"plain", "method"}),
        is_view=True,
    ),
    "view of a list": Specimen(
        lambda: nbrpc.restricted([1], {"sort", "__len__"}, ()),
        only=frozenset({"sort", "__len__"}),
        is_view=True,
    ),
    "function": Specimen(lambda: work),
    "lambda": Specimen(lambda: lambda: 1),
    "builtin function": Specimen(lambda: len),
    "bound method": Specimen(lambda: Plain().method),
    "bound builtin": Specimen(lambda: [].append),
    "method wrapper": Specimen(lambda: "".__len__),
    "method descriptor": Specimen(lambda: list.append),
    "wrapper descriptor": Specimen(lambda: str.__len__),
    "partial": Specimen(lambda: functools.partial(work)),
    "cached function": Specimen(lambda: functools.lru_cache(work)),
    "generator": _machinery(generate, "close", "send"),
    "coroutine": _machinery(wait),
    "async generator": _machinery(agenerate),
    "list iterator": Specimen(lambda: iter([1])),
    "zip": Specimen(lambda: zip([1], [2], strict=True)),
    "map": Specimen(lambda: map(abs, [1])),
    "frame": _machinery(inspect.currentframe),
    "code": _machinery(lambda: work.__code__),
    "traceback": _machinery(lambda: raised().__traceback__),
    "exception": Specimen(raised),
    "sys": _machinery(lambda: sys),
    "module": _machinery(own_module, "version"),
    "type": Specimen(lambda: type, machinery=True, shut=OF_TYPE),
    "int": Specimen(lambda: int, shut=OF_TYPE),
    "class": Specimen(own_class, shut=OF_TYPE),
    "service class": Specimen(lambda: own_class(Files), OF_FILES, shut=OF_TYPE),
    "exposed class": Specimen(lambda: Files.Inner, frozenset({"x"}), shut=OF_TYPE),
    "class with a metaclass": Specimen(lambda: WithMeta, shut=OF_TYPE | {"register"}),
    "metaclass": Specimen(lambda: Meta, machinery=True, shut=OF_TYPE),
    "enumeration": Specimen(lambda: Colour, shut=OF_TYPE, invents=True),
    "member of an enumeration": Specimen(lambda: Colour.RED, frozenset({"name", "value"})),
    "property": _machinery(lambda: Plain.__dict__["computed"]),
    "exposed property": _machinery(lambda: Files.__dict__["voltage"]),
    "static method": _machinery(lambda: Plain.__dict__["loose"]),
    "class method": _machinery(lambda: classmethod(len)),
    "cached property": _machinery(lambda: functools.cached_property(work)),
    "member descriptor": _machinery(lambda: Slots.__dict__["plain"]),
    "getset descriptor": _machinery(lambda: types.FunctionType.__dict__["__code__"]),
    "generic alias": _machinery(lambda: list[int]),
    "mapping proxy": _container(lambda: types.MappingProxyType({"a": 1})),
    "list": _container(lambda: [3, 1]),
    "dict": _container(lambda: {"a": 1}),
    "set": _container(lambda: {1}),
    "bytearray": _container(lambda: bytearray(b"x")),
    "deque": _container(lambda: collections.deque([1])),
    "array": _container(lambda: array.array("d", [1.0])),
    "defaultdict": _container(lambda: collections.defaultdict(int)),
    "ordered dict": _container(lambda: collections.OrderedDict(a=1)),
    "counter": _container(lambda: collections.Counter("a")),
    "dict keys": _container(lambda: sample().keys()),
    "dict values": _container(lambda: sample().values()),
    "dict items": _container(lambda: sample().items()),
    "list of one's own": Specimen(lambda: Items([1])),
    "text of one's own": Specimen(lambda: Text("{0.__class__}"), shut=frozenset(
        {"format", "format_map"})),
    "text file in memory": Specimen(lambda: io.StringIO("a")),
    "file": Specimen(open_file),
    "match": Specimen(lambda: re.match("a", "a")),
    "pattern": Specimen(lambda: re.compile("a")),
    "number of C": Specimen(lambda: ctypes.c_int(3)),
    "structure of C": Specimen(Point),
    "pointer of C": Specimen(lambda: ctypes.pointer(ctypes.c_int(3))),
    "weak reference": Specimen(weak),
    "weak dictionary": Specimen(weakref.WeakValueDictionary),
    "weak set": Specimen(weakref.WeakSet),
    "super": Specimen(lambda: super(Files, Files())),
    "namespace": Specimen(lambda: types.SimpleNamespace(f_globals=1, gi_frame=2, plain=SECRET)),
    "memory view": Specimen(lambda: memoryview(b"a")),
    "thread": Specimen(threading.Thread),
    "logger": Specimen(lambda: logging.getLogger("nbrpc.matrix")),
    "context manager": Specimen(manage),
    "flags": Specimen(lambda: sys.flags),
}  # fmt: skip
"""By what they are; none of them travels by value."""
