"""Special methods are one request each; answers are checked where Python would trust them."""

from __future__ import annotations

import asyncio
import operator
import tracemalloc

import pytest

from nbrpc.errors import NotSendable
from nbrpc.objects.boxing import ByValue
from nbrpc.objects.mimicry import MIMICKED
from nbrpc.objects.specials import ASKED, SPECIALS
from nbrpc.options import SAFE_ATTRIBUTES
from nbrpc.protocol.messages import Operation
from tests.objects.fake import proxy_of


def test_the_table_holds_what_peers_may_use():
    """Nothing outside of the safe attributes, but the checks for instances and subclasses."""
    assert set(SPECIALS) - {"__instancecheck__", "__subclasscheck__"} <= SAFE_ATTRIBUTES
    assert set(ASKED) <= set(SPECIALS)


def test_no_value_is_mimicked():
    """Only containers that travel by reference."""
    assert not set(MIMICKED.values()) & {int, str, bytes, tuple, frozenset, float, bool, type}


@pytest.mark.parametrize(
    ("use", "name", "args"),
    [
        (lambda p: p + 1, "__add__", (1,)),
        (lambda p: 1 + p, "__radd__", (1,)),
        (lambda p: p @ 2, "__matmul__", (2,)),
        (lambda p: divmod(p, 2), "__divmod__", (2,)),
        (lambda p: p**2, "__pow__", (2,)),
        (lambda p: -p, "__neg__", ()),
        (abs, "__abs__", ()),
        (lambda p: round(p, 2), "__round__", (2,)),
        (lambda p: p["key"], "__getitem__", ("key",)),
        (lambda p: p[1:2], "__getitem__", (slice(1, 2, None),)),
        (lambda p: operator.setitem(p, "key", 3), "__setitem__", ("key", 3)),
        (lambda p: operator.delitem(p, "key"), "__delitem__", ("key",)),
        (lambda p: operator.iadd(p, 3), "__iadd__", (3,)),
        (lambda p: p < 2, "__lt__", (2,)),
        (lambda p: p == 2, "__eq__", (2,)),
        (reversed, "__reversed__", ()),
        (operator.invert, "__invert__", ()),
    ],
)
def test_operators_are_one_request(use, name, args):
    """The peer uses its own operator on its own object."""
    proxy, caller = proxy_of({Operation.SPECIAL: 1}, specials=[name])
    use(proxy)
    assert caller.asked == [("SPECIAL", 5, name, args, None)]


def test_operators_that_the_class_lacks_are_errors_of_python():
    """TypeError, without asking."""
    proxy, caller = proxy_of()
    for use in (len, iter, abs, lambda p: p + 1, lambda p: p[0], lambda p: p(), lambda p: 1 in p):
        with pytest.raises(TypeError):
            use(proxy)
    with pytest.raises(TypeError), proxy:
        pass
    assert caller.asked == []


def test_calling_is_one_request():
    """Arguments go along as they are."""
    proxy, caller = proxy_of({Operation.CALL: "result"}, specials=["__call__"])
    assert proxy(1, x=2) == "result"
    assert caller.asked == [("CALL", 5, "", (1,), {"x": 2})]


def test_lengths():
    """A length is a whole number that fits."""
    proxy, caller = proxy_of({Operation.SPECIAL: 3}, specials=["__len__"])
    assert len(proxy) == 3
    assert proxy
    for lie in (-1, 2**63, 1.0, True, "3", None):
        caller.answers[Operation.SPECIAL] = lie
        with pytest.raises(TypeError, match="a length that is no length"):
            len(proxy)


def test_a_length_hint_reserves_no_memory():
    """list() of an iterable that claims 2**60 items takes what comes."""
    proxy, caller = proxy_of(
        {Operation.SPECIAL: 2**60, Operation.STREAM: [1, 2]},
        specials=["__length_hint__", "__iter__"],
    )
    tracemalloc.start()
    try:
        assert list(proxy) == [1, 2]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    for answer, hint in ((5, 5), (-1, 0), ("x", 0)):
        caller.answers[Operation.SPECIAL] = answer
        assert operator.length_hint(proxy) == hint


@pytest.mark.parametrize(
    ("answer", "truth"), [(True, True), (False, False), (1, False), ("", False)]
)
def test_truth_is_a_bool(answer, truth):
    """Anything but True is false."""
    proxy, _ = proxy_of({Operation.SPECIAL: answer}, specials=["__bool__", "__contains__"])
    assert bool(proxy) is truth
    assert (7 in proxy) is truth


def test_hashes_are_numbers():
    """A hash that is none is refused."""
    proxy, caller = proxy_of({Operation.HASH: 7}, specials=["__eq__", "__hash__"])
    assert hash(proxy) == 7
    for lie in (True, "7", None, 1.5):
        caller.answers[Operation.HASH] = lie
        with pytest.raises(TypeError, match="a hash that is no number"):
            hash(proxy)


def test_iteration_is_the_sessions():
    """``for`` and ``next`` go to the session, which reads ahead or not."""
    proxy, caller = proxy_of({Operation.STREAM: [1, 2]}, specials=["__iter__", "__next__"])
    assert list(proxy) == [1, 2]
    assert next(proxy) == [1, 2]
    assert [asked[0] for asked in caller.asked] == ["STREAM", "NEXT"]


def test_async_iteration_is_the_sessions():
    """``async for`` goes to the session too."""

    async def collect(proxy):
        return [item async for item in proxy]

    proxy, caller = proxy_of({Operation.STREAM: [1, 2]}, specials=["__iter__"])
    assert asyncio.run(collect(proxy)) == [1, 2]
    assert [asked[0] for asked in caller.asked] == ["ASYNC STREAM"]


def test_comparing_with_a_container_sends_a_copy():
    """A list equals lists only, so it goes along by value if it can."""
    sent = []

    def answer(_name, other):
        sent.append(other)
        if isinstance(other, ByValue) and other.obj == [print]:
            raise NotSendable("no copy")
        return True

    proxy, _ = proxy_of({Operation.SPECIAL: answer}, specials=["__eq__", "__lt__"])
    assert proxy == [1]
    assert proxy == (1, 2)
    assert proxy == [print]
    assert type(sent[0]) is ByValue
    assert sent[-1] == [print]


def test_a_context_manager_is_told_how_it_was_left():
    """The exception is described by plain values; only True swallows it."""
    proxy, caller = proxy_of({Operation.EXCHANGE: False}, specials=["__enter__", "__exit__"])
    with proxy:
        pass
    with pytest.raises(ValueError, match="bad"), proxy:
        raise ValueError("bad", 1, print)
    caller.answers[Operation.EXCHANGE] = True
    with proxy:
        raise KeyError("swallowed")
    told = [asked[3] for asked in caller.asked if asked[0] == "EXCHANGE"]
    assert told[0] == (None,)
    name, args, text = told[1][0]
    assert (name, args) == ("ValueError", ("bad", 1))
    assert text.startswith("('bad', 1")
    assert told[2][0][:2] == ("KeyError", ("swallowed",))
    caller.answers[Operation.EXCHANGE] = "yes"
    with pytest.raises(KeyError), proxy:
        raise KeyError("not swallowed")
