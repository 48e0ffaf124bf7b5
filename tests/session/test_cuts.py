"""Subscriptions through cuts: they go on, and what was delivered and dropped adds up."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

import nbrpc
from nbrpc.session.dispatch import Loop, Thread
from tests.faults import FaultProxy
from tests.support import eventually

TOKEN = "t" * 32
WAITING = 5
"""Events that wait for their callback at a cut."""


class Ticking(nbrpc.Service):
    """Emits numbers without end, from a thread of its own; counts them."""

    tick = nbrpc.event()

    def __init__(self):
        self.emitted = 0
        self.level = 0
        self.quiet = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._tick)

    def exposed_emit(self, value):
        self.tick.emit(value)

    def exposed_read(self):
        self.level += 1
        return self.level

    def _tick(self):
        while not self.ended.wait(0.0005):  # the pace of the events
            with self.quiet:
                self.tick.emit(self.emitted)
                self.emitted += 1


@pytest.fixture
def service():
    """Give a service that ticks once its thread is started."""
    ticking = Ticking()
    yield ticking
    ticking.ended.set()
    if ticking.thread.ident is not None:
        ticking.thread.join(10)


@pytest.fixture
def proxy(serving, service):
    """Give a proxy before its server."""
    with FaultProxy(serving(service, token=TOKEN).port) as relay:
        yield relay


@pytest.fixture
def conn(proxy):
    """Give a connection through the proxy, which comes back."""
    with nbrpc.connect(proxy.url, token=TOKEN, reconnect=True) as connection:
        yield connection


def cut(proxy, conn):
    """Cut the link and wait until it is back, with all that comes back with it."""
    before = conn.revival.came_back
    proxy.cut()
    eventually(lambda: conn.revival.came_back > before, 20)


def until(serve, condition):
    """Serve until the condition holds."""
    eventually(lambda: (serve(), condition())[1], 20, "it was served")


@contextlib.contextmanager
def turning_loop():
    """Turn an event loop on a thread, as a kernel does; give what runs jobs on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Loop(loop.call_soon_threadsafe, loop.call_later, thread.ident)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def served_by(way, conn):
    """Have events run as a script, a thread, a terminal or a kernel has it; give what serves."""
    with contextlib.ExitStack() as stack:
        if way == "thread":
            stack.enter_context(nbrpc.BgServingThread(conn))
        elif way == "terminal":
            conn.set_dispatcher(Thread())
        elif way == "kernel":
            conn.set_dispatcher(stack.enter_context(turning_loop()))
        yield conn.poll_all if way == "script" else (lambda: None)


class Taker:
    """Takes events, but for the time in which the gate is closed."""

    def __init__(self):
        self.got = []
        self.gate = threading.Event()

    def take(self, number):
        self.gate.wait(20)
        self.got.append(number)


def waiting(sub, service):
    """How many events wait, on either side."""
    return sub.queued + sum(len(subscriber.queue) for subscriber in service.tick.subscribers)


def cut_again_and_again(proxy, conn, service, serve, policy, maxsize, cuts):
    """Cut the link with events waiting; after each cut events come and the numbers add up."""
    taker = Taker()
    sub = conn.root.tick.subscribe(taker.take, policy, maxsize)
    service.thread.start()
    for _ in range(cuts):
        taker.gate.clear()
        eventually(lambda: waiting(sub, service) >= min(WAITING, sub.maxsize), 20)
        cut(proxy, conn)
        taker.gate.set()
        newest = service.emitted
        until(serve, lambda newest=newest: taker.got and taker.got[-1] > newest)
        with service.quiet:
            until(serve, lambda: sub.received + sub.dropped == service.emitted)
            assert sub.queued == 0
        assert not sub.closed
    assert sub.received == len(taker.got)
    assert all(one < next_one for one, next_one in zip(taker.got, taker.got[1:], strict=False))
    assert len(service.tick.subscribers) == 1
    sub.close()
    eventually(lambda: not service.tick.subscribers)


@pytest.mark.parametrize("policy", ["drop_oldest", "latest", "block", "close"])
@pytest.mark.parametrize("way", ["script", "thread", "terminal", "kernel"])
def test_a_subscription_goes_on_after_every_cut(proxy, conn, service, way, policy):
    """With events waiting for their callback, wherever callbacks run and whatever the policy."""
    with served_by(way, conn) as serve:
        cut_again_and_again(proxy, conn, service, serve, policy, 100_000, 5)


@pytest.mark.parametrize(
    ("way", "cuts"),
    [
        ("script", 50),
        ("thread", 50),
        pytest.param("script", 1000, marks=pytest.mark.slow),
        pytest.param("thread", 1000, marks=pytest.mark.slow),
        pytest.param("terminal", 1000, marks=pytest.mark.slow),
        pytest.param("kernel", 1000, marks=pytest.mark.slow),
    ],
)
def test_many_cuts(proxy, conn, service, way, cuts):
    """Each time it goes on; a small queue drops as well."""
    with served_by(way, conn) as serve:
        cut_again_and_again(proxy, conn, service, serve, "drop_oldest", 50, cuts)


def test_what_had_arrived_is_delivered(proxy, conn, service):
    """Events that came before the cut, with objects in them, still get their callback."""
    got = []
    sub = conn.root.tick.subscribe(lambda *args: got.append(args))
    service.tick.emit(1, b"x" * 2_000_000)
    service.tick.emit(2, Ticking())
    eventually(lambda: sub.queued == 2)
    cut(proxy, conn)
    service.tick.emit(4)
    until(conn.poll_all, lambda: len(got) == 3)
    assert got[0] == (1, b"x" * 2_000_000)
    assert got[2] == (4,)
    with pytest.raises(nbrpc.StaleReference):
        got[1][1].read()
    assert (sub.received, sub.dropped, sub.errors) == (3, 0, 0)


def test_what_waits_is_bounded_through_cuts(proxy, conn, service):
    """Nobody serves: however often the link comes back, two queues of events are the most."""
    maxsize = 10
    streams = [conn.root.tick.stream(maxsize=maxsize)]
    subs = [
        conn.root.tick.subscribe(lambda _number: None, maxsize=maxsize),
        streams[0].subscription,
    ]
    emitted = 0
    for _ in range(6):
        for _ in range(3 * maxsize):
            service.tick.emit(emitted)
            emitted += 1
        cut(proxy, conn)
    eventually(lambda: len(service.tick.subscribers) == 2)
    assert 0 < subs[0].queued <= 2 * maxsize
    assert 0 < subs[1].received <= 2 * maxsize
    taken = [next(streams[0]) for _ in range(subs[1].received)]
    assert taken == sorted(set(taken))
    service.tick.emit(emitted)  # there is room again
    while next(streams[0]) != emitted:
        pass
    for sub in subs:
        until(conn.poll_all, lambda sub=sub: sub.received + sub.dropped == emitted + 1)


def test_events_of_a_call_after_the_return_are_not_missed(proxy, conn, service):
    """The subscription is there again before a call is sent."""
    got = []
    root = conn.root
    root.tick.subscribe(got.append)
    for number in range(20):
        before = conn.revival.came_back
        proxy.cut()
        eventually(lambda before=before: conn.session.closed or conn.revival.came_back > before)
        root.emit(number)
        until(conn.poll_all, lambda number=number: number in got)
    assert got == list(range(20))


def test_streams_go_on(proxy, conn, service):
    """An iteration keeps its place, and ends with the connection only."""
    stream = conn.root.tick.stream()
    service.thread.start()
    newest = -1
    for _ in range(10):
        more = stream.subscription.received + WAITING
        eventually(lambda more=more: stream.subscription.received > more)
        proxy.cut()
        cut_at = service.emitted
        while newest <= cut_at:
            number = next(stream)
            assert number > newest
            newest = number
    with service.quiet:
        sub = stream.subscription
        eventually(lambda: sub.received + sub.dropped == service.emitted)


def test_asynchronous_streams_go_on(proxy, conn, service):
    """The same of ``async for``."""

    async def take():
        newest, cuts = -1, 0
        root = await asyncio.to_thread(lambda: conn.root)
        events = aiter(root.tick)
        first = asyncio.ensure_future(anext(events))
        await asyncio.to_thread(eventually, lambda: service.tick.subscribers)
        service.thread.start()
        await first
        cut_at = -1
        async for number in events:
            assert number > newest
            newest = number
            if number > cut_at:
                if cuts == 10:
                    break
                cuts += 1
                await asyncio.to_thread(proxy.cut)
                cut_at = service.emitted
        await events.aclose()

    asyncio.run(asyncio.wait_for(take(), 60))


def test_watching_goes_on(proxy, conn, service):
    """Samples come again after every cut."""
    samples = []
    sub = nbrpc.watch(conn.root, "read", every=0.002).subscribe(samples.append)
    for _ in range(10):
        eventually(lambda: sub.queued >= WAITING)
        cut(proxy, conn)
        level = service.level
        until(conn.poll_all, lambda level=level: samples[-1] > level)
    assert samples == sorted(set(samples))
    assert sub.received == len(samples)


def test_a_program_that_only_serves_goes_on(proxy, conn, service):
    """``serve_all`` waits for the link, and ends with the connection."""
    got = []
    conn.root.tick.subscribe(got.append)
    service.thread.start()
    serving = threading.Thread(target=conn.serve_all)
    serving.start()
    for _ in range(5):
        eventually(lambda: len(got) > WAITING)
        cut(proxy, conn)
        got.clear()
    conn.close()
    serving.join(10)
    assert not serving.is_alive()


def test_serving_while_the_link_is_away(proxy, conn):
    """It waits, and says that nothing was run; it raises once the connection has ended."""
    proxy.refuse()
    eventually(lambda: conn.state == "reconnecting")
    assert conn.serve(0) is False
    assert conn.serve(0.05) is False
    assert conn.poll_all(0.05) is False
    conn.close()
    with pytest.raises(nbrpc.ConnectionLost):
        conn.serve(0)


def test_callbacks_of_results_survive_the_cut(proxy, conn, service):
    """One that waited for the script to serve is called afterwards."""
    got = []
    nbrpc.async_(conn.root.read)().add_callback(lambda result: got.append(result.value))
    eventually(conn.session.dispatcher.has_jobs)
    cut(proxy, conn)
    conn.poll_all()
    assert got == [1]


def test_the_descriptor_stays_the_same(proxy, conn, service):
    """A foreign event loop that watches the connection sees the events of the new link."""
    import select

    got = []
    conn.root.tick.subscribe(got.append)
    number = conn.fileno()
    for _ in range(3):
        cut(proxy, conn)
        conn.poll_all()
        assert not select.select([number], [], [], 0)[0]
        service.tick.emit(1)
        assert select.select([number], [], [], 10)[0]
        assert conn.poll_all()
    assert conn.fileno() == number
    assert got == [1, 1, 1]


def test_subscribing_while_the_link_is_away(proxy, conn, service):
    """It waits for the link, and events come on it."""
    root = conn.root
    proxy.refuse()
    eventually(lambda: conn.state == "reconnecting")
    got, subs = [], []
    thread = threading.Thread(target=lambda: subs.append(root.tick.subscribe(got.append)))
    thread.start()
    proxy.pass_through()
    thread.join(20)
    service.tick.emit(1)
    until(conn.poll_all, lambda: got == [1])
    cut(proxy, conn)
    service.tick.emit(2)
    until(conn.poll_all, lambda: got == [1, 2])
    assert subs[0].dropped == 0


def test_closed_while_the_link_is_away(proxy, conn, service):
    """A subscription that was closed meanwhile does not come back."""
    got = []
    sub = conn.root.tick.subscribe(got.append)
    proxy.refuse()
    eventually(lambda: conn.state == "reconnecting")
    sub.close()
    assert sub.closed
    assert sub.exception is None
    proxy.pass_through()
    eventually(lambda: conn.state == "open")
    conn.root.emit(1)
    conn.poll_all(0.05)
    assert got == []
    assert not service.tick.subscribers


def test_a_subscription_that_was_refused_does_not_come_back(proxy, conn, service):
    """Whoever was told that it failed gets no events of it later."""
    root = conn.root
    got = []
    with pytest.raises(nbrpc.AccessDenied):
        root.none.subscribe(got.append)  # no such event
    cut(proxy, conn)
    assert not service.tick.subscribers
    assert not conn.session.channels


def test_a_server_that_was_started_anew_begins_to_count_again(serving, service):
    """What the new one emits is counted from its first; nothing of the old one is made up."""
    first = serving(service, token=TOKEN)
    with (
        FaultProxy(first.port) as proxy,
        nbrpc.connect(proxy.url, token=TOKEN, reconnect=True) as conn,
    ):
        got = []
        sub = conn.root.tick.subscribe(got.append)
        for number in range(5):
            service.tick.emit(number)
        until(conn.poll_all, lambda: len(got) == 5)
        other = Ticking()
        for number in range(100):
            other.tick.emit(number)
        proxy.target = serving(other, token=TOKEN).port
        cut(proxy, conn)
        other.tick.emit("new")
        until(conn.poll_all, lambda: got[-1] == "new")
        assert (sub.received, sub.dropped) == (6, 0)
        proxy.refuse()
        other.tick.emit("missed")
        proxy.pass_through()
        eventually(lambda: conn.revival.came_back == 2, 20)
        assert (sub.received, sub.dropped) == (6, 1)


def test_a_link_that_is_lost_again_while_it_comes_back(proxy, conn, service):
    """Cuts in the middle of coming back make nothing double and lose no subscription."""
    got = []
    subs = [conn.root.tick.subscribe(got.append, maxsize=size) for size in range(1, 20)]
    for _ in range(500):  # at any moment
        proxy.cut()
    eventually(lambda: len(service.tick.subscribers) == len(subs), 20)
    eventually(lambda: conn.state == "open", 20)
    got.clear()
    service.tick.emit("once")
    until(conn.poll_all, lambda: len(got) >= len(subs))
    conn.root.read()
    conn.poll_all()
    assert got == ["once"] * len(subs)
