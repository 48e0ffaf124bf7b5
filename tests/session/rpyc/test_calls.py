"""Calls, attributes, exceptions, results and copies over RPyC's wire, in both dialects."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest

import nbrpc
from nbrpc import classic
from nbrpc.errors import LocalProtocolError
from tests.support import eventually


class Custom(Exception):
    """An exception that is no builtin."""


class Point:
    def __init__(self, x):
        self.x = x

    def exposed_x(self):
        return self.x


class Manager:
    def __init__(self, left, swallows):
        self.left = left
        self.swallows = swallows

    def __enter__(self):
        return 5

    def __exit__(self, kind, value, traceback):
        self.left.append((kind.__name__ if kind else None, str(value)))
        return self.swallows


class Values(nbrpc.Service):
    exposed_title = "matrix"
    hidden = 1

    def __init__(self):
        self.exposed_level = 3
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.kept = []

    def exposed_echo(self, value):
        return value

    def exposed_both(self, a, *, b=2, **others):
        return (a, b, tuple(sorted(others.items())))

    def exposed_fail(self, kind, *args):
        raise {"value": ValueError, "key": KeyError, "os": OSError, "custom": Custom}[kind](*args)

    def exposed_attributed(self):
        error = FileNotFoundError(2, "No such file", "a.txt")
        raise error

    def exposed_caused(self):
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("outer") from error

    def exposed_stop(self):
        raise StopIteration("mine")

    def exposed_list(self, count):
        return list(range(count))

    def exposed_dict(self):
        return {"a": 1, "b": [2, 3]}

    def exposed_generate(self, count):
        yield from range(count)

    def exposed_slowly(self, count):
        for i in range(count):
            self.entered.set()
            yield i
            self.gate.wait(10)

    def exposed_pair(self):
        return ([1, 2], "text", (Point(3), {"k": "v"}))

    def exposed_point(self, x):
        return Point(x)

    def exposed_hold(self, value=1):
        self.entered.set()
        self.gate.wait(10)
        return value

    def exposed_manager(self, swallows):
        self.left = []
        return Manager(self.left, swallows)

    def exposed_left(self):
        return tuple(self.left)

    async def exposed_later(self, x):
        return x + 1

    def exposed_point_class(self):
        return Point

    def exposed_keep(self, value):
        self.kept.append(value)

    def exposed_call_kept(self, *args):
        return self.kept.pop()(*args)


@pytest.fixture
def service():
    """Give the service; its gate opens in the end."""
    service = Values()
    yield service
    service.gate.set()


@pytest.fixture
def conn(linked, service):
    """Give a connection to it."""
    return linked(service)


# ---- calls and attributes


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, -1, 2**80, 1.5, 1 + 2j, "text", "größe", "", b"\0\xff", ..., NotImplemented),
        *((), (1, ("a", b"b")), frozenset({1, "a"}), slice(1, None, 2), tuple(range(1000))),
        "x" * 100_000,
    ],
)
def test_values_travel_both_ways(conn, value):
    """What RPyC copies arrives as it was, and of the same type."""
    got = conn.root.echo(value)
    assert got == value
    assert type(got) is type(value)


def test_keyword_arguments(conn):
    """They travel as pairs, with references in them too."""
    assert conn.root.both(1) == (1, 2, ())
    assert conn.root.both(1, b="x", c=3, d="e") == (1, "x", (("c", 3), ("d", "e")))
    thing = [1]
    _, found, _ = conn.root.both(a=0, b=thing)
    assert found is thing


def test_arguments_that_do_not_fit(conn):
    """A TypeError of the peer, and the connection works."""
    with pytest.raises(TypeError):
        conn.root.both()
    with pytest.raises(TypeError):
        conn.root.both(1, 2, 3)
    assert conn.root.echo(1) == 1


def test_what_cannot_be_sent_leaves_the_connection_usable(conn):
    """A lone surrogate, a huge int, a copy of a list: an error here, and nothing is lent."""
    before = conn.statistics().exported
    for value in ("\ud800", 10**5000, nbrpc.by_value([1])):
        with pytest.raises(nbrpc.NotSendable):
            conn.root.both([1], b=value)
    assert conn.root.echo(1) == 1
    assert conn.statistics().exported == before


def test_attributes_by_policy(linked, service):
    """Reading what is exposed; writing and deleting where the server allows that."""
    conn = linked(service)
    assert conn.root.title == "matrix"
    assert conn.root.level == 3
    for name in ("hidden", "kept", "nothing"):
        with pytest.raises(AttributeError):
            getattr(conn.root, name)
    with pytest.raises(AttributeError):
        conn.root.level = 4
    with pytest.raises(AttributeError):
        del conn.root.level
    assert service.exposed_level == 3


def test_attributes_are_written_where_that_is_allowed(linked, service):
    """The same names, with ``allow_setattr`` and ``allow_delattr``."""
    conn = linked(service, config={"allow_setattr": True, "allow_delattr": True})
    conn.root.level = 4
    assert service.exposed_level == 4
    del conn.root.level
    assert not hasattr(service, "exposed_level")
    with pytest.raises(AttributeError):
        conn.root.hidden = 4


@pytest.mark.parametrize(
    "name", ["__class__", "__dict__", "__globals__", "__init__", "echo.__func__", "echo.__self__"]
)
def test_names_that_lead_away(conn, name):
    """They are refused, whatever asks for them."""
    session, oid = conn.session, conn.root._nbrpc_oid_
    for op in (nbrpc.protocol.messages.Operation.GET, nbrpc.protocol.messages.Operation.CALL):
        with pytest.raises(nbrpc.RemoteError):
            session.finish(*session.begin(op, oid, name))
    assert not conn.closed


# ---- exceptions


def test_builtin_exceptions(conn):
    """They are raised with their arguments, and tell where they were raised."""
    with pytest.raises(ValueError, match="bad") as caught:
        conn.root.fail("value", "bad", 42)
    assert caught.value.args == ("bad", 42)
    assert "exposed_fail" in str(caught.value)
    with pytest.raises(KeyError) as caught:
        conn.root.fail("key", "missing")
    assert caught.value.args == ("missing",)


def test_attributes_of_exceptions(conn):
    """An OSError has its number and its file."""
    with pytest.raises(FileNotFoundError) as caught:
        conn.root.attributed()
    error = caught.value
    assert (error.errno, error.strerror, error.filename) == (2, "No such file", "a.txt")


def test_exceptions_of_other_modules(conn):
    """No class is looked up by a name from the wire; the name is told."""
    with pytest.raises(nbrpc.RemoteError, match="mine") as caught:
        conn.root.fail("custom", "mine")
    assert type(caught.value) is not Custom
    assert "Custom" in repr(caught.value) + str(type(caught.value))


def test_causes_are_told(conn):
    """The text of an exception has those before it, which RPyC has no form for."""
    with pytest.raises(RuntimeError, match="outer") as caught:
        conn.root.caused()
    assert "invalid literal for int()" in str(caught.value)


def test_stop_iteration_of_what_is_no_iterator(conn):
    """It cannot end a loop or a generator of this side by accident."""
    with pytest.raises(Exception, match=r"mine|StopIteration") as caught:
        conn.root.stop()
    assert type(caught.value) is not StopIteration

    def loop():
        yield conn.root.stop()

    with pytest.raises(Exception, match=r"mine|StopIteration") as caught:
        list(loop())


def test_an_exception_passes_through_both_sides(conn):
    """What a callback raises comes back to its caller, counting the hops."""

    def callback():
        raise KeyError("mine")

    conn.root.keep(callback)
    with pytest.raises(KeyError, match="mine") as caught:
        conn.root.call_kept()
    assert "in callback" in str(caught.value)
    assert "in exposed_call_kept" in str(caught.value)


def deep():
    """Nest 500 tuples."""
    nested = ()
    for _ in range(500):
        nested = (nested,)
    return nested


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


ODD = {
    "no text": lambda: Odd(Odd()),
    "surrogates": lambda: ValueError("\ud800", {"\ud800": 1}),
    "objects": lambda: ValueError(object(), [1, {2}], lambda: 1, 10**5000, b"x" * 100_000),
    "deep": lambda: ValueError(deep()),
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "group": lambda: ExceptionGroup("many", [ValueError(1), KeyError("k")]),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    "syntax": lambda: SyntaxError("bad", ("f", 1, 2, "text")),
    "long": lambda: ValueError("x" * 5_000_000),
}


class Raises(nbrpc.Service):
    def exposed_fail(self, name):
        error = ODD[name]()
        if name == "objects":
            error.extra, error.errno = object(), object()
        raise error

    def exposed_odd(self, name):
        return {"deep": deep(), "surrogates": "\ud800", "int": 10**5000}[name]

    def exposed_fine(self):
        return 1


@pytest.mark.parametrize("name", ODD)
def test_odd_exceptions_are_answered(linked, name):
    """Whatever a method raises, the caller gets an Exception, and the next call an answer."""
    conn = linked(Raises, client={"config": {"sync_request_timeout": 5}})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one depends on the peer
        conn.root.fail(name)
    assert not isinstance(caught.value, TimeoutError)
    assert conn.root.fine() == 1


@pytest.mark.parametrize("name", ["deep", "surrogates", "int"])
def test_results_that_cannot_be_sent(linked, name):
    """They are answered with an error."""
    conn = linked(Raises, client={"config": {"sync_request_timeout": 5}})
    with pytest.raises(nbrpc.RemoteError):
        conn.root.odd(name)
    assert conn.root.fine() == 1


# ---- asynchronous calls


def test_asynchronous_calls(conn):
    """They come in their order, and `gather` has their results."""
    echo = nbrpc.async_(conn.root.echo)
    results = [echo(i) for i in range(500)]
    assert nbrpc.gather(results).result(20) == list(range(500))
    assert conn.session.pending == {}


def test_an_asynchronous_call_that_fails(conn):
    """Its exception is that of the result."""
    result = nbrpc.async_(conn.root.fail)("value", "bad")
    with pytest.raises(ValueError, match="bad"):
        result.result(5)


def test_cancelling_frees_the_caller(conn, service):
    """RPyC knows no way to stop a call: the code runs on, and the connection is usable."""
    held = nbrpc.async_(conn.root.hold)()
    assert service.entered.wait(5)
    held.cancel()
    with pytest.raises(nbrpc.CallCancelled):
        held.result(5)
    service.gate.set()
    assert conn.root.echo(1) == 1
    eventually(lambda: conn.session.pending == {})


def test_a_result_that_nobody_waited_for_is_given_back(conn, service):
    """A reference that comes too late is released."""
    held = nbrpc.async_(conn.root.hold)([1])
    assert service.entered.wait(5)
    with pytest.raises(TimeoutError):
        held.result(0.01)
    held.cancel()
    del held
    service.gate.set()
    late = nbrpc.async_(conn.root.list)(3)
    late.cancel()
    del late
    settled(conn)


def test_timeouts(linked, service):
    """The caller is freed after ``sync_request_timeout``; later calls get their own answers."""
    conn = linked(service, client={"config": {"sync_request_timeout": 0.2}})
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.hold()
    service.gate.set()
    assert conn.root.echo(7) == 7
    with pytest.raises(TimeoutError):
        nbrpc.timed(conn.root.hold, 0.05)(service.gate.clear()).value  # noqa: B018 - it waits
    service.gate.set()
    assert conn.root.echo(8) == 8


def test_ping(conn):
    """It is answered in the protocol, without a thread."""
    assert 0 < conn.ping() < 3


def test_coroutines(conn):
    """A coroutine of the service is awaited there."""
    assert conn.root.later(1) == 2
    later = nbrpc.async_(conn.root.later)
    assert nbrpc.gather([later(i) for i in range(50)]).result(10) == list(range(1, 51))


class Gate(nbrpc.Service):
    """Calls that wait until another one lets them go."""

    def __init__(self):
        self.open = None

    async def exposed_wait(self):
        if self.open is None:
            self.open = asyncio.Event()
        await self.open.wait()
        return True

    async def exposed_release(self):
        self.open.set()


@pytest.mark.parametrize("count", [1, 30, 200])
def test_calls_that_wait_for_a_later_one(linked, count):
    """However many are outstanding, a further one is sent without any of them being answered."""
    conn = linked(Gate)
    wait, release = nbrpc.async_(conn.root.wait), nbrpc.async_(conn.root.release)
    results = [wait() for _ in range(count)]
    last = release()
    assert last.result(5) is None
    assert nbrpc.gather(results).result(5) == [True] * count


# ---- iteration


def test_iteration(conn):
    """Lists, dicts and generators, of more items than a chunk has."""
    assert list(conn.root.list(0)) == []
    assert list(conn.root.list(5000)) == list(range(5000))
    assert list(conn.root.generate(40)) == list(range(40))
    assert sorted(conn.root.dict()) == ["a", "b"]
    assert [key for key, _ in conn.root.dict().items()] == ["a", "b"]
    assert len(conn.root.list(3)) == 3
    assert conn.root.list(3)[-1] == 2
    assert 2 in conn.root.list(3)


def test_a_slow_generator_gives_item_by_item(conn, service):
    """No item waits for the next one."""
    items = iter(conn.root.slowly(3))
    assert next(items) == 0
    service.gate.set()
    assert list(items) == [1, 2]


def test_a_bare_next(conn):
    """It gives one item, and StopIteration at the end."""
    items = conn.root.generate(2)
    assert (next(items), next(items), next(items, "end")) == (0, 1, "end")


def test_buffiter(conn):
    """All items come, whatever the sizes are."""
    for chunk, most, factor in ((1, 1, 1), (10, 1000, 2), (10_000, 10_000, 1)):
        assert list(nbrpc.buffiter(conn.root.list(100), chunk, most, factor)) == list(range(100))


# ---- copies


NESTED = {"a": [1, (2, {"b": {3, 4}})], 5: frozenset({"x"}), "e": [], "n": None}


def test_obtain_from_a_service(conn):
    """Containers are copied through what the policy allows of them."""
    assert nbrpc.obtain(conn.root.dict()) == {"a": 1, "b": [2, 3]}
    assert nbrpc.obtain(conn.root.list(3)) == [0, 1, 2]
    assert nbrpc.obtain(5) == 5


def test_obtain_refuses_with_a_path(linked):
    """What has no copy is named, with the way to it."""

    class Deep(nbrpc.Service):
        def exposed_deep(self):
            return {"a": [1, Point(2)]}

    conn = linked(Deep)
    with pytest.raises(nbrpc.NotSendable, match=r"\['a'\]\[1\] is a Point"):
        nbrpc.obtain(conn.root.deep())


def test_obtain_and_deliver_where_code_may_run(linked):
    """Nested containers, arrays and numbers of numpy are packed there, in one round trip."""
    conn = linked(nbrpc.ClassicService, allow_code=True)
    values = [
        NESTED,
        [1, 2.5, "x"],
        bytearray(b"abc"),
        np.arange(12.0).reshape(3, 4),
        np.float64(1.5),
        np.array(5, dtype="int16"),
        np.zeros((0, 3)),
    ]
    for value in values:
        remote = classic.deliver(conn, value)
        copy = nbrpc.obtain(remote)
        if isinstance(value, (np.ndarray, np.generic)):
            assert copy.dtype == value.dtype
            assert copy.shape == value.shape
            assert (copy == value).all()
        else:
            assert copy == value
            assert type(copy) is type(value)
    for text, value in {
        "deque([1, 2])": [1, 2],
        "OrderedDict(a=1)": {"a": 1},
        "Counter('aab')": {"a": 2, "b": 1},
    }.items():
        conn.execute("from collections import *")
        assert nbrpc.obtain(conn.eval(text)) == value
    with pytest.raises(nbrpc.NotSendable, match=r"value\['k'\]\[1\] is a object"):
        nbrpc.obtain(conn.eval("{'k': [0, object()]}"))
    with pytest.raises(nbrpc.NotSendable, match=r"\[0\] is a Point"):
        classic.deliver(conn, [Point(1)])
    assert {deque, OrderedDict, Counter, defaultdict}  # what the expressions above name


def test_deliver_needs_leave_to_run_code(conn):
    """Elsewhere nothing can be copied there."""
    with pytest.raises(nbrpc.AccessDenied):
        classic.deliver(conn, [1])


# ---- classes and context managers


def test_isinstance(conn):
    """An object of the peer is an instance of its class there."""
    cls = conn.root.point_class()
    assert isinstance(conn.root.point(1), cls)
    assert not isinstance(conn.root.list(1), cls)
    assert not isinstance([], cls)


@pytest.mark.parametrize("swallows", [False, True])
def test_context_managers(conn, swallows):
    """They are entered and left there, with the exception that leaves the block."""
    with conn.root.manager(False) as entered:
        assert entered == 5
    assert conn.root.left() == ((None, "None"),)
    expected = contextlib.nullcontext() if swallows else pytest.raises(ValueError, match="mine")
    with expected, conn.root.manager(swallows):
        raise ValueError("mine")
    ((kind, text),) = conn.root.left()
    assert (kind, "mine" in text) == ("ValueError", True)


def test_what_rpyc_has_not(conn):
    """Events, streams and cells are refused here, with one sentence."""
    with pytest.raises(LocalProtocolError, match="RPyC"):
        conn.session.request(nbrpc.protocol.messages.Operation.SUBSCRIBE, 1, "changed")
    assert conn.root.echo(1) == 1


# ---- sizes


@pytest.mark.parametrize("size", [3_000, 3_001, 70_000, 1_000_000, 20_000_000])
def test_large_values_both_ways(conn, size):
    """Bytes of any size arrive whole, there and back."""
    data = np.random.default_rng(1).bytes(size)
    assert conn.root.echo(data) == data
    assert conn.root.echo(b"\0" * size) == b"\0" * size


# ---- references


def other_end(conn):
    """Give the server's connection, which is in this process too."""
    (other,) = [
        found
        for found in gc.get_objects()
        if type(found) is nbrpc.Connection and not found.closed and found is not conn
    ]
    return other


def settled(conn, imported=1):
    """Wait until neither side holds anything but the root, or so many objects."""
    other = other_end(conn)
    expected = (0, imported, imported, 0)
    deadline = time.monotonic() + 2
    figures = None
    while figures != expected and time.monotonic() < deadline:
        gc.collect()
        conn.session.send_releases()
        str(conn.root)  # what was sent before it has been carried out
        ours, theirs = conn.statistics(), other.statistics()
        figures = (ours.exported, ours.imported, theirs.exported, theirs.imported)
    assert figures == expected
    held, lent = conn.session.protocol.held, other.session.protocol.lent
    assert len(held._by_name) == len(held._by_number) == imported
    assert other.session.protocol.held._by_name == {}
    assert lent._classes == lent._numbers == {}
    assert other.session.protocol._numbers.keys() <= other.session.serving.keys()
    assert conn.session.protocol._unanswered == 0


def test_tuples_with_references(conn):
    """What is in a tuple travels by itself: copies, proxies, and our own objects come home."""
    items, text, (point, mapping) = conn.root.pair()
    assert (list(items), text, point.x(), mapping["k"]) == ([1, 2], "text", 3, "v")
    mine = [1]
    got, (again,) = conn.root.echo((mine, (items,)))
    assert got is mine
    assert again is items
    del items, point, mapping, got, again, mine
    settled(conn)


def test_identity(conn):
    """The same object is the same proxy, while it lives."""
    conn.root.keep(Point(1))
    thing = object()
    assert conn.root.echo(thing) is thing
    assert conn.root is conn.root


def test_counts_return_to_nothing(conn):
    """Objects that crossed in all directions are given back."""
    for _ in range(50):
        for item in conn.root.pair():
            conn.root.echo(item)
        conn.root.echo((lambda: 1, [1], Point))
        conn.root.keep(lambda x: x)
        conn.root.call_kept(conn.root.list(1))
    del item
    conn.root.point(1)
    conn.root.point_class()
    settled(conn)


def test_refused_requests_give_their_arguments_back(conn):
    """A callback that was passed to what is not exposed is held by nobody."""
    for _ in range(10):
        with contextlib.suppress(AttributeError):
            conn.session.finish(
                *conn.session.begin(
                    nbrpc.protocol.messages.Operation.CALL,
                    conn.root._nbrpc_oid_,
                    "hidden",
                    (lambda: 1,),
                )
            )
    settled(conn)


def test_an_asynchronous_call_keeps_what_it_needs(conn, service):
    """A function and its arguments may be dropped as soon as the call was sent."""
    service.gate.clear()
    both = nbrpc.async_(conn.root.both)
    holder = nbrpc.async_(conn.root.hold)()
    results = []
    for i in range(20):
        results.append(both([i], b=lambda: 1))
        gc.collect()
    service.gate.set()
    assert holder.result(5) == 1
    assert [result.result(5)[0][0] for result in results] == list(range(20))
    del results, holder, both
    settled(conn)


def test_a_call_of_the_server_keeps_what_it_needs(linked):
    """The same from the side of a service, whose proxies die before the client runs the call."""

    class Caller(nbrpc.Service):
        def exposed_start(self, function):
            for i in range(20):
                nbrpc.async_(function)(i, [i], function)
            del function
            gc.collect()

    conn = linked(Caller)
    seen = []
    conn.root.start(lambda i, items, function: seen.append((i, items[0], callable(function))))
    eventually(lambda: conn.poll_all(0.01) or len(seen) == 20)
    eventually(lambda: conn.poll_all(0.01) or len(seen) == 20)
    assert sorted(seen) == [(i, i, True) for i in range(20)]
    del seen[:]

    def nothing_held():
        gc.collect()
        conn.poll_all(0.01)
        return conn.statistics().exported == 0

    eventually(nothing_held)
