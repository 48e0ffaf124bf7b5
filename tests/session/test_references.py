"""References: both tables come back to nothing, whatever happened to the objects meanwhile."""

from __future__ import annotations

import gc
import resource
import threading
import weakref
from pathlib import Path

import pytest

import nbrpc
from tests.support import eventually


class Thing:
    def __init__(self, n):
        self.n = n

    def exposed_number(self):
        return self.n

    def exposed_self(self):
        return self


class Factory(nbrpc.Service):
    def __init__(self):
        self.kept = Thing(-1)
        self.seen = []

    def exposed_make(self, n):
        return Thing(n)

    def exposed_same(self):
        return self.kept

    def exposed_many(self, n):
        return tuple(Thing(i) for i in range(n))

    def exposed_number_of(self, thing):
        return thing.n

    def exposed_take(self, obj):
        self.seen.append(weakref.ref(obj))

    def exposed_call(self, callback):
        return callback()

    def exposed_fail(self, obj):
        raise ValueError("no")

    def exposed_ping(self):
        return "pong"


@pytest.fixture
def server(serving):
    """Give a server of the service."""
    return serving(Factory)


@pytest.fixture
def conn(server, connecting):
    """Give a connection to the service, served in this process."""
    conn = connecting(server)
    conn.root.ping()
    return conn


def tables(server, conn):
    """Give the sizes of all four tables after what is dead has been given back."""
    gc.collect()
    conn.root.ping()
    session = next(iter(server.connections)).session
    mine, theirs = conn.session.boxing, session.boxing
    return (
        len(mine.imports) - len(mine.imports.dead),
        len(theirs.exports),
        len(mine.exports),
        len(theirs.imports) - len(theirs.imports.dead),
    )


NOTHING = (1, 1, 0, 0)
"""The root, which the connection holds."""


def test_proxies_that_die_are_given_back(server, conn):
    """After 1,000 objects only the root is held."""
    things = [conn.root.make(i) for i in range(1000)]
    assert [thing.number() for thing in things] == list(range(1000))
    assert tables(server, conn)[:2] == (1001, 1001)
    del things
    eventually(lambda: tables(server, conn) == NOTHING)


def test_one_object_is_one_proxy(server, conn):
    """An object that comes twice is the same proxy, and is released when that dies."""
    first, second = conn.root.same(), conn.root.same()
    assert first is second
    assert first.self() is first
    del first, second
    eventually(lambda: tables(server, conn) == NOTHING)
    assert conn.root.same().number() == -1


def test_an_object_that_goes_home_is_itself(server, conn):
    """A proxy that is sent back arrives as the object."""
    thing = conn.root.make(5)
    assert conn.root.number_of(thing) == 5
    assert conn.root.number_of(conn.root.make(6)) == 6
    del thing
    eventually(lambda: tables(server, conn) == NOTHING)


def test_callbacks_are_given_back(server, conn):
    """Local functions that were lent to the server are released by it."""
    for _ in range(200):
        assert conn.root.call(lambda: 7) == 7
    eventually(lambda: tables(server, conn) == NOTHING)


def test_what_the_peer_drops_dies_here(server, conn):
    """A local object lives as long as the peer holds it, and no longer."""

    class Mine:
        pass

    mine = Mine()
    alive = weakref.ref(mine)
    conn.root.take(mine)
    del mine
    eventually(lambda: (tables(server, conn), alive() is None)[1])


def test_arguments_of_failed_calls_are_given_back(server, conn):
    """Neither an error of the remote nor one of boxing leaves a reference behind."""
    for _ in range(100):
        with pytest.raises(ValueError, match="no"):
            conn.root.fail(Thing(1))
        with pytest.raises(nbrpc.NotSendable):
            conn.root.fail((Thing(1), nbrpc.by_value(Thing(2))))
    eventually(lambda: tables(server, conn) == NOTHING)


def test_results_that_nobody_looks_at(server, conn):
    """The value of an AsyncResult that is dropped is released, taken or not."""
    make = nbrpc.async_(conn.root.make)
    results = [make(i) for i in range(300)]
    nbrpc.gather(results).wait()
    del results
    for i in range(100):
        make(i)
    eventually(lambda: not conn.session.pending)
    eventually(lambda: tables(server, conn) == NOTHING)


def test_proxies_dropped_while_their_request_is_on_its_way(server, conn):
    """A call on a temporary, or with one, reaches its object although nobody holds the proxy."""
    number = nbrpc.async_(conn.root.number_of)
    results = []
    for i in range(300):
        results.append((i, number(conn.root.make(i))))
        results.append((i, nbrpc.async_(conn.root.make(i).number)()))
    assert all(result.result(10) == i for i, result in results)
    assert not conn.closed
    results.clear()
    del number
    eventually(lambda: tables(server, conn) == NOTHING)


def test_a_tuple_of_many(server, conn):
    """Objects inside a value are counted one by one."""
    things = conn.root.many(5000)
    assert things[4999].number() == 4999
    del things
    eventually(lambda: tables(server, conn) == NOTHING)


def test_cycles_with_proxies(server, conn):
    """A proxy in a reference cycle is given back by the collector, in whichever thread."""
    for i in range(100):
        holder = [conn.root.make(i)]
        holder.append(holder)
    del holder
    eventually(lambda: tables(server, conn) == NOTHING)


def test_many_threads_share_and_drop(server, conn):
    """Threads that take and drop the same and different objects leave nothing behind."""
    wrong = []

    def run(n):
        for i in range(150):
            same, own = conn.root.same(), conn.root.make(n * 1000 + i)
            if same.number() != -1 or own.number() != n * 1000 + i:
                wrong.append((n, i))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    eventually(lambda: tables(server, conn) == NOTHING)


def test_closing_drops_everything(server, connecting):
    """What a connection held dies with it, on both sides."""
    conn = connecting(server)
    thing = conn.root.make(1)

    class Mine:
        pass

    mine = Mine()
    alive = weakref.ref(mine)
    conn.root.take(mine)
    session = next(iter(server.connections)).session
    del mine
    conn.close()
    eventually(lambda: len(session.boxing.exports) == 0)
    eventually(lambda: (gc.collect(), alive() is None)[1])
    assert "lost" in repr(thing)


def test_the_limit_of_exported_objects(serving, connecting):
    """A peer that holds too much gets an error, and can go on when it lets go."""
    server = serving(Factory, limits=nbrpc.Limits(exported=10))
    conn = connecting(server)
    things = []
    with pytest.raises(nbrpc.LimitExceeded, match="already holds 10 objects"):
        things.extend(conn.root.make(i) for i in range(20))
    things.clear()
    gc.collect()
    assert conn.root.make(1).number() == 1


@pytest.mark.slow
def test_a_hundred_thousand_proxies_leave_no_memory(server, conn):
    """100,000 calls and proxies: tables back to nothing, memory within 4 MB."""
    for _ in range(2000):
        conn.root.make(1)
    before = resident()
    for i in range(100_000):
        conn.root.make(i)
    eventually(lambda: tables(server, conn) == NOTHING)
    grown = resident() - before
    print(f"100,000 proxies: {grown:.1f} MB more, tables back to the root")
    assert grown < 4


def resident():
    """Give the resident memory in megabytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() / 1e6
