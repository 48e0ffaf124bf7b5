"""Pages of members and items: what an explorer may see, and what it must not touch."""

from __future__ import annotations

import enum
import math
import types
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from pathlib import PurePosixPath

import numpy as np
import pytest

from nbrpc.errors import AccessDenied
from nbrpc.objects.access import Policy
from nbrpc.objects.exposure import exposed, restricted
from nbrpc.objects.glimpses import glimpse, is_plain, named, spelled
from nbrpc.objects.pages import Row, item_at, page_of, value_at
from nbrpc.options import Access
from tests.objects.fake import proxy_of
from tests.objects.traps import trap_class

EXPOSED = Policy(Access())
ALL = Policy(Access(allow_code=True))


def rows_of(obj, policy=ALL, part="", start=0, count=100):
    """Give the rows of a page, by name."""
    return {row[0]: Row(*row) for row in page_of(obj, policy, part, start, count)["rows"]}


class Part:
    """Something inside."""

    __slots__ = ("angle", "empty")

    def __init__(self):
        self.angle = 3.5


class Whole:
    """Has a bit of everything, and a getter that must not run."""

    limit = 10

    def __init__(self):
        self.exposed_kept = Part()
        self.plain = [1, 2]
        self._private = None

    @property
    @exposed
    def position(self) -> float:
        """Where it is.

        Reading it moves hardware.
        """
        raise AssertionError("a getter was run")

    @property
    def overridden(self):
        raise AssertionError("a getter was run")

    @exposed
    async def move(self, to: float, *, slowly: bool = False) -> None:
        """Move there."""


def test_what_is_exposed_is_seen():
    """Values that stand in the object, properties unread with their class, signatures, docs."""
    rows = rows_of(Whole(), EXPOSED)
    assert list(rows) == ["kept", "position", "move"]
    assert rows["kept"] == Row("kept", "data", "Part", opens=True)
    assert rows["position"] == Row("position", "property", "float", "", "Where it is.", reads=True)
    assert rows["move"].signature == "(to: float, *, slowly: bool = False) -> None"
    assert rows["move"].doc == "Move there."


def test_everything_where_code_may_be_run():
    """Private names come last; an attribute behind a property of its name is not shown as it."""
    whole = Whole()
    whole.__dict__["overridden"] = "what stands behind"
    rows = rows_of(whole)
    assert list(rows) == [
        "kept",
        "limit",
        "overridden",
        "plain",
        "position",
        "move",
        "_private",
    ]
    assert rows["plain"].text == "list, 2 items"
    assert rows["limit"] == Row("limit", "data", "10")
    assert rows["overridden"] == Row("overridden", "property", reads=True)
    assert "what stands behind" not in str(rows)
    with pytest.raises(AccessDenied):
        value_at(whole, "overridden", ALL)


def test_slots():
    """Filled slots are values, empty ones only reading would tell."""
    rows = rows_of(Part())
    assert rows["angle"] == Row("angle", "data", "3.5")
    assert "empty" not in rows or rows["empty"].reads


def test_what_may_be_opened():
    """What stands there may, by its shown name; what is hidden, computed or gone may not."""
    whole = Whole()
    assert value_at(whole, "kept", EXPOSED) is whole.exposed_kept
    assert value_at(whole, "plain", ALL) is whole.plain
    for name in ("plain", "_private", "position", "nothing", "__dict__"):
        with pytest.raises(AccessDenied):
            value_at(whole, name, EXPOSED)


@pytest.mark.parametrize(
    ("container", "names"),
    [
        ([5, "x", [1]], ["0", "1", "2"]),
        (deque([5]), ["0"]),
        ({"a": 1, 2: None, (1, 2): 3}, ["'a'", "2", "tuple, 2 items"]),
        (OrderedDict(b=1, a=2), ["'b'", "'a'"]),
        (Counter("aab"), ["'a'", "'b'"]),
        (frozenset({7}), ["7"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_items(container, names):
    """Containers of the interpreter show what is in them, and can be found again."""
    page = page_of(container, EXPOSED, "", 0, 100)
    rows = [Row(*row) for row in page["rows"]]
    assert [row.name for row in rows] == names
    assert page["total"] == len(container)
    assert page["members"] == len(page_of(container, EXPOSED, "members", 0, 100)["rows"])
    values = container.values() if hasattr(container, "values") else container
    assert [item_at(container, row.step, EXPOSED) for row in rows] == list(values)


def test_pages_of_many():
    """A page is a page, however many items there are, and whatever is asked for."""
    many = list(range(10_000))
    assert list(rows_of(many, start=9_990)) == [str(number) for number in range(9_990, 10_000)]
    assert len(rows_of(many, count=10**9)) == 500
    assert rows_of(many, start=-5, count=2).keys() == {"0", "1"}
    assert rows_of(many, start=10**12) == {}
    assert len(rows_of(set(range(3_000)), start=2_990)) == 10


def test_an_item_that_is_gone():
    """What was there when the page was made need not be there when it is opened."""
    for container, step in (([1], ("at", 3)), ({}, ("key", "a")), ({}, ("at", 0))):
        with pytest.raises(LookupError):
            item_at(container, step, EXPOSED)
    with pytest.raises(AccessDenied):
        item_at(Whole(), ("at", 0), EXPOSED)
    made = defaultdict(list)
    with pytest.raises(LookupError):
        item_at(made, ("key", "a"), EXPOSED)
    assert not made, "a look has made an item"


def test_containers_with_code_of_their_own_are_not_looked_into():
    """A class that has replaced how it is read shows members only."""

    class Guarded(dict):
        def __getitem__(self, key):
            raise AssertionError("code was run")

        __iter__ = __getitem__

    page = page_of(Guarded(secret=1), ALL, "", 0, 100)
    assert "secret" not in str(page)
    with pytest.raises(AccessDenied):
        item_at(Guarded(secret=1), ("key", "secret"), ALL)


def test_no_code_of_the_object_runs():
    """Not of the object, its class or metaclass, nor of what is in it."""
    Trap = trap_class()
    trap = object.__new__(Trap)
    for policy in (EXPOSED, ALL):
        for obj in (trap, Trap):
            page = page_of(obj, policy, "", 0, 100)
            assert not any(row[5] for row in page["rows"] if row[1] == "property")
        for holder in ([trap, Trap], {"a": trap, 1: Trap}, (trap,)):
            (row, *_) = page_of(holder, policy, "", 0, 100)["rows"]
            assert row[2].endswith("Trap")
            assert item_at(holder, row[7], policy) is trap


def test_hooks_have_the_last_word():
    """Of a class with RPyC's hook, of a restricted view and of a copier nothing is lent."""

    class Hooked:
        def __init__(self):
            self.exposed_inner = [1]

        def _rpyc_getattr(self, name):
            raise AttributeError(name)

    class Copier(Whole):
        __nbrpc_by_value__ = True

    assert rows_of(Hooked(), EXPOSED)["inner"].reads
    assert rows_of(Hooked(), EXPOSED)["inner"].doc == ""  # nor is told that it is a list
    assert rows_of(Copier(), EXPOSED)["kept"].reads
    view = restricted(Whole(), {"kept", "move"}, ())
    assert not any(row.opens for row in rows_of(view, EXPOSED).values())
    for obj, name in ((Hooked(), "inner"), (Copier(), "kept"), (view, "kept")):
        with pytest.raises(AccessDenied):
            value_at(obj, name, EXPOSED)


def test_modules_and_proxies():
    """A module is lent where code may be run only; a proxy of the peer's object never."""
    module = types.ModuleType("lab")
    module.math = math
    assert rows_of(module)["math"].opens
    assert value_at(module, "math", ALL) is math
    assert rows_of([math], EXPOSED)["0"].opens is False
    with pytest.raises(AccessDenied):
        item_at([math], ("at", 0), EXPOSED)
    proxy, caller = proxy_of()
    assert rows_of([proxy])["0"].opens is False
    assert caller.asked == []


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (10**400, "an int of 1,329 bits"),
        ("x" * 500, f"'{'x' * 120}'... (500 in all)"),
        (b"ab", "b'ab'"),
        (range(0, 9, 2), "range(0, 9, 2)"),
        (Decimal("1.5"), "1.5"),
        (PurePosixPath("/a"), "/a"),
        (Colour.RED, "Colour.RED"),
        (np.float64(1.5), "np.float64(1.5)"),
        (np.zeros((2, 3)), "ndarray (2, 3) float64"),
        ({1}, "set, 1 item"),
        (len, ""),
        (Whole, ""),
        (object(), "object"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_glimpses(value, text):
    """One line of a value, plain ones as Python writes them."""
    assert glimpse(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Whole, "class Whole"),
        (math, "module math"),
        (rows_of, "function rows_of"),
        (len, "builtin_function_or_method"),
        (Whole(), "Whole"),
    ],
    ids=str,
)
def test_names(value, text):
    """What has a name is called by it."""
    assert named(value) == text


def test_what_is_plain():
    """What says all in one line has nothing to open."""
    assert all(map(is_plain, (None, 1, "x", b"", 1.5, Colour.RED, np.int8(1), range(3))))
    assert not any(map(is_plain, ([], {}, Whole(), math, np.zeros(1), ())))


def test_spelled():
    """Control characters and direction overrides are seen, not obeyed; the length is bounded."""
    assert spelled("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"
    assert spelled("\ud800") == "\\ud800"
    assert spelled("x" * 10, 3) == "xxx..."
