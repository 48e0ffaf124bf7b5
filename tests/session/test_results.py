"""AsyncResult, old names and new: waiting, expiring, cancelling, awaiting, callbacks, progress."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Lab(nbrpc.Service):
    def __init__(self):
        self.gate = threading.Event()
        self.running = threading.Event()
        self.stopped = threading.Event()

    def exposed_add(self, a, b):
        return a + b

    def exposed_fail(self, text):
        raise ValueError(text)

    def exposed_items(self):
        return [1, 2, 3]

    def exposed_hold(self):
        """Run until the gate opens, where an order can strike."""
        self.running.set()
        try:
            while not self.gate.wait(0.002):
                pass
        finally:
            self.stopped.set()
        return "held"

    def exposed_scan(self, steps):
        for i in nbrpc.track(range(steps), text="scanning"):
            self.running.set()
            if i == steps // 2:
                self.gate.wait(10)
        return steps


@pytest.fixture
def lab():
    """Give the service; its gate opens in the end."""
    service = Lab()
    yield service
    service.gate.set()


@pytest.fixture
def conn(linked, lab):
    """Give a connection to the service, served in this process."""
    return linked(lab)


def test_wait_result_and_exception(conn):
    """Old and new ways give the same value, and the exception as a value."""
    result = nbrpc.async_(conn.root.add)(1, 2)
    result.wait()
    assert result.ready
    assert (result.value, result.result(), result.result(1), result.exception()) == (3, 3, 3, None)
    assert result.state == "ready"
    failed = nbrpc.async_(conn.root.fail)("no")
    assert isinstance(failed.exception(5), ValueError)
    assert (failed.error, failed.state) == (True, "error")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failed.result()


def test_result_with_a_timeout_leaves_it_pending(conn, lab):
    """A timeout of ``result`` or ``exception`` frees the caller and nothing else."""
    result = nbrpc.async_(conn.root.hold)()
    for method in (result.result, result.exception, result.wait):
        begun = time.monotonic()
        with pytest.raises(nbrpc.CallTimeout, match=r"hold did not come within 0\.05 s"):
            method(0.05)
        assert time.monotonic() - begun < 0.5
    assert result.state == "pending"
    lab.gate.set()
    assert result.result(5) == "held"


def test_expiry(conn, lab):
    """An expired result raises AsyncResultTimeout, and its remote code runs on to its end."""
    result = nbrpc.async_(conn.root.hold)()
    result.set_expiry(0.05)
    assert not result.expired
    with pytest.raises(nbrpc.AsyncResultTimeout):
        result.wait()
    assert result.expired
    assert not result.ready
    assert repr(result).startswith("<AsyncResult object (expired) at 0x")
    with pytest.raises(TimeoutError, match="expired"):
        _ = result.value
    assert not lab.stopped.is_set(), "a deadline frees the caller and does not break running code"
    lab.gate.set()
    assert lab.stopped.wait(5)
    assert conn.root.add(1, 1) == 2
    assert result.expired


def test_expiry_before_and_after_the_end(conn, lab):
    """An expiry taken back, or not reached, is no matter; after the result came neither."""
    result = nbrpc.async_(conn.root.add)(1, 2)
    result.set_expiry(30)
    assert result.value == 3
    result.set_expiry(0.0)
    assert not result.expired
    held = nbrpc.async_(conn.root.hold)()
    held.set_expiry(0.02)
    held.set_expiry(None)
    with pytest.raises(nbrpc.CallTimeout):
        held.wait(0.05)
    assert not held.expired
    lab.gate.set()
    assert held.value == "held"


def test_timed(conn, lab):
    """``timed`` gives an asynchronous function whose results expire."""
    hold = nbrpc.timed(conn.root.hold, 0.05)
    result = hold()
    with pytest.raises(nbrpc.AsyncResultTimeout):
        _ = result.value
    assert not lab.stopped.is_set()
    assert nbrpc.timed(conn.root.add, 5)(2, 3).value == 5
    with pytest.raises(TypeError):
        nbrpc.timed(3, 1)


def test_an_expired_result_settles_its_future_and_tells_observers(conn):
    """Expiry reaches those who do not look: a future ends, an observer is told."""
    result = nbrpc.async_(conn.root.hold)()
    future = result.future()
    told = threading.Event()
    result.observe(lambda res: told.set() if res.state == "expired" else None)
    result.set_expiry(0.05)
    with pytest.raises(TimeoutError):
        future.result(5)
    assert future.done()
    assert told.wait(5)


def test_callbacks_run_where_events_run(conn):
    """A callback runs once, with the result, in an interaction after the end."""
    seen = []
    result = nbrpc.async_(conn.root.add)(1, 2)
    result.add_callback(lambda res: seen.append((res is result, res.value, threading.get_ident())))
    result.wait()
    conn.poll_all()
    assert seen == [(True, 3, threading.get_ident())]


def test_a_callback_of_a_result_that_has_arrived_runs_at_once(conn, caplog):
    """Nobody need wait again: it runs on this thread, in this context; what it raises is logged."""
    seen = []
    here = contextvars.ContextVar("here")
    here.set("yes")
    failed = nbrpc.async_(conn.root.fail)("no")
    failed.exception(5)
    cancelled = nbrpc.async_(conn.root.hold)()
    cancelled.cancel()
    for result in (failed, cancelled):
        result.add_callback(lambda res: seen.append((res, threading.get_ident(), here.get())))
        assert seen.pop() == (result, threading.get_ident(), "yes")
    failed.add_callback(lambda _: 1 / 0)
    assert "ZeroDivisionError" in caplog.text


def test_callbacks_with_a_background_thread(conn, lab):
    """With a serving thread a callback runs at once when the result arrives, there."""
    with nbrpc.BgServingThread(conn):
        ran = threading.Event()
        where = []
        result = nbrpc.async_(conn.root.hold)()
        result.add_callback(lambda _: (where.append(threading.current_thread().name), ran.set()))
        lab.gate.set()
        assert ran.wait(5)
        assert where == ["nbrpc-serving"]


def test_a_callback_that_raises_hurts_nobody(conn, caplog):
    """The error is logged, the other callbacks run, the connection works."""
    ran = threading.Event()
    with nbrpc.BgServingThread(conn):
        result = nbrpc.async_(conn.root.add)(1, 2)
        result.add_callback(lambda _: 1 / 0)
        result.add_callback(lambda _: ran.set())
        assert ran.wait(5)
        assert conn.root.add(2, 2) == 4
    assert "ZeroDivisionError" in caplog.text


def test_cancel_frees_waiters_at_once(conn, lab):
    """Threads that wait are free before the remote has stopped; then the remote stops."""
    result = nbrpc.async_(conn.root.hold)()
    assert lab.running.wait(5)
    outcome = []

    def wait():
        try:
            result.result()
        except nbrpc.CallCancelled as error:
            outcome.append(str(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: result.waiting)
    assert result.cancel()
    waiter.join(1)
    assert outcome == ["hold was cancelled"]
    assert result.cancelled
    assert result.error
    assert result.ready
    assert "(cancelled)" in repr(result)
    eventually(lambda: result.state == "cancelled")
    assert lab.stopped.wait(1)
    assert not result.cancel()
    assert conn.root.add(1, 1) == 2


def test_cancel_of_what_has_arrived(conn):
    """It changes nothing and says so."""
    result = nbrpc.async_(conn.root.add)(1, 2)
    result.wait()
    assert not result.cancel()
    assert (result.cancelled, result.value) == (False, 3)


def test_progress(conn, lab):
    """``track`` on the server shows in ``progress``, and ends at its total."""
    result = nbrpc.async_(conn.root.scan)(10)
    assert result.progress is None
    progress = eventually(lambda: result.progress)
    assert (progress.done, progress.total, progress.text) == (0, 10, "scanning")
    lab.gate.set()
    assert result.value == 10
    assert result.progress == (10, 10, "scanning")


def test_await_gives_value_and_exception(conn, lab):
    """A result is awaited without blocking the loop, whatever its progress."""

    async def story():
        assert await nbrpc.async_(conn.root.add)(1, 2) == 3
        with pytest.raises(ValueError, match="oh"):
            await nbrpc.async_(conn.root.fail)("oh")
        ticks = 0
        result = nbrpc.async_(conn.root.scan)(10)
        waiting = asyncio.ensure_future(_value(result))
        while result.progress is None:  # noqa: ASYNC110 - progress is not announced to loops
            await asyncio.sleep(0.001)
        for _ in range(3):
            await asyncio.sleep(0.001)
            ticks += 1
        assert not waiting.done()
        assert ticks == 3, "the loop runs while a result with progress is awaited"
        lab.gate.set()
        assert await waiting == 10
        assert await result == 10

    asyncio.run(asyncio.wait_for(story(), 20))


async def _value(result):
    return await result


def test_await_is_cancelled_and_expires(conn, lab):
    """Cancelling the task cancels the call; an expiry ends the waiting."""

    async def story():
        result = nbrpc.async_(conn.root.hold)()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(result, 0.05)
        assert result.cancelled
        late = nbrpc.async_(conn.root.hold)()
        late.set_expiry(0.05)
        with pytest.raises(nbrpc.CallTimeout):
            await late

    asyncio.run(asyncio.wait_for(story(), 20))
    assert lab.stopped.wait(5)


def test_future(conn, lab):
    """A future ends as the result does, and works with concurrent.futures."""
    good, bad = nbrpc.async_(conn.root.add)(1, 2), nbrpc.async_(conn.root.fail)("oh")
    futures = [good.future(), bad.future()]
    done, _ = concurrent.futures.wait(futures, 5)
    assert len(done) == 2
    assert futures[0].result() == 3
    assert isinstance(futures[1].exception(), ValueError)
    held = nbrpc.async_(conn.root.hold)()
    future = held.future()
    held.cancel()
    assert isinstance(future.exception(1), nbrpc.CallCancelled)


def test_confirmed_before_cancel_goes_on(conn, monkeypatch):
    """The peer may confirm while ``cancel`` still sends: who is told then sees a cancelled call."""
    held = nbrpc.async_(conn.root.hold)()
    future = held.future()
    send = conn.session.send_quietly

    def send_and_wait(*message):
        send(*message)
        eventually(lambda: held.state == "cancelled")

    monkeypatch.setattr(conn.session, "send_quietly", send_and_wait)
    assert held.cancel()
    assert isinstance(future.exception(1), nbrpc.CallCancelled)
    assert isinstance(held.exception(1), nbrpc.CallCancelled)


def test_gather(conn, lab):
    """Many results as one: values in order, progress counts, the first exception wins."""
    add = nbrpc.async_(conn.root.add)
    assert nbrpc.gather([add(i, i) for i in range(20)]).value == list(range(0, 40, 2))
    assert nbrpc.gather([]).value == []
    assert nbrpc.gather(add(i, 1) for i in range(3)).result(5) == [1, 2, 3]
    held = nbrpc.async_(conn.root.hold)()
    both = nbrpc.gather([add(1, 1), held])
    eventually(lambda: both.progress == (1, 2, ""))
    assert not both.ready
    lab.gate.set()
    assert both.value == [2, "held"]
    assert both.progress == (2, 2, "")
    with pytest.raises(ValueError, match="first"):
        _ = nbrpc.gather([add(1, 1), nbrpc.async_(conn.root.fail)("first")]).value


def test_gather_is_cancelled_as_a_whole(conn, lab):
    """Cancelling the whole cancels its parts."""
    parts = [nbrpc.async_(conn.root.hold)() for _ in range(3)]
    whole = nbrpc.gather(parts)
    assert whole.cancel()
    assert whole.cancelled
    assert all(part.cancelled for part in parts)
    with pytest.raises(nbrpc.CallCancelled):
        _ = whole.value


def test_gather_is_awaited(conn):
    """A gathering is awaited like any result."""

    async def story():
        return await nbrpc.gather([nbrpc.async_(conn.root.add)(i, 1) for i in range(5)])

    assert asyncio.run(story()) == [1, 2, 3, 4, 5]


def test_async_of_a_local_callable():
    """A local callable runs on a thread; its result is like any other."""
    here = threading.get_ident()
    result = nbrpc.async_(threading.get_ident)()
    assert result.result(5) != here
    assert isinstance(nbrpc.async_(int)("x").exception(5), ValueError)
    assert asyncio.run(_value(nbrpc.async_(int)("3"))) == 3
    with pytest.raises(TypeError, match="async_ needs something that can be called, not int"):
        nbrpc.async_(3)


def test_two_threads_take_one_value(conn):
    """A result that many threads look at gives each of them the same object."""
    result = nbrpc.async_(conn.root.items)()
    values = []
    threads = [threading.Thread(target=lambda: values.append(result.value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len({id(value) for value in values}) == 1
    assert len(values) == 8
    assert list(values[0]) == [1, 2, 3]


def test_results_of_a_lost_connection(linked, lab):
    """A pending result ends as lost; a new call says at once that the link is gone."""
    conn = linked(lab)
    result = nbrpc.async_(conn.root.hold)()
    assert lab.running.wait(5)
    add = nbrpc.async_(conn.root.add)
    conn.close()
    assert result.state == "lost"
    assert "(error)" in repr(result)
    with pytest.raises(nbrpc.ConnectionLost) as caught:
        _ = result.value
    assert caught.value.maybe_executed
    with pytest.raises(nbrpc.ConnectionLost) as caught:
        _ = add(1, 2).value
    assert not caught.value.maybe_executed


def test_an_error_that_nobody_read_is_logged(linked, caplog):
    """A result that is dropped with an error says so in the log, once."""

    class Broken(nbrpc.Service):
        def exposed_fail(self):
            raise ValueError("nobody looks")

    conn = linked(Broken())
    result = nbrpc.async_(conn.root.fail)()
    result.wait()
    del result
    eventually(lambda: "nobody looks" in caplog.text)
    assert "dropped unread" in caplog.text


def test_reading_an_error_again_does_not_lengthen_its_traceback(linked):
    """Every reader of a value sees the frames of its own attempt only."""

    class Broken(nbrpc.Service):
        def exposed_fail(self):
            raise ValueError("again")

    result = nbrpc.async_(linked(Broken()).root.fail)()
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="again") as caught:
            result.value  # noqa: B018 - reading it raises
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1
