"""Remote iteration: read-ahead, slow items at once, what is left over, errors in the middle."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Lines(nbrpc.Service):
    def __init__(self):
        self.made = 0
        self.closed = threading.Event()
        self.gate = threading.Semaphore(0)
        self.threads = set()

    def exposed_count(self, n):
        try:
            for i in range(n):
                self.made += 1
                self.threads.add(threading.get_ident())
                yield i
        finally:
            self.closed.set()

    def exposed_gated(self, n):
        """Give an item whenever the gate lets one through."""
        for i in range(n):
            self.gate.acquire()
            yield i

    def exposed_paced(self, n, pause):
        for _ in range(n):
            yield time.monotonic()
            time.sleep(pause)

    def exposed_failing(self, n):
        yield from range(n)
        raise ValueError("in the middle")

    def exposed_objects(self, n):
        for i in range(n):
            yield [i]

    def exposed_blocks(self, n, size):
        for i in range(n):
            yield bytes([i]) * size

    def exposed_unsendable(self):
        yield 1
        yield nbrpc.by_value(object())

    def exposed_calling(self, n, callback):
        for i in range(n):
            yield callback(i)

    def exposed_list(self):
        return [1, 2, 3]

    def exposed_ping(self):
        return "pong"

    async def exposed_ticks(self, n, pause=0.0):
        try:
            for i in range(n):
                self.made += 1
                yield i
                await asyncio.sleep(pause)
        finally:
            self.closed.set()


class SerialLines(Lines, serial=True):
    def exposed_thread(self):
        return threading.get_ident()


@pytest.fixture
def lines():
    """Give the service; its gate opens in the end."""
    service = Lines()
    yield service
    for _ in range(100):
        service.gate.release()


@pytest.fixture
def conn(linked, lines):
    """Give a connection to the service, served in this process."""
    return linked(lines)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 30_000])
def test_every_item_arrives_once_and_in_order(conn, n):
    """A loop gets what the generator made, whatever the sizes of chunks and windows."""
    assert list(conn.root.count(n)) == list(range(n))


def test_the_generator_runs_ahead_by_a_window_and_no_more(conn, lines):
    """A loop that has begun finds items ready; what is made ahead is bounded."""
    iterator = iter(conn.root.count(10**9))
    assert next(iterator) == 0
    ahead = eventually(lambda: lines.made if lines.made >= 32 else 0)
    assert ahead <= 64
    conn.root.ping()
    assert lines.made <= 64
    for _ in itertools.islice(iterator, 100_000):
        pass
    assert lines.made <= 100_001 + 2 * 8192


def test_a_bare_next_reads_nothing_ahead(conn, lines):
    """``next`` on the proxy makes exactly one item, and ends with StopIteration."""
    proxy = conn.root.count(3)
    for i in range(3):
        assert next(proxy) == i
        assert lines.made == i + 1
    with pytest.raises(StopIteration):
        next(proxy)


def test_slow_items_arrive_one_by_one_at_once(conn, lines):
    """An item is not held back for the ones after it."""
    seen = []

    def read_slowly():
        for i in conn.root.gated(5):
            seen.append((i, time.monotonic()))  # noqa: PERF401 - each item is looked at as it comes

    reader = threading.Thread(target=read_slowly)
    reader.start()
    delays = []
    for i in range(5):
        released = time.monotonic()
        lines.gate.release()
        eventually(lambda n=i + 1: len(seen) == n)
        delays.append(seen[-1][1] - released)
    reader.join(5)
    assert [i for i, _ in seen] == list(range(5))
    assert sorted(delays)[2] < 0.03, delays


def test_slow_items_arrive_at_once_while_the_server_is_busy(conn, lines):
    """The same while other calls keep the server's leader at work."""
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            conn.root.ping()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    delays = [time.monotonic() - made for made in conn.root.paced(20, 0.01)]
    stop.set()
    disturber.join(5)
    assert sorted(delays)[10] < 0.03, delays


def test_a_loop_that_is_left_is_taken_up_where_it_was(conn):
    """What was read ahead stays with the proxy of an iterator."""
    proxy = conn.root.count(100)
    for i in proxy:
        if i == 10:
            break
    assert next(proxy) == 11
    assert list(proxy) == list(range(12, 100))
    assert list(proxy) == []


def test_dropping_the_proxy_closes_the_remote_generator(conn, lines):
    """After ``break`` the generator's cleanup runs as soon as nobody holds the proxy."""
    for i in conn.root.count(10**9):
        if i == 100:
            break
    assert lines.closed.wait(5)
    eventually(lambda: conn.session.pending == {})
    assert conn.root.ping() == "pong"


def test_dropping_a_generator_that_was_never_iterated(conn, lines):
    """A proxy that is dropped unused ends its generator as well."""
    proxy = conn.root.count(5)
    next(proxy)
    del proxy
    conn.root.ping()
    assert lines.closed.wait(5)


def test_a_container_is_iterated_anew_each_time(conn):
    """Each loop over a remote list begins at its start."""
    proxy = conn.root.list()
    assert list(proxy) == list(proxy) == [1, 2, 3]
    assert sum(x * y for x, y in zip(proxy, proxy, strict=True)) == 14


def test_an_error_in_the_middle_comes_after_the_items(conn):
    """The items before it arrive, then the exception is raised; the connection works."""
    got = []
    with pytest.raises(ValueError, match="in the middle"):
        got.extend(iter(conn.root.failing(3000)))
    assert got == list(range(3000))
    assert conn.root.ping() == "pong"


def test_an_item_that_cannot_travel_ends_the_stream(conn):
    """The loop raises NotSendable; nothing else is affected."""
    with pytest.raises(nbrpc.NotSendable):
        list(conn.root.unsendable())
    assert conn.root.ping() == "pong"


def test_items_by_reference(conn):
    """Items that travel by reference are proxies, and go back when they are dropped."""
    total = 0
    for item in conn.root.objects(2000):
        total += item[0]
    assert total == sum(range(2000))
    del item
    conn.root.ping()
    eventually(lambda: conn.statistics().imported <= 2)


def test_large_items(conn):
    """Items of a megabyte each flow under the same rules."""
    sizes = [(block[0], len(block)) for block in conn.root.blocks(20, 1_000_000)]
    assert sizes == [(i, 1_000_000) for i in range(20)]


def test_a_generator_that_calls_back(conn):
    """A generator may call the client that iterates over it, on the thread that iterates."""
    threads = set()

    def callback(i):
        threads.add(threading.get_ident())
        return i * 2

    assert list(conn.root.calling(200, callback)) == [2 * i for i in range(200)]
    assert threads == {threading.get_ident()}


def test_many_streams_at_once(conn):
    """Streams of one connection do not wait for each other."""
    streams = [conn.root.count(500) for _ in range(10)]
    rows = list(zip(*streams, strict=True))
    assert rows == [(i,) * 10 for i in range(500)]


def test_a_stream_that_waits_delays_nobody(conn, lines):
    """While a generator is stuck, calls of its connection are answered."""
    iterator = iter(conn.root.gated(1))
    begun = time.monotonic()
    assert [conn.root.ping() for _ in range(20)] == ["pong"] * 20
    assert time.monotonic() - begun < 1
    lines.gate.release()
    assert next(iterator) == 0


def test_async_generators_stream(conn, lines):
    """``async def`` with ``yield`` streams as generators do, and closes as they do."""
    assert list(conn.root.ticks(300)) == list(range(300))
    lines.closed.clear()
    for i in conn.root.ticks(10**9, 0.001):
        if i == 3:
            break
    assert lines.closed.wait(5)


def test_async_for_over_both_kinds(conn):
    """Remote generators of both kinds are iterated by ``async for`` without blocking the loop."""

    async def story():
        plain = [i async for i in conn.root.count(3000)]
        ticks = [i async for i in conn.root.ticks(50)]
        return plain, ticks

    plain, ticks = asyncio.run(asyncio.wait_for(story(), 20))
    assert plain == list(range(3000))
    assert ticks == list(range(50))


def test_async_for_leaves_the_loop_free(conn, lines):
    """While ``async for`` waits for an item, other tasks run."""

    async def story():
        ran = asyncio.Event()

        async def other():
            await asyncio.sleep(0.01)
            ran.set()
            lines.gate.release()

        task = asyncio.ensure_future(other())
        got = [i async for i in conn.root.gated(1)]
        await task
        return got, ran.is_set()

    assert asyncio.run(asyncio.wait_for(story(), 10)) == ([0], True)


def test_generators_of_a_serial_service_run_on_its_thread(linked):
    """The body of a generator is the service's code: it keeps to the one thread."""
    service = SerialLines()
    conn = linked(service)
    assert list(conn.root.count(20_000)) == list(range(20_000))
    assert next(conn.root.count(1)) == 0
    assert service.threads == {conn.root.thread()}
    assert list(conn.root.ticks(5)) == [0, 1, 2, 3, 4]


def test_link_loss_ends_a_loop(linked, lines):
    """A loop that waits for an item is woken with ConnectionLost; the generator is closed."""
    conn = linked(lines)
    iterator = iter(conn.root.count(10**9))
    assert next(iterator) == 0
    conn.close()
    with pytest.raises(nbrpc.ConnectionLost):
        for _ in iterator:
            pass
    assert lines.closed.wait(5)


def test_buffiter(conn):
    """RPyC's name for it gives the same items; sizes below 1 are refused."""
    assert list(nbrpc.buffiter(conn.root.count(100), 7)) == list(range(100))
    with pytest.raises(ValueError, match="chunk is a whole number from 1, not 0"):
        nbrpc.buffiter(conn.root.count(1), 0)
