"""References are counted right under any interleaving, and both tables end up empty."""

from __future__ import annotations

import contextvars
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from nbrpc.errors import LimitExceeded, RemoteProtocolError
from nbrpc.objects.refs import Exports, Imports, pairs
from tests.objects.wire import Stand, two_ends

CELL = contextvars.ContextVar("CELL")


class Thing:
    """Something that is lent."""


def test_an_object_keeps_its_id_while_it_is_held():
    """The same object has one id, however often it is lent; an id is never used again."""
    exports = Exports(10)
    thing, other = Thing(), Thing()
    first = exports.lend(thing)
    assert exports.lend(thing) == first
    assert exports.lend(other) == first + 1
    assert exports.get(first) is thing
    assert exports.release(first, 1) is None
    assert exports.release(first, 1) is thing
    assert exports.lend(thing) == first + 2
    assert len(exports) == 2


def test_equal_objects_are_not_the_same():
    """Identity decides, not equality."""
    exports = Exports(10)
    assert exports.lend([]) != exports.lend([])


@pytest.mark.parametrize("count", [0, -1, 2, 2**63])
def test_a_peer_cannot_release_what_it_does_not_hold(count):
    """A count that is not from 1 to what is held is the peer's mistake, and changes nothing."""
    exports = Exports(10)
    oid = exports.lend(Thing())
    with pytest.raises(RemoteProtocolError, match=f"released {count} of object {oid}"):
        exports.release(oid, count)
    assert len(exports) == 1


def test_unknown_ids_are_refused():
    """Ids that were never given, or given back already, name nothing."""
    exports = Exports(10)
    oid = exports.lend(Thing())
    exports.release(oid, 1)
    for unknown in (oid, oid + 1, 0, -1):
        with pytest.raises(RemoteProtocolError):
            exports.release(unknown, 1)
        with pytest.raises(KeyError):
            exports.get(unknown)


def test_a_peer_may_hold_so_many_objects():
    """One more raises LimitExceeded and counts nothing; what is held may be lent again."""
    exports = Exports(2)
    one, two = Thing(), Thing()
    exports.lend(one)
    exports.lend(two)
    with pytest.raises(LimitExceeded, match=r"already holds 2 objects .* raise Limits\.exported"):
        exports.lend(Thing())
    assert exports.lend(one) == 1
    assert len(exports) == 2


def test_ids_say_nothing_about_addresses():
    """No id is that of an object in memory."""
    exports = Exports(10)
    things = [Thing() for _ in range(5)]
    assert [exports.lend(thing) for thing in things] == [1, 2, 3, 4, 5]


def test_the_context_of_the_last_hand_over_is_kept_on_demand(monkeypatch):
    """A notebook runs a callback in the context of the cell that handed it over."""
    exports = Exports(10)
    thing = Thing()
    oid = exports.lend(thing)
    assert exports.context(oid) is None
    monkeypatch.setattr(Exports, "remembers_context", True)
    CELL.set("one")
    exports.lend(thing)
    CELL.set("two")
    assert exports.context(oid)[CELL] == "one"
    assert exports.context(oid + 1) is None


def test_what_is_dropped_is_given_back_to_be_destroyed_later():
    """Neither release nor clear destroys an object under the lock of their caller."""
    exports = Exports(10)
    released, cleared = Thing(), Thing()
    refs = [weakref.ref(released), weakref.ref(cleared)]
    oid = exports.lend(released)
    exports.lend(cleared)
    del released, cleared
    held = [exports.release(oid, 1), *exports.clear()]
    assert None not in [ref() for ref in refs]
    assert len(exports) == 0
    held.clear()
    assert [ref() for ref in refs] == [None, None]


def test_a_dead_proxy_gives_all_its_references_back():
    """The count is how often the reference was received."""
    imports = Imports()
    proxy = Thing()
    imports.add(5, proxy)
    assert imports.get(5) is proxy
    assert imports.get(6) is None
    assert list(imports.proxies()) == [proxy]
    assert imports.releases() == []
    del proxy
    assert imports.get(5) is None
    assert list(imports.proxies()) == []
    assert imports.releases() == [5, 2]
    assert len(imports) == 0


def test_a_new_proxy_may_follow_before_the_old_is_released():
    """The references of the dead proxy are given back; those of the new one are not."""
    imports = Imports()
    first = Thing()
    imports.add(5, first)
    del first
    second = Thing()
    assert imports.get(5) is None
    imports.add(5, second)
    assert imports.releases() == [5, 1]
    assert imports.get(5) is second
    assert len(imports) == 1


def test_references_that_became_no_proxy_are_owed():
    """What a late reply carried is given back with the rest; nothing is owed to a lost peer."""
    imports = Imports()
    imports.owed.append((7, 1))
    assert imports.releases() == [7, 1]
    imports.add(8, Thing())
    imports.owed.append((9, 1))
    imports.clear()
    assert imports.releases() == []
    assert len(imports) == 0


def test_counts_come_in_pairs():
    """A release with an id and no count is the peer's mistake."""
    assert list(pairs([1, 2, 3, 4])) == [(1, 2), (3, 4)]
    with pytest.raises(RemoteProtocolError, match="without a count"):
        pairs([1, 2, 3])


class References(RuleBasedStateMachine):
    """Two sides that send each other objects and proxies; messages are on their way for long."""

    things = Bundle("things")

    @initialize()
    def connect(self):
        """Make both sides."""
        self.ends = two_ends()
        self.ways = ([], [])
        self.held = ([], [])
        self.number = 0

    @precondition(lambda self: self.number < 3)  # few, so that they meet
    @rule(target=things, side=st.integers(0, 1))
    def make(self, side):
        """An object comes into being on one side."""
        self.number += 1
        return side, Thing()

    @rule(thing=things, times=st.integers(1, 3))
    def send(self, thing, times):
        """An object is sent by reference, alone or several times in one message."""
        side, obj = thing
        self.ways[side].append(("value", self.ends[side].write((obj,) * times)))

    # Proxies are chosen by number: what hypothesis draws it also keeps alive.

    @rule(side=st.integers(0, 1), which=st.integers(0, 99))
    def send_home(self, side, which):
        """A proxy is sent home; a release that follows cannot overtake it."""
        held = self.held[side]
        if held:
            proxy = held[which % len(held)]
            self.ways[side].append(("value", self.ends[side].write(proxy)))

    @rule(side=st.integers(0, 1), late=st.booleans())
    def receive(self, side, late):
        """The oldest message on its way arrives; maybe nobody waits for its value any more."""
        if not self.ways[1 - side]:
            return
        kind, content = self.ways[1 - side].pop(0)
        end = self.ends[side]
        if kind == "release":
            end.take_back(content)
        elif late:
            end.boxing.discard(end.receive(content).value)
        else:
            value = end.read(content)
            items = value if type(value) is tuple else (value,)
            self.held[side].extend(item for item in items if type(item) is Stand)

    @rule(side=st.integers(0, 1), which=st.integers(0, 99))
    def drop(self, side, which):
        """The user forgets a proxy."""
        held = self.held[side]
        if held:
            del held[which % len(held)]

    @rule(side=st.integers(0, 1), late=st.booleans())
    def drop_all_and_receive(self, side, late):
        """The user forgets all proxies, and a message arrives before they are given back."""
        self.held[side].clear()
        self.receive(side, late)

    @rule(side=st.integers(0, 1))
    def release(self, side):
        """What died is given back, behind everything that was sent before."""
        counts = self.ends[side].releases()
        if counts:
            self.ways[side].append(("release", counts))

    @invariant()
    def every_proxy_finds_its_object(self):
        """What a living proxy stands for is in the table of the other side."""
        for side in (0, 1):
            for proxy in self.held[side]:
                assert type(self.ends[1 - side].boxing.exports.get(proxy.oid)) is Thing

    def teardown(self):
        """Everything arrives and everything is forgotten: both tables are empty."""
        again = True
        while again:
            for side in (0, 1):
                while self.ways[side]:
                    self.receive(1 - side, late=False)
            for side in (0, 1):
                self.held[side].clear()
                self.release(side)
            again = any(self.ways)
        for end in self.ends:
            assert end.releases() == []
            assert len(end.boxing.exports) == 0
            assert len(end.boxing.imports) == 0


TestReferences = References.TestCase
TestReferences.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
