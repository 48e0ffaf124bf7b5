"""What clients do to the service. The text is the same for both implementations."""

from __future__ import annotations

import operator
import random
import re
import tempfile
import threading
from pathlib import Path

import service
from steps import group, until

VALUES = {
    "None": None,
    "true": True,
    "false": False,
    "NotImplemented": NotImplemented,
    "Ellipsis": Ellipsis,
    "small ints": (-49, -48, -1, 0, 1, 159, 160),
    "large ints": (2**31, 2**63, -(2**64), 10**300, -(10**260)),
    "floats": (0.0, -0.0, 1.5, 1e308, float("inf"), float("-inf")),
    "complex": (1 + 2j, -0.5j),
    "bytes": (*(bytes(range(n)) for n in (0, 1, 2, 3, 4, 5, 255)), b"x" * 256),
    "texts": ("", "a", "é", "hello", "日本語 \U0001f600", "\0\n", "x" * 255, "x" * 256, "ä" * 2000),
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (1,) * 5, (1,) * 255, (None,) * 256),
    "nested": (1, ("two", (3.0, (b"four", (None, ()))))),
    "slices": (slice(1, 2, None), slice(None), slice("a", (1, 2), 3)),
    "frozensets": (frozenset(), frozenset({1, "a", (b"b", 2.5)})),
}
"""Every kind of value that travels by value, and the edges of its encodings."""


def same(one, other):
    """Whether two values are equal, down to the types and signs in them."""
    if isinstance(one, tuple):
        return type(other) is tuple and len(one) == len(other) and all(map(same, one, other))
    if type(one) in {float, complex}:
        return type(other) is type(one) and repr(one) == repr(other)
    return type(one) is type(other) and one == other


@group("service")
def calls(do):
    """Call methods, with all kinds of arguments."""
    conn = do.connect()
    root = conn.root
    do("protocol", lambda: getattr(conn, "protocol", None))
    do("add", root.add, 1, 2)
    do("default", root.add, 1)
    do("more arguments", root.add, 1, 2, 3, 4)
    do("keywords", root.add, b=2, a=1, times=10)
    add = root.add
    do("kept method", lambda: [add(n, 1) for n in range(5)])
    do("wrong arguments", root.add)
    do("list as argument", root.total, [1, 2, 3])
    do("dict as argument", root.item, {"a": 5}, "a")
    do("tuple with a list", lambda: root.item((1, [2, 3]), 1)[0])
    do("pong", lambda: conn.ping() is not False)
    do("two connections", lambda: do.connect().root.add(2, 2) + root.add(1, 1))


@group("service")
def values(do):
    """Send every value that travels by value, and have it back."""
    root = do.connect().root
    for name, value in VALUES.items():
        do(name, lambda value=value: same(value, root.echo(value)))
    do("arguments by value", lambda: [root.kind_of(value[-1]) for value in _tuples()])
    do("own object comes home", lambda: _comes_home(root))


def _tuples():
    return [value for value in VALUES.values() if type(value) is tuple]


def _comes_home(root):
    mine = [1]
    return root.echo(mine) is mine


@group("service")
def attributes(do):
    """Read, set and delete attributes, as far as they are exposed."""
    root = do.connect().root
    do("class attribute", lambda: root.title)
    do("with the prefix", lambda: root.exposed_title)
    do("hidden", lambda: root.hidden)
    do("hidden method", lambda: root.hidden_method(1))
    do("private", lambda: root.__dict__)
    do("missing", lambda: root.no_such_name)
    do("hasattr", lambda: [hasattr(root, name) for name in ("add", "hidden", "no_such_name")])
    do("getattr with a default", lambda: getattr(root, "no_such_name", 5))
    do("set on the service", setattr, root, "title", "mine")
    thing = root.thing(3)
    do("instance attribute", lambda: thing.level)
    do("property", lambda: thing.twice)
    do("set", lambda: (setattr(thing, "level", 8), thing.level, thing.twice)[1:])
    do("seen over there", lambda: root.level_of(thing))
    do("set hidden", setattr, thing, "hidden", "mine")
    do("delete", delattr, thing, "level")
    do("deleted", lambda: thing.level)
    names = do("dir", lambda: len(dir(root)) > 0) and set(dir(root))
    do("dir has", lambda: any(name in names for name in ("add", "exposed_add")))
    do("doc", lambda: "held by reference" in str(root.thing().__doc__))
    do("after all", root.add, 1, 2)


@group("service")
def special_methods(do):
    """Use objects by their special methods."""
    root = do.connect().root
    three, five = root.thing(3), root.thing(5)
    do("repr", lambda: repr(three))
    do("str", lambda: str(three))
    do("format", lambda: f"{three}")
    do("hash", lambda: hash(three) == root.hash_of(three) == 7003)
    do("equal", lambda: [three == root.thing(3), three == five, three != five])
    do("less", lambda: [three < five, three <= five, three > five, five >= three])
    do("length", lambda: [len(five), bool(root.thing(0)), bool(five)])
    do("contains", lambda: [5 in five, 6 in five])
    do("items", lambda: [five[1], five["a"], five[1, 2]])
    do("arithmetic", lambda: [five + 1, 1 + five, -five])
    do("call", lambda: five(1, b=2))
    do("no such operation", lambda: five * 2)
    do("identity", lambda: [root.same(five, five), root.same(five, three)])
    root.keep("five", five)
    do("the same object again", lambda: root.same(root.kept("five"), five))
    do("methods", lambda: [five.raise_level(), five.raise_level(by=4), root.level_of(five)])
    numbers = root.numbers(5)
    do("list", lambda: [len(numbers), numbers[2], 3 in numbers, list(numbers[1:3])])
    do("list is changed", lambda: (operator.setitem(numbers, 0, 9), root.total(numbers))[1])
    do("repr of a list", lambda: repr(numbers))
    do("dict", lambda: [root.table(3)["key 2"], len(root.table(3)), "key 1" in root.table(3)])


@group("service")
def iteration(do):
    """Iterate over what is over there, item by item."""
    root = do.connect().root
    do("list", lambda: list(root.numbers(30)))
    do("tuple of it", lambda: tuple(root.numbers(3)))
    do("empty", lambda: list(root.numbers(0)))
    do("generator", lambda: list(root.generate(30)))
    do("dict", lambda: sorted(root.table(3)))
    do("iterator", lambda: list(root.countdown(4)))
    do("unpacking", lambda: [*root.numbers(2), *root.generate(2)])
    do("sum", lambda: sum(root.generate(10)))
    do("map", lambda: list(map(operator.add, root.numbers(3), root.generate(3))))
    steps = iter(root.numbers(2))
    do("next", lambda: [next(steps), next(steps)])
    do("next at the end", lambda: next(steps))
    do("next with a default", lambda: next(iter(root.numbers(0)), "none"))
    seen = []
    do("it breaks", lambda: seen.extend(n for n in _noted(root.break_after(2), seen)))
    do("before it broke", lambda: list(seen))
    do("our generator", lambda: root.total(n for n in range(4)))
    do("half read", lambda: [next(iter(root.generate(100))), root.add(1, 2)])


def _noted(items, seen):
    for item in items:
        seen.append(item)
    yield from ()


@group("service")
def buffered_iteration(do):
    """Iterate in chunks."""
    root = do.connect().root
    buffiter = do.api.buffiter
    do("list", lambda: list(buffiter(root.numbers(2500))) == list(range(2500)))
    do("generator", lambda: list(buffiter(root.generate(250))) == list(range(250)))
    do("empty", lambda: list(buffiter(root.numbers(0))))
    do("small chunks", lambda: list(buffiter(root.numbers(7), chunk=2, max_chunk=3)))
    do("one by one", lambda: list(buffiter(root.numbers(3), chunk=1, max_chunk=1)))
    do("dict", lambda: sorted(buffiter(root.table(3))))
    do("objects", lambda: [len(item) for item in buffiter(root.lists(4))])


@group("service")
def callbacks(do):
    """Be called back."""
    conn = do.connect()
    root = conn.root
    here = threading.get_ident()
    do("sync", root.call, lambda x: x * 2, 20)
    do("keywords", root.call, lambda a, b: a - b, 5, b=1)
    do("in our thread", root.call, lambda: threading.get_ident() == here)
    do("many", root.each, lambda n: n * n, 20)
    do("nested", root.nest, lambda depth: root.nest(_down(root), depth), 6)
    do("list to a callback", root.call, sum, [1, 2, 3])
    do("object over there to a callback", root.call, len, root.numbers(4))
    do("object back", lambda: root.call(lambda: root.thing(6)).level)

    def fail():
        raise ValueError("from the client", 1)

    do("exception through", root.call, fail)
    do("exception caught over there", root.catch, fail)
    seen = []
    root.keep("f", seen.append)
    do("kept over there", lambda: (root.call(root.kept("f"), "later"), seen)[1])
    got = []
    root.call_from_thread(got.append, "from a thread")
    do("from a thread", lambda: (until(lambda: got, conn), got)[1])


def _down(root):
    return lambda depth: root.nest(_down(root), depth)


@group("service")
def reading_ours(do):
    """The service reads attributes of objects of the client, as the client's config allows."""

    class Mine:
        public = "public"
        exposed_shown = "shown"
        _private = "private"

    root = do.connect().root
    do("exposed", root.read, Mine(), "shown")
    do("public", root.read, Mine(), "public")
    open_root = do.connect(config={"allow_public_attrs": True}).root
    do("public, allowed", open_root.read, Mine(), "public")
    do("private, allowed", open_root.read, Mine(), "_private")


@group("service")
def events(do):
    """Be told: callbacks that the service does not wait for."""
    conn = do.connect()
    seen = []
    conn.root.emit(seen.append, 200)
    do("all", lambda: until(lambda: len(seen) == 200, conn))
    do("in order", lambda: seen == list(range(200)))
    nested = []
    conn.root.emit(lambda n: nested.append(conn.root.add(n, 1)), 20)
    do("handlers that ask", lambda: until(lambda: len(nested) == 20, conn))
    do("what they got", lambda: sorted(nested))
    quiet = []
    conn.root.emit(quiet.append, 5)
    do("while calls are made", lambda: until(lambda: conn.root.add(1, 1) and len(quiet) == 5))
    thread = do.api.BgServingThread(conn)
    background = []
    conn.root.emit(background.append, 2)
    do("in the background", lambda: until(lambda: background == [0, 1]))
    thread.stop()
    do("afterwards", conn.root.add, 1, 2)


@group("service")
def asynchronous(do):
    """Start calls, and look at their results later."""
    conn = do.connect()
    api, root = do.api, conn.root
    slow, add, fail = (api.async_(f) for f in (root.slow, root.add, root.fail))
    result = slow(0.1)
    do("shown", lambda: _state(result))
    do("not ready", lambda: result.ready)
    do("value", lambda: result.value)
    do("then", lambda: [result.ready, result.error, result.expired, _state(result)])
    called = []
    result = add(1, 2)
    result.add_callback(called.append)
    result.wait()
    do("callback", lambda: until(lambda: called, conn) and called[0].value)
    do("many", lambda: [result.value for result in [add(n, n) for n in range(100)]][-1])
    do("error", lambda: _waited(fail("value")).error)
    do("error raised", lambda: fail("value").value)
    expiring = slow(0.2)
    expiring.set_expiry(0.05)
    do("expired", lambda: expiring.value)
    do("expired says so", lambda: expiring.expired)
    do("timed", lambda: api.timed(root.slow, 0.05)(0.2).value)
    do("not callable", lambda: api.async_(5))
    do("afterwards", root.add, 1, 2)


def _waited(result):
    result.wait()
    return result


def _state(result):
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(result))


@group("service")
def timeouts(do):
    """Wait no longer than was said."""
    conn = do.connect(config={"sync_request_timeout": 0.3})
    do("too slow", lambda: conn.root.slow(0.5))
    do("quick enough", do.connect(config={"sync_request_timeout": 5}).root.slow, 0.01)


@group("service")
def exceptions(do):
    """See exceptions of the service."""
    root = do.connect().root
    for kind in ("value", "key", "zero", "file", "attribute", "custom", "argument", "cause"):
        do(kind, root.fail, kind)
    do("group", root.fail, "group")
    do("number of an OSError", lambda: _caught(root.fail, "file").errno)
    do("attribute of our own", lambda: _caught(root.fail, "custom").code)
    do("refused", lambda: root.hidden)
    do("afterwards", root.add, 1, 2)


def _caught(function, *args):
    try:
        function(*args)
    except Exception as exc:  # an outcome to compare
        return exc
    raise AssertionError("nothing was raised")


@group("service")
def instances(do):
    """Ask for the class of an object."""
    root = do.connect().root
    thing, special = root.thing(), root.special()
    do("of its class", lambda: isinstance(thing, root.Thing))
    do("of a subclass", lambda: [isinstance(special, root.Thing), isinstance(thing, root.Special)])
    do("made here", lambda: isinstance(root.Thing(4), root.Thing))
    do("class is called", lambda: root.Thing(4).level)
    do("class attribute", lambda: root.Thing.kind)
    do("of another class", lambda: isinstance(root.guard(), root.Thing))
    do("builtins", lambda: [isinstance(root.numbers(1), list), isinstance(root.table(1), dict)])
    do("not another builtin", lambda: isinstance(root.numbers(1), dict))
    do("values", lambda: isinstance(root.add(1, 2), int))


@group("service")
def large_values(do):
    """Send a megabyte each way, and sizes at the edges of frames."""
    root = do.connect().root
    for kind in ("zeros", "random", "plain", "wide"):
        value = service.blob(kind)
        do(f"{kind} in", lambda kind=kind, value=value: root.blob(kind) == value)
        do(f"{kind} out", lambda value=value: root.digest(value) == service.digest(value))
    sizes = [2990, 3000, 3001, 3010, 63980, 63990, 64000, 64010, 128_000]
    noise = random.Random(1).randbytes(max(sizes))
    do("edges", lambda: all(root.echo(noise[:size]) == noise[:size] for size in sizes))


@group("service")
def contexts(do):
    """Use a context manager over there."""
    root = do.connect().root
    guard = root.guard()
    with guard as inside:
        do("entered", lambda: [inside.entered, root.same(inside, guard)])
        do("inside", lambda: guard.left)
    do("left", lambda: guard.left)

    def leave_by_exception():
        with guard:
            raise KeyError("ours")

    do("exception", leave_by_exception)
    do("left by it", lambda: guard.left)


@group("service")
def closing(do, label):
    """End connections from both sides."""
    ended = []

    class Mine(do.api.Service):
        def on_disconnect(self, conn):
            ended.append(conn)

    watch = do.connect()
    conn = do.connect(service=Mine)
    conn.root.label(f"{label} closed here")
    do("closed before", lambda: conn.closed)
    conn.close()
    do("closed after", lambda: conn.closed)
    do("on_disconnect here", lambda: until(lambda: ended))
    do("seen over there", lambda: until(lambda: f"{label} closed here" in watch.root.gone()))
    do("closed twice", conn.close)
    do("call on a closed one", lambda: conn.root.add(1, 2))
    with do.connect() as conn:
        conn.root.label(f"{label} with")
    do("closed by with", lambda: until(lambda: f"{label} with" in watch.root.gone()))

    del ended[:]
    conn = do.connect(service=Mine)
    root = conn.root
    root.label(f"{label} closed there")
    do.api.async_(root.hang_up)()
    do("noticed", lambda: until(lambda: conn.closed or not _is_alive(root)))
    do("on_disconnect here as well", lambda: until(lambda: ended or _served_to_its_end(conn)))
    do("call after it", lambda: root.add(1, 2))
    do("and over there", lambda: until(lambda: f"{label} closed there" in watch.root.gone()))


def _is_alive(root):
    try:
        return root.add(1, 2) == 3
    except EOFError:
        return False


def _served_to_its_end(conn):
    """RPyC's connection ends when it is served, however often a call has failed on it."""
    try:
        conn.serve(0.01)
    except EOFError:
        pass
    return False


@group("service")
def file_monitor(do):
    """The tutorial's session on events."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "floop.bloop")
        with path.open("wb", buffering=0) as file:
            conn = do.connect()
            bgsrv = do.api.BgServingThread(conn)
            changes = []

            def on_file_changed(oldstat, newstat):
                changes.append([_size(str(oldstat)), _size(str(newstat))])

            mon = conn.root.FileMonitor(str(path), on_file_changed, 0.01)
            for number in range(2):
                _let_it_look(mon)
                file.write(b"oloop")
                do(f"change {number}", lambda number=number: until(lambda: len(changes) > number))
            do("changes", lambda: list(changes))
            do("stop", mon.stop)
            bgsrv.stop()
            conn.close()

            conn = do.connect()
            mon = conn.root.FileMonitor(str(path), on_file_changed, 0.01)
            _let_it_look(mon)
            file.write(b"zloop")
            do("poll_all", lambda: until(lambda: conn.poll_all() or len(changes) > 2))
            do("served", lambda: until(lambda: len(changes) > 2, conn))
            do("last change", lambda: changes[-1])
            do("stop again", mon.stop)


def _let_it_look(mon):
    seen = mon.looks()
    until(lambda: mon.looks() > seen + 1)


def _size(text):
    return int(re.search(r"st_size=(\d+)", text)[1])


@group("service")
def meeting(do, name, count):
    """Be connected at the same time as others."""
    conn = do.connect()
    do("protocol", lambda: getattr(conn, "protocol", None))
    do("met", conn.root.meet, name, count)
    seen = []
    conn.root.emit(seen.append, 50)
    do("events", lambda: until(lambda: len(seen) == 50, conn) and seen == list(range(50)))
    do("calls", lambda: [conn.root.add(n, 1) for n in range(20)] == list(range(1, 21)))


@group("service")
def turned_away(do):
    """Come to a server that lets no such client in."""
    config = {} if do.kind == "classic" else {"config": {"sync_request_timeout": 8}}
    do("root", lambda: do.connect(**config).root)
