"""Objects are looked at without running any of their code."""

from __future__ import annotations

import array
import types
from functools import cached_property, partialmethod
from operator import itemgetter

from nbrpc.objects import static
from nbrpc.objects.static import MISSING
from tests.objects.traps import trap, trap_class


def test_no_code_of_an_object_runs():
    """Every look passes a class and a metaclass whose every hook raises."""
    obj = trap_class()()
    assert static.find(type(obj), "field") == 1
    assert static.find(type(obj), "missing") is MISSING
    assert static.class_name(type(obj)) == "Trap"
    assert static.class_qualname(type(obj)).endswith("Trap")
    assert static.class_module(type(obj)) == "tests.objects.traps"
    assert static.own_attributes(obj) == {}
    assert static.own_attributes(type(obj))["field"] == 1
    assert static.is_class(type(obj))
    assert not static.is_class(obj)
    assert not static.is_kind_of(obj, (int, str))
    same = static.underlying(obj) is obj  # pytest would ask obj for its repr
    assert same


def test_a_lying_class_is_not_believed():
    """``__class__`` decides nothing."""

    class Liar:
        __class__ = int

    assert not static.is_kind_of(Liar(), int)
    assert isinstance(Liar(), int)


def test_the_instance_dictionary():
    """Instance attributes are seen; a ``__dict__`` of the class's own making is not."""

    class Plain:
        pass

    plain = Plain()
    plain.x = 1
    assert static.own_attributes(plain) == {"x": 1}

    class Shadowing:
        __dict__ = property(trap)

    assert static.own_attributes(Shadowing()) == {}

    class Borrowing:
        __dict__ = types.FunctionType.__dict__["__doc__"]

    assert static.own_attributes(Borrowing()) == {}
    assert static.own_attributes(3) == {}
    assert static.own_attributes(types)["ModuleType"] is types.ModuleType


def test_a_dictionary_that_lies():
    """A subclass of dict in the place of the instance dictionary runs nothing either."""

    class Lying(dict):
        get = items = keys = __getitem__ = __contains__ = __iter__ = trap

    class Plain:
        pass

    plain = Plain()
    plain.__dict__ = Lying(x=1)
    assert static.own_attributes(plain) == {"x": 1}


def test_a_module_name_that_is_none():
    """A class may claim anything as its module; only text counts."""

    class Odd:
        __module__ = 3

    assert static.class_module(Odd) == ""
    assert static.class_module(int) == "builtins"


def test_slots():
    """A slot is read if it is filled."""

    class Slotted:
        __slots__ = ("x",)

    slotted = Slotted()
    assert static.slot_value(Slotted.__dict__["x"], slotted) is MISSING
    slotted.x = 5
    assert static.slot_value(Slotted.__dict__["x"], slotted) == 5
    assert static.slot_value(Slotted.__dict__["x"], 3) is MISSING


def test_underlying():
    """The function inside is found, however it is wrapped."""

    def function(self):
        """Do nothing."""

    for wrapped in (
        function,
        property(function),
        staticmethod(function),
        classmethod(function),
        types.MethodType(function, 3),
        cached_property(function),
        partialmethod(function),
        property(staticmethod(function)),
    ):
        assert static.underlying(wrapped) is function
    assert static.underlying(property()) is None
    assert static.underlying(5) == 5
    deep = function
    for _ in range(20):
        deep = property(deep)
    assert static.underlying(deep) is not function


def test_bind():
    """An entry of a class is bound as attribute access would bind it."""

    class Thing(list):
        def method(self):
            return self

        also = property(lambda self: "value")
        made = classmethod(lambda cls: cls)
        plain = itemgetter(0)

    thing = Thing()
    assert static.bind(Thing.__dict__["method"], thing)() is thing
    assert static.bind(Thing.__dict__["also"], thing) == "value"
    assert static.bind(Thing.__dict__["made"], thing)() is Thing
    assert static.bind(Thing.__dict__["plain"], thing)("3") == "3"
    assert static.bind(list.__dict__["append"], thing)(1) is None
    assert static.bind(list.__dict__["__len__"], thing)() == 1
    # CPython before 3.13 crashes if this one is bound without the class.
    numbers = array.array("d")
    static.bind(array.array.__dict__["extend"], numbers)([1.0])
    assert numbers[0] == 1.0


def test_lineage_and_namespace():
    """They are the interpreter's own."""
    for cls in (int, trap_class(), dict):
        assert static.lineage(cls)[-1] is object
        assert "__doc__" in static.namespace(cls)
