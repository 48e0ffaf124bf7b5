"""Names of objects on RPyC's wire: what is held is given back, and crossings lose nothing."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbrpc.errors import RemoteProtocolError, StaleReference
from nbrpc.objects.refs import Exports
from nbrpc.protocol.codec import Description, Ref
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc.references import Held, Lent
from tests.protocol.rpyc.brine_values import values


def described(name, kind="instance", module="m"):
    """Describe a class or an object."""
    return Description(module, name, kind, {}, (), None, "")


def named(lent, oid, key, description=None, identity=None):
    """Lend an object; give the name that travels."""
    if description is not None:
        lent.note_class(Ref(oid, key), description, identity)
    label, name = brine.loads(lent.boxed(Ref(oid, key)))
    assert label == 4
    return name


# ---- names of ours


def test_a_class_and_its_instances_have_one_number():
    """It stays the same, whichever travels first, and in every connection."""
    first, second = Lent(), Lent()
    instance = named(first, 5, 1, described("C"))
    cls = named(first, 6, 2, described("C", "class"))
    assert instance == ("m.C", cls[1], 5)
    assert cls == ("m.C", cls[1], 0)
    assert named(first, 7, 1)[1] == cls[1]
    assert named(first, 6, 2) == cls
    assert named(second, 9, 2, described("C", "class")) == cls
    assert named(second, 1, 1, described("C"))[1] == cls[1]


def test_what_rpyc_calls_things():
    """The names by which its clients know builtin classes, functions and modules."""
    lent = Lent()
    for key, (description, name) in enumerate(
        [
            (described("list", module="builtins"), "builtins.list"),
            (described("list", module=""), "builtins.list"),
            (described("f", "function"), "builtins.function"),
            (described("os.path", "module"), "os.path"),
            (described("Outer.Inner"), "m.Outer.Inner"),
        ]
    ):
        text, number, instance = named(lent, key + 1, key, description)
        assert (text, instance) == (name, key + 1)
        assert number > 0


def test_two_classes_with_one_name():
    """Each is found by its own number, which its instances have, also after it was given back."""
    lent = Lent()
    one = named(lent, 1, 1, described("C", "class"), "one")
    two = named(lent, 2, 2, described("C", "class"), "two")
    assert one != two
    assert named(lent, 4, 4, described("C"), "two")[1] == two[1]
    assert named(lent, 5, 5, described("C"), "one")[1] == one[1]
    assert (lent.find(one), lent.find(two)) == (1, 2)
    lent.forget(1)
    assert (lent.find(one), lent.find(two)) == (0, 2)
    again = named(lent, 3, 3, described("C", "class"), "one")
    assert again == one
    assert lent.find(again) == 3
    for oid in (2, 3):
        lent.forget(oid)
    lent.forget(99)
    assert lent._classes == lent._numbers == {}


@given(name=st.one_of(values, st.tuples(st.text(), st.integers(), st.integers())))
def test_forged_names(name):
    """A name that was never told is that of no object, or no name."""
    lent = Lent()
    cls = named(lent, 1, 1, described("C", "class"))
    try:
        found = lent.find(name)
    except RemoteProtocolError:
        return
    assert type(found) is int
    assert 0 <= found < 2**64
    if name[2] == 0:
        assert found == (1 if name[1] == cls[1] else 0)


# ---- names of the peer


@given(
    names=st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2), st.integers(0, 3)), max_size=30
    )
)
def test_a_name_is_one_object_while_it_is_held(names):
    """Equal names have equal numbers; all is forgotten when as much was given back as came."""
    held = Held(100)
    numbers = {}
    for name in names:
        ref = held.ref(name)
        assert numbers.setdefault(name, ref.oid) == ref.oid
        assert held.class_of(ref.key) == (name[0], name[2] == 0)
        assert brine.loads(held.boxed(ref.oid)) == (3, name)
    assert len(set(numbers.values())) == len(numbers)
    for name in names:
        held.release(numbers[name], 1)
    assert held._by_name == held._by_number == {}
    for number in numbers.values():
        with pytest.raises(StaleReference):
            held.boxed(number)


@given(name=values)
def test_names_that_are_none(name):
    """They are refused, and nothing is kept of them."""
    held = Held(100)
    try:
        held.ref(name)
    except RemoteProtocolError:
        assert held._by_name == {}
    else:
        assert len(name) == 3


def test_a_number_is_never_used_again():
    """What was given back is another object when the same name comes again."""
    held = Held(100)
    first = held.ref(("a", 1, 1))
    held.release(first.oid, 1)
    second = held.ref(("a", 1, 1))
    assert second.oid != first.oid
    assert second.key == first.key
    with pytest.raises(StaleReference):
        held.release(first.oid, 1)
    assert held.name(second.oid) == ("a", 1, 1)


def test_an_object_that_is_given_back_just_when_it_arrives():
    """Another thread gives back what was held before; what arrives is held all the same."""

    class Racing(dict):
        racing = None

        def get(self, key, default=None):
            found = super().get(key, default)
            if found is not None and self.racing is not None:
                release, self.racing = self.racing, None
                release()
            return found

    held = Held(100)
    held._by_name = Racing()
    first = held.ref(("a", 1, 1))
    held._by_name.racing = lambda: held.release(first.oid, 1)
    second = held.ref(("a", 1, 1))
    assert held.name(second.oid) == ("a", 1, 1)
    held.release(second.oid, 1)
    assert held._by_name == held._by_number == {}


class Crossing(RuleBasedStateMachine):
    """Two ends: one lends objects, the other holds proxies; their messages cross on the way.

    The owner counts as `Exports` does, the holder as a session does: each arrival is counted with
    the proxy, and all of it is given back when that dies.
    """

    def __init__(self):
        super().__init__()
        self.exports, self.lent, self.held = Exports(1000), Lent(), Held(1000)
        self.objects = [object() for _ in range(3)]
        self.to_holder, self.to_owner = deque(), deque()
        self.proxies = {}
        """By the number of an object: how often it arrived since its proxy was made."""

    @rule(number=st.integers(0, 2))
    def send(self, number):
        """The owner sends an object once more; the last one is a class."""
        oid = self.exports.lend(self.objects[number])
        kind = "class" if number == 2 else "instance"
        self.to_holder.append(named(self.lent, oid, number, described(f"C{number}", kind)))

    @precondition(lambda self: self.to_holder)
    @rule()
    def arrive(self):
        """A reference arrives, and is counted."""
        ref = self.held.ref(self.to_holder.popleft())
        self.proxies[ref.oid] = self.proxies.get(ref.oid, 0) + 1

    @precondition(lambda self: self.proxies)
    @rule(data=st.data())
    def die(self, data):
        """A proxy dies, and all that it has received is given back."""
        oid = data.draw(st.sampled_from(sorted(self.proxies)))
        count = self.proxies.pop(oid)
        self.to_owner.append((brine.loads(self.held.release(oid, count))[1], count))

    @precondition(lambda self: self.to_owner)
    @rule()
    def take_back(self):
        """A release arrives."""
        name, count = self.to_owner.popleft()
        oid = self.lent.find(name)
        assert self.exports.entries[oid].count >= count
        self.exports.release(oid, count)
        if oid not in self.exports.entries:
            self.lent.forget(oid)

    @invariant()
    def what_has_a_proxy_is_lent(self):
        """Every proxy leads to the object that it was made for."""
        for oid in self.proxies:
            assert self.lent.find(self.held.name(oid)) in self.exports.entries

    def teardown(self):
        """When all has arrived and all proxies are dead, nothing is left."""
        while self.to_holder:
            self.arrive()
        for oid in list(self.proxies):
            count = self.proxies.pop(oid)
            self.to_owner.append((brine.loads(self.held.release(oid, count))[1], count))
        while self.to_owner:
            self.take_back()
        assert len(self.exports) == 0
        assert self.held._by_name == self.held._by_number == {}
        assert self.lent._classes == self.lent._numbers == {}


TestCrossing = Crossing.TestCase
TestCrossing.settings = settings(max_examples=60, stateful_step_count=40)
