"""Declared events: policies and their counts, order, credit, streams, sharing, and their ends."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from functools import partial

import pytest

import nbrpc
from nbrpc.session.subscriptions import live
from tests.support import eventually


class Source(nbrpc.Service):
    changed = nbrpc.event()
    other = nbrpc.event()
    gentle = nbrpc.event(block=False)

    def exposed_flood(self, count, size=0):
        for i in range(count):
            self.changed.emit(i, b"x" * size)

    def exposed_emit(self, *args):
        self.changed.emit(*args)

    def exposed_emit_other(self, value):
        self.other.emit(value)

    def exposed_ping(self):
        return "pong"


class Producer(nbrpc.Service):
    changed = nbrpc.event()

    def exposed_make(self):
        return Producer()

    def exposed_emit(self, value):
        self.changed.emit(value)


@pytest.fixture
def source():
    """Give the service."""
    return Source()


@pytest.fixture
def conn(linked, source):
    """Give a connection to the service, served in this process."""
    return linked(source)


def test_events_arrive_in_order_with_their_arguments(conn, source):
    """A callback gets what was emitted, one event after another."""
    got = []
    with nbrpc.BgServingThread(conn):
        subscription = conn.root.changed.subscribe(lambda *args: got.append(args))
        for i in range(500):
            source.changed.emit(i, "text", None)
        eventually(lambda: len(got) == 500)
    assert got == [(i, "text", None) for i in range(500)]
    assert (subscription.received, subscription.dropped, subscription.queued) == (500, 0, 0)


def test_events_wait_for_an_interaction_without_a_thread(conn, source):
    """A plain script receives its events when it talks to the connection."""
    got = []
    conn.root.changed.subscribe(got.append)
    source.changed.emit(1)
    eventually(conn.session.dispatcher.has_jobs)
    assert not got
    assert conn.root.ping() == "pong"
    assert got == [1]


def test_nothing_arrives_from_before_the_subscription(conn, source):
    """An event without subscribers is gone; after ``subscribe`` each one counts."""
    source.changed.emit(1)
    got = []
    conn.root.changed.subscribe(got.append)
    source.changed.emit(2)
    eventually(lambda: conn.poll_all() or got)
    assert got == [2]


def test_emit_from_any_thread(conn, source):
    """Many threads emit at once; every event arrives, each thread's in its order."""
    got = []
    subscription = conn.root.changed.subscribe(lambda *args: got.append(args), maxsize=10_000)
    with nbrpc.BgServingThread(conn):
        threads = [
            threading.Thread(
                target=lambda n=n: [source.changed.emit(n, i) for i in range(200)], daemon=True
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        eventually(lambda: len(got) == 1600)
    assert subscription.dropped == 0
    for n in range(8):
        assert [i for who, i in got if who == n] == list(range(200))


@pytest.mark.parametrize("maxsize", [1, 7, 100])
def test_drop_oldest_keeps_the_newest_and_counts(conn, source, maxsize):
    """A full queue loses its oldest; received, dropped and queued add up to what was emitted."""
    got = []
    subscription = conn.root.changed.subscribe(got.append, policy="drop_oldest", maxsize=maxsize)
    for i in range(1000):
        source.changed.emit(i)
    subscriber = source.changed.subscribers[0]
    assert len(subscriber.queue) <= maxsize
    assert subscriber.dropped + len(subscriber.queue) + maxsize == 1000
    eventually(lambda: (conn.poll_all(), got and got[-1] == 999)[1])
    assert got == sorted(got)
    assert subscription.received == len(got)
    assert subscription.received + subscription.dropped == 1000
    assert subscription.dropped > 0


def test_latest_gives_the_newest(conn, source):
    """Only the newest event waits; all others are counted as dropped."""
    got = []
    subscription = conn.root.changed.subscribe(got.append, policy="latest")
    for i in range(1000):
        source.changed.emit(i)
    assert len(source.changed.subscribers[0].queue) == 1
    eventually(lambda: (conn.poll_all(), got and got[-1] == 999)[1])
    assert got == [0, 999]
    assert (subscription.received, subscription.dropped) == (2, 998)


def test_close_ends_the_subscription_and_not_the_connection(conn, source):
    """A queue that is full ends that subscription with a reason; the counts still add up."""
    got = []
    subscription = conn.root.changed.subscribe(got.append, policy="close", maxsize=5)
    other = conn.root.other.subscribe(got.append)
    for i in range(20):
        source.changed.emit(i)
    assert source.changed.subscribers == ()
    eventually(lambda: subscription.closed)
    assert isinstance(subscription.exception, nbrpc.LimitExceeded)
    assert "more than 5 events waited" in str(subscription.exception)
    assert subscription.received + subscription.dropped == 10, "5 on the way, 5 that waited"
    assert conn.root.ping() == "pong"
    assert not other.closed


def test_block_waits_for_the_subscriber(conn, source):
    """``emit`` waits until there is room, and nothing is lost."""
    got = []
    subscription = conn.root.changed.subscribe(
        lambda i, data: got.append(i), policy="block", maxsize=10
    )
    with nbrpc.BgServingThread(conn):
        conn.root.flood(500)
        eventually(lambda: len(got) == 500)
    assert subscription.dropped == 0


def test_block_ends_a_subscriber_that_holds_up_for_too_long(conn, source):
    """After a second in all the subscription ends with an error, and ``emit`` goes on."""
    subscription = conn.root.changed.subscribe(lambda _: None, policy="block", maxsize=2)
    for i in range(4):
        source.changed.emit(i)
    begun = time.monotonic()
    source.changed.emit(4)
    assert 0.9 < time.monotonic() - begun < 1.8
    begun = time.monotonic()
    source.changed.emit(5)
    assert time.monotonic() - begun < 0.2
    eventually(lambda: subscription.closed)
    assert "held up the producer" in str(subscription.exception)
    assert conn.root.ping() == "pong"


def test_block_may_be_refused(conn):
    """An event declared with block=False takes no blocking subscriber, and says what it takes."""
    with pytest.raises(ValueError, match="refuses the policy 'block'; use drop_oldest or latest"):
        conn.root.gentle.subscribe(print, policy="block")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "all"}, "policy is one of drop_oldest, latest, block, close, not 'all'"),
        ({"maxsize": 0}, "maxsize is 1 to 1,000,000, not 0"),
        ({"maxsize": 10_000_000}, "maxsize is 1 to 1,000,000, not 10000000"),
    ],
)
def test_bad_options_of_subscribe(conn, options, message):
    """A mistake is refused before anything is sent."""
    with pytest.raises(ValueError, match=message):
        conn.root.changed.subscribe(print, **options)
    with pytest.raises(TypeError, match="subscribe needs a function"):
        conn.root.changed.subscribe(3)
    assert conn.root.ping() == "pong"


def test_a_slow_consumer_costs_only_its_queue(serving, connecting, source):
    """One subscriber that never serves delays neither ``emit`` nor another subscriber."""
    server = serving(source)
    stuck, quick = connecting(server), connecting(server)
    got = []
    slow = stuck.root.changed.subscribe(print, maxsize=10)
    with nbrpc.BgServingThread(quick):
        quick.root.changed.subscribe(lambda *args: got.append(args[0]), maxsize=5000)
        begun = time.monotonic()
        quick.root.flood(2000, 1000)
        assert time.monotonic() - begun < 2
        eventually(lambda: len(got) == 2000)
    assert slow.queued <= 10
    assert stuck.statistics().bytes_received < 100_000, "the rest never left the producer"
    assert stuck.root.ping


def test_callbacks_that_make_calls_neither_nest_nor_overtake(conn, source):
    """A callback may call the server; the next event waits until it has ended."""
    order = []

    def callback(i):
        order.append(("in", i))
        assert conn.root.ping() == "pong"
        order.append(("out", i))

    conn.root.changed.subscribe(callback)
    conn.root.other.subscribe(callback)
    for i in range(10):
        source.changed.emit(i)
        source.other.emit(100 + i)
    eventually(lambda: (conn.poll_all(), len(order) == 40)[1])
    for entered, left in itertools.pairwise(order):
        if entered[0] == "in":
            assert left == ("out", entered[1])


def test_a_callback_that_raises(conn, source, caplog):
    """It is counted, logged once, and the events go on."""
    got = []

    def callback(i):
        got.append(i)
        raise KeyError(i)

    subscription = conn.root.changed.subscribe(callback)
    for i in range(3):
        source.changed.emit(i)
    eventually(lambda: (conn.poll_all(), len(got) == 3)[1])
    assert (subscription.received, subscription.errors) == (3, 3)
    assert isinstance(subscription.last_error, KeyError)
    assert caplog.text.count("a callback of the event changed failed") == 1
    assert conn.root.ping() == "pong"


def test_a_callback_that_exits_does_not_end_the_serving_thread(conn, source, caplog):
    """SystemExit in a callback is an error of that callback."""
    got = []

    def callback(i):
        got.append(i)
        if i == 0:
            raise SystemExit

    with nbrpc.BgServingThread(conn):
        conn.root.changed.subscribe(callback)
        for i in range(3):
            source.changed.emit(i)
        eventually(lambda: got == [0, 1, 2])


def test_closing_a_subscription(conn, source):
    """No callback runs afterwards; the producer forgets it; what waited counts as dropped."""
    got = []
    subscription = conn.root.changed.subscribe(got.append)
    for i in range(5):
        source.changed.emit(i)
    eventually(lambda: subscription.queued == 5)
    subscription.close()
    subscription.close()
    assert subscription.closed
    assert subscription.exception is None
    eventually(lambda: source.changed.subscribers == ())
    source.changed.emit(6)
    conn.root.ping()
    assert not got
    assert (subscription.received, subscription.dropped) == (0, 5)


def test_closing_inside_the_callback(conn, source):
    """A callback may end its own subscription."""
    got = []

    def once(i):
        got.append(i)
        subscription.close()

    subscription = conn.root.changed.subscribe(once)
    for i in range(5):
        source.changed.emit(i)
    eventually(lambda: subscription.queued == 5)
    conn.poll_all()
    eventually(lambda: source.changed.subscribers == ())
    assert got == [0]
    assert subscription.dropped == 4
    assert conn.root.ping() == "pong"


def test_subscribing_twice_outside_a_notebook_gives_two(conn, source):
    """Only a cell that is run again replaces; a script gets what it asked for."""
    got = []
    conn.root.changed.subscribe(got.append)
    conn.root.changed.subscribe(got.append)
    source.changed.emit(1)
    eventually(lambda: (conn.poll_all(), len(got) == 2)[1])


def test_the_same_cell_run_again_replaces(conn, source, monkeypatch):
    """What an earlier run of the cell subscribed ends, whatever kind of callback it was."""
    runs = iter(range(100))

    def run_cell():
        run = next(runs)
        monkeypatch.setattr(
            "nbrpc.session.subscriptions.current_run", lambda: ("cell 7", f"run {run}")
        )
        got = []
        callbacks = [got.append, partial(got.append)]
        callbacks += [lambda i, n=n: got.append(i) for n in range(2)]
        made = [conn.root.changed.subscribe(callback) for callback in callbacks]
        again = conn.root.changed.subscribe(callbacks[0])
        assert [subscription.closed for subscription in made] == [True, *[False] * 3]
        return got, [*made[1:], again]

    first, old = run_cell()
    second, new = run_cell()
    assert all(subscription.closed for subscription in old)
    monkeypatch.setattr(
        "nbrpc.session.subscriptions.current_run", lambda: ("another cell", "run 0")
    )
    other = conn.root.changed.subscribe(print)
    source.changed.emit(1)
    eventually(lambda: (conn.poll_all(), len(second) == 4)[1])
    assert (first, second) == ([], [1] * 4)
    assert not any(subscription.closed for subscription in new)
    assert set(new) | {other} <= set(live())
    for subscription in new:
        subscription.close()
    assert not set(new) & set(live())


def test_stream_iterates_and_ends_with_its_close(conn, source):
    """A stream gives the one argument, or a tuple of several; nothing before it is missed."""
    stream = conn.root.changed.stream()
    source.changed.emit(1)
    source.changed.emit(2, "b")
    assert next(stream) == 1
    assert next(stream) == (2, "b")
    stream.close()
    assert list(stream) == []
    eventually(lambda: source.changed.subscribers == ())


def test_stream_waits_for_what_comes(conn, source):
    """``next`` blocks until the next event."""
    emitter = threading.Timer(0.05, source.changed.emit, ["here"])
    stream = conn.root.changed.stream()
    emitter.start()
    assert next(stream) == "here"
    emitter.join()


def test_stream_is_bounded_by_its_reader(conn, source):
    """What a stream has not taken is bounded on both sides; the rest is dropped and counted."""
    stream = conn.root.changed.stream(maxsize=10)
    for i in range(500):
        source.changed.emit(i)
    assert conn.root.ping() == "pong"
    assert len(stream._inbox.items) <= 10
    got = [next(stream) for _ in range(20)]
    assert got[:10] == list(range(10))
    assert got[-1] == 499
    assert stream.subscription.dropped == 480


def test_a_stream_that_is_dropped_ends_its_subscription(conn, source):
    """Leaving a for loop over events leaves nothing behind."""
    source_loop = threading.Event()

    def feed():
        while not source_loop.wait(0.001):
            source.changed.emit(1)

    feeder = threading.Thread(target=feed)
    feeder.start()
    for _ in conn.root.changed:
        break
    eventually(lambda: source.changed.subscribers == ())
    source_loop.set()
    feeder.join()


def test_async_for(conn, source):
    """Events are iterated without blocking the loop, with the same bounds."""

    async def story():
        got = []
        async for item in conn.root.changed:
            got.append(item)
            if len(got) == 3:
                break
        return got

    async def main():
        task = asyncio.ensure_future(story())
        while not source.changed.subscribers:  # noqa: ASYNC110 - subscribing is not announced
            await asyncio.sleep(0.001)
        for i in range(5):
            source.changed.emit(i, i)
        return await asyncio.wait_for(task, 5)

    assert asyncio.run(main()) == [(0, 0), (1, 1), (2, 2)]
    eventually(lambda: source.changed.subscribers == ())


def test_an_event_of_a_shared_instance_reaches_all(serving, connecting):
    """``serve`` of a class makes one instance for all connections."""
    server = serving(Producer)
    first, second = connecting(server), connecting(server)
    got = []
    first.root.changed.subscribe(lambda v: got.append(("first", v)))
    second.root.changed.subscribe(lambda v: got.append(("second", v)))
    first.root.emit(1)
    eventually(lambda: (first.poll_all(), second.poll_all(), len(got) == 2)[2])
    assert sorted(got) == [("first", 1), ("second", 1)]


def test_an_event_of_an_instance_per_connection_reaches_that_one(serving, connecting):
    """With per_connection=True each connection has an instance, and its events, for itself."""
    server = serving(Producer, per_connection=True)
    first, second = connecting(server), connecting(server)
    got = []
    first.root.changed.subscribe(lambda v: got.append(("first", v)))
    second.root.changed.subscribe(lambda v: got.append(("second", v)))
    first.root.emit(1)
    second.root.emit(2)
    eventually(lambda: (first.poll_all(), second.poll_all(), len(got) == 2)[2])
    assert sorted(got) == [("first", 1), ("second", 2)]


def test_a_subscription_keeps_the_remote_object(conn, linked):
    """The object whose event it is lives as long as the subscription, without a proxy of ours."""
    conn = linked(Producer)
    got = []
    subscription = conn.root.make().changed.subscribe(got.append)
    other = subscription.owner
    for _ in range(3):
        conn.root.make()
    other.emit(5)
    eventually(lambda: (conn.poll_all(), got == [5])[1])


def test_subscriptions_end_on_link_loss(linked, source):
    """A lost link closes them with the reason, and ends the iteration of a stream with it."""
    conn = linked(source)
    ended = threading.Event()
    subscription = conn.root.changed.subscribe(print)
    subscription.on_end = lambda _: ended.set()
    stream = conn.root.changed.stream()
    conn.close()
    assert ended.wait(5)
    assert subscription.closed
    assert isinstance(subscription.exception, nbrpc.ConnectionLost)
    with pytest.raises(nbrpc.ConnectionLost):
        next(stream)
    eventually(lambda: source.changed.subscribers == ())
    source.changed.emit(1)


def test_emit_to_a_client_that_has_just_died(serving, connecting, source):
    """``emit`` finds the link dead by itself, ends the subscription, and goes on."""
    server = serving(source)
    conn = connecting(server)
    conn.root.changed.subscribe(print, maxsize=100_000)
    session = next(iter(server.connections)).session
    session.reactor.unregister(session.fileno())  # nobody reads, so the first to notice is emit
    conn.close()
    ended = threading.Event()

    def emit():
        while source.changed.subscribers:
            source.changed.emit(b"x" * 1000)
        ended.set()

    emitter = threading.Thread(target=emit, daemon=True)
    emitter.start()
    assert ended.wait(5), "emit hangs on a dead link"
    emitter.join(5)


def test_what_cannot_travel(conn, source):
    """``emit`` raises NotSendable to the producer, and the credit is not spent."""
    got = []
    subscription = conn.root.changed.subscribe(got.append, policy="close", maxsize=2)
    for _ in range(5):
        with pytest.raises(nbrpc.NotSendable):
            source.changed.emit(nbrpc.by_value(object()))
    source.changed.emit(1)
    source.changed.emit(2)
    eventually(lambda: (conn.poll_all(), got == [1, 2])[1])
    assert not subscription.closed


def test_order_is_kept_between_large_and_small(conn, source):
    """A small event does not overtake a large one, from inside a call or outside."""
    got = []
    conn.root.changed.subscribe(lambda i, data=b"": got.append((i, len(data))), maxsize=100)
    for i in range(10):
        source.changed.emit(2 * i, b"x" * (3_000_000 if i % 3 == 0 else 10))
        nbrpc.async_(conn.root.emit)(2 * i + 1)
        eventually(lambda n=2 * i + 2: (conn.poll_all(), len(got) == n)[1])
    assert [i for i, _ in got] == list(range(20))


def test_large_events_within_one_call_stay_in_order(conn, source):
    """Events emitted by one call arrive in the order of its emits, whatever their size."""

    class Mixed(nbrpc.Service):
        pass

    got = []
    conn.root.changed.subscribe(lambda i, data: got.append(i), maxsize=100)
    conn.root.flood(5, 1_500_000)
    conn.root.flood(5, 10)
    eventually(lambda: (conn.poll_all(), len(got) == 10)[1])
    assert got == [*range(5), *range(5)]


def test_only_events_can_be_subscribed_to(conn):
    """A member that is no event says so by the usual AttributeError; so does an unknown name."""
    with pytest.raises(AttributeError):
        conn.root.nothing.subscribe(print)
    with pytest.raises(AttributeError):
        conn.root.ping.subscribe(print)
    assert conn.root.ping() == "pong"
