"""What Tab may ask about an object, without a getter being run."""

from __future__ import annotations

import pytest

from nbrpc.errors import AccessDenied
from nbrpc.objects.access import Policy
from nbrpc.objects.exposure import exposed, restricted
from nbrpc.objects.listing import find_quietly, keys_of, members_of
from nbrpc.options import Access


class Part:
    """Something inside."""

    @exposed
    def turn(self, angle: float) -> None:
        """Turn by so much."""


class Whole:
    """Has a part, behind properties that must not be read."""

    def __init__(self):
        self.exposed_kept = Part()

    @property
    @exposed
    def part(self) -> Part:
        """The part."""
        raise AssertionError("a getter was run")

    @property
    @exposed
    def other(self) -> list[Part]:
        """What no class stands for."""
        raise AssertionError("a getter was run")

    def hidden(self):
        """Not exposed."""


@pytest.fixture
def policy():
    """The rules of a server without settings."""
    return Policy(Access())


@pytest.mark.parametrize("path", ["part", "kept"])
def test_members_behind_a_path(policy, path):
    """A property stands for the class that it says it gives, an attribute for itself."""
    whole = Whole()
    assert members_of(find_quietly(whole, path, policy), policy) == {"turn": "method"}
    assert find_quietly(whole, f"{path}.turn", policy).__func__ is Part.turn


@pytest.mark.parametrize("path", ["hidden", "part.hidden", "other.turn", "nothing"])
def test_paths_that_lead_nowhere(policy, path):
    """Neither what is not exposed nor what only reading would tell is found."""
    with pytest.raises(AccessDenied):
        find_quietly(Whole(), path, policy)


def test_members_of_the_object(policy):
    """Those of the class and of the instance, with their kinds; of a mere property, none."""
    whole = Whole()
    members = {"part": "property", "other": "property", "kept": "data"}
    assert members_of(whole, policy) == members
    assert members_of(find_quietly(whole, "other", policy), policy) == {}


class Table:
    """Says which keys it has."""

    def __getitem__(self, key):
        return key

    def _ipython_key_completions_(self):
        return ["a", "b", (1, 2)]


def test_keys(policy):
    """Texts and numbers only, at most 1,000; of a dictionary, without its own methods."""

    class Loud(dict):
        def keys(self):
            raise AssertionError("a method was run")

        __iter__ = keys

    assert keys_of(Loud({"a": 1, 2: 3, (4,): 5}), policy) == ["a", 2]
    assert len(keys_of(dict.fromkeys(range(5_000)), policy)) == 1_000
    assert keys_of(Table(), policy) == ["a", "b"]
    assert keys_of([1, 2], policy) == []


def test_keys_that_are_not_given(policy):
    """A restricted view has none, and what cannot be indexed raises what indexing would."""
    assert keys_of(restricted({"a": 1}, ["get"]), policy) == []
    with pytest.raises(TypeError):
        keys_of(Whole(), policy)


def test_a_hook_is_asked_when_it_is_read():
    """What a class decides itself, or a view, is not looked into from outside."""

    class Hooked:
        def __init__(self):
            self.exposed_kept = {"key": Part()}

        def _rpyc_getattr(self, name):
            raise AttributeError(name)

    class Owner:
        @property
        @exposed
        def behind(self) -> Hooked: ...

    Owner.behind.fget.__annotations__["return"] = Hooked
    every = Policy(Access(allow_all_attrs=True))
    view = restricted(Whole(), {"kept"})
    for obj, path in ((Hooked(), "kept"), (Owner(), "behind.kept"), (view, "kept")):
        with pytest.raises(AccessDenied, match="'kept' cannot be seen before it is read"):
            find_quietly(obj, path, every)
    assert find_quietly(Owner(), "behind", every) is Owner.behind
