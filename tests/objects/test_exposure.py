"""What an author marks is exposed, and restricted views give what they name."""

from __future__ import annotations

import operator
from functools import cached_property, lru_cache, wraps

import pytest

from nbrpc.errors import AccessDenied
from nbrpc.objects.exposure import (
    CONTAINER_METHODS,
    exposed,
    form_of,
    is_event,
    is_exposed,
    restricted,
    restricted_parts,
)


def test_decorator_forms():
    """It takes a function, nothing, by_value, or a prefix, and gives back what it marked."""

    def one():
        """Do nothing."""

    assert exposed(one) is one
    assert is_exposed(one)
    assert form_of(one) is not True

    @exposed()
    def two():
        """Do nothing."""

    @exposed(by_value=True)
    def three():
        """Do nothing."""

    @exposed("custom_")
    def four():
        """Do nothing."""

    @exposed("")
    def five():
        """Do nothing."""

    assert all(map(is_exposed, (two, three, four, five)))
    assert form_of(three) is True
    assert form_of(four) is not True
    assert four.__exposed__ == "custom_"


def test_either_order_with_other_decorators():
    """Property, static and class methods and caches may stand on either side."""

    class Service:
        @exposed
        @property
        def a(self):
            return 1

        @property
        @exposed
        def b(self):
            return 1

        @exposed(by_value=True)
        @staticmethod
        def c():
            return 1

        @classmethod
        @exposed
        def d(cls):
            return 1

        @exposed
        @cached_property
        def e(self):
            return 1

        @lru_cache  # noqa: B019 - it is never called
        @exposed
        def f(self):
            return 1

        @exposed
        class Inner:
            pass

    assert all(is_exposed(Service.__dict__[name]) for name in "abcdef")
    assert is_exposed(Service.Inner)
    assert form_of(Service.__dict__["c"]) is True
    assert form_of(Service().c) is True
    assert is_exposed(Service().d)


def test_a_wrapper_keeps_the_mark():
    """functools.wraps carries it over."""

    @exposed(by_value=True)
    def inner():
        """Do nothing."""

    @wraps(inner)
    def outer():
        """Do nothing."""

    assert is_exposed(outer)
    assert form_of(outer) is True


def test_marks_are_not_inherited_or_lent():
    """A subclass or an instance of an exposed class is not exposed by that."""

    @exposed
    class Base:
        pass

    class Derived(Base):
        pass

    assert not is_exposed(Derived)
    assert not is_exposed(Base())
    assert not is_exposed(len)
    assert form_of(len) is not True
    assert not is_exposed(None)


def test_only_honest_marks_count():
    """A mark whose truth would have to be asked for is none."""

    class Truth:
        def __bool__(self):
            raise AssertionError

    def function():
        """Do nothing."""

    function.__exposed__ = Truth()
    assert not is_exposed(function)


@pytest.mark.parametrize(
    "target", [3, len, property(), property(operator.itemgetter(1)), [], object()]
)
def test_what_cannot_be_marked(target):
    """The error says what can be."""
    with pytest.raises(TypeError, match="cannot be marked as exposed; functions"):
        exposed(target)


def test_events_are_told_by_their_class():
    """An event declaration has the mark of its class, not one of its own."""

    class Event:
        __nbrpc_event__ = True

    assert is_event(Event())
    assert not is_event(Event)
    assert not is_event(3)


def test_container_methods():
    """The public methods of builtin containers are listed, and no address or factory among them."""
    assert "append" in CONTAINER_METHODS[id(list)]
    assert "items" in CONTAINER_METHODS[id(dict)]
    assert "most_common" in CONTAINER_METHODS[id(type(__import__("collections").Counter()))]
    everything = set().union(*CONTAINER_METHODS.values())
    assert not {name for name in everything if name.startswith("_")}
    assert not everything & {"buffer_info", "default_factory", "mapping"}


class Box:
    """Something to look into."""

    def __init__(self):
        self.a = 1
        self.b = 2
        self.secret = 3

    def __len__(self):
        return 7


def test_restricted_reads_and_writes_what_it_names():
    """Reading needs attrs, writing wattrs, which are attrs unless given; deleting is never on."""
    box = Box()
    view = restricted(box, {"a", "b"}, ["b"])
    assert (view.a, view._rpyc_getattr("b")) == (1, 2)
    view.b = 5
    assert box.b == 5
    with pytest.raises(AccessDenied, match=r"'secret' cannot be read.*restricted view of a Box"):
        _ = view.secret
    with pytest.raises(AccessDenied, match="'a' cannot be set"):
        view.a = 5
    with pytest.raises(AccessDenied, match="'a' cannot be deleted"):
        del view.a
    both = restricted(box, ("a",))
    both.a = 9
    assert box.a == 9


def test_restricted_shows_nothing_else():
    """Neither its repr nor special methods tell what is inside."""
    view = restricted(Box(), {"a"})
    assert repr(view) == "<restricted view of a Box>"
    with pytest.raises(TypeError):
        len(view)
    assert not hasattr(view, "_Restricted__secret")
    target, readable = restricted_parts(view)
    assert type(target) is Box
    assert readable == {"a"}


@pytest.mark.parametrize("names", ["read", b"read", {"a", 3}])
def test_restricted_wants_a_set_of_names(names):
    """One string in the place of a set is a mistake, and is told."""
    with pytest.raises(TypeError, match="are a set"):
        restricted(Box(), names)
    with pytest.raises(TypeError, match="are a set"):
        restricted(Box(), (), names)
