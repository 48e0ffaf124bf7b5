"""``serial=True``: one thread, one call after the other, whatever clients do."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest

import nbrpc
from tests.support import eventually


class Driver(nbrpc.Service, serial=True):
    """A driver that notices when two of its calls overlap, or run on two threads."""

    def __init__(self):
        self.threads = set()
        self.log = []
        self.inside = 0
        self.overlaps = 0
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.pending = None
        self.out_of_step = 0

    def _enter(self):
        self.threads.add(threading.get_ident())
        self.inside += 1
        self.overlaps += self.inside > 1

    def exposed_call(self, who, number):
        self._enter()
        time.sleep(0)
        self.log.append((who, number))
        self.inside -= 1
        return number

    async def exposed_call_async(self, who, number):
        self._enter()
        await asyncio.sleep(0)
        self.log.append((who, number))
        self.inside -= 1
        return number

    def exposed_hold(self):
        self._enter()
        self.entered.set()
        try:
            self.gate.wait(10)
        finally:
            self.inside -= 1
        return "held"

    def exposed_nested(self, callback):
        self._enter()
        try:
            return callback()
        finally:
            self.inside -= 1

    def exposed_inner(self):
        return threading.get_ident()

    def exposed_thread(self):
        return threading.get_ident()

    @nbrpc.exposed
    @property
    def position(self):
        return threading.get_ident()

    def exposed_transaction(self, number, seconds=0.0):
        """Ask and read the answer: out of step once one is broken off between the two."""
        with nbrpc.shield():
            if self.pending is not None:
                self.out_of_step += 1
            self.pending = number
            time.sleep(seconds)
            answer, self.pending = self.pending, None
        return answer


class Plain(nbrpc.Service):
    def __init__(self):
        self.driver = Driver()

    def exposed_driver(self):
        return self.driver

    def exposed_thread(self):
        return threading.get_ident()


@pytest.fixture
def driver():
    """Give the driver; its gate opens in the end."""
    service = Driver()
    yield service
    service.gate.set()


def test_four_clients_at_once(serving, connecting):
    """All calls run on one thread, none overlaps, and each client's in its order."""
    driver = Driver()
    server = serving(driver)
    conns = [connecting(server) for _ in range(4)]

    def run(who):
        call = nbrpc.async_(conns[who].root.call)
        call_async = nbrpc.async_(conns[who].root.call_async)
        results = [(call_async if i % 3 == 0 else call)(who, i) for i in range(100)]
        assert [result.result(20) for result in results] == list(range(100))

    threads = [threading.Thread(target=run, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(driver.threads) == 1
    assert driver.overlaps == 0
    assert len(driver.log) == 400
    for who in range(4):
        assert [number for name, number in driver.log if name == who] == list(range(100))


def test_everything_of_it_runs_there(linked):
    """Methods, properties, coroutines: all on the one thread, which is none of the reactor's."""
    driver = Driver()
    conn = linked(driver)
    thread = conn.root.thread()
    assert conn.root.position == thread
    assert conn.root.call_async("me", 1) == 1
    assert driver.threads == {thread}
    assert thread in {t.ident for t in threading.enumerate() if t.name == "nbrpc-serial-Driver"}


def test_a_driver_that_is_handed_over(linked):
    """A serial object that another service returns keeps to its thread as well."""
    conn = linked(Plain)
    proxy = conn.root.driver()
    assert proxy.thread() == proxy.position
    assert proxy.thread() != conn.root.thread()


def test_each_instance_has_its_own_thread(serving, connecting):
    """Two instances do not wait for each other."""
    first, second = Driver(), Driver()
    held, free = connecting(serving(first)), connecting(serving(second))
    result = nbrpc.async_(held.root.hold)()
    assert first.entered.wait(5)
    assert free.root.thread() != threading.get_ident()
    first.gate.set()
    assert result.value == "held"


def test_calls_of_the_same_chain_are_excepted(linked, driver):
    """A callback may call the driver that is calling it."""
    conn = linked(driver)
    thread = conn.root.thread()
    assert conn.root.nested(conn.root.inner) == thread
    assert conn.root.nested(lambda: conn.root.nested(conn.root.inner)) == thread


def test_a_call_that_is_started_inside_and_awaited_later(linked, driver):
    """Within a callback an asynchronous call on the driver may be waited for."""
    conn = linked(driver)

    def callback():
        result = nbrpc.async_(conn.root.inner)()
        eventually(lambda: result.done or True)
        return result.result(10)

    assert conn.root.nested(callback) == conn.root.thread()


def test_pings_cancels_and_events_pass(serving, connecting, driver):
    """While a call is held, a ping is answered, and a queued call is cancelled."""
    server = serving(driver)
    conn, other = connecting(server), connecting(server)
    held = nbrpc.async_(conn.root.hold)()
    assert driver.entered.wait(5)
    assert conn.ping() < 0.5
    assert other.ping() < 0.5
    queued = nbrpc.async_(other.root.call)("queued", 1)
    eventually(lambda: server.statistics().queued >= 1)
    assert queued.cancel()
    other.ping()  # the cancel has arrived before it
    driver.gate.set()
    assert held.value == "held"
    assert other.root.call("after", 2) == 2
    assert driver.log == [("after", 2)]


def test_a_deadline_drops_a_queued_call(linked, driver):
    """A call whose deadline passes in the queue never runs."""
    conn = linked(driver, client={"timing": nbrpc.Timing(call=0.1)})
    held = nbrpc.async_(conn.root.hold)()
    assert driver.entered.wait(5)
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.call("late", 1)
    driver.gate.set()
    assert held.value == "held"
    assert conn.root.call("after", 2) == 2
    assert driver.log == [("after", 2)]


def transactions(serving, connecting, count):
    """Make transactions from 4 clients, with cancels and timeouts; give driver and answers."""
    driver = Driver()
    server = serving(driver)
    conns = [connecting(server) for _ in range(4)]
    wrong = []
    stopped = [0, 0]

    def run(who):
        conn = conns[who]
        transact = nbrpc.async_(conn.root.transaction)
        for i in range(count // 4):
            number = who * 1_000_000 + i
            result = transact(number, 0.002 if i % 5 == 1 else 0.0)
            try:
                if i % 5 == 1:
                    result.result(0.001)
                if i % 7 == 2:
                    result.cancel()
                if result.value != number:
                    wrong.append((number, result.value))
            except nbrpc.CallTimeout:
                stopped[0] += 1
                result.cancel()
            except nbrpc.CallCancelled:
                stopped[1] += 1

    threads = [threading.Thread(target=run, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert conns[0].root.transaction(5) == 5
    assert wrong == []
    return driver, stopped


def test_transactions_stay_in_step(serving, connecting):
    """200 transactions with Stop and timeouts thrown in: every answer belongs to its question."""
    driver, stopped = transactions(serving, connecting, 200)
    assert driver.out_of_step == 0
    assert min(stopped) > 0


@pytest.mark.slow
def test_a_thousand_transactions_stay_in_step(serving, connecting):
    """The same with 1,000."""
    driver, stopped = transactions(serving, connecting, 1000)
    print(f"1,000 transactions, {stopped[0]} timeouts and {stopped[1]} cancels: in step")
    assert driver.out_of_step == 0


class Queue(nbrpc.Service, serial=True):
    """Hands out objects of its own, whose calls wait for each other."""

    class Shelf(nbrpc.Service, serial=True):
        """Keeps what it is given, once it may."""

        def __init__(self, kept, begun, go):
            self.kept, self.begun, self.go = kept, begun, go

        def exposed_hold(self):
            self.begun.set()
            self.go.wait(10)

        def exposed_keep(self, item):
            self.kept.append(item)

    def __init__(self):
        self.kept, self.begun, self.go = [], threading.Event(), threading.Event()
        self.shelf = weakref.ref(self)

    def exposed_shelf(self):
        shelf = self.Shelf(self.kept, self.begun, self.go)
        self.shelf = weakref.ref(shelf)
        return shelf


def test_what_was_queued_before_a_goodbye_finds_its_objects(serving, connecting):
    """Target and arguments stay until it has run; then nothing of the connection is kept."""
    service = Queue()
    server = serving(service)
    conn = connecting(server)
    shelf = conn.root.shelf()
    nbrpc.async_(shelf.hold)()
    assert service.begun.wait(10)
    nbrpc.async_(shelf.keep)(1)
    nbrpc.async_(shelf.keep)(shelf)
    conn.close()
    eventually(lambda: not server.connections)
    service.go.set()
    eventually(lambda: len(service.kept) == 2)
    assert service.kept[0] == 1
    assert service.kept.pop() is service.shelf()
    del conn, shelf
    eventually(lambda: (gc.collect(), service.shelf() is None)[1])
