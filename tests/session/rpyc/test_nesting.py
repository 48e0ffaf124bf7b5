"""Calls within calls over RPyC's wire, which does not say what is inside of what."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import nbrpc
from nbrpc.session import dispatch
from tests.support import eventually


class Caller(nbrpc.Service):
    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.results = []
        self.active = 0
        self.most_active = 0

    def exposed_descend(self, n, callback):
        return 0 if n == 0 else 1 + callback(n - 1)

    def exposed_call(self, callback, *args):
        return callback(*args)

    def exposed_call_elsewhere(self, callback):
        """Call the callback on a thread of our own."""
        result = []
        thread = threading.Thread(target=lambda: result.append(callback()))
        thread.start()
        thread.join(1)
        return result[0] if result else "stuck"

    def exposed_fire(self, callback, count):
        """Call the callback so often, without waiting."""
        function = nbrpc.async_(callback)
        self.results = [function(i) for i in range(count)]

    def exposed_fire_slowly(self, callback, count, pause):
        """The same, with a rest between two calls in which nothing else is answered."""
        function = nbrpc.async_(callback)
        self.results = []
        for i in range(count):
            self.results.append(function(i))
            time.sleep(pause)  # the pace of the events

    def exposed_failed(self):
        return sum(result.exception(10) is not None for result in self.results)

    def exposed_add(self, a, b):
        return a + b

    def exposed_hold(self):
        self.entered.set()
        self.gate.wait(10)
        return "held"

    def exposed_alone(self):
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        time.sleep(0.001)  # until it is so
        self.active -= 1
        return self.most_active


@pytest.fixture
def caller():
    """Give the service; its gate opens in the end."""
    service = Caller()
    yield service
    service.gate.set()


@pytest.fixture
def conn(linked, caller):
    """Give a connection to it."""
    return linked(caller)


def descend(conn, depth):
    """Nest calls so deep, to and fro."""

    def back(n):
        return 0 if n == 0 else 1 + conn.root.descend(n - 1, back)

    return conn.root.descend(depth, back)


@pytest.mark.parametrize("depth", [1, 2, 20, 40])
def test_callbacks_nest(conn, depth):
    """A callback may call the server, which calls back."""
    assert descend(conn, depth) == depth


def test_too_deep_raises_here_and_the_connection_works(linked, caller):
    """What is nested beyond the limit raises RecursionError, and everything else goes on."""
    limits = nbrpc.Limits(nesting=10)
    conn = linked(caller, client={"limits": limits}, limits=limits)
    with pytest.raises(RecursionError):
        descend(conn, 5000)
    assert conn.root.add(1, 2) == 3
    assert descend(conn, 10) == 10
    eventually(lambda: conn.session.pending == {})


def test_a_callback_runs_on_the_thread_that_waits(conn):
    """What the peer calls inside our call runs where that was made."""
    assert conn.root.call(threading.get_ident) == threading.get_ident()


def test_a_callback_from_a_foreign_thread(conn):
    """A callback that the server makes from a thread of its own is served by the call's wait."""
    assert conn.root.call_elsewhere(lambda: 5) == 5


def test_a_callback_from_a_foreign_thread_that_calls_back(conn):
    """As with RPyC, the thread that waits for the callback serves what that asks."""
    assert conn.root.call_elsewhere(lambda: conn.root.add(2, 3)) == 5


def test_requests_of_a_connection_run_one_after_another(conn):
    """As RPyC's do, also when they come at once."""
    alone = nbrpc.async_(conn.root.alone)
    assert set(nbrpc.gather([alone() for _ in range(50)]).result(10)) == {1}


def test_connections_do_not_wait_for_each_other(linked, connecting, serving, caller):
    """While one is held in a call, another is answered."""
    server = serving(caller, rpyc=True)
    first, second = connecting(server), connecting(server)
    held = nbrpc.async_(first.root.hold)()
    assert caller.entered.wait(5)
    assert second.root.add(1, 2) == 3
    caller.gate.set()
    assert held.result(5) == "held"


# ---- events


def test_calls_without_waiting_run_in_their_order(conn):
    """They run when this side talks to the connection, as with a service of nbrpc."""
    seen = []
    conn.root.fire(seen.append, 1000)
    eventually(lambda: conn.poll_all(0.01) or len(seen) == 1000)
    eventually(lambda: conn.poll_all(0.01) or len(seen) == 1000)
    assert seen == list(range(1000))


class Nested:
    """A handler that calls back, and how deep it was nested."""

    def __init__(self, conn):
        self.conn = conn
        self.seen = []
        self.depth = self.deepest = 0

    def __call__(self, i):
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        assert self.conn.root.add(i, 1) == i + 1
        self.seen.append(i)
        self.depth -= 1


def test_a_thousand_events_whose_handlers_call_back(conn):
    """None is lost and they do not pile up on the stack, although each waits inside of a job."""
    handler = Nested(conn)
    conn.root.fire(handler, 1000)
    eventually(lambda: conn.poll_all(0.01) or len(handler.seen) == 1000, 20)
    assert sorted(handler.seen) == list(range(1000))
    assert handler.deepest < 20
    assert conn.root.failed() == 0


def test_events_whose_handlers_call_back_while_the_server_is_busy(conn):
    """The same while the server fires one after another and answers nothing meanwhile."""
    handler = Nested(conn)
    conn.root.fire_slowly(handler, 300, 0.001)
    eventually(lambda: conn.poll_all(0.01) or len(handler.seen) == 300, 20)
    assert sorted(handler.seen) == list(range(300))
    assert conn.root.failed() == 0


# ---- where requests of the peer run


def test_a_serving_thread(conn):
    """With `BgServingThread` events are handled at once, and callbacks may call back."""
    handler = Nested(conn)
    with nbrpc.BgServingThread(conn):
        nbrpc.async_(conn.root.fire)(handler, 100)
        eventually(lambda: len(handler.seen) == 100, 10)
        assert descend(conn, 20) == 20
        assert conn.root.call(lambda: conn.root.add(1, 1)) == 2
    assert conn.root.add(1, 2) == 3


def test_the_dispatcher_of_a_terminal(conn):
    """`Thread`: the same on a thread of nbrpc's."""
    conn.set_dispatcher(dispatch.Thread())
    handler = Nested(conn)
    nbrpc.async_(conn.root.fire)(handler, 100)
    eventually(lambda: len(handler.seen) == 100, 10)
    assert descend(conn, 20) == 20
    assert conn.root.call_elsewhere(lambda: 5) == 5


def test_the_dispatcher_of_a_kernel(conn):
    """`Loop`: between cells, and while a cell waits in a call."""

    async def run():
        loop = asyncio.get_running_loop()
        conn.set_dispatcher(
            dispatch.Loop(loop.call_soon_threadsafe, loop.call_later, threading.get_ident())
        )
        handler = Nested(conn)
        nbrpc.async_(conn.root.fire)(handler, 100)
        deadline = time.monotonic() + 10
        while len(handler.seen) < 100 and time.monotonic() < deadline:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0.001)  # the loop must turn for the handler to run
        assert sorted(handler.seen) == list(range(100))
        assert descend(conn, 20) == 20
        assert await nbrpc.async_(conn.root.call)(lambda: conn.root.add(1, 2)) == 3

    asyncio.run(run())


def test_threads_share_a_connection(conn):
    """32 threads on one connection get each the answer to its own call, callbacks included."""
    wrong = []

    def run(n):
        try:
            for i in range(50):
                number = n * 1000 + i
                if conn.root.add(number, 1) != number + 1:
                    wrong.append(number)
                if conn.root.call(lambda x: x + 1, number) != number + 1:
                    wrong.append(number)
        except Exception as error:  # whatever it is, the test fails with it
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert conn.session.pending == {}


# ---- serial services


class Driver(nbrpc.Service, serial=True):
    def __init__(self):
        self.threads = set()

    def exposed_call(self, callback, *args):
        self.threads.add(threading.get_ident())
        return callback(*args)

    def exposed_where(self):
        self.threads.add(threading.get_ident())
        return len(self.threads)

    async def exposed_later(self, x):
        self.threads.add(threading.get_ident())
        return x


def test_serial_services(linked):
    """All of it runs on one thread, whoever calls."""
    conn = linked(Driver)
    assert conn.root.call(lambda x: x + 1, 1) == 2
    assert conn.root.later(3) == 3
    assert conn.root.where() == 1
    where = nbrpc.async_(conn.root.where)
    assert set(nbrpc.gather([where() for _ in range(20)]).result(5)) == {1}


def test_a_callback_of_a_serial_service_that_calls_back(linked):
    """It runs on the thread of the service, which waits for the callback."""
    conn = linked(Driver, client={"config": {"sync_request_timeout": 5}})
    assert conn.root.call(lambda: conn.root.call(lambda: conn.root.where())) == 1  # noqa: PLW0108 - read when it is called


def test_a_deadline_holds_while_a_callback_waits(conn, caller):
    """The wait of the thread ends with that of the call around it, here as on nbrpc's wire."""
    ended = []

    def callback():
        try:
            conn.root.hold()
        except nbrpc.CallTimeout as error:
            ended.append(str(error))
            raise

    begun = time.monotonic()
    with pytest.raises(nbrpc.CallTimeout):
        nbrpc.async_(conn.root.call)(callback).result(0.5)
    assert time.monotonic() - begun < 5
    assert len(ended) == 1
    assert "inside" in ended[0]
    caller.gate.set()
    assert conn.root.add(1, 2) == 3
